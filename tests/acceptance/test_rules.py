"""Source limits: paused sources, a limit of active jobs; and takes that are fair among sources."""

import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.helpers.databases import new_database
from tests.helpers.limits import NO_DEFAULTS, rule, until_known
from tests.helpers.requests import assert_problem, submit
from tests.helpers.servers import BossProcess, boss_running, until

pytestmark = pytest.mark.slow

numbers = itertools.count(1)


@pytest.fixture(scope="module")
def replicas(postgres: str) -> Iterator[tuple[BossProcess, BossProcess]]:
    for url in new_database(postgres):
        with boss_running("--database", url) as one, boss_running("--database", url) as other:
            yield one, other


@pytest.fixture
def clients(replicas: tuple[BossProcess, BossProcess]) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """A client of each replica; nothing is available, active or ruled, and both know it."""
    with replicas[0].client() as one, replicas[1].client() as other:
        for each in one.get("/source").json()["sources"]:
            assert one.put(f"/source/{each['source']}", json={}).status_code == 200
        until_known(one, other)
        while one.get("/job/available?limit=1000").status_code == 200:
            pass
        for job in one.get("/jobs?state=active&limit=1000").json()["jobs"]:
            one.post(f"/job/done/{job['source']}/{job['id']}")
        yield one, other


@pytest.fixture
def source() -> str:
    return f"ruled-{next(numbers)}"


def take(client: httpx.Client, path: str = "", **query: object) -> str | None:
    answer = client.get(f"/job/available{path}", params={name: str(value) for name, value in query.items()})
    return answer.json()["source"] if answer.status_code == 200 else None


class TestPause:
    def test_a_paused_source_gives_nothing_anywhere(
        self, clients: tuple[httpx.Client, httpx.Client], source: str
    ) -> None:
        one, other = clients
        id = submit(one, source)
        submit(one, f"{source}-free")
        rule(one, source, paused=True)
        until(lambda: other.head(f"/job/available/{source}").status_code == 404)
        for client in clients:
            assert_problem(client.get(f"/job/available/{source}"), 404, "is paused")
            assert_problem(client.post(f"/job/active/{source}"), 404, "is paused")
            assert_problem(client.post(f"/job/active/{source}/{id}"), 404, "is paused")
            key = {"idempotency-key": f"key-{next(numbers)}"}
            assert_problem(client.get(f"/job/available/{source}", headers=key), 404, "is paused")
        assert one.get(f"/jobs/{id}").json()["why"] == f"{source} is paused"
        # The others are as before.
        assert take(other) == f"{source}-free"
        assert take(one) is None
        # Whoever has one may end it, and it may be stopped.
        assert one.post(f"/job/done/{source}/{id}?outcome=stopped").status_code == 200

    @pytest.mark.parametrize("waits_for", ["", "/{source}"])
    def test_who_waits_gets_it_when_the_pause_ends(
        self, clients: tuple[httpx.Client, httpx.Client], source: str, waits_for: str
    ) -> None:
        one, other = clients
        rule(one, source, paused=True)
        until_known(one, other)
        submit(one, source)
        with ThreadPoolExecutor(1) as thread:
            waiting = thread.submit(take, other, waits_for.format(source=source), wait=20)
            time.sleep(1.5)
            assert not waiting.done()
            started = time.monotonic()
            rule(one, source)
            assert waiting.result() == source
            assert time.monotonic() - started < 10


class TestLimit:
    def test_no_more_are_ever_active_however_many_take(
        self, clients: tuple[httpx.Client, httpx.Client], replicas: tuple[BossProcess, BossProcess], source: str
    ) -> None:
        """Sixteen takers of every kind on two replicas; every moment between a take and its finish is counted."""
        one, other = clients
        jobs, limit = 120, 3
        rule(one, source, limit=limit)
        until_known(one, other)
        for number in range(jobs):
            submit(one, f"{source}/{source}.{number}")
        lock, active, most, done = threading.Lock(), 0, 0, Counter[str]()

        def work(number: int) -> None:
            nonlocal active, most
            with replicas[number % 2].client() as client:
                while sum(done.values()) < jobs:
                    headers = {"idempotency-key": f"{source} {next(numbers)}"} if number % 4 == 1 else {}
                    path = "" if number % 4 == 2 else f"/{source}"
                    fair = "&fair=1" if path == "" and number % 8 == 2 else ""
                    taken = client.get(f"/job/available{path}?wait=1{fair}", headers=headers)
                    if taken.status_code != 200:
                        continue
                    with lock:
                        active += 1
                        most = max(most, active)
                    time.sleep(0.005)
                    id = taken.json()["id"]
                    with lock:
                        active -= 1
                        done[id] += 1
                    assert client.post(f"/job/done/{source}/{id}").status_code == 200

        with ThreadPoolExecutor(16) as threads:
            list(threads.map(work, range(16)))
        assert most <= limit
        assert done == Counter({f"{source}.{number}": 1 for number in range(jobs)})

    def test_a_take_of_many_gets_what_there_is_room_for(
        self, clients: tuple[httpx.Client, httpx.Client], source: str
    ) -> None:
        one, other = clients
        for _ in range(10):
            submit(one, source)
        rule(one, source, limit=4)
        assert len(one.get(f"/job/available/{source}?limit=10").json()) == 4
        until(lambda: other.head(f"/job/available/{source}").status_code == 404)
        assert_problem(
            other.get(f"/job/available/{source}"), 404, "is ready, or 4 of them are active, which is the limit$"
        )
        waiting = one.get(f"/jobs?source={source}&state=available&limit=1").json()["jobs"][0]["id"]
        assert "may have 4" in one.get(f"/jobs/{waiting}").json()["why"]
        assert_problem(
            one.post(f"/job/active/{source}/{waiting}"),
            404,
            f"^The job {waiting} cannot be taken now: no more than 4 jobs",
        )
        [held] = one.get(f"/jobs?source={source}&state=active&limit=1").json()["jobs"]
        one.post(f"/job/done/{source}/{held['id']}")
        assert one.post(f"/job/active/{source}/{waiting}").status_code == 200

    def test_what_was_active_before_counts(self, clients: tuple[httpx.Client, httpx.Client], source: str) -> None:
        one, _ = clients
        for _ in range(3):
            submit(one, source)
        assert take(one, f"/{source}") == take(one, f"/{source}") == source
        rule(one, source, limit=2)
        assert take(one, f"/{source}") is None


class TestFair:
    def test_a_flood_does_not_starve_the_rest(self, clients: tuple[httpx.Client, httpx.Client], source: str) -> None:
        one, other = clients
        for _ in range(50):
            submit(one, f"{source}-flood")
        for name in ("a", "b"):
            for _ in range(5):
                submit(one, f"{source}-{name}")
        got = [take(client, fair=1) for client in (one, other) * 6]
        assert Counter(got) == Counter({f"{source}-flood": 4, f"{source}-a": 4, f"{source}-b": 4})
        # Not asked to be fair, it goes by age.
        assert [take(one) for _ in range(3)] == [f"{source}-flood"] * 3

    def test_many_at_once_are_shared_out(self, clients: tuple[httpx.Client, httpx.Client], source: str) -> None:
        one, _ = clients
        for _ in range(50):
            submit(one, f"{source}-flood")
        for _ in range(50):
            submit(one, f"{source}-late")
        taken = one.get("/job/available?limit=20&fair=1").json()
        assert Counter(job["source"] for job in taken) == Counter({f"{source}-flood": 10, f"{source}-late": 10})

    def test_among_equals_priority_and_age_decide(
        self, clients: tuple[httpx.Client, httpx.Client], source: str
    ) -> None:
        one, _ = clients
        submit(one, f"{source}-a")
        submit(one, f"{source}-b", priority=5)
        assert [take(one, fair=1) for _ in range(3)] == [f"{source}-b", f"{source}-a", None]

    def test_it_is_for_takes_of_any_source(self, clients: tuple[httpx.Client, httpx.Client], source: str) -> None:
        assert_problem(clients[0].get(f"/job/available/{source}?fair=1"), 400, "air works across sources")
        assert_problem(clients[0].get("/job/available?fair=2"), 400, "fair is '2'")


class TestSources:
    def test_they_are_listed(self, clients: tuple[httpx.Client, httpx.Client], source: str) -> None:
        one, _ = clients
        submit(one, source)
        rule(one, f"{source}-new", paused=True, limit=7)
        listed = {each["source"]: each for each in one.get("/source").json()["sources"]}
        assert listed[source] == {
            "source": source,
            "paused": False,
            "limit": None,
            **NO_DEFAULTS,
            "available": 1,
            "active": 0,
            "done": 0,
        }
        assert (listed[f"{source}-new"]["paused"], listed[f"{source}-new"]["limit"]) == (True, 7)
        # A PUT replaces all earlier limits of the source.
        rule(one, f"{source}-new", limit=7)
        listed = {each["source"]: each for each in one.get("/source").json()["sources"]}
        assert listed[f"{source}-new"]["paused"] is False

    def test_the_audit_says_what_was_changed(self, clients: tuple[httpx.Client, httpx.Client], source: str) -> None:
        one, _ = clients
        limited: dict[str, object] = {"limit": 7, "delays": [0.1, 60], "rate": 0.3}
        whole = "set the rule of a source"
        for new, did in (
            (limited, whole),
            ({**limited, "paused": True}, "paused a source"),
            ({**limited, "paused": True}, whole),
            (limited, "resumed a source"),
            ({"paused": True}, whole),
            ({}, "resumed a source"),
        ):
            rule(one, source, **new)
            [event] = one.get("/audit?limit=1").json()["acts"]
            assert (event["did"], event["what"]["source"]) == (did, source)

    @pytest.mark.parametrize(
        ("body", "says"),
        [
            ("", "body does not match .*: it is empty"),
            ('{"limit": ', "body does not match .*: it ends too early"),
            ("[]", "body does not match .*: Expected an object, got a list"),
            ('{"paused": 1}', "true or false"),
            ('{"limit": "4"}', "a whole number or null, got a string"),
            ('{"rate": "4"}', '"rate": 5.*a number or null, got a string'),
            ('{"delays": 4}', "a list or null, got a whole number"),
            ('{"limit": 0}', "limit is 0; it takes"),
            ('{"limit": -1}', "limit is -1"),
            ('{"limit": 1000001}', "limit is 1000001"),
            ('{"pause": true}', "unknown field `pause`"),
        ],
    )
    def test_a_rule_that_is_none(
        self, clients: tuple[httpx.Client, httpx.Client], source: str, body: str, says: str
    ) -> None:
        assert_problem(clients[0].put(f"/source/{source}", content=body), 400, says)
        assert source not in clients[0].get("/source").text
