"""A policy file says what it changes, and nothing that is not known."""

from pathlib import Path

import pytest

from coldframe.errors import ConfigurationError
from coldframe.settings import PROJECT_ROOT
from ml.incubation.policy import Policy, load


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
        ("graduate: 0.6", "graduate: Extra inputs are not permitted"),
        ("graduate_at: 1.5", "graduate_at: Input should be less than or equal to 1"),
        ("objective: win", "objective: Input should be 'find' or 'earn'"),
        ("guarantees: {new: -1}", "guarantees.new: Input should be greater than or equal to 0"),
        ("retire_below: 0.1", "revive_at 0.04 is below retire_below 0.1"),
        ("graduate_at: 0.03", "graduate_at 0.03 is not above revive_at 0.04"),
        ("[1, 2", "is no YAML"),
        ("- 1", "does not fit"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        load(written(tmp_path / "p.yaml", text))


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load(tmp_path / "none.yaml")


def test_what_is_stored_with_a_plan_is_the_same_policy_again() -> None:
    changed = Policy(guarantees={"new": 5}, explore=0.2)
    assert Policy.model_validate(changed.stored()) == changed


def test_the_page_lists_every_field_with_its_default_and_meaning() -> None:
    page = (PROJECT_ROOT / "docs" / "incubation.md").read_text(encoding="utf-8")
    for name, field in Policy.model_fields.items():
        default = "–" if field.default == {} else field.default
        assert f"| `{name}` | {default} | {field.description} |" in page
