"""How every model must behave, whatever it is: scale, direction, constants, zeros, no peeking, no nonsense."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest

from coldframe.errors import ColdframeError
from ml.forecasting.data import Floats, Ints, Panel
from ml.forecasting.models import CAP, LOCAL, MODELS, benchmark, boosting, run
from ml.forecasting.models.boosting import scale
from ml.forecasting.models.interface import Demand, Repeated

H = 8
LEARNED = ("window_mean", "tsb", "croston", "theta", "ets", "hgb", "prophet")
ALL = ("naive", "snaive", *LEARNED)


def forecast(name: str, history: Panel, rows: Ints | None = None) -> Floats:
    wanted = np.arange(len(history.units)) if rows is None else rows
    return run(history, {name: wanted}, H)[name].units


@pytest.fixture
def small(shop: Callable[..., Panel]) -> Panel:
    return shop(series=12)


@pytest.mark.parametrize("name", ALL)
def test_demand_in_tens_gives_the_forecast_in_tens(name: str, small: Panel) -> None:
    tens = replace(small, units=small.units * 10)
    assert forecast(name, tens).sum() == pytest.approx(10 * forecast(name, small).sum(), rel=0.02)


@pytest.mark.parametrize("name", LEARNED)
def test_a_series_that_sells_more_is_forecast_higher(name: str, small: Panel) -> None:
    totals = forecast(name, small).sum(axis=1)
    assert totals[-1] > totals[0]
    assert np.corrcoef(totals, np.nanmean(small.units, axis=1))[0, 1] > 0.9


@pytest.mark.parametrize("name", ALL)
def test_constant_demand_is_forecast_as_it_is(name: str, panel: Callable[..., Panel]) -> None:
    assert forecast(name, panel(np.full((4, 30), 6.0))) == pytest.approx(6.0, rel=0.05)


@pytest.mark.parametrize("name", ["zero", *ALL])
def test_what_never_sold_is_forecast_as_nothing(name: str, panel: Callable[..., Panel]) -> None:
    history = panel(np.vstack([np.zeros(30), np.full((3, 30), 5.0)]))
    assert forecast(name, history, np.array([0])).sum() == 0


@pytest.mark.parametrize("name", ALL)
def test_the_same_history_gives_the_same_forecast_to_the_last_bit(name: str, small: Panel) -> None:
    assert np.array_equal(forecast(name, small), forecast(name, small))


@pytest.mark.parametrize("name", ALL)
def test_a_forecast_does_not_change_when_the_future_does(name: str, small: Panel) -> None:
    """A signal planted after the cutoff must not be seen."""
    planted = small.units.copy()
    planted[:, 26:] += 1000.0
    assert np.array_equal(forecast(name, replace(small, units=planted).until(26)), forecast(name, small.until(26)))


@pytest.mark.parametrize("known", [1, 2, 3, 7])
@pytest.mark.parametrize("name", ALL)
def test_a_series_of_a_few_weeks_is_forecast_within_what_it_sold(
    name: str, known: int, panel: Callable[..., Panel]
) -> None:
    units = np.full((6, 30), 4.0)
    units[0, :-known] = np.nan
    units[1] = np.nan
    units[1, -known:] = np.arange(known) + 1
    assert forecast(name, panel(units), np.array([0])) == pytest.approx(4.0, rel=0.3)
    assert (forecast(name, panel(units), np.array([1])) <= known + 1).all()


@pytest.mark.parametrize("known", [1, 3])
@pytest.mark.parametrize("name", ALL)
def test_a_shop_of_a_few_weeks_gets_a_forecast(name: str, known: int, panel: Callable[..., Panel]) -> None:
    units = np.random.default_rng(2).poisson(5, (3, known)) + 1.0
    assert (forecast(name, panel(units)) <= 3 * units.max()).all()


@pytest.mark.parametrize("weeks", [60, 103])
@pytest.mark.parametrize("name", ALL)
def test_with_fewer_than_two_years_a_season_is_left_out_and_nothing_breaks(
    name: str, weeks: int, panel: Callable[..., Panel]
) -> None:
    year = 20 + 10 * np.sin(2 * np.pi * np.arange(weeks) / 52)
    history = panel(np.random.default_rng(6).poisson(year, (2, weeks)))
    assert 0 < forecast(name, history).mean() < 60


@pytest.mark.parametrize("name", ["window_mean", "theta", "prophet"])
def test_the_second_year_brings_the_season(name: str, panel: Callable[..., Panel]) -> None:
    year = 20 + 15 * np.sin(2 * np.pi * np.arange(112) / 52)
    history = panel(np.random.default_rng(6).poisson(year, (2, 112))[:, :104])
    assert forecast(name, history).sum() > 1.5 * H * history.units[:, -13:].mean(axis=1).sum()


@pytest.mark.parametrize("name", LOCAL)
def test_models_of_one_series_forecast_days_as_well_as_weeks(name: str) -> None:
    """Forty days of a shop that sells most on Saturdays; the models that know a season find it."""
    days = Days(np.random.default_rng(3).poisson([[3, 3, 3, 3, 4, 30, 4] * 6] * 2).astype(float))
    ahead = LOCAL[name].fit(days, np.array([1, 0])).predict(10)
    assert ahead.shape == (2, 10)
    assert np.isfinite(ahead).all()
    if name in {"snaive", "theta", "ets", "prophet"}:
        assert ahead[:, :7].argmax(axis=1).tolist() == [5, 5]


@dataclass(frozen=True)
class Days:
    """Demand by the day, as the models of one series at a time want it: no panel of any room."""

    units: Floats
    season: ClassVar[int] = 7

    @property
    def periods(self) -> pd.DatetimeIndex:
        return pd.date_range("2024-01-01", periods=self.units.shape[1], freq="D")

    def ahead(self, horizon: int) -> pd.DatetimeIndex:
        return pd.date_range(self.periods[-1] + pd.Timedelta(days=1), periods=horizon, freq="D")

    def events_of(self, row: int) -> pd.DataFrame:
        return pd.DataFrame({"ds": [self.periods[3]], "event": ["opening"], "kind": ["holiday"]})


def test_seasonal_naive_repeats_last_year_and_falls_back_to_the_last_week(panel: Callable[..., Panel]) -> None:
    units = np.arange(60.0)[None, :].repeat(2, axis=0)
    units[1, :50] = np.nan
    ahead = forecast("snaive", panel(units))
    assert ahead[0].tolist() == list(range(8, 16))
    assert ahead[1].tolist() == [59.0] * H
    assert (benchmark(51), benchmark(52)) == ("naive", "snaive")


def test_a_blend_is_the_mean_of_its_parts(small: Panel) -> None:
    rows = np.arange(12)
    parts = run(small, {"window_mean": rows, "hgb": rows, "blend": rows[3:5]}, H)
    assert parts["blend"].units == pytest.approx((parts["window_mean"].units + parts["hgb"].units)[3:5] / 2)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_model_that_returns_no_number_is_stopped_by_name_and_count(bad: float, small: Panel) -> None:
    class Broken:
        def fit(self, history: Demand, rows: Ints) -> Repeated:
            return Repeated(np.where(np.arange(len(rows))[:, None] == 3, bad, 1.0))

    with pytest.raises(ColdframeError, match=r"Model 'broken' returned 1 of 12 category_region series"):
        run(small, {"broken": np.arange(12)}, H, models={**MODELS, "broken": Broken()})


def test_an_exploding_forecast_is_capped_and_counted(small: Panel) -> None:
    class Exploding:
        def fit(self, history: Demand, rows: Ints) -> Repeated:
            return Repeated(np.full((len(rows), 1), 1e9))

    result = run(small, {"exploding": np.arange(12)}, H, models={"exploding": Exploding()})["exploding"]
    assert result.capped == 12 * H
    assert (result.units == CAP * small.units.max(axis=1, keepdims=True)).all()


def test_one_outlandish_series_does_not_spoil_its_neighbours(small: Panel) -> None:
    """Fuel counted in thousandths once made a booster of this kind 967,502 times too high."""
    fuel = replace(small, units=np.vstack([small.units[:-1], small.units[-1:] * 10_597]))
    ratio = forecast("hgb", fuel)[:-1].sum() / forecast("hgb", small)[:-1].sum()
    assert 0.8 < ratio < 1.25


def test_in_a_long_history_of_young_series_the_trees_do_without_last_year(panel: Callable[..., Panel]) -> None:
    units = np.full((40, 70), np.nan)
    units[:, -20:] = np.random.default_rng(0).poisson(9, (40, 20))
    assert np.isfinite(forecast("hgb", panel(units))).all()


def test_a_shop_that_stood_still_after_its_only_sales_teaches_the_trees_nothing(panel: Callable[..., Panel]) -> None:
    """Olist sold 300 orders in October 2016 and one more before the new year."""
    units = np.zeros((30, 20))
    units[:, 7] = np.arange(30)
    forecast = boosting.BoostedTrees().fit(panel(units), np.arange(30)).predict(4)
    assert np.array_equal(forecast, np.repeat(scale(units)[:, None], 4, axis=1))


def test_the_scale_of_a_young_series_is_drawn_towards_the_others(panel: Callable[..., Panel]) -> None:
    units = np.full((3, 20), 2.0)
    units[0, :-1], units[0, -1] = np.nan, 20.0
    assert scale(panel(units).units).tolist() == [11.0, 2.0, 2.0]


def test_in_sum_the_trees_keep_the_share_that_was_kept_before(panel: Callable[..., Panel]) -> None:
    """As many products go out of sale for good as are launched; those on sale must not be forecast as if all stayed."""
    rng = np.random.default_rng(6)
    begins, weeks = rng.integers(-80, 28, 3000), np.arange(36)
    ends = begins + rng.geometric(1 / 20, 3000)
    units = rng.poisson(4, (3000, 36)).astype(float)
    units[weeks >= ends[:, None]] = 0.0
    units[weeks < begins[:, None]] = np.nan
    history = panel(units[:, :28], "product_region", [f"c{i % 9}" for i in range(3000)])
    sold = np.nansum(units[:, 28:])
    assert forecast("hgb", history).sum() == pytest.approx(sold, rel=0.1)
    assert forecast("window_mean", history).sum() > 1.2 * sold


def test_a_second_year_is_forecast_with_the_season_of_the_first(panel: Callable[..., Panel]) -> None:
    """Neither may an origin that had not seen a year stop the training, nor a steady share flatten the season."""
    year = 20 + 15 * np.sin(2 * np.pi * np.arange(112) / 52)
    history = panel(np.random.default_rng(6).poisson(year, (300, 112))[:, :104])
    assert forecast("hgb", history).sum() > 1.8 * H * history.units[:, -13:].mean(axis=1).sum()


def test_the_sum_is_corrected_by_a_quarter_at_most(
    panel: Callable[..., Panel], monkeypatch: pytest.MonkeyPatch
) -> None:
    history = panel(np.random.default_rng(6).poisson(6, (100, 30)))
    monkeypatch.setattr(boosting, "_kept", lambda history, horizon: 0.0)
    least = forecast("hgb", history).sum()
    monkeypatch.setattr(boosting, "_kept", lambda history, horizon: 50.0)
    assert least / forecast("hgb", history).sum() == pytest.approx(0.75 / 1.25)


def test_a_lucky_quarter_is_not_forecast_to_go_on(panel: Callable[..., Panel]) -> None:
    """All products sell alike; those that sold most lately did so by luck, and an assortment picks just those."""
    units = np.random.default_rng(6).poisson(1.0, (2000, 40))
    history = panel(units[:, :32], "product_region", [f"c{i % 9}" for i in range(2000)])
    luckiest = np.argsort(-units[:, 19:32].sum(axis=1))[:200]
    sold = units[luckiest, 32:].sum()
    assert forecast("hgb", history)[luckiest].sum() < 1.25 * sold
    assert forecast("window_mean", history)[luckiest].sum() > 1.4 * sold
