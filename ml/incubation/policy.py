"""Every threshold of an incubation plan, in one frozen place, stored whole with each plan it made.

A policy file (`--policy policy.yaml`) names what it changes; the rest keeps its default:

    objective: earn              # or find (the default)
    graduate_at: 0.6
    guarantees: {new: 50}        # impressions a day for each seed of a merchant of the tier `new`

A threshold that is read otherwise than it was meant moves traffic of thousands of products at once, so what is not
known here is an error.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from coldframe.documents import Document, Fault, UnfitDocumentError, near
from coldframe.errors import ConfigurationError

Objective = Literal["find", "earn"]
Share = Annotated[float, Field(gt=0, le=1)]
Count = Annotated[int, Field(ge=0)]


class Policy(BaseModel):
    """When a launch changes its stage, and how tomorrow's exposure is shared. Chances and shares are 0..1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    objective: Objective = Field("find", description="find: learn who the winners are; earn: GMV of the impressions.")

    graduate_at: Share = Field(0.5, description="Least lower bound of the chance with which a launch graduates.")
    pull_at: Share = Field(0.8, description="Least chance that its GMV per impression is a bestseller's, where known.")
    pushed_from: float = Field(
        3.0, ge=1, description="Times its category's usual exposure from which on a launch is pushed."
    )
    retire_below: Share = Field(0.03, description="A launch is let go when even its upper bound is below this.")
    revive_at: Share = Field(0.06, description="Upper bound with which a retired launch comes back.")
    least_impressions: Count = Field(200, description="Before so many nothing is decided, where they are known.")
    least_buyers: Count = Field(5, description="Before so many nothing is decided (units, where nobody says who buys).")
    least_weeks: Count = Field(2, description="Before so many weeks nothing is decided.")
    retire_impressions: Count = Field(1000, description="No launch is let go before so many, where they are known.")
    retire_weeks: Count = Field(6, description="No launch is let go before, where impressions are not known.")
    look: int = Field(1000, ge=1, description="Impressions that the worth of more evidence is reckoned for.")
    reach: int = Field(500_000, ge=1, description="Impressions a graduate gets: what a right decision pays.")

    brushing_orders: int = Field(10, ge=2, description="Orders without which nobody is suspected of brushing.")
    brushing_buyers: Count = Field(100, description="More buyers than these are not few, however often they order.")
    brushing_share: Share = Field(
        0.5, description="Share of units of one buyer or address that makes a launch suspect."
    )
    brushing_refunds: Share = Field(0.5, description="Share of units refunded from which on a launch is suspect.")
    cleared: tuple[str, ...] = Field((), description="Products that somebody looked at: they are not frozen.")
    brushing_doubt: Share = Field(0.001, description="Chance of so few buyers below which a launch is suspect.")

    product_cap: Share = Field(0.05, description="Most of the budget for one product, or twice an equal share if more.")
    merchant_cap: Share = Field(0.25, description="Most of the budget for one merchant, or an equal share if more.")
    category_cap: Share = Field(0.5, description="Most of the budget for one category, or an equal share if more.")
    guarantees: dict[str, Count] = Field(
        {}, description="Impressions a day each seed is sure of, by its merchant's tier; '*' for all other tiers."
    )
    seed_share: float = Field(0.3, ge=0, le=1, description="Most of the budget kept for seeds that have no guarantee.")
    seed_most: Count = Field(10, description="Most impressions a seed is kept of that share.")
    explore: Share = Field(0.05, description="Share of the rest of the budget drawn evenly: the floor of propensities.")
    draws: int = Field(1000, ge=20, le=10_000, description="Draws that propensities are reckoned from.")

    @model_validator(mode="after")
    def _is_no_flip_flop(self) -> Self:
        if self.revive_at < self.retire_below:
            raise ValueError(f"revive_at {self.revive_at} is below retire_below {self.retire_below}")
        if self.graduate_at <= self.revive_at:
            raise ValueError(f"graduate_at {self.graduate_at} is not above revive_at {self.revive_at}")
        return self

    def stored(self) -> dict[str, Any]:
        """As it is stored with a plan; `Policy.model_validate` reads it again."""
        return self.model_dump(mode="json")


OTHER_TIERS = "*"
"""In `guarantees`, every tier that is not named."""
_SORTS = {"float": "no number (five percent is 0.05)", "int": "no whole number"}


def load(path: Path) -> Policy:
    """The policy in a YAML file. Raises ConfigurationError with the line of everything that does not fit."""
    if not path.is_file():
        raise ConfigurationError(f"There is no policy file {path}. Check --policy.")
    try:
        document = Document(path)
    except UnfitDocumentError as error:
        raise ConfigurationError(
            f"The policy {path} cannot be used. A mapping is expected, `name: value` a line, such as `objective: earn`."
            f"\n  {error}"
        ) from error
    faults = list(document.faults)
    policy = Policy()
    try:
        policy = Policy.model_validate(document.values)
    except ValidationError as error:
        faults += [_fault(one, document.values) for one in error.errors()]
    if faults:
        raise ConfigurationError(f"The policy {path} does not fit:\n  " + "\n  ".join(document.tell(faults)))
    return policy


def unknown_tiers(policy: Policy, tiers: Iterable[str]) -> list[str]:
    """Tiers that are guaranteed something and are none of `tiers`: nobody gets it, by a slip or because the tier is
    empty today."""
    return sorted(set(policy.guarantees) - {OTHER_TIERS, *tiers})


def _fault(error: ErrorDetails, values: Mapping[str, Any]) -> Fault:
    """A fault of pydantic's in words of this file."""
    place, given, kind = tuple(error["loc"]), error["input"], error["type"]
    name = ".".join(map(str, place))
    if kind == "extra_forbidden":
        known = Policy.model_fields
        return Fault(place, f"unknown key {name!r}.{near(name, known)} Known: {', '.join(known)}.", key=True)
    if kind == "value_error":
        what = str(error["ctx"]["error"])
        # Both names may be at fault; the one that is in the file can be mended there.
        return Fault(tuple(word for word in what.split() if word in values)[:1], f"{what}.")
    if given is None:
        return Fault(place, f"{name} is empty. Say something, or remove it.")
    if kind == "dict_type":
        return Fault(place, f"{name} must hold names with values, such as {{new: 50}}.")
    if (sort := _SORTS.get(kind.partition("_")[0])) is not None:
        return Fault(place, f"{name}: {given!r} is {sort}.")
    return Fault(place, f"{name}: {given} {error['msg'].removeprefix('Input ')}.")
