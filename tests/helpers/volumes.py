"""Done jobs for tests, and what holds wherever they are."""

import asyncio

import pytest

from boss.model.job import Finish, Submission
from boss.postgres import store
from boss.postgres.connection import Pool
from tests.helpers.servers import PATIENCE

COUNTED = "(SELECT source, status, sum(jobs) FROM tally GROUP BY 1, 2 HAVING sum(jobs) <> 0)"
FOUND = "(SELECT source, status, count(*) FROM job GROUP BY 1, 2)"
_COUNTED_IN_VOLUMES = "(SELECT volume, source, sum(jobs) FROM volume_tally GROUP BY 1, 2 HAVING sum(jobs) <> 0)"
_FOUND_IN_VOLUMES = """
(SELECT relname, source, count(*) FROM job JOIN pg_class ON pg_class.oid = job.tableoid
 WHERE relname <> 'job' GROUP BY 1, 2)
"""


async def assert_counts_are_right(pool: Pool) -> None:
    for counted, found in ((COUNTED, FOUND), (_COUNTED_IN_VOLUMES, _FOUND_IN_VOLUMES)):
        assert await pool.fetch(f"{counted} EXCEPT {found}") == []
        assert await pool.fetch(f"{found} EXCEPT {counted}") == []


async def assert_each_id_is_there_once(pool: Pool) -> None:
    assert await pool.fetch("SELECT id FROM job GROUP BY id HAVING count(*) > 1") == []


async def done(pool: Pool, *ids: str) -> None:
    """Submit jobs and finish them."""
    await store.submit(pool, [Submission(id, "freg", "{}") for id in ids])
    assert await store.finish(pool, [Finish(id, "freg") for id in ids]) == set(ids)


async def moved(pool: Pool, *ids: str, volume: int = 1) -> None:
    """Submit jobs, finish them, and move them into a volume."""
    await done(pool, *ids)
    assert await store.move_done(pool, volume, ids) == (len(ids), {})


async def waits(pool: Pool, statement: str) -> None:
    """Wait until a session waits for a lock in a statement like this."""
    found = (
        "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE $1"
    )
    for _ in range(int(PATIENCE * 100)):
        if await pool.fetch(found, statement):
            return
        await asyncio.sleep(0.01)
    pytest.fail(f"nobody waits in {statement}")
