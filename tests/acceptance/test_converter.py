"""`Converter`, for converters in Python, on a real Boss."""

import asyncio
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from boss import AsyncJob, Client, Converter, Failure, Job, Line
from boss.client.job import JobEnd
from tests.helpers.jobs import record
from tests.helpers.requests import submit
from tests.helpers.servers import PATIENCE, BossProcess, until


@pytest.fixture
def url(module_boss: BossProcess, client: httpx.Client) -> str:
    return module_boss.url


@pytest.fixture
def boss(url: str) -> Iterator[Client]:
    with Client(url) as boss:
        yield boss


def results(client: httpx.Client, source: str) -> list[tuple[str, object, object]]:
    jobs = client.get(f"/jobs?source={source}").json()["jobs"]
    return [(job["state"], job["outcome"], job["result"]) for job in reversed(jobs)]


def count(client: httpx.Client, state: str, source: str) -> int:
    counted: int = client.get("/job").json()[state][source]
    return counted


def convert(job: Job) -> dict[str, object] | None:
    match job.document["do"]:
        case "double":
            return {"doubled": 2 * job.document["n"]}
        case "nothing":
            return None
        case "fail":
            raise Failure({"column": "a"})
        case "give up":
            raise Failure("no such column", for_good=True)
        case "raise":
            raise ValueError("bad")
        case "result that cannot be kept":
            return {"a": "\0"}
    raise AssertionError(job.document)


DOES = ["double", "nothing", "fail", "give up", "raise", "result that cannot be kept"]
ENDS = [
    ("done", "completed", {"doubled": 6}),
    ("done", "completed", None),
    ("available", None, {"column": "a"}),
    ("done", "failed", {"error": "no such column"}),
    ("available", None, {"error": "ValueError: bad"}),
    ("done", "completed", {"note": "the result could not be kept: The result has a NUL character (\\u0000) in a "
                                   "string, which cannot be kept"}),
]  # fmt: skip


@pytest.mark.parametrize("slots", [1, 3])
def test_a_function(boss: Client, client: httpx.Client, url: str, source: str, slots: int) -> None:
    for do in DOES:
        boss.submit(source, {"do": do, "n": 3})
    converter = Converter(convert, [source], url=url, slots=slots, until_empty=True)
    asyncio.run(converter.work())
    assert results(client, source) == ENDS
    assert list(converter.ends.values()) == [3, 2, 1, 0, 0]


async def test_an_async_function(client: httpx.Client, url: str, source: str) -> None:
    for do in DOES:
        submit(client, source, f'{{"do": "{do}", "n": 3}}')

    async def later(job: AsyncJob) -> dict[str, object] | None:
        await asyncio.sleep(0)
        return convert(job)  # type: ignore[arg-type]

    await Converter(later, [source], url=url, slots=2, until_empty=True).work()
    assert results(client, source) == ENDS


def test_a_stop_is_heard_of(boss: Client, client: httpx.Client, url: str, source: str) -> None:
    id = boss.submit(source, {})
    begun = threading.Event()

    def work(job: Job) -> None:
        begun.set()
        while True:
            job.check()
            time.sleep(0.02)

    converter = Converter(work, [source], url=url, lease=1, once=True)
    thread = threading.Thread(target=lambda: asyncio.run(converter.work()))
    thread.start()
    assert begun.wait(PATIENCE)
    boss.done(source, id, outcome="stopped")
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert converter.ends[JobEnd.LOST] == 1
    assert results(client, source) == [("done", "stopped", None)]


PROGRAM = """
import sys, time
from boss import Converter, Job

def convert(job: Job) -> None:
    print("begun", flush=True)
    for _ in range(int(sys.argv[3])):
        job.check()
        time.sleep(0.1)

Converter(convert, [sys.argv[2]], url=sys.argv[1], grace=1).run()
"""


@pytest.mark.parametrize(("tenths", "state"), [("3", "done"), ("6000", "available")])
def test_sigterm_has_what_runs_finish_or_give_back(
    boss: Client, client: httpx.Client, url: str, source: str, tenths: str, state: str
) -> None:
    id = boss.submit(source, {})
    command = [sys.executable, "-W", "error", "-c", PROGRAM, url, source, tenths]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        assert program.stdout
        assert program.stdout.readline() == "begun\n"
        program.send_signal(signal.SIGTERM)
        _, complaint = program.communicate(timeout=PATIENCE)
    assert (program.returncode, complaint) == (0, "")
    shown = record(client, id)
    assert (shown["state"], shown["due"]) == (state, None)


def test_what_was_taken_in_advance_is_for_others_when_no_slot_comes_to_it(
    boss: Client, client: httpx.Client, url: str, source: str
) -> None:
    """Tiny jobs are taken in advance; when a long one comes, the others must not wait behind it."""
    tiny = [Line(f"{source}-{n:04}", '{"seconds": 0}') for n in range(500)]
    [*_] = boss.submit_lines(source, tiny)
    [*_] = boss.submit_lines(source, [Line(f"{source}-long", '{"seconds": 600}')])
    [*_] = boss.submit_lines(source, [Line(f"{source}-after-{n:04}", "{}") for n in range(300)])

    async def work() -> None:
        async def convert(job: AsyncJob) -> None:
            if job.document["seconds"]:
                await job.stopped.wait()
                job.check()

        converter = Converter(convert, [source], url=url, grace=0)
        working = asyncio.create_task(converter.work())
        await asyncio.to_thread(until, lambda: count(client, "done", source) == 500)
        await asyncio.to_thread(until, lambda: count(client, "active", source) == 1)
        assert record(client, f"{source}-long")["state"] == "active"
        assert count(client, "available", source) == 300
        converter.stop()
        await working

    asyncio.run(work())
    assert count(client, "available", source) == 301
