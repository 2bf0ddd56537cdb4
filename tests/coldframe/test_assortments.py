"""The command `coldframe what-if`: what it asks of the room, and what people read."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from typer.testing import CliRunner

from coldframe import assortments, cli

ROW = {
    "change": "added",
    "region": "north",
    "category": "tea",
    "product_id": "p1",
    "title": "Earl Grey",
    "depth_before": 0.0,
    "depth": 14.0,
    "value_before": 0.0,
    "value": 60.0,
    "reason": "must-keep, in place of Assam (80)",
}
TOTALS = {"value": 1000.0, "stock_money": 400.0, "fill_rate": 0.9}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    calls: list[tuple[Any, ...]] = []

    def answer(*arguments: Any) -> Mapping[str, Any]:
        calls.append(arguments)
        after = TOTALS | {"value": 980.0}
        return {"rows": [ROW], "unchanged": 3, "before": TOTALS, "after": after, "notes": ["recapture is assumed"]}

    monkeypatch.setattr(assortments, "find_service", lambda name: {"what_if_assortment": answer}[name])
    return calls


def run(*arguments: str) -> str:
    done = CliRunner().invoke(cli.app, ["what-if", *arguments])
    assert done.exit_code == 0, done.output
    return done.output


def test_what_is_pinned_dropped_or_changed_arrives(asked: list[tuple[Any, ...]]) -> None:
    run("--plan", "abc", "--keep", "p1", "--keep", "p2", "--drop", "p3", "--slots", "7", "--budget", "900")
    run("--plan", "abc", "--slots", "7")
    assert [tuple(map(str, call)) for call in asked] == [
        ("abc", "['p1', 'p2']", "['p3']", "7", "900.0"),
        ("abc", "()", "()", "7", "None"),
    ]


def test_the_difference_is_read_line_by_line_and_in_sum(asked: list[tuple[Any, ...]]) -> None:
    told = run("--plan", "abc", "--keep", "p1")
    for words in (
        "Earl Grey",
        "must-keep, in place of Assam (80)",
        "0 → 14",
        "1 lines differ, 3 do not.",
        "Expected 1,000 → 980 (-20); stock 400 → 400",
        "! recapture is assumed",
    ):
        assert words in told


def test_the_lines_that_differ_most_are_shown_first_and_the_rest_counted(
    asked: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [ROW | {"title": f"Tea {value}", "value": float(value)} for value in (1, 3, 2)]
    done = {"rows": rows, "unchanged": 0, "before": TOTALS, "after": TOTALS, "notes": []}
    monkeypatch.setattr(assortments, "find_service", lambda _: lambda *_: done)
    told = run("--plan", "abc", "--slots", "7", "--limit", "2")
    assert told.index("Tea 3") < told.index("Tea 2") and "Tea 1" not in told
    assert "3 lines differ, 0 do not. The 2 that differ most are shown." in told


def test_as_json_there_are_the_lines_alone(asked: list[tuple[Any, ...]]) -> None:
    assert json.loads(run("--plan", "abc", "--keep", "p1", "--format", "json")) == [ROW]
