"""Chances and demand: what is learned, how it is calibrated, and how wide it is believed to be."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from ml.growth import model
from ml.growth.decide import PACE
from ml.growth.features import FEATURES, Frame
from ml.growth.model import LEAST_POSITIVES, METHODS, Demand, calibrate, fit, learn_demand, spread

NOTHING_LEARNED = Demand(None, None, ())


def frame(count: int, seed: int = 0, **fixed: float) -> Frame:
    rng = np.random.default_rng(seed)
    values = pd.DataFrame({name: rng.normal(size=count) for name in FEATURES}).assign(**fixed)
    return Frame(values, np.zeros((count, 0)), rng.choice([0, 7, 28], size=count).astype(float))


def hits(of: Frame, seed: int = 0) -> np.ndarray:
    """Launches that sold more become blockbusters more often, and so do those of a greater pace over the line."""
    over_line = of.values[METHODS[PACE][0]]
    told = expit(2 * (of.values["units"] + of.values["category_hits"] + over_line.fillna(0)) - 1.5)
    return np.random.default_rng(seed).random(len(of)) < told.to_numpy()


@pytest.mark.parametrize("method", METHODS)
def test_every_method_learns_from_what_it_looks_at(method: str) -> None:
    seen = frame(1200)
    chance = fit(method, seen, hits(seen), NOTHING_LEARNED).score(seen)
    [looked_at, *_] = [name for name in METHODS[method] if name in ("units", "category_hits", *METHODS[PACE])]
    assert ((chance > 0) & (chance < 1)).all()
    assert np.corrcoef(chance, seen.values[looked_at])[0, 1] > 0.5


@pytest.mark.parametrize("method", METHODS)
def test_a_feature_nobody_has_is_no_obstacle(method: str) -> None:
    seen = frame(300)
    missing = Frame(seen.values.assign(impressions=np.nan, buyers=np.nan), seen.topics, seen.age_days)
    demand = learn_demand(missing, np.log1p(np.arange(300.0)))
    assert np.isfinite(fit(method, missing, hits(seen), demand).score(missing)).all()
    assert np.isfinite(demand.log(missing)).all()


def test_a_launch_of_a_category_too_small_for_a_line_is_neither_first_nor_last_by_pace() -> None:
    [name] = METHODS[PACE]
    seen = frame(900)
    some = Frame(
        seen.values.assign(**{name: seen.values[name].where(np.arange(900) % 3 > 0)}), seen.topics, np.ones(900)
    )
    fitted = fit(PACE, some, hits(seen), NOTHING_LEARNED)
    chance, unknown = fitted.score(some), some.values[name].isna().to_numpy()
    assert np.ptp(chance[unknown]) == 0
    assert 0.3 < (chance[~unknown] < chance[unknown][0]).mean() < 0.7
    assert list(fitted.contributions(some)) == [name]
    nobody = Frame(seen.values.assign(**{name: np.nan}), seen.topics, seen.age_days)
    assert np.isfinite(fit(PACE, nobody, hits(seen), NOTHING_LEARNED).score(nobody)).all()


def test_with_too_few_blockbusters_every_launch_gets_the_base_rate_never_zero() -> None:
    seen = frame(100)
    few = np.arange(100) < LEAST_POSITIVES - 1
    fitted = fit("launch_model", seen, few, NOTHING_LEARNED)
    assert set(fitted.score(seen)) == {fitted.base_rate}
    assert fit("rule", frame(0), np.array([], dtype=bool), NOTHING_LEARNED).base_rate == 0.5
    assert fitted.contributions(seen).empty


def test_contributions_and_the_level_of_its_age_add_up_to_the_log_odds() -> None:
    seen = frame(600)
    fitted = fit("launch_model", seen, hits(seen), NOTHING_LEARNED)
    same_age = Frame(seen.values, seen.topics, np.full(600, 7.0))
    chance = fitted.score(same_age)
    level = np.log(chance / (1 - chance)) - fitted.contributions(same_age).sum(axis=1)
    np.testing.assert_allclose(level, level.iloc[0], atol=1e-6)


def test_demand_follows_the_pace_where_too_few_are_known_and_is_learned_where_they_are() -> None:
    few = frame(50)
    np.testing.assert_allclose(learn_demand(few, np.ones(50)).log(few), np.maximum(few.values["pace_21"], 0))
    seen = frame(400)
    log_demand = np.maximum(3 + seen.values["like_level"].to_numpy(), 0)
    learned = learn_demand(seen, log_demand).log(seen)
    assert np.corrcoef(learned, log_demand)[0, 1] > 0.8


def test_what_nobody_told_while_learning_moves_no_expectation() -> None:
    seen = frame(400)
    unknown = Frame(seen.values.assign(impressions=np.nan), seen.topics, seen.age_days)
    learned = learn_demand(unknown, np.maximum(3 + seen.values["like_level"].to_numpy(), 0))
    np.testing.assert_array_equal(learned.log(seen), learned.log(unknown))


def test_the_spread_of_demand_holds_what_came_and_is_wide_where_nothing_is_known() -> None:
    rng = np.random.default_rng(0)
    expected, ages = rng.uniform(2, 6, 3000), rng.choice([0.0, 7.0, 28.0], 3000)
    came = np.maximum(expected + rng.normal(0.5, 1.0, 3000), 0)
    told = spread(expected, came, ages).apply(expected, ages)
    within = (np.expm1(came) >= told["demand_q10"]) & (np.expm1(came) <= told["demand_q90"])
    assert within.mean() == pytest.approx(0.8, abs=0.03)
    assert told["demand_mean"].sum() == pytest.approx(np.expm1(came).sum(), rel=0.05)
    unknown = spread(np.array([]), np.array([]), np.array([])).apply(np.array([3.0]), np.array([7.0])).iloc[0]
    assert unknown["demand_q90"] > 6 * unknown["demand_q50"] > 36 * unknown["demand_q10"] / 1.1


def test_calibration_keeps_the_order_and_mends_promises() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(4000) * 0.4
    outcomes = rng.random(4000) < truth
    calibration = calibrate(truth / 3, outcomes)
    chance = calibration.chance(truth / 3)
    assert chance.mean() == pytest.approx(outcomes.mean(), abs=0.005)
    assert (np.diff(chance[np.argsort(truth)]) >= 0).all()
    assert chance.min() > 0


def test_the_few_best_that_all_became_blockbusters_are_no_certainty() -> None:
    rng = np.random.default_rng(2)
    scores = np.concatenate([rng.random(2000) * 0.5, 0.9 + rng.random(6) * 0.05])
    outcomes = np.concatenate([rng.random(2000) < scores[:2000], np.ones(6, dtype=bool)])
    calibration = calibrate(scores, outcomes)
    assert calibration.steps is not None
    assert calibration.chance(np.array([0.99])) == pytest.approx(6.5 / 7, abs=0.01)
    assert (np.diff(calibration.chance(np.sort(scores))) >= 0).all()


def test_a_curve_that_would_turn_the_ranking_round_mends_the_level_alone() -> None:
    rng = np.random.default_rng(3)
    scores = rng.random(300) * 0.4 + 0.05
    outcomes = rng.random(300) < 0.5 - scores
    calibration = calibrate(scores, outcomes)
    assert calibration.slope == 1
    assert calibration.chance(scores).mean() == pytest.approx(outcomes.mean(), abs=1e-6)
    told = calibrate(scores, scores > 0.25)
    assert told.slope == 1, "all from none is luck"
    assert 0 < told.chance(np.array([1e-9]))[0] < told.chance(np.array([1.0]))[0] < 1


def test_few_blockbusters_are_calibrated_by_two_numbers_and_fewer_not_at_all() -> None:
    rng = np.random.default_rng(1)
    scores = rng.random(500) * 0.5
    some = rng.random(500) < scores / 2
    assert calibrate(scores, some).steps is None
    none = np.zeros(500, dtype=bool)
    np.testing.assert_allclose(calibrate(scores, none).chance(scores), scores.clip(1e-5))


def test_bounds_lie_about_the_chance_and_hold_what_comes_of_such_launches() -> None:
    rng = np.random.default_rng(2)
    scores = rng.random(5000) ** 2
    calibration = calibrate(scores, rng.random(5000) < scores)
    chances = calibration.chance(np.sort(scores))
    low, high = calibration.interval(chances)
    assert ((low < chances) & (chances < high)).all(), "no chance is its own bound"
    low, truth, high = (part.reshape(10, 500).mean(axis=1) for part in (low, np.sort(scores), high))
    assert ((low <= truth) & (truth <= high)).sum() >= 8, "of ten tenths"
    nothing = calibrate(np.array([]), np.array([], dtype=bool)).interval(np.array([0.3]))
    assert [float(bound[0]) for bound in nothing] == [0, 1]


def test_many_looks_at_one_launch_tell_no_more_than_that_launch() -> None:
    rng = np.random.default_rng(4)
    scores = rng.random(4000)
    outcomes = rng.random(4000) < scores
    widths = [np.ptp(calibrate(scores, outcomes, n).interval(np.array([0.3])), axis=0)[0] for n in (None, 1000)]
    assert widths[1] == pytest.approx(2 * widths[0], rel=0.05), "four looks a launch: twice as wide"


def test_a_chance_of_next_to_nothing_is_bounded_by_nothing() -> None:
    scores = np.linspace(0.01, 0.99, 5000)
    low, high = calibrate(scores, scores > 0.5).interval(np.array([1e-6, 0.5, 1 - 1e-6]))
    assert (low[0], high[2]) == (0, 1)
    assert 0 < high[0] < low[1] < high[1] < low[2]


def test_what_a_weeks_sales_mean_may_change_with_age() -> None:
    young, old = (Frame(f.values, f.topics, np.full(900, age)) for f, age in ((frame(900), 1.0), (frame(900, 1), 56.0)))
    both = Frame(
        pd.concat([young.values, old.values], ignore_index=True),
        np.zeros((1800, 0)),
        np.concatenate([young.age_days, old.age_days]),
    )
    told = np.concatenate([np.random.default_rng(0).random(900) < 0.3, old.values["units"].to_numpy() > 0.5])
    fitted = fit("rule", both, told, NOTHING_LEARNED)
    assert np.ptp(fitted.score(old)) > 3 * np.ptp(fitted.score(young))
    assert model.KNOTS[0] == 0
