"""### Forecast

Weekly demand per product and region. Whether anything is trained anew is a policy's decision, and so is promotion;
both are recorded with their reasons.
"""

from airflow.sdk import dag

from coldframe.orchestration.dags import FEATURES, FORECASTS, LEARN, Tag, rules, step


@dag(**rules("forecast", __doc__, Tag.LEARNING, after=[FEATURES]))
def forecast() -> None:
    step("forecast", emits=FORECASTS, pool=LEARN)


forecast()
