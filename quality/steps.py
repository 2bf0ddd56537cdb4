"""The two gates as steps: `audit_landed` judges what came in, `publish` judges the marts and then publishes them.

Whoever reads a snapshot relies on this order: nothing becomes `current` that was not judged, and a refusal leaves
everything as it was.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import date

import duckdb
import pandas as pd
from ibis.backends.sql import SQLBackend

from coldframe import landed, seasons, snapshots, transform, warehouse
from coldframe.errors import NotAvailableError
from coldframe.ledger import Ledger
from coldframe.paths import Workspace, workspace
from coldframe.run import Request, StepResult
from coldframe.settings import get_settings
from landing import contract
from quality.gate import SUBJECT, Frame, Verdict, judge
from quality.suites import Question, landed_suite, marts_suite

FEATURE_KEYS = ("event_timestamp", "created_timestamp")


def audit_landed(request: Request) -> StepResult:
    """Judges what a run as of `request.as_of` would read.

    Raises NotAvailableError when nothing ever landed, ConfigurationError for a season that the calendar does not have,
    and GateError when a critical expectation fails.
    """
    where = workspace(request.source)
    with _landed(where, request.as_of) as (connection, available):
        # A plan needs it an hour later; whoever mistyped a name should hear of it now.
        seasons.resolve(request.season, request.as_of, connection.execute("from calendar").df())
        _count_quarantine(connection, request)
        frames = _ask(landed_suite(request.as_of, available), lambda sql: connection.execute(sql).df())
    verdict = judge(where, "landed", request.as_of, frames, get_settings().keep_snapshots, request.force)
    verdict.refuse_if_critical()
    result = _result("audit_landed", verdict, verdict.summary, reused=verdict.reused)
    missing = [table.name for table in contract.TABLES if table.name not in available]
    if missing:
        reported = {"not_available": f"the source has no {', '.join(missing)}"}
        result = result.model_copy(update={"facts": result.facts | reported})
    return result


def publish(request: Request) -> StepResult:
    """Judges the built marts, publishes them as a snapshot and deletes the oldest ones.

    Raises NotAvailableError when the warehouse holds no finished build of that day, and GateError when a critical
    expectation fails; then nothing is published and `snapshots/current` is untouched.
    """
    where, settings = workspace(request.source), get_settings()
    before = snapshots.current(where).id if where.current.exists() else None
    marts = snapshots.marts_from_manifest(transform.manifest())
    with warehouse.connect(where) as backend:
        transform.require_built(backend.con, request.as_of)
        verdict = judge_marts(where, backend, request, marts)
        verdict.refuse_if_critical()
        snapshot = snapshots.publish(where, backend, request.as_of, marts, contract.VERSION)
    transform.mark_built(where)
    in_force = [p.snapshot_id for p in Ledger.open().plans(source=request.source) if p.in_force]
    pruned = snapshots.prune(where, settings.keep_snapshots, in_force)
    reused = snapshot.id == before
    result = _result(
        "publish",
        verdict,
        f"Snapshot {snapshot.id} {'is unchanged' if reused else 'is published'}; {verdict.summary}",
        reused=reused,
    )
    rows = sum(table["rows"] for table in snapshot.manifest["tables"].values())
    facts = {"snapshot": snapshot.id, "tables": len(snapshot.tables), "rows": rows, "pruned": len(pruned)}
    return result.model_copy(
        update={"facts": result.facts | facts, "links": result.links | {"snapshot": str(snapshot.path)}}
    )


def judge_marts(where: Workspace, backend: SQLBackend, request: Request, marts: list[snapshots.Mart]) -> Verdict:
    """The verdict on the marts in the warehouse, without any consequence."""
    features = {
        m.name: [
            c for c in backend.table(m.name, database=m.schema).columns if c not in FEATURE_KEYS and c not in m.order_by
        ]
        for m in marts
        if m.name.startswith("ftr_")
    }
    with _landed(where, request.as_of) as (connection, _):
        # Lines count in the marts' own two decimals; what is compared is whether any line was lost or repeated.
        found = connection.execute(
            """
            select coalesce(sum(cast(gross_amount as decimal(18, 2))) filter (where status <> 'cancelled'), 0), count(*)
            from order_lines
            """
        ).fetchall()
    questions = marts_suite(request.as_of, marts, features, str(found[0][0]), int(found[0][1]))
    # Not backend.sql: Ibis 12 calls a method there that DuckDB 2.0 no longer has.
    frames = _ask(questions, lambda sql: backend.con.execute(sql).df())
    return judge(where, "marts", request.as_of, frames, get_settings().keep_snapshots, request.force)


def _ask(questions: Iterable[Question], answer: Callable[[str], pd.DataFrame]) -> list[Frame]:
    # Sorted, so that the same facts make the same run id.
    return [Frame(q.name, answer(q.sql).sort_values(SUBJECT, ignore_index=True), q.expectations) for q in questions]


@contextmanager
def _landed(where: Workspace, as_of: date) -> Iterator[tuple[duckdb.DuckDBPyConnection, list[str]]]:
    """A connection with one view per landed table, and the names of those of the sources' that have a version."""
    selected = landed.select(where, as_of)
    if not selected:
        raise NotAvailableError(f"Nothing of {where.source} has landed yet. Run `coldframe land` first.")
    if unknown := [table.name for table in (*contract.TABLES, *contract.OWN) if table.name not in selected]:
        raise NotAvailableError(
            f"What landed of {where.source} is of an earlier version, which knew no {', '.join(unknown)}. "
            "Run `coldframe land` again."
        )
    settings = get_settings()
    with duckdb.connect() as connection:
        connection.execute(f"set threads to {settings.threads}")
        connection.execute(f"set memory_limit = '{settings.memory_limit}'")
        connection.execute("set timezone = 'UTC'")
        for table, partitions in selected.items():
            files = [str(landed.schema_file(where, table)), *(str(p.path) for p in partitions)]
            listed = ", ".join("'" + file.replace("'", "''") + "'" for file in files)
            # What landed before a column came into the contract has none of it.
            read = f"read_parquet([{listed}], hive_partitioning = false, union_by_name = true)"
            connection.execute(f"create view {table} as from {read}")
        yield connection, [table.name for table in contract.TABLES if selected.get(table.name)]


def _count_quarantine(connection: duckdb.DuckDBPyConnection, request: Request) -> None:
    connection.execute("create table quarantine_counts (table_name varchar, quarantined bigint, read bigint)")
    for landing in Ledger.open().landings(request.source, request.as_of):
        connection.execute(
            "insert into quarantine_counts values (?, ?, ?)", [landing.table, landing.quarantined, landing.read]
        )


def _result(step: str, verdict: Verdict, summary: str, reused: bool) -> StepResult:
    return StepResult(
        step=step,
        summary=summary,
        reused=reused,
        warnings=verdict.warnings,
        facts={"expectations": verdict.judged, "warnings": len(verdict.warnings)},
        links={"data_docs": str(verdict.docs)},
    )
