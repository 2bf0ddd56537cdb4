"""What if a price changed: the difference is explained, what the facts cannot show is refused, and sums add up."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from coldframe.errors import BadInputError, NotAvailableError
from coldframe.paths import Workspace
from ml.forecasting.daily import panel as panels
from ml.forecasting.daily.asked.whatif import Change, answer, read, what_if
from ml.forecasting.daily.panel import DailyPanel
from tests.ml.forecasting.daily.priced import AS_OF, market
from tests.ml.forecasting.daily.released import release_of

HORIZON = 14
AHEAD_DAYS = pd.date_range(AS_OF + timedelta(days=1), periods=HORIZON, freq="D")


@pytest.fixture(scope="module")
def priced() -> DailyPanel:
    return market(seed=3)


@pytest.fixture(scope="module")
def base(priced: DailyPanel) -> np.ndarray:
    """A forecast: the mean of the last four weeks."""
    return np.repeat(priced.units[:, -28:].mean(axis=1)[:, None], HORIZON, axis=1).astype(float)


def change(panel: DailyPanel, product: str, region: str, **asked: Any) -> Change:
    keys = panel.hierarchy.keys
    series = int(keys.index[(keys["product_id"] == product) & (keys["region"] == region)][0])
    given: dict[str, Any] = {"row": 1, "series": series, "first": 0, "last": 6, "price": None, "price_change": None}
    return Change(**given | asked)


# What is answered


def test_a_cheaper_product_sells_more_by_its_elasticity_and_the_difference_is_explained(
    priced: DailyPanel, base: np.ndarray
) -> None:
    asked = change(priced, "p05", "north", price_change=-0.05)
    told = answer(priced, base, [asked])
    row = told.rows[0]
    assert row["status"] == "applied"
    assert row["price"] == pytest.approx(0.95 * row["price_before"])
    assert row["units"] / row["units_before"] == pytest.approx(0.95 ** row["elasticity"])
    assert row["units_low"] < row["units"] < row["units_high"]
    assert row["value_of_units"] + row["value_of_price"] == pytest.approx(row["value"] - row["value_before"])
    assert row["value_of_price"] == pytest.approx(-0.05 * row["value_before"])
    assert told.cells["new"].sum() == pytest.approx(row["units"])
    assert told.cells["day"].tolist() == list(range(7))
    assert told.total["units"] == row["units"]


def test_a_dearer_product_sells_less_and_its_interval_is_the_right_way_round(
    priced: DailyPanel, base: np.ndarray
) -> None:
    row = answer(priced, base, [change(priced, "p05", "north", price_change=0.1)]).rows[0]
    assert row["units_low"] < row["units"] < row["units_high"] < row["units_before"]


def test_too_few_products_of_a_subcategory_borrow_their_categorys_elasticity(base: np.ndarray) -> None:
    panel = market(products=24)
    row = answer(panel, base[:48], [change(panel, "p05", "north", price_change=-0.1)]).rows[0]
    # A subcategory has six products here, a category twelve.
    assert row["reason"] == "elasticity of category c1, 12 products"


def refusal(panel: DailyPanel, **asked: Any) -> str:
    base = np.ones((len(panel.units), HORIZON))
    row = answer(panel, base, [change(panel, "p05", "north", **asked)]).rows[0]
    assert row["status"] == "refused"
    return str(row["reason"])


def test_what_the_facts_cannot_show_is_refused_with_its_reason(priced: DailyPanel) -> None:
    assert "4 products of category c1 changed price" in refusal(market(products=8), price_change=-0.1)
    assert "0 products of category c1 changed price" in refusal(market(moves=0.01), price_change=-0.01)
    assert "that price moves demand is not shown" in refusal(market(truth=0.0), price_change=-0.1)
    assert "that price moves demand is not shown" in refusal(market(truth=1.0), price_change=-0.1)
    assert "beyond the prices it ever had" in refusal(priced, price=0.5)
    assert "beyond the prices it ever had" in refusal(priced, price_change=1.5)


def test_a_product_without_a_price_has_none_to_change(priced: DailyPanel) -> None:
    assert priced.prices is not None
    run = priced.prices.run.copy()
    run[11] = run[10] = 0
    assert refusal(replace(priced, prices=replace(priced.prices, run=run)), price=5.0) == (
        "it has no price on these days to change"
    )


# What is asked

HEADER = "product_id,region,first_day,last_day,price,price_change"
FIRST_DAY, LAST_DAY = (str(AHEAD_DAYS[day].date()) for day in (0, 6))


def ask(panel: DailyPanel, folder: Path, *lines: str, header: str = HEADER) -> list[Change]:
    file = folder / "changes.csv"
    file.write_text("\n".join([header, *lines]))
    return read(file, panel, AHEAD_DAYS)


def test_a_star_stands_for_every_region_of_the_product(priced: DailyPanel, tmp_path: Path) -> None:
    found = ask(priced, tmp_path, f"p05,*,{FIRST_DAY},{LAST_DAY},,-0.2", f"p06,south,{FIRST_DAY},{FIRST_DAY},3.5,")
    assert [(one.row, one.series, one.first, one.last) for one in found] == [
        (1, 10, 0, 6),
        (1, 11, 0, 6),
        (2, 13, 0, 0),
    ]
    assert [(one.price, one.price_change) for one in found] == [(None, -0.2), (None, -0.2), (3.5, None)]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f"p99,*,{FIRST_DAY},{LAST_DAY},2,", "row 1, column product_id: there is no product 'p99'"),
        (f"p05,east,{FIRST_DAY},{LAST_DAY},2,", "column region: there is no region 'east' .there are: north, south"),
        (f"p05,*,2023-02-30,{LAST_DAY},2,", "column first_day: '2023-02-30' is not a date"),
        (f"p05,*,{AS_OF},{LAST_DAY},2,", "column first_day: .* is not in the forecast"),
        (f"p05,*,{LAST_DAY},{FIRST_DAY},2,", "column last_day: .* is before first_day"),
        (f"p05,*,{FIRST_DAY},{LAST_DAY},0,", "column price: '0' is not a number above 0"),
        (f"p05,*,{FIRST_DAY},{LAST_DAY},nan,", "column price: 'nan' is not a number"),
        (f"p05,*,{FIRST_DAY},{LAST_DAY},,-1", "column price_change: '-1' is not a number above -1"),
        (f"p05,*,{FIRST_DAY},{LAST_DAY},2,0.1", "give one of the two"),
        (f"p05,*,{FIRST_DAY},{LAST_DAY},,", "give one of the two"),
    ],
)
def test_a_row_that_does_not_fit_is_refused_by_row_and_column(
    priced: DailyPanel, tmp_path: Path, line: str, message: str
) -> None:
    with pytest.raises(BadInputError, match=f"{message}.*Nothing was computed"):
        ask(priced, tmp_path, line)


def test_two_prices_for_a_day_are_refused_with_both_rows(priced: DailyPanel, tmp_path: Path) -> None:
    lines = (f"p05,*,{FIRST_DAY},{LAST_DAY},,-0.2", f"p05,north,{LAST_DAY},{LAST_DAY},,-0.1")
    with pytest.raises(BadInputError, match="row 2, column first_day: p05 has another price on these days in row 1"):
        ask(priced, tmp_path, *lines)


def test_a_row_of_another_length_than_the_header_is_refused(priced: DailyPanel, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="row 1 has not the 6 fields of the header; row 2 has not"):
        ask(priced, tmp_path, f"p05,*,{FIRST_DAY},{LAST_DAY},,-0.2,x", f"p05,*,{FIRST_DAY},{LAST_DAY}")


def test_a_file_that_is_not_there_is_refused_by_its_name(priced: DailyPanel, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"nowhere\.csv cannot be read as CSV"):
        read(tmp_path / "nowhere.csv", priced, AHEAD_DAYS)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (f"{HEADER},colour", "unknown column colour"),
        (f"{HEADER},price", "column price twice"),
        ("product_id,region,first_day,price", "no column last_day"),
        ("product_id,region,first_day,last_day", "no column price or price_change"),
        (HEADER, "no row"),
        ("product_id,region,first_day,last_day,promotion", "column promotion: a what-if knows prices only"),
    ],
)
def test_a_file_of_other_columns_is_refused(priced: DailyPanel, tmp_path: Path, header: str, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        ask(priced, tmp_path, header=header)


# The service


@pytest.fixture
def served(
    shop: Callable[[date, DailyPanel], Workspace], priced: DailyPanel, monkeypatch: pytest.MonkeyPatch
) -> Workspace:
    """A shop whose forecast serves; the panel of its snapshot has prices."""
    workspace = shop(AS_OF, replace(priced, prices=None))
    release_of(workspace, AS_OF, priced, HORIZON, None)
    monkeypatch.setattr(panels, "load", lambda snapshot: priced)
    return workspace


def test_the_whole_forecast_is_written_with_what_changes(served: Workspace, priced: DailyPanel, tmp_path: Path) -> None:
    ask(priced, tmp_path, f"p05,*,{FIRST_DAY},{LAST_DAY},,-0.05", f"p07,north,{FIRST_DAY},{LAST_DAY},0.01,")
    out = tmp_path / "new" / "f.parquet"
    done = what_if(None, AS_OF, tmp_path / "changes.csv", out)
    assert [row["status"] for row in done["rows"]] == ["applied", "applied", "refused"]
    written = pd.read_parquet(out)
    assert len(written) == 96 * HORIZON
    changed = written[written["row"].notna()]
    assert set(changed["product_id"]) == {"p05"}
    assert len(changed) == 2 * 7
    assert changed["new"].sum() - changed["mean"].sum() == pytest.approx(
        done["total"]["units"] - done["total"]["units_before"]
    )
    assert (changed["new_low"] < changed["new"]).all()
    kept = written[written["row"].isna()]
    pd.testing.assert_series_equal(kept["new"], kept["mean"], check_names=False)
    assert "no substitution between products is modelled" in done["note"]
    assert not list(out.parent.glob(".*"))


def test_nothing_is_written_where_nothing_can_be_applied(served: Workspace, priced: DailyPanel, tmp_path: Path) -> None:
    ask(priced, tmp_path, f"p07,north,{FIRST_DAY},{LAST_DAY},0.01,")
    with pytest.raises(NotAvailableError, match=r"None of the 1 changes could be applied\. row 1, north: 0\.01 lies"):
        what_if(None, AS_OF, tmp_path / "changes.csv", tmp_path / "f.parquet")
    assert not (tmp_path / "f.parquet").exists()


def test_a_shop_without_a_price_list_has_no_what_if(
    served: Workspace, priced: DailyPanel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(panels, "load", lambda snapshot: replace(priced, prices=None))
    with pytest.raises(NotAvailableError, match=r"What-if is not available: .* has no `prices`"):
        what_if(None, AS_OF, tmp_path / "changes.csv", tmp_path / "f.parquet")
