"""History: done jobs are in volumes, which fill up one after the other and are emptied when all of their jobs are old.

A volume that is emptied gives its disk space back, and costs nothing for each job. So a job is kept until all the
others of its volume are old enough too: for up to a sixth longer than asked.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import NoReturn

from boss.errors import DatabaseAway
from boss.postgres import store
from boss.postgres.connection import Pool
from boss.postgres.statement import VOLUMES, volume_table
from boss.postgres.store import Volume
from boss.telemetry import metrics

log = logging.getLogger("boss")

# How often the volumes are looked at, done jobs are moved into them, and old jobs are deleted.
_INTERVAL_S = 5.0
# The most jobs of one statement that moves or deletes them, so that none holds its locks for long: about 40 ms.
_BATCH_ROWS = 1000
_DAY_S = 24 * 3600.0
# A volume is the current one for this part of the time that jobs are kept. Two of the eight volumes are to spare: the
# current one, and the next.
_PARTS = len(VOLUMES) - 2
# And for this long when jobs are kept for ever.
_LONGEST_SPAN_S = 30 * _DAY_S


class History:
    """The volumes of done jobs, as one replica sees them.

    Replicas need not agree: it does not matter into which volume a job goes, and each volume tells by its jobs how old
    it is.

    Args:
        pool: the connection pool.
        days: for how many days done jobs are kept; None for ever.

    Attributes:
        volume: the number of the current volume, into which finishes move their jobs.
    """

    def __init__(self, pool: Pool, days: float | None) -> None:
        self._pool = pool
        self._days = days
        self._span = _LONGEST_SPAN_S if days is None else min(_LONGEST_SPAN_S, days * _DAY_S / _PARTS)
        self.volume = VOLUMES[0]

    async def look(self) -> None:
        """Find out which volume is the current one."""
        self.volume = current(await store.list_volumes(self._pool), self._span)

    async def keep(self) -> None:
        """Choose the current volume, delete jobs that are old, and move done jobs into volumes."""
        await self.look()
        await self._delete_old()
        await self._move_done()

    async def keep_forever(self) -> NoReturn:
        """Until cancelled, keep the history."""
        while True:
            try:
                await self.keep()
            except DatabaseAway:
                log.warning("keeping the history is postponed: the database is away, or another session uses it")
            except Exception:
                log.exception("keeping the history failed; trying again")
            await asyncio.sleep(_INTERVAL_S)

    async def _delete_old(self) -> None:
        if self._days is None:
            return
        older = self._days * _DAY_S
        deleted = await empty_old_volumes(
            self._pool, older, lambda volume: store.empty_volume(self._pool, volume, older)
        )
        rows = _BATCH_ROWS
        while rows == _BATCH_ROWS:
            rows = await store.prune(self._pool, older, _BATCH_ROWS)
            deleted += rows
        metrics.PRUNED.inc(deleted)
        if deleted:
            log.info("deleted %s jobs that were done more than %s days ago", deleted, self._days)

    async def _move_done(self) -> None:
        """Move done jobs into volumes, with a pause after each batch, so that half of the time is left to others."""
        while (age := await store.oldest_done(self._pool)) is not None:
            volumes = await store.list_volumes(self._pool)
            self.volume = current(volumes, self._span)
            started = time.monotonic()
            volume = volume_of(age, volumes, self._span)
            # Where jobs are few, a batch of them may span months.
            if not await store.move_done(self._pool, volume, age - self._span / 10, _BATCH_ROWS):
                return  # another replica moves them, or another session has locked them
            await asyncio.sleep(time.monotonic() - started)


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
    empty = next((each for each in volumes if each.is_empty), None)
    return empty.number if empty and _first(youngest) > span else youngest.number


def volume_of(age: float, volumes: Sequence[Volume], span: float) -> int:
    """The number of the volume for a job that was finished so many seconds ago: one that jobs of that time are in."""
    if age <= span:
        return current(volumes, span)
    started = min((each for each in volumes if _first(each) >= age), key=_first, default=None)
    # The first empty ones are left to the jobs to come.
    spare = [each for each in volumes if each.is_empty][2:]
    if spare and (started is None or _first(started) - age > span):
        return spare[-1].number
    return (started or max(volumes, key=_first)).number


def _first(volume: Volume) -> float:
    return volume.first or 0.0
