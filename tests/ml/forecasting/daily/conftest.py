"""A small shop of daily sales whose truth is simple: a level, a weekday, a yearly wave and an event."""

import hashlib
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from coldframe.paths import Workspace
from ml.forecasting.daily import components, engine
from ml.forecasting.daily.hierarchy import Hierarchy
from ml.forecasting.daily.panel import DailyPanel, PriceList
from ml.forecasting.daily.trees import Trees
from tests.ml.snapshots import write_snapshot

FIRST = date(2022, 1, 3)
WEEK = np.array([0.8, 0.7, 0.8, 0.9, 1.2, 1.5, 1.1])


def make_keys(products: int, regions: tuple[str, ...] = ("north", "south")) -> pd.DataFrame:
    rows = [(f"p{n:02d}", f"c{n % 2}", f"s{n % 4}", "m", region, "land") for n in range(products) for region in regions]
    columns = ["product_id", "category", "subcategory", "merchant_id", "region", "parent"]
    return pd.DataFrame(rows, columns=columns)


def make_units(series: int, days: int, seed: int = 3) -> np.ndarray:
    """Poisson demand with a weekday and a yearly wave."""
    time = np.arange(days)
    rate = np.geomspace(0.3, 12, series)[:, None] * WEEK[time % 7] * (1 + 0.3 * np.sin(2 * np.pi * time / 365.25))
    return np.random.default_rng(seed).poisson(rate).astype(np.float32)


def make_panel(
    products: int = 12, days: int = 200, units: Any = None, events: Any = (), prices: PriceList | None = None
) -> DailyPanel:
    keys = make_keys(products)
    values = make_units(len(keys), days) if units is None else np.asarray(units, dtype=np.float32)
    return DailyPanel(
        hierarchy=Hierarchy(keys),
        days=pd.date_range(FIRST, periods=values.shape[1], freq="D"),
        units=values,
        first_day=np.isnan(values).sum(axis=1),
        prices=prices,
        value=np.full(len(keys), 2.0),
        events=pd.DataFrame(list(events), columns=["date", "region", "event", "kind"]).astype(
            {"date": "datetime64[ns]"}
        ),
    )


@pytest.fixture
def panel() -> Callable[..., DailyPanel]:
    return make_panel


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few small trees: these tests do not depend on how good they are."""
    monkeypatch.setattr(engine, "PRODUCTS", Trees(loss="poisson", rows=4000, rounds=20, leaves=15, least=20, rate=0.3))
    monkeypatch.setattr(
        engine, "NODES", Trees(loss="squared_error", rows=4000, rounds=20, leaves=15, least=20, rate=0.3)
    )
    monkeypatch.setattr(components, "MOST_PROPHETS", 1)


def publish_shop(workspace: Workspace, as_of: date, panel: DailyPanel) -> None:
    """Publishes the marts a daily forecast reads."""
    keys = panel.hierarchy.keys
    which, day = np.nonzero(np.nan_to_num(panel.units))
    days = pd.DataFrame(
        {
            "date": [FIRST + timedelta(days=int(d)) for d in day],
            "product_id": keys["product_id"].to_numpy()[which],
            "region": keys["region"].to_numpy()[which],
            "units": panel.units[which, day].astype("int64"),
            "gmv": panel.units[which, day].astype(float) * 2,
        }
    )
    out = np.zeros(panel.units.shape, dtype=bool) if panel.out is None else panel.out
    which, day = np.nonzero(out)
    # Nobody's stock-out, for the table's types where there is none.
    stock_outs = pd.DataFrame(
        {
            "date": [FIRST, *(FIRST + timedelta(days=int(d)) for d in day)],
            "product_id": ["nobody's", *keys["product_id"].to_numpy()[which]],
            "region": ["north", *keys["region"].to_numpy()[which]],
        }
    )
    products = keys[["product_id", "category", "subcategory", "merchant_id"]].drop_duplicates()
    regions = keys[["region", "parent"]].drop_duplicates()
    # Nobody's price: the shop has no price list, but the table has its types.
    prices = pd.DataFrame(
        [("nobody's", "north", FIRST, FIRST, 1.0, FIRST)],
        columns=["product_id", "region", "valid_from", "valid_until", "price", "announced_on"],
    )
    folder = workspace.snapshots / f"{as_of}-{hashlib.sha256(panel.units.tobytes()).hexdigest()[:8]}"
    write_snapshot(
        folder,
        as_of,
        fct_product_day=days,
        fct_stock_out=stock_outs,
        dim_product=products,
        dim_region=regions,
        dim_price=prices,
        dim_calendar=panel.events.assign(date=panel.events["date"].dt.date),
    )
    workspace.current.unlink(missing_ok=True)
    workspace.current.symlink_to(folder.name)


@pytest.fixture
def shop(shared_mlflow: Callable[[], Path], tmp_path: Path) -> Callable[[date, DailyPanel], Workspace]:
    """Publishes a panel as of a day in an installation of the test's own."""
    workspace = Workspace(shared_mlflow(), f"corner_{hashlib.sha256(tmp_path.name.encode()).hexdigest()[:8]}")

    def publish(as_of: date, panel: DailyPanel) -> Workspace:
        publish_shop(workspace, as_of, panel)
        return workspace

    return publish
