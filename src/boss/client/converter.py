"""The loop of every converter: take a job, convert it, report its end. Over HTTP only."""

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
from boss.client.sync_job import Job
from boss.client.threads import Convert, as_coroutine
from boss.errors import BossError, NoJob

log = logging.getLogger("boss")

# How many sources one take can name. With more sources, several takes go in turn, and each waits this many seconds.
_MOST_SOURCES, _TURN_S = 100, 1
# How many jobs ended in the window tells how many to take in advance. After the time-out without a free slot, those are
# given back.
_RATE_WINDOW_S, _RESERVE_TIMEOUT_S = 0.1, 1.0
_MOST_IN_ADVANCE = 100
# In seconds: how long giving jobs back may take when the converter ends at once; how long to wait for a function that
# was told to end; and how long to wait for a signal that ended a command and may reach this process too.
_SIGNAL_GRACE_S = 1.0
# More seconds than any process lives, and fewer than the most a timer can have.
_FOR_EVER_S = 1e9
# How much of the reason a job's log line has, in characters. It is the end of the reason, where errors have their
# message.
_LONGEST_MESSAGE = 200


@dataclass
class Slot:
    """A slot for one job at a time.

    Attributes:
        number: its number, from 1.
        job: the job in it; None while it is free.
        since: since when it has this job, or is free (time.monotonic).
    """

    number: int
    job: AsyncJob | None = None
    since: float = field(default_factory=time.monotonic)


def log_end(slot: Slot, job: AsyncJob, error: Exception | None) -> None:
    """Log how a job ended."""
    where, took = f"slot {slot.number}: {job.source}/{job.id}, attempt {job.attempt}", time.monotonic() - slot.since
    # The reason of a failure is kept with the job. The traceback of any other exception is logged, for the author of
    # the function.
    unforeseen = None if isinstance(error, BossError | Failure) else error
    why = _end_of_reason(error) if unforeseen is None else ""
    log.info("%s: %s after %.1f s%s", where, job.end or "still held", took, why, exc_info=unforeseen)


def _end_of_reason(error: Exception | None) -> str:
    """The end of the log line: why the job was not done."""
    if error is None:
        return ""
    reason = error.reason if isinstance(error, Failure) else {"error": str(error)}
    code = f"exit code {reason['exit']}: " if "exit" in reason else ""
    said = " ".join(str(reason.get("error") or "").split())
    said = "".join(each if each.isprintable() else "\ufffd" for each in said)
    return f": {code}{'…' if len(said) > _LONGEST_MESSAGE else ''}{said[-_LONGEST_MESSAGE:]}".rstrip(": ")


class Converter:
    """Converts job after job with a function. A job is done when the function returns; its return value is the result.

    When the function raises, its job is given back with a delay, and the exception is kept as the reason. A `Failure`
    gives the reason in its own words, or gives the job up for good. A job's heartbeat is sent in the background. When
    the job was stopped or lost, `job.stopped` is set. An `async` function is cancelled then. In another function
    `job.check()` raises `Lost`, which ends only that function.

    When the converter is stopped, jobs that have not begun or not ended are given back. That does not count as an
    attempt.

    It logs how each job ended to the logger `boss`: `logging.basicConfig(level=logging.INFO)` shows these lines.

    Args:
        convert: the function. It gets a `Job` and runs in a thread, or is `async` and gets an `AsyncJob`.
        sources: the sources to take from, the oldest job of all of them first; any when empty.
        url, token: see `AsyncClient`. While Boss is away, the converter waits for it for ever.
        slots: how many jobs to convert at once.
        lease: the length of the lease in seconds; when None, that of the source's rule or the server's.
        timeout: how many seconds an attempt may take; then the function is told to end, and the attempt has failed.
            For ever when None.
        grace: how many seconds running functions have to end by themselves when the converter is stopped, before they
            are told to end.
        once: end after one job in each slot.
        until_empty: end when no job is ready, or when a limit or a rate lets none be taken now.
        tell: called when a job has ended, with the exception that the function raised.

    Attributes:
        slots: the slots, with the jobs that are being converted.
        ends: how many jobs have ended in each way.
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
        patience = min(grace, _FOR_EVER_S)
        function = as_coroutine(convert, lambda: _SIGNAL_GRACE_S if self._stopping.is_set() else patience)
        self._attempts = Attempts(function, None if timeout is None else min(timeout, _FOR_EVER_S), patience)
        self._turn = _turns(sources)
        self._boss = url, token
        self._lease = lease
        self._grace = patience
        self._once = once
        self._until_empty = until_empty
        self._tell = tell
        self._stopping = asyncio.Event()
        # Set when a job has ended, and when the converter must stop.
        self._changed = asyncio.Event()
        self.slots = [Slot(number) for number in range(1, slots + 1)]
        self._free = deque(self.slots)
        # The jobs that were taken in advance; and when the latest jobs ended.
        self._reserve = deque[AsyncJob]()
        self._ended = deque[float]()
        # A task that has not begun to run ends silently when the task group is cancelled. These are the jobs that such
        # tasks would convert or give back; and those whose end they would report, with their errors.
        self._unbegun: dict[str, AsyncJob] = {}
        self._untold: dict[str, tuple[AsyncJob, Exception | None]] = {}
        # The tasks that report to Boss how jobs ended.
        self._reports = set[asyncio.Task[None]]()
        self.ends = dict.fromkeys(JobEnd, 0)

    def run(self) -> None:
        """Convert until SIGTERM, Ctrl-C or the end of the terminal (SIGHUP).

        Then running functions have the grace to end; the jobs of those that do not end are given back. A second signal
        ends everything at once; jobs that are not given back then become available when their leases expire.

        Raises:
            BossError: an error that a retry does not mend.
            SystemExit: a second signal came; its code is 128 plus the signal's number.
            RuntimeError: this is not the main thread.
        """
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("run() needs the main thread, to handle signals; elsewhere use work() and stop()")
        asyncio.run(self._run_until_signal())

    async def _run_until_signal(self) -> None:
        loop, working = asyncio.get_running_loop(), asyncio.create_task(self.work())
        codes: list[int] = []

        def stop() -> None:
            log.info("stopping: running jobs have %g s to end; another signal ends them at once", self._grace)
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
                log.warning("ended at once; jobs not given back become available when their leases expire")
                raise SystemExit(codes[0]) from None
        if self._attempts.are_left_alone():
            # The event loop cannot be closed before they end, so the process is ended by force.
            end_by_force(1)

    def stop(self) -> None:
        """Take no more jobs, and end.

        Running functions have the grace to end by themselves. Then they are told to end, and their jobs are given back.
        """
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
                # There are such jobs only when an error or a cancellation has ended the task group.
                left = [self._give_back_unbegun(job) for job in [*self._reserve, *self._unbegun.values()]]
                left += [self._tell_untold(job, error) for job, error in self._untold.values()]
                if left:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(asyncio.gather(*left), _SIGNAL_GRACE_S)

    async def _take_and_convert(self, client: AsyncClient, group: asyncio.TaskGroup) -> None:
        """Keep the slots filled until no more jobs must be taken."""
        while not self._stopping.is_set():
            # One take serves all free slots. So the busier the slots are, the fewer requests a job costs.
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
        """How many jobs to take in advance, before a slot is free for them, so that no slot waits for a take.

        It is as many as the slots are likely to begin soon, judged by how many have just ended. It is none unless each
        slot does several jobs in that time, because a job must not wait here while another converter could take it.
        """
        now = time.monotonic()
        while self._ended and self._ended[0] < now - _RATE_WINDOW_S:
            self._ended.popleft()
        return 0 if self._once else min(max(len(self._ended) - len(self.slots), 0), _MOST_IN_ADVANCE)

    async def _change_or_idle_reserve(self, group: asyncio.TaskGroup) -> None:
        """Wait for a change. When no slot becomes free for long, give the jobs taken in advance back to others."""
        try:
            async with asyncio.timeout(_RESERVE_TIMEOUT_S if self._reserve else None):
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
            log.warning("%s/%s has ended, but that could not be reported: %s", job.source, job.id, refused)

    async def _give_back_unbegun(self, job: AsyncJob) -> None:
        self._unbegun.pop(job.id, None)
        try:
            await job.give_back(0, uncounted=True)
        except BossError as error:
            log.warning("%s/%s was not begun, and could not be given back: %s", job.source, job.id, error)

    async def _take(self, client: AsyncClient, limit: int) -> list[AsyncJob]:
        """Take at most `limit` jobs; an empty list when none is available in time, or the converter must stop."""
        for _ in range(len(self._turn)):
            sources = self._turn[0]
            self._turn.rotate(-1)
            wait = 0 if self._until_empty else _TURN_S if len(self._turn) > 1 else None
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
            # This does not wait for a Boss that is away: the job becomes available when its lease expires.
            with contextlib.suppress(BossError, TimeoutError):
                await asyncio.wait_for(job.finish_or_give_back(cancelled), _SIGNAL_GRACE_S)
            raise
        # The slot does not wait until Boss has been told.
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
            # The signal that ended the command may reach this process in a moment: service managers send it to all
            # processes of a service.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), _SIGNAL_GRACE_S)
        if error is not None and self._stopping.is_set() and not job.overdue:
            job.stop()
        telling = asyncio.ensure_future(job.finish_or_give_back(error))
        try:
            await asyncio.shield(telling)
        except BossError as refused:
            error = refused
        except Exception:
            log.exception("%s/%s could not be reported; it is available when its lease expires", job.source, job.id)
        except asyncio.CancelledError:
            try:
                await asyncio.wait_for(telling, _SIGNAL_GRACE_S)
            except (BossError, TimeoutError):
                log.error("%s/%s could not be reported; it is available when its lease expires", job.source, job.id)
            raise
        if job.end:
            self.ends[job.end] += 1
        self._tell(slot, job, error)

    async def _end(self) -> None:
        """Wait until all jobs have ended. Once the converter must stop, wait for the grace, then tell them to end."""
        while self._busy() and not self._stopping.is_set():
            await self._change()
        await self._until_idle(self._grace)
        for slot in self.slots:
            if slot.job:
                self._attempts.tell_to_end(slot.job)
        await self._until_idle(self._grace + 2 * _SIGNAL_GRACE_S)
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
    """The sources, in groups as large as one take can name; None for any source."""
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
    return not task.cancelled()  # it may have ended before the cancellation
