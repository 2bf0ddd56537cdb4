"""The step ``assortment``: forecasts in, a draft plan out, one line a product, region and category."""

import pandas as pd

from coldframe import plans, seasons, snapshots
from coldframe.ledger import Ledger, PlanDraft
from coldframe.paths import workspace
from coldframe.run import Request, StepResult
from coldframe.seasons import Season
from coldframe.snapshots import Snapshot
from ml.assortment import asked, saved, visits
from ml.assortment.backtest import shares_of_oracle
from ml.assortment.choice import Substitution
from ml.assortment.data import (
    LEAST_UNITS,
    SeasonForecast,
    candidates,
    empty_cells,
    hand_over,
    regions_without_history,
    season_forecast,
    unforecast,
)
from ml.assortment.plan import MONEY, Inputs, Terms, decide_cells, plan
from ml.registry import Registry

_NAMED = 3
LEARNED = tuple(Substitution.__dataclass_fields__)


def assortment(request: Request) -> StepResult:
    """Decides the season's assortment and saves it as a draft, with what it was decided by beside it for a what-if.

    Raises NotAvailableError where no snapshot of that day is published, where no forecast serves that is fresh enough
    or covers the season, ConfigurationError for rules that name what is not there or cannot be kept together.
    """
    terms = Terms.of(request)
    place = workspace(request.source)
    snapshot = snapshots.of_day(place, request.as_of)
    merchants = "dim_merchant" in snapshot.tables
    asked.refuse_unknown(
        terms,
        snapshot.frame("dim_product"),
        snapshot.frame("dim_merchant") if merchants else pd.DataFrame(columns=["tier"]),
    )
    forecast = season_forecast(Registry(place), request.as_of)
    season = seasons.resolve(request.season, request.as_of, snapshot.frame("dim_calendar"))
    inputs = _inputs(request, snapshot, forecast, season)
    asked.refuse_unknown_regions(terms, set(inputs.candidates["region"]))
    decided = decide_cells(inputs, terms)
    planned = plan(inputs, terms, decided)
    backtest = shares_of_oracle(pd.read_parquet(forecast.backtest), terms.slots)
    summary = planned.summary | {"backtest": backtest}
    draft = PlanDraft(
        kind="assortment",
        source=request.source,
        as_of=request.as_of,
        season=season.name,
        valid_from=season.first_day,
        valid_until=season.last_day,
        snapshot_id=snapshot.id,
        release_ids={forecast.release.model: forecast.release.id},
        parameters=terms.model_dump(mode="json"),
        summary=summary,
        lines=planned.lines,
    )
    made, folder = plans.save(place, draft)
    saved.save(folder, inputs, decided)
    value, low, high = (planned.summary[name] for name in ("value", "value_low", "value_high"))
    ranged = sum(line.action == "range" for line in planned.lines)
    return StepResult(
        step="assortment",
        summary=(
            f"plan {made.plan_id} for {season.name}: {ranged:,} options in {len(decided):,} cells, expected "
            f"{MONEY[terms.objective]} {value:,.0f} ({low:,.0f} – {high:,.0f})"
        ),
        warnings=planned.notes,
        facts={"plan_id": made.plan_id, "lines": len(planned.lines)} | planned.facts | summary,
        links={"plan": str(folder / "plan.csv")},
    )


def _inputs(request: Request, snapshot: Snapshot, forecast: SeasonForecast, season: Season) -> Inputs:
    found = candidates(snapshot, forecast, season, request, _in_force(request))
    fitted = visits.fit(snapshot, request.as_of)
    learned = [(*key, *(getattr(cell, name) for name in LEARNED)) for key, cell in sorted(fitted.cells.items())]
    known = pd.DataFrame(learned, columns=["region", "category", *LEARNED])
    known = known.astype({name: float for name in LEARNED if name != "source"}).rename(
        columns={"source": "substitution"}
    )
    found, handed_over = hand_over(snapshot, found, request)
    notes = [*fitted.notes, *handed_over]
    if forecast.release.as_of != request.as_of:
        notes.append(f"the serving forecast {forecast.release.id} is as of {forecast.release.as_of}")
    notes += [
        f"must-keep {product} has no forecast in any region, so no region ranges it"
        for product in unforecast(found, request.must_keep)
    ]
    if empty := empty_cells(forecast, season, found):
        notes.append(
            f"{len(empty):,} cells range nothing, because no product there is expected to sell {LEAST_UNITS:g} units "
            f"in the season: {_some(empty)}"
        )
    if without := regions_without_history(snapshot, forecast):
        notes.append(
            f"{len(without):,} regions have nothing to range, because nothing has sold there that could be forecast, "
            f"and nothing is borrowed from other regions: {_some(without)}"
        )
    return Inputs(found.merge(known, on=["region", "category"], how="left"), season, forecast.errors, tuple(notes))


def _in_force(request: Request) -> set[tuple[str, str]] | None:
    """Region and product_id of what the plan in force on the request's day ranges; None where there is no such plan."""
    ledger = Ledger.open()
    for plan_ in ledger.plans(source=request.source, kind="assortment", status="published"):
        if plan_.valid_from <= request.as_of <= plan_.valid_until:
            return {(li.region, li.product_id) for li in ledger.lines(plan_.plan_id) if li.action == "range"}
    return None


def _some(names: list[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else "")
