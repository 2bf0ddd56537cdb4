"""The step trains when it is due, reuses what it has, and never answers with what the run could not have known."""

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pandas as pd
import pytest

from coldframe.errors import NotAvailableError
from coldframe.paths import Workspace
from coldframe.run import Request, StepResult
from ml.forecasting import models, steps
from ml.registry import Registry

AS_OF = date(2017, 7, 30)
SEASON = "2017-08-14..2017-09-24"
Publish = Callable[..., Workspace]
Sales = Callable[..., pd.DataFrame]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests do not depend on who forecasts; the slow ones have tests of their own."""
    for (level, segment), candidates in list(models.CANDIDATES.items()):
        kept = tuple(name for name in candidates if name in ("zero", "window_mean", "hgb"))
        monkeypatch.setitem(models.CANDIDATES, (level, segment), kept)


def run(workspace: Workspace, as_of: date = AS_OF, force: bool = False, season: str = SEASON) -> StepResult:
    return steps.forecast(Request(source=workspace.source, as_of=as_of, force=force, season=season, horizon_weeks=8))


def contents(release: Path) -> dict[str, bytes]:
    return {str(file.relative_to(release)): file.read_bytes() for file in release.rglob("*") if file.is_file()}


def test_a_first_run_trains_promotes_and_says_why(published: Publish, sales: Sales) -> None:
    workspace = published(AS_OF, sales())
    result = run(workspace)
    champion = Registry(workspace).champion("forecasting")
    assert champion is not None
    assert (result.reused, result.facts["release_id"]) == (False, champion.id)
    assert (result.facts["retraining"], result.facts["promotion"]) == ("train", "promote")
    assert result.facts["retraining_reasons"] == ["there is no champion that knows only what this run may know"]
    assert result.facts["promotion_reasons"][1].startswith("gains ")
    assert result.facts["category_region.wape"] == champion.metrics["category_region.wape"]
    assert champion.as_of == AS_OF
    assert set(champion.table("season_totals")["season"]) == {SEASON}


def test_the_same_run_again_is_answered_by_the_champion(published: Publish, sales: Sales) -> None:
    workspace = published(AS_OF, sales())
    first, again = run(workspace), run(workspace)
    assert (again.reused, again.facts["release_id"]) == (True, first.facts["release_id"])
    assert again.summary.startswith(f"reused release {first.facts['release_id']}: champion")
    assert set(again.warnings) >= set(first.warnings)
    assert len(Registry(workspace).releases("forecasting")) == 1


def test_the_same_facts_trained_again_give_the_same_bytes(published: Publish, sales: Sales) -> None:
    workspace = published(AS_OF, sales())
    first = run(workspace)
    path = Path(first.links["release"])
    before = contents(path)
    forced = run(workspace, force=True)
    assert (forced.reused, forced.facts["retraining"]) == (False, "train")
    assert forced.facts["release_id"] == first.facts["release_id"]
    assert contents(path) == before
    assert len(Registry(workspace).releases("forecasting")) == 1


def test_a_new_snapshot_within_the_week_does_not_train(published: Publish, sales: Sales) -> None:
    weekly = sales()
    first = run(published(AS_OF, weekly))
    more = pd.concat([weekly, weekly.tail(1).assign(product_id="p99", units=1)])
    workspace = published(AS_OF + timedelta(days=2), more)
    later = run(workspace, AS_OF + timedelta(days=2))
    assert later.reused
    assert later.facts["release_id"] == first.facts["release_id"]
    assert later.facts["retraining_reasons"] == [
        f"champion {first.facts['release_id']} is 2 days old and covers {SEASON}"
    ]
    assert len(Registry(workspace).releases("forecasting")) == 1


def test_corrected_facts_of_the_same_day_train(published: Publish, sales: Sales) -> None:
    weekly = sales()
    first = run(published(AS_OF, weekly))
    workspace = published(AS_OF, weekly.assign(units=weekly["units"] * 2))
    again = run(workspace)
    assert not again.reused
    assert again.facts["retraining_reasons"][0].startswith(f"the facts of {AS_OF} changed: snapshot ")
    assert again.facts["release_id"] != first.facts["release_id"]


def test_a_week_later_a_challenger_is_trained_and_compared_with_the_champion(published: Publish, sales: Sales) -> None:
    weekly = sales(weeks=31)
    next_week = AS_OF + timedelta(days=7)
    first = run(published(AS_OF, weekly[weekly["week_start"] <= AS_OF]))
    workspace = published(next_week, weekly)
    later = run(workspace, next_week)
    old, new = first.facts["release_id"], later.facts["release_id"]
    assert later.facts["retraining_reasons"][0] == f"champion {old} is 7 days old; it is renewed every 7"
    assert {release.id for release in Registry(workspace).releases("forecasting")} == {old, new}
    serving = Registry(workspace).champion("forecasting")
    assert serving is not None
    assert serving.id == (new if later.facts["promotion"] == "promote" else old)
    assert later.facts["promotion_reasons"]


def test_a_run_as_of_an_earlier_day_does_not_use_a_champion_of_a_later_one(published: Publish, sales: Sales) -> None:
    weekly = sales(weeks=31)
    next_week = AS_OF + timedelta(days=7)
    later = run(published(next_week, weekly), next_week)
    workspace = published(AS_OF, weekly[weekly["week_start"] <= AS_OF])
    earlier = run(workspace)
    assert not earlier.reused
    assert earlier.facts["release_id"] != later.facts["release_id"]
    release = Registry(workspace).load("forecasting", earlier.facts["release_id"])
    assert release.table("forecasts")["week_start"].min() == pd.Timestamp("2017-07-31")


def test_another_season_is_another_question(published: Publish, sales: Sales) -> None:
    workspace = published(AS_OF, sales())
    run(workspace)
    other = run(workspace, season="2017-08-07..2017-09-10")
    assert not other.reused
    assert any("2017-08-07..2017-09-10" in reason for reason in other.facts["retraining_reasons"])
    champion = Registry(workspace).champion("forecasting")
    assert champion is not None
    assert champion.params["season"] == "2017-08-07..2017-09-10", "though it gains nothing on the one before"


def test_a_snapshot_of_another_day_is_refused_with_what_to_do(published: Publish, sales: Sales) -> None:
    workspace = published(AS_OF, sales())
    with pytest.raises(NotAvailableError, match=r"as of 2017-07-30, the run as of 2017-08-01. Run `coldframe audit`"):
        run(workspace, date(2017, 8, 1))


@pytest.mark.parametrize(
    ("as_of", "monday"),
    [(date(2017, 9, 30), date(2017, 9, 25)), (date(2017, 10, 1), date(2017, 10, 2))],
)
def test_a_week_counts_as_known_from_its_sunday_on(as_of: date, monday: date) -> None:
    assert steps.first_week_ahead(as_of) == monday
