"""Several worker processes on one port: `boss serve --workers N`."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from tests.helpers.requests import submit
from tests.helpers.servers import BossProcess, alive, boss_running, cmdline, until

pytestmark = pytest.mark.slow

WORKERS = ("--workers", "2")


@pytest.fixture
def two(database: str) -> Iterator[BossProcess]:
    """A Boss of two workers."""
    with boss_running("--database", database, *WORKERS) as boss:
        yield boss


def workers(boss: BossProcess) -> list[psutil.Process]:
    """Its worker processes."""
    return [child for child in psutil.Process(boss.process.pid).children() if "boss.cli.worker" in cmdline(child)]


def metric(boss: BossProcess, name: str) -> float:
    """The sum of a metric over its labels."""
    lines = httpx.get(f"{boss.url}/metrics").text.splitlines()
    return sum(float(line.split(" ")[-1]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))


def submit_one(boss: BossProcess, number: int) -> int:
    """Submit a job over a connection of its own; return the status."""
    with boss.client() as client:
        return client.post(f"/job/available/freg/{number}", content="{}").status_code


def test_both_serve_and_each_tells_what_all_have_counted(two: BossProcess) -> None:
    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(lambda number: submit_one(two, number), range(200))) == {201}
    until(lambda: metric(two, "boss_jobs_submitted_total") == 200)
    until(lambda: {metric(two, "boss_jobs_submitted_total") for _ in range(20)} == {200.0})
    # Each connection goes to one of them, and 200 do not all go to the same.
    until(lambda: all(sum(process.cpu_times()[:2]) > 0 for process in workers(two)))
    resident = sum(process.memory_info().rss for process in workers(two))
    assert metric(two, "process_resident_memory_bytes") == pytest.approx(resident, rel=0.3)


def test_a_taker_that_waits_at_one_gets_what_comes_to_the_other(two: BossProcess) -> None:
    with ThreadPoolExecutor(8) as threads:
        waiting = [threads.submit(httpx.get, f"{two.url}/job/available/freg?wait=30", timeout=60) for _ in range(8)]
        until(lambda: metric(two, "boss_waiting_takers") == 8)
        for number in range(8):
            assert submit_one(two, number) == 201
        taken = [each.result() for each in waiting]
    assert sorted(each.json()["id"] for each in taken) == [str(number) for number in range(8)]


def test_one_that_dies_is_started_again(two: BossProcess) -> None:
    before = workers(two)
    before[0].kill()
    until(lambda: len(workers(two)) == 2 and before[0].pid not in [each.pid for each in workers(two)])
    until(lambda: "has died or is frozen; restarting it" in two.log)
    until(lambda: two.log.count("of this Boss serves as process") == 3)
    assert alive(before[1].pid)
    for number in range(20):
        assert submit_one(two, number) == 201


@pytest.mark.long
def test_one_that_is_frozen_is_replaced(two: BossProcess) -> None:
    frozen = workers(two)[0]
    frozen.suspend()
    until(lambda: frozen.pid not in [each.pid for each in workers(two)] and len(workers(two)) == 2)
    until(lambda: two.log.count("of this Boss serves as process") == 3)
    for number in range(20):
        assert submit_one(two, number) == 201


def test_ones_that_die_at_once_do_not_end_the_others(two: BossProcess) -> None:
    killed: set[int] = set()
    lasting = workers(two)[1].pid

    def kill_new() -> bool:
        for child in psutil.Process(two.process.pid).children():
            if child.pid not in killed and child.pid != lasting:
                killed.add(child.pid)
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()
        return len(killed) >= 8

    until(kill_new)
    assert two.process.poll() is None
    assert alive(lasting)
    until(lambda: len(workers(two)) == 2 and two.log.count("of this Boss serves as process") >= 3)
    for number in range(20):
        assert submit_one(two, number) == 201


@pytest.mark.long
def test_a_parent_that_was_stopped_leaves_them_alone(two: BossProcess) -> None:
    before = [each.pid for each in workers(two)]
    parent = psutil.Process(two.process.pid)
    parent.suspend()
    # Longer than a worker may say nothing.
    time.sleep(17)
    parent.resume()
    time.sleep(4)
    assert [each.pid for each in workers(two)] == before
    assert "says nothing any more" not in two.log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_they_answer_what_is_under_way(two: BossProcess, number: signal.Signals) -> None:
    processes = workers(two)
    with ThreadPoolExecutor(4) as threads:
        waiting = [threads.submit(httpx.get, f"{two.url}/job/available?wait=30", timeout=60) for _ in range(4)]
        until(lambda: metric(two, "boss_waiting_takers") == 4)
        two.process.send_signal(number)
        assert {each.result().status_code for each in waiting} == {503}
    assert two.process.wait(30) == 0
    assert not [each for each in processes if alive(each.pid)]


def test_they_end_with_their_parent(two: BossProcess) -> None:
    processes = workers(two)
    two.process.kill()
    until(lambda: not [each for each in processes if alive(each.pid)])
    assert "the parent of this worker has ended" in two.log


def test_they_share_an_embedded_database(tmp_path: Path) -> None:
    with boss_running("--data", str(tmp_path / "data"), *WORKERS) as boss:
        with boss.client() as client:
            submit(client, "freg")
            assert client.get("/job/available").status_code == 200
        assert boss.terminate() == 0
    assert not os.path.exists(tmp_path / "data" / "postmaster.pid")


def test_a_port_in_use_is_said_once(two: BossProcess, database: str) -> None:
    with pytest.raises(AssertionError) as error, boss_running("--database", database, *WORKERS, port=two.port):
        pass
    assert str(error.value).count("choose another with --host or --port") == 1


def test_without_tls_the_end_of_a_terminal_stops_them_in_order(two: BossProcess) -> None:
    processes = workers(two)
    two.process.send_signal(signal.SIGHUP)
    assert two.process.wait(30) == 0
    assert not [each for each in processes if alive(each.pid)]
    assert "has died or is frozen" not in two.log


def test_the_metrics_of_a_parent_that_was_killed_are_removed(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with boss_running("--database", database, *WORKERS) as lives:
        [of_living] = folders(tmp_path)
        killed = BossProcess("--database", database, *WORKERS)
        with contextlib.closing(killed.wait_until_ready()):
            of_killed = folders(tmp_path) - {of_living}
            children = workers(killed)
            killed.kill()
            psutil.wait_procs(children, timeout=60)
        assert folders(tmp_path) == {of_living, *of_killed}
        with boss_running("--database", database, *WORKERS) as again:
            assert of_living in folders(tmp_path)
            assert not of_killed & folders(tmp_path)
            assert len(folders(tmp_path)) == 2
            assert metric(again, "boss_database_up") == 1
        assert folders(tmp_path) == {of_living}
        assert metric(lives, "boss_database_up") == 1


def folders(within: Path) -> set[str]:
    """The folders of metrics there are."""
    return {each.name for each in within.glob("boss-metrics-*")}
