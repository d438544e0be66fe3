"""How a start ends, and what holds it up."""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator

import asyncpg

from tests.helpers.servers import PATIENCE, BossProcess, until


def end_of(boss: BossProcess) -> str:
    """What it said, once it has ended by itself; it is a sentence, in one line."""
    with contextlib.closing(boss):
        until(lambda: boss.process.poll() is not None)
        # Try again, where the database is away.
        assert boss.process.returncode in (1, 75), boss.log
        lines = [line for line in boss.log.splitlines() if not line.startswith('{"version":') and '"info"' not in line]
        assert len(lines) == 1, boss.log
        assert lines[0].startswith("boss: ")
        return lines[0]


def migrate_by_command(url: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "boss", "migrate", "--database", url]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)


@contextlib.contextmanager
def holding(url: str, statement: str) -> Iterator[None]:
    """A transaction that has done this, and is open."""
    with asyncio.Runner() as runner:
        connection = runner.run(asyncpg.connect(url))
        runner.run(connection.execute(f"BEGIN; {statement}"))
        try:
            yield
        finally:
            runner.run(connection.close())
