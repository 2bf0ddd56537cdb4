"""The mart that people read and the training labels are two ways to the same outcome: on whole windows they agree."""

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from coldframe import transform
from coldframe.snapshots import Snapshot
from ml.growth import data
from tests.ml.growth.conftest import FIRST_WEEK, PRICE, WEEKS, catalogue, monday, panel
from tests.ml.snapshots import write_snapshot

Load = Callable[..., data.Launches]
MART = transform.PROJECT / "models" / "marts" / "core" / "fct_launch.sql"


def mart(folder: Path, weekly: pd.DataFrame, products: pd.DataFrame) -> pd.DataFrame:
    """Mature rows of fct_launch, by the model's own SQL."""
    last = weekly["week_start"].max() + timedelta(days=6)
    run = pd.DataFrame({"as_of": [last], "history_from": [FIRST_WEEK]})
    given = {"fct_product_week": weekly, "dim_product": products, "stg_run": run}
    snapshot: Snapshot = write_snapshot(folder, last, **given)
    found = snapshot.query(re.sub(r"{{ ref\('(\w+)'\) }}", r"\1", MART.read_text()))
    return found[found["is_mature"]].set_index("product_id").sort_index()


def crowd(seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A shop of two categories, of which one is too small to have blockbusters: launches begin in different weeks, many
    sell alike or nothing, one is relisted and one was declared before the history began."""
    rng = np.random.default_rng(seed)
    names = [f"old{i:02d}" for i in range(1, 41)] + [f"n{i:02d}" for i in range(40)]
    first = {name: 0 if name.startswith("old") else int(rng.integers(1, 20)) for name in names}
    category = {name: "mugs" if i % 5 == 0 else "tea" for i, name in enumerate(names)}
    rows = [
        {"week_start": monday(week), "product_id": name, "region": region, "category": category[name], "units": units}
        for name in names
        for week in range(first[name], WEEKS)
        for region, units in (("north", int(rng.integers(0, 3))), ("south", int(rng.integers(0, 2))))
    ]
    weekly = pd.DataFrame(rows).assign(gmv=lambda d: d["units"] * PRICE, days_elapsed=7)
    weekly = weekly.assign(impressions=None, refunded_units=None)
    weekly = weekly.astype(panel().dtypes[["impressions", "refunded_units"]].to_dict())
    products = catalogue().head(1).drop(columns="product_id").merge(pd.DataFrame({"product_id": names}), how="cross")
    products["launched_on"] = [monday(first[name]) + timedelta(days=int(rng.integers(0, 7))) for name in names]
    products["category"] = products["product_id"].map(category)
    products["launch_source"] = ["before_history" if name.startswith("old") else "first_sale" for name in names]
    products = products.set_index("product_id")
    products.loc["n03", "relisted_of"] = "n02"
    products.loc["n04", ["launched_on", "launch_source"]] = [monday(-3), "declared"]
    return weekly, products.reset_index()


def test_the_mart_of_launches_and_the_labels_agree_on_every_whole_window(tmp_path: Path, load: Load) -> None:
    blockbusters = 0
    for seed in range(3):
        weekly, products = crowd(seed)
        expected = mart(tmp_path / f"mart{seed}", weekly, products)
        known = load(weekly, products).known(pd.Timestamp(monday(WEEKS))).set_index("product_id")
        whole = known[known["weeks"] == data.WEEKS].sort_index()
        assert list(whole.index) == list(expected.index)
        assert whole["hit"].tolist() == expected["is_blockbuster"].tolist()
        np.testing.assert_allclose(whole[["units", "gmv"]], expected[["units", "gmv"]].astype(float))
        assert not {"n03", "n04"} & set(whole.index)
        blockbusters += whole["hit"].sum()
    assert blockbusters > 3


def test_the_mart_and_the_labels_agree_on_the_tied(tmp_path: Path, load: Load) -> None:
    weekly = panel()
    weekly = weekly[weekly["product_id"] != "late_hit"].copy()
    tied = weekly["product_id"].isin(["flop", "old37", "old38", "old39", "old40"])
    weekly.loc[tied, ["units", "gmv"]] = [40, 100.0]
    known = load(weekly).known(pd.Timestamp(monday(WEEKS))).set_index("product_id")
    assert mart(tmp_path / "mart", weekly, catalogue())["is_blockbuster"].to_dict() == {"flop": True, "hit": True}
    assert known.loc[["flop", "hit"], "hit"].all()
