"""What is left of demand when products are not on show, and the choice model found again in what was drawn from it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coldframe.errors import ConfigurationError
from ml.assortment.choice import Substitution, prior

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
