"""The mapping of the real gift shop, held against sums made of its own file."""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from coldframe.errors import BadInputError, ConfigurationError
from coldframe.paths import Workspace
from coldframe.run import Request, StepResult
from coldframe.settings import PROJECT_ROOT, get_settings
from landing.sources.online_retail_ii import NO_PRODUCT, OnlineRetail, calendar
from landing.steps import land

DATA = PROJECT_ROOT.parent / "shared" / "data" / "online_retail_ii"
AS_OF = date(2011, 8, 31)
STATES = ("regions", "calendar", "merchants", "products", "customers")


@pytest.fixture(scope="module")
def data() -> Path:
    """The one file of the data set, up to the end of August 2011 and with the days of both sheets once."""
    if not DATA.is_dir():
        pytest.skip(f"the Online Retail II data set is not in {DATA}")
    [path] = DATA.glob("*.parquet")
    return path


@pytest.fixture(scope="module")
def original(data: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """The file as it is: `lines`, with the upper-case stock code as `code`."""
    with duckdb.connect() as connection:
        connection.execute(f"create view lines as select *, upper(trim(StockCode)) as code from '{data}'")
        yield connection


@pytest.fixture(scope="module")
def landed(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, StepResult]:
    """Everything there is, landed."""
    home = tmp_path_factory.mktemp("retail")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLDFRAME_HOME", str(home))
        get_settings.cache_clear()
        result = land(Request(source="online_retail_ii", as_of=AS_OF, path=data))
    get_settings.cache_clear()
    return Workspace(home, "online_retail_ii"), result


def one(landed: tuple[Workspace, StepResult], sql: str) -> tuple[Any, ...]:
    """One row of a query over what was accepted (@table) and refused (!table)."""
    for table in ("order_lines", "refunds", "products", "regions", "customers"):
        accepted = f"read_parquet('{landed[0].landed / table}/**/[!_]*.parquet', hive_partitioning = false)"
        refused = f"read_parquet('{landed[0].quarantine / table}/as_of={AS_OF}.parquet', hive_partitioning = false)"
        sql = sql.replace(f"@{table}", accepted).replace(f"!{table}", refused)
    [row] = duckdb.execute(sql).fetchall()
    return tuple(row)


def read(path: Path, table: str, last: date = AS_OF) -> list[dict[str, Any]]:
    """What the adapter delivers of a table, without its landing."""
    with duckdb.connect() as connection:
        frame = connection.execute(OnlineRetail(path).read(connection, table, None, last))
        names = [column[0] for column in frame.description or ()]
        return [dict(zip(names, row, strict=True)) for row in frame.fetchall()]


def small(path: Path, *lines: str) -> Path:
    """A CSV as Kaggle has it."""
    header = "Invoice,StockCode,Description,Quantity,InvoiceDate,Price,Customer ID,Country"
    path.write_text("\n".join((header, *lines)) + "\n")
    return path


def test_every_line_is_read_as_an_order_line_or_a_refund(landed: Any) -> None:
    lines, refunds = (landed[1].facts["tables"][table] for table in ("order_lines", "refunds"))
    assert lines["read"] + refunds["read"] == 823_643
    for counts in (lines, refunds):
        assert counts["read"] == counts["accepted"] + counts["quarantined"]
        assert counts["quarantined"] < 0.02 * counts["read"]


def test_money_accepted_and_refused_adds_up_to_the_files_own_sum(
    landed: Any, original: duckdb.DuckDBPyConnection
) -> None:
    [(expected, units)] = original.execute(
        "select sum(Quantity * cast(Price as decimal(18, 4))), sum(Quantity) from lines"
    ).fetchall()
    ordered, refused, refunded = (
        one(landed, f"select sum(cast({money} as decimal(18, 4))), sum(cast(quantity as bigint)) from {rows}")
        for money, rows in (("gross_amount", "@order_lines"), ("gross_amount", "!order_lines"), ("amount", "@refunds"))
    )
    assert landed[1].facts["tables"]["refunds"]["quarantined"] == 0
    assert ordered[0] + refused[0] - refunded[0] == expected
    assert ordered[1] + refused[1] - refunded[1] == units


def test_credit_notes_of_products_are_refunds_with_positive_units_and_money(
    landed: Any, original: duckdb.DuckDBPyConnection
) -> None:
    [(expected, units)] = original.execute(
        f"""
        select count(*), -sum(Quantity) from lines
        where Invoice like 'C%' and not regexp_full_match(code, '{"|".join(NO_PRODUCT)}')
        """
    ).fetchall()
    found = one(landed, "select count(*), sum(quantity), min(quantity) > 0, min(amount) > 0 from @refunds")
    assert found == (expected, units, True, True)
    assert one(landed, "select count(*) from @order_lines where order_id like 'C%'") == (0,)


def test_a_quarter_of_the_lines_has_no_customer_and_lands(landed: Any, original: duckdb.DuckDBPyConnection) -> None:
    [(missing, share)] = original.execute(
        'select count(*), count(*) / (select count(*) from lines) from lines where "Customer ID" is null'
    ).fetchall()
    assert share == pytest.approx(0.23, abs=0.005)
    parts = [
        one(landed, f"select count(*) from {rows} where customer_id is null")[0]
        for rows in ("@order_lines", "!order_lines", "@refunds")
    ]
    assert sum(parts) == missing
    assert parts[0] > 180_000
    assert one(landed, "select bool_and(regexp_full_match(customer_id, '[0-9]{5}')) from @order_lines") == (True,)


def test_codes_that_are_no_products_are_refused_with_a_reason_of_their_own(
    landed: Any, original: duckdb.DuckDBPyConnection
) -> None:
    reasons = landed[1].facts["tables"]["order_lines"]["reasons"]
    for codes, reason in NO_PRODUCT.items():
        [(expected,)] = original.execute(
            "select count(*) from lines where regexp_full_match(code, $1)", [codes]
        ).fetchall()
        assert reasons[reason] == expected > 0
        assert one(landed, f"select count(*) from @products where regexp_full_match(product_id, '{codes}')") == (0,)
    spoken = "POSTAGE|Carriage$|VOUCHER|CHARGES?$|Discount|Manual|Adjust|debt|FEE$|Commission|SAMPLES|test product"
    assert one(landed, f"select count(*) from @products where regexp_matches(title, '(?i:{spoken})')") == (0,)


def test_stock_adjustments_are_refused(landed: Any, original: duckdb.DuckDBPyConnection) -> None:
    reasons = landed[1].facts["tables"]["order_lines"]["reasons"]
    [(negative, free)] = original.execute(
        f"""
        select
            count(*) filter (Quantity < 0), count(*) filter (Quantity > 0 and Price = 0 and "Customer ID" is null)
        from lines where Invoice not like 'C%' and not regexp_full_match(code, '{"|".join(NO_PRODUCT)}')
        """
    ).fetchall()
    assert reasons["negative quantity on an invoice: a stock adjustment"] == negative
    assert reasons["price 0 and no customer: a stock adjustment"] == free
    assert sum(reasons.values()) == landed[1].facts["tables"]["order_lines"]["quarantined"]


def test_a_present_to_a_known_customer_is_a_line_without_value(
    landed: Any, original: duckdb.DuckDBPyConnection
) -> None:
    [(expected,)] = original.execute(
        f"""
        select count(*) from lines
        where Price = 0 and "Customer ID" is not null and not regexp_full_match(code, '{"|".join(NO_PRODUCT)}')
        """
    ).fetchall()
    found = one(landed, "select count(*), count(customer_id) from @order_lines where gross_amount = 0")
    assert found == (expected, expected) and expected > 40


def test_bad_debt_does_not_reduce_what_was_sold(landed: Any) -> None:
    found = one(
        landed,
        """
        select count(*), min(cast(gross_amount as decimal(18, 2))), any_value(reasons)
        from !order_lines where order_id like 'A%'
        """,
    )
    assert found[0] == 6 and str(found[1]) == "-53594.36" and found[2] == ["bad debt, not a product"]


def test_codes_in_upper_and_lower_case_are_one_product(landed: Any, original: duckdb.DuckDBPyConnection) -> None:
    [(expected,)] = original.execute(
        """
        select count(distinct code) from lines
        where StockCode <> code and code in (select StockCode from lines)
        """
    ).fetchall()
    assert expected > 150
    assert one(landed, "select count(*) from @products where product_id <> upper(trim(product_id))") == (0,)
    assert one(landed, "select list(title) from @products where upper(product_id) = '85123A'") == (
        ["WHITE HANGING HEART T-LIGHT HOLDER"],
    )


def test_a_title_is_the_description_most_lines_give_and_never_a_note_on_stock(
    landed: Any, original: duckdb.DuckDBPyConnection
) -> None:
    [(texts,)] = original.execute(
        "select count(distinct trim(Description)) from lines where code = '22384' and Price > 0"
    ).fetchall()
    assert texts == 4
    assert one(landed, "select title from @products where product_id = '22384'") == ("LUNCH BAG PINK POLKADOT",)
    notes = one(
        landed,
        """
        select count(*) from @products
        where title in ('nan', '?', 'damages', 'damaged', 'missing', 'found', 'check', 'ebay', 'dotcom')
        """,
    )
    assert notes == (0,)


def test_a_title_in_doubt_is_the_first_in_the_alphabet(tmp_path: Path) -> None:
    path = small(
        tmp_path / "online_retail_II.csv",
        "1,10001,TEA  CUP ,1,2010-01-04 09:00:00,1.5,,France",
        "2,10001,CUP,1,2010-01-05 09:00:00,1.5,,France",
        "3,10001,damaged,1,2010-01-06 09:00:00,0,,France",
        "4,10001,damaged,1,2010-01-06 09:00:00,0,,France",
        "5,10001,TEA CUP,1,2010-01-07 09:00:00,1.5,,France",
    )
    assert [row["title"] for row in read(path, "products", date(2010, 1, 6))] == ["CUP"]
    assert [row["title"] for row in read(path, "products")] == ["TEA CUP"]


def test_the_same_product_twice_on_an_invoice_is_two_lines(landed: Any, original: duckdb.DuckDBPyConnection) -> None:
    [(invoice, code, times)] = original.execute(
        """
        select Invoice, code, count(*) from lines
        where Invoice not like 'C%' and Price > 0 group by all order by 3 desc, 1, 2 limit 1
        """
    ).fetchall()
    found = one(
        landed,
        f"""
        select count(*), count(distinct line_number) from @order_lines
        where order_id = '{invoice}' and product_id = '{code}'
        """,
    )
    assert found == (times, times) and times > 10


def test_countries_are_regions(landed: Any, original: duckdb.DuckDBPyConnection) -> None:
    [expected] = original.execute("select count(distinct Country) from lines").fetchall()
    assert one(landed, "select count(*) from @regions") == expected
    assert one(landed, "select count(*) from @order_lines where region not in (select region from @regions)") == (0,)


def test_no_invoice_spans_midnight_so_its_lines_are_numbered_alike_on_every_landing(
    original: duckdb.DuckDBPyConnection,
) -> None:
    [(spans,)] = original.execute(
        "select count(*) from (from lines select Invoice group by 1 having count(distinct InvoiceDate::date) > 1)"
    ).fetchall()
    assert spans == 0


def test_state_tables_know_nothing_that_happened_later(data: Path, tmp_path: Path) -> None:
    last = date(2010, 8, 31)
    known = tmp_path / "online_retail_ii.parquet"
    duckdb.execute(f"copy (from '{data}' where InvoiceDate < date '{last}' + 1) to '{known}'")

    def states(path: Path) -> list[list[str]]:
        with duckdb.connect() as connection:
            read = (connection.execute(OnlineRetail(path).read(connection, t, None, last)).df() for t in STATES)
            return [sorted(map(str, frame.drop(columns="source_file", errors="ignore").values)) for frame in read]

    assert states(data) == states(known)


def test_the_days_of_both_sheets_count_once(data: Path, tmp_path: Path) -> None:
    once, both = tmp_path / "once.parquet", tmp_path / "both.parquet"
    around = f"from '{data}' where InvoiceDate >= '2010-11-29' and InvoiceDate < '2010-12-12'"
    duckdb.execute(f"copy ({around}) to '{once}'")
    duckdb.execute(
        f"copy ({around} union all {around} and InvoiceDate between '2010-12-01' and '2010-12-10') to '{both}'"
    )
    repeated = 0
    for table in ("order_lines", "refunds"):
        fit = [row for row in read(both, table) if not str(row["refused"]).startswith("repeats a line of the other")]
        repeated += len(read(both, table)) - len(fit)
        assert sorted(str({**row, "source_file": "once.parquet"}) for row in fit) == sorted(map(str, read(once, table)))
    assert repeated == 22_523


def test_the_publishers_csv_gives_the_same_as_a_parquet_copy(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    duckdb.execute(f"copy (from '{data}' where InvoiceDate < '2010-01-01') to '{tmp_path / 'online_retail_II.csv'}'")
    found = []
    for number, path in enumerate((data, tmp_path)):
        monkeypatch.setenv("COLDFRAME_HOME", str(tmp_path / str(number)))
        get_settings.cache_clear()
        land(Request(source="online_retail_ii", as_of=date(2009, 12, 31), path=path))
        root = tmp_path / str(number) / "sources" / "online_retail_ii" / "landed"
        found.append({str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*.parquet"))})
    get_settings.cache_clear()
    assert found[0] == found[1]


def test_a_cell_that_is_no_time_costs_its_line_only(tmp_path: Path, installation: Any) -> None:
    installation(max_quarantine_share=0.5)
    path = small(
        tmp_path / "online_retail_II.csv",
        "1,10001,CUP,1,2010-01-05 09:00:00,1.5,12345.0,France",
        "2,10001,CUP,1,1/12/2010 8:26,1.5,12345.0,France",
    )
    counts = land(Request(source="online_retail_ii", as_of=AS_OF, path=path)).facts["tables"]["order_lines"]
    assert (counts["accepted"], counts["quarantined"]) == (1, 1)
    assert [reason[:24] for reason in counts["reasons"]] == ["ordered_at is not a time"]


def test_a_workbook_is_refused_with_the_command_that_makes_a_csv_of_it(tmp_path: Path) -> None:
    (tmp_path / "online_retail_II.xlsx").write_bytes(b"PK")
    for path in (tmp_path, tmp_path / "online_retail_II.xlsx"):
        with pytest.raises(BadInputError, match=r"Save it as CSV.*pd\.read_excel\('online_retail_II\.xlsx'"):
            OnlineRetail(path).probe()


def test_a_file_that_is_not_there_or_something_else_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text("tea")
    for path in (tmp_path, tmp_path / "other.txt"):
        with pytest.raises(BadInputError, match=r"No file of it is there\. Get online_retail_II\.csv from Kaggle"):
            OnlineRetail(path).probe()
    with pytest.raises(BadInputError, match=r"nowhere does not exist\. Nothing was landed\. Check --path\. Get online"):
        OnlineRetail(tmp_path / "nowhere").probe()


def test_two_files_are_one_too_many(tmp_path: Path) -> None:
    for name in ("online_retail_II.csv", "online_retail_ii_to_2011-08-31.parquet"):
        small(tmp_path / name)
    with pytest.raises(BadInputError, match=r"It is there 2 times: online_retail_II\.csv, online_retail_ii_to.* Keep"):
        OnlineRetail(tmp_path).probe()


def test_a_renamed_column_is_told_so(tmp_path: Path) -> None:
    path = small(tmp_path / "online_retail_II.csv")
    path.write_text(path.read_text().replace("Customer ID", "CustomerID").replace("Price", "UnitPrice"))
    with pytest.raises(BadInputError) as error:
        OnlineRetail(path).probe()
    assert "online_retail_II.csv: column 'Customer ID' is missing. Is it 'CustomerID'?" in str(error.value)
    assert "online_retail_II.csv: column 'Price' is missing. Is it 'UnitPrice'?" in str(error.value)


def test_without_a_path_the_message_says_which_option_names_it() -> None:
    with pytest.raises(ConfigurationError, match=r"your copy of the Online Retail II data set is: --path FOLDER"):
        OnlineRetail(None).probe()


def test_the_offer_says_currency_delivery_and_a_day_to_try(tmp_path: Path) -> None:
    offer = OnlineRetail(small(tmp_path / "online_retail_II.csv")).probe()
    assert (offer.currency, offer.suggested_as_of) == ("GBP", date(2010, 8, 31))
    assert offer.delivered_on == date(2011, 12, 10)


def test_the_calendar_knows_bank_holidays_and_a_christmas_that_begins_in_september() -> None:
    events = {(day, event): kind for day, event, kind in calendar()}
    assert events[date(2011, 4, 29), "Wedding of William and Catherine"] == "holiday"
    assert events[date(2010, 8, 30), "Late Summer Bank Holiday"] == "holiday"
    season = [day for (day, event), kind in events.items() if event == "christmas" and day.year == 2010]
    assert (min(season).month, max(season)) == (9, date(2010, 12, 23))
    assert max(day for day, _ in events) > date(2011, 12, 9) + timedelta(days=366)
