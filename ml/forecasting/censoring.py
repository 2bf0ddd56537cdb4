"""What was wanted where stock ran out: sales of a shop that had nothing to sell are no demand.

A model that learns stock-outs as days without demand forecasts too little, the plan made of it orders too little, and
the shop runs out again. A model that takes a discontinued product for one that is out of stock orders it for ever.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]
Mask = NDArray[np.bool_]
Ints = NDArray[np.int64]

HALF_LIFE = 8
"""Weeks in stock after which a sale counts half for how much a series sells now."""
LEAST_STOCKED = 1
"""Weeks in stock before which nothing is known of a series: its sales stay as they are."""
MOST_OUT = 13
"""Weeks out of stock after which a product counts as given up: its sales are what they are."""
GROUP_UNITS = 25.0
"""Units a period with which all series speak for a group that has hardly any of its own."""


def stocked_share(out: Mask, units: Floats) -> Floats:
    """Share of each day in which there was stock, from whether it ended without any and what was sold (NaN: not yet on
    offer); all [series, day].

    On the day it runs out a product was there half the day, on average. It was there for nothing of a day that it
    began without stock or sold nothing on, and nobody knows of its first day on offer.
    """
    began_with = np.zeros_like(out)
    began_with[:, 1:] = ~out[:, :-1] & np.isfinite(units[:, :-1])
    return np.where(out, np.where(began_with & (units > 0), 0.5, 0.0), 1.0).astype(np.float32)


def demand(units: Floats, stocked: Floats, group: Ints, week: int) -> Floats:
    """Units [series, period] that were wanted: what was sold, and for the time without stock what would have been.

    What would have been is what the series sold a period in stock before (exponentially weighted), moved as its group
    moved meanwhile: its level follows the group slowly, the period itself as the group sold on it. Of a period in which
    it ran out, it is what it sold until then where that is more: a rush empties the shelf. Nothing after a period is
    looked at, so that a panel cut at an origin is what somebody standing there would have made. As sold where the
    series is not yet known or was given up (LEAST_STOCKED, MOST_OUT).

    `units` is NaN before a series is on offer. `stocked` is the share of each period with stock, `group` each series'
    group, `week` how many periods a week has. Returns `units` itself where stock never ran out.
    """
    short = stocked < 1
    if not short.any():
        return units
    wanted = units.copy()
    series, periods = units.shape
    groups = int(group.max()) + 1
    keep = 0.5 ** (1 / (HALF_LIFE * week))
    # Units and the time they took, weighted; time in stock so far, and time out of stock since.
    sold, seen, been, gone = (np.zeros(series) for _ in range(4))
    for period in range(periods):
        on_offer = np.isfinite(units[:, period])
        share = np.where(on_offer, stocked[:, period], 0.0)
        now = np.where(share > 0, units[:, period], 0.0)
        known = been >= LEAST_STOCKED * week
        level = np.where(known, sold / np.maximum(seen, 1e-9), 0.0)
        due = np.bincount(group, level * share, groups)
        came = np.bincount(group, np.where(known, now, 0.0), groups)
        overall = (came.sum() + GROUP_UNITS) / (due.sum() + GROUP_UNITS)
        moved = ((came + GROUP_UNITS * overall) / (due + GROUP_UNITS))[group]
        gone = np.where(share > 0, 0.0, gone + on_offer)
        missed = on_offer & (share < 1) & known & (gone <= MOST_OUT * week)
        usual = level * moved
        found = np.maximum(now + (1 - share) * np.maximum(now, usual), usual)
        wanted[missed, period] = np.maximum(units[missed, period], found[missed])
        faded = keep**share
        sold = (faded * sold + now) * (1 + (1 - keep) * (moved - 1))
        seen = faded * seen + share * moved
        been += share
    return wanted
