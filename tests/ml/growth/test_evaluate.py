"""Validation as it is used: nothing is judged by a model that could have seen its outcome."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from ml.growth import evaluate
from ml.growth.data import FEATURES, QUARTER

FIRST = pd.Timestamp(date(2024, 1, 1))


def known(weeks: int, launches: int = 60, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    parts = []
    for week in range(weeks):
        part = pd.DataFrame({name: rng.lognormal(size=launches) for name in FEATURES})
        part["product_id"] = [f"p{i:03d}" for i in range(launches)]
        part["category"] = "tea"
        part["scored_week"] = FIRST + timedelta(weeks=week)
        part["label"] = pd.array(part["units_so_far"].rank(ascending=False) <= 9, dtype="boolean")
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def test_a_quarter_lies_between_what_was_learned_and_what_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    learned: list[pd.Timestamp] = []
    fit = evaluate.fit

    def watched(method: str, rows: pd.DataFrame) -> object:
        learned.append(rows["scored_week"].max())
        return fit(method, rows)

    monkeypatch.setattr(evaluate, "fit", watched)
    validated = evaluate.validate(known(20), methods=["rule"])
    judged = sorted(validated["scored_week"].unique())
    assert judged
    # Folds are learned side by side, in any order.
    assert [week - last for week, last in zip(judged, sorted(learned), strict=True)] == [
        timedelta(weeks=QUARTER)
    ] * len(judged)


def test_folds_that_had_only_a_base_rate_calibrate_nothing() -> None:
    validated = evaluate.validate(known(QUARTER + 4, launches=30), methods=["rule"])
    weeks = sorted(validated["scored_week"].unique())
    first_fitted = next(w for w in weeks if validated.loc[validated["scored_week"] == w, "score"].nunique() > 1)
    part = validated[validated["scored_week"] == first_fitted]
    assert first_fitted > weeks[0]
    np.testing.assert_allclose(part["chance"], part["score"], err_msg="no earlier ranking could calibrate it")


def test_labels_of_the_judged_weeks_do_not_move_their_own_scores() -> None:
    rows = known(18)
    turned = rows.copy()
    late = turned["scored_week"] > FIRST + timedelta(weeks=17 - QUARTER)
    turned.loc[late, "label"] = ~turned.loc[late, "label"]
    before, after = (evaluate.validate(each, methods=["logistic"]) for each in (rows, turned))
    last = before["scored_week"].max()
    np.testing.assert_array_equal(
        before.loc[before["scored_week"] == last, "score"], after.loc[after["scored_week"] == last, "score"]
    )


def test_without_a_quarter_of_history_there_is_nothing_to_validate() -> None:
    validated = evaluate.validate(known(QUARTER))
    assert validated.empty
    assert list(validated.columns) == list(evaluate.COLUMNS)


def scored(scores: list[float], labels: list[bool], method: str = "rule", week: int = 0) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "method": method,
            "scored_week": FIRST + timedelta(weeks=week),
            "product_id": [f"p{i}" for i in range(len(scores))],
            "label": labels,
            "units_so_far": 1,
            "score": scores,
            "chance": scores,
            "base_rate": 0.5,
        }
    )


def test_precision_at_k_is_the_mean_over_weeks() -> None:
    both = pd.concat(
        [scored([0.9, 0.8, 0.1], [True, False, True]), scored([0.9, 0.8, 0.1], [True, True, False], week=1)]
    )
    assert evaluate.precision_at(both, 2) == pytest.approx((0.5 + 1.0) / 2)


def test_measures_are_what_the_textbook_says() -> None:
    rule = scored([0.9, 0.6, 0.3, 0.2], [True, False, True, False])
    [row] = evaluate.measure(rule).to_dict("records")
    assert row["average_precision"] == pytest.approx((1 + 2 / 3) / 2)
    assert row["brier"] == pytest.approx(np.mean([0.1**2, 0.6**2, 0.7**2, 0.2**2]))
    assert row["log_loss"] == pytest.approx(-np.mean(np.log([0.9, 0.4, 0.3, 0.8])))
    assert row["base_log_loss"] == pytest.approx(np.log(2))


def test_a_better_method_has_a_gain_whose_bounds_are_above_zero() -> None:
    rng = np.random.default_rng(0)
    labels = list(rng.random(400) < 0.2)
    blind = list(rng.random(400))
    seeing = [0.5 * b + 0.5 * y for b, y in zip(blind, labels, strict=True)]
    measured = evaluate.measure(pd.concat([scored(blind, labels), scored(seeing, labels, "logistic")])).set_index(
        "method"
    )
    assert measured.loc["logistic", "ap_gain_low"] > 0
    assert measured.loc["rule", "ap_gain_low"] == 0


def test_the_calibration_table_lays_promises_beside_outcomes() -> None:
    table = evaluate.calibration_table(scored([0.1] * 10 + [0.8] * 10, [False] * 9 + [True] * 11), bins=2)
    assert table["launches"].tolist() == [10, 10]
    assert table["chance"].tolist() == pytest.approx([0.1, 0.8])
    assert table["observed"].tolist() == pytest.approx([0.1, 1.0])
