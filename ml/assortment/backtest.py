"""How this way of deciding would have done at earlier as-ofs, beside the rules of thumb people rank by today.

It stands on every plan, so that whoever approves one knows what such plans were worth. When it reads what came later,
a plan is trusted for what nobody could have known.
"""

from collections.abc import Iterator
from typing import Any

import pandas as pd

_CELL = ["region", "category"]
_RULES = {
    "last_4_weeks": "last 4 weeks' bestsellers",
    "last_13_weeks": "last 13 weeks' bestsellers",
    "last_year": "the same season last year",
}
MEAN = "the mean of these rankings"


def shares_of_oracle(tested: pd.DataFrame, slots: int) -> list[dict[str, Any]]:
    """The back-test a plan prints, oldest as-of first: as_of, share_of_oracle, baseline and best_baseline.

    `tested` has a row a past as-of and product of a region: cutoff (last day known), region, category, product_id,
    actual_gmv (of a season as long and as far ahead), forecast_gmv, and what the rules of thumb rank by: last_4_weeks,
    last_13_weeks, last_year (NaN where nobody knew). With `slots` places a cell, ranking by forecast is what a plan
    without other rules does; its share is of the money that the best choice afterwards would have sold. An as-of after
    which nothing sold is left out.
    """
    found = []
    for cutoff, rows in tested.groupby("cutoff", sort=True):
        oracle = _sold(rows, rows["actual_gmv"], slots)
        if not oracle:
            continue
        baselines = {name: _sold(rows, rank, slots) / oracle for name, rank in _rankings(rows)}
        best = max(baselines, key=lambda name: baselines[name])
        found.append(
            {
                "as_of": str(cutoff)[:10],
                "share_of_oracle": round(_sold(rows, rows["forecast_gmv"], slots) / oracle, 4),
                "baseline": best,
                "best_baseline": round(baselines[best], 4),
            }
        )
    return found


def _sold(rows: pd.DataFrame, by: pd.Series, slots: int) -> float:
    """Money that the first `slots` of each cell brought, ranked by `by`; what ranks at nothing takes no place."""
    ranked = rows.assign(by=by).sort_values(["by", "product_id"], ascending=[False, True])
    chosen = ranked[ranked["by"] > 0].groupby(_CELL).head(slots)
    return float(chosen["actual_gmv"].sum())


def _rankings(rows: pd.DataFrame) -> Iterator[tuple[str, pd.Series]]:
    shares = []
    for column, name in _RULES.items():
        sold = rows[column].fillna(0.0)
        if sold.any():
            yield name, sold
            shares.append(sold / sold.groupby([rows[key] for key in _CELL]).transform("sum"))
    yield MEAN, sum((share.fillna(0.0) for share in shares), pd.Series(0.0, rows.index))
