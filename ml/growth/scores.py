"""The table `scores` of a growth release: what is known and believed of each live launch.

Incubation gives traffic by these rows and the assortment takes its newcomers from them; they read columns by name, so
a name that changes here breaks them.
"""

COLUMNS: dict[str, str] = {
    "product_id": "Product.",
    "merchant_id": "Who sells it.",
    "merchant_tier": "Tier of the merchant; null where the source has none.",
    "category": "Category it is ranked in.",
    "title": "Title.",
    "launched_on": "First day on sale: the declared day or the first sale, whichever is earlier.",
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
    "refunded_units_so_far": "Units that came back; null where the source has no `refunds`.",
    "bestseller_gmv": "GMV of weeks 9 to 26 from which on a product is in its category's top tenth; null where it has"
    " too few products.",
    "evidence": "'exposure' or 'units': what its early signals are measured by.",
    "rule_rank": "Place by units so far among the live launches of its category.",
    "reasons": "Why, in plain words.",
    "relisted_of": "Product this one is a duplicate of under a new id, else null.",
}
