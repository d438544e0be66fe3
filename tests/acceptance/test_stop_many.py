"""Stopping all available or active jobs of a source that a filter finds, in batches."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.helpers.databases import fill_in
from tests.helpers.jobs import record, take
from tests.helpers.ndjson import LINES
from tests.helpers.requests import assert_problem, submit
from tests.helpers.servers import BossProcess, boss_running
from tests.helpers.tokens import create

pytestmark = pytest.mark.slow


def stop(client: httpx.Client, source: str, state: str, body: str = "", **query: Any) -> httpx.Response:
    headers = query.pop("headers", {})
    return client.post(f"/job/done/{source}", content=body, params={"from": state, **query}, headers=headers)


def test_available_jobs_with_the_reason(client: httpx.Client, source: str) -> None:
    active = submit(client, source)
    take(client, source)
    ids = [submit(client, source), submit(client, source, delay=3600)]
    other = submit(client, f"{source}-other")
    counted = stop(client, source, "available", dry_run=1).json()
    assert counted == {"moved": 0, "would_move": 2, "more": False, "until": counted["until"], "next": None}
    moved = stop(client, source, "available", '{"reason": "wrong file"}', outcome="stopped").json()
    assert moved == {"moved": 2, "more": False, "until": moved["until"], "next": None}
    for id in ids:
        job = record(client, id)
        assert (job["state"], job["outcome"], job["result"]) == ("done", "stopped", {"reason": "wrong file"})
    assert [record(client, id)["state"] for id in (active, other)] == ["active", "available"]
    assert stop(client, source, "available").json()["moved"] == 0
    [act] = [act for act in client.get("/audit").json()["acts"] if act["what"].get("source") == source]
    assert (act["did"], act["what"]["jobs"], act["what"]["from"]) == ("stopped jobs", 2, "available")
    assert "wrong file" not in str(act)


def test_active_jobs_and_their_converters_hear_of_it(client: httpx.Client, source: str) -> None:
    id, waits = submit(client, source), submit(client, source)
    take(client, source)
    assert stop(client, source, "active").json()["moved"] == 1
    answer = client.head(f"/job/active/{source}/{id}", headers={"if-match": '"1"'})
    assert (answer.status_code, answer.headers["boss-state"]) == (404, "done")
    assert record(client, waits)["state"] == "available"


def test_by_the_time_of_their_submit(client: httpx.Client, source: str) -> None:
    ids = [submit(client, source) for _ in range(4)]
    times = [record(client, id)["submitted"] for id in ids]
    assert stop(client, source, "available", since=times[1], until=times[3]).json()["moved"] == 2
    assert [record(client, id)["state"] for id in ids] == ["available", "done", "done", "available"]


@pytest.mark.timeout(300)
def test_many_in_batches_beside_takers_and_submits(database: str) -> None:
    jobs = 25_000
    fill_in(
        database,
        f"INSERT INTO job (id, source, document) SELECT 'job-' || n, 'freg', '{{}}' FROM generate_series(1, {jobs}) n",
    )

    def convert(boss: BossProcess) -> int:
        done = 0
        with boss.client() as client:
            while (answer := client.get("/job/available/freg?limit=20")).status_code == 200:
                lines = "".join(f'{{"id": "{job["id"]}", "attempt": 1}}\n' for job in answer.json())
                done += client.post("/job/done/freg", content=lines, headers=LINES).text.count('"status":200')
        return done

    with boss_running("--database", database) as boss, boss.client() as client, ThreadPoolExecutor(2) as threads:
        converting = [threads.submit(convert, boss) for _ in range(2)]
        answers = [stop(client, "freg", "available").json()]
        submit(client, "freg/late")
        while answers[-1]["more"]:
            answers.append(client.post(answers[-1]["next"]).json())
        converted = sum(each.result() for each in converting)
        assert all(answer["moved"] <= 10_000 for answer in answers)
        assert sum(answer["moved"] for answer in answers) + converted == jobs + 1
        assert record(client, "late")["outcome"] == "completed"
        counts = client.get("/job").json()
        assert (counts["available"]["freg"], counts["active"]["freg"], counts["done"]["freg"]) == (0, 0, jobs + 1)


@pytest.mark.parametrize(
    ("query", "body", "says"),
    [
        ({"from": "done"}, "", "available or active"),
        ({"from": "available", "outcome": "failed"}, "", "can only be stopped"),
        ({"from": "available", "reason": "x"}, "", "goes into the body"),
        ({"from": "available", "after": "a/b"}, "", "cannot be an id"),
        ({"from": "available"}, "[]", "is an array"),
        ({}, "", "Content-Type: application/x-ndjson"),
    ],
)
def test_what_is_malformed_stops_nothing(
    client: httpx.Client, source: str, query: dict[str, str], body: str, says: str
) -> None:
    id = submit(client, source)
    assert_problem(client.post(f"/job/done/{source}", params=query, content=body), 400, says)
    assert record(client, id)["state"] == "available"


def test_only_admins(database: str) -> None:
    with boss_running("--database", database) as boss, boss.client() as client:
        id = submit(client, "freg")
        client.headers["authorization"] = f"Bearer {create(client, 'root', 'admin')}"
        for role in ("submitter", "converter"):
            mine = {"authorization": f"Bearer {create(client, role, role)}"}
            assert stop(client, "freg", "available", headers=mine).status_code == 403
        assert stop(client, "freg", "available").json()["moved"] == 1
        assert record(client, id)["finished_by"] == "root"
