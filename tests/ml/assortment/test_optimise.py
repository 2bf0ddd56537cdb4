"""The choice among products that stand in for one another: as good as trying everything, never said to be better."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.assortment.choice import Substitution, prior
from ml.assortment.optimise import Cell, Limit, feasible, keeps, optimise


@st.composite
def cells(draw: st.DrawFn, most: int = 12) -> Cell:
    n = draw(st.integers(1, most))
    whole = st.lists(st.integers(1, 30), min_size=n, max_size=n)
    units = np.array(draw(whole), dtype=float)
    per_unit = np.array(draw(st.lists(st.integers(-3, 20), min_size=n, max_size=n)), dtype=float)
    substitution = Substitution(draw(st.sampled_from([0, 0.1, 0.5, 0.9, 1])), draw(st.sampled_from([0.2, 0.6, 1])), "")
    return Cell(
        units * per_unit, units, substitution, draw(st.sampled_from([0, 0, 5, 40])), draw(st.sampled_from([0, 9]))
    )


@st.composite
def limits_of(draw: st.DrawFn, n: int) -> list[Limit]:
    def some() -> np.ndarray:
        return np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)), dtype=float)

    return [Limit("cap", some(), 0, draw(st.integers(0, 2))), Limit("quota", some(), draw(st.integers(0, 2)), np.inf)]


def best_of_all(cell: Cell, slots: int, limits: list[Limit]) -> float | None:
    """The most any set is worth that keeps the limits, by trying each."""
    every = np.array(list(product([False, True], repeat=len(cell.units))))
    allowed = [row for row in every if row.sum() <= slots and keeps(row, limits)]
    return max((plainly(cell, row) for row in allowed), default=None)


def plainly(cell: Cell, shown: np.ndarray) -> float:
    """Worth of a set by the choice model's own demand, with what cannot be chosen as one more product."""
    units = np.append(cell.units, cell.others)
    demand = cell.substitution.demand(units, np.append(shown, False))[:-1]
    return float(demand @ (cell.money / cell.units) - cell.handling * shown.sum())


@settings(max_examples=100, deadline=None)
@given(cells(), st.integers(1, 6))
def test_where_only_slots_bind_the_choice_is_worth_as_much_as_the_best_of_all(cell: Cell, slots: int) -> None:
    found = optimise(cell, slots)
    assert found is not None
    assert found.value == pytest.approx(best_of_all(cell, slots, []), rel=1e-9, abs=1e-9)
    assert found.value == pytest.approx(plainly(cell, found.chosen))
    assert found.gap == 0


@settings(max_examples=60, deadline=None)
@given(st.data(), cells(most=8), st.integers(1, 5))
def test_with_other_rules_it_is_so_too_and_the_bound_of_the_greedy_choice_holds(
    data: st.DataObject, cell: Cell, slots: int
) -> None:
    limits = data.draw(limits_of(len(cell.units)))
    most = best_of_all(cell, slots, limits)
    exact, greedy = optimise(cell, slots, limits), optimise(cell, slots, limits, most_exact=0)
    if most is None:
        assert exact is None
        return
    assert exact is not None
    # With handling, counts that bring a thousandth more are not looked for, and the gap says so.
    assert exact.value == pytest.approx(most, rel=1e-3 if cell.handling else 1e-6, abs=1e-6)
    assert exact.value <= most + 1e-6 * abs(most) + 1e-6 and exact.bound >= most - 1e-6 * abs(most) - 1e-6
    assert keeps(exact.chosen, limits)
    if most > 0:
        assert exact.gap <= (0.0021 if cell.handling else 0)
    if greedy is not None:
        assert keeps(greedy.chosen, limits)
        assert greedy.value <= most + 1e-6 * abs(most) + 1e-6 and greedy.bound >= most - 1e-6 * abs(most) - 1e-6


def test_a_small_dear_product_a_rule_forbids_does_not_keep_the_rest_from_being_proven() -> None:
    money, units = np.array([15.0, 0, 0, 10]), np.array([15.0, 1, 1, 1])
    forbidden = [Limit("cap", np.array([0.0, 0, 0, 1]), 0, 0)]
    found = optimise(Cell(money, units, Substitution(0.01, 0.2, "fitted")), 1, forbidden)
    assert found is not None
    assert found.chosen.tolist() == [True, False, False, False]
    assert found.gap == 0


def test_a_cheap_product_that_takes_buyers_from_a_dear_one_is_left_out() -> None:
    dear, cheap = 10.0, 1.0
    cell = Cell(np.array([100 * dear, 100 * cheap]), np.full(2, 100.0), prior(0.5))
    found = optimise(cell, 2)
    assert found is not None
    assert found.chosen.tolist() == [True, False]
    assert optimise(Cell(cell.money, cell.units, prior(0)), 2).chosen.all()  # type: ignore[union-attr]


def test_an_option_that_does_not_pay_its_handling_is_left_out() -> None:
    cell = Cell(np.array([50.0, 20.0, 9.0]), np.ones(3), prior(0), handling=10)
    found = optimise(cell, 3)
    assert found is not None
    assert (found.chosen.tolist(), found.value) == ([True, True, False], 50)


def test_a_choice_to_begin_with_is_used_where_it_keeps_the_rules() -> None:
    cell = Cell(np.array([5.0, 4.0, 3.0, 3.0]), np.ones(4), prior(0.3))
    one_of = [Limit("cap", np.array([1.0, 1, 0, 0]), 0, 1)]
    for start in ([True, False, True, False], [True, True, False, False]):
        found = optimise(cell, 2, one_of, np.array(start))
        assert found is not None
        assert found.chosen.tolist() == [True, False, True, False]


def test_whether_limits_can_be_kept_together_is_told() -> None:
    all_three = np.ones(3)
    assert feasible([Limit("slots", all_three, 0, 2)], 3) is True
    assert feasible([Limit("slots", all_three, 0, 1), Limit("keep", np.array([1.0, 1, 0]), 2, np.inf)], 3) is False
