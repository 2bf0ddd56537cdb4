"""Stages and exposure: every rule seen at work, and a budget that is never exceeded."""

import zlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coldframe.errors import ConfigurationError
from ml.incubation.decide import Exposure, Launch, Policy, Stage, expose, propensities, stage

POLICY = Policy()


def launch(
    chance: float,
    low: float,
    high: float,
    *,
    buyers: int = 20,
    age: int = 8,
    previous: Stage | None = "incubate",
    name: str = "p",
    merchant: str = "m",
    gmv: float = 0.0,
    line: float | None = 100.0,
) -> Launch:
    return Launch(name, merchant, age, chance, low, high, buyers, gmv, line, previous)


@pytest.mark.parametrize(
    ("case", "expected", "because"),
    [
        (launch(0.7, 0.55, 0.8), "graduate", "lower bound"),
        (launch(0.7, 0.45, 0.8), "incubate", "neither"),
        (launch(0.7, 0.55, 0.8, previous=None), "incubate", "one step at a time"),
        (launch(0.7, 0.55, 0.8, previous="seed"), "incubate", "one step at a time"),
        (launch(0.7, 0.55, 0.8, buyers=4), "seed", "4 buyers"),
        (launch(0.7, 0.55, 0.8, age=0), "seed", "1 week;"),
        (launch(0.005, 0.001, 0.01), "retire", "upper bound"),
        (launch(0.005, 0.001, 0.03), "incubate", "neither"),
        (launch(0.005, 0.001, 0.01, age=3), "incubate", "too early"),
        (launch(0.005, 0.001, 0.01, buyers=0), "seed", "undecided"),
        (launch(0.01, 0.0, 0.02, previous="graduate"), "graduate", "graduated before"),
        (launch(0.01, 0.0, 0.03, previous="retire"), "retire", "has not come back"),
        (launch(0.1, 0.05, 0.2, previous="retire"), "incubate", "has come back"),
        (launch(0.1, 0.05, 0.2, previous=None, gmv=120), "graduate", "top tenth"),
        (launch(0.1, 0.05, 0.2, previous=None, gmv=99), "incubate", "neither"),
        (launch(0.1, 0.05, 0.2, gmv=120, buyers=1), "seed", "1 buyer in"),
        (launch(0.1, 0.05, 0.2, gmv=120, line=None), "incubate", "neither"),
        (launch(0.1, 0.05, 0.2, gmv=0, line=0.0), "incubate", "neither"),
    ],
)
def test_a_launch_is_staged_with_a_reason(case: Launch, expected: Stage, because: str) -> None:
    decided = stage(case, POLICY)
    assert decided.stage == expected
    assert because in decided.reason


def test_without_any_buyer_a_launch_is_undecided_however_old_it_is() -> None:
    assert stage(launch(0.001, 0, 0.002, buyers=0, age=12), POLICY).stage == "seed"


def test_where_nobody_knows_who_buys_units_are_the_evidence() -> None:
    unknown = replace(launch(0.1, 0.05, 0.2), buyers=None)
    undecided = "undecided: 4 units in 9 weeks; deciding takes 5 units and 2 weeks"
    assert stage(replace(unknown, units=4), POLICY).reason == undecided
    assert stage(replace(unknown, units=5), POLICY).stage == "incubate"


def field(count: int, stages: str = "si", merchants: int = 6) -> tuple[list[Launch], dict[str, Stage]]:
    """Launches with chances falling from 60 %, seeds and incubated ones in turn."""
    full: dict[str, Stage] = {"s": "seed", "i": "incubate", "g": "graduate", "r": "retire"}
    launches = [
        launch(0.6 / (i + 1), 0.3 / (i + 1), min(1, 0.9 / (i + 1)), name=f"p{i:03d}", merchant=f"m{i % merchants}")
        for i in range(count)
    ]
    return launches, {item.product_id: full[stages[i % len(stages)]] for i, item in enumerate(launches)}


def given_out(exposures: dict[str, Exposure]) -> int:
    return sum(e.impressions for e in exposures.values())


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(0, 5000), st.sampled_from(["s", "i", "si", "sig", "r"]))
def test_the_budget_is_never_exceeded_nor_a_cap(count: int, budget: int, stages: str) -> None:
    launches, staged = field(count, stages)
    policy = Policy(draws=40)
    exposures = expose(launches, staged, budget, policy, seed=1)
    assert given_out(exposures) <= budget
    assert all(0 <= e.impressions <= policy.product_cap * budget for e in exposures.values())


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 3000), st.integers(1, 500))
def test_more_budget_takes_nothing_from_anybody(budget: int, more: int) -> None:
    launches, staged = field(30)
    before = expose(launches, staged, budget, Policy(draws=40), seed=1)
    after = expose(launches, staged, budget + more, Policy(draws=40), seed=1)
    assert all(after[name].impressions >= before[name].impressions for name in before)


def test_graduates_and_the_retired_get_no_incubation_traffic() -> None:
    launches, staged = field(12, "grs")
    exposures = expose(launches, staged, 1000, POLICY, seed=1)
    assert {exposures[p].impressions for p, s in staged.items() if s in ("graduate", "retire")} == {0}


def test_every_seed_is_seen_even_where_its_chance_is_small() -> None:
    launches, staged = field(60, "s")
    exposures = expose(launches, staged, 2000, POLICY, seed=1)
    assert min(e.impressions for e in exposures.values()) == 10
    assert exposures["p059"].binding == "floor for seeds"


def test_no_product_takes_more_than_its_cap() -> None:
    launches, staged = field(40, "i", merchants=40)
    exposures = expose(launches, staged, 10_000, POLICY, seed=1)
    assert exposures["p000"].impressions == 500
    assert exposures["p000"].binding == "product cap"


def test_what_a_seed_is_given_counts_against_its_cap() -> None:
    launches, staged = field(40, "siii", merchants=40)
    exposures = expose(launches, staged, 2_000, POLICY, seed=1)
    assert (exposures["p000"].impressions, exposures["p000"].binding) == (100, "product cap")


def test_no_merchant_takes_more_than_its_cap() -> None:
    launches, staged = field(60, "i", merchants=2)
    exposures = expose(launches, staged, 10_000, POLICY, seed=1)
    for merchant in ("m0", "m1"):
        taken = sum(exposures[item.product_id].impressions for item in launches if item.merchant_id == merchant)
        assert taken <= 2500
    assert {e.binding for e in exposures.values()} <= {"merchant cap", "product cap"}


def test_rivals_of_the_best_are_looked_at_too() -> None:
    """Greedy would give everything to the highest chance."""
    shares = propensities([launch(0.30, 0.2, 0.4, name="a"), launch(0.28, 0.1, 0.5, name="b")], draws=400, seed=1)
    assert shares.min() > 0.3
    assert shares.sum() == pytest.approx(1)


def test_a_better_chance_earns_more_exposure() -> None:
    launches = [launch(0.6, 0.5, 0.7, name="good"), *(launch(0.02, 0.01, 0.03, name=f"poor{i}") for i in range(20))]
    shares = propensities(launches, draws=400, seed=1)
    assert shares[0] > 5 * shares[1:].max()


def test_the_same_day_gives_the_same_exposure_and_order_does_not_matter() -> None:
    launches, staged = field(25)
    seed = zlib.crc32(b"2017-09-30")
    assert expose(launches, staged, 999, POLICY, seed) == expose(launches[::-1], staged, 999, POLICY, seed)


def test_a_negative_budget_and_a_launch_named_twice_are_refused() -> None:
    launches, staged = field(3)
    with pytest.raises(ConfigurationError, match="negative"):
        expose(launches, staged, -1, POLICY, seed=1)
    with pytest.raises(ConfigurationError, match="twice"):
        expose([*launches, launches[0]], staged, 10, POLICY, seed=1)


def test_without_launches_or_budget_nothing_is_handed_out() -> None:
    assert expose([], {}, 100, POLICY, seed=1) == {}
    launches, staged = field(5)
    assert given_out(expose(launches, staged, 0, POLICY, seed=1)) == 0
