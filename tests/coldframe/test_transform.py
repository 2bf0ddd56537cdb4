"""From which day must be built anew: too late keeps facts nobody stands behind, too early rebuilds the year daily."""

from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest

from coldframe import transform
from coldframe.errors import ConfigurationError, NotAvailableError
from coldframe.paths import Workspace
from coldframe.run import Request
from coldframe.settings import get_settings, load
from coldframe.transform import Built, decide_window

AS_OF = date(2017, 9, 30)
DAYS = [date(2017, 9, 1) + timedelta(days=n) for n in range(30)]
SELECTED = {("order_lines", day): day for day in DAYS} | {("products", None): date(1970, 1, 1)}


def built(**changes: object) -> Built:
    values: dict = {
        "project": "p",
        "until": AS_OF,
        "clean": True,
        "partitions": SELECTED,
        "available": frozenset({"order_lines", "products"}),
    }
    return Built(**(values | changes))


def test_nothing_is_built_when_the_marts_hold_what_landed() -> None:
    window = decide_window(AS_OF, SELECTED, built(), "p")
    assert window.nothing
    assert window.rebuild_from == date(2017, 10, 1)


def test_a_new_day_is_built_alone() -> None:
    tomorrow = AS_OF + timedelta(days=1)
    window = decide_window(tomorrow, SELECTED | {("order_lines", tomorrow): tomorrow}, built(), "p")
    assert (window.rebuild_from, window.everything) == (tomorrow, False)


def test_a_later_version_of_a_day_is_built_from_that_day() -> None:
    corrected = SELECTED | {("order_lines", DAYS[3]): AS_OF}
    window = decide_window(AS_OF, corrected, built(), "p")
    assert window.rebuild_from == DAYS[3]
    assert "1 days of landed tables differ, the first is 2017-09-04 of order_lines" in window.reasons[0]


def test_a_day_taken_away_is_built_from_that_day() -> None:
    fewer = {key: known for key, known in SELECTED.items() if key[1] != DAYS[5]}
    assert decide_window(AS_OF, fewer, built(), "p").rebuild_from == DAYS[5]


def test_days_without_landed_rows_since_the_last_build_are_built_too() -> None:
    window = decide_window(AS_OF + timedelta(days=20), SELECTED, built(), "p")
    assert window.rebuild_from == AS_OF + timedelta(days=1)
    assert not window.nothing


def test_an_earlier_as_of_is_built_from_the_day_after_it() -> None:
    earlier = {key: known for key, known in SELECTED.items() if key[1] is None or key[1] <= DAYS[9]}
    assert decide_window(DAYS[9], earlier, built(), "p").rebuild_from == DAYS[10]


def test_a_build_nobody_published_is_never_taken_for_done() -> None:
    window = decide_window(AS_OF, SELECTED, built(clean=False), "p")
    assert not window.nothing
    assert window.rebuild_from == AS_OF + timedelta(days=1)


def test_an_added_product_counts_from_its_declared_launch() -> None:
    window = decide_window(AS_OF, SELECTED, built(first_new_launch=DAYS[7]), "p")
    assert (window.rebuild_from, window.everything) == (DAYS[7], False)
    planned = decide_window(AS_OF, SELECTED, built(first_new_launch=AS_OF + timedelta(days=9)), "p")
    assert planned.nothing


def test_another_version_of_a_state_table_renews_the_dimensions_only() -> None:
    window = decide_window(AS_OF, SELECTED | {("products", None): AS_OF}, built(), "p")
    assert not window.nothing
    assert window.rebuild_from == AS_OF + timedelta(days=1)


@pytest.mark.parametrize(
    ("held", "project", "force", "reason"),
    [
        (None, "p", False, "no warehouse"),
        (built(), "q", False, "dbt project changed"),
        (built(), "p", True, "force"),
        (built(clean=False, partitions={}), "p", False, "no build was ever published"),
        (built(products_rewritten=2), "p", False, "2 products changed"),
        (built(available=frozenset({"order_lines", "products", "exposures"})), "p", False, "available: exposures"),
    ],
)
def test_everything_is_built_anew_when(held: Built | None, project: str, force: bool, reason: str) -> None:
    window = decide_window(AS_OF, SELECTED, held, project, force)
    assert window.everything
    assert window.rebuild_from == DAYS[0]
    assert reason in window.reasons[0]


def test_preparing_a_source_that_never_landed_names_the_step_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLDFRAME_HOME", str(tmp_path))
    get_settings.cache_clear()
    with pytest.raises(NotAvailableError, match=r"Nothing of shop has landed up to 2017-09-30.*coldframe land"):
        transform.prepare(Request(source="shop", as_of=AS_OF))
    assert not Workspace(tmp_path, "shop").warehouse_file.exists()
    get_settings.cache_clear()


def test_a_warehouse_without_marts_is_not_published() -> None:
    with duckdb.connect() as connection, pytest.raises(NotAvailableError, match="holds no marts yet"):
        transform.require_built(connection)


def test_a_build_of_another_day_is_not_published() -> None:
    with duckdb.connect() as connection:
        connection.execute("create schema landed")
        connection.execute(
            "create table landed.run_window as select 'shop' as source, date '2017-09-29' as as_of, true as finished"
        )
        with pytest.raises(NotAvailableError, match="is as of 2017-09-29, not 2017-09-30"):
            transform.require_built(connection, AS_OF)


def test_a_warehouse_that_is_not_duckdb_has_no_profile_yet(tmp_path: Path) -> None:
    settings = load(home=tmp_path, warehouse_url="postgresql://localhost/shop")
    with pytest.raises(ConfigurationError, match="profile for DuckDB only"):
        transform.dbt_env(Workspace(tmp_path, "shop"), settings)


def test_the_manifest_is_parsed_again_only_when_the_project_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load(home=tmp_path)
    assert "model.coldframe.dim_product" in transform.manifest(settings)["nodes"]
    first = transform.manifest_path(settings).stat().st_mtime_ns
    transform.manifest(settings)
    assert transform.manifest_path(settings).stat().st_mtime_ns == first
    monkeypatch.setattr(transform, "project_hash", lambda: "another")
    transform.manifest(settings)
    assert transform.manifest_path(settings).stat().st_mtime_ns > first
