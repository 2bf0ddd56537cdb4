"""Every source the whole way: rows and sums against those published, seconds and peak memory of each step.

First each source is landed up to its last day and held against the totals its publisher or we ourselves know; then it
goes the whole way in a new home as of the day it suggests (`python -m benchmarks.sources [source …]`).
"""

import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.forecasting.shops import DATA
from benchmarks.steps import measure
from coldframe import landed
from coldframe.ledger import Ledger
from coldframe.paths import Workspace
from coldframe.run import STEPS
from coldframe.settings import load
from landing.sources import suggested_as_of


@dataclass(frozen=True)
class Total:
    """A sum that is known: `sql` over the views of landed tables and of `refused_<table>`, and what it must be."""

    what: str
    sql: str
    published: str


@dataclass(frozen=True)
class Case:
    """A source, its folder under ../shared/data (None: it needs none) and the last day of its data."""

    name: str
    folder: str | None
    last_day: date
    totals: Sequence[Total]

    @property
    def path(self) -> Path | None:
        return DATA / self.folder if self.folder else None


CASES = (
    Case(
        "complete_journey",
        None,
        date(2018, 1, 1),
        (
            Total(
                "lines accepted and refused",
                "select (select count(*) from order_lines) + (select count(*) from refused_order_lines)",
                "1,469,307",
            ),
        ),
    ),
    Case(
        "olist",
        "olist",
        date(2018, 12, 31),
        (
            Total(
                "price of all items",
                """
                select sum(cast(gross_amount as decimal(18, 2)))
                from (select gross_amount from order_lines union all select gross_amount from refused_order_lines)
                """,
                "13,591,643.70",
            ),
            Total("sellers", "select count(*) from merchants", "3,095"),
        ),
    ),
    Case(
        "online_retail_ii",
        "online_retail_ii",
        date(2011, 8, 31),
        (
            Total(
                "lines and refunds, accepted and refused",
                """
                select (select count(*) from order_lines) + (select count(*) from refused_order_lines)
                + (select count(*) from refunds) + (select count(*) from refused_refunds)
                """,
                "823,643",
            ),
        ),
    ),
    Case("m5", "m5", date(2016, 4, 24), (Total("units", "select sum(quantity) from order_lines", "65,695,409"),)),
    Case(
        "marketplace",
        None,
        date(2025, 12, 31),
        (Total("lines (as `coldframe simulate` counts them)", "select count(*) from order_lines", "1,013,170"),),
    ),
)


def landed_sums(home: str, case: Case) -> list[tuple[Any, ...]]:
    """The totals as landed."""
    place = Workspace(Path(home), case.name)
    with duckdb.connect() as connection:
        for table, partitions in landed.select(place, case.last_day).items():
            files = [str(landed.schema_file(place, table)), *(str(p.path) for p in partitions)]
            connection.from_parquet(files, hive_partitioning=False).create_view(table)
            refused = [str(p) for p in (place.quarantine / table).glob("*.parquet")]
            if refused:
                connection.from_parquet(refused, hive_partitioning=False).create_view(f"refused_{table}")
            else:
                connection.execute(f"create view refused_{table} as from {table} limit 0")
        return [connection.execute(total.sql).fetchall()[0] for total in case.totals]


def counts(home: str, case: Case) -> dict[str, int]:
    """Rows read, accepted and quarantined over all tables of the last landing."""
    rows = Ledger.open(load(home=Path(home))).landings(case.name, case.last_day)
    return {key: sum(getattr(row, key) for row in rows) for key in ("read", "accepted", "quarantined")}


def main(names: Sequence[str]) -> None:
    whole_way: dict[str, dict[str, tuple[float, float]]] = {}
    print("| source | landed up to | rows read | accepted | in quarantine | s | peak MB | known total | landed |")
    print("|---|---|---:|---:|---:|---:|---:|---|---:|")
    for case in (c for c in CASES if not names or c.name in names):
        if case.path is not None and not case.path.is_dir():
            print(f"{case.name} is left out: {case.path} is not there.", file=sys.stderr)
            continue
        path = {"path": str(case.path)} if case.path else {}
        with tempfile.TemporaryDirectory() as home:
            seconds, peak = measure("land", home, source=case.name, as_of=str(case.last_day), **path)
            found = counts(home, case)
            known = "; ".join(f"{total.what} {total.published}" for total in case.totals)
            sums = "; ".join(f"{value:,}" for (value,) in landed_sums(home, case))
        print(
            f"| {case.name} | {case.last_day} | {found['read']:,} | {found['accepted']:,} | {found['quarantined']:,} "
            f"| {seconds:.1f} | {peak:.0f} | {known} | {sums} |",
            flush=True,
        )
        as_of = suggested_as_of(case.name, case.path)
        with tempfile.TemporaryDirectory() as home:
            whole_way[f"{case.name} as of {as_of}"] = {
                step: measure(step, home, source=case.name, as_of=str(as_of), **path) for step in STEPS
            }
    print(f"\n| s (peak MB) | {' | '.join(whole_way)} |\n|---|{'---:|' * len(whole_way)}")
    for step in STEPS:
        cells = " | ".join(f"{steps[step][0]:.1f} ({steps[step][1]:.0f})" for steps in whole_way.values())
        print(f"| {step} | {cells} |")
    print(f"| **all** | {' | '.join(f'{sum(s for s, _ in steps.values()):.1f}' for steps in whole_way.values())} |")


if __name__ == "__main__":
    os.environ.pop("COLDFRAME_HOME", None)
    main(sys.argv[1:])
