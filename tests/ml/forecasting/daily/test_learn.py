"""What training leaves behind is enough to forecast again without it, and its back-test is honest."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from coldframe.paths import Workspace
from ml.forecasting.daily import learn
from ml.forecasting.daily.learn import Learned, Method
from ml.forecasting.daily.panel import DailyPanel
from ml.registry import Registry

Make = Callable[..., DailyPanel]
FAIR = [("2022-01-17", "*", "fair", "holiday")]


@pytest.fixture(scope="module")
def known() -> dict[str, Learned]:
    return {}


@pytest.fixture
def trained(known: dict[str, Learned], panel: Make, quick: None) -> Learned:
    if not known:
        known["trained"] = learn.train(panel(events=FAIR), 14)
    return known["trained"]


def test_a_refresh_by_the_method_read_from_a_release_is_the_forecast_that_was_trained(
    trained: Learned, panel: Make, shared_mlflow: Callable[[], Path]
) -> None:
    registry = Registry(Workspace(shared_mlflow(), "corner"))
    release = registry.release("daily", date(2022, 7, 21), "snapshot", {}, trained.metrics, trained.tables, {})
    again = learn.refresh(panel(events=FAIR), 14, Method.read(release))
    assert again.tables["forecasts"].equals(trained.tables["forecasts"])
    assert again.tables["offsets"].equals(trained.tables["offsets"])
    assert not again.metrics


def test_what_is_odd_in_the_facts_is_told(trained: Learned) -> None:
    assert [w for w in trained.warnings if w.startswith("The calendar ends on 2022-01-17, the forecast on 2022-08-04")]


def test_the_back_test_has_every_level_with_what_came_beside_what_was_said(trained: Learned, panel: Make) -> None:
    rows = trained.tables["backtest"].to_pandas()
    shop = panel()
    assert set(rows["level"]) == set(shop.hierarchy.levels)
    total = rows[rows["level"] == "total"].sort_values(["cutoff", "horizon"])
    last = total[total["cutoff"] == total["cutoff"].max()]
    np.testing.assert_allclose(last["actual"], shop.units[:, -14:].sum(axis=0))
    np.testing.assert_allclose(last["seasonal_naive"], np.tile(shop.units[:, -21:-14].sum(axis=0), 2))
    assert (pd.to_datetime(rows["date"]) - pd.to_datetime(rows["cutoff"])).dt.days.tolist() == rows["horizon"].tolist()


def test_quantiles_of_the_back_test_are_made_of_errors_known_by_then(trained: Learned) -> None:
    rows = trained.tables["backtest"].to_pandas()
    told = rows.groupby("cutoff")["q90"].apply(lambda column: column.notna().any())
    assert not told.iloc[0]
    assert told.iloc[-1]


def test_nodes_are_tested_from_more_origins_than_products(trained: Learned) -> None:
    origins = trained.tables["intervals"].to_pandas().set_index(["level", "frequency"])["origins"]
    assert origins["total", "D"] > origins["product_region", "D"] == 3


def test_each_method_is_scored_beside_the_benchmark(trained: Learned) -> None:
    table = trained.tables["accuracy"].to_pandas()
    assert set(table["model"]) == {*learn.METHODS, "seasonal_naive"}
    assert trained.metrics["wrmsse"] < trained.metrics["naive_wrmsse"]
