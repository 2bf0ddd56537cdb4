"""What the marketplace hands over: a folder in the landing contract's names, a file a day of events, and the truth.

This is the only door: landing's source and the command line come through here. A day's files are a function of the
parameters and the day, whatever was generated before or beside it; what the pipeline may not know is written to another
folder, never inside the delivered one.

    <folder>/parameters.yaml            what all of it is a function of
    <folder>/<events>/<day>.parquet     one file a delivery day
    <folder>/<state>.parquet            as known at the end of the last delivered day
"""

import fcntl
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path

import pyarrow as pa

from coldframe.errors import BadInputError, ConfigurationError
from marketplace import dirt, hidden, parameters, tables
from marketplace.market import Market, Trade, Week
from marketplace.orders import Orders, Till, in_time
from marketplace.parameters import Parameters
from marketplace.tables import CURRENCY, EVENTS, STATES, write
from marketplace.world import World

__all__ = ["CURRENCY", "EVENTS", "STATES", "Deliveries", "default_folder", "found_deliveries", "open_deliveries"]

PARAMETERS = "parameters.yaml"
_LAST = "order_lines"
"""Written last: a day that has this file is complete."""
_THROUGH = ".through"
"""Names the day whose state tables are there, so that those of a run killed before writing them are written later."""
Tell = Callable[[date, int, int, int], None]
"""Called after each day with the day, its place among the days to generate, their number, and its order lines."""


def default_folder(home: Path) -> Path:
    """Where the marketplace of an installation lies unless somebody says otherwise."""
    return home / "marketplace"


class Deliveries:
    """A folder of deliveries and what they are a function of."""

    def __init__(self, folder: Path, settings: Parameters) -> None:
        self.folder, self.parameters = folder, settings

    @property
    def parameters_file(self) -> Path:
        return self.folder / PARAMETERS

    @property
    def first_day(self) -> date:
        return self.parameters.scale.first_day

    @property
    def last_day(self) -> date:
        """Last day that is generated if nobody says up to when."""
        return self.first_day + timedelta(days=self.parameters.scale.days - 1)

    @property
    def suggested_as_of(self) -> date:
        """A day to try it with: a whole quarter before the end, to hold plans against, or half a year to learn from."""
        following = self.last_day + timedelta(days=1)
        quarter = date(following.year, following.month - (following.month - 1) % 3, 1)
        before = quarter - timedelta(days=1)
        end = date(before.year, before.month - (before.month - 1) % 3, 1) - timedelta(days=1)
        return max(end, min(self.first_day + timedelta(days=181), self.last_day))

    @cached_property
    def _market(self) -> Market:
        return Market(World(self.parameters))

    def file(self, table: str, day: date) -> Path:
        return self.folder / table / f"{day}.parquet"

    def state(self, table: str, last: date) -> pa.Table:
        """A state table as known at the end of `last`, of the contract's columns; nothing is read or written."""
        return tables.state(self._market, table, last.toordinal())

    def generate(self, first: date | None, last: date, tell: Tell | None = None) -> int:
        """Writes the days from `first` (None: the first there is) to `last` that are not there yet; returns how many.

        Raises ConfigurationError for a span outside the history.
        """
        begin = max(first or self.first_day, self.first_day)
        if last < begin:
            raise ConfigurationError(
                f"The marketplace opens on {self.first_day}; from {first or begin} to {last} there is nothing."
            )
        if self._complete(begin, last):
            return 0
        with self._locked():
            missing = self._missing(begin, last)
            hidden.found(self.folder)
            for number, (day, lines) in enumerate(self._write(missing), start=1):
                if tell is not None:
                    tell(day, number, len(missing), lines)
            self._write_state()
        return len(missing)

    def _missing(self, first: date, last: date) -> list[date]:
        return [day for day in _days(first, last) if not self.file(_LAST, day).exists()]

    def _complete(self, first: date, last: date) -> bool:
        through = self.folder / _THROUGH
        return not self._missing(first, last) and through.exists() and through.read_text() == str(self._delivered())

    def _delivered(self) -> date:
        return max(date.fromisoformat(path.stem) for path in (self.folder / _LAST).glob("[0-9]*.parquet"))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One writer at a time; another one waits and then finds the work done."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("w") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield

    def _write_state(self) -> None:
        last = self._delivered()
        for name in STATES:
            write(self.state(name, last), self.folder / f"{name}.parquet")
        hidden.write_state(self.folder, self._market, last.toordinal())
        (self.folder / _THROUGH).write_text(str(last))

    def _write(self, missing: list[date]) -> Iterator[tuple[date, int]]:
        """Writes days, in order, and yields each with its number of order lines.

        Refunds and late lines of earlier orders need those orders: as many days before a gap are run through again.
        """
        wanted = {day.toordinal() for day in missing}
        before = max(self.parameters.returns.refunds_cap_days, dirt.MOST_LATE)
        needed = sorted({day - lag for day in wanted for lag in range(before + 1)})
        opened = self.first_day.toordinal()
        due: dict[int, dict[str, list[pa.Table]]] = defaultdict(lambda: defaultdict(list))
        for monday in sorted({day - (day - 1) % 7 for day in needed if day >= opened}):
            week = Week(self._market, monday)
            till = Till(week)
            last = max(day for day in needed if day <= monday + 6)
            for trade in week.days(last):
                orders = till.ring_up(trade)
                self._hand_over(week, trade, orders, trade.day in wanted, due)
                files = due.pop(trade.day, {})
                if trade.day in wanted:
                    day = date.fromordinal(trade.day)
                    yield day, self._deliver(day, files)

    def _hand_over(
        self,
        week: Week,
        trade: Trade,
        orders: Orders,
        wanted: bool,
        due: dict[int, dict[str, list[pa.Table]]],
    ) -> None:
        """Puts what happened on a day among what is due on it and on later days."""
        orders, fake = in_time(*dirt.brush(week, orders, self.parameters.dirt.brushing))
        regions = week.market.world.regions
        back = tables.refunds(orders, regions)
        for day in sorted(set(orders.refunds.day.tolist())):
            due[day]["refunds"].append(back.filter(pa.array(orders.refunds.day == day)))
        if not (wanted or self.parameters.dirt.late):
            return
        lines = tables.order_lines(week, trade, orders.lines)
        for day, delivered, dirty in dirt.soil(lines, trade.day, self.parameters):
            due[day]["order_lines"].append(delivered)
            due[day]["dirty"].append(dirty)
        today = due[trade.day]
        if not wanted:
            return
        today["dirty"].append(dirt.mark(lines.filter(pa.array(fake)), "brushing"))
        made = week.market.contents(trade.day)
        today["contents"].append(tables.contents(made))
        today["content_products"].append(tables.content_products(made))
        today["payments"].append(tables.payments(orders))
        today["traffic"].append(tables.traffic(week, trade))
        today["visits"].append(tables.visits(week, trade))
        today["inventory"].append(tables.inventory(week, trade))
        today["coupon_redemptions"].append(tables.coupon_redemptions(week, orders))
        if trade.day == week.monday:
            today["coupon_assignments"].append(tables.coupon_assignments(week))
        for name, table in hidden.of_day(week, trade).items():
            today[name].append(table)

    def _deliver(self, day: date, files: dict[str, list[pa.Table]]) -> int:
        joined = {name: pa.concat_tables(parts, promote_options="permissive") for name, parts in files.items()}
        lines, kind = dirt.drift(joined[_LAST], day.toordinal(), self.parameters)
        if kind is not None:
            joined["dirty"] = pa.concat_tables([joined["dirty"], dirt.mark(lines, kind)])
        for name in hidden.OF_DAYS:
            if name in joined:
                write(joined[name], hidden.file(self.folder, name, day))
        for name in EVENTS:
            if name != _LAST and name in joined and len(joined[name]):
                write(joined[name], self.file(name, day))
        write(lines, self.file(_LAST, day))
        return len(lines)


def open_deliveries(folder: Path) -> Deliveries:
    """The deliveries in `folder`. Raises BadInputError if there are none, ConfigurationError for a folder of truth."""
    _refuse_truth(folder)
    file = folder / PARAMETERS
    if not file.is_file():
        raise BadInputError(
            f"{folder} holds no marketplace: {PARAMETERS} is missing. Make one: coldframe simulate --out {folder}"
        )
    return Deliveries(folder, parameters.load(file))


def found_deliveries(folder: Path, wanted: Parameters | None = None) -> Deliveries:
    """The deliveries in `folder`, which is made if need be; they must be a function of the `wanted` parameters.

    None: whatever is there, or else the defaults. `scale.days` may differ: it changes no day. Raises
    ConfigurationError naming what else differs.
    """
    _refuse_truth(folder)
    file = folder / PARAMETERS
    if file.is_file():
        kept = parameters.load(file)
        different = [name for name in parameters.different(kept, wanted or kept) if name != "scale.days"]
        if different:
            raise ConfigurationError(
                f"{folder} was made with other parameters ({', '.join(different)}); its days and new ones would "
                f"belong to two worlds. Choose another --out, or delete {folder}."
            )
        return Deliveries(folder, kept)
    if folder.exists() and not folder.is_dir():
        raise ConfigurationError(f"{folder} is a file, not a folder. Choose another --out.")
    if folder.exists() and any(path.name != ".lock" for path in folder.iterdir()):
        raise ConfigurationError(f"{folder} is not empty and holds no {PARAMETERS}. Choose another --out.")
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{PARAMETERS}.new"
    temporary.write_text(parameters.dump(wanted or Parameters()), encoding="utf-8")
    temporary.replace(file)
    return Deliveries(folder, wanted or Parameters())


def _refuse_truth(folder: Path) -> None:
    found = hidden.truth_at(folder)
    if found is not None:
        raise ConfigurationError(
            f"{found} holds what a simulated marketplace's pipeline must not know; it is read by evaluations only. "
            f"Give the folder of deliveries, not {folder}."
        )


def _days(first: date, last: date) -> Iterator[date]:
    return (first + timedelta(days=n) for n in range((last - first).days + 1))
