"""The marts are judged before they are published: each rule is shown stopping the publication, or warning."""

import os
from typing import Any

import pytest

from coldframe import snapshots, transform
from coldframe.errors import NotAvailableError
from coldframe.run import Request
from quality.steps import publish

STEP = "publish"
GMV_TABLES = ("fct_order_lines", "fct_product_day", "fct_product_week", "fct_category_week", "fct_merchant_week")


def test_healthy_marts_are_published_once(house: Any) -> None:
    good = snapshots.current(house.workspace).id
    result = publish(house.request())
    assert result.reused
    assert result.warnings == ()
    assert result.facts["snapshot"] == good
    assert result.links["snapshot"].endswith(good)


def test_marts_that_changed_and_pass_become_the_current_snapshot(house: Any) -> None:
    good = snapshots.current(house.workspace).id
    house.tamper("update dim_product set title = 'another' where product_id = 'p01'")
    result = publish(house.request())
    assert result.facts["snapshot"] == snapshots.current(house.workspace).id != good


def test_a_warehouse_of_another_day_is_not_published(house: Any) -> None:
    with pytest.raises(NotAvailableError, match="not 2024-05-12"):
        publish(Request(source=house.source, as_of="2024-05-12"))


def test_an_empty_mart_stops_the_publication(house: Any) -> None:
    house.tamper("delete from dim_product")
    assert "dim_product (product_id)" in house.stops(STEP, "marts.number_of_rows")


def test_a_shop_that_launched_nothing_is_published(house: Any) -> None:
    house.tamper("delete from fct_launch")
    before = snapshots.current(house.workspace).id
    publish(house.request())
    assert snapshots.current(house.workspace).id != before


def test_a_repeated_key_stops_the_publication(house: Any) -> None:
    house.tamper("insert into dim_merchant from dim_merchant limit 1")
    assert "is 1 (dim_merchant (merchant_id))" in house.stops(STEP, "marts.repeated_keys")


def test_gmv_in_any_mart_that_is_off_by_a_cent_stops_the_publication(house: Any) -> None:
    for table in GMV_TABLES:
        house.tamper(f"update {table} set gmv = gmv + 0.01 where rowid = (select max(rowid) from {table})")
    message = house.stops(STEP, "reconciliation.gmv_off_by")
    assert "is 0.01 (fct_category_week, fct_merchant_week, fct_order_lines and 2 more)" in message


def test_gmv_that_is_not_a_number_stops_the_publication(house: Any) -> None:
    """Great Expectations takes a NaN for an empty value, and passes what is empty."""
    house.unconstrained("fct_merchant_week")
    house.tamper(
        "alter table fct_merchant_week alter gmv type double",
        "update fct_merchant_week set gmv = 'nan' where rowid = 1",
    )
    assert "is missing (fct_merchant_week)" in house.stops(STEP, "reconciliation.gmv_off_by")


def test_a_cancelled_line_lost_on_the_way_stops_the_publication(house: Any) -> None:
    house.tamper(
        "delete from fct_order_lines where rowid = (select min(rowid) from fct_order_lines where status = 'cancelled')"
    )
    message = house.stops(STEP, "reconciliation.lines_off_by")
    assert "is -1 (fct_order_lines)" in message
    assert "gmv_off_by" not in message


def test_a_last_complete_week_missing_from_the_marts_stops_the_publication(house: Any) -> None:
    house.tamper(f"delete from fct_category_week where week_start = '{house.week}'")
    assert "is 1 (week of 2024-04-29)" in house.stops(STEP, "last_complete_week.weeks_late")


def test_marts_with_far_fewer_orders_than_usual_stop_the_publication(house: Any) -> None:
    house.tamper(f"update fct_category_week set orders = orders // 4 where week_start = '{house.week}'")
    assert "expected at least 0.3" in house.stops(STEP, "last_complete_week.ratio_to_trailing_8_weeks")


@pytest.mark.parametrize("orders", ["orders // 2", "orders * 3"])
def test_marts_with_unusually_many_or_few_orders_are_a_warning(house: Any, orders: str) -> None:
    house.tamper(f"update fct_category_week set orders = {orders} where week_start = '{house.week}'")
    house.warns(STEP, "last_complete_week.ratio_to_trailing_8_weeks")


def test_a_week_without_a_sale_that_is_missing_instead_of_zero_stops_the_publication(house: Any) -> None:
    [(product, region, week)] = house.query(
        """
        from marts.fct_product_week select product_id, region, week_start
        where units = 0 and gmv = 0
        qualify row_number() over (partition by product_id, region order by week_start) between 2 and 3
        order by all limit 1
        """
    )
    house.tamper(
        f"delete from fct_product_week where (product_id, region, week_start) = ('{product}', '{region}', '{week}')"
    )
    assert "is 1 (fct_product_week)" in house.stops(STEP, "panels.series_with_gaps")


def test_negative_or_missing_units_stop_the_publication(house: Any) -> None:
    house.unconstrained("fct_merchant_week")
    house.tamper(
        "update fct_merchant_week set units = -1 where rowid = 1",
        "update fct_merchant_week set units = null where rowid = 2",
    )
    assert "is 2 (fct_merchant_week)" in house.stops(STEP, "panels.rows_below_zero")


def test_a_part_of_a_week_passed_off_as_a_whole_one_stops_the_publication(house: Any) -> None:
    house.tamper(f"update fct_product_week set days_elapsed = 6 where week_start = '{house.week}'")
    house.stops(STEP, "panels.weeks_with_wrong_days_elapsed")


def test_lines_of_plans_that_never_landed_and_sold_more_than_the_shop_stop_the_publication(house: Any) -> None:
    house.unconstrained("fct_plan_line")
    plan = "plan_id, region, product_id, valid_from, valid_until, gmv"
    house.tamper(f"insert into fct_plan_line ({plan}) values ('p', 'north', 'x', '{house.week}', '{house.as_of}', 1e9)")
    assert "is 1 (fct_plan_line)" in house.stops(STEP, "plans.lines_off_by")
    assert "is 1 (fct_plan_line)" in house.stops(STEP, "plans.plans_beyond_the_shop")


def test_exposure_that_never_landed_stops_the_publication_and_odd_propensities_are_a_warning(house: Any) -> None:
    house.unconstrained("fct_exposure_line")
    house.tamper(f"insert into fct_exposure_line (date, product_id, propensity) values ('{house.week}', 'x', 0.5)")
    assert "is 1 (fct_exposure_line)" in house.stops(STEP, "exposure.lines_off_by")
    house.tamper("drop view landed.exposure_lines", "create table landed.exposure_lines as from fct_exposure_line")
    house.warns(STEP, "exposure.days_with_wrong_propensities")


def test_products_without_features_for_the_last_complete_week_stop_the_publication(house: Any) -> None:
    house.tamper(f"delete from ftr_product_week where event_timestamp = '{house.known}'")
    assert "is 0 (ftr_product_week)" in house.stops(STEP, "features.rows_last_week_products")


def test_other_features_missing_for_the_last_complete_week_are_a_warning(house: Any) -> None:
    house.tamper(f"delete from ftr_region_week where event_timestamp = '{house.known}'")
    assert "is 0 (ftr_region_week)" in house.warns(STEP, "features.rows_last_week_others")


def test_features_of_a_week_that_is_not_over_stop_the_publication(house: Any) -> None:
    later = "event_timestamp + interval 7 day as event_timestamp, created_timestamp + interval 7 day"
    house.tamper(
        f"insert into ftr_region_week select * replace ({later} as created_timestamp) from ftr_region_week "
        f"where event_timestamp = '{house.known}'"
    )
    assert "is 2 (ftr_region_week)" in house.stops(STEP, "features.rows_from_the_future")


def test_features_known_before_their_week_ended_stop_the_publication(house: Any) -> None:
    house.tamper(
        "update ftr_customer_week set created_timestamp = event_timestamp - interval 1 second where rowid = 5",
    )
    assert "is 1 (ftr_customer_week)" in house.stops(STEP, "features.rows_known_too_early")


def test_a_feature_that_is_suddenly_empty_is_a_warning(house: Any) -> None:
    house.tamper(f"update ftr_customer_week set basket_13w = null where event_timestamp = '{house.known}'")
    message = house.warns(STEP, "empty_values_ftr_customer_week.jump_in_nulls")
    assert "is 1 (ftr_customer_week.basket_13w)" in message


def test_a_feature_that_is_infinite_or_not_a_number_stops_the_publication(house: Any) -> None:
    for number, wrong in enumerate(("nan", "inf")):
        house.tamper(
            f"update ftr_product_week set trend_4w = '{wrong}' where rowid = ("
            f"select max(rowid) - {number} from ftr_product_week where event_timestamp = '{house.known}')"
        )
    message = house.stops(STEP, "empty_values_ftr_product_week.rows_not_finite")
    assert "is 2 (ftr_product_week.trend_4w)" in message


def test_an_unfinished_build_is_never_judged_let_alone_published(house: Any) -> None:
    house.tamper("update landed.run_window set finished = false")
    before = house.published()
    with pytest.raises(NotAvailableError, match="did not finish"):
        publish(house.request())
    assert house.published() == before


def test_refused_marts_are_built_again_from_where_they_differ(house: Any) -> None:
    """A refused build must not pass for a published one, or the next run would add a day to marts nobody trusts."""
    house.tamper(
        "update landed.built set clean = false",
        "insert into dim_merchant from dim_merchant limit 1",
    )
    house.stops(STEP, "marts.repeated_keys")
    assert house.query("select clean from landed.built") == [(False,)]
    window = transform.prepare(house.request())
    assert not window.nothing
    assert "the last build was not published" in window.reasons


def test_old_snapshots_are_deleted_only_after_a_good_publication(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    good = snapshots.current(house.workspace)
    house.tamper("update dim_product set title = 'another' where product_id = 'p01'")
    monkeypatch.setattr(os, "fsync", killed)
    with pytest.raises(KeyboardInterrupt):
        publish(house.request())
    monkeypatch.undo()
    assert [s.id for s in snapshots.all_snapshots(house.workspace)] == [good.id]
    good.verify()
