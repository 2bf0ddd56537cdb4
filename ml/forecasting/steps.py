"""The step `forecast`: learns demand from the published snapshot when it is due, and promotes what is better.

Everything downstream reads the champion it leaves behind; when it breaks, plans go on being made from the last one.
"""

import hashlib
import json
from dataclasses import asdict
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

from coldframe import seasons, snapshots
from coldframe.errors import NotAvailableError
from coldframe.paths import workspace
from coldframe.run import Request, StepResult
from ml.forecasting import compare, data, models
from ml.forecasting.decide import Made, decide_retraining
from ml.forecasting.learn import Plan, learn
from ml.promotion import PromotionDecision, decide_promotion
from ml.registry import Registry, Release

MODEL = "forecasting"


def forecast(request: Request) -> StepResult:
    """Reuses the champion or trains, releases and maybe promotes a challenger, each by a policy that says why.

    Raises NotAvailableError where no snapshot of the request's day is published, BadInputError for facts that cannot
    be learned from.
    """
    space = workspace(request.source)
    snapshot = snapshots.current(space)
    if snapshot.as_of != request.as_of:
        raise NotAvailableError(
            f"The published snapshot {snapshot.id} is as of {snapshot.as_of}, the run as of {request.as_of}. "
            "Run `coldframe audit` for that day first."
        )
    plan = _plan(request, snapshot)
    params = asdict(plan) | {"models": models.describe(), "code": code_hash()}
    params = json.loads(json.dumps(params, default=str))

    registry = Registry(space)
    champion = registry.champion(MODEL)
    if champion is not None and champion.as_of > request.as_of:
        champion = None
    now = Made("", request.as_of, snapshot.id, plan.season, tuple(params["season_weeks"]), params["code"])
    retraining = decide_retraining(_made(champion) if champion else None, now, request.force)
    facts: dict[str, Any] = {"retraining": retraining.action, "retraining_reasons": list(retraining.reasons)}
    if champion is not None and retraining.action == "reuse":
        return _result(champion, facts, f"reused release {champion.id}: {'; '.join(retraining.reasons)}", reused=True)

    release = None if request.force else _same(registry, request.as_of, snapshot.id, params)
    reused = release is not None
    warnings: tuple[str, ...] = ()
    if release is None:
        learned = learn(data.load(snapshot), plan)
        warnings = learned.warnings
        facts |= learned.facts
        shown = {"warnings": list(warnings), "facts": {k: v for k, v in learned.facts.items() if "seconds" not in k}}
        release = registry.release(
            MODEL,
            request.as_of,
            snapshot.id,
            params,
            learned.metrics,
            learned.tables,
            {"summary.json": json.dumps(shown, sort_keys=True).encode()},
        )
    promotion = _promote(registry, champion, release)
    facts |= {
        "promotion": promotion.action,
        "promotion_reasons": list(promotion.reasons),
        "promotion_decision": promotion.decision_id,
        "retraining_decision": retraining.decision_id,
    }
    if promotion.action == "keep":
        warnings += (f"release {release.id} was not promoted: {'; '.join(promotion.reasons)}",)
    done = "promoted" if promotion.action == "promote" else "kept as challenger"
    return _result(release, facts, f"release {release.id} {done}: {promotion.reasons[0]}", reused, warnings)


@lru_cache(maxsize=1)
def code_hash() -> str:
    """Hash of this room's code: a release made by other code is not the same release."""
    folder = Path(__file__).parent
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*.py")):
        digest.update(str(file.relative_to(folder)).encode() + file.read_bytes())
    return digest.hexdigest()[:12]


def _plan(request: Request, snapshot: snapshots.Snapshot) -> Plan:
    season = seasons.resolve(request.season, request.as_of, snapshot.frame("dim_calendar"))
    first = first_week_ahead(request.as_of)
    needed = (season.week_starts[-1] - first).days // 7 + 1
    return Plan(
        horizon=max(request.horizon_weeks, needed),
        season=season.name,
        season_weeks=tuple(week for week in season.week_starts if week >= first),
    )


def first_week_ahead(as_of: date) -> date:
    """Monday of the week after the last complete one: a week is complete when its Sunday is not after `as_of`."""
    return as_of - timedelta(days=(as_of.weekday() + 1) % 7) + timedelta(days=1)


def _made(release: Release) -> Made:
    params = release.params
    return Made(
        release.id,
        release.as_of,
        release.snapshot_id,
        params["season"],
        tuple(params["season_weeks"]),
        params["code"],
    )


def _same(registry: Registry, as_of: date, snapshot_id: str, params: dict[str, Any]) -> Release | None:
    """A release that was made from the very same inputs."""
    for release in registry.releases(MODEL):
        if (release.as_of, release.snapshot_id, release.params) == (as_of, snapshot_id, params):
            return release
    return None


def _promote(registry: Registry, champion: Release | None, release: Release) -> PromotionDecision:
    if champion is not None and champion.id == release.id:
        champion = None
    before, after = compare.scores(release, champion)
    lacks = None
    if champion is not None and champion.params["season"] != release.params["season"]:
        lacks = f"champion {champion.id} has no totals of season {release.params['season']}"
    decision = decide_promotion(before, after, veto=registry.veto(MODEL, release.id), champion_lacks=lacks)
    if decision.action == "promote":
        registry.promote(MODEL, release, decision)
    return decision


def _result(
    release: Release, facts: dict[str, Any], outcome: str, reused: bool = False, warnings: tuple[str, ...] = ()
) -> StepResult:
    shown = json.loads(release.artefact("summary.json"))
    accuracy = ", ".join(f"{k} {v:.3g}" for k, v in sorted(release.metrics.items()) if k.endswith((".wape", ".fva")))
    return StepResult(
        step="forecast",
        summary=f"{outcome} ({accuracy})",
        reused=reused,
        warnings=tuple(shown["warnings"]) + tuple(w for w in warnings if w not in shown["warnings"]),
        facts={"release_id": release.id} | release.metrics | shown["facts"] | facts,
        links={"release": str(release.path)},
    )
