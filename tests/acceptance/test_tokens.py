"""Tokens: made, used, limited, expired and revoked, and how they end."""

import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.helpers.databases import run_in
from tests.helpers.guarded import guarded
from tests.helpers.requests import assert_problem, submit
from tests.helpers.servers import boss_running, until
from tests.helpers.tokens import Guarded, create, waiting_takers

pytestmark = pytest.mark.slow

__all__ = ["guarded"]  # a fixture


class TestTokens:
    def test_the_token_itself_is_nowhere_but_in_one_answer(self, guarded: Guarded) -> None:
        with guarded.client("root") as root:
            token = create(root, "seen-once", "converter", sources=["freg"], expires=86400)
            assert token.startswith("boss_")
            assert len(token) >= 48
            listed = root.get("/token")
            assert not any(secret in listed.text for secret in guarded.tokens.values())
            shown = {each["name"]: each for each in listed.json()["tokens"]}
            mine = shown["seen-once"]
            assert (mine["role"], mine["sources"], mine["created_by"]) == ("converter", ["freg"], "root")
            assert mine["expires"] is not None
            assert mine["revoked"] is mine["used"] is None
            assert shown["revoked"]["revoked"] is not None
        assert token not in guarded.boss.log

    def test_when_it_was_last_used_is_written_down(self, guarded: Guarded) -> None:
        with guarded.client("root") as root:
            token = create(root, "used", "converter")
            headers = {"authorization": f"Bearer {token}"}
            assert httpx.head(f"{guarded.boss.url}/job/available", headers=headers).status_code in (200, 404)

            def used() -> object:
                return next(each["used"] for each in root.get("/token").json()["tokens"] if each["name"] == "used")

            until(lambda: used() is not None)

    @pytest.mark.parametrize(
        ("name", "body", "status", "says"),
        [
            ("root", {"role": "admin"}, 409, "is or was a token called root"),
            ("revoked", {"role": "admin"}, 409, "names are not used twice"),
            ("a b", {"role": "admin"}, 400, "cannot be a token's name"),
            ("new", {"role": "boss"}, 400, "role"),
            ("new", {}, 400, "missing required field `role`"),
            ("new", {"role": "admin", "extra": 1}, 400, "unknown field `extra`"),
            ("new", {"role": "admin", "sources": ["freg"]}, 400, "for all sources"),
            ("new", {"role": "converter", "sources": []}, 400, "needs at least one source"),
            ("new", {"role": "converter", "sources": ["a/b"]}, 400, "cannot be a source"),
            ("new", {"role": "converter", "expires": 0}, 400, "Expires is 0"),
            ("new", {"role": "converter", "expires": 1e300}, 400, "Expires is"),
        ],
    )
    def test_what_cannot_be_made(
        self, guarded: Guarded, name: str, body: dict[str, object], status: int, says: str
    ) -> None:
        with guarded.client("root") as root:
            before = root.get("/token").json()["tokens"]
            assert_problem(root.post(f"/token/{name}", json=body), status, says)
            assert [each["name"] for each in root.get("/token").json()["tokens"]] == [each["name"] for each in before]

    def test_the_last_admin_stays(self, guarded: Guarded) -> None:
        with guarded.client("root") as root:
            assert_problem(root.delete("/token/root"), 409, "the last token of an admin")
            assert_problem(root.delete("/token/nobody"), 404, "no token called nobody")

    @pytest.mark.parametrize("header", ["Basic cm9vdDpyb290", "Bearer", "Bearer a b", "bearer\tx", "Bearer \xff"])
    def test_an_authorization_that_is_none(self, guarded: Guarded, header: str) -> None:
        answer = httpx.get(f"{guarded.boss.url}/job", headers={b"authorization": header.encode("latin-1")})
        assert_problem(answer, 401, "needs a token")

    def test_two_authorizations_are_refused(self, guarded: Guarded) -> None:
        headers = [("authorization", f"Bearer {guarded.tokens[name]}") for name in ("root", "converts")]
        assert_problem(httpx.get(f"{guarded.boss.url}/job", headers=headers), 400, "Duplicate header authorization")


def test_the_first_token_is_an_admins_and_ends_the_open_house(database: str) -> None:
    with boss_running("--database", database) as boss, boss.client() as client:
        boss.wait_for_log("no tokens yet, so this machine, and no other")
        submit(client, "freg")
        assert_problem(client.post("/token/mine", json={"role": "converter"}), 409, "first token must be an admin's")
        token = create(client, "mine", "admin")
        assert_problem(client.get("/job"), 401, "needs a token")
        assert client.get("/job", headers={"authorization": f"Bearer {token}"}).status_code == 200


def test_a_revoked_token_counts_nowhere_within_a_second(database: str) -> None:
    with boss_running("--database", database) as one, boss_running("--database", database) as other:
        with one.client() as client:
            guarded = Guarded(other, {"root": create(client, "root", "admin")})
        elsewhere = Guarded(one, guarded.tokens)
        with elsewhere.client("root") as admin, guarded.client("root") as there, ThreadPoolExecutor(1) as thread:
            guarded.tokens["short"] = create(admin, "short", "converter")
            # Until it hears of the first token, the other replica serves anybody.
            until(lambda: httpx.head(f"{other.url}/job/available").status_code == 401)
            with guarded.client("short") as converter:
                until(lambda: converter.head("/job/available").status_code == 404)
                waiting = thread.submit(converter.get, "/job/available?wait=50", timeout=60)
                until(lambda: waiting_takers(there) == 1)
                revoked = time.monotonic()
                assert admin.delete("/token/short").status_code == 204
                until(lambda: converter.head("/job/available").status_code == 401)
                # On the replica that was not told; who waits there is sent away as well.
                assert_problem(waiting.result(), 401, "not valid any more")
                assert time.monotonic() - revoked < 10


def test_who_waits_is_sent_away_when_a_token_is_needed(database: str) -> None:
    with boss_running("--database", database) as boss, boss.client() as client, ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(httpx.get, f"{boss.url}/job/available?wait=50", timeout=60)
        until(lambda: waiting_takers(client) == 1)
        create(client, "root", "admin")
        assert_problem(waiting.result(timeout=10), 401, "a token is needed now")


def test_tokens_count_while_the_database_is_away(database: str, postgres: str) -> None:
    """What was known stays known: an answer says that the database is away, and not that a token is needed."""
    with boss_running("--database", database) as boss, boss.client() as client:
        root = {"authorization": f"Bearer {create(client, 'root', 'admin')}"}
        # The database refuses every connection from now on, and drops those there are.
        name = database.split("?")[0].rsplit("/", 1)[1]
        run_in(postgres, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        run_in(postgres, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        try:
            until(lambda: client.get("/job", headers=root).status_code == 503)
            assert client.get("/job").status_code == 401
        finally:
            run_in(postgres, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        until(lambda: client.get("/job", headers=root).status_code == 200)
