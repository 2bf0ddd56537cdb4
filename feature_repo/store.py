"""Where features are kept: the feature store of one workspace, configured in code for every source alike.

Offline Feast reads the published snapshot through DuckDB (its default engine loses entities without features); online
it writes SQLite. Whoever gets a store of the wrong folder serves another source's features.
"""

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from coldframe.paths import Workspace

if TYPE_CHECKING:
    from feast import FeatureStore

ONLINE = "online.db"
REGISTRY = "registry.db"
# Rows turned into Feast's messages at a time: bounds memory where a source has millions of products.
BATCH = 10_000


def config(workspace: Workspace, folder: Path) -> dict[str, Any]:
    """Feast's configuration of a store that lies in `folder`, as feature_store.yaml would have it."""
    return {
        "project": workspace.source,
        "provider": "local",
        # A file, because each materialization replaces it whole: a SQL registry would be written in place.
        "registry": {"registry_type": "file", "path": str(folder / REGISTRY), "cache_ttl_seconds": 60},
        "offline_store": {"type": "duckdb"},
        "online_store": {"type": "sqlite", "path": str(folder / ONLINE)},
        "entity_key_serialization_version": 3,
        "materialization": {"pull_latest_features": True, "online_write_batch_size": BATCH},
    }


def open_store(workspace: Workspace, folder: Path) -> "FeatureStore":
    """A store that lies in `folder`, which must exist."""
    os.environ["FEAST_USAGE"] = "False"
    # ibis 12 calls a method DuckDB 2 has renamed; nobody who reads our output can do anything about it.
    warnings.filterwarnings("ignore", r"fetch_arrow_table\(\) is deprecated", DeprecationWarning)
    from feast import FeatureStore, RepoConfig

    return FeatureStore(config=RepoConfig(repo_path=folder, **config(workspace, folder)))


def write_yaml(workspace: Workspace) -> Path:
    """feature_store.yaml for Feast's own commands. Returns its path."""
    path = workspace.features / "feature_store.yaml"
    path.write_text(yaml.safe_dump(config(workspace, workspace.features), sort_keys=False))
    return path
