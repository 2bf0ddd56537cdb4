"""What people ask of the launch scores: one product explained, or all of them in a file."""

from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd

from coldframe.errors import ConfigurationError, NotAvailableError
from coldframe.files import whole
from coldframe.paths import workspace
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

    Raises ConfigurationError for a product that is no live launch of that day, NotAvailableError without scores of it.
    """
    release = _release(source, as_of)
    scores = release.table("scores")
    found = scores[scores["product_id"] == product]
    if found.empty:
        some = ", ".join(scores["product_id"].head(3)) or "none"
        raise ConfigurationError(
            f"{product!r} is no live launch of {source} as of {as_of}: of {len(scores):,} in their first 26 weeks the "
            f"most promising are {some}. `coldframe score --out FILE` writes all of them."
        )

    def rows(name: str) -> list[dict[str, Any]]:
        table = release.table(name)
        return _plain(table[table["product_id"] == product].drop(columns="product_id"))

    [score] = _plain(found)
    return {"score": score, "because": rows("contributions"), "like_items": rows("like_items"), "release": release.id}


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
