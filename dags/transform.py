"""### Transform

From landed rows to a published snapshot: says from which day to build, runs the dbt project, lets the gate judge the
marts and publishes them. A failing dbt test or a critical finding stops the run; the last good snapshot stays.

One task runs dbt (`dbt_producer_watcher`), because DuckDB takes one writer; the others report how far it is. When
nothing that landed has changed, dbt is skipped. To try again after a failure trigger the DAG again instead of clearing
single tasks: the end is the same, and publishing refuses a build that was run in part.
"""

from airflow.sdk import dag, task

from coldframe.orchestration.dags import LANDED, SNAPSHOT, WAREHOUSE, Tag, rules, step
from coldframe.orchestration.dbt import dbt_group
from coldframe.orchestration.request import received

DBT = "dbt"


@dag(**rules("transform", __doc__, Tag.FACTS, after=[LANDED]))
def transform() -> None:
    @task.branch(pool=WAREHOUSE)
    def prepare(**context):
        from coldframe.paths import workspace
        from coldframe.transform import dbt_env
        from coldframe.transform import prepare as prepare_warehouse

        request = received(context).request
        window = prepare_warehouse(request)
        context["ti"].xcom_push("dbt_env", dbt_env(workspace(request.source)))
        return "publish" if window.nothing else DBT

    publish = step("publish", emits=SNAPSHOT, pool=WAREHOUSE, trigger_rule="none_failed")
    prepared = prepare()
    group, built = dbt_group(DBT, environment_from=prepared)
    prepared >> group
    [prepared, built] >> publish


transform()
