"""Who bought it himself: launches whose sales look made, so that nothing is decided on them until somebody looked.

A merchant who buys his own launch to be pushed takes the exposure of an honest one. When this file is too mild, money
buys stages; when it is too strict, every wholesaler is a suspect. So each sign is a line of its own and is held against
what the launch's category is used to: half of a grocer's orders come from the same households.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import binom

from ml.incubation.belief import Bools, Floats
from ml.incubation.policy import Policy

_MORE_LOYAL = 3
"""Times as many orders a buyer as its category is used to are not yet suspect."""
_STILL = 0.5
"""A launch that is frozen thaws by itself when its sign is below so much of the line that froze it: a brushed one must
not get off by a few orders more."""


def suspicions(launches: pd.DataFrame, policy: Policy) -> npt.NDArray[np.object_]:
    """Why each launch looks brushed, in plain words, else "" [launch].

    `launches` are scores with `previous`, the stage before. Who is `cleared` is not suspected. A sign counts from
    `brushing_orders` orders on. Where the source never says who buys or where it goes, only refunds can tell.
    """
    orders = _number(launches["orders_so_far"])
    enough = orders >= policy.brushing_orders
    before = (launches["previous"] == "frozen").to_numpy(dtype=bool)
    milder = np.where(before, _STILL, 1.0)
    category = launches["category"].to_numpy()
    units = _number(launches["units_so_far"])

    buyers = _number(launches["buyers_so_far"])
    usual = _usual(np.minimum(buyers / np.maximum(orders, 1), 1), enough, category)
    # Buyers are counted once however often they order. A product that everybody comes back for has many of them, so
    # that many are no sign, and neither is a little more loyalty than its category is used to.
    doubt = np.where(before, np.sqrt(policy.brushing_doubt), policy.brushing_doubt)
    loyal = buyers / np.maximum(orders, 1) > usual / _MORE_LOYAL
    few = enough & (buyers <= policy.brushing_buyers) & ~loyal & (binom.cdf(buyers, orders, usual) < doubt)

    share, at_one = (_number(launches[f"largest_{name}_share"]) for name in ("buyer", "address"))
    one, same = (
        enough & (part >= milder * _line(part, enough, category, policy.brushing_share)) for part in (share, at_one)
    )

    refunded = _number(launches["refunded_units_so_far"]) / np.maximum(units, 1)
    line_refunds = _line(refunded, enough, category, policy.brushing_refunds)
    back = enough & (refunded >= milder * line_refunds)

    told = np.full(len(launches), "", dtype=object)
    for i in np.flatnonzero((few | one | same | back) & ~launches["product_id"].isin(policy.cleared).to_numpy()):
        signs = []
        if few[i]:
            signs.append(
                f"{buyers[i]:,.0f} buyers gave its {orders[i]:,.0f} orders, where {usual[i] * orders[i]:,.0f} are usual"
            )
        if one[i]:
            signs.append(f"one buyer took {share[i]:.0%} of its {units[i]:,.0f} units")
        if same[i]:
            signs.append(f"{at_one[i]:.0%} of its {units[i]:,.0f} units went to one address")
        if back[i]:
            signs.append(f"{refunded[i]:.0%} of its {units[i]:,.0f} units came back")
        told[i] = "; ".join(signs)
    return told


def _number(column: Any) -> Floats:
    return np.asarray(column, dtype=np.float64)


def _usual(share: Floats, enough: Bools, category: npt.NDArray[np.object_]) -> Floats:
    """The median among the launches of its category [launch], so that the brushed do not set what is usual; that of
    all where none of the category's tells, nan where none does."""
    told = pd.Series(np.where(enough, share, np.nan))
    if not told.notna().any():
        return np.full(len(told), np.nan)
    return _number(told.groupby(category).transform("median").fillna(told.median()))


def _line(share: Floats, enough: Bools, category: npt.NDArray[np.object_], least: float) -> Floats:
    """Half way from what is usual in its category to all of it, and at least `least` [launch]."""
    half_way: Floats = np.maximum(least, (1 + np.nan_to_num(_usual(share, enough, category))) / 2)
    return half_way
