"""The step `forecast_daily` and the service that hands its forecasts out.

Schedule, training and promotion are three things: the step always answers with a release of today's facts, made once
for the same facts and code; whether that release serves is the promotion policy's answer.
"""

import json
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq

from coldframe import snapshots
from coldframe.errors import ConfigurationError, NotAvailableError
from coldframe.paths import workspace
from coldframe.run import Request, StepResult
from coldframe.settings import get_settings
from ml.forecasting.daily import panel
from ml.forecasting.daily.hierarchy import Hierarchy
from ml.forecasting.daily.intervals import FREQUENCIES
from ml.forecasting.daily.learn import BENCHMARK, train
from ml.promotion import PromotionDecision, Scores, decide_promotion
from ml.registry import Registry, Release, code_hash

NAME = "forecasting_daily"


def forecast_daily(request: Request) -> StepResult:
    """Back-tests, forecasts and releases `request.horizon_days` days of every level.

    Raises NotAvailableError where no snapshot of the request's day is published, BadInputError for facts that cannot
    be learned from.
    """
    space = workspace(request.source)
    snapshot = snapshots.of_day(space, request.as_of)
    registry = Registry(space)
    params = {"horizon_days": request.horizon_days, "code": code_hash(Path(__file__).parent)}
    made = [] if request.force else registry.made_from(NAME, request.as_of, snapshot.id, params)
    if made:
        release = made[0]
    else:
        learned = train(panel.load(snapshot), request.horizon_days)
        summary = {"warnings": learned.warnings, "facts": learned.facts}
        release = registry.release(
            NAME,
            request.as_of,
            snapshot.id,
            params,
            learned.metrics,
            learned.tables,
            {"summary.json": json.dumps(summary, sort_keys=True).encode()},
        )
    decision = _decide(registry, release)
    champion = registry.champion(NAME)
    # An older day made again serves that day; it does not take the place of a newer one.
    if decision.action == "promote" and (champion is None or champion.as_of <= release.as_of):
        registry.promote(NAME, release, decision)
    shown = json.loads(release.artefact("summary.json"))
    done = "serves" if decision.action == "promote" else "does not serve"
    return StepResult(
        step="forecast_daily",
        summary=(
            f"release {release.id} {done}: WRMSSE {release.metrics['wrmsse']:.3f} over all levels, "
            f"{1 - release.metrics['wrmsse'] / release.metrics['naive_wrmsse']:.0%} below last week's"
        ),
        reused=bool(made),
        warnings=tuple(shown["warnings"]) + (() if decision.action == "promote" else decision.reasons),
        facts={"release_id": release.id, "promotion": decision.action, "promotion_reasons": list(decision.reasons)}
        | release.metrics
        | shown["facts"],
        links={"release": str(release.path)},
    )


def write_forecast(
    source: str | None, as_of: date, horizon: int, frequency: str, level: str, out: Path
) -> dict[str, Any]:
    """Writes the forecasts made on `as_of` of one level to a Parquet file: keys of the level, date (the first day of a
    week), mean, q10, q50, q90, vintage and release; says what was written. Without a source, the installation's is
    taken, or the only other one with a forecast of that day.

    Raises ConfigurationError for a level, frequency or horizon there is not, NotAvailableError where no release of
    that day serves.
    """
    source = source or _only_source(as_of)
    frequency = frequency.upper()
    if frequency not in FREQUENCIES:
        raise ConfigurationError(
            f"--freq is {frequency!r}; there are {', '.join(f'{name} ({what})' for name, what in FREQUENCIES.items())}."
        )
    registry = Registry(workspace(source))
    release = _serving(registry, as_of)
    longest = int(release.params["horizon_days"])
    if not 1 <= horizon <= longest:
        raise ConfigurationError(
            f"--horizon is {horizon} days; release {release.id} reaches {longest}. Train as far as you ask: "
            f"coldframe train forecast --source {source} --as-of {as_of} --horizon-days {max(horizon, 1)}"
        )
    if frequency == "W" and horizon % 7:
        raise ConfigurationError(f"--horizon is {horizon} days, which is no number of whole weeks.")
    forecasts = release.file("forecasts")
    with duckdb.connect() as connection:
        known = [row[0] for row in connection.execute(f"select distinct level from '{forecasts}'").fetchall()]
        name, keys = Hierarchy.find(level, known)
        out.parent.mkdir(parents=True, exist_ok=True)
        unfinished = out.with_name(f".{out.name}.unfinished")
        try:
            connection.execute(
                f"""
                copy (
                    select {"".join(f"{key}, " for key in keys)}date, mean, q10, q50, q90,
                        date '{as_of}' as vintage, '{release.id}' as release
                    from '{forecasts}'
                    where level = '{name}' and frequency = '{frequency}' and date <= date '{as_of}' + {horizon}
                    order by all
                ) to '{unfinished}' (format parquet)
                """
            )
            unfinished.replace(out)
        finally:
            unfinished.unlink(missing_ok=True)
    return {"rows": pq.read_metadata(out).num_rows, "level": name, "release": release.id, "path": str(out)}


def _only_source(as_of: date) -> str:
    settings = get_settings()
    made = sorted({path.parents[2].name for path in settings.home.glob(f"sources/*/releases/{NAME}/{as_of}-*")})
    return settings.source if settings.source in made or len(made) != 1 else made[0]


def _serving(registry: Registry, as_of: date) -> Release:
    """The release of that very day that may serve, the last one made of several."""
    source = registry.workspace.source
    every = registry.releases(NAME)
    found = [release for release in every if release.as_of == as_of]
    if not found:
        made = ", ".join(sorted({str(release.as_of) for release in every})[-5:]) or "none"
        raise NotAvailableError(
            f"{source} has no daily forecast made on {as_of} (there are those of: {made}). Make one: "
            f"coldframe train forecast --source {source} --as-of {as_of}"
        )
    found.sort(key=lambda release: (release.path / "manifest.json").stat().st_mtime)
    decisions = {release.id: _decide(registry, release) for release in found}
    serving = [release for release in found if decisions[release.id].action == "promote"]
    if not serving:
        raise NotAvailableError(
            f"The daily forecast of {as_of} ({found[-1].id}) does not serve: "
            f"{'; '.join(decisions[found[-1].id].reasons)}."
        )
    return serving[-1]


def _decide(registry: Registry, release: Release) -> PromotionDecision:
    return decide_promotion(None, _scores(release), veto=registry.veto(NAME, release.id))


def _scores(release: Release) -> Scores:
    accuracy = release.table("accuracy")
    windows = ",".join(sorted({str(day) for day in accuracy["cutoff"]}))
    losses = accuracy.groupby("model")["rmsse"].mean()
    method = release.table("method")["method"].iloc[0]
    return Scores(release.id, release.as_of, windows, float(losses[method]), float(losses[BENCHMARK]))
