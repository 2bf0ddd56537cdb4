"""Mornings of published plans replayed under another policy, which takes over where the log is sure of its gain."""

import dataclasses
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from coldframe import snapshots
from coldframe.errors import ConfigurationError, NotAvailableError
from coldframe.ledger import Ledger, PlanDraft, PlanLine
from coldframe.paths import Workspace
from coldframe.run import Request
from ml.growth.scores import COLUMNS
from ml.incubation.asked import evaluate_policy
from ml.incubation.exposure import Surfaces
from ml.incubation.plan import Planned, plan
from ml.incubation.policy import Policy
from ml.incubation.promote import LEAST_DELIVERED, challenge_policy, decide_policy, policy, policy_in_force
from ml.incubation.replay import own_log, replayed, surfaces_of
from ml.promotion import decided
from ml.registry import Registry, Release
from tests.ml.incubation.scores import by_exposure, frame
from tests.ml.snapshots import write_snapshot

FIRST, DAYS = date(2024, 5, 5), 5
LAST = FIRST + timedelta(days=DAYS)
SURFACES = Surfaces((("app", "north"), ("web", "south")), pd.DataFrame([[0.7, 0.3]], index=["tea"], columns=range(2)))
EVEN = Policy(explore=1.0, product_cap=1.0, merchant_cap=1.0, category_cap=1.0, seed_share=0.0)
KEEN = "objective: earn\nexplore: 0.3\nproduct_cap: 0.2\nmerchant_cap: 1\ncategory_cap: 1\nseed_share: 0\n"


@pytest.fixture
def place(shared_mlflow: Callable[[], Path], tmp_path: Path) -> Workspace:
    """Five published days of thirty launches, shown evenly, of which five sell ten times as often as the others."""
    place = Workspace(shared_mlflow(), f"off_{tmp_path.name}".lower()[:60])
    rng = np.random.default_rng(3)
    rates = np.where(np.arange(30) < 5, 0.1, 0.01)
    scores = frame(
        *(
            by_exposure(product_id=f"p{i:02d}", impressions_so_far=800, orders_so_far=round(800 * rate))
            for i, rate in enumerate(rates)
        )
    )[list(COLUMNS)]
    ledger, registry, parts = Ledger.open(), Registry(place), []
    for number in range(DAYS):
        as_of = FIRST + timedelta(days=number)
        release = registry.release("growth", as_of, "s", {}, {}, {"scores": scores}, {})
        made = plan(scores, {}, SURFACES, 6000, EVEN, number)
        day = as_of + timedelta(days=1)
        draft = PlanDraft(
            *("incubation", place.source, as_of, str(day), day, day, "s", {"growth": release.id}),
            {"exposure_budget": 6000},
            {},
            made.lines,
        )
        plan_id = ledger.save_plan(draft).plan_id
        for status in ("approved", "published"):
            ledger.change_status(plan_id, status, by="ann", why="good")
        parts += [
            (day, line.product_id, channel, region, line.details["propensity_by"][channel][region], count)
            for line in made.lines
            for channel, regions in line.details["impressions_by"].items()
            for region, count in regions.items()
        ]
    shown = pd.DataFrame(parts, columns=["date", "product_id", "channel", "region", "propensity", "impressions"])
    shown["date"] = pd.to_datetime(shown["date"])
    # The place shows each product as often again without us.
    shown["delivered"] = 2 * shown["impressions"]
    shown["orders"] = rng.binomial(shown["delivered"], rates[shown["product_id"].str[1:].astype(int)])
    write_snapshot(place.snapshots / "now", LAST, fct_exposure_line=shown.assign(clicks=0, carts=0, gmv=0.0))
    place.current.symlink_to("now")
    return place


@pytest.fixture
def keen(tmp_path: Path) -> Path:
    file = tmp_path / "keen.yaml"
    file.write_text(KEEN)
    return file


def test_the_same_policy_replayed_is_the_log(place: Workspace) -> None:
    log = own_log(snapshots.current(place), LAST, "orders")
    log, again = replayed(place, log, EVEN)
    both = log.rows.merge(again.rows, on=["date", "action", "channel", "region"])
    assert len(both) == len(log.rows) == 5 * 30 * 2
    assert both["probability"].to_numpy() == pytest.approx(both["propensity"].to_numpy(), rel=1e-6)
    assert log.rows["impressions"].sum() == 5 * 6000


def test_yesterdays_mornings_tell_what_another_policy_would_have_earned(place: Workspace, keen: Path) -> None:
    found = evaluate_policy(None, str(keen), {}, (), place.source, LAST, None)
    # Shown evenly, the thirty bring 0.025 orders an impression; the five best bring 0.1.
    assert found["logged"]["value"] == pytest.approx(0.025, rel=0.1)
    best = found["estimates"][-1]
    assert best["name"] == "doubly robust" and 0.05 < best["low"] < best["high"] < 0.11
    assert found["gain"]["low"] > 0


def test_a_sure_gain_takes_over_and_a_rollback_takes_it_back(place: Workspace, keen: Path) -> None:
    assert policy_in_force(place) == Policy()
    done = challenge_policy(place.source, LAST, str(keen), None)
    assert "takes the place of" in done.summary and "orders per impression" in done.summary
    assert policy_in_force(place).objective == "earn"
    Registry(place).rollback("incubation", by="ann", why="sellers complained")
    assert policy_in_force(place) == Policy()
    assert "no policy challenges" in policy(Request(source=place.source, as_of=LAST)).summary


def test_a_policy_of_another_version_stays_in_force_and_what_it_lost_is_told(place: Workspace) -> None:
    registry = Registry(place)
    stored = {"policy": {"objective": "earn", "patience": 3}}
    registry.promote(
        "incubation", registry.release("incubation", LAST, "s", stored, {}, {}, {}), decided("promote", (), {})
    )
    assert policy_in_force(place) == Policy(objective="earn")
    [told] = policy(Request(source=place.source, as_of=LAST)).warnings
    assert told.endswith("without effect: patience")


def test_a_challenger_that_is_not_surely_better_waits(place: Workspace, tmp_path: Path) -> None:
    (tmp_path / "same.yaml").write_text(yaml.safe_dump(EVEN.stored()))
    done = challenge_policy(place.source, LAST, str(tmp_path / "same.yaml"), None)
    assert "does not take the place of" in done.summary
    assert policy_in_force(place) == Policy()
    again = policy(Request(source=place.source, as_of=LAST))
    assert again.facts["decision"] == "keep"


def test_a_policy_that_does_not_fit_challenges_nothing(place: Workspace, tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text("graduate: 0.9\n")
    with pytest.raises(ConfigurationError, match="graduate"):
        challenge_policy(place.source, LAST, str(tmp_path / "wrong.yaml"), None)
    assert Registry(place).challenger("incubation") is None


def test_without_published_plans_or_traffic_there_is_no_log(tmp_path: Path) -> None:
    empty = write_snapshot(tmp_path / "empty", LAST, fct_launch=pd.DataFrame({"a": [1]}))
    with pytest.raises(NotAvailableError, match="No published incubation plan"):
        own_log(empty, LAST, "orders")
    row = {"date": pd.Timestamp(LAST), "propensity": 0.5, "impressions": 5, "delivered": None}
    blind = write_snapshot(tmp_path / "blind", LAST, fct_exposure_line=pd.DataFrame([row]))
    with pytest.raises(NotAvailableError, match="the source has no `traffic`"):
        own_log(blind, LAST, "orders")


def test_where_less_was_delivered_every_row_counts_for_that_share(tmp_path: Path) -> None:
    rows = {"product_id": ["a", "b", "c"], "propensity": [0.5, 0.3, 0.2], "impressions": [50, 30, 20]}
    seen = {"delivered": [10, 60, 0], "orders": [1, 3, 0], "channel": "app", "region": "north"}
    lines = pd.DataFrame({"date": pd.Timestamp(LAST), **rows, **seen})
    snapshot = write_snapshot(tmp_path / "short", LAST, fct_exposure_line=lines)
    log = own_log(snapshot, LAST, "orders")
    # 10 of 50, 30 of 30 and none of 20 were delivered: 40 %.
    assert log.rows["impressions"].to_numpy() == pytest.approx([20, 12, 0])
    assert log.rows["reward"].to_numpy() == pytest.approx([2, 0.6, 0])
    assert "only 40% of the impressions that plans gave were delivered" in log.notes[0]
    with pytest.raises(NotAvailableError, match="Only 40% of the impressions"):
        own_log(snapshot, LAST, "orders", LEAST_DELIVERED)


def test_no_policy_is_promoted_by_what_was_shown_against_the_plans(place: Workspace, keen: Path) -> None:
    snapshot = snapshots.current(place)
    lines = snapshot.frame("fct_exposure_line")
    write_snapshot(place.snapshots / "thin", LAST, fct_exposure_line=lines.assign(delivered=lines["impressions"] // 3))
    place.current.unlink()
    place.current.symlink_to("thin")
    done = challenge_policy(place.source, LAST, str(keen), None)
    assert "cannot be judged yet: Only 33% of the impressions that published plans gave were delivered" in done.summary
    assert policy_in_force(place) == Policy()


def test_what_was_delivered_in_full_needs_no_word(place: Workspace) -> None:
    assert not own_log(snapshots.current(place), LAST, "orders").notes


def test_mornings_of_an_older_version_are_left_out_and_told(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = own_log(snapshots.current(place), LAST, "orders")
    first = Ledger.open().ever_published(place.source, "incubation")[0].plan_id
    lines = Ledger.lines

    def older(ledger: Ledger, plan_id: str) -> tuple[PlanLine, ...]:
        given = lines(ledger, plan_id)
        if plan_id != first:
            return given
        return tuple(dataclasses.replace(line, details={"propensity": 0.1, "impressions": 5}) for line in given)

    monkeypatch.setattr(Ledger, "lines", older)
    log, again = replayed(place, whole, EVEN)
    days = {f"2024-05-{day:02d}" for day in range(7, 11)}
    assert set(log.rows["date"]) == set(again.rows["date"]) == days
    assert log.notes[-1] == (
        f"left out: 1 of 5 mornings cannot be replayed, that of 2024-05-06 because its plan {first} was made by an "
        "older Coldframe, which did not write down previous_stage, propensity_by."
    )


def test_where_no_morning_can_be_replayed_it_is_said_why(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    log = own_log(snapshots.current(place), LAST, "orders")
    table = Release.table
    with monkeypatch.context() as older:
        older.setattr(Release, "table", lambda release, name: table(release, name).drop(columns="bestseller_gmv"))
        with pytest.raises(NotAvailableError, match=r"5 of 5 mornings .* did not write down bestseller_gmv"):
            replayed(place, log, EVEN)
    monkeypatch.setattr(Ledger, "ever_published", lambda *_: ())
    with pytest.raises(
        NotAvailableError, match=r"5 of 5 mornings .* that of 2024-05-10 because its plan is not in the ledger"
    ):
        replayed(place, log, EVEN)


def test_a_policy_that_shows_nothing_is_told(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    log = own_log(snapshots.current(place), LAST, "orders")
    monkeypatch.setattr("ml.incubation.replay.plan", lambda *_: Planned((), {}, ()))
    with pytest.raises(NotAvailableError, match="The policy shows nothing on 2024-05-06"):
        replayed(place, log, EVEN)


def test_a_challenger_that_cannot_be_replayed_does_not_stop_the_morning(place: Workspace, tmp_path: Path) -> None:
    (tmp_path / "greedy.yaml").write_text("guarantees: {'*': 1000000}\nleast_impressions: 1000\n")
    done = challenge_policy(place.source, LAST, str(tmp_path / "greedy.yaml"), None)
    assert "cannot be judged yet: The policy cannot be replayed on 2024-05-06" in done.summary
    assert policy_in_force(place) == Policy()


def test_a_policy_that_guarantees_more_than_there_was_is_told_with_the_day(place: Workspace) -> None:
    log = own_log(snapshots.current(place), LAST, "orders")
    greedy = Policy(guarantees={"*": 10**6}, least_impressions=1000)
    with pytest.raises(ConfigurationError, match="cannot be replayed on 2024-05-06: The exposure budget is 6,000"):
        replayed(place, log, greedy)


def test_a_refused_value_or_a_veto_keeps_the_policy_in_force() -> None:
    gain = {"name": "doubly robust", "value": 0.2, "low": 0.1, "high": 0.3}
    sure = {"refused": (), "gain": gain, "columns": {"reward": "orders"}, "effective_sample_size": 900.0}
    assert decide_policy(sure, None).action == "promote"
    assert decide_policy(sure, "sellers complained").reasons == ("rolled back: sellers complained",)
    refused = decide_policy(sure | {"refused": ("too thin",), "gain": None}, None)
    assert refused.reasons == ("its value cannot be told: too thin",)
    assert decide_policy(None, None).reasons == ("it is the policy in force",)


def test_a_category_that_was_not_shown_is_shared_over_surfaces_like_the_others() -> None:
    scores = frame(
        by_exposure(product_id="a", impressions_so_far=100, orders_so_far=2),
        by_exposure(product_id="b", category="mugs", largest_buyer_share=1.0, buyers_so_far=1),
    )
    both = Surfaces(SURFACES.names, pd.DataFrame([[0.7, 0.3]] * 2, index=["tea", "mugs"], columns=range(2)))
    made = plan(scores[list(COLUMNS)], {}, both, 1000, EVEN, 0)
    assert [line.action for line in made.lines][1] == "frozen"
    assert surfaces_of(made.lines).shares.loc[["mugs"]].to_numpy()[0] == pytest.approx([0.7, 0.3])
