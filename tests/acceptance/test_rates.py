"""Rates of sources: how many jobs may be taken in a second, over all replicas."""

import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import httpx
import pytest

from tests.helpers.databases import new_database, run_in, value_in
from tests.helpers.limits import rule, until_known
from tests.helpers.locks import transaction
from tests.helpers.requests import assert_problem, submit
from tests.helpers.servers import BossProcess, boss_running, until

pytestmark = pytest.mark.slow
numbers = itertools.count(1)


@pytest.fixture(scope="module")
def database_of_replicas(postgres: str) -> Iterator[str]:
    yield from new_database(postgres)


@pytest.fixture(scope="module")
def replicas(database_of_replicas: str) -> Iterator[tuple[BossProcess, BossProcess]]:
    with (
        boss_running("--database", database_of_replicas) as one,
        boss_running("--database", database_of_replicas) as other,
    ):
        yield one, other


@pytest.fixture
def clients(replicas: tuple[BossProcess, BossProcess]) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """A client of each replica; nothing is available or ruled, and both know it."""
    with replicas[0].client(timeout=60) as one, replicas[1].client(timeout=60) as other:
        for each in one.get("/source").json()["sources"]:
            rule(one, each["source"])
        until_known(one, other)
        while one.get("/job/available?limit=1000").status_code == 200:
            pass
        yield one, other


@pytest.fixture
def source() -> str:
    return f"rated-{next(numbers)}"


def waiting(clients: tuple[httpx.Client, httpx.Client], source: str, jobs: int, **wanted: float) -> list[str]:
    """Submit jobs of a source that has this rule, once both replicas know it; return their ids."""
    rule(clients[0], source, **wanted)
    until_known(*clients)
    return [submit(clients[0], source) for _ in range(jobs)]


def takes(client: httpx.Client, source: str) -> list[float]:
    """When each job of a source was taken, in seconds, in order."""
    jobs = client.get("/jobs", params={"source": source, "limit": 1000}).json()["jobs"]
    return sorted(datetime.fromisoformat(job["taken"]).timestamp() for job in jobs if job["taken"])


def assert_within(rate: float, taken: list[float]) -> None:
    """No span of time has more takes than the rate allows, and a tenth of a second's worth."""
    burst = max(1.0, rate / 10)
    for count in range(len(taken)):
        for first, last in zip(taken, taken[count:], strict=False):
            # The moments are rounded to microseconds.
            assert count + 1 <= burst + rate * (last - first + 2e-6) + 1e-6, (count + 1, last - first)


@pytest.mark.parametrize(
    ("path", "rate", "jobs", "limit"),
    [
        ("/{}", 10, 15, 1),
        ("/{}", 400, 300, 1),
        ("/{}", 100, 150, 7),
        ("", 10, 15, 1),
        ("", 100, 150, 7),
        ("/{},another", 100, 100, 2),
        ("?fair=1", 100, 100, 2),
    ],
)
def test_all_are_taken_and_never_faster_than_the_rate(
    replicas: tuple[BossProcess, BossProcess],
    clients: tuple[httpx.Client, httpx.Client],
    source: str,
    path: str,
    rate: float,
    jobs: int,
    limit: int,
) -> None:
    rule(clients[0], source, rate=rate)
    until_known(*clients)
    asked = path.format(source)
    query = f"{'&' if '?' in asked else '?'}wait=1&limit={limit}"

    def work(number: int) -> list[str]:
        got: list[str] = []
        with replicas[number % 2].client(timeout=60) as client:
            while len(takes(client, source)) < jobs:
                answer = client.get(f"/job/available{asked}{query}")
                if answer.status_code == 200:
                    got += [job["id"] for job in answer.json()]
        return got

    with ThreadPoolExecutor(12) as threads:
        working = [threads.submit(work, number) for number in range(12)]
        lines = "\n".join(json.dumps({"document": {}}) for _ in range(jobs))
        answer = clients[1].post(
            f"/job/available/{source}", content=lines, headers={"content-type": "application/x-ndjson"}
        )
        assert answer.status_code == 201, answer.text
        handed_out = Counter(id for each in working for id in each.result())
    taken = takes(clients[0], source)
    assert (len(taken), len(handed_out), handed_out.total()) == (jobs, jobs, jobs)
    assert_within(rate, taken)


def test_who_waits_is_woken_by_the_rate_alone(clients: tuple[httpx.Client, httpx.Client], source: str) -> None:
    """Nothing is submitted, finished or changed meanwhile, and no other taker asks."""
    one, other = clients
    waiting(clients, source, 3, rate=0.5)
    assert one.get(f"/job/available/{source}").status_code == 200
    assert_problem(other.get(f"/job/available/{source}"), 404, "its rate of 0.5 a second is used up")
    assert other.get(f"/job/available/{source}?wait=50").status_code == 200
    assert one.get("/job/available?wait=50").status_code == 200
    assert_within(0.5, takes(one, source))


@pytest.mark.parametrize("key", [False, True])
@pytest.mark.parametrize("path", ["/{}?limit=50", "?limit=50", "/{},another?limit=50", "?fair=1&limit=50"])
def test_one_take_gets_no_more_than_the_rate(
    clients: tuple[httpx.Client, httpx.Client], source: str, path: str, key: bool
) -> None:
    one, other = clients
    rule(one, source, rate=0.001)
    rule(one, f"{source}-fast", rate=50)
    until_known(one, other)
    for _ in range(9):
        submit(one, source)
        submit(one, f"{source}-fast")
        submit(one, "another")
    headers = {"idempotency-key": f"key-{next(numbers)}"} if key else {}
    got = Counter(job["source"] for job in one.get(f"/job/available{path.format(source)}", headers=headers).json())
    assert got[source] == 1
    if path.startswith("?"):
        # A tenth of a second's worth, and the rest later.
        assert got == {source: 1, f"{source}-fast": 5, "another": 9}
    assert other.get(f"/job/available/{source}").status_code == 404
    # A lost answer is sent again, whatever the rate.
    if key:
        again = other.get(f"/job/available{path.format(source)}", headers=headers)
        assert Counter(job["source"] for job in again.json()) == got


def test_others_are_not_held_back(clients: tuple[httpx.Client, httpx.Client], source: str) -> None:
    one, other = clients
    waiting(clients, source, 3, rate=0.001)
    submit(one, "another")
    for client, expected in zip((one, other, one), (source, "another", None), strict=True):
        answer = client.get("/job/available")
        assert (answer.json()["source"] if answer.status_code == 200 else None) == expected


def test_a_take_by_address_counts(clients: tuple[httpx.Client, httpx.Client], source: str) -> None:
    one, other = clients
    first, second = waiting(clients, source, 2, rate=0.001, limit=3)
    assert one.post(f"/job/active/{source}/{first}").status_code == 200
    says = f"no more than 3 jobs of {source} may be active, and no more than 0.001 jobs of {source} a second"
    assert_problem(other.post(f"/job/active/{source}/{second}"), 404, says)
    assert one.get(f"/jobs/{second}").json()["why"] == f"no more than 0.001 jobs of {source} a second may be taken"
    assert other.head(f"/job/available/{source}").status_code == 404
    assert_problem(other.get(f"/job/available/{source}"), 404, "is ready, or 3 of them are active.*, or its rate of")
    # Without the rate the limit is left.
    rule(one, source, limit=3)
    until_known(one, other)
    assert other.post(f"/job/active/{source}/{second}").status_code == 200


def test_the_limit_holds_beside_it(clients: tuple[httpx.Client, httpx.Client], source: str) -> None:
    one, other = clients
    ids = waiting(clients, source, 5, rate=1000, limit=2)
    assert len(one.get(f"/job/available/{source}?limit=5").json()) == 2
    assert other.get(f"/job/available/{source}").status_code == 404
    active = [job["id"] for job in one.get(f"/jobs?state=active&source={source}").json()["jobs"]]
    one.post(f"/job/done/{source}/{active[0]}").raise_for_status()
    assert other.get(f"/job/available/{source}?wait=50").json()["id"] in ids


def test_a_clock_that_was_set_back_keeps_no_source_waiting(
    clients: tuple[httpx.Client, httpx.Client], source: str, database_of_replicas: str
) -> None:
    waiting(clients, source, 3, rate=0.5)
    run_in(database_of_replicas, f"INSERT INTO rate_used VALUES ('{source}', '2100-01-01')")
    for client in clients:
        assert client.get(f"/job/available/{source}?wait=50").status_code == 200
    assert_within(0.5, takes(clients[0], source))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"rate": 0}, "he rate is 0; it takes jobs a second from 0.001 to 1000000"),
        ({"rate": -1}, "he rate is -1;"),
        ({"rate": 1_000_001}, "he rate is 1000001;"),
        ({"rate": "5/s"}, "a number or null, got a string"),
        ({"keep_done": -1}, "he keep_done is -1; it takes days from 0 to 36500"),
        ({"keep_done": 36_501}, "he keep_done is 36501;"),
    ],
)
def test_what_is_no_rate(
    clients: tuple[httpx.Client, httpx.Client], source: str, wrong: dict[str, object], says: str
) -> None:
    assert_problem(clients[0].put(f"/source/{source}", json=wrong), 400, re.escape(says))


def test_a_rate_that_is_raised_applies_at_once(clients: tuple[httpx.Client, httpx.Client], source: str) -> None:
    one, other = clients
    waiting(clients, source, 3, rate=0.001)
    assert one.get(f"/job/available/{source}").status_code == 200
    rule(one, source, rate=100)
    until_known(one, other)
    for client in clients:
        assert client.get(f"/job/available/{source}?wait=50").status_code == 200
    until(lambda: len(takes(one, source)) == 3)


def statements(client: httpx.Client, name: str) -> int:
    """How often a replica has run a statement."""
    found = re.search(rf'duration_seconds_count\{{statement="{name}"\}} ([0-9.]+)', client.get("/metrics").text)
    return int(float(found[1])) if found else 0


def test_who_waits_when_a_rate_is_raised_goes_on_by_the_new_rate(
    clients: tuple[httpx.Client, httpx.Client], source: str
) -> None:
    """The wakeup by the old rate, a quarter of an hour later, does not stand in the way of earlier ones."""
    one, other = clients
    waiting(clients, source, 20, rate=0.001)
    assert one.get(f"/job/available/{source}").status_code == 200
    asked = statements(other, "rate_waits")
    with ThreadPoolExecutor(1) as threads:
        waits = threads.submit(other.get, f"/job/available/{source}?wait=50")
        until(lambda: statements(one, "rate_waits") + statements(other, "rate_waits") > asked, pause=0.2)
        rule(one, source, rate=1)
        until_known(*clients)
        assert waits.result().status_code == 200
    asked = statements(other, "rate_waits")
    for _ in range(5):
        assert other.get(f"/job/available/{source}?wait=50").status_code == 200
    assert statements(other, "rate_waits") > asked


def test_a_job_that_is_locked_does_not_keep_the_database_busy(
    clients: tuple[httpx.Client, httpx.Client], source: str, database_of_replicas: str
) -> None:
    one, _ = clients
    [id] = waiting(clients, source, 1, rate=50)
    # The bucket has a row from the first take on.
    submit(one, source)
    assert one.get(f"/job/available/{source}").status_code == 200
    [id] = [job["id"] for job in one.get(f"/jobs?state=available&source={source}").json()["jobs"]]
    with transaction(database_of_replicas, f"SELECT FROM job WHERE id = '{id}' FOR UPDATE"):
        before = statements(one, "take_within_limits")
        assert one.get(f"/job/available/{source}?wait=3").status_code == 404
        asked = statements(one, "take_within_limits") - before
    # Two when it begins, and a few in each second.
    assert asked < 30
    assert one.get(f"/job/available/{source}?wait=50").json()["id"] == id


def test_a_deleted_source_leaves_no_bucket(
    clients: tuple[httpx.Client, httpx.Client], source: str, database_of_replicas: str
) -> None:
    one, _ = clients
    [id] = waiting(clients, source, 1, rate=50)
    assert one.get(f"/job/available/{source}").status_code == 200
    used = f"SELECT count(*) FROM rate_used WHERE source = '{source}'"
    assert value_in(database_of_replicas, used) == 1
    one.post(f"/job/done/{source}/{id}").raise_for_status()
    one.delete(f"/job/done/{source}/{id}").raise_for_status()
    one.delete(f"/source/{source}").raise_for_status()
    assert value_in(database_of_replicas, used) == 0
