"""Patroni promotes the standby when the leader is handed over, lost or frozen; the old leader comes back as a standby.
The backup and the archive give back a moment before the last of that.

Two replicas of Boss are under load meanwhile. One knows both servers, the other has HAProxy in front of them.
"""

import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime

import pytest

from tests.helpers.load import Load, every_job, open_jobs
from tests.helpers.patroni import Node, cluster
from tests.helpers.point_in_time import Restored, archive_all
from tests.helpers.servers import boss_running, until

pytestmark = pytest.mark.slow

TAKERS, SUBMITTERS = 4, 3
# Seconds between two jobs of a submitter. The cluster shall be busy, and the machine not.
PAUSE = 0.05
# Patroni's ttl is 20 s. A switchover takes about 2 s, and a loss 20 s; a busy machine needs longer.
MOST_AWAY = 45


@pytest.mark.long
def test_nothing_answered_is_lost_and_nothing_is_handed_out_twice() -> None:
    with (
        cluster() as patroni,
        boss_running("--database", patroni.url) as direct,
        boss_running("--database", patroni.proxied) as proxied,
        ThreadPoolExecutor(TAKERS + SUBMITTERS) as threads,
        closing(Restored(patroni.folder / "restored", patroni.nodes[0])) as restored,
    ):
        one, two = patroni.nodes
        load = Load([direct.url, proxied.url], PAUSE)
        working = [threads.submit(load.submit) for _ in range(SUBMITTERS)]
        working += [threads.submit(load.convert) for _ in range(TAKERS)]
        try:
            succeeds(two, one, load, one.switchover)
            returns(one)
            succeeds(one, two, load, two.kill)
            two.resume()
            returns(two)
            early, moment, late = moment_of(load)
            succeeds(two, one, load, lambda: one.signal(signal.SIGSTOP))
            one.signal(signal.SIGCONT)
            returns(one)
            jobs = len(load.submitted)
            until(lambda: len(load.submitted) > jobs + 50)
        finally:
            load.over.set()
        for each in working:
            each.result()
        with proxied.client() as client:
            # What was taken and not answered comes back by its lease; then all is worked off.
            until(lambda: not load.convert_one("/job/available?lease=3") and not open_jobs(client))
            stored = {job["id"]: job for job in every_job(client)}
        print(f"{len(load.submitted)} submitted, {len(load.done)} done, {dict(load.statuses)}")
        archive_all(two)
        then = restored.ids(moment)
        assert early <= then
        assert not then & (load.submitted - late)
        assert load.submitted <= stored.keys()
        assert load.done <= {id for id, job in stored.items() if job["outcome"] == "completed"}
        assert {job["state"] for job in stored.values()} == {"done"}
        assert [each for each, times in load.taken.items() if times > 1] == []
        assert load.failed == []
        for replica in (direct, proxied):
            assert replica.terminate() == 0
            assert [line for line in replica.log.splitlines() if '"level":"error"' in line] == []


def moment_of(load: Load) -> tuple[set[str], datetime, set[str]]:
    """This moment: what was submitted before it, the moment itself, and what was perhaps not submitted after it."""
    early, moment = set(load.submitted), datetime.now(UTC)
    until(lambda: len(load.submitted) > len(early) + 20)
    return early, moment, set(load.submitted)


def succeeds(new: Node, old: Node, load: Load, lose: Callable[[], None]) -> None:
    """Lose the leader; wait until the other server leads, and both replicas have answered again."""
    jobs = len(load.submitted)
    until(lambda: len(load.submitted) > jobs + 50)
    load.gaps.clear()
    lose()
    new.becomes("leader")
    led = time.monotonic()
    until(lambda: len(load.gaps) == 2 and min(load.last.values()) > led)
    back = time.monotonic() - led
    direct, proxied = (load.gaps[url] for url in load.urls)
    print(f"{old.name} to {new.name}: away for {direct:.1f} s, behind HAProxy {proxied:.1f} s")
    print(f"both back {back:.1f} s after it led")
    assert max(direct, proxied) < MOST_AWAY


def returns(old: Node) -> None:
    """Wait until the old leader is a standby without which nothing is answered."""
    started = time.monotonic()
    old.becomes("sync")
    print(f"{old.name} is in sync again after {time.monotonic() - started:.1f} s")
