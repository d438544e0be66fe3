"""Jobs that end because nobody took them in time: their times are in the table `expiry` (0015_time_limits.sql)."""

from typing import NamedTuple

from boss.postgres.connection import Pool, fetch
from boss.postgres.statement import Statement

# This is for the person who finds the job among the abandoned ones.
_NOT_TAKEN = "nobody took the job before it expired"
_EXPIRED = "status || '' = 'AVAILABLE' AND taken_at IS NULL AND expires_at <= now()"
# A job that another session has locked keeps its time: if it is not taken after all, it ends then.
EXPIRE = Statement(
    "expire",
    f"""
WITH due AS MATERIALIZED (
    SELECT id FROM expiry WHERE at <= now() ORDER BY at LIMIT $1 FOR UPDATE SKIP LOCKED
), untaken AS MATERIALIZED (
    SELECT id FROM ONLY job
    WHERE id = ANY(ARRAY(SELECT id FROM due))
      AND {_EXPIRED}
), locked AS MATERIALIZED (
    SELECT id FROM ONLY job
    WHERE id = ANY(ARRAY(SELECT id FROM untaken))
      AND {_EXPIRED}
    FOR UPDATE SKIP LOCKED
), forgotten AS (
    DELETE FROM expiry
    WHERE id = ANY(ARRAY(SELECT id FROM due))
      AND id <> ALL(ARRAY(SELECT id FROM untaken EXCEPT SELECT id FROM locked))
)
UPDATE ONLY job
SET status = 'DONE', outcome = 'abandoned', due_at = NULL, finished_at = clock_timestamp(),
    result = jsonb_build_object('error', '{_NOT_TAKEN}'), result_bytes = {len(_NOT_TAKEN) + 20}
WHERE id = ANY(ARRAY(SELECT id FROM locked))
RETURNING id, source
""",
)


class ExpiredJob(NamedTuple):
    """A job that nobody took in time."""

    id: str
    source: str


async def expire(pool: Pool, limit: int) -> list[ExpiredJob]:
    """Abandon at most `limit` jobs that nobody has taken in time; return which.

    A time that is over is forgotten, whatever has become of its job, unless another session has the job locked.
    """
    return [ExpiredJob(**row) for row in await fetch(pool, EXPIRE, limit)]
