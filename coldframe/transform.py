"""From landed rows to marts: decides from which day facts may differ, shows dbt the landed rows, and runs it.

The warehouse after a build depends only on what is landed, on the as-of and on the dbt project, whatever ran or was
killed before. When the window decided here is too late, marts keep facts that nobody stands behind any more; when it
is too early, one more day costs as much as a year.
"""

import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb

from coldframe import landed
from coldframe.errors import (
    ColdframeError,
    ConfigurationError,
    GateError,
    NotAvailableError,
    WarehouseBusyError,
)
from coldframe.landed import Partition
from coldframe.paths import Workspace, workspace
from coldframe.run import Request, StepResult
from coldframe.settings import PROJECT_ROOT, Settings, get_settings
from coldframe.warehouse import connect, warehouse_url

log = logging.getLogger(__name__)

PROJECT = PROJECT_ROOT / "dbt"
ONE_DAY = timedelta(days=1)
# What facts copy from state tables. A change of anything else only touches dimensions, which are built anew each time.
CARRIED = ("product_id", "merchant_id", "category", "launched_on")
# The weekly panel begins with the first price and holds the price of each week.
PRICED = ("product_id", "region", "valid_from", "valid_until", "price", "announced_on")

Versions = Mapping[tuple[str, date | None], str]


@dataclass(frozen=True)
class Built:
    """What the warehouse is known to hold. `until` is the last day up to which `partitions` vouch for the marts.

    `clean` is False after a `prepare` that no `mark_built` followed: some of its models may have been built.
    """

    project: str
    until: date
    clean: bool
    partitions: Versions
    available: frozenset[str]
    products_rewritten: int = 0
    first_new_launch: date | None = None
    first_price_change: date | None = None


@dataclass(frozen=True)
class Window:
    """What a run must build: facts of days from `rebuild_from` to `as_of`. `everything`: start from an empty file."""

    as_of: date
    rebuild_from: date
    everything: bool
    reasons: tuple[str, ...]

    @property
    def nothing(self) -> bool:
        return not self.reasons


def decide_window(as_of: date, selected: Versions, built: Built | None, project: str, force: bool = False) -> Window:
    """Compares what a run may read with what the marts hold.

    `selected` and `built.partitions` map (table, day) to the version's `stamp`; `day` is None for a state table.
    Days between the last build's as-of and this one's count as changed even where nothing landed, because a week
    without a sale is a row of zeros.
    """
    days = sorted({day for _, day in selected if day is not None})
    available = frozenset(table for table, _ in selected)
    whole = []
    if built is None:
        whole.append("there is no warehouse yet")
    elif force:
        whole.append("the request says force")
    elif built.project != project:
        whole.append("the dbt project changed")
    elif not built.partitions:
        whole.append("no build was ever published")
    elif built.products_rewritten:
        whole.append(f"{built.products_rewritten} products changed merchant, category or launch day, or disappeared")
    elif built.available != available:
        whole.append(f"other tables are available: {', '.join(sorted(built.available ^ available))}")
    if built is None or whole:
        return Window(as_of, days[0] if days else as_of + ONE_DAY, True, tuple(whole))

    reasons = [] if built.clean else ["the last build was not published"]
    candidates = [as_of + ONE_DAY]
    changed = sorted(
        (day, table)
        for table, day in selected.keys() | built.partitions.keys()
        if day is not None and selected.get((table, day)) != built.partitions.get((table, day))
    )
    if changed:
        candidates.append(changed[0][0])
        reasons.append(f"{len(changed)} days of landed tables differ, the first is {changed[0][0]} of {changed[0][1]}")
    if built.until != as_of:
        candidates.append(built.until + ONE_DAY)
        reasons.append(f"the marts are known to hold good until {built.until}")
    if built.first_new_launch is not None and built.first_new_launch <= as_of:
        candidates.append(built.first_new_launch)
        reasons.append(f"products were added, the first launched on {built.first_new_launch}")
    if built.first_price_change is not None and built.first_price_change <= as_of:
        candidates.append(built.first_price_change)
        reasons.append(f"prices differ, the first is from {built.first_price_change}")
    if any(day is None and built.partitions.get((t, day)) != stamp for (t, day), stamp in selected.items()):
        reasons.append("tables that are delivered whole have changed")
    return Window(as_of, min(candidates), False, tuple(reasons))


def prepare(request: Request) -> Window:
    """Shows dbt what this run may read, in schema ``landed`` of the warehouse, and says from which day to build.

    Raises NotAvailableError where nothing has landed, ConfigurationError where the warehouse is not DuckDB, and
    WarehouseBusyError. Killed at any point, the next call comes to a window that is no later.
    """
    settings = get_settings()
    place = workspace(request.source, settings)
    path = _warehouse_path(place, settings)
    selected = landed.select(place, request.as_of)
    versions = {(p.table, p.day): p.stamp for partitions in selected.values() for p in partitions}
    if not versions:
        raise NotAvailableError(
            f"Nothing of {request.source} has landed up to {request.as_of} in {place.landed}. Run `coldframe land`."
        )
    project = project_hash()
    with connect(place, settings=settings, create=True) as backend:
        built = _read_built(backend.con, selected)
    window = decide_window(request.as_of, versions, built, project, request.force)
    if window.everything:
        for file in (path, path.with_name(f"{path.name}.wal")):
            file.unlink(missing_ok=True)
    with connect(place, settings=settings, create=True) as backend:
        _show(backend.con, place, request, selected, window, built, project)
    log.info(
        "%s as of %s: %s (%s)",
        request.source,
        request.as_of,
        "nothing to build" if window.nothing else f"build from {window.rebuild_from}",
        "; ".join(window.reasons) or "the marts already hold these rows",
    )
    return window


def mark_built(place: Workspace) -> None:
    """Records that the marts hold what the last `prepare` selected. For the publish step, after its gate has passed.

    Raises NotAvailableError where the last build did not finish.
    """
    with connect(place) as backend:
        connection: duckdb.DuckDBPyConnection = backend.con
        require_built(connection)
        connection.execute("begin")
        connection.execute("delete from landed.built_partitions")
        connection.execute("insert into landed.built_partitions from landed.pending_partitions")
        connection.execute("update landed.built set until = (select as_of from landed.run_window), clean = true")
        connection.execute("commit")


def require_built(connection: duckdb.DuckDBPyConnection, as_of: date | None = None) -> None:
    """Raises NotAvailableError unless the warehouse holds a finished build, of `as_of` where given."""
    rows = connection.execute(
        "select count(*) from duckdb_tables() where schema_name = 'landed' and table_name = 'run_window'"
    ).fetchall()
    if not rows[0][0]:
        raise NotAvailableError("The warehouse holds no marts yet. Run `coldframe transform`.")
    [(source, found, finished)] = connection.execute("select source, as_of, finished from landed.run_window").fetchall()
    if not finished:
        raise NotAvailableError(
            f"The last build of {source} as of {found} did not finish: a model or test failed, or it was stopped. "
            "Run `coldframe transform` again."
        )
    if as_of is not None and found != as_of:
        raise NotAvailableError(f"The warehouse of {source} is as of {found}, not {as_of}. Run `coldframe transform`.")


def build(request: Request) -> StepResult:
    """Runs ``dbt build`` on what `prepare` has shown, with models and data tests, and reports each as it ends.

    Raises GateError where a test fails, ColdframeError where a model cannot be built, and WarehouseBusyError.
    """
    settings = get_settings()
    place = workspace(request.source, settings)
    began = time.monotonic()
    results = run_dbt(["build"], place, settings, _dbt_home(settings) / place.source)
    models = [r for r in results if r.node.resource_type == "model"]
    slowest = sorted(models, key=lambda r: -r.execution_time)[:3]
    return StepResult(
        step="transform",
        summary=f"{len(models)} models built and {len(results) - len(models)} tests passed as of {request.as_of}",
        warnings=tuple(f"{r.node.name}: {r.message}" for r in results if r.status == "warn"),
        facts={
            "models": len(models),
            "tests": len(results) - len(models),
            "seconds": round(time.monotonic() - began, 1),
            "slowest": ", ".join(f"{r.node.name} {r.execution_time:.1f} s" for r in slowest),
        },
    )


def transform(request: Request) -> StepResult:
    """Step ``transform``: `prepare`, then `build` unless the marts already hold what the run may read."""
    window = prepare(request)
    facts = {"rebuild_from": window.rebuild_from.isoformat(), "because": "; ".join(window.reasons)}
    if window.nothing:
        return StepResult(
            step="transform",
            summary=f"the marts already hold what is landed as of {request.as_of}",
            reused=True,
            facts=facts,
        )
    result = build(request)
    return result.model_copy(update={"facts": result.facts | facts})


def dbt_env(place: Workspace, settings: Settings | None = None) -> dict[str, str]:
    """What dbt/profiles.yml and dbt itself read from the environment, for whoever runs the project."""
    settings = settings or get_settings()
    return {
        "DBT_COLDFRAME_PATH": str(_warehouse_path(place, settings)),
        "DBT_COLDFRAME_THREADS": str(settings.threads),
        "DBT_COLDFRAME_MEMORY_LIMIT": settings.memory_limit,
        "DBT_LOG_PATH": str(_dbt_home(settings) / "logs"),
        # Unit tests look at the SQL, not at the data: they belong to the project's own tests.
        "DBT_EXCLUDE_RESOURCE_TYPES": "unit_test",
        "DO_NOT_TRACK": "1",
    }


def manifest_path(settings: Settings | None = None) -> Path:
    """Where `manifest` keeps dbt's manifest."""
    return _dbt_home(settings or get_settings()) / "target" / "manifest.json"


def manifest(settings: Settings | None = None) -> dict[str, Any]:
    """dbt's manifest of the project as it now is; parsed anew only when a file under dbt/ has changed."""
    settings = settings or get_settings()
    path = manifest_path(settings)
    project = project_hash()
    stamp = path.with_name("project.sha256")
    if not (path.is_file() and stamp.is_file() and stamp.read_text() == project):
        scratch = path.parent.with_name(f"parse-{os.getpid()}")
        run_dbt(["parse"], workspace(settings.source, settings), settings, scratch)
        path.parent.mkdir(parents=True, exist_ok=True)
        (scratch / "manifest.json").replace(path)
        stamp.write_text(project)
        shutil.rmtree(scratch, ignore_errors=True)
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded


def project_hash() -> str:
    """SHA-256 over names and contents of the dbt project's files."""
    digest = hashlib.sha256()
    files = [*PROJECT.glob("*.yml"), *PROJECT.glob("macros/**/*"), *PROJECT.glob("models/**/*")]
    for file in sorted(f for f in files if f.suffix in {".sql", ".yml"}):
        digest.update(str(file.relative_to(PROJECT)).encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _dbt_home(settings: Settings) -> Path:
    return settings.home / "dbt"


def _warehouse_path(place: Workspace, settings: Settings) -> Path:
    url = warehouse_url(place, settings)
    if not url.startswith("duckdb://"):
        raise ConfigurationError(f"The dbt project has a profile for DuckDB only; COLDFRAME_WAREHOUSE_URL is {url}.")
    return Path(url.removeprefix("duckdb://"))


def _read_built(connection: duckdb.DuckDBPyConnection, selected: Mapping[str, list[Partition]]) -> Built | None:
    # All tables of `landed` are written in one transaction, so one stands for all.
    if not connection.execute(
        "select 1 from duckdb_tables() where schema_name = 'landed' and table_name = 'built'"
    ).fetchall():
        return None
    [(project, until, clean)] = connection.execute("select project, until, clean from landed.built").fetchall()
    partitions = connection.execute("select table_name, day, stamp from landed.built_partitions").fetchall()
    available = connection.execute("select table_name from landed.availability where available").fetchall()
    attributes = ", ".join(CARRIED)
    files = _file_list(p.path for p in selected["products"])
    [(rewritten, first_launch)] = connection.execute(
        f"""
        with new as (select {attributes} from read_parquet({files}, hive_partitioning = false)),
        gone as (from landed.carried_products except from new),
        added as (from new except from landed.carried_products)
        select (select count(*) from gone), (select min(launched_on) from added)
        """
    ).fetchall()
    return Built(
        first_price_change=_first_price_change(connection, selected["prices"], until),
        project=project,
        until=until,
        clean=clean,
        partitions={(table, day): stamp for table, day, stamp in partitions},
        available=frozenset(table for (table,) in available),
        products_rewritten=rewritten,
        first_new_launch=first_launch,
    )


def _first_price_change(connection: duckdb.DuckDBPyConnection, prices: list[Partition], until: date) -> date | None:
    """First day with another price than the marts, built up to `until`, were built with; None: none differs."""
    if not prices:
        return None
    [(first,)] = connection.execute(
        f"""
        with new as (select {", ".join(PRICED)} from read_parquet({_file_list(p.path for p in prices)})),
        compared as (
            select
                coalesce(old.valid_from, new.valid_from) as valid_from,
                old.price is not distinct from new.price and old.announced_on is not distinct from new.announced_on
                    as only_ends_differ,
                least(old.valid_until, new.valid_until) + 1 as first_day_after,
                new.announced_on > $1 and new.valid_from <= $1 as was_hidden
            from landed.carried_prices as old full join new using (product_id, region, valid_from)
            where
                (old.price, old.valid_until, old.announced_on)
                is distinct from (new.price, new.valid_until, new.announced_on)
                or (new.announced_on > $1 and new.valid_from <= $1)
        )
        select min(if(only_ends_differ and not coalesce(was_hidden, false), first_day_after, valid_from)) from compared
        """,
        [until],
    ).fetchall()
    return first


def _show(
    connection: duckdb.DuckDBPyConnection,
    place: Workspace,
    request: Request,
    selected: Mapping[str, list[Partition]],
    window: Window,
    built: Built | None,
    project: str,
) -> None:
    chosen = [p for partitions in selected.values() for p in partitions]
    connection.execute("begin")
    connection.execute("create schema if not exists landed")
    for table, partitions in selected.items():
        files = _file_list([landed.schema_file(place, table), *(p.path for p in partitions)])
        connection.execute(
            f"""
            create or replace view landed.{table} as
            select
                * exclude (filename),
                cast(regexp_extract(filename, 'known=([0-9-]+)[.]parquet$', 1) as timestamp)
                + interval 1 day as known_at
            from read_parquet({files}, filename = true, hive_partitioning = false, union_by_name = true)
            """
        )
    connection.execute(
        "create or replace table landed.pending_partitions as "
        "select unnest($1::varchar[]) as table_name, unnest($2::date[]) as day, unnest($3::date[]) as known, "
        "unnest($4::varchar[]) as stamp",
        [[p.table for p in chosen], [p.day for p in chosen], [p.known for p in chosen], [p.stamp for p in chosen]],
    )
    connection.execute(
        "create or replace table landed.availability as "
        "select unnest($1::varchar[]) as table_name, unnest($2::boolean[]) as available",
        [list(selected), [bool(partitions) for partitions in selected.values()]],
    )
    connection.execute(
        "create or replace table landed.run_window as "
        "select $1 as source, $2::date as as_of, $3::date as rebuild_from, $4::boolean as finished",
        [request.source, request.as_of, window.rebuild_from, window.nothing],
    )
    # From here on the marts no longer vouch for the days about to be built; only mark_built makes them do so again.
    until = window.rebuild_from - ONE_DAY
    if built is not None and not window.everything:
        until = min(until, built.until)
    connection.execute("create table if not exists landed.built_partitions as from landed.pending_partitions limit 0")
    connection.execute("delete from landed.built_partitions where day >= $1", [window.rebuild_from])
    connection.execute(
        "create or replace table landed.built as select $1 as project, $2::date as until, $3::boolean as clean",
        [project, until, window.nothing],
    )
    connection.execute(
        f"create or replace table landed.carried_products as select {', '.join(CARRIED)} from landed.products"
    )
    connection.execute(
        f"create or replace table landed.carried_prices as select {', '.join(PRICED)} from landed.prices"
    )
    connection.execute("commit")


def _file_list(paths: Any) -> str:
    quoted = ", ".join("'" + str(path).replace("'", "''") + "'" for path in paths)
    return f"[{quoted}]"


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def run_dbt(arguments: list[str], place: Workspace, settings: Settings, target: Path) -> list[Any]:
    """Runs one dbt command in this process, with `target` for what it compiles; returns dbt's results.

    Raises as `build` does. Not for two threads at once: dbt keeps its state in the process.
    """
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager
    from dbt.cli.main import dbtRunner

    folders = ["--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT), "--target-path", str(target)]
    with _environment(dbt_env(place, settings)):
        try:
            outcome = dbtRunner(callbacks=[_report]).invoke([*arguments, *folders, "--log-level", "none"])
        finally:
            # dbt keeps its connection for a next invocation; everybody else would find the file locked.
            DuckDBConnectionManager.close_all_connections()
    results = list(getattr(outcome.result, "results", []))
    if outcome.success:
        return results
    raise _failure(results, outcome.exception, _dbt_home(settings) / "logs" / "dbt.log")


def _report(event: Any) -> None:
    if event.info.name in {"LogModelResult", "LogTestResult"}:
        log.info("%s", event.info.msg)


def _failure(results: list[Any], exception: BaseException | None, log_file: Path) -> ColdframeError:
    broken = [r for r in results if r.status == "error"]
    failed = [r for r in results if r.status == "fail"]
    skipped = sum(r.status == "skipped" for r in results)
    said = " ".join([str(exception or ""), *(str(r.message) for r in broken)])
    if "lock" in said and "IO Error" in said:
        return WarehouseBusyError(f"Another process holds the warehouse: {said.strip()}. Try again when it has ended.")
    lines = [f"  {r.node.name}: {' '.join(str(r.message).partition('> in macro')[0].split())}" for r in broken]
    lines += [f"  {r.node.name}: {r.failures} rows; the query is {r.node.compiled_path}" for r in failed]
    if exception is not None:
        lines.append(f"  {exception}")
    summary = (
        f"dbt: {len(broken)} models or tests broke, {len(failed)} tests failed, {skipped} were skipped. "
        f"The last good snapshot stays in place. Full log: {log_file}"
    )
    message = "\n".join([summary, *lines])
    return GateError(message) if failed and not broken else ColdframeError(message)
