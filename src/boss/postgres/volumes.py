"""Volumes: the tables that done jobs are moved into (0011_volumes.sql), and that are emptied at no cost.

Nothing says which jobs belong into which volume: each has those that were finished while it was the current one. All
that is known of it is read from its jobs.
"""

from typing import NamedTuple

from boss.postgres.connection import Connection, Pool, fetch, transaction
from boss.postgres.statement import VOLUMES, Statement, volume_table

# That of keep_volume (0011_volumes.sql), and one for moving.
_VOLUME_LOCK, _MOVE_LOCK = 0x626F7373, 0x626F7373_6D6F7665  # "boss", "bossmove"
# How long everybody else may have to wait for a volume that is being emptied.
_LOCK_TIMEOUT_MS = 100
# How long it may take to count the jobs of a volume, which nobody waits for: 10,000,000 take some seconds.
_COUNT_TIMEOUT_S = 600


class Volume(NamedTuple):
    """What a volume holds.

    Attributes:
        number: its number.
        is_empty: whether it has no jobs.
        first: how many seconds ago the first of its jobs was finished; None when it has none.
        last: how many seconds ago the last one was; None when it has none, or one without that time, as only SQL by
            hand makes them.
    """

    number: int
    is_empty: bool
    first: float | None
    last: float | None


_AGE = "(SELECT extract(epoch FROM now() - finished_at)::float8 FROM {} WHERE status = 'DONE' ORDER BY {} LIMIT 1)"


def _volume(number: int) -> str:
    table = volume_table(number)
    return (
        f"SELECT {number} AS number, NOT EXISTS (SELECT FROM {table}) AS is_empty,\n       "
        f"{_AGE.format(table, 'finished_at')} AS first,\n       {_AGE.format(table, 'finished_at DESC')} AS last"
    )


LIST_VOLUMES = Statement("volumes", "\nUNION ALL\n".join(map(_volume, VOLUMES)))


async def list_volumes(pool: Pool) -> list[Volume]:
    """What each volume holds."""
    return [Volume(**row) for row in await fetch(pool, LIST_VOLUMES)]


# Done jobs that no finish of this version has moved: those of the version before, failed or abandoned ones, and those
# by hand.
OLDEST_DONE = Statement(
    "oldest_done",
    f"""
SELECT {_AGE.format("ONLY job", "finished_at")} AS age
""",
)


async def oldest_done(pool: Pool) -> float | None:
    """How many seconds ago the first done job that is in no volume was finished; None when there is none."""
    [row] = await fetch(pool, OLDEST_DONE)
    age: float | None = row["age"]
    return age


# The most bytes of one statement that moves jobs, as they are stored, so that it takes a second at most.
_MOST_MOVED_BYTES = 8 * 1024 * 1024


def _move_statement(volume: int) -> Statement:
    # Here alone all columns are meant, also those of a later version.
    return Statement(
        "move_done",
        f"""
WITH turn AS MATERIALIZED (
    SELECT pg_try_advisory_xact_lock({_MOVE_LOCK}) AS ours
), old AS MATERIALIZED (
    SELECT id, finished_at, pg_column_size(document) + coalesce(pg_column_size(result), 0) AS bytes
    FROM ONLY job
    WHERE (SELECT ours FROM turn) AND status = 'DONE' AND finished_at <= now() - make_interval(secs => $2)
    ORDER BY finished_at
    LIMIT $1
    FOR UPDATE SKIP LOCKED
), sized AS MATERIALIZED (
    SELECT id, row_number() OVER oldest_first AS turn, sum(bytes) OVER oldest_first AS total
    FROM old
    WINDOW oldest_first AS (ORDER BY finished_at ROWS UNBOUNDED PRECEDING)
), moved AS (
    DELETE FROM ONLY job WHERE id = ANY(ARRAY(SELECT id FROM sized WHERE total <= {_MOST_MOVED_BYTES} OR turn = 1))
    RETURNING *
)
INSERT INTO {volume_table(volume)} SELECT * FROM moved
RETURNING id
""",
    )


MOVES = {volume: _move_statement(volume) for volume in VOLUMES}


async def move_done(pool: Pool, volume: int, age: float, limit: int) -> int:
    """Move done jobs that are so many seconds old into this volume, oldest first; return how many.

    These are at most `limit`, and fewer when they are large.

    One replica moves jobs at a time; others move none meanwhile.
    """
    return len(await fetch(pool, MOVES[volume], limit, age))


async def empty_volume(pool: Pool, volume: int, older: float) -> int:
    """Empty a volume if all of its jobs were done more than `older` seconds ago; return how many jobs that were.

    Others may read it meanwhile, and wait for `_LOCK_TIMEOUT_MS` at most.

    Raises:
        DatabaseAway: another session uses the volume for longer, such as a backup.
    """
    async with transaction(pool, _COUNT_TIMEOUT_S) as connection:
        return await _empty(connection, volume_table(volume), older)


# As for jobs that are deleted one by one (PRUNE_BY in maintenance.py).
RECORD_PRUNED = Statement(
    "record_pruned",
    """
WITH begun AS (
    INSERT INTO act (by, did, what)
    SELECT $3, 'pruned', jsonb_build_object('jobs', $1::bigint, 'older', $2::float8)
    WHERE $4::bigint IS NULL
    RETURNING number
), continued AS (
    UPDATE act SET what = what || jsonb_build_object('jobs', (what->>'jobs')::bigint + $1::bigint) WHERE number = $4
)
SELECT coalesce($4, (SELECT number FROM begun)) AS event
""",
)


async def empty_volume_by(
    pool: Pool, volume: int, older: float, by: str | None, event: int | None
) -> tuple[int, int | None]:
    """Like `empty_volume`, and record an audit event, as `prune_by` does."""
    async with transaction(pool, _COUNT_TIMEOUT_S) as connection:
        jobs = await _empty(connection, volume_table(volume), older)
        if jobs:
            [row] = await fetch(connection, RECORD_PRUNED, jobs, older, by, event)
            event = row["event"]
    return jobs, event


async def _empty(connection: Connection, table: str, older: float) -> int:
    await connection.execute(
        f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT_MS}ms'; SET LOCAL statement_timeout = '{_COUNT_TIMEOUT_S}s'"
    )
    # Whether the table can be locked at all is found out before its jobs are counted.
    lock = f"LOCK TABLE ONLY {table} IN ACCESS EXCLUSIVE MODE"
    await connection.execute(f"SAVEPOINT tried; {lock}; ROLLBACK TO tried")
    await connection.execute("SELECT pg_advisory_xact_lock($1, hashtext($2))", _VOLUME_LOCK, table)
    # From here on none of its jobs comes or goes.
    last = await connection.fetchval(f"SELECT {_AGE.format(table, 'finished_at DESC')}")
    if last is None or last <= older:
        return 0
    counted = await connection.fetch(
        f"INSERT INTO tally SELECT source, status, -count(*) FROM {table} GROUP BY source, status RETURNING jobs"
    )
    await connection.execute("SELECT set_config('boss.counted', $1, true)", table)
    await connection.execute(f"{lock}; TRUNCATE ONLY {table}")
    return -sum(int(row["jobs"]) for row in counted)
