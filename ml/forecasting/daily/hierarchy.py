"""The levels a shop's demand adds up over, from one product in one region to the whole shop.

A forecast that differs from the sum of its parts is two forecasts; every sum of this room is made here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from coldframe.errors import ConfigurationError

Ints = NDArray[np.int64]
Matrix = NDArray[Any]

_PRODUCTS: Mapping[str, tuple[str, ...]] = {
    "": (),
    "category": ("category",),
    "subcategory": ("category", "subcategory"),
    "product": ("product_id",),
    "merchant": ("merchant_id",),
}
_PLACES: Mapping[str, tuple[str, ...]] = {"": (), "region": ("region",), "parent": ("parent",)}
_CALLED = {"item": "product", "sku": "product", "dept": "subcategory", "cat": "category"}
_CALLED |= {"store": "region", "state": "parent", "seller": "merchant"}
KEYS = ("product_id", "category", "subcategory", "merchant_id", "region", "parent")


@dataclass(frozen=True)
class Hierarchy:
    """`keys` has one row a bottom series and the columns KEYS; its index is 0 … n - 1."""

    keys: pd.DataFrame

    @cached_property
    def levels(self) -> dict[str, tuple[str, ...]]:
        """Key columns by level, the whole shop first; of levels with the very same nodes the first is kept."""
        found: dict[str, tuple[str, ...]] = {}
        seen: set[bytes] = set()
        for product, of_product in _PRODUCTS.items():
            for place, of_place in _PLACES.items():
                columns = (*of_product, *of_place)
                codes = self._codes(columns)
                if codes.tobytes() not in seen or (product, place) == ("product", "region"):
                    seen.add(codes.tobytes())
                    found["_".join(part for part in (product, place) if part) or "total"] = columns
        return found

    def codes(self, level: str) -> Ints:
        """Number of the node of `level` that each bottom series belongs to."""
        return self._codes(self.levels[level])

    def nodes(self, level: str) -> pd.DataFrame:
        """Keys of each node of a level, in the order of their numbers."""
        columns = list(self.levels[level])
        first = np.unique(self.codes(level), return_index=True)[1]
        return self.keys.iloc[first][columns].reset_index(drop=True)

    def sums(self, level: str, values: Matrix) -> Matrix:
        """[node, …] sums of [bottom series, …]."""
        result: Matrix = self.matrix(level) @ values
        return result

    def matrix(self, level: str) -> csr_matrix:
        """[node, bottom series] of ones where a series belongs to a node."""
        return summing(self.codes(level))

    @staticmethod
    def find(name: str, levels: Iterable[str]) -> tuple[str, tuple[str, ...]]:
        """The level a person means among `levels`, and its key columns: `item_store` is `product_region`.

        Raises ConfigurationError for one there is not.
        """
        parts = sorted(_CALLED.get(part, part) for part in name.strip().lower().split("_"))
        known = sorted(levels)
        for level in known:
            if sorted(level.split("_")) == parts:
                columns = [{**_PRODUCTS, **_PLACES}.get(part, ()) for part in level.split("_")]
                return level, tuple(column for part in columns for column in part)
        raise ConfigurationError(f"There is no level {name!r}. There are: {', '.join(known)}.")

    def _codes(self, columns: tuple[str, ...]) -> Ints:
        if not columns:
            return np.zeros(len(self.keys), dtype=np.int64)
        codes: Ints = self.keys.groupby(list(columns), sort=True, dropna=False).ngroup().to_numpy().astype(np.int64)
        return codes


def summing(codes: Ints) -> csr_matrix:
    """[group, member] of ones. `codes` holds the group of each member, 0 … groups - 1."""
    ones = np.ones(len(codes))
    return csr_matrix((ones, (codes, np.arange(len(codes)))), shape=(int(codes.max(initial=-1)) + 1, len(codes)))
