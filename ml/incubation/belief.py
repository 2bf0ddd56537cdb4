"""What is believed of each launch, as distributions that more evidence narrows: its rate, or its chance.

A product that sells because it was shown is no hit, so where impressions are known a launch is its orders per
impression: Beta, with the launch model's expectation as prior and its own impressions on top (the beta-binomial of
Kleinman 1973, "Proportions with extraneous variance", sec. 2). When this is wrong, exposure follows whoever was shown
yesterday, and shows them again tomorrow.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import betainc, betaincinv, ndtr

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

TOP = 0.1
"""A rate is high when it is one of the top tenth of its category's launches."""
LEAST_LAUNCHES = 20
"""A category with fewer launches is measured by the whole shop's line: a tenth of so few says nothing."""
_BETWEEN_BOUNDS = 2.563
"""Standard deviations between the 10 % and the 90 % quantile of a normal distribution."""


@dataclass(frozen=True)
class Rates:
    """Orders per impression of launches, each Beta(a, b) [launch]; rows without exposure are nan.

    `line` is the rate from which on a launch is in the top tenth of its category, `typical` the mean rate there.
    """

    a: Floats
    b: Floats
    line: Floats
    typical: Floats

    @property
    def mean(self) -> Floats:
        return self.a / (self.a + self.b)

    def of(self, rows: npt.NDArray[np.intp]) -> "Rates":
        """The rates of these rows, in their order."""
        return Rates(self.a[rows], self.b[rows], self.line[rows], self.typical[rows])

    @property
    def pull(self) -> Floats:
        """Chance [launch] that its rate is above the line."""
        return 1 - betainc(self.a, self.b, self.line)

    def pull_after(self, orders: Floats, impressions: float) -> Floats:
        """The same after so many more impressions that bring `orders` [launch]."""
        return 1 - betainc(self.a + orders, self.b + impressions - orders, self.line)

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

    The line of a category is the upper tenth of the Beta distribution that has the mean and the variance of all its
    launches' distributions together.
    """
    measured = with_exposure(launches)
    strength = launches["rate_strength"].to_numpy(dtype=float)
    expected = launches["rate_mean"].to_numpy(dtype=float)
    orders = launches["orders_so_far"].to_numpy(dtype=float)
    shown = launches["impressions_so_far"].to_numpy(dtype=float)
    a = np.where(measured, expected * strength + orders, np.nan)
    # Orders may come by ways whose impressions nobody counts; then there are fewer misses than none.
    b = np.where(measured, (1 - expected) * strength + np.maximum(shown - orders, 0), np.nan)
    mean = a / (a + b)
    rows = pd.DataFrame({"category": launches["category"].to_numpy(), "mean": mean})
    rows["square"] = mean * (1 - mean) / (a + b + 1) + mean**2
    found = rows[measured]
    by_category = found.groupby("category")[["mean", "square"]].mean()
    by_category = by_category[found.groupby("category").size() >= LEAST_LAUNCHES]
    everywhere = found[["mean", "square"]].mean()
    of = by_category.reindex(rows["category"])
    typical = of["mean"].fillna(everywhere["mean"]).to_numpy(dtype=float)
    square = of["square"].fillna(everywhere["square"]).to_numpy(dtype=float)
    weight = typical * (1 - typical) / np.maximum(square - typical**2, 1e-12) - 1
    line = betaincinv(typical * weight, (1 - typical) * weight, 1 - TOP)
    return Rates(a, b, line, typical)


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
