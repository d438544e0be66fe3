"""The retention of those sources that keep their done jobs for a time of their own.

Their jobs are deleted one by one, from whatever table they are in. The jobs of sources that keep them for longer than
all others go into a volume of their own, so that the other volumes can still be emptied as a whole.
"""

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from boss.postgres import store
from boss.postgres.connection import Pool

_DAY_S = 24 * 3600.0
# The most jobs that one statement looks at and deletes, so that none holds its locks for long.
_BATCH_ROWS = 1000
_LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)


class _Retention(NamedTuple):
    """Done jobs of these sources, or of all others, are kept for so many days."""

    days: float
    sources: frozenset[str]
    others: bool = False


class SourceRetention:
    """Deletes the done jobs of sources that keep them for a time of their own.

    Args:
        pool: the connection pool.
        days: for how many days the jobs of all other sources are kept; None for ever.
        keeps: for how many days each of these sources keeps its jobs.
    """

    def __init__(self, pool: Pool, days: float | None, keeps: Mapping[str, float]) -> None:
        self._pool = pool
        self._days = days
        self._keeps = keeps
        # When the last job was finished that each retention has looked at. After a change all jobs are looked at again.
        self._seen: dict[_Retention, datetime] = {}

    @property
    def longer(self) -> frozenset[str]:
        """The sources that keep their jobs for longer than all others."""
        days = self._days
        if days is None:
            return frozenset()
        return frozenset(source for source, own in self._keeps.items() if own > days)

    async def delete_old(self) -> int:
        """Delete the jobs that are old by the rule of their source, and those that such jobs keep in a volume.

        Return how many jobs were deleted.
        """
        retentions = self._retentions()
        self._seen = {each: self._seen.get(each, _LONG_AGO) for each in retentions}
        return sum([await self._delete(each) for each in retentions])

    def _retentions(self) -> list[_Retention]:
        keeps = self._keeps
        found = [
            _Retention(days, frozenset(source for source, own in keeps.items() if own == days))
            for days in sorted({*keeps.values()})
        ]
        if self._days is not None and self.longer:
            found.append(_Retention(self._days, frozenset(keeps), others=True))
        return found

    async def _delete(self, retention: _Retention) -> int:
        deleted = 0
        while True:
            started = time.monotonic()
            pruned = await store.prune_sources(
                self._pool,
                retention.days * _DAY_S,
                list(retention.sources),
                self._seen[retention],
                _BATCH_ROWS,
                others=retention.others,
            )
            deleted += pruned.jobs
            if pruned.last is None:
                return deleted
            if pruned.jobs < _BATCH_ROWS:
                self._seen[retention] = pruned.last
            # Half of the time is left to others.
            await asyncio.sleep(time.monotonic() - started)
