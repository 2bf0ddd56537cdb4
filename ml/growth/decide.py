"""Which method's scores serve: a pure choice from out-of-time evidence, with its reasons."""

from collections.abc import Mapping
from dataclasses import dataclass

LEAST_BESTSELLERS = 20
"""Validated bestsellers below which a difference between methods is noise, and the rule serves."""


@dataclass(frozen=True)
class Evidence:
    """How a method did on launches it had not seen. `gain_low` bounds its average precision's gain on the rule.

    `log_loss` is its calibrated chances', `base_log_loss` that of giving every launch the rate of earlier ones.
    """

    average_precision: float
    gain_low: float
    log_loss: float = 0.0
    base_log_loss: float = 0.0


@dataclass(frozen=True)
class Choice:
    """The method that serves, and why."""

    method: str
    reasons: tuple[str, ...]


BASE_RATE = "base_rate"
"""Every launch gets the share of bestsellers among earlier ones: what is left where no method's chances can be used."""


def choose(evidence: Mapping[str, Evidence], bestsellers: int, rule: str = "rule") -> Choice:
    """The method of the greatest average precision among those surely better than the rule, else the rule.

    Average precision decides rather than log loss, because traffic goes to the head of the ranking, and the chances are
    calibrated afterwards whatever ranked them. "Surely": the lower 80 % bound of the gain is above zero. Chances worse
    than the base rate are worse than none: then every launch gets that.
    """
    if rule not in evidence or bestsellers < LEAST_BESTSELLERS:
        return Choice(
            rule,
            (f"{bestsellers} validated bestsellers are too few to tell methods apart (needed: {LEAST_BESTSELLERS})",),
        )
    choice = _best(evidence, rule)
    found = evidence[choice.method]
    if found.log_loss > found.base_log_loss:
        lost = f"log loss {found.log_loss:.4f} beside the base rate's {found.base_log_loss:.4f}"
        return Choice(BASE_RATE, (f"the chances of {choice.method} would mislead: {lost}",))
    return choice


def _best(evidence: Mapping[str, Evidence], rule: str) -> Choice:
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
