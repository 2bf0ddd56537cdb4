"""Chances: what is learned, how it is calibrated, and how wide it is believed to be."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from ml.growth.data import FEATURES
from ml.growth.model import LEAST_POSITIVES, METHODS, calibrate, fit


def launches(count: int, share: float = 0.2, seed: int = 0) -> pd.DataFrame:
    """Launches of which those that sold most so far become bestsellers more often."""
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame({name: rng.lognormal(size=count) for name in FEATURES})
    rows["label"] = rng.random(count) < expit(np.log(rows["units_so_far"]) * 2 + np.log(share / (1 - share)))
    return rows


@pytest.mark.parametrize("method", METHODS)
def test_every_method_learns_that_what_sold_more_sells_more(method: str) -> None:
    rows = launches(1500)
    fitted = fit(method, rows)
    chance = fitted.predict(rows)
    assert ((chance > 0) & (chance < 1)).all()
    assert np.corrcoef(chance, np.log(rows["units_so_far"]))[0, 1] > 0.6


@pytest.mark.parametrize("method", METHODS)
def test_a_feature_nobody_has_is_no_obstacle(method: str) -> None:
    rows = launches(600).assign(exposure_share_4w=np.nan)
    assert np.isfinite(fit(method, rows).predict(rows)).all()


@pytest.mark.parametrize("method", METHODS)
def test_with_too_few_bestsellers_everything_gets_the_base_rate(method: str) -> None:
    rows = launches(200).assign(label=[True] * (LEAST_POSITIVES - 1) + [False] * (201 - LEAST_POSITIVES))
    fitted = fit(method, rows)
    assert fitted.classifier is None
    assert set(fitted.predict(rows)) == {(LEAST_POSITIVES - 0.5) / 201}


@pytest.mark.parametrize("method", METHODS)
def test_a_quarter_in_which_nothing_was_launched_has_no_chances(method: str) -> None:
    rows = launches(600)
    assert len(fit(method, rows).predict(rows.head(0))) == 0


def test_the_same_rows_give_the_same_chances() -> None:
    rows = launches(600)
    for method in METHODS:
        np.testing.assert_array_equal(fit(method, rows).predict(rows), fit(method, rows).predict(rows))


def test_calibration_mends_scores_that_promise_too_much() -> None:
    rng = np.random.default_rng(1)
    truth = rng.uniform(0.01, 0.3, 20_000)
    outcomes = rng.random(20_000) < truth
    boastful = np.clip(truth * 3, 0, 0.99)
    calibrated = calibrate(boastful, outcomes).chance(boastful)
    assert abs(boastful.mean() - outcomes.mean()) > 0.2
    assert calibrated.mean() == pytest.approx(outcomes.mean(), abs=0.005)
    assert (np.diff(calibrated[np.argsort(boastful)]) >= -1e-12).all(), "calibration must not change the ranking"


def test_with_many_bestsellers_the_head_of_the_ranking_is_promised_what_it_keeps() -> None:
    rng = np.random.default_rng(3)
    scores = rng.beta(1, 12, 20_000)
    true = np.where(scores > 0.3, 0.6, scores / 3)
    calibration = calibrate(scores, rng.random(20_000) < true)
    assert calibration.steps is not None
    assert calibration.chance(np.array([0.4]))[0] == pytest.approx(0.6, abs=0.08)
    chances = calibration.chance(np.linspace(0, 1, 50))
    assert (np.diff(chances) >= 0).all()
    assert ((chances > 0) & (chances < 1)).all()


def test_the_interval_holds_the_true_chance_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    held = []
    for _ in range(40):
        truth = rng.uniform(0.02, 0.4, 3000)
        calibration = calibrate(truth, rng.random(3000) < truth)
        low, high = calibration.interval(np.array([0.1, 0.3]))
        held += [low[0] <= 0.1 <= high[0], low[1] <= 0.3 <= high[1]]
    assert 0.65 <= np.mean(held) <= 0.95


def test_without_outcomes_the_interval_says_that_nothing_is_known() -> None:
    low, high = calibrate(np.array([]), np.array([])).interval(np.array([0.1]))
    assert (low[0], high[0]) == (0, 1)
