"""How much of the best possible season a range captures (`python -m benchmarks assortment.season`).

Each shop is landed and published as of its last day; the season is then read from earlier days, by what was known
then. Prices are those of the last quarter of the whole, for plan and truth alike. Categories' forecasts are left out
(they say how much a category sells, not which of its products), rules beside the slots as well. One Christmas is
planned by the command a user types instead, from a shop landed on that day, and judged by days and real prices.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmarks.forecasting.shops import DATA, published
from coldframe.snapshots import Snapshot
from ml.assortment.choice import Substitution, prior
from ml.assortment.optimise import Cell, optimise
from ml.forecasting import data, season
from ml.forecasting.data import Floats, Panel
from ml.forecasting.evaluate import windows
from ml.forecasting.season.signals import sold, year_before

QUARTER, HALF = (7,) * 13, (7,) * 26
CHRISTMAS = ("2010-08-31", "2010-09-01", "2010-12-31")
"""As-of, first and last day of the season that is planned by the command."""
ASSUMED = 0.2
"""What a manager may think others keep of a missing product's demand; nothing is assumed unless somebody says so."""
COLDFRAME, PLANNED, MEAN = "**Coldframe**", "with substitution assumed", "mean of these"


@dataclass(frozen=True)
class Shop:
    """`cell` are the columns that make a cell, `slots` numbers of products (or shares of a cell's products), `seasons`
    the Monday after the last known week and the days of each week ahead that the season has."""

    source: str
    folder: str | None
    last_day: str
    cell: tuple[str, str]
    slots: tuple[float, ...]
    seasons: tuple[tuple[str, tuple[int, ...]], ...]


SHOPS = {
    "Online Retail II, a quarter ahead": Shop(
        "online_retail_ii",
        "online_retail_ii",
        "2011-08-31",
        ("region", "category"),
        (50, 200, 500),
        tuple((day, QUARTER) for day in ("2010-11-15", "2011-01-24", "2011-03-21", "2011-05-30")),
    ),
    "M5 stores by department, 13 weeks ahead": Shop(
        "m5",
        "m5",
        "2016-04-24",
        ("region", "subcategory"),
        (0.2, 0.5),
        tuple((day, QUARTER) for day in ("2013-09-30", "2014-06-30", "2015-03-30", "2015-10-12")),
    ),
    "M5 stores by department, 26 weeks ahead": Shop(
        "m5",
        "m5",
        "2016-04-24",
        ("region", "subcategory"),
        (0.2, 0.5),
        tuple((day, HALF) for day in ("2013-09-30", "2014-06-30", "2015-03-30", "2015-10-12")),
    ),
    "Complete Journey, a quarter ahead": Shop(
        "complete_journey",
        None,
        "2017-12-30",
        ("region", "category"),
        (20, 0.1, 0.2),
        tuple((day, QUARTER) for day in ("2017-06-12", "2017-07-31", "2017-09-18")),
    ),
}


def rankings(
    shop: Shop, panels: dict[data.Level, Panel], catalogue: pd.DataFrame
) -> Iterator[tuple[str, Floats, dict[str, Floats], float]]:
    """Of each season: its first Monday, what each line then sold in money, what each way ranks it by, and seconds."""
    lines, categories = panels["product_region"], panels["category_region"]
    price = lines.series["gmv_per_unit"].to_numpy()
    money = np.nan_to_num(lines.units * price[:, None])
    for day, days in shop.seasons:
        origin = int(lines.weeks.searchsorted(pd.Timestamp(day)))
        ahead = season.Ahead(days)
        began = time.perf_counter()
        past = windows(origin, len(days))
        now, *tested = (
            season.Course(cutoff, np.full((len(categories.units), reach), np.nan))
            for cutoff, reach in ((origin, len(days)), *((cutoff, past.horizon) for cutoff in past.cutoffs))
        )
        learned = season.learn(lines.until(origin), categories.until(origin), catalogue, tested, now, ahead)
        expected = np.zeros(len(price))
        expected[learned.totals["series"]] = learned.totals["units"]
        seconds = time.perf_counter() - began
        known = money[:, :origin]
        ways = {"last 4 weeks": known[:, -4:].sum(axis=1), "last 13 weeks": known[:, -13:].sum(axis=1)}
        before, weeks = year_before(money, origin, ahead)
        if weeks:
            ways["same season last year"] = before
        ways[MEAN] = np.sum([values / max(values.sum(), 1e-9) for values in ways.values()], axis=0)
        yield day, sold(money, origin, ahead), ways | {COLDFRAME: expected * price}, seconds


def captured(
    cells: pd.Series, price: Floats, came: Floats, by: Floats, slots: float, choice: Substitution | None
) -> float:
    """Share of the oracle's money that each cell's `slots` first by `by` (or the optimiser's choice) brought."""
    got = best = 0.0
    _, number = np.unique(cells.to_numpy(), return_inverse=True)
    for rows in np.split(np.argsort(number, kind="stable"), np.cumsum(np.bincount(number))[:-1]):
        count = max(1, round(slots * len(rows))) if slots < 1 else int(slots)
        best += float(np.sort(came[rows])[::-1][:count].sum())
        if choice is None:
            got += float(came[rows[np.argsort(-by[rows], kind="stable")[:count]]].sum())
            continue
        open_ = rows[by[rows] > 0]
        if open_.size:
            found = optimise(Cell(by[open_], by[open_] / price[open_], choice, fill=True), count)
            got += float(came[open_[found.chosen]].sum()) if found is not None else 0.0
    return got / best


def main() -> None:
    loaded: dict[str, tuple[dict[data.Level, Panel], pd.DataFrame]] = {}
    choice = prior(ASSUMED)
    print(
        "Share of the money that the best range, which an oracle knows, would have sold; mean of the seasons, each "
        f"region planned apart. Substitution assumed is `--recapture {ASSUMED}`. No sale of these shops tells of it: "
        "what it costs here is the price of assuming it.\n"
    )
    with tempfile.TemporaryDirectory() as home:
        for title, shop in SHOPS.items():
            if shop.source not in loaded:
                path = DATA / shop.folder if shop.folder else None
                snapshot = published(home, shop.source, shop.last_day, path)
                loaded[shop.source] = data.load(snapshot), data.catalogue(snapshot)
            panels, catalogue = loaded[shop.source]
            lines = panels["product_region"]
            named = lines.series[["product_id", "region"]].merge(catalogue, on="product_id", how="left")
            cells = named[list(shop.cell)].astype(str).agg(" / ".join, axis=1)
            price = np.maximum(lines.series["gmv_per_unit"].to_numpy(), 1e-9)
            rows, took = [], []
            for day, came, ways, seconds in rankings(shop, panels, catalogue):
                print(f"{title} {day} …", file=sys.stderr, flush=True)
                took.append(seconds)
                for slots in shop.slots:
                    rows += [
                        (day, slots, way, captured(cells, price, came, by, slots, None)) for way, by in ways.items()
                    ]
                    rows.append((day, slots, PLANNED, captured(cells, price, came, ways[COLDFRAME], slots, choice)))
            show(
                f"{title}\n\nFrom {', '.join(day for day, _ in shop.seasons)}.",
                pd.DataFrame(rows, columns=["day", "slots", "way", "share"]),
                f"Reading a season took {np.median(took):.0f} s, its back-test included.",
            )
            if shop.source == "online_retail_ii":
                show(
                    "Online Retail II, September to December 2010, by the command\n\n`coldframe decide assortment "
                    f"--as-of {CHRISTMAS[0]} --season {CHRISTMAS[1]}:{CHRISTMAS[2]}`; money as of its days.",
                    by_command(snapshot, shop),
                    "Rules read the same days, and the 28 and 91 before them.",
                )


def by_command(later: Snapshot, shop: Shop) -> pd.DataFrame:
    """Shares of what the season's days brought, by plans of a shop that was landed as of CHRISTMAS; columns slots, way
    and share. `later` knows how it ended."""
    as_of, first, last = CHRISTMAS
    days = later.query(
        """
        select region, product_id, order_date::timestamp as day, sum(gmv)::double as gmv
        from fct_order_lines where status <> 'cancelled' group by all
        """
    )

    def brought(since: str | pd.Timestamp, until: str) -> pd.Series:
        inside = days[days["day"].between(pd.Timestamp(since), pd.Timestamp(until))]
        return inside.groupby(["region", "product_id"])["gmv"].sum()

    year = pd.DateOffset(years=1)
    ways = {
        "last 4 weeks": brought(pd.Timestamp(as_of) - pd.Timedelta(days=27), as_of),
        "last 13 weeks": brought(pd.Timestamp(as_of) - pd.Timedelta(days=90), as_of),
        "same season last year": brought(pd.Timestamp(first) - year, str(pd.Timestamp(last) - year)),
    }
    ways[MEAN] = pd.concat([sums / sums.sum() for sums in ways.values()], axis=1).sum(axis=1)
    came = brought(first, last)
    rows = []
    with tempfile.TemporaryDirectory() as home:
        shared = ["--source", shop.source, "--as-of", as_of]
        coldframe(home, "land", *shared, "--path", str(DATA / "online_retail_ii"))
        for slots in shop.slots:
            best = came.groupby("region").nlargest(int(slots)).sum()
            for way, sums in ways.items():
                chosen = sums[sums > 0].groupby("region", group_keys=False).nlargest(int(slots)).index
                rows.append((slots, way, came.reindex(chosen).sum() / best))
            for way, recapture in ((COLDFRAME, 0.0), (PLANNED, ASSUMED)):
                plan = f"{home}/plan.csv"
                coldframe(home, "decide", "assortment", *shared, "--season", f"{first}:{last}", "--slots", f"{slots:g}",
                          "--recapture", str(recapture), "--out", plan)  # fmt: skip
                lines = pd.read_csv(plan, dtype={"product_id": str})
                chosen = pd.MultiIndex.from_frame(lines.loc[lines["action"] == "range", ["region", "product_id"]])
                rows.append((slots, way, came.reindex(chosen).sum() / best))
    return pd.DataFrame(rows, columns=["slots", "way", "share"])


def coldframe(home: str, *words: str) -> None:
    """Types the command in a home of its own. Raises CalledProcessError where it fails."""
    environment = os.environ | {"COLDFRAME_HOME": home}
    subprocess.run(["coldframe", *words], env=environment, stdout=subprocess.DEVNULL, check=True)


def show(head: str, found: pd.DataFrame, note: str) -> None:
    means = found.groupby(["way", "slots"], sort=False)["share"].mean().unstack("slots")[list(found["slots"].unique())]
    best = means.drop([COLDFRAME, PLANNED]).max()
    heads = [f"K = {slots:.0%}" if slots < 1 else f"K = {slots:g}" for slots in found["slots"].unique()]
    print(f"## {head}\n")
    print(f"| | {' | '.join(heads)} |\n|---|{'---:|' * len(heads)}")
    for way, shares in means.iterrows():
        print(f"| {way} | {' | '.join(f'{share:.3f}' for share in shares)} |")
    gains = " | ".join(f"{gain:+.1%}" for gain in means.loc[COLDFRAME] - best)
    print(f"| Coldframe beside the best rule | {gains} |")
    print(f"\n{note}\n", flush=True)


if __name__ == "__main__":
    main()
