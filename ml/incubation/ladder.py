"""The stage of every launch, why, and what it would take to graduate: a pure function of scores and yesterday's stages.

seed -> incubate -> graduate | retire, and back from retire; `frozen` is where nothing is decided because sales look
made. When this file is wrong, a product is dropped that nobody ever saw, or one is ranged because it was pushed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.incubation.belief import SPAN, Bools, Floats, Rates, with_exposure
from ml.incubation.brushing import suspicions
from ml.incubation.policy import Policy

Stage = Literal["seed", "incubate", "graduate", "retire", "frozen"]
STAGES: tuple[Stage, ...] = get_args(Stage)
PLAYING: tuple[Stage, ...] = ("seed", "incubate")
"""In play for exposure."""
_WORTH_AGAIN = 2.0
"""What a look at a retired launch must be worth over what it costs: it was let go at 1."""
_ABOVE_AGAIN = 1.1
"""How far above the line a retired launch must be, for the line moves with the others."""


@dataclass(frozen=True)
class Staged:
    """Of each launch [launch]: its `stage`, the `reason`, `to_graduate` (what it would take, "" out of play),
    and `worth`: what one more look is worth, over what it costs (nan where impressions are not known)."""

    stage: npt.NDArray[np.object_]
    reason: npt.NDArray[np.object_]
    to_graduate: npt.NDArray[np.object_]
    worth: Floats


def climb(launches: pd.DataFrame, rates: Rates, policy: Policy) -> Staged:
    """Stages `launches`: scores of a growth release with `previous`, the stage before (None: there was none).

    Rules in the order in which they hold; each has a sentence.

    1. What looks brushed is frozen, whatever else is true of it, until it is `cleared` or its sign is gone.
    2. Graduates stay graduates. The retired stay so until their upper bound rises to `revive_at`, twice the line they
       fell below unless the policy says otherwise; where impressions are known, until they are a tenth above the line
       or a look at them is worth twice what it costs besides. So nothing flips from day to day.
    3. Too little evidence leaves a launch undecided, a seed: fewer than `least_impressions` where they are known, else
       fewer than `least_buyers`; or fewer than `least_weeks`. That is never counted against it.
    4. It graduates when it sold like a bestseller within 18 weeks, or when the lower bound of its chance reaches
       `graduate_at` (one step at a time: not from seed). Where impressions are known, its GMV per impression must be a
       bestseller's (see `rates`) with chance `pull_at` besides, unless it sold like one without being shown
       `pushed_from` times as often as usual: what sold because it was pushed has proved nothing.
    5. It is let go, after `retire_impressions` (where they are not known, `retire_weeks`), when even the upper bound of
       its chance is below `retire_below`; or, where impressions are known, when another `look` at it costs more than it
       is worth (see `Rates.worth_of_looking`). Never while its GMV per impression is expected to be above the line, or
       while it is on pace for a bestseller without being pushed.
    6. Everything else is incubated.

    A relisted product takes the stage of the listing before: `previous` says so. That one, whose sales count for the
    new listing too, is let go, or the same product would be decided on twice.
    """
    told = _Facts(launches, rates, policy, suspicions(launches, policy))
    before = launches["previous"].to_numpy(dtype=object)
    graduated, retired = before == "graduate", before == "retire"
    sold_enough = told.within >= told.line_gmv
    sure = told.low >= policy.graduate_at
    evident = (sold_enough | (sure & (before == "incubate"))) & told.bought
    pulled = ~told.measured | (told.pull >= policy.pull_at) | (sold_enough & ~told.pushed)
    above = rates.mean >= rates.line * np.where(retired, _ABOVE_AGAIN, 1.0)
    on_pace = (told.gmv / np.maximum(told.days, 1) * SPAN >= told.line_gmv) & told.bought & ~told.pushed
    slow = ~told.measured | ~(above | on_pace)
    again = ~told.measured | ~slow | (told.worth >= _WORTH_AGAIN)
    back = (told.high >= policy.revive_at) & again
    hopeless = told.seen_enough & slow & (told.high < policy.retire_below)
    no_use = told.measured & told.seen_enough & slow & (told.worth < 1) & ~sure
    rules: list[tuple[Bools, Stage, Callable[[int], str]]] = [
        (told.brushed != "", "frozen", told.is_brushed),
        (told.listed_anew != "", "retire", told.is_listed_anew),
        (graduated, "graduate", told.stays_graduate),
        (retired & back & ~slow, "incubate", told.sells_again),
        (retired & back, "incubate", told.comes_back),
        (retired, "retire", told.stays_retired),
        (told.thin, "seed", told.is_undecided),
        (evident & pulled & sold_enough, "graduate", told.sold_enough),
        (evident & pulled, "graduate", told.is_sure),
        (hopeless, "retire", told.is_hopeless),
        (no_use, "retire", told.is_no_use),
        (evident, "incubate", told.was_pushed),
        (sure, "incubate", told.is_not_yet),
        (np.ones(len(launches), dtype=bool), "incubate", told.is_open),
    ]
    which = np.argmax(np.column_stack([where for where, _, _ in rules]), axis=1)
    stage = np.array([name for _, name, _ in rules], dtype=object)[which]
    reason = np.array([rules[rule][2](i) for i, rule in enumerate(which)], dtype=object)
    takes = told.to_graduate()
    takes[~np.isin(stage, PLAYING)] = ""
    return Staged(stage, reason, takes, told.worth)


class _Facts:
    """What the rules ask of each launch [launch], and the sentences that tell of it."""

    def __init__(self, launches: pd.DataFrame, rates: Rates, policy: Policy, brushed: npt.NDArray[np.object_]) -> None:
        self.policy, self.rates, self.brushed, self.rate = policy, rates, brushed, rates.mean
        self.measured = with_exposure(launches)
        self.weeks = launches["age_weeks"].to_numpy(dtype=int)
        self.days = launches["age_days"].to_numpy(dtype=int)
        self.low, self.chance, self.high = (
            launches[name].to_numpy(dtype=float) for name in ("probability_low", "probability", "probability_high")
        )
        self.gmv = launches["gmv_so_far"].to_numpy(dtype=float)
        line = launches["bestseller_gmv"].to_numpy(dtype=float, na_value=np.nan)
        self.line_gmv = np.where(line > 0, line, np.inf)
        self.shown = launches["impressions_so_far"].to_numpy(dtype=float, na_value=np.nan)
        self.orders = launches["orders_so_far"].to_numpy(dtype=float, na_value=np.nan)
        buyers = launches["buyers_so_far"].to_numpy(dtype=float, na_value=np.nan)
        self.who = np.where(np.isnan(buyers), "unit", "buyer")
        self.count = np.where(np.isnan(buyers), launches["units_so_far"].to_numpy(dtype=float), buyers)
        self.bought = self.count >= policy.least_buyers
        young = self.weeks < policy.least_weeks
        unseen = np.where(self.measured, self.shown < policy.least_impressions, ~self.bought)
        self.thin = young | unseen.astype(bool)
        self.seen_enough = np.where(
            self.measured, self.shown >= policy.retire_impressions, self.weeks >= policy.retire_weeks
        ).astype(bool)
        self.pull = rates.pull
        self.listed_anew = _listed_anew(launches)
        self.within = self.gmv * np.minimum(1.0, SPAN / np.maximum(self.days, 1))
        self.times_usual = self.shown / np.maximum(rates.usual * np.maximum(self.days, 1), 1e-9)
        self.pushed = self.measured & ~(self.times_usual < policy.pushed_from)
        cost = policy.look * rates.typical
        self.worth = policy.reach * rates.worth_of_looking(policy.look) / np.maximum(cost, 1e-12)

    def is_brushed(self, i: int) -> str:
        return f"frozen until somebody clears it (`cleared` in the policy) or the sign is gone: {self.brushed[i]}"

    def is_listed_anew(self, i: int) -> str:
        return f"listed anew as {self.listed_anew[i]}, for which its sales count and which is decided on instead"

    def stays_graduate(self, i: int) -> str:
        return "graduated before; it now competes with everything else"

    def sells_again(self, i: int) -> str:
        if self.rate[i] >= self.rates.line[i]:
            return f"retired before, but {self._brings(i)} is above a bestseller's now"
        return f"retired before, but on pace for as much as its category's top tenth sells{self._as_often(i)}"

    def comes_back(self, i: int) -> str:
        return f"retired before, but its chance has come back ({self._bounds(i)})"

    def stays_retired(self, i: int) -> str:
        if self.high[i] >= self.policy.revive_at:
            return f"retired before, and another {self.policy.look:,} impressions would still tell little"
        return f"retired before, and its chance ({self._bounds(i)}) has not come back"

    def is_undecided(self, i: int) -> str:
        if self.measured[i]:
            has, needs = f"shown {_count(self.shown[i], 'time')}", f"{self.policy.least_impressions:,} impressions"
        else:
            has, needs = self._bought(i), f"{self.policy.least_buyers} {self.who[i]}s"
        return f"undecided: {has} in {self._lived(i)}; deciding takes {needs} and {self.policy.least_weeks} weeks"

    def sold_enough(self, i: int) -> str:
        sold = f"sold {self.gmv[i]:,.0f} in {self._lived(i)}, as much as its category's top tenth in weeks 9 to 26"
        earned = self._rate(i) if self.pull[i] >= self.policy.pull_at else self._as_often(i)
        return f"{sold} ({self.line_gmv[i]:,.0f}){earned}"

    def is_sure(self, i: int) -> str:
        reached = f"reaches {self.policy.graduate_at:.0%}"
        return f"even the lower bound of its chance ({self._bounds(i)}) {reached}{self._rate(i)}"

    def is_hopeless(self, i: int) -> str:
        return f"even the upper bound of its chance ({self._bounds(i)}) is below {self.policy.retire_below:.0%}"

    def is_no_use(self, i: int) -> str:
        return (
            f"after {self.shown[i]:,.0f} impressions {self._brings(i)} is below a bestseller's "
            f"({self._brought(self.rates.line[i], i)}), and another {self.policy.look:,} would cost more than "
            "what they may still change is worth"
        )

    def was_pushed(self, i: int) -> str:
        if not self.pushed[i]:
            return f"its chance ({self._bounds(i)}) would be enough to graduate{self._rate(i)} only"
        return (
            f"it sold {self.gmv[i]:,.0f}, but was shown {self.times_usual[i]:.1f} times as often as launches of its "
            f"category usually are{self._rate(i)} only"
        )

    def is_not_yet(self, i: int) -> str:
        enough = f"its chance ({self._bounds(i)}) is enough to graduate"
        return f"{enough}; one step at a time" if self.bought[i] else f"{enough}, {self._bought(i)} are not"

    def is_open(self, i: int) -> str:
        if self.high[i] < self.policy.retire_below:
            return f"its chance is small ({self._bounds(i)}), but it is too early to let it go"
        sure = f"neither sure to reach {self.policy.graduate_at:.0%} nor hopeless"
        return f"its chance ({self._bounds(i)}) is {sure}{self._rate(i)}"

    def _bounds(self, i: int) -> str:
        return f"{self.low[i]:.1%} – {self.high[i]:.1%}"

    def _lived(self, i: int) -> str:
        return _count(self.weeks[i], "week") if self.weeks[i] > 1 else _count(self.days[i], "day")

    def _bought(self, i: int) -> str:
        return _count(self.count[i], str(self.who[i]))

    def _rate(self, i: int) -> str:
        if not self.measured[i]:
            return ""
        line = self._brought(self.rates.line[i], i)
        return f"; {self._brings(i)} reaches a bestseller's ({line}) with probability {self.pull[i]:.0%}"

    def _as_often(self, i: int) -> str:
        if not self.measured[i]:
            return ""
        return f", and was shown {self.times_usual[i]:.1f} times as often as launches of its category usually are"

    def _brings(self, i: int) -> str:
        orders = f"{1000 * self.rate[i]:,.1f} orders"
        return f"its GMV of {self._brought(self.rate[i], i)} per 1,000 impressions ({orders})"

    def _brought(self, rate: float, i: int) -> str:
        return f"{1000 * rate * self.rates.gmv_per_order[i]:,.2f}"

    def to_graduate(self) -> npt.NDArray[np.object_]:
        """What each launch lacks, [launch]."""
        policy = self.policy
        needed = self._orders_needed()
        found: npt.NDArray[np.object_] = np.full(len(self.weeks), "", dtype=object)
        for i in range(len(found)):
            lacks = []
            if self.weeks[i] < policy.least_weeks:
                lacks.append(_more(policy.least_weeks - self.weeks[i], "week"))
            if not self.bought[i]:
                lacks.append(_more(policy.least_buyers - self.count[i], str(self.who[i])))
            orders = [f"{_count(needed[i], 'order')} in the next {policy.look:,} impressions"] * bool(needed[i] > 0)
            sure = [f"a lower bound of {policy.graduate_at:.0%} (now {self.low[i]:.1%})"]
            by_chance = sure * bool(self.low[i] < policy.graduate_at) + orders
            short = np.ceil(self.line_gmv[i] - self.within[i])
            by_sales = [f"{short:,.0f} more GMV"] * bool(short > 0) + orders * bool(self.pushed[i])
            if not np.isfinite(short) or set(by_chance) <= set(by_sales):
                lacks += by_chance
            elif set(by_sales) <= set(by_chance):
                lacks += by_sales
            else:
                both = [what for what in by_sales if what in by_chance]
                ways = (" and ".join(w for w in way if w not in both) for way in (by_sales, by_chance))
                lacks += [*both, f"either {' or '.join(ways)}"]
            found[i] = " and ".join([", ".join(lacks[:-1])] * bool(lacks[1:]) + lacks[-1:]) or "one more day like this"
        return found

    def _orders_needed(self) -> Floats:
        """Least orders of the next `look` impressions with which its rate is high enough; 0 where it is, or where
        impressions are not known. Found by halving."""
        low, high = np.zeros(len(self.weeks)), np.full(len(self.weeks), float(self.policy.look))
        while np.any(high - low > 1):
            middle = np.floor((low + high) / 2)
            reached = self.rates.pull_after(middle, self.policy.look) >= self.policy.pull_at
            low, high = np.where(reached, low, middle), np.where(reached, middle, high)
        return np.where(self.measured & (self.pull < self.policy.pull_at), high, 0.0)


def _listed_anew(launches: pd.DataFrame) -> npt.NDArray[np.object_]:
    """The newest listing of the same product, else "" [launch]."""
    first = launches["relisted_of"].fillna(launches["product_id"])
    newest = launches.sort_values(["listed_on", "product_id"])["product_id"].groupby(first).last()
    told = first.map(newest)
    found: npt.NDArray[np.object_] = told.where(told != launches["product_id"], "").to_numpy(dtype=object)
    return found


def _count(number: float, what: str) -> str:
    return f"{number:,.0f} {what}{'' if number == 1 else 's'}"


def _more(number: float, what: str) -> str:
    return f"{number:,.0f} more {what}{'' if number == 1 else 's'}"
