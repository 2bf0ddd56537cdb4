"""A policy file says what it changes, and nothing that is not known."""

import re
from pathlib import Path

import pytest

from coldframe.errors import ConfigurationError
from coldframe.settings import PROJECT_ROOT
from ml.incubation.policy import Policy, load, unknown_tiers


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_a_file_changes_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    found = load(written(tmp_path / "p.yaml", "objective: earn\nguarantees: {new: 50}\n"))
    assert (found.objective, found.guarantees) == ("earn", {"new": 50})
    assert found.model_copy(update={"objective": "find", "guarantees": {}}) == Policy()


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    assert load(written(tmp_path / "p.yaml", "")) == Policy()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "graduate: 0.6",
            "p.yaml, line 1, column 1: unknown key 'graduate'. Did you mean 'graduate_at'? Known: ",
        ),
        ("objective: earn\ngraduate_at: 1.5", "line 2, column 14: graduate_at: 1.5 should be less than or equal to 1."),
        ("objective: win", "objective: win should be 'find' or 'earn'."),
        ("objective:", "objective is empty. Say something, or remove it."),
        ("product_cap: 5%", "product_cap: '5%' is no number (five percent is 0.05)."),
        # YAML's true would count as 1.
        ("explore: true", "explore: 'true' is no number"),
        ("look: 1.5", "look: '1.5' is no whole number."),
        ("guarantees: 50", "guarantees must hold names with values, such as {new: 50}."),
        ("guarantees: {new: -1}", "guarantees.new: -1 should be greater than or equal to 0."),
        ("look: 5\nlook: 6", "line 2, column 1: 'look' is there twice. Keep one."),
        ("objective: find\nretire_below: 0.1", "line 2, column 15: revive_at 0.06 is below retire_below 0.1."),
        ("graduate_at: 0.03", "graduate_at 0.03 is not above revive_at 0.06."),
        ("[1, 2", "p.yaml, line 1"),
        ("- 1", "A mapping is expected, `name: value` a line, such as `objective: earn`."),
        (b"objective: caf\xe9", "byte 14 is 0xe9, which is not UTF-8. Save it as UTF-8."),
    ],
)
def test_what_does_not_fit_is_named_with_its_line(tmp_path: Path, text: str | bytes, message: str) -> None:
    file = tmp_path / "p.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        load(file)


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"There is no policy file .*none\.yaml\. Check --policy"):
        load(tmp_path / "none.yaml")


def test_a_guarantee_for_a_tier_of_no_merchant_is_told() -> None:
    policy = Policy(guarantees={"new": 5, "golden": 9, "gild": 9, "*": 1})
    assert unknown_tiers(policy, ["new", "gold"]) == ["gild", "golden"]
    assert unknown_tiers(Policy(guarantees={"*": 1}), []) == []


def test_what_is_stored_with_a_plan_is_the_same_policy_again() -> None:
    changed = Policy(guarantees={"new": 5}, explore=0.2)
    assert Policy.model_validate(changed.stored()) == changed


def test_the_page_lists_every_field_with_its_default_and_meaning() -> None:
    page = (PROJECT_ROOT / "docs" / "incubation.md").read_text(encoding="utf-8")
    for name, field in Policy.model_fields.items():
        default = "–" if field.default in ({}, ()) else field.default
        assert f"| `{name}` | {default} | {field.description} |" in page
