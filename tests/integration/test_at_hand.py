"""The connection that is always at hand: exclusive, renewed when it is lost, and cut off when nobody waits for it."""

import asyncio

import asyncpg
import pytest

from boss.errors import BadInput, DatabaseAway
from boss.postgres.connection import Pool, fetch
from boss.postgres.statement import Statement

PID = Statement("pid", "SELECT pg_backend_pid()")
SLEEP = Statement("sleep", "SELECT pg_backend_pid() FROM pg_sleep(60)")
REFUSED = Statement("refused", "SELECT '1e200000'::jsonb")
ASLEEP = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"


async def pid(pool: Pool) -> int:
    [[found]] = await fetch(pool, PID)
    return int(found)


async def until_asleep(pool: Pool, sessions: int) -> None:
    while await pool.fetchval(ASLEEP) != sessions:  # noqa: ASYNC110
        await asyncio.sleep(0.02)


async def test_statements_that_follow_each_other_share_it(pool: Pool) -> None:
    assert len({await pid(pool) for _ in range(20)}) == 1
    with pytest.raises(BadInput):
        await fetch(pool, REFUSED)
    assert len({await pid(pool) for _ in range(20)}) == 1
    assert pool.use() == (0, 2)  # that of the fixture's migration, and this


async def test_statements_at_once_have_a_connection_each(pool: Pool) -> None:
    first = await pid(pool)
    sleeping = asyncio.create_task(fetch(pool, SLEEP))
    await until_asleep(pool, 1)
    assert first not in {await pid(pool) for _ in range(3)}
    assert pool.use()[0] == 1
    sleeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sleeping
    # Not the server is asked to end it, which would be waited for: the connection is cut off.
    assert await pid(pool) != first
    assert pool.use()[0] == 0


async def test_one_that_was_lost_is_renewed(pool: Pool) -> None:
    first = await pid(pool)
    await pool.execute("SELECT pg_terminate_backend($1)", first)
    while pool.use()[1] > 1:  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    second = await pid(pool)
    assert second != first
    sleeping = asyncio.create_task(fetch(pool, SLEEP))
    await until_asleep(pool, 1)
    await pool.execute("SELECT pg_terminate_backend($1)", second)
    with pytest.raises(DatabaseAway):
        await sleeping
    assert await pid(pool) not in (first, second)


async def test_when_the_others_are_to_be_replaced_it_is_too(pool: Pool) -> None:
    first = await pid(pool)
    sleeping = asyncio.create_task(fetch(pool, SLEEP))
    await until_asleep(pool, 1)
    # At work it is left alone, for its own time to end.
    await pool.expire_connections()
    assert not sleeping.done()
    sleeping.cancel()
    await asyncio.gather(sleeping, return_exceptions=True)
    second = await pid(pool)
    await pool.expire_connections()
    assert await pid(pool) not in (first, second)


async def test_as_many_statements_as_come_share_ten_connections(pool: Pool, database: str) -> None:
    await asyncio.gather(*(pid(pool) for _ in range(200)))
    other = await asyncpg.connect(database)
    count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'boss'"
    assert await other.fetchval(count) <= 10
    await other.close()
