"""Counting and listing jobs, at a cost that does not grow with history."""

from collections.abc import Sequence
from typing import NamedTuple

from asyncpg import Record

from boss.database import Pool, fetch
from boss.job import JobRecord, State

COUNT = """
-- count
SELECT source, status, sum(jobs)::bigint AS jobs FROM tally GROUP BY source, status
"""


async def count(pool: Pool) -> dict[tuple[str, State], int]:
    """How many jobs there are of each source and state, of every source ever seen."""
    return {(row["source"], State[row["status"]]): row["jobs"] for row in await fetch(pool, COUNT)}


NEWEST = """
-- newest
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
SELECT id, source, status, priority, document, submitted_at, due_at, attempt, attempts, taken_at, seen_at,
       lease_until, finished_at, outcome, result, submitted_by, taken_by, finished_by, history, jobs_chosen
FROM (SELECT count(*) OVER () AS jobs_chosen,
             sum(pg_column_size(document) + coalesce(pg_column_size(result), 0)) OVER earlier AS size_before,
             id, source, status, priority, document::text, submitted_at, due_at, attempt, attempts,
             taken_at, seen_at, lease_until, finished_at, outcome, result::text,
             submitted_by, taken_by, finished_by, history::text
      FROM job
      WHERE id = ANY(ARRAY(SELECT id FROM chosen))
      WINDOW earlier AS (ORDER BY id DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)) AS page
WHERE coalesce(size_before, 0) < $3
ORDER BY id DESC
"""

LIST = (
    """
-- list
WITH chosen AS (SELECT id FROM job WHERE id < $1 ORDER BY id DESC LIMIT $2)"""
    + _LIST
)

# Each source and state has its jobs in order in the index, so the newest of some of them are among the newest of each.
LIST_SHELVES = (
    """
-- list_shelves
WITH chosen AS (
    SELECT shelved.id
    FROM (SELECT source, status
          FROM tally
          WHERE ($4::text[] IS NULL OR source = ANY($4)) AND status = coalesce($5, status)
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


async def list_jobs(
    pool: Pool, state: State | None, sources: Sequence[str] | None, after: str | None, limit: int
) -> JobPage:
    """Jobs with all their properties, greatest id first: for generated ids, the newest first.

    Args:
        pool: the database.
        state, sources: only such jobs; None for all.
        after: only jobs with a lesser id; None for the first page.
        limit: how many at most; fewer when their documents are large.
    """
    values = (after or _AFTER_ALL_IDS, limit + 1, _PAGE_BYTES)
    if state is None and sources is None:
        rows = await fetch(pool, LIST, *values)
    else:
        rows = await fetch(pool, LIST_SHELVES, *values, sources, state and state.name)
    jobs = [_record(row) for row in rows[:limit]]
    # One more was chosen than is shown, to see whether there is one; a page cut for its size has more as well.
    return JobPage(jobs, more=bool(rows) and rows[0]["jobs_chosen"] > len(jobs))


FIND = """
-- find
SELECT id, source, status, priority, document::text, submitted_at, due_at, attempt, attempts, taken_at, seen_at,
       lease_until, finished_at, outcome, result::text, submitted_by, taken_by, finished_by, history::text
FROM job
WHERE id = $1
"""


async def find(pool: Pool, id: str) -> JobRecord | None:
    """The job with this id, wherever it is, with all its properties; None when there is none."""
    rows = await fetch(pool, FIND, id)
    return _record(rows[0]) if rows else None


def _record(row: Record) -> JobRecord:
    return JobRecord(row[0], row[1], State[row[2]], *tuple(row)[3:19])
