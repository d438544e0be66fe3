"""The query's parameters, from text to values; each error says what would be right."""

import re
from collections.abc import Mapping
from datetime import datetime

from boss.errors import BadInput
from boss.job import HIGHEST_PRIORITY, LOWEST_PRIORITY, Outcome, State

_INTEGER = re.compile(r"[+-]?[0-9]{1,10}")
_SECONDS = re.compile(r"[0-9]{1,10}(\.[0-9]{1,9})?")
# RFC 3339, section 5.6; a space for the T is allowed there, a missing offset is not.
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_LONGEST_DELAY = 10 * 366 * 24 * 3600


def priority(query: Mapping[str, str]) -> int:
    """`?priority=`, 0 when absent."""
    return _integer(query, "priority", 0, LOWEST_PRIORITY, HIGHEST_PRIORITY)


def limit(query: Mapping[str, str], default: int) -> int:
    """`?limit=`, from 1 to 1,000."""
    return _integer(query, "limit", default, 1, 1000)


def delay(query: Mapping[str, str]) -> float | None:
    """`?delay=` in seconds, None when absent."""
    text = query.get("delay")
    if text is None:
        return None
    if not _SECONDS.fullmatch(text) or float(text) > _LONGEST_DELAY:
        raise BadInput(f"the delay is {text!a}; it takes seconds from 0 to {_LONGEST_DELAY}, for instance 60")
    return float(text)


def at(query: Mapping[str, str]) -> datetime | None:
    """`?at=` as an instant, None when absent."""
    text = query.get("at")
    if text is None:
        return None
    try:
        # In a query a plus sign that was not percent-encoded arrives as a space.
        return _instant(re.sub(r" (\d\d:\d\d)$", r"+\1", text))
    except ValueError:
        raise BadInput(
            f"the time in at is {text!a}; it takes an RFC 3339 time with its offset, for instance 2026-11-24T18:30:00Z"
        ) from None


def outcome(query: Mapping[str, str]) -> Outcome:
    """`?outcome=`, completed when absent."""
    text = query.get("outcome", Outcome.COMPLETED)
    if text not in list(Outcome):
        raise BadInput(f"the outcome is {text!a}; it takes {', '.join(Outcome)}")
    return Outcome(text)


def state(query: Mapping[str, str]) -> State | None:
    """`?state=`, None when absent."""
    text = query.get("state")
    if text is not None and text not in list(State):
        raise BadInput(f"the state is {text!a}; it takes {', '.join(State)}")
    return None if text is None else State(text)


def _integer(query: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not _INTEGER.fullmatch(text) or not least <= int(text) <= most:
        raise BadInput(f"the {name} is {text!a}; it takes a whole number from {least} to {most}")
    return int(text)


def _instant(text: str) -> datetime:
    if not _INSTANT.fullmatch(text):
        raise ValueError
    instant = datetime.fromisoformat(text.upper())
    # asyncpg turns it into UTC, which must not leave the years that Python and PostgreSQL share.
    if not 2 <= instant.year <= 9998:
        raise ValueError
    return instant
