"""What a launch looks like to a model: its state, its past kin and its pace, as numbers; nothing here knows a label's
weeks of the launch itself.

Everything that is read off earlier launches (how their category, merchant and like items did) counts only launches
whose outcome had begun to be known by the moment of the row. Read off all of them, each launch would find traces of
its own fate in the mean of its kind, and a model would learn to look for them.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ml.growth import like
from ml.growth.data import FIRST_DAY, LAST_DAY, Launches

KIN = ("category", "subcategory", "merchant_id")
KIN_WEIGHT = 5.0
"""Launches' worth of its shop's mean that the mean of a category or merchant is shrunk to."""
PACES = (2, 7, 21)
"""Days of like items' pace that a launch's own days are added to (the strength of a gamma prior on units a day)."""
EXPOSURE_WEIGHT = 300.0
"""Impressions of the shop's mean rate that a launch's own rates are shrunk to."""
SPAN = LAST_DAY - FIRST_DAY
GROUPS: dict[str, tuple[str, ...]] = {
    "what it sold so far": (
        *("units", "gmv", "orders", "units_a_day", "pace_2", "pace_7", "pace_21", "pace_recent"),
        *("over_line_2", "over_line_7", "over_line_21", "over_line_recent"),
    ),
    "how steadily it sells": ("days_sold_share", "momentum", "quiet"),
    "who buys it": ("buyers", "repeat_share", "largest_share", "units_per_order", "refund_share", "discount_share"),
    "how it does where it is shown": ("impressions", "click_rate", "cart_rate", "order_rate", "content_share"),
    "who carries it": ("contents", "creators", "content_sales", "creator_hits", "creator_level"),
    "its price": ("price", "price_index"),
    "its page": ("images", "description"),
    "what its category asks for": ("line",),
    "how launches of its category did": ("category_hits", "category_level", "subcategory_hits", "subcategory_level"),
    "how its merchant's launches did": ("merchant_id_hits", "merchant_id_level", "merchant_launches"),
    "how like items did": ("like_hits", "like_level"),
}
FEATURES = tuple(name for names in GROUPS.values() for name in names)


@dataclass(frozen=True)
class Frame:
    """Numbers of rows: `values` has FEATURES (NaN where unknown), `topics` [row, topic], `age_days` [row]."""

    values: pd.DataFrame
    topics: np.ndarray
    age_days: np.ndarray

    def __len__(self) -> int:
        return len(self.age_days)


@dataclass(frozen=True)
class Kin:
    """What earlier launches tell: outcomes known at a cutoff, the space of words, and each launch's like items."""

    launches: Launches
    known: pd.DataFrame
    near: pd.DataFrame
    like_means: pd.DataFrame
    topics: pd.DataFrame
    category_price: pd.Series
    shop_price: float
    usual_rates: dict[str, float]

    def frame(self, rows: pd.DataFrame) -> Frame:
        """Features of `rows` (as `Launches.rows`), row for row."""
        of = self.launches.catalogue.loc[rows["product_id"]].reset_index(drop=True)
        rows = rows.reset_index(drop=True)
        values = pd.DataFrame(index=rows.index)
        age = rows["age_days"].to_numpy(dtype=float)
        days, recent_days = np.maximum(age, 1), np.maximum(age - age // 2, 1)
        units, gmv = rows["units_so_far"], rows["gmv_so_far"]
        sold = units > 0
        asked = (gmv / units.where(sold)).fillna(of["price"])
        price = pd.Series(np.log(asked.where(asked > 0)))
        usual = of["category"].map(self.category_price).fillna(self.shop_price)
        values["price"] = price.fillna(usual)
        values["price_index"] = price - usual
        values["images"], values["description"] = np.log1p(of["image_count"]), np.log1p(of["description_length"])
        values["units"], values["gmv"], values["orders"] = (
            np.log1p(x) for x in (units, gmv, rows["orders_so_far"].clip(lower=0))
        )
        values["units_a_day"] = np.log1p(units / days)
        values["days_sold_share"] = rows["days_sold"] / days
        values["momentum"] = (units - rows["units_so_far_half"]) / units.where(sold, 1)
        values["quiet"] = ((age - 1 - rows["last_sold_age"]) / days).where(sold, 2.0)
        values["units_per_order"] = np.log1p(units / rows["orders_so_far"].where(rows["orders_so_far"] > 0, 1))
        values["discount_share"] = (rows["discount_so_far"] / gmv.where(gmv > 0)).clip(0, 1)
        self._buyers(values, rows, units.where(sold, 1))
        self._exposure(values, rows)
        self._carried(values, rows, units.where(sold, 1))
        values["line"] = np.log1p(rows["line"])
        for name in KIN:
            self._kin(values, rows, of[name])
        kin = self.like_means.reindex(rows["product_id"])
        values["like_hits"] = np.log(kin["hit"].to_numpy() + 1e-3)
        values["like_level"] = kin["log_demand"].to_numpy()
        expected = np.exp(values["like_level"]) / SPAN
        recent = units - rows["units_so_far_half"]
        paces = {str(days): (units + days * expected) / (age + days) for days in PACES}
        paces["recent"] = (recent + PACES[0] * expected) / (recent_days + PACES[0])
        for name, pace in paces.items():
            values[f"pace_{name}"] = np.log(pace.clip(lower=0) * SPAN + 0.1)
            values[f"over_line_{name}"] = values[f"pace_{name}"] + values["price"] - values["line"]
        topics = self.topics.reindex(rows["product_id"]).to_numpy()
        return Frame(values[list(FEATURES)].astype(float), topics, age)

    def _buyers(self, values: pd.DataFrame, rows: pd.DataFrame, units: "pd.Series[float]") -> None:
        known = 1.0 if self.launches.has_buyers else np.nan
        buyers = rows["buyers_so_far"]
        values["buyers"] = np.log1p(buyers) * known
        values["repeat_share"] = rows["repeat_buyers_so_far"] / buyers.where(buyers > 0, 1) * known
        values["largest_share"] = rows["largest_buyer_units"] / units * known
        values["refund_share"] = rows["refunded_units_so_far"] / units

    def _exposure(self, values: pd.DataFrame, rows: pd.DataFrame) -> None:
        shown = rows["impressions_so_far"]
        values["impressions"] = np.log1p(shown)
        for column, usual in self.usual_rates.items():
            rate = (rows[f"{column}s_so_far"] + EXPOSURE_WEIGHT * usual) / (shown + EXPOSURE_WEIGHT)
            values[f"{column}_rate"] = np.log(rate)
        values["content_share"] = (rows["content_impressions_so_far"] / shown.where(shown > 0)).fillna(0) + 0 * shown

    def _carried(self, values: pd.DataFrame, rows: pd.DataFrame, units: "pd.Series[float]") -> None:
        """How much carries it, and how the launches did that the same creators carried before they were judged."""
        contents, creators = rows["contents_so_far"], rows["creators_so_far"]
        values["contents"], values["creators"] = np.log1p(contents), np.log1p(creators)
        values["content_sales"] = rows["content_units_so_far"] / units + 0 * contents
        carried = self.launches.carried.rename(columns={"creator_id": "key"})
        past = self._outcomes().merge(carried, on="product_id", suffixes=("", "_carried"))
        past = past[past["known_on_carried"] <= past["judged_from"]]
        past["known_on"] = past[["known_on", "known_on_carried"]].max(axis=1)
        asked = rows[["product_id", "moment"]].reset_index(names="row").merge(carried, on="product_id")
        hits, level, _ = self._mean(_known(past, asked[asked["known_on"] <= asked["moment"]], len(rows)))
        values["creator_hits"], values["creator_level"] = hits + 0 * creators, level + 0 * creators

    def _kin(self, values: pd.DataFrame, rows: pd.DataFrame, keys: "pd.Series[str]") -> None:
        """Share of hits and mean level among the other launches of the same `keys` known at the moments of `rows`."""
        name = str(keys.name)
        past = self._outcomes().assign(key=self.known[name])
        asked = rows[["product_id", "moment"]].assign(key=keys).reset_index(names="row")
        values[f"{name}_hits"], values[f"{name}_level"], count = self._mean(_known(past, asked, len(rows)))
        if name == "merchant_id":
            values["merchant_launches"] = np.log1p(count)

    def _outcomes(self) -> pd.DataFrame:
        """What earlier launches tell, by product_id and known_on: hits, level, count; carried until `judged_from`."""
        return self.known[["product_id", "known_on"]].assign(
            judged_from=self.known["launch_week"] + pd.Timedelta(days=FIRST_DAY),
            hits=self.known["hit"].astype(float),
            level=self.known["log_demand"],
            count=1.0,
        )

    def _mean(self, sums: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Logarithm of the share of hits, mean level and number of launches, shrunk to the shop's [row]."""
        hits, level, count = sums.T
        shop = self.known["hit"].mean(), self.known["log_demand"].mean()
        share = (hits + KIN_WEIGHT * shop[0]) / (count + KIN_WEIGHT)
        return np.log(share + 1e-3), (level + KIN_WEIGHT * shop[1]) / (count + KIN_WEIGHT), count


_SUMS = ["hits", "level", "count"]


def _known(past: pd.DataFrame, asked: pd.DataFrame, rows: int) -> np.ndarray:
    """Sums [row, (hits, level, count)] over the launches of `past` (product_id, key, known_on and the three) that have
    a key of the row's in `asked` (row, product_id, key, moment) and were known by its moment, but for the row's own."""
    past = past.astype({"known_on": "datetime64[us]"}).sort_values(["known_on", "product_id"])
    asked = asked.astype({"moment": "datetime64[us]"}).sort_values("moment", kind="stable", ignore_index=True)
    totals = past[["key", "known_on"]].join(past.groupby("key")[_SUMS].cumsum())
    found = pd.merge_asof(asked, totals, left_on="moment", right_on="known_on", by="key")
    own = asked[["product_id", "key"]].merge(past, how="left", on=["product_id", "key"])
    counted = (own["known_on"] <= asked["moment"]).to_numpy()[:, None]
    told = found[_SUMS].fillna(0).to_numpy() - np.where(counted, own[_SUMS].to_numpy(), 0)
    sums = np.zeros((rows, len(_SUMS)))
    np.add.at(sums, asked["row"].to_numpy(), told)
    return sums


def kin(launches: Launches, until: pd.Timestamp) -> Kin:
    """What is known at `until`: words of the launches listed by then, and like items among those with an outcome."""
    catalogue, known = launches.catalogue, launches.known(until)
    listed = catalogue[catalogue["listed_on"] < until]
    words = like.read(listed) if len(listed) else like.Words(None, None)
    places = words.places(catalogue)
    early = launches.rows[(launches.rows["moment"] <= until) & (launches.rows["units_so_far"] > 0)]
    paid = (early["gmv_so_far"] / early["units_so_far"]).groupby(early["product_id"]).first()
    asked = catalogue["price"].where(catalogue["price"] > 0)
    first = asked.fillna(paid.where(paid > 0).reindex(catalogue.index))
    seen = pd.Series(np.log(first))[catalogue["listed_on"] < until]
    usual = seen.groupby(catalogue["category"]).median()
    shop = float(seen.median()) if seen.notna().any() else 0.0
    # Likeness goes by the price that stood there on the first day; where only sales tell it, it was not known then.
    own = pd.Series(np.log(asked)).fillna(catalogue["category"].map(usual)).fillna(shop).to_numpy(dtype=float)
    near = like.neighbours(catalogue, places, own, known)
    return Kin(
        launches,
        known,
        near,
        like.means(near, known, catalogue.index, ("hit", "log_demand", "demand")),
        pd.DataFrame(places, index=catalogue.index),
        usual,
        shop,
        {name: _rate(early, f"{name}s_so_far") for name in ("click", "cart", "order")},
    )


def _rate(rows: pd.DataFrame, column: str) -> float:
    shown = rows["impressions_so_far"].fillna(0)
    return float((rows[column].where(shown > 0).sum() + 1) / (shown.sum() + 100))
