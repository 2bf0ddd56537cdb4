"""From a daily panel to the tables of a release.

Training back-tests every method, chooses one, and makes intervals of its errors. A refresh forecasts today's facts by
a method chosen before, which takes a fifth of the time.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from ml.forecasting.daily import engine, evaluate, intervals
from ml.forecasting.daily.checks import check
from ml.forecasting.daily.components import PROPHET, components
from ml.forecasting.daily.evaluate import Floats, Pair, Tested
from ml.forecasting.daily.hierarchy import KEYS
from ml.forecasting.daily.intervals import FREQUENCIES, QUANTILE_NAMES, SCATTER_DAYS, Errors, Intervals, summed
from ml.forecasting.daily.methods import METHODS, available, choose
from ml.forecasting.daily.panel import DailyPanel
from ml.registry import Release

log = logging.getLogger(__name__)
DIGITS, QUANTILE_DIGITS = 6, 3
BENCHMARK = "seasonal_naive"
EXPECTED_ABOVE = (0.05, 0.15)
"""Share of periods above the 90 % quantile outside of which the intervals are reported as off."""


@dataclass(frozen=True)
class Method:
    """What training chose: a name of methods.METHODS, why, and intervals by level and frequency."""

    name: str
    reason: str
    intervals: Mapping[tuple[str, str], Intervals]

    @classmethod
    def read(cls, release: Release) -> "Method":
        """The method a release was made by."""
        row = release.table("method").iloc[0]
        found = {}
        for (level, frequency), part in release.table("offsets").groupby(["level", "frequency"], sort=False):
            shape = (part["bucket"].max() + 1, part["bin"].max() + 1, len(QUANTILE_NAMES))
            ordered = part.sort_values(["bucket", "bin"])
            edges = ordered.loc[ordered["bucket"] == 0, "up_to"].to_numpy()[:-1]
            offsets = ordered[list(QUANTILE_NAMES)].to_numpy().reshape(shape)
            found[str(level), str(frequency)] = Intervals(edges, offsets)
        return cls(row["method"], row["reason"], found)

    def tables(self) -> dict[str, pa.Table]:
        """What `read` reads: `method` and `offsets`."""
        rows = [
            (level, frequency, bucket, bin_, up_to, *of_bin)
            for (level, frequency), made in self.intervals.items()
            for bucket, of_bucket in enumerate(made.offsets)
            for bin_, (up_to, of_bin) in enumerate(zip((*made.edges, np.inf), of_bucket, strict=True))
        ]
        offsets = pd.DataFrame(rows, columns=["level", "frequency", "bucket", "bin", "up_to", *QUANTILE_NAMES])
        return {
            "method": pa.table({"method": [self.name], "reason": [self.reason]}),
            "offsets": pa.Table.from_pandas(offsets, preserve_index=False),
        }


@dataclass(frozen=True)
class Learned:
    """Tables of a release (docs/forecasting.md), figures about them, and what a person should look at."""

    tables: dict[str, pa.Table]
    metrics: dict[str, float]
    facts: dict[str, Any]
    warnings: tuple[str, ...]


def train(panel: DailyPanel, horizon: int, standing: pd.DataFrame | None = None) -> Learned:
    """Back-tests every method, chooses one and forecasts `horizon` days ahead by it.

    `standing` (product_id, region, date, mean) is the forecast that serves until now; a category that fails stands on
    it. Raises BadInputError for a history too short for that.
    """
    tested = evaluate.backtest(panel, horizon)
    log.info("comparing methods on %d origins", len(tested))
    accuracy = _accuracy(panel, tested, horizon)
    name, reason = choose(accuracy)
    tests: list[pa.Table] = []
    held: list[dict[str, Any]] = []
    made: dict[tuple[str, str], Intervals] = {}
    for level in panel.hierarchy.levels:
        log.info("intervals of %s", level)
        found = evaluate.pairs(panel, tested, level, name)
        for frequency in FREQUENCIES:
            if frequency == "W" and horizon < 7:
                continue
            errors = [pair.errors(frequency) for pair in found]
            made[level, frequency] = intervals.calibrate(errors)
            honest = _honest(errors)
            held.append({"level": level, "frequency": frequency, "origins": len(found)} | _held(errors, honest))
            if frequency == "D":
                tests += [_backtest_table(panel, level, name, *one) for one in zip(found, honest, strict=True)]
    method = Method(name, reason, made)
    intervals_table = pd.DataFrame(held).round(DIGITS)
    done = refresh(panel, horizon, method, standing)
    return Learned(
        tables=done.tables
        | {
            "accuracy": pa.Table.from_pandas(accuracy.round(DIGITS), preserve_index=False),
            "intervals": pa.Table.from_pandas(intervals_table, preserve_index=False),
            "backtest": pa.concat_tables(tests).unify_dictionaries(),
            "components": pa.concat_tables([done.tables["components"], components(panel, horizon, PROPHET)]),
        },
        metrics=_metrics(accuracy, name, intervals_table),
        facts=done.facts
        | {
            "origins": [str(panel.days[one.cutoff - 1].date()) for one in tested],
            "scored_days_out_of_stock": panel.days_out_of_stock(since=tested[0].cutoff),
        },
        warnings=done.warnings + _warnings(intervals_table),
    )


def refresh(panel: DailyPanel, horizon: int, method: Method, standing: pd.DataFrame | None = None) -> Learned:
    """Forecasts `horizon` days ahead by a method chosen before; `standing` as in `train`. Has no metrics.

    Raises BadInputError for a history too short.
    """
    log.info("forecasting %d series %d days ahead by %s", len(panel.units), horizon, method.name)
    views = engine.look(panel, horizon)
    final = engine.combine(views, panel, METHODS[method.name], _standing(panel, horizon, standing))
    tables = []
    for level in panel.hierarchy.levels:
        ahead = panel.hierarchy.sums(level, final.units)
        before = panel.hierarchy.sums(level, np.nan_to_num(panel.units[:, -SCATTER_DAYS:]))
        stale = panel.hierarchy.sums(level, final.stale) > 0
        for frequency in FREQUENCIES:
            if (level, frequency) in method.intervals:
                mean = summed(ahead, frequency)
                scatter = intervals.scatter(before, frequency)
                quantiles = method.intervals[level, frequency].quantiles(mean, scatter)
                tables.append(_forecast_table(panel, level, frequency, mean, quantiles, stale))
    routes = pd.Series(final.route).value_counts()
    reasons = pd.DataFrame({"route": list(engine.ROUTES), "reason": list(engine.ROUTES.values())})
    reasons["series"] = reasons["route"].map(routes).fillna(0).astype("int64")
    unusable = views.of_nodes.unusable
    return Learned(
        tables={
            "forecasts": pa.concat_tables(tables).unify_dictionaries(),
            "routes": pa.Table.from_pandas(reasons, preserve_index=False),
            "series": pa.table(
                {
                    "product_id": panel.hierarchy.keys["product_id"],
                    "region": panel.hierarchy.keys["region"],
                    "route": final.route.astype(str),
                }
            ),
            "components": components(panel, horizon),
        }
        | method.tables(),
        metrics={},
        facts={
            "method": method.name,
            "method_reason": method.reason,
            "routes": {name: int(count) for name, count in routes.items()},
            "capped": final.capped,
            "unusable_nodes": unusable,
            "failed": dict(final.failed),
        },
        warnings=(
            *check(panel, horizon),
            *(f"{count} nodes have no usable forecast of {name}: others served" for name, count in unusable.items()),
            *(
                f"category {name} has no forecast of today's facts ({why}): its {_count(panel, name)} series stand on "
                "the forecast before, or on last week where there is none"
                for name, why in final.failed.items()
            ),
        ),
    )


def _count(panel: DailyPanel, category: str) -> int:
    return int((panel.hierarchy.keys["category"] == category).sum())


def _standing(panel: DailyPanel, horizon: int, rows: pd.DataFrame | None) -> Floats | None:
    """[series, day ahead] of rows product_id, region, date, mean; NaN where there is none."""
    if rows is None:
        return None
    index = pd.MultiIndex.from_frame(panel.hierarchy.keys[["product_id", "region"]])
    wide = rows.pivot_table(index=["product_id", "region"], columns="date", values="mean")
    wide.columns = pd.DatetimeIndex(wide.columns)
    return wide.reindex(index=index, columns=panel.ahead(horizon)).to_numpy(dtype=float)


def _accuracy(panel: DailyPanel, tested: Sequence[Tested], horizon: int) -> pd.DataFrame:
    parts = []
    for one in tested:
        if one.views is None:
            continue
        history = panel.until(one.cutoff)
        methods = available(one.of_nodes.nodes)
        said = {name: engine.combine(one.views, history, blend).units for name, blend in methods.items()}
        table = evaluate.accuracy(panel, one.cutoff, said | {BENCHMARK: engine.seasonal_naive(history, horizon)})
        table.insert(2, "cutoff", panel.days[one.cutoff - 1].date())
        parts.append(table)
    return pd.concat(parts, ignore_index=True)


def _honest(errors: Sequence[Errors]) -> list[Floats | None]:
    """Quantiles at each origin from errors known before it: of the later half of the origins, and never the first."""
    begin = max(1, len(errors) // 2)
    return [
        intervals.calibrate(errors[:number]).quantiles(one.forecast, one.scatter) if number >= begin else None
        for number, one in enumerate(errors)
    ]


def _held(errors: Sequence[Errors], honest: Sequence[Floats | None]) -> dict[str, float]:
    """What honest intervals held, all of their origins together; nothing with one origin."""
    told = [(quantiles, one.actual) for quantiles, one in zip(honest, errors, strict=True) if quantiles is not None]
    if not told:
        return dict.fromkeys(("coverage_80", "below_q10", "above_q90", "pinball"), float("nan"))
    quantiles, came = zip(*told, strict=True)
    return intervals.held(np.concatenate(quantiles), np.concatenate(came))


def _metrics(accuracy: pd.DataFrame, name: str, table: pd.DataFrame) -> dict[str, float]:
    means = accuracy.groupby(["model", "level"])[["wape", "bias", "rmsse"]].mean()
    ours, naive = means.loc[name], means.loc[BENCHMARK]
    figures = {f"{level}.{measure}": value for level, row in ours.iterrows() for measure, value in row.items()}
    figures |= {"wrmsse": ours["rmsse"].mean(), "naive_wrmsse": naive["rmsse"].mean()}
    figures |= {f"{level}.fva": 1 - ours.loc[level, "wape"] / naive.loc[level, "wape"] for level in ours.index}
    for measure in ("coverage_80", "above_q90"):
        figures |= {f"{r.level}.{measure}.{r.frequency}": getattr(r, measure) for r in table.itertuples()}
    return {str(key): round(float(value), DIGITS) for key, value in figures.items() if np.isfinite(value)}


def _warnings(table: pd.DataFrame) -> tuple[str, ...]:
    low, high = EXPECTED_ABOVE
    off = table[~table["above_q90"].between(low, high) & table["above_q90"].notna()]
    told = ", ".join(f"{r.level} ({r.frequency}) {r.above_q90:.0%}" for r in off.itertuples())
    return (f"above the 90 % quantile, where a tenth is expected, lay in the back-test: {told}",) if told else ()


def _key_columns(panel: DailyPanel, level: str, node: Floats) -> dict[str, pa.Array]:
    """Key columns of rows whose nodes' numbers are given; empty where the level has no such key."""
    keys, rows = panel.hierarchy.nodes(level), pa.array(node.astype(np.int32))
    columns: dict[str, pa.Array] = {"level": _constant(level, len(node))}
    for name in KEYS:
        if name in keys:
            names = keys[name].astype("string").astype("category")
            codes = pa.array(names.cat.codes.to_numpy().astype(np.int32)).take(rows)
            columns[name] = pa.DictionaryArray.from_arrays(codes, pa.array(names.cat.categories, pa.string()))
        else:
            columns[name] = pa.DictionaryArray.from_arrays(pa.nulls(len(node), pa.int32()), pa.array([], pa.string()))
    return columns


def _constant(value: str, length: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(length, dtype=np.int32)), pa.array([value]))


def _quantile_columns(quantiles: Floats) -> dict[str, pa.Array]:
    flat = np.round(quantiles.reshape(-1, len(QUANTILE_NAMES)), QUANTILE_DIGITS).astype(np.float32)
    return {name: pa.array(flat[:, number], from_pandas=True) for number, name in enumerate(QUANTILE_NAMES)}


def _forecast_table(
    panel: DailyPanel, level: str, frequency: str, mean: Floats, quantiles: Floats, stale: Floats
) -> pa.Table:
    nodes, periods = mean.shape
    node = np.repeat(np.arange(nodes), periods)
    step = {"D": 1, "W": 7}.get(frequency, 1)
    dates = panel.ahead(periods * step)[::step].to_numpy().astype("datetime64[D]")
    return pa.table(
        _key_columns(panel, level, node)
        | {
            "frequency": _constant(frequency, nodes * periods),
            "date": pa.array(np.tile(dates, nodes), pa.date32()),
            "mean": pa.array(np.round(mean.ravel(), DIGITS)),
        }
        | _quantile_columns(quantiles)
        | {"stale": pa.array(np.repeat(stale, periods))}
    )


def _backtest_table(panel: DailyPanel, level: str, method: str, pair: Pair, quantiles: Floats | None) -> pa.Table:
    """Rows of one origin. Quantiles are those that errors known by then gave; empty where none were known.

    Nodes that were forecast to sell nothing and sold nothing are left out: they are most of a large shop.
    """
    horizon = pair.forecast.shape[1]
    history = panel.until(pair.cutoff)
    naive = panel.hierarchy.sums(level, engine.seasonal_naive(history, horizon))[pair.node]
    told = (pair.forecast > 0).any(axis=1) | (pair.actual > 0).any(axis=1) | (naive > 0).any(axis=1)
    count = int(told.sum())
    dates = history.ahead(horizon).to_numpy().astype("datetime64[D]")
    cutoff = np.datetime64(history.days[-1].date(), "D")
    unknown = np.full((*pair.forecast.shape, len(QUANTILE_NAMES)), np.nan, dtype=np.float32)
    return pa.table(
        _key_columns(panel, level, np.repeat(pair.node[told], horizon))
        | {
            "model": _constant(method, count * horizon),
            "cutoff": pa.array(np.full(count * horizon, cutoff), pa.date32()),
            "date": pa.array(np.tile(dates, count), pa.date32()),
            "horizon": pa.array(np.tile(np.arange(1, horizon + 1, dtype=np.int16), count)),
            "actual": pa.array(pair.actual[told].ravel().astype(np.float32)),
            "forecast": pa.array(np.round(pair.forecast[told].ravel(), DIGITS).astype(np.float32)),
            BENCHMARK: pa.array(naive[told].ravel().astype(np.float32)),
        }
        | _quantile_columns((unknown if quantiles is None else quantiles)[told])
    )
