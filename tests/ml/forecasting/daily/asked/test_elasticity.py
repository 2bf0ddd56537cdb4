"""How much a price moves demand: a planted effect is found, and doubt about it is told nearly as often as it should."""

from dataclasses import replace

import numpy as np
import pytest

from ml.forecasting.daily.asked.elasticity import estimate, runs_of
from ml.forecasting.daily.panel import DailyPanel
from tests.ml.forecasting.daily.priced import TRUTH, market


@pytest.fixture(scope="module")
def priced() -> DailyPanel:
    return market(seed=3)


def test_a_planted_elasticity_is_found_whatever_the_season_and_common_sales_do(priced: DailyPanel) -> None:
    product = priced.hierarchy.codes("product")
    keys = priced.hierarchy.keys
    for category in ("c0", "c1"):
        found = estimate(category, runs_of(priced, np.flatnonzero(keys["category"] == category)), product)
        assert found.low < TRUTH < found.high
        assert found.high - found.low < 0.2
        assert found.products == 24
        assert found.trouble is None


def test_the_interval_holds_the_truth_nearly_as_often_as_it_says() -> None:
    found = []
    for seed in range(20):
        panel = market(products=24, seed=seed)
        found.append(estimate("all", runs_of(panel, np.arange(48)), panel.hierarchy.codes("product")))
    assert sum(one.low < TRUTH < one.high for one in found) >= 17
    assert np.mean([one.value for one in found]) == pytest.approx(TRUTH, abs=0.02)


def test_runs_are_all_that_was_sold_while_a_price_was_known(priced: DailyPanel) -> None:
    every = np.arange(len(priced.units))
    runs = runs_of(priced, every)
    assert runs.sold.sum() == pytest.approx(priced.units.sum())
    assert set(runs.year) == {0, 1}
    hidden = np.zeros(priced.units.shape, dtype=bool)
    hidden[:, 100:200] = True
    assert runs_of(replace(priced, out=hidden), every).sold.sum() == pytest.approx(priced.units[:, ~hidden[0]].sum())
