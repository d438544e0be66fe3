"""The statements that delete old done jobs one by one. Volumes whose jobs are all old are emptied (volumes.py).

To delete a job writes more WAL than the job was long, and gives no disk back.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from boss.postgres.connection import Pool, fetch, transaction
from boss.postgres.refusals import Applied, apply_to_each
from boss.postgres.statement import MOVE_LOCK, VOLUMES, Statement, volume_table

# Jobs that are being moved are locked where they were, and not yet seen where they will be.
_LOCK_MOVES = "SELECT pg_advisory_xact_lock($1)"

# The number of the table `job` without its volumes.
JOB = 0
# The most ids of one answer: the jobs of one moment may be any number.
MOST_IDS = 100_000


def _look(table: int) -> Statement:
    return Statement(
        "look_at_done",
        f"""
WITH looked AS MATERIALIZED (
    SELECT id, source, finished_at FROM {volume_table(table) if table else "ONLY job"}
    WHERE status = 'DONE' AND finished_at > $1 AND finished_at <= $2
    ORDER BY finished_at
    FETCH FIRST $3 ROWS WITH TIES
)
SELECT ARRAY(SELECT id::text FROM looked WHERE (source = ANY ($4::text[])) = $5 LIMIT {MOST_IDS}) AS ids,
       (SELECT max(finished_at) FROM looked) AS last
""",
    )


# Jobs are looked at in order of the finish: no index has the finishes of one source. WITH TIES, because SQL by hand
# finishes any number of jobs at one moment. Nothing is locked.
LOOK_AT_DONE = {table: _look(table) for table in (JOB, *VOLUMES)}


class Looked(NamedTuple):
    """The ids of those jobs that were asked for, and when the last of all was finished; None when there was none."""

    ids: list[str]
    last: datetime | None


async def look_at_done(
    pool: Pool,
    table: int,
    times: tuple[datetime, datetime],
    limit: int,
    sources: Sequence[str],
    *,
    others: bool,
) -> Looked:
    """Look at the first done jobs of one table that were finished in some time.

    Args:
        pool: the connection pool.
        table: the number of the volume, or `JOB`.
        times: the jobs were finished after the first of these moments, and not after the second.
        limit: how many jobs to look at. More are looked at that were finished at the same moment as the last one.
        sources: the ids of jobs of these sources are returned: at most `MOST_IDS`.
        others: return those of all other sources instead.
    """
    [row] = await fetch(pool, LOOK_AT_DONE[table], *times, limit, sources, not others)
    return Looked(**row)


SOURCES_IN_VOLUMES = Statement(
    "sources_in_volumes",
    """
SELECT volume, array_agg(source::text) AS sources
FROM (SELECT volume, source FROM volume_tally GROUP BY volume, source HAVING sum(jobs) > 0) AS counted
GROUP BY volume
""",
)


async def sources_in_volumes(pool: Pool) -> dict[int, frozenset[str]]:
    """The sources that each volume has jobs of, by the number of the volume."""
    found = {row["volume"]: frozenset(row["sources"]) for row in await fetch(pool, SOURCES_IN_VOLUMES)}
    return {volume: found.get(volume_table(volume), frozenset()) for volume in VOLUMES}


# By the rules as they are now: since somebody looked at the jobs, one may have been made longer. An id is found by the
# indexes of ids alone, also by a plan that was made while the tables were empty.
DELETE_OLD = Statement(
    "delete_old",
    """
WITH old AS MATERIALIZED (
    SELECT id FROM job
    WHERE id = ANY ($1::text[]) AND status || '' = 'DONE'
      AND finished_at < now() - make_interval(secs => coalesce(
              (SELECT 24 * 3600 * keep_done FROM source_rule AS rule WHERE rule.source = job.source), $2))
    FOR UPDATE OF job SKIP LOCKED
), gone AS (
    DELETE FROM job WHERE id = ANY (ARRAY(SELECT id FROM old)) AND status || '' = 'DONE'
    RETURNING id
)
SELECT id FROM gone
""",
)


class Deleted(NamedTuple):
    """The ids of the jobs that were deleted, and those that cannot be: what PostgreSQL says, by id."""

    ids: set[str]
    refused: dict[str, str]


async def delete_old(pool: Pool, ids: Sequence[str], older: float | None) -> Deleted:
    """Delete those of these jobs that have been done for as long as the rule of their source says.

    Left are those that another session has locked, and those of a rule that was changed meanwhile.

    Args:
        pool: the connection pool.
        ids: the ids of the jobs.
        older: the age in seconds at which jobs of a source without such a rule are deleted; None for never.
    """
    gone: set[str] = set()

    async def delete(some: Sequence[str]) -> int:
        async with transaction(pool) as connection:
            await connection.execute(_LOCK_MOVES, MOVE_LOCK)
            deleted = [row["id"] for row in await fetch(connection, DELETE_OLD, some, older)]
        gone.update(deleted)
        return len(deleted)

    applied = await apply_to_each(delete, ids)
    return Deleted(gone, applied.refused)


_OLD = """FROM job
WHERE status = 'DONE' AND finished_at < now() - make_interval(secs => $1)"""
PRUNABLE = Statement(
    "prunable", f"SELECT count(*)::int AS jobs FROM (SELECT 1 {_OLD} ORDER BY finished_at LIMIT $2) AS old"
)


async def prunable(pool: Pool, older: float, limit: int) -> int:
    """How many jobs were done more than `older` seconds ago, counted up to `limit`."""
    [row] = await fetch(pool, PRUNABLE, older, limit)
    return int(row["jobs"])


OLDEST = Statement("oldest", f"SELECT id {_OLD} AND id <> ALL ($3::text[]) ORDER BY finished_at LIMIT $2")

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
WITH old AS MATERIALIZED (
    SELECT id FROM job
    WHERE id = ANY ($2::text[]) AND status || '' = 'DONE' AND finished_at < now() - make_interval(secs => $1)
    FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM job WHERE id = ANY (ARRAY(SELECT id FROM old)) AND status || '' = 'DONE'
    RETURNING id
), counted AS (
    SELECT count(*) AS jobs FROM gone
){RECORD_PRUNED}
""",
)


class PrunedBatch(NamedTuple):
    """What `prune_by` did.

    Attributes:
        jobs: how many jobs were deleted.
        event: the number of the audit event; None when nothing was deleted.
        refused: what PostgreSQL says about those that cannot be deleted, by id.
        more: whether there may be more.
    """

    jobs: int
    event: int | None
    refused: dict[str, str]
    more: bool


async def prune_by(
    pool: Pool, older: float, limit: int, by: str | None, event: int | None, but: Sequence[str] = ()
) -> PrunedBatch:
    """Delete jobs, oldest first, whatever the rules of their sources are, and record an audit event.

    Args:
        pool: the connection pool.
        older: the age in seconds.
        limit: the most jobs.
        by: the name of the principal's token.
        event: the number of the audit event to add to; None for the first batch.
        but: the ids of jobs that are left.
    """

    async def delete(ids: Sequence[str]) -> int:
        nonlocal event
        async with transaction(pool) as connection:
            await connection.execute(_LOCK_MOVES, MOVE_LOCK)
            [row] = await fetch(connection, PRUNE_BY, older, ids, by, event)
        event = row["event"]
        return int(row["jobs"])

    ids = [row["id"] for row in await fetch(pool, OLDEST, older, limit, but)]
    applied: Applied = await apply_to_each(delete, ids)
    more = len(ids) == limit and bool(applied.jobs or applied.refused)
    return PrunedBatch(applied.jobs, event, applied.refused, more)
