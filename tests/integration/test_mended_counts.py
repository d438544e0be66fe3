"""Counts of volumes whose jobs a dump does not have: they are taken back, and no job is lost by that."""

import asyncio

import pytest

from boss.dispatch.history import History
from boss.postgres import store
from boss.postgres.connection import Pool, connected
from tests.helpers.volumes import assert_counts_are_right, done

COUNTED = """
INSERT INTO volume_tally VALUES ('job_done_1', 'lost', 7);
INSERT INTO tally VALUES ('lost', 'DONE', 7);
"""
IDS = [f"job-{number}" for number in range(5)]

pytestmark = pytest.mark.every_postgres


async def ids(pool: Pool) -> list[str]:
    return [row["id"] for row in await pool.fetch("SELECT id FROM job ORDER BY id")]


async def test_a_move_under_way_is_not_lost(pool: Pool) -> None:
    """Whoever takes the counts back sees the volume as empty, until the move of another replica commits."""
    await done(pool, *IDS)
    await pool.execute(COUNTED)
    async with pool.acquire() as other:
        moving = other.transaction()
        await moving.start()
        assert await other.fetchval("SELECT move_done('job_done_1', $1)", IDS) == 5
        assert await store.counted_empty(pool) == [1]
        await asyncio.wait_for(store.mend_volume(pool, 1), 30)
        await moving.commit()
    await store.mend_volume(pool, 1)
    assert await ids(pool) == IDS
    await assert_counts_are_right(pool)


async def test_they_are_taken_back_before_the_first_job_is_moved(pool: Pool) -> None:
    await pool.execute(COUNTED)
    await done(pool, *IDS)
    assert (await store.move_done(pool, 1, IDS)).jobs == 5
    await assert_counts_are_right(pool)
    assert await ids(pool) == IDS


async def test_replicas_that_start_at_once_lose_nothing(database: str, pool: Pool) -> None:
    await pool.execute(COUNTED)
    many = [f"many-{number:04}" for number in range(1200)]
    await done(pool, *many)
    async with connected(database) as one, connected(database) as another:
        for _ in range(5):
            await asyncio.gather(History(one, None, {}).keep(), History(another, None, {}).keep())
    assert await ids(pool) == many
    await assert_counts_are_right(pool)


async def test_a_trigger_that_breaks_for_one_job_holds_up_no_other(pool: Pool) -> None:
    await pool.execute(
        "CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN IF OLD.id = 'job-2' THEN PERFORM FROM missing; END IF; RETURN OLD; END $$;"
        "CREATE TRIGGER broken BEFORE DELETE ON job FOR EACH ROW EXECUTE FUNCTION broken()"
    )
    await done(pool, *IDS)
    moved = await store.move_done(pool, 1, IDS)
    assert (moved.jobs, list(moved.refused)) == (4, ["job-2"])
    assert "missing" in moved.refused["job-2"]
