"""Pictures of a forecast taken apart and of what changed. Figures are made without pyplot, whose state is everybody's.

A picture people read wrongly is worse than a table: one scale a panel, few labels, and colours that colour-blind people
can tell apart.
"""

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from coldframe.files import check_out, whole
from ml.forecasting.daily.additive import MONTHLY, TREND, YEARLY
from ml.forecasting.daily.components import ADDITIVE, PROPHET

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ml.forecasting.daily.asked.changes import Changed
    from ml.forecasting.daily.asked.explain import Explained

SHOWN_DAYS = 112
"""Days of sales before the forecast: four months, so that single days can be told apart."""
MOST_EVENTS = 8
MOST_BARS = 15
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
# Okabe & Ito's colours.
BLUE, ORANGE, GREY, INK = "#0072B2", "#D55E00", "#9A9A9A", "#333333"
_COLOURS, _LINES = {ADDITIVE: BLUE, PROPHET: ORANGE}, {ADDITIVE: "-", PROPHET: "--"}


def check(out: Path | None) -> None:
    """Raises ConfigurationError for a file that cannot be written, or not as a picture; before any work."""
    if out is not None:
        check_out(out, ".png")


def write(figure: "Figure", out: Path) -> None:
    """Writes a picture as PNG, whole or not at all."""
    with whole(out) as unfinished:
        figure.savefig(unfinished, format="png", dpi=110, pil_kwargs={"optimize": True})


def of_node(told: "Explained") -> "Figure":
    """Sales and forecast with its interval and events; below it what the forecast's node is made of."""
    from matplotlib.figure import Figure

    rows = (3.0, 0.9, 1.9, 1.9) if told.prices is not None else (3.0, 1.9, 1.9)
    figure = Figure(figsize=(11, 1.35 * sum(rows)), layout="constrained")
    grid = figure.add_gridspec(len(rows), 3, height_ratios=rows)
    figure.suptitle(
        f"{_literal(told.name)}: forecast made on {told.as_of:%-d %B %Y}", fontsize=13, color=INK, x=0.01, ha="left"
    )
    main = figure.add_subplot(grid[0, :])
    _draw_forecast(main, told)
    if told.prices is not None:
        _draw_prices(figure.add_subplot(grid[1, :], sharex=main), told)
    below = len(rows) - 2
    _draw_trend(figure.add_subplot(grid[below, :2]), told, f"Trend{_literal(told.of_node)}, units a day")
    _draw_year(figure.add_subplot(grid[below, 2]), told)
    _draw_week(figure.add_subplot(grid[below + 1, 0]), told)
    _draw_month(figure.add_subplot(grid[below + 1, 1]), told)
    _draw_events(figure.add_subplot(grid[below + 1, 2]), told)
    return figure


def of_changes(changed: "Changed") -> "Figure":
    """Bars of what each child adds to the difference, beside what sold meanwhile against what was expected."""
    from matplotlib.figure import Figure

    rows = [*changed.children[:MOST_BARS]]
    names = [_literal(row["name"]) for row in rows]
    drawn = [(float(row["difference"]), float(row["surprise"])) for row in rows]
    if len(changed.children) > MOST_BARS:
        names.append(f"{len(changed.children) - MOST_BARS} others")
        rest = changed.children[MOST_BARS:]
        drawn.append((float(sum(r["difference"] for r in rest)), float(sum(r["surprise"] for r in rest))))
    figure = Figure(figsize=(11, 1.7 + 0.3 * len(names)), layout="constrained")
    figure.suptitle(_literal("\n".join(changed.words)), fontsize=11, color=INK, x=0.01, ha="left")
    of_forecast, of_sales = figure.subplots(1, 2, sharey=True)
    meanwhile = changed.since + timedelta(days=1)
    for axes, column, title in (
        (of_forecast, 0, f"Forecast changed by, units ({changed.first:%-d %b} to {changed.last:%-d %b})"),
        (of_sales, 1, f"Sold beside what was expected, units ({meanwhile:%-d %b} to {changed.vintage:%-d %b})"),
    ):
        values = [row[column] for row in drawn]
        axes.barh(range(len(names)), values, color=[BLUE if value >= 0 else ORANGE for value in values], height=0.7)
        axes.axvline(0, color=INK, linewidth=0.8)
        _plain(axes, title)
    of_forecast.set_yticks(range(len(names)), names, fontsize=8)
    of_forecast.invert_yaxis()
    return figure


def _draw_forecast(axes: Any, told: "Explained") -> None:
    ahead, begin = told.forecast, pd.Timestamp(told.as_of) - pd.Timedelta(days=SHOWN_DAYS)
    sold = told.sold[told.sold.index > begin]
    axes.plot(sold.index, sold, color=INK, linewidth=1, label="sold")
    out = told.out[told.out.index > begin]
    if len(out):
        by_day = out.reindex(pd.date_range(begin, pd.Timestamp(told.as_of), freq="D"), fill_value=0.0)
        across = axes.get_xaxis_transform()
        axes.fill_between(
            by_day.index, 0, by_day, step="mid", transform=across, color=GREY, alpha=0.4, linewidth=0, label=told.out_of
        )
    axes.fill_between(
        ahead["date"], ahead["q10"], ahead["q90"], color=BLUE, alpha=0.2, linewidth=0, label="80 % interval"
    )
    axes.plot(ahead["date"], ahead["mean"], color=BLUE, linewidth=1.8, label="forecast")
    axes.axvline(pd.Timestamp(told.as_of) + pd.Timedelta(hours=12), color=GREY, linewidth=0.8, linestyle=":")
    axes.set_ylim(bottom=0, top=1.25 * max(sold.max() if len(sold) else 0, ahead["q90"].max(), 1))
    axes.set_xlim(begin, ahead["date"].iloc[-1] + pd.Timedelta(days=1))
    events = told.events[told.events["date"].between(begin, ahead["date"].iloc[-1])]
    last, top, told_already = begin, True, ""
    for day in events["date"].unique():
        axes.axvline(day, color=ORANGE, linewidth=0.7, alpha=0.6)
        names, near = ", ".join(events.loc[events["date"] == day, "event"]), day - last < pd.Timedelta(days=3)
        if near and names == told_already:
            continue
        # Labels of neighbouring days would lie upon each other.
        top = not (near and top)
        last, told_already = day, names
        axes.annotate(
            _literal(names),
            (day, 0.99 if top else 0.01),
            xycoords=("data", "axes fraction"),
            xytext=(2, 0),
            textcoords="offset points",
            rotation=90,
            va="top" if top else "bottom",
            fontsize=7,
            color=ORANGE,
        )
    axes.legend(loc="upper left", bbox_to_anchor=(0, 1.13), ncols=4, frameon=False, fontsize=8)
    _plain(axes, "")
    axes.set_ylabel("units a day", fontsize=8)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    _dates(axes)


def _draw_prices(axes: Any, told: "Explained") -> None:
    assert told.prices is not None
    begin, end = pd.Timestamp(told.as_of) - pd.Timedelta(days=SHOWN_DAYS), told.forecast["date"].iloc[-1]
    shown = told.prices[told.prices["valid_until"].fillna(end) >= begin]
    days, prices = [*shown["valid_from"], end], [*shown["price"], *shown["price"].tail(1)]
    axes.step(days, prices, where="post", color=INK, linewidth=1.2)
    if prices:
        axes.set_ylim(0.9 * min(prices), 1.1 * max(prices))
    _plain(axes, "Price")
    axes.tick_params(labelbottom=False)


def _draw_trend(axes: Any, told: "Explained", title: str) -> None:
    weeks = told.sold_around.rolling(28, min_periods=7).mean()
    begin = min(parts.values.index[0] for parts in told.parts.values())
    axes.plot(weeks[weeks.index >= begin], color=GREY, linewidth=1, label="mean of 28 days sold")
    for parts in told.parts.values():
        axes.plot(
            parts.values[TREND],
            color=_COLOURS[parts.model],
            linestyle=_LINES[parts.model],
            linewidth=1.5,
            label=f"trend ({parts.model})",
        )
    axes.axvline(pd.Timestamp(told.as_of), color=GREY, linewidth=0.8, linestyle=":")
    axes.legend(frameon=False, fontsize=7, ncols=3, loc="best")
    _plain(axes, title)
    _dates(axes)


def _draw_year(axes: Any, told: "Explained") -> None:
    drawn = [parts for parts in told.parts.values() if YEARLY in parts.values]
    for parts in drawn:
        # Weekends have a wave of their own; a week's mean is what people call a season.
        year = parts.effect(YEARLY).rolling(7, center=True, min_periods=1).mean().tail(365)
        axes.plot(year, color=_COLOURS[parts.model], linestyle=_LINES[parts.model])
    if drawn:
        axes.axhline(0, color=GREY, linewidth=0.8)
        axes.axvline(pd.Timestamp(told.as_of), color=GREY, linewidth=0.8, linestyle=":")
        _plain(axes, f"Year, {drawn[0].effect_unit}")
        _dates(axes)
    else:
        _nothing(axes, "Year", "less than two years of history:\nno yearly season is told")


def _draw_week(axes: Any, told: "Explained") -> None:
    for parts in told.parts.values():
        axes.plot(
            WEEKDAYS,
            parts.relative(parts.weekdays()),
            color=_COLOURS[parts.model],
            linestyle=_LINES[parts.model],
            marker="o",
            ms=4,
        )
    axes.axhline(0, color=GREY, linewidth=0.8)
    _plain(axes, f"Week, {told.parts[ADDITIVE].effect_unit}")


def _draw_month(axes: Any, told: "Explained") -> None:
    parts = told.parts[ADDITIVE]
    month = parts.effect(MONTHLY)
    by_day = month.groupby(pd.DatetimeIndex(month.index).day).mean()
    axes.plot(by_day, color=_COLOURS[parts.model])
    axes.axhline(0, color=GREY, linewidth=0.8)
    _plain(axes, f"Day of the month, {parts.effect_unit}")


def _draw_events(axes: Any, told: "Explained") -> None:
    parts = told.parts[ADDITIVE]
    events = parts.effects(told.as_of)[:MOST_EVENTS]
    if not events:
        _nothing(axes, "Events", "no event in the last year")
        return
    places = range(len(events))
    values = [float(parts.relative(event.value)) for event in events]
    colours = [BLUE if event.coming is not None else GREY for event in events]
    axes.barh(places, values, color=colours, height=0.65)
    days = ["" if event.coming is None else f" ({event.coming:%-d %b})" for event in events]
    names = [_literal(event.name) + day for event, day in zip(events, days, strict=True)]
    axes.set_yticks(places, names, fontsize=7)
    axes.set_ylim(MOST_EVENTS - 0.5, -0.5)
    axes.axvline(0, color=INK, linewidth=0.8)
    _plain(axes, f"Events, {parts.effect_unit} (blue: ahead)")


def _literal(text: str) -> str:
    """Two dollars are a price, not a formula."""
    return text.replace("$", r"\$")


def _plain(axes: Any, title: str) -> None:
    axes.set_title(title, fontsize=9, loc="left", color=INK)
    axes.tick_params(labelsize=8, colors=INK, length=2)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)


def _dates(axes: Any) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=3, maxticks=9)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axes.xaxis.get_offset_text().set_fontsize(8)


def _nothing(axes: Any, title: str, why: str) -> None:
    _plain(axes, title)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.text(0.5, 0.5, why, transform=axes.transAxes, ha="center", va="center", fontsize=8, color=GREY)
