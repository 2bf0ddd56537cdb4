"""The command `coldframe what-if`: a plan again with something pinned, dropped or changed, and what differs by line."""

from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from coldframe.review import Format, open_console, print_rows
from coldframe.run import find_service

_Products = Annotated[list[str] | None, typer.Option("--keep", metavar="PRODUCT", help="Must stay; may be repeated.")]
_Dropped = Annotated[list[str] | None, typer.Option("--drop", metavar="PRODUCT", help="Must go; may be repeated.")]


def what_if(
    plan: Annotated[str, typer.Option("--plan", help="Id of an assortment plan; `coldframe plans` lists them.")],
    keep: _Products = None,
    drop: _Dropped = None,
    slots: Annotated[int | None, typer.Option("--slots", min=1, help="Another most of products a cell.")] = None,
    budget: Annotated[float | None, typer.Option("--budget", help="Another most of money for stock.")] = None,
    limit: Annotated[
        int, typer.Option("--limit", min=1, help="Lines in the table, the greatest differences; csv and json hold all.")
    ] = 20,
    output: Annotated[Format, typer.Option("--format", help="How to print.")] = Format.TABLE,
) -> None:
    """Decide a plan again with products pinned or dropped, other slots or another budget; nothing is saved."""
    done = find_service("what_if_assortment")(plan, keep or (), drop or (), slots, budget)
    if output is not Format.TABLE:
        print_rows(done["rows"], output)
        return
    console = open_console()
    table = Table(
        "", "product, and why", "region", "category", "depth", "value", title=f"What if: plan {plan} otherwise"
    )
    table.columns[4].justify = table.columns[5].justify = "right"
    for row in sorted(done["rows"], key=_difference, reverse=True)[:limit]:
        words = Text.assemble((row["title"], "bold"), f"\n{row['reason']}" if row["reason"] else "")
        depth, value = (f"{row[f'{name}_before']:,.0f} → {row[name]:,.0f}" for name in ("depth", "value"))
        table.add_row(row["change"], words, Text(row["region"]), Text(row["category"]), depth, value)
    if done["rows"]:
        console.print(table)
    least = f" The {limit:,} that differ most are shown." if len(done["rows"]) > limit else ""
    console.print(f"{len(done['rows']):,} lines differ, {done['unchanged']:,} do not.{least}")
    console.print(_totals(done["before"], done["after"]), soft_wrap=True)
    for note in done["notes"]:
        console.print(Text(f"! {note}", style="yellow"), soft_wrap=True)


def _difference(row: dict[str, Any]) -> tuple[float, float]:
    # A budget changes depths alone: what a line is worth is its demand.
    return abs(row["value"] - row["value_before"]), abs(row["depth"] - row["depth_before"])


def _totals(before: dict[str, Any], after: dict[str, Any]) -> str:
    value = after["value"] - before["value"]
    return (
        f"Expected {before['value']:,.0f} → {after['value']:,.0f} ({value:+,.0f}); stock "
        f"{before['stock_money']:,.0f} → {after['stock_money']:,.0f}; of expected demand served "
        f"{before['fill_rate']:.1%} → {after['fill_rate']:.1%}."
    )
