"""`boss migrate`, and a server whose user may read and write, and nothing else."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from boss.postgres.migrate import migrations
from tests.helpers.databases import run_in
from tests.helpers.servers import PATIENCE, BossProcess, boss_running, until
from tests.helpers.starting import end_of, holding, migrate_by_command

pytestmark = [pytest.mark.slow, pytest.mark.without_schema]

OPERATING = (Path(__file__).parents[2] / "docs" / "operating.md").read_text()


@pytest.fixture
def web(database: str) -> Iterator[str]:
    """The URL for a user who owns nothing and was granted nothing yet."""
    run_in(database, "CREATE ROLE web LOGIN; REVOKE ALL ON SCHEMA public FROM public")
    yield database.replace("boss@", "web@")
    run_in(database, "DROP OWNED BY web; DROP ROLE web")


def granted() -> str:
    """What the documentation says to grant."""
    start = OPERATING.index("GRANT USAGE")
    return OPERATING[start : OPERATING.index("```", start)].replace("boss_serve", "web")


def test_it_says_what_it_did(database: str) -> None:
    done = migrate_by_command(database)
    assert (done.returncode, done.stdout) == (0, f"migrated: {', '.join(name for _, name, _ in migrations())}\n")
    again = migrate_by_command(database)
    assert (again.returncode, again.stdout) == (0, "there was nothing to migrate\n")


def test_it_needs_a_database() -> None:
    command = [sys.executable, "-m", "boss", "migrate"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, env={"PATH": ""})
    assert done.returncode == 2
    assert "say which database" in done.stderr


def test_its_errors_are_sentences(database: str) -> None:
    for url, said, code in (
        (database.replace("/test_", "/nowhere_"), "does not exist", 1),
        ("nonsense", "cannot be understood", 2),
    ):
        done = migrate_by_command(url)
        assert done.returncode == code
        assert said in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_it_waits_for_its_turn(database: str) -> None:
    with ThreadPoolExecutor(1) as thread:
        with holding(database, "SELECT pg_advisory_xact_lock(x'626F7373'::bigint)"):
            done = thread.submit(migrate_by_command, database)
            command = "SELECT 1/count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            until(lambda: done.done() or _runs(database, command))
        assert done.result().returncode == 0


def _runs(url: str, statement: str) -> bool:
    try:
        run_in(url, statement)
    except Exception:
        return False
    return True


class TestAUserWhoMayOnlyReadAndWrite:
    @pytest.mark.long
    def test_serves_what_another_has_migrated(self, database: str, web: str) -> None:
        assert migrate_by_command(database).returncode == 0
        run_in(database, granted())
        with boss_running("--database", web, "--keep-done", "0") as boss, boss.client() as client:
            use_everything(client)
            until(lambda: "deleted" in boss.log)
            assert '"level":"error"' not in boss.log, boss.log

    @pytest.mark.parametrize(("table", "migration"), [("schedule", "schedules"), ("awaited", "ends")])
    def test_may_use_a_table_that_an_upgrade_makes(self, database: str, web: str, table: str, migration: str) -> None:
        assert migrate_by_command(database).returncode == 0
        run_in(database, granted())
        run_in(database, f"DROP TABLE {table}; DELETE FROM boss_migration WHERE name LIKE '%{migration}%'")
        assert migrate_by_command(database).returncode == 0
        with boss_running("--database", web) as boss, boss.client() as client:
            answer = client.put("/schedule/nightly", json={"source": "freg", "cron": "0 3 * * *"})
            assert answer.status_code == 200, answer.text
            assert client.post("/job/available/freg/monday", content="{}").status_code == 201
            assert client.get("/jobs/monday?wait=1").status_code == 200

    def test_submits_in_sql_after_an_upgrade_as_before(self, database: str, web: str) -> None:
        assert migrate_by_command(database).returncode == 0
        run_in(
            database,
            "GRANT USAGE ON SCHEMA public TO web; GRANT SELECT, INSERT ON job TO web;"
            "GRANT INSERT ON tally TO web; GRANT SELECT ON waiting TO web",
        )
        run_in(database, "DROP TABLE awaited; DELETE FROM boss_migration WHERE name LIKE '%ends%'")
        assert migrate_by_command(database).returncode == 0
        run_in(web, "INSERT INTO job (source, status, id, document) VALUES ('freg', 'AVAILABLE', 'monday', '{}')")

    def test_is_told_who_makes_the_schema(self, database: str, web: str) -> None:
        run_in(database, "GRANT USAGE ON SCHEMA public TO web")
        said = end_of(BossProcess("--database", web))
        assert "Boss may not make or read its tables" in said
        assert "boss migrate does it as another user" in said

    def test_is_told_what_to_grant(self, database: str, web: str) -> None:
        assert migrate_by_command(database).returncode == 0
        run_in(database, granted())
        run_in(database, "REVOKE INSERT, DELETE ON tally FROM web")
        said = end_of(BossProcess("--database", web))
        assert "may not INSERT, DELETE public.tally; GRANT INSERT, DELETE ON public.tally TO" in said

    def test_is_told_of_what_is_missing(self, database: str, web: str) -> None:
        assert migrate_by_command(database).returncode == 0
        run_in(database, granted())
        run_in(database, "DELETE FROM boss_migration WHERE version > 4")
        assert "boss migrate does it as another user" in end_of(BossProcess("--database", web))


def use_everything(client: httpx.Client) -> None:
    """Every kind of statement, at least once."""

    def asked(method: str, path: str, status: int, body: str | None = None) -> httpx.Response:
        answer = client.request(method, path, content=body)
        assert answer.status_code == status, f"{method} {path}: {answer.text}"
        return answer

    for id in ("a", "b", "c", "d", "e", "f"):
        asked("POST", f"/job/available/freg/{id}", 201, "{}")
    asked("POST", "/job/available/freg/late?delay=1", 201, "{}")
    assert asked("GET", "/job/available/freg?lease=1", 200).json()["id"] == "a"
    asked("GET", "/job/available", 200)
    client.get("/job/available/freg", headers={"idempotency-key": "k"}).raise_for_status()
    asked("POST", "/job/active/freg/d", 200)
    asked("HEAD", "/job/active/freg/d", 200)
    asked("DELETE", "/job/active/freg/d", 204)
    asked("PUT", "/source/freg", 200, '{"limit": 9}')
    asked("GET", "/job/available/freg", 200)
    asked("PUT", "/source/freg", 200, "{}")
    asked("POST", "/job/done/freg/f", 200)
    until(lambda: client.get("/jobs/a").json().get("state") in ("available", None))
    until(lambda: client.get("/jobs/late").json()["due"] is None)
    for path in ("/job", "/jobs", "/jobs/b", "/health", "/health/ready", "/metrics", "/source", "/audit"):
        assert client.get(path).status_code == 200, path
    asked("DELETE", "/job/done?older=1000", 200)
    asked("GET", "/job/available/nothing?wait=1", 404)
    secret = asked("POST", "/token/root", 201, '{"role": "admin"}').json()["token"]
    headers = {"authorization": f"Bearer {secret}"}
    assert client.get("/job", headers=headers).status_code == 200
    assert client.post("/token/other", json={"role": "submitter"}, headers=headers).status_code == 201
    assert client.delete("/token/other", headers=headers).status_code in (200, 204)
