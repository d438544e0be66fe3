"""Volumes: the tables that done jobs are moved into (0013_volumes.sql), and that are emptied at no cost.

Nothing says which jobs belong into which volume. All that is known of one is read from its jobs.
"""

from collections.abc import Sequence
from typing import NamedTuple

from boss.postgres.connection import Pool, fetch
from boss.postgres.refusals import Applied, apply_to_each
from boss.postgres.retention import RECORD_PRUNED
from boss.postgres.statement import MOVE_LOCK, VOLUMES, Statement, volume_table


class Volume(NamedTuple):
    """What a volume holds.

    Attributes:
        number: its number.
        first: how many seconds ago the first of its jobs was finished; None when it has none.
        last: how many seconds ago the last one was; None when it has none.
    """

    number: int
    first: float | None
    last: float | None


_AGE = "extract(epoch FROM now() - finished_at)::float8"


def _volume(number: int) -> str:
    table = volume_table(number)
    ages = ",\n       ".join(
        f"(SELECT {_AGE} FROM {table} WHERE status = 'DONE' ORDER BY {order} LIMIT 1) AS {name}"
        for name, order in (("first", "finished_at"), ("last", "finished_at DESC"))
    )
    return f"SELECT {number} AS number, {ages}"


LIST_VOLUMES = Statement("volumes", "\nUNION ALL\n".join(map(_volume, VOLUMES)))


async def list_volumes(pool: Pool) -> list[Volume]:
    """What each volume holds."""
    return [Volume(**row) for row in await fetch(pool, LIST_VOLUMES)]


# TRUNCATE is seen by dumps that began before it, and what it does to the counts is not.
COUNTED_EMPTY = Statement(
    "counted_empty",
    "\nUNION ALL\n".join(
        f"SELECT {volume} AS number\n"
        f"WHERE NOT EXISTS (SELECT FROM {volume_table(volume)})\n"
        f"  AND EXISTS (SELECT FROM volume_tally WHERE volume = '{volume_table(volume)}'\n"
        "              GROUP BY source HAVING sum(jobs) <> 0)"
        for volume in VOLUMES
    ),
)


async def counted_empty(pool: Pool) -> list[int]:
    """The volumes that are counted to have jobs, and have none."""
    return [row["number"] for row in await fetch(pool, COUNTED_EMPTY)]


# Only SQL by hand makes such jobs. They are done from when they were first seen to be.
DATE_DONE = Statement(
    "date_done",
    """
UPDATE ONLY job SET finished_at = now()
WHERE id = ANY(ARRAY(SELECT id FROM ONLY job
                     WHERE status = 'DONE' AND finished_at IS NULL
                     ORDER BY finished_at
                     LIMIT $1
                     FOR UPDATE SKIP LOCKED))
""",
)


async def date_done(pool: Pool, limit: int) -> None:
    """Give at most `limit` done jobs that have no time of finishing the time of now."""
    await fetch(pool, DATE_DONE, limit)


class DoneJob(NamedTuple):
    """A done job that is in no volume: its id and source, and how many seconds ago it was finished."""

    id: str
    source: str
    age: float


# The most bytes of one statement that moves jobs, as they are stored, so that it takes a second at most.
MOST_MOVED_BYTES = 8 * 1024 * 1024
BYTES = "pg_column_size(document) + coalesce(pg_column_size(result), 0) + coalesce(pg_column_size(note), 0)"
OLDEST_DONE = Statement(
    "oldest_done",
    f"""
SELECT id, source, age
FROM (SELECT id, source, {_AGE} AS age, row_number() OVER oldest_first AS turn, sum(bytes) OVER oldest_first AS total
      FROM (SELECT id, source, finished_at, {BYTES} AS bytes
            FROM ONLY job
            WHERE status = 'DONE' AND id <> ALL ($2::text[])
            ORDER BY finished_at
            LIMIT $1) AS oldest
      WINDOW oldest_first AS (ORDER BY finished_at ROWS UNBOUNDED PRECEDING)) AS sized
WHERE age IS NOT NULL AND (total <= {MOST_MOVED_BYTES} OR turn = 1)
""",
)


async def oldest_done(pool: Pool, limit: int, but: Sequence[str]) -> list[DoneJob]:
    """The done jobs that are in no volume, but for these ids, oldest first: at most `limit`, and fewer large ones."""
    return [DoneJob(**row) for row in await fetch(pool, OLDEST_DONE, limit, but)]


MOVE_DONE = Statement(
    "move_done",
    """
SELECT move_done($1, $2::text[]) AS jobs
""",
)


async def move_done(pool: Pool, volume: int, ids: Sequence[str]) -> Applied:
    """Move these done jobs into a volume.

    Left where they are, until another time, are those that are locked, or that a transaction still knows as not done.
    So are all of them while another replica moves jobs.
    """

    async def move(some: Sequence[str]) -> int:
        [row] = await fetch(pool, MOVE_DONE, volume_table(volume), some)
        return int(row["jobs"])

    return await apply_to_each(move, ids)


MEND_VOLUME = Statement(
    "mend_volume",
    """
SELECT mend_volume($1)
""",
)


async def mend_volume(pool: Pool, volume: int) -> None:
    """Take back the counts of a volume that has no jobs, unless a replica moves jobs."""
    await fetch(pool, MEND_VOLUME, volume_table(volume))


# A volume is kept for as long as the rule of any source in it says. The rules are those of when the statement began, so
# it does not wait for whoever moves jobs. Jobs that are kept for longer may just have been moved into the last volume
# (gathering.py). It is not emptied while a snapshot is in use that does not show them there, such as that of a dump.
EMPTY_VOLUME = Statement(
    "empty_volume",
    f"""
WITH turn AS MATERIALIZED (
    SELECT pg_try_advisory_xact_lock({MOVE_LOCK}) AS ours
), unseen AS MATERIALIZED (
    SELECT FROM volume_tally
    WHERE volume = '{volume_table(VOLUMES[-1])}'
      AND EXISTS (SELECT FROM source_rule WHERE 24 * 3600 * keep_done > $2)
      AND age(xmin) BETWEEN 0 AND (
          SELECT max(age(backend_xmin)) FROM pg_stat_activity
          WHERE datname = current_database() AND usesysid IS NOT NULL AND pid <> pg_backend_pid())
)
SELECT CASE WHEN ours AND NOT EXISTS (SELECT FROM unseen) THEN empty_volume($1, greatest($2, 24 * 3600 * (
    SELECT max(keep_done) FROM source_rule
    WHERE keep_done IS NOT NULL
      AND EXISTS (SELECT FROM volume_tally WHERE volume = $1 AND volume_tally.source = source_rule.source
                  GROUP BY source HAVING sum(jobs) > 0)))) ELSE 0 END AS jobs
FROM turn
""",
)


async def empty_volume(pool: Pool, volume: int, older: float) -> int:
    """Empty a volume if all of its jobs were done more than `older` seconds ago; return how many jobs that were.

    Those of a source that keeps its done jobs for longer must be older than that. It is left while somebody moves jobs.

    Raises:
        DatabaseAway: another session uses the volume for longer than 100 ms, such as a backup.
    """
    [row] = await fetch(pool, EMPTY_VOLUME, volume_table(volume), older)
    return int(row["jobs"])


EMPTY_VOLUME_BY = Statement(
    "empty_volume_by",
    f"""
WITH counted AS MATERIALIZED (
    SELECT empty_volume($2, $1) AS jobs
){RECORD_PRUNED}
""",
)


async def empty_volume_by(
    pool: Pool, volume: int, older: float, by: str | None, event: int | None
) -> tuple[int, int | None]:
    """Like `empty_volume`, and record an audit event, as `prune_by` does."""
    [row] = await fetch(pool, EMPTY_VOLUME_BY, older, volume_table(volume), by, event)
    return row["jobs"], row["event"]


COMPACT_VOLUME_COUNTS = Statement(
    "compact_volume_counts",
    """
WITH turn AS MATERIALIZED (
    SELECT pg_try_advisory_xact_lock($1) AS ours
), compacted AS (
    DELETE FROM volume_tally
    USING (SELECT volume, source FROM volume_tally, turn WHERE ours GROUP BY volume, source HAVING count(*) > 1) AS many
    WHERE volume_tally.volume = many.volume AND volume_tally.source = many.source
    RETURNING volume_tally.volume, volume_tally.source, volume_tally.jobs
)
INSERT INTO volume_tally
SELECT volume, source, sum(jobs) FROM compacted GROUP BY volume, source HAVING sum(jobs) <> 0
""",
)
_COUNTS_LOCK = 0x626F7375


async def compact_volume_counts(pool: Pool) -> None:
    """Compact the ledger of the volumes to one row for each volume and source."""
    await fetch(pool, COMPACT_VOLUME_COUNTS, _COUNTS_LOCK)
