"""Whether a challenger may take the champion's place. A pure policy, shared by every model.

Whatever this lets through is what tomorrow's plans are made from; when it is wrong, a model that got worse somewhere
starts ordering goods, or a good one waits for ever behind a stale champion. Only how things are reckoned is held back:
facts never are, so whatever a policy keeps serving is made again from today's.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any, Literal

from coldframe.errors import ConfigurationError

Action = Literal["promote", "refresh", "keep"]
"""`refresh`: the method that serves, made from other facts. It needs no gain, and whoever rolls back goes past it."""


@dataclass(frozen=True)
class Scores:
    """How well one release did. A loss is not negative and lower is better (WAPE, Brier score …).

    `windows` names what was scored (a digest of rows or weeks): scores on different windows are not compared.
    `baseline_loss` is the naive method's on the same windows. `segment_losses` break the loss down.
    """

    release_id: str
    as_of: date
    windows: str
    loss: float
    baseline_loss: float
    segment_losses: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class PromotionPolicy:
    """Shares of the loss compared with.

    `gate`: least gain on the baseline; a first release need only not lose to it, because without one there is no plan
    at all. `margin`: least gain on a champion that knows the same facts. `refresh`: most
    that a challenger that knows later facts may lose, because forecasts age. `harm`: most any segment may lose.
    """

    gate: float = 0.02
    margin: float = 0.01
    refresh: float = 0.01
    harm: float = 0.05


@dataclass(frozen=True)
class PromotionDecision:
    """`decision_id` is a hash of inputs and outcome without a clock: the same question has the same name."""

    action: Action
    reasons: tuple[str, ...]
    evidence: dict[str, Any]
    decision_id: str


def decide_promotion(
    champion: Scores | None,
    challenger: Scores,
    policy: PromotionPolicy | None = None,
    veto: str | None = None,
    champion_lacks: str | None = None,
) -> PromotionDecision:
    """Promotes a challenger that beats the baseline, does not lose to the champion, and harms no segment.

    `veto` is the reason somebody gave for rolling this release, or its method, back; it always blocks. A first release
    has only the baseline to beat, and so has one that is asked for something the champion cannot give
    (`champion_lacks` says what): kept back for losing to it, nothing would answer. What would have kept it back stands
    in the reasons.
    Raises ConfigurationError when the two were scored on different windows.
    """
    policy = policy or PromotionPolicy()
    if champion is not None and champion.windows != challenger.windows:
        raise ConfigurationError(
            f"Champion {champion.release_id} was scored on windows {champion.windows} and challenger "
            f"{challenger.release_id} on {challenger.windows}. Score both on the same windows."
        )
    alone = champion is None or champion_lacks is not None
    against = _against_baseline(challenger, 0.0 if alone else policy.gate)
    beside = _against_champion(champion, challenger, policy) if champion is not None else []
    if not alone:
        against += beside
    if veto is not None:
        against.insert(0, f"rolled back: {veto}")
    gain = _gain(challenger.baseline_loss, challenger.loss)
    evidence: dict[str, Any] = {
        "champion": asdict(champion) if champion else None,
        "challenger": asdict(challenger),
        "policy": asdict(policy),
        "gain_on_baseline": gain,
        "gain_on_champion": _gain(champion.loss, challenger.loss) if champion else None,
        "champion_lacks": champion_lacks,
    }
    grounds = _grounds(champion, challenger) if champion_lacks is None else (champion_lacks, *beside)
    return decided("keep" if against else "promote", tuple(against) or grounds, evidence)


def decided(action: Action, reasons: tuple[str, ...], evidence: dict[str, Any]) -> PromotionDecision:
    """A decision with the id that its content gives it."""
    canonical = json.dumps([action, reasons, evidence], sort_keys=True, default=str)
    return PromotionDecision(action, reasons, evidence, hashlib.sha256(canonical.encode()).hexdigest()[:12])


def _against_baseline(challenger: Scores, gate: float) -> list[str]:
    losses = {"loss": challenger.loss, "baseline": challenger.baseline_loss, **challenger.segment_losses}
    broken = sorted(name for name, loss in losses.items() if not math.isfinite(loss) or loss < 0)
    if broken:
        return [f"no usable loss for {', '.join(broken)}"]
    gain = _gain(challenger.baseline_loss, challenger.loss)
    return [f"gains {gain:.1%} on the baseline; the gate asks for {gate:.1%}"] if gain < gate else []


def _against_champion(champion: Scores, challenger: Scores, policy: PromotionPolicy) -> list[str]:
    if not math.isfinite(champion.loss):
        return []
    against = []
    newer = challenger.as_of > champion.as_of
    wanted = -policy.refresh if newer else policy.margin
    gain = _gain(champion.loss, challenger.loss)
    if gain < wanted:
        knows = "later facts" if newer else "the same facts"
        against.append(f"gains {gain:.1%} on champion {champion.release_id}; knowing {knows}, it needs {wanted:.1%}")
    for segment, before in sorted(champion.segment_losses.items()):
        after = challenger.segment_losses.get(segment)
        if after is not None and math.isfinite(before) and _gain(before, after) < -policy.harm:
            against.append(f"harms {segment}: loss {before:.4g} -> {after:.4g}, more than {policy.harm:.0%} worse")
    return against


def _grounds(champion: Scores | None, challenger: Scores) -> tuple[str, ...]:
    beaten = f"gains {_gain(challenger.baseline_loss, challenger.loss):.1%} on the baseline"
    if champion is None or not math.isfinite(champion.loss):
        return ("there is no champion it could be compared with", beaten)
    grounds = f"gains {_gain(champion.loss, challenger.loss):.1%} on champion {champion.release_id}"
    if challenger.as_of > champion.as_of:
        grounds += f" and knows facts up to {challenger.as_of} instead of {champion.as_of}"
    return (grounds, beaten, "no segment is harmed") if champion.segment_losses else (grounds, beaten)


def _gain(before: float, after: float) -> float:
    """Share of `before` that is saved; against a loss of zero any loss is infinitely worse."""
    if before == 0:
        return 0.0 if after == 0 else -math.inf
    return 1 - after / before
