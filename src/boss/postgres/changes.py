"""Changes of jobs that nobody has taken yet."""

from boss.model.job import Change, Job, State
from boss.postgres.connection import Pool, fetch
from boss.postgres.dependents import BLOCKED
from boss.postgres.sizes import text_of
from boss.postgres.statement import Statement, probe

# A job that comes after others has no time of its own while it waits for them, and one that was taken does not expire.
#
# The job keeps its position: it was submitted when it was. A note is about the document, so another one has none.
CHANGE = Statement(
    "change",
    f"""
WITH changed AS (
    UPDATE ONLY job
    SET document = coalesce($4::text::jsonb, document),
        document_bytes = CASE WHEN $4::text IS NULL THEN document_bytes ELSE $5 END,
        note = CASE WHEN $4::text IS NULL THEN note END,
        priority = coalesce($6, priority),
        due_at = CASE
            WHEN $7::float8 IS NULL AND $8::timestamptz IS NULL THEN due_at
            WHEN coalesce($8, now() + make_interval(secs => $7)) > now()
            THEN coalesce($8, now() + make_interval(secs => $7))
        END,
        timeout = coalesce($10, timeout),
        expires_at = coalesce(now() + make_interval(secs => $11), expires_at)
    WHERE {probe("id", "$1")} AND source = $2 AND status || '' = 'AVAILABLE' AND ($3::int IS NULL OR attempt = $3)
      AND (due_at IS DISTINCT FROM {BLOCKED} OR $7::float8 IS NULL AND $8::timestamptz IS NULL)
      AND (taken_at IS NULL OR $11::int IS NULL)
    RETURNING id, source, {text_of("document")} AS document, attempt, expires_at
), timed AS (
    INSERT INTO expiry (id, at) SELECT id, expires_at FROM changed WHERE $11::int IS NOT NULL
    ON CONFLICT (id) DO UPDATE SET at = excluded.at
), recorded AS (
    INSERT INTO act (by, did, what)
    SELECT $9, 'changed an available job', jsonb_strip_nulls(jsonb_build_object(
        'job', id, 'source', source, 'priority', $6::int, 'delay', $7::float8, 'at', $8::timestamptz,
        'timeout', $10::int, 'expires', $11::int,
        'document', CASE WHEN $4::text IS NOT NULL THEN 'another' END))
    FROM changed
)
SELECT id, source, document, attempt FROM changed
""",
)


async def change(pool: Pool, asked: Change) -> Job | None:
    """Change an available job, and record it as an audit event, without the document.

    Returns the job as it is now; None when it is not available, or in another attempt.
    """
    values = (asked.id, asked.source, asked.attempt, asked.document, asked.document_bytes, asked.priority)
    rows = await fetch(pool, CHANGE, *values, asked.delay, asked.due_at, asked.by, asked.timeout, asked.expires)
    return Job(state=State.AVAILABLE, **rows[0]) if rows else None
