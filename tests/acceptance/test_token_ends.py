"""Tokens that expire or are revoked: an admin can always create new ones, and an invalid token permits nothing."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.helpers.databases import new_database, run_in
from tests.helpers.requests import assert_problem, submit
from tests.helpers.servers import BossProcess, boss_running, until
from tests.helpers.tokens import Guarded, create
from tests.helpers.wire import Wire

pytestmark = pytest.mark.slow

LINES = "Content-Type: application/x-ndjson"


@pytest.fixture(scope="module")
def guarded(postgres: str) -> Iterator[Guarded]:
    for url in new_database(postgres):
        with boss_running("--database", url) as boss, boss.client() as client:
            yield Guarded(boss, {"root": create(client, "root", "admin")})


def test_the_first_token_is_good_for_ever(database: str) -> None:
    with boss_running("--database", database) as boss, boss.client() as client:
        assert_problem(client.post("/token/root", json={"role": "admin", "expires": 3600}), 409, "never expire")
        submit(client, "freg")  # nobody needs one yet
        assert client.get("/token").json()["tokens"] == []
        assert client.get("/audit").json()["acts"] == []
        create(client, "root", "admin")


def test_one_admin_that_is_good_for_ever_stays(database: str) -> None:
    with boss_running("--database", database) as boss, boss.client() as client:
        client.headers["authorization"] = f"Bearer {create(client, 'root', 'admin')}"
        create(client, "guest", "admin", expires=3600)
        create(client, "converts", "converter")
        assert_problem(client.delete("/token/root"), 409, "the last token of an admin that never expires")
        assert client.delete("/token/guest").status_code == client.delete("/token/converts").status_code == 204
        assert_problem(client.delete("/token/root"), 409, "the last token of an admin")
        token = create(client, "next", "admin")
        assert client.delete("/token/root").status_code == 204
        client.headers["authorization"] = f"Bearer {token}"
        assert_problem(client.delete("/token/next"), 409, "the last token of an admin")
        acts = [(act["did"], act["what"]["token"]) for act in client.get("/audit").json()["acts"]]
        assert acts[0] == ("revoked a token", "root")
        assert ("revoked a token", "next") not in acts


def test_where_all_admins_expire_already_one_can_be_made_that_does_not(database: str) -> None:
    """As an earlier Boss let them be."""
    with boss_running("--database", database) as boss, boss.client() as client:
        client.headers["authorization"] = f"Bearer {create(client, 'old', 'admin')}"
        create(client, "older", "admin")
        run_in(database, "UPDATE token SET expires_at = now() + interval '1 hour'")
        assert client.delete("/token/older").status_code == 204
        assert_problem(client.delete("/token/old"), 409, "the last token of an admin")
        create(client, "lasts", "admin")
        assert client.delete("/token/old").status_code == 204


def test_two_admins_that_revoke_each_other_at_once_leave_one(database: str) -> None:
    with boss_running("--database", database) as one, boss_running("--database", database) as other:
        with one.client() as client:
            tokens = {"keeper": create(client, "keeper", "admin")}
        with ThreadPoolExecutor(2) as pool:
            for number in range(15):
                keeper = one.client()
                keeper.headers["authorization"] = f"Bearer {tokens['keeper']}"
                names = [f"a{number}", f"b{number}"]
                tokens |= {name: create(keeper, name, "admin") for name in names}
                keeper_name = next(each for each in keeper.get("/token").json()["tokens"] if each["revoked"] is None)
                until(lambda tokens=tokens, names=names: all(works(other, tokens[name]) for name in names))  # type: ignore[misc]
                assert keeper.delete(f"/token/{keeper_name['name']}").status_code == 204
                asked = [pool.submit(revoke, one, tokens, *names), pool.submit(revoke, other, tokens, *names[::-1])]
                assert sorted(each.result() for each in asked) in ([204, 401], [204, 409])
                [left] = [name for name in names if works(one, tokens[name])]
                tokens["keeper"] = tokens[left]
                keeper.close()


def works(boss: BossProcess, token: str) -> bool:
    return httpx.get(f"{boss.url}/token", headers={"authorization": f"Bearer {token}"}).status_code == 200


def revoke(boss: BossProcess, tokens: dict[str, str], by: str, name: str) -> int:
    """The status of one token revoking another."""
    headers = {"authorization": f"Bearer {tokens[by]}"}
    return httpx.delete(f"{boss.url}/token/{name}", headers=headers).status_code


@pytest.mark.parametrize(
    ("role", "method", "path", "header", "body"),
    [
        ("submitter", "POST", "/job/available/freg/late", "Accept: */*", '{"a": 1}'),
        ("submitter", "POST", "/job/available/freg", LINES, '{"a": 1}\n{"a": 2}\n'),
        ("submitter", "POST", "/job/available/freg?ids=given", LINES, '{"id": "late", "job": {}}\n'),
        ("converter", "POST", "/job/done/freg/held", "Accept: */*", '{"rows": 1}'),
        ("converter", "POST", "/job/done/freg", LINES, '{"id": "held"}\n'),
        ("converter", "DELETE", "/job/active/freg/held", "Accept: */*", '{"error": "late"}'),
        ("admin", "PUT", "/source/freg", "Accept: */*", '{"paused": true}'),
        ("admin", "POST", "/token/late", "Accept: */*", '{"role": "admin"}'),
    ],
)
@pytest.mark.parametrize("how", ["revoked", "expired"])
def test_a_token_that_ends_in_the_middle_of_a_body_gets_nothing_done(
    guarded: Guarded, role: str, method: str, path: str, header: str, body: str, how: str
) -> None:
    with guarded.client("root") as root:
        root.post("/job/available/freg/held", content="{}")
        root.post("/job/active/freg/held")
        before = [root.get(address).text for address in ("/jobs", "/source")]
        name = f"{how}-{len(root.get('/token').json()['tokens'])}"
        token = create(root, name, role, **({"expires": 1} if how == "expired" else {}))
        with Wire(guarded.boss.port) as wire:
            length = f"Content-Length: {len(body)}"
            wire.request(method, path, f"Authorization: Bearer {token}", header, length, body=body[:4].encode())
            if how == "revoked":
                assert root.delete(f"/token/{name}").status_code == 204
            until(lambda: not is_known(guarded.boss, token))
            reply = wire.send(body[4:].encode()).reply()
        assert reply.status == 401
        assert json.loads(reply.body)["type"] == "urn:boss:problem:not-signed-in"
        assert [root.get(address).text for address in ("/jobs", "/source")] == before
        assert "late" not in [each["name"] for each in root.get("/token").json()["tokens"]]


def is_known(boss: BossProcess, token: str) -> bool:
    return httpx.get(f"{boss.url}/session", headers={"authorization": f"Bearer {token}"}).status_code == 200


def test_the_first_token_ends_what_others_have_begun(database: str) -> None:
    with boss_running("--database", database) as boss, boss.client() as client, Wire(boss.port) as wire:
        wire.request("POST", "/job/available/freg", "Content-Length: 2", body=b"{")
        client.headers["authorization"] = f"Bearer {create(client, 'root', 'admin')}"
        assert wire.send(b"}").reply().status == 401
        assert client.get("/job").json()["available"] == {}


def test_who_has_none_may_still_send_one(guarded: Guarded) -> None:
    answer = httpx.post(f"{guarded.boss.url}/session", json={"token": guarded.tokens["root"]})
    assert answer.status_code == 200
