"""The model docs/add-a-model.md adds: it is called, back-tested and chosen like any other."""

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ml.forecasting import evaluate, models
from ml.forecasting.data import Floats, Ints, Panel
from ml.forecasting.decide import ChoiceRules, RouteRules, choose

spec = importlib.util.spec_from_file_location("example_drift", Path(__file__).with_name("example_drift.py"))
assert spec is not None and spec.loader is not None
example = importlib.util.module_from_spec(spec)
spec.loader.exec_module(example)


# --8<-- [start:register]
@pytest.fixture
def with_drift(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(models.MODELS, "drift", example.Drift())
    monkeypatch.setitem(models.CANDIDATES, ("category_region", "dense"), ("window_mean", "drift"))
    # --8<-- [end:register]


def forecast(units: Floats, panel: Callable[..., Panel]) -> Floats:
    rows: Ints = np.arange(len(units))
    return models.run(panel(units), {"drift": rows}, 4)["drift"].units


def test_a_rising_series_goes_on_rising_by_half(with_drift: None, panel: Callable[..., Panel]) -> None:
    rising = 10 + 2.0 * np.arange(20)[None, :]
    assert forecast(rising, panel)[0].tolist() == [46.0, 47.0, 48.0, 49.0]


def test_a_falling_series_ends_at_nothing_and_not_below(with_drift: None, panel: Callable[..., Panel]) -> None:
    falling = np.maximum(20 - 2.0 * np.arange(12), 0)[None, :]
    assert (forecast(falling, panel) >= 0).all()


def test_a_series_a_week_old_gets_a_forecast(with_drift: None, panel: Callable[..., Panel]) -> None:
    units = np.full((2, 20), 4.0)
    units[0, :-1] = np.nan
    assert forecast(units, panel).tolist() == [[4.0] * 4] * 2


# --8<-- [start:backtest]
def test_where_demand_has_a_trend_the_backtest_chooses_it(with_drift: None, panel: Callable[..., Panel]) -> None:
    rng = np.random.default_rng(8)
    growing = panel(rng.poisson(20 + 4 * np.arange(40), (30, 40)))
    origins = evaluate.windows(40, horizon=8)
    rows, _ = evaluate.backtest(growing, origins, RouteRules(top_series=0))
    accuracy = evaluate.accuracy(rows).assign(level="category_region").set_index("model")
    choice = choose(accuracy.loc[["naive", "window_mean", "drift"]].reset_index(), "naive", ChoiceRules())
    assert choice.model == "drift"
    assert accuracy["wape"]["drift"] < accuracy["wape"]["window_mean"]
    # --8<-- [end:backtest]


def test_the_example_cannot_see_the_future_either(with_drift: None, panel: Callable[..., Panel]) -> None:
    made = panel(np.random.default_rng(8).poisson(20, (3, 40)))
    absurd = made.units.copy()
    absurd[:, 30:] = 1e6
    ahead = [
        models.run(p.until(30), {"drift": np.arange(3)}, 4)["drift"].units for p in (made, replace(made, units=absurd))
    ]
    assert np.array_equal(*ahead)
