"""A folder of a public data set's own files, as those who publish it name them.

Copies differ in format (the publisher's CSV, somebody's Parquet) but not in names. All that would make a copy
misleading as a whole, a missing file or a renamed column, is found before a row is read and told at once; cells of a
CSV stay text, so that the contract's checks see what the file says and a bad cell costs its row, not the file.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import duckdb

from coldframe.documents import near
from coldframe.errors import BadInputError, ConfigurationError
from landing.sources import quote
from landing.sources.files import SUFFIXES


def tables(folder: Path | None, columns: Mapping[str, Iterable[str]], what: str, where: str) -> dict[str, Path]:
    """The file of each stem in `columns`: ``<stem>.parquet``, ``.csv`` or ``.csv.gz``, in upper or lower case.

    `columns` maps a stem to the columns its file must have, in the publisher's spelling; more are fine. `what` names
    the data set and `where` says, as a sentence, how to get it. Raises BadInputError naming every file that is
    missing, twice there or unreadable and every missing column, and ConfigurationError if `folder` is None.
    """
    folder = given(folder, what, where)
    if not folder.is_dir():
        state = "is a file, not a folder" if folder.exists() else "does not exist"
        raise BadInputError(f"The folder {folder} {state}. Nothing was landed. Check --path. {where}")
    present = sorted(p for p in folder.iterdir() if p.is_file() and stem(p))
    found: dict[str, Path] = {}
    problems = []
    for wanted, needed in columns.items():
        files = [p for p in present if stem(p) == wanted.lower()]
        if not files:
            problems.append(f"{wanted}.csv (or .csv.gz, .parquet) is missing.")
        elif len(files) > 1:
            problems.append(f"{wanted} is there {len(files)} times: {', '.join(p.name for p in files)}. Keep one.")
        else:
            problems += column_problems(files[0], needed)
            found[wanted] = files[0]
    if problems:
        raise BadInputError(
            f"{folder} is not the {what} data set: {len(problems)} problem(s). Nothing was landed. {where}\n  "
            + "\n  ".join(problems)
        )
    return found


def given(path: Path | None, what: str, where: str) -> Path:
    """`path` in full. Raises ConfigurationError if it is None, because no data set comes with Coldframe."""
    if path is None:
        raise ConfigurationError(
            f"The source needs to know where your copy of the {what} data set is: --path FOLDER, or "
            f"COLDFRAME_SOURCE_PATH. {where}"
        )
    return path.expanduser().resolve()


def stem(path: Path) -> str:
    """'m5' for 'M5.csv.gz', in lower case; '' for a file that is neither CSV nor Parquet."""
    name = path.name.lower()
    return next((name.removesuffix(suffix) for suffix in SUFFIXES if name.endswith(suffix)), "")


def column_problems(path: Path, needed: Iterable[str]) -> list[str]:
    """What is wrong with a file's header, as sentences that name the file; nothing is told of its rows."""
    try:
        with duckdb.connect() as connection:
            names = [str(row[0]) for row in connection.execute(f"describe from {scan(path)}").fetchall()]
    except duckdb.Error as error:
        return [f"{path.name} cannot be read: {_told(error)} Get it again."]
    return [
        f"{path.name}: column {column!r} is missing.{near(column, names).replace('Did you mean', 'Is it')} "
        "Name it as the publisher does."
        for column in needed
        if column not in names
    ]


def scan(path: Path) -> str:
    """SQL that reads the file: columns of a Parquet file in their own types, those of a CSV as text."""
    if path.suffix.lower() == ".parquet":
        return f"read_parquet({quote(path)}, hive_partitioning = false)"
    return (
        f"read_csv({quote(path)}, all_varchar = true, header = true, delim = ',', quote = '\"', escape = '\"', "
        "comment = '', skip = 0)"
    )


def load(connection: duckdb.DuckDBPyConnection, files: Mapping[str, Path]) -> None:
    """Makes each file known to `connection` under its key, once. Raises BadInputError for a CSV that breaks off.

    A CSV is read here and now, so that what is wrong with it is told of the file and not of some query over it.
    """
    for name, path in files.items():
        kind = "view" if path.suffix.lower() == ".parquet" else "table"
        try:
            connection.execute(f"create temp {kind} if not exists {name} as from {scan(path)}")
        except duckdb.Error as error:
            raise BadInputError(
                f"{path.name} cannot be read: {_told(error)} Nothing was landed. Get the file again; a CSV must be "
                "UTF-8, separated by commas."
            ) from error


def _told(error: duckdb.Error) -> str:
    """What DuckDB says of a file, without the query and without advice about its own settings."""
    said = str(error).partition("\n\n")[0].partition("\nPossible")[0]
    return " ".join(said.split())[:300].rstrip(".") + "."


def rows(columns: str, values: Iterable[Sequence[object]]) -> str:
    """SQL of a small table an adapter knows by heart; `columns` is the list of its names."""
    lines = ", ".join(f"({', '.join(map(quote, line))})" for line in values)
    return f"select * from (values {lines}) as known({columns})"
