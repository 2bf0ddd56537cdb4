"""The market behaves like one: substitutes, finite stock, coupons that change some people, refunds of what was sold."""

from collections.abc import Callable
from datetime import date

import duckdb
import numpy as np
import pandas as pd
import pytest

from marketplace import truth
from marketplace.content import boosts, contents
from marketplace.delivery import Deliveries
from marketplace.market import MEAN_QUANTITY, Market, Week
from marketplace.occasions import factor, movements
from marketplace.orders import Till
from marketplace.parameters import CLASSES, Parameters
from marketplace.world import TREND, World

MONDAY = date(2024, 2, 5).toordinal()


@pytest.fixture(scope="module")
def market(tiny: Parameters) -> Market:
    return Market(World(tiny))


@pytest.fixture
def week(market: Market) -> Week:
    return Week(market, MONDAY)


def expected(week: Week, available: np.ndarray) -> np.ndarray:
    """Organic lines by listing on an ordinary day."""
    lines, _ = week._organic(week._visits(MONDAY), available, np.zeros((2, len(week.products.price))))
    return lines.sum(axis=(0, 1))


def test_without_a_product_its_neighbours_sell_more_and_the_category_less(week: Week) -> None:
    everything = np.ones(len(week.product), dtype=bool)
    before = expected(week, everything)
    gone = int(np.argmax(before))
    after = expected(week, everything & (np.arange(len(before)) != gone))
    neighbours = (week.group == week.group[gone]) & (np.arange(len(before)) != gone)
    elsewhere = week.group != week.group[gone]
    assert (after[neighbours] > before[neighbours]).all()
    assert after[elsewhere] == pytest.approx(before[elsewhere])
    kept = (after[neighbours] - before[neighbours]).sum() / before[gone]
    assert 0.2 < kept < 0.95


def test_the_closer_the_nest_the_more_is_substituted(tiny: Parameters) -> None:
    kept = []
    for nest in (0.4, 1.0):
        demand = tiny.demand.model_copy(update={"nest": nest, "taste_spread": 0.0, "quality_taste": (0, 0)})
        week = Week(Market(World(tiny.model_copy(update={"demand": demand}))), MONDAY)
        everything = np.ones(len(week.product), dtype=bool)
        before = expected(week, everything)
        gone = int(np.argmax(before))
        after = expected(week, everything & (np.arange(len(before)) != gone))
        others = np.arange(len(before)) != gone
        kept.append((after[others] - before[others]).sum() / before[gone])
    assert kept[0] > kept[1]


def test_nothing_is_sold_that_was_not_in_stock(market: Market) -> None:
    week = Week(market, MONDAY)
    filled = week.stock.copy()
    sold = np.zeros(len(filled))
    for trade in week.days(MONDAY + 6):
        sold += np.bincount(trade.listing, trade.quantity, len(filled))
        offered = trade.on_hand >= 0
        assert (trade.on_hand[offered] == (filled - sold)[offered]).all()
    assert (sold <= filled).all()


def test_an_empty_shelf_loses_what_the_product_would_have_sold_alone(market: Market) -> None:
    full, empty = Week(market, MONDAY), Week(market, MONDAY)
    on_sale = full.products.launched[full.product] < MONDAY
    best = int(np.argmax(np.where(on_sale, expected(full, on_sale), 0)))
    empty.stock[best] = 0
    full.stock[:] = 10**6
    empty.stock[np.arange(len(empty.stock)) != best] = 10**6
    one, other = next(full.days(MONDAY)), next(empty.days(MONDAY))
    assert one.truth.lost.sum() == 0
    assert (np.flatnonzero(other.truth.lost) == [best]).all()
    organic = (one.listing == best) & (one.channel < 2)
    # Poisson: the two differ by luck only.
    mean = other.truth.lost[best]
    assert abs(one.quantity[organic].sum() - mean) < 5 * np.sqrt(mean * MEAN_QUANTITY) + 1
    assert not (other.listing == best).any()
    assert not (other.traffic().listing == best).any()


def test_first_come_first_served_when_the_last_units_go(week: Week) -> None:
    week.stock[:] = 0
    week.stock[3] = 4
    kept, excess = week._serve(np.array([3, 5, 3, 3, 3]), np.array([2, 1, 1, 2, 1]))
    assert kept.tolist() == [True, False, True, False, False]
    assert (excess[3], excess[5], week.stock[3]) == (3, 1, 1)


def test_counts_of_traffic_contain_one_another(week: Week) -> None:
    for trade in week.days(MONDAY + 2):
        seen = trade.traffic()
        assert (seen.impressions >= seen.clicks).all()
        assert (seen.clicks >= seen.carts).all()
        sold = np.bincount(trade.listing * 5 + trade.channel, minlength=5 * len(week.product))
        carts = np.bincount(seen.listing * 5 + seen.channel, seen.carts, 5 * len(week.product))
        assert (carts >= sold).all()


def test_visits_count_who_bought_and_who_left(market: Market) -> None:
    week = Week(market, MONDAY)
    week.stock[:] = 10**6
    came = bought = 0
    for trade in week.days(MONDAY + 6):
        counted = trade.visits()
        organic = trade.channel < 2
        group = week.group[trade.listing[organic]]
        sold = np.array([np.bincount(group[trade.channel[organic] == c], minlength=market.groups) for c in (0, 1)])
        assert (counted.buys == sold).all()
        came, bought = came + counted.visits.sum(), bought + counted.buys.sum()
    # Poisson: the share of a full category's visits that end in a buy, give or take luck and what was launched since.
    assert bought / came == pytest.approx(market.world.parameters.demand.buy_probability, rel=0.15)


def test_who_wanted_what_had_run_out_came_and_left(market: Market) -> None:
    week = Week(market, MONDAY)
    week.stock[:] = 0
    counted = next(week.days(MONDAY)).visits()
    assert counted.buys.sum() == 0 < counted.visits.sum()


def test_classes_choose_as_their_tastes_say(market: Market) -> None:
    products = market.world.through(MONDAY).products
    bargain, quality = market.utilities(products)
    assert CLASSES == ("bargain", "quality")
    assert np.corrcoef(quality - bargain, products.quality)[0, 1] > 0.3
    dear = np.log(products.price / market.world.categories.price[products.category])
    assert np.corrcoef(quality - bargain, dear)[0, 1] > 0.5


def test_a_ceiling_is_what_sells_at_the_plateau(market: Market) -> None:
    ceilings = market.ceilings(market.world.through(MONDAY).products)
    p = market.world.parameters
    assert ceilings[: p.scale.products].sum() == pytest.approx(
        p.scale.customers * p.demand.lines_a_week * MEAN_QUANTITY, rel=0.5
    )
    assert (ceilings > 0).all()


def test_trends_rise_and_die_and_staples_stay(tiny: Parameters) -> None:
    products = World(tiny).through(MONDAY).products
    trend = np.flatnonzero(products.kind == TREND)
    staple = np.flatnonzero(products.kind == 0)
    peak = products.launched + (7 * (2 * products.rise + products.plateau)).astype(int)
    late = np.array([products.life(int(day) + 7 * 52)[i] for i, day in enumerate(peak)])
    assert (late[trend] < np.log(0.2)).all()
    assert (late[staple] > np.log(0.9)).all()


def test_calendar_lifts_what_it_says(tiny: Parameters) -> None:
    ordinary, double_day = date(2024, 11, 13).toordinal(), date(2024, 11, 11).toordinal()
    lift = factor(double_day, tiny) / factor(ordinary, tiny)
    weekdays = tiny.seasons.weekdays
    assert lift == pytest.approx(tiny.seasons.double_days[11] * weekdays[0] / weekdays[2])


def test_coupon_arms_differ_in_orders_as_the_truth_says(tiny: Parameters) -> None:
    scale = tiny.scale.model_copy(update={"customers": 60_000, "products": 60})
    programme = tiny.coupons[0].model_copy(update={"share": 1.0, "every_weeks": 1, "offset": 0})
    parameters = tiny.model_copy(update={"scale": scale, "coupons": (programme,)})
    week = Week(Market(World(parameters)), MONDAY)
    till = Till(week)
    orders = np.zeros(len(week.arm))
    for trade in week.days(MONDAY + 6):
        lines = till.ring_up(trade).lines
        np.add.at(orders, lines.customer[lines.number == 1], 1)
    assert week.coupons is not None
    entered = week.coupons.customers
    arm, segment = week.coupons.arms, week.customers.segment[entered]
    assert np.bincount(arm) / len(arm) == pytest.approx(programme.propensities, abs=0.01)
    for given, effects in ((1, programme.small_effect), (2, programme.large_effect)):
        for of, effect in enumerate(effects):
            treated = orders[entered[(segment == of) & (arm == given)]]
            control = orders[entered[(segment == of) & (arm == 0)]]
            ratio = treated.mean() / control.mean()
            # Delta method for a ratio of two means.
            error = ratio * np.sqrt(
                treated.var() / len(treated) / treated.mean() ** 2 + control.var() / len(control) / control.mean() ** 2
            )
            assert abs(ratio - 1 - effect) < 3.3 * error, (given, of)


def test_a_coupon_is_used_once_and_only_by_who_holds_it(tiny: Parameters) -> None:
    programme = tiny.coupons[0].model_copy(update={"share": 1.0, "every_weeks": 1, "offset": 0, "redemption": 1.0})
    week = Week(Market(World(tiny.model_copy(update={"coupons": (programme,)}))), MONDAY)
    till = Till(week)
    users = []
    for trade in week.days(MONDAY + 6):
        orders = till.ring_up(trade)
        used = orders.lines.take(orders.redeemed)
        users += used.customer.tolist()
        assert (used.coupon == week.arm[used.customer]).all()
        assert (used.merchant_discount + used.platform_discount <= used.gross).all()
    assert len(users) == len(set(users)) > 50


def test_content_and_boosts_are_worth_less_than_what_they_sell(two_months: Deliveries) -> None:
    for table in ("content_effects", "boost_effects"):
        effects = truth.read(two_months.folder, table)
        assert (effects["incremental_gmv"] <= effects["gmv"] + 1e-9).all()
        assert 0 < effects["incremental_gmv"].sum() < effects["gmv"].sum()


def test_boosts_by_lot_come_as_often_as_their_propensity_says(tiny: Parameters) -> None:
    many = tiny.model_copy(update={"scale": tiny.scale.model_copy(update={"products": 4000})})
    drawn = boosts(World(many), date(2024, 1, 1).toordinal())
    by_lot = drawn.propensity < 1
    assert (drawn.impressions[by_lot] > 0).mean() == pytest.approx(tiny.boosts.propensity, abs=0.04)
    assert (drawn.impressions[~by_lot] > 0).all()


def test_content_carries_what_is_on_sale_and_nothing_twice(tiny: Parameters) -> None:
    world = World(tiny)
    for day in range(MONDAY, MONDAY + 7):
        made = contents(world, day)
        products = world.through(day).products
        assert (products.launched[made.product] <= day).all()
        assert (products.delisted[made.product] > day).all()
        assert len({*zip(made.content, made.product, strict=True)}) == len(made.content)
        live = made.kind == 1
        assert (made.ends[live] > made.begins[live]).all()


def test_a_planted_movement_moves_gmv_by_its_true_size(tiny: Parameters) -> None:
    scale = tiny.scale.model_copy(update={"customers": 150_000, "customers_a_month": 0})
    strong = tiny.movements.model_copy(update={"strength": 1.0})
    moving = tiny.model_copy(update={"seed": 2, "scale": scale, "movements": strong})
    quiet = moving.model_copy(update={"movements": moving.movements.model_copy(update={"a_month": 0.0})})
    planted = movements(World(moving), MONDAY, MONDAY + 27)
    days = [day for m in planted for day in range(m.first, m.last + 1)]
    assert planted and len(days) == len(set(days)), "movements that overlap do not add up; take another seed"
    gmv, true = [0.0, 0.0], 0.0
    for place, parameters in enumerate((quiet, moving)):
        market = Market(World(parameters))
        for monday in range(MONDAY, MONDAY + 28, 7):
            week = Week(market, monday)
            week.stock[:] = 10**6
            for trade in week.days(monday + 6):
                organic = trade.channel < 2
                product = week.product[trade.listing[organic]]
                gmv[place] += float((week.products.price[product] * trade.quantity[organic]).sum())
                true += sum(trade.truth.moved.values()) * place
    assert abs(true) > 0.02 * gmv[0]
    assert gmv[1] - gmv[0] == pytest.approx(true, abs=0.006 * gmv[0])


@pytest.mark.parametrize("what", ["content", "boosts"])
def test_what_content_and_boosts_add_is_the_difference_to_a_world_without_them(tiny: Parameters, what: str) -> None:
    scale = tiny.scale.model_copy(update={"customers": 60_000, "creators": 40, "products_a_month": 60.0})
    # One thing at a time, and not so much of it that it displaces all it may.
    only = {"content": {"boosts": tiny.boosts.model_copy(update={"impressions": 0.0})}, "boosts": {}}[what]
    boosts = tiny.boosts.model_copy(update={"impressions": 400.0, "propensity": 0.5})
    without = {
        "content": tiny.content.model_copy(update={"lives_a_week": 0.0, "videos_a_week": 0.0}),
        "boosts": tiny.boosts.model_copy(update={"propensity": 0.0, "targeted": 0.0}),
    }
    full = tiny.model_copy(update={"scale": scale, "boosts": boosts} | only)
    gmv, added, sold = [0.0, 0.0], 0.0, 0.0
    for place, parameters in enumerate((full.model_copy(update={what: without[what]}), full)):
        market = Market(World(parameters))
        for monday in range(MONDAY, MONDAY + 28, 7):
            week = Week(market, monday)
            week.stock[:] = 10**6
            for trade in week.days(monday + 6):
                gmv[place] += float((week.products.price[week.product[trade.listing]] * trade.quantity).sum())
                of = trade.truth
                sales = of.content_gmv if what == "content" else of.boost_gmv
                displaced = of.content_displaced if what == "content" else of.boost_displaced
                added += float((sales - displaced).sum()) * place
                sold += float(sales.sum()) * place
    noise = 0.006 * gmv[0]
    assert gmv[1] - gmv[0] == pytest.approx(added, abs=noise)
    # What they sell is more than what they add, by more than luck explains.
    assert sold - added > 2 * noise


def _sums(made: Deliveries, query: str) -> pd.DataFrame:
    reader: Callable[[str], str] = lambda table: f"read_parquet('{made.folder}/{table}/*.parquet')"  # noqa: E731
    return duckdb.sql(query.format(**{t: reader(t) for t in ("order_lines", "refunds", "payments", "contents")})).df()


def test_refunds_are_of_lines_that_were_sold_and_later_than_them(two_months: Deliveries) -> None:
    found = _sums(
        two_months,
        """
        select count(*) as n, count(l.order_id) as known, min(refunded_at - ordered_at) as soonest,
            max(amount - (gross_amount - merchant_discount - platform_discount)) as most,
            max(r.quantity - l.quantity) as units, count(*) filter (status = 'cancelled') as cancelled
        from {refunds} as r left join {order_lines} as l using (order_id, line_number)
        """,
    ).iloc[0]
    assert found["n"] == found["known"] > 100
    assert found["soonest"] > pd.Timedelta(0)
    assert (found["most"], found["units"], found["cancelled"]) == (0, 0, 0)


def test_payments_are_what_orders_cost(two_months: Deliveries) -> None:
    found = _sums(
        two_months,
        """
        with due as (
            select order_id, sum(gross_amount - merchant_discount - platform_discount + freight_amount) as due
            from {order_lines} where status = 'completed' group by 1
        )
        select count(*) as n, count(*) filter (amount is distinct from due) as wrong
        from due full join {payments} using (order_id)
        """,
    ).iloc[0]
    assert found["n"] > 1000
    assert found["wrong"] == 0


def test_orders_of_a_livestream_fall_into_it(two_months: Deliveries) -> None:
    found = _sums(
        two_months,
        """
        select count(*) as n, count(*) filter (ordered_at between started_at and ended_at) as within
        from {order_lines} join {contents} using (content_id) where channel = 'live'
        """,
    ).iloc[0]
    assert found["n"] == found["within"] > 50
