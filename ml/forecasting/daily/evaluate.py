"""How good a daily forecast was at each level on days it had not seen.

Everything here is scored on rolling origins: a model gets the panel cut at the origin and nothing else.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from coldframe.errors import BadInputError
from ml.forecasting.daily import engine
from ml.forecasting.daily.engine import LEAST_DAYS, NodeViews, Views
from ml.forecasting.daily.intervals import SCATTER_DAYS, Errors, scatter, summed
from ml.forecasting.daily.methods import METHODS
from ml.forecasting.daily.panel import DailyPanel

Floats = NDArray[Any]
log = logging.getLogger(__name__)

ORIGINS = 3
NODE_ORIGINS = 8
"""Origins of nodes: there are few of them, so that it takes more days to know how far off they may be."""
WEIGHT_DAYS = 28
"""Days whose value weighs the series of a level, as in the M5 competition."""


def cutoffs(days: int, horizon: int, origins: int = ORIGINS) -> tuple[int, ...]:
    """Days known at each origin, the last one `horizon` days before the end and each a horizon after the one before.

    Raises BadInputError for a history that leaves not one.
    """
    found = tuple(days - horizon * n for n in range(origins, 0, -1) if days - horizon * n >= LEAST_DAYS)
    if not found:
        raise BadInputError(
            f"There are {days} days of history. A forecast {horizon} days ahead needs {LEAST_DAYS + horizon}, so that "
            "its error can be measured. Land more history or ask for a smaller horizon."
        )
    return found


@dataclass(frozen=True)
class Tested:
    """What was seen from one origin, and what came: `actual` is [bottom series, day ahead]. Of an origin where nodes
    alone were tested `views` is None."""

    cutoff: int
    of_nodes: NodeViews
    views: Views | None
    actual: Floats


@dataclass(frozen=True)
class Pair:
    """Forecast and what came, both [node, day ahead], from one origin, and the days before it that say how much each
    node scatters; `node` is each row's number in its level."""

    cutoff: int
    node: NDArray[np.int64]
    forecast: Floats
    actual: Floats
    before: Floats

    def errors(self, frequency: str) -> Errors:
        """Of days or sums of them."""
        said, came = summed(self.forecast, frequency), summed(self.actual, frequency)
        return Errors(said, came, scatter(self.before, frequency))


def backtest(panel: DailyPanel, horizon: int) -> list[Tested]:
    """Looks ahead from rolling origins, the oldest first: at everything from the last ORIGINS, at nodes from more.

    An origin that knew less than half of today's history says little of today's errors, and none such is added.
    """
    days = len(panel.days)
    whole = cutoffs(days, horizon)
    more = [origin for origin in cutoffs(days, horizon, NODE_ORIGINS) if origin < whole[0] and 2 * origin >= days]
    tested = []
    for number, cutoff in enumerate((*more, *whole), 1):
        seen = "every series" if cutoff in whole else "nodes"
        day = panel.days[cutoff - 1].date()
        log.info("back-test %d of %d: %s as of %s", number, len(more) + len(whole), seen, day)
        history = panel.until(cutoff)
        views = engine.look(history, horizon) if cutoff in whole else None
        of_nodes = engine.look_at_nodes(history, horizon) if views is None else views.of_nodes
        tested.append(Tested(cutoff, of_nodes, views, panel.units[:, cutoff : cutoff + horizon]))
    return tested


def pairs(panel: DailyPanel, tested: Sequence[Tested], level: str, method: str) -> list[Pair]:
    """What a method said of a level and what came, by origin; nodes not yet on offer at an origin are left out.

    A level of products has the origins where products were tested, a coarser one all of them.
    """
    matrix, blend = panel.hierarchy.matrix(level), METHODS[method]
    found = []
    for one in tested:
        nodes = blend.nodes(one.of_nodes)
        came = matrix @ np.nan_to_num(one.actual)
        if level in nodes.levels and not blend.needs_products:
            said = nodes.sums[nodes.rows(level)] @ blend.totals(one.of_nodes, None)
        elif one.views is not None:
            said = matrix @ engine.combine(one.views, panel.until(one.cutoff), blend).units
        else:
            continue
        begun = np.flatnonzero((matrix @ (panel.first_day < one.cutoff)) > 0)
        before = matrix @ np.nan_to_num(panel.until(one.cutoff).units[:, -SCATTER_DAYS:])
        found.append(Pair(one.cutoff, begun, said[begun], came[begun], before[begun]))
    return found


def accuracy(panel: DailyPanel, cutoff: int, forecasts: Mapping[str, Floats]) -> pd.DataFrame:
    """One row a level and model: nodes, wape, bias, rmsse (weighted by value; its mean over levels is M5's WRMSSE).

    RMSSE (Hyndman & Koehler 2006): root mean squared error over the root mean squared day-on-day change of a series
    since its first sale. Nodes that never changed have none and count in `undefined`. A measure without anything to
    divide by is NaN. `forecasts` are [bottom series, day ahead] by model.
    """
    horizon = next(iter(forecasts.values())).shape[1]
    history = np.nan_to_num(panel.units[:, :cutoff]).astype(float)
    actual = np.nan_to_num(panel.units[:, cutoff : cutoff + horizon]).astype(float)
    value = _worth(panel, cutoff)
    rows = []
    for level in panel.hierarchy.levels:
        matrix = panel.hierarchy.matrix(level)
        past, came, worth = matrix @ history, matrix @ actual, matrix @ value
        begun = np.arange(cutoff - 1) >= (past > 0).argmax(axis=1)[:, None]
        step = (np.diff(past, axis=1) ** 2 * begun).sum(axis=1) / np.maximum(begun.sum(axis=1), 1)
        defined = (step > 0) & (worth > 0)
        sold = came.sum()
        for model, ahead in forecasts.items():
            error = matrix @ ahead - came
            rmsse = np.sqrt((error**2).mean(axis=1)[defined] / step[defined])
            rows.append(
                {
                    "level": level,
                    "model": model,
                    "nodes": len(past),
                    "wape": np.abs(error).sum() / sold if sold > 0 else np.nan,
                    "bias": error.sum() / sold if sold > 0 else np.nan,
                    "rmsse": (rmsse * worth[defined]).sum() / worth[defined].sum() if defined.any() else np.nan,
                    "undefined": int((~defined).sum()),
                }
            )
    return pd.DataFrame(rows)


def _worth(panel: DailyPanel, cutoff: int) -> Floats:
    """What each series brought in over the last WEIGHT_DAYS days, at the prices of the list where there is one."""
    begin = max(0, cutoff - WEIGHT_DAYS)
    units = np.nan_to_num(panel.units[:, begin:cutoff]).astype(float)
    if panel.prices is None:
        return units.sum(axis=1) * panel.value
    every = np.arange(len(units))
    prices = [panel.prices.at(every, np.full(len(units), day), cutoff) for day in range(begin, cutoff)]
    price = np.stack(prices, axis=1)
    return (units * np.where(np.isfinite(price), price, panel.value[:, None])).sum(axis=1)
