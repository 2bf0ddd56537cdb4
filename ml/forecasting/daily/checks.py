"""What is odd in a daily panel and the days it is to be forecast for; see ml/forecasting/checks.py."""

import numpy as np
import pandas as pd

from ml.forecasting.checks import calendar_end, mixed_units
from ml.forecasting.daily.panel import DailyPanel

CLOSED_DAYS = 8
"""Days in a row on which nothing at all was sold, from which on somebody should look: a shop closes for a week."""


def check(panel: DailyPanel, horizon: int) -> tuple[str, ...]:
    """Warnings, each with what it concerns, how many, what was made of it and what to do."""
    keys = panel.hierarchy.keys
    found = (
        mixed_units(panel.units, keys["product_id"] + " in " + keys["region"]),
        nothing_sold(panel),
        calendar_end(panel.events.rename(columns={"date": "ds"}), panel.days[-1], panel.ahead(horizon)[-1]),
        prices_end(panel, horizon),
    )
    return tuple(warning for warning in found if warning)


def nothing_sold(panel: DailyPanel) -> str | None:
    """Stretches of days on which no product sold anything: closed, or never landed."""
    nothing = ~(np.nan_to_num(panel.units) > 0).any(axis=0)
    run = np.cumsum(~nothing)
    lengths = np.bincount(run[nothing], minlength=1)
    long = np.flatnonzero(lengths >= CLOSED_DAYS)
    if not len(long):
        return None
    spans = [panel.days[nothing & (run == number)][[0, -1]] for number in long]
    told = ", ".join(f"{first:%Y-%m-%d} to {last:%Y-%m-%d}" for first, last in spans[:3])
    return (
        f"No product sold anything on {int(lengths[long].sum())} of {len(panel.days)} days, {CLOSED_DAYS} or more in a "
        f"row ({told}). They are taken for days on which the shop was closed. If their facts are missing, land them."
    )


def prices_end(panel: DailyPanel, horizon: int) -> str | None:
    """Series whose price list ends before the forecast does: the last price is taken to go on."""
    if panel.prices is None:
        return None
    end = len(panel.days) + horizon - 1
    row = panel.prices.run[:, end]
    until = panel.prices.last[row]
    short = (row > 0) & (until >= len(panel.days) - 1) & (until < end)
    if not short.any():
        return None
    first = panel.days[0] + pd.Timedelta(days=int(until[short].min()))
    return (
        f"The prices of {int(short.sum())} of {len(row)} series end before the forecast does, the first of them after "
        f"{first:%Y-%m-%d}: the last one is taken to go on. Land prices up to {panel.ahead(horizon)[-1]:%Y-%m-%d}."
    )
