"""How many graduate who should not? (`python -m benchmarks incubation.brushing`)

A simulated shop in which launches differ in their true rate (orders per impression); true hits are the top tenth of
their category. Some launches are **pushed**: ten times the impressions of the others. Some merchants **brush**: poor
launches whose owner orders his own product week by week from a few accounts, and half of these send it back.

Every week each way of graduating sees what a shop sees: impressions, orders, units, buyers, the biggest buyer's share,
refunds. The ladder is the product's own `ml.incubation.ladder.climb`; the chance it is given knows nothing but orders
per impression, brushed ones included, as a launch model would that nobody warned.
"""

import sys
from collections import defaultdict

import numpy as np
import pandas as pd
from scipy.stats import gamma

from ml.incubation.belief import TOP, Floats, rates
from ml.incubation.brushing import suspicions
from ml.incubation.ladder import climb
from ml.incubation.policy import Policy

SEEDS = 20
LAUNCHES, CATEGORIES, WEEKS = 600, 6, 12
SHOWN_A_WEEK = 400
PUSHED, PUSH = 0.15, 10
BRUSHED = 0.1
MOST_ACCOUNTS = 12
POLICY = Policy()
WAYS = ("rate by raw units", "orders per impression", "… without suspects", "**the ladder**")


class Shop:
    """Launches and what was seen of them so far."""

    def __init__(self, seed: int) -> None:
        rng = self.rng = np.random.default_rng(seed)
        self.category = np.arange(LAUNCHES) % CATEGORIES
        self.rate = rng.beta(2, 98, LAUNCHES)
        order = pd.Series(self.rate).groupby(self.category).rank(ascending=False)
        self.hit = (order <= TOP * LAUNCHES / CATEGORIES).to_numpy()
        self.pace = SHOWN_A_WEEK * rng.lognormal(0, 0.5, LAUNCHES)
        self.pushed = rng.random(LAUNCHES) < PUSHED
        self.pace[self.pushed] *= PUSH
        poor = self.rate < np.median(self.rate)
        self.brushed = poor & (rng.random(LAUNCHES) < BRUSHED / poor.mean())
        self.accounts = np.where(self.brushed, rng.integers(1, MOST_ACCOUNTS + 1, LAUNCHES), 0)
        self.fakes = np.where(self.brushed, rng.integers(8, 40, LAUNCHES), 0)
        self.sends_back = self.brushed & (rng.random(LAUNCHES) < 0.5)
        sells = pd.Series(18 * (self.pace * self.rate + self.fakes))
        self.bestseller = sells.groupby(self.category).transform("quantile", 1 - TOP).to_numpy()
        self.shown, self.orders, self.faked = (np.zeros(LAUNCHES, dtype=np.int64) for _ in range(3))
        self.previous = np.full(LAUNCHES, None, dtype=object)
        self.week = 0

    def live(self) -> None:
        """One week. Whoever orders his own product opens its page, which counts as an impression."""
        self.week += 1
        impressions = self.rng.poisson(self.pace)
        self.shown += impressions + self.fakes
        self.orders += self.rng.binomial(impressions, self.rate)
        self.faked += self.fakes

    def scores(self) -> pd.DataFrame:
        """What a launch model that knows nothing but the rate would publish."""
        every = self.orders + self.faked
        # One honest order in twenty is a second one; each account orders as often as the others.
        buyers = np.ceil(0.95 * self.orders) + np.where(self.faked > 0, self.accounts, 0)
        biggest = np.maximum(np.minimum(2, self.orders), np.ceil(self.faked / np.maximum(self.accounts, 1)))
        returned = np.floor(0.05 * self.orders) + np.where(self.sends_back, self.faked, 0)
        frame = pd.DataFrame(
            {
                "product_id": [f"p{i:04d}" for i in range(LAUNCHES)],
                "category": self.category.astype(str),
                "age_weeks": self.week,
                "age_days": 7 * self.week,
                "evidence": "exposure",
                "rate_mean": 0.02,
                "rate_strength": 100.0,
                "impressions_so_far": self.shown,
                "orders_so_far": every,
                "units_so_far": every,
                "buyers_so_far": buyers,
                "largest_buyer_share": biggest / np.maximum(every, 1),
                "largest_address_share": np.nan,
                "refunded_units_so_far": returned,
                "gmv_so_far": every.astype(float),
                "gmv_per_unit": 1.0,
                "relisted_of": None,
                "listed_on": None,
                "bestseller_gmv": self.bestseller,
                "previous": self.previous,
            }
        )
        chance = rates(frame).pull
        return frame.assign(probability=chance, probability_low=chance, probability_high=chance)


def by_units(orders: Floats, weeks: int, category: np.ndarray) -> np.ndarray:
    """Who is in the top tenth of orders a week with chance `pull_at` (gamma-Poisson, prior by moments)."""
    found = np.zeros(LAUNCHES, dtype=bool)
    for name in np.unique(category):
        of = category == name
        mean, variance = orders[of].mean(), orders[of].var()
        scale = max((variance - mean) / mean, 1e-6)
        shape = mean / scale
        line = gamma.ppf(1 - TOP, shape, scale=scale / weeks)
        posterior = gamma.sf(line, shape + orders[of], scale=1 / (weeks + weeks / scale))
        found[of] = posterior >= POLICY.pull_at
    return found


def main() -> None:
    counted: dict[str, list[tuple[int, ...]]] = defaultdict(list)
    frozen_wrongly, caught = [], defaultdict(list)
    for seed in range(SEEDS):
        print(f"seed {seed} …", file=sys.stderr, flush=True)
        shop = Shop(seed)
        graduates = {way: np.zeros(LAUNCHES, dtype=bool) for way in WAYS}
        frozen = np.zeros(LAUNCHES, dtype=bool)
        for _ in range(WEEKS):
            shop.live()
            scores = shop.scores()
            believed = rates(scores)
            staged = climb(scores, believed, POLICY)
            old = shop.week >= POLICY.least_weeks
            enough = (scores["buyers_so_far"] >= POLICY.least_buyers).to_numpy() & old
            sure = (believed.pull >= POLICY.pull_at) & (shop.shown >= POLICY.least_impressions) & enough
            honest = suspicions(scores, POLICY) == ""
            graduates[WAYS[0]] |= by_units(scores["orders_so_far"].to_numpy(float), shop.week, shop.category) & enough
            graduates[WAYS[1]] |= sure
            graduates[WAYS[2]] |= sure & honest
            graduates[WAYS[3]] = staged.stage == "graduate"
            frozen = staged.stage == "frozen"
            shop.previous = staged.stage
        for way in WAYS:
            wrong = graduates[way] & ~shop.hit
            counted[way].append(
                (
                    int(graduates[way].sum()),
                    int(wrong.sum()),
                    int((wrong & shop.pushed).sum()),
                    int((wrong & shop.brushed).sum()),
                    int((graduates[way] & shop.hit).sum()),
                    int(shop.hit.sum()),
                )
            )
        frozen_wrongly.append(int((frozen & ~shop.brushed).sum()))
        for few, many in ((1, 4), (5, 8), (9, 12)):
            of = shop.brushed & (shop.accounts >= few) & (shop.accounts <= many)
            caught[few, many].append(frozen[of].mean())
    print(
        f"Means of {SEEDS} seeds of {LAUNCHES} launches after {WEEKS} weeks, {PUSHED:.0%} of them pushed "
        f"({PUSH} times the impressions), {BRUSHED:.0%} brushed by 1 to {MOST_ACCOUNTS} accounts.\n\n"
        "| graduates by | graduates | false | pushed | brushed | of true hits |\n|---|---:|---:|---:|---:|---:|"
    )
    for way in WAYS:
        every, wrong, pushed, brushed, right, hits = np.mean(counted[way], axis=0)
        print(f"| {way} | {every:.1f} | {wrong:.1f} | {pushed:.1f} | {brushed:.1f} | {right:.1f} of {hits:.0f} |")
    raw, ours = (np.array([run[1] for run in counted[way]]) for way in (WAYS[0], WAYS[3]))
    share = [(one / other) for one, other in zip(ours, raw, strict=True)]
    by_accounts = ", ".join(f"{few} to {many} accounts {np.mean(seen):.0%}" for (few, many), seen in caught.items())
    print(
        f"\nFalse graduates of the ladder: {ours.sum() / raw.sum():.0%} of those by raw units "
        f"({min(share):.0%} to {max(share):.0%} by seed). Of the brushed, frozen in the last week: {by_accounts}. "
        f"Frozen though honest: {np.mean(frozen_wrongly):.1f} of {LAUNCHES}."
    )


if __name__ == "__main__":
    main()
