"""The launch score against the obvious rule, on launches neither had seen (`python -m benchmarks.launch_score`).

Trains on Complete Journey as of 2017-09-30 in a home of its own and prints the release's own validation, then draws its
calibration curve into docs/images/.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from coldframe.paths import Workspace
from coldframe.run import STEPS
from coldframe.settings import PROJECT_ROOT
from ml.growth.data import QUARTER
from ml.registry import Registry

SOURCE, AS_OF = "complete_journey", "2017-09-30"
CODE = """
import sys
from coldframe.execution import execute
from coldframe.run import parse_request
for step in sys.argv[3:]:
    execute(step, parse_request({"source": sys.argv[1], "as_of": sys.argv[2]}))
"""
NEEDED = tuple(step for step in STEPS[: STEPS.index("growth") + 1] if step != "forecast")


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        command = [sys.executable, "-c", CODE, SOURCE, AS_OF, *NEEDED]
        environment = os.environ | {"COLDFRAME_HOME": home}
        subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
        (release,) = Registry(Workspace(Path(home), SOURCE)).releases("growth")
        measures, calibration = release.table("measures"), release.table("calibration")
        weeks = release.table("validation", ["scored_week"])["scored_week"].nunique()
        picture = release.artefact("calibration.png")
    first = measures.iloc[0]
    base = first["bestsellers"] / first["launches"]
    print(
        f"{first['launches']:,} launches of {weeks} validation weeks, {first['bestsellers']:,} of them bestsellers of "
        f"the quarter that followed ({base:.1%}). A method had learned only from launches whose quarter was over "
        f"{QUARTER} weeks before. Precision at k: of the k best scored of a week, the share that became bestsellers.\n"
    )
    print(
        "| method | average precision | gain on the rule, 80 % bounds | precision at 20 | at 50 | at 100 | Brier | "
        "log loss | log loss of the base rate |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|"
    )
    for row in measures.to_dict("records"):
        gain = "–" if row["method"] == "rule" else f"{row['ap_gain_low']:+.3f} … {row['ap_gain_high']:+.3f}"
        depths = " | ".join(f"{row[f'precision_at_{k}']:.2f}" for k in (20, 50, 100))
        print(
            f"| {row['method']} | {row['average_precision']:.3f} | {gain} | {depths} | {row['brier']:.4f} | "
            f"{row['log_loss']:.4f} | {row['base_log_loss']:.4f} |"
        )
    print("\nCalibration of the method that serves, tenths of launches by chance:\n")
    print("| launches | promised | came true |\n|---:|---:|---:|")
    for row in calibration.to_dict("records"):
        print(f"| {row['launches']:,} | {row['chance']:.2%} | {row['observed']:.2%} |")
    (PROJECT_ROOT / "docs" / "images" / "launch-calibration.png").write_bytes(picture)


if __name__ == "__main__":
    main()
