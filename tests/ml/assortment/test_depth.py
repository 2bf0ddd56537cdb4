"""How deep a line is held: the newsvendor's quantile, and money spread where it brings most."""

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coldframe.errors import ConfigurationError
from ml.assortment.depth import Units, hold, units_of
from ml.assortment.scenarios import Demand

UNKNOWN = np.array([np.nan])


def a_line(copies: int = 1) -> Demand:
    return Demand.of(np.full(copies, 100.0), np.tile([60.0, 95, 130, 150], (copies, 1)))


def test_without_costs_depth_covers_demand_with_the_service_level() -> None:
    price = np.array([5.0])
    depths = [
        int(hold(a_line(), units_of(price, UNKNOWN, 0.5, level, 1.0)).units[0]) for level in (0.5, 0.65, 0.8, 0.9)
    ]
    assert depths == [95, 113, 130, 150]


def test_with_costs_depth_is_the_critical_ratio_of_the_newsvendor() -> None:
    # (p - c) / (p - s) = (10 - 8) / (10 - 4) = 1/3; between q10 and q50 that is 60 + 35 * (1/3 - 0.1) / 0.4.
    cheap, dear = (units_of(np.array([10.0]), np.array([cost]), 0.5, 0.8, 1.0) for cost in (1.0, 8.0))
    assert hold(a_line(), dear).units.tolist() == [81]
    assert hold(a_line(), cheap).units[0] > 150, "a unit that costs little is worth holding for rare seasons"


def test_a_line_that_is_ranged_is_held_once_and_no_more_at_a_loss_or_for_nothing() -> None:
    hardly = Demand.of(np.array([0.2]), np.array([[0.0, 0, 0, 1]]))
    assert hold(hardly, units_of(np.array([10.0]), UNKNOWN, 0.5, 0.5, 1.0)).units.tolist() == [1]
    assert hold(a_line(), units_of(np.array([10.0]), np.array([20.0]), 1.0, 0.8, 1.0)).units.tolist() == [1]
    assert hold(a_line(), units_of(np.array([0.0]), UNKNOWN, 0.5, 0.8, 1.0)).units.tolist() == [1]


def test_the_fill_rate_is_the_share_of_expected_demand_that_is_served() -> None:
    found = hold(a_line(), units_of(np.array([5.0]), UNKNOWN, 0.5, 0.8, 1.0))
    drawn = a_line().at(np.random.default_rng(1).random((1, 200_000)))
    assert found.fill[0] == pytest.approx(np.minimum(drawn, 130).mean() / drawn.mean(), abs=0.002)


def profits(demand: Demand, units: Units, most: int) -> np.ndarray:
    """Expected profit of each line, [line, depth], of whole units against demand rounded up, summed unit by unit."""
    chance = np.array([demand.exceeds(np.full(len(demand.tail), float(unit))) for unit in range(most)]).T
    of_units = (units.under + units.over)[:, None] * chance - units.over[:, None]
    return np.column_stack([np.zeros(len(of_units)), of_units.cumsum(axis=1)])


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_a_budget_is_spent_where_it_brings_most(data: st.DataObject) -> None:
    n = 3
    numbers = st.lists(st.integers(1, 9), min_size=n, max_size=n)
    low, price = (np.array(data.draw(numbers), dtype=float) for _ in range(2))
    quantiles = low[:, None] * np.array([0.2, 0.5, 0.8, 1.0])
    demand = Demand.of(quantiles.mean(axis=1), quantiles)
    units = Units(under=price, over=price / 4, stock=np.full(n, 2.0))
    budget = data.draw(st.integers(2 * n, 40))
    found = hold(demand, units, budget)
    assert found.units @ units.stock <= budget
    table, lines = profits(demand, units, 40), range(n)
    affordable = (depth for depth in product(range(1, 12), repeat=n) if 2 * sum(depth) <= budget)
    best = max(sum(table[line, depth[line]] for line in lines) for depth in affordable)
    assert table[lines, found.units].sum() == pytest.approx(best)


def test_more_money_never_makes_a_line_shallower_and_is_worth_less_and_less() -> None:
    demand = Demand.of(np.array([100.0, 20]), np.array([[60.0, 95, 130, 150], [2, 15, 30, 45]]))
    units = units_of(np.array([10.0, 30]), np.array([4.0, 20]), 0.5, 0.8, 1.0)
    found = [hold(demand, units, budget) for budget in (100, 300, 600, 100_000)]
    assert all((a.units <= b.units).all() and a.worth_of_money >= b.worth_of_money for a, b in pairwise(found))
    assert found[0].worth_of_money > 0 == found[-1].worth_of_money
    assert (found[-1].units == hold(demand, units).units).all()


def test_a_budget_that_does_not_buy_one_of_each_is_refused_with_what_they_cost() -> None:
    with pytest.raises(
        ConfigurationError, match=r"budget 10\.00 does not buy one unit of each of the 2 options.*20\.00"
    ):
        hold(a_line(2), Units(np.ones(2), np.ones(2), np.full(2, 10.0)), 10)


def test_a_line_of_unknown_cost_is_counted_at_the_usual_share_of_its_price() -> None:
    found = units_of(np.array([10.0, 10]), np.array([4.0, np.nan]), 0.5, 0.8, 0.6)
    assert found.stock.tolist() == [4, 6]
