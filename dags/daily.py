"""### Daily

Lands the day before the run's own (never the clock's) for the source in the settings; everything else follows.
Paused at creation: switch it on when the source is yours.
"""

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import dag

from coldframe.orchestration.dags import Tag, day_before, rules
from coldframe.settings import get_settings


@dag(**rules("daily", __doc__, Tag.SCHEDULE, cron=get_settings().daily_cron))
def daily() -> None:
    TriggerDagRunOperator(task_id="trigger_land", trigger_dag_id="land", conf=day_before())


daily()
