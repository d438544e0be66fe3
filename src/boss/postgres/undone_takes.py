"""Takes that are undone, because their takers never got the answer."""

from collections.abc import Sequence

from boss.model.job import Taken
from boss.postgres.connection import Pool, fetch
from boss.postgres.statement import Statement, probe

# The time of the take identifies it, so a later take of the same job is not touched, however often this runs. The
# attempt number is not used again, because it tells one taker from another; the job gets one more attempt instead.
UNDO_TAKES = Statement(
    "undo_takes",
    f"""
UPDATE ONLY job
SET status = 'AVAILABLE', attempts = attempts + 1, allowed = coalesce(allowed, attempts), taken_at = NULL,
    seen_at = NULL, lease_until = NULL, take_key = NULL, taken_by = NULL, converter = NULL
FROM unnest($1::text[], $2::timestamptz[]) AS unheard(id, taken_at)
WHERE {probe("job.id", "unheard.id")} AND job.status || '' = 'ACTIVE' AND job.taken_at = unheard.taken_at
  AND seen_at = job.taken_at
RETURNING job.id
""",
)


async def undo_takes(pool: Pool, takes: Sequence[Taken]) -> set[str]:
    """Undo takes whose takers never got the answer, without using up an attempt; return the ids of the jobs."""
    takes = sorted(takes, key=lambda taken: taken.job.id)
    ids, times = [taken.job.id for taken in takes], [taken.at for taken in takes]
    return {row["id"] for row in await fetch(pool, UNDO_TAKES, ids, times)}
