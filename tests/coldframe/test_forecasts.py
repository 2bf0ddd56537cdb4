"""`coldframe forecast` and the commands beneath it: what was typed reaches the service, what it says is readable."""

import csv
import io
import json
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from coldframe import cli, forecasts
from coldframe.errors import BadInputError, ConfigurationError

Answers = Callable[..., list[tuple[object, ...]]]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, ["forecast", *arguments])


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Answers:
    """Replaces a service by one that gives an answer; returns the calls it got."""

    def replace(service: str, answer: dict[str, Any] | Exception) -> list[tuple[object, ...]]:
        calls: list[tuple[object, ...]] = []

        def asked(*given: object) -> dict[str, Any]:
            calls.append(given)
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr(forecasts, "find_service", lambda name: {service: asked}[name])
        return calls

    return replace


@pytest.mark.parametrize("named", [(), ("write",)])
def test_without_a_command_a_forecast_is_written_as_it_always_was(
    named: tuple[str, ...], answers: Answers, tmp_path: Path
) -> None:
    done = {"rows": 1234, "level": "product_region", "release": "r1", "path": "f.parquet"}
    calls = answers("write_forecast", done)
    out = tmp_path / "f.parquet"
    result = run(*named, "--as-of", "2016-04-24", "--level", "item_region", "--freq", "D", "--out", str(out))
    assert result.exit_code == 0, result.output
    assert calls == [(None, date(2016, 4, 24), 28, "D", "item_region", out)]
    assert "1,234 rows of level product_region from release r1" in result.output


def test_help_tells_all_commands() -> None:
    result = run("--help")
    assert result.exit_code == 0
    for command in ("write", "explain", "changes", "what-if"):
        assert command in result.output


def test_explain_prints_the_reading_and_where_the_picture_is(answers: Answers, tmp_path: Path) -> None:
    out = tmp_path / "why.png"
    calls = answers("explain_forecast", {"words": ["It [sold] 5.", "It will sell 6."], "path": str(out)})
    result = run("explain", "--as-of", "2016-04-24", "--level", "region", "--node", "CA_1", "--out", str(out))
    assert calls == [(None, date(2016, 4, 24), "region", "CA_1", out)]
    assert result.output.splitlines()[:2] == ["It [sold] 5.", "It will sell 6."]
    assert f"Picture: {out}" in result.output


def test_explain_lists_nodes_where_none_is_named(answers: Answers) -> None:
    answers("explain_forecast", {"level": "region", "nodes": ["CA_1", "CA_2"]})
    result = run("explain", "--as-of", "2016-04-24", "--level", "region")
    assert result.stdout.splitlines() == ["CA_1", "CA_2"]
    assert "2 nodes of level region: say which with --node." in result.stderr


def test_an_error_of_the_service_is_one_sentence_and_an_exit_code(answers: Answers) -> None:
    answers("explain_forecast", ConfigurationError("Level region has no node 'CA_9'. Did you mean CA_1?"))
    result = run("explain", "--as-of", "2016-04-24", "--level", "region", "--node", "CA_9")
    assert (result.exit_code, result.stderr.strip()) == (2, "Level region has no node 'CA_9'. Did you mean CA_1?")
    answers("what_if", BadInputError("c.csv: row 1, column price: 'x' is not a number above 0. Nothing was computed."))
    result = run("what-if", "--as-of", "2016-04-24", "--changes", "c.csv", "--out", "f.parquet")
    assert (result.exit_code, "row 1, column price" in result.stderr) == (2, True)


def child(name: str, old: str, new: str) -> dict[str, Any]:
    difference = Decimal(new) - Decimal(old)
    return {
        "name": name,
        "region": name,
        "old": Decimal(old),
        "new": Decimal(new),
        "difference": difference,
        "share": float(difference / 30),
        "expected": Decimal(7),
        "came": Decimal(9),
        "surprise": Decimal(2),
    }


def changed() -> dict[str, Any]:
    rows = [child("CA_1", "100", "140"), child("CA_2", "50", "40"), child("CA_3", "5", "5")]
    total = {
        name: sum(row[name] for row in rows) for name in ("old", "new", "difference", "expected", "came", "surprise")
    }
    return {"words": ["The shop: 185 units."], "total": total | {"share": 1.0}, "children": rows, "path": None}


def test_changes_are_a_table_whose_last_row_is_the_total(answers: Answers) -> None:
    calls = answers("forecast_changes", changed())
    result = run("changes", "--as-of", "2016-04-24", "--since", "2016-04-17", "--by", "region", "--limit", "1")
    assert result.exit_code == 0, result.output
    assert calls == [(None, date(2016, 4, 24), date(2016, 4, 17), "total", None, "region", None)]
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in result.output.splitlines() if "│" in line]
    assert cells[0] == ["CA_1", "100", "140", "+40", "133%", "9", "+2"]
    assert cells[1] == ["2 others", "55", "45", "-10", "-33%", "18", "+4"]
    assert cells[2] == ["total", "155", "185", "+30", "100%", "27", "+6"]


def test_changes_as_csv_and_json_hold_every_child(answers: Answers) -> None:
    answers("forecast_changes", changed())
    rows = list(csv.DictReader(io.StringIO(run("changes", "--as-of", "2016-04-24", "--format", "csv").stdout)))
    assert [(row["name"], row["difference"]) for row in rows] == [("CA_1", "40"), ("CA_2", "-10"), ("CA_3", "0")]
    answers("forecast_changes", changed())
    loaded = json.loads(run("changes", "--as-of", "2016-04-24", "--format", "json").stdout)
    assert [row["difference"] for row in loaded] == [40.0, -10.0, 0.0]


APPLIED: dict[str, Any] = {
    "row": 1,
    "product_id": "p[1]",
    "region": "CA_1",
    "status": "applied",
    "reason": "elasticity of subcategory s1, 40 products",
    "price_before": 2.5,
    "price": 2.0,
    "elasticity": -1.8,
    "elasticity_low": -2.0,
    "elasticity_high": -1.6,
    "units_before": 100.0,
    "units": 150.0,
    "units_low": 143.0,
    "units_high": 156.0,
    "value_before": 250.0,
    "value": 300.0,
    "value_of_units": 100.0,
    "value_of_price": -50.0,
}
REFUSED = {"row": 2, "product_id": "p2", "region": "CA_1", "status": "refused", "reason": "9.99 lies beyond"}


def test_what_if_prints_effects_totals_refusals_and_what_is_not_modelled(answers: Answers, tmp_path: Path) -> None:
    total = {name: value for name, value in APPLIED.items() if name.startswith(("units", "value"))}
    done = {
        "rows": [APPLIED, REFUSED],
        "total": total,
        "note": "No substitution.",
        "path": "f.parquet",
        "release": "r1",
    }
    calls = answers("what_if", done)
    asked, out = tmp_path / "c.csv", tmp_path / "f.parquet"
    result = run("what-if", "--as-of", "2016-04-24", "--changes", str(asked), "--out", str(out), "--source", "m5")
    assert result.exit_code == 0, result.output
    assert calls == [("m5", date(2016, 4, 24), asked, out)]
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in result.output.splitlines() if "│" in line]
    effects = ["100 → 150", "+50 (+43 to +56)", "+50", "+100, -50"]
    assert cells[0] == ["1", "p[1]", "CA_1", "2.50 → 2.00", "-1.80 (-2.00 to -1.60)", *effects]
    assert cells[1] == ["", "total", "", "", "", *effects]
    assert "row 2, p2 in CA_1: not applied, 9.99 lies beyond" in result.output
    assert "1 of 2 changes were not applied" in result.output
    assert "No substitution." in result.output
