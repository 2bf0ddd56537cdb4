"""One booster for all series of a level: what a short history cannot tell, its neighbours' histories can.

It predicts each week ahead directly from what is known at the cutoff, with the horizon as a feature; a recursive one
feeds its own errors back and has exploded on this very data (docs/forecasting.md).
"""

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ml.forecasting.data import TRAILING, Floats, Ints, Panel
from ml.forecasting.models import season
from ml.forecasting.models.interface import WhenAsked

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingRegressor

SEED = 20170101
ROWS = 100_000
"""Training rows drawn in all, more from series that sell more."""
ORIGINS = 12
FIRST_ORIGIN = 8
"""Weeks a first training origin has seen, where the history has more; a level of fewer weeks is mostly noise."""
REPEATS = 4
"""Most weeks ahead drawn of one series at one origin. Where there are series enough it is one: a leaf that holds one
product many times learns its luck, and the assortment then chooses the luckiest."""
LEAST_WEEKS = 6
"""Below it there is nothing to learn from, and the scale is the forecast."""
DRAWS = 10_000
"""Series and weeks drawn to find what the trees would make all series sell together."""
MOST_CORRECTED = 0.25
"""Most the sum is corrected by: beyond it the one or the other is not to be trusted, and the trees saw more."""
SEASON = 52
MOST_AHEAD = 53


class BoostedTrees:
    """Histogram gradient boosting with Poisson loss on units relative to each series' own scale and season."""

    def fit(self, history: Panel, rows: Ints) -> WhenAsked:
        return WhenAsked(partial(_forecast, history, rows))


def _forecast(history: Panel, rows: Ints, horizon: int) -> Floats:
    from sklearn.ensemble import HistGradientBoostingRegressor
    from threadpoolctl import threadpool_limits

    weeks = history.units.shape[1]
    usual = np.repeat(scale(history.units)[rows][:, None], horizon, axis=1)
    if len(rows) == 0 or weeks < LEAST_WEEKS or not np.nansum(history.units[:, -TRAILING:]):
        return usual
    groups = _Groups(history)
    features, target = _training_rows(history, groups, horizon)
    if not target.any():
        # A shop that stood still after its only sales: every origin saw units before it and none after it.
        return usual
    # scikit-learn cannot bin a column without any value, such as last year's units where no series is that old.
    features[:, np.isnan(features).all(axis=0)] = 0.0
    model = HistGradientBoostingRegressor(
        loss="poisson",
        max_iter=60,
        learning_rate=0.1,
        max_leaf_nodes=15,
        min_samples_leaf=200,
        l2_regularization=1.0,
        random_state=SEED,
    )
    state = _State(history, groups, weeks)
    wanted, ahead = np.repeat(rows, horizon), np.tile(np.arange(1, horizon + 1), len(rows))
    # On cores shared with anyone else, OpenMP's waiting threads made this ten times slower.
    with threadpool_limits(1):
        model.fit(features, target)
        predicted = model.predict(state.features(wanted, ahead)) * state.expected(wanted, ahead)
        predicted *= _agreement(model, state, horizon)
    return np.where(state.recent[rows][:, None] > 0, predicted.reshape(len(rows), horizon), 0.0)


def scale(units: Floats) -> Floats:
    """Units a week a series sells now: the mean of its last 13 weeks, drawn towards the median one of all by one week.

    Always positive unless nothing sold anywhere; a series a few weeks old is not judged by its first week alone.
    """
    window = units[:, -TRAILING:]
    known = np.isfinite(window).sum(axis=1)
    sold = np.nansum(window, axis=1)
    active = sold > 0
    middle = float(np.median(sold[active] / known[active])) if active.any() else 0.0
    return (sold + middle) / (known + 1)


def _origins(weeks: int) -> Ints:
    return np.unique(np.linspace(min(FIRST_ORIGIN, weeks - 2), weeks - 1, ORIGINS).astype(int))


def _agreement(model: "HistGradientBoostingRegressor", state: "_State", horizon: int) -> float:
    """What the forecasts are multiplied by so that their sum is the share of the shop's sales that was kept before.

    What the shop sells in all, the season set aside, changes slowly. What is on sale goes out of sale and others take
    its place, and the share of all sales that a range keeps over the weeks is far steadier than what trees learn where
    every origin has another length of history, and another time of the year, behind it.
    """
    active = np.flatnonzero(state.recent > 0)
    weight = state.scale[active]
    rng = np.random.default_rng(SEED)
    drawn = active[rng.choice(len(active), size=DRAWS, p=weight / weight.sum())]
    ahead = rng.integers(1, horizon + 1, size=DRAWS)
    sold = np.nan_to_num(state.history.units[active, -TRAILING:]).mean(axis=1)
    forecast = (
        float((model.predict(state.features(drawn, ahead)) * state.season[drawn, ahead - 1]).mean()) * weight.sum()
    )
    kept = _kept(state.history, horizon) * float((sold @ state.season[active, :horizon]).mean())
    return float(np.clip(kept / forecast, 1 - MOST_CORRECTED, 1 + MOST_CORRECTED))


def _kept(history: Panel, horizon: int) -> float:
    """Share of all units that were sold by what sold before the origin: mean over origins and weeks ahead.

    Weeks ahead no origin has seen yet are taken to keep as much as the farthest one seen.
    """
    units = np.nan_to_num(history.units)
    shares = []
    for origin in _origins(units.shape[1]):
        known = units[:, max(0, origin - TRAILING) : origin].any(axis=1)
        after = units[:, origin : origin + horizon]
        every = after.sum(axis=0)
        share = after[known].sum(axis=0) / np.where(every > 0, every, np.nan)
        shares.append(pd.Series(share, index=range(len(share))))
    seen = pd.concat(shares, axis=1).reindex(range(horizon)).mean(axis=1).ffill()
    return float(seen.mean()) if seen.notna().any() else 1.0


def _training_rows(history: Panel, groups: "_Groups", horizon: int) -> tuple[Floats, Floats]:
    weeks = history.units.shape[1]
    rng = np.random.default_rng(SEED)
    origins = _origins(weeks)
    quota = ROWS // len(origins)
    parts: list[tuple[Floats, Floats]] = []
    for origin in origins:
        state = _State(history, groups, int(origin))
        active = np.flatnonzero(state.recent > 0)
        # Drawn by weight: scikit-learn 1.9 takes three times as long to bin weighted rows as to learn from them.
        # Weighted draws without replacement: the largest keys log(weight) + Gumbel noise (Efraimidis & Spirakis 2006).
        keys = 0.5 * np.log(state.scale[active]) + rng.gumbel(size=len(active))
        drawn = active[np.argsort(-keys, kind="stable")[:quota]]
        for _ in range(np.clip(quota // max(1, len(active)), 1, REPEATS)):
            ahead = rng.integers(1, min(horizon, weeks - origin) + 1, size=len(drawn))
            truth = history.units[drawn, origin + ahead - 1]
            parts.append((state.features(drawn, ahead), truth / state.expected(drawn, ahead)))
    features, target = (np.concatenate(column) for column in zip(*parts, strict=True))
    return features, target


class _Groups:
    """Categories and regions of the series as numbers, and one series of each region."""

    def __init__(self, history: Panel) -> None:
        self.category = pd.factorize(history.series["category"])[0]
        _, one_each, self.region = np.unique(
            history.series["region"].to_numpy(dtype=str), return_index=True, return_inverse=True
        )
        self.one_a_region = history.series.iloc[one_each]


class _State:
    """What is known of every series after the first `origin` weeks."""

    def __init__(self, history: Panel, groups: _Groups, origin: int) -> None:
        self.history = history.until(origin)
        units = self.history.units
        window = units[:, -TRAILING:]
        self.scale = scale(units)
        self.known = np.isfinite(units).sum(axis=1)
        self.recent = np.nansum(window, axis=1) if origin else np.zeros(len(units))
        with np.errstate(invalid="ignore"):
            sold = np.where(np.isfinite(units), units, 0.0) > 0
            self.idle = np.argmax(sold[:, ::-1], axis=1).astype(float)
            self.zero_share = 1 - sold[:, -TRAILING:].sum(axis=1) / np.maximum(np.isfinite(window).sum(axis=1), 1)
            short = np.nansum(units[:, -4:], axis=1) / np.maximum(np.isfinite(units[:, -4:]).sum(axis=1), 1)
            ever = np.nansum(units, axis=1) / np.maximum(self.known, 1)
            self.short, self.ever = short / self.scale, ever / self.scale
            self.lags = units[:, ::-1][:, :3] / self.scale[:, None]
        now, usual = np.bincount(groups.category, short), np.bincount(groups.category, self.scale)
        self.category_trend = (now / np.maximum(usual, 1e-9))[groups.category]
        self.region = groups.region
        regions = replace(self.history, series=groups.one_a_region)
        self.events = regions.event_days(self.history.ahead(MOST_AHEAD))
        self.has_year = history.units.shape[1] > SEASON
        self.season = season.ahead(self.history, MOST_AHEAD)

    def expected(self, rows: Ints, ahead: Ints) -> Floats:
        """Units of series `rows`, `ahead` weeks after the origin, were they to sell as now but for the season."""
        result: Floats = self.scale[rows] * self.season[rows, ahead - 1]
        return result

    def features(self, rows: Ints, ahead: Ints) -> Floats:
        """[row, feature] for series `rows`, `ahead` weeks after the origin."""
        origin = self.history.units.shape[1]
        columns = [
            ahead,
            np.log(self.scale[rows]),
            self.known[rows],
            # Few weeks before a first sale mean that the history, not the product, is young.
            origin - self.known[rows],
            self.idle[rows],
            self.zero_share[rows],
            self.short[rows],
            self.ever[rows],
            self.category_trend[rows],
            self.events[self.region[rows], ahead - 1],
            *self.lags[rows].T,
        ]
        # Every origin of a history has the same columns, also those that have not seen a year yet.
        if self.has_year:
            year_ago = origin + ahead - 1 - SEASON
            value = self.history.units[rows, np.clip(year_ago, 0, origin - 1)] / self.expected(rows, ahead)
            columns.append(np.where((year_ago >= 0) & (year_ago < origin), value, np.nan))
        return np.column_stack(columns).astype(float)
