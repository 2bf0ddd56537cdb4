"""How good a daily forecast was at each level on days it had not seen, and how wide its intervals must be.

Everything here is scored on rolling origins: a model gets the panel cut at the origin and nothing else.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from coldframe.errors import BadInputError
from ml.forecasting.daily.engine import LEAST_DAYS, DailyForecast, forecast
from ml.forecasting.daily.panel import DailyPanel

Floats = NDArray[Any]

QUANTILES = (0.1, 0.5, 0.9)
QUANTILE_NAMES = ("q10", "q50", "q90")
ORIGINS = 3
WEIGHT_DAYS = 28
"""Days whose value weighs the series of a level, as in the M5 competition."""
BINS = 10
LEAST_SCORES = 200
BUCKETS = (7, 14)
"""Periods ahead after which the second and third horizon bucket begin."""


def cutoffs(days: int, horizon: int, origins: int = ORIGINS) -> tuple[int, ...]:
    """Days known at each origin, the last one `horizon` days before the end and each a horizon after the one before.

    Raises BadInputError for a history that leaves not one.
    """
    found = tuple(days - horizon * n for n in range(origins, 0, -1) if days - horizon * n >= LEAST_DAYS)
    if not found:
        raise BadInputError(
            f"There are {days} days of history. A forecast {horizon} days ahead needs {LEAST_DAYS + horizon}, so that "
            "its error can be measured. Land more history or ask for a smaller horizon."
        )
    return found


@dataclass(frozen=True)
class Tested:
    """Forecasts from one origin beside what came. `actual` is [bottom series, day ahead]."""

    cutoff: int
    result: DailyForecast
    actual: Floats


def backtest(panel: DailyPanel, horizon: int, origins: int = ORIGINS) -> list[Tested]:
    """Forecasts every series from rolling origins."""
    tested = []
    for cutoff in cutoffs(len(panel.days), horizon, origins):
        result = forecast(panel.until(cutoff), horizon)
        tested.append(Tested(cutoff, result, panel.units[:, cutoff : cutoff + horizon]))
    return tested


def seasonal_naive(panel: DailyPanel, horizon: int) -> Floats:
    """[series, day ahead] of the same weekday of the last week: the benchmark."""
    week = np.nan_to_num(panel.units[:, -7:])
    return np.tile(week, -(-horizon // 7))[:, :horizon]


def accuracy(panel: DailyPanel, cutoff: int, forecasts: Mapping[str, Floats]) -> pd.DataFrame:
    """One row a level and model: nodes, wape, bias, rmsse (weighted by value; its mean over levels is M5's WRMSSE).

    RMSSE (Hyndman & Koehler 2006): root mean squared error over the root mean squared day-on-day change of a series
    since its first sale. Nodes that never changed have none and count in `undefined`. A measure without anything to
    divide by is NaN. `forecasts` are [bottom series, day ahead] by model.
    """
    horizon = next(iter(forecasts.values())).shape[1]
    history = np.nan_to_num(panel.units[:, :cutoff]).astype(float)
    actual = np.nan_to_num(panel.units[:, cutoff : cutoff + horizon]).astype(float)
    value = _worth(panel, cutoff)
    rows = []
    for level in panel.hierarchy.levels:
        matrix = panel.hierarchy.matrix(level)
        past, came, worth = matrix @ history, matrix @ actual, matrix @ value
        begun = np.arange(cutoff - 1) >= (past > 0).argmax(axis=1)[:, None]
        step = (np.diff(past, axis=1) ** 2 * begun).sum(axis=1) / np.maximum(begun.sum(axis=1), 1)
        defined = (step > 0) & (worth > 0)
        sold = came.sum()
        for model, ahead in forecasts.items():
            error = matrix @ ahead - came
            rmsse = np.sqrt((error**2).mean(axis=1)[defined] / step[defined])
            rows.append(
                {
                    "level": level,
                    "model": model,
                    "nodes": len(past),
                    "wape": np.abs(error).sum() / sold if sold > 0 else np.nan,
                    "bias": error.sum() / sold if sold > 0 else np.nan,
                    "rmsse": (rmsse * worth[defined]).sum() / worth[defined].sum() if defined.any() else np.nan,
                    "undefined": int((~defined).sum()),
                }
            )
    return pd.DataFrame(rows)


def _worth(panel: DailyPanel, cutoff: int) -> Floats:
    """What each series brought in over the last WEIGHT_DAYS days, at the prices of the list where there is one."""
    begin = max(0, cutoff - WEIGHT_DAYS)
    units = np.nan_to_num(panel.units[:, begin:cutoff]).astype(float)
    if panel.prices is None:
        return units.sum(axis=1) * panel.value
    every = np.arange(len(units))
    prices = [panel.prices.at(every, np.full(len(units), day), cutoff) for day in range(begin, cutoff)]
    price = np.stack(prices, axis=1)
    return (units * np.where(np.isfinite(price), price, panel.value[:, None])).sum(axis=1)


@dataclass(frozen=True)
class Intervals:
    """Split-conformal offsets (Lei et al. 2018) of one level, in units of the root of the forecast.

    `edges` cut nodes into bins by their mean forecast, `offsets` is [horizon bucket, bin, quantile]. Counts scatter
    with the root of what is expected, so that within a bin one offset serves.
    """

    edges: Floats
    offsets: Floats

    def quantiles(self, forecasts: Floats) -> Floats:
        """[node, period ahead, quantile] in whole units, never below zero."""
        size = np.searchsorted(self.edges, forecasts.mean(axis=1))
        bucket = np.digitize(np.arange(forecasts.shape[1]), BUCKETS)
        spread = self.offsets[bucket[None, :], size[:, None]] * _width(forecasts)[:, :, None]
        result: Floats = np.maximum(np.rint(forecasts[:, :, None] + spread), 0.0)
        return result


def calibrate(forecasts: Sequence[Floats], actuals: Sequence[Floats]) -> Intervals:
    """Intervals of one level from forecasts and what came, each [node, period ahead], one pair an origin.

    Periods are days, or longer ones whose sums are given: intervals of days do not add up to those of weeks.
    """
    said, came = np.concatenate(forecasts), np.concatenate(actuals)
    bins = int(np.clip(said.size // (LEAST_SCORES * (len(BUCKETS) + 1)), 1, BINS))
    means = said.mean(axis=1)
    edges = np.quantile(means, np.arange(1, bins) / bins)
    size = np.searchsorted(edges, means)
    score = (came - said) / _width(said)
    buckets = np.digitize(np.arange(said.shape[1]), BUCKETS)
    offsets = np.zeros((len(BUCKETS) + 1, bins, len(QUANTILES)))
    for bucket in range(len(BUCKETS) + 1):
        of_days = score[:, buckets == bucket]
        # A horizon that ends before the bucket borrows all periods.
        of_days = of_days if of_days.size else score
        for bin_ in range(bins):
            pool = of_days[size == bin_].ravel()
            offsets[bucket, bin_] = _finite_sample_quantiles(pool if len(pool) else of_days.ravel())
    return Intervals(edges, offsets)


def coverage(quantiles: Floats, actual: Floats) -> float:
    """Share of periods that lie within the 80 % interval."""
    return float(((actual >= quantiles[..., 0]) & (actual <= quantiles[..., -1])).mean())


def pinball(quantiles: Floats, actual: Floats) -> float:
    """Mean pinball loss over QUANTILES, relative to the mean actual (Koenker & Bassett 1978)."""
    error = actual[..., None] - quantiles
    level = np.array(QUANTILES)
    loss = np.maximum(level * error, (level - 1) * error).mean()
    return float(loss / actual.mean()) if actual.mean() > 0 else float("nan")


def level_pairs(panel: DailyPanel, tested: Sequence[Tested], level: str) -> tuple[list[Floats], list[Floats]]:
    """Forecasts and what came, [node, day ahead], of each origin; nodes not yet on offer at an origin are left out."""
    matrix = panel.hierarchy.matrix(level)
    said, came = [], []
    for one in tested:
        begun = (matrix @ (panel.first_day < one.cutoff)) > 0
        said.append((matrix @ one.result.units)[begun])
        came.append((matrix @ np.nan_to_num(one.actual))[begun])
    return said, came


def by_week(values: Floats) -> Floats:
    """[node, week ahead] sums of whole weeks of [node, day ahead]."""
    weeks = values.shape[1] // 7
    result: Floats = values[:, : 7 * weeks].reshape(len(values), weeks, 7).sum(axis=2)
    return result


def _width(forecasts: Floats) -> Floats:
    return np.sqrt(np.maximum(forecasts, 0.05))


def _finite_sample_quantiles(scores: Floats) -> Floats:
    """Order statistics that cover with at least the stated probability in a sample of n: rank ceil(p (n + 1))."""
    ordered, n = np.sort(scores), len(scores)
    ranks = [np.floor(p * (n + 1)) if p < 0.5 else np.ceil(p * (n + 1)) for p in QUANTILES]
    result: Floats = ordered[np.clip(np.array(ranks, dtype=int) - 1, 0, n - 1)]
    return result
