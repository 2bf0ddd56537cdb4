"""What is told of each live launch: every column, with the reason a person would want, whatever the source lacks."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from ml.growth import data, evaluate, model, scores
from tests.ml.growth import conftest as shop

Load = Callable[..., data.Launches]


def table(launches: data.Launches) -> pd.DataFrame:
    kin, demand, fitted = evaluate.learn(launches, launches.end, ("launch_model",))
    nothing = np.array([])
    calibration = model.calibrate(nothing, nothing)
    spread = model.spread(nothing, nothing, nothing)
    found = scores.score_table(launches, kin, fitted["launch_model"], demand, calibration, spread)
    return found.set_index("product_id", drop=False)


def products(**changes: object) -> pd.DataFrame:
    """The catalogue with something else said of late_hit."""
    known = shop.catalogue().set_index("product_id")
    for name, value in changes.items():
        known.loc["late_hit", name] = value
    return known.reset_index()


def test_every_live_launch_has_every_column_and_an_order(load: Load) -> None:
    told = table(load(shop.panel()))
    assert list(told.columns) == list(scores.COLUMNS)
    assert set(told["product_id"]) == {"steady", "late_hit"}
    assert told["probability"].is_monotonic_decreasing
    assert (told["probability_low"] <= told["probability"]).all()
    assert (told["probability"] <= told["probability_high"]).all()
    assert (told["demand_q10"] <= told["demand_q50"]).all() and (told["demand_q50"] <= told["demand_q90"]).all()
    late = told.loc["late_hit"]
    assert (late["age_days"], late["age_weeks"], late["units_so_far"], late["rule_rank"]) == (14, 2, 100, 1)
    assert (late["gmv_per_unit"], late["merchant_tier"]) == (shop.PRICE, "gold")
    assert "sold 100 units to 100 buyers in 14 days, 1 of 2 live launches of its category" in late["reasons"]


def test_a_shop_without_launches_has_an_empty_table_of_the_same_columns(load: Load) -> None:
    weekly, known = shop.panel(), shop.catalogue()
    old = known["product_id"].str.startswith("old")
    launches = load(weekly[weekly["product_id"].str.startswith("old")], known[old])
    told = table(launches)
    assert list(told.columns) == list(scores.COLUMNS)
    assert told.empty
    kin, _, fitted = evaluate.learn(launches, launches.end, ("launch_model",))
    assert scores.contributions(launches, kin, fitted["launch_model"]).empty
    assert scores.like_items(launches, kin).empty


def test_what_carries_a_launch_is_told_where_the_source_says_it(load: Load) -> None:
    launches = load(shop.panel())
    told = table(replace(launches, rows=launches.rows.assign(contents_so_far=3.0, creators_so_far=2.0)))
    assert told["reasons"].str.contains("carried by 3 videos or livestreams").all()
    assert not table(launches)["reasons"].str.contains("carried").any()


def test_what_it_sold_in_those_weeks_by_now_it_has_sold(load: Load) -> None:
    steady = table(load(shop.panel())).loc["steady"]
    assert steady[["demand_mean", "demand_q10", "demand_q50", "demand_q90"]].min() >= 12 * 5


def test_without_traffic_every_line_says_that_it_is_judged_by_units(load: Load) -> None:
    told = table(load(shop.panel()))
    assert set(told["evidence"]) == {"units"}
    assert told["reasons"].str.contains("the source has no traffic: judged by units").all()
    assert told[["impressions_so_far", "rate_mean", "rate_strength"]].isna().all(axis=None)


def test_with_traffic_what_was_never_shown_is_told_from_what_did_not_sell(load: Load) -> None:
    launches = load(shop.panel())
    rows = launches.rows.assign(impressions_so_far=0.0, clicks_so_far=0.0, carts_so_far=0.0)
    rows.loc[rows["product_id"] == "steady", "impressions_so_far"] = 1000.0
    told = table(replace(launches, rows=rows, has_traffic=True))
    assert set(told["evidence"]) == {"exposure"}
    assert "never shown" in told.loc["late_hit", "reasons"]
    assert "shown 1,000 times, 100.0 orders per 1,000" in told.loc["steady", "reasons"]
    assert told[["rate_mean", "rate_strength"]].notna().all(axis=None)


def test_where_nobody_says_who_buys_buyers_are_unknown_not_none(load: Load) -> None:
    told = table(replace(load(shop.panel()), has_buyers=False))
    columns = ["buyers_so_far", "repeat_buyers_so_far", "largest_buyer_share"]
    assert told[columns].isna().all(axis=None)
    assert "buyers" not in told.loc["late_hit", "reasons"]


def test_a_launch_declared_after_its_first_sale_begins_with_the_sale_and_says_so(load: Load) -> None:
    declared = pd.Timestamp(shop.monday(39))
    told = table(load(shop.panel(), products(declared_on=declared))).loc["late_hit"]
    assert told["age_days"] == 14
    assert f"declared as launched on {declared:%F}, but sold since {shop.monday(38):%F}" in told["reasons"]


def test_a_launch_long_declared_when_it_was_first_shown_or_sold_says_when_that_was(load: Load) -> None:
    began = shop.monday(20)
    for days, told in ((14, "launched on 2024-05-20, but first sold 126 days ago"), (13, None)):
        known = shop.catalogue()
        late = known["product_id"] == "steady"
        known["first_sold_on"] = known["first_sold_on"].where(~late, began + timedelta(days=days))
        reasons = table(load(shop.panel(), known)).loc["steady", "reasons"]
        assert (told in reasons) if told else ("but first" not in reasons)


def test_numbers_of_one_are_told_in_the_singular(load: Load) -> None:
    launches = load(shop.panel())
    one = dict.fromkeys(("units_so_far", "buyers_so_far", "impressions_so_far", "contents_so_far", "age_days"), 1)
    rows = launches.rows.assign(clicks_so_far=0.0, carts_so_far=0.0).assign(**one)
    rows = rows[~rows["current"] | (rows["product_id"] == "late_hit")]
    told = table(replace(launches, rows=rows, has_traffic=True)).loc["late_hit", "reasons"]
    assert told.startswith("sold 1 unit to 1 buyer in 1 day, 1 of 1 live launch of its category; ")
    assert "; shown 1 time, " in told
    assert "; carried by 1 video or livestream" in told


def test_a_relisted_duplicate_is_marked_and_has_no_clean_slate(load: Load) -> None:
    told = table(load(shop.panel(), products(relisted_of="old40"))).loc["late_hit"]
    assert told["relisted_of"] == "old40"
    assert told["age_days"] == 7 * shop.WEEKS
    assert "a relisting of old40 of the same merchant, title and brand" in told["reasons"]


def test_a_category_without_history_and_a_merchant_with_one_product_are_judged_by_the_shop(load: Load) -> None:
    weekly = shop.panel()
    weekly.loc[weekly["product_id"] == "late_hit", "category"] = "mugs"
    told = table(load(weekly, products(category="mugs", merchant_id="newcomer"))).loc["late_hit"]
    assert "its category has no earlier launch: the shop's are taken" in told["reasons"]
    assert 0 < told["probability"] < 1
    assert np.isnan(told["bestseller_gmv"])
    assert told["merchant_tier"] is None or pd.isna(told["merchant_tier"])


def test_on_its_first_morning_a_launch_is_judged_by_what_is_like_it(load: Load) -> None:
    known = shop.catalogue()
    fresh = known[known["product_id"] == "late_hit"].assign(
        product_id="fresh", launched_on=shop.monday(shop.WEEKS), launch_source="declared", list_price=3.0
    )
    launches = load(shop.panel(), pd.concat([known, fresh], ignore_index=True))
    told = table(launches).loc["fresh"]
    assert told["reasons"].startswith(f"launches on {shop.monday(shop.WEEKS)}: judged by what is like it")
    assert (told["age_days"], told["age_weeks"], told["units_so_far"], told["gmv_per_unit"]) == (0, 0, 0, 3.0)
    assert told["demand_q90"] > 0
    seen = launches.rows.assign(impressions_so_far=0.0, clicks_so_far=0.0, carts_so_far=0.0)
    reasons = table(replace(launches, rows=seen, has_traffic=True))["reasons"]
    assert "never shown" in reasons["late_hit"]
    assert "never shown" not in reasons["fresh"], "there was no time to"


def test_like_items_tell_their_course_and_contributions_the_strongest_first(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "LEAST_POSITIVES", 1)
    launches = load(shop.panel())
    kin, _, fitted = evaluate.learn(launches, launches.end, ("launch_model",))
    near = scores.like_items(launches, kin)
    late = near[near["product_id"] == "late_hit"].set_index("like_id")
    assert set(late.index) == {"hit", "flop", "steady"}
    assert (late.loc["hit", "units_28"], late.loc["hit", "units"], late.loc["hit", "hit"]) == (240, 1080, True)
    because = scores.contributions(launches, kin, fitted["launch_model"])
    mine = because.loc[because["product_id"] == "late_hit", "adds"].abs()
    assert len(mine) > 3
    assert mine.is_monotonic_decreasing
