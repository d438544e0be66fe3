"""Attempts at jobs: run a function until it ends, or abandon it when it was told to end and does not."""

import asyncio
import logging

from boss.client.job import AsyncJob, Failure
from boss.client.json_text import Json, described
from boss.client.threads import Convert
from boss.errors import Lost

log = logging.getLogger("boss")

# In seconds: how much longer than its grace to wait for a function that was told to end; and how long to wait for it
# when the converter ends at once.
_LATE_S, _AT_ONCE_S = 1.0, 0.5


class Attempts:
    """Runs a function for jobs.

    Args:
        convert: the function; it is cancelled when its job is stopped or lost.
        timeout: how many seconds an attempt may take; for ever when None.
        grace: how many seconds the function has to end once it was told to.
    """

    def __init__(self, convert: Convert, timeout: float | None, grace: float) -> None:
        self._convert = convert
        self._timeout = timeout
        self._grace = grace
        # The event that ends the wait for each job's function; and the functions that were abandoned.
        self._over = dict[AsyncJob, asyncio.Event]()
        self._left_alone = set[asyncio.Task[Json | None]]()

    async def run(self, job: AsyncJob) -> Exception | None:
        """Convert a job and set its result; return the error, if it failed.

        Raises:
            asyncio.CancelledError: the converter must end at once.
        """
        loop, over = asyncio.get_running_loop(), asyncio.Event()
        job.work = converting = asyncio.create_task(self._call(job))
        converting.add_done_callback(lambda _: over.set())
        self._over[job] = over
        timer = None if self._timeout is None else loop.call_later(self._timeout, self._expire, job)
        try:
            await over.wait()
        except asyncio.CancelledError:
            converting.cancel()
            await asyncio.wait({converting}, timeout=_AT_ONCE_S)
            raise
        finally:
            job.work = None
            del self._over[job]
            if timer:
                timer.cancel()
        error = self._outcome(job, converting)
        if job.overdue:
            return Failure(f"it ran for longer than the {self._timeout:g} s that an attempt may take")
        return error

    def tell_to_end(self, job: AsyncJob) -> None:
        """Tell the function to end. It is abandoned when it does not end in time."""
        job.stop()
        self._leave_alone_later(job)

    def are_left_alone(self) -> bool:
        """Whether abandoned functions still run."""
        return not all(function.done() for function in self._left_alone)

    async def _call(self, job: AsyncJob) -> Json | None:
        try:
            return await self._convert(job)
        except SystemExit as raised:
            # SystemExit would end the event loop, and with it all other jobs.
            raise Failure(f"the function called sys.exit({raised.code!r})") from raised

    def _expire(self, job: AsyncJob) -> None:
        job.expire()
        self._leave_alone_later(job)

    def _leave_alone_later(self, job: AsyncJob) -> None:
        asyncio.get_running_loop().call_later(self._grace + _LATE_S, self._over[job].set)

    def _outcome(self, job: AsyncJob, converting: "asyncio.Task[Json | None]") -> Exception | None:
        if not converting.done():
            log.warning("%s/%s: its function has not ended, and is not waited for any more", job.source, job.id)
            self._left_alone.add(converting)
            return Lost("it was told to end")
        if converting.cancelled():
            return Lost("it was told to end")
        error = converting.exception()
        if error is None:
            job.result = converting.result()
        return error if error is None or isinstance(error, Exception) else Failure(described(error))
