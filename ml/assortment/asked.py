"""What can be told to be wrong with the terms of a plan before any work.

A slip in a product's name costs seconds here, and minutes of forecasting further on. When nothing is refused here, a
rule about a brand nobody sells is kept to the letter by every shelf, and nobody hears of it.
"""

from collections.abc import Iterator, Mapping
from datetime import date, timedelta

import duckdb
import pandas as pd

from coldframe import landed, seasons
from coldframe.errors import BadInputError, ConfigurationError
from coldframe.paths import workspace
from coldframe.run import Request
from coldframe.seasons import LEAST_WEEKS, Season
from ml.assortment.plan import Terms

_NAMED = 5


def check(request: Request) -> None:
    """Raises ConfigurationError for terms that do not fit (a file of rules, a service level, a season or names the
    source does not have), BadInputError for a history that is too short to forecast the season from.

    Where nothing has landed, there is no source to judge them by.
    """
    terms = Terms.of(request)
    place = workspace(request.source)
    tables = {
        name: duckdb.read_parquet([str(part.path) for part in found]).df()
        for name in ("products", "merchants", "calendar")
        if (found := landed.visible(place, name, request.as_of))
    }
    if "products" not in tables:
        return
    refuse_unknown(terms, tables["products"], tables.get("merchants", pd.DataFrame(columns=["tier"])))
    season = seasons.resolve(request.season, request.as_of, tables.get("calendar"))
    days = [part.day for part in landed.visible(place, "order_lines", request.as_of) if part.day is not None]
    if days:
        _refuse_short(request, season, min(days))


def _refuse_short(request: Request, season: Season, first_day: date) -> None:
    """A history may turn out shorter than it looks here (its first lines cancelled), never longer."""
    monday = first_day - timedelta(days=first_day.weekday())
    ahead = request.as_of + timedelta(days=1) - timedelta(days=(request.as_of.weekday() + 1) % 7)
    known = (ahead - monday).days // 7
    needed = max(LEAST_WEEKS, request.horizon_weeks, (season.weeks[-1].start - ahead).days // 7 + 1)
    if known < needed:
        raise BadInputError(
            f"order_lines have landed since {first_day}: {known} weeks, some incomplete. Forecasting season "
            f"{season.name} needs {needed}: {LEAST_WEEKS}, and as many as it looks ahead. Land more history, or choose "
            "a nearer season or a smaller --horizon-weeks."
        )


def refuse_unknown(terms: Terms, products: pd.DataFrame, merchants: pd.DataFrame) -> None:
    """Raises ConfigurationError for products, categories and values of attributes that nobody has.

    `products` has product_id, merchant_id, category, subcategory and brand, `merchants` tier.
    """
    known = {name: set(products[name].dropna().str.strip()) for name in ("product_id", *_OF_PRODUCTS, "category")}
    known["merchant_tier"] = set(merchants["tier"].dropna().str.strip())
    faults = list(_faults(terms, known))
    if faults:
        raise ConfigurationError("\n  ".join(["Rules name what the source does not have:", *faults]))


_OF_PRODUCTS = ("merchant_id", "subcategory", "brand")


def _faults(terms: Terms, known: Mapping[str, set[str]]) -> Iterator[str]:
    asked = {"must_keep": terms.must_keep, "must_drop": terms.must_drop}
    asked["variants"] = tuple(product for group in terms.rules.variants for product in group)
    for rule, products in asked.items():
        if unknown := [product for product in dict.fromkeys(products) if product not in known["product_id"]]:
            yield (
                f"{rule}: the catalogue does not list {len(unknown):,} of them: {', '.join(unknown[:_NAMED])}. Use "
                "product_id as in the source's products table."
            )
    for quota in terms.rules.quotas:
        if quota.value not in known.get(quota.attribute, {quota.value}):
            there = ", ".join(sorted(known[quota.attribute])[:_NAMED]) or "none"
            yield f"{quota.name}: no product has that {quota.attribute} (there is: {there})."
        if quota.category is not None and quota.category not in known["category"]:
            yield f"{quota.name}: no product has the category {quota.category!r}."


def refuse_unknown_regions(terms: Terms, regions: set[str]) -> None:
    """Raises ConfigurationError for a quota of a region none of `regions`: those in which something may be ranged."""
    named = {quota.region for quota in terms.rules.quotas if quota.region is not None}
    if unknown := sorted(named - regions):
        raise ConfigurationError(
            f"Quotas name regions in which nothing can be ranged: {', '.join(unknown)}. There is: "
            f"{', '.join(sorted(regions)[:_NAMED])}."
        )
