"""Volumes: where done jobs are, and what holds for them as for all others."""

import asyncio
import json
import random
from collections import Counter

import asyncpg
import pytest

from boss.dispatch.history import History
from boss.errors import BadInput, DatabaseAway
from boss.model.job import Check, Finish, State, Submission, Take
from boss.postgres import store
from boss.postgres.connection import Pool
from tests.helpers.servers import PATIENCE

pytestmark = pytest.mark.every_postgres

_COUNTED = "(SELECT source, status, sum(jobs) FROM tally GROUP BY 1, 2 HAVING sum(jobs) <> 0)"
_FOUND = "(SELECT source, status, count(*) FROM job GROUP BY 1, 2)"
_DONE_BESIDE = "SELECT count(*) FROM ONLY job WHERE status = 'DONE'"


async def assert_counts_are_right(pool: Pool) -> None:
    for one, other in ((_COUNTED, _FOUND), (_FOUND, _COUNTED)):
        assert await pool.fetch(f"{one} EXCEPT {other}") == []


async def assert_each_id_is_there_once(pool: Pool) -> None:
    assert await pool.fetch("SELECT id FROM job GROUP BY id HAVING count(*) > 1") == []


async def done(pool: Pool, *ids: str, volume: int = 1) -> None:
    """Submit jobs and finish them."""
    await store.submit(pool, [Submission(id, "freg", "{}") for id in ids])
    assert await store.finish(pool, [Finish(id, "freg") for id in ids], volume) == set(ids)


async def test_a_done_job_keeps_all_that_it_had(pool: Pool) -> None:
    submitted = Submission("a", "freg", '{"n": 1}', priority=7, attempts=3, traceparent="00-1", by="anna")
    await store.submit(pool, [submitted._replace(document_bytes=8)])
    await store.take(pool, [Take(None, lease=60, key="k", by="bo")])
    await pool.execute("UPDATE job SET history = '[{\"attempt\": 1}]'")
    before = dict(await pool.fetchrow("SELECT * FROM job") or {})
    # Whoever adds a column to `job` has to say what becomes of it when the job is done (finishes.py).
    changed = {"status", "lease_until", "take_key", "finished_at", "outcome", "result", "finished_by", "result_bytes"}
    assert {name for name in before if before[name] is None} <= changed | {"due_at"}
    assert await store.finish(pool, [Finish("a", "freg", result='{"r": 2}', by="bo", result_bytes=8)]) == {"a"}
    after = dict(await pool.fetchrow("SELECT * FROM job_done_1") or {})
    assert {name for name in before if before[name] != after[name]} == changed
    assert (after["status"], after["outcome"], after["finished_by"], after["take_key"]) == (
        "DONE",
        "completed",
        "bo",
        None,
    )
    assert await pool.fetch("SELECT FROM ONLY job") == []
    await assert_counts_are_right(pool)


async def test_a_done_job_is_found_as_before(pool: Pool) -> None:
    await done(pool, "a", "b", volume=2)
    await done(pool, "c", volume=5)
    assert {id: found.state for id, found in (await store.locate(pool, ["a", "c", "x"])).items()} == {
        "a": State.DONE,
        "c": State.DONE,
    }
    assert (await store.check(pool, [Check("a", "freg")]))["a"].state is State.DONE
    assert await store.finish(pool, [Finish("a", "freg")]) == set()
    found = await store.find(pool, "b")
    assert found
    assert found.state is State.DONE
    for state in (None, State.DONE):
        assert [job.id for job in (await store.list_jobs(pool, state, None, None, 10)).jobs] == ["c", "b", "a"]
    assert await store.count(pool) == {("freg", State.AVAILABLE): 0, ("freg", State.DONE): 3}


async def test_the_id_of_a_done_job_is_taken(pool: Pool) -> None:
    await done(pool, "a")
    assert await store.submit(pool, [Submission("a", "freg", "{}"), Submission("b", "freg", "{}")]) == {"b"}
    # By the version before, or by hand.
    insert = "INSERT INTO job (id, source, document) VALUES ('a', 'freg', '{}'), ('c', 'freg', '{}')"
    assert await pool.execute(insert) == "INSERT 0 1"
    assert await pool.execute(f"{insert} ON CONFLICT (id) DO NOTHING") == "INSERT 0 0"
    await assert_each_id_is_there_once(pool)
    await assert_counts_are_right(pool)


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


async def test_an_id_that_is_submitted_and_done_while_a_submit_waits_is_taken(pool: Pool) -> None:
    """The submit has looked for its ids, waits for a lock, and would then store an id that a done job has by now."""
    async with pool.acquire() as other:
        transaction = other.transaction()
        await transaction.start()
        await other.execute("INSERT INTO job (id, source, document) VALUES ('a', 'freg', '{}')")
        submitting = asyncio.create_task(
            store.submit(pool, [Submission("a", "freg", "{}"), Submission("b", "freg", "{}")])
        )
        await waits(pool, "-- submit%")
        await pool.execute("INSERT INTO job (id, source, document) VALUES ('b', 'freg', '{\"first\": true}')")
        await store.finish(pool, [Finish("b", "freg")], 3)
        await transaction.commit()
    assert await submitting == set()
    await assert_each_id_is_there_once(pool)
    assert await pool.fetchval("SELECT document FROM job WHERE id = 'b'") == '{"first": true}'
    await assert_counts_are_right(pool)


@pytest.mark.parametrize("conflict", ["", " ON CONFLICT (id) DO NOTHING"])
async def test_sql_by_hand_waits_for_a_finish(pool: Pool, conflict: str) -> None:
    """So does the version before, whose submits say ON CONFLICT."""
    await store.submit(pool, [Submission("a", "freg", "{}")])
    async with pool.acquire() as other:
        transaction = other.transaction()
        await transaction.start()
        assert await store.finish(other, [Finish("a", "freg")]) == {"a"}  # type: ignore[arg-type]
        inserting = asyncio.create_task(
            pool.execute(f"INSERT INTO job (id, source, document) VALUES ('a', 'freg', '{{}}'){conflict}")
        )
        await waits(pool, "INSERT INTO job%")
        await transaction.commit()
    assert await inserting == "INSERT 0 0"
    await assert_each_id_is_there_once(pool)


async def test_sql_by_hand_that_could_not_know_of_a_done_job_is_refused(pool: Pool) -> None:
    async with pool.acquire() as other:
        transaction = other.transaction()
        await transaction.start()
        await other.execute("INSERT INTO job (id, source, document) VALUES ('a', 'freg', '{}')")
        inserting = asyncio.create_task(
            pool.execute("INSERT INTO job (id, source, document) VALUES ('a', 'freg', '{}') ON CONFLICT DO NOTHING")
        )
        await waits(pool, "INSERT INTO job%")
        await store.finish(other, [Finish("a", "freg")])  # type: ignore[arg-type]
        await transaction.commit()
    with pytest.raises(asyncpg.UniqueViolationError, match="there is a done job with the id a"):
        await inserting
    await assert_each_id_is_there_once(pool)


async def test_ids_are_unique_while_all_happens_at_once(pool: Pool) -> None:
    """Many submit the same ids, finish them into whatever volume, and move them; each id is new once and done once."""
    ids = [f"id-{number}" for number in range(300)]
    new: Counter[str] = Counter()
    finished: Counter[str] = Counter()

    async def submit() -> None:
        for _ in range(40):
            some = random.sample(ids, 10)
            new.update(await store.submit(pool, [Submission(id, "freg", "{}") for id in some]))

    async def finish(volume: int) -> None:
        for _ in range(40):
            some = [Finish(id, "freg") for id in random.sample(ids, 30)]
            finished.update(await store.finish(pool, some, volume))

    async def finish_by_hand() -> None:
        for id in random.sample(ids, 40):
            # What ends so quickly that the statement has no effect is somebody else's.
            how = await pool.execute("UPDATE job SET status = 'DONE' WHERE id = $1 AND status <> 'DONE'", id)
            finished.update([id] * int(how.split()[1]))
            await store.move_done(pool, 4, -60, 10)

    await asyncio.gather(*(submit() for _ in range(3)), *map(finish, (1, 1, 2, 3)), finish_by_hand())
    await store.submit(pool, [Submission(id, "freg", "{}") for id in ids])
    assert max(new.values()) == 1
    assert max(finished.values()) == 1
    await assert_each_id_is_there_once(pool)
    assert await pool.fetchval("SELECT count(*) FROM job") == len(ids)
    assert await pool.fetchval("SELECT count(*) FROM job WHERE status = 'DONE'") == len(finished)
    await assert_counts_are_right(pool)


async def test_whatever_else_is_done_is_moved(pool: Pool) -> None:
    await store.submit(pool, [Submission(f"id-{number}", "freg", "{}") for number in range(30)])
    await pool.execute("UPDATE job SET status = 'DONE' WHERE id < 'id-2'")
    await pool.execute("INSERT INTO job (id, source, document, status) VALUES ('odd', 'freg', '{}', 'DONE')")
    before = await pool.fetch("SELECT * FROM job ORDER BY id")
    await History(pool, None).keep()
    assert await pool.fetch("SELECT * FROM job ORDER BY id") == before
    # The odd one has no time, and nobody knows when it may be deleted.
    assert [row["id"] for row in await pool.fetch("SELECT id FROM ONLY job WHERE status = 'DONE'")] == ["odd"]
    await assert_counts_are_right(pool)


async def test_a_large_document_is_moved_when_nobody_waits(pool: Pool) -> None:
    document = json.dumps([random.random() for _ in range(500)])
    await store.submit(pool, [Submission("large", "freg", document), Submission("small", "freg", "{}")])
    assert await store.finish(pool, [Finish("large", "freg"), Finish("small", "freg")]) == {"large", "small"}
    assert [row["id"] for row in await pool.fetch("SELECT id FROM ONLY job")] == ["large"]
    assert await store.submit(pool, [Submission("large", "freg", "{}")]) == set()
    await History(pool, None).keep()
    assert await pool.fetch("SELECT FROM ONLY job") == []
    found = await store.find(pool, "large")
    assert found
    assert json.loads(str(found.document)) == json.loads(document)
    await assert_counts_are_right(pool)


async def test_a_result_that_cannot_be_stored_leaves_all_jobs_as_they_are(pool: Pool) -> None:
    """Also when only the second statement, of large documents, would have to store it."""
    document = json.dumps([random.random() for _ in range(500)])
    await store.submit(pool, [Submission("large", "freg", document), Submission("small", "freg", "{}")])
    with pytest.raises(BadInput):
        await store.finish(pool, [Finish("large", "freg", result='{"n": 1e200000}'), Finish("small", "freg")])
    assert {found.state for found in (await store.locate(pool, ["large", "small"])).values()} == {State.AVAILABLE}


async def test_a_done_job_that_is_made_available_by_hand_can_be_taken(pool: Pool) -> None:
    await done(pool, "a", "b")
    await pool.execute("UPDATE job SET status = 'AVAILABLE' WHERE id = 'a'")
    await assert_counts_are_right(pool)
    [[taken]] = (await store.take(pool, [Take(None)])).jobs
    assert taken.job.id == "a"
    assert await store.finish(pool, [Finish("a", "freg")], 2) == {"a"}
    await assert_counts_are_right(pool)


async def test_done_jobs_that_are_changed_by_hand_are_counted(pool: Pool) -> None:
    await done(pool, *"abcde")
    await done(pool, *"fghij", volume=2)
    await pool.execute("UPDATE job SET source = 'other', document = '{\"x\": 1}' WHERE id IN ('a', 'f')")
    await pool.execute("DELETE FROM job WHERE id IN ('b', 'g')")
    await pool.execute("DELETE FROM job_done_2 WHERE id = 'h'")
    await assert_counts_are_right(pool)
    await pool.execute("TRUNCATE job_done_1")
    await assert_counts_are_right(pool)
    assert {row["id"] for row in await pool.fetch("SELECT id FROM job")} == {"f", "i", "j"}
    await pool.execute("TRUNCATE job")
    assert await pool.fetch("SELECT FROM job") == []
    await assert_counts_are_right(pool)


async def test_an_emptied_volume_gives_its_space_back(pool: Pool) -> None:
    await pool.execute(
        "INSERT INTO job_done_3 (id, source, document, status, position, finished_at) "
        "SELECT n::text, 's' || n % 3, '{}', 'DONE', n, now() - interval '1 hour' FROM generate_series(1, 9000) AS n"
    )
    await done(pool, "young")
    assert await store.empty_volume(pool, 3, 3601) == 0
    assert await store.empty_volume(pool, 1, 60) == 0
    deleted, event = await store.empty_volume_by(pool, 3, 3599, "anna", None)
    assert deleted == 9000
    [audited] = await store.audit_events(pool, None, 10)
    assert (audited.number, audited.by, audited.did) == (event, "anna", "pruned")
    assert await pool.fetchval("SELECT pg_table_size('job_done_3')") <= 16384
    assert [row["id"] for row in await pool.fetch("SELECT id FROM job")] == ["young"]
    await assert_counts_are_right(pool)


async def test_a_volume_that_somebody_reads_is_not_waited_for(pool: Pool) -> None:
    await done(pool, "a", "b")
    async with pool.acquire() as other, other.transaction():
        await other.execute("SELECT FROM job LIMIT 1")
        with pytest.raises(DatabaseAway):
            await store.empty_volume(pool, 1, -60)
        assert (await store.find(pool, "a")) is not None
    await assert_counts_are_right(pool)
    assert await store.empty_volume(pool, 1, -60) == 2


async def test_what_is_deleted_by_hand_meanwhile_is_counted_once(pool: Pool) -> None:
    for round_ in range(20):
        ids = [f"{round_}-{number}" for number in range(50)]
        await done(pool, *ids)

        async def delete(ids: list[str] = ids) -> None:
            for id in ids[::5]:
                await pool.execute("DELETE FROM job WHERE id = $1", id)

        async def empty() -> None:
            try:
                await store.empty_volume(pool, 1, -60)
            except DatabaseAway:
                await pool.execute("DELETE FROM job")

        await asyncio.gather(delete(), empty(), delete())
        await assert_counts_are_right(pool)
