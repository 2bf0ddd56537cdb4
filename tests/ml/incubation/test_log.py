"""Logs as other shops write them: read for what they say, or refused by file, column and count."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from coldframe.errors import BadInputError, ConfigurationError
from ml.incubation.log import UNIFORM, ask, own, read, read_policy
from ml.incubation.offpolicy import evaluate

FRAME = pd.DataFrame(
    {
        "timestamp": "2024-05-01 10:00:00",
        "item_id": [1, 2, 1, 2, 2, 1],
        "position": [1, 1, 1, 2, 2, 2],
        "click": [0, 1, 0, 0, 1, 0],
        "propensity_score": [0.8, 0.2, 0.8, 0.6, 0.6, 0.4],
        "user_feature": "x",
    }
)
TABLE = pd.DataFrame({"item_id": [1, 2, 1, 2], "position": [1, 1, 2, 2], "probability": [0.5, 0.5, 0.1, 0.9]})


def changed(**columns: Any) -> pd.DataFrame:
    return FRAME.assign(**columns)


def test_well_known_names_are_read_and_what_nobody_reads_is_told() -> None:
    log = read(FRAME, "shop.csv")
    assert log.called["action"] == "item_id" and log.called["propensity"] == "propensity_score"
    assert log.unused == ("timestamp", "user_feature")
    assert own(log).reward.tolist() == [0, 1, 0, 0, 1, 0]


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet"])
def test_files_of_each_kind_say_the_same(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"log{suffix}"
    FRAME.to_parquet(file) if suffix == ".parquet" else FRAME.to_csv(file, index=False)
    pd.testing.assert_frame_equal(read(file, "log").rows, read(FRAME, "log").rows)


def test_names_that_are_not_well_known_are_given() -> None:
    log = read(FRAME.rename(columns={"click": "liked"}), "shop.csv", {"reward": "liked"})
    assert log.called["reward"] == "liked"


@pytest.mark.parametrize(
    ("frame", "columns", "message"),
    [
        (
            FRAME.drop(columns="click"),
            {},
            r"shop.csv has no column for reward \(known names: reward, click, .*reward=NAME",
        ),
        (FRAME.assign(orders=1), {}, "click, orders could each be the reward"),
        (FRAME, {"reward": "likes"}, "shop.csv has no column 'likes' for reward"),
        (FRAME, {"price": "click"}, "A log has no price"),
        (FRAME, {"date": "click", "reward": "click"}, "the column click cannot be two things"),
    ],
)
def test_a_column_nobody_understands_is_asked_for(frame: pd.DataFrame, columns: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        read(frame, "shop.csv", columns)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        (
            "propensity_score",
            0.0,
            r"column propensity_score: 1 of 6 rows are outside \(0, 1\]; the first is row 4 \(0.0\)",
        ),
        ("propensity_score", 1.5, r"1 of 6 rows are outside \(0, 1\]"),
        ("propensity_score", -0.1, r"1 of 6 rows are outside \(0, 1\]"),
        ("propensity_score", None, "1 of 6 rows have no propensity; the first is row 4"),
        ("propensity_score", "often", "column propensity_score: 1 values are no numbers, such as 'often'"),
        ("click", None, "column click: 1 of 6 rows are empty or not finite"),
        ("click", np.inf, "column click: 1 of 6 rows are empty or not finite"),
        ("item_id", None, "column item_id: 1 of 6 rows are empty"),
        ("position", None, "column position: 1 of 6 rows are empty"),
        ("impressions", -1, "column impressions: 1 of 6 rows are no count"),
        ("evaluation_propensity", 1.2, "1 of 6 rows are empty or outside 0 … 1"),
    ],
)
def test_values_that_cannot_be_are_counted(column: str, value: Any, message: str) -> None:
    frame = changed(impressions=1, evaluation_propensity=0.5).astype({column: object})
    frame.loc[3, column] = value
    with pytest.raises(BadInputError, match=message):
        read(frame, "shop.csv")


def test_what_was_not_shown_can_earn_nothing() -> None:
    with pytest.raises(BadInputError, match="2 of 6 rows are 0 and have a reward"):
        read(changed(impressions=0), "shop.csv")
    with pytest.raises(BadInputError, match=r"all 6 rows are 0\. Nothing was shown"):
        read(changed(impressions=0, click=0), "shop.csv")


def test_a_position_shows_one_thing() -> None:
    with pytest.raises(BadInputError, match="4 of 6 rows repeat a position of their round"):
        read(changed(round=1), "shop.csv")


def test_files_that_are_no_logs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="There is no file"):
        read(tmp_path / "none.csv", "none.csv")
    with pytest.raises(ConfigurationError, match=r"should end in \.csv"):
        read(tmp_path / "log.xlsx", "log.xlsx")
    (tmp_path / "empty.csv").write_text("action,reward,propensity\n")
    with pytest.raises(BadInputError, match=r"empty\.csv has no rows"):
        read(tmp_path / "empty.csv", "empty.csv")
    (tmp_path / "cut.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(BadInputError, match=r"cut\.parquet cannot be read"):
        read(tmp_path / "cut.parquet", "cut.parquet")


def test_a_policy_is_joined_by_action_and_context() -> None:
    log = read(FRAME, "log")
    question = ask(log, read_policy(TABLE.astype({"item_id": str}), "policy.csv", log))
    assert question.wanted.tolist() == [0.5, 0.5, 0.5, 0.9, 0.9, 0.1]
    assert question.policy is not None and question.policy.probability.sum() == pytest.approx(2)


def test_a_policy_without_a_context_holds_in_each() -> None:
    log = read(FRAME, "log")
    table = pd.DataFrame({"action": [1, 2], "probability": [0.3, 0.7]})
    assert ask(log, read_policy(table, "policy.csv", log)).wanted.tolist() == [0.3, 0.7, 0.3, 0.7, 0.7, 0.3]


@pytest.mark.parametrize(
    ("table", "error", "message"),
    [
        (TABLE.assign(probability=0.4), BadInputError, "do not add up to 1 in 2 of 2 contexts in position; .* 0.8000"),
        (TABLE.assign(probability=[1.5, -0.5, 0.5, 0.5]), BadInputError, "2 of 4 rows are outside 0 … 1"),
        (TABLE.assign(probability=[np.nan, 1, 0.5, 0.5]), BadInputError, "1 of 4 rows are no number"),
        (TABLE.assign(position=1, probability=0.25), BadInputError, "2 of 4 rows name an action again"),
        (TABLE.drop(columns="probability"), ConfigurationError, "has no column 'probability'"),
        (TABLE.drop(columns="item_id"), ConfigurationError, "does not say which action it chooses"),
        (TABLE.assign(weekday=1), ConfigurationError, "policy.csv has weekday, and log does not"),
    ],
)
def test_a_policy_that_is_none_is_refused(table: pd.DataFrame, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        read_policy(table, "policy.csv", read(FRAME, "log"))


def test_a_policy_that_says_nothing_of_some_of_the_log_is_refused() -> None:
    log = read(FRAME, "log")
    with pytest.raises(BadInputError, match=r"column position: 3 of 6 rows are of no context that policy\.csv has"):
        ask(log, read_policy(TABLE.head(2), "policy.csv", log))


def test_uniform_is_even_over_what_a_context_showed() -> None:
    question = ask(read(changed(item_id=[1, 2, 3, 1, 1, 2]), "log"), UNIFORM)
    assert question.wanted.tolist() == [1 / 3, 1 / 3, 1 / 3, 0.5, 0.5, 0.5]


def test_the_policy_of_another_log_is_its_propensities_where_they_hold_still() -> None:
    other = read(changed(propensity_score=[0.3, 0.7, 0.3, 0.9, 0.9, 0.1]), "other")
    question = ask(read(FRAME, "log"), other)
    assert question.wanted.tolist() == [0.3, 0.7, 0.3, 0.9, 0.9, 0.1] and not question.notes


def test_else_it_is_how_often_that_log_showed_each_action() -> None:
    other = read(changed(propensity_score=[0.3, 0.7, 0.4, 0.9, 0.9, 0.1]), "other")
    question = ask(read(FRAME, "log"), other)
    assert question.wanted == pytest.approx([2 / 3, 1 / 3, 2 / 3, 2 / 3, 2 / 3, 1 / 3])
    assert "propensities of other change" in question.notes[0]


def test_the_new_probability_of_what_was_shown_is_enough() -> None:
    question = ask(read(changed(evaluation_propensity=[0.3, 0.7, 0.2, 0.9, 0.9, 0.1]), "log"), None)
    assert question.policy is None and "no doubly robust estimate" in question.notes[0]
    steady = ask(read(changed(evaluation_propensity=[0.3, 0.7, 0.3, 0.9, 0.9, 0.1]), "log"), None)
    assert steady.policy is not None


def test_where_a_thing_is_shown_is_chosen_too_unless_it_is_a_context() -> None:
    frame = changed(channel=["shop", "live"] * 3, position=1).drop(columns="position")
    log = read(frame, "log")
    table = pd.DataFrame({"item_id": [1, 2], "probability": [0.5, 0.5]})
    with pytest.raises(ConfigurationError, match=r"which channel it chooses.*--context channel"):
        read_policy(table, "policy.csv", log)
    within = read(frame, "log", context=("channel",))
    assert ask(within, read_policy(table, "policy.csv", within)).wanted.tolist() == [0.5] * 6


def test_propensities_that_add_up_to_more_than_1_are_told() -> None:
    question = ask(read(changed(propensity_score=0.9), "log"), UNIFORM)
    assert "add up to 1.80" in question.notes[0] and "--column position=NAME" in question.notes[0]


def test_the_open_bandit_format_is_read_and_answered() -> None:
    rng = np.random.default_rng(0)
    item = rng.integers(0, 5, 3000)
    frame = pd.DataFrame(
        {
            "Unnamed: 0": range(3000),
            "timestamp": pd.Timestamp("2019-11-24", tz="UTC"),
            "item_id": item,
            "position": rng.integers(1, 4, 3000),
            "click": rng.random(3000) < 0.05 * item,
            "propensity_score": 0.2,
            "user_feature_0": "a",
        }
    )
    log = read(frame.astype({"click": int}), "all.csv")
    best = pd.DataFrame({"item_id": range(5), "probability": [0.1, 0.1, 0.1, 0.1, 0.6]})
    question = ask(log, read_policy(best, "best.csv", log))
    found = evaluate(question.log, question.wanted, question.policy)
    assert found.best.low is not None and found.best.high is not None
    assert found.best.low < 0.15 < found.best.high
