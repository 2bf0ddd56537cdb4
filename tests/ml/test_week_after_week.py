"""From launch scores to the incubation plan, week after week: the list is today's, whatever method may score it."""

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pandas as pd
import pytest

from coldframe.errors import NotAvailableError
from coldframe.ledger import Ledger, PlanLine
from coldframe.paths import Workspace
from coldframe.run import Request, StepResult
from ml.growth import data, evaluate
from ml.growth.steps import growth
from ml.incubation.steps import incubation
from ml.registry import Registry
from tests.ml.growth import conftest as shop
from tests.ml.snapshots import write_snapshot

MODEL = "growth"
WEEKS = 40
# Week of launch and units a week. The first two are there to be learned from and validated on; after 33 weeks the next
# two are in the last of their 26 weeks.
LAUNCHES = {
    **{"early": (2, 5), "middle": (16, 5)},
    **{"graduated": (7, 60), "leaving": (7, 5), "staying": (30, 5), "entering": (33, 50)},
}
Decide = Callable[..., StepResult]


@pytest.fixture(autouse=True)
def evidence(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """What validation finds: the log loss of each method; the base rate's is 0.4. Changed by the tests."""
    found = {"rule": 0.41, "two_features": 0.41, "launch_model": 0.41, "base_rate": 0.4}

    def measure(validated: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame(
            [
                {
                    "method": method,
                    "bestsellers": 50,
                    "average_precision": 0.2 if method == "launch_model" else 0.1,
                    "ap_gain_low": 0.05 if method == "launch_model" else 0.0,
                    "log_loss": loss,
                    "base_log_loss": 0.4,
                }
                for method, loss in found.items()
            ]
        )

    monkeypatch.setattr(evaluate, "measure", measure)
    return found


@pytest.fixture
def place(shared_mlflow: Callable[[], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setattr(data, "find_service", lambda name: shop.look_up(lambda: shop.panel(WEEKS)))
    monkeypatch.setattr(shop, "LAUNCHES", LAUNCHES)
    return Workspace(shared_mlflow(), f"tea_{tmp_path.name}".lower()[:60])


def sunday(weeks: int) -> date:
    return shop.monday(weeks) - timedelta(days=1)


def publish(place: Workspace, weeks: int, name: str = "a", announced: int = 0) -> Request:
    """The shop after so many weeks, and launches `announced` for the days after; returns the request of that Sunday."""
    as_of = sunday(weeks)
    products = shop.catalogue()
    known = products[products["launched_on"] <= as_of + timedelta(days=announced)]
    folder = place.snapshots / f"{as_of}-{name}"
    if not folder.is_dir():
        write_snapshot(folder, as_of, **shop.tables(shop.panel(weeks), known, shop.videos()))
    place.current.unlink(missing_ok=True)
    place.current.symlink_to(folder.name)
    return Request(source=place.source, as_of=as_of)


def week(place: Workspace, weeks: int) -> tuple[StepResult, dict[str, PlanLine]]:
    """Growth and incubation as of the Sunday after so many weeks; returns growth's result and the plan by product."""
    request = publish(place, weeks)
    scored = growth(request)
    planned = incubation(request)
    return scored, {line.product_id: line for line in Ledger.open().lines(planned.facts["plan_id"])}


def test_a_new_launch_enters_next_weeks_plan_though_no_better_method_was_found(place: Workspace) -> None:
    first, before = week(place, 33)
    second, after = week(place, 34)
    assert (first.facts["method"], second.facts["method"]) == ("base_rate", "base_rate")
    assert (first.facts["promotion"], second.facts["promotion"]) == ("promote", "refresh")
    assert "entering" not in before
    assert (after["entering"].action, after["entering"].details["age_weeks"]) == ("seed", 1)


def test_what_launches_tomorrow_is_on_the_plan_for_tomorrow(place: Workspace) -> None:
    request = publish(place, 33, announced=1)
    growth(request)
    [line] = [x for x in Ledger.open().lines(incubation(request).facts["plan_id"]) if x.product_id == "entering"]
    assert (line.action, line.details["age_weeks"]) == ("seed", 0)
    assert f"launches on {shop.monday(33)}" in line.reason


def test_ages_and_evidence_move_with_the_weeks(place: Workspace) -> None:
    (_, before), (_, after) = week(place, 33), week(place, 34)
    assert (before["staying"].details["age_weeks"], after["staying"].details["age_weeks"]) == (3, 4)
    assert "sold 15 units to 15 buyers in 21 days" in before["staying"].reason
    assert "sold 20 units to 20 buyers in 28 days" in after["staying"].reason


def test_who_is_no_longer_new_leaves_the_plan_graduated_or_not(place: Workspace) -> None:
    (_, before), (_, after) = week(place, 33), week(place, 34)
    assert before["graduated"].action == "graduate"
    assert {"graduated", "leaving"} <= set(before)
    assert set(after) == {"middle", "staying", "entering"}
    assert set(week(place, 39)[1]) == {"middle", "staying", "entering"}


def test_a_better_method_takes_over_and_says_why(place: Workspace, evidence: dict[str, float]) -> None:
    week(place, 33)
    evidence["launch_model"] = 0.3
    scored, plan = week(place, 34)
    assert (scored.facts["method"], scored.facts["promotion"]) == ("launch_model", "promote")
    assert scored.facts["promotion_reasons"] == ["gains 25.0% on champion base_rate", "gains 25.0% on the baseline"]
    assert "entering" in plan


def test_after_a_rollback_the_method_stays_and_the_list_is_todays(place: Workspace, evidence: dict[str, float]) -> None:
    week(place, 33)
    evidence["launch_model"] = 0.3
    week(place, 34)
    Registry(place).rollback(MODEL, "Ada", "it misled us")
    for weeks in (34, 35):
        scored, plan = week(place, weeks)
        assert (scored.facts["method"], scored.facts["favoured"]) == ("base_rate", "launch_model")
        assert scored.facts["promotion"] == "refresh"
        assert scored.facts["promotion_reasons"][0].startswith(
            "base_rate serves because of a rollback: it misled us (Ada, "
        )
        assert "because of a rollback" in scored.summary
        assert plan["entering"].details["age_weeks"] == weeks - 33
    Registry(place).lift(MODEL, "Ada", "mended")
    assert week(place, 36)[0].facts["method"] == "launch_model"


def test_the_same_run_again_changes_nothing(place: Workspace, evidence: dict[str, float]) -> None:
    week(place, 33)
    evidence["launch_model"] = 0.3
    scored, plan = week(place, 34)
    history = Registry(place).history(MODEL)
    again, same = week(place, 34)
    assert (scored.reused, again.reused) == (False, True)
    assert (again.facts["release_id"], same) == (scored.facts["release_id"], plan)
    forced = growth(publish(place, 34).model_copy(update={"force": True}))
    assert forced.facts["release_id"] == scored.facts["release_id"]
    assert len(Registry(place).releases(MODEL)) == 2
    assert Registry(place).history(MODEL) == history


def test_a_run_of_an_earlier_day_does_not_hold_what_was_chosen_later(
    place: Workspace, evidence: dict[str, float]
) -> None:
    evidence["launch_model"] = 0.3
    week(place, 34)
    evidence["launch_model"] = 0.41
    scored, plan = week(place, 33)
    assert scored.facts["method"] == "base_rate"
    assert "entering" not in plan


def test_a_plan_is_refused_where_todays_launches_were_not_scored(place: Workspace) -> None:
    request = publish(place, 33)
    train = f"Run `coldframe train --source {place.source} --as-of {request.as_of}` first"
    with pytest.raises(NotAvailableError, match=f"has no launch scores yet. {train}"):
        incubation(request)
    week(place, 33)
    later = publish(place, 34)
    with pytest.raises(NotAvailableError, match=rf"made from snapshot {request.as_of}-a; .*--as-of {later.as_of}`"):
        incubation(later)
    corrected = publish(place, 33, "b")
    with pytest.raises(NotAvailableError, match=train):
        incubation(corrected)
    with pytest.raises(NotAvailableError, match="Run `coldframe audit` for that day first"):
        incubation(later)
    publish(place, 33)
    assert incubation(request).facts["lines"] == 4
