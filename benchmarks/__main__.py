"""Runs every benchmark and writes what it printed to docs/benchmarks/: `python -m benchmarks [name …]`."""

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from coldframe.settings import PROJECT_ROOT

NAMES = (
    "steps",
    "orchestration",
    "one_more_day",
    "forecasting.weekly",
    "forecasting.m5",
    "forecasting.categories",
    "forecasting.gift_shop",
    "forecasting.speed",
    "assortment.season",
    "assortment.optimiser",
    "assortment.depth",
    "assortment.substitution",
    "incubation.launches",
    "incubation.exposure",
    "incubation.ladder",
    "incubation.brushing",
    "incubation.scale",
    "incubation.open_bandit",
    "stock_outs",
    "sources",
    "marketplace",
    "realism",
)
FOLDER = PROJECT_ROOT / "docs" / "benchmarks"


def machine() -> str:
    """The machine in words: what a reader needs to judge the seconds below it."""
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def main(names: list[str]) -> int:
    unknown = sorted(set(names) - set(NAMES))
    if unknown:
        print(f"Unknown benchmark {', '.join(unknown)}. Known: {', '.join(NAMES)}.", file=sys.stderr)
        return 2
    FOLDER.mkdir(exist_ok=True)
    failed = 0
    for name in names or NAMES:
        print(f"== {name}", flush=True)
        done = subprocess.run(
            [sys.executable, "-m", f"benchmarks.{name}"],
            cwd=PROJECT_ROOT,
            text=True,
            stdout=subprocess.PIPE,
            check=False,
        )
        print(done.stdout, flush=True)
        if done.returncode:
            failed += 1
            continue
        head = f"`python -m benchmarks {name}` · {datetime.now(UTC).date()} · {machine()}\n\n"
        Path(FOLDER / f"{name}.md").write_text(head + done.stdout)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
