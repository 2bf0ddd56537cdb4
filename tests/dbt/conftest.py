"""A shop of two products a category, landed straight into the contract's layout, and warehouses built from it once."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from unittest import mock

import duckdb
import numpy as np
import pandas as pd
import pytest

from coldframe import landed, transform
from coldframe.paths import Workspace
from coldframe.run import Request, StepResult
from coldframe.settings import get_settings
from landing.contract import OWN, TABLES

FIRST_DAY = date(2024, 1, 1)
SATURDAY = date(2024, 5, 4)
"""The as-of from which the tests go on: the next day closes a week, the day after opens one."""
SUNDAY, MONDAY = SATURDAY + timedelta(days=1), SATURDAY + timedelta(days=2)
CORRECTED = date(2024, 3, 6)
"""A day of which a second version becomes known on MONDAY."""
SOURCE = "shop"
SPECS = {table.name: table for table in (*TABLES, *OWN)}


def write(place: Workspace, table: str, day: date | None, rows: pd.DataFrame, known: date | None = None) -> None:
    """Lands one version as the landing step would: the contract's columns and types, sorted by key."""
    spec = SPECS[table]
    columns = ", ".join(f'cast("{c.name}" as {c.type.value}) as "{c.name}"' for c in spec.columns)
    path = landed.partition(place, table, day, known).path
    path.parent.mkdir(parents=True, exist_ok=True)
    frame = rows.reindex(columns=list(spec.column_names))  # noqa: F841 - DuckDB reads it by name
    with duckdb.connect() as connection:
        connection.execute(f"copy (select {columns} from frame order by {', '.join(spec.key)}) to '{path}'")


def write_shop(home: Path) -> Workspace:
    """Lands 127 days of 12 products, with a product and a price added on SUNDAY and a day corrected on MONDAY."""
    place = Workspace(home, SOURCE)
    for name, table in SPECS.items():
        write(place, name, None, pd.DataFrame(columns=table.column_names))
        landed.partition(place, name, None).path.rename(landed.schema_file(place, name))
    products = pd.DataFrame(
        {
            "product_id": [f"p{i:02d}" for i in range(12)],
            "merchant_id": [f"m{i % 3}" for i in range(12)],
            "title": "thing",
            "category": [("tea", "mugs")[i % 2] for i in range(12)],
            "subcategory": "all",
            "brand": "unbranded",
            "launched_on": [date(2024, 3, 20) if i == 11 else None for i in range(12)],
        }
    )
    added = products.tail(1).assign(product_id="p99", launched_on=date(2024, 4, 10))
    write(place, "products", None, products)
    write(place, "products", None, pd.concat([products, added]), known=SUNDAY)
    write(place, "merchants", None, pd.DataFrame({"merchant_id": ["m0", "m1", "m2"]}))
    write(
        place,
        "calendar",
        None,
        pd.DataFrame({"date": [date(2024, 12, 25)], "region": "*", "event": "Christmas", "kind": "holiday"}),
    )
    prices = pd.DataFrame(
        {
            "product_id": ["p02", "p02", "p03", "p07"],
            "region": ["south", "south", "*", "west"],
            "valid_from": [date(2024, 2, 6), date(2024, 5, 5), FIRST_DAY, date(2024, 3, 5)],
            "price": [3.33, 3.0, 3.33, 2.0],
            "announced_on": [None, SATURDAY, None, None],
        }
    )
    late = prices.head(1).assign(product_id="p04", valid_from=date(2024, 4, 17), price=2.5)
    write(place, "prices", None, prices)
    write(place, "prices", None, pd.concat([prices, late]), known=SUNDAY)
    write(place, "regions", None, pd.DataFrame({"region": ["north", "south"], "parent": "the land"}))
    season = {"season": "spring", "valid_from": date(2024, 3, 1), "valid_until": date(2024, 5, 31)}
    planned = pd.DataFrame({"product_id": ["p00", "p02", "p09"], "action": ["range", "range", "drop"]})
    planned = planned.assign(plan_id="plan", as_of=date(2024, 2, 29), **season, region="north", category="tea")
    promised = {"objective": "gmv", "quantity": 20, "expected_units": 15, "value": 50, "value_low": 0, "value_high": 99}
    write(place, "plan_lines", None, planned.assign(**promised), known=date(2024, 2, 29))
    rng = np.random.default_rng(7)
    for offset in range(127):
        day = FIRST_DAY + timedelta(days=offset)
        write(place, "order_lines", day, lines(day, rng))
        if offset % 7 == 2:
            shown = pd.DataFrame(
                {"date": day, "product_id": ["p00", "p05"], "region": "north", "placement": "home", "share": [0.3, 1.0]}
            )
            write(place, "exposures", day, shown)
        if offset % 5 == 1:
            _write_by_the_way(place, day)
    # The correction takes a product's first sale away and cancels a line, so that first sales move.
    corrected = lines(CORRECTED, rng).query("product_id != 'p10'").assign(status="cancelled")
    corrected.loc[corrected.index[::2], "status"] = "completed"
    write(place, "order_lines", CORRECTED, corrected, known=MONDAY)
    return place


def _write_by_the_way(place: Workspace, day: date) -> None:
    """Traffic, stock, visits, a refund and a payment of two products: what optional tables add to the panel."""
    seen = pd.DataFrame({"date": day, "product_id": ["p00", "p02"], "region": "north", "channel": "shop"})
    traffic = seen.assign(content_id="", impressions=[100, 40], clicks=[9, 3], carts=[2, 0])
    write(place, "traffic", day, traffic)
    given = seen.assign(plan_id=f"plan {day}", as_of=day - timedelta(days=1), stage="seed", propensity=0.5)
    write(place, "exposure_lines", day, given.assign(impressions=[50, 40], chance=0.1, share=0.5))
    write(place, "inventory", day, seen.assign(on_hand=[0, 7]))
    looked = {"date": [day], "region": "north", "category": "tea", "channel": "shop", "visits": 50, "buys": 3}
    write(place, "visits", day, pd.DataFrame(looked))
    # Of every second video the source does not say who made it.
    made = {"content_id": [f"v{day}"], "creator_id": "anna", "kind": "video", "started_at": day}
    if day.day % 2:
        write(place, "contents", day, pd.DataFrame(made))
    write(
        place, "content_products", day, pd.DataFrame({"content_id": [f"v{day}"], "product_id": "p11", "shown_at": day})
    )
    back = {"refund_id": [f"r{day}"], "line_number": 1, "refunded_at": day, "quantity": 1, "amount": 3.33}
    write(place, "refunds", day, pd.DataFrame(back).assign(product_id="p00", region="north"))
    paid = {"order_id": [f"{day}-0"], "payment_number": 1, "paid_at": day, "method": "card", "amount": 6.66}
    write(place, "payments", day, pd.DataFrame(paid))


def lines(day: date, rng: np.random.Generator) -> pd.DataFrame:
    """A day's order lines: p10 is first sold on CORRECTED, p09 stops in February, p08 sells twice in all."""
    rows = []
    for order in range(int(rng.integers(4, 9))):
        for number, product in enumerate(rng.choice(8, size=2, replace=False), start=1):
            rows.append((f"{day}-{order}", number, f"p{product:02d}", order))
    extra = {"p09": day < date(2024, 2, 10), "p08": day in {FIRST_DAY, SATURDAY}, "p10": day >= CORRECTED}
    rows += [(f"{day}-{p}", 1, p, 0) for p, sold in extra.items() if sold]
    if day >= date(2024, 3, 20):
        rows.append((f"{day}-new", 1, "p11", 1))
    frame = pd.DataFrame(rows, columns=["order_id", "line_number", "product_id", "order"])
    frame["quantity"] = rng.integers(1, 4, len(frame))
    frame["gross_amount"] = (frame["quantity"] * 3.33).round(2)
    return frame.assign(
        ordered_at=pd.Timestamp(day) + pd.Timedelta(hours=9),
        customer_id=[f"c{n}" if n else None for n in rng.integers(0, 25, len(frame))],
        region=np.where(frame["order"] % 3 == 0, "south", "north"),
        channel="shop",
        merchant_discount=0.0,
        platform_discount=np.where(frame["order"] == 1, 0.5, 0.0),
        status=np.where(rng.random(len(frame)) < 0.05, "cancelled", "completed"),
    )


class Shop:
    """Homes in which the shop has landed, and what the tests do with them."""

    saturday, sunday, monday = SATURDAY, SUNDAY, MONDAY
    source = SOURCE

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.landed = folder / "landed"
        self._fresh: dict[date, Path] = {}
        write_shop(self.landed)

    @contextmanager
    def at(self, home: Path) -> Iterator[Workspace]:
        """Makes `home` this process's installation."""
        with mock.patch.dict(os.environ, {"COLDFRAME_HOME": str(home)}):
            get_settings.cache_clear()
            yield Workspace(home, SOURCE)
        get_settings.cache_clear()

    def build(self, home: Path, as_of: date) -> StepResult:
        """Transforms as of a day and, as the publish step does after its gate, marks the marts as built."""
        with self.at(home) as place:
            result = transform.transform(Request(source=SOURCE, as_of=as_of))
            transform.mark_built(place)
        return result

    def fresh(self, as_of: date) -> Path:
        """A home built from nothing as of the day; built once, so nobody may change it."""
        if as_of not in self._fresh:
            self._fresh[as_of] = self.folder / f"fresh-{as_of}"
            shutil.copytree(self.landed, self._fresh[as_of])
            self.build(self._fresh[as_of], as_of)
        return self._fresh[as_of]

    def write(self, home: Path, table: str, day: date | None, rows: pd.DataFrame, known: date | None = None) -> None:
        write(Workspace(home, SOURCE), table, day, rows, known)

    def query(self, home: Path, sql: str) -> list[tuple]:
        with duckdb.connect(str(Workspace(home, SOURCE).warehouse_file), read_only=True) as connection:
            return connection.execute(sql).fetchall()

    def differing(self, one: Path, other: Path) -> dict[str, int]:
        """Published marts that differ between two homes, with the number of rows that only one of them has."""
        with self.at(one):
            nodes = transform.manifest()["nodes"].values()
        marts = [n["alias"] for n in nodes if n["config"].get("meta", {}).get("publish")]
        assert len(marts) >= 20
        found = {}
        with duckdb.connect() as connection:
            for name, home in (("one", one), ("other", other)):
                connection.execute(f"attach '{Workspace(home, SOURCE).warehouse_file}' as {name} (read_only)")
            for mart in marts:
                ours, theirs = f"from one.marts.{mart}", f"from other.marts.{mart}"
                [(rows,)] = connection.execute(
                    f"select count(*) from (({ours} except all {theirs}) union all ({theirs} except all {ours}))"
                ).fetchall()
                if rows:
                    found[mart] = rows
        return found


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture
def copied(shop: Shop, tmp_path: Path) -> Callable[[date], Path]:
    """A copy of a fresh home that the test may change."""

    def copy(as_of: date) -> Path:
        return Path(shutil.copytree(shop.fresh(as_of), tmp_path / "copy"))

    return copy
