"""The one door through which a step is run, whoever asks: command line, DAG or test.

It keeps the record of what ran, how long it took and how it ended; when it is wrong, a failed night looks like a
quiet one.
"""

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from coldframe.ledger import Ledger
from coldframe.run import STEPS, Request, StepResult, find_step

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Progress:
    """Where a run is. `result` and `seconds` are None when the step has only begun."""

    step: str
    number: int
    total: int
    result: StepResult | None = None
    seconds: float | None = None


def execute(step_name: str, request: Request) -> StepResult:
    """Runs one registered step and records start, end and outcome in the ledger.

    Raises ConfigurationError for a step no room registers, and whatever the step raises.
    """
    step = find_step(step_name)
    ledger = Ledger.open()
    run_id = ledger.start_step(request, step_name)
    log.info("%s of %s as of %s started (run %d)", step_name, request.source, request.as_of, run_id)
    began = time.monotonic()
    try:
        result = step(request)
    # Ctrl-C and SystemExit end a step as surely as an error does, and the ledger should say so.
    except BaseException as error:
        log.info("%s failed after %.1f s: %s", step_name, time.monotonic() - began, error)
        ledger.finish_step(run_id, "failed", f"{type(error).__name__}: {error}")
        raise
    log.info("%s finished in %.1f s: %s", step_name, time.monotonic() - began, result.summary)
    ledger.finish_step(run_id, "succeeded", result)
    return result


def run_all(
    request: Request, on_step: Callable[[Progress], None] = lambda _: None, steps: Iterable[str] = STEPS
) -> tuple[Progress, ...]:
    """Runs `steps` in order and stops at the first error. `on_step` is called when a step begins and when it ends."""
    names = tuple(steps)
    done = []
    for number, name in enumerate(names, start=1):
        on_step(Progress(name, number, len(names)))
        began = time.monotonic()
        result = execute(name, request)
        finished = Progress(name, number, len(names), result, time.monotonic() - began)
        done.append(finished)
        on_step(finished)
    return tuple(done)
