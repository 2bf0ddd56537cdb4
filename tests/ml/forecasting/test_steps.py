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
from ml.promotion import Scores
from ml.registry import Registry, Release

AS_OF = date(2017, 7, 30)
SEASON = "2017-08-14..2017-09-24"
# Two segments of the test's shop, held by models the back-test may not prefer.
HELD = (("category_region", "dense", "window_mean"), ("product_region", "dense", "hgb"))
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
        f"champion {first.facts['release_id']} answers {SEASON}, 42 days in the weeks 2017-08-14 to 2017-09-18; its "
        "training is 2 days old"
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
    assert later.facts["retraining_reasons"][0] == "the last training is 7 days old; it is renewed every 7"
    assert {release.id for release in Registry(workspace).releases("forecasting")} == {old, new}
    serving = Registry(workspace).champion("forecasting")
    assert serving is not None
    assert serving.id == (new if later.facts["promotion"] == "promote" else old)
    assert later.facts["promotion_reasons"]


def refuse(monkeypatch: pytest.MonkeyPatch, *, baseline: float = 0.5, champion: float = 0.3) -> None:
    """From here on every challenger is scored worse than the champion."""

    def scores(release: Release, before: Release | None) -> tuple[Scores | None, Scores]:
        old = Scores(before.id, before.as_of, "w", champion, baseline) if before else None
        return old, Scores(release.id, release.as_of, "w", 0.4, baseline)

    monkeypatch.setattr(steps.compare, "scores", scores)


def test_models_no_challenger_beats_are_learned_again_from_todays_facts(
    published: Publish, sales: Sales, monkeypatch: pytest.MonkeyPatch
) -> None:
    weekly = sales(weeks=31)
    next_week = AS_OF + timedelta(days=7)
    first = run(published(AS_OF, weekly[weekly["week_start"] <= AS_OF]))
    monkeypatch.setattr(steps, "_routes", lambda release: HELD if release.id == first.facts["release_id"] else ())
    refuse(monkeypatch)
    launched = weekly.tail(1).assign(product_id="p99", units=9)
    workspace = published(next_week, pd.concat([weekly, launched]))
    later = run(workspace, next_week)
    serving = Registry(workspace).champion("forecasting")
    assert serving is not None
    assert (later.facts["promotion"], later.facts["release_id"], serving.as_of) == ("refresh", serving.id, next_week)
    forecasts = serving.table("forecasts")
    assert forecasts["week_start"].min() == pd.Timestamp(next_week + timedelta(days=1))
    assert "p99" in set(forecasts["product_id"]), "what was launched since is forecast"
    routes = serving.table("routes").set_index(["level", "segment"])["model"]
    assert {(level, segment, routes[level, segment]) for level, segment, _ in HELD} == set(HELD)
    assert f"learned from facts up to {next_week} instead of {AS_OF}" in later.summary
    assert any("was not promoted: gains -33.3% on champion" in warning for warning in later.warnings)
    assert run(workspace, next_week).reused


def test_the_very_models_that_serve_need_no_gain_to_be_learned_again(
    published: Publish, sales: Sales, monkeypatch: pytest.MonkeyPatch
) -> None:
    weekly = sales(weeks=31)
    next_week = AS_OF + timedelta(days=7)
    run(published(AS_OF, weekly[weekly["week_start"] <= AS_OF]))
    monkeypatch.setattr(steps, "_routes", lambda release: ())
    refuse(monkeypatch)
    workspace = published(next_week, weekly)
    later = run(workspace, next_week)
    assert later.facts["promotion"] == "refresh"
    assert len(Registry(workspace).releases("forecasting")) == 2, "nothing is learned twice"


def test_after_a_rollback_the_models_stay_and_the_facts_are_todays(
    published: Publish, sales: Sales, monkeypatch: pytest.MonkeyPatch
) -> None:
    weekly = sales(weeks=31)
    next_week = AS_OF + timedelta(days=7)
    first = run(published(AS_OF, weekly[weekly["week_start"] <= AS_OF]))
    monkeypatch.setattr(steps, "_routes", lambda release: HELD if release.id == first.facts["release_id"] else ())
    refuse(monkeypatch, champion=0.6)
    workspace = published(next_week, weekly)
    better = run(workspace, next_week)
    assert better.facts["promotion"] == "promote"
    registry = Registry(workspace)
    assert registry.rollback("forecasting", "Ada", "orders doubled").id == first.facts["release_id"]
    held = run(workspace, next_week)
    assert held.facts["promotion"] == "refresh"
    assert held.facts["promotion_reasons"][1].startswith("rolled back: orders doubled (Ada")
    serving = registry.champion("forecasting")
    assert serving is not None
    assert (serving.id != better.facts["release_id"], serving.as_of) == (True, next_week)


def test_models_that_lose_to_the_benchmark_are_not_held(
    published: Publish, sales: Sales, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The challenger is no better than the benchmark either; that is enough where the champion is worse."""
    weekly = sales(weeks=31)
    next_week = AS_OF + timedelta(days=7)
    run(published(AS_OF, weekly[weekly["week_start"] <= AS_OF]))
    refuse(monkeypatch, baseline=0.4, champion=0.45)
    later = run(published(next_week, weekly), next_week)
    assert later.facts["promotion"] == "promote"
    assert "lose to the benchmark" in later.facts["promotion_reasons"][0]


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
