"""From a daily panel to the tables of a release: back-test, forecast, and intervals made of the back-test's errors."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from ml.forecasting.daily import engine, evaluate
from ml.forecasting.daily.evaluate import QUANTILE_NAMES, Floats, Tested
from ml.forecasting.daily.hierarchy import KEYS
from ml.forecasting.daily.panel import DailyPanel

DIGITS = 6
MODEL, BENCHMARK = "combined", "seasonal_naive"
FREQUENCIES = ("D", "W")
EXPECTED_COVERAGE = (0.75, 0.85)


@dataclass(frozen=True)
class Learned:
    """Tables of a release (docs/forecasting.md), figures about them, and what a person should look at."""

    tables: dict[str, pa.Table]
    metrics: dict[str, float]
    facts: dict[str, Any]
    warnings: tuple[str, ...]


def learn(panel: DailyPanel, horizon: int) -> Learned:
    """Back-tests and forecasts `horizon` days ahead. Raises BadInputError for a history too short for that."""
    tested = evaluate.backtest(panel, horizon)
    accuracy = _accuracy(panel, tested, horizon)
    final = engine.forecast(panel, horizon)
    tables: list[pa.Table] = []
    held: list[dict[str, Any]] = []
    for level in panel.hierarchy.levels:
        said, came = evaluate.level_pairs(panel, tested, level)
        ahead = panel.hierarchy.sums(level, final.units)
        for frequency in FREQUENCIES:
            if frequency == "W" and horizon < 7:
                continue
            of_period = [(_periods(a, frequency), _periods(b, frequency)) for a, b in zip(said, came, strict=True)]
            held.append(_held(level, frequency, of_period))
            mean = _periods(ahead, frequency)
            intervals = evaluate.calibrate(*zip(*of_period, strict=True))
            tables.append(_table(panel, level, frequency, mean, intervals.quantiles(mean)))
    intervals_table = pd.DataFrame(held).round(DIGITS)
    routes = pd.Series(final.route).value_counts()
    reasons = pd.DataFrame({"route": list(engine.ROUTES), "reason": list(engine.ROUTES.values())})
    reasons["series"] = reasons["route"].map(routes).fillna(0).astype("int64")
    return Learned(
        tables={
            "forecasts": pa.concat_tables(tables),
            "accuracy": pa.Table.from_pandas(accuracy.round(DIGITS), preserve_index=False),
            "intervals": pa.Table.from_pandas(intervals_table, preserve_index=False),
            "routes": pa.Table.from_pandas(reasons, preserve_index=False),
            "series": pa.table(
                {
                    "product_id": panel.hierarchy.keys["product_id"],
                    "region": panel.hierarchy.keys["region"],
                    "route": final.route.astype(str),
                }
            ),
        },
        metrics=_metrics(accuracy, intervals_table),
        facts={
            "routes": {name: int(count) for name, count in routes.items()},
            "capped": final.capped,
            "origins": [str(panel.days[one.cutoff - 1].date()) for one in tested],
        },
        warnings=_warnings(intervals_table),
    )


def _accuracy(panel: DailyPanel, tested: list[Tested], horizon: int) -> pd.DataFrame:
    parts = []
    for one in tested:
        naive = evaluate.seasonal_naive(panel.until(one.cutoff), horizon)
        table = evaluate.accuracy(panel, one.cutoff, {MODEL: one.result.units, BENCHMARK: naive})
        table.insert(2, "cutoff", panel.days[one.cutoff - 1].date())
        parts.append(table)
    return pd.concat(parts, ignore_index=True)


def _held(level: str, frequency: str, pairs: list[tuple[Floats, Floats]]) -> dict[str, Any]:
    """What the intervals of the last origin held, made from the errors of the ones before; empty with one origin."""
    row: dict[str, Any] = {"level": level, "frequency": frequency, "coverage_80": np.nan, "pinball": np.nan}
    if len(pairs) > 1:
        said, came = pairs[-1]
        quantiles = evaluate.calibrate(*zip(*pairs[:-1], strict=True)).quantiles(said)
        row |= {"coverage_80": evaluate.coverage(quantiles, came), "pinball": evaluate.pinball(quantiles, came)}
    return row


def _metrics(accuracy: pd.DataFrame, intervals: pd.DataFrame) -> dict[str, float]:
    means = accuracy.groupby(["model", "level"])[["wape", "bias", "rmsse"]].mean()
    ours, naive = means.loc[MODEL], means.loc[BENCHMARK]
    figures = {f"{level}.{name}": value for level, row in ours.iterrows() for name, value in row.items()}
    figures |= {"wrmsse": ours["rmsse"].mean(), "naive_wrmsse": naive["rmsse"].mean()}
    figures |= {f"{level}.fva": 1 - ours.loc[level, "wape"] / naive.loc[level, "wape"] for level in ours.index}
    figures |= {f"{r.level}.coverage_80.{r.frequency}": r.coverage_80 for r in intervals.itertuples()}
    return {str(name): round(float(value), DIGITS) for name, value in figures.items() if np.isfinite(value)}


def _warnings(intervals: pd.DataFrame) -> tuple[str, ...]:
    low, high = EXPECTED_COVERAGE
    off = intervals[~intervals["coverage_80"].between(low, high) & intervals["coverage_80"].notna()]
    told = ", ".join(f"{r.level} ({r.frequency}) {r.coverage_80:.0%}" for r in off.itertuples())
    return (f"80 % intervals held at the last origin: {told}",) if told else ()


def _periods(values: Floats, frequency: str) -> Floats:
    return values if frequency == "D" else evaluate.by_week(values)


def _table(panel: DailyPanel, level: str, frequency: str, mean: Floats, quantiles: Floats) -> pa.Table:
    nodes, periods = mean.shape
    keys, node = panel.hierarchy.nodes(level), pa.array(np.repeat(np.arange(nodes), periods))
    step = 1 if frequency == "D" else 7
    dates = panel.ahead(periods * step)[::step].to_numpy().astype("datetime64[D]")
    columns: Mapping[str, Any] = {
        "level": pa.repeat(pa.scalar(level), nodes * periods),
        "frequency": pa.repeat(pa.scalar(frequency), nodes * periods),
        **{
            name: pa.array(keys[name], pa.string()).take(node)
            if name in keys
            else pa.nulls(nodes * periods, pa.string())
            for name in KEYS
        },
        "date": pa.array(np.tile(dates, nodes), pa.date32()),
        "mean": pa.array(np.round(mean.ravel(), DIGITS)),
        **{name: pa.array(quantiles[:, :, number].ravel()) for number, name in enumerate(QUANTILE_NAMES)},
    }
    return pa.table(dict(columns))
