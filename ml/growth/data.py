"""What a launch looked like at the end of a week, and whether it became a bestseller in the quarter that followed.

**Bestseller**, exactly: in the 13 complete weeks after the scoring week the product's GMV, over all regions, is in the
top tenth of the products of its category that sold anything in those weeks (rank at most a tenth of their number,
rounded up; ties by product_id). Categories with fewer than 20 such products have no bestsellers: a tenth of so few says
nothing. **Launch**: the source declares the day, or the first sale lies more than eight weeks after its history began.

Features come point-in-time from the feature store; a feature that knew the label's weeks would make every figure of
this room a lie, so labels and features meet in this file only.
"""

from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from coldframe.errors import NotAvailableError
from coldframe.paths import Workspace
from coldframe.run import find_service
from coldframe.snapshots import Snapshot

QUARTER = 13
TOP = 0.1
LEAST_PRODUCTS = 20
RECENT_WEEKS = 13
SERVICE = "growth_v1"

# Counts and money are skewed over four decades: their logarithm is what a linear model can add up.
LOGGED = (
    "units_so_far",
    "units_1w",
    "units_4w",
    "gmv_4w",
    "orders_4w",
    "buyers_4w",
    "category_gmv_4w",
    "merchant_gmv_13w",
    "price_4w",
)
PLAIN = (
    "age_weeks",
    "trend_4w",
    "regions_4w",
    "weeks_since_sale",
    "discount_share_4w",
    "exposure_share_4w",
    "price_index_4w",
    "category_share_4w",
    "pace",
)
FEATURES = (*LOGGED, *PLAIN)
RULE = ("units_so_far", "age_weeks")


@dataclass(frozen=True)
class Launches:
    """Launches seen at the end of scoring weeks, sorted by week and product.

    `rows` has product_id, merchant_id, category, title, launched_on, scored_week (the last week known), the raw
    features of FEATURES, gmv_so_far, buyers_so_far (empty where the source does not say who buys), bestseller_gmv
    (what the top tenth of its category sold at least in the 13 weeks up to then; NaN where it has too few products),
    and `label` (True/False; None while its quarter is not over).
    """

    rows: pd.DataFrame
    last_week: date

    @property
    def known(self) -> pd.DataFrame:
        return self.rows[self.rows["label"].notna()]

    @property
    def current(self) -> pd.DataFrame:
        return self.rows[self.rows["scored_week"] == pd.Timestamp(self.last_week)]


def load(workspace: Workspace, snapshot: Snapshot) -> Launches:
    """Launches in weeks of their first quarter whose outcome is known, and today's, with features as known then.

    Raises NotAvailableError without a complete week.
    """
    weeks = snapshot.query("select max(week_start) as week from fct_category_week where days_elapsed = 7")["week"]
    if weeks.isna().all():
        raise NotAvailableError(f"Snapshot {snapshot.id} has no complete week. Land at least one.")
    spine = snapshot.query(_SPINE.format(quarter=QUARTER, recent=RECENT_WEEKS, top=TOP, least=LEAST_PRODUCTS))
    spine["event_timestamp"] = spine["scored_week"] + pd.Timedelta(weeks=1)
    known = find_service("training_frame")(workspace, spine[["product_id", "event_timestamp"]], SERVICE)
    rows = pd.concat([spine, known[[name for name in FEATURES if name not in (*spine.columns, "pace")]]], axis=1)
    # On pace for the top tenth: 13 weeks like the last four, over what the top tenth of the category sold lately.
    rows["pace"] = np.log((rows["gmv_4w"].fillna(0) / 4 * QUARTER + 1) / (rows["threshold"] + 1))
    rows["label"] = rows["label"].astype("boolean")
    return Launches(
        rows.sort_values(["scored_week", "product_id"], ignore_index=True), pd.Timestamp(weeks.max()).date()
    )


def matrix(rows: pd.DataFrame, features: tuple[str, ...] = FEATURES) -> np.ndarray:
    """Model inputs [row, feature]: logarithms of skewed counts, the rest as it is; NaN where nothing is known."""
    logged = {name: np.log1p(rows[name].astype(float).clip(lower=0)) for name in features if name in LOGGED}
    columns = [logged[name] if name in logged else rows[name].astype(float) for name in features]
    return np.column_stack(columns) if columns else np.empty((len(rows), 0))


# `weekly` has a row for every week since a product's first sale, so thirteen rows are thirteen weeks. Money stays
# decimal until it has been ranked: sums of doubles depend on the order of threads, and so would who is a bestseller.
_SPINE = """
with weekly as (
    select
        week_start, product_id, any_value(category) as category,
        sum(units)::bigint as units, sum(gmv) as gmv, sum(buyers)::bigint as buyers
    from fct_product_week where days_elapsed = 7 group by week_start, product_id
),
weeks as (select distinct week_start from weekly),
launches as (
    select product_id, merchant_id, category, title, launched_on, date_trunc('week', launched_on)::date as launch_week
    from dim_product where launch_source <> 'before_history'
),
spine as (
    select
        launches.*, weeks.week_start as scored_week,
        (weeks.week_start - launches.launch_week) // 7 as age
    from launches
    inner join weeks on weeks.week_start between launches.launch_week and launches.launch_week + 7 * ({recent} - 1)
),
so_far as (
    select
        spine.product_id, spine.scored_week, sum(weekly.units)::bigint as units_so_far,
        sum(weekly.gmv)::double as gmv_so_far, sum(weekly.buyers)::bigint as buyers_so_far
    from spine
    inner join weekly on spine.product_id = weekly.product_id
        and weekly.week_start between spine.launch_week and spine.scored_week
    group by all
),
ahead as (
    select weeks.week_start as scored_week, weekly.category, weekly.product_id, sum(weekly.gmv) as gmv
    from weeks
    inner join weekly on weekly.week_start between weeks.week_start + 7 and weeks.week_start + 7 * {quarter}
    where weeks.week_start + 7 * {quarter} <= (select max(week_start) from weeks)
    group by all having sum(weekly.gmv) > 0
),
ranked as (
    select
        scored_week, product_id,
        row_number() over (partition by scored_week, category order by gmv desc, product_id) as place,
        count(*) over (partition by scored_week, category) as products
    from ahead
),
behind as (
    select weeks.week_start as scored_week, weekly.category, weekly.product_id, sum(weekly.gmv) as gmv
    from weeks
    inner join weekly on weekly.week_start between weeks.week_start - 7 * ({quarter} - 1) and weeks.week_start
    group by all having sum(weekly.gmv) > 0
),
thresholds as (
    select
        scored_week, category, quantile_cont(gmv::double, 1 - {top}) as threshold, count(*) as products
    from behind group by all
)
select
    spine.product_id, spine.merchant_id, spine.category, spine.title, spine.launched_on::timestamp as launched_on,
    spine.scored_week::timestamp as scored_week, spine.age,
    coalesce(so_far.units_so_far, 0) as units_so_far, coalesce(so_far.gmv_so_far, 0) as gmv_so_far,
    -- Who buys is not known where nobody ever was a customer.
    case when (select sum(buyers) from weekly) > 0 then coalesce(so_far.buyers_so_far, 0) end as buyers_so_far,
    coalesce(thresholds.threshold, 0) as threshold,
    case when thresholds.products >= {least} then thresholds.threshold end as bestseller_gmv,
    case
        when spine.scored_week + 7 * {quarter} > (select max(week_start) from weeks) then null
        else coalesce(ranked.products >= {least} and ranked.place <= ceil({top} * ranked.products), false)
    end as label
from spine
left join so_far using (product_id, scored_week)
left join ranked using (product_id, scored_week)
left join thresholds using (scored_week, category)
-- Weeks whose quarter is not over teach nothing; only the last one is scored.
where
    spine.scored_week + 7 * {quarter} <= (select max(week_start) from weeks)
    or spine.scored_week = (select max(week_start) from weeks)
order by scored_week, product_id
"""
