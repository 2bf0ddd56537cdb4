"""Facts that are hard to learn from: each is refused, or forecast soberly all the same."""

from collections.abc import Callable
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from coldframe import snapshots
from coldframe.errors import BadInputError
from coldframe.paths import Workspace
from ml.forecasting.daily import engine
from ml.forecasting.daily import panel as panels
from ml.forecasting.daily.panel import DailyPanel
from tests.ml.forecasting.daily.conftest import FIRST

Make = Callable[..., DailyPanel]
pytestmark = pytest.mark.usefixtures("quick")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (
            "twice",
            "fct_product_day has 2 rows for a product, region and day that has another, and 0 with negative units",
        ),
        ("negative", "fct_product_day has 0 rows for a product, region and day that has another, and 1 with negative"),
    ],
)
def test_days_that_are_there_twice_or_negative_are_refused_and_counted(
    panel: Make, shop: Callable[[date, DailyPanel], Workspace], fault: str, message: str
) -> None:
    snapshot = snapshots.current(shop(FIRST + timedelta(days=199), panel()))
    (file,) = snapshot.files("fct_product_day")
    rows = pd.read_parquet(file)
    if fault == "twice":
        rows = pd.concat([rows, rows.iloc[[7]]])
    else:
        rows.loc[7, "units"] = -500
    rows.to_parquet(file)
    with pytest.raises(BadInputError, match=message):
        panels.load(snapshot)


def test_days_missing_between_sales_are_days_without_one(
    panel: Make, shop: Callable[[date, DailyPanel], Workspace]
) -> None:
    units = panel().units.copy()
    units[3, 50:60] = 0
    loaded = panels.load(snapshots.current(shop(FIRST + timedelta(days=199), panel(units=units))))
    assert (loaded.units[3, 50:60] == 0).all()


def test_a_shop_that_never_sold_is_forecast_to_sell_nothing(panel: Make) -> None:
    assert not engine.forecast(panel(units=np.zeros((24, 120))), 14).units.any()


def test_a_shop_that_sells_the_same_every_day_goes_on_doing_so(panel: Make) -> None:
    ahead = engine.forecast(panel(units=np.full((24, 120), 6.0)), 14).units
    np.testing.assert_allclose(ahead, 6.0, rtol=0.1)


def test_a_product_counted_in_thousandths_does_not_spoil_its_neighbours(panel: Make) -> None:
    """Fuel in thousandths of a gallon once made a booster of this kind 967,502 times too high."""
    even = panel(days=120)
    fuel = even.units.copy()
    fuel[-1] *= 10_597
    others = [engine.forecast(shop, 14).units[:-2].sum() for shop in (even, panel(units=fuel))]
    assert 0.7 < others[1] / others[0] < 1.4


def test_a_forecast_goes_on_beyond_the_calendar(panel: Make) -> None:
    shop = panel(days=120, events=[("2022-01-17", "*", "fair", "holiday"), ("2022-04-18", "*", "Easter", "holiday")])
    ahead = engine.forecast(shop, 28).units
    assert np.isfinite(ahead).all()
    assert ahead.sum() == pytest.approx(shop.units[:, -28:].sum(), rel=0.35)


def test_a_department_that_never_sold_teaches_the_others_nothing(panel: Make) -> None:
    """Errors are weighed by what a unit brings in. Of nothing that was a thousand million, and trees learned zeros."""
    shop = panel(days=120)
    shop.units[shop.hierarchy.keys["subcategory"] == "s3"] = 0
    nodes = engine.look_at_nodes(shop, 14)
    assert nodes.views["trees"][0].sum() == pytest.approx(shop.units[:, -14:].sum(), rel=0.25)


def test_a_node_of_rare_great_orders_teaches_the_others_nothing(panel: Make) -> None:
    shop = panel(days=300)
    rare = (shop.hierarchy.keys["subcategory"] == "s0").to_numpy()
    shop.units[rare] = 0
    shop.units[np.flatnonzero(rare)[0], 30::100] = 9000
    views = engine.look_at_nodes(shop, 14)
    calm = views.nodes.rows("subcategory") & (np.arange(len(views.usual)) > np.argmax(views.nodes.rows("subcategory")))
    said, usual = views.views["trees"][calm].mean(axis=1), views.usual[calm]
    np.testing.assert_allclose(said, usual, rtol=0.3)
