"""Notes: what a converter leaves with its job while it works, for the next attempt."""

from collections.abc import Sequence
from operator import attrgetter

from boss.model.job import Note
from boss.postgres.connection import Pool, fetch
from boss.postgres.leases import RENEWED
from boss.postgres.statement import Arrays, Statement, probe

# It writes anyway, so it renews the lease each time.
_NOTES = Arrays(id="text", source="text", attempt="int", text="text")
LEAVE_NOTES = Statement(
    "leave_notes",
    f"""
UPDATE ONLY job
SET note = asked.text::jsonb, {RENEWED}
FROM {_NOTES.unnest} AS asked({_NOTES.names})
WHERE {probe("job.id", "asked.id")} AND job.source = asked.source AND job.status || '' = 'ACTIVE'
  AND (asked.attempt IS NULL OR job.attempt = asked.attempt)
RETURNING job.id
""",
)


async def leave_notes(pool: Pool, notes: Sequence[Note]) -> set[str]:
    """Leave these notes, of distinct jobs, with those that are active and in the attempt; return the ids of those.

    Their leases are renewed.
    """
    # In order of id, so that two replicas with the same jobs lock them in the same order.
    return {row["id"] for row in await fetch(pool, LEAVE_NOTES, *_NOTES.of(sorted(notes, key=attrgetter("id"))))}
