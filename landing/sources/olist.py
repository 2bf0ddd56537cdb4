"""A Brazilian marketplace: the public Olist data set of orders, and its marketing funnel of sellers that were won.

A wrong mapping looks just like odd customers to everything downstream, so every choice is written down here:

* Orders carry Brazilian local time. It is taken as UTC, so that a day is the shop's own day.
* Sellers are merchants. 1,225 products are sold by several sellers, and the contract knows one merchant a product, so
  a product of the contract is the offer of one seller: the seller who sold it first keeps the product's identity, each
  later one gets it with eight characters of its own behind it. Sales of a merchant are then exactly its own.
* A product is listed from its first sale: the source does not say when it was put up. There are no names, so a title is
  the category and the first eight characters of the identity. Two categories have no translation and keep their
  Portuguese name; products without one are 'unknown'. There is nothing finer than a category.
* A line of the contract is an item: one unit, its price, the freight the customer paid. Discounts are not known. Orders
  without items (775, mostly cancelled before they were picked) have no lines; their payments are there.
* 'canceled' and 'unavailable' are cancelled. The source has the last status only and does not say since when: a run as
  of a day in the past sees 1.2 % of its lines cancelled that were cancelled, perhaps, some days later.
* A payment is dated by the order's approval, or by the order where it was never approved: it has no date of its own.
* A customer is a person (`customer_unique_id`); the region is the state of the latest order up to the as-of.
* Days on which deals were won are text. All 842 of the copies that went through a spreadsheet are month first: no first
  number is above 12 while 540 second ones are; read so, no deal falls on a Sunday and no seller sold before it was won,
  read day first, 55 and 87 do. They are UTC: those without a time show 2:00 in Brazil's summer and 3:00 in winter. One
  lies before its lead's first contact when read month first and after it when read day first: nobody can decide it, so
  it is refused. The publisher's own file has ISO times, which are taken as they are.
* A lead is known as a merchant from the day it was won; that day is when the merchant joined. 462 of 842 never sold.
"""

from collections.abc import Iterator
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path

import duckdb

from landing.sources import Offer, quote
from landing.sources.folder import load, rows, tables

_WHERE = (
    "Get it from Kaggle: the data sets olistbr/brazilian-ecommerce and olistbr/marketing-funnel-olist, unpacked into "
    "one folder."
)
# The name of each file's relation, the file, and the columns that are used.
_FILES = {
    "orders": (
        "olist_orders_dataset",
        ("order_id", "customer_id", "order_status", "order_purchase_timestamp", "order_approved_at"),
    ),
    "items": (
        "olist_order_items_dataset",
        ("order_id", "order_item_id", "product_id", "seller_id", "price", "freight_value"),
    ),
    "payments": (
        "olist_order_payments_dataset",
        ("order_id", "payment_sequential", "payment_type", "payment_installments", "payment_value"),
    ),
    "customers": ("olist_customers_dataset", ("customer_id", "customer_unique_id", "customer_state")),
    "products": (
        "olist_products_dataset",
        ("product_id", "product_category_name", "product_description_lenght", "product_photos_qty"),
    ),
    "sellers": ("olist_sellers_dataset", ("seller_id", "seller_state")),
    "translation": (
        "product_category_name_translation",
        ("product_category_name", "product_category_name_english"),
    ),
    "leads": ("olist_marketing_qualified_leads_dataset", ("mql_id", "first_contact_date", "origin")),
    "deals": ("olist_closed_deals_dataset", ("mql_id", "seller_id", "won_date", "business_segment")),
}
# Which file a contract table is mainly made from; shown beside refused rows.
_FILE_OF = {
    "merchants": "sellers",
    "products": "products",
    "customers": "customers",
    "order_lines": "items",
    "payments": "payments",
}
# The day after the last thing in it, a deal won.
_DELIVERED_ON = date(2018, 11, 15)
# Over a year of orders lies behind it, and five months of what sold afterwards can be laid beside the plans.
_SUGGESTED_AS_OF = date(2018, 3, 31)
_CALENDAR_YEARS = range(2016, 2020)
STATES = {
    "North": {
        "AC": "Acre",
        "AM": "Amazonas",
        "AP": "Amapá",
        "PA": "Pará",
        "RO": "Rondônia",
        "RR": "Roraima",
        "TO": "Tocantins",
    },
    "Northeast": {
        "AL": "Alagoas",
        "BA": "Bahia",
        "CE": "Ceará",
        "MA": "Maranhão",
        "PB": "Paraíba",
        "PE": "Pernambuco",
        "PI": "Piauí",
        "RN": "Rio Grande do Norte",
        "SE": "Sergipe",
    },
    "Central-West": {"DF": "Distrito Federal", "GO": "Goiás", "MS": "Mato Grosso do Sul", "MT": "Mato Grosso"},
    "Southeast": {"ES": "Espírito Santo", "MG": "Minas Gerais", "RJ": "Rio de Janeiro", "SP": "São Paulo"},
    "South": {"PR": "Paraná", "RS": "Rio Grande do Sul", "SC": "Santa Catarina"},
}
"""The five macro-regions of the Brazilian Institute of Geography and Statistics (IBGE), and their states."""


class Olist:
    """Adapter of the data set. `path` is the folder that holds its files."""

    def __init__(self, path: Path | None) -> None:
        self.folder = path

    def probe(self) -> Offer:
        """Raises BadInputError naming every file and column that is missing, ConfigurationError without a folder."""
        return Offer(
            tables=("regions", "calendar", "merchant_funnel", *_FILE_OF),
            files=tuple(self._files.values()),
            delivered_on=_DELIVERED_ON,
            currency="BRL",
            suggested_as_of=_SUGGESTED_AS_OF,
        )

    def read(self, connection: duckdb.DuckDBPyConnection, table: str, first: date | None, last: date) -> str:
        if table == "regions":
            states = [(state, name, region) for region, of in STATES.items() for state, name in of.items()]
            return rows("region, name, parent", states)
        if table == "calendar":
            return rows("date, region, event, kind", ((day, "*", event, kind) for day, event, kind in calendar()))
        load(connection, {f"olist_{name}": path for name, path in self._files.items()})
        connection.execute(_WON)
        connection.execute(_OFFERS)
        query = _QUERIES[table].format(last=last, **{name: quote(path.name) for name, path in self._files.items()})
        if table not in _FILE_OF:
            return query
        return f"select *, {quote(self._files[_FILE_OF[table]].name)} as source_file from ({query})"

    @cached_property
    def _files(self) -> dict[str, Path]:
        found = tables(self.folder, dict(_FILES.values()), "Olist", _WHERE)
        return {name: found[stem] for name, (stem, _) in _FILES.items()}


def calendar() -> list[tuple[date, str, str]]:
    """Day, event and kind of all that is known ahead in Brazil: holidays, gift days, seasons before them, campaigns."""
    from holidays import country_holidays

    # Carnival and Corpus Christi are no national holidays by law, but the country rests.
    kinds = ("public", "optional")
    found = country_holidays("BR", years=_CALENDAR_YEARS, language="en_US", categories=kinds)
    events = [(day, name, "holiday") for day, name in found.items()]
    for year in _CALENDAR_YEARS:
        events += [(day, event, kind) for event, kind, days in _shopping(year) for day in days]
    return sorted(events)


def _shopping(year: int) -> Iterator[tuple[str, str, list[date]]]:
    """Event, kind and days of a year's shopping: an order takes one to three weeks to arrive."""
    mothers, fathers = _weekday(year, 5, 6, 2), _weekday(year, 8, 6, 2)
    # Black Friday is the day after the fourth Thursday of November.
    friday = _weekday(year, 11, 3, 4) + timedelta(days=1)
    gifts = {
        "Mother's Day": mothers,
        "Valentine's Day": date(year, 6, 12),
        "Father's Day": fathers,
        "Children's Day": date(year, 10, 12),
    }
    for event, day in gifts.items():
        yield event, "occasion", [day]
        yield event.lower().replace("'", "").replace(" ", "-"), "season", _days(day - timedelta(days=20), day)
    yield "Consumer Day", "campaign", [date(year, 3, 15)]
    yield "Black Friday", "campaign", _days(friday, friday + timedelta(days=3))
    yield "christmas", "season", _days(friday, date(year, 12, 24))
    yield "back-to-school", "season", _days(date(year, 1, 5), date(year, 2, 10))


def _days(first: date, last: date) -> list[date]:
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def _weekday(year: int, month: int, weekday: int, number: int) -> date:
    """The `number`-th `weekday` (Monday is 0) of a month."""
    begin = date(year, month, 1)
    return begin + timedelta(days=(weekday - begin.weekday()) % 7 + 7 * (number - 1))


_WON = """
    create or replace temp view olist_won as
    with read as (
        select
            deals.*, origin, try_cast(first_contact_date as date) as contacted_on,
            try_strptime(cast(won_date as varchar), '%m/%d/%Y %H:%M') as month_first,
            coalesce(try_cast(won_date as timestamp), month_first) as won_at
        from olist_deals as deals left join olist_leads as leads using (mql_id)
    )
    select *, coalesce(cast(month_first as date) < contacted_on, false) as undecided from read
"""
# Who sold a product first is known once and for all, so that an identity never changes as days are added.
_OFFERS = """
    create temp table if not exists olist_offers as
    with offers as (
        select
            product_id, seller_id, min(try_cast(order_purchase_timestamp as timestamp)) as sold_at,
            min((try_cast(order_purchase_timestamp as timestamp), order_id, order_item_id)) as first_sale
        from olist_items join olist_orders using (order_id) group by all
    )
    select
        product_id, seller_id, sold_at,
        case when row_number() over (partition by product_id order by first_sale) > 1
            then '-' || left(seller_id, 8) else ''
        end as suffix
    from offers
"""
_QUERIES = {
    "merchants": """
        select
            seller_id as merchant_id, 'Seller ' || left(seller_id, 8) as name, seller_state as region,
            case when cast(won_at as date) <= date '{last}' and not undecided then cast(won_at as date) end as joined_on
        from olist_sellers left join olist_won using (seller_id)
    """,
    "products": """
        select
            product_id || suffix as product_id,
            seller_id as merchant_id,
            replace(category, '_', ' ') || ' #' || left(product_id, 8) || suffix as title,
            category,
            category as subcategory,
            'unbranded' as brand,
            product_photos_qty as image_count,
            product_description_lenght as description_length
        from olist_offers
        join (
            select *, coalesce(product_category_name_english, product_category_name, 'unknown') as category
            from olist_products left join olist_translation using (product_category_name)
        ) using (product_id)
        where cast(sold_at as date) <= date '{last}'
    """,
    "customers": """
        with orders as (
            select *, try_cast(order_purchase_timestamp as timestamp) as ordered_at
            from olist_orders join olist_customers using (customer_id)
        )
        select
            customer_unique_id as customer_id,
            arg_max(customer_state, (ordered_at, order_id)) as region,
            cast(min(ordered_at) as date) as joined_on
        from orders where cast(ordered_at as date) <= date '{last}' group by all
    """,
    "order_lines": """
        select
            order_id,
            order_item_id as line_number,
            order_purchase_timestamp as ordered_at,
            customer_unique_id as customer_id,
            product_id || suffix as product_id,
            customer_state as region,
            'marketplace' as channel,
            1 as quantity,
            price as gross_amount,
            0 as merchant_discount,
            0 as platform_discount,
            freight_value as freight_amount,
            case when order_status in ('canceled', 'unavailable') then 'cancelled' else 'completed' end as status
        from olist_items
        left join olist_orders using (order_id)
        left join olist_customers using (customer_id)
        left join olist_offers using (product_id, seller_id)
    """,
    "payments": """
        select
            order_id,
            payment_sequential as payment_number,
            coalesce(order_approved_at, order_purchase_timestamp) as paid_at,
            payment_type as method,
            payment_installments as installments,
            payment_value as amount
        from olist_payments left join olist_orders using (order_id)
    """,
    "merchant_funnel": """
        select
            mql_id as lead_id, 'contacted' as stage, cast(first_contact_date as varchar) as happened_at,
            null as merchant_id, origin, null as segment, null as refused, {leads} as source_file
        from olist_leads
        union all
        select
            mql_id, 'won', coalesce(cast(won_at as varchar), won_date), seller_id, origin, business_segment,
            case when undecided then 'won_date read month first lies before the first contact, and nothing else says '
                || 'which number is the month' end,
            {deals}
        from olist_won
    """,
}
