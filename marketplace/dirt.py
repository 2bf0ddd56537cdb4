"""What goes wrong between a shop and its data: each kind with a rate, each dirty row remembered.

A line gets at most one kind of its own; a whole file may be drifted on top. Some kinds no check of a row can see, and
they are here for that reason: what finds them must look at more than rows.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from marketplace.draws import stream
from marketplace.market import Week
from marketplace.orders import REASONS, Lines, Orders, Refunds, pay
from marketplace.parameters import Parameters
from marketplace.tables import money

KINDS = (
    "late",
    "duplicate",
    "clock_1970",
    "clock_ahead",
    "clock_shifted",
    "currency_named",
    "currency_silent",
    "brushing",
    "decimal_comma",
    "renamed_column",
)
UNSEEN = ("late", "clock_shifted", "currency_silent", "brushing")
"""Kinds that break no rule of the contract: a late line is a good line, and the others look like one."""
MOST_LATE = 6
RENAMED = ("gross_amount", "gross_value")
_RATE = 7.8
_OTHER = "CNY"
_AHEAD = 3653 * 86_400_000_000
_A_DAY = 86_400_000_000


def brush(week: Week, orders: Orders, fraction: float) -> tuple[Orders, np.ndarray]:
    """`orders` with fake ones added, and the mask of their lines.

    One product of a merchant, ordered by a few accounts again and again, mostly refunded within days; no stock moves.
    """
    parameters = week.market.world.parameters
    rng = stream(parameters.seed, "brushing", orders.day)
    lines = orders.lines
    real = int(lines.order.max()) + 1 if len(lines.order) else 0
    count = int(rng.poisson(fraction / 100 * real))
    fake = np.arange(len(lines.order) + count) >= len(lines.order)
    on_sale = np.flatnonzero(week.products.launched[week.product] <= orders.day)
    if not count or not len(on_sale):
        return orders, fake[: len(lines.order)]
    rows = rng.choice(on_sale, size=1 + count // 25)[rng.integers(0, 1 + count // 25, count)]
    accounts = np.flatnonzero((week.customers.joined < week.monday) & (week.customers.churned > week.monday))
    pool = accounts[(week.product[rows] * 7919 + rng.integers(0, 8, count)) % len(accounts)]
    quantity = rng.integers(1, 4, count)
    none = np.zeros(count, dtype=np.int64)
    added = Lines(
        order=real + np.arange(count),
        number=none + 1,
        seconds=rng.integers(0, 86_400, count),
        customer=pool,
        product=week.product[rows],
        region=week.region[rows],
        channel=none,
        content=none - 1,
        quantity=quantity,
        gross=week.products.price[week.product[rows]] * quantity,
        merchant_discount=none,
        platform_discount=none,
        freight=none + 390,
        coupon=none,
        cancelled=none.astype(bool),
    )
    paid = pay(rng, added, np.arange(count))
    back = np.flatnonzero(rng.random(count) < 0.7)
    taken = Refunds(
        day=orders.day + rng.integers(1, 4, len(back)),
        seconds=rng.integers(7 * 3600, 20 * 3600, len(back)),
        line=len(lines.order) + back,
        reason=np.full(len(back), REASONS.index("fake order")),
    )
    return replace(
        orders,
        lines=_both(lines, added),
        payments=_both(orders.payments, paid),
        refunds=_both(orders.refunds, taken),
    ), fake


def _both(one: Any, other: Any) -> Any:
    return type(one)(**{name: np.concatenate([values, getattr(other, name)]) for name, values in vars(one).items()})


def soil(lines: pa.Table, day: int, parameters: Parameters) -> Iterator[tuple[int, pa.Table, pa.Table]]:
    """(delivery day, lines, dirty rows) of the order lines of `day`, a delivery day at a time; one is `day` itself.

    Dirty rows have order_id, line_number and kind.
    """
    dirt = parameters.dirt
    rng = stream(parameters.seed, "dirt", day)
    size = len(lines)
    rates = [dirt.late, dirt.duplicates, *[dirt.clock / 3] * 3, *[dirt.currency / 2] * 2]
    if not any(rates):
        yield day, lines, _marked(lines, np.full(size, -1))
        return
    kind = np.searchsorted(np.cumsum(rates), rng.random(size), side="right")
    kind = np.where(kind < len(rates), kind, -1)
    lag = np.where(kind == KINDS.index("late"), rng.integers(1, MOST_LATE + 1, size), 0)
    lines = _miscounted(_mistimed(lines, kind, day, rng), kind)
    for late in range(MOST_LATE + 1):
        rows = np.flatnonzero(lag == late)
        if late and not len(rows):
            continue
        twice = rows[kind[rows] == KINDS.index("duplicate")]
        marked = _marked(lines.take(rows), kind[rows])
        yield day + late, lines.take(np.concatenate([rows, twice])), marked


def _marked(lines: pa.Table, kind: np.ndarray) -> pa.Table:
    rows = np.flatnonzero(kind >= 0)
    marked: pa.Table = lines.select(["order_id", "line_number"]).take(rows)
    return marked.append_column("kind", pa.array([KINDS[k] for k in kind[rows]], pa.string()))


def mark(lines: pa.Table, kind: str) -> pa.Table:
    """All of `lines` as dirty rows of one kind."""
    return _marked(lines, np.full(len(lines), KINDS.index(kind)))


def _mistimed(lines: pa.Table, kind: np.ndarray, day: int, rng: np.random.Generator) -> pa.Table:
    stamps = lines["ordered_at"].to_numpy().astype("int64").copy()
    midnight = stamps - stamps % _A_DAY
    within = stamps % _A_DAY
    for name, moved in (
        ("clock_1970", within),
        ("clock_ahead", stamps + _AHEAD),
        # By up to hours, but within the day: between days it would be a late or an early row.
        ("clock_shifted", midnight + (within + rng.integers(1, 4, len(lines)) * 3_600_000_000) % _A_DAY),
    ):
        rows = kind == KINDS.index(name)
        stamps[rows] = moved[rows]
    return _replaced(lines, "ordered_at", pa.array(stamps, pa.timestamp("us")))


def _miscounted(lines: pa.Table, kind: np.ndarray) -> pa.Table:
    named = kind == KINDS.index("currency_named")
    wrong = named | (kind == KINDS.index("currency_silent"))
    for name in ("gross_amount", "merchant_discount", "platform_discount", "freight_amount"):
        cents = np.round(lines[name].cast(pa.float64()).to_numpy() * np.where(wrong, _RATE, 1) * 100)
        lines = _replaced(lines, name, money(cents.astype(np.int64)))
    currency = pc.if_else(pa.array(named), _OTHER, lines["currency"].cast(pa.string()))
    return _replaced(lines, "currency", currency)


def drift(delivery: pa.Table, day: int, parameters: Parameters) -> tuple[pa.Table, str | None]:
    """The delivery of `day` as an exporter of another version would write it, and the kind of drift, if any."""
    dirt = parameters.dirt
    if dirt.renamed_from is not None and day >= dirt.renamed_from.toordinal():
        return delivery.rename_columns({RENAMED[0]: RENAMED[1]}), "renamed_column"
    if stream(parameters.seed, "drift", day).random() < dirt.comma:
        cells = pc.replace_substring(delivery["freight_amount"].cast(pa.string()), ".", ",")
        return _replaced(delivery, "freight_amount", cells), "decimal_comma"
    return delivery, None


def _replaced(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), name, values)
