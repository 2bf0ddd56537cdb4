"""The ledger must never lose a decision, forget who took it, or let a plan skip its approval."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from coldframe import ledger as module
from coldframe.errors import ColdframeError, ConfigurationError, NotAvailableError
from coldframe.ledger import Ledger, PlanDraft, PlanLine, next_status
from coldframe.run import Request, StepResult
from coldframe.settings import load

Make = Callable[..., PlanDraft]
MakeLine = Callable[..., PlanLine]
LEGAL = {
    ("draft", "approved"),
    ("draft", "rejected"),
    ("draft", "superseded"),
    ("approved", "published"),
    ("approved", "rejected"),
    ("approved", "superseded"),
    ("rejected", "approved"),
    ("published", "superseded"),
    ("superseded", "draft"),
}


# The status machine


@pytest.mark.parametrize(("current", "wanted"), sorted(product(module.TRANSITIONS, repeat=2)))
def test_a_plan_moves_only_along_the_table_of_transitions(current: str, wanted: str) -> None:
    if (current, wanted) in LEGAL:
        assert next_status(current, wanted) == wanted
    else:
        with pytest.raises(ConfigurationError, match=f"is {current}, so it cannot become {wanted}"):
            next_status(current, wanted)


def test_an_unknown_status_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match="draft, approved, rejected, published, superseded"):
        next_status("draft", "aproved")


# Plans


def test_a_saved_plan_is_a_draft_that_comes_back_as_it_was_decided(ledger: Ledger, draft: Make, line: MakeLine) -> None:
    lines = (line(), line(product_id="p2", alternative=None, binding_constraint=None))
    saved = ledger.save_plan(draft(lines=lines))
    assert ledger.plan(saved.plan_id) == saved
    assert saved.status == "draft"
    assert saved.line_count == 2
    assert ledger.lines(saved.plan_id) == lines
    assert saved.release_ids == {"forecasting": "r1"}


def test_deciding_the_same_again_gives_the_same_plan_whatever_became_of_it(ledger: Ledger, draft: Make) -> None:
    saved = ledger.save_plan(draft())
    ledger.change_status(saved.plan_id, "rejected", by="ann", why="too few teas")
    again = ledger.save_plan(draft(summary={"seconds": 3}))
    assert again.plan_id == saved.plan_id
    assert again.status == "rejected"


def test_another_line_makes_another_plan(draft: Make, line: MakeLine) -> None:
    assert draft().plan_id != draft(lines=(line(quantity=121),)).plan_id


def test_numbers_of_numpy_are_the_same_decision_as_pythons(ledger: Ledger, draft: Make, line: MakeLine) -> None:
    python = draft(lines=(line(quantity=120.0, details={"rank": 1, "day": "2017-10-01"}),))
    numpy = draft(lines=(line(quantity=np.int64(120), details={"rank": np.int64(1), "day": date(2017, 10, 1)}),))
    assert numpy.plan_id == python.plan_id
    assert ledger.lines(ledger.save_plan(numpy).plan_id) == python.lines


def test_a_newer_draft_supersedes_older_drafts_of_the_same_season_only(ledger: Ledger, draft: Make) -> None:
    old = ledger.save_plan(draft())
    other = ledger.save_plan(draft(season="2018-Q1"))
    approved = ledger.save_plan(draft(parameters={"slots": 7}))
    ledger.change_status(approved.plan_id, "approved", by="ann", why="fits the shelves")
    new = ledger.save_plan(draft(as_of=date(2017, 10, 7)))
    backfilled = ledger.save_plan(draft(as_of=date(2017, 9, 23)))
    status = {p.plan_id: p.status for p in ledger.plans()}
    assert status == {
        old.plan_id: "superseded",
        other.plan_id: "draft",
        approved.plan_id: "approved",
        new.plan_id: "draft",
        backfilled.plan_id: "draft",
    }


def test_a_superseded_draft_that_is_decided_again_is_the_draft_again(ledger: Ledger, draft: Make) -> None:
    first = ledger.save_plan(draft())
    second = ledger.save_plan(draft(parameters={"slots": 7}))
    assert ledger.save_plan(draft()).status == "draft"
    assert ledger.plan(second.plan_id).status == "superseded"
    assert [e.to_status for e in ledger.events(first.plan_id)] == ["draft", "superseded", "draft"]


def test_plans_are_found_by_source_kind_and_status_newest_first(ledger: Ledger, draft: Make) -> None:
    early = ledger.save_plan(draft(as_of=date(2017, 6, 30), season="2017-Q3"))
    late = ledger.save_plan(draft())
    ledger.save_plan(draft(kind="incubation"))
    ledger.save_plan(draft(source="files"))
    assert [p.plan_id for p in ledger.plans("shop", "assortment")] == [late.plan_id, early.plan_id]
    assert ledger.plans(status="published") == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"value": float("nan")}, "value is nan"),
        ({"quantity": float("inf")}, "quantity is inf"),
        ({"reason": "  "}, "has no reason"),
        ({"value": 500.0}, "outside its interval"),
    ],
)
def test_a_line_that_cannot_be_explained_or_counted_is_not_stored(
    ledger: Ledger, draft: Make, line: MakeLine, change: dict[str, object], message: str
) -> None:
    with pytest.raises(ColdframeError, match=rf"Line 2 .*north, tea, p1.*{message}"):
        ledger.save_plan(draft(lines=(line(), line(**change))))
    assert ledger.plans() == ()


def test_fifty_thousand_lines_are_kept(ledger: Ledger, draft: Make, line: MakeLine) -> None:
    lines = tuple(line(product_id=f"p{n}") for n in range(50_000))
    assert ledger.lines(ledger.save_plan(draft(lines=lines)).plan_id) == lines


# Agreement


def test_every_change_records_by_whom_when_and_why(ledger: Ledger, draft: Make) -> None:
    plan_id = ledger.save_plan(draft()).plan_id
    ledger.change_status(plan_id, "approved", by="ann", why="fits the shelves")
    ledger.change_status(plan_id, "published", by="bob", why="")
    events = ledger.events(plan_id)
    assert [(e.by, e.from_status, e.to_status, e.why) for e in events] == [
        ("coldframe", None, "draft", "decided"),
        ("ann", "draft", "approved", "fits the shelves"),
        ("bob", "approved", "published", ""),
    ]
    assert all(e.at.tzinfo is UTC for e in events)


def test_a_draft_cannot_be_published_without_approval_and_nothing_is_recorded(ledger: Ledger, draft: Make) -> None:
    plan_id = ledger.save_plan(draft()).plan_id
    with pytest.raises(ConfigurationError, match=f"Plan {plan_id}: draft by coldframe .*can become approved"):
        ledger.change_status(plan_id, "published", by="ann", why="hurry")
    assert ledger.plan(plan_id).status == "draft"
    assert len(ledger.events(plan_id)) == 1


def test_a_mistaken_rejection_says_whose_it_was_and_may_be_taken_back_while_both_are_kept(
    ledger: Ledger, draft: Make
) -> None:
    plan_id = ledger.save_plan(draft()).plan_id
    ledger.change_status(plan_id, "rejected", by="ann", why="too few teas")
    refused = rf"Plan {plan_id}: rejected by ann on \d{{4}}-\d\d-\d\d \d\d:\d\d UTC \(too few teas\)\. It is rejected, "
    with pytest.raises(ConfigurationError, match=refused + r"so .*; it can become approved \(`coldframe approve`\)"):
        ledger.change_status(plan_id, "published", by="bob", why="")
    assert ledger.change_status(plan_id, "approved", by="ann", why="read the wrong row").status == "approved"
    assert [(e.to_status, e.why) for e in ledger.events(plan_id)[1:]] == [
        ("rejected", "too few teas"),
        ("approved", "read the wrong row"),
    ]


@pytest.mark.parametrize("status", ["approved", "rejected"])
def test_a_plan_is_settled_only_by_somebody_with_a_reason(ledger: Ledger, draft: Make, status: str) -> None:
    plan_id = ledger.save_plan(draft()).plan_id
    with pytest.raises(ConfigurationError, match="Name them"):
        ledger.change_status(plan_id, status, by=" ", why="because")
    with pytest.raises(ConfigurationError, match="only with a reason"):
        ledger.change_status(plan_id, status, by="ann", why="")
    assert ledger.plan(plan_id).status == "draft"


def test_publishing_supersedes_the_plan_published_before(ledger: Ledger, draft: Make) -> None:
    first, second = (ledger.save_plan(draft(parameters={"slots": n})) for n in (5, 6))
    ledger.save_plan(draft(parameters={"slots": 5}))
    for plan in (first, second):
        ledger.save_plan(draft(parameters=plan.parameters))
        ledger.change_status(plan.plan_id, "approved", by="ann", why="good")
        ledger.change_status(plan.plan_id, "published", by="ann", why="good")
    assert ledger.plan(first.plan_id).status == "superseded"
    assert not ledger.plan(first.plan_id).in_force
    assert ledger.plan(second.plan_id).status == "published"


@pytest.mark.parametrize("method", ["plan", "lines", "events"])
def test_an_unknown_plan_is_named(ledger: Ledger, method: str) -> None:
    with pytest.raises(NotAvailableError, match="no plan 'nope'"):
        getattr(ledger, method)("nope")


# Runs and landings


def test_a_run_is_recorded_with_its_request_and_its_result(ledger: Ledger) -> None:
    request = Request(source="shop", as_of=date(2017, 9, 30), slots=7)
    run_id = ledger.start_step(request, "land")
    assert ledger.step_runs()[0].status == "running"
    ledger.finish_step(run_id, "succeeded", StepResult(step="land", summary="3 rows", facts={"rows": 3}))
    (run,) = ledger.step_runs(source="shop", step="land")
    assert (run.status, run.error) == ("succeeded", None)
    assert run.request["slots"] == 7
    assert run.result is not None
    assert run.result["facts"] == {"rows": 3}
    assert run.finished_at is not None
    assert run.finished_at >= run.started_at


def test_a_run_that_was_killed_is_not_running_for_ever(ledger: Ledger) -> None:
    request = Request(source="shop", as_of=date(2017, 9, 30))
    killed, other = ledger.start_step(request, "land"), ledger.start_step(request, "forecast")
    again = ledger.start_step(request, "land")
    runs = {run.run_id: run for run in ledger.step_runs()}
    assert (runs[killed].status, runs[other].status, runs[again].status) == ("failed", "running", "running")
    assert "killed" in (runs[killed].error or "")
    ledger.finish_step(killed, "succeeded", StepResult(step="land", summary="it was only slow"))
    (slow,) = (run for run in ledger.step_runs() if run.run_id == killed)
    assert (slow.status, slow.error) == ("succeeded", None)


def test_landing_the_same_day_again_replaces_its_counts(ledger: Ledger) -> None:
    day = date(2017, 9, 30)
    ledger.record_landing("shop", day, "order_lines", 10, 9, 1, {"negative quantity": 1})
    ledger.record_landing("shop", day, "order_lines", 12, 12, 0, {})
    (landing,) = ledger.landings("shop", day)
    assert (landing.read, landing.accepted, landing.quarantined, landing.reasons) == (12, 12, 0, {})


def test_a_landing_that_loses_rows_is_refused(ledger: Ledger) -> None:
    with pytest.raises(ColdframeError, match="read 10 rows, but accepted 8 and quarantined 1"):
        ledger.record_landing("shop", date(2017, 9, 30), "order_lines", 10, 8, 1, {"late": 1})


# The database beneath


def test_the_migrations_build_exactly_the_models(ledger: Ledger, tmp_path: Path) -> None:
    with create_engine(f"sqlite:///{tmp_path / 'home' / 'ledger.sqlite'}").connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, module.Base.metadata) == []
        assert context.get_current_revision() == module.HEAD


def test_every_table_can_be_created_on_postgresql() -> None:
    for table in module.Base.metadata.tables.values():
        ddl = str(CreateTable(table).compile(dialect=postgresql.dialect()))
        assert "DATETIME" not in ddl


def test_processes_that_open_a_new_ledger_at_once_all_find_it_whole(installation: Callable[..., Path]) -> None:
    home = installation(threads=2)
    write = (
        "import sys; from datetime import date; from coldframe.ledger import Ledger;"
        "Ledger.open().record_landing('shop', date(2017, 1, 1), sys.argv[1], 1, 1, 0, {})"
    )
    writers = [subprocess.Popen([sys.executable, "-c", write, f"table{n}"]) for n in range(4)]
    assert [writer.wait(timeout=60) for writer in writers] == [0] * 4
    assert [landing.table for landing in Ledger.open(load(home=home)).landings("shop")] == [
        f"table{n}" for n in range(4)
    ]


def test_readers_go_on_while_somebody_writes(ledger: Ledger, draft: Make, tmp_path: Path) -> None:
    saved = ledger.save_plan(draft())
    writer = sqlite3.connect(tmp_path / "home" / "ledger.sqlite", isolation_level=None)
    writer.execute("begin immediate")
    writer.execute("update plans set season = 'other'")
    assert Ledger.open().plan(saved.plan_id).season == "2017-Q4"
    writer.execute("rollback")
    writer.close()


def test_a_ledger_of_a_newer_coldframe_is_not_touched(ledger: Ledger, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "home" / "ledger.sqlite") as connection:
        connection.execute("update alembic_version set version_num = '9999'")
    connection.close()
    with pytest.raises(ConfigurationError, match=r"schema 9999.*newer version"):
        Ledger.open()


def test_a_ledger_that_cannot_be_opened_is_named_without_its_password(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a database, and long enough to be taken for one " * 40)
    with pytest.raises(ConfigurationError, match="COLDFRAME_LEDGER_URL"):
        Ledger.open(load(home=tmp_path, ledger_url=f"sqlite:///{tmp_path / 'file'}"))
    with pytest.raises(ConfigurationError) as caught:
        Ledger.open(load(home=tmp_path, ledger_url="postgresql+nodriver://me:secret@localhost/x"))
    assert "secret" not in str(caught.value)
