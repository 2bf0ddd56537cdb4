"""Signs of sales that were made: each is seen, and what is usual in a category is no sign."""

from typing import Any

import pytest

from ml.incubation.brushing import suspicions
from ml.incubation.policy import Policy
from tests.ml.incubation.scores import by_exposure, frame

USUAL = {"largest_buyer_share": 0.1, "largest_address_share": 0.1, "refunded_units_so_far": 2}
HONEST = [by_exposure(product_id=f"h{i}", **USUAL) for i in range(9)]


def told(*rows: dict[str, Any]) -> str:
    return str(suspicions(frame(*HONEST, *rows), Policy())[-1])


@pytest.mark.parametrize(
    ("sign", "sentence"),
    [
        ({"buyers_so_far": 8}, "8 buyers gave its 40 orders, where 40 are usual"),
        ({"largest_buyer_share": 0.6}, "one buyer took 60% of its 40 units"),
        ({"largest_address_share": 0.7}, "70% of its 40 units went to one address"),
        ({"refunded_units_so_far": 24}, "60% of its 40 units came back"),
        ({"largest_buyer_share": 0.6, "refunded_units_so_far": 24}, "units; 60% of its"),
    ],
)
def test_each_sign_is_told_in_plain_words(sign: dict[str, Any], sentence: str) -> None:
    assert sentence in told(by_exposure(**{"largest_buyer_share": 0.1} | sign))


def test_honest_launches_are_not_suspected() -> None:
    assert set(suspicions(frame(*HONEST), Policy())) == {""}


def test_a_few_orders_are_no_sign_of_anything() -> None:
    assert told(by_exposure(orders_so_far=9, units_so_far=9, buyers_so_far=1, largest_buyer_share=1.0)) == ""


def test_what_a_whole_category_does_is_usual() -> None:
    """Half of a grocer's orders come from the same households, and wholesalers buy by the pallet."""
    grocer = [by_exposure(product_id=f"g{i}", category="milk", buyers_so_far=12) for i in range(9)]
    wholesale = [by_exposure(product_id=f"w{i}", category="bulk", largest_buyer_share=0.6) for i in range(9)]
    assert set(suspicions(frame(*HONEST, *grocer, *wholesale), Policy())) == {""}


def test_a_product_that_thousands_come_back_for_is_not_brushed() -> None:
    assert told(by_exposure(orders_so_far=8000, units_so_far=9000, buyers_so_far=2400, largest_buyer_share=0.01)) == ""
    assert told(by_exposure(orders_so_far=80, units_so_far=90, buyers_so_far=30, largest_buyer_share=0.1)) == ""


def test_where_nobody_knows_who_buys_only_refunds_can_tell() -> None:
    unknown = {"buyers_so_far": None, "largest_buyer_share": None, "refunded_units_so_far": 30}
    anonymous = [row | unknown | {"refunded_units_so_far": 0} for row in HONEST]
    found = suspicions(frame(*anonymous, by_exposure(**unknown)), Policy())
    assert found[-1] == "75% of its 40 units came back"
    assert set(found[:-1]) == {""}


def test_a_frozen_launch_thaws_only_when_its_sign_is_well_below_the_line() -> None:
    sign = by_exposure(largest_buyer_share=0.5)
    assert told(sign) == ""
    assert told(sign | {"previous": "frozen"}) == "one buyer took 50% of its 40 units"
    assert told(sign | {"previous": "frozen", "largest_buyer_share": 0.4}) != ""
    assert told(sign | {"previous": "frozen", "largest_buyer_share": 0.2}) == ""


def test_who_was_cleared_by_somebody_is_not_suspected_again() -> None:
    suspect = by_exposure(largest_buyer_share=0.9, previous="frozen")
    rows = frame(*HONEST, suspect)
    assert suspicions(rows, Policy())[-1] != ""
    assert suspicions(rows, Policy(cleared=("p",)))[-1] == ""
