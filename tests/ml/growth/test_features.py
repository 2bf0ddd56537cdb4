"""What earlier launches tell of a later one, and that nobody is explained by what came after."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from ml.growth import data, like, rates
from ml.growth.decide import PACE
from ml.growth.features import FEATURES, GROUPS, kin
from ml.growth.model import METHODS
from tests.ml.growth.conftest import PRICE, WEEKS, catalogue, monday, panel, videos

Load = Callable[..., data.Launches]
END = pd.Timestamp(monday(WEEKS))


def named(titles: list[str], launched: list[str], category: str = "tea") -> pd.DataFrame:
    index = pd.Index([f"p{i}" for i in range(len(titles))], name="product_id")
    columns = {"subcategory": "s", "brand": "b", "merchant_id": "m", "category": category}
    frame = pd.DataFrame({"title": titles, "launched_on": pd.to_datetime(launched)}, index=index)
    return frame.assign(**columns)


def known(products: pd.DataFrame, **columns: list[float]) -> pd.DataFrame:
    return products.reset_index().assign(known_on=products["launched_on"].to_numpy() + pd.Timedelta(days=84), **columns)


def test_a_like_item_shares_category_words_and_price_and_was_known_before() -> None:
    titles = ["green tea", "green tea", "red mug", "red mug", "green tea", "red mug", "green tea"]
    launched = ["2024-01-01"] * 4 + ["2024-06-01"] * 2 + ["2024-05-01"]
    products = named(titles, launched)
    places = like.read(products).places(products)
    near = like.neighbours(products, places, np.zeros(len(products)), known(products.iloc[[0, 1, 2, 3, 6]]))
    best = near.sort_values("weight", ascending=False).groupby("product_id")["like_id"].apply(list)
    assert set(best["p4"][:2]) == {"p0", "p1"}
    assert set(best["p5"][:2]) == {"p2", "p3"}
    assert "p6" not in best["p4"], "its outcome was not known when p4 was launched"
    assert "p0" not in best.index, "nothing was known before it"


def test_what_like_items_did_is_shrunk_to_the_shop_where_there_are_few() -> None:
    products = named(["a"] * 3, ["2024-01-01"] * 3)
    told = known(products, demand=[0.0, 0.0, 30.0])
    near = pd.DataFrame({"product_id": ["p0"], "like_id": ["p2"], "weight": [5.0]})
    means = like.means(near, told, products.index, ("demand",))["demand"]
    assert means["p1"] == pytest.approx(10), "nothing is like it: the shop's mean"
    assert means["p0"] == pytest.approx(20), "one like item of weight five, beside five launches' worth of the shop"


def test_a_shop_whose_words_name_nothing_has_no_topics() -> None:
    products = named(["123", "456"], ["2024-01-01"] * 2)
    assert like.read(products).places(products).shape == (2, 0)


def test_each_feature_is_in_one_group_and_known_or_empty_but_never_infinite(load: Load) -> None:
    assert len(FEATURES) == len(set(FEATURES)) == sum(map(len, GROUPS.values()))
    launches = load(panel())
    values = kin(launches, END).frame(launches.rows).values
    assert list(values.columns) == list(FEATURES)
    assert not np.isinf(values.to_numpy()).any()
    assert values["impressions"].isna().all(), "the shop has no traffic, which is not the same as never shown"


def test_by_pace_over_the_line_the_first_of_a_slow_category_comes_before_one_its_category_outsells(load: Load) -> None:
    teas, products = panel(), catalogue()
    teas.loc[teas["product_id"] == "late_hit", ["units", "gmv"]] = [30, 75.0]
    units = -(-panel()["units"] // 5)
    sofas = teas.assign(product_id="sofa_" + teas["product_id"], category="sofa", units=units, gmv=units * PRICE)
    launches = load(
        pd.concat([teas, sofas], ignore_index=True),
        pd.concat([products, products.assign(product_id="sofa_" + products["product_id"], category="sofa")]),
    )
    values = kin(launches, END).frame(launches.current).values.set_index(launches.current["product_id"])
    assert values.loc["late_hit", "units"] > values.loc["sofa_late_hit", "units"]
    [name] = METHODS[PACE]
    assert values.loc["late_hit", name] < values.loc["sofa_late_hit", name]


def test_what_a_category_did_counts_from_when_it_was_known(load: Load) -> None:
    launches = load(panel())
    rows = launches.rows[launches.rows["product_id"] == "steady"].sort_values("age_days", ignore_index=True)
    hits = kin(launches, END).frame(rows).values["category_hits"]
    # The hit and the flop of week 10 have four known weeks from week 22 on, when steady is 14 days old.
    early = rows["age_days"] < 14
    assert hits[early].nunique() == 1
    assert hits[~early].nunique() == 1
    assert hits[~early].iloc[0] > hits[early].iloc[0], "one of two was a hit, of the shop one of three"
    assert rows["age_days"].max() > 84, "its own outcome is known by then, and no part of it"


def test_a_category_without_history_is_given_the_shops_mean(load: Load) -> None:
    weekly, products = panel(), catalogue()
    weekly.loc[weekly["product_id"] == "late_hit", "category"] = "mugs"
    products.loc[products["product_id"] == "late_hit", "category"] = "mugs"
    launches = load(weekly, products)
    found = kin(launches, END)
    now = found.frame(launches.current).values.assign(product_id=launches.current["product_id"])
    row = now.set_index("product_id").loc["late_hit"]
    assert row["category_level"] == pytest.approx(found.known["log_demand"].mean())
    assert row["like_level"] == pytest.approx(found.known["log_demand"].mean())


def carried(load: Load, *shown: tuple) -> pd.DataFrame:
    """Features of the launches of a shop that says who carried what, with product_id and moment."""
    launches = load(panel(), catalogue(), videos(*shown))
    rows = launches.rows.assign(contents_so_far=1.0, creators_so_far=1.0)
    values = kin(data.Launches(**(vars(launches) | {"rows": rows})), END).frame(rows).values
    return values.assign(product_id=rows["product_id"], moment=rows["moment"])


def hits_of(values: pd.DataFrame, product: str) -> pd.Series:
    return values[values["product_id"] == product].set_index("moment")["creator_hits"]


def test_what_a_creator_carried_before_speaks_for_what_it_carries_now_once_both_are_known(load: Load) -> None:
    day = monday(20)
    anna = [("hit", "anna", monday(11), monday(12)), ("steady", "anna", day, monday(24))]
    ben = [("flop", "ben", monday(11), monday(12)), ("late_hit", "ben", monday(38), monday(38))]
    values = carried(load, *anna, *ben)
    steady, late = hits_of(values, "steady"), hits_of(values, "late_hit")
    # The hit has four known weeks from week 22 on; who carries steady is known from week 24 on, when it is 28 days old.
    before = steady.index < pd.Timestamp(monday(24))
    assert steady[before].nunique() == 1
    assert (steady[~before] > steady[before].iloc[0]).all()
    assert (late[late.index > pd.Timestamp(monday(38))] < steady[before].iloc[0]).all(), "ben carried a flop"


def test_a_launchs_own_fate_is_no_part_of_its_creators_past(load: Load) -> None:
    alone = carried(load, ("hit", "anna", monday(11), monday(12)))
    assert hits_of(alone, "hit").nunique() == 1
    assert hits_of(alone, "hit").iloc[0] == hits_of(alone, "flop").iloc[0], "the shop's mean"


def test_who_carries_a_launch_when_it_is_known_to_sell_gets_no_credit_for_it(load: Load) -> None:
    late = ("hit", "anna", monday(30), monday(30))
    found = hits_of(carried(load, late, ("late_hit", "anna", monday(38), monday(38))), "late_hit")
    assert found.nunique() == 1


def test_a_shop_that_does_not_say_who_carries_what_has_no_creators(load: Load) -> None:
    launches = load(panel())
    values = kin(launches, END).frame(launches.rows).values
    assert values[list(GROUPS["who carries it"])].isna().all(axis=None)


def exposed(launches: data.Launches, **orders: tuple[float, float]) -> data.Launches:
    """The launches, of which some have so many impressions and orders at every moment."""
    rows = launches.rows.copy()
    for product, (shown, sold) in orders.items():
        rows.loc[rows["product_id"] == product, ["impressions_so_far", "orders_so_far"]] = [shown, sold]
    return data.Launches(**(vars(launches) | {"rows": rows, "has_traffic": True}))


def test_a_launchs_own_orders_are_no_part_of_what_was_expected_of_it(load: Load) -> None:
    launches = load(panel())
    priors = []
    for sold in (10.0, 1000.0):
        seen = exposed(launches, hit=(10_000, 200), flop=(10_000, 100), late_hit=(10_000, sold))
        priors.append(rates.rates(kin(seen, END), seen.rows, pd.Index(["late_hit", "hit"])))
    shop = [(sold + 300 + 1) / 30_100 for sold in (10.0, 1000.0)]
    for prior, everyone in zip(priors, shop, strict=True):
        told = (300 + 2_000 * everyone) / (20_000 + 2_000)
        # Two like items of 10,000 impressions each draw it no further than the same orders already have.
        assert prior.loc["late_hit", "rate_mean"] == pytest.approx(told, rel=0.15)
    assert (priors[0]["rate_strength"] == rates.LEAST_STRENGTH).all(), "three launches tell no spread"


def test_without_exposure_no_rate_is_expected(load: Load) -> None:
    launches = load(panel())
    assert rates.rates(kin(launches, END), launches.rows, pd.Index(["hit"])).isna().all(axis=None)
