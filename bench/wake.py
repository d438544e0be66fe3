"""How long a waiting taker on one replica waits for a job that is submitted on another.

Usage: python -m bench.wake [ROUNDS]
It starts two replicas on an embedded PostgreSQL of their own. In each round a taker waits on the second replica, and a
job is submitted on the first. The figure is the time from sending the submit until the take's response is read. For
comparison, the same run also measures the submit alone.
"""

import asyncio
import contextlib
import statistics
import sys
import tempfile
import time
from pathlib import Path

import aiohttp
import asyncpg
from tests.helpers.servers import boss_running

from bench.machine import write_section
from boss.postgres.embedded import embedded_postgres


async def main(rounds: int) -> None:
    """Run the benchmark and print its results."""
    with tempfile.TemporaryDirectory(prefix="boss-bench-") as folder:
        async with embedded_postgres(Path(folder)) as database:
            with contextlib.ExitStack() as running:
                one, other = [
                    await asyncio.to_thread(running.enter_context, boss_running("--database", database))
                    for _ in range(2)
                ]
                wakes, submits = await measure(database, one.url, other.url, rounds)
    rows = []
    for name, times in (("submit on one, taken on the other", wakes), ("the submit alone", submits)):
        low, median, high = (quantile * 1000 for quantile in statistics.quantiles(times, n=20)[0::9])
        rows.append(f"| {name} | {median:.1f} | {low:.1f} to {high:.1f} |")
    about = f"{rounds} rounds; milliseconds until the answer is read, and where the middle nine tenths lie."
    write_section(
        "Waking a taker on another replica", [about, "", "| | median | spread |", "| --- | ---: | ---: |", *rows]
    )


async def measure(database: str, one: str, other: str, rounds: int) -> tuple[list[float], list[float]]:
    """The seconds from submit to take, and those of the submit alone, for each round."""
    wakes: list[float] = []
    submits: list[float] = []
    watcher = await asyncpg.connect(database)
    async with aiohttp.ClientSession() as client:

        async def wait() -> float:
            async with client.get(f"{other}/job/available/freg?wait=50") as answer:
                assert answer.status == 200
                await answer.read()
                return time.perf_counter()

        for _ in range(rounds):
            taker = asyncio.create_task(wait())
            while not await watcher.fetchval("SELECT count(*) FROM waiting"):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.02)  # the taker is in the wait queue by now
            start = time.perf_counter()
            async with client.post(f"{one}/job/available/freg", data=b"{}") as answer:
                assert answer.status == 201
            submits.append(time.perf_counter() - start)
            wakes.append(await taker - start)
    await watcher.close()
    return wakes, submits


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 200))
