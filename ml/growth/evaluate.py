"""How good a launch score is, on launches later than what it learned from, beside the rules it must beat.

A score is validated the way it is used: at each cutoff it has learned from outcomes as they were known then, whole or
provisional, and is judged on what the launches of the following weeks became.
"""

import logging
from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss

from ml.growth.data import Launches
from ml.growth.decide import BASE_RATE
from ml.growth.features import Kin, kin
from ml.growth.model import (
    METHODS,
    MOST_ROWS,
    RULE_METHOD,
    Calibration,
    Demand,
    Fitted,
    Spread,
    calibrate,
    fit,
    learn_demand,
    spread,
)

log = logging.getLogger(__name__)

COLUMNS = (
    *("method", "cutoff", "product_id", "category", "age_days", "label", "weeks", "units_so_far"),
    *("score", "base_rate", "chance", "log_expected", "log_demand", "like_units", "category_units", "category_median"),
)
DEPTHS = (20, 50, 100)
BOOTSTRAPS = 60


def learn(launches: Launches, until: pd.Timestamp, methods: Sequence[str]) -> tuple[Kin, Demand, dict[str, Fitted]]:
    """What is known and learned at `until`: kin of launches, demand, and each method."""
    past = kin(launches, until)
    rows = thinned(launches.labelled(until, past.known))
    frame = past.frame(rows)
    demand = learn_demand(frame, rows["log_demand"].to_numpy(dtype=float))
    hits = rows["hit"].to_numpy(dtype=bool)
    return past, demand, {method: fit(method, frame, hits, demand) for method in methods}


def thinned(rows: pd.DataFrame) -> pd.DataFrame:
    """At most about MOST_ROWS rows: every n-th product with all its landmarks, the same ones on every machine."""
    parts = -(-len(rows) // MOST_ROWS)
    if parts <= 1:
        return rows
    number = rows["product_id"].rank(method="dense").astype(int)
    return rows[number % parts == 0].reset_index(drop=True)


def validate(launches: Launches, methods: Sequence[str] = (*METHODS, BASE_RATE)) -> pd.DataFrame:
    """Out-of-time scores: one row a launch, landmark and method, calibrated on earlier cutoffs' launches only.

    Columns: COLUMNS. label and log_demand are what is known at the end (weeks: of how many of the 18), score is as the
    method gave it, chance calibrated; log_expected, like_units, category_units (means of like items and of the
    category) and category_median stand in the launch model's rows. Empty where nothing was known at any cutoff.
    """
    truth = launches.known(launches.end)
    judged = launches.labelled(launches.end, truth)
    parts: list[pd.DataFrame] = []
    seen: dict[str, list[pd.DataFrame]] = {method: [] for method in methods}
    for cutoff, following in zip(launches.cutoffs, (*launches.cutoffs[1:], launches.end), strict=False):
        rows = judged[(judged["moment"] > cutoff) & (judged["moment"] <= following)].reset_index(drop=True)
        if rows.empty or launches.known(cutoff).empty:
            continue
        log.info("back-test from %s of %d looks", f"{cutoff:%F}", len(rows))
        past, demand, fitted = learn(launches, cutoff, methods)
        frame = past.frame(rows)
        base = pd.DataFrame(
            {
                "cutoff": cutoff,
                "product_id": rows["product_id"],
                "category": launches.catalogue.loc[rows["product_id"], "category"].to_numpy(),
                "age_days": rows["age_days"],
                "label": rows["hit"].astype(bool),
                "weeks": rows["weeks"],
                "units_so_far": rows["units_so_far"],
            }
        )
        for method, found in fitted.items():
            score = found.score(frame)
            earlier = pd.concat(seen[method]) if seen[method] else base.iloc[:0].assign(score=0.0)
            calibration = calibration_of(earlier)
            part = base.assign(score=score, base_rate=found.base_rate, chance=calibration.chance(score))
            part.insert(0, "method", method)
            if method == "launch_model":
                part["log_expected"] = demand.log(frame)
                part["log_demand"] = rows["log_demand"]
                part["like_units"] = past.like_means["demand"].reindex(rows["product_id"]).to_numpy()
                for name, of in (("category_units", "mean"), ("category_median", "median")):
                    kinds = past.known.groupby("category")["demand"].agg(of)
                    part[name] = part["category"].map(kinds).fillna(past.known["demand"].agg(of))
            parts.append(part)
            # A base rate ranks nothing: calibrated on it, a slope would come from two weeks' luck, and of any sign.
            if found.model is not None:
                seen[method].append(part)
    if not parts:
        return pd.DataFrame(columns=list(COLUMNS))
    return pd.concat(parts, ignore_index=True).reindex(columns=list(COLUMNS))


def calibration_of(validated: pd.DataFrame) -> Calibration:
    """Calibration of one method, learned from its validated looks."""
    scores, hits = validated["score"].to_numpy(dtype=float), validated["label"].to_numpy(dtype=bool)
    return calibrate(scores, hits, int(validated["product_id"].nunique()))


def spread_of(validated: pd.DataFrame) -> Spread:
    """Spread of demand among the validated launches."""
    told = validated[validated["log_expected"].notna()]
    expected, became = (told[name].to_numpy(dtype=float) for name in ("log_expected", "log_demand"))
    return spread(expected, became, told["age_days"].to_numpy())


def measure(validated: pd.DataFrame) -> pd.DataFrame:
    """One row a method: average precision, precision at k (mean over cutoffs), Brier score, log loss, their base-rate
    counterparts, and 80 % bootstrap bounds of the differences to the rule (resampling products, which repeat)."""
    rows = []
    rule = validated[validated["method"] == RULE_METHOD]
    for method, part in validated.groupby("method", sort=False):
        y = part["label"].to_numpy(dtype=bool)
        row: dict[str, object] = {
            "method": method,
            "launches": len(part),
            "bestsellers": int(part.loc[part["label"].astype(bool), "product_id"].nunique()),
            "average_precision": average_precision(y, part["score"].to_numpy()),
            "brier": float(brier_score_loss(y, part["chance"])),
            "log_loss": float(log_loss(y, part["chance"], labels=[False, True])),
            "base_log_loss": float(log_loss(y, part["base_rate"], labels=[False, True])),
        }
        row |= {f"precision_at_{k}": precision_at(part, k) for k in DEPTHS}
        row["ap_gain_low"], row["ap_gain_high"] = _gain_bounds(rule, part)
        rows.append(row)
    return pd.DataFrame(rows)


def precision_at(part: pd.DataFrame, k: int) -> float:
    """Share of blockbusters among the k best scored of each cutoff, averaged over cutoffs; ties by units, product."""
    ordered = part.sort_values(["cutoff", "score", "units_so_far", "product_id"], ascending=[True, False, False, True])
    top = ordered.groupby("cutoff").head(k)
    return float(top.groupby("cutoff")["label"].mean().mean())


def calibration_table(part: pd.DataFrame, bins: int = 10) -> pd.DataFrame:
    """Mean chance beside the observed share in `bins` groups of equal size, lowest chance first."""
    place = pd.qcut(part["chance"].rank(method="first"), min(bins, len(part)), labels=False)
    grouped = part.assign(group=place, label=part["label"].astype(float)).groupby("group")
    table = grouped.agg(launches=("label", "size"), chance=("chance", "mean"), observed=("label", "mean"))
    return table.reset_index()


def calibration_error(part: pd.DataFrame, bins: int = 10) -> float:
    """Expected calibration error: mean distance of promised and observed over groups of equal size."""
    table = calibration_table(part, bins)
    return float(np.average((table["chance"] - table["observed"]).abs(), weights=table["launches"]))


def average_precision(y: np.ndarray, scores: np.ndarray) -> float:
    return float(average_precision_score(y, scores)) if y.any() else 0.0


def _gain_bounds(rule: pd.DataFrame, part: pd.DataFrame) -> tuple[float, float]:
    if part["method"].iloc[0] == RULE_METHOD:
        return 0.0, 0.0
    y = part["label"].to_numpy(dtype=bool)
    products, where = np.unique(part["product_id"], return_inverse=True)
    rng = np.random.default_rng(0)
    gains = []
    for _ in range(BOOTSTRAPS):
        weight = np.bincount(rng.integers(0, len(products), len(products)), minlength=len(products))[where]
        if not (weight * y).any():
            continue
        gains.append(
            average_precision_score(y, part["score"], sample_weight=weight)
            - average_precision_score(y, rule["score"], sample_weight=weight)
        )
    low, high = np.quantile(gains, [0.1, 0.9]) if gains else (0.0, 0.0)
    return float(low), float(high)
