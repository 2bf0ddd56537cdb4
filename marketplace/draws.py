"""Randomness without a history: every stream is named, so that any day can be drawn without those before it.

One stream used for two things, or one that depends on how far the horizon reaches, and generating January would
change February.
"""

from hashlib import blake2b

import numpy as np


def stream(seed: int, name: str, *counters: int) -> np.random.Generator:
    """The generator of (seed, name, counters): always the same numbers, whatever was drawn elsewhere."""
    digest = blake2b(f"{seed}/{name}/{counters}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))


def choose(rng: np.random.Generator, weights: np.ndarray, size: int) -> np.ndarray:
    """`size` positions drawn with probability proportional to `weights` (one dimension, not all zero)."""
    total = np.cumsum(weights)
    return np.minimum(np.searchsorted(total, rng.random(size) * total[-1], side="right"), len(weights) - 1)
