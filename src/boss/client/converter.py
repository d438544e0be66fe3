"""The loop that every converter has to have: take a job, convert it, say how that went. Over HTTP only."""

import asyncio
import contextlib
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field

from boss.client.async_client import AsyncClient
from boss.client.attempts import Attempts
from boss.client.job import AsyncJob, Failure, Interrupted, JobEnd
from boss.client.json_text import Json
from boss.client.signals import end_by_force, exit_code, heard
from boss.client.sync_client import Job
from boss.client.threads import Convert, as_coroutine
from boss.errors import BossError, NoJob

log = logging.getLogger("boss")

# How many sources one take can name, and how long these are waited for where there are more, in seconds.
_MOST_SOURCES, _TURN = 100, 1
# Jobs are taken in advance by what ended in so many seconds, and given back when they were not begun in so many.
_SOON, _LONG = 0.1, 1.0
_MOST_IN_ADVANCE = 100
# How long giving back may take when everything is to end at once, in seconds; and how long a function that was told to
# end, or a signal that may have been meant for us too, is waited for.
_MOMENT = 1.0
# More seconds than any process lasts, and fewer than a timer can have.
_FOR_EVER = 1e9
# How much of why a job was not done stands in its line, in characters: the end of it, where errors have their sentence.
_LONGEST_SAID = 200


@dataclass
class Slot:
    """One of the jobs at once: which it is, and since when (time.monotonic)."""

    number: int
    job: AsyncJob | None = None
    since: float = field(default_factory=time.monotonic)


def log_end(slot: Slot, job: AsyncJob, error: Exception | None) -> None:
    """Log how a job ended."""
    where, took = f"slot {slot.number}: {job.source}/{job.id}, attempt {job.attempt}", time.monotonic() - slot.since
    # Why it failed is kept with the job; what nobody foresaw is for who wrote the function.
    unforeseen = None if isinstance(error, BossError | Failure) else error
    why = _end_of_reason(error) if unforeseen is None else ""
    log.info("%s: %s after %.1f s%s", where, job.end or "not let go of", took, why, exc_info=unforeseen)


def _end_of_reason(error: Exception | None) -> str:
    """Why it was not done, in the rest of a line."""
    if error is None:
        return ""
    reason = error.reason if isinstance(error, Failure) else {"error": str(error)}
    code = f"exit code {reason['exit']}: " if "exit" in reason else ""
    said = " ".join(str(reason.get("error") or "").split())
    said = "".join(each if each.isprintable() else "\ufffd" for each in said)
    return f": {code}{'…' if len(said) > _LONGEST_SAID else ''}{said[-_LONGEST_SAID:]}".rstrip(": ")


class Converter:
    """Converts job after job with a function; a job is done with what that returns as its result.

    When the function raises, its job is given back with a rest and the exception as the reason; `Failure` says the
    reason in its own words, or gives the job up for good. A job is checked in the background. When it was stopped or
    lost, `job.stopped` is set, an `async` function is cancelled, and in another `job.check()` raises `Lost`, which ends
    the function and nothing else.

    What is not begun or not ended when the converter is stopped is given back, and counts as no attempt.

    Args:
        convert: gets a `Job` and runs in a thread, or is `async` and gets an `AsyncJob`.
        sources: whose jobs, the oldest of all of them first; any when empty.
        url, token: see `AsyncClient`. A Boss that is away is waited for, for ever.
        slots: how many jobs at once.
        lease: how many seconds Boss waits for a sign of life; its default when None.
        timeout: how many seconds an attempt may take; then it is told to end, and has failed. For ever when None.
        grace: how many seconds what runs has to end by itself when the converter is stopped; then it is told to.
        once: end after one job a slot.
        until_empty: end when there is none.
        tell: called when a job has ended, with what the function raised.

    Attributes:
        slots: what is going on.
        ends: how often each end came.
    """

    def __init__(
        self,
        convert: Callable[[Job], Json | None] | Convert,
        sources: Sequence[str] = (),
        *,
        url: str | None = None,
        token: str | None = None,
        slots: int = 1,
        lease: int | None = None,
        timeout: float | None = None,
        grace: float = 10,
        once: bool = False,
        until_empty: bool = False,
        tell: Callable[[Slot, AsyncJob, Exception | None], None] = log_end,
    ) -> None:
        if timeout is not None and not timeout > 0:
            raise ValueError(f"the timeout is {timeout}; it takes a number of seconds above 0, or None for no limit")
        if not grace >= 0:
            raise ValueError(f"the grace is {grace}; it takes a number of seconds, 0 or more")
        patience = min(grace, _FOR_EVER)
        function = as_coroutine(convert, lambda: _MOMENT if self._stopping.is_set() else patience)
        self._attempts = Attempts(function, None if timeout is None else min(timeout, _FOR_EVER), patience)
        self._turn = _turns(sources)
        self._boss = url, token
        self._lease = lease
        self._grace = patience
        self._once = once
        self._until_empty = until_empty
        self._tell = tell
        self._stopping = asyncio.Event()
        # Set when a job has ended, and when we are to stop.
        self._changed = asyncio.Event()
        self.slots = [Slot(number) for number in range(1, slots + 1)]
        self._free = deque(self.slots)
        # Jobs that were taken in advance, and when the last ones ended.
        self._reserve = deque[AsyncJob]()
        self._ended = deque[float]()
        # A task that has not begun to run ends without a word when all this is cancelled. These are the jobs that such
        # tasks are to work on or give back, and those that have ended, with how.
        self._unbegun: dict[str, AsyncJob] = {}
        self._untold: dict[str, tuple[AsyncJob, Exception | None]] = {}
        # What tells Boss how a job ended.
        self._reports = set[asyncio.Task[None]]()
        self.ends = dict.fromkeys(JobEnd, 0)

    def run(self) -> None:
        """Convert until SIGTERM, Ctrl-C or the end of the terminal (SIGHUP).

        Then what runs has its grace to end, and is given back if it does not.
        A second signal ends everything at once; what is not given back then comes back by its lease.

        Raises:
            BossError: something that trying again does not mend.
            SystemExit: it was ended at once, with 128 and the signal's number.
            RuntimeError: this is not the main thread.
        """
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("only the main thread hears signals; elsewhere use work(), and stop()")
        asyncio.run(self._run_until_signal())

    async def _run_until_signal(self) -> None:
        loop, working = asyncio.get_running_loop(), asyncio.create_task(self.work())
        codes: list[int] = []

        def stop() -> None:
            log.info("stopping: what runs has %g s to end; another signal ends it at once", self._grace)
            loop.call_soon_threadsafe(self.stop)

        def end_at_once(number: int) -> None:
            codes.append(exit_code(number))
            loop.call_soon_threadsafe(working.cancel)

        with heard(stop, end_at_once):
            try:
                await working
            except asyncio.CancelledError:
                if not codes:
                    raise
                log.warning("ended at once; what could not be given back comes back by its lease")
                raise SystemExit(codes[0]) from None
        if self._attempts.are_left_alone():
            # The event loop cannot be closed before they end.
            end_by_force(1)

    def stop(self) -> None:
        """Take no more jobs; what runs has its grace to end by itself, then is told to, and its job is given back."""
        self._stopping.set()
        self._changed.set()

    async def work(self) -> None:
        """As `run`, inside an event loop, until `stop` is called."""
        url, token = self._boss
        async with AsyncClient(url, token=token, patience=math.inf) as client:
            try:
                async with asyncio.TaskGroup() as group:
                    await self._take_and_convert(client, group)
                    await self._end()
            except BaseExceptionGroup as errors:
                raise errors.exceptions[0] from None
            finally:
                # There are none, unless an error or being cancelled has ended all this.
                left = [self._give_back_unbegun(job) for job in [*self._reserve, *self._unbegun.values()]]
                left += [self._tell_untold(job, error) for job, error in self._untold.values()]
                if left:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(asyncio.gather(*left), _MOMENT)

    async def _take_and_convert(self, client: AsyncClient, group: asyncio.TaskGroup) -> None:
        """Keep the slots filled, for as long as jobs are to be taken."""
        while not self._stopping.is_set():
            # One request for all the free slots, so that the busier they are the fewer requests it takes.
            limit = len(self._free) + self._in_advance() - len(self._reserve)
            if limit <= 0:
                if self._once and not self._free:
                    break
                await self._change_or_idle_reserve(group)
                continue
            jobs = await self._take(client, limit)
            self._reserve.extend(jobs)
            self._fill(group)
            if not jobs and self._until_empty:
                if not self._busy():
                    break
                await self._change()
        self._give_back_reserve(group)

    def _in_advance(self) -> int:
        """How many jobs to take before there is a slot for them, so that no slot waits for a take.

        As many as will soon be under way, going by what was just done, and none unless each slot does several in that
        time: a job must not wait here while another converter could have it.
        """
        now = time.monotonic()
        while self._ended and self._ended[0] < now - _SOON:
            self._ended.popleft()
        return 0 if self._once else min(max(len(self._ended) - len(self.slots), 0), _MOST_IN_ADVANCE)

    async def _change_or_idle_reserve(self, group: asyncio.TaskGroup) -> None:
        """Wait for a change; a reserve that no slot has come to in a long while is for others."""
        try:
            async with asyncio.timeout(_LONG if self._reserve else None):
                await self._change()
        except TimeoutError:
            self._give_back_reserve(group)

    def _give_back_reserve(self, group: asyncio.TaskGroup) -> None:
        while self._reserve:
            job = self._reserve.pop()
            self._unbegun[job.id] = job
            self._report(group, self._give_back_unbegun(job))

    async def _tell_untold(self, job: AsyncJob, error: Exception | None) -> None:
        try:
            await job.finish_or_give_back(error)
        except BossError as refused:
            log.warning("%s/%s has ended, and Boss could not be told: %s", job.source, job.id, refused)

    async def _give_back_unbegun(self, job: AsyncJob) -> None:
        self._unbegun.pop(job.id, None)
        try:
            await job.give_back(0, uncounted=True)
        except BossError as error:
            log.warning("%s/%s was not begun, and could not be given back: %s", job.source, job.id, error)

    async def _take(self, client: AsyncClient, limit: int) -> list[AsyncJob]:
        """The next jobs, at most so many; an empty list when there are none yet, or none are to be taken any more."""
        for _ in range(len(self._turn)):
            sources = self._turn[0]
            self._turn.rotate(-1)
            wait = 0 if self._until_empty else _TURN if len(self._turn) > 1 else None
            taking = asyncio.create_task(client.take_many(limit, sources, wait=wait, lease=self._lease))
            try:
                if not await _done_before(taking, self._stopping):
                    return []
            except asyncio.CancelledError:
                taking.cancel()
                await asyncio.wait({taking})
                if not taking.cancelled() and not taking.exception():
                    self._reserve.extend(taking.result())
                raise
            with contextlib.suppress(NoJob):
                return await taking
        return []

    def _fill(self, group: asyncio.TaskGroup) -> None:
        """Start as many jobs as there are slots for."""
        while self._reserve and self._free and not self._stopping.is_set():
            job = self._reserve.popleft()
            self._unbegun[job.id] = job
            group.create_task(self._convert_in(self._free.popleft(), job, group))

    async def _convert_in(self, slot: Slot, job: AsyncJob, group: asyncio.TaskGroup) -> None:
        self._unbegun.pop(job.id, None)
        slot.job, slot.since = job, time.monotonic()
        try:
            error = await self._attempts.run(job)
        except BaseException as cancelled:
            # A Boss that is away is not waited for: it comes back by its lease.
            with contextlib.suppress(BossError, TimeoutError):
                await asyncio.wait_for(job.finish_or_give_back(cancelled), _MOMENT)
            raise
        # The slot need not wait until Boss has heard.
        self._untold[job.id] = job, error
        self._report(group, self._leave(job, error, Slot(slot.number, job, slot.since)))
        slot.job, slot.since = None, time.monotonic()
        self._ended.append(slot.since)
        if not self._once:
            self._free.append(slot)
            self._fill(group)
        self._changed.set()

    def _report(self, group: asyncio.TaskGroup, telling: Coroutine[None, None, None]) -> None:
        task = group.create_task(telling)
        self._reports.add(task)

        def forget(_: asyncio.Task[None]) -> None:
            self._reports.discard(task)
            self._changed.set()

        task.add_done_callback(forget)

    async def _leave(self, job: AsyncJob, error: Exception | None, slot: Slot) -> None:
        self._untold.pop(job.id, None)
        if isinstance(error, Interrupted) and not job.overdue:
            # What ended the command may be on its way to us: service managers send it to all processes of a service.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), _MOMENT)
        if error is not None and self._stopping.is_set() and not job.overdue:
            job.stop()
        telling = asyncio.ensure_future(job.finish_or_give_back(error))
        try:
            await asyncio.shield(telling)
        except BossError as refused:
            error = refused
        except Exception:
            log.exception("%s/%s could not be let go of; it comes back by its lease", job.source, job.id)
        except asyncio.CancelledError:
            try:
                await asyncio.wait_for(telling, _MOMENT)
            except (BossError, TimeoutError):
                log.error("%s/%s has ended, but no Boss could be told; it comes back by its lease", job.source, job.id)
            raise
        if job.end:
            self.ends[job.end] += 1
        self._tell(slot, job, error)

    async def _end(self) -> None:
        """Wait for what runs; once we are to stop, for no longer than the grace, and then tell it to end."""
        while self._busy() and not self._stopping.is_set():
            await self._change()
        await self._until_idle(self._grace)
        for slot in self.slots:
            if slot.job:
                self._attempts.tell_to_end(slot.job)
        await self._until_idle(self._grace + 2 * _MOMENT)
        for report in self._reports:
            report.cancel()

    async def _until_idle(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._busy():
                    await self._change()

    def _busy(self) -> bool:
        return bool(self._reports) or any(slot.job for slot in self.slots)

    async def _change(self) -> None:
        await self._changed.wait()
        self._changed.clear()


def _turns(sources: Sequence[str]) -> deque[Sequence[str] | None]:
    """The sources, as many together as one take can name; None for any."""
    if not sources:
        return deque([None])
    return deque(sources[first : first + _MOST_SOURCES] for first in range(0, len(sources), _MOST_SOURCES))


async def _done_before(task: "asyncio.Task[list[AsyncJob]]", event: asyncio.Event) -> bool:
    """Whether the task is done, or is cancelled because the event came first."""
    waiting = asyncio.create_task(event.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if task.done():
        return True
    task.cancel()
    await asyncio.wait({task})
    return not task.cancelled()  # it may have been done after all
