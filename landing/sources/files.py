"""Your own data: a folder of CSV or Parquet files in the contract's own names.

Everything that would make a whole file misleading (a renamed column, a cut-off download, another encoding) is found
before a row is read, and all of it is reported at once; everything that concerns one row is left to landing.validate.
CSV cells are read as text and typed one by one, so that a bad cell costs its row and not the file.
"""

import codecs
import csv
import gzip
import hashlib
import io
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from pathlib import Path

import duckdb

from coldframe.errors import BadInputError, ConfigurationError
from landing.contract import BY_NAME, TABLES, Table
from landing.sources import Offer, near, quote

SUFFIXES = (".csv", ".csv.gz", ".parquet")
_CHUNK = 1 << 20
_OF_ONE_LINE = {"MISSING COLUMNS", "TOO MANY COLUMNS"}


@dataclass(frozen=True)
class _File:
    """One file of a table, with the columns it has, in its own order, and how many blank lines precede a CSV header."""

    path: Path
    name: str
    columns: tuple[str, ...]
    blank_lines: int = 0


class Files:
    """Reads `<table>.csv`, `<table>.csv.gz`, `<table>.parquet`, or any number of such files in a folder `<table>/`."""

    def __init__(self, path: Path | None) -> None:
        if path is None:
            raise ConfigurationError(
                "The source 'files' needs to know where your files are: --path FOLDER, or COLDFRAME_SOURCE_PATH."
            )
        self.path = path.expanduser().resolve()

    def probe(self) -> Offer:
        """Checks every file's name, bytes and header. Raises BadInputError naming everything that is wrong at once."""
        files, problems, warnings = self._open
        if problems:
            raise BadInputError(
                f"{self.path} cannot be landed: {len(problems)} problem(s). Nothing was landed.\n  "
                + "\n  ".join(problems)
            )
        paths = tuple(f.path for found in files.values() for f in found)
        newest = max(path.stat().st_mtime for path in paths)
        return Offer(
            tables=tuple(files),
            files=paths,
            # Files are written in local time somewhere; their rows are in UTC.
            delivered_on=datetime.fromtimestamp(newest, UTC).date() + timedelta(days=1),
            warnings=tuple(warnings),
        )

    def read(self, connection: duckdb.DuckDBPyConnection, table: str, first: date | None, last: date) -> str:
        files, _, _ = self._open
        parts = " union all by name ".join(_scan(BY_NAME[table], file) for file in files[table])
        try:
            connection.execute(f"create or replace temp table cells as {parts}")
        except duckdb.Error as error:
            names = ", ".join(f.name for f in files[table])
            raise BadInputError(
                f"{table}: {names} cannot be read: {str(error).splitlines()[0]} Nothing was landed. Export it again."
            ) from error
        if not all(_is_parquet(f.path) for f in files[table]):
            _add_unreadable_lines(connection, table, {str(f.path): f.name for f in files[table]})
        return "from cells"

    @cached_property
    def _open(self) -> tuple[dict[str, list[_File]], list[str], list[str]]:
        if not self.path.is_dir():
            what = "is a file, not a folder" if self.path.exists() else "does not exist"
            raise BadInputError(f"The folder {self.path} {what}. Nothing was landed. Check --path.")
        problems: list[str] = []
        warnings: list[str] = []
        files: dict[str, list[_File]] = {}
        for table, paths in self._find(problems, warnings).items():
            opened = []
            for path in paths:
                name = str(path.relative_to(self.path))
                try:
                    columns, blank = (_parquet_columns(path), 0) if _is_parquet(path) else _csv_columns(path)
                except _UnfitError as error:
                    problems.append(f"{name}: {error}")
                    continue
                problems += [f"{name}: {p}" for p in _column_problems(BY_NAME[table], columns)]
                warnings += [f"{name}: {w}" for w in _column_warnings(BY_NAME[table], columns)]
                opened.append(_File(path, name, columns, blank))
            files[table] = opened
        return files, problems, warnings

    def _find(self, problems: list[str], warnings: list[str]) -> dict[str, list[Path]]:
        found: dict[str, list[Path]] = {}
        unknown = []
        for entry in sorted(self.path.iterdir()):
            table = _stem(entry.name) if entry.is_file() else entry.name
            if entry.name.startswith((".", "_")):
                continue
            if table not in BY_NAME:
                unknown.append(table or entry.name)
                warnings.append(f"{entry.name} is ignored: no table has that name.{near(table or entry.name, BY_NAME)}")
            elif entry.is_file():
                found.setdefault(table, []).append(entry)
            else:
                inside = [p for p in sorted(entry.iterdir()) if not p.name.startswith((".", "_"))]
                known = [p for p in inside if p.is_file() and _stem(p.name)]
                warnings += [
                    f"{table}/{p.name} is ignored: not a {' or '.join(SUFFIXES)} file."
                    for p in inside
                    if p not in known
                ]
                if not known:
                    problems.append(f"{table}/ holds no file. Remove the folder, or put {table} files in it.")
                found.setdefault(table, []).extend(known)
        problems += self._repeated(found)
        for needed in TABLES:
            if needed.required and needed.name not in found:
                hint = near(needed.name, unknown).replace("Did you mean", "Is it").strip()
                problems.append(
                    f"{needed.name} is missing. Add {needed.name}.csv or {needed.name}.parquet. {hint}".strip()
                )
        return found

    def _repeated(self, found: dict[str, list[Path]]) -> Iterator[str]:
        for table, paths in found.items():
            top = [p for p in paths if p.parent == self.path]
            if top and len(paths) > 1:
                names = ", ".join(str(p.relative_to(self.path)) for p in paths)
                yield (
                    f"{table} is there {len(paths)} times: {names}. Keep one, or put files that belong together into "
                    f"{table}/."
                )
                continue
            same: dict[tuple[int, str], str] = {}
            for path in paths:
                with path.open("rb") as stream:
                    content = (path.stat().st_size, hashlib.file_digest(stream, "sha256").hexdigest())
                name = str(path.relative_to(self.path))
                if content in same:
                    yield f"{same[content]} and {name} have the same content. Remove one."
                same.setdefault(content, name)


class _UnfitError(Exception):
    """A file nothing can be read from; the text says why and what to do."""


def _stem(name: str) -> str:
    """'order_lines' for 'order_lines.csv.gz'; '' for a file of another sort."""
    return next((name.removesuffix(suffix) for suffix in SUFFIXES if name.endswith(suffix)), "")


def _chunks(path: Path) -> Iterator[bytes]:
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            yield chunk


def _csv_columns(path: Path) -> tuple[tuple[str, ...], int]:
    """Header of a CSV file and the blank lines before it, after every byte of the file was looked at."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    offset = 0
    head = ""
    has_rows = False
    try:
        for chunk in _chunks(path):
            held = len(decoder.getstate()[0])
            try:
                text = decoder.decode(chunk)
            except UnicodeDecodeError as error:
                wrong, value = offset - held + error.start, error.object[error.start]
                raise _UnfitError(f"not UTF-8: byte {wrong:,} is 0x{value:02x}. Save it as UTF-8.") from error
            if "\0" in text:
                raise _UnfitError(f"not text: byte {offset + chunk.index(0):,} is zero. Save it as CSV in UTF-8.")
            if offset == 0:
                head = text.removeprefix("\ufeff")
            has_rows = has_rows or offset > 0 or bool(head.strip().partition("\n")[2])
            offset += len(chunk)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise _UnfitError(f"the gzip is cut off or damaged after {offset:,} bytes. Copy it again.") from error
    if not head.strip():
        raise _UnfitError("empty. Remove it if there is no such table, or export it again.")
    body = head.lstrip("\r\n")
    columns = next(csv.reader(io.StringIO(body)))
    if len(columns) == 1 and (found := next((s for s in ";\t|" if s in columns[0]), None)):
        raise _UnfitError(f"cells are separated by {found!r}. Save it with commas.")
    if not has_rows:
        raise _UnfitError("a header and no rows. Remove it if there is no such table, or export it again.")
    return tuple(columns), head[: len(head) - len(body)].count("\n")


def _is_parquet(path: Path) -> bool:
    return path.suffix == ".parquet"


def _parquet_columns(path: Path) -> tuple[str, ...]:
    if path.stat().st_size == 0:
        raise _UnfitError("empty. Remove it if there is no such table, or export it again.")
    try:
        with duckdb.connect() as connection:
            described = connection.execute(f"describe from {_parquet(path)}").fetchall()
            [(rows,)] = connection.execute(f"select count(*) from {_parquet(path)}").fetchall()
    except duckdb.Error as error:
        raise _UnfitError(f"not a whole Parquet file ({path.stat().st_size:,} bytes). Copy it again.") from error
    if not rows:
        raise _UnfitError("columns and no rows. Remove it if there is no such table, or export it again.")
    return tuple(str(name) for name, *_ in described)


def _column_problems(table: Table, columns: tuple[str, ...]) -> Iterator[str]:
    for name, times in Counter(columns).items():
        if times > 1:
            yield f"column {name!r} is there {times} times. Keep one."
    unknown = [c for c in columns if c not in table.column_names]
    for column in table.columns:
        if column.name not in columns and not column.nullable:
            hint = near(column.name, unknown).replace("Did you mean", "Is it")
            yield f"column {column.name!r} is missing.{hint} Rename or add it."


def _column_warnings(table: Table, columns: tuple[str, ...]) -> Iterator[str]:
    absent = [c for c in table.column_names if c not in columns]
    for name in columns:
        if name not in table.column_names:
            yield f"column {name!r} is ignored: {table.name} has no such column.{near(name, absent)}"


def _parquet(path: Path) -> str:
    return f"read_parquet({quote(path)}, hive_partitioning = false)"


def _scan(table: Table, file: _File) -> str:
    """SQL of one file's rows: its contract columns, `source_file` and `unreadable`."""
    wanted = ", ".join(f'"{c}"' for c in file.columns if c in table.column_names)
    if _is_parquet(file.path):
        rows = _parquet(file.path)
    else:
        # Columns that are ignored anyway get names that cannot clash; DuckDB's are blind to upper and lower case.
        names = [c if c in table.column_names else f"_{place}" for place, c in enumerate(file.columns)]
        columns = ", ".join(f"{quote(c)}: 'VARCHAR'" for c in names)
        rows = (
            f"read_csv({quote(file.path)}, columns = {{{columns}}}, auto_detect = false, header = true, delim = ',', "
            f"quote = '\"', escape = '\"', skip = {file.blank_lines}, store_rejects = true)"
        )
    return f"select {wanted}, {quote(file.name)} as source_file, cast(null as varchar) as unreadable from {rows}"


def _add_unreadable_lines(connection: duckdb.DuckDBPyConnection, table: str, names: dict[str, str]) -> None:
    """Adds the lines DuckDB could not divide into cells, so that they are counted and quarantined like other rows."""
    rejected = connection.execute(
        """
        select file_path, line, any_value(csv_line), list(distinct error_type)
        from reject_errors join reject_scans using (scan_id, file_id) group by all order by 1, 2
        """
    ).fetchall()
    connection.execute("drop table reject_errors; drop table reject_scans")
    for path, line, _, errors in rejected:
        # After any other error DuckDB may go on reading far behind it, and rows would be lost without a trace.
        if not set(errors) <= _OF_ONE_LINE:
            raise BadInputError(
                f"{table}: {names[path]} cannot be divided into rows from line {line} on: a quotation mark is never "
                "closed, or stands inside a quoted cell. Nothing was landed. Close it, or double it if it belongs to "
                "the text."
            )
    if rejected:
        connection.executemany(
            "insert into cells by name select $1 as source_file, $2 as unreadable",
            [[names[path], text.strip("\r\n")] for path, _, text, _ in rejected],
        )
