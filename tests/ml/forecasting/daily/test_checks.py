"""A daily panel tells what is odd in it before anyone reads its forecast."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ml.forecasting.daily import checks
from ml.forecasting.daily.panel import DailyPanel, PriceList

Make = Callable[..., DailyPanel]


def prices(panel: DailyPanel, last: list[int]) -> PriceList:
    """One price a series from its first day on, which holds until the day `last`."""
    run = np.repeat(np.arange(1, len(last) + 1, dtype=np.int32)[:, None], len(panel.days) + 98, axis=1)
    price = np.array([np.nan, *[2.0] * len(last)], dtype=np.float32)
    return PriceList(run, price, np.array([-1, *last]), np.zeros(len(last) + 1, dtype=np.int64))


def test_an_even_shop_has_nothing_to_tell(panel: Make) -> None:
    assert checks.check(panel(), 28) == ()


def test_everything_odd_is_told_at_once(panel: Make) -> None:
    units = panel().units.copy()
    units[5, 150:] *= 20_000
    units[:, 80:90] = 0
    shop = panel(units=units, events=[("2022-01-20", "*", "opening", "holiday")])
    shop = replace(shop, prices=prices(shop, [205] * 24))
    told = " ".join(checks.check(shop, 28))
    for part in ("1 of 24 series seem to mix units", "10 of 200 days", "The calendar ends", "The prices of 24 of 24"):
        assert part in told


@pytest.mark.parametrize(
    ("begin", "end", "said"), [(80, 87, None), (80, 90, "2022-03-24 to 2022-04-02"), (190, 200, "2022-07-12 to")]
)
def test_a_week_without_a_sale_is_a_holiday_and_more_is_looked_at(
    panel: Make, begin: int, end: int, said: str | None
) -> None:
    units = panel().units.copy()
    units[:, begin:end] = 0
    told = checks.nothing_sold(panel(units=units))
    assert told is None if said is None else said in str(told)


def test_prices_that_reach_the_end_or_ended_long_ago_are_not_told(panel: Make) -> None:
    shop = panel()
    assert checks.prices_end(replace(shop, prices=prices(shop, [227] * 12 + [90] * 12)), 28) is None


def test_prices_that_end_within_the_forecast_are_counted_with_the_first_day(panel: Make) -> None:
    shop = panel()
    told = str(checks.prices_end(replace(shop, prices=prices(shop, [227] * 20 + [210, 205, 226, 227])), 28))
    assert told.startswith(
        "The prices of 3 of 24 series end before the forecast does, the first of them after 2022-07-27"
    )
    assert "Land prices up to 2022-08-18" in told


def test_a_shop_without_prices_is_not_told_that_they_end(panel: Make) -> None:
    assert checks.prices_end(panel(), 28) is None


def test_the_calendar_of_a_day_is_held_against_the_last_day_forecast(panel: Make) -> None:
    known = pd.DataFrame([("2021-08-01", "*", "fair", "holiday"), ("2022-07-25", "*", "sale", "campaign")])
    shop = panel(events=known.itertuples(index=False, name=None))
    (told,) = checks.check(shop, 28)
    assert "1 of what came a year ago is not known ahead (fair)" in told
    assert checks.check(shop, 7) == ()
