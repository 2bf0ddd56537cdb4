"""What would the other policy have earned? (`python -m benchmarks incubation.open_bandit`)

Open Bandit (small): a fashion shop showed 80 items in three positions by a random policy and, at the same time, by
Bernoulli Thompson sampling; 10,000 impressions of each are public. From the log of the one the value of the other is
estimated, and laid beside what the other really earned. The naive guess is that it earns what the one that ran did.

Whether intervals cover cannot be seen on two logs. So logs are drawn again and again from shops whose truth is known:
items with the clicks of both logs (their differences doubled, or every policy would be worth the same), shown as both
policies show them.
"""

import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd

from coldframe.settings import PROJECT_ROOT
from ml.incubation import log as logs
from ml.incubation.offpolicy import DIRECT, LOGGED, Estimate, Log, Probabilities, evaluate

DATA = PROJECT_ROOT.parent / "shared" / "data" / "open_bandit"
RANDOM, THOMPSON = "random", "Bernoulli TS"
REPLICATIONS = 500
SMOOTHING = 300
"""Impressions that the shop's mean rate is worth beside an item's own."""


class World(NamedTuple):
    """A shop to draw logs of: rates of items, the policy that runs and the one asked about, [item]; `money`: a click
    brings a lognormal sum whose mean is 1."""

    name: str
    rates: np.ndarray
    ran: np.ndarray
    wanted: np.ndarray
    rows: int
    money: bool = False


def main() -> None:
    if not DATA.is_dir():
        print(f"{DATA} is not there; Open Bandit (small) is needed.", file=sys.stderr)
        raise SystemExit(1)
    files = {
        RANDOM: logs.read(DATA / "random_all.parquet", RANDOM),
        THOMPSON: logs.read(DATA / "bts_all.parquet", THOMPSON),
    }
    print("Clicks per 1,000 impressions.\n")
    print("| value of | from the log of | by | value | 95 % interval | error | really earned | holds it |")
    print("|---|---|---|---:|---:|---:|---:|---|")
    rests = []
    for ran, asked in ((RANDOM, THOMPSON), (THOMPSON, RANDOM)):
        question = logs.ask(files[ran], files[asked])
        found = evaluate(question.log, question.wanted, question.policy)
        truth = files[asked].rows["reward"].mean()
        for estimate in filter(None, (found.logged, *found.estimates)):
            name = "naive: what ran" if estimate.name == LOGGED else estimate.name
            print(f"| {asked} | {ran} | {name} | {told(estimate, truth)} |")
        rests.append(
            f"From the log of {ran}: effective sample size {found.effective_sample_size:,.0f} of {found.rows:,}, "
            f"the largest round has {found.largest_share:.1%} of all weight, weights average {found.mean_weight:.3f}."
        )
    print(f"\n{' '.join(rests)} 38 and 42 clicks are all: what was really earned is itself known to a third.\n")
    coverage(worlds(files))


def told(estimate: Estimate, truth: float) -> str:
    if estimate.low is None or estimate.high is None:
        return f"{1000 * estimate.value:.2f} | | {1000 * (estimate.value - truth):+.2f} | {1000 * truth:.2f} | "
    held = "yes" if estimate.low <= truth <= estimate.high else "**no**"
    bounds = f"{1000 * estimate.low:.2f} – {1000 * estimate.high:.2f}"
    return (
        f"{1000 * estimate.value:.2f} | {bounds} | {1000 * (estimate.value - truth):+.2f} | {1000 * truth:.2f} | {held}"
    )


def worlds(files: dict[str, logs.Table]) -> list[World]:
    rows = pd.concat([table.rows for table in files.values()])
    by_item = rows.groupby("action")["reward"].agg(["sum", "count"])
    mean = rows["reward"].mean()
    rates = ((by_item["sum"] + SMOOTHING * mean) / (by_item["count"] + SMOOTHING)).to_numpy()
    rates = (rates / mean) ** 2
    rates *= mean / rates.mean()
    shown = files[THOMPSON].rows["action"].value_counts().reindex(by_item.index).fillna(0).to_numpy() + 0.5
    thompson, even = shown / shown.sum(), np.full(len(shown), 1 / len(shown))
    return [
        World("random log, clicks", rates, even, thompson, 10_000),
        World("TS log, clicks", rates, thompson, even, 10_000),
        World("TS log, money", rates, thompson, even, 10_000, money=True),
        World("random log, a fifth as long, clicks ten times as often", 10 * rates, even, thompson, 2000),
    ]


def coverage(every: list[World]) -> None:
    print(
        f"Of {REPLICATIONS} logs drawn from each shop with a known truth, the share whose 95 % interval holds it, in % "
        "(in brackets: an interval of ± 1.96 standard errors), and the root mean square error as a share of the truth:"
        "\n\n| shop | by | holds the truth | too high, too low | error | refused |\n|---|---|---:|---:|---:|---:|"
    )
    for world in every:
        print(f"{world.name} …", file=sys.stderr, flush=True)
        with ProcessPoolExecutor(2) as pool:
            drawn = list(pool.map(partial(once, world), range(REPLICATIONS), chunksize=25))
        answered = [row for row in drawn if row is not None]
        truth = world.rates @ world.wanted
        for which, name in enumerate(name for name, *_ in answered[0]):
            value, error, low, high = np.array([row[which][1:] for row in answered], dtype=float).T
            rmse = np.sqrt(((value - truth) ** 2).mean()) / truth
            holds = sides = ""
            if name != DIRECT:
                held = 100 * ((low <= truth) & (truth <= high)).mean()
                plain = 100 * (np.abs(value - truth) <= 1.96 * error).mean()
                holds = f"{held:.1f} ({plain:.1f})"
                sides = f"{100 * (low > truth).mean():.1f}, {100 * (high < truth).mean():.1f}"
            shown = "naive: what ran" if name == LOGGED else name
            print(f"| {world.name} | {shown} | {holds} | {sides} | {rmse:.0%} | {len(drawn) - len(answered)} |")


def once(world: World, seed: int) -> list[tuple[str, float, float | None, float | None, float | None]] | None:
    """Estimates of one log of a world; None where it was refused."""
    rng = np.random.default_rng([7, seed])
    item = rng.choice(len(world.ran), world.rows, p=world.ran)
    reward = (rng.random(world.rows) < world.rates[item]).astype(float)
    if world.money:
        reward *= rng.lognormal(-0.5, 1.0, world.rows)
    zeros = np.zeros(world.rows, dtype=np.int64)
    drawn = Log(item, zeros, np.arange(world.rows), reward, np.ones(world.rows), world.ran[item])
    items = np.arange(len(world.ran))
    found = evaluate(drawn, world.wanted[item], Probabilities(np.zeros_like(items), items, world.wanted))
    if found.refused:
        return None
    every = filter(None, (found.logged, *found.estimates))
    return [(e.name, e.value, e.standard_error, e.low, e.high) for e in every]


if __name__ == "__main__":
    main()
