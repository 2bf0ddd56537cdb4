"""What day N+1 costs at 1x and 4x history (`python -m benchmarks.one_more_day`).

Complete Journey is landed up to 68 days and up to 272 days (4x); then one more day is landed, transformed and
published the way the `daily` DAG does (a week back for late corrections), three times in each home, interleaved.
Reported: medians and their ratio; target at most 1.3.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date, timedelta

FIRST = date(2017, 1, 1)
HISTORIES = {"1x": 68, "4x": 272}
MORE_DAYS = 3
STEPS = ("land", "transform", "publish")
CODE = """
import sys, time
from datetime import date
from coldframe.execution import execute
from coldframe.landed import catch_up
from coldframe.paths import workspace
from coldframe.run import Request
as_of = date.fromisoformat(sys.argv[1])
start = catch_up(workspace("complete_journey"), as_of)
for step in sys.argv[2:]:
    began = time.perf_counter()
    execute(step, Request(source="complete_journey", as_of=as_of, start=start))
    print("seconds", step, time.perf_counter() - began)
"""


def run(home: str, as_of: date) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-c", CODE, as_of.isoformat(), *STEPS],
        env=os.environ | {"COLDFRAME_HOME": home},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    rows = [line.split() for line in done.stdout.splitlines() if line.startswith("seconds ")]
    return {step: float(seconds) for _, step, seconds in rows}


def main() -> None:
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as root:
        homes = {name: f"{root}/{name}" for name in HISTORIES}
        for name, days in HISTORIES.items():
            run(homes[name], FIRST + timedelta(days=days - 1))
        seconds: dict[str, list[dict[str, float]]] = {name: [] for name in HISTORIES}
        for extra in range(MORE_DAYS):
            for name, days in HISTORIES.items():
                seconds[name].append(run(homes[name], FIRST + timedelta(days=days + extra)))
    print("| step | 1x (68 days), s | 4x (272 days), s | ratio |\n|---|---:|---:|---:|")
    totals = {name: [sum(r.values()) for r in runs] for name, runs in seconds.items()}
    for step in (*STEPS, "all"):
        one, four = (
            statistics.median(totals[n] if step == "all" else [r[step] for r in seconds[n]]) for n in HISTORIES
        )
        print(f"| {step} | {one:.2f} | {four:.2f} | {four / one:.2f} |")
    print(f"\nLanded as `daily` does. Medians of {MORE_DAYS} days each, interleaved. Target for the ratio of all: 1.3.")
    print(f"{time.perf_counter() - began:.0f} s in all", file=sys.stderr)


if __name__ == "__main__":
    main()
