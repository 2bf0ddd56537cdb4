"""What is learned of launches: the chance of a blockbuster by several methods, and the demand of weeks 9 to 26.

All methods are logistic regressions, whose numbers can be read out to the person who asks why; what differs is what
they look at. Coefficients change with age: a first week's sales mean another thing on day 7 than on day 56. The rules
anybody could follow are methods like the others, so that a clever one that loses to them cannot serve.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import beta
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from ml.growth.decide import BASE_RATE, PACE
from ml.growth.features import FEATURES, Frame

LEAST_POSITIVES = 20
"""Blockbusters (and others) a method needs to learn from; with fewer it gives the base rate."""
LEAST_ROWS = 200
"""Rows with an outcome that demand is learned from; with fewer it follows the pace and the like items."""
MOST_ROWS = 60_000
"""Rows learned from; of more, whole products are left out, so that training stays within minutes."""
ISOTONIC_FROM = 200
"""Blockbusters among the validated launches from which on the shape of the calibration is left to them."""
STEEPEST = 3.0
"""Slope of a sigmoid above which it is not believed."""
LOOKS = 300
"""Validated looks (at most) that a calibrated chance counts as the rate of when it is bounded."""
KNOTS = np.log1p([0, 1, 7, 28, 112])
"""Ages (days, log1p) between which coefficients change linearly."""
STRENGTH, RIDGE = 0.01, 300.0
"""Penalties of the two regressions, tuned on M5 and Online Retail II (0.003 to 0.03 and 100 to 1,000 do about as well).
"""
EXPECTED = "expected"
"""Demand that a ridge regression expects, in money over the category's line: a feature of the launch model."""
RULE_METHOD = "rule"
METHODS: dict[str, tuple[str, ...]] = {
    RULE_METHOD: ("units",),
    "category_prior": ("category_hits",),
    "two_features": ("units", "category_hits"),
    PACE: ("over_line_7",),
    "launch_model": (*FEATURES, EXPECTED),
}
_EDGE = 1e-5
_STEP_DIGITS = 9
_CLIP = 5.0


@dataclass(frozen=True)
class Scale:
    """Means, medians and spreads of a training set's features; standardised values are clipped at five spreads."""

    steps: Any

    def __call__(self, values: pd.DataFrame) -> np.ndarray:
        found: np.ndarray = self.steps.transform(values.to_numpy(dtype=float)).clip(-_CLIP, _CLIP)
        return found


def _scale(values: pd.DataFrame) -> Scale:
    steps = make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler())
    return Scale(steps.fit(values.to_numpy(dtype=float)))


def _hats(age_days: np.ndarray) -> np.ndarray:
    """Weight of each knot at each age, [row, knot]; they add up to one."""
    x = np.log1p(np.clip(age_days, 0, None))
    return np.column_stack([np.interp(x, KNOTS, row) for row in np.eye(len(KNOTS))])


def _design(scaled: np.ndarray, topics: np.ndarray, hats: np.ndarray) -> np.ndarray:
    """Features, topics and age; then the features once for each knot of age."""
    return np.hstack([scaled, topics, hats, *(scaled * hats[:, [j]] for j in range(hats.shape[1]))])


@dataclass(frozen=True)
class Demand:
    """Units in weeks 9 to 26, by two views of their logarithm, averaged: boosted trees that minimise the absolute error
    of the logarithm, and of what it exceeds the pace by. A ridge stands beside them, smooth enough to be a feature of
    the chance, and too bold where one order of a thousand units follows another. Without enough to learn from: the
    pace."""

    scale: Scale | None
    ridge: Ridge | None
    trees: tuple[HistGradientBoostingRegressor, ...]
    told: np.ndarray | None = None

    def ridge_log(self, frame: Frame) -> np.ndarray:
        """What the ridge expects, log(1 + units) [row]."""
        if self.scale is None or self.ridge is None:
            return _pace(frame)
        found: np.ndarray = self.ridge.predict(_design(self.scale(frame.values), frame.topics, _hats(frame.age_days)))
        return found

    def log(self, frame: Frame) -> np.ndarray:
        """log(1 + units) [row], about the median."""
        if not self.trees or not len(frame):
            return _pace(frame)
        X = _tabular(frame)[:, self.told]
        with threadpool_limits(1):
            level, over_pace = (trees.predict(X) for trees in self.trees)
        mean: np.ndarray = (level + over_pace + frame.values["pace_7"].to_numpy()) / 2
        return np.maximum(mean, 0)

    def expected(self, frame: Frame) -> np.ndarray:
        """The feature EXPECTED: the ridge's demand in money over the line of the category, in logarithms."""
        return self.ridge_log(frame) + frame.values["price"].to_numpy() - frame.values["line"].to_numpy()


def _pace(frame: Frame) -> np.ndarray:
    return np.maximum(frame.values["pace_21"].to_numpy(dtype=float), 0)


def _tabular(frame: Frame) -> np.ndarray:
    return np.column_stack([frame.values.to_numpy(dtype=float), frame.topics, np.log1p(frame.age_days)])


def learn_demand(frame: Frame, log_demand: np.ndarray) -> Demand:
    """Learns from rows with an outcome; `log_demand` is log(1 + units in weeks 9 to 26) [row]."""
    if len(frame) < LEAST_ROWS:
        return Demand(None, None, ())
    scale = _scale(frame.values)
    X = _tabular(frame)
    # A feature nobody has would be drawn for splits in place of one that tells; scikit-learn 1.9 cannot bin it either.
    told = ~np.isnan(X).all(axis=0)
    X = X[:, told]
    # On cores shared with anyone else, OpenMP's waiting threads make boosting five times slower.
    with threadpool_limits(1):
        ridge = Ridge(RIDGE).fit(_design(scale(frame.values), frame.topics, _hats(frame.age_days)), log_demand)
        targets = (log_demand, log_demand - frame.values["pace_7"].to_numpy())
        trees = tuple(
            HistGradientBoostingRegressor(
                loss="absolute_error",
                learning_rate=0.05,
                max_iter=120,
                max_leaf_nodes=10,
                min_samples_leaf=40,
                max_features=0.5,
                random_state=0,
            ).fit(X, target)
            for target in targets
        )
    return Demand(scale, ridge, trees, told)


@dataclass(frozen=True)
class Fitted:
    """A trained method. Without enough blockbusters to learn from it knows the base rate only (`model` None)."""

    method: str
    base_rate: float
    demand: Demand
    scale: Scale | None = None
    model: LogisticRegression | None = None

    def score(self, frame: Frame) -> np.ndarray:
        """Uncalibrated chances [row]."""
        if self.model is None or self.scale is None or not len(frame):
            return np.full(len(frame), self.base_rate)
        chance = self.model.predict_proba(self._inputs(frame))[:, 1]
        return np.clip(chance, _EDGE, 1 - _EDGE)

    def contributions(self, frame: Frame) -> pd.DataFrame:
        """What each feature adds to the log-odds beside a launch whose features are all average: a column each, and
        `words` for the topics. Age is in the level, not in a column. Empty for the base rate."""
        if self.model is None or self.scale is None or not len(frame):
            return pd.DataFrame(index=range(len(frame)))
        names, coefficients = METHODS[self.method], self.model.coef_[0]
        scaled, hats = self.scale(_values(self.method, frame, self.demand)), _hats(frame.age_days)
        topics = frame.topics if self.method == "launch_model" else frame.topics[:, :0]
        count, topic_end = len(names), len(names) + topics.shape[1]
        by_age = coefficients[topic_end + hats.shape[1] :].reshape(hats.shape[1], count)
        found = pd.DataFrame(scaled * (coefficients[:count] + hats @ by_age), columns=list(names))
        if topics.shape[1]:
            found["words"] = topics @ coefficients[count:topic_end]
        return found

    def _inputs(self, frame: Frame) -> np.ndarray:
        assert self.scale is not None
        topics = frame.topics if self.method == "launch_model" else frame.topics[:, :0]
        return _design(self.scale(_values(self.method, frame, self.demand)), topics, _hats(frame.age_days))


def _values(method: str, frame: Frame, demand: Demand) -> pd.DataFrame:
    names = METHODS[method]
    values = frame.values[[name for name in names if name != EXPECTED]]
    return values.assign(**{EXPECTED: demand.expected(frame)}) if EXPECTED in names else values


def fit(method: str, frame: Frame, hits: np.ndarray, demand: Demand) -> Fitted:
    """Trains one of METHODS, or BASE_RATE, on rows with an outcome. Jeffreys' prior keeps the base rate off 0 and 1."""
    hits = hits.astype(bool)
    base_rate = float((hits.sum() + 0.5) / (len(hits) + 1))
    if method == BASE_RATE or min(hits.sum(), (~hits).sum()) < LEAST_POSITIVES:
        return Fitted(method, base_rate, demand)
    untrained = Fitted(method, base_rate, demand, _scale(_values(method, frame, demand)))
    with threadpool_limits(1):
        model = LogisticRegression(C=STRENGTH, max_iter=500).fit(untrained._inputs(frame), hits)
    return Fitted(method, base_rate, demand, untrained.scale, model)


@dataclass(frozen=True)
class Calibration:
    """A rising curve over out-of-time scores: of how many `looks`, at how many `launches`, it was learned.

    With few blockbusters Platt's sigmoid (1999, "Probabilistic outputs for support vector machines", eq. 1, on the
    logit of the score): two numbers are all they can carry. From ISOTONIC_FROM on an isotonic one (Zadrozny & Elkan
    2002, "Transforming classifier scores into accurate multiclass probability estimates", sec. 3.2), whose `steps` are
    scores and chances: a sigmoid that fits the many hopeless launches promises the few good ones half of what they
    keep.
    """

    slope: float
    offset: float
    looks: int
    launches: int
    steps: tuple[np.ndarray, np.ndarray] | None = None

    def chance(self, scores: np.ndarray) -> np.ndarray:
        """Calibrated chances of uncalibrated ones. Never 0 or 1: as many launches as were seen cannot prove that."""
        if self.steps is not None:
            found: np.ndarray = np.interp(scores, *self.steps)
            return found
        calibrated: np.ndarray = expit(self.offset + self.slope * logit(np.clip(scores, _EDGE, 1 - _EDGE)))
        learned = (self.slope, self.offset) != (1.0, 0.0)
        least = 1 / (self.looks + 2) if learned else _EDGE
        return np.clip(calibrated, least, 1 - least)

    def interval(self, chances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """80 % bounds of calibrated `chances`: Jeffreys' interval of a rate of that size, seen in as many launches as
        LOOKS looks are on average (looks at one launch share its fate); from 0 to 1 where nothing was validated.

        A chance as small as none of as many would tell is bounded by 0, as Brown, Cai & DasGupta bound it (2001,
        "Interval estimation for a binomial proportion": Jeffreys' interval of no success begins at 0).
        """
        if not self.looks:
            return np.zeros(len(chances)), np.ones(len(chances))
        seen = min(LOOKS, self.looks) * self.launches / self.looks
        low, high = (beta.ppf(q, chances * seen + 0.5, (1 - chances) * seen + 0.5) for q in (0.1, 0.9))
        return np.where(low < chances, low, 0.0), np.where(high > chances, high, 1.0)


def calibrate(scores: np.ndarray, outcomes: np.ndarray, launches: int | None = None) -> Calibration:
    """Fits the curve to looks at so many distinct `launches` (None: each look is at another); with too few outcomes of
    either kind the scores are taken as they are."""
    y = outcomes.astype(bool)
    counts = len(scores), len(scores) if launches is None else launches
    if min(y.sum(), (~y).sum()) < LEAST_POSITIVES:
        return Calibration(1.0, 0.0, *counts)
    if y.sum() >= ISOTONIC_FROM:
        curve = IsotonicRegression().fit(scores, y)
        # Ten of ten are no certainty: of each step as many as were seen, by Jeffreys' prior.
        seen = pd.Series(y).groupby(curve.predict(scores).round(_STEP_DIGITS)).agg(["sum", "size"])
        chance = np.maximum.accumulate((seen["sum"] + 0.5) / (seen["size"] + 1))
        steps = np.interp(curve.y_thresholds_.round(_STEP_DIGITS), seen.index, chance)
        return Calibration(1.0, 0.0, *counts, (curve.X_thresholds_, steps))
    told = logit(np.clip(scores, _EDGE, 1 - _EDGE))
    sigmoid = LogisticRegression(C=1e6).fit(told[:, None], y)
    slope, offset = float(sigmoid.coef_[0, 0]), float(sigmoid.intercept_[0])
    if not 0 < slope <= STEEPEST:
        # A curve that falls, or tells all from none, is the luck of a few weeks: only the level is mended.
        slope, offset = 1.0, float(brentq(lambda moved: expit(told + moved).mean() - y.mean(), -20, 20))
    return Calibration(slope, offset, *counts)


@dataclass(frozen=True)
class Spread:
    """How far demand came out from what was expected, by age and level: logarithms of ratios, from launches not learned
    from. `edges` part each age band's expectations in three; `mean` turns the typical demand into the mean one."""

    edges: np.ndarray
    quantiles: np.ndarray
    mean: np.ndarray

    def apply(self, log_demand: np.ndarray, age_days: np.ndarray) -> pd.DataFrame:
        """demand_mean, demand_q10, demand_q50, demand_q90 in units [row]."""
        band = _band(age_days)
        level = (log_demand[:, None] > self.edges[band]).sum(axis=1)
        moved = np.maximum(log_demand[:, None] + self.quantiles[band, level], 0)
        found = pd.DataFrame(np.expm1(moved), columns=["demand_q10", "demand_q50", "demand_q90"])
        found.insert(0, "demand_mean", np.exp(log_demand) * self.mean[band, level])
        return found


BANDS = (3, 21, 70)
"""Ages (days) that part the age bands of a Spread."""
LEAST_SPREAD = 30
_QUANTILES = (0.1, 0.5, 0.9)
_WIDE = np.array([-2.0, 0.0, 2.0])


def _band(age_days: np.ndarray) -> np.ndarray:
    return np.searchsorted(BANDS, age_days)


def spread(log_expected: np.ndarray, log_demand: np.ndarray, age_days: np.ndarray) -> Spread:
    """Learns it from out-of-time rows. Where fewer than LEAST_SPREAD fall into a cell, all ages' ratios serve; without
    any at all a factor of seven to either side."""
    count = len(BANDS) + 1
    ratio = log_demand - log_expected
    everywhere = np.quantile(ratio, _QUANTILES) if len(ratio) >= LEAST_SPREAD else _WIDE
    shop_mean = _mean_ratio(log_expected, log_demand) if len(ratio) >= LEAST_SPREAD else 1.0
    edges, quantiles = np.zeros((count, 2)), np.tile(everywhere, (count, 3, 1))
    mean = np.full((count, 3), shop_mean)
    bands = _band(age_days)
    for band in range(count):
        of_band = bands == band
        if of_band.sum() < 3 * LEAST_SPREAD:
            continue
        edges[band] = np.quantile(log_expected[of_band], [1 / 3, 2 / 3])
        level = (log_expected[:, None] > edges[band]).sum(axis=1)
        for third in range(3):
            cell = of_band & (level == third)
            if cell.sum() >= LEAST_SPREAD:
                quantiles[band, third] = np.quantile(ratio[cell], _QUANTILES)
                mean[band, third] = _mean_ratio(log_expected[cell], log_demand[cell])
    return Spread(edges, quantiles, mean)


def _mean_ratio(log_expected: np.ndarray, log_demand: np.ndarray) -> float:
    return float(np.expm1(log_demand).sum() / max(np.exp(log_expected).sum(), 1e-9))
