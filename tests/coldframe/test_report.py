"""What is printed is what gets approved: figures must be those of the plan, and comparisons must be fair."""

from collections.abc import Callable
from datetime import date
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console, RenderableType

from coldframe.actuals import Actuals, ActualsRequest, line_by_line, season_actuals
from coldframe.errors import ColdframeError, NotAvailableError
from coldframe.landed import partition
from coldframe.ledger import Ledger, Plan, PlanDraft, PlanLine
from coldframe.paths import Workspace
from coldframe.report import cohort_report, compare_with_actuals, comparison_report, line_by_line_report, plan_report
from coldframe.settings import load
from tests.ml.snapshots import write_snapshot

Make = Callable[..., PlanDraft]
MakeLine = Callable[..., PlanLine]


def rendered(report: RenderableType) -> str:
    console = Console(width=200, file=StringIO())
    with console.capture() as captured:
        console.print(report)
    return captured.get()


def products(*rows: tuple[str, str, str, float, int | None]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["region", "category", "product_id", "gmv", "naive_rank"])
    return frame.astype({"naive_rank": "Int64"})


SOLD = products(
    ("north", "tea", "p1", 250.0, 2),
    ("north", "tea", "p2", 100.0, 1),
    ("north", "tea", "p3", 50.0, 3),
    ("north", "mugs", "p9", 999.0, 1),
    ("south", "tea", "p1", 10.0, None),
)


# Plans


def test_an_assortment_shows_totals_what_binds_and_a_reason_for_each_line(
    ledger: Ledger, draft: Make, line: MakeLine
) -> None:
    lines = (
        line(),
        line(region="south", value=100, value_low=50, value_high=200, binding_constraint=None),
        line(product_id="p7", title="Old mug", action="drop", value=0, value_low=0, value_high=0),
    )
    summary = {"value": 400, "value_low": 300, "value_high": 500}
    text = rendered(plan_report(ledger.save_plan(draft(lines=lines, summary=summary)), lines))
    assert "Options: 2; products: 1; regions: 2; categories: 1; options to drop: 1." in text
    assert "Expected GMV of the season: 400 (80 % interval 300 – 500)." in text
    assert "What binds: option count (1), nothing (1)." in text
    assert "Old mug [drop]" in text
    assert text.count("sells steadily in 13 of 13 weeks") == 3
    assert "snapshot 2017-09-30-abc, forecasting r1" in text


def test_regions_come_in_the_order_of_what_they_are_worth(ledger: Ledger, draft: Make, line: MakeLine) -> None:
    lines = tuple(
        line(region=region, value=worth, value_low=0) for region, worth in (("east", 10), ("south", 100), ("west", 50))
    )
    text = rendered(plan_report(ledger.save_plan(draft(lines=lines)), lines))
    assert text.index("Region south") < text.index("Region west") < text.index("Region east")


def test_stock_and_what_was_learned_of_substitution_stand_on_the_plan(
    ledger: Ledger, draft: Make, line: MakeLine
) -> None:
    learned = {
        f"north / {name}": [share, share - 0.1, share + 0.1]
        for name, share in zip("abcd", (0.2, 0.4, 0.3, 0.5), strict=True)
    }
    summary = {"stock_money": 1234.0, "fill_rate": 0.912, "recapture": learned}
    text = rendered(plan_report(ledger.save_plan(draft(lines=(line(),), summary=summary)), (line(),)))
    assert "Stock worth 1,234 serves 91.2% of expected demand." in text
    told = "with its 80 % interval: north / d 50% (40% – 60%), north / c 30% (20% – 40%), north / a 20% (10% – 30%)"
    assert told in " ".join(text.split())
    assert "(the most, the middle and the least of 4 cells)" in " ".join(text.split())


def test_the_first_rows_of_a_region_show_several_categories_the_largest_first(
    ledger: Ledger, draft: Make, line: MakeLine
) -> None:
    lines = tuple(line(category=c, product_id=f"{c}{n}", title=f"{c} {n}") for c in ("tea", "mugs") for n in range(5))
    lines += (line(category="mugs", product_id="mugs9", title="mugs 9"),)
    text = rendered(plan_report(ledger.save_plan(draft(lines=lines)), lines, limit=3))
    assert [t for t in ("mugs 0", "mugs 1", "mugs 2", "tea 0", "tea 1") if t in text] == ["mugs 0", "mugs 1", "tea 0"]


def test_titles_with_brackets_are_printed_as_they_are(ledger: Ledger, draft: Make, line: MakeLine) -> None:
    lines = (line(title="Tea [bold]100[/bold] g"),)
    assert "Tea [bold]100[/bold] g" in rendered(plan_report(ledger.save_plan(draft(lines=lines)), lines))


def test_an_incubation_plan_shows_stages_in_order_with_share_impressions_and_chance(
    ledger: Ledger, draft: Make, line: MakeLine
) -> None:
    lines = (
        line(action="seed", title="New", quantity=0.25, value=0.2, value_low=0.1, value_high=0.4, details={}),
        line(
            action="graduate",
            title="Proven",
            quantity=0.5,
            value=0.9,
            value_low=0.8,
            value_high=1.0,
            details={"impressions": 500},
        ),
    )
    parameters = {"exposure_budget": 600}
    text = rendered(plan_report(ledger.save_plan(draft(kind="incubation", lines=lines, parameters=parameters)), lines))
    assert "New products: 2 (1 graduate, 1 seed)." in text
    assert "500 impressions handed out of 600." in text
    assert text.index("Proven") < text.index("New ", text.index("impressions handed out"))
    assert "50.00%" in text
    assert "80% – 100%" in text


def test_an_incubation_plan_shows_the_ladder_and_what_moved_on_it(ledger: Ledger, draft: Make, line: MakeLine) -> None:
    kept = {
        "value": 0.2,
        "value_low": 0.1,
        "value_high": 0.4,
        "details": {"impressions": 300, "to_graduate": "9 orders"},
    }
    lines = (
        *(line(action="seed", product_id=f"s{i}", **kept) for i in range(4)),
        line(action="incubate", product_id="i", **kept),
    )
    summary = {
        "moves": {"seed -> incubate": 1},
        "new": 2,
        "left": 3,
        "impressions_by": {"app": {"north": 900, "south": 0}, "web": {"north": 600}},
        "notes": ["2 launches are frozen"],
    }
    text = rendered(plan_report(ledger.save_plan(draft(kind="incubation", lines=lines, summary=summary)), lines))
    assert "Since the last plan, with another stage: 1; new: 2; no launches any more: 3." in text
    assert "1,500 impressions handed out, most of them by app in north (60.0%), by web in north (40.0%)" in text
    assert "Note: 2 launches are frozen." in text
    assert "To graduate: 9 orders" in text
    [seeds] = [told for told in text.splitlines() if told.split()[:2] == ["seed", "4"]]
    [incubated] = [told for told in text.splitlines() if told.split()[:2] == ["incubate", "1"]]
    assert (seeds.count("█"), incubated.count("█")) == (40, 10)
    assert "1 from seed" in incubated


def test_an_empty_plan_can_be_shown(ledger: Ledger, draft: Make) -> None:
    for kind, told in (("assortment", "Options: 0; "), ("incubation", "New products: 0.")):
        assert told in rendered(plan_report(ledger.save_plan(draft(kind=kind, lines=())), ()))


# Plan beside actual


def test_the_share_captured_is_of_the_planned_categories_and_laid_beside_rules_with_as_many_slots(
    line: MakeLine,
) -> None:
    comparison = compare_with_actuals([line(), line(region="south", value_low=0.0)], SOLD)
    north, south = comparison.regions
    assert (north.region, north.total, north.actual) == ("north", 400.0, 250.0)
    assert north.captured == pytest.approx(250 / 400)
    assert north.naive == pytest.approx(100 / 400)
    assert north.best == pytest.approx(250 / 400)
    assert (south.captured, south.naive) == (1.0, 0.0)
    assert comparison.overall.total == 410.0
    assert comparison.overall.expected == 600.0
    assert comparison.overall.captured == pytest.approx(260 / 410)


def test_a_ranged_product_that_sold_nothing_counts_as_zero(line: MakeLine) -> None:
    comparison = compare_with_actuals([line(), line(product_id="p8")], SOLD)
    assert comparison.overall.actual == 250.0
    assert comparison.overall.inside == 0.5


def test_products_to_drop_are_not_compared(line: MakeLine) -> None:
    assert compare_with_actuals([line(), line(product_id="p2", action="drop")], SOLD).overall.options == 1


def test_a_plan_that_ranges_nothing_captured_nothing(line: MakeLine) -> None:
    comparison = compare_with_actuals([line(action="drop")], SOLD)
    assert (comparison.regions, comparison.overall.captured) == ((), 0.0)


def test_a_season_known_in_part_says_so_and_margin_is_not_compared_with_gmv(
    ledger: Ledger, draft: Make, line: MakeLine
) -> None:
    plan = ledger.save_plan(draft(parameters={"objective": "margin"}))
    actuals = Actuals(SOLD, date(2017, 10, 1), date(2017, 12, 31), until=date(2017, 11, 12))
    text = rendered(comparison_report(plan, compare_with_actuals([line()], SOLD), actuals))
    assert "sales are known until 2017-11-12 only" in text
    assert "expected GMV" not in text
    assert (
        "sold 62.5% of the GMV of their categories. Last 13 weeks' bestsellers, with as many places, sold 25.0%" in text
    )


def test_a_season_that_is_over_says_whether_the_plans_interval_held(
    ledger: Ledger, draft: Make, line: MakeLine
) -> None:
    actuals = Actuals(SOLD, date(2017, 10, 1), date(2017, 12, 31), until=date(2017, 12, 31))
    for high, told in ((320, "held"), (240, "did not hold")):
        plan = ledger.save_plan(draft(summary={"value": 300, "value_low": 200, "value_high": high}, season=told))
        text = rendered(comparison_report(plan, compare_with_actuals([line()], SOLD), actuals))
        assert f"Expected 300 (80 % interval 200 – {high}), sold 250: the interval {told}." in text


def test_a_plan_shows_how_its_way_of_deciding_did_before(ledger: Ledger, draft: Make, line: MakeLine) -> None:
    tested = [
        {"as_of": "2016-09-30", "share_of_oracle": 0.812, "baseline": "last 13 weeks", "best_baseline": 0.8},
        {"as_of": "2016-06-30", "share_of_oracle": 0.75, "baseline": "same season last year", "best_baseline": 0.77},
    ]
    plan = ledger.save_plan(draft(summary={"backtest": tested}))
    text = rendered(plan_report(plan, [line()]))
    assert "as of 2016-09-30 81.2% (last 13 weeks 80.0%)" in text
    assert "as of 2016-06-30 75.0% (same season last year 77.0%)" in text
    short = ledger.save_plan(draft(summary={"backtest": []}, season="2018-Q1"))
    assert "Back-test: the history is too short for one." in rendered(plan_report(short, [line()]))


def test_a_plan_shows_what_to_negotiate_with_and_what_it_rests_on(ledger: Ledger, draft: Make, line: MakeLine) -> None:
    told = {"slot_worth": {"north / tea": 20.0, "south / tea": 1234.0}, "worth_of_money": 0.35, "rules_cost": 99.0}
    told |= {"notes": ["it is cold"]}
    text = rendered(plan_report(ledger.save_plan(draft(summary=told)), [line()]))
    assert "One more slot is worth most in south / tea (1,234), north / tea (20)." in text
    assert "One more of the budget for stock would bring 0.35." in text
    assert "Rules beside the slots cost 99." in text
    assert "Note: it is cold." in text
    bare = rendered(plan_report(ledger.save_plan(draft(summary={}, season="2018-Q1")), [line()]))
    assert "One more" not in bare and "Note" not in bare


def followed(**changes: Any) -> pd.DataFrame:
    """Two rows of `fct_plan_line` of a season that is over."""
    rows = {
        "plan_id": "a1",
        "region": ["north", "south"],
        "action": "range",
        "days": 92,
        "days_elapsed": 92,
        "gmv": [250.0, 10.0],
        "days_out_of_stock": [3, 0],
        "lost_gmv": [30.0, 0.0],
        "forecast_error_gmv": [-20.0, -290.0],
        "choice_error_gmv": [0.0, 40.0],
    }
    return pd.DataFrame(rows | changes)


def test_what_went_otherwise_is_told_apart_by_region() -> None:
    text = rendered(line_by_line_report(followed()))
    cells = [[cell.strip() for cell in row.split("│")[1:-1]] for row in text.splitlines() if "│" in row]
    assert cells == [
        ["north", "1", "250", "-20", "30", "0"],
        ["south", "1", "10", "-290", "0", "40"],
        ["all", "2", "260", "-310", "30", "40"],
    ]


def test_what_nobody_can_know_is_left_empty_and_said() -> None:
    unknown = followed(days_elapsed=10, forecast_error_gmv=None, days_out_of_stock=None, lost_gmv=None)
    text = rendered(line_by_line_report(unknown))
    assert "10 of 92 days" in text
    assert "The source has no inventory: what was lost to stock-outs is not known" in text
    assert "told once the season is over" in text


# What sold


def publish(home: Path, as_of: date, **tables: pd.DataFrame) -> None:
    place = Workspace(home, "shop")
    write_snapshot(place.snapshots / "s1", as_of, **tables)
    place.current.symlink_to("s1")


def test_a_season_the_published_snapshot_knows_whole_is_read_there(plan: Plan, tmp_path: Path) -> None:
    sales = pd.DataFrame(
        {
            "region": "north",
            "product_id": ["p1", "p2", "p1"],
            "date": pd.to_datetime(["2017-09-30", "2017-10-01", "2017-12-31"]),
            "units": [9, 2, 1],
            "gmv": [4.0, 10.0, 6.0],
        }
    )
    products = pd.DataFrame({"product_id": ["p1", "p2"], "category": "tea", "title": ["A", "B"]})
    lines = followed(plan_id=plan.plan_id)
    publish(tmp_path, date(2018, 1, 7), fct_product_day=sales, dim_product=products, fct_plan_line=lines)

    def land(request: ActualsRequest) -> None:
        raise AssertionError("nothing needs to be landed")

    settings = load(home=tmp_path)
    actuals = season_actuals(plan, settings=settings, land=land)
    rows = actuals.products.astype({"naive_rank": "Int64"})[["product_id", "units", "gmv", "naive_rank"]]
    assert rows.to_numpy().tolist() == [["p2", 2.0, 10.0, pd.NA], ["p1", 1.0, 6.0, 1]]
    found = line_by_line(plan, settings)
    assert found is not None and len(found) == 2


def test_a_plan_for_a_season_that_had_begun_is_laid_beside_the_rest_of_it(
    ledger: Ledger, draft: Make, tmp_path: Path
) -> None:
    days = pd.to_datetime(["2017-10-31", "2017-11-01"])
    sales = pd.DataFrame({"region": "north", "product_id": "p1", "date": days, "units": [9, 2], "gmv": [90.0, 20.0]})
    products = pd.DataFrame({"product_id": ["p1"], "category": "tea", "title": "A"})
    publish(tmp_path, date(2017, 12, 31), fct_product_day=sales, dim_product=products)
    begun = ledger.save_plan(draft(as_of=date(2017, 10, 31)))
    actuals = season_actuals(begun, settings=load(home=tmp_path))
    assert actuals.first_day == date(2017, 11, 1)
    assert actuals.products["units"].tolist() == [2.0]


def test_a_plan_is_not_followed_before_its_season_or_its_publication(plan: Plan, tmp_path: Path) -> None:
    settings = load(home=tmp_path)
    assert line_by_line(plan, settings) is None
    publish(tmp_path, date(2018, 1, 7), fct_plan_line=followed(plan_id=["another", plan.plan_id], days_elapsed=[9, 0]))
    assert line_by_line(plan, settings) is None


def land_lines(request: ActualsRequest, lines: list[tuple[str, str, str, int, float, str]]) -> None:
    workspace = Workspace(request.home, request.source)
    columns = ["day", "region", "product_id", "quantity", "gross_amount", "status"]
    frame = pd.DataFrame(lines, columns=columns).assign(ordered_at=lambda f: pd.to_datetime(f["day"]))
    for day, of_day in frame.groupby("day"):
        path = partition(workspace, "order_lines", date.fromisoformat(str(day))).path
        path.parent.mkdir(parents=True)
        of_day.drop(columns="day").to_parquet(path)
    path = partition(workspace, "products", None).path
    path.parent.mkdir(parents=True)
    pd.DataFrame({"product_id": ["p1", "p2", "p3"], "category": "tea", "title": ["A", "B", "C"]}).to_parquet(path)


@pytest.fixture
def plan(ledger: Ledger, draft: Make) -> Plan:
    return ledger.save_plan(draft())


def test_what_sold_is_landed_apart_for_the_season_and_the_weeks_the_rule_ranks_by(plan: Plan, tmp_path: Path) -> None:
    asked: list[ActualsRequest] = []

    def land(request: ActualsRequest) -> None:
        asked.append(request)
        land_lines(
            request,
            [
                ("2017-09-01", "north", "p2", 1, 5.0, "completed"),
                ("2017-09-30", "north", "p1", 9, 4.0, "completed"),
                ("2017-10-01", "north", "p1", 2, 10.0, "completed"),
                ("2017-12-31", "north", "p1", 1, 6.0, "returned"),
                ("2017-12-31", "north", "p2", 1, 7.0, "cancelled"),
                ("2018-01-01", "north", "p2", 1, 8.0, "completed"),
                ("2017-11-01", "north", "p3", 1, 1.0, "completed"),
            ],
        )

    actuals = season_actuals(plan, settings=load(home=tmp_path), land=land)
    assert asked == [
        ActualsRequest(tmp_path / "actuals", "shop", start=date(2017, 7, 2), as_of=date(2017, 12, 31), path=None)
    ]
    rows = actuals.products.astype({"naive_rank": "Int64"})[["product_id", "units", "gmv", "naive_rank"]]
    assert rows.to_numpy().tolist() == [["p1", 3.0, 16.0, 2], ["p3", 1.0, 1.0, pd.NA], ["p2", 0.0, 0.0, 1]]
    assert actuals.until == date(2017, 12, 31)


def test_a_season_without_sales_yet_says_so(plan: Plan, tmp_path: Path) -> None:
    def land(request: ActualsRequest) -> None:
        land_lines(request, [("2017-09-30", "north", "p1", 9, 4.0, "completed")])

    with pytest.raises(NotAvailableError, match="no sales between 2017-10-01 and 2017-12-31 yet"):
        season_actuals(plan, settings=load(home=tmp_path), land=land)


def test_landing_apart_leaves_the_pipelines_own_home_alone_and_reports_its_error(
    plan: Plan, tmp_path: Path, tiny_shop: Path
) -> None:
    home = tmp_path / "home"
    before = sorted(home.rglob("*"))
    with pytest.raises(ColdframeError, match="could not be landed"):
        season_actuals(plan, path=tiny_shop / "missing", settings=load(home=tmp_path / "home"))
    assert [p for p in sorted(home.rglob("*")) if (home / "actuals") not in (p, *p.parents)] == before


def test_cohorts_say_what_incubation_found_and_missed_at_their_greatest_age() -> None:
    counts = {"launches": 40, "selling": 30, "mature": 40, "blockbusters": 4, "graduates": 3, "hits": 2, "missed": 1}
    old = {"launch_month": pd.Timestamp("2024-01-01"), "age_weeks": 26, "impressions": 9000, **counts}
    young = dict.fromkeys(old) | {"launch_month": pd.Timestamp("2024-06-01"), "age_weeks": 4}
    young |= {"launches": 7, "selling": 7, "mature": 0, "blockbusters": 0}
    cohorts = pd.DataFrame([old | {"age_weeks": 13, "launches": 999}, old, young]).assign(impressions_per_hit=4500.0)
    text = rendered(cohort_report(cohorts))
    assert "999" not in text
    for told in ("2024-01", "26 weeks", "75.0%", "4 of 40", "9,000", "4,500", "4 weeks", "missed"):
        assert told in text
