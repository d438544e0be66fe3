"""Takes that name several sources, `/job/available/{a},{b}`: over two replicas, with keys, limits, tokens and waits."""

import itertools
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.helpers.databases import new_database
from tests.helpers.limits import rule, until_known
from tests.helpers.requests import assert_problem, submit
from tests.helpers.servers import BossProcess, boss_running, until
from tests.helpers.tokens import create, waiting_takers

numbers = itertools.count(1)
Replicas = tuple[BossProcess, BossProcess]


@pytest.fixture(scope="module")
def replicas(postgres: str) -> Iterator[Replicas]:
    for url in new_database(postgres):
        with boss_running("--database", url) as one, boss_running("--database", url) as other:
            yield one, other


@pytest.fixture
def client(replicas: Replicas) -> Iterator[httpx.Client]:
    with replicas[0].client() as client:
        yield client


@pytest.fixture
def names() -> list[str]:
    return [f"several-{next(numbers)}" for _ in range(3)]


def test_the_oldest_of_those_named_comes_first(client: httpx.Client, names: list[str]) -> None:
    one, two, other = names
    submit(client, f"{other}/not-{other}")
    ids = [submit(client, source) for source in (two, one, two, one)]
    urgent = client.post(f"/job/available/{two}?priority=1", json={}).json()["id"]
    assert client.head(f"/job/available/{one},{two}").status_code == 200
    got = client.get(f"/job/available/{one},{two}?limit=3")
    assert [each["id"] for each in got.json()] == [urgent, *ids[:2]]
    taken = client.post(f"/job/active/{two}%2C{one}")
    assert (taken.json()["id"], taken.headers["location"]) == (ids[2], f"/job/active/{two}/{ids[2]}")
    assert client.get(f"/job/available/{one},{one},{two}").json()["id"] == ids[3]
    assert client.head(f"/job/available/{one},{two}").status_code == 404
    assert_problem(client.get(f"/job/available/{one},{two}"), 404, f"No job of {one}, {two} is ready")
    assert client.get(f"/job/available/{other}").json()["id"] == f"not-{other}"


def test_a_taker_that_waits_hears_of_each(replicas: Replicas, client: httpx.Client, names: list[str]) -> None:
    address = f"/job/available/{','.join(names)}?wait=50"
    for number, source in enumerate(names):
        with replicas[number % 2].client() as taker, ThreadPoolExecutor(1) as thread:
            waiting = thread.submit(taker.get, address, timeout=60)
            until(lambda taker=taker: waiting_takers(taker) == 1)  # type: ignore[misc]
            id = submit(client, source)
            assert waiting.result().json()["id"] == id


def test_a_key_counts_for_these_sources_in_any_order(
    replicas: Replicas, client: httpx.Client, names: list[str]
) -> None:
    one, two, _ = names
    submit(client, one)
    submit(client, two)
    key = {"idempotency-key": f"key of {one}"}
    first = client.get(f"/job/available/{one},{two}", headers=key)
    with replicas[1].client() as other:
        again = other.get(f"/job/available/{two},{one}", headers=key)
    assert (again.json(), again.headers["etag"]) == (first.json(), first.headers["etag"])
    assert client.get(f"/job/available/{one}", headers=key).status_code == 404
    assert client.get(f"/job/available/{two}", headers=key).status_code == 200


def test_rules_hold_as_with_one(client: httpx.Client, names: list[str]) -> None:
    one, two, three = names
    for source in (one, one, two, two, two, three):
        submit(client, source)
    rule(client, one, paused=True)
    rule(client, two, limit=1)
    until_known(client)
    assert client.head(f"/job/available/{one},{two}").status_code == 200
    got = client.get(f"/job/available/{','.join(names)}?limit=10").json()
    assert [each["source"] for each in got] == [two, three]
    assert client.head(f"/job/available/{one},{two}").status_code == 404
    assert client.get(f"/job/available/{one},{two}", headers={"idempotency-key": one}).status_code == 404
    rule(client, one)
    until_known(client)
    got = client.get(f"/job/available/{one},{two}?limit=10").json()
    assert [each["source"] for each in got] == [one, one]


def test_fair_is_among_those_named(client: httpx.Client, names: list[str]) -> None:
    one, two, _ = names
    for source in (one, one, one, two):
        submit(client, source)
    got = client.get(f"/job/available/{one},{two}?limit=2&fair=1").json()
    assert sorted(each["source"] for each in got) == [one, two]
    assert_problem(client.get(f"/job/available/{one}?fair=1"), 400, "Fair works across sources")


def test_a_hundred_may_be_named_however_long(client: httpx.Client) -> None:
    names = [f"{number:03}-".ljust(100, "x") for number in range(101)]
    submit(client, names[99])
    assert client.get(f"/job/available/{','.join(names[:100])}").json()["source"] == names[99]
    assert_problem(
        client.get(f"/job/available/{','.join(names)}"), 400, "101 sources are named; one take can name 100 at most"
    )
    found_none = client.get(f"/job/available/{','.join(names[:100])}")
    assert_problem(found_none, 404, "and 90 more")


@pytest.mark.parametrize(
    "address", ["/job/available/{},", "/job/available/,{}", "/job/active/{},,{}", "/job/active/{},a b"]
)
def test_each_must_be_a_source(client: httpx.Client, names: list[str], address: str) -> None:
    method = "GET" if "available" in address else "POST"
    assert_problem(client.request(method, address.format(*names)), 400, "cannot be a source")


@pytest.mark.parametrize(
    ("method", "address"),
    [
        ("POST", "/job/available/{},{}"),
        ("POST", "/job/available/{},{}/id"),
        ("POST", "/job/active/{},{}/id"),
        ("POST", "/job/done/{},{}/id"),
        ("GET", "/jobs?source={},{}"),
        ("PUT", "/source/{},{}"),
    ],
)
def test_only_takes_name_several(client: httpx.Client, names: list[str], method: str, address: str) -> None:
    assert_problem(client.request(method, address.format(*names), json={}), 400, "cannot be a source")


def test_a_token_must_be_for_all_of_them(database: str) -> None:
    with boss_running("--database", database) as boss, boss.client() as nobody:
        root = {"authorization": f"Bearer {create(nobody, 'root', 'admin')}"}
        with httpx.Client(base_url=boss.url, headers=root) as admin:
            token = create(admin, "two", "converter", sources=["a", "b"])
            for source in ("c", "b", "a"):
                submit(admin, source)
        with httpx.Client(base_url=boss.url, headers={"authorization": f"Bearer {token}"}) as two:
            assert_problem(two.get("/job/available/a,b,c"), 403, "not for the source 'c'")
            assert_problem(two.get("/job/available/c%2Ca"), 403, "not for the source 'c'")
            assert [two.get("/job/available/a,b").json()["source"] for _ in range(2)] == ["b", "a"]
            assert two.get("/job/available/a,b").status_code == 404


def test_each_job_is_handed_out_once_however_the_takes_overlap(replicas: Replicas, names: list[str]) -> None:
    """Sixteen takers on two replicas, each of another mixture of sources, with and without a key, one or many."""
    jobs = 600
    with replicas[0].client() as client:
        for source in names:
            lines = "\n".join(f'{{"number": {number}}}' for number in range(jobs // 3))
            headers = {"content-type": "application/x-ndjson"}
            assert client.post(f"/job/available/{source}", content=lines, headers=headers).status_code == 201
    one, two, three = names
    of = [f"{one},{two}", f"{two},{three}", f"{one},{two},{three}", one, f"{three},{one}"]

    def work(number: int) -> list[str]:
        got: list[str] = []
        with replicas[number % 2].client() as client:
            while True:
                headers = {"idempotency-key": f"{one} {next(numbers)}"} if number % 3 == 0 else {}
                address = f"/job/available/{of[number % len(of)]}?limit={1 + number % 4}"
                taken = client.get(address, headers=headers)
                if taken.status_code == 404:
                    return got
                got += [each["id"] for each in taken.json()]

    with ThreadPoolExecutor(16) as threads:
        handed_out = Counter(id for got in threads.map(work, range(16)) for id in got)
    assert len(handed_out) == jobs
    assert set(handed_out.values()) == {1}
