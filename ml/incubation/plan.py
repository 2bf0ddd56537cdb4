"""Stages and exposure put into the lines of a plan, with all that somebody needs to judge or replay them.

A pure function. What is left out here nobody can evaluate later: a line is written for every live launch, those that
got nothing included, with the propensity of each surface.
"""

import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from coldframe.errors import BadInputError
from coldframe.ledger import PlanLine
from ml.incubation.belief import Rates, rates, with_exposure
from ml.incubation.exposure import Exposure, Surfaces, expose
from ml.incubation.ladder import PLAYING, STAGES, Staged, climb
from ml.incubation.policy import Policy, unknown_tiers

EVERYWHERE = "all"
"""A line is of the whole marketplace; its details tell channels and regions apart."""
NEEDED = (
    *("product_id", "merchant_id", "merchant_tier", "category", "title", "listed_on", "age_days", "age_weeks"),
    *("probability", "probability_low", "probability_high", "demand_q10", "demand_q50", "demand_q90", "gmv_per_unit"),
    *("rate_mean", "rate_strength", "impressions_so_far", "orders_so_far", "units_so_far", "gmv_so_far"),
    *("buyers_so_far", "largest_buyer_share", "largest_address_share", "refunded_units_so_far", "bestseller_gmv"),
    *("evidence", "rule_rank", "reasons", "relisted_of"),
)
"""Columns of the growth release's `scores` that a plan is made from."""
_PROPENSITY_DIGITS = 12


@dataclass(frozen=True)
class Planned:
    """`notes` are what whoever approves the plan should know; they are on the plan as summary["notes"]."""

    lines: tuple[PlanLine, ...]
    summary: dict[str, Any]
    notes: tuple[str, ...]


def seed(source: str, as_of: date) -> int:
    """What a plan's draws depend on besides its inputs: with another seed its replay would be of another morning."""
    return zlib.crc32(f"{source} {as_of}".encode())


def check(scores: pd.DataFrame) -> None:
    """Raises BadInputError for scores that no plan can be made from, naming column, count and a product."""
    if missing := [name for name in NEEDED if name not in scores]:
        raise BadInputError(
            f"The table `scores` of the launch scores has no {', '.join(missing)}: it was made by an older Coldframe. "
            "Run `coldframe train growth` again."
        )
    chance = scores[["probability_low", "probability", "probability_high"]].astype(float)
    exposed = pd.Series(with_exposure(scores), index=scores.index)
    prior = scores[["rate_mean", "rate_strength", "impressions_so_far", "orders_so_far"]].astype(float)
    counts = ["impressions_so_far", "orders_so_far", "units_so_far", "gmv_so_far", "buyers_so_far"]
    wrong: dict[str, pd.Series[bool]] = {
        "product_id: named twice": scores["product_id"].duplicated(),
        "probability: outside its bounds, or they are outside 0 to 1": ~(
            chance.ge(0).all(axis=1) & chance.le(1).all(axis=1) & (chance.diff(axis=1).iloc[:, 1:] >= 0).all(axis=1)
        ),
        "evidence: neither exposure nor units": ~scores["evidence"].isin(["exposure", "units"]),
        "rate_mean, rate_strength: missing or not above 0, although exposure is known": exposed
        & ~(prior["rate_mean"].between(0, 1, inclusive="neither") & (prior["rate_strength"] > 0)),
        "impressions_so_far: missing, although exposure is known": exposed & prior["impressions_so_far"].isna(),
        "counts: below 0": (scores[counts].astype(float) < 0).any(axis=1),
        "gmv_per_unit: missing or below 0": ~(scores["gmv_per_unit"].astype(float) >= 0),
    }
    told = [
        f"{what} ({where.sum():,} of {len(scores):,} rows, the first {scores.loc[where, 'product_id'].iloc[0]})"
        for what, where in wrong.items()
        if where.any()
    ]
    if told:
        raise BadInputError(
            "The table `scores` of the launch scores does not fit:\n  " + "\n  ".join(told) + "\n"
            "Run `coldframe train growth` again; if it stays so, the step `growth` is at fault."
        )


def plan(
    scores: pd.DataFrame, before: Mapping[str, str], surfaces: Surfaces | None, budget: int, policy: Policy, seed: int
) -> Planned:
    """A line a launch of `scores`, in their order. `before` has the stage of products in the last plan; a relisted
    product without one takes that of its listing before. `surfaces` is None where nobody counts impressions.

    Raises BadInputError for scores that do not fit, ConfigurationError for a budget below what is guaranteed.
    """
    check(scores)
    launches = scores.reset_index(drop=True)
    own = launches["product_id"].map(before).astype("string")
    first = launches["relisted_of"].fillna(launches["product_id"])
    last = own[launches["listed_on"].sort_values(kind="stable").index].groupby(first).ffill()
    # The first one may be no launch any more; then it was decided on long ago, and there is nothing to undo.
    stage = own.fillna(last).fillna(launches["relisted_of"].map(before).astype("string"))
    launches["previous"] = stage.astype(object).where(stage.notna(), None)
    believed = rates(launches)
    staged = climb(launches, believed, policy)
    launches["stage"] = staged.stage
    exposure = expose(launches, believed, surfaces or Surfaces.everywhere(launches), budget, policy, seed)
    names = (surfaces or Surfaces.everywhere(launches)).names
    lines = _lines(launches, believed, staged, exposure, names, budget)
    notes = (*exposure.notes, *_notes(launches, policy))
    handed_out = exposure.impressions.sum(axis=0)
    moves = Counter(
        f"{previous} -> {now}"
        for previous, now in zip(launches["previous"], launches["stage"], strict=True)
        if previous is not None and previous != now
    )
    stages = Counter(launches["stage"])
    summary = {
        "stages": {name: stages[name] for name in STAGES if stages[name]},
        "moves": dict(sorted(moves.items())),
        "new": int(launches["previous"].isna().sum()),
        "left": len(set(before) - set(launches["product_id"])),
        "impressions": int(handed_out.sum()),
        "impressions_by": _by_channel(names, handed_out.tolist()),
        "least_propensity": exposure.floor,
        "objective": policy.objective,
        "notes": list(notes),
    }
    return Planned(lines, summary, notes)


def _lines(
    launches: pd.DataFrame,
    believed: Rates,
    staged: Staged,
    exposure: Exposure,
    names: tuple[tuple[str, str], ...],
    budget: int,
) -> tuple[PlanLine, ...]:
    unseen = _next_in_line(launches, exposure.impressions.sum(axis=1))
    columns = {
        "rate": believed.mean,
        "gmv_per_order": believed.gmv_per_order,
        "bestseller_rate": believed.line,
        "chance_of_bestseller_rate": believed.pull,
        "worth_of_looking": staged.worth,
    }
    measured = pd.DataFrame({name: np.round(values, 6) for name, values in columns.items()}).to_dict("records")
    given, chances = exposure.impressions.tolist(), np.round(exposure.propensity, _PROPENSITY_DIGITS).tolist()
    total = exposure.impressions.sum(axis=1).tolist()
    propensity = np.round(exposure.propensity.sum(axis=1), _PROPENSITY_DIGITS).tolist()
    lines = []
    for i, row in enumerate(launches.to_dict("records")):
        lines.append(
            PlanLine(
                region=EVERYWHERE,
                category=str(row["category"]),
                product_id=str(row["product_id"]),
                title=str(row["title"]),
                action=row["stage"],
                quantity=total[i] / budget if budget else 0.0,
                value=float(row["probability"]),
                value_low=float(row["probability_low"]),
                value_high=float(row["probability_high"]),
                reason=f"{staged.reason[i]}; {row['reasons']}",
                alternative=unseen if total[i] else None,
                binding_constraint=exposure.binding[i],
                details={
                    "impressions": total[i],
                    "propensity": propensity[i],
                    "previous_stage": row["previous"],
                    "to_graduate": staged.to_graduate[i] or None,
                    "evidence": row["evidence"],
                    "merchant_id": _text(row["merchant_id"]),
                    "merchant_tier": _text(row["merchant_tier"]),
                    "age_weeks": int(row["age_weeks"]),
                    "buyers": _whole(row["buyers_so_far"]),
                    "units": _whole(row["units_so_far"]),
                    "orders": _whole(row["orders_so_far"]),
                    "impressions_so_far": _whole(row["impressions_so_far"]),
                    **{str(name): None if np.isnan(value) else value for name, value in measured[i].items()},
                    "rule_rank": int(row["rule_rank"]),
                    "relisted_of": _text(row["relisted_of"]),
                    "impressions_by": _by_channel(names, given[i]),
                    "propensity_by": _by_channel(names, chances[i]),
                },
            )
        )
    return tuple(lines)


def _by_channel(names: Sequence[tuple[str, str]], values: Sequence[Any]) -> dict[str, dict[str, Any]]:
    """Values [surface] by channel and region."""
    found: dict[str, dict[str, Any]] = {}
    for (channel, region), value in zip(names, values, strict=True):
        found.setdefault(channel, {})[region] = value
    return found


def _next_in_line(launches: pd.DataFrame, total: "np.ndarray") -> str | None:
    """The launch in play with the best chance that is not shown."""
    waiting = launches[(total == 0) & launches["stage"].isin(PLAYING).to_numpy()]
    if waiting.empty:
        return None
    return str(waiting.sort_values(["probability", "product_id"], ascending=[False, True])["product_id"].iloc[0])


def _notes(launches: pd.DataFrame, policy: Policy) -> list[str]:
    by_units = int((launches["evidence"] == "units").sum())
    relisted = int(launches["relisted_of"].notna().sum())
    frozen = int((launches["stage"] == "frozen").sum())
    notes, of = [], f"{len(launches):,} launches"
    if by_units:
        notes.append(
            f"judged by units and buyers, because the source counts no impressions: {by_units:,} of {of}; one that "
            "sold nothing may never have been seen"
        )
    if frozen:
        notes.append(
            f"frozen because their sales look made or come back: {frozen:,} of {of}; who looked at one names it in "
            "`cleared` of the policy"
        )
    if relisted:
        notes.append(
            f"listed anew under another id: {relisted:,} of {of}; they take the stage of the listing before, which is "
            "let go"
        )
    tiers = sorted(launches["merchant_tier"].dropna().astype(str).unique())
    if unknown := unknown_tiers(policy, tiers):
        there = f"are of tier {', '.join(tiers)}" if tiers else "have no tier"
        notes.append(
            f"nobody gets what is guaranteed to tier {', '.join(unknown)}: the merchants of the live launches {there}"
        )
    return notes


def _text(value: Any) -> str | None:
    return None if pd.isna(value) else str(value)


def _whole(value: Any) -> int | None:
    return None if pd.isna(value) else int(value)
