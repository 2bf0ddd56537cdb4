"""What an SQL expression in a mapping may be: plain functions of one row's cells, and nothing else.

DuckDB's own parser reads it, everything that is not listed here is refused (a query, an aggregate, a file, the
environment, the clock), and only then is it bound to the columns the source really has. What runs later is written
anew from the parsed tree, so that no text of a mapping gets into a query. An expression let through wrongly makes the
same delivery land differently tomorrow, or reads what nobody meant to deliver.
"""

import copy
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import duckdb

from coldframe.documents import near
from landing.contract import Type

_LITERAL = {"COLUMN_REF", "CONSTANT", "CAST", "TYPE", "CASE", "COMPARISON", "CONJUNCTION", "BETWEEN"}
_OPERATORS = {
    "OPERATOR_IS_NULL",
    "OPERATOR_IS_NOT_NULL",
    "OPERATOR_NOT",
    "OPERATOR_COALESCE",
    "COMPARE_IN",
    "COMPARE_NOT_IN",
}
SYMBOLS = {"+", "-", "*", "/", "//", "%", "^", "**", "||", "~~", "!~~", "~~*", "!~~*"}
"""Operators DuckDB parses as functions; ``~~`` is LIKE."""
_NAMES = """
abs ceil ceiling floor greatest least mod nullif round sign trunc
concat concat_ws contains ends_with left length lower lpad ltrim md5 position prefix regexp_extract regexp_full_match
regexp_matches regexp_replace replace right rpad rtrim sha256 split_part starts_with strip_accents strpos substr
substring suffix trim upper
date_diff date_part date_sub date_trunc epoch_ms last_day make_date make_timestamp strftime strptime to_days to_hours
to_minutes to_months to_seconds to_timestamp to_weeks to_years try_strptime
"""
FUNCTIONS = frozenset(_NAMES.split())
"""Functions by the names DuckDB's parser gives them: ``extract(year from x)`` is date_part."""
_CLASSES = {
    "SUBQUERY": "a query inside it",
    "WINDOW": "a window function",
    "STAR": "*",
    "LAMBDA": "a lambda",
    "PARAMETER": "a parameter",
}
_NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")
_FITTING: dict[Type, tuple[str, ...]] = {
    Type.INTEGER: (*_NUMBERS, "DECIMAL", "DOUBLE", "FLOAT"),
    Type.MONEY: (*_NUMBERS, "DECIMAL", "DOUBLE", "FLOAT"),
    Type.RATIO: (*_NUMBERS, "DECIMAL", "DOUBLE", "FLOAT"),
    Type.DATE: ("DATE",),
    Type.TIMESTAMP: ("TIMESTAMP", "DATE"),
}
_RECKONS = re.compile(r"argument types '[^\w]+\(|explicit cast is required").search
_HEAD = "select (\n"

Tree = dict[str, Any]


class UnfitExpressionError(Exception):
    """What is wrong with an expression, one sentence each."""

    def __init__(self, *faults: str) -> None:
        super().__init__(" ".join(faults))
        self.faults = faults


@dataclass(frozen=True)
class Cell:
    """A source column. `raw` is its name in SQL and `raw_type` DuckDB's type there; expressions see it as `type`."""

    raw: str
    raw_type: str = "VARCHAR"
    type: str = "VARCHAR"

    @property
    def typed(self) -> str:
        return self.raw if self.type == self.raw_type else f"cast({self.raw} as {self.type})"


def parse(text: str) -> Tree:
    """The expression as a tree. Raises UnfitExpressionError for what does not parse or is not allowed."""
    if not text.strip():
        raise UnfitExpressionError("it is empty.")
    tree = _tree(text)
    faults = list(dict.fromkeys(_faults(tree)))
    if faults:
        raise UnfitExpressionError(*faults)
    return tree


def bind(tree: Tree, cells: Mapping[str, Cell]) -> tuple[str, str]:
    """SQL over the raw cells, and the DuckDB type of its value. Raises UnfitExpressionError.

    The SQL may fail for a row; whoever runs it wraps it in try().
    """
    used = sorted({name for name in names(tree) if name in cells})
    unknown = sorted(set(names(tree)) - set(used))
    if unknown:
        raise UnfitExpressionError(
            *(f"there is no column {n!r}.{near(n, cells) or ' Text goes into single quotes.'}" for n in unknown)
        )
    sql = _text(_substitute(tree, {name: _tree(cells[name].typed) for name in used}))
    row = ", ".join(f"cast(null as {cells[name].raw_type}) as {cells[name].raw}" for name in used) or "1"
    try:
        [(_, kind, *_)] = session().execute(f"describe select {sql} as v from (select {row})").fetchall()
        # Errors in arguments that are constants (a pattern, a unit) show only when it runs.
        session().execute(f"select try({{'v': {sql}}}) from (select {row})").fetchall()
    except duckdb.Error as error:
        texts = [name for name in used if cells[name].type == "VARCHAR"]
        if texts and _RECKONS(str(error)):
            raise UnfitExpressionError(
                f"{_told(error)} To reckon with text, write cast({texts[0]} as decimal(18, 4))."
            ) from error
        raise UnfitExpressionError(_told(error)) from error
    return sql, str(kind)


def fits(wanted: Type, found: str) -> bool:
    """Whether a value of DuckDB type `found` can be a cell of the contract's type; text may hold anything."""
    if wanted is Type.TEXT or found == "VARCHAR":
        return not found.endswith("]") and not found.startswith(("STRUCT", "MAP", "UNION"))
    return not found.endswith("]") and found.startswith(_FITTING[wanted])


@cache
def session() -> duckdb.DuckDBPyConnection:
    """A DuckDB that knows no files, in UTC."""
    connection = duckdb.connect(config={"threads": 1})
    connection.execute("set timezone = 'UTC'; set enable_external_access = false")
    return connection


@cache
def _existing() -> frozenset[str]:
    found = session().execute("select distinct function_name from duckdb_functions()").fetchall()
    return frozenset(str(name) for (name,) in found)


def _tree(text: str) -> Tree:
    """The tree of any one SQL expression. Raises UnfitExpressionError if it is none, or more than one."""
    [(answer,)] = session().execute("select json_serialize_sql($1)", [f"{_HEAD}{text}\n)"]).fetchall()
    parsed = json.loads(answer)
    if parsed["error"]:
        # Behind the text stands only our own bracket.
        if int(parsed.get("position", 0)) >= len(f"{_HEAD}{text}".encode()):
            raise UnfitExpressionError("it breaks off: something is missing at its end.")
        raise UnfitExpressionError(f"{str(parsed['error_message']).splitlines()[0]}.")
    [statement] = parsed["statements"]
    node = statement["node"]
    # Brackets that close ours and open another could hide a whole query.
    if node.get("from_table", {}).get("type") != "EMPTY" or len(node["select_list"]) != 1:
        raise UnfitExpressionError("it is not one expression: do its brackets match?")
    return node["select_list"][0]


def _text(tree: Tree) -> str:
    """SQL of a tree, in a statement that holds nothing but it."""
    [(answer,)] = session().execute("select json_serialize_sql('select 1')").fetchall()
    parsed = json.loads(answer)
    parsed["statements"][0]["node"]["select_list"] = [tree]
    [(sql,)] = session().execute("select json_deserialize_sql($1)", [json.dumps(parsed)]).fetchall()
    return "(" + str(sql).removeprefix("SELECT ") + ")"


def _nodes(tree: Any) -> Iterator[Tree]:
    if isinstance(tree, dict):
        if "class" in tree:
            yield tree
        for child in tree.values():
            yield from _nodes(child)
    elif isinstance(tree, list):
        for child in tree:
            yield from _nodes(child)


def _faults(tree: Tree) -> Iterator[str]:
    for node in _nodes(tree):
        kind = node["class"]
        if kind == "FUNCTION":
            yield from _faults_of_function(node)
        elif kind == "COLUMN_REF" and len(node["column_names"]) != 1:
            yield f"{'.'.join(node['column_names'])}: write the column's name alone."
        elif kind == "OPERATOR" and node["type"] not in _OPERATORS:
            yield f"{str(node['type']).removeprefix('OPERATOR_').lower()} may not be used."
        elif kind not in _LITERAL and kind != "OPERATOR":
            yield f"{_CLASSES.get(kind, str(kind).lower())} may not be used: only functions of one row's cells may."


def _faults_of_function(node: Tree) -> Iterator[str]:
    name = str(node["function_name"])
    plain = node["schema"] == node["catalog"] == "" and node["filter"] is None and not node["distinct"]
    if name == "timezone":
        yield "no time zone may be used in it: say `timezone:` beside `column:`."
    elif name not in FUNCTIONS | SYMBOLS:
        # One that exists is no slip of the pen: 'random' does not mean 'rpad'.
        hint = "" if name in _existing() else near(name, FUNCTIONS)
        yield f"{name}() may not be used: only functions of one row's cells may.{hint}"
    elif not plain or node["order_bys"]["orders"] or node["export_state"]:
        yield f"{name}() must be called as {name}(…), without more."


def names(tree: Tree) -> tuple[str, ...]:
    """Names of the columns it reads, in order and as often as it does."""
    return tuple(str(node["column_names"][0]) for node in _nodes(tree) if node["class"] == "COLUMN_REF")


def _substitute(tree: Any, by: Mapping[str, Tree]) -> Any:
    if isinstance(tree, dict):
        if tree.get("class") == "COLUMN_REF":
            return copy.deepcopy(by[tree["column_names"][0]]) | {"alias": tree["alias"]}
        return {key: _substitute(child, by) for key, child in tree.items()}
    return [_substitute(child, by) for child in tree] if isinstance(tree, list) else tree


def _told(error: duckdb.Error) -> str:
    """What DuckDB says, without its class, its list of candidates and the query."""
    said = str(error).splitlines()[0].partition(": ")[2].partition(" You might need")[0].partition(" - an")[0]
    return f"{said.rstrip('.!')}."
