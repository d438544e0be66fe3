"""The statements on a real PostgreSQL: what plan serves them, and what they promise one another."""

import asyncio
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from boss import store
from boss.database import Pool, connected
from boss.job import Finish, State, Submission

DESIGNS_OWN_TAKE = """
UPDATE job
SET status = 'ACTIVE'
WHERE id =
    (SELECT id FROM job WHERE status = 'AVAILABLE' ORDER BY id LIMIT 1)
RETURNING *
"""


async def plan(pool: Pool, statement: str, *values: object) -> list[dict[str, Any]]:
    """The nodes of the plan by which PostgreSQL would run a statement in one of our sessions."""
    async with pool.acquire() as connection:
        prepared = await connection.prepare(statement)
        nodes = [prepared_plan["Plan"] for prepared_plan in await prepared.explain(*values)]
    for node in nodes:
        nodes.extend(node.get("Plans", ()))
    return nodes


@pytest.fixture
async def large(pool: Pool) -> Pool:
    """200,000 done jobs, with 1,000 available ones behind them."""
    await pool.execute(
        "INSERT INTO job (id, status, source, document, attempt, finished_at) "
        "SELECT 'done-' || n, 'DONE', 'source-' || n % 5, '{}', 1, now() FROM generate_series(1, 200000) AS n"
    )
    await pool.execute(
        "INSERT INTO job (id, source, document) "
        "SELECT 'job-' || n, 'source-' || n % 5, '{}' FROM generate_series(1, 1000) AS n"
    )
    return pool


@pytest.mark.parametrize("analyzed", [True, False])
async def test_the_ready_indexes_serve_the_takes_at_200000_done_rows(large: Pool, analyzed: bool) -> None:
    if analyzed:
        await large.execute("ANALYZE job")
    for statement, values, index in (
        (store.TAKE, (64,), "job_ready"),
        (store.TAKE_OF_SOURCES, (["source-1"], [64]), "job_ready_of_source"),
        (store.ANY_READY, (), "job_ready"),
        (store.ANY_READY_OF_SOURCE, ("source-1",), "job_ready_of_source"),
    ):
        nodes = await plan(large, statement, *values)
        kinds = {node["Node Type"] for node in nodes}
        assert index in {node.get("Index Name") for node in nodes}, nodes
        assert not {kind for kind in kinds if "Bitmap" in kind or kind == "Seq Scan"}, nodes
        # Only what RETURNING gave is sorted, never the queue.
        assert {node["Sort Key"][0] for node in nodes if "Sort" in node["Node Type"]} <= {"taken.priority DESC"}, nodes


async def test_no_statement_reads_all_jobs(large: Pool) -> None:
    await large.execute("ANALYZE job")
    for statement, values in (
        (store.FINISH, (["a"], ["b"], ["completed"], [None])),
        (store.TAKE_BY_ADDRESS, (["a"], ["b"])),
        (store.READ, (["a"],)),
        (store.LOCATE, (["a"],)),
        (store.NEWEST, (3,)),
        (store.LIST, ("x", 100, 1000)),
        (store.LIST_SHELVES, ("x", 100, 1000, None, "DONE")),
        (store.MAKE_DUE, (100,)),
        (store.NEXT_DUE, ()),
    ):
        scanned = {
            node["Relation Name"] for node in await plan(large, statement, *values) if node["Node Type"] == "Seq Scan"
        }
        assert "job" not in scanned, statement


async def test_a_take_reads_no_more_than_it_takes_however_many_are_done(large: Pool) -> None:
    async with large.acquire() as connection, connection.transaction():
        shown = "\n".join(
            row[0] for row in await connection.fetch(f"EXPLAIN (ANALYZE, BUFFERS) {store.TAKE.replace('$1', '10')}")
        )
    assert "rows=10" in shown
    assert "Rows Removed by Filter" not in shown


async def test_the_designs_own_query_takes_a_job_that_boss_then_shows_as_active(pool: Pool) -> None:
    await store.submit(pool, [Submission("b", "freg", '{"a": 1}'), Submission("a", "freg", "{}")])
    row = await pool.fetchrow(DESIGNS_OWN_TAKE)
    assert row is not None
    assert (row["id"], row["status"], row["source"], row["document"]) == ("a", "ACTIVE", "freg", "{}")
    job = (await store.read(pool, ["a"]))["a"]
    assert (job.state, job.attempt) == (State.ACTIVE, 1)
    assert await store.count(pool) == {
        ("freg", State.AVAILABLE): 1,
        ("freg", State.ACTIVE): 1,
    }
    assert [job.id for job in await store.take(pool, 5)] == ["b"]
    assert await store.finish(pool, [Finish("a", "freg")]) == {"a"}


async def test_a_job_finished_by_hand_has_an_outcome(pool: Pool) -> None:
    await pool.execute("INSERT INTO job (id, source, document) VALUES ('a', 'freg', '{}')")
    await pool.execute("UPDATE job SET status = 'DONE' WHERE id = 'a'")
    [record] = (await store.list_jobs(pool, State.DONE, None, None, 10)).jobs
    assert record.outcome == "completed"
    assert record.finished_at is not None


async def test_what_is_typed_by_hand_is_counted(pool: Pool) -> None:
    await pool.execute("INSERT INTO job (id, source, document) SELECT n, 'freg', '{}' FROM generate_series(1, 9) AS n")
    await pool.execute("UPDATE job SET status = 'DONE' WHERE id < '4'")
    await pool.execute("DELETE FROM job WHERE id IN ('1', '9')")
    wanted = {("freg", State.AVAILABLE): 5, ("freg", State.DONE): 2}
    assert await store.count(pool) == wanted
    await store.fold_tally(pool)
    assert await store.count(pool) == wanted
    assert await pool.fetchval("SELECT count(*) FROM tally") == 2


async def test_counts_are_right_while_replicas_fold_them(database: str, pool: Pool) -> None:
    async with connected(database) as other:
        stop = asyncio.Event()

        async def fold(pool: Pool) -> None:
            while not stop.is_set():
                await store.fold_tally(pool)

        async def work(pool: Pool, name: str) -> None:
            for number in range(100):
                await store.submit(pool, [Submission(f"{name}-{number}", name, "{}")])
                counts = await store.count(pool)
                assert counts[name, State.AVAILABLE] == number + 1

        folding = [asyncio.create_task(fold(each)) for each in (pool, other, pool)]
        await asyncio.gather(*(work(pool if number % 2 else other, f"source-{number}") for number in range(4)))
        stop.set()
        await asyncio.gather(*folding)
        await store.fold_tally(pool)
        assert set((await store.count(pool)).values()) == {100}
        assert await pool.fetchval("SELECT count(*) FROM tally") == 4


async def test_the_order_of_the_queue_is_the_order_of_the_answer(pool: Pool) -> None:
    jobs = [Submission(f"id-{number * 7919 % 1000:03}", "freg", "{}", priority=number % 4) for number in range(1000)]
    await store.submit(pool, jobs)
    wanted = [job.id for job in sorted(jobs, key=lambda job: -job.priority)]
    taken = [job.id for _ in range(10) for job in await store.take(pool, 50)]
    assert taken == wanted[:500]
    taken = [job.id for job in (await store.take_of_sources(pool, {"freg": 400, "none": 5}))["freg"]]
    assert taken == wanted[500:900]


async def test_takers_pass_over_what_another_is_taking(pool: Pool) -> None:
    await store.submit(pool, [Submission(f"id-{number}", "freg", "{}") for number in range(10)])
    async with pool.acquire() as connection, connection.transaction():
        held = await connection.fetch(store.TAKE, 4)
        taken = await store.take(pool, 10)
    assert not {row["id"] for row in held} & {job.id for job in taken}
    assert len(taken) == 6


async def test_takes_of_many_kinds_at_once_take_each_job_once(pool: Pool) -> None:
    jobs = 2000
    await store.submit(pool, [Submission(f"id-{number}", f"source-{number % 3}", "{}") for number in range(jobs)])
    taken: Counter[str] = Counter()

    async def take(number: int) -> None:
        while taken.total() < jobs:
            if number % 2:
                batch = await store.take(pool, 7)
            else:
                batches = await store.take_of_sources(pool, {"source-0": 3, "source-1": 3, "source-2": 3})
                batch = [job for each in batches.values() for job in each]
            taken.update(job.id for job in batch)

    await asyncio.gather(*(take(number) for number in range(8)))
    assert taken == Counter({f"id-{number}": 1 for number in range(jobs)})


async def test_delayed_jobs_are_made_due_once_by_many_sweepers(pool: Pool) -> None:
    past = datetime(2020, 1, 1, tzinfo=UTC)
    await pool.execute(
        "INSERT INTO job (id, source, document, due_at) SELECT n, 'freg', '{}', $1 FROM generate_series(1, 500) AS n",
        past,
    )
    await store.submit(pool, [Submission("later", "freg", "{}", delay=3600.0)])
    made = sum(await asyncio.gather(*(store.make_due(pool, 100) for _ in range(10))))
    while more := await store.make_due(pool, 100):
        made += more
    assert made == 500
    assert len(await store.take(pool, 1000)) == 500
    seconds = await store.seconds_to_next_due(pool)
    assert seconds is not None
    assert 3500 < seconds <= 3600


async def test_the_designs_table_is_recognisable(pool: Pool) -> None:
    rows = await pool.fetch(
        "SELECT column_name, data_type FROM information_schema.columns "
        "WHERE table_name = 'job' ORDER BY ordinal_position"
    )
    assert [tuple(row) for row in rows[:4]] == [
        ("id", "character varying"),
        ("status", "character varying"),
        ("source", "character varying"),
        ("document", "jsonb"),
    ]
    with pytest.raises(asyncpg.CheckViolationError):
        await pool.execute("INSERT INTO job (id, status, source, document) VALUES ('a', 'WAITING', 'freg', '{}')")
