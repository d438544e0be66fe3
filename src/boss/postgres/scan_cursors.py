"""The heads of the queue: where the ready jobs of each source and priority begin, and the dead rows before them."""

from boss.model.scan_cursor import ScanCursor
from boss.postgres.connection import Pool, fetch, transaction
from boss.postgres.statement import READY, Statement, probe

# The recursion goes from each priority to the next lower one by the ready index; a plain GROUP BY would read all ready
# jobs for that.
HEADS = Statement(
    "heads",
    f"""
WITH RECURSIVE of_any AS (
    (SELECT priority, position
     FROM job
     WHERE {READY}
     ORDER BY priority DESC, position
     LIMIT 1)
    UNION ALL
    SELECT lower.priority, lower.position
    FROM of_any
    CROSS JOIN LATERAL (
        SELECT priority, position
        FROM job
        WHERE {READY} AND priority < of_any.priority
        ORDER BY priority DESC, position
        LIMIT 1
    ) AS lower
)
SELECT NULL AS source, priority, position - 1 AS position FROM of_any
UNION ALL
SELECT shelf.source, head.priority, head.position - 1 AS position
FROM (SELECT source FROM tally WHERE status = 'AVAILABLE' GROUP BY source HAVING sum(jobs) > 0) AS shelf
CROSS JOIN LATERAL (
    WITH RECURSIVE of_source AS (
        (SELECT priority, position
         FROM job
         WHERE {READY} AND {probe("source", "shelf.source")}
         ORDER BY source, priority DESC, position
         LIMIT 1)
        UNION ALL
        SELECT lower.priority, lower.position
        FROM of_source
        CROSS JOIN LATERAL (
            SELECT priority, position
            FROM job
            WHERE {READY} AND {probe("source", "shelf.source")}
              AND priority < of_source.priority
            ORDER BY source, priority DESC, position
            LIMIT 1
        ) AS lower
    )
    SELECT priority, position FROM of_source
) AS head
""",
)

# The number of index entries that this transaction has read. Inside a transaction it only grows. Entries that led to no
# job were of dead rows.
READ_SO_FAR = Statement(
    "read_so_far",
    """
SELECT pg_stat_get_xact_tuples_returned('job_ready'::regclass)
     + pg_stat_get_xact_tuples_returned('job_ready_of_source'::regclass) AS entries
""",
)


async def heads(pool: Pool) -> tuple[list[ScanCursor], int]:
    """The cursors right before the first ready job of each source and priority, and of each priority over all sources.

    Returns the cursors, and how many dead rows PostgreSQL had to walk over to find them.
    """
    async with transaction(pool) as connection:
        [before] = await fetch(connection, READ_SO_FAR)
        cursors = [ScanCursor(**row) for row in await fetch(connection, HEADS)]
        [after] = await fetch(connection, READ_SO_FAR)
    return cursors, after["entries"] - before["entries"] - len(cursors)
