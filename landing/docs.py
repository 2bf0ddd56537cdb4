"""Writes docs/contract.md from landing.contract: ``python -m landing.docs``. A test holds the two equal.

People build their exports from that page; when it says something else than the checks do, their first landing fails.
"""

from collections.abc import Iterator

from coldframe.settings import PROJECT_ROOT
from landing.contract import OWN, TABLES, VERSION, Column, Kind, Table, Type

PAGE = PROJECT_ROOT / "docs" / "contract.md"

_TYPES = {
    Type.TEXT: "text",
    Type.INTEGER: "whole number",
    Type.MONEY: "money",
    Type.RATIO: "number",
    Type.DATE: "date",
    Type.TIMESTAMP: "time",
}
_HEAD = f"""\
<!-- Made by `python -m landing.docs` from landing/contract.py. Change that, not this. -->
# The landing contract, version {VERSION}

What a source must deliver. Only tables marked *required* must be there; what depends on another one reports that it is
not available. How to deliver files is told in [Bring your own data](bring-your-own-data.md).

* **text** is trimmed; empty text is no value. **money** is in the source's one currency, with up to four decimals.
* **date** is `YYYY-MM-DD`, **time** is `YYYY-MM-DD HH:MM:SS` in UTC or with an offset (`+02:00`, `Z`).
* *optional* columns may be empty, or left out altogether.
* Tables of **events** belong to the UTC day of their day column. **State** tables are delivered whole each time.
"""
_OWN = """\
# What Coldframe lands itself

No source delivers it; a file of that name is ignored.
"""


def page() -> str:
    """The whole page as Markdown."""
    sections = (line for table in TABLES for line in _section(table))
    own = (line for table in OWN for line in _section(table))
    return "\n".join([_HEAD, *sections, _OWN, *own])


def _section(table: Table) -> Iterator[str]:
    kind = "State" if table.kind is Kind.STATE else f"Events by `{table.day}`"
    yield f"## {table.name}{' (required)' if table.required else ''}"
    yield ""
    yield f"{table.description} {kind}; key: {', '.join(f'`{c}`' for c in table.key)}."
    yield ""
    yield "| column | type | what | must be |"
    yield "|---|---|---|---|"
    for column in table.columns:
        optional = " *optional*" if column.optional else ""
        yield f"| `{column.name}` | {_TYPES[column.type]}{optional} | {column.description} | {_limits(column)} |"
    for rule in table.rules:
        yield ""
        yield f"Rule `{rule.name}`: `{rule.expression}`."
    yield ""


def _limits(column: Column) -> str:
    limits = []
    if column.minimum is not None:
        limits.append(f"≥ {column.minimum:g}")
    if column.maximum is not None:
        limits.append(f"≤ {column.maximum:g}")
    if column.values:
        limits.append(" or ".join(f"`{value}`" for value in column.values))
    if column.references is not None:
        limits.append(f"in `{column.references}`, if that table is delivered")
    return ", ".join(limits)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
