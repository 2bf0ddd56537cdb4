"""The log of our own incubation plans, and what another policy would have done on the same mornings.

Each morning is replayed from what was known then: the scores the plan was made from, the stages it started with, its
budget, and how impressions fell on channels and regions. A morning starts with the stages that the policy which ran had
left behind; where the other would have been by then after weeks of its own nobody can tell from a log. When this file
is wrong, a policy is judged by mornings that never were.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from typing import Any

import pandas as pd

from coldframe.errors import ConfigurationError, NotAvailableError
from coldframe.ledger import Ledger, Plan, PlanLine
from coldframe.paths import Workspace
from coldframe.snapshots import Snapshot
from ml.incubation import log as logs
from ml.incubation.exposure import Surfaces
from ml.incubation.plan import NEEDED, plan, seed
from ml.incubation.policy import Policy
from ml.registry import Registry

MART = "fct_exposure_line"
REWARDS = ("orders", "clicks", "carts", "gmv")
DAYS = 28
"""How far back a log tells of today: older impressions were of another season and of other products."""
SHORT = 0.1
"""Share of impressions not delivered from which on that is told."""


def own_log(snapshot: Snapshot, as_of: date, reward: str, least_delivered: float = 0.0) -> logs.Table:
    """What published plans of the last `DAYS` days showed, one row a day, product and place.

    A place also shows a product without us, so an impression of the plan is taken to have earned what all impressions
    of the product earned there that day. Where fewer were delivered than planned, every row counts for that share of
    its impressions: rows counted as they were delivered would be a choice that no policy made. Raises NotAvailableError
    where nothing was published or delivered, less than `least_delivered` of it was, or nobody counts impressions.
    """
    rows = pd.DataFrame()
    if MART in snapshot.tables:
        since = as_of - pd.Timedelta(days=DAYS - 1)
        rows = snapshot.frame(MART, where=f"propensity > 0 and date between '{since}' and '{as_of}'")
    if rows.empty:
        raise NotAvailableError(
            f"No published incubation plan was for one of the {DAYS} days up to {as_of}, so there is no log to learn "
            "from. `coldframe publish` puts a plan into force; its day must then have landed."
        )
    if rows["delivered"].isna().all():
        raise NotAvailableError(
            "Not available: the source has no `traffic`, so nobody knows what an impression earned."
        )
    planned, delivered = rows["impressions"].astype(float), rows["delivered"].astype(float)
    share = planned.clip(upper=delivered).sum() / max(planned.sum(), 1)
    counted = share * planned.where(delivered > 0, 0.0)
    if not counted.any():
        raise NotAvailableError("None of the impressions that published plans gave were delivered, as `traffic` tells.")
    if share < least_delivered:
        raise NotAvailableError(
            f"Only {share:.0%} of the impressions that published plans gave were delivered, as `traffic` tells, and "
            f"{least_delivered:.0%} are needed: what was shown instead was nobody's policy."
        )
    frame = pd.DataFrame(
        {
            "date": pd.to_datetime(rows["date"]).dt.date.astype(str),
            "action": rows["product_id"],
            "channel": rows["channel"],
            "region": rows["region"],
            "round": pd.to_datetime(rows["date"]).dt.date.astype(str) + " " + rows["product_id"],
            "impressions": counted,
            reward: rows[reward].astype(float) * counted / delivered.clip(lower=1),
            "propensity": rows["propensity"],
        }
    )
    log = logs.read(frame, f"published plans up to {as_of}", {"reward": reward})
    if share > 1 - SHORT:
        return log
    note = (
        f"only {share:.0%} of the impressions that plans gave were delivered. Whatever left out the others chose as "
        "well, by no known propensity: the values hold as far as it did not look at the product"
    )
    return replace(log, notes=(*log.notes, note))


def replayed(place: Workspace, log: logs.Table, policy: Policy) -> tuple[logs.Table, logs.Table]:
    """The log of the mornings that can be replayed, and the probabilities [day, product, place] with which `policy`
    would have shown what could be shown on them. A note of the log tells which mornings are left out, and why.

    Raises NotAvailableError where no morning can be replayed or the policy shows nothing on one, ConfigurationError
    where it guarantees more than there was.
    """
    ledger, registry = Ledger.open(), Registry(place)
    by_day = {plan.valid_from: plan for plan in ledger.ever_published(place.source, "incubation")}
    days = sorted(set(log.rows["date"]))
    parts: list[tuple[Any, ...]] = []
    lost: dict[str, str] = {}
    for day in days:
        try:
            morning = _morning(ledger, registry, by_day.get(date.fromisoformat(day)))
        except NotAvailableError as error:
            lost[day] = str(error)
            continue
        try:
            again = plan(*morning[:-1], policy, morning[-1])
        except ConfigurationError as error:
            raise ConfigurationError(f"The policy cannot be replayed on {day}: {error}") from error
        shown = [
            (day, line.product_id, channel, region, chance)
            for line in again.lines
            for channel, regions in line.details["propensity_by"].items()
            for region, chance in regions.items()
            if chance
        ]
        if not shown:
            raise NotAvailableError(f"The policy shows nothing on {day}: by it, no launch of that morning is in play.")
        parts += shown
    if lost:
        last, why = list(lost.items())[-1]
        told = f"{len(lost)} of {len(days)} mornings cannot be replayed, that of {last} because {why}"
        if len(lost) == len(days):
            raise NotAvailableError(told)
        kept = log.rows[~log.rows["date"].isin(list(lost))].reset_index(drop=True)
        log = replace(log, rows=kept, notes=(*log.notes, f"left out: {told}"))
    frame = pd.DataFrame(parts, columns=["date", "action", "channel", "region", logs.PROBABILITY])
    return log, logs.read_policy(frame, "the policy", log)


def _morning(
    ledger: Ledger, registry: Registry, ran: Plan | None
) -> tuple[pd.DataFrame, dict[str, str], Surfaces, int, int]:
    """What the plan that ran was made from: scores, stages before, surfaces, budget and seed. Raises NotAvailableError
    where that is not known any more."""
    if ran is None:
        raise NotAvailableError("its plan is not in the ledger.")
    lines = ledger.lines(ran.plan_id)
    scores = registry.load("growth", ran.release_ids["growth"]).table("scores")
    lacks = [name for name in ("previous_stage", "propensity_by") if any(name not in line.details for line in lines)]
    lacks += [name for name in NEEDED if name not in scores]
    if lacks:
        raise NotAvailableError(
            f"its plan {ran.plan_id} was made by an older Coldframe, which did not write down {', '.join(lacks)}."
        )
    before = {line.product_id: stage for line in lines if (stage := line.details["previous_stage"])}
    budget = int(ran.parameters["exposure_budget"])
    return scores, before, surfaces_of(lines), budget, seed(ran.source, ran.as_of)


def surfaces_of(lines: Iterable[PlanLine]) -> Surfaces:
    """Where a plan put the impressions of each category; a category it showed nothing of gets the mean of all."""
    lines = list(lines)
    rows = [
        (line.category, (channel, region), chance / line.details["propensity"])
        for line in lines
        if line.details["propensity"]
        for channel, regions in line.details["propensity_by"].items()
        for region, chance in regions.items()
    ]
    names = tuple(sorted({surface for _, surface, _ in rows}))
    shares = pd.DataFrame([(category, names.index(surface), share) for category, surface, share in rows])
    table = shares.groupby([0, 1])[2].mean().unstack(fill_value=0)
    table = table.reindex(sorted({line.category for line in lines})).fillna(shares.groupby(1)[2].mean())
    return Surfaces(names, table.div(table.sum(axis=1), axis=0))
