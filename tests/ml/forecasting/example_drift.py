"""A forecaster of one's own, as docs/add-a-model.md shows it: the last level, carried on by the mean weekly change."""

# --8<-- [start:model]
from dataclasses import dataclass

import numpy as np

from ml.forecasting.data import TRAILING, Floats, Ints
from ml.forecasting.models.interface import Demand


class Drift:
    """The mean of the last four weeks, moved by half the mean weekly change of the last quarter."""

    def fit(self, history: Demand, rows: Ints) -> "Line":
        recent = history.units[rows, -TRAILING:]
        known = np.isfinite(recent).sum(axis=1)
        with np.errstate(invalid="ignore"):
            change = np.nansum(np.diff(recent, axis=1), axis=1) / np.maximum(known - 1, 1)
        return Line(level=np.nanmean(recent[:, -4:], axis=1), slope=0.5 * change)


@dataclass(frozen=True)
class Line:
    level: Floats
    slope: Floats

    def predict(self, horizon: int) -> Floats:
        return self.level[:, None] + self.slope[:, None] * np.arange(1, horizon + 1)


# --8<-- [end:model]
