"""How long a command takes, from its start to its end.

Usage: python -m bench.commands [REVISION] [--rounds N]

It runs whole processes in turn: Python that does nothing, this version's commands, and the same commands of a revision
to compare with, if one is given. So a slow minute of the machine affects all of them.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
from tests.helpers.servers import BossProcess, boss_running

from bench.installed import code_of
from bench.machine import ratio, write_section
from bench.postgres import postgres_running

NOTHING = "python -c pass"
COMMANDS = {
    "boss check": ["check", "bench", "job"],
    "boss take, nothing there": ["take", "bench"],
    "boss --version": ["--version"],
    "boss --help": ["--help"],
}
# The exit codes of a process that worked: 3 when there is nothing to take, and 2 in a version without the option.
_ENDS = {0, 2, 3}


def seconds(boss: BossProcess, words: list[str], source: Path | None) -> float:
    """How long this process takes, in seconds."""
    environment = {**os.environ, "BOSS_URL": boss.url, **({"PYTHONPATH": str(source)} if source else {})}
    begun = time.perf_counter()
    ended = subprocess.run([sys.executable, *words], capture_output=True, env=environment).returncode
    took = time.perf_counter() - begun
    assert ended in _ENDS, f"{words} ended with {ended}"
    return took


def main() -> None:
    """Run the rounds and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("revision", nargs="?")
    parser.add_argument("--rounds", type=int, default=20)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="boss-bench-") as folder, postgres_running(Path(folder)) as postgres:
        versions: dict[str, Path | None] = {"now": None}
        if given.revision:
            versions[given.revision] = code_of(given.revision, Path(folder) / "before", "src/boss")
        with boss_running("--database", postgres.url("coalesced"), "--quiet", "--lease", "0") as boss:
            httpx.post(f"{boss.url}/job/available/bench/job", content="{}").raise_for_status()
            httpx.get(f"{boss.url}/job/available/bench").raise_for_status()
            took = measured(boss, versions, given.rounds)
    nothing = took[NOTHING]
    rows = [
        f"| {what} | {1000 * statistics.median(each):.0f} | {ratio(each, nothing)} |" for what, each in took.items()
    ]
    table = ["| process | ms | of a Python that does nothing | spread |", "| --- | ---: | ---: | --- |", *rows]
    about = [f"{given.rounds} rounds, each of every process in turn, against a Boss on the same machine."]
    for command in COMMANDS if given.revision else ():
        compared = ratio(took[f"{command}, now"], took[f"{command}, {given.revision}"]).replace(" | ", ", ")
        about.append(f"`{command}` takes {compared} of what it took in {given.revision}.")
    write_section("Commands", [" ".join(about), "", *table])


def measured(boss: BossProcess, versions: dict[str, Path | None], rounds: int) -> dict[str, list[float]]:
    """The seconds of each process, round by round."""
    took: dict[str, list[float]] = {NOTHING: []}
    for _ in range(rounds):
        took[NOTHING].append(seconds(boss, ["-c", "pass"], None))
        for command, words in COMMANDS.items():
            for version, source in versions.items():
                found = took.setdefault(f"{command}, {version}", [])
                found.append(seconds(boss, ["-m", "boss", *words], source))
    return took


if __name__ == "__main__":
    main()
