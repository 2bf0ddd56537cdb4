"""Which products of a cell to show: the set worth most when what is left out sends some of its buyers to what is shown.

Everything here is arithmetic on arrays; what the numbers mean is said in decide.py. When it is wrong, the plan is not
the best that its own forecasts allow, or says it is proven best when it is not.

With shares w_j of the cell's forecast units, money m_j (at those units), I = sum of w and R = sum of m over a set, the
set is worth R * lift(I) less a handling cost for each product (choice.Substitution). 1 / lift is concave in I for a
nested logit, so sets worth less than any given value lie below a concave curve in the plane (I, R): the best set is a
corner of the convex hull of all of them, and so maximises R - lambda I for some lambda >= 0. Each such linear problem
is a ranking where only slots bind (as in Rusmevichientong, Shen & Shmoys 2010, "Dynamic assortment optimization with a
multinomial logit choice model and capacity constraint") and a small integer programme where other rules do. The lines
R - lambda I <= best known close in on the hull from outside (Eisner & Severance 1976, "Mathematical techniques for
efficient record segmentation in large shared databases"), so what is left between them and the best set found is a
proven gap.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from ml.assortment.choice import Substitution

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

SECONDS = 10.0
"""Time for one cell. What is not proven by then is told as a gap."""
MOST_EXACT = 20_000
"""Candidates of a cell with side rules up to which integer programmes are solved; beyond, greedy choice and swaps
beside the bound of the linear relaxation."""
RANKING, PROGRAMME, GREEDY = "ranking", "integer programme", "greedy choice and swaps"
# HiGHS' default stops at a gap of 1e-4; a plan should not depend on where it stopped.
_RELATIVE_GAP = 1e-9
_PROVEN = {RANKING: 1e-12, PROGRAMME: 1e-6, GREEDY: 1e-4}
# Where each product costs handling and other rules bind, how many are best is told no more exactly than this.
_OF_COUNT = {RANKING: 0.0, PROGRAMME: 1e-3, GREEDY: 1e-3}
_MOST_QUERIES = {RANKING: 10_000, PROGRAMME: 1_000, GREEDY: 20}
_MOST_SWAPS = 50


@dataclass(frozen=True)
class Limit:
    """A rule: `low <= weights @ chosen <= high`, weights [n]."""

    rule: str
    weights: Floats
    low: float
    high: float


@dataclass(frozen=True)
class Cell:
    """What is chosen from, [n] each, in the order in which ties are decided. `units` are the forecast with everything
    on show (at least 0), `money` what these bring in all; money of a product may be negative. `others` are the units of
    products that cannot be chosen but were on show when the forecast was made. `fill`: as many are shown as may be of
    those that bring money at all, though one takes more from the others than it brings; needs `handling` 0."""

    money: Floats
    units: Floats
    substitution: Substitution
    handling: float = 0.0
    others: float = 0.0
    fill: bool = False

    def worth(self, chosen: Bools) -> float:
        """Money of the season when exactly `chosen` [n] are on show, less their handling."""
        return float(self.demanded(chosen) @ self.money - self.handling * chosen.sum())

    def demanded(self, chosen: Bools) -> Floats:
        """How many times its forecast each product sells, [n]; 0 where it is not on show."""
        share = float(self.share @ chosen)
        if share == 0:
            return np.where(chosen, 1.0, 0.0)
        return np.where(chosen, float(self.substitution.lift(min(share, 1.0))), 0.0)

    @cached_property
    def share(self) -> Floats:
        """Of the cell's forecast units, [n]."""
        total = float(self.units.sum()) + self.others
        return self.units / total if total else np.zeros_like(self.units)

    def price(self, chosen: Bools) -> float:
        """What one more share of the cell's forecast units on show takes from `chosen`: lambda at that set. A product
        outside is worth showing, to first order, when its money exceeds this times its share, and its handling."""
        share, money = float(self.share @ chosen), float(self.money @ chosen)
        if share <= 0 or money <= 0:
            return 0.0
        rho, theta = self.substitution.buy_probability, self.substitution.dissimilarity
        slope = (1 - rho) * (1 - theta) * share**-theta + rho
        return money * float(self.substitution.lift(min(share, 1.0))) * slope


@dataclass(frozen=True)
class Optimum:
    """`chosen` [n], what it is worth, and `bound`: no set that keeps the limits is worth more."""

    chosen: Bools
    value: float
    bound: float
    how: str

    @property
    def gap(self) -> float:
        """Share of its value by which the choice may at most fall short; 0 when it is proven best."""
        missing = self.bound - self.value
        return 0.0 if missing <= 2 * _PROVEN[self.how] * abs(self.bound) else missing / max(abs(self.value), 1e-12)


def keeps(chosen: Bools, limits: Sequence[Limit]) -> bool:
    return all(lim.low - 1e-9 <= lim.weights @ chosen <= lim.high + 1e-9 for lim in limits)


def feasible(limits: Sequence[Limit], n: int) -> bool | None:
    """Whether any set keeps all limits; None where that could not be told in time."""
    result = _solve(np.zeros(n), _rows(limits), SECONDS, integral=True)
    return True if result.x is not None else False if result.status == 2 else None


def _most(wanted: Floats, limits: Sequence[Limit]) -> int:
    """How many of the products `wanted` [n] a set that keeps the limits may have; 0 where that cannot be told."""
    result = _solve(wanted, _rows(limits), SECONDS, integral=True)
    return 0 if result.x is None else round(float(wanted @ result.x))


def _rows(limits: Sequence[Limit]) -> LinearConstraint:
    weights = csr_array(np.array([lim.weights for lim in limits]))
    return LinearConstraint(weights, [lim.low for lim in limits], [lim.high for lim in limits])


def optimise(
    cell: Cell,
    slots: int,
    limits: Sequence[Limit] = (),
    start: Bools | None = None,
    seconds: float = SECONDS,
    most_exact: int = MOST_EXACT,
) -> Optimum | None:
    """The set of at most `slots` products that keeps `limits` and is worth most; None where none was found.

    `start` [n] is a choice to begin with, used where it keeps the limits. Of sets worth the same, products that come
    first are taken. Proven best (gap 0) unless `seconds` pass, or a cell in which other limits than slots bind has more
    than `most_exact` candidates.
    """
    deadline = time.monotonic() + seconds

    def ranked(k: int) -> Optimum | None:
        return _search(cell, _ranking(cell, k), RANKING, 0.0, deadline)

    def programmed(k: int) -> Optimum | None:
        rows = [*limits, Limit("slots", np.ones(len(cell.money)), 0, k)]
        if cell.fill:
            earning = (cell.money > 0).astype(float)
            rows.append(Limit("fill", earning, _most(earning, rows), np.inf))
        exact = len(cell.money) <= most_exact
        first, begin = ranked(k), start
        if begin is not None and not keeps(begin, rows):
            begin = None
        price = cell.price(first.chosen) if first else 0.0
        query = _programme(cell, rows, deadline, exact)
        return _search(cell, query, PROGRAMME if exact else GREEDY, price, deadline, begin)

    free = _best_count(cell, slots, deadline, ranked, lambda k: None, slots)
    if free is not None and keeps(free.chosen, limits):
        return free
    found = _best_count(cell, slots, deadline, programmed, ranked, int(free.chosen.sum()) if free else slots)
    if found is None or free is None:
        return found
    return Optimum(found.chosen, found.value, max(found.value, min(found.bound, free.bound)), found.how)


def _best_count(
    cell: Cell,
    slots: int,
    deadline: float,
    solve: Callable[[int], Optimum | None],
    free: Callable[[int], Optimum | None],
    begin: int,
) -> Optimum | None:
    """Best over how many products are shown. `solve(k)` gives the best of at most k before handling, `free(k)` what it
    does not exceed, at once.

    Without a handling cost the most that may be are allowed. With one, spans of counts are halved, from `begin` on,
    until none can hold anything better by more than is told: from a to b products are worth at most what b are before
    handling, less the handling of a.
    """
    if not cell.handling:
        return solve(slots)
    best: Optimum | None = None
    slots = min(slots, len(cell.money))
    bound, spans = -np.inf, [(begin + 1, slots, np.inf), (0, min(begin, slots), np.inf)]
    while spans:
        low, high, most = spans.pop()
        if low > high:
            continue
        relaxed = free(high)
        most = min(most, relaxed.bound if relaxed else np.inf)
        if best is not None:
            enough = best.value + max(_PROVEN[best.how], _OF_COUNT[best.how]) * abs(best.value)
            if most - cell.handling * low <= enough or time.monotonic() > deadline:
                bound = max(bound, most - cell.handling * low)
                continue
        found = solve(high)
        if found is None:
            continue
        net = found.value - cell.handling * found.chosen.sum()
        if best is None or net > best.value + 1e-12 * abs(best.value):
            best = Optimum(found.chosen, float(net), float(net), found.how)
        most = min(most, found.bound)
        if low < high:
            middle = (low + high) // 2
            spans += [(low, middle, most), (middle + 1, high, most)]
        else:
            bound = max(bound, most - cell.handling * low)
    return None if best is None else Optimum(best.chosen, best.value, max(best.value, bound), best.how)


_Answer = tuple[Bools | None, float]
"""A set that (nearly) maximises R - lambda I, None where none was found, and what no set exceeds; -inf where there is
none that keeps the limits."""


def _ranking(cell: Cell, slots: int) -> Callable[[float], _Answer]:
    share = cell.share

    def query(price: float) -> _Answer:
        score = cell.money - price * share
        wanted = cell.money > 0 if cell.fill else score > 0
        order = np.argsort(np.where(wanted, -score, np.inf), kind="stable")[:slots]
        chosen = np.zeros(len(score), dtype=bool)
        chosen[order[wanted[order]]] = True
        return chosen, float(score @ chosen)

    return query


def _programme(cell: Cell, limits: Sequence[Limit], deadline: float, integral: bool) -> Callable[[float], _Answer]:
    share = cell.share
    weights = np.array([lim.weights for lim in limits])
    low, high = np.array([lim.low for lim in limits]), np.array([lim.high for lim in limits])
    # Of products no limit tells apart, no more need be looked at than the narrowest of their limits lets in.
    _, alike = np.unique(weights, axis=1, return_inverse=True)
    room = np.maximum(np.where(weights > 0, high[:, None] / np.maximum(weights, 1e-12), np.inf).min(axis=0), 1)

    def query(price: float) -> _Answer:
        score = cell.money - price * share
        order = np.lexsort((-score, alike))
        place = np.empty(len(score))
        place[order] = np.arange(len(score)) - np.searchsorted(alike[order], alike[order])
        open_ = np.flatnonzero(place < room)
        part = score[open_]
        # HiGHS proves optimality to about 1e-6 in absolute terms. On this scale it tells money apart to a millionth of
        # the best product's, and equal products by their order; what brings nothing is not taken without need.
        ties = (np.linspace(0.01, 0, len(part)) - 0.01 * (part <= 0)) * integral
        scale = 1e4 / max(float(np.abs(part).max()), 1e-12)
        rows = LinearConstraint(csr_array(weights[:, open_]), low, high)
        result = _solve(scale * part + ties, rows, max(deadline - time.monotonic(), 0.1), integral)
        if result.status == 2:
            return None, -np.inf
        solution = np.zeros(len(part)) if result.x is None else result.x
        if integral and result.x is not None:
            picked: Bools | None = solution > 0.5
        else:
            picked = _assemble(part, np.lexsort((-part, -solution.round(6))), weights[:, open_], low, high)
        # Where time is up before any bound is known, all that brings something is one.
        bound = float(score[score > 0].sum())
        dual = result.mip_dual_bound if integral else result.fun
        if dual is not None and np.isfinite(dual):
            of_ties = ties @ solution if integral else 0.0
            bound = min(bound, (-float(dual) - float(of_ties)) / scale)
        if picked is None:
            return None, bound
        chosen = np.zeros(len(score), dtype=bool)
        chosen[open_[picked]] = True
        return chosen, max(bound, float(score @ chosen))

    return query


def _solve(score: Floats, rows: LinearConstraint, seconds: float, integral: bool):  # type: ignore[no-untyped-def]
    return milp(
        -score,
        integrality=np.full(len(score), int(integral)),
        bounds=Bounds(0, 1),
        constraints=rows,
        options={"time_limit": seconds, "mip_rel_gap": _RELATIVE_GAP},
    )


@dataclass(frozen=True)
class _Line:
    """R - price I <= bound, and the point (share, money) that was found with it."""

    price: float
    bound: float
    share: float
    money: float


def _search(
    cell: Cell,
    query: Callable[[float], _Answer],
    how: str,
    price: float,
    deadline: float,
    start: Bools | None = None,
) -> Optimum | None:
    """The best set before handling, closing in on it from outside and beginning with `price`; None where none is."""
    share = cell.share
    best, value = start, -np.inf if start is None else _before_handling(cell, start)
    steepest = float(np.max(cell.money[share > 0] / share[share > 0], initial=0.0))
    lines = [_Line(steepest, 0.0, 0.0, 0.0)] if steepest > 0 else []
    most, fresh = np.inf, False
    for _ in range(_MOST_QUERIES[how]):
        chosen, bound = query(price)
        if bound == -np.inf:
            return None
        found = _Line(price, bound, 0.0, bound)
        if chosen is not None:
            found = _Line(price, bound, float(share @ chosen), float(cell.money @ chosen))
            reached = _before_handling(cell, chosen)
            if best is None or reached > value + 1e-12 * abs(value):
                best, value, fresh = chosen, reached, True
        others = (line for line in lines if abs(line.price - price) > 1e-12 * steepest)
        lines = sorted([*others, found], key=lambda line: line.price)
        most, price = _worst_corner(cell, lines)
        if most <= value + _PROVEN[how] * abs(value) or time.monotonic() > deadline:
            break
        if fresh and best is not None:
            fresh, along = False, cell.price(best)
            if all(abs(along - line.price) > 1e-12 * steepest for line in lines):
                price = along
        if any(price == line.price for line in lines):
            break
    return None if best is None else Optimum(best, value, max(most, value), how)


def _before_handling(cell: Cell, chosen: Bools) -> float:
    return cell.worth(chosen) + cell.handling * float(chosen.sum())


def _worst_corner(cell: Cell, lines: Sequence[_Line]) -> tuple[float, float]:
    """The most any set within the lines may be worth, and the slope to ask for next: of the two known points beside
    that corner, it either finds one between them or proves that there is none."""

    def worth(share: float, money: float) -> float:
        # What loses money loses no less than at its forecast: lift is at least 1.
        return money * float(cell.substitution.lift(share)) if money > 0 else money

    corners = [(worth(1.0, lines[0].bound + lines[0].price), 0.0)]
    # No set but the empty one has less than its smallest product.
    least = float(np.min(cell.share[cell.share > 0], initial=1.0))
    for left, right in pairwise(lines):
        share = min(max((left.bound - right.bound) / (right.price - left.price), least), 1.0)
        money = min(line.bound + line.price * share for line in (lines if share == least else (left, right)))
        slope = (left.money - right.money) / (left.share - right.share) if left.share > right.share else np.nan
        between = left.price < slope < right.price
        corners.append((worth(share, money), slope if between else (left.price + right.price) / 2))
    # Corners left of the smallest product are one point; only the flattest line through it can be told to be wrong.
    return max(corners, key=lambda corner: (corner[0], -corner[1]))


def _assemble(score: Floats, order: Ints, weights: Floats, low: Floats, high: Floats) -> Bools | None:
    """A set that keeps the limits, picked in `order`: first what they ask for, then all that fits, then single swaps.

    None where what they ask for does not come together like this.
    """
    chosen = np.zeros(len(score), dtype=bool)
    used = np.zeros(len(low))

    def take(j: int) -> None:
        nonlocal used
        if (used + weights[:, j] <= high + 1e-9).all():
            chosen[j], used = True, used + weights[:, j]

    for row in np.flatnonzero(low > 0):
        for j in order[weights[row, order] > 0]:
            if used[row] >= low[row]:
                break
            if not chosen[j]:
                take(j)
    if (used < low - 1e-9).any():
        return None
    for j in order[score[order] > 0]:
        if not chosen[j]:
            take(j)
    for _ in range(_MOST_SWAPS):
        swap = _swap(score, weights, used, low, high, chosen)
        if swap is None:
            break
        leaves, enters = swap
        chosen[leaves], chosen[enters] = False, True
        used = used + weights[:, enters] - weights[:, leaves]
    return chosen


def _swap(
    score: Floats, weights: Floats, used: Floats, low: Floats, high: Floats, chosen: Bools
) -> tuple[int, int] | None:
    """The best product outside that gains by taking the place of one inside, and the least of those it may replace."""
    order = np.argsort(-score, kind="stable")
    inside = order[chosen[order]][::-1]
    for enters in order[~chosen[order]]:
        if not len(inside) or score[enters] <= score[inside[0]] + 1e-12:
            return None
        after = used[:, None] + weights[:, [enters]] - weights[:, inside]
        allowed = ((after >= low[:, None] - 1e-9) & (after <= high[:, None] + 1e-9)).all(axis=0)
        gains = allowed & (score[inside] < score[enters] - 1e-12)
        if gains.any():
            return int(inside[np.argmax(gains)]), int(enters)
    return None
