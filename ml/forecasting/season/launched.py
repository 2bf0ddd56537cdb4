"""What a product launched weeks ago will take of a season: as launches of its category went on from that age.

Read off its few weeks like any other's past, a launch is taken for a product that sold nothing for most of the year,
and what has just graduated from incubation is bought at half of what it sells.
"""

import numpy as np

from ml.forecasting.data import Floats, Ints
from ml.forecasting.season.like import LEAST_LAUNCHES, NOT_A_LAUNCH
from ml.forecasting.season.signals import Ahead

YOUNG = 8
"""Weeks since its first sale until which a launch's course tells more than its weeks alone."""

MOST = 0.98
"""Part of the launches before it above which a launch's sales are no course, but one great order or a hit of its own.
"""


def course(money: Floats, origin: int, ahead: Ahead, category: Ints) -> Floats:
    """Share of the season's money of each product, [product]; NaN for those older than YOUNG weeks, there from the
    beginning, or of an age that too few launches went on from.

    `money` is [product, week], of which nothing from `origin` on is read; `category` numbers each product's. All is in
    shares of the week's money, so that neither the season nor a growing shop passes for a launch's course. What those
    of its category went on to is drawn to all launches' as if LEAST_LAUNCHES average ones had gone on like these.
    """
    past = np.nan_to_num(money[:, :origin])
    week = past.sum(axis=0)
    shares = np.divide(past, week, out=np.zeros_like(past), where=week > 0)
    sells = past > 0
    first = np.where(sells.any(axis=1), np.argmax(sells, axis=1), -1)
    launched = np.flatnonzero(first >= NOT_A_LAUNCH)
    result = np.full(len(money), np.nan)
    span, weights = len(ahead.days), ahead.weights
    for age in range(1, YOUNG + 1):
        young = launched[origin - first[launched] == age]
        taught = launched[first[launched] + age + span <= origin]
        if not len(young) or len(taught) < LEAST_LAUNCHES:
            continue
        weeks = first[taught][:, None] + np.arange(age + span)
        sold = np.take_along_axis(shares[taught], weeks, axis=1)
        before, after = sold[:, :age].sum(axis=1), sold[:, age:] @ weights
        everywhere = after.sum() / before.sum()
        prior = LEAST_LAUNCHES * before.mean()
        number = int(category.max()) + 1
        before_of, after_of = (np.bincount(category[taught], values, number) for values in (before, after))
        goes_on = (after_of + prior * everywhere) / (before_of + prior)
        so_far = shares[young, origin - age :].sum(axis=1)
        so_far[so_far > np.quantile(before, MOST)] = np.nan
        result[young] = so_far * goes_on[category[young]] / weights.sum()
    return result
