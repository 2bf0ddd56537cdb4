"""What can be known of a product's part in a season at an origin, and nothing that came later.

All signals are money of the whole season: what the product would bring if it went on as in one stretch of its past.
A signal that reads a week at or after the origin would make every back-test of an assortment a lie.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ml.forecasting.data import Floats

YEAR = 52
LEAST_OF_LAST_YEAR = 3
"""Weeks of last year's season that must be known before it says anything of its kind of products."""
WINDOWS = (4, 8, 13, 26, 52)
STEADY = (4, 13, 52)
MOST_TIMES_USUAL = 3.0
"""A week above this many times a product's usual selling week is cut to it: one great order is no season."""
LEAST_WEEKS_ON_SALE = 8
"""Weeks a rate since the first sale is taken over at least; three good days are no rate."""
QUARTER = 13


@dataclass(frozen=True)
class Ahead:
    """Which weeks after an origin the season is: `days[n]` of 7 of the (n+1)th week ahead lie in it."""

    days: tuple[int, ...]

    @property
    def weights(self) -> Floats:
        """Share of each week ahead that is the season's, [week ahead]."""
        return np.array(self.days, dtype=float) / 7

    @property
    def weeks(self) -> float:
        """Length of the season in weeks."""
        return sum(self.days) / 7

    def within(self, horizon: int) -> "Ahead":
        """The same season moved nearer (and, where that is not enough, cut) until `horizon` weeks reach its end."""
        if len(self.days) <= horizon:
            return self
        first = next(n for n, days in enumerate(self.days) if days)
        return Ahead(self.days[min(first, len(self.days) - horizon) :][-horizon:])


@dataclass(frozen=True)
class Look:
    """What an origin shows of each product, all relative to the mean product.

    `levels`, [product, signal], are money of the season; `shape` has columns for the trees alone; `last_year` says
    whether any of the season's weeks of a year before is known; `alive` which products sold within a year.
    """

    levels: pd.DataFrame
    shape: pd.DataFrame
    last_year: bool
    alive: np.ndarray


def sold(money: Floats, origin: int, ahead: Ahead) -> Floats:
    """Money of the season that began to be counted at `origin`, [product]; weeks past the end of `money` are none."""
    weights = ahead.weights[: money.shape[1] - origin]
    return np.nan_to_num(money[:, origin : origin + len(weights)]) @ weights


def year_before(money: Floats, origin: int, ahead: Ahead) -> tuple[Floats, float]:
    """Money of the same weeks a year before as far as they are known, [product], and how many weeks those are."""
    weeks = np.arange(origin - YEAR, origin - YEAR + len(ahead.days))
    known = (weeks >= 0) & (weeks < origin)
    weights = ahead.weights[known]
    return np.nan_to_num(money[:, weeks[known]]) @ weights, float(weights.sum())


def look(money: Floats, origin: int, ahead: Ahead) -> Look:
    """`money` is [product, week], NaN before a product was on offer; only its first `origin` weeks are read."""
    past = money[:, :origin]
    known = np.nan_to_num(past)
    levels = {f"last{n}": known[:, -n:].sum(axis=1) * ahead.weeks / n for n in WINDOWS}
    total = max(levels[f"last{QUARTER}"].mean(), 1e-9)
    steady = _without_great_weeks(known[:, -YEAR:])
    levels |= {f"steady{n}": steady[:, -n:].sum(axis=1) for n in STEADY}
    on_sale = known > 0
    ever = on_sale.any(axis=1)
    age = np.where(ever, origin - np.argmax(on_sale, axis=1), 1)
    levels["rate"] = known[:, -YEAR:].sum(axis=1) / np.clip(age, LEAST_WEEKS_ON_SALE, YEAR)
    before, weeks = year_before(money, origin, ahead)
    if weeks:
        levels["last_year"] = before * ahead.weeks / weeks
    relative = {
        name: values / total if name.startswith("last") else values / max(values.mean(), 1e-9)
        for name, values in levels.items()
    }
    logs = {name: np.log1p(values) for name, values in relative.items()}
    shape = {
        "age": np.minimum(age, YEAR + LEAST_WEEKS_ON_SALE).astype(float),
        "weeks_sold_13": on_sale[:, -QUARTER:].mean(axis=1),
        "weeks_sold_52": on_sale[:, -YEAR:].mean(axis=1),
        "trend": logs["last4"] - logs["last13"],
        "of_year": logs["last13"] - logs["last52"],
        "greatest_week": np.log1p(known[:, -QUARTER:].max(axis=1) * ahead.weeks / total),
    }
    if origin >= YEAR + QUARTER:
        then = known[:, origin - YEAR - QUARTER : origin - YEAR].sum(axis=1) * ahead.weeks / QUARTER / total
        shape["quarter_a_year_ago"] = np.log1p(then)
        shape["season_a_year_ago"] = logs["last_year"] - shape["quarter_a_year_ago"]
    if origin >= 2 * YEAR:
        earlier, weeks_then = year_before(past[:, : origin - YEAR], origin - YEAR, ahead)
        if weeks_then:
            shape["two_years_ago"] = np.log1p(earlier * ahead.weeks / weeks_then / total)
    return Look(
        pd.DataFrame(relative),
        pd.DataFrame(logs | shape),
        weeks > 0,
        relative["last52"] > 0,
    )


def _without_great_weeks(known: Floats) -> Floats:
    selling = known > 0
    weeks = selling.sum(axis=1)
    mean = known.sum(axis=1) / np.maximum(weeks, 1)
    middle = np.zeros(len(known))
    if selling.any():
        with_sales = weeks > 0
        middle[with_sales] = np.nanmedian(np.where(selling, known, np.nan)[with_sales], axis=1)
    result: Floats = np.minimum(known, MOST_TIMES_USUAL * np.minimum(mean, 2 * middle)[:, None])
    return result
