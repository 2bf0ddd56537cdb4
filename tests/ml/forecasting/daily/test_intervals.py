"""Intervals hold what they promise, for days and for sums of them."""

import numpy as np
import pytest

from ml.forecasting.daily import intervals
from ml.forecasting.daily.intervals import Errors


def errors(said: np.ndarray, came: np.ndarray) -> Errors:
    return Errors(said, came, np.ones(len(said)))


@pytest.mark.parametrize("rate", [0.5, 4.0, 60.0])
def test_an_80_percent_interval_holds_80_percent_of_what_it_has_not_seen(rate: float) -> None:
    rng = np.random.default_rng(2)
    said = rng.uniform(0.8, 1.2, (400, 28)) * rate
    made = intervals.calibrate([errors(said, rng.poisson(said).astype(float))])
    held = intervals.held(made.quantiles(said, np.ones(400)), rng.poisson(said))
    assert 0.78 <= held["coverage_80"] <= 0.82
    assert 0.08 <= held["above_q90"] <= 0.12


def test_quantiles_are_ordered_and_never_negative() -> None:
    rng = np.random.default_rng(2)
    said = rng.uniform(0, 5, (300, 14))
    found = intervals.calibrate([errors(said, rng.poisson(said).astype(float))]).quantiles(said, np.ones(300))
    assert (found >= 0).all()
    assert (np.diff(found, axis=2) >= 0).all()


def test_a_node_that_scatters_more_has_the_wider_interval() -> None:
    rng = np.random.default_rng(2)
    said = np.full((300, 14), 9.0)
    made = intervals.calibrate([errors(said, rng.poisson(said).astype(float))])
    calm, wild = made.quantiles(said[:2], np.array([1.0, 16.0]))[:, 0]
    np.testing.assert_allclose(wild[2] - 9, 2 * (calm[2] - 9))


def test_scatter_is_variance_over_mean_of_days_around_their_weekday_and_of_weeks() -> None:
    week = np.array([0.0, 4, 0, 4, 0, 4, 0])
    steady, doubling = np.tile(week, 2), np.concatenate([week, 2 * week])
    np.testing.assert_allclose(intervals.scatter(np.stack([steady]), "D"), 1 / (12 / 7 + 1))
    # Three weekdays of 4 and 8 have a variance of 8 each; weeks of 12 and 24 one of 72.
    np.testing.assert_allclose(intervals.scatter(np.stack([doubling]), "D"), (3 * 8 / 7 + 1) / (18 / 7 + 1))
    np.testing.assert_allclose(intervals.scatter(np.stack([doubling]), "W"), (72 + 1) / (18 + 1))


def test_days_are_summed_to_whole_weeks_and_to_the_whole_horizon() -> None:
    assert intervals.summed(np.ones((2, 17)), "W").tolist() == [[7, 7], [7, 7]]
    assert intervals.summed(np.ones((2, 17)), "H").tolist() == [[17], [17]]


def test_pinball_is_the_one_worked_out_by_hand() -> None:
    quantiles = np.array([[[0.0, 2.0, 4.0]]])
    # Errors 3, 1, -1: 0.1 * 3, 0.5 * 1, 0.1 * 1, over an actual of 3.
    np.testing.assert_allclose(intervals.pinball(quantiles, np.array([[3.0]])), (0.3 + 0.5 + 0.1) / 3 / 3)
