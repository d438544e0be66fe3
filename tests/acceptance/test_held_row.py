"""A job that is locked in SQL delays requests for it, and those of the same kind, and no others."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import asyncpg
import httpx
import pytest

from tests.helpers.requests import submit
from tests.helpers.servers import BossProcess, boss_running

WAITS = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"


@pytest.fixture
async def by_hand(database: str) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    """A session of SQL."""
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


async def test_a_held_job_holds_up_nobody_else(database: str, by_hand: "asyncpg.Connection[asyncpg.Record]") -> None:
    with boss_running("--database", database) as boss, ThreadPoolExecutor(1) as threads:
        await asyncio.to_thread(take_one, boss, "held")
        transaction = by_hand.transaction()
        await transaction.start()
        await by_hand.execute("SELECT FROM job WHERE id = 'held' FOR UPDATE")
        done = threads.submit(httpx.post, f"{boss.url}/job/done/freg/held", timeout=60)
        other = await asyncpg.connect(database)
        while await other.fetchval(WAITS) == 0:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        for number in range(10):
            await asyncio.to_thread(take_one, boss, f"free-{number}")
            assert not done.done()
        # Nor does a read or a heartbeat of a job that is not locked.
        assert await asyncio.to_thread(head, boss, "free-3") == 200
        assert not done.done()
        await transaction.rollback()
        assert done.result().status_code == 200
        await other.close()


def take_one(boss: BossProcess, id: str) -> None:
    with boss.client() as client:
        submit(client, f"freg/{id}")
        assert client.get("/job/available/freg").json()["id"] == id


def head(boss: BossProcess, id: str) -> int:
    return httpx.head(f"{boss.url}/job/active/freg/{id}").status_code
