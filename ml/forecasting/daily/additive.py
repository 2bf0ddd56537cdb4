"""Prophet's additive model for all nodes at once: trend with bends, week, year, month and events, by one ridge.

Taylor & Letham (2018), "Forecasting at scale", The American Statistician 72(1), eq. 1: y = trend + season + holidays.
Their design matrix is the same for every series of a shop, so one factorisation solves them all; with a Gaussian
penalty in place of the Laplace one on the bends this is a ridge regression.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ml.forecasting.daily.calendar import Calendar

Floats = NDArray[np.float64]

YEAR = 365.25
MONTH = 30.4
LEAST_YEARS = 2
"""Below two years a yearly season cannot be told from the trend."""
CLOSED = 0.1
"""A day that sells less than this share of what is usual was closed: nothing is learned of its demand."""
USUAL_DAYS = 181
DENSE = 5.0
"""Units a day below which the logarithm would say more about luck than about demand."""


@dataclass(frozen=True)
class Recipe:
    """One way to fit it. `days` of history (None: all), weighted by half every `half_life` days; `bends` of the trend;
    `waves` of the year; `ridge` the strength of the penalty; the mean error of the last `recent` days is added by the
    share `follow`.
    """

    ridge: float
    days: int | None
    bends: int
    waves: int
    half_life: float | None = None
    recent: int = 0
    follow: float = 0.0


RECIPES = (
    Recipe(ridge=0.1, days=1100, bends=25, waves=6, half_life=180.0),
    Recipe(ridge=1.0, days=None, bends=25, waves=6, recent=28, follow=1.0),
    Recipe(ridge=1.0, days=1100, bends=12, waves=4, recent=28, follow=0.7),
    Recipe(ridge=0.3, days=740, bends=8, waves=4, half_life=365.0, recent=28, follow=0.5),
)
"""Their mean forecasts. Each is about as good as the next; together they err less than any (docs/forecasting.md)."""
_BENDS_UNTIL = 0.92


@dataclass(frozen=True)
class Design:
    """Columns [day, column] over history and horizon, and how strongly each is drawn to zero."""

    columns: Floats
    penalty: Floats


def forecast(units: Floats, place: NDArray[np.int64], calendar: Calendar, horizon: int) -> Floats:
    """Units [node, day ahead] of `units` [node, day]; `place` is each node's row of the calendar, which has the days
    ahead too. A node is solved in logarithms where it sells enough every day, else as it is."""
    history = units.shape[1]
    usual = _usual(units)
    closed = units < CLOSED * usual
    dense = np.nanquantile(np.where(closed, np.nan, units)[:, -USUAL_DAYS:], 0.05, axis=1) >= DENSE
    scale = np.maximum(usual[:, -1:], 1e-9)
    target = np.where(dense[:, None], np.log(np.maximum(units, 1.0)), units / scale)
    target = _bridged(np.where(closed & dense[:, None], np.nan, target))
    total = np.zeros((len(units), horizon))
    for recipe in RECIPES:
        fitted = np.empty((len(units), horizon))
        for number in np.unique(place):
            rows = place == number
            design = design_of(calendar, int(number), history, recipe)
            fitted[rows] = solve(target[rows], design, horizon, recipe)
        total += np.where(dense[:, None], np.exp(np.where(dense[:, None], fitted, 0.0)), np.maximum(fitted, 0) * scale)
    ahead = total / len(RECIPES)
    shut = _always_closed(closed, place, calendar, history)
    return np.where(shut, 0.0, ahead)


def design_of(calendar: Calendar, place: int, history: int, recipe: Recipe) -> Design:
    """The design matrix of one place."""
    days = len(calendar.days)
    begin = max(0, history - (recipe.days or history))
    time = np.arange(days) / YEAR
    week_day = calendar.days.dayofweek.to_numpy()
    year_day = calendar.days.dayofyear.to_numpy()
    month_day = calendar.days.day.to_numpy()
    columns: list[Floats] = [np.ones(days), time - history / YEAR]
    penalty = [0.0, 0.01]

    def add(column: Floats, strength: float) -> None:
        columns.append(column)
        penalty.append(strength)

    for bend in np.linspace(begin, begin + (history - begin) * _BENDS_UNTIL, recipe.bends + 1)[1:]:
        add(np.maximum(time - bend / YEAR, 0.0), 1.0)
    for day in range(7):
        add((week_day == day).astype(float), 0.01)
    if history >= LEAST_YEARS * YEAR:
        for wave in range(1, recipe.waves + 1):
            for turn in (np.sin, np.cos):
                add(turn(2 * np.pi * wave * year_day / YEAR), 0.05 * wave)
        for wave in (1, 2):
            for turn in (np.sin, np.cos):
                add(turn(2 * np.pi * wave * year_day / YEAR) * (week_day >= 5), 0.1)
    for wave in (1, 2, 3):
        for turn in (np.sin, np.cos):
            add(turn(2 * np.pi * wave * month_day / MONTH), 0.05)
    for named in calendar.named[:, place]:
        for shift in (-1, 0, 1):
            add(_shifted(named, shift), 0.1 if shift == 0 else 0.3)
    payday = calendar.payday[place]
    add(payday, 0.01)
    add(payday * (week_day >= 5), 0.05)
    return Design(np.stack(columns, axis=1), np.array(penalty))


def solve(target: Floats, design: Design, horizon: int, recipe: Recipe) -> Floats:
    """Forecast [node, day ahead] of targets [node, day] without gaps: one system of equations for all nodes."""
    history = target.shape[1]
    begin = max(0, history - (recipe.days or history))
    seen = design.columns[begin:history]
    age = np.arange(len(seen))[::-1]
    weight = np.ones(len(seen)) if recipe.half_life is None else 0.5 ** (age / recipe.half_life)
    weighted = seen * weight[:, None]
    strength = recipe.ridge * weight.sum() / 100
    gram = weighted.T @ seen + np.diag(design.penalty * strength) + 1e-9 * np.eye(len(design.penalty))
    coefficients = np.linalg.solve(gram, weighted.T @ target[:, begin:].T)
    ahead: Floats = (design.columns[history : history + horizon] @ coefficients).T
    if recipe.recent:
        last = slice(max(begin, history - recipe.recent), history)
        error = target[:, last] - (design.columns[last] @ coefficients).T
        ahead += recipe.follow * error.mean(axis=1, keepdims=True)
    return ahead


def _usual(units: Floats) -> Floats:
    """[node, day] median of the half year before each day; of the first days, the first median there is."""
    rolled = pd.DataFrame(units.T).rolling(USUAL_DAYS, min_periods=min(28, units.shape[1])).median()
    return rolled.bfill().to_numpy().T


def _bridged(target: Floats) -> Floats:
    """Gaps are bridged by straight lines."""
    if not np.isnan(target).any():
        return target
    return pd.DataFrame(target.T).interpolate(limit_direction="both").to_numpy().T


def _always_closed(closed: NDArray[np.bool_], place: NDArray[np.int64], calendar: Calendar, history: int) -> Floats:
    """[node, day ahead] whether the node was closed each time, twice at least, an event of that day came before."""
    ahead = len(calendar.days) - history
    shut = np.zeros((len(closed), ahead), dtype=bool)
    for named in calendar.named:
        on = named[place] >= 0.5
        times = on[:, :history].sum(axis=1)
        always = (times >= 2) & ((on[:, :history] & closed).sum(axis=1) == times)
        shut |= always[:, None] & on[:, history:]
    return shut


def _shifted(column: Floats, by: int) -> Floats:
    shifted = np.zeros_like(column)
    if by > 0:
        shifted[by:] = column[:-by]
    elif by < 0:
        shifted[:by] = column[-by:]
    else:
        shifted[:] = column
    return shifted
