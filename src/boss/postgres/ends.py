"""Jobs whose end somebody waits for: the trigger announce_ready announces it (0011_ends.sql)."""

from collections.abc import Mapping

from boss.postgres.connection import Pool, fetch
from boss.postgres.statement import Statement

ENDED_CHANNEL = "boss_ended"

# In order of id, so that two replicas with the same jobs lock them in the same order.
AWAIT_ENDS = Statement(
    "await_ends",
    """
INSERT INTO awaited (id, until)
SELECT id, now() + make_interval(secs => seconds)
FROM unnest($1::text[], $2::float8[]) AS asked(id, seconds)
ORDER BY id
ON CONFLICT (id) DO UPDATE SET until = excluded.until WHERE awaited.until < excluded.until
""",
)


async def await_ends(pool: Pool, seconds: Mapping[str, float]) -> None:
    """Let the end of each of these jobs be announced for so many seconds."""
    await fetch(pool, AWAIT_ENDS, list(seconds), list(seconds.values()))


# What another replica has just locked is waited for again.
FORGET_AWAITED = Statement(
    "forget_awaited",
    """
WITH over AS MATERIALIZED (SELECT id FROM awaited WHERE until < now() FOR UPDATE SKIP LOCKED)
DELETE FROM awaited WHERE id = ANY(ARRAY(SELECT id FROM over))
""",
)


async def forget_awaited(pool: Pool) -> None:
    """Delete the records of jobs that nobody waits for any more."""
    await fetch(pool, FORGET_AWAITED)
