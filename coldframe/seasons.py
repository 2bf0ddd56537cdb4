"""Which days a season has: the span an assortment is decided for and the weeks a forecast adds up.

Two steps that read a season differently would plan for one quarter with the demand of another, so only this file
turns its name into days.
"""

import re
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import takewhile
from typing import TYPE_CHECKING, NamedTuple

from coldframe.errors import ConfigurationError

if TYPE_CHECKING:
    import pandas as pd

_QUARTER = re.compile(r"(\d{4})-Q([1-4])")
_SPAN = re.compile(r"(\d.*?)(?:\.\.|:)(.*)")
_ACCEPTED = "'2017-Q4', '2017-10-02..2017-12-31' or the name of a season in the source's calendar"
LEAST_WEEKS = 12
"""Complete weeks of sales below which nothing can be forecast: no origin of a back-test leaves both something to learn
from and something to score."""
FARTHEST_WEEKS = 53
"""How far ahead of the as-of a season may end: a forecast repeats what the same weeks of the year brought, and reaches
no further than a year."""


class Week(NamedTuple):
    """A calendar week by its Monday, and how many of its `days` (1 to 7) lie in the season."""

    start: date
    days: int


@dataclass(frozen=True)
class Season:
    """A span of days, both ends included. `name` is the same however the span was written: 'first..last', a quarter
    ('2017-Q4') or a name of the calendar."""

    name: str
    first_day: date
    last_day: date

    @property
    def weeks(self) -> tuple[Week, ...]:
        """Every week the season touches, in order; their days add up to the season's.

        A season rarely begins on a Monday and ends on a Sunday. Demand of a week counts `days / 7` of itself, or what
        a forecast by the day says of those days; whole weeks would plan for longer or shorter than was asked.
        """
        first = self.first_day - timedelta(days=self.first_day.weekday())
        starts = (first + timedelta(weeks=n) for n in range((self.last_day - first).days // 7 + 1))
        return tuple(Week(start, self._days_from(start)) for start in starts)

    @property
    def week_starts(self) -> tuple[date, ...]:
        """The Mondays within the season."""
        return tuple(week.start for week in self.weeks if week.start >= self.first_day)

    def _days_from(self, monday: date) -> int:
        first, last = max(monday, self.first_day), min(monday + timedelta(days=6), self.last_day)
        return (last - first).days + 1


def resolve(season: str | None, as_of: date, calendar: "pd.DataFrame | None" = None) -> Season:
    """The days of `season` as seen at the end of `as_of`. None means the quarter after the one `as_of` lies in.

    `calendar` (columns date, event, kind) resolves a name to the first unbroken run of its days of kind 'season' that
    begins after `as_of`. A span may be written 'first..last' or 'first:last'. Raises ConfigurationError, naming what is
    accepted, for anything that is no season, is over by `as_of`, ends more than 53 weeks after it, or contains no
    Monday.
    """
    if season is None:
        return _season(*_quarter(*_next_quarter(as_of)), as_of)
    if match := _QUARTER.fullmatch(season):
        return _season(*_quarter(int(match[1]), int(match[2])), as_of)
    if match := _SPAN.fullmatch(season):
        first, last = _span(season, match[1], match[2])
        return _season(f"{first}..{last}", first, last, as_of)
    return _season(season, *_from_calendar(season, as_of, calendar), as_of)


def check(season: str | None, as_of: date) -> None:
    """Raises what `resolve` would, as far as it can be told before a calendar has landed: all but the names in it."""
    if season is not None and (_QUARTER.fullmatch(season) or _SPAN.fullmatch(season)):
        resolve(season, as_of)


def _season(name: str, first: date, last: date, as_of: date) -> Season:
    if last <= as_of:
        raise ConfigurationError(
            f"Season {name} ended on {last}, but the run knows everything up to {as_of}. Choose a later season."
        )
    if last > as_of + timedelta(weeks=FARTHEST_WEEKS):
        raise ConfigurationError(
            f"Season {name} ends on {last}, more than {FARTHEST_WEEKS} weeks after the as-of ({as_of}): no forecast "
            "reaches that far. Choose a nearer season or a later as-of."
        )
    season = Season(name, first, last)
    if not season.week_starts:
        raise ConfigurationError(f"Season {name} ({first} to {last}) contains no Monday; make it at least a week.")
    return season


def _next_quarter(day: date) -> tuple[int, int]:
    quarter = (day.month - 1) // 3 + 1
    return (day.year + 1, 1) if quarter == 4 else (day.year, quarter + 1)


def _quarter(year: int, quarter: int) -> tuple[str, date, date]:
    following = date(*((year + 1, 1) if quarter == 4 else (year, 3 * quarter + 1)), 1)
    return f"{year}-Q{quarter}", date(year, 3 * quarter - 2, 1), following - timedelta(days=1)


def _span(season: str, *ends: str) -> tuple[date, date]:
    try:
        first, last = (date.fromisoformat(end) for end in ends)
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
