"""Puts accepted rows where runs read them: a version per day, written only where the content differs.

Everything is written to scratch first and moved file by file, so that a run killed at any moment leaves each day as it
was or as it shall be, and the next run does the rest. When the comparison here is wrong, a correction is lost or every
night looks like one.
"""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb

from coldframe import landed
from coldframe.paths import Workspace
from landing.contract import Kind, Table
from landing.sources import quote

Content = tuple[int, int]
"""Row count and the sum of the rows' hashes: equal for the same rows in whatever order."""


@dataclass(frozen=True)
class Staged:
    """`moves`: files in scratch and where each belongs. `late`: days whose correction came after they were settled."""

    moves: tuple[tuple[Path, Path], ...]
    late: int


def scratch_folder(workspace: Workspace) -> Path:
    """A new empty folder for half-written things; what a killed run left behind is deleted."""
    folder = workspace.scratch / "landing"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def latest_known(workspace: Workspace, tables: Iterable[Table]) -> date:
    """The greatest `known` of anything landed; `date.min` before the first landing."""
    return max((v.known for t in tables for v in landed.versions(workspace, t.name)), default=date.min)


def stage(
    connection: duckdb.DuckDBPyConnection,
    workspace: Workspace,
    table: Table,
    as_of: date,
    first: date | None,
    last: date,
    settled: bool,
    folder: Path,
) -> Staged:
    """Writes to `folder` what of temp table ``accepted_<table>`` differs from what a run as of `as_of` now reads.

    A delivery of events speaks for all days from its first to its last, or from `first` to `last` where `first` is
    given: a day in between that it has no rows for is emptied. `settled`: a run as of a later day has landed already,
    so what was known by the end of `as_of` is history; only days never seen are added.
    """
    new = _contents(connection, table)
    seen = {
        p.day: p.path
        for p in landed.visible(workspace, table.name, as_of)
        if p.day is None or (p.day <= last and (first is None or p.day >= first))
    }
    empty = write_schema(connection, table, folder)
    old = _contents_on_disk(connection, table, [empty, *seen.values()] if seen else [])
    changed = {day for day, content in new.items() if old.get(day) != content}
    if table.kind is Kind.EVENTS:
        changed |= {day for day in _covered(new, first, last, seen) if day in old}
    late = {day for day in changed if settled and day in seen}
    to_write = sorted(changed - late, key=lambda day: day or date.min)

    written = _write(connection, table, [day for day in to_write if day in new], folder)
    moves = []
    for day in to_write:
        known = as_of if day in seen else None
        source = written.get(day) or shutil.copyfile(empty, folder / f"{day}-empty.parquet")
        moves.append((source, landed.partition(workspace, table.name, day, known).path))
    return Staged(tuple(moves), len(late))


def write_schema(connection: duckdb.DuckDBPyConnection, table: Table, folder: Path) -> Path:
    """A Parquet file with the table's columns and no rows."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "_schema.parquet"
    columns = ", ".join(f"cast(null as {c.type.value}) as {c.name}" for c in table.columns)
    connection.execute(f"copy (select {columns} limit 0) to {quote(path)} (format parquet, compression zstd)")
    return path


def write_quarantine(connection: duckdb.DuckDBPyConnection, table: Table, folder: Path) -> Path:
    """Temp table ``quarantined_<table>`` as a Parquet file in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "_quarantine.parquet"
    connection.execute(f"copy quarantined_{table.name} to {quote(path)} (format parquet, compression zstd)")
    return path


def join_quarantines(connection: duckdb.DuckDBPyConnection, pieces: list[Path], folder: Path) -> Path:
    """The quarantines of a table that was checked in pieces, as one file in `folder`."""
    if len(pieces) == 1:
        return pieces[0]
    path = folder / "_quarantine.parquet"
    names = ", ".join(map(quote, pieces))
    connection.execute(
        f"copy (from read_parquet([{names}], union_by_name = true)) to {quote(path)} (format parquet, compression zstd)"
    )
    return path


def quarantine_file(workspace: Workspace, table: str, as_of: date) -> Path:
    return workspace.quarantine / table / f"as_of={as_of.isoformat()}.parquet"


def move(source: Path, target: Path) -> None:
    """Atomic, because scratch and the target are on one file system."""
    target.parent.mkdir(parents=True, exist_ok=True)
    source.replace(target)


def _covered(
    new: dict[date | None, Content], first: date | None, last: date, seen: Iterable[date | None]
) -> set[date | None]:
    """Days seen before that the delivery speaks for and has no rows of."""
    delivered = [day for day in new if day is not None]
    if first is None and not delivered:
        return set()
    begin, end = (first, last) if first is not None else (min(delivered), max(delivered))
    return {day for day in seen if day is not None and begin <= day <= end and day not in new}


def _day(table: Table) -> str:
    return "cast(null as date)" if table.day is None else f"cast({table.day} as date)"


def _contents(connection: duckdb.DuckDBPyConnection, table: Table) -> dict[date | None, Content]:
    rows = connection.execute(
        f"""
        select {_day(table)}, count(*), sum(hash({", ".join(table.column_names)})) from accepted_{table.name} group by 1
        """
    ).fetchall()
    return {day: (count, total) for day, count, total in rows}


def _contents_on_disk(
    connection: duckdb.DuckDBPyConnection, table: Table, files: list[Path]
) -> dict[date | None, Content]:
    if not files:
        return {}
    names = ", ".join(map(quote, files))
    # By name, because what landed before the contract learnt a column lacks it.
    rows = connection.execute(
        f"""
        select {_day(table)}, count(*), sum(hash({", ".join(table.column_names)}))
        from read_parquet([{names}], hive_partitioning = false, union_by_name = true) group by 1
        """
    ).fetchall()
    return {day: (count, total) for day, count, total in rows}


def _write(
    connection: duckdb.DuckDBPyConnection, table: Table, days: list[date | None], folder: Path
) -> dict[date | None, Path]:
    """One Parquet file per day, rows in order of the key, so that the same rows make the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    if not days:
        return {}
    key = ", ".join(table.key)
    if table.day is None:
        path = folder / "whole.parquet"
        connection.execute(
            f"copy (from accepted_{table.name} order by {key}) to {quote(path)} (format parquet, compression zstd)"
        )
        return {None: path}
    wanted = ", ".join(quote(day) for day in days)
    # A folder of its own, because DuckDB empties it and the schema lies in the other one.
    parts = folder / "days"
    connection.execute(
        f"""
        copy (
            select *, {_day(table)} as _day from accepted_{table.name} where _day in ({wanted}) order by _day, {key}
        ) to {quote(parts)} (format parquet, compression zstd, partition_by (_day), overwrite true)
        """
    )
    written = {}
    for day in days:
        [written[day]] = (parts / f"_day={day}").glob("*.parquet")
    return written
