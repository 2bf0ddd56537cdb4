"""Seconds and peak memory of each step of the demo, from nothing and again unchanged (`python -m benchmarks.steps`)."""

import json
import os
import subprocess
import sys
import tempfile
import time

from coldframe.run import STEPS

AS_OF = "2017-09-30"
CODE = """
import json
import sys
from coldframe.execution import execute
from coldframe.run import parse_request
execute(sys.argv[1], parse_request(json.loads(sys.argv[2])))
"""


def measure(step: str, home: str, **request: str) -> tuple[float, float]:
    """Wall seconds and peak resident MB of one step in a process of its own (the largest process counts)."""
    began = time.perf_counter()
    command = [sys.executable, "-c", CODE, step, json.dumps(request)]
    # DuckDB takes `python -c` for somebody at a terminal and draws progress bars.
    process = subprocess.Popen(command, env=os.environ | {"COLDFRAME_HOME": home}, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{step} failed with status {status}")
    scale = 1 if sys.platform == "darwin" else 1024
    return time.perf_counter() - began, usage.ru_maxrss * scale / 1e6


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        request = {"source": "complete_journey", "as_of": AS_OF}
        first = {step: measure(step, home, **request) for step in STEPS}
        again = {step: measure(step, home, **request) for step in STEPS}
    print("| step | from nothing, s | peak MB | again unchanged, s |\n|---|---:|---:|---:|")
    for step in STEPS:
        print(f"| {step} | {first[step][0]:.1f} | {first[step][1]:.0f} | {again[step][0]:.1f} |")
    print(f"| **all** | {sum(t for t, _ in first.values()):.1f} | | {sum(t for t, _ in again.values()):.1f} |")


if __name__ == "__main__":
    main()
