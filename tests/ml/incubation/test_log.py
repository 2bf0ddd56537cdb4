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
        (
            FRAME.assign(propensity=1),
            {},
            "propensity, propensity_score could each be the propensity.* --column propens",
        ),
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
            r"column propensity_score: outside \(0, 1\] in 1 of 6 rows; the first is row 4 \(0.0\)",
        ),
        ("propensity_score", 1.5, r"outside \(0, 1\] in 1 of 6 rows"),
        ("propensity_score", -0.1, r"outside \(0, 1\] in 1 of 6 rows"),
        ("propensity_score", None, "empty in 1 of 6 rows; the first is row 4"),
        (
            "propensity_score",
            "often",
            r"column propensity_score: no number in 1 of 6 rows; the first is row 4 \(often\)",
        ),
        ("click", None, "column click: empty or not finite in 1 of 6 rows"),
        ("click", np.inf, "column click: empty or not finite in 1 of 6 rows"),
        ("item_id", None, "column item_id: empty in 1 of 6 rows"),
        ("position", None, "column position: empty in 1 of 6 rows"),
        ("impressions", -1, "column impressions: no count in 1 of 6 rows"),
        ("evaluation_propensity", 1.2, "empty or outside 0 … 1 in 1 of 6 rows"),
        (
            "date",
            "01.05.2024",
            r"column date: no date in 1 of 6 rows; the first is row 4 \(01.05.2024\). Write YYYY-MM",
        ),
    ],
)
def test_values_that_cannot_be_are_counted(column: str, value: Any, message: str) -> None:
    frame = changed(impressions=1, evaluation_propensity=0.5, date="2024-05-01").astype({column: object})
    frame.loc[3, column] = value
    with pytest.raises(BadInputError, match=message):
        read(frame, "shop.csv")


def test_what_was_not_shown_can_earn_nothing() -> None:
    with pytest.raises(BadInputError, match="0, and a reward in 2 of 6 rows"):
        read(changed(impressions=0), "shop.csv")
    with pytest.raises(BadInputError, match=r"all 6 rows are 0\. Nothing was shown"):
        read(changed(impressions=0, click=0), "shop.csv")


def test_a_position_shows_one_thing() -> None:
    with pytest.raises(BadInputError, match="repeats a position of its round in 4 of 6 rows"):
        read(changed(round=1), "shop.csv")


def test_what_cannot_be_is_told_with_the_line_of_the_file(tmp_path: Path) -> None:
    changed(propensity_score=[0.8, 0.2, 0.8, 1.6, 0.6, 0.4]).to_csv(tmp_path / "shop.csv", index=False)
    with pytest.raises(BadInputError, match=r"the first is line 5 \(1.6\)"):
        read(tmp_path / "shop.csv", "shop.csv")
    TABLE.assign(probability=["0.5", "half", "0.1", "0.9"]).to_csv(tmp_path / "policy.csv", index=False)
    with pytest.raises(BadInputError, match=r"no number in 1 of 4 rows; the first is line 3 \(half\)"):
        read_policy(tmp_path / "policy.csv", "policy.csv", read(FRAME, "log"))


def test_money_that_was_given_back_counts_and_is_told() -> None:
    log = read(changed(click=[5, -3, 0, 0, 2, -1]), "shop.csv")
    assert own(log).reward.sum() == 3
    assert "shop.csv, column click: 2 of 6 rows are below 0, as refunds are" in log.notes[0]


def test_rows_that_may_be_sums_are_told() -> None:
    once = FRAME.head(2).assign(shown=500)
    assert "--column impressions=NAME" in read(once, "shop.csv").notes[0]
    assert not read(once, "shop.csv", {"impressions": "shown"}).notes


def test_two_rows_that_may_be_of_one_impression_are_told() -> None:
    log = read(changed(request_id=[1, 1, 1, 2, 2, 2]).drop(columns="position"), "shop.csv")
    assert "2 of 6 rows repeat the action of another row of their round" in log.notes[0]


def test_days_are_days_however_they_are_written() -> None:
    log = read(changed(date=["2024-05-01", "2024-05-01 10:00:00", "2024-05-01T23:59:59.5"] * 2), "log")
    assert set(log.rows["date"]) == {"2024-05-01"}
    table = pd.DataFrame({"date": pd.Timestamp("2024-05-01"), "item_id": [1, 2], "probability": [0.3, 0.7]})
    assert ask(log, read_policy(table, "policy", log)).wanted.tolist() == [0.3, 0.7, 0.3, 0.7, 0.7, 0.3]


def test_identities_that_pandas_made_floats_are_the_same() -> None:
    log = read(changed(item_id=FRAME["item_id"].astype(float)), "log")
    assert ask(log, read_policy(TABLE, "policy", log)).wanted.tolist() == [0.5, 0.5, 0.5, 0.9, 0.9, 0.1]


def test_a_policy_may_call_its_columns_as_the_log_does() -> None:
    names = {"item_id": "sku", "position": "spot"}
    log = read(FRAME.rename(columns=names), "log", {"action": "sku", "position": "spot"})
    found = ask(log, read_policy(TABLE.rename(columns=names), "policy", log))
    assert found.wanted.tolist() == [0.5, 0.5, 0.5, 0.9, 0.9, 0.1]


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
        (TABLE.assign(probability=[50, 50, 10, 90]), BadInputError, "above 1 in 4 of 4 rows; .* not percent"),
        (TABLE.assign(probability=[1.05, -0.05, 0.5, 0.5]), BadInputError, "below 0 in 1 of 4 rows; .* chosen has 0"),
        (TABLE.assign(probability=[np.nan, 1, 0.5, 0.5]), BadInputError, "empty in 1 of 4 rows"),
        (TABLE.assign(position=1, probability=0.25), BadInputError, "names an action again in 2 of 4 rows"),
        (TABLE.drop(columns="probability"), ConfigurationError, "has no column 'probability'"),
        (TABLE.drop(columns="item_id"), ConfigurationError, "does not say which action it chooses"),
        (TABLE.assign(weekday=1), ConfigurationError, "policy.csv has weekday, which is of no choice in log"),
        (TABLE.assign(click=0), ConfigurationError, r"has click, which is of no choice in log\. Leave it out"),
        (TABLE.assign(pscore=0.5), ConfigurationError, r"has pscore, which is of no choice in log\. Leave it out"),
        (TABLE.assign(user_feature=1), ConfigurationError, "say --context user_feature. Else leave it out"),
        (
            TABLE.rename(columns={"item_id": "sku"}),
            ConfigurationError,
            "has sku, which is of no choice in log. If it is what log calls item_id, call it so here too",
        ),
    ],
)
def test_a_policy_that_is_none_is_refused(table: pd.DataFrame, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        read_policy(table, "policy.csv", read(FRAME, "log"))


def test_a_policy_that_says_nothing_of_some_of_the_log_is_refused() -> None:
    log = read(FRAME, "log")
    with pytest.raises(BadInputError, match=r"position: of no context that policy\.csv has in 3 of 6"):
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


def test_propensities_of_one_action_that_differ_ask_for_their_context() -> None:
    frame = changed(propensity_score=[0.8, 0.2, 0.5, 0.9, 0.9, 0.1], user_feature=["a", "a", "b", "a", "a", "a"])
    [note] = ask(read(frame, "log"), UNIFORM).notes
    assert "propensities of 1 of 4 actions of log change" in note and "--context NAME" in note
    assert not ask(read(frame, "log", context=("user_feature",)), UNIFORM).notes


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
