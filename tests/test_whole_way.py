"""The whole way on a tiny shop: the promises that no single room can keep alone.

Same facts, same bytes; nothing later than the as-of is seen; a run killed anywhere and started again ends like one
that was not; a gate that blocks leaves the last good snapshot in place.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from coldframe import cli, snapshots
from coldframe.errors import BadInputError, GateError, NotAvailableError
from coldframe.execution import execute
from coldframe.ledger import Ledger
from coldframe.paths import Workspace
from coldframe.run import STEPS, Request

FACTS = ("land", "audit_landed", "transform", "publish")
AS_OF = date(2024, 9, 29)


def request(folder: Path, as_of: date = AS_OF, **more: object) -> Request:
    return Request.model_validate({"source": "files", "as_of": as_of, "path": folder, **more})


def checksums(snapshot: snapshots.Snapshot) -> dict[str, str]:
    return {f["path"]: f["sha256"] for table in snapshot.manifest["tables"].values() for f in table["files"]}


def publish_facts(home: Path, folder: Path, as_of: date = AS_OF) -> snapshots.Snapshot:
    for step in FACTS:
        execute(step, request(folder, as_of))
    return snapshots.current(Workspace(home, "files"))


def coldframe(home: Path, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "coldframe.cli", *arguments],
        env=os.environ | {"COLDFRAME_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def decide(*arguments: str) -> Result:
    command = ["decide", "assortment", "--source", "files", "--as-of", AS_OF.isoformat(), *arguments]
    return CliRunner().invoke(cli.app, command)


@pytest.fixture(scope="session")
def undisturbed(tiny_shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which the whole way was run once from nothing, in a process of its own."""
    home = tmp_path_factory.mktemp("undisturbed")
    process = coldframe(home, "run", "--source", "files", "--path", str(tiny_shop), "--as-of", AS_OF.isoformat())
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output.decode()[-4000:]
    return home


@pytest.fixture
def copy_of_undisturbed(undisturbed: Path, installation: Callable[..., Path]) -> Path:
    home = installation()
    shutil.copytree(undisturbed, home, symlinks=True)
    return home


def test_the_whole_way_ends_in_two_draft_plans_with_a_reason_on_every_line(copy_of_undisturbed: Path) -> None:
    ledger = Ledger.open()
    plans = {p.kind: p for p in ledger.plans(source="files")}
    assert set(plans) == {"assortment", "incubation"}
    for plan in plans.values():
        lines = ledger.lines(plan.plan_id)
        assert plan.status == "draft"
        assert lines
        assert all(line.reason for line in lines)
        assert all(line.value_low <= line.value <= line.value_high for line in lines)


def test_a_second_run_of_everything_changes_nothing(copy_of_undisturbed: Path, tiny_shop: Path) -> None:
    before = {p.plan_id for p in Ledger.open().plans(source="files")}
    snapshot = snapshots.current(Workspace(copy_of_undisturbed, "files"))
    for step in STEPS:
        execute(step, request(tiny_shop))
    assert snapshots.current(Workspace(copy_of_undisturbed, "files")).id == snapshot.id
    assert {p.plan_id for p in Ledger.open().plans(source="files")} == before


def test_a_plan_keeps_the_rules_it_was_asked_for(copy_of_undisturbed: Path, tiny_shop: Path) -> None:
    rules = {"objective": "margin", "slots": 3, "must_keep": ["p05"], "must_drop": ["p01"], "merchant_share": 0.4}
    result = execute("assortment", request(tiny_shop, **rules))
    lines = Ledger.open().lines(result.facts["plan_id"])
    ranged = [line for line in lines if line.action == "range"]
    cells = {(line.region, line.category) for line in ranged}
    assert all(sum((line.region, line.category) == cell for line in ranged) <= 3 for cell in cells)
    kept = [line for line in lines if line.product_id == "p05"]
    assert kept and all(line.action == "range" and "must-keep" in line.binding_constraint for line in kept)
    assert {line.action for line in lines if line.product_id == "p01"} == {"drop"}
    assert "merchant cap" in {line.binding_constraint for line in ranged}
    assert all("expected margin" in line.reason for line in lines)


def test_deciding_again_makes_nothing_twice_and_writes_the_same_bytes(
    copy_of_undisturbed: Path, tiny_shop: Path, tmp_path: Path
) -> None:
    files = [tmp_path / "one.csv", tmp_path / "two.csv"]
    for file in files:
        done = decide("--out", str(file))
        assert done.exit_code == 0, done.output
        assert "one is made first" not in done.output
        assert re.search(r"^forecast .*\(re-used\)$", done.output, re.MULTILINE)
    assert files[0].read_bytes() == files[1].read_bytes()
    table = pd.read_csv(files[0])
    assert len(table) and table["reason"].notna().all()
    assert table.equals(table.sort_values(["region", "category", "rank"], kind="stable", ignore_index=True))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--must-keep", "nobody"), "the catalogue does not list 1 of them: nobody"),
        (("--slots", "1", "--must-keep", "p05", "--must-keep", "p02"), "slots and must-keep"),
        (("--must-keep", "p05", "--must-drop", "p05"), "--must-drop: p05 must be kept as well"),
        (("--season", "2024-Q2"), "Season 2024-Q2 ended on 2024-06-30"),
        (("--season", "2026-Q1"), "more than 53 weeks after the as-of"),
        (("--season", "harvest"), "'harvest' is no season"),
    ],
)
def test_what_cannot_be_planned_is_refused_with_what_to_change_and_no_plan_is_left(
    arguments: tuple[str, ...], message: str, copy_of_undisturbed: Path, tmp_path: Path
) -> None:
    before = {p.plan_id for p in Ledger.open().plans()}
    done = decide(*arguments, "--out", str(tmp_path / "plan.csv"))
    assert done.exit_code == 2
    assert re.search(message, done.stderr)
    assert {p.plan_id for p in Ledger.open().plans()} == before
    assert not (tmp_path / "plan.csv").exists()


def test_a_plan_is_not_made_from_the_facts_of_another_day(copy_of_undisturbed: Path, tiny_shop: Path) -> None:
    for day in (AS_OF - timedelta(days=1), AS_OF + timedelta(days=1)):
        with pytest.raises(NotAvailableError, match=f"as of {AS_OF}, the run as of {day}"):
            execute("assortment", request(tiny_shop, day))


def test_a_run_sees_nothing_later_than_its_as_of(
    tiny_shop: Path, tmp_path: Path, installation: Callable[..., Path]
) -> None:
    """Deleting every later row from the source must not change a byte."""
    earlier = AS_OF - timedelta(days=30)
    home = installation()
    full = checksums(publish_facts(home, tiny_shop, earlier))
    shutil.rmtree(home)
    cut = tmp_path / "cut"
    shutil.copytree(tiny_shop, cut)
    lines = pd.read_csv(cut / "order_lines.csv", dtype=str)
    lines[lines.ordered_at < (earlier + timedelta(days=1)).isoformat()].to_csv(cut / "order_lines.csv", index=False)
    assert checksums(publish_facts(home, cut, earlier)) == full


def test_going_on_for_a_day_ends_like_starting_from_nothing(
    tiny_shop: Path, undisturbed: Path, installation: Callable[..., Path]
) -> None:
    home = installation()
    publish_facts(home, tiny_shop, AS_OF - timedelta(days=1))
    grown = publish_facts(home, tiny_shop)
    assert checksums(grown) == checksums(snapshots.current(Workspace(undisturbed, "files")))


@pytest.mark.parametrize(
    ("during", "sign"),
    [
        ("landing", "sources/files/scratch/*"),
        ("the transformation", "sources/files/warehouse.duckdb.wal"),
        ("publication", "sources/files/scratch/snapshot/*/*.parquet"),
    ],
)
def test_a_run_killed_during(
    during: str, sign: str, tiny_shop: Path, undisturbed: Path, installation: Callable[..., Path]
) -> None:
    home = installation()
    arguments = ("--source", "files", "--path", str(tiny_shop), "--as-of", AS_OF.isoformat())
    victim = coldframe(home, "run", *arguments)
    deadline = time.monotonic() + 240
    while not any(home.glob(sign)):
        assert victim.poll() is None, f"the run ended before {during} was seen"
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.killpg(victim.pid, signal.SIGKILL)
    victim.communicate()
    again = publish_facts(home, tiny_shop)
    again.verify()
    assert checksums(again) == checksums(snapshots.current(Workspace(undisturbed, "files")))


def test_bad_input_leaves_the_last_good_snapshot_serving(
    copy_of_undisturbed: Path, tiny_shop: Path, tmp_path: Path
) -> None:
    good = snapshots.current(Workspace(copy_of_undisturbed, "files"))
    broken = tmp_path / "broken"
    shutil.copytree(tiny_shop, broken)
    (broken / "order_lines.csv").write_text("order_id,line_number\n1,1\n")
    with pytest.raises(BadInputError, match=r"order_lines"):
        execute("land", request(broken))
    assert snapshots.current(Workspace(copy_of_undisturbed, "files")).id == good.id
    good.verify()


def test_a_week_without_orders_is_stopped_at_the_gate_and_the_last_good_snapshot_stays(
    copy_of_undisturbed: Path, tiny_shop: Path, tmp_path: Path
) -> None:
    good = snapshots.current(Workspace(copy_of_undisturbed, "files"))
    silent = tmp_path / "silent"
    shutil.copytree(tiny_shop, silent)
    lines = pd.read_csv(silent / "order_lines.csv", dtype=str)
    lines[lines.ordered_at < "2024-09-26"].to_csv(silent / "order_lines.csv", index=False)
    later = date(2024, 10, 6)
    execute("land", request(silent, later))
    with pytest.raises(GateError):
        execute("audit_landed", request(silent, later))
    assert snapshots.current(Workspace(copy_of_undisturbed, "files")).id == good.id
