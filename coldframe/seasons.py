"""Which days a season has: the span an assortment is decided for and the weeks a forecast adds up.

Two steps that read a season differently would plan for one quarter with the demand of another, so only this file
turns its name into days.
"""

import re
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import takewhile
from typing import TYPE_CHECKING

from coldframe.errors import ConfigurationError

if TYPE_CHECKING:
    import pandas as pd

_QUARTER = re.compile(r"(\d{4})-Q([1-4])")
_ACCEPTED = "'2017-Q4', '2017-10-02..2017-12-31' or the name of a season in the source's calendar"


@dataclass(frozen=True)
class Season:
    """A span of days, both ends included. `week_starts` are the Mondays within it."""

    name: str
    first_day: date
    last_day: date
    week_starts: tuple[date, ...]


def resolve(season: str | None, as_of: date, calendar: "pd.DataFrame | None" = None) -> Season:
    """The days of `season` as seen at the end of `as_of`. None means the quarter after the one `as_of` lies in.

    `calendar` (columns date, event, kind) resolves a name to the first unbroken run of its days of kind 'season' that
    begins after `as_of`. Raises ConfigurationError, naming what is accepted, for anything that is no season, is over
    by `as_of`, or contains no Monday.
    """
    if season is None:
        return _season(*_quarter(*_next_quarter(as_of)), as_of)
    if match := _QUARTER.fullmatch(season):
        return _season(*_quarter(int(match[1]), int(match[2])), as_of)
    if ".." in season:
        return _season(season, *_span(season), as_of)
    return _season(season, *_from_calendar(season, as_of, calendar), as_of)


def check(season: str | None, as_of: date) -> None:
    """Raises what `resolve` would, as far as it can be told before a calendar has landed: all but the names in it."""
    if season is not None and (_QUARTER.fullmatch(season) or ".." in season):
        resolve(season, as_of)


def _season(name: str, first: date, last: date, as_of: date) -> Season:
    if last <= as_of:
        raise ConfigurationError(
            f"Season {name} ended on {last}, but the run knows everything up to {as_of}. Choose a later season."
        )
    monday = first + timedelta(days=-first.weekday() % 7)
    weeks = tuple(monday + timedelta(weeks=n) for n in range((last - monday).days // 7 + 1))
    if not weeks:
        raise ConfigurationError(f"Season {name} ({first} to {last}) contains no Monday; make it at least a week.")
    return Season(name, first, last, weeks)


def _next_quarter(day: date) -> tuple[int, int]:
    quarter = (day.month - 1) // 3 + 1
    return (day.year + 1, 1) if quarter == 4 else (day.year, quarter + 1)


def _quarter(year: int, quarter: int) -> tuple[str, date, date]:
    following = date(*((year + 1, 1) if quarter == 4 else (year, 3 * quarter + 1)), 1)
    return f"{year}-Q{quarter}", date(year, 3 * quarter - 2, 1), following - timedelta(days=1)


def _span(season: str) -> tuple[date, date]:
    try:
        first, last = (date.fromisoformat(part) for part in season.split(".."))
    except ValueError as error:
        raise ConfigurationError(f"{season!r} is not a span of days ({error}). A season is {_ACCEPTED}.") from error
    if last < first:
        raise ConfigurationError(f"Season {season} ends before it begins. Write the earlier day first.")
    return first, last


def _from_calendar(season: str, as_of: date, calendar: "pd.DataFrame | None") -> tuple[date, date]:
    # Every DAG file reads requests, and none may load pandas to be read.
    import pandas as pd

    known = calendar if calendar is not None else pd.DataFrame({"date": [], "event": [], "kind": []})
    seasons = known[known["kind"] == "season"]
    days = sorted({day.date() for day in pd.to_datetime(seasons.loc[seasons["event"] == season, "date"])})
    if not days:
        names = ", ".join(sorted(seasons["event"].unique())) or "it has none"
        raise ConfigurationError(f"{season!r} is no season. A season is {_ACCEPTED} (here: {names}).")
    starts = [day for day in days if day > as_of and day - timedelta(days=1) not in days]
    if not starts:
        raise ConfigurationError(
            f"The calendar has no {season!r} that begins after {as_of}; its last day there is {days[-1]}. "
            "Add the coming one to the source's calendar, or give the days as '2017-10-02..2017-12-31'."
        )
    first = starts[0]
    run = takewhile(lambda day: day in days, (first + timedelta(days=n) for n in range(len(days) + 1)))
    return first, list(run)[-1]
