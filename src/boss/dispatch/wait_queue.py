"""The wait queue: takers that wait on this replica for a job to arrive, the oldest first. No HTTP, no SQL.

An arriving job wakes one taker, which then tries to take it. On another replica a taker may have been faster; then this
one waits again in its old position.
"""

import asyncio
import heapq
from collections import Counter
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager, suppress

from boss.errors import Draining, Unauthenticated


class Waiter:
    """One taker in the wait queue, for jobs of some sources, or of any when None."""

    def __init__(self, number: int, sources: tuple[str, ...] | None, limit: int, by: str | None) -> None:
        self.number = number
        self.by = by
        self.sources: tuple[str | None, ...] = (None,) if sources is None else sources
        self.limit = limit
        # Its result is the source of the job that wakes the taker. None before the first sleep.
        self.wakeup: asyncio.Future[str] | None = None


class _Sleep:
    """One sleep of a taker. It is in the heap of each of its sources; a wakeup for any of them ends it in all."""

    __slots__ = ("waiter", "wakeup")

    def __init__(self, waiter: Waiter, wakeup: "asyncio.Future[str]") -> None:
        self.waiter = waiter
        self.wakeup = wakeup

    def __lt__(self, other: "_Sleep") -> bool:
        return self.waiter.number < other.waiter.number

    @property
    def over(self) -> bool:
        """Whether the taker was woken or has left."""
        return self.wakeup.done()


class WaitQueue:
    """The takers that wait, by the source they wait for; under None those that wait for any source.

    Attributes:
        waiting: how many takers wait.
        missed: counts announcements of jobs that woke nobody. A taker that searched meanwhile searches again.
    """

    def __init__(self) -> None:
        # A heap of the sleeps for each source. A sleep that is over is dropped when it comes to the top.
        self._asleep: dict[str | None, list[_Sleep]] = {}
        self._joined = 0
        self._closed = False
        self._evicted: set[str | None] = set()
        # Takers without a token up to this number are evicted.
        self._last_without_token = 0
        self.waiting = 0
        # How many takers wait with each token.
        self._with: Counter[str | None] = Counter()
        self.missed = 0

    @contextmanager
    def joined(self, sources: tuple[str, ...] | None, limit: int, by: str | None = None) -> Iterator[Waiter]:
        """Add a taker at the end of the queue, until the block is left.

        When the block raises an error, the job that woke this taker wakes the next one instead.

        Args:
            sources: the sources it waits for; None for any.
            limit: the most jobs that it takes.
            by: the name of its token.
        """
        self._joined += 1
        self.waiting += 1
        self._with[by] += 1
        waiter = Waiter(self._joined, sources, limit, by)
        try:
            yield waiter
        except BaseException:
            if waiter.wakeup is not None and waiter.wakeup.done() and not waiter.wakeup.cancelled():
                with suppress(Draining, Unauthenticated):
                    self._wake_next(waiter.wakeup.result())
            raise
        finally:
            self.waiting -= 1
            self._with[by] -= 1
            if not self._with[by]:
                del self._with[by]
            if waiter.wakeup is not None:
                waiter.wakeup.cancel()

    def waiting_with(self, name: str | None) -> int:
        """How many takers wait with the token of this name."""
        return self._with[name]

    def is_waited_for(self, sources: tuple[str, ...] | None) -> bool:
        """Whether a taker is asleep for each of these very sources, or, for None, for any source.

        Then whatever becomes ready wakes that taker first. For a source without one, jobs may be ready right now.
        """
        return all(self._oldest(source) for source in (sources or (None,)))

    def is_there_for(self, source: str) -> bool:
        """Whether a taker is asleep that a job of this source would wake."""
        return bool(self._oldest(source) or self._oldest(None))

    async def sleep(self, waiter: Waiter, until: float) -> bool:
        """Sleep until an arriving job wakes this taker; return False if none did by `until`, on the event loop's clock.

        Raises:
            Draining: this replica is shutting down.
            Unauthenticated: the taker's token is not valid any more.
        """
        if self._closed:
            raise _draining()
        if self._is_evicted(waiter):
            raise _evicted()
        waiter.wakeup = asyncio.get_running_loop().create_future()
        for source in waiter.sources:
            heapq.heappush(self._asleep.setdefault(source, []), _Sleep(waiter, waiter.wakeup))
        await asyncio.wait([waiter.wakeup], timeout=until - asyncio.get_running_loop().time())
        if not waiter.wakeup.done():
            waiter.wakeup.cancel()
            return False
        waiter.wakeup.result()
        return True

    def announce(self, ready: Mapping[str, int]) -> None:
        """Wake as many takers as this many ready jobs, by source, are enough for; the oldest first."""
        for source, jobs in ready.items():
            while jobs > 0 and (woken := self._wake_next(source)):
                jobs -= woken.limit
            if jobs > 0:
                self.missed += 1

    def demand(self) -> Counter[str | None]:
        """How many jobs the sleeping takers would take, by source."""
        return Counter(
            {
                source: sum(sleep.waiter.limit for sleep in self._asleep[source] if not sleep.over)
                for source in list(self._asleep)
                if self._oldest(source)
            }
        )

    def close(self) -> None:
        """Raise `Draining` to every taker that waits, now and from now on."""
        self._closed = True
        for heap in self._asleep.values():
            for sleep in heap:
                if not sleep.over:
                    sleep.wakeup.set_exception(_draining())

    def evict(self, names: Set[str | None]) -> None:
        """Raise `Unauthenticated` to every taker that waits with one of these tokens, or, for None, without a token.

        These tokens are not valid any more, and no name is used twice, so a taker with one never sleeps again.
        """
        self._evicted |= names - {None}
        if None in names:
            self._last_without_token = self._joined
        for sleep in [sleep for heap in self._asleep.values() for sleep in heap]:
            if self._is_evicted(sleep.waiter) and not sleep.over:
                sleep.wakeup.set_exception(_evicted())

    def _is_evicted(self, waiter: Waiter) -> bool:
        return waiter.by in self._evicted or (waiter.by is None and waiter.number <= self._last_without_token)

    def _wake_next(self, source: str) -> Waiter | None:
        """Wake the oldest of the takers that would take a job of this source."""
        oldest = min(filter(None, (self._oldest(source), self._oldest(None))), default=None)
        if oldest is None:
            return None
        oldest.wakeup.set_result(source)
        return oldest.waiter

    def _oldest(self, source: str | None) -> _Sleep | None:
        heap = self._asleep.get(source)
        while heap:
            if not heap[0].over:
                return heap[0]
            heapq.heappop(heap)
        self._asleep.pop(source, None)
        return None


def _evicted() -> Unauthenticated:
    return Unauthenticated("the token is not valid any more: it expired or was revoked, or a token is needed now")


def _draining() -> Draining:
    return Draining("the server is shutting down; send the request to another replica")
