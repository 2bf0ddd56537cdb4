"""What another policy would have earned, from the log of the one that ran: pure functions of arrays.

A log tells what followed what was shown, and nothing of what was not. Reweighting by the probabilities with which
both policies show a thing makes up for that, as long as the log showed it often enough; where it did not, the figure is
luck with decimals. So every estimate comes with its evidence, and too little evidence gives none. When this file is
wrong, a policy is promoted that loses money, with an interval that says otherwise.

Estimators: inverse propensity (Horvitz & Thompson 1952), truncated at the root of the sample size (Ionides 2008,
"Truncated importance sampling", sec. 3), self-normalised (Swaminathan & Joachims 2015, "The self-normalized
estimator for counterfactual learning", eq. 7), and doubly robust (Dudik, Langford & Li 2011, "Doubly robust policy
evaluation and learning", eq. 2) with a reward model that has not seen the round it speaks of. Intervals are
studentised bootstraps (Efron & Tibshirani 1993, ch. 12) of whole rounds: rewards are rare and weights skewed, where an
interval of plus or minus two standard errors covers too seldom, and always misses on the same side. No interval is
narrower than the luck of as many impressions as the log is worth.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

LEAST_SAMPLE = 200
MOST_SHARE = 0.05
MOST_UNSEEN = 0.05
MOST_OFF = 0.1
LEAST_REWARDED = 20
SUMMED = 10
"""Rows of more impressions than these on average are sums."""
FOLDS = 5
RESAMPLES = 1000
MOST_BAGS = 2000
NORMAL = 1.96
SEED = 19_520_663
"""Not 0: a log somebody drew with that seed would fall into folds by its actions."""

LOGGED, DIRECT = "logging policy", "direct method"
IPS, CLIPPED, SNIPS, ROBUST = "inverse propensity", "clipped", "self-normalised", "doubly robust"


@dataclass(frozen=True)
class Log:
    """What was shown and what it brought: arrays [row] of equal length.

    `action`, `context` and `round` are codes (0, 1, …); the propensities within a context are of one choice, and rows
    of one round are no independent evidence. `reward` is the sum over the row's `impressions` (none: it could have been
    shown and was not), below 0 where more was refunded than sold; `propensity` in (0, 1] is the probability with which
    the row's action was chosen for one of them.
    """

    action: np.ndarray
    context: np.ndarray
    round: np.ndarray
    reward: np.ndarray
    impressions: np.ndarray
    propensity: np.ndarray


@dataclass(frozen=True)
class Probabilities:
    """A policy: arrays [entry]. The probabilities of one context sum to 1; codes are those of the log."""

    context: np.ndarray
    action: np.ndarray
    probability: np.ndarray


@dataclass(frozen=True)
class Estimate:
    """Reward per impression, its standard error and 95 % interval; None where the method can give none."""

    name: str
    value: float
    standard_error: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Evaluation:
    """What is known of a policy. Where `refused` says why nothing is, there is no estimate of any kind.

    The best of the `estimates` is the last; `logged` is the value of the policy that ran, `gain` what the new one adds,
    by the self-normalised or the doubly robust, whichever has the smaller standard error of that difference.
    `effective_sample_size` is Kish's, in impressions; `largest_share` (0..1) the share of all weight that one round
    has; `mean_weight` is 1 on average where both sets of probabilities are right; `unseen` (0..1) the share of the
    policy's probability on what the log never showed (None where only that of what was shown is known).
    """

    logged: Estimate | None
    estimates: tuple[Estimate, ...]
    gain: Estimate | None
    rows: int
    impressions: int
    effective_sample_size: float
    largest_share: float
    mean_weight: float
    unseen: float | None
    refused: tuple[str, ...]

    @property
    def best(self) -> Estimate:
        return self.estimates[-1]


def evaluate(log: Log, wanted: np.ndarray, policy: Probabilities | None = None) -> Evaluation:
    """The value of a policy that shows the row's action with probability `wanted` [row].

    `policy` has its probabilities of all actions, without which there is no doubly robust estimate. Never raises for
    thin evidence: that is what `refused` is for.
    """
    share = None if policy is None else float(unseen(log, policy).sum())
    shown = log.impressions > 0
    log = Log(*(values[shown] for values in vars(log).values()))
    weight = wanted[shown] / log.propensity
    # Probabilities are rounded where they are stored; a policy that is the one that ran gains exactly 0.
    weight[np.isclose(weight, 1, rtol=1e-6, atol=0)] = 1.0
    rounds = np.unique(log.round, return_inverse=True)[1]
    per_round = _adder(rounds)
    impressions = per_round(log.impressions)
    total = impressions.sum()
    mass = log.impressions * weight
    size = float(mass.sum() ** 2 / (mass @ weight)) if mass.any() else 0.0
    largest = float(per_round(mass).max() / mass.sum()) if mass.any() else 0.0
    rewarded = int((per_round(log.reward * weight) != 0).sum())
    mean_weight = float(mass.sum() / total)
    evidence = (len(weight), int(total), size, largest, mean_weight, share)
    deviation = _ratio("weight", per_round(mass), impressions)[0].standard_error or 0.0
    noise = _noise(log)
    if refused := _refusals(evidence, rewarded, deviation, noise > 0):
        return Evaluation(None, (), None, *evidence, refused)

    logged, own = _ratio(LOGGED, per_round(log.reward), impressions)
    ceiling = float(np.sqrt(len(impressions)))
    weighted = per_round(log.reward * weight)
    clipped = per_round(log.reward * np.minimum(weight, ceiling))
    least = noise / np.sqrt(size)
    found = [
        _ratio(IPS, weighted, impressions, least),
        _ratio(CLIPPED, clipped, impressions, least),
        _ratio(SNIPS, weighted, per_round(mass), least),
    ]
    direct = []
    if policy is not None:
        expected, believed = _cross_fitted(log, policy, rounds)
        direct = [Estimate(DIRECT, float(log.impressions @ expected / total))]
        scores = log.impressions * expected + weight * (log.reward - log.impressions * believed)
        found.append(_ratio(ROBUST, per_round(scores), impressions, least))
    # What both owe to the same luck cancels. How much of it does depends on how alike the policies are: doubly robust
    # takes the luck of which actions were drawn out of the new value alone, so near the policy that ran it knows less.
    apart = noise * float(np.sqrt(log.impressions @ (weight - 1) ** 2)) / total
    gains = [
        _estimate(f"{one.name} less {LOGGED}", one.value - logged.value, influence - own, apart)
        for one, influence in found[2:]
    ]
    gain = min(gains, key=lambda one: one.standard_error or 0.0)
    estimates = [estimate for estimate, _ in found]
    if (log.reward >= 0).all():
        logged, *estimates = (replace(one, low=max(one.low or 0.0, 0.0)) for one in (logged, *estimates))
    return Evaluation(logged, (*direct, *estimates), gain, *evidence, ())


def on_policy(log: Log) -> Evaluation:
    """What is known of the policy that ran: `logged`, or why not even that can be told."""
    return replace(evaluate(log, log.propensity), estimates=(), gain=None)


def unseen(log: Log, policy: Probabilities) -> np.ndarray:
    """Share of the policy's probability (0..1) that lies on each entry [entry] which the log never showed; 0 for what
    it did show. Contexts count as often as they were there."""
    actions = int(max(log.action.max(), policy.action.max())) + 1
    seen = np.isin(policy.context * actions + policy.action, log.context * actions + log.action)
    shown = np.bincount(log.context, log.impressions, policy.context.max() + 1)
    return np.where(seen, 0.0, shown[policy.context] * policy.probability / shown.sum())


def _refusals(
    evidence: tuple[int, int, float, float, float, float | None], rewarded: int, deviation: float, differs: bool
) -> tuple[str, ...]:
    rows, impressions, size, largest, mean_weight, share = evidence
    reasons = []
    if share is not None and share > MOST_UNSEEN:
        reasons.append(
            f"{share:.1%} of the policy's probability lies on actions the log never showed in that context; "
            f"at most {MOST_UNSEEN:.0%} may. It takes a log of a policy that shows them"
        )
    if size < LEAST_SAMPLE:
        it = f"the effective sample size (impressions that the log is worth of this policy) is {size:,.0f}"
        more = f"about {rows * LEAST_SAMPLE / size:,.0f} rows like these" if size else "a log of other actions"
        if size < 0.99 * impressions:
            more += ", or a policy closer to the one that ran"
        reasons.append(f"{it}, and {LEAST_SAMPLE} are needed. It takes {more}")
    if largest > MOST_SHARE:
        more = "more rounds, or a logging policy that shows everything more often"
        if impressions > SUMMED * rows:
            more = (
                f"a row an impression, or a row a day at least: rows are sums of {impressions / rows:,.0f} impressions "
                "here, and how much one differs from the next is what an interval is made of"
            )
        reasons.append(
            f"one round has {largest:.1%} of all weight; more than {MOST_SHARE:.0%} makes the value its luck. It takes "
            f"{more}"
        )
    if rewarded < LEAST_REWARDED:
        reasons.append(
            f"{rewarded:,} of the {LEAST_REWARDED} rounds that are needed brought anything this policy would have had. "
            "It takes more rounds, or a reward that is less rare"
        )
    elif not differs:
        reasons.append("every impression brought the same. It takes a reward that tells them apart")
    if not reasons and abs(mean_weight - 1) > max(MOST_OFF, 4 * deviation):
        reasons.append(
            f"weights average {mean_weight:.2f}, where 1 is due: the propensities are not those of this log, or the "
            "policy mostly shows what the log does not have. It takes the propensities the choice was drawn with"
        )
    return tuple(reasons)


def _cross_fitted(log: Log, policy: Probabilities, rounds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Reward per impression that is expected of the policy in the row's context, and of the row's own action, both
    [row], from the rounds of the other folds."""
    actions = int(max(log.action.max(), policy.action.max())) + 1
    cells, where = np.unique(
        np.concatenate([log.context * actions + log.action, policy.context * actions + policy.action]),
        return_inverse=True,
    )
    own, theirs = where[: len(log.action)], where[len(log.action) :]
    action_of = cells % actions
    fold = (np.random.default_rng(SEED).permutation(rounds.max() + 1) % FOLDS)[rounds]
    expected, believed = np.empty(len(own)), np.empty(len(own))
    for number in range(FOLDS):
        held = fold == number
        rest = log.impressions[~held], log.reward[~held]
        prior = np.full(actions, rest[1].sum() / max(rest[0].sum(), 1))
        by_action = _shrunk(log.action[~held], *rest, prior)
        by_cell = _shrunk(own[~held], *rest, by_action[action_of])
        of_context = np.bincount(
            policy.context, policy.probability * by_cell[theirs], max(log.context.max(), policy.context.max()) + 1
        )
        expected[held], believed[held] = of_context[log.context[held]], by_cell[own[held]]
    return expected, believed


def _shrunk(group: np.ndarray, impressions: np.ndarray, reward: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Mean reward per impression of each group, drawn to its `prior` [group] as far as it rests on little evidence.

    How far is what the variance within groups and between them says (analysis of variance with unequal sizes; Searle,
    Casella & McCulloch 1992, sec. 3.6).
    """
    n = np.bincount(group, impressions, len(prior))
    total = np.bincount(group, reward, len(prior))
    mean = np.divide(total, n, out=prior.copy(), where=n > 0)
    filled = int((n > 0).sum())
    spare = len(group) - filled
    within = (impressions * (reward / impressions - mean[group]) ** 2).sum() / spare if spare > 0 else np.inf
    spread = (n * (mean - prior) ** 2).sum() - filled * within
    if not spread > 0:
        return prior
    between = spread / n.sum()
    return (total + within / between * prior) / (n + within / between)


def _adder(rounds: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    return lambda values: np.bincount(rounds, values)


def _noise(log: Log) -> float:
    """Standard deviation of the reward of one impression."""
    mean = log.reward.sum() / log.impressions.sum()
    return float(np.sqrt((log.impressions * (log.reward / log.impressions - mean) ** 2).mean()))


def _ratio(name: str, above: np.ndarray, below: np.ndarray, least: float = 0.0) -> tuple[Estimate, np.ndarray]:
    """The ratio of two sums over rounds, and each round's influence on it [round] (the delta method)."""
    value = float(above.sum() / below.sum())
    influence = (above - value * below) / below.mean()
    return _estimate(name, value, influence, least), influence


def _estimate(name: str, value: float, influence: np.ndarray, least: float = 0.0) -> Estimate:
    """An estimate whose error is that of its rounds, but not below `least`: where what weighs most brought nothing by
    chance, the rounds do not show how uncertain that leaves the value."""
    rng = np.random.default_rng(SEED)
    if len(influence) > MOST_BAGS:
        # Sums of rounds at random have the variance and skewness of the rounds, and cost what few cost.
        bags = np.bincount(rng.permutation(len(influence)) % MOST_BAGS, influence)
        influence = bags * MOST_BAGS / len(influence)
    size = len(influence)
    error = float(influence.std(ddof=1) / np.sqrt(size)) if size > 1 else float("nan")
    if not error > 0:
        return Estimate(name, value, error, value, value)
    centred = influence - influence.mean()
    drawn = []
    at_once = max(1, 500_000 // size)
    for first in range(0, RESAMPLES, at_once):
        again = centred[rng.integers(0, size, (min(at_once, RESAMPLES - first), size))]
        spread = again.std(axis=1, ddof=1)
        some = spread > 0
        drawn.append(again.mean(axis=1)[some] / spread[some] * np.sqrt(size))
    low, high = np.quantile(np.concatenate(drawn), [0.025, 0.975])
    wide = NORMAL * least
    return Estimate(
        name,
        value,
        max(error, least),
        float(min(value - high * error, value - wide)),
        float(max(value - low * error, value + wide)),
    )
