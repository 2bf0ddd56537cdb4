"""The nodes that are modelled by themselves: every level coarse enough, stacked over the finest of them.

What lies below them are products, which share a node's total; a small shop's products are nodes themselves. Nodes too
many cost hours, nodes too few leave products to trees that lag behind every rise.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ml.forecasting.daily.hierarchy import Hierarchy, Ints, Matrix

MOST_NODES = 1_500
"""Nodes of the finest level that is modelled by itself."""
LEAST_SOLD = 2.0
"""Units a day that its nodes must sell on average: of sparser ones the additive model and trees learn mostly zeros."""


@dataclass(frozen=True)
class Nodes:
    """`joint` is the finest level, and every node is a sum of nodes of it. `levels` has the levels, coarsest first.

    Without `products` the finest level of at most `most` nodes is meant that is none of products or merchants.
    """

    hierarchy: Hierarchy
    most: int = MOST_NODES
    products: bool = False

    @classmethod
    def of(cls, hierarchy: Hierarchy, sold: float) -> "Nodes":
        """Nodes of a shop that sells `sold` units a day; all series of a small one, else without products."""
        return cls(
            hierarchy,
            most=int(min(MOST_NODES, max(sold / LEAST_SOLD, 1))),
            products=len(hierarchy.keys) <= MOST_NODES,
        )

    @cached_property
    def coarse(self) -> "Nodes":
        """Those that are none of products; its nodes come in the same order."""
        return replace(self, products=False) if self.products else self

    @cached_property
    def joint(self) -> str:
        if self.products:
            return "product_region"
        sizes = {
            level: int(self.hierarchy.codes(level).max()) + 1
            for level in self.hierarchy.levels
            if "product" not in level and "merchant" not in level
        }
        return max((size, level) for level, size in sizes.items() if size <= self.most)[1]

    @cached_property
    def of_series(self) -> Ints:
        """Joint node of each bottom series."""
        return self.hierarchy.codes(self.joint)

    @cached_property
    def levels(self) -> tuple[str, ...]:
        """Levels above the joint one, and itself."""
        inner = pd.Series(self.of_series)
        return tuple(
            level
            for level in self.hierarchy.levels
            if pd.Series(self.hierarchy.codes(level)).groupby(inner).nunique().max() == 1
        )

    @cached_property
    def sums(self) -> NDArray[np.float64]:
        """[node, joint node] of ones where a joint node belongs to a node."""
        first = np.unique(self.of_series, return_index=True)[1]
        parts = []
        for level in self.levels:
            codes = self.hierarchy.codes(level)[first]
            parts.append((codes[None, :] == np.arange(codes.max() + 1)[:, None]).astype(float))
        return np.concatenate(parts)

    @cached_property
    def level_of(self) -> Ints:
        """Number of the level of each node, in the order of `levels`."""
        sizes = [int(self.hierarchy.codes(level).max()) + 1 for level in self.levels]
        return np.repeat(np.arange(len(sizes)), sizes)

    @cached_property
    def places(self) -> list[list[str]]:
        """Regions of each node."""
        keys = self.hierarchy.keys["region"].to_numpy()
        found: list[list[str]] = []
        for level in self.levels:
            grouped = pd.Series(keys).groupby(self.hierarchy.codes(level)).unique()
            found += [sorted(regions) for regions in grouped]
        return found

    @cached_property
    def in_coarse(self) -> NDArray[np.bool_]:
        """Which nodes are those of `coarse`."""
        result: NDArray[np.bool_] = np.isin(self.level_of, [self.levels.index(level) for level in self.coarse.levels])
        return result

    def rows(self, level: str) -> NDArray[np.bool_]:
        """Which nodes are of a level."""
        result: NDArray[np.bool_] = self.level_of == self.levels.index(level)
        return result

    def units(self, of_series: Matrix) -> NDArray[np.float64]:
        """[node, …] sums of [bottom series, …]; what is no number counts as nothing."""
        result: NDArray[np.float64] = self.sums @ self.hierarchy.sums(self.joint, np.nan_to_num(of_series))
        return result
