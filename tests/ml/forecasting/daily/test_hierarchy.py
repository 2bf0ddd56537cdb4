"""Every level is a sum of the bottom, and is called what people call it."""

import numpy as np
import pandas as pd
import pytest

from coldframe.errors import ConfigurationError
from ml.forecasting.daily.hierarchy import Hierarchy

KEYS = pd.DataFrame(
    [
        ("p1", "food", "bread", "m1", "shop-1", "west"),
        ("p1", "food", "bread", "m1", "shop-2", "west"),
        ("p2", "food", "cake", "m1", "shop-1", "west"),
        ("p3", "toys", "ball", "m2", "shop-3", "east"),
        ("p3", "toys", "ball", "m2", "shop-1", "west"),
        ("p4", "toys", "kite", "m1", "shop-3", "east"),
        ("p5", "toys", "kite", "m2", "shop-3", "east"),
    ],
    columns=["product_id", "category", "subcategory", "merchant_id", "region", "parent"],
)


def test_the_levels_are_every_crossing_of_products_and_places() -> None:
    levels = Hierarchy(KEYS).levels
    assert next(iter(levels)) == "total"
    assert {"parent", "region", "category", "subcategory_region", "product", "product_region"} <= set(levels)


def test_a_level_that_splits_nothing_is_left_out() -> None:
    same = KEYS.assign(subcategory=KEYS["category"], merchant_id="m", parent=KEYS["region"])
    levels = Hierarchy(same).levels
    assert not any("subcategory" in level or "merchant" in level or "parent" in level for level in levels)
    assert list(Hierarchy(KEYS.iloc[:1]).levels) == ["total", "product_region"]


def test_sums_of_any_level_are_the_sums_of_its_series() -> None:
    hierarchy = Hierarchy(KEYS)
    units = np.array([[1.0, 2], [3, 4], [5, 6], [7, 8], [0, 1], [0, 1], [2, 0]])
    assert hierarchy.sums("total", units).tolist() == [[18, 22]]
    nodes = hierarchy.nodes("category_region")
    found = {
        tuple(node): total
        for node, total in zip(nodes.to_numpy(), hierarchy.sums("category_region", units)[:, 0], strict=True)
    }
    assert found == {("food", "shop-1"): 6, ("food", "shop-2"): 3, ("toys", "shop-1"): 0, ("toys", "shop-3"): 9}


@pytest.mark.parametrize("called", ["item_region", "product_region", "item_store", "store_item", "SKU_REGION"])
def test_a_level_is_found_by_the_names_people_have_for_it(called: str) -> None:
    assert Hierarchy.find(called, Hierarchy(KEYS).levels) == ("product_region", ("product_id", "region"))


def test_an_unknown_level_names_those_there_are() -> None:
    with pytest.raises(ConfigurationError, match=r"no level 'shelf'\. There are: category, .*total"):
        Hierarchy.find("shelf", Hierarchy(KEYS).levels)
