"""How landing asks a source for its rows, whatever the source is.

An adapter says what it has before a row is read, and then gives one relation per contract table. It knows its own
files and nothing of days landed before, of the quarantine or of the disk layout, so that a new source is one small
module (docs/bring-your-own-data.md). When an adapter maps a column wrongly, no check downstream can tell.
"""

from dataclasses import dataclass
from datetime import date
from importlib import import_module
from pathlib import Path
from typing import Protocol

import duckdb

from coldframe.documents import near
from coldframe.errors import ConfigurationError

ADAPTERS: dict[str, str] = {
    "complete_journey": "landing.sources.complete_journey:CompleteJourney",
    "marketplace": "landing.sources.marketplace:Marketplace",
    "m5": "landing.sources.m5:M5",
    "files": "landing.sources.files:Files",
    "olist": "landing.sources.olist:Olist",
    "online_retail_ii": "landing.sources.online_retail_ii:OnlineRetail",
    "postgres": "landing.sources.postgres:Postgres",
}
"""Name of a source -> 'module:class'. The class is called with the request's path, which may be None."""


@dataclass(frozen=True)
class Offer:
    """What a source has, found out before any row is read.

    `files` are all files it would read, and `stamp` tells any other state it is in: while they and the code are the
    same, nothing is landed again.
    `delivered_on` is the day the rows were handed over; nothing in them can have happened later. `currency` is the
    ISO 4217 code of its money: a line that names another one is refused. `suggested_as_of` is a day to try the source
    with. A source too big to be checked at once says its `first_day` and how many days a piece has (`piece_days`):
    events are then read piece by piece, and rows with the same key must lie in the same piece.
    """

    tables: tuple[str, ...]
    files: tuple[Path, ...]
    delivered_on: date
    warnings: tuple[str, ...] = ()
    currency: str | None = None
    suggested_as_of: date | None = None
    first_day: date | None = None
    piece_days: int | None = None
    stamp: str = ""


class Source(Protocol):
    """One adapter."""

    def probe(self) -> Offer:
        """Looks at names, headers and shapes only. Raises BadInputError for what cannot be read at all."""

    def read(self, connection: duckdb.DuckDBPyConnection, table: str, first: date | None, last: date) -> str:
        """A query whose columns are the contract's, of whatever type, with at most the contract's rows of `table`.

        Rows of events before `first` or after `last` may be left out; landing leaves them out otherwise. A column
        `source_file` says where a row came from; `unreadable` holds the text of a line that has no columns; `refused`
        says why the adapter itself holds a row unfit (a stock adjustment among the orders), and is empty otherwise.
        Temporary tables may be made on `connection`. Raises BadInputError.
        """


def open_source(name: str, path: Path | None) -> Source:
    """The adapter called `name`. Raises ConfigurationError for a name nobody registered."""
    if name not in ADAPTERS:
        raise ConfigurationError(
            f"There is no source {name!r}.{near(name, ADAPTERS)} Known: {', '.join(sorted(ADAPTERS))}."
        )
    module, _, attribute = ADAPTERS[name].partition(":")
    source: Source = getattr(import_module(module), attribute)(path)
    return source


def suggested_as_of(name: str, path: Path | None) -> date | None:
    """The day the source suggests to try it with. Raises as `open_source` and `Source.probe` do."""
    return open_source(name, path).probe().suggested_as_of


def quote(text: object) -> str:
    """`text` as an SQL string."""
    return "'" + str(text).replace("'", "''") + "'"
