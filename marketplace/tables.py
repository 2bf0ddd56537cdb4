"""The landing contract's tables, made of the simulator's arrays.

Names and types are held against the contract by a test; identities are zero-padded numbers, built as bytes because a
hundred million of them are needed.
"""

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from marketplace import content as media
from marketplace.market import Market, Trade, Week
from marketplace.occasions import CHANNELS, ORGANIC, calendar, coupon_mondays
from marketplace.orders import METHODS, REASONS, Lines, Orders
from marketplace.parameters import SEGMENTS, TIERS
from marketplace.world import World

CURRENCY = "EUR"
MONEY = pa.decimal128(18, 4)
STATES = (
    "regions",
    "merchants",
    "products",
    "calendar",
    "customers",
    "creators",
    "campaigns",
    "campaign_products",
    "coupons",
)
EVENTS = (
    "contents",
    "content_products",
    "order_lines",
    "refunds",
    "payments",
    "traffic",
    "visits",
    "coupon_assignments",
    "coupon_redemptions",
    "inventory",
)
_EPOCH = date(1970, 1, 1).toordinal()
_A_DAY = 86_400_000_000
_KNOWN_AHEAD = 400
_CUSTOMERS_AT_ONCE = 500_000


def write(table: pa.Table, path: Path) -> None:
    """Writes a Parquet file under a name of its own and renames it, so that what has its name is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    # Identities hardly repeat, so a dictionary of them is time lost; nobody filters by statistics of such files.
    few = [name for name in table.column_names if not name.endswith(("_id", "_at"))]
    pq.write_table(
        table,
        temporary,
        use_dictionary=few,
        compression="zstd",
        compression_level=1,
        write_statistics=False,
        store_decimal_as_integer=True,
        store_schema=False,
    )
    temporary.replace(path)


def ids(prefix: str, numbers: np.ndarray, width: int) -> pa.Array:
    """`prefix` and each number with leading zeros, as text. Shape [n]; numbers must fit in `width` digits."""
    head = np.frombuffer(prefix.encode(), np.uint8)
    cells = np.empty((len(numbers), len(head) + width), np.uint8)
    cells[:, : len(head)] = head
    rest = np.asarray(numbers, dtype=np.uint64 if width > 9 else np.uint32)
    for place in range(width - 1, -1, -1):
        rest, digit = rest // 10, rest % 10
        cells[:, len(head) + place] = digit + 48
    offsets = np.arange(len(numbers) + 1, dtype=np.int32) * np.int32(cells.shape[1])
    return pa.StringArray.from_buffers(len(numbers), pa.py_buffer(offsets), pa.py_buffer(cells.tobytes()))


def merchant_ids(numbers: np.ndarray) -> pa.Array:
    return ids("m", numbers, 6)


def product_ids(numbers: np.ndarray) -> pa.Array:
    return ids("p", numbers, 7)


def customer_ids(numbers: np.ndarray) -> pa.Array:
    return ids("c", numbers, 8)


def creator_ids(numbers: np.ndarray) -> pa.Array:
    return ids("a", numbers, 6)


def content_ids(day: np.ndarray, number: np.ndarray) -> pa.Array:
    """By the day (ordinal) it began and its number within that day."""
    return ids("k", _stamp(day) * 100_000 + number, 13)


def order_ids(day: int, number: np.ndarray, prefix: str = "o") -> pa.Array:
    return ids(prefix, int(_stamp(np.array([day]))[0]) * 10_000_000 + number.astype(np.int64), 15)


def _stamp(days: np.ndarray) -> np.ndarray:
    """yyyymmdd of ordinals."""
    found, place = np.unique(days, return_inverse=True)
    stamps = [int(f"{date.fromordinal(int(day)):%Y%m%d}") for day in found]
    stamped: np.ndarray = np.array(stamps, dtype=np.int64)[place]
    return stamped


def money(cents: np.ndarray) -> pa.Array:
    """Cents as the contract's decimals."""
    words = np.empty((len(cents), 2), dtype=np.int64)
    words[:, 0] = np.asarray(cents, dtype=np.int64) * 100
    words[:, 1] = words[:, 0] >> 63
    return pa.Array.from_buffers(MONEY, len(cents), [None, pa.py_buffer(words.tobytes())])


def names(codes: np.ndarray, known: tuple[str, ...]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), pa.array(known, pa.string()))


def some(codes: np.ndarray, known: pa.Array) -> pa.Array:
    """`known[code]` as text, null where the code is negative."""
    return known.take(pa.array(codes, pa.int64(), mask=codes < 0)) if len(known) else pa.nulls(len(codes), pa.string())


def days(ordinals: np.ndarray) -> pa.Array:
    return pa.array((np.asarray(ordinals) - _EPOCH).astype(np.int32), pa.date32())


def times(ordinals: np.ndarray | int, seconds: np.ndarray) -> pa.Array:
    stamps = (np.asarray(ordinals, dtype=np.int64) - _EPOCH) * _A_DAY + seconds.astype(np.int64) * 1_000_000
    return pa.array(np.broadcast_to(stamps, seconds.shape), pa.timestamp("us"))


# Events of one day


def order_lines(week: Week, trade: Trade, lines: Lines) -> pa.Table:
    size = len(lines.order)
    coupons = pa.array([], pa.string())
    if week.coupons is not None:
        coupons = pa.array([week.coupons.coupon(arm) for arm in (1, 2)], pa.string())
    return pa.table(
        {
            "order_id": order_ids(trade.day, lines.order),
            "line_number": pa.array(lines.number, pa.int64()),
            "ordered_at": times(trade.day, lines.seconds),
            "customer_id": customer_ids(lines.customer),
            "product_id": product_ids(lines.product),
            "region": names(lines.region, week.market.world.regions),
            "channel": names(lines.channel, CHANNELS),
            "quantity": pa.array(lines.quantity, pa.int64()),
            "gross_amount": money(lines.gross),
            "merchant_discount": money(lines.merchant_discount),
            "platform_discount": money(lines.platform_discount),
            "freight_amount": money(lines.freight),
            "currency": names(np.zeros(size, dtype=np.int32), (CURRENCY,)),
            "coupon_id": some(lines.coupon - 1, coupons),
            "content_id": some(lines.content, content_ids(trade.shown.started, trade.shown.number)),
            "status": names(lines.cancelled.astype(np.int32), ("completed", "cancelled")),
        }
    )


def refunds(orders: Orders, regions: tuple[str, ...]) -> pa.Table:
    """Refunds of the orders of one day, on whatever days they come back."""
    back, lines = orders.refunds, orders.lines.take(orders.refunds.line)
    return pa.table(
        {
            "refund_id": order_ids(orders.day, lines.order, "r"),
            "line_number": pa.array(lines.number, pa.int64()),
            "refunded_at": times(back.day, back.seconds),
            "order_id": order_ids(orders.day, lines.order),
            "customer_id": customer_ids(lines.customer),
            "product_id": product_ids(lines.product),
            "region": names(lines.region, regions),
            "quantity": pa.array(lines.quantity, pa.int64()),
            "amount": money(lines.gross - lines.merchant_discount - lines.platform_discount),
            "reason": names(back.reason, REASONS),
        }
    )


def payments(orders: Orders) -> pa.Table:
    paid = orders.payments
    return pa.table(
        {
            "order_id": order_ids(orders.day, paid.order),
            "payment_number": pa.array(np.ones(len(paid.order)), pa.int64()),
            "paid_at": times(orders.day, paid.seconds),
            "method": names(paid.method, METHODS),
            "installments": pa.array(paid.installments, pa.int64()),
            "amount": money(paid.amount),
        }
    )


def coupon_redemptions(week: Week, orders: Orders) -> pa.Table:
    used = orders.lines.take(orders.redeemed)
    coupons = pa.array([week.coupons.coupon(arm) for arm in (1, 2)] if week.coupons else [], pa.string())
    return pa.table(
        {
            "customer_id": customer_ids(used.customer),
            "coupon_id": some(used.coupon - 1, coupons),
            "redeemed_at": times(orders.day, used.seconds),
            "order_id": order_ids(orders.day, used.order),
        }
    )


def coupon_assignments(week: Week) -> pa.Table:
    """Everybody in the week's experiment, on its Monday."""
    given = week.coupons
    if given is None:
        nobody = np.empty(0, dtype=np.int64)
        customers, arms, coupons, propensities = nobody, nobody, pa.array([], pa.string()), np.empty(0)
    else:
        customers, arms = given.customers, given.arms
        coupons = pa.array([given.coupon(arm) for arm in range(3)], pa.string())
        propensities = np.array(given.programme.propensities)[arms]
    return pa.table(
        {
            "customer_id": customer_ids(customers),
            "coupon_id": some(arms, coupons),
            "assigned_at": times(week.monday, np.full(len(arms), 300)),
            "arm": names(arms, ("control", "small", "large")),
            "propensity": pa.array(propensities, pa.float64()),
        }
    )


def contents(made: media.Contents) -> pa.Table:
    number = np.arange(len(made.kind))
    ended = times(made.day, made.ends)
    return pa.table(
        {
            "content_id": content_ids(np.full(len(number), made.day), number),
            "kind": names(made.kind, ("video", "live")),
            "creator_id": creator_ids(made.creator),
            "started_at": times(made.day, made.begins),
            "ended_at": pa.array(ended.to_numpy(zero_copy_only=False), pa.timestamp("us"), mask=made.ends < 0),
        }
    )


def content_products(made: media.Contents) -> pa.Table:
    return pa.table(
        {
            "content_id": content_ids(np.full(len(made.content), made.day), made.content),
            "product_id": product_ids(made.product),
            "shown_at": times(made.day, made.begins[made.content]),
        }
    )


def traffic(week: Week, trade: Trade) -> pa.Table:
    seen = trade.traffic()
    size = len(seen.listing)
    content = some(seen.content, content_ids(trade.shown.started, trade.shown.number))
    return pa.table(
        {
            "date": days(np.full(size, trade.day)),
            "product_id": product_ids(week.product[seen.listing]),
            "region": names(week.region[seen.listing], week.market.world.regions),
            "channel": names(seen.channel, CHANNELS),
            "content_id": content.fill_null(""),
            "impressions": pa.array(seen.impressions, pa.int64()),
            "clicks": pa.array(seen.clicks, pa.int64()),
            "carts": pa.array(seen.carts, pa.int64()),
        }
    )


def visits(week: Week, trade: Trade) -> pa.Table:
    counted, world = trade.visits(), week.market.world
    channel, group = np.nonzero(counted.visits)
    region, category = np.divmod(group, len(world.categories.names))
    return pa.table(
        {
            "date": days(np.full(len(group), trade.day)),
            "region": names(region, world.regions),
            "category": names(category, world.categories.names),
            "channel": names(channel, ORGANIC),
            "visits": pa.array(counted.visits[channel, group], pa.int64()),
            "buys": pa.array(counted.buys[channel, group], pa.int64()),
        }
    )


def inventory(week: Week, trade: Trade) -> pa.Table:
    rows = np.flatnonzero(trade.on_hand >= 0)
    return pa.table(
        {
            "date": days(np.full(len(rows), trade.day)),
            "product_id": product_ids(week.product[rows]),
            "region": names(week.region[rows], week.market.world.regions),
            "on_hand": pa.array(trade.on_hand[rows], pa.int64()),
        }
    )


# State, as known at the end of a day


def state(market: Market, name: str, last: int) -> pa.Table:
    """The state table `name` as the marketplace would hand it over at the end of day `last`."""
    world = market.world
    makers = {
        "regions": lambda: pa.table({"region": world.regions, "name": [r.capitalize() for r in world.regions]}),
        "merchants": lambda: _merchants(world, last),
        "products": lambda: _products(world, last),
        "calendar": lambda: _calendar(world, last),
        "customers": lambda: _customers(world, last),
        "creators": lambda: _creators(world, last),
        "campaigns": lambda: _campaigns(market, last)[0],
        "campaign_products": lambda: _campaigns(market, last)[1],
        "coupons": lambda: _coupons(world, last),
    }
    return makers[name]()


def _merchants(world: World, last: int) -> pa.Table:
    merchants = world.through(last).merchants
    rows = np.flatnonzero(merchants.joined <= last)
    return pa.table(
        {
            "merchant_id": merchant_ids(rows),
            "name": ids("Shop ", rows, 6),
            "region": names(merchants.region[rows], world.regions),
            "tier": names(merchants.tier[rows], TIERS),
            "joined_on": days(merchants.joined[rows]),
        }
    )


def _products(world: World, last: int) -> pa.Table:
    products, categories = world.through(last).products, world.categories
    rows = np.flatnonzero(products.launched <= last)
    category, sub = products.category[rows], products.subcategory[rows]
    titles = [world.title(*map(int, found)) for found in zip(rows, category, sub, products.words[rows], strict=True)]
    flat = tuple(name for several in categories.subcategories for name in several)
    return pa.table(
        {
            "product_id": product_ids(rows),
            "merchant_id": merchant_ids(products.merchant[rows]),
            "title": pa.array(titles, pa.string()),
            "category": names(category, categories.names),
            "subcategory": names(category * 4 + sub, flat),
            "brand": pa.array(["unbranded"] * len(rows), pa.string()),
            "list_price": money(products.price[rows]),
            "unit_cost": money(products.cost[rows]),
            "image_count": pa.array(products.images[rows], pa.int64()),
            "description_length": pa.array(products.description[rows], pa.int64()),
            "launched_on": days(products.launched[rows]),
        }
    )


def _calendar(world: World, last: int) -> pa.Table:
    begin = world.parameters.scale.first_day
    rows = calendar(begin, date.fromordinal(last) + timedelta(days=_KNOWN_AHEAD), world.parameters)
    return pa.table(
        {
            "date": pa.array([day for day, _, _ in rows], pa.date32()),
            "region": ["*"] * len(rows),
            "event": [event for _, event, _ in rows],
            "kind": [kind for _, _, kind in rows],
        }
    )


def _customers(world: World, last: int) -> pa.Table:
    customers = world.customers(last)
    rows = np.flatnonzero(customers.joined <= last)
    pieces = [rows[n : n + _CUSTOMERS_AT_ONCE] for n in range(0, len(rows), _CUSTOMERS_AT_ONCE)] or [rows]
    return pa.concat_tables(
        pa.table(
            {
                "customer_id": customer_ids(piece),
                "region": names(customers.cell[piece] // 2, world.regions),
                "segment": names(customers.segment[piece], SEGMENTS),
                "joined_on": days(customers.joined[piece]),
            }
        )
        for piece in pieces
    )


def _creators(world: World, last: int) -> pa.Table:
    creators = world.through(last).creators
    rows = np.flatnonzero(creators.joined <= last)
    return pa.table(
        {
            "creator_id": creator_ids(rows),
            "region": names(creators.region[rows], world.regions),
            "followers": pa.array(creators.followers[rows], pa.int64()),
            "joined_on": days(creators.joined[rows]),
        }
    )


def _campaigns(market: Market, last: int) -> tuple[pa.Table, pa.Table]:
    known = [c for c in market.campaigns(market.world.first_day, last + 40) if c.announced <= last]
    known.sort(key=lambda c: c.name)
    table = pa.table(
        {
            "campaign_id": pa.array([c.name for c in known], pa.string()),
            "kind": pa.array([c.kind for c in known], pa.string()),
            "starts_on": days(np.array([c.first for c in known], dtype=np.int64)),
            "ends_on": days(np.array([c.last for c in known], dtype=np.int64)),
            "announced_on": days(np.array([c.announced for c in known], dtype=np.int64)),
        }
    )
    sizes = [len(c.products) for c in known]
    nobody = np.empty(0, dtype=np.int64)
    products = pa.table(
        {
            "campaign_id": some(np.repeat(np.arange(len(known)), sizes), table["campaign_id"].combine_chunks()),
            "product_id": product_ids(np.concatenate([nobody, *(c.products for c in known)])),
        }
    )
    return table, products


def _coupons(world: World, last: int) -> pa.Table:
    rows = []
    for monday, programme in coupon_mondays(world, last):
        share = programme.merchant_share
        funded = "platform" if share == 0 else "merchant" if share == 1 else "shared"
        for arm, face in zip(("small", "large"), programme.face_values, strict=True):
            name = f"{programme.name}-{date.fromordinal(monday):%Y%m%d}-{arm}"
            rows.append((name, round(100 * face), funded, share if funded == "shared" else None))
    return pa.table(
        {
            "coupon_id": pa.array([r[0] for r in rows], pa.string()),
            "campaign_id": pa.nulls(len(rows), pa.string()),
            "face_value": money(np.array([r[1] for r in rows], dtype=np.int64)),
            "funded_by": pa.array([r[2] for r in rows], pa.string()),
            "merchant_share": pa.array([r[3] for r in rows], pa.float64()),
        }
    )
