"""The demo recognises its own runs, tells each step once, and says what failed and why."""

from collections.abc import Iterator
from datetime import date
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from coldframe.orchestration import demo
from coldframe.run import STEPS, Request

REQUEST = Request(source="files", as_of=date(2026, 6, 30))
TIMES = {"start_date": "2026-07-01T00:00:00+00:00", "end_date": "2026-07-01T00:00:02+00:00", "try_number": 1}


class Airflow:
    """Plays the API: every DAG's run exists at once; `failing` is a task that failed."""

    def __init__(self, failing: str | None = None) -> None:
        self.failing = failing
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
        return [{"task_id": t, "state": "failed" if t == self.failing else "success"} | TIMES for t in tasks]

    def returned(self, dag_id: str, run_id: str, task_id: str) -> dict[str, Any]:
        return {"summary": f"{task_id} did it", "reused": task_id == "publish", "warnings": [f"mind {task_id}"]}

    def log(self, dag_id: str, run_id: str, task_id: str, attempt: int) -> list[str]:
        return ["::group::Pre", '{"data": 1}', "GateError: 3 rows are late"]


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


def test_the_whole_request_is_sent_and_paused_dags_are_switched_on() -> None:
    airflow = Airflow()
    told(airflow)
    assert {**REQUEST.model_dump(mode="json"), "run_key": airflow.conf["run_key"]} == airflow.conf
    assert airflow.unpaused == {dag for dag, _ in demo.PLACES.values()}


@pytest.mark.parametrize("task", ["audit_landed", "dbt.dbt_producer_watcher", "growth"])
def test_a_failure_names_the_task_where_to_look_and_the_end_of_its_log(task: str) -> None:
    with pytest.raises(demo.DemoFailedError) as failure:
        told(Airflow(failing=task))
    message = str(failure.value)
    assert f"{task} failed" in message
    assert "http://airflow/dags/" in message
    assert "GateError: 3 rows are late" in message
    assert "::group" not in message


def test_steps_that_were_promised_and_never_come_are_missed_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "PATIENCE", -1)
    airflow = Airflow()
    monkeypatch.setattr(
        airflow, "runs_since", lambda since: [r for r in Airflow.runs_since(airflow, since) if r["dag_id"] == "land"]
    )
    with pytest.raises(demo.DemoFailedError, match="still missing: transform, publish"):
        told(airflow)
