"""What really sold in a season that a plan was made for before it began.

Once the published snapshot knows the whole season, it says so. Before, deciding must not see these facts: they are
landed apart, by a process of its own, into a home beneath the home (``home/actuals``) whose ledger and partitions no
step of the pipeline reads. When this is wrong, a plan is praised or blamed for sales that are not its season's.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pandas as pd

from coldframe import landed
from coldframe.errors import ColdframeError, NotAvailableError
from coldframe.ledger import Plan
from coldframe.paths import Workspace, workspace
from coldframe.settings import PREFIX, Settings, get_settings

if TYPE_CHECKING:
    from coldframe.snapshots import Snapshot

RANKED_WEEKS = 13

Land = Callable[["ActualsRequest"], None]


@dataclass(frozen=True)
class ActualsRequest:
    """What to land apart: the days from the weeks the naive rule looks at to the end of the season."""

    home: Path
    source: str
    start: date
    as_of: date
    path: Path | None


@dataclass(frozen=True)
class Actuals:
    """Sales of every product of a season.

    `products` has one row a (region, product_id) that sold in the season or in the 13 weeks up to the plan's as-of:
    region, category, product_id, title, units, gmv (of the season), naive_rank (1 = most GMV in its region and
    category in those 13 weeks; null if it sold nothing then). `until` is the last day that sold anything: before the
    end of the season the comparison is of a part of it.
    """

    products: pd.DataFrame
    first_day: date
    last_day: date
    until: date


def land_apart(request: ActualsRequest) -> None:
    """Runs `coldframe land` in a process with a home and a ledger apart. Raises ColdframeError if it fails."""
    arguments = ["--source", request.source, "--start", str(request.start), "--as-of", str(request.as_of)]
    if request.path is not None:
        arguments += ["--path", str(request.path)]
    done = subprocess.run(
        [sys.executable, "-m", "coldframe.cli", "land", *arguments],
        env=os.environ | {f"{PREFIX}HOME": str(request.home), f"{PREFIX}LEDGER_URL": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ColdframeError(f"What sold in the season could not be landed:\n{done.stdout[-3000:]}")


def season_actuals(
    plan: Plan, path: Path | None = None, settings: Settings | None = None, land: Land = land_apart
) -> Actuals:
    """Sales of the days `plan` is for: from the published snapshot where it covers them, else landed apart.

    Raises NotAvailableError where the source has no sales after the plan's as-of.
    """
    settings = settings or get_settings()
    start = plan.as_of - timedelta(weeks=RANKED_WEEKS) + timedelta(days=1)
    # A plan for a season that has begun is for the rest of it.
    first = max(plan.valid_from, plan.as_of + timedelta(days=1))
    snapshot = _current(plan, settings)
    if snapshot is not None and snapshot.as_of >= plan.valid_until:
        sales, products = snapshot.files("fct_product_day"), snapshot.files("dim_product")
        lines = "select region, product_id, date as day, units, gmv from read_parquet($sales)"
    else:
        home = settings.home / "actuals"
        land(ActualsRequest(home, plan.source, start, plan.valid_until, path))
        apart = Workspace(home, plan.source)
        sales, products = (
            [version.path for version in landed.visible(apart, table, plan.valid_until)]
            for table in ("order_lines", "products")
        )
        lines = """
            select region, product_id, ordered_at::date as day, quantity as units, gross_amount as gmv
            from read_parquet($sales, hive_partitioning = false) where status <> 'cancelled'
        """
    if not sales or not products:
        raise NotAvailableError(
            f"{plan.source} landed no order lines or no products for {start} to {plan.valid_until}."
        )
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        frame = connection.execute(
            f"""
            with lines as ({lines}
            ), sold as (
                select
                    region, product_id,
                    coalesce(sum(units) filter (where day between $first and $last), 0)::double as units,
                    coalesce(sum(gmv) filter (where day between $first and $last), 0)::double as gmv,
                    sum(gmv) filter (where day <= $as_of)::double as recent,
                    max(day) filter (where day between $first and $last) as until
                from lines where day >= $start group by all
            )
            select
                region, category, product_id, title, units, gmv, until,
                case when recent > 0 then
                    row_number() over (partition by region, category order by recent desc nulls last, product_id)
                end as naive_rank
            from sold join read_parquet($products, hive_partitioning = false) using (product_id)
            order by region, category, gmv desc, product_id
            """,
            {
                "sales": [str(file) for file in sales],
                "products": [str(file) for file in products],
                "start": start,
                "as_of": plan.as_of,
                "first": first,
                "last": plan.valid_until,
            },
        ).df()
    if frame["until"].isna().all():
        raise NotAvailableError(
            f"{plan.source} has no sales between {first} and {plan.valid_until} yet; "
            "there is nothing to lay the plan beside."
        )
    until = frame["until"].max().date()
    return Actuals(frame.drop(columns="until"), first, plan.valid_until, until)


def line_by_line(plan: Plan, settings: Settings | None = None) -> pd.DataFrame | None:
    """The plan's rows of `fct_plan_line` in the published snapshot, once its season has begun there.

    None before, and for a plan that was not published when the snapshot was built.
    """
    snapshot = _current(plan, settings or get_settings())
    if snapshot is None or "fct_plan_line" not in snapshot.tables:
        return None
    lines = snapshot.frame("fct_plan_line", where=f"plan_id = '{plan.plan_id}' and days_elapsed > 0")
    return None if lines.empty else lines


def cohorts(plan: Plan, settings: Settings | None = None) -> pd.DataFrame | None:
    """`fct_launch_cohort` of the published snapshot: how earlier launches fared. None where there is none yet."""
    snapshot = _current(plan, settings or get_settings())
    if snapshot is None or "fct_launch_cohort" not in snapshot.tables:
        return None
    found = snapshot.frame("fct_launch_cohort")
    return None if found.empty else found.sort_values(["launch_month", "age_weeks"], ignore_index=True)


def _current(plan: Plan, settings: Settings) -> "Snapshot | None":
    # Every command loads this file, and few of them a snapshot.
    from coldframe import snapshots

    place = workspace(plan.source, settings)
    return snapshots.current(place) if place.current.exists() else None
