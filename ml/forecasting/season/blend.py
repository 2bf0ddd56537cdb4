"""Each product's share of a season: the mean of a few ways to read its past, moved as its kind took to the season.

Trees taught by few products follow one lucky week, windows alone never saw a season. Their mean was better than each
on small shops and large ones (`python -m benchmarks assortment.season`); the more there is to learn from, the more the
trees count.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import nnls
from scipy.sparse import csr_matrix
from sklearn.ensemble import HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits

from ml.forecasting.data import Floats, Ints
from ml.forecasting.season.launched import course
from ml.forecasting.season.signals import QUARTER, STEADY, YEAR, Ahead, Look, look, sold, year_before
from ml.forecasting.season.words import season_index

STEP = 2
"""Weeks between two past origins that are learned from."""
MOST_ORIGINS = 26
LEAST_KNOWN = 8
"""Weeks an origin must know to be learned from."""
MOST_ROWS = 120_000
LEAST_WEIGHT = 0.25
"""Weight of the trees in the mean, however little taught them; the windows count twice what their learned sum does."""
HALF_WEIGHT_ROWS = 400_000
"""Products times origins at which the trees weigh half."""
UNKNOWN_WEIGHT = 0.25
STEADY_LEVELS = tuple(f"steady{weeks}" for weeks in STEADY)


@dataclass(frozen=True)
class Shares:
    """Share of the season's money of each product known at the origin, [product], adding up to 1; `index` is how its
    kind takes to the season (log; None where last year does not tell)."""

    share: Floats
    index: Floats | None


def shares(money: Floats, origin: int, ahead: Ahead, words: csr_matrix, category: Ints) -> Shares:
    """`money` is [product, week]; nothing from week `origin` on is read. All zero where nothing sold within a year.

    A launch of the last weeks takes the geometric mean of what its weeks tell and of the course launches of its
    category take: together they are nearer than each.
    """
    now = look(money, origin, ahead)
    steady = np.mean([_part(now.levels[name]) for name in STEADY_LEVELS], axis=0)
    if now.last_year:
        weight = last_year_weight(money, origin, ahead)
        steady = (1 - weight) * steady + weight * _part(now.levels["last_year"])
    trees, summed, rows = _learned(money, origin, ahead, now)
    weight = max(LEAST_WEIGHT, rows / (rows + HALF_WEIGHT_ROWS))
    base = _part(weight * _part(trees) + (1 - weight) * (_part(summed) / 3 + _part(steady) * 2 / 3))
    launched = course(money, origin, ahead, category)
    base = _part(np.where(np.isfinite(launched), np.sqrt(base * np.nan_to_num(launched)), base))
    index = season_index(money, origin, ahead, words)
    share = base if index is None else _part(base + _part(base * np.exp(index)))
    return Shares(share, index)


def last_year_weight(money: Floats, origin: int, ahead: Ahead) -> float:
    """How much last year's season tells beside the weeks just past, 0..1; a quarter where too little is known to ask.

    A year ago the quarter before the season told so much of it, and last year's quarter tells so much of this year's:
    both are shares of money in the same products, and their odds are the weights. Before Christmas the first is small.
    """
    if origin < YEAR + QUARTER:
        return UNKNOWN_WEIGHT
    quarter = _part(np.nan_to_num(money[:, origin - QUARTER : origin]).sum(axis=1))
    quarter_then = _part(np.nan_to_num(money[:, origin - YEAR - QUARTER : origin - YEAR]).sum(axis=1))
    season_then = _part(year_before(money, origin, ahead)[0])
    recent = float(np.minimum(quarter_then, season_then).sum())
    yearly = float(np.minimum(quarter, quarter_then).sum())
    odds = [overlap / (1 - min(overlap, 0.99)) for overlap in (yearly, recent)]
    return odds[0] / sum(odds) if sum(odds) > 0 else UNKNOWN_WEIGHT


def _learned(money: Floats, origin: int, ahead: Ahead, now: Look) -> tuple[Floats, Floats, int]:
    """What past spans of the same length and distance teach: trees, and a sum of signals without negative weights; how
    many products times origins there were to learn from. Nothing where there are none.

    Both learn the root of a product's money, whose noise is about the same for great and small (Anscombe 1948).
    """
    past = range(origin - len(ahead.days), LEAST_KNOWN - 1, -STEP)[:MOST_ORIGINS]
    levels_then, shapes_then, came_then = [], [], []
    taught = 0
    for cutoff in past:
        seen = look(money, cutoff, ahead)
        rows = _spread(np.flatnonzero(seen.alive), MOST_ROWS // len(past))
        taught += int(seen.alive.sum())
        levels_then.append(seen.levels.iloc[rows])
        shapes_then.append(seen.shape.iloc[rows])
        came_then.append(_relative(sold(money, cutoff, ahead))[rows])
    if not any(came.any() for came in came_then):
        return np.zeros(len(money)), np.zeros(len(money)), 0
    levels, shapes = pd.concat(levels_then).fillna(0.0), pd.concat(shapes_then)
    target = np.sqrt(np.concatenate(came_then))
    names = [str(name) for name in now.levels if name != "last52"]
    weights, _ = nnls(np.sqrt(levels.reindex(columns=names, fill_value=0.0).to_numpy()), target)
    summed = (np.sqrt(now.levels[names].to_numpy()) @ weights) ** 2
    # Trees cannot place a column that nothing was ever known of, and one that is the same everywhere tells nothing.
    usable = [name for name in now.shape if name in shapes and shapes[name].nunique() > 1]
    trees = HistGradientBoostingRegressor(
        max_iter=120, learning_rate=0.05, max_leaf_nodes=16, min_samples_leaf=60, l2_regularization=5.0, random_state=0
    )
    with threadpool_limits(1):
        trees.fit(shapes[usable], target)
        grown = np.maximum(trees.predict(now.shape[usable]), 0.0) ** 2 * now.alive
    return grown, summed, taught


def _spread(rows: np.ndarray, most: int) -> np.ndarray:
    """At most `most` of the rows, evenly spread, so that the same snapshot teaches the same."""
    return rows if len(rows) <= most else rows[np.linspace(0, len(rows) - 1, most).astype(int)]


def _relative(values: Floats) -> Floats:
    result: Floats = values / max(values.mean(), 1e-9)
    return result


def _part(values: Floats | pd.Series) -> Floats:
    numbers = np.asarray(values, dtype=float)
    total = numbers.sum()
    result: Floats = numbers / total if total > 0 else np.zeros_like(numbers)
    return result
