"""Databases as they are found: other schemas and isolation levels, restores of data alone, publications, TRUNCATE."""

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.helpers.databases import empty_database, run_in, value_in
from tests.helpers.postgres import PROGRAMS, PostgresServer
from tests.helpers.servers import BossProcess, boss_running, until
from tests.helpers.starting import migrate_by_command

pytestmark = [pytest.mark.slow, pytest.mark.without_schema]


def fill(boss: BossProcess) -> None:
    with boss.client() as client:
        for address in ("freg/a", "freg/b", "freg/c", "freg/d", "sirius/e"):
            client.post(f"/job/available/{address}", content="{}").raise_for_status()
        client.post("/job/active/freg/a").raise_for_status()
        client.post("/job/done/freg/b").raise_for_status()


def counts(boss: BossProcess) -> dict[str, dict[str, int]]:
    """How many jobs there are, of the sources that have some."""
    tree: dict[str, dict[str, int]] = httpx.get(f"{boss.url}/job").json()
    return {state: {source: jobs for source, jobs in each.items() if jobs} for state, each in tree.items()}


FILLED = {"available": {"freg": 2, "sirius": 1}, "active": {"freg": 1}, "done": {"freg": 1}}
EMPTY: dict[str, dict[str, int]] = {"available": {}, "active": {}, "done": {}}


@pytest.fixture
def other(postgres: str) -> Iterator[str]:
    """Another empty database."""
    yield from empty_database(postgres)


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_a_higher_isolation_level(database: str, level: str) -> None:
    name = database.split("?")[0].rsplit("/", 1)[1]
    run_in(database, f"ALTER DATABASE {name} SET default_transaction_isolation = '{level}'")
    with boss_running("--database", database) as boss, boss_running("--database", database) as second:

        def work(number: int) -> int:
            with (boss, second)[number % 2].client() as client:
                client.post(f"/job/available/freg/{number}", content="{}").raise_for_status()
                # Another one may be at the only job that is left, and it is passed over.
                assert client.get("/job/available").status_code in (200, 404)
                return client.post(f"/job/done/freg/{number}").status_code

        with ThreadPoolExecutor(8) as threads:
            assert set(threads.map(work, range(80))) == {200}
        assert '"level":"error"' not in boss.log + second.log


def test_the_designs_own_sql_from_another_search_path(database: str) -> None:
    run_in(database, 'CREATE SCHEMA "Other one"')
    name = database.split("?")[0].rsplit("/", 1)[1]
    run_in(database, f'ALTER DATABASE {name} SET search_path = "Other one"')
    with boss_running("--database", database) as boss, boss.client() as client:
        fill(boss)
        for path in ("public", "''", "pg_temp"):
            run_in(
                database,
                f"""SET search_path = {path}; CREATE TEMPORARY TABLE tally (x int);
                INSERT INTO "Other one".job (id, source, document) VALUES ('x', 'freg', '{{}}');
                UPDATE "Other one".job SET status = 'ACTIVE' WHERE id =
                    (SELECT id FROM "Other one".job WHERE status = 'AVAILABLE' AND id = 'x' ORDER BY id LIMIT 1)
                RETURNING *""",
            )
            assert client.get("/jobs/x").json()["attempt"] == 1
            run_in(database, f"""SET search_path = {path}; UPDATE "Other one".job SET status = 'DONE' WHERE id = 'x'""")
            assert client.get("/jobs/x").json()["outcome"] == "completed"
            run_in(database, f"""SET search_path = {path}; DELETE FROM "Other one".job WHERE id = 'x'""")
        assert counts(boss) == FILLED


@pytest.mark.parametrize("form", ["plain", "custom"])
def test_a_restore_of_data_alone(database: str, other: str, tmp_path: Path, form: str) -> None:
    with boss_running("--database", database) as boss:
        fill(boss)
    dump = tmp_path / "dump"
    for url in (database, other):
        assert migrate_by_command(url).returncode == 0
    subprocess.run([PROGRAMS / "pg_dump", database, "--data-only", "-F", form[0], "-f", dump], check=True)
    if form == "plain":
        subprocess.run([PROGRAMS / "psql", other, "-q", "-v", "ON_ERROR_STOP=1", "-f", dump], check=True)
    else:
        subprocess.run([PROGRAMS / "pg_restore", "--exit-on-error", "-d", other, dump], check=True)
    with boss_running("--database", other) as boss, boss.client() as client:
        assert counts(boss) == FILLED
        assert client.post("/job/available/freg/after", content="{}").status_code == 201
        assert client.get("/job/available/freg").json()["id"] == "c"


def test_a_restore_of_everything(database: str, other: str, tmp_path: Path) -> None:
    with boss_running("--database", database) as boss:
        fill(boss)
    subprocess.run([PROGRAMS / "pg_dump", database, "-Fc", "-f", tmp_path / "dump"], check=True)
    subprocess.run([PROGRAMS / "pg_restore", "--exit-on-error", "-d", other, tmp_path / "dump"], check=True)
    with boss_running("--database", other) as boss:
        assert counts(boss) == FILLED


def test_a_schema_that_is_renamed(database: str) -> None:
    name = database.split("?")[0].rsplit("/", 1)[1]
    for schema in ("one", 'An"other \\1', "three"):
        quoted = '"' + schema.replace('"', '""') + '"'
        old = run_in_schema(database, quoted, name)
        with boss_running("--database", database) as boss:
            if not old:
                fill(boss)
            assert counts(boss) == FILLED
            with boss.client() as client:
                client.post("/job/available/freg/more", content="{}").raise_for_status()
                run_in(database, f"SET search_path = ''; DELETE FROM {quoted}.job WHERE id = 'more'")
            assert counts(boss) == FILLED


def run_in_schema(database: str, schema: str, name: str) -> bool:
    """Have the schema of a database called this from now on; return whether there was one."""
    found = value_in(database, "SELECT quote_ident(nspname) FROM pg_namespace WHERE oid >= 16384 AND nspname !~ '^pg_'")
    run_in(database, f"ALTER SCHEMA {found} RENAME TO {schema}" if found else f"CREATE SCHEMA {schema}")
    run_in(database, f"ALTER DATABASE {name} SET search_path = {schema}")
    return found is not None


def test_truncate(database: str) -> None:
    with boss_running("--database", database) as boss:
        fill(boss)
        assert counts(boss) == FILLED
        run_in(database, "TRUNCATE job")
        assert counts(boss) == EMPTY
        fill(boss)
        run_in(
            database, "SET search_path = ''; INSERT INTO public.job (id, source, document) VALUES ('x', 'freg', '{}')"
        )
        run_in(database, "SET search_path = ''; TRUNCATE public.job")
        assert counts(boss) == EMPTY


def test_a_publication_for_all_tables(folder: Path) -> None:
    server = PostgresServer.new(folder / "logical", wal_level="logical")
    try:
        server.sql("CREATE PUBLICATION everything FOR ALL TABLES")
        with boss_running("--database", server.url) as boss:
            fill(boss)
            rows = "SELECT count(*) FROM (SELECT FROM tally GROUP BY source, status HAVING count(*) > 1) AS unfolded"
            until(lambda: int(server.sql(rows)) == 0)
            assert counts(boss) == FILLED
            assert "maintenance is postponed" not in boss.log
    finally:
        server.close()


def test_what_does_not_pass_is_not_called_away(database: str) -> None:
    with boss_running("--database", database) as boss, boss.client() as client:
        run_in(database, "ALTER TABLE job ADD CHECK (source <> 'refused') NOT VALID; ALTER TABLE act RENAME TO acts")
        answer = client.put("/source/freg", json={"limit": 3})
        assert answer.status_code == 500
        assert client.post("/job/available/refused", content="{}").status_code == 500
        assert client.get("/health/ready").status_code == 200
