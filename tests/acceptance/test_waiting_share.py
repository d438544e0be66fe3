"""The wait queue is shared: no token may have more than a tenth of the waiting takers."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest

from tests.helpers.requests import assert_problem, submit
from tests.helpers.servers import BossProcess, boss_running, until
from tests.helpers.tokens import Guarded, create, waiting_takers


def guarded(boss: BossProcess) -> Guarded:
    with boss.client() as client:
        tokens = {"root": create(client, "root", "admin")}
        client.headers["authorization"] = f"Bearer {tokens['root']}"
        tokens |= {name: create(client, name, "converter") for name in ("greedy", "modest")}
    return Guarded(boss, tokens)


@contextmanager
def takers(of: Guarded, who: str, number: int) -> Iterator[list["Future[httpx.Response]"]]:
    """So many takers that wait with one token."""
    with ThreadPoolExecutor(number) as pool, of.client(who) as client:
        yield [pool.submit(client.get, "/job/available/freg?wait=50", timeout=60) for _ in range(number)]


@pytest.mark.parametrize(("places", "share"), [("20", 2), ("3", 1)])
def test_a_token_has_a_tenth_of_them_and_at_least_one(database: str, places: str, share: int) -> None:
    with boss_running("--database", database, "--max-waiting", places) as boss:
        of = guarded(boss)
        with of.client("root") as root, of.client("greedy") as greedy, of.client("modest") as modest:
            with takers(of, "greedy", share) as first, takers(of, "modest", 1) as second:
                until(lambda: waiting_takers(root) == share + 1)
                refused = greedy.get("/job/available/freg?wait=50")
                assert_problem(refused, 429, f"{share} takers wait here with the token greedy")
                assert refused.headers["retry-after"] == "1"
                assert greedy.get("/job/available/freg").status_code == 404  # without a wait it goes on
                for _ in range(share + 1):
                    submit(root, "freg")
                assert {each.result().status_code for each in [*first, *second]} == {200}
            # Their places are free again.
            with takers(of, "greedy", share) as again:
                until(lambda: waiting_takers(root) == share)
                for _ in range(share):
                    submit(root, "freg")
                assert {each.result().status_code for each in again} == {200}
            assert modest.get("/job/available/freg").status_code == 404


def test_without_tokens_everybody_is_one_and_has_them_all(database: str) -> None:
    with (
        boss_running("--database", database, "--max-waiting", "5") as boss,
        boss.client() as client,
        takers(Guarded(boss, {}), "", 5) as waiting,
    ):
        until(lambda: waiting_takers(client) == 5)
        assert_problem(client.get("/job/available/freg?wait=50"), 503, "5 takers wait here, which is the most")
        for _ in range(5):
            submit(client, "freg")
        assert {each.result().status_code for each in waiting} == {200}
