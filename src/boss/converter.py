"""The loop behind `boss work`: take a job, run a command for it, and say how that went. Over HTTP only."""

import asyncio
import contextlib
import json
import os
import signal
import time
from asyncio.subprocess import PIPE, Process, SubprocessStreamProtocol
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from boss.client import AsyncClient, AsyncJob, Document, keepable
from boss.errors import BadInput, Lost, NoJob
from boss.job import Outcome

# A command that ends so says that no attempt will do better.
GIVES_UP = 99
# What is kept of what a command complained of last, in bytes: enough for the longest reason.
_TAIL = 8000
# How long what a command said is waited for after its end, in seconds: what it left behind may still have its output.
_LINGER = 1
# A line of a command's output longer than this is no result, in bytes.
_LONGEST_LINE = 1024 * 1024
# How long one source is waited for before the next one is asked, where there are several, in seconds.
_TURN = 1


class End(StrEnum):
    """How a command's job ended."""

    DONE = "done"
    GIVEN_BACK = "given back"
    GIVEN_UP = "given up"
    STOPPED = "stopped or lost"


@dataclass(frozen=True)
class Work:
    """What a converter is to do.

    Attributes:
        command: what is run for each job: the document is on its standard input.
        sources: whose jobs; any when empty.
        slots: how many at once.
        lease: how many seconds Boss waits for a sign of life; its default when None.
        grace: how many seconds a command has to end when it is told to.
        once: end after one job a slot.
        until_empty: end when there is none.
    """

    command: Sequence[str]
    sources: Sequence[str] = ()
    slots: int = 1
    lease: int | None = None
    grace: float = 10
    once: bool = False
    until_empty: bool = False


@dataclass
class Slot:
    """One of the commands at once: what it is doing, and since when (time.monotonic)."""

    number: int
    job: AsyncJob | None = None
    since: float = field(default_factory=time.monotonic)


@dataclass
class Said:
    """What a command has said so far: the last line it printed, and the end of what it complained of."""

    last_line: bytes = b""
    complaint: bytes = b""


class Converter:
    """Runs a command for job after job.

    Args:
        client: the Boss to ask.
        work: what to do.
        tell: called when a slot took a job (with None) and when that ended.

    Attributes:
        slots: what is going on.
        ends: how often each end came.
    """

    def __init__(self, client: AsyncClient, work: Work, tell: Callable[[Slot, AsyncJob, End | None], None]) -> None:
        self._client = client
        self._work = work
        self._tell = tell
        self._stopping = asyncio.Event()
        self.slots = [Slot(number) for number in range(1, work.slots + 1)]
        self.ends = dict.fromkeys(End, 0)

    def stop(self) -> None:
        """Take no more jobs; what runs has its grace to end by itself, then is told to, and its job is given back."""
        self._stopping.set()

    @property
    def stopping(self) -> bool:
        """Whether it was told to stop."""
        return self._stopping.is_set()

    async def run(self) -> None:
        """Work until stopped, or as long as `Work` says.

        Raises:
            BossError: something that trying again does not mend.
        """
        async with asyncio.TaskGroup() as group:
            for slot in self.slots:
                group.create_task(self._run(slot))

    async def _run(self, slot: Slot) -> None:
        while not self._stopping.is_set() and (job := await self._next_job()):
            slot.job, slot.since = job, time.monotonic()
            self._tell(slot, job, None)
            try:
                end = await self._convert(job)
            except Lost:
                end = End.STOPPED
            self.ends[end] += 1
            self._tell(slot, job, end)
            slot.job, slot.since = None, time.monotonic()
            if self._work.once:
                return

    async def _next_job(self) -> AsyncJob | None:
        """The next job; None when there shall be no more."""
        turn = deque[str | None](self._work.sources or (None,))
        wait = 0 if self._work.until_empty else _TURN if len(turn) > 1 else None
        tried = 0
        while not self._stopping.is_set():
            taking = asyncio.create_task(self._client.take_now(turn[0], wait=wait, lease=self._work.lease))
            if not await _done_first(taking, self._stopping):
                return None
            with contextlib.suppress(NoJob):
                job = await taking
                if not self._stopping.is_set():
                    return job
                await job.give_back(0)
            turn.rotate(-1)
            tried += 1
            if self._work.until_empty and tried == len(turn):
                return None
        return None

    async def _convert(self, job: AsyncJob) -> End:
        environment = {
            **os.environ,
            "BOSS_JOB_ID": job.id,
            "BOSS_SOURCE": job.source,
            "BOSS_ATTEMPT": str(job.attempt),
            "BOSS_URL": self._client.url,
        }
        command = await Command.start(self._work.command, environment)
        said = Said()
        talking = asyncio.create_task(_talk(command.process, job.text, said))
        try:
            await self._until_ended(command, job)
            await asyncio.wait({talking}, timeout=_LINGER)
        finally:
            talking.cancel()
            command.close()
        code = command.process.returncode
        assert code is not None
        return await self._report(job, code, said)

    async def _report(self, job: AsyncJob, code: int, said: "Said") -> End:
        """Say how it went.

        Raises:
            Lost: the job is not ours any more.
        """
        job.check()
        complaint = keepable(said.complaint.decode(errors="replace"))
        if code == 0:
            try:
                await job.done(_result(said.last_line))
                return End.DONE
            except BadInput as error:
                complaint = f"its result is refused: {error}"
        reason: Document = {"exit": code, "error": complaint}
        if code == GIVES_UP:
            await job.done(reason, Outcome.FAILED)
            return End.GIVEN_UP
        await job.give_back(0 if self._stopping.is_set() else None, reason)
        return End.GIVEN_BACK

    async def _until_ended(self, command: "Command", job: AsyncJob) -> None:
        """Wait for the command to end; when its job was stopped, or the converter is, it is made to.

        Nothing that it started in its session outlives it.
        """
        ending = asyncio.create_task(command.ended.wait())
        stopped, stopping = asyncio.create_task(job.stopped.wait()), asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({ending, stopped, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if stopping.done() and not ending.done():
                await asyncio.wait({ending, stopped}, timeout=self._work.grace, return_when=asyncio.FIRST_COMPLETED)
            if not ending.done():
                command.signal(signal.SIGTERM)
                await asyncio.wait({ending}, timeout=self._work.grace)
        finally:
            stopped.cancel()
            stopping.cancel()
            command.signal(signal.SIGKILL)
        await ending


class Command:
    """A running command, in a session of its own, so that whatever it starts can be ended with it.

    asyncio's own wait() waits for its output to end as well, which what it left behind may hold on to.

    Attributes:
        process: asyncio's.
        ended: set when it has ended.
    """

    def __init__(self, transport: asyncio.SubprocessTransport, protocol: "_Protocol") -> None:
        self._transport = transport
        self.process = Process(transport, protocol, asyncio.get_running_loop())
        self.ended = protocol.ended

    @classmethod
    async def start(cls, words: Sequence[str], environment: dict[str, str]) -> "Command":
        """Start it."""
        transport, protocol = await asyncio.get_running_loop().subprocess_exec(
            _Protocol, *words, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=environment, start_new_session=True
        )
        return cls(transport, protocol)

    def signal(self, number: signal.Signals) -> None:
        """Send it, and what it started, a signal."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def close(self) -> None:
        """Close our ends of its pipes."""
        self._transport.close()


class _Protocol(SubprocessStreamProtocol):
    def __init__(self) -> None:
        super().__init__(limit=_LONGEST_LINE, loop=asyncio.get_running_loop())
        self.ended = asyncio.Event()

    def process_exited(self) -> None:
        super().process_exited()
        self.ended.set()


async def _done_first(task: "asyncio.Task[AsyncJob]", event: asyncio.Event) -> bool:
    """Whether the task is done, or is cancelled because the event came first."""
    waiting = asyncio.create_task(event.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if task.done():
        return True
    task.cancel()
    await asyncio.wait({task})
    return not task.cancelled()  # it may have been done after all


async def _talk(process: Process, document: str, said: Said) -> None:
    """Give the command its document, and keep what it says."""
    assert process.stdin
    assert process.stdout
    assert process.stderr

    async def give(stdin: asyncio.StreamWriter) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it need not read it
            stdin.write(document.encode())
            await stdin.drain()
        stdin.close()

    async def hear(stdout: asyncio.StreamReader) -> None:
        while True:
            try:
                line = await stdout.readline()
            except ValueError:  # longer than any result
                line = b"\n"
            if not line:
                return
            said.last_line = line.strip() or said.last_line

    async def hear_complaint(stderr: asyncio.StreamReader) -> None:
        while data := await stderr.read(1 << 16):
            said.complaint = (said.complaint + data)[-_TAIL:]

    await asyncio.gather(give(process.stdin), hear(process.stdout), hear_complaint(process.stderr))


def _result(line: bytes) -> Document | None:
    """The line, if it is a JSON object."""
    with contextlib.suppress(ValueError):
        value = json.loads(line)
        return value if isinstance(value, dict) else None
    return None
