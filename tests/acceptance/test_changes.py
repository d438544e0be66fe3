"""Changing an available job: its document, its priority, when it is due."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.helpers.jobs import record, take
from tests.helpers.requests import assert_problem, submit
from tests.helpers.servers import BossProcess

pytestmark = pytest.mark.slow


def change(client: httpx.Client, path: str, body: str = "", **query: Any) -> httpx.Response:
    headers = query.pop("headers", {})
    return client.put(f"/job/available/{path}", content=body, params=query, headers=headers)


def test_what_is_not_named_stays(client: httpx.Client, source: str) -> None:
    id = submit(client, source, '{"n": 1}', priority=3, delay=3600, attempts=4)
    before = record(client, id)
    answer = change(client, f"{source}/{id}", priority=7)
    assert answer.status_code == 200
    assert answer.json() == {"id": id, "source": source, "job": {"n": 1}}
    assert (answer.headers["boss-state"], answer.headers["etag"]) == ("available", '"0"')
    assert record(client, id) == {**before, "priority": 7}
    assert change(client, f"{source}/{id}", '{"n": 12345678901234567890.5}').text.endswith("12345678901234567890.5}}")
    after = record(client, id)
    assert (after["priority"], after["due"], after["attempts"]) == (7, before["due"], 4)


def test_when_it_is_due(client: httpx.Client, source: str) -> None:
    id = submit(client, source)
    at = (datetime.now(UTC) + timedelta(hours=2)).replace(microsecond=0)
    assert change(client, f"{source}/{id}", at=at.isoformat()).status_code == 200
    assert datetime.fromisoformat(record(client, id)["due"]) == at
    assert client.get(f"/job/available/{source}").status_code == 404
    assert change(client, f"{source}/{id}", delay=0).status_code == 200
    assert record(client, id)["due"] is None
    assert take(client, source).json()["id"] == id


def test_a_taker_that_waits_gets_a_job_that_is_made_due(client: httpx.Client, source: str) -> None:
    id = submit(client, source, delay=3600)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(lambda: client.get(f"/job/available/{source}?wait=30"))
        assert change(client, f"{source}/{id}", delay=0).status_code == 200
        assert waiting.result().json()["id"] == id


def test_priority_decides_and_age_stays(client: httpx.Client, source: str) -> None:
    ids = [submit(client, source) for _ in range(3)]
    change(client, f"{source}/{ids[2]}", priority=5)
    change(client, f"{source}/{ids[1]}", priority=5)
    assert [take(client, source).json()["id"] for _ in ids] == [ids[1], ids[2], ids[0]]


def test_only_while_it_is_available(client: httpx.Client, source: str) -> None:
    id = submit(client, source, '{"n": 1}')
    take(client, source)
    answer = change(client, f"{source}/{id}", '{"n": 2}')
    assert_problem(answer, 404, f"it is at /job/active/{source}/{id}")
    assert answer.headers["boss-state"] == "active"
    client.post(f"/job/done/{source}/{id}")
    assert change(client, f"{source}/{id}", '{"n": 2}').headers["boss-state"] == "done"
    assert record(client, id)["job"] == {"n": 1}
    assert_problem(change(client, f"{source}/{id}-no", priority=1), 404, "no job has the id")
    other = submit(client, source)
    assert_problem(change(client, f"{source}-other/{other}", priority=1), 404, f"/job/available/{source}/{other}")


def test_only_in_the_attempt_that_is_named(client: httpx.Client, source: str) -> None:
    id = submit(client, source)
    assert change(client, f"{source}/{id}", priority=1, headers={"if-match": '"0"'}).status_code == 200
    take(client, source)
    client.delete(f"/job/active/{source}/{id}?delay=0")
    assert change(client, f"{source}/{id}", priority=2, headers={"if-match": '"0"'}).status_code == 412
    assert record(client, id)["priority"] == 1
    assert change(client, f"{source}/{id}", priority=2, headers={"if-match": 'W/"1"'}).status_code == 200


@pytest.mark.parametrize(
    ("body", "query", "says"),
    [
        ("", {}, "say what to change"),
        ("[1]", {}, "the document is an array"),
        ("{", {}, "JSON"),
        ("", {"priority": 1001}, "from -1000 to 1000"),
        ("", {"delay": 1, "at": "2026-11-26T18:00:00Z"}, "exclude each other"),
        ("", {"delay": -1}, "delay"),
        ("", {"attempts": 3}, "is not a parameter here"),
        ('{"text": "\\u0000"}', {}, "NUL"),
    ],
)
def test_what_is_malformed_changes_nothing(
    client: httpx.Client, source: str, body: str, query: dict[str, Any], says: str
) -> None:
    id = submit(client, source, '{"n": 1}')
    before = record(client, id)
    answer = change(client, f"{source}/{id}", body, **query)
    assert answer.status_code == 400, answer.text
    assert says.lower() in answer.json()["detail"].lower()
    assert record(client, id) == before


def test_many_change_and_take_at_once(module_boss: BossProcess, source: str) -> None:
    """Each job is handed out once, as it was before or after a change, and what was answered holds."""
    jobs, begin = 100, threading.Barrier(8)
    with module_boss.client() as client:
        ids = [submit(client, source, '{"n": 0}') for _ in range(jobs)]

    def changes(number: int) -> dict[str, int]:
        begin.wait()
        with module_boss.client() as client:
            return {id: change(client, f"{source}/{id}", f'{{"n": {number}}}').status_code for id in ids}

    def takes() -> list[tuple[str, int]]:
        begin.wait()
        got = []
        with module_boss.client() as client:
            while (answer := client.get(f"/job/available/{source}")).status_code == 200:
                got.append((answer.json()["id"], answer.json()["job"]["n"]))
        return got

    with ThreadPoolExecutor(8) as threads:
        changing = [threads.submit(changes, number) for number in range(1, 5)]
        taking = [threads.submit(takes) for _ in range(4)]
        changed = [each.result() for each in changing]
        got = [job for each in taking for job in each.result()]
    assert Counter(id for id, _ in got) == Counter(ids)
    assert {status for each in changed for status in each.values()} <= {200, 404}
    for id, number in got:
        applied = {n for n, each in enumerate(changed, 1) if each[id] == 200}
        assert number in applied if applied else number == 0


def test_it_is_in_the_audit_log_without_the_document(client: httpx.Client, source: str) -> None:
    id = submit(client, source)
    change(client, f"{source}/{id}", '{"secret": "word"}', priority=2)
    [event] = [each for each in client.get("/audit?limit=5").json()["acts"] if each["what"].get("job") == id]
    assert event["did"] == "changed an available job"
    assert event["what"] == {"job": id, "source": source, "priority": 2, "document": "another"}
