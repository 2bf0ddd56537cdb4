"""The demo recognises its own runs, tells each step once, and says what failed and why."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import date
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console
from typer.exceptions import Exit

from coldframe.errors import BadInputError, ConfigurationError
from coldframe.orchestration import demo
from coldframe.run import STEPS, Request

REQUEST = Request(source="files", as_of=date(2026, 6, 30))
TIMES = {"start_date": "2026-07-01T00:00:00+00:00", "end_date": "2026-07-01T00:00:02+00:00", "try_number": 1}


class Airflow:
    """Plays the API: every DAG's run exists at once; `failing` is a task that failed."""

    def __init__(self, failing: str | None = None, raised: tuple[str, str] = ("GateError", "3 rows are late")) -> None:
        self.failing, self.raised = failing, raised
        self.conf: dict[str, Any] = {}
        self.unpaused: set[str] = set()

    def unpause(self, dag_id: str) -> None:
        self.unpaused.add(dag_id)

    def trigger(self, dag_id: str, conf: dict[str, Any]) -> str:
        assert dag_id == "land"
        self.conf = conf
        return "mine"

    def runs_since(self, since: Any) -> Iterator[dict[str, Any]]:
        stranger = {"dag_id": "assortment", "dag_run_id": "other", "partition_key": "other", "state": "failed"}
        yield stranger
        for dag_id in dict.fromkeys(dag for dag, _ in demo.PLACES.values()):
            tasks = [task for dag, task in demo.PLACES.values() if dag == dag_id]
            yield {
                "dag_id": dag_id,
                "dag_run_id": "mine" if dag_id == "land" else f"after {dag_id}",
                "partition_key": None if dag_id == "land" else self.conf["run_key"],
                "state": "failed" if self.failing in tasks else "success",
            }

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        assert run_id != "other"
        tasks = [task for dag, task in demo.PLACES.values() if dag == dag_id]
        instances = [{"task_id": t, "state": "failed" if t == self.failing else "success"} | TIMES for t in tasks]
        if self.failing in tasks and dag_id == "transform":
            earlier = {"end_date": "2026-07-01T00:00:01+00:00"}
            instances.append({"task_id": "dbt.dim_product", "state": "failed"} | TIMES | earlier)
        return instances

    def returned(self, dag_id: str, run_id: str, task_id: str) -> dict[str, Any]:
        return {"summary": f"{task_id} did it", "reused": task_id == "publish", "warnings": [f"mind {task_id}"]}

    def error(self, dag_id: str, run_id: str, task_id: str, attempt: int) -> tuple[str, str]:
        return self.raised

    def log(self, dag_id: str, run_id: str, task_id: str, attempt: int) -> list[str]:
        noise = ["::group::Pre Execute", "Filling up the DagBag", "::endgroup::", '{"data": 1}', "1 of 2 OK"]
        said = ["12:00:00  ", "12:00:00  Completed with 1 error", "12:00:00  Failure in test unique"]
        return [*noise, *said, "KeyError: 'sku'", "::group::Post Execute", "Retry policy decision", "::endgroup::"]


def told(airflow: Airflow) -> str:
    output = StringIO()
    demo.follow(airflow, "http://airflow", REQUEST, Console(file=output, width=200))  # type: ignore[arg-type]
    return output.getvalue()


def test_each_step_is_told_once_with_its_seconds_summary_and_warnings() -> None:
    text = told(Airflow())
    for step in STEPS:
        assert sum(line.startswith(f"{step} ") for line in text.splitlines()) == 1, step
    assert "2.0 s  publish did it (re-used)" in text
    assert "! mind land" in text


def test_at_dbts_end_all_marts_are_built_however_few_of_their_tasks_have_reported_by_then() -> None:
    class Lagging(Airflow):
        def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
            instances = super().task_instances(dag_id, run_id)
            if dag_id == "transform":
                marts = {"dbt.dim_product": "success", "dbt.fct_prices": "running", "dbt.fct_refunds": "running"}
                instances += [{"task_id": task, "state": state} | TIMES for task, state in marts.items()]
            return instances

    assert "2.0 s  3 marts built, and their tests passed" in told(Lagging())


def test_the_whole_request_is_sent_and_paused_dags_are_switched_on() -> None:
    airflow = Airflow()
    told(airflow)
    assert {**REQUEST.model_dump(mode="json"), "run_key": airflow.conf["run_key"]} == airflow.conf
    assert airflow.unpaused == {dag for dag, _ in demo.PLACES.values()}


@pytest.mark.parametrize("task", ["audit_landed", "dbt.dbt_producer_watcher", "growth"])
def test_a_failure_names_the_task_says_why_once_and_where_to_look(task: str) -> None:
    with pytest.raises(demo.DemoFailedError) as failure:
        told(Airflow(failing=task))
    said, where = str(failure.value).splitlines()
    assert said == f"{task} failed: 3 rows are late"
    assert where.startswith("Its log: http://airflow/dags/")


@pytest.mark.parametrize("task", ["dbt.dbt_producer_watcher", "growth"])
def test_an_error_nobody_foresaw_shows_the_end_of_the_log_without_what_airflow_and_dbt_say_beside_it(task: str) -> None:
    with pytest.raises(demo.DemoFailedError) as failure:
        told(Airflow(failing=task, raised=("KeyError", "'sku'")))
    first, *log = str(failure.value).splitlines()
    assert first.startswith(f"{task} failed. http://airflow/dags/")
    assert log == ["End of its log:", "Completed with 1 error", "Failure in test unique", "KeyError: 'sku'"]


def test_the_row_of_a_failed_step_is_not_empty() -> None:
    steps = {name: demo.Told(name) for name in STEPS}
    airflow = Airflow(failing="land")
    demo._look(airflow, {"land": {"dag_run_id": "mine"}}, steps)  # type: ignore[arg-type]
    assert (steps["land"].state, steps["land"].summary) == ("failed", "failed, see below")


@pytest.fixture
def started(installation: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A demo whose Airflow only notes that it was started and left, and in which `land` fails."""
    installation()
    noted: list[str] = []

    @contextmanager
    def kept(*_: Any) -> Iterator[Any]:
        noted.append("started")
        yield SimpleNamespace(client=lambda: nullcontext(Airflow(failing="land")), url="http://airflow", reused=False)
        noted.append("left")

    monkeypatch.setattr(demo, "kept", kept)
    monkeypatch.setattr(demo, "watch", lambda *_: noted.append("stayed up"))
    return noted


@pytest.mark.parametrize(("source", "path"), [("nosuch", None), ("files", None), ("files", Path("/does/not/exist"))])
def test_a_source_that_cannot_be_opened_is_refused_before_airflow_starts(
    started: list[str], source: str, path: Path | None
) -> None:
    with pytest.raises((ConfigurationError, BadInputError)):
        demo.demo(Request(source=source, path=path, as_of=REQUEST.as_of))
    assert started == []


def test_a_failed_demo_ends_at_once_where_nobody_looks(started: list[str], tiny_shop: Path) -> None:
    with pytest.raises(demo.DemoFailedError, match="3 rows are late"):
        demo.demo(Request(source="files", path=tiny_shop, as_of=REQUEST.as_of))
    assert "stayed up" not in started


def test_a_failed_demo_on_a_terminal_says_why_once_and_stays_to_be_looked_into(
    started: list[str], tiny_shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = StringIO()
    monkeypatch.setattr(demo, "open_console", lambda: Console(file=output, force_terminal=True, width=200))
    with pytest.raises(Exit) as left:
        demo.demo(Request(source="files", path=tiny_shop, as_of=REQUEST.as_of))
    assert left.value.exit_code == 1
    assert output.getvalue().count("3 rows are late") == 1
    assert started == ["started", "stayed up"]


def test_steps_that_were_promised_and_never_come_are_missed_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "PATIENCE", -1)
    airflow = Airflow()
    monkeypatch.setattr(
        airflow, "runs_since", lambda since: [r for r in Airflow.runs_since(airflow, since) if r["dag_id"] == "land"]
    )
    with pytest.raises(demo.DemoFailedError, match="still missing: transform, publish"):
        told(airflow)
