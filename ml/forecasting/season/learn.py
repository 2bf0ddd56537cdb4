"""From panels and forecasts of categories to the tables of a season, and how they would have done before.

Shares say which products, categories how much there is to share. The back-test stands at the origins the weekly
forecasts were tested at, and knows at each what was known then.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from ml.forecasting import evaluate
from ml.forecasting.data import Floats, Ints, Panel
from ml.forecasting.season.blend import shares
from ml.forecasting.season.like import like_items
from ml.forecasting.season.signals import LEAST_WEEKS_ON_SALE, QUARTER, YEAR, Ahead, sold, year_before
from ml.forecasting.season.trend import trends
from ml.forecasting.season.words import describe

SHARE_PRIOR = 1.0
"""How many median products' sales of a year a region's usual part counts as in a product's own split."""
STEADY = 0.8
"""Share of its weeks on sale in which a line must have sold to be judged by its own past alone."""
WAYS = ("both", "product", "line")
"""Whose past a line's share is read from; the first where nothing was tested."""
HEAD, MIDDLE = 0.5, 0.8
"""Lines that make the first half of what is expected are the head, up to four fifths the middle, the rest the tail."""
LEAST_UNITS = 0.5
"""Units of the season under which a line's spread is that of half a unit."""
MEASURES = (
    "actual", "forecast", "actual_gmv", "forecast_gmv", "last_4_weeks", "last_13_weeks", "last_year"
)  # fmt: skip
"""Numbers of a back-tested line: units, then money, the last three of what people rank by today."""
CURVE_PRIOR = 50.0
"""Units that the category's course through the season counts as beside a product's own of last year."""


@dataclass(frozen=True)
class Course:
    """What weekly forecasts of categories say: units [category series, week ahead] at an origin; NaN: not forecast."""

    origin: int
    units: Floats


@dataclass(frozen=True)
class Season:
    """`totals` has a row a line (a product in a region): series (row of the panel), units, q10, q50, q80, q90 and
    index (how many times its usual share its kind takes in the season; NaN where nothing is known of that). `weeks` has
    a row a line and week (series, ahead, units), `trend` a row a product (trend.py), `backtest` a row an origin and
    line that sold or was expected to, `to_come` a row a product that does not sell yet (like.py). `errors` is the
    spread of log errors that a shop, a cell or a line has to itself. `known_part` is how much of past seasons' money
    was made by lines that were known before; `coverage` how many actuals of the last origin lay within the 80 %
    interval that was known by then, None where there was none.
    """

    totals: pd.DataFrame
    weeks: pd.DataFrame
    trend: pd.DataFrame
    backtest: pd.DataFrame
    to_come: pd.DataFrame
    errors: pd.DataFrame
    known_part: float
    coverage: float | None


@dataclass(frozen=True)
class _Shop:
    """Lines and their products as arrays; `product`, `cell` and `category` give each line's product, its category
    series and its category in all regions."""

    lines: Panel
    product: Ints
    names: pd.Series
    cell: Ints
    category: Ints
    price: Floats
    cell_price: Floats
    money: Floats
    product_money: Floats
    words: csr_matrix


def learn(
    lines: Panel, categories: Panel, catalogue: pd.DataFrame, tested: list[Course], now: Course, ahead: Ahead
) -> Season:
    """`catalogue` has product_id, title, category, subcategory, brand, list_price and launched_on of every product of
    `lines`, and of those that do not sell yet.

    `tested` are forecasts of categories made at past origins, as far ahead as they go.
    """
    shop = _shop(lines, categories, catalogue)
    reads = [_read(shop, course, ahead.within(course.units.shape[1])) for course in tested]
    # Each origin is forecast in the way that was best at those before it, as it would have been.
    rows = pd.concat(
        [_tested(shop, read, _best_way(shop, reads[:number])) for number, read in enumerate(reads)], ignore_index=True
    )
    made = rows.groupby("known")["actual_gmv"].sum()
    part = float(made.get(True, 0.0) / made.sum()) if made.sum() > 0 else 1.0
    rows[["forecast", "forecast_gmv"]] *= part
    read = _read(shop, now, ahead)
    units = _forecast(shop, read, _best_way(shop, reads)) * part
    known = rows[rows["known"]].reset_index(drop=True)
    asked = _with_spread(pd.DataFrame({"series": np.arange(len(units)), "cutoff": now.origin, "forecast": units}))
    quantiles = evaluate.calibrate(_with_spread(known)).quantiles(asked)
    totals = pd.DataFrame({"series": asked["series"], "units": units})
    totals[["q10", "q50", "q80", "q90"]] = quantiles
    totals["index"] = np.nan if read.index is None else np.exp(read.index[shop.product])
    product_units = _by_product(shop, np.nan_to_num(lines.units))
    return Season(
        totals=totals,
        weeks=_weeks(shop, now, ahead, units, product_units),
        trend=trends(product_units, _groups(shop), shop.names),
        backtest=rows,
        to_come=like_items(lines, categories, catalogue, ahead),
        errors=shared_errors(known, shop.cell),
        known_part=part,
        coverage=_coverage(known, ahead),
    )


def _groups(shop: _Shop) -> Ints:
    """Category of each product, [product]."""
    group = np.zeros(len(shop.names), dtype=np.int64)
    group[shop.product] = shop.category
    return group


def _shop(lines: Panel, categories: Panel, catalogue: pd.DataFrame) -> _Shop:
    product, names = pd.factorize(lines.series["product_id"], sort=True)
    keys = ["category", "region"]
    cell = lines.series[keys].merge(categories.series[keys].reset_index(), on=keys)["index"].to_numpy()
    category, _ = pd.factorize(lines.series["category"], sort=True)
    price = _positive(lines.series["gmv_per_unit"].to_numpy())
    money = lines.units * price[:, None]
    product_money = np.zeros((len(names), money.shape[1]))
    np.add.at(product_money, product, np.nan_to_num(money))
    begun = np.zeros(product_money.shape, dtype=bool)
    np.logical_or.at(begun, product, np.isfinite(money))
    product_money[~begun] = np.nan
    words = describe(catalogue.set_index("product_id").loc[names].reset_index())
    return _Shop(
        lines,
        product,
        pd.Series(names),
        cell,
        category,
        price,
        _positive(categories.series["gmv_per_unit"].to_numpy()),
        money,
        product_money,
        words,
    )


def _positive(price: Floats) -> Floats:
    """Prices to weigh units by; what is given away weighs as the middle product does."""
    paid = price > 0
    result: Floats = np.where(paid, price, np.median(price[paid]) if paid.any() else 1.0)
    return result


def _by_product(shop: _Shop, values: Floats) -> Floats:
    result = np.zeros((len(shop.names), values.shape[1]))
    np.add.at(result, shop.product, values)
    return result


@dataclass(frozen=True)
class _Read:
    """What an origin says of each line's share of the season, in each of WAYS, and how kinds take to it."""

    course: Course
    ahead: Ahead
    ways: dict[str, Floats]
    index: Floats | None


def _read(shop: _Shop, course: Course, ahead: Ahead) -> _Read:
    """Shares by the product in all regions, split by region; by each line's own past; and drawn to the latter the more
    of its weeks a line sold in (a geometric mean).

    In a shop whose products sell somewhere every week regions differ for a reason, in one where they hardly sell they
    differ by chance.
    """
    origin = course.origin
    of_products = shares(shop.product_money, origin, ahead, shop.words, _groups(shop))
    past = shop.money[:, :origin]
    product = of_products.share[shop.product] * _split(shop, past)
    line = shares(shop.money, origin, ahead, shop.words[shop.product], shop.category).share
    selling = np.nan_to_num(past[:, -YEAR:]) > 0
    since = selling.shape[1] - np.argmax(selling, axis=1)
    weight = np.minimum(1.0, selling.sum(axis=1) / np.maximum(since, LEAST_WEEKS_ON_SALE) / STEADY)
    both = line**weight * product ** (1 - weight)
    return _Read(course, ahead, dict(zip(WAYS, (both, product, line), strict=True)), of_products.index)


def _best_way(shop: _Shop, reads: list[_Read]) -> str:
    """The way whose shares of the cells overlapped most with what then sold, over these past origins."""
    overlaps = dict.fromkeys(WAYS, 0.0)
    for read in reads:
        came = _in_cells(shop, sold(shop.money, read.course.origin, read.ahead))
        size = np.bincount(shop.cell, sold(shop.money, read.course.origin, read.ahead))[shop.cell]
        for way, share in read.ways.items():
            overlaps[way] += float((np.minimum(came, _in_cells(shop, share)) * size).sum() / max(size.sum(), 1e-9))
    return max(overlaps, key=lambda way: overlaps[way])


def _in_cells(shop: _Shop, values: Floats) -> Floats:
    sums = np.bincount(shop.cell, values)[shop.cell]
    result: Floats = np.divide(values, sums, out=np.zeros_like(values), where=sums > 0)
    return result


def _forecast(shop: _Shop, read: _Read, way: str) -> Floats:
    """Units of the season of each line known at the origin; others get none."""
    course, ahead = read.course, read.ahead
    past = shop.money[:, : course.origin]
    cells = len(course.units)
    flat = np.bincount(shop.cell, np.nan_to_num(past[:, -QUARTER:]).mean(axis=1), cells) * ahead.weeks
    wanted = course.units[:, : len(ahead.days)] @ ahead.weights * shop.cell_price
    wanted = np.where(np.isfinite(wanted), wanted, flat)
    units: Floats = _in_cells(shop, read.ways[way]) * wanted[shop.cell] / shop.price
    return units


def _split(shop: _Shop, past: Floats) -> Floats:
    """Part of its product's sales that each line takes: as in the last year, drawn to its region's usual part of the
    category, because a product sold twice in a region says little of that region."""
    year = np.nan_to_num(past[:, -YEAR:]).sum(axis=1)
    of_product = np.bincount(shop.product, year)
    prior = SHARE_PRIOR * float(np.median(of_product[of_product > 0])) if of_product.any() else 1.0
    usual = (np.bincount(shop.cell, year)[shop.cell] + 1e-9) / (np.bincount(shop.category, year)[shop.category] + 1e-9)
    part = (year + prior * usual) / (of_product[shop.product] + prior)
    result: Floats = np.where(np.isfinite(past).any(axis=1), part, 0.0)
    return result


def _tested(shop: _Shop, read: _Read, way: str) -> pd.DataFrame:
    origin, ahead = read.course.origin, read.ahead
    forecast = _forecast(shop, read, way)
    actual = sold(shop.lines.units, origin, ahead)
    past = np.nan_to_num(shop.money[:, :origin])
    before, weeks = year_before(shop.money, origin, ahead)
    rows = pd.DataFrame(
        {
            "series": np.arange(len(forecast)),
            "cutoff": origin,
            "known": np.isfinite(shop.money[:, :origin]).any(axis=1),
            "actual": actual,
            "forecast": forecast,
            "actual_gmv": actual * shop.price,
            "forecast_gmv": forecast * shop.price,
            "last_4_weeks": past[:, -4:].sum(axis=1),
            "last_13_weeks": past[:, -QUARTER:].sum(axis=1),
            "last_year": before if weeks else np.nan,
        }
    )
    told = (rows[["actual", "forecast", "last_13_weeks"]] > 0).any(axis=1)
    return rows[told].reset_index(drop=True)


def _with_spread(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows as `evaluate.calibrate` reads them: a line's errors are like those of lines of about its size."""
    ordered = rows.sort_values(["cutoff", "forecast"], ascending=[True, False])
    running = ordered.groupby("cutoff")["forecast"].cumsum()
    whole = ordered.groupby("cutoff")["forecast"].transform("sum")
    place = ((running - ordered["forecast"]) / whole.where(whole > 0)).reindex(rows.index).fillna(1.0)
    return rows.assign(
        segment=np.select([place < HEAD, place < MIDDLE], ["head", "middle"], "tail"),
        model="season",
        scale=np.maximum(rows["forecast"], LEAST_UNITS),
        weeks=1.0,
    )


def _coverage(known: pd.DataFrame, ahead: Ahead) -> float | None:
    """Of the last origin, by residuals of seasons half over by then, as far as there are any."""
    last = known["cutoff"] == known["cutoff"].max()
    before = known["cutoff"] + len(ahead.days) / 2 <= known["cutoff"].max()
    if not before.any():
        return None
    judged = _with_spread(known[last].reset_index(drop=True))
    quantiles = evaluate.calibrate(_with_spread(known[before].reset_index(drop=True))).quantiles(judged)
    return float(evaluate.covered(judged, quantiles).mean())


def _weeks(shop: _Shop, course: Course, ahead: Ahead, units: Floats, product_units: Floats) -> pd.DataFrame:
    """The season of each line by week: as its category's forecast runs, drawn to how the product ran a year before."""
    weights = ahead.weights
    usual = np.nan_to_num(course.units[:, : len(weights)]) * weights
    usual[usual.sum(axis=1) == 0] = weights
    usual /= usual.sum(axis=1, keepdims=True)
    curve = usual[shop.cell]
    first = course.origin - YEAR
    if first >= 0 and first + len(weights) <= course.origin:
        own = product_units[:, first : first + len(weights)] * weights
        curve = (own[shop.product] + CURVE_PRIOR * curve) / (own.sum(axis=1)[shop.product] + CURVE_PRIOR)[:, None]
    line, week = np.nonzero((units >= LEAST_UNITS)[:, None] & (weights > 0))
    return pd.DataFrame({"series": line, "ahead": week + 1, "units": (units[:, None] * curve)[line, week]})


def shared_errors(known: pd.DataFrame, cell: Ints) -> pd.DataFrame:
    """Standard deviations of log(sold / forecast) at past origins, level and sd: of the shop, of its cells beside that,
    of lines beside both; the latter two weighed by what they were to sell. Few origins make the first a rough figure.

    `known` has cutoff, series, actual_gmv and forecast_gmv; `cell` is each series' cell.
    """
    rows = known.assign(cell=cell[known["series"]])
    measures = ["actual_gmv", "forecast_gmv"]

    def log_ratio(sums: pd.DataFrame) -> pd.Series:
        both = sums[(sums[measures] > 0).all(axis=1)]
        ratio: pd.Series = np.log(both["actual_gmv"] / both["forecast_gmv"])  # type: ignore[assignment]
        return ratio

    shop = log_ratio(rows.groupby("cutoff")[measures].sum())
    cells = rows.groupby(["cutoff", "cell"])[measures].sum()
    of_cells = log_ratio(cells)
    of_cells = of_cells - shop.reindex(of_cells.index.get_level_values("cutoff")).to_numpy()
    of_lines = log_ratio(rows.set_index(["cutoff", "cell"])[measures])
    of_lines = of_lines - log_ratio(cells).reindex(of_lines.index).to_numpy()
    weight = {
        "cell": cells["forecast_gmv"].reindex(of_cells.index),
        "line": rows.set_index(["cutoff", "cell"]).loc[lambda r: (r[measures] > 0).all(axis=1), "forecast_gmv"],
    }
    return pd.DataFrame(
        {
            "level": ["shop", "cell", "line"],
            "sd": [
                float(np.sqrt((shop**2).mean())) if len(shop) else 0.0,
                *(
                    float(np.sqrt(np.average(found.to_numpy() ** 2, weights=weight[name].to_numpy())))
                    if len(found)
                    else 0.0
                    for name, found in (("cell", of_cells), ("line", of_lines))
                ),
            ],
        }
    )
