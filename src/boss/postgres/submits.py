"""Storing new jobs."""

from collections.abc import Sequence

from boss.errors import BadInput
from boss.model.job import Submission
from boss.postgres.connection import Pool, fetch
from boss.postgres.statement import Arrays, Statement

_SUBMISSIONS = Arrays(
    id="text",
    source="text",
    document="text",
    priority="smallint",
    delay="float8",
    due_at="timestamptz",
    attempts="int",
    traceparent="text",
    by="text",
    document_bytes="int",
)
SUBMIT = Statement(
    "submit",
    f"""
INSERT INTO job (id, source, document, priority, due_at, attempts, traceparent, submitted_by, document_bytes)
SELECT id, source, document::jsonb, priority, CASE WHEN due_at > now() THEN due_at END, attempts, traceparent, by,
       document_bytes
FROM (SELECT id, source, document, priority, turn, coalesce(due_at, now() + make_interval(secs => delay)), attempts,
             traceparent, by, document_bytes
      FROM {_SUBMISSIONS.unnest} WITH ORDINALITY AS asked({_SUBMISSIONS.names}, turn))
     AS asked(id, source, document, priority, turn, due_at, attempts, traceparent, by, document_bytes)
ORDER BY turn
ON CONFLICT (id) DO NOTHING
RETURNING id
""",
)


async def submit(pool: Pool, submissions: Sequence[Submission]) -> set[str]:
    """Store new jobs, in order of arrival; return the ids that were new. The others changed nothing."""
    return {row["id"] for row in await fetch(pool, SUBMIT, *_SUBMISSIONS.of(submissions))}


READ_AS_JSONB = Statement(
    "read_as_jsonb",
    """
SELECT count(document::jsonb) FROM unnest($1::text[]) AS document
""",
)


async def first_refused(pool: Pool, documents: Sequence[str]) -> int:
    """The index of the first document that jsonb cannot store; there must be one."""
    low, high = 0, len(documents) - 1
    while low < high:
        middle = (low + high) // 2
        try:
            await fetch(pool, READ_AS_JSONB, documents[low : middle + 1])
            low = middle + 1
        except BadInput:
            high = middle
    return low
