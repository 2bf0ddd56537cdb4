"""Online look-ups over HTTP: Feast's own server on the loopback interface for one source.

It also offers writing (/push, /materialize) and asks nobody who they are, so it must never listen on another
interface; behind a gateway, let only /get-online-features and /health through.
"""

import socket
from typing import TYPE_CHECKING

from coldframe.errors import ConfigurationError, NotAvailableError
from coldframe.paths import Workspace, workspace
from feature_repo.store import REGISTRY, open_store

if TYPE_CHECKING:
    from feast.feature_server import FeastServeApplication

HOST = "127.0.0.1"


def serve(source: str, port: int) -> None:
    """Serves POST /get-online-features and GET /health on 127.0.0.1 until it is stopped.

    A question that names no such feature or leaves out the key of one is answered with 4xx and what is wrong with it.
    Raises NotAvailableError before the first materialization and ConfigurationError for a port somebody else has.
    """
    where = workspace(source)
    if not (where.features / REGISTRY).is_file():
        raise NotAvailableError(f"No features of {source} are online yet. {_first(where)}")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise ConfigurationError(
                f"Port {port} on {HOST} cannot be had ({error.strerror}). Choose another with --port."
            ) from error
    _application(where, port).run()


def _first(where: Workspace) -> str:
    options = f"--source {where.source} --as-of DAY"
    if where.current.exists():
        return f"Run `coldframe materialize {options}`."
    return f"Run land, transform, audit and materialize, in this order (`coldframe land {options}` and so on)."


def _application(where: Workspace, port: int) -> "FeastServeApplication":
    """What ``feast serve`` starts, with answers of its own to questions that Feast takes for faults of the server."""
    store = open_store(where, where.features)
    from fastapi import Request
    from fastapi.responses import JSONResponse
    from feast.feature_server import FeastServeApplication
    from feast.permissions.server.utils import (
        ServerType,
        init_auth_manager,
        init_security_manager,
        str_to_auth_manager_type,
    )

    async def unfit(_: Request, error: Exception) -> JSONResponse:
        reason = str(error.args[0]) if error.args else str(error)
        wanted = "Name features as view:feature, and give a list of values for the key of their entity."
        return JSONResponse({"detail": f"The question does not fit what is online: {reason}. {wanted}"}, 422)

    auth = str_to_auth_manager_type(store.config.auth_config.type)
    init_security_manager(auth, store)
    init_auth_manager(ServerType.REST, auth, store.config.auth_config)
    application = FeastServeApplication(
        store,
        bind=f"{HOST}:{port}",
        workers=1,
        keepalive=30,
        registry_ttl_sec=60,
        # By default a worker restarts after a thousand requests, and whoever asks just then waits a second.
        max_requests=0,
        max_requests_jitter=0,
    )
    app = application.load()
    app.add_exception_handler(KeyError, unfit)
    app.add_exception_handler(ValueError, unfit)
    return application
