"""A release is what its back-test says: who serves, how well, how wide, and the same bytes each time."""

import io
from collections.abc import Callable
from dataclasses import replace

import duckdb
import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from coldframe.seasons import Week
from ml.forecasting import models
from ml.forecasting.data import Ints, Level, Panel
from ml.forecasting.decide import ChoiceRules, RouteRules, choose
from ml.forecasting.learn import QUANTILE_NAMES, Learned, Plan, learn
from ml.forecasting.models.interface import Fitted, Repeated

Market = dict[Level, Panel]
LEVELS: tuple[Level, ...] = ("category_region", "product_region")


def frame(learned: Learned, name: str) -> pd.DataFrame:
    return learned.tables[name].to_pandas()


def test_the_backtest_table_says_of_each_series_model_and_cutoff_what_was_forecast_and_what_came(
    learned: Learned,
) -> None:
    table = learned.tables["backtest"]
    wanted = {"product_id", "category", "region", "model", "cutoff", "week_start", "horizon", "actual", "forecast"}
    assert wanted | {"level", "segment", *QUANTILE_NAMES} == set(table.column_names)
    assert table.schema.field("cutoff").type == pa.date32()
    rows = table.to_pandas()
    keys = ["level", "product_id", "category", "region", "model", "cutoff", "horizon"]
    assert not rows.duplicated(keys).any()
    assert rows[["actual", "forecast"]].notna().all(axis=None)
    ahead = pd.to_datetime(rows["week_start"]) - pd.to_datetime(rows["cutoff"])
    assert (ahead == pd.to_timedelta(7 * rows["horizon"] - 6, unit="D")).all()


def test_the_accuracy_table_can_be_worked_out_from_the_backtest_table(learned: Learned) -> None:
    by = ["level", "segment", "model"]
    rows = frame(learned, "backtest")
    error = rows["forecast"] - rows["actual"]
    sums = rows.assign(wrong=error.abs(), error=error).groupby(by)[["wrong", "error", "actual"]].sum()
    table = frame(learned, "accuracy").set_index(by)
    sold = sums["actual"] > 0
    assert table["wape"][sold].to_numpy() == pytest.approx((sums["wrong"] / sums["actual"])[sold].to_numpy(), abs=1e-5)
    assert table["bias"][sold].to_numpy() == pytest.approx((sums["error"] / sums["actual"])[sold].to_numpy(), abs=1e-5)
    base = table["wape"].xs("naive", level="model").rename("base")
    against = table.join(base, on=["level", "segment"])
    known = against["fva_vs_snaive"].notna()
    assert against["fva_vs_snaive"][known].to_numpy() == pytest.approx(
        (1 - against["wape"] / against["base"])[known].to_numpy(), abs=1e-5
    )


def test_the_champion_of_each_segment_is_the_one_the_backtest_names(learned: Learned) -> None:
    accuracy = frame(learned, "accuracy")
    routes = frame(learned, "routes").set_index(["level", "segment"])["model"]
    for (level, segment), part in accuracy.groupby(["level", "segment"]):
        listed = ["naive", *models.CANDIDATES[(level, segment)]]
        ordered = part.set_index("model").reindex([name for name in listed if name in set(part["model"])]).reset_index()
        assert routes[(level, segment)] == choose(ordered, "naive", ChoiceRules()).model
    served = frame(learned, "forecasts")[["level", "segment", "model"]].drop_duplicates()
    assert (served["model"].to_numpy() == routes[list(zip(served["level"], served["segment"], strict=True))]).all()


def test_whichever_model_wins_the_backtest_serves(market: Market, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """The winner is planted: a model that knows the truth of the panel it was cut from."""
    truth = market["category_region"].units

    class Oracle:
        def fit(self, history: Panel, rows: Ints) -> Repeated:
            ahead = truth[rows, history.units.shape[1] :]
            return Repeated(np.hstack([ahead, np.ones((len(rows), 10))]))

    monkeypatch.setitem(models.MODELS, "oracle", Oracle())
    monkeypatch.setitem(models.CANDIDATES, ("category_region", "dense"), ("window_mean", "oracle"))
    monkeypatch.setitem(models.CANDIDATES, ("category_region", "top"), ("window_mean",))
    routes = frame(learn({"category_region": market["category_region"]}, plan), "routes").set_index("segment")
    assert (routes["model"]["dense"], routes["model"]["top"]) == ("oracle", "window_mean")
    assert "saves 100.0% of naive's" in routes["reason"]["dense"]


@pytest.mark.parametrize("level", LEVELS)
def test_the_forecast_begins_the_week_after_the_last_known_one_and_leaves_no_living_series_out(
    learned: Learned, market: Market, level: Level
) -> None:
    rows = frame(learned, "forecasts").query("level == @level")
    panel = market[level]
    assert sorted(rows["week_start"].unique()) == [week.date() for week in panel.ahead(10)]
    living = np.nansum(panel.units[:, -13:], axis=1) > 0
    key = "product_id" if level == "product_region" else "category"
    assert set(rows[key]) >= set(panel.series[key][living])
    assert (rows.groupby([key, "region"]).size() == 10).all()


def test_what_sold_nothing_lately_is_forecast_as_nothing_and_said_so(learned: Learned) -> None:
    rows = frame(learned, "forecasts").query("level == 'category_region' and segment == 'dormant'")
    assert set(rows["category"]) == {"c6"}
    assert (rows["units"] == 0).all()
    reasons = frame(learned, "routes").query("segment == 'dormant'")["reason"]
    assert all(reason.startswith("sold nothing in the last 13 weeks") for reason in reasons)


def test_a_season_total_is_of_the_season_asked_and_its_weeks_add_up_to_it(learned: Learned, plan: Plan) -> None:
    totals = frame(learned, "season_totals").set_index(["product_id", "region"])["units"]
    weeks = frame(learned, "season_weeks")
    assert set(frame(learned, "season_totals")["season"]) == {"spring"}
    assert set(weeks["week_start"]) == {week.start for week in plan.season_weeks}
    sums = weeks.groupby(["product_id", "region"])["units"].sum()
    assert sums.to_numpy() == pytest.approx(totals.reindex(sums.index).to_numpy(), abs=1e-4)
    assert (totals.drop(sums.index) < 0.5).all(), "only what hardly sells has no course"


@pytest.mark.parametrize("name", ["forecasts", "season_totals"])
def test_quantiles_are_whole_ordered_and_never_negative(learned: Learned, name: str) -> None:
    quantiles = frame(learned, name)[list(QUANTILE_NAMES)].to_numpy()
    assert np.isfinite(quantiles).all()
    assert (quantiles == np.rint(quantiles)).all()
    assert (np.diff(quantiles, axis=1) >= 0).all()
    assert (quantiles >= 0).all()


def test_coverage_is_reported_as_the_share_of_weeks_the_interval_held(learned: Learned) -> None:
    rows = frame(learned, "backtest").dropna(subset=["q10"])
    assert rows["cutoff"].nunique() == 1
    inside = (rows["actual"] >= rows["q10"]) & (rows["actual"] <= rows["q90"])
    by = ["level", "segment", "model"]
    held = inside.groupby([rows[name] for name in by]).mean()
    reported = frame(learned, "accuracy").set_index(by)["coverage_80"].dropna()
    assert reported.to_numpy() == pytest.approx(held.reindex(reported.index).to_numpy(), abs=1e-5)
    assert 0.6 < learned.metrics["category_region.coverage_80"] <= 1
    assert 0 <= learned.metrics["season_coverage_80"] <= 1


def test_an_interval_that_holds_too_little_is_warned_of(market: Market, plan: Plan) -> None:
    panel = market["category_region"]
    wild = panel.units.copy()
    last = 28
    wild[:, last:] = np.random.default_rng(2).poisson(300, wild[:, last:].shape)
    warnings = learn({"category_region": replace(panel, units=wild)}, plan).warnings
    assert any("the 80 % interval of weeks held" in warning for warning in warnings)


def test_intervals_of_the_backtest_do_not_see_what_they_are_judged_by(market: Market, plan: Plan) -> None:
    panel = market["category_region"]
    absurd = panel.units.copy()
    absurd[:, 28:] = 1e6
    before, after = (
        frame(learn({"category_region": replace(panel, units=units)}, plan), "backtest")[list(QUANTILE_NAMES)]
        for units in (panel.units, absurd)
    )
    pd.testing.assert_frame_equal(before, after)


def test_the_same_facts_give_the_same_bytes(
    market: Market, plan: Plan, catalogue: pd.DataFrame, learned: Learned
) -> None:
    again = learn(market, plan, catalogue)
    assert again.metrics == learned.metrics
    for name, table in learned.tables.items():
        assert as_bytes(table) == as_bytes(again.tables[name]), name


def as_bytes(table: pa.Table) -> bytes:
    stream = io.BytesIO()
    pq.write_table(table, stream, compression="zstd")
    return stream.getvalue()


def test_a_segment_that_loses_to_the_last_week_is_served_by_it_and_reported(plan: Plan, market: Market) -> None:
    """Demand that goes a step up or down each week and stays there: nothing beats the last week known."""
    panel = market["category_region"]
    walk = np.cumsum(np.random.default_rng(4).choice([-9.0, 9.0], panel.units.shape), axis=1) + 400
    made = learn({"category_region": replace(panel, units=walk)}, plan)
    lost = frame(made, "routes").query("model == 'naive'")
    for segment in lost["segment"]:
        assert any(f"category_region {segment}: naive serves because no model saves 2%" in w for w in made.warnings)
    assert len(lost) > 0


def test_what_is_odd_in_the_facts_is_told_once(learned: Learned) -> None:
    told = [w for w in learned.warnings if w.startswith("The calendar ends in the week of 2017-07-03")]
    assert len(told) == 1
    assert not any("mix units" in warning for warning in learned.warnings)


def test_a_horizon_beyond_the_backtest_is_said(market: Market, plan: Plan) -> None:
    panel = market["category_region"].until(16)
    in_thousandths = np.where((np.arange(20)[:, None] == 19) & (np.arange(16) >= 8), 20_000.0, panel.units)
    short: Market = {"category_region": replace(panel, units=in_thousandths)}
    ahead = short["category_region"].ahead(10)
    made = learn(short, replace(plan, season_weeks=tuple(Week(week.date(), 7) for week in ahead)))
    assert any("16 weeks of history let the back-test look 6 weeks ahead; 10 are forecast" in w for w in made.warnings)
    assert any("1 of 20 series seem to mix units" in w and "(c19 in north)" in w for w in made.warnings)
    assert frame(made, "forecasts")["horizon"].max() == 10


def test_a_shop_too_young_for_trends_has_a_table_of_them_that_can_be_joined(
    market: Market, plan: Plan, catalogue: pd.DataFrame
) -> None:
    young = {level: panel.until(16) for level, panel in market.items()}
    season = tuple(Week(week.date(), 7) for week in young["category_region"].ahead(4))
    trend = learn(young, replace(plan, horizon=4, season_weeks=season), catalogue).tables["trend"]
    assert trend.num_rows == 0
    assert [trend.schema.field(name).type for name in ("product_id", "region")] == [pa.string(), pa.string()]


def test_a_product_absent_before_its_launch_has_no_row_before_it(learned: Learned, market: Market) -> None:
    rows = frame(learned, "backtest").query("level == 'product_region'")
    panel = market["product_region"]
    first = panel.weeks[np.argmax(np.isfinite(panel.units), axis=1)]
    launched = dict(zip(panel.series["product_id"], first, strict=True))
    assert (pd.to_datetime(rows["week_start"]) > rows["product_id"].map(launched)).all()


def test_duckdb_reads_a_release_without_help(learned: Learned) -> None:
    forecasts = learned.tables["forecasts"]
    found = duckdb.query("select typeof(week_start), typeof(units), count(*) from forecasts group by all").fetchall()
    assert found == [("DATE", "DOUBLE", forecasts.num_rows)]


def test_with_two_years_of_history_the_bar_is_the_same_week_of_last_year(
    plan: Plan, panel: Callable[..., Panel]
) -> None:
    season = 20 + 15 * np.sin(2 * np.pi * np.arange(110) / 52)
    history = panel(np.random.default_rng(6).poisson(season, (20, 110)))
    weeks = tuple(Week(week.date(), 7) for week in history.ahead(8))
    accuracy = frame(learn({"category_region": history}, replace(plan, season_weeks=weeks)), "accuracy").set_index(
        ["segment", "model"]
    )
    assert set(accuracy["benchmark"]) == {"snaive"}
    assert accuracy["fva_vs_snaive"]["dense", "snaive"] == 0
    assert accuracy["fva_vs_snaive"]["dense", "window_mean"] > 0, "the course of the year is no luck of single weeks"


def test_learning_leaves_no_worker_behind(market: Market, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task of Airflow ends without exit handlers: workers that wait for more would outlive it by minutes."""
    for (level, segment), candidates in list(models.CANDIDATES.items()):
        kept = ("window_mean", "prophet") if segment == "top" else candidates[:1]
        monkeypatch.setitem(models.CANDIDATES, (level, segment), kept)
    seen: set[int] = set()
    prophet = models.MODELS["prophet"]

    class Watched:
        def fit(self, history: Panel, rows: Ints) -> Fitted:
            fitted = prophet.fit(history, rows)
            seen.update(workers())
            return fitted

    monkeypatch.setitem(models.MODELS, "prophet", Watched())
    learn(market, replace(plan, routes=RouteRules(top_series=4)))
    assert seen, "nobody shared the work"
    assert workers() == set()


def workers() -> set[int]:
    """Processes that joblib started for this one."""
    return {c.pid for c in psutil.Process().children() if "loky.backend.popen_loky" in " ".join(c.cmdline())}
