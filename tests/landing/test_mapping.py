"""What a mapping may say, and what comes of it: files whose names, columns, formats and units are somebody's own."""

import re
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from coldframe.errors import BadInputError
from coldframe.settings import PROJECT_ROOT
from landing.contract import BY_NAME, Type
from landing.expressions import FUNCTIONS, SYMBOLS, Cell, UnfitExpressionError, bind, fits, parse
from landing.mapping import ColumnEntry, TableEntry, Tables, read, write_cells
from landing.sources.files import Files
from landing.sources.postgres import Database

# What an expression may be --------------------------------------------------------------------------------------------

ROW = {
    "pieces": ("VARCHAR", "3"),
    "Order No": ("VARCHAR", "A-17"),
    "price": ("DECIMAL(10, 2)", "2.50"),
    "n": ("BIGINT", "7"),
    "sold": ("TIMESTAMP", "2024-03-01 23:30:00"),
    "N": ("VARCHAR", "another column"),
}
CELLS = {name: Cell(f"_{place}", kind, kind) for place, (name, kind) in enumerate((n, k) for n, (k, _) in ROW.items())}


def value(expression: str) -> Any:
    """What an expression makes of ROW."""
    sql, _ = bind(parse(expression), CELLS)
    row = ", ".join(f"cast('{text}' as {kind}) as _{place}" for place, (kind, text) in enumerate(ROW.values()))
    [(found,)] = duckdb.execute(f"select {sql} from (select {row})").fetchall()
    return found


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("cast(pieces as integer) * price", Decimal("7.50")),
        ("cast(pieces as integer) * price - cast(pieces as integer)", Decimal("4.50")),
        ("-n + 2 * (n - 1)", 5),
        ("n // 2 + n % 2", 4),
        (""""Order No" || '/' || pieces""", "A-17/3"),
        ("""replace('1.234,50', '.', '') """, "1234,50"),
        ("""cast(replace(replace('1.234,50', '.', ''), ',', '.') as decimal(18, 4))""", Decimal("1234.5000")),
        ("case when n > 5 and not price < 1 then 'completed' else 'cancelled' end", "completed"),
        ("case pieces when '3' then 'three' end", "three"),
        ("pieces in ('1', '2') or n between 1 and 9", True),
        ("pieces not in ('1', '2')", True),
        ("n is null", False),
        ("pieces is not null and pieces like '3%'", True),
        ("coalesce(nullif(pieces, '3'), 'none')", "none"),
        ("split_part(\"Order No\", '-', 2)", "17"),
        ("upper(substring('abc' from 2 for 1)) -- the middle", "B"),
        ("extract(year from sold)", 2024),
        ("sold - interval 1 day", datetime.fromisoformat("2024-02-29 23:30")),
        ("cast(sold as date)", date(2024, 3, 1)),
        ("date '2024-01-01'", date(2024, 1, 1)),
        ("strptime('1. 2. 2024', '%d. %m. %Y')", datetime.fromisoformat("2024-02-01 00:00")),
        ("try_cast('x' as integer)", None),
        ("'it''s'", "it's"),
        ('"N"', "another column"),
    ],
)
def test_an_expression_gives_what_sql_gives(expression: str, expected: Any) -> None:
    assert value(expression) == expected


ONLY = "may not be used: only functions of one row's cells may."
UNFIT = [
    ("", "it is empty."),
    ("-- nothing", "row() may not be used"),
    ("pieces +", "it breaks off: something is missing at its end."),
    ("case when n > 1", "it breaks off: something is missing at its end."),
    ("pieces pieces", "syntax error"),
    ("n; drop table cells", "syntax error"),
    ("n) as a, (n", "it is not one expression: do its brackets match?"),
    ("n) from cells where (n > 1", "it is not one expression: do its brackets match?"),
    ("n) union all select (n", "it is not one expression: do its brackets match?"),
    ("(select max(n) from cells)", f"a query inside it {ONLY}"),
    ("n in (select 1)", f"a query inside it {ONLY}"),
    ("exists(select 1)", f"a query inside it {ONLY}"),
    ("sum(n)", f"sum() {ONLY}"),
    ("count(*)", f"count_star() {ONLY}"),
    ("row_number() over ()", f"a window function {ONLY}"),
    ("lag(n) over (order by sold)", f"a window function {ONLY}"),
    ("read_csv('/etc/passwd')", f"read_csv() {ONLY}"),
    ("getenv('HOME')", f"getenv() {ONLY}"),
    ("current_setting('home_directory')", f"current_setting() {ONLY}"),
    ("nextval('s')", f"nextval() {ONLY}"),
    ("random()", f"random() {ONLY}"),
    ("now()", f"now() {ONLY}"),
    ("current_date", "there is no column 'current_date'."),
    ("current_timestamp", "there is no column 'current_timestamp'."),
    ("uper(pieces)", f"uper() {ONLY} Did you mean 'upper'?"),
    ("main.upper(pieces)", "upper() must be called as upper(…), without more."),
    ("pieces.upper()", "upper() must be called as upper(…), without more."),
    ("upper(pieces order by n)", "upper() must be called as upper(…), without more."),
    ("upper(distinct pieces)", "upper() must be called as upper(…), without more."),
    ("*", f"* {ONLY}"),
    ("columns('.*')", f"* {ONLY}"),
    ("$1", f"a parameter {ONLY}"),
    ("#1", f"positional_reference {ONLY}"),
    ("x -> x + 1", f"a lambda {ONLY}"),
    ("[n]", f"list_value() {ONLY}"),
    ("{'a': n}", f"struct_pack() {ONLY}"),
    ("pieces[1]", "array_extract may not be used."),
    ("try(n)", "try may not be used."),
    ("pieces collate nocase", f"collate {ONLY}"),
    ("sold at time zone 'Europe/Berlin'", "no time zone may be used in it: say `timezone:` beside `column:`."),
    ("till.pieces", "till.pieces: write the column's name alone."),
    ("peices", "there is no column 'peices'. Did you mean 'pieces'?"),
    ("Pieces", "there is no column 'Pieces'. Did you mean 'pieces'?"),
    ('"north"', "there is no column 'north'. Text goes into single quotes."),
    ("pieces * price", "No function matches the given name and argument types '*(VARCHAR, DECIMAL(10,2))'. "
     "To reckon with text, write cast(pieces as decimal(18, 4))."),
    ("pieces > 5", "Cannot compare values of type VARCHAR and type INTEGER_LITERAL. To reckon with text, write"),
    ("upper(pieces, 1)", "No function matches the given name and argument types 'upper(VARCHAR, INTEGER_LITERAL)'."),
    ("cast(pieces as money)", "Type with name money does not exist."),
    ("strptime(pieces, '%Q')", "Failed to parse format specifier %Q"),
    ("regexp_matches(pieces, '(')", "missing ): (."),
    ("date_trunc('fortnight', sold)", 'extract specifier "fortnight" not recognized.'),
]  # fmt: skip


@pytest.mark.parametrize(("expression", "message"), UNFIT, ids=[text or "nothing" for text, _ in UNFIT])
def test_an_expression_that_is_not_fit_is_refused_before_it_runs(expression: str, message: str) -> None:
    with pytest.raises(UnfitExpressionError) as refused:
        bind(parse(expression), CELLS)
    assert message in str(refused.value)


def test_a_function_that_exists_and_is_not_allowed_is_not_taken_for_a_slip() -> None:
    with pytest.raises(UnfitExpressionError) as refused:
        parse("random()")
    assert "Did you mean" not in str(refused.value)


def test_all_that_is_wrong_with_an_expression_is_told() -> None:
    with pytest.raises(UnfitExpressionError) as refused:
        parse("sum(n) + getenv('HOME') + sum(price)")
    assert refused.value.faults == (f"sum() {ONLY}", f"getenv() {ONLY}")


def test_every_allowed_function_is_one_of_rows_that_gives_the_same_every_time() -> None:
    known = duckdb.execute(
        "select function_name, list(distinct function_type), bool_and(coalesce(stability, 'CONSISTENT') = 'CONSISTENT')"
        " from duckdb_functions() group by all"
    ).fetchall()
    kinds = {name: set(types) for name, types, _ in known}
    stable = {name for name, _, consistent in known if consistent}
    for name in FUNCTIONS | SYMBOLS:
        assert kinds[name] <= {"scalar", "macro"}, name
        assert name in stable, name


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        # DuckDB computes what is there twice only once, and would do so where nothing catches the error.
        ("cast(pieces as integer) * cast(pieces as integer)", [(9, False), (None, True), (None, False)]),
        ("nullif(cast(pieces as integer), 3)", [(None, False), (None, True), (None, False)]),
        ("coalesce(cast(pieces as integer), 0)", [(3, False), (None, True), (0, False)]),
    ],
)
def test_only_the_row_an_expression_fails_for_is_refused(expression: str, expected: list[Any], tmp_path: Path) -> None:
    mapping = tmp_path / "mapping.yaml"
    columns = f"clicks: {{expression: '{expression}'}}, carts: {{expression: '{expression} + 1'}}"
    mapping.write_text(f"tables: {{traffic: {{columns: {{{columns}}}}}}}")
    plan = read(mapping, Tables).plan(BY_NAME["traffic"], {"pieces": Cell("_0")}, "till.csv")
    with duckdb.connect() as connection:
        write_cells(connection, f"select {plan.select} from (values ('3'), ('three'), (null)) as t(_0)")
        assert connection.execute("select clicks, refused <> '' from cells").fetchall() == expected
        # Other queries on the connection are optimized as before.
        assert connection.execute("select current_setting('disabled_optimizers')").fetchall() == [("",)]


def test_a_value_that_overflows_does_not_spoil_the_cells_beside_it() -> None:
    cells = {"n": Cell("_0", "BIGINT", "BIGINT")}
    sql, kind = bind(parse("n * n"), cells)
    assert kind == "BIGINT"
    with duckdb.connect() as connection:
        write_cells(
            connection,
            f"select _0 as n, try({{'v': {sql}}}) is null as failed from (values (3), (1::bigint << 62)) t(_0)",
        )
        assert connection.execute("from cells").fetchall() == [(3, False), (1 << 62, True)]


@pytest.mark.parametrize(
    ("wanted", "found", "fit"),
    [
        (Type.TEXT, "BOOLEAN", True),
        (Type.TEXT, "STRUCT(a INTEGER)", False),
        (Type.TEXT, "VARCHAR[]", False),
        (Type.INTEGER, "VARCHAR", True),
        (Type.INTEGER, "DOUBLE", True),
        (Type.INTEGER, "DOUBLE[]", False),
        (Type.MONEY, "BOOLEAN", False),
        (Type.DATE, "TIMESTAMP", False),
        (Type.TIMESTAMP, "DATE", True),
        (Type.TIMESTAMP, "TIMESTAMP WITH TIME ZONE", True),
        (Type.TIMESTAMP, "BIGINT", False),
    ],
)
def test_a_type_that_no_row_could_land_with_does_not_fit(wanted: Type, found: str, fit: bool) -> None:
    assert fits(wanted, found) is fit


# What a mapping says --------------------------------------------------------------------------------------------------


@pytest.fixture
def till(folder: Path) -> Path:
    """The good delivery, but its order lines are lines of a till: 75 rows in tills.csv, of which all are to land."""
    (folder / "order_lines.csv").unlink()
    write(folder / "tills.csv", [f'{n},p{n % 25},2,"2,50",0{1 + n % 3}.01.2024 {n % 24:02}:30,ok' for n in range(75)])
    return folder


def write(path: Path, rows: list[str], header: str = "No,product_id,pieces,Price each,sold,state") -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join([header, *rows]) + "\n")


TILL = """\
tables:
  order_lines:
    from: tills.csv
    columns:
      order_id: No
      line_number: {constant: 1}
      ordered_at: {column: sold, cast: "%d.%m.%Y %H:%M"}
      region: {constant: north}
      channel: {constant: shop}
      quantity: pieces
      gross_amount:
        expression: cast(pieces as integer) * cast(replace("Price each", ',', '.') as decimal(18, 4))
      merchant_discount: {constant: 0}
      platform_discount: {constant: 0}
      status:
        expression: case state when 'ok' then 'completed' else 'cancelled' end
"""


def mapped(folder: Path, *changes: tuple[str, str], text: str = TILL) -> Path:
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    (folder / "mapping.yaml").write_text(text)
    return folder


def test_renamed_constant_cast_and_computed_columns_land(till: Path, shop: Any) -> None:
    result = shop.land(mapped(till))
    assert result.warnings == ()
    [line] = [r for r in shop.rows("order_lines") if r["order_id"] == "17"]
    assert {name: cell for name, cell in line.items() if cell is not None} == {
        "order_id": "17",
        "line_number": 1,
        "ordered_at": datetime.fromisoformat("2024-01-03 17:30"),
        "product_id": "p17",
        "region": "north",
        "channel": "shop",
        "quantity": 2,
        "gross_amount": Decimal("5.0000"),
        "merchant_discount": Decimal(0),
        "platform_discount": Decimal(0),
        "status": "completed",
    }


def test_a_refused_row_shows_where_it_stood_and_what_stood_there(till: Path, shop: Any) -> None:
    path = till / "tills.csv"
    path.write_text(path.read_text().replace("03.01.2024 17:30", "31.11.2024 17:30", 1))
    shop.land(mapped(till))
    [refused] = shop.quarantine("order_lines")
    assert refused["reasons"] == ["ordered_at is not a time written as %d.%m.%Y %H:%M"]
    assert (refused["source_file"], refused["source_row"]) == ("tills.csv", 18)
    assert (refused["order_id"], refused["ordered_at"]) == ("17", "31.11.2024 17:30")


def test_a_cell_in_another_format_is_not_guessed_even_if_it_looks_like_a_time(till: Path, shop: Any) -> None:
    path = till / "tills.csv"
    path.write_text(path.read_text().replace("03.01.2024 17:30", "2024-01-03 17:30", 1))
    shop.land(mapped(till))
    assert len(shop.quarantine("order_lines")) == 1


def test_a_constant_that_refers_to_nothing_accepted_is_refused_row_by_row(till: Path, shop: Any) -> None:
    with pytest.raises(BadInputError, match="product_id is not among the accepted products"):
        shop.land(mapped(till, ("order_id: No", "order_id: No\n      product_id: {constant: p99}")))


@pytest.mark.parametrize(
    ("zone", "local", "utc"),
    [
        ("Europe/Berlin", "03.01.2024 00:30", "2024-01-02 23:30"),
        ("Europe/Berlin", "02.07.2024 00:30", "2024-07-01 22:30"),
        ("America/New_York", "01.01.2024 20:00", "2024-01-02 01:00"),
        # Clocks went forward, then back: the hour that was not counts on, the hour that was twice is the second one.
        ("Europe/Berlin", "31.03.2024 02:30", "2024-03-31 01:30"),
        ("Europe/Berlin", "27.10.2024 02:30", "2024-10-27 01:30"),
    ],
)
def test_a_local_time_becomes_utc(zone: str, local: str, utc: str, till: Path, shop: Any) -> None:
    write(till / "tills.csv", [f'1,p1,2,"2,50",{local},ok'])
    as_of = date(2024, 12, 31)
    shop.land(mapped(till, ('%H:%M"', f'%H:%M", timezone: {zone}')), as_of=as_of)
    [line] = shop.rows("order_lines", as_of)
    assert line["ordered_at"] == datetime.fromisoformat(utc)


def test_an_offset_in_the_cell_is_read_by_the_format(till: Path, shop: Any) -> None:
    write(till / "tills.csv", ['1,p1,2,"2,50",03.01.2024 01:30 +0200,ok'])
    shop.land(mapped(till, ("%H:%M", "%H:%M %z")))
    [line] = shop.rows("order_lines")
    assert line["ordered_at"] == datetime.fromisoformat("2024-01-02 23:30")


def test_dates_can_be_cast_too(till: Path, shop: Any) -> None:
    path = till / "products.csv"
    path.write_text(path.read_text().replace("2023-06-01", "06/01/23"))
    more = '  products: {columns: {launched_on: {column: launched_on, cast: "%m/%d/%y"}}}\n'
    shop.land(mapped(till, text=TILL + more))
    assert {r["launched_on"] for r in shop.rows("products")} == {date(2023, 6, 1)}


def test_words_yaml_reads_as_something_else_are_names_and_text(till: Path, shop: Any) -> None:
    path = till / "tills.csv"
    path.write_text(path.read_text().replace("pieces", "no", 1))
    changes = (("quantity: pieces", "quantity: no"), ("cast(pieces", "cast(no"), ("constant: north", "constant: on"))
    shop.land(mapped(till, *changes, ("constant: shop", "constant: 2024-01-01")))
    assert {(r["quantity"], r["region"], r["channel"]) for r in shop.rows("order_lines")} == {(2, "on", "2024-01-01")}


def test_an_empty_text_is_a_constant_where_the_contract_knows_it_as_a_value(folder: Path, shop: Any) -> None:
    header = "date,product_id,region,channel,impressions,clicks,carts"
    write(folder / "traffic.csv", ["2024-01-01,p1,north,search,10,2,1"], header)
    text = "tables: {traffic: {columns: {content_id: {constant: ''}}}}"
    assert shop.land(mapped(folder, text=text)).warnings == ()
    assert [r["content_id"] for r in shop.rows("traffic")] == [""]


def test_columns_that_differ_only_in_case_are_told_apart(till: Path, shop: Any) -> None:
    header = "No,product_id,pieces,Pieces,Price each,sold,state"
    write(till / "tills.csv", ['1,p1,2,9,"2,50",03.01.2024 01:30,ok'], header)
    shop.land(mapped(till, ("quantity: pieces", "quantity: Pieces")))
    [line] = shop.rows("order_lines")
    assert (line["quantity"], line["gross_amount"]) == (9, Decimal("5.0000"))


# Which files ----------------------------------------------------------------------------------------------------------


def test_one_file_can_hold_two_tables(till: Path, shop: Any) -> None:
    (till / "merchants.csv").unlink()
    write(till / "people.csv", [f"m{i},Firm {i},c{i}" for i in range(20)], "seller,firm,customer_id")
    more = (
        "  merchants: {from: people.csv, columns: {merchant_id: seller, name: firm}}\n  customers: {from: people.csv}\n"
    )
    result = shop.land(mapped(till, text=TILL + more))
    assert result.warnings == ()
    assert [result.facts["tables"][t]["accepted"] for t in ("merchants", "customers")] == [20, 20]


@pytest.mark.parametrize("origin", ["[tills/a.csv, tills/b.csv]", "tills", "tills/", "[./tills/a.csv, tills/b.csv]"])
def test_several_files_and_a_folder_hold_one_table(origin: str, till: Path, shop: Any) -> None:
    header, *rows = (till / "tills.csv").read_text().splitlines()
    (till / "tills.csv").unlink()
    write(till / "tills" / "a.csv", rows[:40], header)
    write(till / "tills" / "b.csv", rows[40:], header)
    assert shop.land(mapped(till, ("tills.csv", origin))).warnings == ()
    assert len(shop.rows("order_lines")) == 75


def test_each_file_of_a_table_is_held_against_the_mapping(till: Path) -> None:
    header, *rows = (till / "tills.csv").read_text().splitlines()
    (till / "tills.csv").unlink()
    write(till / "tills" / "a.csv", rows[:40], header)
    write(till / "tills" / "b.csv", rows[40:], header.replace("pieces", "Stück"))
    with pytest.raises(BadInputError) as refused:
        Files(mapped(till, ("tills.csv", "tills"))).probe()
    assert "line 10, column 17: order_lines.quantity from tills/b.csv: there is no column 'pieces'." in str(
        refused.value
    )
    assert "line 12, column 21: order_lines.gross_amount from tills/b.csv: there is no column" in str(refused.value)
    assert "a.csv" not in str(refused.value)


def test_a_typed_file_needs_no_conversion(till: Path, shop: Any) -> None:
    duckdb.execute(
        f"""
        copy (
            select * replace (strptime(sold, '%d.%m.%Y %H:%M') as sold, cast(pieces as integer) as pieces),
                   cast(2.5 as double) as price
            from read_csv('{till / "tills.csv"}', all_varchar = true)
        ) to '{till / "tills.parquet"}' (format parquet)
        """
    )
    (till / "tills.csv").unlink()
    text = re.sub(r"expression: cast\(pieces.*", "expression: pieces * price", TILL)
    given = ('{column: sold, cast: "%d.%m.%Y %H:%M"}', "{column: sold, timezone: Asia/Tokyo}")
    assert shop.land(mapped(till, ("tills.csv", "tills.parquet"), given, text=text)).warnings == ()
    [line] = [r for r in shop.rows("order_lines") if r["order_id"] == "17"]
    assert (line["gross_amount"], line["ordered_at"]) == (Decimal(5), datetime.fromisoformat("2024-01-03 08:30"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ('{column: sold, cast: "%Y-%m-%d"}', "sold is TIMESTAMP already: leave cast out."),
        ("day", "day is INTEGER, and ordered_at must be a time: {expression: cast(… as timestamp)}."),
        ("{column: day, timezone: Asia/Tokyo}", "day is INTEGER: leave timezone out."),
        ("{column: No, timezone: Asia/Tokyo}", "No is VARCHAR: say how it is written (cast: …)."),
    ],
)
def test_a_conversion_that_a_columns_type_does_not_allow_is_told(given: str, message: str, till: Path) -> None:
    duckdb.execute(
        f"""
        copy (
            select * replace (strptime(sold, '%d.%m.%Y %H:%M') as sold), 1 as day
            from read_csv('{till / "tills.csv"}', all_varchar = true)
        ) to '{till / "tills.parquet"}' (format parquet)
        """
    )
    (till / "tills.csv").unlink()
    changes = (("tills.csv", "tills.parquet"), ('{column: sold, cast: "%d.%m.%Y %H:%M"}', given))
    with pytest.raises(BadInputError, match=re.escape(f"order_lines.ordered_at from tills.parquet: {message}")):
        Files(mapped(till, *changes)).probe()


def test_a_table_that_is_left_out_is_not_landed(till: Path, shop: Any) -> None:
    write(till / "customers.csv", ["a@example.org"], "email")
    with pytest.raises(BadInputError, match=r"customers\.csv: column 'customer_id' is missing"):
        shop.land(mapped(till))
    result = shop.land(mapped(till, text=TILL + "leave_out: [customers]\n"))
    assert "customers" not in result.facts["tables"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            "leave_out: [custmers]\n",
            "line 17, column 13: the contract has no table 'custmers'. Did you mean 'customers'?",
        ),
        ("leave_out: [order_lines]\n", "line 2, column 3: order_lines is mapped, and in leave_out as well. Keep one."),
        ("leave_out: [products]\n", "products is missing. Add products.csv or products.parquet."),
        ("leave_out: all\n", "line 17, column 12: leave_out"),
        ("  prices:\n", "line 17, column 10: prices is empty. Say something, or remove it."),
        ("  prices: {}\n", "line 17, column 3: there is no prices.csv or prices.parquet. Say `from:` which file holds"),
        ("  prices: cheap\n", "line 17, column 11: prices must hold keys."),
        ("  prices: {from: []}\n", "line 17, column 3: there is no prices.csv"),
        (
            "  prices: {from: ''}\n",
            "line 17, column 18: prices: the folder has no .csv or .csv.gz or .parquet file ''.",
        ),
    ],
)
def test_what_else_can_be_wrong_with_tables_is_told_with_its_line(more: str, message: str, till: Path) -> None:
    with pytest.raises(BadInputError, match=re.escape(message)):
        Files(mapped(till, text=TILL + more)).probe()


# How it is told -------------------------------------------------------------------------------------------------------


def test_all_that_is_wrong_is_told_at_once_in_the_order_of_the_lines_which_are_shown(till: Path) -> None:
    (till / "calendar.csv").unlink()
    changes = (
        ("order_id: No", "order_id: Nr"),
        ("constant: 1", "constant: one"),
        ("%d.%m", "%d.%Q"),
        ("constant: north", "constnt: north"),
        ("cast(pieces as integer)", "sum(pieces)"),
        ("status:", "state:"),
    )
    with pytest.raises(BadInputError) as refused:
        Files(mapped(till, *changes)).probe()
    told = str(refused.value)
    assert told.startswith(f"{till} cannot be landed: 8 problem(s). Nothing was landed.")
    assert re.findall(r"mapping\.yaml, line (\d+)", told) == ["5", "6", "7", "8", "12", "15"]
    assert "\n  tills.csv: column 'status' is missing. Is it 'state'?" in told
    assert "\n  calendar is missing." in told
    shown = "        order_id: Nr\n                        ^"
    assert shown.replace(" ", "") in told.replace(" ", "")


def test_what_follows_from_a_slip_is_not_told_again(till: Path) -> None:
    with pytest.raises(BadInputError, match=r"1 problem\(s\)"):
        Files(mapped(till, ("    columns:", "    colums:"))).probe()


def test_of_columns_nobody_maps_only_what_looks_like_a_slip_is_told(till: Path, shop: Any) -> None:
    header = "No,product_id,pieces,Price each,sold,state,costumer_id,cashier"
    write(till / "tills.csv", ['1,p1,2,"2,50",03.01.2024 01:30,ok,c1,Eva'], header)
    assert shop.land(mapped(till)).warnings == (
        "tills.csv: column 'costumer_id' is ignored: order_lines has no such column. Did you mean 'customer_id'?",
    )


def test_a_mapping_that_changed_is_landed_again(till: Path, shop: Any) -> None:
    shop.land(mapped(till))
    assert shop.land(mapped(till)).reused
    assert not shop.land(mapped(till, ("constant: north", "constant: south"))).reused
    assert {r["region"] for r in shop.rows("order_lines")} == {"south"}


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (f"url: postgresql://me:{'s3cret' * 20}@host/shop", "postgresql://me:****"),
        ("url: postgresql://me:s3cret/s3cret:s3cret@s3cret@host/shop", "postgresql://me:***"),
        ("url: 'host=db password=s3cret dbname=shop'", "host=db password=***"),
        ("url: host=db password = 's3cret s3cret' dbname=shop", "host=db password = ***"),
        ("password: s3cret", "password: ***"),
    ],
)
def test_a_password_in_a_line_that_is_wrong_is_not_shown(line: str, shown: str, tmp_path: Path) -> None:
    path = tmp_path / "shop.yaml"
    path.write_text(line)
    [told] = read(path, Tables).told()
    assert shown in told
    assert "s3cret" not in told


def test_a_key_that_is_no_name_is_told(tmp_path: Path) -> None:
    path = tmp_path / "mapping.yaml"
    path.write_text("tables: {{{ order_lines }}: {}}")
    [told] = read(path, Tables).told()
    assert told.startswith("mapping.yaml, line 1, column 10: the contract has no table '?'.")


# What the guide says --------------------------------------------------------------------------------------------------

GUIDE = (PROJECT_ROOT / "docs" / "bring-your-own-data.md").read_text(encoding="utf-8")


@pytest.fixture
def guide(tmp_path: Path) -> Path:
    """The folder `till` of the guide."""
    for name, text in re.findall(r'```(?:csv|yaml) title="till/([^"]+)"\n(.*?)```', GUIDE, re.DOTALL):
        (tmp_path / "till").mkdir(exist_ok=True)
        (tmp_path / "till" / name).write_text(text)
    return tmp_path / "till"


def test_the_guides_mapping_lands_as_it_says(guide: Path, shop: Any) -> None:
    as_of = date(2024, 1, 2)
    result = shop.land(guide, as_of=as_of)
    assert result.warnings == ()
    assert result.facts["quarantined"] == 0
    columns = ("order_id", "line_number", "ordered_at", "quantity", "gross_amount", "platform_discount", "status")
    nine, evening = datetime.fromisoformat("2024-01-02 08:12"), datetime.fromisoformat("2024-01-02 19:45")
    assert [tuple(row[c] for c in columns) for row in shop.rows("order_lines", as_of)] == [
        ("5001", 1, nine, 2, Decimal(15), Decimal(0), "completed"),
        ("5001", 2, nine, 1, Decimal(5), Decimal("0.5"), "completed"),
        ("5002", 1, evening, 1, Decimal("7.5"), Decimal(0), "cancelled"),
    ]


def test_what_the_guide_shows_of_a_wrong_mapping_is_what_is_told(guide: Path) -> None:
    mapping = guide / "mapping.yaml"
    mapping.write_text(mapping.read_text().replace(": Receipt ", ": Reciept ").replace("%d.%m.%Y %H:%M", "dd.mm.yyyy"))
    with pytest.raises(BadInputError) as refused:
        Files(guide).probe()
    assert f"```text\n{refused.value}\n```".replace(str(guide), "till") in GUIDE


def test_the_guides_reason_of_a_refused_row_is_the_one_given(guide: Path, shop: Any) -> None:
    path = guide / "receipts.csv"
    path.write_text(path.read_text().replace("02.01.2024 20:45", "today"))
    with pytest.raises(BadInputError) as refused:
        shop.land(guide, as_of=date(2024, 1, 2))
    [reason] = re.findall(r"Most frequent: (.*) \(1\)", str(refused.value))
    assert f"`{reason}`" in GUIDE


def test_the_guides_file_for_a_database_has_nothing_wrong_with_it(tmp_path: Path) -> None:
    [text] = re.findall(r'```yaml title="shop.yaml"\n(.*?)```', GUIDE, re.DOTALL)
    (tmp_path / "shop.yaml").write_text(text)
    found = read(tmp_path / "shop.yaml", Database)
    assert found.told() == []
    assert (found.settings.url_env, found.origin("order_lines")) == ("SHOP_DATABASE_URL", ("sales",))


def test_the_guide_names_every_key(guide: Path) -> None:
    keys = {*Tables.keys(), *Database.keys(), *TableEntry.keys(), *ColumnEntry.keys()} - {"url"}
    assert [key for key in sorted(keys) if not re.search(rf"\b{key}\b", GUIDE)] == []


def german(text: str) -> bytes:
    """As a German spreadsheet saves it: semicolons, and the euro sign where Latin-1 has none."""
    return text.replace(",", ";").replace("Product 3", "Müsli zu 3 €").encode("cp1252")


def test_separators_and_encodings_are_those_of_the_mapping_and_a_table_may_have_its_own(
    folder: Path, shop: Any
) -> None:
    for table in ("merchants", "products", "calendar"):
        path = folder / f"{table}.csv"
        path.write_bytes(german(path.read_text()))
    lines = folder / "order_lines.csv"
    lines.write_bytes(lines.read_text().replace(",north,", ",Süd,").replace(",", "\t").encode("utf-16"))
    (folder / "mapping.yaml").write_text(
        """
separator: ";"
encoding: cp1252
tables:
  order_lines: {separator: "\\t", encoding: utf-16}
"""
    )
    result = shop.land(folder)
    assert result.facts["quarantined"] == 0
    assert "Müsli zu 3 €" in {row["title"] for row in shop.rows("products")}
    assert {row["region"] for row in shop.rows("order_lines")} == {"Süd"}


def test_a_line_of_another_encoding_that_cannot_be_divided_is_quarantined_under_its_files_name(
    folder: Path, shop: Any
) -> None:
    path = folder / "order_lines.csv"
    path.write_bytes(path.read_text().replace(",north,", ",Süd,north,", 1).encode("latin-1"))
    (folder / "mapping.yaml").write_text("encoding: latin-1\n")
    shop.land(folder)
    [refused] = shop.quarantine("order_lines")
    assert refused["source_file"] == "order_lines.csv"
    assert "Süd" in refused["unreadable"]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_days_on_which_the_shop_was_closed_are_files_without_rows(suffix: str, folder: Path, shop: Any) -> None:
    header, *rows = (folder / "order_lines.csv").read_text().splitlines()
    (folder / "order_lines.csv").unlink()
    (folder / "order_lines").mkdir()
    for number, part in enumerate([rows[:50], [], rows[50:], []]):
        path = folder / "order_lines" / f"{number}.csv"
        path.write_text("\n".join([header, *part]) + "\n")
        if suffix == ".parquet":
            duckdb.execute(
                f"copy (from read_csv('{path}', all_varchar = true, header = true)) to '{path.with_suffix(suffix)}'"
            )
            path.unlink()
    result = shop.land(folder)
    assert result.facts["tables"]["order_lines"]["accepted"] == 75
    assert result.warnings == ()


def test_an_optional_table_without_rows_lands_empty_and_is_told(folder: Path, shop: Any) -> None:
    columns = ",".join(column.name for column in BY_NAME["refunds"].columns)
    (folder / "refunds.csv").write_text(columns + "\n")
    result = shop.land(folder)
    assert shop.rows("refunds") == []
    assert result.warnings == (
        "refunds.csv: a header and no rows, so refunds is empty. Remove it if there is no such table.",
    )
