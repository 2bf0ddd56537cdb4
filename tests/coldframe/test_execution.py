"""Whatever happens to a step, the ledger must say so."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from coldframe import execution
from coldframe.errors import ConfigurationError, GateError
from coldframe.execution import Progress, execute, run_all
from coldframe.ledger import Ledger
from coldframe.run import STEPS, Request, StepResult

REQUEST = Request(source="shop", as_of=date(2017, 9, 30))


@pytest.fixture
def ran(installation: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replaces every step by one that only notes that it ran; 'publish' fails at its gate."""
    installation()
    names: list[str] = []

    def find(name: str) -> Callable[[Request], StepResult]:
        def step(request: Request) -> StepResult:
            names.append(name)
            if name == "publish":
                raise GateError("GMV does not reconcile")
            return StepResult(step=name, summary=f"{name} of {request.source}")

        return step

    monkeypatch.setattr(execution, "find_step", find)
    return names


def test_a_step_that_succeeds_is_recorded_with_its_result(ran: list[str]) -> None:
    result = execute("land", REQUEST)
    (run,) = Ledger.open().step_runs()
    assert (run.step, run.source, run.as_of, run.status) == ("land", "shop", REQUEST.as_of, "succeeded")
    assert run.result == result.model_dump(mode="json")


def test_a_step_that_fails_is_recorded_with_its_error_which_is_raised_again(ran: list[str]) -> None:
    with pytest.raises(GateError, match="does not reconcile"):
        execute("publish", REQUEST)
    (run,) = Ledger.open().step_runs()
    assert (run.status, run.error) == ("failed", "GateError: GMV does not reconcile")


def test_a_step_that_is_interrupted_is_recorded_as_failed(ran: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: Request) -> StepResult:
        raise KeyboardInterrupt

    monkeypatch.setattr(execution, "find_step", lambda _: interrupted)
    with pytest.raises(KeyboardInterrupt):
        execute("land", REQUEST)
    assert Ledger.open().step_runs()[0].status == "failed"


def test_a_step_nobody_registers_is_named_and_leaves_no_record(installation: Callable[..., Path]) -> None:
    installation()
    with pytest.raises(ConfigurationError, match="has no 'dig'"):
        execute("dig", REQUEST)
    assert Ledger.open().step_runs() == ()


def test_the_whole_way_runs_the_steps_in_order_and_tells_of_each(
    ran: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Progress] = []
    steps = tuple(s for s in STEPS if s != "publish")
    finished = run_all(REQUEST, on_step=told.append, steps=steps)
    assert tuple(ran) == steps
    assert [(p.step, p.result is None) for p in told] == [(s, begun) for s in steps for begun in (True, False)]
    assert [p.number for p in finished] == list(range(1, len(steps) + 1))


def test_the_whole_way_stops_at_the_first_error(ran: list[str]) -> None:
    with pytest.raises(GateError):
        run_all(REQUEST)
    assert ran == list(STEPS[: STEPS.index("publish") + 1])
