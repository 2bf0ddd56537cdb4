"""The daily step releases what it measured, and hands out what a person asks for."""

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from coldframe.errors import BadInputError, ConfigurationError, NotAvailableError
from coldframe.paths import Workspace
from coldframe.run import Request, StepResult
from ml.forecasting.daily import panel as panels
from ml.forecasting.daily import steps
from ml.forecasting.daily.learn import Learned
from ml.forecasting.daily.panel import DailyPanel
from ml.registry import Registry
from tests.ml.forecasting.daily.conftest import FIRST

Publish = Callable[[date, DailyPanel], Workspace]
AS_OF = FIRST + timedelta(days=199)


@pytest.fixture(scope="module")
def learned() -> dict[int, Learned]:
    return {}


@pytest.fixture(autouse=True)
def learned_once(quick: None, monkeypatch: pytest.MonkeyPatch, learned: dict[int, Learned]) -> None:
    """All tests publish the same shop, so it is learned once."""
    learn = steps.train

    def remembered(panel: DailyPanel, horizon: int) -> Learned:
        if horizon not in learned:
            learned[horizon] = learn(panel, horizon)
        return learned[horizon]

    monkeypatch.setattr(steps, "train", remembered)


def run(workspace: Workspace, as_of: date = AS_OF, horizon_days: int = 14) -> StepResult:
    return steps.forecast_daily(Request(source=workspace.source, as_of=as_of, horizon_days=horizon_days))


def test_the_panel_is_what_was_published(shop: Publish, panel: Callable[..., DailyPanel]) -> None:
    from coldframe import snapshots

    written = panel()
    loaded = panels.load(snapshots.current(shop(AS_OF, written)))
    np.testing.assert_array_equal(np.nan_to_num(loaded.units), written.units)
    assert (loaded.days[0].date(), loaded.days[-1].date()) == (FIRST, AS_OF)
    assert loaded.prices is None


def test_a_release_holds_every_level_by_day_and_by_week(shop: Publish, panel: Callable[..., DailyPanel]) -> None:
    workspace = shop(AS_OF, panel())
    result = run(workspace)
    champion = Registry(workspace).champion("forecasting_daily")
    assert champion is not None
    assert result.facts["release_id"] == champion.id
    forecasts = champion.table("forecasts")
    days = forecasts[forecasts["frequency"] == "D"]
    totals = days.groupby("level", observed=True)["mean"].sum()
    np.testing.assert_allclose(totals, totals["total"], rtol=1e-6)
    weeks = forecasts[forecasts["frequency"] == "W"].groupby("level", observed=True)["mean"].sum()
    np.testing.assert_allclose(weeks, totals, rtol=1e-6)
    assert days["date"].min().date() == AS_OF + timedelta(days=1)
    assert champion.metrics["wrmsse"] < champion.metrics["naive_wrmsse"]


def test_the_same_facts_are_not_learned_twice(shop: Publish, panel: Callable[..., DailyPanel]) -> None:
    workspace = shop(AS_OF, panel())
    first, again = run(workspace), run(workspace)
    assert (first.reused, again.reused) == (False, True)
    assert first.facts["release_id"] == again.facts["release_id"]


def test_a_forecast_is_written_for_the_level_a_person_names(
    shop: Publish, panel: Callable[..., DailyPanel], tmp_path: Path
) -> None:
    workspace = shop(AS_OF, panel())
    run(workspace)
    done = steps.write_forecast(None, AS_OF, 14, "d", "item_region", tmp_path / "new" / "f.parquet")
    written = pd.read_parquet(tmp_path / "new" / "f.parquet")
    assert done["rows"] == len(written) == 24 * 14
    assert list(written) == ["product_id", "region", "date", "mean", "q10", "q50", "q90", "vintage", "release"]
    assert written.notna().all().all()
    assert set(written["vintage"]) == {AS_OF}
    weekly = steps.write_forecast(workspace.source, AS_OF, 7, "W", "total", tmp_path / "w.parquet")
    assert weekly["rows"] == 1


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"horizon": 15}, "release .* reaches 14.*--horizon-days 15"),
        ({"frequency": "M"}, "there are D .*, W .*, H "),
        ({"frequency": "W", "horizon": 10}, "no number of whole weeks"),
        ({"level": "shelf"}, "no level 'shelf'"),
    ],
)
def test_what_there_is_not_is_refused_and_nothing_is_written(
    shop: Publish, panel: Callable[..., DailyPanel], tmp_path: Path, asked: dict[str, object], message: str
) -> None:
    workspace = shop(AS_OF, panel())
    run(workspace)
    wanted: dict[str, object] = {"horizon": 14, "frequency": "D", "level": "total"} | asked
    with pytest.raises(ConfigurationError, match=message):
        steps.write_forecast(workspace.source, AS_OF, out=tmp_path / "f.parquet", **wanted)  # type: ignore[arg-type]
    assert not list(tmp_path.glob("*.parquet*"))


def test_a_day_without_a_forecast_names_the_days_that_have_one(
    shop: Publish, panel: Callable[..., DailyPanel], tmp_path: Path
) -> None:
    workspace = shop(AS_OF, panel())
    run(workspace)
    with pytest.raises(NotAvailableError, match=f"no daily forecast made on 2024-01-01 .*{AS_OF}.*coldframe train"):
        steps.write_forecast(workspace.source, date(2024, 1, 1), 7, "D", "total", tmp_path / "f.parquet")


def test_another_days_snapshot_is_refused(shop: Publish, panel: Callable[..., DailyPanel]) -> None:
    workspace = shop(AS_OF, panel())
    with pytest.raises(NotAvailableError, match="Run `coldframe audit` for that day first"):
        run(workspace, AS_OF - timedelta(days=1))


def test_two_rows_for_a_day_are_refused_with_their_count(shop: Publish, panel: Callable[..., DailyPanel]) -> None:
    workspace = shop(AS_OF, panel())
    file = workspace.current / "fct_product_day" / "all.parquet"
    rows = pd.read_parquet(file)
    pd.concat([rows, rows.head(3)]).to_parquet(file)
    with pytest.raises(BadInputError, match="fct_product_day has 6 rows for a product, region and day"):
        run(workspace)
