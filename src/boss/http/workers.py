"""Several worker processes that serve one port, under one parent: `boss serve --workers N`.

The parent runs the embedded PostgreSQL, starts the workers, and passes signals on to them. It restarts a worker that
dies or no longer sends its heartbeat. It serves no requests itself. The kernel distributes the port's connections among
the workers (SO_REUSEPORT).
"""

import asyncio
import logging
import pickle
import signal
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress

from prometheus_client import multiprocess

from boss.errors import StartError
from boss.settings import Settings
from boss.telemetry.metrics_folder import metrics_folder

log = logging.getLogger("boss")

# How long a worker may send no heartbeat before it counts as frozen.
_SILENCE_S = 15.0
# How long a worker may take to start: the machine may be slow, and the worker may have to wait for a lock on the
# tables.
_START_S = 60.0
# How long to wait once more for its heartbeat, in case this process itself was stopped.
_ONCE_MORE_S = 3.0
# How long a worker may take to drain, including the time that its clients have to read.
_STOP_S = 16.0
# How long to wait before a worker is started again.
_AGAIN_S = 1.0


async def supervise(settings: Settings, stop: asyncio.Event, tell: Callable[[], None]) -> None:
    """Run the workers until `stop` is set, then let them drain.

    Args:
        settings: the settings of each worker; they name the database.
        stop: set by a signal.
        tell: called once all workers serve.

    Raises:
        StartError: a worker cannot start.
    """
    with metrics_folder():
        workers = [_Worker(number, settings) for number in range(1, settings.workers + 1)]
        try:
            for worker in workers:
                await worker.start()
            tell()
            if settings.tls_cert:
                # SIGHUP makes the workers load a renewed certificate. Without TLS it would kill them.
                asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, _send_all, workers, signal.SIGHUP)
            async with asyncio.TaskGroup() as group:
                watching = [group.create_task(worker.keep_running(stop)) for worker in workers]
                await stop.wait()
                _send_all(workers, signal.SIGTERM)
                await asyncio.wait(watching, timeout=_STOP_S)
                _send_all(workers, signal.SIGKILL)
        finally:
            _send_all(workers, signal.SIGKILL)


class _Worker:
    """One worker process, and the processes that replace it."""

    def __init__(self, number: int, settings: Settings) -> None:
        self._number = number
        self._told = pickle.dumps(settings)
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start the worker; return once it serves.

        Raises:
            StartError: it does not serve in time.
        """
        try:
            process = self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "boss.cli.worker"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                # Until it has a handler of its own, a signal to renew the certificate would end it.
                preexec_fn=_ignore_hang_ups,
            )
            assert process.stdin
            # The pipe stays open. Its end tells the worker that the parent is gone.
            process.stdin.write(len(self._told).to_bytes(8, "big") + self._told)
        except (OSError, RuntimeError) as error:  # uvloop's, for a pipe whose reader has just died
            raise StartError(f"worker {self._number} cannot be started: {error}") from error
        if not await self._heard(_START_S):
            raise StartError(f"worker {self._number} did not start; the log says why")
        log.info("worker %s of this Boss serves as process %s", self._number, process.pid)

    async def keep_running(self, stop: asyncio.Event) -> None:
        """Restart the worker whenever it ends, until `stop` is set; then return when it has ended."""
        while True:
            while await self._heard(_SILENCE_S):
                pass
            assert self._process
            if not stop.is_set():
                log.error("worker %s has died or is frozen; restarting it", self._number)
                self.send(signal.SIGKILL)
            # When `stop` is set, `supervise` makes the process end, if need be by SIGKILL.
            await self._process.wait()
            multiprocess.mark_process_dead(self._process.pid)  # type: ignore[no-untyped-call]
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _AGAIN_S)
                return
            try:
                await self.start()
            except StartError as error:
                # The loop finds the worker silent, and so starts it once more.
                log.error("%s; trying again", error)

    async def _heard(self, seconds: float) -> bool:
        """Whether the worker sends a heartbeat within so many seconds."""
        assert self._process
        assert self._process.stdout
        # After this process was stopped, the time-out fires before what a healthy worker has sent is read.
        for patience in (seconds, _ONCE_MORE_S):
            with suppress(TimeoutError):
                return bool(await asyncio.wait_for(self._process.stdout.readline(), patience))
        return False

    def send(self, number: signal.Signals) -> None:
        """Send the worker a signal, if it runs."""
        if self._process and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)


def _ignore_hang_ups() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _send_all(workers: Iterable[_Worker], number: signal.Signals) -> None:
    for worker in workers:
        worker.send(number)
