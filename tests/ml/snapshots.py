"""A published snapshot written by hand, for rooms that only read one."""

import json
from datetime import date
from pathlib import Path

import duckdb
import pandas as pd

from coldframe.snapshots import MANIFEST, Snapshot


def write_snapshot(folder: Path, as_of: date, **tables: pd.DataFrame) -> Snapshot:
    """A snapshot of `tables` (name: rows); columns called ``gmv`` or ``net_amount`` are written as money."""
    entries = {}
    for name, rows in tables.items():
        (folder / name).mkdir(parents=True)
        file = folder / name / "all.parquet"
        with duckdb.connect() as connection:
            connection.register("rows", rows)
            money = [c for c in rows.columns if c in ("gmv", "net_amount")]
            replaced = f" replace ({', '.join(f'{c}::decimal(18, 2) as {c}' for c in money)})" if money else ""
            connection.execute(f"copy (select *{replaced} from rows) to '{file}' (format parquet)")
        entries[name] = {"rows": len(rows), "files": [{"path": f"{name}/all.parquet"}]}
    (folder / MANIFEST).write_text(json.dumps({"as_of": as_of.isoformat(), "tables": entries}))
    return Snapshot(id=folder.name, path=folder)
