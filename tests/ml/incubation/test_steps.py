"""The step: scores of the day in, a draft plan out that is stored with its policy, day after day."""

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from coldframe.errors import ConfigurationError
from coldframe.ledger import Ledger, Plan, PlanLine
from coldframe.paths import Workspace
from coldframe.run import Request, StepResult
from ml.growth.scores import COLUMNS
from ml.incubation.policy import Policy
from ml.incubation.steps import incubation
from ml.promotion import decided
from ml.registry import Registry
from tests.ml.incubation.scores import by_exposure, by_units, frame
from tests.ml.snapshots import write_snapshot

DAY = date(2024, 5, 5)
TRAFFIC = pd.DataFrame(
    {
        "week_start": pd.to_datetime(["2024-04-29", "2024-04-29", "2024-01-01"]),
        "category": "tea",
        "channel": ["app", "web", "mail"],
        "region": ["north", "south", "north"],
        "impressions": [6000, 4000, 9000],
        "orders": [120, 80, 500],
    }
)
Decide = Callable[..., StepResult]


@pytest.fixture
def place(shared_mlflow: Callable[[], Path], tmp_path: Path) -> Workspace:
    return Workspace(shared_mlflow(), f"inc_{tmp_path.name}".lower()[:60])


@pytest.fixture
def decide(place: Workspace) -> Decide:
    """Publishes a snapshot and scores of the day and decides."""

    def run(*rows: dict[str, Any], day: date = DAY, traffic: pd.DataFrame = TRAFFIC, **more: Any) -> StepResult:
        folder = place.snapshots / f"{day}-a"
        if not folder.is_dir():
            write_snapshot(folder, day, fct_surface_week=traffic)
        place.current.unlink(missing_ok=True)
        place.current.symlink_to(folder.name)
        scores = frame(*rows).reindex(columns=list(COLUMNS))
        registry = Registry(place)
        release = registry.release("growth", day, folder.name, {}, {}, {"scores": scores}, {})
        registry.promote("growth", release, decided("promote", ("scored",), {}))
        return incubation(Request(source=place.source, as_of=day, exposure_budget=1000, **more))

    return run


def lines(found: StepResult) -> dict[str, PlanLine]:
    return {line.product_id: line for line in Ledger.open().lines(found.facts["plan_id"])}


def stored(found: StepResult) -> Plan:
    return Ledger.open().plan(found.facts["plan_id"])


def test_a_plan_is_a_draft_for_tomorrow_with_its_whole_policy(decide: Decide, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("objective: earn\nmerchant_cap: 0.6\n")
    found = decide(by_exposure(product_id="a"), by_exposure(product_id="b"), policy=tmp_path / "p.yaml")
    plan = stored(found)
    assert (plan.status, plan.valid_from, plan.valid_until) == ("draft", date(2024, 5, 6), date(2024, 5, 6))
    assert plan.parameters["exposure_budget"] == 1000
    assert Policy.model_validate(plan.parameters["policy"]) == Policy(objective="earn", merchant_cap=0.6)
    assert "nothing is online yet" in found.summary


def test_impressions_go_to_the_surfaces_of_the_last_weeks(decide: Decide) -> None:
    found = decide(*(by_exposure(product_id=f"p{i}", impressions_so_far=300, orders_so_far=6) for i in range(30)))
    given = found.facts["impressions_by"]
    assert {(channel, region) for channel in given for region in given[channel]} == {("app", "north"), ("web", "south")}
    assert given["app"]["north"] > given["web"]["south"] > 0


def test_without_traffic_there_is_one_surface(decide: Decide) -> None:
    found = decide(by_units(product_id="a"), traffic=TRAFFIC.head(0))
    assert list(found.facts["impressions_by"]) == ["all"]
    assert found.warnings[0].startswith("judged by units and buyers, because the source counts no impressions: 1 of 1")


def test_the_stage_before_is_that_of_the_newest_earlier_plan_nobody_rejected(decide: Decide) -> None:
    sure = by_units(product_id="a", probability=0.7, probability_low=0.6, probability_high=0.8)
    first = decide(sure)
    assert lines(first)["a"].action == "incubate"
    second = decide(sure, day=DAY + timedelta(days=1))
    assert lines(second)["a"].action == "graduate"
    assert second.facts["moves"] == {"incubate -> graduate": 1}
    Ledger.open().change_status(second.facts["plan_id"], "rejected", by="ann", why="no")
    thin = sure | {"buyers_so_far": 1, "orders_so_far": 1}
    third = decide(thin, day=DAY + timedelta(days=2))
    assert lines(third)["a"].details["previous_stage"] == "incubate"


def test_the_same_day_decided_again_is_the_same_plan(decide: Decide) -> None:
    rows = [by_exposure(product_id=f"p{i}") for i in range(5)]
    assert decide(*rows).facts == decide(*rows).facts


def test_a_budget_below_the_guarantees_leaves_no_plan(decide: Decide, tmp_path: Path, place: Workspace) -> None:
    (tmp_path / "p.yaml").write_text("guarantees: {'*': 600}\n")
    rows = [by_exposure(product_id=f"p{i}", impressions_so_far=0, orders_so_far=0, buyers_so_far=0) for i in range(2)]
    with pytest.raises(ConfigurationError, match=r"budget is 1,000 .* guaranteed 1,200 \(2 of tier \* at 600\)"):
        decide(*rows, policy=tmp_path / "p.yaml")
    assert Ledger.open().plans(source=place.source) == ()


def test_without_a_live_launch_the_plan_is_empty(decide: Decide) -> None:
    found = decide()
    assert found.facts["lines"] == 0
    assert "no live launch; 0 of 1,000 impressions" in found.summary
