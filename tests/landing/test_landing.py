"""Landing again, later, in parts, and killed on the way: what runs may read afterwards."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from coldframe import landed
from coldframe.errors import BadInputError, ConfigurationError
from coldframe.ledger import Ledger
from coldframe.run import Request
from landing.contract import BY_NAME, OWN, TABLES
from landing.sources import ADAPTERS, Offer, open_source
from landing.sources.files import Files
from landing.steps import land

ONE, TWO, THREE = date(2024, 1, 1), date(2024, 1, 2), date(2024, 1, 3)
LATER = date(2024, 1, 10)
SHOP_TWO, SHOP_NINE = (f"o01-3,1,2024-01-01 12:03:00,c3,p3,north,shop,{quantity}" for quantity in (2, 9))


def change(folder: Path, old: str, new: str, table: str = "order_lines", times: int = 1) -> None:
    path = folder / f"{table}.csv"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, times))


def remove_day(folder: Path, day: date) -> None:
    path = folder / "order_lines.csv"
    path.write_text("".join(r for r in path.read_text().splitlines(keepends=True) if str(day) not in r))


def known(shop: Any, table: str = "order_lines") -> dict[str, list[str]]:
    versions: dict[str, list[str]] = {}
    for v in sorted(landed.versions(shop.workspace, table), key=lambda v: (str(v.day), v.known)):
        versions.setdefault(str(v.day), []).append(str(v.known))
    return versions


def test_the_first_version_of_a_day_is_known_on_that_day(folder: Path, shop: Any) -> None:
    shop.land(folder, as_of=LATER)
    assert known(shop) == {str(d): [str(d)] for d in (ONE, TWO, THREE)}
    assert known(shop, "products") == {"None": ["1970-01-01"]}


def test_every_contract_table_has_a_schema_file_and_tables_not_offered_are_empty(folder: Path, shop: Any) -> None:
    shop.land(folder)
    selected = landed.select(shop.workspace, THREE)
    assert set(selected) == {t.name for t in (*TABLES, *OWN)}
    assert selected["traffic"] == []
    assert all(landed.schema_file(shop.workspace, name).is_file() for name in selected)


def test_landed_files_have_the_contracts_columns_in_its_order_and_are_sorted_by_key(folder: Path, shop: Any) -> None:
    shop.land(folder)
    for table in ("merchants", "products", "calendar", "order_lines"):
        rows = shop.rows(table)
        assert tuple(rows[0]) == BY_NAME[table].column_names
    [first, *_] = landed.select(shop.workspace, THREE)["order_lines"]
    keys = [(r["order_id"], r["line_number"]) for r in shop.rows("order_lines", first.day)]
    assert keys == sorted(keys)


def test_landing_twice_changes_no_byte_and_the_second_time_is_reused(folder: Path, shop: Any) -> None:
    first = shop.land(folder)
    before = shop.bytes()
    second = shop.land(folder)
    assert (first.reused, second.reused) == (False, True)
    assert second.facts["tables"] == first.facts["tables"]
    assert shop.bytes() == before


@pytest.mark.parametrize("lost", ["record", "forced"])
def test_the_same_rows_are_not_written_again_even_where_nobody_remembers_them(
    lost: str, folder: Path, shop: Any
) -> None:
    shop.land(folder)
    before = shop.bytes()
    if lost == "record":
        (shop.workspace.landed / "_landing.json").write_text("{ not json")
    result = shop.land(folder, force=lost == "forced")
    assert not result.reused
    assert result.facts["written"] == 0
    assert shop.bytes() == before


def test_a_landed_file_that_was_deleted_is_landed_again(folder: Path, shop: Any) -> None:
    shop.land(folder)
    before = shop.bytes()
    landed.select(shop.workspace, THREE)["order_lines"][1].path.unlink()
    assert not shop.land(folder).reused
    assert shop.bytes() == before


def test_the_same_rows_in_another_order_and_format_are_the_same_rows(folder: Path, shop: Any) -> None:
    shop.land(folder)
    before = shop.bytes()
    header, *rows = (folder / "order_lines.csv").read_text().splitlines()
    (folder / "order_lines.csv").write_text("\n".join([header, *reversed(rows)]) + "\n")
    assert shop.land(folder).facts["written"] == 0
    assert shop.bytes() == before


def test_a_late_correction_is_a_new_version_that_earlier_runs_do_not_see(folder: Path, shop: Any) -> None:
    shop.land(folder, as_of=THREE)
    change(folder, SHOP_TWO, SHOP_NINE)
    shop.land(folder, as_of=LATER)
    assert known(shop)[str(ONE)] == [str(ONE), str(LATER)]
    assert known(shop)[str(TWO)] == [str(TWO)]
    units = {d: sum(r["quantity"] for r in shop.rows("order_lines", d)) for d in (THREE, LATER - timedelta(1), LATER)}
    assert units == {THREE: 150, LATER - timedelta(1): 150, LATER: 157}


def test_a_change_of_a_table_delivered_whole_is_a_new_version_of_all_of_it(folder: Path, shop: Any) -> None:
    shop.land(folder, as_of=THREE)
    change(folder, "Product 3,", "Better product 3,", "products")
    shop.land(folder, as_of=LATER)
    assert known(shop, "products") == {"None": ["1970-01-01", str(LATER)]}
    assert "Product 3" in {r["title"] for r in shop.rows("products", THREE)}
    assert "Better product 3" in {r["title"] for r in shop.rows("products", LATER)}


def test_what_was_known_on_an_earlier_day_is_settled_once_a_later_run_has_landed(folder: Path, shop: Any) -> None:
    shop.land(folder, as_of=THREE)
    before = shop.bytes()
    change(folder, SHOP_TWO, SHOP_NINE)
    result = shop.land(folder, as_of=TWO)
    assert any("Land the correction as of a later day" in w for w in result.warnings)
    assert shop.bytes() == before


def test_a_second_correction_as_of_the_same_day_replaces_the_first_and_shows_in_its_stamp(
    folder: Path, shop: Any
) -> None:
    stamps = []
    for old, new in (("shop,2,5.00", "shop,3,5.00"), ("shop,3,5.00", "shop,4,5.00"), ("shop,4,5.00", "shop,5,5.00")):
        shop.land(folder, as_of=LATER)
        stamps.append(landed.select(shop.workspace, LATER)["order_lines"][0].stamp)
        change(folder, old, new)
    assert known(shop)[str(ONE)] == [str(ONE), str(LATER)]
    assert len(set(stamps)) == 3


def test_a_day_without_rows_amid_the_delivery_is_emptied_for_later_runs_only(folder: Path, shop: Any) -> None:
    shop.land(folder, as_of=THREE)
    remove_day(folder, TWO)
    shop.land(folder, as_of=LATER)
    assert len(shop.rows("order_lines", LATER)) == 50
    assert len(shop.rows("order_lines", THREE)) == 75
    assert shop.land(folder, as_of=LATER, force=True).facts["written"] == 0


def test_a_correction_may_empty_one_day_and_write_others(folder: Path, shop: Any) -> None:
    shop.land(folder, as_of=THREE)
    remove_day(folder, TWO)
    change(folder, SHOP_TWO, SHOP_NINE)
    path = folder / "order_lines.csv"
    path.write_text(path.read_text() + "o04-1,1,2024-01-04 12:00:00,c1,p1,north,shop,2,5.00,0,0,completed\n")
    shop.land(folder, as_of=LATER)
    assert known(shop) == {str(ONE): [str(ONE), str(LATER)], str(TWO): [str(TWO), str(LATER)]} | {
        str(day): [str(day)] for day in (THREE, date(2024, 1, 4))
    }
    assert len(shop.rows("order_lines", LATER)) == 51
    assert len(shop.rows("order_lines", THREE)) == 75


def test_days_a_delivery_does_not_cover_stay(folder: Path, shop: Any) -> None:
    shop.land(folder, as_of=THREE)
    remove_day(folder, ONE)
    remove_day(folder, THREE)
    shop.land(folder, as_of=LATER)
    assert len(shop.rows("order_lines", LATER)) == 75


def test_with_a_start_only_days_from_then_on_are_landed_and_the_others_are_counted(folder: Path, shop: Any) -> None:
    counts = shop.land(folder, as_of=THREE, start=TWO).facts["tables"]["order_lines"]
    assert (counts["read"], counts["earlier"], counts["later"]) == (50, 25, 0)
    assert {r["ordered_at"].date() for r in shop.rows("order_lines")} == {TWO, THREE}


def test_with_a_start_a_silent_day_is_an_empty_day(folder: Path, shop: Any) -> None:
    shop.land(folder, as_of=THREE)
    remove_day(folder, THREE)
    shop.land(folder, as_of=LATER, start=THREE)
    assert len(shop.rows("order_lines", LATER)) == 50


def test_going_on_for_a_day_makes_the_bytes_of_starting_from_nothing(
    folder: Path, shop: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in (ONE, TWO, THREE):
        shop.land(folder, as_of=day)
    grown = shop.bytes()
    shop.workspace.landed.rename(tmp_path / "aside")
    shop.land(folder, as_of=THREE)
    assert shop.bytes() == grown


def test_a_table_that_is_not_offered_any_more_stays_and_is_told(folder: Path, shop: Any) -> None:
    (folder / "customers.csv").write_text("customer_id\n" + "".join(f"c{i}\n" for i in range(25)))
    shop.land(folder)
    (folder / "customers.csv").unlink()
    assert any(w.startswith("customers was landed before") for w in shop.land(folder).warnings)
    assert len(shop.rows("customers")) == 25


def test_rows_mended_at_the_source_leave_the_quarantine(folder: Path, shop: Any) -> None:
    change(folder, "completed", "done")
    shop.land(folder)
    assert len(shop.quarantine("order_lines")) == 1
    change(folder, "done", "completed")
    shop.land(folder)
    assert shop.quarantine("order_lines") == []
    assert len(shop.rows("order_lines")) == 75


def test_counts_and_reasons_are_kept_in_the_ledger_also_where_nothing_was_landed_anew(folder: Path, shop: Any) -> None:
    change(folder, "completed", "done")
    shop.land(folder)
    (shop.workspace.home / "ledger.sqlite").unlink()
    assert shop.land(folder).reused
    [counts] = [x for x in Ledger.open().landings("files", THREE) if x.table == "order_lines"]
    assert (counts.read, counts.accepted, counts.quarantined) == (75, 74, 1)
    assert counts.reasons == {"status is none of completed, cancelled, returned": 1}


def test_the_limits_are_settings(folder: Path, shop: Any, installation: Any) -> None:
    change(folder, ",5.00,", ",50.00,")
    shop.land(folder)
    assert shop.quarantine("order_lines") == []
    installation(max_unit_price=20)
    shop.land(folder)
    [refused] = shop.quarantine("order_lines")
    assert refused["reasons"] == ["gross_amount is more than 20 a unit"]
    installation(max_quarantine_share=0.01)
    with pytest.raises(BadInputError, match=r"1 of 75 rows \(1\.3%\)"):
        shop.land(folder)


def test_landing_under_another_version_of_the_contract_is_refused(folder: Path, shop: Any) -> None:
    shop.land(folder)
    record = shop.workspace.landed / "_landing.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"contract_version": 0}))
    with pytest.raises(ConfigurationError, match="version 0 of the contract"):
        shop.land(folder)


def test_another_folder_for_the_same_source_is_told(folder: Path, shop: Any, tmp_path: Path) -> None:
    shop.land(folder)
    shutil.copytree(folder, tmp_path / "other")
    [told] = shop.land(tmp_path / "other").warnings
    assert told.startswith(f"This source was landed from {folder} before")
    assert f"delete {shop.workspace.root}, and land each with a COLDFRAME_HOME of its own" in told


def test_the_summary_accounts_for_rows_after_the_as_of_and_before_the_start(folder: Path, shop: Any) -> None:
    change(folder, SHOP_TWO, SHOP_TWO.replace("p3", "nowhere"))
    said = shop.land(folder, as_of=TWO).summary
    assert "160 rows of 4 tables read as of 2024-01-02: 134 accepted, 1 in quarantine, 25 after 2024-01-02 left" in said
    said = shop.land(folder, as_of=TWO, start=TWO).summary
    assert "110 accepted, 0 in quarantine, 25 after 2024-01-02 left out, 25 before 2024-01-02 left out;" in said


def test_the_warning_of_refused_rows_says_how_many_reasons_it_does_not_list(folder: Path, shop: Any) -> None:
    change(folder, SHOP_TWO + ",5.00,0.50,0,completed", "o01-3,x,soon,c3,nowhere,north,shop,none,5.00,0.50,0,done")
    [told] = shop.land(folder).warnings
    assert told.startswith("order_lines: 1 row in quarantine. Most frequent: line_number is not a whole number (1); ")
    assert told.endswith("; and 2 more reasons")


def test_the_path_in_the_settings_is_that_of_the_source_in_the_settings(
    folder: Path, shop: Any, installation: Any
) -> None:
    installation(source="files", source_path=folder)
    assert shop.land(None).facts["accepted"] == 160
    installation(source="complete_journey")
    with pytest.raises(ConfigurationError, match="needs to know where your files are"):
        shop.land(None)


def test_an_unknown_source_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigurationError, match=r"Did you mean 'complete_journey'\? Known: complete_journey, files"):
        open_source("complete_jorney", None)


def test_a_source_that_lacks_a_required_table_is_refused(folder: Path, shop: Any, monkeypatch: Any) -> None:
    class Half(Files):
        def probe(self) -> Offer:
            return Offer(tables=("products",), files=(), delivered_on=THREE)

    monkeypatch.setattr("landing.sources.files.Files", Half)
    with pytest.raises(BadInputError, match="lacks merchants, calendar, order_lines"):
        land(Request(source="files", as_of=THREE, path=folder))
    assert "files" in ADAPTERS


@pytest.mark.parametrize(("query", "said"), [("select nothing from till", "till"), ("slect 1", "syntax error")])
def test_a_query_of_an_adapter_that_duckdb_cannot_run_is_said_to_be_the_adapters(
    query: str, said: str, folder: Path, shop: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(Files, "read", lambda self, connection, table, first, last: query)
    with pytest.raises(BadInputError, match=r"adapter of 'files' gives a query for merchants that DuckDB.*" + said):
        shop.land(folder)


def test_what_duckdb_refuses_an_adapter_while_it_reads_is_said_to_be_the_adapters(
    folder: Path, shop: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(Files, "read", lambda self, connection, *_: connection.execute("from till"))
    with pytest.raises(BadInputError, match=r"adapter of 'files' cannot read merchants.*Mend the adapter.*till"):
        shop.land(folder)


def test_a_source_read_in_pieces_lands_the_same_bytes_and_counts(folder: Path, shop: Any, monkeypatch: Any) -> None:
    change(folder, "p3,north,shop,2", "p3,north,shop,-2", times=2)
    whole = shop.land(folder)
    expected, refused = shop.bytes(), shop.quarantine("order_lines")
    shutil.rmtree(shop.workspace.root)

    def in_pieces(self: Files) -> Offer:
        return replace(probe(self), first_day=ONE, piece_days=2)

    probe = Files.probe
    monkeypatch.setattr(Files, "probe", in_pieces)
    pieces = shop.land(folder)
    facts = ("read", "accepted", "quarantined", "later", "earlier", "reasons")
    assert shop.bytes() == expected
    assert [r["order_id"] for r in shop.quarantine("order_lines")] == [r["order_id"] for r in refused]
    assert [pieces.facts["tables"]["order_lines"][f] for f in facts] == [
        whole.facts["tables"]["order_lines"][f] for f in facts
    ]


def test_what_landed_before_the_contract_learnt_a_column_is_not_landed_again(folder: Path, shop: Any) -> None:
    shop.land(folder)
    [merchants] = landed.visible(shop.workspace, "merchants", THREE)
    older = merchants.path.with_suffix(".older")
    duckdb.execute(f"copy (select * exclude (tier) from '{merchants.path}') to '{older}' (format parquet)")
    older.replace(merchants.path)
    before = shop.bytes()
    assert not shop.land(folder).reused
    assert shop.bytes() == before


def test_a_shop_that_knows_of_no_event_lands_with_a_calendar_without_rows(folder: Path, shop: Any) -> None:
    (folder / "calendar.csv").write_text("date,region,event,kind\n")
    shop.land(folder)
    assert shop.rows("calendar") == []
    assert len(shop.rows("order_lines")) == 75


def test_a_day_before_the_first_order_is_refused_with_how_many_are_later(folder: Path, shop: Any) -> None:
    with pytest.raises(BadInputError, match=r"order_lines: no row up to 2023-12-31 \(75 rows are later\)"):
        shop.land(folder, as_of=date(2023, 12, 31))


KILL_AT = """
import os, signal, sys
from datetime import date
from pathlib import Path
from coldframe.run import Request
from landing import steps, store
moved, move = 0, store.move
def dying_move(source, target):
    global moved
    if moved == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
    moved += 1
    move(source, target)
store.move = dying_move
steps.land(Request(source="files", as_of=date.fromisoformat(sys.argv[2]), path=Path(sys.argv[1])))
"""


@pytest.mark.parametrize("moves", [0, 1, 2, 10])
def test_a_landing_killed_between_two_moves_and_run_again_ends_like_one_that_was_not(
    moves: int, folder: Path, shop: Any, tmp_path: Path
) -> None:
    corrected = tmp_path / "corrected"
    shutil.copytree(folder, corrected)
    change(corrected, SHOP_TWO, SHOP_NINE)
    change(corrected, "Product 3,", "Better product 3,", "products")
    shop.land(folder, as_of=TWO)
    shop.land(corrected, as_of=LATER)
    undisturbed = shop.bytes()
    shutil.rmtree(shop.workspace.root)

    shop.land(folder, as_of=TWO)
    before = shop.bytes()
    killed = subprocess.run(
        [sys.executable, "-c", KILL_AT, str(corrected), str(LATER), str(moves)], env=dict(os.environ), check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert before.items() <= shop.bytes().items()
    assert shop.bytes() != undisturbed or moves > 3
    shop.land(corrected, as_of=LATER)
    assert shop.bytes() == undisturbed
    assert not list(shop.workspace.scratch.glob("*"))
