"""Listening replicas: while takers wait on one, jobs are announced (the trigger announce_ready in 0002_lease.sql)."""

from boss.postgres.connection import Connection, fetch
from boss.postgres.statement import Statement

CHANNEL = "boss_ready"

START = Statement(
    "start_waiting",
    """
INSERT INTO waiting VALUES (pg_backend_pid()) ON CONFLICT DO NOTHING
""",
)
STOP = Statement(
    "stop_waiting",
    """
DELETE FROM waiting WHERE pid = pg_backend_pid()
""",
)


async def start_waiting(listening: Connection) -> None:
    """Record that takers wait on this replica: jobs are announced from now on, as long as the connection lasts."""
    await fetch(listening, START)


async def stop_waiting(listening: Connection) -> None:
    """Record that no taker waits on this replica, so that jobs need not be announced for it."""
    await fetch(listening, STOP)
