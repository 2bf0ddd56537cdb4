"""How every forecast that was ever made fared against what came since.

A back-test says how good a method would have been; this table says how good what people were told really was. The
retraining policy reads it; when it is wrong, a method that lost its footing goes on serving, or a good one is thrown
away for one bad week.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from coldframe import snapshots
from coldframe.errors import NotAvailableError
from coldframe.files import whole
from coldframe.paths import Workspace, workspace
from coldframe.run import Request, StepResult
from coldframe.settings import get_settings
from coldframe.snapshots import Snapshot
from ml.forecasting.daily import panel
from ml.forecasting.daily.hierarchy import Hierarchy
from ml.forecasting.daily.intervals import BUCKETS, QUANTILE_NAMES, QUANTILES
from ml.forecasting.decide import LiveError
from ml.registry import Registry, Release, code_hash

NAME = "forecasting_daily"
DIGITS = 6
COLUMNS = pa.schema(
    [
        ("vintage", pa.date32()),
        *((name, pa.string()) for name in ("release", "trained", "model", "level", "frequency")),
        *((name, pa.int32()) for name in ("from_day", "to_day")),
        ("scored_to", pa.date32()),
        *((name, pa.int64()) for name in ("periods", "stale")),
        *((name, pa.float64()) for name in ("units", "wape", "bias", "rmse", "coverage_80", "pinball")),
        *((name, pa.float64()) for name in ("backtest_wape", "naive_wape", "fva")),
        ("evidence", pa.string()),
        ("served", pa.bool_()),
    ]
)


def score_vintages(request: Request) -> StepResult:
    """Scores every earlier daily forecast against the published facts of the request's day.

    Raises NotAvailableError where no snapshot of that day is published.
    """
    space = workspace(request.source)
    table, anew = scores(Registry(space), snapshots.of_day(space, request.as_of), again=request.force)
    count = table["release"].nunique()
    return StepResult(
        step="score_vintages",
        summary=f"{count} earlier forecasts against what came up to {request.as_of}, {anew} of them anew{_last(table)}",
        reused=count > 0 and anew == 0,
        facts={"vintages": count, "scored_anew": anew, "rows": len(table)},
        links={"vintages": str(space.vintages)},
    )


def scores(registry: Registry, snapshot: Snapshot, again: bool = False) -> tuple[pd.DataFrame, int]:
    """The table of all vintages older than the snapshot, published for people, and how many were scored anew.

    One row a vintage, release, level, frequency and days ahead (`from_day` to `to_day`): `periods` that came whole by
    `scored_to`, of which `stale` were another day's forecast; `units` that came; `wape`, `bias`, `rmse` (units);
    `coverage_80` and `pinball` (relative to what came) as in the back-test; `backtest_wape`, what the back-test of
    the release `trained`, whose method it is, led to expect so far ahead; `naive_wape` and `fva` against the last week
    before the vintage; `served`, whether it ever was the champion. What a forecast did not know of it forecast as
    nothing. Where stock ran out, what came is what was wanted, as in the back-test. Categories are today's.

    A vintage is scored again only where what came, or the code, has changed since.
    """
    served = {event.release_id for event in registry.history(NAME) if event.action in ("promote", "refresh")}
    # A release of before methods were recorded has no back-test to be laid beside.
    earlier = [r for r in registry.releases(NAME) if r.as_of < snapshot.as_of and "method_of" in r.params]
    known = {} if again else _published(registry.workspace)
    parts, anew = [], 0
    with _facts(registry.workspace, snapshot) as connection:
        for release in earlier:
            evidence = _evidence(connection, release, snapshot.as_of)
            part = known.get((release.id, evidence))
            if part is None:
                part = _score(connection, registry, release, snapshot.as_of).assign(evidence=evidence)
                anew += 1
            parts.append(part.assign(served=release.id in served))
    table = pa.Table.from_pandas(pd.concat(parts), COLUMNS, preserve_index=False) if parts else COLUMNS.empty_table()
    path = registry.workspace.vintages
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as unfinished:
        pq.write_table(table, unfinished)
    return table.to_pandas(), anew


def live_errors(table: pd.DataFrame, champion: Release) -> list[LiveError]:
    """What the retraining policy looks at: first weeks of what served and comes from the champion's training."""
    weeks = _first_weeks(table)
    rows = weeks[weeks["trained"] == (champion.params.get("method_of") or champion.id)].to_dict("records")
    return [LiveError(row["level"], row["vintage"], row["wape"], row["backtest_wape"]) for row in rows]


def _first_weeks(table: pd.DataFrame) -> pd.DataFrame:
    """The week after each vintage that served, by the day and once it is over; oldest first."""
    over = pd.to_datetime(table["scored_to"]) - pd.to_datetime(table["vintage"]) >= pd.Timedelta(days=BUCKETS[0])
    weeks = table[table["served"] & over & (table["frequency"] == "D") & (table["to_day"] == BUCKETS[0])]
    return weeks.sort_values(["level", "vintage", "release"])


def vintages(source: str, level: str | None = None) -> list[dict[str, Any]]:
    """Rows of the published table, of one level or all; what could not be measured is None.

    Raises NotAvailableError before anything was scored, ConfigurationError for a level there is not.
    """
    path = workspace(source).vintages
    if not path.is_file():
        raise NotAvailableError(
            f"No daily forecast of {source} has been scored yet: the first is when the next one is made. "
            f"`coldframe train forecast --source {source}` makes it."
        )
    table = pq.read_table(path).to_pandas().drop(columns="evidence")
    if level is not None and not table.empty:
        name, _ = Hierarchy.find(level, table["level"].unique())
        table = table[table["level"] == name]
    rows: list[dict[str, Any]] = table.astype(object).where(table.notna(), None).to_dict("records")
    return rows


def _published(space: Workspace) -> dict[tuple[str, str], pd.DataFrame]:
    if not space.vintages.is_file() or not pq.read_schema(space.vintages).equals(COLUMNS):
        return {}
    table = pq.read_table(space.vintages).to_pandas()
    return {(str(key[0]), str(key[1])): part for key, part in table.groupby(["release", "evidence"])}


@contextmanager
def _facts(space: Workspace, snapshot: Snapshot) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with the view `came`: product_id, region, date and units, which are what was wanted."""
    settings = get_settings()
    space.scratch.mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as connection:
        connection.execute(f"set threads = {settings.threads}")
        connection.execute(f"set memory_limit = '{settings.memory_limit}'")
        connection.execute(f"set temp_directory = '{space.scratch}'")
        for table in ("fct_product_day", "fct_stock_out", "dim_product", "dim_region"):
            connection.execute(f"create view {table} as from '{snapshot.glob(table)}'")
        out = "select 1 from fct_stock_out semi join fct_product_day using (product_id, region) limit 1"
        if connection.execute(out).fetchall():
            connection.register("estimate", _wanted(snapshot))
            connection.execute(
                """
                create temp table wanted as select * replace (date::date as date) from estimate;
                create view came as
                from wanted
                union all
                select product_id, region, date, units::double
                from fct_product_day anti join wanted using (product_id, region, date)
                """
            )
        else:
            connection.execute(
                "create view came as select product_id, region, date, units::double as units from fct_product_day"
            )
        yield connection


def _wanted(snapshot: Snapshot) -> pd.DataFrame:
    """What was wanted of products on days their stock ran out."""
    shop = panel.load(snapshot)
    series, day = np.nonzero(np.zeros_like(shop.units, dtype=bool) if shop.out is None else shop.out)
    keys = shop.hierarchy.keys
    return pd.DataFrame(
        {
            "product_id": keys["product_id"].to_numpy()[series],
            "region": keys["region"].to_numpy()[series],
            "date": shop.days[day],
            "units": shop.units[series, day].astype(float),
        }
    )


def _evidence(connection: duckdb.DuckDBPyConnection, release: Release, as_of: date) -> str:
    """Name of all that the scores of a release depend on: the days it is laid beside, and this code."""
    days = connection.execute(
        """
        select date, count(*), bit_xor(hash(product_id, region, units)), sum(hash(product_id, region, units)::hugeint)
        from came where date between $first and $last group by date order by date
        """,
        {"first": release.as_of - timedelta(days=6), "last": _last_day(release, as_of)},
    ).fetchall()
    known = repr((days, _last_day(release, as_of), code_hash(Path(__file__).parent)))
    return hashlib.sha256(known.encode()).hexdigest()[:12]


def _last_day(release: Release, as_of: date) -> date:
    return min(as_of, release.as_of + timedelta(days=int(release.params["horizon_days"])))


def _score(connection: duckdb.DuckDBPyConnection, registry: Registry, release: Release, as_of: date) -> pd.DataFrame:
    forecasts, horizon = release.file("forecasts"), int(release.params["horizon_days"])
    last = _last_day(release, as_of)
    connection.execute(
        """
        create or replace temp table sold as
        select
            date - $vintage as day, product_id, category, subcategory, merchant_id, region,
            coalesce(parent, region) as parent, units
        from came join dim_product using (product_id) left join dim_region using (region)
        where date between $vintage - 6 and $last
        """,
        {"vintage": release.as_of, "last": last},
    )
    found = connection.execute(f"select distinct level, frequency from '{forecasts}' order by all").fetchall()
    levels = sorted({level for level, _ in found})
    of = trained(registry, release)
    expected = _expected(connection, of)
    parts = []
    for level, frequency in found:
        length = {"D": 1, "W": 7}.get(frequency, horizon)
        # Periods that are over, counted in days.
        days = (last - release.as_of).days // length * length
        if not days:
            continue
        keys = "".join(f"{key}, " for key in Hierarchy.find(level, levels)[1])
        rows = connection.execute(
            _SCORES.format(forecasts=forecasts, keys=keys, length=length, days=days, vintage=release.as_of),
            {"level": level, "frequency": frequency, "horizon": horizon, "whole": length == horizon},
        ).df()
        parts.append(rows.assign(level=level, frequency=frequency))
    table = pd.concat(parts, ignore_index=True)
    table.insert(0, "vintage", release.as_of)
    table = table.assign(release=release.id, trained=of.id, model=release.table("method")["method"].iloc[0])
    table = table.merge(expected, how="left", on=["level", "frequency", "from_day"])
    table["scored_to"] = table["scored_to"].dt.date
    table["fva"] = 1 - table["wape"] / table["naive_wape"]
    return table.round(DIGITS)


def trained(registry: Registry, release: Release) -> Release:
    """The release whose training chose the method of this one: itself, if it was trained."""
    of = release.params.get("method_of")
    return registry.load(NAME, of) if of else release


def _expected(connection: duckdb.DuckDBPyConnection, release: Release) -> pd.DataFrame:
    """WAPE of single days in the back-test, by level and days ahead."""
    return connection.execute(
        f"""
        select
            level, 'D' as frequency, {_BUCKET.format(day="horizon")} as from_day,
            sum(abs(forecast - actual)) / nullif(sum(actual), 0) as backtest_wape
        from '{release.file("backtest")}' group by all
        """
    ).df()


def _last(table: pd.DataFrame) -> str:
    """The total's last week that is over, in words."""
    weeks = _first_weeks(table[table["level"] == "total"])
    if weeks.empty:
        return ""
    week = weeks.iloc[-1]
    expected = f"off by {week['wape']:.1%} (back-test: {week['backtest_wape']:.1%})"
    return f"; the total of the week after {week['vintage']} was {expected}"


_BUCKET = (
    f"case when {{day}} <= {BUCKETS[0]} then 1 when {{day}} <= {BUCKETS[1]} then {BUCKETS[0] + 1} "
    f"else {BUCKETS[1] + 1} end"
)
_PINBALL = " + ".join(
    f"greatest({p} * (units - {name}), ({p} - 1) * (units - {name}))"
    for p, name in zip(QUANTILES, QUANTILE_NAMES, strict=True)
)
# Forecast, what came and what the last week before would have said are stacked and added up, which is an outer join
# whose keys may be empty. `day` is the last day of a period, counted from the vintage.
_SCORES = f"""
with stacked as (
    select
        {{keys}} date - date '{{vintage}}' + {{length}} - 1 as day, mean as said, 0.0 as units, 0.0 as naive,
        {", ".join(QUANTILE_NAMES)}, stale
    from '{{forecasts}}'
    where level = $level and frequency = $frequency
    union all by name
    select {{keys}} (day - 1) // {{length}} * {{length}} + {{length}} as day, 0.0 as said, units, 0.0 as naive
    from sold where day > 0
    union all by name
    select
        {{keys}} (ahead - 1) // {{length}} * {{length}} + {{length}} as day, 0.0 as said, 0.0 as units, units as naive
    from (select *, unnest(range(day + 7, {{days}} + 1, 7)) as ahead from sold where day <= 0)
),
cells as (
    select
        {{keys}} day, sum(said) as said, sum(units) as units, sum(naive) as naive, bool_or(stale) as stale,
        {", ".join(f"max({name}) as {name}" for name in QUANTILE_NAMES)}
    from stacked where day <= {{days}} group by all
),
scored as (
    select
        *, case when $whole then 1 else {_BUCKET.format(day="day")} end as from_day,
        case when $whole or day > {BUCKETS[1]} then $horizon when day > {BUCKETS[0]} then least($horizon, {BUCKETS[1]})
        else least($horizon, {BUCKETS[0]}) end as to_day
    from cells
)
select
    from_day, to_day, max(date '{{vintage}}' + day::int) as scored_to, count(*) as periods, count_if(stale) as stale,
    sum(units) as units,
    sum(abs(said - units)) / nullif(sum(units), 0) as wape,
    sum(said - units) / nullif(sum(units), 0) as bias,
    sqrt(avg((said - units) ** 2)) as rmse,
    avg((units between q10 and q90)::int) filter (where q10 is not null) as coverage_80,
    avg({_PINBALL}) filter (where q10 is not null) / {len(QUANTILES)}
        / nullif(avg(units) filter (where q10 is not null), 0) as pinball,
    sum(abs(naive - units)) / nullif(sum(units), 0) as naive_wape
from scored group by all order by from_day
"""
