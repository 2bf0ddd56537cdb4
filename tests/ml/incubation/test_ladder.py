"""The ladder: every rule seen at work, with its reason."""

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from ml.incubation.belief import rates
from ml.incubation.ladder import Staged, climb
from ml.incubation.policy import Policy
from tests.ml.incubation.scores import by_exposure, by_units, field, frame

POLICY = Policy()


def staged(*rows: dict[str, Any], policy: Policy = POLICY) -> Staged:
    launches = frame(*rows)
    return climb(launches, rates(launches), policy)


def units(chance: float, low: float, high: float, **named: Any) -> dict[str, Any]:
    return by_units(probability=chance, probability_low=low, probability_high=high, **named)


@pytest.mark.parametrize(
    ("case", "expected", "because"),
    [
        (units(0.7, 0.55, 0.8), "graduate", "lower bound"),
        (units(0.7, 0.45, 0.8), "incubate", "neither"),
        (units(0.7, 0.55, 0.8, previous=None), "incubate", "one step at a time"),
        (units(0.7, 0.55, 0.8, previous="seed"), "incubate", "one step at a time"),
        (units(0.7, 0.55, 0.8, buyers_so_far=4), "seed", "4 buyers"),
        (units(0.7, 0.55, 0.8, age_weeks=1, age_days=10), "seed", "in 10 days;"),
        (units(0.005, 0.001, 0.01), "retire", "upper bound"),
        (units(0.005, 0.001, 0.03), "incubate", "neither"),
        (units(0.005, 0.001, 0.01, age_weeks=4), "incubate", "too early"),
        (units(0.005, 0.001, 0.01, buyers_so_far=0), "seed", "undecided"),
        (units(0.01, 0.0, 0.02, previous="graduate"), "graduate", "graduated before"),
        (units(0.01, 0.0, 0.03, previous="retire"), "retire", "has not come back"),
        (units(0.1, 0.05, 0.2, previous="retire"), "incubate", "has come back"),
        (units(0.1, 0.05, 0.2, previous=None, gmv_so_far=120.0), "graduate", "top tenth"),
        (units(0.1, 0.05, 0.2, previous=None, gmv_so_far=99.0), "incubate", "neither"),
        (units(0.1, 0.05, 0.2, gmv_so_far=120.0, buyers_so_far=1, orders_so_far=1), "seed", "1 buyer in"),
        (units(0.1, 0.05, 0.2, gmv_so_far=120.0, bestseller_gmv=None), "incubate", "neither"),
        (units(0.1, 0.05, 0.2, gmv_so_far=0.0, bestseller_gmv=0.0), "incubate", "neither"),
    ],
)
def test_a_launch_is_staged_with_a_reason(case: dict[str, Any], expected: str, because: str) -> None:
    found = staged(case)
    assert found.stage[0] == expected
    assert because in found.reason[0]


def test_without_any_buyer_a_launch_is_undecided_however_old_it_is() -> None:
    assert staged(units(0.001, 0, 0.002, buyers_so_far=0, age_weeks=20)).stage[0] == "seed"


def test_where_nobody_knows_who_buys_units_are_the_evidence() -> None:
    found = staged(units(0.1, 0.05, 0.2, buyers_so_far=None, units_so_far=4))
    assert found.reason[0] == "undecided: 4 units in 8 weeks; deciding takes 5 units and 2 weeks"
    assert staged(units(0.1, 0.05, 0.2, buyers_so_far=None, units_so_far=5)).stage[0] == "incubate"


def test_a_launch_that_was_never_shown_is_undecided_and_has_not_failed() -> None:
    never = by_exposure(impressions_so_far=0, orders_so_far=0, buyers_so_far=0, age_weeks=20, probability_high=0.06)
    found = staged(*field(), never)
    assert found.stage[-1] == "seed"
    assert found.reason[-1] == "undecided: shown 0 times in 20 weeks; deciding takes 200 impressions and 2 weeks"


def test_what_sold_because_it_was_pushed_does_not_graduate() -> None:
    pushed = by_exposure(
        impressions_so_far=20_000, orders_so_far=400, buyers_so_far=400, gmv_so_far=400.0, probability_low=0.6
    )
    earned = pushed | {"impressions_so_far": 5_000}
    found = staged(*field(), pushed | {"probability": 0.7, "probability_high": 0.8}, earned | {"product_id": "earned"})
    assert list(found.stage[-2:]) == ["incubate", "graduate"]
    assert found.reason[-2].startswith(
        "it sold 400, but was shown 10.0 times as often as launches of its category usually are; its GMV of 20.00 per "
        "1,000 impressions (20.0 orders) reaches a bestseller's ("
    )
    assert "with probability 100%" in found.reason[-1]


def test_a_launch_is_let_go_when_more_evidence_could_not_change_the_decision() -> None:
    poor = by_exposure(impressions_so_far=5_000, orders_so_far=50, buyers_so_far=50)
    found = staged(*field(), poor)
    assert found.stage[-1] == "retire"
    assert "its GMV of 10.20 per 1,000 impressions (10.2 orders) is below a bestseller's (" in found.reason[-1]
    assert "another 1,000 would cost more than what they may still change is worth" in found.reason[-1]
    assert found.worth[-1] < 1


def test_what_was_let_go_for_its_rate_does_not_come_back_the_next_day() -> None:
    poor = by_exposure(impressions_so_far=5_000, orders_so_far=50, buyers_so_far=50, previous="retire")
    found = staged(*field(), poor)
    assert found.stage[-1] == "retire"
    assert found.reason[-1] == "retired before, and another 1,000 impressions would still tell little"
    loved = staged(*field(), poor | {"orders_so_far": 300, "units_so_far": 300, "buyers_so_far": 300})
    assert loved.stage[-1] == "incubate"


def test_a_launch_that_is_dear_needs_fewer_orders() -> None:
    poor = by_exposure(impressions_so_far=5_000, orders_so_far=50, buyers_so_far=50)
    found = staged(*field(), poor, poor | {"product_id": "dear", "gmv_per_unit": 5.0})
    assert list(found.stage[-2:]) == ["retire", "incubate"]


def test_what_sold_like_a_bestseller_graduates_unless_it_was_shown_far_more_than_others() -> None:
    sold = {"orders_so_far": 150, "buyers_so_far": 150, "gmv_so_far": 150.0, "bestseller_gmv": 140.0}
    usual = [row | {"bestseller_gmv": 140.0} for row in field(rate=0.05)]
    often = by_exposure(product_id="often", impressions_so_far=5_800, **sold)
    pushed = by_exposure(product_id="pushed", impressions_so_far=6_100, **sold)
    found = staged(*usual, often, pushed)
    assert list(found.stage[-2:]) == ["graduate", "retire"]
    assert found.reason[-2].endswith("was shown 2.9 times as often as launches of its category usually are")


def test_a_chance_alone_does_not_do_where_impressions_say_otherwise() -> None:
    sure = by_exposure(probability=0.7, probability_low=0.6, probability_high=0.8)
    found = staged(*field(), sure)
    assert found.stage[-1] == "incubate"
    assert found.reason[-1].startswith(
        "its chance (60.0% – 80.0%) would be enough to graduate; its GMV of 20.00 per 1,0"
    )


def test_what_was_sold_in_a_longer_life_counts_as_far_as_eighteen_weeks_of_it() -> None:
    sold = units(0.1, 0.05, 0.2, gmv_so_far=110.0)
    assert list(staged(sold).stage) == ["graduate"]
    assert list(staged(sold | {"age_days": 180, "age_weeks": 25}).stage) == ["incubate"]


def test_what_is_on_pace_without_being_pushed_is_not_let_go_for_its_rate() -> None:
    slow = {"impressions_so_far": 3_000, "orders_so_far": 60, "buyers_so_far": 60, "gmv_so_far": 60.0}
    usual = [row | {"bestseller_gmv": 130.0} for row in field(rate=0.06)]
    found = staged(*usual, by_exposure(product_id="on pace", bestseller_gmv=130.0, **slow))
    assert found.stage[-1] == "incubate"
    assert staged(*usual, by_exposure(bestseller_gmv=140.0, **slow)).stage[-1] == "retire"
    back = staged(*usual, by_exposure(product_id="on pace", bestseller_gmv=130.0, previous="retire", **slow))
    assert back.reason[-1].startswith("retired before, but on pace for as much as its category's top tenth sells, and")


def test_what_sells_like_a_bestseller_and_is_shown_as_usual_is_one_however_well_others_do() -> None:
    good = by_exposure(impressions_so_far=2_000, orders_so_far=80, buyers_so_far=80, gmv_so_far=110.0)
    assert staged(*field(rate=0.06), good).stage[-1] == "graduate"
    assert staged(*field(rate=0.06), good | {"impressions_so_far": 20_000}).stage[-1] == "retire"


def test_so_does_one_that_is_bought_by_the_dozen() -> None:
    poor = by_exposure(impressions_so_far=5_000, orders_so_far=50, buyers_so_far=50)
    found = staged(*field(), poor, poor | {"product_id": "dozens", "units_so_far": 600})
    assert list(found.stage[-2:]) == ["retire", "incubate"]


def test_launches_of_a_small_category_are_held_against_the_shop_by_what_bestsellers_of_each_sell() -> None:
    poor = by_exposure(category="jewels", impressions_so_far=5_000, orders_so_far=50, buyers_so_far=50)
    dear = poor | {"gmv_per_unit": 500.0, "bestseller_gmv": 100.0}
    usual = poor | {"gmv_per_unit": 500.0, "bestseller_gmv": 50_000.0, "product_id": "usual"}
    assert list(staged(*field(), usual, dear).stage[-2:]) == ["retire", "incubate"]


def test_what_was_listed_anew_is_decided_on_under_its_newest_id_only() -> None:
    sold = units(0.9, 0.8, 0.95, gmv_so_far=500.0)
    again = sold | {"product_id": "again", "relisted_of": "p", "listed_on": pd.Timestamp("2024-06-03")}
    newest = again | {"product_id": "newest", "listed_on": pd.Timestamp("2024-06-10")}
    found = staged(sold, newest, again)
    assert list(found.stage) == ["retire", "graduate", "retire"]
    assert found.reason[0] == "listed anew as newest, for which its sales count and which is decided on instead"


def test_a_launch_whose_rate_is_high_is_not_let_go_whatever_the_launch_model_says() -> None:
    loved = by_exposure(
        orders_so_far=100, buyers_so_far=100, probability=0.001, probability_low=0, probability_high=0.005
    )
    assert staged(*field(), loved).stage[-1] == "incubate"


def test_it_is_not_let_go_while_a_look_is_worth_its_impressions() -> None:
    near = by_exposure(impressions_so_far=1_200, orders_so_far=38, buyers_so_far=38, bestseller_gmv=200.0)
    found = staged(*field(bestseller_gmv=200.0), near)
    assert found.stage[-1] == "incubate"
    assert found.worth[-1] > 1


def test_nor_before_it_was_shown_often_enough() -> None:
    early = by_exposure(impressions_so_far=900, orders_so_far=0, buyers_so_far=0)
    assert staged(*field(), early).stage[-1] == "incubate"


def test_what_is_frozen_says_why_and_is_frozen_from_any_stage() -> None:
    brushed = by_exposure(largest_buyer_share=0.9, previous="graduate")
    found = staged(*field(largest_buyer_share=0.1), brushed)
    assert found.stage[-1] == "frozen"
    until = "until somebody clears it (`cleared` in the policy) or the sign is gone"
    assert found.reason[-1] == f"frozen {until}: one buyer took 90% of its 40 units"
    assert found.to_graduate[-1] == ""


def test_a_launch_that_thaws_begins_again_from_its_evidence() -> None:
    thawed = units(0.7, 0.55, 0.8, previous="frozen")
    assert staged(thawed).stage[0] == "incubate"


@pytest.mark.parametrize(
    ("case", "takes"),
    [
        (units(0.1, 0.05, 0.2, buyers_so_far=3, age_weeks=1), "1 more week, 2 more buyers and either 80 more"),
        (units(0.1, 0.05, 0.2, bestseller_gmv=None), "a lower bound of 50% (now 5.0%)"),
        (units(0.7, 0.55, 0.8, previous="seed"), "one more day like this"),
        (units(0.7, 0.55, 0.8), ""),
        (units(0.005, 0.001, 0.01), ""),
    ],
)
def test_a_launch_says_what_it_would_take_to_graduate(case: dict[str, Any], takes: str) -> None:
    assert staged(case).to_graduate[0].startswith(takes)
    assert bool(staged(case).to_graduate[0]) == bool(takes)


def test_what_it_would_take_is_enough_and_one_order_less_is_not() -> None:
    near = by_exposure(probability=0.7, probability_low=0.6, probability_high=0.8)
    found = staged(*field(), near)
    needed = int(found.to_graduate[-1].split(" or ")[1].split(" order")[0])
    assert found.to_graduate[-1] == f"either 80 more GMV or {needed} orders in the next 1,000 impressions"

    def after(orders: int) -> str:
        more = {"impressions_so_far": 3000, "orders_so_far": 40 + orders, "buyers_so_far": 40 + orders}
        launches = frame(*field(), near | more)
        # The line moves with the field; what it would take is told by today's.
        now = replace(rates(launches), line=rates(frame(*field(), near)).line)
        return str(climb(launches, now, POLICY).stage[-1])

    assert (after(needed), after(needed - 1)) == ("graduate", "incubate")
