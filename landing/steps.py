"""Step ``land``: brings a source's rows up to the as-of into the landed tables, or refuses the delivery as a whole.

All tables are checked before the first is replaced, so that a delivery which breaks the contract leaves everything as
it was. What was counted is kept in the ledger; without it nobody can say what a plan was not told.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb

from coldframe import landed
from coldframe.errors import BadInputError, ConfigurationError
from coldframe.ledger import Ledger
from coldframe.paths import Workspace, workspace
from coldframe.run import Request, StepResult
from coldframe.settings import Settings, get_settings
from landing import store
from landing.contract import OWN, TABLES, VERSION, Kind, Table
from landing.plans import land_plans
from landing.sources import Offer, Source, open_source
from landing.validate import Checked, Limits, check, excess, merge, most_frequent

log = logging.getLogger(__name__)

_RECORD = "_landing.json"
_SMALL = 1 << 20


def land(request: Request) -> StepResult:
    """Lands days up to `request.as_of` (from `request.start`, where given) of every table the source offers.

    Raises BadInputError if the delivery as a whole cannot be trusted; then nothing landed changes, but the quarantine
    of a table with too many bad rows is written, so that they can be looked at.
    """
    settings = get_settings()
    place = workspace(request.source, settings)
    path = request.path or (settings.source_path if request.source == settings.source else None)
    source = open_source(request.source, path)
    offer = source.probe()
    missing = [t.name for t in TABLES if t.required and t.name not in offer.tables]
    if missing:
        raise BadInputError(
            f"{request.source} lacks {', '.join(missing)}, which the contract requires. Nothing was landed."
        )
    ledger = Ledger.open(settings)
    land_plans(request.source)
    record = _read_record(place)
    if not request.force and record.get("fingerprint") == _fingerprint(place, offer, request, settings):
        log.info("%s: files, request and code are those of the last landing", request.source)
        return _finish(request, ledger, record, reused=True)

    warnings = [*offer.warnings, *_warn_of_change(place, offer, record, path)]
    scratch = store.scratch_folder(place)
    try:
        with _connect(settings, scratch) as connection:
            tables = _check(connection, place, source, offer, request, settings, scratch)
            _refuse(place, tables, request, settings)
            moves, facts = _sum_up(connection, place, tables, request, scratch, warnings)
        for staged, target in moves:
            store.move(staged, target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    record = {
        "contract_version": VERSION,
        "path": str(path or ""),
        "fingerprint": _fingerprint(place, offer, request, settings),
        "warnings": warnings,
        "tables": facts,
    }
    result = _finish(request, ledger, record, reused=False)
    # Last, because a record vouches for everything before it.
    temporary = place.landed / f"{_RECORD}.new"
    temporary.write_text(json.dumps(record, indent=1))
    temporary.replace(place.landed / _RECORD)
    return result


def _connect(settings: Settings, scratch: Path) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(
        config={
            "threads": settings.threads,
            "memory_limit": settings.memory_limit,
            "temp_directory": str(scratch / "spill"),
            "preserve_insertion_order": True,
        }
    )
    connection.execute("set timezone = 'UTC'")
    return connection


@dataclass(frozen=True)
class _Table:
    """One table, checked, with what is to be moved from scratch and the quarantined rows as one file there."""

    contract: Table
    checked: Checked
    moves: tuple[tuple[Path, Path], ...]
    late: int
    quarantine: Path


def _pieces(table: Table, offer: Offer, request: Request) -> list[tuple[date | None, date]]:
    """First and last day of what is checked at once; a first day of None means all days there are."""
    if table.kind is Kind.STATE or offer.piece_days is None or offer.first_day is None:
        return [(request.start, request.as_of)]
    length = timedelta(days=offer.piece_days)
    begin = max(offer.first_day, request.start or offer.first_day)
    firsts = [begin + n * length for n in range((request.as_of - begin) // length + 1)] or [begin]
    return [(first, min(first + length - timedelta(days=1), request.as_of)) for first in firsts]


def _check(
    connection: duckdb.DuckDBPyConnection,
    place: Workspace,
    source: Source,
    offer: Offer,
    request: Request,
    settings: Settings,
    scratch: Path,
) -> list[_Table]:
    """Checks every table and writes to scratch what differs from what is landed; nothing landed is touched."""
    settled = request.as_of < store.latest_known(place, TABLES)
    adapter = f"The adapter of {request.source!r}"
    results = []
    for table in (t for t in TABLES if t.name in offer.tables):
        checks, staged, quarantines = [], [], []
        pieces = _pieces(table, offer, request)
        for number, (first, last) in enumerate(pieces):
            limits = Limits(
                first=first,
                last=last,
                delivered_on=offer.delivered_on,
                offered=frozenset(offer.tables),
                max_unit_price=settings.max_unit_price,
                currency=offer.currency or settings.currency,
            )
            folder = scratch / table.name / str(number)
            query = _query(connection, source, table, first, last, adapter)
            checks.append(check(connection, table, query, limits, adapter))
            staged.append(store.stage(connection, place, table, request.as_of, first, last, settled, folder))
            quarantines.append(store.write_quarantine(connection, table, folder))
            if table.kind is Kind.EVENTS:
                # No table refers to events, because a landing of some days would not have the others at hand.
                connection.execute(f"drop table accepted_{table.name}")
            if len(pieces) > 1:
                log.info("%s: %s to %s, %d rows read", table.name, first, last, checks[-1].read)
        checked = merge(checks)
        log.info("%s: %d rows read, %d quarantined", table.name, checked.read, checked.quarantined)
        results.append(
            _Table(
                contract=table,
                checked=checked,
                moves=tuple(move for piece in staged for move in piece.moves),
                late=sum(piece.late for piece in staged),
                quarantine=store.join_quarantines(connection, quarantines, scratch / table.name),
            )
        )
    return results


def _query(
    connection: duckdb.DuckDBPyConnection, source: Source, table: Table, first: date | None, last: date, adapter: str
) -> str:
    try:
        return source.read(connection, table.name, first, last)
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error as error:
        raise BadInputError(
            f"{adapter} cannot read {table.name}. Nothing was landed. Mend the adapter, or what it reads. {error}"
        ) from error


def _refuse(place: Workspace, tables: list[_Table], request: Request, settings: Settings) -> None:
    """Raises BadInputError if a table has too many bad rows, or no order was placed up to the as-of."""
    problems = []
    for table in tables:
        checked = table.checked
        problem = excess(checked, settings.max_quarantine_share)
        if problem:
            target = store.quarantine_file(place, checked.table, request.as_of)
            store.move(table.quarantine, target)
            problems.append(f"{problem} They lie in {target}.")
        elif table.contract.required and not table.contract.may_be_empty and not request.start and not checked.accepted:
            later = f" ({checked.later:,} rows are later)" if checked.later else ""
            problems.append(f"{checked.table}: no row up to {request.as_of}{later}. Check the as-of.")
    if problems:
        raise BadInputError(
            f"{request.source} as of {request.as_of} is refused; nothing was landed.\n  " + "\n  ".join(problems)
        )


def _sum_up(
    connection: duckdb.DuckDBPyConnection,
    place: Workspace,
    tables: list[_Table],
    request: Request,
    scratch: Path,
    warnings: list[str],
) -> tuple[list[tuple[Path, Path]], dict[str, Any]]:
    """All that is to be moved, schemas included, and what is told of each table."""
    moves: list[tuple[Path, Path]] = []
    facts = {}
    for table in tables:
        name, checked = table.contract.name, table.checked
        moves += table.moves
        if table.late:
            differ = "days differ" if table.contract.kind is Kind.EVENTS else "version differs"
            warnings.append(
                f"{name}: {table.late} {differ} from what a later run has landed already, and what was known by "
                f"{request.as_of} is settled. Land the correction as of a later day."
            )
        quarantine = store.quarantine_file(place, name, request.as_of)
        if checked.quarantined:
            moves.append((table.quarantine, quarantine))
        else:
            quarantine.unlink(missing_ok=True)
        facts[name] = {
            "read": checked.read,
            "accepted": checked.accepted,
            "quarantined": checked.quarantined,
            "later": checked.later,
            "earlier": checked.earlier,
            "written": len(table.moves),
            "reasons": checked.reasons,
        }
    moves += _schemas(connection, place, scratch)
    return moves, facts


def _schemas(connection: duckdb.DuckDBPyConnection, place: Workspace, scratch: Path) -> list[tuple[Path, Path]]:
    """Schema files of every table, offered or not: those who read can then count on all of them."""
    return [
        (store.write_schema(connection, table, scratch / table.name), landed.schema_file(place, table.name))
        for table in (*TABLES, *OWN)
    ]


def _finish(request: Request, ledger: Ledger, record: dict[str, Any], reused: bool) -> StepResult:
    """Records the counts in the ledger, also of a landing that was not repeated: the ledger may be a new one."""
    tables: dict[str, dict[str, Any]] = record["tables"]
    for name, facts in tables.items():
        ledger.record_landing(
            request.source,
            request.as_of,
            name,
            read=facts["read"],
            accepted=facts["accepted"],
            quarantined=facts["quarantined"],
            reasons=facts["reasons"],
        )
    counts = ("read", "accepted", "quarantined", "later", "earlier", "written")
    sums = {key: sum(facts[key] for facts in tables.values()) for key in counts}
    left_out = "".join(
        f", {sums[key]:,} {side} left out"
        for key, side in (("later", f"after {request.as_of}"), ("earlier", f"before {request.start}"))
        if sums[key]
    )
    s = "s" * (sums["written"] > 1)
    written = "nothing written" if reused or not sums["written"] else f"{sums['written']:,} day{s} or table{s} written"
    warnings = list(record["warnings"])
    for name, facts in tables.items():
        if facts["quarantined"]:
            rows = f"{facts['quarantined']:,} row{'s' * (facts['quarantined'] > 1)}"
            warnings.append(f"{name}: {rows} in quarantine. {most_frequent(facts['reasons'])}")
    return StepResult(
        step="land",
        summary=(
            f"{sums['read'] + sums['later'] + sums['earlier']:,} rows of {len(tables)} tables read as of "
            f"{request.as_of}: {sums['accepted']:,} accepted, {sums['quarantined']:,} in quarantine{left_out}; "
            f"{written}"
        ),
        reused=reused,
        warnings=tuple(warnings),
        facts=sums | {"tables": tables},
        links={"quarantine": str(workspace(request.source).quarantine)} if sums["quarantined"] else {},
    )


def _warn_of_change(place: Workspace, offer: Offer, record: dict[str, Any], path: Path | None) -> Iterable[str]:
    if record and record["path"] != str(path or ""):
        yield (
            f"This source was landed from {record['path'] or 'its own place'} before; days that {path} does not cover "
            "stay. That is right for another delivery of one shop. If it is another shop, the two are mixed now: "
            f"delete {place.root}, and land each with a COLDFRAME_HOME of its own."
        )
    for table in TABLES:
        if table.name not in offer.tables and any(landed.versions(place, table.name)):
            yield f"{table.name} was landed before and is not offered any more; what was landed stays."


def _read_record(place: Workspace) -> dict[str, Any]:
    """What the last landing wrote down; empty if there is none, or it cannot be read (it only saves work)."""
    try:
        record: dict[str, Any] = json.loads((place.landed / _RECORD).read_text())
    except (OSError, ValueError):
        return {}
    if record.get("contract_version") != VERSION:
        raise ConfigurationError(
            f"{place.landed} was landed under version {record.get('contract_version')} of the contract, and this is "
            f"version {VERSION}. Delete that folder and land again."
        )
    return record


def _fingerprint(place: Workspace, offer: Offer, request: Request, settings: Settings) -> str:
    """Of everything a landing depends on: the source's files, the request, limits, code, and what lies landed."""
    code = sorted(Path(__file__).parent.rglob("*.py"))
    parts = [
        f"{VERSION} {request.source} {request.as_of} {request.start}",
        f"{settings.max_unit_price} {settings.max_quarantine_share} {settings.currency} {offer.tables} {offer.stamp}",
        *(f"{path} {_stamp(path)}" for path in offer.files),
        *(_sha256(path) for path in code),
        *(f"{path} {_stamp(path, small=0)}" for path in sorted(place.landed.rglob("*.parquet"))),
        *(f"{path} {_stamp(path, small=0)}" for path in sorted(place.quarantine.rglob("*.parquet"))),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _stamp(path: Path, small: int = _SMALL) -> str:
    status = path.stat()
    return _sha256(path) if status.st_size <= small else f"{status.st_size} {status.st_mtime_ns}"


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
