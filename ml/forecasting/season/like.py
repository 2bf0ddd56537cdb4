"""What products that do not sell yet will sell in a season: as those launched before them did, most like the likest.

A plan that knows only what has sold ranges last year's shop; one that takes every launch for the mean launch ranges
flops. What is told here rests on words alone, and its intervals are as wide as launches have been from one another.
"""

import numpy as np
import pandas as pd
from sklearn.linear_model import Ridge

from ml.forecasting.conformal import finite_sample_quantiles
from ml.forecasting.data import Floats, Panel
from ml.forecasting.season.signals import QUARTER, Ahead
from ml.forecasting.season.words import describe

QUANTILES = (0.1, 0.5, 0.8, 0.9)
LEAST_LAUNCHES = 20
"""Launches with a quarter behind them below which nothing is said of the next one."""
NOT_A_LAUNCH = 8
"""Weeks after the shop's first in which a product's first sale is no launch: it was there before."""
RECENT_DAYS = 28
"""A product launched longer ago that has not sold by then is no launch to come."""
LONGEST = 53
SHRINKAGE = 10.0
COLUMNS = ("product_id", "category", "region", "units", "q10", "q50", "q80", "q90", "gmv_per_unit")


def like_items(lines: Panel, categories: Panel, catalogue: pd.DataFrame, ahead: Ahead) -> pd.DataFrame:
    """One row a product to come and region, COLUMNS; none where the shop saw fewer than twenty launches.

    `catalogue` has product_id, title, category, subcategory, brand, list_price and launched_on. To come is what never
    sold and was launched within four weeks or will be before the season ends. A launch's level (units a week of its
    first quarter, all regions) is a ridge on words, its course by age the mean of past launches; regions take what they
    take of the category, and a unit brings its list price, or what one of its category brings there.
    """
    nothing = pd.DataFrame({name: pd.Series(dtype=float if name not in COLUMNS[:3] else object) for name in COLUMNS})
    to_come = _to_come(lines, catalogue, ahead)
    product, names = pd.factorize(lines.series["product_id"], sort=True)
    units = np.zeros((len(names), len(lines.weeks)))
    np.add.at(units, product, np.nan_to_num(lines.units))
    first = np.argmax(units > 0, axis=1)
    last = len(lines.weeks) - QUARTER
    launched = np.flatnonzero((units > 0).any(axis=1) & (first >= NOT_A_LAUNCH) & (first <= last))
    if to_come.empty or len(launched) < LEAST_LAUNCHES:
        return nothing
    ages = _by_age(units[launched], first[launched])
    level = np.nanmean(ages[:, :QUARTER], axis=1)
    known = catalogue.set_index("product_id")
    words = describe(known.loc[[*names[launched], *to_come["product_id"]]].reset_index())
    if not words.shape[1]:
        return nothing
    ridge = Ridge(alpha=SHRINKAGE).fit(words[: len(launched)], np.log1p(level))
    told = np.maximum(np.expm1(ridge.predict(words)), 0.0)
    # A logarithm's mean is below the mean: all launches together are given what they sold together.
    told *= level.sum() / max(told[: len(launched)].sum(), 1e-9)
    ratios = finite_sample_quantiles((level + 0.5) / (told[: len(launched)] + 0.5), QUANTILES)
    season = told[len(launched) :] * _season_of_age(ages, level, to_come["starts"].to_numpy(), ahead)
    return _split(to_come.assign(units=season), ratios, categories)


def _to_come(lines: Panel, catalogue: pd.DataFrame, ahead: Ahead) -> pd.DataFrame:
    """Products to come, with the week ahead each `starts` in (0: the first)."""
    sold = set(lines.series["product_id"])
    known_until = lines.weeks[-1] + pd.Timedelta(days=6)
    launched = pd.to_datetime(catalogue["launched_on"])
    starts = ((launched - known_until).dt.days - 1).clip(lower=0) // 7
    recent = launched > known_until - pd.Timedelta(days=RECENT_DAYS)
    kept = ~catalogue["product_id"].isin(sold) & recent & (starts < len(ahead.days))
    found = catalogue.assign(starts=starts)[kept].sort_values("product_id", ignore_index=True)
    return found.astype({"starts": int})


def _by_age(units: Floats, first: np.ndarray) -> Floats:
    """[launch, week since its first sale]; NaN for what is not known yet."""
    result = np.full((len(units), min(LONGEST, units.shape[1])), np.nan)
    for row, (sold, begins) in enumerate(zip(units, first, strict=True)):
        seen = sold[begins : begins + result.shape[1]]
        result[row, : len(seen)] = seen
    return result


def _season_of_age(ages: Floats, level: Floats, starts: np.ndarray, ahead: Ahead) -> Floats:
    """Times its level that a launch of each week `starts` sells in the season."""
    known = np.isfinite(ages)
    enough = known.sum(axis=0) >= LEAST_LAUNCHES
    sums = np.where(known, level[:, None], 0.0).sum(axis=0)
    curve = np.divide(np.nansum(ages, axis=0), sums, out=np.zeros(ages.shape[1]), where=sums > 0)[enough]
    weeks = np.arange(len(ahead.days))[None, :] - starts[:, None]
    # Past the oldest launch a product goes on as the oldest do.
    result: Floats = np.where(weeks >= 0, curve[np.clip(weeks, 0, len(curve) - 1)], 0.0) @ ahead.weights
    return result


def _split(to_come: pd.DataFrame, ratios: Floats, categories: Panel) -> pd.DataFrame:
    cells = categories.series[["category", "region", "gmv_per_unit"]].assign(
        sold=np.nan_to_num(categories.units[:, -2 * QUARTER :]).sum(axis=1)
    )
    cells = cells[cells["sold"] > 0]
    cells["part"] = cells["sold"] / cells.groupby("category")["sold"].transform("sum")
    rows = to_come.merge(cells, on="category")
    rows["units"] *= rows["part"]
    for name, ratio in zip(("q10", "q50", "q80", "q90"), ratios, strict=True):
        rows[name] = np.rint(rows["units"] * ratio)
    rows["gmv_per_unit"] = pd.to_numeric(rows["list_price"]).fillna(rows["gmv_per_unit"])
    return rows[list(COLUMNS)]
