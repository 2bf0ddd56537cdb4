"""From a daily panel to a coherent forecast: three views of demand, one truth.

Nodes with many sales a day are seen by an additive model and by trees, single products by trees of their own. Each
is blind in another way, so the nodes' views are averaged and reconciled, and the products' forecasts give each node's
total its shares. What leaves this file adds up, because only the bottom is kept.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from coldframe.errors import BadInputError
from coldframe.settings import get_settings
from ml.forecasting.daily import additive, calendar, trees
from ml.forecasting.daily.features import Series, cumulated, ranked
from ml.forecasting.daily.hierarchy import Hierarchy, Ints, summing
from ml.forecasting.daily.panel import DailyPanel
from ml.forecasting.daily.trees import Trees

Floats = NDArray[Any]

MOST_NODES = 1_500
"""Nodes of the finest level that is modelled by itself; what lies below are products."""
QUARTER = 91
LEAST_UNITS = 13
"""Units of the last 91 days below which a product is not modelled by itself."""
YOUNG = 28
LEAST_DAYS = 84
"""Days of history below which there is nothing to learn from."""
CAP = 5.0
"""A forecast above this many times the highest day so far is capped."""
PRODUCTS = Trees(loss="poisson", rows=650_000, rounds=160, leaves=127, least=200)
NODES = Trees(loss="squared_error", rows=400_000, rounds=200, leaves=31, least=100, share=0.5, ridge=5.0)
ROUTES: Mapping[str, str] = {
    "trees": f"sold at least {LEAST_UNITS} units in {QUARTER} days, or is younger than {YOUNG} days",
    "tail": f"sold fewer than {LEAST_UNITS} units in {QUARTER} days: its mean, with the days of its node",
    "dormant": f"sold nothing in {QUARTER} days: forecast 0",
}


@dataclass(frozen=True)
class Nodes:
    """Every level coarse enough to be modelled by itself, stacked: `joint` is the finest of them, and every node is a
    sum of nodes of it. `levels` has the level of each node, `sums` is [node, joint node].
    """

    hierarchy: Hierarchy

    @cached_property
    def joint(self) -> str:
        """The finest level of at most MOST_NODES nodes that is no level of products."""
        sizes = {
            level: int(self.hierarchy.codes(level).max()) + 1
            for level in self.hierarchy.levels
            if "product" not in level and "merchant" not in level
        }
        return max((size, level) for level, size in sizes.items() if size <= MOST_NODES)[1]

    @cached_property
    def of_series(self) -> Ints:
        """Joint node of each bottom series."""
        return self.hierarchy.codes(self.joint)

    @cached_property
    def levels(self) -> tuple[str, ...]:
        """Levels above the joint one, and itself."""
        inner = pd.Series(self.of_series)
        return tuple(
            level
            for level in self.hierarchy.levels
            if pd.Series(self.hierarchy.codes(level)).groupby(inner).nunique().max() == 1
        )

    @cached_property
    def sums(self) -> NDArray[np.float64]:
        """[node, joint node] of ones where a joint node belongs to a node."""
        first = np.unique(self.of_series, return_index=True)[1]
        parts = []
        for level in self.levels:
            codes = self.hierarchy.codes(level)[first]
            parts.append((codes[None, :] == np.arange(codes.max() + 1)[:, None]).astype(float))
        return np.concatenate(parts)

    @cached_property
    def level_of(self) -> Ints:
        """Number of the level of each node, in the order of `levels`."""
        sizes = [int(self.hierarchy.codes(level).max()) + 1 for level in self.levels]
        return np.repeat(np.arange(len(sizes)), sizes)

    @cached_property
    def places(self) -> list[list[str]]:
        """Regions of each node."""
        keys = self.hierarchy.keys["region"].to_numpy()
        found: list[list[str]] = []
        for level in self.levels:
            grouped = pd.Series(keys).groupby(self.hierarchy.codes(level)).unique()
            found += [sorted(regions) for regions in grouped]
        return found


@dataclass(frozen=True)
class DailyForecast:
    """Units [series, day ahead] of every bottom series, the route each one took, and how many cells were capped."""

    units: Floats
    route: NDArray[np.str_]
    capped: int


def forecast(history: DailyPanel, horizon: int) -> DailyForecast:
    """Forecasts every bottom series `horizon` days ahead. Coherent by construction: every level is a sum of it.

    Raises BadInputError for a history of fewer than 84 days.
    """
    days = len(history.days)
    if days < LEAST_DAYS:
        raise BadInputError(
            f"There are {days} days of history; a daily forecast needs {LEAST_DAYS}. Land more history."
        )
    nodes = Nodes(history.hierarchy)
    span = pd.DatetimeIndex(history.days.append(history.ahead(horizon)))
    with ThreadPoolExecutor(min(2, get_settings().threads)) as pool:
        of_nodes = pool.submit(node_views, history, nodes, span)
        of_products = pool.submit(_products, history, nodes, span)
        views, (units, route) = of_nodes.result(), of_products.result()
    joint = reconcile(np.mean(list(views.values()), axis=0), nodes, _nodes_units(history, nodes))
    units = share_out(joint, units, nodes.of_series)
    most = CAP * np.nanmax(history.units, axis=1, initial=0.0)[:, None]
    capped = int((units > most).sum())
    return DailyForecast(np.minimum(units, most), route, capped)


def node_views(history: DailyPanel, nodes: Nodes, span: pd.DatetimeIndex) -> dict[str, Floats]:
    """Forecasts [node, day ahead] of each model for nodes: `additive` and `trees`."""
    units = _nodes_units(history, nodes)
    horizon = len(span) - len(history.days)
    distinct = sorted({tuple(place) for place in nodes.places})
    place = np.array([distinct.index(tuple(regions)) for regions in nodes.places])
    known = calendar.build(history.events, [list(regions) for regions in distinct], span)
    every = np.arange(len(units))
    series = Series(
        units=units,
        first_day=np.zeros(len(units), dtype=np.int64),
        group=every,
        group_sums=cumulated(units),
        codes={"node": ranked(every), "level": ranked(nodes.level_of)},
        place=place,
        calendar=known,
    )
    return {
        "additive": additive.forecast(units, place, known, horizon),
        "trees": trees.forecast(series, every, 1 / np.maximum(units.mean(axis=1), 1e-9), horizon, NODES),
    }


def reconcile(base: Floats, nodes: Nodes, units: Floats) -> Floats:
    """Forecasts [joint node, day ahead] that fit those of all nodes best: weighted least squares (Athanasopoulos et al.
    2017, "Forecasting with temporal hierarchies", structural scaling), weights one over the node's mean to the 1.5."""
    weight = 1 / np.maximum(units[:, -28:].mean(axis=1), 1e-3) ** 1.5
    weighted = nodes.sums * weight[:, None]
    result: Floats = np.linalg.solve(weighted.T @ nodes.sums, weighted.T @ base)
    return np.maximum(result, 0.0)


def share_out(joint: Floats, units: Floats, of_series: Ints) -> Floats:
    """Scales the bottom's forecasts [series, day ahead] to their nodes' totals [joint node, day ahead]."""
    totals = np.zeros_like(joint)
    np.add.at(totals, of_series, units)
    factor = np.where(totals > 0, joint / np.maximum(totals, 1e-9), 0.0)
    return units * factor[of_series]


def routes(history: DailyPanel) -> NDArray[np.str_]:
    """The route of each bottom series, see ROUTES."""
    sold = np.nansum(history.units[:, -QUARTER:], axis=1)
    young = len(history.days) - history.first_day < YOUNG
    begun = history.first_day < len(history.days)
    return np.select([begun & young, sold >= LEAST_UNITS, sold > 0], ["trees", "trees", "tail"], "dormant")


def _products(history: DailyPanel, nodes: Nodes, span: pd.DatetimeIndex) -> tuple[Floats, NDArray[np.str_]]:
    horizon = len(span) - len(history.days)
    keys = history.hierarchy.keys
    route = routes(history)
    regions, place = np.unique(keys["region"].to_numpy(dtype=str), return_inverse=True)
    # Series that are not modelled still teach what their node and product sell.
    known, product = np.nan_to_num(history.units), history.hierarchy.codes("product")
    series = Series(
        units=history.units,
        first_day=history.first_day,
        group=nodes.of_series,
        group_sums=cumulated(summing(nodes.of_series) @ known),
        codes={
            "region": ranked(place),
            "subcategory": ranked(pd.factorize(keys["category"] + "|" + keys["subcategory"])[0]),
        },
        place=place,
        calendar=calendar.build(history.events, [[region] for region in regions], span),
        product=product,
        product_sums=cumulated(summing(product) @ known),
        prices=history.prices,
        listed=None if history.prices is None else np.arange(len(keys)),
    )
    units = np.zeros((len(keys), horizon))
    modelled = np.flatnonzero(route == "trees")
    if len(modelled):
        units[modelled] = trees.forecast(series, modelled, history.value, horizon, PRODUCTS)
    tail = route == "tail"
    if tail.any():
        days = np.minimum(len(history.days) - history.first_day[tail], QUARTER)
        usual = np.nansum(history.units[tail, -QUARTER:], axis=1) / days
        units[tail] = usual[:, None] * _pattern(units, history.units, modelled, nodes.of_series)[nodes.of_series[tail]]
    return units, route


def _pattern(ahead: Floats, units: Floats, modelled: Ints, of_series: Ints) -> Floats:
    """[joint node, day ahead] what modelled products will sell relative to their last quarter; 1 without any."""
    count = int(of_series.max()) + 1
    coming, before = np.zeros((count, ahead.shape[1])), np.zeros(count)
    np.add.at(coming, of_series[modelled], ahead[modelled])
    np.add.at(before, of_series[modelled], np.nanmean(units[modelled, -QUARTER:], axis=1))
    return np.where(before[:, None] > 0, coming / np.maximum(before, 1e-9)[:, None], 1.0)


def _nodes_units(history: DailyPanel, nodes: Nodes) -> Floats:
    return nodes.sums @ history.hierarchy.sums(nodes.joint, np.nan_to_num(history.units))
