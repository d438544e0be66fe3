"""An attempt that takes longer than its time-out is ended, and fails."""

import asyncio
import contextlib
import threading
import time
from pathlib import Path

import httpx
import pytest

from boss import AsyncJob, Converter, Job
from tests.helpers.jobs import record
from tests.helpers.requests import submit
from tests.helpers.servers import PATIENCE, BossProcess, until
from tests.helpers.workers import gone, only_job, working, written

pytestmark = pytest.mark.slow

SAYS = {"error": "it ran for longer than the 0.5 s that an attempt may take"}


@pytest.fixture
def url(module_boss: BossProcess, client: httpx.Client) -> str:
    return module_boss.url


@pytest.mark.parametrize("trap", ["", "exit 0", "exit 3"], ids=["ignores", "exits with 0", "exits with 3"])
def test_a_command(url: str, client: httpx.Client, source: str, tmp_path: Path, trap: str) -> None:
    """It gets SIGTERM, and SIGKILL after the grace; whatever it makes of that, it has failed."""
    submit(client, source, attempts=1)
    pids = tmp_path / "pids"
    script = f"trap '{trap}' TERM; sleep 600 & echo $! $$ > {pids}; while :; do sleep 0.1; done"
    words = ("--timeout", "0.5", "--grace", "0.5", "--once", "--", "sh", "-c", script)
    with working(url, tmp_path, source, *words) as worker:
        running = written(pids)
        assert worker.ended() == 1
        until(lambda: gone(running))
    shown = only_job(client, source)
    assert (shown["state"], shown["outcome"], shown["result"]) == ("done", "failed", SAYS)


def test_a_command_that_is_quick_enough(url: str, client: httpx.Client, source: str, tmp_path: Path) -> None:
    submit(client, source, attempts=1)
    with working(url, tmp_path, source, "--timeout", "600", "--once", "--", "true") as worker:
        assert worker.ended() == 0
    assert only_job(client, source)["outcome"] == "completed"


def test_an_async_function_is_cancelled(url: str, client: httpx.Client, source: str) -> None:
    id = submit(client, source)

    async def convert(_: AsyncJob) -> None:
        await asyncio.Event().wait()

    asyncio.run(Converter(convert, [source], url=url, timeout=0.5, once=True).work())
    shown = record(client, id)
    assert (shown["state"], shown["result"]) == ("available", SAYS)
    assert shown["due"] is not None


def test_a_function_that_checks_ends(url: str, client: httpx.Client, source: str) -> None:
    id = submit(client, source, attempts=1)

    def convert(job: Job) -> None:
        while True:
            job.check()
            time.sleep(0.02)

    asyncio.run(Converter(convert, [source], url=url, timeout=0.5, once=True).work())
    assert (record(client, id)["outcome"], record(client, id)["result"]) == ("failed", SAYS)


def test_a_function_that_never_checks_does_not_keep_its_slot(url: str, client: httpx.Client, source: str) -> None:
    id = submit(client, source, '{"hang": true}', attempts=1)
    after = submit(client, source, '{"hang": false}')
    go_on = threading.Event()

    def convert(job: Job) -> None:
        if job.document["hang"]:
            assert go_on.wait(PATIENCE)

    asyncio.run(Converter(convert, [source], url=url, timeout=0.5, grace=0.1, until_empty=True).work())
    go_on.set()
    assert (record(client, id)["outcome"], record(client, id)["result"]) == ("failed", SAYS)
    assert record(client, after)["outcome"] == "completed"


def test_a_stop_before_the_time_is_over_is_no_failure(url: str, client: httpx.Client, source: str) -> None:
    id = submit(client, source, attempts=1)

    async def work() -> None:
        begun = asyncio.Event()

        async def convert(job: AsyncJob) -> None:
            begun.set()
            await job.stopped.wait()
            job.check()

        converter = Converter(convert, [source], url=url, timeout=600, grace=0)
        working = asyncio.create_task(converter.work())
        await begun.wait()
        converter.stop()
        await working

    asyncio.run(work())
    assert (record(client, id)["state"], record(client, id)["due"]) == ("available", None)


async def test_a_function_that_ignores_being_cancelled_does_not_keep_its_slot(
    url: str, client: httpx.Client, source: str
) -> None:
    id = submit(client, source, '{"hang": true}', attempts=1)
    after = submit(client, source, '{"hang": false}')
    go_on = asyncio.Event()

    async def convert(job: AsyncJob) -> None:
        while job.document["hang"] and not go_on.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await go_on.wait()

    await Converter(convert, [source], url=url, timeout=0.5, grace=0.1, until_empty=True).work()
    go_on.set()
    assert (record(client, id)["outcome"], record(client, id)["result"]) == ("failed", SAYS)
    assert record(client, after)["outcome"] == "completed"
