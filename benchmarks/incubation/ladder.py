"""Does the plan name the bestsellers to be? (`python -m benchmarks incubation.ladder`)

A simulated marketplace is landed and planned as of one morning by the commands a user types, and goes on for half a
year. A hit is what docs/growth.md calls a blockbuster: in the top tenth of its category by GMV in weeks 9 to 26.
Who graduated is held against as many launches named by rules that look at the same morning.
"""

import sys
import tempfile
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from benchmarks.assortment.season import coldframe
from marketplace.delivery import found_deliveries
from marketplace.parameters import Parameters

AS_OF = "2025-05-31"
SEEDS = (7, 11, 23)
SCALE = {"customers": 10_000, "customers_a_month": 800, "products": 700, "products_a_month": 80, "categories": 8}
LAUNCHES = {"staple_share": 0.3, "trend_share": 0.4}
BUDGET = "50000"
WAYS = {
    "units so far": lambda scores: scores["units_so_far"],
    "GMV so far": lambda scores: scores["gmv_so_far"],
    "the launch model's chance": lambda scores: scores["probability"],
}
HITS = """
with lines as (
    select product_id, cast(ordered_at as date) as day, cast(gross_amount as double) as gmv
    from read_parquet($files, union_by_name = true) where status <> 'cancelled'
),
weeks as (select product_id, date_trunc('week', launched_on)::date as week from live),
sold as (
    select given.week, products.category, lines.product_id, sum(gmv) as gmv
    from (select distinct week from weeks) as given
    inner join lines on lines.day >= given.week + 56 and lines.day < given.week + 182
    inner join products using (product_id)
    group by all
),
ranked as (
    select *, rank() over (partition by week, category order by gmv desc) as place,
    count(*) over (partition by week, category) as products from sold where gmv > 0
)
select product_id from weeks inner join ranked using (week, product_id)
where place <= ceil(products / 10) and products >= 20
"""


def world(seed: int, root: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Launch scores of the morning and the plan's lines (product_id, stage, impressions), each with `hit`."""
    market = Parameters.model_validate({"seed": seed, "scale": SCALE, "launches": LAUNCHES})
    folder = root / "bazaar"
    found_deliveries(folder, market)
    plan, table = root / "plan.parquet", root / "scores.parquet"
    home, shop = str(root / "home"), ["--source", "marketplace", "--as-of", AS_OF, "--path", str(folder)]
    coldframe(home, "land", *shop)
    coldframe(home, "decide", "incubation", *shop, "--exposure-budget", BUDGET, "--out", str(plan))
    coldframe(home, "score", *shop, "--out", str(table))
    scores = pd.read_parquet(table)
    lines = pd.read_parquet(plan, columns=["product_id", "action", "impressions"]).rename(columns={"action": "stage"})
    with duckdb.connect() as connection:
        connection.register("live", scores[["product_id", "launched_on"]])
        connection.execute(f"create view products as from read_parquet('{folder}/products.parquet')")
        files = [str(path) for path in (folder / "order_lines").glob("[0-9]*.parquet")]
        hits = {name for (name,) in connection.execute(HITS, {"files": files}).fetchall()}
    return scores.assign(hit=scores["product_id"].isin(hits)), lines.assign(hit=lines["product_id"].isin(hits))


def main() -> None:
    named: list[tuple[int, str, int, int, int]] = []
    stages, shown = [], []
    for seed in SEEDS:
        print(f"seed {seed} …", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory() as root:
            scores, lines = world(seed, Path(root))
        graduates = lines[lines["stage"] == "graduate"]
        count, hits = len(graduates), int(scores["hit"].sum())
        named.append((seed, "**the plan's graduates**", count, int(graduates["hit"].sum()), hits))
        for way, by in WAYS.items():
            first = scores.loc[by(scores).sort_values(ascending=False, kind="stable").index[:count], "hit"]
            named.append((seed, way, count, int(first.sum()), hits))
        stages.append(lines.groupby("stage")["hit"].agg(["size", "sum"]))
        playing = lines[lines["stage"].isin(["seed", "incubate"])]
        share = float((playing["impressions"] * playing["hit"]).sum() / playing["impressions"].sum())
        shown.append((share, float(playing["hit"].mean())))
    found = pd.DataFrame(named, columns=["seed", "way", "named", "right", "hits"])
    print(
        f"{len(SEEDS)} marketplaces as of {AS_OF}, the launches of 26 weeks, and what they sold by the end of the year."
        "\n\n| named by | named | hits among them | of all hits |\n|---|---:|---:|---:|"
    )
    for way in found["way"].unique():
        all_named, right, hits = found.loc[found["way"] == way, ["named", "right", "hits"]].sum()
        print(f"| {way} | {all_named} | {right} ({right / all_named:.0%}) | {right / hits:.0%} |")
    print("\n| stage | launches | hits |\n|---|---:|---:|")
    for stage, row in pd.concat(stages).groupby(level=0).sum().sort_values("sum", ascending=False).iterrows():
        print(f"| {stage} | {row['size']:,} | {row['sum']} |")
    got, even = np.mean(shown, axis=0)
    print(
        f"\nOf the launches in play {even:.0%} are hits, and {got:.0%} of the exposure goes to them: `find` shows what "
        "is in doubt, not what is best."
    )


if __name__ == "__main__":
    main()
