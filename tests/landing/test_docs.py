"""The pages people build their exports from say what the code does."""

import importlib.util
import re
import sys
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from coldframe.run import Request
from coldframe.settings import PROJECT_ROOT
from landing import docs, sources
from landing.contract import TABLES
from landing.steps import land

GUIDE = (PROJECT_ROOT / "docs" / "bring-your-own-data.md").read_text(encoding="utf-8")


def blocks(language: str) -> dict[str, str]:
    """Titled code blocks of the guide."""
    return dict(re.findall(rf'```{language} title="([^"]+)"\n(.*?)```', GUIDE, re.DOTALL))


def test_the_contract_page_is_made_from_the_contract() -> None:
    assert docs.PAGE.read_text(encoding="utf-8") == docs.page(), "run `python -m landing.docs`"


def test_the_contract_page_names_every_table_and_column() -> None:
    for table in TABLES:
        section = docs.page().split(f"\n## {table.name}")[1].split("\n## ")[0]
        for column in table.columns:
            assert f"| `{column.name}` |" in section


def test_the_smallest_example_lands_as_the_guide_says(tmp_path: Path, shop: Any) -> None:
    for name, text in blocks("csv").items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    result = shop.land(tmp_path / "shop", as_of=date(2024, 1, 2))
    assert result.warnings == ()
    assert result.facts["quarantined"] == 0
    assert [r["ordered_at"] for r in shop.rows("order_lines", date(2024, 1, 2))] == [
        datetime.fromisoformat(text) for text in ("2024-01-01 09:12", "2024-01-01 09:12", "2024-01-02 19:45:10")
    ]


def test_the_guides_way_of_reading_the_quarantine_works(folder: Path, shop: Any) -> None:
    path = folder / "order_lines.csv"
    path.write_text(path.read_text().replace("completed", "done", 2))
    shop.land(folder, as_of=date(2024, 1, 2))
    [query] = re.findall(r'duckdb\.sql\("""(.*?)"""\)', GUIDE, re.DOTALL)
    rows = duckdb.execute(query.replace("var/sources", str(shop.workspace.home / "sources"))).fetchall()
    assert rows == [("status is none of completed, cancelled, returned", 2, "order_lines.csv:1")]


def test_the_guides_adapter_lands(tmp_path: Path, shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    [code] = blocks("python").values()
    assert len(code.splitlines()) < 60
    (tmp_path / "tea_house.py").write_text(code)
    spec = importlib.util.spec_from_file_location("tea_house", tmp_path / "tea_house.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "tea_house", module)
    spec.loader.exec_module(module)
    monkeypatch.setitem(sources.ADAPTERS, "tea_house", "tea_house:TeaHouse")
    (tmp_path / "prices.csv").write_text("sku,name,shelf,price\nt1,Sencha,green,7.5\nt2,Assam,black,5\n")
    (tmp_path / "till.csv").write_text(
        "receipt,line,sku,pieces,sold_at\n" + "".join(f"{i},1,t1,2,2024-01-01 10:00:00\n" for i in range(30))
    )
    result = land(Request(source="tea_house", as_of=date(2024, 1, 2), path=tmp_path))
    assert result.facts["tables"]["order_lines"]["accepted"] == 30
    assert land(Request(source="tea_house", as_of=date(2024, 1, 2), path=tmp_path)).reused
