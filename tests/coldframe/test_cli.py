"""The command line is a promise: which option does what, what an error looks like, and which exit code cron sees."""

import csv
import io
import json
import logging
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from coldframe import cli, execution, landed
from coldframe.actuals import Actuals
from coldframe.errors import (
    BadInputError,
    ColdframeError,
    ConfigurationError,
    GateError,
    NotAvailableError,
    WarehouseBusyError,
)
from coldframe.ledger import Ledger, PlanDraft, PlanLine
from coldframe.orchestration import demo, server
from coldframe.paths import Workspace, workspace
from coldframe.run import STEPS, Request, StepResult
from ml.assortment.decide import InfeasibleError

Installation = Callable[..., Path]
Make = Callable[..., PlanDraft]
MakeLine = Callable[..., PlanLine]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, list(arguments))


@pytest.fixture
def asked(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Request]]:
    """Replaces every step by one that notes what it was asked."""
    installation()
    calls: list[tuple[str, Request]] = []

    def find(name: str) -> Callable[[Request], StepResult]:
        def step(request: Request) -> StepResult:
            calls.append((name, request))
            return StepResult(
                step=name, summary=f"{name} [is] done", warnings=("mind the gap",), links={"docs": "file.html"}
            )

        return step

    monkeypatch.setattr(execution, "find_step", find)
    return calls


def fail_with(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def step(_: Request) -> StepResult:
        raise error

    monkeypatch.setattr(execution, "find_step", lambda _: step)


# Steps


@pytest.mark.parametrize("command", sorted(cli.COMMANDS))
def test_each_command_runs_its_steps_in_order_and_tells_of_each(command: str, asked: list[tuple[str, Request]]) -> None:
    result = run(command, "--source", "shop", "--as-of", "2017-09-30")
    assert result.exit_code == 0, result.output
    steps = cli.COMMANDS[command][0]
    assert [name for name, _ in asked] == list(steps)
    for step in steps:
        assert f"{step} [is] done" in result.output
    assert result.output.count("! mind the gap") == len(steps)
    assert "docs: file.html" in result.output


def test_a_long_step_tells_what_it_is_at_while_it_runs(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation()

    def step(_: Request) -> StepResult:
        log = logging.getLogger("ml.some.room")
        log.info("back-test %d of %d [of all]", 1, 3)
        log.debug("not told")
        log.warning("look here")
        return StepResult(step="growth", summary="done")

    monkeypatch.setattr(execution, "find_step", lambda _: step)
    lines = run("train", "growth", "--as-of", "2017-09-30").output.splitlines()
    assert lines[lines.index("    … back-test 1 of 3 [of all]") + 1] == "  ! look here"
    assert "not told" not in "".join(lines)


def test_the_commands_together_cover_every_step() -> None:
    others = {s for name, (steps, _) in cli.COMMANDS.items() if name != "run" for s in steps}
    assert others | {s for steps in cli._DECIDES.values() for s in steps} == set(STEPS)


@pytest.mark.parametrize(
    ("model", "steps"),
    [
        ((), ["forecast", "forecast_daily", "growth"]),
        (("forecast",), ["forecast", "forecast_daily"]),
        (("growth",), ["growth"]),
    ],
)
def test_train_trains_what_is_named_and_publishes_facts_first_that_are_not(
    model: tuple[str, ...], steps: list[str], asked: list[tuple[str, Request]], monkeypatch: pytest.MonkeyPatch
) -> None:
    result = run("train", *model, "--source", "shop", "--as-of", "2017-09-30")
    assert result.exit_code == 0, result.output
    assert [name for name, _ in asked] == ["audit_landed", "transform", "publish", *steps]
    assert "The published snapshot is not of 2017-09-30: one is made first." in result.output
    asked.clear()
    monkeypatch.setattr(cli, "_is_published", lambda _: True)
    run("train", *model, "--source", "shop", "--as-of", "2017-09-30")
    assert [name for name, _ in asked] == steps


@pytest.mark.parametrize("plan", [(), ("assortment",), ("incubation",)])
def test_deciding_makes_first_what_is_missing_of_that_day_and_nothing_else(
    plan: tuple[str, ...], asked: list[tuple[str, Request]], monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = {s for name, steps in cli._DECIDES.items() if not plan or name == plan[0] for s in steps}
    steps = [s for s in STEPS if s in needed]
    assert steps[-1] in ("assortment", "incubation")
    result = run("decide", *plan, "--source", "shop", "--as-of", "2017-09-30")
    assert result.exit_code == 0, result.output
    assert [name for name, _ in asked] == ["audit_landed", "transform", "publish", *steps]
    assert all(f"{step} [is] done" in result.output for step, _ in asked)
    asked.clear()
    monkeypatch.setattr(cli, "_is_published", lambda _: True)
    run("decide", *plan, "--source", "shop", "--as-of", "2017-09-30")
    assert [name for name, _ in asked] == steps


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_decided_plan_is_written_to_a_file_by_region_category_and_rank(
    suffix: str, ledger: Ledger, draft: Make, line: MakeLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lines = (
        line(region="south", product_id="p9", details={"rank": 1, "model": "naive"}),
        line(product_id="p3", action="drop", details={"rank": None, "model": "naive"}),
        line(product_id="p2", details={"rank": 2, "model": "naive"}),
        line(product_id="p1", details={"rank": 1, "model": "naive"}),
    )
    plan_id = ledger.save_plan(draft(lines=lines)).plan_id
    decided = StepResult(step="assortment", summary="drafted", facts={"plan_id": plan_id})
    monkeypatch.setattr(execution, "find_step", lambda _: lambda _: decided)
    file = tmp_path / f"plan.{suffix}"
    output = run("decide", "assortment", "--as-of", "2017-09-30", "--out", str(file)).output
    assert f"Plan {plan_id}, 4 lines (1 drop, 3 range): {file}" in output
    written = pd.read_csv(file) if suffix == "csv" else pd.read_parquet(file)
    assert list(written["product_id"]) == ["p1", "p2", "p3", "p9"]
    assert list(written["rank"].fillna(0)) == [1, 2, 0, 1]
    assert list(written.columns[:4]) == ["region", "category", "rank", "product_id"]
    assert written.columns[-1] == "model"
    before = file.read_bytes()
    run("decide", "assortment", "--as-of", "2017-09-30", "--out", str(file))
    assert file.read_bytes() == before
    assert [f.name for f in tmp_path.iterdir() if "plan" in f.name] == [file.name]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("assortment", "--out", "plan.xlsx"), "plan.xlsx should end in .csv or .parquet"),
        (("assortment", "--out", "/dev/null/plan.csv"), "/dev/null/plan.csv cannot be written (File exists)"),
        (("--out", "plan.csv"), "Which plan shall --out hold? Say `coldframe decide assortment`"),
    ],
)
def test_a_file_that_cannot_be_written_is_refused_before_any_work(
    arguments: tuple[str, ...], message: str, asked: list[tuple[str, Request]]
) -> None:
    result = run("decide", *arguments, "--as-of", "2017-09-30")
    assert result.exit_code == 2
    assert message in result.stderr
    assert asked == []


def test_a_plan_for_days_that_another_published_plan_has_says_so(
    ledger: Ledger, draft: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = ledger.save_plan(draft()).plan_id
    ledger.change_status(other, "approved", by="ann", why="fits the shelves")
    ledger.change_status(other, "published", by="ann", why="")
    season = {"season": "2017-12-01..2018-01-31", "valid_from": date(2017, 12, 1), "valid_until": date(2018, 1, 31)}
    plan_id = ledger.save_plan(draft(**season)).plan_id
    told = f"Plan {other} for 2017-Q4 is published for 31 of the same days (2017-12-01 to 2017-12-31)"
    decided = StepResult(step="assortment", summary="drafted", facts={"plan_id": plan_id})
    monkeypatch.setattr(execution, "find_step", lambda _: lambda _: decided)
    assert told in run("decide", "assortment", "--as-of", "2017-09-30").output
    assert told in run("show", plan_id).output
    run("approve", plan_id, "--by", "ann", "--why", "for Christmas")
    refused = run("publish", plan_id, "--by", "ann")
    assert refused.exit_code == 2
    assert told in refused.stderr
    assert ledger.plan(plan_id).status == "approved"
    assert run("publish", plan_id, "--by", "ann", "--why", "Christmas goes before").exit_code == 0


def test_a_plan_for_a_season_that_has_begun_says_that_it_is_for_the_rest(ledger: Ledger, draft: Make) -> None:
    plan_id = ledger.save_plan(draft(as_of=date(2017, 10, 31))).plan_id
    assert "The season began on 2017-10-01: 31 of its 92 days are over" in run("show", plan_id).output
    assert "The season began" not in run("show", ledger.save_plan(draft()).plan_id).output


def test_what_an_assortment_is_asked_for_is_checked_before_any_other_work(
    asked: list[tuple[str, Request]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Request) -> None:
        raise ConfigurationError("must_keep: the catalogue does not list p1")

    monkeypatch.setattr(cli, "find_service", lambda name: {"check_assortment": refuse}[name])
    refused = run("decide", "--source", "shop", "--as-of", "2017-09-30")
    assert (refused.exit_code, asked) == (2, [])
    assert "the catalogue does not list p1" in refused.stderr
    assert run("run", "--source", "shop", "--as-of", "2017-09-30").exit_code == 2
    assert [name for name, _ in asked] == ["land"], "before that, nobody knows the catalogue"


def test_a_policy_is_read_before_any_other_work(asked: list[tuple[str, Request]], tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("graduate: 0.5")
    refused = run(
        "decide", "incubation", "--source", "shop", "--as-of", "2017-09-30", "--policy", str(tmp_path / "policy.yaml")
    )
    assert (refused.exit_code, asked) == (2, [])
    assert "unknown key 'graduate'. Did you mean 'graduate_at'?" in refused.stderr


def test_every_field_of_a_request_is_an_option_and_arrives(asked: list[tuple[str, Request]], tmp_path: Path) -> None:
    given = {
        "source": "shop",
        "as_of": "2017-09-30",
        "start": "2017-01-01",
        "path": str(tmp_path),
        "season": "2017-Q4",
        "horizon_weeks": "20",
        "horizon_days": "7",
        "slots": "7",
        "objective": "margin",
        "service_level": "0.9",
        "new_product_share": "0.2",
        "merchant_share": "0.5",
        "must_keep": ("p1", "p2"),
        "must_drop": ("p3",),
        "rules": str(tmp_path / "rules.yaml"),
        "recapture": "0.1",
        "handling_cost": "2",
        "budget": "900",
        "salvage": "0.4",
        "exposure_budget": "500",
        "policy": str(tmp_path / "policy.yaml"),
        "force": True,
    }
    assert set(given) == set(Request.model_fields)
    (tmp_path / "rules.yaml").write_text("core: 1")
    (tmp_path / "policy.yaml").write_text("objective: earn")
    arguments: list[str] = []
    for name, value in given.items():
        flag = f"--{name.replace('_', '-')}"
        for each in value if isinstance(value, tuple) else (value,):
            arguments += [flag] if each is True else [flag, str(each)]
    assert run("decide", *arguments).exit_code == 0
    assert asked[0][1] == Request.model_validate(given)


def test_source_and_path_come_from_the_settings_unless_given(
    asked: list[tuple[str, Request]], installation: Installation, tmp_path: Path
) -> None:
    installation(source="files", source_path=tmp_path / "shop")
    run("land", "--as-of", "2017-09-30")
    run("land", "--as-of", "2017-09-30", "--source", "other")
    assert [(r.source, r.path) for _, r in asked] == [("files", tmp_path / "shop"), ("other", None)]


def test_a_relative_path_is_meant_from_where_the_command_is_typed(
    asked: list[tuple[str, Request]], tmp_path: Path
) -> None:
    run("run", "--as-of", "2017-09-30", "--path", "shop", "--rules", "rules.yaml")
    assert (asked[0][1].path, asked[0][1].rules) == (tmp_path / "shop", tmp_path / "rules.yaml")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--as-of", "yesterday"), "--as-of: "),
        (("--as-of", "2017"), "--as-of: '2017' is not a date like 2017-09-30"),
        (("--as-of", "2017-09-30", "--slots", "0"), "--slots: "),
        (("--as-of", "2017-09-30", "--horizon-weeks", "99"), "--horizon-weeks: "),
        (("--as-of", "2017-09-30", "--objective", "fame"), "--objective: "),
        (("--as-of", "2017-09-30", "--source", "My Shop"), "--source: "),
        (("--as-of", "2017-09-30", "--season", "2017-Q3"), "Season 2017-Q3 ended on 2017-09-30"),
        (("--as-of", "2017-09-30", "--start", "2017-10-01"), "--start: 2017-10-01 is after the as-of (2017-09-30)"),
        (("--as-of", "9999-01-01"), "--as-of: 9999-01-01 is after today ("),
    ],
)
def test_a_request_that_does_not_fit_is_refused_by_field_before_anything_runs(
    asked: list[tuple[str, Request]], arguments: tuple[str, ...], message: str
) -> None:
    result = run("run", *arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert asked == []


def test_the_as_of_may_be_today_and_no_later(asked: list[tuple[str, Request]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coldframe.run._today", lambda: date(2017, 9, 30))
    assert run("land", "--as-of", "2017-09-30").exit_code == 0
    refused = run("land", "--as-of", "2017-10-01")
    assert "after today (2017-09-30, UTC), of which nobody can know. Give 2017-09-30 or a day before" in refused.output
    assert len(asked) == 1


def test_without_an_as_of_the_day_the_source_suggests_is_taken_and_told(asked: list[tuple[str, Request]]) -> None:
    result = run("land", "--source", "complete_journey")
    assert "As of 2017-09-30, which complete_journey suggests" in result.output
    assert asked[0][1].as_of == date(2017, 9, 30)


def test_a_source_that_suggests_no_day_asks_for_one(asked: list[tuple[str, Request]], tiny_shop: Path) -> None:
    result = run("land", "--source", "files", "--path", str(tiny_shop))
    assert result.exit_code == 2
    assert "Give it, such as --as-of 2017-09-30" in result.output
    assert asked == []


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BadInputError("order_lines.csv: 3 rows [of 9] are wrong"), 2),
        (ConfigurationError("no such source"), 2),
        (GateError("GMV does not reconcile"), 3),
        (WarehouseBusyError("held"), 1),
        (ColdframeError("odd"), 1),
        (InfeasibleError(["must_keep p1", "must_drop p1"], "north tea: both name p1."), 2),
    ],
)
def test_an_expected_error_is_one_message_and_an_exit_code(
    error: Exception, code: int, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation()
    fail_with(error, monkeypatch)
    result = run("run", "--as-of", "2017-09-30")
    assert result.exit_code == code
    assert result.stderr.strip() == str(error)
    assert "Traceback" not in result.output


def test_an_unexpected_error_names_its_kind_and_how_to_see_more(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation()
    fail_with(ZeroDivisionError("division by zero."), monkeypatch)
    result = run("land", "--as-of", "2017-09-30")
    assert result.exit_code == 1
    assert "ZeroDivisionError: division by zero. Run `coldframe --debug" in result.stderr


def test_debug_shows_where_an_error_came_from(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    installation()
    fail_with(GateError("no"), monkeypatch)
    assert isinstance(run("--debug", "land", "--as-of", "2017-09-30").exception, GateError)


def test_an_unknown_option_is_a_usage_error(installation: Installation) -> None:
    installation()
    assert run("land", "--as-off", "2017-09-30").exit_code == 2


def test_a_wrong_setting_is_named(installation: Installation) -> None:
    installation(threads="many")
    result = run("plans")
    assert result.exit_code == 2
    assert "COLDFRAME_THREADS" in result.stderr


# Plans


def test_without_plans_it_says_which_command_makes_them(installation: Installation) -> None:
    installation()
    assert "coldframe decide" in run("plans").output
    shown = run("show")
    assert shown.exit_code == 1
    assert "coldframe decide" in shown.stderr


def test_the_newest_plan_of_each_kind_is_shown_with_reasons(ledger: Ledger, draft: Make, line: MakeLine) -> None:
    ledger.save_plan(draft(as_of=date(2017, 6, 30), season="2017-Q3"))
    newest = ledger.save_plan(draft())
    incubation = ledger.save_plan(draft(kind="incubation", lines=(line(action="seed", value=0.3, value_low=0.1),)))
    output = run("show").output
    assert f"Assortment plan {newest.plan_id} (draft)" in output
    assert f"Incubation plan {incubation.plan_id} (draft)" in output
    assert "2017-Q3" not in output
    assert "sells steadily" in output
    assert incubation.plan_id not in run("show", "--kind", "assortment").output
    listed = run("plans").output
    assert all(p.plan_id in listed for p in ledger.plans())


def test_an_assortment_is_laid_beside_what_sold_where_the_source_knows_it(
    ledger: Ledger, draft: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan_id = ledger.save_plan(draft()).plan_id
    sold = pd.DataFrame({"region": ["north"], "category": ["tea"], "product_id": ["p1"], "gmv": [250.0]})
    actuals = Actuals(sold.assign(naive_rank=1), date(2017, 10, 1), date(2017, 12, 31), date(2017, 12, 31))
    monkeypatch.setattr("coldframe.review.season_actuals", lambda plan, path: actuals)
    assert f"Plan {plan_id} beside what sold" in run("show", "--actuals").output

    def unknown(plan: object, path: object) -> Actuals:
        raise NotAvailableError("shop has no sales between 2017-10-01 and 2017-12-31 yet")

    monkeypatch.setattr("coldframe.review.season_actuals", unknown)
    result = run("show", "--actuals")
    assert result.exit_code == 0
    assert "shop has no sales" in result.output


def test_a_plan_is_exported_whole_as_json_and_csv(ledger: Ledger, draft: Make, line: MakeLine) -> None:
    lines = tuple(line(product_id=f"p{n}", title='Tea, "green"') for n in range(30))
    plan_id = ledger.save_plan(draft(lines=lines)).plan_id
    (exported,) = json.loads(run("show", plan_id, "--format", "json", "--limit", "1").output)
    assert exported["plan"]["plan_id"] == plan_id
    assert exported["plan"]["as_of"] == "2017-09-30"
    assert [li["product_id"] for li in exported["lines"]] == [li.product_id for li in lines]
    rows = list(csv.DictReader(io.StringIO(run("show", plan_id, "--format", "csv").output)))
    assert len(rows) == 30
    assert (rows[0]["plan_id"], rows[0]["title"], float(rows[0]["value"])) == (plan_id, 'Tea, "green"', 300.0)


def test_a_plan_is_approved_and_published_with_name_and_reason(ledger: Ledger, draft: Make) -> None:
    plan_id = ledger.save_plan(draft()).plan_id
    assert run("approve", plan_id, "--by", "ann", "--why", "fits the shelves").exit_code == 0
    result = run("publish", plan_id, "--by", "bob")
    assert f"Plan {plan_id} (assortment, shop, 2017-Q4) is published, by bob." in result.output
    assert len(landed.visible(workspace("shop"), "plan_lines", date(2017, 10, 1))) == 1
    assert [(e.by, e.to_status) for e in ledger.events(plan_id)][1:] == [("ann", "approved"), ("bob", "published")]


def test_whoever_settles_an_incubation_plan_settles_what_is_online(
    ledger: Ledger, draft: Make, line: MakeLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed: list[str] = []
    monkeypatch.setattr(cli, "find_service", lambda _: lambda plan: pushed.append(plan) or "1 stages are online")
    plan_id = ledger.save_plan(draft(kind="incubation", lines=(line(action="seed", value=0.3, value_low=0.1),))).plan_id
    told = run("reject", plan_id, "--by", "ann", "--why", "too many teas").output
    assert "Online: 1 stages are online." in told
    run("approve", plan_id, "--by", "ann", "--why", "after all")
    assert pushed == [plan_id, plan_id]


def test_a_rejected_plan_cannot_be_published(ledger: Ledger, draft: Make) -> None:
    plan_id = ledger.save_plan(draft()).plan_id
    run("reject", plan_id, "--by", "ann", "--why", "too few teas")
    result = run("publish", plan_id, "--by", "ann")
    assert result.exit_code == 2
    assert f"Plan {plan_id}: rejected by ann on " in result.stderr
    assert "it cannot become published; it can become approved (`coldframe approve`)" in result.stderr


def test_who_settled_a_plan_when_and_why_is_shown_wherever_the_plan_is(ledger: Ledger, draft: Make) -> None:
    plan_id = ledger.save_plan(draft()).plan_id
    assert "by coldframe" not in run("plans").output + run("show").output
    run("approve", plan_id, "--by", "ann", "--why", "fits the [long] shelves")
    told = f"{plan_id}: {ledger.events(plan_id)[-1]}"
    assert told.endswith("(fits the [long] shelves)")
    assert told in run("plans").output
    assert told in run("show", plan_id).output
    (exported,) = json.loads(run("show", plan_id, "--format", "json").output)
    assert [(e["by"], e["to_status"]) for e in exported["events"]] == [("coldframe", "draft"), ("ann", "approved")]


def test_deciding_what_was_settled_before_says_so(ledger: Ledger, draft: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    plan_id = ledger.save_plan(draft()).plan_id
    result = StepResult(step="assortment", summary="drafted", facts={"plan_id": plan_id})
    monkeypatch.setattr(execution, "find_step", lambda _: lambda _: result)
    assert "was decided before" not in run("decide", "--as-of", "2017-09-30").output
    run("reject", plan_id, "--by", "ann", "--why", "too few teas")
    assert f"Plan {plan_id} was decided before: rejected by ann on" in run("decide", "--as-of", "2017-09-30").output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--status", "nosuch"), "Known: draft, approved, rejected, published, superseded."),
        (("--kind", "foo"), "Known: assortment, incubation."),
    ],
)
def test_plans_are_not_sought_by_what_no_plan_can_be(ledger: Ledger, arguments: tuple[str, str], message: str) -> None:
    result = run("plans", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_search_that_finds_none_of_the_plans_says_how_many_there_are(ledger: Ledger, draft: Make) -> None:
    ledger.save_plan(draft())
    assert (
        "1 plan, none with source elsewhere, status rejected."
        in run("plans", "--status", "rejected", "--source", "elsewhere").output
    )


def test_approving_needs_a_name_and_a_reason(ledger: Ledger, draft: Make) -> None:
    plan_id = ledger.save_plan(draft()).plan_id
    assert run("approve", plan_id, "--by", "ann").exit_code == 2
    assert run("approve", plan_id, "--by", "ann", "--why", " ").exit_code == 2
    assert ledger.plan(plan_id).status == "draft"


# Services


def test_a_port_that_cannot_be_is_refused(installation: Installation) -> None:
    installation()
    result = run("serve", "--port", "99999")
    assert result.exit_code == 2
    assert "65535" in result.stderr


def test_rollback_serve_up_down_and_demo_are_handed_on(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = installation(source="shop")
    called: list[tuple[Any, ...]] = []

    def service(name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            called.append((name, *arguments, *named.values()))
            return SimpleNamespace(id="r1")

        return call

    monkeypatch.setattr(cli, "find_service", service)
    monkeypatch.setattr(server, "up", service("up"))
    monkeypatch.setattr(server, "down", service("down"))
    monkeypatch.setattr(demo, "demo", service("demo"))
    (home / "sources" / "shop" / "releases" / "growth").mkdir(parents=True)
    unknown = run("rollback", "nosuch", "--by", "ann", "--why", "worse")
    assert (unknown.exit_code, "shop has no model 'nosuch'. Known: growth." in unknown.stderr) == (2, True)
    assert "release r1 again" in run("rollback", "growth", "--by", "ann", "--why", "worse").output
    lifted = run("rollback", "growth", "--lift", "--by", "ann", "--why", "mended").output
    assert "The policy decides again what serves growth of shop; until then release r1 does." in lifted
    for arguments in (("serve", "--port", "7000"), ("up",), ("down",), ("demo", "--as-of", "2017-09-30")):
        assert run(*arguments).exit_code == 0
    assert called == [
        ("rollback", Workspace(home, "shop"), "growth", "ann", "worse", False),
        ("rollback", Workspace(home, "shop"), "growth", "ann", "mended", True),
        ("serve", "shop", 7000),
        ("up",),
        ("down",),
        ("demo", Request(source="shop", as_of=date(2017, 9, 30))),
    ]


def test_vintages_are_printed_of_the_total_and_handed_on_whole(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation(source="shop")
    asked: list[tuple[str, str | None]] = []
    row = {"vintage": date(2024, 3, 1), "release": "2024-03-01-abc", "level": "total", "frequency": "D", "from_day": 1}
    row |= {"to_day": 7, "scored_to": date(2024, 3, 8), "stale": 2, "served": True, "units": 1234.0, "wape": 0.125}
    row |= {"backtest_wape": None, "naive_wape": 0.25, "bias": -0.05, "coverage_80": 0.8}

    def service(source: str, level: str | None) -> list[dict[str, Any]]:
        asked.append((source, level))
        return [row]

    monkeypatch.setattr(cli, "find_service", lambda name: {"vintages": service}[name])
    printed = run("vintages").output
    assert "1 to 7 (some stale)" in printed
    assert [cell.strip() for cell in printed.splitlines()[-2].split("│")[7:-1]] == [
        *("1,234", "12.5%", "", "25.0%", "-5.0%", "80.0%")
    ]
    assert json.loads(run("vintages", "--format", "json").output)[0]["backtest_wape"] is None
    assert run("vintages", "--format", "csv", "--level", "region").output.startswith("vintage,release,")
    assert asked == [("shop", "total"), ("shop", None), ("shop", "region")]


# The installation


def test_settings_are_listed_with_where_they_come_from_and_without_passwords(
    installation: Installation, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("COLDFRAME_THREADS=3\n")
    installation(ledger_url="postgresql://me:secret@db/x")
    output = run("settings").output
    rows = {cells[1].strip(): cells for line in output.splitlines() if len(cells := line.split("│")) > 4}
    assert [rows[f"COLDFRAME_{n}"][3].strip() for n in ("LEDGER_URL", "THREADS", "MEMORY_LIMIT")] == [
        "environment",
        ".env",
        "default",
    ]
    assert "secret" not in output


def test_the_version_is_that_of_the_package() -> None:
    assert run("--version").output.strip() == cli.__version__


def test_help_starts_quickly_because_it_loads_no_heavy_library() -> None:
    heavy = "airflow, mlflow, feast, great_expectations, sklearn, prophet, dbt, ibis, alembic"
    code = f"import sys, coldframe.cli; print([m for m in '{heavy}'.split(', ') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
