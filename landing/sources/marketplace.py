"""A simulated marketplace, delivered day by day: content commerce whose truth is known to evaluations alone.

Days that nobody generated yet are generated when they are landed, each the same as on any other installation with the
same parameters. State tables are those the marketplace would hand over at the end of the as-of, so a run for an earlier
day knows of no later product or campaign.
"""

from datetime import date, timedelta
from pathlib import Path

import duckdb

from coldframe.documents import near
from coldframe.errors import BadInputError
from coldframe.settings import get_settings
from landing.contract import BY_NAME
from landing.sources import Offer, quote
from marketplace.delivery import CURRENCY, EVENTS, STATES, Deliveries, default_folder, found_deliveries, open_deliveries

_PIECE_DAYS = 28
_MANY_CUSTOMERS = 200_000


class Marketplace:
    """Adapter. `path` is a folder `coldframe simulate` made; None: the installation's own, made with the defaults."""

    def __init__(self, path: Path | None) -> None:
        folder = path.expanduser().resolve() if path else default_folder(get_settings().home)
        self.deliveries: Deliveries = open_deliveries(folder) if path else found_deliveries(folder, None)

    def probe(self) -> Offer:
        made, parameters = self.deliveries, self.deliveries.parameters
        # A line that comes late lies in another piece than its day, so only punctual deliveries can be cut.
        in_pieces = parameters.scale.customers > _MANY_CUSTOMERS and not parameters.dirt.late
        return Offer(
            tables=(*STATES, *EVENTS),
            files=(made.parameters_file,),
            delivered_on=made.first_day,
            currency=CURRENCY,
            suggested_as_of=made.suggested_as_of,
            first_day=made.first_day,
            piece_days=_PIECE_DAYS if in_pieces else None,
        )

    def read(self, connection: duckdb.DuckDBPyConnection, table: str, first: date | None, last: date) -> str:
        made = self.deliveries
        if table in STATES:
            connection.register("marketplace_state", made.state(table, last))
            return f"select *, {quote(table)} as source_file from marketplace_state"
        begin = max(first or made.first_day, made.first_day)
        made.generate(begin, last)
        span = (begin + timedelta(days=n) for n in range((last - begin).days + 1))
        files = [str(file) for file in (made.file(table, day) for day in span) if file.exists()]
        if not files:
            columns = ", ".join(f"cast(null as {c.type.value}) as {c.name}" for c in BY_NAME[table].columns)
            return f"select {columns} where false"
        _refuse_drift(connection, table, files)
        scan = f"read_parquet([{', '.join(map(quote, files))}], union_by_name = true, filename = true)"
        return (
            f"select * exclude (filename), {quote(f'{table}/')} || parse_filename(filename) as source_file from {scan}"
        )


def _refuse_drift(connection: duckdb.DuckDBPyConnection, table: str, files: list[str]) -> None:
    """Raises BadInputError naming the first file that lacks a column the contract's table needs."""
    described = connection.execute(
        f"select file_name, list(name) from parquet_schema([{', '.join(map(quote, files))}]) group by 1 order by 1"
    ).fetchall()
    for file, columns in described:
        for column in BY_NAME[table].columns:
            if column.name not in columns and not column.optional:
                others = [c for c in columns if c not in BY_NAME[table].column_names]
                hint = near(column.name, others).replace("Did you mean", "Is it")
                day = date.fromisoformat(Path(file).stem) - timedelta(days=1)
                raise BadInputError(
                    f"{table}/{Path(file).name}: column {column.name!r} is missing.{hint} Nothing was landed. Mend the "
                    f"export from that day on, or land up to {day}."
                )
