"""From a daily panel to what each model sees of the days ahead, and to one coherent forecast of it.

Nodes with many sales a day are seen by an additive model and by trees, single products by trees of their own. Each
is blind in another way; methods.py makes one truth of them. What leaves this file adds up, because only the bottom is
kept.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from coldframe.errors import BadInputError
from coldframe.settings import get_settings
from ml.forecasting.daily import additive, calendar, rare, trees
from ml.forecasting.daily.features import Series, cumulated, ranked
from ml.forecasting.daily.hierarchy import Ints, summing
from ml.forecasting.daily.methods import DEFAULT, METHODS, RECENT, Blend, share_out
from ml.forecasting.daily.nodes import Nodes
from ml.forecasting.daily.panel import DailyPanel
from ml.forecasting.daily.rare import LEAST_UNITS, QUARTER, YOUNG
from ml.forecasting.daily.trees import Trees
from ml.forecasting.daily.views import NodeHistory

Floats = NDArray[Any]

LEAST_DAYS = 84
"""Days of history below which there is nothing to learn from."""
CAP = 5.0
"""A forecast above this many times the highest day so far has lost its footing: it is capped, or not used at all."""
PRODUCTS = Trees(loss="poisson", rows=650_000, rounds=160, leaves=127, least=200)
NODES = Trees(loss="squared_error", rows=400_000, rounds=200, leaves=31, least=100, share=0.5, ridge=5.0)
ROUTES: Mapping[str, str] = {
    "trees": f"sold at least {LEAST_UNITS} units in {QUARTER} days, or is younger than {YOUNG} days",
    "tail": f"sold fewer than {LEAST_UNITS} units in {QUARTER} days: what its like went on to sell, in its node's week",
    "dormant": f"sold nothing in {QUARTER} days: likewise, by how long ago the last sale was",
}


@dataclass(frozen=True)
class NodeViews:
    """Forecasts [node, day ahead] by view. What a view got wrong beyond use is NaN, and so are trees of products, which
    are seen elsewhere. `usual` is each node's mean of the last four weeks, `last_week` its last seven days repeated.
    """

    nodes: Nodes
    views: Mapping[str, Floats]
    usual: Floats
    last_week: Floats

    @property
    def coarse(self) -> "NodeViews":
        """Without products."""
        if not self.nodes.products:
            return self
        kept = self.nodes.in_coarse
        views = {name: view[kept] for name, view in self.views.items()}
        return NodeViews(self.nodes.coarse, views, self.usual[kept], self.last_week[kept])

    def with_products(self, units: Floats) -> "NodeViews":
        """Trees see of product nodes what the products' own forecasts sum up to, `units` [node, day ahead]."""
        trees = np.where(self.nodes.in_coarse[:, None], self.views["trees"], units)
        return replace(self, views={**self.views, "trees": trees})

    @property
    def unusable(self) -> dict[str, int]:
        """How many nodes, products aside, each view has no usable forecast of, where there are such."""
        lost = {name: int(np.isnan(view).any(axis=1).sum()) for name, view in self.coarse.views.items()}
        return {name: count for name, count in lost.items() if count}


@dataclass(frozen=True)
class Views:
    """What all models see: `of_nodes`, and units [series, day ahead] of `products` with the route each one took.

    `most` is the highest day each series ever had, `last_week` its last seven days repeated, `recent` the mean of each
    weekday of the last four weeks.
    """

    of_nodes: NodeViews
    products: Floats
    route: NDArray[np.str_]
    most: Floats
    last_week: Floats
    recent: Floats


@dataclass(frozen=True)
class DailyForecast:
    """Units [series, day ahead] of every bottom series, the route each one took, and how many cells were capped.

    `failed` says why a category has no forecast of today's; its series are marked `stale` and stand on an older
    forecast where there is one, else on last week.
    """

    units: Floats
    route: NDArray[np.str_]
    capped: int
    stale: NDArray[np.bool_]
    failed: Mapping[str, str]


def forecast(history: DailyPanel, horizon: int, method: str = DEFAULT, standing: Floats | None = None) -> DailyForecast:
    """Forecasts every bottom series `horizon` days ahead. Coherent by construction: every level is a sum of it.

    `standing` [series, day ahead] is the forecast that served before, NaN where there is none.
    Raises BadInputError for a history of fewer than 84 days.
    """
    return combine(look(history, horizon), history, METHODS[method], standing)


def look(history: DailyPanel, horizon: int) -> Views:
    """What every model sees of the `horizon` days after `history`. Raises BadInputError for fewer than 84 days."""
    span = _span(history, horizon)
    nodes = _nodes(history)
    with ThreadPoolExecutor(min(2, get_settings().threads)) as pool:
        of_nodes = pool.submit(_look_at_nodes, history, nodes, span)
        of_products = pool.submit(_products, history, nodes.coarse, span)
        views, (units, route) = of_nodes.result(), of_products.result()
    return Views(
        of_nodes=views,
        products=units,
        route=route,
        most=np.nanmax(history.units, axis=1, initial=0.0).astype(float),
        last_week=seasonal_naive(history, horizon),
        recent=_repeated(np.nan_to_num(history.units[:, -28:]).reshape(-1, 4, 7).mean(axis=1), horizon),
    )


def look_at_nodes(history: DailyPanel, horizon: int) -> NodeViews:
    """What is seen of the nodes alone, which takes a third of the time: their forecast does not need the products.

    Raises BadInputError for a history of fewer than 84 days.
    """
    return _look_at_nodes(history, _nodes(history), _span(history, horizon))


def combine(views: Views, history: DailyPanel, blend: Blend, standing: Floats | None = None) -> DailyForecast:
    """One forecast of every bottom series by a method; categories that came out unusable stand on `standing`."""
    products = views.recent if blend.views == (RECENT,) else views.products
    joint = blend.totals(views.of_nodes, products)
    nodes = blend.nodes(views.of_nodes)
    units = joint[nodes.of_series] if nodes.products else share_out(joint, products, nodes.of_series)
    most = CAP * views.most[:, None]
    capped = int((units > most).sum())
    units = np.minimum(units, most)
    failed = _failed(views, units, history)
    stale: NDArray[np.bool_] = history.hierarchy.keys["category"].isin(failed).to_numpy()
    if failed:
        held = views.last_week if standing is None else np.where(np.isfinite(standing), standing, views.last_week)
        units[stale] = held[stale]
    return DailyForecast(units, views.route, capped, stale, failed)


def seasonal_naive(history: DailyPanel, horizon: int) -> Floats:
    """[series, day ahead] of the same weekday of the last week: the benchmark, and what is left when all else fails."""
    return _repeated(np.nan_to_num(history.units), horizon)


def routes(history: DailyPanel) -> NDArray[np.str_]:
    """The route of each bottom series, see ROUTES."""
    sold = np.nansum(history.units[:, -QUARTER:], axis=1)
    young = len(history.days) - history.first_day < YOUNG
    begun = history.first_day < len(history.days)
    return np.select([begun & young, sold >= LEAST_UNITS, sold > 0], ["trees", "trees", "tail"], "dormant")


def _nodes(history: DailyPanel) -> Nodes:
    recent = history.units[:, -QUARTER:]
    return Nodes.of(history.hierarchy, float(np.nansum(recent)) / recent.shape[1])


def _failed(views: Views, units: Floats, history: DailyPanel) -> dict[str, str]:
    """Why the forecast of a category cannot be used, by category."""
    seen, categories = views.of_nodes.coarse, history.hierarchy.keys["category"]
    nodes = seen.nodes
    blind = np.all([np.isnan(view).any(axis=1) for view in seen.views.values()], axis=0)
    of_node = categories.groupby(nodes.of_series).first().to_numpy()
    failed = dict.fromkeys(of_node[blind[nodes.rows(nodes.joint)]], "no model saw all of its nodes")
    broken = pd.Series(~np.isfinite(units).all(axis=1)).groupby(categories).sum()
    return failed | {str(name): f"{count} series are no number" for name, count in broken[broken > 0].items()}


def _span(history: DailyPanel, horizon: int) -> pd.DatetimeIndex:
    days = len(history.days)
    if days < LEAST_DAYS:
        raise BadInputError(
            f"There are {days} days of history; a daily forecast needs {LEAST_DAYS}. Land more history."
        )
    return pd.DatetimeIndex(history.days.append(history.ahead(horizon)))


def _look_at_nodes(history: DailyPanel, nodes: Nodes, span: pd.DatetimeIndex) -> NodeViews:
    horizon = len(span) - len(history.days)
    of_nodes = NodeHistory.of(history, nodes)
    units = of_nodes.units
    place, known = of_nodes.calendar(horizon)
    coarse = units[nodes.in_coarse]
    every = np.arange(len(coarse))
    series = Series(
        units=coarse,
        first_day=np.zeros(len(coarse), dtype=np.int64),
        group=every,
        group_sums=cumulated(coarse),
        codes={"node": ranked(every), "level": ranked(nodes.coarse.level_of)},
        place=place[nodes.in_coarse],
        calendar=known,
    )
    of_trees = np.full((len(units), horizon), np.nan)
    of_trees[nodes.in_coarse] = trees.forecast(series, every, None, horizon, NODES)
    of_additive = additive.forecast(_always_there(units, nodes), place, known, horizon)
    if nodes.products:
        # What hardly sells, or began a month ago, has no trend of its own.
        unseen = np.flatnonzero(nodes.rows(nodes.joint))[nodes.of_series[_sparse_or_young(history)]]
        of_additive[unseen] = np.nan
    seen = {"additive": of_additive, "trees": of_trees}
    most = CAP * np.maximum(units.max(axis=1, keepdims=True), 1.0)
    with np.errstate(invalid="ignore"):
        views = {
            name: np.where(((view <= most) & (view >= 0)).all(axis=1, keepdims=True), view, np.nan)
            for name, view in seen.items()
        }
    return NodeViews(nodes, views, units[:, -28:].mean(axis=1), _repeated(units, horizon))


def _sparse_or_young(history: DailyPanel) -> NDArray[np.bool_]:
    return (routes(history) != "trees") | (len(history.days) - history.first_day < LEAST_DAYS)


def _always_there(units: Floats, nodes: Nodes) -> Floats:
    """Products as if they had sold before their first sale what they sold in the four weeks from it: a launch is no
    trend."""
    if not nodes.products:
        return units
    days = np.arange(units.shape[1])
    begun = (units > 0).argmax(axis=1)[:, None]
    first = ((days >= begun) & (days < begun + YOUNG)) * units
    before = (days < begun) & ~nodes.in_coarse[:, None]
    return np.where(before, first.sum(axis=1, keepdims=True) / YOUNG, units)


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
        out=history.out,
    )
    units = np.zeros((len(keys), horizon))
    modelled = np.flatnonzero(route == "trees")
    if len(modelled):
        units[modelled] = trees.forecast(series, modelled, history.value, horizon, PRODUCTS)
    rest = np.flatnonzero((route != "trees") & (history.first_day < len(history.days)))
    shape = _shape(units, modelled, nodes.of_series)
    units[rest] = rare.rates(history.units, history.first_day)[rest, None] * shape[nodes.of_series[rest]]
    return units, route


def _shape(ahead: Floats, modelled: Ints, of_series: Ints) -> Floats:
    """[joint node, day ahead] how the days of what is modelled differ, 1 on the mean; 1 throughout without any."""
    coming = np.zeros((int(of_series.max()) + 1, ahead.shape[1]))
    np.add.at(coming, of_series[modelled], ahead[modelled])
    mean = coming.mean(axis=1, keepdims=True)
    return np.where(mean > 0, coming / np.maximum(mean, 1e-9), 1.0)


def _repeated(units: Floats, horizon: int) -> Floats:
    return np.tile(units[:, -7:], -(-horizon // 7))[:, :horizon]
