"""Compares another version of Boss with this one: what a change has cost, or gained.

Usage: python -m bench.versions [REVISION] [--rounds N] [--seconds S] [--workers N]

Each version is installed from its own lock file into its own environment. Both use the same interpreter, which must be
one that was built with profile-guided optimisation. Each round starts both on empty folders with their defaults, and
measures them in turn, so that a slow minute of the machine affects both. `--workers` applies to this version only.
"""

import argparse
import contextlib
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
from tests.helpers.servers import BossProcess

from bench import lone, stock
from bench.installed import installed
from bench.interpreter import described, optimised
from bench.machine import ratio, write_section
from bench.processor import spent
from bench.wrk import load, whole

REVISION = "3886ff7"
NDJSON_LINES = 1000
# The name of each side.
BEFORE, NOW = "before", "now"
# The name of the share of the machine's time that other processes used.
ELSE = ", of the machine to others"
# Every figure of a side, round by round.
Figures = dict[str, list[float]]


class Version(NamedTuple):
    """How to start a version: the interpreter of its environment, and flags for `boss serve` beside the defaults."""

    name: str
    python: Path
    flags: list[str]


class Running(NamedTuple):
    """A running version, and its figures of all rounds."""

    boss: BossProcess
    data: Path
    figures: Figures


@contextlib.contextmanager
def running(versions: list[Version], found: dict[str, Figures]) -> Iterator[list[Running]]:
    """Start all versions on empty folders, and warm them up."""
    with contextlib.ExitStack() as stack:
        sides = []
        for name, python, flags in versions:
            data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="boss-bench-")))
            boss = BossProcess("--data", str(data), *flags, python=python)
            stack.callback(boss.close)
            sides.append(Running(boss.wait_until_ready(), data, found.setdefault(name, {})))
            load(boss.url, "cycle.lua", 64, 1)
        yield sides


def measure(sides: list[Running], seconds: float, number: int) -> None:
    """Measure one round: everything, of all sides in turn. Which side is first changes from round to round."""
    turn = sides if number % 2 else sides[::-1]
    for step in STEPS:
        for side in turn:
            step(side, seconds)


def _lone(side: Running, _: float) -> None:
    time.sleep(0.5)  # it has just been at work
    for name, took in lone.milliseconds(side.boss.port).items():
        side.figures.setdefault(f"a lone {name}, ms", []).append(took)


def _loaded(
    name: str, script: str, connections: int, *arguments: str, share: float = 1
) -> Callable[[Running, float], None]:
    """Run a load for a share of the time, and keep its figures under its name."""

    def run(side: Running, seconds: float) -> None:
        before, begun = spent(side.boss.process.pid, side.data), time.perf_counter()
        found = load(side.boss.url, script, connections, share * seconds, *arguments)
        after, took = spent(side.boss.process.pid, side.data), time.perf_counter() - begun
        boss, postgres, machine = (b - a for a, b in zip(before, after, strict=True))
        figures = {
            f"{name}, a second": found.rate,
            f"{name}, µs of Boss": 1e6 * boss / found.done,
            f"{name}, µs of PostgreSQL": 1e6 * postgres / found.done,
            f"{name}, µs of wrk": 1e6 * found.processor / found.done,
            f"{name}, p50 of a request, ms": found.p50,
            f"{name}, p99 of a request, ms": found.p99,
            f"{name}{ELSE}": (machine - boss - postgres - found.processor) / took / (psutil.cpu_count() or 1),
        }
        for what, figure in figures.items():
            side.figures.setdefault(what, []).append(figure)

    return run


def _prepare(side: Running, seconds: float) -> None:
    """Prepare jobs for takes and dones, as many for each version: how many are ready changes the rate of takes."""
    stock.submit(side.boss.url, _STOCK * whole(_SHARE * seconds))


def _take_the_rest(side: Running, _: float) -> None:
    """Take all jobs that are left, so that there are active ones to finish."""
    stock.take_all(side.boss.url)


# The share of the time for loads that need preparation; their figures are steadier than those of cycles.
_SHARE = 0.5
# The jobs that are prepared for each second of takes, more than any version takes or finishes.
_STOCK = 40_000
STEPS = [
    _lone,
    _loaded("cycle at 64", "cycle.lua", 64),
    _loaded("cycle at 256", "cycle.lua", 256),
    _loaded("NDJSON cycle", "lines.lua", 4, str(NDJSON_LINES)),
    _loaded("submit at 64", "submit.lua", 64, share=_SHARE),
    _prepare,
    _loaded("take at 64", "take.lua", 64, share=_SHARE),
    _take_the_rest,
    _loaded("done at 64", "done.lua", 64, "1", share=_SHARE),
]
SHOWN = [
    *(f"{what}, a second" for what in ("cycle at 64", "cycle at 256", "submit at 64", "take at 64", "done at 64")),
    "NDJSON cycle, a second",
    *(
        f"{cycle}, µs of {whose}"
        for cycle in ("cycle at 64", "cycle at 256")
        for whose in ("Boss", "PostgreSQL", "wrk")
    ),
    "cycle at 256, p50 of a request, ms",
    "cycle at 256, p99 of a request, ms",
    *(f"a lone {what}, ms" for what in ("submit", "take", "done")),
]


def sides(revision: str, workers: int | None) -> list[Version]:
    """The two sides: the revision, and the working tree."""
    python = optimised()
    flags = ["--workers", str(workers)] if workers else []
    return [
        Version(BEFORE, installed(revision, python), []),
        Version(NOW, installed(None, python), flags),
    ]


def compared(before: Figures, now: Figures, revision: str, seconds: float, flags: list[str]) -> list[str]:
    """The section of the results about two versions."""
    title = subprocess.run(["git", "log", "-1", "--format=%h, %s", revision], capture_output=True, text=True).stdout
    with_flags = f" with {' '.join(flags)}" if flags else ""
    rounds = len(next(iter(now.values())))
    others = [each for side in (before, now) for what, found in side.items() if what.endswith(ELSE) for each in found]
    return [
        f"`python -m bench.versions {revision}`: '{title.strip()}' and this one{with_flags}, each from its own lock "
        f"file, on {described(optimised())[0]}, with all defaults: an embedded PostgreSQL each, a log line for each "
        f"move. {rounds} interleaved rounds of {seconds:g} s for each cycle, and half of that for submit, take and "
        "done; jobs of 200 bytes. Processor time is that of all processes of a side while the load ran, for each "
        f"cycle. NDJSON cycles are by {NDJSON_LINES:,}, on 4 connections. wrk sends a connection's next request when "
        f"the last is answered. While a load ran, {min(others):.0%} to {max(others):.0%} of the machine's time, "
        f"{statistics.median(others):.0%} in the median, went to others: to its kernel, to its host, or to programs "
        "that should not have run.",
        "",
        "| | before | now | ratio | spread |",
        "| --- | ---: | ---: | ---: | ---: |",
        *(
            f"| {what} | {_median(before[what])} | {_median(now[what])} | {ratio(now[what], before[what])} |"
            for what in SHOWN
        ),
    ]


def _median(figures: list[float]) -> str:
    middle = statistics.median(figures)
    return f"{middle:,.0f}" if middle >= 10 else f"{middle:.2f}"


def options(description: str | None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("revision", nargs="?", default=REVISION)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4, help="of each measurement")
    parser.add_argument("--workers", type=int, help="of this version's `boss serve`")
    return parser.parse_args()


def main() -> None:
    """Run the rounds and write the results."""
    asked = options(__doc__)
    versions, found = sides(asked.revision, asked.workers), dict[str, Figures]()
    for number in range(asked.rounds):
        with running(versions, found) as both:
            measure(both, asked.seconds, number)
        print_round(number, found)
    lines = compared(found[BEFORE], found[NOW], asked.revision, asked.seconds, versions[1].flags)
    write_section("Beside an earlier version", lines)


def print_round(number: int, found: dict[str, Figures]) -> None:
    """Print the figures of a round, as a sign of progress."""
    for name, figures in found.items():
        for what, each in figures.items():
            print(f"round {number + 1}: {name}: {what}: {each[-1]:,.2f}", flush=True)


if __name__ == "__main__":
    main()
