"""The file of rules a category manager writes for a plan (`--rules rules.yaml`), and nothing beside it.

A rule that is read otherwise than it was meant is broken on every shelf at once, so what is not known here is an error.

    variants:                     # at most one of each group is ranged in a region
      - [shirt-red, shirt-blue]
    quotas:                       # how many options have a brand, tier, price band …; everywhere or in one place
      - {attribute: price_band, value: low, at_least: 3}
      - {attribute: brand, value: ACME, at_most: 5, category: tea, region: north}
    core: 1                       # options each subcategory keeps at least, as far as it has candidates
    most_changed: 0.3             # share of the slots that may pass to products outside the current range
"""

from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from coldframe.errors import ConfigurationError

PRICE_BANDS = ("low", "middle", "high")
ATTRIBUTES = ("brand", "subcategory", "merchant_id", "merchant_tier", "price_band")


class Quota(BaseModel):
    """How many options of a cell have `value` as their `attribute`. Without region or category it holds in all."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    attribute: Literal["brand", "subcategory", "merchant_id", "merchant_tier", "price_band"]
    value: str
    at_least: int = Field(0, ge=0)
    at_most: int | None = Field(None, ge=0)
    region: str | None = None
    category: str | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.at_least and self.at_most is None:
            raise ValueError("says neither at_least nor at_most")
        if self.at_most is not None and self.at_most < self.at_least:
            raise ValueError(f"at_most {self.at_most} is below at_least {self.at_least}")
        if self.attribute == "price_band" and self.value not in PRICE_BANDS:
            raise ValueError(f"a price_band is one of {', '.join(PRICE_BANDS)}")
        return self

    @property
    def name(self) -> str:
        return f"quota of {self.attribute} {self.value}"

    def holds_in(self, region: str, category: str) -> bool:
        return self.region in (None, region) and self.category in (None, category)


class RuleFile(BaseModel):
    """The rules of a plan beside slots, must-keep and must-drop."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    variants: tuple[Annotated[tuple[str, ...], Field(min_length=2)], ...] = ()
    quotas: tuple[Quota, ...] = ()
    core: int = Field(0, ge=0)
    most_changed: float = Field(1.0, ge=0, le=1)


def read(path: Path | None) -> RuleFile:
    """The rules in a YAML file; none without one. Raises ConfigurationError naming each key that does not fit."""
    if path is None:
        return RuleFile()
    try:
        return RuleFile.model_validate(yaml.safe_load(path.read_text()) or {})
    except OSError as error:
        raise ConfigurationError(f"The rules {path} cannot be read: {error.strerror}.") from error
    except yaml.YAMLError as error:
        raise ConfigurationError(f"The rules {path} are no YAML: {error}") from error
    except ValidationError as error:
        lines = [
            f"{'.'.join(map(str, e['loc']))}: {e['msg'].removeprefix('Value error, ')}".removeprefix(": ")
            for e in error.errors()
        ]
        raise ConfigurationError(f"The rules {path} do not fit:\n  " + "\n  ".join(lines)) from error
