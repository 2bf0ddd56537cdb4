"""Why a forecast says what it says: its node taken apart, as a picture (pictures.py) and a few sentences.

Nobody acts on a number they cannot question. A wrong reason is worse than none, so everything told here is read from
the release that serves and from the facts it was made of.
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from coldframe import snapshots
from coldframe.errors import ConfigurationError
from coldframe.paths import Workspace, workspace
from coldframe.snapshots import Snapshot
from ml.forecasting.daily import steps
from ml.forecasting.daily.additive import EVENT, MONTHLY, PAYDAY, TREND, WEEK
from ml.forecasting.daily.asked import pictures
from ml.forecasting.daily.asked.pictures import WEEKDAYS
from ml.forecasting.daily.components import ADDITIVE, CLOSED
from ml.forecasting.daily.hierarchy import KEYS, Hierarchy
from ml.registry import Registry, Release

SHOP = "The shop"
YEAR_BACK = 364
MONTH = 30.4


@dataclass(frozen=True)
class Effect:
    """An event or payday: its effect on its strongest day as a part's value, and that day where it lies ahead."""

    name: str
    value: float
    coming: Any


@dataclass(frozen=True)
class Taken:
    """A node taken apart by a model: `values` [date, component], every gap filled with what changes nothing; see
    components.Parts for what is a factor."""

    model: str
    factor: bool
    values: pd.DataFrame

    @property
    def whole(self) -> "pd.Series[float]":
        return self.values.prod(axis=1) if self.factor else self.values.sum(axis=1)

    @property
    def effect_unit(self) -> str:
        return "%" if self.factor else "units a day"

    def relative(self, value: Any) -> Any:
        """A part's value as an effect: per cent where it is a factor, else units a day."""
        return 100 * (value - 1) if self.factor else value

    def effect(self, component: str) -> "pd.Series[float]":
        return self.relative(self.values[component])

    def shown(self, value: float) -> str:
        return f"{value - 1:+.0%}" if self.factor else f"{value:+,.1f} a day"

    def weekdays(self) -> Any:
        """Value by weekday, Monday first."""
        week = self.values[WEEK]
        return week.groupby(pd.DatetimeIndex(week.index).dayofweek).mean().to_numpy()

    def effects(self, as_of: date) -> list[Effect]:
        """Events and paydays of the last year and ahead, the strongest first."""
        recent = self.values[self.values.index > pd.Timestamp(as_of) - pd.Timedelta(days=YEAR_BACK)]
        found = []
        for component in map(str, recent):
            size = (recent[component] - (1.0 if self.factor else 0.0)).abs()
            if component.startswith((EVENT, PAYDAY, CLOSED)) and size.max() > 0:
                ahead = size[size.index > pd.Timestamp(as_of)]
                coming: Any = ahead.idxmax() if ahead.max() > 0 else None
                day: Any = size.idxmax() if coming is None else coming
                found.append((-size[day], component.removeprefix(EVENT), float(recent[component][day]), coming))
        return [Effect(name, value, coming) for _, name, value, coming in sorted(found, key=lambda e: e[:2])]


@dataclass(frozen=True)
class Explained:
    """What is known of one node. `sold` and `sold_around` are units by day, of the node and of the node its parts are
    of (`parts_of`); `out` is the share of the node's series that were out of stock by day, as far as any was;
    `forecast` has date, mean, q10, q90; `parts` are by model; `events` has date and event; `prices` valid_from and
    price, None where the node has no single price.
    """

    name: str
    as_of: date
    sold: "pd.Series[float]"
    out: "pd.Series[float]"
    forecast: pd.DataFrame
    events: pd.DataFrame
    prices: pd.DataFrame | None
    parts_of: str
    parts: Mapping[str, Taken]
    sold_around: "pd.Series[float]"

    @property
    def out_of(self) -> str:
        """What `out` is called: a product in a region is out of stock or not, of others a part is."""
        return "out of stock" if self.out.max() == 1 else "share of series out of stock"

    @property
    def of_node(self) -> str:
        """Whose the parts are, where they are not the node's own."""
        around = "the shop" if self.parts_of == SHOP else self.parts_of
        return "" if self.parts_of == self.name else f" of {around}"


# Services


def explain(source: str | None, as_of: date, level: str, node: str | None, out: Path | None) -> dict[str, Any]:
    """Explains the forecast made on `as_of` of a node (its keys, separated by commas): `words`, and a PNG at `out`.

    Without a node, lists those of the level (`nodes`), unless it has only one. Raises ConfigurationError for a level or
    node there is not, NotAvailableError where no release of that day serves or its facts are gone.
    """
    pictures.check(out)
    space = workspace(source or steps.only_source(as_of))
    release = steps.serving(Registry(space), as_of)
    with duckdb.connect() as connection:
        found = Facts(connection, space, release)
        name, keys = found.level(level)
        known = found.nodes(name, keys)
        if node is None and len(known) > 1:
            return {"level": name, "nodes": list(known)}
        label = next(iter(known)) if node is None else choose(node, known, name)
        told = found.explained(name, dict(zip(keys, known[label], strict=True)))
    if out is not None:
        pictures.write(pictures.of_node(told), out)
    return {"level": name, "node": label, "release": release.id, "words": reading(told), "path": out and str(out)}


def choose(asked: str, known: Mapping[str, tuple[str, ...]], level: str) -> str:
    """The label of the node a person means: its label, or all of its keys. Raises ConfigurationError."""
    wanted = tuple(part.strip() for part in asked.split(","))
    found = [label for label, keys in known.items() if asked == label or wanted in (keys, tuple(label.split(",")))]
    if found:
        return found[0]
    near = difflib.get_close_matches(",".join(wanted), known, n=3, cutoff=0.4)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    raise ConfigurationError(
        f"Level {level} has no node {asked!r}.{hint} `coldframe forecast explain` without --node lists all "
        f"{len(known)}."
    )


# Facts


class Facts:
    """What a release and the facts it was made of say, by SQL: a shop has many series, a picture needs few."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, space: Workspace, release: Release) -> None:
        self.connection, self.release = connection, release
        self.forecasts = release.file("forecasts")
        snapshot = _snapshot(space, release)
        for table in ("fct_product_day", "fct_stock_out", "dim_product", "dim_region", "dim_price", "dim_calendar"):
            connection.execute(f"create view {table} as from '{snapshot.glob(table)}'")
        connection.execute(
            f"""
            create temp table members as
            select product_id, region, category, subcategory, merchant_id, coalesce(parent, region) as parent
            from '{release.file("series")}' join dim_product using (product_id) left join dim_region using (region)
            """
        )

    @property
    def levels(self) -> list[str]:
        rows = self.connection.execute(f"select distinct level from '{self.forecasts}' order by all").fetchall()
        return [row[0] for row in rows]

    def level(self, asked: str) -> tuple[str, tuple[str, ...]]:
        return Hierarchy.find(asked, self.levels)

    def nodes(self, level: str, keys: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Keys of every node of a level by label: a subcategory goes without its category where that is no riddle."""
        if not keys:
            return {level: ()}
        rows = self.connection.execute(f"select distinct {', '.join(keys)} from members order by all").fetchall()
        short = [row[1:] if keys[:2] == ("category", "subcategory") else row for row in rows]
        chosen = short if len(set(short)) == len(rows) else rows
        return {",".join(map(str, label)): row for label, row in zip(chosen, rows, strict=True)}

    def explained(self, level: str, keys: Mapping[str, str]) -> Explained:
        forecast = self.connection.execute(
            f"""
            select date::timestamp as date, mean, q10, q90 from '{self.forecasts}'
            where level = ? and frequency = 'D' and {where(keys)} order by date
            """,
            [level, *keys.values()],
        ).df()
        members = self.connection.execute(f"from members where {where(keys)}", [*keys.values()]).df()
        parts, parts_of = self._parts(members)
        return Explained(
            name=called(keys),
            as_of=self.release.as_of,
            sold=self._sold(keys),
            out=self._out(keys, len(members)),
            forecast=forecast,
            events=self._events(members["region"].unique().tolist()),
            prices=self._prices(*members.iloc[0][["product_id", "region"]]) if len(members) == 1 else None,
            parts_of=called(parts_of),
            parts=parts,
            sold_around=self._sold(parts_of),
        )

    def _sold(self, keys: Mapping[str, str]) -> "pd.Series[float]":
        """Units by day over the last three years, 0 on days without a sale."""
        as_of = self.release.as_of
        rows = self.connection.execute(
            f"""
            select date::timestamp as date, sum(units)::double as units
            from fct_product_day join members using (product_id, region)
            where {where(keys)} and date between ? and ? group by 1 order by 1
            """,
            [*keys.values(), as_of - timedelta(days=3 * YEAR_BACK), as_of],
        ).df()
        sold = rows.set_index("date")["units"]
        if sold.empty:
            return sold
        return sold.reindex(pd.date_range(sold.index[0], as_of, freq="D"), fill_value=0.0)

    def _out(self, keys: Mapping[str, str], series: int) -> "pd.Series[float]":
        """Of a series never seen in stock nobody keeps the stock, as in panel.py."""
        rows = self.connection.execute(
            f"""
            with kept as (
                select product_id, region, date, min(date) over line as since, count(*) over line as days
                from fct_stock_out join members using (product_id, region)
                where {where(keys)} and date <= ? window line as (partition by product_id, region)
            ),
            began as (select product_id, region, min(date) as first_day from fct_product_day group by all)
            select date::timestamp as date, count(*)::double as lines from kept join began using (product_id, region)
            where first_day < since or days < ?::date - since + 1 group by 1 order by 1
            """,
            [*keys.values(), self.release.as_of, self.release.as_of],
        ).df()
        out: pd.Series[float] = rows.set_index("date")["lines"] / series
        return out

    def _events(self, regions: list[str]) -> pd.DataFrame:
        """Days and names of events in one of the regions, from the first day shown on."""
        return self.connection.execute(
            """
            select distinct date::timestamp as date, event from dim_calendar
            where kind not in ('season', 'payday') and (region = '*' or list_contains(?, region)) order by all
            """,
            [regions],
        ).df()

    def _prices(self, product: str, region: str) -> pd.DataFrame | None:
        rows = self.connection.execute(
            """
            select valid_from::timestamp as valid_from, valid_until::timestamp as valid_until, price from dim_price
            where product_id = ? and region in (?, '*') and coalesce(announced_on, valid_from) <= ?
            qualify region <> '*' or not bool_or(region <> '*') over () order by valid_from
            """,
            [product, region, self.release.as_of],
        ).df()
        return None if rows.empty else rows

    def _parts(self, members: pd.DataFrame) -> tuple[dict[str, Taken], dict[str, str]]:
        """Parts of the finest kept node that all members belong to, and that node's keys."""
        kept = self.release.file("components")
        shared = {key: members[key].iloc[0] for key in KEYS if members[key].nunique() == 1}
        rows = self.connection.execute(
            f"select distinct level, {', '.join(KEYS)} from '{kept}' order by all"
        ).fetchall()
        nodes = [(level, {k: v for k, v in zip(KEYS, keys, strict=True) if v is not None}) for level, *keys in rows]
        of_all = [node for node in nodes if node[1].items() <= shared.items()]
        level, keys = max(of_all, key=lambda node: (len(node[1]), "region" in node[1]))
        parts = self.connection.execute(
            f"""
            select date::timestamp as date, model, component, value, unit from '{kept}'
            where level = ? and {where(keys)} order by all
            """,
            [level, *keys.values()],
        ).df()
        return {str(model): _taken(str(model), rows) for model, rows in parts.groupby("model", sort=True)}, keys


def _taken(model: str, rows: pd.DataFrame) -> Taken:
    factor = bool((rows["unit"] == "factor").any())
    wide = rows.pivot(index="date", columns="component", values="value")
    # A node that never sold has no week: a part without any effect has no row.
    wide = wide.reindex(columns=sorted({*map(str, wide), WEEK, MONTHLY}))
    return Taken(model, factor, wide.fillna(1.0 if factor else 0.0))


def _snapshot(space: Workspace, release: Release) -> Snapshot:
    """The facts a release was made of; where they were cleared away, the published ones, which know those days too."""
    own = Snapshot(release.snapshot_id, space.snapshots / release.snapshot_id)
    return own if own.path.is_dir() else snapshots.current(space)


def called(keys: Mapping[str, str]) -> str:
    """How people call a node: a subcategory goes without its category."""
    return ", ".join(value for key, value in keys.items() if key != "category" or "subcategory" not in keys) or SHOP


def where(keys: Mapping[str, str], sign: str = "?") -> str:
    return " and ".join(f"{key} = {sign if sign == '?' else sign + key}" for key in keys) or "true"


# Words


def reading(told: Explained) -> list[str]:
    """What the picture shows, in sentences: the level beside a year ago, trend, week, events ahead, and how far the
    parts are from the forecast."""
    parts, words = told.parts[ADDITIVE], [*_levels(told), *_stock_outs(told)]
    trend = parts.values.loc[parts.values.index > pd.Timestamp(told.as_of), TREND]
    if len(trend) > 1 and trend.min() > 0:
        months = (len(trend) - 1) / MONTH
        words.append(f"Trend{told.of_node}: {(trend.iloc[-1] / trend.iloc[0]) ** (1 / months) - 1:+.1%} a month.")
    week = parts.weekdays()
    best, worst = int(week.argmax()), int(week.argmin())
    words.append(
        f"Week{told.of_node}: best on {WEEKDAYS[best]} ({parts.shown(week[best])}), weakest on {WEEKDAYS[worst]} "
        f"({parts.shown(week[worst])}), beside the mean of the weekdays."
    )
    coming = [event for event in parts.effects(told.as_of) if event.coming is not None]
    named = ", ".join(f"{e.name} on {e.coming:%-d %B} ({parts.shown(e.value)})" for e in coming[:3])
    words.append(f"Events{told.of_node} that move most: {named}." if coming else "No event in the days ahead.")
    alone = parts.whole[parts.whole.index > pd.Timestamp(told.as_of)].sum()
    forecast = told.forecast["mean"].sum()
    if not told.of_node and forecast > 0:
        words.append(
            "These are the parts of the additive model, one of the views the forecast is made of; alone it says "
            f"{alone:,.0f} units, {alone / forecast - 1:+.1%} beside the forecast."
        )
    return words


def _stock_outs(told: Explained) -> list[str]:
    out = told.out[told.out.index > pd.Timestamp(told.as_of) - pd.Timedelta(days=pictures.SHOWN_DAYS)]
    if out.empty:
        return []
    of_mean = f"; on the mean of these days {out.mean():.0%} of its series were" if out.max() < 1 else ""
    return [
        f"Stock had run out on {len(out)} of the last {pictures.SHOWN_DAYS} days{of_mean}. What was wanted then is "
        "estimated, and the forecast is of that, not of what was sold."
    ]


def _levels(told: Explained) -> list[str]:
    days, total = len(told.forecast), told.forecast["mean"].sum()
    now = told.sold.iloc[-28:].mean() if len(told.sold) else 0.0
    said = f"{told.name} sold {now:,.1f} units a day over the last 28 days"
    ahead = f"The forecast is {total:,.{int(total < 100)}f} units over the next {days} days, {total / days:,.1f} a day"
    year_ago = told.sold.iloc[-28 - YEAR_BACK : -YEAR_BACK] if len(told.sold) >= 28 + YEAR_BACK else told.sold.iloc[:0]
    same = told.sold.reindex(told.forecast["date"] - pd.Timedelta(days=YEAR_BACK)).sum()
    if year_ago.sum() > 0 and same > 0:
        said += f", {now / year_ago.mean() - 1:+.0%} beside the same days a year ago"
        ahead += f", {total / same - 1:+.0%} beside the same days a year ago"
    else:
        said += "; there is no year of sales to compare with"
    return [f"{said}.", f"{ahead}."]
