"""A year of work in some minutes: 1,000 sources, history that is kept for 30 days, vacuums, and one rolling upgrade.

Usage: python -m bench.year [REVISION] [--days N] [--jobs N]

The database's clock is moved by a day after each day's jobs. PostgreSQL looks for tables to vacuum once a second, which
is about once a day of the simulation. The first two months run on an earlier version, two replicas of it; then they are
replaced one after the other by this one, which moves the history into volumes and empties those. Once it has done so
for two months, nothing may grow any more. The exit code tells.
"""

import argparse
import asyncio
import contextlib
import json
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import httpx
from tests.helpers.clock import Clock
from tests.helpers.servers import BossProcess

from bench.installed import installed
from bench.interpreter import optimised
from bench.machine import RESULTS, write_section
from bench.postgres import Postgres, postgres_running

REVISION = "9a99a79"
SOURCES = 1000
CONVERTERS = 16
KEPT_DAYS = 30
# When the first replica is replaced, and the second one.
UPGRADE_DAYS = (60, 63)
# From when on nothing may grow: each volume has been filled and emptied by then.
STEADY_DAY = 120
# How many lone requests of each kind are timed each day.
TIMED = 40
_DAY_S = 86_400.0
_DOCUMENT = {"payload": "x" * 186}
_DATABASE = "year"
_VACUUM_OFTEN = ["ALTER SYSTEM SET autovacuum_naptime = '1s'", "SELECT pg_reload_conf()"]
# How much higher the median of the last third of the steady time may be than that of its first third.
ALLOWED = {"disk": 1.2, "jobs": 1.1, "take_of_source": 1.25, "take_of_any": 1.25, "submit": 1.25}
UNITS = {
    "disk": "the database on disk, MiB",
    "jobs": "jobs in it",
    "take_of_source": "take of a source, median ms",
    "take_of_any": "take of any, median ms",
    "submit": "submit, median ms",
}


class Day(NamedTuple):
    """What was measured at the end of a day; the names are those of UNITS."""

    disk: float
    jobs: float
    take_of_source: float
    take_of_any: float
    submit: float


class Replicas:
    """Two replicas that serve the database, each of either version."""

    def __init__(self, database: str, before: Path) -> None:
        self._flags = ["--database", database, "--keep-done", str(KEPT_DAYS), "--quiet"]
        self._running = [self._start(before) for _ in range(2)]

    def _start(self, python: Path) -> BossProcess:
        return BossProcess(*self._flags, python=python).wait_until_ready()

    @property
    def urls(self) -> list[str]:
        return [boss.url for boss in self._running]

    def replace(self, number: int, python: Path) -> None:
        """Start another version, and then stop this replica."""
        before, self._running[number] = self._running[number], self._start(python)
        before.close()

    def close(self) -> None:
        for boss in self._running:
            boss.close()


async def work(urls: list[str], jobs: int) -> None:
    """Submit, take and finish so many jobs of random sources, a few of them twice, each with its own requests."""
    numbers = iter(range(jobs))
    async with aiohttp.ClientSession() as client, asyncio.TaskGroup() as group:
        for number in range(CONVERTERS):
            group.create_task(_convert(client, urls[number % len(urls)], numbers))


async def _convert(client: aiohttp.ClientSession, url: str, numbers: Iterator[int]) -> None:
    for number in numbers:
        # Some sources have a thousand times the jobs of others, as it is in practice.
        source = f"source-{int(SOURCES ** random.random()):04}"
        await _ask(client.post(f"{url}/job/available/{source}", json=_DOCUMENT))
        while (taken := await _ask(client.get(f"{url}/job/available/{source}"))) is not None:
            path = f"{taken['source']}/{taken['id']}"
            if number % 20 or random.random() < 0.5:
                outcome = "?outcome=failed" if number % 50 == 0 else ""
                await _ask(client.post(f"{url}/job/done/{path}{outcome}", json={"pages": number}))
                break
            await _ask(client.delete(f"{url}/job/active/{path}?delay=0"))
    # A job that was given back may have gone to a converter that left another one.
    while (taken := await _ask(client.get(f"{url}/job/available"))) is not None:
        await _ask(client.post(f"{url}/job/done/{taken['source']}/{taken['id']}"))


async def _ask(request: "contextlib.AbstractAsyncContextManager[aiohttp.ClientResponse]") -> dict[str, str] | None:
    """The response's JSON; None for 404. Another converter may have taken the job: it then finishes both.

    Raises:
        RuntimeError: the response is another one.
    """
    async with request as response:
        text = await response.read()
        if response.status == httpx.codes.NOT_FOUND:
            return None
        if response.status >= httpx.codes.MULTIPLE_CHOICES:
            raise RuntimeError(f"{response.status}: {text.decode()}")
        answer: dict[str, str] = json.loads(text or b"{}")
        return answer


def timed(client: httpx.Client, method: str, path: str, **options: Any) -> float:
    """How long a request takes, in milliseconds."""
    started = time.perf_counter()
    client.request(method, path, **options).raise_for_status()
    return 1000 * (time.perf_counter() - started)


def measure(postgres: Postgres, url: str) -> Day:
    """Time lone requests, and read the sizes."""
    submit, of_source, of_any = list[float](), list[float](), list[float]()
    with httpx.Client(base_url=url, timeout=60) as client:
        for number in range(TIMED):
            path = f"/job/available/source-{number * SOURCES // TIMED:04}"
            submit.append(timed(client, "POST", path, json=_DOCUMENT))
            submit.append(timed(client, "POST", path, json=_DOCUMENT))
            of_source.append(timed(client, "GET", path))
            of_any.append(timed(client, "GET", "/job/available"))
        for job in client.get("/jobs?state=active&limit=1000").json()["jobs"]:
            client.post(f"/job/done/{job['source']}/{job['id']}").raise_for_status()
    return Day(
        disk=postgres.value(_DATABASE, "SELECT pg_database_size(current_database())") / 2**20,
        jobs=postgres.value(_DATABASE, "SELECT count(*) FROM job"),
        take_of_source=statistics.median(of_source),
        take_of_any=statistics.median(of_any),
        submit=statistics.median(submit),
    )


def live(postgres: Postgres, before: Path, now: Path, days: int, jobs: int) -> Iterator[Day]:
    """Live through the days; for three of them both versions serve."""
    upgrade = {day: replica for replica, day in enumerate(UPGRADE_DAYS)}
    database = postgres.new_database(_DATABASE)
    with Clock(database), contextlib.closing(Replicas(database, before)) as replicas:
        for number in range(days):
            if number in upgrade:
                replicas.replace(upgrade[number], now)
            asyncio.run(work(replicas.urls, jobs))
            yield measure(postgres, replicas.urls[number % 2])
            postgres.run(_DATABASE, f"SELECT clock.move({_DAY_S})")


def growth(days: list[Day]) -> dict[str, tuple[float, float]]:
    """Each measure's medians in the first and the last third of the steady time."""
    steady = days[STEADY_DAY:]
    third = max(1, len(steady) // 3)
    return {
        name: (
            statistics.median(getattr(day, name) for day in steady[:third]),
            statistics.median(getattr(day, name) for day in steady[-third:]),
        )
        for name in UNITS
    }


def is_flat(found: dict[str, tuple[float, float]]) -> bool:
    """Whether nothing has grown by more than is allowed."""
    return all(last <= ALLOWED[name] * first for name, (first, last) in found.items())


def plot(days: list[Day], file: Path) -> None:
    """Plot each measure over the year."""
    # Imported here because it is installed for benchmarks only (make bench).
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "boss"
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(len(UNITS), 1, figsize=(10, 9), sharex=True, layout="constrained")
    for axis, (name, title) in zip(axes, UNITS.items(), strict=True):
        axis.plot([getattr(day, name) for day in days], linewidth=0.9)
        axis.set_title(title, loc="left", fontsize=9)
        axis.set_ylim(bottom=0)
        axis.axvline(UPGRADE_DAYS[0], color="tab:orange", alpha=0.6, linewidth=0.8)
    axes[-1].set_xlabel("days; the line is the rolling upgrade")
    figure.savefig(file, metadata={"Date": None})


def report(days: list[Day], found: dict[str, tuple[float, float]], asked: argparse.Namespace, took: float) -> list[str]:
    """The section of the results."""
    return [
        f"`python -m bench.year {asked.revision}`: {len(days)} days of {asked.jobs:,} jobs of {SOURCES:,} sources "
        f"by {CONVERTERS} converters over two replicas, in {took / 60:.0f} minutes. Done jobs are kept for {KEPT_DAYS} "
        f"days. On day {UPGRADE_DAYS[0]} `{asked.revision}` is replaced by this version, one replica after the other; "
        f"no request failed. From day {STEADY_DAY} on everything is "
        f"**{'flat' if is_flat(found) else 'NOT flat'}**:",
        "",
        "| | first third | last third | ratio | allowed |",
        "| --- | ---: | ---: | ---: | ---: |",
        *(
            f"| {UNITS[name]} | {first:,.2f} | {last:,.2f} | {last / first:.2f} | {ALLOWED[name]:.2f} |"
            for name, (first, last) in found.items()
        ),
        "",
        "![A year](year.svg)",
    ]


def main() -> None:
    """Run the year and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("revision", nargs="?", default=REVISION)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--jobs", type=int, default=1000, help="of a day")
    asked = parser.parse_args()
    python, days, began = optimised(), list[Day](), time.monotonic()
    before, now = installed(asked.revision, python), installed(None, python)
    with tempfile.TemporaryDirectory(prefix="boss-year-") as folder, postgres_running(Path(folder)) as postgres:
        for statement in _VACUUM_OFTEN:
            postgres.run("boss", statement)
        for day in live(postgres, before, now, asked.days, asked.jobs):
            days.append(day)
            print(
                f"day {len(days)}:",
                ", ".join(f"{name} {value:,.2f}" for name, value in day._asdict().items()),
                flush=True,
            )
    found = growth(days)
    plot(days, RESULTS.with_name("year.svg"))
    write_section("A year", report(days, found, asked, time.monotonic() - began))
    if not is_flat(found):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
