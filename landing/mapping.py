"""Names of your own: which of a source's columns is which column of the contract, told in a small YAML file.

All of it is checked before a row is read: its keys, the contract's names, constants, formats and expressions by
themselves, and then the columns that files or tables really have. Everything that is wrong is told at once, with its
line. A row whose cell a mapping cannot convert is refused with the reason, because a cell that silently becomes empty
is a customer or a discount that nobody misses.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, Generic, Self, TypeVar, get_args

import duckdb
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from coldframe.documents import Document, Fault, Place, UnfitDocumentError, near
from coldframe.errors import BadInputError
from landing.contract import BY_NAME, Column, Kind, Table, Type
from landing.expressions import Cell, UnfitExpressionError, bind, fits, names, parse, session
from landing.sources import quote
from landing.validate import Limits, check

FILE = "mapping.yaml"
_WAYS = ("column", "constant", "expression")
_LONGEST_REASON = 100


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def keys(cls) -> list[str]:
        """Keys as they are written in YAML."""
        return [known.alias or name for name, known in cls.model_fields.items()]


class ColumnEntry(_Strict):
    """Where one column of the contract comes from. A name alone means {column: name}.

    `cast` is how the source writes dates and times, in strptime's directives; `timezone` whose clock they show.
    """

    column: str = ""
    cast: str = ""
    timezone: str = ""
    constant: str = ""
    expression: str = ""

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, given: Any) -> Any:
        return {"column": given} if isinstance(given, str) else given

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        ways = [way for way in _WAYS if way in self.model_fields_set]
        if len(ways) != 1:
            said = " and ".join(ways) or "nothing"
            raise ValueError(f"{said} given; say exactly one of {', '.join(_WAYS)}")
        beside = [key for key in ("cast", "timezone") if key in self.model_fields_set]
        if beside and ways != ["column"]:
            raise ValueError(f"{' and '.join(beside)} can stand beside column only")
        return self


class TableEntry(_Strict):
    """Where one table of the contract comes from. Columns that are not listed keep the contract's names."""

    from_: tuple[str, ...] = Field((), alias="from")
    columns: dict[str, ColumnEntry] = {}

    @field_validator("from_", mode="before")
    @classmethod
    def _one_or_more(cls, given: Any) -> Any:
        return (given,) if isinstance(given, str) else given


class Tables(_Strict):
    """A whole mapping; a source may add keys of its own to it and to its entries.

    `leave_out` names tables of the contract that are there by name only and mean something else.
    """

    tables: dict[str, TableEntry] = {}
    leave_out: tuple[str, ...] = ()


Model = TypeVar("Model", bound=Tables)


@dataclass(frozen=True)
class Plan:
    """How the rows of one file or table become rows of a contract table.

    `select` is SQL over the raw cells: the contract's columns, and `refused` where a conversion can fail. `used` and
    `unread` are the source's columns; `absent` are those of the contract that nothing gives, and `missing` those of
    them that must be there.
    """

    select: str
    used: tuple[str, ...]
    unread: tuple[str, ...]
    absent: tuple[str, ...]
    missing: tuple[str, ...]
    faults: tuple[Fault, ...]


@dataclass(frozen=True)
class _Value:
    """SQL of one cell. Where `failed` is true of a row, the row is refused with `reason`."""

    sql: str
    used: tuple[str, ...] = ()
    failed: str = ""
    reason: str = ""


@dataclass(frozen=True)
class ColumnMap(Generic[Model]):
    """A mapping by which tables can be planned; the empty one leaves everything its contract name.

    `settings` are what the file says; `tables` its fit entries. `broken` are places that are told to be wrong already:
    what follows from them is not told again.
    """

    settings: Model
    tables: Mapping[str, TableEntry] = field(default_factory=dict)
    broken: frozenset[Place] = frozenset()
    faults: tuple[Fault, ...] = ()
    document: Document | None = None

    def told(self, more: Iterable[Fault] = ()) -> list[str]:
        """All that is wrong with the mapping, and `more`, with lines."""
        return self.document.tell([*self.faults, *more]) if self.document else []

    def is_broken(self, place: Place) -> bool:
        return any(place[:end] in self.broken for end in range(1, len(place) + 1))

    def origin(self, table: str) -> tuple[str, ...]:
        """Files or tables that hold the rows of `table`; empty: those of its own name."""
        return self.tables[table].from_ if table in self.tables else ()

    def plan(self, table: Table, cells: Mapping[str, Cell], where: str) -> Plan:
        """Plans `table` from a source that has `cells` by name; `where` names the source in what is told."""
        entries = self.tables[table.name].columns if table.name in self.tables else {}
        values: dict[str, _Value] = {}
        faults, absent = [], []
        for column in table.columns:
            place = ("tables", table.name, "columns", column.name)
            entry = entries.get(column.name)
            if entry is not None:
                try:
                    values[column.name] = _value(column, entry, cells)
                except UnfitExpressionError as error:
                    inside = (*place, "column" if entry.column else "expression")
                    faults += [Fault(inside, f"{table.name}.{column.name} from {where}: {f}") for f in error.faults]
            elif column.name in cells:
                values[column.name] = _Value(cells[column.name].raw, (column.name,))
            elif not self.is_broken(place):
                absent.append(column.name)
        select = [f'{value.sql} as "{name}"' for name, value in values.items()]
        refusals = [f"case when {v.failed} then {quote(v.reason)} end" for v in values.values() if v.failed]
        if refusals:
            select.append(f"concat_ws('; ', {', '.join(refusals)}) as refused")
        used = {name for value in values.values() for name in value.used}
        return Plan(
            select=", ".join(select),
            used=tuple(name for name in cells if name in used),
            unread=tuple(name for name in cells if name not in used),
            absent=tuple(absent),
            missing=tuple(name for name in absent if not table.column(name).optional),
            faults=tuple(faults),
        )


def read(path: Path, model: type[Model]) -> ColumnMap[Model]:
    """What the YAML file says, and all that can be told to be wrong with it without looking at the source.

    Raises BadInputError if it is no YAML, or no mapping at all.
    """
    document = _document(path)
    faults = list(document.faults)
    broken: set[Place] = set()
    try:
        settings = model.model_validate(document.values)
    except ValidationError as errors:
        wrong: set[Place] = set()
        for error in errors.errors():
            faults.append(_shape_fault(error, model))
            place = tuple(error["loc"])
            wrong.add(place[: 4 if place[2:3] == ("columns",) else 3 if place[0] == "tables" else 1])
            # A key nobody knows may have been meant to hold anything that lies beside it.
            broken.add({1: ("tables",), 3: place[:2]}.get(len(place), place[:4]))
        # What is left is checked as well, so that one slip does not hide the others.
        settings = model.model_validate(_without(document.values, wrong))
    tables = {}
    for name, entry in settings.tables.items():
        place = ("tables", name)
        if name not in BY_NAME:
            faults.append(Fault(place, f"the contract has no table {name!r}.{near(name, BY_NAME)}", key=True))
            continue
        if name in settings.leave_out:
            faults.append(Fault(place, f"{name} is mapped, and in leave_out as well. Keep one.", key=True))
        found = list(_contract_faults(BY_NAME[name], entry))
        faults += found
        broken |= {fault.place[:4] for fault in found}
        fit = {c: e for c, e in entry.columns.items() if (*place, "columns", c) not in broken}
        tables[name] = entry.model_copy(update={"columns": fit})
    for number, name in enumerate(settings.leave_out):
        if name not in BY_NAME:
            what = f"the contract has no table {name!r}.{near(name, BY_NAME)}"
            faults.append(Fault(("leave_out", number), what))
    return ColumnMap(settings, tables, frozenset(broken), tuple(faults), document)


def _document(path: Path) -> Document:
    try:
        document = Document(path)
        if not document.values:
            raise UnfitDocumentError(f"{path.name} holds no keys.")
    except UnfitDocumentError as error:
        advice = ""
        if "expression:" in error.line and "{" in error.line:
            advice = "\n  Commas and quotes end what stands between braces: write the expression on a line of its own."
        elif error.__cause__ is None:
            advice = " It begins with `tables:`."
        raise BadInputError(f"{path.name} cannot be used. Nothing was landed.\n  {error}{advice}") from error
    return document


def write_cells(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    """Makes temp table ``cells`` of a query that selects as planned. Raises duckdb.Error."""
    # DuckDB computes once what two expressions share, and so outside the try() that both stand in.
    connection.execute("set disabled_optimizers = 'common_subexpressions'")
    try:
        connection.execute(f"create or replace temp table cells as {query}")
    finally:
        connection.execute("set disabled_optimizers = ''")


def _without(values: dict[str, Any], places: Iterable[Place]) -> dict[str, Any]:
    """`values` less what lies at `places`."""

    def rest(value: Any, place: Place) -> Any:
        if isinstance(value, dict):
            return {k: rest(v, (*place, k)) for k, v in value.items() if (*place, k) not in places}
        return value

    places = set(places)
    kept: dict[str, Any] = rest(values, ())
    return kept


def _shape_fault(error: ErrorDetails, model: type[Tables]) -> Fault:
    """A fault of pydantic's in this file's words."""
    place = tuple(error["loc"])
    owners: dict[int, type[_Strict]] = {1: model, 3: get_args(model.model_fields["tables"].annotation)[1]}
    name = ".".join(str(part) for part in place if part != "tables").replace(".columns.", ".") or place[0]
    if error["type"] == "extra_forbidden":
        known = owners.get(len(place), ColumnEntry).keys()
        # {expression: round(price, 2)} is read as two keys.
        hint = " A text with commas needs quotes around it." if error["input"] is None else ""
        what = f"unknown key {place[-1]!r}.{near(str(place[-1]), known)} Known: {', '.join(known)}.{hint}"
        return Fault(place, what, key=True)
    if error["type"] == "value_error":
        return Fault(place, f"{name}: {error['ctx']['error']}.")
    if error["input"] is None:
        return Fault(place, f"{name} is empty. Say something, or remove it.")
    if error["type"] == "string_type":
        return Fault(place, f"{name} must be text.")
    if error["type"] in {"dict_type", "model_type"}:
        what = f"a name, or one of {', '.join(f'{{{way}: …}}' for way in _WAYS)}" if len(place) == 4 else "keys"
        return Fault(place, f"{name} must hold {what}.")
    return Fault(place, f"{name}: {error['msg']}.")


def _contract_faults(table: Table, entry: TableEntry) -> Iterator[Fault]:
    """What is wrong with a table's entry whatever the source has."""
    place: Place = ("tables", table.name, "columns")
    for name, given in entry.columns.items():
        if name not in table.column_names:
            hint = near(name, table.column_names)
            yield Fault((*place, name), f"{table.name} has no column {name!r} in the contract.{hint}", key=True)
            continue
        column, what = table.column(name), f"{table.name}.{name}"
        if "constant" in given.model_fields_set:
            for fault in _constant_faults(column, given.constant):
                yield Fault((*place, name, "constant"), f"{what}: {fault}")
        elif "expression" in given.model_fields_set:
            try:
                parse(given.expression)
            except UnfitExpressionError as error:
                for fault in error.faults:
                    yield Fault((*place, name, "expression"), f"{what}: {fault}")
        elif not given.column:
            yield Fault((*place, name, "column"), f"{what}: the column's name is empty.")
        for key, fault in _time_faults(column, given):
            yield Fault((*place, name, key), f"{what}: {fault}")


def _constant_faults(column: Column, value: str) -> list[str]:
    """A constant is held against everything a cell is held against, but for what it refers to."""
    columns = (Column("row_number", Type.INTEGER, ""), replace(column, references=None))
    table = Table("constant", Kind.STATE, "", columns, ("row_number",))
    far = date(9000, 1, 1)
    limits = Limits(first=None, last=far, delivered_on=far, offered=frozenset(), max_unit_price=Decimal(1))
    reasons = check(session(), table, f"select 1 as row_number, {quote(value)} as {column.name}", limits).reasons
    return [f"the constant {value!r} cannot be: {reason}." for reason in reasons]


def _time_faults(column: Column, entry: ColumnEntry) -> Iterator[tuple[str, str]]:
    given = entry.model_fields_set
    if "cast" in given:
        if column.type not in {Type.DATE, Type.TIMESTAMP}:
            yield "cast", "cast is for dates and times. Convert other cells in an expression."
        elif fault := _format_fault(entry.cast):
            yield "cast", fault
    if "timezone" in given:
        if column.type is not Type.TIMESTAMP:
            yield "timezone", f"only times have a time zone, and {column.name} is none."
        elif entry.timezone not in _zones():
            yield "timezone", f"no time zone is called {entry.timezone!r}.{near(entry.timezone, _zones())}"
        elif "%z" in entry.cast or "%Z" in entry.cast:
            yield "timezone", "the cells name their own time zone (%z): leave timezone out."


def _format_fault(text: str) -> str | None:
    """Why `text` is no format of dates: a day written with it must be read as the same day."""
    form = quote(text)
    there_and_back = f"strptime(strftime(timestamp '2003-02-01 04:05:06', {form}), {form})"
    try:
        [(same,)] = session().execute(f"select cast({there_and_back} as date) = date '2003-02-01'").fetchall()
    except duckdb.Error as error:
        said = str(error).splitlines()[0].partition(": ")[2]
        return f"{text!r} is no format of strptime: {said}."
    return None if same else f"{text!r} does not say day, month and year, as '%d.%m.%Y %H:%M' does."


@cache
def _zones() -> frozenset[str]:
    return frozenset(str(name) for (name,) in session().execute("select name from pg_timezone_names()").fetchall())


def _value(column: Column, entry: ColumnEntry, cells: Mapping[str, Cell]) -> _Value:
    """How a mapped column is made from the source's cells. Raises UnfitExpressionError."""
    if "constant" in entry.model_fields_set:
        return _Value(quote(entry.constant))
    if entry.expression:
        return _computed(column, entry.expression, cells)
    if entry.column not in cells:
        raise UnfitExpressionError(f"there is no column {entry.column!r}.{near(entry.column, cells)}")
    cell = cells[entry.column]
    if entry.cast:
        return _cast(column, entry, cell)
    if entry.timezone:
        if not cell.type.startswith("TIMESTAMP") or cell.type.endswith("ZONE"):
            how = "say how it is written (cast: …)" if cell.type == "VARCHAR" else "leave timezone out"
            raise UnfitExpressionError(f"{entry.column} is {cell.type}: {how}.")
        utc = f"try(timezone({quote(entry.timezone)}, cast({cell.typed} as timestamp)))"
        return _Value(utc, (entry.column,), f"{cell.raw} is not null and {utc} is null", f"{column.name} is not a time")
    if not fits(column.type, cell.type):
        raise UnfitExpressionError(_unfit(column, f"{entry.column} is {cell.type}"))
    return _Value(cell.raw, (entry.column,))


def _computed(column: Column, expression: str, cells: Mapping[str, Cell]) -> _Value:
    tree = parse(expression)
    sql, kind = bind(tree, cells)
    if not fits(column.type, kind):
        raise UnfitExpressionError(_unfit(column, f"it gives {kind}"))
    # In a struct, because try() alone makes a failure look like an empty cell.
    tried = f"try({{'v': {sql}}})"
    shown = " ".join(expression.split())
    if len(shown) > _LONGEST_REASON:
        shown = f"{shown[:_LONGEST_REASON]}…"
    reason = f"{column.name} cannot be computed: {shown}"
    return _Value(f"struct_extract({tried}, 'v')", names(tree), f"{tried} is null", reason)


def _cast(column: Column, entry: ColumnEntry, cell: Cell) -> _Value:
    if cell.type != "VARCHAR":
        raise UnfitExpressionError(f"{entry.column} is {cell.type} already: leave cast out.")
    parsed = f"try_strptime(trim({cell.raw}), {quote(entry.cast)})"
    if entry.timezone:
        parsed = f"timezone({quote(entry.timezone)}, {parsed})"
    given = f"cast({parsed} as date)" if column.type is Type.DATE else parsed
    kind = "date" if column.type is Type.DATE else "time"
    return _Value(
        # What cannot be read is refused, and the quarantine shows it as it stood.
        f"coalesce(cast({given} as varchar), {cell.raw})",
        (entry.column,),
        f"trim({cell.raw}) <> '' and {parsed} is null",
        f"{column.name} is not a {kind} written as {entry.cast}",
    )


def _unfit(column: Column, what: str) -> str:
    wanted = {
        Type.TEXT: "text",
        Type.DATE: "a date: {expression: cast(… as date)}",
        Type.TIMESTAMP: "a time: {expression: cast(… as timestamp)}",
    }
    return f"{what}, and {column.name} must be {wanted.get(column.type, 'a number')}."
