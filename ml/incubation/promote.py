"""Which policy is in force, and whether a challenger takes its place. A policy is promoted as a model is.

Whatever this lets through hands out tomorrow's traffic; when it is wrong, exposure follows a policy that looked good on
a log too thin to tell, and nobody can say when it came or take it back. The registry keeps every policy with the
evidence it was judged by, and `coldframe rollback incubation` goes back to the one before.
"""

import json
from datetime import date
from pathlib import Path
from typing import Any

from coldframe import snapshots
from coldframe.errors import ConfigurationError, NotAvailableError
from coldframe.paths import Workspace, workspace
from coldframe.run import Request, StepResult
from ml.incubation import log as logs
from ml.incubation import replay
from ml.incubation.asked import Answer, answer
from ml.incubation.policy import Policy, load
from ml.promotion import PromotionDecision, decided
from ml.registry import Registry, Release

MODEL = "incubation"
LEAST_DELIVERED = 0.5
"""Share of the planned impressions that must have been shown for a log to promote a policy with nobody looking."""


def policy_in_force(place: Workspace) -> Policy:
    """The policy that was promoted last, or the defaults where none ever was."""
    champion = Registry(place).champion(MODEL)
    return Policy() if champion is None else policy_of(champion)


def policy_of(release: Release) -> Policy:
    """The policy of a release, less what another version wrote down that this one has not: it is told by the step
    `policy`, and must not keep the plan of the day from being made."""
    stored = release.params["policy"]
    return Policy.model_validate({name: value for name, value in stored.items() if name in Policy.model_fields})


def decide_policy(found: Answer | None, veto: str | None) -> PromotionDecision:
    """Promotes a challenger whose gain on the policy that ran is surely above 0, by its 95 % interval.

    `found` is the challenger's value as `asked.answer` gives it (None: it is the policy in force). `veto` is the reason
    somebody gave for rolling it back.
    """
    if found is None:
        return decided("keep", ("it is the policy in force",), {})
    against = [f"rolled back: {veto}"] if veto else []
    against += [f"its value cannot be told: {reason}" for reason in found["refused"]]
    if gain := found["gain"]:
        bounds = f"{gain['value']:+.4g} {found['columns']['reward']} per impression ({gain['low']:+.4g} to "
        told = f"gains {bounds}{gain['high']:+.4g}) on the policy that ran, by {gain['name']}"
        if gain["low"] <= 0:
            against.append(f"{told}; that it gains at all is not sure")
        elif not against:
            worth = f"the log is worth {found['effective_sample_size']:,.0f} impressions of it"
            return decided("promote", (told, worth), found)
    return decided("keep", tuple(against), found)


def challenge_policy(source: str, as_of: date | None, file: str, reward: str | None) -> StepResult:
    """Makes the policy in `file` the challenger and judges it by the log up to `as_of` (None: what is published).

    Raises ConfigurationError for a policy that does not fit.
    """
    place, chosen = workspace(source), load(Path(file))
    snapshot = snapshots.current(place) if as_of is None else snapshots.of_day(place, as_of)
    registry = Registry(place)
    if registry.champion(MODEL) is None:
        first = _release(registry, snapshot, Policy(), replay.REWARDS[0])
        registry.promote(MODEL, first, decided("promote", ("the defaults, which were in force until now",), {}))
    _release(registry, snapshot, chosen, reward or replay.REWARDS[0])
    return _judge(place, snapshot)


def policy(request: Request) -> StepResult:
    """The step ``policy``: judges the challenger, where there is one, by what has been shown since, and promotes it
    where the log is sure of its gain."""
    place = workspace(request.source)
    champion = Registry(place).champion(MODEL)
    gone = sorted(set(champion.params["policy"]) - set(Policy.model_fields)) if champion else []
    told = (f"the policy in force was promoted by another version; without effect: {', '.join(gone)}",) if gone else ()
    return _judge(place, snapshots.of_day(place, request.as_of)).model_copy(update={"warnings": told})


def _judge(place: Workspace, snapshot: snapshots.Snapshot) -> StepResult:
    registry = Registry(place)
    challenger, champion = registry.challenger(MODEL), registry.champion(MODEL)
    if challenger is None or champion is None:
        return StepResult(step="policy", summary="no policy challenges the one in force")
    found: Answer | None = None
    if policy_of(challenger) != policy_of(champion):
        try:
            log = replay.own_log(snapshot, snapshot.as_of, challenger.params["reward"], LEAST_DELIVERED)
            log, again = replay.replayed(place, log, policy_of(challenger))
        # Whatever is wrong with a challenger, the policy in force must make today's plan.
        except (NotAvailableError, ConfigurationError) as error:
            return StepResult(step="policy", summary=f"challenger {challenger.id} cannot be judged yet: {error}")
        found = answer(log, logs.ask(log, again), challenger.id)
    decision = decide_policy(found, registry.veto(MODEL, challenger.id))
    if decision.action == "promote":
        registry.promote(MODEL, challenger, decision)
    done = "takes the place of" if decision.action == "promote" else "does not take the place of"
    return StepResult(
        step="policy",
        summary=f"challenger {challenger.id} {done} {champion.id}: {'; '.join(decision.reasons)}",
        facts={"decision": decision.action, "decision_id": decision.decision_id, "evidence": decision.evidence},
    )


def _release(registry: Registry, snapshot: snapshots.Snapshot, chosen: Policy, reward: str) -> Release:
    params: dict[str, Any] = {"policy": chosen.stored(), "reward": reward}
    stored = json.dumps(chosen.stored(), indent=1, sort_keys=True).encode()
    return registry.release(MODEL, snapshot.as_of, snapshot.id, params, {}, {}, {"policy.json": stored})
