"""The additive model: fast for all nodes at once, and the same as the slow way for one."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize

from ml.forecasting.daily import additive, calendar
from ml.forecasting.daily.additive import RECIPES, Recipe, design_of, forecast, solve
from ml.forecasting.daily.panel import DailyPanel

DAYS = pd.date_range("2021-01-04", periods=900, freq="D")
NOTHING = pd.DataFrame({"date": pd.Series(dtype="datetime64[ns]"), "region": [], "event": [], "kind": []})


def known(days: int, horizon: int, events: pd.DataFrame = NOTHING) -> calendar.Calendar:
    return calendar.build(events, [["north"]], pd.date_range("2021-01-04", periods=days + horizon, freq="D"))


@pytest.mark.parametrize("recipe", RECIPES)
def test_solving_all_nodes_at_once_is_solving_each_by_itself(recipe: Recipe) -> None:
    """The slow way: minimise the penalised, weighted squares of one node by a general optimiser."""
    history, horizon = 250, 14
    target = np.random.default_rng(0).normal(2, 1, (3, history))
    design = design_of(known(history, horizon), 0, history, recipe)
    fast = solve(target, design, horizon, recipe)
    begin = max(0, history - (recipe.days or history))
    age = np.arange(history - begin)[::-1]
    weight = np.ones(len(age)) if recipe.half_life is None else 0.5 ** (age / recipe.half_life)
    seen = design.columns[begin:history]
    strength = recipe.ridge * weight.sum() / 100 * design.penalty + 1e-9
    for node, expected in zip(target[:, begin:], fast, strict=True):

        def loss(b: np.ndarray, node: np.ndarray = node) -> tuple[float, np.ndarray]:
            error = seen @ b - node
            return (
                float((weight * error**2).sum() + (strength * b**2).sum()),
                2 * (seen.T @ (weight * error) + strength * b),
            )

        found = minimize(
            loss,
            np.zeros(seen.shape[1]),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": 20000, "ftol": 1e-15, "gtol": 1e-9, "maxfun": 40000},
        ).x
        ahead = design.columns[history : history + horizon] @ found
        if recipe.recent:
            last = slice(max(begin, history - recipe.recent), history)
            ahead += recipe.follow * (node[-(history - last.start) :] - design.columns[last] @ found).mean()
        np.testing.assert_allclose(expected, ahead, atol=2e-3)


def test_a_wave_of_the_year_is_forecast_after_two_years() -> None:
    time = np.arange(928)
    truth = 100 * (1 + 0.4 * np.sin(2 * np.pi * time / 365.25)) * np.where(time % 7 >= 5, 1.5, 1.0)
    ahead = forecast(truth[None, :900], np.zeros(1, dtype=int), known(900, 28), 28)
    np.testing.assert_allclose(ahead[0], truth[900:], rtol=0.1)


def test_a_shop_that_never_opened_on_an_event_stays_closed_on_it() -> None:
    units = np.full((1, 760), 50.0)
    closed = [d for d in range(800) if (DAYS[d].month, DAYS[d].day) == (1, 1)]
    for day in closed:
        units[0, day : day + 1] = 0
    events = pd.DataFrame(
        {"date": [DAYS[d] for d in closed] + [DAYS[770]], "region": "*", "event": "New Year", "kind": "holiday"}
    )
    ahead = forecast(units, np.zeros(1, dtype=int), known(760, 28, events), 28)[0]
    assert ahead[10] == 0
    assert (np.delete(ahead, 10) > 40).all()


def test_units_in_tens_give_the_forecast_in_tens(panel: Callable[..., DailyPanel]) -> None:
    units = panel().units[-4:].astype(float) + 20
    place = np.zeros(4, dtype=int)
    np.testing.assert_allclose(
        forecast(units * 10, place, known(200, 14), 14), 10 * forecast(units, place, known(200, 14), 14), rtol=1e-6
    )


def test_what_never_sold_is_forecast_as_nothing() -> None:
    ahead = forecast(np.zeros((2, 120)), np.zeros(2, dtype=int), known(120, 7), 7)
    assert not ahead.any()
    assert additive.LEAST_YEARS * additive.YEAR > 120
