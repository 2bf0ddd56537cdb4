"""A product that does not sell yet is expected to do as the launches did that its words are like."""

import numpy as np
import pandas as pd
import pytest

from ml.forecasting.data import Panel
from ml.forecasting.season.like import LEAST_LAUNCHES, like_items
from ml.forecasting.season.signals import Ahead

WEEKS = 60
AHEAD = Ahead((0, 0, *(7,) * 8))


def shop(launches: int = 60) -> tuple[Panel, Panel, pd.DataFrame]:
    """Two old products, launches every other week (lamps sell ten times what spoons do, and less as they age), and
    three products to come."""
    rng = np.random.default_rng(8)
    weeks = pd.date_range("2024-01-01", periods=WEEKS, freq="7D")
    rows, units, titles = [], [], {}
    for number in range(launches + 2):
        product = f"p{number:02d}"
        begins = 0 if number < 2 else 10 + number % 36
        lamp = number % 2 == 0
        titles[product] = f"{'lamp' if lamp else 'spoon'} of oak"
        for region, part in (("north", 0.75), ("south", 0.25)):
            rate = (40.0 if lamp else 4.0) * part * np.exp(-np.arange(WEEKS) / 60)
            sold = np.full(WEEKS, np.nan)
            sold[begins:] = rng.poisson(rate[: WEEKS - begins])
            sold[begins] += 1
            rows.append((product, "home", region))
            units.append(sold)
    found = np.array(units)
    events = pd.DataFrame({"week_start": [], "region": [], "kind": [], "event": [], "days": []})
    series = pd.DataFrame(rows, columns=["product_id", "category", "region"]).assign(gmv=1.0, gmv_per_unit=3.0)
    cells = pd.DataFrame(np.nan_to_num(found)).groupby(series["region"]).sum()
    named = pd.DataFrame({"product_id": None, "category": "home", "region": cells.index, "gmv": 1.0})
    catalogue = pd.DataFrame({"product_id": list(titles), "title": list(titles.values())}).assign(launched_on=weeks[0])
    coming = pd.DataFrame(
        {
            "product_id": ["lamp", "late", "long", "never", "spoon"],
            "title": ["lamp of oak", "lamp of oak", "lamp of oak", "lamp of oak", "spoon of oak"],
            "launched_on": [weeks[-1], weeks[-1] + pd.Timedelta(weeks=9), weeks[20], pd.NaT, weeks[-1]],
            "list_price": [30.0, 30.0, 30.0, 30.0, None],
        }
    )
    listed = pd.concat([catalogue.assign(list_price=30.0), coming], ignore_index=True)
    return (
        Panel("product_region", series, weeks, found, events),
        Panel("category_region", named.assign(gmv_per_unit=5.0), weeks, cells.to_numpy(), events),
        listed.assign(category="home", subcategory=None, brand="unbranded"),
    )


def test_a_lamp_to_come_sells_as_lamps_did_in_each_region_at_its_list_price() -> None:
    found = like_items(*shop(), AHEAD).set_index(["product_id", "region"])
    lamp, spoon = found["units"].loc["lamp"], found["units"].loc["spoon"]
    assert lamp.sum() == pytest.approx(40 * 8 * 0.93, rel=0.25), "eight weeks of a lamp of some weeks' age"
    assert lamp.sum() > 3 * spoon.sum()
    assert lamp["north"] == pytest.approx(3 * lamp["south"], rel=0.1)
    assert found["gmv_per_unit"]["lamp", "north"] == 30.0
    assert found["gmv_per_unit"]["spoon", "north"] == 5.0, "without a list price, what its category brings"
    quantiles = found[["q10", "q50", "q80", "q90"]].to_numpy()
    assert (np.diff(quantiles, axis=1) >= 0).all()


def test_what_is_launched_within_the_season_sells_from_then_on() -> None:
    units = like_items(*shop(), AHEAD).groupby("product_id")["units"].sum()
    assert 0 < units["late"] < 0.4 * units["lamp"]


def test_what_was_launched_long_ago_and_never_sold_is_not_to_come() -> None:
    assert set(like_items(*shop(), AHEAD)["product_id"]) == {"lamp", "late", "spoon"}


def test_a_shop_of_few_launches_says_nothing_of_the_next() -> None:
    assert like_items(*shop(LEAST_LAUNCHES - 2), AHEAD).empty
