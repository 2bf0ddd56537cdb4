"""Which products may be ranged, and what a season with them is worth."""

from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from coldframe.errors import BadInputError, NotAvailableError
from coldframe.run import Request
from coldframe.seasons import Season
from coldframe.snapshots import Snapshot
from ml.assortment import data
from ml.assortment.data import SeasonForecast, unforecast
from ml.assortment.scenarios import Errors
from ml.registry import Release
from tests.ml.snapshots import write_snapshot

AS_OF = date(2024, 9, 29)
SEASON = Season("2024-Q4", date(2024, 10, 1), date(2024, 12, 31))


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    products = pd.DataFrame(
        {
            "product_id": ["old", "new", "slow", "costly"],
            "merchant_id": "m",
            "title": ["Old", "New", "Slow", "Costly"],
            "brand": "b",
            "subcategory": ["green", "green", "black", "black"],
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
            "index": float("nan"),
        }
    ).to_parquet(file)
    return file


def request(**more: object) -> Request:
    return Request.model_validate({"source": "shop", "as_of": AS_OF, **more})


def candidates(
    snapshot: Snapshot, totals: Path, asked: Request, season: Season = SEASON, **tables: Path
) -> pd.DataFrame:
    release = Release("2024-09-29-abc", "season", totals.parent, {"as_of": str(AS_OF), "files": {}})
    return data.candidates(snapshot, forecast(release, totals, **tables), season, asked)


def forecast(release: Release, totals: Path, **tables: Path) -> SeasonForecast:
    """A forecast that knows nothing of weeks and trends but what is in `tables`."""
    weeks, trend = totals.parent / "no_weeks", totals.parent / "no_trend"
    keys = {"region": "north", "product_id": "nobody"}
    pd.DataFrame([keys | {"week_start": AS_OF, "units": 0.0}]).to_parquet(weeks)
    pd.DataFrame([keys | {"ratio": 1.0, "q_value": 1.0, "p_growth": 0.0}]).to_parquet(trend)
    tables = {"weeks": weeks, "trend": trend, "backtest": totals} | tables
    return SeasonForecast(release, totals, **tables, errors=Errors())


def test_a_candidate_brings_its_price_and_knows_what_it_sold(snapshot: Snapshot, totals: Path) -> None:
    found = candidates(snapshot, totals, request()).set_index("product_id")
    assert found.loc["old", ["units", "per_unit", "units_13w"]].tolist() == [100, 5, 12]
    assert found.loc["old", "price"] == pytest.approx(5 * 48 / 60), "what is paid for a unit is its GMV less discounts"
    assert found["is_new"].to_dict() == {"costly": False, "new": True, "old": False}
    assert found["current"].to_dict() == {"costly": False, "new": True, "old": True}
    assert found["price_band"].to_dict() == {"costly": "high", "new": "middle", "old": "low"}


def test_the_current_range_is_that_of_the_plan_in_force_where_there_is_one(snapshot: Snapshot, totals: Path) -> None:
    release = Release("2024-09-29-abc", "forecasting", totals.parent, {"as_of": str(AS_OF), "files": {}})
    in_force = {("north", "costly"), ("south", "old")}
    found = data.candidates(snapshot, forecast(release, totals), SEASON, request(), in_force)
    assert found.set_index("product_id")["current"].to_dict() == {"costly": True, "new": False, "old": False}


def test_what_hardly_sells_is_no_candidate_unless_it_must_stay(snapshot: Snapshot, totals: Path) -> None:
    assert "slow" not in set(candidates(snapshot, totals, request())["product_id"])
    assert "slow" in set(candidates(snapshot, totals, request(must_keep=["slow"]))["product_id"])


def test_by_margin_a_unit_brings_what_is_paid_for_it_less_its_cost(snapshot: Snapshot, totals: Path) -> None:
    found = candidates(snapshot, totals, request(objective="margin")).set_index("product_id")["per_unit"]
    assert found["old"] == pytest.approx(5 * 48 / 60 - 1)
    assert found["new"] == pytest.approx(10 - 2)
    assert found["costly"] == pytest.approx(20 - 50), "what loses money on every unit says how much"


def test_by_margin_a_unit_of_unknown_cost_brings_the_usual_margin_and_says_so(snapshot: Snapshot, totals: Path) -> None:
    found = candidates(snapshot, totals, request(objective="margin", must_keep=["slow"])).set_index("product_id")
    usual = (5 * 48 / 60 - 1) / 5
    assert found.loc["slow", "per_unit"] == pytest.approx(5 * usual)
    assert found["usual_margin"].to_dict() == {"costly": False, "new": False, "old": False, "slow": True}


def test_by_units_every_unit_counts_one(snapshot: Snapshot, totals: Path) -> None:
    assert set(candidates(snapshot, totals, request(objective="units"))["per_unit"]) == {1.0}


def test_without_any_cost_a_plan_by_margin_is_refused(tmp_path: Path, snapshot: Snapshot, totals: Path) -> None:
    products = snapshot.frame("dim_product").assign(unit_cost=pd.Series([None] * 4, dtype=float))
    weekly = snapshot.frame("fct_product_week")
    costless = write_snapshot(tmp_path / "costless", AS_OF, dim_product=products, fct_product_week=weekly)
    with pytest.raises(NotAvailableError, match=r"needs products\.unit_cost.*plan by 'gmv'"):
        candidates(costless, totals, request(objective="margin"))


def test_a_season_the_forecast_does_not_reach_is_refused_with_what_to_run(snapshot: Snapshot, totals: Path) -> None:
    spring = Season("2025-Q1", date(2025, 1, 1), date(2025, 3, 31))
    with pytest.raises(NotAvailableError, match="coldframe train --season 2025-Q1"):
        candidates(snapshot, totals, request(), spring)


def test_a_season_in_which_nothing_is_expected_to_sell_is_refused(snapshot: Snapshot, totals: Path) -> None:
    pd.read_parquet(totals).assign(units=0.1).to_parquet(totals)
    with pytest.raises(NotAvailableError, match="None of the 4 products of season 2024-Q4"):
        candidates(snapshot, totals, request())


def test_a_product_in_two_categories_is_refused_with_how_many_there_are(snapshot: Snapshot, totals: Path) -> None:
    rows = pd.read_parquet(totals)
    pd.concat([rows, rows.iloc[[0]].assign(category="cups")]).to_parquet(totals)
    with pytest.raises(BadInputError, match=r"1 products are in two categories of a region \(old\)"):
        candidates(snapshot, totals, request())


def test_what_sold_in_the_same_days_a_year_before_is_told_where_they_are_all_known(
    tmp_path: Path, snapshot: Snapshot, totals: Path
) -> None:
    def last_year(first: date) -> dict[str, float]:
        days = [date(2023, 9, 30), date(2023, 10, 1), date(2023, 10, 2), date(2023, 12, 31), date(2024, 1, 1)]
        daily = pd.DataFrame({"date": days, "product_id": "old", "region": "north", "units": [1, 10, 90, 200, 1000]})
        daily = daily[daily["date"] >= first]
        tables = {name: snapshot.frame(name) for name in ("dim_product", "fct_product_week")}
        known = write_snapshot(tmp_path / str(first), AS_OF, **tables, fct_product_day=daily)
        return candidates(known, totals, request()).set_index("product_id")["units_last_year"].to_dict()

    known = last_year(date(2023, 9, 30))
    assert (known["old"], known["costly"]) == (300, 0), "one product sold nothing then, and was there"
    assert pd.isna(known["new"]), "it was launched since"
    assert all(map(pd.isna, last_year(date(2023, 10, 2)).values())), "the first day is not known"


def test_a_product_is_on_the_shelf_while_a_week_sells_a_third_of_its_average(
    snapshot: Snapshot, totals: Path, tmp_path: Path
) -> None:
    mondays = pd.date_range("2024-09-30", periods=14, freq="W-MON").date
    weekly = pd.DataFrame({"region": "north", "product_id": "old", "week_start": mondays, "units": 1.0})
    weekly.loc[:8, "units"] = 0.0
    weekly.to_parquet(tmp_path / "weeks")
    found = candidates(snapshot, totals, request(), weeks=tmp_path / "weeks").set_index("product_id")
    shelf = found[["on_shelf_from", "on_shelf_until"]]
    assert shelf.loc["old"].tolist() == [date(2024, 12, 2), date(2024, 12, 31)]
    assert shelf.loc["new"].tolist() == [SEASON.first_day, SEASON.last_day], "nothing is known of its weeks"
    weekly["units"] = [6 / 7, *[1.0] * 12, 2 / 7]
    weekly.to_parquet(tmp_path / "weeks")
    found = candidates(snapshot, totals, request(), weeks=tmp_path / "weeks").set_index("product_id")
    assert found.loc["old", "on_shelf_until"] == SEASON.last_day, "a week of two days sells less for that alone"


def test_the_season_index_of_the_forecast_is_taken_over_where_it_has_one(snapshot: Snapshot, totals: Path) -> None:
    assert candidates(snapshot, totals, request())["season_index"].isna().all()
    pd.read_parquet(totals).assign(index=3.4).to_parquet(totals)
    assert set(candidates(snapshot, totals, request())["season_index"]) == {3.4}


def test_the_trend_of_the_forecast_is_taken_over(snapshot: Snapshot, totals: Path, tmp_path: Path) -> None:
    told = {"region": "north", "product_id": ["old"], "ratio": 1.6, "q_value": 0.01, "p_growth": 0.9}
    pd.DataFrame(told).to_parquet(tmp_path / "trend")
    found = candidates(snapshot, totals, request(), trend=tmp_path / "trend").set_index("product_id")
    assert found.loc["old", ["trend", "trend_q", "p_growth"]].tolist() == [1.6, 0.01, 0.9]
    assert found.loc["new", "trend"] != found.loc["new", "trend"]


def test_a_cell_without_a_candidate_and_a_region_without_a_forecast_are_named(
    snapshot: Snapshot, totals: Path, tmp_path: Path
) -> None:
    rows = pd.read_parquet(totals)
    pd.concat([rows, rows.iloc[[2]].assign(region="south", product_id="old")]).to_parquet(totals)
    found = candidates(snapshot, totals, request())
    release = Release("2024-09-29-abc", "forecasting", totals.parent, {"as_of": str(AS_OF), "files": {}})
    known_of = forecast(release, totals)
    assert data.empty_cells(known_of, SEASON, found) == ["south / tea"]
    regions = pd.DataFrame({"region": ["north", "south", "west"]})
    known = write_snapshot(tmp_path / "regions", AS_OF, dim_region=regions)
    assert data.regions_without_history(known, known_of) == ["west"], "what was forecast in the south is told of above"
    assert data.regions_without_history(snapshot, known_of) == [], "an older snapshot has no regions"


def test_a_must_keep_no_region_has_a_forecast_for_is_named(totals: Path) -> None:
    assert unforecast(pd.read_parquet(totals), ["old", "ghost"]) == ["ghost"]


def test_what_incubation_let_go_leaves_where_it_does_not_sell_and_is_not_new_any_more(tmp_path: Path) -> None:
    lines = pd.DataFrame(
        {
            "product_id": ["old", "new", "slow", "costly", "unseen"],
            "date": pd.to_datetime(["2024-09-28", "2024-09-29", "2024-09-29", "2024-09-30", "2024-09-29"]),
            "stage": ["retire", "retire", "graduate", "retire", "graduate"],
        }
    )
    snapshot = write_snapshot(tmp_path / "incubated", AS_OF, fct_exposure_line=lines)
    found = pd.DataFrame(
        {
            "product_id": ["costly", "new", "new", "old", "slow"],
            "region": ["north", "north", "south", "north", "north"],
            "sells": [False, False, True, False, False],
            "is_new": True,
        }
    )
    request = Request(source="shop", as_of=AS_OF)
    kept, notes = data.hand_over(snapshot, found, request)
    assert list(zip(kept["product_id"], kept["region"], kept["is_new"], strict=True)) == [
        ("costly", "north", True),
        ("new", "south", False),
        ("old", "north", True),
        ("slow", "north", True),
    ]
    assert notes[0].startswith("1 launches that incubation let go") and notes[1].startswith("1 graduates")
    kept, notes = data.hand_over(snapshot, found, request.model_copy(update={"must_keep": ("new",)}))
    assert len(kept) == 5 and kept["is_new"].all() and len(notes) == 1


def test_without_a_published_incubation_plan_everything_competes(snapshot: Snapshot) -> None:
    found = pd.DataFrame({"product_id": ["new"]})
    assert data.hand_over(snapshot, found, Request(source="shop", as_of=AS_OF)) == (found, ())
