"""How fast the simulated marketplace is made, in which memory, and what landing catches of a dirty one.

`python -m benchmarks.marketplace` makes all of the demo and two weeks at either end of the large size, and says what
all of it would take; `python -m benchmarks.marketplace --full-large FOLDER` makes all of it (about 10 GB).
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path

import duckdb

from coldframe.ledger import Ledger
from coldframe.paths import Workspace
from coldframe.settings import load
from marketplace.delivery import EVENTS, found_deliveries
from marketplace.parameters import compose
from marketplace.truth import caught

AS_OF = date(2024, 12, 31)
SLICE = 14


def measure(arguments: list[str]) -> tuple[float, float, float]:
    """Wall seconds, processor seconds and peak resident MB of a command of coldframe."""
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "coldframe.cli", *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"coldframe {' '.join(arguments)} failed with status {status}")
    scale = 1 if sys.platform == "darwin" else 1024
    return time.perf_counter() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * scale / 1e6


def rows(folder: Path, table: str) -> int:
    """Rows of all deliveries of a table; 0 where there are none."""
    files = [str(path) for path in (folder / table).glob("[0-9]*.parquet")]
    if not files:
        return 0
    [(found,)] = duckdb.execute("select sum(num_rows) from parquet_file_metadata($1)", [files]).fetchall()
    return int(found)


def simulate(folder: Path, size: str, first: date, last: date) -> tuple[int, int, float]:
    """Makes some days, prints a row of the table, and returns order lines, rows of all events, processor seconds."""
    span = ["--from", str(first), "--to", str(last)]
    wall, processor, memory = measure(["simulate", "--size", size, "--out", str(folder), *span])
    lines, everything = rows(folder, "order_lines"), sum(rows(folder, table) for table in EVENTS)
    print(
        f"| {size}, {first} to {last} | {lines:,} | {everything:,} | {wall:.1f} | {processor:.1f} | "
        f"{lines / processor:,.0f} | {everything / processor:,.0f} | {memory:,.0f} |",
        flush=True,
    )
    return lines, everything, processor


def quarantine(root: Path) -> None:
    """Lands a year of a dirty demo and prints what was caught, by kind."""
    folder = root / "dirty"
    made = found_deliveries(folder, compose("demo", "dirty"))
    environment = os.environ | {"COLDFRAME_HOME": str(root / "home")}
    command = [sys.executable, "-m", "coldframe.cli", "land", "--source", "marketplace", "--path", str(folder)]
    subprocess.run([*command, "--as-of", str(AS_OF)], env=environment, check=True, stdout=subprocess.DEVNULL)
    refused = Workspace(root / "home", "marketplace").quarantine / "order_lines" / f"as_of={AS_OF}.parquet"
    kinds = caught(made.folder, refused, AS_OF)
    [landed] = [
        row
        for row in Ledger.open(load(home=root / "home")).landings("marketplace", AS_OF)
        if row.table == "order_lines"
    ]
    print("| kind | dirty lines | in quarantine | recall |\n|---|---:|---:|---:|")
    for kind, row in kinds.iterrows():
        print(f"| {kind} | {row['dirty']:,.0f} | {row['quarantined']:,.0f} | {row['recall']:.3f} |")
    print(
        f"\nOf {landed.read:,} order lines up to {AS_OF}, {landed.quarantined:,} are in quarantine; "
        f"{kinds.attrs['precision']:.4f} of these are dirty (precision). No check of a row can see lines that are "
        "late, shifted by hours, silently in another currency, or brushed: they are refused only where they have "
        "another fault as well."
    )


def main(full: Path | None) -> None:
    print(
        "| | order lines | rows of all events | s | processor s | lines / processor s | rows / processor s | peak MB |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        demo = found_deliveries(root / "demo", compose("demo"))
        simulate(demo.folder, "demo", demo.first_day, demo.last_day)
        shutil.rmtree(demo.folder)
        large = found_deliveries(full or root / "large", compose("large"))
        if full is not None:
            simulate(full, "large", large.first_day, large.last_day)
        else:
            early = simulate(large.folder, "large", large.first_day, large.first_day + timedelta(days=SLICE - 1))
            shutil.rmtree(large.folder)
            # A quarter before the end: no double day, and customers near their most.
            middle = large.last_day - timedelta(days=103)
            late = simulate(large.folder, "large", middle, middle + timedelta(days=SLICE - 1))
            size = sum(path.stat().st_size for path in large.folder.rglob("*.parquet"))
            share = large.parameters.scale.days / SLICE / 2
            lines, minutes = (early[0] + late[0]) * share / 1e6, (early[2] + late[2]) * share / 60
            print(
                f"\nAll of large: {lines:,.0f} M order lines, {minutes:,.0f} minutes of one processor, "
                f"{size * share * 2 / 1e9:,.0f} GB. That is extrapolated from both fortnights and not measured "
                "(`--full-large FOLDER` does). Both lie outside the great campaigns, and their seconds are rather too "
                "many: the later one's hold the three weeks before it, which are run through for their refunds, and "
                "the state tables are written for each.\n"
            )
        quarantine(root)


if __name__ == "__main__":
    main(Path(sys.argv[2]) if sys.argv[1:2] == ["--full-large"] else None)
