"""How `coldframe score` prints one launch: chance and demand, what speaks for and against it, and what is like it."""

from typing import Any

from rich.table import Table
from rich.text import Text

from coldframe.review import open_console


def show_score(found: dict[str, Any]) -> None:
    """Prints what the service `explain_score` told of a product."""
    console, row = open_console(), found["score"]
    console.print(Text(f"{row['product_id']}  {row['title']}", style="bold"))
    console.print(
        f"{row['category']}, merchant {row['merchant_id']}, {row['age_days']} days on sale; release {found['release']}",
        highlight=False,
    )
    demand = "nobody's weeks 9 to 26 are known yet, so no units are expected"
    if row["demand_q50"] is not None:
        demand = (
            f"units in weeks 9 to 26: {row['demand_q50']:,.0f} ({row['demand_q10']:,.0f} to "
            f"{row['demand_q90']:,.0f}), mean {row['demand_mean']:,.0f}"
        )
    console.print(
        f"Chance of a blockbuster {row['probability']:.1%} ({row['probability_low']:.1%} to "
        f"{row['probability_high']:.1%}); {demand}.",
        soft_wrap=True,
    )
    console.print(Text(row["reasons"]), soft_wrap=True)
    if found["because"]:
        table = Table("because of", title="For and against, beside an average launch of its age")
        table.add_column("log-odds", justify="right")
        for line in found["because"]:
            table.add_row(line["because"], f"{line['adds']:+.2f}")
        console.print(table)
    else:
        console.print("Every launch has the same chance: nothing could be learned to tell them apart yet.")
    if found["like_items"]:
        table = Table("like item", "", title="Launches it is most like, and what became of them")
        for name in ("units in 28 days", "in weeks 9 to 26", "blockbuster"):
            table.add_column(name, justify="right")
        for line in found["like_items"]:
            units = ("" if line[name] is None else f"{line[name]:,.0f}" for name in ("units_28", "units"))
            table.add_row(line["like_id"], line["title"], *units, "yes" if line["hit"] else "no")
        console.print(table)
    else:
        console.print("No launch of its category that is like it has an outcome yet.")
