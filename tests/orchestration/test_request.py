"""A request comes out of Airflow as it went in, whichever way it travelled."""

from datetime import UTC, date, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from coldframe.errors import ConfigurationError
from coldframe.orchestration.request import SECTIONS, form, key_of, received, to_conf
from coldframe.run import Request
from landing.sources import ADAPTERS

FULL = Request.model_validate(
    {
        "source": "files",
        "as_of": "2026-06-30",
        "start": "2026-01-01",
        "path": "/data/shop",
        "season": "2026-Q3",
        "horizon_weeks": 20,
        "horizon_days": 7,
        "slots": 7,
        "objective": "margin",
        "service_level": 0.9,
        "new_product_share": 0.2,
        "merchant_share": 0.5,
        "must_keep": ("a", "b"),
        "must_drop": ("c",),
        "exposure_budget": 5,
        "force": True,
    }
)


def context(
    params: dict[str, Any] | None = None,
    events: list[Any] | None = None,
    conf: dict[str, Any] | None = None,
    **run: Any,
) -> dict[str, Any]:
    dag_run = SimpleNamespace(**{"run_id": "manual__1", "partition_key": None, "conf": conf or {}} | run)
    return {"dag_run": dag_run, "params": params or {}, "triggering_asset_events": {"landed": events} if events else {}}


def event(extra: dict[str, Any], hour: int = 1) -> Any:
    return SimpleNamespace(
        extra=extra, timestamp=datetime(2026, 7, 1, hour, tzinfo=UTC), asset=SimpleNamespace(name="landed")
    )


def filled(started_by_events: bool = False, **values: Any) -> dict[str, Any]:
    """What Airflow gives a task: the form's defaults, overridden by what was typed, each checked by its rules."""
    fields = form("complete_journey", started_by_events=started_by_events)
    return {name: field.resolve(values[name]) if name in values else field.resolve() for name, field in fields.items()}


def test_the_form_has_every_field_of_a_request_and_no_other() -> None:
    shown = [name for names in SECTIONS.values() for name in names]
    assert sorted(shown) == sorted(Request.model_fields)
    for name, field in form("complete_journey", started_by_events=False).items():
        assert field.schema["title"], name
        assert field.schema["section"], name
        assert field.description, name


def test_the_form_names_every_source() -> None:
    described = form("files", started_by_events=False)["source"].description
    assert described is not None
    assert all(name in described for name in ADAPTERS)


def test_a_request_comes_out_of_the_form_as_it_went_in() -> None:
    assert received(context(filled(**to_conf(FULL)))).request == FULL


def test_an_untouched_form_asks_for_nothing_but_source_and_day() -> None:
    assert received(context(filled(as_of="2026-06-30"))).request == Request(
        source="complete_journey", as_of=date(2026, 6, 30)
    )


def test_a_form_that_events_need_not_fill_misses_the_day_when_the_run_begins() -> None:
    with pytest.raises(ConfigurationError, match="as_of: Field required"):
        received(context(filled(started_by_events=True)))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("slots", 0),
        ("service_level", 1.0),
        ("objective", "fame"),
        ("source", "Robert'); drop"),
        ("horizon_weeks", 99),
    ],
)
def test_the_form_refuses_what_a_request_refuses(name: str, value: Any) -> None:
    with pytest.raises(Exception, match=str(value) if name != "source" else "does not match"):
        filled(**{"as_of": "2026-06-30", name: value})


def test_a_request_comes_out_of_an_event_as_it_went_in_and_keeps_its_key() -> None:
    first = received(context(filled(**to_conf(FULL))))
    second = received(context(filled(started_by_events=True), [event(first.extra)], partition_key=first.key))
    assert second == first


def test_of_two_events_of_one_key_the_later_counts() -> None:
    events = [event({"request": to_conf(FULL)}, 2), event({"request": to_conf(FULL) | {"slots": 3}}, 1)]
    assert received(context({}, events, partition_key="k")).request.slots == FULL.slots


def test_an_event_without_a_request_is_refused_with_what_to_do() -> None:
    with pytest.raises(ConfigurationError, match="carries no request"):
        received(context({}, [event({})], partition_key="k"))


def test_whoever_triggers_a_dag_may_name_the_key() -> None:
    assert received(context(filled(**to_conf(FULL)), conf={"run_key": "mine"})).key == "mine"


def test_two_runs_of_the_same_request_never_share_a_key() -> None:
    assert key_of(FULL, "manual__1") == key_of(FULL, "manual__1")
    assert key_of(FULL, "manual__1") != key_of(FULL, "manual__2")
    assert key_of(FULL, "manual__1").startswith("files.2026-06-30.")
