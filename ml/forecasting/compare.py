"""Champion and challenger on the same windows, for the promotion policy.

Two releases whose scores come from different weeks cannot be compared; when this is wrong, a quarter that happened to
be easy promotes a worse model.
"""

import duckdb
import pandas as pd

from ml.forecasting.decide import DENSE
from ml.promotion import Scores
from ml.registry import Release

SHARED = 0.5
"""Share of the challenger's windows the champion must have been back-tested on for its own forecasts to be used."""

_SERVED = """
    select
        level, coalesce(product_id, '') as product_id, category, region, cutoff, week_start, segment, actual, forecast
    from read_parquet('{backtest}') as tested join read_parquet('{routes}') as chosen using (level, segment, model)
"""
_BASE = """
    select level, coalesce(product_id, '') as product_id, category, region, cutoff, week_start, forecast
    from read_parquet('{backtest}') as tested
    join (select distinct benchmark from read_parquet('{accuracy}')) on model = benchmark
"""
_KEYS = "level, product_id, category, region, cutoff, week_start"


def scores(challenger: Release, champion: Release | None) -> tuple[Scores | None, Scores]:
    """Scores of both on the windows both have.

    Where the champion was back-tested on (half of) the same windows, its own forecasts of then are scored. Else its
    choice of models is scored on the challenger's windows: what it would have served, had it been made today.
    """
    if champion is None:
        rows = _rows(challenger, _served(challenger, challenger))
        return None, _scores(challenger, rows, "challenger")
    rows = _rows(challenger, _served(champion, champion))
    if len(rows) < SHARED * len(_rows(challenger, _served(challenger, challenger))):
        rows = _rows(challenger, _served(challenger, champion))
    return _scores(champion, rows, "champion"), _scores(challenger, rows, "challenger")


def _served(tested: Release, chose: Release) -> str:
    return _SERVED.format(backtest=tested.file("backtest"), routes=chose.file("routes"))


def _rows(challenger: Release, champion: str) -> pd.DataFrame:
    base = _BASE.format(backtest=challenger.file("backtest"), accuracy=challenger.file("accuracy"))
    with duckdb.connect() as connection:
        return connection.execute(
            f"""
            with challenger as ({_served(challenger, challenger)}), base as ({base}), champion as ({champion})
            select
                level, challenger.segment, cutoff, week_start, challenger.actual,
                challenger.forecast as challenger, champion.forecast as champion, base.forecast as base
            from challenger join base using ({_KEYS}) join champion using ({_KEYS})
            order by {_KEYS}
            """
        ).df()


def _scores(release: Release, rows: pd.DataFrame, column: str) -> Scores:
    last, first = rows["week_start"].max(), rows["week_start"].min()
    return Scores(
        release_id=release.id,
        as_of=release.as_of,
        windows=f"{len(rows)} weeks of series from {first:%Y-%m-%d} to {last:%Y-%m-%d}",
        loss=_mean_wape(rows, column),
        baseline_loss=_mean_wape(rows, "base"),
        segment_losses={
            f"{level}.{segment}": _wape(part, column) if segment in DENSE else _relative_rmse(part, column)
            for (level, segment), part in rows.groupby(["level", "segment"])
        },
    )


def _mean_wape(rows: pd.DataFrame, column: str) -> float:
    return round(float(rows.groupby("level")[list(rows.columns)].apply(_wape, column).mean()), 6)


def _wape(rows: pd.DataFrame, column: str) -> float:
    return round(float((rows[column] - rows["actual"]).abs().sum() / rows["actual"].sum()), 6)


def _relative_rmse(rows: pd.DataFrame, column: str) -> float:
    return round(float(((rows[column] - rows["actual"]) ** 2).mean() ** 0.5 / rows["actual"].mean()), 6)
