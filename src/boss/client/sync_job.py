"""A job that a client without async has taken."""

from collections.abc import Callable
from typing import Any, Self

from boss.client.job import AsyncJob
from boss.client.json_text import Document, Json
from boss.model.job import Outcome


class Job:
    """A job that this client has taken, with its heartbeat in the background; see `AsyncJob`.

    Args:
        run: runs a method of the asynchronous job in its event loop, and returns its return value.
        job: the asynchronous job.
    """

    def __init__(self, run: Callable[..., Any], job: AsyncJob) -> None:
        self._run = run
        self._job = job
        self.id, self.source = job.id, job.source
        self.text, self.note_text = job.text, job.note_text
        self.attempt, self.lease, self.traceparent = job.attempt, job.lease, job.traceparent

    @property
    def document(self) -> Document:
        """The document, parsed."""
        return self._job.document

    @property
    def note(self) -> Document | None:
        """The note that its last attempt left, parsed; None without one."""
        return self._job.note

    @property
    def result(self) -> Json | None:
        """The result that is kept with the job when it is done; set it before the work ends."""
        return self._job.result

    @result.setter
    def result(self, result: Json | None) -> None:
        self._job.result = result

    @property
    def stopped(self) -> bool:
        """Whether the work must end: the job was stopped or lost, the attempt timed out, or the converter stops."""
        return self._job.stopped.is_set()

    def check(self) -> None:
        """Raise `Lost` when the work on this job must end. It sends no request: the background heartbeat does."""
        self._job.check()

    def leave_note(self, note: Json) -> None:
        """See `AsyncJob.leave_note`."""
        self._run(self._job.leave_note, note)

    def done(self, result: Json | None = None, outcome: str = Outcome.COMPLETED) -> None:
        """See `AsyncJob.done`."""
        self._run(self._job.done, result, outcome)

    def give_back(self, delay: float | None = None, result: Json | None = None, uncounted: bool = False) -> None:
        """See `AsyncJob.give_back`."""
        self._run(self._job.give_back, delay, result, uncounted)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> bool:
        dealt_with: bool = self._run(self._job.finish_or_give_back, error)
        return dealt_with
