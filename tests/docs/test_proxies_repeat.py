"""A replica dies during a take: behind the proxies of docs/proxies.md, no second job is handed out to nobody."""

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.helpers.jobs import record
from tests.helpers.programs import Way, way_to
from tests.helpers.proxies import PROXIES, client_of, proxying
from tests.helpers.requests import submit
from tests.helpers.servers import BossProcess, until

pytestmark = pytest.mark.slow

# What to change for a proxy that repeats whatever it can, as these do without the lines on the page or with others.
REPEATING = {
    "nginx": [("proxy_next_upstream off", "proxy_next_upstream error timeout")],
    "haproxy": [("retry-on conn-failure", "retry-on all-retryable-errors")],
    "caddyfile": [("header Idempotency-Key *", "path *")],
}


@contextmanager
def dying_replicas(
    boss: BossProcess, name: str, folder: Path, *changes: tuple[str, str], keeps: bool = False
) -> Iterator[tuple[httpx.Client, list[Way]]]:
    """A client of a proxy before two replicas, each of which dies under one take that Boss has done."""
    with way_to(boss.port) as one, way_to(boss.port) as two:
        for way in (one, two):
            way.keeps = keeps
        with proxying(name, (one.server_port, two.server_port), folder, *changes) as port, client_of(port) as client:
            for way in (one, two):
                way.takes, way.ends = ["lose"], ["lose"]
            yield client, [one, two]


def takes(ways: list[Way]) -> int:
    """How many takes came."""
    return sum(each.path.startswith("/job/a") for way in ways for each in way.asked)


@pytest.mark.parametrize("name", PROXIES)
@pytest.mark.parametrize("request_", [("GET", "/job/available"), ("POST", "/job/active")], ids=["GET", "POST"])
def test_a_take_without_a_key_is_not_repeated(
    name: str, request_: tuple[str, str], module_boss: BossProcess, source: str, client: httpx.Client, tmp_path: Path
) -> None:
    for _ in range(3):
        submit(client, source)
    method, path = request_
    with dying_replicas(module_boss, name, tmp_path) as (through, ways):
        assert through.request(method, f"{path}/{source}").status_code == 502
        assert takes(ways) == 1
    assert client.get("/job").json()["active"][source] == 1


@pytest.mark.long
@pytest.mark.parametrize("name", PROXIES)
@pytest.mark.parametrize("changed", [False, True], ids=["as shown", "repeating"])
def test_a_take_with_a_key_takes_one_job(
    name: str, changed: bool, module_boss: BossProcess, source: str, client: httpx.Client, tmp_path: Path
) -> None:
    for _ in range(4):
        submit(client, source)
    changes = REPEATING[name] if changed else []
    with dying_replicas(module_boss, name, tmp_path, *changes) as (through, ways):
        headers = {"idempotency-key": "mine"}
        taken: list[httpx.Response] = []

        def answered() -> bool:
            with contextlib.suppress(httpx.RemoteProtocolError):
                taken.append(through.get(f"/job/available/{source}", headers=headers))
            return bool(taken) and taken[-1].status_code == 200

        until(answered)
        assert takes(ways) >= 2
    assert client.get("/job").json()["active"][source] == 1
    assert record(client, taken[-1].json()["id"])["attempt"] == 1


@pytest.mark.parametrize("name", PROXIES)
def test_it_is_these_lines_that_keep_a_take_from_being_repeated(
    name: str, module_boss: BossProcess, source: str, client: httpx.Client, tmp_path: Path
) -> None:
    for _ in range(4):
        submit(client, source)
    with dying_replicas(module_boss, name, tmp_path, *REPEATING[name]) as (through, ways):
        through.get(f"/job/available/{source}")
        assert takes(ways) > 1
    assert client.get("/job").json()["active"][source] > 1


def test_caddy_repeats_a_get_on_a_connection_that_it_had_before(
    module_boss: BossProcess, source: str, client: httpx.Client, tmp_path: Path
) -> None:
    for _ in range(4):
        submit(client, source)
    with dying_replicas(module_boss, "caddyfile", tmp_path, keeps=True) as (through, ways):
        for _ in range(4):
            assert through.get("/health/live").status_code == 200
        through.get(f"/job/available/{source}")
        assert takes(ways) == 2
        assert through.post(f"/job/active/{source}").status_code == 502
        assert takes(ways) == 3
