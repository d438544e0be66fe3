"""What a job costs by the size of its document: processor time, WAL and disk, and what that makes of jobs a day.

Usage: python -m bench.capacity [--seconds S]

Each size has a Boss and an embedded PostgreSQL of its own, with their defaults. The WAL is that of whole cycles
(submit, take, done) after a checkpoint, with the images of pages that PostgreSQL writes at the first change of a page
after one. The disk is that of the done jobs after a vacuum, with their indexes. docs/capacity.md calculates with these.
"""

import argparse
import contextlib
import tempfile
from pathlib import Path
from typing import NamedTuple

from tests.helpers.databases import value_in
from tests.helpers.servers import BossProcess

from bench.installed import installed
from bench.interpreter import optimised
from bench.machine import write_section
from bench.postgres import postgres_running
from bench.processor import spent
from bench.wrk import load

SIZES = [200, 2000, 20_000]
CONNECTIONS = 64
# For the table of jobs a day.
JOBS_A_DAY = [1_000_000, 10_000_000, 100_000_000]
KEPT_DAYS = 30
# How many times as many jobs come in the busiest hour as in the mean of a day.
PEAK = 4
_DAY_S = 86_400
_WARM_UP_S = 2
_WAL = "SELECT wal_bytes::float8 FROM pg_stat_wal"
_IMAGES = "SELECT wal_fpi::float8 FROM pg_stat_wal"
_DISK = "SELECT sum(pg_total_relation_size(oid))::float8 FROM pg_class WHERE relname ~ '^job' AND relkind = 'r'"


class Counters(NamedTuple):
    """What was used so far: seconds of processor time, bytes of WAL and page images in it, and bytes on disk."""

    boss: float
    postgres: float
    wal: float
    images: float
    disk: float

    @classmethod
    def read(cls, boss: BossProcess, data: Path, database: str) -> "Counters":
        used = spent(boss.process.pid, data)
        return cls(
            used.boss,
            used.postgres,
            value_in(database, _WAL),
            value_in(database, _IMAGES),
            value_in(database, _DISK),
        )


class Cost(NamedTuple):
    """What a whole job costs: µs of processor time, bytes of WAL, page images in it, bytes on disk; and the rate."""

    rate: float
    boss: float
    postgres: float
    wal: float
    images: float
    disk: float


def cost(size: int, seconds: float) -> Cost:
    """Run whole jobs with documents of this size, and measure."""
    with contextlib.ExitStack() as parts:
        folder = Path(parts.enter_context(tempfile.TemporaryDirectory(prefix="boss-bench-")))
        postgres = parts.enter_context(postgres_running(folder))
        database = postgres.url("coalesced")
        boss = BossProcess("--database", database, python=installed(None, optimised())).wait_until_ready()
        parts.callback(boss.close)
        load(boss.url, "cycle.lua", CONNECTIONS, _WARM_UP_S, str(size))
        postgres.run("coalesced", "CHECKPOINT")
        begun = Counters.read(boss, folder, database)
        found = load(boss.url, "cycle.lua", CONNECTIONS, seconds, str(size))
        ended = Counters.read(boss, folder, database)
        postgres.run("coalesced", "VACUUM job")
        used = Counters.read(boss, folder, database)
    return Cost(
        rate=found.rate,
        boss=1e6 * (ended.boss - begun.boss) / found.done,
        postgres=1e6 * (ended.postgres - begun.postgres) / found.done,
        wal=(ended.wal - begun.wal) / found.done,
        images=(ended.images - begun.images) / found.done,
        disk=(used.disk - begun.disk) / found.done,
    )


def a_day(jobs: int, one: Cost) -> str:
    """The row of the table for so many jobs a day."""
    cores = PEAK * jobs / _DAY_S * (one.boss + one.postgres) / 1e6
    wal, disk = jobs * one.wal / 1e9, jobs * KEPT_DAYS * one.disk / 1e9
    return f"| {jobs:,} | {jobs / _DAY_S:,.0f} | {cores:.2f} | {wal:,.1f} | {disk:,.0f} |"


def main() -> None:
    """Measure each size and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20, help="of each load")
    seconds = parser.parse_args().seconds
    costs = {size: cost(size, seconds) for size in SIZES}
    write_section(
        "Capacity",
        [
            f"`python -m bench.capacity`: whole jobs (submit, take, done, no result) at {CONNECTIONS} connections "
            f"for {seconds:g} s after a checkpoint, for each size of document. Documents from 1 kB on have letters at "
            "random, which hardly compress.",
            "",
            "| document, bytes | jobs a second | µs of Boss a job | of PostgreSQL | WAL a job, bytes | page images | "
            "disk a done job, bytes |",
            "| ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
            *(
                f"| {size:,} | {one.rate:,.0f} | {one.boss:.0f} | {one.postgres:.0f} | {one.wal:,.0f} | "
                f"{one.images:.3f} | {one.disk:,.0f} |"
                for size, one in costs.items()
            ),
            "",
            f"So for documents of {SIZES[0]} bytes, where the busiest hour has {PEAK} times the mean, and done jobs "
            f"are kept for {KEPT_DAYS} days:",
            "",
            "| jobs a day | a second, mean | cores at the peak | WAL a day, GB | disk, GB |",
            "| ---: | ---: | ---: | ---: | ---: |",
            *(a_day(jobs, costs[SIZES[0]]) for jobs in JOBS_A_DAY),
        ],
    )


if __name__ == "__main__":
    main()
