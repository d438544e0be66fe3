"""GET /jobs by outcome, time and reason: the newest first, on pages that stay stable, or as lines."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from boss.client.sync_client import Client
from tests.helpers.commands import Boss
from tests.helpers.databases import fill_in, new_database, run_in
from tests.helpers.requests import assert_problem, submit
from tests.helpers.servers import BossProcess, boss_running, until
from tests.helpers.tokens import create

pytestmark = pytest.mark.slow

LINES = {"accept": "application/x-ndjson"}
# The ids are in no order, so that nothing is sorted by them. Every hundredth has the time of the one before.
FILL = """
INSERT INTO job (id, source, document, status, attempt, outcome, submitted_at, finished_at, result)
SELECT md5(n::text), 'source-' || n % 3, '{}', 'DONE', 1,
       CASE WHEN n % 50 = 0 THEN 'failed' WHEN n % 7 = 0 THEN 'stopped' ELSE 'completed' END,
       '2026-02-01', timestamptz '2026-03-01 12:00Z' - (n - (n % 100 = 1)::int) * interval '1 second',
       CASE WHEN n % 50 = 0 THEN jsonb_build_object('error', 'Disk FULL on node ' || n)
            WHEN n % 7 = 0 THEN '{"reason": "Wrong file, æøå"}' END
FROM generate_series(1, {jobs}) AS n
"""
FEW, MANY = 600, 30_000


@pytest.fixture(params=[FEW, MANY], scope="module")
def filled(request: pytest.FixtureRequest, postgres: str) -> Iterator[tuple[httpx.Client, list[dict[str, Any]]]]:
    """A Boss with few done jobs, which are sorted, or with many, which are walked through; and all of these jobs."""
    for database in new_database(postgres):
        fill_in(database, FILL.replace("{jobs}", str(request.param)))
        with boss_running("--database", database) as boss, boss.client() as client:
            jobs = [json.loads(line) for line in client.get("/jobs", headers=LINES).text.splitlines()]
            assert len(jobs) == request.param
            yield client, jobs


def pages(client: httpx.Client, path: str = "/jobs", **query: Any) -> Iterator[list[dict[str, Any]]]:
    page = client.get(path, params=query).raise_for_status().json()
    yield page["jobs"]
    while page["next"]:
        page = client.get(page["next"]).raise_for_status().json()
        yield page["jobs"]


def ids(jobs: list[dict[str, Any]]) -> list[str]:
    return [job["id"] for job in jobs]


def found(client: httpx.Client, **query: Any) -> list[str]:
    return [id for page in pages(client, **query) for id in ids(page)]


def newest_first(jobs: list[dict[str, Any]]) -> list[str]:
    return ids(sorted(jobs, key=lambda job: (job["finished"] or job["submitted"], job["id"]), reverse=True))


@pytest.mark.parametrize(
    ("query", "matches"),
    [
        ({"since": "2026-01-01T00:00:00Z"}, lambda job: True),
        ({"outcome": "failed"}, lambda job: job["outcome"] == "failed"),
        (
            {"outcome": "stopped", "source": "source-1"},
            lambda job: (job["outcome"], job["source"]) == ("stopped", "source-1"),
        ),
        ({"outcome": "abandoned"}, lambda job: False),
        ({"state": "done", "reason": "disk full"}, lambda job: job["outcome"] == "failed"),
        ({"reason": "FILE, Æøå"}, lambda job: job["outcome"] == "stopped"),
        ({"reason": "node 250", "outcome": "failed"}, lambda job: "node 250" in str(job["result"])),
        ({"reason": "100%"}, lambda job: False),
        (
            {"since": "2026-03-01T11:55:00Z", "until": "2026-03-01T12:58:00+01:00", "outcome": "completed"},
            lambda job: (
                job["outcome"] == "completed" and "2026-03-01T11:55:00" <= job["finished"] < "2026-03-01T11:58:00"
            ),
        ),
        ({"until": "2026-02-01T00:00:00Z"}, lambda job: False),
        ({"state": "available", "since": "2026-01-01T00:00:00Z"}, lambda job: False),
    ],
)
@pytest.mark.parametrize("limit", [7, 1000])
def test_a_filter_finds_all_that_match_and_nothing_else_newest_first(
    filled: tuple[httpx.Client, list[dict[str, Any]]], query: dict[str, Any], matches: Any, limit: int
) -> None:
    client, jobs = filled
    wanted = newest_first([job for job in jobs if matches(job)])
    if limit == 7 and len(wanted) > 2000:
        limit = 151
    assert found(client, **query, limit=limit) == wanted
    assert [
        json.loads(line)["id"] for line in client.get("/jobs", params=query, headers=LINES).text.splitlines()
    ] == wanted


def test_without_a_filter_by_time_the_greatest_id_comes_first(
    filled: tuple[httpx.Client, list[dict[str, Any]]],
) -> None:
    """As in the versions before, whose addresses of pages have an id alone."""
    client, jobs = filled
    assert found(client, limit=1000) == sorted(ids(jobs), reverse=True)
    page = client.get("/jobs?state=done&source=source-1&limit=3").json()
    assert page["next"] == f"/jobs?state=done&source=source-1&limit=3&after={page['jobs'][-1]['id']}"


def test_lines_with_a_limit_are_one_page(filled: tuple[httpx.Client, list[dict[str, Any]]]) -> None:
    client, jobs = filled
    answer = client.get("/jobs?outcome=completed&limit=5", headers=LINES)
    first = [json.loads(line) for line in answer.text.splitlines()]
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert first == client.get("/jobs?outcome=completed&limit=5").json()["jobs"]
    rest = client.get(answer.links["next"]["url"], headers=LINES)
    assert [*ids(first), *(json.loads(line)["id"] for line in rest.text.splitlines())] == newest_first(
        [job for job in jobs if job["outcome"] == "completed"]
    )[:10]


def test_open_jobs_by_the_time_of_their_submit_beside_done_ones(client: httpx.Client, source: str) -> None:
    first = submit(client, source)
    second = submit(client, source)
    third = submit(client, source)
    client.post(f"/job/done/{source}/{first}")
    last = submit(client, source, delay=3600)
    since = (datetime.now(UTC) - timedelta(minutes=10)).isoformat()
    assert found(client, source=source, since=since, limit=1) == [last, first, third, second]
    assert found(client, source=source, since=since, state="available") == [last, third, second]
    assert found(client, source=source, until=since) == []


def test_pages_stay_stable_while_others_come_and_go(module_boss: BossProcess, source: str) -> None:
    """Jobs are submitted and finished between all pages; those that were done are on one page each."""
    with module_boss.client() as client:
        done = [submit(client, source) for _ in range(60)]
        for id in done:
            client.post(f"/job/done/{source}/{id}")
    stop = threading.Event()

    def others() -> int:
        moved = 0
        with module_boss.client() as client:
            while not stop.is_set():
                id = submit(client, source)
                assert client.post(f"/job/done/{source}/{id}").status_code == 200
                moved += 1
        return moved

    with ThreadPoolExecutor(1) as thread, module_boss.client() as client:
        moving = thread.submit(others)
        try:
            since = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
            for _ in range(5):
                shown = [id for page in pages(client, source=source, since=since, limit=3) for id in ids(page)]
                assert len(shown) == len(set(shown))
                assert [id for id in shown if id in set(done)] == done[::-1]
        finally:
            stop.set()
        assert moving.result() > 0


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("outcome=gone", "completed, failed, stopped, abandoned"),
        ("since=yesterday", "time in since .* RFC 3339"),
        ("until=2026-11-26", "time in until .* RFC 3339"),
        ("reason=", "from 1 to 200|1 to 200"),
        (f"reason={'x' * 201}", "1 to 200"),
        ("reason=%00", "no NUL"),
        ("state=active&outcome=failed", "only done jobs have outcomes"),
        ("state=available&reason=x", "only done jobs have reasons"),
        ("outcome=failed&after=monday", "follow the address in next"),
        ("outcome=failed&after=monday,monday", "time in after"),
        ("outcome=failed&after=2026-11-26T20:00:00Z,a/b", "cannot be an id"),
        ("after=2026-11-26T20:00:00Z,monday", "cannot be an id"),
    ],
)
def test_what_is_malformed_is_refused(client: httpx.Client, query: str, says: str) -> None:
    assert_problem(client.get(f"/jobs?{query}"), 400, f"(?i){says}")


def test_too_many_open_jobs_are_not_sorted(database: str) -> None:
    fill_in(
        database,
        "INSERT INTO job (id, source, document) SELECT 'ready-' || n, 'source-' || n % 3, '{}'"
        " FROM generate_series(1, 12000) AS n",
    )
    with boss_running("--database", database) as boss, boss.client() as client:
        answer = client.get("/jobs?since=2026-01-01T00:00:00Z")
        assert_problem(answer, 400, "add state=done, or another source")
        assert len(found(client, since="2026-01-01T00:00:00Z", source="source-1", limit=1000)) == 4000
        assert found(client, since="2026-01-01T00:00:00Z", state="done") == []


def test_a_stream_that_breaks_off_has_no_end(database: str) -> None:
    fill_in(database, FILL.replace("{jobs}", str(MANY)))
    with boss_running("--database", database) as boss, boss.client() as client:
        with client.stream("GET", "/jobs?since=2026-01-01T00:00:00Z", headers=LINES) as answer:
            assert answer.status_code == 200
            lines = answer.iter_lines()
            next(lines)
            run_in(database, "ALTER TABLE job RENAME TO hidden")
            with pytest.raises(httpx.RemoteProtocolError):
                list(lines)
        run_in(database, "ALTER TABLE hidden RENAME TO job")
        until(lambda: client.get("/jobs?limit=1").status_code == 200)


@pytest.mark.parametrize("words", ["a.b", "(", "***:x", "[x]", "50%", "_", "'", "ß", "line\nbreak", "tab\t"])
def test_words_are_taken_as_they_are(client: httpx.Client, source: str, words: str) -> None:
    id, other = submit(client, source), submit(client, source)
    client.post(f"/job/done/{source}/{id}?outcome=failed", json={"error": f"before {words} after"})
    client.post(f"/job/done/{source}/{other}?outcome=failed", json={"error": "axb 5 before d after"})
    assert found(client, source=source, reason=words) == [id]
    assert found(client, source=source, reason=words.upper()) == ([id] if words != "ß" else [])


def test_the_command_and_the_client_find_the_same(client: httpx.Client, module_boss: BossProcess, source: str) -> None:
    jobs = [submit(client, source) for _ in range(3)]
    for id in jobs:
        client.post(f"/job/done/{source}/{id}?outcome=failed", json={"error": f"No route to {id}"})
    boss = Boss(module_boss.url)
    since = "2026-01-01T00:00:00+00:00"
    words = ("jobs", "--source", source, "--outcome", "failed", "--since", since, "--reason", "no ROUTE")
    assert [json.loads(line)["id"] for line in boss(*words, "--json").stdout.splitlines()] == jobs[::-1]
    assert [line.split()[2] for line in boss(*words, "--limit", "2").stdout.splitlines()[1:]] == jobs[:0:-1]
    assert boss(*words, "--until", since).stderr == "boss: there are no such jobs\n"
    assert boss("jobs", "--source", source, "--outcome", "gone").returncode == 2
    assert boss("jobs", "--state", "active", "--outcome", "failed").returncode == 2
    with Client(module_boss.url) as sync:
        got = sync.jobs(source=source, outcome="failed", since=datetime.fromisoformat(since), reason=jobs[1])
        assert [job["id"] for job in got] == [jobs[1]]
        assert list(sync.jobs(source=source, until=datetime.fromisoformat(since))) == []


def test_a_token_finds_jobs_of_its_own_sources_alone(database: str) -> None:
    with boss_running("--database", database) as boss, boss.client() as client:
        for source in ("freg", "other"):
            client.post(f"/job/done/{source}/{submit(client, source)}")
            submit(client, source)
        root = {"authorization": f"Bearer {create(client, 'root', 'admin')}"}
        token = client.post("/token/reads", json={"role": "submitter", "sources": ["freg"]}, headers=root).json()[
            "token"
        ]
        mine = {"authorization": f"Bearer {token}"}
        answer = client.get("/jobs?since=2026-01-01T00:00:00Z", headers=mine)
        assert [job["source"] for job in answer.json()["jobs"]] == ["freg", "freg"]
        assert_problem(client.get("/jobs?source=other&outcome=completed", headers=mine), 403, "not for the source")


def test_a_large_result_is_not_searched(client: httpx.Client, source: str) -> None:
    ids = [submit(client, source) for _ in range(2)]
    for id, size in zip(ids, (16_000, 17_000), strict=True):
        client.post(f"/job/done/{source}/{id}", json={"text": "x" * size, "end": "needle"})
    assert found(client, source=source, reason="needle") == ids[:1]
