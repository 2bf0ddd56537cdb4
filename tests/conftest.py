"""A tiny shop in the contract's own names, and an installation of its own for every test that needs one."""

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, settings

from coldframe.settings import get_settings

# The same examples on every machine, however busy it is: a red run is somebody's change.
settings.register_profile("same", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("same")

FIRST_DAY = date(2024, 1, 1)
DAYS = 280
LONGEST_FIRST = ("test_every_source.py", "test_whole_way.py")
"""Files that take minutes: begun last, one worker would go on alone when the others have nothing left."""
LAST_DAY = FIRST_DAY + timedelta(days=DAYS - 1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in LONGEST_FIRST)


def write_tiny_shop(folder: Path, days: int = DAYS) -> Path:
    """48 products of 4 merchants in 3 categories and 2 regions; a third of the products is launched on the way."""
    rng = np.random.default_rng(20240101)
    folder.mkdir(parents=True, exist_ok=True)
    number = np.arange(48)
    launched = np.where(number % 3 == 0, 70 + 3 * number, 0)
    pull = rng.lognormal(0, 0.8, 48)
    price = np.round(rng.uniform(2, 20, 48), 2)
    pd.DataFrame(
        {
            "product_id": [f"p{i:02d}" for i in number],
            "merchant_id": [f"m{i % 4}" for i in number],
            "title": [f"Product {i}" for i in number],
            "category": [("tea", "mugs", "books")[i % 3] if i % 7 else "tea" for i in number],
            "subcategory": [f"sub{i % 5}" for i in number],
            "brand": [f"brand{i % 6}" for i in number],
            "list_price": price,
            "unit_cost": np.round(price * 0.6, 2),
        }
    ).to_csv(folder / "products.csv", index=False)
    pd.DataFrame({"merchant_id": [f"m{i}" for i in range(4)], "name": [f"Merchant {i}" for i in range(4)]}).to_csv(
        folder / "merchants.csv", index=False
    )
    pd.DataFrame(
        {"date": [FIRST_DAY + timedelta(days=d) for d in (45, 330)], "region": "*", "event": ["spring", "winter"]}
    ).assign(kind="holiday").to_csv(folder / "calendar.csv", index=False)
    lines = []
    for day in range(days):
        weight = pull * (launched <= day)
        orders = rng.poisson(28 if day % 7 < 5 else 40)
        for order in range(orders):
            region = "north" if order % 5 else "south"
            chosen = rng.choice(48, size=rng.integers(1, 4), replace=False, p=weight / weight.sum())
            second = int(rng.integers(0, 86_400))
            for position, product in enumerate(chosen, start=1):
                quantity = int(rng.integers(1, 4))
                gross = round(float(price[product]) * quantity, 2)
                lines.append(
                    {
                        "order_id": f"o{day:03d}-{order:03d}",
                        "line_number": position,
                        "ordered_at": pd.Timestamp(FIRST_DAY) + pd.Timedelta(days=day, seconds=second),
                        "customer_id": f"c{rng.integers(0, 300):03d}",
                        "product_id": f"p{product:02d}",
                        "region": region,
                        "channel": "shop",
                        "quantity": quantity,
                        "gross_amount": gross,
                        "merchant_discount": 0,
                        "platform_discount": round(gross * 0.1, 2) if order % 9 == 0 else 0,
                        "coupon_id": None,
                        "content_id": None,
                        "status": "cancelled" if rng.random() < 0.03 else "completed",
                    }
                )
    pd.DataFrame(lines).to_csv(folder / "order_lines.csv", index=False)
    return folder


@pytest.fixture(scope="session")
def tiny_shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the tiny shop: 280 days from 2024-01-01. Copy it before changing anything in it."""
    return write_tiny_shop(tmp_path_factory.mktemp("shop") / "tiny")


@pytest.fixture
def installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """Gives this test a COLDFRAME_HOME of its own; call it with settings (``keep_snapshots=2``) to change them."""
    home = tmp_path / "home"

    def configure(**settings: object) -> Path:
        for name, value in settings.items():
            monkeypatch.setenv(f"COLDFRAME_{name.upper()}", str(value))
        get_settings.cache_clear()
        return home

    monkeypatch.setenv("COLDFRAME_HOME", str(home))
    monkeypatch.chdir(tmp_path)
    get_settings.cache_clear()
    yield configure
    get_settings.cache_clear()
