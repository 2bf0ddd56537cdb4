"""How a product's impressions are shared over surfaces: the channels and regions it may be shown on.

A surface gets what it usually carries of a category, the more the better it sells what it shows. When this is wrong, a
launch is judged where nobody buys its kind.
"""

from collections.abc import Iterable

import pandas as pd

from ml.incubation.exposure import Surfaces

STEADY_ORDERS = 50.0
"""Orders that a surface's effect is worth before its own are counted."""
STEADY_IMPRESSIONS = 1000.0
"""Impressions that the shop's usual share of a surface is worth beside those of a category."""


def shared(seen: pd.DataFrame, categories: Iterable[str]) -> Surfaces:
    """Surfaces of every category. `seen` has category, channel, region, impressions and orders; at least one of them
    was shown something.

    The effect of a surface is its orders over those its impressions would bring at each category's own rate, and the
    effect on a category is drawn to that: both are means of a gamma-Poisson posterior with `STEADY_ORDERS` as prior
    (Robbins 1956, "An empirical Bayes approach to statistics"). No surface that ever showed anything gets nothing, or
    nobody could learn that it has become better.
    """
    impressions, orders = (_table(seen, name) for name in ("impressions", "orders"))
    impressions = impressions[impressions.sum(axis=1) > 0]
    orders = orders.loc[impressions.index]
    wanted = sorted(set(categories))
    known = sorted({*wanted, *impressions.columns})
    impressions = impressions.reindex(columns=known, fill_value=0.0)
    orders = orders.reindex(columns=known, fill_value=0.0)
    rate = orders.sum() / impressions.sum().clip(lower=1)
    expected = impressions * rate
    overall = (orders.sum(axis=1) + STEADY_ORDERS) / (expected.sum(axis=1) + STEADY_ORDERS)
    effect = orders.add(STEADY_ORDERS * overall, axis=0) / (expected + STEADY_ORDERS)
    usual = impressions.sum(axis=1) / impressions.to_numpy().sum()
    carried = impressions.add(STEADY_IMPRESSIONS * usual, axis=0)
    shares = (carried * effect)[wanted]
    shares = (shares / shares.sum()).T
    levels = shares.columns.to_frame(index=False).astype(str)
    names = tuple(zip(levels["channel"], levels["region"], strict=True))
    return Surfaces(names, shares.set_axis(range(len(names)), axis=1))


def _table(seen: pd.DataFrame, name: str) -> pd.DataFrame:
    """Sums of one column, [surface, category]."""
    return seen.pivot_table(index=["channel", "region"], columns="category", values=name, aggfunc="sum", fill_value=0.0)
