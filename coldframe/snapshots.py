"""Published snapshots: what everyone downstream of the gate reads, and nobody may change.

A snapshot is a folder of Parquet files and a manifest. Its id is derived from its content, so publishing the same
facts twice makes one snapshot. A partition that did not change since an earlier snapshot is linked, not copied. The
symbolic link ``current`` is swapped atomically; whoever resolved it before keeps reading what they began with.
"""

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
from ibis.backends.sql import SQLBackend

from coldframe import __version__
from coldframe.errors import ColdframeError, NotAvailableError
from coldframe.paths import Workspace
from coldframe.settings import PROJECT_ROOT

MANIFEST = "manifest.json"
FORMAT = 1
WHOLE = "all"


@dataclass(frozen=True)
class Mart:
    """One table to publish. `partition_by` is a date column cut into months; `order_by` makes the bytes repeatable.

    `needs` is the contract table without which it is empty, if that table is optional.
    """

    name: str
    schema: str
    order_by: tuple[str, ...]
    partition_by: str | None = None
    needs: str | None = None


@dataclass(frozen=True)
class Snapshot:
    """A published snapshot. Reading never touches the live warehouse."""

    id: str
    path: Path

    @cached_property
    def manifest(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads((self.path / MANIFEST).read_text())
        return loaded

    @property
    def as_of(self) -> date:
        return date.fromisoformat(self.manifest["as_of"])

    @property
    def tables(self) -> tuple[str, ...]:
        return tuple(self.manifest["tables"])

    def files(self, table: str) -> list[Path]:
        """Parquet files of one table. Raises NotAvailableError for a table the snapshot lacks."""
        if table not in self.manifest["tables"]:
            raise NotAvailableError(f"Snapshot {self.id} has no table {table!r}. It has: {', '.join(self.tables)}.")
        return [self.path / f["path"] for f in self.manifest["tables"][table]["files"]]

    def glob(self, table: str) -> str:
        return str(self.files(table)[0].parent / "*.parquet")

    def query(self, sql: str) -> pd.DataFrame:
        """Runs DuckDB SQL with one view per table of the snapshot."""
        with duckdb.connect() as connection:
            connection.execute("set timezone = 'UTC'")
            for table in self.tables:
                if table in sql:
                    files = ", ".join(f"'{f}'" for f in self.files(table))
                    connection.execute(f"create view {table} as from read_parquet([{files}])")
            return connection.execute(sql).df()

    def frame(self, table: str, columns: Iterable[str] | None = None, where: str | None = None) -> pd.DataFrame:
        """One table as a DataFrame, optionally only some columns and rows (`where` is DuckDB SQL)."""
        selected = ", ".join(columns) if columns is not None else "*"
        return self.query(f"select {selected} from {table}" + (f" where {where}" if where else ""))

    def verify(self) -> None:
        """Compares every file with its checksum. Raises ColdframeError naming what differs."""
        wrong = [
            f["path"]
            for table in self.manifest["tables"].values()
            for f in table["files"]
            if not (self.path / f["path"]).is_file() or _sha256(self.path / f["path"]) != f["sha256"]
        ]
        if wrong:
            raise ColdframeError(
                f"Snapshot {self.id}: {len(wrong)} files are missing or differ from the manifest "
                f"({', '.join(wrong[:3])}). Delete {self.path} and run `coldframe audit` again."
            )


def current(workspace: Workspace) -> Snapshot:
    """The snapshot `current` points to. Raises NotAvailableError before the first publication."""
    if not workspace.current.exists():
        raise NotAvailableError(f"Nothing has been published for {workspace.source} yet. Run `coldframe audit`.")
    path = workspace.current.resolve()
    return Snapshot(id=path.name, path=path)


def of_day(workspace: Workspace, as_of: date) -> Snapshot:
    """The published snapshot, which must know exactly what a run as of that day may. Raises NotAvailableError."""
    snapshot = current(workspace)
    if snapshot.as_of != as_of:
        raise NotAvailableError(
            f"The published snapshot {snapshot.id} is as of {snapshot.as_of}, the run as of {as_of}. "
            "Run `coldframe audit` for that day first."
        )
    return snapshot


def all_snapshots(workspace: Workspace) -> list[Snapshot]:
    """Every complete snapshot, oldest as-of first."""
    if not workspace.snapshots.is_dir():
        return []
    found = [
        Snapshot(id=p.name, path=p)
        for p in workspace.snapshots.iterdir()
        if not p.is_symlink() and (p / MANIFEST).is_file()
    ]
    return sorted(found, key=lambda s: (s.as_of, s.id))


def marts_from_manifest(manifest: dict[str, Any]) -> list[Mart]:
    """The models of a dbt manifest whose ``config.meta.publish`` is true, by name."""
    marts = []
    for node in manifest["nodes"].values():
        meta = node.get("config", {}).get("meta", {})
        if node["resource_type"] == "model" and meta.get("publish"):
            marts.append(
                Mart(
                    name=node["alias"],
                    schema=node["schema"],
                    order_by=tuple(meta["order_by"]),
                    partition_by=meta.get("partition_by"),
                    needs=meta.get("needs"),
                )
            )
    if not marts:
        raise ColdframeError("The dbt project publishes no model: set config.meta.publish on the marts others read.")
    return sorted(marts, key=lambda m: m.name)


def publish(
    workspace: Workspace, backend: SQLBackend, as_of: date, marts: list[Mart], contract_version: int
) -> Snapshot:
    """Exports the marts and moves `current` to them.

    Partitions whose fingerprint (row count and order-free content hash) an existing snapshot already holds are hard
    links to its files. Killed at any point it leaves either the old pointer or the new one, and scratch to clean.
    """
    known = _known_partitions(workspace)
    scratch = workspace.scratch / "snapshot"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    connection: duckdb.DuckDBPyConnection = backend.con
    tables: dict[str, Any] = {}
    for mart in marts:
        files = [
            _export(connection, mart, partition, rows, fingerprint, scratch, known)
            for partition, rows, fingerprint in _fingerprints(connection, mart)
        ]
        tables[mart.name] = {"rows": sum(f["rows"] for f in files), "files": files}
    content = {"format": FORMAT, "source": workspace.source, "as_of": as_of.isoformat(), "tables": tables}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    snapshot_id = f"{as_of.isoformat()}-{digest[:12]}"
    target = workspace.snapshots / snapshot_id
    if not (target / MANIFEST).is_file():
        manifest = {
            "id": snapshot_id,
            "contract_version": contract_version,
            "code_version": code_version(),
        } | content
        (scratch / MANIFEST).write_text(json.dumps(manifest, indent=1))
        _flush(scratch)
        shutil.rmtree(target, ignore_errors=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch.rename(target)
    else:
        shutil.rmtree(scratch)
    _point(workspace, snapshot_id)
    return Snapshot(id=snapshot_id, path=target)


def prune(workspace: Workspace, keep: int, needed: Iterable[str] = ()) -> list[str]:
    """Deletes all but the `keep` newest as-of dates, the current one and those `needed` (by plans in force).

    Returns the ids deleted. Linked partitions survive in the snapshots that share them.
    """
    snapshots = all_snapshots(workspace)
    kept = {s.id for s in snapshots[-keep:]} | set(needed)
    if workspace.current.exists():
        kept.add(current(workspace).id)
    gone = [s for s in snapshots if s.id not in kept]
    for snapshot in gone:
        # The manifest goes first: without it a half-deleted folder is never mistaken for a snapshot.
        (snapshot.path / MANIFEST).unlink()
        shutil.rmtree(snapshot.path)
    return [s.id for s in gone]


@lru_cache(maxsize=1)
def code_version() -> str:
    """Package version and, inside a checkout, the commit it was run from."""
    try:
        commit = subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            cwd=PROJECT_ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return __version__
    return f"{__version__}+{commit}"


def _fingerprints(connection: duckdb.DuckDBPyConnection, mart: Mart) -> list[tuple[str, int, str]]:
    partition = f"strftime({mart.partition_by}, '%Y-%m')" if mart.partition_by else f"'{WHOLE}'"
    rows = connection.execute(
        f"""
        select {partition} as partition, count(*), bit_xor(hash(t)), sum(hash(t)::hugeint)
        from {mart.schema}.{mart.name} as t group by 1 order by 1
        """
    ).fetchall()
    columns = connection.execute(f"describe {mart.schema}.{mart.name}").fetchall()
    shape = hashlib.sha256(repr([(c[0], c[1]) for c in columns]).encode()).hexdigest()[:8]
    if not rows:
        return [(WHOLE, 0, f"{shape}-empty")]
    return [(str(p), int(n), f"{shape}-{n}-{xor:x}-{total:x}") for p, n, xor, total in rows]


def _export(
    connection: duckdb.DuckDBPyConnection,
    mart: Mart,
    partition: str,
    rows: int,
    fingerprint: str,
    scratch: Path,
    known: dict[tuple[str, str, str], tuple[Path, str]],
) -> dict[str, Any]:
    name = f"{mart.name}/{partition}.parquet"
    path = scratch / name
    path.parent.mkdir(exist_ok=True)
    earlier = known.get((mart.name, partition, fingerprint))
    if earlier is not None:
        os.link(earlier[0], path)
        checksum = earlier[1]
    else:
        # A range on the bare column lets DuckDB skip the other months; a function of it would read them all.
        month = f"date '{partition}-01'"
        where = (
            ""
            if partition == WHOLE
            else f"where {mart.partition_by} >= {month} and {mart.partition_by} < {month} + interval 1 month"
        )
        connection.execute(
            f"""
            copy (select * from {mart.schema}.{mart.name} {where} order by {", ".join(mart.order_by)})
            to '{path}' (format parquet, parquet_version v2, compression zstd)
            """
        )
        checksum = _sha256(path)
    return {"path": name, "rows": rows, "sha256": checksum, "fingerprint": fingerprint}


def _known_partitions(workspace: Workspace) -> dict[tuple[str, str, str], tuple[Path, str]]:
    return {
        (name, Path(f["path"]).stem, f["fingerprint"]): (snapshot.path / f["path"], f["sha256"])
        for snapshot in all_snapshots(workspace)
        for name, table in snapshot.manifest["tables"].items()
        for f in table["files"]
        if (snapshot.path / f["path"]).is_file()
    }


def _point(workspace: Workspace, snapshot_id: str) -> None:
    link = workspace.snapshots / ".current.new"
    link.unlink(missing_ok=True)
    link.symlink_to(snapshot_id)
    link.replace(workspace.current)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _flush(folder: Path) -> None:
    # The rename below must never become visible before the bytes it names.
    for file in folder.rglob("*"):
        if file.is_file():
            with file.open("rb") as stream:
                os.fsync(stream.fileno())
