"""Who finds the winners with the fewest impressions? (`python -m benchmarks incubation.exposure`)

Launches whose true rates (orders per impression) are drawn from Beta(2, 98); a budget handed out in daily batches.
Every way of sharing sees the same launches and believes by the same posterior, so that it is the sharing that is
judged. Ours is the product's own `ml.incubation.exposure.expose`, caps and floors for seeds switched off, because no
rival has any.

With the launch model as prior each launch begins with what 100 impressions of it would have told: a draw from
Binomial(100, rate) beside Beta(2, 98). What it costs to be as good without it is read off the same table.
"""

import os
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from math import ceil, log2

import numpy as np
import pandas as pd

from ml.incubation.belief import Floats, Rates
from ml.incubation.exposure import Surfaces, expose
from ml.incubation.policy import Policy

DAYS = 20
TOP = 5
PRIOR = 100
FREE = {"product_cap": 1.0, "merchant_cap": 1.0, "category_cap": 1.0, "seed_share": 0.0}
# Five times the draws of these, the default, would take an hour; what they are worth is told apart.
QUICK = {"draws": 200, "explore": 0.1}
FIND = Policy(objective="find", **FREE, **QUICK)
EARN = Policy(objective="earn", **FREE, **QUICK)
# Launches, budgets, and how many worlds are drawn: the more, the less a world costs.
WORLDS = (
    (50, (10_000, 20_000, 50_000, 100_000), 100),
    (500, (100_000, 200_000, 1_000_000), 30),
    (2_000, (200_000, 400_000, 2_000_000), 10),
)


@dataclass
class Run:
    """One world under one way of sharing: `a`, `b` are the posteriors [launch]."""

    truth: Floats
    a: Floats
    b: Floats
    rng: np.random.Generator
    orders: int = 0
    shown: int = 0
    scores: pd.DataFrame = field(init=False)

    def __post_init__(self) -> None:
        count = len(self.truth)
        self.scores = pd.DataFrame(
            {
                "product_id": [f"p{i:05d}" for i in range(count)],
                "merchant_id": "m",
                "category": "c",
                "stage": "incubate",
                "relisted_of": None,
                "merchant_tier": None,
                "evidence": "exposure",
                "probability": TOP / count,
                "gmv_per_unit": 1.0,
                "bestseller_gmv": 1.0,
            }
        )

    def show(self, impressions: np.ndarray) -> None:
        bought = self.rng.binomial(impressions, self.truth)
        self.a += bought
        self.b += impressions - bought
        self.orders += int(bought.sum())
        self.shown += int(impressions.sum())

    @property
    def mean(self) -> Floats:
        return self.a / (self.a + self.b)


Share = Callable[[Run, int, int, int], np.ndarray]
"""Impressions [launch] of a day: (run, day, budget of the day, seed)."""


def ours(policy: Policy) -> Share:
    def share(run: Run, day: int, budget: int, seed: int) -> np.ndarray:
        surfaces = Surfaces.everywhere(run.scores)
        unused = np.full(len(run.truth), np.nan)
        believed = Rates(run.a, run.b, np.ones(len(run.truth)), unused, unused, unused)
        found = expose(run.scores, believed, surfaces, budget, policy, seed * 1000 + day)
        return found.impressions[:, 0]

    return share


def spread(among: np.ndarray, count: int, budget: int) -> np.ndarray:
    """Evenly among some, the remainder to the first."""
    each = np.zeros(count, dtype=np.int64)
    each[among] = budget // len(among)
    each[among[: budget % len(among)]] += 1
    return each


def uniform(run: Run, day: int, budget: int, seed: int) -> np.ndarray:
    # Another launch has the remainder each day.
    return np.roll(spread(np.arange(len(run.truth)), len(run.truth), budget), day * (budget % len(run.truth)))


def halving(run: Run, day: int, budget: int, seed: int) -> np.ndarray:
    """Karnin, Koren & Somekh 2013, "Almost optimal exploration", alg. 3: as many rounds as halvings to the top."""
    count = len(run.truth)
    rounds = max(1, ceil(log2(count / TOP)))
    left = max(TOP, ceil(count / 2 ** (day * rounds // DAYS)))
    return spread(np.argsort(-run.mean, kind="stable")[:left], count, budget)


def greedy(run: Run, day: int, budget: int, seed: int) -> np.ndarray:
    return spread(np.array([int(np.argmax(run.mean))]), len(run.truth), budget)


def thompson(run: Run, day: int, budget: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng([seed, day])
    best = np.zeros(len(run.truth))
    for _ in range(FIND.draws):
        best[np.argmax(rng.beta(run.a, run.b))] += 1
    return rng.multinomial(budget, best / FIND.draws)


WAYS: dict[str, Share] = {
    "uniform": uniform,
    "successive halving": halving,
    "plain Thompson": thompson,
    "greedy": greedy,
    "**top-two (find)**": ours(FIND),
    "earn": ours(EARN),
}
DEFAULT = "top-two with the default draws"
CLOSER = {
    "**top-two (find)**": WAYS["**top-two (find)**"],
    DEFAULT: ours(Policy(objective="find", **FREE)),
    "successive halving": halving,
}
"""Who is looked at where impressions are a hundred a launch."""
THIN = ((500, 50_000, 30), (2_000, 200_000, 10))


def judged(name: str, count: int, budget: int, prior: int, seed: int) -> tuple[float, float, float]:
    """Precision at 5, reward share, and impressions a true hit cost, of one world."""
    rng = np.random.default_rng([seed, count])
    truth = rng.beta(2, 98, count)
    told = rng.binomial(PRIOR, truth)
    a, b = np.full(count, 2.0), np.full(count, 98.0)
    if prior:
        a, b = a + told, b + PRIOR - told
    run = Run(truth, a, b, np.random.default_rng([seed, count, 1]))
    for day in range(DAYS):
        run.show((WAYS | CLOSER)[name](run, day, budget // DAYS, seed))
    best = np.argsort(-truth)[:TOP]
    named = np.argsort(-run.mean, kind="stable")[:TOP]
    hits = len(np.intersect1d(best, named))
    reward = run.orders / max(run.shown, 1) / truth[best].mean()
    return hits / TOP, reward, run.shown / max(hits, 0.5)


def main() -> None:
    print(
        f"{DAYS} daily batches. *Precision*: of the five launches with the highest expected rate at the end, how many "
        "are of the true five; means of worlds, ± two standard errors of the gain on uniform over the same worlds. "
        "*Reward*: orders per impression over the mean rate of the true five. *Cost*: impressions spent for each true "
        "hit, medians.\n"
    )
    found: dict[tuple[int, int, int, str], np.ndarray] = {}
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for count, budgets, worlds in WORLDS:
            for prior in (0, 1):
                for budget in budgets:
                    print(f"{count} launches, {budget} impressions, prior {prior} …", file=sys.stderr, flush=True)
                    for name in WAYS:
                        world = partial(judged, name, count, budget, prior)
                        found[count, budget, prior, name] = np.array(list(pool.map(world, range(worlds), chunksize=4)))
    for prior, told in ((0, "Without a launch model"), (1, "With the launch model as prior")):
        print(
            f"\n{told}:\n\n| launches | budget | worlds | way | precision@5 | gain on uniform | reward | cost |\n"
            "|---:|---:|---:|---|---:|---:|---:|---:|"
        )
        for count, budgets, worlds in WORLDS:
            for budget in budgets:
                even = found[count, budget, prior, "uniform"][:, 0]
                for name in WAYS:
                    runs = found[count, budget, prior, name]
                    gain = runs[:, 0] - even
                    error = 2 * gain.std(ddof=1) / np.sqrt(worlds)
                    gained = "" if name == "uniform" else f"{gain.mean():+.2f} ± {error:.2f}"
                    print(
                        f"| {count:,} | {budget:,} | {worlds} | {name} | {runs[:, 0].mean():.2f} | {gained} | "
                        f"{runs[:, 1].mean():.2f} | {np.median(runs[:, 2]):,.0f} |"
                    )
    halved(found)
    closer()


def closer() -> None:
    """What more draws are worth."""
    print(
        "\nWhere impressions are a hundred a launch, a few hundred draws name too few launches, and chance decides who "
        f"is shown. With {Policy().draws:,} draws and {Policy().explore:.0%} shared evenly, which are the defaults, "
        f"instead of {FIND.draws} and {FIND.explore:.0%} (without a launch model):\n\n"
        "| launches | budget | worlds | way | precision@5 | reward |\n|---:|---:|---:|---|---:|---:|"
    )
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for count, budget, worlds in THIN:
            for name in CLOSER:
                runs = np.array(list(pool.map(partial(judged, name, count, budget, 0), range(worlds), chunksize=4)))
                told = f"{runs[:, 0].mean():.2f} ± {2 * runs[:, 0].std(ddof=1) / np.sqrt(worlds):.2f}"
                print(f"| {count:,} | {budget:,} | {worlds} | {name} | {told} | {runs[:, 1].mean():.2f} |", flush=True)


def halved(found: dict[tuple[int, int, int, str], np.ndarray]) -> None:
    """Half the budget with the prior beside the whole one without."""
    print(
        "\nHalf the exposure with the launch model, beside all of it without (top-two, precision@5):\n\n"
        "| launches | half, with | all, without | difference |\n|---:|---:|---:|---:|"
    )
    name = "**top-two (find)**"
    for count, budgets, worlds in WORLDS:
        for budget in budgets:
            if budget * 2 not in budgets:
                continue
            half, whole = found[count, budget, 1, name][:, 0], found[count, budget * 2, 0, name][:, 0]
            gain = half - whole
            error = 2 * gain.std(ddof=1) / np.sqrt(worlds)
            print(
                f"| {count:,} | {budget:,}: {half.mean():.2f} | {budget * 2:,}: {whole.mean():.2f} | "
                f"{gain.mean():+.2f} ± {error:.2f} |"
            )


if __name__ == "__main__":
    main()
