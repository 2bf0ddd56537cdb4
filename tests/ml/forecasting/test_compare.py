"""Champion and challenger are scored on the same weeks of the same series, whatever each was made for."""

from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from ml.forecasting.compare import scores
from ml.promotion import decide_promotion
from ml.registry import Release

WEEKS = pd.date_range("2017-07-03", periods=6, freq="7D")


def release(
    root: Path, name: str, as_of: date, serving: str, forecasts: dict[str, float], weeks: pd.DatetimeIndex = WEEKS
) -> Release:
    """A release of four categories that each sold 10 a week, where each model always forecasts one number."""
    rows = [
        {
            "level": "category_region",
            "product_id": None,
            "category": f"c{series}",
            "region": "north",
            "cutoff": weeks[0] - pd.Timedelta(days=1),
            "week_start": week,
            "segment": "dense",
            "model": model,
            "actual": 10.0,
            "forecast": forecast,
        }
        for model, forecast in forecasts.items()
        for series in range(4)
        for week in weeks
    ]
    tables = {
        "backtest": pd.DataFrame(rows).astype({"product_id": "string"}),
        "routes": pd.DataFrame([{"level": "category_region", "segment": "dense", "model": serving}]),
        "accuracy": pd.DataFrame([{"benchmark": "naive"}]),
    }
    path = root / name
    (path / "tables").mkdir(parents=True)
    for table, frame in tables.items():
        frame.to_parquet(path / "tables" / f"{table}.parquet")
    files = {f"tables/{table}.parquet": {} for table in tables}
    return Release(name, "forecasting", path, {"as_of": as_of.isoformat(), "files": files})


OLD, NEW = date(2017, 9, 24), date(2017, 10, 1)
CLOSE = {"naive": 14.0, "theta": 12.0, "hgb": 11.0}


def test_a_first_release_is_scored_against_the_benchmark_alone(tmp_path: Path) -> None:
    champion, challenger = scores(release(tmp_path, "new", NEW, "hgb", CLOSE), None)
    assert champion is None
    assert (challenger.loss, challenger.baseline_loss) == (0.1, 0.4)
    assert challenger.windows == "24 weeks of series from 2017-07-03 to 2017-08-07"
    assert decide_promotion(None, challenger).action == "promote"


def test_two_releases_tested_on_the_same_weeks_are_compared_by_their_own_forecasts(tmp_path: Path) -> None:
    old = release(tmp_path, "old", OLD, "theta", CLOSE | {"theta": 13.0})
    champion, challenger = scores(release(tmp_path, "new", NEW, "hgb", CLOSE), old)
    assert champion is not None
    assert (champion.loss, challenger.loss) == (0.3, 0.1)
    assert champion.windows == challenger.windows


def test_a_champion_tested_on_other_weeks_is_scored_by_the_models_it_chose(tmp_path: Path) -> None:
    """Its easy quarter must not count: theta is scored where the challenger was."""
    easy = release(tmp_path, "old", OLD, "theta", {"naive": 10.0, "theta": 10.0}, WEEKS - pd.Timedelta(weeks=26))
    champion, challenger = scores(release(tmp_path, "new", NEW, "hgb", CLOSE), easy)
    assert champion is not None
    assert (champion.loss, challenger.loss) == (0.2, 0.1)


def test_only_weeks_both_know_are_scored(tmp_path: Path) -> None:
    old = release(tmp_path, "old", OLD, "theta", CLOSE, WEEKS[:4])
    new = release(tmp_path, "new", NEW, "hgb", CLOSE)
    champion, challenger = scores(new, old)
    assert champion is not None
    assert champion.windows == challenger.windows == "16 weeks of series from 2017-07-03 to 2017-07-24"


def test_a_challenger_that_got_worse_is_kept_out_and_it_says_where(tmp_path: Path) -> None:
    old = release(tmp_path, "old", OLD, "hgb", CLOSE)
    champion, challenger = scores(release(tmp_path, "new", NEW, "theta", CLOSE), old)
    decision = decide_promotion(champion, challenger)
    assert decision.action == "keep"
    assert any("harms category_region.dense" in reason for reason in decision.reasons)


@pytest.mark.parametrize(("segment", "loss"), [("dense", 0.1), ("tail", 0.1)])
def test_a_segment_is_scored_by_what_suits_its_demand(tmp_path: Path, segment: str, loss: float) -> None:
    """WAPE where it sells every week; relative RMSE where zeros would win a WAPE. Constant demand makes them equal."""
    new = release(tmp_path, "new", NEW, "hgb", CLOSE)
    for table in ("backtest", "routes"):
        file = new.file(table)
        pd.read_parquet(file).assign(segment=segment).to_parquet(file)
    assert scores(new, None)[1].segment_losses == {f"category_region.{segment}": loss}
