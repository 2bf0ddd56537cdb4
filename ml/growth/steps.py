"""The step ``growth``: scores every recent launch of the published snapshot by the method that may serve.

Incubation gives traffic by these chances. The facts are always the snapshot's; only the method has to earn its place,
so every run ends with a release of its own day in force. When it fails, incubation refuses to plan from an older one.
"""

import io
import json
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from coldframe import snapshots
from coldframe.paths import workspace
from coldframe.run import Request, StepResult
from ml.growth import data, evaluate
from ml.growth.decide import BASE_RATE, Choice, Evidence, Held, choose, serve
from ml.growth.model import METHODS, Calibration, calibrate, fit
from ml.promotion import PromotionDecision, decided
from ml.registry import Registry, Release, code_hash

MODEL = "growth"
_DIGITS = 6
# The table `scores`, which incubation and assortment read.
COLUMNS = (
    *("product_id", "category", "merchant_id", "title", "launched_on", "age_weeks", "probability"),
    *("probability_low", "probability_high", "rule_rank", "units_so_far", "gmv_so_far", "buyers_so_far"),
    *("bestseller_gmv", "reasons"),
)


def growth(request: Request) -> StepResult:
    """Validates every method, scores by the one that may serve and makes the release serve, or reuses what is there.

    A release made from the same snapshot by the same code is evidence as good as a new one; it is used where the method
    that may serve made it. Raises NotAvailableError where no snapshot of the request's day is published.
    """
    place = workspace(request.source)
    snapshot = snapshots.of_day(place, request.as_of)
    params = {"methods": sorted(METHODS), "features": list(data.FEATURES), "code": code_hash(Path(__file__).parent)}
    registry = Registry(place)
    held = _held(registry, request)
    made = registry.made_from(MODEL, request.as_of, snapshot.id, params)
    release = None
    if made and not request.force:
        favoured, choice = _choose(made[-1].table("measures"), held)
        release = next((r for r in made if _summary(r)["method"] == choice.method), None)
    reused = release is not None
    if release is None:
        release, favoured, choice = _train(registry, snapshot, request, params, held)
    decision = _promote(registry, release, choice)
    summary = _summary(release)
    return StepResult(
        step="growth",
        summary=(
            f"release {release.id}: {summary['launches']:,} recent launches scored by {choice.method} "
            f"({'; '.join(choice.reasons)})"
        ),
        reused=reused,
        warnings=tuple(summary["warnings"]),
        facts={"release_id": release.id, "method": choice.method, "favoured": favoured.method}
        | release.metrics
        | {"promotion": decision.action, "promotion_reasons": list(decision.reasons)},
        links={"release": str(release.path)},
    )


def _held(registry: Registry, request: Request) -> Held | None:
    """The champion's method, where today's choice must reckon with it.

    A person's rollback always counts. Otherwise a champion of a later day would tell this run what it may not know yet,
    and one whose scores have other columns than today's was made by another step than this one.
    """
    champion = registry.champion(MODEL)
    if champion is None:
        return None
    method = _summary(champion)["method"]
    if method not in (*METHODS, BASE_RATE):
        return None
    pinned = registry.pin(MODEL)
    columns = set(pq.read_schema(champion.file("scores")).names)
    if pinned is None and (champion.as_of > request.as_of or columns != set(COLUMNS)):
        return None
    return Held(method, pinned)


def _summary(release: Release) -> dict[str, Any]:
    return dict(json.loads(release.artefact("summary.json")))


def _train(
    registry: Registry,
    snapshot: snapshots.Snapshot,
    request: Request,
    params: dict[str, Any],
    held: Held | None,
) -> tuple[Release, Choice, Choice]:
    launches = data.load(registry.workspace, snapshot)
    known = launches.known
    validated = evaluate.validate(known)
    measured = evaluate.measure(validated).round(_DIGITS) if len(validated) else pd.DataFrame(columns=["method"])
    favoured, choice = _choose(measured, held)
    chosen = validated[validated["method"] == choice.method]
    calibration = calibrate(chosen["score"].to_numpy(dtype=float), chosen["label"].to_numpy(dtype=bool))
    warnings = []
    if not len(validated):
        weeks = known["scored_week"].nunique()
        warnings.append(
            f"{weeks} weeks of launches have a known outcome; validation needs more than {data.QUARTER}. "
            "The scores are not validated, and their intervals say so."
        )
    if not len(launches.current):
        warnings.append(f"No product was launched in the last {data.RECENT_WEEKS} weeks: there is nothing to score.")
    scores = _scores(launches, choice, calibration)
    table = evaluate.calibration_table(chosen) if len(chosen) else pd.DataFrame(columns=["group"])
    metrics = {
        f"{row['method']}.{name}": float(row[name])
        for row in measured.to_dict("records")
        for name in measured.columns
        if name != "method" and isfinite(float(row[name]))
    }
    # Why it serves depends on what served before; the same facts scored by the same method are the same release.
    summary = {
        "method": choice.method,
        "favoured": favoured.method,
        "launches": len(scores),
        "warnings": warnings,
    }
    artefacts = {"summary.json": json.dumps(summary, sort_keys=True).encode()}
    if len(chosen):
        artefacts["calibration.png"] = _picture(table, choice.method)
    release = registry.release(
        MODEL,
        request.as_of,
        snapshot.id,
        params,
        metrics,
        {
            "scores": scores,
            "validation": validated.astype({"label": bool}).round(_DIGITS),
            "calibration": table.round(_DIGITS),
            "measures": measured,
        },
        artefacts,
    )
    return release, favoured, choice


def _choose(measured: pd.DataFrame, held: Held | None) -> tuple[Choice, Choice]:
    """Today's favourite, and what may serve beside the held method, from the table `measures`."""
    evidence = {
        row["method"]: Evidence(row["average_precision"], row["ap_gain_low"], row["log_loss"], row["base_log_loss"])
        for row in measured.to_dict("records")
    }
    bestsellers = int(measured["bestsellers"].max()) if len(measured) else 0
    favoured = choose({name: found for name, found in evidence.items() if name != BASE_RATE}, bestsellers)
    return favoured, serve(favoured, held, evidence, bestsellers)


def _scores(launches: data.Launches, choice: Choice, calibration: Calibration) -> pd.DataFrame:
    rows = launches.current.copy()
    known = launches.known
    raw = fit(choice.method, known).predict(rows) if len(known) else np.full(len(rows), data.TOP)
    chance = calibration.chance(raw)
    rows["raw"] = raw
    low, high = calibration.interval(raw)
    rows["probability"] = chance
    rows["probability_low"] = np.minimum(low, chance)
    rows["probability_high"] = np.maximum(high, chance)
    rows["rule_rank"] = rows.groupby("category")["units_so_far"].rank(method="first", ascending=False).astype("int64")
    rows["of_category"] = rows.groupby("category")["product_id"].transform("size")
    rows["age_weeks"] = rows["age"]
    rows["reasons"] = [_reason(row) for row in rows.itertuples()]
    # The curve has steps, and within one the raw scores still rank.
    ordered = rows.sort_values(["probability", "raw", "product_id"], ascending=[False, False, True], ignore_index=True)
    return ordered[list(COLUMNS)].round({name: _DIGITS for name in COLUMNS if name.startswith("probability")})


def _reason(row: Any) -> str:
    weeks = int(row.age) + 1
    to = "" if pd.isna(row.buyers_so_far) else f" to {int(row.buyers_so_far):,} buyers"
    sold = (
        f"sold {int(row.units_so_far):,} units{to} in {weeks} week{'s' * (weeks > 1)}, "
        f"{int(row.rule_rank):,} of {int(row.of_category):,} launches of its category"
    )
    if row.threshold <= 0:
        return sold
    pace = float(np.exp(row.pace))
    return f"{sold}; on pace for {pace:,.1f} times what the category's top tenth sells in a quarter"


def _promote(registry: Registry, release: Release, choice: Choice) -> PromotionDecision:
    """Makes the release serve: a change of method is a promotion, the same method on other facts a refresh."""
    champion = registry.champion(MODEL)
    before = _summary(champion)["method"] if champion is not None else None
    decision = decided(
        "refresh" if before == choice.method else "promote",
        choice.reasons,
        {"champion": champion.id if champion else None, "method_before": before, "method": choice.method},
    )
    registry.promote(MODEL, release, decision)
    return decision


def _picture(table: pd.DataFrame, method: str) -> bytes:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.5, 4.5), layout="constrained")
    axes = figure.subplots()
    top = float(max(table["chance"].max(), table["observed"].max(), 0.01)) * 1.05
    axes.plot([0, top], [0, top], color="#999999", linewidth=1, label="what was promised")
    axes.plot(table["chance"], table["observed"], "o-", color="#2f7d32", label=method)
    axes.set(xlabel="promised chance", ylabel="observed share of bestsellers", xlim=(0, top), ylim=(0, top))
    axes.set_title("Launch score, tenths of later launches")
    axes.legend(frameon=False)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=120, metadata={"Software": None})
    return stream.getvalue()
