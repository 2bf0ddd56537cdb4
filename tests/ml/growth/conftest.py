"""A catalogue of 40 old teas that sell 1, 2, … 40 a week, and launches whose fate is known."""

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from coldframe.paths import Workspace
from coldframe.snapshots import Snapshot
from ml.growth import data
from tests.ml.snapshots import write_snapshot

FIRST_WEEK = date(2024, 1, 1)
WEEKS = 40
PRICE = 2.5
# Week of launch and units sold a week: forty a week is a blockbuster's pace, one is not.
LAUNCHES = {"hit": (10, 60), "flop": (10, 1), "steady": (20, 5), "late_hit": (38, 50)}


def monday(week: int) -> date:
    return FIRST_WEEK + timedelta(weeks=week)


def sells() -> dict[str, tuple[int, int]]:
    return {f"old{i:02d}": (0, i) for i in range(1, 41)} | LAUNCHES


def panel(weeks: int = WEEKS) -> pd.DataFrame:
    rows = []
    for product, (first, units) in sells().items():
        rows += [
            {
                "week_start": monday(week),
                "product_id": product,
                "region": "north",
                "category": "tea",
                "units": units,
                "gmv": units * PRICE,
                "impressions": None,
                "refunded_units": None,
                "days_elapsed": 7,
            }
            for week in range(first, weeks)
        ]
    return pd.DataFrame(rows).astype({"impressions": "Int64", "refunded_units": "Int64"})


def catalogue() -> pd.DataFrame:
    first = {name: monday(week) for name, (week, _) in sells().items()}
    frame = pd.DataFrame(
        {
            "product_id": list(first),
            "merchant_id": "m",
            "category": "tea",
            "subcategory": "black",
            "brand": "unbranded",
            "title": [name.title() for name in first],
            "list_price": None,
            "image_count": None,
            "description_length": None,
            "launched_on": list(first.values()),
            "declared_on": None,
            "relisted_of": None,
            "launch_source": ["first_sale" if name in LAUNCHES else "before_history" for name in first],
        }
    )
    numbers = dict.fromkeys(("list_price", "image_count", "description_length"), float)
    return frame.astype({**numbers, "relisted_of": "string", "declared_on": "datetime64[us]"})


def tables(weekly: pd.DataFrame, products: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """What the room reads of a snapshot."""
    return {
        "fct_product_week": weekly,
        "fct_category_week": weekly[["week_start", "days_elapsed"]].drop_duplicates(),
        "dim_product": products,
        "dim_merchant": pd.DataFrame({"merchant_id": ["m"], "tier": ["gold"]}),
        "dim_price": pd.DataFrame(
            {"product_id": ["none"], "region": ["*"], "valid_from": [FIRST_WEEK], "price": [PRICE]}
        ),
        "fct_order_lines": pd.DataFrame({"customer_id": ["c"]}),
    }


def look_up(weekly: Callable[[], pd.DataFrame]) -> Callable[..., pd.DataFrame]:
    """The feature store's `training_frame`: what the panel says was sold before each moment, a seventh a day."""

    def training_frame(workspace: Workspace, entities: pd.DataFrame, service: str) -> pd.DataFrame:
        assert service == data.SERVICE
        sold = dict(iter(weekly().groupby("product_id")))
        found = [state(sold.get(row.product_id), row.event_timestamp) for row in entities.itertuples()]
        return pd.concat([entities, pd.DataFrame(found, index=entities.index, columns=list(data.STATE))], axis=1)

    return training_frame


def state(sold: pd.DataFrame | None, moment: pd.Timestamp) -> dict[str, Any]:
    known = dict.fromkeys(data.STATE, 0.0)
    missing = ("refunded_units_so_far", "impressions_so_far", "clicks_so_far", "carts_so_far")
    known |= dict.fromkeys((*missing, "content_impressions_so_far", "last_sold_age"), float("nan"))
    if sold is None:
        return known
    days = (moment - pd.to_datetime(sold["week_start"])).dt.days.clip(0, 7)
    known |= {"units_so_far": float((sold["units"] * days // 7).sum()), "days_sold": float(days.sum())}
    known |= {"gmv_so_far": known["units_so_far"] * PRICE, "orders_so_far": known["units_so_far"]}
    known |= {"buyers_so_far": known["units_so_far"], "largest_buyer_units": min(known["units_so_far"], 1.0)}
    if known["units_so_far"]:
        known["last_sold_age"] = float(days.sum() - 1)
    return known


@pytest.fixture
def make_snapshot(tmp_path: Path) -> Callable[..., Snapshot]:
    def make(weekly: pd.DataFrame, products: pd.DataFrame | None = None) -> Snapshot:
        last = weekly["week_start"].max() + timedelta(days=6)
        count = len(list(tmp_path.glob("snapshot*")))
        known = catalogue() if products is None else products
        return write_snapshot(tmp_path / f"snapshot{count}", last, **tables(weekly, known))

    return make


@pytest.fixture
def load(make_snapshot: Callable[..., Snapshot], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Loads the launches of a panel (and a catalogue); features are the feature store's business and tested there."""

    def loaded(weekly: pd.DataFrame, products: pd.DataFrame | None = None) -> data.Launches:
        monkeypatch.setattr(data, "find_service", lambda name: look_up(lambda: weekly))
        return data.load(Workspace(tmp_path, "shop"), make_snapshot(weekly, products))

    return loaded
