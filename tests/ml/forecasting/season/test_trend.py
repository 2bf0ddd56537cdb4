"""A rise is told where season, category and chance do not explain it."""

import numpy as np
import pandas as pd
import pytest

from ml.forecasting.season.trend import GROWTH, trends


def shop(products: int = 300, weeks: int = 60, swing: float = 6.0, seed: int = 3) -> np.ndarray:
    """Counts that swing more than Poisson's around a course of the year all products share."""
    rng = np.random.default_rng(seed)
    rate = np.geomspace(4, 80, products)[:, None] * (1 + 0.5 * np.sin(2 * np.pi * np.arange(weeks) / 52))
    return rng.poisson(rate * rng.gamma(swing, 1 / swing, rate.shape)).astype(float)


def names(count: int) -> pd.Series:
    return pd.Series([f"p{i:03d}" for i in range(count)])


def test_where_nothing_rose_hardly_anything_is_told() -> None:
    told = [
        (trends(shop(seed=seed), np.zeros(300, dtype=int), names(300))["q_value"] <= 0.1).sum() for seed in range(10)
    ]
    assert sum(count > 0 for count in told) <= 3, "of ten shops without a trend at most a few may show one"
    assert max(told) <= 3


def test_a_planted_rise_and_a_planted_fall_are_found_and_the_category_is_no_trend() -> None:
    units = shop()
    units[100:110, -4:] *= 3
    units[200:210, -4:] //= 4
    found = trends(units, np.zeros(300, dtype=int), names(300)).set_index("product_id")
    told = found[found["q_value"] <= 0.1]
    planted = set(names(300)[100:110]) | set(names(300)[200:210])
    assert len(planted & set(told.index)) >= 18
    assert len(set(told.index) - planted) <= 0.2 * len(told)
    assert (found.loc[names(300)[100:110], "p_growth"] > 0.9).all()
    assert (found.loc[names(300)[200:210], "ratio"] < 1 / GROWTH).all()


def test_nothing_is_told_of_what_hardly_sells_or_of_a_shop_of_a_quarter() -> None:
    units = shop(20)
    units[:5] = 0
    found = trends(units, np.zeros(20, dtype=int), names(20))
    assert set(found["product_id"]) == set(names(20)[5:])
    assert trends(units[:, :16], np.zeros(20, dtype=int), names(20)).empty


def test_a_product_alone_in_its_category_is_compared_with_its_own_past() -> None:
    units = np.full((1, 30), 10.0)
    found = trends(units, np.zeros(1, dtype=int), names(1))
    assert found["expected"].tolist() == pytest.approx([40.0])
    assert found["q_value"].tolist() == [1.0]
