"""Which launches become blockbusters, and how much they sell (`python -m benchmarks incubation.launches`).

Each shop is landed and published as of its last day, and validated by the product's own back-test: at each cutoff only
what was known then, outcomes in part included, and judged on launches that came later and whose 26 weeks are over.
COLDFRAME_BENCHMARK_HOME names a folder in which the published shops stay, so that a second run builds none.
"""

import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.forecasting.shops import DATA, published
from coldframe import snapshots
from coldframe.paths import Workspace
from coldframe.snapshots import Snapshot
from ml.growth import data, evaluate
from ml.growth.data import Launches
from ml.growth.decide import PACE
from ml.growth.evaluate import average_precision, calibration_error
from ml.growth.model import METHODS

AGES = (0, 7, 14, 28, 56)
MODEL = "launch_model"
METHOD_NAMES = {
    "units": "units so far",
    "category_prior": "category prior",
    "two_features": "logistic on two features",
    PACE: "pace over the category's line",
    MODEL: "**launch model**",
}


@dataclass(frozen=True)
class Shop:
    source: str
    folder: str | None
    last_day: str
    launch: str


SHOPS = {
    "M5": Shop("m5", "m5", "2016-04-24", "the first price of an item in any store, one launch over all its stores"),
    "Online Retail II": Shop("online_retail_ii", "online_retail_ii", "2011-08-31", "the first sale of a stock code"),
    "Complete Journey": Shop("complete_journey", None, "2017-12-30", "the first sale of a product"),
}


def facts(workspace: Workspace, shop: Shop) -> Snapshot:
    """The shop's snapshot of its last day, made unless it is there."""
    if workspace.current.exists() and snapshots.current(workspace).as_of.isoformat() == shop.last_day:
        return snapshots.current(workspace)
    path = DATA / shop.folder if shop.folder else None
    return published(str(workspace.home), shop.source, shop.last_day, path)


def precision(part: pd.DataFrame, by: str) -> tuple[float, int]:
    """Mean over cutoffs of the share of blockbusters among the k best: a tenth of the launches, at most 100; and k."""
    found, depth = [], []
    for _, of in part.groupby("cutoff"):
        k = max(1, min(100, len(of) // 10))
        ordered = of.sort_values([by, "product_id"], ascending=[False, True])
        found.append(ordered["label"].head(k).mean())
        depth.append(k)
    return float(np.mean(found)), int(np.median(depth))


def mean_ap(part: pd.DataFrame, by: str) -> float:
    """Mean over cutoffs of the average precision."""
    scored = [
        average_precision(of["label"].to_numpy(dtype=bool), of[by].to_numpy(dtype=float))
        for _, of in part.groupby("cutoff")
        if of["label"].any()
    ]
    return float(np.mean(scored)) if scored else float("nan")


def luck(part: pd.DataFrame, draws: int = 50) -> float:
    """Calibration error that would be seen if every chance were true: launches are few, and outcomes a lottery."""
    rng = np.random.default_rng(0)
    chance = part["chance"].to_numpy(dtype=float)
    return float(np.mean([calibration_error(part.assign(label=rng.random(len(part)) < chance)) for _ in range(draws)]))


def wape(part: pd.DataFrame, expected: "pd.Series[float]") -> float:
    came = np.expm1(part["log_demand"].astype(float))
    return float((expected - came).abs().sum() / came.sum())


def show(title: str, shop: Shop, launches: Launches, validated: pd.DataFrame, seconds: float) -> None:
    whole = validated[validated["weeks"] == data.WEEKS]
    ours = whole[whole["method"] == MODEL]
    cutoffs = ", ".join(f"{cutoff:%F}" for cutoff in sorted(ours["cutoff"].unique()))
    print(f"## {title}\n\nA launch is {shop.launch}. {len(launches.catalogue):,} launches; cutoffs {cutoffs}. ", end="")
    print(f"Training and validating took {seconds:.0f} s.\n")
    heads = [f"{age} days" if age else "day 0" for age in AGES]
    print(f"| average precision | {' | '.join(heads)} |\n|---|{'---:|' * len(AGES)}")
    by_age = {age: ours[ours["age_days"] == age] for age in AGES}
    counts = " | ".join(f"{len(part):,}, {part['label'].sum():,}" for part in by_age.values())
    print(f"| launches, blockbusters | {counts} |")
    found: dict[str, dict[int, float]] = {}
    for method, name in METHOD_NAMES.items():
        part, by = (ours, "units_so_far") if method == "units" else (whole[whole["method"] == method], "score")
        found[method] = {age: mean_ap(part[part["age_days"] == age], by) for age in AGES}
        print(f"| {name} | " + " | ".join(f"{value:.3f}" for value in found[method].values()) + " |")
    gains = " | ".join(f"{found[MODEL][age] / found['units'][age] - 1:+.0%}" for age in AGES)
    print(f"| gain on units so far | {gains} |")
    for method, by in (("units", "units_so_far"), (MODEL, "score")):
        told = (precision(part, by) for part in by_age.values())
        print(f"| precision@k, {METHOD_NAMES[method]} | " + " | ".join(f"{p:.2f} (k {k})" for p, k in told) + " |")
    errors = " | ".join(f"{calibration_error(part):.3f}" for part in by_age.values())
    print(f"| calibration error (ECE), {METHOD_NAMES[MODEL]} | {errors} |")
    print("| ECE that perfect chances would show | " + " | ".join(f"{luck(p):.3f}" for p in by_age.values()) + " |")
    print(f"\nCalibration error over all ages: {calibration_error(ours):.3f}; of perfect chances {luck(ours):.3f}.\n")
    print(f"| WAPE of units in weeks 9 to 26 | {' | '.join(heads)} |\n|---|{'---:|' * len(AGES)}")
    ways = {
        "category mean curve": lambda p: p["category_units"].astype(float),
        "category median curve": lambda p: p["category_median"].astype(float),
        "attribute kNN": lambda p: p["like_units"].astype(float),
        METHOD_NAMES[MODEL]: lambda p: np.expm1(p["log_expected"].astype(float)),
    }
    errors_of = {name: [wape(part, way(part)) for part in by_age.values()] for name, way in ways.items()}
    for name, values in errors_of.items():
        print(f"| {name} | " + " | ".join(f"{value:.3f}" for value in values) + " |")
    best = np.minimum(errors_of["category mean curve"], errors_of["attribute kNN"])
    changes = np.asarray(errors_of[METHOD_NAMES[MODEL]]) / best - 1
    print("| beside the better baseline | " + " | ".join(f"{change:+.0%}" for change in changes) + " |\n", flush=True)


def main() -> None:
    print(
        "Judged are launches later than the cutoff whose week 26 is over. A method has learned, at each cutoff, from "
        "outcomes as they were known then. Average precision and precision at k (a tenth of the launches, at most 100) "
        "are means over the cutoffs; the calibration error is that of ten groups of equal size.\n"
    )
    with tempfile.TemporaryDirectory() as fresh:
        home = Path(os.environ.get("COLDFRAME_BENCHMARK_HOME", fresh))
        for title, shop in SHOPS.items():
            print(f"{title} …", file=sys.stderr, flush=True)
            workspace = Workspace(home=home, source=shop.source)
            snapshot = facts(workspace, shop)
            began = time.perf_counter()
            launches = data.load(workspace, snapshot)
            validated = evaluate.validate(launches, tuple(METHODS))
            show(title, shop, launches, validated, time.perf_counter() - began)


if __name__ == "__main__":
    main()
