"""Quantiles of a back-test's errors that hold what they promise in a small sample, for weeks and days alike."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]


def finite_sample_quantiles(scores: Floats, quantiles: Sequence[float]) -> Floats:
    """Order statistics that cover with at least the stated probability in a sample of n: rank ceil(p (n + 1)) (Lei et
    al. 2018, "Distribution-free predictive inference for regression")."""
    ordered, n = np.sort(scores), len(scores)
    ranks = [np.floor(p * (n + 1)) if p < 0.5 else np.ceil(p * (n + 1)) for p in quantiles]
    result: Floats = ordered[np.clip(np.array(ranks, dtype=int) - 1, 0, n - 1)]
    return result
