"""What the forecast of a node is made of: trend, week, year, month, paydays and events, day by day.

Two models that can be taken apart say it: the additive one, which is one of the views that forecast, and Prophet,
which asks the same question of the nodes people look at most and forecasts nothing here. Where the parts do not give
the whole, a person is told a reason that is none; so they always do.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from ml.forecasting.daily import additive
from ml.forecasting.daily.additive import EVENT, PAYDAY, RECIPES, TREND, WEEK, YEAR, YEARLY, Target
from ml.forecasting.daily.hierarchy import KEYS
from ml.forecasting.daily.nodes import Nodes
from ml.forecasting.daily.panel import DailyPanel
from ml.forecasting.daily.views import NodeHistory
from ml.forecasting.models.prophet import ProphetModel

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ADDITIVE, PROPHET = "additive", "prophet"
CLOSED, FLOOR = "closed", "floor"
"""What makes a closed day nothing, and what keeps units from being less than nothing."""
MOST_NODES = 200
"""Nodes whose parts are kept; what lies below is explained by the node it belongs to."""
MOST_PROPHETS = 40
"""Prophet takes half a second a node, and nobody looks at more."""
SHOWN_DAYS = 730
PROPHET_DAYS = 1100
DIGITS = 5


@dataclass(frozen=True)
class Parts:
    """A model taken apart: units [node, day] of the `whole`, and [node, day] of each part by name.

    The trend is in units. Where a node is `dense` [node], every other part is a factor (1: no effect) and the whole is
    their product; elsewhere every part is in units and the whole is their sum. The trend of a dense node carries what
    the mean of several products adds to the product of their means.
    """

    whole: Floats
    parts: dict[str, Floats]
    dense: NDArray[np.bool_]


def components(panel: DailyPanel, horizon: int, model: str = ADDITIVE) -> pa.Table:
    """One row a node, day and part, over the last two years and `horizon` days ahead: level, keys (KEYS), date, model,
    component, value and unit (`units` or `factor`, see Parts). Parts without any effect on a day have no row.

    Nodes are none of products. They are the coarsest, and of a level those that bring in most: MOST_NODES, and
    MOST_PROPHETS of PROPHET.
    """
    nodes = Nodes(panel.hierarchy)
    kept = _looked_at(panel, nodes)[: MOST_NODES if model == ADDITIVE else MOST_PROPHETS]
    history = NodeHistory(
        units=nodes.units(panel.units)[kept],
        days=panel.days,
        places=[nodes.places[node] for node in kept],
        events=panel.events,
    )
    begin = max(0, len(panel.days) - SHOWN_DAYS)
    days = panel.days[begin:].append(panel.ahead(horizon)).to_numpy().astype("datetime64[D]")
    keys = pd.concat([panel.hierarchy.nodes(level).assign(level=level) for level in nodes.levels], ignore_index=True)
    keys = keys.reindex(columns=["level", *KEYS]).iloc[kept].reset_index(drop=True)
    split = (taken_apart if model == ADDITIVE else by_prophet)(history, horizon, begin)
    return _table(keys, days, model, split)


def taken_apart(history: NodeHistory, horizon: int, begin: int) -> Parts:
    """The additive model from the day `begin` on; the days ahead are its forecast.

    A part is the mean over the recipes of what each says; the week's days are relative to their mean.
    """
    place, known = history.calendar(horizon)
    target = additive.target_of(history.units, place, known)
    shape = (len(place), len(known.days) - begin)
    ahead = np.arange(begin, len(known.days)) >= len(history.days)
    whole, total = np.zeros(shape), np.zeros(shape)
    parts: dict[str, Floats] = {}
    for recipe in RECIPES:
        fitted = np.zeros(shape)
        for number in np.unique(place):
            rows = place == number
            design = additive.design_of(known, int(number), len(history.days), recipe)
            coefficients, level = additive.fit(target.values[rows], design, recipe)
            fitted[rows] = (design.columns[begin:] @ coefficients).T + level * ahead
            for name in np.unique(design.parts[design.parts != TREND]):
                of_part = design.parts == name
                said = (design.columns[begin:, of_part] @ coefficients[of_part]).T
                usual = coefficients[of_part].mean(axis=0)[:, None] if name == WEEK else 0.0
                parts.setdefault(str(name), np.zeros(shape))[rows] += (said - usual) / len(RECIPES)
        whole += target.units(fitted) / len(RECIPES)
        total += fitted / len(RECIPES)
    return _split(whole, total, parts, target, begin)


def by_prophet(history: NodeHistory, horizon: int, begin: int) -> Parts:
    """Prophet (Taylor & Letham 2018) of the same target."""
    place, known = history.calendar(horizon)
    target = additive.target_of(history.units, place, known)
    first = max(0, len(history.days) - PROPHET_DAYS)
    learned = replace(history, units=target.values[:, first:], days=history.days[first:])
    fitted = ProphetModel().fit(learned, np.arange(len(place)))
    days = pd.DataFrame({"ds": known.days[begin:]})
    said = [
        {TREND: np.full(len(days), mean)} if model is None else _parts_of(model, days, history.events)
        for model, mean in zip(fitted.models, fitted.means, strict=True)
    ]
    parts = {
        name: np.stack([node.get(name, np.zeros(len(days))) for node in said])
        for name in sorted({name for node in said for name in node})
    }
    total = sum(parts.values(), np.zeros((len(place), len(days))))
    parts.pop(TREND)
    return _split(target.units(total), total, parts, target, begin)


def _parts_of(model: Any, days: pd.DataFrame, events: pd.DataFrame) -> dict[str, Floats]:
    """Fitted values [day] of each part, by our names."""
    said = model.predict(days)
    paydays = {"payday", *events.loc[events["kind"] == "payday", "event"]}
    named = [] if model.holidays is None else sorted(set(model.holidays["holiday"]))
    columns = {"weekly": WEEK, "yearly": YEARLY} | {name: f"{EVENT}{name}" for name in named}
    parts = {TREND: said["trend"].to_numpy(dtype=float)}
    for column, name in columns.items():
        if column in said:
            part = PAYDAY if column in paydays else name
            parts[part] = parts.get(part, 0.0) + said[column].to_numpy(dtype=float)
    return parts


def _looked_at(panel: DailyPanel, nodes: Nodes) -> Ints:
    """Nodes, those of the coarsest level first and within it those that brought in most over the last year."""
    value = nodes.units(np.nan_to_num(panel.units[:, -int(YEAR) :]).sum(axis=1) * panel.value)
    order: Ints = np.lexsort((-value, nodes.level_of, np.bincount(nodes.level_of)[nodes.level_of]))
    return order


def _split(whole: Floats, total: Floats, fitted: dict[str, Floats], target: Target, begin: int) -> Parts:
    """Fitted values of each part but the trend, which is what they leave of their `total`, as factors or units."""
    dense, parts = target.dense, {}
    factors, sums = np.ones(whole.shape), np.zeros(whole.shape)
    for name, part in fitted.items():
        parts[name] = np.where(dense, np.exp(np.where(dense, part, 0.0)), part * target.scale)
        factors *= np.where(dense, parts[name], 1.0)
        sums += np.where(dense, 0.0, parts[name])
    unbound = total * target.scale
    trend = np.where(dense, whole / factors, unbound - sums)
    floor = np.where(dense, 1.0, whole - unbound)
    shut = np.zeros(whole.shape, dtype=bool)
    shut[:, target.values.shape[1] - begin :] = target.shut
    closed = np.where(shut, np.where(dense, 0.0, -whole), np.where(dense, 1.0, 0.0))
    return Parts(np.where(shut, 0.0, whole), {TREND: trend} | parts | {FLOOR: floor, CLOSED: closed}, dense[:, 0])


def _table(keys: pd.DataFrame, days: NDArray[Any], model: str, split: Parts) -> pa.Table:
    neutral = np.where(split.dense, 1.0, 0.0)[:, None]
    tables = []
    for name, values in split.parts.items():
        rounded = np.round(values, DIGITS)
        node, day = np.nonzero((rounded != neutral) | (name == TREND))
        columns = {column: pa.array(keys[column], pa.string()).take(pa.array(node)) for column in keys}
        columns["date"] = pa.array(days[day], pa.date32())
        columns["model"] = pa.repeat(pa.scalar(model), len(node))
        columns["component"] = pa.repeat(pa.scalar(name), len(node))
        columns["value"] = pa.array(rounded[node, day])
        columns["unit"] = pa.array(np.where(split.dense & (name != TREND), "factor", "units")[node])
        tables.append(pa.table(columns))
    return pa.concat_tables(tables)
