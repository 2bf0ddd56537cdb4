"""How one `Request` travels through Airflow: as a form, as a run's conf, and in the events that start the next DAG.

Every DAG asks here what it was asked to do. When this is wrong, a plan is made for another day or another shop than the
one somebody typed into the form. The key of a request is the partition key of all runs it causes, so that two requests
never mix: a plan waits for the forecasts and the scores of its own request.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow.sdk import Param

from coldframe.errors import ConfigurationError
from coldframe.run import Request, parse_request

# The form's sections, and in them the fields of Request in the order they are shown.
SECTIONS: Mapping[str, tuple[str, ...]] = {
    "Facts": ("source", "as_of", "start", "path"),
    "Season and assortment": (
        "season",
        "horizon_weeks",
        "horizon_days",
        "slots",
        "objective",
        "service_level",
        "new_product_share",
        "merchant_share",
        "must_keep",
        "must_drop",
        "rules",
        "recapture",
        "handling_cost",
        "budget",
        "salvage",
    ),
    "Incubation": ("exposure_budget", "policy"),
    "Run": ("force",),
}
_DESCRIPTIONS = {
    "source": (
        "Which source to land: complete_journey, files, m5, marketplace, olist, online_retail_ii or postgres. "
        "All but complete_journey and marketplace need a path."
    ),
    "as_of": "Last day the run may know of (UTC, inclusive).",
    "objective": "What the assortment maximises.",
    "must_keep": "Products that stay whatever they are worth, one product_id a line.",
    "must_drop": "Products that go whatever they are worth, one product_id a line.",
}


@dataclass(frozen=True)
class Received:
    """What a run was asked to do. `key` is shared by all runs that one request causes."""

    request: Request
    key: str

    @property
    def extra(self) -> dict[str, Any]:
        """What an asset event carries to the next DAG."""
        return {"request": to_conf(self.request)}


def to_conf(request: Request) -> dict[str, Any]:
    """The request as the conf of a DAG run: JSON values, one for each field of the form."""
    return request.model_dump(mode="json")


def form(default_source: str, *, started_by_events: bool) -> dict[str, Param]:
    """The trigger form, made from Request's own JSON schema.

    Airflow wants a default for every field of a DAG that events start, so there `as_of` may be left empty in the form
    and is missed when the run begins.
    """
    schema = Request.model_json_schema()["properties"]
    params = {}
    for section, names in SECTIONS.items():
        for name in names:
            field = _flat(schema[name])
            description = (field.pop("description", None) or _DESCRIPTIONS[name]).replace("None:", "empty:")
            default = {"source": default_source}.get(name, field.pop("default", None))
            rules: dict[str, Any] = {"title": name.replace("_", " ").capitalize(), "section": section} | field
            if name == "as_of" and not started_by_events:
                params[name] = Param(description=description, **rules)
                continue
            # Airflow marks every field that may not be null as one to be filled in, an empty list too.
            if default in (None, []):
                default, rules["type"] = None, [rules["type"], "null"]
            params[name] = Param(default, description=description, **rules)
    return params


def _flat(field: dict[str, Any]) -> dict[str, Any]:
    """Pydantic's schema of a field in the words Airflow's form knows: one type, no `anyOf`, no unknown format."""
    flat = {k: v for k, v in field.items() if k not in ("anyOf", "title")}
    for choice in field.get("anyOf", ()):
        if choice["type"] != "null":
            flat |= choice
    if flat.get("format") == "path":
        del flat["format"]
    return flat


def key_of(request: Request, run_id: str) -> str:
    """Key for the runs that the run `run_id` causes: readable first, unique by the run that began."""
    return f"{request.source}.{request.as_of}.{hashlib.sha256(run_id.encode()).hexdigest()[:8]}"


def received(context: Mapping[str, Any]) -> Received:
    """What the current run was asked to do: by the events that started it, else by its form or conf.

    Raises ConfigurationError for a request that does not fit and for an event that carries none.
    """
    run = context["dag_run"]
    events = [event for of_asset in context["triggering_asset_events"].values() for event in of_asset]
    if events:
        latest = max(events, key=lambda event: event.timestamp)
        if "request" not in (latest.extra or {}):
            raise ConfigurationError(
                f"The event of asset {latest.asset.name!r} that started this run carries no request. Trigger the DAG "
                'with its form instead, or give the event the extra {"request": {"source": …, "as_of": …}}.'
            )
        request = parse_request(latest.extra["request"])
    else:
        request = parse_request({name: context["params"][name] for name in Request.model_fields})
    return Received(request, run.partition_key or (run.conf or {}).get("run_key") or key_of(request, run.run_id))
