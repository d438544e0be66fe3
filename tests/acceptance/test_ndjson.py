"""Many at once: one JSON object a line, in all three forms."""

import json
from typing import Any

import httpx
import pytest

from tests.helpers.lines import read_lines
from tests.helpers.ndjson import LINES
from tests.helpers.requests import assert_problem, submit


def read(answer: httpx.Response, status: int = 200) -> list[dict[str, Any]]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    return read_lines(answer.text)


class TestSubmit:
    def test_each_line_is_a_job_in_order(self, client: httpx.Client, source: str) -> None:
        lines = "".join(f'{{"n": {n}, "exact": 0.10}}\n' for n in range(1000))
        answer = client.post(f"/job/available/{source}?priority=3&attempts=2", content=lines, headers=LINES)
        ids = [each["id"] for each in read(answer, 201)]
        assert len(set(ids)) == 1000
        got = client.get(f"/job/available/{source}?limit=1000")
        assert [(job["id"], job["job"]["n"]) for job in got.json()] == list(zip(ids, range(1000), strict=True))
        assert '"exact": 0.10' in got.text
        [record] = client.get(f"/jobs?source={source}&limit=1").json()["jobs"]
        assert (record["priority"], record["attempts"]) == (3, 2)

    @pytest.mark.parametrize("content", ["{}\n{}\n", "{}\n{}", "{}\r\n{}\r\n"])
    def test_the_last_line_may_end_or_not(self, client: httpx.Client, source: str, content: str) -> None:
        headers = {"content-type": "Application/X-NDJSON; charset=utf-8"}
        assert len(read(client.post(f"/job/available/{source}", content=content, headers=headers), 201)) == 2

    @pytest.mark.parametrize(
        ("content", "says"),
        [
            ('{}\n{"a":\n{}\n', "Line 2: the document is not JSON"),
            ("{}\n{}\n[]\n", "Line 3: the document is an array"),
            ("{}\n\n{}\n", "Line 2: the document is empty"),
            ("", "The body is empty; send one JSON object a line"),
            ('{}\n{"a": "\\u0000"}', "Line 2: .* NUL"),
            ('{}\n{}\n{}\n{"a": 1e200000}\n{}\n', "Line 4: PostgreSQL cannot keep this"),
        ],
    )
    def test_one_bad_line_and_nothing_is_stored(
        self, client: httpx.Client, source: str, content: str, says: str
    ) -> None:
        assert_problem(client.post(f"/job/available/{source}", content=content, headers=LINES), 400, says)
        assert source not in client.get("/job").json()["available"]

    def test_too_much_at_once_is_413(self, client: httpx.Client, source: str) -> None:
        path = f"/job/available/{source}"
        assert_problem(client.post(path, content="{}\n" * 10_001, headers=LINES), 413, "10,001 lines; at most 10,000")
        large = '{}\n{"a": "' + "x" * 1_100_000 + '"}\n'
        assert_problem(client.post(path, content=large, headers=LINES), 413, "Line 2 is larger than 1048576 bytes")
        assert_problem(client.post(path, content=b"{}\n" + b" " * 2**24, headers=LINES), 413, "The body is larger")
        assert source not in client.get("/job").json()["available"]

    def test_many_jobs_cannot_have_one_id(self, client: httpx.Client, source: str) -> None:
        answer = client.post(f"/job/available/{source}/one", content="{}\n{}\n", headers=LINES)
        assert_problem(answer, 400, "POST the lines to /job/available/{source}")


class TestSubmitWithIds:
    def test_each_line_gets_what_the_single_request_would(self, client: httpx.Client, source: str) -> None:
        path = f"/job/available/{source}?ids=given&priority=3"
        there = submit(client, source)
        names = [f"{source}-a", there, f"{source}-b", f"{source}-a"]
        lines = "".join(f'{{"id": "{name}", "job": {{"n": {n}, "exact": 0.10}}}}\n' for n, name in enumerate(names))
        statuses = [201, 409, 201, 409]
        for expected in (statuses, [409] * 4):  # the same lines can be sent again
            answers = read(client.post(path, content=lines, headers=LINES))
            assert answers == [{"id": name, "status": status} for name, status in zip(names, expected, strict=True)]
        jobs = client.get(f"/jobs?source={source}").json()["jobs"]
        assert {job["id"]: job["job"].get("n") for job in jobs} == {there: None, names[0]: 0, names[2]: 2}
        assert '"exact": 0.10' in client.get(f"/job/available/{source}/{names[2]}").text
        assert [job["priority"] for job in jobs if job["id"] != there] == [3, 3]

    @pytest.mark.parametrize(
        ("content", "says"),
        [
            ('{"id": "a", "job": {}}\n{"job": {}}\n', "Line 2: Object missing required field `id`"),
            ('{"id": "a", "job": {}}\n{"id": "b"}\n', "Line 2: Object missing required field `job`"),
            ('{"id": "a", "job": {}}\n{"id": "b", "job": []}\n', "Line 2: the document is an array"),
            ('{"id": "a", "job": {}}\n{"id": "b c", "job": {}}\n', "Line 2: 'b c' cannot be an id"),
            ('{"id": "a", "job": {}}\n{"id": "b", "job": {}, "x": 1}\n', "Line 2: Object contains unknown field `x`"),
            ('{"id": "a", "job": {}}\n{"a": 1}\n', "Line 2: Object"),
            ('{"id": "a", "job": {}}\n{"id": "b", "job": {"n": 1e200000}}\n', "Line 2: PostgreSQL cannot keep"),
        ],
    )
    def test_one_bad_line_and_nothing_is_stored(
        self, client: httpx.Client, source: str, content: str, says: str
    ) -> None:
        assert_problem(client.post(f"/job/available/{source}?ids=given", content=content, headers=LINES), 400, says)
        assert source not in client.get("/job").json()["available"]

    def test_it_is_for_many(self, client: httpx.Client, source: str) -> None:
        path = f"/job/available/{source}"
        assert_problem(client.post(f"{path}?ids=given", content="{}"), 400, "The parameter ids is for many jobs")
        assert_problem(
            client.post(f"{path}?ids=made", content="{}", headers=LINES), 400, "ids can only be given, .* 'made'"
        )


class TestTake:
    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_each_line_is_a_job_with_its_attempt(self, client: httpx.Client, source: str, method: str) -> None:
        ids = [submit(client, source, '{"a": 1.50}') for _ in range(3)]
        client.post(f"/job/active/{source}/{ids[1]}")
        client.delete(f"/job/active/{source}/{ids[1]}?delay=0")
        path = f"/job/{'active' if method == 'POST' else 'available'}/{source}?limit=10"
        answer = client.request(method, path, headers={"accept": "application/x-ndjson"})
        assert read(answer) == [
            {"id": id, "source": source, "attempt": attempt, "job": {"a": 1.5}}
            for id, attempt in zip(ids, (1, 2, 1), strict=True)
        ]
        assert '"job":{"a": 1.50}' in answer.text

    def test_what_looks_like_the_end_of_a_line_in_a_string_is_none(self, client: httpx.Client, source: str) -> None:
        document = {"a": "next line\x85, line separator\u2028, paragraph separator\u2029, form feed\f"}
        content = json.dumps(document, ensure_ascii=False)
        read(client.post(f"/job/available/{source}", content=f"{content}\n{content}\n", headers=LINES), 201)
        answer = client.get(f"/job/available/{source}?limit=10", headers={"accept": "application/x-ndjson"})
        assert [line["job"] for line in read(answer)] == [document, document]

    def test_none_is_404(self, client: httpx.Client, source: str) -> None:
        answer = client.get(f"/job/available/{source}?limit=10", headers={"accept": "application/x-ndjson"})
        assert_problem(answer, 404, f"^No job of {source} is ready$")


class TestDone:
    def test_each_line_gets_what_the_single_request_would(self, client: httpx.Client, source: str) -> None:
        ids = [submit(client, source) for _ in range(6)]
        client.get(f"/job/available/{source}?limit=3")
        lines: list[dict[str, Any]] = [
            {"id": ids[0]},
            {"id": ids[1], "outcome": "failed", "result": {"why": "Åse"}, "attempt": 1},
            {"id": ids[2], "attempt": 7},
            {"id": ids[3], "outcome": "stopped", "result": None},
            {"id": ids[0], "outcome": "failed"},
            {"id": "none"},
            {"id": ids[4], "result": {"a": 1}},
        ]
        content = "\n".join(map(json.dumps, lines))
        got = read(client.post(f"/job/done/{source}", content=content, headers=LINES))
        assert got == [
            {"id": line["id"], "status": status}
            for line, status in zip(lines, (200, 200, 412, 200, 404, 404, 200), strict=True)
        ]
        records = {job["id"]: job for job in client.get(f"/jobs?source={source}").json()["jobs"]}
        assert [(records[id]["state"], records[id]["outcome"], records[id]["result"]) for id in ids] == [
            ("done", "completed", None),
            ("done", "failed", {"why": "Åse"}),
            ("active", None, None),
            ("done", "stopped", None),
            ("done", "completed", {"a": 1}),
            ("available", None, None),
        ]

    def test_a_result_is_kept_as_it_came(self, client: httpx.Client, source: str) -> None:
        id = submit(client, source)
        line = f'{{"id": "{id}", "result": {{"big": 123456789012345678901234567890, "exact": 1.500}}}}'
        assert read(client.post(f"/job/done/{source}", content=line, headers=LINES))[0]["status"] == 200
        assert '"big": 123456789012345678901234567890, "exact": 1.500' in client.get(f"/jobs?source={source}").text

    def test_one_result_that_cannot_be_kept_is_400_for_that_one(self, client: httpx.Client, source: str) -> None:
        ids = [submit(client, source) for _ in range(3)]
        lines = [f'{{"id": "{id}", "result": {{"a": {1 if id != ids[1] else "1e200000"}}}}}' for id in ids]
        got = read(client.post(f"/job/done/{source}", content="\n".join(lines), headers=LINES))
        assert [each["status"] for each in got] == [200, 400, 200]
        assert client.head(f"/job/available/{source}/{ids[1]}").status_code == 200

    @pytest.mark.parametrize(
        ("line", "says"),
        [
            ("{", "Line 2: Input data was truncated"),
            ("[]", "Line 2: Expected `object`, got `array`"),
            ("{}", "Line 2: Object missing required field `id`"),
            ('{"id": 7}', r"Line 2: Expected `str`, got `int` - at `\$.id`"),
            ('{"id": "a/b"}', "Line 2: 'a/b' cannot be an id"),
            ('{"id": "a", "outcome": "abandoned"}', "Line 2: Invalid enum value 'abandoned'"),
            ('{"id": "a", "attempt": "1"}', r"Line 2: Expected `int \| null`, got `str`"),
            ('{"id": "a", "result": []}', "Line 2: the result is an array"),
            ('{"id": "a", "result": {"a": "\\u0000"}}', "Line 2: the result has a NUL"),
            ('{"id": "a", "done": true}', "Line 2: Object contains unknown field `done`"),
            ('{"id": "a", "attempt": 99999999999999999999}', "Line 2: "),
            ("", "Line 2: Input data was truncated"),
        ],
    )
    def test_a_line_that_cannot_be_read_is_400_and_nothing_is_done(
        self, client: httpx.Client, source: str, line: str, says: str
    ) -> None:
        id = submit(client, source)
        content = f'{{"id": "{id}"}}\n{line}\n'
        assert_problem(client.post(f"/job/done/{source}", content=content, headers=LINES), 400, says)
        assert client.head(f"/job/available/{source}/{id}").status_code == 200

    def test_without_the_content_type_it_says_what_is_meant(self, client: httpx.Client, source: str) -> None:
        assert_problem(client.post(f"/job/done/{source}", content="{}"), 400, "with Content-Type: application/x-ndjson")
