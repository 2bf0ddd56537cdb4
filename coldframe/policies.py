"""The command `coldframe evaluate-policy`: what a policy would have earned, from the log of the one that ran.

A policy is changed on what is printed here. So a figure stands beside its interval and what it rests on, and where it
rests on too little there is none, and the exit code says so (3, as of a gate).
"""

import csv
import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from coldframe.errors import ConfigurationError, GateError
from coldframe.files import check_out, whole
from coldframe.review import open_console
from coldframe.run import find_service
from coldframe.settings import get_settings

_Log = Annotated[
    Path | None,
    typer.Option(
        "--log",
        dir_okay=False,
        help="A log as .csv, .csv.gz or .parquet, one row a thing shown: action (or item_id, product_id, arm), reward "
        "(click, conversion …), propensity (propensity_score, pscore …); if it has them position, date, round, "
        "channel, region, impressions, evaluation_propensity. Default: the log of our own published plans.",
    ),
]
_Policy = Annotated[
    str | None,
    typer.Option(
        "--policy",
        help="'uniform'; a .csv or .parquet with a probability for each action (and context); another log, of the "
        "policy to evaluate; or, for our own log, a policy in YAML. Default: the log's evaluation_propensity.",
    ),
]
_Column = Annotated[
    list[str] | None,
    typer.Option("--column", metavar="WHAT=NAME", help="What a column is, such as reward=likes; may be repeated."),
]
_Context = Annotated[
    list[str] | None,
    typer.Option("--context", metavar="NAME", help="A column each choice is made within; may be repeated."),
]


def evaluate_policy(
    log: _Log = None,
    policy: _Policy = None,
    column: _Column = None,
    context: _Context = None,
    source: Annotated[str | None, typer.Option("--source", help="(default: COLDFRAME_SOURCE)")] = None,
    as_of: Annotated[
        datetime | None, typer.Option("--as-of", formats=["%Y-%m-%d"], help="Last day of our own log.")
    ] = None,
    reward: Annotated[
        str | None, typer.Option("--reward", help="The column it earns; of our own log orders, clicks, carts or gmv.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Also write it to this .json or .csv.")] = None,
    challenge: Annotated[
        bool,
        typer.Option(
            "--challenge",
            help="Also let this policy in YAML challenge the one in force: it takes its place as soon as the log of "
            "our own plans is sure of its gain, now or when the DAG `incubation` looks again.",
        ),
    ] = False,
) -> None:
    """Print what a policy would have earned, from the log of the one that ran: by every estimator, with intervals and
    what they rest on. Exit code 3 where the log is too thin to say."""
    if out is not None:
        check_out(out, ".json", ".csv")
    if challenge and (policy is None or log is not None or Path(policy).suffix not in (".yaml", ".yml")):
        raise ConfigurationError("--challenge needs --policy FILE.yaml and our own log: leave --log out.")
    if log is not None and (source or as_of):
        raise ConfigurationError("--source and --as-of are for our own log: leave them out, or --log.")
    named = dict(_named(given) for given in column or ())
    day = None if as_of is None else as_of.date()
    chosen = source or get_settings().source
    if challenge:
        open_console().print(find_service("challenge_policy")(chosen, day, policy, reward).summary, soft_wrap=True)
    answer = find_service("evaluate_policy")(log, policy, named, context or (), chosen, day, reward)
    show(open_console(), answer)
    if out is not None:
        write(answer, out)
    if answer["refused"]:
        raise GateError("Not to be said:\n  " + "\n  ".join(f"{reason}." for reason in answer["refused"]))


def _named(given: str) -> tuple[str, str]:
    what, equals, name = given.partition("=")
    if not (what and equals and name):
        raise ConfigurationError(f"--column {given} should be WHAT=NAME, such as --column reward=likes.")
    return what, name


def show(console: Console, answer: dict[str, Any]) -> None:
    """A table of estimates, what they rest on, and a verdict; of a refused answer only what it rests on."""
    title = f"{answer['log']}: {answer['policy'] or 'the policy that ran'}"
    console.print(title if answer["logged"] is None else _table(answer, title))
    rests = [f"Rows: {answer['rows']:,}", f"impressions: {answer['impressions']:,}"]
    if answer["policy"] is not None:
        rests += [
            f"worth {answer['effective_sample_size']:,.0f} of the policy asked about (effective sample size)",
            f"largest share of one round in all weight: {answer['largest_share']:.2%}",
            f"mean weight: {answer['mean_weight']:.3f}",
        ]
    console.print("; ".join(rests) + ".", soft_wrap=True)
    if gain := answer["gain"]:
        console.print(verdict(gain), soft_wrap=True)
    for note in answer["notes"]:
        console.print(Text(f"! {note}", style="yellow"), soft_wrap=True)


def _table(answer: dict[str, Any], title: str) -> Table:
    table = Table(
        "",
        *(f"{answer['columns']['reward']} per impression", "standard error", "95 % interval", "to the one that ran"),
        title=title,
    )
    for name in range(1, 5):
        table.columns[name].justify = "right"
    own = answer["logged"]["value"]
    for estimate in (answer["logged"], *answer["estimates"]):
        bounds = "" if estimate["low"] is None else f"{_number(estimate['low'])} – {_number(estimate['high'])}"
        error = "" if estimate["standard_error"] is None else _number(estimate["standard_error"])
        # A share of a loss says nothing.
        beside = f"{estimate['value'] / own - 1:+.1%}" if own > 0 and estimate is not answer["logged"] else ""
        table.add_row(estimate["name"], _number(estimate["value"]), error, bounds, beside)
    return table


def verdict(gain: dict[str, Any]) -> str:
    """Whether the policy is better than the one that ran, as far as the log can tell."""
    if gain["low"] == gain["high"] == 0:
        return "It shows what the one that ran showed, as often; there is nothing to tell apart."
    bounds = f"{_number(gain['value'], '+')} ({_number(gain['low'], '+')} to {_number(gain['high'], '+')})"
    if gain["low"] > 0:
        return f"Better than the one that ran, by {bounds}."
    if gain["high"] < 0:
        return f"Worse than the one that ran, by {bounds}."
    return f"Not to be told from the one that ran: {bounds}."


def write(answer: dict[str, Any], out: Path) -> None:
    """The answer as JSON, or its estimates as CSV, one row each."""
    with whole(out) as file:
        if out.suffix == ".json":
            file.write_text(json.dumps(answer, indent=1, default=str) + "\n")
            return
        with file.open("w", newline="") as stream:
            shared = ("log", "policy", "rows", "impressions", "effective_sample_size", "largest_share")
            rests = {name: answer[name] for name in shared} | {"refused": "; ".join(answer["refused"])}
            nothing = dict.fromkeys(("name", "value", "standard_error", "low", "high"))
            rows = [{**estimate, **rests} for estimate in (answer["logged"] or nothing, *answer["estimates"])]
            writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


def _number(value: float, sign: str = "") -> str:
    """Four significant digits, however small."""
    return f"{Decimal(f'{value:.4g}') + 0:{sign},f}"
