"""One of the database's hosts is frozen, not dead: it accepts connections, and never says a word."""

import signal
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.helpers.failover import SUBMITTERS, TAKERS, servers
from tests.helpers.load import Load, every_job, open_jobs
from tests.helpers.postgres import PostgresServer
from tests.helpers.servers import boss_running, until

pytestmark = pytest.mark.slow

__all__ = ["servers"]

# What is under way when its host freezes is given up after ten seconds; what was begun just then, ten seconds later.
FAILOVER = 25


@pytest.fixture
def promoted(servers: tuple[PostgresServer, PostgresServer]) -> tuple[PostgresServer, PostgresServer]:
    """A primary that is frozen, and the one that has taken over."""
    old, new = servers
    old.signal(signal.SIGSTOP)
    new.promote()
    return old, new


def url_of(*hosts: PostgresServer, more: str = "target_session_attrs=read-write") -> str:
    where = ",".join(f"127.0.0.1:{host.port}" for host in hosts)
    return f"postgresql://boss@{where}/boss?{more}"


class TestStart:
    @pytest.mark.parametrize("more", ["target_session_attrs=read-write", "", "target_session_attrs=primary"])
    def test_the_first_one_is_mute(self, promoted: tuple[PostgresServer, PostgresServer], more: str) -> None:
        self.starts_and_serves(url_of(*promoted, more=more))

    def test_the_last_one_is_mute(self, promoted: tuple[PostgresServer, PostgresServer]) -> None:
        self.starts_and_serves(url_of(*reversed(promoted)))

    def test_several_are_mute(self, promoted: tuple[PostgresServer, PostgresServer]) -> None:
        old, new = promoted
        self.starts_and_serves(url_of(old, old, old, old, old, old, new))

    def test_hosts_and_ports_in_the_query(self, promoted: tuple[PostgresServer, PostgresServer]) -> None:
        ports = ",".join(str(host.port) for host in promoted)
        self.starts_and_serves(f"postgresql://boss@/boss?host=127.0.0.1,localhost&port={ports}")

    def starts_and_serves(self, url: str) -> None:
        started = time.monotonic()
        with boss_running("--database", url) as boss, boss.client() as client:
            assert time.monotonic() - started < 15
            # More connections than one, each past the mute host, and none waits for it for long.
            with ThreadPoolExecutor(8) as threads:
                answers = list(
                    threads.map(lambda number: client.post(f"/job/available/freg/{number}", content="{}"), range(40))
                )
            assert {answer.status_code for answer in answers} == {201}
            assert client.get("/job/available?wait=5").status_code == 200
            assert client.get("/health/ready").status_code == 200


@pytest.mark.long
def test_a_primary_that_freezes_under_load_is_left(servers: tuple[PostgresServer, PostgresServer]) -> None:
    primary, standby = servers
    with (
        boss_running("--database", url_of(primary, standby)) as one,
        boss_running("--database", url_of(primary, standby)) as other,
        ThreadPoolExecutor(TAKERS + SUBMITTERS) as threads,
    ):
        load = Load([one.url, other.url])
        working = [threads.submit(load.submit) for _ in range(SUBMITTERS)]
        working += [threads.submit(load.convert) for _ in range(TAKERS)]
        try:
            until(lambda: len(load.submitted) > 50)
            primary.signal(signal.SIGSTOP)
            frozen = time.monotonic()
            standby.promote()
            promoted = len(load.submitted)
            until(lambda: len(load.submitted) > promoted + 50)
            away = time.monotonic() - frozen
            # It comes back, and still takes itself for the primary.
            primary.signal(signal.SIGCONT)
            before = len(load.submitted)
            until(lambda: len(load.submitted) > before + 50)
        finally:
            load.over.set()
        for each in working:
            each.result()
        assert away < FAILOVER, f"it took {away:.1f} s"
        with one.client() as client:
            until(lambda: not load.convert_one("/job/available?lease=3") and not open_jobs(client))
            jobs = {job["id"]: job for job in every_job(client)}
        assert load.submitted <= jobs.keys()
        assert load.done <= {id for id, job in jobs.items() if job["outcome"] == "completed"}
        assert [each for each, times in load.taken.items() if times > 1] == []
        for replica in (one, other):
            assert httpx.get(f"{replica.url}/health/ready").status_code == 200
            assert replica.terminate() == 0
            assert '"level":"error"' not in replica.log
        print(f"answers again {away:.1f} s after it froze")
