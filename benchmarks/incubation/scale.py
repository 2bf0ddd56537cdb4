"""How long does a morning with 200,000 live launches take? (`python -m benchmarks incubation.scale`)

A made-up marketplace of as many launches, and 20,000 earlier ones whose fate is known. What is timed is the product's
own: the launch model (learning once, and scoring every live launch with its like items), then the plan: scores checked,
stages, exposure over 12 surfaces, and a line a launch.
"""

import resource
import sys
import time

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from ml.growth.data import HALVES, STATE, WEEKS, Launches
from ml.growth.evaluate import learn
from ml.growth.model import calibrate, spread
from ml.growth.scores import score_table
from ml.incubation.belief import rates
from ml.incubation.exposure import Surfaces, expose
from ml.incubation.ladder import climb
from ml.incubation.plan import plan
from ml.incubation.policy import Policy

LIVE, EARLIER = 200_000, 20_000
MERCHANTS, CATEGORIES = 20_000, 50
BUDGET = 20_000_000
SURFACES = tuple(
    (channel, region) for channel in ("search", "feed", "live") for region in ("north", "south", "east", "west")
)
STAGES = np.array([None, "seed", "incubate", "graduate", "retire"], dtype=object)
NOW = pd.Timestamp("2024-07-01")
LANDMARKS = (0, 7, 28)
WORDS = np.array([f"word{i:03d}" for i in range(400)])


def launches(rng: np.random.Generator) -> Launches:
    """Earlier launches at three ages, and live ones today. Each sells at a rate of its own what it is shown."""
    count = LIVE + EARLIER
    live = np.arange(count) < LIVE
    names = np.array([f"p{i:06d}" for i in range(count)])
    category = rng.integers(0, CATEGORIES, count)
    age = np.where(live, rng.integers(0, 182, count), rng.integers(190, 500, count))
    began = NOW - pd.to_timedelta(age, unit="D")
    titles = WORDS[(rng.integers(0, 40, (count, 4)) + 8 * category[:, None]) % len(WORDS)]
    price = rng.lognormal(3, 0.7, count)
    catalogue = pd.DataFrame(
        {
            "merchant_id": [f"m{i:05d}" for i in rng.integers(0, MERCHANTS, count)],
            "merchant_tier": rng.choice(["new", "silver", "gold"], count),
            "category": [f"c{i:02d}" for i in category],
            "subcategory": [f"c{i:02d}-{j}" for i, j in zip(category, rng.integers(0, 5, count), strict=True)],
            "brand": None,
            "title": [" ".join(words) for words in titles],
            "price": price,
            "image_count": rng.integers(1, 9, count).astype(float),
            "description_length": rng.integers(20, 900, count).astype(float),
            "launched_on": began,
            "listed_on": began,
            "launch_week": began - pd.to_timedelta(began.dayofweek, unit="D"),
            "declared_on": began,
            "first_seen_on": began,
            "relisted_of": None,
        },
        index=pd.Index(names, name="product_id"),
    )
    rate, pace = rng.beta(2, 98, count), rng.lognormal(2.5, 0.8, count)
    line = pd.Series(7 * WEEKS * rate * pace * price).groupby(category).transform("quantile", 0.9).to_numpy()
    moments = [rows_at(rng, names, price, rate * pace, pace, line, np.flatnonzero(live), age, NOW, True)]
    for landmark in LANDMARKS:
        some = np.flatnonzero(~live)
        at = began[some] + pd.Timedelta(days=landmark)
        moments.append(rows_at(rng, names, price, rate * pace, pace, line, some, np.full(count, landmark), at, False))
    rows = pd.concat(moments, ignore_index=True).sort_values(["moment", "product_id"], ignore_index=True)
    units = rng.poisson(7 * WEEKS * rate * pace)[~live]
    gmv = units * price[~live]
    by_category = pd.Series(gmv).groupby(category[~live])
    fates = pd.DataFrame({"until": NOW, "product_id": names[~live], "weeks": WEEKS, "units": units, "gmv": gmv})
    fates["hit"] = (by_category.rank(pct=True) > 0.9).to_numpy()
    carried = pd.DataFrame({"product_id": "", "creator_id": "", "known_on": [NOW]}).head(0)
    return Launches(catalogue, rows, fates, carried, (), NOW, has_traffic=True, has_buyers=True, has_refunds=True)


def rows_at(
    rng: np.random.Generator,
    names: np.ndarray,
    price: np.ndarray,
    sales: np.ndarray,
    pace: np.ndarray,
    line: np.ndarray,
    some: np.ndarray,
    age: np.ndarray,
    moment: pd.Timestamp | pd.DatetimeIndex,
    current: bool,
) -> pd.DataFrame:
    """`some` launches at an age, in the columns of `Launches.rows`."""
    days = age[some]
    half = rng.poisson(sales[some] * (days // 2))
    units = half + rng.poisson(sales[some] * (days - days // 2))
    shown = rng.poisson(pace[some] * days) + units
    rows = pd.DataFrame({"product_id": names[some], "moment": moment, "age_days": days, "current": current})
    rows = rows.assign(**dict.fromkeys((*STATE, *(f"{name}_half" for name in HALVES)), 0.0), line=line[some])
    return rows.assign(
        units_so_far=units.astype(float),
        units_so_far_half=half.astype(float),
        gmv_so_far=units * price[some],
        gmv_so_far_half=half * price[some],
        orders_so_far=units.astype(float),
        buyers_so_far=units.astype(float),
        largest_buyer_units=np.minimum(units, 1.0),
        days_sold=np.minimum(units, days).astype(float),
        last_sold_age=np.where(units > 0, days * 0.8, np.nan),
        impressions_so_far=shown.astype(float),
        clicks_so_far=np.floor(shown * 0.1) + units,
        carts_so_far=np.floor(shown * 0.03) + units,
    )


def main() -> None:
    rng = np.random.default_rng(0)
    made = launches(rng)
    timed: dict[str, tuple[float, float]] = {}

    def moment() -> tuple[float, float]:
        return time.perf_counter(), time.process_time()

    def clock(what: str, since: tuple[float, float]) -> tuple[float, float]:
        wall, busy = moment()
        timed[what] = (wall - since[0], busy - since[1])
        print(f"{what}: {timed[what][0]:.1f} s …", file=sys.stderr, flush=True)
        return moment()

    now = moment()
    known, demand, learned = learn(made, NOW, ("launch_model",))
    now = clock("the launch model learns, and finds every launch's like items", now)
    fitted, earlier = learned["launch_model"], made.labelled(NOW, known.known)
    frame = known.frame(earlier)
    curve = calibrate(fitted.score(frame), earlier["hit"].to_numpy())
    width = spread(demand.log(frame), earlier["log_demand"].to_numpy(), frame.age_days)
    now = moment()
    # On cores shared with anyone else, OpenMP's waiting threads make boosting many times slower.
    with threadpool_limits(1):
        scores = score_table(made, known, fitted, demand, curve, width)
    now = clock("**scored**", now)
    before = dict(zip(scores["product_id"], rng.choice(STAGES, len(scores)), strict=True))
    shares = rng.dirichlet(np.full(len(SURFACES), 5.0), CATEGORIES)
    surfaces = Surfaces(SURFACES, pd.DataFrame(shares, index=[f"c{i:02d}" for i in range(CATEGORIES)]))
    policy = Policy()
    now = moment()
    believed = rates(scores)
    staged = climb(scores.assign(previous=scores["product_id"].map(before)), believed, policy)
    now = clock("**staged**", now)
    exposure = expose(scores.assign(stage=staged.stage), believed, surfaces, BUDGET, policy, seed=1)
    now = clock("**allocated**", now)
    planned = plan(scores, before, surfaces, BUDGET, policy, seed=1)
    clock("the plan: checked, staged, allocated, and a line a launch", now)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    in_play = int(np.isin(staged.stage, ["seed", "incubate"]).sum())
    print(
        f"{LIVE:,} live launches of {MERCHANTS:,} merchants in {CATEGORIES} categories, {len(SURFACES)} surfaces, "
        f"{BUDGET:,} impressions; {in_play:,} launches in play.\n\n| what | seconds | of CPU |\n|---|---:|---:|"
    )
    for what, (wall, busy) in timed.items():
        print(f"| {what} | {wall:.1f} | {busy:.1f} |")
    shown = int((exposure.impressions.sum(axis=1) > 0).sum())
    stages = ", ".join(f"{count:,} {name}" for name, count in planned.summary["stages"].items())
    wall, busy = np.sum([timed[name] for name in ("**scored**", "**staged**", "**allocated**")], axis=0)
    print(
        f"\nScored, staged and allocated in {wall:.0f} s, of which {busy:.0f} s of CPU. "
        f"{planned.summary['impressions']:,} impressions go to {shown:,} launches; the least propensity of one in play "
        f"is {exposure.floor:.1e}. Stages: {stages}. Peak memory {memory:.1f} GB."
    )


if __name__ == "__main__":
    main()
