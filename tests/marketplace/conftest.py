"""A marketplace of the size for tests, generated once."""

import hashlib
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from marketplace.delivery import Deliveries, found_deliveries
from marketplace.parameters import Parameters, compose

FIRST, LAST = date(2024, 1, 1), date(2024, 2, 29)


def deliver(folder: Path, parameters: Parameters, *spans: tuple[date | None, date]) -> Deliveries:
    """Generates some spans of days, one after the other."""
    made = found_deliveries(folder, parameters)
    for first, last in spans:
        # A new object each time, as another process would have.
        found_deliveries(folder, parameters).generate(first, last)
    return made


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of each Parquet file below `folder`."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*.parquet"))
    }


@pytest.fixture(scope="session")
def tiny() -> Parameters:
    return compose("tiny")


@pytest.fixture(scope="session")
def two_months(tmp_path_factory: pytest.TempPathFactory, tiny: Parameters) -> Iterator[Deliveries]:
    """January and February 2024, generated at once."""
    yield deliver(tmp_path_factory.mktemp("market") / "both", tiny, (None, LAST))
