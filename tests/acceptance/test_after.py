"""Jobs that come after others (`after`): handed out when those are completed, stopped when one of them is not."""

import contextlib
import time

import httpx
import pytest

from boss import BadInput, Client, UnknownJobs
from tests.helpers.databases import run_in, value_in
from tests.helpers.jobs import record
from tests.helpers.locks import transaction
from tests.helpers.requests import assert_problem, submit, wait_for_job
from tests.helpers.servers import BossProcess, boss_running, until

LINES = {"content-type": "application/x-ndjson"}


def done(client: httpx.Client, source: str, id: str, outcome: str = "completed") -> None:
    client.post(f"/job/done/{source}/{id}", params={"outcome": outcome}).raise_for_status()


def outcome_of(client: httpx.Client, id: str) -> str | None:
    outcome: str | None = record(client, id)["outcome"]
    return outcome


class TestCompleted:
    def test_it_is_handed_out_then_and_not_before(self, client: httpx.Client, source: str) -> None:
        first, second = submit(client, source), submit(client, source)
        last = submit(client, f"{source}-last", after=f"{first},{second},{first}")
        assert record(client, last)["after"] == [first, second]
        done(client, source, first)
        assert client.get(f"/job/available/{source}-last").status_code == 404
        until(lambda: record(client, last)["why"] == f"it waits for {second}")
        assert client.get("/job").json()["available"][f"{source}-last"] == 1
        done(client, source, second)
        assert wait_for_job(f"{client.base_url}/job/available/{source}-last?wait=50").json()["id"] == last

    def test_a_taker_that_waits_is_woken(self, client: httpx.Client, source: str) -> None:
        first = submit(client, source)
        last = submit(client, f"{source}-last", after=first)
        started = time.monotonic()
        with contextlib.closing(httpx.Client(base_url=client.base_url)) as other:
            done(other, source, first)
        assert wait_for_job(f"{client.base_url}/job/available/{source}-last?wait=50").json()["id"] == last
        assert time.monotonic() - started < 30

    def test_jobs_that_are_completed_already_count(self, client: httpx.Client, source: str) -> None:
        first = submit(client, source)
        done(client, source, first)
        submit(client, f"{source}/{source}-last", after=first)
        assert client.get(f"/job/available/{source}").json()["id"] == f"{source}-last"

    def test_an_attempt_that_fails_is_not_the_end(self, client: httpx.Client, source: str) -> None:
        first = submit(client, source)
        last = submit(client, f"{source}-last", after=first)
        client.get(f"/job/available/{source}").raise_for_status()
        client.delete(f"/job/active/{source}/{first}?delay=0").raise_for_status()
        client.get(f"/job/available/{source}").raise_for_status()
        assert record(client, last)["state"] == "available"
        assert client.get(f"/job/available/{source}-last").status_code == 404
        done(client, source, first)
        assert wait_for_job(f"{client.base_url}/job/available/{source}-last?wait=50").json()["id"] == last

    def test_many_lines_come_after_the_same(self, client: httpx.Client, source: str) -> None:
        first = submit(client, source)
        lines = "".join(f'{{"id": "{source}-{number}", "job": {{}}}}\n' for number in range(3))
        answer = client.post(
            f"/job/available/{source}?ids=given&after={first}", content=lines, headers=LINES
        ).raise_for_status()
        assert answer.text.count('"status":201') == 3
        done(client, source, first)
        until(lambda: len(client.get(f"/job/available/{source}?limit=3").json()) == 3)


class TestEndedOtherwise:
    @pytest.mark.parametrize("outcome", ["failed", "stopped"])
    def test_it_is_stopped_and_the_reason_names_the_job(self, client: httpx.Client, source: str, outcome: str) -> None:
        first, second = submit(client, source), submit(client, source)
        third = submit(client, source, after=f"{first},{second}")
        fourth = submit(client, source, after=third)
        done(client, source, first, outcome)
        until(lambda: outcome_of(client, fourth) == "stopped")
        assert record(client, third)["result"] == {
            "reason": f"it waited for {first}, which {'failed' if outcome == 'failed' else 'was stopped'}"
        }
        assert record(client, fourth)["result"] == {"reason": f"it waited for {third}, which was stopped"}
        done(client, source, second)
        assert outcome_of(client, third) == "stopped"

    def test_one_that_had_failed_before(self, client: httpx.Client, source: str) -> None:
        first = submit(client, source)
        done(client, source, first, "failed")
        last = submit(client, source, after=first)
        until(lambda: outcome_of(client, last) == "stopped")

    def test_a_stopped_job_that_is_redone_is_ready(self, client: httpx.Client, source: str) -> None:
        first = submit(client, source)
        last = submit(client, f"{source}-last", after=first)
        done(client, source, first, "failed")
        until(lambda: outcome_of(client, last) == "stopped")
        client.post(f"/job/available/{source}-last/{last}?from=done").raise_for_status()
        assert record(client, last)["after"] == []
        assert client.get(f"/job/available/{source}-last").json()["id"] == last

    def test_a_job_that_is_stopped_itself_stays_so(self, client: httpx.Client, source: str) -> None:
        first = submit(client, source)
        last = submit(client, source, after=first)
        client.post(f"/job/done/{source}/{last}?outcome=stopped", json={"reason": "by hand"}).raise_for_status()
        done(client, source, first)
        after = submit(client, f"{source}-after", after=first)
        assert client.get(f"/job/available/{source}-after").json()["id"] == after
        assert record(client, last)["result"] == {"reason": "by hand"}

    def test_a_new_job_of_the_same_id_does_not_wait_for_what_the_old_one_did(
        self, client: httpx.Client, source: str
    ) -> None:
        first, other = submit(client, source), submit(client, source)
        last = f"{source}-last"
        submit(client, f"{source}/{last}", after=first)
        done(client, source, last, "stopped")
        client.delete(f"/job/done/{source}/{last}").raise_for_status()
        submit(client, f"{source}/{last}", after=other)
        done(client, source, first, "failed")
        # What comes after the same job is stopped, and so the end of that has been carried on.
        marker = submit(client, source, after=first)
        until(lambda: outcome_of(client, marker) == "stopped")
        assert (record(client, last)["state"], record(client, last)["after"]) == ("available", [other])


class TestRefused:
    def test_jobs_that_there_are_not(self, client: httpx.Client, source: str) -> None:
        first = submit(client, source)
        own = f"{source}-own"
        answer = client.post(f"/job/available/{source}/{own}?after={first},{own},no-such", content="{}")
        assert_problem(answer, 400, f"o job has the id {own}, no-such; after takes the ids of jobs that exist")
        assert client.get(f"/jobs/{own}").status_code == 404

    @pytest.mark.parametrize(
        ("query", "says"),
        [
            ({"after": ""}, "cannot be an id"),
            ({"after": "a,,b"}, "cannot be an id"),
            ({"after": ",".join(map(str, range(101)))}, "names 101 jobs; it takes 100 at most"),
            ({"after": "a", "delay": "1"}, "excludes delay and at"),
            ({"after": "a", "at": "2030-01-01T00:00:00Z"}, "excludes delay and at"),
        ],
    )
    def test_what_cannot_be(self, client: httpx.Client, source: str, query: dict[str, str], says: str) -> None:
        assert_problem(client.post(f"/job/available/{source}", params=query, content="{}"), 400, says)

    def test_a_blocked_job_by_its_address(self, client: httpx.Client, source: str) -> None:
        first = submit(client, source)
        last = submit(client, source, after=first)
        answer = client.post(f"/job/active/{source}/{last}")
        assert_problem(answer, 404, f"{last} cannot be taken now: it waits for {first}")
        assert record(client, last)["attempt"] == 0

    def test_a_due_time_for_a_blocked_job(self, client: httpx.Client, source: str) -> None:
        first = submit(client, source)
        last = submit(client, source, after=first)
        answer = client.put(f"/job/available/{source}/{last}?delay=0")
        assert_problem(answer, 400, f"{last} has no due time to change: it waits for {first}")
        client.put(f"/job/available/{source}/{last}?priority=7").raise_for_status()
        assert record(client, last)["priority"] == 7
        assert client.get(f"/job/available/{source}?limit=2").json()[0]["id"] == first

    def test_jobs_of_a_source_that_the_token_does_not_reach(self, database: str) -> None:
        with boss_running("--database", database) as boss, boss.client() as client:
            root = client.post("/token/root", json={"role": "admin"}).json()["token"]
            admin = {"authorization": f"Bearer {root}"}
            body = {"role": "submitter", "sources": ["mine"]}
            other = client.post("/token/other", json=body, headers=admin).json()["token"]
            client.post("/job/available/secret/hidden", content="{}", headers=admin).raise_for_status()
            answer = client.post(
                "/job/available/mine?after=hidden", content="{}", headers={"authorization": f"Bearer {other}"}
            )
            assert_problem(answer, 400, "o job has the id hidden; after takes")


def test_an_id_that_is_taken_changes_nothing(client: httpx.Client, source: str) -> None:
    first, second = submit(client, source), submit(client, source)
    submit(client, f"{source}/{source}-last", after=first)
    answer = client.post(f"/job/available/{source}/{source}-last?after={second}", content="{}")
    assert answer.status_code == 409
    assert record(client, f"{source}-last")["after"] == [first]


def test_an_end_counts_for_those_that_waited_before_it(database: str) -> None:
    """A job that is redone before its end was carried on is waited for anew."""
    with boss_running("--database", database) as boss, boss.client() as client:
        submit(client, "freg/a")
        submit(client, "held/one", after="a")
        with transaction(database, "SELECT FROM job WHERE id = 'one' FOR UPDATE"):
            done(client, "freg", "a")
            client.post("/job/available/freg/a?from=done").raise_for_status()
            submit(client, "later/two", after="a")
            # What comes after the same end, and is not locked, is released meanwhile.
            submit(client, "freg/b")
            submit(client, "other/three", after="b")
            done(client, "freg", "b")
            assert wait_for_job(f"{boss.url}/job/available/other?wait=50").json()["id"] == "three"
        assert wait_for_job(f"{boss.url}/job/available/held?wait=50").json()["id"] == "one"
        until(lambda: value_in(database, "SELECT count(*) FROM ended_job") == 0)
        assert client.get("/job/available/later").status_code == 404
        done(client, "freg", "a", "failed")
        until(lambda: outcome_of(client, "two") == "stopped")


def test_many_locked_jobs_keep_no_other_waiting(database: str) -> None:
    with boss_running("--database", database) as boss, boss.client() as client:
        submit(client, "freg/a")
        submit(client, "freg/b")
        client.post("/job/available/held?after=a", content="{}\n" * 1200, headers=LINES).raise_for_status()
        submit(client, "later/last", after="b")
        with transaction(database, "UPDATE job SET priority = 1 WHERE source = 'held'"):
            done(client, "freg", "a")
            done(client, "freg", "b")
            assert wait_for_job(f"{boss.url}/job/available/later?wait=50").json()["id"] == "last"
        until(lambda: value_in(database, "SELECT count(*) FROM dependency") == 0)


def test_a_submit_that_is_sent_again_is_told_so(client: httpx.Client, source: str) -> None:
    first = submit(client, source)
    done(client, source, first)
    submit(client, f"{source}/{source}-last", after=first)
    client.delete(f"/job/done/{source}/{first}").raise_for_status()
    answer = client.post(f"/job/available/{source}/{source}-last?after={first}", content="{}")
    assert answer.status_code == 409


def test_a_job_that_was_deleted_in_sql_leaves_nothing(database: str) -> None:
    with boss_running("--database", database) as boss, boss.client() as client:
        for id in ("a", "b"):
            submit(client, f"freg/{id}")
        for after in ("a", "a,b", "b"):
            submit(client, "later/last", after=after)
            needs = "SELECT string_agg(needs, ',' ORDER BY needs) FROM dependency"
            assert value_in(database, needs) == after
            run_in(database, "DELETE FROM job WHERE id = 'last'")


def test_sql_by_hand_ends_jobs_too(database: str) -> None:
    with boss_running("--database", database) as boss, boss.client() as client:
        for id in ("a", "b", "c", "d"):
            submit(client, f"freg/{id}")
            submit(client, f"freg/after-{id}", after=id)
        run_in(database, "UPDATE job SET status = 'DONE' WHERE id = 'a'")
        run_in(database, "UPDATE job SET status = 'DONE', outcome = 'failed', finished_at = now() WHERE id = 'b'")
        until(lambda: outcome_of(client, "after-b") == "stopped")
        until(lambda: value_in(database, "SELECT due_at FROM job WHERE id = 'after-a'") is None)
        # What no trigger sees is found out by looking.
        run_in(database, "DELETE FROM job WHERE id = 'c'")
        until(lambda: outcome_of(client, "after-c") == "stopped")
        assert record(client, "after-c")["result"]["reason"].endswith("which was deleted")
        assert record(client, "after-d")["state"] == "available"
        assert value_in(database, "SELECT array_agg(job) FROM dependency") == ["after-d"]


def test_a_clock_that_is_set_back_leaves_nobody_waiting(database: str) -> None:
    with boss_running("--database", database) as boss, boss.client() as client:
        submit(client, "freg/a")
        submit(client, "later/last", after="a")
        run_in(database, "UPDATE dependency SET since = since + interval '2 hours'")
        done(client, "freg", "a")
        assert wait_for_job(f"{boss.url}/job/available/later?wait=50").json()["id"] == "last"


def test_a_job_that_another_session_has_locked_keeps_no_other_waiting(database: str) -> None:
    with boss_running("--database", database) as boss, boss.client() as client:
        submit(client, "freg/first")
        for id in ("one", "two"):
            submit(client, f"later/{id}", after="first")
        with transaction(database, "SELECT FROM job WHERE id = 'one' FOR UPDATE"):
            done(client, "freg", "first")
            assert wait_for_job(f"{boss.url}/job/available/later?wait=50").json()["id"] == "two"
        assert wait_for_job(f"{boss.url}/job/available/later?wait=50").json()["id"] == "one"


def test_a_submit_waits_for_the_finish_of_a_job_that_it_names(database: str) -> None:
    """Whichever comes first, the job is released: here the finish is under way, and not yet to be seen."""
    with boss_running("--database", database) as boss, boss.client() as client:
        submit(client, "freg/first")
        with transaction(database, "UPDATE job SET status = 'DONE', outcome = 'completed' WHERE id = 'first'") as run:
            with contextlib.suppress(httpx.ReadTimeout):
                client.post("/job/available/later/last?after=first", content="{}", timeout=0.5)
            # Nobody else waits behind it.
            submit(client, "freg/other")
            run("COMMIT")
        assert wait_for_job(f"{boss.url}/job/available/later?wait=50").json()["id"] == "last"


def test_the_client_names_what_is_wrong(module_boss: BossProcess, source: str) -> None:
    with Client(module_boss.url) as boss:
        first = boss.submit(source, {})
        last = boss.submit(source, {}, after=first)
        assert boss.find(last)["after"] == [first]
        boss.submit(source, {}, after=[first, last])
        with pytest.raises(UnknownJobs, match="no-such; after takes the ids of jobs that exist"):
            boss.submit(source, {}, after=[first, "no-such"])
        with pytest.raises(BadInput) as raised:
            boss.submit("no source", {})
        assert not isinstance(raised.value, UnknownJobs)
