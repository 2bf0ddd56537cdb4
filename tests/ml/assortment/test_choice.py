"""What is left of demand when products are not on show, and the choice model found again in what was drawn from it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coldframe.errors import ConfigurationError, NotAvailableError
from ml.assortment.choice import (
    LEAST,
    Substitution,
    believe,
    chances,
    dissimilarity,
    held_out,
    prior,
    refuse_unidentified,
    visits_by_weight,
    weigh,
)
from tests.ml.assortment.draws import PRICE, RHO, THETA, draw

UNITS = np.array([5.0, 3.0, 2.0])


def shown(letters: str) -> np.ndarray:
    return np.array([name in letters for name in "abc"])


def test_with_everything_on_show_demand_is_the_forecast() -> None:
    for rho, theta in ((0.3, 1.0), (0.05, 0.6), (0.0, 1.0), (0.0, 0.5)):
        np.testing.assert_allclose(Substitution(rho, theta, "fitted").demand(UNITS, shown("abc")), UNITS)


def test_demand_is_the_nested_logit_written_out() -> None:
    rho, theta = 0.2, 0.6
    weights = UNITS / UNITS.sum()
    inclusive = weights[0] + weights[2]
    outside = (1 - rho) / rho
    buys = inclusive**theta / (outside + inclusive**theta)
    visits = UNITS.sum() / rho
    expected = [visits * buys * weights[0] / inclusive, 0, visits * buys * weights[2] / inclusive]
    np.testing.assert_allclose(Substitution(rho, theta, "fitted").demand(UNITS, shown("ac")), expected)


def test_a_prior_of_nothing_leaves_every_product_its_own_demand() -> None:
    np.testing.assert_array_equal(prior(0).demand(UNITS, shown("ab")), [5, 3, 0])


def test_the_cell_keeps_the_stated_share_of_what_a_small_product_would_have_sold() -> None:
    units = np.array([1e-4, 6.0, 4.0])
    for substitution in (prior(0.2), Substitution(0.1, 0.5, "fitted")):
        kept = substitution.demand(units, shown("bc")).sum() - 10
        assert kept / 1e-4 == pytest.approx(substitution.recapture, rel=1e-3)


def test_nothing_on_show_sells_nothing() -> None:
    np.testing.assert_array_equal(prior(0.2).demand(UNITS, shown("")), [0, 0, 0])


@given(
    st.lists(st.floats(0.1, 100), min_size=2, max_size=8),
    st.floats(0, 0.95),
    st.floats(0.05, 1),
    st.randoms(use_true_random=False),
)
def test_one_product_less_never_lowers_another_nor_raises_the_cell(units, rho, theta, random) -> None:  # type: ignore[no-untyped-def]
    substitution = Substitution(rho, theta, "fitted")
    on_show = np.array([random.random() < 0.7 for _ in units])
    gone = random.randrange(len(units))
    without = on_show.copy()
    without[gone] = False
    before, after = (substitution.demand(np.array(units), s) for s in (on_show, without))
    assert (np.delete(after, gone) >= np.delete(before, gone) * (1 - 1e-12)).all()
    assert after.sum() <= before.sum() * (1 + 1e-12)


def test_a_prior_that_is_no_share_is_refused() -> None:
    for recapture in (-0.1, 1.0, float("nan")):
        with pytest.raises(ConfigurationError, match="recapture"):
            prior(recapture)


def test_what_choices_were_drawn_from_is_found_again() -> None:
    occasions = draw()
    weights = weigh(occasions)
    visits = visits_by_weight(occasions, weights)
    theta, error = dissimilarity(visits)
    assert weights.price_effect == pytest.approx(PRICE, abs=0.2)
    assert error < 0.15
    assert abs(theta - THETA) < 2.5 * error
    chance, spread = chances(visits, THETA)
    # What the weeks happen to be like is in the chance, so it is not exactly the one of an ordinary week.
    assert chance == pytest.approx(np.full(3, RHO), rel=0.1)
    assert (spread < 0.01).all()


def test_a_product_that_is_seldom_there_weighs_what_it_sells_when_it_is() -> None:
    occasions = draw(price=0.0)
    half = np.arange(len(occasions.visits)) % 2 == 0
    hidden = np.flatnonzero(occasions.bought.sum(axis=0) > 500)[0]
    shown, bought = occasions.shown.copy(), occasions.bought.copy()
    shown[half, hidden], bought[half, hidden] = False, 0
    always = weigh(occasions).utility
    seldom = weigh(replace(occasions, shown=shown, bought=bought)).utility
    assert seldom == pytest.approx(always, abs=0.15)


def test_the_chance_of_a_buy_is_with_everything_on_sale_in_stock() -> None:
    occasions = draw(missing=0.5)
    visits = visits_by_weight(occasions, weigh(occasions))
    chance, _ = chances(visits, THETA)
    assert (chance > 1.2 * occasions.buys.sum() / occasions.visits.sum()).all()


def test_a_price_effect_of_the_wrong_sign_is_dropped_and_said() -> None:
    weights = weigh(draw(price=+1.0))
    assert weights.price_effect == 0
    assert weights.warning.startswith("prices are left out of the choice")


def test_prices_that_never_differ_have_no_effect() -> None:
    occasions = draw()
    weights = weigh(replace(occasions, price=np.zeros_like(occasions.price)))
    assert (weights.price_effect, weights.warning) == (0, "")


def test_a_range_that_never_changes_tells_nothing_of_dissimilarity() -> None:
    occasions = draw(missing=0.0, price=0.0)
    unchanged = replace(occasions, price=np.zeros_like(occasions.price))
    _, error = dissimilarity(visits_by_weight(unchanged, weigh(unchanged)))
    assert error > 100


def test_without_anybody_who_left_the_chance_of_a_buy_is_refused() -> None:
    with pytest.raises(NotAvailableError, match=r"all 500 visits ended in a buy.*deliver in `visits`"):
        refuse_unidentified(500, 500)
    with pytest.raises(NotAvailableError, match="only 3 of 500 visits"):
        refuse_unidentified(500, 3)


def test_the_model_tells_unseen_weeks_better_than_shares_of_popularity() -> None:
    ours, popularity = held_out(draw(missing=0.3))
    assert ours > popularity + 0.001


def test_too_few_weeks_judge_nothing() -> None:
    assert np.isnan(held_out(draw(weeks=3))).all()


def test_a_category_of_which_little_is_known_is_taken_for_one_of_its_shop() -> None:
    believed, error = believe(np.array([0.6, 0.7, 0.65, 3.0]), np.array([0.05, 0.05, 0.05, 1000.0]))
    assert believed[3] == pytest.approx(0.65, abs=0.02)
    assert error[3] < 0.1


def test_categories_that_truly_differ_stay_apart() -> None:
    believed, _ = believe(np.array([0.3, 0.9]), np.array([0.01, 0.01]))
    assert believed == pytest.approx([0.3, 0.9], abs=0.01)


def test_what_is_known_of_nobody_is_the_prior_and_what_is_known_well_is_not() -> None:
    assert believe(np.array([-3.0]), np.array([1000.0]))[0] == pytest.approx([1.0], abs=1e-3)
    assert believe(np.array([0.4]), np.array([0.05]))[0] == pytest.approx([0.4], abs=0.03)


def test_no_dissimilarity_outside_the_model_is_believed() -> None:
    believed, _ = believe(np.array([1.6, -0.5]), np.array([0.01, 0.01]))
    assert believed.tolist() == [1.0, LEAST]
