"""What people ask of the launch scores: one product explained, or all of them in a file."""

from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd

from coldframe import snapshots
from coldframe.errors import ConfigurationError, NotAvailableError
from coldframe.files import whole
from coldframe.paths import workspace
from ml.growth.data import LIVE_DAYS
from ml.growth.steps import MODEL
from ml.registry import Registry, Release


def write_scores(source: str, as_of: date, path: Path) -> int:
    """Writes the table `scores` of that day to a .csv or .parquet, whole or not at all; returns the number of rows.

    `like_items` and `because` are appended: ids of the nearest like items, and what speaks for and against it most.
    """
    release = _release(source, as_of)
    scores = release.table("scores")
    near = release.table("like_items").groupby("product_id")["like_id"].agg("; ".join)
    strongest = release.table("contributions").groupby("product_id").head(3)
    because = (strongest["because"] + strongest["adds"].map(" {:+.2f}".format)).groupby(strongest["product_id"])
    scores["like_items"] = scores["product_id"].map(near)
    scores["because"] = scores["product_id"].map(because.agg("; ".join))
    with whole(path) as unfinished:
        if path.suffix == ".csv":
            scores.to_csv(unfinished, index=False)
        else:
            scores.to_parquet(unfinished, index=False)
    return len(scores)


def explain_score(source: str, as_of: date, product: str) -> dict[str, Any]:
    """One live launch: `score` (its row), `because` (groups of features, what each adds to the log-odds), `like_items`.

    Raises ConfigurationError for a product that is no live launch of that day and says what it is instead,
    NotAvailableError without scores of the day.
    """
    release = _release(source, as_of)
    scores = release.table("scores")
    found = scores[scores["product_id"] == product]
    if found.empty:
        some = ", ".join(scores["product_id"].head(3)) or "there is none"
        raise ConfigurationError(
            f"{_instead(source, as_of, product)} Live launches, the most promising first: {some}. "
            "`coldframe score --out FILE` writes all of them."
        )

    def rows(name: str) -> list[dict[str, Any]]:
        table = release.table(name)
        return _plain(table[table["product_id"] == product].drop(columns="product_id"))

    [score] = _plain(found)
    return {"score": score, "because": rows("contributions"), "like_items": rows("like_items"), "release": release.id}


def _instead(source: str, as_of: date, product: str) -> str:
    """What a product is that is no live launch."""
    known = snapshots.of_day(workspace(source), as_of).frame(
        "dim_product", ("product_id", "launched_on", "launch_source", "relisted_of")
    )
    told = known[known["product_id"] == product]
    if told.empty:
        return f"{product!r} is not in the catalogue of {source} as of {as_of}."
    row = told.iloc[0]
    if pd.isna(row["launched_on"]):
        return f"{product!r} is no launch: nobody declared its first day, and it has neither a price nor a sale yet."
    day = pd.Timestamp(row["launched_on"])
    if day > pd.Timestamp(as_of):
        if pd.notna(again := row["relisted_of"]):
            return f"{product!r} launches on {day:%F}; as a relisting of {again} it is scored from that day on."
        evening = day - pd.Timedelta(days=1)
        return f"{product!r} launches on {day:%F}; it is scored from the evening before on (--as-of {evening:%F})."
    if row["launch_source"] == "before_history":
        return f"{product!r} is no launch: it was on sale when the history of {source} begins."
    return f"{product!r} is no launch any more: launched on {day:%F}, more than {LIVE_DAYS // 7} weeks before {as_of}."


def _release(source: str, as_of: date) -> Release:
    release = Registry(workspace(source)).champion(MODEL)
    if release is None or release.as_of != as_of:
        raise NotAvailableError(
            f"{source} has no launch scores of {as_of}. Run `coldframe train growth --source {source} --as-of {as_of}`."
        )
    return release


def _plain(table: pd.DataFrame) -> list[dict[str, Any]]:
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]
