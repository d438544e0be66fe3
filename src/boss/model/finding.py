"""What jobs are found by: the filter that lists, redo, stop and delete share. Pure."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from boss.errors import BadInput
from boss.model.job import JobRecord, Outcome, State

_LONGEST_REASON = 200


class JobFilter(NamedTuple):
    """Which jobs are meant; None stands for any. The time of a job is that of its finish, or else of its submit.

    Attributes:
        state: the state.
        sources: the sources.
        outcome: the outcome. Only done jobs have one.
        since: the earliest time.
        until: the time before which it must be.
        reason: words in the reason of a done job, in upper or lower case.
    """

    state: State | None = None
    sources: Sequence[str] | None = None
    outcome: Outcome | None = None
    since: datetime | None = None
    until: datetime | None = None
    reason: str | None = None

    def by_time(self) -> bool:
        """Whether it asks for more than a state and sources, and so for the newest first."""
        return any(each is not None for each in (self.outcome, self.since, self.until, self.reason))


class Place(NamedTuple):
    """A place in a list that has the newest first: after the job of this time and id, or after all of this time."""

    at: datetime
    id: str = ""


class FoundJob(NamedTuple):
    """A job that was found: its id, its time and its attempt."""

    id: str
    at: datetime
    attempt: int

    def place(self) -> Place:
        """Its place in the list."""
        return Place(self.at, self.id)


def checked(asked: JobFilter) -> JobFilter:
    """The filter itself; for an outcome or a reason, that of done jobs.

    Raises:
        BadInput: no job can match it.
    """
    if asked.outcome is None and asked.reason is None:
        return asked
    if asked.state not in (None, State.DONE):
        name = "reason" if asked.outcome is None else "outcome"
        raise BadInput(f"only done jobs have {name}s; leave out the {name}, or ask for the state done")
    return asked._replace(state=State.DONE)


def check_reason(words: str) -> str:
    """The words themselves, if jobs can be found by them; raises BadInput otherwise."""
    if not 0 < len(words) <= _LONGEST_REASON or "\0" in words:
        raise BadInput(f"the reason to look for takes 1 to {_LONGEST_REASON} characters, and no NUL")
    return words


def time_of(record: JobRecord) -> datetime:
    """The time by which a job stands in a list."""
    return record.finished_at if record.state is State.DONE and record.finished_at else record.submitted_at
