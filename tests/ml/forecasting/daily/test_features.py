"""Features know what was known at the origin, and nothing else."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd

from ml.forecasting.daily import calendar, engine
from ml.forecasting.daily.features import MOST_CODES, Series, State, cumulated, ranked
from ml.forecasting.daily.hierarchy import summing
from ml.forecasting.daily.panel import DailyPanel, PriceList
from ml.forecasting.daily.trees import _training, origins


def series_of(panel: DailyPanel, events: pd.DataFrame | None = None, prices: PriceList | None = None) -> Series:
    span = pd.DatetimeIndex(panel.days.append(panel.ahead(30)))
    n = len(panel.units)
    known, product = np.nan_to_num(panel.units), np.arange(n) // 2
    return Series(
        units=panel.units,
        first_day=panel.first_day,
        group=np.zeros(n, dtype=np.int64),
        group_sums=cumulated(known.sum(axis=0, keepdims=True)),
        product=product,
        product_sums=cumulated(summing(product) @ known),
        codes={"region": np.arange(n) % 2},
        place=np.zeros(n, dtype=np.int64),
        calendar=calendar.build(panel.events if events is None else events, [["north"]], span),
        prices=prices,
        listed=np.arange(n),
    )


def column(state: State, name: str, which: int = 0, ahead: int = 1) -> float:
    rows, names = state.rows(np.array([which]), np.array([ahead]))
    return float(rows[0, names.index(name)])


def test_no_feature_moves_when_the_future_does(panel: Callable[..., DailyPanel]) -> None:
    before = panel(days=420)
    after = panel(units=np.where(np.arange(420) >= 400, 1e6, before.units))
    which, ahead = np.repeat(np.arange(24), 14), np.tile(np.arange(1, 15), 24)
    known, changed = (State(series_of(p), 400).rows(which, ahead)[0] for p in (before, after))
    np.testing.assert_array_equal(known, changed)


def test_features_are_relative_so_that_ten_times_the_units_look_alike(panel: Callable[..., DailyPanel]) -> None:
    units = panel(days=200).units + 5
    one, ten = (State(series_of(panel(units=u)), 200) for u in (units, units * 10))
    for name in ("mean_7", "deviation_28", "lag_1", "weekday_4", "year_ago_3", "product_trend"):
        np.testing.assert_allclose(column(one, name), column(ten, name), rtol=1e-2, err_msg=name)


def test_the_mean_of_a_weekday_is_of_the_day_asked_about(panel: Callable[..., DailyPanel]) -> None:
    units = np.tile(np.arange(7.0), (24, 30))
    state = State(series_of(panel(units=units)), 203)
    for ahead in range(1, 15):
        np.testing.assert_allclose(
            column(state, "weekday_4", ahead=ahead) * state.scale[0], (203 + ahead - 1) % 7, atol=1e-4
        )


def test_a_launch_is_no_rise_from_nothing(panel: Callable[..., DailyPanel]) -> None:
    units = np.full((24, 200), 4.0)
    units[0, :180] = np.nan
    state = State(series_of(panel(units=units)), 200)
    assert column(state, "known") == 20
    np.testing.assert_allclose(column(state, "mean_91"), column(state, "mean_7"))


def test_a_price_is_seen_ahead_only_once_it_was_announced(panel: Callable[..., DailyPanel]) -> None:
    """5 until day 104, then 3; the second price is announced on day 100."""
    run = np.ones((24, 330), dtype=np.int32)
    run[:, 105:] = 2
    owner_run = run + 2 * np.arange(24, dtype=np.int32)[:, None]
    prices = PriceList(
        run=owner_run,
        price=np.array([np.nan, *[5.0, 3.0] * 24], dtype=np.float32),
        last=np.array([-1, *[104, 1000] * 24]),
        announced=np.array([0, *[0, 100] * 24]),
    )
    shop = panel(days=200)
    unaware, aware = (State(series_of(shop, prices=prices), origin) for origin in (100, 101))
    assert column(unaware, "price_change", which=3, ahead=10) == 1
    np.testing.assert_allclose(column(aware, "price_change", which=3, ahead=9), 0.6)
    assert column(aware, "price_change", which=3, ahead=2) == 1


def test_a_part_of_the_series_has_the_features_it_had_among_all(panel: Callable[..., DailyPanel]) -> None:
    series = series_of(panel(days=200))
    which, ahead = np.array([3, 17, 20]), np.array([1, 9, 14])
    np.testing.assert_array_equal(
        State(series.only(which), 200).rows(np.arange(3), ahead)[0], State(series, 200).rows(which, ahead)[0]
    )


def test_a_day_out_of_stock_is_known_by_its_share_of_four_weeks_and_is_no_target(
    panel: Callable[..., DailyPanel],
) -> None:
    units = panel(days=200).units
    out = np.zeros(units.shape, dtype=bool)
    out[0, 186:] = True
    series = replace(series_of(panel(units=np.where(out, 1e6, units))), out=out)
    assert column(State(series, 200), "out_28") == 0.5
    assert column(State(series, 200), "out_28", which=1) == 0
    assert "out_28" not in State(series_of(panel()), 200).columns
    _, target, _, _ = _training(series, np.ones(len(units)), 14, engine.PRODUCTS)
    assert target.max() < 100


def test_codes_beyond_what_a_tree_can_tell_apart_share_one() -> None:
    codes = np.concatenate([np.arange(400), np.full(9, 399)])
    found = ranked(codes)
    assert found[399] == 0
    assert found.max() == MOST_CODES


def test_origins_lie_whole_weeks_before_the_end() -> None:
    assert all((400 - origin) % 7 == 0 for origin in origins(400))
    assert max(origins(400)) == 393
    assert min(origins(120)) >= 56


def test_events_of_a_place_are_the_share_of_its_regions_that_has_them() -> None:
    days = pd.date_range("2024-01-01", periods=10, freq="D")
    events = pd.DataFrame(
        {
            "date": pd.to_datetime(["2024-01-03", "2024-01-05", "2024-01-05"]),
            "region": ["*", "north", "north"],
            "event": ["Fair", "SNAP", "Match"],
            "kind": ["holiday", "payday", "occasion"],
        }
    )
    found = calendar.build(events, [["north"], ["north", "south"]], days)
    assert found.payday[:, 4].tolist() == [1.0, 0.5]
    assert found.code[:, 2].tolist() == [found.names.index("Fair")] * 2
    assert found.until[0, :5].tolist() == [2, 1, 0, 1, 0]
    assert found.since[0, 2:6].tolist() == [0, 1, 0, 1]
