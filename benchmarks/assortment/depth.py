"""Does depth earn what it could, and is as much served as was promised? (`python -m benchmarks assortment.depth`)

Whole seasons of M5 and of the simulated marketplace, whose truth says what was wanted, not only what was sold. A simple
forecaster serves both, so that it is depth that is judged: the last 13 weeks' pace, times what the same weeks of the
year before did to the group's pace, with quantiles of its own errors one season earlier, by size of the forecast.

The oracle knows how demand then lay around the forecasts of each group and size, but not each product's own: no other
depth in proportion to the forecast earns more. Foresight knows every product's demand.
"""

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from benchmarks.forecasting.shops import DATA
from marketplace import truth
from marketplace.delivery import found_deliveries
from marketplace.parameters import compose
from ml.assortment.depth import Units, hold, units_of
from ml.assortment.scenarios import KNOWN, Demand, Floats

PACE = 13
"""Weeks whose mean is the pace."""
YEAR = 52
SALVAGE = 0.5
COSTS = (0.6, 0.3)
"""Unit cost as a share of the price, where the source tells none."""
BUDGET = 0.7
"""Of what the stock would cost without one."""
SIZES = 10


@dataclass(frozen=True)
class Shop:
    """`wanted` and `sold` are weekly units, [product in a place, week]; `cost` [n] is nan where unknown."""

    name: str
    wanted: Floats
    sold: Floats
    price: Floats
    cost: Floats
    group: np.ndarray
    seasons: tuple[tuple[int, int], ...]


def m5() -> Shop:
    """Item x store by week; groups are store x department. Four as-ofs for 13 and 26 weeks ahead."""
    folder = DATA / "m5"
    if not folder.is_dir():
        raise SystemExit(f"m5 is not here: there is no {folder}.")
    sales = duckdb.sql(f"from '{folder}/sales_train_d1_d1913.parquet' order by id").df()
    prices = duckdb.sql(
        f"""
        select store_id, item_id, arg_max(sell_price, wm_yr_wk) as price
        from '{folder}/sell_prices.parquet' group by all
        """
    ).df()
    days = sales.filter(regex=r"^d_\d+$").to_numpy(dtype=float)
    days = days[:, days.shape[1] % 7 :]
    weeks = days.reshape(len(days), -1, 7).sum(axis=2)
    price = sales[["store_id", "item_id"]].merge(prices, how="left")["price"].to_numpy(dtype=float)
    last = weeks.shape[1]
    seasons = tuple((last - back - ahead, ahead) for ahead in (13, 26) for back in (0, 13, 26, 39))
    group = (sales["store_id"] + " " + sales["dept_id"]).to_numpy()
    return Shop("M5", weeks, weeks, price, np.full(len(weeks), np.nan), group, seasons)


def marketplace(root: Path) -> Shop:
    """Product x region by week of the demo; groups are regions. Wanted is what was sold and what was lost. Five as-ofs,
    whose seasons overlap."""
    made = found_deliveries(root / "bazaar", compose("demo"))
    made.generate(made.first_day, made.last_day)
    lines = duckdb.sql(
        f"""
        select product_id, region, ordered_at::date as date, quantity as units from (
            select distinct on (order_id, line_number) * from '{made.folder}/order_lines/[0-9]*.parquet'
        ) where status <> 'cancelled'
        """
    ).df()
    lost = truth.read(made.folder, "lost_demand")
    columns = "product_id, list_price::double as price, unit_cost::double as cost"
    products = duckdb.sql(f"select {columns} from '{made.folder}/products.parquet'").df()
    keys = lines[["product_id", "region"]].drop_duplicates().sort_values(["product_id", "region"], ignore_index=True)
    sold, missed = (_weekly(frame, keys, pd.Timestamp(made.first_day)) for frame in (lines, lost))
    of = keys.merge(products, on="product_id", how="left")
    wanted = sold + np.pad(missed, ((0, 0), (0, max(0, sold.shape[1] - missed.shape[1]))))[:, : sold.shape[1]]
    last = sold.shape[1]
    seasons = tuple((last - back, 13) for back in (13, 16, 19, 22, 26))
    return Shop(
        "marketplace", wanted, sold, of["price"].to_numpy(), of["cost"].to_numpy(), keys["region"].to_numpy(), seasons
    )


def _weekly(rows: pd.DataFrame, keys: pd.DataFrame, first: pd.Timestamp) -> Floats:
    """Units by whole week, [key, week]."""
    rows = rows.merge(keys.reset_index(names="row"))
    week = ((pd.to_datetime(rows["date"]) - first).dt.days // 7).to_numpy()
    found = np.zeros((len(keys), week.max() + 1))
    np.add.at(found, (rows["row"].to_numpy(), week), rows["units"].to_numpy(dtype=float))
    return found[:, :-1]


def expected(shop: Shop, as_of: int, ahead: int) -> Floats:
    """Units of the season that begins with week `as_of`, [n], from the weeks before it."""
    pace = shop.sold[:, as_of - PACE : as_of].mean(axis=1) * ahead
    year_ago = as_of - YEAR
    if year_ago < PACE:
        return pace
    by_group = pd.DataFrame(
        {
            "group": shop.group,
            "then": shop.sold[:, year_ago : year_ago + ahead].mean(axis=1),
            "before": shop.sold[:, year_ago - PACE : year_ago].mean(axis=1),
        }
    )
    sums = by_group.groupby("group")[["then", "before"]].transform("sum")
    return pace * (sums["then"] / sums["before"].clip(lower=1e-9)).clip(0.2, 5).to_numpy()


def sizes(forecast: Floats, edges: Floats) -> np.ndarray:
    return np.searchsorted(edges, forecast)


def seasons(shop: Shop) -> Iterator[tuple[np.ndarray, Floats, Demand, np.ndarray]]:
    """Of each season: which products, their forecast, its distribution, and their sizes."""
    for as_of, ahead in shop.seasons:
        earlier = expected(shop, as_of - ahead, ahead)
        now = expected(shop, as_of, ahead)
        some = np.flatnonzero((now >= 1) & np.isfinite(shop.price))
        edges = np.quantile(now[some], np.linspace(0, 1, SIZES + 1)[1:-1])
        came = shop.sold[:, as_of - ahead : as_of].sum(axis=1)
        size, then = sizes(now[some], edges), sizes(earlier, edges)
        means, quantiles = np.zeros(len(some)), np.zeros((len(some), len(KNOWN)))
        for s in range(SIZES):
            known = (then == s) & (earlier >= 1)
            ratio = came[known] / earlier[known]
            of = size == s
            means[of] = now[some][of] * ratio.mean()
            quantiles[of] = now[some][of, None] * np.quantile(ratio, KNOWN)
        yield some, shop.wanted[some, as_of : as_of + ahead].sum(axis=1), Demand.of(means, quantiles), size


def profit(depth: Floats, demand: Floats, units: Units, price: Floats) -> float:
    sold = np.minimum(depth, demand)
    cost = units.stock
    return float((price * sold - cost * depth + SALVAGE * cost * (depth - sold)).sum())


def oracle(forecast: Floats, demand: Floats, units: Units, price: Floats, cells: np.ndarray) -> Floats:
    """The depth in proportion to the forecast that earns most of the products of each cell, in hindsight."""
    depth = np.zeros(len(forecast))
    for cell in np.unique(cells):
        of = np.flatnonzero(cells == cell)
        ratio = demand[of] / forecast[of]
        part = Units(units.under[of], units.over[of], units.stock[of])
        tried = np.unique(np.quantile(ratio, np.linspace(0.02, 0.98, 49)))
        best = max(tried, key=lambda k: profit(k * forecast[of], demand[of], part, price[of]))
        depth[of] = best * forecast[of]
    return depth


def judge(shop: Shop, share: float | None) -> None:
    told = []
    for some, came, demand, size in seasons(shop):
        price = shop.price[some]
        cost = shop.cost[some] if share is None else share * price
        units = units_of(price, cost, SALVAGE, 0.8, 1.0)
        mean = np.maximum(demand.mean, 1e-9)
        free = hold(demand, units)
        budget = BUDGET * float(free.units @ units.stock)
        tight = hold(demand, units, budget)
        groups = np.char.add(np.char.add(shop.group[some].astype(str), " "), size.astype(str))
        depths = {
            "held": free.units,
            "mean": np.maximum(1, np.round(mean)),
            "80 %": np.maximum(1, np.ceil(demand.at(np.full(len(mean), 0.8)))),
            "oracle": oracle(mean, came, units, price, groups),
            "foresight": came,
            "tight": tight.units,
            "cut alike": free.units * BUDGET,
        }
        earned = {name: profit(depth, came, units, price) for name, depth in depths.items()}
        promised = float(free.fill @ mean) / mean.sum()
        served = float(np.minimum(free.units, came).sum() / came.sum())
        told.append(
            {name: earned[name] / earned["oracle"] for name in ("held", "mean", "80 %")}
            | {"of foresight": earned["held"] / earned["foresight"]}
            | {"budget": earned["tight"] / earned["cut alike"] - 1, "promised": promised, "served": served}
        )
    mean = pd.DataFrame(told).mean()
    off = pd.DataFrame(told).eval("served - promised")
    named = "its own" if share is None else f"{share:.0%} of the price"
    print(
        f"| {shop.name} | {named} | {len(told)} | **{mean['held']:.1%}** | {mean['mean']:.1%} | {mean['80 %']:.1%} | "
        f"{mean['of foresight']:.1%} | {mean['budget']:+.1%} | {mean['promised']:.1%} | {mean['served']:.1%} | "
        f"{off.min():+.1%} to {off.max():+.1%} |",
        flush=True,
    )


def main() -> None:
    print(
        f"Profit of a season's stock; what is left brings {SALVAGE:.0%} of its cost. Shares of the oracle's profit, "
        f"means of seasons. Under a budget of {BUDGET:.0%} of the money, profit is beside cutting every line alike. "
        "The fill rate is of units.\n"
    )
    print(
        "| shop | unit cost | seasons | newsvendor | the mean | 80 % quantile | newsvendor, of foresight | under a "
        "budget | fill rate promised | came | by season |\n|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
    )
    with tempfile.TemporaryDirectory() as root:
        print("marketplace …", file=sys.stderr, flush=True)
        judge(marketplace(Path(root)), None)
    print("m5 …", file=sys.stderr, flush=True)
    shop = m5()
    for share in COSTS:
        judge(shop, share)


if __name__ == "__main__":
    main()
