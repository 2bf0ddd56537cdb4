"""Every way of making one truth of several views is coherent, and the one that serves is the back-test's answer."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from ml.forecasting.daily import nodes as nodes_of_a_shop
from ml.forecasting.daily.engine import NodeViews
from ml.forecasting.daily.methods import DEFAULT, METHODS, available, choose, reconcile, share_out
from ml.forecasting.daily.nodes import Nodes
from ml.forecasting.daily.panel import DailyPanel

Make = Callable[..., DailyPanel]


def seen(nodes: Nodes, horizon: int = 5) -> NodeViews:
    rng = np.random.default_rng(1)
    count = len(nodes.sums)
    views = {name: rng.uniform(1, 9, (count, horizon)) for name in ("additive", "trees")}
    return NodeViews(nodes, views, np.ones(count), np.full((count, horizon), 7.0))


def test_reconciling_what_is_coherent_changes_nothing(panel: Make) -> None:
    nodes = Nodes(panel().hierarchy)
    joint = np.random.default_rng(1).uniform(1, 9, (nodes.sums.shape[1], 5))
    np.testing.assert_allclose(reconcile(nodes.sums @ joint, nodes, nodes.sums @ joint[:, 0]), joint)


def test_shares_are_kept_when_a_node_gets_another_total() -> None:
    ahead = share_out(np.array([[30.0], [5.0]]), np.array([[1.0], [2.0], [0.0]]), np.array([0, 0, 1]))
    assert ahead.tolist() == [[10.0], [20.0], [0.0]]


@pytest.mark.parametrize("name", METHODS)
def test_every_method_gives_each_finest_node_a_total(panel: Make, name: str) -> None:
    views = seen(Nodes.of(panel().hierarchy, 1e4))
    totals = METHODS[name].totals(views, np.ones((24, 5)))
    assert totals.shape == (METHODS[name].nodes(views).sums.shape[1], 5)
    assert (totals >= 0).all()


def test_products_are_nodes_of_a_small_shop_alone(panel: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    hierarchy = panel().hierarchy
    assert Nodes.of(hierarchy, 1e4).joint == "product_region"
    assert set(available(Nodes.of(hierarchy, 1e4))) == set(METHODS)
    monkeypatch.setattr(nodes_of_a_shop, "MOST_NODES", 23)
    assert Nodes.of(hierarchy, 1e4).joint == "subcategory_region"
    assert "both_fine_wls" not in available(Nodes.of(hierarchy, 1e4))


def test_nodes_that_hardly_sell_are_not_modelled_by_themselves(panel: Make) -> None:
    hierarchy = panel().hierarchy
    assert Nodes.of(hierarchy, sold=16.0).coarse.joint == "subcategory_region"
    assert Nodes.of(hierarchy, sold=15.0).coarse.joint == "subcategory"
    assert Nodes.of(hierarchy, sold=0.0).coarse.joint == "total"


def test_without_products_the_nodes_are_the_same_ones_in_the_same_order(panel: Make) -> None:
    nodes = Nodes.of(panel().hierarchy, 1e4)
    units = panel().units
    np.testing.assert_array_equal(nodes.units(units)[nodes.in_coarse], nodes.coarse.units(units))


def test_shared_from_the_top_the_total_is_the_one_that_was_forecast(panel: Make) -> None:
    views = seen(Nodes.of(panel().hierarchy, 1e4))
    totals = METHODS["both_top_down"].totals(views, None)
    np.testing.assert_allclose(totals.sum(axis=0), np.mean([view[0] for view in views.views.values()], axis=0))


def test_a_node_one_view_lost_is_forecast_by_the_other_and_without_any_by_last_week(panel: Make) -> None:
    nodes = Nodes(panel().hierarchy)
    views = seen(nodes)
    finest = np.flatnonzero(nodes.rows(nodes.joint))
    views.views["trees"][finest[0]] = np.nan
    for view in views.views.values():
        view[finest[1]] = np.nan
    totals = METHODS["both_middle_out"].totals(views, None)
    np.testing.assert_array_equal(totals[0], views.views["additive"][finest[0]])
    np.testing.assert_array_equal(totals[1], 7.0)
    assert views.unusable == {"additive": 1, "trees": 2}


def scores(**of_model: tuple[float, float, float]) -> pd.DataFrame:
    """WRMSSE of each model from three origins; those not named are as good as the default, 1."""
    losses = dict.fromkeys(METHODS, (1.0, 1.0, 1.0)) | of_model
    return pd.DataFrame(
        [(model, cutoff, value) for model, found in losses.items() for cutoff, value in enumerate(found)],
        columns=["model", "cutoff", "rmsse"],
    )


def test_the_default_serves_unless_another_saves_enough() -> None:
    name, reason = choose(scores(bottom_up=(0.99, 0.99, 0.985)))
    assert (name, reason) == (DEFAULT, "no other method saves 2% of its WRMSSE from most of 3 origins")


def test_the_method_that_saves_most_serves_and_says_how_much() -> None:
    name, reason = choose(scores(bottom_up=(0.9, 0.9, 0.9), trees_wls=(0.95, 0.95, 0.95)))
    assert name == "bottom_up"
    assert "saves 10.0% of the WRMSSE of both_wls, and is better from most of 3 origins" in reason


def test_a_method_that_was_lucky_from_one_origin_does_not_serve() -> None:
    assert choose(scores(bottom_up=(0.5, 1.01, 1.01)))[0] == DEFAULT
