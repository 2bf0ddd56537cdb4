"""Whatever cells a row is made of: every row is accounted for, and only rows that keep the contract come in."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coldframe.errors import BadInputError, ColdframeError
from landing.contract import BY_NAME, ORDER_LINES, PRODUCTS
from landing.validate import Checked, Limits, check, excess

AS_OF = date(2024, 1, 31)
COLUMNS = ORDER_LINES.column_names


def limits(**more: Any) -> Limits:
    values: dict[str, Any] = {
        "first": None,
        "last": AS_OF,
        "delivered_on": AS_OF + timedelta(days=1),
        "offered": frozenset({"products", "order_lines"}),
        "max_unit_price": Decimal(1000),
    }
    return Limits(**values | more)


def check_lines(rows: list[tuple[str | None, ...]], **more: Any) -> tuple[Checked, list[tuple[Any, ...]]]:
    connection = duckdb.connect()
    connection.execute("set timezone = 'UTC'")
    connection.execute("create temp table accepted_products as select 'p1' as product_id")
    connection.execute(f"create temp table given ({', '.join(f'{c} varchar' for c in COLUMNS)})")
    connection.executemany(f"insert into given values ({', '.join('?' * len(COLUMNS))})", rows)
    checked = check(connection, ORDER_LINES, "from given", limits(**more))
    return checked, connection.execute("from accepted_order_lines").fetchall()


odd = st.sampled_from([None, "", " ", "0", "-1", "1.5", "1e3", "NaN", "inf", "1_000", "é", "x'y", "9" * 40])
numbers = st.one_of(odd, st.integers(-3, 10**12).map(str), st.decimals(-5, 50, places=3).map(str))
moments = st.one_of(
    odd,
    st.datetimes().map(str),
    st.datetimes(min_value=datetime.fromisoformat("2024-01-01")).map(lambda d: d.isoformat() + "+02:00"),
    st.dates(date(2024, 1, 1), date(2024, 2, 5)).map(str),
)
rows_of_cells = st.lists(
    st.tuples(
        st.sampled_from(["o1", "o2", "o3", "", None]),
        st.one_of(odd, st.integers(1, 3).map(str)),
        moments,
        st.sampled_from(["c1", None]),
        st.sampled_from(["p1", "p1", "p2", None]),
        st.sampled_from(["north", ""]),
        st.just("shop"),
        numbers,
        numbers,
        st.one_of(st.just("0"), numbers),
        st.one_of(st.just("0"), numbers),
        st.one_of(st.none(), numbers),
        st.sampled_from([None, "USD", "EUR"]),
        st.none(),
        st.none(),
        st.sampled_from(["a1", None]),
        st.sampled_from(["completed", "done"]),
    ),
    min_size=1,
    max_size=25,
)


@given(rows=rows_of_cells)
@settings(max_examples=30, deadline=None)
def test_every_row_is_accepted_quarantined_or_counted_as_of_another_day(rows: list[tuple[str | None, ...]]) -> None:
    checked, accepted = check_lines(rows, first=date(2024, 1, 3), currency="USD")
    assert checked.read == checked.accepted + checked.quarantined
    assert checked.read + checked.later + checked.earlier == len(rows)
    assert len(accepted) == checked.accepted
    assert len({row[:2] for row in accepted}) == len(accepted)
    for row in accepted:
        line = dict(zip(COLUMNS, row, strict=True))
        assert line["order_id"]
        assert line["product_id"] == "p1"
        assert line["region"] == "north"
        assert line["status"] == "completed"
        assert line["currency"] in {None, "USD"}
        assert line["quantity"] >= 1
        assert 0 <= line["merchant_discount"] + line["platform_discount"] <= line["gross_amount"]
        assert line["gross_amount"] / line["quantity"] <= 1000
        assert date(2024, 1, 3) <= line["ordered_at"].date() <= AS_OF


LINE = {
    "order_id": "o1",
    "line_number": "1",
    "ordered_at": "2024-01-05 10:00:00",
    "product_id": "p1",
    "region": "north",
    "channel": "shop",
    "quantity": "1",
    "gross_amount": "5",
    "merchant_discount": "0",
    "platform_discount": "0",
    "status": "completed",
}


def with_cell(column: str, value: str, **more: str) -> tuple[str | None, ...]:
    line = LINE | {column: value} | more
    return tuple(line.get(c) for c in COLUMNS)


def test_a_line_in_another_currency_than_the_sources_is_quarantined() -> None:
    checked, _ = check_lines(
        [with_cell("currency", "USD"), with_cell("currency", "EUR", order_id="o2")], currency="USD"
    )
    assert checked.reasons == {"currency is not USD": 1}


@pytest.mark.parametrize("amount", ["5.00005", "0.00001", "12345678.12345", "1.000015e1"])
def test_money_of_more_than_four_decimals_is_quarantined_and_never_rounded(amount: str) -> None:
    checked, _ = check_lines([with_cell("gross_amount", amount)], max_unit_price=Decimal(10**9))
    assert checked.reasons == {"gross_amount has more than four decimals": 1}


@pytest.mark.parametrize("amount", ["5.0001", "5.10000", "1e3", "0.30000000000000004", "12345678901234.5678"])
def test_zeros_and_what_floats_add_are_no_fifth_decimal(amount: str) -> None:
    checked, [line] = check_lines([with_cell("gross_amount", amount)], max_unit_price=Decimal(10**15))
    assert checked.quarantined == 0
    assert abs(Decimal(amount) - line[COLUMNS.index("gross_amount")]) < Decimal("1e-7")


def test_amounts_in_two_currencies_are_refused_until_somebody_says_which_is_the_shops() -> None:
    rows = [with_cell("currency", c, order_id=o) for c, o in [("USD", "o1"), ("EUR", "o2"), ("USD", "o3")]]
    with pytest.raises(BadInputError, match=r"2 currencies: USD \(2 rows\), EUR \(1 rows\).*COLDFRAME_CURRENCY=USD"):
        check_lines(rows)


def test_a_row_the_adapter_refuses_is_quarantined_with_its_reason_alone() -> None:
    connection = duckdb.connect()
    cells = ", ".join(f"'x' as {c.name}" for c in PRODUCTS.columns if not c.nullable and c.name != "title")
    query = f"select {cells}, null as title, 'a postage charge, not a product' as refused"
    assert check(connection, PRODUCTS, query, limits()).reasons == {"a postage charge, not a product": 1}


@pytest.mark.parametrize(
    ("days", "counted"),
    [(1, "later"), (366, "later"), (367, "quarantined")],
)
def test_an_event_more_than_a_year_after_the_as_of_is_absurd_if_it_is_later_than_its_delivery(
    days: int, counted: str
) -> None:
    checked, _ = check_lines([with_cell("ordered_at", str(AS_OF + timedelta(days=days)))])
    assert getattr(checked, counted) == 1


def test_a_run_as_of_long_ago_leaves_the_years_since_alone() -> None:
    checked, _ = check_lines([with_cell("ordered_at", "2029-01-01")], delivered_on=date(2030, 1, 1))
    assert (checked.later, checked.quarantined) == (1, 0)


def test_references_to_a_table_that_is_not_offered_are_not_checked() -> None:
    checked, _ = check_lines([with_cell("product_id", "p2")], offered=frozenset({"order_lines"}))
    assert checked.accepted == 1


@pytest.mark.parametrize(
    ("sql", "stored"),
    [
        ("17::integer", "17"),
        ("17.0::double", "17"),
        ("17.5::double", "17.5"),
        ("true", "true"),
        ("'  p  '", "p"),
    ],
)
def test_identities_that_are_not_text_become_text(sql: str, stored: str) -> None:
    connection = duckdb.connect()
    others = ", ".join(f"'x' as {c.name}" for c in PRODUCTS.columns if c.name != "product_id" and not c.nullable)
    query = f"select {sql} as product_id, {others}"
    check(connection, PRODUCTS, query, limits(offered=frozenset()))
    assert connection.execute("select product_id from accepted_products").fetchall() == [(stored,)]


def test_an_adapter_that_forgets_a_column_is_told_so() -> None:
    with pytest.raises(ColdframeError, match="delivers products without title, category"):
        check(duckdb.connect(), PRODUCTS, "select 'p' as product_id, 'm' as merchant_id", limits())


def test_a_table_is_refused_above_the_share_and_not_at_it() -> None:
    checked = Checked("order_lines", 100, 95, 5, 0, 0, {"quantity is less than 1": 5})
    assert excess(checked, 0.05) is None
    message = excess(checked, 0.049)
    assert message is not None
    assert "5 of 100 rows (5.0%)" in message
    assert excess(Checked("order_lines", 0, 0, 0, 3, 0, {}), 0.0) is None


def test_tables_are_checked_after_those_they_refer_to() -> None:
    seen: set[str] = set()
    for name, table in BY_NAME.items():
        for column in table.columns:
            if column.references:
                assert column.references.split(".")[0] in seen
        seen.add(name)
