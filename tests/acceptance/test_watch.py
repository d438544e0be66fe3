"""`/watch`: the dashboard feed, as server-sent events."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import httpx

from tests.acceptance.test_contract import assert_problem, submit
from tests.postgres import PostgresServer
from tests.servers import PATIENCE, BossProcess, boss_running, until


def news(answer: httpx.Response) -> Iterator[dict[str, Any]]:
    for line in answer.iter_lines():
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))


def test_only_what_has_changed(module_boss: BossProcess, client: httpx.Client, source: str) -> None:
    old = submit(client, f"{source}-old")
    client.get(f"/job/available/{source}-old?lease=0")
    with module_boss.client() as watching, watching.stream("GET", "/watch") as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        events = news(answer)
        first = next(events)
        assert set(first) == {"now", "away", "counts", "active", "failed", "hour"}
        assert first["counts"][f"{source}-old"] == [0, 1, 0]
        [held] = [job for job in first["active"] if job["id"] == old]
        assert (held["source"], held["attempt"], held["attempts"], held["until"]) == (f"{source}-old", 1, 25, None)
        id = submit(client, source, attempts=1)
        second = next(event for event in events if "counts" in event)
        assert second["counts"] == {source: [1, 0, 0]}
        assert not second["away"]
        client.get(f"/job/available/{source}")
        client.request("DELETE", f"/job/active/{source}/{id}", content='{"error": "no column"}')
        third = next(event for event in events if "failed" in event)
        shown = third["failed"][0]
        assert (shown["id"], shown["outcome"], shown["reason"], shown["attempt"]) == (id, "failed", "no column", 1)


def test_nobody_watches_and_the_database_is_not_asked(database: str) -> None:
    with boss_running("--database", database) as boss, boss.client() as client:

        def looks() -> float:
            lines = client.get("/metrics").text.splitlines()
            found = [
                line for line in lines if line.startswith('boss_statement_duration_seconds_count{statement="hour"}')
            ]
            return float(found[0].split()[1]) if found else 0

        assert looks() == 0
        with client.stream("GET", "/watch") as answer:
            next(news(answer))
            assert looks() >= 1
        until(lambda: looks() == (looks(), threading.Event().wait(2.5), looks())[2])


def test_it_says_that_the_database_is_away(server: PostgresServer) -> None:
    with boss_running("--database", server.url) as boss, boss.client() as client:
        submit(client, "freg")
        with client.stream("GET", "/watch") as answer:
            events = news(answer)
            assert not next(events)["away"]
            server.kill()
            assert next(event for event in events if event["away"])
            server.start()
            assert not next(event for event in events if not event["away"])["away"]


def test_it_ends_when_the_server_does(database: str) -> None:
    with boss_running("--database", database) as boss, boss.client() as client:
        with client.stream("GET", "/watch") as answer:
            events = news(answer)
            next(events)
            boss.process.terminate()
            assert list(events) == []
        assert boss.process.wait(PATIENCE) == 0


def test_bad_input(client: httpx.Client) -> None:
    assert_problem(client.get("/watch?source=a"), 400, "'source' is not a parameter here")
    assert_problem(client.post("/watch"), 405, "GET, HEAD is")
    assert client.head("/watch").status_code == 200
    assert_problem(client.get("/page/no-such.js"), 404, "documentation is at /docs")


def test_the_page_is_kept_until_it_changes(client: httpx.Client) -> None:
    answer = client.get("/page/app.js")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self'" in policy
    assert "unsafe" not in policy
    again = client.get("/page/app.js", headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
