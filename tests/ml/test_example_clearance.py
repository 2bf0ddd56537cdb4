"""The decision that docs/add-a-decision.md walks through does what the page says."""

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pandas as pd

from coldframe.ledger import Ledger
from coldframe.paths import Workspace
from coldframe.run import Request
from tests.ml.example_clearance import Policy, Product, clearance, decide
from tests.ml.snapshots import write_snapshot

AS_OF = date(2024, 9, 29)


# --8<-- [start:test]
def test_what_lost_half_its_customers_is_cleared_with_a_reason() -> None:
    faded, steady = Product("faded", 1.0, 5.0, 2.0), Product("steady", 5.0, 5.0, 2.0)
    [line] = decide([faded, steady], Policy())
    assert (line.product_id, line.value) == ("faded", 8.0)
    assert line.reason == "sells 1.0 a week, less than 50% of the 5.0 before"


def test_a_product_that_never_sold_much_is_left_alone() -> None:
    assert decide([Product("rare", 0.0, 0.5, 2.0)], Policy()) == []


# --8<-- [end:test]
def test_the_step_drafts_a_plan_in_the_ledger(installation: Callable[..., Path]) -> None:
    place = Workspace(installation(), "shop")
    monday = AS_OF - timedelta(days=6)
    weekly = pd.DataFrame(
        [
            {"product_id": product, "week_start": monday - timedelta(weeks=back), "units": units, "gmv": units * 2.0}
            for back in range(17)
            for product, units in (("faded", 1 if back < 4 else 9), ("steady", 5))
        ]
    ).assign(days_elapsed=7)
    catalogue = pd.DataFrame({"product_id": ["faded", "steady"], "category": "tea", "title": ["Faded", "Steady"]})
    snapshot = write_snapshot(place.snapshots / "made", AS_OF, fct_product_week=weekly, dim_product=catalogue)
    place.current.symlink_to(snapshot.path)
    result = clearance(Request(source="shop", as_of=AS_OF))
    [plan] = Ledger.open().plans(kind="clearance")
    assert (plan.plan_id, plan.status) == (result.facts["plan_id"], "draft")
    assert [line.title for line in Ledger.open().lines(plan.plan_id)] == ["Faded"]
