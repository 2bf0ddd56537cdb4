"""Launch scores for tests: one row in the columns of a growth release, of which a test names what it is about."""

from typing import Any

import pandas as pd

from ml.growth.scores import COLUMNS

_UNITS: dict[str, Any] = dict.fromkeys(COLUMNS) | {
    "product_id": "p",
    "merchant_id": "m",
    "category": "tea",
    "title": "Tea",
    "launched_on": pd.Timestamp("2024-05-06"),
    "listed_on": pd.Timestamp("2024-05-06"),
    "age_days": 56,
    "age_weeks": 8,
    "probability": 0.1,
    "probability_low": 0.05,
    "probability_high": 0.2,
    "demand_mean": 100.0,
    "demand_q10": 20.0,
    "demand_q50": 80.0,
    "demand_q90": 200.0,
    "gmv_per_unit": 1.0,
    "orders_so_far": 20,
    "units_so_far": 20,
    "gmv_so_far": 20.0,
    "buyers_so_far": 20,
    "repeat_buyers_so_far": 0,
    "largest_buyer_share": 0.05,
    "bestseller_gmv": 100.0,
    "evidence": "units",
    "rule_rank": 1,
    "reasons": "sold 20 units",
}
_EXPOSURE: dict[str, Any] = _UNITS | {
    "evidence": "exposure",
    "rate_mean": 0.02,
    "rate_strength": 100.0,
    "impressions_so_far": 2000,
    "clicks_so_far": 200,
    "carts_so_far": 60,
    "orders_so_far": 40,
    "units_so_far": 40,
    "buyers_so_far": 40,
}


def by_units(**named: Any) -> dict[str, Any]:
    """A launch of a source without traffic, with `previous` and `stage` beside its scores."""
    return _UNITS | {"previous": "incubate", "stage": "incubate"} | named


def by_exposure(**named: Any) -> dict[str, Any]:
    """A launch of a source that counts impressions; an order is of one unit unless the test says otherwise."""
    units = {"units_so_far": named["orders_so_far"]} if "orders_so_far" in named else {}
    return _EXPOSURE | {"previous": "incubate", "stage": "incubate"} | units | named


def frame(*rows: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(list(rows))


def field(rate: float = 0.02, count: int = 40, **named: Any) -> list[dict[str, Any]]:
    """Ordinary launches beside which others are judged: their rates lie about `rate`, a tenth of them at twice it."""
    return [
        by_exposure(
            **{"product_id": f"f{i:03d}", "merchant_id": f"m{i % 10}"}
            | {"orders_so_far": round(2000 * rate * (2 if i % 10 == 0 else 0.7 + 0.06 * (i % 10)))}
            | named
        )
        for i in range(count)
    ]
