"""What the dashboard asks of the database."""

import asyncio
from datetime import timedelta

from boss.model.job import Finish, Submission, Take
from boss.postgres import store
from boss.postgres.connection import Pool


async def test_a_minute_is_counted_once(pool: Pool) -> None:
    await store.submit(pool, [Submission(f"{source}-{n}", source, "{}") for source in ("a", "b") for n in range(10)])
    await store.take(pool, [Take(None, 20)])
    await store.finish(pool, [Finish(f"a-{n}", "a") for n in range(10)] + [Finish(f"b-{n}", "b") for n in range(5)])
    await pool.execute("UPDATE job SET finished_at = date_trunc('minute', now() - interval '2 s') - interval '30 s'")
    await pool.execute("UPDATE job SET taken_at = submitted_at + interval '4 s' WHERE source = 'a'")
    await pool.execute("UPDATE job SET taken_at = submitted_at + interval '9 s', attempt = 2 WHERE source = 'b'")
    await pool.execute("UPDATE job SET status = 'ACTIVE', finished_at = NULL WHERE source = 'b' AND id > 'b-4'")
    await asyncio.gather(*(store.count_minute(pool) for _ in range(4)))
    await store.count_minute(pool)
    hours = {hour.source: hour for hour in await store.hour(pool, 10)}
    assert {source: (hour.finished, hour.waited) for source, hour in hours.items()} == {
        "": ([15], [4.0]),
        "a": ([10], [4.0]),
        "b": ([5], [None]),
    }
    await pool.execute("UPDATE throughput SET minute = minute - interval '70 minutes'")
    await pool.execute("UPDATE job SET finished_at = now() WHERE finished_at IS NOT NULL")
    await store.count_minute(pool)
    assert [hour[0::2] for hour in await store.hour(pool, 10)] == [("", [0])]
    assert await pool.fetchval("SELECT count(*) FROM throughput") == 1
    [minute] = (await store.hour(pool, 10))[0].minutes
    assert minute.second == 0
    assert timedelta(0) < await pool.fetchval("SELECT now()") - minute < timedelta(minutes=3)


async def test_plans_do_not_read_history(pool: Pool) -> None:
    """Everything goes by an index: none of it may read jobs that have nothing to do with the answer."""
    await pool.execute(
        "INSERT INTO job (id, source, document, status, finished_at, outcome, attempt) "
        "SELECT 'done-' || n, 'a', '{}', 'DONE', now() - interval '1 day', 'completed', 1 "
        "FROM generate_series(1, 20000) AS n"
    )
    await store.submit(pool, [Submission(f"a-{n}", "a", "{}", priority=n % 3) for n in range(3000)])
    await pool.execute("ANALYZE job")
    read = "SELECT coalesce(sum(idx_tup_read), 0) FROM pg_stat_user_indexes WHERE relname = 'job'"
    for ask in (
        lambda: store.active(pool, 50),
        lambda: store.failed(pool, 50),
        lambda: store.count_minute(pool),
        lambda: store.ages(pool),
        lambda: store.examine(pool),
        lambda: store.place_in_queue(pool, "a-0", 100),
    ):
        async with pool.acquire() as connection:
            await connection.execute("SELECT pg_stat_force_next_flush()")
        before = await pool.fetchval(read)
        await ask()
        for connection in [await pool.acquire() for _ in range(pool.get_size())]:
            await connection.execute("SELECT pg_stat_force_next_flush()")
            await pool.release(connection)
        assert await pool.fetchval(read) - before < 1000


async def test_the_place_in_the_queue(pool: Pool) -> None:
    jobs = [Submission(f"a-{n}", "a", "{}", priority=n % 2) for n in range(10)]
    await store.submit(pool, [*jobs, Submission("b-0", "b", "{}", priority=9)])
    assert await store.place_in_queue(pool, "a-1", 100) == (0, 0)
    assert await store.place_in_queue(pool, "a-9", 100) == (4, 0)
    assert await store.place_in_queue(pool, "a-0", 100) == (5, 0)
    assert await store.place_in_queue(pool, "a-8", 100) == (9, 0)
    assert await store.place_in_queue(pool, "a-8", 5) == (5, 0)
    await store.take_of_sources(pool, [Take("a", 3)])
    assert await store.place_in_queue(pool, "a-8", 100) == (6, 3)
    assert await store.place_in_queue(pool, "none", 100) == (0, 0)
