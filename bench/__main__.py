"""The throughput of Boss, beside the most that the same machine can do.

Usage: python -m bench [--rounds N] [--seconds S] [--connections C,C,...]

Every round measures everything once, one after the other, so that a slow minute of a noisy machine affects all of it.
The loads come from wrk and pgbench, which are compiled, and for the peers from their own clients. It prints a table of
medians with the spread, and writes it with the machine and the versions to bench/results.md, with a plot beside it.
"""

import argparse
import contextlib
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
from tests.helpers.servers import boss_running, free_port

from bench import peers
from bench.machine import ratio, write_section
from bench.plot import plot_rates
from bench.postgres import Postgres, postgres_running
from bench.wrk import LOAD, wrk

FOLDER = Path(__file__).parent
# The number of jobs before takes or dones are measured: more than any machine does meanwhile.
STOCK = 160_000
NDJSON = "NDJSON cycle, by 1,000"


class Measure(NamedTuple):
    """One measurement: how to run it, at how many connections, and what to prepare before."""

    name: str
    connections: int
    run: Callable[[int, float], float]
    prepare: Callable[[], None] | None = None


def pgbench(postgres: Postgres) -> Callable[[int, float], float]:
    """The rate of whole cycles of the design's three statements, each in a transaction of its own."""

    def run(connections: int, seconds: float) -> float:
        command = [
            *(postgres.program("pgbench"), "-n", "-M", "prepared", "-f", str(LOAD / "design.sql")),
            *("-c", str(connections), "-j", "2", "-T", str(max(1, round(seconds))), postgres.url("design")),
        ]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return float(re.findall(r"tps = ([\d.]+)", said)[0])

    return run


@contextlib.contextmanager
def started(*arguments: str, url: str) -> Iterator[None]:
    """Start a server of bench/servers.py; yield it when it is ready."""
    process = subprocess.Popen([sys.executable, "-m", "bench.servers", *arguments], stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            with contextlib.suppress(httpx.ConnectError):
                httpx.get(url)
                break
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait()


def measures(postgres: Postgres, boss: str, uncoalesced: str, trivial: str, connections: list[int]) -> list[Measure]:
    """All measurements of a round, in order."""
    found: list[Measure] = []
    for count in connections:
        found += [
            Measure("trivial GET", count, wrk(trivial, None)),
            Measure("trivial POST", count, wrk(trivial, "submit.lua")),
            Measure("submit", count, wrk(boss, "submit.lua"), postgres.empty),
            Measure("take", count, wrk(boss, "take.lua"), lambda: postgres.stock("AVAILABLE", STOCK)),
            Measure("done", count, wrk(boss, "done.lua", "1"), lambda: postgres.stock("ACTIVE", STOCK)),
            Measure("cycle", count, wrk(boss, "cycle.lua"), postgres.empty),
        ]
    return [
        *found,
        Measure("uncoalesced submit", 64, wrk(uncoalesced, "submit.lua"), postgres.empty),
        Measure("uncoalesced take", 64, wrk(uncoalesced, "take.lua"), lambda: postgres.stock("AVAILABLE", STOCK)),
        Measure("uncoalesced done", 64, wrk(uncoalesced, "done.lua", "1"), lambda: postgres.stock("ACTIVE", STOCK)),
        Measure(NDJSON, 4, wrk(boss, "lines.lua", "1000"), postgres.empty),
        Measure("the design's statements, pgbench", 64, pgbench(postgres), postgres.empty_design),
    ]


def main() -> None:
    """Run the rounds and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2, help="of each measurement")
    parser.add_argument("--connections", default="1,16,64,256,1000")
    asked = parser.parse_args()
    rates: Rates = {}
    with tempfile.TemporaryDirectory(prefix="boss-bench-") as folder, contextlib.ExitStack() as running:
        postgres = running.enter_context(postgres_running(Path(folder)))
        boss = running.enter_context(boss_running("--database", postgres.url("coalesced")))
        ports = free_port(), free_port()
        uncoalesced, trivial = (f"http://127.0.0.1:{port}" for port in ports)
        serve = ("uncoalesced", "serve", "--port", str(ports[0]), "--database", postgres.url("coalesced"))
        running.enter_context(started(*serve, url=uncoalesced))
        running.enter_context(started("trivial", str(ports[1]), url=trivial))
        others = running.enter_context(peers.peers_running(postgres))
        connections = [int(count) for count in asked.connections.split(",")]
        for number in range(asked.rounds):
            for each in measures(postgres, boss.url, uncoalesced, trivial, connections):
                if each.prepare:
                    each.prepare()
                note(rates, number, each.name, each.connections, each.run(each.connections, asked.seconds))
            for name, command in others.items():
                for count in (64, 256) if name.startswith("BullMQ") else (64,):
                    for what, rate in peers.measure(command, count, asked.seconds).items():
                        note(rates, number, f"{name}: {what.replace('_', ' ')}", count, rate)
    write_section("Throughput", report(rates, asked.rounds, asked.seconds))
    plot_rates(rates, FOLDER / "results.svg")


Rates = dict[tuple[str, int], list[float]]


def note(rates: Rates, number: int, name: str, connections: int, rate: float) -> None:
    """Keep and print one measurement."""
    rates.setdefault((name, connections), []).append(rate)
    print(f"round {number + 1}: {name} at {connections}: {rate:,.0f}/s", flush=True)


def report(rates: Rates, rounds: int, seconds: float) -> list[str]:
    """The table of medians, and the ratios."""
    middle = {each: statistics.median(found) for each, found in rates.items()}
    rows = [
        f"| {name} | {count} | {middle[name, count]:,.0f} | {min(found):,.0f} to {max(found):,.0f} |"
        for (name, count), found in rates.items()
    ]
    ratios = [
        f"| {what} | {ratio(rates[one], rates[other])} | {wanted} |"
        for what, one, other, wanted in RATIOS
        if one in rates and other in rates
    ]
    return [
        f"{rounds} interleaved rounds, {seconds:g} s for each line in each; jobs of 200 bytes. What a round left in a "
        "peer's queue was still there in the next, as it would be in use.",
        "",
        "![Rates by connections, and whole cycles beside the peers'](results.svg)",
        "",
        "| what | connections | median a second | spread |",
        "| --- | ---: | ---: | ---: |",
        *rows,
        "",
        "| ratio, of the same round | median | spread | wanted |",
        "| --- | ---: | ---: | ---: |",
        *ratios,
        "",
    ]


RATIOS = [
    ("submit to a trivial POST, 64 connections", ("submit", 64), ("trivial POST", 64), "0.4"),
    ("take to a trivial GET, 64 connections", ("take", 64), ("trivial GET", 64), "0.35"),
    ("done to a trivial POST, 64 connections", ("done", 64), ("trivial POST", 64), "0.6"),
    ("submit to uncoalesced", ("submit", 64), ("uncoalesced submit", 64), "3"),
    ("take to uncoalesced", ("take", 64), ("uncoalesced take", 64), "4"),
    ("done to uncoalesced", ("done", 64), ("uncoalesced done", 64), "3.3"),
    ("cycle to beanstalkd with fsync", ("cycle", 64), ("beanstalkd, fsync: cycle", 64), "2.5"),
    ("cycle to pg-boss", ("cycle", 64), ("pg-boss: cycle", 64), "3"),
    ("cycle to pgqueuer", ("cycle", 64), ("pgqueuer: cycle", 64), "more than 1"),
    ("cycle to the design's statements", ("cycle", 64), ("the design's statements, pgbench", 64), "3"),
    ("cycle to bunqueue by SQLite", ("cycle", 64), ("bunqueue over HTTP, SQLite, no fsync: cycle", 64), "more than 1"),
    ("cycle to bunqueue by PostgreSQL", ("cycle", 64), ("bunqueue over HTTP, PostgreSQL: cycle", 64), "more than 1"),
    ("cycle to BullMQ, 256 connections", ("cycle", 256), ("BullMQ, appendfsync always: cycle", 256), "1"),
    ("NDJSON cycle to single cycle", (NDJSON, 4), ("cycle", 64), "3"),
    ("NDJSON cycle to beanstalkd without durability", (NDJSON, 4), ("beanstalkd, no durability: cycle", 64), "1.5"),
]


if __name__ == "__main__":
    main()
