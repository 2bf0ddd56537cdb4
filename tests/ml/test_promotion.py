"""The gate between a trained model and tomorrow's plans: what it lets through and, above all, what it blocks."""

import math
from dataclasses import replace
from datetime import date

import pytest

from coldframe.errors import ConfigurationError
from ml.promotion import PromotionPolicy, Scores, decide_promotion

CHAMPION = Scores("old", date(2017, 9, 23), "w1", 0.50, 0.80, {"dense": 0.40, "sparse": 0.70})
CHALLENGER = Scores("new", date(2017, 9, 23), "w1", 0.45, 0.80, {"dense": 0.35, "sparse": 0.70})
LATER = date(2017, 9, 30)


def test_a_challenger_that_gains_more_than_the_margin_is_promoted_with_its_reasons() -> None:
    decision = decide_promotion(CHAMPION, CHALLENGER)
    assert decision.action == "promote"
    assert decision.reasons[0] == "gains 10.0% on champion old"
    assert decision.evidence["gain_on_champion"] == pytest.approx(0.1)


def test_a_gain_below_the_margin_is_blocked() -> None:
    decision = decide_promotion(CHAMPION, replace(CHALLENGER, loss=0.499))
    assert decision.action == "keep"
    assert "gains 0.2% on champion old; knowing the same facts, it needs 1.0%" in decision.reasons


def test_a_challenger_that_harms_one_segment_is_blocked_though_it_gains_over_all() -> None:
    harmful = replace(CHALLENGER, segment_losses={"dense": 0.20, "sparse": 0.80})
    decision = decide_promotion(CHAMPION, harmful)
    assert decision.action == "keep"
    assert decision.reasons == ("harms sparse: loss 0.7 -> 0.8, more than 5% worse",)


def test_a_first_release_that_beats_the_baseline_is_promoted() -> None:
    assert decide_promotion(None, CHALLENGER).action == "promote"


def test_a_first_release_serves_even_if_it_is_no_better_than_the_baseline() -> None:
    assert decide_promotion(None, replace(CHALLENGER, loss=CHALLENGER.baseline_loss)).action == "promote"


def test_a_first_release_that_loses_to_the_baseline_is_blocked() -> None:
    decision = decide_promotion(None, replace(CHALLENGER, loss=CHALLENGER.baseline_loss + 0.01))
    assert decision.action == "keep"
    assert decision.reasons == ("gains -1.2% on the baseline; the gate asks for 0.0%",)


def test_a_challenger_that_hardly_beats_the_baseline_is_blocked_where_a_champion_serves() -> None:
    champion = replace(CHAMPION, loss=0.9, segment_losses={})
    decision = decide_promotion(champion, replace(CHALLENGER, loss=0.79))
    assert decision.reasons == ("gains 1.2% on the baseline; the gate asks for 2.0%",)


@pytest.mark.parametrize("loss", [math.nan, math.inf, -0.1])
def test_a_loss_that_is_no_number_is_never_promoted(loss: float) -> None:
    assert decide_promotion(None, replace(CHALLENGER, loss=loss)).action == "keep"
    assert decide_promotion(CHAMPION, replace(CHALLENGER, segment_losses={"dense": loss})).action == "keep"


def test_later_facts_need_no_gain_because_forecasts_age() -> None:
    newer = replace(CHALLENGER, as_of=LATER, loss=0.50, segment_losses=CHAMPION.segment_losses)
    assert decide_promotion(CHAMPION, newer).action == "promote"


def test_later_facts_do_not_excuse_a_worse_model() -> None:
    assert decide_promotion(CHAMPION, replace(CHALLENGER, as_of=LATER, loss=0.52)).action == "keep"


def test_a_release_somebody_rolled_back_is_never_promoted_again_by_itself() -> None:
    decision = decide_promotion(CHAMPION, CHALLENGER, veto="orders doubled (Ada)")
    assert decision.action == "keep"
    assert decision.reasons == ("rolled back: orders doubled (Ada)",)


def test_what_the_champion_cannot_give_is_given_by_a_challenger_that_only_ties_it() -> None:
    tied = replace(CHALLENGER, loss=CHAMPION.loss, segment_losses={"dense": 0.50, "sparse": 0.70})
    assert decide_promotion(CHAMPION, tied).action == "keep"
    decision = decide_promotion(CHAMPION, tied, champion_lacks="champion old has no totals of season 2018-Q1")
    assert decision.action == "promote"
    assert decision.reasons[0] == "champion old has no totals of season 2018-Q1"
    assert "harms dense: loss 0.4 -> 0.5, more than 5% worse" in decision.reasons
    losing = replace(tied, loss=0.81)
    assert decide_promotion(CHAMPION, losing, champion_lacks="no such season").action == "keep"
    assert decide_promotion(CHAMPION, tied, veto="it lied", champion_lacks="no such season").action == "keep"


def test_scores_on_different_windows_are_not_compared() -> None:
    with pytest.raises(ConfigurationError, match="same windows"):
        decide_promotion(CHAMPION, replace(CHALLENGER, windows="w2"))


def test_a_perfect_baseline_is_not_divided_by() -> None:
    assert decide_promotion(None, replace(CHALLENGER, baseline_loss=0.0)).action == "keep"


def test_the_same_question_has_the_same_id_and_another_question_another() -> None:
    first = decide_promotion(CHAMPION, CHALLENGER)
    assert decide_promotion(CHAMPION, CHALLENGER) == first
    assert decide_promotion(CHAMPION, CHALLENGER, PromotionPolicy(margin=0.02)).decision_id != first.decision_id
