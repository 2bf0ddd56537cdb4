"""What if a price changed: another forecast, the difference explained row by row, or a refusal.

A number for an effect the facts cannot show would be planned with like any other, so what is not identified
(elasticity.py) is refused and the row stays as it was. Promotions cannot be asked for: no table of the snapshot says
which product is promoted when. No substitution is modelled: what a cheaper product takes from its neighbours is not
taken from them here.
"""

import csv
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

from coldframe import snapshots
from coldframe.errors import BadInputError, NotAvailableError
from coldframe.files import check_out, whole
from coldframe.paths import workspace
from coldframe.snapshots import Snapshot
from ml.forecasting.daily import panel as panels
from ml.forecasting.daily import steps
from ml.forecasting.daily.asked.elasticity import CONFIDENCE, LEAST_PRODUCTS, Elasticity, estimate, runs_of
from ml.forecasting.daily.hierarchy import Ints
from ml.forecasting.daily.panel import DailyPanel
from ml.registry import Registry

Floats = NDArray[np.float64]

REQUIRED = ("product_id", "region", "first_day", "last_day")
PRICES = ("price", "price_change")
MARGIN = 0.1
"""How far beyond the prices a product ever had the one asked for may lie, as a share of them."""
CENTS = 4
MOST_ERRORS = 5
UNMODELLED = (
    f"Effects are those of a product's own price, with intervals of {CONFIDENCE:.0%}; no substitution between products "
    "is modelled: what one wins from others is not taken from them."
)


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
    check_out(out, ".parquet")
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
    table = pa.Table.from_pandas(rows[[*columns, "vintage", "release"]], preserve_index=False)
    with whole(out) as unfinished:
        pq.write_table(table, unfinished, compression="zstd")


# What is asked


def read(file: Path, panel: DailyPanel, days: pd.DatetimeIndex) -> list[Change]:
    """The changes of a CSV file, one a series; a region `*` stands for all regions of the product.

    Raises BadInputError naming rows (the first after the header is 1) and columns.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, skipinitialspace=True)
            rows, columns = list(reader), list(reader.fieldnames or [])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInputError(f"{file} cannot be read as CSV: {error}") from error
    if "promotion" in columns:
        raise BadInputError(
            f"{file}, column promotion: a what-if knows prices only. Which product is promoted when is in no table of "
            "the snapshot, so the effect of a promotion cannot be learned."
        )
    wrong = [f"unknown column {name}" for name in columns if name not in (*REQUIRED, *PRICES)]
    wrong += [f"column {name} twice" for name in sorted({name for name in columns if columns.count(name) > 1})]
    wrong += [f"no column {name}" for name in REQUIRED if name not in columns]
    wrong += [] if set(columns) & set(PRICES) else ["no column price or price_change"]
    wrong += [] if rows else ["no row"]
    ragged = [n for n, row in enumerate(rows, start=1) if None in row or None in row.values()]
    wrong += [f"row {number} has not the {len(columns)} fields of the header" for number in ragged[:MOST_ERRORS]]
    if wrong:
        raise BadInputError(
            f"{file}: {'; '.join(wrong)}. It takes {', '.join(REQUIRED)} and price (the new one) or "
            "price_change (-0.2: a fifth less)."
        )
    keys = panel.hierarchy.keys
    regions = sorted(keys["region"].unique())
    series_of = {key: found.to_numpy() for key, found in keys.groupby("product_id").groups.items()}
    found: list[Change] = []
    taken: dict[tuple[int, int], int] = {}
    for number, given in enumerate(rows, start=1):
        row = {name: value.strip() for name, value in given.items()}
        errors, change = _parsed(row, days)
        product, region = row["product_id"], row["region"]
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
