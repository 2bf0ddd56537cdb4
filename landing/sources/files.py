"""Your own data: a folder of CSV or Parquet files in the contract's own names, or with a mapping.yaml that maps yours.

Everything that would make a whole file misleading (a renamed column, a cut-off download, another encoding) is found
before a row is read, and all of it is reported at once; everything that concerns one row is left to landing.validate.
CSV cells are read as text and typed one by one, so that a bad cell costs its row and not the file.
"""

import codecs
import csv
import gzip
import hashlib
import io
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from itertools import chain
from pathlib import Path

import duckdb
from pydantic import BaseModel, field_validator

from coldframe.documents import Fault, near
from coldframe.errors import BadInputError, ConfigurationError
from landing.contract import BY_NAME, TABLES, Table
from landing.expressions import Cell
from landing.mapping import FILE, ColumnMap, Plan, TableEntry, Tables, read, write_cells
from landing.sources import Offer, quote

SUFFIXES = (".csv", ".csv.gz", ".parquet")
_CHUNK = 1 << 20
_OF_ONE_LINE = {"MISSING COLUMNS", "TOO MANY COLUMNS"}


class Written(BaseModel):
    """How CSV files are written, told beside a mapping; empty: as the whole mapping says, or commas and UTF-8."""

    separator: str = ""
    encoding: str = ""

    @field_validator("separator")
    @classmethod
    def _one_sign(cls, given: str) -> str:
        if len(given) != 1 or given.isalnum() or given in "\"'\r\n\0":
            raise ValueError(f'{given!r} is not one sign such as ";" or "\\t"')
        return given

    @field_validator("encoding")
    @classmethod
    def _known(cls, given: str) -> str:
        try:
            b"a".decode(given)
        except UnicodeDecodeError:
            pass
        except (LookupError, ValueError) as error:
            raise ValueError(f"no encoding is called {given!r}, as utf-8, cp1252, latin-1 or utf-16 are") from error
        return given


class FileEntry(Written, TableEntry):
    """Where one table comes from, and how its CSV files are written."""


class FileTables(Written, Tables):
    """The whole of a `mapping.yaml`."""

    tables: dict[str, FileEntry] = {}  # type: ignore[assignment]

    def written(self, table: str) -> "_Way":
        own = self.tables.get(table, FileEntry())
        return _Way(own.separator or self.separator or ",", own.encoding or self.encoding or "UTF-8")


@dataclass(frozen=True)
class _Way:
    """How a CSV file is written."""

    separator: str
    encoding: str

    @property
    def is_utf8(self) -> bool:
        return codecs.lookup(self.encoding).name == "utf-8"


@dataclass(frozen=True)
class _File:
    """One file as a table: how many columns it has, SQL of the contract's, and blank lines before a CSV header."""

    path: Path
    name: str
    width: int
    select: str
    way: _Way
    blank_lines: int = 0


@dataclass
class _Told:
    """What is wrong with a delivery: with its files, with its mapping, and what only deserves a word."""

    problems: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


class Files:
    """Reads `<table>.csv`, `<table>.csv.gz`, `<table>.parquet`, or any number of such files in a folder `<table>/`.

    A `mapping.yaml` beside them says which files and columns mean which of the contract's.
    """

    def __init__(self, path: Path | None) -> None:
        if path is None:
            raise ConfigurationError(
                "The source 'files' needs to know where your files are: --path FOLDER, or COLDFRAME_SOURCE_PATH."
            )
        self.path = path.expanduser().resolve()

    def probe(self) -> Offer:
        """Checks mapping, names, bytes and headers. Raises BadInputError naming everything that is wrong at once."""
        files, problems, warnings = self._open
        if problems:
            raise BadInputError(
                f"{self.path} cannot be landed: {len(problems)} problem(s). Nothing was landed.\n  "
                + "\n  ".join(problems)
            )
        paths = tuple(dict.fromkeys(file.path for those in files.values() for file in those))
        newest = max(path.stat().st_mtime for path in paths)
        mapping = self.path / FILE
        return Offer(
            tables=tuple(files),
            files=(*paths, mapping) if mapping.is_file() else paths,
            # Files are written in local time somewhere; their rows are in UTC.
            delivered_on=datetime.fromtimestamp(newest, UTC).date() + timedelta(days=1),
            warnings=tuple(warnings),
        )

    def read(self, connection: duckdb.DuckDBPyConnection, table: str, first: date | None, last: date) -> str:
        with _in_utf8(connection, self._open[0][table]) as files:
            parts = " union all by name ".join(map(_scan, files))
            try:
                write_cells(connection, parts)
            except duckdb.Error as error:
                names = ", ".join(f.name for f in files)
                raise BadInputError(
                    f"{table}: {names} cannot be read: {str(error).splitlines()[0]} Nothing was landed. Export it "
                    "again."
                ) from error
            if not all(_is_parquet(f.path) for f in files):
                _add_unreadable_lines(connection, table, {str(f.path): f.name for f in files})
        return "from cells"

    @cached_property
    def _open(self) -> tuple[dict[str, list[_File]], list[str], list[str]]:
        """Files by table, problems and warnings."""
        if not self.path.is_dir():
            what = "is a file, not a folder" if self.path.exists() else "does not exist"
            raise BadInputError(f"The folder {self.path} {what}. Nothing was landed. Check --path.")
        written = self.path / FILE
        mapping = read(written, FileTables) if written.is_file() else ColumnMap(FileTables())
        told = _Told()
        found = self._find(mapping, told)
        ways = {name: mapping.settings.written(name) for name in found}
        headers: dict[tuple[Path, _Way], _Header] = {}
        for path, way in dict.fromkeys((path, ways[name]) for name, paths in found.items() for path in paths):
            try:
                headers[path, way] = _parquet_header(path) if _is_parquet(path) else _csv_header(path, way)
            except _UnfitError as error:
                told.problems.append(f"{self._name(path)}: {error}")
        files: dict[str, list[_File]] = {}
        for name, paths in found.items():
            table, way, files[name] = BY_NAME[name], ways[name], []
            fit = [path for path in paths if (path, way) in headers]
            empty = [path for path in fit if headers[path, way].empty]
            self._tell_of_empty(table, empty, len(paths), told)
            told.problems += self._repeated([path for path in paths if path not in empty])
            for path in fit:
                header, shown = headers[path, way], self._name(path)
                plan = mapping.plan(table, header.cells, shown)
                told.faults += plan.faults
                told.problems += [f"{shown}: {p}" for p in _column_problems(table, header, plan)]
                told.warnings += [f"{shown}: {w}" for w in _column_warnings(table, plan, name in mapping.tables)]
                files[name].append(_File(path, shown, len(header.columns), plan.select, way, header.blank_lines))
        return files, [*mapping.told(told.faults), *dict.fromkeys(told.problems)], told.warnings

    def _tell_of_empty(self, table: Table, empty: list[Path], of: int, told: _Told) -> None:
        """A file without rows is a day without any; a table without rows must be one that can do without."""
        if not empty or len(empty) < of or table.may_be_empty:
            return
        what = f"{_listed(map(self._name, empty))}: a header and no rows"
        if table.required:
            told.problems.append(f"{what}. Export it again.")
        else:
            told.warnings.append(f"{what}, so {table.name} is empty. Remove it if there is no such table.")

    def _find(self, mapping: ColumnMap[FileTables], told: _Told) -> dict[str, list[Path]]:
        """The files of each table: those the mapping names, otherwise those that bear the table's name."""
        found = {table: self._mapped(table, mapping, told) for table in mapping.tables if mapping.origin(table)}
        taken = {part for table in found for name in mapping.origin(table) for part in Path(name).parts[:1]}
        unknown = []
        for entry in sorted(self.path.iterdir()):
            table = _stem(entry.name) if entry.is_file() else entry.name
            if entry.name.startswith((".", "_")) or entry.name == FILE or table in mapping.settings.leave_out:
                continue
            if entry.name == "mapping.yml":
                told.problems.append(f"mapping.yml: call it {FILE}.")
            elif table in BY_NAME and not mapping.origin(table):
                files = self._files_at(Path(entry.name), told)
                if not files:
                    told.problems.append(f"{table}/ holds no file. Remove the folder, or put {table} files in it.")
                found.setdefault(table, []).extend(files)
            elif entry.name not in taken:
                unknown.append(table or entry.name)
                why = "the mapping says otherwise" if table in BY_NAME else "no table has that name"
                hint = "" if table in BY_NAME else near(table or entry.name, BY_NAME)
                told.warnings.append(f"{entry.name} is ignored: {why}.{hint}")
        for table, paths in found.items():
            if len(paths) > 1 and not mapping.origin(table) and any(p.parent == self.path for p in paths):
                told.problems.append(
                    f"{table} is there {len(paths)} times: {', '.join(map(self._name, paths))}. Keep one, or put files "
                    f"that belong together into {table}/."
                )
                found[table] = []
        for table in mapping.tables:
            if table not in found and not mapping.is_broken(("tables", table)):
                what = f"there is no {table}.csv or {table}.parquet. Say `from:` which file holds its rows."
                told.faults.append(Fault(("tables", table), what, key=True))
        for needed in TABLES:
            told_already = needed.name in mapping.tables or mapping.is_broken(("tables", needed.name))
            if needed.required and needed.name not in found and not told_already:
                hint = near(needed.name, unknown).replace("Did you mean", "Is it").strip()
                told.problems.append(
                    f"{needed.name} is missing. Add {needed.name}.csv or {needed.name}.parquet. {hint}".strip()
                )
        return found

    def _mapped(self, table: str, mapping: ColumnMap[FileTables], told: _Told) -> list[Path]:
        found = []
        for number, name in enumerate(mapping.origin(table)):
            files = self._files_at(Path(name), told)
            if not files:
                there = [p.name for p in self.path.iterdir() if p.is_dir() or _stem(p.name)]
                what = f"the folder has no {' or '.join(SUFFIXES)} file {name!r}.{near(name, there)}"
                told.faults.append(Fault(("tables", table, "from", number), f"{table}: {what}"))
            found += files
        return found

    def _files_at(self, path: Path, told: _Told) -> list[Path]:
        """The file at `path`, or all files of the folder there, as far as they can hold rows and lie in here."""
        if not path.parts or path.is_absolute() or ".." in path.parts:
            return []
        place = self.path / path
        if not place.is_dir():
            return [place] if place.is_file() and _stem(place.name) else []
        inside = [p for p in sorted(place.iterdir()) if not p.name.startswith((".", "_"))]
        known = [p for p in inside if p.is_file() and _stem(p.name)]
        told.warnings += [
            f"{self._name(p)} is ignored: not a {' or '.join(SUFFIXES)} file." for p in inside if p not in known
        ]
        return known

    def _name(self, path: Path) -> str:
        return str(path.relative_to(self.path))

    def _repeated(self, paths: list[Path]) -> Iterator[str]:
        same: dict[tuple[int, str], list[str]] = {}
        for path in paths:
            with path.open("rb") as stream:
                content = (path.stat().st_size, hashlib.file_digest(stream, "sha256").hexdigest())
            same.setdefault(content, []).append(self._name(path))
        for names in same.values():
            if len(names) > 1:
                yield f"{_listed(names)} have the same content. Keep one."


class _UnfitError(Exception):
    """A file nothing can be read from; the text says why and what to do."""


def _stem(name: str) -> str:
    """'order_lines' for 'order_lines.csv.gz'; '' for a file of another sort."""
    return next((name.removesuffix(suffix) for suffix in SUFFIXES if name.endswith(suffix)), "")


def _chunks(path: Path) -> Iterator[bytes]:
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            yield chunk


@dataclass(frozen=True)
class _Header:
    """Names and DuckDB types of a file's columns, in its own order."""

    columns: tuple[str, ...]
    types: tuple[str, ...]
    blank_lines: int = 0
    empty: bool = False

    @property
    def cells(self) -> dict[str, Cell]:
        """Columns are known by their place: names can clash in SQL, which is blind to upper and lower case."""
        typed = enumerate(zip(self.columns, self.types, strict=True))
        return {name: Cell(f"_{place}", kind, kind) for place, (name, kind) in typed}


def _csv_header(path: Path, way: _Way) -> _Header:
    """Header of a CSV file, after every byte of the file was looked at."""
    decoder = codecs.getincrementaldecoder(way.encoding)()
    offset = 0
    head = ""
    has_rows = False
    try:
        for chunk in chain(_chunks(path), [b""]):
            held = len(decoder.getstate()[0])
            try:
                text = decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                wrong, value = offset - held + error.start, error.object[error.start]
                advice = f"Save it as UTF-8, or say its `encoding` in {FILE}." if way.is_utf8 else "Name the right one."
                raise _UnfitError(f"not {way.encoding}: byte {wrong:,} is 0x{value:02x}. {advice}") from error
            if "\0" in text:
                raise _UnfitError(f"not text: byte {offset + chunk.index(0):,} is zero. Save it as CSV in UTF-8.")
            if offset == 0:
                head = text.removeprefix("\ufeff")
            has_rows = has_rows or (offset > 0 and bool(text)) or bool(head.strip().partition("\n")[2])
            offset += len(chunk)
    except gzip.BadGzipFile as error:
        if offset == 0:
            raise _UnfitError("not gzip, as .gz promises. Compress it, or take .gz off its name.") from error
        raise _UnfitError(_cut_off(offset)) from error
    except (EOFError, zlib.error) as error:
        raise _UnfitError(_cut_off(offset)) from error
    if not head.strip():
        raise _UnfitError("empty. Remove it if there is no such table, or export it again.")
    body = head.lstrip("\r\n")
    columns = next(csv.reader(io.StringIO(body), delimiter=way.separator))
    others = (sign for sign in ",;\t|" if sign != way.separator)
    if len(columns) == 1 and (found := next((s for s in others if s in columns[0]), None)):
        advice = "Save it with commas, or say" if way.separator == "," else f"{way.separator!r} was said. Say"
        raise _UnfitError(f"cells are separated by {found!r}. {advice} `separator:` in {FILE}.")
    blank_lines = head[: len(head) - len(body)].count("\n")
    return _Header(tuple(columns), ("VARCHAR",) * len(columns), blank_lines, empty=not has_rows)


def _cut_off(offset: int) -> str:
    return f"the gzip is cut off or damaged after {offset:,} bytes. Copy it again."


@contextmanager
def _in_utf8(connection: duckdb.DuckDBPyConnection, files: list[_File]) -> Iterator[list[_File]]:
    """The files, those of another encoding as temporary copies: DuckDB alone knows too few of them."""
    if all(file.way.is_utf8 or _is_parquet(file.path) for file in files):
        yield files
        return
    [(spill,)] = connection.execute("select current_setting('temp_directory')").fetchall()
    Path(spill).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=spill) as folder:
        copies = []
        for number, file in enumerate(files):
            if file.way.is_utf8 or _is_parquet(file.path):
                copies.append(file)
                continue
            decoder = codecs.getincrementaldecoder(file.way.encoding)()
            copy = Path(folder) / f"{number}.csv"
            with copy.open("wb") as stream:
                for chunk in _chunks(file.path):
                    stream.write(decoder.decode(chunk).encode("utf-8"))
            copies.append(replace(file, path=copy))
        yield copies


def _listed(names: Iterable[str]) -> str:
    """'a, b and c'; of more than five the first four, and how many others."""
    given = list(names)
    shown = given if len(given) <= 5 else [*given[:4], f"{len(given) - 4} more"]
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))


def _is_parquet(path: Path) -> bool:
    return path.suffix == ".parquet"


def _parquet_header(path: Path) -> _Header:
    if path.stat().st_size == 0:
        raise _UnfitError("empty. Remove it if there is no such table, or export it again.")
    try:
        with duckdb.connect() as connection:
            described = connection.execute(f"describe from {_parquet(path)}").fetchall()
            [(rows,)] = connection.execute(f"select count(*) from {_parquet(path)}").fetchall()
    except duckdb.Error as error:
        raise _UnfitError(f"not a whole Parquet file ({path.stat().st_size:,} bytes). Copy it again.") from error
    names, kinds = (tuple(str(row[n]) for row in described) for n in (0, 1))
    return _Header(names, kinds, empty=not rows)


def _column_problems(table: Table, header: _Header, plan: Plan) -> Iterator[str]:
    for name, times in Counter(header.columns).items():
        if times > 1:
            yield f"column {name!r} is there {times} times. Keep one."
    unknown = [c for c in header.columns if c not in table.column_names]
    for name in plan.missing:
        hint = near(name, unknown).replace("Did you mean", "Is it")
        yield f"column {name!r} is missing.{hint} Rename or add it, or map it in {FILE}."


def _column_warnings(table: Table, plan: Plan, mapped: bool) -> Iterator[str]:
    """What becomes of columns nobody reads. Of a table that is mapped, only what looks like a slip."""
    for name in plan.unread:
        hint = near(name, plan.absent)
        if hint or not mapped:
            yield f"column {name!r} is ignored: {table.name} has no such column.{hint}"


def _parquet(path: Path) -> str:
    return f"read_parquet({quote(path)}, hive_partitioning = false)"


def _scan(file: _File) -> str:
    """SQL of one file's rows: its contract columns, `source_file` and `unreadable`."""
    names = [f"_{place}" for place in range(file.width)]
    if _is_parquet(file.path):
        rows = f"{_parquet(file.path)} as cells({', '.join(names)})"
    else:
        columns = ", ".join(f"{quote(name)}: 'VARCHAR'" for name in names)
        rows = (
            f"read_csv({quote(file.path)}, columns = {{{columns}}}, auto_detect = false, header = true, "
            f"delim = {quote(file.way.separator)}, quote = '\"', escape = '\"', skip = {file.blank_lines}, "
            "store_rejects = true)"
        )
    return f"select {file.select}, {quote(file.name)} as source_file, cast(null as varchar) as unreadable from {rows}"


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
