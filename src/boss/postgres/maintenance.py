"""The statements of maintenance. Each is correct when several replicas run it at once."""

from collections.abc import Mapping
from typing import NamedTuple

from boss.postgres.connection import Pool, fetch
from boss.postgres.statement import READY, Statement, probe, until_timeout

# When no replica has recorded a heartbeat for this many seconds, none was running or none could reach the database.
OUTAGE_S = 5.0

# An order, and not min(): a planner that knows of no active job would read all of them for that.
PENDING_WORK = Statement(
    "pending_work",
    f"""
WITH beat AS (
    INSERT INTO heartbeat (at)
    SELECT now()
    WHERE NOT EXISTS (SELECT FROM heartbeat
                      WHERE at > now() - interval '2 seconds' OR at < now() - {OUTAGE_S} * interval '1 second')
    ON CONFLICT (singleton) DO UPDATE SET at = greatest(heartbeat.at, excluded.at)
)
SELECT (SELECT extract(epoch FROM due_at - now())::float8
        FROM ONLY job
        WHERE status = 'AVAILABLE' AND due_at IS NOT NULL
        ORDER BY due_at
        LIMIT 1) AS next_due,
       (SELECT extract(epoch FROM lease_until - now())::float8
        FROM ONLY job
        WHERE status = 'ACTIVE' AND lease_until IS NOT NULL
        ORDER BY lease_until
        LIMIT 1) AS next_lease,
       (SELECT extract(epoch FROM min(next_at) - now())::float8 FROM schedule WHERE NOT paused) AS next_moment,
       (SELECT extract(epoch FROM at - now())::float8 FROM expiry ORDER BY at LIMIT 1) AS next_expiry,
       (SELECT extract(epoch FROM now() - at)::float8 FROM heartbeat) AS silence,
       EXISTS (SELECT FROM tally GROUP BY source, status HAVING count(*) > 1) AS uncompacted,
       EXISTS (SELECT FROM waiting WHERE pid NOT IN (SELECT pid FROM pg_stat_activity WHERE pid IS NOT NULL)) AS stale,
       EXISTS (SELECT FROM awaited WHERE until < now()) AS unawaited,
       EXISTS (SELECT FROM ended_job) AS unreleased,
       (SELECT jsonb_object_agg(source, jobs)::text
        FROM (SELECT source, max(jobs) AS jobs
              FROM (SELECT asked.source, ready.jobs
                    FROM unnest($2::text[], $3::int[]) AS asked(source, takers)
                    CROSS JOIN LATERAL (
                        SELECT count(*) AS jobs
                        FROM (SELECT FROM ONLY job
                              WHERE {READY} AND {probe("source", "asked.source")}
                              ORDER BY source, priority DESC, position
                              LIMIT asked.takers) AS head) AS ready
                    WHERE jobs > 0
                    UNION ALL
                    SELECT source, count(*)
                    FROM (SELECT source FROM ONLY job
                          WHERE {READY}
                          ORDER BY priority DESC, position
                          LIMIT $1) AS head
                    GROUP BY source) AS found
              GROUP BY source) AS of_source) AS ready
""",
)


class PendingWork(NamedTuple):
    """The work that maintenance has to do.

    Attributes:
        next_due: seconds until the next delayed job is due, negative when it is overdue; None when there is none.
        next_lease: seconds until the next lease expires, negative when it is overdue; None when there is none.
        next_moment: seconds until the next moment of a schedule, likewise.
        next_expiry: seconds until the next job ends that nobody has taken, likewise.
        silence: seconds since the last recorded heartbeat of a replica; None when there never was one.
        uncompacted: whether the job counts can be compacted.
        stale: whether a replica that is gone is still recorded as one with waiting takers.
        unawaited: whether ends of jobs are still announced that nobody waits for any more.
        unreleased: whether jobs have ended that others come after.
        ready: how many jobs of each source are ready for takers that wait, as JSON text; None when there are none.
    """

    next_due: float | None
    next_lease: float | None
    next_moment: float | None
    next_expiry: float | None
    silence: float | None
    uncompacted: bool
    stale: bool
    unawaited: bool
    unreleased: bool
    ready: str | None


async def pending_work(pool: Pool, takers: Mapping[str | None, int]) -> PendingWork:
    """Read what is to be done, by the database's clock, and record the heartbeat of a replica.

    After an outage it records none: `resume_leases` does, once the leases are extended.

    Args:
        pool: the connection pool.
        takers: how many jobs the waiting takers want of each source; of any source under None.
    """
    sources = [source for source in takers if source is not None]
    values = takers.get(None, 0), sources, [takers[source] for source in sources]
    [row] = await fetch(pool, PENDING_WORK, *values)
    return PendingWork(**row)


# Here and below the ids are passed on in an array, for the reason given in takes.py.
MAKE_DUE = Statement(
    "make_due",
    """
WITH due AS MATERIALIZED (
    SELECT id FROM ONLY job
    WHERE status = 'AVAILABLE' AND due_at <= now()
    ORDER BY due_at
    LIMIT $1
    FOR UPDATE SKIP LOCKED
)
UPDATE ONLY job SET due_at = NULL WHERE id = ANY(ARRAY(SELECT id FROM due))
RETURNING id
""",
)


async def make_due(pool: Pool, limit: int) -> int:
    """Make at most `limit` delayed jobs that are due ready; return how many."""
    return len(await fetch(pool, MAKE_DUE, limit))


# The heartbeat is written last: a statement cannot lock a row that it has changed itself.
#
# Jobs that another session has locked are skipped: they are being renewed, finished or given back. Two replicas run
# this one after the other, and the second finds that the first has just done it.
RESUME_LEASES = Statement(
    "resume_leases",
    f"""
WITH last AS MATERIALIZED (
    SELECT at FROM heartbeat WHERE at < now() - {OUTAGE_S} * interval '1 second' FOR UPDATE
), silent AS MATERIALIZED (
    SELECT job.id FROM last, ONLY job
    WHERE job.status = 'ACTIVE' AND job.lease_until IS NOT NULL
    FOR UPDATE OF job SKIP LOCKED
), resumed AS (
    UPDATE ONLY job
    SET lease_until = {until_timeout("lease_until + greatest(interval '0', now() - greatest(last.at, seen_at))")}
    FROM last
    WHERE job.id = ANY(ARRAY(SELECT id FROM silent))
    RETURNING job.id
)
INSERT INTO heartbeat (at) SELECT now() WHERE (SELECT count(*) FROM resumed) IS NOT NULL
ON CONFLICT (singleton) DO UPDATE SET at = greatest(heartbeat.at, excluded.at)
""",
)


async def resume_leases(pool: Pool) -> None:
    """Extend all leases by the time since the last recorded heartbeat of a replica, if that was an outage.

    No replica could receive heartbeats of takers meanwhile, so the leases did not run. Timeouts did.
    """
    await fetch(pool, RESUME_LEASES)


FORGET_GONE_REPLICAS = Statement(
    "forget_gone_replicas",
    """
DELETE FROM waiting WHERE pid NOT IN (SELECT pid FROM pg_stat_activity WHERE pid IS NOT NULL)
""",
)


async def forget_gone_replicas(pool: Pool) -> None:
    """Delete the records of waiting takers on replicas that are gone."""
    await fetch(pool, FORGET_GONE_REPLICAS)


# One statement deletes the rows and inserts their sum, so that every reader sees either the rows or the sum. The lock
# keeps two replicas from deleting the same rows in opposite order.
COMPACT_COUNTS = Statement(
    "compact_counts",
    """
WITH turn AS MATERIALIZED (
    SELECT pg_try_advisory_xact_lock($1) AS ours
), compacted AS (
    DELETE FROM tally
    USING (SELECT source, status FROM tally, turn WHERE ours GROUP BY source, status HAVING count(*) > 1) AS many
    WHERE tally.source = many.source AND tally.status = many.status
    RETURNING tally.source, tally.status, tally.jobs
)
INSERT INTO tally SELECT source, status, sum(jobs) FROM compacted GROUP BY source, status
""",
)
COUNTS_LOCK = 0x626F7374


async def compact_counts(pool: Pool) -> None:
    """Compact the job counts to one row for each source and status."""
    await fetch(pool, COMPACT_COUNTS, COUNTS_LOCK)
