"""What if a price changed: another forecast, the difference explained row by row, or a refusal.

The effect is what past price changes of like products did to their own sales beside the sales of their node. A number
for an effect the facts cannot show would be planned with like any other, so what is not identified is refused and the
row stays as it was. Promotions cannot be asked for: no table of the snapshot says which product is promoted when. No
substitution is modelled: what a cheaper product takes from its neighbours is not taken from them here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy import stats

from coldframe import snapshots
from coldframe.errors import BadInputError, NotAvailableError
from coldframe.paths import workspace
from coldframe.snapshots import Snapshot
from ml.forecasting.daily import panel as panels
from ml.forecasting.daily import steps
from ml.forecasting.daily.hierarchy import Ints, summing
from ml.forecasting.daily.panel import DailyPanel
from ml.registry import Registry

Floats = NDArray[np.float64]

REQUIRED = ("product_id", "region", "first_day", "last_day")
PRICES = ("price", "price_change")
LEAST_PRODUCTS = 10
"""Products whose price moved, below which an elasticity would be the luck of a few."""
LEAST_MOVE = 0.03
"""A price that moved less than this within a year says nothing."""
CONFIDENCE = 0.95
MARGIN = 0.1
"""How far beyond the prices a product ever had the one asked for may lie, as a share of them."""
YEAR = 365
CENTS = 4
CHUNK = 2_000
MOST_ERRORS = 5
UNMODELLED = (
    f"Effects are those of a product's own price, with intervals of {CONFIDENCE:.0%}; no substitution between products "
    "is modelled: what one wins from others is not taken from them."
)


@dataclass(frozen=True)
class Runs:
    """What was sold while a price held: one row a series, year and price. `expected` is what the other products of the
    series' subcategory and region sold on the same days, `others` the mean logarithm of their prices beside their usual
    ones: what all products sell on a day of lower prices is not what a product sells that is cheaper than the others.
    Days before launch, without stock or price are left out.

    Of a Poisson model whose rate is a constant of the series and year, times `expected`, times the price relative to
    the others' to a power, these are sufficient statistics.
    """

    series: Ints
    year: Ints
    price: Floats
    sold: Floats
    expected: Floats
    others: Floats

    def of(self, series: Ints) -> "Runs":
        kept = np.isin(self.series, series)
        return Runs(*(column[kept] for column in vars(self).values()))


@dataclass(frozen=True)
class Elasticity:
    """Per cent of units per per cent of price, with its interval (CONFIDENCE); `products` is how many it was learned
    of. NaN where there is none."""

    pool: str
    products: int
    value: float
    low: float
    high: float

    @property
    def trouble(self) -> str | None:
        """Why it identifies no effect."""
        if self.products < LEAST_PRODUCTS:
            return (
                f"{self.products} products of {self.pool} changed price by {LEAST_MOVE:.0%} or more within a year "
                f"while they sold; it takes {LEAST_PRODUCTS}"
            )
        if not np.isfinite([self.value, self.low, self.high]).all():
            return f"the price changes of {self.pool} have no finite effect"
        if self.high >= 0:
            return (
                f"the elasticity of {self.pool} is {self.value:.2f} ({self.low:.2f} to {self.high:.2f}): "
                "that price moves demand is not shown"
            )
        return None


@dataclass(frozen=True)
class Change:
    """A price from `first` to `last` (days ahead, 0 the first) of one series, asked for in `row` of the file."""

    row: int
    series: int
    first: int
    last: int
    price: float | None
    price_change: float | None

    def after(self, before: Floats) -> Floats:
        """The price asked for, [day], in place of `before`."""
        return before * (1 + self.price_change) if self.price_change is not None else np.full(len(before), self.price)


# Service


def what_if(source: str | None, as_of: date, changes: Path, out: Path) -> dict[str, Any]:
    """Applies the price changes of a CSV file to the forecast made on `as_of` and writes it to a Parquet file, one row
    a product, region and day of the whole forecast: product_id, region, date, price_before, price, mean (the base),
    new, new_low, new_high, row (of the file), vintage, release. Prices and row are empty where nothing changes.

    Says what each row does (`rows`), refusals with their reason among them, and the sum (`total`). Raises BadInputError
    for a file that does not fit, NotAvailableError where no release of that day serves, the shop has no price list, or
    nothing of what was asked could be applied; then nothing is written.
    """
    space = workspace(source or steps.only_source(as_of))
    release = steps.serving(Registry(space), as_of)
    own = Snapshot(release.snapshot_id, space.snapshots / release.snapshot_id)
    panel = panels.load(own if own.path.is_dir() else snapshots.of_day(space, as_of))
    if panel.prices is None:
        raise NotAvailableError(
            f"What-if is not available: {space.source} has no `prices`, so no effect can be learned."
        )
    forecast = _forecast(release.file("forecasts"))
    days = pd.DatetimeIndex(np.sort(forecast["date"].unique()))
    asked = read(changes, panel, days)
    base = _matrix(forecast, panel, days)
    result = answer(panel, base, asked)
    applied = [row for row in result.rows if row["status"] == "applied"]
    if not applied:
        reasons = "; ".join(f"row {row['row']}, {row['region']}: {row['reason']}" for row in result.rows[:MOST_ERRORS])
        raise NotAvailableError(f"None of the {len(result.rows)} changes could be applied. {reasons}.")
    keys = panel.hierarchy.keys
    changed = result.cells.assign(
        product_id=keys["product_id"].to_numpy()[result.cells["series"]],
        region=keys["region"].to_numpy()[result.cells["series"]],
        date=days[result.cells["day"]],
    ).drop(columns=["series", "day"])
    written = forecast.merge(changed, on=["product_id", "region", "date"], how="left", validate="one_to_one")
    for name in ("new", "new_low", "new_high"):
        written[name] = written[name].fillna(written["mean"])
    written["row"] = written["row"].astype("Int64")
    written["date"] = written["date"].dt.date
    _write(written.assign(vintage=as_of, release=release.id), out)
    return {"rows": result.rows, "total": result.total, "note": UNMODELLED, "path": str(out), "release": release.id}


def _forecast(file: Path) -> pd.DataFrame:
    with duckdb.connect() as connection:
        return connection.execute(
            f"""
            select product_id, region, date::timestamp as date, mean from '{file}'
            where level = 'product_region' and frequency = 'D' order by all
            """
        ).df()


def _matrix(forecast: pd.DataFrame, panel: DailyPanel, days: pd.DatetimeIndex) -> Floats:
    """[series, day ahead] of the forecast, in the panel's order."""
    wide = forecast.pivot(index=["product_id", "region"], columns="date", values="mean")
    return wide.reindex(pd.MultiIndex.from_frame(panel.hierarchy.keys[["product_id", "region"]])).to_numpy(dtype=float)


def _write(rows: pd.DataFrame, out: Path) -> None:
    columns = ["product_id", "region", "date", "price_before", "price", "mean", "new", "new_low", "new_high", "row"]
    out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = out.with_name(f".{out.name}.unfinished")
    try:
        table = pa.Table.from_pandas(rows[[*columns, "vintage", "release"]], preserve_index=False)
        pq.write_table(table, unfinished, compression="zstd")
        unfinished.replace(out)
    finally:
        unfinished.unlink(missing_ok=True)


# What is asked


def read(file: Path, panel: DailyPanel, days: pd.DatetimeIndex) -> list[Change]:
    """The changes of a CSV file, one a series; a region `*` stands for all regions of the product.

    Raises BadInputError naming rows (the first after the header is 1) and columns.
    """
    try:
        rows = pd.read_csv(file, dtype=str, keep_default_na=False, skipinitialspace=True)
    except (OSError, UnicodeDecodeError, pd.errors.EmptyDataError, pd.errors.ParserError) as error:
        raise BadInputError(f"{file} cannot be read as CSV: {error}") from error
    columns = set(map(str, rows))
    unknown = sorted(columns - {*REQUIRED, *PRICES})
    missing = sorted(set(REQUIRED) - columns) or ([] if columns & set(PRICES) else ["price or price_change"])
    if "promotion" in unknown:
        raise BadInputError(
            f"{file}, column promotion: a what-if knows prices only. Which product is promoted when is in no table of "
            "the snapshot, so the effect of a promotion cannot be learned."
        )
    if unknown or missing or rows.empty:
        wrong = [f"unknown column {name}" for name in unknown] + [f"no column {name}" for name in missing]
        raise BadInputError(
            f"{file}: {'; '.join(wrong) or 'no row'}. It takes {', '.join(REQUIRED)} and price (the new one) or "
            "price_change (-0.2: a fifth less)."
        )
    keys = panel.hierarchy.keys
    regions = sorted(keys["region"].unique())
    series_of = {key: found.to_numpy() for key, found in keys.groupby("product_id").groups.items()}
    found: list[Change] = []
    wrong = []
    taken: dict[tuple[int, int], int] = {}
    for number, row in enumerate(rows.to_dict("records"), start=1):
        errors, change = _parsed({str(name): value.strip() for name, value in row.items()}, days)
        product, region = row["product_id"].strip(), row["region"].strip()
        series = series_of.get(product, np.array([], dtype=np.int64))
        if not len(series):
            errors.append(f"column product_id: there is no product {product!r}")
        elif region != "*":
            series = series[keys["region"].to_numpy()[series] == region]
            if region not in regions:
                errors.append(f"column region: there is no region {region!r} (there are: {', '.join(regions)}; *: all)")
            elif not len(series):
                errors.append(f"column region: {product} is not sold in {region}")
        wrong += [f"row {number}, {error}" for error in errors]
        if errors:
            continue
        for one in series:
            days_asked = range(change["first"], change["last"] + 1)
            earlier = sorted({taken[one, day] for day in days_asked if (one, day) in taken})
            if earlier:
                wrong.append(
                    f"row {number}, column first_day: {product} has another price on these days in row {earlier[0]}"
                )
                break
            taken |= {(one, day): number for day in days_asked}
            found.append(Change(number, int(one), **change))
    if wrong:
        more = f" and {len(wrong) - MOST_ERRORS} more" if len(wrong) > MOST_ERRORS else ""
        raise BadInputError(f"{file}: {'; '.join(wrong[:MOST_ERRORS])}{more}. Nothing was computed.")
    return found


def _parsed(row: Mapping[str, str], days: pd.DatetimeIndex) -> tuple[list[str], dict[str, Any]]:
    errors: list[str] = []
    change: dict[str, Any] = {}
    for name, key in (("first_day", "first"), ("last_day", "last")):
        try:
            change[key] = (pd.Timestamp(date.fromisoformat(row[name])) - days[0]).days
        except ValueError:
            errors.append(f"column {name}: {row[name]!r} is not a date like {days[0]:%Y-%m-%d}")
            continue
        if not 0 <= change[key] < len(days):
            errors.append(
                f"column {name}: {row[name]} is not in the forecast, {days[0]:%Y-%m-%d} to {days[-1]:%Y-%m-%d}"
            )
    if not errors and change["first"] > change["last"]:
        errors.append(f"column last_day: {row['last_day']} is before first_day {row['first_day']}")
    given = [name for name in PRICES if row.get(name)]
    if len(given) != 1:
        errors.append("columns price and price_change: give one of the two")
        return errors, change
    least = 0.0 if given[0] == "price" else -1.0
    try:
        value = float(row[given[0]])
    except ValueError:
        value = np.nan
    if not (np.isfinite(value) and value > least):
        errors.append(f"column {given[0]}: {row[given[0]]!r} is not a number above {least:g}")
    return errors, change | dict.fromkeys(PRICES) | {given[0]: value}


# What is answered


@dataclass(frozen=True)
class Answer:
    """`rows` say what became of each change, `total` sums the applied ones, `cells` has a row a changed series and day
    ahead: series, day, price_before, price, new, new_low, new_high, row."""

    rows: list[dict[str, Any]]
    total: dict[str, float]
    cells: pd.DataFrame


def answer(panel: DailyPanel, base: Floats, asked: list[Change]) -> Answer:
    """Applies changes to the forecast `base` [series, day ahead]: units times (new price / old price) ^ elasticity."""
    keys = panel.hierarchy.keys
    found = _elasticities(panel, sorted({int(change.series) for change in asked}))
    rows, cells = [], []
    for change in asked:
        days = np.arange(change.first, change.last + 1)
        of = keys.iloc[change.series].to_dict()
        row: dict[str, Any] = {
            "row": change.row,
            "product_id": of["product_id"],
            "region": of["region"],
            "first_day": panel.ahead(change.first + 1)[-1].date(),
            "last_day": panel.ahead(change.last + 1)[-1].date(),
        }
        before = _prices(panel, change.series, days)
        price = change.after(before)
        elasticity = found[of["category"], of["subcategory"]]
        reason = _refusal(panel, of["product_id"], before, price) or elasticity.trouble
        if reason is not None:
            rows.append(row | {"status": "refused", "reason": reason})
            continue
        units = base[change.series, days]
        ratio = price / before
        new = units * ratio**elasticity.value
        ends = np.sort([units * ratio**elasticity.low, units * ratio**elasticity.high], axis=0)
        rows.append(
            row
            | {"status": "applied", "reason": f"elasticity of {elasticity.pool}, {elasticity.products} products"}
            | {"price_before": float(before.mean()), "price": float(price.mean())}
            | {f"elasticity{end}": getattr(elasticity, name) for name, end in _ENDS.items()}
            | {"units_before": units.sum(), "units": new.sum(), "units_low": ends[0].sum(), "units_high": ends[1].sum()}
            | {"value_before": (units * before).sum(), "value": (new * price).sum()}
            # What more units bring at the new price, and what the old units lose or win by it: together the difference.
            | {"value_of_units": ((new - units) * price).sum(), "value_of_price": (units * (price - before)).sum()}
        )
        columns = {
            "day": days,
            "price_before": before,
            "price": price,
            "new": new,
            "new_low": ends[0],
            "new_high": ends[1],
        }
        cells.append(pd.DataFrame({"series": change.series, "row": change.row} | columns))
    applied = [row for row in rows if row["status"] == "applied"]
    total = {name: float(sum(row[name] for row in applied)) for name in _SUMMED}
    return Answer(rows, total, pd.concat(cells, ignore_index=True) if cells else pd.DataFrame())


_ENDS = {"value": "", "low": "_low", "high": "_high"}
_SUMMED = (
    "units_before",
    "units",
    "units_low",
    "units_high",
    "value_before",
    "value",
    "value_of_units",
    "value_of_price",
)


def _prices(panel: DailyPanel, series: int, days: Ints) -> Floats:
    """The price of a series on days ahead as it is known now."""
    assert panel.prices is not None
    known = len(panel.days)
    return np.round(panel.prices.at(np.full(len(days), series), known + days, known).astype(float), CENTS)


def _refusal(panel: DailyPanel, product: str, before: Floats, price: Floats) -> str | None:
    if not np.isfinite(before).all():
        return "it has no price on these days to change"
    assert panel.prices is not None
    rows = panel.prices.run[(panel.hierarchy.keys["product_id"] == product).to_numpy()]
    seen = np.round(panel.prices.price[np.unique(rows[rows > 0])].astype(float), CENTS)
    low, high = seen.min() * (1 - MARGIN), seen.max() * (1 + MARGIN)
    if price.min() < low or price.max() > high:
        return (
            f"{price.min() if price.min() < low else price.max():.2f} lies more than {MARGIN:.0%} beyond the prices it "
            f"ever had ({seen.min():.2f} to {seen.max():.2f})"
        )
    return None


# What is learned


def _elasticities(panel: DailyPanel, series: list[int]) -> dict[tuple[str, str], Elasticity]:
    """The elasticity that serves each subcategory of `series`, by category and subcategory: its own where enough of
    its products changed price, else its category's."""
    keys = panel.hierarchy.keys
    product = panel.hierarchy.codes("product")
    found: dict[tuple[str, str], Elasticity] = {}
    for category, wanted in keys.loc[series].groupby("category"):
        of_category = np.flatnonzero(keys["category"] == category)
        runs = runs_of(panel, of_category)
        whole = estimate(f"category {category}", runs, product)
        for subcategory in wanted["subcategory"].unique():
            own = of_category[(keys["subcategory"].to_numpy()[of_category] == subcategory)]
            fitted = estimate(f"subcategory {subcategory}", runs.of(own), product)
            found[str(category), subcategory] = fitted if fitted.products >= LEAST_PRODUCTS else whole
    return found


def runs_of(panel: DailyPanel, which: Ints) -> Runs:
    """Runs of the series `which`, who must be all of their subcategories and regions. Years count back from the end."""
    assert panel.prices is not None
    keys, days = panel.hierarchy.keys.iloc[which], len(panel.days)
    group = keys.groupby(["subcategory", "region"], sort=True).ngroup().to_numpy().astype(np.int64)
    day = np.arange(days)
    years = -(-days // YEAR)
    year = years - 1 - (days - 1 - day) // YEAR
    sold_by, moved_by, weight_by = (np.zeros((int(group.max()) + 1, days)) for _ in range(3))
    chunks = [slice(begin, begin + CHUNK) for begin in range(0, len(which), CHUNK)]
    for chunk in chunks:
        units, held, moved, weight = _prices_held(panel, which[chunk])
        of_group = summing(group[chunk])
        known = slice(0, of_group.shape[0])
        sold_by[known] += of_group @ np.nan_to_num(units)
        moved_by[known] += of_group @ (weight * moved)
        weight_by[known] += of_group @ (weight * held)
    parts = []
    for chunk in chunks:
        rows, of = which[chunk], group[chunk]
        units, held, moved, weight = _prices_held(panel, rows)
        sold = np.where(held, units, 0.0)
        expected = np.where(held, sold_by[of] - np.nan_to_num(units), 0.0)
        others = np.maximum(weight_by[of] - weight * held, 1e-9)
        index = np.where(held, (moved_by[of] - weight * moved) / others, 0.0)
        run = panel.prices.run[rows, :days].astype(np.int64)
        label = (run * years + year + np.arange(len(rows))[:, None] * (years * (run.max() + 1))).ravel()
        first = np.flatnonzero(np.diff(label, prepend=-1))
        of_run = np.add.reduceat(expected.ravel(), first)
        parts.append(
            Runs(
                series=rows[first // days],
                year=year[first % days],
                price=panel.prices.price[run.ravel()[first]].astype(float),
                sold=np.add.reduceat(sold.ravel(), first),
                expected=of_run,
                others=np.add.reduceat((expected * index).ravel(), first) / np.maximum(of_run, 1e-9),
            )
        )
    joined = Runs(*(np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])))
    kept = (joined.expected > 0) & (joined.price > 0)
    return Runs(*(column[kept] for column in vars(joined).values()))


def _prices_held(panel: DailyPanel, rows: Ints) -> tuple[Floats, NDArray[np.bool_], Floats, Floats]:
    """Of the series `rows`, [series, day]: units, whether a price held and nothing hid demand, the logarithm of the
    price beside the series' mean (0 where none held); and units a day [series, 1], which weigh a series."""
    assert panel.prices is not None
    days = panel.units.shape[1]
    units, run = panel.units[rows].astype(float), panel.prices.run[rows, :days]
    held = np.isfinite(units) & (panel.prices.price[run] > 0) & (panel.prices.last[run] >= np.arange(days))
    if panel.out is not None:
        held &= ~panel.out[rows]
    count = np.maximum(held.sum(axis=1, keepdims=True), 1)
    price = np.log(np.where(held, panel.prices.price[run], 1.0))
    moved = np.where(held, price - price.sum(axis=1, keepdims=True) / count, 0.0)
    return units, held, moved, np.where(held, units, 0.0).sum(axis=1, keepdims=True) / count


def estimate(pool: str, runs: Runs, product: Ints) -> Elasticity:
    """Poisson regression of sales on the logarithm of price, relative to the others', with an effect a series and year
    and `expected` as offset.

    Given what a series sold in a year, how it spreads over its prices is multinomial, and the effects drop out
    (Hausman, Hall & Griliches 1984, "Econometric models for count data with an application to the patents-R&D
    relationship", Econometrica 52(4), section 2). Sales need not be Poisson for that: the standard error is robust and
    clustered by product (Wooldridge 1999, "Distribution-free estimation of some nonlinear panel data models", Journal
    of Econometrics 90(1), section 3), the interval Student's with a degree of freedom less than products.
    """
    effect = np.unique(runs.series * 10_000 + runs.year, return_inverse=True)[1]
    log_price = np.log(runs.price)
    total = np.bincount(effect, runs.sold)
    low, high = np.full(len(total), np.inf), np.full(len(total), -np.inf)
    np.minimum.at(low, effect, log_price)
    np.maximum.at(high, effect, log_price)
    moved = (high - low >= np.log1p(LEAST_MOVE)) & (total > 0)
    kept = moved[effect]
    products = np.unique(product[runs.series[kept]])
    if len(products) < LEAST_PRODUCTS:
        return Elasticity(pool, len(products), np.nan, np.nan, np.nan)
    effect = np.unique(effect[kept], return_inverse=True)[1]
    sold, expected, price = runs.sold[kept], runs.expected[kept], (log_price - runs.others)[kept]
    total = np.bincount(effect, sold)
    # Powers of prices beside their mean, which no price's scale makes overflow.
    price = price - (np.bincount(effect, price) / np.bincount(effect))[effect]
    value = 0.0
    for _ in range(100):
        weight = expected * np.exp(np.clip(value * price, -50, 50))
        share = weight / np.bincount(effect, weight)[effect]
        mean = np.bincount(effect, share * price)[effect]
        score = sold * (price - mean)
        information = (total[effect] * share * (price - mean) ** 2).sum()
        step = np.clip(score.sum() / information, -1.0, 1.0)
        value += step
        if abs(step) < 1e-8:
            break
    else:
        return Elasticity(pool, len(products), np.nan, np.nan, np.nan)
    of_product = np.bincount(np.searchsorted(products, product[runs.series[kept]]), score)
    count = len(products)
    error = np.sqrt(count / (count - 1) * (of_product**2).sum()) / information
    half = float(stats.t.ppf(0.5 + CONFIDENCE / 2, count - 1) * error)
    return Elasticity(pool, count, float(value), float(value - half), float(value + half))
