"""A parameter that is misspelt or out of range must not make a world nobody asked for."""

from pathlib import Path

import pytest
import yaml

from coldframe.errors import ConfigurationError
from coldframe.settings import PROJECT_ROOT
from marketplace.parameters import PRESETS, SIZES, Parameters, compose, described, different, dump, load


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("preset", PRESETS)
def test_every_shipped_size_and_preset_fits_and_survives_its_own_yaml(size: str, preset: str, tmp_path: Path) -> None:
    parameters = compose(size, preset, seed=7)
    file = tmp_path / "parameters.yaml"
    file.write_text(dump(parameters))
    assert load(file) == parameters


def test_demo_and_calm_are_the_defaults() -> None:
    assert compose("demo", "calm") == Parameters()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("demand: {nesst: 0.5}", r"line 1, column 10: unknown key 'demand\.nesst'\. Did you mean 'nest'\? Known: "),
        (
            "seed: 3\nproducts: 5",
            r"line 2, column 1: unknown key 'products'\. It belongs under scale\. Known: version, ",
        ),
        ("coupons: [{nam: new}]", r"unknown key 'coupons\.0\.nam'\. Did you mean 'name'\? Known: name, every_weeks"),
        ("scale: 3", r"scale must hold names with values"),
        ("seed: 1\nseed: 2", r"line 2, column 1: 'seed' is there twice"),
        ("scale: {first_day: 2024-13-45}", r"scale\.first_day: Input should be a valid date"),
        ("demand: {nest: 1.5}", r"demand\.nest: Input should be less than or equal to 1"),
        ("scale: {first_day: soon}", r"scale\.first_day"),
        ("coupons: [{name: new, propensities: [0.5, 0.4, 0.3]}]", r"coupons\.0: .*add up to 1\.2, not 1"),
        ("version: 2", "version"),
        ("- a list", "mine.yaml holds no keys"),
        ("a: [", "mine.yaml, line 1, column 5: expected the node content"),
    ],
)
def test_what_does_not_fit_is_named(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=message) as raised:
        load(file)
    assert "mine.yaml" in str(raised.value)


def test_a_file_may_say_only_what_differs(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump({"stock": {"cover": 3}}))
    assert different(load(file), Parameters()) == ["stock.cover"]


def test_parameters_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Parameters().seed = 3  # type: ignore[misc]


@pytest.mark.parametrize(("size", "preset"), [("huge", "calm"), ("tiny", "chaotic")])
def test_an_unknown_size_or_preset_is_answered_with_the_known_ones(size: str, preset: str) -> None:
    with pytest.raises(ConfigurationError, match=r"Known: (tiny, demo, large|calm)"):
        compose(size, preset)


def test_the_docs_describe_the_parameters_there_are() -> None:
    page = (PROJECT_ROOT / "docs" / "marketplace-parameters.md").read_text()
    assert page == described() + "\n", "Run `python -m marketplace.parameters > docs/marketplace-parameters.md`"
