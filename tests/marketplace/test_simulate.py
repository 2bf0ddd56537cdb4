"""The command people type: what it makes, how it goes on, and what it says when it cannot."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner

from coldframe.cli import app
from coldframe.errors import ConfigurationError
from marketplace.simulate import simulate


def test_it_says_what_it_made_and_goes_on_with_the_folders_own_parameters(tmp_path: Path) -> None:
    out = tmp_path / "shop"
    said: list[str] = []
    first = simulate("tiny", "dirty", out=out, last="2024-01-03", tell=said.append)
    assert first.startswith("3 days with")
    assert said[-1].startswith("2024-01-03: 3 of 3 days")
    assert "2 days with" in simulate(out=out, last="2024-01-05")
    assert "nothing was generated" in simulate(out=out, first="2024-01-02", last="2024-01-04")


def test_it_makes_today_and_no_later_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("marketplace.simulate._today", lambda: date(2024, 1, 1))
    with pytest.raises(ConfigurationError, match=r"scale\.days reach to 2024-06-30, after today .* --to 2024-01-01 or"):
        simulate("tiny", out=tmp_path / "shop")
    assert simulate("tiny", out=tmp_path / "shop", last="2024-01-01").startswith("1 day with")


def test_a_file_is_no_folder_to_put_a_marketplace_in(tmp_path: Path) -> None:
    (tmp_path / "shop").write_text("tea")
    with pytest.raises(ConfigurationError, match=r"shop is a file, not a folder\. Choose another --out"):
        simulate("tiny", out=tmp_path / "shop")


def test_the_command_line_reaches_it(installation: Callable[..., Path], tmp_path: Path) -> None:
    home = installation()
    result = CliRunner().invoke(app, ["simulate", "--size", "tiny", "--to", "2024-01-02"])
    assert result.exit_code == 0, result.output
    assert "2 days" in result.output
    assert (home / "marketplace" / "order_lines" / "2024-01-02.parquet").is_file()
    assert (home / "truth" / "marketplace").is_dir()
    refused = CliRunner().invoke(app, ["simulate", "--size", "tiny", "--seed", "9", "--to", "2024-01-02"])
    assert refused.exit_code == 2
    assert "made with other parameters (seed)" in refused.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": "tiny", "last": "soon"}, "--to soon is not a day"),
        ({"size": "tiny", "first": "2024-02-01", "last": "2024-01-01"}, "--from 2024-02-01 is after --to 2024-01-01"),
        ({"size": "tiny", "first": "2023-01-01", "last": "2023-02-01"}, "opens on 2024-01-01; .* there is nothing"),
        ({"size": "tiny", "last": "9999-01-01"}, r"--to 9999-01-01 is after today \("),
        ({"size": "tiny", "first": "9999-01-01"}, r"--from 9999-01-01 is after today \("),
        ({"size": "tiny", "file": Path("mine.yaml")}, "leave out --size and --preset"),
        ({"file": Path("mine.yaml")}, "is no file"),
        ({"preset": "wild"}, "no preset 'wild'"),
    ],
)
def test_what_does_not_fit_is_said(options: dict[str, str], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=message):
        simulate(out=tmp_path / "out", **options)  # type: ignore[arg-type]
