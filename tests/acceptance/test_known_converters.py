"""Takes that name their converter, and the list of these converters."""

import os
import socket
import time
from typing import Any

import httpx
import pytest

import boss
from tests.helpers.commands import Boss
from tests.helpers.databases import run_in, value_in
from tests.helpers.jobs import record, take
from tests.helpers.requests import assert_problem, submit
from tests.helpers.servers import BossProcess, boss_running, until
from tests.helpers.tokens import create

pytestmark = pytest.mark.slow


def known(client: httpx.Client, name: str) -> dict[str, Any] | None:
    found = [each for each in client.get("/converter").json()["converters"] if each["name"] == name]
    return found[0] if found else None


def until_known(client: httpx.Client, name: str, **expected: object) -> dict[str, Any]:
    def holds() -> bool:
        found = known(client, name)
        return found is not None and expected.items() <= found.items()

    until(holds, lambda: str(known(client, name)))
    found = known(client, name)
    assert found
    return found


def named(name: str) -> dict[str, str]:
    return {"boss-converter": name}


@pytest.mark.parametrize("how", ["GET", "POST", "by address", "with a key", "many", "several sources", "any"])
def test_a_take_names_its_converter(client: httpx.Client, source: str, how: str) -> None:
    id, name = submit(client, source), f"host/{source}"
    headers = named(name)
    if how == "by address":
        answer = client.post(f"/job/active/{source}/{id}", headers=headers)
    elif how == "POST":
        answer = client.post(f"/job/active/{source}", headers=headers)
    elif how == "several sources":
        answer = client.get(f"/job/available/{source},{source}-2", headers=headers)
    elif how == "any":
        answer = client.get("/job/available", headers=headers)
    else:
        more = {"idempotency-key": "k"} if how == "with a key" else {}
        answer = client.get(f"/job/available/{source}{'?limit=5' if how == 'many' else ''}", headers=headers | more)
    assert answer.status_code == 200
    assert record(client, id)["converter"] == name
    sources = {"any": None, "several sources": [source, f"{source}-2"]}.get(how, [source])
    until_known(client, name, holds=1, taken=1, sources=sources)
    client.post(f"/job/done/{source}/{id}")
    assert record(client, id)["converter"] == name
    until_known(client, name, holds=0, taken=1)


def test_within_a_limit_too(client: httpx.Client, source: str) -> None:
    client.put(f"/source/{source}", json={"limit": 1})
    id = submit(client, source)
    client.get(f"/job/available/{source}", headers=named("limited"))
    assert record(client, id)["converter"] == "limited"


def test_one_that_gets_nothing_is_heard_of(client: httpx.Client, source: str) -> None:
    client.get(f"/job/available/{source}", headers=named(f"idle-{source}"))
    found = until_known(client, f"idle-{source}", holds=0, taken=0, sources=[source])
    client.get(f"/job/available/{source}", headers=named(f"idle-{source}"))
    until(lambda: (known(client, f"idle-{source}") or found)["heard"] > found["heard"])


def test_each_attempt_has_its_own(client: httpx.Client, source: str) -> None:
    id = submit(client, source)
    client.get(f"/job/available/{source}", headers=named("first"))
    client.delete(f"/job/active/{source}/{id}?delay=0")
    assert record(client, id)["converter"] is None
    take(client, source)
    shown = record(client, id)
    assert shown["converter"] is None
    assert [past["converter"] for past in shown["history"]] == ["first"]


@pytest.mark.parametrize("name", ["", "x" * 101, "h\u00e9", "a\tb"])
def test_a_name_that_is_none(client: httpx.Client, source: str, name: str) -> None:
    submit(client, source)
    answer = client.get(f"/job/available/{source}", headers=[(b"boss-converter", name.encode())])
    assert_problem(answer, 400, "1 to 100 printable ASCII characters")
    assert client.get("/job").json()["available"][source] == 1


def test_a_token_sees_those_of_its_sources(database: str) -> None:
    with boss_running("--database", database) as running, running.client() as root:
        root.headers["authorization"] = f"Bearer {create(root, 'root', 'admin')}"
        for source in ("freg", "sirius"):
            submit(root, source)
            root.get(f"/job/available/{source}", headers=named(f"of-{source}"))
            until_known(root, f"of-{source}", holds=1)
        mine = {"authorization": f"Bearer {create(root, 'mine', 'submitter', sources=['freg'])}"}
        assert [each["name"] for each in root.get("/converter", headers=mine).json()["converters"]] == ["of-freg"]
        working = {"authorization": f"Bearer {create(root, 'working', 'converter')}"}
        assert root.get("/converter", headers=working).status_code == 403


def test_all_replicas_know_them_and_forget_them(database: str) -> None:
    with (
        boss_running("--database", database) as one,
        boss_running("--database", database) as other,
        one.client() as client,
        other.client() as elsewhere,
    ):
        for replica in (client, elsewhere, client):
            submit(client, "freg")
            replica.get("/job/available/freg", headers=named("both"))
        for replica in (client, elsewhere):
            until_known(replica, "both", holds=3, taken=3)
        until(lambda: value_in(database, "SELECT taken FROM converter WHERE name = 'both'") == 3)
        run_in(database, "UPDATE converter SET heard = heard - interval '2 hours'")
        client.get("/job/available/none", headers=named("another"))
        until_known(client, "another")
        assert value_in(database, "SELECT count(*) FROM converter") == 1
        # It holds jobs, and so is listed.
        until_known(client, "both", holds=3, sources=["freg"])


def test_any_number_of_names_is_a_bounded_number_of_rows(database: str) -> None:
    with boss_running("--database", database) as running, running.client() as client:
        run_in(
            database,
            "INSERT INTO converter SELECT 'x' || n, NULL, 0, now() - n * interval '1 ms'"
            " FROM generate_series(1, 20000) AS n",
        )
        for number in range(1500):
            client.get("/job/available/none", headers=named(f"new-{number}"))

        def heard() -> bool:
            # What comes after a thousand new names is left out, until they are recorded.
            client.get("/job/available/none", headers=named("last"))
            return known(client, "last") is not None

        until(heard)
        assert value_in(database, "SELECT count(*) FROM converter") <= 12_000


def test_the_clients_and_boss_work_send_host_and_process(
    module_boss: BossProcess, client: httpx.Client, source: str
) -> None:
    id = submit(client, source)
    with boss.Client(module_boss.url) as converter, converter.take(source):
        assert record(client, id)["converter"] == f"{socket.gethostname()}/{os.getpid()}"
    assert any(each["name"].endswith(f"/{os.getpid()}") for each in converter_list(module_boss))
    id = submit(client, source)
    working = Boss(module_boss.url).start("work", source, "--once", "--", "true")
    until(lambda: record(client, id)["state"] == "done")
    assert record(client, id)["converter"].endswith(f"/{working.pid}")
    working.communicate(timeout=60)


def converter_list(module_boss: BossProcess) -> list[dict[str, Any]]:
    with boss.Client(module_boss.url) as client:
        until(lambda: any(each["name"].endswith(f"/{os.getpid()}") for each in client.converters()))
        return client.converters()


def test_the_command_lists_them(module_boss: BossProcess, client: httpx.Client, source: str) -> None:
    submit(client, source)
    client.get(f"/job/available/{source}", headers=named(f"host-3/{source}"))
    until_known(client, f"host-3/{source}", holds=1)
    said = Boss(module_boss.url)("converters")
    assert said.stdout.split("\n")[0].split() == ["name", "sources", "holds", "taken", "heard"]
    [line] = [line for line in said.stdout.splitlines() if f"host-3/{source}" in line]
    assert line.split()[:4] == [f"host-3/{source}", source, "1", "1"]


def test_nothing_is_written_when_nobody_names_itself(database: str) -> None:
    with boss_running("--database", database) as running, running.client() as client:
        client.get("/job/available/none")
        started = time.monotonic()
        until(lambda: time.monotonic() - started > 3)  # longer than the time between two records
        assert 'statement="record_converters"' not in client.get("/metrics").text
