"""What a tree may know of a series standing at an origin, and of the day it is asked about.

Everything is relative to what the series sells now, so that one model serves a bestseller and a straggler, and
nothing after the origin is read but the calendar and prices announced by then.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.forecasting.censoring import Mask
from ml.forecasting.daily.calendar import Calendar
from ml.forecasting.daily.panel import PriceList

Floats = NDArray[Any]
Ints = NDArray[np.int64]

YEAR = 364
"""Days back to the same weekday of last year."""
MEANS = (7, 14, 28, 56, 91, 182, 364)
WEEKDAYS = (1, 2, 4, 8, 26)
MOST_CODES = 250
"""Codes of a category a tree can tell apart; rarer ones share the last."""
IDLE_DAYS = 120
STEADY = 0.05
"""Squared coefficient of variation below which all series are as good to learn from as each other."""


@dataclass(frozen=True)
class Series:
    """Series to learn from or to forecast: `units` [series, day], NaN before they began.

    `group_sums` is [group, day + 1] units before each day of the groups whose season they are read from, `group` each
    series' own; `product_sums` and `product` likewise of products over all regions, None without any. `codes` are
    categories by name. `place` is the series' row of the calendar, whose days reach past the history; `listed` its row
    of the price list. `out` says which days ended out of stock and teach nothing, None where none did.
    """

    units: Floats
    first_day: Ints
    group: Ints
    group_sums: Floats
    codes: Mapping[str, Ints]
    place: Ints
    calendar: Calendar
    product: Ints | None = None
    product_sums: Floats | None = None
    prices: PriceList | None = None
    listed: Ints | None = None
    out: Mask | None = None

    def only(self, which: Ints) -> "Series":
        """These series alone; groups and products stay sums over all."""
        if len(which) == len(self.units):
            return self
        return replace(
            self,
            units=self.units[which],
            first_day=self.first_day[which],
            group=self.group[which],
            codes={name: codes[which] for name, codes in self.codes.items()},
            place=self.place[which],
            product=None if self.product is None else self.product[which],
            listed=None if self.listed is None else self.listed[which],
            out=None if self.out is None else self.out[which],
        )

    @cached_property
    def sums(self) -> Floats:
        """[series, day + 1] units before each day."""
        return cumulated(np.nan_to_num(self.units))

    @cached_property
    def squares(self) -> Floats:
        return cumulated(np.nan_to_num(self.units).astype(float) ** 2)

    @cached_property
    def selling(self) -> NDArray[np.int32]:
        """[series, day + 1] days with a sale before each day."""
        return _counted(np.nan_to_num(self.units) > 0)

    @cached_property
    def without_stock(self) -> NDArray[np.int32] | None:
        """[series, day + 1] days that ended out of stock before each day."""
        return None if self.out is None else _counted(self.out)

    def known(self, day: int | Ints) -> Ints:
        """Days on offer before `day`, [series]."""
        return np.maximum(day - self.first_day, 0)


class State:
    """What is known of every series once `origin` days have passed."""

    def __init__(self, series: Series, origin: int) -> None:
        self.series, self.origin = series, origin
        known = {days: np.minimum(series.known(origin), days) for days in MEANS}
        sold = {days: _window(series.sums, origin, days) for days in MEANS}
        # The mean of four weeks, drawn by one week's weight towards that of a quarter.
        usual = sold[91] / np.maximum(known[91], 1)
        self.scale = np.maximum((sold[28] + 7 * usual + 0.02) / (known[28] + 7), 0.02)
        scale = self.scale
        columns: dict[str, Floats] = dict(series.codes)
        for days in MEANS:
            columns[f"mean_{days}"] = _share(sold[days], known[days]) / scale
        for days in (28, 91):
            count = np.maximum(known[days], 1)
            variance = _window(series.squares, origin, days) / count - (sold[days] / count) ** 2
            columns[f"deviation_{days}"] = np.sqrt(np.maximum(variance, 0)) / scale
        for days in (7, 28, 91):
            columns[f"zero_{days}"] = 1 - _share(_window(series.selling, origin, days), known[days])
        columns["known"] = np.minimum(series.known(origin), 800)
        columns["idle"] = self._idle()
        if series.without_stock is not None:
            columns["out_28"] = _share(_window(series.without_stock, origin, 28), known[28])
        for lag in (1, 2, 3):
            columns[f"lag_{lag}"] = series.units[:, origin - lag] / scale
        columns["log_scale"] = np.log(scale)
        group = series.group_sums
        four, quarter = _mean(group, origin, 28), _mean(group, origin, 91)
        columns["group_trend"] = (four / np.maximum(quarter, 1e-3))[series.group]
        columns["group_week"] = (_mean(group, origin, 7) / np.maximum(four, 1e-3))[series.group]
        if origin >= YEAR + 28:
            columns["group_year"] = (four / np.maximum(_mean(group, origin - YEAR, 28), 1e-3))[series.group]
        else:
            columns["group_year"] = np.full(len(scale), np.nan)
        if series.product_sums is not None and series.product is not None:
            now = _mean(series.product_sums, origin, 28)
            before = _mean(series.product_sums, origin, 91)
            columns["product_share"] = scale / np.maximum(now[series.product], 1e-3)
            columns["product_trend"] = (now / np.maximum(before, 1e-3))[series.product]
        if series.prices is not None and series.listed is not None:
            self.price = series.prices.at(series.listed, np.full(len(scale), origin - 1), origin)
            weeks = [np.full(len(scale), max(origin - 1 - 7 * week, 0)) for week in range(52)]
            past = np.stack([series.prices.at(series.listed, day, origin) for day in weeks])
            # Not nanmean: series without a price have none, and its warning cannot be silenced in a thread alone.
            self.mean_price = _known_mean(past, axis=0)
            self.top_price = np.where(
                np.isfinite(self.mean_price), np.where(np.isfinite(past), past, 0).max(axis=0), np.nan
            )
            columns["log_price"] = np.log(np.maximum(self.price, 0.01))
            columns["price_now"] = self.price / self.mean_price
            columns["cents"] = np.round(self.price * 100) % 100
        self.columns = columns
        recent = series.units[:, max(0, origin - 7 * max(WEEKDAYS)) : origin]
        short = -recent.shape[1] % 7
        padded = np.pad(recent, ((0, 0), (short, 0)), constant_values=np.nan).reshape(len(scale), -1, 7)
        self.weekdays = {weeks: _known_mean(padded[:, -weeks:], axis=1) / scale[:, None] for weeks in WEEKDAYS}

    def rows(self, which: Ints, ahead: Ints) -> tuple[Floats, list[str]]:
        """[row, feature] of series `which`, `ahead` days after the origin (1: the first one), and their names."""
        series, origin, calendar = self.series, self.origin, self.series.calendar
        day = origin + ahead - 1
        place = series.place[which]
        columns: dict[str, Floats] = {name: column[which] for name, column in self.columns.items()}
        columns["ahead"] = ahead
        columns["weekday"] = calendar.days.dayofweek.to_numpy()[day]
        columns["month_day"] = calendar.days.day.to_numpy()[day]
        # Numbers of events begin at 1: 0 is a day like any other.
        columns["event"] = calendar.code[place, day] + 1
        columns["event_after"] = calendar.code[place, np.minimum(day + 1, len(calendar.days) - 1)] + 1
        columns["event_before"] = calendar.code[place, np.maximum(day - 1, 0)] + 1
        columns["until_event"] = calendar.until[place, day]
        columns["since_event"] = calendar.since[place, day]
        columns["payday"] = calendar.payday[place, day]
        for weeks, means in self.weekdays.items():
            columns[f"weekday_{weeks}"] = means[which, (ahead - 1) % 7]
        for half in (3, 14):
            begin, end = np.clip(day - YEAR - half, 0, origin), np.clip(day - YEAR + half + 1, 0, origin)
            count = np.maximum(end - np.maximum(begin, series.first_day[which]), 0)
            sold = series.sums[which, end] - series.sums[which, begin]
            columns[f"year_ago_{half}"] = _share(sold, count) / self.scale[which]
        for years in (1, 2):
            columns |= self._season(series.group[which], day, years)
        if series.prices is not None and series.listed is not None:
            price = series.prices.at(series.listed[which], day, origin)
            price = np.where(np.isfinite(price), price, self.price[which])
            columns["price_to_mean"] = price / self.mean_price[which]
            columns["price_to_top"] = price / self.top_price[which]
            columns["price_change"] = price / self.price[which]
        return np.stack([np.asarray(column, dtype=np.float32) for column in columns.values()], axis=1), list(columns)

    def steadiness(self) -> Floats:
        """One over the squared coefficient of variation of each series' last quarter, with a floor; 0 where it sold
        nothing: what comes next is then a jump from nothing."""
        jumps = np.maximum(self.columns["deviation_28"], self.columns["deviation_91"]) ** 2
        return np.where(np.nan_to_num(self.columns["mean_91"]) > 0, 1 / (STEADY + jumps), 0.0)

    def _season(self, group: Ints, day: Ints, years: int) -> dict[str, Floats]:
        """How the group sold around the day one or two years ago, relative to how it sold at the origin's date then."""
        origin, sums = self.origin - YEAR * years, self.series.group_sums
        names = [f"season_{years}_{name}" for name in ("day", "week", "month")]
        if origin < 28:
            return {name: np.full(len(day), np.nan) for name in names}
        base = np.maximum((sums[group, origin] - sums[group, origin - 28]) / 28, 1e-3)
        result = {}
        for name, half in zip(names, (0, 3, 14), strict=True):
            begin = day - YEAR * years - half
            end = np.minimum(day - YEAR * years + half + 1, self.origin)
            result[name] = (sums[group, end] - sums[group, begin]) / (end - begin) / base
        return result

    def _idle(self) -> Floats:
        """Days since the last sale, IDLE_DAYS at most."""
        recent = np.nan_to_num(self.series.units[:, max(0, self.origin - IDLE_DAYS) : self.origin])[:, ::-1] > 0
        return np.where(recent.any(axis=1), recent.argmax(axis=1), IDLE_DAYS).astype(float)


CATEGORIES = ("weekday", "event", "event_after", "event_before")
"""Features that name something, beside the codes of the series."""


def ranked(codes: Ints) -> Ints:
    """Codes a tree can tell apart, the commonest first; those beyond MOST_CODES share the last."""
    order = np.argsort(-np.bincount(codes), kind="stable")
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return np.minimum(rank[codes], MOST_CODES)


def cumulated(values: Floats) -> Floats:
    """[row, day + 1] sums before each day."""
    result = np.zeros((values.shape[0], values.shape[1] + 1))
    np.cumsum(values, axis=1, out=result[:, 1:])
    return result


def _counted(values: NDArray[np.bool_]) -> NDArray[np.int32]:
    result = np.zeros((values.shape[0], values.shape[1] + 1), dtype=np.int32)
    np.cumsum(values, axis=1, out=result[:, 1:])
    return result


def _window(sums: Floats, origin: int, days: int) -> Floats:
    result: Floats = sums[:, origin] - sums[:, max(0, origin - days)]
    return result


def _mean(sums: Floats, origin: int, days: int) -> Floats:
    return _window(sums, origin, days) / min(days, origin)


def _share(part: Floats, whole: Floats) -> Floats:
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)


def _known_mean(values: Floats, axis: int) -> Floats:
    """Mean over an axis of what is a number; NaN where nothing is."""
    known = np.isfinite(values)
    count = known.sum(axis=axis)
    return _share(np.where(known, values, 0.0).sum(axis=axis), count)
