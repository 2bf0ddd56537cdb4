"""The decision ledger: what ran, what was landed, what was planned, and who agreed to it, when and why.

Plans reach shelves and traffic only through the states kept here; when this file is wrong, a plan nobody approved is
acted upon, or nobody can say afterwards who approved it. SQLite under home by default, PostgreSQL by another URL.
"""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal, Self

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    Double,
    Engine,
    ForeignKey,
    Index,
    Integer,
    NullPool,
    String,
    Text,
    TypeDecorator,
    create_engine,
    event,
    func,
    insert,
    inspect,
    make_url,
    select,
    text,
    update,
)
from sqlalchemy.engine import Connection
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from tenacity import retry, stop_after_attempt, wait_random

from coldframe.errors import ColdframeError, ConfigurationError, NotAvailableError
from coldframe.run import Request, StepResult
from coldframe.settings import Settings, get_settings

# Kept equal to the newest migration by a test, so that opening an up-to-date ledger need not import Alembic.
HEAD = "0001"
_MIGRATION_LOCK = 0x0C01DF4A
_BUSY_MILLISECONDS = 30_000

Status = Literal["draft", "approved", "rejected", "published", "superseded"]
StepStatus = Literal["succeeded", "failed"]

# A plan decided anew after another draft had replaced it is a draft again; a rejection of the same content stands
# until somebody approves it after all, with a reason of its own.
TRANSITIONS: Mapping[str, tuple[Status, ...]] = {
    "draft": ("approved", "rejected", "superseded"),
    "approved": ("published", "rejected", "superseded"),
    "rejected": ("approved",),
    "published": ("superseded",),
    "superseded": ("draft",),
}
IN_FORCE = ("draft", "approved", "published")
_NEEDS_WHY = ("approved", "rejected")
_HOW: Mapping[Status, str] = {
    "draft": "by `coldframe decide` with the same inputs",
    "approved": "`coldframe approve`",
    "rejected": "`coldframe reject`",
    "published": "`coldframe publish`",
    "superseded": "by another plan for its season",
}


def next_status(current: str, wanted: str) -> Status:
    """`wanted`, if a plan that is `current` may become it.

    Raises ConfigurationError naming what it may become, and how.
    """
    if wanted not in TRANSITIONS:
        raise ConfigurationError(f"A plan cannot be {wanted!r}. It can be: {', '.join(TRANSITIONS)}.")
    for allowed in TRANSITIONS[current]:
        if allowed == wanted:
            return allowed
    may = " or ".join(f"{status} ({_HOW[status]})" for status in TRANSITIONS[current])
    raise ConfigurationError(f"It is {current}, so it cannot become {wanted}; it can become {may}.")


@dataclass(frozen=True)
class PlanLine:
    """One decision of a plan.

    assortment: `quantity` is depth in units, `value` the expected GMV or margin of the season.
    incubation: `action` is the stage, `quantity` the share of tomorrow's exposure (0..1), `value` a probability.
    `value_low` and `value_high` bound the value; `alternative` is what would have been chosen instead.
    """

    region: str
    category: str
    product_id: str
    title: str
    action: str
    quantity: float
    value: float
    value_low: float
    value_high: float
    reason: str
    alternative: str | None
    binding_constraint: str | None
    details: dict[str, Any]


@dataclass(frozen=True)
class PlanDraft:
    """A plan as a decision hands it over. `summary` is derived from the rest and does not change its identity."""

    kind: str
    source: str
    as_of: date
    season: str
    valid_from: date
    valid_until: date
    snapshot_id: str
    release_ids: dict[str, str]
    parameters: dict[str, Any]
    summary: dict[str, Any]
    lines: tuple[PlanLine, ...]

    @property
    def plan_id(self) -> str:
        """First 12 hex digits of the SHA-256 of the canonical JSON: the same decision always has the same name."""
        content = {k: v for k, v in vars(self).items() if k not in ("summary", "lines")}
        content["lines"] = [_values(line) for line in self.lines]
        return hashlib.sha256(_to_json(content).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Plan:
    """The head of a stored plan."""

    plan_id: str
    kind: str
    source: str
    as_of: date
    season: str
    valid_from: date
    valid_until: date
    snapshot_id: str
    release_ids: dict[str, str]
    parameters: dict[str, Any]
    summary: dict[str, Any]
    status: Status
    line_count: int
    created_at: datetime

    @property
    def in_force(self) -> bool:
        """Somebody may still act on it, so what it rests upon must be kept."""
        return self.status in IN_FORCE


@dataclass(frozen=True)
class PlanEvent:
    """One change of status: by whom, when (UTC), why. `from_status` is None for the first draft."""

    plan_id: str
    at: datetime
    by: str
    from_status: str | None
    to_status: str
    why: str

    def __str__(self) -> str:
        """'rejected by ann on 2026-06-30 12:00 UTC (too few teas)'."""
        return f"{self.to_status} by {self.by} on {self.at:%Y-%m-%d %H:%M} UTC" + f" ({self.why})" * bool(self.why)


@dataclass(frozen=True)
class Landing:
    """What came of one table in one landing: ``read = accepted + quarantined``; `reasons` counts refused rows."""

    source: str
    as_of: date
    table: str
    read: int
    accepted: int
    quarantined: int
    reasons: dict[str, int]


@dataclass(frozen=True)
class StepRun:
    """One execution of a step. `status` is running, succeeded or failed; `result` is a StepResult as a dictionary."""

    run_id: int
    source: str
    step: str
    as_of: date
    request: dict[str, Any]
    status: str
    started_at: datetime
    finished_at: datetime | None
    result: dict[str, Any] | None
    error: str | None


class _UtcDateTime(TypeDecorator[datetime]):
    """Aware UTC in Python on every database; SQLite would otherwise drop the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads this class attribute
        str: Text,
        float: Double,
        datetime: _UtcDateTime,
        dict[str, Any]: JSON,
        dict[str, int]: JSON,
        dict[str, str]: JSON,
    }


class StepRunRow(Base):
    __tablename__ = "step_runs"
    __table_args__ = (Index("ix_step_runs_source_step", "source", "step"),)

    run_id: Mapped[int] = mapped_column(primary_key=True)
    source: Mapped[str] = mapped_column(String(64))
    step: Mapped[str] = mapped_column(String(64))
    as_of: Mapped[date]
    request: Mapped[dict[str, Any]]
    status: Mapped[str] = mapped_column(String(16))
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    result: Mapped[dict[str, Any] | None]
    error: Mapped[str | None]


class LandingRow(Base):
    __tablename__ = "landings"

    source: Mapped[str] = mapped_column(String(64), primary_key=True)
    as_of: Mapped[date] = mapped_column(primary_key=True)
    table: Mapped[str] = mapped_column("table_name", String(64), primary_key=True)
    read: Mapped[int] = mapped_column("rows_read", BigInteger)
    accepted: Mapped[int] = mapped_column("rows_accepted", BigInteger)
    quarantined: Mapped[int] = mapped_column("rows_quarantined", BigInteger)
    reasons: Mapped[dict[str, int]]


class PlanRow(Base):
    __tablename__ = "plans"
    __table_args__ = (Index("ix_plans_source_kind_season", "source", "kind", "season"),)

    plan_id: Mapped[str] = mapped_column(String(12), primary_key=True)
    kind: Mapped[str] = mapped_column(String(32))
    source: Mapped[str] = mapped_column(String(64))
    as_of: Mapped[date]
    season: Mapped[str] = mapped_column(String(64))
    valid_from: Mapped[date]
    valid_until: Mapped[date]
    snapshot_id: Mapped[str] = mapped_column(String(64))
    release_ids: Mapped[dict[str, str]]
    parameters: Mapped[dict[str, Any]]
    summary: Mapped[dict[str, Any]]
    status: Mapped[Status] = mapped_column(String(16))
    line_count: Mapped[int]
    created_at: Mapped[datetime]


class PlanLineRow(Base):
    __tablename__ = "plan_lines"

    plan_id: Mapped[str] = mapped_column(ForeignKey("plans.plan_id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    region: Mapped[str]
    category: Mapped[str]
    product_id: Mapped[str]
    title: Mapped[str]
    action: Mapped[str] = mapped_column(String(32))
    quantity: Mapped[float]
    value: Mapped[float]
    value_low: Mapped[float]
    value_high: Mapped[float]
    reason: Mapped[str]
    alternative: Mapped[str | None]
    binding_constraint: Mapped[str | None]
    details: Mapped[dict[str, Any]]


class PlanEventRow(Base):
    __tablename__ = "plan_events"
    __table_args__ = (Index("ix_plan_events_plan_id", "plan_id"),)

    event_id: Mapped[int] = mapped_column(primary_key=True)
    plan_id: Mapped[str] = mapped_column(ForeignKey("plans.plan_id", ondelete="CASCADE"))
    at: Mapped[datetime] = mapped_column("happened_at")
    by: Mapped[str] = mapped_column("by_whom")
    from_status: Mapped[str | None] = mapped_column(String(16))
    to_status: Mapped[str] = mapped_column(String(16))
    why: Mapped[str]


class Ledger:
    """Reads and writes the ledger, one transaction a call."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @classmethod
    def open(cls, settings: Settings | None = None) -> Self:
        """The ledger of this installation, migrated to the newest schema.

        Raises ConfigurationError where the database cannot be reached or was written by a newer Coldframe.
        """
        url = (settings or get_settings()).resolved_ledger_url
        try:
            engine = _engine(url)
            with engine.connect() as connection:
                revision = schema_revision(connection)
            if revision != HEAD:
                _migrate(engine, revision)
        except (SQLAlchemyError, OSError, ImportError) as error:
            shown = make_url(url).render_as_string(hide_password=True) if "://" in url else url
            reason = str(error).splitlines()[0]
            raise ConfigurationError(
                f"The ledger {shown} cannot be opened: {reason}. Check COLDFRAME_LEDGER_URL and COLDFRAME_HOME."
            ) from error
        return cls(engine)

    @contextmanager
    def _reading(self) -> Iterator[Session]:
        with Session(self._engine) as session:
            yield session

    @contextmanager
    def _writing(self) -> Iterator[Session]:
        with Session(self._engine.execution_options(writes=True)) as session, session.begin():
            yield session

    # Runs and landings

    def start_step(self, request: Request, step: str) -> int:
        """Returns the id of the new run. A run of the same step that never said how it ended was killed.

        Should it be alive after all, it overwrites that when it ends.
        """
        row = StepRunRow(
            source=request.source,
            step=step,
            as_of=request.as_of,
            request=request.model_dump(mode="json"),
            status="running",
            started_at=datetime.now(UTC),
        )
        silent = update(StepRunRow).where(
            StepRunRow.source == request.source, StepRunRow.step == step, StepRunRow.status == "running"
        )
        with self._writing() as session:
            session.execute(silent.values(status="failed", error="It ended without a word: it was killed."))
            session.add(row)
            session.flush()
            return row.run_id

    def finish_step(self, run_id: int, status: StepStatus, outcome: StepResult | str) -> None:
        """`outcome` is the result of a step that succeeded, or the message of the error that ended it."""
        with self._writing() as session:
            row = session.get_one(StepRunRow, run_id)
            row.status = status
            row.finished_at = datetime.now(UTC)
            row.error = None
            if isinstance(outcome, StepResult):
                row.result = outcome.model_dump(mode="json")
            else:
                row.error = outcome

    def step_runs(self, source: str | None = None, step: str | None = None, limit: int = 100) -> tuple[StepRun, ...]:
        """The latest runs, newest first."""
        query = select(StepRunRow).order_by(StepRunRow.run_id.desc()).limit(limit)
        if source is not None:
            query = query.where(StepRunRow.source == source)
        if step is not None:
            query = query.where(StepRunRow.step == step)
        with self._reading() as session:
            return tuple(StepRun(**_columns(row)) for row in session.scalars(query))

    def record_landing(
        self, source: str, as_of: date, table: str, read: int, accepted: int, quarantined: int, reasons: dict[str, int]
    ) -> None:
        """Keeps the counts of one table; landing the same day again replaces them.

        Raises ColdframeError if ``read != accepted + quarantined``: then rows were lost without a trace.
        """
        if read != accepted + quarantined:
            raise ColdframeError(
                f"{source}.{table} as of {as_of}: read {read} rows, but accepted {accepted} and quarantined "
                f"{quarantined}. Landing must account for every row; this is a fault of the source's adapter."
            )
        with self._writing() as session:
            session.merge(
                LandingRow(
                    source=source,
                    as_of=as_of,
                    table=table,
                    read=int(read),
                    accepted=int(accepted),
                    quarantined=int(quarantined),
                    reasons={reason: int(count) for reason, count in sorted(reasons.items())},
                )
            )

    def landings(self, source: str, as_of: date | None = None) -> tuple[Landing, ...]:
        """Landings of a source, by as-of and table."""
        query = select(LandingRow).where(LandingRow.source == source).order_by(LandingRow.as_of, LandingRow.table)
        if as_of is not None:
            query = query.where(LandingRow.as_of == as_of)
        with self._reading() as session:
            return tuple(Landing(**_columns(row)) for row in session.scalars(query))

    # Plans

    def save_plan(self, draft: PlanDraft) -> Plan:
        """Stores a draft. The same content again is the same plan, whatever became of it meanwhile.

        Drafts of the same kind, source and season with an as-of that is not later are superseded by it.
        Raises ColdframeError if a line has no reason or a number in it is not finite.
        """
        _check(draft)
        plan_id = draft.plan_id
        with self._writing() as session:
            row = session.get(PlanRow, plan_id)
            if row is not None:
                if row.status == "superseded":
                    row.summary = draft.summary
                    self._move(session, row, "draft", by="coldframe", why="decided again")
                    self._supersede(session, row, of="draft", why=f"replaced by draft {plan_id}")
                return _plan(row)
            head = {k: v for k, v in vars(draft).items() if k != "lines"}
            row = PlanRow(
                plan_id=plan_id,
                status="draft",
                line_count=len(draft.lines),
                created_at=datetime.now(UTC),
                **head,
            )
            session.add(row)
            session.flush()
            if draft.lines:
                session.execute(
                    insert(PlanLineRow),
                    [{"plan_id": plan_id, "number": i} | _values(line) for i, line in enumerate(draft.lines, start=1)],
                )
            _record(session, plan_id, by="coldframe", before=None, after="draft", why="decided")
            self._supersede(session, row, of="draft", why=f"replaced by draft {plan_id}")
            return _plan(row)

    def plan(self, plan_id: str) -> Plan:
        """Raises NotAvailableError for a plan the ledger does not have."""
        with self._reading() as session:
            return _plan(_get(session, plan_id))

    def plans(self, source: str | None = None, kind: str | None = None, status: str | None = None) -> tuple[Plan, ...]:
        """Plans, newest first (by as-of, then by when they were made)."""
        query = select(PlanRow).order_by(PlanRow.as_of.desc(), PlanRow.created_at.desc(), PlanRow.plan_id)
        for column, wanted in ((PlanRow.source, source), (PlanRow.kind, kind), (PlanRow.status, status)):
            if wanted is not None:
                query = query.where(column == wanted)
        with self._reading() as session:
            return tuple(_plan(row) for row in session.scalars(query))

    def ever_published(self, source: str, kind: str) -> tuple[Plan, ...]:
        """Plans that are or were in force, in the order in which each was last published."""
        last = func.max(PlanEventRow.event_id)
        query = (
            select(PlanRow)
            .join(PlanEventRow, PlanEventRow.plan_id == PlanRow.plan_id)
            .where(PlanRow.source == source, PlanRow.kind == kind, PlanEventRow.to_status == "published")
            .group_by(PlanRow.plan_id)
            .order_by(last)
        )
        with self._reading() as session:
            return tuple(_plan(row) for row in session.scalars(query))

    def lines(self, plan_id: str) -> tuple[PlanLine, ...]:
        """Lines of a plan in the order they were decided. Raises NotAvailableError for an unknown plan."""
        names = [PlanLineRow.__table__.c[name] for name in PlanLine.__dataclass_fields__]
        query = select(*names).where(PlanLineRow.plan_id == plan_id).order_by(PlanLineRow.number)
        with self._reading() as session:
            _get(session, plan_id)
            return tuple(PlanLine(*row) for row in session.execute(query))

    def events(self, plan_id: str) -> tuple[PlanEvent, ...]:
        """Every change of status of a plan, oldest first. Raises NotAvailableError for an unknown plan."""
        with self._reading() as session:
            _get(session, plan_id)
            return _events(session, plan_id)

    def change_status(self, plan_id: str, status: str, by: str, why: str) -> Plan:
        """Moves a plan along draft -> approved | rejected -> published -> superseded and records who did it and why.

        A rejected plan may still be approved.

        Publishing supersedes the plan of the same kind, source and season that was published before. Raises
        ConfigurationError for an illegal move, or where `by` (or, to approve or reject, `why`) is empty;
        NotAvailableError for an unknown plan.
        """
        if not by.strip():
            raise ConfigurationError(f"Who wants plan {plan_id} to be {status}? Name them (`by`).")
        if status in _NEEDS_WHY and not why.strip():
            raise ConfigurationError(f"Plan {plan_id} can be {status} only with a reason (`why`).")
        with self._writing() as session:
            row = _get(session, plan_id, lock=True)
            self._move(session, row, status, by, why)
            if status == "published":
                self._supersede(session, row, of="published", why=f"replaced by published plan {plan_id}")
            return _plan(row)

    def _move(self, session: Session, row: PlanRow, wanted: str, by: str, why: str) -> None:
        try:
            before, row.status = row.status, next_status(row.status, wanted)
        except ConfigurationError as error:
            last = _events(session, row.plan_id)[-1]
            raise ConfigurationError(f"Plan {row.plan_id}: {last}. {error}") from error
        _record(session, row.plan_id, by=by, before=before, after=row.status, why=why)

    def _supersede(self, session: Session, newer: PlanRow, of: Status, why: str) -> None:
        query = select(PlanRow).where(
            PlanRow.kind == newer.kind,
            PlanRow.source == newer.source,
            PlanRow.season == newer.season,
            PlanRow.status == of,
            PlanRow.plan_id != newer.plan_id,
        )
        if of == "draft":
            query = query.where(PlanRow.as_of <= newer.as_of)
        for row in session.scalars(query.order_by(PlanRow.plan_id)):
            self._move(session, row, "superseded", by="coldframe", why=why)


def schema_revision(connection: Connection) -> str | None:
    """The migration the ledger is at; None for an empty database."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("select version_num from alembic_version")).scalar()


def _engine(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return create_engine(url, json_serializer=_to_json, pool_pre_ping=True)
    if parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    # No pool: Airflow forks, and a SQLite connection must not cross a fork.
    engine = create_engine(url, json_serializer=_to_json, poolclass=NullPool)

    @event.listens_for(engine, "connect")
    def _prepare(connection: DBAPIConnection, _: object) -> None:
        # sqlite3's own transactions leave DDL outside; switched off, SQLAlchemy's BEGIN below covers everything.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"pragma busy_timeout = {_BUSY_MILLISECONDS}")
        if cursor.execute("pragma journal_mode").fetchone()[0] != "wal":
            _use_wal(cursor)
        cursor.execute("pragma synchronous = normal")
        cursor.execute("pragma foreign_keys = on")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A reader that turns writer cannot wait for another writer; whoever means to write says so at once.
        writes = connection.get_execution_options().get("writes")
        connection.exec_driver_sql("begin immediate" if writes else "begin")

    return engine


@retry(stop=stop_after_attempt(50), wait=wait_random(0.01, 0.1), reraise=True)
def _use_wal(cursor: Any) -> None:
    # Changing the mode does not honour the busy timeout while another process opens the same new file.
    cursor.execute("pragma journal_mode = wal")


def _migrate(engine: Engine, revision: str | None) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if revision is not None and revision not in known:
        raise ConfigurationError(
            f"The ledger is at schema {revision}, which this Coldframe (schema {HEAD}) does not know: it was written "
            "by a newer version. Update the code, or point COLDFRAME_LEDGER_URL elsewhere."
        )
    with engine.execution_options(writes=True).begin() as connection:
        # Of two processes that open a new ledger at once, the second waits here and finds nothing left to do.
        if connection.dialect.name == "postgresql":
            connection.execute(select(func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _to_json(value: object) -> str:
    """Canonical JSON: sorted keys, no spaces, no NaN; dates as ISO text, numpy scalars as Python's."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{type(value).__name__} {value!r} cannot be written to the ledger")


def _values(line: PlanLine) -> dict[str, Any]:
    numbers = {n: float(getattr(line, n)) for n in ("quantity", "value", "value_low", "value_high")}
    return vars(line) | numbers


def _check(draft: PlanDraft) -> None:
    for number, line in enumerate(draft.lines, start=1):
        where = f"Line {number} of the {draft.kind} plan ({line.region}, {line.category}, {line.product_id})"
        if not line.reason.strip():
            raise ColdframeError(f"{where} has no reason. A decision nobody can explain is not stored.")
        for name in ("quantity", "value", "value_low", "value_high"):
            if not math.isfinite(getattr(line, name)):
                raise ColdframeError(f"{where}: {name} is {getattr(line, name)}. It must be a finite number.")
        if not line.value_low <= line.value <= line.value_high:
            raise ColdframeError(
                f"{where}: value {line.value} lies outside its interval {line.value_low} … {line.value_high}."
            )


def _get(session: Session, plan_id: str, lock: bool = False) -> PlanRow:
    row = session.get(PlanRow, plan_id, with_for_update=lock)
    if row is None:
        raise NotAvailableError(f"The ledger has no plan {plan_id!r}. `coldframe plans` lists them.")
    return row


def _record(session: Session, plan_id: str, by: str, before: str | None, after: str, why: str) -> None:
    session.add(
        PlanEventRow(plan_id=plan_id, at=datetime.now(UTC), by=by, from_status=before, to_status=after, why=why)
    )


def _events(session: Session, plan_id: str) -> tuple[PlanEvent, ...]:
    query = select(PlanEventRow).where(PlanEventRow.plan_id == plan_id).order_by(PlanEventRow.event_id)
    return tuple(
        PlanEvent(**{k: v for k, v in _columns(row).items() if k != "event_id"}) for row in session.scalars(query)
    )


def _columns(row: Base) -> dict[str, Any]:
    return {attribute.key: attribute.value for attribute in inspect(row).attrs}


def _plan(row: PlanRow) -> Plan:
    return Plan(**_columns(row))
