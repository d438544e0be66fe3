"""The done jobs that are deleted one by one, because no volume is emptied as a whole for them.

These are the jobs of sources that keep them for a time of their own, those that are in no volume, and those that are in
a volume with jobs that are kept for longer. The last ones are few: jobs that are kept for longer are moved into a
volume of their own (history.py).
"""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from boss.postgres import store
from boss.postgres.connection import Pool
from boss.postgres.statement import VOLUMES

log = logging.getLogger("boss")

_DAY_S = 24 * 3600.0
# The most jobs that one statement deletes, so that none holds its locks for long, and that one looks at.
_BATCH_ROWS = 1000
_LOOK_ROWS = 10_000
# How long jobs are deleted before others are moved again.
_LONGEST_PASS_S = 60.0
# The most jobs that cannot be deleted, and are tried again after a day. With more, none is tried.
_MOST_REFUSED = 10_000
# After this time all jobs are looked at again: an import may bring old ones, and a clock may be set.
_AGAIN = timedelta(days=1)
_LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)
# As good as for ever, and still a date.
_MOST_DAYS = 700_000.0


class _Retention(NamedTuple):
    """Done jobs of these sources, or of all others, are kept for so many days.

    Those in `job` are, and those in volumes that have jobs of the sources `beside`.
    """

    days: float
    sources: frozenset[str]
    beside: frozenset[str]
    others: bool = False


class SourceRetention:
    """Deletes old done jobs one by one.

    Args:
        pool: the connection pool.
        days: for how many days the jobs of all sources are kept that are not named in `keeps`; None for ever.
        spare: for how many days longer such a job may be kept in a volume.
        keeps: for how many days each of these sources keeps its jobs.
    """

    def __init__(self, pool: Pool, days: float | None, spare: float, keeps: Mapping[str, float]) -> None:
        self._pool = pool
        self._days = days
        self._spare = spare
        self._keeps = keeps
        # After a change of the rules all jobs are looked at again.
        self._walks: dict[_Retention, _Cleanup] = {}

    @property
    def longer(self) -> frozenset[str]:
        """The sources that keep their jobs for longer than all others."""
        days = self._days
        if days is None:
            return frozenset()
        return frozenset(source for source, own in self._keeps.items() if own > days)

    async def delete_old(self) -> int:
        """Delete jobs that are old, for a minute and for half of the time; return how many."""
        retentions = self._retentions()
        self._walks = {each: self._walks.get(each) or _Cleanup(self._pool, each) for each in retentions}
        until = time.monotonic() + _LONGEST_PASS_S
        return sum([await walk.go_on(until) for walk in self._walks.values()])

    def _retentions(self) -> list[_Retention]:
        keeps = self._keeps
        found = []
        for days in sorted({*keeps.values()}):
            sources = frozenset(source for source, own in keeps.items() if own == days)
            found.append(_Retention(days, sources, sources))
        if self._days is not None:
            found.append(_Retention(self._days, frozenset(keeps), frozenset(), others=True))
            if longer := self.longer:
                found.append(_Retention(self._days + self._spare, frozenset(keeps), longer, others=True))
        return found


class _Cleanup:
    """Looks at all done jobs in order of their finish, once they are old enough, and deletes those of one retention."""

    def __init__(self, pool: Pool, retention: _Retention) -> None:
        self._pool = pool
        self._retention = retention
        self._begin(_LONG_AGO)

    def _begin(self, now: datetime) -> None:
        """Begin with the oldest job, which was not done more than so long ago."""
        self._begun = now
        # When the last job was finished that was looked at, in each table. Those that come later are mostly younger.
        self._seen = dict.fromkeys((store.JOB, *VOLUMES), _LONG_AGO)
        self._left: set[str] = set()
        self._refused: set[str] = set()

    async def go_on(self, deadline: float) -> int:
        """Delete what has become old since the last time, until `time.monotonic()` says so; return how many."""
        now = await store.database_time(self._pool)
        if not timedelta() <= now - self._begun < _AGAIN:
            self._begin(now)
        deleted = await self._delete([*self._left])
        until = now - timedelta(days=min(self._retention.days, _MOST_DAYS))
        looked, batch = await self._walk(store.JOB, until, deadline)
        deleted += batch
        for volume, sources in (await store.sources_in_volumes(self._pool)).items():
            if sources & self._retention.beside:
                # Not past those of `job` that are still to be looked at: they may be moved into a volume.
                _, batch = await self._walk(volume, looked, deadline)
                deleted += batch
        return deleted

    async def _walk(self, table: int, until: datetime, deadline: float) -> tuple[datetime, int]:
        """Look at the jobs of a table; return up to which finish all were looked at, and how many were deleted."""
        deleted = 0
        while True:
            found = await self._look(table, until)
            batch = await self._delete(found.ids)
            deleted += batch
            if found.last is None:
                return until, deleted
            # There may be more of the last moment.
            if not batch or len(found.ids) < store.MOST_IDS:
                self._seen[table] = found.last
            if time.monotonic() > deadline:
                return self._seen[table], deleted

    async def _look(self, table: int, until: datetime) -> store.Looked:
        _, sources, _, others = self._retention
        times, started = (self._seen[table], until), time.monotonic()
        found = await store.look_at_done(self._pool, table, times, _LOOK_ROWS, [*sources], others=others)
        # Half of the time is left to others.
        await asyncio.sleep(time.monotonic() - started)
        return found

    async def _delete(self, ids: Sequence[str]) -> int:
        """Delete those of these jobs that are old; return how many."""
        wanted = [id for id in ids if id not in self._refused]
        deleted = 0
        for start in range(0, len(wanted), _BATCH_ROWS):
            if len(self._refused) > _MOST_REFUSED:
                break
            started = time.monotonic()
            batch = wanted[start : start + _BATCH_ROWS]
            done = await store.delete_old(self._pool, batch, self._older)
            self._refuse(done.refused)
            # Another session has locked the others, or their rule was changed.
            self._left = self._left.union(batch) - done.ids - self._refused
            deleted += len(done.ids)
            await asyncio.sleep(time.monotonic() - started)
        return deleted

    @property
    def _older(self) -> float | None:
        """The age in seconds at which jobs of sources without a rule are deleted."""
        return self._retention.days * _DAY_S if self._retention.others else None

    def _refuse(self, refused: Mapping[str, str]) -> None:
        if refused:
            self._refused.update(refused)
            log.warning(
                "%s old done jobs cannot be deleted, so they are kept; the first is %s: %s",
                len(refused),
                *next(iter(refused.items())),
            )
