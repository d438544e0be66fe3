"""The latency that Boss adds to a take, at a tenth of the peak load and when idle, beside the bare statement.

Usage: python -m bench.latency [--rounds N]

Takes arrive evenly at a tenth of the rate that wrk reaches at 64 connections, whether the last one is answered or not
(an open loop: a slow answer does not slow the load down). The bare statement is Boss's own take of one job, sent over
one asyncpg connection while nobody else is at work. Rounds are interleaved.
"""

import argparse
import asyncio
import contextlib
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import asyncpg
import uvloop
from tests.helpers.servers import boss_running

from bench.__main__ import STOCK
from bench.machine import write_section
from bench.postgres import Postgres, postgres_running
from bench.wrk import wrk
from boss.model.job import Take
from boss.postgres.takes import TAKE, slots

SECONDS = 3.0
CONNECTIONS = 64
# Takes a second when the server is idle: each is over before the next comes.
FEW = 50.0
BARE, IDLE, TENTH = "the bare statement", "Boss, idle", "Boss, at a tenth of the peak"
REQUEST = b"GET /job/available HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Taker:
    """One connection to Boss."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(cls, url: str) -> "Taker":
        """Connect to the Boss at this URL."""
        host, _, port = url.removeprefix("http://").partition(":")
        return cls(*await asyncio.open_connection(host, int(port)))

    async def take(self) -> None:
        """Take a job, and read the response."""
        self._writer.write(REQUEST)
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        assert head.startswith(b"http/1.1 200"), head
        length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
        await self._reader.readexactly(length)


async def paced(takes: Sequence[Callable[[], Awaitable[object]]], rate: float, seconds: float) -> list[float]:
    """How long each take took, in seconds, from the moment it was due."""
    times: list[float] = []
    idle = asyncio.Queue[Callable[[], Awaitable[object]]]()
    for take in takes:
        idle.put_nowait(take)

    async def one(due: float) -> None:
        take = await idle.get()
        await take()
        times.append(time.perf_counter() - due)
        idle.put_nowait(take)

    start = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(round(rate * seconds)):
            due = start + number / rate
            await asyncio.sleep(max(0, due - time.perf_counter()))
            group.create_task(one(due))
    return times


async def measure(postgres: Postgres, url: str, rate: float) -> dict[str, list[float]]:
    """One round."""
    found = {}
    database = await asyncpg.connect(postgres.url("coalesced"))

    async def bare() -> None:
        await database.fetch(TAKE.sql, *slots([Take(None)]))

    takers = [await Taker.connect(url) for _ in range(CONNECTIONS)]
    for name, takes, pace in (
        (BARE, [bare], FEW),
        (IDLE, [takers[0].take], FEW),
        (TENTH, [taker.take for taker in takers], rate),
    ):
        await asyncio.to_thread(postgres.stock, "AVAILABLE", STOCK)
        found[name] = await paced(takes, pace, SECONDS)
    await database.close()
    return found


def main() -> None:
    """Run the rounds and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory(prefix="boss-bench-") as folder, contextlib.ExitStack() as running:
        postgres = running.enter_context(postgres_running(Path(folder)))
        boss = running.enter_context(boss_running("--database", postgres.url("coalesced")))
        peaks, found = [], []
        for number in range(rounds):
            postgres.stock("AVAILABLE", STOCK)
            peaks.append(wrk(boss.url, "take.lua")(CONNECTIONS, SECONDS))
            found.append(uvloop.run(measure(postgres, boss.url, statistics.median(peaks) / 10)))
            print(f"round {number + 1} of {rounds}: the peak was {peaks[-1]:,.0f}/s", flush=True)
    write_section("Latency", report(found, statistics.median(peaks)))


def report(found: list[dict[str, list[float]]], peak: float) -> list[str]:
    """The table, in milliseconds."""
    rows, middles = [], {}
    for name in found[0]:
        halves = [statistics.median(each[name]) * 1000 for each in found]
        most = [statistics.quantiles(each[name], n=100)[98] * 1000 for each in found]
        middles[name] = halves
        rows.append(
            f"| {name} | {statistics.median(halves):.2f} ({min(halves):.2f} to {max(halves):.2f}) "
            f"| {statistics.median(most):.2f} ({min(most):.2f} to {max(most):.2f}) |"
        )
    added = {
        name: statistics.median(boss - bare for boss, bare in zip(middles[name], middles[BARE], strict=True))
        for name in (IDLE, TENTH)
    }
    return [
        f"{len(found)} interleaved rounds of {SECONDS:g} s each; a take's milliseconds from the moment it was due, "
        f"median of the rounds (and their spread). The peak was {peak:,.0f} takes a second.",
        "",
        "| a take | p50 | p99 |",
        "| --- | ---: | ---: |",
        *rows,
        "",
        f"To the median Boss adds {added[IDLE]:.2f} ms when it is idle, {added[TENTH]:.2f} ms at a tenth of the peak "
        "(1.5 wanted).",
    ]


if __name__ == "__main__":
    main()
