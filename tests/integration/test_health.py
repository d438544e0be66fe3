"""What the database says of itself."""

import asyncpg
import pytest

from boss.model.job import Submission, Take
from boss.postgres import store
from boss.postgres.connection import Pool


async def test_a_healthy_one(pool: Pool) -> None:
    facts = await store.examine(pool)
    assert facts.settings == []
    assert (facts.live, facts.ages, facts.active, facts.expired, facts.late) == (0, [], None, None, None)
    assert facts.bytes > 0


async def test_an_open_transaction(pool: Pool, database: str) -> None:
    other = await asyncpg.connect(database, server_settings={"application_name": "a report"})
    try:
        await other.execute("BEGIN")
        facts = await store.examine(pool)
        assert facts.transaction is not None
        assert 0 <= facts.transaction < 60
        assert f"process {other.get_server_pid()} (" in facts.transaction_of
        assert "a report, idle in transaction" in facts.transaction_of
    finally:
        await other.close()


async def test_jobs_that_wait_and_leases_that_are_over(pool: Pool) -> None:
    await store.submit(pool, [Submission(id, source, "{}") for id, source in (("1", "a"), ("2", "a"), ("3", "b"))])
    [[taken]], *_ = await store.take_of_sources(pool, [Take("a")])
    assert taken.job.id == "1"
    await pool.execute("UPDATE job SET taken_at = now() - interval '1 hour' WHERE id = '1'")
    await pool.execute("UPDATE job SET lease_until = now() - interval '1 minute' WHERE id = '1'")
    await pool.execute("UPDATE job SET submitted_at = now() - interval '2 hours' WHERE id = '2'")
    await store.submit(pool, [Submission("4", "c", "{}", delay=100)])
    await pool.execute("UPDATE job SET due_at = now() - interval '3 minutes' WHERE id = '4'")
    facts = await store.examine(pool)
    assert facts.live == 4
    ages = {each.source: each[1:] for each in facts.ages}
    assert ages["c"] == (None, None)
    assert ages["b"][1] is None
    assert facts.active_at == "/job/active/a/1"
    found = [*ages["a"], facts.active, facts.expired, facts.late]
    assert found == pytest.approx([7200, 3600, 3600, 60, 180], abs=30)


async def test_settings_that_lose_answers(pool: Pool) -> None:
    async with pool.acquire() as connection:
        await connection.execute("ALTER SYSTEM SET full_page_writes = off")
        try:
            await connection.execute("SELECT pg_reload_conf()")
            await connection.execute("SELECT pg_sleep(0.2)")
            assert (await store.examine(pool)).settings == ["full_page_writes is off"]
        finally:
            await connection.execute("ALTER SYSTEM RESET full_page_writes")
            await connection.execute("SELECT pg_reload_conf()")
