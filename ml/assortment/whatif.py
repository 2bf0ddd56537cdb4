"""What if a product must stay or go, with more slots or less money: the plan again, and the difference by line.

People negotiate with these differences, so nothing may differ but what was asked: the candidates, forecasts and
substitution are those the plan was decided by.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import ValidationError

from coldframe.errors import ConfigurationError, NotAvailableError
from coldframe.ledger import Ledger, Plan, PlanLine
from coldframe.paths import workspace
from ml.assortment import saved
from ml.assortment.plan import Cell, Inputs, Terms, decide_cells, plan

LEAST_CHANGE = 0.01
"""Share of its value by which a line of the same depth must change to be told."""
SHOWN = ("value", "value_low", "value_high", "stock_money", "fill_rate", "worth_of_money", "rules_cost")


def what_if(
    plan_id: str,
    keep: Sequence[str] = (),
    drop: Sequence[str] = (),
    slots: int | None = None,
    budget: float | None = None,
) -> dict[str, Any]:
    """Decides a plan of the ledger again with products pinned or dropped, other slots or another budget; saves nothing.

    Returns `rows`, the lines that differ (change: added, removed or changed; region, category, product_id, title,
    depth_before, depth, value_before, value, reason), `unchanged` (how many do not), `before` and `after` (SHOWN of
    both plans) and the `notes` of the new one. Raises NotAvailableError for a plan whose inputs are not kept,
    ConfigurationError for a product that is no candidate, nothing asked, or what cannot be kept together.
    """
    asked = Ledger.open().plan(plan_id)
    if asked.kind != "assortment":
        raise ConfigurationError(f"Plan {plan_id} is an {asked.kind} plan; what-if knows assortments.")
    inputs, before = saved.load(workspace(asked.source).plans / plan_id)
    terms = _terms(asked)
    wanted = _changed(terms, keep, drop, slots, budget)
    if wanted == terms:
        raise ConfigurationError("Nothing differs from the plan. Say --keep, --drop, --slots or --budget.")
    decided = decide_cells(inputs, wanted, before, _cells(inputs, [*keep, *drop], wanted.slots != terms.slots))
    planned = plan(inputs, wanted, decided)
    lines = Ledger.open().lines(plan_id)
    rows = list(_differences(lines, planned.lines))
    return {
        "plan": plan_id,
        "objective": terms.objective,
        "rows": rows,
        "unchanged": len(planned.lines) - sum(row["change"] != "removed" for row in rows),
        "before": {name: asked.summary[name] for name in SHOWN},
        "after": {name: planned.summary[name] for name in SHOWN},
        "notes": list(planned.notes),
    }


def _terms(asked: Plan) -> Terms:
    try:
        return Terms.model_validate(asked.parameters)
    except ValidationError as error:
        raise NotAvailableError(
            f"Plan {asked.plan_id} was made by another version, with other parameters. Run `coldframe decide` again."
        ) from error


def _changed(terms: Terms, keep: Sequence[str], drop: Sequence[str], slots: int | None, budget: float | None) -> Terms:
    """A product pinned now is no longer dropped, and the other way round."""
    if both := sorted({*keep} & {*drop}):
        raise ConfigurationError(f"--keep and --drop both name {', '.join(both)}.")
    if (slots is not None and slots < 1) or (budget is not None and budget <= 0):
        raise ConfigurationError("--slots must be at least 1, --budget more than 0.")
    changes: dict[str, Any] = {
        "must_keep": tuple(dict.fromkeys(p for p in (*terms.must_keep, *keep) if p not in drop)),
        "must_drop": tuple(dict.fromkeys(p for p in (*terms.must_drop, *drop) if p not in keep)),
    }
    changes |= {} if slots is None else {"slots": slots}
    changes |= {} if budget is None else {"budget": budget}
    return terms.model_copy(update=changes)


def _cells(inputs: Inputs, products: Sequence[str], everything: bool) -> frozenset[Cell]:
    """The cells whose choice may change."""
    found = inputs.candidates
    if unknown := sorted(set(products) - set(found["product_id"])):
        raise ConfigurationError(
            f"{len(unknown)} products are no candidates of the plan: {', '.join(unknown[:5])}. They are not in the "
            "catalogue, or hardly sell; `coldframe decide --must-keep` plans with such a product as well."
        )
    rows = found if everything else found[found["product_id"].isin(products)]
    return frozenset(zip(rows["region"].astype(str), rows["category"].astype(str), strict=True))


def _differences(before: Sequence[PlanLine], after: Sequence[PlanLine]) -> Iterator[dict[str, Any]]:
    """Lines that are in one plan only, or whose depth or value (by more than LEAST_CHANGE) differs, in order."""
    old, new = ({(li.region, li.category, li.product_id): li for li in lines} for lines in (before, after))
    for key in sorted({*old, *new}):
        was, now = _ranged(old.get(key)), _ranged(new.get(key))
        line = now or was
        if line is None or (was and now and was.quantity == now.quantity and _nearly(was.value, now.value)):
            continue
        yield {
            "change": "added" if was is None else "removed" if now is None else "changed",
            "region": line.region,
            "category": line.category,
            "product_id": line.product_id,
            "title": line.title,
            "depth_before": was.quantity if was else 0.0,
            "depth": now.quantity if now else 0.0,
            "value_before": was.value if was else 0.0,
            "value": now.value if now else 0.0,
            "reason": now.reason if now else "",
        }


def _nearly(before: float, after: float) -> bool:
    """Whether the difference is only what every other line of the cell feels of a change."""
    return abs(after - before) <= LEAST_CHANGE * abs(before)


def _ranged(line: PlanLine | None) -> PlanLine | None:
    return line if line is not None and line.action == "range" else None
