"""A job that a client has taken: checked in the background, and let go of once."""

import asyncio
import logging
from collections.abc import Coroutine
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

from boss.client.json_text import Document as Document
from boss.client.json_text import Json
from boss.errors import BadInput, BossError, Lost, NotThere, WrongAttempt
from boss.job import Outcome

if TYPE_CHECKING:
    from boss.client.asynchronous import AsyncClient

log = logging.getLogger("boss")

# How much is kept of why an attempt failed, in characters.
_LONGEST_REASON = 2000
# How often a job without a lease is checked, to hear that it was stopped, in seconds.
_CHECK_WITHOUT_LEASE = 60.0


class End(StrEnum):
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
    """

    def __init__(self, reason: Document | str, for_good: bool = False) -> None:
        super().__init__(str(reason))
        self.reason = {"error": keepable(reason)} if isinstance(reason, str) else reason
        self.for_good = for_good


class AsyncJob:
    """A job that this client has taken, checked in the background until it is let go of.

    Attributes:
        id, source: its names.
        document: what was submitted.
        text: the same as JSON text, to the letter.
        attempt: which take of the job this is, from 1.
        traceparent: the trace it was submitted in (https://www.w3.org/TR/trace-context/); None when in none.
        lease: how many seconds the server waits for a check; 0 for ever.
        result: what is kept with the job when it is done; set it before leaving.
        stopped: set when the work on it shall end: the job was stopped or lost, or its converter shuts down.
        end: how it ended; None while it is held.
    """

    def __init__(self, client: "AsyncClient", taken: Document, text: str, lease: int) -> None:
        self.id: str = taken["id"]
        self.source: str = taken["source"]
        self.document: Document = taken["job"]
        self.text = text
        self.attempt: int = taken["attempt"]
        self.traceparent: str | None = taken.get("traceparent")
        self.lease = lease
        self.result: Json | None = None
        self.stopped = asyncio.Event()
        self.end: End | None = None
        self._client = client
        self._held = True
        self._checking: asyncio.TimerHandle | asyncio.Task[None]
        self._check_later()

    def check(self) -> None:
        """Raise `Lost` when the work on it shall end. It asks nobody: the background does."""
        if self.end is End.LOST:
            raise Lost(f"{self.id} was stopped, or its lease ran out and it is somebody else's by now")
        if self.stopped.is_set():
            raise Lost(f"{self.id} is given back, for its converter shuts down")

    def stop(self) -> None:
        """Have the work on it end: `stopped` is set, and `check` raises. The job is still held, to be given back."""
        self.stopped.set()

    async def done(self, result: Json | None = None, outcome: str = Outcome.COMPLETED) -> None:
        """Say that it is done: `completed`, `failed` or `stopped`.

        Raises:
            Lost: it is not ours any more.
        """
        result = self.result if result is None else result
        end = End.DONE if outcome == Outcome.COMPLETED else End.GIVEN_UP
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
        """
        request = self._client.give_back(self.source, self.id, delay, result, self.attempt, uncounted)
        await self._let_go(End.GIVEN_BACK, request)

    async def _let_go(self, end: End, request: Coroutine[Any, Any, None]) -> None:
        self._checking.cancel()
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

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, _: object, error: BaseException | None, __: object) -> bool:
        return await self.leave(error)

    async def leave(self, error: BaseException | None) -> bool:
        """Let go of it, unless that has happened, as its work ended; return whether the error is dealt with.

        Without an error it is done, with one it is given back with a rest, and the error as the reason.
        """
        dealt_with = isinstance(error, Lost) and self.stopped.is_set()
        if self._held and self.end is None:
            try:
                if error is None:
                    await self._done_or_back()
                elif isinstance(error, Exception) and not dealt_with:
                    await self._fail(error if isinstance(error, Failure) else Failure(_named(error)))
                else:  # its converter shuts down, was cancelled, or interrupted from the keyboard
                    await self._give_back_though_cancelled()
            except Lost as lost:
                log.warning("%s", lost)
        self._checking.cancel()
        return dealt_with

    async def _give_back_though_cancelled(self) -> None:
        """Give it back at once; who cancels a second time does not want to wait for that."""
        giving = asyncio.create_task(self.give_back(delay=0))
        try:
            await asyncio.shield(giving)
        except asyncio.CancelledError:
            giving.cancel()
            raise

    async def _done_or_back(self) -> None:
        try:
            await self.done()
        except BadInput as refused:
            await self._fail(Failure(f"its result is refused: {refused}"))
            raise

    async def _fail(self, failure: Failure) -> None:
        if failure.for_good:
            await self.done(failure.reason, Outcome.FAILED)
        else:
            # What had to end before its time has not failed by itself, and need not rest.
            await self.give_back(0 if self.stopped.is_set() else None, failure.reason)

    def _lose(self) -> None:
        self.end = End.LOST
        self.stopped.set()

    def _check_later(self) -> None:
        every = self.lease / 3 if self.lease else _CHECK_WITHOUT_LEASE
        # Not a task that sleeps: most jobs are over before, and a timer costs next to nothing.
        self._checking = asyncio.get_running_loop().call_later(every, self._check_now)

    def _check_now(self) -> None:
        self._checking = asyncio.create_task(self._check())

    async def _check(self) -> None:
        try:
            await self._client.check(self.source, self.id, self.attempt)
        except (NotThere, WrongAttempt):
            self._lose()
            return
        except BossError as error:
            log.warning("%s could not be checked: %s", self.id, error)
        self._check_later()


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def keepable(text: str) -> str:
    """The end of a text, with a mark for each character that no result can have: NUL, and half of a pair."""
    return text.encode(errors="replace").decode().replace("\0", "\ufffd")[-_LONGEST_REASON:]
