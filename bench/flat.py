"""Shows that Boss stays as fast: beside a long history, an old transaction, much churn and many sources.

Usage: python -m bench.flat [--done N] [--churned N] [--takes N] [--churn N]

Takes are timed one after the other on one connection. The two sides of a comparison are measured in turn, so that a
slow minute of the machine affects both.
"""

import argparse
import asyncio
import contextlib
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import httpx
from tests.helpers.servers import BossProcess, boss_running
from tests.helpers.wire import Wire

from bench.machine import ratio, write_section
from bench.postgres import Postgres, postgres_running
from bench.wrk import wrk

DOCUMENT = '{"payload": "' + "x" * 186 + '"}'
ROUNDS = 5
TAKES = 300
AVAILABLE = (0, 10_000, 100_000)
_FILL = """
INSERT INTO job (id, source, document, status, attempt, finished_at, outcome)
SELECT $1 || lpad(n::text, 8, '0'), $2 || (n % $3::int), $4::text::jsonb, $5::text,
       CASE WHEN $5::text = 'DONE' THEN 1 ELSE 0 END,
       CASE WHEN $5::text = 'DONE' THEN now() - n * interval '1 ms' END,
       CASE WHEN $5::text = 'DONE' THEN 'completed' END
FROM generate_series(1, $6::int) AS n
"""
# Of one statement that fills a long history: its triggers see all rows, which must fit on the disk once more.
FILL_BATCH = 500_000
_FILL_DONE = """
INSERT INTO job_done_1 (id, source, document, status, position, attempt, finished_at, outcome)
SELECT 'done-' || lpad(n::text, 9, '0'), 'source-' || (n % 20), $1::text::jsonb, 'DONE', n, 1, now(), 'completed'
FROM generate_series($2::int, $3::int) AS n
"""
# Whether autovacuum knows of about all that happened.
_IS_ANALYZED = """
SELECT last_autoanalyze IS NOT NULL AND n_mod_since_analyze < 0.1 * n_live_tup
FROM pg_stat_user_tables WHERE relname = 'job_done_1'
"""
_LEFT = "SELECT count(*)::int FROM job WHERE status = 'AVAILABLE'"
_SIZE = """
SELECT sum(pg_table_size(oid))::float8, sum(pg_indexes_size(oid))::float8
FROM pg_class WHERE relname ~ '^job' AND relkind = 'r'
"""


def fill(postgres: Postgres, database: str, prefix: str, status: str, jobs: int, source: str, sources: int = 1) -> None:
    """Insert so many jobs, spread over so many sources."""
    postgres.run(database, _FILL, prefix, source, sources, DOCUMENT, status, jobs)


def fill_done(postgres: Postgres, database: str, jobs: int) -> None:
    """Insert so many done jobs, and wait until PostgreSQL has statistics of them: of a queue without a job."""
    for first in range(1, jobs + 1, FILL_BATCH):
        postgres.run(database, _FILL_DONE, DOCUMENT, first, min(first + FILL_BATCH - 1, jobs))
    while not postgres.value(database, _IS_ANALYZED):
        time.sleep(1)


def cycle(boss: BossProcess, source: str, jobs: int) -> None:
    """Submit, take and finish so many jobs of a source, a thousand at a time."""
    lines = {"content-type": "application/x-ndjson"}
    with boss.client() as client:
        for _ in range(jobs // 1000):
            submitted = "\n".join([DOCUMENT] * 1000)
            client.post(f"/job/available/{source}", content=submitted, headers=lines).raise_for_status()
            taken = client.get(f"/job/available/{source}", params={"limit": 1000}).raise_for_status().json()
            done = "\n".join(json.dumps({"id": job["id"]}) for job in taken)
            client.post(f"/job/done/{source}", content=done, headers=lines).raise_for_status()


def takes(boss: BossProcess, path: str = "", number: int = TAKES, status: int = 200) -> float:
    """The median of so many takes with this answer, one after the other, in milliseconds."""
    times = []
    with Wire(boss.port) as wire:
        for _ in range(number):
            start = time.perf_counter()
            assert wire.request("GET", f"/job/available{path}").reply().status == status
            times.append(time.perf_counter() - start)
    return statistics.median(times) * 1000


def row(name: str, one: list[float], other: list[float], wanted: str) -> str:
    """A row of a table: both medians, and the median and the spread of the ratio within a round."""
    medians = f"{statistics.median(one):.2f} | {statistics.median(other):.2f}"
    return f"| {name} | {medians} | {ratio(other, one)} | {wanted} |"


@contextlib.contextmanager
def replica(postgres: Postgres, database: str, *flags: str) -> Iterator[BossProcess]:
    """A Boss with a database of its own."""
    with boss_running("--database", postgres.new_database(database), *flags) as boss:
        yield boss


def history(postgres: Postgres, done: int, churned: int) -> list[str]:
    """Takes, lists and counts beside so many done jobs, of which the last `churned` went through the queue.

    Nothing is vacuumed, analyzed or indexed again by hand. The statistics are of a queue without a job, and the head of
    the queue lies behind what the last jobs left. Beside 1,000 done jobs there was none of that.
    """
    rows = []
    with replica(postgres, "small") as small, replica(postgres, "large") as large:
        fill(postgres, "small", "done-", "DONE", 1000, "source-", 20)
        fill_done(postgres, "large", done)
        cycle(large, "source-0", churned)
        for available in AVAILABLE:
            for database in ("small", "large"):
                left = postgres.value(database, _LEFT)
                fill(postgres, database, f"ready-{available}-", "AVAILABLE", available - left, "source-")
            status = 200 if available else 404
            times: dict[str, tuple[list[float], list[float]]] = {"": ([], []), "/source-0": ([], [])}
            # Short rounds: within one, the machine is as fast for the one side as for the other.
            for _ in range(ROUNDS * 5):
                for path, found in times.items():
                    found[0].append(takes(small, path, TAKES // 5, status))
                    found[1].append(takes(large, path, TAKES // 5, status))
            rows += [
                row(f"a take{' of a source' if path else ''}, with {available:,} available", *found, "1.2")
                for path, found in times.items()
            ]
            print(*rows[-2:], sep="\n", flush=True)
        return [
            f"Beside 1,000 done jobs, and beside {done:,} of which the last {churned:,} were submitted, taken and done "
            f"right before, without any VACUUM, REINDEX or ANALYZE by hand, in {ROUNDS * 5} rounds of {TAKES // 5}:",
            "",
            "| | ms | ms | ratio | spread | wanted |",
            "| --- | ---: | ---: | ---: | ---: | ---: |",
            *rows,
            "",
            *reads(large, done),
        ]


def reads(boss: BossProcess, done: int) -> list[str]:
    """The times of lists and counts, in milliseconds."""
    lines = [f"| at {done:,} done and 100,000 available | ms, median | most | wanted |", "| --- | ---: | ---: | ---: |"]
    asked = {
        "GET /job": ("/job", "application/json"),
        "GET /job, drawn": ("/job", "text/plain"),
        "GET /jobs": ("/jobs", "application/json"),
        "GET /jobs?state=done": ("/jobs?state=done", "application/json"),
        "GET /jobs?state=available&source=source-7": ("/jobs?state=available&source=source-7", "application/json"),
    }
    with boss.client() as client:
        for name, (path, accept) in asked.items():
            times = []
            for _ in range(20):
                start = time.perf_counter()
                assert client.get(path, headers={"accept": accept}).status_code == 200
                times.append((time.perf_counter() - start) * 1000)
            lines.append(f"| {name} | {statistics.median(times):.1f} | {max(times):.1f} | 100 |")
    return lines


def old_transaction(postgres: Postgres, number: int) -> list[str]:
    """Takes while a transaction is open that began before all of them, so that no dead row can be removed."""
    with replica(postgres, "transaction") as boss, asyncio.Runner() as runner:
        fill(postgres, "transaction", "job-", "AVAILABLE", number + 50_000, "source-")
        postgres.run("transaction", "VACUUM ANALYZE job")

        async def begin() -> "asyncpg.Connection[asyncpg.Record]":
            connection = await asyncpg.connect(postgres.url("transaction"))
            await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            await connection.execute("SELECT FROM job LIMIT 1")
            return connection

        first = takes(boss)
        connection = runner.run(begin())
        under_it = [takes(boss)]
        behind = []
        with boss.client() as client:
            left = number
            while left > 0:
                left -= len(client.get("/job/available?limit=1000").json())
                if left % (number // 5) < 1000:
                    under_it.append(takes(boss))
                    behind.append(time_behind(client))
        runner.run(connection.close())
    times = ", ".join(f"{each:.2f}" for each in under_it)
    return [
        f"{number:,} takes under an open REPEATABLE READ transaction: a take costs {first:.2f} ms before it began and "
        f"then, as more and more are taken, {times} ms. The last is {under_it[-1] / under_it[0]:.2f} of the first (1.5 "
        f"wanted). A job that was given back behind all of those was handed out within {max(behind):.2f} s at most, "
        "while others were taken all the time (2 s wanted).",
    ]


def time_behind(client: httpx.Client) -> float:
    """How long a job that was given back waits while others are taken, in seconds."""
    job = client.get("/job/available").json()
    address = f"/job/active/{job['source']}/{job['id']}"
    for _ in range(200):  # the cursor passes it
        client.get("/job/available")
    start = time.perf_counter()
    assert client.delete(address, params={"delay": 0}).status_code == 204
    while client.get("/job/available").json()["id"] != job["id"]:
        pass
    return time.perf_counter() - start


def churn(postgres: Postgres, jobs: int) -> list[str]:
    """Run an hour's worth of jobs as fast as possible, and delete each a while after it is done."""
    with replica(postgres, "churn", "--keep-done", str(10 / 86400)) as boss, asyncio.Runner() as runner:
        # A minute passes here in about two seconds, so autovacuum runs as often.
        for setting in ("autovacuum_naptime = '2s'", "autovacuum_vacuum_cost_delay = 0"):
            postgres.run("churn", f"ALTER SYSTEM SET {setting}")
        postgres.run("churn", "SELECT pg_reload_conf()")

        async def sizes() -> str:
            connection = await asyncpg.connect(postgres.url("churn"))
            table, indexes = await connection.fetchrow(_SIZE) or (0, 0)
            await connection.close()
            return f"{table / 2**20:.0f} + {indexes / 2**20:.0f}"

        found, cycles, seconds = [], 0.0, 20.0
        while cycles < jobs:
            cycles += wrk(boss.url, "lines.lua", "1000")(4, seconds) * seconds
            found.append(f"{cycles / 1e6:.1f} M: {runner.run(sizes())}")
            print(found[-1], flush=True)
    return [
        f"{cycles:,.0f} jobs submitted, taken and done, as in an hour of 1,000 a second; each is kept for ten seconds "
        "after it was done, and autovacuum looks every two seconds, for every minute of that hour. Table and indexes, "
        f"in MiB, after so many jobs: {'; '.join(found)}.",
    ]


def many_sources(postgres: Postgres) -> list[str]:
    """1,000 sources, and one with nearly all the jobs."""
    rows = []
    with (
        replica(postgres, "one") as one,
        replica(postgres, "thousand") as thousand,
        replica(postgres, "skewed") as skewed,
    ):
        fill(postgres, "one", "job-", "AVAILABLE", 200_000, "source-")
        fill(postgres, "thousand", "job-", "AVAILABLE", 1_000_000, "source-", 1000)
        fill(postgres, "skewed", "flood-", "AVAILABLE", 990_000, "source-")
        fill(postgres, "skewed", "job-", "AVAILABLE", 10_000, "other-", 5)
        for database in ("one", "thousand", "skewed"):
            postgres.run(database, "VACUUM ANALYZE job")
        found: dict[str, list[float]] = {}
        asked = {
            "any of one": (one, ""),
            "that one": (one, "/source-0"),
            "any of 1,000 sources": (thousand, ""),
            "one of 1,000 sources": (thousand, "/source-500"),
            "any where one source has 99%": (skewed, ""),
            "that source": (skewed, "/source-0"),
            "another source there": (skewed, "/other-2"),
        }
        for _ in range(ROUNDS):
            for name, (boss, path) in asked.items():
                found.setdefault(name, []).append(takes(boss, path, 150))
    for name in list(asked)[2:]:
        base = "any of one" if name.startswith("any") else "that one"
        rows.append(row(f"{base}, and {name}", found[base], found[name], "1.5"))
    return ["| a take from | ms | ms | ratio | spread | wanted |", "| --- | ---: | ---: | ---: | ---: | ---: |", *rows]


def main() -> None:
    """Measure everything and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--done", type=int, default=10_000_000)
    parser.add_argument("--churned", type=int, default=200_000)
    parser.add_argument("--takes", type=int, default=300_000)
    parser.add_argument("--churn", type=int, default=3_600_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="boss-bench-") as folder, postgres_running(Path(folder)) as postgres:
        sections = [
            many_sources(postgres),
            old_transaction(postgres, asked.takes),
            history(postgres, asked.done, asked.churned),
            churn(postgres, asked.churn),
        ]
    about = f"{ROUNDS} rounds of {TAKES} takes, one after the other; medians, and ratios within a round."
    write_section("Flatness", [about, *(line for section in sections for line in ("", *section))])


if __name__ == "__main__":
    main()
