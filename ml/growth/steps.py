"""The step ``growth``: scores every recent launch of the published snapshot and promotes the release if it may serve.

Incubation gives traffic by these chances; when the step fails, the last champion's scores go on being used.
"""

import hashlib
import io
import json
from functools import lru_cache
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from coldframe import snapshots
from coldframe.errors import NotAvailableError
from coldframe.paths import workspace
from coldframe.run import Request, StepResult
from ml.growth import data, evaluate
from ml.growth.decide import BASE_RATE, LEAST_BESTSELLERS, Choice, Evidence, choose
from ml.growth.model import METHODS, RULE_METHOD, Calibration, calibrate, fit
from ml.promotion import PromotionDecision, Scores, decide_promotion
from ml.registry import Registry, Release

MODEL = "growth"
_DIGITS = 6
# The table `scores`, which incubation and assortment read.
COLUMNS = (
    *("product_id", "category", "merchant_id", "title", "launched_on", "age_weeks", "probability"),
    *("probability_low", "probability_high", "rule_rank", "units_so_far", "gmv_so_far", "buyers_so_far"),
    *("bestseller_gmv", "reasons"),
)


def growth(request: Request) -> StepResult:
    """Trains, validates and scores, or reuses the release made from the same snapshot by the same code.

    Raises NotAvailableError where no snapshot of the request's day is published.
    """
    place = workspace(request.source)
    snapshot = snapshots.current(place)
    if snapshot.as_of != request.as_of:
        raise NotAvailableError(
            f"The published snapshot {snapshot.id} is as of {snapshot.as_of}, the run as of {request.as_of}. "
            "Run `coldframe audit` for that day first."
        )
    params = {"methods": sorted(METHODS), "features": list(data.FEATURES), "code": code_hash()}
    registry = Registry(place)
    made = [
        r
        for r in registry.releases(MODEL)
        if (r.as_of, r.snapshot_id, r.params) == (request.as_of, snapshot.id, params)
    ]
    release = made[-1] if made and not request.force else _train(registry, snapshot, request, params)
    decision = _promote(registry, release)
    warnings = list(json.loads(release.artefact("summary.json"))["warnings"])
    if decision is not None and decision.action == "keep":
        warnings.append(f"release {release.id} was not promoted: {'; '.join(decision.reasons)}")
    summary = json.loads(release.artefact("summary.json"))
    return StepResult(
        step="growth",
        summary=(
            f"release {release.id}: {summary['launches']:,} recent launches scored by {summary['method']} "
            f"({summary['why']})"
        ),
        reused=bool(made) and not request.force,
        warnings=tuple(warnings),
        facts={"release_id": release.id, "method": summary["method"]}
        | release.metrics
        | ({"promotion": decision.action, "promotion_reasons": list(decision.reasons)} if decision else {}),
        links={"release": str(release.path)},
    )


@lru_cache(maxsize=1)
def code_hash() -> str:
    """Hash of this room's code: a release made by other code is not the same release."""
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()[:12]


def _train(registry: Registry, snapshot: snapshots.Snapshot, request: Request, params: dict[str, Any]) -> Release:
    launches = data.load(registry.workspace, snapshot)
    known = launches.known
    validated = evaluate.validate(known)
    measured = evaluate.measure(validated) if len(validated) else pd.DataFrame(columns=["method"])
    choice = _choose(measured)
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
        f"{row['method']}.{name}": round(float(row[name]), _DIGITS)
        for row in measured.to_dict("records")
        for name in measured.columns
        if name != "method" and isfinite(float(row[name]))
    }
    summary = {
        "method": choice.method,
        "why": "; ".join(choice.reasons),
        "launches": len(scores),
        "warnings": warnings,
    }
    artefacts = {"summary.json": json.dumps(summary, sort_keys=True).encode()}
    if len(chosen):
        artefacts["calibration.png"] = _picture(table, choice.method)
    return registry.release(
        MODEL,
        request.as_of,
        snapshot.id,
        params,
        metrics,
        {
            "scores": scores,
            "validation": validated.astype({"label": bool}).round(_DIGITS),
            "calibration": table.round(_DIGITS),
            "measures": measured.round(_DIGITS),
        },
        artefacts,
    )


def _choose(measured: pd.DataFrame) -> Choice:
    evidence = {
        row["method"]: Evidence(row["average_precision"], row["ap_gain_low"], row["log_loss"], row["base_log_loss"])
        for row in measured.to_dict("records")
        if row["method"] != BASE_RATE
    }
    return choose(evidence, int(measured["bestsellers"].max()) if len(measured) else 0)


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
    to = "" if pd.isna(row.buyers_so_far) else f" to {int(row.buyers_so_far)} buyers"
    sold = (
        f"sold {int(row.units_so_far)} units{to} in {weeks} week{'s' * (weeks > 1)}, "
        f"{int(row.rule_rank)} of {int(row.of_category)} launches of its category"
    )
    if row.threshold <= 0:
        return sold
    pace = float(np.exp(row.pace))
    return f"{sold}; on pace for {pace:.1f} times what the category's top tenth sells in a quarter"


def _promote(registry: Registry, release: Release) -> PromotionDecision | None:
    """Lets the policy compare the log loss of the methods champion and challenger chose, with the base rate's beside.

    Both are scored on the challenger's weeks where the champion's method was validated there, else the challenger has
    only the base rate to beat. A release that cannot be judged serves only where none that could does, and a champion
    whose scores have other columns than today's counts as none: whoever reads them no longer could.
    """
    champion = registry.champion(MODEL)
    if champion is not None and champion.id == release.id:
        return None
    if champion is not None and set(pq.read_schema(champion.file("scores")).names) != set(COLUMNS):
        champion = None
    method = json.loads(release.artefact("summary.json"))["method"]
    name = f"{method}.log_loss"
    if not _judged(release):
        reasons = (f"fewer than {LEAST_BESTSELLERS} bestsellers among validated launches are too few to judge by",)
        if champion is not None and _judged(champion):
            return PromotionDecision("keep", reasons, {}, release.id[-12:])
        decision = PromotionDecision("promote", (*reasons, "and nothing validated serves"), {}, release.id[-12:])
    else:
        windows = str(release.manifest["files"]["tables/validation.parquet"]["sha256"][:12])
        base = release.metrics[f"{method}.base_log_loss"]
        before = None
        if champion is not None:
            served = json.loads(champion.artefact("summary.json"))["method"]
            loss = release.metrics.get(f"{served}.log_loss")
            before = Scores(champion.id, champion.as_of, windows, loss, base) if loss is not None else None
        after = Scores(release.id, release.as_of, windows, release.metrics[name], base)
        decision = decide_promotion(before, after, veto=registry.veto(MODEL, release.id))
    if decision.action == "promote":
        registry.promote(MODEL, release, decision)
    return decision


def _judged(release: Release) -> bool:
    return release.metrics.get(f"{RULE_METHOD}.bestsellers", 0) >= LEAST_BESTSELLERS


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
