"""Snapshots are what everyone reads: they must be repeatable, immutable, atomic and cheap to add to."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import duckdb
import ibis
import pytest
from ibis.backends.sql import SQLBackend

from coldframe import snapshots
from coldframe.errors import ColdframeError, NotAvailableError
from coldframe.paths import Workspace
from coldframe.snapshots import Mart

SALES = Mart("fct_sales", "marts", order_by=("day", "product_id"), partition_by="day")
PRODUCTS = Mart("dim_product", "marts", order_by=("product_id",))
AS_OF = date(2017, 2, 28)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(home=tmp_path, source="shop")


@pytest.fixture
def backend() -> Iterator[SQLBackend]:
    backend = ibis.duckdb.connect()
    backend.raw_sql("create schema marts")
    backend.raw_sql(
        """
        create table marts.fct_sales as
        select (date '2017-01-01' + (i % 59)::int) as day, 'p' || (i % 7) as product_id, i as units
        from range(5000) as r (i)
        """
    )
    backend.raw_sql("create table marts.dim_product as select 'p' || i as product_id from range(7) as r (i)")
    yield backend
    backend.disconnect()


def publish(workspace: Workspace, backend: SQLBackend, as_of: date = AS_OF) -> snapshots.Snapshot:
    return snapshots.publish(workspace, backend, as_of, [SALES, PRODUCTS], contract_version=1)


def test_a_snapshot_holds_every_row_and_a_checksum_for_every_file(workspace: Workspace, backend: SQLBackend) -> None:
    snapshot = publish(workspace, backend)
    assert len(snapshot.frame("fct_sales")) == snapshot.manifest["tables"]["fct_sales"]["rows"] == 5000
    assert [f.name for f in snapshot.files("fct_sales")] == ["2017-01.parquet", "2017-02.parquet"]
    assert snapshot.as_of == AS_OF
    snapshot.verify()


def test_publishing_the_same_facts_twice_makes_one_snapshot(workspace: Workspace, backend: SQLBackend) -> None:
    first = publish(workspace, backend)
    assert publish(workspace, backend).id == first.id
    assert len(snapshots.all_snapshots(workspace)) == 1


def test_the_same_facts_in_another_order_make_the_same_bytes(tmp_path: Path, backend: SQLBackend) -> None:
    sales = Mart("fct_sales", "marts", order_by=("day", "product_id", "units"), partition_by="day")
    first = snapshots.publish(Workspace(tmp_path / "a", "shop"), backend, AS_OF, [sales], 1)
    backend.raw_sql("create table marts.again as from marts.fct_sales order by units desc")
    backend.raw_sql("drop table marts.fct_sales")
    backend.raw_sql("alter table marts.again rename to fct_sales")
    second = snapshots.publish(Workspace(tmp_path / "b", "shop"), backend, AS_OF, [sales], 1)
    assert first.id == second.id


def test_an_unchanged_partition_is_linked_and_a_changed_one_is_written(
    workspace: Workspace, backend: SQLBackend
) -> None:
    first = publish(workspace, backend)
    backend.raw_sql("update marts.fct_sales set units = units + 1 where day >= date '2017-02-01'")
    second = publish(workspace, backend)
    january, february = (
        [(s.path / f"fct_sales/2017-{month}.parquet").stat().st_ino for s in (first, second)] for month in ("01", "02")
    )
    assert january[0] == january[1]
    assert february[0] != february[1]


def test_the_pointer_moves_only_after_the_last_file_is_in_place(
    workspace: Workspace, backend: SQLBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = publish(workspace, backend)
    backend.raw_sql("delete from marts.fct_sales where units < 100")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(snapshots, "_flush", killed)
    with pytest.raises(KeyboardInterrupt):
        publish(workspace, backend)
    assert snapshots.current(workspace).id == first.id
    monkeypatch.undo()
    second = publish(workspace, backend)
    assert snapshots.current(workspace).id == second.id != first.id


def test_a_damaged_file_is_named(workspace: Workspace, backend: SQLBackend) -> None:
    snapshot = publish(workspace, backend)
    (snapshot.path / "dim_product/all.parquet").write_bytes(b"not parquet")
    with pytest.raises(ColdframeError, match=r"dim_product/all\.parquet"):
        snapshot.verify()


def test_pruning_keeps_the_newest_the_current_and_what_plans_need(workspace: Workspace, backend: SQLBackend) -> None:
    ids = [publish(workspace, backend, date(2017, 2, day)).id for day in (1, 2, 3, 4, 5)]
    publish(workspace, backend, date(2017, 2, 1))
    gone = snapshots.prune(workspace, keep=2, needed=[ids[2]])
    assert gone == [ids[1]]
    for snapshot in snapshots.all_snapshots(workspace):
        snapshot.verify()


def test_an_empty_mart_is_published_with_its_columns(workspace: Workspace, backend: SQLBackend) -> None:
    backend.raw_sql("delete from marts.fct_sales")
    snapshot = publish(workspace, backend)
    assert list(snapshot.frame("fct_sales").columns) == ["day", "product_id", "units"]
    assert snapshot.frame("fct_sales").empty


def test_reading_before_the_first_publication_says_which_step_is_missing(workspace: Workspace) -> None:
    with pytest.raises(NotAvailableError, match="coldframe audit"):
        snapshots.current(workspace)


def test_a_snapshot_refuses_a_table_it_lacks_and_lists_what_it_has(workspace: Workspace, backend: SQLBackend) -> None:
    with pytest.raises(NotAvailableError, match="fct_sales, dim_product"):
        publish(workspace, backend).files("fct_nothing")


def test_only_models_marked_for_publication_are_taken_from_the_dbt_manifest() -> None:
    def model(alias: str, meta: dict[str, object]) -> dict[str, object]:
        return {"resource_type": "model", "alias": alias, "schema": "marts", "config": {"meta": meta}}

    nodes = {
        "a": model("fct_sales", {"publish": True, "partition_by": "day", "order_by": ["day", "product_id"]}),
        "b": model("int_hidden", {}),
        "c": {"resource_type": "test", "alias": "t", "schema": "x", "config": {}},
    }
    assert snapshots.marts_from_manifest({"nodes": nodes}) == [SALES]


def test_a_reader_keeps_its_snapshot_while_another_is_published(workspace: Workspace, backend: SQLBackend) -> None:
    held = publish(workspace, backend)
    backend.raw_sql("delete from marts.dim_product")
    publish(workspace, backend)
    with duckdb.connect() as connection:
        assert connection.execute(f"select count(*) from '{held.glob('dim_product')}'").fetchone() == (7,)
