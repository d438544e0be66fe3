"""Instants for a person to read: how long ago."""

from datetime import UTC, datetime

# Each entry: ages below this many seconds are written in this unit, so many seconds long. Older ones are dates.
_UNITS = ((60, 1, "s"), (3600, 60, "min"), (2 * 86_400, 3600, "h"), (60 * 86_400, 86_400, "days"))


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


def span(seconds: float) -> str:
    """A span of time as the option --expires takes it: 90d, 12h, 30m, 45s, in the greatest unit that divides it."""
    for unit, name in ((86_400, "d"), (3600, "h"), (60, "m")):
        if seconds and seconds % unit == 0:
            return f"{seconds / unit:g}{name}"
    return f"{seconds:g}s"


def second(instant: str | None) -> str:
    """An instant without fractions of a second; empty when there is none."""
    return instant[:19] + "Z" if instant else ""
