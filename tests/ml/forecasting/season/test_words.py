"""What a kind of product is called says how it takes to a season, also of one that was not there a year before."""

import numpy as np
import pandas as pd
import pytest

from ml.forecasting.season.signals import Ahead
from ml.forecasting.season.words import describe, season_index

SEASON = Ahead((7,) * 6)


@pytest.fixture
def catalogue() -> pd.DataFrame:
    kinds = ["christmas star", "garden chair", "plain mug"]
    return pd.DataFrame(
        {
            "product_id": [f"p{i:03d}" for i in range(600)],
            "title": [f"{kinds[i % 3]} {'small' if i % 2 else 'large'}" for i in range(600)],
            "category": "gifts",
            "subcategory": None,
            "brand": "unbranded",
        }
    )


def test_a_new_product_of_a_kind_that_sold_in_last_years_season_is_expected_to(catalogue: pd.DataFrame) -> None:
    money = np.random.default_rng(2).gamma(5.0, 20.0, (600, 70))
    last_year = slice(70 - 52, 70 - 52 + 6)
    money[::3, last_year] *= 8
    money[1::3, last_year] /= 8
    money[:6, :60] = np.nan
    index = season_index(money, 70, SEASON, describe(catalogue))
    assert index is not None
    star, chair, mug = index[:3]
    assert star > mug + 0.3
    assert chair < mug - 0.3


def test_without_three_weeks_of_last_years_season_nothing_is_said_of_kinds(catalogue: pd.DataFrame) -> None:
    money = np.ones((600, 48))
    assert season_index(money, 48, SEASON, describe(catalogue)) is None
    assert season_index(money[:, :46], 46, Ahead((0,) * 6 + (7,) * 6), describe(catalogue)) is not None


def test_a_catalogue_of_numbers_has_no_words() -> None:
    numbers = pd.DataFrame({"title": ["1", "2"], "category": ["", ""], "subcategory": ["", ""], "brand": ["", ""]})
    assert season_index(np.ones((2, 70)), 70, SEASON, describe(numbers)[:, :0]) is None
    assert describe(numbers).shape == (2, 0)
