"""Small panels and a small published snapshot to forecast from."""

import hashlib
import json
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest

from coldframe.paths import Workspace
from coldframe.seasons import Week
from ml.forecasting.data import Floats, Level, Panel
from ml.forecasting.decide import RouteRules
from ml.forecasting.learn import Learned, Plan, learn

FIRST = date(2017, 1, 2)


def make_panel(units: Any, level: Level = "category_region", categories: list[str] | None = None) -> Panel:
    """A panel of one region whose rows are `units`; NaN where a series has not begun."""
    values: Floats = np.asarray(units, dtype=float)
    names = categories or [f"c{i}" for i in range(len(values))]
    series = pd.DataFrame(
        {
            "product_id": [f"p{i}" if level == "product_region" else None for i in range(len(values))],
            "category": names,
            "region": "north",
            "gmv": np.nansum(values[:, -13:], axis=1) * 2.0,
            "gmv_per_unit": 2.0,
        }
    )
    events = pd.DataFrame({"week_start": [pd.Timestamp("2017-07-03")], "region": ["*"], "kind": ["holiday"]})
    weeks = pd.date_range(FIRST, periods=values.shape[1], freq="7D")
    return Panel(level, series, weeks, values, events.assign(event="Independence Day", days=1.0))


@pytest.fixture
def panel() -> Callable[..., Panel]:
    return make_panel


@pytest.fixture
def shop() -> Callable[..., Panel]:
    """A panel of Poisson demand: `series` rows of `weeks` weeks, rates from 1 to 40 a week."""

    def make(series: int = 60, weeks: int = 38, level: Level = "category_region") -> Panel:
        rng = np.random.default_rng(7)
        rates = np.geomspace(1, 40, series)[:, None]
        return make_panel(rng.poisson(rates, (series, weeks)), level, [f"c{i % 12}" for i in range(series)])

    return make


def make_market(weeks: int = 38) -> dict[Level, Panel]:
    """Both levels with every segment: sold daily, now and then, hardly ever, lately launched, no longer."""
    rng = np.random.default_rng(5)
    products = rng.poisson(np.geomspace(0.1, 25, 60)[:, None], (60, weeks)).astype(float)
    products[5:20, : weeks - 5] = np.nan
    products[20:30, : weeks - 18] = np.nan
    products[30:34, weeks - 16 :] = 0.0
    categories = rng.poisson(np.geomspace(0.4, 60, 20)[:, None], (20, weeks)).astype(float)
    categories[4, : weeks - 4] = np.nan
    categories[6, weeks - 16 :] = 0.0
    return {
        "category_region": make_panel(categories),
        "product_region": make_panel(products, "product_region", [f"c{i % 20}" for i in range(60)]),
    }


def make_plan(panels: dict[Level, Panel]) -> Plan:
    """Ten weeks ahead, of which the last eight are the season; one category is worth Prophet's time."""
    ahead = panels["category_region"].ahead(10)
    season = tuple(Week(week.date(), 7) for week in ahead[2:])
    return Plan(horizon=10, season="spring", season_weeks=season, routes=RouteRules(top_series=1))


@pytest.fixture(scope="session")
def catalogue(market: dict[Level, Panel]) -> pd.DataFrame:
    series = market["product_region"].series
    return pd.DataFrame(
        {
            "product_id": series["product_id"],
            "title": "thing number " + series["product_id"],
            "category": series["category"],
            "subcategory": "things",
            "brand": "unbranded",
            "list_price": None,
            "launched_on": FIRST,
        }
    ).drop_duplicates("product_id")


@pytest.fixture(scope="session")
def market() -> dict[Level, Panel]:
    return make_market()


@pytest.fixture(scope="session")
def plan(market: dict[Level, Panel]) -> Plan:
    return make_plan(market)


@pytest.fixture(scope="session")
def learned(market: dict[Level, Panel], plan: Plan, catalogue: pd.DataFrame) -> Learned:
    return learn(market, plan, catalogue)


def write_snapshot(workspace: Workspace, as_of: date, weekly: pd.DataFrame) -> None:
    """Publishes the marts a forecast reads. `weekly` has product_id, category, region, week_start, units, and where
    stock ran out days_out_of_stock, where a unit cost something else than 2 its price, and where the history began in
    the middle of a week its first_day."""
    weekly = weekly.assign(
        days_out_of_stock=weekly.get("days_out_of_stock", 0),
        price=weekly.get("price", 2.0),
        first_day=weekly.get("first_day", weekly["week_start"]),
    )
    name = f"{as_of}-{hashlib.sha256(weekly.to_csv().encode()).hexdigest()[:8]}"
    root = workspace.snapshots / name
    tables: dict[str, Any] = {}
    with duckdb.connect() as connection:
        connection.register("weekly", weekly)
        for table, query in {
            "fct_product_week": """
                select week_start::date as week_start, product_id, region, category, units::bigint as units,
                    (units * price)::decimal(18, 2) as gmv, 7 as days_elapsed,
                    days_out_of_stock::bigint as days_out_of_stock from weekly
            """,
            "fct_category_week": """
                select week_start::date as week_start, category, region, sum(units)::bigint as units,
                    sum(units * price)::decimal(18, 2) as gmv, 7 as days_elapsed from weekly group by all
            """,
            "dim_region": """
                select region, min(first_day)::date as first_day, max(week_start)::date as last_day
                from weekly group by all
            """,
            "dim_product": """
                select distinct product_id, 'thing ' || product_id as title, category, 'things' as subcategory,
                    'unbranded' as brand, 2.0 as list_price, min(week_start::date) over (partition by product_id)
                    as launched_on from weekly
            """,
            "dim_calendar": """
                select date '2017-07-04' as date, date '2017-07-03' as week_start, '*' as region, 'July 4' as event,
                    'holiday' as kind
            """,
        }.items():
            file = root / table / "all.parquet"
            file.parent.mkdir(parents=True, exist_ok=True)
            connection.execute(f"copy (from ({query}) order by all) to '{file}' (format parquet)")
            tables[table] = {"rows": 0, "files": [{"path": f"{table}/all.parquet"}]}
    (root / "manifest.json").write_text(json.dumps({"id": name, "as_of": as_of.isoformat(), "tables": tables}))
    workspace.current.unlink(missing_ok=True)
    workspace.current.symlink_to(name)


def weekly_sales(products: int = 40, weeks: int = 30, regions: tuple[str, ...] = ("north", "south")) -> pd.DataFrame:
    """Poisson sales of products in categories of eight, rates from 0.2 to 12 a week; every seventh begins late."""
    rng = np.random.default_rng(11)
    rows = []
    for number in range(products):
        rate = float(np.geomspace(0.2, 12, products)[number])
        begins = weeks - 5 if number % 7 == 6 else 0
        for region in regions:
            for week in range(begins, weeks):
                units = max(int(rng.poisson(rate)), int(week == begins))
                rows.append((f"p{number:02d}", f"c{number // 8}", region, FIRST + timedelta(weeks=week), units))
    return pd.DataFrame(rows, columns=["product_id", "category", "region", "week_start", "units"])


@pytest.fixture
def published(shared_mlflow: Callable[[], Path], tmp_path: Path) -> Callable[..., Workspace]:
    """Publishes weekly sales as of a day in an installation of the test's own and returns the workspace."""
    workspace = Workspace(shared_mlflow(), f"shop_{hashlib.sha256(tmp_path.name.encode()).hexdigest()[:8]}")

    def publish(as_of: date, weekly: pd.DataFrame) -> Workspace:
        write_snapshot(workspace, as_of, weekly)
        return workspace

    return publish


@pytest.fixture
def sales() -> Callable[..., pd.DataFrame]:
    return weekly_sales
