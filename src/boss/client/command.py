"""Run a command for each job, as `boss work` does."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
from collections.abc import Sequence

from boss.client.address import URL_VARIABLE
from boss.client.job import AsyncJob, Failure, Interrupted, sanitize
from boss.client.orphans import Orphans

# The exit code by which a command says that further attempts are useless.
GIVES_UP = 99
# How much of the end of standard error is kept, in bytes: enough for the longest reason.
_TAIL_BYTES = 8000
# How long to wait for the rest of a command's output after its end, in seconds. Processes that it left behind may still
# hold its output open.
_LINGER_S = 1
# How often output is read in a row. Processes that a command left behind may write for ever.
_READS = 16
# The longest result line that is kept, in bytes. A longer one is too large for any Boss.
_LONGEST_LINE_BYTES = 32 * 1024 * 1024
# What is kept instead of a longer line. It is no JSON either.
_TOO_LONG = b"{..."
# The variable with the note that the attempt before has left.
_NOTE_VARIABLE = "BOSS_NOTE"
# How often to reap the processes that commands left behind, in seconds.
_REAP_INTERVAL_S = 1.0


class CommandConverter:
    """Converts a job by a command, whose exit code tells how it went.

    Args:
        words: the command and its arguments; it gets the document on its standard input.
        url: the URL of Boss, for the command's environment.
        grace: how many seconds the command has to end when it is told to.
    """

    def __init__(self, words: Sequence[str], url: str, grace: float) -> None:
        self._words = shutil.which(words[0]) or words[0], *words[1:]
        self._environment = {**os.environ, URL_VARIABLE: url}
        # This is a command's own when another `boss work` runs it, and no job's of ours.
        self._environment.pop(_NOTE_VARIABLE, None)
        self._grace = grace
        self._orphans = Orphans()
        self._reaping: asyncio.TimerHandle | None = None

    async def __call__(self, job: AsyncJob) -> str | None:
        """Run the command for this job; return its result, as JSON text.

        When this is cancelled, the command gets SIGTERM. It gets SIGKILL after the grace, or when this is cancelled
        again.

        Raises:
            Interrupted: the command failed, perhaps because of a signal that this process gets as well.
            Failure: the command gave the job up for good, or could not be run.
        """
        if self._reaping is None:
            self._reap_forever()
        try:
            command = Command(self._words, self._environment_of(job), job.text.encode(), self._orphans)
        except OSError as error:
            raise Failure(f"the command could not be run: {error}", uncounted=True) from error
        try:
            await self._until_ended(command, job)
            if not command.silent.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(command.silent.wait(), _LINGER_S)
        finally:
            command.close()
        return _result(command)

    def _environment_of(self, job: AsyncJob) -> dict[str, str]:
        environment = {
            **self._environment,
            "BOSS_JOB_ID": job.id,
            "BOSS_SOURCE": job.source,
            "BOSS_ATTEMPT": str(job.attempt),
        }
        if job.note_text is not None:
            # As UTF-8, whatever the locale.
            environment[_NOTE_VARIABLE] = os.fsdecode(job.note_text.encode())
        if job.traceparent:
            # https://opentelemetry.io/docs/specs/otel/context/env-carriers/
            environment["TRACEPARENT"] = job.traceparent
        return environment

    async def _until_ended(self, command: "Command", job: AsyncJob) -> None:
        """Wait until the command has ended; when the work on its job must end, make it end."""
        try:
            await command.ended.wait()
        except asyncio.CancelledError:
            if not job.stopped.is_set():  # the converter must end at once
                raise
            command.signal(signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(command.ended.wait(), self._grace)
            if command.code != 0:
                raise
        finally:
            command.signal(signal.SIGKILL)

    def _reap_forever(self) -> None:
        self._orphans.reap()
        self._reaping = asyncio.get_running_loop().call_later(_REAP_INTERVAL_S, self._reap_forever)


def _result(command: "Command") -> str | None:
    """The result of a command that has ended."""
    if command.code == 0 and command.last_line.startswith(_TOO_LONG):
        return json.dumps({"note": f"the result could not be kept: it is longer than {_LONGEST_LINE_BYTES:,} bytes"})
    if command.code == 0:
        return _object(command.last_line)
    reason = {"exit": command.code, "error": sanitize(command.complaint.decode(errors="replace"))}
    if command.code == GIVES_UP:
        raise Failure(reason, for_good=True)
    raise Interrupted(reason)


def _object(line: bytes) -> str | None:
    """The line itself, if it is a JSON object. It is not rewritten, so that Boss's errors fit what was printed."""
    if not line.startswith(b"{"):
        return None
    try:
        text = line.decode()
        # Numbers are not parsed: Python would refuse some that Boss can store.
        json.loads(text, parse_int=str, parse_float=str)
    except RecursionError:
        return text
    except ValueError:
        return None
    return text


class Command:
    """A running command, in a session of its own, so that the processes it starts there end with it.

    It is spawned and awaited by system calls. That takes a quarter of the time that asyncio's subprocess takes, which
    for a tiny command was most of the time.

    Args:
        words: the path of the program, and its arguments.
        environment: its whole environment.
        document: its standard input.
        orphans: is told when the command begins and ends.

    Attributes:
        ended: set when it has ended, even if other processes still hold its output open.
        silent: set when no process holds its output open any more.
        code: its exit code once it has ended; the negative number of the signal that ended it.
        last_line: the last line that it printed and that is not blank.
        complaint: the end of its standard error.

    Raises:
        OSError: it cannot be run.
    """

    def __init__(self, words: Sequence[str], environment: dict[str, str], document: bytes, orphans: Orphans) -> None:
        self.ended, self.silent = asyncio.Event(), asyncio.Event()
        self.code: int | None = None
        self.last_line = self.complaint = b""
        self._unfinished_line = bytearray()
        self._orphans = orphans
        self._document = memoryview(document)
        self._loop = asyncio.get_running_loop()
        stdin, self._stdin = os.pipe()
        self._stdout, stdout = os.pipe()
        self._stderr, stderr = os.pipe()
        self._open = {self._stdin, self._stdout, self._stderr}
        for end in self._open:
            os.set_blocking(end, False)
        # The part of the document that fits into the pipe can be written before the command runs.
        self._give()
        try:
            self._pid = os.posix_spawn(
                words[0],
                list(words),
                environment,
                file_actions=[(os.POSIX_SPAWN_DUP2, end, number) for number, end in enumerate((stdin, stdout, stderr))],
                # Python ignores these signals. The command must not inherit that.
                setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],
                setsid=True,
            )
            # At once: if this process is killed before, nobody ends the command.
            orphans.began(self._pid, self._end)
        except OSError:
            self.close()
            raise
        finally:
            for end in (stdin, stdout, stderr):
                os.close(end)
        try:
            self._wait()
        except OSError:  # too many open files
            self._end_unwatched()
            raise
        self._loop.add_reader(self._stdout, self._hear, self._stdout)
        self._loop.add_reader(self._stderr, self._hear, self._stderr)
        if self._document:
            self._loop.add_writer(self._stdin, self._give)

    def _end_unwatched(self) -> None:
        os.killpg(self._pid, signal.SIGKILL)
        self.close()
        self._end()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the command and the processes it started, unless it has ended."""
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
        if self.ended.is_set():
            return
        # This comes before waitpid: until then no other process can get its number.
        os.killpg(self._pid, signal.SIGKILL)
        self._orphans.ended(self._pid)
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
        except OSError:  # the command does not read its input
            self._document = self._document[:0]
        if not self._document:
            self._close(self._stdin)

    def _hear(self, end: int) -> None:
        """Read what is available at our end of a pipe; close it when no process holds the other end any more."""
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
        *lines, rest = (data or b"\n").split(b"\n")
        for line in lines:
            self.last_line = bytes(self._unfinished_line + line).strip() or self.last_line
            self._unfinished_line.clear()
        self._unfinished_line += rest
        start = bytes(self._unfinished_line[:64]).lstrip()
        if start and not start.startswith(b"{"):
            self._unfinished_line[:] = b"..."  # it is no JSON object, however it goes on
        elif len(self._unfinished_line) > _LONGEST_LINE_BYTES or start.startswith(_TOO_LONG):
            self._unfinished_line[:] = _TOO_LONG

    def _keep_complaint(self, data: bytes) -> None:
        self.complaint = (self.complaint + data)[-_TAIL_BYTES:]
