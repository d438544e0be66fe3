"""Takes where the head of the queue lies behind index pages on which every entry is dead, and known to be.

PostgreSQL skips such entries without counting them, but reads their pages until a vacuum cleans up the index. Beside a
long history it seldom does. What a take reads is counted by PostgreSQL itself.
"""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from boss.dispatch.handouts import Handouts
from boss.dispatch.maintenance import reset_cursors
from boss.dispatch.scan_cursors import ScanCursors
from boss.model.job import Submission, Take, Taken
from boss.postgres import store
from boss.postgres.connection import Pool, connected
from tests.helpers.dispatchers import no_limits
from tests.helpers.postgres import fill

# A long name, so that few entries fill a page.
SOURCE = "s" * 100
JOBS = 30_000
_SUBMIT = f"""
INSERT INTO job (id, source, document) SELECT 'old-' || n, '{SOURCE}', '{{}}' FROM generate_series(1, {JOBS}) AS n
"""
_TAKE = f"UPDATE job SET status = 'ACTIVE', attempt = 1 WHERE source = '{SOURCE}'"
_FINISH = f"UPDATE job SET status = 'DONE', finished_at = now() WHERE source = '{SOURCE}'"
# Beside them the dead rows of 3,000 jobs lie on less than 2% of the pages.
_HISTORY = """
INSERT INTO job (id, source, document, status, finished_at)
SELECT 'done-' || n, 'freg', jsonb_build_object('payload', repeat('x', 300)), 'DONE', now()
FROM generate_series(1, 100000) AS n
"""
# What leaves dead entries behind: no vacuum, one that skips the indexes, and a long transaction, even after its end.
CAUSES = ["autovacuum is off", "index cleanup is bypassed", "a long transaction ended"]


class Replica:
    """A Boss without maintenance: the test resets the cursors."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.cursors = ScanCursors()
        self._handouts = Handouts(pool, self.cursors, no_limits(pool))

    async def take(self, source: str | None) -> list[Taken]:
        serve = self._handouts.of_any if source is None else self._handouts.of_sources
        [jobs] = await serve([Take(source)])
        assert not isinstance(jobs, Exception)
        return jobs

    async def reset(self) -> None:
        await reset_cursors(self.pool, self.cursors)

    async def pages_of(self, source: str | None, takes: int = 1) -> int:
        """How many pages of the ready indexes so many takes read."""
        before = await pages(self.pool)
        for _ in range(takes):
            await self.take(source)
        return await pages(self.pool) - before


async def pages(pool: Pool) -> int:
    """How many pages of the ready indexes were ever read."""
    await pool.run("SELECT pg_stat_force_next_flush()", ())
    query = (
        "SELECT sum(idx_blks_read + idx_blks_hit)::bigint FROM pg_statio_user_indexes "
        "WHERE indexrelname IN ('job_ready', 'job_ready_of_source')"
    )
    [[read]] = await pool.run(query, [])
    return int(read)


@pytest.fixture
async def boss(pool: Pool, database: str, cause: str) -> AsyncIterator[Replica]:
    """A replica whose queue has lost its first jobs, in this way."""
    await pool.execute("ALTER TABLE job SET (autovacuum_enabled = off)")
    # The oldest job of all, so that a take from any source has nothing to walk over.
    await store.submit(pool, [Submission("oldest", "other", "{}")])
    long: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(database)
    if cause == "a long transaction ended":
        await long.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        await long.execute("SELECT FROM job LIMIT 1")
    for statement in (_SUBMIT, _TAKE, _FINISH):
        await fill(pool, statement)
    await long.close()
    if cause == "index cleanup is bypassed":
        async with pool.acquire() as connection:
            await connection.execute("VACUUM (INDEX_CLEANUP OFF) job")
    # Of one connection: its statistics are complete as soon as it flushes them.
    async with connected(database) as single:
        replica = Replica(single)
        await replica.take(SOURCE)  # PostgreSQL notes which entries are dead
        yield replica


@pytest.mark.parametrize("cause", CAUSES)
async def test_a_take_walks_over_no_dead_pages(boss: Replica) -> None:
    await store.submit(boss.pool, [Submission(f"new-{number:02}", SOURCE, "{}") for number in range(40)])
    assert await boss.pages_of(SOURCE) > 300
    await boss.reset()
    assert await boss.pages_of(SOURCE, takes=10) < 100
    assert [taken.job.id for taken in await boss.take(SOURCE)] == ["new-11"]
    assert [taken.job.id for taken in await boss.take(None)] == ["oldest"]


@pytest.mark.parametrize("cause", CAUSES)
async def test_a_take_from_a_source_without_jobs_walks_over_no_dead_pages(boss: Replica) -> None:
    assert await boss.pages_of(SOURCE) > 300
    await boss.reset()
    assert await boss.pages_of(SOURCE, takes=10) == 0
    await store.submit(boss.pool, [Submission("new", SOURCE, "{}")])
    assert [taken.job.id for taken in await boss.take(SOURCE)] == ["new"]


@pytest.mark.parametrize("cause", CAUSES[:1])
async def test_takes_search_from_the_start_again_once_the_index_is_clean(boss: Replica) -> None:
    await boss.reset()
    assert boss.cursors.needed
    async with boss.pool.acquire() as connection:
        await connection.execute("VACUUM (INDEX_CLEANUP ON) job")
    await boss.take(SOURCE)
    await boss.reset()
    assert not boss.cursors.needed


async def test_a_vacuum_cleans_up_the_indexes_however_few_rows_are_dead(pool: Pool, database: str) -> None:
    """By itself PostgreSQL skips the indexes while less than 2% of the pages have dead rows."""
    await pool.execute("ALTER TABLE job SET (autovacuum_enabled = off)")
    await fill(pool, _HISTORY)
    await pool.execute("VACUUM job")
    await store.submit(pool, [Submission(f"job-{number:04}", SOURCE, "{}") for number in range(3000)])
    await store.take_of_sources(pool, [Take(SOURCE, 3000)])
    async with connected(database) as single:
        boss = Replica(single)
        await boss.take(SOURCE)
        assert await boss.pages_of(SOURCE) > 40
        await pool.execute("VACUUM job")
        await boss.take(SOURCE)
        assert await boss.pages_of(SOURCE) < 10
