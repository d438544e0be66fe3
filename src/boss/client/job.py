"""A job that a client has taken: checked in the background, and let go of once."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from boss.client.json_text import Document as Document
from boss.client.json_text import Json, described, read
from boss.errors import BadInput, Lost, NotThere, Unreachable, WrongAttempt
from boss.model.job import Outcome

if TYPE_CHECKING:
    from boss.client.async_client import AsyncClient

log = logging.getLogger("boss")

# How much is kept of why an attempt failed, in characters.
_LONGEST_REASON = 2000
# An exit code above this says that a signal ended the program, by the custom of shells.
_BY_SIGNAL = 128
# The rest of a job that could not be begun, in seconds.
_REST_OF_UNCOUNTED = 10.0


class JobEnd(StrEnum):
    """How a taken job ended for who took it."""

    DONE = "done"
    GIVEN_BACK = "given back"
    GIVEN_UP = "given up"
    LOST = "stopped or lost"


class Failure(Exception):
    """Raised by the work on a job: it failed, and why is kept with the job in these words.

    Args:
        reason: a JSON object, or a sentence.
        for_good: give the job up, for no attempt will do better.
        uncounted: this attempt is none of those that the job may have: it was not the job that failed.
    """

    def __init__(self, reason: Document | str, for_good: bool = False, uncounted: bool = False) -> None:
        super().__init__(str(reason))
        self.reason = {"error": sanitize(reason)} if isinstance(reason, str) else reason
        self.for_good = for_good
        self.uncounted = uncounted


class Interrupted(Failure):
    """The work failed, or was told to end together with its converter: whether it was, that one hears in a moment."""


class AsyncJob:
    """A job that this client has taken, checked in the background until it is let go of.

    Attributes:
        id, source: its names.
        text: the document that was submitted, as JSON text, to the letter.
        attempt: which take of the job this is, from 1.
        traceparent: the trace it was submitted in (https://www.w3.org/TR/trace-context/); None when in none.
        lease: how many seconds the server waits for a check; 0 for ever.
        result: what is kept with the job when it is done; set it before leaving.
        stopped: set when the work on it shall end: the job was stopped or lost, it ran for too long, or its converter
            shuts down.
        end: how it ended; None while it is held.
        overdue: whether this attempt has taken longer than it may.
        work: what works on it, if that is to be cancelled when `stopped` is set.
    """

    def __init__(self, client: "AsyncClient", taken: Document, text: str, lease: int) -> None:
        self.id: str = taken["id"]
        self.source: str = taken["source"]
        self.text = text
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
        client.checks.applies_to(self)

    @cached_property
    def document(self) -> Document:
        """What was submitted."""
        document: Document = read(self.text)
        return document

    def check(self) -> None:
        """Raise `Lost` when the work on it shall end. It asks nobody: the background does."""
        if self.end is JobEnd.LOST:
            raise Lost(f"{self.id} was stopped, or its lease ran out and it is somebody else's by now")
        if self.overdue:
            raise Lost(f"{self.id} is given back, for it ran for longer than it may")
        if self.stopped.is_set():
            raise Lost(f"{self.id} is given back, for its converter shuts down")

    def stop(self) -> None:
        """Have the work on it end: `stopped` is set, and `check` raises. The job is still held, to be given back."""
        self.stopped.set()
        if self.work is not None:
            self.work.cancel()

    def expire(self) -> None:
        """As `stop`, for an attempt that has taken longer than it may, and has failed."""
        self.overdue = True
        self.stop()

    def lose(self) -> None:
        """Have the work on it end, for it is not ours any more. To be called from any thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._lose_if_held)

    async def done(self, result: Json | None = None, outcome: str = Outcome.COMPLETED) -> None:
        """Say that it is done: `completed`, `failed` or `stopped`.

        Raises:
            Lost: it is not ours any more.
            BadInput: the result cannot be kept. The job is still held.
        """
        result = self.result if result is None else result
        end = JobEnd.DONE if outcome == Outcome.COMPLETED else JobEnd.GIVEN_UP
        await self._let_go(end, self._client.done(self.source, self.id, result, outcome, self.attempt))

    async def give_back(self, delay: float | None = None, result: Json | None = None, uncounted: bool = False) -> None:
        """Have somebody else try, after `delay` seconds, or a rest that grows with each attempt when None.

        Args:
            delay: 0 for at once.
            result: what this attempt leaves behind: why it failed, for instance.
            uncounted: the attempt is none of those that the job may have, for it did not fail; it comes back at once,
                unless a delay is given.

        Raises:
            Lost: it is not ours any more.
            BadInput: the result cannot be kept. The job is still held.
        """
        request = self._client.give_back(self.source, self.id, delay, result, self.attempt, uncounted)
        await self._let_go(JobEnd.GIVEN_BACK, request)

    async def _let_go(self, end: JobEnd, request: Coroutine[Any, Any, None]) -> None:
        self._held = False
        try:
            await request
        except BadInput:  # nothing was done
            self._held = True
            raise
        except (NotThere, WrongAttempt) as error:
            self._lose()
            raise Lost(str(error)) from error
        self.end = end
        self._client.checks.let_go(self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, _: object, error: BaseException | None, __: object) -> bool:
        return await self.finish_or_give_back(error)

    async def finish_or_give_back(self, error: BaseException | None) -> bool:
        """Let go of it, unless that has happened, as its work ended; return whether the error is dealt with.

        Without an error it is done, with one it is given back with a rest, and the error as the reason. What had to end
        because its converter shuts down is given back without a rest, and counts as no attempt.
        """
        dealt_with = isinstance(error, Lost) and self.stopped.is_set()
        if self._held and self.end is None:
            try:
                if error is None:
                    await self._with_result(self.result, self.done)
                elif _is_failure(error) and not dealt_with:
                    await self._fail(error if isinstance(error, Failure) else _failure(error))
                else:  # its converter shuts down, was cancelled, or interrupted from the keyboard
                    await self._give_back_though_cancelled()
            except Lost as lost:
                log.warning("%s", lost)
        self._client.checks.let_go(self)
        return dealt_with

    async def _give_back_though_cancelled(self) -> None:
        """Give it back at once; who cancels a second time does not want to wait for that."""
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
        # What had to end before its time need not rest; what could not be begun here can hardly be a moment later.
        delay = 0 if shuts_down else _REST_OF_UNCOUNTED if uncounted else None
        await self._with_result(failure.reason, lambda reason: self.give_back(delay, reason, uncounted))

    async def _with_result(
        self, result: Json | None, let_go: Callable[[Json | None], Coroutine[Any, Any, None]]
    ) -> None:
        """Let go of it with a result; one that cannot be kept does not keep the job from ending as it did."""
        try:
            await let_go(result)
        except BadInput as refused:
            if result is None:
                raise
            log.warning("%s/%s: the result could not be kept: %s", self.source, self.id, refused)
            self.result = None
            try:
                await let_go({"note": sanitize(f"the result could not be kept: {refused}")})
            except BadInput:  # not even that, where documents can only be tiny
                await let_go(None)

    def _lose(self) -> None:
        self._client.checks.let_go(self)
        self.end = JobEnd.LOST
        self.stop()

    def _lose_if_held(self) -> None:
        if self._held and self.end is None:
            self._lose()


def _is_failure(error: BaseException) -> bool:
    """Whether the work has failed, and was not interrupted: sys.exit(0) and sys.exit(143) are what SIGTERM leads to."""
    if isinstance(error, SystemExit):
        return error.code not in (None, 0) and not (isinstance(error.code, int) and error.code > _BY_SIGNAL)
    return isinstance(error, Exception)


def _failure(error: BaseException) -> Failure:
    # That Boss was away is no fault of the job's.
    return Failure(described(error), uncounted=isinstance(error, Unreachable))


def sanitize(text: str) -> str:
    """The end of a text, with a mark for each character that no result can have: NUL, and half of a pair."""
    return text.encode(errors="replace").decode().replace("\0", "\ufffd")[-_LONGEST_REASON:]
