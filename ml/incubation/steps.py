"""The step ``incubation``: scores in, a draft plan for tomorrow out, one line a recent launch."""

import zlib
from collections import Counter
from dataclasses import asdict
from datetime import timedelta

from coldframe import plans, snapshots
from coldframe.errors import NotAvailableError
from coldframe.ledger import Ledger, PlanDraft, PlanLine
from coldframe.paths import Workspace, workspace
from coldframe.run import Request, StepResult
from ml.incubation import data
from ml.incubation.decide import Policy, expose, stage
from ml.registry import Registry, Release

EVERYWHERE = "all"
"""Exposure is handed out for the whole marketplace; regions follow with traffic by region."""


def incubation(request: Request) -> StepResult:
    """Stages every recent launch, hands out tomorrow's exposure and saves the plan as a draft.

    Raises NotAvailableError where the serving launch scores are not those of the published snapshot and its day.
    """
    place = workspace(request.source)
    snapshot = snapshots.of_day(place, request.as_of)
    release = _scores_of(place, snapshot, request)
    scores = release.table("scores")
    policy = Policy()
    launched = data.launches(scores, data.previous_stages(Ledger.open(), request.source, request.as_of))
    staged = {launch.product_id: stage(launch, policy) for launch in launched}
    stages = {product: decided.stage for product, decided in staged.items()}
    seed = zlib.crc32(f"{request.source} {request.as_of}".encode())
    exposures = expose(launched, stages, request.exposure_budget, policy, seed)
    known = {launch.product_id: launch for launch in launched}
    unseen = next((p for p in scores["product_id"] if not exposures[p].impressions), None)
    lines = []
    for row in scores.to_dict("records"):
        exposure, decided = exposures[row["product_id"]], staged[row["product_id"]]
        lines.append(
            PlanLine(
                region=EVERYWHERE,
                category=str(row["category"]),
                product_id=str(row["product_id"]),
                title=str(row["title"]),
                action=decided.stage,
                quantity=exposure.impressions / request.exposure_budget if request.exposure_budget else 0.0,
                value=float(row["probability"]),
                value_low=float(row["probability_low"]),
                value_high=float(row["probability_high"]),
                reason=f"{decided.reason}; {row['reasons']}",
                alternative=unseen if exposure.impressions else None,
                binding_constraint=exposure.binding,
                details={
                    "impressions": exposure.impressions,
                    "propensity": exposure.propensity,
                    "previous_stage": known[row["product_id"]].previous,
                    "merchant_id": row["merchant_id"],
                    "age_weeks": int(row["age_weeks"]),
                    "buyers": known[row["product_id"]].buyers,
                    "rule_rank": int(row["rule_rank"]),
                },
            )
        )
    tomorrow = request.as_of + timedelta(days=1)
    counts = Counter(line.action for line in lines)
    handed_out = sum(exposure.impressions for exposure in exposures.values())
    plan, folder = plans.save(
        place,
        PlanDraft(
            kind=data.KIND,
            source=request.source,
            as_of=request.as_of,
            season=tomorrow.isoformat(),
            valid_from=tomorrow,
            valid_until=tomorrow,
            snapshot_id=snapshot.id,
            release_ids={"growth": release.id},
            parameters={"exposure_budget": request.exposure_budget, "policy": asdict(policy)},
            summary={"stages": dict(counts), "impressions": handed_out},
            lines=tuple(lines),
        ),
    )
    return StepResult(
        step="incubation",
        summary=(
            f"plan {plan.plan_id} for {tomorrow}: "
            + (", ".join(f"{count:,} {name}" for name, count in counts.most_common()) or "no recent launch")
            + f"; {handed_out:,} of {request.exposure_budget:,} impressions"
        ),
        facts={"plan_id": plan.plan_id, "lines": len(lines), "stages": dict(counts), "impressions": handed_out},
        links={"plan": str(folder / "plan.csv")},
    )


def _scores_of(place: Workspace, snapshot: snapshots.Snapshot, request: Request) -> Release:
    """The serving scores, refused unless they were made from the snapshot of the request's day: who is new and what was
    sold changes daily, and a list of another day hands traffic to launches that are none."""
    train = f"Run `coldframe train --source {request.source} --as-of {request.as_of}` first."
    release = Registry(place).champion("growth")
    if release is None:
        raise NotAvailableError(f"{request.source} has no launch scores yet. {train}")
    if release.snapshot_id != snapshot.id:
        raise NotAvailableError(
            f"The serving launch scores {release.id} were made from snapshot {release.snapshot_id}; the plan of "
            f"{request.as_of} needs those of {snapshot.id}. {train}"
        )
    return release
