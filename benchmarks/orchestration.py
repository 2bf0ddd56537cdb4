"""What Airflow costs: wall of the whole way in it over wall of `coldframe run` (`python -m benchmarks.orchestration`).

Both from nothing, in homes of their own, alternating; Airflow is healthy before its clock starts, because it stays up
between runs. Then the same again with nothing changed, where all that is left is overhead.
"""

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ARGUMENTS = ("--source", "complete_journey", "--as-of", "2017-09-30")
PAIRS = 2
WALL = re.compile(r"From raw rows to both plans: (\d+) s")


def coldframe(home: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "coldframe.cli", *arguments],
        env=os.environ | {"COLDFRAME_HOME": home},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def plain(home: str) -> float:
    """Seconds of `coldframe run`, the start of Python included."""
    began = time.perf_counter()
    process = coldframe(home, "run", *ARGUMENTS)
    output, _ = process.communicate()
    if process.returncode:
        raise SystemExit(output)
    return time.perf_counter() - began


def in_airflow(home: str) -> float:
    """Seconds from the trigger to the last plan, as the demo says them; stops Airflow afterwards."""
    process = coldframe(home, "demo", *ARGUMENTS)
    lines = []
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line)
        if line.startswith("Airflow stays up"):
            process.terminate()
    process.wait()
    found = WALL.search("".join(lines))
    if found is None:
        raise SystemExit("".join(lines[-40:]))
    return float(found.group(1))


def main() -> None:
    seconds: dict[tuple[str, str], list[float]] = {}
    for pair in range(PAIRS):
        with tempfile.TemporaryDirectory() as root:
            for what in ("from nothing", "again unchanged"):
                seconds.setdefault((what, "run"), []).append(plain(str(Path(root) / "run")))
                seconds.setdefault((what, "airflow"), []).append(in_airflow(str(Path(root) / "airflow")))
        print(f"pair {pair + 1} of {PAIRS} done", file=sys.stderr)
    print("| | `coldframe run`, s | Airflow, s | ratio | difference, s |\n|---|---:|---:|---:|---:|")
    for what in ("from nothing", "again unchanged"):
        run, airflow = (statistics.median(seconds[what, how]) for how in ("run", "airflow"))
        print(f"| {what} | {run:.0f} | {airflow:.0f} | {airflow / run:.2f} | {airflow - run:+.0f} |")
    print(f"\nMedians of {PAIRS} pairs, alternating; target for the ratio from nothing: at most 1.5.")


if __name__ == "__main__":
    main()
