"""What every model is: fitted to the past of some series, then asked for as many periods ahead as one likes.

A model of one series at a time needs so little of a panel that weeks of a category and days of a whole shop are the
same to it. What it needs is written down here; a model that reaches for more serves one room only.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import pandas as pd

from coldframe.settings import get_settings
from ml.forecasting.data import Floats, Ints

LEAST = 8
"""Known periods below which a series is forecast as its mean: statsforecast refuses to fit to so few."""
CYCLES = 2
"""Cycles of a season a series must have gone through; with fewer a season cannot be told from the trend."""

T = TypeVar("T")
R = TypeVar("R")
Past_contra = TypeVar("Past_contra", contravariant=True)


class Demand(Protocol):
    """What a model of one series at a time may know of a panel cut at the cutoff."""

    @property
    def units(self) -> Floats:
        """[series, period], NaN before a series began."""

    @property
    def periods(self) -> pd.DatetimeIndex:
        """First day of each period."""

    @property
    def season(self) -> int:
        """Periods in the season most of demand follows: 7 days in a week, 52 weeks in a year."""

    def ahead(self, horizon: int) -> pd.DatetimeIndex:
        """The `horizon` periods after the last one."""

    def events_of(self, row: int) -> pd.DataFrame:
        """Events that concern a series, those ahead included: ds (first day of the period), event and kind."""


class Fitted(Protocol):
    """What a model has learned for the rows it was asked for."""

    def predict(self, horizon: int) -> Floats:
        """Units [row wanted, period ahead]. The same history gives the same bytes."""


class Model(Protocol[Past_contra]):
    """A way of forecasting. A global model learns from all series of a history and answers for the `rows` wanted."""

    def fit(self, history: Past_contra, rows: Ints) -> Fitted:
        """Learns from all there is in `history`; it was cut at the cutoff, so that nothing later can be seen."""


@dataclass(frozen=True)
class Repeated:
    """Fitted: a pattern [row, period of it] that goes on for ever."""

    pattern: Floats

    def predict(self, horizon: int) -> Floats:
        return np.tile(self.pattern, -(-horizon // self.pattern.shape[1]))[:, :horizon]


@dataclass(frozen=True)
class WhenAsked:
    """Fitted: a direct model, which learns from just those periods ahead it is asked for."""

    forecast: Callable[[int], Floats]

    def predict(self, horizon: int) -> Floats:
        return self.forecast(horizon)


@dataclass(frozen=True)
class OneByOne:
    """Fitted: one model a row, None for rows that had too little to learn from; their `means` go on.

    `say` gives the next `horizon` units of each of several models.
    """

    models: Sequence[object | None]
    means: Floats
    say: Callable[[Sequence[object], int], Sequence[Floats]]

    def predict(self, horizon: int) -> Floats:
        result = np.repeat(self.means[:, None], horizon, axis=1)
        fitted = [row for row, model in enumerate(self.models) if model is not None]
        if fitted:
            result[fitted] = np.stack(self.say([self.models[row] for row in fitted], horizon))
        return result


def learnable(units: Floats) -> bool:
    """Whether one series, [known period], says more than its mean does: long enough and not constant."""
    return len(units) >= LEAST and bool(units.min() < units.max())


def means(units: Floats) -> Floats:
    """[series] mean of what is known; NaN for a series that has not begun."""
    known = np.isfinite(units).sum(axis=1)
    result: Floats = np.nansum(units, axis=1) / np.where(known > 0, known, np.nan)
    return result


def spread(function: Callable[[T], R], tasks: Sequence[T]) -> list[R]:
    """`function` of each task, in as many processes as the settings allow, each with one thread of its own."""
    from joblib import Parallel, delayed

    threads = get_settings().threads
    if threads == 1 or len(tasks) <= 1:
        return [function(task) for task in tasks]
    chunks = np.array_split(np.arange(len(tasks)), min(len(tasks), 4 * threads))
    several = delayed(_several)
    parts = Parallel(n_jobs=min(threads, len(chunks)))(several(function, [tasks[i] for i in c]) for c in chunks)
    return [result for part in parts for result in part]


def _several(function: Callable[[T], R], tasks: Sequence[T]) -> list[R]:
    # Stan starts a thread per core (prophet#1109).
    os.environ["OMP_NUM_THREADS"] = "1"
    return [function(task) for task in tasks]
