"""What becomes of a delivery somebody broke: which message, which rows, and what is left of what was landed before."""

import gzip
import re
import shutil
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pytest

from coldframe.errors import BadInputError, ConfigurationError

Break = Callable[[Path], Any]
LINES = 75
DAY_ONE, DAY_TWO, DAY_THREE = date(2024, 1, 1), date(2024, 1, 2), date(2024, 1, 3)


# How a delivery is broken -------------------------------------------------------------------------------------------


def cell(table: str, column: str, value: str, row: int = 3) -> Break:
    """Writes `value` into one cell; rows are counted from 0."""

    def apply(folder: Path) -> None:
        lines = (folder / f"{table}.csv").read_text().splitlines()
        place = lines[0].split(",").index(column)
        cells = lines[row + 1].split(",")
        cells[place] = value
        lines[row + 1] = ",".join(cells)
        (folder / f"{table}.csv").write_text("\n".join(lines) + "\n")

    return apply


def order(column: str, value: str, row: int = 3) -> Break:
    return cell("order_lines", column, value, row)


def text(change: Callable[[str], str], table: str = "order_lines") -> Break:
    def apply(folder: Path) -> None:
        path = folder / f"{table}.csv"
        path.write_text(change(path.read_text()))

    return apply


def content(change: Callable[[bytes], bytes], table: str = "order_lines") -> Break:
    def apply(folder: Path) -> None:
        path = folder / f"{table}.csv"
        path.write_bytes(change(path.read_bytes()))

    return apply


def appended(line: str, table: str = "order_lines") -> Break:
    return text(lambda t: t + line + "\n", table)


def again(number: int, **cells: str) -> Break:
    """Adds data row `number` once more, with some cells changed."""

    def apply(folder: Path) -> None:
        path = folder / "order_lines.csv"
        header, *rows = path.read_text().splitlines()
        values = dict(zip(header.split(","), rows[number].split(","), strict=True)) | cells
        path.write_text("\n".join([header, *rows, ",".join(values.values())]) + "\n")

    return apply


def as_parquet(table: str = "order_lines", sql: str = "*", name: str | None = None) -> Break:
    def apply(folder: Path) -> None:
        path = folder / f"{table}.csv"
        target = folder / (name or f"{table}.parquet")
        target.parent.mkdir(exist_ok=True)
        duckdb.execute(f"copy (select {sql} from read_csv('{path}')) to '{target}' (format parquet)")
        path.unlink()

    return apply


def cut(suffix: str) -> Break:
    def apply(folder: Path) -> None:
        if suffix == ".parquet":
            as_parquet()(folder)
        else:
            as_gzip(folder)
        path = folder / f"order_lines{suffix}"
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return apply


def as_gzip(folder: Path) -> None:
    path = folder / "order_lines.csv"
    (folder / "order_lines.csv.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()


def in_parts(*parts: slice) -> Break:
    """Divides order_lines.csv into order_lines/part-0.csv, part-1.csv …"""

    def apply(folder: Path) -> None:
        header, *rows = (folder / "order_lines.csv").read_text().splitlines()
        (folder / "order_lines.csv").unlink()
        (folder / "order_lines").mkdir()
        for number, part in enumerate(parts):
            (folder / "order_lines" / f"part-{number}.csv").write_text("\n".join([header, *rows[part]]) + "\n")

    return apply


def both(*steps: Break) -> Break:
    def apply(folder: Path) -> None:
        for step in steps:
            step(folder)

    return apply


def renamed(old: str, new: str, table: str = "order_lines") -> Break:
    return text(lambda t: t.replace(old, new, 1), table)


MAPPING = """\
tables:
  order_lines:
    from: till.csv
    columns:
      order_id: Receipt
      ordered_at: {column: sold, cast: "%Y-%m-%d %H:%M:%S"}
      channel: {constant: shop}
      quantity: pieces
      gross_amount:
        expression: cast(pieces as integer) * cast(price as decimal(18, 4))
"""


def mapped(old: str = "", new: str = "") -> Break:
    """The order lines come in columns of other names, with a mapping in which `old` is replaced by `new`."""

    def apply(folder: Path) -> None:
        assert old in MAPPING
        lines = (folder / "order_lines.csv").read_text()
        for ours, theirs in (("order_id", "Receipt"), ("ordered_at", "sold"), ("channel", "till"),
                             ("quantity", "pieces"), ("gross_amount", "price")):  # fmt: skip
            lines = lines.replace(ours, theirs, 1)
        (folder / "order_lines.csv").unlink()
        (folder / "till.csv").write_text(lines)
        (folder / "mapping.yaml").write_text(MAPPING.replace(old, new, 1) if old else MAPPING)

    return apply


def saying(mapping: str) -> Break:
    return lambda folder: (folder / "mapping.yaml").write_text(mapping)


# Bad rows: the good ones land, the bad ones lie in quarantine with their reasons -------------------------------------


class BadRow(NamedTuple):
    name: str
    breaks: Break
    reasons: list[str]
    accepted: int = LINES - 1
    table: str = "order_lines"
    file: str | None = None


NOT_MONEY = "gross_amount is not a number (plain digits, at most 14 before the point)"
NOT_A_TIME = "ordered_at is not a time (YYYY-MM-DD HH:MM:SS, in UTC or with an offset)"
BAD_ROWS = [
    BadRow("text where a number belongs", order("quantity", "two"), ["quantity is not a whole number"]),
    BadRow("a quantity of 1.5", order("quantity", "1.5"), ["quantity is not a whole number"]),
    BadRow("a hexadecimal quantity", order("quantity", "0x10"), ["quantity is not a whole number"]),
    BadRow("a negative quantity", order("quantity", "-2"), ["quantity is less than 1"]),
    BadRow("a quantity of zero", order("quantity", "0"), ["quantity is less than 1"]),
    BadRow("a null key", order("order_id", ""), ["order_id is empty"]),
    BadRow("a key of spaces", order("order_id", "   "), ["order_id is empty"]),
    BadRow("no region", order("region", ""), ["region is empty"]),
    BadRow("a duplicate key", again(3, quantity="7"),
           ["repeats an earlier row with the same key (order_id, line_number) but differs in quantity"], LINES),
    BadRow("an exact duplicate", again(3),
           ["repeats an earlier row with the same key (order_id, line_number)"], LINES),
    BadRow("an unknown product", order("product_id", "p999"), ["product_id is not among the accepted products"]),
    BadRow("an order from the future", order("ordered_at", "2099-01-01 10:00:00"), ["ordered_at lies in the future"]),
    BadRow("an order at the end of time", order("ordered_at", "infinity"), [NOT_A_TIME]),
    BadRow("an order from 1970", order("ordered_at", "1970-01-01 00:00:00"), ["ordered_at lies before 1990-01-01"]),
    BadRow("30 February", order("ordered_at", "2024-02-30 10:00:00"), [NOT_A_TIME]),
    BadRow("a time of another country", order("ordered_at", "1/3/2024 10:00"), [NOT_A_TIME]),
    BadRow("a status nobody knows", order("status", "shipped"),
           ["status is none of completed, cancelled, returned"]),
    BadRow("a price of 1e12", order("gross_amount", "1e12"), ["gross_amount is more than 1000000 a unit"]),
    BadRow("an amount that is not a number", order("gross_amount", "NaN"), [NOT_MONEY]),
    BadRow("an infinite amount", order("gross_amount", "inf"), [NOT_MONEY]),
    BadRow("an amount beyond DECIMAL(18, 4)", order("gross_amount", "1e30"), [NOT_MONEY]),
    BadRow("thousands separators", order("gross_amount", '"1,234.00"'), [NOT_MONEY]),
    BadRow("discounts above gross", order("merchant_discount", "5.01"),
           ["merchant_discount + platform_discount exceed gross_amount"]),
    BadRow("a line with a cell too many", text(lambda t: t.replace("c3,", "c3,c3,", 1)),
           ["the line has more or fewer cells than the header"]),
    BadRow("a line with a cell too few", text(lambda t: t.replace("c3,", "", 1)),
           ["the line has more or fewer cells than the header"]),
    BadRow("three faults in one row", both(order("quantity", "-2"), order("status", ""), order("region", "")),
           ["region is empty", "quantity is less than 1", "status is empty"]),
    BadRow("one product with two merchants",
           appended("p3,m7,Product 3,tea,green tea,unbranded,2.50,2023-06-01", "products"),
           ["repeats an earlier row with the same key (product_id) but differs in merchant_id"], 40, "products"),
    BadRow("a product of an unknown merchant", cell("products", "merchant_id", "m99", row=30),
           ["merchant_id is not among the accepted merchants"], 39, "products"),
    BadRow("a holiday on 30 February", cell("calendar", "date", "2024-02-30"),
           ["date is not a date (YYYY-MM-DD)"], 24, "calendar"),
    BadRow("a time that is written in another way than the mapping says",
           both(order("ordered_at", "2024-01-01T12:03:00Z"), mapped()),
           ["ordered_at is not a time written as %Y-%m-%d %H:%M:%S"], file="till.csv"),
    BadRow("a word where a mapped expression wants a number", both(order("gross_amount", "five"), mapped()),
           ["gross_amount cannot be computed: cast(pieces as integer) * cast(price as decimal(18, 4))"],
           file="till.csv"),
    BadRow("a mapped cell that is empty", both(order("gross_amount", ""), mapped()), ["gross_amount is empty"],
           file="till.csv"),
    BadRow("two cells a mapping cannot convert",
           both(order("gross_amount", "five"), order("ordered_at", "yesterday"), mapped()),
           ["ordered_at is not a time written as %Y-%m-%d %H:%M:%S; gross_amount cannot be computed"],
           file="till.csv"),
]  # fmt: skip


@pytest.mark.parametrize("case", BAD_ROWS, ids=lambda case: case.name)
def test_a_bad_row_is_quarantined_with_its_reasons_and_the_good_ones_land(
    case: BadRow, folder: Path, shop: Any
) -> None:
    case.breaks(folder)
    result = shop.land(folder)
    [refused] = shop.quarantine(case.table)
    assert len(refused["reasons"]) == len(case.reasons)
    for found, expected in zip(refused["reasons"], case.reasons, strict=True):
        assert found.startswith(expected)
    assert refused["source_file"] == (case.file or f"{case.table}.csv")
    assert len(shop.rows(case.table)) == case.accepted
    counts = result.facts["tables"][case.table]
    assert (counts["accepted"], counts["quarantined"]) == (case.accepted, 1)
    assert any(case.table in w and "1 row in quarantine" in w for w in result.warnings)


def test_the_quarantine_keeps_the_original_values_and_says_where_they_stood(folder: Path, shop: Any) -> None:
    order("gross_amount", "five")(folder)
    shop.land(folder)
    [refused] = shop.quarantine("order_lines")
    assert (refused["gross_amount"], refused["order_id"], refused["source_row"]) == ("five", "o01-3", 4)


def test_a_line_that_cannot_be_divided_is_kept_as_it_stood(folder: Path, shop: Any) -> None:
    text(lambda t: t.replace("c3,", "c3,c3,", 1))(folder)
    shop.land(folder)
    [refused] = shop.quarantine("order_lines")
    assert refused["unreadable"].strip().startswith("o01-3,1,2024-01-01 12:03:00,c3,c3,p3")
    assert refused["order_id"] is None


def test_of_two_rows_with_one_key_the_first_in_the_file_is_kept(folder: Path, shop: Any) -> None:
    again(3, quantity="7")(folder)
    shop.land(folder)
    [kept] = [r for r in shop.rows("order_lines") if r["order_id"] == "o01-3"]
    assert kept["quantity"] == 2


def test_a_bad_row_does_not_push_out_a_good_one_with_the_same_key(folder: Path, shop: Any) -> None:
    both(again(3), order("quantity", "-1"))(folder)
    shop.land(folder)
    [kept] = [r for r in shop.rows("order_lines") if r["order_id"] == "o01-3"]
    assert kept["quantity"] == 2
    assert [r["reasons"] for r in shop.quarantine("order_lines")] == [["quantity is less than 1"]]


def test_lines_of_a_refused_product_are_refused_with_it(folder: Path, shop: Any) -> None:
    cell("products", "title", "", row=3)(folder)
    shop.land(folder)
    assert [r["product_id"] for r in shop.quarantine("order_lines")] == ["p3"] * 3


# Bad deliveries: nothing lands and what was landed before stays ------------------------------------------------------


class BadDelivery(NamedTuple):
    name: str
    breaks: Break
    message: str


BAD_DELIVERIES = [
    BadDelivery("a renamed column", renamed("ordered_at", "order_at"),
                "order_lines.csv: column 'ordered_at' is missing. Is it 'order_at'? Rename or add it, or map it in "
                "mapping.yaml."),
    BadDelivery("a missing column", renamed("status", "x"), "order_lines.csv: column 'status' is missing."),
    BadDelivery("a header twice", renamed("channel", "region"),
                "order_lines.csv: column 'region' is there 2 times. Keep one."),
    BadDelivery("another case of letters", renamed("order_id", "ORDER_ID"),
                "order_lines.csv: column 'order_id' is missing. Is it 'ORDER_ID'?"),
    BadDelivery("an empty file", text(lambda t: ""), "order_lines.csv: empty."),
    BadDelivery("a header only", text(lambda t: t.splitlines()[0] + "\n"), "order_lines.csv: a header and no rows."),
    BadDelivery("a truncated Parquet file", cut(".parquet"), "order_lines.parquet: not a whole Parquet file ("),
    BadDelivery("a truncated gzip", cut(".csv.gz"), "order_lines.csv.gz: the gzip is cut off or damaged after "),
    BadDelivery("Latin-1", content(lambda b: b.replace(b"Product 3,", b"Caf\xe9,", 1), "products"),
                "products.csv: not UTF-8: byte 256 is 0xe9. Save it as UTF-8, or say its `encoding` in mapping.yaml."),
    BadDelivery("UTF-16", content(lambda b: b.decode().encode("utf-16")),
                "order_lines.csv: not UTF-8: byte 0 is 0xff."),
    BadDelivery("zero bytes", content(lambda b: b.replace(b"north", b"no\0th", 1)),
                "order_lines.csv: not text: byte 171 is zero."),
    BadDelivery("semicolons", text(lambda t: t.replace(",", ";")),
                "order_lines.csv: cells are separated by ';'. Save it with commas, or say `separator:` in "
                "mapping.yaml."),
    BadDelivery("another separator than was said", saying("separator: '|'\n"),
                "calendar.csv: cells are separated by ','. '|' was said. Say `separator:` in mapping.yaml."),
    BadDelivery("a separator of two signs", saying("separator: ';;'\n"),
                "mapping.yaml, line 1, column 12: separator: ';;' is not one sign such as \";\" or \"\\t\"."),
    BadDelivery("an encoding nobody knows", saying("tables:\n  products: {encoding: latin-99}\n"),
                "mapping.yaml, line 2, column 24: products.encoding: no encoding is called 'latin-99'"),
    BadDelivery("another encoding than was said",
                both(saying("encoding: ascii\n"),
                     content(lambda b: b.replace(b"Product 3,", b"Caf\xe9,", 1), "products")),
                "products.csv: not ascii: byte 256 is 0xe9. Name the right one."),
    BadDelivery("an unknown key of a table", saying("tables:\n  products: {seperator: ';'}\n"),
                "unknown key 'seperator'. Did you mean 'separator'? Known: from, columns, separator, encoding."),
    BadDelivery("a file that is not gzip", lambda f: (f / "order_lines.csv").rename(f / "order_lines.csv.gz"),
                "order_lines.csv.gz: not gzip, as .gz promises. Compress it, or take .gz off its name."),
    BadDelivery("a table of days none of which has rows", in_parts(slice(0, 0), slice(0, 0)),
                "order_lines/part-0.csv and order_lines/part-1.csv: a header and no rows. Export it again."),
    BadDelivery("one day under forty names", in_parts(*[slice(0, 50)] * 40),
                "order_lines/part-0.csv, order_lines/part-1.csv, order_lines/part-10.csv, order_lines/part-11.csv and "
                "36 more have the same content. Keep one."),
    BadDelivery("an expression between braces",
                mapped("{constant: shop}", "{expression: replace(till, ',', '.')}"),
                "Commas and quotes end what stands between braces: write the expression on a line of its own."),
    BadDelivery("a quotation mark never closed", order("region", '"north'),
                "order_lines.csv cannot be divided into rows from line 5 on: a quotation mark is never closed"),
    BadDelivery("a quotation mark inside a quoted cell", order("region", '"nor"th'),
                "order_lines.csv cannot be divided into rows from line 5 on"),
    BadDelivery("the same table as CSV and Parquet",
                both(lambda f: shutil.copy(f / "order_lines.csv", f / "keep"), as_parquet(),
                     lambda f: (f / "keep").rename(f / "order_lines.csv")),
                "order_lines is there 2 times: order_lines.csv, order_lines.parquet."),
    BadDelivery("the same file under two names", in_parts(slice(0, 50), slice(0, 50)),
                "order_lines/part-0.csv and order_lines/part-1.csv have the same content. Keep one."),
    BadDelivery("overlapping days in two files", in_parts(slice(0, 55), slice(50, 75)),
                "order_lines/part-0.csv and order_lines/part-1.csv overlap: 5 rows of the second have a key"),
    BadDelivery("a missing table", lambda f: (f / "products.csv").unlink(), "products is missing. Add products.csv"),
    BadDelivery("a misspelt table", lambda f: (f / "products.csv").rename(f / "product.csv"),
                "products is missing. Add products.csv or products.parquet. Is it 'product'?"),
    BadDelivery("an empty folder for a table", lambda f: (f / "traffic").mkdir(), "traffic/ holds no file."),
    BadDelivery("a folder that does not exist", shutil.rmtree, "delivery does not exist."),
    BadDelivery("a mapping that is no YAML", mapped("quantity: pieces", "quantity: [pieces"),
                "mapping.yaml, line 9, column 19: expected ',' or ']', but got ':'."),
    BadDelivery("a mapping indented by tabs", mapped("      quantity", "\tquantity"),
                "mapping.yaml, line 8, column 1: found character '\\t' that cannot start any token."),
    BadDelivery("an empty mapping", mapped(MAPPING, "\n"), "mapping.yaml holds no keys. It begins with `tables:`."),
    BadDelivery("a mapping in Latin-1",
                both(mapped(), lambda f: (f / "mapping.yaml").write_bytes(b"tables: {caf\xe9: {}}")),
                "mapping.yaml cannot be read: byte 12 is 0xe9, which is not UTF-8. Save it as UTF-8."),
    BadDelivery("a mapping under another name",
                both(mapped(), lambda f: (f / "mapping.yaml").rename(f / "mapping.yml")),
                "mapping.yml: call it mapping.yaml."),
    BadDelivery("an anchor in a mapping", mapped("quantity: pieces", "quantity: *pieces"),
                "mapping.yaml, line 8, column 17: anchors (*name) are not used here."),
    BadDelivery("a misspelt key at the top", mapped("tables:", "table:"),
                "mapping.yaml, line 1, column 1: unknown key 'table'. Did you mean 'tables'?"),
    BadDelivery("a misspelt key of a table", mapped("columns:", "colums:"),
                "mapping.yaml, line 4, column 5: unknown key 'colums'. Did you mean 'columns'?"),
    BadDelivery("a misspelt key of a column", mapped("constant: shop", "constnat: shop"),
                "mapping.yaml, line 7, column 17: unknown key 'constnat'. Did you mean 'constant'?"),
    BadDelivery("a mapping of no table", mapped("order_lines:", "orderlines:"),
                "mapping.yaml, line 2, column 3: the contract has no table 'orderlines'. Did you mean 'order_lines'?"),
    BadDelivery("a mapping of no column", mapped("quantity:", "qantity:"),
                "mapping.yaml, line 8, column 7: order_lines has no column 'qantity' in the contract. "
                "Did you mean 'quantity'?"),
    BadDelivery("a mapping from no file", mapped("till.csv", "tills.csv"),
                "mapping.yaml, line 3, column 11: order_lines: the folder has no .csv or .csv.gz or .parquet file "
                "'tills.csv'. Did you mean 'till.csv'?"),
    BadDelivery("a mapping from a file outside", mapped("till.csv", "../delivery/till.csv"),
                "mapping.yaml, line 3, column 11: order_lines: the folder has no"),
    BadDelivery("a mapping from no column", mapped("quantity: pieces", "quantity: peices"),
                "mapping.yaml, line 8, column 17: order_lines.quantity from till.csv: there is no column 'peices'. "
                "Did you mean 'pieces'?"),
    BadDelivery("a mapping without a column's name", mapped("quantity: pieces", "quantity:"),
                "mapping.yaml, line 8, column 16: order_lines.quantity is empty."),
    BadDelivery("a column mapped twice", mapped("quantity: pieces", "quantity: pieces\n      quantity: price"),
                "mapping.yaml, line 9, column 7: 'quantity' is there twice. Keep one."),
    BadDelivery("two ways to one column", mapped("constant: shop", "constant: shop, column: till"),
                "mapping.yaml, line 7, column 16: order_lines.channel: column and constant given; say exactly one of"),
    BadDelivery("a cast of a constant", mapped("constant: shop", "constant: shop, cast: '%Y'"),
                "mapping.yaml, line 7, column 16: order_lines.channel: cast can stand beside column only."),
    BadDelivery("a constant the contract does not allow", mapped("quantity: pieces", "quantity: {constant: 0}"),
                "mapping.yaml, line 8, column 28: order_lines.quantity: the constant '0' cannot be: quantity is less "
                "than 1."),
    BadDelivery("a constant that is none of the values", mapped("quantity: pieces", "status: {constant: done}"),
                "mapping.yaml, line 8, column 26: order_lines.status: the constant 'done' cannot be: status is none of "
                "completed, cancelled, returned."),
    BadDelivery("a format that says nothing", mapped("%Y-%m-%d %H:%M:%S", "YYYY-MM-DD"),
                "mapping.yaml, line 6, column 40: order_lines.ordered_at: 'YYYY-MM-DD' does not say day, month and "
                "year, as '%d.%m.%Y %H:%M' does."),
    BadDelivery("a format of no directive", mapped("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %Q"),
                "mapping.yaml, line 6, column 40: order_lines.ordered_at: '%Y-%m-%d %Q' is no format of strptime: "),
    BadDelivery("a format for a number", mapped("quantity: pieces", "quantity: {column: pieces, cast: '%d'}"),
                "mapping.yaml, line 8, column 40: order_lines.quantity: cast is for dates and times."),
    BadDelivery("a time zone nobody lives in", mapped('%S"', '%S", timezone: Europe/Berln'),
                "order_lines.ordered_at: no time zone is called 'Europe/Berln'. Did you mean 'Europe/Berlin'?"),
    BadDelivery("an expression that breaks off", mapped("(18, 4))", "(18, 4)"),
                "mapping.yaml, line 10, column 21: order_lines.gross_amount: it breaks off: something is missing at "
                "its end."),
    BadDelivery("a comma in an expression in braces", mapped("{constant: shop}", "{expression: left(till, 3)}"),
                "mapping.yaml, line 7, column 40: unknown key '3)'. Known: column, cast, timezone, constant, "
                "expression. A text with commas needs quotes around it."),
    BadDelivery("an expression of unknown columns", mapped("cast(price", "cast(prize"),
                "mapping.yaml, line 10, column 21: order_lines.gross_amount from till.csv: there is no column 'prize'. "
                "Did you mean 'price'?"),
    BadDelivery("an expression of text", mapped("cast(pieces as integer) * ", "pieces * "),
                "order_lines.gross_amount from till.csv: No function matches the given name and argument types "
                "'*(VARCHAR, DECIMAL(18,4))'. To reckon with text, write cast(pieces as decimal(18, 4))."),
    BadDelivery("an expression of another type", mapped("quantity: pieces", "quantity: {expression: price > '1'}"),
                "order_lines.quantity from till.csv: it gives BOOLEAN, and quantity must be a number."),
    BadDelivery("an expression over all rows", mapped("cast(price", "cast(sum(price)"),
                "order_lines.gross_amount: sum() may not be used: only functions of one row's cells may."),
    BadDelivery("an expression that reads files", mapped("{constant: shop}", "{expression: read_text('/etc/passwd')}"),
                "order_lines.channel: read_text() may not be used: only functions of one row's cells may."),
    BadDelivery("an expression that asks the clock", mapped("{constant: shop}", '{expression: "left(now(), 4)"}'),
                "order_lines.channel: now() may not be used: only functions of one row's cells may."),
    BadDelivery("a required column nobody maps", mapped("quantity: pieces", "currency: {constant: EUR}"),
                "till.csv: column 'quantity' is missing. Rename or add it, or map it in mapping.yaml."),
    BadDelivery("too many bad rows", text(lambda t: t.replace("completed", "done", 4)),
                "order_lines: 4 of 75 rows (5.3%) break the contract, more than COLDFRAME_MAX_QUARANTINE_SHARE=0.05 "
                "allows. Most frequent: status is none of completed, cancelled, returned (4)."),
    BadDelivery("only rows of later days", text(lambda t: t.replace("2024-01-0", "2024-03-0")),
                "order_lines: no row up to 2024-01-03 (75 rows are later). Check the as-of."),
]  # fmt: skip


@pytest.mark.parametrize("case", BAD_DELIVERIES, ids=lambda case: case.name)
def test_a_bad_delivery_is_refused_and_what_was_landed_stays(case: BadDelivery, folder: Path, shop: Any) -> None:
    shop.land(folder, as_of=DAY_TWO)
    before = shop.bytes()
    case.breaks(folder)
    with pytest.raises(BadInputError, match=re.escape(case.message)) as refused:
        shop.land(folder, as_of=DAY_THREE)
    assert re.search(r"[Nn]othing was landed", str(refused.value))
    assert shop.bytes() == before
    assert not list(shop.workspace.scratch.glob("*"))


def test_all_problems_of_a_delivery_are_told_at_once(folder: Path, shop: Any) -> None:
    both(renamed("ordered_at", "order_at"), text(lambda t: "", "products"))(folder)
    with pytest.raises(BadInputError, match=r"2 problem") as refused:
        shop.land(folder)
    assert "order_lines.csv" in str(refused.value)
    assert "products.csv" in str(refused.value)


def test_rows_of_a_refused_table_can_be_looked_at(folder: Path, shop: Any) -> None:
    text(lambda t: t.replace("completed", "done", 4))(folder)
    with pytest.raises(BadInputError, match=r"They lie in .*quarantine.order_lines"):
        shop.land(folder)
    assert len(shop.quarantine("order_lines")) == 4


def test_the_files_source_says_that_it_needs_a_folder(shop: Any) -> None:
    with pytest.raises(ConfigurationError, match="--path FOLDER"):
        shop.land(None)


# Odd, but fit ---------------------------------------------------------------------------------------------------------


class Odd(NamedTuple):
    name: str
    change: Break
    warning: str | None = None


ODDITIES = [
    Odd("a byte order mark", content(lambda b: b"\xef\xbb\xbf" + b)),
    Odd("blank lines", text(lambda t: "\n" + t.replace("\n", "\n\n"))),
    Odd("Windows line ends", text(lambda t: t.replace("\n", "\r\n"))),
    Odd("no newline at the end", text(str.rstrip)),
    Odd("gzip", as_gzip),
    Odd("Parquet", as_parquet()),
    Odd("Parquet with other types", as_parquet(sql="* replace (quantity::double as quantity, order_id::varchar as "
        "order_id, (ordered_at::varchar || '+00')::timestamptz as ordered_at, gross_amount::float as gross_amount)")),
    Odd("days in separate files", in_parts(slice(0, 25), slice(25, 50), slice(50, 75))),
    Odd("an extra column", text(lambda t: t.replace(",channel,", ",channel,colour,").replace(",shop,", ",shop,red,")),
        "order_lines.csv: column 'colour' is ignored: order_lines has no such column."),
    Odd("a column nearly named like an optional one", renamed("customer_id", "costumer_id"),
        "order_lines.csv: column 'costumer_id' is ignored: order_lines has no such column. "
        "Did you mean 'customer_id'?"),
    Odd("a file of no table", lambda f: (f / "inventroy.csv").write_text("a\n1\n"),
        "inventroy.csv is ignored: no table has that name. Did you mean 'inventory'?"),
    Odd("notes beside the files", lambda f: (f / ".notes").write_text("secret")),
    Odd("columns and files of other names, with a mapping", mapped()),
    Odd("a mapping that leaves everything as it is", lambda f: (f / "mapping.yaml").write_text("tables: {}")),
    Odd("a mapped table that is there under its own name too",
        both(lambda f: shutil.copy(f / "order_lines.csv", f / "keep"), mapped(),
             lambda f: (f / "keep").rename(f / "order_lines.csv")),
        "order_lines.csv is ignored: the mapping says otherwise."),
    Odd("spaces around identities", text(lambda t: t.replace(",p3,", ", p3 ,"))),
]  # fmt: skip


@pytest.mark.parametrize("case", ODDITIES, ids=lambda case: case.name)
def test_an_odd_delivery_lands_whole(case: Odd, folder: Path, shop: Any) -> None:
    case.change(folder)
    result = shop.land(folder)
    assert len(shop.rows("order_lines")) == LINES
    assert {r["product_id"] for r in shop.rows("order_lines")} == {f"p{i}" for i in range(25)}
    assert result.warnings == ((case.warning,) if case.warning else ())


def test_times_with_an_offset_become_utc_and_change_their_day(folder: Path, shop: Any) -> None:
    order("ordered_at", "2024-01-01T23:30:00-05:00")(folder)
    shop.land(folder)
    [line] = [r for r in shop.rows("order_lines") if r["order_id"] == "o01-3"]
    assert line["ordered_at"] == datetime.fromisoformat("2024-01-02 04:30")
    assert len(shop.rows("order_lines", as_of=DAY_ONE)) == 24


def test_money_of_more_than_four_decimals_is_refused_as_it_stood_and_not_rounded(folder: Path, shop: Any) -> None:
    order("gross_amount", "5.12345")(folder)
    shop.land(folder)
    [refused] = shop.quarantine("order_lines")
    assert (refused["gross_amount"], refused["reasons"]) == ("5.12345", ["gross_amount has more than four decimals"])


def test_an_empty_day_is_no_fault(folder: Path, shop: Any) -> None:
    text(lambda t: "\n".join(r for r in t.splitlines() if "2024-01-02" not in r))(folder)
    assert shop.land(folder).facts["tables"]["order_lines"]["accepted"] == 50


def test_rows_after_the_as_of_are_counted_apart_and_not_quarantined(folder: Path, shop: Any) -> None:
    counts = shop.land(folder, as_of=DAY_TWO).facts["tables"]["order_lines"]
    assert (counts["read"], counts["quarantined"], counts["later"]) == (50, 0, 25)


def test_blank_content_of_traffic_is_a_value(folder: Path, shop: Any) -> None:
    rows = "".join(f"2024-01-01,p{i},north,search,,10,2,1\n" for i in range(5))
    (folder / "traffic.csv").write_text("date,product_id,region,channel,content_id,impressions,clicks,carts\n" + rows)
    shop.land(folder)
    assert {r["content_id"] for r in shop.rows("traffic")} == {""}


def test_traffic_that_knows_of_no_content_may_leave_the_column_out(folder: Path, shop: Any) -> None:
    file = folder / "traffic.csv"
    file.write_text("date,product_id,region,channel,impressions,clicks,carts\n2024-01-01,p1,north,search,10,2,1\n")
    shop.land(folder)
    assert [r["content_id"] for r in shop.rows("traffic")] == [""]
    file.write_text(file.read_text() + "2024-01-01,p1,north,search,30,2,1\n")
    with pytest.raises(BadInputError, match="repeats an earlier row with the same key"):
        shop.land(folder)
