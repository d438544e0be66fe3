"""Real servers for tests: a PostgreSQL, databases in it, and Boss processes."""

import contextlib
import os
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


def until(holds: Callable[[], bool]) -> None:
    """Return once it holds, by what another process or thread does."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether this process runs; one that nobody has waited for does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def cmdline(process: psutil.Process) -> list[str]:
    """What a process was started with; nothing of one that has just ended."""
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:  # a zombie is one of these
        return []


def free_port() -> int:
    """A TCP port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class BossProcess:
    """`boss serve` as a process of its own, started when constructed.

    Args:
        flags: its flags.
        port: where it listens; a free one when None.
        source: the folder of the code to run, another version's for instance; what is installed when None.
        python: the interpreter of the environment that it is installed in; this one when None.
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
        """Return once it serves."""
        self.wait_for_log("Boss serves on")
        return self

    def wait_for_log(self, words: str) -> None:
        """Return once the log has these words."""
        deadline = time.monotonic() + PATIENCE
        while words not in self.log:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"Boss did not say {words!r}:\n{self.log}")
            time.sleep(0.02)

    @property
    def log(self) -> str:
        """What it has said so far."""
        return Path(self._log.name).read_text()

    def terminate(self) -> int:
        """SIGTERM; return its exit code."""
        self.process.terminate()
        return self.process.wait(PATIENCE)

    def kill(self) -> None:
        """SIGKILL."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(PATIENCE)

    def close(self) -> None:
        """Stop it, however it is."""
        if self.process.poll() is None:
            self.terminate()
        self._log.close()

    def client(self, timeout: float = 30) -> httpx.Client:
        """An HTTP client for it."""
        return httpx.Client(base_url=self.url, timeout=timeout)


@contextlib.contextmanager
def boss_running(*flags: str, port: int | None = None) -> Iterator[BossProcess]:
    """A Boss process, ready, and stopped on leaving."""
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
