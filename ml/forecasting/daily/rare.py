"""What rarely sells: a product is expected to sell what its like went on to sell.

A single one says nothing by itself, but there are many of them, and together they are half of some shops. Forecast as
nothing, they leave what they sell to the others; forecast by their own last weeks, the lucky ones are ordered again.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.forecasting.daily.hierarchy import Ints

Floats = NDArray[Any]

QUARTER = 91
LEAST_UNITS = 13
"""Units of the last 91 days from which on a product is not rare."""
YOUNG = 28
"""Days on offer before which nobody knows whether a product is rare."""
IDLE = (182, 300)
"""Days since the last sale that part products which sold nothing in the last 91."""
YEAR = 364
ORIGINS = 2
AHEAD = 28
LEAST_LIKE = 30
"""Series below which its like say nothing about a product: then its own mean stands."""


def rates(units: Floats, first_day: Ints) -> Floats:
    """Units a day [series] each is to be expected to sell, were it rare, from `units` [series, day].

    Its like are the rare series that had sold as many units in 91 days, or nothing for as long, four and eight weeks
    ago; what they sold in the four weeks from then on is the rate (empirical Bayes without a prior's shape: Robbins
    1956, "An empirical Bayes approach to statistics").
    """
    days = units.shape[1]
    kinds = LEAST_UNITS + len(IDLE)
    sold, count = np.zeros(kinds), np.zeros(kinds)
    for origin in (days - AHEAD * number for number in range(1, ORIGINS + 1)):
        if origin < QUARTER:
            continue
        rare = np.flatnonzero((origin - first_day >= YOUNG) & (_recent(units, origin) < LEAST_UNITS))
        kind = _kind(units[rare], origin)
        sold += np.bincount(kind, np.nan_to_num(units[rare, origin : origin + AHEAD]).mean(axis=1), kinds)
        count += np.bincount(kind, minlength=kinds)
    now = _recent(units, days)
    own = now / np.clip(days - first_day, 1, QUARTER)
    kind = _kind(units, days)
    result: Floats = np.where(count[kind] >= LEAST_LIKE, sold[kind] / np.maximum(count[kind], 1), own)
    return result


def _recent(units: Floats, day: int) -> Floats:
    return np.nansum(units[:, max(0, day - QUARTER) : day], axis=1)


def _kind(units: Floats, day: int) -> Ints:
    """Which are alike: by the days since the last sale if there was none in 91, else by the units sold in them."""
    past = np.nan_to_num(units[:, max(0, day - YEAR) : day])[:, ::-1] > 0
    idle = np.where(past.any(axis=1), past.argmax(axis=1), YEAR)
    sold = np.minimum(np.ceil(_recent(units, day)), LEAST_UNITS - 1).astype(np.int64)
    return np.where(sold > 0, sold + len(IDLE), np.digitize(idle, IDLE))
