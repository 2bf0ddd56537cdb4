"""The table `scores` of a growth release, and what explains it: what is known and believed of each live launch.

Incubation gives traffic by these rows and the assortment takes its newcomers from them; they read columns by name, so
a name that changes here breaks them.
"""

from typing import Any

import numpy as np
import pandas as pd

from ml.growth.data import WEEKS, Launches
from ml.growth.features import GROUPS, Kin
from ml.growth.model import EXPECTED, Calibration, Demand, Fitted, Spread
from ml.growth.rates import rates

COLUMNS: dict[str, str] = {
    "product_id": "Product.",
    "merchant_id": "Who sells it.",
    "merchant_tier": "Tier of the merchant; null where the source has none.",
    "category": "Category it is ranked in.",
    "title": "Title.",
    "launched_on": "First day on sale: the declared day or the first sale, whichever is earlier.",
    "listed_on": "The same of this very id, where it is a duplicate; its age counts from the first one's.",
    "age_days": "Days on sale at the end of the as-of.",
    "age_weeks": "Complete weeks on sale.",
    "probability": "Chance of being a blockbuster.",
    "probability_low": "Lower 80 % bound of it.",
    "probability_high": "Upper 80 % bound of it.",
    "demand_mean": "Units in weeks 9 to 26 of its age: the mean.",
    "demand_q10": "Units it sells at least with 90 % chance.",
    "demand_q50": "Units: the median.",
    "demand_q90": "Units it exceeds with 10 % chance.",
    "gmv_per_unit": "What a unit brings: of its own sales, else its price, else that of its category.",
    "rate_mean": "Orders per impression expected before its own are counted; null without exposure.",
    "rate_strength": "How many impressions that expectation is worth; null without exposure.",
    "impressions_so_far": "Impressions since its launch; null where the source has no `traffic`.",
    "clicks_so_far": "Clicks, likewise.",
    "carts_so_far": "Carts, likewise.",
    "orders_so_far": "Orders since its launch.",
    "units_so_far": "Units since its launch.",
    "gmv_so_far": "GMV since its launch.",
    "buyers_so_far": "Distinct customers; null where the source never says who buys.",
    "repeat_buyers_so_far": "Customers with a second order, likewise.",
    "largest_buyer_share": "Share of its units that its biggest buyer took, likewise; null before the first.",
    "largest_address_share": "Share of its units that were delivered to one address; null where nobody says where to.",
    "refunded_units_so_far": "Units that came back; null where the source has no `refunds`.",
    "bestseller_gmv": "GMV of weeks 9 to 26 from which on a product is in its category's top tenth; null where it has"
    " too few products.",
    "evidence": "'exposure' or 'units': what its early signals are measured by.",
    "rule_rank": "Place by units so far among the live launches of its category.",
    "reasons": "Why, in plain words.",
    "relisted_of": "Product this one is a duplicate of under a new id, else null.",
}

LATE_DAYS = 14
"""Days between its launch and the day it was first shown or sold from which on a launch's line tells them apart."""
LIKE_ITEMS = 5
"""Like items told of each launch."""
_GROUP_OF = {name: group for group, names in GROUPS.items() for name in names} | {
    EXPECTED: "what it sold so far",
    "words": "its words",
}
_COUNTED = ("impressions", "clicks", "carts", "orders", "units", "buyers", "repeat_buyers", "refunded_units")
_WHOLE = ("age_days", "age_weeks", "rule_rank", *(f"{name}_so_far" for name in _COUNTED))
_DIGITS = {
    **dict.fromkeys(("probability", "probability_low", "probability_high", "rate_mean"), 6),
    **dict.fromkeys(("largest_buyer_share", "largest_address_share"), 6),
    **dict.fromkeys(("demand_mean", "demand_q10", "demand_q50", "demand_q90", "gmv_per_unit"), 3),
    "rate_strength": 1,
}


def score_table(
    launches: Launches, kin: Kin, fitted: Fitted, demand: Demand, calibration: Calibration, spread: Spread
) -> pd.DataFrame:
    """COLUMNS of every live launch, the most promising first."""
    rows = launches.current
    frame = kin.frame(rows)
    raw = fitted.score(frame)
    chance = calibration.chance(raw)
    of = launches.catalogue.loc[rows["product_id"]].reset_index(drop=True)
    found = rows.join(of.drop(columns=["launch_week"]))
    found["probability"] = chance
    found["probability_low"], found["probability_high"] = calibration.interval(chance)
    expected = spread.apply(demand.log(frame), frame.age_days)
    # What it sold in those weeks by now, it has sold.
    sold = launches.outcomes[launches.outcomes["until"] == launches.end].set_index("product_id")["units"]
    floor = sold.reindex(rows["product_id"]).fillna(0).to_numpy()
    found[list(expected.columns)] = np.maximum(expected.to_numpy(), floor[:, None])
    found["age_weeks"] = found["age_days"] // 7
    usual = np.exp(of["category"].map(kin.category_price).fillna(kin.shop_price))
    units = found["units_so_far"]
    found["gmv_per_unit"] = (found["gmv_so_far"] / units.where(units > 0)).fillna(of["price"]).fillna(usual)
    priors = rates(kin, launches.rows, pd.Index(rows["product_id"].unique()))
    found = found.join(priors, on="product_id")
    found["largest_buyer_share"] = found["largest_buyer_units"] / units.where(units > 0)
    at_one = found["largest_address_units"]
    found["largest_address_share"] = (at_one / units.where(units > 0)).where(at_one > 0)
    if not launches.has_buyers:
        found[["buyers_so_far", "repeat_buyers_so_far", "largest_buyer_share"]] = np.nan
    found["bestseller_gmv"] = found["line"]
    found["evidence"] = "exposure" if launches.has_traffic else "units"
    found = found.sort_values("product_id", ignore_index=True)
    by_category = found.groupby("category")
    found["rule_rank"] = by_category["units_so_far"].rank(method="first", ascending=False)
    found["of_category"] = by_category["product_id"].transform("size")
    found["teachers"] = found["category"].map(kin.known["category"].value_counts()).fillna(0).astype(int)
    found["reasons"] = [_reason(row, launches.has_traffic, len(kin.known)) for row in found.itertuples()]
    found = found.astype(dict.fromkeys(_WHOLE, "Int64"))
    found["raw"] = pd.Series(raw, index=rows["product_id"]).reindex(found["product_id"]).to_numpy()
    # The curve has steps, and within one the raw scores still rank.
    ordered = found.sort_values(["probability", "raw", "product_id"], ascending=[False, False, True], ignore_index=True)
    return ordered[list(COLUMNS)].round(_DIGITS)


def _reason(row: Any, has_traffic: bool, teachers: int) -> str:
    days = int(row.age_days)
    told = []
    if row.units_so_far > 0:
        to = f" to {_count(row.buyers_so_far, 'buyer')}" if row.buyers_so_far > 0 else ""
        told.append(
            f"sold {_count(row.units_so_far, 'unit')}{to} in {_count(days, 'day')}, "
            f"{int(row.rule_rank):,} of {_count(row.of_category, 'live launch', 'live launches')} of its category"
        )
        if row.line > 0:
            pace = row.gmv_so_far / max(days, 1) * 7 * WEEKS / row.line
            told.append(f"on pace for {pace:,.1f} times what the category's top tenth sells in {WEEKS} weeks")
    elif days:
        told.append(f"nothing sold in {_count(days, 'day')}: judged by what is like it")
    else:
        told.append(f"launches on {row.launched_on:%F}: judged by what is like it")
    if has_traffic and days:
        shown = f"shown {_count(row.impressions_so_far, 'time')}"
        per = row.orders_so_far / row.impressions_so_far * 1000 if row.impressions_so_far else 0
        told.append(f"{shown}, {per:,.1f} orders per 1,000" if row.impressions_so_far else "never shown")
    elif not has_traffic:
        told.append("the source has no traffic: judged by units, whoever pushed it")
    if row.contents_so_far > 0:
        told.append(f"carried by {_count(row.contents_so_far, 'video or livestream', 'videos or livestreams')}")
    if not teachers:
        told.append("no earlier launch has an outcome yet: a tenth is assumed")
    elif not row.teachers:
        told.append("its category has no earlier launch: the shop's are taken")
    if pd.notna(row.declared_on) and row.declared_on > row.listed_on:
        told.append(f"declared as launched on {row.declared_on:%F}, but sold since {row.listed_on:%F}, which counts")
    if pd.notna(row.first_seen_on) and (row.first_seen_on - row.listed_on).days >= LATE_DAYS:
        ago = days - (row.first_seen_on - row.launched_on).days
        told.append(
            f"launched on {row.listed_on:%F}, but first {'shown or ' * has_traffic}sold {_count(ago, 'day')} ago"
        )
    if pd.notna(row.relisted_of):
        told.append(
            f"a relisting of {row.relisted_of} of the same merchant, title and brand, on sale since "
            f"{row.launched_on:%F}: no clean slate"
        )
    return "; ".join(told)


def _count(number: float, one: str, several: str | None = None) -> str:
    return f"{int(number):,} {one if number == 1 else several or one + 's'}"


def contributions(launches: Launches, kin: Kin, fitted: Fitted) -> pd.DataFrame:
    """What speaks for and against each live launch: product_id, because (a group of features), adds (log-odds beside an
    average launch of its age), the strongest first."""
    rows = launches.current
    single = fitted.contributions(kin.frame(rows))
    if single.empty or not len(rows):
        return pd.DataFrame({"product_id": pd.Series(dtype=str), "because": pd.Series(dtype=str), "adds": []})
    grouped = single.T.groupby(single.columns.map(_GROUP_OF)).sum().T.assign(product_id=rows["product_id"].to_numpy())
    long = grouped.melt("product_id", var_name="because", value_name="adds").round({"adds": 4})
    long = long[long["adds"] != 0].assign(size=lambda d: -d["adds"].abs())
    return long.sort_values(["product_id", "size", "because"], ignore_index=True).drop(columns="size")


def like_items(launches: Launches, kin: Kin) -> pd.DataFrame:
    """Nearest like items of each live launch (LIKE_ITEMS at most) and their course: product_id, like_id, title,
    weight, launched_on, units_28 (units of its first 28 days), units (of weeks 9 to 26, as far as known), hit."""
    near = kin.near[kin.near["product_id"].isin(launches.current["product_id"])]
    near = near.sort_values(["product_id", "weight", "like_id"], ascending=[True, False, True])
    near = near.groupby("product_id").head(LIKE_ITEMS)
    early = launches.rows[(launches.rows["age_days"] == 28) & ~launches.rows["current"]]
    course = kin.known.set_index("product_id")[["title", "launched_on", "units", "hit"]]
    course["units_28"] = early.set_index("product_id")["units_so_far"].reindex(course.index)
    told = near.join(course, on="like_id").round({"weight": 4})
    columns = ["product_id", "like_id", "title", "weight", "launched_on", "units_28", "units", "hit"]
    return told[columns].reset_index(drop=True)
