"""The truth about a simulated marketplace, for evaluations. No room of the pipeline may import this.

Each function takes the folder of deliveries and returns a pandas frame; days are dates, money is in the marketplace's
currency. Raises NotAvailableError where no truth lies beside the deliveries.
"""

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
