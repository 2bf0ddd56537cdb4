"""### Growth

Each live launch's chance of becoming a blockbuster of its category, and its demand, from point-in-time features.
"""

from airflow.sdk import dag

from coldframe.orchestration.dags import FEATURES, LEARN, SCORES, Tag, rules, step


@dag(**rules("growth", __doc__, Tag.LEARNING, after=[FEATURES]))
def growth() -> None:
    step("growth", emits=SCORES, pool=LEARN)


growth()
