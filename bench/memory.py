"""The memory of one Boss process: at rest, under 1,000 busy connections, and with 1,000 takers that wait.

Usage: python -m bench.memory [--seconds S]

PostgreSQL is another process and not counted. The figures are of resident memory (VmRSS), the most in samples taken
every tenth of a second.
"""

import argparse
import contextlib
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from tests.helpers.servers import BossProcess, boss_running

from bench.machine import write_section
from bench.postgres import postgres_running
from bench.wrk import wrk

CONNECTIONS = 1000
_MIB = 2**20


def most_meanwhile(process: psutil.Process, work: Callable[[], None]) -> float:
    """The most memory of the process while the work is done, in MiB."""
    most = 0
    working = threading.Thread(target=work)
    working.start()
    while working.is_alive():
        most = max(most, process.memory_info().rss)
        time.sleep(0.1)
    working.join()
    return most / _MIB


def under_load(process: psutil.Process, url: str, script: str, seconds: float) -> tuple[float, float]:
    """The most memory of the process under a load of wrk, in MiB, and the rate of that load."""
    rates: list[float] = []
    used = most_meanwhile(process, lambda: rates.append(wrk(url, script)(CONNECTIONS, seconds)))
    return used, rates[0]


def wait_in_line(boss: BossProcess, seconds: float) -> None:
    """Let so many takers wait that long."""
    takers = []
    for _ in range(CONNECTIONS):
        taker = socket.create_connection(("127.0.0.1", boss.port))
        taker.sendall(b"GET /job/available/nothing?wait=50 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        takers.append(taker)
    time.sleep(seconds)
    for taker in takers:
        taker.close()


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20, help="of each load")
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory(prefix="boss-bench-") as folder, contextlib.ExitStack() as running:
        postgres = running.enter_context(postgres_running(Path(folder)))
        boss = running.enter_context(boss_running("--database", postgres.url("coalesced")))
        process = psutil.Process(boss.process.pid)
        time.sleep(1)
        rest = process.memory_info().rss / _MIB
        waiting = most_meanwhile(process, lambda: wait_in_line(boss, seconds / 2))
        rows = [("at rest", rest, ""), ("1,000 takers wait", waiting, f"{waiting - rest:.0f} MiB more")]
        for script in ("submit.lua", "take.lua", "cycle.lua"):
            if script == "take.lua":
                postgres.stock("AVAILABLE", round(seconds * 25_000))
            used, rate = under_load(process, boss.url, script, seconds)
            each = "cycles of three requests" if script == "cycle.lua" else "requests"
            rows.append((f"1,000 connections, {script.removesuffix('.lua')}", used, f"{rate:,.0f} {each} a second"))
    write_section(
        "Memory",
        [
            f"One Boss process, in this order, {seconds:g} s each; the most resident memory seen.",
            "",
            "| | MiB | |",
            "| --- | ---: | --- |",
            *(f"| {name} | {used:.0f} | {more} |" for name, used, more in rows),
        ],
    )


if __name__ == "__main__":
    main()
