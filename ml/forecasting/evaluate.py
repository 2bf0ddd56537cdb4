"""How good each model was on weeks it had not seen, and how wide its intervals must be.

Everything chosen downstream (models, depth, promotion) rests on this back-test; a leak here would make every figure
of the project look better than it is, so a model only ever receives a panel cut at the cutoff.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from coldframe.errors import BadInputError
from coldframe.seasons import LEAST_WEEKS
from ml.forecasting import models
from ml.forecasting.conformal import finite_sample_quantiles
from ml.forecasting.data import Floats, Ints, Panel
from ml.forecasting.decide import RouteRules, route
from ml.forecasting.models.boosting import scale

log = logging.getLogger(__name__)
QUANTILES = (0.1, 0.5, 0.8, 0.9)
MOST_SERIES = 1_500
"""Series of a segment back-tested at each cutoff; which ones is decided by a hash of their names."""
LEAST_SCORES = 50
"""Residuals below which a group borrows the intervals of the next wider group."""
SIZES = 5
BUCKETS = (5, 9)
"""First weeks ahead of the second and third horizon bucket."""


@dataclass(frozen=True)
class Windows:
    """Origins of the back-test. A cutoff is the number of weeks known; `horizon` weeks after each are scored."""

    cutoffs: tuple[int, ...]
    horizon: int


def windows(weeks: int, horizon: int) -> Windows:
    """Up to three origins, the last one `horizon` weeks before the end.

    A history too short for the horizon asked is scored as far ahead as three eighths of it. Raises BadInputError
    where the history is shorter than 12 weeks or than the horizon.
    """
    if weeks < LEAST_WEEKS:
        raise BadInputError(f"There are {weeks} complete weeks; forecasting needs {LEAST_WEEKS}. Land more history.")
    if horizon > weeks:
        raise BadInputError(
            f"{horizon} weeks ahead are asked for, but only {weeks} complete weeks are known. "
            "Choose a nearer season or a smaller horizon_weeks."
        )
    scored = min(horizon, weeks * 3 // 8)
    last = weeks - scored
    step = min(scored // 2, (last - max(8, weeks // 3)) // 2)
    return Windows(tuple(sorted({last - 2 * step, last - step, last})), scored)


def backtest(panel: Panel, origins: Windows, rules: RouteRules) -> tuple[pd.DataFrame, dict[str, float]]:
    """Forecasts of every candidate model from every origin, and seconds by model.

    Columns: series (row of the panel), segment, model, cutoff, horizon, actual, forecast, scale (units a week known
    at the cutoff), step (mean squared week-on-week change known at the cutoff, the unit of RMSSE).
    """
    parts: list[pd.DataFrame] = []
    seconds: dict[str, float] = {}
    base = models.benchmark(min(origins.cutoffs))
    order = _stable_order(panel)
    for cutoff in origins.cutoffs:
        log.info("back-test of %s as of the week of %s", panel.level, panel.weeks[cutoff - 1].date())
        history = panel.until(cutoff)
        routes = route(history, rules)
        wanted: dict[str, list[Ints]] = {}
        for segment, candidates in models.candidates(panel.level, len(panel.weeks)).items():
            rows = routes.rows(segment)
            rows = np.sort(rows[np.argsort(order[rows], kind="stable")[:MOST_SERIES]])
            for name in candidates if "zero" in candidates else (base, *candidates):
                wanted.setdefault(name, []).append(rows)
        asked = {name: np.unique(np.concatenate(rows)) for name, rows in wanted.items()}
        units = scale(history.units)
        with np.errstate(invalid="ignore"):
            steps = _mean_of_known(np.diff(history.units, axis=1) ** 2)
        actual = panel.units[:, cutoff : cutoff + origins.horizon]
        for name, forecast in models.run(history, asked, origins.horizon).items():
            seconds[name] = seconds.get(name, 0.0) + forecast.seconds
            series = np.repeat(forecast.rows, origins.horizon)
            parts.append(
                pd.DataFrame(
                    {
                        "series": series,
                        "segment": routes.segment[series],
                        "model": name,
                        "cutoff": cutoff,
                        "horizon": np.tile(np.arange(1, origins.horizon + 1), len(forecast.rows)),
                        "actual": actual[forecast.rows].ravel(),
                        "forecast": forecast.units.ravel(),
                        "scale": units[series],
                        "step": steps[series],
                    }
                )
            )
    tested = pd.concat(parts, ignore_index=True)
    return tested.astype({"segment": "category", "model": "category"}), seconds


def accuracy(rows: pd.DataFrame, by: Iterable[str] = ("segment", "model")) -> pd.DataFrame:
    """WAPE, RMSSE and bias by segment and model.

    RMSSE (Hyndman & Koehler 2006) is the mean over series and cutoffs, weighted by what a series sold a week, so that
    a product sold twice does not outweigh one sold daily. It is undefined for a series that never changed before the
    cutoff; those are left out and counted in `undefined`. A measure without anything to divide by is NaN.
    """
    keys = list(by)
    error = rows["forecast"] - rows["actual"]
    work = rows.assign(absolute=error.abs(), error=error, squared=error**2)
    each = work.groupby([*keys, "series", "cutoff"], observed=True).agg(
        squared=("squared", "mean"), step=("step", "first"), scale=("scale", "first")
    )
    each["rmsse"] = np.sqrt(each["squared"] / each["step"].where(each["step"] > 0))
    each["weight"] = each["scale"].where(each["rmsse"].notna())
    each["weighted"] = each["rmsse"] * each["weight"]
    sums = work.groupby(keys, observed=True).agg(
        actual=("actual", "sum"),
        absolute=("absolute", "sum"),
        error=("error", "sum"),
        series=("series", "nunique"),
        rows=("series", "size"),
    )
    sold = sums["actual"].where(sums["actual"] > 0)
    grouped = each.groupby(keys, observed=True)
    undefined = grouped["rmsse"].size() - grouped["rmsse"].count()
    return pd.DataFrame(
        {
            "wape": sums["absolute"] / sold,
            "rmsse": grouped["weighted"].sum(min_count=1) / grouped["weight"].sum(min_count=1),
            "bias": sums["error"] / sold,
            "series": sums["series"],
            "rows": sums["rows"],
            "undefined": undefined,
        }
    ).reset_index()


KEYS = ("model", "segment", "bucket", "size")


@dataclass(frozen=True)
class Calibration:
    """Split-conformal offsets (Lei et al. 2018) in units of a series' scale.

    A group is a model, segment, horizon bucket and size (fifth of the segment by scale); one with too few residuals
    borrows from the next wider group, dropping size first and the model last.
    """

    edges: Mapping[str, Floats]
    offsets: Mapping[tuple[object, ...], Floats]

    def quantiles(self, rows: pd.DataFrame) -> Floats:
        """[row, quantile] in whole units, never below zero and not crossing; NaN where nothing was calibrated."""
        groups = _groups(rows, self.edges)
        found = groups.drop_duplicates()
        offsets = pd.DataFrame([self._find(key) for key in found.itertuples(index=False, name=None)], index=found.index)
        widened = groups.merge(pd.concat([found, offsets], axis=1), on=list(KEYS), how="left")
        spread = widened[list(range(len(QUANTILES)))].to_numpy() * _width(rows)[:, None]
        # Demand is counted: an interval from 0.02 up would never hold the zeros most weeks of most products are.
        result: Floats = np.maximum(np.rint(rows["forecast"].to_numpy()[:, None] + spread), 0.0)
        return result

    def _find(self, key: tuple[object, ...]) -> Floats:
        for length in range(len(KEYS), -1, -1):
            if key[:length] in self.offsets:
                return self.offsets[key[:length]]
        return np.full(len(QUANTILES), np.nan)


def calibrate(rows: pd.DataFrame) -> Calibration:
    """Offsets from residuals. `rows` as the back-test's, or as `sums` makes them."""
    edges = {
        str(segment): np.quantile(part["scale"], np.arange(1, SIZES) / SIZES)
        for segment, part in rows.groupby("segment", observed=True)
    }
    groups = _groups(rows, edges)
    score = (rows["actual"] - rows["forecast"]).to_numpy() / _width(rows)
    offsets: dict[tuple[object, ...], Floats] = {} if rows.empty else {(): finite_sample_quantiles(score, QUANTILES)}
    for length in range(1, len(KEYS) + 1):
        for key, positions in groups.groupby(list(KEYS[:length]), observed=True).indices.items():
            if len(positions) >= LEAST_SCORES:
                offsets[key if isinstance(key, tuple) else (key,)] = finite_sample_quantiles(
                    score[positions], QUANTILES
                )
    return Calibration(edges, offsets)


def known_before_last(rows: pd.DataFrame) -> pd.DataFrame:
    """Residuals that somebody standing at the last cutoff would have known: what honest coverage is calibrated on."""
    last = rows["cutoff"].max()
    return rows[(rows["cutoff"] < last) & (rows["cutoff"] + rows["horizon"] <= last)]


def covered(rows: pd.DataFrame, quantiles: Floats) -> pd.Series:
    """Whether the actual lies between the 10 % and the 90 % quantile; NaN where there is no interval."""
    low, high = quantiles[:, 0], quantiles[:, -1]
    inside = (rows["actual"] >= low) & (rows["actual"] <= high)
    return inside.astype(float).where(np.isfinite(low))


def _groups(rows: pd.DataFrame, edges: Mapping[str, Floats]) -> pd.DataFrame:
    size = np.zeros(len(rows), dtype=np.int64)
    segment = rows["segment"].astype(str).to_numpy()
    for name, cuts in edges.items():
        where = segment == name
        size[where] = np.searchsorted(cuts, rows["scale"].to_numpy()[where])
    bucket = np.digitize(rows["horizon"], BUCKETS) if "horizon" in rows else np.zeros(len(rows), dtype=np.int64)
    return pd.DataFrame(
        {"model": rows["model"].astype(str).to_numpy(), "segment": segment, "bucket": bucket, "size": size}
    )


def _width(rows: pd.DataFrame) -> Floats:
    weeks = rows.get("weeks", 1.0)
    result: Floats = (rows["scale"] * weeks).to_numpy(dtype=float)
    return result


def _mean_of_known(values: Floats) -> Floats:
    known = np.isfinite(values).sum(axis=1)
    result: Floats = np.nansum(values, axis=1) / np.where(known > 0, known, np.nan)
    return result


def _stable_order(panel: Panel) -> Ints:
    """A rank per series that depends on its name alone, so that the sample stays when other series come and go."""
    names = panel.series["product_id"].fillna("") + "|" + panel.series["category"] + "|" + panel.series["region"]
    hashed = pd.util.hash_array(names.to_numpy(dtype=object))
    rank = np.empty(len(hashed), dtype=np.int64)
    rank[np.argsort(hashed, kind="stable")] = np.arange(len(hashed))
    return rank
