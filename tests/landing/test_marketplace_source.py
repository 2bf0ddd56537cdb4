"""Deliveries of the simulated marketplace land: all of a clean one, and of a dirty one what the truth says is clean."""

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

from coldframe import landed
from coldframe.errors import BadInputError
from coldframe.paths import Workspace
from coldframe.run import Request, StepResult
from coldframe.settings import get_settings
from landing.sources import marketplace, open_source
from landing.steps import land
from marketplace import truth
from marketplace.delivery import EVENTS, STATES, found_deliveries
from marketplace.dirt import UNSEEN
from marketplace.parameters import Dirt, compose
from marketplace.truth import caught

AS_OF = date(2024, 2, 25)
"""By then the dirty marketplace has had one day of decimal commas; a second would be more than is let in."""
Landed = tuple[Workspace, StepResult, Path]


def _land(home: Path, folder: Path, as_of: date = AS_OF, **more: Any) -> StepResult:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLDFRAME_HOME", str(home))
        get_settings.cache_clear()
        result = land(Request(source="marketplace", as_of=as_of, path=folder, **more))
    get_settings.cache_clear()
    return result


@pytest.fixture(scope="module")
def deliver(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Landed]:
    """Lands the tiny size with a preset, once."""
    done: dict[str, Landed] = {}

    def make(preset: str) -> Landed:
        if preset not in done:
            root = tmp_path_factory.mktemp(preset)
            folder = found_deliveries(root / "out", compose("tiny", preset)).folder
            done[preset] = (Workspace(root, "marketplace"), _land(root, folder), folder)
        return done[preset]

    return make


def rows(place: Workspace, table: str, as_of: date = AS_OF) -> pd.DataFrame:
    files = [str(p.path) for p in landed.select(place, as_of)[table]]
    return duckdb.execute("from read_parquet($1, hive_partitioning = false)", [files]).df()


def test_every_row_of_a_calm_marketplace_is_accepted(deliver: Callable[[str], Landed]) -> None:
    _, result, _ = deliver("calm")
    assert result.facts["quarantined"] == 0
    assert result.warnings == ()
    for table in (*STATES, *EVENTS):
        assert result.facts["tables"][table]["accepted"] > 0, table


def test_a_run_knows_nothing_later_than_its_as_of(deliver: Callable[[str], Landed]) -> None:
    place, _, folder = deliver("calm")
    assert rows(place, "order_lines")["ordered_at"].max().date() == AS_OF
    assert rows(place, "products")["launched_on"].max().date() <= AS_OF
    assert rows(place, "customers")["joined_on"].max().date() <= AS_OF
    assert rows(place, "campaigns")["announced_on"].max().date() <= AS_OF
    assert rows(place, "coupons")["coupon_id"].str.extract(r"(\d{8})")[0].max() <= f"{AS_OF:%Y%m%d}"
    # More days delivered since then change nothing for a run as of that day.
    found_deliveries(folder).generate(None, AS_OF + timedelta(days=30))
    again = _land(place.home, folder, force=True)
    assert again.facts["written"] == 0


def test_the_next_day_reads_that_day_only(deliver: Callable[[str], Landed]) -> None:
    place, _, folder = deliver("calm")
    day = AS_OF + timedelta(days=1)
    result = _land(place.home, folder, day, start=day)
    stored = duckdb.sql(f"select count(*) from '{folder}/order_lines/{day}.parquet'").fetchall()[0][0]
    assert result.facts["tables"]["order_lines"]["read"] == stored
    assert len(list((place.landed / "order_lines").rglob("*.parquet"))) == (day - date(2024, 1, 1)).days + 2


def test_without_a_path_the_installation_gets_a_marketplace_of_its_own(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLDFRAME_HOME", str(tmp_path))
        get_settings.cache_clear()
        offer = open_source("marketplace", None).probe()
    get_settings.cache_clear()
    assert offer.files == (tmp_path / "marketplace" / "parameters.yaml",)
    assert offer.suggested_as_of == date(2025, 9, 30)


@pytest.mark.parametrize(("preset", "days"), [("calm", 28), ("dirty", None)])
def test_a_large_marketplace_lands_in_pieces_unless_lines_come_late(
    preset: str, days: int | None, tmp_path: Path
) -> None:
    folder = found_deliveries(tmp_path / "out", compose("large", preset)).folder
    assert open_source("marketplace", folder).probe().piece_days == days


def test_pieces_land_what_the_whole_does(
    deliver: Callable[[str], Landed], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, whole, folder = deliver("calm")
    monkeypatch.setattr(marketplace, "_MANY_CUSTOMERS", 0)
    pieces = _land(tmp_path, folder)
    assert pieces.facts["tables"]["order_lines"] == whole.facts["tables"]["order_lines"]
    mine, theirs = (rows(p, "traffic") for p in (Workspace(tmp_path, "marketplace"), place))
    assert mine.equals(theirs)


def test_the_plain_files_source_lands_the_same_folder(deliver: Callable[[str], Landed], tmp_path: Path) -> None:
    _, _, folder = deliver("calm")
    made = found_deliveries(folder)
    lines = sum(1 for _ in folder.glob("order_lines/2*.parquet"))
    offer = open_source("files", folder).probe()
    assert set(offer.tables) == {*STATES, *EVENTS}
    assert sum(path.parent.name == "order_lines" for path in offer.files) == lines
    assert made.parameters_file.name in " ".join(offer.warnings)


def test_of_a_dirty_marketplace_landing_refuses_all_that_a_row_can_show_and_nothing_else(
    deliver: Callable[[str], Landed],
) -> None:
    place, result, folder = deliver("dirty")
    kinds = caught(folder, place.quarantine / "order_lines" / f"as_of={AS_OF}.parquet", AS_OF)
    assert kinds["dirty"].gt(0).all()
    assert set(kinds.index) == {
        *("late", "duplicate", "clock_1970", "clock_ahead", "clock_shifted"),
        *("currency_named", "currency_silent", "brushing", "decimal_comma"),
    }
    seen = kinds[~kinds.index.isin(UNSEEN)]
    assert (seen["recall"] == 1).all()
    # What no row shows is refused only where the same line has a fault that shows, such as a file of decimal commas.
    lines = truth.read(folder, "dirty")
    hidden = lines["kind"].isin(UNSEEN)
    both = lines[hidden].merge(
        lines[~hidden].drop_duplicates(["order_id", "line_number"]), on=["order_id", "line_number"]
    )
    assert kinds.loc[list(UNSEEN), "quarantined"].sum() == len(both)
    assert kinds.attrs["precision"] == 1
    refused = result.facts["tables"]["order_lines"]["quarantined"]
    assert refused == kinds.attrs["quarantined"] > 0
    for table in EVENTS:
        if table != "order_lines":
            assert result.facts["tables"][table]["quarantined"] == 0


def test_reasons_name_what_is_wrong(deliver: Callable[[str], Landed]) -> None:
    _, result, _ = deliver("dirty")
    reasons = " | ".join(result.facts["tables"]["order_lines"]["reasons"])
    assert "repeats an earlier row with the same key" in reasons
    assert "currency is not EUR" in reasons
    assert "ordered_at lies before 1990-01-01" in reasons
    assert "ordered_at lies in the future" in reasons
    assert "freight_amount is not a number" in reasons


def test_late_lines_land_as_a_correction_of_their_day(tmp_path: Path) -> None:
    place = Workspace(tmp_path, "marketplace")
    tardy = compose("tiny").model_copy(update={"dirt": Dirt(late=0.2)})
    folder = found_deliveries(tmp_path / "out", tardy).folder
    first, second = date(2024, 1, 10), date(2024, 1, 16)
    assert _land(tmp_path, folder, first).warnings == ()
    before = rows(place, "order_lines", first)
    _land(tmp_path, folder, second, start=date(2024, 1, 9))
    late = truth.read(folder, "dirty")
    assert set(late["kind"]) == {"late"}
    now = rows(place, "order_lines", second)
    came = now[(now["ordered_at"].dt.date >= date(2024, 1, 9)) & (now["ordered_at"].dt.date <= first)]
    came = came[~came["order_id"].isin(before["order_id"])]
    assert len(came) > 0
    assert came["order_id"].isin(late["order_id"]).all()
    assert rows(place, "order_lines", first).equals(before)


def test_a_renamed_column_is_refused_by_file_and_name(tmp_path: Path) -> None:
    parameters = compose("tiny").model_copy(update={"dirt": Dirt(renamed_from=date(2024, 1, 20))})
    folder = found_deliveries(tmp_path / "out", parameters).folder
    with pytest.raises(BadInputError) as raised:
        _land(tmp_path, folder, date(2024, 1, 25))
    message = str(raised.value)
    assert "order_lines/2024-01-20.parquet: column 'gross_amount' is missing. Is it 'gross_value'?" in message
    assert "or land up to 2024-01-19" in message
    assert _land(tmp_path, folder, date(2024, 1, 19)).facts["quarantined"] == 0


def test_a_day_without_rows_of_a_table_has_none(tmp_path: Path) -> None:
    folder = found_deliveries(tmp_path / "out", compose("tiny")).folder
    source = open_source("marketplace", folder)
    with duckdb.connect() as connection:
        query = source.read(connection, "refunds", None, date(2024, 1, 1))
        assert connection.execute(f"select count(*) from ({query})").fetchall() == [(0,)]
