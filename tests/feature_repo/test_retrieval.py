"""Training features are those that were known: nothing from later, no row lost, none repeated."""

from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from coldframe.errors import ConfigurationError, NotAvailableError
from coldframe.run import find_service
from feature_repo.definitions import SERVICES, TTL
from feature_repo.retrieval import training_frame

SERVICE = "serving_v1"


def entities(*pairs: tuple[str | None, pd.Timestamp]) -> pd.DataFrame:
    return pd.DataFrame(pairs, columns=["product_id", "event_timestamp"])


def units(features: Any, *pairs: tuple[str | None, pd.Timestamp], **more: Any) -> list[float | None]:
    found = training_frame(features.workspace, entities(*pairs), SERVICE, **more)["units_4w"]
    return [None if pd.isna(value) else value for value in found]


def test_a_week_is_visible_from_the_moment_it_ended_and_never_before(features: Any) -> None:
    features.publish([features.row("a", weeks_ago=n, units=100 + n) for n in range(6)])
    end, second = features.end, pd.Timedelta(seconds=1)
    assert units(features, ("a", end), ("a", end - second), ("a", end + second)) == [100, 101, 100]
    assert units(features, ("a", end - 5 * features.week), ("a", end - 5 * features.week - second)) == [105, None]


def test_a_late_correction_is_not_visible_before_it_was_known_and_is_afterwards(features: Any) -> None:
    """The week before last was corrected ten days after its end; what had been known is not kept."""
    features.publish(
        [
            features.row("a", weeks_ago=3, units=3),
            features.row("a", weeks_ago=2, units=2),
            features.row("a", weeks_ago=1, units=777, known_after=10),
        ]
    )
    ended = features.end - features.week
    known, second = ended + pd.Timedelta(days=10), pd.Timedelta(seconds=1)
    assert units(features, ("a", ended), ("a", known - second), ("a", known)) == [2, 2, 777]


def test_where_both_versions_are_kept_each_moment_sees_its_own(features: Any) -> None:
    features.publish([features.row("a", units=5), features.row("a", units=777, known_after=3)])
    known = features.end + pd.Timedelta(days=3)
    assert units(features, ("a", features.end), ("a", known - pd.Timedelta(seconds=1)), ("a", known)) == [5, 5, 777]


def test_a_correction_of_an_earlier_week_does_not_hide_a_later_week(features: Any) -> None:
    features.publish([features.row("a", weeks_ago=2, units=777, known_after=14), features.row("a", units=5)])
    assert units(features, ("a", features.end + features.week)) == [5]


def test_features_agree_with_a_search_through_every_row_that_was_known(features: Any) -> None:
    """A thousand rows with late versions, gaps and duplicates, against the rule written out."""
    rng = np.random.default_rng(11)
    rows = [
        features.row(f"p{product}", weeks_ago=int(weeks), units=int(number), known_after=int(late))
        for number, (product, weeks, late) in enumerate(
            zip(
                rng.integers(0, 25, 1000),
                rng.integers(0, 20, 1000),
                rng.choice([0, 0, 0, 1, 8, 40], 1000),
                strict=True,
            )
        )
    ]
    # Two versions of one week that became known at the same moment would have no order.
    rows = list({(key, end, known): (key, end, known, n, p) for key, end, known, n, p in rows}.values())
    features.publish(rows)
    moments = features.end - pd.to_timedelta(rng.integers(-40 * 24, 150 * 24, 2000), unit="h")
    spine = pd.DataFrame({"product_id": [f"p{n}" for n in rng.integers(0, 27, 2000)], "event_timestamp": moments})
    expected = []
    for product, moment in zip(spine["product_id"], spine["event_timestamp"], strict=True):
        seen = [
            (end, known, n)
            for key, end, known, n, _ in rows
            if key == product and end <= moment <= end + TTL and known <= moment
        ]
        expected.append(max(seen)[2] if seen else None)
    found = training_frame(features.workspace, spine, SERVICE)["units_4w"]
    assert [None if pd.isna(v) else int(v) for v in found] == expected
    assert 500 < sum(v is not None for v in expected) < 2000


def test_features_older_than_four_weeks_are_empty(features: Any) -> None:
    features.publish([features.row("a", units=9)])
    expiry = features.end + 4 * features.week
    assert units(features, ("a", expiry), ("a", expiry + pd.Timedelta(seconds=1))) == [9, None]
    assert timedelta(weeks=4) == TTL


def test_every_row_comes_back_in_its_place_whatever_it_asks_for(features: Any) -> None:
    """Duplicates, unknown products, missing keys and moments before any history, under an index of their own."""
    features.publish([features.row("a", units=1), features.row("b", units=2)])
    end = features.end
    asked = entities(("b", end), ("a", end), ("never", end), ("a", end), (None, end), ("b", end - 99 * features.week))
    asked["label"] = range(6)
    asked.index = pd.Index([7, 7, 3, 1, 0, 7], name="sample")
    found = training_frame(features.workspace, asked, SERVICE)
    pd.testing.assert_frame_equal(found[asked.columns], asked)
    assert [None if pd.isna(v) else v for v in found["units_4w"]] == [2, 1, None, 1, None, None]
    assert list(found.columns) == [*asked.columns, "units_4w", "price_4w"]


def test_no_entities_give_no_rows_but_all_columns(features: Any) -> None:
    features.publish([features.row("a")])
    found = training_frame(features.workspace, entities(("a", features.end)).iloc[:0], SERVICE)
    assert found.empty
    assert {"units_4w", "price_4w"} <= set(found.columns)


def test_a_moment_without_a_zone_is_utc_and_any_other_zone_is_converted(features: Any) -> None:
    features.publish([features.row("a", units=1), features.row("a", weeks_ago=1, units=2)])
    tokyo = features.end.tz_localize("Asia/Tokyo")
    assert units(features, ("a", tokyo)) == [2]
    assert units(features, ("a", features.end)) == units(features, ("a", features.end.tz_localize("UTC"))) == [1]


def test_the_snapshot_that_was_asked_for_is_read_though_another_is_current(features: Any) -> None:
    first = features.publish([features.row("a", units=1)])
    features.publish([features.row("a", units=2)])
    assert units(features, ("a", features.end)) == [2]
    assert units(features, ("a", features.end), snapshot=first) == [1]


def test_training_needs_neither_an_online_store_nor_leaves_one(features: Any) -> None:
    features.publish([features.row("a")])
    assert find_service("training_frame") is training_frame
    assert units(features, ("a", features.end)) == [1]
    assert not features.workspace.features.exists()


def test_an_unknown_service_is_named_with_those_there_are(features: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"no feature service 'growth'.*growth_v2, serving_v1"):
        training_frame(features.workspace, entities(("a", features.end)), "growth")
    assert set(SERVICES) == {"growth_v2", "serving_v1"}


def test_a_missing_key_and_a_taken_column_are_named(features: Any) -> None:
    features.publish([features.row("a")])
    frame = entities(("a", features.end)).rename(columns={"product_id": "sku"}).assign(units_4w=1)
    with pytest.raises(ConfigurationError, match=r"lack the columns \['product_id'\].*columns \['units_4w'\]"):
        training_frame(features.workspace, frame, SERVICE)


def test_a_row_lost_by_the_offline_store_is_an_error_and_not_a_smaller_training_set(
    features: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from feast.infra.offline_stores.offline_store import RetrievalJob

    features.publish([features.row("a")])
    whole = RetrievalJob.to_df
    monkeypatch.setattr(RetrievalJob, "to_df", lambda job: whole(job).iloc[1:])
    with pytest.raises(Exception, match="1 rows for 2 entities"):
        units(features, ("a", features.end), ("b", features.end))


def test_before_the_first_snapshot_the_missing_step_is_named(features: Any) -> None:
    with pytest.raises(NotAvailableError, match="coldframe audit"):
        units(features, ("a", features.end))


def test_a_column_no_look_up_can_hold_is_named_with_the_model_to_mend(features: Any) -> None:
    features.publish([features.row("a")], price_type="decimal(18, 2)", as_of=date(2024, 5, 6))
    with pytest.raises(ConfigurationError, match=r"price_4w \(decimal128\(18, 2\)\).*ftr_product_week\.sql"):
        units(features, ("a", features.end))
