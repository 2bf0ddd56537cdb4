"""A published plan is a fact from the day after its as-of on, as often as one lands it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from coldframe.ledger import Ledger, PlanDraft, PlanLine
from landing.plans import land_plans

JUNE, AFTER_JUNE, JULY = date(2024, 6, 30), date(2024, 7, 1), date(2024, 7, 31)
LINE = PlanLine(
    region="north",
    category="tea",
    product_id="p1",
    title="Green tea",
    action="range",
    quantity=12,
    value=30.0,
    value_low=20.0,
    value_high=42.0,
    reason="sells",
    alternative=None,
    binding_constraint=None,
    details={"rank": 1, "expected_units": 9.5},
)
DRAFT = PlanDraft(
    kind="assortment",
    source="files",
    as_of=JUNE,
    season="2024-Q3",
    valid_from=date(2024, 7, 1),
    valid_until=date(2024, 9, 30),
    snapshot_id="s",
    release_ids={},
    parameters={"objective": "gmv"},
    summary={},
    lines=(LINE,),
)
Publish = Callable[..., str]


@pytest.fixture
def publish(shop: Any) -> Publish:
    """Decides, approves and publishes a plan with some values changed; returns its id."""

    def make(**changes: Any) -> str:
        ledger = Ledger.open()
        plan_id = ledger.save_plan(replace(DRAFT, **changes)).plan_id
        for status in ("approved", "published"):
            ledger.change_status(plan_id, status, by="ann", why="good")
        land_plans("files")
        return plan_id

    return make


def test_the_lines_of_a_published_plan_are_known_after_the_day_whose_facts_they_were_made_from(
    publish: Publish, shop: Any
) -> None:
    plan_id = publish()
    assert shop.rows("plan_lines", JUNE) == []
    [row] = shop.rows("plan_lines", AFTER_JUNE)
    assert (row["plan_id"], row["rank"], row["expected_units"], row["quantity"]) == (plan_id, 1, 9.5, 12)
    assert (row["season"], row["valid_from"], row["objective"]) == ("2024-Q3", date(2024, 7, 1), "gmv")


def test_a_later_plan_for_the_season_lies_beside_the_one_it_took_the_place_of(publish: Publish, shop: Any) -> None:
    first, second = publish(), publish(as_of=JULY)
    assert {row["plan_id"] for row in shop.rows("plan_lines", AFTER_JUNE)} == {first}
    assert {row["plan_id"] for row in shop.rows("plan_lines", date(2024, 8, 1))} == {first, second}


def test_of_two_plans_of_one_day_for_one_season_the_one_published_last_counts(publish: Publish, shop: Any) -> None:
    publish()
    second = publish(parameters={"objective": "margin"})
    assert {row["plan_id"] for row in shop.rows("plan_lines", JULY)} == {second}


def test_drafts_are_no_facts(publish: Publish, shop: Any) -> None:
    Ledger.open().save_plan(DRAFT)
    land_plans("files")
    assert not (shop.workspace.landed / "plan_lines").exists()


SHOWN = replace(
    LINE,
    region="all",
    action="seed",
    quantity=0.3,
    value=0.25,
    value_low=0.1,
    value_high=0.5,
    details={
        "impressions": 30,
        "propensity": 0.3,
        "impressions_by": {"live": {"north": 20}, "search": {"south": 10}},
        "propensity_by": {"live": {"north": 0.2}, "search": {"south": 0.1}},
    },
)
LET_GO = replace(SHOWN, product_id="p2", action="retire", quantity=0, details={"impressions": 0, "propensity": 0.0})
TOMORROW = {"kind": "incubation", "season": str(AFTER_JUNE), "valid_until": AFTER_JUNE, "lines": (SHOWN, LET_GO)}


def test_a_published_incubation_plan_is_the_log_of_its_day(publish: Publish, shop: Any) -> None:
    plan_id = publish(**TOMORROW)
    assert shop.rows("exposure_lines", JUNE) == []
    live, search, let_go = shop.rows("exposure_lines", AFTER_JUNE)
    assert (live["plan_id"], live["date"], live["as_of"], live["stage"]) == (plan_id, AFTER_JUNE, JUNE, "seed")
    assert (live["channel"], live["region"], live["impressions"], live["propensity"]) == ("live", "north", 20, 0.2)
    assert (search["impressions"], search["share"]) == (10, 0.3)
    assert (let_go["stage"], let_go["channel"], let_go["impressions"]) == ("retire", "all", 0)
    assert not (shop.workspace.landed / "plan_lines").exists()


def test_a_plan_from_before_places_were_told_apart_was_for_everywhere(publish: Publish, shop: Any) -> None:
    publish(**TOMORROW | {"lines": (replace(SHOWN, details={"impressions": 30, "propensity": 0.3}),)})
    [row] = shop.rows("exposure_lines", AFTER_JUNE)
    assert (row["channel"], row["region"], row["impressions"], row["propensity"]) == ("all", "all", 30, 0.3)


def test_of_two_plans_for_one_day_the_one_published_last_was_shown(publish: Publish, shop: Any) -> None:
    publish(**TOMORROW)
    second = publish(**TOMORROW | {"lines": (LET_GO,)})
    assert [row["plan_id"] for row in shop.rows("exposure_lines", AFTER_JUNE)] == [second]
    [file] = (shop.workspace.landed / "exposure_lines").glob("day=*/*.parquet")
    stamp = file.stat().st_mtime_ns
    land_plans("files")
    assert file.stat().st_mtime_ns == stamp


def test_landing_makes_up_for_a_publication_that_was_not_landed_and_changes_nothing_else(
    publish: Publish, folder: Any, shop: Any
) -> None:
    publish()
    before = shop.bytes()
    (shop.workspace.landed / "plan_lines" / f"known={AFTER_JUNE}.parquet").unlink()
    shop.land(folder)
    assert before.items() <= shop.bytes().items()
    stamp = (shop.workspace.landed / "plan_lines" / f"known={AFTER_JUNE}.parquet").stat().st_mtime_ns
    assert shop.land(folder).reused
    assert (shop.workspace.landed / "plan_lines" / f"known={AFTER_JUNE}.parquet").stat().st_mtime_ns == stamp
