"""A catalogue of 40 old teas that sell 1, 2, … 40 a week, and launches whose fate is known."""

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from coldframe.paths import Workspace
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
            "first_sold_on": list(first.values()),
            "relisted_of": None,
            "launch_source": ["first_sale" if name in LAUNCHES else "before_history" for name in first],
        }
    )
    numbers = dict.fromkeys(("list_price", "image_count", "description_length"), float)
    return frame.astype({**numbers, "relisted_of": "string", "declared_on": "datetime64[us]"})


def videos(*shown: tuple[str, str | None, date, date]) -> pd.DataFrame:
    """Who carried what: product, creator, day, and the day on which that became known."""
    kinds = {"product_id": "string", "creator_id": "string", "date": "datetime64[us]", "known_at": "datetime64[us]"}
    return pd.DataFrame(shown, columns=list(kinds)).astype(kinds)


def tables(weekly: pd.DataFrame, products: pd.DataFrame, shown: pd.DataFrame) -> dict[str, pd.DataFrame]:
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
        "fct_content_product": shown,
        "fct_traffic_day": pd.DataFrame({"product_id": ["none"], "date": [FIRST_WEEK], "impressions": [0]}),
    }


def look_up(weekly: Callable[[], pd.DataFrame]) -> Callable[..., pd.DataFrame]:
    """The feature store's `training_frame`: what the panel says was sold before each moment, a seventh a day."""

    def training_frame(workspace: Workspace, entities: pd.DataFrame, service: str) -> pd.DataFrame:
        assert service == data.SERVICE
        sold = {
            product: (rows["week_start"].to_numpy(dtype="datetime64[D]"), rows["units"].to_numpy())
            for product, rows in weekly().groupby("product_id")
        }
        moments = entities["event_timestamp"].to_numpy(dtype="datetime64[D]")
        nothing = (np.array([], dtype="datetime64[D]"), np.array([]))
        found = [state(*sold.get(p, nothing), m) for p, m in zip(entities["product_id"], moments, strict=True)]
        return pd.concat([entities, pd.DataFrame(found, index=entities.index, columns=list(data.STATE))], axis=1)

    return training_frame


def state(weeks: np.ndarray, units: np.ndarray, moment: np.datetime64) -> dict[str, float]:
    days = np.clip((moment - weeks).astype(int), 0, 7)
    so_far = float((units * days // 7).sum())
    known = dict.fromkeys(data.STATE, 0.0)
    missing = ("refunded_units_so_far", "impressions_so_far", "clicks_so_far", "carts_so_far", "last_sold_age")
    by_content = ("content_impressions_so_far", "contents_so_far", "creators_so_far")
    known |= dict.fromkeys((*missing, *by_content), float("nan"))
    known |= {"units_so_far": so_far, "gmv_so_far": so_far * PRICE, "orders_so_far": so_far, "buyers_so_far": so_far}
    known |= {"days_sold": float(days.sum()), "largest_buyer_units": min(so_far, 1.0), "largest_address_units": 0.0}
    return known | ({"last_sold_age": float(days.sum() - 1)} if so_far else {})


def loaded(
    folder: Path, weekly: pd.DataFrame, products: pd.DataFrame | None = None, shown: pd.DataFrame | None = None
) -> data.Launches:
    """Launches of a panel (a catalogue, what videos carried) written to `folder`, which must be new. Features are the
    feature store's business and tested there; here they are what the panel says."""
    known = catalogue() if products is None else products
    last = weekly["week_start"].max() + timedelta(days=6)
    snapshot = write_snapshot(folder, last, **tables(weekly, known, videos() if shown is None else shown))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "find_service", lambda name: look_up(lambda: weekly))
        return data.load(Workspace(folder, "shop"), snapshot)


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., data.Launches]:
    return lambda *given: loaded(tmp_path / f"snapshot{len(list(tmp_path.iterdir()))}", *given)
