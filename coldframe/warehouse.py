"""The warehouse behind one small interface: DuckDB now, PostgreSQL by another URL later.

DuckDB allows one writing process and no readers beside it, so connections are opened for a step and closed again;
nothing long-lived holds one. Everybody who only reads takes the published snapshot instead.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
import ibis
from ibis.backends.sql import SQLBackend
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_exponential_jitter

from coldframe.errors import NotAvailableError, WarehouseBusyError
from coldframe.paths import Workspace
from coldframe.settings import Settings, get_settings


def warehouse_url(workspace: Workspace, settings: Settings | None = None) -> str:
    settings = settings or get_settings()
    return settings.warehouse_url or f"duckdb://{workspace.warehouse_file}"


@retry(
    retry=retry_if_exception_type(WarehouseBusyError),
    stop=stop_after_delay(60),
    wait=wait_exponential_jitter(initial=0.2, max=5),
    reraise=True,
)
def _open(url: str, settings: Settings) -> SQLBackend:
    try:
        backend = ibis.connect(url)
    except duckdb.IOException as error:
        if "lock" in str(error).lower():
            raise WarehouseBusyError(
                f"Another process holds the warehouse {url}: {error}. "
                "Wait for the running step, or see `coldframe doctor`."
            ) from error
        raise
    if backend.name == "duckdb":
        backend.raw_sql(f"set threads to {settings.threads}")
        backend.raw_sql(f"set memory_limit = '{settings.memory_limit}'")
        backend.raw_sql("set timezone = 'UTC'")
        backend.raw_sql("set preserve_insertion_order = true")
    return backend


@contextmanager
def connect(workspace: Workspace, *, settings: Settings | None = None, create: bool = False) -> Iterator[SQLBackend]:
    """An Ibis backend on the workspace's warehouse, closed on leaving the block.

    Waits up to a minute for another process to let go. Raises WarehouseBusyError after that, and NotAvailableError
    where there is no warehouse yet and `create` is false.
    """
    settings = settings or get_settings()
    url = warehouse_url(workspace, settings)
    if url.startswith("duckdb://") and not workspace.warehouse_file.exists() and not settings.warehouse_url:
        if not create:
            raise NotAvailableError(
                f"There is no warehouse for {workspace.source} yet. Run `coldframe transform` first."
            )
        workspace.warehouse_file.parent.mkdir(parents=True, exist_ok=True)
    backend = _open(url, settings)
    try:
        yield backend
    finally:
        backend.disconnect()
