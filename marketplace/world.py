"""Who and what there is: merchants, products, creators, customers, drawn month by month.

A month's newcomers depend on that month and on who came before, never on how far the horizon reaches; positions are
given in order of arrival, so a longer horizon only appends. Whoever needs the world of a day takes `World.through`,
whose arrays end with that day's month: sums over them are then the same whatever was drawn later.

Days are proleptic Gregorian ordinals (`date.toordinal`), money is in cents, ages are in weeks.
"""

from dataclasses import dataclass, fields
from datetime import date
from typing import Any

import numpy as np

from marketplace.draws import choose, stream
from marketplace.parameters import Parameters

NEVER = date(9999, 12, 31).toordinal()
STAPLE, TREND, FLOP = range(3)
KINDS = ("staple", "trend", "flop")
REGIONS = ("north", "south", "east", "west", "coast", "hills", "islands", "border")
_KEPT = 4
_CATEGORIES = {
    "beauty": ("skin care", "make-up", "hair care", "scents"),
    "kitchen": ("pans", "knives", "storage", "small appliances"),
    "snacks": ("nuts", "sweets", "crisps", "dried fruit"),
    "women's wear": ("dresses", "knitwear", "trousers", "coats"),
    "men's wear": ("shirts", "jackets", "jeans", "sportswear"),
    "phones": ("cases", "chargers", "earphones", "holders"),
    "toys": ("puzzles", "dolls", "building sets", "games"),
    "home": ("bedding", "curtains", "lamps", "rugs"),
    "shoes": ("trainers", "boots", "sandals", "slippers"),
    "baby": ("nappies", "bottles", "clothes", "prams"),
    "pets": ("dog food", "cat food", "toys for pets", "beds"),
    "garden": ("seeds", "tools", "pots", "furniture"),
    "sport": ("yoga", "camping", "cycling", "fitness"),
    "stationery": ("notebooks", "pens", "bags", "paper"),
    "drinks": ("tea", "coffee", "juice", "water"),
    "health": ("vitamins", "massage", "teeth", "care"),
    "jewellery": ("rings", "necklaces", "watches", "hair pieces"),
    "tools": ("drills", "hand tools", "paint", "locks"),
}
_QUALITIES = ("plain", "soft", "light", "classic", "bright", "handmade", "fresh", "compact", "warm", "double")
_EXTRAS = ("for every day", "gift box", "new edition", "family size", "washable", "two colours", "with care guide")


@dataclass(frozen=True)
class Merchants:
    """One array entry a merchant. `growth` is the monthly log growth of its launches, `error` its spread of stock."""

    joined: np.ndarray
    churned: np.ndarray
    tier: np.ndarray
    region: np.ndarray
    main: np.ndarray
    growth: np.ndarray
    skill: np.ndarray


@dataclass(frozen=True)
class Products:
    """One entry a product. `listed` [product, region] says where it is on sale; money in cents.

    `quality` is latent (mean 0, spread about 1); `appeal` is what else is liked (log), a flop's lack of it included;
    `attention` is how far up it is listed (log). `rise`, `plateau`, `half_life` are in weeks.
    """

    merchant: np.ndarray
    category: np.ndarray
    subcategory: np.ndarray
    quality: np.ndarray
    appeal: np.ndarray
    attention: np.ndarray
    price: np.ndarray
    cost: np.ndarray
    images: np.ndarray
    description: np.ndarray
    words: np.ndarray
    launched: np.ndarray
    delisted: np.ndarray
    kind: np.ndarray
    rise: np.ndarray
    plateau: np.ndarray
    half_life: np.ndarray
    season: np.ndarray
    season_day: np.ndarray
    listed: np.ndarray

    def life(self, day: int) -> np.ndarray:
        """Logarithm of the share of its plateau a product has reached, or fallen back to, on `day`; 0 is the plateau.

        Rise 1 - exp(-age / rise); a trend halves every `half_life` weeks after its plateau.
        """
        age = np.maximum(day - self.launched, 0) / 7
        rising = np.log1p(-np.exp(-(age + 0.5) / self.rise))
        fallen = np.maximum(age - 2 * self.rise - self.plateau, 0) / self.half_life
        return rising - np.where(self.kind == TREND, np.log(2) * fallen, 0)

    def own_season(self, day: int) -> np.ndarray:
        """Logarithm of a product's season beside its category's; 0 on average over a year."""
        return self.season * np.cos(2 * np.pi * (day_of_year(day) - self.season_day) / 365.25)


@dataclass(frozen=True)
class Creators:
    joined: np.ndarray
    region: np.ndarray
    main: np.ndarray
    followers: np.ndarray
    charm: np.ndarray


@dataclass(frozen=True)
class Customers:
    """One entry a customer; `cell` is region * 2 + latent class, `activity` has mean 1."""

    joined: np.ndarray
    churned: np.ndarray
    cell: np.ndarray
    segment: np.ndarray
    activity: np.ndarray


@dataclass(frozen=True)
class Population:
    merchants: Merchants
    products: Products
    creators: Creators


@dataclass(frozen=True)
class Categories:
    """One entry a category. `curve` [category, day of year from 0] has mean 1; `taste` [region, category] likewise."""

    names: tuple[str, ...]
    subcategories: tuple[tuple[str, ...], ...]
    share: np.ndarray
    taste: np.ndarray
    price: np.ndarray
    returns: np.ndarray
    curve: np.ndarray


class World:
    """All there is, as far as it was asked for."""

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters
        self.first_day = parameters.scale.first_day.toordinal()
        self.regions = REGIONS[: parameters.scale.regions]
        self.region_share = _normal(1 / np.sqrt(np.arange(1, len(self.regions) + 1)))
        self.categories = _categories(parameters)
        self._cohorts: list[Population] = []
        self._joined: dict[int, Population] = {}
        self._customer_cohorts: list[Customers] = []
        self._customers_joined: tuple[int, Customers] | None = None

    def through(self, day: int) -> Population:
        """Everybody but customers who comes by the end of the month of `day`; later days of that month included."""
        wanted = self._cohorts_by(day)
        while len(self._cohorts) < wanted:
            self._cohorts.append(self._cohort(len(self._cohorts)))
        if wanted not in self._joined:
            if len(self._joined) >= _KEPT:
                del self._joined[min(self._joined)]
            self._joined[wanted] = _concatenate(self._cohorts[:wanted])
        return self._joined[wanted]

    def customers(self, day: int) -> Customers:
        """Customers who come by the end of the month of `day`."""
        wanted = self._cohorts_by(day)
        while len(self._customer_cohorts) < wanted:
            self._customer_cohorts.append(self._customer_cohort(len(self._customer_cohorts)))
        if self._customers_joined is None or self._customers_joined[0] != wanted:
            self._customers_joined = (wanted, _concatenate(self._customer_cohorts[:wanted]))
        return self._customers_joined[1]

    def _cohorts_by(self, day: int) -> int:
        return max(month_of(day) - month_of(self.first_day), 0) + 2

    def _span(self, number: int) -> tuple[int, int]:
        """Days on which cohort `number` comes, the end excluded: 0 before the first day, n in the n-th month."""
        if number == 0:
            return self.first_day - 730, self.first_day
        return month_days(month_of(self.first_day) + number - 1)

    def _cohort(self, number: int) -> Population:
        p = self.parameters
        span = self._span(number)
        rng = stream(p.seed, "merchants", number)
        merchants = self._merchants(rng, _size(rng, number, p.scale.merchants, p.scale.merchants_a_month), span)
        known = _concatenate([*(c.merchants for c in self._cohorts), merchants])
        rng = stream(p.seed, "products", number)
        launches = _size(rng, number, p.scale.products, p.scale.products_a_month * p.launches.pace)
        products = self._products(rng, launches, span, known, number == 0)
        rng = stream(p.seed, "creators", number)
        creators = self._creators(rng, _size(rng, number, p.scale.creators, p.scale.creators_a_month), span)
        return Population(merchants, products, creators)

    def _customer_cohort(self, number: int) -> Customers:
        p = self.parameters
        rng = stream(p.seed, "customers", number)
        size = _size(rng, number, p.scale.customers, p.scale.customers_a_month)
        return self._customers(rng, size, self._span(number))

    def _merchants(self, rng: np.random.Generator, size: int, span: tuple[int, int]) -> Merchants:
        people = self.parameters.people
        tier = choose(rng, np.array(people.tier_shares), size)
        joined = np.sort(rng.integers(*span, size))
        stays = rng.exponential(np.array(people.merchant_years)[tier] * 365.25)
        return Merchants(
            joined=joined,
            churned=(np.maximum(joined, self.first_day) + 60 + stays).astype(np.int64),
            tier=tier,
            region=choose(rng, self.region_share, size),
            main=choose(rng, self.categories.share, size),
            growth=rng.normal(0, people.growth_spread, size),
            skill=rng.normal(0.25 * tier - 0.125, 0.5, size),
        )

    def _products(
        self, rng: np.random.Generator, size: int, span: tuple[int, int], merchants: Merchants, before: bool
    ) -> Products:
        p, categories = self.parameters, self.categories
        months = np.maximum(span[0] - merchants.joined, 0) / 30
        weight = np.array(p.people.tier_weights)[merchants.tier] * np.exp(np.minimum(merchants.growth * months, 2))
        weight = weight * ((merchants.joined < span[1]) & (merchants.churned > span[1]))
        owner = choose(rng, weight if weight.any() else np.ones(len(weight)), size)
        launched = np.maximum(np.sort(rng.integers(*span, size)), merchants.joined[owner])
        elsewhere = choose(rng, categories.share, size)
        category = np.where(rng.random(size) < 0.8, merchants.main[owner], elsewhere)
        quality = merchants.skill[owner] + rng.normal(0, 0.85, size)
        shares = np.array([p.launches.staple_share, p.launches.trend_share])
        kind = np.searchsorted(np.cumsum(shares), rng.random(size))
        rise = p.launches.rise_weeks * rng.lognormal(-0.125, 0.5, size)
        plateau = p.launches.trend_plateau_weeks * rng.lognormal(-0.125, 0.5, size)
        half_life = p.launches.trend_half_life * rng.lognormal(-0.08, 0.4, size)
        stays = np.choose(
            kind,
            [
                rng.exponential(5 * 365.25, size) + 120,
                7 * (2 * rise + plateau + 5 * half_life),
                7 * (12 + 20 * rng.random(size)),
            ],
        )
        if before:
            # Who was listed long ago and is still there was no trend that died since.
            gone = launched + stays <= self.first_day + 14
            kind = np.where(gone, STAPLE, kind)
            stays = np.where(gone, self.first_day - launched + rng.exponential(4 * 365.25, size) + 60, stays)
        words = np.clip(np.round(1 + 0.7 * quality + rng.normal(0, 0.8, size)), 0, len(_EXTRAS)).astype(np.int64)
        price = categories.price[category] * np.exp(0.25 * quality + rng.normal(0, p.demand.price_spread, size))
        own = rng.random(size) < p.seasons.own_season_share
        appears = rng.random((size, len(self.regions))) < np.array([0.2, 0.45, 0.85])[merchants.tier[owner]][:, None]
        appears[np.arange(size), merchants.region[owner]] = True
        price = np.maximum(np.round(price), 99).astype(np.int64)
        appeal = rng.normal(0, p.demand.taste_spread, size)
        appeal += np.choose(kind, [0, 0.3, -p.launches.flop_depth * p.demand.nest])
        return Products(
            merchant=owner,
            category=category,
            subcategory=rng.integers(0, 4, size),
            quality=quality,
            appeal=appeal,
            attention=rng.normal(0, p.demand.attention_spread, size),
            price=price,
            cost=np.round(price * rng.uniform(0.45, 0.75, size)).astype(np.int64),
            images=np.clip(np.round(4 + 1.6 * quality + rng.normal(0, 1.2, size)), 1, 12).astype(np.int64),
            description=np.round(np.exp(5.8 + 0.35 * quality + rng.normal(0, 0.4, size))).astype(np.int64),
            words=words,
            launched=launched,
            delisted=np.minimum(launched + stays, merchants.churned[owner]).astype(np.int64),
            kind=kind,
            rise=rise,
            plateau=plateau,
            half_life=half_life,
            season=np.where(own, p.seasons.own_season * rng.lognormal(-0.05, 0.3, size), 0),
            season_day=rng.uniform(0, 365.25, size),
            listed=appears,
        )

    def _creators(self, rng: np.random.Generator, size: int, span: tuple[int, int]) -> Creators:
        return Creators(
            joined=np.sort(rng.integers(*span, size)),
            region=choose(rng, self.region_share, size),
            main=choose(rng, self.categories.share, size),
            followers=np.round(self.parameters.content.followers * rng.lognormal(0, 1.1, size)).astype(np.int64),
            charm=rng.normal(0, 0.4, size),
        )

    def _customers(self, rng: np.random.Generator, size: int, span: tuple[int, int]) -> Customers:
        people = self.parameters.people
        joined = np.sort(rng.integers(*span, size)).astype(np.int32)
        stays = rng.exponential(people.customer_years * 365.25, size)
        segment = choose(rng, np.array(people.segment_shares), size).astype(np.int8)
        seeks_quality = rng.random(size) >= np.array(people.bargain_shares)[segment]
        shape = people.activity_shape
        return Customers(
            joined=joined,
            churned=(np.maximum(joined, self.first_day) + 1 + stays).astype(np.int32),
            cell=(choose(rng, self.region_share, size) * 2 + seeks_quality).astype(np.int8),
            segment=segment,
            activity=rng.gamma(shape, 1 / shape, size).astype(np.float32),
        )

    def title(self, product: int, category: int, subcategory: int, words: int) -> str:
        """A name that is longer the better the listing is made."""
        name = self.categories.subcategories[category][subcategory].capitalize()
        number = product * 2654435761 % 2**32
        extras = [_EXTRAS[(number + n) % len(_EXTRAS)] for n in range(words)]
        return ", ".join([f"{name} {_QUALITIES[number % len(_QUALITIES)]} No. {product}", *extras])


def month_of(day: int) -> int:
    found = date.fromordinal(day)
    return found.year * 12 + found.month - 1


def month_days(month: int) -> tuple[int, int]:
    """First day of a month, and of the next."""
    return date(month // 12, month % 12 + 1, 1).toordinal(), date(
        (month + 1) // 12, (month + 1) % 12 + 1, 1
    ).toordinal()


def day_of_year(day: int) -> int:
    return date.fromordinal(day).timetuple().tm_yday - 1


def _categories(parameters: Parameters) -> Categories:
    count = parameters.scale.categories
    base = list(_CATEGORIES)
    names = tuple(base[i % len(base)] + (f" {i // len(base) + 1}" if i >= len(base) else "") for i in range(count))
    rng = stream(parameters.seed, "categories")
    strength, gift = parameters.seasons.strength, parameters.seasons.gift_lift
    days = np.arange(366)
    before_christmas = np.clip((days - 315) / 30, 0, 1) * (days <= 358)
    curves = []
    # Drawn one by one, so that a marketplace with one category more has the same others.
    share, price, returns, taste = [], [], [], []
    for number in range(count):
        amplitude, second = strength * rng.lognormal(-0.1, 0.45), strength * 0.3 * rng.random()
        peak, second_peak = rng.uniform(0, 365.25, 2)
        curve = np.exp(
            amplitude * np.cos(2 * np.pi * (days - peak) / 365.25)
            + second * np.cos(4 * np.pi * (days - second_peak) / 365.25)
            + gift * rng.gamma(4.0) / 4 * before_christmas
        )
        curves.append(curve / curve.mean())
        share.append(rng.lognormal(0, 0.3) / (number + 2) ** 0.6)
        price.append(100 * rng.lognormal(np.log(18), 0.6))
        returns.append(rng.lognormal(-0.1, 0.45))
        liking = np.exp(rng.normal(0, parameters.demand.region_taste, len(REGIONS)))[: parameters.scale.regions]
        taste.append(liking)
    return Categories(
        names=names,
        subcategories=tuple(_CATEGORIES[base[i % len(base)]] for i in range(count)),
        share=_normal(np.array(share)),
        taste=np.array(taste).T,
        price=np.array(price),
        returns=np.array(returns),
        curve=np.array(curves),
    )


def _size(rng: np.random.Generator, cohort: int, before: int, a_month: float) -> int:
    return before if cohort == 0 else int(rng.poisson(a_month))


def _normal(weights: np.ndarray) -> np.ndarray:
    total: np.ndarray = weights / weights.sum()
    return total


def _concatenate(parts: list[Any]) -> Any:
    """One object of the parts' class with each array field joined; fields that are such objects likewise."""
    found = {}
    for field in fields(parts[0]):
        values = [getattr(part, field.name) for part in parts]
        found[field.name] = np.concatenate(values) if isinstance(values[0], np.ndarray) else _concatenate(values)
    return type(parts[0])(**found)
