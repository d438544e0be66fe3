"""Ids stay unique over all tables, whoever submits them, and whenever done jobs are moved."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from boss.dispatch.history import History
from boss.model.job import Finish, Submission
from boss.postgres import store
from boss.postgres.connection import Pool
from tests.helpers.volumes import assert_counts_are_right, assert_each_id_is_there_once, moved, waits

pytestmark = pytest.mark.every_postgres

_INSERT = "INSERT INTO job (id, source, document) VALUES ('{}', 'freg', '{{}}')"
# A job that is done already, as an import by hand may bring it.
_IMPORT = """
INSERT INTO job (id, source, document, status, outcome, finished_at)
VALUES ('b', 'freg', '{"first": true}', 'DONE', 'completed', now() - interval '1 day')
"""
MakeDone = Callable[[Pool], Awaitable[None]]


async def submit(pool: Pool, *ids: str) -> set[str]:
    return await store.submit(pool, [Submission(id, "freg", "{}") for id in ids])


async def submit_and_finish(pool: Pool) -> None:
    assert await submit(pool, "b") == {"b"}
    await pool.execute("UPDATE job SET document = '{\"first\": true}' WHERE id = 'b'")
    assert await store.finish(pool, [Finish("b", "freg")]) == {"b"}


async def import_by_hand(pool: Pool) -> None:
    await pool.execute(_IMPORT)


async def finish_in_an_old_transaction(pool: Pool) -> None:
    """Its finished_at is from before whoever looks now."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("UPDATE job SET status = 'DONE' WHERE id = 'b'")
        await connection.execute("UPDATE job SET finished_at = now() - interval '1 hour' WHERE id = 'b'")


async def test_the_id_of_a_done_job_is_taken(pool: Pool) -> None:
    await moved(pool, "a")
    assert await submit(pool, "a", "b") == {"b"}
    # By the version before, or by hand.
    insert = "INSERT INTO job (id, source, document) VALUES ('a', 'freg', '{}'), ('c', 'freg', '{}')"
    assert await pool.execute(insert) == "INSERT 0 1"
    assert await pool.execute(f"{insert} ON CONFLICT (id) DO NOTHING") == "INSERT 0 0"
    await assert_each_id_is_there_once(pool)
    await assert_counts_are_right(pool)


@pytest.mark.parametrize("make_done", [submit_and_finish, import_by_hand])
@pytest.mark.parametrize("by_hand", [False, True])
async def test_an_id_that_is_done_while_a_submit_waits_is_taken(pool: Pool, make_done: MakeDone, by_hand: bool) -> None:
    """The submit has looked for its ids, waits for a lock, and would then store an id that a done job has by now."""
    async with pool.acquire() as other:
        transaction = other.transaction()
        await transaction.start()
        await other.execute(_INSERT.format("a"))
        both = f"{_INSERT.format('a')}, ('b', 'freg', '{{}}') ON CONFLICT DO NOTHING"
        submitting = asyncio.create_task(pool.execute(both) if by_hand else submit(pool, "a", "b"))
        await waits(pool, "INSERT INTO job%" if by_hand else "-- submit%")
        await make_done(pool)
        await History(pool, None, {}).keep()
        await transaction.commit()
    assert await submitting == ("INSERT 0 0" if by_hand else set())
    await assert_each_id_is_there_once(pool)
    assert await pool.fetchval("SELECT document FROM job WHERE id = 'b'") == '{"first": true}'
    await History(pool, None, {}).keep()
    assert [row["id"] for row in await pool.fetch("SELECT id FROM ONLY job")] == ["a"]
    await assert_counts_are_right(pool)


@pytest.mark.parametrize("isolation", ["REPEATABLE READ", "SERIALIZABLE"])
async def test_an_old_transaction_stores_no_id_of_a_done_job(pool: Pool, isolation: str) -> None:
    async with pool.acquire() as other:
        transaction = other.transaction()
        await transaction.start()
        await other.execute(f"SET TRANSACTION ISOLATION LEVEL {isolation}")
        await other.execute("SELECT FROM job")
        await submit_and_finish(pool)
        await History(pool, None, {}).keep()
        with pytest.raises((asyncpg.UniqueViolationError, asyncpg.SerializationError)):
            await other.execute(_INSERT.format("b"))
        await transaction.rollback()
    await assert_each_id_is_there_once(pool)


async def test_a_finish_by_hand_in_an_old_transaction_is_known_to_a_submit(pool: Pool) -> None:
    async with pool.acquire() as other:
        transaction = other.transaction()
        await transaction.start()
        await other.execute(_INSERT.format("a"))
        submitting = asyncio.create_task(submit(pool, "a", "b"))
        await waits(pool, "-- submit%")
        await pool.execute(_INSERT.format("b"))
        await finish_in_an_old_transaction(pool)
        await History(pool, None, {}).keep()
        await transaction.commit()
    assert await submitting == set()
    await assert_each_id_is_there_once(pool)


async def test_ids_are_unique_while_all_happens_at_once(pool: Pool) -> None:
    """Many submit the same ids, finish them, and move them into any volume; each id is new once and done once."""
    ids = [f"id-{number}" for number in range(300)]
    new: Counter[str] = Counter()
    finished: Counter[str] = Counter()

    async def submit_some() -> None:
        for _ in range(40):
            new.update(await submit(pool, *random.sample(ids, 10)))

    async def finish() -> None:
        for _ in range(40):
            finished.update(await store.finish(pool, [Finish(id, "freg") for id in random.sample(ids, 30)]))

    async def insert_by_hand() -> None:
        for id in random.sample(ids, 40):
            how = await pool.execute(f"{_INSERT.format(id)} ON CONFLICT DO NOTHING")
            new.update([id] * int(how.split()[2]))

    async def move(volume: int) -> None:
        for _ in range(60):
            await store.move_done(pool, volume, ids)

    await asyncio.gather(*(submit_some() for _ in range(3)), insert_by_hand(), finish(), finish(), move(1), move(2))
    await submit(pool, *ids)
    assert max(new.values()) == 1
    assert max(finished.values()) == 1
    await assert_each_id_is_there_once(pool)
    assert await pool.fetchval("SELECT count(*) FROM job") == len(ids)
    assert await pool.fetchval("SELECT count(*) FROM job WHERE status = 'DONE'") == len(finished)
    assert await pool.fetchval("SELECT count(*) FROM job_done_1") > 0
    await assert_counts_are_right(pool)
