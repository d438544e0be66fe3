"""What the dashboard asks of the database."""

from boss.model.job import Submission, Take
from boss.postgres import store
from boss.postgres.connection import Pool


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
        lambda: store.failed(pool, 50),
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
