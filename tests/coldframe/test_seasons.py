"""A season must mean the same days and weeks to everyone who plans for it."""

from collections import Counter
from datetime import date, timedelta

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coldframe.errors import ConfigurationError
from coldframe.seasons import check, resolve

AS_OF = date(2017, 9, 30)


def calendar(*spans: tuple[str, str, str], kind: str = "season") -> pd.DataFrame:
    rows = [(day.date(), name, kind) for name, first, last in spans for day in pd.date_range(first, last)]
    return pd.DataFrame(rows, columns=["date", "event", "kind"])


def test_without_a_name_it_is_the_next_quarter_with_the_mondays_within() -> None:
    season = resolve(None, AS_OF)
    assert (season.name, season.first_day, season.last_day) == ("2017-Q4", date(2017, 10, 1), date(2017, 12, 31))
    assert season.week_starts[0] == date(2017, 10, 2)
    assert season.week_starts[-1] == date(2017, 12, 25)
    assert len(season.week_starts) == 13


def test_after_the_last_quarter_comes_the_first_of_the_next_year() -> None:
    assert resolve(None, date(2017, 11, 5)).name == "2018-Q1"


def test_a_quarter_by_name_is_the_same_as_its_span_of_days() -> None:
    quarter, span = resolve("2017-Q4", AS_OF), resolve("2017-10-01..2017-12-31", AS_OF)
    assert (quarter.first_day, quarter.last_day, quarter.week_starts) == (
        span.first_day,
        span.last_day,
        span.week_starts,
    )


def test_a_span_has_one_name_however_it_is_written() -> None:
    assert resolve("2017-10-02:2017-12-31", AS_OF) == resolve("2017-10-02..2017-12-31", AS_OF)
    assert resolve("2017-10-02:2017-12-31", AS_OF).name == "2017-10-02..2017-12-31"


def test_a_name_of_the_calendar_may_hold_a_colon() -> None:
    assert resolve("sale: winter", AS_OF, calendar(("sale: winter", "2017-12-01", "2017-12-31"))).name == "sale: winter"


def test_the_weeks_at_both_ends_count_the_days_that_are_of_the_season() -> None:
    weeks = resolve("2011-09-01:2011-12-09", date(2011, 8, 31)).weeks
    assert (weeks[0].start, weeks[0].days) == (date(2011, 8, 29), 4)
    assert (weeks[-1].start, weeks[-1].days) == (date(2011, 12, 5), 5)
    assert {week.days for week in weeks[1:-1]} == {7}


def test_a_season_beyond_what_any_forecast_reaches_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="more than 53 weeks after the as-of"):
        check("2018-Q4", AS_OF)


def test_a_season_of_the_calendar_is_its_next_unbroken_run_of_days() -> None:
    days = calendar(
        ("ramadan", "2017-05-27", "2017-06-24"),
        ("ramadan", "2018-05-16", "2018-06-14"),
        ("ramadan", "2019-05-06", "2019-06-04"),
        ("winter", "2017-12-01", "2018-02-28"),
    )
    season = resolve("ramadan", AS_OF, days)
    assert (season.first_day, season.last_day) == (date(2018, 5, 16), date(2018, 6, 14))


def test_a_season_that_is_running_already_is_not_planned_again() -> None:
    with pytest.raises(
        ConfigurationError, match=r"no 'autumn' that begins after 2017-09-30; its last day .* 2017-11-30"
    ):
        resolve("autumn", AS_OF, calendar(("autumn", "2017-09-01", "2017-11-30")))


@pytest.mark.parametrize("season", ["2017-Q5", "Q4-2017", "christmas", ""])
def test_what_is_no_season_is_refused_with_what_is_accepted(season: str) -> None:
    with pytest.raises(ConfigurationError, match=r"'2017-Q4', '2017-10-02\.\.2017-12-31' or .*here: easter"):
        resolve(season, AS_OF, calendar(("easter", "2018-03-30", "2018-04-08")))


def test_a_holiday_is_not_a_season() -> None:
    with pytest.raises(ConfigurationError, match="here: it has none"):
        resolve("easter", AS_OF, calendar(("easter", "2018-03-30", "2018-04-08"), kind="holiday"))


@pytest.mark.parametrize(
    ("season", "message"),
    [
        ("2017-12-31..2017-10-01", "ends before it begins"),
        ("2017-10-1..2017-12-31", "is not a span of days"),
        ("2017-10-01..2017-12-01..2017-12-31", "is not a span of days"),
        ("2017-Q3", "ended on 2017-09-30"),
        ("2017-10-03..2017-10-08", "contains no Monday"),
    ],
)
def test_a_span_that_cannot_be_planned_says_why(season: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        resolve(season, AS_OF)
    with pytest.raises(ConfigurationError, match=message):
        check(season, AS_OF)


@pytest.mark.parametrize("season", [None, "2017-Q4", "2017-10-01..2017-12-31", "ramadan"])
def test_before_a_calendar_has_landed_a_name_may_be_a_season(season: str | None) -> None:
    check(season, AS_OF)


@given(as_of=st.dates(date(2000, 1, 1), date(2100, 1, 1)), ahead=st.integers(1, 170), length=st.integers(6, 200))
def test_the_weeks_cover_every_day_of_the_span_once(as_of: date, ahead: int, length: int) -> None:
    first, last = as_of + timedelta(days=ahead), as_of + timedelta(days=ahead + length)
    season = resolve(f"{first}..{last}", as_of)
    days = [first + timedelta(days=n) for n in range(length + 1)]
    assert season.week_starts == tuple(day for day in days if day.weekday() == 0)
    touched = Counter(day - timedelta(days=day.weekday()) for day in days)
    assert season.weeks == tuple(sorted(touched.items()))
