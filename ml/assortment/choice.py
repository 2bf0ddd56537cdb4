"""What the rest of a category sells once some of its products are not on show, and how that is learned.

A plan that takes every product's forecast for granted counts the same customer once for each product he would have been
content with. When this is wrong, places go to near twins of what is there already, and what is left out is mourned that
would have been bought in another colour.

A nested logit with one nest beside leaving falls into two concave problems (McFadden 1981, "Econometric models of
probabilistic choice", section 5.15): which product a buyer takes of those on show tells the products' weights, and with
these, how often a visit buys when more or less weight is on show tells the dissimilarity. The second needs visits that
ended without a buy. Nothing replaces them: without them the chance of a buy is refused, not guessed.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, xlog1py, xlogy
from threadpoolctl import threadpool_limits

from coldframe.errors import ConfigurationError, NotAvailableError

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Integers = NDArray[np.int64]

LEAST_BUYS = 100
"""Buys of a category below which nothing is learned of it: the chance of one would be luck by a tenth or more."""
LEAST = 0.1
"""Least dissimilarity that is believed."""
DISSIMILARITY = (1.0, 0.3)
"""Prior mean and standard deviation of a shop's dissimilarity: without evidence, products replace each other by what
they sell and no closer."""
HELD_OUT = 0.25
"""Last share of the weeks, to judge what the others taught."""
# Prior standard deviations: of products' log weights (the popular sell some hundred times what the slow ones do), of
# the effect of a log price, and of what a week or a weekday does to the log odds of a buy.
_SPREAD, _PRICE_SPREAD, _MOOD = 1.5, 5.0, 0.5
_MOST_STEPS = 50
_HALF_OF_80 = 1.2816
"""Standard deviations from the middle of a normal distribution to its 90 % quantile."""


@dataclass(frozen=True)
class Substitution:
    """How a cell's demand moves among its products: a nested logit with one nest beside leaving without a buy.

    `buy_probability` rho is the chance that a visit buys with everything on show; at 0, its limit, nothing moves at
    theta = 1. `dissimilarity` theta in (0, 1] is 1 for the multinomial logit; the less, the more products replace each
    other (McFadden 1978, "Modelling the choice of residential location", eq. 11–15). `source` says in words where both
    come from, beginning with "fitted" or "prior"; the standard errors are of what was fitted.
    """

    buy_probability: float
    dissimilarity: float
    source: str
    buy_probability_se: float = 0.0
    dissimilarity_se: float = 0.0

    @property
    def recapture(self) -> float:
        """Share of a small product's demand that its cell keeps when the product is not on show."""
        return 1 - self.dissimilarity * (1 - self.buy_probability)

    @property
    def recapture_interval(self) -> tuple[float, float]:
        """10 % and 90 % quantile of `recapture`, within 0 and 1: to first order, as if both errors were independent."""
        of_chance = self.dissimilarity * self.buy_probability_se
        of_likeness = (1 - self.buy_probability) * self.dissimilarity_se
        off = _HALF_OF_80 * float(np.hypot(of_chance, of_likeness))
        return max(0.0, self.recapture - off), min(1.0, self.recapture + off)

    def lift(self, shown: Floats | float) -> Floats:
        """How many times its forecast a product sells when those on show, itself included, make up the share `shown`
        in (0, 1] of the cell's forecast units: shown^(theta - 1) / (1 - rho + rho shown^theta). Any shape."""
        share = np.asarray(shown, dtype=float)
        rho, theta = self.buy_probability, self.dissimilarity
        found: Floats = share ** (theta - 1) / (1 - rho + rho * share**theta)
        return found

    def demand(self, units: Floats, shown: Bools) -> Floats:
        """Units [n] that each product sells when those of the mask `shown` [n] are on show, 0 where it is not.

        `units` [n], at least 0, are the demand with every product on show.
        """
        offered = np.where(shown, units, 0.0)
        if not offered.any():
            return offered
        demanded: Floats = offered * self.lift(offered.sum() / units.sum())
        return demanded


def prior(recapture: float) -> Substitution:
    """What is taken to be true where no visit was recorded: a multinomial logit that keeps `recapture` of what a
    product left out would have sold. 0: products sell independently of each other.

    Raises ConfigurationError for a share outside [0, 1).
    """
    if not 0 <= recapture < 1:
        raise ConfigurationError(f"recapture {recapture} is no share from 0 to less than 1.")
    return Substitution(buy_probability=recapture, dissimilarity=1.0, source="prior")


@dataclass(frozen=True)
class Occasions:
    """What a category had on show and what became of it: T occasions (a day in a region) by J products.

    `region`, `week` and `weekday` [T] count from 0; `visits` [T] (at least 1) and `buys` [T]. `listed`, `shown` and
    `bought` [T, J]: what was on sale, what of it was in stock (something always), and how many took it. `price` [T, J]
    is the log of the price as a multiple of the product's usual one, 0 where it is that or unknown; it must not come
    from the occasion's own sales, or only what was sold would ever have been cheap.
    """

    region: Integers
    week: Integers
    weekday: Integers
    visits: Floats
    buys: Floats
    listed: Bools
    shown: Bools
    bought: Floats
    price: Floats

    def take(self, occasions: Bools) -> "Occasions":
        return Occasions(**{name: values[occasions] for name, values in vars(self).items()})


@dataclass(frozen=True)
class Weights:
    """What products weigh in the choice: `utility` [J] in logs around 0, and the effect of a log price on it.

    `warning` says why prices have none, where they were dropped.
    """

    utility: Floats
    price_effect: float
    warning: str = ""

    def on(self, mask: Bools, price: Floats) -> Floats:
        """Log of the summed weights of the products in `mask` [T, J] at log prices [T, J]."""
        found: Floats = np.log((mask * np.exp(self.utility + self.price_effect * price)).sum(axis=1))
        return found


@dataclass(frozen=True)
class Visits:
    """Visits [T] and those that bought, beside the log weight [T] that was on show and that was on sale at all."""

    region: Integers
    week: Integers
    weekday: Integers
    visits: Floats
    buys: Floats
    shown: Floats
    listed: Floats


def refuse_unidentified(visits: float, buys: float) -> None:
    """Raises NotAvailableError where the chance of a buy is not identified: nobody left without one, or few bought."""
    if visits == buys:
        raise NotAvailableError(
            f"all {visits:,.0f} visits ended in a buy, so the chance of one cannot be told; deliver in `visits` those "
            "who looked and left, too"
        )
    if buys < LEAST_BUYS:
        raise NotAvailableError(
            f"only {buys:,.0f} of {visits:,.0f} visits ended in a buy, and it takes {LEAST_BUYS} to learn from them"
        )


def weigh(occasions: Occasions) -> Weights:
    """Weights of the products by what buyers took of those on show: a conditional logit with a ridge, by L-BFGS.

    The ridge is a normal prior, so a product nobody bought weighs little and not nothing. A price effect above 0 says
    that what is dear sells better for it; it is dropped, with a warning, and the rest fitted without.
    """
    with threadpool_limits(1):
        utility, effect = _maximise(occasions, with_price=True)
        if effect <= 0:
            return Weights(utility, effect)
        utility, _ = _maximise(occasions, with_price=False)
    return Weights(
        utility, 0.0, "prices are left out of the choice, because what was dearer seemed to sell better for it"
    )


def _maximise(occasions: Occasions, with_price: bool) -> tuple[Floats, float]:
    took = occasions.bought.sum(axis=1)
    some = took > 0
    took, shown, price = took[some], occasions.shown[some], occasions.price[some]
    sold = occasions.bought.sum(axis=0)
    # Prices differ on few occasions: weights at usual prices are summed at once, and those few corrected.
    row, column = np.nonzero(shown & (price != 0) & with_price)
    log_price = price[row, column]
    sold_at = float((occasions.bought[some][row, column] * log_price).sum())
    mask = shown.astype(float)
    products = mask.shape[1]
    precision = np.append(np.full(products, _SPREAD**-2), _PRICE_SPREAD**-2)

    # Scaled by about the root of the curvature, because L-BFGS takes ten times as many steps without.
    scale = 1 / np.sqrt(precision + np.append(sold, occasions.bought[some][row, column] @ log_price**2))

    def cost(scaled: Floats) -> tuple[float, Floats]:
        point = scaled * scale
        utility, effect = point[:-1], point[-1]
        weight, factor = np.exp(utility), np.exp(effect * log_price)
        total = mask @ weight + np.bincount(row, weight[column] * (factor - 1), len(mask))
        gained = sold @ utility + effect * sold_at - took @ np.log(total) - precision @ point**2 / 2
        rate = took / total
        pull = rate @ mask + np.bincount(column, rate[row] * (factor - 1), products)
        slope = np.append(sold - weight * pull, sold_at - (rate[row] * weight[column] * factor) @ log_price)
        return -float(gained), (precision * point - slope) * scale

    start = np.log((sold + 1) / (took @ mask + 1))
    start = np.append(start - start.mean(), 0.0)
    steps = {"maxiter": 1000, "ftol": 1e-14, "gtol": 1e-5}
    found = minimize(cost, start / scale, jac=True, method="L-BFGS-B", options=steps).x * scale
    return found[:-1], float(found[-1])


def visits_by_weight(occasions: Occasions, weights: Weights) -> Visits:
    """What the second step needs to know of the first."""
    return Visits(
        region=occasions.region,
        week=occasions.week,
        weekday=occasions.weekday,
        visits=occasions.visits,
        buys=occasions.buys,
        shown=weights.on(occasions.shown, occasions.price),
        listed=weights.on(occasions.listed, occasions.price),
    )


def dissimilarity(visits: Visits) -> tuple[float, float]:
    """Dissimilarity as the data have it, which may lie outside (0, 1], and its standard error.

    The log odds of a buy rise with the log weight on show by the dissimilarity, beside what regions, weeks and weekdays
    do to it: what moves the whole shop at once is no evidence. A logistic regression; its errors are widened by the
    dispersion of what it leaves unexplained.
    """
    centred = visits.shown - visits.shown.mean()
    found, covariance = _logistic(visits, np.column_stack([_moods(visits), centred]), np.zeros(len(centred)))
    return float(found[-1]), float(np.sqrt(covariance[-1, -1]))


def chances(visits: Visits, theta: float) -> tuple[Floats, Floats]:
    """Chance that a visit buys with everything on sale in stock [regions], and its standard error, at a given
    dissimilarity."""
    design = _moods(visits)
    found, covariance = _logistic(visits, design, theta * visits.shown)
    chance = expit(design @ found + theta * visits.listed)
    share = visits.visits / np.bincount(visits.region, visits.visits)[visits.region]
    slope = share * chance * (1 - chance)
    slopes = np.array([np.bincount(visits.region, slope * column) for column in design.T]).T
    means: Floats = np.bincount(visits.region, share * chance).astype(float)
    return means, np.sqrt(np.einsum("rp,pq,rq->r", slopes, covariance, slopes))


def believe(found: Floats, error: Floats) -> tuple[Floats, Floats]:
    """Dissimilarities [categories] of one shop as they are believed, in [LEAST, 1], and their standard errors.

    Each is drawn to the shop's mean, the more the less is known of it, and that mean to the prior: random effects with
    the variance by moments (DerSimonian & Laird 1986, "Meta-analysis in clinical trials", eq. 8).
    """
    sure = error**-2
    excess = sure @ (found - (sure @ found) / sure.sum()) ** 2 - (len(found) - 1)
    between = max(0.0, excess / (sure.sum() - sure @ sure / sure.sum())) if len(found) > 1 else 0.0
    mean, spread = DISSIMILARITY
    of_each = 1 / (error**2 + between)
    known = of_each.sum() + spread**-2
    centre = (of_each @ found + mean * spread**-2) / known
    kept = between / (between + error**2)
    drawn = centre + kept * (found - centre)
    return np.clip(drawn, LEAST, 1), np.sqrt(kept * error**2 + (1 - kept) ** 2 / known)


def held_out(occasions: Occasions) -> tuple[float, float]:
    """Log-likelihood per visit of the last weeks, learned from those before: of this model, and of what is done
    without one, shares of popularity among what is on show at a region's usual rate of buys. nan for under four weeks.
    """
    weeks = int(occasions.week.max()) + 1
    early = occasions.week < weeks - round(HELD_OUT * weeks)
    if weeks < 4 or early.all() or occasions.buys[early].sum() < LEAST_BUYS:
        return float("nan"), float("nan")
    weights = weigh(occasions.take(early))
    visits = visits_by_weight(occasions, weights)
    past = replace(visits, visits=visits.visits * early, buys=visits.buys * early)
    theta = float(np.clip(dissimilarity(past)[0], LEAST, 1))
    design = _moods(visits)
    chance = expit(design @ _logistic(past, design, theta * visits.shown)[0] + theta * visits.shown)
    utility = weights.utility + weights.price_effect * occasions.price

    popularity = np.broadcast_to(np.log(occasions.bought[early].sum(axis=0) + 0.5), utility.shape)
    count = [np.bincount(visits.region, of, visits.region.max() + 1) for of in (past.buys, past.visits)]
    rate = ((count[0] + 0.5) / (count[1] + 1))[visits.region]

    def per_visit(chance: Floats, utility: Floats) -> float:
        share = np.log((occasions.shown * np.exp(utility)).sum(axis=1))
        taken = (occasions.bought * utility).sum(axis=1) - occasions.bought.sum(axis=1) * share
        came = xlogy(visits.buys, chance) + xlog1py(visits.visits - visits.buys, -chance)
        return float((taken + came)[~early].sum() / visits.visits[~early].sum())

    return per_visit(chance, utility), per_visit(rate, popularity)


def _moods(visits: Visits) -> Floats:
    """Design [T, regions + weeks + 7] of what moves the odds of a buy beside what is on show."""
    count = visits.region.max() + 1, visits.week.max() + 1, 7
    codes = visits.region, visits.week, visits.weekday
    return np.hstack([np.eye(n)[code] for n, code in zip(count, codes, strict=True)])


def _logistic(visits: Visits, design: Floats, offset: Floats) -> tuple[Floats, Floats]:
    """Coefficients of buys out of visits and their covariance, by Newton's method. `design` begins with `_moods`, whose
    weeks and weekdays have a prior; the rest is held by next to nothing, so what is not identified has a vast error."""
    regions, moods = int(visits.region.max()) + 1, int(visits.region.max() + visits.week.max()) + 9
    held = np.full(design.shape[1], 1e-6)
    held[regions:moods] = _MOOD**-2
    found = np.zeros(design.shape[1])
    rate = visits.buys.sum() / visits.visits.sum()
    found[:regions] = np.log(rate / (1 - rate)) - offset.mean()
    for _ in range(_MOST_STEPS):
        chance = expit(design @ found + offset)
        spread = visits.visits * chance * (1 - chance)
        information = design.T @ (design * spread[:, None]) + np.diag(held)
        step = np.linalg.solve(information, design.T @ (visits.buys - visits.visits * chance) - held * found)
        found = found + step
        if np.abs(step).max() < 1e-9:
            break
    off = (visits.buys - visits.visits * chance) ** 2 / np.maximum(spread, 1e-12)
    dispersion = max(1.0, float(off.sum()) / max(1, int((spread > 0).sum()) - design.shape[1]))
    return found, np.linalg.inv(information) * dispersion
