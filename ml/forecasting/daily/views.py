"""The nodes of a shop behind the interface of all models (models/interface.py), and the additive model behind it too.

So any model of one series at a time can be asked of a department's days: Theta or Prophet of it is a line, compared on
the very same days.
"""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ml.forecasting.daily import additive, calendar
from ml.forecasting.daily.calendar import Calendar
from ml.forecasting.daily.hierarchy import Ints
from ml.forecasting.daily.nodes import Nodes
from ml.forecasting.daily.panel import DailyPanel
from ml.forecasting.models.interface import WhenAsked

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class NodeHistory:
    """Demand of nodes by the day. `units` is [node, day], `places` the regions of each node; `events` has the columns
    date, region ('*': all), event and kind, and reaches past the last day."""

    units: Floats
    days: pd.DatetimeIndex
    places: list[list[str]]
    events: pd.DataFrame

    season: ClassVar[int] = 7

    @classmethod
    def of(cls, panel: DailyPanel, nodes: Nodes) -> "NodeHistory":
        """All nodes of a panel."""
        return cls(nodes.units(panel.units), panel.days, nodes.places, panel.events)

    @property
    def periods(self) -> pd.DatetimeIndex:
        return self.days

    def ahead(self, horizon: int) -> pd.DatetimeIndex:
        return pd.date_range(self.days[-1] + pd.Timedelta(days=1), periods=horizon, freq="D")

    def events_of(self, row: int) -> pd.DataFrame:
        here = self.events[self.events["region"].isin([*self.places[row], "*"])]
        return here.rename(columns={"date": "ds"})[["ds", "event", "kind"]].drop_duplicates()

    def calendar(self, horizon: int) -> tuple[Ints, Calendar]:
        """Each node's row of the calendar, and the calendar over history and horizon."""
        distinct = sorted({tuple(place) for place in self.places})
        place = np.array([distinct.index(tuple(regions)) for regions in self.places])
        days = pd.DatetimeIndex(self.days.append(self.ahead(horizon)))
        return place, calendar.build(self.events, [list(regions) for regions in distinct], days)


class AdditiveView:
    """Trend, week, year, month, paydays and events of all nodes in one ridge (additive.py)."""

    def fit(self, history: NodeHistory, rows: Ints) -> WhenAsked:
        return WhenAsked(partial(self._forecast, history, rows))

    def _forecast(self, history: NodeHistory, rows: Ints, horizon: int) -> Floats:
        place, known = history.calendar(horizon)
        return additive.forecast(history.units[rows], place[rows], known, horizon)
