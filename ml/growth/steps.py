"""The step ``growth``: scores every live launch of the published snapshot by the method that may serve.

Incubation gives traffic by these chances. The facts are always the snapshot's; only the method has to earn its place,
so every run ends with a release of its own day in force. When it fails, incubation refuses to plan from an older one.
"""

import io
import json
from dataclasses import replace
from math import isfinite
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from coldframe import snapshots
from coldframe.paths import workspace
from coldframe.run import Request, StepResult
from ml.growth import data, evaluate, scores
from ml.growth.decide import BASE_RATE, Choice, Evidence, Held, choose, serve
from ml.growth.model import METHODS
from ml.promotion import PromotionDecision, decided
from ml.registry import Registry, Release, code_hash

MODEL = "growth"
_DIGITS = 6


def growth(request: Request) -> StepResult:
    """Validates every method, scores by the one that may serve and makes the release serve, or reuses what is there.

    A release made from the same snapshot by the same code is evidence as good as a new one; it is used where the method
    that may serve made it. Raises NotAvailableError where no snapshot of the request's day is published.
    """
    place = workspace(request.source)
    snapshot = snapshots.of_day(place, request.as_of)
    params = {"methods": sorted(METHODS), "code": code_hash(Path(__file__).parent)}
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
            f"release {release.id}: live launches scored by {choice.method}: {summary['launches']:,} "
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
    if pinned is None and (champion.as_of > request.as_of or columns != set(scores.COLUMNS)):
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
    validated = evaluate.validate(launches)
    measured = evaluate.measure(validated).round(_DIGITS) if len(validated) else pd.DataFrame(columns=["method"])
    favoured, choice = _choose(measured, held)
    chosen = validated[validated["method"] == choice.method]
    # A base rate ranks nothing: a curve through several of them is the luck of their weeks.
    ranked = chosen[chosen["score"] != chosen["base_rate"]]
    calibration = evaluate.calibration_of(ranked)
    known, demand, learned = evaluate.learn(launches, launches.end, (choice.method,))
    fitted = learned[choice.method]
    if not len(known.known):
        # Nobody's fate is known: by its definition a tenth of what sells is a blockbuster.
        fitted = replace(fitted, base_rate=data.TOP)
    scored = scores.score_table(launches, known, fitted, demand, calibration, evaluate.spread_of(validated))
    warnings = _warnings(launches, validated)
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
        "launches": len(scored),
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
            "scores": scored,
            "contributions": scores.contributions(launches, known, fitted),
            "like_items": scores.like_items(launches, known),
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


def _warnings(launches: data.Launches, validated: pd.DataFrame) -> list[str]:
    catalogue, live = launches.catalogue, launches.current
    told = []
    if not len(validated):
        told.append(
            f"Launches of whose weeks 9 to 26 something is known: {len(launches.known(launches.end)):,}. Validation "
            "needs some that were known weeks ago. The scores are not validated, and their intervals say so."
        )
    if not len(live):
        told.append(f"No product was launched in the last {data.LIVE_DAYS // 7} weeks: there is nothing to score.")
    if late := int((catalogue["declared_on"] > catalogue["listed_on"]).sum()):
        told.append(f"products.launched_on: launches declared after their first sale, which counts: {late:,}.")
    if again := int(catalogue.loc[live["product_id"], "relisted_of"].notna().sum()):
        told.append(f"Live launches that are relistings of the same merchant's product: {again:,}. No clean slate.")
    if len(live) and not launches.has_traffic:
        told.append("The source has no traffic: launches are judged by units, whoever pushed them.")
    return told


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
    axes.set(xlabel="promised chance", ylabel="observed share of blockbusters", xlim=(0, top), ylim=(0, top))
    axes.set_title("Launch score, tenths of later launches")
    axes.legend(frameon=False)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=120, metadata={"Software": None})
    return stream.getvalue()
