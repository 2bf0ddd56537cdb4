"""Choices drawn from a nested logit whose parameters are known."""

import numpy as np

from ml.assortment.choice import Occasions

THETA, RHO, PRICE = 0.6, 0.1, -2.0


def draw(
    seed: int = 0,
    products: int = 20,
    regions: int = 3,
    weeks: int = 8,
    visits: int = 1500,
    theta: float = THETA,
    missing: float = 0.15,
    price: float = PRICE,
) -> Occasions:
    """`missing` is the share of products out of stock on a day; a tenth of a day's products are a fifth cheaper."""
    rng = np.random.default_rng(seed)
    days = 7 * weeks
    day, region = (index.ravel() for index in np.indices((days, regions)))
    weight = np.exp(rng.normal(0, 1, products))
    listed = np.ones((days * regions, products), dtype=bool)
    shown = rng.random(listed.shape) >= missing
    shown[:, 0] = True
    log_price = np.where(rng.random((days, products)) < 0.1, np.log(0.8), 0.0)[day]
    drawn_to = shown * weight * np.exp(price * log_price)
    inclusive = drawn_to.sum(axis=1) / weight.sum()
    outside = (1 - RHO) / RHO * np.exp(rng.normal(0, 0.1, weeks))[day // 7]
    came = rng.poisson(visits, len(day)) + 1
    buys = rng.binomial(came, inclusive**theta / (outside + inclusive**theta))
    bought = np.array([rng.multinomial(n, w / w.sum()) for n, w in zip(buys, drawn_to, strict=True)])
    return Occasions(
        region=region,
        week=day // 7,
        weekday=day % 7,
        visits=came.astype(float),
        buys=buys.astype(float),
        listed=listed,
        shown=shown,
        bought=bought.astype(float),
        price=log_price,
    )
