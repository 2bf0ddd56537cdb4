"""The house rules, held over every DAG: what a new DAG file must keep to pass."""

import asyncio
import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from coldframe import transform
from coldframe.errors import BadInputError, ConfigurationError, GateError, NotAvailableError, WarehouseBusyError
from coldframe.orchestration import dags as airflow_dags
from coldframe.orchestration import dbt as airflow_dbt
from coldframe.orchestration.dags import POOLS, RETRY_POLICY, WAREHOUSE, Tag
from coldframe.paths import workspace
from coldframe.settings import PROJECT_ROOT, get_settings

Described = tuple[dict[str, Any], dict[str, Any]]
TOO_HEAVY_TO_READ = {
    "dbt",
    "duckdb",
    "feast",
    "great_expectations",
    "ibis",
    "mlflow",
    "pandas",
    "prophet",
    "pyarrow",
    "scipy",
    "sklearn",
    "statsforecast",
}
ROOMS = {"landing", "quality", "feature_repo", "ml"}
STRUCTURE = Path(__file__).with_name("structure.json")


def tasks(dags: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {f"{dag_id}.{t['__var']['task_id']}": t["__var"] for dag_id, dag in dags.items() for t in dag["tasks"]}


def test_every_dag_file_can_be_read_and_holds_the_dag_it_is_named_after(described: Described) -> None:
    assert described[0]["errors"] == {}
    assert set(described[0]["structure"]) == {file.stem for file in (PROJECT_ROOT / "dags").glob("*.py")}


def test_no_dag_file_is_named_so_that_dbt_imports_it_in_every_task() -> None:
    assert not list((PROJECT_ROOT / "dags").rglob("dbt_*.py"))


def test_the_graphs_are_those_that_were_reviewed(described: Described) -> None:
    reviewed = json.loads(STRUCTURE.read_text())
    assert described[0]["structure"] == reviewed, (
        "The DAGs have changed. If that is meant, renew the file and review its diff:\n"
        "  python tests/dags/describe.py --write"
    )


def test_reading_twice_gives_the_same_dag_so_that_no_version_is_made_for_nothing(described: Described) -> None:
    first, second = described
    assert json.dumps(first["serialised"], sort_keys=True) == json.dumps(second["serialised"], sort_keys=True)


def test_reading_the_dags_imports_no_heavy_library_and_no_room(described: Described) -> None:
    imported = set(described[0]["imported"])
    assert not imported & TOO_HEAVY_TO_READ
    assert not imported & ROOMS


def test_every_dag_says_what_it_is_about(dags: dict[str, Any]) -> None:
    for dag_id, dag in dags.items():
        assert dag["tags"], dag_id
        assert set(dag["tags"]) <= {str(tag) for tag in Tag}, dag_id
        assert dag["doc_md"].startswith("### "), dag_id
        assert dag["dag_display_name"] != dag_id, dag_id


def test_every_dag_runs_once_at_a_time_never_catches_up_and_has_a_deadline(dags: dict[str, Any]) -> None:
    for dag_id, dag in dags.items():
        assert dag["max_active_runs"] == 1, dag_id
        assert not dag["catchup"], dag_id
        assert dag["deadline"], dag_id


def test_what_follows_an_asset_is_on_from_the_start_and_what_follows_the_clock_is_not(dags: dict[str, Any]) -> None:
    """But for what no plan waits for, which would only keep the plans waiting."""
    paused = {dag_id for dag_id, dag in dags.items() if dag.get("is_paused_upon_creation")}
    assert paused == {"daily", "weekly", "forecast_daily"}


def test_what_no_plan_waits_for_goes_behind_what_plans_wait_for(dags: dict[str, Any]) -> None:
    weights = {dag_id: dag["default_args"]["__var"]["priority_weight"] for dag_id, dag in dags.items()}
    assert {dag_id for dag_id, weight in weights.items() if weight < max(weights.values())} == {"forecast_daily"}


def test_every_task_has_an_owner_a_time_limit_and_a_known_pool(described: Described, dags: dict[str, Any]) -> None:
    graphs = described[0]["structure"]
    for name, task in tasks(dags).items():
        dag_id, task_id = name.split(".", 1)
        defaults = dags[dag_id]["default_args"]["__var"]
        assert task.get("owner", defaults["owner"]) == "coldframe", name
        assert task.get("execution_timeout") or defaults["execution_timeout"], name
        assert graphs[dag_id]["tasks"][task_id]["pool"] in {*POOLS, "default_pool"}, name


def test_what_opens_the_warehouse_shares_one_slot(described: Described) -> None:
    graph = described[0]["structure"]["transform"]["tasks"]
    writers = {task_id for task_id, task in graph.items() if task["pool"] == WAREHOUSE}
    assert writers == {"prepare", "dbt.dbt_producer_watcher", "publish"}
    assert POOLS[WAREHOUSE][0] == 1


def test_dbt_and_its_watchers_are_never_tried_again_because_a_second_try_runs_dbt_side_by_side(
    dags: dict[str, Any],
) -> None:
    in_group = {n: t for n, t in tasks(dags).items() if n.startswith("transform.dbt.") and not n.endswith("_done")}
    assert len(in_group) > 1
    assert all(task.get("retries", 0) == 0 for task in in_group.values())


@pytest.mark.parametrize("error", [BadInputError, ConfigurationError, GateError, NotAvailableError])
def test_bad_data_and_a_refused_gate_are_not_tried_again(error: type[Exception]) -> None:
    assert RETRY_POLICY.evaluate(error("orders.csv: 3 rows"), 1, 2).action.value == "fail"


@pytest.mark.parametrize("error", [WarehouseBusyError("held"), ConnectionResetError(), TimeoutError()])
def test_a_lost_lock_and_a_hiccup_of_the_machine_are_tried_again(error: Exception) -> None:
    assert RETRY_POLICY.evaluate(error, 1, 2).action.value == "retry"


def test_dbt_gets_from_the_dag_every_variable_the_project_reads(installation: Any) -> None:
    installation()
    assert set(airflow_dbt.ENVIRONMENT) == set(transform.dbt_env(workspace("files")))


def test_a_late_run_is_recorded_once(installation: Any) -> None:
    installation()
    context = {"dag_run": {"dag_id": "land", "dag_run_id": "manual", "state": "running"}}
    for _ in range(2):
        asyncio.run(airflow_dags.late("2:00:00", context=context))
    records = list((get_settings().home / "airflow" / "late").iterdir())
    assert [json.loads(record.read_text())["dag_id"] for record in records] == ["land"]


def test_a_scheduled_run_asks_for_the_day_before_its_own_whatever_the_clock_says(installation: Any) -> None:
    from datetime import UTC, datetime
    from types import SimpleNamespace

    from airflow.sdk import DAG

    installation(source="files", source_path="/data/shop")
    with DAG("any"):
        request = airflow_dags.day_before(force=True).operator.python_callable
    run = SimpleNamespace(logical_date=datetime(2026, 3, 1, 3, tzinfo=UTC), run_id="scheduled__1")
    conf = request(dag_run=run)
    assert conf["as_of"] == date(2026, 2, 28).isoformat()
    assert (conf["source"], conf["path"], conf["force"]) == ("files", "/data/shop", True)
    assert request(dag_run=run)["run_key"] == conf["run_key"]
