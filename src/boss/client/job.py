"""A job that a client has taken. Its heartbeat is sent in the background until it is finished or given back."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, TypeVar

from boss.client.json_text import Document as Document
from boss.client.json_text import Json, described, read
from boss.errors import BadInput, Lost, NotThere, Unreachable, WrongAttempt
from boss.model.job import Outcome, State

if TYPE_CHECKING:
    from boss.client.async_client import AsyncClient

log = logging.getLogger("boss")

_T = TypeVar("_T")

# The longest reason that is kept with a job, in characters.
_LONGEST_REASON = 2000
# By the custom of shells, an exit code above this means that a signal ended the program.
_BY_SIGNAL = 128
# The delay before the next attempt at a job that could not be begun here, in seconds.
_UNCOUNTED_DELAY_S = 10.0


class JobEnd(StrEnum):
    """How a taken job ended for this client."""

    DONE = "done"
    GIVEN_BACK = "given back"
    GIVEN_UP = "given up"
    LOST = "stopped or lost"
    FAILED = "failed in its last attempt"


class Failure(Exception):
    """Raise this in the work on a job to say that it failed. The reason is kept with the job.

    Args:
        reason: a JSON object, or a sentence.
        for_good: give the job up, because further attempts are useless.
        uncounted: do not count this attempt, because the failure is not the job's.
    """

    def __init__(self, reason: Document | str, for_good: bool = False, uncounted: bool = False) -> None:
        super().__init__(str(reason))
        self.reason = {"error": sanitize(reason)} if isinstance(reason, str) else reason
        self.for_good = for_good
        self.uncounted = uncounted


class Interrupted(Failure):
    """The work failed, or a signal ended it that its converter gets as well, a moment later."""


class AsyncJob:
    """A job that this client has taken. Its heartbeat is sent in the background until it is finished or given back.

    Attributes:
        id, source: its id and source.
        text: the document, as JSON text. Values are those that were submitted; spelling and order of keys may differ.
        attempt: the number of this attempt, from 1.
        note_text: the note that its last attempt left, as JSON text; None without one.
        traceparent: the trace it was submitted in (https://www.w3.org/TR/trace-context/); None without one.
        lease: the length of its lease in seconds; 0 for ever.
        result: the result that is kept with the job when it is done; set it before the work ends.
        stopped: set when the work on it must end: the job was stopped or lost, the attempt has timed out, or the
            converter shuts down.
        end: how it ended; None while it is held.
        overdue: whether this attempt has timed out.
        work: the future that works on it, cancelled when `stopped` is set; None when nothing is to be cancelled.
    """

    def __init__(
        self, client: "AsyncClient", taken: Document, text: str, lease: int, note_text: str | None = None
    ) -> None:
        self.id: str = taken["id"]
        self.source: str = taken["source"]
        self.text = text
        self.note_text = note_text
        self.attempt: int = taken["attempt"]
        self.traceparent: str | None = taken.get("traceparent")
        self.lease = lease
        self.result: Json | None = None
        self.stopped = asyncio.Event()
        self.end: JobEnd | None = None
        self.overdue = False
        self.work: asyncio.Future[Any] | None = None
        self._client = client
        self._held = True
        self._loop = asyncio.get_running_loop()
        client.checks.hold(self)

    @cached_property
    def document(self) -> Document:
        """The document, parsed."""
        document: Document = read(self.text)
        return document

    @cached_property
    def note(self) -> Document | None:
        """The note that its last attempt left, parsed; None without one."""
        note: Document | None = None if self.note_text is None else read(self.note_text)
        return note

    def check(self) -> None:
        """Raise `Lost` when the work on this job must end. It sends no request: the background heartbeat does."""
        if self.end is JobEnd.LOST:
            raise Lost(f"{self.id} was stopped, or its lease expired and another converter may have it")
        if self.overdue:
            raise Lost(f"{self.id} is given back, because the attempt has timed out")
        if self.stopped.is_set():
            raise Lost(f"{self.id} is given back, because its converter shuts down")

    def stop(self) -> None:
        """Make the work end: set `stopped`, and let `check` raise. The job is still held, and can be given back."""
        self.stopped.set()
        if self.work is not None:
            self.work.cancel()

    def expire(self) -> None:
        """As `stop`, for an attempt that has timed out, and so has failed."""
        self.overdue = True
        self.stop()

    def lose(self) -> None:
        """Make the work end, because this client does not hold the job any more. It may be called from any thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._lose_if_held)

    async def leave_note(self, note: Json) -> None:
        """Leave a note with the job, in place of the one before: if this attempt does not end, the next one gets it.

        Raises:
            Lost: this client does not hold the job any more.
            BadInput: the note cannot be stored.
        """
        try:
            await self._client.leave_note(self.source, self.id, note, self.attempt)
        except (NotThere, WrongAttempt) as error:
            self._lose_if_held()
            raise Lost(str(error)) from error

    async def done(self, result: Json | None = None, outcome: str = Outcome.COMPLETED) -> None:
        """Finish the job as `completed`, `failed` or `stopped`.

        Raises:
            Lost: this client does not hold the job any more.
            BadInput: the result cannot be stored. The job is still held.
        """
        result = self.result if result is None else result
        end = JobEnd.DONE if outcome == Outcome.COMPLETED else JobEnd.GIVEN_UP
        await self._let_go(self._client.done(self.source, self.id, result, outcome, self.attempt))
        self.end = end

    async def give_back(self, delay: float | None = None, result: Json | None = None, uncounted: bool = False) -> None:
        """Give the job back for another attempt.

        Args:
            delay: how many seconds until the next attempt, 0 for at once; when None, a delay that grows with each
                attempt.
            result: the result of this attempt, for instance why it failed.
            uncounted: do not count this attempt, because it did not fail. The job is available again at once, unless a
                delay is given.

        Raises:
            Lost: this client does not hold the job any more.
            BadInput: the result cannot be stored. The job is still held.
        """
        request = self._client.give_back(self.source, self.id, delay, result, self.attempt, uncounted)
        # After its last attempt the server keeps the job as failed instead.
        is_over = await self._let_go(request) is State.DONE
        self.end = JobEnd.FAILED if is_over else JobEnd.GIVEN_BACK

    async def _let_go(self, request: Coroutine[Any, Any, _T]) -> _T:
        self._held = False
        try:
            returned = await request
        except BadInput:  # nothing was done
            self._held = True
            raise
        except (NotThere, WrongAttempt) as error:
            self._lose()
            raise Lost(str(error)) from error
        self._client.checks.let_go(self)
        return returned

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, _: object, error: BaseException | None, __: object) -> bool:
        return await self.finish_or_give_back(error)

    async def finish_or_give_back(self, error: BaseException | None) -> bool:
        """Finish the job or give it back, as its work ended, unless that has happened already.

        Without an error the job is done. With an error it is given back with a delay, and the error is kept as the
        reason. When its work had to end because the converter shuts down, it is given back without a delay, and the
        attempt does not count.

        Returns whether the error needs no further handling.
        """
        dealt_with = isinstance(error, Lost) and self.stopped.is_set()
        if self._held and self.end is None:
            try:
                if error is None:
                    await self._with_result(self.result, self.done)
                elif _is_failure(error) and not dealt_with:
                    await self._fail(error if isinstance(error, Failure) else _failure(error))
                else:  # the converter shuts down, was cancelled, or was interrupted from the keyboard
                    await self._give_back_though_cancelled()
            except Lost as lost:
                log.warning("%s", lost)
        self._client.checks.let_go(self)
        return dealt_with

    async def _give_back_though_cancelled(self) -> None:
        """Give the job back even though this task is cancelled; a second cancellation ends that, too."""
        giving = asyncio.create_task(self.give_back(0, uncounted=True))
        try:
            await asyncio.shield(giving)
        except asyncio.CancelledError:
            giving.cancel()
            raise

    async def _fail(self, failure: Failure) -> None:
        if failure.for_good:
            await self._with_result(failure.reason, lambda reason: self.done(reason, Outcome.FAILED))
            return
        shuts_down = self.stopped.is_set() and not self.overdue
        uncounted = failure.uncounted or shuts_down
        # Work that had to end early needs no delay. Work that could not be begun here can hardly be begun a moment
        # later, so it gets one.
        delay = 0 if shuts_down else _UNCOUNTED_DELAY_S if uncounted else None
        await self._with_result(failure.reason, lambda reason: self.give_back(delay, reason, uncounted))

    async def _with_result(
        self, result: Json | None, let_go: Callable[[Json | None], Coroutine[Any, Any, None]]
    ) -> None:
        """End the job with a result. When the result cannot be stored, the job still ends, with a note instead."""
        try:
            await let_go(result)
        except BadInput as refused:
            if result is None:
                raise
            log.warning("%s/%s: the result could not be kept: %s", self.source, self.id, refused)
            self.result = None
            try:
                await let_go({"note": sanitize(f"the result could not be kept: {refused}")})
            except BadInput:  # even the note is too large, where only tiny documents are allowed
                await let_go(None)

    def _lose(self) -> None:
        self._client.checks.let_go(self)
        self.end = JobEnd.LOST
        self.stop()

    def _lose_if_held(self) -> None:
        if self._held and self.end is None:
            self._lose()


def _is_failure(error: BaseException) -> bool:
    """Whether the work failed, and was not just interrupted: SIGTERM leads to sys.exit(0) or sys.exit(143)."""
    if isinstance(error, SystemExit):
        return error.code not in (None, 0) and not (isinstance(error.code, int) and error.code > _BY_SIGNAL)
    return isinstance(error, Exception)


def _failure(error: BaseException) -> Failure:
    # When Boss was away, it was not the job that failed.
    return Failure(described(error), uncounted=isinstance(error, Unreachable))


def sanitize(text: str) -> str:
    """The end of a text, with a mark for each character that a result cannot have: NUL, and a lone surrogate."""
    return text.encode(errors="replace").decode().replace("\0", "\ufffd")[-_LONGEST_REASON:]
