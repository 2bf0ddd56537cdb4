"""A shop small enough to reckon by hand: 40 products, 25 order lines on each of three days in January 2024."""

import csv
import hashlib
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest

from coldframe import landed
from coldframe.ledger import Ledger
from coldframe.paths import Workspace
from coldframe.run import Request, StepResult
from coldframe.settings import load
from landing.steps import land

DAYS = (date(2024, 1, 1), date(2024, 1, 2), date(2024, 1, 3))
LINES_A_DAY = 25
LINES = LINES_A_DAY * len(DAYS)

Rows = list[dict[str, Any]]


def good_tables() -> dict[str, Rows]:
    return {
        "merchants": [{"merchant_id": f"m{i}", "name": f"Merchant {i}"} for i in range(20)],
        "products": [
            {
                "product_id": f"p{i}",
                "merchant_id": f"m{i % 20}",
                "title": f"Product {i}",
                "category": "tea",
                "subcategory": "green tea",
                "brand": "unbranded",
                "list_price": "2.50",
                "launched_on": "2023-06-01",
            }
            for i in range(40)
        ],
        "calendar": [
            {"date": f"2024-02-{i:02d}", "region": "*", "event": "spring", "kind": "season"} for i in range(1, 26)
        ],
        "order_lines": [
            {
                "order_id": f"o{day:%d}-{i}",
                "line_number": 1,
                "ordered_at": f"{day} 12:{i:02d}:00",
                "customer_id": f"c{i}",
                "product_id": f"p{i}",
                "region": "north",
                "channel": "shop",
                "quantity": 2,
                "gross_amount": "5.00",
                "merchant_discount": "0.50",
                "platform_discount": "0",
                "status": "completed",
            }
            for day in DAYS
            for i in range(LINES_A_DAY)
        ],
    }


def write_csv(path: Path, rows: Rows) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A delivery nothing is wrong with."""
    path = tmp_path / "delivery"
    for table, rows in good_tables().items():
        write_csv(path / f"{table}.csv", rows)
    return path


class Shop:
    """What lies on disk for the source 'files' of one installation."""

    def __init__(self, home: Path) -> None:
        self.workspace = Workspace(home, "files")

    def land(self, path: Path, as_of: date = DAYS[-1], **more: Any) -> StepResult:
        return land(Request(source="files", as_of=as_of, path=path, **more))

    def rows(self, table: str, as_of: date = DAYS[-1]) -> Rows:
        """Rows a run as of `as_of` reads, by key order of the files."""
        files = [str(p.path) for p in landed.select(self.workspace, as_of)[table]]
        if not files:
            return []
        frame = duckdb.execute("from read_parquet($1, hive_partitioning = false)", [files])
        names = [column[0] for column in frame.description or ()]
        return [dict(zip(names, row, strict=True)) for row in frame.fetchall()]

    def quarantine(self, table: str, as_of: date = DAYS[-1]) -> Rows:
        path = self.workspace.quarantine / table / f"as_of={as_of}.parquet"
        if not path.exists():
            return []
        frame = duckdb.execute("from read_parquet($1, hive_partitioning = false)", [str(path)])
        names = [column[0] for column in frame.description or ()]
        return [dict(zip(names, row, strict=True)) for row in frame.fetchall()]

    def bytes(self) -> dict[str, str]:
        """SHA-256 of every landed Parquet file."""
        root = self.workspace.landed
        return {
            str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest()
            for p in sorted(root.rglob("*.parquet"))
        }


@pytest.fixture(scope="session")
def empty_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger at the newest schema: migrating one for each of a hundred tests would take longer than they do."""
    path = tmp_path_factory.mktemp("ledger") / "ledger.sqlite"
    Ledger.open(load(ledger_url=f"sqlite:///{path}"))
    return path


@pytest.fixture
def shop(installation: Callable[..., Path], empty_ledger: Path) -> Shop:
    home = installation()
    home.mkdir()
    shutil.copy(empty_ledger, home)
    return Shop(home)
