"""Routing, choosing and retraining are pure: the same facts give the same answer, and each answer has its reason."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from ml.forecasting.data import Panel
from ml.forecasting.decide import (
    ChoiceRules,
    LiveError,
    Made,
    RetrainPolicy,
    RouteRules,
    choose,
    decide_retraining,
    route,
)

RULES = RouteRules(top_series=1)
NEW = [np.nan] * 20 + [3.0] * 6
PRODUCTS = [[2.0] * 26, [4.0, 0.0] * 13, [1.0] + [0.0] * 24 + [1.0], [5.0] * 13 + [0.0] * 13, NEW, [np.nan] * 26]


def test_a_product_is_routed_by_how_much_how_often_and_how_long_it_sells(panel: Callable[..., Panel]) -> None:
    routes = route(panel(PRODUCTS, "product_region"), RULES)
    assert routes.segment.tolist() == ["dense", "sparse", "tail", "dormant", "new", ""]
    assert routes.reasons["tail"] == "fewer than 13 units in the last 13 weeks: not modelled by itself"


def test_only_the_dense_categories_with_the_highest_gmv_are_worth_prophet(panel: Callable[..., Panel]) -> None:
    routes = route(panel([[2.0] * 26, [9.0] * 26, [40.0, 0.0] * 13]), RULES)
    assert routes.segment.tolist() == ["dense", "top", "sparse"]


def test_a_route_does_not_depend_on_the_unit_demand_is_counted_in(panel: Callable[..., Panel]) -> None:
    units = np.random.default_rng(1).poisson(4, (30, 30))
    assert route(panel(units), RULES).segment.tolist() == route(panel(units * 100), RULES).segment.tolist()


def table(**models: tuple[float, float, float]) -> pd.DataFrame:
    rows = [{"model": name, "wape": w, "rmsse": r, "bias": b} for name, (w, r, b) in models.items()]
    return pd.DataFrame(rows).assign(level="category_region", segment="dense")


def test_the_model_with_the_lowest_loss_serves() -> None:
    choice = choose(table(naive=(0.4, 1.0, 0), mean=(0.35, 0.9, 0), hgb=(0.3, 0.8, 0.1)), "naive", ChoiceRules())
    assert choice.model == "hgb"
    assert choice.reason == "lowest loss: saves 22.5% of naive's"


def test_a_model_that_hardly_beats_naive_is_blocked_and_the_segment_is_reported_lost() -> None:
    choice = choose(table(naive=(0.4, 1.0, 0), hgb=(0.396, 0.99, 0)), "naive", ChoiceRules())
    assert (choice.model, choice.lost_to_benchmark) == ("naive", True)


def test_a_model_that_is_off_in_sum_is_blocked_with_its_bias() -> None:
    choice = choose(table(naive=(0.4, 1.0, 0.02), hgb=(0.2, 0.5, -0.3)), "naive", ChoiceRules())
    assert choice.model == "naive"
    assert "hgb is off by -30% in sum" in choice.reason


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_model_that_could_not_be_scored_never_serves(bad: float) -> None:
    assert choose(table(naive=(0.4, 1.0, 0), hgb=(bad, bad, 0)), "naive", ChoiceRules()).model == "naive"


def test_of_two_equally_good_models_the_simpler_serves() -> None:
    same = (0.3, 0.8, 0.0)
    assert choose(table(naive=(0.4, 1.0, 0), window_mean=same, hgb=same), "naive", ChoiceRules()).model == "window_mean"


def test_what_all_models_are_off_by_is_no_models_fault() -> None:
    """An autumn nobody had seen: the benchmark sold much in its last week, and is least off by luck."""
    autumn = table(naive=(0.5, 1.7, -0.19), mean=(0.4, 1.36, -0.23), prophet=(0.43, 1.42, -0.14))
    assert choose(autumn, "naive", ChoiceRules()).model == "mean"


def test_a_sparse_series_is_never_forecast_by_what_one_week_sold() -> None:
    scores = table(naive=(1.2, 1.0, 0), mean=(1.1, 1.0, -0.5), hgb=(1.1, 0.9, 0.4), odd=(1.0, 1.0, np.nan))
    choice = choose(scores.assign(segment="sparse"), "naive", ChoiceRules())
    assert (choice.model, choice.lost_to_benchmark) == ("hgb", True)
    assert "it is least off in sum (+40%)" in choice.reason
    little = table(naive=(1.2, 1.0, 0), mean=(1.1, 1.08, 0.0)).assign(segment="sparse")
    assert choose(little, "naive", ChoiceRules()).model == "mean"
    much = table(naive=(1.2, 1.0, 0), mean=(1.1, 1.2, 0.0)).assign(segment="sparse")
    assert choose(much, "naive", ChoiceRules()).model == "naive"


def test_where_demand_comes_now_and_then_sums_may_swing_more() -> None:
    scores = table(naive=(1.2, 1.0, 0), hgb=(1.1, 0.8, -0.25))
    assert choose(scores, "naive", ChoiceRules()).model == "naive"
    assert choose(scores.assign(segment="sparse"), "naive", ChoiceRules()).model == "hgb"


def test_intermittent_demand_is_not_won_by_forecasting_zero() -> None:
    scores = table(naive=(1.2, 1.0, 0), zeros=(1.0, 1.1, 0), mean=(1.5, 0.8, 0)).assign(segment="tail")
    assert choose(scores, "naive", ChoiceRules()).model == "mean"


CHAMPION = Made("r1", date(2017, 9, 24), date(2017, 9, 24), "s1", "2017-Q4", "code")
TUESDAY = Made("", date(2017, 9, 26), date(2017, 9, 26), "s2", "2017-Q4", "code")
BY_THE_DAY = RetrainPolicy(every_days=28, refreshes=True)


def test_nothing_is_trained_on_a_tuesday_and_it_says_why() -> None:
    decision = decide_retraining(CHAMPION, TUESDAY)
    assert decision.action == "reuse"
    assert decision.reasons == ("champion r1 answers 2017-Q4; its training is 2 days old",)


@pytest.mark.parametrize(
    ("now", "force", "reason"),
    [
        (replace(TUESDAY, as_of=date(2017, 10, 1)), False, "the last training is 7 days old; it is renewed every 7"),
        (replace(TUESDAY, as_of=CHAMPION.as_of), False, "the facts of 2017-09-24 changed: snapshot s1 -> s2"),
        (replace(TUESDAY, asked="2018-Q1"), False, "the champion answers 2017-Q4, the run asks for 2018-Q1"),
        (replace(TUESDAY, code="other"), False, "the code or its parameters changed"),
        (TUESDAY, True, "asked for (force)"),
    ],
)
def test_training_is_due(now: Made, force: bool, reason: str) -> None:
    decision = decide_retraining(CHAMPION, now, force)
    assert (decision.action, decision.reasons) == ("train", (reason,))


def test_a_first_run_trains_and_the_same_question_has_the_same_id() -> None:
    first = decide_retraining(None, TUESDAY)
    assert first.action == "train"
    assert first.decision_id == decide_retraining(None, TUESDAY).decision_id
    assert first.decision_id != decide_retraining(CHAMPION, TUESDAY).decision_id


def test_by_the_day_new_facts_are_forecast_by_the_method_that_serves_and_old_ones_not_again() -> None:
    assert decide_retraining(CHAMPION, TUESDAY, policy=BY_THE_DAY).action == "refresh"
    assert decide_retraining(CHAMPION, replace(TUESDAY, snapshot_id="s1"), policy=BY_THE_DAY).action == "reuse"


def test_age_counts_from_the_last_training_and_not_from_the_last_refresh() -> None:
    refreshed = replace(CHAMPION, as_of=date(2017, 9, 25), trained_on=date(2017, 8, 29))
    decision = decide_retraining(refreshed, TUESDAY, policy=BY_THE_DAY)
    assert (decision.action, decision.reasons) == (
        "train",
        ("the last training is 28 days old; it is renewed every 28",),
    )


def test_corrected_facts_of_a_day_that_was_only_refreshed_need_no_training() -> None:
    corrected = replace(TUESDAY, as_of=CHAMPION.as_of)
    assert decide_retraining(CHAMPION, corrected, policy=BY_THE_DAY).action == "train"
    refreshed = replace(CHAMPION, trained_on=date(2017, 9, 10))
    assert decide_retraining(refreshed, corrected, policy=BY_THE_DAY).action == "refresh"


def served(*errors: float, level: str = "total", apart: int = 7, first: date = CHAMPION.trained_on) -> list[LiveError]:
    """Errors of vintages `apart` days from each other, of which a WAPE of 0.2 was expected."""
    return [LiveError(level, first + timedelta(days=apart * n), error, 0.2) for n, error in enumerate(errors)]


OCTOBER = replace(TUESDAY, as_of=date(2017, 10, 20))


def test_two_bad_weeks_in_a_row_at_one_level_are_drift() -> None:
    decision = decide_retraining(
        CHAMPION, OCTOBER, policy=BY_THE_DAY, live=[*served(0.2, 0.26, 0.3), *served(0.2, 0.2, 0.2, level="product")]
    )
    assert decision.action == "train"
    assert decision.reasons == (
        "total drifted: 2 weeks in a row more than 20% above its back-test's error (WAPE 0.26 instead of 0.2, 0.3 "
        "instead of 0.2)",
    )


@pytest.mark.parametrize(
    ("live", "why"),
    [
        (served(0.2, 0.4), "one bad week is not drift"),
        (served(0.4, 0.2), "a week that is over is not drift"),
        (served(0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, apart=1), "vintages of following days are one week"),
        (served(0.23, 0.23, 0.23), "a little worse is within the margin"),
        (served(0.4, 0.4, first=date(2017, 9, 1)), "what went wrong before the training is answered by it"),
        ([*served(0.2, 0.4), *served(0.4, 0.2, level="product")], "two levels with one bad week each are not drift"),
        (served(float("nan"), float("nan")), "what could not be scored is no evidence"),
    ],
)
def test_what_is_not_drift(live: list[LiveError], why: str) -> None:
    assert decide_retraining(CHAMPION, OCTOBER, policy=BY_THE_DAY, live=live).action == "refresh", why


def test_the_same_evidence_has_the_same_id_and_other_evidence_another() -> None:
    bad = served(0.3, 0.3)
    ids = {
        decide_retraining(CHAMPION, OCTOBER, policy=BY_THE_DAY, live=live).decision_id for live in (bad, list(bad), [])
    }
    assert len(ids) == 2


def test_what_a_person_went_back_to_is_not_trained_away_unless_somebody_asks() -> None:
    live = served(0.3, 0.3)
    held = decide_retraining(CHAMPION, OCTOBER, policy=BY_THE_DAY, live=live, held="orders doubled (Ada)")
    assert held.action == "refresh"
    assert "held by a person: orders doubled (Ada)" in held.reasons
    forced = decide_retraining(CHAMPION, OCTOBER, True, BY_THE_DAY, live, held="orders doubled (Ada)")
    assert forced.action == "train"
