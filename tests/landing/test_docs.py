"""The pages people build their exports from say what the code does."""

import importlib.util
import re
import sys
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from coldframe.errors import BadInputError
from coldframe.run import Request
from coldframe.settings import PROJECT_ROOT
from landing import docs, sources
from landing.contract import TABLES
from landing.steps import land

GUIDE = (PROJECT_ROOT / "docs" / "bring-your-own-data.md").read_text(encoding="utf-8")


def blocks(language: str) -> dict[str, str]:
    """Titled code blocks of the guide."""
    return dict(re.findall(rf'```{language} title="([^"]+)"\n(.*?)```', GUIDE, re.DOTALL))


def write_files(folder: Path) -> None:
    """Every file the guide shows, where it says."""
    for name, text in (blocks("csv") | blocks("yaml")).items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)


def test_the_contract_page_is_made_from_the_contract() -> None:
    assert docs.PAGE.read_text(encoding="utf-8") == docs.page(), "run `python -m landing.docs`"


def test_the_contract_page_names_every_table_and_column() -> None:
    for table in TABLES:
        section = docs.page().split(f"\n## {table.name}")[1].split("\n## ")[0]
        for column in table.columns:
            assert f"| `{column.name}` |" in section


def test_the_smallest_example_lands_as_the_guide_says(tmp_path: Path, shop: Any) -> None:
    write_files(tmp_path)
    result = shop.land(tmp_path / "shop", as_of=date(2024, 1, 2))
    assert result.warnings == ()
    assert result.facts["quarantined"] == 0
    assert [r["ordered_at"] for r in shop.rows("order_lines", date(2024, 1, 2))] == [
        datetime.fromisoformat(text) for text in ("2024-01-01 09:12", "2024-01-01 09:12", "2024-01-02 19:45:10")
    ]


def test_the_tills_mapping_lands_in_a_home_of_its_own_as_the_guide_says(tmp_path: Path, shop: Any) -> None:
    write_files(tmp_path)
    result = shop.land(tmp_path / "till", as_of=date(2024, 1, 2))
    assert result.facts["quarantined"] == 0
    assert "COLDFRAME_HOME=var/till coldframe land --source files --path till --as-of 2024-01-02" in GUIDE


def test_the_summary_is_the_one_the_guide_shows(tmp_path: Path, shop: Any) -> None:
    write_files(tmp_path)
    assert f"\n{shop.land(tmp_path / 'shop', as_of=date(2024, 1, 1)).summary}\n" in GUIDE


def test_the_guides_way_of_reading_the_quarantine_works(tmp_path: Path, shop: Any) -> None:
    write_files(tmp_path)
    path = tmp_path / "shop" / "order_lines.csv"
    path.write_text(path.read_text().replace("completed", "done", 1))
    with pytest.raises(BadInputError, match=r"1 of 3 rows \(33\.3%\)"):
        shop.land(tmp_path / "shop", as_of=date(2024, 1, 2))
    [query] = re.findall(r'duckdb\.sql\("""(.*?)"""\)', GUIDE, re.DOTALL)
    rows = duckdb.execute(query.replace("var/sources", str(shop.workspace.home / "sources"))).fetchall()
    assert rows == [("status is none of completed, cancelled, returned", 1, "order_lines.csv:1")]


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
        "receipt,line,sku,pieces,sold_at\n"
        + "".join(f"{i},1,t1,2,2024-01-01 10:00:00\n" for i in range(30))
        + "30,1,nobody-knows,2,2024-01-01 11:00:00\n"
    )
    result = land(Request(source="tea_house", as_of=date(2024, 1, 2), path=tmp_path))
    counts = result.facts["tables"]["order_lines"]
    assert (counts["accepted"], counts["quarantined"]) == (30, 1)
    assert counts["reasons"] == {"gross_amount is empty": 1, "product_id is not among the accepted products": 1}
    assert land(Request(source="tea_house", as_of=date(2024, 1, 2), path=tmp_path)).reused
