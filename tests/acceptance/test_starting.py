"""Starting on a database that is not as it should be: one sentence that says what to do, and soon; SIGTERM ends it."""

import contextlib
import signal
import time
from contextlib import ExitStack

import pytest

from tests.helpers.databases import run_in
from tests.helpers.mute_proxy import mute_proxy
from tests.helpers.postgres import PostgresServer
from tests.helpers.servers import BossProcess, boss_running, until
from tests.helpers.starting import end_of, holding, migrate_by_command

pytestmark = [pytest.mark.slow, pytest.mark.without_schema]

# After how many of the server's messages nothing comes through any more: while connecting, while the session, the
# server and the schema are looked at, while it is migrated, and while what counts is loaded.
STEPS = range(0, 26, 3)


def through(port: int, database: str = "boss") -> str:
    return f"postgresql://boss@127.0.0.1:{port}/{database}"


def started_in(stack: ExitStack, port: int, database: str = "boss") -> BossProcess:
    boss = BossProcess("--database", through(port, database))
    stack.callback(boss.close)
    return boss


class TestMute:
    @pytest.mark.long
    @pytest.mark.parametrize("migrated", [False, True])
    def test_in_any_step_boss_ends_with_a_sentence(self, server: PostgresServer, migrated: bool) -> None:
        if migrated:
            assert migrate_by_command(server.url).returncode == 0
        with ExitStack() as stack:
            proxies = [stack.enter_context(mute_proxy(server.port, messages)) for messages in STEPS]
            for number in range(len(proxies)):
                # Each has its own, for one would wait for the other.
                server.sql(f"CREATE DATABASE boss_{number} TEMPLATE boss")
            started = time.monotonic()
            starting = [started_in(stack, proxy.port, f"boss_{number}") for number, proxy in enumerate(proxies)]
            for boss, proxy in zip(starting, proxies, strict=True):
                until(lambda boss=boss: boss.process.poll() is not None or "Boss serves on" in boss.log)  # type: ignore[misc]
                if not proxy.is_mute.is_set():
                    continue
                if boss.process.poll() is not None:
                    said = end_of(boss)
                    assert "PostgreSQL cannot be reached" in said or "went away while" in said
            assert sum(proxy.is_mute.is_set() for proxy in proxies) >= 4
            assert time.monotonic() - started < 60

    def test_in_any_step_sigterm_is_obeyed(self, server: PostgresServer) -> None:
        with ExitStack() as stack:
            proxies = [stack.enter_context(mute_proxy(server.port, messages)) for messages in range(0, 14, 2)]
            for proxy in proxies:
                boss = started_in(stack, proxy.port)
                until(proxy.is_mute.is_set)
                told = time.monotonic()
                assert boss.terminate() == 0, boss.log
                assert time.monotonic() - told < 3
                assert "Traceback" not in boss.log


def test_a_server_that_is_frozen(server: PostgresServer) -> None:
    server.signal(signal.SIGSTOP)
    assert "did not answer within 4 s" in end_of(BossProcess("--database", server.url))


class TestLocked:
    @pytest.mark.long
    def test_what_is_loaded(self, database: str) -> None:
        assert migrate_by_command(database).returncode == 0
        with holding(database, "LOCK TABLE token IN ACCESS EXCLUSIVE MODE"):
            assert "somebody holds a lock on Boss's tables" in end_of(BossProcess("--database", database))

    @pytest.mark.long
    def test_the_turn_to_migrate(self, database: str) -> None:
        with contextlib.closing(BossProcess("--database", database)) as boss:
            with holding(database, "SELECT pg_advisory_xact_lock(x'626F7373'::bigint)"):
                boss.wait_for_log("waits for a long transaction or for another replica")
            boss.wait_until_ready()

    def test_sigterm_is_obeyed(self, database: str) -> None:
        with (
            holding(database, "SELECT pg_advisory_xact_lock(x'626F7373'::bigint)"),
            contextlib.closing(BossProcess("--database", database)) as boss,
        ):
            boss.wait_for_log("waits for a long transaction or for another replica")
            assert boss.terminate() == 0

    def test_nobody_waits_for_a_schema_that_is_complete(self, database: str) -> None:
        assert migrate_by_command(database).returncode == 0
        held = "SELECT pg_advisory_xact_lock(x'626F7373'::bigint); SELECT FROM job"
        with holding(database, held), boss_running("--database", database) as boss, boss.client() as client:
            assert client.post("/job/available/freg", content="{}").status_code == 201


FOREIGN = {
    "table": "CREATE TABLE job (a int)",
    "view": "CREATE VIEW job AS SELECT 1 AS a",
    "foreign table": "CREATE FOREIGN DATA WRAPPER other; CREATE SERVER other FOREIGN DATA WRAPPER other; "
    "CREATE FOREIGN TABLE job (a text) SERVER other",
    "materialized view": "CREATE MATERIALIZED VIEW job AS SELECT 1 AS a",
    "sequence": "CREATE SEQUENCE job",
    "type": "CREATE TYPE job AS ENUM ('a')",
    "index": "CREATE TABLE other (a int); CREATE INDEX job_ready ON other (a)",
    "function": "CREATE FUNCTION announce_ready() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "table token": "CREATE TABLE token (a int)",
    "table boss_migration": "CREATE TABLE boss_migration (a int)",
    "view boss_migration": "CREATE VIEW boss_migration AS SELECT 1 AS version, 'x' AS name",
}


class TestSomethingElseThere:
    @pytest.mark.parametrize("kind", FOREIGN)
    def test_of_a_name_that_boss_needs(self, database: str, kind: str) -> None:
        run_in(database, FOREIGN[kind])
        said = end_of(BossProcess("--database", database))
        assert "the tables in this database are not Boss's" in said
        assert "CREATE SCHEMA boss" in said

    def test_before_boss_in_the_search_path(self, database: str) -> None:
        assert migrate_by_command(database).returncode == 0
        run_in(database, "CREATE SCHEMA boss; CREATE TABLE boss.job (a int)")
        assert "boss.job is not Boss's, but something else of that name" in end_of(BossProcess("--database", database))

    @pytest.mark.parametrize("name", ["job", "tally", "token"])
    def test_a_table_is_missing(self, database: str, name: str) -> None:
        assert migrate_by_command(database).returncode == 0
        run_in(database, f"DROP TABLE {name} CASCADE")
        assert f"the table {name} is missing" in end_of(BossProcess("--database", database))

    def test_the_triggers_are_missing(self, database: str) -> None:
        assert migrate_by_command(database).returncode == 0
        run_in(database, "ALTER TABLE job DISABLE TRIGGER tally_updated; DROP FUNCTION tally_deleted CASCADE")
        assert "lacks its triggers tally_updated, tally_deleted" in end_of(BossProcess("--database", database))


class TestReadOnly:
    @pytest.mark.parametrize("migrated", [False, True])
    def test_by_its_settings(self, database: str, migrated: bool) -> None:
        if migrated:
            assert migrate_by_command(database).returncode == 0
        name = database.split("?")[0].rsplit("/", 1)[1]
        run_in(database, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        assert "this database is read-only" in end_of(BossProcess("--database", database))

    def test_a_standby(self, server: PostgresServer) -> None:
        assert migrate_by_command(server.url).returncode == 0
        standby = server.standby(server.folder.parent / "standby")
        try:
            assert "this PostgreSQL is a standby" in end_of(BossProcess("--database", standby.url))
        finally:
            standby.close()


class TestKilled:
    @pytest.mark.parametrize("messages", [1, 4, 8, 12])
    def test_meanwhile(self, server: PostgresServer, messages: int) -> None:
        with mute_proxy(server.port, messages) as proxy:
            boss = BossProcess("--database", through(proxy.port))
            until(proxy.is_mute.is_set)
            server.kill()
            proxy.close()
            said = end_of(boss)
            assert "cannot be reached" in said or "went away while Boss was starting" in said

    @pytest.mark.long
    def test_the_migration_that_waits(self, server: PostgresServer) -> None:
        with holding(server.url, "SELECT pg_advisory_xact_lock(x'626F7373'::bigint)"):
            boss = BossProcess("--database", server.url)
            boss.wait_for_log("waits for a long transaction or for another replica")
            server.kill()
            until(lambda: boss.process.poll() is not None)
            assert boss.process.returncode in (1, 75)
            assert "Traceback" not in boss.log
            assert boss.log.splitlines()[-1].startswith("boss: ")
            boss.close()


def test_the_roles_own_time_out_is_not_ours(server: PostgresServer) -> None:
    for setting in ("statement_timeout = '1ms'", "idle_session_timeout = '100ms'", "lock_timeout = '1ms'"):
        server.sql(f"ALTER ROLE boss SET {setting}")
    with boss_running("--database", server.url) as boss, boss.client() as client:
        for number in range(20):
            assert client.post(f"/job/available/freg/{number}", content="{}").status_code == 201
            time.sleep(0.02)
        assert "was lost" not in boss.log
