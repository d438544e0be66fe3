"""The jobs that failed last, for the dashboard, and a job's place in the queue. Neither reads all done jobs."""

from boss.model.dashboard import Failed
from boss.postgres.connection import Pool, fetch
from boss.postgres.sizes import text_of
from boss.postgres.statement import READY, Statement, probe

# By convention a converter says under "error" why it failed; otherwise the whole result is shown.
FAILED = Statement(
    "failed",
    f"""
SELECT id, source, outcome, attempt, finished_at AS finished,
       left(CASE WHEN jsonb_typeof(result -> 'error') = 'string' THEN result ->> 'error'
                 ELSE {text_of("result")} END, $2) AS reason
FROM job
WHERE status = 'DONE' AND outcome IN ('failed', 'abandoned')
ORDER BY finished_at DESC
LIMIT $1
""",
)
_LONGEST_REASON = 500


async def failed(pool: Pool, limit: int) -> list[Failed]:
    """The jobs that failed or were abandoned last, the newest first."""
    return [Failed(**row) for row in await fetch(pool, FAILED, limit, _LONGEST_REASON)]


# Two ranges of the index. As one condition, PostgreSQL would also read all the jobs behind this one.
_AHEAD = f"""
SELECT count(*) AS jobs
FROM (
    (SELECT
     FROM ONLY job AS other
     WHERE {READY} AND {probe("other.source", "asked.source")}
       AND other.priority > asked.priority
     ORDER BY other.source, other.priority DESC, other.position
     LIMIT $2)
    UNION ALL
    (SELECT
     FROM ONLY job AS other
     WHERE {READY} AND {probe("other.source", "asked.source")}
       AND other.priority = asked.priority AND other.position < asked.position
     ORDER BY other.source, other.position
     LIMIT $2)) AS before
"""
PLACE = Statement(
    "place",
    f"""
SELECT ahead.jobs AS ahead, coalesce(active.jobs, 0)::bigint AS active
FROM ONLY job AS asked
CROSS JOIN LATERAL ({_AHEAD}) AS ahead
LEFT JOIN (
    SELECT source, sum(jobs) AS jobs FROM tally WHERE status = 'ACTIVE' GROUP BY source
) AS active ON active.source = asked.source
WHERE asked.id = $1
""",
)


async def place_in_queue(pool: Pool, id: str, limit: int) -> tuple[int, int]:
    """How many ready jobs of its source come before this one, counted up to `limit`, and how many are active."""
    rows = await fetch(pool, PLACE, id, limit)
    return (min(rows[0]["ahead"], limit), rows[0]["active"]) if rows else (0, 0)
