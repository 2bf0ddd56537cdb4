"""Tomorrow's impressions of new products: who is shown, on which channel and in which region, and with what propensity.

Impressions are what a new product lives on. When this file is wrong, tomorrow's bestseller is never seen, the budget
goes to what has already shown that it does not sell, or nobody can tell afterwards luck from merit.

To **find** winners, exposure follows top-two Thompson sampling (Russo 2020, "Simple Bayesian algorithms for best-arm
identification", sec. 3.3) for a set of them: two draws from what is believed each name a set of winners, and what is
shown are the products in one set but not in the other, because only they are in doubt (LUCB's border, Kalyanakrishnan
et al. 2012, "PAC subset selection", sec. 3). A product that a draw names with probability p is in dispute with
probability 2 p (1 - p). To **earn**, a product is shown as often as a draw names it (Thompson 1933).

Whatever the shares, they are turned into whole impressions by systematic sampling (Madow 1949, "On the theory of
systematic sampling II"): the expected impressions of a product on a surface are its share of the budget exactly. That
share is the propensity that is logged.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

import numpy as np
import numpy.typing as npt
import pandas as pd

from coldframe.errors import ConfigurationError
from ml.incubation.belief import Floats, Rates, bestseller, chances, demands, with_exposure
from ml.incubation.ladder import PLAYING
from ml.incubation.policy import OTHER_TIERS, Policy

Ints = npt.NDArray[np.int64]

BUDGET, FLOOR, GUARANTEE, STAGE = "budget", "floor for seeds", "guarantee", "stage"
PRODUCT_CAP, MERCHANT_CAP, CATEGORY_CAP = "product cap", "merchant cap", "category cap"
_ROUNDS = 100
_LITTLE = 1e-6
_PARTS = 2**30
"""Of an impression."""


@dataclass(frozen=True)
class Surfaces:
    """Where a product may be shown, (channel, region) [surface], and how the impressions of each category are shared
    over them, [category, surface], each row summing to 1."""

    names: tuple[tuple[str, str], ...]
    shares: pd.DataFrame

    @classmethod
    def everywhere(cls, launches: pd.DataFrame) -> "Surfaces":
        """One surface "all", "all": where nobody counts impressions."""
        return cls((("all", "all"),), pd.DataFrame({0: 1.0}, index=sorted(set(launches["category"]))))


@dataclass(frozen=True)
class Exposure:
    """Tomorrow's `impressions` and `propensity` [launch, surface], and what `binding` limits each launch [launch].

    A propensity is the chance that an impression of the plan goes to this product on this surface; all of them sum to 1
    where anything is handed out. It is 0 for launches that are out of play (graduated, retired, frozen) and at least
    `floor` for every launch that a cap leaves anything at all. `notes` are what whoever approves the plan should know.
    """

    impressions: Ints
    propensity: Floats
    binding: list[str]
    floor: float
    notes: tuple[str, ...]


def expose(
    launches: pd.DataFrame, rates: Rates, surfaces: Surfaces, budget: int, policy: Policy, seed: int
) -> Exposure:
    """Shares `budget` impressions among the launches in play. `launches` are scores with their `stage`, one row each.

    Seeds have floors: what their merchant's tier is guaranteed, else an even share of `seed_share` of the budget, at
    most `seed_most`. The rest follows the policy's objective. Neither budget nor any cap is ever exceeded, floors
    included; what a cap takes goes to the others in proportion. Raises ConfigurationError for a budget below what is
    guaranteed.
    """
    launches = launches.reset_index(drop=True)
    playing = np.flatnonzero(launches["stage"].isin(PLAYING).to_numpy())
    binding = np.full(len(launches), STAGE, dtype=object)
    impressions = np.zeros((len(launches), len(surfaces.names)), dtype=np.int64)
    propensity = np.zeros(impressions.shape)
    if not len(playing) or not budget:
        binding[playing] = BUDGET
        notes = (f"the exposure budget is 0: none of the {len(playing):,} launches in play is shown",) * bool(
            len(playing)
        )
        _guaranteed(launches.iloc[playing], budget, policy)
        return Exposure(impressions, propensity, list(binding), 0.0, notes)
    rows = launches.iloc[playing].sort_values(["category", "merchant_id", "product_id"], na_position="last")
    place = rows.index.to_numpy()
    rng = np.random.default_rng(seed)
    caps = _caps(rows, budget, policy)
    floors, kinds, told = _floors(rows, budget, policy, caps)
    wanted = propensities(rows, rates.of(place), policy, rng)
    given, held_by = _fill(floors, wanted, caps, float(budget))
    spread = given[:, None] * surfaces.shares.loc[rows["category"]].to_numpy()
    whole = _whole(spread, rng)
    impressions[place] = whole
    propensity[place] = spread / max(spread.sum(), _LITTLE)
    binding[place] = np.where((floors > given / 2) & (held_by == BUDGET), kinds, held_by)
    least = float(propensity[place].sum(axis=1).min())
    notes = (*told, *_left_over(int(whole.sum()), budget, held_by))
    return Exposure(impressions, propensity, list(binding), least, notes)


def propensities(launches: pd.DataFrame, rates: Rates, policy: Policy, rng: np.random.Generator) -> Floats:
    """Chance [launch] that an impression goes to it by the policy's objective, before caps; sums to 1.

    `explore` of it is even, so that none is 0: no launch is so hopeless that nobody could ever learn otherwise.
    """
    count = len(launches)
    winners = ceil(1 / policy.product_cap) if policy.objective == "earn" else ceil(launches["probability"].sum())
    winners = min(max(1, winners), count)
    draw = _draws(launches, rates, policy)
    named = np.zeros(count)
    for _ in range(policy.draws):
        named[np.argpartition(-draw(rng), winners - 1)[:winners]] += 1
    chance = named / policy.draws
    weight = chance if policy.objective == "earn" else _doubt(chance, launches)
    even = np.full(count, 1 / count)
    if weight.sum() <= 0:
        return even
    return (1 - policy.explore) * weight / weight.sum() + policy.explore * even


def _doubt(chance: Floats, launches: pd.DataFrame) -> Floats:
    """How much a launch is in dispute [launch]: by the draws, and where these are of rates by the launch model as well,
    which knows more than rates. The model's doubts count as much as it tells launches apart: by the share of the
    variance of outcomes that it explains if it is right."""
    disputed = chance * (1 - chance)
    model = launches["probability"].to_numpy(dtype=float)
    unsettled = model * (1 - model)
    if not with_exposure(launches).all() or not unsettled.any():
        return disputed
    told = float(np.clip(model.var() / (model.mean() * (1 - model.mean())), 0, 1))
    both: Floats = (1 - told) * disputed / max(disputed.sum(), _LITTLE) + told * unsettled / unsettled.sum()
    return both


def _draws(launches: pd.DataFrame, rates: Rates, policy: Policy) -> Callable[[np.random.Generator], Floats]:
    """Draws [launch] of what the objective ranks by.

    earn: GMV, per impression or at maturity. find: how near a launch comes to a bestseller of its category: per
    impression the GMV it brings over what a bestseller sells, else its chance.
    """
    if with_exposure(launches).all():
        value = rates.gmv_per_order if policy.objective == "earn" else rates.gmv_per_order / bestseller(launches)
        return lambda rng: rng.beta(rates.a, rates.b) * value
    if policy.objective == "earn":
        per_unit = launches["gmv_per_unit"].to_numpy(dtype=float)
        middle, spread = demands(launches)
        return lambda rng: np.exp(rng.normal(middle, spread)) * per_unit
    a, b = chances(launches)
    return lambda rng: rng.beta(a, b)


@dataclass(frozen=True)
class _Cap:
    """Most impressions of each group, [group], and the group of each launch [launch]."""

    name: str
    group: Ints
    most: Floats


def _caps(rows: pd.DataFrame, budget: int, policy: Policy) -> list[_Cap]:
    """Product, merchant and category. A product may get twice an even share, so that few launches can use up the budget
    and still not all alike. A merchant's is less by one for each further category it is in: whole impressions are
    rounded in each of them."""
    product = np.full(len(rows), _most(max(policy.product_cap, 2 / len(rows)), budget))
    found = [_Cap(PRODUCT_CAP, np.arange(len(rows)), product)]
    for name, column, share in (
        (MERCHANT_CAP, "merchant_id", policy.merchant_cap),
        (CATEGORY_CAP, "category", policy.category_cap),
    ):
        group, names = pd.factorize(rows[column], use_na_sentinel=False)
        most = np.full(len(names), _most(max(share, 1 / len(names)), budget))
        if name == MERCHANT_CAP:
            categories = rows.groupby(group)["category"].nunique().to_numpy()
            most = np.maximum(most - (categories - 1), 0.0)
        found.append(_Cap(name, group, most))
    return found


def _most(share: float, budget: int) -> float:
    return max(1.0, np.floor(share * budget + 1e-9))


def _guaranteed(rows: pd.DataFrame, budget: int, policy: Policy) -> Floats:
    """What each launch is guaranteed, [launch]. Raises ConfigurationError where the budget does not suffice."""
    if not policy.guarantees:
        return np.zeros(len(rows), dtype=np.float64)
    entitled = (rows["stage"] == "seed") & rows["relisted_of"].isna()
    tiers = rows["merchant_tier"].where(rows["merchant_tier"].isin(list(policy.guarantees)), OTHER_TIERS)
    promised = tiers.map(policy.guarantees).fillna(0).where(entitled, 0)
    if promised.sum() > budget:
        each = promised[promised > 0].groupby(tiers).agg(["size", "max"])
        told = ", ".join(f"{size:,.0f} of tier {tier} at {most:,.0f}" for tier, (size, most) in each.iterrows())
        raise ConfigurationError(
            f"The exposure budget is {budget:,} impressions, but seeds are guaranteed {promised.sum():,.0f} ({told}). "
            "Raise --exposure-budget, or lower `guarantees` in the policy."
        )
    return np.asarray(promised, dtype=np.float64)


def _floors(
    rows: pd.DataFrame, budget: int, policy: Policy, caps: list[_Cap]
) -> tuple[Floats, npt.NDArray[np.object_], list[str]]:
    """Impressions each launch has before anything is drawn, within the caps, and what they are called [launch].

    A relisted product has been a seed under another name, so it has no floor.
    """
    promised = _guaranteed(rows, budget, policy)
    seeds = ((rows["stage"] == "seed") & rows["relisted_of"].isna()).to_numpy()
    pot = min(policy.seed_share * budget, budget - promised.sum())
    even = min(pot / max(seeds.sum(), 1), policy.seed_most) * seeds
    wanted = np.maximum(promised, np.where(promised > 0, 0.0, even))
    floors = wanted.copy()
    notes = []
    for cap in caps:
        total = np.bincount(cap.group, weights=floors, minlength=len(cap.most))
        floors *= np.minimum(1.0, cap.most / np.maximum(total, _LITTLE))[cap.group]
    short = (promised > 0) & (floors < promised - _LITTLE)
    if short.any():
        merchants = rows.loc[short, "merchant_id"].nunique()
        notes.append(f"a cap comes before what is guaranteed to {short.sum():,} seeds of {merchants:,} merchants")
    if seeds.any() and even.max() < min(1, policy.seed_most):
        notes.append(f"less than one impression is kept for each of {seeds.sum():,} seeds: raise --exposure-budget")
    return floors, np.where(promised > 0, GUARANTEE, FLOOR).astype(object), notes


def _fill(floors: Floats, weights: Floats, caps: list[_Cap], budget: float) -> tuple[Floats, npt.NDArray[np.object_]]:
    """Shares of the budget [launch] in proportion to the weights on top of the floors, and the cap that holds each.

    In each round what is left goes to those no cap holds yet, so rounds are at most as many as caps and in practice
    few; what a last round would hand out is less than one impression.
    """
    given = floors.copy()
    held = np.full(len(given), BUDGET, dtype=object)
    free = np.ones(len(given), dtype=bool)
    for _ in range(_ROUNDS):
        left = budget - given.sum()
        if left < _LITTLE or not free.any():
            break
        more = np.where(free, weights, 0.0)
        more *= left / more.sum()
        allowed = np.ones(len(given))
        for cap in caps:
            room = np.maximum(cap.most - np.bincount(cap.group, weights=given, minlength=len(cap.most)), 0.0)
            asked = np.bincount(cap.group, weights=more, minlength=len(cap.most))
            allowed = np.minimum(allowed, np.minimum(1.0, room / np.maximum(asked, 1e-300))[cap.group])
        given += more * allowed
        for cap in caps:
            full = np.bincount(cap.group, weights=given, minlength=len(cap.most)) >= cap.most - _LITTLE
            stopped = full[cap.group] & free
            held[stopped] = cap.name
            free &= ~stopped
    return given, held


def _left_over(given: int, budget: int, held_by: npt.NDArray[np.object_]) -> list[str]:
    """What is said where caps hold so many that the budget cannot be used up."""
    if given > budget - 1:
        return []
    caps = (PRODUCT_CAP, MERCHANT_CAP, CATEGORY_CAP)
    counts = {name: int((held_by == name).sum()) for name in caps}
    holding = ", ".join(f"{count:,} by the {name}" for name, count in counts.items() if count)
    fields = ", ".join(f"`{name.replace(' ', '_')}`" for name, count in counts.items() if count)
    return [
        f"only {given:,} of {budget:,} impressions are handed out, because every launch in play is held "
        f"({holding}): raise {fields} in the policy, or keep the rest for what has graduated"
    ]


def _whole(spread: Floats, rng: np.random.Generator) -> Ints:
    """Whole impressions [launch, surface] whose expectation is `spread` exactly.

    One uniform number shifts the steps of the running sum, so that every run of neighbours (a product over its
    surfaces, a category) gets its sum rounded down or up, and the caps on them hold.
    """
    # In whole numbers, because running sums of floats have errors, and a cap of 500 would one day become 501.
    parts = np.floor(spread.ravel() * _PARTS).astype(np.int64)
    sums = np.concatenate([[0], np.cumsum(parts)]) + rng.integers(_PARTS)
    found: Ints = np.diff(sums // _PARTS).reshape(spread.shape)
    return found
