"""What a season may bring: quantiles that stand, means that hold, and errors that lines share."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.assortment.scenarios import KNOWN, Demand, Errors, total_interval

MEAN = np.array([90.0, 3.0, 0.5])
QUANTILES = np.array([[60.0, 95, 130, 150], [0, 2, 5, 7], [0, 0, 0, 1]])


def test_the_quantiles_of_the_forecast_stand_and_the_tail_gives_its_mean() -> None:
    demand = Demand.of(MEAN, QUANTILES)
    for column, level in enumerate(KNOWN):
        assert demand.at(np.full(3, level)) == pytest.approx(QUANTILES[:, column])
    assert demand.mean == pytest.approx([98.25, 3.0, 0.5]), "the first's quantiles alone lie above its mean"
    drawn = demand.at(np.random.default_rng(1).random((3, 200_000)))
    assert drawn.mean(axis=1) == pytest.approx(demand.mean, rel=0.01)


@given(st.floats(0, 0.97), st.floats(0.1, 50))
def test_the_chance_of_more_undoes_the_quantile(level: float, mean: float) -> None:
    demand = Demand.of(np.array([mean + 30]), np.array([[5.0, 10, 20, 31]]))
    assert demand.exceeds(demand.at(np.array([level])))[0] == pytest.approx(1 - level, abs=1e-9)


def test_sales_are_what_stock_and_demand_both_allow() -> None:
    demand = Demand.of(MEAN, QUANTILES)
    assert demand.sales(np.zeros(3)).tolist() == [0, 0, 0]
    assert demand.sales(np.full(3, 1e6)) == pytest.approx(demand.mean)
    drawn = demand.at(np.random.default_rng(1).random((3, 200_000)))
    depth = np.array([90.0, 4, 2])
    assert demand.sales(depth) == pytest.approx(np.minimum(drawn, depth[:, None]).mean(axis=1), rel=0.01)


def test_errors_that_lines_share_widen_their_sum_and_leave_each_as_it_is() -> None:
    n = 100
    demand = Demand.of(np.full(n, 100.0), np.tile([60.0, 100, 130, 145], (n, 1)))
    cells, lines = ["a"] * 50 + ["b"] * 50, [f"line {i}" for i in range(n)]

    def width(errors: Errors, take: slice = slice(None)) -> float:
        part = Demand(demand.knots[take], demand.tail[take])
        low, high = total_interval(part, np.ones(len(part.tail)), cells[take], lines[take], errors)
        return (high - low) / len(part.tail)

    alone, by_cell, by_shop = (width(errors) for errors in (Errors(), Errors(cell=0.2), Errors(shop=0.2)))
    assert alone < by_cell < by_shop
    # 80 % of a normal error of 20 % lie within 1.28 of them to each side.
    assert by_shop == pytest.approx(2 * 1.28 * 0.2 * 100, rel=0.2)
    assert width(Errors(shop=0.2), slice(0, 1)) == pytest.approx(85, rel=0.1), "of one line it is its own interval"


def test_a_line_meets_the_same_seasons_whatever_else_is_planned() -> None:
    one = Demand.of(MEAN[:1], QUANTILES[:1])
    both = Demand.of(MEAN[:2], QUANTILES[:2])
    errors = Errors(0.1, 0.1)
    alone = total_interval(one, np.ones(1), ["a"], ["x"], errors)
    assert alone == total_interval(both, np.array([1.0, 0.0]), ["a", "a"], ["x", "y"], errors)
    assert total_interval(one, np.ones(0), [], [], errors) == (0, 0)
