"""A shop whose prices change, with a planted elasticity."""

from datetime import timedelta

import numpy as np

from ml.forecasting.daily.panel import AHEAD, DailyPanel, PriceList
from tests.ml.forecasting.daily.conftest import FIRST, WEEK, make_keys, make_panel

DAYS, TRUTH = 730, -1.8
AS_OF = FIRST + timedelta(days=DAYS - 1)


def prices_of(matrix: np.ndarray) -> PriceList:
    """A price list with a row wherever a price of [series, day] begins; the last one goes on."""
    begins = np.diff(matrix, axis=1, prepend=np.nan) != 0
    series, first = np.nonzero(begins)
    run = np.zeros((len(matrix), matrix.shape[1] + AHEAD), dtype=np.int32)
    run[series, first] = np.arange(1, len(series) + 1)
    np.maximum.accumulate(run, axis=1, out=run)
    next_first = np.append(first[1:], 0)
    last = np.where(np.append(series[1:], -1) == series, next_first - 1, matrix.shape[1] + AHEAD)
    price = np.concatenate([[np.nan], matrix[series, first]]).astype(np.float32)
    return PriceList(run, price, np.concatenate([[-1], last]), np.concatenate([[0], first - 1]))


def market(truth: float = TRUTH, moves: float = 0.3, products: int = 48, seed: int = 1) -> DailyPanel:
    """Four subcategories of products with prices that change every seven weeks, a week, a wave of the year, and a sale
    in December on which prices fall and everything sells more whatever its price."""
    rng = np.random.default_rng(seed)
    keys, time = make_keys(products), np.arange(DAYS)
    usual = rng.uniform(2, 9, products).repeat(2)
    moved = rng.uniform(-moves, moves, (products, DAYS // 49 + 1)).repeat(2, axis=0)
    december = (time % 365) >= 330
    price = np.round(usual[:, None] * np.exp(moved[:, time // 49]) * np.where(december, 1 - moves / 3, 1.0), 2)
    season = WEEK[time % 7] * (1 + 0.3 * np.sin(2 * np.pi * time / 365.25)) * np.where(december, 2.0, 1.0)
    size = rng.uniform(1, 6, len(keys))[:, None]
    units = rng.poisson(size * season * (price / usual[:, None]) ** truth)
    return make_panel(products, units=units, prices=prices_of(price))
