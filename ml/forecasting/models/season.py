"""How much more, or less, a shop will sell in the weeks ahead than it does now, judged by what it did a year ago.

A model that looks at a quarter forecasts the summer to go on for ever, and a back-test whose origins all lie in a quiet
half of the year finds nothing wrong with that. One year is too short for any single product to show its season, but the
products of a category have gone through it together, and that is enough.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ml.forecasting.data import TRAILING, Floats, Ints, Panel
from ml.forecasting.models.interface import Demand, Fitted, Model, WhenAsked

YEAR = 52
YEARS = 2
"""Years back whose course is averaged; what lies further back was another shop."""
BELIEF = 0.75
"""Power the course is raised to: last year's weeks were partly luck (docs/forecasting.md)."""
USUAL = 10.0
"""Median weeks of a series above which a week counts as that many: one order of 74,215 jars is no season."""
PRIOR = 26
"""Weeks of an unchanged shop that are laid beside those seen of this year's growth."""
GROWN = 2.0
"""A shop that doubled or halved within a year tells of its growth, and nothing of its season."""
GROWN_HALFWAY = 1.25
"""The same within its first half year, for a shop too young to be compared with itself a year ago."""
COMPARED = 4
"""Weeks that takes."""
TRUSTED = 100.0
"""Units a week of which a category's own course counts as much as that of the whole shop."""


@dataclass(frozen=True)
class InSeason:
    """A model that knows a level and no season, its forecast raised and lowered as the season's course says.

    A series of at least `own` weeks, where that is given, has a season of its own in the model.
    """

    model: Model[Demand]
    own: int | None = None

    def fit(self, history: Panel, rows: Ints) -> WhenAsked:
        fitted: Fitted = self.model.fit(history, rows)
        known = np.isfinite(history.units[rows]).sum(axis=1, keepdims=True)
        itself = np.zeros_like(known, dtype=bool) if self.own is None else known >= self.own

        def forecast(horizon: int) -> Floats:
            return fitted.predict(horizon) * np.where(itself, 1.0, ahead(history, horizon)[rows])

        return WhenAsked(forecast)


def ahead(history: Panel, horizon: int) -> Floats:
    """[series, week ahead] units expected relative to the mean of the last 13 weeks; 1 where no year has been seen.

    It is last year's course times the growth since, of the series' category and of the whole shop, averaged in
    logarithms by how much the category sells.
    """
    if history.units.shape[1] < YEAR:
        return np.ones((len(history.units), horizon))
    usual = _usual(history.units)
    whole = _course(usual.sum(axis=0), horizon)
    category, names = pd.factorize(history.series["category"])
    courses = np.empty((len(names), horizon))
    sums = pd.DataFrame(usual).groupby(category).sum().to_numpy()
    for number, units in enumerate(sums):
        sells = units[-YEAR:].mean()
        courses[number] = (sells * _course(units, horizon) + TRUSTED * whole) / (sells + TRUSTED)
    return np.exp(BELIEF * courses)[category]


def _usual(units: Floats) -> Floats:
    """Units without single orders far above what the series sells in a week; 0 before it began."""
    known = np.nan_to_num(units)
    ordered = np.sort(known, axis=1)
    sold = (known > 0).sum(axis=1)
    median = ordered[np.arange(len(known)), known.shape[1] - 1 - sold // 2]
    return np.minimum(known, USUAL * median[:, None])


def _course(units: Floats, horizon: int) -> Floats:
    """Logarithms of last years' course [week ahead] relative to now; 0 where there is no year to go by."""
    weeks, now = len(units), units[-TRAILING:].mean()
    prior = PRIOR * units[-YEAR:].mean()
    found = []
    for back in range(YEAR, min(YEARS * YEAR, weeks) + 1, YEAR):
        then = units[: weeks - back][-TRAILING:]
        growth = (units[weeks - len(then) :].sum() + prior) / max(then.sum() + prior, 1e-9)
        if now > 0 and _steady(units, weeks - back):
            found.append(units[weeks - back + np.arange(horizon) % YEAR] * growth / now)
    if not found:
        return np.zeros(horizon)
    return np.log(np.maximum(np.mean(found, axis=0), 0.01))


def _steady(units: Floats, anniversary: int) -> bool:
    """Whether a shop is of about the size it was when only the first `anniversary` weeks were known."""
    if anniversary >= COMPARED:
        before = units[:anniversary][-TRAILING:]
        after, most = units[-len(before) :], GROWN
    else:
        before, after, most = units[:TRAILING], units[YEAR // 2 :][:TRAILING], GROWN_HALFWAY
    low, high = sorted((float(before.mean()), float(after.mean())))
    return 0 < high <= most * low
