"""Exposure: a budget and caps that are never exceeded, and propensities that are what they say."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coldframe.errors import ConfigurationError
from ml.incubation.belief import rates
from ml.incubation.exposure import Exposure, Surfaces, expose, propensities
from ml.incubation.policy import Policy
from tests.ml.incubation.scores import by_exposure, by_units, frame

QUICK = Policy(draws=20)
OPEN = Policy(draws=200, product_cap=1, merchant_cap=1, category_cap=1, seed_share=0)


def exposed(
    launches: pd.DataFrame, budget: int, policy: Policy = QUICK, surfaces: Surfaces | None = None, seed: int = 1
) -> Exposure:
    return expose(launches, rates(launches), surfaces or Surfaces.everywhere(launches), budget, policy, seed)


def launched(count: int, stages: str = "si", merchants: int = 6, categories: int = 3) -> pd.DataFrame:
    """Launches with chances falling from 60 %, seeds and incubated ones in turn."""
    full = {"s": "seed", "i": "incubate", "g": "graduate", "r": "retire", "f": "frozen"}
    rows: list[dict[str, Any]] = [
        by_units(
            product_id=f"p{i:03d}",
            merchant_id=f"m{i % merchants}",
            category=f"c{i // 2 % categories}",
            stage=full[stages[i % len(stages)]],
            probability=0.6 / (i + 1),
            probability_low=0.3 / (i + 1),
            probability_high=min(1, 0.9 / (i + 1)),
        )
        for i in range(count)
    ]
    return frame(*rows)


def two_by_two(launches: pd.DataFrame) -> Surfaces:
    names = tuple((channel, region) for channel in ("app", "web") for region in ("north", "south"))
    return Surfaces(
        names, pd.DataFrame([[0.4, 0.3, 0.2, 0.1]], index=sorted(set(launches["category"])), columns=range(4))
    )


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 40),
    st.integers(0, 5000),
    st.sampled_from(["s", "i", "si", "sig", "r", "sf"]),
    st.integers(1, 12),
    st.integers(0, 99),
)
def test_neither_budget_nor_any_cap_is_ever_exceeded(
    count: int, budget: int, stages: str, merchants: int, seed: int
) -> None:
    launches = launched(count, stages, merchants)
    policy = Policy(draws=20, product_cap=0.1, merchant_cap=0.3, category_cap=0.4)
    given_out = exposed(launches, budget, policy, two_by_two(launches), seed).impressions
    in_play = launches[launches["stage"].isin(["seed", "incubate"])]
    total = given_out.sum(axis=1)
    assert given_out.min(initial=0) >= 0
    assert total.sum() <= budget
    assert total.max() <= max(1, max(0.1, 2 / max(len(in_play), 1)) * budget)
    for column, share in (("merchant_id", 0.3), ("category", 0.4)):
        most = max(1, max(share, 1 / max(in_play[column].nunique(), 1)) * budget)
        assert pd.Series(total).groupby(launches[column]).sum().max() <= most


def test_what_no_cap_holds_is_handed_out_to_the_last_impression() -> None:
    for budget in (7, 99, 12_345):
        assert exposed(launched(40), budget, OPEN).impressions.sum() == budget


def test_few_launches_use_up_the_budget_and_are_not_all_shown_alike() -> None:
    launches = launched(8, "i", merchants=8)
    found = exposed(launches, 20_000, Policy(draws=100))
    assert found.impressions.sum() == 20_000
    assert 1.5 * 2_500 < found.impressions.sum(axis=1).max() <= 5_000
    assert not found.notes


def test_what_caps_leave_of_the_budget_is_told_with_the_caps_that_hold_it() -> None:
    found = exposed(launched(4, "i", merchants=1).assign(merchant_id=["a", "a", "a", "b"]), 1_000, Policy(draws=20))
    (note,) = found.notes
    assert f"only {found.impressions.sum():,} of 1,000 impressions are handed out" in note
    assert "3 by the merchant cap" in note
    assert "raise `merchant_cap`" in note


def test_expected_impressions_are_the_propensities_share_of_what_is_handed_out() -> None:
    launches = launched(30)
    surfaces = two_by_two(launches)
    total, expected = np.zeros((30, 4)), np.zeros((30, 4))
    for seed in range(200):
        found = exposed(launches, 60, Policy(draws=20, explore=1, seed_share=0), surfaces, seed)
        total += found.impressions
        expected += 60 * found.propensity
    assert np.abs(total - expected).max() / 200 < 0.15
    assert total.sum() == pytest.approx(expected.sum())


def test_every_launch_in_play_has_a_propensity_and_nobody_else_has() -> None:
    launches = launched(25, "sigrf")
    found = exposed(launches, 1000, surfaces=two_by_two(launches))
    in_play = launches["stage"].isin(["seed", "incubate"]).to_numpy()
    assert (found.propensity[in_play] > 0).all()
    assert (found.propensity[~in_play] == 0).all()
    assert (found.impressions[~in_play] == 0).all()
    assert found.propensity.sum() == pytest.approx(1)
    assert found.floor == pytest.approx(found.propensity[in_play].sum(axis=1).min())
    assert {found.binding[i] for i in np.flatnonzero(~in_play)} == {"stage"}


def test_every_seed_is_seen_even_where_its_chance_is_small() -> None:
    found = exposed(launched(60, "s"), 2000, Policy(draws=20, seed_share=0.6, seed_most=20))
    assert found.impressions.sum(axis=1).min() >= 20
    assert found.binding[59] == "floor for seeds"


def test_no_product_takes_more_than_its_cap() -> None:
    found = exposed(launched(40, "i", merchants=40), 10_000, Policy(draws=200))
    assert found.impressions[0].sum() == 500
    assert found.binding[0] == "product cap"


def test_a_merchant_with_many_seeds_is_held_by_its_cap_with_its_floors() -> None:
    launches = launched(60, "s", merchants=60)
    launches.loc[:49, "merchant_id"] = "crowd"
    found = exposed(launches, 1_000, Policy(draws=20, seed_most=100, merchant_cap=0.2))
    assert found.impressions[:50].sum() <= 200
    assert set(found.binding[:50]) == {"merchant cap"}


def test_a_category_is_held_by_its_cap() -> None:
    launches = launched(60, "i", merchants=60).assign(category=["a"] * 50 + ["b"] * 10)
    found = exposed(launches, 10_000, Policy(draws=20, category_cap=0.5))
    assert found.impressions[:50].sum() == 5000
    assert "category cap" in found.binding[:50]


def test_the_only_merchant_and_the_only_category_may_have_everything() -> None:
    launches = launched(40, "i", merchants=1, categories=1)
    assert exposed(launches, 1000).impressions.sum() == 1000


def test_seeds_of_a_tier_get_what_it_is_guaranteed() -> None:
    launches = launched(20, "s", merchants=20).assign(merchant_tier=["new"] * 5 + ["old"] * 15)
    found = exposed(launches, 1000, Policy(draws=20, guarantees={"new": 40}, seed_share=0))
    assert found.impressions[:5].sum(axis=1).min() >= 40


@pytest.mark.parametrize("budget", [0, 199])
def test_a_budget_below_the_guarantees_is_refused_and_the_conflict_named(budget: int) -> None:
    launches = launched(20, "s").assign(merchant_tier=["new"] * 5 + ["old"] * 15)
    policy = Policy(guarantees={"new": 40})
    with pytest.raises(ConfigurationError, match=f"budget is {budget} .* guaranteed 200 .5 of tier new at 40.*lower"):
        exposed(launches, budget, policy)
    assert exposed(launches, 200, policy).impressions.sum() <= 200


def test_a_guarantee_that_a_cap_forbids_is_told() -> None:
    launches = launched(20, "s", merchants=20).assign(merchant_tier=None)
    launches.loc[:9, "merchant_id"] = "crowd"
    found = exposed(launches, 1000, Policy(draws=20, guarantees={"*": 45}))
    assert found.notes == ("a cap comes before what is guaranteed to 10 seeds of 1 merchants",)
    assert found.impressions[:10].sum() <= 250


def test_a_relisted_product_has_no_floor_again() -> None:
    launches = launched(60, "s")
    launches.loc[59, "relisted_of"] = "p000"
    found = exposed(launches, 2000, Policy(draws=20, explore=1))
    assert found.impressions[58].sum() - found.impressions[59].sum() in (9, 10, 11)


def test_a_budget_of_nothing_and_one_that_is_too_small_are_told() -> None:
    launches = launched(20, "s")
    assert exposed(launches, 0).notes == ("the exposure budget is 0: none of the 20 launches in play is shown",)
    assert "less than one impression is kept for each of 20 seeds" in exposed(launches, 10).notes[0]


def test_rivals_of_the_best_are_looked_at_too() -> None:
    """Greedy would give everything to the highest chance."""
    launches = frame(
        by_units(product_id="a", probability=0.30, probability_low=0.2, probability_high=0.4),
        by_units(product_id="b", probability=0.28, probability_low=0.1, probability_high=0.5),
    )
    shares = propensities(launches, rates(launches), OPEN, np.random.default_rng(1))
    assert shares.min() > 0.3
    assert shares.sum() == pytest.approx(1)


def rivals() -> pd.DataFrame:
    """A sure winner, one in doubt about the last place of two, and two dozen sure losers."""
    known = {"impressions_so_far": 50_000}
    return frame(
        by_exposure(product_id="sure", orders_so_far=5_000, probability=0.999, **known),
        by_exposure(product_id="in doubt", orders_so_far=2_000, probability=0.5, **known),
        by_exposure(product_id="rival", orders_so_far=1_990, probability=0.5, **known),
        *(
            by_exposure(product_id=f"poor{i}", orders_so_far=100, probability=0.0, gmv_so_far=0, **known)
            for i in range(24)
        ),
    )


def test_to_find_winners_shows_those_in_doubt_and_to_earn_shows_the_best() -> None:
    launches = rivals()
    rng = np.random.default_rng(1)
    find = propensities(launches, rates(launches), OPEN.model_copy(update={"explore": 0.01}), rng)
    earn = propensities(launches, rates(launches), OPEN.model_copy(update={"objective": "earn"}), rng)
    assert find[1] + find[2] > 0.95
    assert earn[0] > 0.9


def test_what_the_launch_model_has_given_up_or_is_sure_of_is_shown_less_than_what_it_is_in_doubt_about() -> None:
    chances = [0.001, 0.5, 0.999, *[0.1] * 20]
    launches = frame(*(by_exposure(product_id=f"p{i:02d}", probability=chance) for i, chance in enumerate(chances)))
    policy = OPEN.model_copy(update={"draws": 2000})
    shares = propensities(launches, rates(launches), policy, np.random.default_rng(1))
    assert shares[1] > 1.5 * max(shares[0], shares[2])
    alike = propensities(launches.assign(probability=0.1), rates(launches), policy, np.random.default_rng(1))
    assert alike[1] == pytest.approx(alike[0], rel=0.3), "a model that tells nobody apart says nothing"


def test_products_are_ranked_by_what_an_impression_brings_of_what_a_bestseller_sells() -> None:
    dear = {"gmv_per_unit": 50.0, "bestseller_gmv": 5_000.0}
    launches = rivals().assign(gmv_per_unit=1.0, bestseller_gmv=100.0)
    launches.loc[1, list(dear)] = list(dear.values())
    shares = propensities(launches, rates(launches), OPEN, np.random.default_rng(1))
    assert shares[1] + shares[2] > 0.8


def test_without_exposure_to_earn_is_by_expected_demand() -> None:
    launches = frame(by_units(product_id="a"), by_units(product_id="b", gmv_per_unit=100.0))
    earn = OPEN.model_copy(update={"objective": "earn"})
    shares = propensities(launches, rates(launches), earn, np.random.default_rng(1))
    assert shares[1] > 0.9


def test_the_same_day_gives_the_same_exposure_and_order_does_not_matter() -> None:
    launches = launched(25)
    one, other = exposed(launches, 999), exposed(launches[::-1], 999)
    assert (one.impressions == other.impressions[::-1]).all()
    assert (one.propensity == other.propensity[::-1]).all()
    assert (one.impressions != exposed(launches, 999, seed=2).impressions).any()


def test_a_category_is_shown_where_its_surfaces_say() -> None:
    launches = launched(40, "i")
    by_surface = exposed(launches, 10_000, surfaces=two_by_two(launches)).impressions.sum(axis=0)
    assert np.abs(by_surface - [4000, 3000, 2000, 1000]).max() < 20


def test_without_launches_nothing_is_handed_out() -> None:
    assert exposed(launched(3).iloc[:0], 100).impressions.shape == (0, 1)
