"""What may be learned from: unbroken weeks, whole but for the first. Others are refused with table, series, count."""

from collections.abc import Callable
from datetime import date

import numpy as np
import pandas as pd
import pytest

from coldframe import snapshots
from coldframe.errors import BadInputError
from coldframe.paths import Workspace
from ml.forecasting import data

AS_OF = date(2017, 7, 30)
Publish = Callable[..., Workspace]
Sales = Callable[..., pd.DataFrame]


def load(workspace: Workspace) -> dict[data.Level, data.Panel]:
    return data.load(snapshots.current(workspace))


def test_both_levels_hold_the_same_units_and_a_series_is_absent_before_its_first_week(
    published: Publish, sales: Sales
) -> None:
    weekly = sales()
    panels = load(published(AS_OF, weekly))
    products, categories = panels["product_region"], panels["category_region"]
    assert products.units.shape == (80, 30)
    assert categories.units.shape == (10, 30)
    assert np.nansum(products.units) == np.nansum(categories.units) == weekly.units.sum()
    late = products.series.query("product_id == 'p06'").index[0]
    assert np.isnan(products.units[late, :25]).all()
    assert np.isfinite(products.units[late, 25:]).all()
    assert products.series.gmv_per_unit.unique().tolist() == [2.0]
    assert categories.series.product_id.isna().all()


def test_one_order_at_a_hundred_times_the_price_is_no_price(published: Publish, sales: Sales) -> None:
    weekly = sales().assign(price=2.0)
    product = weekly["product_id"] == "p39"
    last = weekly["week_start"] == weekly["week_start"].max()
    weekly.loc[product & last, "price"] = 200.0
    products = load(published(AS_OF, weekly))["product_region"].series.set_index(["product_id", "region"])
    assert products["gmv_per_unit"]["p39", "north"] == 4.0, "twice what a unit brings in its middle week, at most"
    assert products["gmv_per_unit"]["p38", "north"] == 2.0


def test_weeks_out_of_stock_hold_what_was_wanted_at_both_levels(published: Publish, sales: Sales) -> None:
    weekly = sales()
    wanted = load(published(AS_OF, weekly))["product_region"]
    best = wanted.series.query("product_id == 'p39' and region == 'north'").index[0]
    of_best = (weekly.product_id == "p39") & (weekly.region == "north")
    whole = of_best & weekly.week_start.between(date(2017, 6, 5), date(2017, 6, 12))
    part = of_best & (weekly.week_start == date(2017, 7, 10))
    weekly["days_out_of_stock"] = np.where(whole, 7, np.where(part, 4, 0))
    weekly.loc[whole, "units"] = 0
    weekly.loc[part, "units"] //= 2
    panels = load(published(AS_OF, weekly))
    products, categories = panels["product_region"], panels["category_region"]
    out = products.weeks.isin(pd.to_datetime(["2017-06-05", "2017-06-12", "2017-07-10"]))
    assert products.units[best, out].sum() == pytest.approx(wanted.units[best, out].sum(), rel=0.25)
    np.testing.assert_array_equal(products.units[:, ~out], wanted.units[:, ~out])
    assert np.nansum(products.units) == pytest.approx(np.nansum(categories.units))
    assert np.nansum(products.units) > weekly.units.sum() + 20
    assert (products.estimated, categories.estimated, wanted.estimated) == (3, 3, 0)


def test_the_week_the_history_begins_in_counts_as_whole_from_four_of_its_days_on(
    published: Publish, sales: Sales
) -> None:
    weekly = sales()
    whole = load(published(AS_OF, weekly))["category_region"]
    for first_day, known in ((date(2017, 1, 3), 6), (date(2017, 1, 5), 4)):
        part = load(published(AS_OF, weekly.assign(first_day=first_day)))["category_region"]
        assert part.weeks[0] == pd.Timestamp("2017-01-02")
        np.testing.assert_allclose(part.units[:, 0], whole.units[:, 0] * 7 / known)
        np.testing.assert_array_equal(part.units[:, 1:], whole.units[:, 1:])
    late = load(published(AS_OF, weekly.assign(first_day=date(2017, 1, 6))))["category_region"]
    assert late.weeks[0] == pd.Timestamp("2017-01-09")


def test_holidays_of_the_region_and_of_everywhere_are_counted(panel: Callable[..., data.Panel]) -> None:
    made = panel(np.ones((2, 26)))
    days = made.event_days(made.ahead(2))
    assert days.tolist() == [[1.0, 0.0], [1.0, 0.0]]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("twice", r"fct_product_week: 1 of 80 series have more than one row for a week \(p03 in north\)"),
        ("gap", r"fct_product_week: 1 of 80 series have weeks missing after the first \(p03 in north\)"),
        ("negative", r"fct_product_week: 1 of 80 series have negative units \(p03 in north\)"),
        ("null", r"fct_product_week: 1 of 80 series have units that are no number \(p03 in north\)"),
    ],
)
def test_a_broken_history_is_refused(published: Publish, sales: Sales, fault: str, message: str) -> None:
    weekly = sales().astype({"units": "Int64"})
    row = weekly.query("product_id == 'p03' and region == 'north'").index[10]
    match fault:
        case "twice":
            weekly = pd.concat([weekly, weekly.loc[[row]]])
        case "gap":
            weekly = weekly.drop(index=row)
        case "negative":
            weekly.loc[row, "units"] = -500
        case _:
            weekly.loc[row, "units"] = pd.NA
    with pytest.raises(BadInputError, match=message):
        snapshot = snapshots.current(published(AS_OF, weekly))
        data._panel(snapshot, "product_region", date(2017, 1, 2), date(2017, 7, 24), pd.DataFrame())


def test_a_snapshot_without_a_complete_week_is_refused(published: Publish, sales: Sales) -> None:
    weekly = sales(weeks=1).assign(first_day=date(2017, 1, 6))
    with pytest.raises(BadInputError, match="no complete week"):
        load(published(date(2017, 1, 4), weekly))
