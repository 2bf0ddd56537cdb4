"""One gradient booster for all series: each day ahead is predicted directly from what was known at the origin.

A recursive booster feeds its own errors back, and with a logarithmic link has exploded on real data 967,502-fold.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ml.forecasting.daily.features import CATEGORIES, Floats, Ints, Series, State

SEED = 20170101
STEP = 7
"""Days between training origins: whole weeks, so that a day ahead is one weekday in training as in the forecast."""
FIRST_ORIGIN = 56
ORIGINS = 110
CHUNK = 1_000_000
MOST_SERIES = 60_000
"""Series learned from; of more, that many are drawn whatever they sold, so that none is there for its luck."""


@dataclass(frozen=True)
class Trees:
    """How the booster is grown. `rows` is how many training rows are drawn."""

    loss: Literal["poisson", "squared_error"]
    rows: int
    rounds: int
    leaves: int
    least: int
    share: float = 0.6
    ridge: float = 1.0
    rate: float = 0.05


def forecast(series: Series, which: Ints, value: Floats | None, horizon: int, trees: Trees) -> Floats:
    """Units [row wanted, day ahead] of the series `which`. `value` is what a unit of each series brings in: errors are
    weighed by it, because that is what they cost. Without it every series counts alike, whatever it sells, but for
    those that jump about: one rare order of hundreds would teach all others."""
    from sklearn.ensemble import HistGradientBoostingRegressor
    from threadpoolctl import threadpool_limits

    origin = series.units.shape[1]
    known = np.arange(len(series.units))
    if len(known) > MOST_SERIES:
        known = np.sort(np.random.default_rng(SEED).permutation(known)[:MOST_SERIES])
    of_known = None if value is None else value[known]
    features, target, weight, names = _training(series.only(known), of_known, horizon, trees)
    # scikit-learn cannot bin a column without any value, such as last year's units where no series is that old.
    empty = np.isnan(features).all(axis=0)
    features[:, empty] = 0.0
    state = State(series.only(which), origin)
    if not target.any():
        return np.repeat(state.scale[:, None], horizon, axis=1)
    every = np.arange(len(which))
    rows, ahead = np.repeat(every, horizon), np.tile(np.arange(1, horizon + 1), len(which))
    result = np.empty(len(rows))
    model = HistGradientBoostingRegressor(
        loss=trees.loss,
        max_iter=trees.rounds,
        learning_rate=trees.rate,
        max_leaf_nodes=trees.leaves,
        min_samples_leaf=trees.least,
        l2_regularization=trees.ridge,
        max_features=trees.share,
        max_bins=255,
        categorical_features=[names.index(name) for name in (*series.codes, *CATEGORIES)],
        early_stopping=False,
        random_state=SEED,
    )
    # On cores shared with anyone else, OpenMP's waiting threads make it many times slower.
    with threadpool_limits(1):
        model.fit(features, target, sample_weight=weight)
        for begin in range(0, len(rows), CHUNK):
            part = slice(begin, begin + CHUNK)
            asked = state.rows(rows[part], ahead[part])[0]
            asked[:, empty] = 0.0
            result[part] = model.predict(asked) * state.scale[rows[part]]
    return np.maximum(result, 0.0).reshape(len(which), horizon)


def origins(days: int) -> list[int]:
    """Origins a history of `days` days is learned from, the last first."""
    return list(range(days - STEP, min(FIRST_ORIGIN, days // 2) - 1, -STEP))[:ORIGINS]


def _training(
    series: Series, value: Floats | None, horizon: int, trees: Trees
) -> tuple[Floats, Floats, Floats, list[str]]:
    days = series.units.shape[1]
    rng = np.random.default_rng(SEED)
    found = origins(days)
    quota = trees.rows // len(found)
    parts: list[tuple[Floats, Floats, Floats]] = []
    names: list[str] = []
    for origin in found:
        begun = np.flatnonzero(series.known(origin) > 0)
        if not len(begun):
            continue
        farthest = min(horizon, days - origin)
        if quota >= len(begun) * farthest:
            which, ahead = np.repeat(begun, farthest), np.tile(np.arange(1, farthest + 1), len(begun))
        else:
            times = -(-quota // len(begun))
            which = np.concatenate([rng.permutation(begun) for _ in range(times)])[:quota]
            ahead = rng.integers(1, farthest + 1, len(which))
        state = State(series, origin)
        actual = series.units[which, origin + ahead - 1]
        kept = np.isfinite(actual)
        if series.out is not None:
            kept &= ~series.out[which, origin + ahead - 1]
        which, ahead, actual = which[kept], ahead[kept], actual[kept]
        features, names = state.rows(which, ahead)
        weight = state.steadiness()[which] if value is None else state.scale[which] * value[which]
        parts.append((features, actual / state.scale[which], weight))
    features, target, weight = (np.concatenate(column) for column in zip(*parts, strict=True))
    return features, target, weight / (weight.mean() or 1.0), names
