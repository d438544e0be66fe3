"""Another version of Boss beside this one: what a change has cost, or brought.

Usage: python -m bench.versions REVISION [--rounds N]

Both run on databases of their own, and are measured in turn, so that a slow minute of the machine hits both.
"""

import argparse
import contextlib
import io
import statistics
import subprocess
import tarfile
import tempfile
from pathlib import Path

from tests.servers import BossProcess

from bench.__main__ import STOCK, wrk
from bench.machine import ratio, write_section
from bench.postgres import Postgres, postgres_running

SCRIPTS = ("submit", "take", "done", "cycle")
CONNECTIONS = 64
SECONDS = 3.0


def code_of(revision: str, folder: Path) -> Path:
    """The code of a revision of this repository, in a folder."""
    archive = subprocess.run(["git", "archive", revision, "src/boss"], capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
    return folder / "src"


def rate(postgres: Postgres, boss: BossProcess, script: str) -> float:
    """How many a second."""
    postgres.empty()
    if script == "take":
        postgres.stock("AVAILABLE", STOCK)
    elif script == "done":
        postgres.stock("ACTIVE", STOCK)
    return wrk(boss.url, f"{script}.lua", "1")(CONNECTIONS, SECONDS)


def main() -> None:
    """Run the rounds and write down what they gave."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("revision")
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    found: dict[str, tuple[list[float], list[float]]] = {script: ([], []) for script in SCRIPTS}
    with contextlib.ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="boss-bench-")))
        versions = []
        for name, source in (("other", code_of(given.revision, folder / "code")), ("this", None)):
            # A PostgreSQL each, with different schemas perhaps; who is not measured is idle.
            postgres = running.enter_context(postgres_running(folder / name))
            boss = BossProcess("--database", postgres.url("coalesced"), "--quiet", source=source)
            running.callback(boss.close)
            versions.append((postgres, boss.wait_until_ready()))
        for turn in range(given.rounds):
            for script, rates in found.items():
                # In turn, and who is first changes: the machine is faster in one moment than in another.
                for place in (0, 1) if turn % 2 else (1, 0):
                    rates[place].append(rate(*versions[place], script))
            print(
                turn + 1, {script: [round(each[-1]) for each in rates] for script, rates in found.items()}, flush=True
            )
    rows = [
        f"| {script} | {statistics.median(one):,.0f} | {statistics.median(two):,.0f} | {ratio(two, one)} |"
        for script, (one, two) in found.items()
    ]
    revision = subprocess.run(["git", "log", "-1", "--format=%h %s", given.revision], capture_output=True, text=True)
    write_section(
        "Beside an earlier version",
        [
            f"`python -m bench.versions {given.revision}`: {revision.stdout.strip()!r} and this one, {given.rounds} "
            f"rounds of {SECONDS:g} s each, {CONNECTIONS} connections, a PostgreSQL each.",
            "",
            "| | before, a second | now, a second | ratio | spread |",
            "| --- | --- | --- | --- | --- |",
            *rows,
        ],
    )


if __name__ == "__main__":
    main()
