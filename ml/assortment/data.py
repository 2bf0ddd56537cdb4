"""What may be ranged, and what it is worth: forecasts of the season joined with the catalogue, one row a candidate.

A candidate that is missing here cannot be chosen, and one that is worth too much pushes out a better one, so this
file states which products are considered at all.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb
import pandas as pd

from coldframe.errors import BadInputError, NotAvailableError
from coldframe.run import Request
from coldframe.seasons import Season
from coldframe.snapshots import Snapshot
from ml.assortment.scenarios import Errors
from ml.registry import Registry, Release

LEAST_UNITS = 0.5
"""Units a product must be expected to sell in the season to be a candidate; a must-keep always is one."""
NEW_DAYS = 91
"""A launch counts as recent for a quarter."""
CURRENT_WEEKS = 4
"""Where no plan is in force, what sold in so many weeks is the range the season finds."""
ON_SHELF = 1 / 3
"""Share of its average week of the season from which on a week is worth having a product on the shelf for."""
QUANTILES = ("q10", "q50", "q80", "q90")


@dataclass(frozen=True)
class SeasonForecast:
    """What is known of the season's demand: tables of a release of the weekly forecast."""

    release: Release
    totals: Path
    weeks: Path
    trend: Path
    backtest: Path
    errors: Errors


def season_forecast(registry: Registry, as_of: date) -> SeasonForecast:
    """The serving forecast of the season. Raises NotAvailableError where none serves that is fresh enough, or the one
    that does was made by a version that had no such tables."""
    release = registry.champion_for("forecasting", as_of)
    spread = release.table("errors").set_index("level")["sd"]
    return SeasonForecast(
        release=release,
        totals=release.file("season_totals"),
        weeks=release.file("season_weeks"),
        trend=release.file("trend"),
        backtest=release.file("season_backtest"),
        errors=Errors(shop=float(spread["shop"]), cell=float(spread["cell"])),
    )


def candidates(
    snapshot: Snapshot,
    forecast: SeasonForecast,
    season: Season,
    request: Request,
    ranged: Iterable[tuple[str, str]] | None = None,
) -> pd.DataFrame:
    """One row a region, category and product that may be ranged, sorted by these three.

    Columns: region, category, product_id, merchant_id, title, brand, subcategory, merchant_tier, price_band (low,
    middle or high: thirds of the cell's products), is_new, current (in `ranged`, pairs of region and product_id;
    without it what sold in the last CURRENT_WEEKS), sells (in those weeks), units, q10, q50, q80, q90 (of the season,
    with everything on show), per_unit (money of one by the objective; below 0 it is a loss), price, unit_cost (both of
    one; nan where unknown), usual_margin (whether its margin is taken to be the usual one), units_13w, units_last_year
    (in the same days a year before; nan where these are not all known, or the product was launched since), model,
    on_shelf_from, on_shelf_until, season_index (how many times its usual share its kind takes in the season), trend
    (last four weeks beside what was to be expected of them), trend_q, p_growth (nan where the forecast tells of none).

    Raises NotAvailableError where the forecast has no totals of this season, nothing is expected to sell or the
    objective cannot be computed, BadInputError for a product in two categories of a region.
    """
    found = _read(snapshot, forecast, season, request)
    if found.empty:
        raise NotAvailableError(
            f"The forecast has no totals of season {season.name} as of {request.as_of}. Run `coldframe train --season "
            f"{season.name}`, and see there whether the release was promoted."
        )
    twice = found[found.duplicated(["region", "product_id"])]
    if len(twice):
        raise BadInputError(
            f"season_totals of release {forecast.release.id}: {len(twice)} products are in two categories of a region "
            f"({', '.join(sorted(set(twice['product_id']))[:5])}), and would be ranged twice. Give each one category "
            "in products.category and train again."
        )
    found["sells"] = found["current"]
    if ranged is not None:
        now = pd.MultiIndex.from_tuples(list(ranged), names=["region", "product_id"])
        found["current"] = pd.MultiIndex.from_frame(found[["region", "product_id"]]).isin(now)
    _value(found, request)
    kept = found["product_id"].isin(request.must_keep)
    enough = found[(found["units"] >= LEAST_UNITS) | kept].reset_index(drop=True)
    if enough.empty:
        raise NotAvailableError(
            f"None of the {len(found):,} products of season {season.name} is expected to sell {LEAST_UNITS:g} units "
            "in any region, so there is nothing to choose from. See `coldframe forecast explain` for why."
        )
    return enough


def hand_over(snapshot: Snapshot, found: pd.DataFrame, request: Request) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """`found` as the incubation plan of the as-of leaves it, and what to say about it.

    The plan is the newest published one that had its day by the as-of. Its graduates compete like everything else, with
    the demand their forecast gives them. What it let go takes none of the places kept for new products, and leaves the
    regions in which it does not sell any more; where it sells it competes, because it was let go as a bestseller to be,
    not off the shelf. A must-keep stays, and what was let go may come back: a later plan says so.
    """
    if "fct_exposure_line" not in snapshot.tables:
        return found, ()
    told = snapshot.query(
        f"""
        select distinct product_id, stage from fct_exposure_line
        where date = (select max(date) from fct_exposure_line where date <= date '{request.as_of}')
        """
    )
    by_stage = told.groupby("stage")["product_id"].agg(set)
    retired = found["product_id"].isin(by_stage.get("retire", set()) - set(request.must_keep))
    leaving = retired & ~found["sells"]
    notes = []
    if leaving.any():
        notes.append(
            f"{found.loc[leaving, 'product_id'].nunique():,} launches that incubation let go are no candidates where "
            f"they have not sold for {CURRENT_WEEKS} weeks; `coldframe show --kind incubation` has the reason of each, "
            "and must_keep overrules it"
        )
    if missing := by_stage.get("graduate", set()) - set(found["product_id"]):
        notes.append(
            f"{len(missing):,} graduates of incubation are expected to sell less than {LEAST_UNITS:g} units in every "
            "region, so none ranges them"
        )
    kept = found.assign(is_new=found["is_new"] & ~retired)[~leaving]
    return kept.reset_index(drop=True), tuple(notes)


def unforecast(found: pd.DataFrame, products: Iterable[str]) -> list[str]:
    """Which of `products` no region has a forecast for."""
    return sorted(set(products) - set(found["product_id"]))


def empty_cells(forecast: SeasonForecast, season: Season, found: pd.DataFrame) -> list[str]:
    """Regions and categories with a forecast and no candidate, as "region / category"."""
    with duckdb.connect() as connection:
        known = connection.execute(
            """
            select distinct region, category from read_parquet($1)
            where level = 'product_region' and season = $2 order by all
            """,
            [str(forecast.totals), season.name],
        ).fetchall()
    filled = set(zip(found["region"], found["category"], strict=True))
    return [f"{region} / {category}" for region, category in known if (region, category) not in filled]


def regions_without_history(snapshot: Snapshot, forecast: SeasonForecast) -> list[str]:
    """Regions of the source in which nothing has sold that could be forecast."""
    if "dim_region" not in snapshot.tables:
        return []
    told = set(pd.read_parquet(forecast.totals, columns=["region"])["region"])
    return sorted(set(snapshot.frame("dim_region", ["region"])["region"].dropna()) - told)


def _value(found: pd.DataFrame, request: Request) -> None:
    """Adds what a unit brings. A margin nobody knows is taken to be the usual share of the price: nothing at all would
    keep such products out, and their whole price would put them before all others."""
    gmv, margin = found["gmv_per_unit"], found["price"] - found["unit_cost"]
    found["usual_margin"] = False
    if request.objective == "gmv":
        found["per_unit"] = gmv
    elif request.objective == "units":
        found["per_unit"] = 1.0
    elif margin.notna().any():
        found["usual_margin"] = margin.isna()
        found["per_unit"] = margin.fillna(gmv * float((margin / gmv).median()))
    else:
        raise NotAvailableError(
            "objective 'margin' needs products.unit_cost, and this source delivers none. Deliver it, or plan by 'gmv'."
        )


def _read(snapshot: Snapshot, forecast: SeasonForecast, season: Season, request: Request) -> pd.DataFrame:
    with duckdb.connect() as connection:
        for table in ("dim_product", "dim_merchant", "fct_product_week", "fct_product_day"):
            if table in snapshot.tables:
                files = ", ".join(f"'{file}'" for file in snapshot.files(table))
                connection.execute(f"create view {table} as from read_parquet([{files}])")
        if "dim_merchant" not in snapshot.tables:
            connection.execute("create table dim_merchant (merchant_id varchar, tier varchar)")
        if "fct_product_day" not in snapshot.tables:
            connection.execute(
                "create table fct_product_day (date date, product_id varchar, region varchar, units int)"
            )
        for table, file in (("season_weeks", forecast.weeks), ("trend", forecast.trend)):
            connection.read_parquet(str(file)).create_view(table)
        found: pd.DataFrame = connection.execute(
            """
            with totals as (
                select *, "index" as season_index
                from read_parquet($totals) where level = 'product_region' and season = $season
            ),
            recent as (
                select
                    product_id, region, sum(units)::bigint as units_13w,
                    coalesce(sum(units) filter (where week_start > $as_of::date - 7 * $current - 7), 0) > 0 as current,
                    (sum(net_amount) / nullif(sum(gmv), 0))::double as net_share
                from fct_product_week
                where days_elapsed = 7 and week_start > $as_of::date - 98
                group by all
            ),
            year_before as (
                select
                    $first::date - interval 1 year as first_day, $last::date - interval 1 year as last_day,
                    -- A season only half known would say that nothing sold in the other half.
                    (select min(date) from fct_product_day) <= $first::date - interval 1 year
                    and $last::date - interval 1 year <= $as_of::date as known
            ),
            last_year as (
                select product_id, region, sum(units)::bigint as units
                from fct_product_day inner join year_before on date between first_day and last_day
                group by all
            ),
            days as (
                select
                    *, least(week_start::date + 6, $last::date) - greatest(week_start::date, $first::date) + 1 as days
                from season_weeks
            ),
            -- A week that is only partly of the season sells less for that alone.
            weeks as (
                select
                    *, units / days as rate,
                    sum(units) over (partition by region, product_id) / sum(days) over (partition by region, product_id)
                        as average
                from days where days > 0
            ),
            shelf as (
                select region, product_id, min(week_start)::date as first_week, max(week_start)::date as last_week
                from weeks where rate >= $on_shelf * average and average > 0 group by all
            )
            select
                totals.region, totals.category, totals.product_id, products.merchant_id, products.title,
                products.brand, products.subcategory, merchants.tier as merchant_tier,
                ['low', 'middle', 'high'][
                    ntile(3) over (
                        partition by totals.region, totals.category order by totals.gmv_per_unit, totals.product_id
                    )
                ] as price_band,
                products.launch_source <> 'before_history'
                and products.launched_on > $as_of::date - $new_days as is_new,
                coalesce(recent.current, false) as current,
                totals.season_index, totals.units, totals.q10, totals.q50, totals.q80, totals.q90, totals.gmv_per_unit,
                totals.gmv_per_unit * coalesce(recent.net_share, 1) as price, products.unit_cost::double as unit_cost,
                coalesce(recent.units_13w, 0) as units_13w,
                case when year_before.known and products.launched_on <= year_before.last_day
                    then coalesce(last_year.units, 0)
                end::double as units_last_year,
                totals.model,
                greatest(coalesce(shelf.first_week, $first::date), $first::date) as on_shelf_from,
                least(coalesce(shelf.last_week + 6, $last::date), $last::date) as on_shelf_until,
                trend.ratio as trend, trend.q_value as trend_q, trend.p_growth
            from totals
            inner join dim_product as products using (product_id)
            left join (select merchant_id, tier from dim_merchant) as merchants using (merchant_id)
            cross join year_before
            left join recent using (product_id, region)
            left join last_year using (product_id, region)
            left join shelf using (product_id, region)
            left join trend using (product_id, region)
            order by totals.region, totals.category, totals.product_id
            """,
            {
                "totals": str(forecast.totals),
                "season": season.name,
                "as_of": request.as_of,
                "new_days": NEW_DAYS,
                "current": CURRENT_WEEKS,
                "on_shelf": ON_SHELF,
                "first": season.first_day,
                "last": season.last_day,
            },
        ).df()
    found["is_new"] = found["is_new"].fillna(False).astype(bool)
    for name in ("on_shelf_from", "on_shelf_until"):
        found[name] = pd.to_datetime(found[name]).dt.date
    return found
