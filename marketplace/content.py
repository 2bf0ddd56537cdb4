"""Short videos, livestreams and boosts: what carries products to people who were not looking for them."""

from dataclasses import dataclass

import numpy as np

from marketplace.draws import stream
from marketplace.world import Population, World

VIDEO, LIVE = range(2)
VIDEO_DAYS = (0.35, 0.2, 0.15, 0.12, 0.08, 0.06, 0.04)
"""Shares of a video's viewers by day since it was published."""


@dataclass(frozen=True)
class Contents:
    """What began on one day. `creator`, `kind`, `begins` and `ends` (seconds of the day), `viewers` over all its days.

    `content` and `product` list what each carries, by position within the day.
    """

    day: int
    creator: np.ndarray
    kind: np.ndarray
    begins: np.ndarray
    ends: np.ndarray
    viewers: np.ndarray
    content: np.ndarray
    product: np.ndarray


@dataclass(frozen=True)
class Boosts:
    """Listings that might be boosted in a week: `impressions` a day, 0 for those that are not.

    `propensity` is the chance of being boosted; 1 for those that were chosen and not drawn.
    """

    product: np.ndarray
    region: np.ndarray
    impressions: np.ndarray
    propensity: np.ndarray


def on_sale(people: Population, day: int) -> np.ndarray:
    """Mask of the products that are launched and not delisted on `day`."""
    products = people.products
    mask: np.ndarray = (products.launched <= day) & (products.delisted > day)
    return mask


def contents(world: World, day: int) -> Contents:
    """Videos and livestreams that begin on `day`; none before the history begins."""
    p = world.parameters
    people = world.through(day)
    creators, products = people.creators, people.products
    rng = stream(p.seed, "content", day)
    here = (creators.joined <= day) & (day >= world.first_day)
    lives = rng.poisson(p.content.lives_a_week / 7 * here)
    videos = rng.poisson(p.content.videos_a_week / 7 * here)
    creator = np.concatenate([np.repeat(np.arange(len(here)), lives), np.repeat(np.arange(len(here)), videos)])
    kind = np.repeat([LIVE, VIDEO], [lives.sum(), videos.sum()])
    size = len(kind)
    reach = np.where(kind == LIVE, p.content.live_reach, p.content.video_reach)
    begins = np.where(kind == LIVE, rng.integers(9, 21, size) * 3600, rng.integers(6, 22, size) * 3600)
    begins = begins + 60 * rng.integers(0, 60, size)
    lasts = rng.integers(45, 160, size) * 60
    carries = np.where(kind == LIVE, rng.integers(4, 14, size), rng.integers(1, 4, size))
    owner = np.repeat(np.arange(size), carries)
    wanted = np.where(rng.random(len(owner)) < 0.75, creators.main[creator[owner]], -1)
    sold = np.flatnonzero(on_sale(people, day))
    sold = sold[np.argsort(products.category[sold], kind="stable")]
    edges = np.searchsorted(products.category[sold], np.arange(len(world.categories.names) + 1))
    low = np.where(wanted >= 0, edges[wanted], 0)
    high = np.where(wanted >= 0, edges[wanted + 1], len(sold))
    # Creators carry what is listed far up more often: the better of two.
    one, other = (sold[_between(rng, low, high, len(sold))] for _ in range(2))
    product = np.where(products.attention[one] >= products.attention[other], one, other)
    pairs = np.unique(np.column_stack([owner, product]), axis=0).reshape(-1, 2)
    return Contents(
        day=day,
        creator=creator,
        kind=kind,
        begins=begins,
        ends=np.where(kind == LIVE, np.minimum(begins + lasts, 86_399), -1),
        viewers=np.round(creators.followers[creator] * reach * rng.lognormal(0, 0.5, size)),
        content=pairs[:, 0],
        product=pairs[:, 1],
    )


def _between(rng: np.random.Generator, low: np.ndarray, high: np.ndarray, size: int) -> np.ndarray:
    """A position in [low, high) each; anywhere where that is empty."""
    empty = high <= low
    low, high = np.where(empty, 0, low), np.where(empty, size, high)
    found: np.ndarray = (low + np.floor(rng.random(len(low)) * (high - low))).astype(np.int64)
    return found


def boosts(world: World, monday: int) -> Boosts:
    """Who might be boosted from `monday` for a week: recent launches, by lot or because somebody believed in them."""
    p = world.parameters.boosts
    products = world.through(monday + 6).products
    rng = stream(world.parameters.seed, "boosts", monday)
    age = monday - products.launched
    recent = (age >= 0) & (age < 7 * p.novelty_weeks) & (products.delisted > monday + 6)
    product, region = np.nonzero(products.listed & recent[:, None])
    by_lot = rng.random(len(product)) < p.propensity
    belief = products.quality[product] + products.appeal[product] + rng.normal(0, 1, len(product))
    believed = belief > np.quantile(belief, 1 - p.targeted) if len(belief) else by_lot
    impressions = np.round(p.impressions * rng.lognormal(-0.1, 0.45, len(product)))
    return Boosts(
        product=product,
        region=region,
        impressions=np.where(by_lot | believed, impressions, 0),
        propensity=np.where(believed, 1.0, p.propensity),
    )
