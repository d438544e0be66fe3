"""The statements of maintenance. Each is correct when several replicas run it at once."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from boss.postgres.connection import Pool, fetch, transaction
from boss.postgres.statement import MOVE_LOCK, READY, Statement, probe, until_timeout

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


# Jobs that are being moved are locked where they were, and not yet seen where they will be.
_LOCK_MOVES = "SELECT pg_advisory_xact_lock($1)"
# Job by job, which writes more WAL than the job was long, and gives no disk back. Volumes whose jobs are all old enough
# are emptied before that (volumes.py).
_GONE = """
WITH old AS MATERIALIZED (
    SELECT id FROM {table}
    WHERE status = 'DONE' AND finished_at < now() - make_interval(secs => $1){but}
    ORDER BY finished_at
    LIMIT $2
    FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM {table} WHERE id = ANY(ARRAY(SELECT id FROM old))
    RETURNING id
)"""
PRUNE = Statement(
    "prune",
    f"""
{_GONE.format(table="ONLY job", but=" AND source <> ALL ($3::text[])").lstrip()}
SELECT count(*)::int AS jobs FROM gone
""",
)


async def prune(pool: Pool, older: float, limit: int, but: Sequence[str] = ()) -> int:
    """Delete at most `limit` jobs that were done more than `older` seconds ago and are in no volume, oldest first.

    Jobs of the sources `but` are left. Return how many were deleted.
    """
    [row] = await fetch(pool, PRUNE, older, limit, but)
    return int(row["jobs"])


# Every done job is looked at once, in order of the finish: no index has the finishes of one source. WITH TIES, because
# SQL by hand finishes any number of jobs at one moment.
PRUNE_SOURCES = Statement(
    "prune_sources",
    """
WITH walked AS MATERIALIZED (
    SELECT id, source, finished_at FROM job
    WHERE status = 'DONE' AND finished_at > $3 AND finished_at < now() - make_interval(secs => $1)
    ORDER BY finished_at
    FETCH FIRST $4 ROWS WITH TIES
), gone AS (
    DELETE FROM job
    WHERE id = ANY(ARRAY(SELECT id FROM walked WHERE (source = ANY ($2::text[])) = $5 LIMIT $4))
      AND status || '' = 'DONE'
    RETURNING id
)
SELECT (SELECT count(*) FROM gone)::int AS jobs, (SELECT max(finished_at) FROM walked) AS last
""",
)


class Pruned(NamedTuple):
    """How many jobs were deleted, and when the last of those looked at was finished; None when there was none."""

    jobs: int
    last: datetime | None


async def prune_sources(
    pool: Pool, older: float, sources: Sequence[str], after: datetime, limit: int, *, others: bool = False
) -> Pruned:
    """Delete jobs like `prune`, also those in volumes: of these sources, or of all others.

    Args:
        pool: the connection pool.
        older: the age in seconds.
        sources: the sources.
        after: look at jobs that were finished after this moment.
        limit: how many jobs to look at, and the most to delete. When it deletes as many, there may be more.
        others: whether to delete jobs of all sources but these.
    """
    async with transaction(pool) as connection:
        await connection.execute(_LOCK_MOVES, MOVE_LOCK)
        [row] = await fetch(connection, PRUNE_SOURCES, older, sources, after, limit, not others)
    return Pruned(**row)


PRUNABLE = Statement(
    "prunable",
    """
SELECT count(*)::int AS jobs
FROM (SELECT 1 FROM job
      WHERE status = 'DONE' AND finished_at < now() - make_interval(secs => $1)
      ORDER BY finished_at
      LIMIT $2) AS old
""",
)


async def prunable(pool: Pool, older: float, limit: int) -> int:
    """How many jobs were done more than `older` seconds ago, counted up to `limit`."""
    [row] = await fetch(pool, PRUNABLE, older, limit)
    return int(row["jobs"])


# One statement deletes the jobs and records the audit event, so that no job is ever gone without a trace. All batches
# of a request share the event of the first one, and each adds the number of jobs that it deleted: $1 is their age, $3
# the name of the principal's token, and $4 the event.
RECORD_PRUNED = """, begun AS (
    INSERT INTO act (by, did, what)
    SELECT $3, 'pruned', jsonb_build_object('jobs', jobs, 'older', $1::float8) FROM counted
    WHERE jobs > 0 AND $4::bigint IS NULL
    RETURNING number
), continued AS (
    UPDATE act SET what = what || jsonb_build_object('jobs', (what->>'jobs')::bigint + (SELECT jobs FROM counted))
    WHERE number = $4
)
SELECT jobs, coalesce($4, (SELECT number FROM begun)) AS event FROM counted"""
PRUNE_BY = Statement(
    "prune_by",
    f"""
{_GONE.format(table="job", but="").lstrip()}, counted AS (
    SELECT count(*) AS jobs FROM gone
){RECORD_PRUNED}
""",
)


async def prune_by(pool: Pool, older: float, limit: int, by: str | None, event: int | None) -> tuple[int, int | None]:
    """Delete jobs like `prune`, also those in volumes, and record an audit event.

    Args:
        pool: the connection pool.
        older: the age in seconds.
        limit: the most jobs.
        by: the name of the principal's token.
        event: the number of the audit event to add to; None for the first batch.

    Returns how many jobs were deleted, and the number of the event; None when nothing was deleted.
    """
    async with transaction(pool) as connection:
        await connection.execute(_LOCK_MOVES, MOVE_LOCK)
        [row] = await fetch(connection, PRUNE_BY, older, limit, by, event)
    return row["jobs"], row["event"]


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
