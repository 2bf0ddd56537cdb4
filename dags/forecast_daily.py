"""### Forecast daily

Demand of every product, region and level by the day. First, earlier forecasts are laid beside what came since; then a
policy says whether the champion answers, its method forecasts today's facts, or a challenger is trained. When a task
fails, what served goes on serving, and its message says until when that reaches.

Paused at creation, because it takes minutes of both cores and no plan waits for it: whoever lands something to get a
plan should not wait either. Switch it on together with `daily` when people use daily forecasts.
"""

from airflow.sdk import dag

from coldframe.orchestration.dags import LEARN, SNAPSHOT, Tag, rules, step


@dag(**rules("forecast_daily", __doc__, Tag.LEARNING, after=[SNAPSHOT], aside=True))
def forecast_daily() -> None:
    step("score_vintages", pool=LEARN) >> step("forecast_daily", pool=LEARN)


forecast_daily()
