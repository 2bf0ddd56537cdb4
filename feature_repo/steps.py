"""Step `materialize`: the last complete week's features of the current snapshot go online, whole or not at all.

Everything is written beside the store that serves, compared with the snapshot, and only then copied over it in one
transaction. So a look-up never meets half a week, nor the row of a product that has none any more, and a run killed
anywhere changes nothing. When this is wrong, models are served other numbers than they were trained on.
"""

import hashlib
import io
import json
import shutil
import sqlite3
from contextlib import closing, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from coldframe import snapshots
from coldframe.errors import ColdframeError
from coldframe.paths import Workspace, workspace
from coldframe.run import Request, StepResult
from coldframe.snapshots import Snapshot
from feature_repo.store import ONLINE, REGISTRY, open_store, write_yaml

if TYPE_CHECKING:
    from feast import FeatureStore

    from feature_repo.definitions import View

MARKER = "materialized.json"
SAMPLE = 20
WEEK = timedelta(days=7)


@dataclass(frozen=True)
class Window:
    """Feature rows with start <= event_timestamp <= end go online."""

    start: datetime
    end: datetime

    @property
    def where(self) -> str:
        return f"event_timestamp between timestamp '{self.start:%F %T}' and timestamp '{self.end:%F %T}'"


def window(as_of: date) -> Window:
    """The seven days up to the end of `as_of`: exactly one of them ends a week, so exactly one week goes online.

    Both ends count for Feast, so the window begins a second late. It depends on nothing but `as_of`; Feast's own
    incremental window would go on from wherever the last one ended, and skip what was corrected.
    """
    end = datetime.combine(as_of + timedelta(days=1), time(), UTC)
    return Window(end - WEEK + timedelta(seconds=1), end)


def materialize(request: Request) -> StepResult:
    """Puts the current snapshot's latest features online, unless they already are.

    Raises NotAvailableError before the first snapshot, and ColdframeError when what was written differs from the
    snapshot; the features online before stay.
    """
    where = workspace(request.source)
    snapshot = snapshots.current(where)
    wanted = {"snapshot": snapshot.id, "definitions": _definitions_hash()}
    marker = where.features / MARKER
    if not request.force and marker.is_file() and (where.features / ONLINE).is_file():
        online: dict[str, Any] = json.loads(marker.read_text())
        if wanted.items() <= online.items():
            return _result(online, where, reused=True)
    scratch = where.scratch / "features"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    online = wanted | _write(where, snapshot, scratch)
    where.features.mkdir(parents=True, exist_ok=True)
    marker.unlink(missing_ok=True)
    _replace(scratch / ONLINE, where.features / ONLINE)
    (scratch / REGISTRY).replace(where.features / REGISTRY)
    write_yaml(where)
    # Last: a run that was killed before this line materializes again.
    _write_text(marker, json.dumps(online, indent=1))
    shutil.rmtree(scratch)
    return _result(online, where, reused=False)


def _definitions_hash() -> str:
    digest = hashlib.sha256(version("feast").encode())
    for name in ("decisions.py", "definitions.py", "store.py", "steps.py"):
        digest.update((Path(__file__).parent / name).read_bytes())
    return digest.hexdigest()[:12]


def _write(where: Workspace, snapshot: Snapshot, folder: Path) -> dict[str, Any]:
    """A new store in `folder` with the snapshot's latest week; returns rows and freshness of each view."""
    from feast import Entity

    from feature_repo import decisions
    from feature_repo.definitions import VIEWS, definitions

    store = open_store(where, folder)
    registered = definitions(snapshot)
    product = next(one for one in registered if isinstance(one, Entity) and one.name == "product")
    store.apply([*registered, *decisions.definitions(where, product)])
    with closing(sqlite3.connect(folder / ONLINE)) as connection, connection:
        # Feast indexes entity_key, with which the primary key begins anyway: a third of the writing for nothing.
        indices = "select name from sqlite_master where type = 'index' and sql is not null"
        for (index,) in connection.execute(indices).fetchall():
            connection.execute(f'drop index "{index}"')
    limits = window(snapshot.as_of)
    # Feast prints in colour as it goes; what it did is checked and told by this step.
    with redirect_stdout(io.StringIO()):
        store.materialize(limits.start, limits.end)
    rows = {view.name: _verify(store, view, snapshot, limits, folder) for view in VIEWS if view.online}
    fresh = snapshot.query(f"select max(event_timestamp)::date::varchar from {VIEWS[0].table} where {limits.where}")
    return {
        "as_of": snapshot.as_of.isoformat(),
        "window": f"{limits.start:%F %T}..{limits.end:%F %T}",
        "rows": rows,
        "fresh_until": _plain(fresh.iloc[:, 0])[0],
    }


def _verify(store: "FeatureStore", view: "View", snapshot: Snapshot, limits: Window, folder: Path) -> int:
    """Compares all rows by number and a sample by value. Returns the number; raises ColdframeError."""
    [expected] = snapshot.query(f"select count(distinct {view.key}) from {view.table} where {limits.where}").iloc[0]
    with closing(sqlite3.connect(folder / ONLINE)) as connection:
        table = f'"{store.project}_{view.name}"'
        [(written,)] = connection.execute(f"select count(distinct entity_key) from {table}").fetchall()
    if written != expected:
        raise ColdframeError(
            f"{view.name}: {written} rows went online, {view.table} of snapshot {snapshot.id} has {expected} in "
            f"{limits.where}. The features online before stay. Run `coldframe materialize` again."
        )
    sample = snapshot.query(
        f"""
        select * exclude (event_timestamp, created_timestamp) from {view.table} where {limits.where}
        qualify row_number() over (
            partition by {view.key} order by event_timestamp desc, created_timestamp desc
        ) = 1
        order by hash({view.key}) limit {SAMPLE}
        """
    )
    if sample.empty:
        return 0
    names = [c for c in sample.columns if c != view.key]
    online = store.get_online_features(
        features=[f"{view.name}:{name}" for name in names],
        entity_rows=[{view.key: key} for key in sample[view.key]],
    ).to_df()
    different = [name for name in names if _plain(online[name]) != _plain(sample[name])]
    if different:
        raise ColdframeError(
            f"{view.name}: {len(different)} features of {len(sample)} sampled rows differ online from {view.table} of "
            f"snapshot {snapshot.id}: {', '.join(different)}. The features online before stay."
        )
    return int(written)


def _plain(column: "pd.Series[Any]") -> list[Any]:
    return [None if pd.isna(value) else value for value in column]


def _replace(new: Path, old: Path) -> None:
    # SQLite's own backup: one transaction on the file that a running server holds open. Killed in the middle, the
    # next to open it rolls back.
    with closing(sqlite3.connect(new)) as source, closing(sqlite3.connect(old)) as target:
        source.backup(target)


def _write_text(path: Path, text: str) -> None:
    scratch = path.with_suffix(".new")
    scratch.write_text(text)
    scratch.replace(path)


def _result(online: dict[str, Any], where: Workspace, reused: bool) -> StepResult:
    rows = sum(online["rows"].values())
    fresh = online["fresh_until"]
    lag = (date.fromisoformat(online["as_of"]) - date.fromisoformat(fresh)).days + 1 if fresh else None
    return StepResult(
        step="materialize",
        summary=f"{rows} feature rows of snapshot {online['snapshot']} {'are already' if reused else 'are now'} online",
        reused=reused,
        warnings=() if fresh else ("No product has features yet: the source has no complete week.",),
        facts={**online["rows"], "window": online["window"], "fresh_until": fresh, "days_old": lag},
        links={"online_store": str(where.features / ONLINE)},
    )
