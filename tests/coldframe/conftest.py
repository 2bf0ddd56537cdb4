"""Small plans to keep in a ledger of the test's own."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from coldframe.ledger import Ledger, PlanDraft, PlanLine

LINE = PlanLine(
    region="north",
    category="tea",
    product_id="p1",
    title="Green tea",
    action="range",
    quantity=120,
    value=300.0,
    value_low=200.0,
    value_high=420.0,
    reason="sells steadily in 13 of 13 weeks",
    alternative="p2",
    binding_constraint="option count",
    details={"rank": 1},
)
DRAFT = PlanDraft(
    kind="assortment",
    source="shop",
    as_of=date(2017, 9, 30),
    season="2017-Q4",
    valid_from=date(2017, 10, 1),
    valid_until=date(2017, 12, 31),
    snapshot_id="2017-09-30-abc",
    release_ids={"forecasting": "r1"},
    parameters={"slots": 12, "objective": "gmv"},
    summary={"lines": 1},
    lines=(LINE,),
)


@pytest.fixture
def line() -> Callable[..., PlanLine]:
    """Makes a plan line with some values changed."""

    def make(**changes: Any) -> PlanLine:
        return replace(LINE, **changes)

    return make


@pytest.fixture
def draft() -> Callable[..., PlanDraft]:
    """Makes an assortment draft of source 'shop' for 2017-Q4 with some values changed."""

    def make(**changes: Any) -> PlanDraft:
        return replace(DRAFT, **changes)

    return make


@pytest.fixture
def ledger(installation: Callable[..., Path]) -> Ledger:
    installation()
    return Ledger.open()
