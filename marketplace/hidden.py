"""Writes the truth, beside the deliveries and never among them. `marketplace.truth` reads it.

What a pipeline could read it would sooner or later learn from, and every figure about its decisions would be worthless.
"""

from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa

from marketplace.content import LIVE
from marketplace.market import Market, Trade, Week
from marketplace.occasions import ORGANIC, coupon_mondays, movements
from marketplace.parameters import CLASSES, SEGMENTS
from marketplace.tables import content_ids, days, ids, merchant_ids, names, product_ids, write
from marketplace.world import KINDS

OF_DAYS = ("lost_demand", "content_effects", "boosts", "boost_effects", "movement_effects", "dirty")
_MARK = "TRUTH"
_HOME = "marketplace"


def folder_of(deliveries: Path) -> Path:
    """Where the truth about the deliveries of a folder lies: FOLDER.truth beside it, in home under truth/."""
    if deliveries.name == _HOME:
        return deliveries.parent / "truth" / _HOME
    return deliveries.with_name(f"{deliveries.name}.truth")


def truth_at(path: Path) -> Path | None:
    """A folder of truth that `path` is, lies in, or holds; None if there is none."""
    for folder in (path, *path.parents):
        if (folder / _MARK).is_file():
            return folder
    return next((mark.parent for mark in path.rglob(_MARK)), None) if path.is_dir() else None


def file(deliveries: Path, table: str, day: date | None = None) -> Path:
    folder = folder_of(deliveries)
    return folder / f"{table}.parquet" if day is None else folder / table / f"{day}.parquet"


def of_day(week: Week, trade: Trade) -> dict[str, pa.Table]:
    """Truth tables of one day."""
    truth, regions = trade.truth, week.market.world.regions
    lost = np.flatnonzero(truth.lost > 0.005)
    shown = trade.shown
    of_region = week.region[truth.boost]
    return {
        "lost_demand": pa.table(
            {
                "date": days(np.full(len(lost), trade.day)),
                "product_id": product_ids(week.product[lost]),
                "region": names(week.region[lost], regions),
                "units": truth.lost[lost],
            }
        ),
        "content_effects": pa.table(
            {
                "date": days(np.full(len(shown.kind), trade.day)),
                "content_id": content_ids(shown.started, shown.number),
                "kind": names((shown.kind == LIVE).astype(int), ("video", "live")),
                "gmv": truth.content_gmv / 100,
                "displaced_gmv": truth.content_displaced / 100,
                "incremental_gmv": (truth.content_gmv - truth.content_displaced) / 100,
            }
        ),
        "boost_effects": pa.table(
            {
                "date": days(np.full(len(truth.boost), trade.day)),
                "product_id": product_ids(week.product[truth.boost]),
                "region": names(of_region, regions),
                "orders": truth.boost_orders,
                "gmv": truth.boost_gmv / 100,
                "displaced_gmv": truth.boost_displaced / 100,
                "incremental_gmv": (truth.boost_gmv - truth.boost_displaced) / 100,
            }
        ),
        "movement_effects": pa.table(
            {
                "date": days(np.full(len(truth.moved), trade.day)),
                "movement": pa.array(list(truth.moved), pa.string()),
                "gmv": pa.array([value / 100 for value in truth.moved.values()], pa.float64()),
            }
        ),
    } | ({"boosts": _boosts(week)} if trade.day == week.monday else {})


def _boosts(week: Week) -> pa.Table:
    boosts = week.boosts
    return pa.table(
        {
            "week": days(np.full(len(boosts.product), week.monday)),
            "product_id": product_ids(boosts.product),
            "region": names(boosts.region, week.market.world.regions),
            "impressions_a_day": boosts.impressions,
            "propensity": boosts.propensity,
        }
    )


def found(deliveries: Path) -> None:
    """Makes the folder of truth and marks it as such, so that no source takes it for deliveries."""
    folder = folder_of(deliveries)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _MARK).write_text("Evaluations read this folder, pipelines must not. See docs/marketplace.md.\n")


def write_state(deliveries: Path, market: Market, last: int) -> None:
    """Truth tables that belong to no day, about everything there is by the end of day `last`."""
    for name, table in _state(market, last).items():
        write(table, file(deliveries, name))


def _state(market: Market, last: int) -> dict[str, pa.Table]:
    world = market.world
    people = world.through(last)
    products, categories = people.products, world.categories
    rows = np.flatnonzero(products.launched <= last)
    utilities = market.utilities(products)[:, rows]
    merchants = np.flatnonzero(people.merchants.joined <= last)
    customers = world.customers(last)
    known = np.flatnonzero(customers.joined <= last)
    planted = movements(world, world.first_day, last)
    count, size = categories.curve.shape
    return {
        "products": pa.table(
            {
                "product_id": product_ids(rows),
                "ceiling_units_a_week": market.ceilings(products)[rows],
                "life": names(products.kind[rows], KINDS),
                "quality": products.quality[rows],
                "appeal": products.appeal[rows],
                "attention": products.attention[rows],
                "rise_weeks": products.rise[rows],
                "plateau_weeks": products.plateau[rows],
                "half_life_weeks": products.half_life[rows],
                "delisted_on": days(products.delisted[rows]),
                "category": names(products.category[rows], categories.names),
                "season_amplitude": products.season[rows],
                "season_peak_day": products.season_day[rows],
            }
        ),
        "utilities": pa.table(
            {
                "product_id": product_ids(np.tile(rows, len(CLASSES))),
                "latent_class": names(np.repeat(np.arange(len(CLASSES)), len(rows)), CLASSES),
                "utility": utilities.ravel(),
            }
        ),
        "season_curves": pa.table(
            {
                "category": names(np.repeat(np.arange(count), size), categories.names),
                "day_of_year": pa.array(np.tile(np.arange(1, size + 1), count), pa.int64()),
                "factor": categories.curve.ravel(),
            }
        ),
        "merchants": pa.table(
            {
                "merchant_id": merchant_ids(merchants),
                "monthly_growth": people.merchants.growth[merchants],
                "skill": people.merchants.skill[merchants],
                "churned_on": days(people.merchants.churned[merchants]),
            }
        ),
        "customers": pa.table(
            {
                "customer_id": ids("c", known, 8),
                "latent_class": names(customers.cell[known] % 2, CLASSES),
                "activity": customers.activity[known].astype(float),
                "churned_on": days(customers.churned[known]),
            }
        ),
        "coupon_effects": _coupon_effects(market, last),
        "movements": pa.table(
            {
                "movement": pa.array([m.name for m in planted], pa.string()),
                "cause": pa.array([m.cause for m in planted], pa.string()),
                "first_day": days(np.array([m.first for m in planted], dtype=np.int64)),
                "last_day": days(np.array([m.last for m in planted], dtype=np.int64)),
                "region": _element([m.region for m in planted], world.regions),
                "channel": _element([m.channel for m in planted], ORGANIC),
                "category": _element([m.category for m in planted], categories.names),
                "factor": pa.array([m.factor for m in planted], pa.float64()),
            }
        ),
    }


def _element(codes: list[int | None], known: tuple[str, ...]) -> pa.Array:
    return pa.array([None if code is None else known[code] for code in codes], pa.string())


def _coupon_effects(market: Market, last: int) -> pa.Table:
    """True rise of the purchase rate by the programme's week, arm and customer segment; the control arm's is 0."""
    found = []
    for monday, programme in coupon_mondays(market.world, last):
        arms = (("control", (0.0,) * 4), ("small", programme.small_effect), ("large", programme.large_effect))
        for arm, effects in arms:
            for segment, effect in zip(SEGMENTS, effects, strict=True):
                week = date.fromordinal(monday)
                found.append((week, programme.name, arm, segment, effect, programme.redemption))
    columns = list(zip(*found, strict=True)) if found else [()] * 6
    titles = ("week", "programme", "arm", "segment", "rise", "redemption")
    types = (pa.date32(), pa.string(), pa.string(), pa.string(), pa.float64(), pa.float64())
    made = {t: pa.array(list(c), kind) for t, c, kind in zip(titles, columns, types, strict=True)}
    return pa.table(made)
