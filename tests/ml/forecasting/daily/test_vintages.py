"""Every forecast that was made is laid beside what came: the same figures as by hand, once, and nothing from ahead."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from coldframe import snapshots
from coldframe.errors import ConfigurationError, NotAvailableError
from coldframe.paths import Workspace
from coldframe.run import Request
from ml.forecasting.daily import panel as panels
from ml.forecasting.daily import vintages
from ml.forecasting.daily.hierarchy import KEYS
from ml.forecasting.daily.intervals import pinball
from ml.forecasting.daily.panel import DailyPanel
from ml.promotion import PromotionDecision
from ml.registry import Registry, Release
from tests.ml.forecasting.daily.conftest import FIRST, make_panel

Publish = Callable[[date, DailyPanel], Workspace]
DAYS, HORIZON = 60, 16
MADE = FIRST + timedelta(days=DAYS - 1)
SHOP = make_panel(4, 90)
LEVELS = {"total": [], "category_region": ["category", "region"], "product_region": ["product_id", "region"]}
PROMOTE = PromotionDecision("promote", ("the test wants it",), {}, "d1")


def said(seed: int = 1, series: slice = slice(None)) -> pd.DataFrame:
    """A forecast of every series by the day, at random: product_id, category, region, date, mean."""
    keys = SHOP.hierarchy.keys.iloc[series]
    mean = np.random.default_rng(seed).gamma(2.0, 2.0, (len(keys), HORIZON))
    dates = [MADE + timedelta(days=n + 1) for n in range(HORIZON)]
    rows = keys.loc[keys.index.repeat(HORIZON), ["product_id", "category", "region"]].reset_index(drop=True)
    return rows.assign(date=dates * len(keys), mean=mean.ravel())


def period(dates: "pd.Series[date]", frequency: str, made: date = MADE) -> "pd.Series[date]":
    """First day of the period each day lies in."""
    length = {"D": 1, "W": 7, "H": HORIZON}[frequency]
    day = pd.Series([(one - made).days - 1 for one in dates], index=dates.index)
    return (day // length * length).map(lambda n: made + timedelta(days=int(n) + 1))


def release(registry: Registry, rows: pd.DataFrame, method_of: str | None = None) -> Release:
    tables = []
    for level, keys in LEVELS.items():
        for frequency in "DWH":
            dated = rows.assign(date=period(rows["date"], frequency))
            if frequency == "W":
                dated = dated[dated.groupby([*keys, "date"])["mean"].transform("size") % 7 == 0]
            table = dated.groupby([*keys, "date"], as_index=False)["mean"].sum()
            table = table.assign(level=level, frequency=frequency, stale=False)
            tables.append(table.assign(q10=table["mean"] - 3, q50=table["mean"], q90=table["mean"] + 3))
    forecasts = pd.concat(tables, ignore_index=True).reindex(
        columns=["level", "frequency", *KEYS, "date", "mean", "q10", "q50", "q90", "stale"]
    )
    backtest = pd.DataFrame({"level": "total", "horizon": [1, 7, 8, 16], "actual": 10.0, "forecast": [12, 10, 5, 10]})
    method = pd.DataFrame({"method": ["both_wls"], "reason": ["the test wants it"]})
    params = {"horizon_days": HORIZON, "code": "c", "method_of": method_of}
    schema = pa.Schema.from_pandas(forecasts, preserve_index=False)
    for number, name in enumerate(schema.names):
        if name in KEYS:
            schema = schema.set(number, pa.field(name, pa.string()))
    return registry.release(
        vintages.NAME,
        MADE,
        "snapshot",
        params,
        {"wrmsse": 0.5},
        {
            "forecasts": pa.Table.from_pandas(forecasts, schema, preserve_index=False),
            "backtest": backtest,
            "method": method,
        },
        {},
    )


def score(workspace: Workspace) -> tuple[pd.DataFrame, int]:
    return vintages.scores(Registry(workspace), snapshots.current(workspace))


@pytest.fixture
def later(shop: Publish) -> Callable[..., Workspace]:
    """Publishes the shop as it was a number of days after MADE."""

    def publish(days: int, panel: DailyPanel = SHOP) -> Workspace:
        return shop(MADE + timedelta(days=days), panel.until(DAYS + days))

    return publish


def came(days: int, panel: DailyPanel = SHOP) -> pd.DataFrame:
    """What came in the days after MADE, and (`naive`) what the last week had said of them."""
    units = np.nan_to_num(panel.units)
    keys = panel.hierarchy.keys
    parts = []
    for n in range(days):
        day = keys[["product_id", "category", "region"]].assign(date=MADE + timedelta(days=n + 1))
        parts.append(day.assign(units=units[:, DAYS + n], naive=units[:, DAYS - 7 + n % 7]))
    return pd.concat(parts, ignore_index=True)


def by_hand(rows: pd.DataFrame, days: int, level: str, frequency: str) -> pd.DataFrame:
    """The slow reference: one row a node and period that is over."""
    keys = [*LEVELS[level], "date"]
    length = {"D": 1, "W": 7, "H": HORIZON}[frequency]
    last = MADE + timedelta(days=days // length * length)
    known = rows[rows["date"] <= last]
    known = known.assign(date=period(known["date"], frequency)).groupby(keys)["mean"].sum()
    sold = came(days)
    sold = sold[sold["date"] <= last]
    sold = sold.assign(date=period(sold["date"], frequency)).groupby(keys)[["units", "naive"]].sum()
    return sold.join(known, how="outer").fillna({"mean": 0.0, "units": 0.0, "naive": 0.0}).reset_index()


def test_scores_are_what_comes_out_by_hand(later: Callable[..., Workspace]) -> None:
    workspace = later(HORIZON)
    release(Registry(workspace), said())
    table, _ = score(workspace)
    for level, frequency in [(level, frequency) for level in LEVELS for frequency in "DWH"]:
        rows = table[(table["level"] == level) & (table["frequency"] == frequency)]
        expected = by_hand(said(), HORIZON, level, frequency)
        ahead = (pd.to_datetime(expected["date"]) - pd.Timestamp(MADE)).dt.days + {"D": 0, "W": 6, "H": 0}[frequency]
        buckets = [1] if frequency == "H" else sorted({1 if n <= 7 else 8 if n <= 14 else 15 for n in ahead})
        assert rows["from_day"].tolist() == buckets
        for found in rows.to_dict("records"):
            part = expected[(ahead >= found["from_day"]) & (ahead <= found["to_day"])]
            error, units = part["mean"] - part["units"], part["units"].sum()
            assert (found["periods"], found["units"]) == (len(part), units)
            assert found["wape"] == pytest.approx(error.abs().sum() / units, abs=1e-6)
            assert found["bias"] == pytest.approx(error.sum() / units, abs=1e-6)
            assert found["rmse"] == pytest.approx((error**2).mean() ** 0.5, abs=1e-6)
            assert found["coverage_80"] == pytest.approx((error.abs() <= 3).mean(), abs=1e-6)
            quantiles = np.stack([part["mean"] - 3, part["mean"], part["mean"] + 3], axis=-1)
            assert found["pinball"] == pytest.approx(pinball(quantiles, part["units"].to_numpy()), abs=1e-6)
            naive = (part["naive"] - part["units"]).abs().sum() / units
            assert found["naive_wape"] == pytest.approx(naive, abs=1e-6)
            assert found["fva"] == pytest.approx(1 - error.abs().sum() / units / naive, abs=1e-5)


def test_only_periods_that_are_over_are_scored(later: Callable[..., Workspace]) -> None:
    workspace = later(9)
    release(Registry(workspace), said())
    table = score(workspace)[0]
    total = table[table["level"] == "total"]
    assert total[["frequency", "from_day", "periods"]].values.tolist() == [["D", 1, 7], ["D", 8, 2], ["W", 1, 1]]
    assert total["scored_to"].tolist() == [MADE + timedelta(days=n) for n in (7, 9, 7)]


def test_a_forecast_of_the_very_day_has_nothing_to_be_laid_beside(later: Callable[..., Workspace]) -> None:
    workspace = later(0)
    release(Registry(workspace), said())
    result = vintages.score_vintages(Request(source=workspace.source, as_of=MADE))
    assert result.facts["vintages"] == 0
    assert vintages.vintages(workspace.source) == []


def test_what_a_forecast_did_not_know_of_it_forecast_as_nothing(later: Callable[..., Workspace]) -> None:
    workspace = later(HORIZON)
    release(Registry(workspace), said(series=slice(0, 6)))
    table = score(workspace)[0]
    row = table[(table["level"] == "product_region") & (table["frequency"] == "H")].iloc[0]
    part = by_hand(said(series=slice(0, 6)), HORIZON, "product_region", "H")
    assert row["periods"] == len(part) == 8
    assert row["wape"] == pytest.approx((part["mean"] - part["units"]).abs().sum() / part["units"].sum(), abs=1e-6)
    known = part[part["mean"] > 0]
    assert row["coverage_80"] == pytest.approx(((known["mean"] - known["units"]).abs() <= 3).mean(), abs=1e-6)


def test_a_vintage_is_scored_again_only_where_what_came_has_changed(later: Callable[..., Workspace]) -> None:
    workspace = later(20)
    release(Registry(workspace), said())
    first, anew = score(workspace)
    assert anew == 1
    again, anew = score(later(25))
    assert anew == 0, "its horizon is over"
    pd.testing.assert_frame_equal(first, again)
    corrected = SHOP.units.copy()
    corrected[0, DAYS + 2] += 50
    changed, anew = score(later(26, make_panel(4, 90, units=corrected)))
    assert anew == 1
    assert changed["units"].sum() > first["units"].sum()


def test_the_policy_sees_whole_first_weeks_of_what_served_beside_their_back_test(
    later: Callable[..., Workspace],
) -> None:
    workspace = later(6)
    registry = Registry(workspace)
    served, refused = release(registry, said()), release(registry, said(2))
    registry.promote(vintages.NAME, served, PROMOTE)
    assert vintages.live_errors(score(workspace)[0], served) == []
    table, _ = score(later(7))
    assert set(table["release"]) == {served.id, refused.id}
    assert vintages.live_errors(table, refused) == [], "it never served"
    total = [error for error in vintages.live_errors(table, served) if error.level == "total"]
    part = by_hand(said(), 7, "total", "D")
    live = (part["mean"] - part["units"]).abs().sum() / part["units"].sum()
    assert [(error.vintage, error.live, error.expected) for error in total] == [
        (MADE, pytest.approx(live, abs=1e-6), 0.1)
    ]


def test_a_refreshed_release_is_expected_to_be_as_good_as_the_training_it_comes_from(
    later: Callable[..., Workspace],
) -> None:
    workspace = later(HORIZON)
    registry = Registry(workspace)
    trained = release(registry, said())
    release(registry, said(2), trained.id)
    table, _ = score(workspace)
    daily = table[(table["level"] == "total") & (table["frequency"] == "D")]
    assert daily.groupby("from_day")["backtest_wape"].agg(["min", "max"]).to_numpy().tolist() == [
        [0.1, 0.1],
        [0.5, 0.5],
        [0.0, 0.0],
    ]


def test_where_stock_ran_out_what_came_is_what_was_wanted(later: Callable[..., Workspace]) -> None:
    units = SHOP.units.copy()
    out = np.zeros(units.shape, dtype=bool)
    series = int(units.sum(axis=1).argmax())
    units[series, DAYS : DAYS + 10] = 0
    out[series, DAYS - 1 : DAYS + 10] = True
    workspace = later(HORIZON, replace(make_panel(4, 90, units=units), out=out))
    release(Registry(workspace), said())
    table, _ = score(workspace)
    told = table[(table["level"] == "total") & (table["frequency"] == "H")]["units"].item()
    wanted = panels.load(snapshots.current(workspace)).units[:, DAYS : DAYS + HORIZON].sum()
    assert told == pytest.approx(wanted, rel=1e-5)
    assert told > units[:, DAYS : DAYS + HORIZON].sum()


def test_the_published_table_is_read_by_level_and_says_what_is_missing(
    later: Callable[..., Workspace],
) -> None:
    workspace = later(HORIZON)
    with pytest.raises(NotAvailableError, match=r"No daily forecast .* has been scored yet.*`coldframe train"):
        vintages.vintages(workspace.source)
    release(Registry(workspace), said())
    request = Request(source=workspace.source, as_of=MADE + timedelta(days=HORIZON))
    first, again = vintages.score_vintages(request), vintages.score_vintages(request)
    assert (first.facts["scored_anew"], again.facts["scored_anew"], again.reused) == (1, 0, True)
    rows = vintages.vintages(workspace.source, "item_store")
    assert {row["level"] for row in rows} == {"product_region"}
    assert {row["backtest_wape"] for row in rows} == {None}, "the test's back-test has the total alone"
    with pytest.raises(ConfigurationError, match="no level 'shelf'"):
        vintages.vintages(workspace.source, "shelf")
