"""The statements on a real PostgreSQL: what plan serves them, and what they promise one another."""

import asyncio
import math
from collections import Counter
from datetime import UTC, datetime

import asyncpg
import pytest

from boss.dispatch.handouts import Got, Handouts
from boss.dispatch.scan_cursors import ScanCursors
from boss.model.job import DEFAULT_ATTEMPTS, Check, Finish, State, Submission, Take, Taken
from boss.postgres import (
    store,
    takes,
)
from boss.postgres.connection import Pool, connected
from boss.postgres.store import EndedLease
from tests.helpers.dispatchers import no_limits

pytestmark = pytest.mark.every_postgres

DESIGNS_OWN_TAKE = """
UPDATE job
SET status = 'ACTIVE'
WHERE id =
    (SELECT id FROM job WHERE status = 'AVAILABLE' ORDER BY id LIMIT 1)
RETURNING *
"""


async def take(pool: Pool, jobs: int, source: str | None = None) -> list[str]:
    """Take so many jobs and return their ids."""
    [got] = (await (store.take_of_sources if source else store.take)(pool, [Take(source, jobs)])).jobs
    return [taken.job.id for taken in got]


def jobs_of(got: Got) -> list[list[Taken]]:
    """What takes got, when none of them failed."""
    return [jobs for jobs in got if not isinstance(jobs, Exception)]


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
    assert await take(pool, 5) == ["b"]
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
    await store.compact_counts(pool)
    assert await store.count(pool) == wanted
    assert await pool.fetchval("SELECT count(*) FROM tally") == 2


async def test_counts_are_right_while_replicas_fold_them(database: str, pool: Pool) -> None:
    async with connected(database) as other:
        stop = asyncio.Event()

        async def fold(pool: Pool) -> None:
            while not stop.is_set():
                await store.compact_counts(pool)

        async def work(pool: Pool, name: str) -> None:
            for number in range(100):
                await store.submit(pool, [Submission(f"{name}-{number}", name, "{}")])
                counts = await store.count(pool)
                assert counts[name, State.AVAILABLE] == number + 1

        folding = [asyncio.create_task(fold(each)) for each in (pool, other, pool)]
        await asyncio.gather(*(work(pool if number % 2 else other, f"source-{number}") for number in range(4)))
        stop.set()
        await asyncio.gather(*folding)
        await store.compact_counts(pool)
        assert set((await store.count(pool)).values()) == {100}
        assert await pool.fetchval("SELECT count(*) FROM tally") == 4


async def test_the_order_of_the_queue_is_the_order_of_the_answer(pool: Pool) -> None:
    jobs = [Submission(f"id-{number * 7919 % 1000:03}", "freg", "{}", priority=number % 4) for number in range(1000)]
    await store.submit(pool, jobs)
    wanted = [job.id for job in sorted(jobs, key=lambda job: -job.priority)]
    taken = [id for _ in range(10) for id in await take(pool, 50)]
    assert taken == wanted[:500]
    taken = await take(pool, 400, "freg")
    assert taken == wanted[500:900]


async def test_takers_pass_over_what_another_is_taking(pool: Pool) -> None:
    await store.submit(pool, [Submission(f"id-{number}", "freg", "{}") for number in range(10)])
    async with pool.acquire() as connection, connection.transaction():
        held = await connection.fetch(takes.TAKE.sql, [60] * 4, [], [], [])
        taken = await take(pool, 10)
    assert not {row["id"] for row in held} & set(taken)
    assert len(taken) == 6


async def test_takes_of_many_kinds_at_once_take_each_job_once(pool: Pool) -> None:
    jobs = 2000
    await store.submit(pool, [Submission(f"id-{number}", f"source-{number % 3}", "{}") for number in range(jobs)])
    taken: Counter[str] = Counter()

    async def go_on(number: int) -> None:
        while taken.total() < jobs:
            if number % 2:
                taken.update(await take(pool, 7))
            else:
                asked = [Take(f"source-{each}", 3) for each in range(3)]
                taken.update(each.job.id for got in (await store.take_of_sources(pool, asked)).jobs for each in got)

    await asyncio.gather(*(go_on(number) for number in range(8)))
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
    assert len(await take(pool, 1000)) == 500
    seen = await store.pending_work(pool, {})
    assert seen.next_due is not None
    assert 3500 < seen.next_due <= 3600


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


async def test_takers_in_one_statement_each_get_their_own_lease_and_number(pool: Pool) -> None:
    await store.submit(pool, [Submission(f"id-{number}", f"s{number % 2}", "{}") for number in range(10)])
    got, *_ = await store.take(pool, [Take(None, 2, 10), Take(None, 1, 0), Take(None, 1, 30)])
    assert [[(taken.job.id, taken.lease) for taken in each] for each in got] == [
        [("id-0", 10), ("id-1", 10)],
        [("id-2", 0)],
        [("id-3", 30)],
    ]
    asked = [Take("s1", 1, 7), Take("s0", 2, 8), Take("none", 3, 9), Take("s1", 5, 0), Take("s0", 1, 5)]
    got, *_ = await store.take_of_sources(pool, asked)
    assert [[(taken.job.id, taken.lease) for taken in each] for each in got] == [
        [("id-5", 7)],
        [("id-4", 8), ("id-6", 8)],
        [],
        [("id-7", 0), ("id-9", 0)],
        [("id-8", 5)],
    ]
    held = await pool.fetch("SELECT lease, extract(epoch FROM lease_until - taken_at)::int FROM job ORDER BY id")
    assert [row[0] for row in held] == [10, 10, 0, 30, 8, 7, 8, 0, 5, 0]
    assert all(row[1] == (row[0] or None) for row in held)


async def test_an_undone_take_leaves_as_many_attempts_and_its_number_is_not_used_again(pool: Pool) -> None:
    await store.submit(pool, [Submission("a", "freg", "{}"), Submission("b", "freg", "{}")])
    [[taken]], *_ = await store.take(pool, [Take(None)])
    assert await store.undo_takes(pool, [taken]) == {"a"}
    assert await store.undo_takes(pool, [taken]) == set()
    [[again]], *_ = await store.take(pool, [Take(None)])
    assert (again.job.id, again.job.attempt) == ("a", 2)
    assert await pool.fetchval("SELECT attempts FROM job WHERE id = 'a'") == DEFAULT_ATTEMPTS + 1
    # The first undo, should it come once more, does not touch the take of another.
    assert await store.undo_takes(pool, [taken]) == set()
    assert (await store.read(pool, ["a"]))["a"].state is State.ACTIVE


async def test_a_take_that_was_handed_out_again_is_not_undone(pool: Pool) -> None:
    await store.submit(pool, [Submission("a", "freg", "{}")])
    handouts = Handouts(pool, ScanCursors(), no_limits(pool))
    [[taken]] = jobs_of(await handouts.by_key([Take(None, key=" k")]))
    [[again]] = jobs_of(await handouts.by_key([Take(None, key=" k")]))
    assert again == taken
    assert await store.undo_takes(pool, [taken]) == set()


async def test_one_key_sent_to_many_at_once_takes_once(pool: Pool) -> None:
    await store.submit(pool, [Submission(f"id-{number}", "freg", "{}") for number in range(50)])
    keys = [f"k{number}" for number in range(10)]
    handouts = Handouts(pool, ScanCursors(), no_limits(pool))
    takes = [Take("freg" if key < "k5" else None, key=key) for key in keys]
    got = [jobs_of(each) for each in await asyncio.gather(*(handouts.by_key(takes) for _ in range(20)))]
    assert all(each == got[0] for each in got)
    assert len({taken.job.id for each in got[0] for taken in each}) == 10
    assert await pool.fetchval("SELECT count(*) FROM job WHERE status = 'ACTIVE'") == 10


async def test_a_check_writes_only_when_part_of_the_lease_is_used_up(pool: Pool) -> None:
    await store.submit(pool, [Submission(name, "freg", "{}") for name in ("a", "b", "c")])
    await store.take(pool, [Take(None, 1, 60), Take(None, 1, 0), Take(None, 1, 60)])
    checks = [Check("a", "freg"), Check("b", "freg"), Check("c", "freg", attempt=9)]

    async def written() -> list[str]:
        before = {row["id"]: row["xmin"] for row in await pool.fetch("SELECT id, xmin::text FROM job")}
        places = await store.check(pool, checks)
        assert {id: place.state for id, place in places.items()} == dict.fromkeys("abc", State.ACTIVE)
        after = {row["id"]: row["xmin"] for row in await pool.fetch("SELECT id, xmin::text FROM job")}
        return [id for id in sorted(after) if after[id] != before[id]]

    async def pass_by(seconds: int) -> None:
        await pool.execute(
            "UPDATE job SET seen_at = seen_at - $1 * interval '1 second', "
            "lease_until = lease_until - $1 * interval '1 second'",
            seconds,
        )

    assert await written() == ["a"]  # from now on it holds for 80 seconds
    assert await written() == []
    await pass_by(19)
    assert await written() == []
    await pass_by(2)
    assert await written() == ["a"]
    left = await pool.fetchval("SELECT extract(epoch FROM lease_until - now()) FROM job WHERE id = 'a'")
    assert 79 < left <= 80
    await pass_by(600)
    assert await written() == ["a", "b"]


async def test_leases_are_ended_once_by_many_sweepers(pool: Pool) -> None:
    jobs = [Submission(f"id-{number}", "freg", "{}", attempts=1 + number % 2) for number in range(400)]
    await store.submit(pool, jobs)
    await store.take(pool, [Take(None, 300, 60), Take(None, 100, 0)])
    await pool.execute("UPDATE job SET lease_until = now()")
    ended = [
        move
        for moves in await asyncio.gather(*(store.end_leases(pool, 50, math.inf) for _ in range(10)))
        for move in moves
    ]
    while more := await store.end_leases(pool, 50, math.inf):
        ended += more
    assert sorted(ended) == sorted(
        EndedLease(job.id, "freg", 1, "abandoned" if job.attempts == 1 else None, False) for job in jobs
    )
    rows = await pool.fetch("SELECT status, outcome, count(*) FROM job GROUP BY 1, 2 ORDER BY 1")
    assert [tuple(row) for row in rows] == [("AVAILABLE", None, 200), ("DONE", "abandoned", 200)]
    assert await take(pool, 1000) == [job.id for job in jobs if job.attempts == 2]


async def test_what_the_version_before_takes_never_ends(pool: Pool) -> None:
    await store.submit(pool, [Submission("a", "freg", "{}")])
    await take(pool, 1)
    await pool.execute("UPDATE job SET lease_until = now()")
    assert await store.end_leases(pool, 10, math.inf) == [EndedLease("a", "freg", 1, None, False)]
    await pool.execute("UPDATE job SET status = 'ACTIVE', attempt = attempt + 1, taken_at = now() WHERE id = 'a'")
    assert (await store.check(pool, [Check("a", "freg")]))["a"].attempt == 2
    assert await store.end_leases(pool, 10, math.inf) == []
    assert (await store.pending_work(pool, {})).next_lease is None


async def test_a_job_taken_by_hand_has_no_lease(pool: Pool) -> None:
    await store.submit(pool, [Submission("a", "freg", "{}")])
    await take(pool, 1)
    await pool.execute("UPDATE job SET status = 'AVAILABLE' WHERE id = 'a'")
    await pool.fetchrow(DESIGNS_OWN_TAKE)
    row = await pool.fetchrow("SELECT attempt, lease, lease_until FROM job")
    assert row is not None
    assert tuple(row) == (2, 0, None)


async def test_old_done_jobs_are_pruned_oldest_first_and_others_never(pool: Pool) -> None:
    await store.submit(pool, [Submission(f"id-{number}", "freg", "{}") for number in range(30)])
    await take(pool, 10)
    await store.finish(pool, [Finish(f"id-{number}", "freg") for number in range(5, 25)])
    await pool.execute(
        "UPDATE job SET submitted_at = now() - interval '9 days', taken_at = now() - interval '9 days', "
        "finished_at = now() - (substr(id, 4) || ' hours')::interval WHERE status = 'DONE'"
    )
    deleted, event, *_ = await store.prune_by(pool, 3600 * 14.5, 4, None, None)
    assert deleted == 4
    gone = {f"id-{number}" for number in (24, 23, 22, 21)}
    assert await store.read(pool, list(gone)) == {}
    assert (await store.prune_by(pool, 3600 * 14.5, 100, None, event))[0] == 6
    assert (await store.prune_by(pool, 3600 * 14.5, 100, None, event))[0] == 0
    assert sum((await store.count(pool)).values()) == 20


async def test_the_first_document_that_jsonb_refuses_is_found(pool: Pool) -> None:
    documents = ["{}"] * 100
    for bad in (0, 37, 99):
        assert await store.first_refused(pool, [*documents[:bad], '{"a": 1e200000}', *documents[bad + 1 :]]) == bad
    documents[50] = documents[70] = '{"a": 1e200000}'
    assert await store.first_refused(pool, documents) == 50
