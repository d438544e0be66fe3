"""Holding a job: the sign of life by which a taker keeps it."""

from collections.abc import Sequence
from operator import attrgetter

from boss.model.job import Check, Location, State
from boss.postgres.connection import Pool, fetch
from boss.postgres.reads import locate
from boss.postgres.statement import Arrays, Statement, probe

# A check means: at least one more lease from now on. It grants a third more than that when it writes, so that the
# checks of the time in which the third is used up need not write. What never ends is written at most every ten minutes,
# for the history's sake. A lease that should have been renewed and was not has just been ended by somebody else, or the
# check was of another attempt: what the statement saw of that job may be from before.
_CHECKS = Arrays(id="text", source="text", attempt="int")
CHECK = Statement(
    "check",
    f"""
WITH renewed AS (
    UPDATE job
    SET seen_at = clock_timestamp(),
        lease_until = CASE
            WHEN lease_until IS NOT NULL THEN clock_timestamp() + lease * 4 / 3.0 * interval '1 second'
        END
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
FROM job
WHERE id = ANY($1::text[])
""",
)


async def check(pool: Pool, checks: Sequence[Check]) -> dict[str, Location]:
    """Renew the leases of these jobs, of those that are active and in the attempt; return where they are, by id."""
    # In order of id, so that two replicas with the same jobs lock them in the same order.
    rows = await fetch(pool, CHECK, *_CHECKS.of(sorted(checks, key=attrgetter("id"))))
    locations = {row["id"]: Location(row["source"], State[row["status"]], row["attempt"], row["lease"]) for row in rows}
    if unsure := [row["id"] for row in rows if row["unsure"]]:
        locations |= await locate(pool, unsure)
    return locations
