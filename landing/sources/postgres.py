"""One schema of a PostgreSQL database, in the contract's own names or mapped (landing.mapping).

The path is a small YAML file that says which database and schema, and maps tables and columns where names differ. Every
table is read in one read-only transaction, so that a line written meanwhile is in all tables or in none. Cells come as
the text PostgreSQL prints, because one date of 'infinity' or a numeric NaN must cost its row and not the table. Events
are chosen by day in the database; when that goes wrong, days look empty that are not.
"""

import os
import re
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import duckdb
import psycopg
from psycopg import sql
from pydantic import Field

from coldframe.documents import Fault, near
from coldframe.errors import BadInputError, ColdframeError, ConfigurationError
from landing.contract import TABLES, Kind, Table
from landing.expressions import Cell
from landing.mapping import ColumnMap, Plan, Tables, read, write_cells
from landing.sources import Offer, quote
from landing.validate import EARLIEST, PATIENCE

_EXAMPLE = "postgresql://user:password@host:5432/database"
_DAY = timedelta(days=1)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*").fullmatch
_CLOCKS = {
    "date": "DATE",
    "timestamp without time zone": "TIMESTAMP",
    "timestamp with time zone": "TIMESTAMP WITH TIME ZONE",
}
# How expressions see a column; anything else is text to them. A numeric without digits may have any.
_TYPES = _CLOCKS | {
    "smallint": "SMALLINT",
    "integer": "INTEGER",
    "bigint": "BIGINT",
    "real": "FLOAT",
    "double precision": "DOUBLE",
    "boolean": "BOOLEAN",
    "numeric": "DECIMAL(30, 10)",
}
_RELATIONS = """
    select c.relname, a.attname, has_column_privilege(c.oid, a.attnum, 'select'),
           case when t.typtype = 'd' then format_type(t.typbasetype, t.typtypmod)
                else format_type(a.atttypid, a.atttypmod) end
    from pg_catalog.pg_class c
    join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    join pg_catalog.pg_type t on t.oid = a.atttypid
    where c.relnamespace = to_regnamespace(quote_ident(%s)) and c.relkind in ('r', 'p', 'v', 'm', 'f')
    order by c.relname, a.attnum
"""
_SCHEMAS = "select nspname, has_schema_privilege(oid, 'usage') from pg_catalog.pg_namespace where nspname !~ '^pg_'"
# What a server that cannot be entered says (in English), and what to do about it.
_REFUSALS = (
    ("password authentication failed", "the password is wrong, or there is no such user"),
    ("no password supplied", "it wants a password and was given none"),
    (r'database ".*" does not exist', "there is no such database"),
    (r'role ".*" does not exist', "there is no such user"),
    ("permission denied for database", "the user may not connect to this database"),
    ("pg_hba.conf", "the server lets nobody in from here under that name (pg_hba.conf)"),
)


class Database(Tables):
    """The YAML file. Either `url`, or in `url_env` the name of the environment variable that holds it."""

    url: str = ""
    url_env: str = ""
    schema_: str = Field("public", alias="schema")


@dataclass(frozen=True)
class _Relation:
    """A table or view: PostgreSQL's types of its columns, in order, and which of them may be read."""

    types: dict[str, str]
    readable: frozenset[str]

    @property
    def cells(self) -> dict[str, Cell]:
        typed = enumerate(self.types.items())
        return {name: Cell(f"_{place}", type=duckdb_type(kind)) for place, (name, kind) in typed}


@dataclass(frozen=True)
class _Planned:
    """How a contract table is read. `day` is the column that decides its days, where the database can choose by it."""

    relation: str
    plan: Plan
    cells: dict[str, Cell]
    day: str | None
    margin: timedelta


@dataclass(frozen=True)
class _Opened:
    connection: psycopg.Connection[Any]
    tables: dict[str, _Planned]
    warnings: list[str]


class Postgres:
    """Reads the tables and views of one schema."""

    def __init__(self, path: Path | None) -> None:
        if path is None:
            raise ConfigurationError(
                "The source 'postgres' needs a YAML file that says which database: --path FILE, or "
                "COLDFRAME_SOURCE_PATH. See docs/bring-your-own-data.md."
            )
        self.path = path.expanduser().resolve()

    def probe(self) -> Offer:
        """Checks the file, the connection, tables, columns and permissions, and begins the transaction that is read.

        Raises BadInputError for the file, the schema and its tables, ConfigurationError for a database that does not
        let us in, and ColdframeError for one that cannot be reached, where trying again may help.
        """
        opened = self._open
        [(now, today)] = opened.connection.execute("select now(), now()::date").fetchall()
        return Offer(
            tables=tuple(opened.tables),
            files=(self.path,),
            delivered_on=today + _DAY,
            warnings=tuple(opened.warnings),
            # Nothing cheap tells that no row changed (views may even change by themselves), so each landing reads.
            stamp=str(now),
        )

    def read(self, connection: duckdb.DuckDBPyConnection, table: str, first: date | None, last: date) -> str:
        opened = self._open
        planned = opened.tables[table]
        query = sql.SQL("copy ({}) to stdout (format csv)").format(
            _query(self._mapping.settings.schema_, planned, first, last)
        )
        [(folder,)] = connection.execute("select current_setting('temp_directory')").fetchall()
        Path(folder).mkdir(parents=True, exist_ok=True)
        # By way of a file: rows then need no memory, and DuckDB reads them with all its threads.
        with tempfile.NamedTemporaryFile(dir=folder, suffix=".csv") as file:
            try:
                with opened.connection.cursor().copy(query) as copied:
                    for block in copied:
                        file.write(block)
                file.flush()
                # PostgreSQL promises no order, and of two rows with one key the first is kept.
                rows = f"{quote(planned.relation)} as source_file from {_scan(file.name, planned)} order by all"
                write_cells(connection, f"select {planned.plan.select}, {rows}")
            except (psycopg.Error, duckdb.Error) as error:
                opened.connection.close()
                raise _failure(table, planned.relation, error) from error
        return "from cells"

    @cached_property
    def _mapping(self) -> ColumnMap[Database]:
        if not self.path.is_file():
            what = "is a folder, not a YAML file" if self.path.is_dir() else "does not exist"
            raise BadInputError(f"The file {self.path} {what}. Nothing was landed. Check --path.")
        return read(self.path, Database)

    @cached_property
    def _open(self) -> _Opened:
        settings = self._mapping.settings
        if faults := list(_address_faults(settings)):
            self._refuse(self._mapping.told(faults))
        url = settings.url or os.environ[settings.url_env]
        connection = _connect(url, settings.url_env or f"url in {self.path.name}")
        weakref.finalize(self, connection.close)
        try:
            self._check_schema(connection)
            return self._plan(connection)
        except ColdframeError:
            # The error keeps this source, and so the connection, for as long as somebody looks at it.
            connection.close()
            raise

    def _check_schema(self, connection: psycopg.Connection[Any]) -> None:
        schema = self._mapping.settings.schema_
        schemas = dict(connection.execute(_SCHEMAS).fetchall())
        if schema not in schemas:
            what = f"the database has no schema {schema!r}.{near(schema, schemas)}"
            self._refuse(self._mapping.told([Fault(("schema",), what)]))
        if not schemas[schema]:
            what = f"{connection.info.user} may not use it: let its owner grant usage on schema {schema}."
            self._refuse(self._mapping.told([Fault(("schema",), what)]))

    def _plan(self, connection: psycopg.Connection[Any]) -> _Opened:
        mapping = self._mapping
        schema = mapping.settings.schema_
        relations = _relations(connection, schema)
        faults: list[Fault] = []
        problems: list[str] = []
        warnings: list[str] = []
        tables: dict[str, _Planned] = {}
        for table in TABLES:
            relation = self._relation(table, relations, faults, problems)
            if relation is None:
                continue
            planned = _planned(table, mapping, schema, relation, relations[relation])
            faults += planned.plan.faults
            problems += _column_problems(table, planned, relations[relation], self.path.name)
            warnings += _warnings(table, planned)
            tables[table.name] = planned
        if told := [*mapping.told(faults), *problems]:
            self._refuse(told)
        if mapping.settings.url and connection.info.password:
            warnings.append(f"{self.path.name} holds a password. Put the URL into an environment variable (url_env).")
        return _Opened(connection, tables, warnings)

    def _relation(
        self, table: Table, relations: Mapping[str, _Relation], faults: list[Fault], problems: list[str]
    ) -> str | None:
        """Name of the table or view that holds the rows of `table`; None if there is none, which may be a fault."""
        mapping, name = self._mapping, table.name
        origin = mapping.origin(name)
        wanted = origin[0] if origin else name
        schema = mapping.settings.schema_
        if name in mapping.settings.leave_out or mapping.is_broken(("tables", name)):
            return None
        if len(origin) > 1:
            faults.append(Fault(("tables", name, "from"), f"{name}: make a view that unites them, and name that."))
        elif wanted in relations:
            return wanted
        elif name in mapping.tables:
            what = f"{name}: the schema {schema!r} has no table or view {wanted!r}.{near(wanted, relations)}"
            faults.append(Fault(("tables", name, "from"), what, key=not origin))
        elif table.required:
            hint = near(name, relations).replace("Did you mean", "Is it")
            problems.append(f"{schema}.{name} is missing.{hint} Make a table or view, or map one in {self.path.name}.")
        return None

    def _refuse(self, problems: list[str]) -> NoReturn:
        raise BadInputError(
            f"{self.path} cannot be landed: {len(problems)} problem(s). Nothing was landed.\n  " + "\n  ".join(problems)
        )


def _address_faults(settings: Database) -> Iterator[Fault]:
    if bool(settings.url) == bool(settings.url_env):
        said = "both are given" if settings.url else "none is"
        yield Fault(("url_env",), f"say either url, or url_env, the environment variable that holds it; {said}.")
    elif settings.url_env and not _VARIABLE(settings.url_env):
        # Most likely the address itself, with its password: it is quoted nowhere.
        yield Fault(
            ("url_env",),
            "this is not the name of an environment variable. Put the address into a variable such as "
            "SHOP_DATABASE_URL, and its name here.",
        )
    elif settings.url_env and not os.environ.get(settings.url_env):
        yield Fault(("url_env",), f"the environment has no {settings.url_env}. Set it to {_EXAMPLE}.")


def _connect(url: str, origin: str) -> psycopg.Connection[Any]:
    """A connection whose first query begins the snapshot. No error quotes the URL, because it holds the password."""
    try:
        parts = psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        raise ConfigurationError(
            f"The {origin} is no address PostgreSQL knows. It looks like {_EXAMPLE}, special signs in the password "
            "written as %40."
        ) from None
    where = f"{parts.get('dbname', 'the default database')!r} at {parts.get('host', 'the local socket')}"
    who = f" as {parts['user']}" if "user" in parts else ""
    try:
        connection = psycopg.connect(
            psycopg.conninfo.make_conninfo("connect_timeout=10", **parts),
            client_encoding="UTF8",
            application_name="coldframe",
        )
    except (psycopg.Error, UnicodeError) as error:
        said = " ".join(str(error).split())
        reason = next((reason for pattern, reason in _REFUSALS if re.search(pattern, said)), None)
        if reason is None:
            said = re.split(" Multiple | Is the server ", said)[0]
            raise ColdframeError(
                f"PostgreSQL database {where} cannot be reached{who}: {said}. Nothing was landed. "
                f"Does it run, and is the {origin} right?"
            ) from error
        raise ConfigurationError(
            f"PostgreSQL database {where} cannot be opened{who}: {reason}. Nothing was landed. Check the {origin}."
        ) from error
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    connection.read_only = True
    connection.execute("set local timezone = 'UTC'")
    connection.execute("set local datestyle = 'ISO, YMD'")
    # Between two tables the rows of the first are checked, which may take longer than a server waits for idle users.
    connection.execute("set local idle_in_transaction_session_timeout = 0")
    return connection


def _relations(connection: psycopg.Connection[Any], schema: str) -> dict[str, _Relation]:
    types: dict[str, dict[str, str]] = {}
    readable: dict[str, set[str]] = {}
    for relation, column, may_read, kind in connection.execute(_RELATIONS, [schema]).fetchall():
        types.setdefault(relation, {})[column] = kind
        readable.setdefault(relation, set()).update([column] * may_read)
    return {name: _Relation(types[name], frozenset(readable[name])) for name in types}


def duckdb_type(kind: str) -> str:
    """DuckDB's type for what PostgreSQL's format_type() says, such as 'numeric(12,2)'."""
    digits = re.fullmatch(r"numeric\((\d+),(\d+)\)", kind)
    if digits and int(digits[2]) <= int(digits[1]) <= 38:
        return f"DECIMAL({digits[1]}, {digits[2]})"
    return _TYPES.get(_bare(kind), "VARCHAR")


def _bare(kind: str) -> str:
    return re.sub(r"\(.*?\)", "", kind)


def _planned(table: Table, mapping: ColumnMap[Database], schema: str, relation: str, columns: _Relation) -> _Planned:
    plan = mapping.plan(table, columns.cells, f"{schema}.{relation}")
    entry = mapping.tables[table.name].columns.get(table.day or "") if table.name in mapping.tables else None
    day = entry.column if entry else table.day
    chooses = day is not None and _bare(columns.types.get(day, "")) in _CLOCKS
    # A local time lies less than a day from UTC; landing cuts off what is too much.
    margin = _DAY if entry and entry.timezone else timedelta(0)
    return _Planned(f"{schema}.{relation}", plan, columns.cells, day if chooses else None, margin)


def _column_problems(table: Table, planned: _Planned, columns: _Relation, file: str) -> Iterator[str]:
    for name in planned.plan.missing:
        hint = near(name, planned.plan.unread).replace("Did you mean", "Is it")
        other = "" if table.required else f" If it holds something else, say leave_out: [{table.name}]."
        yield f"{planned.relation}: column {name!r} is missing.{hint} Add it in a view, or map it in {file}.{other}"
    hidden = [name for name in planned.plan.used if name not in columns.readable]
    if hidden:
        listed = ", ".join(hidden)
        yield f"{planned.relation}: the user may not read {listed}. Its owner can: grant select on {planned.relation}."


def _warnings(table: Table, planned: _Planned) -> Iterator[str]:
    for name in planned.plan.unread:
        if hint := near(name, planned.plan.absent):
            yield f"{planned.relation}: column {name!r} is ignored: {table.name} has no such column.{hint}"
    if table.kind is Kind.EVENTS and planned.day is None:
        yield (
            f"{planned.relation}: every landing reads all of it, because {table.day} is no plain date or time column "
            "by which the database could choose days."
        )


def _query(schema: str, planned: _Planned, first: date | None, last: date) -> sql.Composed:
    """Rows of the days from `first` to `last`, and those that the checks must refuse, of whatever day."""
    wanted = sql.SQL(", ").join(map(sql.Identifier, planned.plan.used)) if planned.plan.used else sql.SQL("1")
    relation = sql.Identifier(schema, planned.relation.removeprefix(f"{schema}."))
    query = sql.SQL("select {} from {}").format(wanted, relation)
    if planned.day is None:
        return query
    day = sql.Identifier(planned.day)
    return query + sql.SQL(
        " where {day} is null or {day} < {earliest} or {day} >= {far} or ({day} >= {begin} and {day} < {end})"
    ).format(
        day=day,
        earliest=sql.Literal(EARLIEST),
        far=sql.Literal(last + PATIENCE),
        begin=sql.Literal(EARLIEST if first is None else first - planned.margin),
        end=sql.Literal(last + _DAY + planned.margin),
    )


def _scan(file: str, planned: _Planned) -> str:
    names = [planned.cells[name].raw for name in planned.plan.used] or ["_"]
    columns = ", ".join(f"{quote(name)}: 'VARCHAR'" for name in names)
    return (
        f"read_csv({quote(file)}, columns = {{{columns}}}, auto_detect = false, header = false, delim = ',', "
        "quote = '\"', escape = '\"', nullstr = '', allow_quoted_nulls = false)"
    )


def _failure(table: str, relation: str, error: psycopg.Error | duckdb.Error) -> ColdframeError:
    message = f"{table}: {relation} cannot be read: {' '.join(str(error).split())}. Nothing was landed."
    # Class 22 is data a view cannot reckon with, 42 a view that is broken or refers to what may not be read.
    if isinstance(error, psycopg.Error) and (error.sqlstate or "")[:2] not in {"22", "42"}:
        return ColdframeError(message)
    return BadInputError(f"{message} Mend the table or view.")
