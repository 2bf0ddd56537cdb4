"""What the calendar says of each day and place, as numbers a model can learn from.

A place is a region or several of them; of several, an event counts as the share of them that has it.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FAR = 15
"""Days from which on the next or last event is just far away."""
MOST_NAMES = 200


@dataclass(frozen=True)
class Calendar:
    """`named` is [event name, place, day], `payday` [place, day], both shares of the place's regions.

    `code` is [place, day], the number of the day's event, -1 where there is none. `until`, `since` are days to the
    next and from the last one, FAR at most. `names` are the events in the order of their numbers.
    """

    days: pd.DatetimeIndex
    names: tuple[str, ...]
    named: Floats
    payday: Floats
    code: Ints
    until: Ints
    since: Ints


def build(events: pd.DataFrame, places: list[list[str]], days: pd.DatetimeIndex) -> Calendar:
    """Calendar of places, each a list of regions, over `days`."""
    regions = sorted({region for place in places for region in place})
    weights = np.array([[(region in place) / len(place) for region in regions] for place in places])
    known = events[events["date"].isin(days)]
    marks = known[known["kind"] != "payday"]
    names = tuple(sorted(marks["event"].value_counts().index[:MOST_NAMES]))
    named = np.zeros((len(names), len(places), len(days)))
    for number, name in enumerate(names):
        named[number] = weights @ _days(marks[marks["event"] == name], regions, days)
    payday = weights @ _days(known[known["kind"] == "payday"], regions, days)
    strongest = named.argmax(axis=0) if names else np.zeros((len(places), len(days)), dtype=np.int64)
    here: NDArray[np.bool_] = named.max(axis=0, initial=0.0) >= 0.5
    return Calendar(
        days=days,
        names=names,
        named=named,
        payday=payday,
        code=np.where(here, strongest, -1),
        until=_distance(here[:, ::-1])[:, ::-1],
        since=_distance(here),
    )


def _days(events: pd.DataFrame, regions: list[str], days: pd.DatetimeIndex) -> Floats:
    """[region, day] of ones where one of the events is."""
    found = np.zeros((len(regions), len(days)))
    where = days.get_indexer(pd.DatetimeIndex(events["date"]))
    for region, day in zip(events["region"], where, strict=True):
        if region == "*":
            found[:, day] = 1.0
        elif region in regions:
            found[regions.index(region), day] = 1.0
    return found


def _distance(marked: NDArray[np.bool_]) -> Ints:
    """Days since the last mark, by row; FAR where there is none that near."""
    index = np.arange(marked.shape[1])
    last = np.maximum.accumulate(np.where(marked, index, -FAR), axis=1)
    return np.minimum(index - last, FAR)
