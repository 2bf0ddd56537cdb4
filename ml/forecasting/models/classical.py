"""Models of one series at a time that cost next to nothing: the bar the learned ones must clear.

When these are wrong, every "forecast value added" is measured against a straw man.
"""

import os
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ml.forecasting.data import TRAILING, Floats, Ints, Panel

if TYPE_CHECKING:
    from statsforecast.models import _TS

SEASON = 52
"""Weeks in a year: the one season weekly demand has."""


def zero(history: Panel, rows: Ints, horizon: int) -> Floats:
    """Nothing, for series that sold nothing lately."""
    return np.zeros((len(rows), horizon))


def naive(history: Panel, rows: Ints, horizon: int) -> Floats:
    """The last week, repeated."""
    return np.repeat(history.units[rows, -1:], horizon, axis=1)


def seasonal_naive(history: Panel, rows: Ints, horizon: int) -> Floats:
    """The same week a year (52 weeks) before; the last week where a series was not yet sold then."""
    last = history.units.shape[1]
    year_ago = last - SEASON + np.arange(horizon) % SEASON
    values = np.where(year_ago >= 0, history.units[np.ix_(rows, np.maximum(year_ago, 0))], np.nan)
    return np.where(np.isfinite(values), values, history.units[rows, -1:])


def window_mean(history: Panel, rows: Ints, horizon: int) -> Floats:
    """The mean of the last 13 weeks, or of all there are."""
    return np.repeat(np.nanmean(history.units[rows, -TRAILING:], axis=1, keepdims=True), horizon, axis=1)


def tsb(history: Panel, rows: Ints, horizon: int) -> Floats:
    """Teunter, Syntetos and Babai (2011), for demand that comes now and then: probability and size smoothed apart."""
    from statsforecast.models import TSB

    return _each_series(TSB(alpha_d=0.1, alpha_p=0.1), history, rows, horizon)


def theta(history: Panel, rows: Ints, horizon: int) -> Floats:
    """Optimised theta (Fiorucci et al. 2016): half the trend and an exponential smoothing."""
    from statsforecast.models import OptimizedTheta

    return _each_series(OptimizedTheta(season_length=1), history, rows, horizon)


def _each_series(model: "_TS", history: Panel, rows: Ints, horizon: int) -> Floats:
    # Without it statsforecast warns about its own old default.
    os.environ["NIXTLA_ID_AS_COL"] = "1"
    from statsforecast import StatsForecast
    from statsforecast.models import Naive

    if len(rows) == 0:
        return np.zeros((0, horizon))
    units = history.units[rows]
    series, week = np.nonzero(np.isfinite(units))
    frame = pd.DataFrame({"unique_id": series, "ds": history.weeks[week], "y": units[series, week]})
    ahead = StatsForecast(models=[model], freq="7D", fallback_model=Naive()).forecast(df=frame, h=horizon)
    result: Floats = ahead.iloc[:, -1].to_numpy(dtype=float).reshape(len(rows), horizon)
    return result
