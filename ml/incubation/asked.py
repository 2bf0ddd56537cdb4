"""What would another policy have earned? The question as people ask it, of any shop's log or of our own.

The command `coldframe evaluate-policy` and whoever promotes a policy come here; an answer is plain values that can be
printed, written and stored.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd

from coldframe import snapshots
from coldframe.errors import ConfigurationError
from coldframe.paths import workspace
from ml.incubation import log as logs
from ml.incubation import offpolicy, replay
from ml.incubation.offpolicy import Log, Probabilities
from ml.incubation.policy import load

Answer = dict[str, Any]
_SHOWN = 5


def evaluate_policy(
    log: Path | None,
    policy: str | None,
    columns: Mapping[str, str],
    context: Sequence[str],
    source: str,
    as_of: date | None,
    reward: str | None,
) -> Answer:
    """Values of a policy by every estimator, beside that of the one that ran; see docs/policy-evaluation.md.

    `log` None: the log of the source's own published plans up to `as_of` (None: what is published). `policy` is
    `uniform`, a file (probabilities, another log, or for our own log a YAML policy), or None: the log's own column
    evaluation_propensity, or nobody. Raises BadInputError, ConfigurationError and NotAvailableError.
    """
    wanted = None if policy is None else Path(policy)
    is_yaml = wanted is not None and wanted.suffix in (".yaml", ".yml")
    if wanted is not None and policy != logs.UNIFORM and not is_yaml and not wanted.is_file():
        raise ConfigurationError(
            f"There is no policy {policy}. Give {logs.UNIFORM}, or a file: .csv or .parquet with a probability for "
            "each action, another log, or .yaml for our own log."
        )
    if log is not None:
        if is_yaml:
            raise ConfigurationError(
                f"{policy} is a policy of incubation plans; it can be replayed on our own log only. Leave --log out, "
                "or give probabilities of the actions of that log as .csv or .parquet."
            )
        chosen = dict(columns) | ({"reward": reward} if reward else {})
        table = logs.read(log, log.name, chosen, context)
    else:
        if columns or context:
            raise ConfigurationError("--column and --context are for a file (--log); our own log has known columns.")
        place = workspace(source)
        reward = reward or replay.REWARDS[0]
        if reward not in replay.REWARDS:
            raise ConfigurationError(f"Our log has no reward {reward!r}. It has: {', '.join(replay.REWARDS)}.")
        keen = load(wanted) if wanted is not None and is_yaml else None
        snapshot = snapshots.current(place) if as_of is None else snapshots.of_day(place, as_of)
        table = replay.own_log(snapshot, snapshot.as_of, reward)
        if wanted is not None and keen is not None:
            table, again = replay.replayed(place, table, keen)
            return answer(table, logs.ask(table, again), wanted.name)
    if policy is None and "evaluation_propensity" not in table.rows:
        return answer(table, None, None)
    if policy is not None and "evaluation_propensity" in table.called:
        ignored = (*table.unused, table.called["evaluation_propensity"])
        table = replace(table, unused=ignored)
    if wanted is None or policy == logs.UNIFORM:
        return answer(table, logs.ask(table, policy), policy or table.called["evaluation_propensity"])
    return answer(table, logs.ask(table, _policy(wanted, columns, context, table)), wanted.name)


def _policy(file: Path, columns: Mapping[str, str], context: Sequence[str], log: logs.Table) -> logs.Table:
    if logs.has_probabilities(file):
        return logs.read_policy(file, file.name, log)
    return logs.read(file, file.name, columns, context)


def answer(log: logs.Table, question: logs.Question | None, policy: str | None) -> Answer:
    """`question` None: only the value of the policy that ran."""
    unread = [f"not used of {log.name}: {_listed(log.unused)}"] if log.unused else []
    head: Answer = {"log": log.name, "policy": policy, "columns": dict(log.called)}
    if question is None:
        return head | asdict(offpolicy.on_policy(logs.own(log))) | {"notes": [*log.notes, *unread]}
    found = offpolicy.evaluate(question.log, question.wanted, question.policy)
    notes = [*question.notes, *unread]
    if question.policy is not None and found.unseen:
        never = f"the log never showed {_never_shown(question.log, question.policy, question.choices)}"
        if found.estimates:
            never += (
                ". Inverse propensity and clipped count that as bringing nothing, and are too low by what it would "
                "bring; the others take it to be like the rest, which is a guess"
            )
        elif found.unseen > 1 - logs.SUMS:
            never += f"; it showed {_listed(sorted(set(log.rows['action'])))}"
        notes[:0] = [never, *_nearly_shown(log, question.choices)]
    return head | asdict(found) | {"notes": notes}


def _never_shown(log: Log, policy: Probabilities, choices: pd.DataFrame) -> str:
    """Actions the policy would take and the log never took, with their share of the policy's probability."""
    names = choices[[role for role in ("action", *logs.WHERE) if role in choices]].agg(" ".join, axis=1)
    shares = pd.Series(offpolicy.unseen(log, policy)).groupby(names.to_numpy()).sum()
    shares = shares[shares > 0].sort_values(ascending=False, kind="stable")
    told = _listed([f"{name} ({share:.1%})" for name, share in shares.items()])
    return f"{told}, together {shares.sum():.1%} of the policy's probability" if len(shares) > 1 else told


def _nearly_shown(log: logs.Table, choices: pd.DataFrame) -> Iterator[str]:
    """What a policy writes in other letters than the log: to us another thing, to whoever wrote it maybe the same."""
    for role in ("action", *logs.WHERE):
        if role in choices:
            shown = set(log.rows[role])
            plain = {name.strip().casefold(): name for name in sorted(shown)}
            others = sorted(set(choices[role]) - shown)
            alike = [f"{name!r} ({near!r})" for name in others if (near := plain.get(name.strip().casefold()))]
            if alike:
                yield f"the same but for case or spaces in {log.column(role)}: {_listed(alike)}; write them as there"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + f" and {len(names) - _SHOWN:,} more" * (len(names) > _SHOWN)
