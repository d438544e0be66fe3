"""Durations for people. Pure."""


def duration(seconds: float) -> str:
    """A number of seconds, for people: `42 s`, `3 min`, `5.5 h`, `12 days`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.0f} days"
