"""`If-Match` on the rule of a source: who changes a part of it at the same time as others loses nothing."""

import re
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

import boss
from boss.errors import RuleChanged
from boss.postgres.source_limits import _LOCK
from tests.helpers.commands import Boss
from tests.helpers.locks import transaction, waiting_for_locks
from tests.helpers.requests import assert_problem, submit
from tests.helpers.servers import BossProcess, boss_running

pytestmark = pytest.mark.slow


def read(client: httpx.Client, source: str) -> tuple[dict[str, object], str]:
    answer = client.get(f"/source/{source}")
    assert answer.status_code == 200, answer.text
    return answer.json(), answer.headers["etag"]


def put(client: httpx.Client, source: str, etag: str, **rule: object) -> httpx.Response:
    return client.put(f"/source/{source}", json=rule, headers={"if-match": etag})


def test_a_source_is_read_as_it_is_listed(client: httpx.Client, source: str) -> None:
    nothing, etag = read(client, source)
    assert (nothing["limit"], nothing["available"]) == (None, 0)
    submit(client, source)
    assert put(client, source, etag, limit=4, rate=5, delays=[1, 0.1]).headers["etag"] != etag
    found, _ = read(client, source)
    assert found in client.get("/source").json()["sources"]
    assert (found["limit"], found["available"]) == (4, 1)


def test_an_earlier_rule_is_not_replaced(client: httpx.Client, source: str) -> None:
    _, before = read(client, source)
    made = put(client, source, before, limit=4, rate=5, delays=[1, 0.1], keep_done=0.3)
    found, etag = read(client, source)
    assert made.headers["etag"] == etag
    assert_problem(put(client, source, before, paused=True), 412, f"rule of {source} was changed meanwhile")
    assert read(client, source) == (found, etag)
    # What a compressing proxy makes of it means the same.
    for same in (f"W/{etag}", f'{etag[:-1]}-gzip"', "*"):
        assert put(client, source, same, limit=4, rate=5, delays=[1, 0.1], keep_done=0.3).status_code == 200
    for wrong in ("x", '"3"', etag.strip('"'), f"{etag}, {etag}"):
        assert_problem(put(client, source, wrong), 400, "takes the one ETag that GET /source/… answered")
    assert put(client, source, etag).headers["etag"] == before


def test_the_client_names_the_version(module_boss: BossProcess, source: str) -> None:
    with boss.Client(module_boss.url) as client:
        rule, version = client.source(source)
        assert rule["limit"] is None
        client.set_rule(source, limit=3, version=version)
        with pytest.raises(RuleChanged):
            client.set_rule(source, paused=True, version=version)
        assert client.source(source)[0]["limit"] == 3


def test_of_many_who_have_read_the_same_one_sets_it(database: str) -> None:
    replicas = boss_running("--database", database), boss_running("--database", database)
    with replicas[0] as one, replicas[1] as other, one.client() as here, other.client() as there:
        _, etag = read(here, "freg")
        with ThreadPoolExecutor(8) as threads:
            answers = threads.map(
                lambda each: put(each[1], "freg", etag, limit=each[0]), enumerate((here, there) * 4, 1)
            )
            assert sorted(each.status_code for each in answers) == [200, *[412] * 7]
        assert len(here.get("/audit").json()["acts"]) == 1


def test_commands_at_the_same_time_lose_no_part(database: str) -> None:
    """All of them have read the rule before the first one sets it."""
    with boss_running("--database", database) as running, running.client() as client, ThreadPoolExecutor(4) as threads:
        submit(client, "freg")
        command = Boss(running.url)
        parts = (["--limit", "4"], ["--rate", "5"], ["--attempts", "3"], ["--paused"])
        with transaction(database, f"SELECT pg_advisory_xact_lock({_LOCK}, hashtext('freg'))") as run:
            said = [threads.submit(command, "source", "freg", *part) for part in parts]
            waiting_for_locks(database, len(parts))
            run("COMMIT")
            assert [each.result().stderr for each in said] == [""] * len(parts)
        found, _ = read(client, "freg")
        assert [found[name] for name in ("limit", "rate", "attempts", "paused")] == [4, 5, 3, True]


def test_the_etag_is_that_of_the_rule_alone(client: httpx.Client, source: str) -> None:
    _, etag = read(client, source)
    submit(client, source)
    assert read(client, source)[1] == etag
    assert re.fullmatch('"[0-9a-f]{16}"', etag)
    assert client.head(f"/source/{source}").headers["etag"] == etag
