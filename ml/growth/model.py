"""What is learned of a launch: three ways to turn early weeks into a chance, and the calibration put over them.

The rule (units so far, and age) is a candidate like the others, so that a clever model that loses to it cannot serve.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from scipy.stats import beta
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from ml.growth.data import FEATURES, RULE, matrix
from ml.growth.decide import BASE_RATE

LEAST_POSITIVES = 20
"""Bestsellers a training set needs; with fewer the base rate serves."""
ISOTONIC_FROM = 200
"""Bestsellers among the validated launches from which on the shape of the calibration is left to them."""
NEIGHBOURS = 300
"""Launches scored most alike whose outcomes bound a probability."""
_EDGE = 1e-5


class Classifier(Protocol):
    """What scikit-learn's classifiers offer."""

    def fit(self, X: np.ndarray, y: np.ndarray) -> object: ...

    def predict_proba(self, X: np.ndarray) -> np.ndarray: ...


def _linear() -> Classifier:
    imputed = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
    return make_pipeline(imputed, StandardScaler(), LogisticRegression(C=0.5, max_iter=1000))  # type: ignore[return-value]


def _boosted() -> Classifier:
    return HistGradientBoostingClassifier(  # type: ignore[no-any-return]
        learning_rate=0.05, max_iter=120, max_leaf_nodes=15, min_samples_leaf=60, l2_regularization=5.0, random_state=0
    )


RULE_METHOD = "rule"
METHODS: dict[str, tuple[Callable[[], Classifier], tuple[str, ...]]] = {
    RULE_METHOD: (_linear, RULE),
    "logistic": (_linear, FEATURES),
    "boosting": (_boosted, FEATURES),
}


@dataclass(frozen=True)
class Fitted:
    """A trained method. Without enough bestsellers to learn from it knows the base rate only (`classifier` None)."""

    method: str
    base_rate: float
    classifier: Classifier | None

    def predict(self, rows: pd.DataFrame) -> np.ndarray:
        """Uncalibrated chances [row]."""
        if self.classifier is None or not len(rows):
            return np.full(len(rows), self.base_rate)
        chance = self.classifier.predict_proba(matrix(rows, METHODS[self.method][1]))[:, 1]
        return np.clip(chance, _EDGE, 1 - _EDGE)


def fit(method: str, rows: pd.DataFrame) -> Fitted:
    """Trains one of METHODS, or BASE_RATE, on labelled launches. Jeffreys' prior keeps the base rate off 0 and 1."""
    y = rows["label"].to_numpy(dtype=bool)
    base_rate = float((y.sum() + 0.5) / (len(y) + 1))
    if method == BASE_RATE or min(y.sum(), (~y).sum()) < LEAST_POSITIVES:
        return Fitted(method, base_rate, None)
    build, features = METHODS[method]
    classifier = build()
    X = matrix(rows, features)
    # scikit-learn 1.9's boosting cannot bin a feature nobody has; a constant is never split on.
    X[:, np.isnan(X).all(axis=0)] = 0
    # On cores shared with anyone else, OpenMP's waiting threads make boosting five times slower.
    with threadpool_limits(1):
        classifier.fit(X, y)
    return Fitted(method, base_rate, classifier)


@dataclass(frozen=True)
class Calibration:
    """A rising curve over out-of-time scores, and the scores with their outcomes for intervals.

    With few bestsellers Platt's sigmoid (1999, "Probabilistic outputs for support vector machines", eq. 1, on the logit
    of the score): two numbers are all they can carry. From ISOTONIC_FROM on an isotonic one (Zadrozny & Elkan 2002,
    "Transforming classifier scores into accurate multiclass probability estimates", sec. 3.2), whose `steps` are scores
    and chances: a sigmoid that fits the many hopeless launches promises the few good ones half of what they keep.
    """

    slope: float
    offset: float
    scores: np.ndarray
    outcomes: np.ndarray
    steps: tuple[np.ndarray, np.ndarray] | None = None

    def chance(self, scores: np.ndarray) -> np.ndarray:
        """Calibrated chances of uncalibrated ones. Never 0 or 1: as many launches as were seen cannot prove that."""
        if self.steps is not None:
            least = 1 / (len(self.scores) + 2)
            return np.clip(np.interp(scores, *self.steps), least, 1 - least)
        calibrated: np.ndarray = expit(self.offset + self.slope * logit(np.clip(scores, _EDGE, 1 - _EDGE)))
        return calibrated

    def interval(self, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """80 % bounds: Jeffreys' interval of the rate among the out-of-time launches scored most alike."""
        if not len(self.scores):
            return np.zeros(len(scores)), np.ones(len(scores))
        order = np.argsort(self.scores, kind="stable")
        known, hits = self.scores[order], np.concatenate([[0], np.cumsum(self.outcomes[order])])
        width = min(NEIGHBOURS, len(known))
        first = np.clip(np.searchsorted(known, scores) - width // 2, 0, len(known) - width)
        found = hits[first + width] - hits[first]
        return beta.ppf(0.1, found + 0.5, width - found + 0.5), beta.ppf(0.9, found + 0.5, width - found + 0.5)


def calibrate(scores: np.ndarray, outcomes: np.ndarray) -> Calibration:
    """Fits the curve; with too few outcomes of either kind the scores are taken as they are."""
    y = outcomes.astype(bool)
    if min(y.sum(), (~y).sum()) < LEAST_POSITIVES:
        return Calibration(1.0, 0.0, scores, y.astype(int))
    if y.sum() >= ISOTONIC_FROM:
        curve = IsotonicRegression().fit(scores, y)
        return Calibration(1.0, 0.0, scores, y.astype(int), (curve.X_thresholds_, curve.y_thresholds_))
    sigmoid = LogisticRegression(C=1e6).fit(logit(np.clip(scores, _EDGE, 1 - _EDGE))[:, None], y)
    return Calibration(float(sigmoid.coef_[0, 0]), float(sigmoid.intercept_[0]), scores, y.astype(int))
