"""### Land

Reads a source for a range of days and judges what arrived. Rows that break the contract go to the quarantine with their
reasons; a critical finding stops here. Trigger it with the form: everything else follows by itself, up to both plans.
"""

from airflow.sdk import dag

from coldframe.orchestration.dags import LANDED, Tag, rules, step


@dag(**rules("land", __doc__, Tag.FACTS))
def land() -> None:
    step("land") >> step("audit_landed", emits=LANDED)


land()
