"""Lands the lines of published plans as facts, so that what a plan promised lies beside what then sold.

A plan's lines are known from the day after its as-of on, whenever somebody published it: only so does a run for a past
day see the plan of its season, and give the same bytes next year. A run of the as-of itself does not see them, or
publishing a plan would change the facts it was made from. When this is wrong, a plan is judged by lines that were never
in force.
"""

import filecmp
import shutil
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from tempfile import mkdtemp

import duckdb
import pandas as pd

from coldframe import landed
from coldframe.ledger import Ledger, Plan, PlanLine
from coldframe.paths import workspace
from landing import store
from landing.contract import PLAN_LINES
from landing.sources import quote

KIND = "assortment"


def land_plans(source: str) -> None:
    """Writes a version of `plan_lines` for each day on which another published plan of the source came to be known.

    Doing it again changes nothing, so a landing makes up for whatever kept a publication from being landed.
    """
    place, ledger = workspace(source), Ledger.open()
    # Of two plans for one season and as-of, the one published first was in force for no day.
    plans = list({(plan.season, plan.as_of): plan for plan in ledger.ever_published(source, KIND)}.values())
    if not plans:
        return
    rows = pd.concat([_rows(plan, ledger.lines(plan.plan_id)) for plan in plans])
    place.scratch.mkdir(parents=True, exist_ok=True)
    scratch = Path(mkdtemp(prefix="plans-", dir=place.scratch))
    try:
        with duckdb.connect() as connection:
            written = {landed.schema_file(place, PLAN_LINES.name): store.write_schema(connection, PLAN_LINES, scratch)}
            for as_of in sorted({plan.as_of for plan in plans}):
                target = landed.partition(place, PLAN_LINES.name, None, as_of + timedelta(days=1)).path
                written[target] = _write(connection, rows[rows["as_of"] <= as_of], scratch / f"{as_of}.parquet")
        for target, file in written.items():
            # A file that is replaced counts as changed facts, and what rests on them would be made again.
            if not (target.is_file() and filecmp.cmp(file, target, shallow=False)):
                store.move(file, target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _rows(plan: Plan, lines: Sequence[PlanLine]) -> pd.DataFrame:
    rows = pd.DataFrame([vars(line) for line in lines], columns=list(PlanLine.__dataclass_fields__))
    for name in ("rank", "expected_units"):
        rows[name] = pd.to_numeric(rows["details"].map(lambda details, name=name: details.get(name)))
    head = {name: getattr(plan, name) for name in ("plan_id", "as_of", "season", "valid_from", "valid_until")}
    return rows.assign(**head, objective=plan.parameters.get("objective", "gmv"))[list(PLAN_LINES.column_names)]


def _write(connection: duckdb.DuckDBPyConnection, rows: pd.DataFrame, path: Path) -> Path:
    columns = ", ".join(f"cast({c.name} as {c.type.value}) as {c.name}" for c in PLAN_LINES.columns)
    connection.register("plan_rows", rows)
    connection.execute(
        f"""
        copy (select {columns} from plan_rows order by {", ".join(PLAN_LINES.key)})
        to {quote(path)} (format parquet, compression zstd)
        """
    )
    return path
