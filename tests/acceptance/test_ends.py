"""Waiting for the end of a job: GET /jobs/{id}?wait=, the client, and the commands."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import httpx
import pytest

from tests.helpers.databases import run_in, value_in
from tests.helpers.jobs import record
from tests.helpers.postgres import PostgresServer
from tests.helpers.reached import module_boss, reached
from tests.helpers.requests import assert_problem, submit
from tests.helpers.servers import boss_running, until

pytestmark = pytest.mark.slow

__all__ = ["module_boss", "reached"]  # fixtures

WAITING = re.compile(r"^boss_waiting_for_end ([0-9.]+)$", re.MULTILINE)
LOCATES = re.compile(r'^boss_statement_duration_seconds_count\{statement="locate"\} ([0-9.]+)$', re.MULTILINE)


def number(pattern: re.Pattern[str], client: httpx.Client) -> float:
    found = pattern.search(client.get("/metrics").text)
    return float(found[1]) if found else 0.0


@pytest.fixture(scope="module")
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(20) as threads:
        yield threads


Wait = Callable[[httpx.Client, str], "Future[httpx.Response]"]


@pytest.fixture
def wait(threads: ThreadPoolExecutor) -> Wait:
    """Begins a request that waits for a job; returns once Boss knows of it."""

    def begin(client: httpx.Client, id: str) -> "Future[httpx.Response]":
        before = number(WAITING, client)
        answer = threads.submit(client.get, f"/jobs/{id}?wait=50", timeout=70)
        until(lambda: number(WAITING, client) == before + 1)
        return answer

    return begin


class TestHttp:
    def test_it_answers_when_the_job_is_done(self, client: httpx.Client, source: str, wait: Wait) -> None:
        id = submit(client, source)
        waits = [wait(client, id) for _ in range(3)]
        client.post(f"/job/active/{source}/{id}")
        assert not any(each.done() for each in waits)
        client.post(f"/job/done/{source}/{id}", content='{"rows": 7}')
        for each in waits:
            answer = each.result()
            assert (answer.status_code, answer.headers["boss-state"]) == (200, "done")
            assert answer.headers["preference-applied"] == "wait=50"
            assert answer.json() == record(client, id)
            assert answer.json()["result"] == {"rows": 7}
        assert number(WAITING, client) == 0

    @pytest.mark.parametrize("how", ["stopped", "given back for the last time", "lease", "SQL"])
    def test_however_it_ends(self, reached: str, client: httpx.Client, source: str, wait: Wait, how: str) -> None:
        id = submit(client, source, attempts=1)
        waits = wait(client, id)
        if how == "stopped":
            client.post(f"/job/done/{source}/{id}?outcome=stopped")
        elif how == "SQL":
            run_in(reached, f"UPDATE job SET status = 'DONE' WHERE id = '{id}'")
        else:
            client.post(f"/job/active/{source}/{id}?lease=1")
            if how != "lease":
                client.delete(f"/job/active/{source}/{id}")
        expected = {"stopped": "stopped", "lease": "abandoned", "SQL": "completed"}.get(how, "failed")
        assert waits.result().json()["outcome"] == expected

    def test_one_that_is_done_or_missing_is_answered_at_once(self, client: httpx.Client, source: str) -> None:
        id = submit(client, source)
        client.post(f"/job/done/{source}/{id}")
        answer = client.get(f"/jobs/{id}", headers={"prefer": "wait=50"}, timeout=20)
        assert (answer.json()["state"], answer.headers["preference-applied"]) == ("done", "wait=50")
        assert_problem(client.get("/jobs/nothing?wait=50", timeout=20), 404, "No job has the id nothing")
        assert_problem(client.get(f"/jobs/{id}?wait=soon"), 400, "whole number")

    def test_after_that_time_it_answers_as_the_job_is(self, client: httpx.Client, source: str) -> None:
        id = submit(client, source)
        before = number(LOCATES, client)
        answer = client.get(f"/jobs/{id}?wait=4")
        assert answer.json()["state"] == "available"
        assert "why" in answer.json()
        assert answer.elapsed.total_seconds() >= 4
        # At the start, after 1, after 3 and at the end.
        assert number(LOCATES, client) - before <= 4
        assert "preference-applied" not in client.get(f"/jobs/{id}").headers
        assert client.get(f"/jobs/{id}?wait=0").headers["preference-applied"] == "wait=0"

    def test_a_job_that_is_deleted_is_not_waited_for(
        self, reached: str, client: httpx.Client, source: str, wait: Wait
    ) -> None:
        id = submit(client, source)
        waits = wait(client, id)
        run_in(reached, f"DELETE FROM job WHERE id = '{id}'")
        assert waits.result().status_code == 404

    def test_who_hangs_up_waits_no_more(self, client: httpx.Client, source: str) -> None:
        id = submit(client, source)
        with pytest.raises(httpx.ReadTimeout):
            client.get(f"/jobs/{id}?wait=50", timeout=1)
        until(lambda: number(WAITING, client) == 0)

    def test_nothing_stays_in_the_database(self, reached: str, client: httpx.Client, source: str) -> None:
        id = submit(client, source)
        client.get(f"/jobs/{id}?wait=1")
        until(lambda: value_in(reached, f"SELECT count(*) FROM awaited WHERE id = '{id}'") == 0)


class TestReplicas:
    def test_every_replica_hears_of_it(self, database: str, wait: Wait) -> None:
        with (
            boss_running("--database", database) as one,
            boss_running("--database", database) as other,
            one.client() as client,
            other.client() as elsewhere,
        ):
            id = submit(client, "freg")
            waits = wait(client, id)
            # The checks at the start and after 1, 3 and 7 s are over; the next one is 8 s later.
            until(lambda: number(LOCATES, client) == 4)
            assert elsewhere.post(f"/job/done/freg/{id}").status_code == 200
            assert waits.result().json()["state"] == "done"
            assert number(LOCATES, client) == 4

    def test_an_announcement_that_is_lost_is_made_up_for(self, server: PostgresServer, wait: Wait) -> None:
        with boss_running("--database", server.url) as boss, boss.client() as client:
            id = submit(client, "freg")
            waits = wait(client, id)
            server.sql("DELETE FROM awaited")
            client.post(f"/job/done/freg/{id}")
            assert waits.result().json()["state"] == "done"

    def test_a_replica_that_stops_answers_as_the_job_is(self, database: str, wait: Wait) -> None:
        with boss_running("--database", database) as boss, boss.client() as client:
            waits = wait(client, submit(client, "freg"))
            assert boss.terminate() == 0
            assert waits.result().json()["state"] == "available"

    def test_no_more_wait_than_may(self, database: str, wait: Wait) -> None:
        with boss_running("--database", database, "--max-waiting", "2") as boss, boss.client() as client:
            id = submit(client, "freg")
            waits = [wait(client, id) for _ in range(2)]
            assert_problem(client.get(f"/jobs/{id}?wait=50"), 503, "2 requests wait here for jobs to be done")
            client.post(f"/job/done/freg/{id}")
            assert [each.result().status_code for each in waits] == [200, 200]
