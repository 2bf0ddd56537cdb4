"""A plan laid before people: its lines with their reasons and, where asked for, beside what then really sold."""

import csv
import json
import sys
from collections.abc import Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.text import Text

from coldframe.actuals import cohorts, line_by_line, season_actuals
from coldframe.errors import NotAvailableError
from coldframe.ledger import Ledger, Plan, PlanLine
from coldframe.plans import caveats
from coldframe.report import cohort_report, compare_with_actuals, comparison_report, line_by_line_report, plan_report

# A plan's tables need room; piped output has no width of its own.
PIPED_WIDTH = 160


class Format(StrEnum):
    TABLE = "table"
    CSV = "csv"
    JSON = "json"


def print_rows(rows: Sequence[Mapping[str, Any]], output: Format) -> None:
    """Prints rows as CSV (the columns of all of them, in the order they come up) or JSON."""
    if output is Format.JSON:
        print(json.dumps([dict(row) for row in rows], default=_plain, indent=1))
        return
    writer = csv.DictWriter(sys.stdout, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def _plain(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else str(value)


def open_console(stderr: bool = False) -> Console:
    """Standard output (or error) as wide as its terminal, or wide enough for a plan where there is none."""
    console = Console(stderr=stderr, highlight=False)
    return console if console.is_terminal else Console(stderr=stderr, highlight=False, width=PIPED_WIDTH)


def show_plan(
    console: Console, ledger: Ledger, plan: Plan, limit: int, actuals: bool = False, path: Path | None = None
) -> None:
    """Prints `limit` top lines of each region or stage, and what became of the plan: by whom, when, why.

    `actuals` adds the sales of an assortment's season: from the published snapshot where it covers the season, else
    landed from the plan's source (at `path`, where it needs one), apart from the pipeline. A published plan is also
    followed line by line. For an incubation plan it adds how earlier launches fared.
    """
    lines = ledger.lines(plan.plan_id)
    console.print(plan_report(plan, lines, limit))
    if actuals and plan.kind == "assortment":
        console.print(_beside_actuals(plan, lines, path, console))
        if (followed := line_by_line(plan)) is not None:
            console.print(line_by_line_report(followed))
    if actuals and plan.kind == "incubation" and (fared := cohorts(plan)) is not None:
        console.print(cohort_report(fared))
    for told in caveats(ledger, plan):
        console.print(Text(f"! {told}", style="yellow"), soft_wrap=True)
    # The first event is that it was decided, which its head says.
    for event in ledger.events(plan.plan_id)[1:]:
        console.print(f"{plan.plan_id}: {event}", soft_wrap=True, markup=False)
    console.print()


def _beside_actuals(plan: Plan, lines: Sequence[PlanLine], path: Path | None, console: Console) -> RenderableType:
    try:
        with console.status("Looking for what then sold …"):
            actuals = season_actuals(plan, path)
    except NotAvailableError as error:
        # The season of a plan that is any use lies ahead, so this is the usual answer and no failure.
        return Text(str(error), style="yellow")
    return comparison_report(plan, compare_with_actuals(lines, actuals.products), actuals)
