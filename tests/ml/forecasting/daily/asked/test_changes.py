"""What changed: children's differences add up to the total's to the last digit, beside what sold meanwhile."""

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from coldframe.errors import ConfigurationError, NotAvailableError
from coldframe.paths import Workspace
from ml.forecasting.daily.asked.changes import changes
from ml.forecasting.daily.panel import DailyPanel
from tests.ml.forecasting.daily.conftest import FIRST, make_panel, publish_shop
from tests.ml.forecasting.daily.released import release_of

DAYS, HORIZON, LATER = 100, 14, 7
AS_OF = FIRST + timedelta(days=DAYS - 1)
NEXT = AS_OF + timedelta(days=LATER)


@pytest.fixture(scope="module")
def doubled() -> DailyPanel:
    """In the last week everything in the south doubled; one product is sold from then on only."""
    units = make_panel(8, days=DAYS + LATER).units
    units[1::2, DAYS:] *= 2
    units[4, :DAYS] = 0
    return make_panel(8, units=units)


@pytest.fixture
def corner(shop: Callable[[date, DailyPanel], Workspace], doubled: DailyPanel) -> Workspace:
    """Two vintages, a week apart."""
    before = doubled.until(DAYS)
    workspace = shop(AS_OF, before)
    release_of(workspace, AS_OF, before, HORIZON, None)
    publish_shop(workspace, NEXT, doubled)
    release_of(workspace, NEXT, doubled, HORIZON, None)
    return workspace


def ask(**asked: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"source": None, "as_of": NEXT, "since": None, "level": "total", "node": None}
    return changes(**given | {"by": "category_region", "out": None} | asked)


def test_children_add_up_to_the_total_to_the_last_digit(corner: Workspace) -> None:
    for by in ("category_region", "subcategory_region", "product_region", "region"):
        told = ask(by=by)
        for name in ("old", "new", "difference", "expected", "came", "surprise"):
            assert sum(child[name] for child in told["children"]) == told["total"][name]
            assert isinstance(told["total"][name], Decimal)
        assert sum(child["share"] for child in told["children"]) == pytest.approx(1)
        sizes = [abs(child["difference"]) for child in told["children"]]
        assert sizes == sorted(sizes, reverse=True)


def test_sums_are_over_the_days_both_vintages_have(corner: Workspace, doubled: DailyPanel) -> None:
    told = ask(by="region")
    assert (told["since"], told["first"], told["last"]) == (AS_OF, NEXT + timedelta(days=1), AS_OF + timedelta(days=14))
    old = doubled.units[:, DAYS - 28 : DAYS].mean(axis=1) * LATER
    new = doubled.units[:, DAYS + LATER - 28 :].mean(axis=1) * LATER
    south = {child["region"]: child for child in told["children"]}["south"]
    assert float(south["old"]) == pytest.approx(old[1::2].sum(), abs=1e-3)
    assert float(south["difference"]) == pytest.approx((new - old)[1::2].sum(), abs=1e-3)
    assert told["children"][0] is south

    # And the surprise is what sold in between, beside what was expected.
    assert south["came"] == int(doubled.units[1::2, DAYS:].sum())
    assert float(south["surprise"] / south["expected"]) == pytest.approx(1, abs=0.2)
    assert "Since then" in told["words"][1]


def test_the_children_of_a_node_are_its_own(corner: Workspace) -> None:
    told = ask(level="category", node="c1", by="subcategory_region")
    assert {child["category"] for child in told["children"]} == {"c1"}
    assert {child["name"] for child in told["children"]} == {
        f"s{n}, {side}" for n in (1, 3) for side in ("north", "south")
    }
    assert told["name"] == "c1"


def test_the_picture_of_many_children_is_a_png_of_sane_size(corner: Workspace, tmp_path: Path) -> None:
    ask(by="product_region", out=tmp_path / "changes.png")
    height, width, _ = imread(tmp_path / "changes.png").shape
    assert 1000 < width < 2000
    assert 500 < height < 2000


def test_what_cannot_be_compared_is_refused(corner: Workspace) -> None:
    refused: list[tuple[dict[str, Any], str]] = [
        ({"level": "region"}, "Level region has 2 nodes: say which with --node"),
        ({"level": "region", "node": "nroth"}, "no node 'nroth'. Did you mean north"),
        ({"level": "region", "node": "north", "by": "category"}, "--by can be: .*category_region"),
        ({"since": NEXT}, "which is not before --as-of"),
        ({"by": "shelf"}, "no level 'shelf'"),
    ]
    for asked, message in refused:
        with pytest.raises(ConfigurationError, match=message):
            ask(**asked)
    with pytest.raises(NotAvailableError, match=f"no daily forecast made before {AS_OF}"):
        ask(as_of=AS_OF)


def test_vintages_without_a_day_in_common_are_refused(corner: Workspace, doubled: DailyPanel) -> None:
    far = make_panel(8, units=np.tile(doubled.units[:, :70], 2))
    last = FIRST + timedelta(days=139)
    publish_shop(corner, last, far)
    release_of(corner, last, far, HORIZON, None)
    with pytest.raises(NotAvailableError, match=r"share no day\. Give a later --since"):
        ask(as_of=last, since=AS_OF)
