"""Defaults of a source: attempts, delays between attempts, the lease and the timeout. A request's own values win."""

import itertools
import json
import re
from collections.abc import Iterator
from datetime import datetime

import httpx
import pytest

from tests.helpers.databases import new_database
from tests.helpers.limits import NO_DEFAULTS, rule, until_known
from tests.helpers.requests import assert_problem, submit
from tests.helpers.servers import BossProcess, boss_running, until

numbers = itertools.count(1)
NOTHING = {"paused": False, "limit": None, **NO_DEFAULTS}
WHOLE = {
    "paused": False,
    "limit": 7,
    "attempts": 3,
    "delays": [10, 60.5, 0],
    "lease": 90,
    "timeout": 60,
    "rate": 2.5,
    "keep_done": 7,
}


@pytest.fixture(scope="module")
def replicas(postgres: str) -> Iterator[tuple[BossProcess, BossProcess]]:
    for url in new_database(postgres):
        with boss_running("--database", url) as one, boss_running("--database", url) as other:
            yield one, other


@pytest.fixture
def clients(replicas: tuple[BossProcess, BossProcess]) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    with replicas[0].client() as one, replicas[1].client() as other:
        yield one, other
        for each in one.get("/source").json()["sources"]:
            rule(one, each["source"])
        until_known(one, other)
        while one.get("/job/available?limit=1000").status_code == 200:
            pass
        for job in one.get("/jobs?state=active&limit=1000").json()["jobs"]:
            one.post(f"/job/done/{job['source']}/{job['id']}")


@pytest.fixture
def source() -> str:
    return f"default-{next(numbers)}"


def found(client: httpx.Client, source: str) -> dict[str, object]:
    [one] = [each for each in client.get("/source").json()["sources"] if each["source"] == source]
    return {name: one[name] for name in NOTHING}


def lease_of(answer: httpx.Response) -> int:
    assert answer.status_code == 200, answer.text
    return int(answer.headers["boss-lease"])


class TestRule:
    def test_it_is_set_as_a_whole(self, clients: tuple[httpx.Client, httpx.Client], source: str) -> None:
        one, other = clients
        submit(one, source)
        assert found(other, source) == NOTHING
        assert one.put(f"/source/{source}", json=WHOLE).json() == {"source": source, **WHOLE}
        assert found(other, source) == WHOLE
        assert one.put(f"/source/{source}", json={"lease": 5}).json() == {"source": source, **NOTHING, "lease": 5}
        assert found(other, source) == {**NOTHING, "lease": 5}
        rule(one, source)
        assert found(other, source) == NOTHING
        acts = [each["what"] for each in one.get("/audit").json()["acts"] if each["what"].get("source") == source]
        assert [{"source": source, **WHOLE}] == [each for each in acts if each["limit"] == 7]

    @pytest.mark.parametrize(
        ("wrong", "says"),
        [
            ({"attempts": 0}, "attempts is 0; it takes a whole number from 1 to 1000000"),
            ({"attempts": 2.5}, "a whole number or null, got a number"),
            ({"lease": -1}, "lease is -1; it takes a whole number from 0 to 31622400"),
            ({"timeout": 0}, "timeout is 0; it takes a whole number from 1 to 31622400"),
            ({"delays": []}, "0 delays; they take 1 to 100 numbers"),
            ({"delays": [1] * 101}, "101 delays; they take 1 to 100"),
            ({"delays": [1, -1]}, "ne of the delays is -1; each takes seconds from 0 to 31622400"),
            ({"delays": [31_622_401]}, "ne of the delays is"),
            ({"delays": 10}, "a list or null"),
            ({"retries": 3}, "unknown field `retries`"),
        ],
    )
    def test_what_is_no_rule_changes_nothing(
        self, clients: tuple[httpx.Client, httpx.Client], source: str, wrong: object, says: str
    ) -> None:
        rule(clients[0], source, attempts=9)
        assert_problem(clients[0].put(f"/source/{source}", content=json.dumps(wrong)), 400, re.escape(says))
        assert found(clients[0], source)["attempts"] == 9

    def test_defaults_alone_leave_takes_as_they_are(
        self, clients: tuple[httpx.Client, httpx.Client], source: str
    ) -> None:
        """No take of such a source is counted among those within limits."""
        one, other = clients
        rule(one, source, attempts=3, lease=90, delays=[1], timeout=600)
        until_known(one, other)
        before = [_within_limits(client) for client in clients]
        for client in clients:
            for path in ("", f"/{source}", f"/{source},another"):
                submit(one, source)
                assert lease_of(client.get(f"/job/available{path}")) == 90
        assert [_within_limits(client) for client in clients] == before


def _within_limits(client: httpx.Client) -> list[str]:
    lines = client.get("/metrics").text.splitlines()
    return [line for line in lines if "duration_seconds_count" in line and "within_limits" in line]


class TestSubmits:
    def test_attempts_and_timeout(self, clients: tuple[httpx.Client, httpx.Client], source: str) -> None:
        one, other = clients
        rule(one, source, attempts=3, timeout=60)
        until_known(one, other)
        lines = {"content-type": "application/x-ndjson"}
        for client in clients:
            own = submit(client, source, attempts=7, timeout=5)
            [many] = client.post(f"/job/available/{source}", content="{}\n", headers=lines).text.splitlines()
            for id, attempts, timeout in (
                (submit(client, source), 3, 60),
                (json.loads(many)["id"], 3, 60),
                (own, 7, 5),
                (submit(client, f"{source}-other"), 25, None),
            ):
                job = client.get(f"/jobs/{id}").json()
                assert (job["attempts"], job["timeout"]) == (attempts, timeout)

    def test_a_schedule(self, clients: tuple[httpx.Client, httpx.Client], source: str) -> None:
        one, _ = clients
        rule(one, source, attempts=2, timeout=9)
        one.put(f"/schedule/{source}", json={"source": source, "cron": "0 0 1 1 *", "job": {}}).raise_for_status()
        id = one.post(f"/schedule/{source}").json()["id"]
        job = one.get(f"/jobs/{id}").json()
        assert (job["attempts"], job["timeout"]) == (2, 9)


class TestLeases:
    @pytest.mark.parametrize("limit", [None, 5])
    @pytest.mark.parametrize("key", [False, True])
    @pytest.mark.parametrize("path", ["/{}", "", "?fair=1", "/{},{}-other", "/{}?limit=3", "?limit=40"])
    def test_of_every_take(
        self, clients: tuple[httpx.Client, httpx.Client], source: str, path: str, key: bool, limit: int | None
    ) -> None:
        one, other = clients
        rule(one, source, lease=77, limit=limit)
        until_known(one, other)
        for client in clients:
            for own in ("", "lease=1300"):
                submit(one, source)
                asked = path.format(source, source) + (("&" if "?" in path else "?") + own if own else "")
                headers = {"idempotency-key": f"key-{next(numbers)}"} if key else {}
                answer = client.get(f"/job/available{asked}", headers=headers)
                assert lease_of(answer) == (1300 if own else 77), (answer.text, own)
            submit(one, f"{source}-other")
            assert lease_of(client.get("/job/available")) == 1800

    def test_of_jobs_with_different_ones_is_said_to_be_the_shortest(
        self, clients: tuple[httpx.Client, httpx.Client], source: str
    ) -> None:
        """There is one header for all, and who sends heartbeats by it must be in time for each."""
        one, other = clients
        rule(one, f"{source}-long", lease=0)
        rule(one, f"{source}-short", lease=60)
        until_known(one, other)
        for each in ("long", "short"):
            submit(one, f"{source}-{each}")
        answer = other.get("/job/available?limit=10")
        assert (len(answer.json()), lease_of(answer)) == (2, 60)

    def test_by_address(self, clients: tuple[httpx.Client, httpx.Client], source: str) -> None:
        rule(clients[0], source, lease=77)
        until_known(*clients)
        for client in clients:
            assert lease_of(client.post(f"/job/active/{source}/{submit(client, source)}")) == 77
            assert lease_of(client.post(f"/job/active/{source}/{submit(client, source)}?lease=3")) == 3

    def test_it_ends_then(self, clients: tuple[httpx.Client, httpx.Client], source: str) -> None:
        one, other = clients
        rule(one, source, lease=1)
        until_known(one, other)
        id = submit(one, source)
        assert lease_of(other.get("/job/available")) == 1
        until(lambda: one.get(f"/jobs/{id}").json()["state"] == "available")


class TestDelays:
    def test_of_each_attempt(self, clients: tuple[httpx.Client, httpx.Client], source: str) -> None:
        one, other = clients
        rule(one, source, delays=[100, 2000.5, 30_000])
        until_known(one, other)
        id, other_id = submit(one, source), submit(one, f"{source}-other")
        assert self.given_back(other, f"{source}-other", other_id) == pytest.approx(1, abs=0.5)
        for expected in (100, 2000.5, 30_000, 30_000):
            assert self.given_back(other, source, id) == pytest.approx(expected, abs=0.01)
        assert self.given_back(other, source, id, "?delay=7") == pytest.approx(7, abs=0.01)
        assert self.given_back(other, source, id, "?uncounted=1") is None

    def test_of_none_at_all(self, clients: tuple[httpx.Client, httpx.Client], source: str) -> None:
        """As with a delay of 0: two in a row, and then at least a second."""
        one, _ = clients
        rule(one, source, delays=[0])
        id = submit(one, source)
        got = [self.given_back(one, source, id) for _ in range(4)]
        assert got[:2] == [None, None]
        assert got[2] == pytest.approx(1, abs=0.01)

    def given_back(self, client: httpx.Client, source: str, id: str, query: str = "") -> float | None:
        """The seconds until the next attempt."""
        client.post(f"/job/active/{source}/{id}").raise_for_status()
        client.delete(f"/job/active/{source}/{id}{query}").raise_for_status()
        job = client.get(f"/jobs/{id}").json()
        if job["due"] is None:
            return None
        ended = datetime.fromisoformat(job["history"][-1]["ended"])
        return (datetime.fromisoformat(job["due"]) - ended).total_seconds()
