"""What a plan was decided by, kept beside it, so that a what-if asks the same question again and not today's.

Read from today's facts instead, a what-if would show the pinned product's effect mixed with a week's new sales.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from pathlib import Path

import pandas as pd

from coldframe.errors import NotAvailableError
from coldframe.files import whole
from coldframe.seasons import Season
from ml.assortment.decide import Choice, Decision
from ml.assortment.plan import Cell, Inputs
from ml.assortment.scenarios import Errors

CANDIDATES, DECIDED = "inputs.parquet", "decided.json"


def save(folder: Path, inputs: Inputs, decided: Mapping[Cell, Decision]) -> None:
    """Writes both into the folder of the plan, which is complete once the second is there."""
    if (folder / DECIDED).exists():
        return
    content = {
        "season": asdict(inputs.season),
        "errors": asdict(inputs.errors),
        "notes": inputs.notes,
        "decided": [[*key, asdict(decision)] for key, decision in decided.items()],
    }
    with whole(folder / CANDIDATES) as file:
        inputs.candidates.to_parquet(file, index=False)
    with whole(folder / DECIDED) as file:
        file.write_text(json.dumps(content, default=str))


def load(folder: Path) -> tuple[Inputs, dict[Cell, Decision]]:
    """Raises NotAvailableError for a plan without them: one made before they were kept, or on another machine."""
    if not (folder / DECIDED).is_file():
        raise NotAvailableError(
            f"{folder} does not hold what the plan was decided by. Run `coldframe decide` again and ask of that plan."
        )
    content = json.loads((folder / DECIDED).read_text())
    candidates = pd.read_parquet(folder / CANDIDATES)
    if "units_last_year" not in candidates:
        raise NotAvailableError(f"The plan in {folder} is of an earlier version. Run `coldframe decide` again.")
    days = {name: date.fromisoformat(content["season"][name]) for name in ("first_day", "last_day")}
    inputs = Inputs(
        candidates=candidates,
        season=Season(content["season"]["name"], **days),
        errors=Errors(**content["errors"]),
        notes=tuple(content["notes"]),
    )
    decided = {
        (region, category): Decision(
            **decision
            | {
                "choices": tuple(Choice(**choice) for choice in decision["choices"]),
                "dropped": tuple(decision["dropped"]),
            }
        )
        for region, category, decision in content["decided"]
    }
    return inputs, decided
