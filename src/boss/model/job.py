"""What a job is: its names, its states, its properties. Pure."""

import re
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from boss.errors import BadInput

_SOURCE = re.compile(r"[A-Za-z0-9._-]{1,100}")
_ID = re.compile(r"[A-Za-z0-9._~-]{1,64}")
LOWEST_PRIORITY, HIGHEST_PRIORITY = -1000, 1000
DEFAULT_ATTEMPTS, MOST_ATTEMPTS = 25, 1_000_000
MOST_SOURCES = 100
# The most that a reader is given at once, in bytes, and so the most that --max-document can be.
MOST_TEXT = 32 * 1024 * 1024
DEFAULT_LEASE, LONGEST_LEASE = 30 * 60, 366 * 24 * 3600  # seconds


class State(StrEnum):
    """The only three states; the value is the word in the URL, the name the one in the `status` column."""

    AVAILABLE = "available"
    ACTIVE = "active"
    DONE = "done"


class Outcome(StrEnum):
    """How a done job ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    STOPPED = "stopped"
    # Its last attempt's lease ran out; maintenance says so, never a client.
    ABANDONED = "abandoned"


REPORTED_OUTCOMES = (Outcome.COMPLETED, Outcome.FAILED, Outcome.STOPPED)


class Job(NamedTuple):
    """A job as a taker or a reader sees it; `document` is JSON text, passed through as stored.

    `traceparent` is the trace it was submitted in, for who takes it.
    """

    id: str
    source: str
    state: State
    document: str
    attempt: int
    traceparent: str | None = None


class Take(NamedTuple):
    """What a taker asks for: at least one and at most `limit` jobs of a source, of any when None.

    `lease` is how many seconds it may then stay silent, 0 for ever. The same `key` again means the same take again.
    `by` is the name of its token. Without a source it takes from `sources`, when these are given; `fair` gives of the
    source that has the fewest active jobs.
    """

    source: str | None
    limit: int = 1
    lease: int = DEFAULT_LEASE
    key: str | None = None
    by: str | None = None
    sources: tuple[str, ...] | None = None
    fair: bool = False

    def of(self) -> tuple[str, ...] | None:
        """The sources that it takes from, None for all."""
        return self.sources if self.source is None else (self.source,)


class Taken(NamedTuple):
    """A job that was just taken; `at` is when, which with the id names this one take and no other.

    `priority` and `position` are its place in the queue.
    """

    job: Job
    lease: int
    at: datetime
    priority: int
    position: int


class Location(NamedTuple):
    """Where a job is: the parts of its address, the attempt it is in, and its lease in seconds."""

    source: str
    state: State
    attempt: int
    lease: int

    def is_at(self, source: str, state: State) -> bool:
        """Whether the job is there."""
        return self.source == source and self.state is state


class SourceLimit(NamedTuple):
    """The limit of a source: no job is handed out while it is `paused`, and at most `limit` are active at once."""

    source: str
    paused: bool = False
    limit: int | None = None


class JobRecord(NamedTuple):
    """A job with all its properties, for lists and history. Times are the database's.

    `submitted_by`, `taken_by` and `finished_by` are names of tokens; `history` is JSON text, one object for each
    attempt before this one: `attempt`, `taken`, `by`, `ended`, `how`, and `result` if it left one.
    """

    id: str
    source: str
    state: State
    priority: int
    document: str
    submitted_at: datetime
    due_at: datetime | None
    attempt: int
    attempts: int
    taken_at: datetime | None
    seen_at: datetime | None
    lease_until: datetime | None
    finished_at: datetime | None
    outcome: str | None
    result: str | None
    submitted_by: str | None
    taken_by: str | None
    finished_by: str | None
    history: str | None


class Submission(NamedTuple):
    """A job to be stored: due after `delay` seconds or at `due_at`, at once when both are None.

    `attempts` is how many takes it gets before it is given up, `traceparent` the trace that it belongs to, `by` the
    name of the token it came with. `document_bytes` is the size of the document's text (`document.JsonText`); None has
    it measured when it is needed.
    """

    id: str
    source: str
    document: str
    priority: int = 0
    delay: float | None = None
    due_at: datetime | None = None
    attempts: int = DEFAULT_ATTEMPTS
    traceparent: str | None = None
    by: str | None = None
    document_bytes: int | None = None


class JobLine(NamedTuple):
    """One of many jobs that a client submits: its id and, as JSON text, its document."""

    id: str
    document: str


class Finish(NamedTuple):
    """A job to be moved to done, with its outcome and, as JSON text, its result; only in `attempt`, if given.

    `by` is the name of the token it came with, `result_bytes` the size of the result's text (`document.JsonText`).
    """

    id: str
    source: str
    outcome: Outcome = Outcome.COMPLETED
    result: str | None = None
    attempt: int | None = None
    by: str | None = None
    result_bytes: int | None = None


class Check(NamedTuple):
    """A taker's sign of life for an active job; only in `attempt`, if given."""

    id: str
    source: str
    attempt: int | None = None


class GiveBack(NamedTuple):
    """An active job to be made available again after `delay` seconds, or as backoff.py says when None.

    `result` is what the attempt leaves behind, as JSON text: why it failed, for instance; `result_bytes` is the size of
    that text. `by` is the name of the token it came with. An `uncounted` attempt is not one of those that the job may
    have: there may be one more of them. It comes back at once when `delay` is None.
    """

    id: str
    source: str
    delay: float | None = None
    attempt: int | None = None
    result: str | None = None
    by: str | None = None
    result_bytes: int | None = None
    uncounted: bool = False


def check_source(name: str) -> str:
    """The name itself, when it can be a source; BadInput otherwise."""
    if not _SOURCE.fullmatch(name):
        raise BadInput(f"{_shown(name)} cannot be a source: it takes 1 to 100 of A-Z a-z 0-9 . _ -")
    return name


def check_sources(names: str) -> tuple[str, ...]:
    """The sources that are named, with commas between them: each once, sorted; BadInput when one cannot be."""
    sources = tuple(sorted({check_source(name) for name in names.split(",")}))
    if len(sources) > MOST_SOURCES:
        raise BadInput(f"{len(sources):,} sources are named; one take can name {MOST_SOURCES} at most")
    return sources


def check_id(name: str) -> str:
    """The name itself, when it can be a job's id; BadInput otherwise."""
    if not _ID.fullmatch(name):
        raise BadInput(f"{_shown(name)} cannot be an id: it takes 1 to 64 of A-Z a-z 0-9 . _ ~ -")
    return name


def check_new_source(name: str) -> str:
    """As `check_source`, for one that jobs are to come to; BadInput for what no client can address."""
    return _addressable(check_source(name), "a source")


def check_new_id(name: str) -> str:
    """As `check_id`, for a job that is to be; BadInput for what no client can address."""
    return _addressable(check_id(name), "an id")


def _addressable(name: str, what: str) -> str:
    # To a client of HTTP these are this folder and the one above it, also as %2e: it sends another path.
    if name in (".", ".."):
        raise BadInput(f"{name!a} cannot be {what}: it means something else in a URL, so no client can address it")
    return name


def _shown(name: str) -> str:
    return ascii(name if len(name) <= 120 else name[:117] + "...")
