"""The back-test knows nothing of the future, its measures are the textbook's, and its intervals hold what they say."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from coldframe.errors import BadInputError
from ml.forecasting import evaluate, models
from ml.forecasting.data import Level, Panel
from ml.forecasting.decide import RouteRules

Market = dict[Level, Panel]
RULES = RouteRules(top_series=1)
KEYS = ["series", "segment", "model", "cutoff", "horizon"]
KNOWN = [*KEYS, "forecast", "scale", "step"]


@pytest.fixture(scope="module")
def tested(market: Market) -> dict[Level, pd.DataFrame]:
    return {level: backtest(panel) for level, panel in market.items()}


def backtest(panel: Panel) -> pd.DataFrame:
    rows, _ = evaluate.backtest(panel, evaluate.windows(len(panel.weeks), 10), RULES)
    return rows.astype({"segment": str, "model": str}).sort_values(KEYS, ignore_index=True)


def test_the_last_of_three_origins_leaves_just_the_horizon_to_score() -> None:
    windows = evaluate.windows(38, 14)
    assert windows == evaluate.Windows((12, 18, 24), 14)
    assert evaluate.windows(104, 13).cutoffs == (79, 85, 91)


def test_a_history_too_short_for_the_horizon_is_scored_as_far_as_it_reaches() -> None:
    assert evaluate.windows(16, 14) == evaluate.Windows((8, 9, 10), 6)


@pytest.mark.parametrize(("weeks", "horizon", "message"), [(11, 4, "needs 12"), (20, 21, "only 20 complete weeks")])
def test_a_history_that_leaves_nothing_to_learn_from_is_refused(weeks: int, horizon: int, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        evaluate.windows(weeks, horizon)


@pytest.mark.parametrize("level", ["category_region", "product_region"])
def test_an_absurd_future_changes_no_forecast_route_or_scale_of_any_origin(
    market: Market, tested: dict[Level, pd.DataFrame], level: Level
) -> None:
    panel = market[level]
    last = int(tested[level]["cutoff"].max())
    absurd = panel.units.copy()
    absurd[:, last:] = 1e6
    again = backtest(replace(panel, units=absurd))
    pd.testing.assert_frame_equal(again[KNOWN], tested[level][KNOWN])
    seen = again[again["cutoff"] == last]
    assert (seen["actual"] == 1e6).all()


def test_each_origin_by_itself_sees_only_what_lies_before_it(market: Market, tested: dict[Level, pd.DataFrame]) -> None:
    panel, level = market["product_region"], "product_region"
    first = int(tested[level]["cutoff"].min())
    absurd = panel.units.copy()
    absurd[:, first:] = 1e6
    before, after = (rows[rows["cutoff"] == first] for rows in (tested[level], backtest(replace(panel, units=absurd))))
    pd.testing.assert_frame_equal(after[KNOWN].reset_index(drop=True), before[KNOWN].reset_index(drop=True))


def test_actuals_are_the_weeks_after_the_cutoff(market: Market, tested: dict[Level, pd.DataFrame]) -> None:
    rows = tested["category_region"]
    units = market["category_region"].units
    assert (rows["actual"] == units[rows["series"], rows["cutoff"] + rows["horizon"] - 1]).all()


def test_a_product_not_yet_launched_is_neither_forecast_nor_scored(
    market: Market, tested: dict[Level, pd.DataFrame]
) -> None:
    rows, units = tested["product_region"], market["product_region"].units
    launched = np.argmax(np.isfinite(units), axis=1)
    assert (launched[rows["series"]] < rows["cutoff"]).all()
    assert set(np.flatnonzero(launched < rows["cutoff"].min())) >= set(rows["series"]) - set(range(5, 30))
    assert rows["actual"].notna().all()


def test_prophet_is_run_on_the_top_segment_only(tested: dict[Level, pd.DataFrame]) -> None:
    of_prophet = [name for name, parts in models.BLENDS.items() if "prophet" in parts] + ["prophet"]
    rows = pd.concat(tested.values())
    assert set(rows.loc[rows["model"].isin(of_prophet), "segment"]) == {"top"}
    assert rows.loc[rows["model"] == "prophet"].groupby("cutoff")["series"].nunique().tolist() == [1, 1, 1]


def test_every_candidate_of_a_segment_is_tested_on_the_same_weeks_as_the_benchmark(
    tested: dict[Level, pd.DataFrame],
) -> None:
    for level, rows in tested.items():
        for segment, part in rows.groupby("segment"):
            candidates = models.CANDIDATES[(level, str(segment))]
            weeks = {
                name: set(zip(m["series"], m["cutoff"], m["horizon"], strict=True)) for name, m in part.groupby("model")
            }
            assert set(weeks) == set(candidates) | (set() if segment == "dormant" else {"naive"})
            assert len({frozenset(w) for w in weeks.values()}) == 1


def test_a_segment_too_large_to_test_whole_is_sampled_by_name(
    panel: Callable[..., Panel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "MOST_SERIES", 5)
    units = np.random.default_rng(3).poisson(5, (30, 20))
    made = panel(units, "product_region")
    rows = backtest(made)
    assert rows.groupby(["cutoff", "segment"])["series"].nunique().max() == 5
    sampled = set(made.series["product_id"].iloc[rows["series"].unique()])
    shuffled = replace(made, series=made.series.iloc[::-1].reset_index(drop=True), units=made.units[::-1])
    again = backtest(shuffled)
    assert set(shuffled.series["product_id"].iloc[again["series"].unique()]) == sampled


def scored(**columns: object) -> pd.DataFrame:
    """Rows of one model as the back-test makes them; what is not given is one series from one origin."""
    return pd.DataFrame(
        {"series": 0, "segment": "dense", "model": "m", "cutoff": 10, "scale": 1.0, "step": 1.0, **columns}
    )


def test_wape_rmsse_and_bias_are_the_ones_worked_out_by_hand() -> None:
    rows = scored(
        series=[0, 0, 1, 1],
        horizon=[1, 2, 1, 2],
        actual=[10.0, 20.0, 4.0, 6.0],
        forecast=[12.0, 14.0, 4.0, 9.0],
        scale=[15.0, 15.0, 5.0, 5.0],
        step=[10.0, 10.0, 2.0, 2.0],
    )
    measured = evaluate.accuracy(rows).iloc[0]
    assert measured["wape"] == pytest.approx((2 + 6 + 0 + 3) / 40)
    assert measured["bias"] == pytest.approx((2 - 6 + 0 + 3) / 40)
    # Series 0: mean squared error 20 over step 10; series 1: 4.5 over 2; weighted 15 to 5.
    assert measured["rmsse"] == pytest.approx((15 * 2**0.5 + 5 * 1.5) / 20)
    assert (measured["series"], measured["rows"], measured["undefined"]) == (2, 4, 0)


def test_a_series_that_never_changed_is_left_out_of_rmsse_and_counted() -> None:
    rows = scored(series=[0, 1], horizon=[1, 1], actual=[4.0, 9.0], forecast=[5.0, 9.0], step=[0.0, 4.0])
    measured = evaluate.accuracy(rows).iloc[0]
    assert (measured["rmsse"], measured["undefined"]) == (0.0, 1)


def test_a_measure_without_anything_to_divide_by_is_no_number() -> None:
    measured = evaluate.accuracy(scored(horizon=[1, 2], actual=[0.0, 0.0], forecast=[1.0, 0.0], step=[0.0, 0.0])).iloc[
        0
    ]
    assert measured[["wape", "bias", "rmsse"]].isna().all()


def residuals(values: np.ndarray, forecast: float = 100.0, **columns: object) -> pd.DataFrame:
    number = np.arange(len(values))
    return scored(series=number, horizon=1, forecast=forecast, actual=forecast + values, **columns)


def test_the_interval_is_cut_at_the_order_statistics_of_the_residuals() -> None:
    """99 residuals -49 … 49: ranks 10, 50, 80 and 90 of 100."""
    known = residuals(np.arange(-49.0, 50.0))
    assert evaluate.calibrate(known).quantiles(known.head(1)).tolist() == [[60.0, 100.0, 130.0, 140.0]]


def test_intervals_grow_with_the_scale_of_the_series_and_never_go_below_zero() -> None:
    known = residuals(np.arange(-49.0, 50.0), scale=10.0)
    asked = scored(series=[0, 1], horizon=1, forecast=[100.0, 5.0], actual=0.0, scale=[20.0, 10.0])
    assert evaluate.calibrate(known).quantiles(asked).tolist() == [[20, 100, 160, 180], [0, 5, 35, 45]]


def test_a_group_with_few_residuals_borrows_from_the_next_wider_one() -> None:
    many = residuals(np.arange(-49.0, 50.0))
    few = residuals(np.full(evaluate.LEAST_SCORES - 1, 900.0), segment="sparse")
    both = evaluate.calibrate(pd.concat([many, few]))
    narrow = evaluate.calibrate(many)
    assert (both.quantiles(many.head(1)) == narrow.quantiles(many.head(1))).all()
    assert (both.quantiles(few.head(1))[0, -1] == 1000.0) and (both.quantiles(few.head(1))[0, 0] < 1000.0)


def test_residuals_of_far_weeks_widen_far_weeks_only() -> None:
    near, far = residuals(np.arange(-49.0, 50.0)), residuals(10 * np.arange(-49.0, 50.0), forecast=1000.0)
    both = evaluate.calibrate(pd.concat([near, far.assign(horizon=12)]))
    asked = scored(horizon=[2, 13], forecast=1000.0, actual=0.0)
    assert (both.quantiles(asked)[:, -1] - 1000.0).tolist() == [40.0, 400.0]


def test_an_80_percent_interval_holds_about_80_percent_of_what_it_has_not_seen() -> None:
    rng = np.random.default_rng(9)
    known, unseen = residuals(rng.normal(0, 20, 4_000)), residuals(rng.normal(0, 20, 4_000))
    assert evaluate.covered(unseen, evaluate.calibrate(known).quantiles(unseen)).mean() == pytest.approx(0.8, abs=0.02)


def test_the_bounds_belong_to_the_interval_and_a_missing_interval_counts_as_neither() -> None:
    rows = scored(series=[0, 1, 2, 3], horizon=1, actual=[3.0, 7.0, 8.0, 5.0], forecast=5.0)
    quantiles = np.array([[3, 5, 6, 7.0]] * 3 + [[np.nan] * 4])
    assert evaluate.covered(rows, quantiles).tolist()[:3] == [1.0, 1.0, 0.0]
    assert evaluate.covered(rows, quantiles).mean() == pytest.approx(2 / 3)


def test_honest_coverage_uses_only_residuals_known_at_the_last_cutoff() -> None:
    rows = scored(cutoff=[10, 10, 14, 18], horizon=[8, 9, 4, 1], actual=1.0, forecast=1.0)
    assert evaluate.known_before_last(rows)[["cutoff", "horizon"]].to_numpy().tolist() == [[10, 8], [14, 4]]
