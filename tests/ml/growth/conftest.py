"""A catalogue of 40 old teas that sell 1, 2, … 40 a week, and launches whose fate is known."""

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pandas as pd
import pytest

from coldframe.paths import Workspace
from coldframe.snapshots import Snapshot
from ml.growth import data
from tests.ml.snapshots import write_snapshot

FIRST_WEEK = date(2024, 1, 1)
WEEKS = 40
# Week of launch and units sold a week: forty a week is a bestseller's pace, one is not.
LAUNCHES = {"hit": (10, 60), "flop": (10, 1), "steady": (20, 5), "late_hit": (38, 50)}


def monday(week: int) -> date:
    return FIRST_WEEK + timedelta(weeks=week)


def panel(weeks: int = WEEKS) -> pd.DataFrame:
    rows = []
    sells = {f"old{i:02d}": (0, i) for i in range(1, 41)} | LAUNCHES
    for product, (first, units) in sells.items():
        rows += [
            {
                "week_start": monday(week),
                "product_id": product,
                "region": "north",
                "category": "tea",
                "units": units,
                "gmv": units * 2.5,
                "buyers": units,
                "days_elapsed": 7,
            }
            for week in range(first, weeks)
        ]
    return pd.DataFrame(rows)


def catalogue() -> pd.DataFrame:
    sells = {f"old{i:02d}": 0 for i in range(1, 41)} | {name: first for name, (first, _) in LAUNCHES.items()}
    return pd.DataFrame(
        {
            "product_id": list(sells),
            "merchant_id": "m",
            "category": "tea",
            "title": [name.title() for name in sells],
            "launched_on": [monday(first) for first in sells.values()],
            "launch_source": ["first_sale" if name in LAUNCHES else "before_history" for name in sells],
        }
    )


@pytest.fixture
def make_snapshot(tmp_path: Path) -> Callable[[pd.DataFrame], Snapshot]:
    def make(weekly: pd.DataFrame) -> Snapshot:
        weeks = pd.DataFrame({"week_start": sorted(set(weekly["week_start"])), "days_elapsed": 7})
        last = weeks["week_start"].max() + timedelta(days=6)
        count = len(list(tmp_path.glob("snapshot*")))
        return write_snapshot(
            tmp_path / f"snapshot{count}",
            last,
            fct_product_week=weekly,
            fct_category_week=weeks,
            dim_product=catalogue(),
        )

    return make


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Features are the feature store's business and tested there; here they are all one."""

    def training_frame(workspace: Workspace, entities: pd.DataFrame, service: str) -> pd.DataFrame:
        assert service == data.SERVICE
        return entities.assign(**{name: 1.0 for name in data.FEATURES if name != "pace"})

    monkeypatch.setattr(data, "find_service", lambda name: {"training_frame": training_frame}[name])
    return Workspace(tmp_path, "shop")
