"""Bad input of every kind: each gets a clear 4xx, never a 5xx, and harms no other client."""

import concurrent.futures
import contextlib
import gzip
from collections.abc import Iterator

import httpx
import pytest

from tests.helpers.requests import assert_problem, submit
from tests.helpers.servers import BossProcess
from tests.helpers.wire import HOST, Wire

pytestmark = pytest.mark.slow

MIB = 1024 * 1024


@pytest.fixture(autouse=True)
def _neighbours_are_unharmed(module_boss: BossProcess, client: httpx.Client, source: str) -> Iterator[None]:
    """Around every test: the server lives, serves others, and has logged no mistake of its own."""
    yield
    id = submit(client, source, '{"after": true}')
    assert client.post(f"/job/active/{source}/{id}").status_code == 200
    assert client.post(f"/job/done/{source}/{id}").status_code == 200
    assert "Traceback" not in module_boss.log
    assert '"level":"error"' not in module_boss.log


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "The document is empty"),
        (b"hello", "not JSON: .*line 1 column 1"),
        (b'{"a": }', "not JSON: .*line 1 column 7"),
        (b"[]", "is an array; send a JSON object"),
        (b'"text"', "is a string; send a JSON object"),
        (b"null", "is null; send a JSON object"),
        (b'{"a": "\\u0000"}', "NUL character"),
        (b'{"a": "\x00"}', "not JSON"),
        (b'{"a": "\xe9"}', "not UTF-8"),
        ("{}".encode("utf-16"), "not UTF-8"),
        (b"\xef\xbb\xbf{}", "not JSON: .*BOM"),
        (gzip.compress(b"{}", mtime=0), "not UTF-8"),
        (b'{"a": "\\ud800"}', "not JSON"),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, "not JSON: depth limit"),
        (b'{"a": 1e200000}', "PostgreSQL cannot keep this: .*overflow"),
        (b'{"a": ' + b"9" * 200_000 + b"}", "PostgreSQL cannot keep this: .*overflow"),
    ],
)
@pytest.mark.parametrize("path", ["/job/available/{source}", "/job/done/{source}/one"])
def test_a_bad_body_is_refused_and_changes_nothing(
    client: httpx.Client, source: str, path: str, body: bytes, says: str
) -> None:
    if "done" in path:
        if not body:
            return  # a finish may come without a result
        submit(client, f"{source}/one-{source}")
        path = path.replace("/one", f"/one-{source}")
    answer = client.post(path.format(source=source), content=body)
    assert_problem(answer, 400, says.replace("The document", "(The document|The result)"))
    tree = client.get("/job").json()
    assert tree["available"].get(source, 0) == ("done" in path)
    assert tree["done"].get(source, 0) == 0


def test_a_compressed_body_is_refused(client: httpx.Client, source: str) -> None:
    headers = {"content-encoding": "gzip"}
    answer = client.post(f"/job/available/{source}", content=gzip.compress(b"{}", mtime=0), headers=headers)
    assert_problem(answer, 400, "Content-Encoding gzip")


@pytest.mark.parametrize("chunked", [True, False])
def test_a_body_over_the_limit_is_413(client: httpx.Client, source: str, chunked: bool) -> None:
    body = b'{"a": "' + b"x" * (2 * MIB) + b'"}'
    content = iter([body[:MIB], body[MIB:]]) if chunked else body
    answer = client.post(f"/job/available/{source}", content=content)
    assert_problem(answer, 413, "larger than 1048576 bytes")
    assert source not in client.get("/job").json()["available"]


@pytest.mark.parametrize("path", ["/job/available/{source}?wrong=1", "/job/lost/{source}", "/job/available", "/health"])
@pytest.mark.parametrize("chunked", [True, False])
def test_who_is_refused_before_the_end_of_a_body_can_go_on(
    client: httpx.Client, source: str, path: str, chunked: bool
) -> None:
    """When the connection ends after it the answer says so: the next request must not be sent into one that closes."""
    half = b'{"a": "' + b"x" * 100_000
    for _ in range(20):
        content = iter([half, half]) if chunked else half
        answer = client.post(path.format(source=source), content=content)
        assert answer.status_code in (400, 404, 405)
        assert answer.headers.get("connection") in (None, "close")
        assert client.get("/job").status_code == 200


def test_a_connection_goes_on_where_there_was_no_body_or_all_of_it_was_read(client: httpx.Client, source: str) -> None:
    for method, path, content in [
        ("POST", f"/job/available/{source}", b"{}"),
        ("POST", f"/job/available/{source}", b"["),
        ("POST", f"/job/done/{source}/none", b""),
        ("POST", f"/job/lost/{source}", b""),
        ("GET", f"/job/available/{source}", b""),
        ("GET", "/job/available", b""),
    ]:
        assert "connection" not in client.request(method, path, content=content).headers


def test_a_body_of_just_the_limit_is_taken(client: httpx.Client, source: str) -> None:
    body = b'{"a": "' + b"x" * (MIB - 9) + b'"}'
    assert len(body) == MIB
    assert client.post(f"/job/available/{source}", content=body).status_code == 201
    assert_problem(client.post(f"/job/available/{source}", content=body + b" "), 413, "larger")


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/job/available/a%20b", "'a b' cannot be a source"),
        ("/job/available/a%2Fb", "'a/b' cannot be a source"),
        ("/job/available/%00", r"cannot be a source"),
        ("/job/available/%ff", "cannot be a source"),
        ("/job/available/%C3%A5se", "cannot be a source"),
        ("/job/available/a%", "cannot be a source"),
        ("/job/available/%2e%2e%2f", "cannot be a source"),
        ("/job/available/" + "x" * 101, "1 to 100 of"),
        ("/job/available/freg/" + "x" * 65, "1 to 64 of"),
        ("/job/available/freg/a%2Fb", "'a/b' cannot be an id"),
        ("/job/available/freg/a'--", "cannot be an id"),
        ("/job/available/freg/%D9%A3", "cannot be an id"),
        ("/job/available/~freg", "cannot be a source"),
    ],
)
def test_odd_names_are_refused(client: httpx.Client, path: str, says: str) -> None:
    for method in ("GET", "POST"):
        assert_problem(client.request(method, path, content=b"{}" if method == "POST" else None), 400, says)
    assert client.head(path).status_code == 400


def test_percent_encoding_of_a_good_name_is_that_name(module_boss: BossProcess, client: httpx.Client) -> None:
    submit(client, "freg/x~1")
    with Wire(module_boss.port) as wire:
        reply = wire.request("GET", "/job/%61vailable/fr%65g/x%7E1").reply()
        assert reply.status == 404  # the states are words of ours, never encoded
        reply = wire.request("GET", "/job/available/fr%65g/x%7E1").reply()
        assert (reply.status, reply.body) == (200, b'{"id":"x~1","source":"freg","job":{}}')


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/job/waiting", "no state 'waiting'; the states are available, active, done"),
        ("/job/AVAILABLE/freg", "no state 'AVAILABLE'"),
        ("/job/failed/freg/1", "no state 'failed'"),
        ("/job/available/", "A part of the path is empty"),
        ("/job/available//x", "part of the path is empty"),
        ("/job/available/freg/1/2", "Jobs are at /job/{state}/{source}/{id}"),
        ("/jobs/", "Jobs are at"),
        ("/nothing", "documentation is at /docs"),
    ],
)
def test_a_path_that_is_no_resource_says_what_is(client: httpx.Client, path: str, says: str) -> None:
    answer = client.get(path)
    assert_problem(answer, 404, says)
    assert "boss-state" not in answer.headers


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("priority=high", "The priority is 'high'; it takes a whole number from -1000 to 1000"),
        ("priority=1001", "from -1000 to 1000"),
        ("priority=1.5", "whole number"),
        ("priority=", "whole number"),
        ("priority=%D9%A3", "whole number"),
        ("delay=-1", "The delay is '-1'; it takes seconds from 0"),
        ("delay=1h", "takes seconds"),
        ("delay=NaN", "takes seconds"),
        ("delay=99999999999", "takes seconds"),
        ("at=tomorrow", "RFC 3339"),
        ("at=2026-11-24", "RFC 3339"),
        ("at=2026-11-24T10:00:00", "RFC 3339 time with its offset"),
        ("at=2026-13-24T10:00:00Z", "RFC 3339"),
        ("at=0001-01-01T00:00:00%2B23:59", "RFC 3339"),
        ("at=9999-12-31T23:59:59-23:59", "RFC 3339"),
        ("delay=1&at=2026-11-24T10:00:00Z", "Delay and at exclude each other; send one of them"),
        ("priority=1&priority=2", "Duplicate parameter priority"),
        ("attempts=0", "The attempts is '0'; it takes a whole number from 1 to 1000000"),
        ("attempts=all", "whole number from 1"),
        ("prioritiy=1", "'prioritiy' is not a parameter here; known are: after, at, attempts, delay, expires, ids, "),
        ("priority", "cannot be read"),
        ("priority=%zz%ff", "whole number|cannot be read"),
        ("&".join(f"a{number}=1" for number in range(100)), "cannot be read"),
    ],
)
def test_a_bad_query_is_refused(client: httpx.Client, source: str, query: str, says: str) -> None:
    assert_problem(client.post(f"/job/available/{source}?{query}", content=b"{}"), 400, says)
    assert source not in client.get("/job").json()["available"]


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/job/available?limit=0", "The limit is '0'; it takes a whole number from 1 to 1000"),
        ("/job/available?limit=1001", "from 1 to 1000"),
        ("/job/available?priority=1", "not a parameter here; known are: fair, lease, limit, wait"),
        ("/job/available?wait=soon", "The wait is 'soon'; it takes a whole number from 0"),
        ("/job/available?wait=-1", "whole number from 0"),
        ("/job/available?lease=1.5", "The lease is '1.5'; it takes a whole number from 0 to 31622400"),
        ("/job/available?lease=31622401", "from 0 to 31622400"),
        ("/jobs?state=failed", "The state is 'failed'; it takes available, active, done"),
        ("/jobs?source=a/b", "cannot be a source"),
        ("/jobs?after=a/b", "cannot be an id"),
        ("/job?state=done", "there are none"),
    ],
)
def test_a_bad_query_of_a_read_is_refused(client: httpx.Client, path: str, says: str) -> None:
    assert_problem(client.get(path), 400, says)


def test_a_bad_outcome_is_refused(client: httpx.Client, source: str) -> None:
    id = submit(client, source)
    answer = client.post(f"/job/done/{source}/{id}?outcome=abandoned")
    assert_problem(answer, 400, "The outcome is 'abandoned'; it takes completed, failed, stopped")
    assert client.head(f"/job/available/{source}/{id}").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", "/job/available", "GET, HEAD"),
        ("PUT", "/job/available/freg", "GET, HEAD, POST"),
        ("PATCH", "/job/done/freg/1", "DELETE, GET, HEAD, POST"),
        ("GET", "/job/active", "POST"),
        ("GET", "/job/done", "DELETE"),
        ("GET", "/job/done/freg", "DELETE, POST"),
        ("PATCH", "/job/active/freg/1", "DELETE, GET, HEAD, POST, PUT"),
        ("OPTIONS", "/job", "GET, HEAD"),
        ("PATCH", "/jobs", "GET, HEAD"),
    ],
)
def test_a_wrong_method_is_405_with_allow(client: httpx.Client, method: str, path: str, allow: str) -> None:
    answer = client.request(method, path)
    assert_problem(answer, 405, f"{method} is not allowed here; use {allow}")
    assert answer.headers["allow"] == allow


def test_an_unknown_method_is_501(client: httpx.Client) -> None:
    assert_problem(client.request("BREW", "/jobs"), 501, "The methods are GET")


@pytest.mark.parametrize(
    "head",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"GET /job HTTP/9.9\r\n\r\n",
        b"GET  /job HTTP/1.1\r\n\r\n",
        b"GET /job HTTP/1.1\r\nno colon\r\n\r\n",
        b"POST /job/available/x HTTP/1.1\r\n" + HOST + b"Content-Length: nine\r\n\r\n",
        b"POST /job/available/x HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n\r\n",
        b"POST /job/available/x HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"GET /job HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 200_000 + b"\r\n\r\n",
        b"GET /job HTTP/1.1\r\n" + HOST + b"".join(b"X%d: a\r\n" % n for n in range(500)) + b"\r\n",
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    ],
)
def test_what_is_not_http_is_refused(module_boss: BossProcess, head: bytes) -> None:
    with Wire(module_boss.port) as wire, contextlib.suppress(ConnectionError, BrokenPipeError):
        assert 400 <= wire.send(head).reply().status < 500


@pytest.mark.parametrize(
    "path", ["/job/%zz", "/job/available/%zz", "/%00", "/job/../job", "//job", "*", "/\xe9", "/job?a=%"]
)
def test_odd_targets_are_4xx(module_boss: BossProcess, path: str) -> None:
    with Wire(module_boss.port) as wire:
        assert 400 <= wire.request("GET", path).reply().status < 500


@pytest.mark.parametrize("header", ["Content-Length: 100", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("path", ["/job/available/{source}", "/job/done/{source}/1"])
def test_a_body_that_breaks_off_changes_nothing(
    module_boss: BossProcess, client: httpx.Client, source: str, header: str, path: str
) -> None:
    sent = b"2\r\n{}\r\n" if "chunked" in header else b"{}"
    with Wire(module_boss.port) as wire:
        wire.request("POST", path.format(source=source), header, body=sent)
        wire.socket.shutdown(1)
        with contextlib.suppress(ConnectionError):
            assert 400 <= wire.reply().status < 500
    assert source not in client.get("/job").json()["available"]


def test_slow_clients_hold_nobody_up(module_boss: BossProcess, client: httpx.Client, source: str) -> None:
    with contextlib.ExitStack() as slow:
        for number in range(200):
            wire = slow.enter_context(Wire(module_boss.port))
            if number % 2:
                wire.send(b"POST /job/available/", source.encode(), b" HTTP/1.1\r\nHost: b")
            else:
                wire.request("POST", f"/job/available/{source}", "Content-Length: 9", body=b'{"slow"')
        for _ in range(20):
            submit(client, f"{source}.quick")
        assert len(client.get(f"/job/available/{source}.quick?limit=100").json()) == 20
    assert source not in client.get("/job").json()["available"]


def test_a_slow_body_arrives_all_the_same(module_boss: BossProcess, client: httpx.Client, source: str) -> None:
    with Wire(module_boss.port) as wire:
        wire.request("POST", f"/job/available/{source}", "Content-Length: 7")
        for byte in b'{"a":1}':
            client.get("/job")
            wire.send(bytes([byte]))
        assert wire.reply().status == 201


def test_bad_requests_in_a_batch_fail_alone(module_boss: BossProcess, source: str) -> None:
    """Documents that only PostgreSQL can refuse, among good ones, all at once."""

    def send(number: int) -> tuple[int, int]:
        body = b'{"a": 1e200000}' if number % 5 == 0 else b"{}"
        return number, httpx.post(
            f"{module_boss.url}/job/available/{source}/{source}-{number}", content=body
        ).status_code

    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        answers = dict(pool.map(send, range(300)))
    assert answers == {number: 400 if number % 5 == 0 else 201 for number in range(300)}
    assert httpx.get(f"{module_boss.url}/job").json()["available"][source] == 240
