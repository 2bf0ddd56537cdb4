"""Validation as it is used: nothing is judged by a model that could have seen its outcome."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from ml.growth import data, evaluate, model
from tests.ml.growth import conftest as shop

FIRST = pd.Timestamp(date(2024, 1, 1))
Load = Callable[..., data.Launches]


@pytest.fixture(scope="module")
def fifty(tmp_path_factory: pytest.TempPathFactory) -> data.Launches:
    """Fifty launches in weeks 8 to 27 that sell 1 to 50 a week, followed for sixty weeks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shop, "LAUNCHES", {f"n{i:02d}": (8 + i % 20, 1 + (i * 7) % 50) for i in range(50)})
        return shop.loaded(tmp_path_factory.mktemp("fifty") / "snapshot", shop.panel(60), shop.catalogue())


@pytest.fixture
def many(fifty: data.Launches, monkeypatch: pytest.MonkeyPatch) -> data.Launches:
    """The fifty, few of which are enough to learn chances from; of demand they tell the pace."""
    monkeypatch.setattr(model, "LEAST_POSITIVES", 2)
    monkeypatch.setattr(model, "LEAST_ROWS", 10_000)
    return fifty


def test_at_each_cutoff_only_what_was_known_then_is_learned_and_only_what_came_later_is_judged(
    many: data.Launches, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned: list[tuple[pd.Timestamp, pd.Timestamp]] = []
    learn = evaluate.learn

    def watched(launches: data.Launches, until: pd.Timestamp, methods: tuple[str, ...]) -> object:
        known = launches.known(until)
        assert (known["launch_week"] + pd.Timedelta(weeks=12) <= until).all()
        learned.append((until, launches.labelled(until, known)["moment"].max()))
        return learn(launches, until, methods)

    monkeypatch.setattr(evaluate, "learn", watched)
    validated = evaluate.validate(many, methods=["rule"])
    assert [until for until, _ in learned] == list(many.cutoffs)
    assert all(newest <= until for until, newest in learned)
    moments = many.rows[~many.rows["current"]].set_index(["product_id", "age_days"])["moment"]
    judged = moments.loc[pd.MultiIndex.from_frame(validated[["product_id", "age_days"]])]
    assert (judged.to_numpy() > validated["cutoff"].to_numpy()).all()
    assert validated["cutoff"].nunique() >= 3


def test_what_became_of_the_judged_does_not_move_their_own_scores(many: data.Launches) -> None:
    turned = many.outcomes.copy()
    at_the_end = turned["until"] == many.end
    turned.loc[at_the_end, "hit"] = ~turned.loc[at_the_end, "hit"].astype(bool)
    before, after = (
        evaluate.validate(each, methods=["launch_model"]) for each in (many, replace(many, outcomes=turned))
    )
    assert (before["label"] != after["label"]).all()
    np.testing.assert_array_equal(before["score"], after["score"])
    np.testing.assert_array_equal(before["log_expected"], after["log_expected"])


def test_the_launch_model_is_judged_beside_the_rule_and_demand_beside_its_kin(many: data.Launches) -> None:
    validated = evaluate.validate(many)
    measured = evaluate.measure(validated).set_index("method")
    assert set(measured.index) == {*model.METHODS, "base_rate"}
    assert measured.loc["launch_model", "average_precision"] > measured.loc["category_prior", "average_precision"]
    ours = validated[validated["method"] == "launch_model"]
    assert ours[["log_expected", "log_demand", "like_units", "category_units"]].notna().all(axis=None)
    told = evaluate.spread_of(validated).apply(ours["log_expected"].to_numpy(float), ours["age_days"].to_numpy())
    assert (told["demand_q10"] <= told["demand_q50"]).all()


def test_folds_that_had_only_a_base_rate_calibrate_nothing(
    many: data.Launches, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "LEAST_POSITIVES", 20)
    validated = evaluate.validate(many, methods=["rule"])
    spans = validated.groupby("cutoff")["score"].agg(np.ptp)
    first = spans[spans > 0].index[0]
    assert first > spans.index[0]
    part = validated[validated["cutoff"] == first]
    np.testing.assert_allclose(part["chance"], part["score"], err_msg="no earlier ranking could calibrate it")


def test_without_an_outcome_there_is_nothing_to_validate(load: Load) -> None:
    weekly = shop.panel(20)
    products = shop.catalogue()
    validated = evaluate.validate(load(weekly, products[products["launched_on"] < shop.monday(20)]))
    assert validated.empty
    assert list(validated.columns) == list(evaluate.COLUMNS)


def test_of_too_many_rows_whole_products_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "MOST_ROWS", 10)
    rows = pd.DataFrame({"product_id": np.repeat([f"p{i}" for i in range(10)], 3), "age_days": [0, 7, 28] * 10})
    kept = evaluate.thinned(rows)
    assert len(kept) <= 10
    assert (kept.groupby("product_id").size() == 3).all()


def scored(scores: list[float], labels: list[bool], method: str = "rule", week: int = 0) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "method": method,
            "cutoff": FIRST + timedelta(weeks=week),
            "product_id": [f"p{i}" for i in range(len(scores))],
            "label": labels,
            "units_so_far": 1,
            "score": scores,
            "chance": scores,
            "base_rate": 0.5,
        }
    )


def test_precision_at_k_is_the_mean_over_cutoffs() -> None:
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
    measured = evaluate.measure(pd.concat([scored(blind, labels), scored(seeing, labels, "launch_model")])).set_index(
        "method"
    )
    assert measured.loc["launch_model", "ap_gain_low"] > 0
    assert measured.loc["rule", "ap_gain_low"] == 0


def test_the_calibration_table_lays_promises_beside_outcomes() -> None:
    table = evaluate.calibration_table(scored([0.1] * 10 + [0.8] * 10, [False] * 9 + [True] * 11), bins=2)
    assert table["launches"].tolist() == [10, 10]
    assert table["chance"].tolist() == pytest.approx([0.1, 0.8])
    assert table["observed"].tolist() == pytest.approx([0.1, 1.0])


def test_the_calibration_error_is_the_mean_distance_of_promise_and_outcome() -> None:
    told = scored([0.1] * 10 + [0.8] * 10, [False] * 9 + [True] * 11)
    assert evaluate.calibration_error(told, bins=2) == pytest.approx(0.1)
