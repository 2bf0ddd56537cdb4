"""What counts as a launch and as a bestseller, and that a label's quarter is never seen before it is over."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from coldframe.errors import NotAvailableError
from coldframe.paths import Workspace
from coldframe.snapshots import Snapshot
from ml.growth import data
from tests.ml.growth.conftest import WEEKS, monday, panel

MakeSnapshot = Callable[[pd.DataFrame], Snapshot]


def rows_of(rows: pd.DataFrame, product: str) -> pd.DataFrame:
    return rows[rows["product_id"] == product].set_index("scored_week")


def test_only_launches_are_scored_in_the_weeks_of_their_first_quarter(
    make_snapshot: MakeSnapshot, workspace: Workspace
) -> None:
    launches = data.load(workspace, make_snapshot(panel()))
    assert set(launches.rows["product_id"]) == {"hit", "flop", "steady", "late_hit"}
    hit = rows_of(launches.rows, "hit")
    assert list(hit.index) == [pd.Timestamp(monday(week)) for week in range(10, 10 + data.RECENT_WEEKS)]
    assert hit["units_so_far"].tolist() == [60 * n for n in range(1, data.RECENT_WEEKS + 1)]
    assert list(rows_of(launches.current, "late_hit").index) == [pd.Timestamp(monday(WEEKS - 1))]
    assert set(launches.current["product_id"]) == {"late_hit"}


def test_a_bestseller_is_in_the_top_tenth_of_its_category_in_the_quarter_that_follows(
    make_snapshot: MakeSnapshot, workspace: Workspace
) -> None:
    known = data.load(workspace, make_snapshot(panel())).known
    assert rows_of(known, "hit")["label"].all()
    assert not rows_of(known, "flop")["label"].any()


def test_a_category_of_fewer_than_twenty_products_has_no_bestsellers(
    make_snapshot: MakeSnapshot, workspace: Workspace
) -> None:
    weekly = panel()
    small = weekly[weekly["product_id"].isin(["hit", "flop", *(f"old{i:02d}" for i in range(1, 11))])]
    launches = data.load(workspace, make_snapshot(small))
    assert not launches.known["label"].any()
    assert launches.rows["bestseller_gmv"].isna().all()


def test_of_two_products_with_equal_gmv_at_the_line_the_smaller_id_is_the_bestseller(
    make_snapshot: MakeSnapshot, workspace: Workspace
) -> None:
    """43 products leave five places: the hit has the first, and five share the pace of the best old tea."""
    weekly = panel()
    weekly = weekly[weekly["product_id"] != "late_hit"].copy()
    tied = weekly["product_id"].isin(["flop", "old37", "old38", "old39", "old40"])
    weekly.loc[tied, ["units", "gmv"]] = [40, 100.0]
    known = data.load(workspace, make_snapshot(weekly)).known
    assert rows_of(known, "flop")["label"].all(), "flop sorts before old37 … old40"


def test_a_quarter_that_is_not_over_has_no_label_and_only_the_last_week_is_scored(
    make_snapshot: MakeSnapshot, workspace: Workspace
) -> None:
    launches = data.load(workspace, make_snapshot(panel()))
    assert launches.known["scored_week"].max() == pd.Timestamp(monday(WEEKS - 1 - data.QUARTER))
    assert launches.current["label"].isna().all()
    assert set(launches.rows["scored_week"]) - set(launches.known["scored_week"]) == {pd.Timestamp(monday(WEEKS - 1))}


def test_what_sells_later_changes_nothing_but_the_label(make_snapshot: MakeSnapshot, workspace: Workspace) -> None:
    weekly = panel()
    week = monday(15)
    later = weekly.copy()
    later.loc[later["week_start"] > week, ["units", "gmv", "buyers"]] = 0
    later.loc[(later["week_start"] > week) & (later["product_id"] == "flop"), ["units", "gmv"]] = [900, 900.0]

    def at_the_week(panel_of: pd.DataFrame) -> pd.DataFrame:
        rows = data.load(workspace, make_snapshot(panel_of)).rows
        return rows[rows["scored_week"] == pd.Timestamp(week)].reset_index(drop=True)

    before, after = at_the_week(weekly), at_the_week(later)
    assert before["label"].tolist() != after["label"].tolist()
    pd.testing.assert_frame_equal(before.drop(columns="label"), after.drop(columns="label"))


def test_the_line_of_a_bestseller_is_what_the_top_tenth_sold_in_the_last_quarter(
    make_snapshot: MakeSnapshot, workspace: Workspace
) -> None:
    weekly = panel()
    [row] = data.load(workspace, make_snapshot(weekly)).current.to_dict("records")
    last = weekly[weekly["week_start"] > monday(WEEKS - 1 - data.QUARTER)].groupby("product_id")["gmv"].sum()
    assert row["bestseller_gmv"] == pytest.approx(last.quantile(0.9))


def test_without_a_complete_week_there_is_nothing_to_learn_from(
    make_snapshot: MakeSnapshot, workspace: Workspace
) -> None:
    snapshot = make_snapshot(panel().assign(days_elapsed=3))
    (snapshot.path / "fct_category_week" / "all.parquet").unlink()
    pd.DataFrame({"week_start": [monday(0)], "days_elapsed": [3]}).to_parquet(
        snapshot.path / "fct_category_week" / "all.parquet"
    )
    with pytest.raises(NotAvailableError, match="no complete week"):
        data.load(workspace, snapshot)


def test_skewed_counts_enter_as_logarithms_and_the_unknown_stays_unknown() -> None:
    rows = pd.DataFrame({"units_so_far": [0.0, np.e - 1, None], "age_weeks": [1, 2, 3]})
    values = data.matrix(rows, ("units_so_far", "age_weeks"))
    np.testing.assert_allclose(values[:2], [[0, 1], [1, 2]])
    assert np.isnan(values[2, 0])
