"""The command `coldframe score`: what it asks of the room, and what people read."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from coldframe import cli
from coldframe.run import Request

SCORE = {
    **{"product_id": "p1", "title": "Green tea", "category": "tea", "merchant_id": "m", "age_days": 14},
    **{"probability": 0.31, "probability_low": 0.2, "probability_high": 0.42, "reasons": "sold 9 units [so far]"},
    **{"demand_mean": 120.4, "demand_q10": 10.0, "demand_q50": 90.0, "demand_q90": 300.0},
}
LIKE = {"like_id": "p0", "title": "Black tea", "units_28": None, "units": 500.0, "hit": True}


@pytest.fixture
def asked(installation: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The steps that were run and the services that were asked."""
    installation()
    calls: list[Any] = []
    found = {"score": SCORE, "because": [{"because": "its price", "adds": -0.5}], "like_items": [LIKE], "release": "r1"}

    def explain_score(*given: object) -> dict[str, Any]:
        calls.append(given)
        return found

    def write_scores(source: str, as_of: object, path: Path) -> int:
        calls.append(path.name)
        return 7

    services = {"explain_score": explain_score, "write_scores": write_scores}
    monkeypatch.setattr(cli, "find_service", services.__getitem__)
    monkeypatch.setattr(cli, "_is_published", lambda _: True)
    monkeypatch.setattr(cli, "_run_steps", lambda steps, request: calls.append((steps, request.source)))
    return calls


def run(*arguments: str) -> Any:
    return CliRunner().invoke(cli.app, ["score", "--source", "shop", "--as-of", "2017-09-30", *arguments])


def test_one_launch_is_explained_by_what_speaks_for_it_and_what_it_is_like(asked: list[Any]) -> None:
    done = run("--product", "p1")
    assert done.exit_code == 0, done.output
    assert asked[0] == (("growth",), "shop")
    assert asked[1][0] == "shop"
    assert "Chance of a blockbuster 31.0% (20.0% to 42.0%)" in done.output
    assert "units in weeks 9 to 26: 90 (10 to 300), mean 120" in done.output
    assert "sold 9 units [so far]" in done.output
    for shown in ("its price", "-0.50", "Black tea", "500", "yes"):
        assert shown in done.output


def test_all_launches_are_written_and_counted(asked: list[Any], tmp_path: Path) -> None:
    done = run("--out", str(tmp_path / "scores.csv"))
    assert done.exit_code == 0, done.output
    assert asked[-1] == "scores.csv"
    assert "7 live launches as of 2017-09-30" in done.output


def test_a_file_that_cannot_be_written_and_a_question_about_nothing_are_refused_before_any_work(
    asked: list[Any], tmp_path: Path
) -> None:
    wrong = run("--out", str(tmp_path / "scores.txt"))
    assert (wrong.exit_code, "should end in .csv or .parquet" in wrong.stderr) == (2, True)
    nothing = run()
    assert (nothing.exit_code, "--product PRODUCT for one launch, or --out FILE for all" in nothing.stderr) == (2, True)
    assert asked == []


def test_score_takes_the_fields_of_a_request() -> None:
    shown = CliRunner().invoke(cli.app, ["score", "--help"], env={"COLUMNS": "200"}).output
    assert all(f"--{name.replace('_', '-')}" in shown for name in ("source", "as_of"))
    assert Request.model_fields.keys() >= {"source", "as_of"}
