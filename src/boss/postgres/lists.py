"""Counts and lists of jobs. Their cost does not grow with the number of done jobs."""

from collections.abc import Sequence

from asyncpg import Record

from boss.model.document import MOST_TEXT
from boss.model.job import JobPage, JobRecord, State
from boss.postgres.connection import Pool, fetch
from boss.postgres.dependents import BLOCKED
from boss.postgres.sizes import NOTE_SIZE, about, text_of
from boss.postgres.statement import Statement

COUNT = Statement(
    "count",
    """
SELECT source, status, sum(jobs)::bigint AS jobs FROM tally GROUP BY source, status
""",
)


async def count(pool: Pool) -> dict[tuple[str, State], int]:
    """How many jobs there are of each source and state, for every source that ever had a job."""
    return {(row["source"], State[row["status"]]): row["jobs"] for row in await fetch(pool, COUNT)}


GREATEST_IDS = Statement(
    "greatest_ids",
    """
SELECT counted.source, counted.status, greatest.id
FROM (SELECT source, status FROM tally GROUP BY source, status HAVING sum(jobs) > 0) AS counted
CROSS JOIN LATERAL (
    SELECT id
    FROM job
    WHERE job.status = counted.status AND job.source = counted.source
    ORDER BY id DESC
    LIMIT $1
) AS greatest
""",
)


async def greatest_ids(pool: Pool, each: int) -> dict[tuple[str, State], list[str]]:
    """The `each` greatest ids of every source and state that has jobs, the greatest first."""
    ids: dict[tuple[str, State], list[str]] = {}
    for row in await fetch(pool, GREATEST_IDS, each):
        ids.setdefault((row["source"], State[row["status"]]), []).append(row["id"])
    return ids


_COLUMNS = f"""id, source, status, priority, {text_of("document")} AS document, submitted_at,
       nullif(due_at, {BLOCKED}) AS due_at, coalesce(due_at = {BLOCKED}, false) AS is_blocked, after_ids,
       attempt, attempts, taken_at, seen_at, lease_until, finished_at, outcome, {text_of("result")} AS result,
       submitted_by, taken_by, finished_by, converter, note::text AS note, timeout, expires_at,
       CASE WHEN text_bytes(history, {MOST_TEXT}) <= {MOST_TEXT} THEN history::text END AS history"""

# A page ends early when its texts would have more bytes than this together. Their sizes are added up before any text is
# made. A text that is too large to be shown counts as 0. The first job is always shown.
_PAGE_BYTES = 8 * 1024 * 1024


def list_statement(name: str, chosen: str, order: str = "id DESC") -> Statement:
    """Build the statement for one page, in this order, of the jobs whose ids `chosen` selects."""
    return Statement(
        name,
        f"""
WITH chosen AS ({chosen}
), sized AS MATERIALIZED (
    SELECT id, row_number() OVER in_order AS turn, count(*) OVER () AS jobs_chosen,
           sum(CASE WHEN document_bytes > {MOST_TEXT} THEN 0 ELSE {about("document")} END
               + CASE WHEN result_bytes > {MOST_TEXT} THEN 0 ELSE {about("result")} END
               + coalesce(8 * pg_column_size(history), 0) + {NOTE_SIZE}) OVER in_order AS size
    FROM job
    WHERE id = ANY(ARRAY(SELECT id FROM chosen))
    WINDOW in_order AS (ORDER BY {order} ROWS UNBOUNDED PRECEDING)
)
SELECT {_COLUMNS}, (SELECT max(jobs_chosen) FROM sized) AS jobs_chosen
FROM job
WHERE id = ANY(ARRAY(SELECT id FROM sized WHERE size <= {_PAGE_BYTES} OR turn = 1))
ORDER BY {order}
""",
    )


LIST = list_statement("list", "SELECT id FROM job WHERE id < $1 ORDER BY id DESC LIMIT $2")

# The index has the jobs of each source and state in order, so the greatest ids of several are among the greatest of
# each.
LIST_OF_SOME = list_statement(
    "list_of_some",
    """
    SELECT last_of.id
    FROM (SELECT source, status
          FROM tally
          WHERE ($3::text[] IS NULL OR source = ANY($3)) AND status = coalesce($4, status)
          GROUP BY source, status
          HAVING sum(jobs) > 0) AS counted
    CROSS JOIN LATERAL (
        SELECT id
        FROM job
        WHERE job.status = counted.status AND job.source = counted.source AND id < $1
        ORDER BY id DESC
        LIMIT $2
    ) AS last_of
    ORDER BY id DESC
    LIMIT $2""",
)

# The properties that are read as they are from the column of the same name.
_AS_THEY_ARE = [name for name in JobRecord._fields if name != "state"]

_AFTER_ALL_IDS = "\x7f"


async def list_jobs(
    pool: Pool, state: State | None, sources: Sequence[str] | None, after: str | None, limit: int
) -> JobPage:
    """List jobs with all their properties, the greatest id first. For generated ids that is the newest first.

    Args:
        pool: the connection pool.
        state: only jobs in this state; None for all.
        sources: only jobs of these sources; None for all.
        after: only jobs with a lesser id; None for the first page.
        limit: the most jobs; there are fewer when their documents are large.
    """
    values = (after or _AFTER_ALL_IDS, limit + 1)
    if state is None and sources is None:
        rows = await fetch(pool, LIST, *values)
    else:
        rows = await fetch(pool, LIST_OF_SOME, *values, sources, state and state.name)
    jobs = [record(row) for row in rows[:limit]]
    # The statement chooses one job more than is shown, to find out whether there is one. A page cut short has more too.
    return JobPage(jobs, more=bool(rows) and rows[0]["jobs_chosen"] > len(jobs))


FIND = Statement(
    "find",
    f"""
SELECT {_COLUMNS} FROM job WHERE id = $1
""",
)


async def find(pool: Pool, id: str) -> JobRecord | None:
    """The job with this id, in any source and state, with all its properties; None when there is none."""
    rows = await fetch(pool, FIND, id)
    return record(rows[0]) if rows else None


def record(row: Record) -> JobRecord:
    return JobRecord(state=State[row["status"]], **{name: row[name] for name in _AS_THEY_ARE})
