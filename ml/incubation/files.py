"""Files that people bring, opened as they stand: nothing is skipped, and a slip is told with its line.

When this file is wrong, rows vanish before anybody counts them.
"""

import csv
import gzip
import io
from itertools import islice
from pathlib import Path
from typing import TextIO

import duckdb
import pandas as pd

from coldframe.errors import BadInputError, ConfigurationError

_EMPTY = "has no rows. There is one for each thing that was shown, or that a policy may show."


def opened(connection: duckdb.DuckDBPyConnection, source: Path | pd.DataFrame, name: str) -> list[str]:
    """The columns of a .csv, .csv.gz or .parquet file, or of a frame, which becomes the table `file` with its rows in
    their order (all text, if it is a CSV).

    Raises ConfigurationError for a file there is none of, BadInputError for one that cannot be read or has no rows.
    """
    if isinstance(source, pd.DataFrame):
        connection.register("given", source)
        reader = "given"
    else:
        suffix = Path(source.stem).suffix if source.suffix == ".gz" else source.suffix
        if suffix not in (".csv", ".parquet"):
            raise ConfigurationError(f"{name} should end in .csv, .csv.gz or .parquet: that says how it is read.")
        if not source.is_file():
            raise ConfigurationError(f"There is no file {source}.")
        reader = f"read_parquet({_quoted(source)})" if suffix == ".parquet" else _csv(source, name)
    try:
        connection.execute(f"create table file as select * from {reader}")
        names = [str(row[0]) for row in connection.execute("describe file").fetchall()]
    except duckdb.Error as error:
        if isinstance(source, Path) and "not utf-8" in str(error):
            raise _not_utf8(source, name) from error
        said = " ".join(
            str(error).partition("\nPossible")[0].removeprefix("Invalid Input Error: CSV Error on ").split()
        )
        raise BadInputError(f"{name} cannot be read: {said.rstrip('.')}.") from error
    if not connection.execute("select count(*) from file").fetchall()[0][0]:
        raise BadInputError(f"{name} {_EMPTY}")
    return names


def _csv(file: Path, name: str) -> str:
    """SQL that reads a CSV as text. Nothing but its delimiter is guessed: DuckDB's own guess skips lines at the top
    until the rest is of one kind."""
    try:
        with _text(file) as stream:
            first = stream.readline()
            delimiter = max(",;\t|", key=first.count)
            stream.seek(0)
            header = next(csv.reader(stream, delimiter=delimiter), [])
    except UnicodeDecodeError as error:
        raise _not_utf8(file, name) from error
    except (OSError, EOFError, csv.Error) as error:
        raise BadInputError(f"{name} cannot be read: {error}.") from error
    columns = [column.strip() or f"column {place}" for place, column in enumerate(header, start=1)]
    if not columns:
        raise BadInputError(f"{name} {_EMPTY} Its first line names the columns.")
    if twice := sorted({column for column in columns if columns.count(column) > 1}):
        raise BadInputError(f"{name} has the column {', '.join(twice)} more than once. Keep one.")
    types = ", ".join(f"{_quoted(column)}: 'VARCHAR'" for column in columns)
    return (
        f"read_csv({_quoted(file)}, auto_detect = false, header = true, delim = {_quoted(delimiter)}, quote = '\"', "
        f"escape = '\"', columns = {{{types}}})"
    )


def _text(file: Path, errors: str = "strict") -> TextIO:
    way = gzip.open if file.suffix == ".gz" else open
    return io.TextIOWrapper(way(file, "rb"), encoding="utf-8-sig", errors=errors, newline="")


def _not_utf8(file: Path, name: str) -> BadInputError:
    with _text(file, errors="replace") as stream:
        line = next(number for number, line in enumerate(stream, start=1) if "\ufffd" in line)
    return BadInputError(f"{name}, line {line}: the text is not UTF-8. Save the file as UTF-8.")


def _quoted(value: object) -> str:
    return "'" + str(value).replace("'", "''") + "'"


def place(file: Path | None, row: int) -> str:
    """Where a row (0, 1, …) stands: the line of a CSV, in which cells may break lines and blank lines are no rows."""
    if file is None or file.suffix == ".parquet":
        return f"row {row + 1}"
    with _text(file) as stream:
        reader = csv.reader(stream)
        return f"line {next(islice((reader.line_num for cells in reader if cells), row + 1, None))}"
