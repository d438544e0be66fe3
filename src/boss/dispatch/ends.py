"""Requests that wait for a job to be done. No HTTP, no SQL."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from operator import itemgetter

from boss.coalescer import Coalescer
from boss.dispatch.queries import Queries
from boss.dispatch.taker import SHARES
from boss.errors import Overloaded, TooMany
from boss.model.job import State
from boss.postgres import store
from boss.postgres.connection import Pool
from boss.postgres.statement import MOST_ROWS
from boss.telemetry import metrics

# The end of a job is announced to every replica. A check finds what was missed because the connection was lost, or
# because the job was just being finished when the wait began: after a second, and each time after twice as long.
_FIRST_CHECK_S = 1.0


class Ends:
    """Waits for jobs to be done.

    Args:
        pool: the connection pool.
        queries: finds out where a job is.
        most_waiting: the most requests that may wait.
    """

    def __init__(self, pool: Pool, queries: Queries, most_waiting: int) -> None:
        self._pool = pool
        self._queries = queries
        self._most_waiting = most_waiting
        self._announced: dict[str, set[asyncio.Future[None]]] = {}
        # How many requests wait with each token.
        self._with: Counter[str | None] = Counter()
        self._records = Coalescer(self._record, most=MOST_ROWS)
        self._closed = False

    async def wait(self, id: str, seconds: float, by: str | None) -> None:
        """Return when this job is done or deleted, when this replica shuts down, or after so many seconds.

        Args:
            id: the job's id.
            seconds: how long to wait.
            by: the name of the principal's token.

        Raises:
            DatabaseAway: PostgreSQL does not answer.
            Overloaded: as many requests wait here as may.
            TooMany: as many requests wait here with this token as may.
        """
        self._check_share(by)
        announced: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._announced.setdefault(id, set()).add(announced)
        self._with[by] += 1
        metrics.WAITING_FOR_END.inc()
        try:
            await self._until_done(id, seconds, announced)
        finally:
            metrics.WAITING_FOR_END.dec()
            self._with[by] -= 1
            self._announced[id].discard(announced)
            if not self._announced[id]:
                del self._announced[id]

    async def _until_done(self, id: str, seconds: float, announced: "asyncio.Future[None]") -> None:
        loop = asyncio.get_running_loop()
        until, pause = loop.time() + seconds, _FIRST_CHECK_S
        await self._records((id, seconds))
        while not (announced.done() or self._closed):
            location = await self._queries.locate(id)
            left = until - loop.time()
            if location is None or location.state is State.DONE or left <= 0:
                return
            await asyncio.wait([announced], timeout=min(pause, left))
            pause *= 2

    def hear(self, id: str) -> None:
        """Answer those who wait for this job: it is done."""
        for announced in self._announced.get(id, ()):
            if not announced.done():
                announced.set_result(None)

    def close(self) -> None:
        """End every wait, now and from now on."""
        self._closed = True
        for id in self._announced:
            self.hear(id)

    def _check_share(self, by: str | None) -> None:
        if self._with.total() >= self._most_waiting:
            raise Overloaded(
                f"{self._most_waiting:,} requests wait here for jobs to be done, which is the most; "
                "ask another replica, or do not wait"
            )
        share = max(1, self._most_waiting // SHARES)
        if by is not None and self._with[by] >= share:
            raise TooMany(
                f"{share:,} requests wait here for jobs to be done with the token {by}, which is the most for one "
                "token; do not wait, or give each client a token of its own"
            )

    async def _record(self, asked: Sequence[tuple[str, float]]) -> list[None]:
        # In order of the time, so that of several for one job the longest counts.
        await store.await_ends(self._pool, dict(sorted(asked, key=itemgetter(1))))
        return [None] * len(asked)
