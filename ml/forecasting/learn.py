"""From panels to the tables of a release: back-test, choice of models, forecasts, season totals, intervals.

Everything here is a function of its arguments; steps.py does the reading, releasing and promoting.
"""

import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from coldframe.seasons import Week
from coldframe.settings import get_settings
from ml.forecasting import evaluate, models, season
from ml.forecasting.checks import calendar_end, mixed_units
from ml.forecasting.data import Floats, Ints, Level, Panel
from ml.forecasting.decide import Choice, ChoiceRules, RouteRules, choose, route
from ml.forecasting.models.boosting import scale

log = logging.getLogger(__name__)
Mask = NDArray[np.bool_]
QUANTILE_NAMES = ("q10", "q50", "q80", "q90")
DIGITS = 6
"""Digits kept, so that the last bits of a parallel sum do not make another release."""
EXPECTED_COVERAGE = (0.7, 0.9)
"""Outside of it the 80 % interval is reported as off."""


@dataclass(frozen=True)
class Plan:
    """What is asked: the weeks ahead, the season they are added up over, and the rules.

    `season_weeks` are the weeks after the last known one that the season touches, with their days in it.
    `held` names, by level and segment, models that serve whatever today's back-test prefers; a segment it does not
    name, or whose model can no longer be tested, is chosen for.
    """

    horizon: int
    season: str
    season_weeks: tuple[Week, ...]
    routes: RouteRules = field(default_factory=RouteRules)
    choice: ChoiceRules = field(default_factory=ChoiceRules)
    held: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True)
class Learned:
    """The tables of a release (see docs/forecasting.md), figures about them, and what a person should look at."""

    tables: dict[str, pa.Table]
    metrics: dict[str, float]
    facts: dict[str, Any]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _Level:
    """A level learned: its share of the release, and what its serving models said at past origins and say now."""

    learned: Learned
    tested: pd.DataFrame
    forecasts: pd.DataFrame


def learn(panels: dict[Level, Panel], plan: Plan, catalogue: pd.DataFrame | None = None) -> Learned:
    """Learns each level by itself, side by side, and with a catalogue (season.learn) what each product sells in the
    season. Raises BadInputError for a history too short for what is asked."""
    from joblib.externals.loky import get_reusable_executor

    with ThreadPoolExecutor(min(len(panels), get_settings().threads)) as pool:
        found = dict(zip(panels, pool.map(lambda panel: _learn_level(panel, plan), panels.values()), strict=True))
    # Prophet's workers outlive a process that, as Airflow's tasks do, leaves without its exit handlers.
    get_reusable_executor().shutdown(wait=True)
    levels = [level.learned for level in found.values()]
    tables = {name: pa.concat_tables([level.tables[name] for level in levels]) for name in levels[0].tables}
    metrics = {name: value for level in levels for name, value in level.metrics.items()}
    warnings = [warning for level in levels for warning in level.warnings]
    if catalogue is not None:
        learned = _learn_season(panels, found["category_region"], catalogue, plan)
        tables |= _season_tables(panels["product_region"], learned, plan)
        if learned.coverage is not None:
            metrics["season_coverage_80"] = round(learned.coverage, DIGITS)
            if not EXPECTED_COVERAGE[0] <= learned.coverage <= EXPECTED_COVERAGE[1]:
                warnings.append(f"the 80 % interval of season totals held {learned.coverage:.0%} at the last cutoff")
    return Learned(
        tables=tables,
        metrics=metrics,
        facts={name: value for level in levels for name, value in level.facts.items()},
        # What is odd in the calendar is odd for both levels, and told once.
        warnings=tuple(dict.fromkeys(warnings)),
    )


def _learn_season(panels: dict[Level, Panel], level: _Level, catalogue: pd.DataFrame, plan: Plan) -> season.Season:
    log.info("sharing the season out to %d lines of products", len(panels["product_region"].units))
    categories = panels["category_region"]
    tested = [
        season.Course(cutoff, _course(level.tested[level.tested["cutoff"] == cutoff], len(categories.units)))
        for cutoff in sorted(level.tested["cutoff"].unique().tolist())
    ]
    now = season.Course(len(categories.weeks), _course(level.forecasts, len(categories.units)))
    return season.learn(panels["product_region"], categories, catalogue, tested, now, _ahead(categories, plan))


def _season_tables(products: Panel, learned: season.Season, plan: Plan) -> dict[str, pa.Table]:
    totals, weeks, backtest = learned.totals, learned.weeks, learned.backtest
    price = products.series["gmv_per_unit"].to_numpy()[totals["series"]]
    known = pa.table(
        _names(products, totals)
        | {"season": pa.repeat(pa.scalar(plan.season), len(totals))}
        | _rounded(totals, ("units", *QUANTILE_NAMES, "index"))
        | {"gmv_per_unit": pa.array(np.round(price, DIGITS))}
        | {"model": pa.repeat("shares of the season", len(totals))}
    )
    to_come = learned.to_come.assign(level=products.level, season=plan.season, index=np.nan, model="like items")
    return {
        "season_totals": pa.concat_tables(
            [known, pa.Table.from_pandas(to_come[known.column_names], schema=known.schema, preserve_index=False)]
        ),
        "season_weeks": pa.table(
            _names(products, weeks)
            | {"week_start": _dates(products, (len(products.weeks) + weeks["ahead"] - 1).to_numpy())}
            | _rounded(weeks, ("units",))
        ),
        "season_backtest": pa.table(
            _names(products, backtest)
            | {"cutoff": _last_known(products, backtest["cutoff"].to_numpy()), "known": pa.array(backtest["known"])}
            | _rounded(backtest, season.MEASURES)
        ),
        "errors": pa.Table.from_pandas(learned.errors.round(DIGITS), preserve_index=False),
        "trend": _trend_table(products, learned.trend),
    }


def _trend_table(products: Panel, trend: pd.DataFrame) -> pa.Table:
    """Trends of products, repeated by region. Types are named, because those of a shop without any would be none."""
    rows = products.series[["product_id", "region"]].merge(trend, on="product_id")
    keys = {name: pa.array(rows[name], pa.string()) for name in ("product_id", "region")}
    return pa.table(keys | _rounded(rows, [str(name) for name in rows if name not in keys]))


def _course(rows: pd.DataFrame, series: int) -> Floats:
    """Forecasts as [series, week ahead]; NaN where a series was not forecast."""
    result = np.full((series, int(rows["horizon"].max())), np.nan)
    result[rows["series"], rows["horizon"] - 1] = rows["forecast"]
    return result


def _ahead(panel: Panel, plan: Plan) -> season.Ahead:
    days = {week.start: week.days for week in plan.season_weeks}
    ahead = [days.get(week.date(), 0) for week in panel.ahead(plan.horizon)]
    return season.Ahead(tuple(ahead[: max(n for n, count in enumerate(ahead, start=1) if count)]))


def _learn_level(panel: Panel, plan: Plan) -> _Level:
    origins = evaluate.windows(len(panel.weeks), plan.horizon)
    benchmark = models.benchmark(min(origins.cutoffs))
    rows, seconds = evaluate.backtest(panel, origins, plan.routes)
    scored = evaluate.accuracy(rows).assign(level=panel.level)
    choices = _choices(panel, scored, benchmark, plan)
    chosen = rows[_is_chosen(rows, choices)].reset_index(drop=True)
    quantiles = _honest_quantiles(rows)

    log.info("forecasting %d series of %s", len(panel.units), panel.level)
    forecasts, routed, capped = _forecasts(panel, plan, choices)
    table = _accuracy_table(rows, scored, quantiles, benchmark)
    metrics = _metrics(panel.level, rows, chosen, choices, quantiles, benchmark)
    learned = Learned(
        tables={
            "forecasts": _forecast_table(panel, forecasts, evaluate.calibrate(chosen).quantiles(forecasts)),
            "backtest": _backtest_table(panel, rows, quantiles),
            "accuracy": pa.Table.from_pandas(table, preserve_index=False),
            "routes": pa.Table.from_pandas(routed, preserve_index=False),
        },
        metrics={name: value for name, value in metrics.items() if np.isfinite(value)},
        facts={
            f"{panel.level}.routes": dict(zip(routed["segment"], routed["series"].tolist(), strict=True)),
            f"{panel.level}.models": dict(zip(routed["segment"], routed["model"], strict=True)),
            f"{panel.level}.capped": capped,
            f"{panel.level}.weeks_out_of_stock": panel.estimated,
            f"{panel.level}.origins": [str(panel.weeks[c - 1].date()) for c in origins.cutoffs],
            f"{panel.level}.seconds": {name: round(value, 1) for name, value in sorted(seconds.items())},
        },
        warnings=_warnings(panel, plan, origins, choices, metrics),
    )
    return _Level(learned, chosen, forecasts)


def _choices(panel: Panel, scored: pd.DataFrame, benchmark: str, plan: Plan) -> dict[str, Choice]:
    level = panel.level
    held = {segment: model for of, segment, model in plan.held if of == level}
    result = {}
    for segment, candidates in models.candidates(level, len(panel.weeks)).items():
        part = scored[scored["segment"] == segment]
        if part.empty:
            result[segment] = Choice(level, segment, candidates[0], "no series of this segment could be back-tested")
        else:
            names = [name for name in (benchmark, *candidates) if name in set(part["model"])]
            result[segment] = (
                Choice(level, segment, held[segment], "it served before, and no challenger was let in its place")
                if held.get(segment) in names
                else choose(part.set_index("model").loc[names].reset_index(), benchmark, plan.choice)
            )
    return result


def _is_chosen(rows: pd.DataFrame, choices: dict[str, Choice]) -> Mask:
    serving = rows["segment"].astype(str).map({segment: choice.model for segment, choice in choices.items()})
    result: Mask = (rows["model"].astype(str) == serving).to_numpy()
    return result


def _honest_quantiles(rows: pd.DataFrame) -> Floats:
    """Quantiles at the last cutoff from residuals known by then; NaN at earlier ones."""
    result = np.full((len(rows), len(QUANTILE_NAMES)), np.nan)
    last = (rows["cutoff"] == rows["cutoff"].max()).to_numpy()
    result[last] = evaluate.calibrate(evaluate.known_before_last(rows)).quantiles(rows[last])
    return result


def _accuracy_table(rows: pd.DataFrame, scored: pd.DataFrame, quantiles: Floats, benchmark: str) -> pd.DataFrame:
    inside = rows[["segment", "model"]].assign(inside=evaluate.covered(rows, quantiles))
    coverage = inside.groupby(["segment", "model"], observed=True)["inside"].mean().rename("coverage_80").reset_index()
    base = scored.loc[scored["model"] == benchmark].set_index("segment")["wape"]
    table = scored.astype({"segment": str, "model": str}).merge(
        coverage.astype({"segment": str, "model": str}), on=["segment", "model"], how="left"
    )
    table["benchmark"] = benchmark
    table["fva_vs_snaive"] = 1 - table["wape"] / table["segment"].map(base.rename(index=str))
    names = ["level", "segment", "model", "wape", "rmsse", "bias", "fva_vs_snaive", "benchmark", "coverage_80"]
    table[["wape", "rmsse", "bias", "fva_vs_snaive", "coverage_80"]] = table[
        ["wape", "rmsse", "bias", "fva_vs_snaive", "coverage_80"]
    ].round(DIGITS)
    return table[[*names, "series", "rows", "undefined"]].sort_values(["level", "segment", "model"])


def _metrics(
    level: Level,
    rows: pd.DataFrame,
    chosen: pd.DataFrame,
    choices: dict[str, Choice],
    quantiles: Floats,
    benchmark: str,
) -> dict[str, float]:
    """Figures of the level as it serves, over the segments the benchmark was run on."""
    naive = rows[rows["model"] == benchmark]
    best = chosen[chosen["segment"].isin(naive["segment"].unique())]
    if best.empty:
        return {}
    serving, base = (evaluate.accuracy(part.assign(level=level), by=("level",)).iloc[0] for part in (best, naive))
    inside = evaluate.covered(rows, quantiles)[_is_chosen(rows, choices)]
    figures = {
        "wape": serving["wape"],
        "rmsse": serving["rmsse"],
        "bias": serving["bias"],
        "fva": 1 - serving["wape"] / base["wape"],
        "coverage_80": inside.mean(),
    }
    return {f"{level}.{name}": round(float(value), DIGITS) for name, value in figures.items()}


def _forecasts(panel: Panel, plan: Plan, choices: dict[str, Choice]) -> tuple[pd.DataFrame, pd.DataFrame, int]:
    """Rows by series and week ahead, the routes with their counts, and how many cells were capped."""
    routes = route(panel, plan.routes)
    wanted: dict[str, list[Ints]] = {}
    for segment, choice in choices.items():
        wanted.setdefault(choice.model, []).append(routes.rows(segment))
    asked = {name: np.unique(np.concatenate(rows)) for name, rows in wanted.items()}
    units = scale(panel.units)
    results = models.run(panel, asked, plan.horizon)
    parts = [
        pd.DataFrame(
            {
                "series": np.repeat(forecast.rows, plan.horizon),
                "segment": routes.segment[np.repeat(forecast.rows, plan.horizon)],
                "model": name,
                "horizon": np.tile(np.arange(1, plan.horizon + 1), len(forecast.rows)),
                "actual": 0.0,
                "forecast": forecast.units.ravel(),
                "scale": units[np.repeat(forecast.rows, plan.horizon)],
                "cutoff": len(panel.weeks),
            }
        )
        for name, forecast in results.items()
    ]
    counted = [
        {
            "level": panel.level,
            "segment": segment,
            "model": choices[segment].model if segment in choices else "none",
            "series": len(routes.rows(segment)),
            "reason": routes.reasons[segment] + (f"; {choices[segment].reason}" if segment in choices else ""),
        }
        for segment in routes.reasons
        if segment in choices or len(routes.rows(segment))
    ]
    rows = pd.concat(parts, ignore_index=True).sort_values(["series", "horizon"], ignore_index=True)
    return rows, pd.DataFrame(counted), sum(forecast.capped for forecast in results.values())


def _warnings(
    panel: Panel, plan: Plan, origins: evaluate.Windows, choices: dict[str, Choice], metrics: dict[str, float]
) -> tuple[str, ...]:
    found = [
        f"{choice.level} {choice.segment}: {choice.model} serves because {choice.reason}"
        for choice in choices.values()
        if choice.lost_to_benchmark
    ]
    low, high = EXPECTED_COVERAGE
    value = metrics.get(f"{panel.level}.coverage_80", float("nan"))
    if isfinite(value) and not low <= value <= high:
        found.append(f"{panel.level}: the 80 % interval of weeks held {value:.0%} at the last cutoff")
    if origins.horizon < plan.horizon:
        found.append(
            f"{panel.level}: {len(panel.weeks)} weeks of history let the back-test look {origins.horizon} weeks ahead; "
            f"{plan.horizon} are forecast, the later ones with the intervals of the last weeks scored"
        )
    names = panel.series["product_id"].fillna(panel.series["category"]) + " in " + panel.series["region"]
    calendar = panel.events.rename(columns={"week_start": "ds"})
    odd = (
        mixed_units(panel.units, names),
        calendar_end(calendar, panel.weeks[-1], panel.ahead(plan.horizon)[-1], weekly=True),
    )
    return (*found, *(warning for warning in odd if warning))


def _names(panel: Panel, rows: pd.DataFrame) -> dict[str, pa.Array]:
    where = pa.array(rows["series"].to_numpy())
    return {
        "level": pa.repeat(pa.scalar(panel.level), len(rows)),
        "product_id": pa.array(panel.series["product_id"], pa.string()).take(where),
        "category": pa.array(panel.series["category"], pa.string()).take(where),
        "region": pa.array(panel.series["region"], pa.string()).take(where),
    }


def _numbers(rows: pd.DataFrame, quantiles: Floats, name: str) -> dict[str, pa.Array]:
    columns = {name: rows["forecast"].to_numpy(), **dict(zip(QUANTILE_NAMES, quantiles.T, strict=True))}
    return {key: pa.array(np.round(values, DIGITS), from_pandas=True) for key, values in columns.items()}


def _labels(rows: pd.DataFrame) -> dict[str, pa.Array]:
    return {name: pa.array(rows[name].astype(str), pa.string()) for name in ("model", "segment")}


def _dates(panel: Panel, week: Ints) -> pa.Array:
    first = panel.weeks[0].to_datetime64().astype("datetime64[D]")
    return pa.array(first + 7 * week.astype("timedelta64[D]"), pa.date32())


def _forecast_table(panel: Panel, rows: pd.DataFrame, quantiles: Floats) -> pa.Table:
    return pa.table(
        _names(panel, rows)
        | {
            "week_start": _dates(panel, (rows["cutoff"] + rows["horizon"] - 1).to_numpy()),
            "horizon": pa.array(rows["horizon"], pa.int32()),
        }
        | _numbers(rows, quantiles, "units")
        | _labels(rows)
    )


def _rounded(rows: pd.DataFrame, names: Iterable[str]) -> dict[str, pa.Array]:
    return {name: pa.array(rows[name].to_numpy(dtype=float).round(DIGITS), from_pandas=True) for name in names}


def _last_known(panel: Panel, cutoff: Ints) -> pa.Array:
    """The last day that was known: the Sunday of the last known week."""
    return pa.array(_dates(panel, cutoff).to_numpy(zero_copy_only=False) - np.timedelta64(1, "D"), pa.date32())


def _backtest_table(panel: Panel, rows: pd.DataFrame, quantiles: Floats) -> pa.Table:
    cutoff = rows["cutoff"].to_numpy()
    return pa.table(
        _names(panel, rows)
        | {
            "cutoff": _last_known(panel, cutoff),
            "week_start": _dates(panel, cutoff + rows["horizon"].to_numpy() - 1),
            "horizon": pa.array(rows["horizon"], pa.int32()),
            "actual": pa.array(rows["actual"].to_numpy()),
        }
        | _numbers(rows, quantiles, "forecast")
        | _labels(rows)
    )
