"""From panels to the tables of a release: back-test, choice of models, forecasts, season totals, intervals.

Everything here is a function of its arguments; steps.py does the reading, releasing and promoting.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from ml.forecasting import evaluate, models
from ml.forecasting.data import Floats, Level, Panel
from ml.forecasting.decide import Choice, ChoiceRules, RouteRules, choose, route
from ml.forecasting.models.boosting import scale

QUANTILE_NAMES = ("q10", "q50", "q80", "q90")
EXPECTED_COVERAGE = (0.7, 0.9)
"""Outside of it the 80 % interval is reported as off."""


@dataclass(frozen=True)
class Plan:
    """What is asked: the weeks ahead, the season they are added up over, and the rules."""

    horizon: int
    season: str
    season_weeks: tuple[date, ...]
    routes: RouteRules = field(default_factory=RouteRules)
    choice: ChoiceRules = field(default_factory=ChoiceRules)


@dataclass(frozen=True)
class Learned:
    """The tables of a release (see docs/forecasting.md), figures about them, and what a person should look at."""

    tables: dict[str, pa.Table]
    metrics: dict[str, float]
    facts: dict[str, Any]
    warnings: tuple[str, ...]


def learn(panels: dict[Level, Panel], plan: Plan) -> Learned:
    """Learns each level by itself. Raises BadInputError for a history too short for what is asked."""
    levels = [_learn_level(panel, plan) for panel in panels.values()]
    return Learned(
        tables={name: pa.concat_tables([level.tables[name] for level in levels]) for name in levels[0].tables},
        metrics={name: value for level in levels for name, value in level.metrics.items()},
        facts={name: value for level in levels for name, value in level.facts.items()},
        warnings=tuple(warning for level in levels for warning in level.warnings),
    )


def _learn_level(panel: Panel, plan: Plan) -> Learned:
    origins = evaluate.windows(len(panel.weeks), plan.horizon)
    benchmark = models.benchmark(min(origins.cutoffs))
    rows, seconds = evaluate.backtest(panel, origins, plan.routes)
    scored = evaluate.accuracy(rows).assign(level=panel.level)
    choices = _choices(panel.level, scored, benchmark, plan.choice)
    chosen = rows[rows["model"].astype(str) == rows["segment"].map(lambda s: choices[str(s)].model).astype(str)]

    ahead = panel.ahead(plan.horizon)
    season = tuple(i + 1 for i, week in enumerate(ahead) if week.date() in set(plan.season_weeks))
    scored_season = tuple(range(max(1, origins.horizon - len(season) + 1), origins.horizon + 1))
    if set(season) <= set(range(1, origins.horizon + 1)):
        scored_season = season

    quantiles, coverage, last = _honest_quantiles(rows)
    accuracy = _accuracy_table(scored, rows[last], coverage, benchmark)
    totals_coverage = _totals_coverage(chosen, scored_season)

    forecasts, capped, routed = _forecasts(panel, plan, choices)
    weekly = evaluate.calibrate(chosen)
    totals = evaluate.sums(forecasts, season)
    season_quantiles = evaluate.calibrate(evaluate.sums(chosen, scored_season)).quantiles(totals)
    weeks_ahead = pd.Series(ahead, index=range(1, plan.horizon + 1))

    prefix = panel.level
    best = evaluate.accuracy(chosen.assign(level=panel.level), by=("level",)).iloc[0]
    naive = evaluate.accuracy(rows[rows["model"] == benchmark].assign(level=panel.level), by=("level",)).iloc[0]
    overall = float(evaluate.covered(rows[last], quantiles[last])[_is_chosen(rows[last], choices)].mean())
    metrics = {
        f"{prefix}.wape": float(best["wape"]),
        f"{prefix}.rmsse": float(best["rmsse"]),
        f"{prefix}.bias": float(best["bias"]),
        f"{prefix}.fva": float(1 - best["wape"] / naive["wape"]),
        f"{prefix}.coverage_80": overall,
        f"{prefix}.season_coverage_80": totals_coverage,
    }
    return Learned(
        tables={
            "forecasts": _table(panel, forecasts, weekly.quantiles(forecasts), week_start=forecasts["horizon"].map(weeks_ahead)),
            "season_totals": _table(panel, totals.assign(season=plan.season), season_quantiles),
            "backtest": _table(panel, rows, quantiles),
            "accuracy": pa.Table.from_pandas(accuracy, preserve_index=False),
            "routes": pa.Table.from_pandas(routed, preserve_index=False),
        },
        metrics={name: value for name, value in metrics.items() if np.isfinite(value)},
        facts={
            f"{prefix}.seconds_by_model": {name: round(value, 1) for name, value in sorted(seconds.items())},
            f"{prefix}.capped": capped,
            f"{prefix}.cutoffs": [str(panel.weeks[c - 1].date()) for c in origins.cutoffs],
            f"{prefix}.horizon_scored": origins.horizon,
        },
        warnings=_warnings(panel, plan, origins, benchmark, choices, overall, totals_coverage),
    )
