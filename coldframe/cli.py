"""The command line: every step of the pipeline without Airflow, through the same door, and what people do with plans.

Whoever runs Coldframe by hand or from cron meets this file first; exit codes are part of its contract: 2 for bad
input or configuration, 3 for a gate that refused, 1 for everything else.
"""

import csv
import functools
import inspect
import json
import logging
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic.fields import FieldInfo
from rich.console import Console
from rich.markup import escape
from rich.status import Status
from rich.table import Table
from rich.text import Text
from sqlalchemy import make_url
from typer.core import TyperGroup
from typer.exceptions import Abort, Exit, TyperException

from coldframe import __version__, assortments, forecasts, policies
from coldframe.errors import BadInputError, ColdframeError, ConfigurationError, GateError, NotAvailableError
from coldframe.execution import Progress, run_all
from coldframe.files import check_out
from coldframe.ledger import TRANSITIONS, Ledger, Plan
from coldframe.paths import workspace
from coldframe.plans import caveats, check_file, overlaps, write
from coldframe.report import plans_table
from coldframe.review import Format, open_console, print_rows, show_plan
from coldframe.run import STEPS, Request, find_service, parse_request
from coldframe.scores import show_score
from coldframe.settings import PREFIX, PROJECT_ROOT, Settings, get_settings


class Decision(StrEnum):
    ASSORTMENT = "assortment"
    INCUBATION = "incubation"


COMMANDS: dict[str, tuple[tuple[str, ...], str]] = {
    "run": (STEPS, "Run every step: from raw facts to two draft plans."),
    "land": (("land",), "Bring the source's rows in; what breaks the contract goes to the quarantine."),
    "transform": (("transform",), "Build the marts with dbt."),
    "audit": (("audit_landed", "publish"), "Judge what landed and the marts, then publish a snapshot."),
    "materialize": (("materialize",), "Write the published features to the online store."),
}


class _FriendlyGroup(TyperGroup):
    """Says what went wrong in one red sentence; the traceback is for --debug."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (Abort, Exit, TyperException, BrokenPipeError):
            raise
        except Exception as error:
            if ctx.params.get("debug"):
                raise
            message = str(error)
            if not isinstance(error, ColdframeError):
                message = f"{type(error).__name__}: {message.rstrip('.')}. Run `coldframe --debug …` for more."
            open_console(stderr=True).print(Text(message, style="red"), soft_wrap=True)
            raise Exit(exit_code(error)) from error


app = typer.Typer(cls=_FriendlyGroup, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def exit_code(error: Exception) -> int:
    if isinstance(error, ConfigurationError | BadInputError):
        return 2
    return 3 if isinstance(error, GateError) else 1


def _print_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise Exit(0)


@app.callback()
def _main(
    debug: Annotated[bool, typer.Option("--debug", help="Log more, and show tracebacks.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Seasonal assortments and incubation plans from raw shop events. Begin with `coldframe doctor`."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s: %(message)s")
    logging.getLogger("coldframe").setLevel(logging.DEBUG if debug else logging.WARNING)


# Requests


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _option(name: str, field: FieldInfo) -> inspect.Parameter:
    flag = _flag(name)
    explained = {
        "source": "Source to land (default: COLDFRAME_SOURCE).",
        "as_of": "Last day the run may know of (UTC, inclusive); required.",
        "objective": "What the assortment maximises: gmv, margin or units.",
        "must_keep": "Product that stays whatever it is worth; may be repeated.",
        "must_drop": "Product that goes whatever it is worth; may be repeated.",
    }
    shown = (field.description or explained[name]).replace("None:", "default:")
    if field.default not in (None, (), False) and not field.is_required():
        shown = f"{shown} (default: {field.default})"
    if field.annotation is bool:
        return _parameter(name, bool, typer.Option(flag, help=shown), False)
    if field.annotation == tuple[str, ...]:
        return _parameter(name, list[str], typer.Option(flag, metavar="PRODUCT", help=shown), None)
    return _parameter(name, str, typer.Option(flag, metavar=name.upper(), help=shown, show_default=False), None)


def _parameter(name: str, kind: Any, option: Any, default: Any) -> inspect.Parameter:
    annotation: Any = Annotated[kind if default is not None else kind | None, option]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def takes_request(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command one option for each field of `Request`; all of them are checked by `Request` alone.

    What the command takes beside its request stays as it is.
    """
    others = list(inspect.signature(command).parameters.values())[1:]

    @functools.wraps(command)
    def wrapped(**values: Any) -> None:
        own = {other.name: values.pop(other.name) for other in others}
        command(_request(values), **own)

    parameters = [other.replace(kind=inspect.Parameter.KEYWORD_ONLY) for other in others]
    parameters += [_option(name, field) for name, field in Request.model_fields.items()]
    wrapped.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    wrapped.__annotations__ = {p.name: p.annotation for p in parameters}
    return wrapped


def _request(values: dict[str, Any]) -> Request:
    given = {name: value for name, value in values.items() if value not in (None, [], False)}
    settings = get_settings()
    source = given.setdefault("source", settings.source)
    given.setdefault("path", _source_path(source, settings))
    for name in ("path", "rules", "policy"):
        if given.get(name) is not None:
            given[name] = Path(given[name]).expanduser().resolve()
    if "as_of" not in given:
        given["as_of"] = _suggested_as_of(source, given["path"])
    return parse_request(given, called=_flag)


def _suggested_as_of(source: str, path: Path | None) -> date:
    """The day to try a public data set with. Raises ConfigurationError for a source that suggests none."""
    suggested: date | None = find_service("suggested_as_of")(source, path)
    if suggested is None:
        raise ConfigurationError("Which is the last day the run may know of? Give it, such as --as-of 2017-09-30")
    typer.echo(f"As of {suggested}, which {source} suggests; --as-of chooses another day.", err=True)
    return suggested


def _source_path(source: str, settings: Settings) -> Path | None:
    return settings.source_path if source == settings.source else None


# Steps


class _Within(logging.Handler):
    """What a step says of itself while it runs: beside the spinner, or as a line where there is none."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.INFO)
        self.console = console
        self.spinner: Status | None = None
        self.doing = ""

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno > logging.INFO:
            self.console.print(Text(f"  ! {record.getMessage()}", style="yellow"), soft_wrap=True)
        elif self.spinner is not None:
            self.spinner.update(f"{self.doing}: {escape(record.getMessage())}")
        else:
            self.console.print(Text(f"    … {record.getMessage()}", style="dim"), soft_wrap=True)


@contextmanager
def _progress(console: Console) -> Iterator[Callable[[Progress], None]]:
    """Tells of each step: a spinner while it runs (on a terminal), then its name, seconds, summary and warnings."""
    within, rooms = _Within(console), logging.getLogger("ml")

    def stop() -> None:
        if within.spinner is not None:
            within.spinner.stop()
            within.spinner = None

    def tell(progress: Progress) -> None:
        stop()
        name = f"{progress.step:<13}"
        if progress.result is None or progress.seconds is None:
            if console.is_terminal:
                within.doing = f"{name} ({progress.number} of {progress.total})"
                within.spinner = console.status(within.doing)
                within.spinner.start()
            return
        result = progress.result
        reused = " (re-used)" if result.reused else ""
        line = Text.assemble((name, "bold green"), f" {progress.seconds:6.1f} s  {result.summary}{reused}")
        console.print(line, soft_wrap=True)
        for warning in result.warnings:
            console.print(Text(f"  ! {warning}", style="yellow"), soft_wrap=True)
        for label, where in result.links.items():
            console.print(Text(f"    {label}: {where}", style="dim"), soft_wrap=True)

    level = rooms.level
    rooms.addHandler(within)
    rooms.setLevel(logging.INFO)
    rooms.propagate = False
    try:
        yield tell
    finally:
        stop()
        rooms.removeHandler(within)
        rooms.setLevel(level)
        rooms.propagate = True


def _run_steps(steps: tuple[str, ...], request: Request) -> list[Plan]:
    """Runs the steps and tells of each; returns the plans they made.

    What an assortment is asked for is checked as soon as the rows to check it by are there.
    """
    console = open_console()
    if request.policy is not None and "incubation" in steps:
        find_service("read_policy")(request.policy)
    planned = "assortment" in steps
    if planned and "land" not in steps:
        find_service("check_assortment")(request)
    with _progress(console) as tell:

        def tell_and_check(progress: Progress) -> None:
            tell(progress)
            if planned and progress.step == "land" and progress.result is not None:
                find_service("check_assortment")(request)

        done = run_all(request, on_step=tell_and_check, steps=steps)
    if len(done) > 1:
        console.print(f"{'total':<13} {sum(p.seconds or 0 for p in done):6.1f} s")
    if not set(Decision) & set(steps):
        return []
    ledger = Ledger.open()
    made = [p.result.facts.get("plan_id") for p in done if p.result and p.step in list(Decision)]
    found = [ledger.plan(plan_id) for plan_id in made if plan_id]
    for plan in found:
        if plan.status in _SETTLED:
            told = f"Plan {plan.plan_id} was decided before: {ledger.events(plan.plan_id)[-1]}."
            console.print(told, soft_wrap=True, markup=False)
        for told in caveats(ledger, plan):
            console.print(Text(f"! {told}", style="yellow"), soft_wrap=True)
    console.print(f"See the plans: coldframe show --source {request.source}")
    return found


def _register(name: str, steps: tuple[str, ...], explained: str) -> None:
    def command(request: Request) -> None:
        _run_steps(steps, request)

    app.command(name, help=explained)(takes_request(command))


for _name, (_steps, _help) in COMMANDS.items():
    _register(_name, _steps, _help)


# Training, deciding and forecasts


class Trained(StrEnum):
    FORECAST = "forecast"
    GROWTH = "growth"


_TRAINS: dict[Trained, tuple[str, ...]] = {
    Trained.FORECAST: ("forecast", "forecast_daily"),
    Trained.GROWTH: ("growth",),
}
_FACTS = ("audit_landed", "transform", "publish")


@app.command()
@takes_request
def train(
    request: Request, model: Annotated[Trained | None, typer.Argument(help="Only this one; default: both.")] = None
) -> None:
    """Forecast demand, by the week and by the day, and score recent launches.

    Facts of that day that landed and are not published yet are published first.
    """
    _run_steps(
        _with_facts(request, *(step for name, steps in _TRAINS.items() if model in (None, name) for step in steps)),
        request,
    )


_DECIDES: dict[Decision, tuple[str, ...]] = {
    Decision.ASSORTMENT: ("forecast", "assortment"),
    Decision.INCUBATION: ("growth", "incubation"),
}


@app.command()
@takes_request
def decide(
    request: Request,
    plan: Annotated[Decision | None, typer.Argument(help="Only this one; default: both.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write that plan's lines to this .csv or .parquet.", dir_okay=False)
    ] = None,
) -> None:
    """Draft the seasonal assortment and the incubation plan from what has landed.

    What they need of that day is made first (published facts, a forecast of the season, scores) or re-used.
    """
    if out is not None:
        if plan is None:
            raise ConfigurationError(
                "Which plan shall --out hold? Say `coldframe decide assortment` or `… incubation`."
            )
        check_file(out)
    wanted = {step for name, steps in _DECIDES.items() if plan in (None, name) for step in steps}
    made = _run_steps(_with_facts(request, *(step for step in STEPS if step in wanted)), request)
    if out is not None:
        [decided] = made
        lines = Ledger.open().lines(decided.plan_id)
        write(lines, out)
        actions = ", ".join(
            f"{count:,} {action}" for action, count in sorted(Counter(li.action for li in lines).items())
        )
        typer.echo(f"Plan {decided.plan_id}, {len(lines):,} lines ({actions or 'none'}): {out.resolve()}")


@app.command()
@takes_request
def score(
    request: Request,
    product: Annotated[str | None, typer.Option("--product", help="Explain this launch.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write all live launches to this .csv or .parquet.", dir_okay=False)
    ] = None,
) -> None:
    """Score the live launches: explain one of them, or write all of them to a file.

    What they need of that day is made first or re-used.
    """
    if product is None and out is None:
        raise ConfigurationError("What shall be told? Say --product PRODUCT for one launch, or --out FILE for all.")
    if out is not None:
        check_out(out, ".csv", ".parquet")
    _run_steps(_with_facts(request, "growth"), request)
    if product is not None:
        show_score(find_service("explain_score")(request.source, request.as_of, product))
    if out is not None:
        rows = find_service("write_scores")(request.source, request.as_of, out)
        typer.echo(f"{rows:,} live launches as of {request.as_of}: {out.resolve()}")


def _with_facts(request: Request, *steps: str) -> tuple[str, ...]:
    """The steps, after those that publish the facts of the request's day where that was not done yet."""
    if _is_published(request):
        return steps
    typer.echo(f"The published snapshot is not of {request.as_of}: one is made first.", err=True)
    return (*_FACTS, *steps)


def _is_published(request: Request) -> bool:
    from coldframe import snapshots

    try:
        return snapshots.current(workspace(request.source)).as_of == request.as_of
    except NotAvailableError:
        return False


app.add_typer(forecasts.app, name="forecast")
app.command("what-if")(assortments.what_if)
app.command("evaluate-policy")(policies.evaluate_policy)


@app.command()
def vintages(
    source: Annotated[str | None, typer.Option("--source", help="(default: COLDFRAME_SOURCE)")] = None,
    level: Annotated[
        str | None, typer.Option("--level", help="Only this level (default: total; every level in csv and json).")
    ] = None,
    output: Annotated[Format, typer.Option("--format", help="How to print.")] = Format.TABLE,
) -> None:
    """Print how earlier daily forecasts fared against what came since, beside what their back-test led to expect."""
    everything = output is not Format.TABLE and level is None
    rows = find_service("vintages")(source or get_settings().source, None if everything else level or "total")
    if output is not Format.TABLE:
        print_rows(rows, output)
        return
    table = Table("vintage", "release", "served", "per", "days ahead", "up to", title=f"Vintages: {level or 'total'}")
    for name in ("units", "WAPE", "back-test", "last week's", "bias", "in 80 %"):
        table.add_column(name, justify="right")
    for row in rows:
        ahead, stale = f"{row['from_day']} to {row['to_day']}", " (some stale)" * bool(row["stale"])
        shares = (row[name] for name in ("wape", "backtest_wape", "naive_wape", "bias", "coverage_80"))
        table.add_row(
            *(str(row["vintage"]), row["release"], "yes" if row["served"] else "no", row["frequency"]),
            *(ahead + stale, str(row["scored_to"]), f"{row['units']:,.0f}"),
            *("" if share is None else f"{share:.1%}" for share in shares),
        )
    open_console().print(table)


# Plans

_Source = Annotated[str | None, typer.Option("--source", help="Only this source.")]
_Kind = Annotated[str | None, typer.Option("--kind", help="Only this kind: assortment or incubation.")]
_By = Annotated[str, typer.Option("--by", help="Who decides.")]
_Why = Annotated[str, typer.Option("--why", help="The reason, kept in the ledger.")]
_PlanId = Annotated[str, typer.Argument(metavar="PLAN", help="Id of the plan; `coldframe plans` lists them.")]
_SETTLED = ("approved", "rejected", "published")


@app.command()
def plans(
    source: _Source = None,
    kind: _Kind = None,
    status: Annotated[str | None, typer.Option("--status", help="Only plans of this status.")] = None,
) -> None:
    """List the plans in the ledger, newest first, and who settled them, when and why."""
    ledger, console = Ledger.open(), open_console()
    everything = ledger.plans()
    _check_known("kind", kind, sorted({*Decision, *(p.kind for p in everything)}))
    _check_known("status", status, TRANSITIONS)
    found = ledger.plans(source=source, kind=kind, status=status)
    if not everything:
        console.print("No plans yet. `coldframe run` or `coldframe decide` makes them.")
    elif not found:
        wanted = {"source": source, "kind": kind, "status": status}
        sought = ", ".join(f"{name} {value}" for name, value in wanted.items() if value)
        console.print(f"{len(everything)} plan{'s' * (len(everything) > 1)}, none with {sought}.")
    else:
        console.print(plans_table(found))
    for plan in found:
        if plan.status in _SETTLED:
            console.print(f"{plan.plan_id}: {ledger.events(plan.plan_id)[-1]}", soft_wrap=True, markup=False)


def _check_known(what: str, given: str | None, known: Iterable[str]) -> None:
    if given is not None and given not in known:
        raise ConfigurationError(f"No plan has the {what} {given!r}. Known: {', '.join(known)}.")


@app.command()
def show(
    plan_id: Annotated[str | None, typer.Argument(metavar="PLAN", help="This plan, not the newest.")] = None,
    source: _Source = None,
    kind: _Kind = None,
    limit: Annotated[
        int, typer.Option("--limit", min=1, help="Rows a region or stage in tables; csv and json hold all lines.")
    ] = 8,
    output: Annotated[Format, typer.Option("--format", help="How to print.")] = Format.TABLE,
    actuals: Annotated[
        bool,
        typer.Option(
            "--actuals", help="Beside assortments what then sold in their season, beside incubation how launches fared."
        ),
    ] = False,
    path: Annotated[Path | None, typer.Option("--path", help="Folder or file the source reads, for --actuals.")] = None,
) -> None:
    """Print the newest plan of each source and kind (or one plan) with the reason of every line."""
    ledger = Ledger.open()
    chosen = (ledger.plan(plan_id),) if plan_id else newest_plans(ledger, source, kind)
    if output is not Format.TABLE:
        _export(ledger, chosen, output)
        return
    console = open_console()
    for plan in chosen:
        show_plan(console, ledger, plan, limit, actuals, path or _source_path(plan.source, get_settings()))


def newest_plans(ledger: Ledger, source: str | None = None, kind: str | None = None) -> tuple[Plan, ...]:
    """The newest plan of each source and kind that was not superseded. Raises NotAvailableError if there is none."""
    newest: dict[tuple[str, str], Plan] = {}
    for plan in ledger.plans(source=source, kind=kind):
        if plan.status != "superseded":
            newest.setdefault((plan.source, plan.kind), plan)
    if not newest:
        of = " ".join(filter(None, (kind, f"plan of {source}" if source else "plan")))
        raise NotAvailableError(f"There is no {of} yet. Run `coldframe decide` (or `coldframe run` for the whole way).")
    return tuple(newest[k] for k in sorted(newest))


def _export(ledger: Ledger, chosen: tuple[Plan, ...], output: Format) -> None:
    if output is Format.JSON:
        exported = [
            {
                "plan": vars(p),
                "events": [vars(event) for event in ledger.events(p.plan_id)],
                "lines": [vars(line) for line in ledger.lines(p.plan_id)],
            }
            for p in chosen
        ]
        print(json.dumps(exported, default=str, indent=1))
        return
    names = ["plan_id", "kind", "region", "category", "product_id", "title", "action", "quantity", "value", "value_low"]
    names += ["value_high", "reason", "alternative", "binding_constraint"]
    writer = csv.DictWriter(sys.stdout, names, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for plan in chosen:
        for line in ledger.lines(plan.plan_id):
            writer.writerow({"plan_id": plan.plan_id, "kind": plan.kind} | vars(line))


def _settle(plan_id: str, status: str, by: str, why: str) -> None:
    plan = Ledger.open().change_status(plan_id, status, by=by, why=why)
    open_console().print(f"Plan {plan.plan_id} ({plan.kind}, {plan.source}, {plan.season}) is {plan.status}, by {by}.")
    if plan.kind == Decision.INCUBATION:
        open_console().print(f"Online: {find_service('push_plan')(plan.plan_id)}.", soft_wrap=True)


@app.command()
def approve(plan_id: _PlanId, by: _By, why: _Why) -> None:
    """Approve a draft plan, or one that was rejected by mistake. `coldframe publish` then puts it into force."""
    _settle(plan_id, "approved", by, why)


@app.command()
def reject(plan_id: _PlanId, by: _By, why: _Why) -> None:
    """Reject a plan; the same decision stays rejected when it is made again, until somebody approves it."""
    _settle(plan_id, "rejected", by, why)


@app.command()
def publish(plan_id: _PlanId, by: _By, why: _Why = "") -> None:
    """Put an approved plan into force; the one published before for the same season is superseded.

    An assortment's lines land as facts, to lie beside what will sell. Days that another season's published plan has as
    well need a reason.
    """
    ledger = Ledger.open()
    plan = ledger.plan(plan_id)
    told = overlaps(ledger, plan)
    if told and not why.strip():
        raise ConfigurationError(" ".join(told) + " Decide for that season or for other days, or say --why both hold.")
    _settle(plan_id, "published", by, why)
    find_service("land_plans")(plan.source)


@app.command()
def rollback(
    model: Annotated[str, typer.Argument(help="forecasting, forecasting_daily, growth or incubation (its policy).")],
    by: _By,
    why: _Why,
    source: Annotated[str | None, typer.Option("--source", help="(default: COLDFRAME_SOURCE)")] = None,
    lift: Annotated[
        bool, typer.Option("--lift", help="End what a rollback holds instead: the policy decides again.")
    ] = False,
) -> None:
    """Make the previous champion of a model serve again, or (--lift) end what a rollback holds."""
    chosen = source or get_settings().source
    where = workspace(chosen)
    if model not in (known := sorted(folder.name for folder in where.releases.glob("*/"))):
        shown = ", ".join(known) or "none yet; `coldframe train` makes them"
        raise ConfigurationError(f"{chosen} has no model {model!r}. Known: {shown}.")
    release = find_service("rollback")(where, model, by, why, lift)
    told = f"{model} of {chosen} is served by release {release.id} again; what is decided next rests on it."
    if lift:
        told = f"The policy decides again what serves {model} of {chosen}; until then release {release.id} does."
    open_console().print(told)


# Services and the installation


@app.command()
def serve(
    source: Annotated[str | None, typer.Option("--source", help="(default: COLDFRAME_SOURCE)")] = None,
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port on the loopback interface.")] = 6566,
) -> None:
    """Answer online look-ups of features (Feast's server) until Ctrl-C."""
    find_service("serve")(source=source or get_settings().source, port=port)


@app.command()
def simulate(
    size: Annotated[str | None, typer.Option("--size", help="tiny, demo or large (default: demo).")] = None,
    preset: Annotated[
        str | None, typer.Option("--preset", help="calm, holiday_heavy, launch_heavy or dirty (default: calm).")
    ] = None,
    parameters: Annotated[
        Path | None, typer.Option("--parameters", help="YAML of parameters, instead of size and preset.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder (default: marketplace/ under home).")] = None,
    first: Annotated[str | None, typer.Option("--from", help="First day (default: the marketplace's first).")] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last day (default: as many days as the size has).")] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Another seed, another marketplace.")] = None,
) -> None:
    """Generate days of a simulated marketplace; days that are there stay, and the same days have the same bytes."""
    console = open_console()
    with console.status("simulate") as status:
        done = find_service("simulate")(size, preset, parameters, out, first, last, seed, status.update)
    console.print(done, soft_wrap=True, highlight=False)


@app.command()
def up() -> None:
    """Start Airflow and stay in the foreground until Ctrl-C."""
    from coldframe.orchestration import server

    server.up()


@app.command()
def down() -> None:
    """Stop what `up` or `demo` left running."""
    from coldframe.orchestration import server

    server.down()


@app.command("demo")
@takes_request
def demo_command(request: Request) -> None:
    """Run the whole way in Airflow, print both plans, and leave the UI up until Ctrl-C."""
    from coldframe.orchestration import demo

    demo.demo(request)


@app.command()
def doctor(
    deep: Annotated[bool, typer.Option("--deep", help="Also compare every checksum and load every step.")] = False,
) -> None:
    """Say what is wrong with this installation and how to mend it. Exit code 1 if anything fails."""
    from coldframe.doctor import examine, findings_table

    findings = examine(deep=deep)
    console = open_console()
    console.print(findings_table(findings))
    failed = sum(f.level == "fail" for f in findings)
    warned = sum(f.level == "warn" for f in findings)
    console.print(f"{len(findings)} checks: {failed} failed, {warned} with a warning.")
    if failed:
        raise Exit(1)


@app.command("settings")
def settings_command(
    example: Annotated[bool, typer.Option("--example", help="Print .env.example anew.")] = False,
) -> None:
    """Print the settings in force and where each comes from."""
    if example:
        print(env_example(), end="")
        return
    settings = get_settings()
    table = Table("setting", "value", "from", "meaning")
    environ = {name.upper() for name in os.environ}
    for name, field in Settings.model_fields.items():
        variable, value = f"{PREFIX}{name}".upper(), _without_password(getattr(settings, name))
        given = "environment" if variable in environ else ".env" if name in settings.model_fields_set else "default"
        table.add_row(variable, Text(value), given, Text(field.description or ""))
    open_console().print(table)


def _without_password(value: object) -> str:
    shown = "" if value is None else str(value)
    return make_url(shown).render_as_string(hide_password=True) if "://" in shown else shown


def env_example() -> str:
    """Every setting with its default, as a commented .env file; paths are relative to the project."""
    lines = ["# Copy to .env and change what differs here. `coldframe settings` shows what is in force.", ""]
    for name, field in Settings.model_fields.items():
        default = field.default
        if isinstance(default, Path):
            default = default.relative_to(PROJECT_ROOT)
        lines += [f"# {field.description}", f"# {PREFIX}{name.upper()}={'' if default is None else default}", ""]
    return "\n".join(lines[:-1]) + "\n"


if __name__ == "__main__":
    app()
