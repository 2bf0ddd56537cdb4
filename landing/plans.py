"""Lands the lines of published plans as facts, so that what a plan promised lies beside what then sold.

A plan's lines are known from the day after its as-of on, whenever somebody published it: only so does a run for a past
day see the plan of its season, and give the same bytes next year. A run of the as-of itself does not see them, or
publishing a plan would change the facts it was made from. When this is wrong, a plan is judged by lines that were never
in force.

An assortment is a state, because it holds until another takes its place; an incubation plan is what happened on the one
day it was for.
"""

import filecmp
import shutil
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import duckdb
import pandas as pd

from coldframe import landed
from coldframe.ledger import Ledger, Plan, PlanLine
from coldframe.paths import workspace
from landing import store
from landing.contract import EXPOSURE_LINES, PLAN_LINES, Table
from landing.sources import quote

EVERYWHERE = "all"


def land_plans(source: str) -> None:
    """Writes a version of `plan_lines` for each day on which another published assortment of the source came to be
    known, and the day of `exposure_lines` of each published incubation plan.

    Doing it again changes nothing, so a landing makes up for whatever kept a publication from being landed.
    """
    place, ledger = workspace(source), Ledger.open()
    # Of two plans for one season and as-of, the one published first was in force for no day.
    plans = list({(plan.season, plan.as_of): plan for plan in ledger.ever_published(source, "assortment")}.values())
    incubations = {plan.valid_from: plan for plan in ledger.ever_published(source, "incubation")}
    days = {landed.partition(place, EXPOSURE_LINES.name, day).path: plan for day, plan in incubations.items()}
    days = {path: plan for path, plan in days.items() if not _holds(path, plan)}
    if not plans and not days:
        return
    place.scratch.mkdir(parents=True, exist_ok=True)
    scratch = Path(mkdtemp(prefix="plans-", dir=place.scratch))
    try:
        with duckdb.connect() as connection:
            written = {
                landed.schema_file(place, table.name): store.write_schema(connection, table, scratch / table.name)
                for table, found in ((PLAN_LINES, plans), (EXPOSURE_LINES, days))
                if found
            }
            if plans:
                rows = pd.concat([_rows(plan, ledger.lines(plan.plan_id)) for plan in plans])
            for as_of in sorted({plan.as_of for plan in plans}):
                target = landed.partition(place, PLAN_LINES.name, None, as_of + timedelta(days=1)).path
                known = rows[rows["as_of"] <= as_of]
                written[target] = _write(connection, PLAN_LINES, known, scratch / f"{as_of}.parquet")
            for target, plan in days.items():
                shown = _exposures(plan, ledger.lines(plan.plan_id))
                written[target] = _write(connection, EXPOSURE_LINES, shown, scratch / f"{plan.plan_id}.parquet")
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


def _exposures(plan: Plan, lines: Sequence[PlanLine]) -> pd.DataFrame:
    """One row a product and place it could have been shown in; one for everywhere where there was none."""
    rows = [
        (line.product_id, channel, region, line.action, impressions, propensity, line.value, line.quantity)
        for line in lines
        for channel, region, impressions, propensity in _places(line.details)
    ]
    names = ["product_id", "channel", "region", "stage", "impressions", "propensity", "chance", "share"]
    head: dict[str, Any] = {"plan_id": plan.plan_id, "as_of": plan.as_of, "date": plan.valid_from}
    return pd.DataFrame(rows, columns=names).assign(**head)


def _places(details: Mapping[str, Any]) -> Iterable[tuple[str, str, int, float]]:
    # Plans made before places were told apart have no propensities by place.
    if not details["propensity"] or "propensity_by" not in details:
        return [(EVERYWHERE, EVERYWHERE, details["impressions"], details["propensity"])]
    return [
        (channel, region, details["impressions_by"][channel][region], propensity)
        for channel, regions in details["propensity_by"].items()
        for region, propensity in regions.items()
    ]


def _holds(path: Path, plan: Plan) -> bool:
    """Whether the file has the lines of that plan: those of years of daily plans are not read again each night."""
    if not path.is_file():
        return False
    with duckdb.connect() as connection:
        found = connection.execute(f"select distinct plan_id from read_parquet({quote(path)})").fetchall()
    return found == [(plan.plan_id,)]


def _write(connection: duckdb.DuckDBPyConnection, table: Table, rows: pd.DataFrame, path: Path) -> Path:
    columns = ", ".join(f"cast({c.name} as {c.type.value}) as {c.name}" for c in table.columns)
    connection.register("plan_rows", rows)
    connection.execute(
        f"""
        copy (select {columns} from plan_rows order by {", ".join(table.key)})
        to {quote(path)} (format parquet, compression zstd)
        """
    )
    return path
