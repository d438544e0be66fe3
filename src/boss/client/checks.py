"""Heartbeats of held jobs, sent by a thread of their own. So they go on when work on a job blocks the event loop.

While jobs are held, the thread finds ten times a second those whose heartbeat is due. Holding or releasing a job
wakes no thread, because most jobs are over long before their first heartbeat.
"""

import asyncio
import contextlib
import logging
import math
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from boss.errors import BossError, NotThere, WrongAttempt

if TYPE_CHECKING:
    from boss.client.async_client import AsyncClient

log = logging.getLogger("boss")

# How often the thread finds the jobs that are due, and how long it lives on while none are held, in seconds.
_TICK_S, _IDLE_TIMEOUT_S = 0.1, 1.0
# How often the heartbeat of a job without a lease is sent, in seconds. It tells whether the job was stopped.
_INTERVAL_WITHOUT_LEASE_S = 60.0
# How long a heartbeat waits for its response, and how soon a failed one is retried unless the next one is due before,
# in seconds.
_PATIENCE_S, _RETRY_S = 10.0, 5.0


class Held(Protocol):
    """A job that this client holds."""

    id: str
    source: str
    attempt: int
    lease: int

    def lose(self) -> None:
        """Called in this thread when the job was stopped, or its lease has expired and it was taken again."""


def interval(lease: int) -> float:
    """How often the heartbeat of a job with this lease is sent, in seconds."""
    return lease / 3 if lease else _INTERVAL_WITHOUT_LEASE_S


class Checks:
    """Sends the heartbeat of each held job at a third of its lease.

    Args:
        connect: creates the client that sends the heartbeats, in the thread, without patience.
    """

    def __init__(self, connect: Callable[[], "AsyncClient"]) -> None:
        self._connect = connect
        self._lock = threading.Lock()
        # When each job's next heartbeat is due (time.monotonic); infinity while one is under way.
        self._due: dict[Held, float] = {}
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()

    def hold(self, job: Held) -> None:
        """Send heartbeats for this job from now on."""
        with self._lock:
            self._due[job] = time.monotonic() + interval(job.lease)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="boss-checks", daemon=True)
                self._thread.start()

    def let_go(self, job: Held) -> None:
        """Send no more heartbeats for this job."""
        with self._lock:
            self._due.pop(job, None)

    def close(self) -> None:
        """End the thread; jobs that are still held get no more heartbeats."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join(_IDLE_TIMEOUT_S)

    def _run(self) -> None:
        asyncio.run(self._check_while_held())

    async def _check_while_held(self) -> None:
        checks = set[asyncio.Task[None]]()
        last_held = time.monotonic()
        async with self._connect() as client:
            while not self._closed.is_set():
                await asyncio.sleep(_TICK_S)
                for job, due in self._take_due():
                    check = asyncio.create_task(self._check(client, job, due))
                    checks.add(check)
                    check.add_done_callback(checks.discard)
                with self._lock:
                    if self._due:
                        last_held = time.monotonic()
                    elif time.monotonic() - last_held > _IDLE_TIMEOUT_S:
                        self._thread = None
                        break
            for check in checks:
                check.cancel()
            await asyncio.gather(*checks, return_exceptions=True)

    def _take_due(self) -> list[tuple[Held, float]]:
        now = time.monotonic()
        with self._lock:
            due = [(job, when) for job, when in self._due.items() if when <= now]
            self._due.update((job, math.inf) for job, _ in due)
        return due

    async def _check(self, client: "AsyncClient", job: Held, due: float) -> None:
        every, now = interval(job.lease), time.monotonic()
        if now - due > every:
            log.warning(
                "the heartbeat of %s/%s is %.1f s late, and the lease is %s s: this process or its machine stood still",
                *(job.source, job.id, now - due, job.lease),
            )
        following = now + every
        try:
            async with asyncio.timeout(max(1.0, min(every, _PATIENCE_S))):
                await client.check(job.source, job.id, job.attempt)
        except (NotThere, WrongAttempt):
            if self._is_held(job):
                job.lose()
            return
        except (BossError, TimeoutError) as error:
            log.warning(
                "the heartbeat of %s/%s could not be sent: %s", job.source, job.id, str(error) or "no response came"
            )
            following = time.monotonic() + min(every, _RETRY_S)
        with self._lock, contextlib.suppress(KeyError):
            del self._due[job]
            self._due[job] = following

    def _is_held(self, job: Held) -> bool:
        with self._lock:
            return self._due.pop(job, None) is not None
