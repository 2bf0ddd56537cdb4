"""Is the simulated marketplace like real shops? The same statistics side by side (`python -m benchmarks.realism`).

Rows are read as landing's adapters deliver them, without landing them: what the contract refuses is a handful. A
statistic a shop has no data for is left empty. Seasons are held against the truth, which only the marketplace has.
Three pictures go into docs/images/.
"""

import sys
import tempfile
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd

from coldframe.settings import PROJECT_ROOT
from landing.sources import open_source
from marketplace import truth
from marketplace.delivery import Deliveries, found_deliveries

DATA = PROJECT_ROOT.parent / "shared" / "data"
REAL = {"olist": DATA / "olist", "online_retail_ii": DATA / "online_retail_ii", "complete_journey": None}
_SPANS = {
    "olist": ("2017-01-01", "2018-08-31"),
    "online_retail_ii": ("2009-12-01", "2011-08-31"),
    "complete_journey": ("2017-01-01", "2017-12-31"),
}

SETUP = """
create or replace temp table lines as
select
    order_id, cast(ordered_at as date) as day, date_trunc('week', cast(ordered_at as timestamp)) as week,
    cast(ordered_at as timestamp) as moment, nullif(cast(customer_id as varchar), '') as customer_id,
    cast(product_id as varchar) as product_id, cast(quantity as bigint) as quantity,
    cast(gross_amount as double) as gross,
    cast(merchant_discount as double) + cast(platform_discount as double) as discount, status
from ({query})
where cast(ordered_at as timestamp) >= '{first}' and cast(ordered_at as timestamp) < date '{last}' + 1
    and cast(quantity as bigint) > 0 and cast(gross_amount as double) >= 0;
create or replace temp table sold as
select product_id, count(*) as n, sum(gross) as gmv, row_number() over (order by count(*) desc, product_id) as rank
from lines group by 1;
create or replace temp table orders as
select order_id, any_value(customer_id) as customer_id, min(moment) as moment, count(*) as n, sum(gross) as gmv
from lines group by 1;
create or replace temp table weekly as select week, sum(gross) as gmv, count(*) as n from lines group by 1;
"""

STATISTICS: dict[str, str] = {
    "order lines": "select count(*) from lines",
    "products sold": "select count(*) from sold",
    "lines of the top 1 % of products": """
        select sum(n) filter (rank <= ceil(0.01 * (select count(*) from sold))) / sum(n) from sold
    """,
    "lines of the top 10 % of products": """
        select sum(n) filter (rank <= ceil(0.1 * (select count(*) from sold))) / sum(n) from sold
    """,
    "Zipf exponent (ranks of the better half)": """
        select -regr_slope(ln(n), ln(rank)) from sold where rank <= 0.5 * (select count(*) from sold)
    """,
    "product-weeks without a sale": """
        with spans as (
            select product_id, datediff('week', min(week), (select max(week) from lines)) + 1 as weeks,
                count(distinct week) as sold
            from lines group by 1
        )
        select 1 - sum(sold) / sum(weeks) from spans
    """,
    "lines a basket, mean": "select avg(n) from orders",
    "lines a basket, median": "select median(n) from orders",
    "baskets of one line": "select avg((n = 1)::int) from orders",
    "units a line, median": "select median(quantity) from lines",
    "customers who ordered again": """
        select avg((n > 1)::int)
        from (select count(*) as n from orders where customer_id is not null group by customer_id)
    """,
    "reordered within 90 days of the first order": """
        with firsts as (select customer_id, min(moment) as moment from orders where customer_id is not null group by 1)
        select avg(exists(
            select 1 from orders
            where orders.customer_id = firsts.customer_id and orders.moment > firsts.moment + interval 1 hour
                and orders.moment <= firsts.moment + interval 90 day
        )::int)
        from firsts where moment < (select max(moment) from orders) - interval 90 day
    """,
    "GMV of the top 10 % of customers": """
        with each as (
            select sum(gmv) as gmv, row_number() over (order by sum(gmv) desc) as rank
            from orders where customer_id is not null group by customer_id
        )
        select sum(gmv) filter (rank <= 0.1 * (select count(*) from each)) / sum(gmv) from each
    """,
    "weekday, busiest over quietest": """
        with days as (select day, count(*) as n from lines group by 1),
        of_week as (select isodow(day) as d, avg(n) as n from days group by 1)
        select max(n) / min(n) from of_week
    """,
    "month, busiest over quietest": """
        with days as (select day, sum(gross) as n from lines group by 1),
        months as (select date_trunc('month', day) as m, sum(n) / count(*) as n, count(*) as d from days group by 1)
        select max(n) / min(n) from months where d >= 20
    """,
    "lines in the busiest four hours": """
        with hours as (select hour(moment) as h, count(*) as n from lines group by 1)
        select case when count(*) > 1 then max(four) / (select count(*) from lines) end
        from (
            select sum(n) over (order by h rows between current row and 3 following) as four,
                count(*) over () as c from hours
        )
    """,
    "week to week, typical change of GMV": """
        with changes as (select abs(ln(gmv / lag(gmv) over (order by week))) as change from weekly where gmv > 0)
        select median(change) from changes
    """,
    "products new after the first quarter": """
        with firsts as (select product_id, min(day) as day from lines group by 1)
        select avg((day > (select min(day) from lines) + 91)::int) from firsts
    """,
    "launches that sell 12 weeks later": """{survival}""",
    "launches that sell 26 weeks later": """{survival}""",
    "discount, share of GMV": "select nullif(sum(discount), 0) / sum(gross) from lines",
    "cancelled lines": "select nullif(avg((status = 'cancelled')::int), 0) from lines",
}
_SURVIVAL = """
    with spans as (select product_id, min(day) as first, max(day) as last, count(*) as n from lines group by 1)
    select avg((last >= first + 7 * {weeks})::int) from spans
    where n >= 5 and first > (select min(day) from lines) + 91
        and first <= (select max(day) from lines) - 7 * {weeks} - 28
"""


def statistics(connection: duckdb.DuckDBPyConnection, query: str, first: str, last: str) -> dict[str, float | None]:
    """Each statistic of the order lines a query gives."""
    connection.execute(SETUP.format(query=query, first=first, last=last))
    found = {}
    for name, sql in STATISTICS.items():
        weeks = next((w for w in (12, 26) if f" {w} weeks" in name), None)
        [(value,)] = connection.execute(_SURVIVAL.format(weeks=weeks) if weeks else sql).fetchall()
        found[name] = None if value is None else float(value)
    return found


def returned(connection: duckdb.DuckDBPyConnection, source: object, last: date) -> float | None:
    """Refunded lines over order lines, where the source tells of refunds."""
    if "refunds" not in source.probe().tables:  # type: ignore[attr-defined]
        return None
    query = source.read(connection, "refunds", None, last)  # type: ignore[attr-defined]
    [(share,)] = connection.execute(
        f"select (select count(*) from ({query})) / (select count(*) from lines)"
    ).fetchall()
    return float(share)


def of_source(
    name: str, path: Path | None, span: tuple[str, str] | None = None
) -> tuple[dict[str, float | None], np.ndarray]:
    """The statistics of one source, and its products' shares of the lines."""
    source = open_source(name, path)
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        first, last = span or _SPANS[name]
        end = date.fromisoformat(last)
        found = statistics(connection, source.read(connection, "order_lines", None, end), first, last)
        return found | {"lines refunded": returned(connection, source, end)}, ranks(connection)


def seasons(made: Deliveries) -> pd.DataFrame:
    """Monthly index of each category: recovered from sales over whole years, and true. Columns category, month, both.

    Recovered: a category's share of its year's units in a month, per day, over that of all months. True: the mean of
    the true curve over the days of the month.
    """
    lines = duckdb.sql(
        f"""
        select category, month(ordered_at) as month, sum(quantity) / count(distinct cast(ordered_at as date)) as units
        from read_parquet('{made.folder}/order_lines/*.parquet')
        join read_parquet('{made.folder}/products.parquet') using (product_id)
        group by all
        """
    ).df()
    whole = lines.groupby("category")["units"].transform("mean")
    lines["recovered"] = lines["units"] / whole
    # What moves all categories alike (growth, double days, paydays) is no category's season.
    lines["recovered"] /= lines.groupby("month")["recovered"].transform("mean")
    curves = truth.read(made.folder, "season_curves")
    curves["month"] = (pd.Timestamp("2024-01-01") + pd.to_timedelta(curves["day_of_year"] - 1, unit="D")).dt.month
    true = curves.groupby(["category", "month"], as_index=False)["factor"].mean()
    true["factor"] /= true.groupby("month")["factor"].transform("mean")
    return lines.merge(true, on=["category", "month"]).rename(columns={"factor": "true"})


def ranks(connection: duckdb.DuckDBPyConnection) -> np.ndarray:
    """Share of all lines [product], the greatest first, of the lines `statistics` looked at."""
    frame = connection.execute("select n / sum(n) over () as share from sold order by rank").df()
    found: np.ndarray = frame["share"].to_numpy()
    return found


def pictures(made: Deliveries, shares: dict[str, np.ndarray], season: pd.DataFrame) -> None:
    """Draws sales by rank, seasons, and a year of GMV with what moved it, into docs/images/."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    def save(figure: Any, name: str) -> None:
        figure.tight_layout()
        figure.savefig(
            PROJECT_ROOT / "docs" / "images" / f"marketplace-{name}.png", dpi=90, metadata={"Software": None}
        )
        plt.close(figure)

    figure, axes = plt.subplots(figsize=(7, 3.6))
    for name, share in shares.items():
        axes.loglog(np.arange(1, len(share) + 1), share, label=name, linewidth=2.2 if name == "marketplace" else 1.2)
    axes.set_xlabel("rank of the product")
    axes.set_ylabel("share of order lines")
    axes.legend()
    save(figure, "ranks")

    chosen = sorted(season["category"].unique())[:4]
    figure, grid = plt.subplots(1, 4, figsize=(9, 2.6), sharey=True)
    for axes, category in zip(grid, chosen, strict=True):
        of_one = season[season["category"] == category].sort_values("month")
        axes.plot(of_one["month"], of_one["true"], label="true", linewidth=2.2)
        axes.plot(of_one["month"], of_one["recovered"], "o", label="recovered", markersize=4)
        axes.set_title(category, fontsize=9)
    grid[0].set_ylabel("index")
    grid[0].legend(fontsize=8)
    save(figure, "seasons")

    files = f"read_parquet('{made.folder}/order_lines/*.parquet')"
    daily = duckdb.sql(
        f"select cast(ordered_at as date) as day, sum(gross_amount)::double as gmv from {files} group by 1 order by 1"
    ).df()
    planted = truth.read(made.folder, "movements")
    effects = truth.read(made.folder, "movement_effects").groupby("movement")["gmv"].sum()
    figure, axes = plt.subplots(figsize=(9, 3))
    axes.plot(daily["day"], daily["gmv"] / 1000, linewidth=0.9)
    great = planted.assign(size=planted["movement"].map(effects).abs()).nlargest(8, "size")
    for _, row in great.iterrows():
        axes.axvspan(
            row["first_day"],
            row["last_day"] + pd.Timedelta(days=1),
            alpha=0.3,
            color="tab:green" if row["factor"] > 1 else "tab:red",
        )
    axes.set_ylabel("GMV a day, thousands")
    save(figure, "gmv")


def _shown(value: float | None) -> str:
    if value is None or not np.isfinite(value):
        return ""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def table(columns: dict[str, dict[str, float | None]], judge: Callable[[str], str]) -> str:
    """A Markdown table, a statistic a row."""
    rows = [f"| | {' | '.join(columns)} | |", "|---|" + "---:|" * len(columns) + "---|"]
    for name in next(iter(columns.values())):
        rows.append(f"| {name} | {' | '.join(_shown(c[name]) for c in columns.values())} | {judge(name)} |")
    return "\n".join(rows)


def main(folder: str | None = None) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        made = found_deliveries(Path(folder) if folder else Path(scratch) / "market", None)
        made.generate(None, made.last_day)
        columns, shares = {}, {}
        span = (str(made.first_day), str(made.last_day))
        columns["marketplace"], shares["marketplace"] = of_source("marketplace", made.folder, span)
        for name, path in REAL.items():
            if path is None or path.is_dir():
                columns[name], shares[name] = of_source(name, path)

        def judge(statistic: str) -> str:
            mine = columns["marketplace"][statistic]
            others = [c[statistic] for n, c in columns.items() if n != "marketplace"]
            known = [v for v in others if v is not None]
            if mine is None or len(known) < 2 or statistic in {"order lines", "products sold"}:
                return ""
            return "within" if min(known) <= mine <= max(known) else "**outside**"

        print(table(columns, judge))
        season = seasons(made)
        agree = np.corrcoef(np.log(season["recovered"]), np.log(season["true"]))[0, 1]
        print(
            f"\nSeasons of {season['category'].nunique()} categories, recovered month by month from sales against the "
            f"true curve: correlation of the logarithms {agree:.3f}, median error "
            f"{(season['recovered'] / season['true'] - 1).abs().median():.1%}."
        )
        pictures(made, shares, season)


if __name__ == "__main__":
    main(*sys.argv[1:])
