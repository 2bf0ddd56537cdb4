"""What landed is judged before anything is built from it: each rule is shown stopping the run, or warning."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from coldframe import landed, snapshots
from coldframe.errors import ConfigurationError, GateError, NotAvailableError
from coldframe.execution import execute
from coldframe.ledger import Ledger
from coldframe.run import Request
from quality.steps import audit_landed

STEP = "audit_landed"


def keep_one_order_in(n: int) -> str:
    return f"from landed where hash(order_id) % {n} = 0"


def repeat_orders(n: int) -> str:
    return " union all ".join(f"select * replace (order_id || '-{i}' as order_id) from landed" for i in range(n))


def test_a_healthy_week_passes_without_a_warning(house: Any) -> None:
    result = audit_landed(house.request(force=True))
    assert result.warnings == ()
    assert "0 critical failures" in result.summary


def test_nothing_landed_is_no_pass(house: Any) -> None:
    with pytest.raises(NotAvailableError, match="coldframe land"):
        audit_landed(Request(source="elsewhere", as_of=house.as_of))


def test_what_an_earlier_version_landed_is_landed_again_before_anything_is_built(house: Any) -> None:
    landed.schema_file(house.workspace, "plan_lines").unlink()
    with pytest.raises(NotAvailableError, match=r"which knew no plan_lines. Run `coldframe land` again"):
        audit_landed(house.request())


def test_days_that_landed_before_a_column_came_into_the_contract_are_read_without_it(house: Any) -> None:
    house.land("order_lines", "select * exclude (address_id) from landed")
    assert "0 critical failures" in audit_landed(house.request(force=True)).summary


def test_a_season_that_the_landed_calendar_does_not_have_is_refused_before_anything_is_built(house: Any) -> None:
    with pytest.raises(ConfigurationError, match="'foo' is no season"):
        audit_landed(house.request(season="foo"))


def test_empty_required_tables_stop_the_run(house: Any) -> None:
    for table in ("products", "merchants", "order_lines"):
        house.land(table, "from landed limit 0")
    assert "is 0 (merchants, order_lines, products)" in house.stops(STEP, "required_tables.number_of_rows")


def test_an_order_line_landed_on_two_days_stops_the_run(house: Any) -> None:
    twice = landed.partition(house.workspace, "order_lines", house.as_of)
    other = landed.partition(house.workspace, "order_lines", house.as_of - timedelta(days=1))
    twice.path.write_bytes(other.path.read_bytes())
    assert "order_lines (order_id, line_number)" in house.stops(STEP, "keys.repeated")


def test_seven_days_without_an_order_stop_the_run(house: Any) -> None:
    house.drop("order_lines", since=house.week)
    message = house.stops(STEP, "freshness.days_since_last_order")
    assert "is 7 (order_lines), expected at most 6" in message


def test_a_last_day_without_an_order_is_a_warning(house: Any) -> None:
    house.drop("order_lines", since=house.as_of)
    message = house.warns(STEP, "freshness.days_since_last_order", "last_day.ratio_to_same_weekday")
    assert "Was it delivered whole?" in message


def test_a_volume_far_below_trailing_weeks_stops_the_run(house: Any) -> None:
    house.land("order_lines", keep_one_order_in(5), since=house.week)
    assert "land it again" in house.stops(STEP, "last_week.ratio_to_trailing_4_weeks")


def test_a_volume_below_trailing_weeks_is_a_warning(house: Any) -> None:
    house.land("order_lines", keep_one_order_in(2), since=house.week)
    house.land("order_lines", repeat_orders(2), since=house.as_of)
    assert " is 0." in house.warns(STEP, "last_week.ratio_to_trailing_4_weeks")


def test_a_volume_far_above_trailing_weeks_is_a_warning(house: Any) -> None:
    house.land("order_lines", repeat_orders(3), since=house.week)
    house.land("order_lines", "from landed where order_id like '%-0'", since=house.as_of)
    assert "expected at least 0.6 and at most 2.5" in house.warns(STEP, "last_week.ratio_to_trailing_4_weeks")


@pytest.mark.parametrize("change", [keep_one_order_in(3), repeat_orders(3)], ids=["a third", "threefold"])
def test_a_last_day_unlike_its_weekday_is_a_warning(house: Any, change: str) -> None:
    house.land("order_lines", change, since=house.as_of)
    house.warns(STEP, "last_day.ratio_to_same_weekday")


def test_a_shop_too_small_for_ratios_is_not_judged_by_them(house: Any) -> None:
    house.land("order_lines", keep_one_order_in(20))
    house.land("order_lines", keep_one_order_in(100), since=house.week)
    assert audit_landed(house.request()).warnings == ()


def test_a_week_of_orders_worth_nothing_stops_the_run(house: Any) -> None:
    house.land("order_lines", "select * replace (0 as gross_amount) from landed", since=house.week)
    house.stops(STEP, "last_week.gross_amount")


def test_a_calendar_without_events_is_a_warning(house: Any) -> None:
    house.land("calendar", "from landed limit 0")
    house.warns(STEP, "calendar.number_of_events")


def test_a_feed_silent_for_more_than_two_weeks_is_a_warning(house: Any) -> None:
    house.drop("exposures", since=house.as_of - timedelta(days=14))
    assert "is 15 (exposures), expected at most 14" in house.warns(STEP, "feeds.silent_days")


def test_a_feed_that_landed_without_a_row_is_a_warning_and_not_an_unknown_age(house: Any) -> None:
    house.land("exposures", "from landed limit 0")
    assert "without a single row" in house.warns(STEP, "feeds.silent_days")


def test_a_column_that_is_suddenly_empty_is_a_warning(house: Any) -> None:
    house.land("order_lines", "select * replace (null as customer_id) from landed", since=house.week)
    assert "order_lines.customer_id" in house.warns(STEP, "empty_values.jump_in_nulls")


def test_a_column_that_is_always_empty_is_none(house: Any) -> None:
    house.land("order_lines", "select * replace (null as customer_id) from landed")
    assert audit_landed(house.request()).warnings == ()


def test_more_than_one_percent_in_quarantine_is_a_warning(house: Any) -> None:
    Ledger.open().record_landing(house.source, house.as_of, "order_lines", 1000, 989, 11, {"a reason": 11})
    assert "is 0.011 (order_lines)" in house.warns(STEP, "quarantine.quarantined_share")


def test_lines_that_break_the_contract_although_they_landed_stop_the_run(house: Any) -> None:
    broken = {
        "product_id": "null",
        "gross_amount": "null",
        "ordered_at": "null::timestamp",
        "quantity": "-1",
        "status": "'lost'",
    }
    values = ", ".join(
        f"if(number = {n}, {value}, {column}) as {column}" for n, (column, value) in enumerate(broken.items(), start=1)
    )
    numbered = "select *, row_number() over (order by order_id, line_number) as number from landed"
    house.land("order_lines", f"select * exclude (number) replace ({values}) from ({numbered})", since=house.as_of)
    message = house.stops(STEP, "order_lines_of_last_week.product_id")
    for column in broken:
        assert f"order_lines_of_last_week.{column} is " in message
    assert "a fault in landing/validate" in message


def test_a_refused_landing_is_a_failed_step_in_the_ledger(house: Any) -> None:
    house.drop("order_lines", since=house.week)
    good = snapshots.current(house.workspace).id
    with pytest.raises(GateError):
        execute(STEP, house.request())
    [run, *_] = Ledger.open().step_runs(house.source, STEP)
    assert run.status == "failed"
    assert run.error is not None
    assert "days_since_last_order" in run.error
    assert snapshots.current(house.workspace).id == good


def test_a_source_without_optional_tables_passes_and_says_what_it_lacks(house: Any) -> None:
    result = audit_landed(house.request())
    assert result.facts["not_available"].startswith("the source has no regions, prices, customers, creators, ")
    assert "exposures" not in result.facts["not_available"]
    house.drop("exposures", since=house.as_of - timedelta(days=1000))
    without = audit_landed(house.request())
    assert "exposures" in without.facts["not_available"]
    assert without.warnings == ()


def test_a_shop_in_its_first_days_without_optional_tables_is_published(tiny_shop: Path, installation: Any) -> None:
    """No complete week, no trailing weeks, no features: nothing is wrong with it."""
    installation()
    request = Request.model_validate({"source": "files", "as_of": "2024-01-03", "path": tiny_shop})
    for step in ("land", STEP, "transform", "publish"):
        assert execute(step, request).warnings == ()
