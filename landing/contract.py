"""The landing contract, version 1: which tables, columns, types and rules a source must meet.

This module is the one place where the contract is written. The table in docs/contract.md, the dbt sources
(dbt/models/sources.yml) and the checks of landing.validate are made from it; tests hold them equal.
Whoever changes it changes what every user must deliver: raise VERSION and say so in CHANGELOG.md.
"""

from dataclasses import dataclass, field
from enum import StrEnum

VERSION = 1


class Type(StrEnum):
    """Logical types; the value is DuckDB's name for it."""

    TEXT = "VARCHAR"
    INTEGER = "BIGINT"
    MONEY = "DECIMAL(18, 4)"
    RATIO = "DOUBLE"
    DATE = "DATE"
    TIMESTAMP = "TIMESTAMP"


class Kind(StrEnum):
    """How a table arrives. EVENTS are landed a day at a time; a STATE table is delivered whole each time."""

    EVENTS = "events"
    STATE = "state"


@dataclass(frozen=True)
class Column:
    """One column. `minimum` and `maximum` are inclusive; `values` lists all that is allowed.

    `references` is 'table.column'. Empty text is the same as no value, except where `blank` makes it a value.
    """

    name: str
    type: Type
    description: str
    nullable: bool = False
    minimum: float | None = None
    maximum: float | None = None
    values: tuple[str, ...] = ()
    references: str | None = None
    blank: bool = False

    @property
    def optional(self) -> bool:
        """Whether a source may leave the column out: it then holds no value in any row, or empty text."""
        return self.nullable or self.blank


@dataclass(frozen=True)
class Rule:
    """A row rule over several columns: `expression` is SQL that must not be false; `reason` is shown when it is."""

    name: str
    expression: str
    reason: str


@dataclass(frozen=True)
class Table:
    """One table. `key` is unique; `day` names the column whose UTC date decides the day an event belongs to.

    A `required` table has rows, unless it `may_be_empty`: a shop may well know of no event ahead.
    """

    name: str
    kind: Kind
    description: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    day: str | None = None
    required: bool = False
    may_be_empty: bool = False
    rules: tuple[Rule, ...] = field(default=())

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.columns)

    def column(self, name: str) -> Column:
        return next(c for c in self.columns if c.name == name)


def _id(name: str, description: str, references: str | None = None, nullable: bool = False) -> Column:
    return Column(name, Type.TEXT, description, nullable=nullable, references=references)


def _money(name: str, description: str, nullable: bool = False) -> Column:
    return Column(name, Type.MONEY, description, nullable=nullable, minimum=0)


def _count(name: str, description: str, minimum: int = 0, nullable: bool = False) -> Column:
    return Column(name, Type.INTEGER, description, minimum=minimum, nullable=nullable)


PRODUCTS = Table(
    name="products",
    kind=Kind.STATE,
    required=True,
    description="Everything the marketplace lists, one row a product.",
    key=("product_id",),
    columns=(
        _id("product_id", "Identity of the product."),
        _id("merchant_id", "Who sells it.", references="merchants.merchant_id"),
        Column("title", Type.TEXT, "Name as shown to customers."),
        Column("category", Type.TEXT, "Category that is planned: assortments are decided within it."),
        Column("subcategory", Type.TEXT, "Finer group within the category."),
        Column("brand", Type.TEXT, "Brand; 'unbranded' where there is none."),
        _money("list_price", "Regular price of one unit.", nullable=True),
        _money("unit_cost", "What one unit costs the seller; plans by margin need it.", nullable=True),
        _count("image_count", "Pictures in the listing.", nullable=True),
        _count("description_length", "Characters of the listing's description.", nullable=True),
        Column("launched_on", Type.DATE, "First day on sale, where the source knows it.", nullable=True),
    ),
)
MERCHANTS = Table(
    name="merchants",
    kind=Kind.STATE,
    required=True,
    description="Sellers (or manufacturers), one row each.",
    key=("merchant_id",),
    columns=(
        _id("merchant_id", "Identity of the merchant."),
        Column("name", Type.TEXT, "Name as shown to customers.", nullable=True),
        Column("region", Type.TEXT, "Where the merchant sells from.", nullable=True),
        Column("tier", Type.TEXT, "Tier the marketplace assigns.", nullable=True),
        Column("joined_on", Type.DATE, "First day on the marketplace.", nullable=True),
    ),
)
ORDER_LINES = Table(
    name="order_lines",
    kind=Kind.EVENTS,
    required=True,
    day="ordered_at",
    description="What was ordered, one row an order line. GMV is gross_amount of lines that were not cancelled.",
    key=("order_id", "line_number"),
    columns=(
        _id("order_id", "Identity of the order."),
        _count("line_number", "Number of the line within the order.", minimum=1),
        Column("ordered_at", Type.TIMESTAMP, "When it was ordered (UTC)."),
        _id("customer_id", "Who ordered; empty for guests.", nullable=True),
        _id("product_id", "What was ordered.", references="products.product_id"),
        Column("region", Type.TEXT, "Where it is delivered or bought."),
        Column("channel", Type.TEXT, "Where it was sold: store, shop, search, video, live …"),
        _count("quantity", "Units ordered.", minimum=1),
        _money("gross_amount", "Value of the line before every discount."),
        _money("merchant_discount", "Part of the discount the merchant pays."),
        _money("platform_discount", "Part of the discount the platform pays."),
        _money("freight_amount", "What the customer paid for delivery of the line; not part of GMV.", nullable=True),
        Column(
            "currency", Type.TEXT, "ISO 4217 code of the line's amounts; empty: the source's currency.", nullable=True
        ),
        _id("coupon_id", "Coupon used on the line.", nullable=True),
        _id("content_id", "Video or livestream that led to the order.", nullable=True),
        _id("address_id", "Where it was delivered to, as a pseudonym (a hash will do).", nullable=True),
        Column(
            "status",
            Type.TEXT,
            "What became of the line.",
            values=("completed", "cancelled", "returned"),
        ),
    ),
    rules=(
        Rule(
            "discounts_within_gross",
            "merchant_discount + platform_discount <= gross_amount",
            "merchant_discount + platform_discount exceed gross_amount",
        ),
    ),
)
REFUNDS = Table(
    name="refunds",
    kind=Kind.EVENTS,
    day="refunded_at",
    description=(
        "What was taken back and paid back, one row a refunded line, dated by the day it came back. "
        "GMV is not reduced; a line that is here keeps its status in order_lines."
    ),
    key=("refund_id", "line_number"),
    columns=(
        _id("refund_id", "Identity of the refund (credit note)."),
        _count("line_number", "Number of the line within the refund.", minimum=1),
        Column("refunded_at", Type.TIMESTAMP, "When (UTC)."),
        _id("order_id", "Order that is refunded, where known.", nullable=True),
        _id("customer_id", "Who was refunded; empty for guests.", nullable=True),
        _id("product_id", "What came back.", references="products.product_id"),
        Column("region", Type.TEXT, "Region of the refunded order."),
        _count("quantity", "Units that came back; 0 where only money did."),
        _money("amount", "What was paid back."),
        Column("reason", Type.TEXT, "Why, in the source's words.", nullable=True),
    ),
)
PAYMENTS = Table(
    name="payments",
    kind=Kind.EVENTS,
    day="paid_at",
    description="How orders were paid, one row a payment.",
    key=("order_id", "payment_number"),
    columns=(
        _id("order_id", "Order that was paid."),
        _count("payment_number", "Number of the payment within the order.", minimum=1),
        Column("paid_at", Type.TIMESTAMP, "When (UTC)."),
        Column("method", Type.TEXT, "Card, transfer, voucher …"),
        _count("installments", "Number of instalments.", nullable=True),
        _money("amount", "What was paid, freight included."),
    ),
)
PRICES = Table(
    name="prices",
    kind=Kind.STATE,
    description=(
        "Shelf prices by time, one row a product, region and first day; a price holds until the next one of the same "
        "product and region, or to valid_until. The first one of a product in a region is its launch there. "
        "Region '*' means everywhere."
    ),
    key=("product_id", "region", "valid_from"),
    columns=(
        _id("product_id", "Product.", references="products.product_id"),
        Column("region", Type.TEXT, "Region it applies to; '*' for all."),
        Column("valid_from", Type.DATE, "First day of the price."),
        Column("valid_until", Type.DATE, "Last day of the price; empty: until the next.", nullable=True),
        _money("price", "What one unit costs the customer before coupons."),
        Column("announced_on", Type.DATE, "Day it became known; empty: known from valid_from.", nullable=True),
    ),
    rules=(
        Rule(
            "ends_after_start", "valid_until is null or valid_until >= valid_from", "valid_until lies before valid_from"
        ),
    ),
)
REGIONS = Table(
    name="regions",
    kind=Kind.STATE,
    description="Regions and what they belong to, one row each.",
    key=("region",),
    columns=(
        Column("region", Type.TEXT, "Identity of the region, as in order_lines."),
        Column("name", Type.TEXT, "Name as shown to people.", nullable=True),
        Column("parent", Type.TEXT, "Greater region it is part of.", nullable=True),
    ),
)
MERCHANT_FUNNEL = Table(
    name="merchant_funnel",
    kind=Kind.EVENTS,
    day="happened_at",
    description="How merchants were won, one row a lead and stage it reached.",
    key=("lead_id", "stage"),
    columns=(
        _id("lead_id", "Identity of the lead."),
        Column("stage", Type.TEXT, "Stage reached.", values=("contacted", "qualified", "won", "lost")),
        Column("happened_at", Type.TIMESTAMP, "When (UTC)."),
        _id("merchant_id", "Merchant the lead became; it need not have listed anything yet.", nullable=True),
        Column("origin", Type.TEXT, "Where the lead came from: search, social, referral …", nullable=True),
        Column("segment", Type.TEXT, "Business segment.", nullable=True),
    ),
)
CALENDAR = Table(
    name="calendar",
    kind=Kind.STATE,
    required=True,
    may_be_empty=True,
    description="Events known ahead, one row a day, region and event; it may have none. Region '*' means everywhere.",
    key=("date", "region", "event"),
    columns=(
        Column("date", Type.DATE, "Day of the event."),
        Column("region", Type.TEXT, "Region it applies to; '*' for all."),
        Column("event", Type.TEXT, "Name of the event."),
        Column("kind", Type.TEXT, "Sort of event.", values=("holiday", "payday", "campaign", "season", "occasion")),
    ),
)
CUSTOMERS = Table(
    name="customers",
    kind=Kind.STATE,
    description="Customers, one row each, without anything that names a person.",
    key=("customer_id",),
    columns=(
        _id("customer_id", "Identity of the customer."),
        Column("region", Type.TEXT, "Home region.", nullable=True),
        Column("segment", Type.TEXT, "Segment the source assigns.", nullable=True),
        Column("joined_on", Type.DATE, "First day as a customer.", nullable=True),
    ),
)
CREATORS = Table(
    name="creators",
    kind=Kind.STATE,
    description="People who make videos and livestreams, one row each.",
    key=("creator_id",),
    columns=(
        _id("creator_id", "Identity of the creator."),
        Column("region", Type.TEXT, "Home region.", nullable=True),
        _count("followers", "Audience at delivery.", nullable=True),
        Column("joined_on", Type.DATE, "First day on the marketplace.", nullable=True),
    ),
)
CONTENTS = Table(
    name="contents",
    kind=Kind.EVENTS,
    day="started_at",
    description="Short videos and livestreams, one row each.",
    key=("content_id",),
    columns=(
        _id("content_id", "Identity of the video or livestream."),
        Column("kind", Type.TEXT, "Sort of content.", values=("video", "live")),
        _id("creator_id", "Who made it.", references="creators.creator_id"),
        Column("started_at", Type.TIMESTAMP, "Published or gone live (UTC)."),
        Column("ended_at", Type.TIMESTAMP, "Taken down or gone off air (UTC).", nullable=True),
    ),
    rules=(
        Rule(
            "ends_after_start",
            "ended_at is null or ended_at >= started_at",
            "ended_at lies before started_at",
        ),
    ),
)
CONTENT_PRODUCTS = Table(
    name="content_products",
    kind=Kind.EVENTS,
    day="shown_at",
    description="Which products a video or livestream carries.",
    key=("content_id", "product_id"),
    columns=(
        _id("content_id", "Video or livestream."),
        _id("product_id", "Product it carries.", references="products.product_id"),
        Column("shown_at", Type.TIMESTAMP, "When it was first on show there (UTC)."),
    ),
)
TRAFFIC = Table(
    name="traffic",
    kind=Kind.EVENTS,
    day="date",
    description="How often a product was seen, one row a day, product, region, channel and content ('' for none).",
    key=("date", "product_id", "region", "channel", "content_id"),
    columns=(
        Column("date", Type.DATE, "Day of the traffic (UTC)."),
        _id("product_id", "Product that was shown.", references="products.product_id"),
        Column("region", Type.TEXT, "Region of the viewers."),
        Column("channel", Type.TEXT, "Where it was shown."),
        Column("content_id", Type.TEXT, "Video or livestream that showed it; empty text for none.", blank=True),
        _count("impressions", "Times shown."),
        _count("clicks", "Times opened."),
        _count("carts", "Times put into a cart."),
    ),
    rules=(Rule("clicks_within_impressions", "clicks <= impressions", "clicks exceed impressions"),),
)
VISITS = Table(
    name="visits",
    kind=Kind.EVENTS,
    day="date",
    description=(
        "How many looked at a category and how many of them bought of it, one row a day, region, category and channel. "
        "Those who left without a buy are what tells how far products replace each other."
    ),
    key=("date", "region", "category", "channel"),
    columns=(
        Column("date", Type.DATE, "Day of the visits (UTC)."),
        Column("region", Type.TEXT, "Region of the visitors, as in order_lines."),
        Column("category", Type.TEXT, "Category they looked at, as in products."),
        Column("channel", Type.TEXT, "Where they looked, as in order_lines."),
        _count("visits", "Visits, whether they ended in a buy or not."),
        _count("buys", "Visits that ended in a buy of the category."),
    ),
    rules=(Rule("buys_within_visits", "buys <= visits", "buys exceed visits"),),
)
EXPOSURES = Table(
    name="exposures",
    kind=Kind.EVENTS,
    day="date",
    description=(
        "Where a product was featured without counting viewers (displays, mailers, home-page slots), "
        "one row a first day, product, region and placement."
    ),
    key=("date", "product_id", "region", "placement"),
    columns=(
        Column("date", Type.DATE, "First day of the placement; it lasts the rest of that week."),
        _id("product_id", "Product that was featured.", references="products.product_id"),
        Column("region", Type.TEXT, "Region it was featured in."),
        Column("placement", Type.TEXT, "Sort of placement: display, mailer, home …"),
        Column(
            "share",
            Type.RATIO,
            "Share of the region's outlets (or audience) that carried it.",
            minimum=0,
            maximum=1,
        ),
    ),
)
CAMPAIGNS = Table(
    name="campaigns",
    kind=Kind.STATE,
    description="Marketing campaigns, one row each.",
    key=("campaign_id",),
    columns=(
        _id("campaign_id", "Identity of the campaign."),
        Column("kind", Type.TEXT, "Sort of campaign."),
        Column("starts_on", Type.DATE, "First day."),
        Column("ends_on", Type.DATE, "Last day."),
        Column("announced_on", Type.DATE, "Day it became known; empty: known from starts_on.", nullable=True),
    ),
    rules=(Rule("ends_after_start", "ends_on >= starts_on", "ends_on lies before starts_on"),),
)
CAMPAIGN_PRODUCTS = Table(
    name="campaign_products",
    kind=Kind.STATE,
    description="Which products a campaign promotes.",
    key=("campaign_id", "product_id"),
    columns=(
        _id("campaign_id", "Campaign.", references="campaigns.campaign_id"),
        _id("product_id", "Promoted product.", references="products.product_id"),
    ),
)
COUPONS = Table(
    name="coupons",
    kind=Kind.STATE,
    description="Coupons, one row each.",
    key=("coupon_id",),
    columns=(
        _id("coupon_id", "Identity of the coupon."),
        _id("campaign_id", "Campaign that issued it.", references="campaigns.campaign_id", nullable=True),
        _money("face_value", "Most it takes off, where known.", nullable=True),
        Column(
            "funded_by",
            Type.TEXT,
            "Who pays for it.",
            values=("merchant", "platform", "shared"),
            nullable=True,
        ),
        Column(
            "merchant_share",
            Type.RATIO,
            "Part of the cost the merchant pays, where it is shared.",
            nullable=True,
            minimum=0,
            maximum=1,
        ),
    ),
)
COUPON_ASSIGNMENTS = Table(
    name="coupon_assignments",
    kind=Kind.EVENTS,
    day="assigned_at",
    description="Who was given which coupon, and by which arm of an experiment.",
    key=("customer_id", "coupon_id", "assigned_at"),
    columns=(
        _id("customer_id", "Who was given it."),
        _id("coupon_id", "Coupon; for a holdout, the one that was withheld.", references="coupons.coupon_id"),
        Column("assigned_at", Type.TIMESTAMP, "When (UTC)."),
        Column("arm", Type.TEXT, "Arm of the experiment ('control' for the holdout), or 'targeted'."),
        Column("propensity", Type.RATIO, "Probability of this arm.", nullable=True, minimum=0, maximum=1),
    ),
)
COUPON_REDEMPTIONS = Table(
    name="coupon_redemptions",
    kind=Kind.EVENTS,
    day="redeemed_at",
    description="Coupons used, one row a customer, coupon and time.",
    key=("customer_id", "coupon_id", "redeemed_at"),
    columns=(
        _id("customer_id", "Who used it."),
        _id("coupon_id", "Coupon.", references="coupons.coupon_id"),
        Column("redeemed_at", Type.TIMESTAMP, "When (UTC)."),
        _id("order_id", "Order it was used on, where known.", nullable=True),
    ),
)
INVENTORY = Table(
    name="inventory",
    kind=Kind.EVENTS,
    day="date",
    description="Stock at the end of a day, one row a day, product and region.",
    key=("date", "product_id", "region"),
    columns=(
        Column("date", Type.DATE, "Day (UTC)."),
        _id("product_id", "Product.", references="products.product_id"),
        Column("region", Type.TEXT, "Region the stock serves."),
        _count("on_hand", "Units on hand."),
    ),
)

# Referenced tables come before those that refer to them.
TABLES: tuple[Table, ...] = (
    REGIONS,
    MERCHANTS,
    PRODUCTS,
    PRICES,
    CALENDAR,
    CUSTOMERS,
    CREATORS,
    CONTENTS,
    CONTENT_PRODUCTS,
    CAMPAIGNS,
    CAMPAIGN_PRODUCTS,
    COUPONS,
    ORDER_LINES,
    REFUNDS,
    PAYMENTS,
    TRAFFIC,
    VISITS,
    EXPOSURES,
    COUPON_ASSIGNMENTS,
    COUPON_REDEMPTIONS,
    INVENTORY,
    MERCHANT_FUNNEL,
)
BY_NAME = {t.name: t for t in TABLES}

PLAN_LINES = Table(
    name="plan_lines",
    kind=Kind.STATE,
    description=(
        "Lines of the assortments that were published, one row a plan, region and product. A plan is known from the "
        "day after its as-of on, whenever somebody published it; of two for one season and as-of, the later published."
    ),
    key=("plan_id", "region", "product_id"),
    columns=(
        _id("plan_id", "Plan in the ledger."),
        Column("as_of", Type.DATE, "Last day the plan knew of."),
        Column("season", Type.TEXT, "Season it is for."),
        Column("valid_from", Type.DATE, "First day of the season."),
        Column("valid_until", Type.DATE, "Last day of the season."),
        Column("region", Type.TEXT, "Region of the line."),
        Column("category", Type.TEXT, "Category the product was planned in."),
        _id("product_id", "Product.", references="products.product_id"),
        Column("action", Type.TEXT, "What was decided: range or drop."),
        _count("rank", "Place within its region and category; empty where it has none.", minimum=1, nullable=True),
        Column("quantity", Type.RATIO, "Depth: units to hold.", minimum=0),
        Column("expected_units", Type.RATIO, "Units it was expected to sell.", nullable=True, minimum=0),
        Column("objective", Type.TEXT, "What value is: gmv, margin or units of the season."),
        Column("value", Type.RATIO, "What it was expected to bring."),
        Column("value_low", Type.RATIO, "Lower bound of that."),
        Column("value_high", Type.RATIO, "Upper bound of that."),
    ),
)
EXPOSURE_LINES = Table(
    name="exposure_lines",
    kind=Kind.EVENTS,
    day="date",
    description=(
        "Exposure that published incubation plans gave to new products, one row a day, product and place it is shown "
        "in. Of two plans for one day, the later published."
    ),
    key=("date", "product_id", "channel", "region"),
    columns=(
        _id("plan_id", "Plan in the ledger."),
        Column("as_of", Type.DATE, "Last day the plan knew of."),
        Column("date", Type.DATE, "Day it was for."),
        _id("product_id", "New product.", references="products.product_id"),
        Column("channel", Type.TEXT, "Where it was to be shown; 'all' where the plan does not say."),
        Column("region", Type.TEXT, "Region of the viewers; 'all' where the plan does not say."),
        Column("stage", Type.TEXT, "Stage of the product: seed, incubate, graduate, retire …"),
        _count("impressions", "Times it was to be shown."),
        Column(
            "propensity",
            Type.RATIO,
            "Chance that an impression of the plan went to this product in this place.",
            minimum=0,
            maximum=1,
        ),
        Column("chance", Type.RATIO, "Chance of a blockbuster the plan believed in.", minimum=0, maximum=1),
        Column("share", Type.RATIO, "Share of the day's budget the product got, over all places.", minimum=0),
    ),
)
OWN: tuple[Table, ...] = (PLAN_LINES, EXPOSURE_LINES)
"""What Coldframe lands itself (landing.plans); no source delivers it."""
