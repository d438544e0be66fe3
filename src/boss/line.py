"""The line of takers that wait on this replica for a job to arrive: the oldest is served first. No HTTP, no SQL.

A job that arrives wakes one taker, which then looks for itself: on another replica somebody may have been faster, and
then it goes back to its place.
"""

import asyncio
import heapq
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from boss.errors import Draining


class Place:
    """One taker's place in the line."""

    def __init__(self, number: int, source: str | None, limit: int) -> None:
        self.number = number
        self.source = source
        self.limit = limit
        # Its result is the source of the job it is woken for; None before the first sleep.
        self.alarm: asyncio.Future[str] | None = None

    def __lt__(self, other: "Place") -> bool:
        return self.number < other.number

    @property
    def asleep(self) -> bool:
        """Whether it waits to be woken."""
        return self.alarm is not None and not self.alarm.done()


class Line:
    """Who waits for jobs of which source, of any under None.

    Attributes:
        unheard: counts announcements of jobs for which nobody was asleep. Who was looking meanwhile looks again.
    """

    def __init__(self) -> None:
        # A heap of those asleep for each source; who left it or was woken is passed over when it comes to the top.
        self._asleep: dict[str | None, list[Place]] = {}
        self._joined = 0
        self._closed = False
        self.waiting = 0
        self.unheard = 0

    @contextmanager
    def joined(self, source: str | None, limit: int) -> Iterator[Place]:
        """A place at the end of the line, for a taker of at most `limit` jobs of a source, of any when None.

        A taker that leaves with an error passes the job for which it was woken on to the next one.
        """
        self._joined += 1
        self.waiting += 1
        place = Place(self._joined, source, limit)
        try:
            yield place
        except BaseException:
            if place.alarm is not None and place.alarm.done() and not place.alarm.cancelled():
                with suppress(Draining):
                    self._wake_next(place.alarm.result())
            raise
        finally:
            self.waiting -= 1
            if place.alarm is not None:
                place.alarm.cancel()

    def is_waited_for(self, source: str | None) -> bool:
        """Whether somebody is asleep who would take from this very source, or any when None."""
        return self._oldest(source) is not None

    async def sleep(self, place: Place, until: float) -> bool:
        """Wait to be woken; False when nobody did by `until`, a time of the event loop's clock.

        Raises:
            Draining: this replica is shutting down.
        """
        if self._closed:
            raise _draining()
        place.alarm = asyncio.get_running_loop().create_future()
        heapq.heappush(self._asleep.setdefault(place.source, []), place)
        await asyncio.wait([place.alarm], timeout=until - asyncio.get_running_loop().time())
        if place.asleep:
            place.alarm.cancel()
            return False
        place.alarm.result()
        return True

    def announce(self, ready: Mapping[str, int]) -> None:
        """So many jobs of these sources are ready: wake as many takers as they are enough for, the oldest first."""
        for source, jobs in ready.items():
            while jobs > 0 and (place := self._wake_next(source)):
                jobs -= place.limit
            if jobs > 0:
                self.unheard += 1

    def takers(self) -> Counter[str | None]:
        """How many jobs those asleep would take, by source."""
        return Counter(
            {
                source: sum(place.limit for place in self._asleep[source] if place.asleep)
                for source in list(self._asleep)
                if self._oldest(source)
            }
        )

    def close(self) -> None:
        """Send everybody away, now and from now on."""
        self._closed = True
        for heap in self._asleep.values():
            for place in heap:
                if place.asleep and place.alarm:
                    place.alarm.set_exception(_draining())

    def _wake_next(self, source: str) -> Place | None:
        """Wake the oldest of those who would take a job of this source."""
        oldest = min(filter(None, (self._oldest(source), self._oldest(None))), default=None)
        if oldest and oldest.alarm:
            oldest.alarm.set_result(source)
        return oldest

    def _oldest(self, source: str | None) -> Place | None:
        heap = self._asleep.get(source)
        while heap:
            if heap[0].asleep:
                return heap[0]
            heapq.heappop(heap)
        self._asleep.pop(source, None)
        return None


def _draining() -> Draining:
    return Draining("the server is shutting down; send the request to another replica")
