"""What counts as a launch and as a blockbuster, and that nothing is known before it was."""

from collections.abc import Callable
from datetime import timedelta

import pandas as pd
import pytest

from coldframe.errors import NotAvailableError
from ml.growth import data
from tests.ml.growth import conftest
from tests.ml.growth.conftest import WEEKS, catalogue, monday, panel, videos

Load = Callable[..., data.Launches]
END = pd.Timestamp(monday(WEEKS))


def outcome(launches: data.Launches, product: str, until: pd.Timestamp = END) -> pd.Series:
    known = launches.known(until).set_index("product_id")
    return known.loc[product]


def test_a_blockbuster_is_in_the_top_tenth_of_its_category_in_weeks_nine_to_twenty_six_of_its_age(load: Load) -> None:
    launches = load(panel())
    assert outcome(launches, "hit")["hit"]
    assert not outcome(launches, "flop")["hit"]
    assert (outcome(launches, "hit")["units"], outcome(launches, "hit")["weeks"]) == (18 * 60, 18)


def test_what_sells_before_week_nine_or_after_week_twenty_six_makes_no_blockbuster(load: Load) -> None:
    weekly = panel()
    outside = (weekly["week_start"] < monday(18)) | (weekly["week_start"] > monday(35))
    weekly.loc[outside & (weekly["product_id"] == "flop"), ["units", "gmv"]] = [900, 900.0]
    assert not outcome(load(weekly), "flop")["hit"]


def test_a_category_of_fewer_than_twenty_products_has_no_blockbusters(load: Load) -> None:
    weekly = panel()
    few = ["hit", "flop", *(f"old{i:02d}" for i in range(1, 11))]
    launches = load(weekly[weekly["product_id"].isin(few)])
    assert not launches.known(END)["hit"].any()
    assert launches.rows["line"].isna().all()


def test_of_two_products_with_equal_gmv_at_the_line_the_smaller_id_is_the_blockbuster(load: Load) -> None:
    """43 products leave five places: the hit has the first, and five share the pace of the best old tea."""
    weekly = panel()
    weekly = weekly[weekly["product_id"] != "late_hit"].copy()
    tied = weekly["product_id"].isin(["flop", "old37", "old38", "old39", "old40"])
    weekly.loc[tied, ["units", "gmv"]] = [40, 100.0]
    assert outcome(load(weekly), "flop")["hit"], "flop sorts before old37 … old40"


def test_until_week_twenty_six_is_over_a_label_is_provisional_and_before_week_twelve_unknown(load: Load) -> None:
    launches = load(panel())
    steady = outcome(launches, "steady")
    assert (steady["weeks"], steady["units"], steady["demand"]) == (12, 60, 90)
    assert "late_hit" not in set(launches.known(END)["product_id"])
    rows = launches.labelled(END, launches.known(END))
    assert rows.loc[rows["product_id"] == "steady", "age_days"].max() == data.EARLY
    assert rows.loc[rows["product_id"] == "hit", "age_days"].max() == max(data.AGES)


def test_a_launch_is_seen_at_each_landmark_and_a_live_one_at_the_end_of_the_as_of(load: Load) -> None:
    launches = load(panel())
    hit = launches.rows[(launches.rows["product_id"] == "hit") & ~launches.rows["current"]]
    assert hit["age_days"].tolist() == list(data.AGES)
    assert hit["units_so_far"].tolist() == [60 * age // 7 for age in data.AGES]
    assert hit["units_so_far_half"].tolist() == [60 * (age // 2) // 7 for age in data.AGES]
    now = launches.current.set_index("product_id")
    assert now["age_days"].to_dict() == {"steady": 140, "late_hit": 14}


def test_what_launches_on_the_day_after_is_live_with_an_age_of_nothing_and_what_launches_later_is_not(
    load: Load,
) -> None:
    products = catalogue()
    announced = products[products["product_id"] == "late_hit"]
    days = {"tomorrow": monday(WEEKS), "later": monday(WEEKS) + timedelta(days=1), "again": monday(WEEKS)}
    known = [announced.assign(product_id=name, launched_on=day, launch_source="declared") for name, day in days.items()]
    known[2]["relisted_of"] = "old05"
    launches = load(panel(), pd.concat([products, *known], ignore_index=True))
    now = launches.current.set_index("product_id")
    assert now["age_days"].to_dict() == {"steady": 140, "late_hit": 14, "tomorrow": 0}
    assert now.loc["tomorrow", ["units_so_far", "gmv_so_far", "units_so_far_half"]].eq(0).all()
    assert not {"later", "again"} & set(launches.catalogue.index), "a relisting has its past from its first day on"
    assert "tomorrow" not in set(launches.known(END)["product_id"])


def test_what_sells_later_changes_nothing_that_was_known_before(load: Load) -> None:
    weekly = panel()
    day = pd.Timestamp(monday(26))
    later = weekly.copy()
    after = later["week_start"] >= monday(26)
    later.loc[after, ["units", "gmv"]] = [0, 0.0]
    later.loc[after & (later["product_id"] == "flop"), ["units", "gmv"]] = [900, 900.0]
    before, turned = load(weekly), load(later)
    assert outcome(before, "flop")["hit"] != outcome(turned, "flop")["hit"]
    for seen in (before, turned):
        assert seen.cutoffs
    pd.testing.assert_frame_equal(before.rows[before.rows["moment"] <= day], turned.rows[turned.rows["moment"] <= day])
    for cutoff in before.cutoffs:
        if cutoff <= day:
            pd.testing.assert_frame_equal(before.known(cutoff), turned.known(cutoff))


def test_a_relisting_is_scored_with_its_past_and_teaches_nothing(load: Load) -> None:
    products = catalogue().set_index("product_id")
    products.loc["steady", "relisted_of"] = "old05"
    launches = load(panel(), products.reset_index())
    assert "steady" not in set(launches.known(END)["product_id"])
    [age] = launches.current.set_index("product_id").loc[["steady"], "age_days"]
    assert age == WEEKS * 7, "its age is that of the first listing"


def test_a_relisting_brings_along_who_carried_it_and_from_when_that_was_known(load: Load) -> None:
    products = catalogue().set_index("product_id")
    products.loc["steady", "relisted_of"] = "old05"
    shown = videos(
        ("old05", "anna", monday(3), monday(5)),
        ("steady", "anna", monday(21), monday(21)),
        ("steady", "ben", monday(21), monday(21)),
        ("flop", None, monday(11), monday(11)),
    )
    carried = load(panel(), products.reset_index(), shown).carried
    assert carried.to_dict("list") == {
        "product_id": ["steady", "steady"],
        "creator_id": ["anna", "ben"],
        "known_on": [pd.Timestamp(monday(5)), pd.Timestamp(monday(21)) + pd.Timedelta(days=1)],
    }


def test_a_launch_declared_before_the_history_began_teaches_nothing(load: Load) -> None:
    products = catalogue().set_index("product_id")
    products.loc["flop", ["launched_on", "launch_source"]] = [monday(-8), "declared"]
    known = set(load(panel(), products.reset_index()).known(END)["product_id"])
    assert "hit" in known
    assert "flop" not in known


def test_the_line_is_what_the_top_tenth_sold_in_the_last_eighteen_weeks(load: Load) -> None:
    weekly = panel()
    line = load(weekly).current.set_index("product_id").loc["late_hit", "line"]
    last = weekly[weekly["week_start"] > monday(WEEKS - 1 - data.WEEKS)].groupby("product_id")["gmv"].sum()
    assert line == pytest.approx(last.quantile(0.9))


def test_without_a_complete_week_there_is_nothing_to_learn_from(load: Load) -> None:
    with pytest.raises(NotAvailableError, match="no complete week"):
        load(panel().assign(days_elapsed=3))


def test_a_shop_without_launches_has_none_to_score(load: Load) -> None:
    weekly = panel()
    old = weekly[weekly["product_id"].str.startswith("old")]
    products = catalogue()
    launches = load(old, products[products["product_id"].str.startswith("old")])
    assert launches.current.empty
    assert launches.cutoffs == ()
    assert launches.known(launches.end).empty


def test_a_launch_is_live_for_twenty_six_weeks(load: Load) -> None:
    for weeks, live in ((36, True), (37, False)):
        products = catalogue()
        products = load(panel(weeks), products[products["launched_on"] < monday(weeks)]).current["product_id"]
        assert ("hit" in set(products)) is live


def test_a_snapshot_of_an_older_version_is_told_with_what_it_lacks_and_what_to_run(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = conftest.look_up
    monkeypatch.setattr(
        conftest, "look_up", lambda weekly: lambda *asked: now(weekly)(*asked).drop(columns="days_sold")
    )
    with pytest.raises(
        NotAvailableError, match=r"older Coldframe and knows no days_sold of launches.*`coldframe trans"
    ):
        load(panel())
