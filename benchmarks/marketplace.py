"""How fast the simulated marketplace is made, in which memory, and what landing catches of a dirty one.

All of the large size is made, which takes a quarter of an hour and 6 GB of scratch space.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import duckdb

from coldframe.ledger import Ledger
from coldframe.paths import Workspace
from coldframe.settings import load
from marketplace.delivery import EVENTS, found_deliveries
from marketplace.parameters import compose
from marketplace.truth import caught

AS_OF = date(2024, 12, 31)


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


def simulate(folder: Path, size: str, first: date, last: date) -> None:
    """Makes some days and prints a row of the table."""
    span = ["--from", str(first), "--to", str(last)]
    wall, processor, memory = measure(["simulate", "--size", size, "--out", str(folder), *span])
    lines, everything = rows(folder, "order_lines"), sum(rows(folder, table) for table in EVENTS)
    print(
        f"| {size}, {first} to {last} | {lines:,} | {everything:,} | {wall:.1f} | {processor:.1f} | "
        f"{lines / processor:,.0f} | {everything / processor:,.0f} | {memory:,.0f} |",
        flush=True,
    )


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


def main() -> None:
    print(
        "| | order lines | rows of all events | s | processor s | lines / processor s | rows / processor s | peak MB |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        demo = found_deliveries(root / "demo", compose("demo"))
        simulate(demo.folder, "demo", demo.first_day, demo.last_day)
        shutil.rmtree(demo.folder)
        large = found_deliveries(root / "large", compose("large"))
        simulate(large.folder, "large", large.first_day, large.last_day)
        shutil.rmtree(large.folder)
        print()
        quarantine(root)


if __name__ == "__main__":
    main()
