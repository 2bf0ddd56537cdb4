"""Intervals hold what they promise, for days and for sums of them."""

import numpy as np
import pytest

from ml.forecasting.daily import intervals


@pytest.mark.parametrize("rate", [0.5, 4.0, 60.0])
def test_an_80_percent_interval_holds_about_80_percent_of_what_it_has_not_seen(rate: float) -> None:
    rng = np.random.default_rng(2)
    said = np.full((400, 28), rate)
    made = intervals.calibrate([said], [rng.poisson(rate, said.shape).astype(float)])
    held = intervals.held(made.quantiles(said), rng.poisson(rate, said.shape))["coverage_80"]
    # Few different counts cannot be cut at a tenth; whole units hold more, never less.
    assert 0.79 <= held <= (0.95 if rate < 1 else 0.9)


def test_quantiles_are_whole_ordered_and_never_negative() -> None:
    rng = np.random.default_rng(2)
    said = rng.uniform(0, 5, (300, 14))
    found = intervals.calibrate([said], [rng.poisson(said).astype(float)]).quantiles(said)
    assert (found >= 0).all()
    assert (np.diff(found, axis=2) >= 0).all()
    np.testing.assert_array_equal(found, np.rint(found))


def test_days_are_summed_to_whole_weeks_and_to_the_whole_horizon() -> None:
    assert intervals.summed(np.ones((2, 17)), "W").tolist() == [[7, 7], [7, 7]]
    assert intervals.summed(np.ones((2, 17)), "H").tolist() == [[17], [17]]


def test_pinball_is_the_one_worked_out_by_hand() -> None:
    quantiles = np.array([[[0.0, 2.0, 4.0]]])
    # Errors 3, 1, -1: 0.1 * 3, 0.5 * 1, 0.1 * 1, over an actual of 3.
    np.testing.assert_allclose(intervals.pinball(quantiles, np.array([[3.0]])), (0.3 + 0.5 + 0.1) / 3 / 3)
