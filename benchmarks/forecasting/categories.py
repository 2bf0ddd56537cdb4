"""The 250 categories of Complete Journey that sell most, by the day (`python -m benchmarks forecasting.categories`).

28 days ahead from five days of 2017, the last of which forecasts Christmas without ever having seen one. What the
product forecasts of a category's products adds up to what is measured here: products share their nodes' totals.
LightGBM is no dependency; it takes part where it is installed.
"""

import importlib.util
import sys
import tempfile
import time
import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd

from benchmarks.forecasting.shops import published
from ml.forecasting import models
from ml.forecasting.daily import engine, panel
from ml.forecasting.daily.methods import DEFAULT, METHODS
from ml.forecasting.daily.nodes import Nodes
from ml.forecasting.daily.panel import DailyPanel
from ml.forecasting.daily.views import AdditiveView, NodeHistory
from ml.forecasting.models.classical import WindowMean

AS_OF = "2017-12-31"
CUTOFFS = ("2017-08-06", "2017-09-03", "2017-10-01", "2017-10-29", "2017-12-02")
HORIZON = 28
CATEGORIES = 250

Peer = Callable[[NodeHistory, np.ndarray], np.ndarray]


def local(model: models.Model) -> Peer:
    return lambda history, rows: model.fit(history, rows).predict(HORIZON)


def recursive(make: Callable[[], object]) -> Peer:
    """A global booster that feeds its own forecasts back, as mlforecast's users have it."""

    def forecast(history: NodeHistory, rows: np.ndarray) -> np.ndarray:
        from mlforecast import MLForecast
        from mlforecast.lag_transforms import RollingMean
        from threadpoolctl import threadpool_limits

        units = history.units[rows]
        frame = pd.DataFrame(
            {
                "unique_id": np.repeat(np.arange(len(rows)), len(history.days)),
                "ds": np.tile(history.days, len(rows)),
                "y": units.ravel(),
            }
        )
        rolling = {1: [RollingMean(7), RollingMean(28)], 7: [RollingMean(7), RollingMean(28)]}
        booster = MLForecast(
            models={"booster": make()},
            freq="D",
            lags=[1, 2, 3, 7, 14, 21, 28],
            lag_transforms=rolling,
            date_features=["dayofweek", "day", "month"],
        )
        with threadpool_limits(1):
            booster.fit(frame, static_features=[])
            said = booster.predict(HORIZON)
        return np.maximum(said.sort_values(["unique_id", "ds"])["booster"].to_numpy().reshape(len(rows), HORIZON), 0)

    return forecast


def hist_boosting() -> object:
    from sklearn.ensemble import HistGradientBoostingRegressor

    return HistGradientBoostingRegressor(
        loss="poisson", max_iter=300, learning_rate=0.05, max_leaf_nodes=31, min_samples_leaf=50, random_state=1
    )


def lightgbm() -> object:
    import lightgbm

    return lightgbm.LGBMRegressor(
        objective="tweedie",
        n_estimators=400,
        learning_rate=0.05,
        num_leaves=31,
        min_child_samples=50,
        subsample=0.8,
        subsample_freq=1,
        n_jobs=1,
        verbose=-1,
        random_state=1,
    )


def peers() -> dict[str, Peer]:
    found = {
        "seasonal naive": local(models.LOCAL["snaive"]),
        "mean of 28 days": local(WindowMean(28)),
        "AutoETS (statsforecast)": local(models.LOCAL["ets"]),
        "Theta (statsforecast)": local(models.LOCAL["theta"]),
        "Prophet": local(models.LOCAL["prophet"]),
        "trees, recursive (scikit-learn, mlforecast)": recursive(hist_boosting),
        "additive ridge alone": local(AdditiveView()),
    }
    if importlib.util.find_spec("lightgbm"):
        found["LightGBM, recursive (mlforecast)"] = recursive(lightgbm)
    return found


def coldframe(shop: DailyPanel) -> np.ndarray:
    """[category, day ahead] as the product has it."""
    seen = engine.look_at_nodes(shop, HORIZON)
    return METHODS[DEFAULT].totals(seen, None)


def main() -> None:
    warnings.filterwarnings("ignore")
    said: dict[str, list[tuple[float, float, float]]] = {}
    with tempfile.TemporaryDirectory() as home:
        shop = panel.load(published(home, "complete_journey", AS_OF))
    nodes = Nodes(shop.hierarchy)
    assert nodes.joint == "category"
    cutoffs = [int(shop.days.get_loc(day)) + 1 for day in CUTOFFS]
    value = nodes.units(np.nan_to_num(shop.units[:, : cutoffs[0]]).sum(axis=1) * shop.value)
    of_level = np.flatnonzero(nodes.rows("category"))
    rows = np.sort(of_level[np.argsort(-value[of_level], kind="stable")[:CATEGORIES]])
    units = nodes.units(shop.units)[rows]
    for cutoff in cutoffs:
        known = shop.until(cutoff)
        history = NodeHistory.of(known, nodes)
        came = units[:, cutoff : cutoff + HORIZON]
        ours = {"**Coldframe**": lambda known=known: coldframe(known)[rows - of_level[0]]}
        calls = {name: lambda p=peer, h=history: p(h, rows) for name, peer in peers().items()} | ours
        for name, call in calls.items():
            print(f"{shop.days[cutoff - 1]:%Y-%m-%d} {name} …", file=sys.stderr, flush=True)
            began = time.perf_counter()
            ahead = call()
            seconds = time.perf_counter() - began
            error = ahead - came
            measures = (np.abs(error).sum() / came.sum(), error.sum() / came.sum(), seconds)
            said.setdefault(name, []).append(measures)
    report(said)


def report(said: dict[str, list[tuple[float, float, float]]]) -> None:
    print(
        f"Units a day of {CATEGORIES} categories, {HORIZON} days ahead; WAPE by last known day, lower is better. "
        "`s` is the median of a forecast of all of them.\n"
    )
    print(f"| | {' | '.join(CUTOFFS)} | mean | bias, mean | bias, worst | s |\n|---|{'---:|' * (len(CUTOFFS) + 4)}")
    for name, found in sorted(said.items(), key=lambda item: -np.mean([wape for wape, *_ in item[1]])):
        wape, bias, seconds = np.array(found).T
        cells = " | ".join(f"{value:.3f}" for value in (*wape, wape.mean()))
        worst = bias[np.abs(bias).argmax()]
        print(f"| {name} | {cells} | {bias.mean():+.1%} | {worst:+.1%} | {np.median(seconds):.1f} |")


if __name__ == "__main__":
    main()
