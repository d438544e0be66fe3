"""Parse query parameters and headers into values. Each error says what would be valid."""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import parse_qsl

from boss.errors import BadInput
from boss.model.job import (
    HIGHEST_PRIORITY,
    LONGEST_LEASE,
    LONGEST_TIMEOUT_S,
    LOWEST_PRIORITY,
    MOST_AFTER,
    MOST_ATTEMPTS,
    REPORTED_OUTCOMES,
    Outcome,
    State,
    check_id,
)

_INTEGER = re.compile(r"[+-]?[0-9]{1,10}")
_SECONDS = re.compile(r"[0-9]{1,10}(\.[0-9]{1,9})?")
# RFC 3339, section 5.6. It allows a space for the T, but no missing offset.
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_LONGEST_DELAY_S = 10 * 366 * 24 * 3600
# Gateways cut a silent connection at 60 seconds.
LONGEST_WAIT_S = 50
# RFC 7240, section 4.3. Other preferences may come before and after it.
_WAIT = re.compile(r'(?:^|[,;])\s*wait\s*=\s*"?([0-9]{1,9})"?\s*(?=$|[,;])', re.IGNORECASE)
# RFC 9110, sections 8.8.3 and 5.6.1: a list of tags, separated by commas.
_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
_TAGS = re.compile(rf"[ \t,]*{_TAG}(?:[ \t]*,[ \t,]*{_TAG})*[ \t,]*")
_PLAIN_ATTEMPT = re.compile('"([0-9]{1,9})"')
# Compressing proxies change a tag: nginx makes it weak; Apache and Jetty append the coding.
CODING = "(?:(?:-{1,2}|;)(?:gzip|br|deflate|zstd))?"
_ATTEMPT = re.compile(rf'(?:W/)?"([0-9]{{1,9}}){CODING}"')
_NO_ATTEMPT = -1
_TAKE = ("limit", "wait", "lease", "fair")
_SUBMIT = ("priority", "delay", "at", "attempts", "timeout", "expires", "after", "ids")
CHANGE = ("priority", "delay", "at", "timeout", "expires")


class TakeParameters(NamedTuple):
    """The parameters in the query of a take.

    Attributes:
        limit: the most jobs to take; None when absent, for one job that the response does not wrap in a list.
        lease: the length of the lease in seconds; None when absent.
        fair: whether the source with the fewest active jobs comes first.
        wait: how many seconds to wait for a job; None when absent.
    """

    limit: int | None
    lease: int | None
    fair: bool
    wait: int | None


class SubmitParameters(NamedTuple):
    """The parameters in the query of a submit, named as in `Submission`.

    `ids_given` tells whether each line of a batch has its job's id.
    """

    priority: int
    delay: float | None
    at: datetime | None
    attempts: int | None
    timeout: int | None
    expires: int | None
    after: tuple[str, ...] | None
    ids_given: bool


class ChangeParameters(NamedTuple):
    """The parameters of a change; None for what stays as it is."""

    priority: int | None
    delay: float | None
    at: datetime | None
    timeout: int | None
    expires: int | None


def of_change(query: Mapping[str, str]) -> ChangeParameters:
    """Read the parameters of a change.

    Raises:
        BadInput: one has an invalid value.
    """
    _check_times(query)
    return ChangeParameters(
        priority=priority(query) if "priority" in query else None,
        delay=delay(query),
        at=at(query),
        timeout=timeout(query),
        expires=expires(query),
    )


# A submitter sends the same query again and again, and most often none.
@lru_cache(maxsize=256)
def of_submit(text: bytes) -> SubmitParameters:
    """Parse the query of a submit.

    Raises:
        BadInput: the query has an unknown parameter or an invalid value, or cannot be read.
    """
    query = parse_query(text, _SUBMIT)
    _check_times(query)
    return SubmitParameters(
        priority=priority(query),
        delay=delay(query),
        at=at(query),
        attempts=attempts(query),
        timeout=timeout(query),
        expires=expires(query),
        after=after(query),
        ids_given=ids_given(query),
    )


def _check_times(query: Mapping[str, str]) -> None:
    if "delay" in query and "at" in query:
        raise BadInput("delay and at exclude each other; send one of them")
    due_after, ends_after = delay(query), expires(query)
    if due_after and ends_after and ends_after <= due_after:
        raise BadInput(
            f"the job would expire after {ends_after} seconds, before it is due after {due_after:g}; "
            "make expires longer than delay"
        )


# Converters send the same query with every take.
@lru_cache(maxsize=256)
def of_take(text: bytes) -> TakeParameters:
    """Parse the query of a take.

    Raises:
        BadInput: the query has an unknown parameter or an invalid value, or cannot be read.
    """
    query = parse_query(text, _TAKE)
    return TakeParameters(
        limit(query, 1) if "limit" in query else None,
        lease(query, 0) if "lease" in query else None,
        bool(_integer(query, "fair", 0, 0, 1)),
        wait(query),
    )


def parse_query(text: bytes, known: Iterable[str]) -> Mapping[str, str]:
    """The parameters in a query.

    Raises:
        BadInput: the query cannot be read, has a parameter that is not `known`, or has one twice.
    """
    if not text:
        return {}
    try:
        pairs = parse_qsl(
            text.decode("ascii"), keep_blank_values=True, strict_parsing=True, max_num_fields=20, errors="strict"
        )
    except ValueError:
        raise BadInput("the query cannot be read: write it as ?name=value&name=value, percent-encoded") from None
    found: dict[str, str] = {}
    for name, value in pairs:
        if name not in known:
            raise BadInput(f"{name!a} is not a parameter here; {_listed(known)}")
        if name in found:
            raise BadInput(f"duplicate parameter {name}; send it once")
        found[name] = value
    return found


def _listed(known: Iterable[str]) -> str:
    names = ", ".join(sorted(known))
    return f"known are: {names}" if names else "there are none"


def priority(query: Mapping[str, str]) -> int:
    """`?priority=`, 0 when absent."""
    return _integer(query, "priority", 0, LOWEST_PRIORITY, HIGHEST_PRIORITY)


def limit(query: Mapping[str, str], default: int) -> int:
    """`?limit=`, from 1 to 1,000."""
    return _integer(query, "limit", default, 1, 1000)


def attempts(query: Mapping[str, str]) -> int | None:
    """`?attempts=`, the most attempts of a job; None when absent."""
    return _integer(query, "attempts", 0, 1, MOST_ATTEMPTS) if "attempts" in query else None


def timeout(query: Mapping[str, str]) -> int | None:
    """`?timeout=`, the seconds that an attempt may take; None when absent."""
    return _integer(query, "timeout", 0, 1, LONGEST_TIMEOUT_S) if "timeout" in query else None


def expires(query: Mapping[str, str]) -> int | None:
    """`?expires=`, after how many seconds a job ends that nobody has taken; None when absent."""
    return _integer(query, "expires", 0, 1, LONGEST_TIMEOUT_S) if "expires" in query else None


def after(query: Mapping[str, str]) -> tuple[str, ...] | None:
    """`?after=`, the ids of the jobs that come before, each once; None when absent."""
    if "after" not in query:
        return None
    if "delay" in query or "at" in query:
        raise BadInput("after excludes delay and at: the job is ready as soon as the others are completed")
    ids = tuple(dict.fromkeys(check_id(id) for id in query["after"].split(",")))
    if len(ids) > MOST_AFTER:
        raise BadInput(f"after names {len(ids):,} jobs; it takes {MOST_AFTER} at most")
    return ids


def ids_given(query: Mapping[str, str]) -> bool:
    """`?ids=given`: whether each line of a batch has its job's id."""
    if "ids" in query and query["ids"] != "given":
        raise BadInput(f"the parameter ids can only be given, or be left out for generated ids; it is {query['ids']!a}")
    return "ids" in query


def uncounted(query: Mapping[str, str]) -> bool:
    """`?uncounted=1`: whether this attempt does not count towards the job's most attempts."""
    return bool(_integer(query, "uncounted", 0, 0, 1))


def lease(query: Mapping[str, str], default: int) -> int:
    """`?lease=` in seconds, 0 for ever."""
    return _integer(query, "lease", default, 0, LONGEST_LEASE)


def wait(query: Mapping[str, str]) -> int | None:
    """`?wait=` in seconds, None when absent. More than 50 is cut to 50."""
    return min(_integer(query, "wait", 0, 0, 10**9), LONGEST_WAIT_S) if "wait" in query else None


def preferred_wait(prefer: str) -> int | None:
    """How many seconds a request waits, by the header Prefer (RFC 7240); None when it has no `wait`.

    More than 50 is cut to 50. A preference that cannot be read is ignored, as the RFC says.
    """
    found = _WAIT.search(prefer)
    return min(int(found[1]), LONGEST_WAIT_S) if found else None


def attempt(if_match: str | None) -> int | None:
    """The attempt that the header If-Match names; None when every attempt matches.

    A tag that cannot be an attempt's gives a number that matches none. A weak tag means the same as a strong one,
    although RFC 9110 (13.1.1) says that it never matches: the tag is one of the attempt, not of the bytes that a proxy
    has compressed.

    Raises:
        BadInput: the header has no tag, or names several attempts.
    """
    if if_match is None or if_match.strip() == "*":
        return None
    if plain := _PLAIN_ATTEMPT.fullmatch(if_match):
        return int(plain[1])
    tags = re.findall(_TAG, if_match) if _TAGS.fullmatch(if_match) else ()
    attempts = {int(found[1]) for tag in tags if (found := _ATTEMPT.fullmatch(tag))}
    if not tags or len(attempts) > 1:
        raise BadInput(
            f'the If-Match is {if_match[:120]!a}; it takes the one ETag that the take answered, as "3" in quotes'
        )
    return attempts.pop() if attempts else _NO_ATTEMPT


def has_tag(if_none_match: str | None, tag: str) -> bool:
    """Whether the header If-None-Match has this tag, even as changed by a compressing proxy."""
    if if_none_match is None:
        return False
    bare = tag.strip('"')
    return if_none_match.strip() == "*" or any(
        each.removeprefix("W/")[1:].startswith(bare) for each in re.findall(_TAG, if_none_match)
    )


def take_key(idempotency_key: str) -> str:
    """The value of the header Idempotency-Key.

    Raises:
        BadInput: it is empty, too long, or has other characters than printable ASCII.
    """
    key = idempotency_key.strip()
    if not re.fullmatch(r"[\x20-\x7e]{1,255}", key):
        raise BadInput("the Idempotency-Key takes 1 to 255 printable ASCII characters")
    return key


def converter(boss_converter: bytes) -> str:
    """The value of the header Boss-Converter.

    Raises:
        BadInput: it is empty, too long, or has other characters than printable ASCII.
    """
    name = boss_converter.strip()
    if not re.fullmatch(rb"[\x20-\x7e]{1,100}", name):
        raise BadInput("the Boss-Converter takes 1 to 100 printable ASCII characters, for instance host-3/17")
    return name.decode()


def delay(query: Mapping[str, str]) -> float | None:
    """`?delay=` in seconds, None when absent."""
    return _seconds(query, "delay")


def older(query: Mapping[str, str]) -> float:
    """`?older=` in seconds, which is required."""
    found = _seconds(query, "older")
    if found is None:
        raise BadInput("say how old, in seconds: ?older=2592000 deletes what has been done for 30 days")
    return found


def dry_run(query: Mapping[str, str]) -> bool:
    """`?dry_run=1`: whether to change nothing."""
    return bool(_integer(query, "dry_run", 0, 0, 1))


def _seconds(query: Mapping[str, str], name: str) -> float | None:
    text = query.get(name)
    if text is None:
        return None
    if not _SECONDS.fullmatch(text) or float(text) > _LONGEST_DELAY_S:
        raise BadInput(f"the {name} is {text!a}; it takes seconds from 0 to {_LONGEST_DELAY_S}, for instance 60")
    return float(text)


def at(query: Mapping[str, str]) -> datetime | None:
    """`?at=` as an instant, None when absent."""
    return instant(query, "at")


def instant(query: Mapping[str, str], name: str) -> datetime | None:
    """A parameter that is an instant, None when absent."""
    text = query.get(name)
    if text is None:
        return None
    try:
        # In a query a plus sign that was not percent-encoded arrives as a space.
        return _instant(re.sub(r" (\d\d:\d\d)$", r"+\1", text))
    except ValueError:
        raise BadInput(
            f"the time in {name} is {text!a}; it takes an RFC 3339 time with its offset, "
            "for instance 2026-11-24T18:30:00Z"
        ) from None


def outcome(query: Mapping[str, str]) -> Outcome:
    """`?outcome=`, completed when absent."""
    text = query.get("outcome", Outcome.COMPLETED)
    if text not in REPORTED_OUTCOMES:
        raise BadInput(f"the outcome is {text!a}; it takes {', '.join(REPORTED_OUTCOMES)}")
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
    # asyncpg converts it to UTC. The result must stay within the years that both Python and PostgreSQL know, and before
    # the time until which a job is blocked (0016_after.sql).
    if not 2 <= instant.year <= 9997:
        raise ValueError
    return instant
