"""Starts of Boss that fail or are held up."""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator

import asyncpg

from tests.helpers.servers import PATIENCE, BossProcess, until


def end_of(boss: BossProcess) -> str:
    """Wait until Boss has ended by itself; return its message, which must be a sentence on one line."""
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
    """Keep a transaction open that has run this statement."""
    with asyncio.Runner() as runner:
        connection = runner.run(asyncpg.connect(url))
        runner.run(connection.execute(f"BEGIN; {statement}"))
        try:
            yield
        finally:
            runner.run(connection.close())
