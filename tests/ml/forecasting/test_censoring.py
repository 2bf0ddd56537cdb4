"""What was wanted while stock was out: what the series sold before, moved as its group moved meanwhile."""

from typing import Any

import numpy as np
import pytest

from ml.forecasting.censoring import demand, stocked_share

DAYS = 200
WEEK = np.array([0.6, 0.8, 0.8, 1.0, 1.1, 1.4, 1.3])


def shop(series: int = 20, moved: Any = 1.0) -> np.ndarray:
    """Expected sales of a group of series that sell 2 to 40 a day, with a weekday."""
    return np.geomspace(2, 40, series)[:, None] * WEEK[np.arange(DAYS) % 7] * np.broadcast_to(moved, DAYS)


def estimated(wanted: np.ndarray, out: np.ndarray, first_day: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """What sold and what is made of it where the first series was out of stock on the days `out`."""
    gone = np.zeros(wanted.shape, dtype=bool)
    gone[0, out] = True
    sold = np.where(gone, 0.0, wanted)
    sold[0, :first_day] = np.nan
    group = np.zeros(len(wanted), dtype=np.int64)
    return sold, demand(sold, stocked_share(gone, sold), group, week=7)


def test_where_stock_never_ran_out_nothing_is_touched() -> None:
    sold = shop()
    assert demand(sold, np.ones(sold.shape), np.zeros(len(sold), dtype=np.int64), week=7) is sold


def test_eight_weeks_without_stock_neither_fade_nor_forget_the_weekday() -> None:
    wanted = shop()
    out = np.arange(100, 156)
    _, found = estimated(wanted, out)
    np.testing.assert_allclose(found[0, out], wanted[0, out], rtol=0.05)
    np.testing.assert_array_equal(found[1:], wanted[1:])


def test_who_is_out_of_stock_moves_as_its_group_moves() -> None:
    wanted = shop(moved=np.where(np.arange(DAYS) < 120, 1.0, 2.0))
    _, found = estimated(wanted, np.arange(100, 156))
    np.testing.assert_allclose(found[0, 120:156].sum(), wanted[0, 120:156].sum(), rtol=0.1)


def test_a_fall_of_the_whole_shop_is_seen_by_a_group_of_one() -> None:
    wanted = shop(moved=np.where(np.arange(DAYS) < 120, 1.0, 0.5))
    sold = wanted.copy()
    sold[0, 100:156] = 0
    stocked = np.ones(sold.shape)
    stocked[0, 100:156] = 0
    alone = (np.arange(len(sold)) > 0).astype(np.int64)
    found = demand(sold, stocked, alone, week=7)
    np.testing.assert_allclose(found[0, 130:156].sum(), wanted[0, 130:156].sum(), rtol=0.15)


def test_the_day_it_runs_out_is_what_was_sold_and_half_a_day_more() -> None:
    gone = np.zeros((1, DAYS), dtype=bool)
    gone[0, 100] = True
    sold = np.full((1, DAYS), 10.0)
    sold[0, 100] = 4
    share = stocked_share(gone, sold)
    assert share[0, 98:103].tolist() == [1, 1, 0.5, 1, 1]
    assert demand(sold, share, np.zeros(1, dtype=np.int64), week=7)[0, 100] == pytest.approx(9, abs=0.7)


def test_who_sells_out_every_week_is_not_taken_for_half_of_what_it_is() -> None:
    rng = np.random.default_rng(5)
    rates = np.full((40, 1), 1.5)
    wanted = rng.poisson(rates, (40, DAYS * 2)).astype(float)
    stock = np.zeros(40)
    sold, gone = np.zeros(wanted.shape), np.zeros(wanted.shape, dtype=bool)
    for day in range(wanted.shape[1]):
        stock = np.full(40, 6.0) if day % 7 == 0 else stock
        sold[:, day] = np.minimum(stock, wanted[:, day])
        stock -= sold[:, day]
        gone[:, day] = stock == 0
    found = demand(sold, stocked_share(gone, sold), np.arange(40) % 2, week=7)
    assert sold.sum() / wanted.sum() < 0.6
    assert found[:, 100:].sum() / wanted[:, 100:].sum() == pytest.approx(1, abs=0.1)


def test_a_series_without_stock_since_its_launch_or_all_its_life_stays_as_sold() -> None:
    wanted = shop()
    sold, found = estimated(wanted, np.arange(60, DAYS), first_day=60)
    np.testing.assert_array_equal(found, sold)
    gone = np.ones(wanted.shape, dtype=bool)
    untracked = demand(wanted, stocked_share(gone, wanted), np.zeros(len(wanted), dtype=np.int64), week=7)
    np.testing.assert_array_equal(untracked, wanted)


def test_a_product_out_of_stock_for_more_than_a_quarter_was_given_up() -> None:
    wanted = shop()
    _, found = estimated(wanted, np.arange(100, DAYS))
    assert (found[0, 101:191] > 0).all()
    assert not found[0, 192:].any()


def test_never_less_than_was_sold() -> None:
    rng = np.random.default_rng(2)
    sold = rng.poisson(3, (30, DAYS)).astype(np.float32)
    gone = rng.random(sold.shape) < 0.3
    found = demand(sold, stocked_share(gone, sold), np.arange(30) % 3, week=7)
    assert found.dtype == sold.dtype
    assert (found >= sold).all()
    np.testing.assert_array_equal(found[~gone], sold[~gone])


def test_nothing_after_a_day_changes_what_it_is_taken_for() -> None:
    rng = np.random.default_rng(4)
    sold = rng.poisson(3, (30, DAYS)).astype(float)
    stocked = stocked_share(rng.random(sold.shape) < 0.3, sold)
    group = np.arange(30) % 3
    known, later = sold[:, :150], np.concatenate([sold[:, :150], sold[:, 150:] + 1e6], axis=1)
    np.testing.assert_array_equal(demand(known, stocked[:, :150], group, 7), demand(later, stocked, group, 7)[:, :150])
