"""Takers that wait, and the announcements that wake them, on a real PostgreSQL. No maintenance runs to help out."""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

import asyncpg
import pytest

from boss.dispatch.dispatcher import Dispatcher
from boss.dispatch.notifications import NotificationListener
from boss.dispatch.scan_cursors import ScanCursors
from boss.dispatch.wait_queue import WaitQueue
from boss.errors import Draining, NoJob
from boss.model.job import DEFAULT_ATTEMPTS, Finish, GiveBack, State, Submission, Take, Taken
from boss.postgres import store
from boss.postgres.connection import Pool, connected
from tests.helpers.dispatchers import dispatcher_over
from tests.helpers.servers import PATIENCE

pytestmark = pytest.mark.every_postgres


class Replica(NamedTuple):
    """The parts of one Boss that have to do with waiting."""

    pool: Pool
    wait_queue: WaitQueue
    dispatcher: Dispatcher
    looked: list[bool]

    def wait(self, source: str | None = "freg", limit: int = 1, key: str | None = None) -> "asyncio.Task[list[Taken]]":
        return asyncio.create_task(self.dispatcher.take(Take(source, limit, 60, key), PATIENCE))


@contextlib.asynccontextmanager
async def replica(database: str) -> AsyncIterator[Replica]:
    looked: list[bool] = []
    line = WaitQueue()
    async with connected(database) as pool:
        listener = NotificationListener(database, line, lambda _: None, lambda: looked.append(True))
        listening = asyncio.create_task(listener.run())
        await until(lambda: bool(looked))
        yield Replica(pool, line, dispatcher_over(pool, line, ScanCursors(), listener.start), looked)
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


@pytest.fixture
async def replicas(database: str, pool: Pool) -> AsyncIterator[tuple[Replica, Replica]]:
    async with replica(database) as one, replica(database) as other:
        yield one, other


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def asleep(replica: Replica, jobs: int) -> None:
    await until(lambda: replica.wait_queue.demand().total() == jobs)


async def test_a_job_wakes_a_taker_on_the_other_replica(replicas: tuple[Replica, Replica]) -> None:
    one, other = replicas
    for number in range(20):
        taker = other.wait()
        await asleep(other, 1)
        await one.dispatcher.submit(Submission(f"id-{number}", "freg", "{}"))
        [taken] = await taker
        assert taken.job.id == f"id-{number}"


async def test_the_oldest_is_served_first(replicas: tuple[Replica, Replica]) -> None:
    one, other = replicas
    takers = []
    for number in range(30):
        takers.append(other.wait(None if number % 3 == 0 else "freg", key="k" if number == 7 else None))
        await asleep(other, number + 1)
    for number in range(30):
        await one.dispatcher.submit(Submission(f"id-{number}", "freg", "{}"))
        [taken] = await takers[number]
        assert taken.job.id == f"id-{number}"
        assert not any(taker.done() for taker in takers[number + 1 :])


async def test_whatever_makes_a_job_ready_wakes_a_taker(replicas: tuple[Replica, Replica]) -> None:
    one, other = replicas

    async def by_hand() -> None:
        await one.pool.execute("INSERT INTO job (id, source, document) VALUES ('hand', 'freg', '{}')")

    async def given_back() -> None:
        assert await one.dispatcher.give_back(GiveBack("hand", "freg", delay=0)) is State.AVAILABLE

    async def silent() -> None:
        await one.pool.execute("UPDATE job SET lease_until = now()")
        assert len(await store.end_leases(one.pool, 10, math.inf)) == 1

    async def due() -> None:
        await one.dispatcher.give_back(GiveBack("hand", "freg", delay=60))
        await one.pool.execute("UPDATE job SET due_at = now()")
        assert await store.make_due(one.pool, 10) == 1

    for attempt, happens in enumerate((by_hand, given_back, silent, due), start=1):
        taker = other.wait()
        await asleep(other, 1)
        await happens()
        [taken] = await taker
        assert taken.job.attempt == attempt


async def test_many_jobs_in_one_statement_wake_as_many(replicas: tuple[Replica, Replica]) -> None:
    one, other = replicas
    takers = [other.wait(source) for source in ["freg", "other", None] * 10]
    await asleep(other, 30)
    await one.dispatcher.submit_many([Submission(f"f-{n}", "freg", "{}") for n in range(16)])
    await until(lambda: sum(taker.done() for taker in takers) == 16)
    await one.dispatcher.submit_many([Submission(f"o-{n}", "other", "{}") for n in range(12)])
    await until(lambda: sum(taker.done() for taker in takers) == 28)
    await one.dispatcher.submit_many([Submission(f"g-{n}", "freg", "{}") for n in range(2)])
    taken = [job.job.id for taker in takers for job in await taker]
    assert len(set(taken)) == 30


async def test_more_sources_than_a_notification_can_carry(replicas: tuple[Replica, Replica]) -> None:
    one, other = replicas
    taker = other.wait("source-7" + "x" * 80)
    await asleep(other, 1)
    looked = len(other.looked)
    await one.dispatcher.submit_many([Submission(f"{n}", f"source-{n}" + "x" * 80, "{}") for n in range(300)])
    await until(lambda: len(other.looked) > looked)
    # Then maintenance finds the jobs.
    ready = (await store.pending_work(other.pool, other.wait_queue.demand())).ready
    assert ready is not None
    other.wait_queue.announce({"source-7" + "x" * 80: 1})
    assert [each.job.id for each in await taker] == ["7"]


async def test_nothing_is_announced_while_nobody_waits(replicas: tuple[Replica, Replica], database: str) -> None:
    one, _ = replicas
    heard: list[object] = []
    connection = await asyncpg.connect(database)
    await connection.add_listener(store.CHANNEL, lambda *message: heard.append(message[3]))
    for number in range(50):
        await one.dispatcher.submit(Submission(f"a-{number}", "freg", "{}"))
        await one.dispatcher.take(Take("freg"))
        await one.dispatcher.finish(Finish(f"a-{number}", "freg"))
    await connection.execute("NOTIFY boss_ready, 'end'")
    await until(lambda: "end" in heard)
    assert heard == ["end"]
    taker = one.wait()
    await asleep(one, 1)
    # Fifty in one statement are announced once.
    await one.dispatcher.submit_many([Submission(f"b-{number}", "freg", "{}") for number in range(50)])
    await taker
    await connection.execute("NOTIFY boss_ready, 'end again'")
    await until(lambda: "end again" in heard)
    assert heard == ["end", '{ "freg" : 50 }', "end again"]
    await connection.close()


async def test_a_lost_connection_is_made_anew_and_the_takers_wait_on(replicas: tuple[Replica, Replica]) -> None:
    one, other = replicas
    taker = other.wait()
    await asleep(other, 1)
    looked = len(other.looked)
    await one.pool.execute("SELECT pg_terminate_backend(pid) FROM waiting")
    await until(lambda: len(other.looked) > looked)
    assert not taker.done()
    await one.dispatcher.submit(Submission("a", "freg", "{}"))
    [taken] = await taker
    assert taken.job.id == "a"


async def test_a_replica_that_has_died_is_forgotten(database: str, pool: Pool) -> None:
    async with replica(database) as one:
        taker = one.wait()
        await asleep(one, 1)
        assert not (await store.pending_work(pool, {})).stale
        taker.cancel()
    async with asyncio.timeout(PATIENCE):
        while not (await store.pending_work(pool, {})).stale:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await store.forget_gone_replicas(pool)
    assert await pool.fetchval("SELECT count(*) FROM waiting") == 0


async def test_a_taker_that_leaves_costs_no_job(replicas: tuple[Replica, Replica]) -> None:
    """Cancelled at every moment there is: each job is held by a taker who knows of it, or it is available."""
    one, other = replicas
    await one.dispatcher.submit_many([Submission(f"id-{number}", "freg", "{}") for number in range(900)])
    takers: list[asyncio.Task[list[Taken]]] = []
    for number in range(900):
        if number % 3 == 0:
            takers.append(asyncio.create_task(one.dispatcher.take(Take("freg"))))
        else:
            takers.append(other.wait("freg" if number % 2 else None, key=f"{number}" if number % 7 == 0 else None))
        if number % 2:
            for _ in range(number % 23):
                await asyncio.sleep(0)
            takers[number - number % 5].cancel()
    for taker in takers:
        if not taker.done():
            taker.cancel()
    answers = await asyncio.gather(*takers, return_exceptions=True)
    for each in replicas:
        await each.dispatcher.settle()
    held = [taken.job.id for answer in answers if isinstance(answer, list) for taken in answer]
    active = {row["id"] for row in await one.pool.fetch("SELECT id FROM job WHERE status = 'ACTIVE'")}
    assert len(held) == len(set(held))
    assert set(held) == active
    rest = await one.dispatcher.take(Take("freg", 1000))
    assert {taken.job.id for taken in rest} == {f"id-{number}" for number in range(900)} - active
    # However often a job was taken for somebody who had gone: that counts for nothing, but no number comes twice.
    counted = await one.pool.fetch("SELECT attempts - attempt AS left FROM job WHERE status = 'ACTIVE'")
    assert {row["left"] for row in counted} == {DEFAULT_ATTEMPTS - 1}


async def test_nobody_comes_and_everybody_is_sent_away(replicas: tuple[Replica, Replica]) -> None:
    one, _ = replicas
    with pytest.raises(NoJob, match="no job of freg is ready"):
        await one.dispatcher.take(Take("freg"), 0.05)
    takers = [one.wait(source) for source in ("freg", None)]
    await asleep(one, 2)
    one.dispatcher.send_away()
    for taker in takers:
        with pytest.raises(Draining):
            await taker
