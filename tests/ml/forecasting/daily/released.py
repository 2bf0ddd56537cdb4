"""A release of a simple forecast, for what reads releases: products go on at their mean of the last four weeks."""

from datetime import date

import numpy as np
import pandas as pd
import pyarrow as pa

from coldframe.paths import Workspace
from ml.forecasting.daily.hierarchy import KEYS
from ml.forecasting.daily.panel import DailyPanel
from ml.forecasting.daily.vintages import NAME
from ml.promotion import decided
from ml.registry import Registry, Release


def release_of(workspace: Workspace, as_of: date, panel: DailyPanel, horizon: int, parts: pa.Table | None) -> Release:
    """A release of a forecast of `horizon` days that serves, made of the snapshot that is current."""
    mean = np.repeat(np.nan_to_num(panel.units[:, -28:]).mean(axis=1)[:, None], horizon, axis=1)
    tables = []
    for level in panel.hierarchy.levels:
        nodes = panel.hierarchy.nodes(level)
        values = panel.hierarchy.sums(level, mean).round(6)
        rows = nodes.loc[nodes.index.repeat(horizon)].reindex(columns=KEYS).reset_index(drop=True)
        rows.insert(0, "level", level)
        rows["frequency"] = "D"
        rows["date"] = np.tile(panel.ahead(horizon).date, len(nodes))
        rows["mean"] = rows["q50"] = values.ravel()
        rows["q10"], rows["q90"] = 0.8 * rows["mean"], 1.2 * rows["mean"]
        tables.append(rows.astype(dict.fromkeys(KEYS, "string")))
    registry = Registry(workspace)
    release = registry.release(
        NAME,
        as_of,
        workspace.current.resolve().name,
        {"horizon_days": horizon},
        {},
        {
            "forecasts": pa.Table.from_pandas(pd.concat(tables), preserve_index=False),
            "series": panel.hierarchy.keys[["product_id", "region"]].assign(route="trees"),
        }
        | ({} if parts is None else {"components": parts}),
        {},
    )
    registry.promote(NAME, release, decided("promote", ("a test",), {}))
    return release
