"""The primary dies under load, its standby is promoted, and two replicas of Boss go on by themselves."""

import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import psutil
import pytest

from tests.helpers.failover import SUBMITTERS, TAKERS, servers
from tests.helpers.load import Load, every_job, open_jobs
from tests.helpers.postgres import PostgresServer
from tests.helpers.requests import wait_for_job
from tests.helpers.servers import boss_running, until

pytestmark = pytest.mark.slow

__all__ = ["servers"]  # a fixture

# How long there is load before the primary is killed, and after its standby has taken over, in seconds.
LOAD = 4


@pytest.mark.long
def test_nothing_answered_is_lost_and_nothing_is_handed_out_twice(
    servers: tuple[PostgresServer, PostgresServer],
) -> None:
    primary, standby = servers
    url = f"postgresql://boss@127.0.0.1:{primary.port},127.0.0.1:{standby.port}/boss?target_session_attrs=read-write"
    with (
        boss_running("--database", url) as one,
        boss_running("--database", url) as other,
        ThreadPoolExecutor(TAKERS + SUBMITTERS + 1) as threads,
    ):
        load = Load([one.url, other.url])
        memory = [psutil.Process(replica.process.pid).memory_info().rss for replica in (one, other)]
        waits = threads.submit(wait_for_job, f"{one.url}/job/available/waited?wait=50&lease=600")
        until(lambda: "boss_waiting_takers 1.0" in httpx.get(f"{one.url}/metrics").text)
        working = [threads.submit(load.submit) for _ in range(SUBMITTERS)]
        working += [threads.submit(load.convert) for _ in range(TAKERS)]
        try:
            time.sleep(LOAD)
            until(lambda: len(load.submitted) > 50)
            primary.kill()
            time.sleep(2)
            assert load.statuses[503] > 0
            assert httpx.get(f"{one.url}/health/ready").status_code == 503
            standby.promote()
            promoted = time.monotonic()
            until(lambda: load.last_answer > promoted)
            away = time.monotonic() - promoted
            time.sleep(LOAD)
        finally:
            load.over.set()
        for each in working:
            each.result()
        assert away < 10, f"it took {away:.1f} s after the promotion"
        assert not waits.done(), waits.result().text
        with one.client() as client:
            client.post("/job/available/waited/at-last", content="{}")
            assert waits.result().json()["id"] == "at-last"
            client.post("/job/done/waited/at-last")
            # What was taken and not answered comes back by its lease; then all is worked off.
            until(lambda: not load.convert_one("/job/available?lease=3") and not open_jobs(client))
            jobs = {job["id"]: job for job in every_job(client)}
        assert load.submitted <= jobs.keys()
        assert load.done <= {id for id, job in jobs.items() if job["outcome"] == "completed"}
        assert {job["state"] for job in jobs.values()} == {"done"}
        assert [each for each, times in load.taken.items() if times > 1] == []
        for replica, before in zip((one, other), memory, strict=True):
            assert psutil.Process(replica.process.pid).memory_info().rss < before + 60 * 1024 * 1024
            assert replica.terminate() == 0
            assert '"level":"error"' not in replica.log
        print(f"{len(jobs)} jobs; answers again {away:.1f} s after the promotion; {dict(load.statuses)}")
