"""Which products sell more or less than their season and category explain.

A buyer acts on every rise he is shown, so chance must not look like one: a rise is tested against how much products
of this shop swing anyway, and of all rises told at most one in ten is to be false.
"""

import numpy as np
import pandas as pd
from scipy.stats import chi2, false_discovery_control, gamma, nbinom

from ml.forecasting.data import Floats

RECENT = 4
BEFORE = 13
LEAST_EXPECTED = 5.0
"""Units expected in the recent weeks below which nothing can be told."""
GROWTH = 1.2
"""A trend worth acting on: a fifth more than season and category explain."""
WITHIN = 0.95
"""Share of products whose swings are chance: the rest may be trends."""
MOST_SWING = 1e4
COLUMNS = ("product_id", "recent", "expected", "ratio", "p_value", "q_value", "p_growth")


def trends(units: Floats, groups: np.ndarray, names: pd.Series) -> pd.DataFrame:
    """One row a product with enough sales: COLUMNS, units of the last four weeks beside what was expected of them.

    `units` is [product, week]. Expected is the rate of the 13 weeks before, moved as the product's group (its category)
    moved without it. `p_value` is two-sided under a negative binomial whose dispersion products of this shop
    showed in earlier four weeks; `q_value` controls the false discovery rate (Benjamini & Hochberg 1995). `p_growth` is
    the chance that demand grew by a fifth at least, after the Gamma prior on the ratio that the dispersion implies
    (Poisson-Gamma conjugacy: Gelman et al., Bayesian Data Analysis, 2.6).
    """
    known = np.nan_to_num(units)
    if known.shape[1] < RECENT + BEFORE:
        return pd.DataFrame({name: pd.Series(dtype=object if name == "product_id" else float) for name in COLUMNS})
    size = _steadiness(known, groups)
    recent, expected = _recent_and_expected(known, groups)
    kept = expected >= LEAST_EXPECTED
    recent, expected = recent[kept], expected[kept]
    chance = nbinom(size, size / (size + expected))
    p_value = np.minimum(1.0, 2 * np.minimum(chance.cdf(recent), chance.sf(recent - 1)))
    return pd.DataFrame(
        {
            "product_id": names[kept].to_numpy(),
            "recent": recent,
            "expected": expected,
            "ratio": recent / expected,
            "p_value": p_value,
            "q_value": false_discovery_control(p_value) if len(p_value) else p_value,
            "p_growth": gamma(size + recent, scale=1 / (size + expected)).sf(GROWTH),
        }
    )


def _recent_and_expected(known: Floats, groups: np.ndarray) -> tuple[Floats, Floats]:
    recent = known[:, -RECENT:].sum(axis=1)
    before = known[:, -RECENT - BEFORE : -RECENT].sum(axis=1) * RECENT / BEFORE
    others_recent = np.bincount(groups, recent)[groups] - recent
    others_before = np.bincount(groups, before)[groups] - before
    # A product alone in its group has nothing to be compared with but its own past.
    moved = np.divide(others_recent, others_before, out=np.ones_like(recent), where=others_before >= LEAST_EXPECTED)
    return np.rint(recent), before * moved


def _steadiness(known: Floats, groups: np.ndarray) -> float:
    """Size of the negative binomial by moments: variance = mean + mean^2 / size, over earlier spans of four weeks."""
    excess, squares = 0.0, 0.0
    for end in range(known.shape[1] - RECENT, RECENT + BEFORE - 1, -RECENT):
        recent, expected = _recent_and_expected(known[:, :end], groups)
        kept = expected >= LEAST_EXPECTED
        relative = recent[kept] / expected[kept] - 1
        # A quantile is not moved by the few that really rose or fell; a high one sees that great swings are common.
        if kept.any():
            spread = np.quantile(relative**2, WITHIN) / chi2.ppf(WITHIN, 1)
            excess += float(spread - np.mean(1 / expected[kept])) * kept.sum()
            squares += float(kept.sum())
    return MOST_SWING if squares == 0 or excess <= squares / MOST_SWING else squares / excess
