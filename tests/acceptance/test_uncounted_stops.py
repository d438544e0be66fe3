"""Whatever stops a converter, no job fails without having run: its jobs are given back without using up an attempt."""

import asyncio
import os
import signal
import threading
import time
from pathlib import Path

import httpx
import pytest

from boss import AsyncClient, AsyncJob, Converter, Failure, Job
from tests.helpers.flaky_way import flaky_way
from tests.helpers.jobs import record
from tests.helpers.requests import submit
from tests.helpers.servers import PATIENCE, BossProcess, boss_running, until
from tests.helpers.workers import converting, gone, only_job, working, written

pytestmark = pytest.mark.slow

QUICK = """
import sys, time
from boss import Converter, Job

def convert(job: Job) -> None:
    time.sleep(0.001)

Converter(convert, [sys.argv[1]], slots=2, grace=5).run()
"""


@pytest.fixture
def url(module_boss: BossProcess, client: httpx.Client) -> str:
    return module_boss.url


def count(client: httpx.Client, state: str, source: str) -> int:
    counted: int = client.get("/job").json()[state].get(source, 0)
    return counted


def test_what_was_taken_in_advance_has_not_failed(url: str, client: httpx.Client, source: str, tmp_path: Path) -> None:
    """Ten deploys of a converter that is always in the middle of things; each job may be taken once."""
    jobs = 3000
    lines = "{}\n" * 1000
    for _ in range(jobs // 1000):
        headers = {"content-type": "application/x-ndjson"}
        assert client.post(f"/job/available/{source}?attempts=1", content=lines, headers=headers).status_code == 201
    for deploy in range(10):
        with converting(url, tmp_path, QUICK, source) as worker:
            until(lambda goal=(deploy + 1) * 100: count(client, "done", source) >= goal)  # type: ignore[misc]
            worker.signal(signal.SIGTERM)
            assert worker.ended() == 0
        assert count(client, "active", source) == 0
    done = client.get(f"/jobs?state=done&source={source}&limit=1000").json()["jobs"]
    assert {job["outcome"] for job in done} == {"completed"}
    assert count(client, "done", source) + count(client, "available", source) == jobs


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_command_that_has_to_stop_has_not_failed(
    url: str, client: httpx.Client, source: str, tmp_path: Path, number: signal.Signals
) -> None:
    id = submit(client, source, attempts=1)
    for deploy in range(3):
        with working(url, tmp_path, source, "--grace", "0", "--", "sleep", "600") as worker:
            until(lambda goal=deploy + 1: only_job(client, source)["attempt"] == goal)  # type: ignore[misc]
            worker.signal(number)
            assert worker.ended() == 0
        shown = record(client, id)
        assert (shown["state"], shown["due"], shown["outcome"]) == ("available", None, None)
    with working(url, tmp_path, source, "--once", "--", "true") as worker:
        assert worker.ended() == 0
    assert (record(client, id)["outcome"], record(client, id)["attempt"]) == ("completed", 4)


@pytest.mark.parametrize(
    ("first", "end"),
    [
        ("command", "exec sleep 600"),
        ("command", "trap 'exit 143' TERM; sleep 600 & wait"),
        ("command", "trap 'exit 1' TERM; sleep 600 & wait"),
        ("worker", "exec sleep 600"),
        ("worker", "trap 'exit 7' TERM; sleep 600 & wait"),
    ],
)
def test_a_signal_to_the_whole_service_is_no_failure_of_the_command(
    url: str, client: httpx.Client, source: str, tmp_path: Path, first: str, end: str
) -> None:
    """As systemd sends it: to the worker and its commands, in any order."""
    id = submit(client, source, attempts=1)
    pid = tmp_path / "pid"
    with working(url, tmp_path, source, "--grace", "30", "--", "sh", "-c", f"echo $$ > {pid}; {end}") as worker:
        [command] = written(pid)
        if first == "command":
            os.killpg(command, signal.SIGTERM)
        worker.signal(signal.SIGTERM)
        if first == "worker":
            os.killpg(command, signal.SIGTERM)
        assert worker.ended() == 0
    shown = record(client, id)
    assert (shown["state"], shown["due"], shown["outcome"]) == ("available", None, None)
    with working(url, tmp_path, source, "--once", "--", "true") as worker:
        assert worker.ended() == 0


def test_a_signal_to_the_command_alone_is_a_failure(
    url: str, client: httpx.Client, source: str, tmp_path: Path
) -> None:
    id = submit(client, source, attempts=1)
    with working(url, tmp_path, source, "--once", "--", "sh", "-c", "kill -9 $$") as worker:
        assert worker.ended() == 1
    assert (record(client, id)["outcome"], record(client, id)["result"]["exit"]) == ("failed", -9)


def test_a_command_that_cannot_be_run_any_more_has_not_failed(
    url: str, client: httpx.Client, source: str, tmp_path: Path
) -> None:
    script = tmp_path / "convert"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    with working(url, tmp_path, source, "--", str(script)) as worker:
        first = submit(client, source, "{}")
        until(lambda: record(client, first)["state"] == "done")
        script.unlink()
        id = submit(client, source, attempts=1)
        until(lambda: record(client, id)["attempt"] == 1 and record(client, id)["state"] == "available")
        shown = record(client, id)
        assert "could not be run" in shown["result"]["error"]
        assert shown["due"] is not None
        worker.signal(signal.SIGTERM)
        assert worker.ended() == 0


def test_a_failure_that_is_not_the_jobs_does_not_count(url: str, client: httpx.Client, source: str) -> None:
    id = submit(client, source, attempts=1)

    async def convert(_: AsyncJob) -> None:
        raise Failure("the disk is full", uncounted=True)

    asyncio.run(Converter(convert, [source], url=url, once=True).work())
    shown = record(client, id)
    assert (shown["state"], shown["result"]) == ("available", {"error": "the disk is full"})
    assert shown["due"] is not None


def test_what_loses_its_way_to_boss_has_not_failed(url: str, client: httpx.Client, source: str) -> None:
    """The work asks Boss for something while its connection is cut: no fault of the job's."""
    id = submit(client, source, attempts=1)

    async def work() -> None:
        async with (
            AsyncClient(url) as boss,
            AsyncClient("http://127.0.0.1:9", patience=0) as cut,
            boss.take(source),
        ):
            await cut.tree()

    with pytest.raises(Exception, match="no Boss answers"):
        asyncio.run(work())
    assert (record(client, id)["state"], record(client, id)["outcome"]) == ("available", None)


def test_a_stop_while_the_answer_of_a_take_is_under_way_holds_no_job(
    module_boss: BossProcess, client: httpx.Client, source: str
) -> None:
    """The answer has left Boss and waits in a proxy when the taker is cancelled."""
    id = submit(client, source, attempts=1)

    async def work(port: int) -> None:
        async with AsyncClient(f"http://127.0.0.1:{port}") as boss:
            taking = asyncio.create_task(boss.take_now(source))
            await asyncio.to_thread(until, lambda: record(client, id)["state"] == "active")
            way.hold = False
            taking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await taking

    with flaky_way(module_boss.port) as way:
        way.hold = True
        asyncio.run(work(way.port))
    until(lambda: record(client, id)["state"] == "available")
    assert client.get(f"/job/available/{source}").status_code == 200


def test_a_stop_does_not_wait_for_a_boss_that_is_away(
    database: str, source: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Of a job that has ended Boss is told for as long as the grace lasts."""
    begun, go_on = threading.Event(), threading.Event()

    def convert(_: Job) -> None:
        begun.set()
        assert go_on.wait(PATIENCE)

    async def work(boss: BossProcess) -> None:
        converter = Converter(convert, [source], url=boss.url, grace=1)
        working = asyncio.create_task(converter.work())
        await asyncio.to_thread(begun.wait, PATIENCE)
        boss.kill()
        go_on.set()
        converter.stop()
        await working

    with boss_running("--database", database) as boss:
        with boss.client() as client:
            submit(client, source)
        asyncio.run(work(boss))
    assert "could not be reported; it is available when its lease expires" in caplog.text


def test_nothing_of_a_worker_is_left_behind(url: str, client: httpx.Client, source: str, tmp_path: Path) -> None:
    submit(client, source, "{}")
    pid = tmp_path / "pid"
    script = f"sleep 600 & echo $! $$ > {pid}; wait"
    with working(url, tmp_path, source, "--grace", "0", "--", "sh", "-c", script) as worker:
        pids = written(pid)
        worker.signal(signal.SIGTERM)
        assert worker.ended() == 0
    until(lambda: gone(pids))


@pytest.mark.parametrize("threads", [True, False])
def test_what_was_taken_in_advance_goes_back_when_the_work_is_cancelled(
    url: str, client: httpx.Client, source: str, threads: bool
) -> None:
    """As by Ctrl-C in `asyncio.run(converter.work())`, or by an error of another task."""
    jobs = 2000
    lines, headers = "{}\n" * 1000, {"content-type": "application/x-ndjson"}
    for _ in range(jobs // 1000):
        assert client.post(f"/job/available/{source}?attempts=1", content=lines, headers=headers).status_code == 201

    def convert(_: Job) -> None:
        time.sleep(0.001)

    async def convert_async(_: AsyncJob) -> None:
        await asyncio.sleep(0.001)

    async def work() -> None:
        converter = Converter(convert if threads else convert_async, [source], url=url, slots=2)
        working = asyncio.create_task(converter.work())
        await asyncio.to_thread(until, lambda: count(client, "done", source) > 200)
        working.cancel()
        with pytest.raises(asyncio.CancelledError):
            await working

    asyncio.run(work())
    until(lambda: count(client, "active", source) == 0)
    done = client.get(f"/jobs?state=done&source={source}&limit=1000").json()["jobs"]
    assert {job["outcome"] for job in done} == {"completed"}
    assert count(client, "done", source) + count(client, "available", source) == jobs
