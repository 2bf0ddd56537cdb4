"""Substitution learned from published facts: what was on show, who bought, who left, and what is said if it fails."""

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from coldframe.snapshots import Snapshot
from ml.assortment.choice import Occasions
from ml.assortment.visits import COLUMNS, fit, read
from tests.ml.assortment.draws import PRICE, RHO, THETA, draw
from tests.ml.snapshots import write_snapshot

FIRST, AS_OF = date(2024, 4, 8), date(2024, 9, 30)
"""The 26 weeks a fit as of AS_OF, a Monday, reads begin on FIRST."""


def facts(occasions: Occasions, category: str = "tea") -> dict[str, pd.DataFrame]:
    """What a shop publishes of these occasions, from FIRST on: what is out on a day is out at its beginning and end."""
    day = [FIRST + timedelta(days=int(n)) for n in occasions.week * 7 + occasions.weekday]
    region = np.array(["north", "south", "west"])[occasions.region]
    product = np.array([f"{category}{n:02d}" for n in range(occasions.shown.shape[1])])
    visits = pd.DataFrame({"date": day, "region": region, "category": category, "channel": "shop"})
    row, column = np.nonzero(occasions.bought)
    times = occasions.bought[row, column].astype(int)
    lines = pd.DataFrame(
        {
            "order_date": np.array(day)[row],
            "region": region[row],
            "category": category,
            "product_id": product[column],
            "channel": "shop",
            "quantity": 1,
            "net_amount": 10 * np.exp(occasions.price[row, column]),
            "status": "completed",
            "coupon_id": pd.Series([None] * len(row), dtype="string"),
        }
    )
    row, column = np.nonzero(~occasions.shown)
    gone = {"region": region[row], "product_id": product[column]}
    ends = [pd.DataFrame({"date": np.array(day)[row] - timedelta(days=before)} | gone) for before in (0, 1)]
    mondays = pd.DataFrame({"week_start": sorted({d for d in day if d.weekday() == 0})})
    panel = mondays.merge(pd.DataFrame({"region": np.unique(region)}), how="cross")
    panel = panel.merge(pd.DataFrame({"product_id": product}), how="cross")
    return {
        "fct_visit_day": visits.assign(visits=occasions.visits.astype(int), buys=occasions.buys.astype(int)),
        "fct_order_lines": lines.loc[lines.index.repeat(times)].reset_index(drop=True),
        "fct_stock_out": pd.concat(ends).drop_duplicates(),
        "fct_product_week": panel.assign(category=category, units=1, impressions=10),
        "dim_product": pd.DataFrame({"product_id": product, "category": category, "launched_on": date(2023, 1, 1)}),
    }


def snapshot(folder: Path, *shops: dict[str, pd.DataFrame]) -> Snapshot:
    """A snapshot of all these categories together."""
    tables = {name: pd.concat([shop[name] for shop in shops], ignore_index=True) for name in shops[0]}
    return write_snapshot(folder / "snapshot", AS_OF, **tables)


def few(**more: float) -> Occasions:
    """A shop of which a fit takes a moment."""
    return draw(products=8, weeks=6, visits=600, **more)  # type: ignore[arg-type]


def test_what_was_planted_is_learned_for_each_cell_with_its_error(tmp_path: Path) -> None:
    found = fit(snapshot(tmp_path, facts(draw(weeks=10))), AS_OF)
    assert found.reason == ""
    assert set(found.cells) == {(region, "tea") for region in ("north", "south", "west")}
    cell = found.cells[("north", "tea")]
    row = found.table.iloc[0]
    assert tuple(found.table.columns) == COLUMNS
    assert (cell.buy_probability, cell.dissimilarity) == (row["buy_probability"], row["dissimilarity"])
    assert (cell.source, row["source"], row["warning"]) == ("fitted", "fitted", "")
    assert abs(cell.dissimilarity - THETA) < 2.5 * row["dissimilarity_se"] < 0.5
    assert cell.buy_probability == pytest.approx(RHO, rel=0.15)
    # What others paid is known for most days on which it was cheap, not for all.
    assert row["price_effect"] == pytest.approx(PRICE, abs=0.5)
    assert row["log_likelihood"] > row["popularity_log_likelihood"]


def test_on_show_is_what_was_on_sale_and_in_stock(tmp_path: Path) -> None:
    drawn = few()
    regions, seen = read(snapshot(tmp_path, facts(drawn)), "tea", FIRST, AS_OF)
    assert regions == ["north", "south", "west"]
    np.testing.assert_array_equal(seen.bought, drawn.bought)
    np.testing.assert_array_equal(seen.visits, drawn.visits)
    # A day between two on which it was out begins and ends with an empty shelf, unless it was bought all the same.
    north = np.flatnonzero(drawn.region == 0)
    out = ~drawn.shown[north]
    between = np.zeros_like(out)
    between[1:-1] = out[:-2] & out[2:]
    expected = ~(out | between) | (drawn.bought[north] > 0)
    np.testing.assert_array_equal(seen.shown[north][1:-1], expected[1:-1])
    assert seen.listed.all()


def test_a_product_is_on_sale_from_its_launch_on(tmp_path: Path) -> None:
    shop = facts(few())
    launch = FIRST + timedelta(days=10)
    shop["dim_product"].loc[0, "launched_on"] = launch
    shop["fct_order_lines"] = shop["fct_order_lines"].query("product_id != 'tea00' or order_date >= @launch")
    _, seen = read(snapshot(tmp_path, shop), "tea", FIRST, AS_OF)
    assert not seen.listed[: 10 * 3, 0].any()
    assert seen.listed[10 * 3 :, 0].all()


def test_where_traffic_is_not_counted_a_product_is_on_sale_until_four_weeks_after_its_last_sale(tmp_path: Path) -> None:
    shop = facts(few())
    late = shop["fct_product_week"]["week_start"] > FIRST
    shop["fct_product_week"] = shop["fct_product_week"].assign(impressions=None)
    shop["fct_product_week"].loc[late & (shop["fct_product_week"]["product_id"] == "tea00"), "units"] = 0
    shop["fct_order_lines"] = shop["fct_order_lines"].query("product_id != 'tea00'")
    _, seen = read(snapshot(tmp_path, shop), "tea", FIRST, AS_OF)
    assert seen.listed[: 35 * 3, 0].all()
    assert not seen.listed[35 * 3 :, 0].any()


def test_sales_through_a_channel_without_visits_are_no_choice_from_the_category(tmp_path: Path) -> None:
    shop = facts(few())
    live = shop["fct_order_lines"].head(50).assign(channel="live")
    shop["fct_order_lines"] = pd.concat([shop["fct_order_lines"], live])
    _, seen = read(snapshot(tmp_path, shop), "tea", FIRST, AS_OF)
    np.testing.assert_array_equal(seen.bought, few().bought)


def test_nothing_after_the_as_of_is_known(tmp_path: Path) -> None:
    shop = facts(few())
    later = {"date": [AS_OF + timedelta(days=1)], "region": "north", "category": "tea", "channel": "shop"}
    visits = [shop["fct_visit_day"], pd.DataFrame(later).assign(visits=10**6, buys=10**5)]
    first = fit(snapshot(tmp_path / "one", shop), AS_OF)
    second = fit(snapshot(tmp_path / "two", shop | {"fct_visit_day": pd.concat(visits)}), AS_OF)
    pd.testing.assert_frame_equal(first.table, second.table)


def test_a_source_without_visits_has_no_cell_and_one_sentence_why(tmp_path: Path) -> None:
    shop = facts(few())
    bare = fit(snapshot(tmp_path, shop | {"fct_visit_day": shop["fct_visit_day"].head(0)}), AS_OF)
    assert bare.cells == {}
    assert bare.table.empty
    assert bare.reason.startswith("the source has no `visits` from 2024-04-08 to 2024-09-30")
    old = fit(write_snapshot(tmp_path / "old", AS_OF, dim_product=shop["dim_product"]), AS_OF)
    assert (dict(old.cells), old.reason[:26]) == ({}, "the snapshot is older than")


def test_a_category_nobody_left_has_no_cell_and_says_what_to_deliver(tmp_path: Path) -> None:
    tea, rice = facts(few()), facts(few(), "rice")
    rice["fct_visit_day"]["visits"] = rice["fct_visit_day"]["buys"]
    found = fit(snapshot(tmp_path / "both", tea, rice), AS_OF)
    assert {category for _, category in found.cells} == {"tea"}
    refused = found.table.query("category == 'rice'")
    assert set(refused["source"]) == {"prior"}
    assert refused["buy_probability"].isna().all()
    assert refused["warning"].str.contains("deliver in `visits` those who looked and left").all()
    alone = fit(snapshot(tmp_path / "alone", rice), AS_OF)
    assert alone.cells == {}
    assert "deliver in `visits`" in alone.reason


def test_visits_named_unlike_order_lines_are_told(tmp_path: Path) -> None:
    shop = facts(few())
    found = fit(snapshot(tmp_path, shop | {"fct_visit_day": shop["fct_visit_day"].assign(channel="web")}), AS_OF)
    assert "must be named alike" in found.reason


def test_a_range_that_never_changes_is_taken_for_independent_of_irrelevant_alternatives_and_says_so(
    tmp_path: Path,
) -> None:
    found = fit(snapshot(tmp_path, facts(few(missing=0.0, price=0.0))), AS_OF)
    cell = found.cells[("north", "tea")]
    assert cell.dissimilarity == 1
    assert cell.source.startswith("fitted; what is on show hardly changes")
    assert found.table["dissimilarity_se"].to_numpy() == pytest.approx(0.3, abs=0.01)


def test_a_plan_is_told_what_to_mind_of_what_was_learned(tmp_path: Path) -> None:
    fine = fit(snapshot(tmp_path / "fine", facts(few())), AS_OF)
    assert fine.notes == ()
    dear = fit(snapshot(tmp_path / "dear", facts(few(price=1.5)), facts(few(), "rice")), AS_OF)
    [note] = dear.notes
    assert note.startswith("substitution of tea: prices are left out of the choice")
    shop = facts(few())
    bare = fit(snapshot(tmp_path / "bare", shop | {"fct_visit_day": shop["fct_visit_day"].head(0)}), AS_OF)
    assert bare.notes == (f"substitution is assumed, not learned: {bare.reason}",)
