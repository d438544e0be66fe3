"""Read which jobs a request is about: the filter in its query, and the place where a page begins."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import urlencode

from boss.errors import BadInput
from boss.http import auth, parameters
from boss.model import job
from boss.model.finding import JobFilter, Place, check_reason, checked
from boss.model.job import Outcome
from boss.model.permissions import Principal

FILTER = ("outcome", "since", "until", "reason")
# A time and, unless the page begins after all jobs of that time, an id.
_PLACE = re.compile(r"([^,]+),([^,]*)")


def of_query(query: Mapping[str, str], principal: Principal) -> JobFilter:
    """The filter in a query, for the sources that this principal reaches.

    Raises:
        BadInput: a value is invalid, or no job can match them all.
        Forbidden: the principal's token is not for the source.
    """
    sources = None if principal.sources is None else sorted(principal.sources)
    if "source" in query:
        sources = [job.check_source(query["source"])]
        auth.check_source_reached(principal, sources[0])
    return checked(
        JobFilter(
            parameters.state(query),
            sources,
            outcome(query),
            parameters.instant(query, "since"),
            parameters.instant(query, "until"),
            check_reason(query["reason"]) if "reason" in query else None,
        )
    )


def outcome(query: Mapping[str, str]) -> Outcome | None:
    """`?outcome=` of jobs that are looked for; None when absent."""
    text = query.get("outcome")
    if text is not None and text not in list(Outcome):
        raise BadInput(f"the outcome is {text!a}; it takes {', '.join(Outcome)}")
    return None if text is None else Outcome(text)


def place(query: Mapping[str, str]) -> Place | None:
    """`?after=`, the place where a page begins that has the newest first; None when absent."""
    text = query.get("after")
    if text is None:
        return None
    found = _PLACE.fullmatch(text)
    at = parameters.instant({"after": found[1]}, "after") if found else None
    if found is None or at is None:
        raise BadInput(f"the parameter after is {text[:120]!a}; follow the address in next, which has it")
    return Place(at, job.check_id(found[2]) if found[2] else "")


def place_text(place: Place) -> str:
    """The value of `?after=` for a place."""
    return f"{instant_text(place.at)},{place.id}"


def instant_text(at: datetime) -> str:
    """An instant as RFC 3339 has it, to the microsecond."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def address(path: str, query: Mapping[str, str]) -> str:
    """The address of a path with this query."""
    return f"{path}?{urlencode(query, safe=':,')}"
