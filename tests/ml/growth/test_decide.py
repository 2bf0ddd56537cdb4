"""Which method's scores serve."""

from ml.growth.decide import BASE_RATE, LEAST_BESTSELLERS, Evidence, choose

RULE = Evidence(0.10, 0.0)


def test_the_best_of_those_surely_better_than_the_rule_serves() -> None:
    chosen = choose({"rule": RULE, "logistic": Evidence(0.19, 0.07), "boosting": Evidence(0.17, 0.05)}, 500)
    assert chosen.method == "logistic"
    assert "0.190 beside the rule's 0.100" in chosen.reasons[0]


def test_a_gain_that_may_be_noise_leaves_the_rule_in_place() -> None:
    chosen = choose({"rule": RULE, "boosting": Evidence(0.30, -0.01)}, 500)
    assert chosen.method == "rule"
    assert "no method surely beats" in chosen.reasons[0]


def test_with_too_few_bestsellers_the_rule_serves_whatever_the_figures_say() -> None:
    chosen = choose({"rule": RULE, "logistic": Evidence(0.9, 0.5)}, LEAST_BESTSELLERS - 1)
    assert chosen.method == "rule"
    assert "too few" in chosen.reasons[0]


def test_chances_worse_than_the_base_rate_give_way_to_it() -> None:
    misled = {"rule": Evidence(0.10, 0.0, log_loss=0.9, base_log_loss=0.4), "logistic": Evidence(0.2, 0.1, 0.5, 0.4)}
    chosen = choose(misled, 500)
    assert chosen.method == BASE_RATE
    assert "the chances of logistic would mislead: log loss 0.5000 beside the base rate's 0.4000" in chosen.reasons


def test_without_any_evidence_the_rule_serves() -> None:
    assert choose({}, 0).method == "rule"
