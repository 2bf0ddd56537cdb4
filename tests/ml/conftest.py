"""An installation whose MLflow database is made once for all tests: making it takes a second or two."""

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def mlflow_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mlflow") / "mlflow.sqlite"


@pytest.fixture
def shared_mlflow(installation: Callable[..., Path], mlflow_file: Path) -> Callable[[], Path]:
    """Gives the test a COLDFRAME_HOME of its own; sources in it must have names of their own."""

    def configure() -> Path:
        return installation(mlflow_url=f"sqlite:///{mlflow_file}")

    return configure
