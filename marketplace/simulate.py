"""The command `coldframe simulate`: days of a marketplace that never was, into a folder."""

import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

from coldframe.errors import ConfigurationError
from coldframe.settings import get_settings
from marketplace import parameters
from marketplace.delivery import default_folder, found_deliveries


def simulate(
    size: str | None = None,
    preset: str | None = None,
    file: Path | None = None,
    out: Path | None = None,
    first: str | None = None,
    last: str | None = None,
    seed: int | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> str:
    """Generates the days from `first` to `last` that are not in `out` yet and says what was done.

    Without `size`, `preset`, `file` and `seed`, a folder that is there goes on with its own parameters. `tell` gets a
    line of progress after each day. Raises ConfigurationError for what does not fit, also for a day after today.
    """
    if file is not None and (size or preset):
        raise ConfigurationError("--parameters says everything; leave out --size and --preset.")
    begin, end, today = _day(first, "--from"), _day(last, "--to"), _today()
    if end is not None and end > today:
        raise ConfigurationError(f"--to {end} is after today ({today}, UTC). Give {today} or a day before.")
    if begin is not None and begin > (end or today):
        raise ConfigurationError(
            f"--from {begin} is after {f'--to {end}' if end else f'today ({today}, UTC)'}. Give an earlier day."
        )
    wanted = None
    if file is not None:
        wanted = parameters.load(file.expanduser(), seed)
    elif size or preset or seed is not None:
        wanted = parameters.compose(size or "demo", preset or "calm", seed)
    folder = out.expanduser().resolve() if out else default_folder(get_settings().home)
    made = found_deliveries(folder, wanted)
    began, lines = time.monotonic(), 0

    def count(day: date, number: int, total: int, rows: int) -> None:
        nonlocal lines
        lines += rows
        tell(f"{day}: {number:,} of {total:,} days, {lines:,} order lines, {_rate(lines, began)}")

    if end is None and made.last_day > today:
        raise ConfigurationError(
            f"scale.days reach to {made.last_day}, after today ({today}, UTC). Say up to when: --to {today} or before."
        )
    end = end or made.last_day
    days = made.generate(begin, end, count)
    if not days:
        return f"{folder} has these days already; nothing was generated."
    return (
        f"{days:,} day{'s' * (days > 1)} with {lines:,} order lines up to {end} are in {folder}, {_rate(lines, began)}."
    )


def _today() -> date:
    return datetime.now(UTC).date()


def _rate(lines: int, began: float) -> str:
    return f"{lines / max(time.monotonic() - began, 1e-9):,.0f} a second"


def _day(text: str | None, option: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError as error:
        raise ConfigurationError(f"{option} {text} is not a day like 2024-03-31.") from error
