"""From candidates and terms to a plan: the choice of every cell, depths under one budget, and a reason for each line.

A pure function, so that the plan is repeated to the byte and a what-if differs by what was changed alone. When it is
wrong, a line's words tell of another decision than the one its numbers stand for.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict

from coldframe.errors import ConfigurationError
from coldframe.ledger import PlanLine
from coldframe.run import Request
from coldframe.seasons import Season
from ml.assortment.choice import Substitution, prior
from ml.assortment.data import QUANTILES
from ml.assortment.decide import (
    BARRED,
    ENOUGH,
    FEW,
    SLOTS,
    Candidate,
    Choice,
    Decision,
    InfeasibleError,
    Rules,
    decide,
)
from ml.assortment.depth import Depth, hold, units_of
from ml.assortment.rules import ATTRIBUTES, RuleFile, read
from ml.assortment.scenarios import KNOWN, Demand, Errors, Floats, total_interval

MONEY = {"gmv": "GMV", "margin": "margin", "units": "units"}
_TRUSTED = 0.1
"""Expected share of false alarms among the trends that are told."""
_ODD = 0.1
"""Share of lines with a mean above their 90 % quantile that rare great sales explain."""
_LITTLE_SERVED = 0.25
"""Share of a line's expected demand below which its depth needs a word."""
_INDEX = 1.25
"""How far off its recent pace a season must be, up or down, to be told as a reason."""
_NAMED = 3
_SHORT = {
    FEW: "for want of candidates that bring anything",
    ENOUGH: "because one more would not pay for its place",
    BARRED: "because the other rules let no more in",
}
"""Why a cell ranges fewer products than it has slots."""


class Terms(BaseModel):
    """What a plan was asked for; its parameters in the ledger."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    slots: int
    objective: Literal["gmv", "margin", "units"]
    service_level: float
    new_product_share: float
    merchant_share: float
    must_keep: tuple[str, ...]
    must_drop: tuple[str, ...]
    recapture: float
    handling_cost: float
    salvage: float
    budget: float | None
    rules: RuleFile

    @classmethod
    def of(cls, request: Request) -> Self:
        """Raises ConfigurationError for a file of rules that does not fit, or a service level no forecast knows."""
        if not KNOWN[0] <= request.service_level <= KNOWN[-1]:
            raise ConfigurationError(
                f"service_level {request.service_level} lies outside what the forecast knows: {KNOWN[0]} to "
                f"{KNOWN[-1]}."
            )
        names = set(cls.model_fields) - {"rules"}
        return cls.model_validate(request.model_dump(include=names) | {"rules": read(request.rules)})

    def rules_of(self, region: str, category: str) -> Rules:
        return Rules(
            slots=self.slots,
            new_share=self.new_product_share,
            merchant_share=self.merchant_share,
            must_keep=frozenset(self.must_keep),
            must_drop=frozenset(self.must_drop),
            handling=self.handling_cost,
            variants=self.rules.variants,
            quotas=tuple(quota for quota in self.rules.quotas if quota.holds_in(region, category)),
            core=self.rules.core,
            most_changed=self.rules.most_changed,
        )


@dataclass(frozen=True)
class Inputs:
    """All that a plan is made of beside its terms: `candidates` as data.candidates gives them, with the columns
    of a Substitution (its source is called substitution) where it was learned, else nan. `notes`
    are what was to be told of them when they were read."""

    candidates: pd.DataFrame
    season: Season
    errors: Errors
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Planned:
    """`notes` are what whoever approves the plan should know; they are on the plan as summary["notes"]."""

    lines: tuple[PlanLine, ...]
    summary: dict[str, Any]
    notes: tuple[str, ...]
    facts: dict[str, Any]


Cell = tuple[str, str]
"""Region and category."""


def decide_cells(
    inputs: Inputs, terms: Terms, before: Mapping[Cell, Decision] | None = None, changed: frozenset[Cell] = frozenset()
) -> dict[Cell, Decision]:
    """The choice of every cell, in order. Decisions made `before` stand, but those of `changed` cells, which begin with
    what was chosen there. Raises InfeasibleError for rules that cannot be kept together, naming every such cell."""
    decided: dict[Cell, Decision] = {}
    infeasible: list[InfeasibleError] = []
    for (region, category), rows in inputs.candidates.groupby(["region", "category"], sort=True):
        key = (str(region), str(category))
        earlier = (before or {}).get(key)
        if earlier is not None and key not in changed:
            decided[key] = earlier
            continue
        start = frozenset(choice.product_id for choice in earlier.choices) if earlier else frozenset()
        name = f"{region} / {category}"
        try:
            decided[key] = decide(name, _candidates(rows), terms.rules_of(*key), _substitution(rows, terms), start)
        except InfeasibleError as error:
            infeasible.append(error)
    if infeasible:
        raise InfeasibleError.of(infeasible)
    return decided


def plan(inputs: Inputs, terms: Terms, decided: Mapping[Cell, Decision]) -> Planned:
    """Puts the choice of every cell into lines: how deep under one budget, from when until when, and why.

    Raises ConfigurationError for a budget that does not buy one unit of each line.
    """
    found = inputs.candidates
    rows_of = dict(found.groupby(["region", "category"], sort=True).indices.items())
    picked, lifts = [], []
    for key, decision in decided.items():
        place = dict(zip(found["product_id"].iloc[rows_of[key]], rows_of[key], strict=True))
        picked += [place[choice.product_id] for choice in decision.choices]
        lifts += [decision.lift] * len(decision.choices)
    ranged = found.iloc[picked].reset_index(drop=True)
    lift = np.array(lifts)
    demand = Demand.of(lift * ranged["units"].to_numpy(), lift[:, None] * ranged[list(QUANTILES)].to_numpy(dtype=float))
    stock, depth = _depth(inputs, terms, ranged, demand)
    lines: list[PlanLine] = []
    line = 0
    for key, decision in decided.items():
        cell = _Words(found.iloc[rows_of[key]], decision, _substitution(found.iloc[rows_of[key]], terms), terms, inputs)
        for choice in decision.choices:
            lines.append(cell.ranged(choice, int(depth.units[line]), float(depth.fill[line]), float(stock[line])))
            line += 1
        lines += cell.dropped()
    return _summed(inputs, terms, decided, ranged, demand, stock, depth, tuple(lines))


def _candidates(rows: pd.DataFrame) -> list[Candidate]:
    attributes = [
        {str(name): value for name, value in row.items() if isinstance(value, str)}
        for row in rows[list(ATTRIBUTES)].to_dict("records")
    ]
    names, value = (rows["product_id"], rows["merchant_id"]), rows["units"] * rows["per_unit"]
    columns = zip(*names, value, rows["is_new"], rows["units"], rows["current"], attributes, strict=True)
    return [Candidate(*row) for row in columns]


def _substitution(rows: pd.DataFrame, terms: Terms) -> Substitution:
    first = rows.iloc[0]
    if pd.isna(first["buy_probability"]):
        return prior(terms.recapture)
    chance, likeness = (float(first[name]) for name in ("buy_probability", "dissimilarity"))
    errors = (float(first[name]) for name in ("buy_probability_se", "dissimilarity_se"))
    return Substitution(chance, likeness, str(first["substitution"]), *errors)


def _depth(inputs: Inputs, terms: Terms, ranged: pd.DataFrame, demand: Demand) -> tuple[Floats, Depth]:
    """What one unit of stock costs, [line], and the depths."""
    known = inputs.candidates["unit_cost"] / inputs.candidates["price"]
    typical = float(known.median()) if known.notna().any() else 1.0
    price, cost = (ranged[name].to_numpy(dtype=float) for name in ("price", "unit_cost"))
    units = units_of(price, cost, terms.salvage, terms.service_level, typical)
    return units.stock, hold(demand, units, terms.budget)


@dataclass(frozen=True)
class _Words:
    """The lines of one cell."""

    rows: pd.DataFrame
    decision: Decision
    substitution: Substitution
    terms: Terms
    inputs: Inputs

    def ranged(self, choice: Choice, depth: int, fill: float, stock: float) -> PlanLine:
        row = self._row(choice.product_id)
        instead = choice.replaces or self.decision.left_out
        details = {
            "rank": choice.rank,
            "merchant_id": row["merchant_id"],
            "is_new": bool(row["is_new"]),
            "expected_units": round(self.decision.lift * float(row["units"]), 2),
            "forecast_units": round(float(row["units"]), 2),
            "units_13w": int(row["units_13w"]),
            "units_last_year": None if pd.isna(row["units_last_year"]) else int(row["units_last_year"]),
            "model": row["model"],
            "on_shelf_from": row["on_shelf_from"].isoformat(),
            "on_shelf_until": row["on_shelf_until"].isoformat(),
            "shelf": self._shelf(row),
            "fill_rate": round(fill, 4),
            "stock_money": round(stock * depth, 2),
            "lost_without": round(choice.lost_without, 2),
            "slot_worth": round(self.decision.slot_worth, 2),
            "recapture": round(self.substitution.recapture, 4),
        }
        if self.substitution.source != "prior":
            low, high = self.substitution.recapture_interval
            details |= {"recapture_low": round(low, 4), "recapture_high": round(high, 4)}
        why = self._why(choice, row, depth, fill)
        return self._line(row, "range", depth, why, self._named(instead), choice.binding, details)

    def dropped(self) -> Iterator[PlanLine]:
        money = MONEY[self.terms.objective]
        for product in self.decision.dropped:
            row = self._row(product)
            value = float(row["units"] * row["per_unit"])
            why = f"must-drop: expected {money} {value:,.0f} is given up; sold {row['units_13w']:,} units in 13 weeks"
            details = {"rank": None, "merchant_id": row["merchant_id"], "is_new": bool(row["is_new"])}
            details |= {"expected_units": round(float(row["units"]), 2), "units_13w": int(row["units_13w"])}
            yield self._line(row, "drop", 0, why, None, "must-drop", details | {"model": row["model"]}, lift=1.0)

    def _row(self, product: str) -> Mapping[str, Any]:
        return self._by_product[product]

    @cached_property
    def _by_product(self) -> dict[str, dict[str, Any]]:
        rows = (dict(zip(self.rows.columns, row, strict=True)) for row in self.rows.itertuples(index=False, name=None))
        return {str(row["product_id"]): row for row in rows}

    def _named(self, product: str | None) -> str | None:
        if product is None:
            return None
        row = self._row(product)
        return f"{row['title']} ({row['units'] * row['per_unit']:,.0f})"

    def _line(
        self,
        row: Mapping[str, Any],
        action: str,
        quantity: int,
        why: str,
        alternative: str | None,
        binding: str,
        details: dict[str, Any],
        lift: float | None = None,
    ) -> PlanLine:
        low, value, high = self._value(row, self.decision.lift if lift is None else lift)
        return PlanLine(
            region=row["region"],
            category=row["category"],
            product_id=row["product_id"],
            title=row["title"],
            action=action,
            quantity=float(quantity),
            value=value,
            value_low=low,
            value_high=high,
            reason=why,
            alternative=alternative,
            binding_constraint=binding,
            details=details,
        )

    def _value(self, row: Mapping[str, Any], lift: float) -> tuple[float, float, float]:
        ends = sorted(round(lift * float(row[name] * row["per_unit"]), 2) for name in (QUANTILES[0], QUANTILES[-1]))
        value = round(lift * float(row["units"] * row["per_unit"]), 2)
        # The mean of skewed demand may lie outside its own 80 % interval.
        return min(ends[0], value), value, max(ends[-1], value)

    def _shelf(self, row: Mapping[str, Any]) -> str:
        late = row["on_shelf_from"] > self.inputs.season.first_day
        early = row["on_shelf_until"] < self.inputs.season.last_day
        return {(False, False): "whole season", (False, True): "early", (True, False): "late", (True, True): "core"}[
            late, early
        ]

    def _why(self, choice: Choice, row: Mapping[str, Any], depth: int, fill: float) -> str:
        low, value, high = self._value(row, self.decision.lift)
        count, money = len(self.rows) - len(self.decision.dropped), MONEY[self.terms.objective]
        told = [f"{_ordinal(choice.rank)} of {count} by expected {money} {value:,.0f} ({low:,.0f} – {high:,.0f})"]
        if row["price"] < row["unit_cost"]:
            loss = f"{row['unit_cost']:,.2f} and brings {row['price']:,.2f}"
            told.append(f"a unit costs {loss}, so it loses money on every one and no more than one is held")
        elif fill < _LITTLE_SERVED:
            held = "one unit is held, which serves" if depth == 1 else f"{depth:,} units are held, which serve"
            expected = row["units"] * self.decision.lift
            told.append(f"{held} {fill:.0%} of the {expected:,.1f} expected: another would not pay")
        if row["usual_margin"]:
            told.append("its cost is unknown, so it is valued at the usual margin")
        won = self.decision.lift - 1
        if won >= 0.005:
            told.append(f"{won:.0%} more than its forecast, won from what is left out")
        if not 1 / _INDEX < row["season_index"] < _INDEX and not pd.isna(row["season_index"]):
            told.append(f"in this season its kind takes {row['season_index']:.1f} times its usual share")
        days = (self.inputs.season.last_day - self.inputs.season.first_day).days + 1
        index = row["units"] / days / (row["units_13w"] / 91) if row["units_13w"] else 1.0
        if not 1 / _INDEX < index < _INDEX:
            told.append(f"the season sells {index:.1f} times its recent pace")
        if row["trend_q"] <= _TRUSTED:
            way = "rising" if row["trend"] > 1 else "falling"
            held = "" if pd.isna(row["p_growth"]) else f" (chance that it grew by a fifth {row['p_growth']:.0%})"
            told.append(f"{way}, the last four weeks at {row['trend']:.1f} times what was to be expected{held}")
        if self._shelf(row) != "whole season":
            told.append(f"worth its place from {row['on_shelf_from']} to {row['on_shelf_until']}")
        before = row["units_last_year"]
        last_year = "" if pd.isna(before) else f" and {before:,.0f} in the same season last year"
        told += [f"sold {row['units_13w']:,} units in 13 weeks{last_year}", f"forecast by {row['model']}"]
        why = "; ".join(told)
        if choice.replaces is not None:
            low, high = self.substitution.recapture_interval
            share = f"{self.substitution.recapture:.0%}" + (f" ({low:.0%} – {high:.0%})" if low < high else "")
            kept = f", of whose demand the others keep {share}" if self.substitution.recapture else ""
            return f"{choice.binding}, in place of {self._named(choice.replaces)}{kept}: {why}"
        return why if choice.binding in (SLOTS, *_SHORT) else f"{choice.binding}: {why}"


def _summed(
    inputs: Inputs,
    terms: Terms,
    decided: Mapping[Cell, Decision],
    ranged: pd.DataFrame,
    demand: Demand,
    stock: Floats,
    depth: Depth,
    lines: tuple[PlanLine, ...],
) -> Planned:
    on_range = [line for line in lines if line.action == "range"]
    names = [f"{line.region} / {line.category}" for line in on_range]
    per_unit = ranged["per_unit"].to_numpy(dtype=float)
    products = [f"{name} / {line.product_id}" for name, line in zip(names, on_range, strict=True)]
    low, high = total_interval(demand, per_unit, names, products, inputs.errors)
    handling = terms.handling_cost * len(on_range)
    value = round(sum(line.value for line in on_range) - handling, 2)
    slots = {" / ".join(key): round(decision.slot_worth, 2) for key, decision in decided.items() if decision.slot_worth}
    substitution = {" / ".join(key): _substitution(rows, terms) for key, rows in _cells(inputs)}
    notes = _notes(inputs, terms, decided, ranged)
    summary = {
        "value": value,
        "value_low": round(min(low - handling, value), 2),
        "value_high": round(max(high - handling, value), 2),
        "binding": dict(Counter(str(line.binding_constraint) for line in on_range)),
        "rules_cost": round(sum(decision.rules_cost for decision in decided.values()), 2),
        "slot_worth": slots,
        "stock_money": round(float(stock @ depth.units), 2),
        "worth_of_money": round(depth.worth_of_money, 4),
        "fill_rate": round(float(depth.fill @ demand.mean / max(demand.mean.sum(), 1e-12)), 4),
        "largest_gap": max((decision.gap for decision in decided.values()), default=0.0),
        "substitution": dict(Counter(found.source for found in substitution.values())),
        "recapture": {
            name: [round(share, 4) for share in (found.recapture, *found.recapture_interval)]
            for name, found in substitution.items()
            if found.source != "prior"
        },
        "notes": list(notes),
    }
    solved = dict(Counter(decision.solved_by for decision in decided.values()))
    return Planned(lines, summary, notes, {"cells": solved, "candidates": len(inputs.candidates)})


def _cells(inputs: Inputs) -> Iterator[tuple[Any, pd.DataFrame]]:
    yield from inputs.candidates.groupby(["region", "category"], sort=True)


def _notes(inputs: Inputs, terms: Terms, decided: Mapping[Cell, Decision], ranged: pd.DataFrame) -> tuple[str, ...]:
    notes = list(inputs.notes)
    short = {" / ".join(key): d for key, d in decided.items() if len(d.choices) < terms.slots}
    for binding, why in _SHORT.items():
        names = [name for name, d in short.items() if binding in {c.binding for c in d.choices}]
        if names:
            some = ", ".join(f"{name} ({len(short[name].choices):,})" for name in names[:_NAMED])
            notes.append(f"{len(names):,} cells range fewer than {terms.slots:,} products, {why}: {some}{_more(names)}")
    found = inputs.candidates
    losing = found[(found["per_unit"] < 0) & ~found["product_id"].isin(terms.must_keep)]
    if len(losing):
        titles = ", ".join(dict.fromkeys(losing["title"].head(_NAMED)))
        notes.append(f"{len(losing):,} candidates lose money on every unit and are not ranged: {titles}{_more(losing)}")
    costless = int(found["unit_cost"].isna().sum())
    if costless:
        at = "at its price" if costless == len(found) else "at the usual cost of the rest"
        valued = "they are valued at the usual margin of the rest, " if found["usual_margin"].any() else ""
        notes.append(
            f"{costless:,} of {len(found):,} candidates have no unit_cost: {valued}their depth covers demand with a "
            f"probability of {terms.service_level:.0%} (service_level), and their stock is counted {at}"
        )
    high = int((ranged["units"] > ranged[QUANTILES[-1]]).sum())
    if high > _ODD * len(ranged):
        notes.append(
            f"{high:,} of {len(ranged):,} lines are expected to sell more than lines like them did in nine of ten "
            "cases of the back-test, where forecasts were mostly too high: mind the lower bounds"
        )
    guesses = sum(_substitution(rows, terms).source == "prior" for _, rows in _cells(inputs))
    if guesses:
        notes.append(
            f"in {guesses:,} of {len(decided):,} cells nobody knows what buyers take instead; that others keep "
            f"{f'{terms.recapture:.0%}' if terms.recapture else 'nothing'} of a missing product's demand is assumed "
            "(recapture)"
        )
    gap = max((decision.gap for decision in decided.values()), default=0.0)
    if gap > 0:
        notes.append(
            f"in each cell the choice is proven to within {gap:.2%} of the best, not to the last unit of money"
        )
    return tuple(notes)


def _more(named: Any) -> str:
    return f" and {len(named) - _NAMED:,} more" if len(named) > _NAMED else ""


def _ordinal(number: int) -> str:
    suffix = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"
