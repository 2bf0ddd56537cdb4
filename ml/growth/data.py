"""Launches at the moments they are looked at, and what became of them as far as it was known.

**Blockbuster**, exactly: in weeks 9 to 26 of its age (calendar weeks, the week of the launch being the first) the
product's GMV, over all regions, is in the top tenth of the products of its category, old ones too, that sold anything
in those same weeks (rank at most a tenth of their number, rounded up; ties by product_id). Categories with fewer than
20 such products have none: a tenth of so few says nothing. **Launch**: as `dim_product` has it, but for products that
were relisted under a new id: they are scored, and teach nothing.

A label is whole when week 26 is over. Until then it is provisional, from LEAST_WEEKS known weeks on: ranked in week 9
to the last known one. So a shop with one year can be learned from, with nothing that was not known at the time.
States come point-in-time from the feature store. A state that knew the label's weeks would make every figure of this
room a lie, so the two meet in this file only.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from coldframe.errors import NotAvailableError
from coldframe.paths import Workspace
from coldframe.run import find_service
from coldframe.snapshots import Snapshot

log = logging.getLogger(__name__)

FIRST_DAY, LAST_DAY = 7 * 8, 7 * 26
"""The days of its age, from the Monday of the launch, between which a product is judged."""
WEEKS = 18
LEAST_WEEKS = 4
"""Known weeks of the 18 from which on a label is provisional instead of unknown."""
TOP = 0.1
LEAST_PRODUCTS = 20
LIVE_DAYS = LAST_DAY
"""Days on sale within which a launch is live: scored, staged, and given exposure."""
AGES = (0, 1, 3, 7, 14, 28, 56, 84, 112, 140)
"""Days on sale at which a launch is looked at to learn from it (landmarks); 0 is the morning of its first day."""
EARLY = FIRST_DAY
"""Landmarks up to this one lie before the weeks it is judged in, so that a provisional label can teach them."""
FOLDS = 5
SERVICE = "growth_v2"
STATE = (
    *("units_so_far", "gmv_so_far", "discount_so_far", "orders_so_far", "days_sold", "last_sold_age", "buyers_so_far"),
    *("repeat_buyers_so_far", "largest_buyer_units", "largest_address_units", "content_units_so_far"),
    *("refunded_units_so_far", "impressions_so_far", "clicks_so_far", "carts_so_far", "content_impressions_so_far"),
    *("contents_so_far", "creators_so_far"),
)
HALVES = ("units_so_far", "gmv_so_far")
"""Of these the state at half its age is known as well, which tells growth from decay."""


@dataclass(frozen=True)
class Launches:
    """All launches of a snapshot.

    `catalogue` (index product_id): merchant_id, merchant_tier, category, subcategory, brand, title, price (list or
    first shelf price; NaN where unknown), image_count, description_length, launched_on (of the first id, if it was
    relisted), listed_on (its own first day), launch_week (Monday of launched_on), declared_on, first_seen_on (day on
    which this very id was first shown or sold; NaT before), relisted_of.
    `rows`: a launch at a moment (product_id, moment, age_days, current, the columns of STATE, `…_half` of HALVES, line:
    GMV of 18 weeks from which on a product of its category was in the top tenth lately, NaN in too small a category),
    sorted by moment and product. `current` rows are live launches at the end of the as-of, those of the day after with
    an age of 0: plans made then are for that day.
    `outcomes`: what was known of a launch at the end of a Sunday (until: the midnight after it; product_id, weeks,
    units and gmv of those weeks, hit). `carried`: which creators' videos and livestreams carried a launch (product_id,
    creator_id, known_on: from when that was known first). `cutoffs` are the untils to validate from, `end` the last
    one.
    """

    catalogue: pd.DataFrame
    rows: pd.DataFrame
    outcomes: pd.DataFrame
    carried: pd.DataFrame
    cutoffs: tuple[pd.Timestamp, ...]
    end: pd.Timestamp
    has_traffic: bool
    has_buyers: bool
    has_refunds: bool

    def known(self, until: pd.Timestamp) -> pd.DataFrame:
        """Outcomes known at `until` of launches that may teach, with their catalogue; `log_demand` is the logarithm of
        one plus the units of all 18 weeks (at the pace of those known), `known_on` the day a label could be first."""
        found = self.outcomes[self.outcomes["until"] == until].drop(columns="until")
        found = found.join(self.catalogue, on="product_id")
        found = found[found["relisted_of"].isna()]
        return found.assign(
            demand=found["units"] / found["weeks"] * WEEKS,
            log_demand=np.log1p(found["units"] / found["weeks"] * WEEKS),
            known_on=found["launch_week"] + pd.Timedelta(days=FIRST_DAY + 7 * LEAST_WEEKS),
        ).sort_values(["known_on", "product_id"], ignore_index=True)

    def labelled(self, until: pd.Timestamp, known: pd.DataFrame) -> pd.DataFrame:
        """Landmark rows up to `until` whose outcome `known` tells: hit, demand, log_demand, weeks appended."""
        rows = self.rows[~self.rows["current"] & (self.rows["moment"] <= until)]
        rows = rows.merge(known[["product_id", "hit", "demand", "log_demand", "weeks"]], on="product_id")
        return rows[(rows["age_days"] <= EARLY) | (rows["weeks"] == WEEKS)].reset_index(drop=True)

    @property
    def current(self) -> pd.DataFrame:
        return self.rows[self.rows["current"]].reset_index(drop=True)


def load(workspace: Workspace, snapshot: Snapshot) -> Launches:
    """Launches of the snapshot, point-in-time. Raises NotAvailableError without a complete week, and for a snapshot of
    an older version that lacks what is read here."""
    weeks = snapshot.query("select max(week_start) as week from fct_category_week where days_elapsed = 7")["week"]
    if weeks.isna().all():
        raise NotAvailableError(f"Snapshot {snapshot.id} has no complete week. Land at least one.")
    end = pd.Timestamp(weeks.max()) + pd.Timedelta(weeks=1)
    now = pd.Timestamp(snapshot.as_of) + pd.Timedelta(days=1)
    catalogue = snapshot.query(_CATALOGUE.format(day=now.date())).set_index("product_id")
    for name in ("launched_on", "listed_on", "launch_week", "declared_on", "first_seen_on"):
        catalogue[name] = pd.to_datetime(catalogue[name])
    spine = _spine(catalogue, now, end)
    cutoffs = _cutoffs(spine, catalogue, end)
    outcomes = snapshot.query(
        _OUTCOMES.format(
            untils=", ".join(f"(date '{until:%F}')" for until in sorted({*cutoffs, end})),
            **{"first": FIRST_DAY, "last": LAST_DAY - 7, "least": LEAST_WEEKS, "top": TOP, "products": LEAST_PRODUCTS},
        )
    )
    outcomes["until"] = pd.to_datetime(outcomes["until"])
    rows = _states(workspace, snapshot, spine)
    rows["monday"] = rows["moment"].dt.to_period("W-SUN").dt.start_time
    rows = rows.join(catalogue[["category"]], on="product_id")
    rows = rows.merge(_lines(snapshot, rows["monday"]), how="left", on=["monday", "category"])
    told = snapshot.query(
        "select (select count(customer_id) from fct_order_lines) > 0 as buyers, "
        "(select count(impressions) from fct_product_week) > 0 as traffic, "
        "(select count(refunded_units) from fct_product_week) > 0 as refunds"
    ).iloc[0]
    return Launches(
        catalogue,
        rows.drop(columns=["monday", "category"]).sort_values(["moment", "product_id"], ignore_index=True),
        outcomes,
        snapshot.query(_CARRIED),
        cutoffs,
        end,
        **{f"has_{name}": bool(told[name]) for name in ("traffic", "buyers", "refunds")},
    )


def _spine(catalogue: pd.DataFrame, now: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
    """Launches at their landmarks, where a label may be known, and live ones now."""
    teaching = catalogue[
        catalogue["relisted_of"].isna()
        & (catalogue["launch_week"] + pd.Timedelta(days=FIRST_DAY + 7 * LEAST_WEEKS) <= end)
    ]
    past = pd.DataFrame(
        {
            "product_id": np.repeat(teaching.index.to_numpy(), len(AGES)),
            "age_days": np.tile(AGES, len(teaching)),
            "launched_on": np.repeat(teaching["launched_on"].to_numpy(), len(AGES)),
        }
    )
    live = catalogue[catalogue["listed_on"] > now - pd.Timedelta(days=LIVE_DAYS + 1)].reset_index()
    live["age_days"] = (now - live["launched_on"]).dt.days
    spine = pd.concat(
        [past.assign(current=False), live[["product_id", "age_days", "launched_on"]].assign(current=True)],
        ignore_index=True,
    )
    spine["moment"] = spine["launched_on"] + pd.to_timedelta(spine["age_days"], unit="D")
    return spine[spine["moment"] <= now].reset_index(drop=True)


def _cutoffs(spine: pd.DataFrame, catalogue: pd.DataFrame, end: pd.Timestamp) -> tuple[pd.Timestamp, ...]:
    """Mondays that part the landmarks with a whole label (if there are none, with any) into FOLDS of equal size, from
    when there was something to learn on."""
    teaching = spine[~spine["current"] & (spine["age_days"] <= EARLY)]
    if teaching.empty:
        return ()
    first = catalogue.loc[teaching["product_id"].unique(), "launch_week"].min()
    begin = first + pd.Timedelta(days=FIRST_DAY + 7 * (LEAST_WEEKS + 1))
    after = teaching[teaching["moment"] >= begin]
    whole = after["product_id"].map(catalogue["launch_week"]) + pd.Timedelta(days=LAST_DAY) <= end
    moments = after.loc[whole if whole.any() else ~whole, "moment"].sort_values(ignore_index=True)
    if moments.empty:
        return ()
    parts = moments.iloc[(np.arange(FOLDS) * len(moments)) // FOLDS].dt.to_period("W-SUN").dt.start_time
    return tuple(sorted(set(parts) - {end}))


def _states(workspace: Workspace, snapshot: Snapshot, spine: pd.DataFrame) -> pd.DataFrame:
    """The spine with STATE as it was known, and at half the age; nothing known is nothing sold."""
    half = spine["launched_on"] + pd.to_timedelta(spine["age_days"] // 2, unit="D")
    asked = pd.concat(
        [
            spine[["product_id", "moment"]],
            pd.DataFrame({"product_id": spine["product_id"], "moment": half}),
        ]
    ).rename(columns={"moment": "event_timestamp"})
    distinct = asked.drop_duplicates().reset_index(drop=True)
    log.info("looking up %d launches at %d moments", spine["product_id"].nunique(), len(distinct))
    known = find_service("training_frame")(workspace, distinct, SERVICE).set_index(["product_id", "event_timestamp"])
    if lacks := [name for name in STATE if name not in known]:
        raise NotAvailableError(
            f"Snapshot {snapshot.id} was published by an older Coldframe and knows no {', '.join(lacks)} of launches. "
            f"Run `coldframe transform` and `coldframe audit` with --as-of {snapshot.as_of} again."
        )
    counts = [name for name in STATE if name != "last_sold_age"]
    nothing = {name: 0 for name in counts if known[name].notna().any()}
    known = known[list(STATE)].astype(float).fillna(nothing)
    state = known.loc[pd.MultiIndex.from_frame(spine[["product_id", "moment"]])].reset_index(drop=True)
    before = known.loc[pd.MultiIndex.from_arrays([spine["product_id"], half]), list(HALVES)].reset_index(drop=True)
    return pd.concat([spine.drop(columns="launched_on"), state, before.add_suffix("_half")], axis=1)


def _lines(snapshot: Snapshot, mondays: "pd.Series[pd.Timestamp]") -> pd.DataFrame:
    untils: Sequence[pd.Timestamp] = sorted(mondays.unique())
    if not untils:
        nothing = pd.DataFrame({"monday": mondays, "category": "", "line": 0.0})
        return nothing.astype({"category": object})
    lines = snapshot.query(
        _LINES.format(
            untils=", ".join(f"(date '{until:%F}')" for until in untils), weeks=WEEKS, top=TOP, products=LEAST_PRODUCTS
        )
    )
    return lines.assign(monday=pd.to_datetime(lines["monday"]))


# Up to the day after the as-of: what is announced for it is known, and its first plan is made now. But for relistings:
# their past is put together from their first day on, and without it they would have a clean slate.
_CATALOGUE = """
with shelf as (
    select product_id, arg_min(price, valid_from) as price from dim_price
    where valid_from <= date '{day}' group by product_id
),
shown as (
    select product_id, min(date) as first_shown_on from fct_traffic_day where impressions > 0 group by product_id
),
products as (
    select
        dim_product.*, least(first_shown_on, dim_product.first_sold_on) as first_seen_on,
        coalesce(dim_product.list_price, shelf.price) as price, dim_merchant.tier as merchant_tier,
        coalesce(earlier.launched_on, dim_product.launched_on) as counted_from
    from dim_product
    left join shelf using (product_id)
    left join shown using (product_id)
    left join dim_merchant using (merchant_id)
    left join dim_product as earlier on earlier.product_id = dim_product.relisted_of
)
select
    product_id, merchant_id, merchant_tier, category, subcategory, brand, title, price::double as price,
    image_count::double as image_count, description_length::double as description_length,
    counted_from as launched_on, launched_on as listed_on, date_trunc('week', counted_from)::date as launch_week,
    declared_on, first_seen_on, relisted_of
from products
where launch_source <> 'before_history' and launched_on < date '{day}' + if(relisted_of is null, 1, 0)
order by product_id
"""

# A relisting brings along who carried it under its old ids.
_CARRIED = """
select launch.product_id, creator_id, min(greatest(date + interval 1 day, known_at)) as known_on
from fct_content_product
inner join dim_product as member using (product_id)
inner join dim_product as launch
    on coalesce(launch.relisted_of, launch.product_id) = coalesce(member.relisted_of, member.product_id)
    and (launch.product_id = member.product_id or launch.launched_on > member.launched_on)
where launch.launch_source <> 'before_history' and creator_id is not null
group by launch.product_id, creator_id
order by known_on, launch.product_id, creator_id
"""

# Money stays decimal until it has been ranked: sums of doubles depend on the order of threads, and so would who is a
# blockbuster.
_OUTCOMES = """
with sold as (
    select product_id, category, week_start, sum(units) as units, sum(gmv) as gmv
    from fct_product_week where units > 0 and days_elapsed = 7 group by all
),
launches as (
    select product_id, date_trunc('week', launched_on)::date as launch_week
    from dim_product where launch_source <> 'before_history' and relisted_of is null
    -- Declared before anything was known: what it did then would count as nothing.
    and date_trunc('week', launched_on) >= (select min(week_start) from sold)
),
untils as (select * from (values {untils}) as given (until)),
windows as (
    select distinct untils.until, launch_week, least(launch_week + {last}, until - 7) as last_week
    from launches cross join untils
    where least(launch_week + {last}, until - 7) >= launch_week + {first} + 7 * ({least} - 1)
),
totals as (
    select launch_week, last_week, product_id, category, sum(sold.units) as units, sum(sold.gmv) as gmv
    from (select distinct launch_week, last_week from windows) as spans
    inner join sold on sold.week_start between launch_week + {first} and last_week
    group by all
),
ranked as (
    select
        *, row_number() over (partition by launch_week, last_week, category order by gmv desc, product_id) as place,
        count(*) over (partition by launch_week, last_week, category) as products
    from totals where gmv > 0
)
select
    until, launches.product_id, ((windows.last_week - launch_week - {first}) // 7 + 1)::bigint as weeks,
    coalesce(totals.units, 0)::double as units, coalesce(totals.gmv, 0)::double as gmv,
    coalesce(place <= ceil({top} * products) and products >= {products}, false) as hit
from windows
inner join launches using (launch_week)
left join totals using (launch_week, last_week, product_id)
left join ranked using (launch_week, last_week, product_id)
order by until, launches.product_id
"""

_LINES = """
with sold as (
    select product_id, category, week_start, sum(gmv) as gmv
    from fct_product_week where units > 0 and days_elapsed = 7 group by all
),
untils as (select * from (values {untils}) as given (monday)),
totals as (
    select monday, category, product_id, sum(gmv) as gmv
    from untils inner join sold on sold.week_start between monday - 7 * {weeks} and monday - 7
    group by all having sum(gmv) > 0
),
known as (
    select monday, least({weeks}, (monday - (select min(week_start) from sold)) // 7) as weeks from untils
)
select
    monday, category,
    case when count(*) >= {products} then quantile_cont(gmv::double, 1 - {top}) * {weeks} / any_value(weeks) end as line
from totals inner join known using (monday)
group by monday, category
order by monday, category
"""
