"""`coldframe demo`: one request through Airflow from raw rows to both plans, told step by step, then the UI stays up.

It is the first thing a newcomer sees. When this is wrong, a failed step looks like a slow one.
"""

import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text
from typer.exceptions import Exit

from coldframe import errors
from coldframe.errors import ColdframeError
from coldframe.ledger import Ledger
from coldframe.orchestration.client import AirflowClient
from coldframe.orchestration.server import USERNAME, Server, kept, watch
from coldframe.review import open_console, show_plan
from coldframe.run import STEPS, Request, find_service
from coldframe.settings import Settings, get_settings

# Where each step happens: DAG and task; dbt is a group of tasks, of which this one runs it.
PLACES = {
    "land": ("land", "land"),
    "audit_landed": ("land", "audit_landed"),
    "transform": ("transform", "dbt.dbt_producer_watcher"),
    "publish": ("transform", "publish"),
} | {name: (name, name) for name in ("materialize", "forecast", "growth", "assortment", "incubation")}
OTHERS = {"marketplace": "simulated, its truth is known", "complete_journey": "real groceries"}
LAST = ("assortment", "incubation")
# A DAG that should follow another does so within a second or two; far beyond that something is paused or broken.
PATIENCE = 90
LOG_LINES = 25
_CLOCK = re.compile(r"\d\d:\d\d:\d\d  ")
# Of each region and stage: enough to see what a plan is, few enough to scroll back over.
ROWS = 3


class DemoFailedError(ColdframeError):
    """A task of the demo failed, or a DAG that should have followed did not."""


@dataclass
class Told:
    """One step as it is shown."""

    name: str
    state: str | None = None
    began: datetime | None = None
    ended: datetime | None = None
    summary: str = ""
    result: Mapping[str, Any] = field(default_factory=dict)

    @property
    def done(self) -> bool:
        return self.state in ("success", "skipped")

    @property
    def seconds(self) -> float | None:
        return ((self.ended or datetime.now(UTC)) - self.began).total_seconds() if self.began else None


def demo(request: Request) -> None:
    """Runs `request` through Airflow, prints both plans and what really sold, and stays until Ctrl-C.

    Raises what opening the source raises, before Airflow starts. When a task fails, the UI stays up on a terminal, so
    that somebody can look into it, and the exit code is 1 after Ctrl-C; elsewhere nobody looks, and DemoFailedError
    is raised at once.
    """
    settings, console = get_settings(), open_console()
    # For what it raises: a mistyped name or folder need not wait for Airflow.
    find_service("suggested_as_of")(request.source, request.path)
    began = time.monotonic()
    with kept(settings, console.print) as server, server.client() as client:
        console.print(f"Airflow is healthy after {time.monotonic() - began:.0f} s: {server.url}")
        try:
            told = follow(client, server.url, request, console)
        except DemoFailedError as failure:
            if not console.is_terminal:
                raise
            console.print(Text(str(failure), style="red"), soft_wrap=True)
            _leave(server, console)
            raise Exit(1) from failure
        _plans(request, told, console)
        _addresses(server, settings, told, console)
        _leave(server, console)


def follow(client: AirflowClient, url: str, request: Request, console: Console) -> dict[str, Told]:
    """Triggers `land` and tells of every step it causes until both plans are drafted. Raises DemoFailedError."""
    from coldframe.orchestration.request import to_conf

    for dag_id in dict.fromkeys(dag for dag, _ in PLACES.values()):
        client.unpause(dag_id)
    key = f"{request.source}.{request.as_of}.{uuid.uuid4().hex[:8]}"
    started = datetime.now(UTC)
    first = client.trigger("land", to_conf(request) | {"run_key": key})
    told = {name: Told(name) for name in STEPS}
    last_news = time.monotonic()
    with _telling(console) as tell:
        while True:
            recent = client.runs_since(started - timedelta(seconds=1))
            runs = {r["dag_id"]: r for r in recent if r["partition_key"] == key or r["dag_run_id"] == first}
            _look(client, runs, told)
            tell(told)
            for run in runs.values():
                if run["state"] == "failed":
                    raise DemoFailedError(_obituary(client, url, run))
            if all(told[name].done for name in LAST):
                break
            if any(run["state"] in ("queued", "running") for run in runs.values()):
                last_news = time.monotonic()
            elif time.monotonic() - last_news > PATIENCE:
                missing = ", ".join(name for name, step in told.items() if not step.done)
                raise DemoFailedError(
                    f"Nothing happens since {PATIENCE} s; still missing: {missing}. Is a DAG paused? {url}"
                )
            time.sleep(0.5)
    wall = (datetime.now(UTC) - started).total_seconds()
    worked = sum(step.seconds or 0 for step in told.values() if step.state != "skipped")
    console.print(f"From raw rows to both plans: {wall:.0f} s (the steps added up: {worked:.0f} s).")
    return told


def _look(client: AirflowClient, runs: Mapping[str, Mapping[str, Any]], told: Mapping[str, Told]) -> None:
    """Brings `told` up to date, asking only for runs that still have something to tell."""
    for dag_id, run in runs.items():
        steps = {task: told[name] for name, (dag, task) in PLACES.items() if dag == dag_id}
        if all(step.done for step in steps.values()):
            continue
        instances = {ti["task_id"]: ti for ti in client.task_instances(dag_id, run["dag_run_id"])}
        for task_id, step in steps.items():
            instance = instances.get(task_id)
            if instance is None or step.done:
                continue
            step.state, step.began, step.ended = instance["state"], _time(instance, "start"), _time(instance, "end")
            if step.state == "failed":
                step.summary = "failed, see below"
            elif step.name == "transform":
                step.summary = (
                    "nothing new (re-used)" if step.state == "skipped" else _marts(instances.values(), step.done)
                )
            elif step.done:
                step.result = client.returned(dag_id, run["dag_run_id"], task_id) or {}
                reused = " (re-used)" if step.result.get("reused") else ""
                step.summary = f"{step.result.get('summary', '')}{reused}"


def _time(instance: Mapping[str, Any], which: str) -> datetime | None:
    value = instance[f"{which}_date"]
    return datetime.fromisoformat(value) if value else None


def _marts(instances: Iterable[Mapping[str, Any]], done: bool) -> str:
    """How far dbt is, as the tasks of the marts report it; they lag behind, so at dbt's end its own word counts."""
    states = [i["state"] for i in instances if i["task_id"].startswith("dbt.") and "producer" not in i["task_id"]]
    if done:
        return f"{len(states)} marts built, and their tests passed"
    return f"{states.count('success')} of {len(states)} marts reported so far"


def _table(told: Iterable[Told]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("", "step", "seconds", "what came of it"):
        table.add_column(name, justify="right" if name == "seconds" else "left", no_wrap=name != "what came of it")
    for step in told:
        sign: RenderableType = ""
        if step.state == "running":
            sign = Spinner("dots", style="cyan")
        elif step.state:
            sign = {"success": "[green]✓", "skipped": "[green]✓", "failed": "[red]✗"}.get(step.state, "[yellow]…")
        seconds = "" if step.seconds is None or step.state == "skipped" else f"{step.seconds:.1f}"
        warned = [Text(f"! {w}", style="yellow") for w in step.result.get("warnings", ())]
        table.add_row(sign, step.name, seconds, Group(Text(step.summary), *warned))
    return table


def _line(step: Told) -> str:
    seconds = "       " if step.seconds is None or step.state == "skipped" else f"{step.seconds:5.1f} s"
    warnings = [f"  ! {w}" for w in step.result.get("warnings", ())]
    return "\n".join([f"{step.name:<13}{seconds}  {step.summary}", *warnings])


@contextmanager
def _telling(console: Console) -> Iterator[Callable[[Mapping[str, Told]], None]]:
    """Shows the steps as a table that renews itself; where the output is no terminal, as a line for each that ended."""
    if console.is_terminal:
        with Live(console=console, refresh_per_second=4) as live:
            yield lambda told: live.update(_table(told.values()))
        return
    said: set[str] = set()

    def tell(told: Mapping[str, Told]) -> None:
        for step in told.values():
            if step.done and step.name not in said:
                said.add(step.name)
                console.print(_line(step), soft_wrap=True, markup=False)

    yield tell


def _obituary(client: AirflowClient, url: str, run: Mapping[str, Any]) -> str:
    """Which task of a failed run failed first, why, and where to look: our own message, else the end of the log."""
    dag_id, run_id = run["dag_id"], run["dag_run_id"]
    failed = [ti for ti in client.task_instances(dag_id, run_id) if ti["state"] == "failed"]
    if not failed:
        return f"The run {run_id} of {dag_id} failed without a failed task. See {url}/dags/{dag_id}/runs/{run_id}"
    # What only reports dbt's progress fails before dbt does and knows less.
    task = min(failed, key=lambda ti: ((dag_id, ti["task_id"]) not in PLACES.values(), ti["end_date"] or ""))
    where = f"{url}/dags/{dag_id}/runs/{run_id}/tasks/{task['task_id']}"
    attempt = (dag_id, run_id, task["task_id"], task["try_number"])
    kind, message = client.error(*attempt) or ("", "")
    if hasattr(errors, kind):
        return f"{task['task_id']} failed: {message}\nIts log: {where}"
    return "\n".join([f"{task['task_id']} failed. {where}", "End of its log:", *_end(client.log(*attempt))])


def _end(log: Iterable[str]) -> list[str]:
    """The last lines a step wrote itself: Airflow's own are in groups, and dbt's verdict comes after all it did."""
    told: list[str] = []
    grouped = False
    for line in (_CLOCK.sub("", line, count=1) for line in log):
        if line.startswith("::"):
            grouped = line.startswith("::group")
        # dbt repeats on the console, as JSON, what its log has said in words.
        elif line.strip() and not grouped and not line.startswith("{"):
            told.append(line)
    verdict = [n for n, line in enumerate(told) if line.startswith("Completed with")]
    return told[verdict[-1] if verdict else 0 :][-LOG_LINES:]


def _plans(request: Request, told: Mapping[str, Told], console: Console) -> None:
    """Prints the plans of this very request, and the assortment beside what then sold if the source knows it."""
    ledger = Ledger.open()
    for name in LAST:
        console.rule(name.capitalize())
        plan = ledger.plan(told[name].result["facts"]["plan_id"])
        show_plan(console, ledger, plan, ROWS, actuals=True, path=request.path)
    console.print(f"More rows: .venv/bin/coldframe show --source {request.source} --limit 20")
    other = "complete_journey" if request.source == "marketplace" else "marketplace"
    console.print(f"Another shop: make demo SOURCE={other} ({OTHERS[other]})")


def _addresses(server: Server, settings: Settings, told: Mapping[str, Told], console: Console) -> None:
    rows = [("Airflow", f"{server.url}  (user {USERNAME}, password {server.password})")]
    for step in told.values():
        rows += [(f"{step.name}: {name}", link) for name, link in step.result.get("links", {}).items()]
    rows.append(("MLflow", f".venv/bin/mlflow ui --host 127.0.0.1 --backend-store-uri {settings.resolved_mlflow_url}"))
    # No table: it would cut paths to the width of the terminal, and a cut path cannot be opened.
    for name, where in rows:
        console.print(f"{name:<27}{where}", soft_wrap=True, markup=False)


def _leave(server: Server, console: Console) -> None:
    if server.reused:
        console.print("Airflow was running before and stays up; `coldframe down` stops it.")
        return
    console.print("Airflow stays up; Ctrl-C stops it.")
    with suppress(KeyboardInterrupt):
        watch(server, get_settings())
