"""What changed between two vintages of a forecast, and which of a node's children did it.

A forecast that moves without a word costs the trust of whoever planned with it. Everything is a sum of what the two
releases say, and the children's differences add up to the total's to the last digit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb

from coldframe.errors import ConfigurationError, NotAvailableError
from coldframe.paths import workspace
from ml.forecasting.daily import steps
from ml.forecasting.daily.asked import pictures
from ml.forecasting.daily.asked.explain import Facts, called, choose, where
from ml.forecasting.daily.vintages import NAME
from ml.registry import Registry, Release


@dataclass(frozen=True)
class Changed:
    """What changed between two vintages over the days from `first` to `last`, which both have.

    `children` are sorted by size, `total` is their sum; both have old, new, difference (Decimal units), share (of the
    total's difference), and what came between the vintages beside what the old one expected: expected, came, surprise.
    """

    name: str
    vintage: date
    since: date
    first: date
    last: date
    total: dict[str, Any]
    children: list[dict[str, Any]]

    @property
    def words(self) -> list[str]:
        """The total's change and the surprise since, in sentences."""
        total = self.total
        words = [
            f"{self.name}, {self.first} to {self.last}: {total['new']:,.0f} units, {total['difference']:+,.0f} "
            f"beside what was said on {self.since}{_relative(total['difference'], total['old'])}."
        ]
        if total["expected"]:
            words.append(
                f"Since then {total['came']:,.0f} units sold, {total['surprise']:+,.0f} beside what was expected"
                f"{_relative(total['surprise'], total['expected'])}."
            )
        return words


def changes(
    source: str | None, as_of: date, since: date | None, level: str, node: str | None, by: str, out: Path | None
) -> dict[str, Any]:
    """What changed between the vintages `since` (the one before, if None) and `as_of` of a node, by its children of
    level `by`: `words`, `total`, `children`, and a PNG at `out`.

    Raises as `explain` does, and NotAvailableError for vintages that share no day.
    """
    pictures.check(out)
    space = workspace(source or steps.only_source(as_of))
    registry = Registry(space)
    new = steps.serving(registry, as_of)
    old = steps.serving(registry, since or _before(registry, as_of))
    if old.as_of >= new.as_of:
        raise ConfigurationError(f"--since is {old.as_of}, which is not before --as-of {new.as_of}.")
    with duckdb.connect() as connection:
        found = Facts(connection, space, new)
        name, keys = found.level(level)
        child, columns = found.level(by)
        known = found.nodes(name, keys)
        if node is None and len(known) > 1:
            raise ConfigurationError(
                f"Level {name} has {len(known)} nodes: say which with --node. "
                f"`coldframe forecast explain --level {name}` lists them."
            )
        if not set(keys) <= set(columns):
            fit = [other for other in found.levels if set(keys) < set(found.level(other)[1])]
            raise ConfigurationError(
                f"{child} does not say which {name} a child belongs to. --by can be: {', '.join(fit) or 'nothing'}."
            )
        label = next(iter(known)) if node is None else choose(node, known, name)
        changed = _changed(found, old, child, columns, dict(zip(keys, known[label], strict=True)))
    if out is not None:
        pictures.write(pictures.of_changes(changed), out)
    return vars(changed) | {"words": changed.words, "path": out and str(out)}


def _relative(part: Any, whole: Any) -> str:
    return f" ({float(part / whole):+.1%})" if whole else ""


def _before(registry: Registry, as_of: date) -> date:
    made = [day for day in registry.answering(NAME) if day < as_of]
    if not made:
        raise NotAvailableError(
            f"{registry.workspace.source} has no daily forecast made before {as_of}: there is nothing to compare with."
        )
    return max(made)


def _changed(facts: Facts, before: Release, level: str, columns: Sequence[str], chosen: Mapping[str, str]) -> Changed:
    """See Changed. Sums are decimal, so that differences add up to the last digit."""
    until = facts.release.as_of
    last_old, last_new = (
        facts.connection.execute(f"select max(date) from '{file}' where frequency = 'D'").fetchall()[0][0]
        for file in (before.file("forecasts"), facts.forecasts)
    )
    first, last = until + timedelta(days=1), min(last_old, last_new)
    if last < first:
        raise NotAvailableError(
            f"The vintages {before.as_of} (up to {last_old}) and {until} (up to {last_new}) share no day. "
            "Give a later --since."
        )
    names = ", ".join(columns)
    rows = facts.connection.execute(
        f"""
        with old as (
            select {names}, sum(mean::decimal(18, 6)) filter (where date >= $first and date <= $last) as old,
                sum(mean::decimal(18, 6)) filter (where date < $first) as expected
            from '{before.file("forecasts")}' where level = $level and frequency = 'D' group by {names}
        ),
        new as (
            select {names}, sum(mean::decimal(18, 6)) as new from '{facts.forecasts}'
            where level = $level and frequency = 'D' and date <= $last group by {names}
        ),
        sold as (
            select {names}, sum(units)::decimal(18, 6) as came
            from fct_product_day join members using (product_id, region)
            where date > $since and date < $first and date <= $last_old group by {names}
        )
        select {names}, coalesce(old, 0) as old, coalesce(new, 0) as new, coalesce(new, 0) - coalesce(old, 0)
            as difference, coalesce(expected, 0) as expected, coalesce(came, 0) as came,
            coalesce(came, 0) - coalesce(expected, 0) as surprise
        from old full join new using ({names}) left join sold using ({names})
        where {where(chosen, "$")} order by abs(difference) desc, {names}
        """,
        {
            "first": first,
            "last": last,
            "last_old": last_old,
            "since": before.as_of,
            "level": level,
            **chosen,
        },
    )
    titles = [column[0] for column in rows.description]
    children = [dict(zip(titles, row, strict=True)) for row in rows.fetchall()]
    for child in children:
        child["name"] = called({column: child[column] for column in columns if column not in chosen})
    total = {title: sum(child[title] for child in children) for title in titles if title not in columns}
    total["name"] = called(chosen)
    for row in (total, *children):
        row["share"] = float(row["difference"] / total["difference"]) if total["difference"] else None
    return Changed(called(chosen), until, before.as_of, first, last, total, children)
