"""The year's course is told by the whole of a category; growth, luck and a single order are no season."""

from collections.abc import Callable

import numpy as np
import pytest

from ml.forecasting.data import Floats, Panel
from ml.forecasting.models import MODELS, candidates, season
from ml.forecasting.models.classical import WindowMean

Make = Callable[..., Panel]


def year(weeks: int, high: float = 3.0) -> Floats:
    """A shop that sells `high` times as much in the last quarter of each year."""
    return np.where(np.arange(weeks) % 52 >= 39, high, 1.0)


def shop(panel: Make, weeks: int, course: Floats, series: int = 20) -> Panel:
    return panel(np.random.default_rng(1).poisson(40 * course, (series, weeks)), "product_region", ["c"] * series)


@pytest.mark.parametrize("weeks", [51, 30])
def test_before_a_year_is_full_nothing_is_known_of_it(panel: Make, weeks: int) -> None:
    assert (season.ahead(shop(panel, weeks, year(weeks)), 13) == 1).all()


@pytest.mark.parametrize("weeks", [91, 143])
def test_before_the_high_season_the_course_rises_and_in_it_it_falls(panel: Make, weeks: int) -> None:
    course = season.ahead(shop(panel, weeks, year(weeks)), 20)
    assert course[:, :13] == pytest.approx(3**season.BELIEF, rel=0.15)
    assert course[:, 13:] == pytest.approx(1.0, rel=0.15)
    assert season.ahead(shop(panel, 104, year(104)), 20) == pytest.approx(3**-season.BELIEF, rel=0.15)


def test_a_shop_that_trebled_within_the_year_has_grown_and_knows_no_season(panel: Make) -> None:
    weeks = 80
    growing = 3 ** (np.arange(weeks) / 52)
    assert (season.ahead(shop(panel, weeks, growing), 13) == 1).all()
    assert (season.ahead(shop(panel, 53, growing[:53]), 13) == 1).all()


def test_one_huge_order_a_year_ago_counts_as_ten_weeks_of_its_product_at_most(panel: Make) -> None:
    made = shop(panel, 90, np.ones(90), series=100)
    made.units[3, 40] = 74_215
    assert season.ahead(made, 13) == pytest.approx(1.0, rel=0.15)


def test_a_category_that_sells_much_has_its_own_course_and_a_small_one_that_of_the_shop(panel: Make) -> None:
    rng = np.random.default_rng(1)
    units = rng.poisson(np.where(np.arange(30)[:, None] < 15, 100 * year(91), 60.0), (30, 91)).astype(float)
    units[29] = rng.poisson(1, 91)
    course = season.ahead(panel(units, "product_region", ["toys"] * 15 + ["milk"] * 14 + ["salt"]), 13).mean(axis=1)
    assert course[0] == pytest.approx(3**season.BELIEF, rel=0.1)
    assert course[20] == pytest.approx(1.0, rel=0.1)
    assert course[29] > 1.3


def test_a_product_launched_yesterday_takes_part_in_the_season(panel: Make) -> None:
    made = shop(panel, 91, year(91))
    made.units[0, :-1] = np.nan
    rows = np.array([0])
    plain = WindowMean().fit(made, rows).predict(13)
    assert MODELS["window_mean"].fit(made, rows).predict(13) == pytest.approx(plain * 3**season.BELIEF, rel=0.15)


def test_in_its_second_year_prophet_does_not_compete_because_the_course_would_be_told_twice() -> None:
    assert "prophet" in candidates("category_region", 51)["top"]
    assert not {"prophet", "blend_prophet"} & set(candidates("category_region", 52)["top"])
    assert "prophet" in candidates("category_region", 104)["top"]
