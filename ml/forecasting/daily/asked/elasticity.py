"""How much a price moves demand, learned from past price changes.

The effect is what changes did to a product's sales beside those of its neighbours, so that a season, an event or a sale
of everything is not read as a price. When this is wrong, somebody cuts a price for demand that never comes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ml.forecasting.daily.hierarchy import Ints, summing
from ml.forecasting.daily.panel import DailyPanel

Floats = NDArray[np.float64]

LEAST_PRODUCTS = 10
"""Products whose price moved, below which an elasticity would be the luck of a few."""
LEAST_MOVE = 0.03
"""A price that moved less than this within a year says nothing."""
CONFIDENCE = 0.95
YEAR = 365
CHUNK = 2_000


@dataclass(frozen=True)
class Runs:
    """What was sold while a price held: one row a series, year and price. `expected` is what the other products of the
    series' subcategory and region sold on the same days, `others` the mean logarithm of their prices beside their usual
    ones: what all products sell on a day of lower prices is not what a product sells that is cheaper than the others.
    Days before launch, without stock or price are left out.

    Of a Poisson model whose rate is a constant of the series and year, times `expected`, times the price relative to
    the others' to a power, these are sufficient statistics, but for `others`, which is a mean over the run.
    """

    series: Ints
    year: Ints
    price: Floats
    sold: Floats
    expected: Floats
    others: Floats

    def of(self, series: Ints) -> "Runs":
        kept = np.isin(self.series, series)
        return Runs(*(column[kept] for column in vars(self).values()))


@dataclass(frozen=True)
class Elasticity:
    """Per cent of units per per cent of price, with its interval (CONFIDENCE); `products` is how many it was learned
    of. NaN where there is none."""

    pool: str
    products: int
    value: float
    low: float
    high: float

    @property
    def trouble(self) -> str | None:
        """Why it identifies no effect."""
        if self.products < LEAST_PRODUCTS:
            return (
                f"{self.products} products of {self.pool} changed price by {LEAST_MOVE:.0%} or more within a year "
                f"while they sold; it takes {LEAST_PRODUCTS}"
            )
        if not np.isfinite([self.value, self.low, self.high]).all():
            return f"the price changes of {self.pool} have no finite effect"
        if self.high >= 0:
            return (
                f"the elasticity of {self.pool} is {self.value:.2f} ({self.low:.2f} to {self.high:.2f}): "
                "that price moves demand is not shown"
            )
        return None


def runs_of(panel: DailyPanel, which: Ints) -> Runs:
    """Runs of the series `which`, who must be all of their subcategories and regions. Years count back from the end."""
    assert panel.prices is not None
    keys, days = panel.hierarchy.keys.iloc[which], len(panel.days)
    group = keys.groupby(["subcategory", "region"], sort=True).ngroup().to_numpy().astype(np.int64)
    day = np.arange(days)
    years = -(-days // YEAR)
    year = years - 1 - (days - 1 - day) // YEAR
    sold_by, moved_by, weight_by = (np.zeros((int(group.max()) + 1, days)) for _ in range(3))
    chunks = [slice(begin, begin + CHUNK) for begin in range(0, len(which), CHUNK)]
    for chunk in chunks:
        units, held, moved, weight = _prices_held(panel, which[chunk])
        of_group = summing(group[chunk])
        known = slice(0, of_group.shape[0])
        sold_by[known] += of_group @ np.nan_to_num(units)
        moved_by[known] += of_group @ (weight * moved)
        weight_by[known] += of_group @ (weight * held)
    parts = []
    for chunk in chunks:
        rows, of = which[chunk], group[chunk]
        units, held, moved, weight = _prices_held(panel, rows)
        sold = np.where(held, units, 0.0)
        expected = np.where(held, sold_by[of] - np.nan_to_num(units), 0.0)
        others = np.maximum(weight_by[of] - weight * held, 1e-9)
        index = np.where(held, (moved_by[of] - weight * moved) / others, 0.0)
        run = panel.prices.run[rows, :days].astype(np.int64)
        label = (run * years + year + np.arange(len(rows))[:, None] * (years * (run.max() + 1))).ravel()
        first = np.flatnonzero(np.diff(label, prepend=-1))
        of_run = np.add.reduceat(expected.ravel(), first)
        parts.append(
            Runs(
                series=rows[first // days],
                year=year[first % days],
                price=panel.prices.price[run.ravel()[first]].astype(float),
                sold=np.add.reduceat(sold.ravel(), first),
                expected=of_run,
                others=np.add.reduceat((expected * index).ravel(), first) / np.maximum(of_run, 1e-9),
            )
        )
    joined = Runs(*(np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])))
    kept = (joined.expected > 0) & (joined.price > 0)
    return Runs(*(column[kept] for column in vars(joined).values()))


def _prices_held(panel: DailyPanel, rows: Ints) -> tuple[Floats, NDArray[np.bool_], Floats, Floats]:
    """Of the series `rows`, [series, day]: units, whether a price held and nothing hid demand, the logarithm of the
    price beside the series' mean (0 where none held); and units a day [series, 1], which weigh a series."""
    assert panel.prices is not None
    days = panel.units.shape[1]
    units, run = panel.units[rows].astype(float), panel.prices.run[rows, :days]
    held = np.isfinite(units) & (panel.prices.price[run] > 0) & (panel.prices.last[run] >= np.arange(days))
    if panel.out is not None:
        held &= ~panel.out[rows]
    count = np.maximum(held.sum(axis=1, keepdims=True), 1)
    price = np.log(np.where(held, panel.prices.price[run], 1.0))
    moved = np.where(held, price - price.sum(axis=1, keepdims=True) / count, 0.0)
    return units, held, moved, np.where(held, units, 0.0).sum(axis=1, keepdims=True) / count


def estimate(pool: str, runs: Runs, product: Ints) -> Elasticity:
    """Poisson regression of sales on the logarithm of price, relative to the others', with an effect a series and year
    and `expected` as offset.

    Given what a series sold in a year, how it spreads over its prices is multinomial, and the effects drop out
    (Hausman, Hall & Griliches 1984, "Econometric models for count data with an application to the patents-R&D
    relationship", Econometrica 52(4), section 2). Sales need not be Poisson for that: the standard error is robust and
    clustered by product (Wooldridge 1999, "Distribution-free estimation of some nonlinear panel data models", Journal
    of Econometrics 90(1), section 3), the interval Student's with a degree of freedom less than products.
    """
    effect = np.unique(runs.series * 10_000 + runs.year, return_inverse=True)[1]
    log_price = np.log(runs.price)
    total = np.bincount(effect, runs.sold)
    low, high = np.full(len(total), np.inf), np.full(len(total), -np.inf)
    np.minimum.at(low, effect, log_price)
    np.maximum.at(high, effect, log_price)
    moved = (high - low >= np.log1p(LEAST_MOVE)) & (total > 0)
    kept = moved[effect]
    products = np.unique(product[runs.series[kept]])
    if len(products) < LEAST_PRODUCTS:
        return Elasticity(pool, len(products), np.nan, np.nan, np.nan)
    effect = np.unique(effect[kept], return_inverse=True)[1]
    sold, expected, price = runs.sold[kept], runs.expected[kept], (log_price - runs.others)[kept]
    total = np.bincount(effect, sold)
    # Powers of prices beside their mean, which no price's scale makes overflow.
    price = price - (np.bincount(effect, price) / np.bincount(effect))[effect]
    value = 0.0
    for _ in range(100):
        weight = expected * np.exp(np.clip(value * price, -50, 50))
        share = weight / np.bincount(effect, weight)[effect]
        mean = np.bincount(effect, share * price)[effect]
        score = sold * (price - mean)
        information = (total[effect] * share * (price - mean) ** 2).sum()
        step = np.clip(score.sum() / information, -1.0, 1.0)
        value += step
        if abs(step) < 1e-8:
            break
    else:
        return Elasticity(pool, len(products), np.nan, np.nan, np.nan)
    of_product = np.bincount(np.searchsorted(products, product[runs.series[kept]]), score)
    count = len(products)
    error = np.sqrt(count / (count - 1) * (of_product**2).sum()) / information
    half = float(stats.t.ppf(0.5 + CONFIDENCE / 2, count - 1) * error)
    return Elasticity(pool, count, float(value), float(value - half), float(value + half))
