"""What is wrong with an installation, and how to mend it: the first thing to run when anything looks odd.

A check that says "ok" beside a broken thing costs more than no check, so each failing kind has a test that breaks it.
Nothing here repairs, migrates or writes, save for one probe file in the home folder.
"""

import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import socket
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import duckdb
import psutil
import yaml
from croniter import croniter  # type: ignore[import-untyped]
from packaging.requirements import InvalidRequirement, Requirement
from pyarrow.lib import ArrowException
from pyarrow.parquet import read_metadata
from rich.table import Table
from rich.text import Text
from sqlalchemy import create_engine, inspect, make_url
from sqlalchemy.exc import SQLAlchemyError

from coldframe import landed, snapshots
from coldframe.errors import ColdframeError, ConfigurationError
from coldframe.ledger import HEAD, schema_revision
from coldframe.paths import Workspace
from coldframe.run import STEPS, find_step
from coldframe.settings import PROJECT_ROOT, Settings, get_settings

Level = Literal["ok", "warn", "fail"]
MINIMUM_PYTHON = (3, 11)
GIGABYTE = 1024**3
SLOW_UNCOMPILED = ("airflow", "pandas", "mlflow", "feast", "great_expectations", "sqlalchemy")


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `mend` says what to do and is empty where nothing is wrong."""

    level: Level
    what: str
    mend: str = ""


def examine(deep: bool = False) -> list[Finding]:
    """Every check, in order. Those that need settings are left out while the settings are wrong."""
    findings = [f for check in INSTALLATION for f in check()]
    try:
        settings = get_settings()
    except ConfigurationError as error:
        return [*findings, Finding("fail", f"settings: {error}", "Mend or remove it in the environment or in .env.")]
    findings.append(Finding("ok", "settings are valid"))
    findings += [f for check in HOME for f in check(settings)]
    for workspace in _workspaces(settings):
        findings += [f for of_source in SOURCE for f in of_source(workspace, deep)]
    if deep:
        findings += registered_steps()
    return findings


def findings_table(findings: Iterable[Finding]) -> Table:
    """One row a finding, coloured by level."""
    table = Table("", "what", "how to mend")
    style = {"ok": "green", "warn": "yellow", "fail": "bold red"}
    for f in findings:
        table.add_row(Text(f.level, style=style[f.level]), Text(f.what), Text(f.mend))
    return table


# The installation


def python_version(version: tuple[int, ...] = sys.version_info[:3]) -> Iterator[Finding]:
    shown = ".".join(map(str, version))
    if version < MINIMUM_PYTHON:
        yield Finding(
            "fail", f"Python {shown} is too old", "Install Python 3.11 or newer; then `make install PYTHON=…`."
        )
    else:
        yield Finding("ok", f"Python {shown}")


def locked_packages(lock: Path = PROJECT_ROOT / "requirements" / "runtime.txt") -> Iterator[Finding]:
    """Compares what is installed with the lock file."""
    if not lock.is_file():
        yield Finding("warn", f"{lock} is not there, so versions cannot be compared", "Run from a checkout.")
        return
    wrong, count = [], 0
    for line in lock.read_text().splitlines():
        if line[:1] in ("#", " ", "-", ""):
            continue
        try:
            locked = Requirement(line.removesuffix("\\").strip())
        except InvalidRequirement:
            wrong.append(f"{line!r} cannot be read")
            continue
        if locked.marker is not None and not locked.marker.evaluate():
            continue
        count += 1
        try:
            installed = importlib.metadata.version(locked.name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{locked.name} is missing")
            continue
        if not locked.specifier.contains(installed, prereleases=True):
            wrong.append(f"{locked.name} is {installed}, locked {locked.specifier}")
    if wrong:
        more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        yield Finding("fail", f"{len(wrong)} packages differ: {'; '.join(wrong[:5])}{more}", "Run `make install`.")
    else:
        yield Finding("ok", f"{count} packages are installed as locked")


def entry_points() -> Iterator[Finding]:
    """The rooms register their steps when the project is installed; without that no step is found."""
    offered = {e.name for e in importlib.metadata.entry_points(group="coldframe.steps")}
    if missing := [s for s in STEPS if s not in offered]:
        yield Finding("fail", f"steps nobody registers: {', '.join(missing)}", "Run `make install`.")
    else:
        yield Finding("ok", f"{len(STEPS)} steps are registered")


def byte_code(site: Path | None = None) -> Iterator[Finding]:
    """Libraries that are not compiled are compiled again in each of Airflow's processes."""
    if os.environ.get("PYTHONDONTWRITEBYTECODE"):
        yield Finding(
            "warn",
            "PYTHONDONTWRITEBYTECODE is set: every process starts three to five times slower",
            "unset PYTHONDONTWRITEBYTECODE (make does it for you).",
        )
    site = site or Path(sysconfig.get_paths()["purelib"])
    bare = [
        name
        for name in SLOW_UNCOMPILED
        if (source := site / name / "__init__.py").is_file()
        and not Path(importlib.util.cache_from_source(str(source))).is_file()
    ]
    if bare:
        mend = f"{sys.executable} -m compileall -q {site}"
        yield Finding("warn", f"not byte-compiled: {', '.join(bare)}; starting takes longer", mend)
    else:
        yield Finding("ok", "libraries are byte-compiled")


def dbt_profile(file: Path = PROJECT_ROOT / "dbt" / "profiles.yml") -> Iterator[Finding]:
    try:
        profile = yaml.safe_load(file.read_text())
        kinds = {name: output["type"] for name, output in profile["coldframe"]["outputs"].items()}
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        yield Finding(
            "fail", f"{file} cannot be used: {type(error).__name__} {error}", f"Restore it: git checkout -- {file}"
        )
        return
    yield Finding("ok", f"dbt's profile has {', '.join(f'{name} ({kind})' for name, kind in kinds.items())}")


def browser() -> Iterator[Finding]:
    found = shutil.which("chromium")
    yield Finding("ok", f"chromium is {found}" if found else "no chromium: fine, only the browser tests want one")


def loopback() -> Iterator[Finding]:
    try:
        with socket.create_server(("127.0.0.1", 0)):
            yield Finding("ok", "ports can be opened on 127.0.0.1")
    except OSError as error:
        mend = "Allow programs to listen on the loopback interface; Airflow and Feast do."
        yield Finding("fail", f"no port can be opened on 127.0.0.1: {error}", mend)


# The home folder


def home_folder(settings: Settings) -> Iterator[Finding]:
    """The home (or the nearest folder above it that exists) must be writable, with room on its disk."""
    folder = next(p for p in (settings.home, *settings.home.parents) if p.exists())
    try:
        with tempfile.TemporaryFile(dir=folder):
            yield Finding("ok", f"{settings.home} is writable")
    except OSError as error:
        yield Finding(
            "fail", f"{folder} cannot be written: {error}", "Change its owner, or set COLDFRAME_HOME elsewhere."
        )
    free = shutil.disk_usage(folder).free / GIGABYTE
    mend = "Make room, lower COLDFRAME_KEEP_SNAPSHOTS, or set COLDFRAME_HOME to another disk."
    if free < 2:
        yield Finding("fail" if free < 0.5 else "warn", f"{free:.1f} GB are free at {folder}", mend)
    else:
        yield Finding("ok", f"{free:.0f} GB are free")


def schedules(settings: Settings) -> Iterator[Finding]:
    """A time Airflow cannot read takes the whole DAG out of the list."""
    wrong = [
        f"COLDFRAME_{name.upper()} is {value!r}, which is no cron expression"
        for name, value in (("daily_cron", settings.daily_cron), ("weekly_cron", settings.weekly_cron))
        if not croniter.is_valid(value)
    ]
    for what in wrong:
        yield Finding("fail", what, "Give minute, hour, day, month and weekday (UTC), such as '0 3 * * *'.")
    if not wrong:
        yield Finding(
            "ok", f"daily lands at '{settings.daily_cron}', weekly retrains at '{settings.weekly_cron}' (UTC)"
        )


def ledger(settings: Settings) -> Iterator[Finding]:
    url = settings.resolved_ledger_url
    if _absent(url):
        yield Finding("ok", "no ledger yet; the first command makes it")
        return
    try:
        with create_engine(url).connect() as connection:
            revision = schema_revision(connection)
    except (SQLAlchemyError, ImportError) as error:
        mend = "Check COLDFRAME_LEDGER_URL and that the server runs; a broken SQLite file must come from a backup."
        yield Finding("fail", f"the ledger {_shown(url)} cannot be read: {_first_line(error)}", mend)
        return
    if revision == HEAD:
        yield Finding("ok", f"the ledger is at schema {revision}")
    elif revision is None or revision < HEAD:
        yield Finding(
            "warn", f"the ledger is at schema {revision}, the code at {HEAD}", "The next command migrates it."
        )
    else:
        mend = "Update the code, or point COLDFRAME_LEDGER_URL elsewhere."
        yield Finding("fail", f"the ledger is at schema {revision}, newer than the code ({HEAD})", mend)


def mlflow(settings: Settings) -> Iterator[Finding]:
    url = settings.resolved_mlflow_url
    if url.startswith(("http://", "https://")):
        parsed = make_url(url)
        try:
            socket.create_connection((parsed.host or "", parsed.port or 80), timeout=3).close()
        except OSError as error:
            yield Finding("fail", f"MLflow at {_shown(url)} does not answer: {error}", "Start it, or mend the URL.")
            return
        yield Finding("ok", f"MLflow answers at {_shown(url)}")
        return
    if _absent(url):
        yield Finding("ok", "no MLflow database yet; `coldframe train` makes it")
        return
    try:
        with create_engine(url).connect() as connection:
            complete = inspect(connection).has_table("experiments")
    except (SQLAlchemyError, ImportError) as error:
        mend = "Check COLDFRAME_MLFLOW_URL; releases under home still serve."
        yield Finding("fail", f"MLflow's database {_shown(url)} cannot be read: {_first_line(error)}", mend)
        return
    if complete:
        yield Finding("ok", "MLflow's database is there")
    else:
        yield Finding("warn", "MLflow's database has no tables", "`coldframe train` makes them.")


def airflow_database(settings: Settings) -> Iterator[Finding]:
    home = settings.home / "airflow"
    if not (home / "airflow.db").is_file():
        yield Finding("ok", "no Airflow database yet; `make up` makes it")
        return
    stamp = home / "database.version"
    made, installed = stamp.read_text() if stamp.is_file() else "unknown", _version("apache-airflow-core")
    if made == installed:
        yield Finding("ok", f"Airflow's database is that of {installed}")
    else:
        yield Finding("warn", f"Airflow's database is of {made}, Airflow is {installed}", "`make up` migrates it.")


def airflow_processes(settings: Settings) -> Iterator[Finding]:
    """Processes that a previous `up` or `demo` left behind, by the record it keeps (coldframe.orchestration.server)."""
    file = settings.home / "airflow" / "server.json"
    if not file.is_file():
        yield Finding("ok", "Airflow is not running")
        return
    try:
        record = json.loads(file.read_text())
        alive = {name: p["pid"] for name, p in record["components"].items() if _alive(**p)}
        owned, port, count = _alive(**record["owner"]), record["port"], len(record["components"])
    except (ValueError, KeyError, TypeError) as error:
        yield Finding("warn", f"{file} cannot be read: {error}", "Run `coldframe down`.")
        return
    shown = ", ".join(f"{name} {pid}" for name, pid in alive.items())
    if owned and len(alive) == count:
        yield Finding("ok", f"Airflow runs at http://127.0.0.1:{port}")
    elif alive:
        yield Finding("warn", f"orphaned Airflow processes: {shown}", "`coldframe down` ends them.")
    else:
        yield Finding("warn", "Airflow ended without cleaning up", "`coldframe down` (or the next `make up`) does.")


# Each source


def landed_facts(workspace: Workspace, deep: bool) -> Iterator[Finding]:
    # Each table of the contract has a schema file; only those the source delivered have a version.
    tables = [p.parent.name for p in workspace.landed.glob("*/_schema.parquet")]
    delivered = sum(any(landed.versions(workspace, table)) for table in tables)
    if delivered:
        yield Finding("ok", f"{workspace.source}: {delivered} of the contract's {len(tables)} tables have landed")
    else:
        yield Finding(
            "warn", f"{workspace.source}: nothing has landed", f"coldframe land --source {workspace.source} …"
        )


def warehouse(workspace: Workspace, deep: bool) -> Iterator[Finding]:
    file = workspace.warehouse_file
    if not file.is_file():
        yield Finding("ok", f"{workspace.source}: no warehouse; `coldframe transform` makes it")
        return
    try:
        duckdb.connect(str(file), read_only=True).close()
    except duckdb.Error as error:
        if "lock" in str(error).lower():
            holder = re.search(r"PID (\d+)", str(error))
            by = f"process {holder[1]} ({_command(int(holder[1]))})" if holder else "another process"
            yield Finding(
                "warn",
                f"{workspace.source}: the warehouse is held by {by}",
                "Wait for the running step; if it hangs, end that process.",
            )
        else:
            yield Finding(
                "fail",
                f"{workspace.source}: {file} cannot be opened: {_first_line(error)}",
                f"Delete it; `coldframe transform --source {workspace.source} …` makes it again from what landed.",
            )
        return
    yield Finding("ok", f"{workspace.source}: the warehouse opens and nobody holds it")


def scratch(workspace: Workspace, deep: bool) -> Iterator[Finding]:
    left = sorted(p.name for p in workspace.scratch.iterdir()) if workspace.scratch.is_dir() else []
    if left:
        yield Finding(
            "warn",
            f"{workspace.source}: half-written things from a run that goes on or was killed: {', '.join(left[:5])}",
            f"If nothing runs: rm -r {workspace.scratch} (the next run ignores them anyway).",
        )


def snapshot(workspace: Workspace, deep: bool) -> Iterator[Finding]:
    """The current snapshot: every file there with the rows the manifest states; with `deep` every checksum too."""
    mend = f"Delete {workspace.current} and what it points to; then coldframe audit --source {workspace.source} …"
    if not workspace.current.is_symlink():
        yield Finding("ok", f"{workspace.source}: nothing published yet; `coldframe audit` does")
        return
    if not workspace.current.exists():
        target = workspace.current.readlink()
        yield Finding("fail", f"{workspace.source}: snapshots/current points to {target}, which is gone", mend)
        return
    current = snapshots.current(workspace)
    try:
        tables = current.manifest["tables"]
        wrong = [
            f["path"]
            for table in tables.values()
            for f in table["files"]
            if _rows(current.path / f["path"]) != f["rows"]
        ]
        if deep:
            current.verify()
    except (OSError, ValueError, KeyError) as error:
        yield Finding("fail", f"{workspace.source}: snapshot {current.id} has no usable manifest: {error}", mend)
        return
    except ColdframeError as error:
        yield Finding("fail", f"{workspace.source}: {error}", mend)
        return
    if wrong:
        shown = ", ".join(wrong[:3])
        yield Finding("fail", f"{workspace.source}: snapshot {current.id}: {len(wrong)} broken files ({shown})", mend)
    else:
        checked = "every checksum fits" if deep else "every file is whole"
        yield Finding("ok", f"{workspace.source}: snapshot {current.id}, {checked}")


def online_features(workspace: Workspace, deep: bool) -> Iterator[Finding]:
    if not workspace.current.exists():
        return
    mend = f"coldframe materialize --source {workspace.source} …"
    current = workspace.current.resolve().name
    try:
        # What the step `materialize` writes last.
        online = json.loads((workspace.features / "materialized.json").read_text())["snapshot"]
    except (OSError, ValueError, KeyError, TypeError):
        yield Finding("warn", f"{workspace.source}: snapshot {current} is published, but no features are online", mend)
        return
    if online != current:
        yield Finding("warn", f"{workspace.source}: features of {online} are online, published is {current}", mend)
    else:
        yield Finding("ok", f"{workspace.source}: the features online are those of the current snapshot")


def registered_steps() -> Iterator[Finding]:
    """Loads every step, which imports every library the pipeline needs (about half a minute)."""
    for name in STEPS:
        try:
            find_step(name)
        # Whatever a broken library raises while it is imported is what the doctor is asked about.
        except Exception as error:
            yield Finding(
                "fail", f"step {name} cannot be loaded: {type(error).__name__}: {error}", "Run `make install`."
            )
            continue
        yield Finding("ok", f"step {name} can be loaded")


INSTALLATION: tuple[Callable[[], Iterator[Finding]], ...] = (
    python_version,
    locked_packages,
    entry_points,
    byte_code,
    dbt_profile,
    loopback,
    browser,
)
HOME = (home_folder, schedules, ledger, mlflow, airflow_database, airflow_processes)
SOURCE = (landed_facts, warehouse, scratch, snapshot, online_features)


def _workspaces(settings: Settings) -> list[Workspace]:
    folders = sorted((settings.home / "sources").glob("*/"))
    return [Workspace(settings.home, folder.name) for folder in folders]


def _absent(url: str) -> bool:
    """Connecting to a SQLite file that is not there would make an empty one."""
    parsed = make_url(url)
    return parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").is_file()


def _shown(url: str) -> str:
    return make_url(url).render_as_string(hide_password=True)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _rows(file: Path) -> int:
    """Rows a Parquet file's own footer states; -1 where it has none."""
    try:
        return read_metadata(file).num_rows
    except (OSError, ArrowException):
        return -1


def _alive(pid: int, created: float) -> bool:
    try:
        return psutil.Process(pid).create_time() == created
    except psutil.Error:
        return False


def _command(pid: int) -> str:
    try:
        return " ".join(psutil.Process(pid).cmdline()[:4])
    except psutil.Error:
        return "not visible from here"
