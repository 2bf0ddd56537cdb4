"""M5: five years of daily unit sales of ten Walmart stores, as the forecasting competition gave them out.

The file is a matrix of 30,490 series by 1,913 (or 1,941) days; a wrong day here shifts every season. The choices:

* A line of the contract is what one store sold of one item on one day, if it sold any: baskets and customers are not
  in the data. Days without a sale are not lines; the weekly panel makes them zeros from the launch on. `order_id` is
  store and day, so orders count store-days here.
* The value of a line is its units at the week's shelf price. A unit sold in a week without a price has no value and
  goes to the quarantine.
* Stores are regions, states their parents. Items have a department (subcategory) and a category. Walmart is the one
  merchant.
* Shelf prices are given by weeks that begin on Saturdays, and for the 28 days to be forecast too: a price is announced
  28 days ahead. Weeks of one price become one row. The first price of an item in a store is its launch there.
* Events: national, religious and cultural ones are holidays, sporting ones occasions. A SNAP day, on which food stamps
  are paid in the store's state, is a payday.
* Times are midnight of the day, as if UTC.
"""

from datetime import date, timedelta
from functools import cached_property
from pathlib import Path

import duckdb

from coldframe.errors import BadInputError
from landing.sources import Offer, quote
from landing.sources.folder import given, load, scan, stem, tables

WHAT, WHERE = "M5", "Download it from the Kaggle competition m5-forecasting-accuracy."
FIRST_DAY = date(2011, 1, 29)
"""The day of column d_1."""
_SALES = ("sales_train_evaluation", "sales_train_validation")
_KEYS = ("item_id", "dept_id", "cat_id", "store_id", "state_id")
_SNAP = ("CA", "TX", "WI")
_COLUMNS: dict[str, tuple[str, ...]] = {
    "calendar": (
        *("date", "wm_yr_wk", "d", "event_name_1", "event_type_1", "event_name_2", "event_type_2"),
        *(f"snap_{state}" for state in _SNAP),
    ),
    "sell_prices": ("store_id", "item_id", "wm_yr_wk", "sell_price"),
}
_PIECE_DAYS = 92


class M5:
    """Adapter of the data set. `path` is the folder with its files, CSV or Parquet."""

    def __init__(self, path: Path | None) -> None:
        self.folder = path

    def probe(self) -> Offer:
        last_day = FIRST_DAY + timedelta(days=self._days - 1)
        return Offer(
            tables=tuple(_QUERIES),
            files=tuple(self._files.values()),
            delivered_on=last_day + timedelta(days=1),
            currency="USD",
            # Hardly anything is launched after 2014, and a plan for new products needs some.
            suggested_as_of=date(2014, 12, 31),
            first_day=FIRST_DAY,
            piece_days=_PIECE_DAYS,
        )

    def read(self, connection: duckdb.DuckDBPyConnection, table: str, first: date | None, last: date) -> str:
        load(connection, {name: path for name, path in self._files.items() if name in _COLUMNS})
        connection.execute(f"create or replace temp view m5_sales as from {scan(self._sales)}")
        if table == "order_lines":
            # The file's days end before the as-of may; columns are cut here, so that a piece reads no others.
            begin = max(((first or FIRST_DAY) - FIRST_DAY).days + 1, 1)
            end = min((last - FIRST_DAY).days + 1, self._days)
            days = [f"d_{n}" for n in range(begin, end + 1)] or ["d_1"]
            query = _QUERIES[table].format(
                keys=", ".join(_KEYS),
                days=", ".join(self._units(day) for day in days),
                first=FIRST_DAY + timedelta(days=begin - 1),
                last=FIRST_DAY + timedelta(days=end - 1),
            )
        else:
            query = _QUERIES[table].format(last=last, snap=" union all ".join(map(_snap_days, _SNAP)))
        return f"select *, {quote(_FILE_OF.get(table, self._sales.name))} as source_file from ({query})"

    def _units(self, day: str) -> str:
        # DuckDB would take a bare try_cast for the column's type, and a bad cell of a CSV for a bad file.
        return f"{day}" if self._sales.suffix == ".parquet" else f"try_cast(trim({day}) as integer) as {day}"

    @cached_property
    def _files(self) -> dict[str, Path]:
        """Paths by stem; the matrix comes first: of several, the one the competition gave out last."""
        folder = given(self.folder, WHAT, WHERE)
        found = [stem(path) for path in sorted(folder.glob("sales_train*")) if stem(path)]
        sales = next((name for name in (*_SALES, *found) if name in found), _SALES[0])
        matrix: dict[str, tuple[str, ...]] = {sales: (*_KEYS, "d_1")}
        return tables(folder, matrix | _COLUMNS, WHAT, WHERE)

    @property
    def _sales(self) -> Path:
        return next(iter(self._files.values()))

    @cached_property
    def _days(self) -> int:
        """Number of the last day the matrix has. Raises BadInputError unless it has every day from d_1 on."""
        with duckdb.connect() as connection:
            described = connection.execute(f"describe from {scan(self._sales)}").fetchall()
        names = [str(name) for name, *_ in described]
        days = sorted(int(name[2:]) for name in names if name.startswith("d_") and name[2:].isdigit())
        if days != list(range(1, len(days) + 1)):
            gap = next(n for n, day in enumerate(days, start=1) if n != day)
            raise BadInputError(f"{self._sales.name}: column 'd_{gap}' is missing. Nothing was landed. {WHERE}")
        return len(days)


def _snap_days(state: str) -> str:
    return (
        f"select cast(date as date) as date, '{state}' as state from calendar where cast(snap_{state} as integer) = 1"
    )


_FILE_OF = {"calendar": "calendar", "prices": "sell_prices"}
_QUERIES = {
    "regions": "select distinct store_id as region, store_id as name, state_id as parent from m5_sales",
    "merchants": "select 'walmart' as merchant_id, 'Walmart' as name",
    "products": """
        select distinct
            item_id as product_id, 'walmart' as merchant_id, item_id as title, cat_id as category,
            dept_id as subcategory, 'unbranded' as brand
        from m5_sales
    """,
    "prices": """
        with weeks as (
            select wm_yr_wk, min(cast(date as date)) as starts_on, max(cast(date as date)) as ends_on
            from calendar group by all
        ),
        known as (
            select
                item_id, store_id, starts_on, ends_on, cast(sell_price as decimal(18, 4)) as price,
                starts_on - 28 as announced_on
            from sell_prices join weeks using (wm_yr_wk)
            where starts_on - 28 <= date '{last}'
        ),
        runs as (
            select
                *,
                coalesce(
                    price is distinct from lag(price) over series or starts_on > lag(ends_on) over series + 1, true
                ) as begins
            from known window series as (partition by item_id, store_id order by starts_on)
        ),
        numbered as (
            select *, sum(cast(begins as integer)) over (partition by item_id, store_id order by starts_on) as run
            from runs
        )
        select
            item_id as product_id, store_id as region, min(starts_on) as valid_from,
            nullif(max(ends_on), (select max(ends_on) from known)) as valid_until, any_value(price) as price,
            min(announced_on) as announced_on
        from numbered group by item_id, store_id, run
    """,
    "calendar": """
        with days as (
            select cast(date as date) as date, event_name_1 as event, event_type_1 as type from calendar
            union all
            select cast(date as date), event_name_2, event_type_2 from calendar
        ),
        snap as ({snap}),
        stores as (select distinct store_id, state_id from m5_sales)
        select date, '*' as region, event, if(type = 'Sporting', 'occasion', 'holiday') as kind
        from days where event <> ''
        union all
        select snap.date, stores.store_id, 'SNAP', 'payday'
        from snap join stores on snap.state = stores.state_id
    """,
    "order_lines": """
        with sold as (
            select * from (select {keys}, {days} from m5_sales)
            unpivot include nulls (units for d in (columns('^d_[0-9]+$')))
        ),
        items as (
            select item_id, row_number() over (order by item_id) as line_number
            from (select distinct item_id from m5_sales)
        ),
        days as (
            select cast(date as date) as date, d, wm_yr_wk from calendar
            where cast(date as date) between date '{first}' and date '{last}'
        )
        select
            store_id || '-' || date as order_id,
            line_number,
            cast(date as timestamp) as ordered_at,
            item_id as product_id,
            store_id as region,
            'store' as channel,
            units as quantity,
            units * cast(sell_price as decimal(18, 4)) as gross_amount,
            0 as merchant_discount,
            0 as platform_discount,
            'completed' as status
        from sold
        join days using (d)
        join items using (item_id)
        left join sell_prices using (store_id, item_id, wm_yr_wk)
        where units is distinct from 0
    """,
}
