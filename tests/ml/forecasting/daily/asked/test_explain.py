"""Why this number: a node is explained from the release that serves, in words and in a picture anybody can open."""

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from matplotlib.image import imread

from coldframe.errors import ConfigurationError, NotAvailableError
from coldframe.paths import Workspace
from ml.forecasting.daily.asked.explain import explain
from ml.forecasting.daily.components import components
from ml.forecasting.daily.panel import DailyPanel
from tests.ml.forecasting.daily.conftest import FIRST, WEEK, make_panel
from tests.ml.forecasting.daily.released import release_of

DAYS, HORIZON = 800, 28
AS_OF = FIRST + timedelta(days=DAYS - 1)
FAIRS = (60, 424, 788, DAYS + 9)


@pytest.fixture(scope="module")
def waves() -> DailyPanel:
    """Demand that grows by 1 % a month, has a week and a wave of the year, and doubles on the day of the Fair."""
    time = np.arange(DAYS)
    rate = np.geomspace(5, 60, 12)[:, None] * WEEK[time % 7] * (1 + 0.3 * np.sin(2 * np.pi * time / 365.25))
    rate = rate * 1.01 ** (time / 30.4)
    rate[:, FAIRS[:-1]] *= 2
    events = [(FIRST + timedelta(days=day), "*", "Fair", "holiday") for day in FAIRS]
    # Not a formula.
    events.append((FIRST + timedelta(days=700), "*", "$1_{ to 2$", "campaign"))
    return make_panel(6, units=np.random.default_rng(5).poisson(rate), events=events)


@pytest.fixture(scope="module")
def parts(waves: DailyPanel) -> pa.Table:
    return components(waves, HORIZON)


@pytest.fixture
def corner(shop: Callable[[date, DailyPanel], Workspace], waves: DailyPanel, parts: pa.Table) -> Workspace:
    """A shop with two years of history and a forecast of it that serves."""
    workspace = shop(AS_OF, waves)
    release_of(workspace, AS_OF, waves, HORIZON, parts)
    return workspace


def test_the_words_tell_level_trend_week_events_and_how_far_the_parts_are_from_the_forecast(corner: Workspace) -> None:
    told = " ".join(explain(None, AS_OF, "total", None, None)["words"])
    assert "The shop sold 468.2 units a day over the last 28 days, +15% beside the same days a year ago." in told
    assert "The forecast is 13,110 units over the next 28 days" in told
    assert "Trend: +1.2% a month." in told
    assert "best on Sat (+56%), weakest on Tue (-28%)" in told
    assert "Events that move most: Fair on 22 March (+82%)." in told
    assert "the additive model, one of the views the forecast is made of; alone it says 13,7" in told


def test_the_picture_of_a_node_is_a_png_of_sane_size_and_nothing_half_written_stays(
    corner: Workspace, tmp_path: Path
) -> None:
    done = explain(None, AS_OF, "dept_store", "s1,north", tmp_path / "new" / "why.png")
    assert (done["level"], done["node"]) == ("subcategory_region", "s1,north")
    height, width, _ = imread(tmp_path / "new" / "why.png").shape
    assert 1000 < width < 2000
    assert 800 < height < 2000
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["why.png"]


def test_a_product_is_explained_by_itself_and_by_the_parts_of_the_node_it_belongs_to(
    corner: Workspace, tmp_path: Path
) -> None:
    prices = pd.DataFrame(
        [("p03", "*", FIRST, AS_OF - timedelta(days=30), 9.0, FIRST), ("p03", "*", AS_OF, None, 12.0, FIRST)],
        columns=["product_id", "region", "valid_from", "valid_until", "price", "announced_on"],
    )
    prices.to_parquet(corner.current / "dim_price" / "all.parquet")
    told = " ".join(explain(None, AS_OF, "item_region", "p03,north", tmp_path / "p.png")["words"])
    assert "p03, north sold 34.1 units a day" in told
    assert "Trend of s3, north: " in told
    assert "beside the forecast" not in told
    explain(None, AS_OF, "total", None, tmp_path / "t.png")
    # A product has its prices between its sales and the parts.
    assert imread(tmp_path / "p.png").shape[0] > imread(tmp_path / "t.png").shape[0]


def test_days_out_of_stock_are_told_and_a_series_nobody_ever_saw_in_stock_has_none(
    corner: Workspace, tmp_path: Path
) -> None:
    lately = [AS_OF - timedelta(days=day) for day in range(9)]
    rows = [(day, "p03", "north") for day in lately]
    # Its sales begin after the first day it was out, and it was so ever since.
    rows += [(FIRST - timedelta(days=1) + timedelta(days=day), "p05", "south") for day in range(DAYS + 1)]
    stock_outs = pd.DataFrame(rows, columns=["date", "product_id", "region"])
    stock_outs.to_parquet(corner.current / "fct_stock_out" / "all.parquet")
    told = " ".join(explain(None, AS_OF, "item_region", "p03,north", tmp_path / "p.png")["words"])
    assert "Stock had run out on 9 of the last 112 days. What was wanted then is estimated" in told
    of_shop = " ".join(explain(None, AS_OF, "total", None, None)["words"])
    assert "Stock had run out on 9 of the last 112 days; on the mean of these days 8% of its series were." in of_shop
    assert "Stock" not in " ".join(explain(None, AS_OF, "item_region", "p05,south", None)["words"])


def test_a_node_of_which_nothing_but_a_trend_is_known_is_explained_all_the_same(
    corner: Workspace, waves: DailyPanel, parts: pa.Table, tmp_path: Path
) -> None:
    release_of(corner, AS_OF, waves, HORIZON, parts.filter(pc.equal(parts["component"], "trend")))
    told = " ".join(explain(None, AS_OF, "total", None, tmp_path / "why.png")["words"])
    assert "No event in the days ahead." in told
    assert (tmp_path / "why.png").is_file()


def test_a_node_is_found_by_its_name_or_all_of_its_keys_and_near_names_are_told(corner: Workspace) -> None:
    assert explain(None, AS_OF, "subcategory_region", None, None)["nodes"][:3] == ["s0,north", "s0,south", "s2,north"]
    assert explain(None, AS_OF, "subcategory_region", "c1, s1, north", None)["node"] == "s1,north"
    with pytest.raises(ConfigurationError, match=r"no node 's1,nord'. Did you mean s1,north .*without --node lists"):
        explain(None, AS_OF, "subcategory_region", "s1,nord", None)


def test_a_release_without_components_says_what_it_lacks(corner: Workspace, waves: DailyPanel) -> None:
    release = release_of(corner, AS_OF, waves, HORIZON, None)
    with pytest.raises(NotAvailableError, match=f"Release {release.id} .* has no tables/components.parquet"):
        explain(None, AS_OF, "total", None, None)
