"""Records which converters take jobs, by the names in their takes, and which sources are asked for. No HTTP, no SQL."""

import asyncio
import logging
import time
from typing import NoReturn

from boss.dispatch.wait_queue import WaitQueue
from boss.errors import DatabaseAway
from boss.model.job import Take
from boss.postgres import store
from boss.postgres.connection import Pool
from boss.postgres.store import Heard

log = logging.getLogger("boss")

# How often what was heard is recorded, for all replicas to see.
_RECORD_INTERVAL_S = 2.0
# The most names in between: a client may send any.
_MOST_NAMES = 1000
# A source that takers go on asking for is recorded again after this time.
_ASKED_INTERVAL_S = 30.0
# The most sources that are recorded at once.
_MOST_SOURCES = 10_000


class Converters:
    """Records the converters that this replica hears of.

    Args:
        pool: the connection pool.
        wait_queue: the takers that wait on this replica.

    Attributes:
        asked: the sources that takes since the last record have asked for, as in `Take`: one, or several or any.
    """

    def __init__(self, pool: Pool, wait_queue: WaitQueue) -> None:
        self._pool = pool
        self._wait_queue = wait_queue
        self.asked: set[tuple[str | None, tuple[str, ...] | None]] = set()
        # When each source was recorded as asked for; any source is ''.
        self._recorded: dict[str, float] = {}
        # Since the last record, by name: the sources of the last take, how many jobs were taken, and when.
        self._heard: dict[str, tuple[str | None, int, float]] = {}

    def hear(self, take: Take, taken: int = 0) -> None:
        """Note that the converter of this take, which has a name, has asked for jobs or got so many."""
        assert take.converter is not None
        known = self._heard.get(take.converter)
        if known is None and len(self._heard) >= _MOST_NAMES:
            return
        sources = take.of()
        before = known[1] if known else 0
        self._heard[take.converter] = (
            None if sources is None else ",".join(sources),
            before + taken,
            time.monotonic(),
        )

    async def record(self) -> None:
        """Record what was heard since the last time; nothing is kept when PostgreSQL does not answer."""
        if sources := self._asked_anew():
            await store.record_asked(self._pool, sources)
            self._recorded.update(dict.fromkeys(sources, time.monotonic()))
        if not self._heard:
            return
        heard, self._heard = self._heard, {}
        now = time.monotonic()
        await store.record_converters(
            self._pool,
            [Heard(name, sources, taken, now - at) for name, (sources, taken, at) in heard.items()],
        )

    def _asked_anew(self) -> list[str]:
        """The sources that are asked for and were not recorded lately."""
        asked, now = {source or "" for source in self._wait_queue.demand()}, time.monotonic()
        for one, several in self.asked:
            asked.update((one or "",) if several is None else several)
        self.asked.clear()
        self._recorded = {source: at for source, at in self._recorded.items() if now - at < _ASKED_INTERVAL_S}
        return sorted(asked - self._recorded.keys())[:_MOST_SOURCES]

    async def record_forever(self) -> NoReturn:
        """Record every two seconds, until cancelled."""
        while True:
            await asyncio.sleep(_RECORD_INTERVAL_S)
            try:
                await self.record()
            except DatabaseAway:
                pass  # they will be heard again
            except Exception:
                log.exception("recording the converters failed; trying again")
