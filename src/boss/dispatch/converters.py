"""Records which converters take jobs, by the names in their takes. No HTTP, no SQL."""

import asyncio
import logging
import time
from typing import NoReturn

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


class Converters:
    """Records the converters that this replica hears of.

    Args:
        pool: the connection pool.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
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
        if not self._heard:
            return
        heard, self._heard = self._heard, {}
        now = time.monotonic()
        await store.record_converters(
            self._pool,
            [Heard(name, sources, taken, now - at) for name, (sources, taken, at) in heard.items()],
        )

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
