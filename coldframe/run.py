"""What a run is asked to do, and how its steps are found and called.

The same `Request` comes from the command line, from an Airflow form and from an asset event. Steps are functions
``step(request) -> StepResult`` that the rooms register as entry points (group ``coldframe.steps``).
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from coldframe import seasons
from coldframe.errors import ConfigurationError

STEPS = (
    "land",
    "audit_landed",
    "transform",
    "publish",
    "materialize",
    "forecast",
    "growth",
    "assortment",
    "incubation",
)


MOST_DAYS = 98
"""How far ahead a forecast by the day may reach: fourteen weeks."""
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


class Request(BaseModel):
    """One run of the pipeline. Frozen and strict; `as_of` is the last day the run may know of (UTC, inclusive)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    as_of: date
    start: date | None = Field(None, description="First day to land; None: everything the source has.")
    path: Path | None = Field(None, description="Folder or file the source reads, where it needs one.")
    season: str | None = Field(
        None, description="'2017-Q4', '2017-10-02..2017-12-31' or a calendar season; None: the next quarter."
    )
    horizon_weeks: int = Field(14, ge=1, le=53, description="Weeks forecast after the last complete week.")
    horizon_days: int = Field(28, ge=1, le=MOST_DAYS, description="Days ahead that `coldframe train forecast` reaches.")
    slots: int = Field(12, ge=1, le=10_000, description="Most products ranged per region and category (K).")
    objective: Literal["gmv", "margin", "units"] = "gmv"
    service_level: float = Field(
        0.8, gt=0, lt=1, description="Demand quantile that depth covers where unit_cost is unknown."
    )
    new_product_share: float = Field(0.0, ge=0, le=1, description="Least share of slots kept for recent launches.")
    merchant_share: float = Field(1.0, gt=0, le=1, description="Most of a category's slots one merchant may fill.")
    must_keep: tuple[str, ...] = ()
    must_drop: tuple[str, ...] = ()
    rules: Path | None = Field(None, description="YAML of quotas, variants, core needs and a change limit.")
    recapture: float = Field(
        0.0, ge=0, lt=1, description="Share of a missing product's demand others keep, where no visits tell it."
    )
    handling_cost: float = Field(0.0, ge=0, description="What each product ranged costs a season, in the objective.")
    budget: float | None = Field(None, gt=0, description="Most money for stock, over all regions; None: no limit.")
    salvage: float = Field(0.5, ge=0, le=1, description="Share of its cost that a unit left at the end brings back.")
    exposure_budget: int = Field(100_000, ge=0, description="Impressions for tomorrow's new products.")
    policy: Path | None = Field(None, description="YAML of incubation's thresholds, caps, guarantees and objective.")
    force: bool = Field(False, description="Do the work again even if nothing it depends on changed.")

    @field_validator("as_of", "start", mode="before")
    @classmethod
    def _only_dates(cls, value: Any) -> Any:
        # pydantic takes "2017" for seconds since 1970.
        if isinstance(value, str) and not _DATE.fullmatch(value):
            raise ValueError(f"{value!r} is not a date like 2017-09-30")
        return value

    @field_validator("must_drop")
    @classmethod
    def _not_kept_as_well(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if both := sorted(set(value) & set(info.data.get("must_keep", ()))):
            raise ValueError(f"{', '.join(both)} must be kept as well; say one of the two")
        return value

    @field_validator("start")
    @classmethod
    def _not_after_the_end(cls, value: date | None, info: ValidationInfo) -> date | None:
        as_of = info.data.get("as_of")
        if value is not None and as_of is not None and value > as_of:
            raise ValueError(f"{value} is after the as-of ({as_of}), so there is no day to land")
        return value


class StepResult(BaseModel):
    """What a step did, for people and the ledger. `facts` are numbers and short texts; `links` are paths or URLs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: str
    summary: str
    reused: bool = False
    warnings: tuple[str, ...] = ()
    facts: dict[str, Any] = {}
    links: dict[str, str] = {}


Step = Callable[[Request], StepResult]


def parse_request(values: Mapping[str, Any], called: Callable[[str], str] = str) -> Request:
    """A request from a command, a form or an event. `called` is how a field is called there, for the message.

    Raises ConfigurationError naming each field that does not fit, or the season that is over by the as-of. Here, where
    people and schedules come in, an as-of after today is refused as well; steps themselves know no clock.
    """
    try:
        request = Request.model_validate({k: v for k, v in values.items() if v not in (None, "")})
    except ValidationError as error:
        lines = [
            f"{'.'.join([called(str(e['loc'][0])), *map(str, e['loc'][1:])])}: {e['msg'].removeprefix('Value error, ')}"
            for e in error.errors()
        ]
        raise ConfigurationError("The request does not fit:\n  " + "\n  ".join(lines)) from error
    today = _today()
    if request.as_of > today:
        raise ConfigurationError(
            f"{called('as_of')}: {request.as_of} is after today ({today}, UTC), of which nobody can know. Give {today} "
            "or a day before."
        )
    seasons.check(request.season, request.as_of)
    return request


def _today() -> date:
    return datetime.now(UTC).date()


def _find(group: str, name: str) -> Any:
    offered = entry_points(group=group)
    found = [e for e in offered if e.name == name]
    if not found:
        known = ", ".join(sorted({e.name for e in offered})) or "none"
        raise ConfigurationError(
            f"{group} has no {name!r} (known: {known}). Is the project installed? Run `make install`."
        )
    return found[0].load()


def find_step(name: str) -> Step:
    """The registered step called `name`. Raises ConfigurationError if no room registers it."""
    step: Step = _find("coldframe.steps", name)
    return step


def find_service(name: str) -> Callable[..., Any]:
    """What a room offers the others by name (`training_frame`, `serve`, `rollback`). Raises ConfigurationError."""
    service: Callable[..., Any] = _find("coldframe.services", name)
    return service
