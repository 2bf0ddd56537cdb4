"""The decision of docs/add-a-decision.md: which products to clear. Its tests run with all others."""

# --8<-- [start:decide]
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Policy:
    """A product is cleared when it sells less than `share` of what it sold a week in the quarter before."""

    share: float = 0.5
    least_units: int = 10


@dataclass(frozen=True)
class Product:
    """Units a week in the last four weeks and in the 13 before them, and GMV a unit."""

    product_id: str
    recent: float
    before: float
    gmv_per_unit: float


@dataclass(frozen=True)
class Clearance:
    """One product to clear, what it is still expected to bring in four weeks, and why."""

    product_id: str
    value: float
    reason: str


def decide(products: Sequence[Product], policy: Policy) -> list[Clearance]:
    """Products that have lost their customers, most valuable first. Too few units before decide nothing."""
    faded = [
        product
        for product in products
        if product.before * 13 >= policy.least_units and product.recent < policy.share * product.before
    ]
    cleared = [
        Clearance(
            product.product_id,
            round(product.recent * 4 * product.gmv_per_unit, 2),
            f"sells {product.recent:.1f} a week, less than {policy.share:.0%} of the {product.before:.1f} before",
        )
        for product in faded
    ]
    return sorted(cleared, key=lambda c: (-c.value, c.product_id))


# --8<-- [end:decide]
# --8<-- [start:data]
from coldframe.snapshots import Snapshot  # noqa: E402


def products(snapshot: Snapshot) -> list[Product]:
    """One row a product that sold in the 17 complete weeks up to the snapshot's day."""
    rows = snapshot.query(
        f"""
        select
            product_id,
            sum(units) filter (week_start > date '{snapshot.as_of}' - 35) / 4 as recent,
            sum(units) filter (week_start <= date '{snapshot.as_of}' - 35) / 13 as before,
            sum(gmv)::double / sum(units) as gmv_per_unit
        from fct_product_week
        where days_elapsed = 7 and week_start > date '{snapshot.as_of}' - 126
        group by product_id having sum(units) > 0
        order by product_id
        """
    ).fillna(0.0)
    return [Product(**row) for row in rows.to_dict("records")]


# --8<-- [end:data]
# --8<-- [start:step]
from datetime import timedelta  # noqa: E402

from coldframe import plans, snapshots  # noqa: E402
from coldframe.ledger import PlanDraft, PlanLine  # noqa: E402
from coldframe.paths import workspace  # noqa: E402
from coldframe.run import Request, StepResult  # noqa: E402


def clearance(request: Request) -> StepResult:
    """Drafts the clearance plan. Raises NotAvailableError before the first publication."""
    place = workspace(request.source)
    snapshot = snapshots.current(place)
    listed = snapshot.frame("dim_product", ["product_id", "category", "title"]).set_index("product_id")
    lines = tuple(
        PlanLine(
            region="all",
            category=listed.loc[line.product_id, "category"],
            product_id=line.product_id,
            title=listed.loc[line.product_id, "title"],
            action="clear",
            quantity=1.0,
            value=line.value,
            value_low=0.0,
            value_high=line.value,
            reason=line.reason,
            alternative=None,
            binding_constraint=None,
            details={},
        )
        for line in decide(products(snapshot), Policy())
    )
    plan, folder = plans.save(
        place,
        PlanDraft(
            kind="clearance",
            source=request.source,
            as_of=request.as_of,
            season=f"{request.as_of:%Y-%m}",
            valid_from=request.as_of + timedelta(days=1),
            valid_until=request.as_of + timedelta(weeks=4),
            snapshot_id=snapshot.id,
            release_ids={},
            parameters=vars(Policy()),
            summary={"products": len(lines)},
            lines=lines,
        ),
    )
    return StepResult(
        step="clearance",
        summary=f"plan {plan.plan_id}: {len(lines)} products to clear",
        facts={"plan_id": plan.plan_id},
        links={"plan": str(folder / "plan.csv")},
    )


# --8<-- [end:step]
