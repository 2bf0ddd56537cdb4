"""The marts depend only on what is landed and on the as-of, whatever was built, published or killed before."""

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from coldframe import landed, transform
from coldframe.errors import NotAvailableError
from coldframe.run import Request
from coldframe.settings import get_settings


def test_going_on_for_a_day_ends_like_a_fresh_build_though_a_product_was_added(
    shop: Any, copied: Callable[[date], Path]
) -> None:
    home = copied(shop.saturday)
    result = shop.build(home, shop.sunday)
    assert "products were added, the first launched on 2024-04-10" in result.facts["because"]
    assert result.facts["rebuild_from"] == "2024-04-10"
    assert shop.differing(home, shop.fresh(shop.sunday)) == {}


def test_a_price_that_became_known_late_rebuilds_the_weeks_it_held(shop: Any, copied: Callable[[date], Path]) -> None:
    home = copied(shop.saturday)
    result = shop.build(home, shop.sunday)
    assert "prices differ, the first is from 2024-04-17" in result.facts["because"]
    panel = "from marts.fct_product_week"
    held = f"select min(week_start), max(price) {panel} where product_id = 'p04' and price is not null"
    assert shop.query(home, held) == [(date(2024, 4, 15), 2.5)]
    on_offer_unsold = f"select sum(units), min(week_start) {panel} where region = 'west'"
    assert shop.query(home, on_offer_unsold) == [(0, date(2024, 3, 4))]


def test_what_optional_tables_say_stands_in_the_panel_and_is_empty_for_what_the_source_lacks(shop: Any) -> None:
    panel = "from marts.fct_product_week"
    home = shop.fresh(shop.saturday)
    sums = f"sum(impressions), sum(clicks), sum(carts), sum(refunded_units), sum(days_out_of_stock) {panel}"
    assert shop.query(home, f"select {sums}") == [(25 * 140, 25 * 12, 25 * 2, 25, 25)]
    assert shop.query(home, "select count(*) from marts.fct_payments") == [(25,)]
    assert shop.query(home, "select count(*) from marts.dim_lead") == [(0,)]
    assert shop.query(home, "select sum(visits), sum(buys) from marts.fct_visit_day") == [(25 * 50, 25 * 3)]
    assert shop.query(home, "select count(*), count(creator_id) from marts.fct_content_product") == [(25, 13)]
    carried = "select max(contents_so_far), max(creators_so_far) from marts.ftr_launch_day where product_id = 'p11'"
    assert shop.query(home, carried) == [(25, 1)]
    assert shop.query(home, "select count(*), min(product_id), max(product_id) from marts.fct_stock_out") == [
        (25, "p00", "p00")
    ]


def test_a_published_plan_lies_beside_what_sold_on_the_days_of_its_season_so_far(shop: Any) -> None:
    home = shop.fresh(shop.saturday)
    sold = """
        select product_id, sum(units)::bigint, sum(gmv) from marts.fct_product_day
        where region = 'north' and date >= '2024-03-01' and product_id in ('p00', 'p02') group by 1
    """
    found = {product: (units, gmv) for product, units, gmv in shop.query(home, sold)}
    lines = shop.query(
        home,
        "select product_id, units, gmv, days_elapsed, days_out_of_stock, forecast_error_units from marts.fct_plan_line",
    )
    counted = (date(2024, 1, 1) + timedelta(days=n) for n in range(1, 127, 5))
    days_out = len([day for day in counted if date(2024, 3, 1) <= day <= shop.saturday])
    assert sorted(lines) == [
        ("p00", *found["p00"], 65, days_out, None),
        ("p02", *found["p02"], 65, 0, None),
        ("p09", 0, 0, 65, 0, None),
    ]


def test_a_late_correction_ends_like_a_fresh_build(shop: Any, copied: Callable[[date], Path]) -> None:
    home = copied(shop.sunday)
    assert shop.build(home, shop.monday).facts["rebuild_from"] == "2024-03-06"
    assert shop.differing(home, shop.fresh(shop.monday)) == {}
    assert {"fct_order_lines", "fct_product_week", "ftr_product_week"} <= set(
        shop.differing(home, shop.fresh(shop.sunday))
    )


def test_going_back_to_an_earlier_day_ends_like_a_fresh_build(shop: Any, copied: Callable[[date], Path]) -> None:
    home = copied(shop.saturday)
    earlier = shop.saturday - timedelta(days=10)
    shop.build(home, earlier)
    assert shop.differing(home, shop.fresh(earlier)) == {}


def test_weeks_in_which_nothing_landed_become_zeros(shop: Any, copied: Callable[[date], Path]) -> None:
    home = copied(shop.monday)
    later = shop.monday + timedelta(days=16)
    shop.build(home, later)
    assert shop.differing(home, shop.fresh(later)) == {}
    assert shop.query(home, "select sum(units) from marts.fct_product_week where week_start >= '2024-05-13'") == [(0,)]


def test_a_build_killed_between_two_models_leaves_no_trace(shop: Any, copied: Callable[[date], Path]) -> None:
    home = copied(shop.sunday)
    with shop.at(home) as place:
        transform.prepare(Request(source=shop.source, as_of=shop.monday))
        only_some = ["run", "--select", "fct_order_lines", "fct_product_day"]
        transform.run_dbt(only_some, place, get_settings(), home / "dbt" / "killed")
        with pytest.raises(NotAvailableError, match="did not finish"):
            transform.mark_built(place)
    facts = shop.build(home, shop.sunday).facts
    assert facts["rebuild_from"] == "2024-03-06", facts["because"]
    assert shop.differing(home, shop.fresh(shop.sunday)) == {}


def test_a_build_killed_on_the_next_day_does_not_show_in_the_day_before(
    shop: Any, copied: Callable[[date], Path]
) -> None:
    day = shop.saturday - timedelta(days=10)
    home = copied(day)
    with shop.at(home) as place:
        transform.prepare(Request(source=shop.source, as_of=day + timedelta(days=1)))
        only_some = ["run", "--select", "fct_order_lines", "fct_product_day"]
        transform.run_dbt(only_some, place, get_settings(), home / "dbt" / "killed")
    assert not shop.build(home, day).reused
    assert shop.differing(home, shop.fresh(day)) == {}


def test_days_landed_before_the_contract_learnt_a_column_have_none_of_it(
    shop: Any, copied: Callable[[date], Path]
) -> None:
    home = copied(shop.saturday)
    with shop.at(home) as place:
        newest = landed.visible(place, "order_lines", shop.saturday)[-1].path
    older = newest.with_suffix(".older")
    duckdb.execute(f"copy (select * exclude (freight_amount) from '{newest}') to '{older}' (format parquet)")
    older.replace(newest)
    assert not shop.build(home, shop.saturday).reused
    assert shop.differing(home, shop.fresh(shop.saturday)) == {}


def test_nothing_is_built_when_nothing_changed(shop: Any, copied: Callable[[date], Path]) -> None:
    assert shop.build(copied(shop.saturday), shop.saturday).reused
