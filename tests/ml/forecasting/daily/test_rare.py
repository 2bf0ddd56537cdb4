"""What rarely sells is expected to sell what its like went on to sell."""

import numpy as np

from ml.forecasting.daily import rare

DAYS = 400


def test_many_rare_products_are_forecast_what_they_sell_together() -> None:
    rate = np.random.default_rng(4).gamma(0.5, 0.04, 4000)
    units = np.random.default_rng(5).poisson(rate[:, None], (4000, DAYS + 28)).astype(np.float32)
    first_day = np.zeros(4000, dtype=np.int64)
    said = rare.rates(units[:, :DAYS], first_day)
    sold = units[:, DAYS - 91 : DAYS].sum(axis=1)
    for few in (sold == 0, (sold > 0) & (sold < 13)):
        assert abs(said[few].sum() / rate[few].sum() - 1) < 0.1
    # By their own last weeks the lucky ones are expected too much, and those that sold nothing too little.
    lucky = (sold >= 3) & (sold < 13)
    assert abs(said[lucky].sum() / rate[lucky].sum() - 1) < abs(sold[lucky].sum() / 91 / rate[lucky].sum() - 1)


def test_the_longer_ago_the_last_sale_the_less_is_expected() -> None:
    units = np.zeros((600, DAYS), dtype=np.float32)
    units[:200, 250:] = np.arange(150) % 100 == 0
    units[:200, -150:-91] = 0
    units[:200, -120] = 1
    units[:200, -10] = 1
    units[200:, 10] = 1
    said = rare.rates(units, np.zeros(600, dtype=np.int64))
    assert said[0] > 0
    assert (said[200:] == 0).all()


def test_a_product_without_its_like_has_its_own_mean() -> None:
    units = np.zeros((3, DAYS), dtype=np.float32)
    units[0, -5] = 9
    said = rare.rates(units, np.array([0, 0, DAYS - 10]))
    np.testing.assert_allclose(said, [9 / 91, 0, 0])
