"""Which products may be ranged, and what a season with them is worth."""

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from coldframe.errors import ConfigurationError, NotAvailableError
from coldframe.run import Request
from coldframe.seasons import Season
from coldframe.snapshots import Snapshot
from ml.assortment.data import candidates, depth, shop_error, unforecast
from tests.ml.snapshots import write_snapshot

AS_OF = date(2024, 9, 29)
SEASON = Season("2024-Q4", date(2024, 10, 1), date(2024, 12, 31), ())


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    products = pd.DataFrame(
        {
            "product_id": ["old", "new", "slow", "costly"],
            "merchant_id": "m",
            "title": ["Old", "New", "Slow", "Costly"],
            "unit_cost": [1.0, 2.0, None, 50.0],
            "launch_source": ["before_history", "declared", "before_history", "before_history"],
            "launched_on": [date(2023, 1, 1), date(2024, 8, 1), date(2023, 1, 1), date(2023, 1, 1)],
        }
    )
    weekly = pd.DataFrame(
        {
            "product_id": ["old", "old", "new"],
            "region": "north",
            "week_start": [date(2024, 9, 16), date(2024, 9, 23), date(2024, 9, 23)],
            "units": [5, 7, 3],
            "gmv": [25.0, 35.0, 30.0],
            "net_amount": [20.0, 28.0, 30.0],
            "days_elapsed": 7,
        }
    )
    return write_snapshot(tmp_path / "snapshot", AS_OF, dim_product=products, fct_product_week=weekly)


@pytest.fixture
def totals(tmp_path: Path) -> Path:
    file = tmp_path / "season_totals.parquet"
    pd.DataFrame(
        {
            "level": ["product_region"] * 4 + ["category_region"],
            "season": "2024-Q4",
            "product_id": ["old", "new", "slow", "costly", None],
            "category": "tea",
            "region": "north",
            "units": [100.0, 40.0, 0.4, 10.0, 150.0],
            "q10": [60.0, 10.0, 0.0, 2.0, 100.0],
            "q50": [95.0, 35.0, 0.0, 9.0, 150.0],
            "q80": [130.0, 60.0, 1.0, 15.0, 180.0],
            "q90": [150.0, 80.0, 2.0, 20.0, 200.0],
            "gmv_per_unit": [5.0, 10.0, 5.0, 20.0, 6.0],
            "model": "hgb",
        }
    ).to_parquet(file)
    return file


def request(**more: object) -> Request:
    return Request.model_validate({"source": "shop", "as_of": AS_OF, **more})


def test_a_candidate_is_worth_its_expected_units_at_its_price(snapshot: Snapshot, totals: Path) -> None:
    found = candidates(snapshot, totals, SEASON, request()).set_index("product_id")
    assert found.loc["old", ["value", "value_low", "value_high", "depth", "units_13w"]].tolist() == [
        500,
        300,
        750,
        130,
        12,
    ]
    assert found["is_new"].to_dict() == {"costly": False, "new": True, "old": False}


def test_the_error_all_products_share_is_how_far_past_origins_were_off_in_sum(tmp_path: Path) -> None:
    level, segment = "product_region", "dense"
    tested = [("hgb", "2017-03-05", 110, 100), ("hgb", "2017-03-05", 110, 100), ("hgb", "2017-06-04", 90, 90)]
    tested += [("naive", "2017-06-04", 500, 1)]
    columns = ["model", "cutoff", "actual", "forecast"]
    pd.DataFrame(tested, columns=columns).assign(level=level, segment=segment).to_parquet(tmp_path / "backtest")
    pd.DataFrame({"level": [level], "segment": segment, "model": "hgb"}).to_parquet(tmp_path / "routes")
    assert shop_error(tmp_path / "backtest", tmp_path / "routes") == pytest.approx((np.log(1.1) ** 2 / 2) ** 0.5)
    pd.DataFrame({"level": ["category_region"], "segment": segment, "model": "hgb"}).to_parquet(tmp_path / "routes")
    assert shop_error(tmp_path / "backtest", tmp_path / "routes") == 0


def test_what_hardly_sells_is_no_candidate_unless_it_must_stay(snapshot: Snapshot, totals: Path) -> None:
    assert "slow" not in set(candidates(snapshot, totals, SEASON, request())["product_id"])
    kept = candidates(snapshot, totals, SEASON, request(must_keep=["slow"])).set_index("product_id")
    assert kept.loc["slow", "depth"] == 1


def test_by_margin_a_unit_brings_what_is_paid_for_it_less_its_cost(snapshot: Snapshot, totals: Path) -> None:
    found = candidates(snapshot, totals, SEASON, request(objective="margin")).set_index("product_id")
    assert found.loc["old", "value"] == pytest.approx(100 * (5 * 48 / 60 - 1))
    assert found.loc["new", "value"] == pytest.approx(40 * (10 - 2))
    assert found.loc["costly", "value"] == 0, "what loses money on every unit brings nothing"


def test_by_margin_a_unit_of_unknown_cost_brings_nothing(snapshot: Snapshot, totals: Path) -> None:
    found = candidates(snapshot, totals, SEASON, request(objective="margin", must_keep=["slow"]))
    assert found.set_index("product_id").loc["slow", "value"] == 0


def test_without_any_cost_a_plan_by_margin_is_refused(tmp_path: Path, snapshot: Snapshot, totals: Path) -> None:
    products = snapshot.frame("dim_product").assign(unit_cost=pd.Series([None] * 4, dtype=float))
    costless = write_snapshot(tmp_path / "costless", AS_OF, dim_product=products)
    with pytest.raises(NotAvailableError, match=r"needs products\.unit_cost.*plan by 'gmv'"):
        candidates(costless, totals, SEASON, request(objective="margin"))


def test_a_season_the_forecast_does_not_reach_is_refused_with_what_to_run(snapshot: Snapshot, totals: Path) -> None:
    spring = Season("2025-Q1", date(2025, 1, 1), date(2025, 3, 31), ())
    with pytest.raises(NotAvailableError, match="coldframe train --season 2025-Q1"):
        candidates(snapshot, totals, spring, request())


def test_a_rule_about_a_product_nobody_lists_is_refused(snapshot: Snapshot, totals: Path) -> None:
    with pytest.raises(ConfigurationError, match="1 products the catalogue does not list: nosuch"):
        candidates(snapshot, totals, SEASON, request(must_drop=["nosuch"]))


def test_depth_covers_demand_with_the_service_level(totals: Path) -> None:
    rows = pd.read_parquet(totals).iloc[[0]]
    assert [depth(rows, level).iloc[0] for level in (0.5, 0.65, 0.8, 0.9)] == [95, 113, 130, 150]
    with pytest.raises(ConfigurationError, match=r"outside what the forecast knows: 0\.1 to 0\.9"):
        depth(rows, 0.95)


def test_a_must_keep_no_region_has_a_forecast_for_is_named(totals: Path) -> None:
    assert unforecast(pd.read_parquet(totals), ["old", "ghost"]) == ["ghost"]
