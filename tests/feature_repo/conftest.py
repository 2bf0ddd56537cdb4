"""Snapshots with hand-made feature tables, published as the real ones are but without dbt."""

from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import ibis
import pandas as pd
import pytest

from coldframe import snapshots
from coldframe.paths import Workspace
from coldframe.run import Request
from coldframe.snapshots import Mart, Snapshot

SOURCE = "shop"
AS_OF = date(2024, 5, 5)
WEEKS_END = datetime(2024, 5, 6)  # noqa: DTZ001 - marts hold UTC without a zone
WEEK = timedelta(days=7)
Row = tuple[str, datetime, datetime, int, float | None]
KEYS = {
    "ftr_product_week": "product_id",
    "ftr_merchant_week": "merchant_id",
    "ftr_customer_week": "customer_id",
    "ftr_region_week": "region",
    "ftr_launch_day": "product_id",
}


def row(key: str, weeks_ago: int = 0, units: int = 1, price: float | None = 2.5, known_after: int = 0) -> Row:
    """A feature row of the week that ended `weeks_ago` weeks before AS_OF, known so many days later."""
    end = WEEKS_END - weeks_ago * WEEK
    return (key, end, end + timedelta(days=known_after), units, price)


class Features:
    """One installation, in which `publish` makes the given product rows the current snapshot."""

    as_of, source, row = AS_OF, SOURCE, staticmethod(row)
    end = pd.Timestamp(WEEKS_END)
    week = pd.Timedelta(WEEK)

    def __init__(self, home: Path) -> None:
        self.workspace = Workspace(home, SOURCE)

    def request(self, **more: object) -> Request:
        return Request.model_validate({"source": SOURCE, "as_of": AS_OF, **more})

    def publish(self, rows: Sequence[Row], as_of: date = AS_OF, price_type: str = "double") -> Snapshot:
        others = [row("only", weeks_ago=n) for n in range(2)] if rows else []
        backend = ibis.duckdb.connect()
        connection: Any = backend.con
        connection.execute("create schema marts")
        for table, key in KEYS.items():
            connection.execute(
                f"create table marts.{table} ({key} varchar, event_timestamp timestamp, created_timestamp timestamp, "
                f"units_4w bigint, price_4w {price_type})"
            )
            mine = rows if table == "ftr_product_week" else others
            for values in mine:
                connection.execute(f"insert into marts.{table} values (?, ?, ?, ?, ?)", values)
        marts = [
            Mart(table, "marts", (key, "event_timestamp", "created_timestamp"), "event_timestamp")
            for table, key in KEYS.items()
        ]
        snapshot = snapshots.publish(self.workspace, backend, as_of, marts, 1)
        backend.disconnect()
        return snapshot


@pytest.fixture
def features(installation: Callable[..., Path]) -> Features:
    return Features(installation())
