"""Like items: the launches a product most resembles, of its category, price and words, whose fate is known.

They tell what to expect of a product nobody has seen sell, and they are the explanation people believe. Whoever is
launched later must never be a like item of an earlier one, or the future explains the past.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

TOPICS = 12
"""Directions the words of the launches are reduced to (SVD of their TF-IDF)."""
LEAST_PRODUCTS = 3
"""Products a word must name before it counts."""
MOST = 0.5
"""Share of the products beyond which a word tells nothing of them."""
NEIGHBOURS = 30
PRICE_WEIGHT = 0.7
"""What a factor e in price weighs beside unlike words (whose vectors have length one)."""
SOFTEN = 0.3
PRIOR_WEIGHT = 5.0
"""Launches' worth of its shop's mean that the mean of like items is shrunk to."""
COLUMNS = ("product_id", "like_id", "weight")


def words(catalogue: pd.DataFrame) -> pd.Series:
    """The text of each product: its title, and subcategory, brand and merchant as a word each."""
    text = catalogue["title"].fillna("").str.lower()
    for name in ("subcategory", "brand", "merchant_id"):
        text = text + f" {name}_" + catalogue[name].fillna("").str.lower().str.replace(r"\W+", "_", regex=True)
    return text


@dataclass(frozen=True)
class Words:
    """Positions of texts in the space of topics. Fitted on launches known at the time only."""

    reader: TfidfVectorizer | None
    topics: TruncatedSVD | None

    def places(self, catalogue: pd.DataFrame) -> np.ndarray:
        """[product, topic], of length one (zero for a text of unknown words); no column without a word to go by."""
        if self.reader is None or self.topics is None:
            return np.empty((len(catalogue), 0))
        found = self.topics.transform(self.reader.transform(words(catalogue)))
        length = np.linalg.norm(found, axis=1, keepdims=True)
        return np.divide(found, length, out=np.zeros_like(found), where=length > 0)


def read(catalogue: pd.DataFrame) -> Words:
    """Learns the words of these launches. Words that name fewer than three products are left out."""
    reader = TfidfVectorizer(
        min_df=LEAST_PRODUCTS, max_df=MOST, ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"[^\W\d]\w+"
    )
    try:
        found = reader.fit_transform(words(catalogue))
    except ValueError:
        # scikit-learn's way of saying that no word is left.
        return Words(None, None)
    if min(found.shape) <= 2:
        return Words(None, None)
    with threadpool_limits(1):
        topics = TruncatedSVD(min(TOPICS, min(found.shape) - 1), random_state=0).fit(found)
    return Words(reader, topics)


def neighbours(catalogue: pd.DataFrame, places: np.ndarray, prices: np.ndarray, known: pd.DataFrame) -> pd.DataFrame:
    """Like items of each product of `catalogue` (index product_id; `places` and log `prices` row for row): COLUMNS.

    `known` are launches with an outcome (product_id, category, known_on). A like item is of the same category, and its
    outcome began to be known before the product was launched. Weights are 1 / (0.3 + distance).
    """
    space = np.column_stack([PRICE_WEIGHT * prices, places])
    position = pd.Series(np.arange(len(catalogue)), index=catalogue.index)
    launched = catalogue["launched_on"].to_numpy()
    parts = []
    by_category = {str(name): np.flatnonzero(catalogue["category"] == name) for name in known["category"].unique()}
    for category, group in known.groupby("category", sort=True):
        asked = by_category[str(category)]
        there = position[group["product_id"]].to_numpy()
        with threadpool_limits(1):
            index = NearestNeighbors(n_neighbors=min(2 * NEIGHBOURS, len(there))).fit(space[there])
            distance, found = index.kneighbors(space[asked])
        like = there[found]
        usable = (group["known_on"].to_numpy()[found] <= launched[asked][:, None]) & (like != asked[:, None])
        usable &= np.cumsum(usable, axis=1) <= NEIGHBOURS
        row, column = np.nonzero(usable)
        parts.append((asked[row], like[row, column], 1 / (SOFTEN + distance[row, column])))
    if not parts:
        return pd.DataFrame({name: pd.Series(dtype=float if name == "weight" else object) for name in COLUMNS})
    product, like, weight = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    names = catalogue.index.to_numpy()
    return pd.DataFrame({"product_id": names[product], "like_id": names[like], "weight": weight})


def means(near: pd.DataFrame, known: pd.DataFrame, products: pd.Index, columns: tuple[str, ...]) -> pd.DataFrame:
    """Weighted means of `columns` of `known` over the like items of `products`, shrunk to the mean of all."""
    values = known.set_index("product_id")[list(columns)].astype(float)
    shop = values.mean()
    found = near[["product_id"]].assign(weight=near["weight"])
    for name in columns:
        found[name] = values[name].reindex(near["like_id"]).to_numpy() * near["weight"].to_numpy(dtype=float)
    sums = found.groupby("product_id")[["weight", *columns]].sum().reindex(products, fill_value=0.0).astype(float)
    weight = sums.pop("weight")
    return sums.add(PRIOR_WEIGHT * shop).div(weight + PRIOR_WEIGHT, axis=0)
