"""Leases: a heartbeat renews the one by which a taker keeps its job, and without heartbeats it expires."""

from collections.abc import Sequence
from operator import attrgetter
from typing import NamedTuple

from boss.model.job import Check, Location, State
from boss.postgres.connection import Pool, fetch
from boss.postgres.finishes import END_ATTEMPT
from boss.postgres.reads import locate
from boss.postgres.statement import LEASE, Arrays, Statement, probe, until_timeout

# When a lease is renewed, it is set to 4/3 of its length. An attempt with a timeout and no lease ends at its timeout.
RENEWED = f"""seen_at = clock_timestamp(),
        lease_until = CASE
            WHEN lease_until IS NOT NULL
            THEN {until_timeout("clock_timestamp() + nullif(lease, 0) * 4 / 3.0 * interval '1 second'")}
        END"""
_DUE = "lease_until < " + until_timeout("clock_timestamp() + nullif(lease, 0) * interval '1 second'")

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
      AND CASE WHEN lease > 0 AND lease_until IS NOT NULL THEN {_DUE}
               ELSE seen_at < now() - interval '10 minutes' END
    RETURNING job.id
)
SELECT id, source, status, attempt, {LEASE},
       status || '' = 'ACTIVE' AND {_DUE} AND id <> ALL (ARRAY(SELECT id FROM renewed)) AS unsure
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


# Whether the timeout of the attempt has ended its lease. The reason is for the person who finds the job among the
# failed ones.
_TIMED_OUT = "coalesce(lease_until >= taken_at + timeout * interval '1 second', false)"
_WHY_TIMED_OUT = "format('the attempt took longer than its timeout of %s seconds', to_char(timeout, 'FM999,999,990'))"
_HOW = f"""'how', CASE WHEN {_TIMED_OUT} THEN 'took too long' ELSE 'lease ran out' END,
                    'why', CASE WHEN {_TIMED_OUT} THEN {_WHY_TIMED_OUT} END"""
_FAILED = f"attempt >= attempts AND {_TIMED_OUT}"

# A job keeps its order in the queue: that is its priority and position, which no statement changes.
END_LEASES = Statement(
    "end_leases",
    f"""
WITH silent AS MATERIALIZED (
    SELECT id, {_TIMED_OUT} AS timed_out FROM ONLY job
    WHERE status = 'ACTIVE' AND lease_until <= now() AND least(lease / 3.0, 30) <= $2
    ORDER BY lease_until
    LIMIT $1
    FOR UPDATE SKIP LOCKED
)
UPDATE ONLY job
SET status = CASE WHEN attempt < attempts THEN 'AVAILABLE' ELSE 'DONE' END,
    outcome = CASE WHEN attempt < attempts THEN NULL WHEN {_TIMED_OUT} THEN 'failed' ELSE 'abandoned' END,
    finished_at = CASE WHEN attempt < attempts THEN NULL ELSE clock_timestamp() END,
{END_ATTEMPT.format(left="job.attempt < attempts", how=_HOW)}
    result = CASE WHEN {_FAILED} THEN jsonb_build_object('error', {_WHY_TIMED_OUT}) ELSE result END,
    result_bytes = CASE WHEN {_FAILED} THEN 100 ELSE result_bytes END,
    due_at = NULL, lease_until = NULL, take_key = NULL
WHERE id = ANY(ARRAY(SELECT id FROM silent))
RETURNING id, source, attempt, outcome, id = ANY(ARRAY(SELECT id FROM silent WHERE timed_out)) AS timed_out
""",
)


class EndedLease(NamedTuple):
    """A job whose lease expired, or whose attempt `timed_out`; `outcome` is None when it is available again."""

    id: str
    source: str
    attempt: int
    outcome: str | None
    timed_out: bool


async def end_leases(pool: Pool, limit: int, heard: float) -> list[EndedLease]:
    """Expire at most `limit` leases whose takers sent no heartbeat in time, or that reached a timeout; return which.

    These jobs are available again, in their old order in the queue. After the last attempt they are abandoned, or
    failed if it timed out.

    Args:
        pool: the connection pool.
        limit: the most leases.
        heard: for how many seconds this replica could have received heartbeats. A lease does not expire before that is
            a third of it, or 30 seconds if that is less.
    """
    return [EndedLease(**row) for row in await fetch(pool, END_LEASES, limit, heard)]
