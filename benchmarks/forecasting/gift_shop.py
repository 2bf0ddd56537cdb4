"""A gift shop's Christmas: Online Retail II by the week (`python -m benchmarks forecasting.gift_shop`).

13 weeks ahead from five Sundays. Before the first of them the shop had not told of any autumn, so nobody can know what
comes; before the second it had told of one year, and Christmas lies ahead. The weekly engine chooses its models by its
own back-test before each. All products of the source are of one category.
"""

import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd

from benchmarks.forecasting.shops import DATA, published
from coldframe.seasons import Week
from ml.forecasting import data, models
from ml.forecasting.data import TRAILING, Level, Panel
from ml.forecasting.learn import Plan, learn

AS_OF = "2011-08-31"
SUNDAYS = ("2010-09-26", "2010-12-05", "2011-01-30", "2011-03-27", "2011-05-29")
HORIZON = 13
DRAWN = 500

Peer = Callable[[int], tuple[np.ndarray, np.ndarray]]
"""Weeks known -> units [product, week ahead] and of the whole shop [week ahead]."""


def everywhere(panel: Panel) -> Panel:
    """Products, or categories, summed over all regions."""
    codes, names = pd.factorize(panel.series["product_id" if panel.level == "product_region" else "category"])
    units = pd.DataFrame(panel.units).groupby(codes).sum(min_count=1).to_numpy()
    series = pd.DataFrame({"product_id": names, "category": "gifts", "region": "*", "gmv": 0.0, "gmv_per_unit": 0.0})
    return replace(panel, series=series, units=units)


def alone(model: str, products: Panel, shop: Panel) -> Peer:
    """One model of each product and of the whole shop."""

    def forecast(weeks: int) -> tuple[np.ndarray, np.ndarray]:
        of_products, of_shop = (
            models.run(panel.until(weeks), {model: np.arange(len(panel.units))}, HORIZON, models.LOCAL)[model].units
            for panel in (products, shop)
        )
        return of_products, of_shop[0]

    return forecast


def coldframe(panels: dict[Level, Panel], products: Panel) -> Peer:
    """What the weekly engine serves, summed over regions."""

    def forecast(weeks: int) -> tuple[np.ndarray, np.ndarray]:
        known = {level: panel.until(weeks) for level, panel in panels.items()}
        season = tuple(Week(week.date(), 7) for week in known["product_region"].ahead(HORIZON))
        learned = learn(known, Plan(horizon=HORIZON, season="the weeks ahead", season_weeks=season))
        rows = (
            learned.tables["forecasts"].to_pandas().groupby(["level", "product_id", "horizon"], dropna=False)["units"]
        )
        sums = rows.sum().unstack("horizon")
        of_products = sums.loc["product_region"].reindex(products.series["product_id"]).fillna(0.0)
        return of_products.to_numpy(), sums.loc["category_region"].to_numpy()[0]

    return forecast


def main() -> None:
    warnings.filterwarnings("ignore")
    with tempfile.TemporaryDirectory() as home:
        panels = data.load(published(home, "online_retail_ii", AS_OF, DATA / "online_retail_ii"))
    products, shop = everywhere(panels["product_region"]), everywhere(panels["category_region"])
    said: dict[str, list[tuple[float, ...]]] = {}
    for sunday in SUNDAYS:
        weeks = int((shop.weeks <= sunday).sum())
        selling = np.flatnonzero(np.nansum(products.units[:, weeks - TRAILING : weeks], axis=1) > 0)
        drawn = np.sort(np.random.default_rng(1).permutation(selling)[:DRAWN])
        few = replace(products, series=products.series.iloc[drawn], units=products.units[drawn])
        came, of_shop = (np.nan_to_num(panel.units[:, weeks : weeks + HORIZON]) for panel in (few, shop))
        peers = {
            "seasonal naive": alone("snaive", few, shop),
            "Prophet": alone("prophet", few, shop),
            "**Coldframe**": coldframe(panels, few),
        }
        for name, peer in peers.items():
            print(f"{sunday} {name} …", file=sys.stderr, flush=True)
            began = time.perf_counter()
            ahead, total = peer(weeks)
            seconds = time.perf_counter() - began
            measures = (*_off(total, of_shop[0]), *_off(ahead.sum(axis=1), came.sum(axis=1)), seconds)
            said.setdefault(name, []).append(measures)
    report(said)


def _off(said: np.ndarray, came: np.ndarray) -> tuple[float, float]:
    """WAPE and bias."""
    return float(np.abs(said - came).sum() / came.sum()), float(said.sum() / came.sum() - 1)


def report(said: dict[str, list[tuple[float, ...]]]) -> None:
    print(
        f"Units, {HORIZON} weeks ahead, by the last Sunday known. The shop is measured by the week, products by their "
        f"sums over the {HORIZON} weeks: {DRAWN} by lot of those that sold in the quarter before.\n"
    )
    for number, what in ((0, "The shop"), (2, "Products")):
        print(f"{what}, WAPE (bias):\n")
        print(f"| | {' | '.join(SUNDAYS)} | mean WAPE | mean bias | |\n|---|{'---:|' * (len(SUNDAYS) + 3)}")
        ours = np.mean([found[number] for found in said["**Coldframe**"]])
        for name, found in said.items():
            cells = " | ".join(f"{row[number]:.3f} ({row[number + 1]:+.0%})" for row in found)
            wape, bias = np.mean([row[number : number + 2] for row in found], axis=0)
            less = "" if name == "**Coldframe**" else f"we are {1 - ours / wape:.0%} below"
            print(f"| {name} | {cells} | {wape:.3f} | {bias:+.1%} | {less} |")
        print()
    took = "; ".join(f"{name} {np.median([row[-1] for row in found]):.0f} s" for name, found in said.items())
    print(f"Median of a forecast: {took}. Ours is of all products in all regions, its back-test included.")


if __name__ == "__main__":
    main()
