"""How many series a second are fitted and forecast (`python -m benchmarks forecasting.speed`).

Complete Journey, 28 days or 13 weeks ahead, beside a loop of Prophet over 200 of the same series, drawn by lot:
categories by region and what they sum up to, products by day, and products by week. Nobody has more than two processes,
and each of them computes with one thread. Runs are interleaved, and the median of each counts.
"""

import sys
import tempfile
import time
from collections.abc import Callable

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.forecasting.shops import published
from ml.forecasting import data, models
from ml.forecasting.daily import engine, panel
from ml.forecasting.daily.nodes import Nodes
from ml.forecasting.daily.panel import DailyPanel
from ml.forecasting.daily.views import AdditiveView, NodeHistory
from ml.forecasting.data import TRAILING, Panel

AS_OF = "2017-12-02"
HORIZON = 28
RUNS = 3
DRAWN = 200


def runs(shop: DailyPanel, weekly: Panel) -> dict[tuple[str, str], tuple[int, Callable[[], object]]]:
    """How many series are forecast, and the call, by what they are and who does it."""
    nodes = Nodes(shop.hierarchy, most=2_500)
    of_nodes = NodeHistory.of(shop, nodes)
    modelled = np.flatnonzero(engine.routes(shop) == "trees")
    drawn = _drawn(modelled)
    places = [[region] for region in shop.hierarchy.keys["region"].iloc[drawn]]
    of_products = NodeHistory(shop.units[drawn].astype(float), shop.days, places, shop.events)
    selling = np.flatnonzero(np.nansum(weekly.units[:, -TRAILING:], axis=1) > 0)
    prophet = models.LOCAL["prophet"]

    def fit(
        model: models.Model, history: NodeHistory | Panel, rows: np.ndarray | None = None, horizon: int = HORIZON
    ) -> tuple[int, Callable[[], object]]:
        wanted = np.arange(len(history.units)) if rows is None else rows
        return len(wanted), lambda: model.fit(history, wanted).predict(horizon)

    return {
        ("categories", "Prophet"): fit(prophet, of_nodes, _drawn(np.arange(len(of_nodes.units)))),
        ("categories", "additive ridge"): fit(AdditiveView(), of_nodes),
        ("products", "Prophet"): fit(prophet, of_products),
        ("products", "the daily forecast"): (len(modelled), lambda: engine.forecast(shop, HORIZON)),
        ("products' weeks", "Prophet"): fit(prophet, weekly, _drawn(selling), 13),
        ("products' weeks", "global trees"): fit(models.MODELS["hgb"], weekly, selling, 13),
    }


def _drawn(series: np.ndarray) -> np.ndarray:
    return np.sort(np.random.default_rng(1).permutation(series)[:DRAWN])


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        snapshot = published(home, "complete_journey", AS_OF)
        shop, weekly = panel.load(snapshot), data.load(snapshot)["product_region"]
    calls = runs(shop, weekly)
    seconds: dict[tuple[str, str], list[float]] = {name: [] for name in calls}
    for _ in range(RUNS):
        for name, (_, call) in calls.items():
            print(" ".join(name), "…", file=sys.stderr, flush=True)
            with threadpool_limits(1):
                began = time.perf_counter()
                call()
                seconds[name].append(time.perf_counter() - began)
    rates = {name: count / np.median(seconds[name]) for name, (count, _) in calls.items()}
    print(
        f"{len(shop.days)} days of history, {HORIZON} days ahead, median of {RUNS} interleaved runs. The daily "
        "forecast is all of it: the nodes' two views, trees of the products, reconciliation; only products that are "
        f"modelled by themselves count. Prophet gets {DRAWN} of each by lot.\n"
    )
    print("| of | by | series | s | series a second | times Prophet |\n|---|---|---:|---:|---:|---:|")
    for (what, name), (count, _) in calls.items():
        took, rate = np.median(seconds[what, name]), rates[what, name]
        times = rate / rates[what, "Prophet"]
        print(f"| {what} | {name} | {count:,} | {took:,.2f} | {rate:,.1f} | {times:,.0f} |")


if __name__ == "__main__":
    main()
