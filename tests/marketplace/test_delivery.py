"""A day is a function of the parameters and the day, and of nothing that was generated before, beside or after it."""

import signal
import subprocess
import sys
import time
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest

from coldframe.errors import BadInputError, ConfigurationError
from landing.contract import BY_NAME
from marketplace.delivery import EVENTS, STATES, Deliveries, found_deliveries, open_deliveries
from marketplace.hidden import folder_of
from marketplace.parameters import Parameters, compose
from tests.marketplace.conftest import FIRST, LAST, deliver, hashes

FEBRUARY = date(2024, 2, 1)


def test_january_then_february_has_the_bytes_of_both_at_once(
    two_months: Deliveries, tiny: Parameters, tmp_path: Path
) -> None:
    steps = deliver(tmp_path / "steps", tiny, (None, date(2024, 1, 31)), (FEBRUARY, LAST))
    assert hashes(steps.folder) == hashes(two_months.folder)
    assert hashes(folder_of(steps.folder)) == hashes(folder_of(two_months.folder))


@pytest.mark.parametrize("preset", ["calm", "dirty"])
@pytest.mark.parametrize("day", [date(2024, 1, 10), date(2024, 2, 29)])
def test_a_day_alone_has_the_bytes_it_has_in_a_longer_run(day: date, preset: str, tmp_path: Path) -> None:
    parameters = compose("tiny", preset)
    whole = deliver(tmp_path / "whole", parameters, (None, day))
    alone = deliver(tmp_path / "alone", parameters, (day, day))
    for folder, other in ((alone.folder, whole.folder), (folder_of(alone.folder), folder_of(whole.folder))):
        mine, theirs = hashes(folder), hashes(other)
        assert str(day) in "".join(mine)
        assert mine.items() <= theirs.items()
        assert {name for name in theirs if str(day) in name} == {name for name in mine if str(day) in name}


def test_a_history_may_begin_on_any_day_of_the_week(tmp_path: Path, tiny: Parameters) -> None:
    thursday = date(2024, 5, 16)
    later = tiny.model_copy(update={"scale": tiny.scale.model_copy(update={"first_day": thursday})})
    whole = deliver(tmp_path / "whole", later, (None, date(2024, 6, 2)))
    alone = deliver(tmp_path / "alone", later, (date(2024, 6, 1), date(2024, 6, 2)))
    assert hashes(alone.folder).items() <= hashes(whole.folder).items()
    assert whole.file("order_lines", thursday).exists()
    [(first,)] = duckdb.sql(f"select min(ordered_at) from '{whole.folder}/order_lines/*.parquet'").fetchall()
    assert first.date() == thursday


def test_gaps_are_filled_in_any_order(two_months: Deliveries, tiny: Parameters, tmp_path: Path) -> None:
    odd = deliver(tmp_path / "odd", tiny, (date(2024, 2, 20), LAST), (None, date(2024, 1, 9)), (None, LAST))
    assert hashes(odd.folder) == hashes(two_months.folder)


def test_more_days_change_nothing_that_was_there(two_months: Deliveries, tiny: Parameters, tmp_path: Path) -> None:
    longer = deliver(tmp_path / "longer", tiny, (None, LAST + timedelta(days=45)))
    events = {name: sha for name, sha in hashes(two_months.folder).items() if "/" in name}
    assert events.items() <= hashes(longer.folder).items()
    for table in STATES:
        assert longer.state(table, LAST).equals(two_months.state(table, LAST))


def test_another_seed_is_another_marketplace(two_months: Deliveries, tmp_path: Path) -> None:
    other = deliver(tmp_path / "other", compose("tiny", seed=2), (None, date(2024, 1, 2)))
    day = two_months.file("order_lines", FIRST)
    assert other.file("order_lines", FIRST).read_bytes() != day.read_bytes()


def test_killed_and_started_again_it_ends_with_the_same_bytes(two_months: Deliveries, tmp_path: Path) -> None:
    out = tmp_path / "killed"
    command = [
        sys.executable,
        "-m",
        "coldframe.cli",
        "simulate",
        "--size",
        "tiny",
        "--to",
        str(LAST),
        "--out",
        str(out),
    ]
    process = subprocess.Popen(command)
    while len(list(out.glob("order_lines/2*.parquet"))) < 7:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    days = len(list(out.glob("order_lines/2*.parquet")))
    assert 7 <= days < (LAST - FIRST).days + 1
    subprocess.run(command, check=True)
    assert hashes(out) == hashes(two_months.folder)
    assert hashes(folder_of(out)) == hashes(folder_of(two_months.folder))


def test_state_tables_of_a_run_killed_just_before_them_are_made_up_for(tmp_path: Path, tiny: Parameters) -> None:
    made = deliver(tmp_path / "one", tiny, (None, date(2024, 1, 2)), (None, date(2024, 1, 5)))
    wanted = hashes(made.folder)
    stale = deliver(tmp_path / "two", tiny, (None, date(2024, 1, 2)))
    days = {path: path.read_bytes() for path in made.folder.rglob("2024*.parquet")}
    for path, content in days.items():
        copy = stale.folder / path.relative_to(made.folder)
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(content)
    assert stale.generate(None, date(2024, 1, 5)) == 0
    assert hashes(stale.folder) == wanted


def test_a_finished_folder_can_be_read_where_nothing_can_be_written(two_months: Deliveries) -> None:
    (two_months.folder / ".lock").unlink()
    two_months.generate(None, LAST)
    assert not (two_months.folder / ".lock").exists()


def test_what_is_there_is_not_generated_again(two_months: Deliveries) -> None:
    before = {path: path.stat().st_mtime_ns for path in two_months.folder.rglob("*.parquet")}
    assert two_months.generate(None, LAST) == 0
    assert before == {path: path.stat().st_mtime_ns for path in two_months.folder.rglob("*.parquet")}


def test_names_and_types_are_the_contracts(two_months: Deliveries) -> None:
    for name in (*STATES, *EVENTS):
        files = two_months.folder / f"{name}.parquet" if name in STATES else two_months.folder / name / "*.parquet"
        found = duckdb.sql(f"describe from read_parquet('{files}', union_by_name = true)").fetchall()
        types = {column: kind for column, kind, *_ in found}
        expected = {c.name: c.type.value.replace(", ", ",") for c in BY_NAME[name].columns}
        assert types.items() <= expected.items(), name
        assert all(BY_NAME[name].column(column).nullable for column in set(expected) - set(types)), name


def test_other_parameters_are_refused_by_name_but_a_longer_horizon_is_not(
    two_months: Deliveries, tiny: Parameters
) -> None:
    busier = tiny.model_copy(update={"scale": tiny.scale.model_copy(update={"products": 500, "days": 5})})
    with pytest.raises(ConfigurationError, match=r"made with other parameters \(scale\.products\)"):
        found_deliveries(two_months.folder, busier)
    longer = tiny.model_copy(update={"scale": tiny.scale.model_copy(update={"days": 500})})
    assert found_deliveries(two_months.folder, longer).parameters == tiny


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, tiny: Parameters) -> None:
    (tmp_path / "thesis.txt").write_text("all of it")
    with pytest.raises(ConfigurationError, match="is not empty"):
        found_deliveries(tmp_path, tiny)
    with pytest.raises(BadInputError, match=r"parameters\.yaml is missing"):
        open_deliveries(tmp_path)


def test_days_before_the_opening_are_refused(tiny: Parameters, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="opens on 2024-01-01"):
        deliver(tmp_path / "early", tiny, (None, date(2023, 12, 31)))
