"""What a plan says of its own past is fair to it and to the rules of thumb."""

import numpy as np
import pandas as pd

from ml.assortment.backtest import MEAN, shares_of_oracle


def past(**columns: object) -> pd.DataFrame:
    """Three products of one cell at one as-of, with some columns changed."""
    rows = {
        "cutoff": pd.Timestamp("2017-07-02"),
        "region": "north",
        "category": "tea",
        "product_id": ["a", "b", "c"],
        "actual_gmv": [50.0, 100.0, 10.0],
        "forecast_gmv": [60.0, 70.0, 0.0],
        "last_4_weeks": [9.0, 0.0, 10.0],
        "last_13_weeks": [30.0, 20.0, 10.0],
        "last_year": np.nan,
    }
    return pd.DataFrame(rows | columns)


def test_a_share_is_of_what_the_best_choice_of_as_many_products_sold() -> None:
    assert shares_of_oracle(past(), slots=1) == [
        {
            "as_of": "2017-07-02",
            "share_of_oracle": 1.0,
            "baseline": "last 13 weeks' bestsellers",
            "best_baseline": 0.5,
        }
    ]


def test_every_cell_has_its_own_places_and_every_as_of_its_own_line() -> None:
    south = past(region="south", forecast_gmv=[1.0, 0.0, 2.0])
    later = past(cutoff=pd.Timestamp("2017-08-06"), forecast_gmv=[0.0, 0.0, 1.0])
    found = shares_of_oracle(pd.concat([later, past(), south]), slots=1)
    assert [(entry["as_of"], entry["share_of_oracle"]) for entry in found] == [
        ("2017-07-02", (100 + 10) / 200),
        ("2017-08-06", 0.1),
    ]


def test_the_mean_of_the_rules_is_a_rule_and_last_year_only_where_it_is_known() -> None:
    [known] = shares_of_oracle(past(last_4_weeks=[6.0, 5.0, 0.0], last_year=[0.0, 9.0, 0.0]), slots=2)
    assert known["best_baseline"] == 1.0
    rows = past(last_4_weeks=[3.0, 2.9, 3.1], last_13_weeks=[3.0, 2.9, 0.0], last_year=[0.0, 2.0, 2.1])
    [mean] = shares_of_oracle(rows.assign(actual_gmv=[0.0, 1.0, 0.0]), slots=1)
    assert (mean["baseline"], mean["best_baseline"]) == (MEAN, 1.0)


def test_what_nobody_ranks_takes_no_place_and_a_season_without_sales_is_left_out() -> None:
    [entry] = shares_of_oracle(past(forecast_gmv=[1.0, 0.0, 0.0]), slots=3)
    assert entry["share_of_oracle"] == round(50 / 160, 4)
    assert shares_of_oracle(past(actual_gmv=0.0), slots=3) == []
