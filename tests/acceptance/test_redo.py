"""Redo: a done job is available again under its own id, alone or with all that a filter finds."""

import json
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import httpx
import pytest

from tests.helpers.databases import fill_in
from tests.helpers.jobs import record, take
from tests.helpers.requests import assert_problem, submit
from tests.helpers.servers import BossProcess, boss_running, until
from tests.helpers.tokens import create

pytestmark = pytest.mark.slow

FAIL = {"outcome": "failed"}


def redo(client: httpx.Client, path: str, body: str = "", **query: Any) -> httpx.Response:
    headers = query.pop("headers", {})
    return client.post(f"/job/available/{path}", content=body, params={"from": "done", **query}, headers=headers)


def failed(client: httpx.Client, source: str, error: str = "no disk", **query: int) -> str:
    id = submit(client, source, '{"n": 1}', **query)
    assert take(client, source).json()["id"] == id
    client.post(f"/job/done/{source}/{id}", params=FAIL, json={"error": error})
    return id


def test_one_goes_back_under_its_own_id_and_its_attempts_go_on(client: httpx.Client, source: str) -> None:
    id = failed(client, source, attempts=2, priority=3)
    before = record(client, id)
    answer = redo(client, f"{source}/{id}")
    assert (answer.status_code, answer.json()) == (200, {"id": id, "source": source, "job": {"n": 1}})
    assert (answer.headers["boss-state"], answer.headers["etag"]) == ("available", '"1"')
    assert answer.headers["location"] == f"/job/available/{source}/{id}"
    after = record(client, id)
    [entry] = after.pop("history")
    assert (entry["attempt"], entry["how"], entry["why"]) == (1, "failed", "no disk")
    # The database writes the times of the history, without zeros at their end.
    times = [datetime.fromisoformat(each) for each in (entry["taken"], entry["ended"])]
    assert times == [datetime.fromisoformat(before[name]) for name in ("taken", "finished")]
    assert after.pop("why")
    changed = {"state": "available", "finished": None, "outcome": None, "until": None, "attempts": 4}
    assert after == {name: value for name, value in {**before, **changed}.items() if name != "history"}
    taken = take(client, source)
    assert (taken.json()["id"], taken.headers["etag"]) == (id, '"2"')
    assert client.post(f"/job/done/{source}/{id}", headers={"if-match": '"2"'}).status_code == 200
    assert record(client, id)["outcome"] == "completed"


def test_the_allowance_grows_by_the_first_one_each_time(client: httpx.Client, source: str) -> None:
    id = submit(client, source, attempts=3)
    take(client, source)
    client.delete(f"/job/active/{source}/{id}?uncounted=1")
    for allowed in (4, 7, 10, 13):
        assert record(client, id)["attempts"] == allowed
        take(client, source)
        client.post(f"/job/done/{source}/{id}")
        assert redo(client, f"{source}/{id}").status_code == 200
    job = record(client, id)
    assert (job["attempt"], job["attempts"]) == (5, 16)
    assert [each["attempt"] for each in job["history"]] == [1, 2, 3, 4, 5]


def test_a_job_out_of_attempts_gets_as_many_again(client: httpx.Client, source: str) -> None:
    id = submit(client, source, attempts=1)
    take(client, source)
    client.delete(f"/job/active/{source}/{id}", params={"delay": 0})
    assert record(client, id)["outcome"] == "failed"
    redo(client, f"{source}/{id}")
    take(client, source)
    answer = client.delete(f"/job/active/{source}/{id}", params={"delay": 0})
    assert answer.headers["boss-state"] == "done"


def test_a_body_is_its_new_document(client: httpx.Client, source: str) -> None:
    id = failed(client, source)
    answer = redo(client, f"{source}/{id}", '{"n": 12345678901234567890.5}')
    assert answer.text == f'{{"id":"{id}","source":"{source}","job":{{"n": 12345678901234567890.5}}}}'
    assert take(client, source).text.endswith("12345678901234567890.5}}")


def test_only_when_it_is_done_and_in_the_attempt_that_is_named(client: httpx.Client, source: str) -> None:
    id = failed(client, source)
    assert redo(client, f"{source}/{id}", headers={"if-match": '"2"'}).status_code == 412
    assert redo(client, f"{source}/{id}", headers={"if-match": 'W/"1"'}).status_code == 200
    answer = redo(client, f"{source}/{id}")
    assert_problem(answer, 404, f"it is at /job/available/{source}/{id}")
    assert answer.headers["boss-state"] == "available"
    take(client, source)
    assert redo(client, f"{source}/{id}").headers["boss-state"] == "active"
    assert redo(client, f"{source}/{id}-no").headers["boss-state"] == "none"
    client.post(f"/job/done/{source}/{id}")
    assert_problem(redo(client, f"{source}-other/{id}"), 404, f"/job/done/{source}/{id}")


def test_a_taker_that_waits_gets_it(client: httpx.Client, source: str) -> None:
    id = failed(client, source)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(lambda: client.get(f"/job/available/{source}?wait=30"))
        until(lambda: "boss_waiting_takers 1.0" in client.get("/metrics").text)
        assert redo(client, f"{source}").json()["moved"] == 1
        assert waiting.result().json()["id"] == id


def test_it_comes_after_those_that_wait(client: httpx.Client, source: str) -> None:
    first = failed(client, source)
    second = submit(client, source)
    redo(client, f"{source}/{first}")
    assert [take(client, source).json()["id"] for _ in range(2)] == [second, first]


def test_all_that_a_filter_finds(client: httpx.Client, source: str) -> None:
    disks = [failed(client, source, f"No disk {number}") for number in range(3)]
    other, completed = failed(client, source, "no route"), submit(client, source)
    client.post(f"/job/done/{source}/{completed}")
    elsewhere = failed(client, f"{source}-other", "no disk")
    counted = redo(client, source, outcome="failed", reason="no DISK", dry_run=1).json()
    assert counted == {"moved": 0, "would_move": 3, "more": False, "until": counted["until"], "next": None}
    moved = redo(client, source, outcome="failed", reason="no DISK").json()
    assert moved == {"moved": 3, "more": False, "until": moved["until"], "next": None}
    states = {id: record(client, id)["state"] for id in (*disks, other, completed, elsewhere)}
    assert states == {**dict.fromkeys(disks, "available"), other: "done", completed: "done", elsewhere: "done"}
    assert client.get("/job").json()["available"][source] == 3
    assert redo(client, source, outcome="failed", reason="no DISK").json()["moved"] == 0
    acts = [act for act in client.get("/audit").json()["acts"] if act["what"].get("source") == source]
    assert [(act["did"], act["what"]["jobs"], act["what"]["reason"]) for act in acts] == [
        ("redid done jobs", 3, "no DISK")
    ]


def test_what_is_done_again_meanwhile_is_not_redone(client: httpx.Client, source: str) -> None:
    """A batch that is sent again, and a later one, go by the time of the first."""
    ids = [failed(client, source) for _ in range(4)]
    first = redo(client, source, until=record(client, ids[2])["finished"]).json()
    assert first["moved"] == 2
    for id in ids[:2]:
        take(client, source)
        client.post(f"/job/done/{source}/{id}", params=FAIL)
    assert redo(client, source, until=first["until"]).json()["moved"] == 0
    assert [record(client, id)["attempt"] for id in ids] == [2, 2, 1, 1]


@pytest.mark.timeout(300)
def test_many_in_batches_while_converters_work(database: str) -> None:
    """Each is redone once, though all fail again while the next batch is asked for."""
    jobs = 25_000
    fill_in(
        database,
        f"""INSERT INTO job (id, source, document, status, attempt, finished_at, outcome)
        SELECT 'job-' || n, 'freg', '{{}}', 'DONE', 1, now() - n * interval '1 ms', 'failed'
        FROM generate_series(1, {jobs}) AS n""",
    )
    stop = threading.Event()

    def convert(boss: BossProcess) -> Counter[str]:
        got: Counter[str] = Counter()
        with boss.client() as client:
            while True:
                answer = client.get("/job/available/freg?limit=500")
                if answer.status_code == 404:
                    if stop.is_set():
                        return got
                    continue
                got.update(job["id"] for job in answer.json())
                lines = "".join(json.dumps({"id": job["id"], "outcome": "failed"}) + "\n" for job in answer.json())
                client.post("/job/done/freg", content=lines, headers={"content-type": "application/x-ndjson"})

    with boss_running("--database", database) as boss, boss.client() as client, ThreadPoolExecutor(2) as threads:
        converting = [threads.submit(convert, boss) for _ in range(2)]
        try:
            answers = [redo(client, "freg", outcome="failed").json()]
            while answers[-1]["more"]:
                answers.append(client.post(answers[-1]["next"]).json())
            # Its answer may have been lost.
            assert client.post(f"/job/available/freg?from=done&until={answers[0]['until']}").json()["moved"] == 0
        finally:
            stop.set()
        got = sum((each.result() for each in converting), Counter[str]())
        assert sum(answer["moved"] for answer in answers) == jobs
        assert all(answer["moved"] <= 10_000 for answer in answers)
        assert len(got) == jobs
        assert set(got.values()) == {1}
        assert client.get("/job").json() == {"available": {"freg": 0}, "active": {"freg": 0}, "done": {"freg": jobs}}
        assert f"boss_jobs_redone_total {jobs}.0" in client.get("/metrics").text


def test_two_that_redo_the_same_at_once_move_each_job_once(module_boss: BossProcess, source: str) -> None:
    with module_boss.client() as client:
        lines = "{}\n" * 3000
        made = client.post(f"/job/available/{source}", content=lines, headers={"content-type": "application/x-ndjson"})
        client.post(f"/job/done/{source}", content=made.text, headers={"content-type": "application/x-ndjson"})
    begin = threading.Barrier(4)

    def move(_: int) -> int:
        with module_boss.client() as client:
            begin.wait()
            return int(redo(client, source).json()["moved"])

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(move, range(4))) == 3000


@pytest.mark.parametrize(
    ("path", "query", "body", "says"),
    [
        ("", {"from": "active"}, "", "here it takes done"),
        ("", {"from": "done", "state": "done"}, "", "is not a parameter here"),
        ("", {"from": "done", "outcome": "gone"}, "", "completed, failed, stopped, abandoned"),
        ("", {"from": "done"}, "{}", "takes no body"),
        ("", {"from": "done", "after": "x"}, "", "follow the address in next"),
        ("/one", {"from": "done", "priority": "1"}, "", "is not a parameter here"),
        ("/one", {"from": "done"}, "[1]", "is an array"),
    ],
)
def test_what_is_malformed_moves_nothing(
    client: httpx.Client, source: str, path: str, query: dict[str, str], body: str, says: str
) -> None:
    failed(client, source)
    answer = client.post(f"/job/available/{source}{path}", params=query, content=body)
    assert_problem(answer, 400, says)
    assert client.get("/job").json()["done"][source] == 1


def test_only_admins(database: str) -> None:
    with boss_running("--database", database) as boss, boss.client() as client:
        id = failed(client, "freg")
        client.headers["authorization"] = f"Bearer {create(client, 'root', 'admin')}"
        for role in ("submitter", "converter"):
            mine = {"authorization": f"Bearer {create(client, role, role)}"}
            assert redo(client, f"freg/{id}", headers=mine).status_code == 403
            assert redo(client, "freg", headers=mine).status_code == 403
        assert redo(client, f"freg/{id}").status_code == 200
        job = record(client, id)
        assert (job["state"], job["history"][0]["redone_by"]) == ("available", "root")
        [act] = [act for act in client.get("/audit").json()["acts"] if "redid" in act["did"]]
        assert (act["by"], act["did"], act["what"]) == ("root", "redid a done job", {"job": id, "source": "freg"})
