"""A plan: depths, days and reasons of its lines, notes of what it rests on, and the same question asked again."""

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from coldframe.errors import ConfigurationError, NotAvailableError
from coldframe.ledger import Ledger, PlanDraft
from coldframe.paths import workspace
from coldframe.run import Request, find_service
from coldframe.seasons import Season
from ml.assortment import saved
from ml.assortment.decide import InfeasibleError
from ml.assortment.plan import Inputs, Planned, Terms, decide_cells, plan
from ml.assortment.scenarios import Errors

AS_OF = date(2024, 9, 29)
SEASON = Season("2024-Q4", date(2024, 10, 1), date(2024, 12, 31))


def rows(category: str, *values: float, region: str = "north") -> pd.DataFrame:
    """Products named by category and rank that each sell 10 units at a tenth of these values."""
    n = len(values)
    return pd.DataFrame(
        {
            "region": region,
            "category": category,
            "product_id": [f"{category}{i}" for i in range(n)],
            "merchant_id": "m",
            "title": [f"{category.title()} {i}" for i in range(n)],
            "brand": "b",
            "subcategory": None,
            "merchant_tier": None,
            "price_band": "low",
            "is_new": False,
            "current": True,
            "units": 10.0,
            "q10": 4.0,
            "q50": 9.0,
            "q80": 14.0,
            "q90": 18.0,
            "per_unit": [v / 10 for v in values],
            "price": [abs(v) / 10 for v in values],
            "unit_cost": float("nan"),
            "usual_margin": False,
            "units_13w": 10,
            "units_last_year": float("nan"),
            "model": "hgb",
            "on_shelf_from": SEASON.first_day,
            "on_shelf_until": SEASON.last_day,
            "season_index": float("nan"),
            "trend": float("nan"),
            "trend_q": float("nan"),
            "p_growth": float("nan"),
            "buy_probability": float("nan"),
            "dissimilarity": float("nan"),
            "buy_probability_se": 0.0,
            "dissimilarity_se": 0.0,
            "substitution": None,
        }
    )


def inputs(*frames: pd.DataFrame) -> Inputs:
    return Inputs(pd.concat(frames, ignore_index=True), SEASON, Errors(0.1, 0.1), ("read as it was",))


def terms(**more: Any) -> Terms:
    asked = {"source": "files", "as_of": AS_OF, "slots": 2, "new_product_share": 0, "recapture": 0} | more
    return Terms.of(Request.model_validate(asked))


def planned(given: Inputs, asked: Terms) -> Planned:
    return plan(given, asked, decide_cells(given, asked))


def test_a_line_says_its_place_its_depth_and_the_best_left_out() -> None:
    line = planned(inputs(rows("tea", 100, 80, 60)), terms()).lines[0]
    assert (line.product_id, line.quantity, line.value, line.value_low, line.value_high) == ("tea0", 14, 100, 40, 180)
    assert line.reason.startswith("1st of 3 by expected GMV 100 (40 – 180); sold 10 units in 13 weeks")
    assert (line.alternative, line.binding_constraint) == ("Tea 2 (60)", "slots")
    assert line.details["slot_worth"] == 60
    assert 0.8 < line.details["fill_rate"] < 1
    assert (line.details["on_shelf_from"], line.details["shelf"]) == ("2024-10-01", "whole season")


def test_what_is_left_out_lifts_those_ranged_and_their_depth() -> None:
    learned = {"buy_probability": 0.5, "dissimilarity": 1.0, "substitution": "fitted"}
    line = planned(inputs(rows("tea", 100, 80, 60).assign(**learned)), terms()).lines[0]
    lift = 1 / (0.5 + 0.5 * 2 / 3)
    assert line.value == pytest.approx(100 * lift, abs=0.01)
    assert line.quantity == pytest.approx(14 * lift, abs=1)
    assert (line.details["expected_units"], line.details["forecast_units"]) == (12, 10)
    assert "20% more than its forecast, won from what is left out" in line.reason


def test_the_reasons_tell_of_season_trend_days_and_rules() -> None:
    tea = rows("tea", 100, 80, 60).assign(units_13w=[2, 10, 10], is_new=[False, False, True])
    tea.loc[0, "season_index"] = 3.4
    tea.loc[0, ["trend", "trend_q", "p_growth"]] = 1.6, 0.02, 0.93
    tea["on_shelf_from"] = [date(2024, 11, 4), SEASON.first_day, SEASON.first_day]
    lines = planned(inputs(tea), terms(new_product_share=0.5, recapture=0.2)).lines
    assert "the season sells 4.9 times its recent pace" in lines[0].reason
    rising = "rising, the last four weeks at 1.6 times what was to be expected (chance that it grew by a fifth 93%)"
    assert rising in lines[0].reason
    assert "in this season its kind takes 3.4 times its usual share" in lines[0].reason
    assert "worth its place from 2024-11-04 to 2024-12-31" in lines[0].reason
    assert lines[0].details["shelf"] == "late"
    assert lines[1].reason.startswith(
        "new-product quota, in place of Tea 1 (80), of whose demand the others keep 20%: 3rd of 3"
    )


def test_a_budget_is_shared_by_all_cells_and_says_what_more_of_it_would_bring() -> None:
    given = inputs(rows("tea", 100, 80), rows("cups", 300, 200))
    free, tight = planned(given, terms()), planned(given, terms(budget=400))
    assert free.summary["worth_of_money"] == 0 < tight.summary["worth_of_money"]
    assert tight.summary["stock_money"] <= 400 < free.summary["stock_money"]
    assert tight.summary["fill_rate"] < free.summary["fill_rate"]
    assert [line.product_id for line in tight.lines] == [line.product_id for line in free.lines]
    assert any("4 of 4 candidates have no unit_cost: their depth covers demand" in note for note in tight.notes)


def test_a_plan_says_what_it_rests_on() -> None:
    tea = rows("tea", 100, -80, 60).assign(usual_margin=[False, False, True], unit_cost=[6.0, 16.0, float("nan")])
    notes = planned(inputs(tea), terms(slots=3)).notes
    for told in (
        "read as it was",
        "1 cells range fewer than 3 products, for want of candidates that bring anything: north / tea (2)",
        "1 candidates lose money on every unit and are not ranged: Tea 1",
        "1 of 3 candidates have no unit_cost: they are valued at the usual margin of the rest, their depth covers "
        "demand with a probability of 80% (service_level), and their stock is counted at the usual cost of the rest",
        "in 1 of 1 cells nobody knows what buyers take instead",
    ):
        assert any(told in note for note in notes), told
    kept = planned(inputs(tea), terms(slots=3, must_keep=["tea1"])).lines[-1]
    assert "a unit costs 16.00 and brings 8.00, so it loses money on every one" in kept.reason
    assert kept.quantity == 1
    assert kept.value_low <= kept.value == -80 <= kept.value_high


def test_what_sold_in_the_same_season_last_year_is_told_where_it_is_known() -> None:
    tea = rows("tea", 100, 80, 60).assign(units_last_year=[312.0, 0.0, float("nan")])
    lines = planned(inputs(tea), terms(slots=3)).lines
    assert [line.details["units_last_year"] for line in lines] == [312, 0, None]
    assert "sold 10 units in 13 weeks and 312 in the same season last year;" in lines[0].reason
    assert "and 0 in the same season last year;" in lines[1].reason
    assert "last year" not in lines[2].reason


def test_a_line_whose_depth_serves_little_of_its_demand_says_so() -> None:
    rare = {"units": 2.0, "q10": 0.0, "q50": 0.0, "q80": 0.0, "q90": 1.0}
    lines = planned(inputs(rows("tea", 100, 80).assign(**rare), rows("cups", 300)), terms()).lines
    assert "held" not in lines[0].reason
    assert lines[1].quantity == 1
    served = f"one unit is held, which serves {lines[1].details['fill_rate']:.0%} of the 2.0 expected"
    assert f"{served}: another would not pay" in lines[1].reason


def test_values_above_what_the_back_test_saw_are_noted() -> None:
    odd = planned(inputs(rows("tea", 100, 80, 60).assign(units=20.0)), terms()).notes
    assert any(note.startswith("2 of 2 lines are expected to sell more than lines like them did") for note in odd)


def test_substitution_that_was_learned_is_used_and_not_noted_as_assumed() -> None:
    learned = {"buy_probability": 0.5, "dissimilarity": 1.0, "substitution": "fitted"}
    errors = {"buy_probability_se": 0.03, "dissimilarity_se": 0.08}
    found = planned(inputs(rows("tea", 100, 80, 60).assign(**learned, **errors)), terms())
    assert found.lines[0].details["recapture"] == 0.5
    off = 1.2816 * (0.03**2 + (0.5 * 0.08) ** 2) ** 0.5
    assert found.summary["recapture"] == {"north / tea": pytest.approx([0.5, 0.5 - off, 0.5 + off], abs=1e-4)}
    assert found.lines[0].details["recapture_low"] == pytest.approx(0.5 - off, abs=1e-4)
    assert found.summary["substitution"] == {"fitted": 1}
    assert not any("nobody knows" in note for note in found.notes)


def test_rules_that_cannot_be_kept_are_told_of_all_cells_at_once(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text("quotas: [{attribute: brand, value: b, at_least: 3}]")
    given = inputs(rows("tea", 100, 80), rows("cups", 300, 200), rows("rice", 300, 200, 100))
    with pytest.raises(InfeasibleError) as refused:
        decide_cells(given, terms(rules=tmp_path / "rules.yaml", slots=3))
    assert refused.value.rules == ("quota of brand b",)
    assert [line.partition(":")[0] for line in str(refused.value).splitlines()] == ["north / cups", "north / tea"]


def test_a_service_level_no_forecast_knows_is_refused() -> None:
    with pytest.raises(
        ConfigurationError, match=r"service_level 0\.95 lies outside what the forecast knows: 0\.1 to 0\.9"
    ):
        terms(service_level=0.95)


def test_the_same_inputs_and_terms_make_the_same_plan() -> None:
    given = inputs(rows("tea", 100, 80, 80, 60), rows("cups", 300, 200))
    assert planned(given, terms()) == planned(given, terms())


def test_what_a_plan_was_decided_by_is_read_back_as_it_was(tmp_path: Path) -> None:
    given = inputs(rows("tea", 100, 80, 60), rows("cups", 300, 200))
    decided = decide_cells(given, terms())
    saved.save(tmp_path, given, decided)
    found, again = saved.load(tmp_path)
    assert again == decided
    assert plan(found, terms(), again) == plan(given, terms(), decided)
    given.candidates.drop(columns="units_last_year").to_parquet(tmp_path / saved.CANDIDATES)
    with pytest.raises(NotAvailableError, match="of an earlier version"):
        saved.load(tmp_path)
    (tmp_path / saved.DECIDED).unlink()
    with pytest.raises(NotAvailableError, match="does not hold what the plan was decided by"):
        saved.load(tmp_path)


@pytest.fixture
def plan_id(installation: Any) -> str:
    """A draft of the ledger with two slots of three teas and two cups."""
    installation()
    given, asked = inputs(rows("tea", 100, 80, 60), rows("cups", 300, 200)), terms()
    decided = decide_cells(given, asked)
    made = plan(given, asked, decided)
    head = {"kind": "assortment", "source": "files", "as_of": AS_OF, "season": SEASON.name, "snapshot_id": "s"}
    head |= {"valid_from": SEASON.first_day, "valid_until": SEASON.last_day, "release_ids": {}}
    parameters = json.loads(asked.model_dump_json())
    saved_plan = Ledger.open().save_plan(
        PlanDraft(**head, parameters=parameters, summary=made.summary, lines=made.lines)  # type: ignore[arg-type]
    )
    folder = workspace("files").plans / saved_plan.plan_id
    folder.mkdir(parents=True)
    saved.save(folder, given, decided)
    return saved_plan.plan_id


def changes(done: dict[str, Any]) -> list[tuple[str, str]]:
    return [(row["change"], row["product_id"]) for row in done["rows"]]


def test_what_if_a_product_is_pinned_or_dropped_is_told_line_by_line(plan_id: str) -> None:
    what_if = find_service("what_if_assortment")
    pinned = what_if(plan_id, keep=["tea2"])
    assert changes(pinned) == [("removed", "tea1"), ("added", "tea2")]
    assert pinned["after"]["value"] - pinned["before"]["value"] == pytest.approx(-20)
    assert "must-keep, in place of Tea 1 (80)" in pinned["rows"][1]["reason"]
    dropped = what_if(plan_id, drop=["tea0"])
    assert changes(dropped) == [("removed", "tea0"), ("added", "tea2")]
    assert dropped["unchanged"] == 4, "three lines stay, and one says what is dropped"


def test_what_if_there_were_other_slots_or_another_budget(plan_id: str) -> None:
    what_if = find_service("what_if_assortment")
    assert changes(what_if(plan_id, slots=3)) == [("added", "tea2")]
    assert {change for change, _ in changes(what_if(plan_id, budget=400.0))} == {"changed"}


def test_a_what_if_that_cannot_be_answered_says_why(plan_id: str) -> None:
    what_if = find_service("what_if_assortment")
    with pytest.raises(ConfigurationError, match="1 products are no candidates of the plan: nosuch"):
        what_if(plan_id, keep=["nosuch"])
    with pytest.raises(ConfigurationError, match="Nothing differs from the plan"):
        what_if(plan_id)
    with pytest.raises(ConfigurationError, match="both name tea0"):
        what_if(plan_id, keep=["tea0"], drop=["tea0"])


def test_a_pinned_product_is_no_longer_dropped() -> None:
    given, asked = inputs(rows("tea", 100, 80)), terms(must_drop=["tea0"])
    lines = planned(given, asked).lines
    assert [(line.product_id, line.action) for line in lines] == [("tea1", "range"), ("tea0", "drop")]
    assert lines[-1].reason.startswith("must-drop: expected GMV 100 is given up")
    assert replace(given, notes=()).notes == ()
