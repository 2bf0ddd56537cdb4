"""Measures that can be worked out by hand, and intervals that hold what they promise."""

from collections.abc import Callable

import numpy as np
import pytest

from coldframe.errors import BadInputError
from ml.forecasting.daily import evaluate
from ml.forecasting.daily.panel import DailyPanel

Make = Callable[..., DailyPanel]


def test_origins_are_a_horizon_apart_and_leave_the_horizon_to_score() -> None:
    assert evaluate.cutoffs(300, 28) == (216, 244, 272)
    assert evaluate.cutoffs(120, 28) == (92,)


def test_a_history_without_an_origin_says_how_much_it_takes() -> None:
    with pytest.raises(BadInputError, match=r"100 days of history.*needs 112"):
        evaluate.cutoffs(100, 28)


def test_wape_bias_and_rmsse_are_the_ones_worked_out_by_hand(panel: Make) -> None:
    units = np.zeros((24, 102))
    units[0, :100:2] = 2
    units[0, 100:] = (3, 1)
    said = np.zeros((24, 2))
    said[0] = (1, 1)
    table = evaluate.accuracy(panel(units=units), 100, {"one": said, "none": 0 * said}).set_index(["level", "model"])
    bottom = table.loc["product_region", "one"]
    assert (bottom["wape"], bottom["bias"]) == (0.5, -0.5)
    # Day-on-day changes are 2 throughout, errors 2 and 0.
    np.testing.assert_allclose(bottom["rmsse"], np.sqrt(2 / 4))
    assert bottom["undefined"] == 23
    assert table.loc["total", "none"]["bias"] == -1


def test_seasonal_naive_repeats_the_last_week(panel: Make) -> None:
    units = np.tile(np.arange(7.0), (24, 20))
    assert evaluate.seasonal_naive(panel(units=units), 10)[0].tolist() == [0, 1, 2, 3, 4, 5, 6, 0, 1, 2]


@pytest.mark.parametrize("rate", [0.5, 4.0, 60.0])
def test_an_80_percent_interval_holds_about_80_percent_of_what_it_has_not_seen(rate: float) -> None:
    rng = np.random.default_rng(2)
    said = np.full((400, 28), rate)
    intervals = evaluate.calibrate([said], [rng.poisson(rate, said.shape).astype(float)])
    held = evaluate.coverage(intervals.quantiles(said), rng.poisson(rate, said.shape))
    # Few different counts cannot be cut at a tenth; whole units hold more, never less.
    assert 0.79 <= held <= (0.95 if rate < 1 else 0.9)


def test_quantiles_are_whole_ordered_and_never_negative() -> None:
    rng = np.random.default_rng(2)
    said = rng.uniform(0, 5, (300, 14))
    found = evaluate.calibrate([said], [rng.poisson(said).astype(float)]).quantiles(said)
    assert (found >= 0).all()
    assert (np.diff(found, axis=2) >= 0).all()
    np.testing.assert_array_equal(found, np.rint(found))


def test_weeks_are_whole_ones() -> None:
    assert evaluate.by_week(np.ones((2, 17))).tolist() == [[7, 7], [7, 7]]


def test_pinball_is_the_one_worked_out_by_hand() -> None:
    quantiles = np.array([[[0.0, 2.0, 4.0]]])
    # Errors 3, 1, -1: 0.1 * 3, 0.5 * 1, 0.1 * 1, over an actual of 3.
    np.testing.assert_allclose(evaluate.pinball(quantiles, np.array([[3.0]])), (0.3 + 0.5 + 0.1) / 3 / 3)
