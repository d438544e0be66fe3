"""The overhead of `boss work` around its commands: the same tiny commands, run by it and by `xargs`.

Usage: python -m bench.work [--rounds N] [--jobs N]
It starts a Boss on an embedded PostgreSQL of its own. Each round submits the jobs, lets `boss work -j 8 -- true` do
them, and then runs as many commands with `xargs -P 8`. Inside `boss work` it measures how busy the slots are: for which
share of their time, from the start of the first job to the end of the last, a command was running.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

from tests.helpers.servers import boss_running

import boss.cli
import boss.client.command
from bench.machine import ratio, write_section
from boss import Client, JobLine
from boss.client.command import Command
from boss.client.orphans import Orphans

SLOTS = 8


class TimedCommand(Command):
    """Adds up how long commands ran, each from before it was spawned until its end was noticed."""

    total = 0.0
    first = last = 0.0

    def __init__(self, words: Sequence[str], environment: dict[str, str], document: bytes, orphans: Orphans) -> None:
        self._started = time.perf_counter()
        TimedCommand.first = TimedCommand.first or self._started
        super().__init__(words, environment, document, orphans)

    def _end(self) -> None:
        super()._end()
        TimedCommand.last = time.perf_counter()
        TimedCommand.total += TimedCommand.last - self._started


def work(url: str, source: str) -> None:
    """Run `boss work` in this process, and print for which share of the slots' time commands ran."""
    boss.client.command.Command = TimedCommand  # type: ignore[misc]
    sys.argv = ["boss", "work", source, "--url", url, "-j", str(SLOTS), "--until-empty", "--", "true"]
    try:
        boss.cli.main()
    except SystemExit as end:
        if end.code:
            raise
    print(TimedCommand.total / (SLOTS * (TimedCommand.last - TimedCommand.first)))


def main() -> None:
    """Run the rounds and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=10_000)
    asked = parser.parse_args()
    shares: list[float] = []
    ours: list[float] = []
    alone: list[float] = []
    with tempfile.TemporaryDirectory(prefix="boss-bench-") as folder, boss_running("--data", folder) as server:
        for number in range(asked.rounds):
            source = f"round-{number}"
            with Client(server.url) as client:
                for _ in client.submit_lines(source, (JobLine(f"{source}-{n}", "{}") for n in range(asked.jobs))):
                    pass
                started = time.perf_counter()
                command = [sys.executable, "-m", "bench.work", "--work", server.url, source]
                said = subprocess.run(command, capture_output=True, text=True, check=True)
                ours.append(asked.jobs / (time.perf_counter() - started))
                assert client.tree()["done"][source] == asked.jobs
            shares.append(float(said.stdout))
            started = time.perf_counter()
            subprocess.run(f"seq {asked.jobs} | xargs -P {SLOTS} -n 1 true", shell=True, check=True)
            alone.append(asked.jobs / (time.perf_counter() - started))
    median, low, high = statistics.median(shares), min(shares), max(shares)
    about = (
        f"{asked.rounds} rounds of {asked.jobs:,} jobs, on a Boss and a PostgreSQL that share the machine; "
        "medians, and the spread of the rounds."
    )
    rows = [
        "| | | spread |",
        "| --- | ---: | ---: |",
        f"| of its slots' time, commands had | {median:.0%} | {low:.0%} to {high:.0%} |",
        f"| jobs a second | {statistics.median(ours):,.0f} | {min(ours):,.0f} to {max(ours):,.0f} |",
        f"| the same commands by `xargs -P {SLOTS}` | {statistics.median(alone):,.0f} "
        f"| {min(alone):,.0f} to {max(alone):,.0f} |",
        f"| `boss work` to `xargs` | {ratio(ours, alone)} |",
    ]
    write_section(f"`boss work -j {SLOTS} -- true`", [about, "", *rows])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(*sys.argv[2:])
    else:
        main()
