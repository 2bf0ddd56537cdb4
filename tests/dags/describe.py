"""What the DAGs are, as JSON: graph, schedules, assets, serialised form, and which modules reading the files imported.

A process of its own, so that hash seed and imported modules are its own. `python tests/dags/describe.py --write` renews
structure.json, whose diff is what a reviewer of a changed graph reads.
"""

import json
import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
STRUCTURE = Path(__file__).with_name("structure.json")


def schedule(given: Any) -> Any:
    if given is None or isinstance(given, str):
        return given
    condition = given.asset_condition
    assets = getattr(condition, "objects", [condition])
    return {type(condition).__name__: sorted(asset.name for asset in assets)}


def graph(dag: Any) -> dict[str, Any]:
    return {
        "schedule": schedule(dag.schedule),
        "starts_paused": bool(dag.is_paused_upon_creation),
        "params": sorted(dag.params),
        "tasks": {
            task.task_id: {
                "after": sorted(task.upstream_task_ids),
                "pool": task.pool,
                "emits": sorted(asset.name for asset in task.outlets),
                "trigger_rule": task.trigger_rule.value,
            }
            for task in sorted(dag.tasks, key=lambda task: task.task_id)
        },
    }


def describe() -> dict[str, Any]:
    before = set(sys.modules)
    for file in sorted((ROOT / "dags").glob("*.py")):
        runpy.run_path(str(file))
    imported = sorted({name.split(".")[0] for name in set(sys.modules) - before})
    from airflow.dag_processing.dagbag import DagBag
    from airflow.serialization.serialized_objects import DagSerialization

    bag = DagBag(ROOT / "dags")
    return {
        "errors": bag.import_errors,
        "structure": {dag_id: graph(dag) for dag_id, dag in sorted(bag.dags.items())},
        "serialised": {dag_id: DagSerialization.to_dict(dag) for dag_id, dag in sorted(bag.dags.items())},
        "imported": imported,
    }


def in_a_process(home: Path, hash_seed: int) -> subprocess.Popen[str]:
    """The same, elsewhere: JSON on the last line of its output. `home` is COLDFRAME_HOME and has the manifest."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("COLDFRAME_", "AIRFLOW__"))} | {
        "AIRFLOW_HOME": str(home / "airflow"),
        "COLDFRAME_HOME": str(home),
        "PYTHONHASHSEED": str(hash_seed),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__COSMOS__ENABLE_TELEMETRY": "False",
    }
    return subprocess.Popen([sys.executable, __file__], env=env, cwd=home, stdout=subprocess.PIPE, text=True)


def make_manifest(home: Path) -> None:
    code = "from coldframe.transform import manifest; manifest()"
    subprocess.run([sys.executable, "-c", code], env=os.environ | {"COLDFRAME_HOME": str(home)}, cwd=home, check=True)


def main(arguments: list[str]) -> None:
    if "--write" not in arguments:
        print(json.dumps(describe()))
        return
    with tempfile.TemporaryDirectory() as home:
        make_manifest(Path(home))
        output, _ = in_a_process(Path(home), 0).communicate()
    structure = json.loads(output.splitlines()[-1])["structure"]
    STRUCTURE.write_text(json.dumps(structure, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
