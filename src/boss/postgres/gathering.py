"""Done jobs that are kept for longer than others go from the volumes of the others into one of their own.

Otherwise no volume that has one of them could be emptied for as long as it is kept.
"""

from collections.abc import Sequence
from functools import cache

from boss.postgres.connection import Pool, fetch, transaction
from boss.postgres.finding import OF_SOURCE
from boss.postgres.refusals import Applied, apply_to_each
from boss.postgres.statement import MOVE_LOCK, VOLUMES, Statement, volume_table
from boss.postgres.volumes import BYTES, MEND_VOLUME, MOST_MOVED_BYTES


def _of_source(volume: int) -> Statement:
    return Statement(
        "done_of_source",
        f"""
SELECT id
FROM (SELECT id, row_number() OVER in_order AS turn, sum(bytes) OVER in_order AS total
      FROM (SELECT source, id, {BYTES} AS bytes
            FROM {volume_table(volume)} AS job
            WHERE status = 'DONE' AND {OF_SOURCE.format(source="$1", id="$2")}
            ORDER BY source, id
            LIMIT $3) AS next
      WINDOW in_order AS (ORDER BY source, id ROWS UNBOUNDED PRECEDING)) AS sized
WHERE total <= {MOST_MOVED_BYTES} OR turn = 1
""",
    )


DONE_OF_SOURCE = {volume: _of_source(volume) for volume in VOLUMES}


async def done_of_source(pool: Pool, volume: int, source: str, after: str, limit: int) -> list[str]:
    """The ids of a source's jobs in a volume that come after one, in order: at most `limit`, and fewer large ones."""
    return [row["id"] for row in await fetch(pool, DONE_OF_SOURCE[volume], source, after, limit)]


# A user's columns may be in another order in a volume, and generated ones cannot be written.
COLUMNS_OF_JOB = Statement(
    "columns_of_job",
    """
SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) AS columns
FROM pg_attribute
WHERE attrelid = 'job'::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
""",
)


@cache
def gather_statement(volume: int, into: int, columns: str) -> Statement:
    """The statement that moves jobs with these columns from a volume into another one."""
    return Statement(
        "gather",
        f"""
WITH free AS MATERIALIZED (
    SELECT id FROM {volume_table(volume)} WHERE id = ANY ($1::text[]) AND status || '' = 'DONE'
    FOR UPDATE SKIP LOCKED
), moved AS (
    DELETE FROM {volume_table(volume)} WHERE id = ANY (ARRAY(SELECT id FROM free))
    RETURNING {columns}
), written AS (
    INSERT INTO {volume_table(into)} ({columns}) SELECT {columns} FROM moved
    RETURNING id
)
SELECT count(*)::int AS jobs FROM written
""",
    )


async def gather(pool: Pool, volume: int, into: int, ids: Sequence[str]) -> Applied:
    """Move these done jobs from a volume into another one, but those that another session has locked."""
    [row] = await fetch(pool, COLUMNS_OF_JOB)
    statement = gather_statement(volume, into, row["columns"])

    async def move(some: Sequence[str]) -> int:
        async with transaction(pool) as connection:
            await connection.execute("SELECT pg_advisory_xact_lock($1)", MOVE_LOCK)
            await fetch(connection, MEND_VOLUME, volume_table(into))
            [row] = await fetch(connection, statement, some)
        return int(row["jobs"])

    return await apply_to_each(move, ids)
