"""From lines sold to orders of customers: baskets, hours, coupons, freight, payments, and what comes back.

Money is in cents. Everything about an order is drawn with the stream of its day, refunds included, so that a refund of
March is the same whether February was delivered or not.
"""

from dataclasses import dataclass, replace

import numpy as np

from marketplace.draws import stream
from marketplace.market import LIVE, Trade, Week
from marketplace.occasions import CHANNELS
from marketplace.parameters import Parameters

REASONS = ("does not fit", "not as described", "broken", "changed mind", "fake order")
METHODS = ("card", "wallet", "transfer", "cash on delivery")
_METHOD_SHARES = np.array([0.45, 0.4, 0.1, 0.05])
# Share of a day's orders by hour (UTC): little at night, a shoulder at noon, most in the evening.
_HOURS = np.array(
    [
        1.2,
        0.7,
        0.4,
        0.3,
        0.3,
        0.5,
        1.2,
        2.2,
        3.2,
        4.0,
        4.6,
        5.0,
        5.8,
        5.2,
        4.6,
        4.4,
        4.6,
        5.0,
        5.8,
        7.2,
        9.0,
        9.6,
        7.6,
        4.0,
    ]
)
_UNTIL_HOUR = np.cumsum(_HOURS) / _HOURS.sum()
_DAY = 86_400


@dataclass(frozen=True)
class Lines:
    """Order lines, an entry a line, together by order. `number` counts from 1; `seconds` since the day began.

    `order` is the order's number within its day; `coupon` an arm of the week's experiment (0: none); `content` a
    position in the day's content (-1: none).
    """

    order: np.ndarray
    number: np.ndarray
    seconds: np.ndarray
    customer: np.ndarray
    product: np.ndarray
    region: np.ndarray
    channel: np.ndarray
    content: np.ndarray
    quantity: np.ndarray
    gross: np.ndarray
    merchant_discount: np.ndarray
    platform_discount: np.ndarray
    freight: np.ndarray
    coupon: np.ndarray
    cancelled: np.ndarray

    def take(self, rows: np.ndarray) -> "Lines":
        return Lines(**{name: values[rows] for name, values in vars(self).items()})


@dataclass(frozen=True)
class Payments:
    """A payment an order: its number, when, how, in how many instalments, cents."""

    order: np.ndarray
    seconds: np.ndarray
    method: np.ndarray
    installments: np.ndarray
    amount: np.ndarray


@dataclass(frozen=True)
class Refunds:
    """Refunded lines: `line` is the position among the day's lines, `day` and `seconds` when it came back."""

    day: np.ndarray
    seconds: np.ndarray
    line: np.ndarray
    reason: np.ndarray


@dataclass(frozen=True)
class Orders:
    """All orders of one day. `redeemed`: positions of the lines a coupon was used on."""

    day: int
    lines: Lines
    payments: Payments
    refunds: Refunds
    redeemed: np.ndarray


class Till:
    """Rings up the days of one week in their order: a coupon is used once in its week."""

    def __init__(self, week: Week) -> None:
        self.week = week
        self.used = np.zeros(len(week.arm), dtype=bool)

    def ring_up(self, trade: Trade) -> Orders:
        week, p = self.week, self.week.market.world.parameters
        rng = stream(p.seed, "orders", trade.day)
        region = week.region[trade.listing]
        cell = region * 2 + trade.latent
        key = ((cell * len(CHANNELS) + trade.channel) * (len(trade.shown.kind) + 1)) + trade.content + 1
        order = np.argsort(key, kind="stable")
        key, cell, listing = key[order], cell[order], trade.listing[order]
        channel, content, quantity = trade.channel[order], trade.content[order], trade.quantity[order]
        begins = rng.random(len(key)) < 1 / np.array(p.demand.basket)[channel]
        if len(key):
            begins[0] = True
            begins[1:] |= key[1:] != key[:-1]
        first = np.flatnonzero(begins)
        basket = np.cumsum(begins) - 1
        customer = self._customers(rng, cell[first])
        seconds = self._times(rng, trade, channel[first], content[first])
        cancelled = rng.random(len(first)) < p.returns.cancelled

        product = week.product[listing]
        gross = week.products.price[product] * quantity
        by_merchant = np.round(gross * trade.merchant_discount[product]).astype(np.int64)
        by_platform = np.round(gross * trade.platform_discount[product]).astype(np.int64)
        coupon = np.zeros(len(key), dtype=np.int64)
        redeemed = self._redeem(rng, customer, first)
        coupon[redeemed] = self.week.arm[customer[basket[redeemed]]]
        if week.coupons is not None:
            programme = week.coupons.programme
            face = np.round(100 * np.array([0, *programme.face_values])).astype(np.int64)[coupon]
            off = np.minimum(face, (gross - by_merchant - by_platform) // 2)
            merchants_part = np.round(off * programme.merchant_share).astype(np.int64)
            by_merchant, by_platform = by_merchant + merchants_part, by_platform + off - merchants_part
        seller = week.people.merchants.region[week.products.merchant[product]]
        freight = np.where(gross >= 6000, 0, np.where(seller == week.region[listing], 390, 590))
        lines = Lines(
            order=basket,
            number=np.arange(len(key)) - first[basket] + 1 if len(key) else basket,
            seconds=seconds[basket],
            customer=customer[basket],
            product=product,
            region=week.region[listing],
            channel=channel,
            content=content,
            quantity=quantity,
            gross=gross,
            merchant_discount=by_merchant,
            platform_discount=by_platform,
            freight=freight,
            coupon=coupon,
            cancelled=cancelled[basket],
        )
        return Orders(trade.day, lines, pay(rng, lines, first), self._refunds(rng, trade.day, lines), redeemed)

    def _customers(self, rng: np.random.Generator, cell: np.ndarray) -> np.ndarray:
        """Whose order it is: by purchase rate among the customers of the cell."""
        week = self.week
        low, high = week.cell_edges[cell], week.cell_edges[cell + 1]
        place = np.searchsorted(week.running, low + rng.random(len(cell)) * (high - low), side="right") - 1
        place = np.clip(place, week.first_in_cell[cell], week.last_in_cell[cell])
        found: np.ndarray = week.by_cell[place]
        return found

    @staticmethod
    def _times(rng: np.random.Generator, trade: Trade, channel: np.ndarray, content: np.ndarray) -> np.ndarray:
        """Seconds of the day: by the hour's share; within a livestream; after a video that is of today."""
        uniform = rng.random(len(channel))
        hour = np.searchsorted(_UNTIL_HOUR, uniform, side="right")
        seconds = (np.minimum(hour, 23) * 3600 + np.floor(rng.random(len(channel)) * 3600)).astype(np.int64)
        of_content = np.flatnonzero(content >= 0)
        shown, by = trade.shown, content[of_content]
        begins = shown.begins[by]
        ends = np.where(channel[of_content] == LIVE, shown.ends[by], _DAY - 1)
        within = (begins + np.floor(rng.random(len(by)) * (ends - begins))).astype(np.int64)
        seconds[of_content] = np.where(begins > 0, within, seconds[of_content])
        return seconds

    def _redeem(self, rng: np.random.Generator, customer: np.ndarray, first: np.ndarray) -> np.ndarray:
        """First lines of the orders on which a coupon is used: a holder's first order of the week, if at all."""
        if self.week.coupons is None:
            return np.empty(0, dtype=np.int64)
        uses = rng.random(len(customer)) < self.week.coupons.programme.redemption
        holds = np.flatnonzero((self.week.arm[customer] > 0) & ~self.used[customer])
        _, earliest = np.unique(customer[holds], return_index=True)
        chance = holds[np.sort(earliest)]
        self.used[customer[chance]] = True
        found: np.ndarray = first[chance[uses[chance]]]
        return found

    def _refunds(self, rng: np.random.Generator, day: int, lines: Lines) -> Refunds:
        world, products = self.week.market.world, self.week.products
        rate = world.parameters.returns.rate * world.categories.returns[products.category[lines.product]]
        rate = np.minimum(rate * np.exp(-0.4 * products.quality[lines.product]), 0.6)
        back = np.flatnonzero((rng.random(len(rate)) < rate) & ~lines.cancelled)
        return _come_back(rng, day, back, world.parameters, rng.integers(0, len(REASONS) - 1, len(back)))


def pay(rng: np.random.Generator, lines: Lines, first: np.ndarray) -> Payments:
    """A payment for each order that was not cancelled. `first` is the position of each order's first line."""
    if not len(first):
        nothing = np.empty(0, dtype=np.int64)
        return Payments(nothing, nothing, nothing, nothing, nothing)
    due = np.add.reduceat(lines.gross - lines.merchant_discount - lines.platform_discount + lines.freight, first)
    method = np.searchsorted(np.cumsum(_METHOD_SHARES)[:-1], rng.random(len(first)), side="right")
    installments = np.where(
        (method == 0) & (due > 5000) & (rng.random(len(first)) < 0.4), rng.integers(2, 7, len(first)), 1
    )
    paid = ~lines.cancelled[first]
    kept = first[paid]
    return Payments(lines.order[kept], lines.seconds[kept], method[paid], installments[paid], due[paid])


def _come_back(
    rng: np.random.Generator, day: int, lines: np.ndarray, parameters: Parameters, reason: np.ndarray
) -> Refunds:
    lag = np.minimum(2 + rng.geometric(0.22, len(lines)), parameters.returns.refunds_cap_days)
    return Refunds(day + lag, rng.integers(7 * 3600, 20 * 3600, len(lines)), lines, reason)


def in_time(orders: Orders, mask: np.ndarray) -> tuple[Orders, np.ndarray]:
    """`orders` numbered in the order of time with their lines sorted by it, and a mask of lines sorted alike."""
    lines = orders.lines
    firsts = np.flatnonzero(lines.number == 1)
    place = np.empty(len(firsts), dtype=np.int64)
    place[lines.order[firsts][np.argsort(lines.seconds[firsts], kind="stable")]] = np.arange(len(firsts))
    renamed = replace(lines, order=place[lines.order])
    rows = np.argsort(renamed.order, kind="stable")
    at = np.empty(len(rows), dtype=np.int64)
    at[rows] = np.arange(len(rows))
    return replace(
        orders,
        lines=renamed.take(rows),
        payments=replace(orders.payments, order=place[orders.payments.order]),
        refunds=replace(orders.refunds, line=at[orders.refunds.line]),
        redeemed=np.sort(at[orders.redeemed]),
    ), mask[rows]
