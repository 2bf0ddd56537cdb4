"""Which rows are fit to come in. Splits what a source delivers into accepted and quarantined rows, with every reason.

All checks of a row are made from the contract, in one pass of DuckDB over each table. Nothing is repaired and nothing
is dropped: ``read = accepted + quarantined``, and rows of other days are counted apart. A check missing here becomes a
wrong number in a plan; a check too many empties a shop.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

import duckdb

from coldframe.errors import BadInputError, ColdframeError
from landing.contract import Column, Table, Type
from landing.sources import quote

EARLIEST = date(1990, 1, 1)
"""Dates before it are placeholders (0001-01-01, 1970-01-01), not days on which something happened."""
PATIENCE = timedelta(days=366)
"""An event dated later than this after the as-of, and later than its own delivery, cannot be true."""

_SEPARATOR = "chr(31)"
_RAGGED = "the line has more or fewer cells than the header"
_NUMBER = r"\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*"
_DATE = r"\s*\d{4}-\d{2}-\d{2}\s*"
_TIMESTAMP = r"\s*\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}(:?\d{2})?)?)?\s*"
_INTEGERS = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"}
_CLOCKS = {"TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "DATE"}
_WHAT = {
    Type.INTEGER: "a whole number",
    Type.MONEY: "a number (plain digits, at most 14 before the point)",
    Type.RATIO: "a number",
    Type.DATE: "a date (YYYY-MM-DD)",
    Type.TIMESTAMP: "a time (YYYY-MM-DD HH:MM:SS, in UTC or with an offset)",
}
# What one unit costs, by table; its limit is a setting because currencies differ by four orders of magnitude.
_UNIT_PRICE = {
    "order_lines": ("gross_amount / nullif(quantity, 0)", "gross_amount"),
    "products": ("list_price", "list_price"),
}


@dataclass(frozen=True)
class Limits:
    """What rows are held against. `delivered_on` is the source's; `first` None means all days up to `last`."""

    first: date | None
    last: date
    delivered_on: date
    offered: frozenset[str]
    max_unit_price: Decimal
    currency: str | None = None

    @property
    def latest(self) -> date:
        return max(self.last + PATIENCE, self.delivered_on)


@dataclass(frozen=True)
class Checked:
    """Counts of one table. `later` and `earlier` rows belong to days nobody asked for and are not part of `read`.

    Accepted rows are in the temporary table ``accepted_<table>`` (the contract's columns), refused ones in
    ``quarantined_<table>`` (reasons VARCHAR[], source_file, source_row, unreadable, and the original values as text).
    """

    table: str
    read: int
    accepted: int
    quarantined: int
    later: int
    earlier: int
    reasons: dict[str, int]


def check(
    connection: duckdb.DuckDBPyConnection, table: Table, query: str, limits: Limits, adapter: str = "The adapter"
) -> Checked:
    """Splits the rows of `query`. Tables that `table` refers to must have been checked on this connection before.

    Raises BadInputError if two files hold the same key (nobody can say which file is right), if amounts are in
    several currencies and nobody said which is the shop's, or if the query fails, and ColdframeError if
    the adapter leaves out a column that must be there. `adapter` is how both sentences begin.
    """
    run = connection.execute
    try:
        run(f"create or replace temp table delivered as select row_number() over () as _row, * from ({query})")
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error as error:
        said = str(error).partition("\n\n")[0].strip()
        raise BadInputError(
            f"{adapter} gives a query for {table.name} that DuckDB cannot run. Nothing was landed. Mend the query in "
            f"the adapter, or what it reads. {said}"
        ) from error
    types = {str(name): str(kind) for name, kind, *_ in run("describe delivered").fetchall()}
    missing = [c.name for c in table.columns if c.name not in types and not c.optional]
    if missing:
        raise ColdframeError(f"{adapter} delivers {table.name} without {', '.join(missing)}. Mend the adapter.")
    file = "source_file" if "source_file" in types else "cast(null as varchar)"
    unreadable = "unreadable" if "unreadable" in types else "cast(null as varchar)"
    refused = "refused" if "refused" in types else "cast(null as varchar)"
    columns = ", ".join(table.column_names)
    given = ", ".join(f"{_as_given(c, types)} as {_raw(c)}" for c in table.columns)
    typed = ", ".join(f"{_typed(c, types)} as {c.name}" for c in table.columns)
    run(
        f"""
        create or replace temp table checked as
        with given as (
            select _row, {file} as _file, {unreadable} as _unreadable, {refused} as _refused, {given} from delivered
        ),
        typed as (select *, {typed} from given)
        select
            _row, _file, {columns}, {_asked(table, limits)} as _asked, {_reasons(table, limits)} as _reasons
        from typed
        """
    )
    _find_duplicates(connection, table)
    run(
        f"""
        create or replace temp table accepted_{table.name} as
        select {columns} from checked
        where _asked = 'asked' and _reasons = '' and _row not in (select _row from duplicates)
        """
    )
    if "currency" in table.column_names and not limits.currency:
        _refuse_several_currencies(connection, table)
    original = ", ".join(f"cast({c.name if c.name in types else 'null'} as varchar) as {c.name}" for c in table.columns)
    run(
        f"""
        create or replace temp table quarantined_{table.name} as
        with refused as (
            select _row, string_split(_reasons, {_SEPARATOR}) as reasons from checked
            where _asked = 'asked' and _reasons <> ''
            union all
            select _row, [reason] from duplicates
        ),
        first_rows as (select {file} as _file, min(_row) as _first from delivered group by all)
        select
            reasons, {file} as source_file, _row - _first + 1 as source_row, {unreadable} as unreadable, {original}
        from delivered join refused using (_row) join first_rows on _file is not distinct from {file}
        order by _row
        """
    )
    counts = dict(run("select _asked, count(*) from checked group by all").fetchall())
    each = f"select unnest(reasons) as reason from quarantined_{table.name}"
    reasons = dict(run(f"select reason, count(*) from ({each}) group by all").fetchall())
    checked = Checked(
        table=table.name,
        read=counts.get("asked", 0),
        accepted=_count(connection, f"accepted_{table.name}"),
        quarantined=_count(connection, f"quarantined_{table.name}"),
        later=counts.get("later", 0),
        earlier=counts.get("earlier", 0),
        reasons=reasons,
    )
    for name in ("delivered", "checked", "duplicates"):
        run(f"drop table {name}")
    if checked.read != checked.accepted + checked.quarantined:
        raise ColdframeError(
            f"{table.name}: {checked.read} rows were read, but {checked.accepted} accepted and {checked.quarantined} "
            "quarantined. This is a fault of landing.validate; nothing was landed."
        )
    return checked


def _count(connection: duckdb.DuckDBPyConnection, name: str) -> int:
    [(rows,)] = connection.execute(f"select count(*) from {name}").fetchall()
    return int(rows)


def _raw(column: Column) -> str:
    return f"_given_{column.name}"


def _is_direct(column: Column, found: str) -> bool:
    """Whether DuckDB's own cast from type `found` loses nothing and reads nothing into the value."""
    if found in _INTEGERS:
        return column.type in {Type.INTEGER, Type.MONEY, Type.RATIO}
    if found in {"DOUBLE", "FLOAT"} or found.startswith("DECIMAL"):
        return column.type in {Type.MONEY, Type.RATIO}
    return found == column.type.value or (column.type is Type.TIMESTAMP and found in _CLOCKS)


def _as_given(column: Column, types: dict[str, str]) -> str:
    """The cell as it came: in its own type if that can be cast safely, otherwise as text; empty text is no value."""
    found = types.get(column.name)
    if found is None:
        return "''" if column.blank else "cast(null as varchar)"
    if column.type is not Type.TEXT and _is_direct(column, found):
        return column.name
    text = column.name
    if found in {"DOUBLE", "FLOAT"} and column.type is Type.TEXT:
        # pandas turns whole-number identities with gaps into floats: 17 comes as 17.0.
        text = f"regexp_replace(cast({text} as varchar), '\\.0$', '')"
    text = f"trim(cast({text} as varchar))"
    return f"coalesce({text}, '')" if column.blank else f"nullif({text}, '')"


def _typed(column: Column, types: dict[str, str]) -> str:
    """The cell in the contract's type, null where it is not a value of that type."""
    raw, found = _raw(column), types.get(column.name)
    if column.type is Type.TEXT or found is None:
        return f"cast({raw} as {column.type.value})"
    if _is_direct(column, found):
        return raw if found == column.type.value else f"try_cast({raw} as {column.type.value})"
    if column.type is Type.DATE:
        return f"case when regexp_full_match({raw}, '{_DATE}') then try_cast({raw} as date) end"
    if column.type is Type.TIMESTAMP:
        parsed = f"try_cast({raw} as timestamptz) at time zone 'UTC'"
        return f"case when regexp_full_match({raw}, '{_TIMESTAMP}') then {parsed} end"
    if column.type is Type.INTEGER:
        # A cast to BIGINT would round 1.5 to 2.
        number = f"try_cast({raw} as decimal(38, 6))"
        parsed = f"case when {number} = floor({number}) then try_cast({number} as bigint) end"
    else:
        parsed = f"try_cast({raw} as {column.type.value})"
    return f"case when regexp_full_match({raw}, '{_NUMBER}') then {parsed} end"


def _asked(table: Table, limits: Limits) -> str:
    """SQL: is the row one of the days asked for? A row whose day is unknown or absurd always is, to be refused."""
    if table.day is None:
        return "'asked'"
    day = f"cast({table.day} as date)"
    earlier = f"when {day} >= '{EARLIEST}' and {day} < '{limits.first}' then 'earlier'" if limits.first else ""
    return f"case when {day} > '{limits.last}' and {day} <= '{limits.latest}' then 'later' {earlier} else 'asked' end"


def _reasons(table: Table, limits: Limits) -> str:
    """SQL: all reasons against a row, joined by a separator; '' for none."""
    found = []
    for column in table.columns:
        found += _reasons_of_cell(table, column, limits)
    if table.name in _UNIT_PRICE:
        price, name = _UNIT_PRICE[table.name]
        found.append(
            f"when {price} > {limits.max_unit_price} then '{name} is more than {limits.max_unit_price} a unit'"
        )
    if limits.currency and "currency" in table.column_names:
        found.append(f"when currency <> '{limits.currency}' then 'currency is not {limits.currency}'")
    found += [f"when not ({rule.expression}) then {quote(rule.reason)}" for rule in table.rules]
    cases = ", ".join(f"case {when} end" for when in found)
    # Nothing more is said of a line without cells, or of one that the adapter knows to be something else.
    return (
        f"case when _unreadable is not null then '{_RAGGED}' when _refused <> '' then _refused "
        f"else concat_ws({_SEPARATOR}, {cases}) end"
    )


def _reasons_of_cell(table: Table, column: Column, limits: Limits) -> list[str]:
    name, raw = column.name, _raw(column)
    found = []
    if not column.optional:
        found.append(f"when {raw} is null then '{name} is empty'")
    if column.type is not Type.TEXT:
        found.append(f"when {raw} is not null and {name} is null then '{name} is not {_WHAT[column.type]}'")
    if column.type is Type.MONEY:
        # What floats add to a number of four decimals (0.30000000000000004) is not a fifth one.
        lost = f"abs(try_cast({raw} as double) - cast({name} as double))"
        found.append(f"when {lost} > 1e-7 + 1e-12 * abs({name}) then '{name} has more than four decimals'")
    if column.type is Type.RATIO:
        found.append(f"when not isfinite({name}) then '{name} is not a number'")
    if column.minimum is not None:
        found.append(f"when {name} < {column.minimum} then '{name} is less than {column.minimum}'")
    if column.maximum is not None:
        found.append(f"when {name} > {column.maximum} then '{name} is more than {column.maximum}'")
    if column.values:
        allowed = ", ".join(map(quote, column.values))
        found.append(f"when {name} not in ({allowed}) then {quote(f'{name} is none of ' + ', '.join(column.values))}")
    if column.type in {Type.DATE, Type.TIMESTAMP}:
        found.append(f"when {name} < '{EARLIEST}' then '{name} lies before {EARLIEST}'")
    if name == table.day:
        found.append(
            f"when cast({name} as date) > '{limits.latest}' then '{name} lies in the future (after {limits.latest})'"
        )
    if column.references is not None:
        referred, _, key = column.references.partition(".")
        if referred in limits.offered:
            unknown = f"{name} not in (select {key} from accepted_{referred})"
            found.append(f"when {unknown} then '{name} is not among the accepted {referred}'")
    return found


def _find_duplicates(connection: duckdb.DuckDBPyConnection, table: Table) -> None:
    """Makes temp table ``duplicates`` (_row, reason) of rows whose key an earlier fit row has.

    The row that comes first is kept: files by name, then rows as they stand in the file.
    """
    key = ", ".join(table.key)
    values = [c for c in table.column_names if c not in table.key]
    firsts = "".join(f", first_value({c}) over same as _first_{c}" for c in values)
    differing = ", ".join(f"case when {c} is distinct from _first_{c} then '{c}' end" for c in values) or "null"
    same_key = f"repeats an earlier row with the same key ({key})"
    connection.execute(
        f"""
        create or replace temp table repeated as
        with fit as (from checked where _asked = 'asked' and _reasons = '')
        select
            fit.*, row_number() over same as _place, first_value(_file) over same as _first_file{firsts}
        from fit join (select {key} from fit group by all having count(*) > 1) using ({key})
        window same as (partition by {key} order by _row)
        """
    )
    across = connection.execute(
        f"""
        select _first_file, _file, count(*), min({table.day or "null"}), max({table.day or "null"}) from repeated
        where _place > 1 and _file is distinct from _first_file group by all order by 3 desc, 1, 2
        """
    ).fetchall()
    if across:
        one, other, rows, first, last = across[0]
        days = f", dated {first} to {last}" if first is not None else ""
        raise BadInputError(
            f"{table.name}: {one} and {other} overlap: {rows:,} rows of the second have a key ({key}) that the first "
            f"also has{days}. Nothing was landed. Deliver each row in one file: remove the overlap from one of them."
        )
    connection.execute(
        f"""
        create or replace temp table duplicates as
        select _row, case when differs = '' then '{same_key}' else '{same_key} but differs in ' || differs end as reason
        from (select _row, _place, concat_ws(', ', {differing}) as differs from repeated)
        where _place > 1
        """
    )
    connection.execute("drop table repeated")


def _refuse_several_currencies(connection: duckdb.DuckDBPyConnection, table: Table) -> None:
    found = connection.execute(
        f"select currency, count(*) from accepted_{table.name} where currency is not null group by 1 order by 2 desc, 1"
    ).fetchall()
    if len(found) > 1:
        listed = ", ".join(f"{currency} ({rows:,} rows)" for currency, rows in found)
        raise BadInputError(
            f"{table.name}: amounts are in {len(found)} currencies: {listed}. Nothing was landed. Say which one is the "
            f"shop's with COLDFRAME_CURRENCY={found[0][0]}; rows in another go to the quarantine."
        )


def merge(pieces: Sequence[Checked]) -> Checked:
    """The counts of one table that was checked in pieces."""
    reasons: Counter[str] = Counter()
    for piece in pieces:
        reasons.update(piece.reasons)
    return Checked(
        table=pieces[0].table,
        read=sum(p.read for p in pieces),
        accepted=sum(p.accepted for p in pieces),
        quarantined=sum(p.quarantined for p in pieces),
        # A piece takes the days of those before it for earlier, and of those after it for later.
        later=pieces[-1].later,
        earlier=pieces[0].earlier,
        reasons=dict(reasons),
    )


def excess(checked: Checked, share: float) -> str | None:
    """Why a table as a whole is refused: more than `share` of its rows would go to the quarantine. None: it is fit."""
    if not checked.read or checked.quarantined <= share * checked.read:
        return None
    return (
        f"{checked.table}: {checked.quarantined:,} of {checked.read:,} rows ({checked.quarantined / checked.read:.1%}) "
        f"break the contract, more than COLDFRAME_MAX_QUARANTINE_SHARE={share:g} allows. "
        f"{most_frequent(checked.reasons)}."
    )


def most_frequent(reasons: Mapping[str, int]) -> str:
    """The three reasons that most rows have, with their rows, and how many other reasons there are."""
    ranked = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    others = len(ranked) - 3
    more = f"; and {others} more reason{'s' * (others > 1)}" if others > 0 else ""
    return "Most frequent: " + "; ".join(f"{reason} ({rows:,})" for reason, rows in ranked[:3]) + more
