"""Where things lie. One `Workspace` per source; nobody else builds a path under home."""

from dataclasses import dataclass
from pathlib import Path

from coldframe.settings import Settings, get_settings


@dataclass(frozen=True)
class Workspace:
    """Folders of one source. Nothing is created by asking for a path."""

    home: Path
    source: str

    @property
    def root(self) -> Path:
        return self.home / "sources" / self.source

    @property
    def landed(self) -> Path:
        """Accepted rows: ``landed/<table>/…parquet`` (see landing.store)."""
        return self.root / "landed"

    @property
    def quarantine(self) -> Path:
        """Refused rows with their reasons: ``quarantine/<table>/…parquet``."""
        return self.root / "quarantine"

    @property
    def warehouse_file(self) -> Path:
        return self.root / "warehouse.duckdb"

    @property
    def snapshots(self) -> Path:
        """``snapshots/<id>/`` are immutable; the symbolic link ``snapshots/current`` is swapped atomically."""
        return self.root / "snapshots"

    @property
    def current(self) -> Path:
        return self.snapshots / "current"

    @property
    def releases(self) -> Path:
        """``releases/<model>/<release_id>/``: immutable artefacts and tables of trained models (see ml.registry)."""
        return self.root / "releases"

    @property
    def vintages(self) -> Path:
        """A table in Parquet: how earlier daily forecasts fared against what came since."""
        return self.root / "vintages.parquet"

    @property
    def audits(self) -> Path:
        """``audits/<run_id>/<gate>/``: Data Docs and results of each gate."""
        return self.root / "audits"

    @property
    def features(self) -> Path:
        """Feast's registry and online store."""
        return self.root / "features"

    @property
    def plans(self) -> Path:
        """``plans/<plan_id>/``: the lines of each plan as CSV and Parquet."""
        return self.root / "plans"

    @property
    def scratch(self) -> Path:
        """Half-written things; safe to delete whenever nothing runs."""
        return self.root / "scratch"


def workspace(source: str, settings: Settings | None = None) -> Workspace:
    settings = settings or get_settings()
    return Workspace(home=settings.home, source=source)
