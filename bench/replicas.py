"""The gain of a second replica on one machine: the same connections to one Boss, and half of them to each of two.

Usage: python -m bench.replicas [--rounds N]
"""

import argparse
import contextlib
import statistics
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.helpers.servers import boss_running

from bench.__main__ import STOCK
from bench.machine import ratio, write_section
from bench.postgres import Postgres, postgres_running
from bench.wrk import wrk

CONNECTIONS = 256
SECONDS = 2.0
SCRIPTS = ("submit", "take", "cycle")


def rate(postgres: Postgres, urls: list[str], script: str) -> float:
    """The rate of these replicas together, a second."""
    if script == "take":
        postgres.stock("AVAILABLE", STOCK)
    else:
        postgres.empty()
    with ThreadPoolExecutor() as threads:
        loads = [threads.submit(wrk(url, f"{script}.lua"), CONNECTIONS // len(urls), SECONDS) for url in urls]
        return sum(load.result() for load in loads)


def main() -> None:
    """Run the rounds and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory(prefix="boss-bench-") as folder, contextlib.ExitStack() as running:
        postgres = running.enter_context(postgres_running(Path(folder)))
        urls = [running.enter_context(boss_running("--database", postgres.url("coalesced"))).url for _ in range(2)]
        found: dict[str, tuple[list[float], list[float]]] = {script: ([], []) for script in SCRIPTS}
        for _ in range(rounds):
            for script, (one, two) in found.items():
                one.append(rate(postgres, urls[:1], script))
                two.append(rate(postgres, urls, script))
    rows = [
        f"| {script} | {statistics.median(one):,.0f} | {statistics.median(two):,.0f} | {ratio(two, one)} |"
        for script, (one, two) in found.items()
    ]
    about = (
        f"{rounds} rounds of {SECONDS:g} s, {CONNECTIONS} connections in all; medians of a second, ratios of a round."
    )
    table = ["| | one replica | two | ratio | spread |", "| --- | ---: | ---: | ---: | ---: |", *rows]
    write_section("A second replica", [about, "", *table])


if __name__ == "__main__":
    main()
