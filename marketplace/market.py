"""What is demanded, shown, sold and lost: a latent-class nested logit over what is on sale, and finite stock.

A visit of a customer of latent class z in region r looks at one category. A product j weighs

    w_j = attention_j * exp((tau_z quality_j + appeal_j - alpha_z log(price_j / price_of_category)) / theta)

times its life cycle, season and discount; I is the sum over what is on show and in stock, as a multiple of what the
category had on the first day. The visit ends in a buy with I^theta / (K + I^theta), and then in product j with w_j / I
(McFadden's nested logit: one nest a category, dissimilarity theta, beside the outside option). Visits are Poisson, so
sales of each product are independent Poisson variables (splitting), and the arithmetic is exact without a visitor being
drawn. What is out of stock is not on show the next day: its demand goes to its neighbours, or nowhere.

Stock is filled up on Mondays to what each merchant believes; so a week is computed as a whole, and a day is the end of
a prefix of its week.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np

from marketplace import content as media
from marketplace.draws import stream
from marketplace.occasions import (
    CHANNELS,
    ORGANIC,
    Campaign,
    CouponWeek,
    coupon_week,
    factor,
    merchant_campaigns,
    movements,
    platform_campaigns,
)
from marketplace.world import Products, World, day_of_year, month_of

CLASSES = 2
VIDEO, LIVE, BOOST = (CHANNELS.index(name) for name in ("video", "live", "boost"))
_CARTS, _CLICKS = 1.5, 6.0
_MOST_DISPLACED = 0.5


@dataclass(frozen=True)
class Shown:
    """Content of a day with its rows: what row shows which listing to how many people of a region.

    The first block has an entry a content on view, the second (`row_…`) one a content, product and region.
    """

    started: np.ndarray
    number: np.ndarray
    kind: np.ndarray
    begins: np.ndarray
    ends: np.ndarray
    row_content: np.ndarray
    row_listing: np.ndarray
    row_viewers: np.ndarray
    row_expected: np.ndarray


@dataclass(frozen=True)
class Traffic:
    """Counts by listing, channel and content (position in `Shown`; -1 for none), rows without impressions left out."""

    listing: np.ndarray
    channel: np.ndarray
    content: np.ndarray
    impressions: np.ndarray
    clicks: np.ndarray
    carts: np.ndarray


@dataclass(frozen=True)
class Visits:
    """Counts [organic channel, group] of visits and of those that ended in a buy."""

    visits: np.ndarray
    buys: np.ndarray


@dataclass(frozen=True)
class Truth:
    """What only the simulator knows of a day. Money in cents, expected values, so without the day's luck.

    `lost`: units by listing that were wanted and not there. `content_…`: by content. `boost_…`: by boosted listing.
    `moved`: GMV by movement.
    """

    lost: np.ndarray
    content_gmv: np.ndarray
    content_displaced: np.ndarray
    boost: np.ndarray
    boost_orders: np.ndarray
    boost_gmv: np.ndarray
    boost_displaced: np.ndarray
    moved: dict[str, float]


@dataclass(frozen=True)
class Trade:
    """One day. Sold lines in the order of time: listing, channel, content (or -1), latent class, quantity.

    `traffic` and `visits` are counted when asked for: days that are only run through for their refunds need none.
    """

    day: int
    listing: np.ndarray
    channel: np.ndarray
    content: np.ndarray
    latent: np.ndarray
    quantity: np.ndarray
    shown: Shown
    traffic: Callable[[], Traffic]
    visits: Callable[[], Visits]
    on_hand: np.ndarray
    merchant_discount: np.ndarray
    platform_discount: np.ndarray
    truth: Truth


class Market:
    """What does not change from week to week."""

    def __init__(self, world: World) -> None:
        self.world = world
        p = world.parameters
        self.groups = len(world.regions) * len(world.categories.names)
        self.outside = (1 - p.demand.buy_probability) / p.demand.buy_probability
        first = world.through(world.first_day).products
        product, region = np.nonzero(first.listed[: p.scale.products])
        weights = self.weights(first)[:, product]
        group = self.group(first, product, region)
        total = np.array([np.bincount(group, w, self.groups) for w in weights])
        # A category nobody lists on the first day counts as full with five ordinary products.
        self.full = np.where(total > 0, total, 5 * weights.mean(axis=1, keepdims=True))
        customers = world.customers(world.first_day)
        here = customers.joined < world.first_day
        cells = np.bincount(customers.cell[here], customers.activity[here], 2 * len(world.regions))
        self.first_visits = self.visits(cells) * 7
        self._merchant_campaigns = lru_cache(maxsize=3)(lambda month: tuple(merchant_campaigns(world, month)))
        self.contents = lru_cache(maxsize=40)(lambda day: media.contents(world, day))

    def group(self, products: Products, product: np.ndarray, region: np.ndarray) -> np.ndarray:
        found: np.ndarray = region * len(self.world.categories.names) + products.category[product]
        return found

    def utilities(self, products: Products) -> np.ndarray:
        """Utility [class, product] at list price, at the plateau, without season."""
        demand = self.world.parameters.demand
        price = np.log(products.price / self.world.categories.price[products.category])
        return np.array(
            [
                tau * products.quality + products.appeal - alpha * price
                for tau, alpha in zip(demand.quality_taste, demand.price_taste, strict=True)
            ]
        )

    def weights(self, products: Products) -> np.ndarray:
        """Weight [class, product] in the choice, attention included."""
        found: np.ndarray = np.exp(self.utilities(products) / self.world.parameters.demand.nest + products.attention)
        return found

    def visits(self, cells: np.ndarray) -> np.ndarray:
        """Visits a day [class, group] of an ordinary day, from customers' summed activity by region * 2 + class."""
        world, demand = self.world, self.world.parameters.demand
        a_day = cells.reshape(-1, CLASSES) * demand.lines_a_week / 7 / demand.buy_probability
        liking = world.categories.share * world.categories.taste
        found: np.ndarray = (a_day.T[:, :, None] * liking[None]).reshape(CLASSES, self.groups)
        return found

    def buys(self, inclusive: np.ndarray) -> np.ndarray:
        """Probability that a visit ends in a buy, by the sum of weights as a multiple of a full category's."""
        raised = inclusive**self.world.parameters.demand.nest
        found: np.ndarray = raised / (self.outside + raised)
        return found

    def ceilings(self, products: Products) -> np.ndarray:
        """Units a week [product] a product sells at its plateau: all regions, ordinary weeks, beside the first day's
        products and customers, never out of stock."""
        product, region = np.nonzero(products.listed)
        group = self.group(products, product, region)
        weight = self.weights(products)[:, product] / self.full[:, group]
        units = (self.first_visits[:, group] * self.buys(1 + weight) * weight / (1 + weight)).sum(axis=0)
        return np.bincount(product, units, len(products.price)) * MEAN_QUANTITY

    def campaigns(self, first: int, last: int) -> list[Campaign]:
        """Campaigns that run on any of these days of the history."""
        first = max(first, self.world.first_day)
        found = list(platform_campaigns(self.world, first, last))
        for month in range(month_of(first - 10), month_of(last) + 1):
            found += [c for c in self._merchant_campaigns(month) if c.first <= last and c.last >= first]
        return found


_QUANTITIES = np.array([0.94, 0.985, 0.997])
"""Chances of buying at most one, two, three of a thing; the rest buy four."""
MEAN_QUANTITY = 4 - float(_QUANTITIES.sum())


class Week:
    """One week's market. Listings are pairs (product, region), ordered by group: region, then category."""

    def __init__(self, market: Market, monday: int) -> None:
        self.market, self.monday = market, monday
        world = market.world
        p = world.parameters
        people = world.through(monday + 6)
        self.people, self.products = people, people.products
        products = people.products
        live = (products.launched <= monday + 6) & (products.delisted > monday)
        product, region = np.nonzero(products.listed & live[:, None])
        group = market.group(products, product, region)
        order = np.argsort(group, kind="stable")
        self.product, self.region, self.group = product[order], region[order], group[order]
        self.position = np.full(products.listed.shape, -1, dtype=np.int64)
        self.position[self.product, self.region] = np.arange(len(order))
        self.present, self.starts = np.unique(self.group, return_index=True)
        dense = np.zeros(market.groups, dtype=np.int64)
        dense[self.present] = np.arange(len(self.present))
        self.slot = dense[self.group]

        midweek = products.life(monday + 3) + products.own_season(monday + 3)
        plain = market.weights(products) * np.exp(midweek)
        self.plain = plain[:, self.product] / market.full[:, self.group]
        new = (monday - products.launched < 42) * p.demand.novelty
        attention = products.attention[self.product]
        # The shop's page is less steep than search, and lists new products further up.
        further = np.array([np.zeros(len(order)), new[self.product] - 0.4 * attention])
        self.seen = np.exp(attention + further)
        self.base = self.plain[:, None, :] * np.exp(further)

        self.coupons: CouponWeek | None = coupon_week(world, monday)
        self._weigh_customers()
        self.campaigns = market.campaigns(monday, monday + 6)
        self.movements = movements(world, monday, monday + 6)
        self.boosts = media.boosts(world, monday)
        self.stock = self._fill()

    def _weigh_customers(self) -> None:
        """Customers by cell with the running sum of their purchase rates, coupons' effects included."""
        world, coupons = self.market.world, self.coupons
        customers = world.customers(self.monday + 6)
        here = (customers.joined <= max(self.monday, world.first_day)) & (customers.churned > self.monday)
        rate = customers.activity * here
        self.arm = np.zeros(len(rate), dtype=np.int8)
        if coupons is not None:
            programme = coupons.programme
            effects = np.array([(0,) * 4, programme.small_effect, programme.large_effect], dtype=np.float32)
            self.arm[coupons.customers] = coupons.arms
            rate[coupons.customers] *= 1 + effects[coupons.arms, customers.segment[coupons.customers]]
        self.customers = customers
        self.by_cell = np.argsort(customers.cell, kind="stable")
        cells = 2 * len(world.regions)
        ends = np.searchsorted(customers.cell[self.by_cell], np.arange(cells + 1))
        self.running = np.concatenate([[0.0], np.cumsum(rate[self.by_cell], dtype=np.float64)])
        self.cell_edges = self.running[ends]
        self.cells = np.diff(self.cell_edges)
        self.first_in_cell, self.last_in_cell = ends[:-1], np.maximum(ends[1:] - 1, 0)

    def _fill(self) -> np.ndarray:
        """Units of each listing on Monday: what its merchant believes the week will bring, and a little more."""
        p = self.market.world.parameters
        everything = np.ones(len(self.product), dtype=bool)
        days = [factor(day, p) for day in range(self.monday, self.monday + 7)]
        discounts = np.zeros((2, len(self.products.price)))
        for campaign in self.campaigns:
            days_on = min(campaign.last, self.monday + 6) - max(campaign.first, self.monday) + 1
            discounts[0, campaign.products] += campaign.merchant * days_on / 7
        visits = self._visits(self.monday + 3) * sum(days)
        expected, _ = self._organic(visits, everything, np.minimum(discounts, 0.4))
        mean = expected.sum(axis=(0, 1)) * MEAN_QUANTITY
        rng = stream(p.seed, "stock", self.monday)
        tier = self.people.merchants.tier[self.products.merchant[self.product]]
        young = self.monday - self.products.launched[self.product] < 42
        spread = np.array(p.stock.error)[tier] * np.where(young, 1.5, 1.0)
        # Drawn for every product and region there is, so that one listing more changes no other's luck.
        guess = rng.standard_normal(self.products.listed.shape)[self.product, self.region]
        believed = mean * np.exp(spread * guess)
        level: np.ndarray = np.ceil(p.stock.cover * believed + 1.6 * np.sqrt(believed) + 1).astype(np.int64)
        return level

    def _visits(self, day: int) -> np.ndarray:
        """Visits [class, organic channel, group] of a day without the calendar's factor, luck, and movements."""
        world = self.market.world
        curve = np.tile(world.categories.curve[:, day_of_year(day)], len(world.regions))
        share = world.parameters.demand.search_share
        split = np.array([share, 1 - share])
        found: np.ndarray = self.market.visits(self.cells)[:, None, :] * split[None, :, None] * curve
        return found

    def _weight(self, available: np.ndarray, discounts: np.ndarray) -> np.ndarray:
        """What a discount and being there make of a listing's weight [class, listing]. `discounts`: [2, product]."""
        demand = self.market.world.parameters.demand
        depth = discounts.sum(axis=0)[self.product]
        cut = np.flatnonzero(depth)
        effect = np.tile(available.astype(float), (CLASSES, 1))
        for latent, alpha in enumerate(demand.price_taste):
            effect[latent, cut] *= (1 - depth[cut]) ** (-alpha / demand.nest)
        return effect

    def _organic(
        self, visits: np.ndarray, available: np.ndarray, discounts: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Expected lines [class, channel, listing] and the sum of weights [class, channel, slot]."""
        weight = self.base * self._weight(available, discounts)[:, None, :]
        inclusive = np.add.reduceat(weight, self.starts, axis=2)
        a_weight = _over(self.market.buys(inclusive), inclusive)
        return weight * (visits[:, :, self.present] * a_weight)[:, :, self.slot], inclusive

    def days(self, last: int) -> Iterator[Trade]:
        """The days of the history from this Monday to `last`, in order; stock goes from one to the next."""
        for day in range(max(self.monday, self.market.world.first_day), min(last, self.monday + 6) + 1):
            yield self._trade(day)

    def _trade(self, day: int) -> Trade:
        rng = stream(self.market.world.parameters.seed, "demand", day)
        launched = self.products.launched[self.product] <= day
        offered = launched & (self.products.delisted[self.product] > day)
        available = offered & (self.stock > 0)
        discounts = self._discounts(day)
        visits, touched = self._moved(rng, day)
        weight = self._weight(available, discounts)
        shown, content_rows, content_displaces = self._shown(day, weight)
        boosted, boost_rows, boost_displaces, impressions = self._boosted(visits, weight)
        total = visits.sum(axis=(0, 1))
        displaced = np.bincount(
            np.concatenate([content_displaces[0], boost_displaces[0]]),
            np.concatenate([content_displaces[1], boost_displaces[1]]),
            self.market.groups,
        )
        within = np.minimum(1, _over(_MOST_DISPLACED * total, displaced, 1.0))
        visits = visits * (1 - within * _over(displaced, total))

        expected, inclusive = self._organic(visits, available, discounts)
        lines = expected.sum(axis=0)
        wanted = rng.poisson(lines)
        listing, channel, content, latent = [], [], [], []
        each = np.repeat(np.arange(lines.size), wanted.ravel())
        listing.append(each % lines.shape[1])
        channel.append(each // lines.shape[1])
        content.append(np.full(len(each), -1))
        latent.append(rng.random(len(each)) * lines.ravel()[each] >= expected[0].ravel()[each])
        rows = [
            (
                shown.row_listing,
                np.where(shown.kind == media.LIVE, LIVE, VIDEO)[shown.row_content],
                shown.row_content,
                content_rows,
            ),
            (boosted, np.full(len(boosted), BOOST), np.full(len(boosted), -1), boost_rows),
        ]
        bought = []
        for where, through, by, means in rows:
            mean = means.sum(axis=0)
            bought.append(rng.poisson(mean))
            each = np.repeat(np.arange(len(mean)), bought[-1])
            listing.append(where[each])
            channel.append(through[each])
            content.append(by[each])
            latent.append(rng.random(len(each)) * mean[each] >= means[0][each])
        traffic = partial(
            self._traffic,
            day,
            visits,
            available,
            lines,
            wanted,
            shown,
            content_rows,
            boosted,
            boost_rows,
            impressions,
            bought,
        )
        sold_listing = np.concatenate(listing)
        shuffled = rng.permutation(len(sold_listing))
        sold_listing = sold_listing[shuffled]
        quantity = 1 + np.searchsorted(_QUANTITIES, rng.random(len(shuffled)), side="right")
        kept, excess = self._serve(sold_listing, quantity)
        take = shuffled[kept]
        sold_channel = np.concatenate(channel)[take]
        value = np.add.reduceat(lines * self.products.price[self.product], self.starts, axis=1)
        lost = excess + self._hidden(visits, offered & ~available, inclusive, discounts)
        return Trade(
            day=day,
            listing=sold_listing[kept],
            channel=sold_channel,
            content=np.concatenate(content)[take],
            latent=np.concatenate(latent)[take].astype(np.int64),
            quantity=quantity[kept],
            shown=shown,
            traffic=traffic,
            visits=partial(self._visitors, day, visits, inclusive, wanted, sold_listing[kept], sold_channel),
            on_hand=np.where(offered, self.stock, -1),
            merchant_discount=discounts[0],
            platform_discount=discounts[1],
            truth=self._truth(
                visits,
                value,
                within,
                shown,
                content_rows,
                content_displaces,
                boosted,
                boost_rows,
                boost_displaces,
                lost,
                touched,
            ),
        )

    def _discounts(self, day: int) -> np.ndarray:
        """Share of the price that [merchant, platform] give away by product; of several campaigns the greatest."""
        found = np.zeros((2, len(self.products.price)))
        for campaign in self.campaigns:
            if campaign.first <= day <= campaign.last:
                old = found[:, campaign.products]
                found[0, campaign.products] = np.maximum(old[0], campaign.merchant)
                found[1, campaign.products] = np.maximum(old[1], campaign.platform)
        return found

    def _moved(self, rng: np.random.Generator, day: int) -> tuple[np.ndarray, dict[str, tuple[np.ndarray, float]]]:
        """Visits [class, organic channel, group] of a day, and what planted movements touch by which factor."""
        world = self.market.world
        noise = world.parameters.demand.day_noise
        visits = self._visits(day) * factor(day, world.parameters)
        visits *= np.exp(rng.normal(0, noise) + rng.normal(0, noise, self.market.groups))
        touched = {}
        for movement in (m for m in self.movements if m.first <= day <= m.last):
            mask = movement.touches(len(world.regions), len(world.categories.names))
            visits = np.where(mask, visits * movement.factor, visits)
            touched[movement.name] = (mask, movement.factor)
        return visits, touched

    def _serve(self, listing: np.ndarray, quantity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mask of lines that found stock, first come first served, and units by listing that did not. Takes stock."""
        size = len(self.stock)
        over = np.bincount(listing, quantity, size) > self.stock
        kept = np.ones(len(listing), dtype=bool)
        short = np.flatnonzero(over[listing])
        if len(short):
            order = short[np.argsort(listing[short], kind="stable")]
            running = np.cumsum(quantity[order])
            first = np.searchsorted(listing[order], listing[order])
            before = running[first] - quantity[order][first]
            kept[order] = running - before <= self.stock[listing[order]]
        self.stock = self.stock - np.bincount(listing[kept], quantity[kept], size).astype(np.int64)
        return kept, np.bincount(listing[~kept], quantity[~kept], size)

    def _hidden(
        self, visits: np.ndarray, missing: np.ndarray, inclusive: np.ndarray, discounts: np.ndarray
    ) -> np.ndarray:
        """Units a listing that is out of stock would have sold if it alone had been there, by listing."""
        found = np.zeros(len(missing))
        rows = np.flatnonzero(missing)
        if len(rows):
            weight = self.base[:, :, rows] * self._weight(missing, discounts)[:, None, rows]
            with_it = inclusive[:, :, self.slot[rows]] + weight
            share = self.market.buys(with_it) * weight / with_it
            found[rows] = (visits[:, :, self.group[rows]] * share).sum(axis=(0, 1)) * MEAN_QUANTITY
        return found

    def _shown(
        self, day: int, weight: np.ndarray
    ) -> tuple[Shown, np.ndarray, tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Content on view, expected lines [class, row], and whom it displaces (group, visits, content)."""
        world, p = self.market.world, self.market.world.parameters
        days = [day - lag for lag in range(len(media.VIDEO_DAYS))]
        parts = []
        for lag, (begun, share) in enumerate(zip(days, media.VIDEO_DAYS, strict=True)):
            made = self.market.contents(begun)
            on = np.flatnonzero((made.kind == media.VIDEO) | (lag == 0))
            parts.append((made, on, np.where(made.kind[on] == media.VIDEO, share, 1.0), lag))
        started = np.concatenate([np.full(len(on), made.day) for made, on, _, _ in parts])
        number = np.concatenate([on for _, on, _, _ in parts])
        kind = np.concatenate([made.kind[on] for made, on, _, _ in parts])
        begins = np.concatenate([made.begins[on] if lag == 0 else np.zeros(len(on)) for made, on, _, lag in parts])
        ends = np.concatenate([made.ends[on] for made, on, _, _ in parts])
        viewers = np.concatenate([made.viewers[on] * share for made, on, share, _ in parts])
        creator = np.concatenate([made.creator[on] for made, on, _, _ in parts]).astype(np.int64)
        carried = []
        offset = 0
        for made, on, _, _ in parts:
            place = np.full(len(made.kind), -1)
            place[on] = offset + np.arange(len(on))
            here = place[made.content] >= 0
            carried.append(np.column_stack([place[made.content[here]], made.product[here]]))
            offset += len(on)
        pairs = np.concatenate(carried)
        regions = len(world.regions)
        by = np.repeat(pairs[:, 0], regions)
        region = np.tile(np.arange(regions), len(pairs))
        listing = self.position[np.repeat(pairs[:, 1], regions), region]
        on_show = (listing >= 0) & (weight[0, np.maximum(listing, 0)] > 0)
        by, region, listing = by[on_show], region[on_show], listing[on_show]

        home = self.people.creators.region[creator]
        reach = 0.4 * world.region_share[region] + 0.6 * (region == home[by])
        audience = viewers[by] * reach
        lift = np.where(kind == media.LIVE, p.content.live_lift, p.content.video_lift)
        lift = (lift * np.exp(self.people.creators.charm[creator]))[by]
        cell = by * regions + region
        size = len(kind) * regions
        classes = self.cells.reshape(-1, CLASSES)
        share_of_class = classes / np.maximum(classes.sum(axis=1, keepdims=True), 1e-12)
        expected = np.zeros((CLASSES, len(by)))
        for latent in range(CLASSES):
            appealing = lift * self.plain[latent, listing] * weight[latent, listing]
            inclusive = np.bincount(cell, appealing, size)[cell]
            buys = self.market.buys(inclusive) * share_of_class[region, latent]
            expected[latent] = audience * buys * appealing / inclusive
        rows_of_cell = np.bincount(cell, minlength=size)[cell]
        displaces = p.content.displacement * audience / rows_of_cell
        shown = Shown(started, number, kind, begins, ends, by, listing, audience, expected.sum(axis=0))
        return shown, expected, (self.group[listing], displaces, by)

    def _boosted(
        self, visits: np.ndarray, weight: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray], np.ndarray]:
        """Boosted listings, expected lines [class, row], whom they displace (group, visits), and impressions.

        Of n impressions a crowd of A people gives A (1 - exp(-n / A)) who have seen it: returns diminish.
        """
        p, boosts = self.market.world.parameters, self.boosts
        listing = self.position[boosts.product, boosts.region]
        on = (boosts.impressions > 0) & (listing >= 0) & (weight[0, np.maximum(listing, 0)] > 0)
        listing, impressions = listing[on], boosts.impressions[on]
        crowd = visits.sum(axis=1)[:, self.group[listing]]
        total = np.maximum(crowd.sum(axis=0), 1e-9)
        reach = total * -np.expm1(-impressions / total)
        inclusive = p.boosts.lift * self.plain[:, listing] * weight[:, listing]
        expected = reach * crowd / total * self.market.buys(inclusive)
        return listing, expected, (self.group[listing], p.boosts.displacement * reach), impressions

    def _traffic(
        self,
        day: int,
        visits: np.ndarray,
        available: np.ndarray,
        lines: np.ndarray,
        wanted: np.ndarray,
        shown: Shown,
        content_rows: np.ndarray,
        boosted: np.ndarray,
        boost_rows: np.ndarray,
        impressions: np.ndarray,
        bought: list[np.ndarray],
    ) -> Traffic:
        """Who saw, opened and took into the cart: Poisson variables that add up, each at least the next."""
        p = self.market.world.parameters
        rng = stream(p.seed, "traffic", day)
        seen = self.seen * available
        total = np.add.reduceat(seen, self.starts, axis=1)
        views = visits.sum(axis=0)[:, self.present] * p.demand.impressions_a_visit
        views = seen * _over(views, total)[:, self.slot]
        each = np.arange(len(self.product))
        means = np.concatenate([lines.ravel(), content_rows.sum(axis=0), boost_rows.sum(axis=0)])
        orders = np.concatenate([wanted.ravel(), *bought])
        looked = rng.poisson((_CARTS + _CLICKS) * means)
        clicks = orders + looked
        carts = orders.copy()
        some = np.flatnonzero(looked)
        carts[some] += rng.binomial(looked[some], _CARTS / (_CARTS + _CLICKS))
        views = np.concatenate([views.ravel(), shown.row_viewers * 0.8, impressions])
        seen_by = clicks + rng.poisson(np.maximum(views - (1 + _CARTS + _CLICKS) * means, 0))
        listing = np.concatenate([each, each, shown.row_listing, boosted])
        kinds = np.where(shown.kind == media.LIVE, LIVE, VIDEO)[shown.row_content]
        channel = np.concatenate([np.repeat([0, 1], len(each)), kinds, np.full(len(boosted), BOOST)])
        none = np.full(2 * len(each), -1)
        content = np.concatenate([none, shown.row_content, np.full(len(boosted), -1)])
        rows = np.flatnonzero(seen_by)
        return Traffic(listing[rows], channel[rows], content[rows], seen_by[rows], clicks[rows], carts[rows])

    def _visitors(
        self,
        day: int,
        visits: np.ndarray,
        inclusive: np.ndarray,
        wanted: np.ndarray,
        sold_listing: np.ndarray,
        sold_channel: np.ndarray,
    ) -> Visits:
        """Who came: those who wanted something, found or not, and those to whom nothing on show was worth it.

        Buys and leavings split one Poisson stream, so the latter are drawn without regard to the former.
        """
        rng = stream(self.market.world.parameters.seed, "visits", day)
        groups = self.market.groups
        leave = np.ones(visits.shape)
        leave[:, :, self.present] -= self.market.buys(inclusive)
        came = rng.poisson((visits * leave).sum(axis=0))
        came += np.array([np.bincount(self.group, of_channel, groups) for of_channel in wanted]).astype(np.int64)
        organic = sold_channel < len(ORGANIC)
        place = sold_channel[organic] * groups + self.group[sold_listing[organic]]
        return Visits(came, np.bincount(place, minlength=came.size).reshape(came.shape))

    def _truth(
        self,
        visits: np.ndarray,
        value: np.ndarray,
        within: np.ndarray,
        shown: Shown,
        content_rows: np.ndarray,
        content_displaces: tuple[np.ndarray, np.ndarray, np.ndarray],
        boosted: np.ndarray,
        boost_rows: np.ndarray,
        boost_displaces: tuple[np.ndarray, np.ndarray],
        lost: np.ndarray,
        touched: dict[str, tuple[np.ndarray, float]],
    ) -> Truth:
        """`value` is expected organic GMV [channel, slot]; a displaced visit would have been worth its group's mean."""
        by_group = np.zeros((len(ORGANIC), self.market.groups))
        by_group[:, self.present] = value * MEAN_QUANTITY
        total = visits.sum(axis=(0, 1))
        a_visit = _over(by_group.sum(axis=0), total)
        price = self.products.price[self.product] * MEAN_QUANTITY
        contents = len(shown.kind)
        group, displaced, by = content_displaces
        boost_group, boost_displaced = boost_displaces
        orders = boost_rows.sum(axis=0)
        return Truth(
            lost=lost,
            content_gmv=np.bincount(shown.row_content, shown.row_expected * price[shown.row_listing], contents),
            content_displaced=np.bincount(by, displaced * within[group] * a_visit[group], contents),
            boost=boosted,
            boost_orders=orders,
            boost_gmv=orders * price[boosted],
            boost_displaced=boost_displaced * within[boost_group] * a_visit[boost_group],
            moved={name: float((by_group * mask).sum() * (1 - 1 / size)) for name, (mask, size) in touched.items()},
        )


def _over(part: np.ndarray, whole: np.ndarray, otherwise: float = 0.0) -> np.ndarray:
    """part / whole; `otherwise` where the whole is nothing."""
    found: np.ndarray = np.divide(part, whole, out=np.full(whole.shape, otherwise), where=whole > 0)
    return found
