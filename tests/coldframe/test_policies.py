"""`coldframe evaluate-policy` as people call it: a table, a file, a verdict, and an exit code that can be relied on."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from coldframe.cli import app
from coldframe.policies import verdict


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """3,000 impressions of four items at even odds; the higher the item, the more it is liked."""
    rng = np.random.default_rng(5)
    item = rng.integers(0, 4, 3000)
    liked = (rng.random(3000) < 0.1 * item).astype(int)
    file = tmp_path / "shop.csv"
    frame = pd.DataFrame({"item_id": item, "click": liked, "pscore": 0.25, "weather": "fair"})
    frame.to_csv(file, index=False)
    return file


@pytest.fixture
def best(tmp_path: Path) -> Path:
    file = tmp_path / "best.csv"
    pd.DataFrame({"item_id": range(4), "probability": [0.05, 0.05, 0.1, 0.8]}).to_csv(file, index=False)
    return file


def call(*arguments: Any) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["evaluate-policy", *map(str, arguments)])
    return done.exit_code, " ".join(done.output.split())


def test_a_better_policy_is_told_with_what_it_rests_on(log: Path, best: Path) -> None:
    code, told = call("--log", log, "--policy", best)
    assert code == 0
    for words in ("doubly robust", "effective sample size", "Better than the one that ran", "weather"):
        assert words in told


def test_without_a_policy_the_value_of_the_one_that_ran_is_told(log: Path) -> None:
    code, told = call("--log", log)
    assert code == 0 and "logging policy" in told and "doubly robust" not in told
    assert "effective sample size" not in told


def test_the_answer_is_written_whole(log: Path, best: Path, tmp_path: Path) -> None:
    call("--log", log, "--policy", best, "--out", tmp_path / "a.json")
    answer = json.loads((tmp_path / "a.json").read_text())
    assert answer["estimates"][-1]["low"] < 0.265 < answer["estimates"][-1]["high"]
    call("--log", log, "--policy", best, "--out", tmp_path / "a.csv")
    with (tmp_path / "a.csv").open() as stream:
        names = [row["name"] for row in csv.DictReader(stream)]
    assert names[0] == "logging policy" and names[-1] == "doubly robust"


def test_a_log_too_thin_to_say_ends_in_3_and_says_so_in_the_file(log: Path, best: Path, tmp_path: Path) -> None:
    pd.read_csv(log).head(100).to_csv(log, index=False)
    code, told = call("--log", log, "--policy", best, "--out", tmp_path / "a.json")
    assert code == 3 and "effective sample size" in told
    answer = json.loads((tmp_path / "a.json").read_text())
    assert (answer["logged"], answer["estimates"], answer["gain"]) == (None, [], None) and answer["refused"]
    call("--log", log, "--policy", best, "--out", tmp_path / "a.csv")
    with (tmp_path / "a.csv").open() as stream:
        [row] = csv.DictReader(stream)
    assert row["value"] == "" and row["rows"] == "100" and "effective sample size" in row["refused"]


@pytest.mark.parametrize("policy", [[], ["--policy", "uniform"]])
def test_of_a_log_too_thin_no_figure_is_shown_at_all(log: Path, policy: list[str]) -> None:
    pd.read_csv(log).head(30).to_csv(log, index=False)
    code, told = call("--log", log, *policy)
    assert code == 3
    for absent in ("logging policy", "95 % interval", "–", "standard error"):
        assert absent not in told
    for there in ("Rows: 30; impressions: 30", "is 30, and 200 are needed", "about 200 rows like these"):
        assert there in told


def test_what_the_log_never_showed_is_named(log: Path, tmp_path: Path) -> None:
    table = pd.DataFrame({"item_id": [0, 1, 2, 3, 7], "probability": [0.2, 0.2, 0.2, 0.37, 0.03]})
    table.to_csv(tmp_path / "new.csv", index=False)
    code, told = call("--log", log, "--policy", tmp_path / "new.csv")
    assert code == 0 and "! the log never showed 7 (3.0%). Inverse propensity and clipped" in told
    table.assign(probability=[0.2, 0.2, 0.2, 0.3, 0.1]).to_csv(tmp_path / "new.csv", index=False)
    code, told = call("--log", log, "--policy", tmp_path / "new.csv")
    assert code == 3 and "! the log never showed 7 (10.0%)" in told
    assert "10.0% of the policy's probability lies on actions the log never showed in that context; at most 5%" in told
    table.assign(item_id=["p0", "p1", "p2", "p3", "p7"]).to_csv(tmp_path / "new.csv", index=False)
    told = call("--log", log, "--policy", tmp_path / "new.csv")[1]
    assert "p3 (37.0%), p0 (20.0%)" in told and "together 100.0% of the policy's probability; it showed 0, 1" in told


def test_what_differs_from_the_log_in_case_or_spaces_only_is_told(log: Path, tmp_path: Path) -> None:
    pd.read_csv(log).assign(item_id=lambda rows: "p" + rows["item_id"].astype(str)).to_csv(log, index=False)
    table = pd.DataFrame({"item_id": ["p0", "p1", "P2", "p3\t", "p7"], "probability": 0.2})
    table.to_csv(tmp_path / "new.csv", index=False)
    told = call("--log", log, "--policy", tmp_path / "new.csv")[1]
    alike = "! the same but for case or spaces in shop.csv, column item_id: 'P2' ('p2'), 'p3\\t' ('p3'); write"
    assert alike in told
    table.replace({"P2": "p2", "p3\t": "p3"}).to_csv(tmp_path / "new.csv", index=False)
    told = call("--log", log, "--policy", tmp_path / "new.csv")[1]
    assert "never showed p7 (20.0%)" in told and "but for case" not in told


def test_a_policy_that_is_the_one_that_ran_is_told_as_such(log: Path) -> None:
    assert "It shows what the one that ran showed, as often" in call("--log", log, "--policy", "uniform")[1]


def test_a_share_of_a_loss_is_not_told(log: Path, best: Path) -> None:
    pd.read_csv(log).assign(click=lambda rows: rows["click"] - 0.5).to_csv(log, index=False)
    told = call("--log", log, "--policy", best)[1]
    assert "rows are below 0, as refunds are" in told and "Better than the one that ran" in told
    assert "+" not in told.partition("Rows:")[0]


def test_what_cannot_be_is_refused_with_2(log: Path, best: Path, tmp_path: Path) -> None:
    assert call("--log", log, "--column", "reward")[0] == 2
    assert call("--log", log, "--column", "reward=likes") == (
        2,
        "shop.csv has no column 'likes' for reward. It has: item_id, click, pscore, weather.",
    )
    assert "our own log only" in call("--log", log, "--policy", "policy.yaml")[1]
    assert "should end in .json or .csv" in call("--log", log, "--out", tmp_path / "a.txt")[1]
    assert "for our own log: leave them out, or --log" in call("--log", log, "--as-of", "2024-05-01")[1]
    assert "There is no policy unifrom. Give uniform, or a file" in call("--log", log, "--policy", "unifrom")[1]
    pd.read_csv(log).assign(pscore=0).to_csv(log, index=False)
    code, told = call("--log", log, "--policy", best)
    assert code == 2 and "column pscore: outside (0, 1] in 3,000 of 3,000 rows; the first is line 2 (0.0)" in told


@pytest.mark.parametrize(
    ("low", "high", "words"), [(0.1, 0.3, "Better"), (-0.3, -0.1, "Worse"), (-0.1, 0.3, "Not to be told")]
)
def test_a_verdict_is_what_the_interval_of_the_gain_says(low: float, high: float, words: str) -> None:
    assert verdict({"value": (low + high) / 2, "low": low, "high": high}).startswith(words)


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.000012345, "+0.00001234 "), (-0.0, "+0 "), (1234567.8, "+1,235,000 "), (0.5, "+0.5 ")],
)
def test_figures_have_four_digits_that_say_something(value: float, words: str) -> None:
    assert words in verdict({"value": value, "low": -1.0, "high": 2e6})
