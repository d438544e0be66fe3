"""Compares what history costs: in volumes, as this version keeps it, and in one table, as the version before did.

Usage: python -m bench.history [--done N] [REVISION]

Both versions serve on one PostgreSQL, each with a database of its own, and are measured in turn.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
from tests.helpers.servers import BossProcess
from tests.helpers.wire import Wire

from bench.flat import FILL_BATCH
from bench.installed import code_of
from bench.machine import ratio, write_section
from bench.postgres import Postgres, postgres_running
from boss.model.job import Finish, Submission
from boss.postgres import store
from boss.postgres.connection import Pool, connected
from boss.postgres.migrate import migrate
from boss.postgres.statement import VOLUMES, volume_table

# The last one without volumes.
REVISION = "c802699"
BEFORE, NOW = "before", "now"
SIZES = (100, 2000, 20_000)
ROUNDS, REQUESTS, JOBS = 10, 100, 250
_LINES = {"content-type": "application/x-ndjson"}
_FILL = """
INSERT INTO {} (id, source, document, status, position, attempt, taken_at, finished_at, outcome, document_bytes)
SELECT 'done-' || lpad(n::text, 9, '0'), 'source-' || (n % 20), $1::text::jsonb, 'DONE', n, 1, now(),
       now() - interval '40 days' + n * interval '10 ms', 'completed', octet_length($1::text)
FROM generate_series($2::int, $3::int) AS n
"""
_WAL = "SELECT (pg_current_wal_insert_lsn() - '0/0')::float8"
_SIZE = "SELECT pg_database_size(current_database())::float8 / 2 ^ 20"
_LEFT = "SELECT count(*) FROM ONLY job WHERE status = 'DONE'"


def fill(postgres: Postgres, database: str, jobs: int, tables: list[str]) -> None:
    """Insert so many done jobs, spread over these tables; vacuum them, as autovacuum has done to an old history."""
    for first in range(1, jobs + 1, FILL_BATCH):
        table = tables[(first - 1) * len(tables) // jobs]
        postgres.run(database, _FILL.format(table), document(100), first, min(first + FILL_BATCH - 1, jobs))
    for table in {"job", *tables}:
        postgres.run(database, f"VACUUM (ANALYZE) {table}")
    postgres.run(database, "CHECKPOINT")


def document(size: int) -> str:
    """A document of that size, which cannot be compressed to much less."""
    # Hexadecimal digits compress to half; what is stored is as long as asked, then.
    return json.dumps({"payload": Path("/dev/urandom").open("rb").read(size).hex()[:size]})


def finishes(postgres: Postgres, sides: dict[str, BossProcess]) -> list[str]:
    """What it costs to finish jobs with documents of several sizes, many in a request."""
    rows = []
    for size in SIZES:
        found: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in sides}
        for _ in range(ROUNDS):
            for name, boss in sides.items():
                with boss.client() as client:
                    lines = "\n".join(document(size) for _ in range(JOBS))
                    client.post("/job/available/bench", content=lines, headers=_LINES).raise_for_status()
                    taken = client.get("/job/available/bench", params={"limit": JOBS}).raise_for_status().json()
                    done = "\n".join(json.dumps({"id": job["id"]}) for job in taken)
                    wal, start = postgres.value(name, _WAL), time.perf_counter()
                    client.post("/job/done/bench", content=done, headers=_LINES).raise_for_status()
                    times, bytes_ = found[name]
                    times.append((time.perf_counter() - start) * 1e6 / JOBS)
                    bytes_.append((postgres.value(name, _WAL) - wal) / JOBS)
        for unit, index in (("µs", 0), ("B of WAL", 1)):
            sides_ = [statistics.median(found[name][index]) for name in (BEFORE, NOW)]
            rows.append(
                f"| {unit} to finish one of {size:,} B | {sides_[0]:,.0f} | {sides_[1]:,.0f} | "
                f"{ratio(found[NOW][index], found[BEFORE][index])} |"
            )
    return rows


def moves(postgres: Postgres) -> list[str]:
    """What it costs to move done jobs with documents of several sizes into a volume, in a database of their own."""
    database = postgres.new_database("moves")

    async def measure() -> list[str]:
        async with connected(database) as pool:
            await migrate(pool)
            return [row for size in SIZES for row in await move(pool, size)]

    return asyncio.run(measure())


async def move(pool: Pool, size: int) -> list[str]:
    """Move jobs with documents of this size, several times."""
    jobs = min(1000, 8_000_000 // size)
    wal, times = [], []
    for turn in range(ROUNDS):
        ids = [f"moved-{size}-{turn}-{number}" for number in range(jobs)]
        await store.submit(pool, [Submission(id, "bench", document(size), is_made=True) for id in ids])
        await store.finish(pool, [Finish(id, "bench") for id in ids])
        before, start = await pool.fetchval(_WAL), time.perf_counter()
        moved = await store.move_done(pool, 1, ids)
        assert moved.jobs == jobs
        times.append((time.perf_counter() - start) * 1e6 / jobs)
        wal.append((await pool.fetchval(_WAL) - before) / jobs)
    return [
        f"| {unit} to move one of {size:,} B | | {statistics.median(found):,.0f} | | |"
        for unit, found in (("µs", times), ("B of WAL", wal))
    ]


def requests(sides: dict[str, BossProcess], done: int) -> list[str]:
    """Single requests, one after the other."""

    def submit_new(wire: Wire, number: int) -> int:
        return wire.request("POST", f"/job/available/bench/new-{number:012d}", body=b"{}").reply().status

    def submit_done(wire: Wire, number: int) -> int:
        path = f"/job/available/bench/done-{number % done + 1:09d}"
        return wire.request("POST", path, body=b"{}").reply().status

    def find(wire: Wire, number: int) -> int:
        return wire.request("GET", f"/jobs/done-{number * 7919 % done + 1:09d}").reply().status

    asked: dict[str, tuple[Callable[[Wire, int], int], int]] = {
        "a submit with an id": (submit_new, 201),
        "a submit with the id of a done job": (submit_done, 409),
        "GET /jobs/{id} of a done job": (find, 200),
    }
    rows, number = [], 0
    for title, (ask, status) in asked.items():
        found: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(ROUNDS):
            number += REQUESTS
            for name, boss in sides.items():
                times = []
                with Wire(boss.port) as wire:
                    for each in range(number, number + REQUESTS):
                        start = time.perf_counter()
                        assert ask(wire, each) == status, title
                        times.append(time.perf_counter() - start)
                found[name].append(statistics.median(times) * 1e6)
        medians = f"{statistics.median(found[BEFORE]):,.0f} | {statistics.median(found[NOW]):,.0f}"
        rows.append(f"| µs, {title} | {medians} | {ratio(found[NOW], found[BEFORE])} |")
    return rows


def prunes(postgres: Postgres, sides: dict[str, BossProcess], most: dict[str, int]) -> list[str]:
    """Prune up to so many old jobs on each side, with what autovacuum does about it."""
    found: dict[str, list[float]] = {}
    for name, boss in sides.items():
        size, wal, start = postgres.value(name, _SIZE), postgres.value(name, _WAL), time.perf_counter()
        deleted = 0
        with boss.client() as client:
            while deleted < most[name]:
                answer = client.delete("/job/done", params={"older": 86400}, timeout=600).raise_for_status().json()
                deleted += answer["deleted"]
                if not answer["more"]:
                    break
        seconds = time.perf_counter() - start
        postgres.run(name, "VACUUM job")
        back = size - postgres.value(name, _SIZE)
        found[name] = [(postgres.value(name, _WAL) - wal) / deleted, seconds * 1e6 / deleted, back, deleted, seconds]
    rows = zip(
        ("B of WAL a pruned job", "µs a pruned job", "MiB given back", "jobs pruned", "s"), *found.values(), strict=True
    )
    return [f"| {title} | {before:,.1f} | {now:,.1f} | | |" for title, before, now in rows]


class Load:
    """Submits, takes and finishes one job after the other, and notes the longest request.

    Args:
        boss: the Boss to send the requests to.
        name: what the sources and ids begin with.
    """

    def __init__(self, boss: BossProcess, name: str) -> None:
        self._url = boss.url
        self._name = name
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(number,)) for number in range(4)]
        self.longest = 0.0
        self.requests = 0

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _work(self, number: int) -> None:
        source, turn = f"{self._name}-{number}", 0
        with httpx.Client(base_url=self._url, timeout=60) as client:
            while not self._over.is_set():
                turn += 1
                id = f"{source}-{turn}"
                for method, path in (
                    ("POST", f"/job/available/{source}/{id}"),
                    ("GET", f"/job/available/{source}"),
                    ("POST", f"/job/done/{source}/{id}"),
                    ("GET", f"/jobs/{id}"),
                ):
                    start = time.perf_counter()
                    client.request(method, path, content=b"{}" if method == "POST" else b"").raise_for_status()
                    self.longest = max(self.longest, time.perf_counter() - start)
                    self.requests += 1


def upgrade(postgres: Postgres, before: BossProcess, jobs: int) -> list[str]:
    """Start this version on the database of the version before, under load on both, and wait for all to be moved."""
    with Load(before, BEFORE) as old:
        time.sleep(5)
        alone = old.longest
        start = time.perf_counter()
        boss = BossProcess("--database", postgres.url(BEFORE))
        try:
            boss.wait_until_ready()
            with Load(boss, NOW) as new:
                while postgres.value(BEFORE, _LEFT) > 100:
                    time.sleep(2)
                seconds = time.perf_counter() - start
            assert "error" not in boss.log
        finally:
            boss.close()
    return [
        f"This version, started on the database of the version before, moved its {jobs:,} done jobs in "
        f"{seconds:,.0f} s, while four clients of each version submitted, took, finished and read "
        f"{old.requests + new.requests:,} times. The longest request took {new.longest:.2f} s here and "
        f"{old.longest:.2f} s on the version before (1 s wanted; {alone:.2f} s before this version was started).",
    ]


def main() -> None:
    """Measure everything and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("revision", nargs="?", default=REVISION)
    parser.add_argument("--done", type=int, default=10_000_000)
    asked = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="boss-bench-") as folder,
        tempfile.TemporaryDirectory(prefix="boss-bench-") as code,
        postgres_running(Path(folder)) as postgres,
    ):
        source = code_of(asked.revision, Path(code) / "before", "src")
        sides: dict[str, BossProcess] = {}
        try:
            for name, of in ((BEFORE, source), (NOW, None)):
                boss = BossProcess("--database", postgres.new_database(name), source=of)
                sides[name] = boss.wait_until_ready()
            volumes = [volume_table(number) for number in VOLUMES]
            # Those of the last ones are young.
            fill(postgres, BEFORE, asked.done, ["job"])
            fill(postgres, NOW, asked.done, volumes[1:7])
            rows = [*finishes(postgres, sides), *moves(postgres), *requests(sides, asked.done)]
            print(*rows, sep="\n", flush=True)
            rows += prunes(postgres, sides, {BEFORE: asked.done // 10, NOW: asked.done})
            moved = upgrade(postgres, sides[BEFORE], asked.done - asked.done // 10)
        finally:
            for boss in sides.values():
                boss.close()
    table = ["| | before | now | ratio | spread |", "| --- | ---: | ---: | ---: | ---: |", *rows]
    write_section("History", [f"Beside {asked.done:,} done jobs:", "", *table, "", *moved])


if __name__ == "__main__":
    main()
