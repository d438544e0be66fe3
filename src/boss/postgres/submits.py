"""Storing new jobs."""

from collections.abc import Sequence

from boss.errors import BadInput
from boss.model.job import Submission
from boss.postgres.connection import Pool, fetch
from boss.postgres.statement import Arrays, Statement

SUBMISSIONS = Arrays(
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
    is_made="bool",
    timeout="int",
    expires="int",
)

# No index spans `job` and the volumes. So a submit looks for its ids in all of them once, and stores those that it does
# not find. A job that it could not see yet stays in `job` while this statement runs (move_done in 0013_volumes.sql), so
# the primary key decides about the rest. Ids that Boss has made are new, and need no look. `boss.ids` says to a trigger
# of `job` that it need not look for each row. No index has the attempt: with the ids alone, a planner that believes the
# table to be empty would read all of `job_address` for them.
_MADE = "(SELECT set_config('boss.ids', 'known', true)) IS NOT NULL"
NEW = f"""{_MADE}
  AND id <> ALL (ARRAY(SELECT job.id FROM job WHERE job.id = ANY ($1::text[]) AND job.attempt >= 0))"""


_DUE = "CASE WHEN due_at > now() THEN due_at END"


def insert(condition: str, returning: str = "id", due: str = _DUE, after_ids: str | None = None) -> str:
    """SQL that stores the jobs for which the condition is true, and whose ids `job` does not have.

    Args:
        condition: SQL for whether to store a job.
        returning: the columns to return.
        due: SQL for the time at which a job is due; NULL for at once.
        after_ids: SQL for the jobs that come before, if there are any.
    """
    column, value = ("", "") if after_ids is None else (", after_ids", f", {after_ids}")
    return f"""
INSERT INTO job (id, source, document, priority, due_at, attempts, timeout, expires_at, traceparent, submitted_by,
                 document_bytes{column})
SELECT id, source, document::jsonb, priority, {due}, attempts, timeout,
       now() + make_interval(secs => expires), traceparent, by, document_bytes{value}
FROM (SELECT id, source, document, priority, turn, coalesce(due_at, now() + make_interval(secs => delay)), attempts,
             timeout, expires, traceparent, by, document_bytes
      FROM {SUBMISSIONS.unnest} WITH ORDINALITY AS asked({SUBMISSIONS.names}, turn))
     AS asked(id, source, document, priority, turn, due_at, attempts, timeout, expires, traceparent, by, document_bytes)
WHERE {condition}
ORDER BY turn
ON CONFLICT (id) DO NOTHING
RETURNING {returning}
"""


# Records the times of those of the stored jobs that expire.
TIMED = """timed AS (
    INSERT INTO expiry (id, at) SELECT id, expires_at FROM stored WHERE expires_at IS NOT NULL
    ON CONFLICT (id) DO UPDATE SET at = excluded.at
)"""
SUBMIT = Statement("submit", insert(NEW))
SUBMIT_MADE = Statement("submit", insert(_MADE))
SUBMIT_EXPIRING = Statement(
    "submit_expiring",
    f"""
WITH stored AS ({insert(NEW, "id, expires_at")}
), {TIMED}
SELECT id FROM stored
""",
)


async def submit(pool: Pool, submissions: Sequence[Submission]) -> set[str]:
    """Store new jobs, in order of arrival; return the ids that were new. The others changed nothing."""
    if any(each.expires for each in submissions):
        statement = SUBMIT_EXPIRING
    else:
        statement = SUBMIT_MADE if all(each.is_made for each in submissions) else SUBMIT
    return {row["id"] for row in await fetch(pool, statement, *SUBMISSIONS.of(submissions))}


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
