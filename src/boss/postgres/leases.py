"""Leases: a heartbeat renews the one by which a taker keeps its job, and without heartbeats it expires."""

from collections.abc import Sequence
from operator import attrgetter
from typing import NamedTuple

from boss.model.job import Check, Location, State
from boss.postgres.connection import Pool, fetch
from boss.postgres.finishes import END_ATTEMPT
from boss.postgres.reads import locate
from boss.postgres.statement import Arrays, Statement, probe

# When a lease is renewed, it is set to 4/3 of its length.
RENEWED = """seen_at = clock_timestamp(),
        lease_until = CASE
            WHEN lease_until IS NOT NULL THEN clock_timestamp() + lease * 4 / 3.0 * interval '1 second'
        END"""

# A heartbeat guarantees one full lease. When it writes, it grants 4/3 of one, so that heartbeats in the first third
# only read. For a lease that never expires, a heartbeat writes at most every ten minutes, just to record the time. A
# job is `unsure` when its lease should have been renewed and was not: another session has just changed it, or the
# heartbeat was for another attempt. The row that this statement read may be from before that change, so it is read
# again. So is a job that is not found here, for it may be done.
_CHECKS = Arrays(id="text", source="text", attempt="int")
CHECK = Statement(
    "check",
    f"""
WITH renewed AS (
    UPDATE ONLY job
    SET {RENEWED}
    FROM {_CHECKS.unnest} AS asked({_CHECKS.names})
    WHERE {probe("job.id", "asked.id")} AND job.source = asked.source AND job.status || '' = 'ACTIVE'
      AND (asked.attempt IS NULL OR job.attempt = asked.attempt)
      AND CASE WHEN lease_until IS NOT NULL THEN lease_until < clock_timestamp() + lease * interval '1 second'
               ELSE seen_at < now() - interval '10 minutes' END
    RETURNING job.id
)
SELECT id, source, status, attempt, lease,
       status || '' = 'ACTIVE' AND lease_until < clock_timestamp() + lease * interval '1 second'
           AND id <> ALL (ARRAY(SELECT id FROM renewed)) AS unsure
FROM ONLY job
WHERE id = ANY($1::text[])
""",
)


async def check(pool: Pool, checks: Sequence[Check]) -> dict[str, Location]:
    """Renew the leases of those of these jobs that are active and in the attempt; return where each job is, by id."""
    # In order of id, so that two replicas with the same jobs lock them in the same order.
    rows = await fetch(pool, CHECK, *_CHECKS.of(sorted(checks, key=attrgetter("id"))))
    locations = {
        row["id"]: Location(
            source=row["source"], state=State[row["status"]], attempt=row["attempt"], lease=row["lease"]
        )
        for row in rows
    }
    unsure = [row["id"] for row in rows if row["unsure"]]
    if len(locations) < len(checks):
        unsure += {each.id for each in checks} - locations.keys()
    if unsure:
        locations |= await locate(pool, unsure)
    return locations


# A job keeps its order in the queue: that is its priority and position, which no statement changes.
END_LEASES = Statement(
    "end_leases",
    f"""
WITH silent AS MATERIALIZED (
    SELECT id FROM ONLY job
    WHERE status = 'ACTIVE' AND lease_until <= now() AND least(lease / 3.0, 30) <= $2
    ORDER BY lease_until
    LIMIT $1
    FOR UPDATE SKIP LOCKED
)
UPDATE ONLY job
SET status = CASE WHEN attempt < attempts THEN 'AVAILABLE' ELSE 'DONE' END,
    outcome = CASE WHEN attempt < attempts THEN NULL ELSE 'abandoned' END,
    finished_at = CASE WHEN attempt < attempts THEN NULL ELSE clock_timestamp() END,
{END_ATTEMPT.format(left="job.attempt < attempts", how="'how', 'lease ran out'")}
    due_at = NULL, lease_until = NULL, take_key = NULL
WHERE id = ANY(ARRAY(SELECT id FROM silent))
RETURNING id, source, attempt, outcome
""",
)


class EndedLease(NamedTuple):
    """A job whose lease expired; `outcome` is None when it is available again."""

    id: str
    source: str
    attempt: int
    outcome: str | None


async def end_leases(pool: Pool, limit: int, heard: float) -> list[EndedLease]:
    """Expire at most `limit` leases whose takers sent no heartbeat in time; return which.

    These jobs are available again, in their old order in the queue, or abandoned if it was their last attempt.

    Args:
        pool: the connection pool.
        limit: the most leases.
        heard: for how many seconds this replica could have received heartbeats. A lease does not expire before that is
            a third of it, or 30 seconds if that is less.
    """
    return [EndedLease(**row) for row in await fetch(pool, END_LEASES, limit, heard)]
