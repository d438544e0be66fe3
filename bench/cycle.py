"""Where the time of a cycle goes: Boss's by module and function, and by library; PostgreSQL's by statement.

Usage: python -m bench.cycle [--connections N] [--seconds S]

py-spy finds the functions (pip install py-spy), and perf the libraries and the kernel (apt-get install linux-perf).
Without one of them its table is left out. Both sample from outside, each under a load of its own; processor time is
measured under a load without either. Boss runs on an embedded PostgreSQL of its own, in one process.
"""

import argparse
import collections
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
from tests.helpers.servers import BossProcess, boss_running, postmaster

from bench.machine import write_section
from bench.processor import spent
from bench.wrk import Loaded, load

# The most rows of a table.
_MOST = 25
_STATEMENT = re.compile(r'^boss_statement_duration_seconds_(sum|count)\{statement="([^"]+)"\} (\S+)$', re.MULTILINE)
Shares = collections.Counter[str]
Times = dict[tuple[str, str], float]


def main() -> None:
    """Run the loads and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=int, default=4, help="of each load")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="boss-bench-") as folder:
        data = Path(folder) / "data"
        with boss_running("--data", str(data)) as boss:
            lines = profile(boss, data, asked.connections, asked.seconds)
    write_section("Where the time of a cycle goes", lines)


def profile(boss: BossProcess, data: Path, connections: int, seconds: int) -> list[str]:
    """The section of the results: four loads, the first of them to warm up."""

    def cycles() -> Loaded:
        return load(boss.url, "cycle.lua", connections, seconds)

    cycles()
    started, before = spent(boss.process.pid, data), _statements(boss)
    found = cycles()
    ended, after = spent(boss.process.pid, data), _statements(boss)
    of_boss = 1e6 * (ended.boss - started.boss) / found.done
    of_postgres = 1e6 * (ended.postgres - started.postgres) / found.done
    lines = [
        f"`python -m bench.cycle --connections {connections}`: {found.rate:,.0f} cycles a second; each takes "
        f"{of_boss:.0f} µs of processor time of Boss and {of_postgres:.0f} µs of PostgreSQL.",
        "",
        "| a statement | of them in 1,000 cycles | ms of each, waiting and commit included |",
        "| --- | ---: | ---: |",
        *_statement_rows(before, after, found.done),
    ]
    if spy := _program("py-spy"):
        functions = _functions([spy, "record", "--pid", str(boss.process.pid)], seconds, cycles)
        lines += _table("a module of Boss, with what it calls that is not Python", _modules(functions), of_boss)
        lines += _table("a function, likewise", functions, of_boss)
    if perf := _program("perf"):
        lines += _table("a library in Boss's process", _libraries(perf, [boss.process.pid], seconds, cycles), of_boss)
        backends = [each.pid for each in psutil.Process(postmaster(data)).children()]
        lines += _table("in PostgreSQL's processes", _libraries(perf, backends, seconds, cycles), of_postgres)
    return lines


def _program(name: str) -> str | None:
    """The path of a tool, in this environment or on the PATH."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if not found:
        print(f"{name} is not there")
    return found


def _statements(boss: BossProcess) -> Times:
    """How often each statement was run so far, and for how long: its `count`, and the `sum` of the seconds."""
    text = httpx.get(f"{boss.url}/metrics").text
    return {(name, what): float(value) for what, name, value in _STATEMENT.findall(text)}


def _statement_rows(before: Times, after: Times, cycles: int) -> Iterator[str]:
    ran = {name: after[name, "count"] - before.get((name, "count"), 0) for name, _ in after}
    for name, times in sorted(ran.items(), key=lambda each: -each[1])[:5]:
        took = after[name, "sum"] - before.get((name, "sum"), 0)
        yield f"| {name} | {1000 * times / cycles:.1f} | {1000 * took / max(1, times):.2f} |"


def _functions(spying: list[str], seconds: int, cycles: Callable[[], object]) -> Shares:
    """How many samples found each Python function at work, under load; threads without one are left out."""
    found = Shares()
    with tempfile.NamedTemporaryFile("r", suffix=".raw") as file:
        options = ["--format", "raw", "--function", "--rate", "250", "--duration", str(seconds), "--output", file.name]
        with subprocess.Popen([*spying, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
            cycles()
        for stack, samples in re.findall(r"^(.*\)) (\d+)$", Path(file.name).read_text(), re.MULTILINE):
            function, _, _line = stack.rpartition(";")[2].rpartition(":")
            found[f"{function})"] += int(samples)
    return found


def _modules(functions: Shares) -> Shares:
    found = Shares()
    for function, samples in functions.items():
        file = function.rpartition("(")[2].rstrip(")")
        found[file if file.startswith("boss/") else file.partition("/")[0]] += samples
    return found


def _libraries(perf: str, pids: list[int], seconds: int, cycles: Callable[[], object]) -> Shares:
    """How many samples found the processes at work in each library, or in the kernel, under load."""
    with tempfile.NamedTemporaryFile(suffix=".data") as file:
        which = ["--event", "cpu-clock", "--freq", "1999", "--pid", ",".join(map(str, pids))]
        recording = [perf, "record", *which, "--output", file.name, "--", "sleep", str(seconds)]
        with subprocess.Popen(recording, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
            cycles()
        report = [perf, "report", "--stdio", "--input", file.name, "--sort", "dso", "--fields", "sample,dso"]
        said = subprocess.run(report, capture_output=True, text=True, check=True).stdout
    return Shares({name: int(samples) for samples, name in re.findall(r"^\s*(\d+)\s+(\S+)\s*$", said, re.MULTILINE)})


def _table(what: str, shares: Shares, microseconds: float) -> list[str]:
    total = max(1, shares.total())
    rows = (
        f"| {name} | {samples / total:.1%} | {microseconds * samples / total:.1f} |"
        for name, samples in shares.most_common(_MOST)
        if samples > total / 200
    )
    return ["", f"| {what} | of the samples | µs a cycle |", "| --- | ---: | ---: |", *rows]


if __name__ == "__main__":
    main()
