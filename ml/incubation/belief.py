"""What is believed of each launch, as distributions that more evidence narrows: its rate, or its chance.

A product that sells because it was shown is no hit, so where impressions are known a launch is its orders per
impression: Beta, with the launch model's expectation as prior and its own impressions on top (the beta-binomial of
Kleinman 1973, "Proportions with extraneous variance", sec. 2). Launches are compared by what that brings, because a
blockbuster is one by GMV. When this is wrong, exposure follows whoever was shown yesterday, and shows them again
tomorrow.
"""

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import betaincc, ndtr

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

TOP = 0.1
"""GMV per impression is high when it is one of the top tenth of its category's launches."""
LEAST_LAUNCHES = 20
"""A category with fewer launches is measured by the whole shop's line: a tenth of so few says nothing."""
USUAL_ORDERS = 20.0
"""Orders of the shop's usual size that a launch's own units per order are shrunk to: one order of hundreds is luck."""
SPAN = 18 * 7
"""Days of `bestseller_gmv`."""
LEAST_DAYS = 7
"""Age from which on a launch tells how often launches are shown."""
_HALVINGS, _WIDEST = 14, np.log(1e5)
"""The line is found to a thousandth, not below a ten thousandth of the mean."""
_BETWEEN_BOUNDS = 2.563
"""Standard deviations between the 10 % and the 90 % quantile of a normal distribution."""


@dataclass(frozen=True)
class Rates:
    """Orders per impression of launches, each Beta(a, b) [launch], and `gmv_per_order` [launch]; rows without exposure
    are nan.

    `line` and `typical` are the GMV per impression from which on a launch is a bestseller to be of its category, and
    the mean there, both in orders of this very launch: a dear product needs fewer of them. `usual` is how often a day
    launches of its category are shown (median).
    """

    a: Floats
    b: Floats
    gmv_per_order: Floats
    line: Floats
    typical: Floats
    usual: Floats

    @property
    def mean(self) -> Floats:
        return self.a / (self.a + self.b)

    def of(self, rows: npt.NDArray[np.intp]) -> "Rates":
        """The rates of these rows, in their order."""
        return Rates(*(getattr(self, field.name)[rows] for field in fields(self)))

    @property
    def pull(self) -> Floats:
        """Chance [launch] that its rate is above the line. Where that is above 1, it cannot be: it is too cheap."""
        return betaincc(self.a, self.b, np.minimum(self.line, 1.0))

    def pull_after(self, orders: Floats, impressions: float) -> Floats:
        """The same after so many more impressions that bring `orders` [launch]."""
        return betaincc(self.a + orders, self.b + impressions - orders, np.minimum(self.line, 1.0))

    def worth_of_looking(self, impressions: int) -> Floats:
        """What so many more impressions are worth to the decision, in orders per impression of a graduate [launch].

        Evidence is worth something only as far as it can carry the expected rate across the line. Before the look, the
        expected rate after it is spread about the present one by s = sd * sqrt(n / (a + b + n)); a decision that may
        change at distance d gains s * L(d / s) with the unit normal loss L(u) = phi(u) - u * Phi(-u) (Raiffa &
        Schlaifer 1961, "Applied Statistical Decision Theory", sec. 5.4.2; Frazier, Powell & Dayanik 2008, "A
        knowledge-gradient policy", eq. 3.3).
        """
        known = self.a + self.b
        mean = self.mean
        spread = np.sqrt(mean * (1 - mean) / (known + 1) * impressions / (known + impressions))
        u = np.abs(mean - self.line) / spread
        loss = np.exp(-(u**2) / 2) / np.sqrt(2 * np.pi) - u * ndtr(-u)
        return spread * np.maximum(loss, 0.0)


def rates(launches: pd.DataFrame) -> Rates:
    """Rates of launches in the columns of the growth release's `scores`.

    The line of a category is where, by all that is believed of its launches together, a tenth of them are above; or
    what a bestseller sells over the impressions that a launch usually gets in as long, if that is less: what sells like
    one without being shown more than others is one. Launches of a small category are compared with all of the shop, by
    how near an order comes to what a bestseller sells.
    """
    measured = with_exposure(launches)
    if not measured.any():
        return Rates(*np.full((6, len(launches)), np.nan))
    strength = launches["rate_strength"].to_numpy(dtype=float)
    expected = launches["rate_mean"].to_numpy(dtype=float)
    orders, units, shown = (
        launches[name].to_numpy(dtype=float) for name in ("orders_so_far", "units_so_far", "impressions_so_far")
    )
    a = np.where(measured, expected * strength + orders, np.nan)
    # Orders may come by ways whose impressions nobody counts; then there are fewer misses than none.
    b = np.where(measured, (1 - expected) * strength + np.maximum(shown - orders, 0), np.nan)
    usual = np.nansum(units[measured]) / np.nansum(orders[measured]) if np.nansum(orders[measured]) > 0 else 1.0
    per_order = (units + USUAL_ORDERS * usual) / (orders + USUAL_ORDERS)
    gmv_per_order = np.where(measured, per_order * launches["gmv_per_unit"].to_numpy(dtype=float), np.nan)
    worth = np.maximum(gmv_per_order, 1e-9) / bestseller(launches)
    # Compared within its category, or with the whole shop.
    category = launches["category"].where(measured)
    group = category.where(category.groupby(category).transform("size") >= LEAST_LAUNCHES).factorize()[0]
    line, typical = np.full(len(launches), np.nan), np.full(len(launches), np.nan)
    line[measured], typical[measured] = _lines(a[measured], b[measured], worth[measured], group[measured])
    days = launches["age_days"].to_numpy(dtype=float)
    a_day = pd.Series(np.where(measured & (days >= LEAST_DAYS), shown / np.maximum(days, 1), np.nan))
    usual_shown = a_day.groupby(group).transform("median").where(group >= 0, a_day.median()).to_numpy(dtype=float)
    with np.errstate(divide="ignore"):
        line = np.fmin(line, 1 / (usual_shown * SPAN))
    return Rates(a, b, gmv_per_order, line / worth, typical / worth, usual_shown)


def _lines(a: Floats, b: Floats, worth: Floats, group: npt.NDArray[np.intp]) -> tuple[Floats, Floats]:
    """The worth of an impression that a tenth of its group exceeds, and the group's mean, [launch]; found by halving.
    Those of group -1 are compared with everybody."""
    if (group < 0).all():
        group = np.zeros_like(group)
    elif (group < 0).any():
        line, typical = _lines(a, b, worth, np.zeros_like(group))
        own = group >= 0
        line[own], typical[own] = _lines(a[own], b[own], worth[own], group[own])
        return line, typical
    size = np.bincount(group)
    typical = np.bincount(group, a / (a + b) * worth) / size
    # No more than a tenth can exceed ten times the mean (Markov).
    high = np.log(typical / TOP)
    low = high - _WIDEST
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        above = np.bincount(group, _exceeds(np.exp(middle)[group] / worth, a, b)) / size
        low, high = np.where(above > TOP, middle, low), np.where(above > TOP, high, middle)
    return np.exp(low)[group], typical[group]


def _exceeds(rate: Floats, a: Floats, b: Floats) -> Floats:
    """Chance [launch] that Beta(a, b) is above `rate`: exact for a < 2, else to less than half a percent and tenfold as
    fast (Abramowitz & Stegun 1964, "Handbook of Mathematical Functions", 26.5.22): a mean of many does not feel it."""
    rate = np.minimum(rate, 1.0)
    hit, miss = np.cbrt(b * rate), np.cbrt(a * (1 - rate))
    found: Floats = ndtr(-3 * (hit * (1 - 1 / (9 * b)) - miss * (1 - 1 / (9 * a))) / np.sqrt(hit**2 / b + miss**2 / a))
    few = a < 2
    found[few] = betaincc(a[few], b[few], rate[few])
    return found


def bestseller(launches: pd.DataFrame) -> Floats:
    """What a bestseller of its category sells in GMV within SPAN days [launch]; in too small a category, the shop's
    median."""
    line = launches["bestseller_gmv"].astype(float)
    usual = line.median() if line.notna().any() else 1.0
    return np.asarray(line.fillna(usual).clip(lower=1e-9), dtype=np.float64)


def with_exposure(launches: pd.DataFrame) -> Bools:
    """Which launches are measured per impression [launch]; the others by units and buyers."""
    found: Bools = (launches["evidence"] == "exposure").to_numpy(dtype=bool)
    return found


def chances(launches: pd.DataFrame) -> tuple[Floats, Floats]:
    """a, b [launch] of the Beta distribution with the launch model's chance as mean and the width of its bounds."""
    mean = np.clip(launches["probability"].to_numpy(dtype=float), 1e-4, 1 - 1e-4)
    width = (launches["probability_high"] - launches["probability_low"]).to_numpy(dtype=float) / _BETWEEN_BOUNDS
    weight = np.clip(mean * (1 - mean) / np.maximum(width, 1e-3) ** 2 - 1, 2, 5000)
    return mean * weight, (1 - mean) * weight


def demands(launches: pd.DataFrame) -> tuple[Floats, Floats]:
    """Mean and standard deviation [launch] of the logarithm of units at maturity, from the quantiles of the model."""
    low, middle, high = (launches[f"demand_{q}"].to_numpy(dtype=float) for q in ("q10", "q50", "q90"))
    return np.log(middle + 1), np.maximum(np.log((high + 1) / (low + 1)), 1e-3) / _BETWEEN_BOUNDS
