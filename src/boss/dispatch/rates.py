"""Rates: takers that wait for a source whose rate is used up are woken when more of its jobs may be taken."""

import asyncio
import logging

from boss.dispatch.source_limits import SourceLimits
from boss.dispatch.wait_queue import WaitQueue
from boss.errors import DatabaseAway
from boss.postgres import store
from boss.postgres.connection import Pool

log = logging.getLogger("boss")

# The shortest time until the next wakeup after a taker has found a job, and after one has found none.
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
        # The sources whose wakeup is to come, each with its rate when that was asked for.
        self._awaited: dict[str, float] = {}
        # The sources of which a taker found no job although the rate allowed one.
        self._tried_again: set[str] = set()
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
        sleeps = self._wait_queue.is_there_for
        new = {
            each: rates[each]
            for each in (rates if sources is None else sources)
            # A wakeup by an earlier rate may come much too late.
            if each in rates and self._awaited.get(each) != rates[each] and (not found or sleeps(each))
        }
        if new:
            self._awaited.update(new)
            task = asyncio.create_task(self._wake_all(new, found))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _wake_all(self, rates: dict[str, float], found: bool) -> None:
        waits: list[store.RateWait] = []
        try:
            waits = await store.rate_waits(self._pool, list(rates))
        except DatabaseAway:
            pass  # maintenance wakes them once a second
        except Exception:
            log.exception("reading the rates of sources failed; maintenance wakes their takers")
        ahead = {wait.source: wait for wait in waits if found or self._is_worth_it(wait)}
        shortest = _SHORTEST_S if found else _SHORTEST_AFTER_NONE_S
        loop = asyncio.get_running_loop()
        for source, rate in rates.items():
            if wait := ahead.get(source):
                loop.call_later(max(wait.seconds, shortest), self._wake, wait, rate)
            else:
                self._forget(source, rate)

    def _is_worth_it(self, wait: store.RateWait) -> bool:
        """Whether a taker that has just found no job should try again by itself.

        The rate may have allowed a job just after it had searched. If that is so again, something else holds the job
        back: somebody has locked it. Then maintenance wakes the taker, once a second.
        """
        if wait.seconds > 0:
            self._tried_again.discard(wait.source)
            return True
        is_first = wait.source not in self._tried_again
        self._tried_again.add(wait.source)
        return is_first

    def _wake(self, wait: store.RateWait, rate: float) -> None:
        self._forget(wait.source, rate)
        self._wait_queue.announce({wait.source: wait.jobs})

    def _forget(self, source: str, rate: float) -> None:
        if self._awaited.get(source) == rate:
            del self._awaited[source]
