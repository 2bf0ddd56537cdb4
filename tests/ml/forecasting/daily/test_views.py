"""Nodes of a shop behind the interface of all models: asked of one, they can be asked of every one."""

from collections.abc import Callable

import numpy as np
import pytest

from ml.forecasting.daily.nodes import Nodes
from ml.forecasting.daily.panel import DailyPanel
from ml.forecasting.daily.views import AdditiveView, NodeHistory
from ml.forecasting.models import LOCAL

EVENTS = [("2022-07-23", "north", "fair", "holiday"), ("2022-07-24", "*", "feast", "holiday")]


@pytest.fixture
def history(panel: Callable[..., DailyPanel]) -> NodeHistory:
    shop = panel(events=EVENTS)
    return NodeHistory.of(shop, Nodes(shop.hierarchy))


def test_nodes_are_days_with_a_season_of_a_week_and_the_events_of_their_places(history: NodeHistory) -> None:
    assert (history.season, len(history.periods), len(history.units)) == (7, 200, len(history.places))
    total, south = 0, history.places.index(["south"])
    assert history.events_of(total)["event"].tolist() == ["fair", "feast"]
    assert history.events_of(south)["event"].tolist() == ["feast"]
    assert history.ahead(2)[0] - history.periods[-1] == np.timedelta64(1, "D")


@pytest.mark.parametrize("name", ["snaive", "theta", "additive"])
def test_rows_asked_for_are_answered_in_their_order(history: NodeHistory, name: str) -> None:
    model = AdditiveView() if name == "additive" else LOCAL[name]
    every = model.fit(history, np.arange(len(history.units))).predict(14)
    some = model.fit(history, np.array([2, 0])).predict(14)
    np.testing.assert_allclose(some, every[[2, 0]])
    assert every[0].sum() == pytest.approx(history.units[0, -14:].sum(), rel=0.2)
