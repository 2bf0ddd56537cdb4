"""Which region a Complete Journey store belongs to, recovered from who shops where.

The data set names no places, but a household shops near its home: stores that share households lie near one another.
Only the first eight weeks are used, so that no region knows of a later day. The result is kept as a static file
beside this module, because a region that moved between two runs would break every weekly series cut by region;
``python -m landing.sources.complete_journey_regions`` makes it again.
"""

from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
from scipy.cluster.vq import kmeans2
from scipy.linalg import eigh

from landing.sources.complete_journey import REGIONS_FILE, data_folder

LEARNT_BEFORE = "2017-02-26"
LEAST_VISITS = 30
REGIONS = 6
ELSEWHERE = "elsewhere"
_RESTARTS = 50


def visits(folder: Path) -> pd.DataFrame:
    """Baskets by store (rows) and household (columns) in the first eight weeks."""
    counted = duckdb.execute(
        """
        select store_id, household_id, count(distinct basket_id) as visits from read_parquet(?)
        where transaction_timestamp < cast(? as timestamp) group by all order by all
        """,
        [str(folder / "transactions.parquet"), LEARNT_BEFORE],
    ).df()
    return counted.pivot_table(index="store_id", columns="household_id", values="visits", fill_value=0)


def cluster(matrix: pd.DataFrame) -> pd.Series:
    """Cluster number of each store: spectral clustering (Ng, Jordan and Weiss, 2001) of the square-rooted cosines."""
    x = np.sqrt(matrix.to_numpy(dtype=float))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    affinity = x @ x.T
    np.fill_diagonal(affinity, 0)
    scale = 1 / np.sqrt(affinity.sum(axis=1))
    _, vectors = eigh(affinity * scale[:, None] * scale[None, :])
    embedded = vectors[:, -REGIONS:]
    embedded /= np.linalg.norm(embedded, axis=1, keepdims=True)
    # k-means depends on where it starts; the tightest of many starts does not.
    tries = [kmeans2(embedded, REGIONS, minit="++", rng=np.random.default_rng(seed)) for seed in range(_RESTARTS)]
    spreads = [float(((embedded - centres[labels]) ** 2).sum()) for centres, labels in tries]
    return pd.Series(tries[int(np.argmin(spreads))][1], index=matrix.index)


def regions(folder: Path) -> pd.DataFrame:
    """store_id, region of every store in the transactions, by store_id.

    Stores with few visits join the cluster whose households visit them most; stores nobody visited in the first
    eight weeks are 'elsewhere'. 'region-1' has the most visits.
    """
    matrix = visits(folder)
    busy = matrix[matrix.sum(axis=1) >= LEAST_VISITS]
    clusters = cluster(busy)
    homes = busy.groupby(clusters).sum().idxmax()
    seen = matrix[matrix.columns.intersection(homes.index)]
    leaning = seen.T.groupby(homes.reindex(seen.columns)).sum().T
    known = leaning.max(axis=1) > 0
    assigned = leaning[known].idxmax(axis=1)
    assigned.update(clusters)
    size = matrix.sum(axis=1).groupby(assigned).sum().sort_values(ascending=False)
    names = {number: f"region-{place}" for place, number in enumerate(size.index, start=1)}
    stores = duckdb.execute(
        "select distinct store_id from read_parquet(?) order by 1", [str(folder / "transactions.parquet")]
    ).df()["store_id"]
    named = stores.map(assigned).map(names).fillna(ELSEWHERE)
    return pd.DataFrame({"store_id": stores, "region": named})


if __name__ == "__main__":
    regions(data_folder()).to_csv(REGIONS_FILE, index=False, lineterminator="\n")
