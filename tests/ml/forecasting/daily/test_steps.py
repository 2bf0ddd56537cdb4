"""The daily step trains when it is due, else forecasts today's facts, and hands out what a person asks for."""

import functools
import hashlib
import pickle
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from coldframe.errors import BadInputError, ConfigurationError, NotAvailableError
from coldframe.paths import Workspace
from coldframe.run import Request, StepResult
from ml.forecasting.daily import engine, learn, steps
from ml.forecasting.daily import panel as panels
from ml.forecasting.daily.learn import Learned
from ml.forecasting.daily.panel import DailyPanel
from ml.promotion import Scores
from ml.registry import Registry, Release, rollback
from tests.ml.forecasting.daily.conftest import FIRST, make_keys, make_panel

Publish = Callable[[date, DailyPanel], Workspace]
DAYS = 112
AS_OF = FIRST + timedelta(days=DAYS - 1)
SHOP = make_panel(4, 145)
OTHER = "both_middle_out"


@pytest.fixture(scope="module")
def known() -> dict[str, Learned]:
    return {}


@pytest.fixture(autouse=True)
def instant(monkeypatch: pytest.MonkeyPatch, known: dict[str, Learned]) -> None:
    """Models that repeat the mean weekday, and what the same call gave before: who forecasts does not matter here."""

    def usual(units: np.ndarray, horizon: int) -> np.ndarray:
        week = np.nan_to_num(units[:, -28:]).reshape(len(units), 4, 7).mean(axis=1)
        return np.tile(week, 15)[:, :horizon]

    def of_series(series: Any, which: Any, value: Any, horizon: int, trees: Any) -> np.ndarray:
        return usual(series.units[which], horizon)

    monkeypatch.setattr(engine.trees, "forecast", of_series)
    monkeypatch.setattr(engine.additive, "forecast", lambda units, _, __, horizon: usual(units, horizon))
    monkeypatch.setattr(learn, "components", lambda *_: pa.table({"model": pa.array([], pa.string())}), raising=False)
    train, refresh, choose = steps.train, steps.refresh, learn.choose

    def remembered(function: Callable[..., Learned], panel: DailyPanel, *others: Any) -> Learned:
        if engine.trees.forecast is not of_series:
            return function(panel, *others)
        told = (function.__name__, panel.units, panel.hierarchy.keys, others, learn.choose is choose)
        asked = hashlib.sha256(pickle.dumps(told)).hexdigest()
        if asked not in known:
            known[asked] = function(panel, *others)
        return known[asked]

    monkeypatch.setattr(steps, "train", functools.partial(remembered, train))
    monkeypatch.setattr(steps, "refresh", functools.partial(remembered, refresh))


@pytest.fixture
def day(shop: Publish) -> Callable[..., Workspace]:
    """Publishes the shop as it was known a number of days after AS_OF."""

    def publish(later: int = 0, panel: DailyPanel = SHOP) -> Workspace:
        return shop(AS_OF + timedelta(days=later), panel.until(DAYS + later))

    return publish


def run(workspace: Workspace, later: int = 0, horizon_days: int = 14, force: bool = False) -> StepResult:
    as_of = AS_OF + timedelta(days=later)
    request = Request(source=workspace.source, as_of=as_of, horizon_days=horizon_days, force=force)
    return steps.forecast_daily(request)


def serving(workspace: Workspace) -> Release:
    champion = Registry(workspace).champion("forecasting_daily")
    assert champion is not None
    return champion


def train_another(monkeypatch: pytest.MonkeyPatch, loss: float) -> None:
    """From here on training chooses a method whose loss is `loss`, where the one that serves has 0.5."""
    monkeypatch.setattr(learn, "choose", lambda accuracy: (OTHER, "the test wants it"))

    def scores(tested: Release, release: Release, method: str) -> Scores:
        return Scores(release.id, release.as_of, "w", loss if method == OTHER else 0.5, 0.9)

    monkeypatch.setattr(steps, "_scores", scores)


def test_the_panel_is_what_was_published(day: Callable[..., Workspace]) -> None:
    from coldframe import snapshots

    loaded = panels.load(snapshots.current(day()))
    np.testing.assert_array_equal(np.nan_to_num(loaded.units), SHOP.until(DAYS).units)
    assert (loaded.days[0].date(), loaded.days[-1].date()) == (FIRST, AS_OF)
    assert loaded.prices is None


# Reuse, refresh, train


def test_a_first_run_trains_promotes_and_says_why(day: Callable[..., Workspace]) -> None:
    workspace = day()
    result = run(workspace)
    champion = serving(workspace)
    assert (result.reused, result.facts["release_id"]) == (False, champion.id)
    assert (result.facts["retraining"], result.facts["promotion"]) == ("train", "promote")
    assert result.facts["retraining_reasons"] == ["there is no champion that knows only what this run may know"]
    assert champion.metrics["wrmsse"] < champion.metrics["naive_wrmsse"]
    forecasts = champion.table("forecasts")
    assert forecasts["date"].min().date() == AS_OF + timedelta(days=1)
    totals = forecasts.groupby(["frequency", "level"], observed=True)["mean"].sum()
    np.testing.assert_allclose(totals, totals["D", "total"], rtol=1e-6, err_msg="levels and periods add up")


def test_the_same_facts_are_not_learned_twice(day: Callable[..., Workspace]) -> None:
    workspace = day()
    first, again = run(workspace), run(workspace)
    assert (first.reused, again.reused, again.facts["retraining"]) == (False, True, "reuse")
    assert first.facts["release_id"] == again.facts["release_id"]


def test_the_next_days_facts_are_forecast_by_the_method_that_serves(day: Callable[..., Workspace]) -> None:
    first = run(day())
    workspace = day(1)
    result = run(workspace, 1)
    champion = serving(workspace)
    assert (result.facts["retraining"], result.facts["promotion"]) == ("refresh", "refresh")
    assert (champion.id, champion.as_of) == (result.facts["release_id"], AS_OF + timedelta(days=1))
    assert champion.params["method_of"] == first.facts["release_id"]
    assert champion.table("forecasts")["date"].min() == pd.Timestamp(AS_OF + timedelta(days=2))
    assert champion.metrics["wrmsse"] == first.facts["wrmsse"]
    assert champion.table("accuracy").equals(
        Registry(workspace).load("forecasting_daily", first.facts["release_id"]).table("accuracy")
    )
    assert run(workspace, 1).facts["retraining"] == "reuse"


def test_a_training_four_weeks_old_is_renewed_however_often_it_was_refreshed(day: Callable[..., Workspace]) -> None:
    run(day())
    run(day(20), 20)
    result = run(day(28), 28)
    assert result.facts["retraining_reasons"] == ["the last training is 28 days old; it is renewed every 28"]
    assert result.facts["promotion_reasons"][0].startswith("training chose both_wls again")
    assert result.facts["promotion"] == "refresh", "the method that serves needs no gain"


def test_corrected_facts_of_its_own_day_are_trained_anew(day: Callable[..., Workspace]) -> None:
    first = run(day())
    corrected = make_panel(4, 145, units=SHOP.units + 1)
    again = run(day(0, corrected))
    assert again.facts["retraining_reasons"][0].startswith(f"the facts of {AS_OF} changed: snapshot ")
    assert again.facts["release_id"] != first.facts["release_id"]


def test_levels_the_method_does_not_know_are_a_reason_to_train(day: Callable[..., Workspace]) -> None:
    one = make_panel(4, 145)
    keys = one.hierarchy.keys.assign(merchant_id=[f"m{n % 3}" for n in range(len(one.hierarchy.keys))])
    run(day(0, one))
    grown = DailyPanel(panels.Hierarchy(keys), one.days, one.units, one.first_day, one.prices, one.value, one.events)
    result = run(day(1, grown), 1)
    assert result.facts["retraining"] == "train"
    assert "at levels it does not know: merchant, merchant_region" in result.facts["retraining_reasons"][0]


def test_what_drifts_is_trained(day: Callable[..., Workspace]) -> None:
    """Demand doubled on the day after the training: the week after each vintage was far off."""
    run(day())
    risen = make_panel(4, 145, units=np.where(np.arange(145) < DAYS, SHOP.units, SHOP.units * 4))
    assert run(day(7, risen), 7).facts["retraining"] == "refresh", "one bad week is not drift"
    result = run(day(14, risen), 14)
    assert result.facts["retraining"] == "train"
    assert any(reason.startswith("total drifted: 2 weeks in a row") for reason in result.facts["retraining_reasons"])


# Promote, refuse, roll back


def test_another_method_that_wins_is_promoted(day: Callable[..., Workspace], monkeypatch: pytest.MonkeyPatch) -> None:
    run(day())
    train_another(monkeypatch, loss=0.4)
    workspace = day(28)
    result = run(workspace, 28)
    assert result.facts["promotion"] == "promote"
    assert result.facts["promotion_reasons"][0].startswith("gains 20.0% on champion")
    assert serving(workspace).table("method")["method"].tolist() == [OTHER]


def test_another_method_that_loses_leaves_the_method_and_not_its_old_facts(
    day: Callable[..., Workspace], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(day())
    train_another(monkeypatch, loss=0.6)
    workspace = day(28)
    result = run(workspace, 28)
    champion = serving(workspace)
    assert (result.facts["promotion"], champion.as_of) == ("refresh", AS_OF + timedelta(days=28))
    assert champion.params["method_of"] == first.facts["release_id"]
    assert any("does not serve: gains -20.0% on champion" in warning for warning in result.warnings)
    later = run(day(29), 29)
    assert later.facts["retraining"] == "refresh", "what it withstood yesterday is not asked again today"


def test_a_method_that_loses_to_the_benchmark_is_not_held(
    day: Callable[..., Workspace], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(day())
    train_another(monkeypatch, loss=0.6)
    monkeypatch.setattr(
        steps,
        "_scores",
        lambda _, release, method: Scores(release.id, AS_OF, "w", 0.9 if method == OTHER else 1.0, 0.9),
    )
    result = run(day(28), 28)
    assert result.facts["promotion"] == "promote"
    assert "loses to the benchmark" in result.facts["promotion_reasons"][0]


def test_a_longer_horizon_than_the_champion_reaches_need_not_beat_it(
    day: Callable[..., Workspace], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = day()
    run(workspace)
    train_another(monkeypatch, loss=0.6)
    result = run(workspace, horizon_days=21)
    assert result.facts["retraining_reasons"] == ["the champion answers 14 days ahead, the run asks for 21 days ahead"]
    assert result.facts["promotion"] == "promote"
    assert result.facts["promotion_reasons"][0].endswith("reaches 14 days ahead")


def test_a_rollback_holds_the_method_until_it_is_lifted(
    day: Callable[..., Workspace], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(day())
    with monkeypatch.context() as patch:
        train_another(patch, loss=0.4)
        run(day(28), 28)
        workspace = day(29)
        run(workspace, 29)
        back = rollback(workspace, "forecasting_daily", "Ada", "orders doubled")
        assert back.id == first.facts["release_id"], "past the refresh, to the method before"
        with pytest.raises(NotAvailableError, match=f"rolled back: orders doubled.*those of: {AS_OF}.*coldframe train"):
            steps.serving(Registry(workspace), AS_OF + timedelta(days=29))
        held = run(workspace, 29)
        assert held.facts["promotion"] == "refresh"
        assert serving(workspace).params["method_of"] == first.facts["release_id"]
        forced = run(workspace, 29, force=True)
        assert forced.facts["promotion"] == "refresh"
        assert any("rolled back: orders doubled" in warning for warning in forced.warnings)
        rollback(workspace, "forecasting_daily", "Ada", "it was the data", lift=True)
        freed = run(workspace, 29, force=True)
        assert (freed.facts["promotion"], serving(workspace).table("method")["method"][0]) == ("promote", OTHER)


def test_an_older_day_is_made_by_what_answered_by_then_and_moves_nothing(
    day: Callable[..., Workspace], tmp_path: Path
) -> None:
    workspace = day(10)
    newer = run(workspace, 10)
    day()
    older = run(workspace)
    assert older.facts["retraining"] == "train", "a method chosen later would tell what could not be known"
    assert run(workspace).facts["retraining"] == "reuse"
    day(5)
    assert run(workspace, 5).facts["retraining"] == "refresh"
    assert serving(workspace).id == newer.facts["release_id"]
    actions = [event.action for event in Registry(workspace).history("forecasting_daily")]
    assert actions == ["promote", "backfill", "backfill"]
    done = steps.write_forecast(workspace.source, AS_OF, 7, "D", "total", tmp_path / "f.parquet")
    assert done["release"] == older.facts["release_id"]


# What fails


def break_category(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on the trees of products make no number of the first product's category."""
    works = engine.trees.forecast

    def broken(series: Any, which: Any, value: Any, horizon: int, trees: Any) -> Any:
        units = works(series, which, value, horizon, trees)
        if trees is engine.PRODUCTS:
            units[0] = np.inf
        return units

    monkeypatch.setattr(engine.trees, "forecast", broken)


def test_a_category_that_fails_stands_on_the_champions_forecast_and_is_marked_stale(
    day: Callable[..., Workspace], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run(day())
    steps.write_forecast(None, AS_OF, 14, "D", "product_region", tmp_path / "before.parquet")
    break_category(monkeypatch)
    workspace = day(3)
    result = run(workspace, 3)
    assert list(result.facts["failed"]) == ["c0"]
    assert any("category c0 has no forecast of today's facts" in warning for warning in result.warnings)
    as_of = AS_OF + timedelta(days=3)
    steps.write_forecast(workspace.source, as_of, 14, "D", "product_region", tmp_path / "now.parquet")
    before, now = (pd.read_parquet(tmp_path / name) for name in ("before.parquet", "now.parquet"))
    categories = make_keys(4).drop_duplicates("product_id").set_index("product_id")["category"]
    failed = now["product_id"].map(categories) == "c0"
    assert (now["stale"] == failed).all()
    both = now[failed].merge(before, on=["product_id", "region", "date"], suffixes=("", "_before"))
    assert len(both) == failed.sum() * 11 / 14
    np.testing.assert_allclose(both["mean"], both["mean_before"])


def test_facts_that_cannot_be_learned_from_leave_the_champion_and_say_until_when_it_reaches(
    day: Callable[..., Workspace],
) -> None:
    first = run(day())
    workspace = day(1)
    file = workspace.current / "fct_product_day" / "all.parquet"
    rows = pd.read_parquet(file)
    pd.concat([rows, rows.head(3)]).to_parquet(file)
    with pytest.raises(
        BadInputError,
        match=f"fct_product_day has 6 rows for a product.* Until then the forecast of {AS_OF} .*"
        f"up to {AS_OF + timedelta(days=14)}.*coldframe forecast --as-of {AS_OF}",
    ):
        run(workspace, 1)
    assert serving(workspace).id == first.facts["release_id"]


def test_another_days_snapshot_is_refused(day: Callable[..., Workspace]) -> None:
    workspace = day()
    with pytest.raises(NotAvailableError, match="Run `coldframe audit` for that day first"):
        run(workspace, -1)


# Handing out


def test_a_forecast_is_written_for_the_level_a_person_names(day: Callable[..., Workspace], tmp_path: Path) -> None:
    workspace = day()
    run(workspace)
    done = steps.write_forecast(None, AS_OF, 14, "d", "item_region", tmp_path / "new" / "f.parquet")
    written = pd.read_parquet(tmp_path / "new" / "f.parquet")
    assert done["rows"] == len(written) == 8 * 14
    columns = ["product_id", "region", "date", "mean", "q10", "q50", "q90", "vintage", "release", "stale"]
    assert list(written) == columns
    assert written.notna().all().all()
    assert (set(written["vintage"]), set(written["stale"])) == ({AS_OF}, {False})
    steps.write_forecast(None, AS_OF, 14, "d", "item_region", tmp_path / "o'brien.csv")
    assert pd.read_csv(tmp_path / "o'brien.csv")["mean"].to_numpy() == pytest.approx(written["mean"].to_numpy())
    weekly = steps.write_forecast(workspace.source, AS_OF, 7, "W", "total", tmp_path / "w.parquet")
    assert weekly["rows"] == 1
    whole = steps.write_forecast(workspace.source, AS_OF, 14, "H", "total", tmp_path / "h.parquet")
    assert whole["rows"] == 1


def test_what_there_is_not_is_refused_and_nothing_is_written(day: Callable[..., Workspace], tmp_path: Path) -> None:
    workspace = day()
    run(workspace)
    refused: tuple[tuple[dict[str, Any], str], ...] = (
        ({"horizon": 15}, "release .* has 1 to 14.*--horizon-days 15"),
        ({"horizon": 0}, "has 1 to 14, and no forecast more than 98.$"),
        ({"frequency": "M"}, "there are D .*, W .*, H "),
        ({"frequency": "W", "horizon": 10}, "no number of whole weeks"),
        ({"frequency": "H", "horizon": 7}, "the whole horizon of release .* is 14"),
        ({"level": "shelf"}, "no level 'shelf'"),
    )
    for asked, message in refused:
        wanted: dict[str, Any] = {"horizon": 14, "frequency": "D", "level": "total"} | asked
        with pytest.raises(ConfigurationError, match=message):
            steps.write_forecast(workspace.source, AS_OF, out=tmp_path / "f.parquet", **wanted)
    assert not list(tmp_path.glob("*.parquet*"))


def test_a_day_without_a_forecast_names_the_vintage_before_it_and_how_to_ask(
    day: Callable[..., Workspace], tmp_path: Path
) -> None:
    workspace = day()
    run(workspace)
    later = AS_OF + timedelta(days=2)
    with pytest.raises(
        NotAvailableError,
        match=f"no daily forecast made on {later} .*those of: {AS_OF}.*--as-of {AS_OF}, or make one: coldframe train",
    ):
        steps.write_forecast(workspace.source, later, 7, "D", "total", tmp_path / "f.parquet")
    with pytest.raises(NotAvailableError, match=f"no daily forecast made on 2021-01-01 .*{AS_OF}.*Make one: coldframe"):
        steps.write_forecast(workspace.source, date(2021, 1, 1), 7, "D", "total", tmp_path / "f.parquet")
