"""Everything that can be set about the simulated marketplace: one strict, frozen model, read from one YAML.

The parameters lie beside the data they made, so that more days can be added later. A parameter that changes what was
already delivered would make the new days part of another world; appending with other parameters is therefore refused.
"""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, Literal, Self, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from coldframe.documents import Document, Fault, Place, UnfitDocumentError, near
from coldframe.errors import ConfigurationError

Size = Literal["tiny", "demo", "large"]
Preset = Literal["calm", "holiday_heavy", "launch_heavy", "dirty"]
SIZES: tuple[str, ...] = get_args(Size)
PRESETS: tuple[str, ...] = get_args(Preset)
CLASSES = ("bargain", "quality")
SEGMENTS = ("student", "family", "professional", "retired")
TIERS = ("bronze", "silver", "gold")

_FOLDER = Path(__file__).parent


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _share(default: float, description: str) -> Any:
    return Field(default, ge=0, le=1, description=description)


def _positive(default: float, description: str) -> Any:
    return Field(default, gt=0, description=description)


def _number(default: float, description: str) -> Any:
    return Field(default, ge=0, description=description)


def _count(default: int, description: str, least: int = 1) -> Any:
    return Field(default, ge=least, description=description)


class Scale(_Strict):
    """How big the marketplace is, and when its history begins."""

    first_day: date = Field(date(2024, 1, 1), description="First day of the history (UTC).")
    days: int = _count(731, "Days generated if nobody says up to when; changes nothing else.")
    regions: int = Field(4, ge=1, le=8, description="Regions customers live in.")
    categories: int = Field(12, ge=1, le=72, description="Categories that are planned.")
    merchants: int = _count(150, "Merchants on the first day.")
    merchants_a_month: float = _number(4, "Merchants that join in a month, on average.")
    products: int = _count(1100, "Products on sale on the first day.")
    products_a_month: float = _number(46, "Products launched in a month, on average, all year round.")
    customers: int = _count(24_000, "Customers on the first day.")
    customers_a_month: float = _number(1900, "Customers that join in a month, on average.")
    creators: int = _count(60, "Creators on the first day.")
    creators_a_month: float = _number(2, "Creators that join in a month, on average.")


class People(_Strict):
    """Merchants and customers: who comes, who stays."""

    tier_shares: tuple[float, float, float] = Field(
        (0.6, 0.3, 0.1), description="Shares of bronze, silver and gold merchants."
    )
    tier_weights: tuple[float, float, float] = Field(
        (1, 3, 9), description="How many products a merchant of a tier lists, relative to bronze."
    )
    merchant_years: tuple[float, float, float] = Field(
        (2, 4, 10), description="Years a merchant of a tier stays, on average."
    )
    growth_spread: float = _number(0.03, "Spread of merchants' monthly growth of launches (log scale).")
    customer_years: float = _positive(1.5, "Years a customer stays, on average.")
    activity_shape: float = _positive(0.55, "Shape of the gamma of customers' activity; small: few buy most.")
    segment_shares: tuple[float, float, float, float] = Field(
        (0.25, 0.35, 0.25, 0.15), description="Shares of students, families, professionals and retired."
    )
    bargain_shares: tuple[float, float, float, float] = Field(
        (0.8, 0.55, 0.25, 0.5), description="Share of each segment that hunts bargains; the others seek quality."
    )


class Demand(_Strict):
    """How customers choose: a latent-class nested logit among the products shown to them."""

    lines_a_week: float = _positive(0.42, "Order lines a customer of mean activity places a week in organic channels.")
    buy_probability: float = Field(
        0.05, gt=0, lt=1, description="Chance that a visit to a full category ends in a buy."
    )
    nest: float = Field(
        0.7,
        gt=0,
        le=1,
        description="Dissimilarity of products of a category; the less, the more they replace each other.",
    )
    quality_taste: tuple[float, float] = Field(
        (0.35, 0.75), description="Worth of quality to bargain and quality seekers."
    )
    price_taste: tuple[float, float] = Field(
        (1.6, 0.7), description="Loss of utility by log price for bargain and quality seekers."
    )
    taste_spread: float = _number(0.5, "Spread of what else makes a product liked.")
    attention_spread: float = _number(0.7, "Spread of how far up products are listed.")
    price_spread: float = _number(0.4, "Spread of log prices within a category.")
    novelty: float = _number(0.8, "How much further up (log) the shop lists products in their first six weeks.")
    search_share: float = _share(0.6, "Share of organic visits that come by search; the others walk the shop.")
    day_noise: float = _number(0.05, "Spread of what nobody can foresee about a day (log).")
    region_taste: float = _number(0.25, "Spread of regions' liking of categories (log).")
    basket: tuple[float, float, float, float, float] = Field(
        (1.9, 2.2, 1.15, 1.25, 1.1), description="Mean lines of a basket by search, shop, video, live, boost."
    )
    impressions_a_visit: float = _positive(6, "Products of the category a visitor sees, per organic visit.")


class Seasons(_Strict):
    """What the calendar does to demand."""

    strength: float = _number(0.28, "Mean amplitude of categories' yearly curve (log).")
    gift_lift: float = _number(0.5, "Mean rise of categories before Christmas (log).")
    double_days: dict[int, float] = Field(
        {3: 1.25, 6: 1.5, 9: 1.6, 11: 2.6, 12: 1.9},
        description="Months whose double day is a campaign, and by what factor it raises visits.",
    )
    payday_lift: float = _positive(1.12, "Factor on the 15th, the last day of the month, and the days after them.")
    holiday_factor: float = _positive(0.75, "Factor on public holidays.")
    weekdays: tuple[float, float, float, float, float, float, float] = Field(
        (0.91, 0.88, 0.91, 0.96, 1.05, 1.43, 1.11), description="Factors of Monday to Sunday."
    )
    own_season_share: float = _share(0.15, "Share of products with a season of their own.")
    own_season: float = _number(0.8, "Amplitude of such a season (log).")


class Launches(_Strict):
    """What becomes of new products: staples stay, trends rise and die, flops never rise."""

    pace: float = _number(1, "Factor on `scale.products_a_month`, so that a preset can speed up any size.")
    staple_share: float = _share(0.45, "Share of launches that stay.")
    trend_share: float = _share(0.33, "Share that rises and dies; the rest are flops.")
    rise_weeks: float = _positive(4, "Weeks until a launch has risen to 63 % of its plateau, on average.")
    trend_plateau_weeks: float = _positive(8, "Weeks a trend stays up, on average.")
    trend_half_life: float = _positive(6, "Weeks in which a dying trend halves, on average.")
    flop_depth: float = _number(1.8, "How far (log) a flop stays below what its attributes promise.")


class Campaigns(_Strict):
    """Price cuts."""

    joins: tuple[float, float, float] = Field(
        (0.2, 0.35, 0.5), description="Share of products a merchant of a tier enters in a double-day campaign."
    )
    depth: tuple[float, float] = Field((0.08, 0.3), description="Least and greatest discount a merchant gives.")
    platform_depth: float = Field(0.05, ge=0, lt=0.5, description="Discount the platform adds on double days.")
    merchant_campaigns: float = _share(0.2, "Chance that a merchant runs a campaign of its own in a month.")


class Programme(_Strict):
    """One randomised coupon programme. Arms are control, small, large."""

    name: str = Field(pattern=r"^[a-z][a-z0-9]*$", description="Name; part of the coupon's identity.")
    every_weeks: int = _count(4, "Weeks from one issue to the next.")
    offset: int = _count(0, "Week within that rhythm.", least=0)
    share: float = _share(0.1, "Share of customers in the experiment, control included.")
    propensities: tuple[float, float, float] = Field(
        (0.4, 0.3, 0.3), description="Probability of each arm; they add up to 1."
    )
    face_values: tuple[float, float] = Field((3, 8), description="Most that the small and the large coupon take off.")
    merchant_share: float = _share(0.0, "Part the merchant pays: 0 platform, 1 merchant, between: co-funded.")
    small_effect: tuple[float, float, float, float] = Field(
        (0.3, 0.15, 0.03, 0.1), description="True rise of the purchase rate by the small coupon, by segment."
    )
    large_effect: tuple[float, float, float, float] = Field(
        (0.6, 0.35, 0.05, 0.2), description="True rise of the purchase rate by the large coupon, by segment."
    )
    redemption: float = _share(0.7, "Chance that who holds a coupon uses it on the first order of the week.")

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if abs(sum(self.propensities) - 1) > 1e-9:
            raise ValueError(f"propensities add up to {sum(self.propensities):g}, not 1")
        return self


class Content(_Strict):
    """Short videos and livestreams."""

    lives_a_week: float = _number(0.5, "Livestreams of a creator a week.")
    videos_a_week: float = _number(2, "Videos of a creator a week.")
    live_reach: float = _share(0.06, "Share of a creator's followers who watch a livestream.")
    video_reach: float = _share(0.06, "Share of them who see a video, over its week.")
    followers: float = _positive(9000, "Followers of a creator in the middle.")
    live_lift: float = _positive(3.0, "How much more a livestream sells of what it carries than the shop's page would.")
    video_lift: float = _positive(1.2, "The same of a video.")
    displacement: float = _share(0.35, "Share of viewers who would otherwise have visited the category that day.")


class Boosts(_Strict):
    """Impressions the platform gives away to recent launches, some of them by lot."""

    propensity: float = _share(0.12, "Chance that a recent launch is boosted in a week by lot.")
    targeted: float = _share(0.05, "Share boosted because somebody believed in them.")
    impressions: float = _number(120, "Impressions a day a boost is worth.")
    lift: float = _positive(8, "How much more a boosted product sells to who sees it than one on a full page would.")
    displacement: float = _share(0.4, "Share of those reached who would otherwise have visited the category.")
    novelty_weeks: int = _count(8, "Weeks after launch in which a product may be boosted.")


class Stock(_Strict):
    """Order-up-to stock, filled on Mondays by merchants who guess."""

    cover: float = _positive(1.05, "Expected weeks of demand a merchant aims at.")
    error: tuple[float, float, float] = Field((0.55, 0.45, 0.3), description="Spread of the guess (log) by tier.")


class Movements(_Strict):
    """Planted rises and falls of GMV, with a cause."""

    a_month: float = _number(1.5, "How many begin in a month, on average.")
    strength: float = _number(0.5, "Mean size of the factor's logarithm.")


class Returns(_Strict):
    """What comes back, and what never leaves."""

    rate: float = _share(0.05, "Share of lines of middling quality that come back.")
    cancelled: float = _share(0.025, "Share of orders that are cancelled.")
    refunds_cap_days: int = Field(20, ge=3, le=60, description="Most days between order and refund.")


class Dirt(_Strict):
    """What is wrong with the deliveries. Rates are shares of order lines unless said otherwise."""

    late: float = _share(0, "Lines delivered one to six days late.")
    duplicates: float = _share(0, "Lines delivered twice in the same file.")
    clock: float = _share(0, "Lines with a wrong clock: a third each in 1970, ten years ahead, and off by up to hours.")
    currency: float = _share(0, "Lines in another currency: half say so, half do not.")
    brushing: float = _number(0, "Fake orders a day, per hundred real ones.")
    comma: float = _share(0, "Days whose freight is delivered as text with a decimal comma.")
    renamed_from: date | None = Field(
        None, description="From this day on `gross_amount` is delivered as `gross_value`."
    )


class Parameters(_Strict):
    """All of it. The defaults are the size `demo` and the preset `calm`."""

    version: Literal[1] = Field(1, description="Version of the simulator; another one makes another world.")
    seed: int = Field(1, ge=0, description="Another seed, another marketplace of the same kind.")
    scale: Scale = Scale()
    people: People = People()
    demand: Demand = Demand()
    seasons: Seasons = Seasons()
    launches: Launches = Launches()
    campaigns: Campaigns = Campaigns()
    coupons: tuple[Programme, ...] = (
        Programme(name="return", every_weeks=4, offset=1),
        Programme(name="joint", every_weeks=4, offset=3, merchant_share=0.5, face_values=(2, 6)),
    )
    content: Content = Content()
    boosts: Boosts = Boosts()
    stock: Stock = Stock()
    movements: Movements = Movements()
    returns: Returns = Returns()
    dirt: Dirt = Dirt()

    @field_validator("version", mode="before")
    @classmethod
    def _as_written(cls, given: Any) -> Any:
        return int(given) if isinstance(given, str) and given.isdecimal() else given


def compose(size: str = "demo", preset: str = "calm", seed: int | None = None) -> Parameters:
    """Parameters of a shipped size and preset. Raises ConfigurationError for one that is not shipped."""
    for kind, name, known in (("size", size, SIZES), ("preset", preset, PRESETS)):
        if name not in known:
            raise ConfigurationError(f"There is no {kind} {name!r}. Known: {', '.join(known)}.")
    files = (_FOLDER / "sizes" / f"{size}.yaml", _FOLDER / "presets" / f"{preset}.yaml")
    values = _merge(*(_read(file).values for file in files))
    return Parameters.model_validate(values | ({} if seed is None else {"seed": seed}))


def load(path: Path, seed: int | None = None) -> Parameters:
    """Parameters of a YAML file; what it leaves out is as in `demo` and `calm`.

    Raises ConfigurationError naming the file, and of each entry that does not fit its line.
    """
    if not path.is_file():
        raise ConfigurationError(f"{path} is no file. Give a YAML of parameters, or --size and --preset.")
    document = _read(path)
    faults = list(document.faults)
    try:
        parameters = Parameters.model_validate(document.values | ({} if seed is None else {"seed": seed}))
    except ValidationError as error:
        faults += [_fault(e) for e in error.errors()]
    if faults:
        raise ConfigurationError(f"{path} does not fit:\n  " + "\n  ".join(document.tell(faults)))
    return parameters


def dump(parameters: Parameters) -> str:
    """The YAML that `load` turns into the same parameters, every entry written out."""
    return yaml.safe_dump(parameters.model_dump(mode="json"), sort_keys=False, width=110)


def different(one: Parameters, other: Parameters) -> list[str]:
    """Names of the entries that differ, as 'scale.regions'."""
    found = []
    for name in Parameters.model_fields:
        mine, theirs = getattr(one, name), getattr(other, name)
        if mine != theirs and isinstance(mine, _Strict):
            found += [f"{name}.{entry}" for entry, value in mine if value != getattr(theirs, entry)]
        elif mine != theirs:
            found.append(name)
    return found


def _fault(error: ErrorDetails) -> Fault:
    """A fault of pydantic's in words of this file."""
    place = tuple(error["loc"])
    name = ".".join(map(str, place))
    if error["type"] == "model_type":
        return Fault(place, f"{name} must hold names with values.")
    if error["type"] != "extra_forbidden":
        return Fault(place, f"{name}: {error['msg'].removeprefix('Value error, ')}.")
    known = _entries(place[:-1])
    homes = [room for room in Parameters.model_fields if place[-1] in _entries((room,))]
    hint = f" It belongs under {' or '.join(homes)}." if homes else near(str(place[-1]), known)
    return Fault(place, f"unknown key {name!r}.{hint} Known: {', '.join(known)}.", key=True)


def _entries(place: Place) -> tuple[str, ...]:
    """Names of what may stand at a place; none where a value stands."""
    known: Mapping[str, Any] = Parameters.model_fields
    for name in (part for part in place if isinstance(part, str)):
        kind = known[name].annotation
        models = [m for m in (kind, *get_args(kind)) if isinstance(m, type) and issubclass(m, _Strict)]
        known = models[0].model_fields if models else {}
    return tuple(known)


def _read(path: Path) -> Document:
    try:
        return Document(path)
    except UnfitDocumentError as error:
        raise ConfigurationError(f"{path} is no YAML of parameters:\n  {error}") from error


def _merge(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """`other` on top of `one`, room by room."""
    merged = dict(one)
    for name, value in other.items():
        both = isinstance(value, dict) and isinstance(merged.get(name), dict)
        merged[name] = merged[name] | value if both else value
    return merged


def described() -> str:
    """Every parameter with its default and meaning, as the Markdown of docs/marketplace-parameters.md."""
    lines = [
        "<!-- Made by `python -m marketplace.parameters > docs/marketplace-parameters.md`. Do not edit. -->",
        "# Parameters of the marketplace",
        "",
        "Defaults are those of the size `demo` with the preset `calm`; `coupons` is a list, an entry a programme.",
    ]
    for name, field in Parameters.model_fields.items():
        default = getattr(Parameters(), name)
        model = type(default[0] if isinstance(default, tuple) else default)
        if not issubclass(model, _Strict):
            lines += ["", f"`{name}` (default {default}): {field.description}"]
            continue
        lines += ["", f"## {name}", "", (model.__doc__ or "").strip(), "", "| name | default | what |", "|---|---|---|"]
        for entry, inner in model.model_fields.items():
            shown = "" if inner.is_required() else str(inner.default)
            lines.append(f"| `{entry}` | {shown} | {inner.description} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(described())
