"""Storing new jobs."""

from collections.abc import Sequence

from boss.errors import BadInput
from boss.model.job import Submission
from boss.postgres.arrays import columns_of
from boss.postgres.connection import Pool, fetch

SUBMIT = """
-- submit
INSERT INTO job (id, source, document, priority, due_at, attempts, traceparent, submitted_by, document_bytes)
SELECT id, source, document::jsonb, priority, CASE WHEN due_at > now() THEN due_at END, attempts, traceparent, by,
       document_bytes
FROM (SELECT id, source, document, priority, turn, coalesce(due_at, now() + make_interval(secs => delay)), attempts,
             traceparent, by, document_bytes
      FROM unnest($1::text[], $2::text[], $3::text[], $4::smallint[], $5::float8[], $6::timestamptz[], $7::int[],
                  $8::text[], $9::text[], $10::int[])
           WITH ORDINALITY
           AS asked(id, source, document, priority, delay, due_at, attempts, traceparent, by, document_bytes, turn))
     AS asked(id, source, document, priority, turn, due_at, attempts, traceparent, by, document_bytes)
ORDER BY turn
ON CONFLICT (id) DO NOTHING
RETURNING id
"""


async def submit(pool: Pool, submissions: Sequence[Submission]) -> set[str]:
    """Store new jobs, in order of arrival; return the ids that were new. The others changed nothing."""
    return {row[0] for row in await fetch(pool, SUBMIT, *columns_of(submissions))}


READ_AS_JSONB = """
-- read_as_jsonb
SELECT count(document::jsonb) FROM unnest($1::text[]) AS document
"""


async def first_refused(pool: Pool, documents: Sequence[str]) -> int:
    """The place of the first document that jsonb cannot keep, where there is one."""
    low, high = 0, len(documents) - 1
    while low < high:
        middle = (low + high) // 2
        try:
            await fetch(pool, READ_AS_JSONB, documents[low : middle + 1])
            low = middle + 1
        except BadInput:
            high = middle
    return low
