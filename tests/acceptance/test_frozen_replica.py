"""A replica freezes while it holds a lock: PostgreSQL ends its session, and the others go on within ten seconds."""

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx
import pytest

from boss.postgres.source_limits import _LOCK
from tests.helpers.postgres import PostgresServer
from tests.helpers.servers import boss_running, until

pytestmark = pytest.mark.slow

MOST = 10.0

# What every replica does, whatever its statements are: Boss's own sessions and transactions.
IN_A_TRANSACTION = f"""
import asyncio, os, signal, sys
from boss.postgres.connection import connected, transaction

async def main():
    async with connected(sys.argv[1]) as pool, transaction(pool) as connection:
        await connection.execute("SELECT pg_advisory_xact_lock({_LOCK}, hashtext('freg'))")
        os.kill(os.getpid(), signal.SIGSTOP)
        await connection.execute("SELECT 1")

asyncio.run(main())
"""
# A statement with so much to say that it waits until somebody reads it.
READING = f"""
import asyncio, os, signal, sys
from boss.postgres.connection import connected, fetch
from boss.postgres.statement import Statement

async def main():
    async with connected(sys.argv[1]) as pool:
        lock = "pg_advisory_xact_lock({_LOCK}, hashtext('freg'))"
        big = f"SELECT {{lock}}, repeat('x', 1000000) FROM generate_series(1, 99)"
        reading = asyncio.create_task(fetch(pool, Statement("big", big)))
        await asyncio.sleep(0.05)
        os.kill(os.getpid(), signal.SIGSTOP)
        await reading

asyncio.run(main())
"""


@contextlib.contextmanager
def frozen(program: str, server: PostgresServer) -> Iterator["subprocess.Popen[str]"]:
    """A process that has frozen itself while it holds the lock for changing source limits."""
    process = subprocess.Popen([sys.executable, "-c", program, server.url], stderr=subprocess.PIPE, text=True)
    try:
        held = f"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid = {_LOCK}"
        until(lambda: int(server.sql(held)) == 1)
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.communicate()


def test_in_the_middle_of_a_transaction(server: PostgresServer) -> None:
    with boss_running("--database", server.url) as boss, frozen(IN_A_TRANSACTION, server) as process:
        others_go_on(boss.url)
        process.send_signal(signal.SIGCONT)
        _, said = process.communicate(timeout=60)
        assert "DatabaseAway" in said


def test_while_it_reads_an_answer(server: PostgresServer) -> None:
    with boss_running("--database", server.url) as boss, frozen(READING, server):
        others_go_on(boss.url)


def others_go_on(url: str) -> None:
    started = time.monotonic()
    until(lambda: httpx.put(f"{url}/source/freg", json={"limit": 5}, timeout=60).status_code == 200)
    assert time.monotonic() - started < MOST
