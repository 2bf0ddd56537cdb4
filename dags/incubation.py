"""### Incubation

Which new products deserve traffic tomorrow, which have proved themselves, which to let go. The plan is a draft until
somebody approves it. Before, a policy that challenges the one in force is judged by the log of published plans.
"""

from airflow.sdk import dag

from coldframe.orchestration.dags import INCUBATION_PLAN, LEARN, SCORES, Tag, rules, step


@dag(**rules("incubation", __doc__, Tag.DECISIONS, after=[SCORES]))
def incubation() -> None:
    step("policy", pool=LEARN) >> step("incubation", emits=INCUBATION_PLAN, pool=LEARN)


incubation()
