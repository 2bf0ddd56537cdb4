"""What is learned substitution worth, and what does a wrong model of it cost?

`python -m benchmarks assortment.substitution`

Choices are drawn from a known truth while products come and go, the choice model is fitted to them, slots are filled by
what was fitted, and the set is judged by what the truth says a visit to it is worth. Three truths: a multinomial logit,
a nested logit, and five latent classes, of which the model knows nothing. Beside it the same forecast ranked, and the
prior that stands in where nobody counts visits. Then the same for the simulated marketplace, landed and published.
"""

import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.forecasting.shops import published
from marketplace.delivery import found_deliveries
from marketplace.market import Market, Week
from marketplace.parameters import Parameters
from marketplace.world import World
from ml.assortment.choice import (
    Bools,
    Floats,
    Occasions,
    Substitution,
    believe,
    chances,
    dissimilarity,
    prior,
    visits_by_weight,
    weigh,
)
from ml.assortment.optimise import Cell, optimise
from ml.assortment.visits import WEEKS, fit

SEEDS = 9
PRIOR = 0.2
SIZES = ((50, 8), (200, 20), (1000, 50))
CHANCE, CHANCES = 0.95, (0.05, 0.3, 0.8, 0.98)
"""Of a buy with everything on show, at all sizes and at the size in the middle."""
CLASSES = 5
LEAST_SHOWN = 0.4
"""Of the products, a share from this up to all is on show on a day."""
SOLD = 100
"""Buys of an average product in the history that is learned from."""
AS_OF = date(2025, 9, 30)
HALF_A_DEMO = {"products": 550, "products_a_month": 23, "merchants": 75, "merchants_a_month": 2}
HALF_A_DEMO |= {"customers": 12_000, "customers_a_month": 950, "creators": 30, "creators_a_month": 1}
MARKETS = {"as it comes": {}, "close substitutes": {"buy_probability": 0.8, "nest": 0.5}}
SLOTS = (0.1, 0.3)


@dataclass(frozen=True)
class Truth:
    """Latent classes of visitors with `share` [C], each a nested logit: `weights` [C, n], dissimilarity `theta`, and
    the weight of leaving `outside`. A logit has one class and theta 1."""

    weights: Floats
    share: Floats
    theta: float
    outside: float

    def buys(self, inclusive: Floats) -> Floats:
        """Chance of a buy by summed weight. Any shape."""
        raised = inclusive**self.theta
        return raised / (self.outside + raised)

    def demand(self, shown: Bools) -> Floats:
        """Buys per visit [T, n] of what is on show [T, n]."""
        inclusive = shown @ self.weights.T
        a_weight = self.share * self.buys(inclusive) / np.maximum(inclusive, 1e-300)
        return (a_weight @ self.weights) * shown

    def worth(self, shown: Bools, money: Floats) -> float:
        return float(self.demand(shown[None])[0] @ money)

    def worths(self, inclusive: Floats, earned: Floats) -> Floats:
        """Money per visit of sets whose weights and weighted money sum up to these [C, sets]."""
        return self.share @ (self.buys(inclusive) / np.maximum(inclusive, 1e-300) * earned)


def best(truth: Truth, money: Floats, slots: int, starts: Iterable[Bools]) -> float:
    """Worth of the best set: exact for one class, else the best of local searches (add, drop, swap) from the `starts`
    and from what would be best if all were of one class."""
    if len(truth.weights) == 1:
        return truth.worth(planned(money, truth.weights[0], _true_nest(truth, 0), slots), money)
    alone = (planned(money, truth.weights[c], _true_nest(truth, c), slots) for c in range(len(truth.weights)))
    return max(climb(truth, money, slots, start) for start in (*starts, *alone))


def climb(truth: Truth, money: Floats, slots: int, start: Bools) -> float:
    """Worth of a set that no single add, drop or swap betters."""
    shown, worth = start.copy(), truth.worth(start, money)
    nothing = np.zeros((len(truth.share), 1))
    earned = truth.weights * money
    while True:
        inside, outside = np.flatnonzero(shown), np.flatnonzero(~shown)
        leaving = [*inside, None] if len(inside) < slots else list(inside)
        found = (worth * (1 + 1e-12), None, None)
        entering = np.append(outside, -1)
        more = [np.hstack([values[:, outside], nothing]) for values in (truth.weights, earned)]
        for leaves in leaving:
            kept = shown.copy()
            if leaves is not None:
                kept[leaves] = False
            sums = [values[:, kept].sum(axis=1, keepdims=True) for values in (truth.weights, earned)]
            worths = truth.worths(sums[0] + more[0], sums[1] + more[1])
            if worths.max() > found[0]:
                found = (worths.max(), leaves, entering[worths.argmax()])
        if found[2] is None:
            return worth
        worth = float(found[0])
        if found[1] is not None:
            shown[found[1]] = False
        if found[2] >= 0:
            shown[found[2]] = True


def _true_nest(truth: Truth, latent: int) -> Substitution:
    return Substitution(float(truth.buys(truth.weights[latent].sum())), truth.theta, "true")


def planned(money: Floats, units: Floats, substitution: Substitution, slots: int) -> Bools:
    """The product's own choice of at most `slots` by what one of each is worth and forecast units."""
    found = optimise(Cell(money * units, units, substitution), slots)
    assert found is not None
    return found.chosen


def ranked(money: Floats, units: Floats, slots: int) -> Bools:
    """The `slots` greatest by forecast revenue."""
    shown = np.zeros(len(units), dtype=bool)
    shown[np.argsort(-money * units, kind="stable")[:slots]] = True
    return shown


def drawn_truth(kind: str, n: int, rho: float, rng: np.random.Generator) -> Truth:
    """With everything on show, a visit buys with chance `rho` (of each class)."""
    common = rng.normal(0, 1, n)
    theta = {"multinomial logit": 1.0, "nested logit": 0.6, "latent classes": 1.0}[kind]
    classes = CLASSES if kind == "latent classes" else 1
    own = rng.normal(0, 1, (classes, n))
    utility = np.sqrt(0.5) * (common + own) if classes > 1 else common[None]
    weights = np.exp(utility)
    weights /= weights.sum(axis=1, keepdims=True)
    return Truth(weights, rng.dirichlet(np.full(classes, 5.0)), theta, (1 - rho) / rho)


def history(truth: Truth, rho: float, rng: np.random.Generator) -> Occasions:
    """Half a year of days with another choice set each."""
    days, n = 7 * WEEKS, truth.weights.shape[1]
    shown = rng.random((days, n)) < rng.uniform(LEAST_SHOWN, 1, (days, 1))
    chance = truth.demand(shown)
    visits = rng.poisson(SOLD * n / rho / days, days) + 1
    taken = np.array([rng.multinomial(v, [*p, 1 - p.sum()]) for v, p in zip(visits, chance, strict=True)])[:, :n]
    day = np.arange(days)
    return Occasions(
        region=np.zeros(days, dtype=np.int64),
        week=day // 7,
        weekday=day % 7,
        visits=visits.astype(float),
        buys=taken.sum(axis=1).astype(float),
        listed=np.ones_like(shown),
        shown=shown,
        bought=taken.astype(float),
        price=np.zeros(shown.shape),
    )


def drawn(kind: str, n: int, slots: int, rho: float, seed: int) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    truth, money = drawn_truth(kind, n, rho, rng), np.exp(rng.normal(0, 0.5, n))
    occasions = history(truth, rho, rng)
    weights = weigh(occasions)
    visits = visits_by_weight(occasions, weights)
    [theta], _ = believe(*(np.array([value]) for value in dissimilarity(visits)))
    fitted = Substitution(float(chances(visits, theta)[0][0]), float(theta), "fitted")
    return judged(truth, money, np.exp(weights.utility), fitted, slots) | {"theta": theta}


def judged(truth: Truth, money: Floats, units: Floats, fitted: Substitution, slots: int) -> dict[str, float]:
    """Regret of the fitted model, of the prior and of ranking, all with the same forecast `units`."""
    shown = planned(money, units, fitted, slots)
    stated = planned(money, units, prior(PRIOR), slots)
    by_rank = ranked(money, units, slots)
    most = best(truth, money, slots, (shown, stated, by_rank))
    found = {"ours": shown, "prior": stated, "ranked": by_rank}
    worth = {name: truth.worth(chosen, money) for name, chosen in found.items()}
    most = max(most, *worth.values())
    return {name: 1 - value / most for name, value in worth.items()} | {
        "above": worth["ours"] / worth["ranked"] - 1,
        "possible": most / worth["ranked"] - 1,
    }


def market(settings: dict[str, float]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cells of a landed marketplace: regrets by cell and slots, and what was learned beside the truth by cell."""
    parameters = Parameters.model_validate({"scale": HALF_A_DEMO, "demand": settings})
    with tempfile.TemporaryDirectory() as root:
        made = found_deliveries(Path(root) / "bazaar", parameters)
        learned = fit(published(f"{root}/home", "marketplace", str(AS_OF), made.folder), AS_OF)
    if learned.reason:
        raise SystemExit(learned.reason)
    world = World(parameters)
    trade = Market(world)
    week = Week(trade, AS_OF.toordinal() - AS_OF.weekday())
    visits = week._visits(AS_OF.toordinal())
    regrets, beside = [], []
    table = learned.table.set_index(["region", "category"])
    for (region, category), cell in learned.cells.items():
        group = world.regions.index(region) * len(world.categories.names) + world.categories.names.index(category)
        here = np.flatnonzero(week.group == group)
        came = visits[:, :, group].ravel()
        truth = Truth(
            week.base[:, :, here].reshape(len(came), -1), came / came.sum(), parameters.demand.nest, trade.outside
        )
        everything = np.ones((1, len(here)), dtype=bool)
        units = truth.demand(everything)[0]
        money = week.products.price[week.product[here]] / 100.0
        row = table.loc[(region, category)]
        # The chance of a buy moves with what was launched since; a plan's own forecast would know, the fit cannot.
        beside.append(
            {
                "theta": cell.dissimilarity,
                "se": row["dissimilarity_se"],
                "rho": cell.buy_probability,
                "true_rho": units.sum(),
                "kept": _kept(units, cell),
                "true_kept": _truly_kept(truth, units),
                "gain": row["log_likelihood"] - row["popularity_log_likelihood"],
                "price": row["price_effect"],
            }
        )
        for part in SLOTS:
            slots = max(2, round(part * len(here)))
            regrets.append({"part": part} | judged(truth, money, units, cell, slots))
    return pd.DataFrame(regrets), pd.DataFrame(beside)


def _truly_kept(truth: Truth, units: Floats) -> float:
    """Share of a product's demand its cell keeps without it, mean by demand."""
    without = truth.demand(~np.eye(len(units), dtype=bool)).sum(axis=1)
    return float((units - units.sum() + without).sum() / units.sum())


def _kept(units: Floats, cell: Substitution) -> float:
    without = np.array([cell.demand(units, row).sum() for row in ~np.eye(len(units), dtype=bool)])
    return float((units - units.sum() + without).sum() / units.sum())


def main() -> None:
    kinds = ("multinomial logit", "nested logit", "latent classes")
    n, slots = SIZES[1]
    cases = [(kind, *size, CHANCE) for kind in kinds for size in SIZES]
    cases += [(kind, n, slots, rho) for kind in kinds for rho in CHANCES]
    print(
        f"Medians of {SEEDS} seeds (worst in brackets). {WEEKS} weeks of choices, {SOLD} buys an average product, "
        f"{LEAST_SHOWN:.0%} to all of the products on show on a day. The nested logit's θ is 0.6, the others' 1. "
        "Regret: money a visit lost against the best set, under the truth. "
        f"`prior`: {PRIOR} of what is left out is kept, nothing learned. `ranking`: greatest forecast revenue. "
        "All three use the same fitted forecast. Best set: exact, but for latent classes the best of local searches. "
        "`possible`: the best set above ranking.\n"
    )
    print(
        "| truth | products | slots | buys with all on show | θ fitted | regret | prior | ranking | above ranking | "
        "possible |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    for kind, n, slots, rho in cases:
        print(f"{kind} {n} {slots} {rho} …", file=sys.stderr, flush=True)
        found = pd.DataFrame([drawn(kind, n, slots, rho, seed) for seed in range(SEEDS)])
        middle = found.median()
        print(
            f"| {kind} | {n:,} | {slots} | {rho:.0%} | {middle['theta']:.2f} | "
            f"{middle['ours']:.2%} ({found['ours'].max():.2%}) | {middle['prior']:.2%} | {middle['ranked']:.1%} | "
            f"{middle['above']:+.1%} | {middle['possible']:+.1%} |",
            flush=True,
        )
    print(
        "\nThe simulated marketplace (two latent classes, two channels, products that rise and fade, stock that runs "
        f"out), half a demo as of {AS_OF}, fitted from landed facts; means of its cells. All plan by the same "
        "forecast, the true one, so only substitution is judged. Best set: the best of local searches. `kept`: share "
        "of a product's demand that its cell keeps without it; `off by`: mean error of that by cell.\n"
    )
    print(
        "| marketplace | slots | regret | prior | ranking | above ranking | possible | θ fitted (true) | kept (true) | "
        "off by | price effect | log-likelihood a visit above popularity |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    for name, settings in MARKETS.items():
        print(f"{name} …", file=sys.stderr, flush=True)
        regrets, beside = market(settings)
        mean = beside.mean()
        nest = Parameters.model_validate({"demand": settings}).demand.nest
        off = (beside["kept"] - beside["true_kept"]).abs().mean()
        for part, rows in regrets.groupby("part"):
            r = rows.mean()
            print(
                f"| {name} | {part:.0%} | {r['ours']:.2%} | {r['prior']:.2%} | {r['ranked']:.1%} | {r['above']:+.1%} | "
                f"{r['possible']:+.1%} | {mean['theta']:.2f} ({nest}) | {mean['kept']:.2f} ({mean['true_kept']:.2f}) | "
                f"{off:.2f} | {mean['price']:.2f} | {mean['gain']:.4f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
