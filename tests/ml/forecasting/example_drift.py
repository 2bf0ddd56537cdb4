"""A forecaster of one's own, as docs/add-a-model.md shows it: the last level, carried on by the mean weekly change."""

# --8<-- [start:model]
import numpy as np

from ml.forecasting.data import TRAILING, Floats, Ints, Panel


def drift(history: Panel, rows: Ints, horizon: int) -> Floats:
    """The mean of the last four weeks, moved by half the mean weekly change of the last quarter."""
    recent = history.units[rows, -TRAILING:]
    level = np.nanmean(recent[:, -4:], axis=1, keepdims=True)
    known = np.isfinite(recent).sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        change = np.nansum(np.diff(recent, axis=1), axis=1, keepdims=True) / np.maximum(known - 1, 1)
    return level + 0.5 * change * np.arange(1, horizon + 1)


# --8<-- [end:model]
