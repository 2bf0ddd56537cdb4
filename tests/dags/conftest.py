"""One reading of the DAG files, in processes of their own, and one Airflow for all tests that need a real one."""

import json
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from coldframe.orchestration import server as airflow_server
from coldframe.orchestration.server import Server
from coldframe.settings import Settings, get_settings

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def described(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any]]:
    """The DAGs as two processes with different hash seeds read them (see describe.py)."""
    describe = runpy.run_path(str(HERE / "describe.py"))
    home = tmp_path_factory.mktemp("dags")
    describe["make_manifest"](home)
    readers = [describe["in_a_process"](home, seed) for seed in (1, 2)]
    first, second = (json.loads(reader.communicate()[0].splitlines()[-1]) for reader in readers)
    return first, second


@pytest.fixture(scope="session")
def dags(described: tuple[dict[str, Any], dict[str, Any]]) -> dict[str, Any]:
    """Each DAG's serialised form by id."""
    return {dag_id: serialised["dag"] for dag_id, serialised in described[0]["serialised"].items()}


@pytest.fixture(scope="session")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Settings]]:
    """A real Airflow in an installation of its own."""
    home = tmp_path_factory.mktemp("live")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLDFRAME_HOME", str(home))
        patch.chdir(home)
        get_settings.cache_clear()
        settings = get_settings()
        server = airflow_server.start(settings)
        yield server, settings
        if airflow_server.running(settings):
            airflow_server.stop(server, settings)
    get_settings.cache_clear()
