"""What is odd in the facts a forecast is made from: counted, explained, and told to whoever reads the release.

What cannot be learned from at all is refused where it is read (data.py, daily/panel.py). What is told here is learned
from all the same; told by nobody, it is found months later in a plan that orders thousandths of a gallon.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

APART = 100.0
LEAST = 3
"""Periods there must be on either side of a gap of APART: one bulk order is no other unit."""
NAMED = 3
"""Examples named in a message."""


def mixed_units(units: NDArray[np.floating], names: pd.Series) -> str | None:
    """Series that seem to count in two units: what they sold falls into two clusters and nothing lies between.

    `units` is [series, period]; a cluster is at least LEAST periods, the higher one APART times the lower or more.
    """
    sold = np.where(units > 0, units, np.nan)
    high = np.nanmax(units, axis=1, initial=0.0)
    low = np.nanmin(sold, axis=1, initial=np.inf)
    suspects = np.flatnonzero(high >= APART * low)
    ordered = np.sort(sold[suspects], axis=1)
    known = np.isfinite(ordered).sum(axis=1)
    with np.errstate(invalid="ignore"):
        gap = ordered[:, LEAST:] >= APART * ordered[:, LEAST - 1 : -1]
    below = np.arange(LEAST, ordered.shape[1])
    mixed = suspects[(gap & (below <= known[:, None] - LEAST)).any(axis=1)]
    if not len(mixed):
        return None
    return (
        f"{len(mixed)} of {len(units)} series seem to mix units: what they sold lies in two clusters that are "
        f"{APART:.0f} times apart or more ({_named(names.iloc[mixed])}). They are learned as they stand, and so is "
        "every sum they are in. Let the source count each product in one unit."
    )


def calendar_end(events: pd.DataFrame, last: pd.Timestamp, end: pd.Timestamp, weekly: bool = False) -> str | None:
    """Whether the forecast reaches beyond the calendar. `events` has ds and event; `last` is the last day known of
    demand, `end` the last one forecast; `weekly` where these are the Mondays of weeks. A calendar without any event is
    none, and says nothing.

    It is told where something that came a year before would come again, or where nothing ahead is known at all.
    """
    if events.empty or events["ds"].max() >= end:
        return None
    until = events["ds"].max()
    again = events["ds"] + pd.Timedelta(days=365)
    missed = events.loc[(again > max(until, last)) & (again <= end), "event"].drop_duplicates()
    if missed.empty and until > last:
        return None
    told = f"; {len(missed)} of what came a year ago is not known ahead ({_named(missed)})" if len(missed) else ""
    return (
        f"The calendar ends {'in the week of' if weekly else 'on'} {until:%Y-%m-%d}, the forecast on {end:%Y-%m-%d}"
        f"{told}. Days after the calendar's end are forecast as if nothing happened on them. Land a calendar that "
        "reaches further."
    )


def _named(names: pd.Series) -> str:
    more = len(names) - NAMED
    return ", ".join(names.head(NAMED).astype(str)) + (f" and {more} more" if more > 0 else "")
