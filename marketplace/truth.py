"""The truth about a simulated marketplace, for evaluations. No room of the pipeline may import this.

Each function takes the folder of deliveries and returns a pandas frame; days are dates, money is in the marketplace's
currency. Raises NotAvailableError where no truth lies beside the deliveries.
"""

from datetime import date
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from coldframe.errors import NotAvailableError
from marketplace.hidden import file

STATES = ("products", "utilities", "season_curves", "merchants", "customers", "coupon_effects", "movements")
EVENTS = ("lost_demand", "content_effects", "boosts", "boost_effects", "movement_effects", "dirty")


def read(deliveries: Path, table: str) -> pd.DataFrame:
    """A table of the truth, all days of it; docs/marketplace.md says what its columns mean."""
    if table not in (*STATES, *EVENTS):
        raise NotAvailableError(f"There is no truth called {table!r}. Known: {', '.join((*STATES, *EVENTS))}.")
    one = file(deliveries, table)
    files = [str(one)] if table in STATES else sorted(map(str, one.with_suffix("").glob("[0-9]*.parquet")))
    if not files or not Path(files[0]).is_file():
        raise NotAvailableError(f"No truth lies beside {deliveries}. Generate its days: coldframe simulate.")
    frame: pd.DataFrame = duckdb.execute("from read_parquet($1, hive_partitioning = false)", [files]).df()
    return frame


def season_curve(deliveries: Path, product_id: str) -> np.ndarray:
    """Factor of demand for each day of a leap year [366]: the category's curve times the product's own season."""
    product = read(deliveries, "products").set_index("product_id").loc[product_id]
    curves = read(deliveries, "season_curves")
    curve = curves[curves["category"] == product["category"]].sort_values("day_of_year")["factor"].to_numpy()
    day = np.arange(len(curve))
    own = product["season_amplitude"] * np.cos(2 * np.pi * (day - product["season_peak_day"]) / 365.25)
    found: np.ndarray = curve * np.exp(own)
    return found


def caught(deliveries: Path, quarantine: Path, as_of: date) -> pd.DataFrame:
    """How well landing told dirty order lines, by kind: columns dirty (delivered by `as_of`), quarantined, recall.

    `quarantine` is the file of refused order lines of that as-of. A duplicate counts as caught when one of the two is
    refused. `attrs` hold `quarantined`, all refused rows, and `precision`, the share of them that is dirty.
    """
    counted = duckdb.execute(
        """
        with refused as (
            select order_id, cast(line_number as bigint) as line_number, count(*) as n
            from read_parquet($1) group by all
        ),
        dirty as (
            select distinct order_id, line_number, kind from read_parquet($2, filename = true)
            where cast(parse_filename(filename, true) as date) <= $3
        ),
        kinds as (
            select kind, count(*) as dirty, count(refused.n) as quarantined
            from dirty left join refused using (order_id, line_number) group by kind
        )
        select *, quarantined / dirty as recall, (select sum(n) from refused) as refused,
            (select sum(n) from refused semi join dirty using (order_id, line_number)) as right_ones
        from kinds order by kind
        """,
        [str(quarantine), sorted(map(str, file(deliveries, "dirty").with_suffix("").glob("[0-9]*.parquet"))), as_of],
    ).df()
    found = counted.set_index("kind")[["dirty", "quarantined", "recall"]]
    refused = int(counted["refused"].iloc[0])
    found.attrs = {"quarantined": refused, "precision": float(counted["right_ones"].iloc[0]) / refused}
    return found
