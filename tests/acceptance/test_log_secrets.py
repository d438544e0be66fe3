"""No log line has a document, result, note, token or password, whatever goes wrong. Refused clients are logged."""

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.helpers.databases import new_database, run_in
from tests.helpers.ndjson import LINES
from tests.helpers.requests import assert_problem
from tests.helpers.servers import BossProcess, boss_running, until
from tests.helpers.tokens import create

pytestmark = pytest.mark.slow

PLANTED = "planted-4711"
DOCUMENT = json.dumps({"password": f"{PLANTED}-document"})
# Makes PostgreSQL refuse every change of a job in words that have all of the job in them.
REFUSE = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'refused: %', NEW USING DETAIL = NEW::text, HINT = NEW::text; END $$;
CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON job FOR EACH ROW EXECUTE FUNCTION refuse()
"""


def with_password(url: str) -> str:
    """The same database by a URL with a password in it, which PostgreSQL does not look at here."""
    return re.sub(r"//([^:@/]+):?[^@/]*@", rf"//\1:{PLANTED}-password@", url)


@pytest.fixture
def planted(postgres: str) -> Iterator[tuple[BossProcess, httpx.Client, str]]:
    """A Boss with secrets in all that it knows: its database's URL, a token, a job's document and result."""
    for url in new_database(postgres):
        with boss_running("--database", with_password(url)) as boss, boss.client() as client:
            client.headers["authorization"] = f"Bearer {create(client, 'root', 'admin')}"
            for id in ("taken", "free", "done"):
                assert client.post(f"/job/available/freg/{id}?priority=1", content=DOCUMENT).status_code == 201
            assert client.post("/job/active/freg/taken").status_code == 200
            assert client.post("/job/done/freg/done", content=DOCUMENT).status_code == 200
            yield boss, client, url


def assert_clean(log: str, *tokens: str) -> None:
    for secret in (PLANTED, *tokens):
        assert secret not in log, [line for line in log.splitlines() if secret in line]


def token_of(client: httpx.Client) -> str:
    return client.headers["authorization"].removeprefix("Bearer ")


def everything(client: httpx.Client) -> list[int]:
    """The statuses of requests with secrets wherever there can be some."""
    key, reason = {"idempotency-key": f"{PLANTED}-key"}, json.dumps({"error": f"{PLANTED}-reason"})
    lines = f'{{"id": "new", "job": {DOCUMENT}}}\n'
    answers = [
        client.post("/job/available/freg/new", content=DOCUMENT),
        client.post("/job/available/freg", content=DOCUMENT + "\n", headers=LINES),
        client.post("/job/available/freg?ids=given", content=lines, headers=LINES),
        client.get("/job/available/freg", headers=key),
        client.post("/job/active/freg/free", headers=key),
        client.put("/job/active/freg/taken", content=DOCUMENT),
        client.request("DELETE", "/job/active/freg/taken?delay=0", content=reason),
        client.head("/job/active/freg/taken"),
        client.post("/job/done/freg/taken?outcome=stopped", content=DOCUMENT),
        client.post("/job/done/freg", content=f'{{"id": "free", "result": {DOCUMENT}}}\n', headers=LINES),
        client.post("/session", json={"token": f"{PLANTED}-token"}),
        client.get(f"/jobs?token={PLANTED}-query", headers={"cookie": f"boss_token={PLANTED}-cookie"}),
        client.get("/jobs", headers={"authorization": f"Bearer {PLANTED}-header"}),
        client.get(f"/jobs/{PLANTED}-id", headers={"if-match": f'"{PLANTED}"'}),
        client.delete(f"/token/{PLANTED}"),
        client.post("/token/new", json={"role": "converter", "sources": [PLANTED]}),
        client.put("/source/freg", json={"limit": 7}),
        client.delete("/job/done?older=0"),
        client.get("/jobs?limit=1000"),
        client.get("/audit"),
        client.get("/health"),
        client.get("/metrics"),
    ]
    return [answer.status_code for answer in answers]


def test_when_postgresql_refuses_in_its_own_words(planted: tuple[BossProcess, httpx.Client, str]) -> None:
    boss, client, url = planted
    run_in(url, REFUSE)
    statuses = everything(client)
    assert_clean(boss.log, token_of(client))
    assert statuses.count(500) >= 6
    assert client.post("/job/available/freg", content=f'{{"{PLANTED}": 1e200000}}').status_code == 400
    assert boss.log.count("asyncpg.exceptions.RaiseError") >= 6
    line = next(json.loads(line) for line in boss.log.splitlines() if "RaiseError" in line)
    assert line["event"].endswith("/{id} failed")
    assert line["exception"][0]["sqlstate"] == "P0001"
    assert any("/submits.py:" in frame for frame in line["exception"][0]["frames"])
    assert_clean(boss.log)


def test_when_tables_are_gone_from_under_it(planted: tuple[BossProcess, httpx.Client, str]) -> None:
    """Every request fails, and every duty."""
    boss, client, url = planted
    with client.stream("GET", "/watch"):
        for table in ("job", "tally", "token", "source_rule", "act", "waiting"):
            run_in(url, f"ALTER TABLE {table} RENAME TO gone_{table}")
        assert everything(client).count(500) >= 10
        for duty in (
            "maintenance failed",
            "loading the tokens failed",
            "loading the source limits failed",
            "reading for the dashboard failed",
        ):
            until(lambda duty=duty: duty in boss.log)  # type: ignore[misc]
    assert_clean(boss.log, token_of(client))
    assert '"sqlstate":"42P01"' in boss.log


def test_while_the_database_is_away(planted: tuple[BossProcess, httpx.Client, str], postgres: str) -> None:
    boss, client, url = planted
    name = url.split("?")[0].rsplit("/", 1)[1]
    run_in(postgres, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    run_in(postgres, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    try:
        until(lambda: client.get("/job").status_code == 503)
        assert everything(client).count(503) >= 10
        until(lambda: "database is away" in boss.log)
    finally:
        run_in(postgres, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    until(lambda: client.get("/job").status_code == 200)
    assert_clean(boss.log, token_of(client))


@pytest.mark.without_schema
@pytest.mark.parametrize(
    "there",
    [
        f"CREATE TABLE job (id int DEFAULT 1, status text DEFAULT '{PLANTED}')",
        f"CREATE VIEW job AS SELECT '{PLANTED}' AS id",
        f"CREATE FUNCTION now() RETURNS text LANGUAGE sql AS 'SELECT ''{PLANTED}'''",
    ],
)
def test_when_it_cannot_start(database: str, there: str) -> None:
    run_in(database, there)
    boss = BossProcess("--database", with_password(database))
    try:
        until(lambda: boss.process.poll() is not None or "Boss serves on" in boss.log)
        assert_clean(boss.log)
    finally:
        boss.close()


def refusals(boss: BossProcess) -> list[tuple[int, str | None]]:
    lines: list[dict[str, Any]] = [json.loads(line) for line in boss.log.splitlines() if '"refused"' in line]
    assert all(line["address"] == "127.0.0.1" and line["level"] == "warning" for line in lines)
    return [(line["status"], line["by"]) for line in lines]


def test_who_is_refused_is_in_the_log_but_not_for_every_request(database: str) -> None:
    with boss_running("--database", database, "--rate", "20", "--quiet") as boss, boss.client() as client:
        assert client.get("/job", headers={"sec-fetch-site": "cross-site"}).status_code == 403
        assert refusals(boss) == [(403, None)]
        client.headers["authorization"] = f"Bearer {create(client, 'root', 'admin')}"
        secret = create(client, "converts", "converter")
        root = token_of(client)
        del client.headers["authorization"]
        mine = {"authorization": f"Bearer {secret}"}
        assert_problem(client.get("/jobs", headers={"authorization": f"Bearer {PLANTED}"}), 401, "needs a token")
        until(lambda: client.get("/jobs", headers=mine).status_code == 403 and (403, "converts") in refusals(boss))
        while client.get("/job/available", headers=mine).status_code != 429:
            pass
        for _ in range(100):
            client.get("/job", headers={"cookie": f"boss_token={PLANTED}"})
        said = refusals(boss)
        assert (401, None) in said
        assert (429, "converts") in said
        assert len(said) < 30  # of some 150
        until(lambda: client.get("/job").status_code == 401 and len(refusals(boss)) > len(said))
        assert_clean(boss.log, secret, root)
