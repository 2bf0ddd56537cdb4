"""How kinds of products take to a season, learned from the words that name them.

Ten Christmas decorations with a month's sales each tell more of Christmas than any one of them, and most of a season's
products were not there a year before. A kind nobody can name by words (a shop that calls its items by number) has no
index here, and its products are left to their own past.
"""

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import Ridge

from ml.forecasting.data import Floats
from ml.forecasting.season.signals import LEAST_OF_LAST_YEAR, QUARTER, YEAR, Ahead, year_before

SHRINKAGE = 100.0
"""Ridge penalty; tuned on Online Retail II from nine days of 2010 and 2011, where 30 to 300 did about as well."""
LEAST_PRODUCTS = 3
"""Products a word must name before it counts."""
PRIOR = 0.25
"""Sales of the mean product added to both sides of a ratio, so that nothing sold is no infinite change."""


def describe(products: pd.DataFrame) -> csr_matrix:
    """Words and pairs of words of each product, [product, word] (TF-IDF). Columns: title, subcategory, brand, category.

    Attributes count as one word each. A catalogue without a word that names three products gives no column.
    """
    attributes = [
        name + "_" + products[name].fillna("").str.lower().str.replace(r"[^a-z]+", "_", regex=True)
        for name in ("category", "subcategory", "brand")
    ]
    text = pd.concat([products["title"].fillna("").str.lower(), *attributes], axis=1).agg(" ".join, axis=1)
    reader = TfidfVectorizer(ngram_range=(1, 2), min_df=LEAST_PRODUCTS, token_pattern=r"[a-z_]{3,}", sublinear_tf=True)
    try:
        return csr_matrix(reader.fit_transform(text))
    except ValueError:
        # scikit-learn's way of saying that no word is left.
        return csr_matrix((len(products), 0))


def season_index(money: Floats, origin: int, ahead: Ahead, words: csr_matrix) -> Floats | None:
    """Log of how many times its usual share each product is expected to take in the season, [product].

    A ridge on words of log(share in the season's weeks a year before / share in the quarter before those, or in the
    last quarter where that is not known). None where less than three weeks of last year's season are known.
    """
    season, weeks = year_before(money, origin, ahead)
    if weeks < LEAST_OF_LAST_YEAR or not words.shape[1]:
        return None
    known = np.nan_to_num(money[:, :origin])
    usual = known[:, -QUARTER:] if origin < YEAR + QUARTER else known[:, origin - YEAR - QUARTER : origin - YEAR]
    season, quarter = season / weeks, usual.mean(axis=1)
    seen = season + quarter > 0
    if not season.any() or not quarter.any():
        return None
    season, quarter = season / season[seen].mean(), quarter / quarter[seen].mean()
    ratio = np.log((season + PRIOR) / (quarter + PRIOR))
    ridge = Ridge(alpha=SHRINKAGE, solver="sparse_cg", tol=1e-4)
    ridge.fit(words[seen], ratio[seen], sample_weight=np.sqrt(season + quarter)[seen])
    result: Floats = ridge.predict(words)
    return result
