"""Emptying a volume: what is given back, who waits for it, and that the counts stay right."""

import asyncio
import signal
from pathlib import Path

import pytest

from boss.dispatch.history import History
from boss.errors import DatabaseAway
from boss.model.job import State
from boss.postgres import store
from boss.postgres.connection import Pool, connected
from tests.helpers.databases import empty_database, run_in, value_in
from tests.helpers.locks import transaction
from tests.helpers.postgres import PROGRAMS
from tests.helpers.servers import BossProcess, until
from tests.helpers.volumes import assert_counts_are_right, done, moved

_FILL = """
INSERT INTO job_done_3 (id, source, document, status, position, finished_at)
SELECT n::text, 's' || n % 3, '{}', 'DONE', n, now() - interval '1 hour' FROM generate_series(1, 9000) AS n
"""
# Holds up whoever empties the volume, once it is locked, until a lock is free that the test has.
_WAIT = """
CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('lock_timeout', '0', true), pg_advisory_xact_lock_shared(1);
    RETURN NULL;
END $$;
CREATE TRIGGER wait BEFORE TRUNCATE ON job_done_3 FOR EACH STATEMENT EXECUTE FUNCTION wait()
"""
_HELD = """
SELECT count(*) FROM pg_locks WHERE relation = 'job_done_3'::regclass AND mode = 'AccessExclusiveLock' AND granted
"""


async def run(program: str, *words: str) -> None:
    process = await asyncio.create_subprocess_exec(PROGRAMS / program, *words)
    assert await process.wait() == 0


@pytest.mark.every_postgres
async def test_an_emptied_volume_gives_its_space_back(pool: Pool) -> None:
    await pool.execute(_FILL)
    await moved(pool, "young")
    assert await store.empty_volume(pool, 3, 3601) == 0
    assert await store.empty_volume(pool, 1, 60) == 0
    deleted, event = await store.empty_volume_by(pool, 3, 3599, "anna", None)
    assert deleted == 9000
    [audited] = await store.audit_events(pool, None, 10)
    assert (audited.number, audited.by, audited.did) == (event, "anna", "pruned")
    assert await pool.fetchval("SELECT pg_table_size('job_done_3')") <= 16384
    assert [row["id"] for row in await pool.fetch("SELECT id FROM job")] == ["young"]
    await assert_counts_are_right(pool)
    # Nothing is left of its ledger.
    await store.compact_volume_counts(pool)
    assert [tuple(row) for row in await pool.fetch("SELECT * FROM volume_tally")] == [("job_done_1", "freg", 1)]


async def test_a_volume_that_somebody_reads_is_not_waited_for(pool: Pool) -> None:
    await moved(pool, "a", "b")
    async with pool.acquire() as other, other.transaction():
        await other.execute("SELECT FROM job LIMIT 1")
        with pytest.raises(DatabaseAway):
            await store.empty_volume(pool, 1, -60)
        assert (await store.find(pool, "a")) is not None
    await assert_counts_are_right(pool)
    assert await store.empty_volume(pool, 1, -60) == 2


def test_a_replica_that_is_stopped_while_it_empties_a_volume_keeps_nobody_waiting(database: str) -> None:
    """It stops while PostgreSQL has the volume locked. What it has sent by then is all that is needed to unlock it."""
    run_in(database, _FILL)
    run_in(database, _WAIT)
    with transaction(database, "SELECT pg_advisory_xact_lock(1)") as run:
        boss = BossProcess("--database", database, "--keep-done", "0.001")
        try:
            until(lambda: bool(value_in(database, _HELD)))
            boss.process.send_signal(signal.SIGSTOP)
            run("COMMIT")
            until(lambda: not value_in(database, _HELD))
            assert value_in(database, "SELECT count(*) FROM job") == 0
        finally:
            boss.process.send_signal(signal.SIGCONT)
            boss.close()


async def test_truncate_by_hand_is_counted(pool: Pool) -> None:
    await moved(pool, *"abcde")
    await moved(pool, *"fghij", volume=2)
    await done(pool, "k")
    await pool.execute("TRUNCATE job_done_1")
    await assert_counts_are_right(pool)
    await pool.execute("TRUNCATE ONLY job")
    await assert_counts_are_right(pool)
    assert {row["id"] for row in await pool.fetch("SELECT id FROM job")} == set("fghij")
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("TRUNCATE job")
        await transaction.rollback()
    await assert_counts_are_right(pool)
    await done(pool, "l")
    await pool.execute("TRUNCATE job")
    assert await pool.fetch("SELECT FROM job") == []
    await assert_counts_are_right(pool)


async def test_counts_that_a_dump_has_without_their_jobs_are_mended(
    postgres: str, database: str, pool: Pool, tmp_path: Path
) -> None:
    """TRUNCATE is seen by a dump that began before it and had not opened the table yet."""
    await moved(pool, "a", "b", volume=2)
    await moved(pool, "c")
    async with pool.acquire() as dump, dump.transaction(isolation="repeatable_read", readonly=True):
        snapshot = await dump.fetchval("SELECT pg_export_snapshot()")
        assert await store.empty_volume(pool, 2, -60) == 2
        await run("pg_dump", "-Fc", f"--snapshot={snapshot}", "-f", f"{tmp_path}/dump", database)
    for restored in empty_database(postgres):
        await run("pg_restore", "-d", restored, f"{tmp_path}/dump")
        async with connected(restored) as other:
            assert await store.count(other) == {("freg", State.AVAILABLE): 0, ("freg", State.DONE): 3}
            await History(other, None, {}).keep()
            assert [row["id"] for row in await other.fetch("SELECT id FROM job")] == ["c"]
            await assert_counts_are_right(other)
