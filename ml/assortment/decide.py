"""Which products one category of one region ranges next season: a pure function, frozen inputs to lines with reasons.

The category manager signs what leaves this file. When it is wrong, shelves are filled with what does not sell, or a
rule somebody relies upon (a product that must stay, room for new ones) is broken without a word.

The rules become rows of numbers here, optimise.py chooses, and what it chose is put into words.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from math import ceil, floor
from typing import Self

import numpy as np

from coldframe.errors import ConfigurationError
from ml.assortment.choice import Substitution, prior
from ml.assortment.optimise import SECONDS, Bools, Cell, Floats, Limit, Optimum, feasible, keeps, optimise
from ml.assortment.rules import Quota

SLOTS, NEW, MERCHANT, KEEP, DROP = "slots", "new-product quota", "merchant cap", "must-keep", "must-drop"
VARIANTS, CORE, CHANGES = "variants", "core needs", "change limit"
FEW = "nothing: fewer candidates than slots"
ENOUGH = "nothing: one more would take more from the others than it brings"
BARRED = "nothing: the other rules let no more in"
INDEPENDENT = prior(0)
_NAMED = 5


@dataclass(frozen=True)
class Rules:
    """What a choice must keep to.

    `slots` is K, the most products of a cell. `new_share` (0..1) of the slots is kept for recent launches, as far as
    there are any. `merchant_share` (0..1] of K is the most one merchant may fill, at least one product. `handling` is
    what each option costs in the money of the candidates' values, however little it sells. At most one product of each
    of the groups in `variants` is ranged; each subcategory keeps `core` options, as far as it has candidates;
    `most_changed` (0..1) of K may go to products outside the current range, and what that range leaves empty besides.
    """

    slots: int
    new_share: float = 0.0
    merchant_share: float = 1.0
    must_keep: frozenset[str] = frozenset()
    must_drop: frozenset[str] = frozenset()
    handling: float = 0.0
    variants: tuple[tuple[str, ...], ...] = ()
    quotas: tuple[Quota, ...] = ()
    core: int = 0
    most_changed: float = 1.0


@dataclass(frozen=True)
class Candidate:
    """One product a cell may range. `units` and `value` are what it is expected to sell and bring in the season with
    every candidate on show; a negative value is a loss. `current`: it is in the range that the season finds.
    `attributes` are what quotas and core needs ask for, by name (rules.ATTRIBUTES)."""

    product_id: str
    merchant_id: str
    value: float
    is_new: bool = False
    units: float = 1.0
    current: bool = True
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Choice:
    """One ranged product. `rank` is its place by value (1 is best); `replaces` the product a rule pushed out for it;
    `lost_without` what the whole cell would bring less without it."""

    product_id: str
    rank: int
    binding: str
    lost_without: float
    replaces: str | None = None


@dataclass(frozen=True)
class Decision:
    """What a cell ranges, best first.

    `value` is what the choice brings less its handling, `lift` how many times its forecast each ranged product sells
    because others are left out; 1 where substitution is only assumed, since nothing is promised on an assumption. `gap`
    is the share by which a better choice could at most exceed it (0 when proven). `left_out` is the best product
    without a place, `dropped` what a rule took out. `slot_worth` is what one more slot would bring, `rules_cost` what
    the rules beside slots cost.
    """

    choices: tuple[Choice, ...]
    left_out: str | None
    dropped: tuple[str, ...]
    value: float
    gap: float
    solved_by: str
    lift: float = 1.0
    slot_worth: float = 0.0
    rules_cost: float = 0.0


class InfeasibleError(ConfigurationError):
    """No choice keeps every rule; `rules` is a smallest set that cannot be kept together."""

    def __init__(self, rules: Sequence[str], message: str) -> None:
        self.rules = tuple(rules)
        super().__init__(message)

    @classmethod
    def of(cls, found: Sequence[Self]) -> Self:
        """One error of those of several cells, so that nobody mends them one after another."""
        shown = [str(error) for error in found[:_NAMED]]
        more = [f"{len(found) - _NAMED:,} more cells have such rules."] * (len(found) > _NAMED)
        return cls(tuple(dict.fromkeys(rule for error in found for rule in error.rules)), "\n".join(shown + more))


def _clash(cell: str, rules: Sequence[str], details: str) -> InfeasibleError:
    return InfeasibleError(rules, f"{cell}: these rules cannot be kept together: {' and '.join(rules)}. {details}")


def decide(
    cell: str,
    candidates: Sequence[Candidate],
    rules: Rules,
    substitution: Substitution = INDEPENDENT,
    start: frozenset[str] = frozenset(),
) -> Decision:
    """Chooses at most K products of the greatest value that keep every rule; ties go to the smaller product_id.

    `cell` names region and category in messages; `start` is an earlier choice to begin with. A product that brings
    nothing is not ranged unless a rule asks for it. Raises InfeasibleError naming a smallest set of rules in conflict.
    """
    ordered = sorted(candidates, key=lambda c: (-c.value, c.product_id))
    _refuse_broken(cell, ordered)
    dropped = tuple(c.product_id for c in ordered if c.product_id in rules.must_drop)
    open_ = [c for c in ordered if c.product_id not in rules.must_drop]
    clash = sorted(rules.must_keep & rules.must_drop & {c.product_id for c in ordered})
    if clash:
        raise _clash(cell, (KEEP, DROP), f"Both name {', '.join(clash)}.")
    if not open_:
        return Decision((), None, dropped, 0.0, 0.0, "nothing to choose from")
    numbers = _numbers(ordered, dropped, substitution, rules.handling)
    limits = _limits(open_, rules)
    begin = np.array([c.product_id in start for c in open_])
    found = optimise(numbers, rules.slots, limits, begin)
    if found is None:
        raise _infeasible(cell, len(open_), [Limit(SLOTS, np.ones(len(open_)), 0, rules.slots), *limits])
    free = found if not limits else optimise(numbers, rules.slots)
    more = optimise(numbers, rules.slots + 1, limits, found.chosen) if found.chosen.sum() == rules.slots else None
    return _explain(open_, numbers, found, free or found, more, rules, limits, dropped)


def _numbers(
    ordered: Sequence[Candidate], dropped: tuple[str, ...], substitution: Substitution, handling: float
) -> Cell:
    open_ = [c for c in ordered if c.product_id not in dropped]
    return Cell(
        money=np.array([c.value for c in open_], dtype=float),
        units=np.array([c.units for c in open_], dtype=float),
        substitution=substitution,
        handling=handling,
        others=float(sum(c.units for c in ordered) - sum(c.units for c in open_)),
        # An assumption may order products, but leave no place empty that one would have filled which sells.
        fill=substitution.source == "prior" and not handling,
    )


def _limits(candidates: Sequence[Candidate], rules: Rules) -> list[Limit]:
    n = len(candidates)
    limits = []
    new = np.array([c.is_new for c in candidates], dtype=float)
    quota = min(ceil(rules.new_share * min(rules.slots, n) - 1e-9), int(new.sum()))
    if quota:
        limits.append(Limit(NEW, new, quota, np.inf))
    if rules.merchant_share < 1:
        cap = max(1, floor(rules.merchant_share * rules.slots + 1e-9))
        limits += [
            Limit(MERCHANT, having, 0, cap)
            for having in _by_value([c.merchant_id for c in candidates]).values()
            if having.sum() > cap
        ]
    keep = np.array([c.product_id in rules.must_keep for c in candidates], dtype=float)
    if keep.any():
        limits.append(Limit(KEEP, keep, keep.sum(), np.inf))
    for group in rules.variants:
        of_group = np.array([c.product_id in group for c in candidates], dtype=float)
        if of_group.sum() > 1:
            limits.append(Limit(VARIANTS, of_group, 0, 1))
    for asked in rules.quotas:
        having = np.array([c.attributes.get(asked.attribute) == asked.value for c in candidates], dtype=float)
        limits.append(Limit(asked.name, having, asked.at_least, np.inf if asked.at_most is None else asked.at_most))
    if rules.core:
        needs = _by_value([c.attributes.get("subcategory", "") for c in candidates])
        limits += [Limit(CORE, having, min(rules.core, having.sum()), np.inf) for having in needs.values()]
    if rules.most_changed < 1:
        newcomers = np.array([not c.current for c in candidates], dtype=float)
        empty = max(0, rules.slots - int(n - newcomers.sum()))
        limits.append(Limit(CHANGES, newcomers, 0, floor(rules.most_changed * rules.slots + 1e-9) + empty))
    return limits


def _by_value(values: Sequence[str]) -> dict[str, Floats]:
    column = np.array(values)
    return {str(value): (column == value).astype(float) for value in np.unique(column)}


def _infeasible(cell: str, n: int, limits: Sequence[Limit]) -> ConfigurationError:
    names = list(dict.fromkeys(limit.rule for limit in limits))
    for size in range(1, len(names) + 1):
        for rules in combinations(names, size):
            if feasible([lim for lim in limits if lim.rule in rules], n) is False:
                wants = "; ".join(dict.fromkeys(_wants(lim) for lim in limits if lim.rule in rules))
                return _clash(cell, rules, f"({wants}.) Relax one of them.")
    return ConfigurationError(
        f"{cell}: no choice found within {SECONDS:.0f} s; ask for fewer rules or fewer candidates."
    )


def _wants(limit: Limit) -> str:
    if limit.low == 0:
        return f"{limit.rule}: at most {limit.high:.0f}"
    there = int(limit.weights.sum())
    return f"{limit.rule}: at least {limit.low:.0f}" + (f", and there are {there}" if there < limit.low else "")


def _explain(
    candidates: Sequence[Candidate],
    numbers: Cell,
    found: Optimum,
    free: Optimum,
    more: Optimum | None,
    rules: Rules,
    limits: Sequence[Limit],
    dropped: tuple[str, ...],
) -> Decision:
    chosen = found.chosen
    score = numbers.money - numbers.price(chosen) * numbers.share
    order = np.argsort(-score, kind="stable")
    pushed_out = [int(i) for i in order if free.chosen[i] and not chosen[i]]
    learned = numbers.substitution.source != "prior"
    full = _full(numbers, chosen, rules.slots, score)
    waiting = pushed_out[::-1]
    choices = []
    for i in np.flatnonzero(chosen).tolist():
        candidate = candidates[i]
        without = chosen.copy()
        without[i] = False
        lost = found.value - numbers.worth(without)
        if free.chosen[i]:
            binding = f"{KEEP} (it would be ranged anyway)" if candidate.product_id in rules.must_keep else full
            choices.append(Choice(candidate.product_id, i + 1, binding, lost))
        else:
            replaced = waiting.pop(0) if waiting else None
            replaces = None if replaced is None else candidates[replaced].product_id
            binding = _binding(i, [replaced, *pushed_out] if replaced is not None else [], chosen, limits, full)
            choices.append(Choice(candidate.product_id, i + 1, binding, lost, replaces))
    left_out = next((candidates[i].product_id for i in order.tolist() if not chosen[i]), None)
    return Decision(
        choices=tuple(choices),
        left_out=left_out,
        dropped=dropped,
        value=found.value,
        gap=found.gap,
        solved_by=found.how if not keeps(free.chosen, limits) else f"{found.how}, which breaks no rule",
        lift=float(numbers.demanded(chosen).max()) if learned and chosen.any() else 1.0,
        slot_worth=max(0.0, more.value - found.value) if more else 0.0,
        rules_cost=max(0.0, free.value - found.value),
    )


def _full(numbers: Cell, chosen: Bools, slots: int, score: Floats) -> str:
    """What keeps one more product from being ranged."""
    if chosen.sum() == slots:
        return FEW if chosen.all() else SLOTS
    left = numbers.money[~chosen] > 0
    worth = left if numbers.fill else score[~chosen] > numbers.handling
    return FEW if not left.any() else BARRED if worth.any() else ENOUGH


def _binding(i: int, pushed_out: Sequence[int], chosen: Bools, limits: Sequence[Limit], full: str) -> str:
    """The rule by which product i has a place it would not have by its value. Of the products that were `pushed_out`
    the first is the one it is told to replace, so the rule that keeps that one out comes before others."""
    for limit in sorted(limits, key=lambda limit: limit.rule != KEEP):
        if limit.low > 0 and limit.weights[i] and limit.weights @ chosen <= limit.low + 1e-9:
            return limit.rule
    tight = [limit for limit in limits if not limit.weights[i] and limit.weights @ chosen >= limit.high - 1e-9]
    return next((limit.rule for out in pushed_out for limit in tight if limit.weights[out]), full)


def _refuse_broken(cell: str, candidates: Sequence[Candidate]) -> None:
    broken = [c.product_id for c in candidates if not np.isfinite(c.value) or not np.isfinite(c.units) or c.units < 0]
    if broken:
        raise ConfigurationError(
            f"{cell}: {len(broken)} candidates have no usable value or units (not finite, or negative units): "
            f"{', '.join(broken[:5])}."
        )
    twice = [product for product, count in Counter(c.product_id for c in candidates).items() if count > 1]
    if twice:
        raise ConfigurationError(f"{cell}: {len(twice)} candidates occur twice: {', '.join(sorted(twice)[:5])}.")
