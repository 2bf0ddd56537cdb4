"""How one truth is made of what several models see: which views are averaged, and how nodes are reconciled.

Which method serves is the back-test's answer, not anybody's taste. When this is wrong, the shop's total and the sum of
its departments tell two stories, or a method that was lucky once serves for ever.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ml.forecasting.daily.hierarchy import Ints, summing
from ml.forecasting.daily.nodes import Nodes

if TYPE_CHECKING:
    from ml.forecasting.daily.engine import NodeViews

Floats = NDArray[Any]
RECENT = "recent"
GAIN = 0.02
"""Share of the default's WRMSSE another method must save: below it the choice is luck."""


@dataclass(frozen=True)
class Blend:
    """Views that are averaged, and how their mean is made coherent.

    `wls`: weighted least squares over all nodes (Athanasopoulos et al. 2017, "Forecasting with temporal hierarchies",
    structural scaling). `middle_out`: the finest nodes as they are. `top_down`: the total, shared as the finest nodes
    are forecast to (forecast proportions, Athanasopoulos et al. 2009). `bottom_up`: what the products sum up to. The
    view `recent`, of products alone, is the mean of each weekday of the last four weeks: hard to beat where nothing can
    be learned. `fine`: products are nodes themselves, where the shop is small enough; what trees see of them is their
    own forecast.
    """

    reconciliation: str
    views: tuple[str, ...] = ("additive", "trees")
    fine: bool = False

    @property
    def needs_products(self) -> bool:
        """Whether `totals` cannot do without the products' own forecasts."""
        return self.fine or self.reconciliation == "bottom_up"

    def nodes(self, seen: "NodeViews") -> Nodes:
        """The nodes it makes totals of."""
        return seen.nodes if self.fine else seen.nodes.coarse

    def totals(self, seen: "NodeViews", products: Floats | None) -> Floats:
        """Forecasts [joint node, day ahead] of `nodes`. `products` [series, day ahead] are the products' own ones."""
        nodes = self.nodes(seen)
        if self.needs_products:
            assert products is not None
            of_products: Floats = summing(nodes.of_series) @ products
            if self.reconciliation == "bottom_up":
                return of_products
            seen = seen.with_products(nodes.sums @ of_products)
        else:
            seen = seen.coarse
        views = np.stack([seen.views[name] for name in self.views])
        known = np.isfinite(views)
        mean = np.where(known, views, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
        base = np.where(known.any(axis=0), mean, seen.last_week)
        finest = base[nodes.rows(nodes.joint)]
        if self.reconciliation == "wls":
            return reconcile(base, nodes, seen.usual)
        if self.reconciliation == "top_down":
            result: Floats = finest * (base[:1] / np.maximum(finest.sum(axis=0), 1e-9))
            return result
        return finest


DEFAULT = "both_wls"
METHODS: Mapping[str, Blend] = {
    DEFAULT: Blend("wls"),
    "additive_wls": Blend("wls", ("additive",)),
    "trees_wls": Blend("wls", ("trees",)),
    "both_middle_out": Blend("middle_out"),
    "both_top_down": Blend("top_down"),
    "bottom_up": Blend("bottom_up"),
    "both_fine_wls": Blend("wls", fine=True),
    "recent_bottom_up": Blend("bottom_up", (RECENT,)),
}


def available(nodes: Nodes) -> Mapping[str, Blend]:
    """Methods of a shop: where products are too many to be nodes, those that make no nodes of them."""
    return {name: blend for name, blend in METHODS.items() if nodes.products or not blend.fine}


def choose(accuracy: pd.DataFrame) -> tuple[str, str]:
    """The method that serves, and why, from rows with model, cutoff and rmsse (one a level).

    The default serves unless another saves GAIN of its mean WRMSSE and is better from most origins.
    """
    losses = accuracy[accuracy["model"].isin(METHODS)].groupby(["model", "cutoff"])["rmsse"].mean().unstack()
    base = losses.loc[DEFAULT]
    best, saved = DEFAULT, 0.0
    for name in losses.index:
        gain = 1 - float(losses.loc[name].to_numpy().mean() / base.to_numpy().mean())
        if gain >= GAIN and gain > saved and (losses.loc[name] < base).mean() > 0.5:
            best, saved = name, gain
    if best == DEFAULT:
        return best, f"no other method saves {GAIN:.0%} of its WRMSSE from most of {len(base)} origins"
    return best, f"saves {saved:.1%} of the WRMSSE of {DEFAULT}, and is better from most of {len(base)} origins"


def reconcile(base: Floats, nodes: Nodes, usual: Floats) -> Floats:
    """Forecasts [joint node, day ahead] that fit those of all nodes best. A node is weighted by one over its mean of
    the last four weeks, `usual`, to the power of 1.5."""
    weight = 1 / np.maximum(usual, 1e-3) ** 1.5
    weighted = nodes.sums * weight[:, None]
    result: Floats = np.linalg.solve(weighted.T @ nodes.sums, weighted.T @ base)
    return np.maximum(result, 0.0)


def share_out(joint: Floats, units: Floats, of_series: Ints) -> Floats:
    """Scales the bottom's forecasts [series, day ahead] to their nodes' totals [joint node, day ahead]."""
    totals = summing(of_series) @ units
    factor = np.where(totals > 0, joint / np.maximum(totals, 1e-9), 0.0)
    # A forecast that is no number stays none, and the engine says whose it is.
    with np.errstate(invalid="ignore"):
        result: Floats = units * factor[of_series]
    return result
