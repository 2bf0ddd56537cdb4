"""Odd facts are told with what, how many, what was made of it and what to do; even ones are not."""

import numpy as np
import pandas as pd
import pytest

from ml.forecasting.checks import calendar_end, mixed_units

NAMES = pd.Series([f"p{n}" for n in range(6)])
LAST = pd.Timestamp("2017-11-30")


def shop() -> np.ndarray:
    return np.random.default_rng(4).poisson(6, (6, 80)).astype(float)


def test_a_shop_that_counts_in_one_unit_is_not_warned_of() -> None:
    units = shop()
    units[2] *= 10_597
    units[3, 40:] *= 8
    units[4] = 0
    units[5, :70] = np.nan
    assert mixed_units(units, NAMES) is None


def test_a_series_in_pieces_and_then_in_thousandths_is_counted_and_named() -> None:
    """Fuel in thousandths of a gallon once made a model 967,502 times too high."""
    units = shop()
    units[1, 60:] = units[1, 60:] * 10_597 + 5_000
    warning = mixed_units(units, NAMES)
    assert warning is not None
    assert warning.startswith("1 of 6 series seem to mix units: what they sold lies in two clusters that are 100 times")
    assert "(p1)" in warning


def test_two_bulk_orders_are_no_other_unit() -> None:
    units = shop()
    units[1, 10:12] = 74_215
    assert mixed_units(units, NAMES) is None


def test_of_many_series_three_are_named() -> None:
    units = shop()
    units[:, :20] = units[:, :20] * 1000 + 5000
    assert "p0, p1, p2 and 3 more" in str(mixed_units(units, NAMES))


def events(*days: str) -> pd.DataFrame:
    return pd.DataFrame({"ds": pd.to_datetime(list(days)), "event": [f"feast of {day[5:]}" for day in days]})


def test_a_calendar_that_reaches_the_end_of_the_forecast_is_not_warned_of() -> None:
    assert calendar_end(events("2016-12-25", "2017-12-25", "2018-01-01"), LAST, pd.Timestamp("2017-12-28")) is None


def test_feasts_that_came_a_year_ago_and_are_not_known_ahead_are_named_with_the_last_known_day() -> None:
    known = events("2016-12-25", "2016-12-26", "2017-04-17", "2017-12-01")
    warning = str(calendar_end(known, LAST, pd.Timestamp("2017-12-28")))
    assert warning.startswith(
        "The calendar ends on 2017-12-01, the forecast on 2017-12-28; 2 of what came a year ago is"
    )
    assert "(feast of 12-25, feast of 12-26)" in warning


def test_nothing_is_missed_where_nothing_came_a_year_ago() -> None:
    assert calendar_end(events("2017-04-17", "2017-12-01"), LAST, pd.Timestamp("2017-12-28")) is None


def test_a_calendar_that_ended_before_the_forecast_begins_is_told_even_without_a_year_before() -> None:
    warning = str(calendar_end(events("2017-04-17"), LAST, pd.Timestamp("2017-12-28")))
    assert warning.startswith("The calendar ends on 2017-04-17, the forecast on 2017-12-28. Days after")


def test_a_shop_without_a_calendar_is_not_told_that_it_ends() -> None:
    assert calendar_end(events(), LAST, pd.Timestamp("2017-12-28")) is None


@pytest.mark.parametrize("series", [0, 3])
def test_a_shop_without_sales_has_nothing_odd(series: int) -> None:
    assert mixed_units(np.full((series, 10), np.nan), NAMES[:series]) is None
