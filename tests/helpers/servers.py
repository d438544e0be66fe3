"""Real servers for tests: a PostgreSQL, databases in it, and Boss processes."""

import contextlib
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil

PATIENCE = 60.0
# Hypothesis seeds the common one: then two tests would try the same ports.
_chance = random.SystemRandom()


def until(holds: Callable[[], bool], what: Callable[[], str] = lambda: "", pause: float = 0.02) -> None:
    """Wait until the condition holds, which another process or thread makes true; else fail and say what is so.

    Args:
        holds: the condition.
        what: says what is so.
        pause: the first pause between two looks, in seconds: longer where a look is dear.
    """
    started = time.monotonic()
    while not holds():
        waited = time.monotonic() - started
        assert waited < PATIENCE, what()
        # Later they are longer, for many a look takes the processor 5 ms.
        time.sleep(max(pause, min(0.1, waited / 10)))


def alive(pid: int) -> bool:
    """Whether this process runs; a zombie does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def cmdline(process: psutil.Process) -> list[str]:
    """The command line of a process; empty when it has just ended."""
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:  # a zombie raises one of these
        return []


def free_port() -> int:
    """A TCP port that nothing uses right now, and that no client gets by chance: those get one above 32,768."""
    while True:
        port = _chance.randrange(10_000, 32_768)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class BossProcess:
    """`boss serve` as a process of its own, started when constructed.

    Args:
        flags: its flags.
        port: its port; a free one when None.
        source: the folder of the code to run, for instance another version's; the installed code when None.
        python: the interpreter of the environment in which it is installed; this one when None.
    """

    def __init__(
        self, *flags: str, port: int | None = None, source: Path | None = None, python: Path | None = None
    ) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = tempfile.NamedTemporaryFile("w+", prefix="boss-", suffix=".log")  # noqa: SIM115
        environment = {name: value for name, value in os.environ.items() if not name.startswith("BOSS_")}
        if source:
            environment["PYTHONPATH"] = str(source)
        self.process = subprocess.Popen(
            [str(python or sys.executable), "-m", "boss", "serve", "--port", str(self.port), *flags],
            stdout=self._log,
            stderr=self._log,
            env=environment,
        )

    def wait_until_ready(self) -> "BossProcess":
        """Wait until it serves."""
        self.wait_for_log("Boss serves on")
        return self

    def wait_for_log(self, words: str) -> None:
        """Wait until the log has these words."""
        deadline = time.monotonic() + PATIENCE
        while words not in self.log:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"Boss did not say {words!r}:\n{self.log}")
            time.sleep(0.02)

    @property
    def log(self) -> str:
        """Its log so far."""
        return Path(self._log.name).read_text()

    def terminate(self) -> int:
        """Send SIGTERM; return its exit code."""
        self.process.terminate()
        return self.process.wait(PATIENCE)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(PATIENCE)

    def close(self) -> None:
        """Stop it, in whatever state it is."""
        if self.process.poll() is None:
            self.terminate()
        self._log.close()

    def client(self, timeout: float = 30) -> httpx.Client:
        """An HTTP client for it."""
        return httpx.Client(base_url=self.url, timeout=timeout)


@contextlib.contextmanager
def boss_running(*flags: str, port: int | None = None) -> Iterator[BossProcess]:
    """Run a Boss process; yield it when it is ready, and stop it at the end of the block."""
    boss = BossProcess(*flags, port=port)
    try:
        yield boss.wait_until_ready()
    finally:
        boss.close()


def postmaster(data: Path) -> int:
    """The process id of the embedded PostgreSQL in a data folder."""
    found = re.match(r"\d+", (data / "postgresql" / "postmaster.pid").read_text())
    assert found
    return int(found[0])
