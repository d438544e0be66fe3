"""However long the database takes: every request is answered within ten seconds of its arrival, or of its wait."""

import asyncio
import contextlib
import itertools
import re
import signal
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import aiohttp
import httpx
import pytest

from tests.helpers.faults import every_kind, faulty
from tests.helpers.mute_proxy import mute_proxy
from tests.helpers.postgres import PostgresServer
from tests.helpers.requests import submit
from tests.helpers.servers import BossProcess, boss_running, until
from tests.helpers.wire import Wire

pytestmark = pytest.mark.slow

# Ten seconds, the half second in which it is noticed, and what a busy machine of two cores needs.
SOON = 12.0


def requests(boss: BossProcess) -> list[tuple[str, str, str | None]]:
    """Every kind, those that take several statements as well."""
    return [
        *every_kind(boss),
        ("POST", "/job/available/freg/kept", "{}"),
        ("POST", "/job/done/freg", '{"id": "kept"}\n'),
        ("GET", "/job/available?fair=1", None),
        ("GET", "/job", None),
        ("GET", "/source", None),
        ("PUT", "/source/freg", '{"limit": 3}'),
        ("GET", "/schedule", None),
        ("PUT", "/schedule/nightly", '{"source": "freg", "cron": "0 3 1 1 *"}'),
        ("GET", "/token", None),
        ("GET", "/audit", None),
        ("GET", "/health", None),
        ("GET", "/metrics", None),
        ("DELETE", "/job/done?older=0", None),
    ]


@contextlib.asynccontextmanager
async def asking(boss: BossProcess, times: list[tuple[float, str, int]]) -> AsyncIterator[None]:
    """Ask for everything, again and again, a few requests at a time; note how long each took."""
    async with aiohttp.ClientSession(boss.url, connector=aiohttp.TCPConnector(limit=0)) as session:

        async def ask(method: str, path: str, body: str | None) -> None:
            started = time.monotonic()
            headers = {"content-type": "application/x-ndjson" if path == "/job/done/freg" else "application/json"}
            async with session.request(method, path, data=body, headers=headers) as answer:
                await answer.read()
                times.append((time.monotonic() - started, f"{method} {path}", answer.status))

        async def ask_on() -> None:
            async with asyncio.TaskGroup() as group:
                for request in itertools.cycle(requests(boss)):
                    if over.is_set():
                        return
                    group.create_task(ask(*request))
                    await asyncio.sleep(0.1)

        over = asyncio.Event()
        task = asyncio.create_task(ask_on())
        yield
        over.set()
        await task


@pytest.mark.long
@pytest.mark.parametrize("fault", ["frozen", "locked"])
async def test_requests_that_come_while_others_are_stuck(server: PostgresServer, fault: str) -> None:
    with boss_running("--database", server.url, "--lease", "20") as boss, boss.client() as client:
        submit(client, "freg/kept")
        times: list[tuple[float, str, int]] = []
        with faulty(server, fault) if fault == "frozen" else contextlib.nullcontext():
            if fault == "locked":
                runner = await asyncio.to_thread(lock, server)
            try:
                async with asking(boss, times):
                    await asyncio.sleep(14)
            finally:
                if fault == "locked":
                    await asyncio.to_thread(runner.close)
        assert len(times) > 120
        assert [each for each in times if each[0] > SOON] == []
        assert {(path, status) for _, path, status in times if status not in (200, 503)} == set()
        assert sum(status == 503 for *_, status in times) > 90
        until(lambda: client.get("/job").status_code == 200)
        # Nothing goes on for nobody: what was asked for meanwhile has ended, one way or the other.
        until(lambda: int(server.sql(BUSY)) == 0)
        # And what was taken for nobody has been put back; what was answered is as it was answered. When a statement
        # went on after its connection was given up, nobody knows of its takes: their leases expire.
        # A finish that was answered with 503 may have been carried out, and what is done may have been pruned.
        was_taken = any(status == 200 and re.match(TAKES, path) for _, path, status in times)
        until(lambda: was_taken or is_put_back_or_held(client.get("/jobs/kept").json()))
        assert '"level":"error"' not in boss.log


def is_put_back_or_held(job: dict[str, object]) -> bool:
    """Whoever checks a job holds it, even one whose taker has not heard of it: one of the requests is such a check."""
    return job.get("state") != "active" or job["seen"] != job["taken"]


TAKES = r"GET /job/available(/freg)?(\?|$)|POST /job/active"
BUSY = (
    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'boss' AND state <> 'idle' "
    "AND now() - state_change > interval '1 s'"
)


def lock(server: PostgresServer) -> contextlib.ExitStack:
    stack = contextlib.ExitStack()
    stack.enter_context(faulty(server, "locked"))
    return stack


@pytest.mark.long
def test_the_time_of_the_body_does_not_count(server: PostgresServer) -> None:
    with boss_running("--database", server.url) as boss, Wire(boss.port) as wire:
        wire.request("POST", "/job/available/freg/slow", "Content-Length: 9", body=b'{"a": ')
        time.sleep(11)
        assert wire.send(b"12}").reply().status == 201


@pytest.mark.long
def test_the_time_of_a_wait_does_not_count(server: PostgresServer) -> None:
    with (
        mute_proxy(server.port) as proxy,
        boss_running("--database", server.url.replace(str(server.port), str(proxy.port))) as boss,
        ThreadPoolExecutor(2) as threads,
    ):
        quiet = threads.submit(timed, f"{boss.url}/job/available/none?wait=12")
        started, answer = time.monotonic(), quiet.result()
        assert answer == 404
        assert 11 < time.monotonic() - started < 14
        waits = threads.submit(timed, f"{boss.url}/job/available/none?wait=3")
        until(lambda: "boss_waiting_takers 1.0" in httpx.get(f"{boss.url}/metrics").text)
        started = time.monotonic()
        server.signal(signal.SIGSTOP)
        assert waits.result() in (404, 503)
        assert time.monotonic() - started < 3 + SOON
        server.signal(signal.SIGCONT)


def timed(url: str) -> int:
    return httpx.get(url, timeout=60).status_code
