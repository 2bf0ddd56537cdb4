"""Which method is today's favourite, and which may serve."""

from ml.growth.decide import BASE_RATE, LEAST_BESTSELLERS, PACE, Choice, Evidence, Held, choose, serve

RULE = Evidence(0.10, 0.0)


def test_the_best_of_those_surely_better_than_the_rule_serves() -> None:
    chosen = choose({"rule": RULE, "logistic": Evidence(0.19, 0.07), "boosting": Evidence(0.17, 0.05)}, 500)
    assert chosen.method == "logistic"
    assert "0.190 beside the rule's 0.100" in chosen.reasons[0]


def test_a_gain_that_may_be_noise_leaves_the_rule_in_place() -> None:
    chosen = choose({"rule": RULE, "boosting": Evidence(0.30, -0.01)}, 500)
    assert chosen.method == "rule"
    assert "no method surely beats" in chosen.reasons[0]


def test_with_too_few_bestsellers_the_pace_over_the_line_serves_whatever_the_figures_say() -> None:
    chosen = choose({"rule": RULE, PACE: Evidence(0.05, -0.1), "logistic": Evidence(0.9, 0.5)}, LEAST_BESTSELLERS - 1)
    assert chosen.method == PACE
    assert "too few" in chosen.reasons[0]


def test_chances_worse_than_the_base_rate_give_way_to_it() -> None:
    misled = {"rule": Evidence(0.10, 0.0, log_loss=0.9, base_log_loss=0.4), "logistic": Evidence(0.2, 0.1, 0.5, 0.4)}
    chosen = choose(misled, 500)
    assert chosen.method == BASE_RATE
    assert "the chances of logistic would mislead: log loss 0.5000 beside the base rate's 0.4000" in chosen.reasons


def test_without_any_evidence_the_pace_over_the_line_serves() -> None:
    assert choose({}, 0).method == PACE


def test_with_evidence_the_pace_over_the_line_must_beat_the_rule_like_any_other() -> None:
    assert choose({"rule": RULE, PACE: Evidence(0.3, -0.01)}, 500).method == "rule"
    assert choose({"rule": RULE, PACE: Evidence(0.3, 0.1), "logistic": Evidence(0.2, 0.07)}, 500).method == PACE


def test_losses_that_look_alike_are_printed_until_they_differ() -> None:
    close = {"rule": Evidence(0.10, 0.0, log_loss=0.476512, base_log_loss=0.476509)}
    assert "log loss 0.476512 beside the base rate's 0.476509" in choose(close, 500).reasons[0]


LOGISTIC, BOOSTING = Evidence(0.19, 0.07, 0.30, 0.40), Evidence(0.17, 0.05, 0.35, 0.40)
BASE = Evidence(0.05, -0.05, 0.40, 0.40)
ALL = {"rule": Evidence(0.10, 0.0, 0.38, 0.40), "logistic": LOGISTIC, "boosting": BOOSTING, BASE_RATE: BASE}
FAVOURED = Choice("logistic", ("it is the best",))


def test_where_nothing_is_held_the_favourite_serves_without_a_gain() -> None:
    for favoured in (FAVOURED, Choice(BASE_RATE, ("nothing else",))):
        assert serve(favoured, None, ALL, 500) == favoured


def test_the_method_that_serves_needs_no_gain_to_go_on() -> None:
    assert serve(Choice(BASE_RATE, ("nothing better",)), Held(BASE_RATE), ALL, 500).method == BASE_RATE
    assert serve(FAVOURED, Held("logistic"), ALL, 500) == FAVOURED


def test_a_favourite_that_beats_the_held_method_takes_over() -> None:
    chosen = serve(FAVOURED, Held("boosting"), ALL, 500)
    assert chosen.method == "logistic"
    assert "gains 14.3% on champion boosting" in chosen.reasons


def test_a_favourite_about_as_good_as_the_held_method_waits() -> None:
    close = ALL | {"boosting": Evidence(0.17, 0.05, 0.302, 0.40)}
    chosen = serve(FAVOURED, Held("boosting"), close, 500)
    assert chosen.method == "boosting"
    assert chosen.reasons[0].startswith("boosting goes on serving; logistic gains 0.7% on champion boosting")


def test_a_favourite_hardly_better_than_the_base_rate_does_not_replace_it() -> None:
    hardly = ALL | {"logistic": Evidence(0.19, 0.07, 0.395, 0.40)}
    assert serve(FAVOURED, Held(BASE_RATE), hardly, 500).method == BASE_RATE


def test_a_held_method_whose_chances_came_to_mislead_gives_way_to_the_base_rate() -> None:
    misled = ALL | {"boosting": Evidence(0.17, 0.05, 0.45, 0.40), "logistic": Evidence(0.19, 0.07, 0.399, 0.40)}
    chosen = serve(FAVOURED, Held("boosting"), misled, 500)
    assert chosen.method == BASE_RATE
    assert chosen.reasons[0].startswith("the chances of boosting would mislead")
    assert serve(FAVOURED, Held(BASE_RATE), misled, 500).method == BASE_RATE, "the same run again decides the same"


def test_a_held_method_stays_where_too_little_was_validated_to_judge_it() -> None:
    untold = choose(ALL, LEAST_BESTSELLERS - 1)
    chosen = serve(untold, Held("boosting"), ALL, LEAST_BESTSELLERS - 1)
    assert chosen.method == "boosting"
    assert "too few" in chosen.reasons[1]
    assert serve(choose({}, 0), Held("boosting"), {}, 0).method == "boosting"


def test_the_method_somebody_went_back_to_stays_whatever_is_better() -> None:
    chosen = serve(FAVOURED, Held("rule", pinned="misled us (Ada, 2024-09-29)"), ALL, 500)
    assert chosen == Choice("rule", ("rule serves because of a rollback: misled us (Ada, 2024-09-29)",))
