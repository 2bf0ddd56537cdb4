"""Which method's scores serve: a pure choice from out-of-time evidence, with its reasons."""

from collections.abc import Mapping
from dataclasses import dataclass

LEAST_BESTSELLERS = 20
"""Validated bestsellers below which a difference between methods is noise, and the rule serves."""


@dataclass(frozen=True)
class Evidence:
    """How a method did on launches it had not seen. `gain_low` bounds its average precision's gain on the rule."""

    average_precision: float
    gain_low: float


@dataclass(frozen=True)
class Choice:
    """The method that serves, and why."""

    method: str
    reasons: tuple[str, ...]


def choose(evidence: Mapping[str, Evidence], bestsellers: int, rule: str = "rule") -> Choice:
    """The method of the greatest average precision among those surely better than the rule, else the rule.

    Average precision decides rather than log loss, because traffic goes to the head of the ranking, and the chances are
    calibrated afterwards whatever ranked them. "Surely": the lower 80 % bound of the gain is above zero.
    """
    if rule not in evidence or bestsellers < LEAST_BESTSELLERS:
        return Choice(
            rule,
            (f"{bestsellers} validated bestsellers are too few to tell methods apart (needed: {LEAST_BESTSELLERS})",),
        )
    better = {name: found for name, found in evidence.items() if name != rule and found.gain_low > 0}
    base = evidence[rule].average_precision
    if not better:
        return Choice(rule, (f"no method surely beats the rule's average precision of {base:.3f}",))
    best = max(better, key=lambda name: (better[name].average_precision, name))
    return Choice(
        best,
        (
            f"average precision {better[best].average_precision:.3f} beside the rule's {base:.3f}, "
            f"a gain of at least {better[best].gain_low:.3f} (80 % bound)",
        ),
    )
