"""Deleting done jobs, one or all that a filter finds, and sources; with a record of the act, and not of the data."""

from typing import Any

import httpx
import pytest

from tests.helpers.databases import fill_in
from tests.helpers.jobs import take
from tests.helpers.requests import assert_problem, submit
from tests.helpers.servers import boss_running
from tests.helpers.tokens import create

pytestmark = pytest.mark.slow


def done(client: httpx.Client, source: str, document: str = "{}", **result: str) -> str:
    id = submit(client, source, document)
    client.post(f"/job/done/{source}/{id}", json=result)
    return id


def acts(client: httpx.Client, source: str) -> list[tuple[str, dict[str, Any]]]:
    found = client.get("/audit").json()["acts"]
    return [(act["did"], act["what"]) for act in found if act["what"].get("source") == source]


def test_one(client: httpx.Client, source: str) -> None:
    id, other = done(client, source, '{"name": "Ola Nordmann"}'), done(client, source)
    assert client.delete(f"/job/done/{source}/{id}").status_code == 204
    assert client.get(f"/jobs/{id}").status_code == 404
    assert client.get(f"/jobs/{other}").status_code == 200
    assert client.get("/job").json()["done"][source] == 1
    assert acts(client, source) == [("deleted done jobs", {"job": id, "source": source})]
    assert "Nordmann" not in client.get("/audit").text
    again = client.delete(f"/job/done/{source}/{id}")
    assert_problem(again, 404, "no job has the id")
    assert again.headers["boss-state"] == "none"


def test_only_when_it_is_done(client: httpx.Client, source: str) -> None:
    id = submit(client, source)
    for state in ("available", "active"):
        answer = client.delete(f"/job/done/{source}/{id}")
        assert_problem(answer, 404, f"it is at /job/{state}/{source}/{id}")
        assert answer.headers["boss-state"] == state
        if state == "available":
            take(client, source)
    assert client.get(f"/jobs/{id}").status_code == 200
    client.post(f"/job/done/{source}/{id}")
    assert client.delete(f"/job/done/{source}-other/{id}").headers["boss-state"] == "done"


def test_all_that_a_filter_finds(client: httpx.Client, source: str) -> None:
    persons = [done(client, source, error="no address of Ola Nordmann") for _ in range(3)]
    others = [done(client, source), submit(client, source), done(client, f"{source}-other", error="Ola Nordmann")]
    asked = f"/job/done/{source}?reason=ola+nordmann"
    counted = client.delete(f"{asked}&dry_run=1").json()
    assert counted == {"deleted": 0, "would_delete": 3, "more": False, "until": counted["until"], "next": None}
    deleted = client.delete(asked).json()
    assert deleted == {"deleted": 3, "more": False, "until": deleted["until"], "next": None}
    assert [client.get(f"/jobs/{id}").status_code for id in (*persons, *others)] == [404] * 3 + [200] * 3
    [(did, what)] = acts(client, source)
    assert (did, what["jobs"], what["reason"]) == ("deleted done jobs", 3, "some words")
    assert "nordmann" not in client.get("/audit").text.lower()


def test_the_history_of_a_source_in_batches(database: str) -> None:
    jobs = 12_000
    fill_in(
        database,
        f"""INSERT INTO job (id, source, document, status, attempt, finished_at, outcome)
        SELECT 'job-' || n, (ARRAY['freg', 'other'])[n % 2 + 1], '{{}}', 'DONE', 1, now() - n * interval '1 ms',
               'failed'
        FROM generate_series(1, {2 * jobs}) AS n""",
    )
    with boss_running("--database", database) as boss, boss.client() as client:
        first = client.delete("/job/done/freg").json()
        assert (first["deleted"], first["more"]) == (10_000, True)
        last = client.delete(first["next"]).json()
        assert (last["deleted"], last["more"], last["next"]) == (2000, False, None)
        assert client.get("/job").json()["done"] == {"freg": 0, "other": jobs}
        assert [what["jobs"] for _, what in acts(client, "freg")] == [2000, 10_000]
        assert f"boss_jobs_pruned_total {jobs}.0" in client.get("/metrics").text


def test_a_source_without_jobs(client: httpx.Client, source: str) -> None:
    id = submit(client, source)
    client.put(f"/source/{source}", json={"limit": 3})
    for _ in ("available", "done"):
        assert_problem(client.delete(f"/source/{source}"), 409, "has jobs")
        client.post(f"/job/done/{source}/{id}")
    client.delete(f"/job/done/{source}/{id}")
    assert client.delete(f"/source/{source}").status_code == 204
    assert source not in client.get("/job").json()["done"]
    assert source not in [each["source"] for each in client.get("/source").json()["sources"]]
    assert acts(client, source)[0] == ("deleted a source", {"source": source})
    assert client.delete(f"/source/{source}").status_code == 204
    assert len(acts(client, source)) == 3
    # It can come again, without its limits.
    submit(client, source)
    assert client.get("/job").json()["available"][source] == 1


def test_only_admins(database: str) -> None:
    with boss_running("--database", database) as boss, boss.client() as client:
        id = done(client, "freg")
        client.headers["authorization"] = f"Bearer {create(client, 'root', 'admin')}"
        for role in ("submitter", "converter"):
            mine = {"authorization": f"Bearer {create(client, role, role)}"}
            for path in (f"/job/done/freg/{id}", "/job/done/freg", "/source/freg"):
                assert client.delete(path, headers=mine).status_code == 403
        assert client.delete("/job/done/freg").json()["deleted"] == 1
