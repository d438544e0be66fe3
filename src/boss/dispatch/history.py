"""History: done jobs are moved into volumes, which fill up one after the other. One whose jobs are all old is emptied.

That gives its disk space back, and costs nothing for each job. So a job is kept until all the others of its volume are
old enough too: for up to a sixth longer than asked.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NoReturn

from boss.dispatch.source_retention import SourceRetention
from boss.errors import DatabaseAway
from boss.postgres import store
from boss.postgres.connection import Pool
from boss.postgres.statement import VOLUMES, volume_table
from boss.postgres.store import Volume
from boss.telemetry import metrics

log = logging.getLogger("boss")

# How often done jobs are moved into volumes, and old jobs are deleted.
_INTERVAL_S = 5.0
# The most jobs of one statement that moves or deletes them, so that none holds its locks for long: about 40 ms.
_BATCH_ROWS = 1000
# The most jobs that cannot be moved, and are not tried again before Boss is started again. With more, none is moved.
_MOST_REFUSED = 10_000
# How long jobs are moved before old ones are deleted again: those of an old history take hours.
_LONGEST_PASS_S = 60.0
_DAY_S = 24 * 3600.0
# A volume is filled for this part of the time that jobs are kept. Two of the eight are to spare: the one that is being
# filled, and the next.
_PARTS = len(VOLUMES) - 2
# And for this long when jobs are kept for ever.
_LONGEST_SPAN_S = 30 * _DAY_S
# While sources keep their jobs for longer than all others, this volume is for these. Then only one is to spare.
_VOLUME_OF_LONGER = VOLUMES[-1]


class History:
    """The volumes of done jobs, as one replica sees them.

    Replicas need not agree: it does not matter into which volume a job goes, and each volume tells by its jobs how old
    it is.

    Args:
        pool: the connection pool.
        days: for how many days done jobs are kept; None for ever.
        keeps: for how many days instead, for those sources that have a time of their own.
    """

    def __init__(self, pool: Pool, days: float | None, keeps: Mapping[str, float]) -> None:
        self._pool = pool
        self._days = days
        self._keeps = keeps
        self._span = _LONGEST_SPAN_S if days is None else min(_LONGEST_SPAN_S, days * _DAY_S / _PARTS)
        self._of_sources = SourceRetention(pool, days, self._span / _DAY_S, keeps)
        self._refused: set[str] = set()

    async def keep_forever(self) -> NoReturn:
        """Until cancelled, keep the history."""
        while True:
            await self.keep()
            await asyncio.sleep(_INTERVAL_S)

    async def keep(self) -> None:
        """Mend the counts of volumes, delete jobs that are old, and move done jobs into volumes."""
        # What goes wrong with one is no reason to leave the others.
        for duty in (self._mend_counts, self._empty_old, self._delete_old, self._gather_longer, self._move_done):
            try:
                await duty()
            except DatabaseAway:
                log.warning("keeping the history is postponed: the database is away, or another session uses it")
            except Exception:
                log.exception("keeping the history failed; trying again")

    async def _empty_old(self) -> None:
        if self._days is None:
            return
        older = self._days * _DAY_S
        deleted = await empty_old_volumes(
            self._pool, older, lambda volume: store.empty_volume(self._pool, volume, older)
        )
        metrics.PRUNED.inc(deleted)
        if deleted:
            log.info("deleted %s jobs that were done more than %s days ago", deleted, self._days)

    async def _delete_old(self) -> None:
        deleted = await self._of_sources.delete_old()
        metrics.PRUNED.inc(deleted)
        if deleted:
            await store.compact_volume_counts(self._pool)
            log.info("deleted %s jobs one by one that were done for longer than they are kept", deleted)

    async def _gather_longer(self) -> None:
        """Move jobs that are kept for longer than all others out of the others' volumes, for a minute at most.

        They are there from before the rule of their source, or from a replica that did not know it yet.
        """
        longer, until = self._of_sources.longer, time.monotonic() + _LONGEST_PASS_S
        if not longer:
            return
        for volume, sources in (await store.sources_in_volumes(self._pool)).items():
            for source in sources & longer if volume != _VOLUME_OF_LONGER else ():
                await self._gather(volume, source, until)

    async def _gather(self, volume: int, source: str, until: float) -> None:
        after, started = "", time.monotonic()
        while started < until:
            ids = await store.done_of_source(self._pool, volume, source, after, _BATCH_ROWS)
            if not ids:
                break
            after = ids[-1]
            wanted = [id for id in ids if id not in self._refused]
            moved = await store.gather(self._pool, volume, _VOLUME_OF_LONGER, wanted)
            self._refuse(moved.refused, volume_table(volume))
            await store.compact_volume_counts(self._pool)
            await asyncio.sleep(time.monotonic() - started)
            started = time.monotonic()

    async def _move_done(self) -> None:
        """Move the jobs that are done by now, for a minute at most, and for half of the time."""
        await store.date_done(self._pool, _BATCH_ROWS)
        begun = started = time.monotonic()
        while await self._move_some(started - begun) and started - begun < _LONGEST_PASS_S:
            await store.compact_volume_counts(self._pool)
            await asyncio.sleep(time.monotonic() - started)
            started = time.monotonic()

    async def _move_some(self, least: float) -> bool:
        """Move a batch of jobs that were finished at least so many seconds ago; return whether there may be more."""
        done = await store.oldest_done(self._pool, _BATCH_ROWS, list(self._refused))
        if not done or done[0].age < least or len(self._refused) > _MOST_REFUSED:
            return False
        oldest, longer = done[0], self._of_sources.longer
        is_longer = oldest.source in longer
        # Where jobs are few, a batch of them may span months.
        alike = [
            each.id
            for each in done
            if each.age >= oldest.age - self._span / 10 and (each.source in longer) is is_longer
        ]
        volume = _VOLUME_OF_LONGER if is_longer else await self._volume_of(oldest.age, bool(longer))
        moved = await store.move_done(self._pool, volume, alike)
        self._refuse(moved.refused, "job")
        return bool(moved.jobs or moved.refused)

    def _refuse(self, refused: Mapping[str, str], table: str) -> None:
        if refused:
            self._refused.update(refused)
            log.warning(
                "%s done jobs cannot be moved into a volume, so they stay in the table %s; the first is %s: %s",
                len(refused),
                table,
                *next(iter(refused.items())),
            )

    async def _volume_of(self, age: float, but_of_longer: bool) -> int:
        volumes = await store.list_volumes(self._pool)
        return volume_of(age, volumes[:-1] if but_of_longer else volumes, self._span)

    async def _mend_counts(self) -> None:
        """Take back the counts of jobs that a dump does not have: it began just before their volume was emptied."""
        for volume in await store.counted_empty(self._pool):
            await store.mend_volume(self._pool, volume)


async def empty_old_volumes(pool: Pool, older: float, empty: Callable[[int], Awaitable[int]]) -> int:
    """Empty the volumes whose jobs were all done more than `older` seconds ago, each by `empty`.

    Return how many jobs that were.
    """
    deleted = 0
    for volume in await store.list_volumes(pool):
        if volume.last is not None and volume.last > older:
            try:
                deleted += await empty(volume.number)
            except DatabaseAway:
                log.warning("emptying %s is postponed: another session uses it", volume_table(volume.number))
    return deleted


def current(volumes: Sequence[Volume], span: float) -> int:
    """The number of the volume for jobs that are finished now: the youngest, or an empty one when that is old."""
    youngest = min((each for each in volumes if each.first is not None), key=_first, default=volumes[0])
    empty = next((each for each in volumes if each.first is None), None)
    return empty.number if empty and _first(youngest) > span else youngest.number


def volume_of(age: float, volumes: Sequence[Volume], span: float) -> int:
    """The number of the volume for a job that was finished so many seconds ago: one that jobs of that time are in."""
    if age <= span:
        return current(volumes, span)
    started = min((each for each in volumes if _first(each) >= age), key=_first, default=None)
    # The first empty ones are left to the jobs to come.
    spare = [each for each in volumes if each.first is None][2:]
    if spare and (started is None or _first(started) - age > span):
        return spare[-1].number
    return (started or max(volumes, key=_first)).number


def _first(volume: Volume) -> float:
    return volume.first or 0.0
