"""Rates: takers that wait for a source whose rate is used up are woken when more of its jobs may be taken."""

import asyncio
import logging

from boss.dispatch.source_limits import SourceLimits
from boss.dispatch.wait_queue import WaitQueue
from boss.errors import DatabaseAway
from boss.postgres import store
from boss.postgres.connection import Pool

log = logging.getLogger("boss")

# The shortest time until the next wakeup after a taker has found a job, and after one has found none: then another
# session may have locked the job.
_SHORTEST_S, _SHORTEST_AFTER_NONE_S = 0.001, 0.01


class Rates:
    """Wakes takers of this replica by the rates of sources.

    Every waiting taker that has searched asks for the next wakeup, whether it found a job or not. So there is one to
    come as long as takers wait for jobs that only a rate holds back, and none otherwise.

    Args:
        pool: the connection pool.
        wait_queue: the takers that wait on this replica.
        limits: the source limits.
    """

    def __init__(self, pool: Pool, wait_queue: WaitQueue, limits: SourceLimits) -> None:
        self._pool = pool
        self._wait_queue = wait_queue
        self._limits = limits
        # The sources whose wakeup is to come.
        self._awaited: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def wake_later(self, sources: tuple[str, ...] | None, *, found: bool) -> None:
        """Wake takers when more jobs of these sources, of any when None, may be taken.

        Args:
            sources: the sources that a taker asked for.
            found: whether it found a job. Otherwise it is going to sleep.
        """
        rates = self._limits.rates
        if not rates:
            return
        asked = (source for source in (rates if sources is None else sources) if source in rates)
        sleeps = self._wait_queue.is_there_for
        if new := [each for each in asked if each not in self._awaited and (not found or sleeps(each))]:
            self._awaited.update(new)
            task = asyncio.create_task(self._wake_all(new, _SHORTEST_S if found else _SHORTEST_AFTER_NONE_S))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _wake_all(self, sources: list[str], shortest: float) -> None:
        waits: list[store.RateWait] = []
        try:
            waits = await store.rate_waits(self._pool, sources)
        except DatabaseAway:
            pass  # maintenance wakes them once a second
        except Exception:
            log.exception("reading the rates of sources failed; maintenance wakes their takers")
        self._awaited.difference_update({*sources} - {wait.source for wait in waits})
        loop = asyncio.get_running_loop()
        for wait in waits:
            loop.call_later(max(wait.seconds, shortest), self._wake, wait)

    def _wake(self, wait: store.RateWait) -> None:
        self._awaited.discard(wait.source)
        self._wait_queue.announce({wait.source: wait.jobs})
