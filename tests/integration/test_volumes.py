"""Volumes: where done jobs are, and what holds for them as for all others."""

import asyncio
import json
import random

import pytest

from boss.dispatch.history import History
from boss.model.job import Check, Finish, State, Submission, Take
from boss.postgres import store
from boss.postgres.connection import Pool
from tests.helpers.volumes import assert_counts_are_right, done, moved, waits

pytestmark = pytest.mark.every_postgres

_LEFT = "SELECT id FROM ONLY job WHERE status = 'DONE' ORDER BY id"


async def left(pool: Pool) -> list[str]:
    return [row["id"] for row in await pool.fetch(_LEFT)]


async def test_a_done_job_keeps_all_that_it_had(pool: Pool) -> None:
    """Also what the users of the database have added, in whatever order a volume has it."""
    await pool.execute("ALTER TABLE job_done_1 ADD COLUMN first text")
    await pool.execute("ALTER TABLE job ADD COLUMN second text DEFAULT 'x'")
    await pool.execute("ALTER TABLE job ADD COLUMN first text")
    await pool.execute("ALTER TABLE job ADD COLUMN topic text GENERATED ALWAYS AS (document ->> 'topic') STORED")
    submitted = Submission("a", "freg", '{"topic": "t"}', priority=7, attempts=3, traceparent="00-1", by="anna")
    await store.submit(pool, [submitted._replace(document_bytes=8)])
    await store.take(pool, [Take(None, lease=60, key="k", by="bo")])
    await pool.execute("UPDATE job SET history = '[{\"attempt\": 1}]', first = 'one', second = 'two'")
    assert await store.finish(pool, [Finish("a", "freg", result='{"r": 2}', by="bo", result_bytes=8)]) == {"a"}
    before = dict(await pool.fetchrow("SELECT * FROM job") or {})
    assert await store.move_done(pool, 1, ["a"]) == (1, {})
    assert dict(await pool.fetchrow("SELECT * FROM job_done_1") or {}) == before
    assert before["topic"] == "t"
    assert await left(pool) == []
    await pool.execute("UPDATE job SET status = 'AVAILABLE'")
    assert dict(await pool.fetchrow("SELECT * FROM ONLY job") or {}) == before | {"status": "AVAILABLE"}
    await assert_counts_are_right(pool)


async def test_a_done_job_is_found_as_before(pool: Pool) -> None:
    await moved(pool, "a", "b", volume=2)
    await moved(pool, "c", volume=5)
    assert {id: found.state for id, found in (await store.locate(pool, ["a", "c", "x"])).items()} == {
        "a": State.DONE,
        "c": State.DONE,
    }
    assert (await store.check(pool, [Check("a", "freg")]))["a"].state is State.DONE
    assert await store.finish(pool, [Finish("a", "freg")]) == set()
    found = await store.find(pool, "b")
    assert found
    assert found.state is State.DONE
    for state in (None, State.DONE):
        assert [job.id for job in (await store.list_jobs(pool, state, None, None, 10)).jobs] == ["c", "b", "a"]
    assert await store.count(pool) == {("freg", State.AVAILABLE): 0, ("freg", State.DONE): 3}


async def test_all_that_is_done_is_moved(pool: Pool) -> None:
    document = json.dumps([random.random() for _ in range(500)])
    await store.submit(pool, [Submission(f"id-{number}", "freg", "{}") for number in range(30)])
    await store.submit(pool, [Submission(f"large-{number}", "freg", document) for number in range(3)])
    await pool.execute("UPDATE job SET status = 'DONE' WHERE id < 'id-2' OR id > 'l'")
    before = await pool.fetch("SELECT * FROM job ORDER BY id")
    await History(pool, None, {}).keep()
    assert await pool.fetch("SELECT * FROM job ORDER BY id") == before
    assert await left(pool) == []
    await assert_counts_are_right(pool)


async def test_a_done_job_without_a_time_is_done_from_now_on(pool: Pool) -> None:
    await pool.execute("INSERT INTO job (id, source, document, status) VALUES ('odd', 'freg', '{}', 'DONE')")
    await moved(pool, "a")
    await History(pool, None, {}).keep()
    assert await left(pool) == []
    assert await pool.fetchval("SELECT now() - finished_at < '1 minute' FROM job WHERE id = 'odd'")
    # So no volume is without a time.
    with pytest.raises(Exception, match="not-null"):
        await pool.execute("UPDATE job SET finished_at = NULL WHERE id = 'a'")


async def test_a_job_that_a_transaction_knows_as_not_done_is_not_moved(pool: Pool) -> None:
    await store.submit(pool, [Submission("a", "freg", "{}")])
    async with pool.acquire() as other:
        transaction = other.transaction(isolation="repeatable_read")
        await transaction.start()
        await other.execute("SELECT FROM job")
        assert await store.finish(pool, [Finish("a", "freg")]) == {"a"}
        await History(pool, None, {}).keep()
        assert await left(pool) == ["a"]
        await transaction.commit()
    await History(pool, None, {}).keep()
    assert await left(pool) == []


async def test_a_user_without_privileges_sees_such_a_transaction(pool: Pool) -> None:
    async with pool.acquire() as other, pool.acquire() as plain:
        role = await plain.fetchval("SELECT 'plain_' || replace(gen_random_uuid()::text, '-', '')")
        await plain.execute(f"CREATE ROLE {role}; GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}; SET ROLE {role}")
        transaction = other.transaction(isolation="repeatable_read")
        await transaction.start()
        await other.execute("SELECT FROM job")
        await done(pool, "a")
        assert await plain.fetchval("SELECT move_done('job_done_1', '{a}')") == 0
        await transaction.commit()
        assert await plain.fetchval("SELECT move_done('job_done_1', '{a}')") == 1
        await plain.execute(f"RESET ROLE; DROP OWNED BY {role}; DROP ROLE {role}")


async def test_a_job_that_somebody_has_locked_is_moved_later(pool: Pool) -> None:
    await done(pool, "a", "b")
    async with pool.acquire() as other, other.transaction():
        await other.execute("SELECT FROM job WHERE id = 'a' FOR UPDATE")
        await History(pool, None, {}).keep()
        assert await left(pool) == ["a"]
    await History(pool, None, {}).keep()
    assert await left(pool) == []


async def test_a_done_job_that_is_made_available_by_hand_can_be_taken(pool: Pool) -> None:
    await moved(pool, "a", "b")
    await pool.execute("UPDATE job SET status = 'AVAILABLE' WHERE id = 'a'")
    await assert_counts_are_right(pool)
    [[taken]] = (await store.take(pool, [Take(None)])).jobs
    assert taken.job.id == "a"
    assert await store.finish(pool, [Finish("a", "freg")]) == {"a"}
    assert await store.move_done(pool, 2, ["a"]) == (1, {})
    await assert_counts_are_right(pool)


async def test_done_jobs_that_are_changed_by_hand_are_counted(pool: Pool) -> None:
    await moved(pool, *"abcde")
    await moved(pool, *"fghij", volume=2)
    await pool.execute("UPDATE job SET source = 'other', document = '{\"x\": 1}' WHERE id IN ('a', 'f')")
    await pool.execute("DELETE FROM job WHERE id IN ('b', 'g')")
    await pool.execute("DELETE FROM job_done_2 WHERE id = 'h'")
    await assert_counts_are_right(pool)
    await store.compact_volume_counts(pool)
    await assert_counts_are_right(pool)


async def test_a_prune_takes_what_is_being_moved(pool: Pool) -> None:
    await done(pool, "a", "b")
    async with pool.acquire() as other:
        transaction = other.transaction()
        await transaction.start()
        assert await other.fetchval("SELECT move_done('job_done_1', '{a,b}')") == 2
        pruning = asyncio.create_task(store.prune_by(pool, -60, 10, None, None))
        await waits(pool, "SELECT pg_advisory_xact_lock%")
        await transaction.commit()
    assert (await pruning)[0] == 2
    assert await pool.fetch("SELECT FROM job") == []
    await assert_counts_are_right(pool)
