"""Stages of new products and tomorrow's exposure: pure functions, frozen inputs to decisions with reasons.

Impressions are what a new product lives on. When this file is wrong, tomorrow's bestseller is never seen, or the
budget goes to what has already proved it does not sell.

Exposure follows top-two Thompson sampling (Russo 2020, "Simple Bayesian algorithms for best-arm identification",
sec. 3) for a set of winners: half of it goes to those a draw from what is believed puts on top, half to their closest
rivals. Giving everything to the highest chance finds far fewer of the true winners, because it never looks at the
rest again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import Literal

import numpy as np

from coldframe.errors import ConfigurationError

Stage = Literal["seed", "incubate", "graduate", "retire"]

BUDGET, PRODUCT_CAP, MERCHANT_CAP, FLOOR, NONE = "budget", "product cap", "merchant cap", "floor for seeds", "stage"


@dataclass(frozen=True)
class Policy:
    """When a launch changes its stage, and what bounds its exposure.

    Chances are of becoming a bestseller. `graduate_at`: the lower bound must reach it, unless sales already prove it.
    `retire_below`: the upper bound must lie below it. `least_buyers` (units, where buyers are not known) and
    `least_weeks`: evidence without which nothing is decided; `retire_weeks`: no launch is let go before. `seed_share`
    of the budget is kept for seeds, at most `seed_most` each. `product_cap` is a share of the budget, `merchant_cap` of
    what seeds leave.
    """

    graduate_at: float = 0.5
    retire_below: float = 0.02
    least_buyers: int = 5
    least_weeks: int = 2
    retire_weeks: int = 6
    product_cap: float = 0.05
    merchant_cap: float = 0.25
    seed_share: float = 0.3
    seed_most: int = 10
    draws: int = 400


@dataclass(frozen=True)
class Launch:
    """What is known of a recent launch. `chance` with its 80 % bounds; `previous` is its stage in the last plan.

    `gmv` is what it sold so far, `bestseller_gmv` what the top tenth of its category sold at least in the last quarter
    (None: too few products to say). `buyers` is None where the source does not say who buys; then `units` must do.
    """

    product_id: str
    merchant_id: str
    age_weeks: int
    chance: float
    chance_low: float
    chance_high: float
    buyers: int | None
    gmv: float = 0.0
    bestseller_gmv: float | None = None
    previous: Stage | None = None
    units: int = 0


@dataclass(frozen=True)
class Staging:
    """A stage and why."""

    stage: Stage
    reason: str


@dataclass(frozen=True)
class Exposure:
    """Tomorrow's impressions of a launch, the propensity with which it was chosen (0..1), and what bounds it."""

    impressions: int
    propensity: float
    binding: str


def stage(launch: Launch, policy: Policy) -> Staging:  # noqa: PLR0911 (one return a rule)
    """The stage of one launch: seed -> incubate -> graduate or retire.

    What has already sold like a bestseller graduates from anywhere; a chance moves a launch one step at a time, because
    one good week moves a chance. Graduates stay, and so do the retired unless their upper bound has risen to twice the
    line they fell below. Too little evidence leaves a launch where it is, undecided; that is never counted against it.
    """
    weeks = launch.age_weeks + 1
    lived = "1 week" if weeks == 1 else f"{weeks} weeks"
    bounds = f"{launch.chance_low:.1%} – {launch.chance_high:.1%}"
    if launch.previous == "graduate":
        return Staging("graduate", "graduated before; it now competes with everything else")
    if launch.previous == "retire":
        if launch.chance_high < 2 * policy.retire_below:
            return Staging("retire", f"retired before, and its chance ({bounds}) has not come back")
        return Staging("incubate", f"retired before, but its chance has come back ({bounds})")
    seen, what = (launch.units, "unit") if launch.buyers is None else (launch.buyers, "buyer")
    if seen < policy.least_buyers or weeks < policy.least_weeks:
        needed = f"{policy.least_buyers} {what}s and {policy.least_weeks} weeks"
        return Staging("seed", f"undecided: {seen:,} {what}{'s' * (seen != 1)} in {lived}; deciding takes {needed}")
    if launch.bestseller_gmv is not None and launch.gmv >= launch.bestseller_gmv > 0:
        return Staging(
            "graduate",
            f"sold {launch.gmv:,.0f} in {lived}, as much as its category's top tenth in a quarter "
            f"({launch.bestseller_gmv:,.0f})",
        )
    if launch.chance_low >= policy.graduate_at:
        if launch.previous is None or launch.previous == "seed":
            return Staging("incubate", f"its chance ({bounds}) is enough to graduate; one step at a time")
        return Staging("graduate", f"even the lower bound of its chance ({bounds}) reaches {policy.graduate_at:.0%}")
    if launch.chance_high < policy.retire_below:
        if weeks < policy.retire_weeks:
            return Staging("incubate", f"its chance is small ({bounds}), but {lived} are too early to let it go")
        return Staging("retire", f"even the upper bound of its chance ({bounds}) is below {policy.retire_below:.0%}")
    return Staging("incubate", f"its chance ({bounds}) is neither sure to reach {policy.graduate_at:.0%} nor hopeless")


def expose(
    launches: Sequence[Launch], stages: Mapping[str, Stage], budget: int, policy: Policy, seed: int
) -> dict[str, Exposure]:
    """Tomorrow's impressions of every launch; their sum never exceeds `budget`, and more budget never takes any away.

    Seeds share `seed_share` of the budget evenly, at most `seed_most` each; the rest goes to seeds and incubated
    launches by propensity, within the caps of product and merchant; the product's also holds with what seeds are given.
    `seed` makes the draws repeatable. Fractions of impressions are not handed out. Raises ConfigurationError for a
    negative budget or a launch named twice.
    """
    if budget < 0:
        raise ConfigurationError(f"The exposure budget is {budget}; it cannot be negative.")
    if len({launch.product_id for launch in launches}) < len(launches):
        raise ConfigurationError("A launch is named twice; each product has one stage and one share of exposure.")
    live = sorted(
        (launch for launch in launches if stages[launch.product_id] in ("seed", "incubate")),
        key=lambda launch: launch.product_id,
    )
    result = {launch.product_id: Exposure(0, 0.0, NONE) for launch in launches}
    if not live:
        return result
    seeds = sum(stages[launch.product_id] == "seed" for launch in live)
    pot = min(policy.seed_share * budget, policy.seed_most * seeds)
    each = floor(pot / seeds) if seeds else 0
    most = floor(policy.product_cap * budget + 1e-9)
    believed = propensities(live, policy.draws, seed)
    shares, bound = _within_caps(believed, [launch.merchant_id for launch in live], policy)
    for launch, propensity, share, held_by in zip(live, believed, shares, bound, strict=True):
        earned = floor(share * (budget - pot) + 1e-9)
        is_seed = stages[launch.product_id] == "seed"
        given = earned + each * is_seed
        binding = PRODUCT_CAP if given > most else FLOOR if is_seed and not earned else held_by
        result[launch.product_id] = Exposure(min(given, most), round(float(propensity), 6), binding)
    return result


def propensities(launches: Sequence[Launch], draws: int, seed: int) -> np.ndarray:
    """Probability [launch] that a unit of exposure goes to it under top-two Thompson sampling; sums to 1.

    What is believed of a launch is the Beta distribution with its chance as mean and the width of its interval. Each
    draw's winners are as many as bestsellers are expected.
    """
    mean = np.clip([launch.chance for launch in launches], 1e-4, 1 - 1e-4)
    width = np.array([launch.chance_high - launch.chance_low for launch in launches]) / 2.563
    weight = np.clip(mean * (1 - mean) / np.maximum(width, 1e-3) ** 2 - 1, 2, 5000)
    winners = min(max(1, ceil(mean.sum())), len(launches))
    rng = np.random.default_rng(seed)
    counts = np.zeros(len(launches))
    for _ in range(draws):
        first = _top(rng.beta(mean * weight, (1 - mean) * weight), winners)
        counts[first] += 1
        second = rng.beta(mean * weight, (1 - mean) * weight)
        if winners < len(launches):
            second[first] = -1
            counts[_top(second, min(winners, len(launches) - winners))] += 1
    return counts / counts.sum()


def _top(values: np.ndarray, count: int) -> np.ndarray:
    return np.argpartition(-values, count - 1)[:count]


def _within_caps(weights: np.ndarray, merchants: Sequence[str], policy: Policy) -> tuple[np.ndarray, list[str]]:
    """Weights scaled to shares that respect both caps; what a cap takes goes to the others in proportion."""
    _, group = np.unique(merchants, return_inverse=True)
    share = weights.copy()
    held = np.zeros(len(weights), dtype=bool)
    binding = [BUDGET] * len(weights)
    for _ in range(len(weights) + 1):
        by_product = (share > policy.product_cap + 1e-12) & ~held
        if by_product.any():
            share[by_product] = policy.product_cap
            _hold(by_product, PRODUCT_CAP, held, binding)
        total = np.bincount(group, weights=share)
        over = total > policy.merchant_cap + 1e-12
        if over.any():
            inside = over[group]
            share[inside] *= (policy.merchant_cap / total[group])[inside]
            _hold(inside, MERCHANT_CAP, held, binding)
        free = 1 - share[held].sum()
        open_ = share[~held].sum()
        if not by_product.any() and not over.any():
            break
        if open_ <= 0:
            break
        share[~held] *= free / open_
    return share, binding


def _hold(where: np.ndarray, why: str, held: np.ndarray, binding: list[str]) -> None:
    held |= where
    for index in np.flatnonzero(where):
        binding[index] = why
