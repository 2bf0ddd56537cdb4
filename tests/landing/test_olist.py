"""The mapping of the real marketplace, held against sums made of its own files."""

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from coldframe.errors import BadInputError, ConfigurationError
from coldframe.paths import Workspace
from coldframe.run import Request, StepResult
from coldframe.settings import PROJECT_ROOT, get_settings
from landing.sources.olist import Olist, calendar
from landing.steps import land

DATA = PROJECT_ROOT.parent / "shared" / "data" / "olist"
AS_OF = date(2018, 12, 31)
STATES = ("regions", "calendar", "merchants", "products", "customers")


@pytest.fixture(scope="module")
def data() -> Path:
    if not DATA.is_dir():
        pytest.skip(f"the Olist data set is not in {DATA}")
    return DATA


@pytest.fixture(scope="module")
def original(data: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """The files as they are, under short names."""
    with duckdb.connect() as connection:
        for name in ("orders", "order_items", "order_payments", "customers", "products", "sellers"):
            connection.execute(f"create view {name} as from '{data}/olist_{name}_dataset.parquet'")
        connection.execute(
            f"create view deals as from read_csv('{data}/olist_closed_deals_dataset.csv', all_varchar = true)"
        )
        connection.execute(f"create view leads as from '{data}/olist_marketing_qualified_leads_dataset.csv'")
        yield connection


@pytest.fixture(scope="module")
def landed(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, StepResult]:
    """Everything there is, landed as of the end of 2018."""
    home = tmp_path_factory.mktemp("olist")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLDFRAME_HOME", str(home))
        get_settings.cache_clear()
        result = land(Request(source="olist", as_of=AS_OF, path=data))
    get_settings.cache_clear()
    return Workspace(home, "olist"), result


def one(landed: tuple[Workspace, StepResult], table: str, sql: str) -> tuple[Any, ...]:
    """One row of a query over what was accepted (@) of a table."""
    files = f"read_parquet('{landed[0].landed / table}/**/[!_]*.parquet', hive_partitioning = false)"
    [row] = duckdb.execute(sql.replace("@", files)).fetchall()
    return tuple(row)


def read(folder: Path, table: str, last: date = AS_OF) -> list[dict[str, Any]]:
    """What the adapter delivers of a table, without its landing."""
    with duckdb.connect() as connection:
        frame = connection.execute(Olist(folder).read(connection, table, None, last))
        names = [column[0] for column in frame.description or ()]
        return [dict(zip(names, row, strict=True)) for row in frame.fetchall()]


def small(folder: Path, **files: str) -> Path:
    """A data set of two orders and two deals; `files` replaces the text of whole files."""
    folder.mkdir(exist_ok=True)
    texts = {
        "olist_orders_dataset": (
            "order_id,customer_id,order_status,order_purchase_timestamp,order_approved_at\n"
            "o1,c1,delivered,2018-01-05 10:00:00,2018-01-06 11:00:00\n"
            "o2,c2,canceled,2018-02-05 10:00:00,\n"
        ),
        "olist_order_items_dataset": (
            "order_id,order_item_id,product_id,seller_id,price,freight_value\n"
            "o1,1,p1,s1,10.50,2.00\no2,1,p1,s2,9.99,0\no2,2,p2,s2,5.00,1.10\n"
        ),
        "olist_order_payments_dataset": (
            "order_id,payment_sequential,payment_type,payment_installments,payment_value\n"
            "o1,1,boleto,1,12.50\no2,1,voucher,1,16.09\n"
        ),
        "olist_customers_dataset": "customer_id,customer_unique_id,customer_state\nc1,anna,SP\nc2,anna,RJ\n",
        "olist_products_dataset": (
            "product_id,product_category_name,product_description_lenght,product_photos_qty\np1,pc_gamer,300,2\np2,,,\n"
        ),
        "olist_sellers_dataset": "seller_id,seller_state\ns1,SP\ns2,PR\n",
        "product_category_name_translation": ("product_category_name,product_category_name_english\nbebes,baby\n"),
        "olist_marketing_qualified_leads_dataset": (
            "mql_id,first_contact_date,origin\nl1,2018-01-02,email\nl2,2018-01-03,\n"
        ),
        "olist_closed_deals_dataset": (
            "mql_id,seller_id,won_date,business_segment\nl1,s1,1/4/2018 3:00,toys\nl2,s2,2018-01-25 19:30:00,pet\n"
        ),
    } | files
    for stem, text in texts.items():
        (folder / f"{stem}.csv").write_text(text)
    return folder


def test_items_add_up_to_the_published_total(landed: Any) -> None:
    counts = landed[1].facts["tables"]["order_lines"]
    assert counts["read"] == counts["accepted"] + counts["quarantined"] == 112_650
    assert counts["quarantined"] == 0
    sums = one(landed, "order_lines", "select sum(gross_amount), sum(freight_amount), sum(quantity) from @")
    assert sums == (Decimal("13591643.70"), Decimal("2251909.54"), 112_650)


def test_all_orders_are_there_but_those_without_items(landed: Any, original: duckdb.DuckDBPyConnection) -> None:
    [(orders, empty)] = original.execute(
        "select count(*), count(*) filter (order_id not in (select order_id from order_items)) from orders"
    ).fetchall()
    assert (orders, empty) == (99_441, 775)
    assert one(landed, "order_lines", "select count(distinct order_id) from @") == (orders - empty,)


def test_payments_add_up_to_the_files_own_sum(landed: Any, original: duckdb.DuckDBPyConnection) -> None:
    [expected] = original.execute(
        "select count(*), sum(cast(payment_value as decimal(18, 2))) from order_payments"
    ).fetchall()
    assert one(landed, "payments", "select count(*), sum(amount) from @") == expected
    assert expected == (103_886, Decimal("16008872.12"))


def test_each_of_the_3095_sellers_sells_what_it_sold(landed: Any, original: duckdb.DuckDBPyConnection) -> None:
    lines, products = (
        f"read_parquet('{landed[0].landed / table}/**/[!_]*.parquet', hive_partitioning = false)"
        for table in ("order_lines", "products")
    )
    mapped = duckdb.execute(
        f"select merchant_id, count(*), sum(gross_amount) from {lines} join {products} using (product_id) group by all"
    ).fetchall()
    expected = original.execute(
        "select seller_id, count(*), sum(cast(price as decimal(18, 2))) from order_items group by all"
    ).fetchall()
    assert sorted(mapped) == sorted(expected)
    assert one(landed, "merchants", "select count(*) from @") == (len(expected),) == (3_095,)


def test_a_product_of_several_sellers_is_one_offer_of_each(landed: Any, original: duckdb.DuckDBPyConnection) -> None:
    [(products, offers)] = original.execute(
        "select count(distinct product_id), count(distinct (product_id, seller_id)) from order_items"
    ).fetchall()
    found = one(landed, "products", "select count(*) filter (not contains(product_id, '-')), count(*) from @")
    assert found == (products, offers)


def test_cancelled_and_unavailable_orders_are_cancelled(landed: Any, original: duckdb.DuckDBPyConnection) -> None:
    [expected] = original.execute(
        """
        select count(*) from order_items join orders using (order_id)
        where order_status in ('canceled', 'unavailable')
        """
    ).fetchall()
    assert one(landed, "order_lines", "select count(*) from @ where status = 'cancelled'") == expected == (549,)


def test_categories_are_english_except_where_there_is_no_translation(landed: Any) -> None:
    named = one(
        landed,
        "products",
        """
        select
            count(*) filter (category = 'health_beauty') > 0,
            list(distinct category) filter (category in ('pc_gamer', 'portateis_cozinha_e_preparadores_de_alimentos')),
            count(distinct left(product_id, 32)) filter (category = 'unknown'),
            bool_and(title like replace(category, '_', ' ') || ' #%')
        from @
        """,
    )
    assert (named[0], sorted(named[1]), *named[2:]) == (
        True,
        ["pc_gamer", "portateis_cozinha_e_preparadores_de_alimentos"],
        610,
        True,
    )


def test_every_state_of_a_line_or_a_seller_is_a_region_of_brazil(landed: Any) -> None:
    states = set(one(landed, "regions", "select list(region) from @")[0])
    assert len(states) == 27
    assert set(one(landed, "order_lines", "select list(distinct region) from @")[0]) == states
    assert set(one(landed, "merchants", "select list(distinct region) from @")[0]) <= states
    assert one(landed, "regions", "select count(distinct parent) from @") == (5,)


def test_customers_are_persons_not_orders(landed: Any) -> None:
    assert one(landed, "customers", "select count(*) from @") == (96_096,)
    assert one(landed, "order_lines", "select count(distinct customer_id) from @") == (95_420,)


def test_leads_and_deals_reconcile(landed: Any) -> None:
    counts = landed[1].facts["tables"]["merchant_funnel"]
    stages = one(
        landed,
        "merchant_funnel",
        "select count(*) filter (stage = 'contacted'), count(*) filter (stage = 'won'), count(merchant_id) from @",
    )
    assert (stages, counts["read"], counts["quarantined"]) == ((8_000, 841, 841), 8_842, 1)


def test_days_of_deals_are_month_first(original: duckdb.DuckDBPyConnection) -> None:
    """The evidence the rule rests on: read day first, deals fall on Sundays and before their leads were known."""
    original.execute(
        r"""
        create or replace temp view dated as
        with parts as (
            select
                seller_id, first_contact_date as contacted,
                cast(regexp_extract(won_date, '^(\d+)/(\d+)/(\d{4}) ', 1) as integer) as first,
                cast(regexp_extract(won_date, '^(\d+)/(\d+)/(\d{4}) ', 2) as integer) as second,
                cast(regexp_extract(won_date, '^(\d+)/(\d+)/(\d{4}) ', 3) as integer) as year
            from deals join leads using (mql_id)
        )
        select
            *, make_date(year, first, second) as month_first,
            case when second <= 12 then make_date(year, second, first) end as day_first
        from parts
        """
    )
    [(deals, largest_first, impossible)] = original.execute(
        "select count(*), max(first), count(*) filter (day_first is null) from dated"
    ).fetchall()
    assert (deals, largest_first, impossible) == (842, 12, 540)
    [found] = original.execute(
        """
        with sold as (
            select seller_id, min(cast(order_purchase_timestamp as date)) as sold_on
            from order_items join orders using (order_id) group by all
        )
        select
            count(*) filter (dayofweek(month_first) = 0), count(*) filter (dayofweek(day_first) = 0),
            count(*) filter (month_first < contacted), count(*) filter (day_first < contacted),
            count(*) filter (sold_on < month_first), count(*) filter (sold_on < day_first)
        from dated left join sold using (seller_id)
        """
    ).fetchall()
    assert found == (0, 55, 1, 52, 0, 87)


def test_the_deal_whose_day_cannot_be_decided_is_refused_and_no_day_of_joining_is_made_of_it(landed: Any) -> None:
    file = landed[0].quarantine / "merchant_funnel" / f"as_of={AS_OF}.parquet"
    [(lead, happened_at, reasons)] = duckdb.execute(
        "select lead_id, happened_at, reasons from read_parquet($1)", [str(file)]
    ).fetchall()
    assert (lead, happened_at) == ("b91cf8812365f50ff4bda4bcd6206b05", "2018-03-06 19:38:00")
    assert len(reasons) == 1 and "month first lies before the first contact" in reasons[0]
    joined = one(landed, "merchants", "select count(joined_on) from @")
    merchant = "5e063e85d44b0f5c3e6ec3131103a57e"
    assert one(landed, "merchants", f"select joined_on from @ where merchant_id = '{merchant}'") == (None,)
    assert joined == (379,)


def test_state_tables_know_nothing_that_happened_later(data: Path, tmp_path: Path) -> None:
    last = date(2018, 2, 15)
    with duckdb.connect() as connection:
        for path in data.iterdir():
            connection.execute(f"create view {path.stem} as from '{path}'")
        connection.execute(
            f"create view known as from olist_orders_dataset where order_purchase_timestamp < date '{last}' + 1"
        )
        kept = {
            "olist_orders_dataset": "known",
            "olist_order_items_dataset": "olist_order_items_dataset semi join known using (order_id)",
            "olist_order_payments_dataset": "olist_order_payments_dataset semi join known using (order_id)",
            "olist_customers_dataset": "olist_customers_dataset semi join known using (customer_id)",
            "olist_closed_deals_dataset": (
                f"olist_closed_deals_dataset where strptime(won_date, '%m/%d/%Y %H:%M') < date '{last}' + 1"
            ),
        }
        for path in data.iterdir():
            source = kept.get(path.stem, path.stem)
            connection.execute(f"copy (from {source}) to '{tmp_path / path.stem}.parquet'")

    def sorted_rows(folder: Path, table: str) -> list[str]:
        return sorted(str({**row, "source_file": None}) for row in read(folder, table, last))

    for table in STATES:
        assert sorted_rows(data, table) == sorted_rows(tmp_path, table)


def test_the_publishers_csv_files_give_the_same_as_parquet_copies(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = tmp_path / "csv"
    copies.mkdir()
    for path in data.glob("*.parquet"):
        duckdb.execute(f"copy (from '{path}') to '{copies / path.stem}.csv'")
    for path in data.glob("*.csv"):
        (copies / path.name).write_bytes(path.read_bytes())
    found = []
    for number, folder in enumerate((data, copies)):
        monkeypatch.setenv("COLDFRAME_HOME", str(tmp_path / str(number)))
        get_settings.cache_clear()
        land(Request(source="olist", as_of=date(2016, 12, 31), path=folder))
        root = tmp_path / str(number) / "sources" / "olist" / "landed"
        found.append({str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*.parquet"))})
    get_settings.cache_clear()
    assert found[0] == found[1]


def test_the_first_seller_keeps_the_products_identity_and_a_later_one_gets_its_own(tmp_path: Path) -> None:
    folder = small(tmp_path)
    january = read(folder, "products", date(2018, 1, 31))
    assert [(p["product_id"], p["merchant_id"]) for p in january] == [("p1", "s1")]
    listed = {p["product_id"]: (p["merchant_id"], p["category"], p["title"]) for p in read(folder, "products")}
    assert listed == {
        "p1": ("s1", "pc_gamer", "pc gamer #p1"),
        "p1-s2": ("s2", "pc_gamer", "pc gamer #p1-s2"),
        "p2": ("s2", "unknown", "unknown #p2"),
    }
    assert [line["product_id"] for line in read(folder, "order_lines")] == ["p1", "p1-s2", "p2"]


def test_a_customers_region_is_the_state_of_the_latest_order_so_far(tmp_path: Path) -> None:
    folder = small(tmp_path)
    assert [c["region"] for c in read(folder, "customers", date(2018, 1, 31))] == ["SP"]
    assert [c["region"] for c in read(folder, "customers")] == ["RJ"]


def test_a_payment_is_dated_by_the_approval_or_else_by_the_order(tmp_path: Path) -> None:
    paid = [row["paid_at"] for row in read(small(tmp_path), "payments")]
    assert paid == ["2018-01-06 11:00:00", "2018-02-05 10:00:00"]


def test_days_of_deals_are_read_month_first_or_in_iso_order(tmp_path: Path) -> None:
    folder = small(tmp_path)
    won = [row for row in read(folder, "merchant_funnel") if row["stage"] == "won"]
    assert [(row["happened_at"], row["refused"]) for row in won] == [
        ("2018-01-04 03:00:00", None),
        ("2018-01-25 19:30:00", None),
    ]
    joined = {m["merchant_id"]: m["joined_on"] for m in read(folder, "merchants", date(2018, 1, 20))}
    assert joined == {"s1": date(2018, 1, 4), "s2": None}


def test_a_day_that_can_only_be_day_first_goes_to_the_quarantine_as_it_stands(tmp_path: Path) -> None:
    deals = "mql_id,seller_id,won_date,business_segment\nl1,s1,26/2/2018 15:00,toys\n"
    folder = small(tmp_path, olist_closed_deals_dataset=deals)
    [won] = [row for row in read(folder, "merchant_funnel") if row["stage"] == "won"]
    assert won["happened_at"] == "26/2/2018 15:00"


def test_items_of_a_product_the_product_file_lacks_go_to_the_quarantine(tmp_path: Path, installation: Any) -> None:
    installation(max_quarantine_share=0.5)
    products = "product_id,product_category_name,product_description_lenght,product_photos_qty\np1,bebes,300,2\n"
    folder = small(tmp_path / "small", olist_products_dataset=products)
    counts = land(Request(source="olist", as_of=AS_OF, path=folder)).facts["tables"]["order_lines"]
    assert (counts["read"], counts["accepted"]) == (3, 2)
    assert counts["reasons"] == {"product_id is not among the accepted products": 1}


def test_a_price_that_is_no_number_costs_its_line_only(tmp_path: Path, installation: Any) -> None:
    installation(max_quarantine_share=0.5)
    items = "order_id,order_item_id,product_id,seller_id,price,freight_value\no1,1,p1,s1,R$ 10,2\no2,1,p1,s2,9.99,0\n"
    folder = small(tmp_path / "small", olist_order_items_dataset=items)
    counts = land(Request(source="olist", as_of=AS_OF, path=folder)).facts["tables"]["order_lines"]
    assert (counts["accepted"], counts["quarantined"]) == (1, 1)
    assert [reason[:28] for reason in counts["reasons"]] == ["gross_amount is not a number"]


def test_missing_files_and_renamed_columns_are_told_at_once(tmp_path: Path) -> None:
    folder = small(tmp_path, olist_sellers_dataset="seller,seller_state\ns1,SP\n")
    (folder / "olist_customers_dataset.csv").unlink()
    (folder / "olist_closed_deals_dataset.csv").unlink()
    with pytest.raises(BadInputError) as error:
        Olist(folder).probe()
    message = str(error.value)
    assert "3 problem(s). Nothing was landed. Get it from Kaggle: the data sets olistbr/brazilian-ecommerce" in message
    assert "olist_sellers_dataset.csv: column 'seller_id' is missing. Is it 'seller'?" in message
    assert "olist_customers_dataset.csv (or .csv.gz, .parquet) is missing." in message
    assert "olist_closed_deals_dataset.csv (or .csv.gz, .parquet) is missing." in message


def test_without_a_folder_the_message_says_which_option_names_it() -> None:
    with pytest.raises(ConfigurationError, match=r"your copy of the Olist data set is: --path FOLDER"):
        Olist(None).probe()


def test_the_offer_says_currency_delivery_and_a_day_to_try(tmp_path: Path) -> None:
    offer = Olist(small(tmp_path)).probe()
    assert (offer.currency, offer.suggested_as_of) == ("BRL", date(2018, 3, 31))
    assert offer.delivered_on > date(2018, 11, 14)
    assert len(offer.files) == 9


def test_the_calendar_knows_carnival_gift_days_and_black_friday() -> None:
    events = {(day, event): kind for day, event, kind in calendar()}
    assert events[date(2018, 2, 13), "Carnival"] == "holiday"
    assert events[date(2017, 5, 14), "Mother's Day"] == "occasion"
    assert events[date(2017, 8, 13), "Father's Day"] == "occasion"
    assert events[date(2017, 11, 24), "Black Friday"] == "campaign"
    assert events[date(2016, 11, 25), "Black Friday"] == "campaign"
    season = [day for (day, event), kind in events.items() if event == "mothers-day" and day.year == 2018]
    assert (min(season), max(season), len(season)) == (date(2018, 4, 23), date(2018, 5, 13), 21)
    assert max(day for day, _ in events) > date(2018, 10, 17) + timedelta(days=366)
