"""Everything dies at random, and nothing is lost: three replicas, 32 converters, and PostgreSQL twice.

CHAOS_JOBS in the environment says how many jobs; `make chaos` sets it to twenty times as many.
"""

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest

from boss.postgres.embedded import embedded_postgres
from tests.helpers.servers import BossProcess, boss_running, free_port, postmaster

pytestmark = pytest.mark.slow

JOBS = int(os.environ.get("CHAOS_JOBS", "2500"))
CONVERTERS = 32
CONVERTER = Path(__file__).parents[1] / "helpers" / "chaos_converter.py"
# How long it may take, in seconds: a job that was lost would otherwise be waited for.
LIMIT = 100 + JOBS / 25


class Converters:
    """The converter processes; whoever is killed is replaced by a new one with a new name."""

    def __init__(self, folder: Path, ports: list[int]) -> None:
        self._folder = folder
        self._ports = [str(port) for port in ports]
        self._names = 0
        self._running: list[subprocess.Popen[bytes]] = []
        for _ in range(CONVERTERS):
            self._start()

    def _start(self) -> None:
        self._names += 1
        name = f"c{self._names}"
        command = [sys.executable, "-I", "-S", str(CONVERTER), name, str(self._folder / f"{name}.log"), *self._ports]
        self._running.append(subprocess.Popen(command))

    def kill_one(self) -> None:
        victim = self._running.pop(random.randrange(len(self._running)))
        victim.kill()
        victim.wait()
        self._start()

    def close(self) -> None:
        for process in self._running:
            assert process.poll() is None, "a converter ended by itself"
            process.kill()
            process.wait()

    def kill(self) -> None:
        for process in self._running:
            process.kill()
            process.wait()

    def told(self, word: str) -> Counter[tuple[str, int]]:
        """The ids and attempts of all lines with this word, with how often they are there."""
        lines = [line.split() for log in self._folder.glob("c*.log") for line in log.read_text().splitlines()]
        return Counter((id, int(attempt)) for said, id, attempt in lines if said == word)


class Chaos:
    """Who lives, who is killed, and what was answered."""

    def __init__(self, database: str, data: Path, folder: Path) -> None:
        self._database = database
        self._data = data
        self._ports = [free_port() for _ in range(3)]
        self._replicas = [self._replica(port).wait_until_ready() for port in self._ports]
        self.converters = Converters(folder, self._ports)
        self.over = asyncio.Event()
        self.done = 0

    def _replica(self, port: int) -> BossProcess:
        return BossProcess("--database", self._database, port=port)

    def kill_a_replica(self) -> None:
        number = random.randrange(len(self._replicas))
        self._replicas[number].kill()
        # Not waited for: the others serve meanwhile.
        self._replicas[number] = self._replica(self._ports[number])

    def restart_postgres(self, how: signal.Signals) -> None:
        os.kill(postmaster(self._data), how)

    async def submit(self) -> None:
        """Submit every job until a replica has said that it is there."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(10)) as client:
            for number in range(JOBS):
                path = f"/job/available/source-{number % 5}/id-{number}?attempts=1000"
                while True:
                    with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                        url = f"http://127.0.0.1:{random.choice(self._ports)}{path}"
                        async with client.post(url, data=b'{"number": %d}' % number) as answer:
                            if answer.status in (201, 409):
                                break
                    await asyncio.sleep(0.05)

    async def rage(self) -> None:
        restarts = [signal.SIGINT, signal.SIGKILL]
        while not self.over.is_set():
            await asyncio.sleep(0.1 + random.random() * 0.4)
            if restarts and self.done > JOBS * (3 - len(restarts)) / 4:
                self.restart_postgres(restarts.pop())
            elif random.random() < 0.1:
                self.kill_a_replica()
            else:
                self.converters.kill_one()
        assert not restarts, "PostgreSQL was to be restarted twice"

    async def watch(self) -> None:
        """Until every job is done."""
        deadline = time.monotonic() + LIMIT
        while self.done < JOBS:
            assert time.monotonic() < deadline, f"{self.done} of {JOBS} are done; the rest seems to be lost"
            await asyncio.sleep(0.2)
            # asyncpg's own error comes where the connection dies while a query is begun.
            with contextlib.suppress(
                OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError
            ):
                connection = await asyncpg.connect(self._database)
                self.done = await connection.fetchval("SELECT count(*) FROM job WHERE status = 'DONE'")
                await connection.close()
        self.over.set()

    def kill(self) -> None:
        """Leave nobody behind, however the test ends."""
        self.converters.kill()
        for replica in self._replicas:
            if replica.process.poll() is None:
                replica.kill()
            replica.close()

    def close(self) -> list[str]:
        """Stop everybody; return the replicas' logs."""
        self.converters.close()
        for replica in self._replicas:
            replica.wait_until_ready()
        logs = [replica.log for replica in self._replicas]
        for replica in self._replicas:
            replica.close()
        return logs


@pytest.fixture
def folder() -> Iterator[Path]:
    # Not pytest's tmp_path: as root, PostgreSQL runs as another user, who has to reach the folder.
    with tempfile.TemporaryDirectory(prefix="boss-chaos-") as name:
        yield Path(name)


@pytest.mark.long
@pytest.mark.timeout(LIMIT + 60)
async def test_nothing_is_lost_when_everything_dies(folder: Path) -> None:
    random.seed(time.time_ns())
    data = folder / "data"
    async with embedded_postgres(data) as database:
        chaos = await asyncio.to_thread(Chaos, database, data, folder)
        try:
            async with asyncio.TaskGroup() as group:
                for part in (chaos.submit(), chaos.rage(), chaos.watch()):
                    group.create_task(part)
            logs = await asyncio.to_thread(chaos.close)
        finally:
            await asyncio.to_thread(chaos.kill)
        with boss_running("--database", database) as boss:
            records = await all_jobs(boss)
            async with aiohttp.ClientSession(boss.url) as client, client.get("/job") as answer:
                tree = await answer.json()
    taken, done = chaos.converters.told("taken"), chaos.converters.told("done")
    print(f"{JOBS} jobs, {taken.total()} takes, {sum(job['attempt'] for job in records)} attempts")

    # Nothing is lost, and nothing is there twice.
    assert sorted(job["id"] for job in records) == sorted(f"id-{number}" for number in range(JOBS))
    assert {job["state"] for job in records} == {"done"}
    assert {state: sum(counts.values()) for state, counts in tree.items()} == {
        "available": 0,
        "active": 0,
        "done": JOBS,
    }
    # No attempt was handed to two converters.
    assert {each: times for each, times in taken.items() if times > 1} == {}
    # Nobody was told twice that they finished a job, and each job is finished under the attempt that held it.
    assert {id: times for id, times in Counter(id for id, _ in done).items() if times > 1} == {}
    told = dict(done.keys())
    for job in records:
        assert job["outcome"] == "completed"
        assert job["result"]["attempt"] == job["attempt"], job
        assert told.get(job["id"], job["attempt"]) == job["attempt"], job
        assert (job["id"], job["attempt"]) in taken, job
    # It was chaos: some attempts were lost, and came back.
    assert sum(job["attempt"] for job in records) > JOBS
    assert not [log for log in logs if "Traceback" in log]


async def all_jobs(boss: BossProcess) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = []
    address = "/jobs?limit=1000"
    async with aiohttp.ClientSession(boss.url) as client:
        while address:
            async with client.get(address) as answer:
                page = await answer.json()
            records += page["jobs"]
            address = page["next"]
    return records
