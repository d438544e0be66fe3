"""The HTTP contract, line by line, over real HTTP on a real PostgreSQL."""

import re
import time
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from tests.helpers.requests import assert_problem, submit

pytestmark = pytest.mark.every_postgres

DOCUMENT = (
    '{"topic": "data", "storageRoot": "gs://bucket", "storageVersion": 42, "initialPosition": "LAST", '
    '"big": 123456789012345678901234567890, "exact": 0.1234567890123456789012345678, "name": "Åse 😀"}'
)
ULID = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}")


class TestSubmit:
    def test_without_an_id_one_is_generated(self, client: httpx.Client, source: str) -> None:
        answer = client.post(f"/job/available/{source}", content=DOCUMENT)
        assert answer.status_code == 201
        shown = answer.json()
        assert set(shown) == {"id", "source", "job"}
        assert ULID.fullmatch(shown["id"])
        assert shown["source"] == source
        assert answer.headers["location"] == f"/job/available/{source}/{shown['id']}"
        assert answer.headers["boss-state"] == "available"

    @pytest.mark.parametrize("id", ["e80b99fd-1dc6-40e9-9719-77b0fbab768b", "Freg-2026.11_24~x"])
    def test_with_an_id_it_is_kept_as_sent(self, client: httpx.Client, source: str, id: str) -> None:
        assert submit(client, f"{source}/{id}") == id
        assert client.get(f"/job/available/{source}/{id}").json() == {"id": id, "source": source, "job": {}}

    def test_generated_ids_increase(self, client: httpx.Client, source: str) -> None:
        ids = [submit(client, source) for _ in range(20)]
        assert ids == sorted(ids)

    def test_the_document_comes_back_unchanged(self, client: httpx.Client, source: str) -> None:
        submit(client, source, DOCUMENT)
        taken = client.get(f"/job/available/{source}").text
        assert '"big": 123456789012345678901234567890' in taken
        assert '"exact": 0.1234567890123456789012345678' in taken
        assert '"name": "Åse 😀"' in taken

    def test_an_id_that_exists_in_any_state_or_source_is_a_conflict(self, client: httpx.Client, source: str) -> None:
        id = submit(client, source, '{"first": true}')
        for path, state in ((source, "available"), ("another", "available")):
            answer = client.post(f"/job/available/{path}/{id}", content='{"second": true}')
            assert_problem(answer, 409, f"/job/{state}/{source}/{id}")
            assert answer.headers["boss-state"] == state
        client.post(f"/job/active/{source}/{id}")
        answer = client.post(f"/job/available/{source}/{id}", content="{}")
        assert_problem(answer, 409, f"/job/active/{source}/{id}")
        client.post(f"/job/done/{source}/{id}")
        answer = client.post(f"/job/available/{source}/{id}", content="{}")
        assert_problem(answer, 409, f"/job/done/{source}/{id}")
        assert client.get(f"/job/done/{source}/{id}").json()["job"] == {"first": True}

    def test_any_content_type_will_do(self, client: httpx.Client, source: str) -> None:
        for content_type in ("application/x-www-form-urlencoded", "text/plain", "application/json; charset=utf-8"):
            answer = client.post(f"/job/available/{source}", content="{}", headers={"content-type": content_type})
            assert answer.status_code == 201


class TestTake:
    def test_it_is_active_before_the_answer(self, client: httpx.Client, source: str) -> None:
        id = submit(client, source, '{"a": 1}')
        answer = client.get(f"/job/available/{source}")
        assert answer.status_code == 200
        assert answer.json() == {"id": id, "source": source, "job": {"a": 1}}
        assert answer.headers["cache-control"] == "no-store, no-transform"
        assert answer.headers["location"] == f"/job/active/{source}/{id}"
        assert answer.headers["etag"] == '"1"'
        assert answer.headers["boss-lease"] == "1800"
        assert answer.headers["boss-state"] == "active"
        assert client.head(f"/job/active/{source}/{id}").status_code == 200
        assert client.head(f"/job/available/{source}/{id}").status_code == 404

    def test_from_any_source_the_oldest_first(self, client: httpx.Client, source: str) -> None:
        ids = [submit(client, f"{source}.{number}") for number in (3, 1, 2)]
        assert [client.get("/job/available").json()["id"] for _ in ids] == ids

    def test_oldest_means_arrival_not_the_id(self, client: httpx.Client, source: str) -> None:
        for id in (f"{source}-z", f"{source}-a", f"{source}-m"):
            submit(client, f"{source}/{id}")
        taken = [client.get(f"/job/available/{source}").json()["id"][-1] for _ in range(3)]
        assert taken == ["z", "a", "m"]

    def test_none_is_404(self, client: httpx.Client, source: str) -> None:
        assert_problem(client.get("/job/available"), 404, "^No job is ready$")
        answer = client.get(f"/job/available/{source}")
        assert_problem(answer, 404, f"^No job of {source} is ready$")
        assert answer.headers["boss-state"] == "none"

    def test_another_sources_job_is_not_taken(self, client: httpx.Client, source: str) -> None:
        submit(client, f"{source}.other")
        assert client.get(f"/job/available/{source}").status_code == 404

    @pytest.mark.parametrize("path", ["/job/active", "/job/active/{source}"])
    def test_by_post(self, client: httpx.Client, source: str, path: str) -> None:
        id = submit(client, source, '{"a": 1}')
        answer = client.post(path.format(source=source))
        assert answer.json() == {"id": id, "source": source, "job": {"a": 1}}
        assert answer.headers["location"] == f"/job/active/{source}/{id}"
        assert client.post(path.format(source=source)).status_code == 404

    def test_one_by_its_address(self, client: httpx.Client, source: str) -> None:
        first, second = submit(client, source), submit(client, source)
        assert client.post(f"/job/active/{source}/{second}").json()["id"] == second
        assert_problem(client.post(f"/job/active/{source}/{second}"), 404, f"/job/active/{source}/{second}")
        assert_problem(
            client.post(f"/job/active/another/{first}"),
            404,
            f"^Only an available job of another can be taken: it is at /job/available/{source}/{first}",
        )
        assert client.get(f"/job/available/{source}").json()["id"] == first

    def test_many(self, client: httpx.Client, source: str) -> None:
        ids = [submit(client, source) for _ in range(5)]
        answer = client.get(f"/job/available/{source}", params={"limit": 3})
        assert [job["id"] for job in answer.json()] == ids[:3]
        assert [job["id"] for job in client.get("/job/available?limit=1000").json()] == ids[3:]
        assert client.get("/job/available?limit=1").status_code == 404
        submit(client, source)
        assert len(client.get("/job/available?limit=1").json()) == 1

    def test_head_takes_nothing(self, client: httpx.Client, source: str) -> None:
        assert client.head("/job/available").status_code == 404
        submit(client, source)
        for path in ("/job/available", f"/job/available/{source}"):
            answer = client.head(path)
            assert (answer.status_code, answer.content) == (200, b"")
        assert client.head("/job/available/another").status_code == 404
        assert client.get(f"/job/available/{source}").status_code == 200


class TestOrder:
    def test_higher_priority_first_then_arrival(self, client: httpx.Client, source: str) -> None:
        wanted = [(0, 3), (5, 1), (-1000, 5), (5, 2), (1000, 0), (0, 4)]
        ids = {place: submit(client, source, priority=priority) for priority, place in wanted}
        taken = [client.get(f"/job/available/{source}").json()["id"] for _ in wanted]
        assert taken == [ids[place] for place in sorted(ids)]

    def test_many_keep_the_order(self, client: httpx.Client, source: str) -> None:
        ids = [submit(client, source, priority=number % 3) for number in range(30)]
        taken = [job["id"] for job in client.get("/job/available?limit=100").json()]
        assert taken == [id for priority in (2, 1, 0) for id in ids[priority::3]]

    def test_a_delayed_job_waits_and_then_has_its_place(self, client: httpx.Client, source: str) -> None:
        delayed = submit(client, source, delay=0.8)
        other, newest = submit(client, source), submit(client, source)
        assert client.get(f"/job/available/{source}/{delayed}").status_code == 200
        assert client.get(f"/job/available/{source}").json()["id"] == other
        deadline = time.monotonic() + 20
        while client.get("/jobs", params={"source": source, "after": other}).json()["jobs"][0]["due"]:
            assert time.monotonic() < deadline
        assert [client.get(f"/job/available/{source}").json()["id"] for _ in range(2)] == [delayed, newest]

    def test_at_a_time_that_has_passed_is_at_once(self, client: httpx.Client, source: str) -> None:
        ids = [
            submit(client, source, at="2020-01-01T00:00:00Z"),
            submit(client, source, at="2020-01-01T02:00:00.5+02:00"),
            submit(client, source, delay=0),
        ]
        assert [client.get(f"/job/available/{source}").json()["id"] for _ in ids] == ids

    def test_at_a_time_to_come_is_not_yet(self, client: httpx.Client, source: str) -> None:
        tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
        id = submit(client, source, at=tomorrow)
        assert client.get(f"/job/available/{source}").status_code == 404
        # Asked for by its own address, it is handed out all the same.
        assert client.post(f"/job/active/{source}/{id}").status_code == 200


class TestRead:
    def test_a_read_changes_nothing(self, client: httpx.Client, source: str) -> None:
        id = submit(client, source, '{"a": 1}')
        for _ in range(3):
            answer = client.get(f"/job/available/{source}/{id}")
            assert answer.json() == {"id": id, "source": source, "job": {"a": 1}}
            assert answer.headers["boss-state"] == "available"
        assert client.get(f"/job/available/{source}").json()["id"] == id

    @pytest.mark.parametrize("state", ["available", "active", "done"])
    def test_a_job_has_one_address_at_a_time(self, client: httpx.Client, source: str, state: str) -> None:
        id = submit(client, source)
        if state != "available":
            client.post(f"/job/active/{source}/{id}")
        if state == "done":
            client.post(f"/job/done/{source}/{id}")
        for other in ("available", "active", "done"):
            here = other == state
            found = client.get(f"/job/{other}/{source}/{id}")
            checked = client.head(f"/job/{other}/{source}/{id}")
            assert found.status_code == checked.status_code == (200 if here else 404)
            assert found.headers["boss-state"] == checked.headers["boss-state"] == state
            assert checked.content == b""
            if not here:
                assert_problem(found, 404, f"/job/{state}/{source}/{id}")
        assert_problem(client.get(f"/job/{state}/another/{id}"), 404, f"/job/{state}/{source}/{id}")

    def test_a_job_that_never_was(self, client: httpx.Client, source: str) -> None:
        for state in ("available", "active", "done"):
            answer = client.get(f"/job/{state}/{source}/none")
            assert_problem(answer, 404, "no job has the id none")
            assert answer.headers["boss-state"] == "none"


class TestDone:
    @pytest.mark.parametrize("taken", [True, False])
    def test_from_active_and_from_available(self, client: httpx.Client, source: str, taken: bool) -> None:
        id = submit(client, source)
        if taken:
            client.get(f"/job/available/{source}")
        answer = client.post(f"/job/done/{source}/{id}")
        assert answer.status_code == 200
        assert answer.headers["boss-state"] == "done"
        assert client.head(f"/job/done/{source}/{id}").status_code == 200
        assert client.get(f"/job/available/{source}").status_code == 404

    def test_otherwise_404_that_says_where_it_is(self, client: httpx.Client, source: str) -> None:
        id = submit(client, source)
        answer = client.post(f"/job/done/another/{id}")
        assert_problem(answer, 404, f"/job/available/{source}/{id}")
        assert answer.headers["boss-state"] == "available"
        client.post(f"/job/done/{source}/{id}")
        answer = client.post(f"/job/done/{source}/{id}")
        assert_problem(answer, 404, f"/job/done/{source}/{id}")
        assert answer.headers["boss-state"] == "done"
        answer = client.post(f"/job/done/{source}/none")
        assert_problem(answer, 404, "no job has the id none")
        assert answer.headers["boss-state"] == "none"

    @pytest.mark.parametrize("outcome", ["completed", "failed", "stopped"])
    def test_with_an_outcome_and_a_result(self, client: httpx.Client, source: str, outcome: str) -> None:
        id = submit(client, source)
        answer = client.post(f"/job/done/{source}/{id}", params={"outcome": outcome}, content='{"rows": 7}')
        assert answer.status_code == 200
        [record] = client.get("/jobs", params={"source": source}).json()["jobs"]
        assert (record["outcome"], record["result"]) == (outcome, {"rows": 7})

    def test_a_delayed_job_can_be_stopped(self, client: httpx.Client, source: str) -> None:
        id = submit(client, source, delay=3600)
        assert client.post(f"/job/done/{source}/{id}?outcome=stopped").status_code == 200


class TestTree:
    def test_counts_every_source_in_every_state(self, client: httpx.Client, source: str) -> None:
        for _ in range(4):
            submit(client, source)
        client.get(f"/job/available/{source}")
        client.post(f"/job/done/{source}/{client.get(f'/job/available/{source}').json()['id']}")
        tree = client.get("/job").json()
        assert list(tree) == ["available", "active", "done"]
        assert [tree[state][source] for state in tree] == [2, 1, 1]
        assert set(tree["available"]) == set(tree["active"]) == set(tree["done"])

    def test_drawn_as_the_design_draws_it(self, client: httpx.Client, source: str) -> None:
        ids = [submit(client, source) for _ in range(5)]
        client.post(f"/job/active/{source}/{ids[0]}")
        drawn = client.get("/job", headers={"accept": "text/plain"})
        assert drawn.headers["content-type"] == "text/plain; charset=utf-8"
        lines = drawn.text.splitlines()
        assert lines[:2] == ["job", "├── available"]
        here = next(place for place, line in enumerate(lines) if line.endswith(f"── {source}"))
        assert [line.replace("│   │   ", "│       ") for line in lines[here + 1 : here + 5]] == [
            f"│       ├── {ids[4]}",
            f"│       ├── {ids[3]}",
            f"│       ├── {ids[2]}",
            "│       └── … 1 more",
        ]
        assert f"└── {ids[0]}" in drawn.text
        assert any(line.startswith("└── done") for line in lines)


class TestFind:
    def test_a_job_by_its_id_alone(self, client: httpx.Client, source: str) -> None:
        id = submit(client, source, DOCUMENT, priority=4)
        for state, move in (("available", None), ("active", "GET"), ("done", "POST")):
            if move:
                path = f"/job/available/{source}" if move == "GET" else f"/job/done/{source}/{id}"
                assert client.request(move, path).status_code == 200
            found = client.get(f"/jobs/{id}")
            [listed] = client.get("/jobs", params={"source": source}).json()["jobs"]
            assert {name: value for name, value in found.json().items() if name != "why"} == listed
            assert ("why" in found.json()) == (state == "available")
            assert (found.json()["state"], found.headers["boss-state"]) == (state, state)
            assert '"big": 123456789012345678901234567890' in found.text

    def test_none(self, client: httpx.Client) -> None:
        answer = client.get("/jobs/no-such")
        assert_problem(answer, 404, "No job has the id no-such")
        assert answer.headers["boss-state"] == "none"
        assert_problem(client.get("/jobs/a b"), 400, "'a b' cannot be an id")
        assert_problem(client.post("/jobs/a"), 405, "use GET, HEAD")


class TestList:
    def test_has_every_property(self, client: httpx.Client, source: str) -> None:
        before = datetime.now(UTC) - timedelta(seconds=5)
        id = submit(client, source, '{"a": 1.50}', priority=3)
        client.get(f"/job/available/{source}")
        client.post(f"/job/done/{source}/{id}", content='{"b": 2}')
        answer = client.get("/jobs", params={"source": source})
        assert answer.json()["next"] is None
        [record] = answer.json()["jobs"]
        for name in ("submitted", "taken", "seen", "finished"):
            assert record[name].endswith("Z")
            assert before < datetime.fromisoformat(record.pop(name)) < datetime.now(UTC) + timedelta(seconds=5)
        assert record == {
            "id": id,
            "source": source,
            "state": "done",
            "priority": 3,
            "attempt": 1,
            "attempts": 25,
            "due": None,
            "after": [],
            "blocked": False,
            "expires": None,
            "timeout": None,
            "until": None,
            "outcome": "completed",
            "result": {"b": 2},
            "submitted_by": None,
            "taken_by": None,
            "finished_by": None,
            "converter": None,
            "note": None,
            "history": [],
            "job": {"a": 1.5},
        }
        assert '{"a": 1.50}' in answer.text

    @pytest.mark.parametrize(
        "query", [{}, {"state": "available"}, {"source": "*"}, {"state": "available", "source": "*"}]
    )
    def test_pages_go_through_all_of_them_once(self, client: httpx.Client, source: str, query: dict[str, str]) -> None:
        ids = [submit(client, source) for _ in range(25)]
        seen: list[str] = []
        params = {name: value.replace("*", source) for name, value in query.items()}
        address = str(client.build_request("GET", "/jobs", params={**params, "limit": "7"}).url)
        while address:
            answer = client.get(address)
            page = answer.json()
            assert len(page["jobs"]) <= 7
            seen += [record["id"] for record in page["jobs"]]
            address = page["next"]
            assert answer.headers.get("link") == (address and f'<{address}>; rel="next"')
        assert seen == sorted(seen, reverse=True)
        assert [id for id in seen if id in set(ids)] == ids[::-1]
        assert len(seen) == len(set(seen))
        if query:
            assert len(seen) == 25

    def test_by_state(self, client: httpx.Client, source: str) -> None:
        ids = [submit(client, source) for _ in range(3)]
        client.post(f"/job/active/{source}/{ids[0]}")
        client.post(f"/job/done/{source}/{ids[1]}")
        for state, id in (("active", ids[0]), ("done", ids[1]), ("available", ids[2])):
            page = client.get("/jobs", params={"state": state, "source": source}).json()
            assert [(record["id"], record["state"]) for record in page["jobs"]] == [(id, state)]

    def test_a_page_of_large_documents_ends_early(self, client: httpx.Client, source: str) -> None:
        # Random text, for PostgreSQL compresses what repeats.
        with open("/dev/urandom", "rb") as random:
            ids = [submit(client, source, f'{{"a": "{random.read(500_000).hex()}"}}') for _ in range(12)]
        address, seen, pages = f"/jobs?source={source}", [], 0
        while address:
            answer = client.get(address)
            assert len(answer.content) < 11_000_000
            seen += [record["id"] for record in answer.json()["jobs"]]
            address, pages = answer.json()["next"], pages + 1
        assert seen == ids[::-1]
        assert pages == 2


def test_the_documentation_is_served(client: httpx.Client) -> None:
    api = client.get("/openapi.json").json()
    assert api["openapi"] == "3.1.0"
    page = client.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    for path in api["paths"]:
        assert f"</b> {path}</h3>" in page.text
    assert "http://" not in page.text


def test_every_path_that_is_documented_is_there_and_takes_what_it_says(client: httpx.Client) -> None:
    for path, resource in client.get("/openapi.json").json()["paths"].items():
        answer = client.request("PATCH", path.format(source="x", id="y", name="z"))
        assert answer.status_code == 405, path
        documented = {method.upper() for method in resource if method != "parameters"}
        allowed = set(answer.headers["allow"].split(", "))
        assert allowed - {"HEAD"} == documented - {"HEAD"}, path
