"""Permissions: every endpoint, with every role and source, on a real server."""

import itertools
import json
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.helpers.guarded import NO_TOKENS, TOKENS, Who, guarded
from tests.helpers.limits import NO_DEFAULTS
from tests.helpers.requests import assert_problem, submit
from tests.helpers.servers import until
from tests.helpers.tokens import API, Guarded, waiting_takers

pytestmark = pytest.mark.slow

__all__ = ["guarded"]  # a fixture

ALL = frozenset(["converter", "submitter", "admin"])
CONVERT, SUBMIT, ADMIN = ALL - {"submitter"}, ALL - {"converter"}, frozenset(["admin"])
READ = SUBMIT
PUBLIC = None
# Which roles may do it; where the path names a source, only in their own.
MAY: dict[tuple[str, str], frozenset[str] | None] = {
    ("GET", "/job/available"): CONVERT,
    ("HEAD", "/job/available"): ALL,
    ("GET", "/job/available/{source}"): CONVERT,
    ("HEAD", "/job/available/{source}"): ALL,
    ("POST", "/job/available/{source}"): SUBMIT,
    ("GET", "/job/available/{source}/{id}"): READ,
    ("HEAD", "/job/available/{source}/{id}"): ALL,
    ("POST", "/job/available/{source}/{id}"): SUBMIT,
    ("PUT", "/job/available/{source}/{id}"): SUBMIT,
    ("POST", "/job/active"): CONVERT,
    ("POST", "/job/active/{source}"): CONVERT,
    ("GET", "/job/active/{source}/{id}"): ALL,
    ("HEAD", "/job/active/{source}/{id}"): CONVERT,
    ("POST", "/job/active/{source}/{id}"): CONVERT,
    ("PUT", "/job/active/{source}/{id}"): CONVERT,
    ("DELETE", "/job/active/{source}/{id}"): CONVERT,
    ("DELETE", "/job/done"): ADMIN,
    ("POST", "/job/done/{source}"): CONVERT,
    ("DELETE", "/job/done/{source}"): ADMIN,
    ("DELETE", "/job/done/{source}/{id}"): ADMIN,
    ("GET", "/job/done/{source}/{id}"): READ,
    ("HEAD", "/job/done/{source}/{id}"): ALL,
    ("POST", "/job/done/{source}/{id}"): CONVERT,
    ("GET", "/job"): READ,
    ("GET", "/jobs"): READ,
    ("GET", "/jobs/{id}"): READ,
    ("GET", "/source"): READ,
    ("GET", "/source/{source}"): READ,
    ("PUT", "/source/{source}"): ADMIN,
    ("GET", "/converter"): READ,
    ("GET", "/history"): READ,
    ("GET", "/source/{source}/history"): READ,
    ("DELETE", "/source/{source}"): ADMIN,
    ("GET", "/schedule"): READ,
    ("GET", "/schedule/{name}"): READ,
    ("PUT", "/schedule/{name}"): ADMIN,
    ("POST", "/schedule/{name}"): ADMIN,
    ("DELETE", "/schedule/{name}"): ADMIN,
    ("GET", "/token"): ADMIN,
    ("POST", "/token/{name}"): ADMIN,
    ("DELETE", "/token/{name}"): ADMIN,
    ("GET", "/audit"): ADMIN,
    ("GET", "/session"): PUBLIC,
    ("POST", "/session"): PUBLIC,
    ("DELETE", "/session"): PUBLIC,
    ("GET", "/health"): READ,
    ("GET", "/health/live"): PUBLIC,
    ("GET", "/health/ready"): PUBLIC,
    ("GET", "/watch"): READ,
    ("GET", "/"): PUBLIC,
    ("GET", "/openapi.json"): PUBLIC,
    ("GET", "/docs"): PUBLIC,
    ("GET", "/metrics"): READ,
}
# What is about all sources at once is for tokens that are for all of them.
OF_ALL = ("/health", "/metrics")
BODIES = {
    ("PUT", "/job/active/{source}/{id}"): "{}",
    ("PUT", "/source/{source}"): "{}",
    ("PUT", "/schedule/{name}"): '{"source": "freg", "cron": "0 3 * * *"}',
    ("POST", "/session"): '{"token": "boss_unknown"}',
    ("POST", "/job/available/{source}"): "{}",
    ("POST", "/job/available/{source}/{id}"): "{}",
    ("POST", "/token/{name}"): '{"role": "converter"}',
    ("POST", "/job/done/{source}"): '{"id": "nobodys"}\n',
}
numbers = itertools.count(1)


def test_the_table_has_every_endpoint() -> None:
    documented = {
        (method.upper(), path)
        for path, resource in API["paths"].items()
        for method in resource
        if method in ("get", "head", "post", "put", "delete")
    }
    assert set(MAY) == documented


@pytest.mark.parametrize("who", [*TOKENS, *NO_TOKENS], ids=lambda who: who.name or "none")
def test_each_endpoint_with_each_token_and_source(guarded: Guarded, who: Who) -> None:
    with guarded.client("root") as root, guarded.client(who.name) as client:
        for (method, path), roles in MAY.items():
            for source in ("freg", "other"):
                allowed = is_allowed(who, path, roles, source)
                there, missing = (asked(client, method, path, source, id) for id in (a_job(root, path, source), "none"))
                if path == "/session":
                    continue  # its 401 is not about who asks, but about what is asked; see below
                if allowed:
                    assert there.status_code not in (401, 403), (method, path, source, there.text)
                    continue
                expected = 401 if who.role is None else 403
                assert there.status_code == expected, (method, path, source, there.text)
                # Nothing in a refusal tells whether there is a job.
                assert said(there) == said(missing)
                if method != "HEAD":
                    assert there.headers["content-type"] == "application/problem+json"
                if expected == 401:
                    assert there.headers["www-authenticate"] == "Bearer"


def is_allowed(who: Who, path: str, roles: frozenset[str] | None, source: str) -> bool:
    if roles is PUBLIC:
        return True
    reaches = who.sources is None or (source in who.sources if "{source}" in path else path not in OF_ALL)
    return who.role in roles and reaches


def a_job(root: httpx.Client, path: str, source: str) -> str:
    """A job in the state that the path is about."""
    id = submit(root, f"{source}/job-{next(numbers)}").split("/")[-1]
    if "/active/" in path:
        assert root.post(f"/job/active/{source}/{id}").status_code == 200
    if path.startswith("/job/done/{source}/{id}"):
        assert root.post(f"/job/done/{source}/{id}").status_code == 200
    return id


def asked(client: httpx.Client, method: str, path: str, source: str, id: str) -> httpx.Response:
    address = path.format(source=source, id=id, name=f"name-{next(numbers)}")
    headers = {"content-type": "application/x-ndjson"} if path == "/job/done/{source}" else {}
    query = {"older": "100000"} if path == "/job/done" else {}
    body = BODIES.get((method, path))
    if path == "/watch":
        with client.stream(method, address) as answer:
            if answer.status_code != 200:
                answer.read()
            return answer
    return client.request(method, address, headers=headers, params=query, content=body)


def said(answer: httpx.Response) -> tuple[object, ...]:
    # A connection is closed by an answer that came before all of the request had.
    headers = {name: value for name, value in answer.headers.items() if name not in ("date", "connection")}
    return answer.status_code, headers, answer.text


def test_a_session_says_who_is_there(guarded: Guarded) -> None:
    with guarded.client("submits-freg") as client:
        assert client.get("/session").json() == {"name": "submits-freg", "role": "submitter", "sources": ["freg"]}
    with guarded.client("") as client:
        assert_problem(client.get("/session"), 401, "Sign in")
        assert_problem(client.post("/session", json={"token": "boss_no"}), 401, "unknown, expired or revoked")
        assert client.delete("/session").status_code == 204


class TestSources:
    """A token sees and gets what is of its sources, and hears nothing of the rest."""

    def test_any_source_means_its_sources(self, guarded: Guarded) -> None:
        with (
            guarded.client("root") as root,
            guarded.client("converts-two") as two,
            guarded.client("converts-freg") as one,
        ):
            empty(root)
            for source in ("other", "freg", "sirius", "other", "freg"):
                submit(root, source)
            assert one.head("/job/available").status_code == 200
            assert one.get("/job/available").json()["source"] == "freg"
            got = [two.get("/job/available").json()["source"] for _ in range(2)]
            assert sorted(got) == ["freg", "sirius"]
            assert_problem(two.get("/job/available"), 404, "^No job of freg, sirius is ready$")
            assert two.head("/job/available").status_code == one.head("/job/available").status_code == 404
            assert_problem(two.get("/job/available?wait=1"), 404, "^No job of freg, sirius is ready$")
            assert root.get("/job/available?limit=10").json()[0]["source"] == "other"

    def test_waiting_for_any_source_hears_of_its_sources_only(self, guarded: Guarded) -> None:
        with guarded.client("root") as root, guarded.client("converts-two") as two:
            empty(root)
            with ThreadPoolExecutor(1) as thread:
                waiting = thread.submit(two.get, "/job/available?wait=20")
                until(lambda: waiting_takers(root) == 1)
                submit(root, "other")
                time.sleep(0.3)
                assert not waiting.done()
                started = time.monotonic()
                submit(root, "sirius")
                assert waiting.result().json()["source"] == "sirius"
                assert time.monotonic() - started < 5

    def test_lists_show_its_sources_only(self, guarded: Guarded) -> None:
        with guarded.client("root") as root, guarded.client("submits-freg") as mine:
            own, others = submit(root, "freg"), submit(root, "other")
            assert {job["source"] for job in mine.get("/jobs?limit=1000").json()["jobs"]} == {"freg"}
            assert set(mine.get("/job").json()["available"]) == {"freg"}
            assert "other" not in mine.get("/job", headers={"accept": "text/plain"}).text
            assert [each["source"] for each in mine.get("/source").json()["sources"]] == ["freg"]
            assert mine.get(f"/jobs/{own}").status_code == 200
            there, missing = mine.get(f"/jobs/{others}"), mine.get("/jobs/" + "x" * len(others))
            assert said(there)[0] == 404
            assert there.text.replace(others, "") == missing.text.replace("x" * len(others), "")
            assert mine.get("/jobs?source=other").status_code == 403
            with mine.stream("GET", "/watch") as stream:
                news = json.loads(next(line for line in stream.iter_lines() if line.startswith("data: "))[6:])
                assert set(news["counts"]) == {"freg"}
                assert {job["source"] for job in news["failed"]} <= {"freg"}

    @pytest.mark.parametrize(
        ("who", "method", "path"),
        [
            ("submits-freg", "GET", "/job/available/freg/{}"),
            ("submits-freg", "HEAD", "/job/available/freg/{}"),
            ("submits-freg", "GET", "/job/active/freg/{}"),
            ("submits-freg", "GET", "/job/done/freg/{}"),
            ("converts-freg", "HEAD", "/job/active/freg/{}"),
            ("converts-freg", "POST", "/job/active/freg/{}"),
            ("converts-freg", "DELETE", "/job/active/freg/{}"),
            ("converts-freg", "POST", "/job/done/freg/{}"),
        ],
    )
    def test_a_job_of_another_source_is_like_none(self, guarded: Guarded, who: str, method: str, path: str) -> None:
        with guarded.client("root") as root, guarded.client(who) as mine:
            id = submit(root, "other")
            missing = said(mine.request(method, path.format("x" * len(id))))
            there = said(mine.request(method, path.format(id)))
            assert there[0] == 404
            assert json.dumps(there).replace(id, "") == json.dumps(missing).replace("x" * len(id), "")

    def test_an_id_that_another_source_has_is_taken(self, guarded: Guarded) -> None:
        with guarded.client("root") as root, guarded.client("submits-freg") as mine:
            id = submit(root, "other")
            taken = mine.post(f"/job/available/freg/{id}", content="{}")
            assert_problem(taken, 409, "choose another")
            assert taken.headers["boss-state"] == "none"

    def test_another_ones_key_gives_nobody_their_job(self, guarded: Guarded) -> None:
        with (
            guarded.client("root") as root,
            guarded.client("converts-freg") as one,
            guarded.client("converts") as other,
        ):
            empty(root)
            first, second = submit(root, "freg"), submit(root, "freg")
            key = {"idempotency-key": "the same"}
            assert one.get("/job/available/freg", headers=key).json()["id"] == first
            assert other.get("/job/available/freg", headers=key).json()["id"] == second
            assert one.get("/job/available/freg", headers=key).json()["id"] == first


def empty(root: httpx.Client) -> None:
    """Finish all jobs, for those that are delayed or active may come back."""
    for state in ("available", "active"):
        for job in root.get(f"/jobs?state={state}&limit=1000").json()["jobs"]:
            root.post(f"/job/done/{job['source']}/{job['id']}")


class TestStopping:
    def test_only_an_admin_stops(self, guarded: Guarded) -> None:
        lines = {"content-type": "application/x-ndjson"}
        with guarded.client("root") as root, guarded.client("converts") as converter:
            id = submit(root, "freg")
            body = json.dumps({"id": id, "outcome": "stopped"}) + "\n"
            assert_problem(converter.post(f"/job/done/freg/{id}?outcome=stopped"), 403, "only admins may stop jobs")
            assert_problem(converter.post("/job/done/freg", content=body, headers=lines), 403, "may stop jobs")
            assert root.get(f"/jobs/{id}").json()["state"] == "available"
            assert root.post("/job/done/freg", content=body, headers=lines).text == f'{{"id":"{id}","status":200}}\n'
            assert root.get(f"/jobs/{id}").json()["outcome"] == "stopped"


class TestAudit:
    def test_who_did_what_is_kept_with_the_job(self, guarded: Guarded) -> None:
        with (
            guarded.client("root") as root,
            guarded.client("submits-freg") as submitter,
            guarded.client("converts-freg") as converter,
            guarded.client("converts") as other,
        ):
            empty(root)
            id = submit(submitter, "freg", attempts=3)
            converter.get("/job/available/freg")
            given = converter.request("DELETE", f"/job/active/freg/{id}?delay=0", content='{"error": "disk full"}')
            assert given.status_code == 204
            other.get("/job/available/freg?lease=1")
            until(lambda: root.get(f"/jobs/{id}").json()["state"] == "available")
            converter.get("/job/available/freg")
            stopped = root.post(f"/job/done/freg/{id}?outcome=stopped", content='{"reason": "the wrong file"}')
            assert stopped.status_code == 200
            job = root.get(f"/jobs/{id}").json()
            assert (job["submitted_by"], job["taken_by"], job["finished_by"]) == (
                "submits-freg",
                "converts-freg",
                "root",
            )
            assert job["result"] == {"reason": "the wrong file"}
            first, second = job["history"]
            assert (first["attempt"], first["by"], first["how"]) == (1, "converts-freg", "given back")
            assert (first["given_back_by"], first["why"]) == ("converts-freg", "disk full")
            assert (second["attempt"], second["by"], second["how"]) == (2, "converts", "lease ran out")
            assert first["taken"] <= first["ended"] <= second["taken"] <= second["ended"] <= job["taken"]

    def test_what_is_kept_with_no_job_is_in_the_record_of_acts(self, guarded: Guarded) -> None:
        with guarded.client("root") as root:
            submit(root, "freg/old")
            root.post("/job/done/freg/old")
            until(lambda: root.delete("/job/done?older=0.01").json()["deleted"] > 0)
            root.put("/source/elsewhere", json={"limit": 2})
            root.put("/source/elsewhere", json={})
            page = root.get("/audit?limit=3").json()
            done = [(act["by"], act["did"], act["what"]) for act in page["acts"]]
            assert done[0] == (
                "root",
                "set the rule of a source",
                {"source": "elsewhere", "paused": False, "limit": None} | NO_DEFAULTS,
            )
            assert done[1][2]["limit"] == 2
            assert done[2][:2] == ("root", "pruned")
            assert done[2][2]["jobs"] > 0
            every, address = [], "/audit?limit=2"
            while address:
                page = root.get(address).json()
                every += page["acts"]
                address = page["next"]
            assert [act["number"] for act in every] == sorted((act["number"] for act in every), reverse=True)
            assert {"created a token", "revoked a token"} <= {act["did"] for act in every}
            assert_problem(root.get("/audit?before=x"), 400, "number of an audit event")

    def test_the_log_says_who(self, guarded: Guarded) -> None:
        with guarded.client("submits-freg") as client:
            id = submit(client, "freg")
        until(lambda: id in guarded.boss.log)
        [line] = [json.loads(line) for line in guarded.boss.log.splitlines() if f'"{id}"' in line]
        assert (line["event"], line["by"]) == ("submitted", "submits-freg")
