"""Which method scores the launches: pure choices from out-of-time evidence, with their reasons.

Only the method is chosen here. Who is new and what was sold are facts, and come from the day's snapshot whoever scores
them; when the two are mixed up, a method that must wait keeps an old list of launches in force.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from ml.promotion import Scores, decide_promotion

LEAST_BESTSELLERS = 20
"""Validated blockbusters below which a difference between methods is noise, and PACE serves."""
PACE = "pace"
"""Pace in money over the category's line: what serves before methods can be told apart. Units so far, which every
method must beat to be chosen, would rank teas before sofas."""


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
"""Every launch gets the share of blockbusters among earlier ones: what is left where no method's chances are of use."""


def choose(evidence: Mapping[str, Evidence], bestsellers: int, rule: str = "rule") -> Choice:
    """The method of the greatest average precision among those surely better than the rule, else the rule; PACE where
    too little is validated to tell.

    Average precision decides rather than log loss, because traffic goes to the head of the ranking, and the chances are
    calibrated afterwards whatever ranked them. "Surely": the lower 80 % bound of the gain is above zero. Chances worse
    than the base rate are worse than none: then every launch gets that.
    """
    if rule not in evidence or bestsellers < LEAST_BESTSELLERS:
        return Choice(
            PACE,
            (f"validated blockbusters: {bestsellers}, too few to tell methods apart (needed: {LEAST_BESTSELLERS})",),
        )
    choice = _best(evidence, rule)
    found = evidence[choice.method]
    if _misleads(found):
        return Choice(BASE_RATE, (_misled(choice.method, found),))
    return choice


@dataclass(frozen=True)
class Held:
    """The method that serves until now; `pinned` says who went back to it and why, where somebody did."""

    method: str
    pinned: str | None = None


def serve(favoured: Choice, held: Held | None, evidence: Mapping[str, Evidence], bestsellers: int) -> Choice:
    """The method that may score today: the held one, unless today's favourite beats it by the promotion policy.

    Both were validated on the same launches, so a change needs the policy's gain on the base rate and its margin on the
    held method; of methods about as good, the one that serves stays. Three things need no gain: a favourite where
    nothing is held, the method a person went back to, and the base rate where the held method's chances mislead.
    """
    if held is not None and held.pinned is not None:
        return Choice(held.method, (f"{held.method} serves because of a rollback: {held.pinned}",))
    if held is None or held.method == favoured.method:
        return favoured
    if held.method not in evidence or bestsellers < LEAST_BESTSELLERS:
        return Choice(held.method, (f"{held.method} goes on serving", *favoured.reasons))
    method = held.method
    notes: tuple[str, ...] = ()
    if _misleads(evidence[method]):
        method, notes = BASE_RATE, (_misled(method, evidence[method]),)
    if method == favoured.method:
        return Choice(method, notes)
    before, after = (_scores(name, evidence[name]) for name in (method, favoured.method))
    decision = decide_promotion(before, after)
    if decision.action == "promote":
        return Choice(favoured.method, (*notes, *decision.reasons))
    why = "; ".join(decision.reasons)
    return Choice(method, (*notes, f"{method} goes on serving; {favoured.method} {why}"))


def _scores(method: str, found: Evidence) -> Scores:
    # Methods have no age: each was validated on today's facts.
    return Scores(method, date.min, "today's validation", found.log_loss, found.base_log_loss)


def _misleads(found: Evidence) -> bool:
    return found.log_loss > found.base_log_loss


def _misled(method: str, found: Evidence) -> str:
    digits = next((d for d in (4, 6) if f"{found.log_loss:.{d}f}" != f"{found.base_log_loss:.{d}f}"), 8)
    lost = f"log loss {found.log_loss:.{digits}f} beside the base rate's {found.base_log_loss:.{digits}f}"
    return f"the chances of {method} would mislead: {lost}"


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
