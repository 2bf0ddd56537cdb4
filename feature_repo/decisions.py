"""What was decided of each launch for tomorrow, online: its stage, its score and its share of the exposure.

A plan is put online when it is decided, and again whenever somebody settles it, with its status beside it: whoever
serves traffic follows rows whose `status` is published, and nothing else. When this is wrong, traffic follows a plan
that nobody approved, or yesterday's.
"""

import io
import shutil
import sqlite3
from contextlib import closing, redirect_stdout
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from coldframe.errors import ColdframeError
from coldframe.files import whole
from coldframe.ledger import Ledger, Plan
from coldframe.paths import Workspace, workspace
from feature_repo.store import ONLINE, REGISTRY, open_store

if TYPE_CHECKING:
    from feast import Entity
    from feast.feast_object import FeastObject

KIND = "incubation"
VIEW = "incubation"
SERVICE = "incubation_v1"
FEATURES: dict[str, pa.DataType] = {
    "plan_id": pa.string(),
    "status": pa.string(),
    "valid_on": pa.string(),
    "stage": pa.string(),
    "chance": pa.float64(),
    "chance_low": pa.float64(),
    "chance_high": pa.float64(),
    "share": pa.float64(),
    "impressions": pa.int64(),
}
SCHEMA = pa.schema(
    {"product_id": pa.string()}
    | FEATURES
    | {"event_timestamp": pa.timestamp("us"), "created_timestamp": pa.timestamp("us")}
)


def definitions(where: Workspace, product: "Entity") -> list["FeastObject"]:
    """The view of the newest plan's rows and its service. The rows need not be there yet."""
    from feast import FeatureService, FeatureView, Field, FileSource

    from feature_repo.definitions import CREATED, EVENT, TYPES

    table = _table(where)
    if not table.is_file():
        _write(table, {name: [] for name in SCHEMA.names})
    source = FileSource(name=VIEW, path=str(table), timestamp_field=EVENT, created_timestamp_column=CREATED)
    named = {"product_id": pa.string()} | FEATURES
    view = FeatureView(
        name=VIEW,
        description="A launch as the newest incubation plan has it.",
        entities=[product],
        ttl=timedelta(weeks=1),
        schema=[Field(name=name, dtype=TYPES[str(kind)]) for name, kind in named.items()],
        source=source,
    )
    return [view, FeatureService(name=SERVICE, features=[view])]


def push_plan(plan_id: str) -> str:
    """Puts the lines of an incubation plan online, all of them and no other's. Returns a sentence that says what was
    done.

    A plan for an earlier day than the one online is left aside, and so is a draft for a day whose published plan is
    online. Before the first `materialize` the rows are kept for it.
    """
    plan = Ledger.open().plan(plan_id)
    where = workspace(plan.source)
    table = _table(where)
    if stays := _stays(table, plan):
        return stays
    rows = _rows(plan)
    table.parent.mkdir(parents=True, exist_ok=True)
    _write(table, rows)
    if not _is_online(where):
        return "nothing is online yet; `coldframe materialize` puts stages and shares there as well"
    count = len(rows["product_id"])
    _replace(where, plan, count)
    return f"{count:,} stages and shares of plan {plan.plan_id} ({plan.status}) are online"


def _table(where: Workspace) -> Path:
    return where.features / "incubation.parquet"


def _stays(table: Path, plan: Plan) -> str | None:
    """Why what is online stays, if it does."""
    if not table.is_file():
        return None
    online = pq.read_table(table, columns=["plan_id", "status", "valid_on"]).slice(0, 1).to_pylist()
    if not online or online[0]["plan_id"] == plan.plan_id:
        return None
    [first] = online
    day = plan.valid_from.isoformat()
    approved = first["valid_on"] == day and (first["status"], plan.status) == ("published", "draft")
    if first["valid_on"] > day or approved:
        return f"plan {first['plan_id']} ({first['status']}, for {first['valid_on']}) stays online"
    return None


def _rows(plan: Plan) -> dict[str, list[Any]]:
    lines = Ledger.open().lines(plan.plan_id)
    end = datetime.combine(plan.as_of + timedelta(days=1), time())
    same: dict[str, Any] = {"plan_id": plan.plan_id, "status": plan.status, "valid_on": plan.valid_from.isoformat()}
    same |= {"event_timestamp": end, "created_timestamp": end}
    return {
        "product_id": [line.product_id for line in lines],
        "stage": [line.action for line in lines],
        "chance": [line.value for line in lines],
        "chance_low": [line.value_low for line in lines],
        "chance_high": [line.value_high for line in lines],
        "share": [line.quantity for line in lines],
        "impressions": [int(line.details["impressions"]) for line in lines],
        **{name: [value] * len(lines) for name, value in same.items()},
    }


def _write(table: Path, rows: dict[str, list[Any]]) -> None:
    with whole(table) as temporary:
        pq.write_table(pa.table(rows, schema=SCHEMA), temporary)


def _name(where: Workspace) -> str:
    return f'"{where.source}_{VIEW}"'


def _is_online(where: Workspace) -> bool:
    if not (where.features / REGISTRY).is_file():
        return False
    with closing(sqlite3.connect(where.features / ONLINE)) as connection:
        found = connection.execute("select 1 from sqlite_master where name = ?", [_name(where).strip('"')])
        return found.fetchone() is not None


def _replace(where: Workspace, plan: Plan, expected: int) -> None:
    """Writes the rows to a store beside the one that serves, and from there over its rows in one transaction."""
    from feast import Entity, ValueType

    folder = where.scratch / "decisions"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    store = open_store(where, folder)
    product = Entity(name="product", join_keys=["product_id"], value_type=ValueType.STRING)
    store.apply([product, *definitions(where, product)])
    end = datetime.combine(plan.as_of + timedelta(days=1), time(), UTC)
    with redirect_stdout(io.StringIO()):
        store.materialize(end - timedelta(seconds=1), end)
    name = _name(where)
    with closing(sqlite3.connect(where.features / ONLINE, isolation_level=None)) as connection:
        connection.execute("attach database ? as beside", [str(folder / ONLINE)])
        [(written,)] = connection.execute(f"select count(distinct entity_key) from beside.{name}").fetchall()
        if written != expected:
            raise ColdframeError(
                f"{written:,} of {expected:,} lines of plan {plan.plan_id} could be written; those online before stay."
            )
        connection.execute("begin immediate")
        connection.execute(f"delete from main.{name}")
        connection.execute(f"insert into main.{name} select * from beside.{name}")
        connection.execute("commit")
    shutil.rmtree(folder)
