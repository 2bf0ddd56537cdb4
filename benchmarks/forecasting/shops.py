"""Shops to forecast: public data landed, transformed and published the way a user does it."""

from pathlib import Path

from benchmarks.steps import measure
from coldframe import snapshots
from coldframe.paths import Workspace
from coldframe.run import STEPS
from coldframe.settings import PROJECT_ROOT
from coldframe.snapshots import Snapshot

DATA = PROJECT_ROOT.parent / "shared" / "data"
FACTS = STEPS[: STEPS.index("publish") + 1]


def published(home: str, source: str, as_of: str, path: Path | None = None, steps: tuple[str, ...] = FACTS) -> Snapshot:
    """The snapshot of a source as of a day, in a home of its own. `path` is where its data lies, where it needs any.

    Exits where the data is not there.
    """
    if path is not None and not path.exists():
        raise SystemExit(f"{source} is not here: there is no {path}.")
    request = {"source": source, "as_of": as_of} | ({} if path is None else {"path": str(path)})
    for step in steps:
        measure(step, home, **request)
    return snapshots.current(Workspace(home=Path(home), source=source))
