"""What happens when: the calendar, campaigns, coupon weeks, and the movements of GMV that are planted.

All of it is a function of the date (and the seed), so that it can be announced ahead and asked for any day alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from marketplace.draws import stream
from marketplace.parameters import Parameters, Programme
from marketplace.world import World, month_days, month_of

CHANNELS = ("search", "shop", "video", "live", "boost")
ORGANIC = ("search", "shop")
ARMS = ("control", "small", "large")
SPREAD = 2
"""Days before a double day on which its campaign already runs."""
_ANNOUNCED = 28
_HOLIDAYS = {(1, 1): "New Year", (5, 1): "Labour Day", (12, 25): "Christmas Day", (12, 26): "Boxing Day"}
_SEASONS = {
    "spring": ((3, 1), (4, 30)),
    "summer": ((6, 1), (8, 20)),
    "back-to-school": ((8, 21), (9, 20)),
    "gift season": ((11, 20), (12, 24)),
}
_CAUSES = (
    ("search outage", -1, ("channel",)),
    ("storm", -1, ("region",)),
    ("app release with a fault", -1, ("region", "channel")),
    ("competitor's sale", -1, ("category",)),
    ("viral trend", 1, ("category",)),
    ("press mention", 1, ("region", "category")),
    ("local festival", 1, ("region",)),
)


@dataclass(frozen=True)
class Campaign:
    """A price cut. `products` are positions; `merchant` and `platform`: the share of the price each gives away."""

    name: str
    kind: str
    first: int
    last: int
    announced: int
    products: np.ndarray
    merchant: np.ndarray
    platform: float


@dataclass(frozen=True)
class Movement:
    """A planted change: visits of the element (None: all of a dimension) are multiplied by `factor` in these days."""

    name: str
    cause: str
    first: int
    last: int
    factor: float
    region: int | None
    channel: int | None
    category: int | None

    def touches(self, regions: int, categories: int) -> np.ndarray:
        """Mask [organic channel, region * categories + category] of what it changes."""
        mask = np.ones((len(ORGANIC), regions, categories), dtype=bool)
        for axis, element in enumerate((self.channel, self.region, self.category)):
            if element is not None:
                keep = np.zeros(mask.shape[axis], dtype=bool)
                keep[element] = True
                mask &= keep.reshape([-1 if a == axis else 1 for a in range(3)])
        return mask.reshape(len(ORGANIC), regions * categories)


@dataclass(frozen=True)
class CouponWeek:
    """The experiment of one week: `customers` (positions) and the arm of each (0 control, 1 small, 2 large)."""

    name: str
    programme: Programme
    monday: int
    customers: np.ndarray
    arms: np.ndarray

    def coupon(self, arm: int) -> str:
        """Identity of the coupon of an arm; the control group's is the small one, which it is not given."""
        return f"{self.name}-{ARMS[max(arm, 1)]}"


def calendar(first: date, last: date, parameters: Parameters) -> list[tuple[date, str, str]]:
    """(day, event, kind) of all that is known ahead, in order."""
    rows = []
    for offset in range((last - first).days + 1):
        day = first + timedelta(days=offset)
        here = (day.month, day.day)
        if here in _HOLIDAYS:
            rows.append((day, _HOLIDAYS[here], "holiday"))
        if _is_payday(day):
            rows.append((day, "payday", "payday"))
        if day.month in parameters.seasons.double_days and day.month - SPREAD <= day.day <= day.month:
            rows.append((day, f"{day.month}.{day.month}", "campaign"))
        rows += [(day, name, "season") for name, (begin, end) in _SEASONS.items() if begin <= here <= end]
    return rows


def _is_payday(day: date) -> bool:
    return day.day == 15 or (day + timedelta(days=1)).day == 1


def factor(day: int, parameters: Parameters) -> float:
    """By what the weekday and the calendar multiply visits; merchants know it, chance is not in it."""
    today, seasons = date.fromordinal(day), parameters.seasons
    found = seasons.weekdays[today.weekday()]
    if _is_payday(today) or _is_payday(today - timedelta(days=1)):
        found *= seasons.payday_lift
    if (today.month, today.day) in _HOLIDAYS:
        found *= seasons.holiday_factor
    lift = seasons.double_days.get(today.month, 1.0)
    if today.day == today.month:
        found *= lift
    elif today.month - SPREAD <= today.day < today.month:
        found *= lift**0.35
    return found


def platform_campaigns(world: World, first: int, last: int) -> Iterator[Campaign]:
    """Double-day campaigns that run on any of these days, and are announced four weeks ahead."""
    p = world.parameters
    for year in range(date.fromordinal(first).year, date.fromordinal(last).year + 1):
        for month in sorted(p.seasons.double_days):
            end = date(year, month, month).toordinal()
            begin = end - SPREAD
            if end < first or begin > last:
                continue
            announced = begin - _ANNOUNCED
            people = world.through(announced)
            rng = stream(p.seed, "double day", year, month)
            tier = people.merchants.tier[people.products.merchant]
            joins = rng.random(len(tier)) < np.array(p.campaigns.joins)[tier]
            depth = rng.uniform(*p.campaigns.depth, len(tier))
            known = (people.products.launched <= announced) & (people.products.delisted > begin)
            chosen = np.flatnonzero(joins & known)
            yield Campaign(
                name=f"double-{year}-{month:02d}",
                kind="double day",
                first=begin,
                last=end,
                announced=announced,
                products=chosen,
                merchant=np.round(depth[chosen], 2),
                platform=p.campaigns.platform_depth,
            )


def merchant_campaigns(world: World, month: int) -> Iterator[Campaign]:
    """What merchants run on their own from some day of a month on, announced a week before."""
    p = world.parameters
    begin, end = month_days(month)
    people = world.through(begin - 1)
    merchants, products = people.merchants, people.products
    rng = stream(p.seed, "merchant campaigns", month)
    runs = np.flatnonzero(rng.random(len(merchants.tier)) < p.campaigns.merchant_campaigns)
    first = rng.integers(begin, end, len(runs))
    last = first + rng.integers(3, 10, len(runs))
    depth = np.round(rng.uniform(*p.campaigns.depth, len(runs)), 2)
    enters = rng.random(len(products.merchant)) < 0.5
    order = np.argsort(products.merchant, kind="stable")
    edges = np.searchsorted(products.merchant[order], np.arange(len(merchants.tier) + 1))
    for number, merchant in enumerate(runs):
        mine = order[edges[merchant] : edges[merchant + 1]]
        known = (products.launched[mine] < begin - 7) & (products.delisted[mine] > last[number]) & enters[mine]
        if known.any():
            yield Campaign(
                name=f"shop-{date.fromordinal(begin):%Y-%m}-{merchant:06d}",
                kind="merchant",
                first=int(first[number]),
                last=int(last[number]),
                announced=int(first[number]) - 7,
                products=mine[known],
                merchant=np.full(int(known.sum()), depth[number]),
                platform=0.0,
            )


def movements(world: World, first: int, last: int) -> list[Movement]:
    """Planted movements that touch any of these days. None is planted in the first four weeks."""
    p = world.parameters
    found = []
    for month in range(month_of(first) - 1, month_of(last) + 1):
        begin, end = month_days(month)
        rng = stream(p.seed, "movements", month)
        for number in range(int(rng.poisson(p.movements.a_month))):
            cause, sign, dimensions = _CAUSES[int(rng.integers(len(_CAUSES)))]
            starts = int(rng.integers(begin, end))
            ends = starts + int(rng.integers(0, 10))
            size = p.movements.strength * float(rng.gamma(4.0, 0.25))
            sizes = {
                "region": len(world.regions),
                "channel": len(ORGANIC),
                "category": len(world.categories.names),
            }
            element = {name: int(rng.integers(count)) for name, count in sizes.items()}
            if cause == "search outage":
                element["channel"] = 0
            where = {name: element[name] if name in dimensions else None for name in sizes}
            if starts >= world.first_day + 28 and starts <= last and ends >= first:
                name = f"{date.fromordinal(begin):%Y-%m}-{number + 1}"
                found.append(Movement(name, cause, starts, ends, float(np.exp(sign * size)), **where))
    return found


def programme_of(world: World, monday: int) -> Programme | None:
    """The coupon programme issued on a Monday; with several due, the first of the parameters' order."""
    week = (monday - world.first_day) // 7
    due = (c for c in world.parameters.coupons if week % c.every_weeks == c.offset % c.every_weeks)
    return next(due, None) if monday >= world.first_day else None


def coupon_mondays(world: World, last: int) -> Iterator[tuple[int, Programme]]:
    """Every Monday up to `last` on which coupons were issued, with the programme."""
    for monday in range(world.first_day + (1 - world.first_day) % 7, last + 1, 7):
        programme = programme_of(world, monday)
        if programme is not None:
            yield monday, programme


def coupon_week(world: World, monday: int) -> CouponWeek | None:
    """The coupon experiment issued on a Monday, if one is.

    Everybody who is a customer on that Monday enters with the programme's share, and is given an arm by lot.
    """
    programme = programme_of(world, monday)
    if programme is None:
        return None
    customers = world.customers(monday + 6)
    rng = stream(world.parameters.seed, "coupons", monday)
    here = (customers.joined <= monday) & (customers.churned > monday)
    entered = np.flatnonzero(here & (rng.random(len(here)) < programme.share))
    arms = np.searchsorted(np.cumsum(programme.propensities)[:2], rng.random(len(entered)), side="right")
    return CouponWeek(f"{programme.name}-{date.fromordinal(monday):%Y%m%d}", programme, monday, entered, arms)
