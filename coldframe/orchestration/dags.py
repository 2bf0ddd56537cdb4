"""The house rules of all DAGs: what they are called, how long they may take, what is tried again, who waits for whom.

A DAG file says only which steps follow which; the rest is here, so that one rule holds for all. When this is wrong, bad
data is retried all night, or two writers meet in the embedded warehouse.
"""

import json
import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

# Airflow's stub leaves out the deadline classes.
from airflow.sdk import (  # type: ignore[attr-defined]
    Asset,
    AsyncCallback,
    DeadlineAlert,
    DeadlineReference,
    ExceptionRetryPolicy,
    PartitionedAssetTimetable,
    RetryAction,
    RetryRule,
    task,
)

from coldframe import landed
from coldframe.errors import BadInputError, ConfigurationError, GateError, NotAvailableError, WarehouseBusyError
from coldframe.orchestration.request import form, key_of, received, to_conf
from coldframe.paths import workspace
from coldframe.run import Request
from coldframe.settings import get_settings

log = logging.getLogger(__name__)

LANDED = Asset("landed")
SNAPSHOT = Asset("snapshot")
FEATURES = Asset("features")
FORECASTS = Asset("forecasts")
SCORES = Asset("scores")
ASSORTMENT_PLAN = Asset("assortment_plan")
INCUBATION_PLAN = Asset("incubation_plan")

# One slot each: DuckDB takes one writer and no reader beside it. Watching dbt must not take a place from dbt itself.
WAREHOUSE, LEARN, WATCH = "warehouse", "learn", "watch"
POOLS = {
    WAREHOUSE: (1, "Whatever opens the embedded warehouse: DuckDB takes one process at a time"),
    LEARN: (2, "Training and deciding: as many as the machine has cores to spare"),
    WATCH: (3, "Tasks that only report how far dbt is"),
}


class Tag(StrEnum):
    """What a DAG is about; the DAG list is filtered by it."""

    FACTS = "facts"
    LEARNING = "learning"
    DECISIONS = "decisions"
    SCHEDULE = "schedule"


RETRY_POLICY = ExceptionRetryPolicy(
    rules=[
        RetryRule(
            exception=[BadInputError, ConfigurationError, GateError, NotAvailableError],
            action=RetryAction.FAIL,
            reason="Trying again changes nothing: the message says what to do",
        ),
        RetryRule(
            exception=[WarehouseBusyError],
            action=RetryAction.RETRY,
            retry_delay=timedelta(seconds=30),
            reason="Another process holds the warehouse",
        ),
        RetryRule(
            exception=[OSError],
            action=RetryAction.RETRY,
            retry_delay=timedelta(minutes=1),
            reason="The machine or the network had a hiccup",
        ),
    ]
)
DEFAULT_ARGS: dict[str, Any] = {
    "owner": "coldframe",
    "retries": 2,
    "retry_delay": timedelta(minutes=1),
    "retry_policy": RETRY_POLICY,
    "execution_timeout": timedelta(hours=1),
    # What others wait for goes before what only reports.
    "priority_weight": 10,
    "weight_rule": "absolute",
}


async def late(allowed: str, context: dict[str, Any] | None = None) -> None:
    """Says, once for each run, that it has taken longer than `allowed`: in the log and as a file under airflow/late/.

    Airflow may call it twice, or for a run that failed long ago; neither does harm.
    """
    run = (context or {}).get("dag_run", {})
    dag_id, run_id = run.get("dag_id", "unknown"), run.get("dag_run_id", "unknown")
    record = get_settings().home / "airflow" / "late" / f"{dag_id}.{run_id}.json"
    if record.exists():
        return
    log.error("%s is late: run %s has taken longer than %s (state %s)", dag_id, run_id, allowed, run.get("state"))
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(json.dumps({"dag_id": dag_id, "run_id": run_id, "allowed": allowed, "state": run.get("state")}))


def rules(
    name: str,
    doc: str | None,
    *tags: Tag,
    after: Sequence[Asset] = (),
    cron: str | None = None,
    may_take: timedelta = timedelta(hours=2),
    aside: bool = False,
) -> dict[str, Any]:
    """Arguments for `DAG`, by the house rules. `after`: assets that must all carry the request's key; or `cron` (UTC).

    Scheduled DAGs are paused at creation, because landing yesterday's orders of the demo shop serves nobody; those that
    follow an asset are not, because whoever lands something wants the rest. What stands `aside` follows an asset, but
    no plan waits for it: it is paused too, and goes behind what plans wait for.
    """
    schedule: Any = cron
    if after:
        condition: Any = after[0]
        for asset in after[1:]:
            condition = condition & asset
        schedule = PartitionedAssetTimetable(assets=condition)
    return {
        "dag_id": name,
        "dag_display_name": name.capitalize().replace("_", " "),
        "doc_md": doc,
        "tags": [str(tag) for tag in tags],
        "schedule": schedule,
        "start_date": datetime(2024, 1, 1, tzinfo=UTC),
        "catchup": False,
        "max_active_runs": 1,
        "is_paused_upon_creation": cron is not None or aside,
        "default_args": DEFAULT_ARGS | ({"priority_weight": 1} if aside else {}),
        "params": {} if cron else form(get_settings().source, started_by_events=bool(after)),
        "deadline": DeadlineAlert(
            name=f"{name} is late",
            reference=DeadlineReference.DAGRUN_QUEUED_AT,
            interval=may_take,
            callback=AsyncCallback(late, kwargs={"allowed": str(may_take)}),
        ),
    }


def step(
    name: str, *, emits: Asset | None = None, pool: str = "default_pool", trigger_rule: str = "all_success"
) -> Any:
    """A task that runs the registered step `name` on the run's request, then says so through the asset it `emits`.

    Its XCom is the StepResult as JSON. The event carries the request on, under the request's key.
    """

    @task(task_id=name, pool=pool, outlets=[emits] if emits else [], trigger_rule=trigger_rule)
    def run(**context: Any) -> dict[str, Any]:
        from coldframe.execution import execute

        asked = received(context)
        result = execute(name, asked.request)
        if emits:
            event = context["outlet_events"][emits]
            event.add_partitions(asked.key)
            event.extra = asked.extra
        return result.model_dump(mode="json")

    return run()


def day_before(*, force: bool = False) -> Any:
    """A task that gives the conf of the run to trigger: the settings' source as of the day before the run's own day.

    The run's own day is its logical date; a run triggered by hand without one counts from when it was to begin.
    """

    @task
    def request(**context: Any) -> dict[str, Any]:
        settings = get_settings()
        run = context["dag_run"]
        moment = run.logical_date or run.run_after
        as_of = moment.astimezone(UTC).date() - timedelta(days=1)
        asked = Request(
            source=settings.source,
            as_of=as_of,
            start=landed.catch_up(workspace(settings.source), as_of),
            path=settings.source_path,
            force=force,
        )
        return to_conf(asked) | {"run_key": key_of(asked, run.run_id)}

    return request()
