"""Measures that can be worked out by hand, on days the models had not seen."""

from collections.abc import Callable

import numpy as np
import pytest

from coldframe.errors import BadInputError
from ml.forecasting.daily import engine, evaluate
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
    assert engine.seasonal_naive(panel(units=units), 10)[0].tolist() == [0, 1, 2, 3, 4, 5, 6, 0, 1, 2]
