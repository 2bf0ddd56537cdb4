"""What a season's demand may turn out to be: each line's distribution, and seasons in which all lines are drawn.

Depth is cut from the first, the plan's interval from the second. When the first is wrong, shelves are empty or full of
what nobody wants; when the second is, a plan is said to be surer than its products' common errors let it be.

A line's quantile function is straight between the quantiles the forecast knows, so that a depth asked for at one of
them is that very number. Above the last it is exponential, with the mean it takes for the whole to have the forecast's
mean: a fitted negative binomial would have that mean too, and would move the quantiles that were calibrated.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

Floats = NDArray[np.float64]

KNOWN = (0.1, 0.5, 0.8, 0.9)
"""Levels of the quantiles a forecast of the season gives."""
_GRID = (np.arange(400) + 0.5) / 400
_SPREAD = float(ndtri(KNOWN[-1]) - ndtri(KNOWN[0]))
_LEFT = 1 - KNOWN[-1]


@dataclass(frozen=True)
class Demand:
    """Units of the season of n lines: `knots` [n, 5] at the levels 0 and KNOWN, and the mean excess over the last,
    `tail` [n]."""

    knots: Floats
    tail: Floats

    @classmethod
    def of(cls, mean: Floats, quantiles: Floats) -> Self:
        """From means [n] and quantiles at KNOWN [n, 4]. Where no tail gives that mean, because the quantiles alone lie
        above it, they stand and the mean gives way."""
        rising = np.maximum.accumulate(np.maximum(quantiles, 0), axis=1)
        # Nothing is known below the lowest quantile but that demand is not negative.
        knots = np.column_stack([rising[:, 0] / 2, rising])
        body = (np.diff((0.0, *KNOWN)) * (knots[:, 1:] + knots[:, :-1]) / 2).sum(axis=1)
        return cls(knots, np.maximum((mean - body) / _LEFT - knots[:, -1], 0.0))

    def at(self, level: Floats) -> Floats:
        """Quantiles at `level` [n] or [n, m], from 0 to less than 1; the same shape."""
        asked = level.reshape(len(self.knots), -1)
        levels = (0.0, *KNOWN)
        found = self.knots[:, :1] + np.zeros_like(asked)
        for i in range(len(KNOWN)):
            part = np.clip((asked - levels[i]) / (levels[i + 1] - levels[i]), 0, 1)
            found += part * (self.knots[:, i + 1] - self.knots[:, i])[:, None]
        found += self.tail[:, None] * np.log(_LEFT / np.minimum(1 - asked, _LEFT))
        return found.reshape(level.shape)

    def exceeds(self, units: Floats) -> Floats:
        """Chance that demand is more than `units` [n], [n]."""
        levels = (0.0, *KNOWN)
        below = np.zeros(len(units))
        for i in range(len(KNOWN)):
            low, high = self.knots[:, i], self.knots[:, i + 1]
            part = np.where(high > low, (units - low) / np.where(high > low, high - low, 1.0), units >= high)
            below += np.clip(part, 0, 1) * (levels[i + 1] - levels[i])
        over = np.maximum(units - self.knots[:, -1], 0)
        beyond = np.where(self.tail > 0, np.exp(-over / np.where(self.tail > 0, self.tail, 1.0)), 0.0)
        return np.where(units >= self.knots[:, -1], _LEFT * beyond, 1 - below)

    @property
    def mean(self) -> Floats:
        """[n]"""
        body = (np.diff((0.0, *KNOWN)) * (self.knots[:, 1:] + self.knots[:, :-1]) / 2).sum(axis=1)
        return body + _LEFT * (self.knots[:, -1] + self.tail)

    def sales(self, depth: Floats) -> Floats:
        """Units expected to be sold from `depth` [n] units each, [n]."""
        found = np.zeros(len(depth))
        for begin in range(0, len(depth), 10_000):
            part = slice(begin, begin + 10_000)
            some = Demand(self.knots[part], self.tail[part])
            drawn = some.at(np.tile(_GRID, (len(some.tail), 1)))
            # The grid's mean falls short of the tail's by a little, which a fill rate should not.
            scale = some.mean / np.maximum(drawn.mean(axis=1), 1e-12)
            found[part] = np.minimum(drawn * scale[:, None], depth[part, None]).mean(axis=1)
        return found


@dataclass(frozen=True)
class Errors:
    """How far forecasts of a season are off together: standard deviations of log(sold / forecast) of the whole shop
    and, beside that, of one region and category."""

    shop: float = 0.0
    cell: float = 0.0


def total_interval(
    demand: Demand, worth: Floats, cells: Sequence[str], lines: Sequence[str], errors: Errors, draws: int = 500
) -> tuple[float, float]:
    """10 % and 90 % quantile of the money all lines bring together; `worth` [n] is that of a unit, `cells` and `lines`
    [n] are their names.

    Each line keeps its own distribution; its rank in a season is made of one draw for the shop, one for its cell and
    one of its own (a Gaussian copula), the first two with the share of its spread that `errors` say. Draws are seeded
    by name: the same line meets the same seasons in every plan, so that two plans differ by their choices alone.
    """
    if not len(worth):
        return 0.0, 0.0
    # Relative to the mean a line's spread is never less than what it shares with all others.
    spread = (demand.knots[:, -1] - demand.knots[:, 1]) / _SPREAD / np.maximum(demand.mean, 1e-12)
    spread = np.maximum(spread, np.hypot(errors.shop, errors.cell))
    of_shop, of_cell = (
        np.divide(e, spread, out=np.zeros(len(spread)), where=spread > 0) for e in vars(errors).values()
    )
    own = np.sqrt(np.maximum(1 - of_shop**2 - of_cell**2, 0))
    shop = _normal("shop", draws)
    total = np.zeros(draws)
    names = np.asarray(cells)
    for cell in dict.fromkeys(cells):
        rows = np.flatnonzero(names == cell)
        common = _normal(cell, draws)
        drawn = np.array([_normal(lines[i], draws) for i in rows.tolist()])
        mixed = of_shop[rows, None] * shop + of_cell[rows, None] * common + own[rows, None] * drawn
        total += worth[rows] @ Demand(demand.knots[rows], demand.tail[rows]).at(np.minimum(ndtr(mixed), 1 - 1e-9))
    low, high = np.quantile(total, [KNOWN[0], KNOWN[-1]])
    return float(low), float(high)


def _normal(name: str, draws: int) -> Floats:
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8])
    return np.random.default_rng(seed).standard_normal(draws)
