"""How good the daily forecast is on M5 over all its levels (`python -m benchmarks forecasting.m5`).

M5 is landed and published as of its last day, and forecast 28 days ahead from three earlier ones by the product's own
engine. The measure is the competition's WRMSSE. `python -m benchmarks.forecasting.m5 --ets [1885 …]` adds AutoETS of
each of the 30,490 series, half an hour of processor a day it is made on.
"""

import resource
import sys
import tempfile
import time

import numpy as np

from benchmarks.forecasting.shops import DATA, published
from ml.forecasting.daily import engine, evaluate, panel
from ml.forecasting.daily.panel import DailyPanel

AS_OF = "2016-04-24"
CUTOFFS = (1829, 1857, 1885)
HORIZON = 28


def weekday_mean(history: DailyPanel, horizon: int) -> np.ndarray:
    """Mean of the same weekday in the last four weeks."""
    weeks = np.nan_to_num(history.units[:, -28:]).reshape(len(history.units), 4, 7).mean(axis=1)
    return np.tile(weeks, -(-horizon // 7))[:, :horizon]


def ets_bottom_up(history: DailyPanel, horizon: int) -> np.ndarray:
    """AutoETS (statsforecast) of each series over its last year, summed up: a season of seven days needs no more."""
    import pandas as pd
    from statsforecast import StatsForecast
    from statsforecast.models import AutoETS

    days = history.days[-365:]
    units = np.nan_to_num(history.units[:, -365:])
    frame = pd.DataFrame(
        {"unique_id": np.repeat(np.arange(len(units)), len(days)), "ds": np.tile(days, len(units)), "y": units.ravel()}
    )
    models = StatsForecast(models=[AutoETS(season_length=7)], freq="D", n_jobs=2)
    return models.forecast(df=frame, h=horizon)["AutoETS"].to_numpy().reshape(len(units), horizon)


def main(arguments: list[str]) -> None:
    cutoffs = [int(word) for word in arguments if word.isdigit()] or CUTOFFS
    peers = {"seasonal naive": engine.seasonal_naive, "weekday mean of 4 weeks": weekday_mean}
    if "--ets" in arguments:
        peers["AutoETS, bottom-up"] = ets_bottom_up
    peers["**Coldframe**"] = lambda history, horizon: engine.forecast(history, horizon).units
    scores: dict[str, list[float]] = {name: [] for name in peers}
    seconds: dict[str, list[float]] = {name: [] for name in peers}
    levels: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as home:
        shop = panel.load(published(home, "m5", AS_OF, DATA / "m5"))
        for cutoff in cutoffs:
            history = shop.until(cutoff)
            for name, peer in peers.items():
                print(f"{cutoff} {name} …", file=sys.stderr, flush=True)
                began = time.perf_counter()
                ahead = peer(history, HORIZON)
                seconds[name].append(time.perf_counter() - began)
                table = evaluate.accuracy(shop, cutoff, {name: ahead})
                scores[name].append(float(table["rmsse"].mean()))
                for row in table.itertuples():
                    levels.setdefault((name, row.level), []).append(row.rmsse)
        names = list(shop.hierarchy.levels)
    print(f"WRMSSE of {len(shop.units):,} series, {HORIZON} days ahead, over {len(names)} levels; lower is better.\n")
    print(f"| | {' | '.join(f'd_{cutoff}' for cutoff in cutoffs)} | mean | s, median |")
    print(f"|---|{'---:|' * (len(cutoffs) + 2)}")
    for name, found in scores.items():
        cells = " | ".join(f"{score:.3f}" for score in (*found, np.mean(found)))
        print(f"| {name} | {cells} | {np.median(seconds[name]):.0f} |")
    print(f"\nBy level, mean of these days:\n\n| | {' | '.join(names)} |\n|---|{'---:|' * len(names)}")
    for name in peers:
        cells = " | ".join(f"{np.mean(levels[name, level]):.3f}" for level in names)
        print(f"| {name} | {cells} |")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"\nPeak memory of all of it: {peak:.1f} GB.")


if __name__ == "__main__":
    main(sys.argv[1:])
