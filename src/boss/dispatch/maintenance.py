"""Work that no request asks for. Each duty is one function, and correct when several replicas run it at once."""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NoReturn

from boss.dispatch.scan_cursors import ScanCursors
from boss.dispatch.source_limits import SourceLimits
from boss.dispatch.wait_queue import WaitQueue
from boss.errors import DatabaseAway
from boss.model.job import Outcome
from boss.postgres import store
from boss.postgres.connection import Pool
from boss.telemetry import job_log, metrics

log = logging.getLogger("boss")

# The longest time between two rounds, in seconds, and so how late another replica's job may be.
_INTERVAL_S = 1.0
# The shortest, should something stay undone because somebody else holds it.
_SHORTEST_PAUSE_S = 0.02
# Rows a statement, so that none holds its locks for long.
_BATCH_ROWS = 1000
# Whoever holds a job has so long to be heard once a replica is there, and less where its lease is short.
_LONGEST_GRACE_S = 30.0
# How often cursors are reset, in seconds, and so how long a job before them may be overlooked.
_CURSOR_INTERVAL_S = 1.0
# To walk over so many dead rows costs a take about as much as it costs anyway. A few are always there.
_MANY_DEAD = 3000
# How often old jobs are looked for, in seconds.
_PRUNE_INTERVAL_S = 10.0
# How often it is looked whether a minute is over, in seconds.
_COUNT_INTERVAL_S = 20.0
_DAY_S = 24 * 3600.0


class Hearing:
    """For how long this replica could have heard converters: since it started, or has its database back.

    Args:
        since: when that began, by `time.monotonic`; None for not yet.
    """

    def __init__(self, since: float | None = None) -> None:
        self._since = since

    def lost(self) -> None:
        """It cannot hear anybody."""
        self._since = None

    def seconds(self) -> float:
        """For so long it could, up to now; from now on, when it could not before."""
        if self._since is None:
            self._since = time.monotonic()
        return time.monotonic() - self._since


async def maintain_forever(pool: Pool, wait_queue: WaitQueue, rules: SourceLimits, now: asyncio.Event) -> NoReturn:
    """Maintain until cancelled: every second, as soon as a job is due or a lease expires, and when `now` is set."""
    hearing = Hearing()
    while True:
        pause = _INTERVAL_S
        now.clear()
        try:
            pause = min(_INTERVAL_S, await maintain(pool, wait_queue, rules, hearing))
        except DatabaseAway:
            hearing.lost()
            log.warning("maintenance is put off: the database is away")
        except Exception:
            log.exception("maintenance failed; the next round tries again")
        with suppress(TimeoutError):
            await asyncio.wait_for(now.wait(), pause)


async def maintain(pool: Pool, wait_queue: WaitQueue, rules: SourceLimits, hearing: Hearing) -> float:
    """Do the pending work once; return in how many seconds there will be more, at the soonest.

    It costs one statement when there is nothing, however many takers wait.
    """
    seen = await store.pending_work(pool, wait_queue.demand())
    if seen.silence is None or seen.silence > store.OUTAGE:
        await store.resume_leases(pool)
        hearing.lost()
    if seen.next_due is not None and seen.next_due <= 0:
        await make_due(pool)
    if seen.next_lease is not None and seen.next_lease <= 0:
        await end_leases(pool, hearing.seconds())
    if seen.unfolded:
        await store.compact_counts(pool)
    if seen.stale:
        await store.forget_gone_replicas(pool)
    if seen.ready:
        # They should have been announced; whatever went wrong, nobody waits longer than this.
        wait_queue.announce(rules.ready(json.loads(seen.ready)))
    # What was late has just been done; what comes after it is not known yet. A lease may have to wait for its holder.
    next_lease = seen.next_lease if hearing.seconds() > _LONGEST_GRACE_S else None
    return min(
        (max(each, _SHORTEST_PAUSE_S) for each in (seen.next_due, next_lease) if each is not None), default=_INTERVAL_S
    )


async def make_due(pool: Pool) -> None:
    """Make every delayed job whose time has come ready to be taken."""
    await _in_batches(lambda: store.make_due(pool, _BATCH_ROWS))


async def end_leases(pool: Pool, heard: float) -> None:
    """Take every job from a taker that was silent for longer than its lease, of those that could have been heard."""
    await _in_batches(lambda: _end_some_leases(pool, heard))


async def _end_some_leases(pool: Pool, heard: float) -> int:
    ended = await store.end_leases(pool, _BATCH_ROWS, heard)
    metrics.EXPIRED.inc(len(ended))
    metrics.FINISHED.labels(Outcome.ABANDONED).inc(sum(move.outcome is not None for move in ended))
    job_log.record("lease ran out", ended)
    return len(ended)


async def keep_cursors(pool: Pool, cursors: ScanCursors) -> NoReturn:
    """Until cancelled: while takes would have to walk over many dead rows, have them look past cursors."""
    while True:
        try:
            await reset_cursors(pool, cursors)
        except DatabaseAway:
            pass  # nothing is taken either
        except Exception:
            log.exception("looking for dead rows failed; it is tried again")
        await asyncio.sleep(_CURSOR_INTERVAL_S)


async def reset_cursors(pool: Pool, cursors: ScanCursors) -> None:
    """Put the cursors right before the first ready jobs, or none when there are few dead rows before them."""
    if cursors.takes == 0:
        return
    cursors.takes = 0
    heads, dead = await store.heads(pool)
    if dead > _MANY_DEAD:
        # The first look has PostgreSQL pass over, from now on, what it may. What is left then it must keep.
        heads, dead = await store.heads(pool)
    cursors.reset(heads if dead > _MANY_DEAD else ())


async def count_minutes_forever(pool: Pool) -> NoReturn:
    """Write down, until cancelled, what was done in each minute."""
    while True:
        try:
            await store.count_minute(pool)
        except DatabaseAway:
            pass  # a minute without a count is a gap in a line
        except Exception:
            log.exception("counting a minute failed; it is tried again")
        await asyncio.sleep(_COUNT_INTERVAL_S)


async def prune_forever(pool: Pool, days: float) -> NoReturn:
    """Delete, until cancelled, whatever has been done for so many days."""
    while True:
        try:
            deleted = await _in_batches(lambda: store.prune(pool, days * _DAY_S, _BATCH_ROWS))
            metrics.PRUNED.inc(deleted)
            if deleted:
                log.info("deleted %s jobs that were done more than %s days ago", deleted, days)
        except DatabaseAway:
            log.warning("old jobs are deleted later: the database is away")
        except Exception:
            log.exception("deleting old jobs failed; it is tried again")
        await asyncio.sleep(_PRUNE_INTERVAL_S)


async def _in_batches(statement: Callable[[], Awaitable[int]]) -> int:
    total = 0
    while True:
        rows = await statement()
        total += rows
        if rows < _BATCH_ROWS:
            return total
