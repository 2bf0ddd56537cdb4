"""What people ask of the scores: a file of all launches, or one explained."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from coldframe.errors import ConfigurationError, NotAvailableError
from ml.growth import asked
from tests.ml.snapshots import write_snapshot

DAY = date(2024, 9, 29)


class Release:
    id, as_of = "r1", DAY
    tables: dict[str, pd.DataFrame]

    def __init__(self) -> None:
        self.tables = {
            "scores": pd.DataFrame({"product_id": ["p1", "p2"], "probability": [0.4, 0.1], "rate_mean": [None, None]}),
            "contributions": pd.DataFrame({"product_id": "p1", "because": list("abcd"), "adds": [2.0, -1.5, 1.0, 0.1]}),
            "like_items": pd.DataFrame({"product_id": ["p1", "p1"], "like_id": ["old", "older"], "units": [3.0, None]}),
        }

    def table(self, name: str) -> pd.DataFrame:
        return self.tables[name].copy()


@pytest.fixture
def served(installation: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    installation()
    champions: list[Any] = [Release()]

    class Registry:
        def __init__(self, _: object) -> None: ...

        def champion(self, model: str) -> Any:
            assert model == "growth"
            return champions[0]

    monkeypatch.setattr(asked, "Registry", Registry)
    return champions


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_all_launches_are_written_with_their_like_items_and_the_strongest_reasons(
    served: list[Any], tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"scores.{suffix}"
    assert asked.write_scores("shop", DAY, path) == 2
    written = (pd.read_csv if suffix == "csv" else pd.read_parquet)(path).set_index("product_id")
    assert written.loc["p1", "like_items"] == "old; older"
    assert written.loc["p1", "because"] == "a +2.00; b -1.50; c +1.00"
    assert pd.isna(written.loc["p2", "because"])


def test_one_launch_is_explained_by_plain_values(served: list[Any]) -> None:
    found = asked.explain_score("shop", DAY, "p1")
    assert found["score"] == {"product_id": "p1", "probability": 0.4, "rate_mean": None}
    assert [line["because"] for line in found["because"]] == list("abcd")
    assert found["like_items"][1] == {"like_id": "older", "units": None}


@pytest.mark.parametrize(
    ("product", "told"),
    [
        ("p9", r"'p9' is not in the catalogue of shop as of 2024-09-29\."),
        ("next", r"'next' launches on 2024-10-05; it is scored from the evening before on \(--as-of 2024-10-04\)\."),
        ("again", r"'again' launches on 2024-09-30; as a relisting of old it is scored from that day on\."),
        ("gone", r"'gone' is no launch any more: launched on 2024-02-01, more than 26 weeks before 2024-09-29\."),
        ("old", r"'old' is no launch: it was on sale when the history of shop begins\."),
        ("silent", r"'silent' is no launch: nobody declared its first day, and it has neither a price nor a sale"),
    ],
)
def test_what_is_no_live_launch_is_told_what_it_is_and_some_that_are(
    served: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, product: str, told: str
) -> None:
    known = pd.DataFrame(
        [
            ("next", date(2024, 10, 5), "declared", None),
            ("again", date(2024, 9, 30), "declared", "old"),
            ("gone", date(2024, 2, 1), "first_sale", None),
            ("old", date(2023, 1, 1), "before_history", None),
            ("silent", None, "before_history", None),
        ],
        columns=["product_id", "launched_on", "launch_source", "relisted_of"],
    )
    snapshot = write_snapshot(tmp_path / "snapshot", DAY, dim_product=known)
    monkeypatch.setattr(asked.snapshots, "of_day", lambda place, day: snapshot)
    with pytest.raises(ConfigurationError, match=f"^{told}.*Live launches, the most promising first: p1, p2"):
        asked.explain_score("shop", DAY, product)


def test_scores_of_another_day_are_no_answer(served: list[Any]) -> None:
    with pytest.raises(NotAvailableError, match=r"no launch scores of 2024-09-30\. Run `coldframe train growth"):
        asked.explain_score("shop", date(2024, 9, 30), "p1")
    served[0] = None
    with pytest.raises(NotAvailableError, match="no launch scores"):
        asked.write_scores("shop", DAY, Path("never.csv"))
