"""### Weekly

Trains forecasts and launch scores anew as of the day before the run's own, whatever the retraining policy says of its
age; both plans follow. Paused at creation: switch it on together with `daily`.
"""

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import dag

from coldframe.orchestration.dags import Tag, day_before, rules
from coldframe.settings import get_settings


@dag(**rules("weekly", __doc__, Tag.SCHEDULE, cron=get_settings().weekly_cron))
def weekly() -> None:
    request = day_before(force=True)
    for name in ("forecast", "growth"):
        TriggerDagRunOperator(task_id=f"trigger_{name}", trigger_dag_id=name, conf=request)


weekly()
