"""### Assortment

Which products to range next season, per region and category, how deep, and why. Waits for the forecasts *and* the
scores of the same request. Before it proposes anything it ranks by the forecasts of earlier as-ofs, and the plan prints
what that would have captured beside the best rule of thumb. The plan is a draft until somebody approves it.
"""

from airflow.sdk import dag

from coldframe.orchestration.dags import ASSORTMENT_PLAN, FORECASTS, LEARN, SCORES, Tag, rules, step


@dag(**rules("assortment", __doc__, Tag.DECISIONS, after=[FORECASTS, SCORES]))
def assortment() -> None:
    step("assortment", emits=ASSORTMENT_PLAN, pool=LEARN)


assortment()
