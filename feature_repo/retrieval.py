"""Training features as they were known: a point-in-time join that neither sees the future nor loses a row.

A feature row counts for an entity row only if its week was over and the row itself was known by then. When this is
wrong every back-test flatters the model, and nobody notices until it serves.
"""

import shutil
import tempfile
from pathlib import Path

import pandas as pd

from coldframe import snapshots
from coldframe.errors import ColdframeError, ConfigurationError
from coldframe.paths import Workspace
from coldframe.snapshots import Snapshot
from feature_repo.definitions import EVENT, SERVICES, VIEWS, definitions
from feature_repo.store import open_store

ROW = "row_of_entity_frame"


def training_frame(
    workspace: Workspace, entity_df: pd.DataFrame, service: str, snapshot: Snapshot | None = None
) -> pd.DataFrame:
    """`entity_df` with the features of `service` appended, row for row and in its own order and index.

    `entity_df` has the entity keys and `event_timestamp` (UTC; naive counts as UTC); other columns pass through.
    Features come from `snapshot` (the current one if None). An entity without a row known at that moment, or with
    none younger than its view allows, has empty features. Raises ConfigurationError for an unknown service, a missing
    key or a column name that is taken, NotAvailableError before the first snapshot.
    """
    if service not in SERVICES:
        raise ConfigurationError(f"There is no feature service {service!r}. Known: {', '.join(SERVICES)}.")
    snapshot = snapshot or snapshots.current(workspace)
    # A registry of its own: retrieval reads the snapshot it was asked for, whatever is online or being written.
    folder = Path(tempfile.mkdtemp(prefix="coldframe-features-"))
    try:
        store = open_store(workspace, folder)
        store.apply(definitions(snapshot))
        registered = store.get_feature_service(service)
        names = [field.name for view in registered.feature_view_projections for field in view.features]
        spine = _spine(entity_df, service, names)
        job = store.get_historical_features(entity_df=spine, features=registered, filter_by_created_timestamp=True)
        found = job.to_df().sort_values(ROW, ignore_index=True)
    finally:
        shutil.rmtree(folder)
    if list(found[ROW]) != list(spine[ROW]):
        raise ColdframeError(
            f"Feast returned {len(found)} rows for {len(spine)} entities of service {service}. "
            "Look at the offline store in feature_repo/store.py: it must not drop or repeat rows."
        )
    return pd.concat([entity_df, found[names].set_axis(entity_df.index)], axis=1)


def _spine(entity_df: pd.DataFrame, service: str, names: list[str]) -> pd.DataFrame:
    keys = sorted({v.key for v in VIEWS if v.name in SERVICES[service]})
    missing = [c for c in (*keys, EVENT) if c not in entity_df]
    taken = [c for c in (*names, ROW) if c in entity_df]
    if missing or taken:
        raise ConfigurationError(
            f"The entities for service {service} lack the columns {missing or 'none'} and already have the feature "
            f"columns {taken or 'none'}. Add the former and rename the latter."
        )
    spine = entity_df[keys].reset_index(drop=True)
    spine[EVENT] = pd.to_datetime(entity_df[EVENT], utc=True).array
    spine[ROW] = range(len(spine))
    return spine
