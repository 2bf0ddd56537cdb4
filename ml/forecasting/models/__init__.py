"""Every way of forecasting, by name. A model sees a panel cut at the cutoff and nothing else, so it cannot leak.

A model that returns something that is no number, or explodes, is stopped or capped here before anyone adds it up.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from coldframe.errors import ColdframeError
from ml.forecasting.data import Floats, Ints, Level, Panel
from ml.forecasting.models.boosting import BoostedTrees
from ml.forecasting.models.classical import Library, Naive, SeasonalNaive, WindowMean, Zero, croston, ets, theta, tsb
from ml.forecasting.models.interface import CYCLES, Demand, Model
from ml.forecasting.models.prophet import ProphetModel
from ml.forecasting.models.season import InSeason

CAP = 5.0
"""A forecast above this many times the highest week so far is capped: log-link trees and trends can explode."""

LOCAL: Mapping[str, Model[Demand]] = {
    "zero": Zero(),
    "naive": Naive(),
    "snaive": SeasonalNaive(),
    "window_mean": WindowMean(),
    "tsb": Library(tsb),
    "croston": Library(croston),
    "theta": Library(theta),
    "ets": Library(ets, slow=True),
    "prophet": ProphetModel(),
}
"""Models of one series at a time: weeks or days, products or a whole shop."""
MODELS: Mapping[str, Model[Panel]] = {
    **LOCAL,
    "window_mean": InSeason(WindowMean()),
    "tsb": InSeason(Library(tsb)),
    "croston": InSeason(Library(croston)),
    "theta": InSeason(Library(theta, seasonal=False)),
    "ets": InSeason(Library(ets, slow=True, seasonal=False)),
    "prophet": InSeason(ProphetModel(), own=CYCLES * Panel.season),
    "hgb": BoostedTrees(),
}
"""What forecasts weeks. Those that know a level alone take the year's course from the whole of a category."""
BLENDS: Mapping[str, tuple[str, ...]] = {
    "blend": ("window_mean", "hgb"),
    "blend_theta": ("window_mean", "theta"),
    "blend_prophet": ("window_mean", "hgb", "prophet"),
}
"""Means of other models: where several are about equally good, their mean often is better than each."""

# Simplest first: of two that are equally good the first is taken. The benchmark stands before all of them.
CANDIDATES: Mapping[tuple[Level, str], tuple[str, ...]] = {
    ("category_region", "top"): ("window_mean", "theta", "hgb", "prophet", "blend", "blend_theta", "blend_prophet"),
    ("category_region", "dense"): ("window_mean", "theta", "hgb", "blend", "blend_theta"),
    ("category_region", "sparse"): ("window_mean", "tsb", "hgb"),
    ("category_region", "new"): ("window_mean", "hgb"),
    ("category_region", "dormant"): ("zero",),
    ("product_region", "dense"): ("window_mean", "theta", "hgb", "blend"),
    ("product_region", "sparse"): ("window_mean", "tsb", "hgb"),
    ("product_region", "new"): ("window_mean", "hgb"),
    ("product_region", "tail"): ("window_mean", "hgb"),
}


def candidates(level: Level, weeks: int) -> dict[str, tuple[str, ...]]:
    """Models that compete for each segment of a level with that many weeks of history.

    In its second year Prophet takes the first season for growth, and the course of the year would be told twice.
    """
    blind = Panel.season <= weeks < CYCLES * Panel.season
    return {
        segment: tuple(name for name in names if not (blind and "prophet" in BLENDS.get(name, (name,))))
        for (of, segment), names in CANDIDATES.items()
        if of == level
    }


@dataclass(frozen=True)
class Forecast:
    """Units [row wanted, week ahead] of one model, how many cells were capped, and what it took."""

    model: str
    rows: Ints
    units: Floats
    capped: int
    seconds: float


def benchmark(weeks: int) -> str:
    """What every model must beat: last year's week where the history has one, else the last week."""
    return "snaive" if weeks >= 52 else "naive"


def run(
    history: Panel,
    wanted: Mapping[str, Ints],
    horizon: int,
    models: Mapping[str, Model[Panel]] = MODELS,
    blends: Mapping[str, Sequence[str]] = BLENDS,
) -> dict[str, Forecast]:
    """Forecasts of each model named in `wanted` for the rows wanted of it; parts of a blend are computed once.

    Raises ColdframeError where a model returns something that is no number.
    """
    needed: dict[str, Ints] = {}
    for name, rows in wanted.items():
        for part in blends.get(name, (name,)):
            needed[part] = np.union1d(needed.get(part, np.array([], dtype=np.int64)), rows)
    parts = {name: _bounded(name, models[name], history, rows, horizon) for name, rows in needed.items()}
    result = {}
    for name, rows in wanted.items():
        chosen = [parts[part] for part in blends.get(name, (name,))]
        units = np.mean([part.units[np.searchsorted(part.rows, rows)] for part in chosen], axis=0)
        result[name] = Forecast(name, rows, units, sum(p.capped for p in chosen), sum(p.seconds for p in chosen))
    return result


def _bounded(name: str, model: Model[Panel], history: Panel, rows: Ints, horizon: int) -> Forecast:
    began = time.perf_counter()
    units = model.fit(history, rows).predict(horizon)
    seconds = time.perf_counter() - began
    broken = int((~np.isfinite(units)).any(axis=1).sum())
    if units.shape != (len(rows), horizon) or broken:
        raise ColdframeError(
            f"Model {name!r} returned {broken} of {len(rows)} {history.level} series with something that is no number "
            f"(shape {units.shape}, wanted {(len(rows), horizon)}). Nothing is released; mend the model."
        )
    most = CAP * np.nanmax(history.units[rows], axis=1, initial=0.0)[:, None]
    return Forecast(name, rows, np.clip(units, 0.0, most), int((units > most).sum()), seconds)


def describe() -> dict[str, Any]:
    """What of this file a release depends on, for its parameters."""
    return {"cap": CAP, "blends": {k: list(v) for k, v in BLENDS.items()}}
