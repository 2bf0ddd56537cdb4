"""### Materialize

Writes the features of the latest complete week from the published snapshot to the online store.
"""

from airflow.sdk import dag

from coldframe.orchestration.dags import FEATURES, SNAPSHOT, Tag, rules, step


@dag(**rules("materialize", __doc__, Tag.FACTS, after=[SNAPSHOT]))
def materialize() -> None:
    step("materialize", emits=FEATURES)


materialize()
