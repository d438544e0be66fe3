"""Bringing a database to the schema, alone and together."""

import asyncio
import contextlib

import asyncpg
import httpx
import pytest

from boss.errors import DatabaseAway, StartError
from boss.model.job import Submission, Take
from boss.postgres import store
from boss.postgres.connection import Pool, connected
from boss.postgres.migrate import migrate, migrations
from tests.helpers.servers import BossProcess

pytestmark = pytest.mark.every_postgres


@pytest.mark.without_schema
def test_replicas_that_start_together_on_an_empty_database(database: str) -> None:
    replicas = [BossProcess("--database", database) for _ in range(3)]
    try:
        for replica in replicas:
            replica.wait_until_ready()
            assert '"level":"error"' not in replica.log
        for replica in replicas:
            assert httpx.post(f"{replica.url}/job/available/freg", content="{}").status_code == 201
        assert len(httpx.get(f"{replicas[0].url}/job/available?limit=10").json()) == 3
        assert sum(replica.log.count("migrating the database: 0001_job.sql") for replica in replicas) == 1
    finally:
        for replica in replicas:
            replica.close()


@pytest.mark.without_schema
async def test_many_at_once_apply_each_migration_once(database: str) -> None:
    async with contextlib.AsyncExitStack() as stack:
        pools = [await stack.enter_async_context(connected(database)) for _ in range(8)]
        await asyncio.gather(*(migrate(pool) for pool in pools))
        await migrate(pools[0])
        applied = await pools[0].fetch("SELECT version, name FROM boss_migration ORDER BY version")
    assert [tuple(row) for row in applied] == [(version, name) for version, name, _ in migrations()]


def test_migrations_are_numbered_without_a_gap() -> None:
    assert [version for version, _, _ in migrations()] == list(range(1, len(migrations()) + 1))


async def test_a_database_that_is_ahead_is_left_as_it_is(pool: Pool) -> None:
    await pool.execute("INSERT INTO boss_migration (version, name) VALUES (9999, '9999_of_a_later_boss.sql')")
    await migrate(pool)
    assert await pool.fetchval("SELECT max(version) FROM boss_migration") == 9999


async def test_a_migration_that_fails_leaves_nothing_behind(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = [*migrations(), (9998, "good.sql", "CREATE TABLE half (a int)"), (9999, "bad.sql", "NONSENSE")]
    monkeypatch.setattr("boss.postgres.migrate.migrations", lambda: broken)
    with pytest.raises(StartError, match="syntax error"):
        await migrate(pool)
    assert await pool.fetchval("SELECT to_regclass('half')") is None


async def test_a_database_in_another_encoding_is_refused(postgres: str) -> None:
    connection = await asyncpg.connect(postgres)
    await connection.execute("CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'")
    try:
        async with connected(postgres.replace("/boss?", "/latin?")) as pool:
            with pytest.raises(StartError, match="LATIN1; Boss needs one created with ENCODING 'UTF8'"):
                await migrate(pool)
    finally:
        await connection.execute("DROP DATABASE latin WITH (FORCE)")
        await connection.close()


@pytest.mark.without_schema
async def test_a_user_who_may_not_create_tables_is_told_what_to_do(postgres: str, database: str) -> None:
    connection = await asyncpg.connect(database)
    await connection.execute("CREATE ROLE guest LOGIN")
    try:
        async with connected(database.replace("boss@", "guest@")) as pool:
            with pytest.raises(StartError, match="CREATE DATABASE boss OWNER"):
                await migrate(pool)
    finally:
        await connection.execute("DROP ROLE guest")
        await connection.close()


@pytest.mark.parametrize("url", ["postgresql://nobody@127.0.0.1:1/boss", "postgresql://nobody@nowhere.invalid/boss"])
async def test_no_database_at_the_url(url: str) -> None:
    with pytest.raises(DatabaseAway, match="cannot be reached"):
        async with connected(url):
            pass


async def test_takes_go_on_while_the_migration_of_vacuums_waits_for_a_vacuum(database: str, pool: Pool) -> None:
    await pool.execute("DELETE FROM boss_migration WHERE name = '0009_vacuum.sql'")
    await pool.execute("ALTER TABLE job RESET (vacuum_index_cleanup, autovacuum_vacuum_scale_factor)")
    vacuum: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(database)
    await vacuum.execute("BEGIN; LOCK TABLE job IN SHARE UPDATE EXCLUSIVE MODE")  # as VACUUM does
    migrating = asyncio.create_task(migrate(pool))
    waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'job'::regclass AND NOT granted)"
    while not await vacuum.fetchval(waits):
        assert not migrating.done()
    ids = [f"job-{number}" for number in range(10)]
    await store.submit(pool, [Submission(id, "freg", "{}") for id in ids])
    handout = await store.take(pool, [Take(None, 10)])
    assert [taken.job.id for taken in handout.jobs[0]] == ids
    assert not migrating.done()
    await vacuum.close()
    assert await migrating == ["0009_vacuum.sql"]
    assert "vacuum_index_cleanup=on" in await pool.fetchval("SELECT reloptions FROM pg_class WHERE relname = 'job'")
