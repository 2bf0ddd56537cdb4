"""Which products one category of one region ranges next season: a pure function, frozen inputs to lines with reasons.

The category manager signs what leaves this file. When it is wrong, shelves are filled with what does not sell, or a
rule somebody relies upon (a product that must stay, room for new ones) is broken without a word.

Choosing at most K products with quotas is a small integer programme. Most cells need no solver: when the K most
valuable products keep every rule, no other choice can be worth more.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import ceil, floor

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

from coldframe.errors import ConfigurationError

# HiGHS' default stops at a gap of 1e-4; a plan should not depend on where it stopped.
_RELATIVE_GAP = 1e-9
SECONDS = 10.0

SLOTS, NEW, MERCHANT, KEEP, DROP = "slots", "new-product quota", "merchant cap", "must-keep", "must-drop"
FEW = "nothing: fewer candidates than options"


@dataclass(frozen=True)
class Rules:
    """What a choice must keep to.

    `options` is K, the most products of a cell. `new_share` (0..1) of the filled options is kept for recent launches,
    as far as there are any. `merchant_share` (0..1] of K is the most one merchant may fill, at least one product.
    """

    options: int
    new_share: float = 0.0
    merchant_share: float = 1.0
    must_keep: frozenset[str] = frozenset()
    must_drop: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Candidate:
    """One product a cell may range. `value` is what it is expected to bring in the season, never negative."""

    product_id: str
    merchant_id: str
    value: float
    is_new: bool = False


@dataclass(frozen=True)
class Choice:
    """One ranged product. `rank` is its place by value (1 is best); `replaces` the product a rule pushed out for it."""

    product_id: str
    rank: int
    binding: str
    replaces: str | None = None


@dataclass(frozen=True)
class Decision:
    """What a cell ranges, best first. `gap` is the solver's relative optimality gap (0 when proven), `left_out` the
    most valuable product without a place, `dropped` what a rule took out."""

    choices: tuple[Choice, ...]
    left_out: str | None
    dropped: tuple[str, ...]
    value: float
    gap: float
    solved_by: str


class InfeasibleError(ConfigurationError):
    """No choice keeps every rule; `rules` is a smallest set that cannot be kept together."""

    def __init__(self, cell: str, rules: Sequence[str], details: str) -> None:
        self.rules = tuple(rules)
        super().__init__(f"{cell}: these rules cannot be kept together: {' and '.join(rules)}. {details}")


def decide(cell: str, candidates: Sequence[Candidate], rules: Rules) -> Decision:
    """Chooses at most K products of the greatest total value that keep every rule; ties go to the smaller product_id.

    `cell` names region and category in messages. Raises InfeasibleError naming a smallest set of rules in conflict.
    """
    ordered = sorted(candidates, key=lambda c: (-c.value, c.product_id))
    _refuse_broken(cell, ordered)
    dropped = tuple(c.product_id for c in ordered if c.product_id in rules.must_drop)
    open_ = [c for c in ordered if c.product_id not in rules.must_drop]
    clash = sorted(rules.must_keep & rules.must_drop & {c.product_id for c in ordered})
    if clash:
        raise InfeasibleError(cell, (KEEP, DROP), f"Both name {', '.join(clash)}.")
    if not open_:
        return Decision((), None, dropped, 0.0, 0.0, "nothing to choose from")
    limits = _limits(open_, rules)
    best = np.zeros(len(open_), dtype=bool)
    best[: rules.options] = True
    if _keeps(best, limits):
        chosen, gap, solved_by = best, 0.0, "ranking, which breaks no rule"
    else:
        chosen, gap = _solve(cell, open_, limits)
        solved_by = "integer programme"
    return _explain(open_, chosen, best, rules, dropped, gap, solved_by)


@dataclass(frozen=True)
class _Limit:
    """`low <= weights @ chosen <= high`."""

    rule: str
    weights: np.ndarray
    low: float
    high: float


def _limits(candidates: Sequence[Candidate], rules: Rules) -> list[_Limit]:
    n = len(candidates)
    limits = [_Limit(SLOTS, np.ones(n), 0, rules.options)]
    new = np.array([c.is_new for c in candidates], dtype=float)
    quota = min(ceil(rules.new_share * min(rules.options, n) - 1e-9), int(new.sum()))
    if quota:
        limits.append(_Limit(NEW, new, quota, np.inf))
    if rules.merchant_share < 1:
        cap = max(1, floor(rules.merchant_share * rules.options + 1e-9))
        merchants = np.array([c.merchant_id for c in candidates])
        limits += [
            _Limit(MERCHANT, (merchants == m).astype(float), 0, cap)
            for m, count in zip(*np.unique(merchants, return_counts=True), strict=True)
            if count > cap
        ]
    keep = np.array([c.product_id in rules.must_keep for c in candidates], dtype=float)
    if keep.any():
        limits.append(_Limit(KEEP, keep, keep.sum(), np.inf))
    return limits


def _keeps(chosen: np.ndarray, limits: Sequence[_Limit]) -> bool:
    return all(limit.low <= limit.weights @ chosen <= limit.high for limit in limits)


def _solve(cell: str, candidates: Sequence[Candidate], limits: Sequence[_Limit]) -> tuple[np.ndarray, float]:
    values = np.array([c.value for c in candidates])
    # HiGHS proves optimality to about 1e-6 in absolute terms. On this scale it tells money apart to a millionth of the
    # best product's, and equal products by their order.
    scaled = 1e4 * values / max(values.max(), 1e-9) + np.linspace(0.01, 0, len(values))
    result = _programme(scaled, limits)
    if result.x is None:
        raise _infeasible(cell, candidates, limits)
    return result.x > 0.5, float(result.mip_gap or 0.0)


def _programme(values: np.ndarray, limits: Sequence[_Limit]):  # type: ignore[no-untyped-def]
    return milp(
        -values,
        integrality=np.ones(len(values)),
        bounds=Bounds(0, 1),
        constraints=[LinearConstraint(lim.weights, lim.low, lim.high) for lim in limits],
        options={"time_limit": SECONDS, "mip_rel_gap": _RELATIVE_GAP},
    )


def _infeasible(cell: str, candidates: Sequence[Candidate], limits: Sequence[_Limit]) -> ConfigurationError:
    names = list(dict.fromkeys(limit.rule for limit in limits))
    nothing = np.zeros(len(candidates))
    for size in range(1, len(names) + 1):
        for rules in combinations(names, size):
            if _programme(nothing, [lim for lim in limits if lim.rule in rules]).x is None:
                counts = {lim.rule: lim for lim in limits}
                wants = "; ".join(
                    f"{r}: at most {counts[r].high:.0f}" if counts[r].low == 0 else f"{r}: at least {counts[r].low:.0f}"
                    for r in rules
                )
                return InfeasibleError(cell, rules, f"({wants}.) Relax one of them.")
    return ConfigurationError(
        f"{cell}: no choice found within {SECONDS:.0f} s; ask for fewer rules or fewer candidates."
    )


def _explain(
    candidates: Sequence[Candidate],
    chosen: np.ndarray,
    best: np.ndarray,
    rules: Rules,
    dropped: tuple[str, ...],
    gap: float,
    solved_by: str,
) -> Decision:
    pushed_out = [c.product_id for c, was, now in zip(candidates, best, chosen, strict=True) if was and not now]
    full = len(candidates) > rules.options
    choices = []
    for rank, (candidate, was, now) in enumerate(zip(candidates, best, chosen, strict=True), start=1):
        if not now:
            continue
        if was:
            binding = SLOTS if full else FEW
            if candidate.product_id in rules.must_keep:
                binding = f"{KEEP} (it would be ranged anyway)"
            choices.append(Choice(candidate.product_id, rank, binding))
        else:
            binding = KEEP if candidate.product_id in rules.must_keep else NEW if candidate.is_new else MERCHANT
            choices.append(Choice(candidate.product_id, rank, binding, pushed_out.pop() if pushed_out else None))
    left_out = next((c.product_id for c, now in zip(candidates, chosen, strict=True) if not now), None)
    value = float(sum(c.value for c, now in zip(candidates, chosen, strict=True) if now))
    return Decision(tuple(choices), left_out, dropped, value, gap, solved_by)


def _refuse_broken(cell: str, candidates: Sequence[Candidate]) -> None:
    broken = [c.product_id for c in candidates if not np.isfinite(c.value) or c.value < 0]
    if broken:
        raise ConfigurationError(
            f"{cell}: {len(broken)} candidates have no usable value (not finite, or negative): {', '.join(broken[:5])}."
        )
    twice = [product for product, count in Counter(c.product_id for c in candidates).items() if count > 1]
    if twice:
        raise ConfigurationError(f"{cell}: {len(twice)} candidates occur twice: {', '.join(sorted(twice)[:5])}.")
