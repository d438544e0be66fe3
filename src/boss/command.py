"""Running a command for each job: what `boss work` converts with."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
from collections.abc import Sequence

from boss.client.taken import AsyncJob, Document, Failure, keepable

# A command that ends so says that no attempt will do better.
GIVES_UP = 99
# What is kept of what a command complained of last, in bytes: enough for the longest reason.
_TAIL = 8000
# How long what a command said is waited for after its end, in seconds: what it left behind may still have its output.
_LINGER = 1
# How often its output is read in a row: what it left behind may write for ever.
_READS = 16
# A line of a command's output longer than this is no result, in bytes.
_LONGEST_LINE = 1024 * 1024


class CommandConverter:
    """Converts a job by a command, going by its exit code.

    Args:
        words: the command: the document is on its standard input.
        url: the Boss that it is told of.
        grace: how many seconds it has to end when it is told to.
    """

    def __init__(self, words: Sequence[str], url: str, grace: float) -> None:
        self._words = shutil.which(words[0]) or words[0], *words[1:]
        self._environment = {**os.environ, "BOSS_URL": url}
        self._grace = grace

    async def __call__(self, job: AsyncJob) -> Document | None:
        """Run the command for this job; return its result.

        Raises:
            Failure: it did not end well.
        """
        environment = {
            **self._environment,
            "BOSS_JOB_ID": job.id,
            "BOSS_SOURCE": job.source,
            "BOSS_ATTEMPT": str(job.attempt),
        }
        if job.traceparent:
            # https://opentelemetry.io/docs/specs/otel/context/env-carriers/
            environment["TRACEPARENT"] = job.traceparent
        command = Command(self._words, environment, job.text.encode())
        try:
            await self._until_ended(command, job)
            if not command.silent.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(command.silent.wait(), _LINGER)
        finally:
            command.close()
        if command.code == 0:
            return _result(command.last_line)
        complaint = keepable(command.complaint.decode(errors="replace"))
        raise Failure({"exit": command.code, "error": complaint}, for_good=command.code == GIVES_UP)

    async def _until_ended(self, command: "Command", job: AsyncJob) -> None:
        """Wait for the command to end; when the work on its job shall, it is made to."""
        stopping = asyncio.create_task(self._stop(command, job))
        try:
            await command.ended.wait()
        finally:
            stopping.cancel()
            command.signal(signal.SIGKILL)

    async def _stop(self, command: "Command", job: AsyncJob) -> None:
        await job.stopped.wait()
        command.signal(signal.SIGTERM)
        await asyncio.sleep(self._grace)
        command.signal(signal.SIGKILL)


def _result(line: bytes) -> Document | None:
    """The line, if it is a JSON object."""
    with contextlib.suppress(ValueError):
        value = json.loads(line)
        return value if isinstance(value, dict) else None
    return None


class Command:
    """A running command, in a session of its own, so that whatever it started there ends with it.

    It is spawned and waited for by the system's own means, which takes a quarter of the time that asyncio's subprocess
    does: for a tiny command, that was most of it.

    Args:
        words: the program, by its path, and its arguments.
        environment: all of its environment.
        document: what it gets on its standard input.

    Attributes:
        ended: set when it has ended, whoever may still have its output.
        silent: set when nobody has its output any more.
        code: its exit code once it has ended; the negative of a signal's number when that ended it.
        last_line: the last line with something on it that it printed.
        complaint: the end of what it wrote to its standard error.

    Raises:
        OSError: it cannot be run.
    """

    def __init__(self, words: Sequence[str], environment: dict[str, str], document: bytes) -> None:
        self.ended, self.silent = asyncio.Event(), asyncio.Event()
        self.code: int | None = None
        self.last_line = self.complaint = b""
        self._unfinished_line = b""
        self._document = memoryview(document)
        self._loop = asyncio.get_running_loop()
        stdin, self._stdin = os.pipe()
        self._stdout, stdout = os.pipe()
        self._stderr, stderr = os.pipe()
        self._open = {self._stdin, self._stdout, self._stderr}
        for end in self._open:
            os.set_blocking(end, False)
        # What fits into the pipe need not wait for the command.
        self._give()
        try:
            self._pid = os.posix_spawn(
                words[0],
                list(words),
                environment,
                file_actions=[(os.POSIX_SPAWN_DUP2, end, number) for number, end in enumerate((stdin, stdout, stderr))],
                # Python ignores these, and a command must not inherit that.
                setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],
                setsid=True,
            )
        except OSError:
            self.close()
            raise
        finally:
            for end in (stdin, stdout, stderr):
                os.close(end)
        self._wait()
        self._loop.add_reader(self._stdout, self._hear, self._stdout)
        self._loop.add_reader(self._stderr, self._hear, self._stderr)
        if self._document:
            self._loop.add_writer(self._stdin, self._give)

    def signal(self, number: signal.Signals) -> None:
        """Send it, and what it started, a signal, unless it has ended."""
        if not self.ended.is_set():
            os.killpg(self._pid, number)

    def close(self) -> None:
        """Close our ends of its pipes."""
        for end in list(self._open):
            self._close(end)

    def _close(self, end: int) -> None:
        self._loop.remove_reader(end)
        self._loop.remove_writer(end)
        os.close(end)
        self._open.remove(end)
        if self._stdout not in self._open and self._stderr not in self._open:
            self.silent.set()

    def _wait(self) -> None:
        if not hasattr(os, "pidfd_open"):  # not on Linux
            waiting = self._loop.run_in_executor(None, os.waitid, os.P_PID, self._pid, os.WEXITED | os.WNOWAIT)
            waiting.add_done_callback(lambda _: self._end())
            return
        handle = os.pidfd_open(self._pid)

        def end() -> None:
            self._loop.remove_reader(handle)
            os.close(handle)
            self._end()

        self._loop.add_reader(handle, end)

    def _end(self) -> None:
        # Before its exit code is asked for: until then its number is nobody else's.
        os.killpg(self._pid, signal.SIGKILL)
        _, status = os.waitpid(self._pid, 0)
        self.code = os.waitstatus_to_exitcode(status)
        for end in (self._stdout, self._stderr):
            self._hear(end)
        self.ended.set()

    def _give(self) -> None:
        try:
            self._document = self._document[os.write(self._stdin, self._document) :]
        except BlockingIOError:
            return
        except OSError:  # it need not read it
            self._document = self._document[:0]
        if not self._document:
            self._close(self._stdin)

    def _hear(self, end: int) -> None:
        """Keep what there is to hear at one end; close it when nobody has the other one any more."""
        keep = self._keep_last_line if end == self._stdout else self._keep_complaint
        with contextlib.suppress(BlockingIOError):
            for _ in range(_READS):
                if end not in self._open:
                    return
                data = os.read(end, 1 << 16)
                keep(data)
                if not data:
                    self._close(end)

    def _keep_last_line(self, data: bytes) -> None:
        *lines, self._unfinished_line = (self._unfinished_line + (data or b"\n")).split(b"\n")
        for line in lines:
            self.last_line = line.strip() or self.last_line
        if len(self._unfinished_line) > _LONGEST_LINE:
            # Whatever follows on this line, with this before it is no JSON.
            self._unfinished_line = b"..."

    def _keep_complaint(self, data: bytes) -> None:
        self.complaint = (self.complaint + data)[-_TAIL:]
