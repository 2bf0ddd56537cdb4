"""Each thing the doctor looks at is broken here on purpose: it must say what and how to mend it."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import duckdb
import ibis
import psutil
import pytest
from typer.testing import CliRunner

from coldframe import cli, doctor, landed, snapshots
from coldframe.doctor import Finding, examine
from coldframe.ledger import Ledger
from coldframe.paths import Workspace
from coldframe.settings import Settings, load
from coldframe.snapshots import Mart, Snapshot

Installation = Callable[..., Path]


def only(findings: Iterator[Finding]) -> Finding:
    (finding,) = findings
    return finding


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load(home=tmp_path / "home")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path / "home", "shop")
    workspace.root.mkdir(parents=True)
    return workspace


@pytest.fixture
def published(workspace: Workspace) -> Snapshot:
    backend = ibis.duckdb.connect()
    backend.raw_sql("create table sales as select i as product_id from range(50) as r (i)")
    marts = [Mart("sales", "main", order_by=("product_id",))]
    snapshot = snapshots.publish(workspace, backend, date(2017, 9, 30), marts, contract_version=1)
    backend.disconnect()
    return snapshot


# The whole examination


def test_a_new_installation_has_nothing_that_fails(installation: Installation) -> None:
    installation()
    result = CliRunner().invoke(cli.app, ["doctor"])
    assert [f for f in examine() if f.level == "fail"] == []
    assert result.exit_code == 0
    assert "0 failed" in result.output


def test_every_finding_that_is_not_ok_says_how_to_mend_it(
    installation: Installation, workspace: Workspace, published: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation()
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    workspace.warehouse_file.write_text("broken")
    workspace.scratch.mkdir(exist_ok=True)
    (workspace.scratch / "half").touch()
    shutil.rmtree(published.path)
    trouble = [f for f in examine() if f.level != "ok"]
    assert len(trouble) >= 5
    assert all(f.mend for f in trouble)


def test_the_command_fails_when_anything_fails_and_shows_it(installation: Installation) -> None:
    installation(threads="many")
    result = CliRunner().invoke(cli.app, ["doctor"])
    assert result.exit_code == 1
    assert "COLDFRAME_THREADS" in result.output
    assert "1 failed" in result.output


def test_an_unknown_setting_is_found(installation: Installation) -> None:
    installation(thread=3)
    assert any(f.level == "fail" and "Did you mean COLDFRAME_THREADS" in f.what for f in examine())


# The installation


def test_an_old_python_fails() -> None:
    assert only(doctor.python_version((3, 10, 4))) == Finding(
        "fail", "Python 3.10.4 is too old", "Install Python 3.11 or newer; then `make install PYTHON=…`."
    )


def test_packages_that_differ_from_the_lock_file_are_named(tmp_path: Path) -> None:
    lock = tmp_path / "runtime.txt"
    lock.write_text(
        "# made by uv\npandas==0.1 \\\n    --hash=sha256:abc\nno-such-thing==1.0 \\\n"
        "pywin32==306 ; sys_platform == 'win32' \\\nsqlalchemy>1 \\\n"
    )
    finding = only(doctor.locked_packages(lock))
    assert finding.level == "fail"
    assert "2 packages differ: pandas is 2" in finding.what
    assert "locked ==0.1; no-such-thing is missing" in finding.what
    assert finding.mend == "Run `make install`."


def test_without_a_lock_file_versions_are_not_compared(tmp_path: Path) -> None:
    assert only(doctor.locked_packages(tmp_path / "none.txt")).level == "warn"


def test_a_project_that_is_not_installed_is_told_from_one_that_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert only(doctor.entry_points()).level == "ok"
    monkeypatch.setattr(doctor.importlib.metadata, "entry_points", lambda group: ())
    finding = only(doctor.entry_points())
    assert (finding.level, finding.mend) == ("fail", "Run `make install`.")
    assert "land, audit_landed, transform" in finding.what


def test_the_variable_that_forbids_byte_code_and_bare_libraries_are_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    (tmp_path / "airflow").mkdir()
    (tmp_path / "airflow" / "__init__.py").touch()
    variable, bare = doctor.byte_code(tmp_path)
    assert (variable.level, bare.level) == ("warn", "warn")
    assert "unset PYTHONDONTWRITEBYTECODE" in variable.mend
    assert "not byte-compiled: airflow" in bare.what
    assert "compileall" in bare.mend


@pytest.mark.parametrize("text", ["{", "coldframe:\n  target: duckdb\n", "just text"])
def test_a_dbt_profile_that_cannot_be_used_fails(tmp_path: Path, text: str) -> None:
    file = tmp_path / "profiles.yml"
    file.write_text(text)
    finding = only(doctor.dbt_profile(file))
    assert finding.level == "fail"
    assert str(file) in finding.what


def test_no_chromium_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.shutil, "which", lambda _: None)
    assert only(doctor.browser()).level == "ok"


def test_a_machine_that_lets_nobody_listen_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise PermissionError("not allowed")

    monkeypatch.setattr(doctor.socket, "create_server", refuse)
    assert only(doctor.loopback()).what == "no port can be opened on 127.0.0.1: not allowed"


# The home folder


def test_a_home_that_cannot_be_written_fails(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(dir: Path) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", refuse)
    finding = next(doctor.home_folder(settings))
    assert finding.level == "fail"
    assert "cannot be written: read-only" in finding.what


def test_a_schedule_airflow_cannot_read_fails(settings: Settings) -> None:
    assert only(doctor.schedules(settings)).level == "ok"
    finding = only(doctor.schedules(settings.model_copy(update={"daily_cron": "every day"})))
    assert (finding.level, finding.what) == ("fail", "COLDFRAME_DAILY_CRON is 'every day', which is no cron expression")


@pytest.mark.parametrize(("free", "level"), [(0.1, "fail"), (1.0, "warn"), (50.0, "ok")])
def test_a_disk_that_fills_up_is_found(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, free: float, level: str
) -> None:
    usage = shutil.disk_usage("/")._replace(free=int(free * doctor.GIGABYTE))
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: usage)
    assert list(doctor.home_folder(settings))[1].level == level


def test_the_ledgers_schema_is_compared_with_the_codes(settings: Settings) -> None:
    assert only(doctor.ledger(settings)).what == "no ledger yet; the first command makes it"
    assert not settings.home.exists()
    Ledger.open(settings)
    assert only(doctor.ledger(settings)).what == "the ledger is at schema 0001"
    for revision, level in (("0000", "warn"), ("9999", "fail")):
        connection = sqlite3.connect(settings.home / "ledger.sqlite")
        connection.execute("update alembic_version set version_num = ?", [revision])
        connection.commit()
        connection.close()
        finding = only(doctor.ledger(settings))
        assert finding.level == level
        assert revision in finding.what


@pytest.mark.parametrize(("check", "file"), [(doctor.ledger, "ledger.sqlite"), (doctor.mlflow, "mlflow.sqlite")])
def test_a_broken_database_fails_with_its_name(
    check: Callable[[Settings], Iterator[Finding]], file: str, settings: Settings
) -> None:
    settings.home.mkdir()
    (settings.home / file).write_text("not a database, and long enough to be taken for one " * 40)
    finding = only(check(settings))
    assert finding.level == "fail"
    assert file in finding.what
    assert "not a database" in finding.what


def test_a_database_that_cannot_be_reached_fails_without_showing_its_password(settings: Settings) -> None:
    url = "postgresql+nodriver://me:secret@127.0.0.1/x"
    for check, elsewhere in ((doctor.ledger, {"ledger_url": url}), (doctor.mlflow, {"mlflow_url": url})):
        finding = only(check(load(home=settings.home, **elsewhere)))
        assert finding.level == "fail"
        assert "secret" not in finding.what + finding.mend


def test_an_mlflow_server_that_does_not_answer_fails(settings: Settings) -> None:
    finding = only(doctor.mlflow(load(home=settings.home, mlflow_url="http://127.0.0.1:1")))
    assert finding.level == "fail"
    assert "does not answer" in finding.what


def test_mlflows_database_is_missing_empty_or_there(settings: Settings) -> None:
    assert "no MLflow database yet" in only(doctor.mlflow(settings)).what
    settings.home.mkdir()
    connection = sqlite3.connect(settings.home / "mlflow.sqlite")
    connection.execute("create table other (x)")
    assert only(doctor.mlflow(settings)).level == "warn"
    connection.execute("create table experiments (x)")
    connection.close()
    assert only(doctor.mlflow(settings)).level == "ok"


def test_airflows_database_of_another_version_is_warned_of(settings: Settings) -> None:
    home = settings.home / "airflow"
    assert "no Airflow database yet" in only(doctor.airflow_database(settings)).what
    home.mkdir(parents=True)
    (home / "airflow.db").touch()
    (home / "database.version").write_text("2.10.0")
    finding = only(doctor.airflow_database(settings))
    assert (finding.level, finding.mend) == ("warn", "`make up` migrates it.")
    assert "is of 2.10.0" in finding.what


def record_server(settings: Settings, owner: dict[str, float], component: dict[str, float]) -> None:
    folder = settings.home / "airflow"
    folder.mkdir(parents=True, exist_ok=True)
    record = {"home": str(folder), "port": 8080, "owner": owner, "group": 1, "components": {"scheduler": component}}
    (folder / "server.json").write_text(json.dumps(record))


def test_airflow_running_orphaned_and_dead_are_told_apart(settings: Settings) -> None:
    me = {"pid": os.getpid(), "created": psutil.Process().create_time()}
    gone = {"pid": os.getpid(), "created": 1.0}
    assert only(doctor.airflow_processes(settings)).what == "Airflow is not running"
    record_server(settings, owner=me, component=me)
    assert only(doctor.airflow_processes(settings)).what == "Airflow runs at http://127.0.0.1:8080"
    record_server(settings, owner=gone, component=me)
    orphaned = only(doctor.airflow_processes(settings))
    assert orphaned == Finding(
        "warn", f"orphaned Airflow processes: scheduler {os.getpid()}", "`coldframe down` ends them."
    )
    record_server(settings, owner=gone, component=gone)
    assert "ended without cleaning up" in only(doctor.airflow_processes(settings)).what
    (settings.home / "airflow" / "server.json").write_text("{")
    assert only(doctor.airflow_processes(settings)).level == "warn"


# Each source


def test_a_source_without_landed_tables_is_warned_of(workspace: Workspace) -> None:
    assert only(doctor.landed_facts(workspace, deep=False)).mend == "coldframe land --source shop …"
    (workspace.landed / "products").mkdir(parents=True)
    (workspace.landed / "products" / "_schema.parquet").touch()
    assert only(doctor.landed_facts(workspace, deep=False)).level == "warn", "a schema alone holds no fact"
    (workspace.landed / "coupons").mkdir()
    (workspace.landed / "coupons" / "_schema.parquet").touch()
    landed.partition(workspace, "products", None).path.touch()
    found = only(doctor.landed_facts(workspace, deep=False))
    assert (found.level, found.what) == ("ok", "shop: 1 of the contract's 2 tables have landed")


def test_a_warehouse_held_by_another_process_is_named_with_that_process(workspace: Workspace) -> None:
    duckdb.connect(str(workspace.warehouse_file)).close()
    assert "nobody holds it" in only(doctor.warehouse(workspace, deep=False)).what
    hold = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(workspace.warehouse_file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        finding = only(doctor.warehouse(workspace, deep=False))
        holder.communicate()
    assert finding.level == "warn"
    assert f"held by process {holder.pid} ({sys.executable}" in finding.what


def test_a_warehouse_that_cannot_be_opened_fails(workspace: Workspace) -> None:
    workspace.warehouse_file.write_text("broken " * 1000)
    finding = only(doctor.warehouse(workspace, deep=False))
    assert finding.level == "fail"
    assert finding.mend.startswith("Delete it; `coldframe transform")


def test_half_written_things_are_warned_of(workspace: Workspace) -> None:
    assert list(doctor.scratch(workspace, deep=False)) == []
    (workspace.scratch / "snapshot").mkdir(parents=True)
    finding = only(doctor.scratch(workspace, deep=False))
    assert finding.level == "warn"
    assert "snapshot" in finding.what


def test_a_whole_snapshot_is_fine_and_none_at_all_too(workspace: Workspace) -> None:
    assert "nothing published yet" in only(doctor.snapshot(workspace, deep=True)).what


def test_a_published_snapshot_is_checked_quickly_and_deeply(workspace: Workspace, published: Snapshot) -> None:
    assert only(doctor.snapshot(workspace, deep=False)).what == f"shop: snapshot {published.id}, every file is whole"
    assert "every checksum fits" in only(doctor.snapshot(workspace, deep=True)).what


def test_a_pointer_to_a_snapshot_that_is_gone_fails(workspace: Workspace, published: Snapshot) -> None:
    shutil.rmtree(published.path)
    finding = only(doctor.snapshot(workspace, deep=False))
    assert finding.level == "fail"
    assert f"points to {published.id}, which is gone" in finding.what


@pytest.mark.parametrize("damage", ["truncate", "remove"])
def test_a_damaged_file_of_the_snapshot_fails_even_quickly(
    workspace: Workspace, published: Snapshot, damage: str
) -> None:
    (file,) = published.files("sales")
    if damage == "remove":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-20])
    finding = only(doctor.snapshot(workspace, deep=False))
    assert finding.level == "fail"
    assert "1 broken files (sales/all.parquet)" in finding.what


def test_a_changed_byte_within_a_snapshot_fails_deeply(workspace: Workspace, published: Snapshot) -> None:
    (file,) = published.files("sales")
    content = bytearray(file.read_bytes())
    content[10] ^= 1
    file.write_bytes(content)
    assert only(doctor.snapshot(workspace, deep=False)).level == "ok"
    assert "differ from the manifest" in only(doctor.snapshot(workspace, deep=True)).what


def test_a_snapshot_without_a_usable_manifest_fails(workspace: Workspace, published: Snapshot) -> None:
    (published.path / snapshots.MANIFEST).write_text("{")
    assert "no usable manifest" in only(doctor.snapshot(workspace, deep=False)).what


def test_a_published_snapshot_without_an_online_store_is_warned_of(workspace: Workspace, published: Snapshot) -> None:
    assert only(doctor.online_features(workspace, deep=False)).mend == "coldframe materialize --source shop …"
    workspace.features.mkdir()
    marker = workspace.features / "materialized.json"
    marker.write_text(json.dumps({"snapshot": "an-older-one"}))
    assert "an-older-one are online" in only(doctor.online_features(workspace, deep=False)).what
    marker.write_text(json.dumps({"snapshot": published.id}))
    assert only(doctor.online_features(workspace, deep=False)).level == "ok"


def test_a_step_that_cannot_be_loaded_fails_with_its_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(name: str) -> None:
        if name == "growth":
            raise ImportError("libgomp.so.1: cannot open shared object file")

    monkeypatch.setattr(doctor, "find_step", find)
    findings = list(doctor.registered_steps())
    assert [f.level for f in findings].count("fail") == 1
    assert any("step growth cannot be loaded: ImportError: libgomp" in f.what for f in findings)
