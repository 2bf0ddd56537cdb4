"""An origin shows what was known then, and a season has the days it was asked for."""

import numpy as np
import pytest

from ml.forecasting.season.signals import Ahead, look, sold, year_before

WEEK = (7,) * 4


@pytest.fixture
def money() -> np.ndarray:
    """Twenty products of two years; the last began half a year ago."""
    made = np.random.default_rng(1).gamma(2.0, 10.0, (20, 104))
    made[-1, :78] = np.nan
    return made


def test_nothing_after_the_origin_is_looked_at(money: np.ndarray) -> None:
    future = money.copy()
    future[:, 80:] = 1e6
    for origin in (30, 60, 80):
        before, after = look(money, origin, Ahead(WEEK)), look(future, origin, Ahead(WEEK))
        assert before.levels.equals(after.levels)
        assert before.shape.equals(after.shape)


def test_a_week_of_three_days_counts_three_sevenths(money: np.ndarray) -> None:
    ahead = Ahead((0, 3, 7))
    assert ahead.weeks == pytest.approx(10 / 7)
    assert sold(money, 50, ahead) == pytest.approx(np.nan_to_num(money[:, 51] * 3 / 7 + money[:, 52]))


def test_of_last_years_season_only_the_weeks_before_the_origin_are_known(money: np.ndarray) -> None:
    season = Ahead((0,) * 10 + WEEK)
    known, weeks = year_before(money, 60, season)
    assert weeks == 4
    assert known == pytest.approx(np.nan_to_num(money[:, 18:22]).sum(axis=1))
    assert year_before(money, 40, season)[1] == 2, "the weeks -2 and -1 were before the shop's first"
    assert year_before(money, 30, season)[1] == 0


def test_a_season_too_far_to_be_tested_is_tested_nearer_and_where_it_is_longer_cut() -> None:
    assert Ahead((0, 0, 0, 7, 7)).within(4) == Ahead((0, 0, 7, 7))
    assert Ahead((0, 7, 7, 7)).within(2) == Ahead((7, 7))
    assert Ahead((0, 7)).within(9) == Ahead((0, 7))


def test_one_great_order_does_not_make_a_steady_seller() -> None:
    money = np.full((2, 60), 10.0)
    money[1] = 0.0
    money[1, ::4] = 10.0
    money[1, 57] = 5_000.0
    levels = look(money, 60, Ahead(WEEK)).levels
    assert levels["last4"][1] > 50 * levels["last4"][0]
    assert levels["steady4"][1] < 2 * levels["steady4"][0]
