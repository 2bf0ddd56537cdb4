"""How many units of each line to hold: the newsvendor's quantile, and what gives way when money for stock is short.

Too few and buyers go; too many and money lies in what nobody wants. When this is wrong the choice of products may be
right and the season lost all the same.

A unit more of a line is worth (under + over) P(demand > depth) - over (Arrow, Harris & Marschak 1951, "Optimal
inventory policy"), which falls with depth. So money is best spread by filling up lines in the order of what a unit is
worth for its money, until none is left: one price of money for all, found by bisection.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coldframe.errors import ConfigurationError
from ml.assortment.scenarios import Demand, Floats

Ints = NDArray[np.int64]

HIGHEST = 0.98
"""Beyond this level no tail of a forecast is trusted, whatever the costs ask for."""


@dataclass(frozen=True)
class Units:
    """Money of a unit of each line, [n]: `under` is what an unsatisfied buyer costs, `over` what a unit left at the end
    costs, `stock` what it costs to buy one."""

    under: Floats
    over: Floats
    stock: Floats


@dataclass(frozen=True)
class Depth:
    """`units` [n] of each line, at least 1. `fill` [n] is the share (0..1) of expected demand that they serve.
    `worth_of_money` is what one more unit of budget would bring, 0 where money is not short."""

    units: Ints
    fill: Floats
    worth_of_money: float


def units_of(price: Floats, cost: Floats, salvage: float, service_level: float, typical: float) -> Units:
    """What a unit costs when it is missing and when it is left, [n] each.

    `price` is what is paid for one, `cost` what it is bought for (nan where unknown), `salvage` the share of its cost
    that a unit left brings back. Of a line with unknown cost `service_level` says how the two compare; its cost is
    `typical` of its price, 1 where nobody knows any. No buyer is missed of a line that is sold at a loss.
    """
    known = np.isfinite(cost)
    stock = np.where(known, cost, typical * price)
    under = np.where(known, np.maximum(price - cost, 0), service_level * price)
    over = np.where(known, (1 - salvage) * stock, (1 - service_level) * price)
    return Units(under, over, stock)


def hold(demand: Demand, units: Units, budget: float | None = None) -> Depth:
    """Depths of the greatest expected profit, of at least one unit a line, whose stock costs no more than `budget`.

    With a budget no other whole numbers bring more by what one unit of the dearest line may bring, and none more at all
    where all units cost the same. Raises ConfigurationError for a budget below one unit of each line.
    """
    depth, worth_of_money = _at_price(demand, units, 0.0), 0.0
    if budget is not None and float(depth @ units.stock) > budget:
        depth, worth_of_money = _within(demand, units, budget)
    mean = demand.mean
    fill = np.divide(demand.sales(depth.astype(float)), mean, out=np.ones(len(mean)), where=mean > 0)
    return Depth(depth, np.clip(fill, 0, 1), worth_of_money)


def _at_price(demand: Demand, units: Units, price: float) -> Ints:
    """Depths when money for stock costs `price` a unit besides."""
    whole = units.under + units.over
    level = np.where(units.under > 0, 1 - (units.over + price * units.stock) / np.maximum(whole, 1e-12), 0.0)
    quantile = demand.at(np.clip(level, 0, HIGHEST))
    return np.where(level > 0, np.maximum(1, np.ceil(quantile - 1e-9)), 1).astype(np.int64)


def _worth(demand: Demand, units: Units, depth: Ints) -> Floats:
    """What the next unit of each line brings, [n]; nothing where its level is trusted no further."""
    chance = demand.exceeds(depth.astype(float))
    return np.where(chance > 1 - HIGHEST, (units.under + units.over) * chance - units.over, 0.0)


def _within(demand: Demand, units: Units, budget: float) -> tuple[Ints, float]:
    if float(units.stock.sum()) > budget:
        raise ConfigurationError(
            f"budget {budget:,.2f} does not buy one unit of each of the {len(units.stock):,} options, which cost "
            f"{units.stock.sum():,.2f}. Raise it, or ask for fewer slots."
        )
    low, high = 0.0, float(np.max(units.under / np.maximum(units.stock, 1e-12))) + 1.0
    for _ in range(100):
        middle = (low + high) / 2
        if float(_at_price(demand, units, middle) @ units.stock) > budget:
            low = middle
        else:
            high = middle
    depth = _at_price(demand, units, high)
    left = budget - float(depth @ units.stock)
    worth_of_money = 0.0
    # What lies between the two prices is worth the same for its money but for rounding, so one pass hands it out.
    while True:
        rate = _worth(demand, units, depth) / np.maximum(units.stock, 1e-12)
        worth_of_money = max(0.0, float(rate.max()))
        fits = (units.stock <= left + 1e-9) & (rate > 0)
        if not fits.any():
            return depth, worth_of_money
        best = int(np.argmax(np.where(fits, rate, -np.inf)))
        depth[best] += 1
        left -= float(units.stock[best])
