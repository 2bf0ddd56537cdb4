"""The choice of a cell: as good as trying everything, and every rule seen binding."""

from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coldframe.errors import ConfigurationError
from ml.assortment.choice import Substitution, prior
from ml.assortment.decide import Candidate, InfeasibleError, Rules, decide
from ml.assortment.rules import Quota


def shelf(*values: float, merchants: str = "", new: str = "") -> list[Candidate]:
    """Products a, b, c … with these values; merchants by letter; products named in `new` are recent launches."""
    names = "abcdefghijklmnop"
    return [
        Candidate(names[i], merchants[i] if merchants else "m", value, names[i] in new)
        for i, value in enumerate(values)
    ]


def ranged(candidates: list[Candidate], rules: Rules) -> str:
    return "".join(c.product_id for c in decide("here/tea", candidates, rules).choices)


def test_without_quotas_the_most_valuable_products_are_ranged() -> None:
    decision = decide("here/tea", shelf(1, 5, 3, 4), Rules(slots=2))
    assert [(c.product_id, c.rank, c.binding) for c in decision.choices] == [("b", 1, "slots"), ("d", 2, "slots")]
    assert (decision.left_out, decision.value, decision.gap) == ("c", 9, 0)


def test_with_fewer_candidates_than_options_nothing_binds() -> None:
    decision = decide("here/tea", shelf(1, 2), Rules(slots=3))
    assert {c.binding for c in decision.choices} == {"nothing: fewer candidates than slots"}
    assert decision.left_out is None


def test_equal_values_are_decided_by_product_id_with_and_without_the_solver() -> None:
    assert ranged(shelf(2, 2, 2, 2), Rules(slots=2)) == "ab"
    assert ranged(shelf(2, 2, 2, 2, new="cd"), Rules(slots=2, new_share=0.5)) == "ac"


def test_the_quota_for_new_products_gives_one_a_place_and_says_whose() -> None:
    decision = decide("here/tea", shelf(9, 8, 7, 1, new="d"), Rules(slots=3, new_share=0.1))
    assert [c.product_id for c in decision.choices] == ["a", "b", "d"]
    assert (decision.choices[-1].binding, decision.choices[-1].replaces) == ("new-product quota", "c")


def test_the_quota_asks_for_no_more_new_products_than_there_are() -> None:
    assert ranged(shelf(9, 8, 7, 1, new="d"), Rules(slots=3, new_share=1)) == "abd"


def test_one_merchant_may_not_fill_more_than_the_cap() -> None:
    decision = decide("here/tea", shelf(9, 8, 7, 1, merchants="xxxy"), Rules(slots=3, merchant_share=0.67))
    assert [c.product_id for c in decision.choices] == ["a", "b", "d"]
    assert decision.choices[-1].binding == "merchant cap"


def test_a_must_keep_stays_however_little_it_brings() -> None:
    decision = decide("here/tea", shelf(9, 8, 0), Rules(slots=2, must_keep=frozenset("c")))
    assert [(c.product_id, c.binding) for c in decision.choices] == [("a", "slots"), ("c", "must-keep")]
    assert decision.choices[-1].replaces == "b"


def test_a_must_drop_goes_however_much_it_brings() -> None:
    decision = decide("here/tea", shelf(9, 8, 7), Rules(slots=2, must_drop=frozenset("a")))
    assert [c.product_id for c in decision.choices] == ["b", "c"]
    assert decision.dropped == ("a",)


@pytest.mark.parametrize(
    ("candidates", "rules", "conflict"),
    [
        (shelf(3, 2, 1), Rules(slots=2, must_keep=frozenset("abc")), ("slots", "must-keep")),
        (
            shelf(3, 2, 1),
            Rules(slots=3, merchant_share=0.34, must_keep=frozenset("ab")),
            ("merchant cap", "must-keep"),
        ),
        (shelf(3, 2), Rules(slots=2, must_keep=frozenset("a"), must_drop=frozenset("a")), ("must-keep", "must-drop")),
    ],
)
def test_rules_in_conflict_are_named_and_no_others(
    candidates: list[Candidate], rules: Rules, conflict: tuple[str, ...]
) -> None:
    with pytest.raises(InfeasibleError, match="here/tea") as raised:
        decide("here/tea", candidates, rules)
    assert raised.value.rules == conflict


@pytest.mark.parametrize(
    ("candidates", "message"),
    [
        ([Candidate("a", "m", 1, units=-1)], "negative"),
        (shelf(1, float("nan")), "not finite"),
        ([*shelf(1), *shelf(2)], "occur twice"),
    ],
)
def test_broken_candidates_are_refused_by_name(candidates: list[Candidate], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        decide("here/tea", candidates, Rules(slots=2))


def test_of_variants_only_one_is_ranged() -> None:
    decision = decide("here/tea", shelf(9, 8, 7), Rules(slots=2, variants=(("a", "b"),)))
    assert [(c.product_id, c.binding, c.replaces) for c in decision.choices] == [
        ("a", "slots", None),
        ("c", "variants", "b"),
    ]
    assert decision.rules_cost == pytest.approx(1)


def test_a_quota_asks_for_an_attribute_and_says_so() -> None:
    candidates = [
        replace(c, attributes={"brand": "own" if c.product_id == "d" else "other"}) for c in shelf(9, 8, 7, 1)
    ]
    own = Quota(attribute="brand", value="own", at_least=1)
    assert ranged(candidates, Rules(slots=2, quotas=(own,))) == "ad"
    capped = Quota(attribute="brand", value="other", at_most=1)
    assert ranged(candidates, Rules(slots=3, quotas=(capped,))) == "ad"
    with pytest.raises(InfeasibleError, match="quota of brand own: at least 2, and there are 1") as raised:
        decide("here/tea", candidates, Rules(slots=3, quotas=(own.model_copy(update={"at_least": 2}),)))
    assert raised.value.rules == ("quota of brand own",)


def test_a_line_names_the_rule_that_keeps_out_the_product_it_replaces() -> None:
    candidates = [
        replace(c, attributes={"brand": brand}) for c, brand in zip(shelf(12, 8, 7, 6, 5), "xyxyy", strict=True)
    ]
    rules = Rules(slots=3, variants=(("a", "b"),), quotas=(Quota(attribute="brand", value="x", at_most=1),))
    assert [(c.product_id, c.binding, c.replaces) for c in decide("here/tea", candidates, rules).choices] == [
        ("a", "slots", None),
        ("d", "quota of brand x", "c"),
        ("e", "variants", "b"),
    ]


def test_each_subcategory_keeps_its_core_needs() -> None:
    candidates = [replace(c, attributes={"subcategory": s}) for c, s in zip(shelf(9, 8, 7, 1), "xxyz", strict=True)]
    assert ranged(candidates, Rules(slots=3, core=1)) == "acd"
    with pytest.raises(InfeasibleError) as raised:
        decide("here/tea", candidates, Rules(slots=2, core=1))
    assert raised.value.rules == ("slots", "core needs")


def test_no_more_than_the_change_limit_is_new_to_the_range_but_empty_places_are_filled() -> None:
    candidates = [replace(c, current=c.product_id in "cd") for c in shelf(9, 8, 2, 1)]
    assert ranged(candidates, Rules(slots=2, most_changed=0.5)) == "ac"
    assert ranged(candidates, Rules(slots=3, most_changed=0)) == "acd", "the range of two leaves one of three empty"


def test_what_loses_money_is_ranged_only_where_it_must_stay() -> None:
    assert ranged(shelf(9, -1), Rules(slots=2)) == "a"
    assert ranged(shelf(9, -1), Rules(slots=2, must_keep=frozenset("b"))) == "ab"


def test_products_left_out_lift_those_on_show_and_one_more_slot_is_worth_less_than_it_sells() -> None:
    candidates = shelf(10, 10, 10, 10)
    decision = decide("here/tea", candidates, Rules(slots=2), Substitution(0.2, 1.0, "fitted"))
    assert decision.lift == pytest.approx(1 / (0.8 + 0.2 * 0.5))
    assert decision.value == pytest.approx(20 * decision.lift)
    assert decision.slot_worth == pytest.approx(30 / (0.8 + 0.2 * 0.75) - decision.value)
    assert decision.choices[0].lost_without == pytest.approx(decision.value - 10 / (0.8 + 0.2 * 0.25))


def test_on_an_assumption_nothing_more_is_promised_than_was_forecast() -> None:
    assert decide("here/tea", shelf(10, 10, 10, 10), Rules(slots=2), prior(0.2)).lift == 1


def test_only_a_learned_substitution_leaves_places_empty() -> None:
    dear, cheap = Candidate("a", "m", 1000, units=10), Candidate("b", "m", 10, units=10)
    assert [c.product_id for c in decide("here/tea", [dear, cheap], Rules(slots=2), prior(0.5)).choices] == ["a", "b"]
    fitted = decide("here/tea", [dear, cheap], Rules(slots=2), Substitution(0.5, 1.0, "fitted"))
    assert [(c.product_id, c.binding) for c in fitted.choices] == [
        ("a", "nothing: one more would take more from the others than it brings")
    ]


def test_rules_fill_as_many_places_as_they_let() -> None:
    candidates = [Candidate(str(i), "xxy"[i], value, units=10) for i, value in enumerate((1000.0, 900.0, 10.0))]
    decision = decide("here/tea", candidates, Rules(slots=3, merchant_share=0.34), prior(0.5))
    assert [(c.product_id, c.binding) for c in decision.choices] == [
        ("0", "nothing: the other rules let no more in"),
        ("2", "nothing: the other rules let no more in"),
    ]


@st.composite
def problems(draw: st.DrawFn) -> tuple[list[Candidate], Rules]:
    n = draw(st.integers(1, 8))
    values = draw(st.lists(st.integers(0, 20), min_size=n, max_size=n))
    candidates = [
        Candidate(f"p{i}", draw(st.sampled_from("xyz")), float(v), draw(st.booleans())) for i, v in enumerate(values)
    ]
    rules = Rules(
        slots=draw(st.integers(1, 6)),
        new_share=draw(st.sampled_from([0, 0.1, 0.5, 1])),
        merchant_share=draw(st.sampled_from([0.2, 0.5, 1])),
        must_keep=frozenset(draw(st.sets(st.sampled_from([f"p{i}" for i in range(n)]), max_size=2))),
    )
    return candidates, rules


def allowed(chosen: tuple[Candidate, ...], candidates: list[Candidate], rules: Rules) -> bool:
    """The rules again, said in the plainest way."""
    names = {c.product_id for c in chosen}
    new = sum(c.is_new for c in candidates)
    quota = min(-(-round(rules.new_share * 10) * min(rules.slots, len(candidates)) // 10), new)
    cap = max(1, int(rules.merchant_share * rules.slots + 1e-9)) if rules.merchant_share < 1 else len(candidates)
    return (
        len(chosen) <= rules.slots
        and sum(c.is_new for c in chosen) >= quota
        and all(sum(c.merchant_id == m for c in chosen) <= cap for m in "xyz")
        and rules.must_keep <= names
    )


@settings(max_examples=150, deadline=None)
@given(problems())
def test_the_choice_is_worth_as_much_as_the_best_of_all_choices(problem: tuple[list[Candidate], Rules]) -> None:
    candidates, rules = problem
    every = [
        sum(c.value for c in chosen)
        for size in range(len(candidates) + 1)
        for chosen in combinations(candidates, size)
        if allowed(chosen, candidates, rules)
    ]
    if not every:
        with pytest.raises(InfeasibleError):
            decide("here/tea", candidates, rules)
        return
    decision = decide("here/tea", candidates, rules)
    assert decision.value == pytest.approx(max(every))
    by_name = {c.product_id: c for c in candidates}
    assert allowed(tuple(by_name[c.product_id] for c in decision.choices), candidates, rules)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=10), st.integers(1, 9))
def test_one_more_option_never_lowers_the_value(values: list[int], slots: int) -> None:
    candidates = shelf(*map(float, values))
    assert decide("x", candidates, Rules(slots=slots + 1)).value >= decide("x", candidates, Rules(slots=slots)).value
