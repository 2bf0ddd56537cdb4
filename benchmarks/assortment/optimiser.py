"""How good and how fast the choice of an assortment is (`python -m benchmarks assortment.optimiser`).

Made-up cells, because only size and rules matter here: units and prices are lognormal, merchants few and unequal.
"""

import resource
import sys
import time
from datetime import date
from itertools import product

import numpy as np
import pandas as pd

from coldframe.run import Request
from coldframe.seasons import Season
from ml.assortment.choice import Substitution
from ml.assortment.optimise import Cell, Limit, keeps, optimise
from ml.assortment.plan import Inputs, Terms, decide_cells, plan
from ml.assortment.scenarios import Errors

SMALL, TRIALS = 12, 300
RUNS = 3
CELLS, CANDIDATES = 50, 4_000


def drawn(rng: np.random.Generator, n: int, substitution: Substitution, handling: float = 0.0) -> Cell:
    units = rng.lognormal(2, 1, n)
    return Cell(units * rng.lognormal(1, 0.7, n), units, substitution, handling)


def limits(rng: np.random.Generator, n: int, slots: int) -> list[Limit]:
    """A quota for one product in twenty, and a cap of an eighth of the slots for each merchant."""
    merchant = np.minimum(rng.zipf(1.5, n), 40)
    cap = max(1, slots // 8)
    new = (rng.random(n) < 0.05).astype(float)
    of_merchants = [(merchant == m).astype(float) for m in np.unique(merchant)]
    quota = min(slots // 5, int(new.sum()))
    return [Limit("new", new, quota, np.inf), *(Limit("cap", of, 0, cap) for of in of_merchants if of.sum() > cap)]


def brute_force() -> None:
    """Of cells of at most twelve products, how far the choice is from the best of all sets at most."""
    rng = np.random.default_rng(1)
    every = np.array(list(product([False, True], repeat=SMALL)))
    print("| rules | dissimilarity | cells | worst shortfall | proven |\n|---|---:|---:|---:|---:|")
    for ruled in (False, True):
        for theta in (1.0, 0.5):
            worst, proven = 0.0, 0
            for _ in range(TRIALS):
                slots = int(rng.integers(1, 8))
                cell = drawn(rng, SMALL, Substitution(float(rng.uniform(0, 1)), theta, "fitted"))
                rules = limits(rng, SMALL, slots) if ruled else []
                best = max(cell.worth(row) for row in every if row.sum() <= slots and keeps(row, rules))
                found = optimise(cell, slots, rules)
                assert found is not None
                worst, proven = max(worst, 1 - found.value / best), proven + (found.gap == 0)
            named = "slots, merchants, new products" if ruled else "slots"
            print(f"| {named} | {theta} | {TRIALS} | {max(worst, 0):.1e} | {proven / TRIALS:.0%} |", flush=True)


def seconds() -> None:
    """Median of RUNS cells, with what ranking by expected money alone gives up."""
    print("\n| candidates | slots | rules | dissimilarity | way | ms | gap it proves | ranking by money alone |")
    print("|---:|---:|---|---:|---|---:|---:|---:|")
    for n, slots in ((1_000, 50), (4_000, 200), (100_000, 500)):
        for ruled, theta, greedy in ((0, 1.0, 0), (0, 0.5, 0), (1, 1.0, 0), (1, 1.0, 1), (1, 0.5, 0), (1, 0.5, 1)):
            rng = np.random.default_rng(n)
            took, gaps, naive = [], [], []
            for _ in range(RUNS):
                cell = drawn(rng, n, Substitution(0.5, theta, "fitted"))
                rules = limits(rng, n, slots) if ruled else []
                began = time.perf_counter()
                found = optimise(cell, slots, rules, most_exact=0 if greedy else 10**9)
                took.append(time.perf_counter() - began)
                assert found is not None
                gaps.append(found.bound / found.value - 1)
                top = np.zeros(n, dtype=bool)
                top[np.argsort(-cell.money)[:slots]] = True
                naive.append(cell.worth(top) / found.value)
            way = "greedy and swaps" if greedy else "integer programme" if ruled else "ranking"
            print(
                f"| {n:,} | {slots} | {'slots, merchants, new' if ruled else 'slots'} | {theta} | {way} | "
                f"{1e3 * np.median(took):,.1f} | {max(gaps):.1e} | "
                f"{'breaks the rules' if ruled else f'{np.median(naive):.3f}'} |",
                flush=True,
            )


def candidates(rng: np.random.Generator) -> pd.DataFrame:
    n = CELLS * CANDIDATES
    units, price = rng.lognormal(2, 1, n), rng.lognormal(1, 0.7, n)
    names = [f"p{i:06}" for i in range(n)]
    frame = {
        "region": np.repeat([f"region {i // 10}" for i in range(CELLS)], CANDIDATES),
        "category": np.repeat([f"category {i % 10}" for i in range(CELLS)], CANDIDATES),
        "product_id": names,
        "title": names,
        "merchant_id": np.char.add("m", np.minimum(rng.zipf(1.5, n), 40).astype(str)),
        "brand": "b",
        "subcategory": np.char.add("s", rng.integers(0, 20, n).astype(str)),
        "price_band": np.array(["low", "middle", "high"])[rng.integers(0, 3, n)],
        "is_new": rng.random(n) < 0.05,
        "current": rng.random(n) < 0.1,
        "units": units,
        "per_unit": price,
        "price": price,
        "unit_cost": 0.6 * price,
        "units_13w": 10,
        "model": "made up",
        "on_shelf_from": date(2024, 10, 1),
        "on_shelf_until": date(2024, 12, 31),
        "buy_probability": 0.4,
        "dissimilarity": 0.7,
        "substitution": "fitted",
        "usual_margin": False,
    }
    frame |= {f"q{level}": units * of for level, of in ((10, 0.4), (50, 0.9), (80, 1.4), (90, 1.8))}
    nothing = {"merchant_tier": None, "season_index": np.nan, "trend": np.nan, "trend_q": np.nan, "p_growth": np.nan}
    return pd.DataFrame(frame | nothing)


def end_to_end(ways: dict[str, dict[str, object]]) -> None:
    season = Season("2024-Q4", date(2024, 10, 1), date(2024, 12, 31))
    inputs = Inputs(candidates(np.random.default_rng(1)), season, Errors(0.1, 0.1))
    print(f"\n{CELLS * CANDIDATES:,} candidates in {CELLS} cells to a plan's lines, under one budget for stock:\n")
    print("| slots and rules | s | of it choosing | lines | largest gap | peak GB |\n|---|---:|---:|---:|---:|---:|")
    for name, asked in ways.items():
        print(name, "…", file=sys.stderr, flush=True)
        terms = Terms.of(
            Request.model_validate({"source": "made_up", "as_of": date(2024, 9, 29), "budget": 400_000} | asked)
        )
        began = time.perf_counter()
        decided = decide_cells(inputs, terms)
        chosen = time.perf_counter()
        made = plan(inputs, terms, decided)
        ended = time.perf_counter()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(
            f"| {name} | {ended - began:.0f} | {chosen - began:.0f} | {len(made.lines):,} | "
            f"{made.summary['largest_gap']:.1e} | {peak:.1f} |",
            flush=True,
        )


def main() -> None:
    print(f"Against every set there is, {SMALL} products a cell, chance of a buy by lot:\n")
    brute_force()
    print(f"\nMedian of {RUNS} cells, chance of a buy 0.5; the gap is the largest of them:")
    seconds()
    end_to_end(
        {
            "50, nothing else": {"slots": 50, "new_product_share": 0},
            "50, new products and merchants": {"slots": 50, "new_product_share": 0.2, "merchant_share": 0.125},
        }
    )


if __name__ == "__main__":
    main()
