"""Performance targets: what Boss must reach, compared with an earlier version and with its peers, and whether it does.

Usage: python -m bench.targets [REVISION] [--rounds N] [--seconds S] [--workers N]

It runs the rounds of bench/versions.py. Each of them also has the cycles of the peers that `make bench-peers` has
installed, and of the design's statements.
"""

import contextlib
import statistics
import tempfile
from pathlib import Path
from typing import NamedTuple

from bench import peers, versions
from bench.__main__ import pgbench
from bench.interpreter import described
from bench.machine import ratios_of, write_section
from bench.postgres import Postgres, postgres_running
from bench.versions import BEFORE, NOW, Figures

PEERS = "peers"
BEANSTALKD, BULLMQ, DESIGN = "beanstalkd, fsync", "BullMQ, appendfsync always", "the design's statements"
BUNQUEUE = [f"bunqueue over HTTP, {where}" for where in ("SQLite, no fsync", "PostgreSQL")]
CONNECTIONS = {BEANSTALKD: (64,), BULLMQ: (64, 256), BUNQUEUE[0]: (64,), BUNQUEUE[1]: (64,)}


class Target(NamedTuple):
    """One target: the least or the greatest ratio of a figure of this version to another figure."""

    figure: str
    whose: str
    other: str
    wanted: float
    at_most: bool = False


def _beside(figure: str, wanted: float, at_most: bool = False) -> Target:
    return Target(figure, BEFORE, figure, wanted, at_most)


def _cycles(peer: str, connections: int, wanted: float) -> Target:
    return Target(f"cycle at {connections}, a second", PEERS, f"{peer}: cycle at {connections}", wanted)


TARGETS = [
    _beside("cycle at 64, a second", 2.5),
    _beside("cycle at 256, a second", 2.5),
    _beside("cycle at 64, µs of Boss", 0.35, at_most=True),
    _beside("cycle at 256, µs of Boss", 0.35, at_most=True),
    *(_beside(f"{what} at 64, a second", 2) for what in ("submit", "take", "done")),
    _beside("NDJSON cycle, a second", 2),
    *(_beside(f"a lone {what}, ms", 1, at_most=True) for what in ("submit", "take", "done")),
    _cycles(BEANSTALKD, 64, 1.8),
    _cycles(BULLMQ, 64, 1.3),
    _cycles(BULLMQ, 256, 1.3),
    _cycles(DESIGN, 64, 3),
]


def main() -> None:
    """Run the rounds and write the results."""
    asked = versions.options(__doc__)
    sides, found = versions.sides(asked.revision, asked.workers), dict[str, Figures]()
    for number in range(asked.rounds):
        with versions.running(sides, found) as both:
            versions.measure(both, asked.seconds, number)
        _measure_peers(found.setdefault(PEERS, {}), asked.seconds)
        versions.print_round(number, found)
    lines = versions.compared(found[BEFORE], found[NOW], asked.revision, asked.seconds, sides[1].flags)
    write_section("Beside an earlier version", lines)
    write_section("Targets", _report(found, asked.revision, asked.rounds, asked.seconds))


def _measure_peers(figures: Figures, seconds: float) -> None:
    """Measure the cycles of each peer, on empty queues."""
    with tempfile.TemporaryDirectory(prefix="boss-bench-") as folder, contextlib.ExitStack() as stack:
        postgres = stack.enter_context(postgres_running(Path(folder)))
        commands = stack.enter_context(peers.peers_running(postgres))
        for peer, counts in CONNECTIONS.items():
            for count in counts if peer in commands else ():
                rate = peers.measure(commands[peer], count, seconds, "cycle")["cycle"]
                figures.setdefault(f"{peer}: cycle at {count}", []).append(rate)
        figures.setdefault(f"{DESIGN}: cycle at 64", []).append(_design(postgres, seconds))


def _design(postgres: Postgres, seconds: float) -> float:
    postgres.empty_design()
    return pgbench(postgres)(64, seconds)


def _report(found: dict[str, Figures], revision: str, rounds: int, seconds: float) -> list[str]:
    client = f" beanstalkd's client is {described(peers.PYTHON)[0]}." if peers.PYTHON.exists() else ""
    peer = (
        f"| {what} | {statistics.median(rates):,.0f} | {min(rates):,.0f} to {max(rates):,.0f} |"
        for what, rates in found[PEERS].items()
    )
    return [
        f"`make bench-targets`: {rounds} interleaved rounds, {seconds:g} s for each cycle. Beside {revision} as in "
        f"'Beside an earlier version', measured in the same rounds; the peers each on an empty queue, by their own "
        f"clients, bunqueue by wrk.{client} A ratio is the median of the rounds' own.",
        "",
        "| | ratio | spread | wanted | |",
        "| --- | ---: | ---: | ---: | --- |",
        *(_row(target, found, revision) for target in TARGETS),
        "",
        "| a peer | median a second | spread |",
        "| --- | ---: | ---: |",
        *peer,
    ]


def _row(target: Target, found: dict[str, Figures], revision: str) -> str:
    wanted = f"at {'most' if target.at_most else 'least'} {target.wanted:g}"
    beside = revision if target.whose == BEFORE else target.other.partition(":")[0]
    other = found[target.whose].get(target.other)
    if not other:
        return f"| {target.figure}, beside {beside} | not there | | {wanted} | NOT MEASURED |"
    ratios = ratios_of(found[NOW][target.figure], other)
    middle = statistics.median(ratios)
    reached = middle <= target.wanted if target.at_most else middle >= target.wanted
    return (
        f"| {target.figure}, beside {beside} | {middle:.2f} | {min(ratios):.2f} to {max(ratios):.2f} | {wanted} "
        f"| {'pass' if reached else 'MISS'} |"
    )


if __name__ == "__main__":
    main()
