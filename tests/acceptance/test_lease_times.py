"""When a lease begins and ends, whatever delays the database or Boss."""

import asyncio
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import asyncpg
import httpx
import pytest

from tests.helpers.databases import new_database, run_in
from tests.helpers.locks import transaction, waiting_for_locks
from tests.helpers.postgres import PostgresServer
from tests.helpers.requests import submit
from tests.helpers.servers import BossProcess, boss_running, until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def here(postgres: str) -> Iterator[tuple[str, BossProcess]]:
    for url in new_database(postgres):
        with boss_running("--database", url) as boss:
            yield url, boss


@pytest.fixture
def module_boss(here: tuple[str, BossProcess]) -> BossProcess:
    return here[1]


def left(url: str, id: str) -> float:
    """How many seconds of a job's lease are left."""

    async def ask() -> float:
        connection = await asyncpg.connect(url)
        try:
            statement = "SELECT extract(epoch FROM lease_until - clock_timestamp())::float8 FROM job WHERE id = $1"
            return float(await connection.fetchval(statement, id))
        finally:
            await connection.close()

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/job/available?lease=100", {}),
        ("GET", "/job/available/{source}?lease=100", {}),
        ("GET", "/job/available/{source}?lease=100", {"idempotency-key": "a"}),
        ("GET", "/job/available?lease=100&fair=1", {}),
        ("POST", "/job/active/{source}/{id}?lease=100", {}),
        ("GET", "/job/available/{source}?lease=100", {"idempotency-key": "again"}),
        ("HEAD", "/job/active/{source}/{id}", {}),
    ],
)
def test_a_lease_starts_when_it_is_granted(
    here: tuple[str, BossProcess], client: httpx.Client, source: str, method: str, path: str, headers: dict[str, str]
) -> None:
    """A statement that waited for a lock grants the whole of it: it began before."""
    url, _ = here
    id = submit(client, source)
    if method == "HEAD" or "again" in headers.values():
        client.get(f"/job/available/{source}?lease=100", headers=headers)
        run_in(url, f"UPDATE job SET lease_until = now() + interval '50 seconds' WHERE id = '{id}'")
    with transaction(url, "LOCK TABLE job IN EXCLUSIVE MODE") as run, ThreadPoolExecutor(1) as thread:
        asked = thread.submit(client.request, method, path.format(source=source, id=id), headers=headers)
        waiting_for_locks(url, 1)
        run("SELECT pg_sleep(3)")
        run("COMMIT")
        assert asked.result().status_code == 200
    assert 98 < left(url, id) <= 100 * 4 / 3


def test_a_check_is_not_told_of_a_lease_that_is_just_being_ended(
    here: tuple[str, BossProcess], client: httpx.Client, source: str
) -> None:
    url, _ = here
    id = submit(client, source)
    client.get(f"/job/available/{source}?lease=60")
    run_in(url, f"UPDATE job SET lease_until = now() + interval '10 seconds' WHERE id = '{id}'")
    ended = f"UPDATE job SET status = 'AVAILABLE', lease_until = NULL WHERE id = '{id}'"
    with transaction(url, ended) as run, ThreadPoolExecutor(1) as thread:
        asked = thread.submit(client.head, f"/job/active/{source}/{id}")
        waiting_for_locks(url, 1)
        run("COMMIT")
        answer = asked.result()
    assert (answer.status_code, answer.headers["boss-state"]) == (404, "available")


_AN_HOUR_PASSES = """
UPDATE heartbeat SET at = at - interval '1 hour';
UPDATE job SET taken_at = taken_at - interval '1 hour', seen_at = seen_at - interval '1 hour',
               lease_until = lease_until - interval '1 hour'
"""


def test_no_lease_runs_while_no_replica_is_there(database: str) -> None:
    """An hour without any Boss costs a converter that lives nothing, and one that died comes back by its own lease."""
    with boss_running("--database", database) as boss, boss.client() as client:
        for source, lease in (("living", 90), ("dead", 3), ("short", 9)):
            client.post(f"/job/available/{source}/{source}", json={})
            assert client.get(f"/job/available/{source}?lease={lease}").status_code == 200
        boss.kill()
    run_in(database, _AN_HOUR_PASSES)
    with boss_running("--database", database) as boss, boss.client() as client:
        # As much is left of it as when Boss died.
        until(lambda: left(database, "living") > 80)
        assert left(database, "living") <= 91
        assert client.head("/job/active/short/short", headers={"if-match": '"1"'}).status_code == 200
        until(lambda: client.head("/job/available/dead/dead").status_code == 200)
        for source in ("living", "short"):
            assert client.head(f"/job/active/{source}/{source}", headers={"if-match": '"1"'}).status_code == 200


def test_holders_have_a_third_of_their_lease_to_be_heard_after_a_start(database: str) -> None:
    """However short the absence was: their leases ran out right before it was over."""
    with boss_running("--database", database) as boss, boss.client() as client:
        client.post("/job/available/freg/long", json={})
        assert client.get("/job/available/freg?lease=600").status_code == 200
        boss.kill()
    run_in(database, "UPDATE heartbeat SET at = now(); UPDATE job SET lease_until = now() - interval '1 second'")
    with boss_running("--database", database) as boss, boss.client() as client:
        # Longer than any sweep takes to come by.
        for _ in range(10):
            client.post("/job/available/other", json={})
            assert client.get("/job/available/other?lease=1").status_code == 200
        until(lambda: len(client.get("/jobs?source=other&state=available").json()["jobs"]) == 10)
        assert client.head("/job/active/freg/long", headers={"if-match": '"1"'}).status_code == 200
        assert left(database, "long") > 590


@pytest.mark.long
@pytest.mark.parametrize("how", ["killed", "frozen"])
def test_an_outage_of_the_database_costs_living_converters_nothing(server: PostgresServer, how: str) -> None:
    """They check as soon as somebody hears them, as converters do."""
    with (
        boss_running("--database", server.url) as one,
        boss_running("--database", server.url) as other,
        one.client(60) as client,
    ):
        for number in range(3):
            client.post(f"/job/available/freg/{number}", json={})
            assert client.get("/job/available/freg?lease=6").status_code == 200
        stop, lost = threading.Event(), []

        def hold(number: int) -> None:
            with (one if number % 2 else other).client(60) as holding:
                while not stop.wait(2):
                    answer = holding.head(f"/job/active/freg/{number}", headers={"if-match": '"1"'})
                    if answer.status_code not in (200, 503):
                        lost.append((number, answer.status_code))

        with ThreadPoolExecutor(3) as threads:
            holding = [threads.submit(hold, number) for number in range(3)]
            try:
                _away_for_10_seconds(server, how)
                until(lambda: client.get("/health/ready").status_code == 200)
                # Two whole leases later they would have been lost.
                assert not stop.wait(13)
            finally:
                stop.set()
            for each in holding:
                each.result()
        assert lost == []
        assert [job["attempt"] for job in client.get("/jobs?state=active").json()["jobs"]] == [1, 1, 1]


def _away_for_10_seconds(server: PostgresServer, how: str) -> None:
    if how == "killed":
        server.kill()
        time.sleep(10)
        server.start()
    else:
        server.signal(signal.SIGSTOP)
        time.sleep(10)
        server.signal(signal.SIGCONT)
