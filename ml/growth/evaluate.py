"""How good a launch score is, on launches later than those it learned from, beside the rule it must beat.

A score is validated the way it is used: at each scoring week it has seen only quarters that were over by then, so
thirteen weeks lie between the last launch it learned from and the first it is judged on.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss

from coldframe.settings import get_settings
from ml.growth.data import QUARTER
from ml.growth.decide import BASE_RATE
from ml.growth.model import METHODS, RULE_METHOD, Fitted, calibrate, fit

FOLDS = 6
COLUMNS = (
    *("method", "scored_week", "product_id", "category", "label", "units_so_far"),
    *("score", "base_rate", "chance"),
)
DEPTHS = (20, 50, 100)
BOOTSTRAPS = 60


def validate(known: pd.DataFrame, methods: Sequence[str] = (*METHODS, BASE_RATE)) -> pd.DataFrame:
    """Out-of-time scores: one row a launch, validation week and method, calibrated on earlier weeks' outcomes only.

    Columns: method, scored_week, product_id, category, label, units_so_far, score (as the method gave it), chance
    (calibrated). Empty where no week has a predecessor a quarter earlier.
    """
    weeks = sorted(known["scored_week"].unique())
    judged = [week for week in weeks if week - pd.Timedelta(weeks=QUARTER) >= weeks[0]]
    # Every second week where there are enough: neighbouring weeks share most of their launches.
    folds = judged[-2 * FOLDS + 1 :: 2] if len(judged) >= 2 * FOLDS else judged[-FOLDS:]
    parts = []
    with ThreadPoolExecutor(get_settings().threads) as pool:
        by_fold = pool.map(
            lambda fold: fit(fold[0], known[known["scored_week"] <= fold[1] - pd.Timedelta(weeks=QUARTER)]),
            [(method, week) for method in methods for week in folds],
        )
    for method in methods:
        seen: list[pd.DataFrame] = []
        for week in folds:
            fitted: Fitted = next(by_fold)
            part = known.loc[
                known["scored_week"] == week, ["scored_week", "product_id", "category", "label", "units_so_far"]
            ].copy()
            part["score"] = fitted.predict(known[known["scored_week"] == week])
            part["base_rate"] = fitted.base_rate
            earlier = pd.concat(seen) if seen else part.iloc[:0]
            calibration = calibrate(earlier["score"].to_numpy(), earlier["label"].to_numpy(dtype=bool))
            part["chance"] = calibration.chance(part["score"].to_numpy())
            part.insert(0, "method", method)
            parts.append(part)
            # A base rate ranks nothing: calibrated on it, a slope would come from two weeks' luck, and of any sign.
            if fitted.classifier is not None:
                seen.append(part)
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COLUMNS)


def measure(validated: pd.DataFrame) -> pd.DataFrame:
    """One row a method: average precision, precision at k (mean over weeks), Brier score, log loss, their base-rate
    counterparts, and 80 % bootstrap bounds of the differences to the rule (resampling products, which repeat)."""
    rows = []
    rule = validated[validated["method"] == RULE_METHOD]
    for method, part in validated.groupby("method", sort=False):
        y = part["label"].to_numpy(dtype=bool)
        row: dict[str, object] = {
            "method": method,
            "launches": len(part),
            "bestsellers": int(y.sum()),
            "average_precision": _average_precision(y, part["score"].to_numpy()),
            "brier": float(brier_score_loss(y, part["chance"])),
            "log_loss": float(log_loss(y, part["chance"], labels=[False, True])),
            "base_log_loss": float(log_loss(y, part["base_rate"], labels=[False, True])),
        }
        row |= {f"precision_at_{k}": precision_at(part, k) for k in DEPTHS}
        row["ap_gain_low"], row["ap_gain_high"] = _gain_bounds(rule, part)
        rows.append(row)
    return pd.DataFrame(rows)


def precision_at(part: pd.DataFrame, k: int) -> float:
    """Share of bestsellers among the k best scored of each week, averaged over weeks; ties by units, then product."""
    ordered = part.sort_values(
        ["scored_week", "score", "units_so_far", "product_id"], ascending=[True, False, False, True]
    )
    top = ordered.groupby("scored_week").head(k)
    return float(top.groupby("scored_week")["label"].mean().mean())


def calibration_table(part: pd.DataFrame, bins: int = 10) -> pd.DataFrame:
    """Mean chance beside the observed share in `bins` groups of equal size, lowest chance first."""
    place = pd.qcut(part["chance"].rank(method="first"), min(bins, len(part)), labels=False)
    grouped = part.assign(group=place, label=part["label"].astype(float)).groupby("group")
    table = grouped.agg(launches=("label", "size"), chance=("chance", "mean"), observed=("label", "mean"))
    return table.reset_index()


def _average_precision(y: np.ndarray, scores: np.ndarray) -> float:
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
