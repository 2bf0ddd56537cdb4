"""Which version of a day a run reads, and from which day a routine landing reads again."""

from datetime import date, timedelta
from pathlib import Path

import pytest

from coldframe import landed
from coldframe.paths import Workspace

AS_OF = date(2024, 3, 31)


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path, "shop")


def land(place: Workspace, *days: date, known: date | None = None) -> None:
    for day in days:
        path = landed.partition(place, "order_lines", day, known).path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def test_a_run_reads_the_newest_version_known_on_its_day(place: Workspace) -> None:
    day = AS_OF - timedelta(days=10)
    land(place, day)
    land(place, day, known=AS_OF)
    land(place, day, known=AS_OF + timedelta(days=1))
    assert [p.known for p in landed.visible(place, "order_lines", AS_OF)] == [AS_OF]
    assert [p.known for p in landed.visible(place, "order_lines", AS_OF - timedelta(days=1))] == [day]


def test_the_first_routine_landing_reads_everything(place: Workspace) -> None:
    assert landed.catch_up(place, AS_OF) is None


def test_a_routine_landing_looks_a_week_back_for_corrections(place: Workspace) -> None:
    land(place, AS_OF - timedelta(days=1), AS_OF)
    assert landed.catch_up(place, AS_OF) == AS_OF - timedelta(days=7)


def test_a_routine_landing_goes_on_where_the_last_one_ended_however_long_ago(place: Workspace) -> None:
    land(place, date(2024, 2, 1))
    assert landed.catch_up(place, AS_OF) == date(2024, 2, 2)


def test_days_after_the_as_of_do_not_hide_missed_ones(place: Workspace) -> None:
    land(place, date(2024, 2, 1), AS_OF + timedelta(days=5))
    assert landed.catch_up(place, AS_OF) == date(2024, 2, 2)
