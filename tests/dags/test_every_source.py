"""Every source through every DAG of a real Airflow, on a small part of its data, down to both plans."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb
import pytest
from rich.console import Console

from coldframe.ledger import Ledger
from coldframe.orchestration.demo import follow
from coldframe.orchestration.server import Server
from coldframe.run import parse_request
from coldframe.settings import PROJECT_ROOT, Settings
from landing.contract import TABLES
from landing.sources import ADAPTERS
from marketplace.simulate import simulate

pytestmark = pytest.mark.airflow
DATA = PROJECT_ROOT.parent / "shared" / "data"
PAGE = PROJECT_ROOT / "docs" / "sources.md"


def nothing(_: Path) -> None:
    return None


def public(name: str) -> Callable[[Path], Path]:
    return lambda _: DATA / name


def part_of_m5(folder: Path) -> Path:
    """100 items of two stores: the whole matrix would take this test a quarter of an hour."""
    folder.mkdir()
    sales, prices = DATA / "m5" / "sales_train_d1_d1913.parquet", DATA / "m5" / "sell_prices.parquet"
    chosen = f"(select distinct item_id from '{sales}' order by hash(item_id) limit 100)"
    where = f"where store_id in ('CA_1', 'TX_1') and item_id in {chosen}"
    for source, target in ((sales, "sales_train_validation"), (prices, "sell_prices")):
        duckdb.execute(f"copy (from '{source}' {where}) to '{folder / target}.parquet'")
    (folder / "calendar.parquet").symlink_to(DATA / "m5" / "calendar.parquet")
    return folder


def tiny_marketplace(folder: Path) -> Path:
    """A marketplace of one day so far; landing generates the others."""
    simulate(size="tiny", out=folder, last="2024-01-01")
    return folder


@dataclass(frozen=True)
class Case:
    """A source, how to come by its folder, and an as-of that leaves a small part of it."""

    source: str
    folder: Callable[[Path], Path | None]
    as_of: date


CASES = (
    Case("complete_journey", nothing, date(2017, 6, 30)),
    Case("olist", public("olist"), date(2017, 6, 30)),
    Case("online_retail_ii", public("online_retail_ii"), date(2010, 6, 30)),
    Case("m5", part_of_m5, date(2012, 6, 30)),
    Case("marketplace", tiny_marketplace, date(2024, 6, 30)),
)


def documented() -> dict[str, set[str]]:
    """Source -> optional tables it has, as the table in docs/sources.md says: a row a table, a column a source."""
    text = PAGE.read_text()
    rows = [
        [cell.strip(" `") for cell in line.strip("|").split("|")]
        for line in text[text.index("| optional table |") :].split("\n\n")[0].splitlines()
    ]
    sources = rows[0][1:]
    assert [row[0] for row in rows[2:]] == [t.name for t in TABLES if not t.required]
    return {source: {row[0] for row in rows[2:] if row[1 + n] == "yes"} for n, source in enumerate(sources)}


def test_the_page_of_sources_tells_of_every_source_what_it_has() -> None:
    assert documented().keys() == ADAPTERS.keys() - {"files", "postgres"}
    assert all(f"\n## {name}\n" in PAGE.read_text() for name in ADAPTERS)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.source)
def test_a_source_goes_the_whole_way_and_lacks_what_its_page_says(
    case: Case, airflow: tuple[Server, Settings], tmp_path: Path
) -> None:
    if case.folder not in (nothing, tiny_marketplace) and not DATA.is_dir():
        pytest.skip(f"the copy of {case.source} in ../shared/data is not there")
    path = case.folder(tmp_path / "part")
    request = parse_request({"source": case.source, "as_of": case.as_of.isoformat(), "path": path})
    server, settings = airflow
    with server.client() as client:
        told = follow(client, server.url, request, Console())
    assert all(step.done for step in told.values())
    lacking = {t.name for t in TABLES if not t.required} - documented()[case.source]
    told_of = told["audit_landed"].result["facts"].get("not_available", "the source has no ")
    assert set(filter(None, told_of.removeprefix("the source has no ").split(", "))) == lacking
    plans = {plan.kind: plan for plan in Ledger.open(settings).plans(source=case.source)}
    assert plans.keys() == {"assortment", "incubation"}
    assert plans["assortment"].line_count > 0
