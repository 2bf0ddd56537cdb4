"""The panel a daily forecast is made from: what was wanted, not what a shop without stock could sell."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest

from coldframe import snapshots
from coldframe.paths import Workspace
from ml.forecasting.daily import engine
from ml.forecasting.daily import panel as panels
from ml.forecasting.daily.panel import DailyPanel
from tests.ml.forecasting.daily.conftest import FIRST

Publish = Callable[[date, DailyPanel], Workspace]
Make = Callable[..., DailyPanel]
AS_OF = FIRST + timedelta(days=199)
FORTNIGHT = slice(186, 200)


@pytest.fixture
def wanted(panel: Make) -> DailyPanel:
    return panel()


@pytest.fixture
def sold(wanted: DailyPanel) -> DailyPanel:
    """The best seller was out of stock in the last fortnight."""
    units, out = wanted.units.copy(), np.zeros(wanted.units.shape, dtype=bool)
    units[-1, FORTNIGHT], out[-1, FORTNIGHT] = 0, True
    return replace(wanted, units=units, out=out)


def test_a_shop_that_tells_of_no_stock_out_has_its_sales_as_they_are(shop: Publish, wanted: DailyPanel) -> None:
    loaded = panels.load(snapshots.current(shop(AS_OF, wanted)))
    assert loaded.out is None
    assert loaded.days_out_of_stock(since=0) == 0
    np.testing.assert_array_equal(np.nan_to_num(loaded.units), wanted.units)


def test_days_out_of_stock_are_marked_and_hold_what_was_wanted(
    shop: Publish, wanted: DailyPanel, sold: DailyPanel
) -> None:
    loaded = panels.load(snapshots.current(shop(AS_OF, sold)))
    assert loaded.out is not None and sold.out is not None
    np.testing.assert_array_equal(loaded.out, sold.out)
    np.testing.assert_array_equal(np.nan_to_num(loaded.units)[~sold.out], wanted.units[~sold.out])
    assert loaded.units[-1, FORTNIGHT].sum() == pytest.approx(wanted.units[-1, 158:186].sum() / 2, rel=0.15)
    assert (loaded.days_out_of_stock(since=190), loaded.until(190).days_out_of_stock(since=0)) == (10, 4)


def test_of_a_series_never_seen_in_stock_nobody_keeps_the_stock(
    shop: Publish, wanted: DailyPanel, sold: DailyPanel
) -> None:
    assert sold.out is not None
    untracked = np.zeros(sold.out.shape, dtype=bool)
    untracked[:3] = True
    assert panels.load(snapshots.current(shop(AS_OF, replace(wanted, out=untracked)))).out is None
    loaded = panels.load(snapshots.current(shop(AS_OF, replace(sold, out=sold.out | untracked))))
    assert loaded.out is not None
    np.testing.assert_array_equal(loaded.out, sold.out)


@pytest.mark.usefixtures("quick")
def test_a_fortnight_out_of_stock_does_not_lower_the_forecast(
    shop: Publish, wanted: DailyPanel, sold: DailyPanel
) -> None:
    never_out, as_sold = (engine.forecast(made, 14).units[-1].sum() for made in (wanted, replace(sold, out=None)))
    loaded = panels.load(snapshots.current(shop(AS_OF, sold)))
    assert engine.forecast(loaded, 14).units[-1].sum() == pytest.approx(never_out, rel=0.15)
    assert as_sold < 0.7 * never_out
