"""The commands beneath `coldframe forecast`: hand a forecast out, say why and what changed, and what if.

Without a command's name it writes a forecast, which is all it did at first: what people have in their scripts goes on.
"""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text
from typer.core import TyperGroup

from coldframe.review import Format, open_console, print_rows
from coldframe.run import find_service


class _WriteUnlessNamed(TyperGroup):
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        named = not args or args[0] in self.commands or args[0] in ctx.help_option_names
        return super().parse_args(ctx, args if named else ["write", *args])


app = typer.Typer(
    cls=_WriteUnlessNamed,
    no_args_is_help=True,
    help="Hand a forecast out (write, which needs no name), say why and what changed, and what if.",
)

_AsOf = Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="Day whose forecast is asked for.")]
_Source = Annotated[str | None, typer.Option(help="Source (default: the one with a forecast of that day).")]
_Output = Annotated[Format, typer.Option("--format", help="How to print.")]
_Node = Annotated[str | None, typer.Option(help="Keys of the node, separated by commas, such as HOBBIES_1,CA_1.")]
_Picture = Annotated[Path | None, typer.Option(help="Picture to write (PNG).", dir_okay=False)]


@app.command()
def write(
    as_of: _AsOf,
    out: Annotated[Path, typer.Option(help="Parquet (or CSV) file to write.", dir_okay=False)],
    horizon: Annotated[int, typer.Option(help="Days ahead.")] = 28,
    freq: Annotated[str, typer.Option(help="D: days, W: weeks of seven days from the as-of on, H: the whole.")] = "D",
    level: Annotated[str, typer.Option(help="product_region, category_region, region, total …")] = "product_region",
    source: _Source = None,
) -> None:
    """Write a level's daily or weekly forecast with its intervals to a file; `coldframe train forecast` makes it."""
    done = find_service("write_forecast")(source, as_of.date(), horizon, freq, level, out)
    typer.echo(f"{done['rows']:,} rows of level {done['level']} from release {done['release']}: {done['path']}")


@app.command()
def explain(
    as_of: _AsOf,
    level: Annotated[str, typer.Option(help="total, category_region, product_region …")] = "total",
    node: _Node = None,
    out: _Picture = None,
    source: _Source = None,
) -> None:
    """Say why the forecast of a node is what it is, and draw it; without --node, list the nodes of the level."""
    done = find_service("explain_forecast")(source, as_of.date(), level, node, out)
    for line in done.get("nodes") or done["words"]:
        typer.echo(line)
    if "nodes" in done:
        typer.echo(f"{len(done['nodes'])} nodes of level {done['level']}: say which with --node.", err=True)
    elif out is not None:
        typer.echo(f"Picture: {done['path']}")


@app.command()
def changes(
    as_of: _AsOf,
    since: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Vintage to compare with (default: the one before).")
    ] = None,
    level: Annotated[str, typer.Option(help="Level of the node that changed.")] = "total",
    node: _Node = None,
    by: Annotated[str, typer.Option(help="Level of the children that did it.")] = "category_region",
    limit: Annotated[int, typer.Option(min=1, help="Children in the table; csv and json hold all.")] = 20,
    output: _Output = Format.TABLE,
    out: _Picture = None,
    source: _Source = None,
) -> None:
    """Say what changed since another vintage over the days both have, and which children did it."""
    before = None if since is None else since.date()
    done = find_service("forecast_changes")(source, as_of.date(), before, level, node, by, out)
    rows = [{"name": row.pop("name")} | row for row in done["children"]]
    if output is not Format.TABLE:
        print_rows(rows, output)
        return
    console = open_console()
    console.print("\n".join(done["words"]), soft_wrap=True, markup=False)
    table = Table(by, "before", "now", "difference", "share", "sold since", "beside expected")
    for row in rows[:limit]:
        table.add_row(Text(row["name"]), *_changed(row))
    if len(rows) > limit:
        rest = {
            name: sum(row[name] for row in rows[limit:]) for name in ("old", "new", "difference", "came", "surprise")
        }
        share = rest["difference"] / done["total"]["difference"] if done["total"]["difference"] else None
        table.add_row(f"{len(rows) - limit} others", *_changed(rest | {"share": share}))
    table.add_row("total", *_changed(done["total"]), style="bold")
    for column in table.columns[1:]:
        column.justify = "right"
    console.print(table)
    if out is not None:
        typer.echo(f"Picture: {done['path']}")


def _changed(row: dict[str, Any]) -> list[str]:
    share = "" if row["share"] is None else f"{row['share']:.0%}"
    first = [f"{row['old']:,.0f}", f"{row['new']:,.0f}", f"{row['difference']:+,.0f}", share]
    return [*first, f"{row['came']:,.0f}", f"{row['surprise']:+,.0f}"]


@app.command("what-if")
def what_if(
    as_of: _AsOf,
    changes: Annotated[
        Path,
        typer.Option(
            help="CSV: product_id, region (* for all), first_day, last_day, price or price_change (-0.2).",
            dir_okay=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="Parquet file to write.", dir_okay=False)],
    output: _Output = Format.TABLE,
    source: _Source = None,
) -> None:
    """Write the forecast with other prices, and say what each change does; what cannot be known is refused."""
    done = find_service("what_if")(source, as_of.date(), changes, out)
    if output is not Format.TABLE:
        print_rows(done["rows"], output)
        return
    console = open_console()
    table = Table(
        "row", "product", "region", "price", "elasticity", "units", "difference", "value", "of units, of price"
    )
    refused = [row for row in done["rows"] if row["status"] == "refused"]
    for row in done["rows"]:
        if row["status"] == "applied":
            price = f"{row['price_before']:.2f} → {row['price']:.2f}"
            effect = f"{row['elasticity']:.2f} ({row['elasticity_low']:.2f} to {row['elasticity_high']:.2f})"
            table.add_row(str(row["row"]), Text(row["product_id"]), Text(row["region"]), price, effect, *_effects(row))
    table.add_row("", "total", "", "", "", *_effects(done["total"]), style="bold")
    for column in table.columns[3:]:
        column.justify = "right"
    console.print(table)
    for row in refused:
        told = f"! row {row['row']}, {row['product_id']} in {row['region']}: not applied, {row['reason']}"
        console.print(Text(told, style="yellow"), soft_wrap=True)
    if refused:
        console.print(f"{len(refused)} of {len(done['rows'])} changes were not applied and stay as they were.")
    console.print(done["note"], soft_wrap=True, markup=False)
    typer.echo(f"Forecast from release {done['release']}: {done['path']}")


def _effects(row: dict[str, Any]) -> list[str]:
    units = row["units"] - row["units_before"]
    low, high = row["units_low"] - row["units_before"], row["units_high"] - row["units_before"]
    value = row["value"] - row["value_before"]
    return [
        f"{row['units_before']:,.0f} → {row['units']:,.0f}",
        f"{units:+,.0f} ({low:+,.0f} to {high:+,.0f})",
        f"{value:+,.0f}",
        f"{row['value_of_units']:+,.0f}, {row['value_of_price']:+,.0f}",
    ]
