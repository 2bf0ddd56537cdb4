"""Channels and regions: what they carry, and how well they sell it."""

import pandas as pd
import pytest

from ml.incubation.surfaces import shared


def seen(*rows: tuple[str, str, str, int, int]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=["category", "channel", "region", "impressions", "orders"])


def test_a_surface_that_sells_as_others_do_gets_what_it_carries() -> None:
    found = shared(seen(("tea", "app", "north", 60_000, 1200), ("tea", "web", "north", 40_000, 800)), ["tea"])
    assert found.names == (("app", "north"), ("web", "north"))
    assert list(found.shares.loc["tea"]) == pytest.approx([0.6, 0.4])


def test_a_surface_that_sells_better_gets_more_than_it_carries() -> None:
    found = shared(seen(("tea", "app", "north", 50_000, 2000), ("tea", "web", "north", 50_000, 1000)), ["tea"])
    assert list(found.shares.loc["tea"]) == pytest.approx([2 / 3, 1 / 3], abs=0.01)


def test_a_few_lucky_orders_move_nothing() -> None:
    found = shared(seen(("tea", "app", "north", 100, 4), ("tea", "web", "north", 100, 0)), ["tea"])
    assert list(found.shares.loc["tea"]) == pytest.approx([0.5, 0.5], abs=0.05)


def test_a_category_keeps_what_it_does_otherwise_than_the_shop() -> None:
    found = shared(
        seen(
            *(("tea", channel, "north", 50_000, 1000) for channel in ("app", "web")),
            ("toys", "app", "north", 5_000, 300),
            ("toys", "web", "north", 5_000, 100),
        ),
        ["tea", "toys"],
    )
    assert found.shares.loc["toys", 0] > 0.7
    assert found.shares.loc["tea", 0] == pytest.approx(0.5, abs=0.02)


def test_a_category_without_history_is_shown_where_the_shop_shows_most() -> None:
    found = shared(seen(("tea", "app", "north", 75_000, 1500), ("tea", "web", "south", 25_000, 500)), ["new", "tea"])
    assert list(found.shares.loc["new"]) == pytest.approx([0.75, 0.25], abs=0.01)


def test_every_surface_that_shows_anything_gets_something_and_no_other_one() -> None:
    found = shared(
        seen(
            ("tea", "app", "north", 99_999, 2000),
            ("toys", "web", "north", 1, 0),
            ("tea", "mail", "north", 0, 0),
        ),
        ["tea", "toys"],
    )
    assert found.names == (("app", "north"), ("web", "north"))
    assert (found.shares > 0).all(axis=None)
    assert list(found.shares.sum(axis=1)) == pytest.approx([1, 1])
