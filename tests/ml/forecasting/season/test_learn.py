"""A season's demand: which products, how much of each, how sure, and how the same would have done before."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

from ml.forecasting import season
from ml.forecasting.data import Panel
from ml.forecasting.season.blend import shares
from ml.forecasting.season.learn import shared_errors

AHEAD = season.Ahead((3, *(7,) * 8, 2))
WEEKS = 90


@pytest.fixture
def shop() -> tuple[Panel, Panel, pd.DataFrame]:
    """Sixty products of two categories in two regions; every third sells in the weeks 30 to 40 of each year alone.

    The season ahead of week 90 is such weeks. Product 59 sells in the north alone, product 58 since week 80.
    """
    rng = np.random.default_rng(4)
    weeks = pd.date_range("2023-01-02", periods=WEEKS, freq="7D")
    rows, units = [], []
    for number in range(60):
        usual = 2.0 + number % 20
        seasonal = number % 3 == 0
        for region, part in (("north", 1.0), ("south", 0.3)):
            if number == 59 and region == "south":
                continue
            in_season = np.isin(np.arange(WEEKS) % 52, np.arange(38, 49))
            rate = usual * part * np.where(in_season, 8.0, 0.05) if seasonal else usual * part * np.ones(WEEKS)
            sold = rng.poisson(rate).astype(float)
            if number == 58:
                sold[:80] = np.nan
            title = f"{'lantern' if seasonal else 'mug'} {'red' if number % 2 else 'blue'}"
            rows.append((f"p{number:02d}", f"c{number % 2}", region, title))
            units.append(sold)
    lines = pd.DataFrame(rows, columns=["product_id", "category", "region", "title"])
    found = np.array(units)
    catalogue = lines.drop_duplicates("product_id").assign(
        subcategory=None, brand="unbranded", list_price=None, launched_on=weeks[0]
    )
    series = lines[["product_id", "category", "region"]].assign(gmv=np.nansum(found[:, -13:], axis=1), gmv_per_unit=2.0)
    events = pd.DataFrame({"week_start": [], "region": [], "kind": [], "event": [], "days": []})
    products = Panel("product_region", series, weeks, found, events)
    cells = pd.DataFrame(np.nan_to_num(found)).groupby([lines["category"], lines["region"]]).sum()
    named = cells.index.to_frame(index=False).assign(product_id=None, gmv=0.0, gmv_per_unit=2.0)
    return products, Panel("category_region", named, weeks, cells.to_numpy(), events), catalogue


@pytest.fixture
def learned(shop: tuple[Panel, Panel, pd.DataFrame]) -> season.Season:
    return season.learn(*shop, past_courses(shop[1]), course(shop[1], WEEKS, 1_000.0), AHEAD)


def course(cells: Panel, origin: int, units: float) -> season.Course:
    return season.Course(origin, np.full((len(cells.units), 12), units))


def past_courses(cells: Panel) -> list[season.Course]:
    return [course(cells, origin, 100.0) for origin in (60, 70, 80)]


def by_line(shop: tuple[Panel, Panel, pd.DataFrame], found: season.Season) -> pd.DataFrame:
    return shop[0].series.assign(**found.totals.set_index("series").to_dict("series"))


def test_what_sold_in_last_years_season_is_expected_to_sell_though_it_sells_nothing_now(
    shop: tuple[Panel, Panel, pd.DataFrame], learned: season.Season
) -> None:
    units = by_line(shop, learned).query("region == 'north'").set_index("product_id")["units"]
    assert units["p39"] > 2 * units["p59"], "a lantern, of which hardly any sold lately, beside a mug"


def test_lines_of_a_cell_add_up_to_what_its_category_is_forecast_less_what_is_not_known_yet(
    shop: tuple[Panel, Panel, pd.DataFrame], learned: season.Season
) -> None:
    assert 0.9 < learned.known_part <= 1
    sums = by_line(shop, learned).groupby(["category", "region"])["units"].sum()
    assert sums.to_numpy() == pytest.approx(np.full(4, 1_000.0 * 61 / 7 * learned.known_part))


def test_intervals_are_ordered_and_wider_for_more_doubt(learned: season.Season) -> None:
    quantiles = learned.totals[["q10", "q50", "q80", "q90"]].to_numpy()
    assert (np.diff(quantiles, axis=1) >= 0).all()
    assert (quantiles >= 0).all()
    assert learned.coverage is not None


def test_the_backtest_knows_at_each_origin_what_was_known_then(
    shop: tuple[Panel, Panel, pd.DataFrame], learned: season.Season
) -> None:
    products, cells, catalogue = shop
    later = products.units.copy()
    later[:, 70:] = np.where(np.isfinite(later[:, 70:]), 999.0, np.nan)
    cheated = season.learn(
        replace(products, units=later), cells, catalogue, past_courses(cells), course(cells, WEEKS, 1_000.0), AHEAD
    )
    first, again = (
        found.backtest.query("cutoff <= 70").set_index(["cutoff", "series"])["forecast"] / found.known_part
        for found in (learned, cheated)
    )
    both = first.index.intersection(again.index)
    assert len(both) > 100
    assert first[both].to_numpy() == pytest.approx(again[both].to_numpy())
    rows = learned.backtest
    new = rows[(rows["series"] == products.series.index[products.series["product_id"] == "p58"][0])]
    assert not new["known"].any(), "product 58 was there at none of the origins"
    assert (new["forecast"] == 0).all()


def test_a_season_runs_as_its_products_ran_a_year_before(
    shop: tuple[Panel, Panel, pd.DataFrame], learned: season.Season
) -> None:
    weeks = learned.weeks
    assert sorted(weeks["ahead"].unique()) == list(range(1, 11))
    sums = weeks.groupby("series")["units"].sum()
    assert sums.to_numpy() == pytest.approx(learned.totals.set_index("series")["units"][sums.index].to_numpy())


def test_a_line_of_a_region_that_hardly_sells_is_split_by_what_its_region_usually_takes(
    shop: tuple[Panel, Panel, pd.DataFrame], learned: season.Season
) -> None:
    found = by_line(shop, learned)
    mugs = found[found["product_id"].isin(["p56", "p38"])].pivot(index="product_id", columns="region", values="units")
    assert (mugs["south"] > 0).all()


def test_errors_are_told_apart_by_shop_cell_and_line(learned: season.Season) -> None:
    spread = learned.errors.set_index("level")["sd"]
    assert list(spread.index) == ["shop", "cell", "line"]
    assert np.isfinite(spread).all()
    assert (spread >= 0).all()


def test_a_history_too_short_to_learn_from_is_read_by_its_windows() -> None:

    money = np.array([[1.0] * 12, [3.0] * 12])
    read = shares(money, 12, AHEAD, csr_matrix((2, 0)), np.zeros(2, dtype=np.int64))
    assert read.share == pytest.approx([0.25, 0.75])


def test_the_errors_lines_share_are_how_far_past_origins_were_off_in_sum() -> None:
    tested = [(10, 0, 110.0), (10, 1, 110.0), (20, 0, 90.0), (20, 1, 110.0)]
    known = pd.DataFrame(tested, columns=["cutoff", "series", "actual_gmv"]).assign(forecast_gmv=100.0)
    spread = shared_errors(known, np.array([0, 1])).set_index("level")["sd"]
    assert spread["shop"] == pytest.approx((np.log(1.1) ** 2 / 2) ** 0.5)
    assert spread["cell"] == pytest.approx(((np.log(0.9) ** 2 + np.log(1.1) ** 2) / 4) ** 0.5)
    assert spread["line"] == pytest.approx(0, abs=1e-9), "a cell's only line is off as its cell is"
