"""What launches of the last weeks take of a season, from the course of launches before them."""

import numpy as np
import pytest

from ml.forecasting.season.launched import YOUNG, course
from ml.forecasting.season.signals import Ahead

AHEAD = Ahead((7,) * 10)
WEEKS = 60
KINDS = np.repeat([0, 1], 31)


def shop(fades: float = 0.5) -> np.ndarray:
    """Two categories of 30 launches a week apart and an old product each: those of the first sell 10 in each of their
    first three weeks and then `fades` times that, those of the second 10 for ever. Money [product, week]."""
    money = np.full((62, WEEKS), np.nan)
    for number in range(62):
        kind, launch = divmod(number, 31)
        if launch == 30:
            money[number] = 1_000.0
            continue
        begins = 10 + launch
        money[number, begins:] = 10.0
        if kind == 0:
            money[number, begins + 3 :] = 10.0 * fades
    return money


def expected(money: np.ndarray, product: int, origin: int) -> float:
    """The share of the season's money it then takes, but for the shares of what launches after the origin."""
    return float(np.nan_to_num(money[product, origin : origin + 10]).sum() / np.nansum(money[:, origin : origin + 10]))


def test_a_launch_goes_on_as_those_of_its_category_did() -> None:
    money = shop()
    found = course(money, 43, AHEAD, KINDS)
    fading, steady = 29, 31 + 29
    # Drawn half way to all launches, because it has seen no more than twenty of each category.
    assert found[steady] == pytest.approx(expected(money, steady, 43), rel=0.2)
    assert found[fading] < 0.8 * found[steady]
    assert found[fading] == pytest.approx(expected(money, fading, 43), rel=0.4)


def test_what_is_older_was_always_there_or_never_sold_has_no_course() -> None:
    money = shop()
    money[0] = np.nan
    known = np.isfinite(course(money, 43, AHEAD, KINDS))
    assert known.sum() == 2 * (YOUNG - 3), "the last of each was launched four weeks ago"
    assert not known[[0, 30, 61]].any()


def test_nothing_is_read_from_the_season_itself() -> None:
    money = shop()
    changed = money.copy()
    changed[:, 43:] *= 7
    np.testing.assert_array_equal(course(money, 43, AHEAD, KINDS), course(changed, 43, AHEAD, KINDS))


def test_one_great_order_is_no_course() -> None:
    money = shop()
    money[29, 41] = 5_000.0
    assert np.isnan(course(money, 43, AHEAD, KINDS)[29])


def test_too_few_launches_before_it_tell_nothing() -> None:
    assert np.isnan(course(shop(), 28, AHEAD, KINDS)).all()


def test_a_growing_shop_is_no_launchs_course() -> None:
    grows = shop(1.0) * 1.05 ** np.arange(WEEKS)
    steady = course(shop(1.0), 43, AHEAD, KINDS)
    np.testing.assert_allclose(course(grows, 43, AHEAD, KINDS), steady, rtol=1e-6)
