"""Logs of policies, ours and other shops', and the policies that are asked about them: read strictly, joined exactly.

Other shops call their columns otherwise and choose among other things. What a column means is never guessed: names
that are well known are taken for what they say, everything else is named by whoever asks, and what is left over is
told. When this file is wrong, a propensity is taken for a probability of something else, and every value built on it
is off by a factor that looks like success.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from coldframe.errors import BadInputError, ConfigurationError
from ml.incubation.files import opened, place
from ml.incubation.offpolicy import Log, Probabilities

ROLES: Mapping[str, tuple[str, ...]] = {
    "action": ("item_id", "product_id", "arm", "action_id"),
    "reward": ("click", "clicks", "conversion", "orders", "gmv"),
    "propensity": ("propensity_score", "pscore", "logging_propensity", "action_prob"),
    "evaluation_propensity": ("target_propensity", "new_propensity", "evaluation_pscore", "pi_e"),
    "impressions": (),
    "position": ("slot", "rank"),
    "round": ("round_id", "request_id"),
    "date": (),
    "channel": (),
    "region": (),
}
"""What a log may say, and the names it is known by beside its own."""
NEEDED = ("action", "reward", "propensity")
WHERE = ("channel", "region")
PROBABILITY = "probability"
UNIFORM = "uniform"
SUMS = 0.01
"""How far the probabilities of one choice may be from adding up to 1, as files round them."""


@dataclass(frozen=True)
class Table:
    """A log or a policy: `name` as errors call it, `rows` with a column a role, what they are `called` in the file,
    `context` a choice is made within besides position and date, the columns of the `file` that nobody reads, and
    `notes` on what is odd but can be."""

    name: str
    rows: pd.DataFrame
    called: Mapping[str, str]
    context: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    file: Path | None = None

    def column(self, role: str) -> str:
        return f"{self.name}, column {self.called.get(role, role)}"


@dataclass(frozen=True)
class Question:
    """A log with the policy asked about it: what `offpolicy.evaluate` takes, and what to say about both. `choices` are
    the entries of the policy by name, in the order of its probabilities."""

    log: Log
    wanted: np.ndarray
    policy: Probabilities | None
    choices: pd.DataFrame
    notes: tuple[str, ...]


def read(
    source: Path | pd.DataFrame,
    name: str,
    columns: Mapping[str, str] | None = None,
    context: Sequence[str] = (),
) -> Table:
    """A log from a .csv (also .csv.gz) or .parquet file, or from a frame. `columns` names the column of a role where
    its name is not well known; `context` are columns besides `position` and `date` that a choice is made within.

    Raises ConfigurationError for a file, role or column there is none of, BadInputError for values that cannot be.
    """
    columns = columns or {}
    if unknown := sorted(set(columns) - set(ROLES)):
        raise ConfigurationError(f"A log has no {', '.join(unknown)}. It may have: {', '.join(ROLES)}.")
    with duckdb.connect() as connection:
        there = opened(connection, source, name)
        called = _called(there, name, columns)
        for wanted in context:
            if wanted not in there:
                raise ConfigurationError(f"{name} has no column {wanted!r}. It has: {', '.join(there)}.")
        for role in NEEDED:
            if role not in called:
                raise ConfigurationError(
                    f"{name} has no column for {role} (known names: {', '.join((role, *ROLES[role]))}). It has: "
                    f"{', '.join(there[:20])}{' …' * (len(there) > 20)}. Say which: --column {role}=NAME"
                )
        roles = {column: role for role, column in called.items()}
        called |= {column: column for column in context if column not in roles}
        file = source if isinstance(source, Path) else None
        rows = _load(connection, Table(name, pd.DataFrame(), called, file=file))
    within = tuple(roles.get(column, column) for column in context)
    used = set(called.values())
    table = Table(name, rows, called, within, tuple(column for column in there if column not in used), file=file)
    _check_log(table)
    return replace(table, notes=tuple(_notes(table)))


def has_probabilities(file: Path) -> bool:
    """Whether a file is a policy by its columns, and no log."""
    with duckdb.connect() as connection:
        return PROBABILITY in opened(connection, file, file.name)


def read_policy(source: Path | pd.DataFrame, name: str, log: Table) -> Table:
    """Probabilities of actions: a column `probability`, and columns the log has as well (by its names for them, or well
    known ones) that say of what."""
    with duckdb.connect() as connection:
        there = opened(connection, source, name)
        if PROBABILITY not in there:
            raise ConfigurationError(f"{name} has no column {PROBABILITY!r}. It has: {', '.join(there)}.")
        named = {role: column for role, column in log.called.items() if role in ROLES and column in there}
        roles = _called([column for column in there if column != PROBABILITY], name, named)
        keys = {role: column for role, column in roles.items() if role in log.rows and role not in _NUMBERS}
        keys |= {column: column for column in there if column in log.context and column not in keys.values()}
        if strangers := [column for column in there if column != PROBABILITY and column not in keys.values()]:
            raise ConfigurationError(
                f"{name} has {', '.join(strangers)}, which is of no choice in {log.name}. "
                f"{_where_to_put(strangers, keys, log)}"
            )
        if missing := [role for role in _actions(log) if role not in keys]:
            raise ConfigurationError(
                f"{name} does not say which {', '.join(missing)} it chooses, and {log.name} does. Add the column, or "
                f"say that a choice is made within it: {' '.join(f'--context {log.called[m]}' for m in missing)}"
            )
        file = source if isinstance(source, Path) else None
        table = Table(name, pd.DataFrame(), keys | {PROBABILITY: PROBABILITY}, file=file)
        rows = _load(connection, table, numbers=(PROBABILITY,))
    table = replace(table, rows=rows)
    values = rows[PROBABILITY].to_numpy()
    _refuse(table, PROBABILITY, np.isnan(values), "empty", "Each action needs its probability")
    _refuse(table, PROBABILITY, values < 0, "below 0", "Give probabilities; what is never chosen has 0")
    _refuse(table, PROBABILITY, values > 1, "above 1", "Give probabilities, not percent")
    _filled(table, list(keys))
    _refuse(table, "action", rows.duplicated(list(keys)).to_numpy(), "names an action again", "Give one row an action")
    context = [key for key in keys if key not in _actions(log)]
    sums = rows.groupby(context)[PROBABILITY].sum() if context else pd.Series([rows[PROBABILITY].sum()], ["the whole"])
    wrong = sums[(sums - 1).abs() > SUMS]
    if len(wrong):
        where = " in ".join(filter(None, (f"{len(wrong):,} of {len(sums):,} contexts", ", ".join(context))))
        raise BadInputError(
            f"{name}: probabilities do not add up to 1 in {where}; the first, {wrong.index[0]}, adds up to "
            f"{wrong.iloc[0]:.4f}. Give every action its probability, each context for itself."
        )
    return table


def _where_to_put(strangers: Sequence[str], keys: Mapping[str, str], log: Table) -> str:
    """What columns of a policy could be that are none of its `keys`: a context, or what the log calls otherwise."""
    contexts = [column for column in strangers if column in log.unused]
    unsaid = [column for role, column in log.called.items() if role not in (*_NUMBERS, "round", *keys)]
    advice = []
    if contexts:
        options = " ".join(f"--context {column}" for column in contexts)
        advice.append(f"If each choice is made within it, say {options}.")
    if unsaid and not {*strangers} <= {*contexts, *log.called.values()}:
        advice.append(f"If it is what {log.name} calls {' or '.join(unsaid)}, call it so here too.")
    return " ".join([*advice, "Else leave it out." if advice else "Leave it out."])


def ask(log: Table, policy: Table | str | None) -> Question:
    """Joins a log with the policy that is asked about it: probabilities, another log, `uniform`, or (None) the log's
    own column evaluation_propensity.

    Raises BadInputError where the policy has nothing to say about some of the log.
    """
    notes = [*log.notes, *_sums(log)]
    table: Table | None
    if isinstance(policy, str):
        table = _uniform(log)
    elif policy is None:
        table = _constant(log, "evaluation_propensity")
    elif PROBABILITY in policy.rows:
        table = policy
    else:
        if missing := [role for role in _actions(log) if role not in policy.rows]:
            raise ConfigurationError(f"{policy.name} has no {', '.join(missing)}, which {log.name} chooses.")
        table = _constant(policy, "propensity")
        if table is None:
            table = _frequencies(policy, log)
            notes.append(
                f"propensities of {policy.name} change from one choice to the next: its policy is taken to be how "
                "often it showed each action on the whole"
            )
    if table is not None:
        return _joined(log, table, tuple(notes))
    notes.append(
        "of the policy only the probabilities of what was shown are known, so there is no doubly robust estimate; "
        "--policy FILE with those of every action gives one"
    )
    return Question(own(log), log.rows["evaluation_propensity"].to_numpy(), None, pd.DataFrame(), tuple(notes))


def own(log: Table) -> Log:
    """The log alone, for the value of the policy that ran."""
    rows = log.rows
    zeros = np.zeros(len(rows), dtype=np.int64)
    rounds = _codes([rows[["round"]]])[0] if "round" in rows else np.arange(len(rows))
    numbers = (rows[role].to_numpy() for role in ("reward", "impressions", "propensity"))
    return Log(zeros, zeros, rounds, *numbers)


def _joined(log: Table, policy: Table, notes: tuple[str, ...]) -> Question:
    actions = _actions(log)
    within = [str(key) for key in policy.rows if key not in (*actions, PROBABILITY)]
    action, other = _codes([log.rows[actions], policy.rows[actions]])
    context, theirs = _codes([log.rows[within], policy.rows[within]])
    unsaid = ~np.isin(context, theirs)
    _refuse(log, within[0] if within else "action", unsaid, f"of no context that {policy.name} has", "Add it there")
    probability = policy.rows[PROBABILITY].to_numpy()
    entries = pd.Series(probability, pd.MultiIndex.from_arrays([theirs, other]))
    wanted = entries.reindex(pd.MultiIndex.from_arrays([context, action]), fill_value=0.0).to_numpy()
    coded = replace(own(log), action=action, context=context)
    choices = policy.rows[[*actions, *within]]
    return Question(coded, wanted, Probabilities(theirs, other, probability), choices, notes)


def _uniform(log: Table) -> Table:
    within = _within(log)
    choices = log.rows[[*within, *_actions(log)]].drop_duplicates()
    count = choices.groupby(within)["action"].transform("size") if within else len(choices)
    return Table(UNIFORM, choices.assign(**{PROBABILITY: 1 / count}), {})


def _constant(table: Table, role: str) -> Table | None:
    """The policy behind a column of propensities, where each action of a context has one and they add up to 1."""
    for within in (_within(table), [key for key in _within(table) if key != "date"]):
        keys = [*within, *_actions(table)]
        found = table.rows.groupby(keys, sort=True)[role].agg(["min", "max"])
        sums = found["max"].groupby(within).sum() if within else found["max"].sum()
        if (found["max"] - found["min"] < 1e-9).all() and np.all(np.abs(sums - 1) < SUMS):
            return Table(table.name, found["max"].rename(PROBABILITY).reset_index(), {})
    return None


def _frequencies(policy: Table, log: Table) -> Table:
    actions, within = _actions(log), [key for key in _within(policy) if key in log.rows and key != "date"]
    shown = policy.rows.groupby([*within, *actions], sort=True)["impressions"].sum()
    whole = shown.groupby(within).transform("sum") if within else shown.sum()
    return Table(policy.name, (shown / whole).rename(PROBABILITY).reset_index(), {})


def _sums(log: Table) -> Iterator[str]:
    """What to say where propensities of what was shown are of more than one choice."""
    within = _within(log)
    found = log.rows.groupby([*within, *_actions(log)])["propensity"].agg(["min", "max"])
    changing = int((found["max"] - found["min"] >= 1e-9).sum())
    most = found["max"].groupby(within).sum().max() if within else found["max"].sum()
    if changing and not log.context and log.unused:
        yield (
            f"propensities of {changing:,} of {len(found):,} actions of {log.name} change from one row to the next: if "
            "each choice was made within something the log tells (a segment, a page), name its column: --context NAME"
        )
    elif not changing and most > 1 + SUMS:
        yield (
            f"propensities of {log.name} add up to {most:,.2f}: right only where what could be shown changed from one "
            "choice to the next; where a round shows several things at once, --column position=NAME tells them apart"
        )


def _notes(log: Table) -> Iterator[str]:
    """What is odd about a log, and can be."""
    rows = log.rows
    below = int((rows["reward"] < 0).sum())
    if below:
        yield f"{log.column('reward')}: {below:,} of {len(rows):,} rows are below 0, as refunds are; they count as such"
    choice = [*_within(log), *_actions(log)]
    if "impressions" not in log.called and 1 < len(rows) == len(rows[choice].drop_duplicates()):
        yield (
            f"{log.name} has no action twice, as if each row were a sum. If it is, say which column tells of how many "
            "impressions: --column impressions=NAME"
        )
    if "round" in rows and "position" not in rows and (again := int(rows.duplicated(["round", *choice]).sum())):
        yield (
            f"{log.name}: {again:,} of {len(rows):,} rows repeat the action of another row of their round. Each counts "
            "as an impression; if they tell of one (a view and its click), make one row of them"
        )


def _called(there: Sequence[str], name: str, columns: Mapping[str, str]) -> dict[str, str]:
    """The column of each role the file has."""
    called = {}
    for role, aliases in ROLES.items():
        if role in columns:
            if columns[role] not in there:
                raise ConfigurationError(
                    f"{name} has no column {columns[role]!r} for {role}. It has: {', '.join(there)}."
                )
            called[role] = columns[role]
        elif found := [one for one in (role, *aliases) if one in there and one not in columns.values()]:
            if len(found) > 1:
                raise ConfigurationError(
                    f"{name}: {', '.join(found)} could each be the {role}. Say which: --column {role}={found[0]}"
                )
            called[role] = found[0]
    twice = {column for column in called.values() if list(called.values()).count(column) > 1}
    if twice:
        raise ConfigurationError(f"{name}: the column {', '.join(sorted(twice))} cannot be two things at once.")
    return called


_NUMBERS = ("reward", "propensity", "evaluation_propensity", "impressions")


def _load(connection: duckdb.DuckDBPyConnection, table: Table, numbers: Sequence[str] = _NUMBERS) -> pd.DataFrame:
    """The rows of the open file, a column a role: numbers as such, dates as YYYY-MM-DD, everything else as text."""
    wanted = []
    types = {str(column): str(kind) for column, kind, *_ in connection.execute("describe file").fetchall()}
    for role, column in table.called.items():
        quoted = '"' + column.replace('"', '""') + '"'
        text = f"nullif(trim(cast({quoted} as varchar)), '')"
        if types[column] in {"DOUBLE", "FLOAT"} and role not in numbers:
            # pandas turns whole-number identities with gaps into floats: 17 comes as 17.0.
            text = f"regexp_replace({text}, '\\.0$', '')"
        if role in numbers:
            read, what, advice = f"try_cast({text} as double)", "no number", "Write numbers, with a decimal point"
        elif role == "date":
            read, what, advice = f"try_cast(try_cast({text} as timestamp) as date)", "no date", "Write YYYY-MM-DD"
        else:
            wanted.append(f'{text} as "{role}"')
            continue
        [(bad, rows, first)] = connection.execute(
            f"select count(*) filter (wrong), count(*), min(rowid) filter (wrong) from "
            f"(select rowid, {text} is not null and {read} is null as wrong from file)"
        ).fetchall()
        if bad:
            [(value,)] = connection.execute(f"select {text} from file where rowid = {first}").fetchall()
            raise BadInputError(
                f"{table.column(role)}: {what} in {bad:,} of {rows:,} rows; the first is {place(table.file, first)} "
                f"({value}). {advice}."
            )
        wanted.append(f'{read} as "{role}"' if role in numbers else f'cast({read} as varchar) as "{role}"')
    rows = connection.execute(f"select {', '.join(wanted)} from file").df()
    return rows.astype({role: float for role in rows if role in numbers})


def _refuse(table: Table, role: str, bad: np.ndarray, what: str, advice: str) -> None:
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        value = f" ({table.rows[role].iloc[first]})" if role in table.rows else ""
        raise BadInputError(
            f"{table.column(role)}: {what} in {int(bad.sum()):,} of {len(bad):,} rows; the first is "
            f"{place(table.file, first)}{value}. {advice}."
        )


def _filled(table: Table, roles: Sequence[str]) -> None:
    for role in roles:
        _refuse(table, role, table.rows[role].isna().to_numpy(), "empty", "Fill them, or leave such rows out")


def _check_log(table: Table) -> None:
    rows = table.rows
    texts = [str(role) for role in rows if role not in _NUMBERS]
    _filled(table, texts)
    if "impressions" in rows:
        shown = rows["impressions"].to_numpy()
        _refuse(table, "impressions", ~np.isfinite(shown) | (shown < 0), "no count", "Give how often it was shown")
        unseen = (shown == 0) & (rows["reward"].to_numpy() != 0)
        _refuse(table, "impressions", unseen, "0, and a reward", "What was not shown can earn nothing")
        if not shown.any():
            raise BadInputError(f"{table.column('impressions')}: all {len(rows):,} rows are 0. Nothing was shown.")
    else:
        rows["impressions"] = 1.0
    _refuse(table, "reward", ~np.isfinite(rows["reward"].to_numpy()), "empty or not finite", "Give 0 for none")
    propensity = rows["propensity"].to_numpy()
    _refuse(
        table,
        "propensity",
        np.isnan(propensity),
        "empty",
        "Without the probability of what was shown nothing can be said of another policy; log it",
    )
    _refuse(
        table,
        "propensity",
        (propensity <= 0) | (propensity > 1),
        "outside (0, 1]",
        "What was shown had a chance of it; log the probability the choice was drawn with",
    )
    if "evaluation_propensity" in rows:
        wanted = rows["evaluation_propensity"].to_numpy()
        outside = np.isnan(wanted) | (wanted < 0) | (wanted > 1)
        _refuse(table, "evaluation_propensity", outside, "empty or outside 0 … 1", "Give the new probability")
    keys = [role for role in ("round", "position") if role in rows]
    if len(keys) > 1:
        _refuse(
            table,
            "position",
            rows.duplicated(keys).to_numpy(),
            "repeats a position of its round",
            "Show one thing each",
        )


def _within(table: Table) -> list[str]:
    return [*(role for role in ("position", "date") if role in table.rows), *table.context]


def _actions(log: Table) -> list[str]:
    """What is chosen: the action, and where it is shown, unless a choice is made within it."""
    return ["action", *(role for role in WHERE if role in log.rows and role not in log.context)]


def _codes(frames: Sequence[pd.DataFrame]) -> list[np.ndarray]:
    """The same code for the same values in each of the frames, which have the same columns (maybe none)."""
    if not frames[0].columns.size:
        return [np.zeros(len(frame), dtype=np.int64) for frame in frames]
    both = pd.concat(frames)
    codes = both.groupby(list(both.columns), sort=True).ngroup().to_numpy()
    return np.split(codes, np.cumsum([len(frame) for frame in frames])[:-1])
