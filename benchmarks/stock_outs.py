"""Does a forecast that knows of stock-outs come nearer to what was wanted? (`python -m benchmarks stock_outs`)

The simulated marketplace alone tells what was wanted: what was sold, and what was lost because nothing was left. One
that is short of stock is landed and published, and forecast 28 days ahead from three days by the product's own engine
twice: as it is, and as a model that takes sales for demand. Both are held against what was wanted.
"""

import sys
import tempfile
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.forecasting.shops import published
from marketplace import truth
from marketplace.delivery import found_deliveries
from marketplace.parameters import Parameters
from ml.forecasting.daily import engine, panel
from ml.forecasting.daily.panel import DailyPanel

AS_OF = date(2025, 9, 30)
HORIZON = 28
ORIGINS = 3
HALF_A_DEMO = {"products": 550, "products_a_month": 23, "merchants": 75, "merchants_a_month": 2}
HALF_A_DEMO |= {"customers": 12_000, "customers_a_month": 950, "creators": 30, "creators_a_month": 1}
COVER = 0.75
"""Weeks of demand a merchant aims at on Mondays. The demo's aim at 1.05 and lose half as much: too little to show in
the errors of any forecast."""
LEVELS = ("product_region", "category_region", "category", "total")
KNOWING, BY_SALES = "knows stock-outs", "learns from sales"


def cells(shop: DailyPanel, rows: pd.DataFrame) -> np.ndarray:
    """[series, day] of rows with date, product_id, region and units; rows of no series of the panel are left out."""
    keys = shop.hierarchy.keys.reset_index(names="series")[["series", "product_id", "region"]]
    rows = rows.merge(keys)
    found = np.zeros(shop.units.shape)
    np.add.at(found, (rows["series"], (pd.to_datetime(rows["date"]) - shop.days[0]).dt.days), rows["units"])
    return found


def measures(said: np.ndarray, came: np.ndarray) -> tuple[float, float, float]:
    """WAPE of days, WAPE of the whole horizon's sums, and bias, of [node, day ahead]."""
    total = came.sum()
    off = np.abs(said.sum(axis=1) - came.sum(axis=1)).sum()
    return np.abs(said - came).sum() / total, off / total, said.sum() / total - 1


def main() -> None:
    market = Parameters.model_validate({"scale": HALF_A_DEMO, "stock": {"cover": COVER}})
    with tempfile.TemporaryDirectory() as root:
        made = found_deliveries(Path(root) / "bazaar", market)
        snapshot = published(f"{root}/home", "marketplace", str(AS_OF), made.folder)
        knowing = panel.load(snapshot)
        sold = cells(knowing, snapshot.frame("fct_product_day", ["date", "product_id", "region", "units"]))
        lost = truth.read(Path(root) / "bazaar", "lost_demand")
        missed, everywhere = cells(knowing, lost), lost["units"].sum()
    out, wanted = knowing.out, sold + missed
    assert out is not None
    on_sale = np.isfinite(knowing.units)
    by_sales = replace(knowing, units=np.where(on_sale, sold, np.nan).astype(np.float32), out=None)
    last = len(knowing.days)
    found: list[dict[str, object]] = []
    for cutoff in range(last - ORIGINS * HORIZON, last, HORIZON):
        came = wanted[:, cutoff : cutoff + HORIZON]
        ran_out = out[:, cutoff - HORIZON : cutoff].any(axis=1)
        for name, shop in ((KNOWING, knowing), (BY_SALES, by_sales)):
            print(f"{shop.days[cutoff - 1]:%Y-%m-%d} {name} …", file=sys.stderr, flush=True)
            ahead = engine.forecast(shop.until(cutoff), HORIZON).units
            parts = {level: [knowing.hierarchy.sums(level, cells_) for cells_ in (ahead, came)] for level in LEVELS}
            parts["product_region, ran out"] = [ahead[ran_out], came[ran_out]]
            for part, (said, truly) in parts.items():
                names = ("days", "sums", "bias")
                found.append({"part": part, "model": name} | dict(zip(names, measures(said, truly), strict=True)))
    print(
        f"Half a demo whose merchants fill up to {COVER} weeks of demand, as of {AS_OF}: {len(out):,} products in "
        f"regions; {out.sum() / on_sale.sum():.1%} of their days on offer ended out of stock, and "
        f"{missed.sum() / wanted.sum():.1%} of what was wanted was lost ({everywhere - missed.sum():,.0f} units more "
        f"of products that never sold in a region, and have no forecast). On days that ended out of stock "
        f"{sold[out].sum():,.0f} units were sold and {wanted[out].sum():,.0f} wanted; the estimate is "
        f"{knowing.units[out].sum():,.0f}.\n\n{HORIZON} days ahead from {ORIGINS} origins, means of those. `ran out`: "
        f"only those that were out of stock in the {HORIZON} days before the origin.\n"
    )
    tell(pd.DataFrame(found).groupby(["part", "model"], sort=False).mean())


def tell(table: pd.DataFrame) -> None:
    print(
        "| | WAPE of days | from sales | less by | WAPE of 28 days' sums | from sales | less by | bias | from sales |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    for part in table.index.unique("part"):
        ours, theirs = table.loc[(part, KNOWING)], table.loc[(part, BY_SALES)]
        errors = [
            f"{ours[name]:.3f} | {theirs[name]:.3f} | {1 - ours[name] / theirs[name]:.1%}" for name in ("days", "sums")
        ]
        print(f"| {part} | {' | '.join(errors)} | {ours['bias']:+.1%} | {theirs['bias']:+.1%} |")


if __name__ == "__main__":
    main()
