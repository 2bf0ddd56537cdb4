"""Online is the last complete week of the current snapshot, all of it and nothing else, or what was there before."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from coldframe.errors import ColdframeError, NotAvailableError
from feature_repo import steps
from feature_repo.retrieval import training_frame
from feature_repo.steps import materialize, window
from feature_repo.store import ONLINE, open_store


def online(features: Any, *products: str) -> pd.DataFrame:
    store = open_store(features.workspace, features.workspace.features)
    found = store.get_online_features(
        features=store.get_feature_service("serving_v1"), entity_rows=[{"product_id": p} for p in products]
    )
    return found.to_df().set_index("product_id").loc[list(products)]


def units(features: Any, *products: str) -> list[float | None]:
    return [None if pd.isna(v) else v for v in online(features, *products)["units_4w"]]


def leftovers(features: Any) -> dict[str, bytes]:
    """Everything that is served from, by name."""
    return {p.name: p.read_bytes() for p in sorted(features.workspace.features.iterdir())}


@pytest.fixture
def served(features: Any) -> Any:
    """Features of which week 0 of products a and b is online."""
    features.publish([features.row("a", units=1), features.row("b", units=2)])
    assert not materialize(features.request()).reused
    return features


@pytest.mark.parametrize("days", range(7))
def test_the_window_holds_exactly_one_end_of_a_week_on_any_day(days: int) -> None:
    as_of = date(2024, 5, 5) + timedelta(days=days)
    limits = window(as_of)
    first = datetime(2024, 1, 1, tzinfo=UTC)
    ends = [first + timedelta(weeks=n) for n in range(30)]
    assert [end for end in ends if limits.start <= end <= limits.end] == [datetime(2024, 5, 6, tzinfo=UTC)]


def test_online_equals_offline_row_for_row(features: Any) -> None:
    rows = [features.row(f"p{n}", units=n, price=None if n % 5 == 0 else n / 7) for n in range(60)]
    features.publish([*rows, *(features.row(f"p{n}", weeks_ago=1, units=-n) for n in range(60))])
    result = materialize(features.request())
    assert result.facts["product_week"] == 60
    products = [f"p{n}" for n in range(60)]
    spine = pd.DataFrame({"product_id": products, "event_timestamp": features.end})
    offline = training_frame(features.workspace, spine, "serving_v1").set_index("product_id")
    served = online(features, *products)
    names = ["units_4w", "price_4w"]
    pd.testing.assert_frame_equal(served[names], offline[names], check_dtype=False, check_exact=True)


def test_the_newest_version_of_a_corrected_week_goes_online(features: Any) -> None:
    features.publish([features.row("a", units=1), features.row("a", units=777, known_after=1)])
    materialize(features.request())
    assert units(features, "a") == [777]


def test_the_result_says_what_is_online_and_how_old_it_is(features: Any) -> None:
    features.publish([features.row("a"), features.row("b")], as_of=date(2024, 5, 8))
    result = materialize(features.request(as_of="2024-05-08"))
    assert result.facts == {
        "product_week": 2,
        "merchant_week": 1,
        "customer_week": 1,
        "region_week": 1,
        "window": "2024-05-02 00:00:01..2024-05-09 00:00:00",
        "fresh_until": "2024-05-06",
        "days_old": 3,
    }
    assert result.warnings == ()
    assert Path(result.links["online_store"]).is_file()


def test_a_product_that_has_no_features_any_more_does_not_stay_online(served: Any) -> None:
    served.publish([served.row("b", units=3)])
    materialize(served.request())
    assert units(served, "a", "b") == [None, 3]


def test_materializing_the_same_snapshot_again_does_nothing_unless_forced(served: Any) -> None:
    before = leftovers(served)
    again = materialize(served.request())
    assert again.reused
    assert "already online" in again.summary
    assert leftovers(served) == before
    assert not materialize(served.request(force=True)).reused


def test_other_definitions_are_materialized_anew(served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "_definitions_hash", lambda: "another")
    assert not materialize(served.request()).reused


def test_an_online_store_that_is_gone_is_written_anew(served: Any) -> None:
    (served.workspace.features / ONLINE).unlink()
    assert not materialize(served.request()).reused
    assert units(served, "a", "b") == [1, 2]


def test_a_run_killed_before_the_comparison_leaves_what_was_online(
    served: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = leftovers(served)
    served.publish([served.row("a", units=100)])

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(steps, "_verify", killed)
    with pytest.raises(KeyboardInterrupt):
        materialize(served.request())
    assert leftovers(served) == before
    assert units(served, "a", "b") == [1, 2]
    monkeypatch.undo()
    materialize(served.request())
    assert units(served, "a", "b") == [100, None]


@pytest.mark.parametrize(
    ("at", "expected"), [("_replace", [1, 2]), ("write_yaml", [100, None]), ("_write_text", [100, None])]
)
def test_a_run_killed_while_it_takes_over_serves_one_week_whole_and_is_done_again(
    served: Any, monkeypatch: pytest.MonkeyPatch, at: str, expected: list[int | None]
) -> None:
    served.publish([served.row("a", units=100)])

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(steps, at, killed)
        with pytest.raises(KeyboardInterrupt):
            materialize(served.request())
    assert units(served, "a", "b") == expected
    again = materialize(served.request())
    assert not again.reused
    assert units(served, "a", "b") == [100, None]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("delete from {table} where entity_key = (select min(entity_key) from {table})", "1 rows went online.*has 2"),
        (
            "update {table} set value = (select value from {table} where feature_name = 'units_4w' limit 1) "
            "where feature_name = 'units_4w'",
            "1 features of 2 sampled rows differ.*units_4w",
        ),
    ],
    ids=["a row is lost", "values differ"],
)
def test_what_differs_from_the_snapshot_never_goes_online(
    served: Any, monkeypatch: pytest.MonkeyPatch, fault: str, said: str
) -> None:
    before = leftovers(served)
    served.publish([served.row("a", units=100), served.row("b", units=200)])
    monkeypatch.setattr(steps, "_verify", faulty(steps._verify, fault))
    with pytest.raises(ColdframeError, match=said):
        materialize(served.request())
    assert leftovers(served) == before
    assert units(served, "a", "b") == [1, 2]


def faulty(verify: Callable[..., int], fault: str) -> Callable[..., int]:
    """`verify`, before which Feast made a mistake."""

    def verify_after_fault(store: Any, view: Any, snapshot: Any, limits: Any, folder: Path) -> int:
        if view.name == "product_week":
            with closing(sqlite3.connect(folder / ONLINE)) as connection, connection:
                connection.execute(fault.format(table=f'"{store.project}_{view.name}"'))
        return verify(store, view, snapshot, limits, folder)

    return verify_after_fault


def test_a_source_without_a_complete_week_is_a_warning(features: Any) -> None:
    features.publish([])
    result = materialize(features.request())
    assert "no complete week" in result.warnings[0]
    assert result.facts["days_old"] is None
    assert units(features, "a") == [None]


def test_nothing_is_materialized_before_the_first_snapshot(features: Any) -> None:
    with pytest.raises(NotAvailableError, match="coldframe audit"):
        materialize(features.request())
    assert not features.workspace.features.exists()


def test_the_marker_names_the_snapshot_that_is_online(served: Any) -> None:
    marker = json.loads((served.workspace.features / steps.MARKER).read_text())
    assert marker["snapshot"] == served.workspace.current.resolve().name
