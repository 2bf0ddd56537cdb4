"""Recent launches as the policy sees them: scores of the serving release, and the stage each had in the last plan."""

from datetime import date
from math import isnan

import pandas as pd

from coldframe.ledger import Ledger
from ml.incubation.decide import Launch, Stage

KIND = "incubation"


def launches(scores: pd.DataFrame, previous: dict[str, Stage]) -> list[Launch]:
    """One launch a row of `scores` (table ``scores`` of a growth release)."""
    return [
        Launch(
            product_id=row["product_id"],
            merchant_id=row["merchant_id"],
            age_weeks=int(row["age_weeks"]),
            chance=float(row["probability"]),
            chance_low=float(row["probability_low"]),
            chance_high=float(row["probability_high"]),
            buyers=None if pd.isna(row["buyers_so_far"]) else int(row["buyers_so_far"]),
            units=int(row["units_so_far"]),
            gmv=float(row["gmv_so_far"]),
            bestseller_gmv=None if isnan(row["bestseller_gmv"]) else float(row["bestseller_gmv"]),
            previous=previous.get(row["product_id"]),
        )
        for row in scores.to_dict("records")
    ]


def previous_stages(ledger: Ledger, source: str, as_of: date) -> dict[str, Stage]:
    """Stage of each product in the newest plan made for an earlier day, whatever became of that plan but rejection."""
    earlier = [p for p in ledger.plans(source=source, kind=KIND) if p.as_of < as_of and p.status not in ("rejected",)]
    if not earlier:
        return {}
    newest = max(earlier, key=lambda p: (p.as_of, p.created_at))
    stages: dict[str, Stage] = {}
    for line in ledger.lines(newest.plan_id):
        if line.action in ("seed", "incubate", "graduate", "retire"):
            stages[line.product_id] = line.action  # type: ignore[assignment]
    return stages
