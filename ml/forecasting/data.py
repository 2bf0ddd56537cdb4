"""What goes into a forecast: whole weeks of demand as one matrix per level, taken from the published snapshot.

A half-finished week or a missing one read as a slump would be learned as a trend, so both are refused or left out
here, and no other file of the room reads facts.
"""

from dataclasses import dataclass, replace
from datetime import date
from typing import ClassVar, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from coldframe.errors import BadInputError
from coldframe.snapshots import Snapshot
from ml.forecasting.censoring import demand

Level = Literal["product_region", "category_region"]
LEVELS: tuple[Level, ...] = ("category_region", "product_region")
MOST_TIMES_USUAL = 2.0
"""What a unit brought in a quarter counts for at most so many times what it brought in the quarter's middle week."""
LEAST_FIRST_DAYS = 4
"""Days of the week in which a source's history began that must be known for it to count as a week."""
TRAILING = 13
"""Weeks that say how much a series sells now: a quarter."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_SOURCES: dict[Level, tuple[str, str]] = {
    "product_region": ("fct_product_week", "product_id"),
    "category_region": ("fct_category_week", "cast(null as varchar)"),
}


@dataclass(frozen=True)
class Panel:
    """Demand of one level.

    `series` has the columns product_id (None at category level), category, region, gmv (trailing 13 weeks) and
    gmv_per_unit, in the order of the rows of `units`. `units` is [series, week], NaN before a series began. `events`
    has one row per week_start, region ('*': all) and kind with the names of its events; it reaches past the last week.
    In `estimated` of the weeks stock ran out: there `units` is an estimate of what was wanted (censoring.py).
    """

    level: Level
    series: pd.DataFrame
    weeks: pd.DatetimeIndex
    units: Floats
    events: pd.DataFrame
    estimated: int = 0

    season: ClassVar[int] = 52

    @property
    def periods(self) -> pd.DatetimeIndex:
        """The weeks, as the models of one series at a time call them."""
        return self.weeks

    def until(self, weeks: int) -> "Panel":
        """The same series with only their first `weeks` weeks: all that was known at that cutoff."""
        return replace(self, weeks=self.weeks[:weeks], units=self.units[:, :weeks])

    def ahead(self, horizon: int) -> pd.DatetimeIndex:
        """The `horizon` weeks after the last one."""
        return pd.date_range(self.weeks[-1] + pd.Timedelta(weeks=1), periods=horizon, freq="7D")

    def events_of(self, row: int) -> pd.DataFrame:
        """Weeks with an event that concerns a series, those ahead included: ds, event and kind."""
        here = self.events[self.events["region"].isin([self.series["region"].iloc[row], "*"])]
        return here.rename(columns={"week_start": "ds"})[["ds", "event", "kind"]]

    def event_days(self, weeks: pd.DatetimeIndex, kind: str = "holiday") -> Floats:
        """Days with an event of that kind, [series, week]."""
        found = self.events[self.events["kind"] == kind]
        counts = found.pivot_table(index="week_start", columns="region", values="days", aggfunc="sum")
        regions = self.series["region"].unique()
        table = counts.reindex(index=weeks, columns=[*regions, "*"]).fillna(0.0)
        days = table[list(regions)].add(table["*"], axis=0)
        result: Floats = days[self.series["region"]].to_numpy(dtype=float).T
        return result


def load(snapshot: Snapshot) -> dict[Level, Panel]:
    """Panels of both levels. Raises BadInputError for weekly facts that cannot be learned from.

    Only complete weeks are in them, but for the one the source's history began in: with LEAST_FIRST_DAYS of its days it
    counts as what they sold a day, because it may be half of what is known of a Christmas.
    """
    first, last, days = _span(snapshot)
    events = _events(snapshot)
    panels = {level: _panel(snapshot, level, first, last, events) for level in LEVELS}
    for panel in panels.values():
        panel.units[:, 0] *= 7 / days
    out = _days_out(snapshot, panels["product_region"])
    return as_wanted(panels, out) if out.any() else panels


def catalogue(snapshot: Snapshot) -> pd.DataFrame:
    """What products are called, belong to and cost, and since when: the columns season.learn reads."""
    columns = ["product_id", "title", "category", "subcategory", "brand", "list_price", "launched_on"]
    return snapshot.frame("dim_product", columns)


def as_wanted(panels: dict[Level, Panel], out: Floats) -> dict[Level, Panel]:
    """The same panels with what was wanted instead of what was sold. `out` is [product series, week], at the end of how
    many days a product was out of stock; on the day it runs out it was there half the day, on average."""
    products, categories = panels["product_region"], panels["category_region"]
    keys = ["category", "region"]
    group = products.series[keys].merge(categories.series[keys].reset_index(), on=keys)["index"].to_numpy()
    stocked = (7 - out + 0.5 * ((out > 0) & (out < 7))) / 7
    wanted = demand(products.units, stocked, group, week=1)
    missed = np.zeros_like(categories.units)
    np.add.at(missed, group, np.nan_to_num(wanted - products.units))
    estimated = np.zeros(missed.shape, dtype=bool)
    np.logical_or.at(estimated, group, out > 0)
    return {
        "category_region": replace(categories, units=categories.units + missed, estimated=int(estimated.sum())),
        "product_region": replace(products, units=wanted, estimated=int((out > 0).sum())),
    }


def check(names: pd.Series, rows: Floats, units: Floats, table: str) -> None:
    """Refuses series that are no unbroken weekly history.

    `rows` and `units` are [series, week]: how many rows the mart has for a week, and their units. Raises
    BadInputError naming table, series and count.
    """
    begun = np.maximum.accumulate(rows > 0, axis=1)
    faults = {
        "more than one row for a week": rows > 1,
        "weeks missing after the first": begun & (rows == 0),
        "negative units": units < 0,
        "units that are no number": (rows > 0) & ~np.isfinite(units),
    }
    for fault, cells in faults.items():
        where = cells.any(axis=1)
        if where.any():
            examples = ", ".join(names[where].head(3))
            raise BadInputError(
                f"{table}: {int(where.sum())} of {len(names)} series have {fault} ({examples}). "
                "The mart must hold one row a week from a series' first week on: run `coldframe transform` again."
            )


def _span(snapshot: Snapshot) -> tuple[date, date, int]:
    """The first week, the last complete one, and how many days of the first are known."""
    bounds = snapshot.query(
        f"""
        with began as (select min(first_day) as first_day from dim_region),
        weeks as (
            select first_day, cast(date_trunc('week', first_day + 7 - {LEAST_FIRST_DAYS}) as date) as first from began
        )
        select
            first, 7 - greatest(first_day - first, 0) as days,
            (select max(week_start) from fct_category_week where days_elapsed = 7) as last
        from weeks
        """
    ).iloc[0]
    if pd.isna(bounds["first"]) or pd.isna(bounds["last"]) or bounds["first"] > bounds["last"]:
        raise BadInputError(
            f"Snapshot {snapshot.id} has no complete week in fct_category_week, so there is nothing to forecast from. "
            "Forecasting needs 12, and as many as are to be forecast. Land more history."
        )
    return bounds["first"].date(), bounds["last"].date(), int(bounds["days"])


def _events(snapshot: Snapshot) -> pd.DataFrame:
    return snapshot.query(
        """
        select
            week_start::timestamp as week_start, region, kind,
            string_agg(distinct event, ' + ' order by event) as event,
            count(distinct date)::double as days
        from dim_calendar where kind <> 'season' group by all order by all
        """
    )


def _days_out(snapshot: Snapshot, products: Panel) -> Floats:
    """[series, week] days at whose end a product was out of stock."""
    rows = snapshot.query(
        """
        select product_id, category, region, week_start::timestamp as week_start, days_out_of_stock::double as days
        from fct_product_week where days_out_of_stock > 0
        """
    )
    keys = ["product_id", "category", "region"]
    rows = rows[rows["week_start"].isin(products.weeks)].merge(products.series[keys].reset_index(), on=keys)
    out = np.zeros(products.units.shape)
    out[rows["index"].to_numpy(), products.weeks.get_indexer(pd.DatetimeIndex(rows["week_start"]))] = rows["days"]
    return out


def _panel(snapshot: Snapshot, level: Level, first: date, last: date, events: pd.DataFrame) -> Panel:
    table, product = _SOURCES[level]
    trailing = f"week_start > date '{last}' - {7 * TRAILING}"
    facts = f"""
        with facts as (
            select {product} as product_id, category, region, week_start, units, gmv
            from {table} where week_start between date '{first}' and date '{last}'
        ),
        histories as (
            select
                product_id, category, region,
                -- Decimals until they are added up: a parallel sum of doubles differs in its last bits.
                cast(sum(gmv) as double) as gmv_ever,
                sum(units) as units_ever,
                cast(coalesce(sum(gmv) filter ({trailing}), 0) as double) as gmv,
                sum(units) filter ({trailing}) as units,
                median(cast(gmv as double) / units) filter ({trailing} and units > 0) as usual
            from facts group by all
        ),
        series as (
            select *, row_number() over (order by product_id, category, region) - 1 as i from histories
        )
    """
    series = snapshot.query(facts + " select * from series order by i")
    cells = snapshot.query(
        facts
        + f"""
        select i, (week_start - date '{first}') // 7 as week, cast(facts.units as double) as units
        from facts join series
            on coalesce(facts.product_id, '') = coalesce(series.product_id, '')
            and facts.category = series.category and facts.region = series.region
        """
    )
    weeks = pd.date_range(first, last, freq="7D")
    where = (cells["i"].to_numpy(), cells["week"].to_numpy())
    rows = np.zeros((len(series), len(weeks)))
    np.add.at(rows, where, 1)
    units = np.full_like(rows, np.nan)
    units[where] = cells["units"].to_numpy()
    check(series["product_id"].fillna(series["category"]) + " in " + series["region"], rows, units, table)
    # One order at a slip of the pen (60 baskets at 650 instead of 6) is no price of the next season.
    price = (series["gmv"] / series["units"]).where(series["units"] > 0).clip(upper=MOST_TIMES_USUAL * series["usual"])
    series["gmv_per_unit"] = price.fillna(series["gmv_ever"] / series["units_ever"].replace(0, np.nan)).fillna(0.0)
    series["product_id"] = series["product_id"].astype(object).where(series["product_id"].notna(), None)
    return Panel(level, series[["product_id", "category", "region", "gmv", "gmv_per_unit"]], weeks, units, events)
