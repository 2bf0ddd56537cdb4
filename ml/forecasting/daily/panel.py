"""Days of demand as one matrix, with what was known ahead: prices and the calendar.

The rest of the room never reads a table. What is wrong here (a launch read as a rise from nothing, tomorrow's price
in yesterday's forecast) is learned by every model.
"""

from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property

import duckdb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from coldframe.errors import BadInputError
from coldframe.snapshots import Snapshot
from ml.forecasting.censoring import Mask, demand, stocked_share
from ml.forecasting.daily.hierarchy import Hierarchy, Ints

Floats = NDArray[np.float32]
AHEAD = 98
"""The farthest horizon, in days."""


@dataclass(frozen=True)
class PriceList:
    """Prices of a shop. `run` is [series, day] over the history and AHEAD days: the row of `price` (from 1; 0: none).

    `last` is the last day a row holds, `announced` the day it was known first, both counted from the history's first
    day; rows of a series follow each other by day.
    """

    run: NDArray[np.int32]
    price: Floats
    last: Ints
    announced: Ints

    def at(self, series: Ints, day: Ints, known: int) -> Floats:
        """Price of `series` on `day` as it was known when `known` days had passed; NaN where there was none."""
        run = self.run[series, day]
        for _ in range(3):
            # What was not announced yet is answered with the price before it.
            late = (run > 0) & (self.announced[run] >= known)
            run = np.where(late & (self._series[run - 1] == series), run - 1, np.where(late, 0, run))
        held = (self.last[run] >= day) | (day >= known)
        result: Floats = np.where((run > 0) & held & (self.announced[run] < known), self.price[run], np.nan)
        return result

    @cached_property
    def _series(self) -> Ints:
        """Series of each row."""
        owner = np.full(len(self.price), -1, dtype=np.int64)
        row, day = np.nonzero(np.diff(self.run, axis=1, prepend=0) > 0)
        owner[self.run[row, day]] = row
        return owner


@dataclass(frozen=True)
class DailyPanel:
    """Demand of every product in every region.

    `units` is [series, day], NaN before a series was on offer. `first_day` is each series' first day on offer.
    `prices` is None where the shop has no price list. `value` is what a unit of a series brings in. `events` has the
    columns date, region ('*': all), event and kind, and reaches past the last day. `out` is [series, day], whether
    stock had run out by the day's end: there `units` is no sale but an estimate of what was wanted (censoring.py); None
    where it never did, or nobody says.
    """

    hierarchy: Hierarchy
    days: pd.DatetimeIndex
    units: Floats
    first_day: Ints
    prices: PriceList | None
    value: NDArray[np.float64]
    events: pd.DataFrame
    out: Mask | None = None

    def until(self, days: int) -> "DailyPanel":
        """What was known after the first `days` days, series not yet on offer included (they have no number)."""
        out = None if self.out is None else self.out[:, :days]
        return replace(self, days=self.days[:days], units=self.units[:, :days], out=out)

    def days_out_of_stock(self, since: int) -> int:
        """Days of series, from day `since` on, at whose end stock had run out: what came there is an estimate."""
        return 0 if self.out is None else int(self.out[:, since:].sum())

    def ahead(self, horizon: int) -> pd.DatetimeIndex:
        """The `horizon` days after the last one."""
        return pd.date_range(self.days[-1] + pd.Timedelta(days=1), periods=horizon, freq="D")


def load(snapshot: Snapshot) -> DailyPanel:
    """The panel of a published snapshot. Raises BadInputError for facts that are no daily history."""
    as_of = snapshot.as_of
    with duckdb.connect() as connection:
        for table in ("fct_product_day", "fct_stock_out", "dim_product", "dim_region", "dim_price", "dim_calendar"):
            connection.execute(f"create view {table} as from '{snapshot.glob(table)}'")
        connection.execute(_SERIES.format(as_of=as_of))
        series = connection.execute("from series order by i").df()
        if series.empty:
            raise BadInputError(f"Snapshot {snapshot.id}: fct_product_day is empty. Land order lines first.")
        days = pd.date_range(series["first_day"].min(), as_of, freq="D")
        first_day: Ints = (series["first_day"] - days[0]).dt.days.to_numpy().astype(np.int64)
        units = _units(connection, len(series), days, first_day)
        out = _out(connection, units, days)
        prices = _prices(connection, len(series), days, as_of)
        events = connection.execute(
            "select date::timestamp as date, region, event, kind from dim_calendar where kind <> 'season' order by all"
        ).df()
    keys = series[["product_id", "category", "subcategory", "merchant_id", "region", "parent"]]
    value = series["value"].to_numpy(dtype=float)
    if out is not None:
        group: Ints = keys.groupby(["category", "region"], dropna=False).ngroup().to_numpy().astype(np.int64)
        units = demand(units, stocked_share(out, units), group, week=7)
    return DailyPanel(Hierarchy(keys), days, units, first_day, prices, value, events, out)


def _units(connection: duckdb.DuckDBPyConnection, series: int, days: pd.DatetimeIndex, first_day: Ints) -> Floats:
    units = np.full((series, len(days)), np.nan, dtype=np.float32)
    units[np.arange(len(days)) >= first_day[:, None]] = 0.0
    cells = connection.execute(
        f"""
        select
            i, date - date '{days[0]:%Y-%m-%d}' as day, units::float as units,
            count(*) over (partition by i, date) as rows
        from fct_product_day join series using (product_id, region)
        """
    ).fetchnumpy()
    twice, negative = int((cells["rows"] > 1).sum()), int((cells["units"] < 0).sum())
    if twice or negative:
        raise BadInputError(
            f"fct_product_day has {twice} rows for a product, region and day that has another, and {negative} with "
            "negative units. The mart must hold one row a day: run `coldframe transform` again."
        )
    units[cells["i"], cells["day"]] = cells["units"]
    return units


def _out(connection: duckdb.DuckDBPyConnection, units: Floats, days: pd.DatetimeIndex) -> Mask | None:
    cells = connection.execute(
        f"""
        select i, date - date '{days[0]:%Y-%m-%d}' as day
        from fct_stock_out join series using (product_id, region) where date >= date '{days[0]:%Y-%m-%d}'
        """
    ).fetchnumpy()
    if not len(cells["i"]):
        return None
    out = np.zeros(units.shape, dtype=bool)
    out[cells["i"], cells["day"]] = True
    on_offer = np.isfinite(units)
    # Of a series never seen in stock nobody keeps the stock: what it sells is what is wanted.
    in_stock: Mask = np.any(on_offer & ~out, axis=1, keepdims=True)
    out &= on_offer & in_stock
    return out if out.any() else None


def _prices(
    connection: duckdb.DuckDBPyConnection, series: int, days: pd.DatetimeIndex, as_of: date
) -> PriceList | None:
    length = len(days) + AHEAD
    rows = connection.execute(
        f"""
        with priced as (
            -- Where a product has a price in the region, the one that holds everywhere does not count.
            select
                i, valid_from, valid_until, price, announced_on,
                dim_price.region = '*' and bool_or(dim_price.region <> '*') over (partition by i) as overruled
            from dim_price join series
                on dim_price.product_id = series.product_id and dim_price.region in (series.region, '*')
            where coalesce(announced_on, valid_from) <= date '{as_of}'
        )
        select
            i, price::float as price, greatest(valid_from - date '{days[0]:%Y-%m-%d}', 0) as first,
            coalesce(valid_until - date '{days[0]:%Y-%m-%d}', {length}) as last,
            coalesce(announced_on, valid_from) - date '{days[0]:%Y-%m-%d}' as announced
        from priced where not overruled and last >= 0 and first < {length}
        order by i, valid_from
        """
    ).fetchnumpy()
    if not len(rows["i"]):
        return None
    # A price holds until the next one of its series: numbers grow by series and day, so a running maximum carries them.
    run = np.zeros((series, length), dtype=np.int32)
    run[rows["i"], rows["first"]] = np.arange(1, len(rows["i"]) + 1)
    np.maximum.accumulate(run, axis=1, out=run)
    return PriceList(
        run=run,
        price=np.concatenate([[np.nan], rows["price"]]).astype(np.float32),
        last=np.concatenate([[-1], rows["last"]]).astype(np.int64),
        announced=np.concatenate([[0], rows["announced"]]).astype(np.int64),
    )


_SERIES = """
create temp table series as
with sold as (
    select product_id, region, min(date) as first_sold, sum(gmv)::double as gmv, sum(units)::double as units
    from fct_product_day group by all
),
offered as (
    select product_id, region, min(valid_from) as first_priced
    from dim_price where region <> '*' and valid_from <= date '{as_of}' group by all
),
pairs as (
    select product_id, region, least(first_sold, first_priced) as first_day, gmv, units
    from sold full join offered using (product_id, region)
),
history as (select min(first_sold) as first_day from sold)
select
    row_number() over (order by product_id, region) - 1 as i, product_id, region, coalesce(parent, region) as parent,
    category, subcategory, merchant_id, greatest(pairs.first_day, history.first_day)::timestamp as first_day,
    coalesce(gmv / nullif(units, 0), 0) as value
from pairs join dim_product using (product_id) left join dim_region using (region) cross join history
"""
