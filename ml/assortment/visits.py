"""What each category had on show, and what visitors made of it: published facts in, substitution by cell out.

On show is what was on sale and in stock. Taking for shown what was not makes a product look unloved; taking for missing
what was there makes its neighbours look like poor substitutes. So what was bought was there, whatever else is said, and
a product is missing only on a day that begins and ends with an empty shelf.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from coldframe.errors import NotAvailableError
from coldframe.snapshots import Snapshot
from ml.assortment.choice import (
    DISSIMILARITY,
    Floats,
    Occasions,
    Substitution,
    Visits,
    Weights,
    believe,
    chances,
    dissimilarity,
    held_out,
    refuse_unidentified,
    visits_by_weight,
    weigh,
)

WEEKS = 26
"""Weeks up to the as-of that are learned from: few enough for products to weigh the same, enough for some to be out."""
GONE_DAYS = 28
"""Where traffic is not counted, a product counts as on sale until so many days after its last sale."""
LEAST_PRICE_CHANGE = 0.005
"""Log prices nearer to the usual one count as it: they are rounding."""
LITTLE_KNOWN = 0.8
"""Share of the prior's standard deviation that is left where a dissimilarity is little more than the prior."""
UNKNOWN = "what is on show hardly changes, so the dissimilarity is little more than its prior, 1"
COLUMNS = (
    "region",
    "category",
    "buy_probability",
    "buy_probability_se",
    "dissimilarity",
    "dissimilarity_se",
    "visits",
    "buys",
    "price_effect",
    "log_likelihood",
    "popularity_log_likelihood",
    "source",
    "warning",
)


@dataclass(frozen=True)
class Fitted:
    """Substitution of the cells it could be learned for, by region and category.

    `table` has a row for each cell with visits (COLUMNS): of one that could not be learned `source` is "prior", numbers
    are empty, and `warning` says why. The log-likelihoods are per visit of the category's held-out weeks, by the model
    and by popularity. `reason` says in a sentence why there is no cell at all; empty where there is one.
    """

    cells: Mapping[tuple[str, str], Substitution]
    table: pd.DataFrame
    reason: str = ""

    @property
    def notes(self) -> tuple[str, ...]:
        """What whoever approves a plan should know of how substitution was learned. Cells left to the prior are the
        plan's to count; here is why there is none but those, or what to mind of those learned."""
        if self.reason:
            return (f"substitution is assumed, not learned: {self.reason}",)
        odd = self.table[(self.table["source"] != "prior") & (self.table["warning"] != "")]
        told = odd.groupby("warning")["category"].unique()
        return tuple(f"substitution of {', '.join(categories)}: {warning}" for warning, categories in told.items())


@dataclass(frozen=True)
class _Category:
    regions: list[str]
    visits: Visits
    weights: Weights
    found: tuple[float, float]
    likelihoods: tuple[float, float]


def fit(snapshot: Snapshot, as_of: date) -> Fitted:
    """Fits the choice model of each category on the last WEEKS weeks to `as_of`, pooled over regions and days."""
    nothing = pd.DataFrame(columns=list(COLUMNS))
    if "fct_visit_day" not in snapshot.tables:
        return Fitted({}, nothing, "the snapshot is older than the table `visits`; publish it again")
    first = as_of - timedelta(days=as_of.weekday() + 7 * (WEEKS - 1))
    looked = snapshot.query(
        f"""
        select region, category, cast(sum(visits) as bigint) as visits, cast(sum(buys) as bigint) as buys
        from fct_visit_day where date between '{first}' and '{as_of}' group by all order by all
        """
    )
    if looked.empty:
        return Fitted(
            {}, nothing, f"the source has no `visits` from {first} to {as_of}, so nobody knows who left without a buy"
        )
    learned: dict[str, _Category] = {}
    refused: dict[str, str] = {}
    with threadpool_limits(1):
        for category, cells in looked.groupby("category", sort=True):
            try:
                refuse_unidentified(float(cells["visits"].sum()), float(cells["buys"].sum()))
                learned[str(category)] = _learn(snapshot, str(category), first, as_of)
            except NotAvailableError as error:
                refused[str(category)] = str(error)
        thetas = _dissimilarities(learned)
        rows = [row for name, category in learned.items() for row in _rows(name, category, *thetas[name])]
    table = looked.merge(pd.DataFrame(rows, columns=[c for c in COLUMNS if c not in ("visits", "buys")]), how="left")
    table["source"] = table["source"].fillna("prior")
    table["warning"] = table["warning"].fillna(table["category"].map(refused)).fillna("nothing was on show there")
    fitted = {
        (str(row["region"]), str(row["category"])): Substitution(
            *(row[name] for name in Substitution.__dataclass_fields__)
        )
        for row in table[table["buy_probability"].notna()].to_dict("records")
    }
    why = "" if fitted else f"of no category with `visits` can it be told: {'; '.join(sorted(set(table['warning'])))}"
    return Fitted(fitted, table[list(COLUMNS)], why)


def _learn(snapshot: Snapshot, category: str, first: date, last: date) -> _Category:
    regions, occasions = read(snapshot, category, first, last)
    weights = weigh(occasions)
    visits = visits_by_weight(occasions, weights)
    return _Category(regions, visits, weights, dissimilarity(visits), held_out(occasions))


def _dissimilarities(learned: Mapping[str, _Category]) -> dict[str, tuple[float, float, str]]:
    """By category: dissimilarity, its standard error, and where it comes from in words."""
    if not learned:
        return {}
    found, error = (np.array(values) for values in zip(*(c.found for c in learned.values()), strict=True))
    return {
        name: (float(theta), float(left), "fitted" if left < LITTLE_KNOWN * DISSIMILARITY[1] else f"fitted; {UNKNOWN}")
        for name, theta, left in zip(learned, *believe(found, error), strict=True)
    }


def _rows(name: str, category: _Category, theta: float, error: float, source: str) -> list[dict[str, object]]:
    """What is known no better than to two digits is told to four, so that the last bits of a sum change no plan."""
    theta = round(theta, 4)
    ours, popularity = category.likelihoods
    warnings = [category.weights.warning] if category.weights.warning else []
    if ours < popularity:
        warnings.append("shares of popularity told the last weeks' choices better")
    chance, spread = chances(category.visits, theta)
    return [
        {
            "region": region,
            "category": name,
            "buy_probability": round(float(rho), 4),
            "buy_probability_se": round(float(rho_error), 4),
            "dissimilarity": theta,
            "dissimilarity_se": round(error, 4),
            "price_effect": round(category.weights.price_effect, 2),
            "log_likelihood": round(ours, 4),
            "popularity_log_likelihood": round(popularity, 4),
            "source": source,
            "warning": "; ".join(warnings),
        }
        for region, rho, rho_error in zip(category.regions, chance, spread, strict=True)
    ]


def read(snapshot: Snapshot, category: str, first: date, last: date) -> tuple[list[str], Occasions]:
    """Regions by code and the category's occasions, without those on which nothing was on show or nobody came.

    Raises NotAvailableError where none is left.
    """
    quoted = "'" + category.replace("'", "''") + "'"
    span = f"between '{first}' and '{last}'"
    looked = snapshot.query(
        f"""
        select date, region, sum(visits)::double as visits, sum(buys)::double as buys
        from fct_visit_day where category = {quoted} and date {span} group by all
        """
    )
    # Sold through a channel nobody counted visits of (a livestream), a product was not chosen from the category's page.
    bought = snapshot.query(
        f"""
        select order_date as date, region, product_id, count(*)::double as bought
        from fct_order_lines
        where category = {quoted} and order_date {span}
            and channel in (select channel from fct_visit_day where category = {quoted} and date {span})
        group by all
        """
    )
    on_sale = snapshot.query(
        f"""
        with panel as (
            select
                week_start, product_id, region, units, impressions,
                max(week_start) filter (where units > 0) over (partition by product_id, region) as last_sale
            from fct_product_week where category = {quoted} and week_start <= '{last}'
        )
        select week_start, product_id, region, launched_on
        from panel join dim_product using (product_id)
        where week_start >= '{first}'
            and (units > 0 or coalesce(impressions > 0, week_start <= last_sale + {GONE_DAYS}))
        """
    )
    out = snapshot.query(
        f"""
        select date, region, product_id from fct_stock_out semi join dim_product as products
            on fct_stock_out.product_id = products.product_id and products.category = {quoted}
        where date between '{first - timedelta(days=1)}' and '{last}'
        """
    )
    paid = snapshot.query(
        f"""
        with paid as (
            select
                order_date as date, region, product_id, count(*)::double as lines,
                ln(sum(net_amount) / sum(quantity)) as price
            from fct_order_lines
            where category = {quoted} and order_date {span}
                and coupon_id is null and status <> 'cancelled' and net_amount > 0
            group by all
        )
        select *, lines * (price - median(price) over (partition by product_id, region)) as off from paid
        """
    )
    days = pd.date_range(first, last)
    regions = sorted(looked["region"].unique())
    products = pd.Index(sorted({*on_sale["product_id"], *bought["product_id"]}))

    def cube(rows: pd.DataFrame, values: pd.Series | float, days: pd.DatetimeIndex = days) -> Floats:
        """[day, region, product] of rows with date, region and product_id; those of other regions are left out."""
        found = np.zeros((len(days), len(regions), len(products)))
        place = [
            days.get_indexer(pd.DatetimeIndex(rows["date"])),
            pd.Index(regions).get_indexer(rows["region"]),
            products.get_indexer(rows["product_id"]),
        ]
        inside = np.min(place, axis=0, initial=0) >= 0
        np.add.at(found, tuple(index[inside] for index in place), np.broadcast_to(values, len(rows))[inside])
        return found

    taken = cube(bought, bought["bought"])
    weekly = cube(on_sale.rename(columns={"week_start": "date"}), 1.0, days[::7]) > 0
    launched = on_sale.groupby("product_id")["launched_on"].first().reindex(products).fillna(pd.Timestamp(first))
    after_launch = days.to_numpy()[:, None] >= pd.to_datetime(launched).to_numpy()
    listed = (np.repeat(weekly, 7, axis=0)[: len(days)] & after_launch[:, None, :]) | (taken > 0)
    empty = cube(out, 1.0, pd.date_range(first - timedelta(days=1), last)) > 0
    shown = (listed & ~(empty[:-1] & empty[1:])) | (taken > 0)

    came = looked.set_index([pd.to_datetime(looked["date"]), "region"])[["visits", "buys"]]
    came = came.reindex(pd.MultiIndex.from_product([days, regions]), fill_value=0.0)
    occasion = np.arange(len(days) * len(regions))
    day = occasion // len(regions)
    flat = (len(occasion), len(products))
    occasions = Occasions(
        region=occasion % len(regions),
        week=day // 7,
        weekday=day % 7,
        visits=came["visits"].to_numpy(),
        buys=came["buys"].to_numpy(),
        listed=listed.reshape(flat),
        shown=shown.reshape(flat),
        bought=taken.reshape(flat),
        price=_abroad(cube(paid, paid["off"]), cube(paid, paid["lines"])).reshape(flat),
    )
    some = occasions.shown.any(axis=1) & (occasions.visits > 0)
    if not some.any():
        raise NotAvailableError("nothing was on show on days with visits")
    if not taken.any():
        raise NotAvailableError("no order line has a region and channel that `visits` has; they must be named alike")
    kept = occasions.take(some)
    codes, region = np.unique(kept.region, return_inverse=True)
    return [regions[code] for code in codes], Occasions(**vars(kept) | {"region": region})


def _abroad(off: Floats, lines: Floats) -> Floats:
    """What other regions paid that day, as the log of a multiple of the usual price [day, region, product].

    `off` sums such logs over the `lines` of each cell. A region's own sales would tell a price only where it sold.
    """
    elsewhere = lines.sum(axis=1, keepdims=True) - lines
    found = (off.sum(axis=1, keepdims=True) - off) / np.maximum(elsewhere, 1)
    return np.where(np.abs(found) < LEAST_PRICE_CHANGE, 0.0, found)
