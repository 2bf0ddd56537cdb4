"""Wide to long: a matrix of two items in two stores written here, and the first weeks of the real one."""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

from coldframe import landed
from coldframe.errors import BadInputError, ConfigurationError
from coldframe.paths import Workspace
from coldframe.run import Request
from coldframe.settings import PROJECT_ROOT, get_settings
from landing.sources.m5 import FIRST_DAY, M5
from landing.steps import land

REAL = PROJECT_ROOT.parent / "shared" / "data" / "m5"
DAYS = 21
LAST = FIRST_DAY + timedelta(days=DAYS - 1)


def write_small(folder: Path) -> Path:
    """`late` has a price in CA_1 from the second week on, goes up in the third, and is never sold in TX_1."""
    folder.mkdir()
    dates = [FIRST_DAY + timedelta(days=d) for d in range(DAYS + 28)]
    weeks = [11101 + d // 7 for d in range(DAYS + 28)]
    calendar = pd.DataFrame({"date": dates, "wm_yr_wk": weeks, "d": [f"d_{n}" for n in range(1, DAYS + 29)]})
    calendar[["event_name_1", "event_type_1", "event_name_2", "event_type_2"]] = None
    calendar.loc[8, ["event_name_1", "event_type_1"]] = ["SuperBowl", "Sporting"]
    calendar.loc[16, ["event_name_1", "event_type_1"]] = ["ValentinesDay", "Cultural"]
    for state in ("CA", "TX", "WI"):
        calendar[f"snap_{state}"] = [int(state == "TX" and n == 3) for n in range(DAYS + 28)]
    calendar.to_csv(folder / "calendar.csv", index=False)
    rows = []
    for item, store, units in (
        ("early", "CA_1", [2] * DAYS),
        ("early", "TX_1", [0, 5] + [0] * (DAYS - 2)),
        ("late", "CA_1", [0] * 8 + [1] * (DAYS - 8)),
        ("late", "TX_1", [0] * DAYS),
    ):
        row = {"id": f"{item}_{store}", "item_id": item, "dept_id": "FOODS_1", "cat_id": "FOODS"}
        rows.append(
            row | {"store_id": store, "state_id": store[:2]} | {f"d_{n}": u for n, u in enumerate(units, start=1)}
        )
    pd.DataFrame(rows).to_csv(folder / "sales_train_validation.csv", index=False)
    prices = [("early", store, 11101 + w, 1.5) for store in ("CA_1", "TX_1") for w in range(7)]
    prices += [("late", "CA_1", 11102, 3.0), *(("late", "CA_1", 11103 + w, 3.25) for w in range(2))]
    pd.DataFrame(prices, columns=["item_id", "store_id", "wm_yr_wk", "sell_price"]).to_csv(
        folder / "sell_prices.csv", index=False
    )
    return folder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    monkeypatch.setenv("COLDFRAME_HOME", str(tmp_path / "home"))
    get_settings.cache_clear()
    yield Workspace(tmp_path / "home", "m5")
    get_settings.cache_clear()


def rows(home: Workspace, table: str, sql: str, as_of: date = LAST) -> list[tuple[Any, ...]]:
    files = [str(p.path) for p in landed.select(home, as_of)[table]]
    return duckdb.execute(sql.replace("@", "read_parquet($1, hive_partitioning = false)"), [files]).fetchall()


def test_a_day_without_a_sale_is_no_line_and_units_are_worth_the_weeks_price(home: Workspace, tmp_path: Path) -> None:
    result = land(Request(source="m5", as_of=LAST, path=write_small(tmp_path / "m5")))
    counts = result.facts["tables"]["order_lines"]
    assert (counts["read"], counts["accepted"]) == (DAYS + 1 + DAYS - 8, DAYS + 1 + DAYS - 8)
    worth = "select product_id, region, sum(quantity), sum(gross_amount) from @ group by all order by all"
    assert rows(home, "order_lines", worth) == [
        ("early", "CA_1", 2 * DAYS, 3 * DAYS),
        ("early", "TX_1", 5, 7.5),
        ("late", "CA_1", 13, 6 * 3 + 7 * 3.25),
    ]


def test_weeks_of_one_price_are_one_row_and_a_price_is_known_four_weeks_ahead(home: Workspace, tmp_path: Path) -> None:
    folder = write_small(tmp_path / "m5")
    land(Request(source="m5", as_of=FIRST_DAY, path=folder))
    query = "select valid_from - date '2011-01-29', valid_until - date '2011-01-29', price from @ where region = 'CA_1'"
    late = f"{query} and product_id = 'late' order by 1"
    assert rows(home, "prices", late, FIRST_DAY) == [(7, 13, 3), (14, 27, 3.25)]
    early = f"{query} and product_id = 'early'"
    assert rows(home, "prices", early, FIRST_DAY) == [(0, None, 1.5)], "still held in the last week that is known"


def test_snap_days_are_paydays_of_the_states_stores_and_games_are_no_holidays(home: Workspace, tmp_path: Path) -> None:
    land(Request(source="m5", as_of=LAST, path=write_small(tmp_path / "m5")))
    assert rows(home, "calendar", "select event, kind, region from @ order by 1") == [
        ("SNAP", "payday", "TX_1"),
        ("SuperBowl", "occasion", "*"),
        ("ValentinesDay", "holiday", "*"),
    ]
    assert rows(home, "regions", "select region, parent from @ order by 1") == [("CA_1", "CA"), ("TX_1", "TX")]


def test_units_sold_in_a_week_without_a_price_and_cells_that_are_no_numbers_go_to_the_quarantine(
    home: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLDFRAME_MAX_QUARANTINE_SHARE", "0.1")
    folder = write_small(tmp_path / "m5")
    sales = pd.read_csv(folder / "sales_train_validation.csv", dtype=str)
    sales.loc[3, "d_2"], sales.loc[0, "d_5"] = "4", "many"
    sales.to_csv(folder / "sales_train_validation.csv", index=False)
    reasons = land(Request(source="m5", as_of=LAST, path=folder)).facts["tables"]["order_lines"]["reasons"]
    assert reasons == {"gross_amount is empty": 2, "quantity is empty": 1}


def test_what_is_missing_is_told_at_once_and_by_name(home: Workspace, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="--path FOLDER"):
        M5(None).probe()
    folder = write_small(tmp_path / "m5")
    (folder / "sell_prices.csv").unlink()
    (folder / "sales_train_validation.csv").rename(folder / "sales.csv")
    with pytest.raises(BadInputError, match=r"(?s)sales_train_evaluation\.csv.* is missing.*sell_prices\.csv"):
        M5(folder).probe()
    write_small(tmp_path / "cut")
    sales = pd.read_csv(tmp_path / "cut" / "sales_train_validation.csv").drop(columns="d_7")
    sales.to_csv(tmp_path / "cut" / "sales_train_validation.csv", index=False)
    with pytest.raises(BadInputError, match=r"sales_train_validation\.csv: column 'd_7' is missing"):
        M5(tmp_path / "cut").probe()


def test_of_two_matrices_the_later_one_is_read(home: Workspace, tmp_path: Path) -> None:
    folder = write_small(tmp_path / "m5")
    longer = pd.read_csv(folder / "sales_train_validation.csv").assign(d_22=1)
    longer.to_csv(folder / "sales_train_evaluation.csv", index=False)
    assert M5(folder).probe().delivered_on == LAST + timedelta(days=2)


@pytest.mark.skipif(not REAL.is_dir(), reason="the copy of M5 in ../shared/data is not there")
def test_the_first_weeks_of_the_real_matrix_land_unit_for_unit(home: Workspace) -> None:
    as_of = FIRST_DAY + timedelta(days=27)
    result = land(Request(source="m5", as_of=as_of, path=REAL))
    matrix = f"read_parquet('{REAL / 'sales_train_d1_d1913.parquet'}')"
    days = " + ".join(f"d_{n}" for n in range(1, 29))
    [(expected,)] = duckdb.execute(f"select sum({days}) from {matrix}").fetchall()
    assert rows(home, "order_lines", "select sum(quantity) from @", as_of) == [(expected,)]
    counts = result.facts["tables"]
    assert counts["order_lines"]["quarantined"] == counts["prices"]["quarantined"] == 0
    assert counts["products"]["accepted"] == 3049
    assert counts["regions"]["accepted"] == 10
    unlaunched = f"select count(*) from {matrix} where store_id = 'CA_1' and item_id = 'HOBBIES_1_001' and {days} = 0"
    assert duckdb.execute(unlaunched).fetchall() == [(1,)]
    assert rows(home, "prices", "select count(*) from @ where product_id = 'HOBBIES_1_001'", as_of) == [(0,)]
