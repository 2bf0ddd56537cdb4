"""What is believed of launches together: the line of a category."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml.incubation.belief import rates
from tests.ml.incubation.scores import by_exposure, frame

RNG = np.random.default_rng(1)


def believed(count: int = 300, **named: Any) -> pd.DataFrame:
    """Launches of three categories with all sorts of prices, priors and evidence."""
    shown = RNG.integers(0, 5_000, count)
    launches = frame(*(by_exposure(product_id=f"p{i:03d}", category=f"c{i % 3}") for i in range(count)))
    return launches.assign(
        rate_mean=RNG.beta(2, 98, count),
        rate_strength=RNG.choice([20.0, 200.0], count),
        impressions_so_far=shown,
        orders_so_far=RNG.binomial(shown, 0.02),
        gmv_per_unit=RNG.lognormal(2, 1.5, count),
        bestseller_gmv=1e6,
        **named,
    ).assign(units_so_far=lambda of: of["orders_so_far"])


def test_a_tenth_of_a_category_is_expected_above_its_line() -> None:
    launches = believed()
    above = pd.Series(rates(launches).pull).groupby(launches["category"]).mean()
    assert above.to_numpy() == pytest.approx(0.1, abs=0.005)


def test_nobody_needs_more_than_what_a_bestseller_sells_in_the_impressions_a_launch_usually_gets() -> None:
    launches = believed().assign(bestseller_gmv=1.0, impressions_so_far=[50_000] + [1_000] * 299, age_days=20)
    found = rates(launches)
    usually = 1_000 / 20 * 18 * 7
    assert found.line * found.gmv_per_order == pytest.approx(1.0 / usually)


def test_the_line_is_one_amount_of_gmv_for_all_of_a_category() -> None:
    launches = believed()
    found = rates(launches)
    lines = pd.Series(found.line * found.gmv_per_order).groupby(launches["category"])
    assert lines.max().to_numpy() == pytest.approx(lines.min().to_numpy())


def test_what_is_too_cheap_for_the_line_even_if_everybody_bought_it_has_no_chance() -> None:
    found = rates(believed().assign(gmv_per_unit=[0.0001] + [10.0] * 299))
    assert found.line[0] > 1
    assert found.pull[0] == 0


def test_an_order_is_as_large_as_its_own_orders_say_once_there_are_many() -> None:
    few, many = {"orders_so_far": 1, "units_so_far": 500}, {"orders_so_far": 400, "units_so_far": 4_000}
    usual = [by_exposure(product_id=f"u{i}", orders_so_far=1_000) for i in range(30)]
    found = rates(frame(by_exposure(**few), by_exposure(**many), *usual)).gmv_per_order
    assert found[0] < 30
    assert found[1] == pytest.approx(10, rel=0.1)


def test_launches_of_which_no_impressions_are_known_have_no_rate() -> None:
    found = rates(believed().assign(evidence=["units"] + ["exposure"] * 299))
    assert np.isnan(found.line[0])
    assert np.isnan(found.gmv_per_order[0])
    assert not np.isnan(found.line[1:]).any()
