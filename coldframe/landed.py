"""Which version of which landed day a run may read. One place owns the layout of landed partitions on disk.

`landed/<table>/day=D/known=K.parquet` for events and `landed/<table>/known=K.parquet` for state tables; `known` is the
day at whose end a version became known (docs/decisions/0001). When this is wrong, a run sees a correction that nobody
had yet made on its as-of day, and every back-test built on it flatters itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from coldframe.paths import Workspace

FIRST_KNOWN = date(1970, 1, 1)
"""`known` of a state table's first version: nobody can say any more when it really became known."""
LATE = timedelta(days=7)
"""How late a routine landing still looks for corrections; what comes later needs a landing with an earlier start."""


@dataclass(frozen=True, order=True)
class Partition:
    """One version of one day of an events table, or of a whole state table (`day` is None)."""

    table: str
    day: date | None
    known: date
    path: Path

    @property
    def stamp(self) -> str:
        """Changes whenever the file is replaced: a second correction as of the same day has the same `known`."""
        status = self.path.stat()
        return f"{self.known}-{status.st_size}-{status.st_mtime_ns}"


def table_folder(workspace: Workspace, table: str) -> Path:
    return workspace.landed / table


def schema_file(workspace: Workspace, table: str) -> Path:
    """Zero rows with the contract's columns; there for every contract table once the source has landed."""
    return table_folder(workspace, table) / "_schema.parquet"


def partition(workspace: Workspace, table: str, day: date | None, known: date | None = None) -> Partition:
    """Where a version lies, or would lie. `known` None: the first version of that day or state table."""
    known = known or day or FIRST_KNOWN
    folder = table_folder(workspace, table)
    if day is not None:
        folder = folder / f"day={day.isoformat()}"
    return Partition(table, day, known, folder / f"known={known.isoformat()}.parquet")


def versions(workspace: Workspace, table: str) -> Iterator[Partition]:
    """Every version of a table on disk, whatever the as-of, in no particular order."""
    folder = table_folder(workspace, table)
    for path in folder.glob("known=*.parquet"):
        yield Partition(table, None, _value(path.stem), path)
    for path in folder.glob("day=*/known=*.parquet"):
        yield Partition(table, _value(path.parent.name), _value(path.stem), path)


def visible(workspace: Workspace, table: str, as_of: date) -> list[Partition]:
    """For each day up to `as_of` the version with the greatest `known` not after `as_of`, in order of day."""
    newest: dict[date | None, Partition] = {}
    for version in versions(workspace, table):
        if version.known > as_of or (version.day is not None and version.day > as_of):
            continue
        found = newest.get(version.day)
        if found is None or version.known > found.known:
            newest[version.day] = version
    return sorted(newest.values(), key=lambda p: p.day or FIRST_KNOWN)


def select(workspace: Workspace, as_of: date) -> dict[str, list[Partition]]:
    """What a run as of `as_of` reads: table -> partitions, for every table that has a schema file.

    The list is empty where the source offers no such table. An empty dict: the source has never been landed.
    """
    tables = sorted(path.parent.name for path in workspace.landed.glob("*/_schema.parquet"))
    return {table: visible(workspace, table, as_of) for table in tables}


def catch_up(workspace: Workspace, as_of: date) -> date | None:
    """First day a routine landing as of `as_of` reads again: a week back for late corrections, further for missed days.

    None (everything) before the first landing. Reading all of a source each day would cost more every day.
    """
    days = [p.day for p in visible(workspace, "order_lines", as_of) if p.day is not None]
    return min(max(days) + timedelta(days=1), as_of - LATE) if days else None


def _value(name: str) -> date:
    return date.fromisoformat(name.partition("=")[2])
