"""Workers as processes of their own: `boss work`, and programs with a `Converter`."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.helpers.servers import PATIENCE, alive, until

BOSS = str(Path(sys.executable).with_name("boss"))


def hear_every_signal() -> None:
    """Restore the signals in a new process: a shell's background and nohup make it ignore some."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


class Worker:
    """A worker. Its output goes to a file, so that no process that inherits the output keeps us waiting."""

    def __init__(self, url: str, log: Path, *words: str) -> None:
        self.log = log
        environment = {**os.environ, "BOSS_URL": url, "COLUMNS": "200"}
        with log.open("w") as output:
            self.process = subprocess.Popen(
                words, stdout=output, stderr=output, env=environment, preexec_fn=hear_every_signal
            )

    @property
    def said(self) -> str:
        return self.log.read_text()

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def ended(self) -> int:
        """Wait for its end; return its exit code."""
        return self.process.wait(PATIENCE)


@contextlib.contextmanager
def working(url: str, folder: Path, *words: str) -> Iterator[Worker]:
    """Run `boss work` with these arguments."""
    with _running(Worker(url, folder / "worker.log", BOSS, "work", *words)) as worker:
        yield worker


@contextlib.contextmanager
def converting(url: str, folder: Path, program: str, *words: str) -> Iterator[Worker]:
    """Run a program in Python, with warnings as errors."""
    command = (sys.executable, "-W", "error", "-c", program, *words)
    with _running(Worker(url, folder / "worker.log", *command)) as worker:
        yield worker


@contextlib.contextmanager
def _running(worker: Worker) -> Iterator[Worker]:
    try:
        yield worker
    except BaseException:
        print(worker.said)
        raise
    finally:
        children = psutil.Process(worker.process.pid).children(recursive=True) if worker.process.poll() is None else []
        worker.process.kill()
        worker.process.wait()
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()


def written(file: Path) -> list[int]:
    """Wait until the file has numbers; return them."""
    until(lambda: file.exists() and file.read_text().endswith("\n"))
    return [int(word) for word in file.read_text().split()]


def gone(pids: list[int]) -> bool:
    return not any(map(alive, pids))


def only_job(client: httpx.Client, source: str) -> dict[str, Any]:
    [job] = client.get(f"/jobs?source={source}").json()["jobs"]
    assert isinstance(job, dict)
    return job
