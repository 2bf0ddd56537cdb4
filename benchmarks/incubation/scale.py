"""How long does a morning with 200,000 live launches take? (`python -m benchmarks incubation.scale`)

Scores of as many launches as a large marketplace has, in the columns of a growth release, over 12 surfaces. What is
timed is the product's own: scores checked, stages, exposure, and a line a launch.
"""

import resource
import time

import numpy as np
import pandas as pd

from ml.incubation.belief import rates
from ml.incubation.exposure import Surfaces, expose
from ml.incubation.ladder import climb
from ml.incubation.plan import check, plan
from ml.incubation.policy import Policy

LAUNCHES = 200_000
MERCHANTS, CATEGORIES = 20_000, 50
BUDGET = 20_000_000
CHANNELS = ("search", "feed", "live")
REGIONS = ("north", "south", "east", "west")
STAGES = np.array([None, "seed", "incubate", "graduate", "retire"], dtype=object)


def scores(rng: np.random.Generator) -> pd.DataFrame:
    """Launches of all ages; half of them were never bought."""
    rate = rng.beta(2, 98, LAUNCHES)
    shown = rng.integers(0, 3000, LAUNCHES)
    orders = rng.binomial(shown, rate)
    chance = np.clip(rate / 0.04 * rng.lognormal(0, 0.5, LAUNCHES) / 5, 0.001, 0.95)
    return pd.DataFrame(
        {
            "product_id": [f"p{i:06d}" for i in range(LAUNCHES)],
            "merchant_id": [f"m{i:05d}" for i in rng.integers(0, MERCHANTS, LAUNCHES)],
            "merchant_tier": rng.choice(["new", "silver", "gold"], LAUNCHES),
            "category": [f"c{i:02d}" for i in rng.integers(0, CATEGORIES, LAUNCHES)],
            "title": "A new product",
            "age_days": rng.integers(1, 182, LAUNCHES),
            "age_weeks": rng.integers(0, 26, LAUNCHES),
            "probability": chance,
            "probability_low": chance * 0.5,
            "probability_high": np.minimum(chance * 1.5, 1),
            "demand_mean": 50.0,
            "demand_q10": 5.0,
            "demand_q50": 30.0,
            "demand_q90": 120.0,
            "gmv_per_unit": rng.lognormal(3, 1, LAUNCHES),
            "rate_mean": 0.02,
            "rate_strength": 100.0,
            "impressions_so_far": shown,
            "orders_so_far": orders,
            "units_so_far": orders,
            "gmv_so_far": orders * 20.0,
            "buyers_so_far": orders,
            "largest_buyer_share": 0.1,
            "refunded_units_so_far": 0,
            "bestseller_gmv": 5_000.0,
            "evidence": "exposure",
            "rule_rank": 1,
            "reasons": "sold what it sold",
            "relisted_of": None,
        }
    )


def main() -> None:
    rng = np.random.default_rng(0)
    launches = scores(rng)
    before = dict(zip(launches["product_id"], rng.choice(STAGES, LAUNCHES), strict=True))
    names = tuple((channel, region) for channel in CHANNELS for region in REGIONS)
    shares = rng.dirichlet(np.full(len(names), 5.0), CATEGORIES)
    surfaces = Surfaces(names, pd.DataFrame(shares, index=[f"c{i:02d}" for i in range(CATEGORIES)]))
    policy = Policy()
    timed: dict[str, float] = {}

    def clock(what: str, since: float) -> float:
        now = time.perf_counter()
        timed[what] = now - since
        return now

    now = time.perf_counter()
    check(launches)
    now = clock("scores checked", now)
    believed = rates(launches)
    staged = climb(launches.assign(previous=launches["product_id"].map(before)), believed, policy)
    now = clock("stages", now)
    exposure = expose(launches.assign(stage=staged.stage), believed, surfaces, BUDGET, policy, seed=1)
    now = clock("exposure", now)
    planned = plan(launches, before, surfaces, BUDGET, policy, seed=1)
    clock("all of it, with a line a launch", now)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    in_play = int(np.isin(staged.stage, ["seed", "incubate"]).sum())
    print(
        f"{LAUNCHES:,} live launches of {MERCHANTS:,} merchants in {CATEGORIES} categories, {len(names)} surfaces, "
        f"{BUDGET:,} impressions; {in_play:,} launches in play.\n\n| what | seconds |\n|---|---:|"
    )
    for what, seconds in timed.items():
        print(f"| {what} | {seconds:.1f} |")
    shown = int((exposure.impressions.sum(axis=1) > 0).sum())
    stages = ", ".join(f"{count:,} {name}" for name, count in planned.summary["stages"].items())
    print(
        f"\n{planned.summary['impressions']:,} impressions go to {shown:,} launches; the least propensity of one in "
        f"play is {exposure.floor:.1e}. Stages: {stages}. Peak memory {memory:.1f} GB. The launch model's own "
        "predictions are timed on [its page](growth.md)."
    )


if __name__ == "__main__":
    main()
