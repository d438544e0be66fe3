"""Converters in Python that are stopped: by an administrator, by a signal, and while something blocks them."""

import asyncio
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from boss import AsyncJob, Converter, Job
from boss.client.job import JobEnd
from tests.helpers.jobs import record
from tests.helpers.requests import submit
from tests.helpers.servers import PATIENCE, BossProcess, until
from tests.helpers.workers import converting

pytestmark = pytest.mark.slow


@pytest.fixture
def url(module_boss: BossProcess, client: httpx.Client) -> str:
    return module_boss.url


async def test_an_async_function_is_cancelled_when_its_job_is_stopped(
    url: str, client: httpx.Client, source: str
) -> None:
    id = submit(client, source)
    ends: list[str] = []

    async def convert(job: AsyncJob) -> None:
        try:
            await asyncio.to_thread(client.post, f"/job/done/{job.source}/{job.id}?outcome=stopped")
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise

    converter = Converter(convert, [source], url=url, lease=1, once=True)
    await asyncio.wait_for(converter.work(), PATIENCE)
    assert (ends, converter.ends[JobEnd.LOST]) == (["cancelled"], 1)
    assert record(client, id)["outcome"] == "stopped"


async def test_an_async_function_has_the_grace_and_is_then_cancelled(
    url: str, client: httpx.Client, source: str
) -> None:
    id = submit(client, source, attempts=1)
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def convert(_: AsyncJob) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    converter = Converter(convert, [source], url=url, grace=0.2)
    working = asyncio.create_task(converter.work())
    await begun.wait()
    converter.stop()
    await asyncio.wait_for(working, PATIENCE)
    assert cancelled.is_set()
    assert (record(client, id)["state"], record(client, id)["due"]) == ("available", None)


async def test_a_function_that_catches_being_cancelled_and_ends_has_ended(
    url: str, client: httpx.Client, source: str
) -> None:
    id = submit(client, source)
    begun = asyncio.Event()

    async def convert(_: AsyncJob) -> dict[str, object]:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return {"half": True}
        return {}

    converter = Converter(convert, [source], url=url, grace=0)
    working = asyncio.create_task(converter.work())
    await begun.wait()
    converter.stop()
    await asyncio.wait_for(working, PATIENCE)
    assert (record(client, id)["outcome"], record(client, id)["result"]) == ("completed", {"half": True})


async def test_code_that_blocks_an_async_function_keeps_its_job(url: str, client: httpx.Client, source: str) -> None:
    """Nothing else runs on that event loop for more than two leases."""
    id = submit(client, source, attempts=1)

    async def convert(_: AsyncJob) -> dict[str, object]:
        time.sleep(4.5)  # noqa: ASYNC251 (as people do)
        return {"kept": True}

    await Converter(convert, [source], url=url, lease=2, once=True).work()
    shown = record(client, id)
    assert (shown["outcome"], shown["attempt"], shown["result"]) == ("completed", 1, {"kept": True})


NEVER_CHECKS = """
import logging, sys, time
from boss import Converter, Job
logging.basicConfig(level=logging.INFO)

def convert(job: Job) -> None:
    print("begun", flush=True)
    time.sleep(600)

Converter(convert, [sys.argv[1]], slots=2, grace=0.5).run()
print("and went on", flush=True)
"""


def test_a_function_that_never_checks_does_not_keep_the_process(
    url: str, client: httpx.Client, source: str, tmp_path: Path
) -> None:
    ids = [submit(client, source, attempts=1) for _ in range(2)]
    with converting(url, tmp_path, NEVER_CHECKS, source) as worker:
        until(lambda: worker.said.count("begun") == 2)
        worker.signal(signal.SIGTERM)
        assert worker.ended() == 0
        assert worker.said.count("its function has not ended, and is not waited for any more") == 2
        assert "and went on" in worker.said
    assert [(record(client, id)["state"], record(client, id)["due"]) for id in ids] == [("available", None)] * 2


BLOCKED = """
import logging, sys, time
from boss import AsyncJob, Converter
logging.basicConfig(level=logging.INFO)

async def convert(job: AsyncJob) -> None:
    print("begun", flush=True)
    time.sleep(600)

Converter(convert, [sys.argv[1]], grace=600).run()
"""
WAITING = BLOCKED.replace("    time.sleep(600)", "    await job.stopped.wait()")
THREAD = NEVER_CHECKS.replace("grace=0.5", "grace=600")


@pytest.mark.parametrize("program", [BLOCKED, WAITING, THREAD], ids=["blocked", "waiting", "thread"])
@pytest.mark.parametrize(("numbers", "code"), [((15, 15), 143), ((2, 2), 130), ((15, 2), 130)])
def test_a_second_signal_ends_it_at_once(
    url: str, client: httpx.Client, source: str, tmp_path: Path, program: str, numbers: tuple[int, int], code: int
) -> None:
    id = submit(client, source, attempts=1)
    with converting(url, tmp_path, program, source) as worker:
        until(lambda: "begun" in worker.said)
        worker.signal(numbers[0])
        until(lambda: "stopping:" in worker.said)
        worker.signal(numbers[1])
        assert worker.ended() == code
        assert "Traceback" not in worker.said
    if program is not BLOCKED:
        assert (record(client, id)["state"], record(client, id)["due"]) == ("available", None)


def test_a_function_that_calls_exit_has_failed(url: str, client: httpx.Client, source: str) -> None:
    """Its converter goes on."""
    ids = [submit(client, source, attempts=1) for _ in range(2)]

    def convert(_: Job) -> None:
        raise SystemExit(3)

    asyncio.run(Converter(convert, [source], url=url, until_empty=True).work())
    assert {record(client, id)["outcome"] for id in ids} == {"failed"}


def test_what_a_function_cannot_raise_elsewhere_is_a_failure_too(url: str, client: httpx.Client, source: str) -> None:
    id = submit(client, source, attempts=1)

    def convert(_: Job) -> None:
        next(iter([]))

    asyncio.run(Converter(convert, [source], url=url, until_empty=True).work())
    assert "StopIteration" in record(client, id)["result"]["error"]


FROZEN = """
import logging, sys, time
from boss import Converter, Job

def convert(job: Job) -> None:
    print("begun", flush=True)
    while True:
        time.sleep(0.1)
        job.check()

logging.basicConfig(level=logging.INFO)
Converter(convert, [sys.argv[1]], lease=3, once=True).run()
"""


def test_a_late_check_is_logged(url: str, client: httpx.Client, source: str, tmp_path: Path) -> None:
    id = submit(client, source)
    with converting(url, tmp_path, FROZEN, source) as worker:
        until(lambda: "begun" in worker.said)
        worker.signal(signal.SIGSTOP)
        until(lambda: record(client, id)["state"] == "available")
        worker.signal(signal.SIGCONT)
        assert worker.ended() == 0
        assert "s late, and the lease is 3 s" in worker.said
        assert "stopped or lost" in worker.said


def test_a_number_of_more_digits_than_python_reads_stops_nobody(url: str, client: httpx.Client, source: str) -> None:
    """A whole number of 5,000 digits is JSON, and more than Python reads by default."""
    large = f"{source}-large"
    document = f'{{"n": {"1" * 5000}}}'
    assert client.post(f"/job/available/{source}/{large}?attempts=1", content=document).status_code == 201
    small = submit(client, source, '{"n": 1}')

    def convert(job: Job) -> dict[str, object]:
        return {"digits": len(str(job.document["n"]))}

    asyncio.run(Converter(convert, [source], url=url, until_empty=True, slots=2).work())
    assert record(client, small)["result"] == {"digits": 1}
    assert '"result":{"digits": 5000}' in client.get(f"/jobs/{large}").text


HANGS_UP = """
import signal, sys
from boss import Client

signal.signal(signal.SIGTERM, lambda *_: sys.exit(int(sys.argv[2])))
with Client() as boss, boss.take(sys.argv[1]) as job:
    print("begun", flush=True)
    signal.pause()
"""


@pytest.mark.parametrize(("code", "state"), [(0, "available"), (143, "available"), (1, "done")])
def test_a_program_that_leaves_by_exit_has_failed_or_was_interrupted(
    url: str, client: httpx.Client, source: str, tmp_path: Path, code: int, state: str
) -> None:
    id = submit(client, source, attempts=1)
    with converting(url, tmp_path, HANGS_UP, source, str(code)) as worker:
        until(lambda: "begun" in worker.said)
        worker.signal(signal.SIGTERM)
        assert worker.ended() == code
    assert (record(client, id)["state"], record(client, id)["due"]) == (state, None)


def test_the_end_of_a_terminal_is_a_stop(url: str, client: httpx.Client, source: str, tmp_path: Path) -> None:
    id = submit(client, source, attempts=1)
    with converting(url, tmp_path, NEVER_CHECKS, source) as worker:
        until(lambda: "begun" in worker.said)
        worker.signal(signal.SIGHUP)
        assert worker.ended() == 0
    assert (record(client, id)["state"], record(client, id)["due"]) == ("available", None)


SWALLOWS = """
import asyncio, logging, sys
from boss import AsyncJob, Converter
logging.basicConfig(level=logging.INFO)

async def convert(job: AsyncJob) -> None:
    print("begun", flush=True)
    while True:
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            pass

Converter(convert, [sys.argv[1]], grace=0.5).run()
"""


def test_a_function_that_ignores_being_cancelled_does_not_keep_the_process(
    url: str, client: httpx.Client, source: str, tmp_path: Path
) -> None:
    id = submit(client, source, attempts=1)
    with converting(url, tmp_path, SWALLOWS, source) as worker:
        until(lambda: "begun" in worker.said)
        worker.signal(signal.SIGTERM)
        assert worker.ended() == 1
        assert "its function has not ended" in worker.said
    assert (record(client, id)["state"], record(client, id)["due"]) == ("available", None)


class Own(BaseException):
    """No Exception."""


class Wordless(Exception):
    """Fails to say what it is."""

    def __str__(self) -> str:
        raise AttributeError


@pytest.mark.parametrize("error", [KeyboardInterrupt, GeneratorExit, Own, Wordless, BaseExceptionGroup("all", [Own()])])
def test_whatever_a_function_raises_its_job_has_failed(
    url: str, client: httpx.Client, source: str, error: type[BaseException] | BaseException
) -> None:
    """And the converter goes on."""
    ids = [submit(client, source, attempts=1) for _ in range(3)]

    def convert(_: Job) -> None:
        raise error

    asyncio.run(Converter(convert, [source], url=url, until_empty=True).work())
    assert {record(client, id)["outcome"] for id in ids} == {"failed"}


@pytest.mark.parametrize("named", [{"timeout": 0}, {"timeout": float("nan")}, {"grace": -1}, {"grace": float("nan")}])
def test_times_that_cannot_be(named: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="it takes a number of seconds"):
        Converter(lambda _: None, **named)  # type: ignore[arg-type]


def test_only_the_main_thread_hears_signals() -> None:
    with ThreadPoolExecutor(1) as thread, pytest.raises(RuntimeError, match="use work"):
        thread.submit(Converter(lambda _: None).run).result()
