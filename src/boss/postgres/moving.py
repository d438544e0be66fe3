"""Redo and delete: done jobs that are available again, or gone; and the walk through open jobs, to stop them."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from asyncpg import Record

from boss.model.finding import FoundJob
from boss.model.job import Job, Redo, State
from boss.postgres.connection import Pool, fetch
from boss.postgres.finding import OF_SOURCE
from boss.postgres.sizes import shortened, text_of
from boss.postgres.statement import Statement

# Jobs that somebody else has locked are waited for, in order of id, so that two requests lock them in the same order.
_TAKEN_OUT = """
WITH chosen AS MATERIALIZED (
    SELECT id FROM job
    WHERE id = ANY($1::text[]) AND source = $2 AND status || '' = 'DONE'
      AND ($3::timestamptz IS NULL OR finished_at < $3) AND ($4::int IS NULL OR attempt = $4)
    ORDER BY id
    FOR UPDATE
), taken_out AS (
    DELETE FROM job WHERE id = ANY(ARRAY(SELECT id FROM chosen))
    RETURNING *
)"""

# The audit event is written by the statement itself, as in maintenance.py: all batches of a request share the event of
# the first one. $5 is the principal's token, $6 the event of the first batch, $7 the details.
_RECORDED = """counted AS (
    SELECT count(*) AS jobs FROM {of}
), begun AS (
    INSERT INTO act (by, did, what)
    SELECT $5, '{did}', CASE WHEN $7::jsonb ? 'job' THEN $7 ELSE $7 || jsonb_build_object('jobs', jobs) END
    FROM counted
    WHERE jobs > 0 AND $6::bigint IS NULL
    RETURNING number
), continued AS (
    UPDATE act SET what = what || jsonb_build_object('jobs', (what->>'jobs')::bigint + (SELECT jobs FROM counted))
    WHERE number = $6
)"""

# The allowance that the job was submitted with. Only attempts that did not count have raised it where `allowed` says
# nothing, in the version before.
_ALLOWED = """coalesce(allowed, attempts - (
           SELECT count(*)
           FROM jsonb_array_elements(CASE WHEN jsonb_typeof(history) = 'array' THEN history ELSE '[]' END) AS entry
           WHERE entry ? 'uncounted')::int)"""
_WHY = shortened("coalesce(nullif(result ->> 'error', ''), nullif(result ->> 'reason', ''), result::text)")

# The job takes its place at the end of the queue: many that are redone do not come before what was submitted meanwhile.
# Its last result stays until the next one, and its note unless it gets another document. The columns that are not named
# have nothing to say of a job that is available; tests/integration/test_moving.py has the list of them.
_REDONE = f"""{_TAKEN_OUT}, redone AS (
    INSERT INTO job (id, source, document, document_bytes, priority, submitted_at, submitted_by, attempt, attempts,
                     taken_at, seen_at, lease, timeout, traceparent, result, result_bytes, allowed, note, history)
    SELECT id, source, coalesce($8::text::jsonb, document),
           CASE WHEN $8::text IS NULL THEN document_bytes ELSE $9 END, priority, submitted_at, submitted_by, attempt,
           least(attempts::bigint + {_ALLOWED}, 2000000000), taken_at, seen_at, lease, timeout, traceparent, result,
           result_bytes, {_ALLOWED}, CASE WHEN $8::text IS NULL THEN note END,
           CASE
               WHEN jsonb_typeof(history) IS DISTINCT FROM 'array' THEN '[]'
               WHEN jsonb_array_length(history) >= 100 THEN history - 0
               ELSE history
           END
           || jsonb_strip_nulls(jsonb_build_object(
                  'attempt', attempt, 'taken', taken_at, 'by', taken_by, 'converter', converter,
                  'ended', coalesce(finished_at, now()),
                  'how', coalesce(outcome, 'completed'), 'ended_by', finished_by, 'why', {_WHY},
                  'redone', clock_timestamp(), 'redone_by', $5::text))
    FROM taken_out
    ORDER BY position
    RETURNING id, source, document, document_bytes, attempt
)"""
REDO = Statement(
    "redo",
    f"""
{_REDONE.lstrip()}, {_RECORDED.format(of="redone", did="redid a done job")}
SELECT id, source, {text_of("document")} AS document, attempt FROM redone
""",
)
REDO_MANY = Statement(
    "redo_many",
    f"""
{_REDONE.lstrip()}, {_RECORDED.format(of="redone", did="redid done jobs")}
SELECT id, attempt, coalesce($6, (SELECT number FROM begun)) AS event FROM redone
""",
)
DELETE = Statement(
    "delete",
    f"""
{_TAKEN_OUT.lstrip()}, {_RECORDED.format(of="taken_out", did="deleted done jobs")}
SELECT id, attempt, coalesce($6, (SELECT number FROM begun)) AS event FROM taken_out
""",
)


class Batch(NamedTuple):
    """The done jobs of a source to be redone or deleted, in one statement.

    Attributes:
        source: the source.
        ids: the jobs.
        until: only jobs that were done before this time.
        by: the name of the principal's token, for the audit event.
        what: the details of the audit event, as JSON text.
        event: the number of the audit event to add to; None for the first batch.
        attempt: only jobs in this attempt; None for any.
    """

    source: str
    ids: Sequence[str]
    until: datetime | None
    by: str | None
    what: str
    event: int | None = None
    attempt: int | None = None


class Moved(NamedTuple):
    """The jobs that a batch moved, each with its attempt, and the number of the audit event, if there is one."""

    jobs: list[tuple[str, int]]
    event: int | None


async def redo(pool: Pool, asked: Redo, what: str) -> Job | None:
    """Make a done job available again, and record it as an audit event, without the document.

    Returns the job as it is now; None when it is not done, or in another attempt.
    """
    values = ([asked.id], asked.source, None, asked.attempt, asked.by, None, what)
    rows = await fetch(pool, REDO, *values, asked.document, asked.document_bytes)
    return Job(state=State.AVAILABLE, **rows[0]) if rows else None


async def redo_many(pool: Pool, batch: Batch) -> Moved:
    """Make done jobs available again; those that are not done any more are left out."""
    return _moved(batch, await fetch(pool, REDO_MANY, *_values(batch), None, None))


async def delete(pool: Pool, batch: Batch) -> Moved:
    """Delete done jobs; those that are not done any more are left out."""
    return _moved(batch, await fetch(pool, DELETE, *_values(batch)))


def _values(batch: Batch) -> tuple[object, ...]:
    return batch.ids, batch.source, batch.until, batch.attempt, batch.by, batch.event, batch.what


def _moved(batch: Batch, rows: Sequence[Record]) -> Moved:
    return Moved([(row["id"], row["attempt"]) for row in rows], rows[0]["event"] if rows else batch.event)


# Whatever their times, open jobs are walked through by their ids, so that nothing has to be sorted.
WALK_OPEN = Statement(
    "walk_open",
    f"""
SELECT id, submitted_at AS at, attempt
FROM ONLY job
WHERE status = $1 AND {OF_SOURCE.format(source="$2", id="$3")}
ORDER BY source, id
LIMIT $4
""",
)


async def walk_open(pool: Pool, state: State, source: str, after: str, rows: int) -> list[FoundJob]:
    """The first `rows` jobs of this state and source with greater ids, by id."""
    return [FoundJob(**row) for row in await fetch(pool, WALK_OPEN, state.name, source, after, rows)]


RECORD_STOP = Statement(
    "record_stop",
    """
INSERT INTO act (by, did, what) VALUES ($1, 'stopped jobs', $2::jsonb)
""",
)


async def record_stop(pool: Pool, by: str | None, what: str) -> None:
    """Record as an audit event that jobs were stopped. Each of them has the name of who did it, too."""
    await fetch(pool, RECORD_STOP, by, what)
