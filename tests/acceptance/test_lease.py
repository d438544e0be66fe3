"""Leases: heartbeats, attempts and giving back, with a clock that the test moves."""

from datetime import datetime, timedelta

import httpx
import pytest

from boss.model.backoff import backoff
from tests.helpers.clock import Clock
from tests.helpers.jobs import record, seconds, take
from tests.helpers.requests import assert_problem, submit
from tests.helpers.servers import BossProcess


@pytest.fixture
def module_boss(clock: Clock) -> BossProcess:
    """The Boss that goes by the clock, for the fixture `client`."""
    return clock.boss


def check(client: httpx.Client, source: str, id: str, etag: str | None = None) -> int:
    headers = {"if-match": etag} if etag else {}
    return client.head(f"/job/active/{source}/{id}", headers=headers).status_code


class TestLease:
    def test_the_default_is_the_servers_setting(self, client: httpx.Client, source: str) -> None:
        id = submit(client, source)
        assert take(client, source).headers["boss-lease"] == "600"
        shown = record(client, id)
        assert seconds(shown["until"], shown["taken"]) == 600

    def test_a_silent_converter_loses_its_job_to_the_next_attempt(
        self, client: httpx.Client, source: str, clock: Clock
    ) -> None:
        id, other = submit(client, source), submit(client, source)
        assert take(client, source, lease=60).headers["etag"] == '"1"'
        clock.move(45)
        assert client.get(f"/job/active/{source}/{id}").status_code == 200
        clock.move(15)
        assert client.get(f"/job/available/{source}/{id}").headers["etag"] == '"1"'
        again = take(client, source)
        # It has kept its place, before the one that came later.
        assert (again.json()["id"], again.headers["etag"]) == (id, '"2"')
        assert take(client, source).json()["id"] == other

    def test_a_check_renews_for_a_whole_lease(self, client: httpx.Client, source: str, clock: Clock) -> None:
        id = submit(client, source)
        take(client, source, lease=60)
        for _ in range(20):
            clock.move(60 - 15)
            answer = client.head(f"/job/active/{source}/{id}")
            assert (answer.status_code, answer.headers["boss-lease"], answer.headers["etag"]) == (200, "60", '"1"')
        clock.move(45)
        assert check(client, source, id) == 200
        clock.move(60 * 4 / 3 + 1)
        assert check(client, source, id) == 404

    def test_many_checks_hold_it_whenever_the_last_one_was(
        self, client: httpx.Client, source: str, clock: Clock
    ) -> None:
        id = submit(client, source)
        take(client, source, lease=60)
        for pause in range(1, 45, 7):
            clock.move(pause)
            assert check(client, source, id) == 200
            clock.move(45)
            assert check(client, source, id) == 200

    def test_a_get_renews_nothing(self, client: httpx.Client, source: str, clock: Clock) -> None:
        id = submit(client, source)
        take(client, source, lease=60)
        clock.move(40)
        assert client.get(f"/job/active/{source}/{id}").status_code == 200
        clock.move(20)
        assert client.get(f"/job/active/{source}/{id}").status_code == 404

    def test_a_lease_of_0_never_ends(self, client: httpx.Client, source: str, clock: Clock) -> None:
        id = submit(client, source)
        assert take(client, source, lease=0).headers["boss-lease"] == "0"
        assert record(client, id)["until"] is None
        clock.move(10 * 366 * 24 * 3600)
        assert check(client, source, id) == 200

    def test_every_way_to_take_has_its_lease(self, client: httpx.Client, source: str) -> None:
        for path in ("/job/active/{}", "/job/active/{}/{}", "/job/available/{}"):
            id = submit(client, source)
            method = "GET" if "available" in path else "POST"
            answer = client.request(method, path.format(source, id), params={"lease": 77})
            assert (answer.json()["id"], answer.headers["boss-lease"]) == (id, "77")
        submit(client, source)
        answer = client.get(f"/job/available/{source}?limit=5&lease=78")
        assert answer.headers["boss-lease"] == "78"

    def test_the_last_attempt_abandoned_is_done(self, client: httpx.Client, source: str, clock: Clock) -> None:
        id = submit(client, source, attempts=2)
        for attempt in (1, 2):
            assert take(client, source, lease=60).headers["etag"] == f'"{attempt}"'
            clock.move(60)
        answer = client.get(f"/job/done/{source}/{id}")
        assert answer.status_code == 200
        shown = record(client, id)
        assert (shown["outcome"], shown["attempt"], shown["attempts"]) == ("abandoned", 2, 2)
        assert shown["finished"] is not None
        assert shown["until"] is None
        assert client.get(f"/job/available/{source}").status_code == 404

    def test_a_late_converter_may_finish_what_nobody_else_has_taken(
        self, client: httpx.Client, source: str, clock: Clock
    ) -> None:
        id = submit(client, source)
        etag = take(client, source, lease=60).headers["etag"]
        clock.move(61)
        assert check(client, source, id) == 404
        assert client.post(f"/job/done/{source}/{id}", headers={"if-match": etag}).status_code == 200

    def test_a_delayed_job_whose_time_has_come_has_its_place(
        self, client: httpx.Client, source: str, clock: Clock
    ) -> None:
        late, early = submit(client, source, delay=3600), submit(client, source)
        clock.move(3500)
        assert client.get(f"/job/available/{source}?limit=5").json()[0]["id"] == early
        assert client.get(f"/job/available/{source}").status_code == 404
        clock.move(100)
        assert take(client, source).json()["id"] == late


class TestIfMatch:
    @pytest.fixture
    def passed_on(self, client: httpx.Client, source: str, clock: Clock) -> str:
        """A job that went from one taker to the next."""
        id = submit(client, source)
        take(client, source, lease=60)
        clock.move(60)
        take(client, source, lease=60)
        return f"/{source}/{id}"

    @pytest.mark.parametrize(
        ("method", "state"), [("GET", "active"), ("HEAD", "active"), ("DELETE", "active"), ("POST", "done")]
    )
    def test_the_late_one_gets_412_and_changes_nothing(
        self, client: httpx.Client, passed_on: str, method: str, state: str
    ) -> None:
        id = passed_on.split("/")[-1]
        before = record(client, id)
        answer = client.request(method, f"/job/{state}{passed_on}", headers={"if-match": '"1"'})
        assert answer.status_code == 412
        assert answer.headers["boss-state"] == "active"
        if method != "HEAD":
            assert_problem(answer, 412, f"about attempt 1 of {id}, which is active in attempt 2")
        assert record(client, id) == before

    @pytest.mark.parametrize("etag", ['"2"', "*", None])
    @pytest.mark.parametrize(
        ("method", "state", "status"),
        [("GET", "active", 200), ("HEAD", "active", 200), ("DELETE", "active", 204), ("POST", "done", 200)],
    )
    def test_the_holder_does_not(
        self, client: httpx.Client, passed_on: str, method: str, state: str, status: int, etag: str | None
    ) -> None:
        headers = {"if-match": etag} if etag else {}
        assert client.request(method, f"/job/{state}{passed_on}", headers=headers).status_code == status

    @pytest.mark.parametrize("etag", ['W/"3"', '"two"', '"-1"', '""', '"99999999999"'])
    def test_what_is_no_attempt_matches_none(self, client: httpx.Client, passed_on: str, etag: str) -> None:
        assert client.post(f"/job/done{passed_on}", headers={"if-match": etag}).status_code == 412

    @pytest.mark.parametrize("etag", ["2", '"1", "2"', ""])
    def test_what_is_no_etag_is_refused(self, client: httpx.Client, passed_on: str, etag: str) -> None:
        answer = client.post(f"/job/done{passed_on}", headers={"if-match": etag})
        assert_problem(answer, 400, "it takes the one ETag that the take answered")

    def test_a_job_that_is_not_there_is_404_all_the_same(self, client: httpx.Client, passed_on: str) -> None:
        client.post(f"/job/done{passed_on}")
        for method, state in (("HEAD", "active"), ("DELETE", "active"), ("POST", "done")):
            answer = client.request(method, f"/job/{state}{passed_on}", headers={"if-match": '"2"'})
            assert (answer.status_code, answer.headers["boss-state"]) == (404, "done")

    def test_one_that_was_given_back_since_is_not_its_first_takers(self, client: httpx.Client, passed_on: str) -> None:
        client.delete(f"/job/active{passed_on}")
        answer = client.post(f"/job/done{passed_on}", headers={"if-match": '"1"'})
        assert (answer.status_code, answer.headers["boss-state"]) == (412, "available")


class TestGiveBack:
    def test_with_a_delay(self, client: httpx.Client, source: str, clock: Clock) -> None:
        first, second = submit(client, source), submit(client, source)
        take(client, source)
        answer = client.delete(f"/job/active/{source}/{first}?delay=100")
        assert (answer.status_code, answer.content, answer.headers["boss-state"]) == (204, b"", "available")
        assert take(client, source).json()["id"] == second
        assert client.get(f"/job/available/{source}").status_code == 404
        clock.move(100)
        assert take(client, source).headers["etag"] == '"2"'

    def test_at_once_with_a_delay_of_0(self, client: httpx.Client, source: str) -> None:
        first, _ = submit(client, source), submit(client, source)
        take(client, source)
        client.delete(f"/job/active/{source}/{first}?delay=0")
        assert take(client, source).json()["id"] == first

    def test_after_a_growing_backoff(self, client: httpx.Client, source: str, clock: Clock) -> None:
        id = submit(client, source)
        for attempt in range(1, 20):
            etag = take(client, source, lease=0).headers["etag"]
            assert etag == f'"{attempt}"'
            before = record(client, id)["seen"]
            client.delete(f"/job/active/{source}/{id}", headers={"if-match": etag})
            rest = seconds(record(client, id)["due"], before)
            assert backoff(attempt) <= rest < backoff(attempt) + 5
            clock.move(rest)

    def test_the_last_attempt_given_back_has_failed(self, client: httpx.Client, source: str) -> None:
        id = submit(client, source, attempts=1)
        take(client, source)
        answer = client.delete(f"/job/active/{source}/{id}?delay=5")
        assert (answer.status_code, answer.headers["boss-state"]) == (204, "done")
        shown = record(client, id)
        assert (shown["state"], shown["outcome"], shown["due"]) == ("done", "failed", None)

    def test_what_an_attempt_leaves_behind_is_kept_until_the_next_leaves_more(
        self, client: httpx.Client, source: str
    ) -> None:
        id = submit(client, source)
        path = f"/job/active/{source}/{id}"
        for content, kept in (
            ('{"error": "no such file", "exact": 1.50}', {"error": "no such file", "exact": 1.5}),
            ("", {"error": "no such file", "exact": 1.5}),
            ("{}", {}),
        ):
            take(client, source)
            assert client.request("DELETE", f"{path}?delay=0", content=content).status_code == 204
            assert record(client, id)["result"] == kept
        # The third one in a row that came back at once rests for a second.
        assert client.get(f"/job/available/{source}?wait=30").status_code == 200
        assert_problem(client.request("DELETE", path, content="[]"), 400, "The result is an array")
        assert check(client, source, id) == 200
        assert client.post(f"/job/done/{source}/{id}").status_code == 200
        assert record(client, id)["result"] is None

    def test_only_an_active_job_can_be_given_back(self, client: httpx.Client, source: str) -> None:
        id = submit(client, source)
        answer = client.delete(f"/job/active/{source}/{id}")
        assert_problem(answer, 404, f"it is at /job/available/{source}/{id}")
        assert answer.headers["boss-state"] == "available"
        assert_problem(client.delete(f"/job/active/{source}/none"), 404, "no job has the id none")

    @pytest.mark.parametrize("delay", ["-1", "soon", "999999999"])
    def test_a_bad_delay_is_refused(self, client: httpx.Client, source: str, delay: str) -> None:
        id = submit(client, source)
        take(client, source)
        assert_problem(client.delete(f"/job/active/{source}/{id}?delay={delay}"), 400, "takes seconds from 0")
        assert check(client, source, id) == 200


class TestIdempotencyKey:
    @pytest.mark.parametrize("path", ["/job/available", "/job/available/{}", "/job/active", "/job/active/{}"])
    def test_the_same_key_gets_the_same_attempt(self, client: httpx.Client, source: str, path: str) -> None:
        ids = [submit(client, source) for _ in range(2)]
        method = "GET" if "available" in path else "POST"
        headers = {"idempotency-key": f"a take of {source}"}
        answers = [client.request(method, path.format(source), headers=headers) for _ in range(3)]
        assert [answer.json()["id"] for answer in answers] == [ids[0]] * 3
        assert [answer.headers["etag"] for answer in answers] == ['"1"'] * 3
        client.post(f"/job/done/{source}/{ids[0]}")
        assert client.request(method, path.format(source), headers=headers).json()["id"] == ids[1]

    def test_another_key_or_none_gets_another(self, client: httpx.Client, source: str) -> None:
        ids = [submit(client, source) for _ in range(3)]
        keys: list[dict[str, str]] = [{"idempotency-key": "1"}, {"idempotency-key": "2"}, {}]
        assert [client.get(f"/job/available/{source}", headers=key).json()["id"] for key in keys] == ids

    def test_it_is_over_with_the_attempt(self, client: httpx.Client, source: str, clock: Clock) -> None:
        submit(client, source)
        key = {"idempotency-key": "k"}
        client.get(f"/job/available/{source}?lease=60", headers=key)
        clock.move(60)
        assert client.get(f"/job/available/{source}", headers=key).headers["etag"] == '"2"'

    def test_with_a_limit_it_gets_those_still_held(self, client: httpx.Client, source: str) -> None:
        ids = [submit(client, source) for _ in range(5)]
        key = {"idempotency-key": "k"}
        path = f"/job/available/{source}?limit=3"
        assert [job["id"] for job in client.get(path, headers=key).json()] == ids[:3]
        client.post(f"/job/done/{source}/{ids[1]}")
        assert [job["id"] for job in client.get(path, headers=key).json()] == [ids[0], ids[2]]

    def test_of_one_job(self, client: httpx.Client, source: str) -> None:
        id = submit(client, source)
        path = f"/job/active/{source}/{id}"
        for _ in range(2):
            answer = client.post(path, headers={"idempotency-key": "k"})
            assert (answer.status_code, answer.headers["etag"]) == (200, '"1"')
        for other in ({"idempotency-key": "k2"}, {}):
            assert client.post(path, headers=other).status_code == 404

    def test_at_another_address_it_is_another_take(self, client: httpx.Client, source: str) -> None:
        ids = [submit(client, source) for _ in range(2)]
        key = {"idempotency-key": "k"}
        assert client.get("/job/available", headers=key).json()["id"] == ids[0]
        assert client.get(f"/job/available/{source}", headers=key).json()["id"] == ids[1]

    @pytest.mark.parametrize("key", ["", "x" * 256, "\xe9"])
    def test_a_bad_key_is_refused(self, client: httpx.Client, source: str, key: str) -> None:
        submit(client, source)
        answer = client.get(f"/job/available/{source}", headers={b"idempotency-key": key.encode("latin-1")})
        assert_problem(answer, 400, "The Idempotency-Key takes 1 to 255")
        assert client.head(f"/job/available/{source}").status_code == 200


class TestHistory:
    def test_of_a_job_with_two_takers(self, client: httpx.Client, source: str, clock: Clock) -> None:
        id = submit(client, source, attempts=5)
        shown = record(client, id)
        assert (shown["attempt"], shown["attempts"]) == (0, 5)
        assert [shown[name] for name in ("taken", "seen", "until", "finished", "outcome", "result")] == [None] * 6
        take(client, source, lease=60)
        clock.move(30)
        check(client, source, id)
        shown = record(client, id)
        assert 30 <= seconds(shown["seen"], shown["taken"]) < 35
        assert seconds(shown["until"], shown["seen"]) == pytest.approx(80)
        clock.move(81)
        shown = record(client, id)
        assert (shown["state"], shown["attempt"], shown["until"], shown["outcome"]) == ("available", 1, None, None)
        assert shown["seen"] is not None
        take(client, source)
        client.post(f"/job/done/{source}/{id}?outcome=failed", content='{"why": "no room"}')
        shown = record(client, id)
        assert (shown["attempt"], shown["outcome"], shown["result"]) == (2, "failed", {"why": "no room"})
        assert shown["until"] is None
        for name in ("submitted", "taken", "seen", "finished"):
            assert shown[name].endswith("Z")
            assert datetime.fromisoformat(shown[name]).utcoffset() == timedelta(0)


class TestPrune:
    def test_only_old_done_jobs_are_deleted(self, client: httpx.Client, source: str, clock: Clock) -> None:
        client.delete("/job/done?older=0")
        for _ in range(3):
            client.post(f"/job/done/{source}/{submit(client, source)}")
        clock.move(100)
        kept = [submit(client, source) for _ in range(3)]
        take(client, source, lease=0)
        client.post(f"/job/done/{source}/{kept[2]}")
        assert client.delete("/job/done?older=100").json() == {"deleted": 3, "more": False}
        left = client.get("/jobs", params={"source": source}).json()["jobs"]
        assert {(job["id"], job["state"]) for job in left} == set(
            zip(kept, ("active", "available", "done"), strict=True)
        )
        assert [client.get("/job").json()[state][source] for state in ("available", "active", "done")] == [1, 1, 1]

    def test_many_take_more_than_one_request(self, client: httpx.Client, source: str, clock: Clock) -> None:
        client.delete("/job/done?older=0")
        clock.run(
            "INSERT INTO job (id, source, document, status, finished_at) "
            f"SELECT '{source}-' || n, '{source}', '{{}}', 'DONE', now() - interval '1 day' "
            "FROM generate_series(1, 12500) AS n"
        )
        assert client.delete("/job/done?older=60").json() == {"deleted": 10000, "more": True}
        assert client.delete("/job/done?older=60").json() == {"deleted": 2500, "more": False}

    @pytest.mark.parametrize("query", ["", "?older=", "?older=old", "?older=-1", "?before=1"])
    def test_how_old_must_be_said(self, client: httpx.Client, query: str) -> None:
        assert_problem(client.delete(f"/job/done{query}"), 400, r"\?older=2592000|takes seconds|known are: dry_run")
