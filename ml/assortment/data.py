"""What may be ranged, and what it is worth: forecasts of the season joined with the catalogue, one row a candidate.

A candidate that is missing here cannot be chosen, and one that is worth too much pushes out a better one, so this
file states which products are considered at all.
"""

from collections.abc import Iterable
from datetime import date
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from coldframe.errors import ConfigurationError, NotAvailableError
from coldframe.run import Request
from coldframe.seasons import Season
from coldframe.snapshots import Snapshot

LEAST_UNITS = 1.0
"""Units a product must be expected to sell in the season to be a candidate; a must-keep always is one."""
NEW_DAYS = 91
"""A launch counts as recent for a quarter."""
KNOWN_LEVELS = {"q10": 0.1, "q50": 0.5, "q80": 0.8, "q90": 0.9}


def shop_error(backtest: Path, routes: Path) -> float:
    """How far all products together were off at the forecast's past origins: root mean square of log(sold / forecast).

    Few origins make it a rough figure, but lines alone know nothing of errors they share. 0 without a back-test.
    """
    with duckdb.connect() as connection:
        [(error,)] = connection.execute(
            """
            with origins as (
                select cutoff, sum(actual) as sold, sum(forecast) as forecast
                from read_parquet($1) as tested join read_parquet($2) as chosen using (level, segment, model)
                where level = 'product_region' group by cutoff
            )
            select sqrt(avg(ln(sold / forecast) ** 2)) from origins where sold > 0 and forecast > 0
            """,
            [str(backtest), str(routes)],
        ).fetchall()
    return float(error or 0.0)


def candidates(snapshot: Snapshot, season_totals: Path, season: Season, request: Request) -> pd.DataFrame:
    """One row a region, category and product that may be ranged, sorted by these three.

    Columns: region, category, product_id, merchant_id, title, is_new, units (expected in the season), depth (units at
    the service level, at least 1), value, value_low, value_high (money of the season at the 10 % and 90 % quantile),
    units_13w, model. Raises NotAvailableError where the forecast has no totals of this season or the objective cannot
    be computed, ConfigurationError for a must-keep or must-drop the catalogue does not list.
    """
    _refuse_unknown(snapshot, request)
    per_unit = _money_per_unit(snapshot, request)
    found = _read(snapshot, season_totals, season, request.as_of, per_unit)
    if found.empty:
        raise NotAvailableError(
            f"The forecast has no totals of season {season.name} as of {request.as_of}. Run `coldframe train --season "
            f"{season.name}`, and see there whether the release was promoted."
        )
    kept = found["product_id"].isin(request.must_keep)
    found = found[(found["units"] >= LEAST_UNITS) | kept].reset_index(drop=True)
    found["depth"] = depth(found, request.service_level)
    for name, quantile in (("value", "units"), ("value_low", "q10"), ("value_high", "q90")):
        found[name] = (found[quantile] * found["per_unit"]).clip(lower=0).round(2)
    # The mean of skewed demand may lie outside its own 80 % interval.
    found["value_low"] = found[["value_low", "value"]].min(axis=1)
    found["value_high"] = found[["value_high", "value"]].max(axis=1)
    return found


def depth(totals: pd.DataFrame, service_level: float) -> pd.Series:
    """Units that cover the season's demand with probability `service_level`: the newsvendor's critical quantile.

    Linear between the quantiles the forecast knows. Raises ConfigurationError beyond them.
    """
    levels = list(KNOWN_LEVELS.values())
    if not levels[0] <= service_level <= levels[-1]:
        raise ConfigurationError(
            f"service_level {service_level} lies outside what the forecast knows: {levels[0]} to {levels[-1]}."
        )
    quantiles = np.maximum.accumulate(totals[list(KNOWN_LEVELS)].to_numpy(dtype=float), axis=1)
    upper = int(np.searchsorted(levels, service_level))
    if levels[upper] == service_level:
        exact = quantiles[:, upper]
    else:
        weight = (service_level - levels[upper - 1]) / (levels[upper] - levels[upper - 1])
        exact = quantiles[:, upper - 1] * (1 - weight) + quantiles[:, upper] * weight
    return pd.Series(np.maximum(1, np.ceil(exact - 1e-9)).astype("int64"), index=totals.index)


def unforecast(found: pd.DataFrame, products: Iterable[str]) -> list[str]:
    """Which of `products` no region has a forecast for."""
    return sorted(set(products) - set(found["product_id"]))


def _refuse_unknown(snapshot: Snapshot, request: Request) -> None:
    named = sorted({*request.must_keep, *request.must_drop})
    if not named:
        return
    listed = set(snapshot.frame("dim_product", ["product_id"])["product_id"])
    unknown = [product for product in named if product not in listed]
    if unknown:
        raise ConfigurationError(
            f"must_keep or must_drop name {len(unknown)} products the catalogue does not list: "
            f"{', '.join(unknown[:5])}. Use product_id as in the source's products table."
        )


def _money_per_unit(snapshot: Snapshot, request: Request) -> str:
    if request.objective == "gmv":
        return "totals.gmv_per_unit"
    known = snapshot.query("select count(unit_cost) as known, count(*) as listed from dim_product").iloc[0]
    if not known["known"]:
        raise NotAvailableError(
            "objective 'margin' needs products.unit_cost, and this source delivers none. Deliver it, or plan by 'gmv'."
        )
    # A unit without a known cost brings nothing rather than everything.
    return "coalesce(totals.gmv_per_unit * coalesce(recent.net_share, 1) - products.unit_cost, 0)"


def _read(snapshot: Snapshot, season_totals: Path, season: Season, as_of: date, per_unit: str) -> pd.DataFrame:
    with duckdb.connect() as connection:
        for table in ("dim_product", "fct_product_week"):
            files = ", ".join(f"'{file}'" for file in snapshot.files(table))
            connection.execute(f"create view {table} as from read_parquet([{files}])")
        found: pd.DataFrame = connection.execute(
            f"""
            with totals as (
                from read_parquet($totals) where level = 'product_region' and season = $season
            ),
            recent as (
                select
                    product_id, region, sum(units)::bigint as units_13w,
                    (sum(net_amount) / nullif(sum(gmv), 0))::double as net_share
                from fct_product_week
                where days_elapsed = 7 and week_start > $as_of::date - 98
                group by all
            )
            select
                totals.region, totals.category, totals.product_id, products.merchant_id, products.title,
                products.launch_source <> 'before_history'
                and products.launched_on > $as_of::date - $new_days as is_new,
                totals.units, totals.q10, totals.q50, totals.q80, totals.q90,
                {per_unit} as per_unit, coalesce(recent.units_13w, 0) as units_13w, totals.model
            from totals
            inner join dim_product as products using (product_id)
            left join recent using (product_id, region)
            order by totals.region, totals.category, totals.product_id
            """,
            {"totals": str(season_totals), "season": season.name, "as_of": as_of, "new_days": NEW_DAYS},
        ).df()
    found["is_new"] = found["is_new"].fillna(False).astype(bool)
    return found
