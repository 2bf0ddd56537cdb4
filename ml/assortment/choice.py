"""What the rest of a category sells once some of its products are not on show.

A plan that takes every product's forecast for granted counts the same customer once for each product he would have been
content with. When this is wrong, places go to near twins of what is there already, and what is left out is mourned that
would have been bought in another colour.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coldframe.errors import ConfigurationError


@dataclass(frozen=True)
class Substitution:
    """How a cell's demand moves among its products: a nested logit with one nest beside leaving without a buy.

    `buy_probability` rho is the chance that a visit buys with everything on show; at 0, its limit, nothing moves at
    theta = 1. `dissimilarity` theta in (0, 1] is 1 for the multinomial logit; the less, the more products replace each
    other (McFadden 1978, "Modelling the choice of residential location", eq. 11–15). `source` says where both come
    from, "fitted" or "prior".
    """

    buy_probability: float
    dissimilarity: float
    source: str

    @property
    def recapture(self) -> float:
        """Share of a small product's demand that its cell keeps when the product is not on show."""
        return 1 - self.dissimilarity * (1 - self.buy_probability)

    def lift(self, shown: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """How many times its forecast a product sells when those on show, itself included, make up the share `shown`
        in (0, 1] of the cell's forecast units: shown^(theta - 1) / (1 - rho + rho shown^theta). Any shape."""
        share = np.asarray(shown, dtype=float)
        rho, theta = self.buy_probability, self.dissimilarity
        found: NDArray[np.float64] = share ** (theta - 1) / (1 - rho + rho * share**theta)
        return found

    def demand(self, units: NDArray[np.float64], shown: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Units [n] that each product sells when those of the mask `shown` [n] are on show, 0 where it is not.

        `units` [n], at least 0, are the demand with every product on show.
        """
        offered = np.where(shown, units, 0.0)
        if not offered.any():
            return offered
        demanded: NDArray[np.float64] = offered * self.lift(offered.sum() / units.sum())
        return demanded


def prior(recapture: float) -> Substitution:
    """What is taken to be true where no visit was recorded: a multinomial logit that keeps `recapture` of what a
    product left out would have sold. 0: products sell independently of each other.

    Raises ConfigurationError for a share outside [0, 1).
    """
    if not 0 <= recapture < 1:
        raise ConfigurationError(f"recapture {recapture} is no share from 0 to less than 1.")
    return Substitution(buy_probability=recapture, dissimilarity=1.0, source="prior")
