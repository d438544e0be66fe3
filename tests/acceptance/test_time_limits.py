"""Limits in time: of an attempt (`timeout`), and of a job that nobody takes (`expires`), with a clock that moves."""

import asyncio
import contextlib

import aiohttp
import httpx
import pytest

from tests.helpers.clock import Clock
from tests.helpers.databases import value_in
from tests.helpers.jobs import record, seconds, take
from tests.helpers.locks import transaction
from tests.helpers.requests import assert_problem, submit
from tests.helpers.servers import BossProcess, boss_running, until
from tests.helpers.takers import clients

_TOO_LONG = "the attempt took longer than its timeout of 7,200 seconds"


@pytest.fixture
def module_boss(clock: Clock) -> BossProcess:
    """The Boss that goes by the clock, for the fixture `client`."""
    return clock.boss


def is_active(client: httpx.Client, source: str, id: str) -> bool:
    return client.head(f"/job/active/{source}/{id}").status_code == 200


class TestTimeout:
    @pytest.mark.parametrize("lease", [600, 0])
    def test_heartbeats_do_not_prolong_an_attempt(
        self, client: httpx.Client, source: str, clock: Clock, lease: int
    ) -> None:
        id = submit(client, source, timeout=7200, attempts=2)
        take(client, source, lease=lease)
        for _ in range(14):
            clock.move(500)
            assert is_active(client, source, id)
        clock.move(140)
        assert is_active(client, source, id)
        clock.move(60)
        assert not is_active(client, source, id)
        [past] = record(client, id)["history"]
        assert (past["how"], past["why"]) == ("took too long", _TOO_LONG)
        assert 7200 <= seconds(past["ended"], past["taken"]) < 7260
        assert take(client, source, lease=0).headers["etag"] == '"2"'
        clock.move(7200)
        job = record(client, id)
        assert (job["state"], job["outcome"], job["result"]) == ("done", "failed", {"error": _TOO_LONG})
        assert client.get(f"/job/active/{source}/{id}").headers["boss-state"] == "done"

    def test_a_lease_that_ran_out_before_is_told_as_one(self, client: httpx.Client, source: str, clock: Clock) -> None:
        id = submit(client, source, timeout=7200, attempts=1)
        take(client, source, lease=60)
        clock.move(60)
        job = record(client, id)
        assert (job["outcome"], job["result"]) == ("abandoned", None)

    def test_the_lease_that_is_shown_ends_with_the_attempt(
        self, client: httpx.Client, source: str, clock: Clock
    ) -> None:
        id = submit(client, source, timeout=100)
        take(client, source, lease=600)
        job = record(client, id)
        assert (job["timeout"], seconds(job["until"], job["taken"])) == (100, 100)
        clock.move(50)
        client.put(f"/job/active/{source}/{id}", content='{"page": 1}').raise_for_status()
        job = record(client, id)
        assert seconds(job["until"], job["taken"]) == 100

    def test_the_taker_is_told_the_shorter_of_both(self, client: httpx.Client, source: str, clock: Clock) -> None:
        for lease, shown in ((600, "100"), (60, "60"), (0, "100")):
            id = submit(client, source, timeout=100)
            assert take(client, source, lease=lease).headers["boss-lease"] == shown
            assert client.head(f"/job/active/{source}/{id}").headers["boss-lease"] == shown

    def test_heartbeats_near_the_end_only_read(self, client: httpx.Client, source: str, clock: Clock) -> None:
        id = submit(client, source, timeout=100)
        take(client, source, lease=600)
        seen = record(client, id)["seen"]
        for _ in range(3):
            clock.move(30)
            assert is_active(client, source, id)
        assert record(client, id)["seen"] == seen

    def test_a_key_gets_nothing_of_an_attempt_that_is_over(
        self, client: httpx.Client, source: str, clock: Clock
    ) -> None:
        id = submit(client, source, timeout=100)
        key = {"idempotency-key": "same"}
        first = client.get(f"/job/available/{source}?lease=600", headers=key)
        clock.move(60)
        again = client.get(f"/job/available/{source}?lease=600", headers=key)
        assert (first.headers["etag"], again.headers["etag"]) == ('"1"', '"1"')
        assert seconds(record(client, id)["until"], record(client, id)["taken"]) == 100
        clock.move(40)
        assert client.get(f"/job/available/{source}?lease=600", headers=key).headers["etag"] == '"2"'

    def test_a_finish_in_time_wins(self, client: httpx.Client, source: str, clock: Clock) -> None:
        id = submit(client, source, timeout=100)
        take(client, source)
        clock.move(80)
        client.post(f"/job/done/{source}/{id}", content='{"pages": 3}').raise_for_status()
        clock.move(30)
        assert record(client, id)["outcome"] == "completed"

    def test_each_attempt_has_its_own(self, client: httpx.Client, source: str, clock: Clock) -> None:
        id = submit(client, source, timeout=100)
        take(client, source)
        clock.move(60)
        client.delete(f"/job/active/{source}/{id}?delay=0").raise_for_status()
        take(client, source)
        clock.move(60)
        assert is_active(client, source, id)
        clock.move(40)
        assert not is_active(client, source, id)

    def test_it_stays_when_the_job_is_redone(self, client: httpx.Client, source: str, clock: Clock) -> None:
        id = submit(client, source, timeout=100, expires=50)
        take(client, source)
        client.post(f"/job/done/{source}/{id}?outcome=failed").raise_for_status()
        client.post(f"/job/available/{source}/{id}?from=done").raise_for_status()
        job = record(client, id)
        assert (job["timeout"], job["expires"]) == (100, None)

    def test_it_may_be_changed_while_nobody_has_the_job(self, client: httpx.Client, source: str, clock: Clock) -> None:
        id = submit(client, source)
        client.put(f"/job/available/{source}/{id}?timeout=100").raise_for_status()
        take(client, source)
        clock.move(100)
        assert not is_active(client, source, id)

    def test_many_lines_have_it(self, client: httpx.Client, source: str) -> None:
        lines = {"content-type": "application/x-ndjson"}
        answer = client.post(f"/job/available/{source}?timeout=100&expires=200", content="{}\n{}\n", headers=lines)
        assert answer.status_code == 201
        jobs = client.get(f"/jobs?source={source}").json()["jobs"]
        assert [(job["timeout"], seconds(job["expires"], job["submitted"])) for job in jobs] == [(100, 200)] * 2

    def test_sql_by_hand_may_set_it(self, client: httpx.Client, source: str, clock: Clock) -> None:
        id = submit(client, source)
        clock.run(f"UPDATE job SET timeout = 100 WHERE id = '{id}'")
        take(client, source)
        clock.move(100)
        assert not is_active(client, source, id)


class TestExpires:
    def test_a_job_that_nobody_takes_is_abandoned(self, client: httpx.Client, source: str, clock: Clock) -> None:
        id = submit(client, source, expires=86_400)
        clock.move(86_399)
        assert record(client, id)["state"] == "available"
        clock.move(1)
        job = record(client, id)
        assert (job["state"], job["outcome"], job["attempt"]) == ("done", "abandoned", 0)
        assert job["result"] == {"error": "nobody took the job before it expired"}
        assert client.get(f"/job/available/{source}").status_code == 404

    def test_one_that_was_taken_does_not_expire(self, client: httpx.Client, source: str, clock: Clock) -> None:
        id = submit(client, source, expires=100)
        take(client, source)
        clock.move(50)
        client.delete(f"/job/active/{source}/{id}?delay=0").raise_for_status()
        clock.move(100)
        assert record(client, id)["state"] == "available"
        answer = client.put(f"/job/available/{source}/{id}?expires=100")
        assert_problem(answer, 400, f"{id} has been taken before, so it does not expire any more")
        assert take(client, source).headers["etag"] == '"2"'

    def test_jobs_of_a_paused_source_and_delayed_ones_expire(
        self, client: httpx.Client, source: str, clock: Clock
    ) -> None:
        client.put(f"/source/{source}", json={"paused": True}).raise_for_status()
        ids = [submit(client, source, expires=100), submit(client, source, expires=100, delay=99.5)]
        clock.move(100)
        assert [record(client, id)["outcome"] for id in ids] == ["abandoned"] * 2

    def test_a_change_counts_from_now(self, client: httpx.Client, source: str, clock: Clock) -> None:
        id, other = submit(client, source, expires=100), submit(client, source)
        clock.move(60)
        for each in (id, other):
            client.put(f"/job/available/{source}/{each}?expires=100").raise_for_status()
        clock.move(80)
        assert {record(client, each)["state"] for each in (id, other)} == {"available"}
        clock.move(20)
        assert {record(client, each)["outcome"] for each in (id, other)} == {"abandoned"}

    def test_one_that_was_deleted_and_submitted_again_has_the_new_time(
        self, client: httpx.Client, source: str, clock: Clock
    ) -> None:
        submit(client, f"{source}/{source}-1", expires=100)
        client.post(f"/job/done/{source}/{source}-1").raise_for_status()
        client.delete(f"/job/done/{source}/{source}-1").raise_for_status()
        submit(client, f"{source}/{source}-1")
        clock.move(200)
        assert record(client, f"{source}-1")["state"] == "available"


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("timeout=0", "timeout is '0'; it takes a whole number from 1 to 31622400"),
        ("timeout=1.5", "timeout is '1.5'"),
        ("expires=31622401", "expires is '31622401'"),
        ("expires=60&delay=60", "expire after 60 seconds, before it is due after 60; make expires longer than delay"),
    ],
)
def test_what_cannot_be_is_refused(client: httpx.Client, source: str, query: str, says: str) -> None:
    assert_problem(client.post(f"/job/available/{source}?{query}", content="{}"), 400, says)
    submit(client, f"{source}/{source}-1")
    assert_problem(client.put(f"/job/available/{source}/{source}-1?{query}"), 400, says)


def test_one_that_another_session_has_locked_expires_later(database: str) -> None:
    with boss_running("--database", database) as boss, boss.client() as client:
        submit(client, "freg/locked", expires=1)
        submit(client, "freg/free", expires=1)
        with transaction(database, "SELECT FROM job WHERE id = 'locked' FOR UPDATE"):
            until(lambda: record(client, "free")["outcome"] == "abandoned")
            assert record(client, "locked")["state"] == "available"
        until(lambda: record(client, "locked")["outcome"] == "abandoned")
        assert value_in(database, "SELECT count(*) FROM expiry") == 0


async def test_each_job_is_either_taken_or_abandoned(database: str) -> None:
    """1,000 jobs expire while takers of two replicas take them; what is done is counted by job and by answer."""
    jobs = 1000
    async with contextlib.AsyncExitStack() as stack:
        replicas = [stack.enter_context(boss_running("--database", database)) for _ in range(2)]
        sessions = await clients(replicas, stack)
        taken: list[str] = []
        over = asyncio.Event()

        async def take_all(session: aiohttp.ClientSession) -> None:
            while not over.is_set():
                async with session.get("/job/available/freg?limit=3") as answer:
                    if answer.status == 200:
                        taken.extend(job["id"] for job in await answer.json())
                    else:
                        await asyncio.sleep(0.01)

        for number in range(jobs):
            async with sessions[0].post(
                f"/job/available/freg/{number}", params={"expires": 1 + number % 2}, data="{}"
            ) as answer:
                assert answer.status == 201
        takers = [asyncio.create_task(take_all(session)) for session in sessions for _ in range(4)]
        async with asyncio.timeout(60):
            while True:
                async with sessions[0].get("/job") as answer:
                    tree = await answer.json()
                if not tree["available"].get("freg"):
                    break
                await asyncio.sleep(0.05)
        over.set()
        await asyncio.gather(*takers)
    abandoned = set(await asyncio.to_thread(_ids, database, "outcome = 'abandoned'"))
    assert len(taken) == len(set(taken))
    assert not abandoned & set(taken)
    assert len(abandoned) + len(taken) == jobs


def _ids(database: str, condition: str) -> list[str]:
    ids: list[str] = value_in(database, f"SELECT coalesce(array_agg(id), '{{}}') FROM job WHERE {condition}")
    return ids
