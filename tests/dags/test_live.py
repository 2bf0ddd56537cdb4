"""What only a real Airflow can show: a failing dbt test turns the run red and nothing is published after it."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import psutil
import pytest

from coldframe import landed
from coldframe.execution import execute
from coldframe.orchestration import server as airflow_server
from coldframe.orchestration.client import AirflowClient
from coldframe.orchestration.request import to_conf
from coldframe.orchestration.server import Server
from coldframe.paths import workspace
from coldframe.run import parse_request
from coldframe.settings import Settings

pytestmark = pytest.mark.airflow
SECONDS = 120


def run_to_the_end(
    client: AirflowClient, dag_id: str, conf: Mapping[str, Any]
) -> tuple[str, dict[str, dict[str, Any]]]:
    run_id = client.trigger(dag_id, conf)
    deadline = time.monotonic() + SECONDS
    while (state := client.run(dag_id, run_id)["state"]) not in ("success", "failed"):
        assert time.monotonic() < deadline, f"{dag_id} is still {state}"
        time.sleep(0.5)
    return state, {ti["task_id"]: ti for ti in client.task_instances(dag_id, run_id)}


def test_bad_input_fails_at_once_with_its_message(airflow: tuple[Server, Settings], tmp_path: Path) -> None:
    request = parse_request({"source": "files", "as_of": "2024-03-31", "path": tmp_path / "nowhere"})
    with airflow[0].client() as client:
        state, tasks = run_to_the_end(client, "land", to_conf(request))
        assert state == "failed"
        assert tasks["land"]["state"] == "failed"
        assert tasks["land"]["try_number"] == 1
        assert any("nowhere" in line for line in client.log("land", tasks["land"]["dag_run_id"], "land", 1))


def test_a_failing_dbt_test_fails_the_run_and_nothing_follows(
    airflow: tuple[Server, Settings], tiny_shop: Path
) -> None:
    server, settings = airflow
    request = parse_request({"source": "files", "as_of": "2024-03-31", "path": tiny_shop})
    execute("land", request)
    place = workspace("files", settings)
    broken = landed.visible(place, "order_lines", request.as_of)[-1].path
    altered = broken.with_suffix(".altered")
    duckdb.execute(f"copy (select * replace ('nobody' as product_id) from '{broken}') to '{altered}' (format parquet)")
    altered.replace(broken)
    since = datetime.now(UTC)
    with server.client() as client:
        state, tasks = run_to_the_end(client, "transform", to_conf(request))
        assert state == "failed"
        assert tasks["dbt.dbt_producer_watcher"]["state"] == "failed"
        assert tasks["dbt.dbt_producer_watcher"]["try_number"] == 1
        assert tasks["publish"]["state"] == "upstream_failed"
        assert {run["dag_id"] for run in client.runs_since(since)} == {"transform"}
    assert not place.current.exists()


def test_stopping_leaves_no_process_behind(airflow: tuple[Server, Settings]) -> None:
    """Last in this file: the session's Airflow ends here."""
    server, settings = airflow
    family = [
        process
        for component in server.components.values()
        if (found := component.find())
        for process in (found, *found.children(recursive=True))
    ]
    again = airflow_server.start(settings)
    assert again.reused
    assert again.components == server.components
    airflow_server.down(lambda _: None)
    assert not [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    assert airflow_server.running(settings) is None
