"""Tomorrow's stages and shares online: of one plan, whole, with its status, and never an older one's."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest

from coldframe.ledger import Ledger, Plan, PlanDraft, PlanLine
from feature_repo.decisions import push_plan
from feature_repo.steps import materialize
from feature_repo.store import open_store

Decide = Callable[..., Plan]


def line(product: str, stage: str, impressions: int) -> PlanLine:
    return PlanLine(
        region="all",
        category="tea",
        product_id=product,
        title=product,
        action=stage,
        quantity=impressions / 100,
        value=0.2,
        value_low=0.1,
        value_high=0.4,
        reason="why",
        alternative=None,
        binding_constraint=None,
        details={"impressions": impressions},
    )


@pytest.fixture
def decide(features: Any) -> Decide:
    """Saves an incubation plan of the shop: stage and impressions by product."""

    def make(as_of: date = features.as_of, **products: tuple[str, int]) -> Plan:
        tomorrow = as_of + timedelta(days=1)
        draft = PlanDraft(
            kind="incubation",
            source=features.source,
            as_of=as_of,
            season=tomorrow.isoformat(),
            valid_from=tomorrow,
            valid_until=tomorrow,
            snapshot_id="s",
            release_ids={},
            parameters={},
            summary={},
            lines=tuple(line(name, *what) for name, what in products.items()),
        )
        return Ledger.open().save_plan(draft)

    return make


@pytest.fixture
def served(features: Any) -> Any:
    features.publish([features.row("a")])
    materialize(features.request())
    return features


def online(features: Any, *products: str) -> list[dict[str, Any]]:
    store = open_store(features.workspace, features.workspace.features)
    asked = [{"product_id": name} for name in products]
    found = store.get_online_features(features=store.get_feature_service("incubation_v1"), entity_rows=asked).to_df()
    return [{str(k): v for k, v in row.items()} for row in found.astype(object).to_dict("records")]


def test_a_service_fetches_stage_score_and_share_of_a_launch(served: Any, decide: Decide) -> None:
    plan = decide(a=("seed", 30), b=("graduate", 0))
    assert push_plan(plan.plan_id) == f"2 stages and shares of plan {plan.plan_id} (draft) are online"
    [a, b, never] = online(served, "a", "b", "never")
    assert (a["stage"], a["share"], a["impressions"], a["chance"]) == ("seed", 0.3, 30, 0.2)
    assert (b["stage"], b["plan_id"], b["status"], b["valid_on"]) == ("graduate", plan.plan_id, "draft", "2024-05-06")
    assert never["stage"] is None


def test_a_settled_plan_is_online_with_its_status(served: Any, decide: Decide) -> None:
    plan = decide(a=("seed", 30))
    push_plan(plan.plan_id)
    for status in ("approved", "published"):
        Ledger.open().change_status(plan.plan_id, status, by="ann", why="fine")
        push_plan(plan.plan_id)
        assert online(served, "a")[0]["status"] == status


def test_a_launch_that_is_none_any_more_is_not_online(served: Any, decide: Decide) -> None:
    push_plan(decide(a=("seed", 30), gone=("seed", 10)).plan_id)
    later = served.as_of + timedelta(days=1)
    push_plan(decide(later, a=("incubate", 20)).plan_id)
    [a, gone] = online(served, "a", "gone")
    assert (a["stage"], gone["stage"]) == ("incubate", None)


def test_neither_an_earlier_days_plan_nor_a_draft_beside_a_published_one_takes_its_place(
    served: Any, decide: Decide
) -> None:
    plan = decide(a=("seed", 30))
    for status in ("approved", "published"):
        Ledger.open().change_status(plan.plan_id, status, by="ann", why="fine")
    push_plan(plan.plan_id)
    other = decide(a=("retire", 0))
    assert push_plan(other.plan_id) == f"plan {plan.plan_id} (published, for 2024-05-06) stays online"
    push_plan(decide(served.as_of - timedelta(days=1), a=("incubate", 5)).plan_id)
    assert online(served, "a")[0]["stage"] == "seed"


def test_what_was_decided_before_anything_is_online_comes_with_the_first_materialization(
    features: Any, decide: Decide
) -> None:
    told = push_plan(decide(a=("seed", 30)).plan_id)
    assert told == "nothing is online yet; `coldframe materialize` puts stages and shares there as well"
    features.publish([features.row("a")])
    materialize(features.request())
    assert online(features, "a")[0]["stage"] == "seed"


def test_features_materialized_again_leave_the_plan_online(served: Any, decide: Decide) -> None:
    push_plan(decide(a=("seed", 30)).plan_id)
    materialize(served.request(force=True))
    assert online(served, "a")[0]["stage"] == "seed"


def test_a_plan_without_a_line_takes_everything_off(served: Any, decide: Decide) -> None:
    push_plan(decide(a=("seed", 30)).plan_id)
    push_plan(decide(served.as_of + timedelta(days=1)).plan_id)
    assert online(served, "a")[0]["stage"] is None
