"""How a plan reads in a terminal, and what it was worth: expected beside actual, captured beside the obvious rule.

A category manager approves what is printed here, so a column that says one thing and means another is a wrong
decision. Everything in this file is a pure function of plans, lines and sales.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

import pandas as pd
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from coldframe.actuals import Actuals
from coldframe.ledger import Plan, PlanLine

RANGED = "range"
STAGES = ("graduate", "incubate", "seed", "frozen", "retire")
_BAR = 40
PER_CATEGORY = 2
_EXPLAINED = {"gmv": "expected GMV", "margin": "expected margin", "units": "expected units"}


@dataclass(frozen=True)
class Capture:
    """One region (or all): what its ranged products were expected to sell and sold, and what other choices would have.

    An option is one product in one region. Money is GMV of the season. `captured`, `naive` and `best` are shares (0..1)
    of `total`, the GMV of every product in the planned categories: by the plan; by last 13 weeks' bestsellers with the
    same number of options; by the products that really sold most with the same number (nobody can do better).
    """

    region: str
    options: int
    expected: float
    actual: float
    inside: float
    total: float
    captured: float
    naive: float
    best: float


@dataclass(frozen=True)
class Comparison:
    """A plan beside what then sold."""

    overall: Capture
    regions: tuple[Capture, ...]


def compare_with_actuals(lines: Iterable[PlanLine], products: pd.DataFrame) -> Comparison:
    """Lays the ranged lines of an assortment beside `products` (`coldframe.actuals.Actuals.products`).

    `inside` is the share of lines whose sales lay within their own interval.
    """
    ranged = pd.DataFrame(
        [
            (li.region, li.category, li.product_id, li.value, li.value_low, li.value_high)
            for li in lines
            if li.action == RANGED
        ],
        columns=["region", "category", "product_id", "value", "value_low", "value_high"],
    ).merge(products[["region", "product_id", "gmv"]], on=["region", "product_id"], how="left")
    ranged["gmv"] = ranged["gmv"].fillna(0.0)
    ranged["inside"] = ranged["gmv"].between(ranged["value_low"], ranged["value_high"])
    slots = ranged.groupby(["region", "category"]).size().rename("slots").reset_index()
    sold = products.merge(slots, on=["region", "category"])
    sold["best_rank"] = sold.groupby(["region", "category"])["gmv"].rank(method="first", ascending=False)
    regions = tuple(
        _capture(str(region), ranged[ranged["region"] == region], sold[sold["region"] == region])
        for region in sorted(ranged["region"].unique())
    )
    return Comparison(_capture("all", ranged, sold), regions)


def _capture(region: str, ranged: pd.DataFrame, sold: pd.DataFrame) -> Capture:
    total = float(sold["gmv"].sum())

    def share(gmv: float) -> float:
        return gmv / total if total else 0.0

    return Capture(
        region=region,
        options=len(ranged),
        expected=float(ranged["value"].sum()),
        actual=float(ranged["gmv"].sum()),
        inside=float(ranged["inside"].mean()) if len(ranged) else 0.0,
        total=total,
        captured=share(float(ranged["gmv"].sum())),
        naive=share(float(sold.loc[sold["naive_rank"] <= sold["slots"], "gmv"].sum())),
        best=share(float(sold.loc[sold["best_rank"] <= sold["slots"], "gmv"].sum())),
    )


def plan_report(plan: Plan, lines: Sequence[PlanLine], limit: int = 8) -> RenderableType:
    """A plan for the terminal: a summary, then the `limit` top lines of each region or stage."""
    body: Callable[..., list[RenderableType]] = _incubation if plan.kind == "incubation" else _assortment
    return Group(*_head(plan), *body(plan, lines, limit))


def plans_table(plans: Iterable[Plan]) -> Table:
    """One row a plan, newest first."""
    table = Table("plan", "kind", "source", "as of", "season", "valid", "lines", "status", title="Plans")
    for p in plans:
        valid = f"{p.valid_from} … {p.valid_until}"
        table.add_row(p.plan_id, p.kind, p.source, str(p.as_of), p.season, valid, f"{p.line_count:,}", p.status)
    return table


def comparison_report(plan: Plan, comparison: Comparison, actuals: Actuals) -> RenderableType:
    """Expected beside actual for each region, and what the obvious rule would have captured."""
    of_gmv = plan.parameters.get("objective", "gmv") == "gmv"
    table = Table(title=f"Plan {plan.plan_id} beside what sold from {actuals.first_day} to {actuals.until}")
    expected = ("expected GMV",) if of_gmv else ()
    inside = ("lines within their interval",) if of_gmv else ()
    columns = ("options", *expected, "sold GMV", *inside, "share of GMV: plan", "bestsellers", "best possible")
    table.add_column("region")
    for name in columns:
        table.add_column(name, justify="right")
    for c in (*comparison.regions, comparison.overall):
        money = (_money(c.expected),) if of_gmv else ()
        hits = (_share(c.inside),) if of_gmv else ()
        shares = (_share(c.captured), _share(c.naive), _share(c.best))
        table.add_row(
            c.region, f"{c.options:,}", *money, _money(c.actual), *hits, *shares, style="bold" * (c.region == "all")
        )
    o = comparison.overall
    notes = []
    if of_gmv and _bounds(plan) and actuals.until >= actuals.last_day:
        held = "held" if plan.summary["value_low"] <= o.actual <= plan.summary["value_high"] else "did not hold"
        notes.append(f"Expected {_money(o.expected)}{_bounds(plan)}, sold {_money(o.actual)}: the interval {held}.")
    notes += [
        f"The plan's products sold {_share(o.captured)} of the GMV of their categories. Last 13 weeks' bestsellers, "
        f"with as many places, sold {_share(o.naive)}; a perfect choice would have sold {_share(o.best)}."
    ]
    if actuals.until < actuals.last_day:
        notes.append(f"The season lasts until {actuals.last_day}; sales are known until {actuals.until} only.")
    return Group(table, *(Text(note) for note in notes))


def line_by_line_report(lines: pd.DataFrame) -> RenderableType:
    """What went otherwise in each region: the forecast, stock that ran out, the choice. `lines` are of one plan, in the
    columns of ``fct_plan_line``."""
    first = lines.iloc[0]
    known, over = bool(lines["days_out_of_stock"].notna().any()), first["days_elapsed"] == first["days"]
    table = Table(title=f"Plan {first['plan_id']} line by line, {first['days_elapsed']} of {first['days']} days")
    table.add_column("region")
    for name in ("lines", "sold GMV", "forecast off by", "lost to stock-outs", "cost of the choice"):
        table.add_column(name, justify="right")
    ranged = lines[lines["action"] == RANGED]
    for region, of_region in (*ranged.groupby("region"), ("all", ranged)):
        off = of_region["forecast_error_gmv"].sum(min_count=1)
        table.add_row(
            str(region),
            f"{len(of_region):,}",
            _money(float(of_region["gmv"].sum())),
            "" if pd.isna(off) else f"{off:+,.0f}",
            _money(float(of_region["lost_gmv"].sum())) if known else "",
            _money(float(of_region["choice_error_gmv"].sum())),
            style="bold" * (region == "all"),
        )
    notes = [
        "Cost of the choice: how much more the best products left out sold than the worst chosen, as far as they were "
        "on sale at all."
    ]
    if not known:
        notes.append("The source has no inventory: what was lost to stock-outs is not known, and counts as forecast.")
    if not over:
        notes.append("How far the forecast was off is told once the season is over.")
    return Group(table, *(Text(note) for note in notes))


def cohort_report(cohorts: pd.DataFrame) -> RenderableType:
    """Whether incubation pays, a row a month of launch: each at the greatest age its launches have all of them reached.
    `cohorts` has the columns of ``fct_launch_cohort``."""
    oldest = cohorts.groupby("launch_month").tail(1)
    table = Table("launched in", title="How launches fared")
    names = ("age", "launches", "still sell", "blockbusters", "impressions given", "graduates", "hits", "missed")
    for name in (*names, "impressions per hit"):
        table.add_column(name, justify="right")
    counted = ("impressions", "graduates", "hits", "missed", "impressions_per_hit")
    for row in oldest.to_dict("records"):
        told = ["" if pd.isna(row[name]) else f"{row[name]:,.0f}" for name in counted]
        known = f"{row['blockbusters']:,} of {row['mature']:,}" if row["mature"] else ""
        month = pd.Timestamp(row["launch_month"])
        table.add_row(
            f"{month:%Y-%m}",
            f"{row['age_weeks']} weeks",
            f"{row['launches']:,}",
            _share(row["selling"] / row["launches"]),
            known,
            *told,
        )
    note = "Hits are graduates that became blockbusters; missed are blockbusters that plans let go or never showed."
    return Group(table, Text(note))


def _head(plan: Plan) -> list[RenderableType]:
    title = Text(f"{plan.kind.capitalize()} plan {plan.plan_id} ({plan.status})", style="bold")
    days = str(plan.valid_from) if plan.valid_from == plan.valid_until else f"{plan.valid_from} … {plan.valid_until}"
    season = "" if plan.season in days else f"season {plan.season}, "
    origin = f"{plan.source}, {season}as of {plan.as_of}, valid {days}"
    made_from = ", ".join([f"snapshot {plan.snapshot_id}", *(f"{k} {v}" for k, v in sorted(plan.release_ids.items()))])
    return [title, Text(f"{origin}; from {made_from}")]


def _assortment(plan: Plan, lines: Sequence[PlanLine], limit: int) -> list[RenderableType]:
    ranged = [li for li in lines if li.action == RANGED]
    value = _EXPLAINED[plan.parameters.get("objective", "gmv")]
    binding = Counter(li.binding_constraint or "nothing" for li in ranged).most_common()
    summary = [
        f"Options: {len(ranged):,}; products: {len({li.product_id for li in ranged}):,}; regions: "
        f"{len({li.region for li in ranged}):,}; categories: {len({li.category for li in ranged}):,}; options to drop: "
        f"{len(lines) - len(ranged):,}.",
        f"{value[0].upper()}{value[1:]} of the season: {_money(sum(li.value for li in ranged))}{_bounds(plan)}.",
        "What binds: " + ", ".join(f"{name} ({count:,})" for name, count in binding) + ".",
        *_stock(plan),
        *_prices(plan),
        *_recapture(plan),
        *_backtest(plan),
        *(f"Note: {note}." for note in plan.summary.get("notes", ())),
    ]
    tables: list[RenderableType] = []
    worth: defaultdict[str, float] = defaultdict(float)
    for li in ranged:
        worth[li.region] += li.value
    by_worth = sorted(lines, key=lambda li: (-worth[li.region], li.region))
    for region, of_region in groupby(by_worth, key=attrgetter("region")):
        table = _plan_table("product, and why", "category", "depth", value, "between", "binds")
        table.title, table.title_justify = f"Region {region}", "left"
        for li in _top(list(of_region), limit):
            action = "" if li.action == RANGED else f" [{li.action}]"
            table.add_row(
                _with_reason(f"{li.title}{action}", li),
                Text(li.category),
                f"{li.quantity:,.0f}",
                _money(li.value),
                _interval(li.value_low, li.value_high),
                Text(li.binding_constraint or ""),
            )
        tables.append(table)
    return [*(Text(s) for s in summary), *tables]


def _stock(plan: Plan) -> list[str]:
    if "stock_money" not in plan.summary:
        return []
    money, served = plan.summary["stock_money"], plan.summary["fill_rate"]
    return [f"Stock worth {_money(money)} serves {_share(served)} of expected demand."]


def _recapture(plan: Plan) -> list[str]:
    """What buyers take instead, where it was learned: `summary["recapture"]` has by cell the share and its bounds."""
    learned = sorted(plan.summary.get("recapture", {}).items(), key=lambda item: (-item[1][0], item[0]))
    if not learned:
        return []
    told = [f"{cell} {share:.0%} ({low:.0%} – {high:.0%})" for cell, (share, low, high) in learned]
    shown = told if len(told) <= 3 else [told[0], told[len(told) // 2], told[-1]]
    which = "" if shown == told else f" (the most, the middle and the least of {len(told):,} cells)"
    return [
        f"Of a missing product's demand the others keep, as learned from visits, with its 80 % interval: "
        f"{', '.join(shown)}{which}."
    ]


def _prices(plan: Plan) -> list[str]:
    """What people negotiate with: the cost of the rules, and the worth of one more slot where it is worth most and of
    one more of the budget."""
    worth = sorted(plan.summary.get("slot_worth", {}).items(), key=lambda item: (-item[1], item[0]))[:3]
    slots = [f"One more slot is worth most in {', '.join(f'{cell} ({_money(of)})' for cell, of in worth)}."] * bool(
        worth
    )
    cost, money = plan.summary.get("rules_cost", 0.0), plan.summary.get("worth_of_money", 0.0)
    rules = [f"Rules beside the slots cost {_money(cost)}."] * bool(cost)
    return [*rules, *slots, *([f"One more of the budget for stock would bring {money:.2f}."] if money else [])]


def _backtest(plan: Plan) -> list[str]:
    """How the same way of deciding would have done at earlier as-ofs: `summary["backtest"]` holds one entry each, with
    `as_of`, `share_of_oracle` (0..1), `baseline` (the best rule of thumb there) and `best_baseline` (its share)."""
    if (tested := plan.summary.get("backtest")) is None:
        return []
    if not tested:
        return ["Back-test: the history is too short for one."]
    told = [
        f"as of {t['as_of']} {_share(t['share_of_oracle'])} ({t['baseline']} {_share(t['best_baseline'])})"
        for t in tested
    ]
    return [f"Back-test, as a share of what a perfect choice sold, beside the best rule of thumb: {'; '.join(told)}."]


def _top(lines: list[PlanLine], limit: int) -> list[PlanLine]:
    # A region's first rows should show several categories, the largest first, not one category in full.
    worth: defaultdict[str, float] = defaultdict(float)
    for li in lines:
        worth[li.category] += li.value
    taken: Counter[str] = Counter()
    chosen = []
    for li in sorted(lines, key=lambda li: (-worth[li.category], li.category, -li.value, li.product_id)):
        taken[li.category] += 1
        if taken[li.category] <= PER_CATEGORY:
            chosen.append(li)
    return chosen[:limit]


def _incubation(plan: Plan, lines: Sequence[PlanLine], limit: int) -> list[RenderableType]:
    counts = Counter(li.action for li in lines)
    stages = [*STAGES, *sorted(counts.keys() - set(STAGES))]
    impressions = sum(float(li.details.get("impressions", 0)) for li in lines)
    of_stages = f" ({', '.join(f'{counts[s]:,} {s}' for s in stages if counts[s])})" * bool(lines)
    summary = [
        f"New products: {len(lines):,}{of_stages}.",
        *_moves(plan),
        f"{_money(impressions)} impressions handed out{_rest(plan, lines, impressions)}{_surfaces(plan, impressions)}.",
        *(f"Note: {note}." for note in plan.summary.get("notes", ())),
    ]
    table = _plan_table("stage", "product, and why", "category", "share", "impressions", "chance", "between", "binds")
    for stage in stages:
        of_stage = sorted(
            (li for li in lines if li.action == stage), key=lambda li: (-li.quantity, -li.value, li.product_id)
        )
        for li in of_stage[:limit]:
            takes = li.details.get("to_graduate")
            table.add_row(
                stage,
                _with_reason(li.title, li) + Text(f"\nTo graduate: {takes}" if takes else "", style="dim"),
                Text(li.category),
                f"{li.quantity:.2%}",
                _money(float(li.details.get("impressions", 0))),
                f"{li.value:.0%}",
                f"{li.value_low:.0%} – {li.value_high:.0%}",
                Text(li.binding_constraint or ""),
            )
        table.add_section()
    return [*(Text(s) for s in summary), *_ladder(plan, counts), table]


def _ladder(plan: Plan, counts: Counter[str]) -> list[RenderableType]:
    """A bar a stage, the most advanced on top, and who came to it since the plan before. Nothing for a plan without a
    launch."""
    if not counts:
        return []
    moves: dict[str, int] = plan.summary.get("moves", {})
    table = Table(title="The ladder", title_justify="left", box=None)
    for name in ("", "", "", "came since the last plan"):
        table.add_column(name, justify="right" if name == "" else "left", no_wrap=True)
    widest = max(counts.values())
    for stage in STAGES:
        came = ", ".join(
            f"{count:,} from {move.split(' -> ')[0]}" for move, count in moves.items() if move.endswith(f"-> {stage}")
        )
        bar = "█" * round(_BAR * counts[stage] / widest) or "▏" * bool(counts[stage])
        table.add_row(stage, f"{counts[stage]:,}", Text(bar.ljust(_BAR), style="green"), came)
    return [table]


def _moves(plan: Plan) -> list[str]:
    """Who is new and who left, where a plan says so."""
    if "new" not in plan.summary:
        return []
    moved = sum(plan.summary["moves"].values())
    return [
        f"Since the last plan, with another stage: {moved:,}; new: {plan.summary['new']:,}; no launches any more: "
        f"{plan.summary['left']:,}."
    ]


def _surfaces(plan: Plan, impressions: float) -> str:
    """Where most of the impressions go, where there is more than one place."""
    given = [
        (count, f"{channel} in {region}")
        for channel, regions in plan.summary.get("impressions_by", {}).items()
        for region, count in regions.items()
    ]
    if len(given) < 2 or not impressions:
        return ""
    most = sorted(given, key=lambda one: (-one[0], one[1]))[:3]
    return ", most of them " + ", ".join(f"by {name} ({_share(count / impressions)})" for count, name in most)


def _plan_table(*names: str) -> Table:
    """Words to the left, and as much room as there is for the reasons; numbers to the right, never broken."""
    words = ("stage", "product, and why", "category", "binds")
    table = Table()
    for name in names:
        if name in words:
            table.add_column(name, ratio={"product, and why": 3, "category": 1}.get(name))
        else:
            table.add_column(name, justify="right", no_wrap=True)
    return table


def _with_reason(title: str, line: PlanLine) -> Text:
    return Text.assemble((title, "bold"), "\n", line.reason)


def _rest(plan: Plan, lines: Sequence[PlanLine], impressions: float) -> str:
    """What became of the rest of the budget."""
    budget = plan.parameters.get("exposure_budget", impressions)
    if impressions >= budget:
        return ""
    capped = sum("cap" in (li.binding_constraint or "") for li in lines)
    return f" of {_money(budget)}" + f" (products at a cap: {capped:,})" * bool(capped)


def _bounds(plan: Plan) -> str:
    if "value_low" not in plan.summary:
        return ""
    return f" (80 % interval {_interval(plan.summary['value_low'], plan.summary['value_high'])})"


def _money(value: float) -> str:
    return f"{value:,.0f}"


def _interval(low: float, high: float) -> str:
    return f"{low:,.0f} – {high:,.0f}"


def _share(value: float) -> str:
    return f"{value:.1%}"
