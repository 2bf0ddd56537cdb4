"""Values of policies that did not run: right where the truth is known, and refused where nobody can know."""

from dataclasses import replace

import numpy as np
import pytest

from ml.incubation.offpolicy import (
    CLIPPED,
    DIRECT,
    IPS,
    LOGGED,
    ROBUST,
    SNIPS,
    Log,
    Probabilities,
    evaluate,
    on_policy,
    unseen,
)

RATES = np.array([0.02, 0.05, 0.1, 0.2, 0.4])
RAN = np.array([0.4, 0.3, 0.15, 0.1, 0.05])
WANTED = np.array([0.05, 0.1, 0.15, 0.3, 0.4])
TABLE = Probabilities(np.zeros(5, int), np.arange(5), WANTED)


def drawn(rows: int, seed: int = 0) -> Log:
    rng = np.random.default_rng(seed)
    action = rng.choice(5, rows, p=RAN)
    reward = (rng.random(rows) < RATES[action]).astype(float)
    return Log(action, np.zeros(rows, int), np.arange(rows), reward, np.ones(rows), RAN[action])


def wanted(log: Log) -> np.ndarray:
    return WANTED[log.action]


def test_each_estimator_is_its_formula() -> None:
    log = drawn(2000)
    weight = wanted(log) / log.propensity
    estimates = evaluate(log, wanted(log), TABLE).estimates
    found = {estimate.name: estimate.value for estimate in estimates}
    assert found[IPS] == pytest.approx((weight * log.reward).mean())
    assert found[CLIPPED] == pytest.approx((np.minimum(weight, np.sqrt(2000)) * log.reward).mean())
    assert found[SNIPS] == pytest.approx((weight * log.reward).sum() / weight.sum())
    means = [log.reward[log.action == action].mean() for action in range(5)]
    assert found[DIRECT] == pytest.approx(WANTED @ means, rel=0.05)
    assert found[ROBUST] == pytest.approx(WANTED @ RATES, abs=3 * (estimates[-1].standard_error or 0))


def test_intervals_of_95_percent_hold_the_truth_that_often_though_rewards_are_rare() -> None:
    truth = {IPS: 0, SNIPS: 0, ROBUST: 0}
    for seed in range(40):
        log = drawn(1200, seed)
        for estimate in evaluate(log, wanted(log), TABLE).estimates:
            if estimate.name in truth and estimate.low is not None and estimate.high is not None:
                truth[estimate.name] += estimate.low <= WANTED @ RATES <= estimate.high
    assert all(36 <= held <= 40 for held in truth.values()), truth


def test_the_gain_over_the_policy_that_ran_is_known_better_than_the_value() -> None:
    log = drawn(2000)
    # A policy that differs in one action only shares its luck with the one that ran.
    near = RAN + np.array([-0.02, 0.02, 0, 0, 0])
    found = evaluate(log, near[log.action], Probabilities(np.zeros(5, int), np.arange(5), near))
    assert found.gain is not None and found.logged is not None
    assert found.gain.value == pytest.approx(found.best.value - found.logged.value, abs=0.002)
    assert found.gain.standard_error is not None and found.best.standard_error is not None
    assert found.gain.standard_error < found.best.standard_error / 5
    assert found.logged is not None and on_policy(log).logged == found.logged


def test_the_gain_is_by_the_method_that_knows_the_difference_best_and_its_interval_holds_the_truth() -> None:
    near = RAN + np.array([-0.05, 0, 0, 0.02, 0.03])
    for policy, methods in ((near, {SNIPS}), (WANTED, {SNIPS, ROBUST})):
        held, by = 0, set()
        for seed in range(40):
            log = drawn(1500, seed)
            gain = evaluate(log, policy[log.action], replace(TABLE, probability=policy)).gain
            assert gain is not None and gain.low is not None and gain.high is not None
            by.add(gain.name.removesuffix(f" less {LOGGED}"))
            held += gain.low <= (policy - RAN) @ RATES <= gain.high
        assert by == methods and 36 <= held <= 40, (by, held)


def test_no_interval_is_narrower_than_the_luck_of_what_the_log_is_worth() -> None:
    log = drawn(4000)
    # What the policy shows most brought nothing, and what it hardly shows brought something: rounds alone look sure.
    empty = replace(log, reward=np.where(log.action == 4, 0.0, log.reward))
    found = evaluate(empty, wanted(empty), TABLE)
    rate = empty.reward.mean()
    least = np.sqrt(rate * (1 - rate) / found.effective_sample_size)
    for estimate in found.estimates[1:]:
        assert estimate.standard_error is not None and estimate.low is not None and estimate.high is not None
        assert estimate.standard_error >= least * 0.999
        assert max(estimate.value - 1.96 * least, 0) >= estimate.low * 0.999
        assert estimate.high >= (estimate.value + 1.96 * least) * 0.999


def test_rows_of_many_impressions_are_worth_the_impressions() -> None:
    log = drawn(4000)
    keys, row = np.unique(np.column_stack([log.action, log.round % 40]), axis=0, return_inverse=True)
    action = keys[:, 0]
    summed = Log(
        action,
        np.zeros_like(action),
        np.arange(len(action)),
        np.bincount(row, log.reward),
        np.bincount(row),
        RAN[action],
    )
    each, whole = evaluate(log, wanted(log), TABLE), evaluate(summed, wanted(summed), TABLE)
    assert whole.effective_sample_size == pytest.approx(each.effective_sample_size)
    for one, other in zip(each.estimates[1:4:2], whole.estimates[1:4:2], strict=True):
        assert other.value == pytest.approx(one.value)


def test_what_could_have_been_shown_is_not_unseen_but_no_evidence() -> None:
    log = drawn(1000)
    padded = Log(*(np.concatenate([values, values[:50]]) for values in vars(log).values()))
    padded = replace(padded, impressions=np.r_[log.impressions, np.zeros(50)])
    assert evaluate(padded, wanted(padded)).best == evaluate(log, wanted(log)).best
    without = replace(log, impressions=np.where(log.action == 4, 0.0, 1.0))
    assert evaluate(without, wanted(log), TABLE).unseen == 0


def test_positions_of_one_round_are_no_independent_evidence() -> None:
    log = drawn(1000)
    twice = Log(*(np.concatenate([values, values]) for values in vars(log).values()))
    found, doubled = evaluate(log, wanted(log), TABLE).best, evaluate(twice, wanted(twice), TABLE).best
    assert doubled.standard_error == pytest.approx(found.standard_error, rel=0.05)


def test_without_the_probabilities_of_all_actions_the_best_estimate_is_self_normalised() -> None:
    log = drawn(1000)
    found = evaluate(log, wanted(log))
    assert (found.best.name, found.unseen) == (SNIPS, None)


def test_a_thin_log_is_refused_with_what_it_would_take() -> None:
    log = drawn(300)
    found = evaluate(log, wanted(log), TABLE)
    # Not even that of the policy that ran: a figure beside a refusal is taken for one.
    assert (found.logged, found.estimates, found.gain) == (None, (), None)
    assert "effective sample size" in found.refused[0] and "rows like these" in found.refused[0]


def test_the_policy_that_ran_is_held_to_the_same_demands() -> None:
    log = drawn(2000)
    known = on_policy(log)
    assert known.logged is not None and known.logged.value == pytest.approx(log.reward.mean())
    assert (known.estimates, known.gain, known.refused) == ((), None, ())
    few = on_policy(Log(*(values[:30] for values in vars(log).values())))
    assert few.logged is None and few.refused[0].endswith(
        "is 30, and 200 are needed. It takes about 200 rows like these"
    )


def test_the_policy_that_ran_gains_exactly_nothing_on_itself() -> None:
    log = drawn(2000)
    # As stored: rounded to some digits.
    found = evaluate(log, np.round(RAN, 9)[log.action] * (1 + 1e-8), Probabilities(np.zeros(5, int), np.arange(5), RAN))
    assert found.gain is not None
    assert (found.gain.value, found.gain.low, found.gain.high) == (0, 0, 0)


def test_no_interval_of_rewards_reaches_below_0_where_none_is() -> None:
    log = drawn(2000)
    # One great sum among ordinary ones.
    rare = replace(log, reward=log.reward * np.where(log.round < 5, 1000.0, 1.0))
    found = evaluate(rare, wanted(rare), TABLE)
    assert found.logged is not None
    assert all(one.low is None or one.low >= 0 for one in (found.logged, *found.estimates))
    lost = evaluate(replace(log, reward=-log.reward), wanted(log), TABLE)
    assert lost.logged is not None and (lost.logged.low or 0) < lost.logged.value < 0


def test_where_every_impression_brought_the_same_there_is_nothing_to_tell() -> None:
    log = drawn(2000)
    found = evaluate(replace(log, reward=np.ones(2000)), wanted(log), TABLE)
    assert found.refused == ("every impression brought the same. It takes a reward that tells them apart",)


def test_one_row_an_action_is_refused_because_sums_do_not_show_how_much_they_differ() -> None:
    log = drawn(4000)
    counts = np.bincount(log.action)
    summed = Log(np.arange(5), np.zeros(5, int), np.arange(5), np.bincount(log.action, log.reward), counts, RAN)
    refused = evaluate(summed, WANTED, TABLE).refused
    assert "It takes a row an impression, or a row a day at least: rows are sums of 800 impressions here" in refused[0]


def test_one_round_that_decides_everything_is_refused() -> None:
    log = drawn(5000)
    log.propensity[0] = 1e-6
    assert any("one round has" in reason for reason in evaluate(log, wanted(log)).refused)


def test_a_policy_of_actions_the_log_never_showed_is_refused_with_their_share() -> None:
    log = drawn(2000)
    shifted = np.r_[WANTED * 0.7, 0.3]
    found = evaluate(log, shifted[log.action], Probabilities(np.zeros(6, int), np.arange(6), shifted))
    assert found.unseen == pytest.approx(0.3)
    entries = unseen(log, Probabilities(np.zeros(6, int), np.arange(6), shifted))
    assert entries == pytest.approx([0, 0, 0, 0, 0, 0.3])
    assert found.refused[0].startswith("30.0% of the policy's probability lies on actions the log never showed")


def test_propensities_of_another_log_are_refused() -> None:
    log = drawn(2000)
    found = evaluate(replace(log, propensity=log.propensity / 3), wanted(log), TABLE)
    assert found.refused[0].startswith("weights average 3.")


def test_rewards_too_rare_to_bound_are_refused() -> None:
    log = drawn(2000)
    found = evaluate(replace(log, reward=np.where(log.round < 50, log.reward, 0)), wanted(log), TABLE)
    assert "of the 20 rounds that are needed brought anything" in found.refused[0]


def test_a_log_that_showed_none_of_it_is_refused() -> None:
    log = drawn(2000)
    found = evaluate(log, np.zeros(2000), Probabilities(np.zeros(1, int), np.array([9]), np.ones(1)))
    assert found.unseen == 1 and "a log of other actions" in found.refused[1]
    assert found.largest_share == 0 and not any("one round has" in reason for reason in found.refused)
