"""The heads of the queue: where the ready jobs of each source and priority begin, and what is dead before them."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from boss.model.scan_cursor import ScanCursor
from boss.postgres.connection import Pool, fetch, transaction
from boss.postgres.statement import READY, Statement, probe

# The pages of the ready indexes that this transaction has read. Inside a transaction it only grows.
_PAGES_SO_FAR = """pg_stat_get_xact_blocks_fetched('job_ready'::regclass)
     + pg_stat_get_xact_blocks_fetched('job_ready_of_source'::regclass)"""

# The recursion goes from each priority to the next lower one by the ready index; a plain GROUP BY would read all ready
# jobs for that.
HEADS = Statement(
    "heads",
    f"""
WITH RECURSIVE of_any AS (
    (SELECT priority, position
     FROM ONLY job
     WHERE {READY}
     ORDER BY priority DESC, position
     LIMIT 1)
    UNION ALL
    SELECT lower.priority, lower.position
    FROM of_any
    CROSS JOIN LATERAL (
        SELECT priority, position
        FROM ONLY job
        WHERE {READY} AND priority < of_any.priority
        ORDER BY priority DESC, position
        LIMIT 1
    ) AS lower
)
SELECT NULL AS source, priority, position - 1 AS position, {_PAGES_SO_FAR} AS pages FROM of_any
UNION ALL
SELECT asked.source, head.priority, head.position - 1 AS position, {_PAGES_SO_FAR} AS pages
FROM (SELECT source FROM tally WHERE status = 'AVAILABLE' GROUP BY source HAVING sum(jobs) > 0
      UNION SELECT unnest($1::text[])) AS asked
LEFT JOIN LATERAL (
    WITH RECURSIVE of_source AS (
        (SELECT priority, position
         FROM ONLY job
         WHERE {READY} AND {probe("source", "asked.source")}
         ORDER BY source, priority DESC, position
         LIMIT 1)
        UNION ALL
        SELECT lower.priority, lower.position
        FROM of_source
        CROSS JOIN LATERAL (
            SELECT priority, position
            FROM ONLY job
            WHERE {READY} AND {probe("source", "asked.source")}
              AND priority < of_source.priority
            ORDER BY source, priority DESC, position
            LIMIT 1
        ) AS lower
    )
    SELECT priority, position FROM of_source
) AS head ON true
""",
)

# The entries and the pages of the ready indexes that this transaction has read. Inside a transaction they only grow.
READ_SO_FAR = Statement(
    "read_so_far",
    f"""
SELECT pg_stat_get_xact_tuples_returned('job_ready'::regclass)
     + pg_stat_get_xact_tuples_returned('job_ready_of_source'::regclass) AS entries,
       {_PAGES_SO_FAR} AS pages
""",
)


class Heads(NamedTuple):
    """Where the ready jobs begin, and what PostgreSQL had to read to find that out.

    Attributes:
        cursors: the cursors right before the first ready job of each source and priority, and of each priority over
            all sources.
        dead: the entries that led to no job, so those of dead rows.
        pages: the most pages that were read for one of them. Entries that PostgreSQL knows to be dead are not among
            `dead`, but their pages are read until a vacuum has cleaned up the index.
    """

    cursors: list[ScanCursor]
    dead: int
    pages: int


async def heads(pool: Pool, sources: Iterable[str]) -> Heads:
    """The heads of the sources with available jobs, and what is dead in these `sources`, which may have none."""
    async with transaction(pool) as connection:
        [before] = await fetch(connection, READ_SO_FAR)
        rows = await fetch(connection, HEADS, list(sources))
        [after] = await fetch(connection, READ_SO_FAR)
    cursors = [
        ScanCursor(source=row["source"], priority=row["priority"], position=row["position"])
        for row in rows
        if row["priority"] is not None
    ]
    pages = [before["pages"], *(row["pages"] for row in rows), after["pages"]]
    return Heads(
        cursors,
        after["entries"] - before["entries"] - len(cursors),
        max(after - before for before, after in pairwise(pages)),
    )


AVAILABLE_SOURCES = Statement(
    "available_sources",
    """
SELECT source FROM tally
WHERE status = 'AVAILABLE' AND ($1::text[] IS NULL OR source = ANY($1))
GROUP BY source
HAVING sum(jobs) > 0
""",
)


async def available_sources(pool: Pool, sources: Sequence[str] | None) -> set[str]:
    """Which of these sources, of all when None, have available jobs, due or not. It reads no job, dead or alive."""
    return {row["source"] for row in await fetch(pool, AVAILABLE_SOURCES, sources)}
