"""The step ``incubation``: scores in, a draft plan for tomorrow out, one line a live launch, online as a draft."""

from datetime import timedelta

from coldframe import plans, snapshots
from coldframe.errors import NotAvailableError
from coldframe.ledger import Ledger, PlanDraft
from coldframe.paths import Workspace, workspace
from coldframe.run import Request, StepResult, find_service
from ml.incubation.data import KIND, previous_stages, surfaces
from ml.incubation.plan import plan, seed
from ml.incubation.policy import load
from ml.incubation.promote import policy_in_force
from ml.registry import Registry, Release


def incubation(request: Request) -> StepResult:
    """Stages every live launch, hands out tomorrow's exposure, saves the plan as a draft and puts it online as such.

    Raises NotAvailableError where the serving launch scores are not those of the published snapshot and its day,
    ConfigurationError for a policy that does not fit or a budget below what it guarantees.
    """
    place = workspace(request.source)
    policy = policy_in_force(place) if request.policy is None else load(request.policy)
    snapshot = snapshots.of_day(place, request.as_of)
    release = _scores_of(place, snapshot, request)
    scores = release.table("scores")
    planned = plan(
        scores,
        previous_stages(Ledger.open(), request.source, request.as_of),
        surfaces(snapshot, scores["category"].astype(str).unique().tolist()),
        request.exposure_budget,
        policy,
        seed(request.source, request.as_of),
    )
    tomorrow = request.as_of + timedelta(days=1)
    made, folder = plans.save(
        place,
        PlanDraft(
            kind=KIND,
            source=request.source,
            as_of=request.as_of,
            season=tomorrow.isoformat(),
            valid_from=tomorrow,
            valid_until=tomorrow,
            snapshot_id=snapshot.id,
            release_ids={"growth": release.id},
            parameters={"exposure_budget": request.exposure_budget, "policy": policy.stored()},
            summary=planned.summary,
            lines=planned.lines,
        ),
    )
    online = find_service("push_plan")(made.plan_id)
    stages = ", ".join(f"{count:,} {name}" for name, count in planned.summary["stages"].items())
    return StepResult(
        step="incubation",
        summary=(
            f"plan {made.plan_id} for {tomorrow}: {stages or 'no live launch'}; {planned.summary['impressions']:,} of "
            f"{request.exposure_budget:,} impressions; {online}"
        ),
        warnings=planned.notes,
        facts={"plan_id": made.plan_id, "lines": len(planned.lines)} | planned.summary,
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
