"""Which models may forecast which series, which one does, and when all of it is learned again. Pure functions.

A series routed to a model that cannot see it costs either minutes or its forecast; when this file is wrong, the
assortment orders by a model that lost to last week's number.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, Literal

import numpy as np
import pandas as pd

from ml.forecasting.data import TRAILING, Ints, Level, Panel

DENSE = ("top", "dense")
"""Segments that sell in most weeks."""
SINGLE_WEEKS = ("naive", "snaive")
"""Models whose forecast of a week is one week of the past."""


@dataclass(frozen=True)
class RouteRules:
    """`new_weeks`: below it a series is new. `least_units`: of the trailing 13 weeks, for a product to be modelled by
    itself. `adi`: average weeks between weeks with a sale above which demand is intermittent (Syntetos & Boylan 2005).
    `top_series`: dense category series, by trailing GMV, that are worth Prophet's time.
    """

    new_weeks: int = 8
    least_units: int = 13
    adi: float = 1.32
    top_series: int = 60
    top_weeks: int = 12


@dataclass(frozen=True)
class Routes:
    """`segment` names the route of each series of a panel; `reasons` says what each segment means."""

    segment: np.ndarray[Any, np.dtype[np.str_]]
    reasons: Mapping[str, str]

    def rows(self, segment: str) -> Ints:
        return np.flatnonzero(self.segment == segment)


def route(history: Panel, rules: RouteRules) -> Routes:
    """Sends every series of a panel, as known at its last week, to one segment; '' for one not yet sold."""
    known = np.isfinite(history.units)
    life = known.sum(axis=1)
    selling = (np.nan_to_num(history.units) > 0).sum(axis=1)
    recent = np.nansum(history.units[:, -TRAILING:], axis=1)
    adi = life / np.maximum(selling, 1)
    top = np.zeros(len(life), dtype=bool)
    if history.level == "category_region":
        # Units known at the cutoff at today's price: the price only ranks series, no model sees it.
        value = np.where((adi <= rules.adi) & (life >= rules.top_weeks), recent * history.series["gmv_per_unit"], -1.0)
        best = np.argsort(-value, kind="stable")[: rules.top_series]
        top[best[value[best] > 0]] = True
    tail = recent < rules.least_units if history.level == "product_region" else np.zeros(len(life), dtype=bool)
    segment = np.select(
        [life == 0, recent == 0, tail & (life >= rules.new_weeks), life < rules.new_weeks, top, adi <= rules.adi],
        ["", "dormant", "tail", "new", "top", "dense"],
        "sparse",
    )
    return Routes(segment.astype(str), _reasons(rules))


def _reasons(rules: RouteRules) -> dict[str, str]:
    return {
        "dormant": f"sold nothing in the last {TRAILING} weeks: forecast 0",
        "tail": f"fewer than {rules.least_units} units in the last {TRAILING} weeks: not modelled by itself",
        "new": f"sold for fewer than {rules.new_weeks} weeks: learned from other series",
        "top": f"sells in most weeks and among the {rules.top_series} categories with the highest trailing GMV",
        "dense": f"sells at least every {rules.adi} weeks",
        "sparse": f"sells less often than every {rules.adi} weeks",
    }


@dataclass(frozen=True)
class ChoiceRules:
    """`gain`: least share of the benchmark's loss a model must save. `bias`: most it may be off in sum, or further off
    than the model that is least, unless the benchmark is further off; `bias_intermittent`: the same where demand comes
    now and then, and sums swing more. `more`: most of the benchmark's loss that a model may have beyond it which serves
    there because the benchmark would order what happened to sell in one week.
    """

    gain: float = 0.02
    bias: float = 0.15
    bias_intermittent: float = 0.3
    more: float = 0.1


@dataclass(frozen=True)
class Choice:
    """The model that serves one segment, and why."""

    level: Level
    segment: str
    model: str
    reason: str
    lost_to_benchmark: bool = False


def choose(accuracy: pd.DataFrame, benchmark: str, rules: ChoiceRules) -> Choice:
    """Picks the model of one segment from its rows of the accuracy table (model, wape, rmsse, bias).

    The loss is the mean of WAPE and RMSSE, each relative to the benchmark's; where demand is intermittent it is RMSSE
    alone, because there the WAPE is lowest for whoever forecasts zero. Only a model that saves `gain` and keeps its
    bias may replace the benchmark; of two equally good the one listed first wins. Where demand is intermittent and none
    may, the one least off in sum serves that loses little to the benchmark and does not repeat single weeks: those
    would order a season of whatever happened to sell in them.
    """
    first = accuracy.iloc[0]
    level, segment = first["level"], first["segment"]
    if benchmark not in set(accuracy["model"]):
        return Choice(level, segment, first["model"], "nothing to choose from")
    base = accuracy[accuracy["model"] == benchmark].iloc[0]
    measures = ("wape", "rmsse") if segment in DENSE else ("rmsse",)
    # What even the best is off by, such as an autumn nobody had seen yet, is no model's fault.
    allowed = rules.bias if segment in DENSE else rules.bias_intermittent
    most = max(allowed + accuracy["bias"].abs().min(), abs(base["bias"]))
    best, best_loss = benchmark, 1 - rules.gain
    refused = []
    near = 1 + rules.more
    for row in accuracy[accuracy["model"] != benchmark].to_dict("records"):
        loss = _relative(row, base, measures)
        if not math.isfinite(loss):
            refused.append(f"{row['model']} could not be scored")
        elif abs(row["bias"]) > most:
            refused.append(f"{row['model']} is off by {row['bias']:+.0%} in sum")
        elif loss < best_loss:
            best, best_loss = row["model"], loss
    note = f" ({'; '.join(refused)})" if refused else ""
    steady = [
        (abs(row["bias"]), row["bias"], row["model"])
        for row in accuracy.to_dict("records")
        if row["model"] not in SINGLE_WEEKS and math.isfinite(row["bias"]) and _relative(row, base, measures) <= near
    ]
    if best == benchmark and benchmark in SINGLE_WEEKS and segment not in DENSE and steady:
        _, bias, model = min(steady)
        reason = f"no model saves {rules.gain:.0%} of {benchmark}'s loss{note}; it is least off in sum ({bias:+.0%})"
        return Choice(level, segment, model, reason, True)
    if best == benchmark:
        return Choice(level, segment, best, f"no model saves {rules.gain:.0%} of {benchmark}'s loss{note}", True)
    return Choice(level, segment, best, f"lowest loss: saves {1 - best_loss:.1%} of {benchmark}'s{note}")


def _relative(row: Mapping[Any, Any], base: pd.Series, measures: tuple[str, ...]) -> float:
    ratios = [row[m] / base[m] for m in measures if math.isfinite(base[m]) and base[m] > 0]
    return float(np.mean(ratios)) if ratios else math.nan


@dataclass(frozen=True)
class Made:
    """What a champion was made from, as far as it decides whether it still serves.

    `trained_on` is the day of the last training it came through: its own, or that of a challenger it withstood.
    `asked` says in words what it answers: a season, a number of days.
    """

    release_id: str
    as_of: date
    trained_on: date
    snapshot_id: str
    asked: str
    code: str


@dataclass(frozen=True)
class LiveError:
    """WAPE of a forecast that served in the week after its `vintage`, beside that of its back-test so far ahead."""

    level: str
    vintage: date
    live: float
    expected: float


@dataclass(frozen=True)
class RetrainPolicy:
    """`every_days`: age of the last training at which the next is due. `refreshes`: later facts are forecast by what
    serves, without training; where not, they wait for it. `worse`: share by which a level's live error must exceed
    its back-test's, in each of `weeks` weeks that do not overlap, to be drift. One bad week is bad luck.
    """

    every_days: int = 7
    refreshes: bool = False
    worse: float = 0.2
    weeks: int = 2


@dataclass(frozen=True)
class RetrainDecision:
    """`decision_id` is a hash of inputs and outcome, without a clock."""

    action: Literal["train", "refresh", "reuse"]
    reasons: tuple[str, ...]
    evidence: dict[str, Any]
    decision_id: str


def decide_retraining(
    champion: Made | None,
    now: Made,
    force: bool = False,
    policy: RetrainPolicy | None = None,
    live: Sequence[LiveError] = (),
    held: str | None = None,
) -> RetrainDecision:
    """Whether the champion may answer a run that would be made as `now` says (its release_id is not looked at).

    `live` counts from the champion's last training on: what went wrong before, that training has answered. `held` is
    why a person went back to what serves; then age and drift call for no other, only `force` and what cannot serve do.
    """
    policy = policy or RetrainPolicy()
    must, due = [], []
    if champion is None:
        must.append("there is no champion that knows only what this run may know")
    else:
        if now.asked != champion.asked:
            must.append(f"the champion answers {champion.asked}, the run asks for {now.asked}")
        if now.code != champion.code:
            must.append("the code or its parameters changed")
        age = (now.as_of - champion.trained_on).days
        if age >= policy.every_days:
            due.append(f"the last training is {age} days old; it is renewed every {policy.every_days}")
        if age == 0 and now.snapshot_id != champion.snapshot_id:
            due.append(f"the facts of {now.as_of} changed: snapshot {champion.snapshot_id} -> {now.snapshot_id}")
        due += _drift([error for error in live if error.vintage >= champion.trained_on], policy)
    if force:
        must.append("asked for (force)")
    action: Literal["train", "refresh", "reuse"]
    if champion is None or must or (due and held is None):
        action, reasons = "train", [*must, *due]
    else:
        overruled = [f"held by a person: {held}", *due] if due else []
        if policy.refreshes and now.snapshot_id != champion.snapshot_id:
            action = "refresh"
            reasons = [f"other facts than those of champion {champion.release_id}, by its method"]
        else:
            action = "reuse"
            reasons = [f"champion {champion.release_id} answers {champion.asked}; its training is {age} days old"]
        reasons += overruled
    evidence = {
        "champion": asdict(champion) if champion else None,
        "now": asdict(now),
        "force": force,
        "policy": asdict(policy),
        "live": [asdict(error) for error in live],
        "held": held,
    }
    canonical = json.dumps([action, reasons, evidence], sort_keys=True, default=str)
    return RetrainDecision(action, tuple(reasons), evidence, hashlib.sha256(canonical.encode()).hexdigest()[:12])


def _drift(live: Sequence[LiveError], policy: RetrainPolicy) -> list[str]:
    """One reason a level whose error stayed above its back-test's."""
    reasons = []
    for level in sorted({error.level for error in live}):
        weeks: list[LiveError] = []
        for error in sorted((e for e in live if e.level == level), key=lambda e: e.vintage, reverse=True):
            # Vintages of following days are scored on the same days: together they are one week.
            if len(weeks) < policy.weeks and (not weeks or (weeks[-1].vintage - error.vintage).days >= 7):
                weeks.append(error)
        if len(weeks) == policy.weeks and all(e.live > (1 + policy.worse) * e.expected for e in weeks):
            told = ", ".join(f"{e.live:.3g} instead of {e.expected:.3g}" for e in reversed(weeks))
            reasons.append(
                f"{level} drifted: {policy.weeks} weeks in a row more than {policy.worse:.0%} above its back-test's "
                f"error (WAPE {told})"
            )
    return reasons
