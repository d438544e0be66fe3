"""Takes while an old transaction is open, so that PostgreSQL cannot clean up what they leave behind.

What a take walks over is counted by PostgreSQL itself, so nothing here depends on how fast the machine is.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import NamedTuple

import asyncpg
import pytest

from boss.dispatch.dispatcher import Dispatcher
from boss.dispatch.maintenance import reset_cursors
from boss.dispatch.scan_cursors import ScanCursors
from boss.dispatch.wait_queue import WaitQueue
from boss.errors import NoJob
from boss.model.job import GiveBack, Submission, Take, Taken
from boss.model.scan_cursor import ScanCursor
from boss.postgres import store
from boss.postgres.connection import Pool, connected
from boss.postgres.scan_cursors import HEADS
from tests.helpers.dispatchers import dispatcher_over
from tests.helpers.postgres import fill

pytestmark = pytest.mark.every_postgres

INDEXES = ("job_ready", "job_ready_of_source")


class Replica(NamedTuple):
    """A Boss without maintenance: the test resets the cursors."""

    pool: Pool
    cursors: ScanCursors
    dispatcher: Dispatcher

    @classmethod
    def of(cls, pool: Pool) -> "Replica":
        async def announce() -> bool:
            return False

        cursors = ScanCursors()
        return cls(pool, cursors, dispatcher_over(pool, WaitQueue(), cursors, announce))

    async def take(self, jobs: int = 1, source: str | None = None) -> list[Taken]:
        try:
            return await self.dispatcher.take(Take(source, jobs, 600))
        except NoJob:
            return []

    async def ids(self, jobs: int = 1, source: str | None = None) -> list[str]:
        return [taken.job.id for taken in await self.take(jobs, source)]


@pytest.fixture
async def old_transaction(database: str, pool: Pool) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    """Sees the table as it was before the test, as pg_dump would."""
    connection = await asyncpg.connect(database)
    await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    await connection.execute("SELECT FROM job LIMIT 1")
    yield connection
    await connection.close()


async def submit(pool: Pool, jobs: int, prefix: str, source: str = "freg", priority: int = 0) -> list[str]:
    ids = [f"{prefix}-{number:05}" for number in range(jobs)]
    await store.submit(pool, [Submission(id, source, "{}", priority) for id in ids])
    return ids


async def entries(pool: Pool) -> int:
    """How many entries of the ready indexes were ever read."""
    await pool.run("SELECT pg_stat_force_next_flush()", ())
    query = "SELECT sum(idx_tup_read)::bigint FROM pg_stat_user_indexes WHERE indexrelname = ANY($1)"
    [[read]] = await pool.run(query, [list(INDEXES)])
    return int(read)


@pytest.fixture
async def single(database: str) -> AsyncIterator[Pool]:
    """A pool of which one connection is used: its statistics are complete as soon as it flushes them."""
    async with connected(database) as pool:
        yield pool


@pytest.mark.parametrize("source", [None, "freg"])
async def test_a_take_past_marks_walks_over_nothing(
    old_transaction: object, pool: Pool, single: Pool, source: str | None
) -> None:
    boss = Replica.of(single)
    ids = await submit(pool, 12_000, "id")
    for _ in range(10):
        await boss.take(1000, source)
    await reset_cursors(single, boss.cursors)

    before = await entries(single)
    taken = [id for _ in range(10) for id in await boss.ids(10, source)]
    assert taken == ids[10_000:10_100]
    assert await entries(single) - before <= 100

    boss.cursors.reset(None)
    before = await entries(single)
    assert await boss.ids(10, source) == ids[10_100:10_110]
    assert await entries(single) - before >= 10_000, "without the cursors there would have been much to walk over"


async def test_there_are_no_marks_while_dead_rows_can_be_cleaned_up(pool: Pool) -> None:
    boss = Replica.of(pool)
    await submit(pool, 12_000, "id")
    for _ in range(10):
        await boss.take(1000)
    await reset_cursors(pool, boss.cursors)
    assert boss.cursors.for_sources([None, "freg"]) == []


async def test_marks_are_put_away_when_the_old_transaction_has_ended(
    old_transaction: "asyncpg.Connection[asyncpg.Record]", pool: Pool
) -> None:
    boss = Replica.of(pool)
    await submit(pool, 12_000, "id")
    for _ in range(10):
        await boss.take(1000)
    await reset_cursors(pool, boss.cursors)
    assert boss.cursors.for_sources([None]) == [ScanCursor(None, 0, 10_000)]
    await old_transaction.execute("COMMIT")
    await boss.take(1)
    await reset_cursors(pool, boss.cursors)
    assert boss.cursors.for_sources([None]) == []


async def test_the_order_past_marks_is_the_order_of_the_queue(pool: Pool) -> None:
    jobs = [
        Submission(f"id-{number:04}", f"source-{number % 3}", "{}", priority=number * 7 % 4 - 1)
        for number in range(3000)
    ]
    await store.submit(pool, jobs)
    boss = Replica.of(pool)
    boss.cursors.reset((await store.heads(pool, [])).cursors)
    assert {
        (cursor.source, cursor.priority)
        for cursor in boss.cursors.for_sources([None, "source-0", "source-1", "source-2"])
    } == {(source, priority) for source in (None, "source-0", "source-1", "source-2") for priority in (-1, 0, 1, 2)}
    left = sorted(jobs, key=lambda job: -job.priority)
    while left:
        for source in (None, "source-1", "source-2"):
            wanted = [job for job in left if source in (None, job.source)][:37]
            assert await boss.ids(37, source) == [job.id for job in wanted]
            left = [job for job in left if job not in wanted]


async def test_who_finds_nothing_past_the_marks_looks_from_the_start(pool: Pool) -> None:
    boss = Replica.of(pool)
    ids = await submit(pool, 10, "id")
    boss.cursors.reset([ScanCursor(None, 0, 5), ScanCursor("freg", 0, 7)])
    assert await boss.ids(100, "freg") == ids[7:]
    assert await boss.ids(1) == [ids[5]]
    assert await boss.ids(3) == [ids[6]]
    assert await boss.ids(3) == ids[:3]
    assert await boss.ids(10) == ids[3:5]
    assert await boss.ids(10) == []
    # A priority and a source that had no jobs when the cursors were put.
    await submit(pool, 1, "urgent", priority=9)
    await submit(pool, 1, "other", source="sirius")
    assert await boss.ids(1, "freg") == ["urgent-00000"]
    assert await boss.ids(1, "sirius") == ["other-00000"]


@pytest.mark.parametrize("source", [None, "freg"])
async def test_a_new_job_of_a_new_priority_comes_in_its_order_past_cursors(pool: Pool, source: str | None) -> None:
    boss = Replica.of(pool)
    ids = await submit(pool, 10, "id")
    boss.cursors.reset([ScanCursor(None, 0, 5), ScanCursor("freg", 0, 5)])
    for id, priority in (("later", -1), ("urgent", 9), ("next", 0)):
        await boss.dispatcher.submit(Submission(id, "freg", "{}", priority))
    assert await boss.ids(1, source) == ["urgent"]
    assert await boss.ids(7, source) == [*ids[5:], "next", "later"]


async def test_a_job_before_the_mark_comes_first_once_marks_are_put_again(old_transaction: object, pool: Pool) -> None:
    boss, other = Replica.of(pool), Replica.of(pool)
    ids = await submit(pool, 12_000, "id")
    for replica in (boss, other) * 5:
        await replica.take(1000)
    for replica in (boss, other):
        await reset_cursors(pool, replica.cursors)
    # Given back, of another replica's higher priority, and committed later than what came after it.
    await boss.dispatcher.give_back(GiveBack(ids[3], "freg", delay=0))
    await submit(pool, 1, "urgent", priority=9)
    await pool.execute("INSERT INTO job (id, source, document, position) VALUES ('late', 'freg', '{}', 2)")
    for replica, wanted in ((boss, ["urgent-00000", "late"]), (other, [ids[3], ids[10_004]])):
        await replica.take(2)
        await reset_cursors(pool, replica.cursors)
        assert await replica.ids(2) == wanted


async def test_a_take_under_way_while_marks_are_put_does_not_lead_past_them(pool: Pool) -> None:
    cursors = ScanCursors()
    cursors.reset([ScanCursor(None, 0, 50)])
    generation = cursors.generation
    [taken], *_ = await store.take(pool, [Take(None)])
    assert not taken
    ids = await submit(pool, 100, "id")
    [taken], *_ = await store.take(pool, [Take(None, 10)], cursors.for_sources([None]))
    cursors.reset([ScanCursor(None, 0, 2)])  # somebody saw a job that was given back
    cursors.advance(None, taken, generation)
    assert cursors.for_sources([None]) == [ScanCursor(None, 0, 2)]
    cursors.advance(None, taken, cursors.generation)
    assert cursors.for_sources([None]) == [ScanCursor(None, 0, 60)]
    assert [each.job.id for each in taken] == ids[50:60]


async def test_many_takers_past_marks_take_each_job_once(old_transaction: object, database: str, pool: Pool) -> None:
    jobs = 6000
    for part in range(3):
        await submit(pool, jobs // 3, f"id-{part}", f"source-{part}", priority=part)
    taken: Counter[str] = Counter()

    async with connected(database) as second:
        replicas = [Replica.of(pool), Replica.of(second)]

        async def put_often(replica: Replica) -> None:
            while taken.total() < jobs:
                cursors, *_ = await store.heads(replica.pool, [])
                replica.cursors.reset(cursors)
                await asyncio.sleep(0.02)

        async def go_on(number: int) -> None:
            while taken.total() < jobs:
                boss = replicas[number % 2]
                taken.update(await boss.ids(1 + number % 3, f"source-{number % 3}" if number % 4 else None))

        await asyncio.gather(*map(put_often, replicas), *(go_on(number) for number in range(24)))
    assert len(taken) == jobs
    assert taken.total() == jobs


async def test_the_heads_are_found_by_the_ready_indexes(pool: Pool) -> None:
    await fill(
        pool,
        "INSERT INTO job (id, source, document, priority) "
        "SELECT n, 'source-' || n % 10, '{}', n % 3 FROM generate_series(1, 30000) AS n",
    )
    await pool.execute("ANALYZE job")
    cursors, dead, _ = await store.heads(pool, [])
    assert len(cursors) == 3 + 10 * 3
    assert dead == 0
    assert "Seq Scan on job" not in "\n".join(row[0] for row in await pool.fetch(f"EXPLAIN {HEADS.sql}", []))
