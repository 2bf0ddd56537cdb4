"""A small shop that was landed, built and published once, copied for each test that tampers with it."""

import os
import re
import shutil
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from unittest import mock

import duckdb
import pandas as pd
import pytest

from coldframe import landed, snapshots
from coldframe.errors import GateError
from coldframe.execution import execute
from coldframe.paths import Workspace
from coldframe.run import Request, StepResult
from coldframe.settings import get_settings
from quality.steps import audit_landed, publish

SOURCE = "files"
AS_OF = date(2024, 5, 5)
"""A Sunday, so that the last seven days and the last complete week are the same."""
WEEK = AS_OF - timedelta(days=6)
HISTORY = 70


class House:
    """One installation. `stops` and `warns` say what became of a step after somebody tampered with what it judges."""

    as_of, week, source = AS_OF, WEEK, SOURCE
    known = AS_OF + timedelta(days=1)
    """The `event_timestamp` of the last complete week's features."""

    def __init__(self, home: Path) -> None:
        self.workspace = Workspace(home, SOURCE)

    def request(self, **more: object) -> Request:
        return Request.model_validate({"source": SOURCE, "as_of": AS_OF, **more})

    def land(self, table: str, sql: str, since: date | None = None) -> None:
        """Replaces what landed (from the day `since` on) by `sql` over it, which calls it `landed`."""
        with duckdb.connect() as connection:
            for partition in landed.visible(self.workspace, table, AS_OF):
                if since and partition.day and partition.day < since:
                    continue
                changed = partition.path.with_suffix(".changed")
                read = f"read_parquet('{partition.path}', hive_partitioning = false)"
                connection.execute(f"copy (with landed as (from {read}) {sql}) to '{changed}' (format parquet)")
                changed.replace(partition.path)

    def drop(self, table: str, since: date) -> None:
        for partition in landed.visible(self.workspace, table, AS_OF):
            if partition.day and partition.day >= since:
                partition.path.unlink()

    def tamper(self, *statements: str) -> None:
        """Changes the marts as a wrong model would have."""
        with duckdb.connect(str(self.workspace.warehouse_file)) as connection:
            connection.execute("use marts")
            for statement in statements:
                connection.execute(statement)

    def unconstrained(self, table: str) -> None:
        """Takes away what dbt's contract forbids in a mart, so that only the gate is left to notice."""
        self.tamper(f"create table bare as from {table}", f"drop table {table}", f"alter table bare rename to {table}")

    def query(self, sql: str) -> list[tuple]:
        with duckdb.connect(str(self.workspace.warehouse_file), read_only=True) as connection:
            return connection.execute(sql).fetchall()

    def published(self) -> tuple[str, list[str]]:
        """The current snapshot and everything that lies beside it."""
        current = snapshots.current(self.workspace)
        current.verify()
        scratch = self.workspace.scratch.rglob("*.parquet")
        return current.id, sorted(p.name for p in [*self.workspace.snapshots.iterdir(), *scratch])

    def stops(self, step: str, rule: str) -> str:
        """The refusal's text. The step must name the rule as critical and leave everything as it was."""
        before = self.published()
        with pytest.raises(GateError) as refusal:
            self.run(step)
        message = str(refusal.value)
        assert f"  - {rule} is " in message, message
        assert self.published() == before
        [docs] = re.findall("Data Docs: (.*)", message)
        assert Path(docs).is_file()
        return message

    def warns(self, step: str, *rules: str) -> str:
        """The warnings' text. The step must pass, warn of these rules and of nothing else."""
        result = self.run(step)
        assert [w.split(" is ")[0] for w in result.warnings] == list(rules)
        assert Path(result.links["data_docs"]).is_file()
        return "\n".join(result.warnings)

    def run(self, step: str) -> StepResult:
        return {"audit_landed": audit_landed, "publish": publish}[step](self.request())


def write_shop(tiny_shop: Path, folder: Path) -> None:
    """Ten weeks of the tiny shop with twice the orders, and with a feed that an audit expects to be steady."""
    shutil.copytree(tiny_shop, folder)
    lines = pd.read_csv(folder / "order_lines.csv", dtype=str)
    first = AS_OF - timedelta(days=HISTORY - 1)
    lines = lines[lines.ordered_at.between(str(first), str(AS_OF + timedelta(days=1)))]
    # Every order twice: a single day needs more than fifty before it is judged.
    pd.concat([lines, lines.assign(order_id=lines.order_id + "b")]).to_csv(folder / "order_lines.csv", index=False)
    days = [first + timedelta(days=d) for d in range(HISTORY)]
    pd.DataFrame({"date": days, "product_id": "p01", "region": "north", "placement": "home", "share": 0.5}).to_csv(
        folder / "exposures.csv", index=False
    )


@pytest.fixture(scope="session")
def healthy(tiny_shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of the shop with nothing wrong; nobody may change it."""
    root = tmp_path_factory.mktemp("healthy")
    write_shop(tiny_shop, root / "delivery")
    request = Request(source=SOURCE, as_of=AS_OF, path=root / "delivery")
    with mock.patch.dict(os.environ, {"COLDFRAME_HOME": str(root / "home")}):
        get_settings.cache_clear()
        for step in ("land", "audit_landed", "transform", "publish"):
            result = execute(step, request)
            assert result.warnings == (), result
    get_settings.cache_clear()
    return root / "home"


@pytest.fixture
def house(healthy: Path, installation: Callable[..., Path]) -> House:
    home = installation()
    shutil.copytree(healthy, home, symlinks=True)
    return House(home)
