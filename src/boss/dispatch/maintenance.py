"""Maintenance: work that no request asks for. Each duty is one function, and correct when several replicas run it at
once.
"""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NoReturn

from boss.dispatch.dependents import release
from boss.dispatch.scan_cursors import ScanCursors
from boss.dispatch.schedules import submit_due
from boss.dispatch.source_limits import SourceLimits
from boss.dispatch.wait_queue import WaitQueue
from boss.errors import DatabaseAway
from boss.model.job import Outcome
from boss.postgres import store
from boss.postgres.connection import Pool
from boss.telemetry import job_counts, job_log, job_times
from boss.telemetry.job_log import JobEvent

log = logging.getLogger("boss")

# The longest time between two rounds, and so the longest delay of a job that another replica missed.
_INTERVAL_S = 1.0
# The shortest time, for when something stays undone because another session holds a lock on it.
_SHORTEST_PAUSE_S = 0.02
# The most rows of one statement, so that none holds its locks for long.
_BATCH_ROWS = 1000
# Once a replica is back, takers have this long to send a heartbeat, or a third of their lease if that is shorter.
_LONGEST_GRACE_S = 30.0
# How often the scan cursors are reset, and so how long takes may overlook a job before them.
_CURSOR_INTERVAL_S = 1.0
# To walk over this many dead rows doubles the cost of a take, roughly. A few dead rows are always there.
_MANY_DEAD = 3000
# To walk over this many pages of entries that are known to be dead costs 0.04 ms, a fifth of a take that finds nothing.
# About 40,000 entries fill them.
_MANY_PAGES = 150
# How often Boss checks whether another minute is over and can be counted, and how long after a minute it is.
_COUNT_INTERVAL_S = 20.0
_COUNTED_AFTER_S = 2.2


class Uptime:
    """How long this replica has been able to receive heartbeats: since it started, or since the database came back.

    Args:
        since: when that began, by `time.monotonic`; None when it has not begun.
    """

    def __init__(self, since: float | None = None) -> None:
        self._since = since

    def interrupt(self) -> None:
        """Note that this replica cannot receive heartbeats."""
        self._since = None

    def seconds(self) -> float:
        """For how many seconds it has been able to; after `interrupt` the time starts with this call."""
        if self._since is None:
            self._since = time.monotonic()
        return time.monotonic() - self._since


async def maintain_forever(pool: Pool, wait_queue: WaitQueue, limits: SourceLimits, now: asyncio.Event) -> NoReturn:
    """Maintain until cancelled: every second, as soon as a job is due or a lease expires, and when `now` is set."""
    uptime = Uptime()
    while True:
        pause = _INTERVAL_S
        now.clear()
        try:
            pause = min(_INTERVAL_S, await maintain(pool, wait_queue, limits, uptime))
        except DatabaseAway:
            uptime.interrupt()
            log.warning("maintenance is postponed: the database is away")
        except Exception:
            log.exception("maintenance failed; the next round tries again")
        with suppress(TimeoutError):
            await asyncio.wait_for(now.wait(), pause)


async def maintain(pool: Pool, wait_queue: WaitQueue, limits: SourceLimits, uptime: Uptime) -> float:
    """Do the pending work once; return the seconds until there may be more.

    When nothing is pending this costs one statement, however many takers wait.
    """
    seen = await store.pending_work(pool, wait_queue.demand())
    if seen.silence is None or seen.silence > store.OUTAGE_S:
        await store.resume_leases(pool)
        uptime.interrupt()
    if seen.next_due is not None and seen.next_due <= 0:
        await make_due(pool)
    if seen.next_lease is not None and seen.next_lease <= 0:
        await end_leases(pool, uptime.seconds())
    if seen.next_moment is not None and seen.next_moment <= 0:
        await submit_due(pool)
    if seen.next_expiry is not None and seen.next_expiry <= 0:
        await expire(pool)
    if seen.uncompacted:
        await store.compact_counts(pool)
    if seen.stale:
        await store.forget_gone_replicas(pool)
    if seen.unawaited:
        await store.forget_awaited(pool)
    if seen.unreleased:
        await release(pool)
    if seen.ready:
        # These jobs should have been announced. Whatever went wrong, no taker waits longer than one round.
        wait_queue.announce(limits.ready(json.loads(seen.ready)))
    # Overdue work was just done, and what comes next is not known yet. During the grace time a lease may not expire.
    next_lease = seen.next_lease if uptime.seconds() > _LONGEST_GRACE_S else None
    # A schedule whose moments cannot be found out here stays due, which is no reason to hurry.
    next_moment = seen.next_moment if seen.next_moment and seen.next_moment > 0 else None
    nexts = (seen.next_due, next_lease, next_moment, seen.next_expiry, 0 if seen.unreleased else None)
    return min((max(each, _SHORTEST_PAUSE_S) for each in nexts if each is not None), default=_INTERVAL_S)


async def make_due(pool: Pool) -> None:
    """Make every delayed job that is due ready to be taken."""
    await _in_batches(lambda: store.make_due(pool, _BATCH_ROWS))


async def end_leases(pool: Pool, heard: float) -> None:
    """Expire every lease that is overdue, of takers that could have sent a heartbeat in the last `heard` seconds.

    A lease never outlasts the timeout of its attempt.
    """
    await _in_batches(lambda: _end_some_leases(pool, heard))


async def _end_some_leases(pool: Pool, heard: float) -> int:
    ended = await store.end_leases(pool, _BATCH_ROWS, heard)
    job_counts.leases_expired(each.source for each in ended)
    job_counts.finished((each.source, each.outcome) for each in ended if each.outcome is not None)
    for what, timed_out in (("lease ran out", False), ("took too long", True)):
        events = [
            JobEvent(each.id, each.source, each.attempt, each.outcome) for each in ended if each.timed_out is timed_out
        ]
        job_log.record(what, events)
    return len(ended)


async def expire(pool: Pool) -> None:
    """Abandon every job that nobody has taken in time."""
    await _in_batches(lambda: _expire_some(pool))


async def _expire_some(pool: Pool) -> int:
    expired = await store.expire(pool, _BATCH_ROWS)
    job_counts.finished((each.source, Outcome.ABANDONED) for each in expired)
    job_log.record("nobody took it", (JobEvent(each.id, each.source, outcome=Outcome.ABANDONED) for each in expired))
    return len(expired)


async def keep_cursors(pool: Pool, cursors: ScanCursors) -> NoReturn:
    """Until cancelled, keep scan cursors while takes would otherwise walk over many dead rows or index entries."""
    while True:
        try:
            await reset_cursors(pool, cursors)
        except DatabaseAway:
            pass  # no job can be taken either
        except Exception:
            log.exception("resetting the scan cursors failed; trying again")
        await asyncio.sleep(_CURSOR_INTERVAL_S)


async def reset_cursors(pool: Pool, cursors: ScanCursors) -> None:
    """Reset the cursors to right before the first ready jobs; to none when there is little to walk over."""
    if not cursors.asked:
        return
    sources = [source for source in cursors.asked if source is not None]
    cursors.asked.clear()
    heads = await store.heads(pool, sources)
    if heads.dead > _MANY_DEAD:
        # The first read lets PostgreSQL skip, from now on, the dead rows that it may. Those left it must keep.
        heads = await store.heads(pool, sources)
    cursors.reset(heads.cursors if heads.dead > _MANY_DEAD or heads.pages > _MANY_PAGES else None)


async def count_minutes_forever(pool: Pool) -> NoReturn:
    """Until cancelled, record the history of each minute."""
    while True:
        try:
            await _count_history(pool)
        except DatabaseAway:
            pass  # a minute without a count is a gap in the dashboard's line
        except Exception:
            log.exception("counting the last minute failed; trying again")
        # Right after each minute, so that what came and went is counted by whole minutes.
        until_counted = _COUNTED_AFTER_S + 60 - time.time() % 60
        await asyncio.sleep(min(_COUNT_INTERVAL_S, until_counted))


async def _count_history(pool: Pool) -> None:
    minute = await store.count_history(pool)
    if minute is not None:
        job_times.waited(*minute.waits)
        job_times.ran(*minute.runs)


async def _in_batches(statement: Callable[[], Awaitable[int]]) -> int:
    total = 0
    while True:
        rows = await statement()
        total += rows
        if rows < _BATCH_ROWS:
            return total
