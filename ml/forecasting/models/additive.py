"""Prophet for the few dense series where a calendar explains something; processes share the series.

It costs a thousand times what the others do, so decide.py hands it the top series only. Its intervals are switched
off: conformal ones from the back-test are honest and free.
"""

import logging
import os
from functools import partial

import numpy as np
import pandas as pd

from coldframe.settings import get_settings
from ml.forecasting.data import Floats, Ints, Panel

YEARS_FOR_SEASON = 2
"""Below two years a yearly season cannot be told from the trend."""
SEED = 20170101


def prophet(history: Panel, rows: Ints, horizon: int) -> Floats:
    """Piecewise linear trend, holidays, and a yearly season where there are two years (Taylor & Letham 2018)."""
    from joblib import Parallel, delayed

    if len(rows) == 0:
        return np.zeros((0, horizon))
    ahead = history.ahead(horizon)
    yearly = len(history.weeks) >= 52 * YEARS_FOR_SEASON
    tasks = [
        (history.weeks, history.units[row], _holidays(history, str(history.series["region"].iloc[row]), yearly))
        for row in rows
    ]
    threads = get_settings().threads
    chunks = [chunk for chunk in np.array_split(np.arange(len(tasks)), min(len(tasks), 4 * threads)) if len(chunk)]
    fit = delayed(partial(_fit_chunk, ahead=ahead, yearly=yearly))
    parts = Parallel(n_jobs=min(threads, len(chunks)))(fit([tasks[i] for i in chunk]) for chunk in chunks)
    return np.concatenate(parts)


def _holidays(history: Panel, region: str, by_name: bool) -> pd.DataFrame | None:
    """Weeks with an event. In less than two years each event is seen once at most, so they share one effect a kind."""
    events = history.events[history.events["region"].isin([region, "*"])]
    if events.empty:
        return None
    return pd.DataFrame(
        {"ds": events["week_start"], "holiday": events["event" if by_name else "kind"]}
    ).drop_duplicates()


def _fit_chunk(
    tasks: list[tuple[pd.DatetimeIndex, Floats, pd.DataFrame | None]], ahead: pd.DatetimeIndex, yearly: bool
) -> Floats:
    # Stan starts a thread per core (prophet#1109).
    os.environ["OMP_NUM_THREADS"] = "1"
    return np.array([_fit(weeks, units, holidays, ahead, yearly) for weeks, units, holidays in tasks])


def _fit(
    weeks: pd.DatetimeIndex, units: Floats, holidays: pd.DataFrame | None, ahead: pd.DatetimeIndex, yearly: bool
) -> Floats:
    for name in ("prophet", "prophet.plot", "cmdstanpy"):
        logging.getLogger(name).disabled = True
    from prophet import Prophet

    known = np.isfinite(units)
    model = Prophet(
        uncertainty_samples=0,
        yearly_seasonality=yearly,
        weekly_seasonality=False,
        daily_seasonality=False,
        holidays=holidays,
    )
    model.fit(pd.DataFrame({"ds": weeks[known], "y": units[known]}), seed=SEED)
    result: Floats = model.predict(pd.DataFrame({"ds": ahead}))["yhat"].to_numpy(dtype=float)
    # Otherwise Stan's files fill the temporary folder until the process ends (prophet#2253).
    if model.stan_backend is not None:
        model.stan_backend.cleanup()
    return result
