"""The dbt project as a group of Airflow tasks: one task runs `dbt build`, one task a mart shows how far it is.

Only this module knows Cosmos. When it is wrong, dbt runs twice at once on a file that takes one writer, or a run is
green although a test failed.
"""

import sys
from pathlib import Path
from typing import Any

from airflow.sdk import TaskGroup, task
from cosmos import DbtTaskGroup, ExecutionConfig, ProfileConfig, ProjectConfig, RenderConfig
from cosmos.constants import (
    PRODUCER_WATCHER_DONE_TASK_ID,
    DbtResourceType,
    ExecutionMode,
    InvocationMode,
    LoadMode,
    TestBehavior,
)
from cosmos.operators.watcher import DbtRunWatcherOperator

from coldframe.errors import ConfigurationError
from coldframe.orchestration.dags import WAREHOUSE, WATCH
from coldframe.settings import PROJECT_ROOT, get_settings

PROJECT = PROJECT_ROOT / "dbt"
# The names coldframe.transform.dbt_env gives values to; a test holds the two equal.
ENVIRONMENT = (
    "DBT_COLDFRAME_PATH",
    "DBT_COLDFRAME_THREADS",
    "DBT_COLDFRAME_MEMORY_LIMIT",
    "DBT_LOG_PATH",
    "DBT_EXCLUDE_RESOURCE_TYPES",
    "DO_NOT_TRACK",
)


def _mart_only(node: Any, dag: Any, task_group: Any, task_args: dict[str, Any], **_: Any) -> Any:
    """Shows marts and leaves out what lies before them: each task costs a second, and dbt runs them all anyway."""
    if "marts" not in node.fqn:
        return None
    return DbtRunWatcherOperator(
        task_id=node.name,
        dag=dag,
        task_group=task_group,
        extra_context={"dbt_node_config": node.context_dict},
        **task_args,
    )


def dbt_group(group_id: str, environment_from: Any) -> tuple[TaskGroup | Any, Any]:
    """The group of tasks that runs dbt with the environment that `environment_from` pushed as XCom ``dbt_env``, and in
    it the task that succeeds when dbt has built everything and every test has passed.

    Tests run inside the one `dbt build`, so a failing test fails the producer and with it whatever follows that task.
    The tasks that report marts are not waited for: they know nothing that dbt's own end does not say.
    Without a manifest there is a single task that says so: a DAG that cannot be read would say less.
    """
    manifest = get_settings().home / "dbt" / "target" / "manifest.json"
    if not manifest.is_file():

        @task(task_id=f"{group_id}_manifest_is_missing", retries=0)
        def missing() -> None:
            raise ConfigurationError(f"{manifest} is missing. `coldframe up` makes it before it starts Airflow.")

        stand_in = missing()
        return stand_in, stand_in
    pushed = f"ti.xcom_pull(task_ids='{environment_from.operator.task_id}', key='dbt_env')"
    group = DbtTaskGroup(
        group_id=group_id,
        project_config=ProjectConfig(PROJECT, manifest_path=manifest, project_name="coldframe", install_dbt_deps=False),
        profile_config=ProfileConfig(
            profile_name="coldframe", target_name="duckdb", profiles_yml_filepath=PROJECT / "profiles.yml"
        ),
        render_config=RenderConfig(
            load_method=LoadMode.DBT_MANIFEST,
            test_behavior=TestBehavior.AFTER_EACH,
            emit_datasets=False,
            node_converters={DbtResourceType.MODEL: _mart_only},
            node_conversion_by_task_group=True,
        ),
        execution_config=ExecutionConfig(
            execution_mode=ExecutionMode.WATCHER,
            # In a process of its own dbt reports only what ended. Inside the task it reports every stir, each an XCom.
            invocation_mode=InvocationMode.SUBPROCESS,
            dbt_executable_path=Path(sys.executable).with_name("dbt"),
            # A second try of the producer does nothing and lets its watchers run dbt side by side: never again.
            setup_operator_args={"pool": WAREHOUSE, "priority_weight": 100},
        ),
        operator_args={
            "env": {name: f"{{{{ {pushed}['{name}'] }}}}" for name in ENVIRONMENT},
            "append_env": True,
            "install_deps": False,
            "pool": WATCH,
            "priority_weight": 1,
            "retries": 0,
            "deferrable": False,
            "poke_interval": 1,
        },
    )
    return group, group.children[f"{group_id}.{PRODUCER_WATCHER_DONE_TASK_ID}"]
