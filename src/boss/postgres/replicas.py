"""Saying that takers wait here, so that arriving jobs are announced (the trigger announce_ready in 0002_lease.sql)."""

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
    """From now on jobs that become ready are announced on the channel; it lasts as long as the connection."""
    await fetch(listening, START)


async def stop_waiting(listening: Connection) -> None:
    """They need not be announced any more."""
    await fetch(listening, STOP)
