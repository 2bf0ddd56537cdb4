"""How far off a forecast may be: quantiles made of the back-test's own errors, for days and for sums of days.

Errors of days do not add up to those of weeks, nor those of products to those of their category: every level and length
of period has its own. When this is wrong, whoever orders for the 90th percentile runs out, or drowns in stock.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.forecasting.conformal import finite_sample_quantiles

Floats = NDArray[Any]

QUANTILES = (0.1, 0.5, 0.9)
QUANTILE_NAMES = ("q10", "q50", "q90")
FREQUENCIES = {"D": "days", "W": "weeks of seven days", "H": "the whole horizon as one sum"}
SCATTER_DAYS = 182
"""Days before an origin that say how much a node scatters."""
BINS = 10
LEAST_SCORES = 200
BUCKETS = (7, 14)
"""Days ahead after which the second and third horizon bucket begin."""


@dataclass(frozen=True)
class Intervals:
    """Split-conformal offsets (Lei et al. 2018) of one level and length of period, in units of `_width`.

    `edges` cut nodes into bins by their mean forecast, `offsets` is [horizon bucket, bin, quantile].
    """

    edges: Floats
    offsets: Floats

    def quantiles(self, forecasts: Floats, scatter: Floats) -> Floats:
        """[node, period ahead, quantile], never below zero; `scatter` is each node's.

        They are no whole units: where most periods sell nothing, whole ones would hold nine tenths instead of eight.
        """
        size = np.searchsorted(self.edges, forecasts.mean(axis=1))
        bucket = np.minimum(np.digitize(np.arange(forecasts.shape[1]), BUCKETS), len(self.offsets) - 1)
        spread = self.offsets[bucket[None, :], size[:, None]] * _width(forecasts, scatter)[:, :, None]
        result: Floats = np.maximum(forecasts[:, :, None] + spread, 0.0)
        return result


@dataclass(frozen=True)
class Errors:
    """Forecasts of one level from one origin and what came, both [node, period ahead]; `scatter` is each node's."""

    forecast: Floats
    actual: Floats
    scatter: Floats


def calibrate(errors: Sequence[Errors]) -> Intervals:
    """Intervals of one level from the errors of all origins."""
    said, came = np.concatenate([one.forecast for one in errors]), np.concatenate([one.actual for one in errors])
    score = (came - said) / _width(said, np.concatenate([one.scatter for one in errors]))
    buckets = np.digitize(np.arange(said.shape[1]), BUCKETS)
    count = int(buckets.max()) + 1
    bins = int(np.clip(said.size // (LEAST_SCORES * count), 1, BINS))
    means = said.mean(axis=1)
    edges = np.quantile(means, np.arange(1, bins) / bins)
    size = np.searchsorted(edges, means)
    offsets = np.zeros((count, bins, len(QUANTILES)))
    for bucket in range(count):
        of_days = score[:, buckets == bucket]
        for bin_ in range(bins):
            pool = of_days[size == bin_].ravel()
            offsets[bucket, bin_] = finite_sample_quantiles(pool if len(pool) else of_days.ravel(), QUANTILES)
    return Intervals(edges, offsets)


def scatter(units: Floats, frequency: str) -> Floats:
    """How much each node's units [node, day] scatter beside a Poisson count: variance over mean (Fano factor) of its
    days around their weekday, or of its weeks, drawn to 1 by one unit."""
    weeks = units[:, units.shape[1] % 7 :].reshape(len(units), -1, 7).astype(float)
    if frequency == "D":
        variance, mean = weeks.var(axis=1, ddof=1).mean(axis=1), weeks.mean(axis=(1, 2))
    else:
        sums = weeks.sum(axis=2)
        variance, mean = sums.var(axis=1, ddof=1), sums.mean(axis=1)
    result: Floats = (variance + 1) / (mean + 1)
    return result


def held(quantiles: Floats, actual: Floats) -> dict[str, float]:
    """Shares of periods: `coverage_80` within the 80 % interval, `below_q10` and `above_q90` outside; `pinball`."""
    below, above = actual < quantiles[..., 0], actual > quantiles[..., -1]
    return {
        "coverage_80": float((~below & ~above).mean()),
        "below_q10": float(below.mean()),
        "above_q90": float(above.mean()),
        "pinball": pinball(quantiles, actual),
    }


def pinball(quantiles: Floats, actual: Floats) -> float:
    """Mean pinball loss over QUANTILES, relative to the mean actual (Koenker & Bassett 1978)."""
    error = actual[..., None] - quantiles
    level = np.array(QUANTILES)
    loss = np.maximum(level * error, (level - 1) * error).mean()
    return float(loss / actual.mean()) if actual.mean() > 0 else float("nan")


def summed(values: Floats, frequency: str) -> Floats:
    """[node, period ahead] sums of [node, day ahead]: days as they are, whole weeks, or the whole horizon."""
    if frequency == "D":
        return values
    length = 7 if frequency == "W" else values.shape[1]
    periods = values.shape[1] // length
    result: Floats = values[:, : length * periods].reshape(len(values), periods, length).sum(axis=2)
    return result


def _width(forecasts: Floats, scatter: Floats) -> Floats:
    """Counts scatter with the root of what is expected, some more than others; half of that is each node's luck."""
    return np.sqrt(np.maximum(forecasts, 0.05) * np.sqrt(scatter)[:, None])
