"""The lines of a plan: one a launch, with its stage, its impressions and all that is needed to replay them."""

from typing import Any

import pandas as pd
import pytest

from coldframe.errors import BadInputError
from coldframe.plans import lines_table
from ml.growth.scores import COLUMNS
from ml.incubation.exposure import Surfaces
from ml.incubation.plan import NEEDED, Planned, check, plan
from ml.incubation.policy import Policy
from tests.ml.incubation.scores import by_exposure, by_units, field, frame

QUICK = Policy(draws=20)
SURFACES = Surfaces((("app", "north"), ("web", "south")), pd.DataFrame([[0.75, 0.25]], index=["tea"], columns=range(2)))


SEEN_LITTLE = field(0.005, impressions_so_far=500)
LET_GO = by_exposure(product_id="f001", probability=0.01, probability_low=0.0, probability_high=0.03)


def planned(
    *rows: dict[str, Any],
    before: dict[str, str] | None = None,
    surfaces: Surfaces | None = None,
    policy: Policy = QUICK,
) -> Planned:
    scores = frame(*rows).drop(columns=["previous", "stage"])
    return plan(scores, before or {}, surfaces, 1000, policy, seed=1)


def test_every_live_launch_has_a_line_with_its_impressions_and_propensities_by_surface() -> None:
    rows = [row if row["product_id"] != "f001" else LET_GO for row in SEEN_LITTLE]
    before = {row["product_id"]: "incubate" for row in rows} | {"f001": "retire", "old": "retire"}
    found = planned(*rows, before=before, surfaces=SURFACES)
    assert [line.product_id for line in found.lines] == [row["product_id"] for row in rows]
    assert sum(line.details["propensity"] for line in found.lines) == pytest.approx(1)
    for line in found.lines:
        given, chance = line.details["impressions_by"], line.details["propensity_by"]
        assert given["app"]["north"] + given["web"]["south"] == line.details["impressions"]
        assert chance["app"]["north"] == pytest.approx(3 * chance["web"]["south"])
        assert (line.details["propensity"] > 0) == (line.action in ("seed", "incubate"))
        assert line.quantity == line.details["impressions"] / 1000
    assert found.lines[1].action == "retire"
    assert found.summary["impressions"] == 1000
    assert (found.summary["new"], found.summary["left"]) == (0, 1)
    assert found.notes == ()


def test_a_manager_reads_how_many_moved_from_where_to_where() -> None:
    found = planned(
        by_units(product_id="a", probability=0.7, probability_low=0.6, probability_high=0.8),
        by_units(product_id="b", probability=0.001, probability_low=0.0, probability_high=0.002),
        by_units(product_id="c"),
        by_units(product_id="d"),
        before={"a": "incubate", "b": "incubate", "c": "seed"},
    )
    assert found.summary["stages"] == {"incubate": 2, "graduate": 1, "retire": 1}
    moves = {"incubate -> graduate": 1, "incubate -> retire": 1, "seed -> incubate": 1}
    assert (found.summary["moves"], found.summary["new"]) == (moves, 1)


def test_a_source_without_exposure_says_so_on_every_line_and_has_one_surface() -> None:
    found = planned(by_units(product_id="a"), by_units(product_id="b"))
    assert all(line.details["evidence"] == "units" for line in found.lines)
    assert all(list(line.details["impressions_by"]) == ["all"] for line in found.lines)
    assert found.notes[0].startswith("judged by units and buyers, because the source counts no impressions: 2 of 2")


def test_a_guarantee_of_a_tier_that_no_merchant_has_is_told() -> None:
    found = planned(by_units(merchant_tier="gold"), policy=Policy(guarantees={"glod": 10, "gold": 1, "*": 1}))
    told = "nobody gets what is guaranteed to tier glod: the merchants of the live launches are of tier gold"
    assert told in found.notes


def test_a_relisted_product_takes_the_stage_of_the_one_it_duplicates() -> None:
    again = by_units(product_id="again", relisted_of="gone", probability_high=0.03, probability=0.01, probability_low=0)
    found = planned(again, before={"gone": "retire"})
    assert found.lines[0].action == "retire"
    told = "listed anew under another id: 1 of 1 launches; they take the stage of the listing before, which is let go"
    assert told in found.notes
    assert planned(again, before={"gone": "retire", "again": "incubate"}).lines[0].action == "incubate"


def test_a_third_listing_takes_the_stage_of_the_second() -> None:
    first = by_units(product_id="first")
    second = first | {"product_id": "second", "relisted_of": "first", "listed_on": pd.Timestamp("2024-06-03")}
    third = second | {"product_id": "third", "listed_on": pd.Timestamp("2024-06-10")}
    found = planned(third, second, first, before={"first": "retire", "second": "graduate"})
    assert [line.action for line in found.lines] == ["graduate", "retire", "retire"]


def test_the_plan_as_a_table_has_a_column_for_each_surface() -> None:
    table = lines_table(planned(*SEEN_LITTLE, surfaces=SURFACES).lines)
    assert {"impressions_by.app.north", "impressions_by.web.south", "propensity_by.app.north"} <= set(table)
    assert table["impressions_by.app.north"].sum() + table["impressions_by.web.south"].sum() == 1000


def test_the_same_scores_give_the_same_lines() -> None:
    assert planned(*SEEN_LITTLE, surfaces=SURFACES) == planned(*SEEN_LITTLE, surfaces=SURFACES)


def test_without_launches_the_plan_is_empty() -> None:
    found = plan(frame(by_units()).iloc[:0], {"p": "seed"}, None, 1000, QUICK, seed=1)
    assert (found.lines, found.summary["stages"], found.summary["left"]) == ((), {}, 1)


def test_what_is_needed_of_the_scores_is_published() -> None:
    assert set(NEEDED) <= set(COLUMNS)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"probability": 1.2}, r"probability: outside its bounds, .* \(1 of 2 rows, the first broken\)"),
        ({"probability": None}, "probability: outside its bounds"),
        ({"probability_low": 0.5}, "probability: outside its bounds"),
        ({"evidence": "guess"}, "evidence: neither exposure nor units"),
        ({"rate_mean": None}, "rate_mean, rate_strength: missing"),
        ({"rate_strength": 0}, "rate_mean, rate_strength: missing or not above 0"),
        ({"impressions_so_far": None}, "impressions_so_far: missing"),
        ({"orders_so_far": -1}, "counts: below 0"),
        ({"gmv_per_unit": None}, "gmv_per_unit: missing"),
        ({"product_id": "ok"}, "product_id: named twice"),
    ],
)
def test_scores_that_do_not_fit_are_refused_with_column_and_count(broken: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        check(frame(by_exposure(product_id="ok"), by_exposure(**{"product_id": "broken"} | broken)))


def test_scores_of_an_older_release_are_refused_with_what_to_do() -> None:
    with pytest.raises(BadInputError, match=r"has no relisted_of: .*`coldframe train growth` again"):
        check(frame(by_units()).drop(columns=["relisted_of"]))
