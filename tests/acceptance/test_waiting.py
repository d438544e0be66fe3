"""Takers that wait, over real HTTP: what they cost, what they survive, and what becomes of jobs when they hang up."""

import asyncio
import contextlib
import os
import random
import re
import resource
import signal
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import aiohttp
import asyncpg
import httpx
import pytest

from tests.helpers.clock import Clock
from tests.helpers.requests import assert_problem, submit
from tests.helpers.servers import PATIENCE, BossProcess, boss_running, postmaster
from tests.helpers.takers import clients, statuses, tree

pytestmark = pytest.mark.slow


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await holds():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


class TestContract:
    @pytest.mark.parametrize("path", ["/job/available", "/job/available/{}", "/job/active", "/job/active/{}"])
    @pytest.mark.parametrize(
        ("query", "headers", "granted"),
        [
            ({"wait": 50}, {}, "wait=50"),
            ({"wait": 600}, {}, "wait=50"),
            ({}, {"prefer": "wait=20"}, "wait=20"),
            ({}, {"prefer": 'respond-async, Wait = "30"; x=1'}, "wait=30"),
            ({"wait": 7}, {"prefer": "wait=20"}, "wait=7"),
        ],
    )
    def test_a_job_that_is_there_is_taken_at_once(
        self, client: httpx.Client, source: str, path: str, query: dict[str, int], headers: dict[str, str], granted: str
    ) -> None:
        id = submit(client, source)
        method = "GET" if "available" in path else "POST"
        answer = client.request(method, path.format(source), params=query, headers=headers)
        assert (answer.status_code, answer.json()["id"]) == (200, id)
        assert answer.headers["preference-applied"] == granted

    def test_none_comes(self, client: httpx.Client, source: str) -> None:
        answer = client.get(f"/job/available/{source}?wait=1")
        assert_problem(answer, 404, f"No job of {source} is ready")
        assert (answer.headers["preference-applied"], answer.headers["boss-state"]) == ("wait=1", "none")

    @pytest.mark.parametrize("prefer", ["wait=soon", "wait", "respond-async", "await=5", "wait=-1", ""])
    def test_a_preference_that_cannot_be_read_is_none(self, client: httpx.Client, source: str, prefer: str) -> None:
        answer = client.get(f"/job/available/{source}", headers={"prefer": prefer})
        assert answer.status_code == 404
        assert "preference-applied" not in answer.headers

    async def test_with_a_limit_it_takes_what_comes(self, module_boss: BossProcess, source: str) -> None:
        async with aiohttp.ClientSession(module_boss.url) as client:
            waiting = asyncio.create_task(taken(client, f"/job/available/{source}?wait=50&limit=10"))
            lines = b"{}\n" * 4
            headers = {"content-type": "application/x-ndjson"}
            async with client.post(f"/job/available/{source}", data=lines, headers=headers) as answer:
                assert answer.status == 201
            assert len(await waiting) in range(1, 5)

    async def test_a_server_that_stops_sends_its_takers_away(self, database: str) -> None:
        with boss_running("--database", database) as boss:
            async with aiohttp.ClientSession(boss.url) as client:

                async def wait() -> tuple[int, str | None]:
                    async with client.get("/job/available?wait=50") as answer:
                        return answer.status, answer.headers.get("retry-after")

                takers = [asyncio.create_task(wait()) for _ in range(50)]
                await until(lambda: waiting_on(database, 1))
                boss.process.terminate()
                assert set(await asyncio.gather(*takers)) == {(503, "1")}
            assert await asyncio.to_thread(boss.process.wait, PATIENCE) == 0


async def taken(client: aiohttp.ClientSession, path: str) -> list[dict[str, object]]:
    async with client.get(path) as answer:
        assert answer.status == 200, await answer.text()
        got: list[dict[str, object]] = await answer.json()
        return got


async def waiting_on(database: str, replicas: int) -> bool:
    """Whether takers wait on so many replicas."""
    connection = await asyncpg.connect(database)
    try:
        return bool(await connection.fetchval("SELECT count(*) FROM waiting") == replicas)
    finally:
        await connection.close()


class Statements:
    """What PostgreSQL is asked to do in one database, by its log."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._read = log.stat().st_size

    @classmethod
    async def of(cls, database: str) -> "Statements":
        connection = await asyncpg.connect(database)
        name = await connection.fetchval("SELECT current_database()")
        await connection.execute(f"ALTER DATABASE {name} SET log_statement = 'all'")
        folder = await connection.fetchval("SHOW data_directory")
        await connection.close()
        return cls(Path(folder).parent / "postgresql.log")

    def new(self) -> Counter[str]:
        """The statements since this was last asked, each by its name."""
        with self._log.open("rb") as log:
            log.seek(self._read)
            text = log.read().decode(errors="replace")
            self._read = log.tell()
        return Counter(
            name or " ".join(words.split())
            for name, words in re.findall(r"LOG:  (?:execute \S+|statement): (?:\s*-- (\w+)|([^;]{0,100}))", text)
        )


# What a replica does by itself, whoever waits.
IDLE = {"reach", "pending_work", "valid_tokens", "source_limits", "count"}
IDLE |= {"count_history", "roll_up_history", "record_asked"}
IDLE |= {"record_missed_ends", "date_done", "oldest_done", "volumes", "compact_volume_counts", "counted_empty"}
# What asyncpg asks once on each connection, before the first statement with an array in its answer. Two of a replica's
# own duties that meet may need another connection, at any moment.
NEW_CONNECTION = ("SELECT current_setting('jit')", "WITH RECURSIVE typeinfo_tree")


def of_takers(seen: Counter[str]) -> Counter[str]:
    """The statements that a replica does not make by itself."""
    return Counter({name: n for name, n in seen.items() if name not in IDLE and not name.startswith(NEW_CONNECTION)})


async def test_1000_takers_who_wait_cost_no_statement_and_one_job_wakes_one(database: str) -> None:
    # For the clients, which are in this process; Boss sees to itself.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    statements = await Statements.of(database)
    with contextlib.ExitStack() as running:
        replicas = [running.enter_context(boss_running("--database", database)) for _ in range(2)]
        async with contextlib.AsyncExitStack() as stack:
            boss = await clients(replicas, stack)
            served: list[str] = []

            async def wait(number: int) -> None:
                path = "/job/available/freg?wait=50" if number % 4 < 2 else "/job/available?wait=50"
                async with boss[number % 2].get(path) as answer:
                    assert answer.status == 200
                    served.append((await answer.json())["id"])

            takers = [asyncio.create_task(wait(number)) for number in range(1000)]

            async def only_sweeps() -> bool:
                await asyncio.sleep(1.5)
                return await waiting_on(database, 2) and set(of_takers(statements.new())) <= {
                    "SELECT count(*) FROM waiting"
                }

            await until(only_sweeps)
            statements.new()
            async with asyncio.timeout(PATIENCE):
                seen: Counter[str] = Counter()
                while seen["pending_work"] < 8:
                    await asyncio.sleep(0.1)
                    seen += statements.new()
            assert not of_takers(seen), seen
            for number in range(10):
                async with boss[number % 2].post(f"/job/available/freg/id-{number}", data="{}") as answer:
                    assert answer.status == 201

                async def all_served(jobs: int = number + 1) -> bool:
                    return len(served) == jobs

                await until(all_served)
                assert served == [f"id-{each}" for each in range(number + 1)]
            takes = sum(count for words, count in statements.new().items() if words.startswith("take"))
            # One on each replica, and the one who came too late looks no second time.
            assert 10 <= takes <= 20
            for taker in takers:
                taker.cancel()
            await asyncio.gather(*takers, return_exceptions=True)
            # All of them have hung up: what comes now stays available.
            async with boss[0].post("/job/available/freg/last", data="{}") as answer:
                assert answer.status == 201

            async def settled() -> bool:
                return (await tree(boss[1]))["active"] == {"freg": 10}

            await until(settled)
            async with boss[1].get("/job/available") as answer:
                assert (await answer.json())["id"] == "last"
                assert answer.headers["etag"] == '"1"'


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
async def test_takers_wait_on_while_postgres_is_restarted(how: signal.Signals) -> None:
    with tempfile.TemporaryDirectory(prefix="boss-data-") as folder:
        data = Path(folder) / "data"
        with boss_running("--data", str(data)) as boss:
            async with aiohttp.ClientSession(boss.url, connector=aiohttp.TCPConnector(limit=0)) as client:
                served: list[str] = []

                async def wait() -> None:
                    async with client.get("/job/available/freg?wait=50") as answer:
                        assert answer.status == 200, await answer.text()
                        served.append((await answer.json())["id"])

                takers = [asyncio.create_task(wait()) for _ in range(100)]
                async with client.get("/job/available?wait=1") as answer:
                    assert answer.status == 404
                pid = postmaster(data)
                os.kill(pid, how)
                ids = [f"id-{number}" for number in range(100)]
                for id in ids:

                    async def submitted(id: str = id) -> bool:
                        async with client.post(f"/job/available/freg/{id}", data="{}") as answer:
                            return answer.status in (201, 409)

                    await until(submitted)
                await asyncio.gather(*takers)
            assert sorted(served) == sorted(ids)
            assert postmaster(data) != pid
            assert "Traceback" not in boss.log


@pytest.fixture
def clock(database: str) -> Iterator[Clock]:
    with Clock(database) as clock:
        yield clock


async def test_thousands_of_hang_ups_at_random_moments_cost_no_job(database: str, clock: Clock) -> None:
    jobs, hang_ups = 1500, 4000
    chance = random.Random(11)
    finished: Counter[str] = Counter()
    over = asyncio.Event()
    statements = await Statements.of(database)

    async def hang_up(port: int) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        path = chance.choice(["/job/available", "/job/available/freg", "/job/available/freg?limit=3"])
        wait = chance.choice(["", "&wait=20", "&wait=20"])
        mark = "&" if "?" in path else "?"
        writer.write(f"GET {path}{mark}lease=600{wait} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        await asyncio.sleep(chance.choice([0, chance.random() * 0.004, chance.random() * 0.05]))
        if chance.random() < 0.5:
            writer.transport.abort()
        else:
            writer.close()

    async def convert(client: aiohttp.ClientSession) -> None:
        """An honest converter, who is the only one to finish anything."""
        while not over.is_set():
            async with client.get("/job/available?wait=1&lease=600") as answer:
                if answer.status != 200:
                    continue
                job, etag = await answer.json(), answer.headers["etag"]
            path = f"/job/done/{job['source']}/{job['id']}"
            async with client.post(path, headers={"if-match": etag}) as answer:
                assert answer.status == 200, await answer.text()
                finished[job["id"]] += 1

    with contextlib.ExitStack() as running:
        replicas = [running.enter_context(boss_running("--database", database)) for _ in range(2)]
        async with contextlib.AsyncExitStack() as stack:
            boss = await clients(replicas, stack)
            converters = [asyncio.create_task(convert(boss[number % 2])) for number in range(4)]

            async def submit_all() -> None:
                for number in range(jobs):
                    async with boss[number % 2].post(f"/job/available/freg/id-{number}", data="{}") as answer:
                        assert answer.status == 201

            async def hang_up_often(port: int) -> None:
                for _ in range(hang_ups // 20):
                    await hang_up(port)

            await asyncio.gather(submit_all(), *(hang_up_often(replicas[each % 2].port) for each in range(20)))

            async def nothing_moves() -> bool:
                before = await tree(boss[0])
                await asyncio.sleep(0.5)
                return before["available"] == {"freg": 0} and before == await tree(boss[0])

            await until(nothing_moves)
            counts = await statuses(database)
            # Those to whom the answer was on its way when they hung up: nobody can know that they never read it.
            unread = counts.pop("ACTIVE", 0)
            assert counts == {"DONE": jobs - unread} == {"DONE": len(finished)}
            # Most who were too early to have an answer have not taken anything, and their jobs came back at once.
            assert statements.new()["undo_takes"] > 0
            await asyncio.to_thread(clock.move, 600)

            async def all_done() -> bool:
                return len(finished) == jobs

            await until(all_done)
            over.set()
            await asyncio.gather(*converters)
        assert finished == Counter({f"id-{number}": 1 for number in range(jobs)})
        assert await statuses(database) == {"DONE": jobs}
        wrong = ("Traceback", '"level":"error"')
        assert not [replica.log for replica in replicas if any(word in replica.log for word in wrong)]
