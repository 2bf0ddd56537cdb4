"""One strict settings class. Everything that differs between installations is here and nowhere else.

Values come from the environment (prefix ``COLDFRAME_``) or from ``.env`` in the working directory. An unknown
``COLDFRAME_`` name is an error, because a misspelt setting that is silently ignored costs an afternoon.
"""

import difflib
import os
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from coldframe.errors import ConfigurationError

PREFIX = "COLDFRAME_"
PROJECT_ROOT = Path(__file__).resolve().parent.parent


class Settings(BaseSettings):
    """Settings of one installation. Paths are absolute after validation; URLs are SQLAlchemy's."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_file=".env", extra="forbid", frozen=True)

    home: Path = Field(PROJECT_ROOT / "var", description="Folder that holds everything Coldframe writes.")
    source: str = Field(
        "complete_journey", description="Source that scheduled runs land.", pattern=r"^[a-z][a-z0-9_]*$"
    )
    source_path: Path | None = Field(None, description="Folder or file the source reads, where it needs one.")
    warehouse_url: str = Field(
        "", description="Ibis URL of the warehouse. Empty: one DuckDB file per source under home."
    )
    ledger_url: str = Field("", description="SQLAlchemy URL of the decision ledger. Empty: SQLite under home.")
    mlflow_url: str = Field("", description="MLflow tracking URL. Empty: SQLite under home.")
    threads: int = Field(2, ge=1, description="Threads the embedded warehouse and the learners use.")
    memory_limit: str = Field("6GB", pattern=r"^\d+(\.\d+)?(KB|MB|GB|TB)$", description="DuckDB's memory limit.")
    keep_snapshots: int = Field(5, ge=1, description="Newest snapshots kept per source; see docs/runbook.md.")
    currency: str | None = Field(
        None, pattern=r"^[A-Z]{3}$", description="ISO 4217 code of the shop's money, if rows come in several."
    )
    max_unit_price: Decimal = Field(Decimal(1_000_000), gt=0, description="Above it a line is quarantined.")
    max_quarantine_share: float = Field(
        0.05, ge=0, le=1, description="Share of a table's rows in quarantine above which landing is refused."
    )
    max_forecast_age_days: int = Field(
        7, ge=0, description="Days before its as-of that the forecast of a plan may have been made."
    )
    daily_cron: str = Field("0 3 * * *", description="When the daily DAG lands yesterday (UTC).")
    weekly_cron: str = Field("0 5 * * 1", description="When the weekly DAG retrains (UTC).")

    @model_validator(mode="after")
    def _absolute(self) -> Self:
        object.__setattr__(self, "home", self.home.expanduser().resolve())
        return self

    @property
    def resolved_ledger_url(self) -> str:
        return self.ledger_url or f"sqlite:///{self.home / 'ledger.sqlite'}"

    @property
    def resolved_mlflow_url(self) -> str:
        return self.mlflow_url or f"sqlite:///{self.home / 'mlflow.sqlite'}"


def _refuse_unknown_names(environ: dict[str, str]) -> None:
    known = {f"{PREFIX}{name}".upper() for name in Settings.model_fields}
    for name in sorted(environ):
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            near = difflib.get_close_matches(name.upper(), known, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise ConfigurationError(f"Unknown setting {name} in the environment.{hint} Known: see .env.example.")


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """Settings of this process. Raises ConfigurationError for an unknown name or a value that does not fit."""
    _refuse_unknown_names(dict(os.environ))
    return load(**{})


def load(**overrides: Any) -> Settings:
    """Settings with explicit values on top of the environment's, for tests and tools."""
    try:
        return Settings(**overrides)
    except ValidationError as error:
        lines = [f"{PREFIX}{'.'.join(str(p) for p in e['loc']).upper()}: {e['msg']}" for e in error.errors()]
        raise ConfigurationError("Settings are wrong:\n  " + "\n  ".join(lines)) from error
