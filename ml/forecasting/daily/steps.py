"""The step `forecast_daily` and the service that hands its forecasts out.

Schedule, training and promotion are three things: whenever the step runs, one policy says whether anything is due, and
another whether what was trained may serve. What loses is a method, never today's facts: those are then forecast by the
method that serves. When this is wrong, people order by a forecast nobody chose, or by one of last month.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow.parquet as pq

from coldframe import snapshots
from coldframe.errors import BadInputError, ConfigurationError, NotAvailableError
from coldframe.files import check_out, whole
from coldframe.paths import workspace
from coldframe.run import MOST_DAYS, Request, StepResult
from coldframe.settings import get_settings
from ml.forecasting import censoring, conformal
from ml.forecasting.daily import panel as panels
from ml.forecasting.daily import vintages
from ml.forecasting.daily.hierarchy import Hierarchy
from ml.forecasting.daily.intervals import FREQUENCIES
from ml.forecasting.daily.learn import BENCHMARK, Learned, Method, refresh, train
from ml.forecasting.daily.methods import METHODS
from ml.forecasting.daily.panel import DailyPanel
from ml.forecasting.daily.vintages import NAME, trained
from ml.forecasting.decide import Made, RetrainDecision, RetrainPolicy, decide_retraining
from ml.promotion import PromotionDecision, Scores, decide_promotion, decided
from ml.registry import Registry, Release, code_hash

POLICY = RetrainPolicy(every_days=28, refreshes=True)
"""A window of the back-test is 28 days by default: before as many have passed, training has no whole new one to see."""
COPIED = ("accuracy", "intervals")
"""Tables a refreshed release repeats from the training its method comes from; the others stay there."""


def forecast_daily(request: Request) -> StepResult:
    """Reuses the champion, forecasts today's facts by its method, or trains a challenger; a policy says which and why.

    A day older than the champion's is made by what answered by then, answers for itself and moves nothing. Raises
    NotAvailableError where no snapshot of the request's day is published, BadInputError for facts that cannot be
    learned from; then the champion stands, and the message says so.
    """
    work = _Work(request)
    try:
        return _forecast(work)
    except BadInputError as error:
        if work.champion is None:
            raise
        stands = f"Until then {_reach(work.champion)} stands"
        raise BadInputError(f"{error} {stands}: coldframe forecast --as-of {work.champion.as_of}") from error


def _forecast(work: "_Work") -> StepResult:
    champion = work.champion
    retraining = work.retraining()
    facts: dict[str, Any] = {"retraining": retraining.action, "retraining_reasons": list(retraining.reasons)}
    facts |= {"retraining_decision": retraining.decision_id}
    if champion is not None and retraining.action == "reuse":
        return _result(champion, facts, f"reused release {champion.id}: {retraining.reasons[0]}", reused=True)
    warnings: tuple[str, ...] = ()
    if champion is not None and retraining.action == "refresh":
        release, reused = work.refreshed(champion)
        promotion = decided("refresh", retraining.reasons, retraining.evidence)
    else:
        release, reused = work.trained()
        promotion = work.promotion(release)
        if promotion.action == "keep":
            warnings = (f"release {release.id} does not serve: {'; '.join(promotion.reasons)}",)
            if champion is not None and work.method is not None:
                release, reused = work.refreshed(champion)
                reasons = (f"the method of champion {champion.id}, with today's facts", *promotion.reasons)
                promotion = decided("refresh", reasons, promotion.evidence)
    work.settle(release, promotion)
    facts |= {
        "promotion": promotion.action,
        "promotion_reasons": list(promotion.reasons),
        "promotion_decision": promotion.decision_id,
    }
    done = "does not serve" if promotion.action == "keep" else "serves"
    return _result(release, facts, f"release {release.id} {done}: {promotion.reasons[0]}", reused, warnings)


class _Work:
    """One run: what serves, what it was made of, and what can be made of today's facts.

    `past`: what serves now knows more than this run may, and `champion` is what answered by the run's day. `method` is
    the champion's, None where this code has no such method any more.
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        space = workspace(request.source)
        self.snapshot = snapshots.of_day(space, request.as_of)
        self.registry = Registry(space)
        serving = self.registry.champion(NAME)
        self.past = serving is not None and serving.as_of > request.as_of
        self.champion = self._by_then() if self.past else serving
        self.method = None if self.champion is None else _method(self.champion)
        code = code_hash(Path(__file__).parent, Path(censoring.__file__), Path(conformal.__file__))
        self.params: dict[str, Any] = {"horizon_days": request.horizon_days, "code": code}

    def _by_then(self) -> Release | None:
        answering = self.registry.answering(NAME)
        days = [day for day in answering if day <= self.request.as_of]
        return self.registry.load(NAME, answering[max(days)]) if days else None

    @cached_property
    def panel(self) -> DailyPanel:
        return panels.load(self.snapshot)

    def retraining(self) -> RetrainDecision:
        """Whether anything is to be made, and why."""
        as_of, force = self.request.as_of, self.request.force
        now = Made("", as_of, as_of, self.snapshot.id, _asked(self.params), self.params["code"])
        if self.champion is None:
            return decide_retraining(None, now, force, POLICY)
        champion = Made(
            self.champion.id,
            self.champion.as_of,
            self._trained_on(self.champion),
            self.champion.snapshot_id,
            _asked(self.champion.params),
            self.champion.params["code"],
        )
        live = vintages.live_errors(vintages.scores(self.registry, self.snapshot)[0], self.champion)
        held = None if self.past else self.registry.pin(NAME)
        decision = decide_retraining(champion, now, force, POLICY, live, held)
        if decision.action == "refresh" and self.method is not None:
            new = set(self.panel.hierarchy.levels) - {level for level, _ in self.method.intervals}
            if new:
                now = replace(now, asked=f"{now.asked} at levels it does not know: {', '.join(sorted(new))}")
                decision = decide_retraining(champion, now, force, POLICY, live, held)
        return decision

    def _trained_on(self, champion: Release) -> date:
        trainings = [
            release.as_of
            for release in self.registry.releases(NAME)
            if release.params == champion.params | {"method_of": None} and release.as_of <= self.request.as_of
        ]
        return max([trained(self.registry, champion).as_of, *trainings])

    def trained(self) -> tuple[Release, bool]:
        """A release by the method that training chooses, and whether it was there already."""
        return self._release(None, lambda standing: train(self.panel, self.request.horizon_days, standing))

    def refreshed(self, champion: Release) -> tuple[Release, bool]:
        """A release of today's facts by the champion's method, and whether it was there already."""

        def learned(standing: pd.DataFrame | None) -> Learned:
            made = refresh(self.panel, self.request.horizon_days, Method.read(champion), standing)
            copied = {name: pq.read_table(champion.file(name)) for name in COPIED}
            return replace(made, tables=made.tables | copied, metrics=champion.metrics)

        return self._release(trained(self.registry, champion).id, learned)

    def _release(self, method_of: str | None, learn: Callable[[pd.DataFrame | None], Learned]) -> tuple[Release, bool]:
        params = self.params | {"method_of": method_of}
        as_of, snapshot = self.request.as_of, self.snapshot.id
        made = [] if self.request.force else self.registry.made_from(NAME, as_of, snapshot, params)
        if made:
            return made[0], True
        learned = learn(None if self.champion is None else _standing(self.champion, as_of))
        summary = json.dumps({"warnings": learned.warnings, "facts": learned.facts}, sort_keys=True)
        artefacts = {"summary.json": summary.encode()}
        tables = learned.tables
        return self.registry.release(NAME, as_of, snapshot, params, learned.metrics, tables, artefacts), False

    def promotion(self, challenger: Release) -> PromotionDecision:
        """Whether a trained release may serve: the very method that serves needs no gain, another has to win."""
        veto = self.registry.veto(NAME, challenger.id)
        name = Method.read(challenger).name
        after = _scores(challenger, challenger, name)
        if self.champion is None or self.method is None:
            return decide_promotion(None, after, veto=veto)
        before = _scores(challenger, self.champion, self.method.name)
        if name == self.method.name and veto is None:
            reasons = (f"training chose {name} again, the method of champion {self.champion.id}",)
            return decided("refresh", reasons, {"champion": asdict(before), "challenger": asdict(after)})
        lacks = None
        if self.champion.params["horizon_days"] < self.request.horizon_days:
            lacks = f"champion {self.champion.id} reaches {_asked(self.champion.params)}"
        elif before.loss > before.baseline_loss:
            lacks = f"the method of champion {self.champion.id} loses to the benchmark"
        held = None if self.past else self.registry.pin(NAME)
        return decide_promotion(before, after, veto=veto or held, champion_lacks=lacks)

    def settle(self, release: Release, decision: PromotionDecision) -> None:
        """Lets a release serve, or only answer for its own day where what serves is of a later one."""
        if decision.action == "keep":
            return
        if self.past:
            self.registry.backfill(NAME, release, decision)
        else:
            self.registry.promote(NAME, release, decision)


def _method(release: Release) -> Method | None:
    if "tables/method.parquet" not in release.manifest["files"]:
        return None
    method = Method.read(release)
    return method if method.name in METHODS else None


def _asked(params: Mapping[str, Any]) -> str:
    return f"{params['horizon_days']} days ahead"


def _scores(tested: Release, release: Release, method: str) -> Scores:
    """How well a method did in a back-test: WRMSSE over all levels, and by level."""
    accuracy = tested.table("accuracy")
    losses = accuracy.groupby(["model", "level"])["rmsse"].mean().dropna()
    return Scores(
        release_id=release.id,
        as_of=release.as_of,
        windows=", ".join(sorted({f"{day:%Y-%m-%d}" for day in accuracy["cutoff"]})),
        loss=float(losses[method].mean()),
        baseline_loss=float(losses[BENCHMARK].mean()),
        segment_losses={str(level): float(loss) for level, loss in losses[method].items()},
    )


def _standing(champion: Release, as_of: date) -> pd.DataFrame:
    """What the champion says of the days after `as_of`, by product and region."""
    with duckdb.connect() as connection:
        return connection.execute(
            f"""
            select product_id::varchar as product_id, region::varchar as region, date, mean
            from '{champion.file("forecasts")}'
            where level = 'product_region' and frequency = 'D' and date > $as_of
            """,
            {"as_of": as_of},
        ).df()


def _reach(release: Release) -> str:
    last = release.as_of + timedelta(days=int(release.params["horizon_days"]))
    return f"the forecast of {release.as_of} (release {release.id}, up to {last})"


def _result(
    release: Release, facts: dict[str, Any], outcome: str, reused: bool = False, warnings: tuple[str, ...] = ()
) -> StepResult:
    shown = json.loads(release.artefact("summary.json"))
    loss, naive = release.metrics["wrmsse"], release.metrics["naive_wrmsse"]
    return StepResult(
        step="forecast_daily",
        summary=f"{outcome} (WRMSSE {loss:.3f} over all levels, {1 - loss / naive:.0%} below last week's)",
        reused=reused,
        warnings=(*shown["warnings"], *warnings),
        facts={"release_id": release.id} | release.metrics | shown["facts"] | facts,
        links={"release": str(release.path)},
    )


def write_forecast(
    source: str | None, as_of: date, horizon: int, frequency: str, level: str, out: Path
) -> dict[str, Any]:
    """Writes the forecasts made on `as_of` of one level to a Parquet or CSV file: keys of the level, date (the first
    day of a week or of the whole), mean, q10, q50, q90, vintage, release and stale (true where the category failed that
    day, so that the forecast before stands); says what was written. Without a source, the installation's is taken, or
    the only other one with a forecast of that day.

    Raises ConfigurationError for a level, frequency, horizon or file there is not, NotAvailableError where no release
    of that day serves.
    """
    check_out(out, ".parquet", ".csv")
    source = source or only_source(as_of)
    frequency = frequency.upper()
    if frequency not in FREQUENCIES:
        raise ConfigurationError(
            f"--freq is {frequency!r}; there are {', '.join(f'{name} ({what})' for name, what in FREQUENCIES.items())}."
        )
    registry = Registry(workspace(source))
    release = serving(registry, as_of)
    longest = int(release.params["horizon_days"])
    if not 1 <= horizon <= longest:
        farther = (
            f" Train as far as you ask: coldframe train forecast --source {source} --as-of {as_of} "
            f"--horizon-days {horizon}"
        )
        raise ConfigurationError(
            f"--horizon is {horizon} days; release {release.id} has 1 to {longest}, and no forecast more than "
            f"{MOST_DAYS}.{farther if longest < horizon <= MOST_DAYS else ''}"
        )
    if frequency == "W" and horizon % 7:
        raise ConfigurationError(f"--horizon is {horizon} days, which is no number of whole weeks.")
    if frequency == "H" and horizon != longest:
        raise ConfigurationError(
            f"--horizon is {horizon} days; the whole horizon of release {release.id} is {longest}."
        )
    forecasts = release.file("forecasts")
    with duckdb.connect() as connection:
        known = [row[0] for row in connection.execute(f"select distinct level from '{forecasts}'").fetchall()]
        name, keys = Hierarchy.find(level, known)
        asked = connection.sql(
            f"""
            select {"".join(f"{key}, " for key in keys)}date, mean, q10, q50, q90,
                date '{as_of}' as vintage, '{release.id}' as release, stale
            from '{forecasts}'
            where level = '{name}' and frequency = '{frequency}' and date <= date '{as_of}' + {horizon}
            order by all
            """
        )
        with whole(out) as unfinished:
            if out.suffix == ".csv":
                asked.write_csv(str(unfinished))
            else:
                asked.write_parquet(str(unfinished))
        rows = len(asked)
    return {"rows": rows, "level": name, "release": release.id, "path": str(out)}


def only_source(as_of: date) -> str:
    """The installation's source, or the only other one with a forecast of that day."""
    settings = get_settings()
    made = sorted({path.parents[2].name for path in settings.home.glob(f"sources/*/releases/{NAME}/{as_of}-*")})
    return settings.source if settings.source in made or len(made) != 1 else made[0]


def serving(registry: Registry, as_of: date) -> Release:
    """The release that answers for that very day. Raises NotAvailableError, which names the vintage before it."""
    source = registry.workspace.source
    answering = registry.answering(NAME)
    if as_of in answering:
        return registry.load(NAME, answering[as_of])
    refused = [release for release in registry.releases(NAME) if release.as_of == as_of]
    told = [f"{source} has no daily forecast made on {as_of}"]
    if refused:
        veto = registry.veto(NAME, refused[-1].id)
        why = f"rolled back: {veto}" if veto else "the promotion policy refused it"
        told = [f"The daily forecast of {source} made on {as_of} ({refused[-1].id}) does not serve ({why})"]
    days = sorted(answering)
    told[0] += f" (there are those of: {', '.join(str(day) for day in days[-5:])})." if days else " (there is none)."
    earlier = [day for day in days if day < as_of]
    if earlier:
        before = registry.load(NAME, answering[earlier[-1]])
        told.append(f"Ask for {_reach(before)} by --as-of {before.as_of}, or make one:")
    else:
        told.append("Make one:")
    told.append(f"coldframe train forecast --source {source} --as-of {as_of}")
    raise NotAvailableError(" ".join(told))
