"""Releases do not change, the champion moves only by a decision, and every move can be taken back."""

import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from coldframe.errors import ColdframeError, ConfigurationError, NotAvailableError
from coldframe.paths import Workspace
from ml.promotion import PromotionDecision
from ml.registry import Registry, Release, rollback

PROMOTE = PromotionDecision("promote", ("gains 10%",), {}, "d1")
REFRESH = PromotionDecision("refresh", ("the same method",), {}, "d3")
KEEP = PromotionDecision("keep", ("harms sparse",), {}, "d2")


@pytest.fixture
def registry(shared_mlflow: Callable[[], Path], tmp_path: Path) -> Registry:
    return Registry(Workspace(shared_mlflow(), f"shop_{tmp_path.name}"))


def made(registry: Registry, value: float = 1.0, model: str = "forecasting") -> Release:
    table = pd.DataFrame({"week_start": pd.to_datetime(["2017-09-25"]), "units": [value]})
    return registry.release(
        model, date(2017, 9, 30), "2017-09-30-abc", {"h": 14}, {"wape": 0.4}, {"forecasts": table}, {"model": b"bytes"}
    )


def test_a_release_reads_back_what_was_put_in(registry: Registry) -> None:
    release = made(registry)
    assert release.table("forecasts").units.tolist() == [1.0]
    assert release.artefact("model") == b"bytes"
    assert (release.as_of, release.snapshot_id, release.params, release.metrics) == (
        date(2017, 9, 30),
        "2017-09-30-abc",
        {"h": 14},
        {"wape": 0.4},
    )
    release.verify()


def test_the_same_content_is_the_same_release_once_and_other_content_another(registry: Registry) -> None:
    first = made(registry)
    assert made(registry) == first
    assert made(registry, 2.0).id != first.id
    assert len(registry.releases("forecasting")) == 2
    versions = registry._client.search_model_versions(f"name = '{registry.workspace.source}.forecasting'")
    assert sorted(v.version for v in versions) == [1, 2]


def test_a_plan_rests_on_the_champion_of_its_day_or_of_the_week_before(registry: Registry) -> None:
    with pytest.raises(NotAvailableError, match=r"No forecasting of .* has been promoted yet"):
        registry.champion_for("forecasting", date(2017, 9, 30))
    release = made(registry)
    registry.promote("forecasting", release, PROMOTE)
    for day in (date(2017, 9, 30), date(2017, 10, 7)):
        assert registry.champion_for("forecasting", day) == release


@pytest.mark.parametrize(
    ("as_of", "message"),
    [
        (
            date(2017, 10, 8),
            "the plan is as of 2017-10-08: it is 8 days old, and at most 7 are allowed.*coldframe decide",
        ),
        (date(2017, 9, 29), "the plan is as of 2017-09-29: it knows 1 days too many"),
    ],
)
def test_an_old_champion_and_one_that_knows_the_future_are_refused_with_their_age(
    as_of: date, message: str, registry: Registry
) -> None:
    registry.promote("forecasting", made(registry), PROMOTE)
    with pytest.raises(NotAvailableError, match=message):
        registry.champion_for("forecasting", as_of)


def test_mlflow_keeps_parameters_metrics_and_where_the_release_lies(registry: Registry) -> None:
    release = made(registry)
    client = registry._client
    version = client.get_model_version_by_alias(f"{registry.workspace.source}.forecasting", "challenger")
    run = client.get_run(version.run_id)
    assert run.data.params == {"h": "14"}
    assert run.data.metrics == {"wape": 0.4}
    assert run.data.tags["release_path"] == str(release.path)
    assert run.data.tags["snapshot_id"] == "2017-09-30-abc"
    assert run.info.status == "FINISHED"


def test_nothing_serves_before_the_first_promotion(registry: Registry) -> None:
    assert registry.champion("forecasting") is None
    made(registry)
    assert registry.champion("forecasting") is None


def test_promotion_moves_the_champion_and_is_remembered_with_its_decision(registry: Registry) -> None:
    release = made(registry)
    registry.promote("forecasting", release, PROMOTE)
    registry.promote("forecasting", release, PROMOTE)
    assert registry.champion("forecasting") == release
    assert registry.challenger("forecasting") is None
    (event,) = registry.history("forecasting")
    assert (event.action, event.release_id, event.previous, event.why, event.decision_id) == (
        "promote",
        release.id,
        None,
        "gains 10%",
        "d1",
    )


def test_a_decision_to_keep_blocks_promotion(registry: Registry) -> None:
    release = made(registry)
    with pytest.raises(ConfigurationError, match="harms sparse"):
        registry.promote("forecasting", release, KEEP)
    assert registry.champion("forecasting") is None
    assert registry.challenger("forecasting") == release


@pytest.mark.parametrize("damage", ["change", "delete"])
def test_a_damaged_release_is_not_promoted_and_the_champion_stays(registry: Registry, damage: str) -> None:
    good, bad = made(registry, 1.0), made(registry, 2.0)
    registry.promote("forecasting", good, PROMOTE)
    file = bad.file("forecasts")
    file.write_bytes(file.read_bytes()[:-1]) if damage == "change" else file.unlink()
    with pytest.raises(ColdframeError, match=r"1 files are missing or differ .*tables/forecasts\.parquet"):
        registry.promote("forecasting", bad, PROMOTE)
    assert registry.champion("forecasting") == good


def test_rollback_walks_back_through_the_champions_and_says_who_and_why(registry: Registry) -> None:
    first, second, third = (made(registry, n) for n in (1.0, 2.0, 3.0))
    for release in (first, second, third):
        registry.promote("forecasting", release, PROMOTE)
    assert rollback(registry.workspace, "forecasting", "Ada", "orders doubled") == second
    assert registry.rollback("forecasting", "Ada", "still wrong") == first
    assert registry.champion("forecasting") == first
    assert [(e.action, e.by, e.why) for e in registry.history("forecasting")][-2:] == [
        ("rollback", "Ada", "orders doubled"),
        ("rollback", "Ada", "still wrong"),
    ]
    with pytest.raises(NotAvailableError, match="no earlier champion"):
        registry.rollback("forecasting", "Ada", "again")


def test_a_champion_promoted_after_a_rollback_goes_back_to_what_it_replaced(registry: Registry) -> None:
    first, second, third = (made(registry, n) for n in (1.0, 2.0, 3.0))
    registry.promote("forecasting", first, PROMOTE)
    registry.promote("forecasting", second, PROMOTE)
    registry.rollback("forecasting", "Ada", "wrong")
    registry.promote("forecasting", third, PROMOTE)
    assert registry.rollback("forecasting", "Ada", "wrong too") == first


def test_a_rolled_back_release_is_vetoed_until_it_is_promoted_again(registry: Registry) -> None:
    first, second = made(registry, 1.0), made(registry, 2.0)
    registry.promote("forecasting", first, PROMOTE)
    registry.promote("forecasting", second, PROMOTE)
    registry.rollback("forecasting", "Ada", "orders doubled")
    assert (registry.veto("forecasting", second.id) or "").startswith("orders doubled (Ada")
    assert registry.veto("forecasting", first.id) is None
    registry.promote("forecasting", second, PROMOTE)
    assert registry.veto("forecasting", second.id) is None


def test_rolling_back_goes_past_the_refreshes_of_what_serves(registry: Registry) -> None:
    """Yesterday's release of the same method is no other method: going back to it would only make its facts older."""
    first, second, third, fourth = (made(registry, n, "growth") for n in (1.0, 2.0, 3.0, 4.0))
    registry.promote("growth", first, PROMOTE)
    registry.promote("growth", second, REFRESH)
    registry.promote("growth", third, PROMOTE)
    registry.promote("growth", fourth, REFRESH)
    assert registry.champion("growth") == fourth
    assert registry.rollback("growth", "Ada", "misled") == second
    with pytest.raises(NotAvailableError, match="no earlier champion"):
        registry.rollback("growth", "Ada", "again")


def test_a_rollback_holds_through_refreshes_until_it_is_lifted(registry: Registry) -> None:
    first, second, third = (made(registry, n, "growth") for n in (1.0, 2.0, 3.0))
    registry.promote("growth", first, PROMOTE)
    registry.promote("growth", second, PROMOTE)
    assert registry.pin("growth") is None
    registry.rollback("growth", "Ada", "misled")
    registry.promote("growth", third, REFRESH)
    assert (registry.pin("growth") or "").startswith("misled (Ada")
    assert rollback(registry.workspace, "growth", "Ada", "mended", lift=True) == third
    assert (registry.pin("growth"), registry.veto("growth", second.id)) == (None, None)
    assert registry.champion("growth") == third
    with pytest.raises(NotAvailableError, match="no rollback in force"):
        registry.lift("growth", "Ada", "again")
    with pytest.raises(ConfigurationError, match="who lifts the rollback of growth and why"):
        registry.lift("growth", "", "again")


def test_a_promotion_by_the_policy_ends_what_a_rollback_held(registry: Registry) -> None:
    first, second, third = (made(registry, n) for n in (1.0, 2.0, 3.0))
    registry.promote("forecasting", first, PROMOTE)
    registry.promote("forecasting", second, PROMOTE)
    registry.rollback("forecasting", "Ada", "wrong")
    registry.promote("forecasting", third, PROMOTE)
    assert registry.pin("forecasting") is None


@pytest.mark.parametrize(("by", "why"), [("", "wrong"), ("Ada", " ")])
def test_a_rollback_needs_a_name_and_a_reason(registry: Registry, by: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match="who rolls forecasting back and why"):
        registry.rollback("forecasting", by, why)


def test_a_metric_that_is_no_number_is_never_released(registry: Registry) -> None:
    with pytest.raises(ColdframeError, match="wape is not a finite number"):
        registry.release("forecasting", date(2017, 9, 30), "s", {}, {"wape": float("nan")}, {}, {})
    assert not registry.workspace.releases.exists()


def test_a_table_or_release_that_is_not_there_is_named(registry: Registry) -> None:
    with pytest.raises(NotAvailableError, match=r"has no tables/routes\.parquet. It has: .*tables/forecasts"):
        made(registry).table("routes")
    with pytest.raises(NotAvailableError, match="has no release nope"):
        registry.load("forecasting", "nope")


def test_models_and_sources_do_not_share_champions(registry: Registry) -> None:
    registry.promote("forecasting", made(registry), PROMOTE)
    assert registry.champion("growth") is None
    assert Registry(Workspace(registry.workspace.home, "other")).champion("forecasting") is None


def test_two_processes_may_open_a_new_registry_at_once(installation: Callable[..., Path]) -> None:
    installation()
    code = (
        "import sys; from coldframe.paths import workspace; from ml.registry import Registry;"
        "assert Registry(workspace('shop')).champion(sys.argv[1]) is None"
    )
    racers = [
        subprocess.Popen([sys.executable, "-c", code, m], stderr=subprocess.PIPE) for m in ("forecasting", "growth")
    ]
    for racer in racers:
        _, complaint = racer.communicate(timeout=120)
        assert (racer.returncode, complaint.decode()) == (0, "")


def test_a_day_is_answered_by_the_last_release_of_it_that_served_and_is_not_rolled_back(registry: Registry) -> None:
    def of(day: int, value: float) -> Release:
        table = pd.DataFrame({"units": [value]})
        return registry.release("daily", date(2017, 9, day), "s", {"h": 14}, {}, {"forecasts": table}, {})

    first, second, newer, older, kept = of(10, 1.0), of(10, 2.0), of(20, 3.0), of(5, 4.0), of(25, 5.0)
    for release, decision in ((first, PROMOTE), (second, REFRESH), (newer, PROMOTE)):
        registry.promote("daily", release, decision)
    registry.backfill("daily", older, PROMOTE)
    registry.backfill("daily", older, PROMOTE)
    assert registry.answering("daily") == {older.as_of: older.id, second.as_of: second.id, newer.as_of: newer.id}
    assert kept.id not in registry.answering("daily").values()
    assert registry.champion("daily") == newer, "an older day moves nothing"
    assert [event.action for event in registry.history("daily")].count("backfill") == 1
    assert registry.rollback("daily", "Ada", "orders doubled") == second
    assert newer.as_of not in registry.answering("daily")
    registry.lift("daily", "Ada", "it was the data")
    assert registry.answering("daily")[newer.as_of] == newer.id
