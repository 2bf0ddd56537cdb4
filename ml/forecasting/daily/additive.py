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
USUAL_STEP = 28
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


TREND, WEEK, YEARLY, MONTHLY, PAYDAY, EVENT = "trend", "week", "year", "month", "payday", "event: "
"""What a column can be part of; events follow by name."""


@dataclass(frozen=True)
class Design:
    """Columns [day, column] over history and horizon, how strongly each is drawn to zero, and what each is part of."""

    columns: Floats
    penalty: Floats
    parts: NDArray[np.str_]


@dataclass(frozen=True)
class Target:
    """What is fitted: `values` [node, day] without gaps, logarithms of units where the node is `dense`, else units in
    multiples of its `scale` (both [node, 1]). `shut` is [node, day ahead]: closed, as each time before.
    """

    values: Floats
    dense: NDArray[np.bool_]
    scale: Floats
    shut: NDArray[np.bool_]

    def units(self, fitted: Floats) -> Floats:
        """Units [node, day] of fitted values."""
        return np.where(self.dense, np.exp(np.where(self.dense, fitted, 0.0)), np.maximum(fitted, 0) * self.scale)


def forecast(units: Floats, place: NDArray[np.int64], calendar: Calendar, horizon: int) -> Floats:
    """Units [node, day ahead] of `units` [node, day]; `place` is each node's row of the calendar, which has the days
    ahead too. A node is solved in logarithms where it sells enough every day, else as it is."""
    target = target_of(units, place, calendar)
    total = np.zeros((len(units), horizon))
    design_place = _alike(calendar)[place]
    for recipe in RECIPES:
        fitted = np.empty((len(units), horizon))
        for number in np.unique(design_place):
            rows = design_place == number
            design = design_of(calendar, int(number), units.shape[1], recipe)
            fitted[rows] = solve(target.values[rows], design, horizon, recipe)
        total += target.units(fitted)
    return np.where(target.shut, 0.0, total / len(RECIPES))


def target_of(units: Floats, place: NDArray[np.int64], calendar: Calendar) -> Target:
    """What is fitted of `units` [node, day]."""
    usual = _usual(units)
    closed = units < CLOSED * usual
    dense = (_low(units[:, -USUAL_DAYS:], closed[:, -USUAL_DAYS:]) >= DENSE)[:, None]
    scale = np.maximum(usual[:, -1:], 1e-9)
    values = np.where(dense, np.log(np.maximum(units, 1.0)), units / scale)
    values = _bridged(np.where(closed & dense, np.nan, values))
    return Target(values, dense, scale, _always_closed(closed, place, calendar, units.shape[1]))


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
    parts = [TREND, TREND]

    def add(part: str, column: Floats, strength: float) -> None:
        columns.append(column)
        penalty.append(strength)
        parts.append(part)

    for bend in np.linspace(begin, begin + (history - begin) * _BENDS_UNTIL, recipe.bends + 1)[1:]:
        add(TREND, np.maximum(time - bend / YEAR, 0.0), 1.0)
    for day in range(7):
        add(WEEK, (week_day == day).astype(float), 0.01)
    if history >= LEAST_YEARS * YEAR:
        for wave in range(1, recipe.waves + 1):
            for turn in (np.sin, np.cos):
                add(YEARLY, turn(2 * np.pi * wave * year_day / YEAR), 0.05 * wave)
        for wave in (1, 2):
            for turn in (np.sin, np.cos):
                add(YEARLY, turn(2 * np.pi * wave * year_day / YEAR) * (week_day >= 5), 0.1)
    for wave in (1, 2, 3):
        for turn in (np.sin, np.cos):
            add(MONTHLY, turn(2 * np.pi * wave * month_day / MONTH), 0.05)
    for name, named in zip(calendar.names, calendar.named[:, place], strict=True):
        for shift in (-1, 0, 1):
            add(f"{EVENT}{name}", _shifted(named, shift), 0.1 if shift == 0 else 0.3)
    payday = calendar.payday[place]
    add(PAYDAY, payday, 0.01)
    add(PAYDAY, payday * (week_day >= 5), 0.05)
    return Design(np.stack(columns, axis=1), np.array(penalty), np.array(parts))


def solve(target: Floats, design: Design, horizon: int, recipe: Recipe) -> Floats:
    """Forecast [node, day ahead] of targets [node, day] without gaps: one system of equations for all nodes."""
    history = target.shape[1]
    coefficients, level = fit(target, design, recipe)
    ahead: Floats = (design.columns[history : history + horizon] @ coefficients).T + level
    return ahead


def fit(target: Floats, design: Design, recipe: Recipe) -> tuple[Floats, Floats]:
    """Coefficients [column, node] of targets [node, day] without gaps, and what the last days' error adds to each
    node's days ahead [node, 1]."""
    history = target.shape[1]
    begin = max(0, history - (recipe.days or history))
    seen = design.columns[begin:history]
    age = np.arange(len(seen))[::-1]
    weight = np.ones(len(seen)) if recipe.half_life is None else 0.5 ** (age / recipe.half_life)
    weighted = seen * weight[:, None]
    strength = recipe.ridge * weight.sum() / 100
    gram = weighted.T @ seen + np.diag(design.penalty * strength) + 1e-9 * np.eye(len(design.penalty))
    coefficients = np.linalg.solve(gram, weighted.T @ target[:, begin:].T).astype(float)
    if not recipe.recent:
        return coefficients, np.zeros((len(target), 1))
    last = slice(max(begin, history - recipe.recent), history)
    error = target[:, last] - (design.columns[last] @ coefficients).T
    return coefficients, recipe.follow * error.mean(axis=1, keepdims=True)


def _alike(calendar: Calendar) -> NDArray[np.int64]:
    """[place] the first place with the very same days: where events are everywhere, all share one design."""
    days = np.concatenate([calendar.named, calendar.payday[None]]).transpose(1, 0, 2)
    _, first, same = np.unique(days.reshape(len(days), -1), axis=0, return_index=True, return_inverse=True)
    result: NDArray[np.int64] = first[same.ravel()]
    return result


def _usual(units: Floats) -> Floats:
    """[node, day] median of the half year before the end of each four weeks, counted back from the last day."""
    days = units.shape[1]
    result = np.empty(units.shape)
    # A rolling median of each day says hardly more, and took nine tenths of the time of a forecast.
    for end in range(days, 0, -USUAL_STEP):
        known = max(end, min(USUAL_STEP, days))
        result[:, max(0, end - USUAL_STEP) : end] = np.median(
            units[:, max(0, known - USUAL_DAYS) : known], axis=1, keepdims=True
        )
    return result


def _low(units: Floats, closed: NDArray[np.bool_]) -> Floats:
    """[node] the 5 % quantile of the days that were not closed, 0 of none; nanquantile goes node by node."""
    ordered = np.where(closed, np.inf, units)
    ordered[closed.all(axis=1)] = 0.0
    ordered.sort(axis=1)
    last = np.maximum((~closed).sum(axis=1) - 1, 0)
    position = 0.05 * last
    below = position.astype(np.int64)
    node = np.arange(len(units))
    low, high = ordered[node, below], ordered[node, np.minimum(below + 1, last)]
    result: Floats = low + (position - below) * (high - low)
    return result


def _bridged(target: Floats) -> Floats:
    """Gaps are bridged by straight lines."""
    gaps = np.isnan(target).any(axis=1)
    if gaps.any():
        target = target.copy()
        target[gaps] = pd.DataFrame(target[gaps].T).interpolate(limit_direction="both").to_numpy().T
    return target


def _always_closed(
    closed: NDArray[np.bool_], place: NDArray[np.int64], calendar: Calendar, history: int
) -> NDArray[np.bool_]:
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
