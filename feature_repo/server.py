"""Online look-ups over HTTP: Feast's own server on the loopback interface for one source.

It also offers writing (/push, /materialize) and asks nobody who they are, so it must never listen on another
interface; behind a gateway, let only /get-online-features and /health through.
"""

import os
import sys

from coldframe.errors import NotAvailableError
from coldframe.paths import workspace
from feature_repo.store import REGISTRY, write_yaml


def serve(source: str, port: int) -> None:
    """Becomes ``feast serve`` (POST /get-online-features, GET /health) on 127.0.0.1; does not return.

    Raises NotAvailableError before the first materialization.
    """
    where = workspace(source)
    if not (where.features / REGISTRY).is_file():
        raise NotAvailableError(f"No features of {source} are online yet. Run `coldframe materialize`.")
    # By default a worker restarts after a thousand requests, and whoever asks just then waits a second.
    unlimited = ["--max-requests", "0", "--max-requests-jitter", "0"]
    listen = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1", "--no-access-log"]
    command = [sys.executable, "-m", "feast.cli.cli", "--feature-store-yaml", str(write_yaml(where)), "serve"]
    os.execvpe(command[0], [*command, *listen, *unlimited], os.environ | {"FEAST_USAGE": "False"})
