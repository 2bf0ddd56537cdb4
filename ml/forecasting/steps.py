"""The step `forecast`: learns demand from the published snapshot when it is due, and promotes what is better.

Everything downstream reads the champion it leaves behind; when it breaks, plans go on being made from the last one.
What loses is a choice of models, never today's facts: then the models that serve are learned again from them.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from coldframe import seasons, snapshots
from coldframe.paths import workspace
from coldframe.run import Request, StepResult
from ml.forecasting import compare, data, models
from ml.forecasting.decide import Made, decide_retraining
from ml.forecasting.learn import Plan, learn
from ml.promotion import PromotionDecision, decide_promotion, decided
from ml.registry import Registry, Release, code_hash

MODEL = "forecasting"


def forecast(request: Request) -> StepResult:
    """Reuses the champion or trains, releases and maybe promotes a challenger, each by a policy that says why.

    Raises NotAvailableError where no snapshot of the request's day is published, BadInputError for facts that cannot
    be learned from.
    """
    space = workspace(request.source)
    snapshot = snapshots.of_day(space, request.as_of)
    plan = _plan(request, snapshot)
    params = _params(plan)
    registry = Registry(space)
    champion = registry.champion(MODEL)
    if champion is not None and champion.as_of > request.as_of:
        champion = None
    now = Made("", request.as_of, request.as_of, snapshot.id, _asked(params), params["code"])
    retraining = decide_retraining(_made(champion) if champion else None, now, request.force)
    facts: dict[str, Any] = {"retraining": retraining.action, "retraining_reasons": list(retraining.reasons)}
    if champion is not None and retraining.action == "reuse":
        return _result(champion, facts, f"reused release {champion.id}: {'; '.join(retraining.reasons)}", reused=True)

    release, reused, learned_facts = _learned(registry, snapshot, request, plan)
    promotion = _promote(registry, champion, release)
    warnings: tuple[str, ...] = ()
    if promotion.action == "keep":
        warnings = (f"release {release.id} was not promoted: {'; '.join(promotion.reasons)}",)
        if champion is not None and champion.snapshot_id != snapshot.id:
            held = _routes(champion)
            if held != _routes(release):
                release, reused, learned_facts = _learned(registry, snapshot, request, replace(plan, held=held))
            promotion = _refresh(registry, champion, release, promotion)
    facts |= learned_facts | {
        "promotion": promotion.action,
        "promotion_reasons": list(promotion.reasons),
        "promotion_decision": promotion.decision_id,
        "retraining_decision": retraining.decision_id,
    }
    done = {"promote": "promoted", "refresh": "serves", "keep": "kept as challenger"}[promotion.action]
    return _result(release, facts, f"release {release.id} {done}: {promotion.reasons[0]}", reused, warnings)


def _plan(request: Request, snapshot: snapshots.Snapshot) -> Plan:
    season = seasons.resolve(request.season, request.as_of, snapshot.frame("dim_calendar"))
    # Of a season that has begun only the days ahead are forecast.
    season = replace(season, first_day=max(season.first_day, request.as_of + timedelta(days=1)))
    first = first_week_ahead(request.as_of)
    needed = (season.weeks[-1].start - first).days // 7 + 1
    return Plan(
        horizon=max(request.horizon_weeks, needed),
        season=season.name,
        season_weeks=tuple(week for week in season.weeks if week.start >= first),
    )


def first_week_ahead(as_of: date) -> date:
    """Monday of the week after the last complete one: a week is complete when its Sunday is not after `as_of`."""
    return as_of - timedelta(days=(as_of.weekday() + 1) % 7) + timedelta(days=1)


def _made(release: Release) -> Made:
    params = release.params
    return Made(release.id, release.as_of, release.as_of, release.snapshot_id, _asked(params), params["code"])


def _asked(params: Mapping[str, Any]) -> str:
    # Releases of earlier versions did not say; what they answered is learned again.
    return str(params.get("asked", f"{params['season']} in whole weeks"))


def _params(plan: Plan) -> dict[str, Any]:
    days = sum(week.days for week in plan.season_weeks)
    first, last = plan.season_weeks[0].start, plan.season_weeks[-1].start
    params = asdict(plan) | {
        "asked": f"{plan.season}, {days} days in the weeks {first} to {last}",
        "models": models.describe(),
        "code": code_hash(*(Path(__file__).parent / room for room in (".", "models", "season"))),
    }
    return dict(json.loads(json.dumps(params, default=str)))


def _learned(
    registry: Registry, snapshot: snapshots.Snapshot, request: Request, plan: Plan
) -> tuple[Release, bool, dict[str, Any]]:
    """The release of a plan, whether it was there already, and what learning it told besides."""
    params = _params(plan)
    made = [] if request.force else registry.made_from(MODEL, request.as_of, snapshot.id, params)
    if made:
        return made[0], True, {}
    learned = learn(data.load(snapshot), plan, data.catalogue(snapshot))
    facts = {k: v for k, v in learned.facts.items() if "seconds" not in k}
    shown = {"warnings": list(learned.warnings), "facts": facts}
    release = registry.release(
        MODEL,
        request.as_of,
        snapshot.id,
        params,
        learned.metrics,
        learned.tables,
        {"summary.json": json.dumps(shown, sort_keys=True).encode()},
    )
    return release, False, learned.facts


def _routes(release: Release) -> tuple[tuple[str, str, str], ...]:
    """Which model serves each level and segment in a release; segments nobody forecasts are left out."""
    routes = release.table("routes", ["level", "segment", "model"])
    found = routes[routes["model"] != "none"].sort_values(["level", "segment"])
    return tuple((str(row.level), str(row.segment), str(row.model)) for row in found.itertuples())


def _promote(registry: Registry, champion: Release | None, release: Release) -> PromotionDecision:
    if champion is not None and champion.id == release.id:
        champion = None
    before, after = compare.scores(release, champion)
    lacks = None
    if champion is not None and champion.params["season"] != release.params["season"]:
        lacks = f"champion {champion.id} has no totals of season {release.params['season']}"
    elif before is not None and before.loss > before.baseline_loss:
        lacks = f"the models of champion {before.release_id} lose to the benchmark"
    decision = decide_promotion(before, after, veto=registry.veto(MODEL, release.id), champion_lacks=lacks)
    if decision.action == "promote":
        registry.promote(MODEL, release, decision)
    return decision


def _refresh(registry: Registry, champion: Release, release: Release, refused: PromotionDecision) -> PromotionDecision:
    """Lets the champion's models, learned from today's facts, take its place, unless this release was rolled back.

    Without this a champion that no challenger beats would go on forecasting from the week it was made in, and nothing
    launched since would be forecast at all.
    """
    if registry.veto(MODEL, release.id) is not None:
        return refused
    reasons = (
        f"the models of champion {champion.id}, learned from facts up to {release.as_of} instead of {champion.as_of}",
        *refused.reasons,
    )
    decision = decided("refresh", reasons, {"champion": champion.id, "refused": refused.decision_id})
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
