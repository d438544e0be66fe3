"""A job: its names, its states, its properties, and the commands about it. Pure."""

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
# The most jobs that one job comes after.
MOST_AFTER = 100
# The most bytes of documents that one reader gets at once, and so the largest --max-document.
MOST_TEXT = 32 * 1024 * 1024
# The most bytes of a note's text.
MOST_NOTE = 64 * 1024
DEFAULT_LEASE, LONGEST_LEASE = 30 * 60, 366 * 24 * 3600  # seconds
# The longest time in which an attempt, or a job that nobody takes, may have to end.
LONGEST_TIMEOUT_S = 366 * 24 * 3600


class State(StrEnum):
    """The three states of a job. The value is the word in the URL; the name is what the `status` column holds."""

    AVAILABLE = "available"
    ACTIVE = "active"
    DONE = "done"


class Outcome(StrEnum):
    """How a done job ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    STOPPED = "stopped"
    # The lease of its last attempt expired. Only maintenance sets this, never a client.
    ABANDONED = "abandoned"


REPORTED_OUTCOMES = (Outcome.COMPLETED, Outcome.FAILED, Outcome.STOPPED)


class Job(NamedTuple):
    """A job as a taker or a reader sees it; `document` is JSON text, passed through as stored.

    `traceparent` is the trace in which it was submitted, so that its taker can continue it. `note` is, as JSON text,
    what its last attempt left for the next; only a taker sees it here.
    """

    id: str
    source: str
    state: State
    document: str
    attempt: int
    traceparent: str | None = None
    note: str | None = None


class Take(NamedTuple):
    """A request for jobs: at least one and at most `limit`, of one source, of several, or of any.

    Attributes:
        source: the source to take from; None for `sources`.
        limit: the most jobs to take.
        lease: how many seconds the taker may go without a heartbeat; 0 for no limit.
        lease_by_rule: whether the rule of the job's source says the lease, if it says one.
        key: an idempotency key. The same key again means the same take again.
        by: the name of the taker's token.
        sources: when `source` is None, the sources to take from; None for any.
        fair: whether jobs come from the source that has the fewest active jobs.
        converter: the name of the converter that takes them; None when it has not said.
    """

    source: str | None
    limit: int = 1
    lease: int = DEFAULT_LEASE
    key: str | None = None
    by: str | None = None
    sources: tuple[str, ...] | None = None
    fair: bool = False
    converter: str | None = None
    lease_by_rule: bool = False

    def of(self) -> tuple[str, ...] | None:
        """The sources to take from; None for any."""
        return self.sources if self.source is None else (self.source,)


class Taken(NamedTuple):
    """A job that was just taken. Its id and the time `at` identify this take among all others.

    `priority` and `position` give its order in the queue.
    """

    job: Job
    lease: int
    at: datetime
    priority: int
    position: int


class Location(NamedTuple):
    """Where a job is: the parts of its address, its current attempt, and its lease in seconds."""

    source: str
    state: State
    attempt: int
    lease: int

    def is_at(self, source: str, state: State) -> bool:
        """Whether the job has this source and state."""
        return self.source == source and self.state is state


class JobRecord(NamedTuple):
    """A job with all its properties, for lists and history. Times are by the database's clock.

    `submitted_by`, `taken_by` and `finished_by` are names of tokens, and `converter` is what the taker calls itself.
    `history` is JSON text with one object for each earlier attempt: `attempt`, `taken`, `by`, `converter`, `ended`,
    `how`, and `why` if it is known. `note` is the JSON text that an attempt left. An attempt may take `timeout`
    seconds, and at `expires_at` the job ends if nobody has taken it. It comes after the jobs `after_ids`, and is
    `is_blocked` while they are not all completed.
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
    converter: str | None
    history: str | None
    note: str | None
    timeout: int | None
    expires_at: datetime | None
    after_ids: list[str] | None
    is_blocked: bool


class JobPage(NamedTuple):
    """One page of a list, and whether there are more jobs after it."""

    jobs: list[JobRecord]
    more: bool


class Submission(NamedTuple):
    """A job to be stored: due after `delay` seconds or at `due_at`, at once when both are None.

    Attributes:
        attempts: the maximum number of attempts before the job fails or is abandoned.
        traceparent: the trace that the job belongs to.
        by: the name of the token that submitted it.
        document_bytes: the size of the document's text (`document.JsonText`); None to measure it when it is needed.
        is_made: True when this Boss made the id, so that no other job has it; None when the id was given.
        timeout: how many seconds each attempt may take; None for any time.
        expires: after how many seconds the job ends if nobody has taken it; None for never.
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
    is_made: bool | None = None
    timeout: int | None = None
    expires: int | None = None


class After(NamedTuple):
    """The jobs that new ones come after: distinct ids, of jobs of these sources, or of any when None."""

    ids: tuple[str, ...]
    sources: frozenset[str] | None


class Change(NamedTuple):
    """Changes an available job; what is None stays as it is. With an attempt, only while the job is in it.

    Attributes:
        document: its new document, as JSON text.
        document_bytes: the size of that text.
        priority: its new priority.
        delay: it is due after so many seconds, from now on.
        due_at: it is due at this time.
        timeout: how many seconds each attempt may take from now on.
        expires: after how many seconds, from now on, it ends if nobody has taken it.
        by: the name of the principal's token, for the audit event.
    """

    id: str
    source: str
    attempt: int | None
    document: str | None
    document_bytes: int | None
    priority: int | None
    delay: float | None
    due_at: datetime | None
    timeout: int | None
    expires: int | None
    by: str | None


class Redo(NamedTuple):
    """Makes a done job available again; with an attempt, only while the job is in it.

    Attributes:
        document: its new document, as JSON text; None for the one it has.
        document_bytes: the size of that text.
        by: the name of the principal's token, for the job's history and the audit event.
    """

    id: str
    source: str
    attempt: int | None
    document: str | None
    document_bytes: int | None
    by: str | None


class JobLine(NamedTuple):
    """One of many jobs that a client submits: its id and, as JSON text, its document."""

    id: str
    document: str


class Finish(NamedTuple):
    """Moves a job to done, with its outcome and, as JSON text, its result; only while it is in `attempt`, if given.

    `by` is the name of the token that sent this, and `result_bytes` the size of the result's text
    (`document.JsonText`).
    """

    id: str
    source: str
    outcome: Outcome = Outcome.COMPLETED
    result: str | None = None
    attempt: int | None = None
    by: str | None = None
    result_bytes: int | None = None


class Check(NamedTuple):
    """A taker's heartbeat for an active job; only while it is in `attempt`, if given."""

    id: str
    source: str
    attempt: int | None = None


class Note(NamedTuple):
    """Leaves a note, as JSON text, with an active job, which renews its lease; only while it is in `attempt`, if given.

    The `text` takes the place of the note before.
    """

    id: str
    source: str
    attempt: int | None
    text: str


class GiveBack(NamedTuple):
    """Makes an active job available again for a retry; only while it is in `attempt`, if given.

    Attributes:
        delay: seconds before the next attempt. None for the backoff, or for none at all when `uncounted`.
        result: what the attempt leaves behind, as JSON text, for instance why it failed.
        by: the name of the token that sent this.
        result_bytes: the size of the result's text (`document.JsonText`).
        uncounted: whether this attempt does not count: the job gets one more.
    """

    id: str
    source: str
    delay: float | None = None
    attempt: int | None = None
    result: str | None = None
    by: str | None = None
    result_bytes: int | None = None
    uncounted: bool = False


def jobs_in_words(count: int) -> str:
    """A number of jobs in words: `1 job`, `1,200 jobs`."""
    return "1 job" if count == 1 else f"{count:,} jobs"


def check_source(name: str) -> str:
    """The name itself if it can be a source; raises BadInput otherwise."""
    if not _SOURCE.fullmatch(name):
        raise BadInput(f"{_shown(name)} cannot be a source: it takes 1 to 100 of A-Z a-z 0-9 . _ -")
    return name


def check_sources(names: str) -> tuple[str, ...]:
    """The sources in a list with commas: each once, sorted. Raises BadInput when a name cannot be a source."""
    sources = tuple(sorted({check_source(name) for name in names.split(",")}))
    if len(sources) > MOST_SOURCES:
        raise BadInput(f"{len(sources):,} sources are named; one take can name {MOST_SOURCES} at most")
    return sources


def check_id(name: str) -> str:
    """The name itself if it can be a job's id; raises BadInput otherwise."""
    if not _ID.fullmatch(name):
        raise BadInput(f"{_shown(name)} cannot be an id: it takes 1 to 64 of A-Z a-z 0-9 . _ ~ -")
    return name


def check_new_source(name: str) -> str:
    """Like `check_source`, for a source that is to get jobs; also raises BadInput for a name no client can address."""
    return _addressable(check_source(name), "a source")


def check_new_id(name: str) -> str:
    """Like `check_id`, for a job that is to be stored; also raises BadInput for a name that no client can address."""
    return _addressable(check_id(name), "an id")


def _addressable(name: str, what: str) -> str:
    # HTTP clients resolve these, even as %2e, to this folder and the one above, and so request another path.
    if name in (".", ".."):
        raise BadInput(f"{name!a} cannot be {what}: it means something else in a URL, so no client can address it")
    return name


def _shown(name: str) -> str:
    return ascii(name if len(name) <= 120 else name[:117] + "...")
