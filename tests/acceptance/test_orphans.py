"""A killed worker or command leaves no running process behind, and no zombie."""

import os
import signal
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from tests.helpers.requests import submit
from tests.helpers.servers import BossProcess, alive, until
from tests.helpers.workers import BOSS, Worker, gone, only_job, working, written

pytestmark = pytest.mark.slow


@pytest.fixture
def url(module_boss: BossProcess, client: httpx.Client) -> str:
    return module_boss.url


@pytest.mark.parametrize("guard", ["runs", "was killed before"])
def test_a_killed_worker_takes_its_commands_with_it(
    url: str, client: httpx.Client, source: str, tmp_path: Path, guard: str
) -> None:
    """With all that they started."""
    pids = tmp_path / "pids"
    script = f"trap '' TERM HUP; (trap '' TERM; sleep 600) & sleep 600 & echo $! $$ >> {pids}; wait"
    with working(url, tmp_path, source, "-j", "2", "--", "sh", "-c", script) as worker:
        submit(client, source)
        running = written(pids)
        if guard == "was killed before":
            until(lambda: len(guards(worker, running)) == 1)
            [killed] = guards(worker, running)
            os.kill(killed, signal.SIGKILL)
            until(lambda: guards(worker, running) not in ([], [killed]))
        submit(client, source)
        until(lambda: len(written(pids)) == 4)
        running = written(pids)
        # A command may run a moment before the worker, which has a busy processor, has noted it for the guard.
        until(lambda: noted(worker) == {os.getsid(each) for each in running})
        worker.signal(signal.SIGKILL)
        until(lambda: gone(running))


def noted(worker: Worker) -> set[int]:
    """The process groups that a guard would end now."""
    files = Path(f"/proc/{worker.process.pid}/fd").iterdir()
    [table] = [each for each in files if "memfd:commands" in os.readlink(each)]
    return {int(line) for line in table.read_text().split()} - {0}


def guards(worker: Worker, commands: list[int]) -> list[int]:
    children = psutil.Process(worker.process.pid).children()
    return [each.pid for each in children if each.pid not in commands]


def test_a_command_that_ended_is_not_killed_with_the_worker(
    url: str, client: httpx.Client, source: str, tmp_path: Path
) -> None:
    """What it put into a session of its own before is not the worker's any more."""
    pid = tmp_path / "pid"
    script = f"setsid sh -c 'echo $$ > {pid}; exec sleep 600' & until test -s {pid}; do sleep 0.01; done"
    with working(url, tmp_path, source, "--", "sh", "-c", script) as worker:
        id = submit(client, source)
        [free] = written(pid)
        until(lambda: only_job(client, source)["state"] == "done")
        worker.signal(signal.SIGKILL)
        assert worker.ended() == -signal.SIGKILL
        assert only_job(client, source)["id"] == id
        process = psutil.Process(free)
        assert alive(process.pid)
        process.kill()


# What a process with number 1 is to its descendants, a subreaper is to its own: prctl(PR_SET_CHILD_SUBREAPER).
AS_PROCESS_1 = "import ctypes, os, sys; ctypes.CDLL(None).prctl(36, 1); os.execv(sys.argv[1], sys.argv[1:])"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has subreapers")
def test_the_first_process_of_a_container_waits_for_what_commands_left_behind(
    url: str, client: httpx.Client, source: str, tmp_path: Path
) -> None:
    log, pids = tmp_path / "log", tmp_path / "pids"
    script = f"setsid sh -c 'echo $$ >> {pids}; sleep 1' & until grep -qx $! {pids}; do sleep 0.01; done"
    words = "work", source, "-j", "4", "--", "sh", "-c", script
    worker = Worker(url, log, sys.executable, "-c", AS_PROCESS_1, BOSS, *words)
    try:
        for _ in range(20):
            submit(client, source)
        until(lambda: client.get("/job").json()["done"].get(source) == 20)
        until(lambda: len(written(pids)) == 20)
        # Neither running nor waiting for somebody to ask how they ended.
        until(lambda: not any(map(alive, written(pids))))
        outcomes = {job["outcome"] for job in client.get(f"/jobs?source={source}").json()["jobs"]}
        assert outcomes == {"completed"}
        worker.signal(signal.SIGTERM)
        assert worker.ended() == 0
    finally:
        worker.process.kill()
        worker.process.wait()
