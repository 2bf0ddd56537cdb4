"""Prophet for the few dense series where a calendar explains something; processes share the series.

It costs a thousand times what the others do, so decide.py hands it the top series only. Its intervals are switched
off: conformal ones from the back-test are honest and free.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from ml.forecasting.data import Floats, Ints
from ml.forecasting.models.interface import CYCLES, Demand, OneByOne, learnable, means, spread

YEAR = 364
"""Days of 52 weeks."""
SEED = 20170101


@dataclass(frozen=True)
class _Task:
    """One series to fit: its known units on the days `ds`, its events, and which seasons it is long enough for."""

    ds: pd.DatetimeIndex
    units: Floats
    events: pd.DataFrame
    weekly: bool
    yearly: bool


class ProphetModel:
    """Piecewise linear trend, events, and each season there are two cycles of (Taylor & Letham 2018)."""

    def fit(self, history: Demand, rows: Ints) -> OneByOne:
        # Here too: what comes back from the processes imports Prophet.
        _quiet()
        if not len(rows):
            return OneByOne([], np.zeros(0), partial(_say, ahead=history.ahead))
        known = np.isfinite(history.units[rows])
        step = history.ahead(1)[0] - history.periods[-1]
        tasks = [
            _Task(
                ds=history.periods[of_row],
                units=history.units[row, of_row],
                events=history.events_of(int(row)),
                # Prophet takes numpy's true for the number of waves: one.
                weekly=bool(step.days == 1 and of_row.sum() >= CYCLES * 7),
                yearly=bool(of_row.sum() * step.days >= CYCLES * YEAR),
            )
            for row, of_row in zip(rows, known, strict=True)
        ]
        fitted = iter(spread(_fit, [task for task in tasks if learnable(task.units)]))
        models = [next(fitted) if learnable(task.units) else None for task in tasks]
        return OneByOne(models, means(history.units[rows]), partial(_say, ahead=history.ahead))


def _say(models: Sequence[Any], horizon: int, ahead: Any) -> list[Floats]:
    return spread(partial(_predict, ds=ahead(horizon)), models)


def _quiet() -> None:
    for name in ("prophet", "prophet.plot", "cmdstanpy"):
        logging.getLogger(name).disabled = True


def _fit(task: _Task) -> Any:
    _quiet()
    from prophet import Prophet

    # In less than two years each event is seen once at most, so they share one effect a kind.
    named = task.events["event" if task.yearly else "kind"]
    holidays = pd.DataFrame({"ds": task.events["ds"], "holiday": named}).drop_duplicates()
    model = Prophet(
        uncertainty_samples=0,
        yearly_seasonality=task.yearly,
        weekly_seasonality=task.weekly,
        daily_seasonality=False,
        holidays=None if holidays.empty else holidays,
    )
    model.fit(pd.DataFrame({"ds": task.ds, "y": task.units}), seed=SEED)
    # Otherwise Stan's files fill the temporary folder until the process ends (prophet#2253).
    if model.stan_backend is not None:
        model.stan_backend.cleanup()
    # Neither is needed to predict, and neither travels between processes.
    model.stan_backend = model.stan_fit = None
    return model


def _predict(model: Any, ds: pd.DatetimeIndex) -> Floats:
    result: Floats = model.predict(pd.DataFrame({"ds": ds}))["yhat"].to_numpy(dtype=float)
    return result
