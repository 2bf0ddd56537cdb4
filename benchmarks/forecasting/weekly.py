"""How good each weekly model was on weeks it had not seen (`python -m benchmarks forecasting.weekly`).

One run of Complete Journey in a home of its own, as of 2017-09-30, up to the step `forecast`. Nothing later than that
day is read, so the figures are those the choice of models was made by.
"""

import tempfile
from pathlib import Path

from benchmarks.forecasting.shops import published
from coldframe.paths import Workspace
from coldframe.run import STEPS
from ml.forecasting.data import LEVELS
from ml.forecasting.evaluate import MOST_SERIES
from ml.registry import Registry, Release

SOURCE = "complete_journey"
AS_OF = "2017-09-30"
SEGMENTS = ("top", "dense", "sparse", "new", "tail")


def train(home: str) -> Release:
    """The release of a home without a champion to reuse."""
    published(home, SOURCE, AS_OF, steps=STEPS[: STEPS.index("forecast") + 1])
    (release,) = Registry(Workspace(home=Path(home), source=SOURCE)).releases("forecasting")
    return release


def as_served(release: Release) -> None:
    print("| level | WAPE | RMSSE | bias | FVA | 80 % interval of weeks held |")
    print("|---|---:|---:|---:|---:|---:|")
    for level in LEVELS:
        measures = ("wape", "rmsse", "bias", "fva", "coverage_80")
        wape, rmsse, bias, fva, weeks = (release.metrics[f"{level}.{measure}"] for measure in measures)
        print(f"| {level} | {wape:.3f} | {rmsse:.3f} | {bias:+.1%} | {fva:.1%} | {weeks:.0%} |")


def by_origin(release: Release) -> None:
    """What the weeks ahead of each origin add up to: a model that is right by the week may be wrong by the season."""
    keys = ["level", "segment", "model"]
    columns = [*keys, "product_id", "category", "region", "cutoff", "actual", "forecast"]
    served = release.table("backtest", columns).merge(release.table("routes", keys), on=keys)
    print("| level | origin | weeks ahead added up | WAPE of the sums | bias |\n|---|---|---:|---:|---:|")
    names = ["level", "cutoff", "product_id", "category", "region"]
    sums = served.groupby(names, dropna=False).agg(
        actual=("actual", "sum"), forecast=("forecast", "sum"), weeks=("actual", "size")
    )
    for (level, cutoff), part in sums.groupby(["level", "cutoff"]):
        error = part["forecast"] - part["actual"]
        wape, bias = error.abs().sum() / part["actual"].sum(), error.sum() / part["actual"].sum()
        print(f"| {level} | {cutoff:%Y-%m-%d} | {part['weeks'].max()} | {wape:.3f} | {bias:+.1%} |")


def by_model(release: Release) -> None:
    accuracy = release.table("accuracy")
    accuracy["order"] = accuracy["segment"].map({name: number for number, name in enumerate(SEGMENTS)})
    champions = set(release.table("routes")[["level", "segment", "model"]].itertuples(index=False, name=None))
    rows = accuracy.dropna(subset=["fva_vs_snaive"]).sort_values(["level", "order", "wape"])
    print("| level | segment | model | WAPE | RMSSE | bias | FVA | 80 % held |\n|---|---|---|---:|---:|---:|---:|---:|")
    for row in rows.itertuples():
        serves = (row.level, row.segment, row.model) in champions
        print(
            f"| {row.level} | {row.segment} | {f'**{row.model}**' if serves else row.model} | {row.wape:.3f} | "
            f"{row.rmsse:.3f} | {row.bias:+.1%} | {row.fva_vs_snaive:+.1%} | {row.coverage_80:.0%} |"
        )


def routes(release: Release) -> None:
    counted = release.table("routes")
    print("| level | segment | series now | served by |\n|---|---|---:|---|")
    for row in counted.sort_values(["level", "series"], ascending=[True, False]).itertuples():
        print(f"| {row.level} | {row.segment} | {row.series:,} | {'zero' if row.model == 'none' else row.model} |")


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        release = train(home)
        backtest = release.table("backtest", ["cutoff", "horizon"])
        benchmark = release.table("accuracy", ["benchmark"])["benchmark"].iloc[0]
        cutoffs = ", ".join(f"{day:%Y-%m-%d}" for day in sorted(backtest["cutoff"].unique().tolist()))
        print(
            f"Complete Journey as of {AS_OF}; origins {cutoffs}, up to {backtest['horizon'].max()} weeks ahead. "
            f"FVA is the share of `{benchmark}`'s WAPE that is saved. Intervals are judged at the last origin. "
            f"Of a segment with more than {MOST_SERIES:,} series a sample of that many is tested.\n"
        )
        print("As it serves:\n")
        as_served(release)
        print("\nThe weeks ahead of each origin added up, as a season is:\n")
        by_origin(release)
        print("\nBy segment and model; bold serves:\n")
        by_model(release)
        print("\nWhere the series are today:\n")
        routes(release)


if __name__ == "__main__":
    main()
