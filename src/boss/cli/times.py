"""Instants and spans of time, for a person to read and to write."""

import re
from datetime import UTC, datetime

# Each entry: ages below this many seconds are written in this unit, so many seconds long. Older ones are dates.
_UNITS = ((60, 1, "s"), (3600, 60, "min"), (2 * 86_400, 3600, "h"), (60 * 86_400, 86_400, "days"))

_SECONDS = {"d": 86_400, "h": 3600, "m": 60, "s": 1}
_SPAN = re.compile(r"(\d{1,9})([dhms])")


def ago(instant: str, now: datetime | None = None) -> str:
    """An instant as "3 min ago", "in 5 h", or a date when it is far away."""
    seconds = ((now or datetime.now(UTC)) - datetime.fromisoformat(instant)).total_seconds()
    far = round(abs(seconds))
    if not far:
        return "just now"
    for below, unit, name in _UNITS:
        if far < below:
            return f"{far // unit} {name} ago" if seconds > 0 else f"in {far // unit} {name}"
    return instant[:10]


def seconds_of(span: str) -> int | None:
    """The seconds of a span of time such as 90d, 12h, 30m or 45s; None when it is none."""
    found = _SPAN.fullmatch(span)
    return int(found[1]) * _SECONDS[found[2]] if found else None


def span(seconds: float) -> str:
    """A span of time as the option --expires takes it: 90d, 12h, 30m, 45s, in the greatest unit that divides it."""
    name, unit = next((name, unit) for name, unit in _SECONDS.items() if (seconds and seconds % unit == 0) or unit == 1)
    return f"{seconds / unit:g}{name}"


def second(instant: str | None) -> str:
    """An instant without fractions of a second; empty when there is none."""
    return instant[:19] + "Z" if instant else ""
