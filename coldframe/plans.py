"""Hands a decided plan over: to the ledger, where somebody approves it, and as a table, from which it is acted upon.

All hold the same lines under the same id; when they differ, somebody orders what nobody approved.
"""

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from coldframe.files import check_out, whole
from coldframe.ledger import Ledger, Plan, PlanDraft, PlanLine
from coldframe.paths import Workspace

SUFFIXES = (".csv", ".parquet")
# What is read first stands first; details of a decision that are not named here follow.
_COLUMNS = (
    *("region", "category", "rank", "product_id", "title", "action", "quantity", "value", "value_low", "value_high"),
    *("on_shelf_from", "on_shelf_until", "reason", "alternative", "binding_constraint"),
)
# Numbers without a fraction that some lines do not have.
_WHOLE = {"rank", "units_last_year"}


def save(place: Workspace, draft: PlanDraft) -> tuple[Plan, Path]:
    """Saves the plan as a draft and exports its lines as CSV and Parquet; returns it and the folder of the export.

    The same decision saved again is the same plan. Raises ConfigurationError for lines the ledger refuses.
    """
    plan = Ledger.open().save_plan(draft)
    folder = place.plans / plan.plan_id
    if not folder.is_dir():
        place.scratch.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix="plan-", dir=place.scratch))
        for suffix in SUFFIXES:
            write(draft.lines, scratch / f"plan{suffix}")
        scratch.chmod(0o755)
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(scratch, folder)
    return plan, folder


def check_file(path: Path) -> None:
    """Raises ConfigurationError for a file that `write` could not write, before anything is decided."""
    check_out(path, *SUFFIXES)


def write(lines: Sequence[PlanLine], path: Path) -> None:
    """Writes `lines_table` as CSV or Parquet, by the suffix, replacing a file that is there only when all is written.

    Raises ConfigurationError as `check_file` does.
    """
    check_file(path)
    table = lines_table(lines)
    with whole(path) as temporary:
        if path.suffix == ".csv":
            table.to_csv(temporary, index=False)
        else:
            table.to_parquet(temporary, index=False)


def lines_table(lines: Sequence[PlanLine]) -> pd.DataFrame:
    """One row a line, by region, category and rank (lines without one last, as they were decided).

    Columns are the fields of a PlanLine and each of its details. Without a line there are the fields alone.
    """
    table = pd.DataFrame([asdict(line) for line in lines], columns=list(PlanLine.__dataclass_fields__))
    details = pd.json_normalize(table.pop("details").tolist())
    table = pd.concat([table, details], axis=1)
    for name in _WHOLE & set(table):
        table[name] = table[name].astype("Int64")
    named = [name for name in _COLUMNS if name in table]
    table = table[named + [name for name in table if name not in named]]
    keys = [name for name in ("region", "category", "rank") if name in table]
    return table.sort_values(keys, kind="stable", ignore_index=True)


def overlaps(ledger: Ledger, plan: Plan) -> list[str]:
    """A sentence for each other published plan of the same kind and source, by another season, for some of its days."""
    return [
        f"Plan {other.plan_id} for {other.season} is published for {(last - first).days + 1} of the same days "
        f"({first} to {last}); two plans for one day contradict one another."
        for other in ledger.plans(source=plan.source, kind=plan.kind, status="published")
        if other.season != plan.season
        for first, last in [(max(plan.valid_from, other.valid_from), min(plan.valid_until, other.valid_until))]
        if first <= last
    ]


def caveats(ledger: Ledger, plan: Plan) -> list[str]:
    """What whoever approves the plan should know of its days: those that are over, and those another plan has."""
    over, days = ((day - plan.valid_from).days + 1 for day in (plan.as_of, plan.valid_until))
    began = f"The season began on {plan.valid_from}: {over} of its {days} days are over, and the plan is for the rest."
    return ([began] if over > 0 else []) + overlaps(ledger, plan)
