"""Models of one series at a time that cost next to nothing: the bar the learned ones must clear.

When these are wrong, every "forecast value added" is measured against a straw man.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ml.forecasting.data import TRAILING, Floats, Ints
from ml.forecasting.models.interface import CYCLES, Demand, OneByOne, Repeated, learnable, means, spread

if TYPE_CHECKING:
    from statsforecast.models import _TS

# Without it statsforecast warns about its own old default.
os.environ.setdefault("NIXTLA_ID_AS_COL", "1")


class Zero:
    """Nothing, for series that sold nothing lately."""

    def fit(self, history: Demand, rows: Ints) -> Repeated:
        return Repeated(np.zeros((len(rows), 1)))


class Naive:
    """The last period, repeated."""

    def fit(self, history: Demand, rows: Ints) -> Repeated:
        return Repeated(history.units[rows, -1:])


class SeasonalNaive:
    """The same period one season (a year of weeks, a week of days) before; the last one where a series was not yet
    sold then."""

    def fit(self, history: Demand, rows: Ints) -> Repeated:
        last = history.units[rows, -history.season :]
        missing = history.season - last.shape[1]
        values = np.pad(last, ((0, 0), (missing, 0)), constant_values=np.nan)
        return Repeated(np.where(np.isfinite(values), values, history.units[rows, -1:]))


@dataclass(frozen=True)
class WindowMean:
    """The mean of the last `periods`, or of all there are."""

    periods: int = TRAILING

    def fit(self, history: Demand, rows: Ints) -> Repeated:
        return Repeated(means(history.units[rows, -self.periods :])[:, None])


@dataclass(frozen=True)
class Library:
    """A model of statsforecast, each series by itself: `make` gives it for the length of a season, 1 for none.

    A season is asked for where a series has gone through two of them, if at all. What is too short to fit, or constant,
    is forecast as its mean. `slow` models are fitted in processes.
    """

    make: Callable[[int], "_TS"]
    slow: bool = False
    seasonal: bool = True

    def fit(self, history: Demand, rows: Ints) -> OneByOne:
        known = [series[np.isfinite(series)] for series in history.units[rows]]
        season = history.season if self.seasonal else 1
        tasks = [(series, season) for series in known if learnable(series)]
        fit = partial(_fit, self.make)
        fitted = iter(spread(fit, tasks) if self.slow else map(fit, tasks))
        models = [next(fitted) if learnable(series) else None for series in known]
        return OneByOne(models, means(history.units[rows]), _say)


def _fit(make: Callable[[int], Any], task: tuple[Floats, int]) -> Any:
    units, season = task
    seasons = season if len(units) >= CYCLES * season else 1
    # An end without any change divides nothing by nothing in the library's test for a season.
    with np.errstate(invalid="ignore"):
        return make(seasons).fit(units)


def _say(models: Sequence[Any], horizon: int) -> list[Floats]:
    return [model.predict(horizon)["mean"] for model in models]


def ets(season: int) -> "_TS":
    """Exponential smoothing in state space, its form chosen by AICc (Hyndman et al. 2002). Seasons of more than 24
    periods it leaves out."""
    from statsforecast.models import AutoETS

    return AutoETS(season_length=season)


def theta(season: int) -> "_TS":
    """Dynamic optimised theta (Fiorucci et al. 2016): half the trend and an exponential smoothing."""
    from statsforecast.models import DynamicOptimizedTheta

    return DynamicOptimizedTheta(season_length=season)


def tsb(season: int) -> "_TS":
    """Teunter, Syntetos and Babai (2011), for demand that comes now and then: probability and size smoothed apart."""
    from statsforecast.models import TSB

    return TSB(alpha_d=0.1, alpha_p=0.1)


def croston(season: int) -> "_TS":
    """Croston (1972) in the approximation of Syntetos and Boylan (2005): size and interval of sales smoothed apart."""
    from statsforecast.models import CrostonSBA

    return CrostonSBA()
