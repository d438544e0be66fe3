"""`/watch`: the dashboard feed, as server-sent events."""

import socket
import threading

import httpx
import psutil
import pytest

from tests.helpers.events import news
from tests.helpers.postgres import PostgresServer
from tests.helpers.requests import assert_problem, submit
from tests.helpers.servers import PATIENCE, BossProcess, boss_running, until

pytestmark = pytest.mark.slow


def test_only_what_has_changed(module_boss: BossProcess, client: httpx.Client, source: str) -> None:
    submit(client, f"{source}-old")
    client.get(f"/job/available/{source}-old?lease=0")
    with module_boss.client() as watching, watching.stream("GET", "/watch") as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        events = news(answer)
        first = next(events)
        known = {"now", "away", "counts", "failed", "sources", "total", "doctor"}
        assert set(first) == known
        assert first["counts"][f"{source}-old"] == [0, 1, 0]
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
            name = 'boss_statement_duration_seconds_count{statement="failed"}'
            return sum(float(line.split()[1]) for line in lines if line.startswith(name))

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
    assert_problem(client.post("/watch"), 405, "use GET, HEAD")
    assert client.head("/watch").status_code == 200
    assert_problem(client.get("/page/no-such.js"), 404, "documentation is at /docs")


def test_the_page_is_kept_until_it_changes(client: httpx.Client) -> None:
    answer = client.get("/page/app.js")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self'" in policy
    assert "unsafe" not in policy
    again = client.get("/page/app.js", headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.long
def test_who_reads_nothing_of_it_is_cut_off(database: str) -> None:
    """Though each event by itself is small, and still fits into what the system keeps for the client."""
    with boss_running("--database", database) as boss, boss.client() as client, socket.socket() as reader:
        for number in range(300):
            client.post(f"/job/available/{'s' * 80}-{number}", content=b"{}")
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        reader.connect(("127.0.0.1", boss.port))
        reader.sendall(b"GET /watch HTTP/1.1\r\nHost: localhost\r\n\r\n")
        here = reader.getsockname()[1]
        until(lambda: here in peers(boss))
        until(lambda: here not in peers(boss), pause=0.5)
        assert client.get("/health/live").status_code == 200


def peers(boss: BossProcess) -> set[int]:
    """The ports of the clients that are connected to it."""
    found = psutil.Process(boss.process.pid).net_connections("tcp")
    return {each.raddr[1] for each in found if each.raddr and each.laddr[1] == boss.port}
