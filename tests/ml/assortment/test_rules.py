"""The file of rules: what it says holds, and what it says wrong is told."""

from pathlib import Path

import pytest

from coldframe.errors import ConfigurationError
from ml.assortment.rules import Quota, RuleFile, read


def test_without_a_file_there_are_no_rules() -> None:
    assert read(None) == RuleFile()


def test_a_file_says_variants_quotas_core_needs_and_a_change_limit(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(
        """
variants: [[red, blue]]
quotas:
  - {attribute: price_band, value: low, at_least: 3}
  - {attribute: brand, value: ACME, at_most: 5, category: tea}
core: 1
most_changed: 0.3
"""
    )
    found = read(file)
    assert (found.variants, found.core, found.most_changed) == ((("red", "blue"),), 1, 0.3)
    assert [quota.holds_in("north", "tea") for quota in found.quotas] == [True, True]
    assert [quota.holds_in("north", "cups") for quota in found.quotas] == [True, False]
    assert found.quotas[1] == Quota(attribute="brand", value="ACME", at_most=5, category="tea")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("varaints: []", "varaints: Extra inputs are not permitted"),
        ("quotas: [{attribute: colour, value: red, at_least: 1}]", r"quotas\.0\.attribute: Input should be 'brand'"),
        ("quotas: [{attribute: brand, value: red}]", "says neither at_least nor at_most"),
        ("quotas: [{attribute: brand, value: red, at_least: 3, at_most: 2}]", "at_most 2 is below at_least 3"),
        ("quotas: [{attribute: price_band, value: dear, at_least: 1}]", "a price_band is one of low, middle, high"),
        ("variants: [[alone]]", r"variants\.0"),
        ("core: [", "are no YAML"),
    ],
)
def test_what_does_not_fit_is_named(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=message):
        read(file)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nosuch\.yaml cannot be read"):
        read(tmp_path / "nosuch.yaml")
