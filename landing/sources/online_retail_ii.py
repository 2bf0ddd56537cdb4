"""Two years of a British gift shop: the public UCI data set Online Retail II.

A wrong mapping looks just like odd customers to everything downstream, so every choice is written down here:

* Times are the shop's local time, taken as UTC: nothing is sold within an hour of midnight.
* There is one merchant, the shop. A product is a stock code, without blanks and in upper case: of 157 codes that are
  spelt both ways, 145 have the very same description and 12 a rewording.
* Its title is the description that most of its lines up to the as-of give, the first in the alphabet if several do.
  Only lines that land count; that leaves out notes on stock ('?', 'damages', 'sold as set on dotcom', 'nan'): all of
  them stand on lines without a price.
* The source has no categories: all is 'gifts'. Prices differ by line, so there is no list price.
* An invoice is an order. A line of it has no number and may be there twice, so lines are numbered by what they say.
* Gross is quantity times price. A line at price 0 for a known customer is a present, and a sale of units.
* Invoices that begin with C are credit notes: refunds. They do not say which invoice they credit. An order that is
  credited minutes later was still ordered: 74,215 storage jars on 18 January 2011, for one.
* Bookkeeping is refused, line by line, with the reason: stock codes that are no products (`NO_PRODUCT`, found by
  reading every code that is not digits, and every title that speaks of postage, vouchers or fees, up to August 2011),
  stock adjustments (negative quantity on an invoice, price 0 without a customer), bad debt. Such lines of credit notes
  stand with the order lines too: no product came back. Among the refunds alone they would be 6 % and refuse them all.
* The workbook has two sheets, and both hold the days from 1 to 9 December 2010. Copies made of both have each invoice
  of those days twice; the second set of lines is refused. Two equal lines of one invoice are two lines otherwise.
* A customer's region is the country of the latest invoice up to the as-of.
"""

from datetime import date, timedelta
from functools import cached_property
from pathlib import Path

import duckdb

from coldframe.errors import BadInputError
from landing.sources import Offer, quote
from landing.sources.folder import column_problems, given, load, rows, stem

_WHAT = "Online Retail II"
_WHERE = (
    "Get online_retail_II.csv from Kaggle (mashlyn/online-retail-ii-uci), or online_retail_II.xlsx from the UCI "
    "Machine Learning Repository and save it as CSV."
)
_TO_CSV = (
    'A workbook cannot be read. Save it as CSV, both sheets one below the other: python -c "import pandas as pd; '
    "pd.concat(pd.read_excel('{name}', sheet_name=None).values()).to_csv('online_retail_II.csv', index=False)\""
)
_STEM = "online_retail_ii"
_COLUMNS = ("Invoice", "StockCode", "Description", "Quantity", "InvoiceDate", "Price", "Customer ID", "Country")
# The day after the last invoice of the original.
_DELIVERED_ON = date(2011, 12, 10)
# Nine months lie behind it, and the plan for the autumn, which makes the shop's year, can be laid beside what sold.
_SUGGESTED_AS_OF = date(2010, 8, 31)
_CALENDAR_YEARS = range(2009, 2013)
NO_PRODUCT = {
    "POST|DOT|C2|C3|23444|23574": "postage, carriage or packing, not a product",
    "M|D|ADJUST[0-9]*": "manual entry, discount or adjustment, not a product",
    "B": "bad debt, not a product",
    "BANK CHARGES|AMAZONFEE|CRUK": "fee, charge or commission, not a product",
    "S|TEST[0-9]*": "sample or test, not a product",
    "GIFT.*|22016": "gift voucher, not a product: it is spent on one later",
    "PADS": "filling that goes with a cushion at 0.001, not a product of its own",
}
"""Stock code, as a regular expression over the whole of it -> why a line with it is refused."""


class OnlineRetail:
    """Adapter of the data set. `path` is its file, or a folder with one whose name begins with online_retail_ii."""

    def __init__(self, path: Path | None) -> None:
        self.path = path

    def probe(self) -> Offer:
        """Raises BadInputError for a file or column that is missing, ConfigurationError without a path."""
        return Offer(
            tables=("regions", "calendar", *_QUERIES),
            files=(self._file,),
            delivered_on=_DELIVERED_ON,
            currency="GBP",
            suggested_as_of=_SUGGESTED_AS_OF,
        )

    def read(self, connection: duckdb.DuckDBPyConnection, table: str, first: date | None, last: date) -> str:
        if table == "calendar":
            return rows("date, region, event, kind", ((day, "*", event, kind) for day, event, kind in calendar()))
        load(connection, {"retail": self._file})
        connection.execute(_LINES)
        query = _QUERIES[table].format(last=last)
        return f"select *, {quote(self._file.name)} as source_file from ({query})"

    @cached_property
    def _file(self) -> Path:
        path = given(self.path, _WHAT, _WHERE)
        if not path.exists():
            raise BadInputError(f"{path} does not exist. Nothing was landed. Check --path. {_WHERE}")
        found = sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]
        workbooks = [p.name for p in found if p.suffix.lower() in {".xlsx", ".xls"}]
        files = [p for p in found if p.is_file() and (stem(p).startswith(_STEM) or (stem(p) and not path.is_dir()))]
        if not files and workbooks:
            problem = _TO_CSV.format(name=workbooks[0])
        elif not files:
            problem = f"No file of it is there. {_WHERE}"
        elif len(files) > 1:
            problem = f"It is there {len(files)} times: {', '.join(p.name for p in files)}. Keep one."
        else:
            problem = " ".join(column_problems(files[0], _COLUMNS))
        if problem:
            raise BadInputError(f"{path} is not the {_WHAT} data set. Nothing was landed. {problem}")
        return files[0]


def calendar() -> list[tuple[date, str, str]]:
    """Day, event and kind of all that is known ahead: England's holidays, on which the shop is closed, and Christmas.

    The shop sells to shops as well, which stock up: its Christmas begins in September.
    """
    from holidays import country_holidays

    events = [(day, name, "holiday") for day, name in country_holidays("GB", "ENG", years=_CALENDAR_YEARS).items()]
    for year in _CALENDAR_YEARS:
        first, last = date(year, 9, 13), date(year, 12, 23)
        events += [(first + timedelta(days=d), "christmas", "season") for d in range((last - first).days + 1)]
    return sorted(events)


_CODE_REASONS = " ".join(
    f"when regexp_full_match(code, {quote(codes)}) then {quote(reason)}" for codes, reason in NO_PRODUCT.items()
)
# Of the days both sheets hold, an invoice is there twice if each of its lines is there an even number of times.
_LINES = f"""
    create temp table if not exists retail_lines as
    with typed as (
        select
            cast("Invoice" as varchar) as invoice,
            upper(trim(cast("StockCode" as varchar))) as code,
            nullif(regexp_replace(trim(cast("Description" as varchar)), '\\s+', ' ', 'g'), '') as description,
            "InvoiceDate" as given_at,
            try_cast("InvoiceDate" as timestamp) as sold_at,
            try_cast("Quantity" as bigint) as quantity,
            try_cast("Price" as decimal(18, 4)) as price,
            regexp_replace(cast("Customer ID" as varchar), '\\.0$', '') as customer,
            cast("Country" as varchar) as country
        from retail
    ),
    counted as (
        select
            *, count(*) over same as times, row_number() over same as time
        from typed
        window same as (partition by invoice, code, description, given_at, quantity, price, customer, country)
    ),
    numbered as (
        select
            *,
            cast(sold_at as date) between '2010-12-01' and '2010-12-09'
            and bool_and(times % 2 = 0) over (partition by invoice) and time > times / 2 as repeated
        from counted
    )
    select
        * exclude (times, time, repeated),
        row_number() over (
            partition by invoice order by repeated, given_at, code, description, quantity, price
        ) as line_number,
        case
            when repeated then 'repeats a line of the other sheet (both have 1 to 9 December 2010)'
            {_CODE_REASONS}
            when invoice like 'C%' then null
            when quantity < 0 then 'negative quantity on an invoice: a stock adjustment'
            when price = 0 and customer is null then 'price 0 and no customer: a stock adjustment'
        end as refused,
        invoice like 'C%' and not coalesce(regexp_full_match(code, {quote("|".join(NO_PRODUCT))}), false) as is_refund
    from numbered
"""
_QUERIES = {
    "merchants": "select 'shop' as merchant_id, 'The shop' as name, 'United Kingdom' as region",
    "regions": "select distinct country as region from retail_lines where cast(sold_at as date) <= date '{last}'",
    "products": """
        with described as (
            select code, description, count(*) as lines
            from retail_lines where refused is null and cast(sold_at as date) <= date '{last}' group by all
        )
        select
            code as product_id,
            'shop' as merchant_id,
            coalesce(min_by(description, (-lines, description)) filter (description is not null), code) as title,
            'gifts' as category,
            'gifts' as subcategory,
            'unbranded' as brand
        from described group by code
    """,
    "customers": """
        select
            customer as customer_id, arg_max(country, (sold_at, invoice)) as region,
            cast(min(sold_at) as date) as joined_on
        from retail_lines
        where refused is null and customer is not null and cast(sold_at as date) <= date '{last}' group by all
    """,
    "order_lines": """
        select
            invoice as order_id,
            line_number,
            given_at as ordered_at,
            customer as customer_id,
            code as product_id,
            country as region,
            'shop' as channel,
            quantity,
            quantity * price as gross_amount,
            0 as merchant_discount,
            0 as platform_discount,
            'completed' as status,
            refused
        from retail_lines where not is_refund
    """,
    "refunds": """
        select
            invoice as refund_id,
            line_number,
            given_at as refunded_at,
            customer as customer_id,
            code as product_id,
            country as region,
            -quantity as quantity,
            -quantity * price as amount,
            refused
        from retail_lines where is_refund
    """,
}
