"""What Boss asks of PostgreSQL: one function a statement, each statement beside its function.

Every statement is one transaction, and serves many requests at once where many may wait (coalescer.py).
"""

from collections.abc import Sequence
from typing import NamedTuple

from asyncpg import Record

from boss.database import Pool, fetch
from boss.job import Finish, Job, JobRecord, Place, State, Submission

SUBMIT = """
INSERT INTO job (id, source, document, priority, due_at)
SELECT id, source, document::jsonb, priority, CASE WHEN due_at > now() THEN due_at END
FROM (SELECT id, source, document, priority, turn,
             coalesce(due_at, now() + make_interval(secs => delay)) AS due_at
      FROM unnest($1::text[], $2::text[], $3::text[], $4::smallint[], $5::float8[], $6::timestamptz[])
           WITH ORDINALITY AS asked(id, source, document, priority, delay, due_at, turn)) AS asked
ORDER BY turn
ON CONFLICT (id) DO NOTHING
RETURNING id
"""


async def submit(pool: Pool, submissions: Sequence[Submission]) -> set[str]:
    """Store new jobs, in order of arrival; return the ids that were new. The others changed nothing."""
    columns = list(zip(*submissions, strict=True))
    return {row[0] for row in await fetch(pool, SUBMIT, *columns)}


# The head of the queue is fenced in a MATERIALIZED CTE: were it folded into the UPDATE, the planner might run it again
# for each row and take more jobs than asked for. SKIP LOCKED passes over what another replica is taking right now; the
# design's literal query waited for it and then took it a second time. RETURNING follows the order of the UPDATE, not of
# the CTE, so the order is put back at the end.
_TAKE = """
, taken AS (
    UPDATE job
    SET status = 'ACTIVE', attempt = attempt + 1, taken_at = now()
    FROM head
    WHERE job.id = head.id
    RETURNING job.id, job.source, job.document::text, job.attempt, job.priority, job.position
)
SELECT id, source, document, attempt FROM taken ORDER BY priority DESC, position
"""

TAKE = (
    """
WITH head AS MATERIALIZED (
    SELECT id
    FROM job
    WHERE status = 'AVAILABLE' AND due_at IS NULL
    ORDER BY priority DESC, position
    LIMIT $1
    FOR UPDATE SKIP LOCKED
)"""
    + _TAKE
)


async def take(pool: Pool, jobs: int) -> list[Job]:
    """Make the first `jobs` ready jobs of any source active; return them in the order of the queue."""
    return [_taken(row) for row in await fetch(pool, TAKE, jobs)]


TAKE_OF_SOURCES = (
    """
WITH head AS MATERIALIZED (
    SELECT ready.id
    FROM unnest($1::text[], $2::int[]) AS asked(source, jobs)
    CROSS JOIN LATERAL (
        SELECT id
        FROM job
        WHERE status = 'AVAILABLE' AND due_at IS NULL AND source = asked.source
        ORDER BY priority DESC, position
        LIMIT asked.jobs
        FOR UPDATE SKIP LOCKED
    ) AS ready
)"""
    + _TAKE
)


async def take_of_sources(pool: Pool, asked: dict[str, int]) -> dict[str, list[Job]]:
    """Make the first ready jobs of each source active, as many as asked of it; return them in order."""
    taken: dict[str, list[Job]] = {source: [] for source in asked}
    for row in await fetch(pool, TAKE_OF_SOURCES, list(asked), list(asked.values())):
        taken[row["source"]].append(_taken(row))
    return taken


TAKE_BY_ADDRESS = """
UPDATE job
SET status = 'ACTIVE', due_at = NULL, attempt = attempt + 1, taken_at = now()
FROM unnest($1::text[], $2::text[]) AS asked(id, source)
WHERE job.id = asked.id AND job.source = asked.source AND status = 'AVAILABLE'
RETURNING job.id, job.source, job.document::text, job.attempt
"""


async def take_by_address(pool: Pool, addresses: Sequence[tuple[str, str]]) -> dict[str, Job]:
    """Make these jobs, each an id and a source, active if they are available, due or not; return them by id."""
    ids, sources = zip(*addresses, strict=True)
    return {row["id"]: _taken(row) for row in await fetch(pool, TAKE_BY_ADDRESS, ids, sources)}


def _taken(row: Record) -> Job:
    return Job(row["id"], row["source"], State.ACTIVE, row["document"], row["attempt"])


FINISH = """
UPDATE job
SET status = 'DONE', due_at = NULL, finished_at = now(), outcome = asked.outcome, result = asked.result::jsonb
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS asked(id, source, outcome, result)
WHERE job.id = asked.id AND job.source = asked.source AND status IN ('AVAILABLE', 'ACTIVE')
RETURNING job.id
"""


async def finish(pool: Pool, finishes: Sequence[Finish]) -> set[str]:
    """Move available and active jobs to done; return the ids that were moved. No id may come twice."""
    # In order of id, so that two replicas with the same jobs lock them in the same order.
    columns = zip(*sorted(finishes, key=lambda finish: finish.id), strict=True)
    return {row["id"] for row in await fetch(pool, FINISH, *columns)}


READ = """
SELECT id, source, status, document::text, attempt FROM job WHERE id = ANY($1::text[])
"""


async def read(pool: Pool, ids: Sequence[str]) -> dict[str, Job]:
    """The jobs with these ids, in whatever state they are."""
    return {
        row["id"]: Job(row["id"], row["source"], State[row["status"]], row["document"], row["attempt"])
        for row in await fetch(pool, READ, ids)
    }


LOCATE = """
SELECT id, source, status, attempt FROM job WHERE id = ANY($1::text[])
"""


async def locate(pool: Pool, ids: Sequence[str]) -> dict[str, Place]:
    """Where the jobs with these ids are; as `read`, without their documents."""
    return {
        row["id"]: Place(row["source"], State[row["status"]], row["attempt"]) for row in await fetch(pool, LOCATE, ids)
    }


# In the order of a take, so that it goes by the index of a take.
ANY_READY = """
SELECT FROM job WHERE status = 'AVAILABLE' AND due_at IS NULL ORDER BY priority DESC, position LIMIT 1
"""
ANY_READY_OF_SOURCE = """
SELECT FROM job
WHERE status = 'AVAILABLE' AND due_at IS NULL AND source = $1
ORDER BY priority DESC, position
LIMIT 1
"""


async def any_ready(pool: Pool, source: str | None) -> bool:
    """Whether a take from this source, from any when None, would find a job."""
    rows = await fetch(pool, ANY_READY) if source is None else await fetch(pool, ANY_READY_OF_SOURCE, source)
    return bool(rows)


COUNT = """
SELECT source, status, sum(jobs)::bigint AS jobs FROM tally GROUP BY source, status
"""


async def count(pool: Pool) -> dict[tuple[str, State], int]:
    """How many jobs there are of each source and state, of every source ever seen."""
    return {(row["source"], State[row["status"]]): row["jobs"] for row in await fetch(pool, COUNT)}


NEWEST = """
SELECT shelf.source, shelf.status, newest.id
FROM (SELECT source, status FROM tally GROUP BY source, status HAVING sum(jobs) > 0) AS shelf
CROSS JOIN LATERAL (
    SELECT id
    FROM job
    WHERE job.status = shelf.status AND job.source = shelf.source
    ORDER BY id DESC
    LIMIT $1
) AS newest
"""


async def newest(pool: Pool, each: int) -> dict[tuple[str, State], list[str]]:
    """The greatest `each` ids of every source and state that has jobs, greatest first."""
    ids: dict[tuple[str, State], list[str]] = {}
    for row in await fetch(pool, NEWEST, each):
        ids.setdefault((row["source"], State[row["status"]]), []).append(row["id"])
    return ids


class JobPage(NamedTuple):
    """Some jobs of a list, and whether there are more after them."""

    jobs: list[JobRecord]
    more: bool


# A page ends early when its documents and results reach this size.
_PAGE_BYTES = 8 * 1024 * 1024

_LIST = """
SELECT id, source, status, priority, document, submitted_at, due_at, attempt, taken_at, finished_at, outcome, result,
       jobs_chosen
FROM (SELECT count(*) OVER () AS jobs_chosen,
             sum(pg_column_size(document) + coalesce(pg_column_size(result), 0)) OVER earlier AS size_before,
             id, source, status, priority, document::text, submitted_at, due_at, attempt, taken_at, finished_at,
             outcome, result::text
      FROM chosen JOIN job USING (id)
      WINDOW earlier AS (ORDER BY id DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)) AS page
WHERE coalesce(size_before, 0) < $3
ORDER BY id DESC
"""

LIST = (
    """
WITH chosen AS (SELECT id FROM job WHERE id < $1 ORDER BY id DESC LIMIT $2)"""
    + _LIST
)

# Each source and state has its jobs in order in the index, so the newest of some of them are among the newest of each.
LIST_SHELVES = (
    """
WITH chosen AS (
    SELECT shelved.id
    FROM (SELECT source, status
          FROM tally
          WHERE source = coalesce($4, source) AND status = coalesce($5, status)
          GROUP BY source, status
          HAVING sum(jobs) > 0) AS shelf
    CROSS JOIN LATERAL (
        SELECT id
        FROM job
        WHERE job.status = shelf.status AND job.source = shelf.source AND id < $1
        ORDER BY id DESC
        LIMIT $2
    ) AS shelved
    ORDER BY id DESC
    LIMIT $2
)"""
    + _LIST
)

_AFTER_ALL_IDS = "\x7f"


async def list_jobs(pool: Pool, state: State | None, source: str | None, after: str | None, limit: int) -> JobPage:
    """Jobs with all their properties, greatest id first: for generated ids, the newest first.

    Args:
        pool: the database.
        state, source: only such jobs; None for all.
        after: only jobs with a lesser id; None for the first page.
        limit: how many at most; fewer when their documents are large.
    """
    values = (after or _AFTER_ALL_IDS, limit + 1, _PAGE_BYTES)
    if state is None and source is None:
        rows = await fetch(pool, LIST, *values)
    else:
        rows = await fetch(pool, LIST_SHELVES, *values, source, state and state.name)
    jobs = [JobRecord(row[0], row[1], State[row[2]], *tuple(row)[3:12]) for row in rows[:limit]]
    # One more was chosen than is shown, to see whether there is one; a page cut for its size has more as well.
    return JobPage(jobs, more=bool(rows) and rows[0]["jobs_chosen"] > len(jobs))


MAKE_DUE = """
WITH due AS MATERIALIZED (
    SELECT id FROM job
    WHERE status = 'AVAILABLE' AND due_at <= now()
    ORDER BY due_at
    LIMIT $1
    FOR UPDATE SKIP LOCKED
)
UPDATE job SET due_at = NULL FROM due WHERE job.id = due.id
RETURNING job.id
"""


async def make_due(pool: Pool, limit: int) -> int:
    """Make at most `limit` delayed jobs whose time has come ready; return how many. Right if two run."""
    return len(await fetch(pool, MAKE_DUE, limit))


NEXT_DUE = """
SELECT extract(epoch FROM min(due_at) - now())::float8 FROM job WHERE status = 'AVAILABLE' AND due_at IS NOT NULL
"""


async def seconds_to_next_due(pool: Pool) -> float | None:
    """How long until the next delayed job is due, by the database's clock; None when none waits."""
    seconds: float | None = (await fetch(pool, NEXT_DUE))[0][0]
    return seconds


# Deleted and summed in one statement, so that every reader sees either the rows or their sum. The lock keeps two
# replicas from deleting the same rows in opposite order.
FOLD_TALLY = """
WITH turn AS MATERIALIZED (
    SELECT pg_try_advisory_xact_lock($1) AS ours
), folded AS (
    DELETE FROM tally
    USING (SELECT source, status FROM tally, turn WHERE ours GROUP BY source, status HAVING count(*) > 1) AS many
    WHERE tally.source = many.source AND tally.status = many.status
    RETURNING tally.source, tally.status, tally.jobs
)
INSERT INTO tally SELECT source, status, sum(jobs) FROM folded GROUP BY source, status
"""
_TALLY_LOCK = 0x626F7374


async def fold_tally(pool: Pool) -> None:
    """Fold the ledger of counts to one row for each source and status."""
    await fetch(pool, FOLD_TALLY, _TALLY_LOCK)
