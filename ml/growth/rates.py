"""What to expect of a launch's orders per impression before its own are counted: a gamma prior, by empirical Bayes.

Exposure is handed out by this belief and what a launch then does with it. A prior that is too strong never lets a
product show what it can do; one that is too weak takes two lucky orders for a hit.
"""

import numpy as np
import pandas as pd

from ml.growth.data import EARLY
from ml.growth.features import Kin

LEAST_LAUNCHES = 10
"""Launches with exposure below which rates cannot be told apart: all get the shop's, worth LEAST_STRENGTH."""
LEAST_STRENGTH, MOST_STRENGTH = 50.0, 20_000.0
"""Impressions that a prior is worth at least and at most."""
CATEGORY_WEIGHT = 2_000.0
"""Impressions of the shop's rate that a category's is shrunk to, and a like item's rate to its category's."""


def rates(kin: Kin, rows: pd.DataFrame, products: pd.Index) -> pd.DataFrame:
    """rate_mean (orders per impression) and rate_strength (impressions it is worth) of `products`, as index.

    `rows` are launches at moments (`Launches.rows`), of which the newest within EARLY days counts; a product's own are
    left out of its prior. The mean is that of its category and like items. The strength is where a gamma of that mean
    has the variance that true rates have among launches: what is left of (orders - expected)^2 after the Poisson's part
    (method of moments; Efron & Morris 1975, "Data analysis using Stein's estimator", sec. 3, for the idea). NaN where
    the source has no exposure.
    """
    shown = rows[(rows["age_days"] <= EARLY) & (rows["impressions_so_far"] > 0)]
    nothing = pd.DataFrame({"rate_mean": np.nan, "rate_strength": np.nan}, index=products)
    if not kin.launches.has_traffic:
        return nothing
    shown = shown.sort_values(["moment", "product_id"]).groupby("product_id").last()
    orders, seen = shown["orders_so_far"], shown["impressions_so_far"]
    shop = (orders.sum() + 1) / (seen.sum() + 100)
    everyone = products.union(shown.index)
    mean = _means(kin, orders, seen, float(shop), everyone)
    strength = LEAST_STRENGTH
    if len(shown) >= LEAST_LAUNCHES:
        expected = seen * mean.reindex(shown.index)
        spread = float(((orders - expected) ** 2 - expected).sum() / (expected**2).sum())
        strength = float(np.clip(1 / max(spread, 1e-9) / shop, LEAST_STRENGTH, MOST_STRENGTH))
    return nothing.assign(rate_mean=mean.reindex(products), rate_strength=strength)


def _means(kin: Kin, orders: pd.Series, seen: pd.Series, shop: float, products: pd.Index) -> pd.Series:
    """Rate of the category, then of like items, each without the product's own orders."""
    category = kin.launches.catalogue["category"]
    of = category.reindex(products)
    sums = pd.DataFrame({"orders": orders, "seen": seen}).groupby(category.reindex(orders.index)).sum()
    own_orders, own_seen = orders.reindex(products, fill_value=0), seen.reindex(products, fill_value=0)
    top = of.map(sums["orders"]).fillna(0) - own_orders + CATEGORY_WEIGHT * shop
    by_category = top / (of.map(sums["seen"]).fillna(0) - own_seen + CATEGORY_WEIGHT)
    near = kin.near[kin.near["like_id"].isin(seen.index)]
    weight = near["weight"].to_numpy(dtype=float) * (1 / near["weight"].max() if len(near) else 1)
    told = pd.DataFrame(
        {
            "orders": orders.reindex(near["like_id"]).to_numpy() * weight,
            "seen": seen.reindex(near["like_id"]).to_numpy() * weight,
        }
    )
    like = told.groupby(near["product_id"].to_numpy()).sum().reindex(products, fill_value=0)
    mean: pd.Series = (like["orders"] + CATEGORY_WEIGHT * by_category) / (like["seen"] + CATEGORY_WEIGHT)
    return mean
