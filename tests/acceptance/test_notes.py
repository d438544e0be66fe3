"""Notes: what a converter leaves with its job while it works, and the next attempt gets."""

import json
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.helpers.databases import run_in, value_in
from tests.helpers.jobs import record, take
from tests.helpers.lines import read_lines
from tests.helpers.notes import leave, left_behind
from tests.helpers.requests import assert_problem, submit
from tests.helpers.servers import BossProcess, boss_running

pytestmark = pytest.mark.slow

LINES = {"accept": "application/x-ndjson"}
MOST = 64 * 1024


def test_it_is_left_and_seen(client: httpx.Client, source: str) -> None:
    id = submit(client, source)
    take(client, source)
    assert record(client, id)["note"] is None
    answer = leave(client, f"{source}/{id}", ' {"page": 3, "exact": 1.50, "page": 4}\n')
    assert (answer.status_code, answer.content, answer.headers["boss-state"]) == (204, b"", "active")
    assert '"note":{"page": 4, "exact": 1.50}' in client.get(f"/jobs/{id}").text
    assert leave(client, f"{source}/{id}", '{"page": 5}', attempt=1).status_code == 204
    [listed] = client.get(f"/jobs?source={source}").json()["jobs"]
    [found] = client.get(f"/jobs?source={source}&since=2020-01-01T00:00:00Z").json()["jobs"]
    assert listed["note"] == found["note"] == record(client, id)["note"] == {"page": 5}
    client.post(f"/job/done/{source}/{id}")
    assert record(client, id)["note"] == {"page": 5}


def test_it_renews_the_lease(client: httpx.Client, source: str) -> None:
    id = submit(client, source)
    take(client, source, lease=600)
    before = record(client, id)
    assert leave(client, f"{source}/{id}").status_code == 204
    after = record(client, id)
    assert after["seen"] > before["seen"]
    assert after["until"] > before["until"]
    client.delete(f"/job/active/{source}/{id}?delay=0")
    take(client, source, lease=0)
    assert leave(client, f"{source}/{id}").status_code == 204
    assert record(client, id)["until"] is None


@pytest.mark.parametrize("how", ["GET", "POST", "address", "key", "several", "any", "fair", "limited"])
def test_the_next_attempt_is_told(client: httpx.Client, source: str, how: str) -> None:
    if how == "limited":
        client.put(f"/source/{source}", json={"limit": 5})
    id = left_behind(client, source, priority=1000)
    path = {
        "GET": f"/job/available/{source}",
        "POST": f"/job/active/{source}",
        "address": f"/job/active/{source}/{id}",
        "key": f"/job/available/{source}",
        "several": f"/job/available/{source},{source}-2",
        "any": "/job/available",
        "fair": f"/job/available/{source},{source}-2?fair=1",
        "limited": f"/job/available/{source}",
    }[how]
    headers = {"idempotency-key": source} if how == "key" else {}
    method = "POST" if how in ("POST", "address") else "GET"
    for _ in range(2 if how == "key" else 1):  # the same take again
        answer = client.request(method, path, headers=headers)
        assert answer.json() == {"id": id, "source": source, "job": {}}
        assert (answer.headers["etag"], answer.headers["boss-note"]) == ('"2"', "yes")
    assert record(client, id)["note"] == {"page": 3}
    # Without another note, this attempt hands on the one that it got.
    client.delete(f"/job/active/{source}/{id}?delay=0")
    assert client.post(f"/job/active/{source}/{id}").headers["boss-note"] == "yes"


@pytest.mark.parametrize("key", [None, "k"])
def test_many_are_told_of_their_notes(client: httpx.Client, source: str, key: str | None) -> None:
    headers = {} if key is None else {"idempotency-key": key}
    first, second = left_behind(client, source, '{"text": ",\\"job\\":"}'), submit(client, source)
    wanted = [
        {"id": first, "source": source, "attempt": 2, "note": {"text": ',"job":'}, "job": {}},
        {"id": second, "source": source, "attempt": 1, "job": {}},
    ]
    for _ in range(1 if key is None else 2):
        lines = client.get(f"/job/available/{source}?limit=5", headers=headers | LINES)
        assert read_lines(lines.text) == wanted
        assert "boss-note" not in lines.headers
    client.delete(f"/job/active/{source}/{first}?delay=0")
    client.delete(f"/job/active/{source}/{second}?delay=0")
    array = client.get(f"/job/available/{source}?limit=5")
    assert array.json() == [{"id": id, "source": source, "job": {}} for id in (first, second)]
    assert array.headers["boss-note"] == "yes"


def test_a_take_without_notes_says_nothing_of_them(client: httpx.Client, source: str) -> None:
    for _ in range(3):
        submit(client, source)
    answer = client.get(f"/job/available/{source}")
    many = client.get(f"/job/available/{source}?limit=1")
    lines = client.get(f"/job/available/{source}?limit=1", headers=LINES)
    assert all("note" not in f"{each.headers}{each.text}" for each in (answer, many, lines))


def test_only_with_an_active_job(client: httpx.Client, source: str) -> None:
    id = submit(client, source)
    answer = leave(client, f"{source}/{id}")
    assert_problem(answer, 404, f"it is at /job/available/{source}/{id}")
    assert answer.headers["boss-state"] == "available"
    take(client, source)
    assert_problem(leave(client, f"{source}-other/{id}"), 404, f"/job/active/{source}/{id}")
    client.post(f"/job/done/{source}/{id}")
    assert leave(client, f"{source}/{id}").headers["boss-state"] == "done"
    assert record(client, id)["note"] is None
    assert_problem(leave(client, f"{source}/{id}-no"), 404, "no job has the id")


def test_another_attempt_changes_nothing(client: httpx.Client, source: str) -> None:
    id = left_behind(client, source)
    take(client, source)
    before = record(client, id)
    answer = leave(client, f"{source}/{id}", '{"late": true}', attempt=1)
    assert_problem(answer, 412, f"attempt 1 of {id}")
    assert answer.headers["boss-state"] == "active"
    assert record(client, id) == before


@pytest.mark.parametrize(
    ("note", "status", "says"),
    [
        ("", 400, "the note is empty"),
        ("[1]", 400, "the note is an array"),
        ("null", 400, "the note is null"),
        ("{", 400, "the note is not JSON"),
        ('{"a": "\\u0000"}', 400, "NUL"),
        ('{"a": 1e200000}', 400, "overflows"),
        ('{"a": 1e100000}', 413, "the note is larger than 65536 bytes"),
        (json.dumps({"a": "x" * MOST}), 413, "the note is larger than 65536 bytes"),
        (f'{{"a":[{"1," * (MOST // 2 - 10)}1]}}', 413, "larger than 65536 bytes"),
        (f'{{"a":{"[" * 20_000}1{"]" * 20_000}}}', 400, "not JSON|nested"),
        (json.dumps({"a": "x" * 2 * MOST}), 413, "the note is larger than 65536 bytes"),
    ],
)
def test_what_cannot_be_a_note(client: httpx.Client, source: str, note: str, status: int, says: str) -> None:
    id = submit(client, source)
    take(client, source)
    before = record(client, id)
    assert_problem(leave(client, f"{source}/{id}", note), status, f"(?i){says}")
    assert_problem(client.put(f"/job/active/{source}/{id}?delay=1", content="{}"), 400, "not a parameter here")
    assert record(client, id) == before


@pytest.mark.parametrize(
    ("note", "as_read"),
    [
        (f'{{"a": "{"x" * (MOST - 9)}"}}', f'{{"a": "{"x" * (MOST - 9)}"}}'),
        ('{"a":1e65000}', f'{{"a": 1{"0" * 65000}}}'),
        ('{"\\u00e9": "\\ud83d\\ude00"}', '{"\u00e9": "\U0001f600"}'),
    ],
    ids=["large", "long", "escaped"],
)
def test_what_can(client: httpx.Client, source: str, note: str, as_read: str) -> None:
    left_behind(client, source, note)
    answer = client.get(f"/job/available/{source}?limit=1", headers=LINES)
    assert f'"attempt":2,"note":{as_read},"job":{{}}}}\n' in answer.text


def test_two_for_one_job_at_once(module_boss: BossProcess, source: str) -> None:
    """The bad one is refused alone, and of the others the last one stays."""
    with module_boss.client() as client:
        id = submit(client, source)
        take(client, source)
        notes = ['{"n": 1}', '{"bad": 1e200000}', "{", '{"n": 2}'] * 10
        with ThreadPoolExecutor(20) as threads:
            got = list(threads.map(lambda note: leave(client, f"{source}/{id}", note, attempt=1).status_code, notes))
            mixed = list(
                threads.map(lambda n: leave(client, f"{source}/{id}", f'{{"n": {n}}}', n).status_code, [1, 2] * 9)
            )
        assert got == [204, 400, 400, 204] * 10
        assert mixed == [204, 412] * 9
        assert record(client, id)["note"] == {"n": 1}


def test_a_thousand_share_statements(database: str) -> None:
    with boss_running("--database", database) as running, running.client() as client:
        for number in range(1000):
            submit(client, f"freg/job-{number}")
        client.get("/job/available?limit=1000")

        def leave_many(numbers: range) -> Counter[int]:
            with running.client() as mine:
                return Counter(leave(mine, f"freg/job-{n}", f'{{"n": {n}}}', 1).status_code for n in numbers)

        with ThreadPoolExecutor(20) as threads:
            counted = list(threads.map(leave_many, [range(first, 1000, 20) for first in range(20)]))
        assert sum(counted, Counter[int]()) == {204: 1000}
        notes = {job["id"]: job["note"] for job in client.get("/jobs?limit=1000").json()["jobs"]}
        assert notes == {f"job-{n}": {"n": n} for n in range(1000)}
        metrics = client.get("/metrics").text
        [statements] = [line.split()[1] for line in metrics.splitlines() if "_count{" in line and '"note"' in line]
        assert float(statements) < 900


def test_redo_keeps_it_unless_the_document_is_another(client: httpx.Client, source: str) -> None:
    id = left_behind(client, source)
    client.post(f"/job/done/{source}/{id}")
    assert client.post(f"/job/available/{source}/{id}?from=done").status_code == 200
    assert record(client, id)["note"] == {"page": 3}
    client.post(f"/job/done/{source}/{id}")
    assert client.post(f"/job/available/{source}?from=done").json()["moved"] == 1
    assert record(client, id)["note"] == {"page": 3}
    client.post(f"/job/done/{source}/{id}")
    assert client.post(f"/job/available/{source}/{id}?from=done", content='{"n": 2}').status_code == 200
    assert record(client, id)["note"] is None


def test_another_document_has_no_note(client: httpx.Client, source: str) -> None:
    id = left_behind(client, source)
    client.put(f"/job/available/{source}/{id}?priority=3")
    assert record(client, id)["note"] == {"page": 3}
    client.put(f"/job/available/{source}/{id}", content='{"n": 2}')
    assert record(client, id)["note"] is None
    assert "boss-note" not in take(client, source).headers


def test_finishes_that_race_with_notes_lose_nothing(database: str) -> None:
    """Over two replicas, for one job after the other: each result is kept, and so is the last note that was taken."""
    jobs, together = range(100), threading.Barrier(3)
    with boss_running("--database", database) as one, boss_running("--database", database) as other:
        with one.client() as client:
            for number in jobs:
                submit(client, f"freg/job-{number}")
            client.get("/job/available?limit=1000")

        def leave_three(replica: BossProcess) -> list[list[int]]:
            with replica.client() as mine:
                return [[leave_after_wait(mine, number, replica.port, turn) for turn in range(3)] for number in jobs]

        def leave_after_wait(mine: httpx.Client, number: int, port: int, turn: int) -> int:
            if turn == 0:
                together.wait()
            return leave(mine, f"freg/job-{number}", f'{{"port": {port}, "turn": {turn}}}', 1).status_code

        def finish(replica: BossProcess) -> list[int]:
            with replica.client() as mine:
                return [finish_after_wait(mine, number) for number in jobs]

        def finish_after_wait(mine: httpx.Client, number: int) -> int:
            together.wait()
            return mine.post(f"/job/done/freg/job-{number}", content=f'{{"n": {number}}}').status_code

        with ThreadPoolExecutor(3) as threads:
            leaving = {replica.port: threads.submit(leave_three, replica) for replica in (one, other)}
            assert threads.submit(finish, one).result() == [200 for _ in jobs]
            left = {port: each.result() for port, each in leaving.items()}
        with one.client() as client, other.client() as elsewhere:
            done = client.get("/jobs?limit=1000").json()["jobs"]
            shown = {job["id"]: (job["state"], job["outcome"], job["result"]) for job in done}
            assert shown == {f"job-{n}": ("done", "completed", {"n": n}) for n in jobs}
            notes = {job["id"]: job["note"] for job in done}
            for number in jobs:
                statuses = {port: of_port[number] for port, of_port in left.items()}
                # Once the job was done, no note was taken any more.
                assert all(
                    each in ([404] * 3, [204, 404, 404], [204, 204, 404], [204] * 3) for each in statuses.values()
                )
                last: list[object] = [
                    {"port": port, "turn": each.count(204) - 1} for port, each in statuses.items() if 204 in each
                ]
                assert notes[f"job-{number}"] in (last or [None])
            for replica in (client, elsewhere):
                assert {leave(replica, f"freg/job-{number}").status_code for number in jobs} == {404}
            assert client.get("/jobs?limit=1000").json()["jobs"] == done


def test_notes_count_towards_what_a_take_and_a_page_may_have(database: str) -> None:
    jobs = 700
    with boss_running("--database", database) as running, running.client() as client:
        client.post(
            "/job/available/freg", content="{}\n" * jobs, headers={"content-type": "application/x-ndjson"}
        ).raise_for_status()
        # It is stored as it is, for it cannot be compressed.
        text = f"(SELECT string_agg(md5(n::text), '') FROM generate_series(1, {MOST // 32 - 1}) AS n)"
        run_in(database, f"UPDATE job SET note = jsonb_build_object('a', {text})")
        pages, path = [], "/jobs?limit=1000"
        while path:
            answer = client.get(path)
            assert len(answer.content) < 9 * 1024 * 1024
            pages.append(len(answer.json()["jobs"]))
            path = answer.json()["next"]
        assert (sum(pages), len(pages)) == (jobs, 6)
        takes = [client.get("/job/available?limit=1000", headers=LINES) for _ in range(2)]
        assert all(len(answer.content) < 33 * 1024 * 1024 for answer in takes)
        counts = [len(answer.text.splitlines()) for answer in takes]
        assert counts == [511, jobs - 511]
        run_in(database, """UPDATE job SET status = 'AVAILABLE', note = '{"a": 1}'""")
        # Small notes are counted as they are.
        assert len(read_lines(client.get("/job/available?limit=1000", headers=LINES).text)) == jobs
        assert len(client.get("/jobs?limit=1000").json()["jobs"]) == jobs


@pytest.mark.parametrize("how", ["first", "many", "key", "address", "limited"])
def test_the_largest_document_is_handed_out_with_a_note(database: str, how: str) -> None:
    most = 32 * 1024 * 1024
    with boss_running("--database", database, "--max-document", str(most)) as running, running.client() as client:
        client.timeout = httpx.Timeout(60)
        if how == "limited":
            client.put("/source/freg", json={"limit": 9})
        id = submit(client, "freg", json.dumps({"a": "x" * (most - 9)}))
        client.get("/job/available")
        assert leave(client, f"freg/{id}").status_code == 204
        client.delete(f"/job/active/freg/{id}?delay=0")
        path = f"/job/active/freg/{id}" if how == "address" else "/job/available/freg"
        headers = {"idempotency-key": "k"} if how == "key" else {}
        query = {"limit": 100} if how == "many" else {}
        answer = client.request("POST" if how == "address" else "GET", path, headers=headers, params=query)
        assert (answer.status_code, answer.headers["boss-note"]) == (200, "yes")
        assert record(client, id)["state"] == "active"


def test_what_is_not_used_costs_no_statement(database: str) -> None:
    with boss_running("--database", database) as running, running.client() as client:
        id = submit(client, "freg")
        take(client, "freg")
        client.head(f"/job/active/freg/{id}")
        client.post(f"/job/done/freg/{id}")
        assert 'statement="leave_notes"' not in client.get("/metrics").text
        assert value_in(database, "SELECT note FROM job") is None
