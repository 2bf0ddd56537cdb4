"""The daily forecast: coherent at every level, blind to the future, and honest about what it could not model."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from coldframe.errors import BadInputError
from ml.forecasting.daily import engine
from ml.forecasting.daily.engine import forecast, routes
from ml.forecasting.daily.methods import Blend
from ml.forecasting.daily.nodes import Nodes
from ml.forecasting.daily.panel import DailyPanel

Make = Callable[..., DailyPanel]
pytestmark = pytest.mark.usefixtures("quick")


def test_every_level_is_the_sum_of_the_bottom_to_a_millionth(panel: Make) -> None:
    shop = panel()
    ahead = forecast(shop, 14).units
    total = shop.hierarchy.sums("total", ahead)[0]
    for level in shop.hierarchy.levels:
        np.testing.assert_allclose(shop.hierarchy.sums(level, ahead).sum(axis=0), total, rtol=1e-6)


def test_an_absurd_future_changes_no_forecast(panel: Make) -> None:
    whole = panel(days=228)
    changed = panel(units=np.concatenate([whole.units[:, :200], whole.units[:, 200:] + 1e6], axis=1))
    np.testing.assert_array_equal(forecast(whole.until(200), 14).units, forecast(changed.until(200), 14).units)


def test_the_same_history_gives_the_same_forecast_to_the_last_bit(panel: Make) -> None:
    np.testing.assert_array_equal(forecast(panel(), 7).units, forecast(panel(), 7).units)


def test_it_finds_the_weekday_and_the_level(panel: Make) -> None:
    shop = panel(days=400)
    ahead = forecast(shop.until(372), 28)
    truth = shop.hierarchy.sums("total", shop.units[:, 372:])[0]
    said = shop.hierarchy.sums("total", ahead.units)[0]
    naive = np.tile(shop.units[:, 365:372].sum(axis=0), 4)
    assert np.abs(said - truth).sum() < np.abs(naive - truth).sum()
    assert abs(said.sum() / truth.sum() - 1) < 0.1


def test_a_series_is_routed_by_what_it_sold_and_how_long_it_is_there(panel: Make) -> None:
    units = np.zeros((24, 200), dtype=np.float32)
    units[0, ::2] = 1
    units[1, 150] = 3
    units[2, 20] = 500
    units[3, :190] = np.nan
    assert routes(panel(units=units))[:5].tolist() == ["trees", "tail", "dormant", "trees", "dormant"]


def test_what_is_dormant_gets_nothing_and_a_tail_gets_its_mean(panel: Make) -> None:
    shop = panel()
    shop.units[0] = 0
    shop.units[1] = 0
    shop.units[1, 190] = 9
    ahead = forecast(shop, 14)
    assert ahead.route[:2].tolist() == ["dormant", "tail"]
    assert not ahead.units[0].any()
    assert 0 < ahead.units[1].mean() < 0.5


def test_a_product_launched_yesterday_gets_a_forecast(panel: Make) -> None:
    shop = panel()
    units = shop.units.copy()
    units[-1, :198] = np.nan
    ahead = forecast(panel(units=units), 7)
    assert ahead.route[-1] == "trees"
    assert (ahead.units[-1] > 0).all()


def test_a_forecast_above_five_times_the_highest_day_is_capped_and_counted(
    panel: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Blend, "totals", lambda *_: np.full((8, 7), 1e9))
    shop = panel()
    ahead = forecast(shop, 7)
    assert ahead.capped > 0
    assert (ahead.units <= 5 * shop.units.max(axis=1, keepdims=True)).all()


def test_a_history_too_short_is_refused_with_what_it_takes(panel: Make) -> None:
    with pytest.raises(BadInputError, match="There are 60 days of history; a daily forecast needs 84"):
        forecast(panel(days=60), 7)


def test_a_category_no_model_can_see_stands_on_the_forecast_before_and_the_others_on_todays(
    panel: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = panel()
    nodes = Nodes.of(shop.hierarchy, 1e4)
    keys = shop.hierarchy.keys
    coarse = nodes.coarse
    in_coarse = np.flatnonzero(coarse.rows(coarse.joint))[int(coarse.of_series[keys["category"] == "c0"][0])]
    in_all = np.flatnonzero(nodes.in_coarse)[in_coarse]
    see = engine.additive.forecast, engine.trees.forecast

    def half_blind(which: int, rows: dict[int, int]) -> Callable[..., Any]:
        def saw(*asked: Any) -> Any:
            found = see[which](*asked)
            if len(found) in rows:
                found[rows[len(found)]] = np.nan
            return found

        return saw

    monkeypatch.setattr(engine.additive, "forecast", half_blind(0, {len(nodes.sums): in_all}))
    monkeypatch.setattr(engine.trees, "forecast", half_blind(1, {len(coarse.sums): in_coarse}))
    before = np.full((24, 7), np.nan)
    before[:, :5] = 4.0
    ahead = forecast(shop, 7, standing=before)
    assert ahead.failed == {"c0": "no model saw all of its nodes"}
    np.testing.assert_array_equal(ahead.stale, keys["category"] == "c0")
    assert (ahead.units[ahead.stale, :5] == 4.0).all()
    np.testing.assert_array_equal(ahead.units[ahead.stale, 5:], shop.units[ahead.stale, -2:])
    assert np.isfinite(ahead.units).all()


def test_a_view_that_explodes_is_not_used(panel: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = panel()
    sober = forecast(shop, 7)
    monkeypatch.setattr(engine.additive, "forecast", lambda units, *rest: np.full((len(units), 7), 1e12))
    views = engine.look_at_nodes(shop, 7)
    assert views.unusable == {"additive": len(views.nodes.coarse.sums)}
    assert forecast(shop, 7).units.sum() < 2 * sober.units.sum()


def test_where_nothing_can_be_learned_the_mean_of_the_last_weeks_is_a_method_too(panel: Make) -> None:
    shop = panel()
    weeks = shop.units[:, -28:].reshape(24, 4, 7).mean(axis=1)
    np.testing.assert_allclose(forecast(shop, 7, "recent_bottom_up").units, weeks)
