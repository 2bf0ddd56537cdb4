"""The step ``assortment``: forecasts in, a draft plan out, one line a product, region and category."""

from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from math import sqrt
from typing import Any

import pandas as pd

from coldframe import plans, seasons, snapshots
from coldframe.ledger import PlanDraft, PlanLine
from coldframe.paths import workspace
from coldframe.run import Request, StepResult
from ml.assortment.data import candidates, shop_error, unforecast
from ml.assortment.decide import FEW, SLOTS, Candidate, Decision, Rules, decide
from ml.registry import Registry

# Half the width of an 80 % interval of a normal distribution, in standard deviations.
_HALF_WIDTH = 1.2816


def assortment(request: Request) -> StepResult:
    """Decides the season's assortment and saves it as a draft.

    Raises NotAvailableError where no snapshot of that day is published, where no forecast serves that is fresh enough
    or covers the season, ConfigurationError for rules that cannot be kept together.
    """
    place = workspace(request.source)
    snapshot = snapshots.of_day(place, request.as_of)
    release = Registry(place).champion_for("forecasting", request.as_of)
    season = seasons.resolve(request.season, request.as_of, snapshot.frame("dim_calendar"))
    found = candidates(snapshot, release.file("season_totals"), season, request)
    rules = Rules(
        slots=request.slots,
        new_share=request.new_product_share,
        merchant_share=request.merchant_share,
        must_keep=frozenset(request.must_keep),
        must_drop=frozenset(request.must_drop),
    )
    money = {"gmv": "GMV", "margin": "margin"}[request.objective]
    lines: list[PlanLine] = []
    solved: Counter[str] = Counter()
    worst_gap = 0.0
    for (region, category), cell in found.groupby(["region", "category"], sort=True):
        decision = decide(f"{region} / {category}", _candidates(cell), rules)
        solved[decision.solved_by] += 1
        worst_gap = max(worst_gap, decision.gap)
        lines += _lines(cell, decision, money)
    ranged = [line for line in lines if line.action == "range"]
    low, high = total_interval(ranged, shop_error(release.file("backtest"), release.file("routes")))
    value = sum(line.value for line in ranged)
    binding = Counter(str(line.binding_constraint) for line in ranged)
    plan, folder = plans.save(
        place,
        PlanDraft(
            kind="assortment",
            source=request.source,
            as_of=request.as_of,
            season=season.name,
            valid_from=season.first_day,
            valid_until=season.last_day,
            snapshot_id=snapshot.id,
            release_ids={"forecasting": release.id},
            parameters=request.model_dump(
                mode="json",
                include={
                    "slots",
                    "objective",
                    "service_level",
                    "new_product_share",
                    "merchant_share",
                    "must_keep",
                    "must_drop",
                },
            ),
            summary={"value": value, "value_low": low, "value_high": high, "binding": dict(binding)},
            lines=tuple(lines),
        ),
    )
    warnings = [
        f"must-keep {product} has no forecast in any region, so no region ranges it"
        for product in unforecast(found, request.must_keep)
    ]
    if release.as_of != request.as_of:
        warnings.append(f"the serving forecast {release.id} is as of {release.as_of}")
    return StepResult(
        step="assortment",
        summary=(
            f"plan {plan.plan_id} for {season.name}: {len(ranged):,} options in {sum(solved.values()):,} cells, "
            f"expected {money} {value:,.0f} ({low:,.0f} – {high:,.0f})"
        ),
        warnings=tuple(warnings),
        facts={
            "plan_id": plan.plan_id,
            "lines": len(lines),
            "candidates": len(found),
            "cells": dict(solved),
            "largest_gap": worst_gap,
            "binding": dict(binding.most_common()),
            "value": round(value, 2),
            "value_low": round(low, 2),
            "value_high": round(high, 2),
        },
        links={"plan": str(folder / "plan.csv")},
    )


def total_interval(lines: list[PlanLine], shop_error: float) -> tuple[float, float]:
    """An 80 % interval of the lines' total value: lines of one region and category err alike, cells independently.

    Each line's interval is read as a normal one. `shop_error` is the relative error that hits all lines at once (a bad
    December), as `data.shop_error` finds it in the back-test.
    """
    total = sum(line.value for line in lines)
    variance = (shop_error * total) ** 2
    ordered = sorted(lines, key=lambda line: (line.region, line.category))
    for _, cell in groupby(ordered, key=lambda line: (line.region, line.category)):
        variance += sum((line.value_high - line.value_low) / (2 * _HALF_WIDTH) for line in cell) ** 2
    half = _HALF_WIDTH * sqrt(variance)
    return max(0.0, total - half), total + half


def _candidates(cell: pd.DataFrame) -> list[Candidate]:
    columns = (cell[name] for name in ("product_id", "merchant_id", "value", "is_new"))
    return [Candidate(*row) for row in zip(*columns, strict=True)]


def _lines(cell: pd.DataFrame, decision: Decision, money: str) -> Iterator[PlanLine]:
    rows: dict[str, Any] = {str(row.product_id): row for row in cell.itertuples()}
    count = len(rows) - len(decision.dropped)

    def named(product: str) -> str:
        return f"{rows[product].title} ({rows[product].value:,.0f})"

    for choice in decision.choices:
        row = rows[choice.product_id]
        why = (
            f"{_ordinal(choice.rank)} of {count} by expected {money} {row.value:,.0f} ({row.value_low:,.0f} – "
            f"{row.value_high:,.0f}); sold {row.units_13w:,} units in 13 weeks; forecast by {row.model}"
        )
        if choice.replaces is not None:
            why = f"{choice.binding}, in place of {named(choice.replaces)}: {why}"
        elif choice.binding not in (SLOTS, FEW):
            why = f"{choice.binding}: {why}"
        instead = choice.replaces or decision.left_out
        yield _line(row, "range", int(row.depth), why, named(instead) if instead else None, choice.binding, choice.rank)
    for product in decision.dropped:
        row = rows[product]
        why = f"must-drop: expected {money} {row.value:,.0f} is given up; sold {row.units_13w:,} units in 13 weeks"
        yield _line(row, "drop", 0, why, None, "must-drop", None)


def _line(
    row: Any, action: str, quantity: int, reason: str, alternative: str | None, binding: str, rank: int | None
) -> PlanLine:
    return PlanLine(
        region=row.region,
        category=row.category,
        product_id=row.product_id,
        title=row.title,
        action=action,
        quantity=float(quantity),
        value=float(row.value),
        value_low=float(row.value_low),
        value_high=float(row.value_high),
        reason=reason,
        alternative=alternative,
        binding_constraint=binding,
        details={
            "rank": rank,
            "merchant_id": row.merchant_id,
            "is_new": bool(row.is_new),
            "expected_units": round(float(row.units), 2),
            "units_13w": int(row.units_13w),
            "model": row.model,
        },
    )


def _ordinal(number: int) -> str:
    suffix = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"
