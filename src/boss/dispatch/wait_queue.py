"""The line of takers that wait on this replica for a job to arrive: the oldest is served first. No HTTP, no SQL.

A job that arrives wakes one taker, which then looks for itself: on another replica somebody may have been faster, and
then it goes back to its waiter.
"""

import asyncio
import heapq
from collections import Counter
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager, suppress

from boss.errors import Draining, Unauthenticated


class Waiter:
    """One taker's waiter in the line, for jobs of some sources, of any when None."""

    def __init__(self, number: int, sources: tuple[str, ...] | None, limit: int, by: str | None) -> None:
        self.number = number
        self.by = by
        self.sources: tuple[str | None, ...] = (None,) if sources is None else sources
        self.limit = limit
        # Its result is the source of the job it is woken for; None before the first sleep.
        self.wakeup: asyncio.Future[str] | None = None


class _Sleep:
    """A taker asleep, in the heap of each of its sources; once it is woken, in any of them, it is over in all."""

    __slots__ = ("waiter", "wakeup")

    def __init__(self, waiter: Waiter, wakeup: "asyncio.Future[str]") -> None:
        self.waiter = waiter
        self.wakeup = wakeup

    def __lt__(self, other: "_Sleep") -> bool:
        return self.waiter.number < other.waiter.number

    @property
    def over(self) -> bool:
        """Whether it has been woken, or has gone."""
        return self.wakeup.done()


class WaitQueue:
    """Who waits for jobs of which source, of any under None.

    Attributes:
        missed: counts announcements of jobs for which nobody was asleep. Who was looking meanwhile looks again.
    """

    def __init__(self) -> None:
        # A heap of those asleep for each source; who left it or was woken is passed over when it comes to the top.
        self._asleep: dict[str | None, list[_Sleep]] = {}
        self._joined = 0
        self._closed = False
        self._evicted: set[str | None] = set()
        # Who joined up to then without a token is not let sleep again.
        self._last_nameless = 0
        self.waiting = 0
        # How many of them came with which token.
        self._with: Counter[str | None] = Counter()
        self.missed = 0

    @contextmanager
    def joined(self, sources: tuple[str, ...] | None, limit: int, by: str | None = None) -> Iterator[Waiter]:
        """A place at the end of the line, for a taker of at most `limit` jobs of some sources, of any when None.

        `by` is the name of its token.

        A taker that leaves with an error passes the job for which it was woken on to the next one.
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
        """How many wait with the token of this name."""
        return self._with[name]

    def is_waited_for(self, sources: tuple[str, ...] | None) -> bool:
        """Whether somebody is asleep for each of these very sources, or for any when None.

        While somebody is, whatever becomes ready wakes them first. Jobs of a source that nobody waits for may be there.
        """
        return all(self._oldest(source) for source in (sources or (None,)))

    async def sleep(self, waiter: Waiter, until: float) -> bool:
        """Wait to be woken; False when nobody did by `until`, a time of the event loop's clock.

        Raises:
            Draining: this replica is shutting down.
            Unauthenticated: the taker's token does not count any more.
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
        """So many jobs of these sources are ready: wake as many takers as they are enough for, the oldest first."""
        for source, jobs in ready.items():
            while jobs > 0 and (woken := self._wake_next(source)):
                jobs -= woken.limit
            if jobs > 0:
                self.missed += 1

    def demand(self) -> Counter[str | None]:
        """How many jobs those asleep would take, by source."""
        return Counter(
            {
                source: sum(sleep.waiter.limit for sleep in self._asleep[source] if not sleep.over)
                for source in list(self._asleep)
                if self._oldest(source)
            }
        )

    def close(self) -> None:
        """Send everybody away, now and from now on."""
        self._closed = True
        for heap in self._asleep.values():
            for sleep in heap:
                if not sleep.over:
                    sleep.wakeup.set_exception(_draining())

    def evict(self, names: Set[str | None]) -> None:
        """Send away those who came with one of these tokens, which do not count any more, and with none for None.

        A token's name is not used twice, so with these nobody will be let sleep again.
        """
        self._evicted |= names - {None}
        if None in names:
            self._last_nameless = self._joined
        for sleep in [sleep for heap in self._asleep.values() for sleep in heap]:
            if self._is_evicted(sleep.waiter) and not sleep.over:
                sleep.wakeup.set_exception(_evicted())

    def _is_evicted(self, waiter: Waiter) -> bool:
        return waiter.by in self._evicted or (waiter.by is None and waiter.number <= self._last_nameless)

    def _wake_next(self, source: str) -> Waiter | None:
        """Wake the oldest of those who would take a job of this source."""
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
    return Unauthenticated("the token counts no more: it has expired or was revoked, or one is needed by now")


def _draining() -> Draining:
    return Draining("the server is shutting down; send the request to another replica")
