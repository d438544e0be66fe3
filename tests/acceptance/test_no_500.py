"""Whatever is sent to whichever endpoint, in whichever header, parameter or body: never a 500."""

import contextlib
import itertools
import socket
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.helpers.databases import new_database
from tests.helpers.requests import assert_problem
from tests.helpers.servers import BossProcess, boss_running
from tests.helpers.tokens import API
from tests.helpers.wire import Wire

pytestmark = pytest.mark.slow

JSON, LINES = "application/json", "application/x-ndjson"
ENDPOINTS = sorted(
    (method.upper(), path)
    for path, resource in {**API["paths"], "/metrics": {"get": {}}}.items()
    for method in resource
    if method in ("get", "head", "post", "put", "delete") and path != "/watch"
)
ODD = [
    "",
    " ",
    "\xff\xfe",
    "\xc3\xa9",
    "9" * 5000,
    "-1",
    "NaN",
    "1e999",
    "0x10",
    "1_0",
    "\x85",
    '"',
    '"' * 99,
    ";,=",
    ",,,",
    "[",
    "%",
    "%zz",
    "%ff%00",
    "a=" * 500,
    "\u0663".encode().decode("latin-1"),
    "{}",
    "*",
    "../..",
    "W/",
    'W/"1", "2", *',
    "text/plain;q=x, */*;q=1e9;version=x",
    "application/openmetrics-text;version=x",
    "application/openmetrics-text;version=1.0.0;escaping=x",
    "application/openmetrics-text; version=; escaping=",
    "text/plain;version=1.0.0;escaping=values",
    "text/plain;version=9999999999999999999.a.b",
]
# An upgrade that is none of ours is left to the HTTP server.
HEADERS = [
    *("accept", "authorization", "content-encoding", "content-type", "cookie", "host", "idempotency-key", "if-match"),
    *("if-none-match", "origin", "prefer", "purpose", "sec-fetch-dest", "sec-fetch-mode", "sec-fetch-site"),
    *("traceparent", "tracestate", "x-forwarded-for", "expect", "te", "range", "http2-settings", "boss-converter"),
]
PARAMETERS = [
    *("after", "at", "attempts", "before", "delay", "fair", "ids", "lease", "limit", "older", "outcome", "priority"),
    *("source", "state", "wait", "uncounted", "timeout", "expires", "x"),
]
VALUES = [
    *("", "%ff", "%00", "%ud800", "%ed%a0%80", "+", "-", "-0", "1.", ".1", "1e9", "NaN", "Infinity", "%d9%a3", "given"),
    *("9" * 11, "9" * 5000, "0" * 5000, "1_0", "0.0000000001", "999999999.999999999", "2026-01-01T00:00:00Z"),
    *(
        "0001-01-01T00:00:00Z",
        "9998-12-31T23:59:60Z",
        "9998-12-31T23:59:59.9999999999999-00:00",
        "2026-02-30T00:00:00Z",
    ),
    *("2026-01-01T00:00:00+24:00", "2026-01-01T24:00:00Z", "2026-01-01t00:00:00%2B99:99", "done", "DONE", "a/b", ".."),
]


def nested(depth: int, opens: str, closes: str) -> str:
    return opens * depth + closes * depth


DEEP = [
    nested(depth, opens, closes)
    for depth in (999, 1000, 1022, 1023, 1024, 1025, 5000, 100_000)
    for opens, closes in (("[", "]"), ('{"a":', "}"))
]
SMALL = [
    *(
        "",
        " ",
        "{",
        "[]",
        "null",
        "0",
        '"',
        '"x"',
        "{}x",
        "\xff",
        "\xef\xbb\xbf{}",
        "\x00",
        "{}\n\n{}",
        "\r\n",
        "{}\r\n",
    ),
    *(
        '{"a":"\\ud800"}',
        '{"a":"\\udc00\\ud800"}',
        '{"\\u0000":1}',
        '{"a":"\xff"}',
        '{"a":"\xed\xa0\x80"}',
        '{"a":NaN}',
    ),
    *('{"a":1e999}', '{"a":-0}', '{"a":1e-999999}', '{"a":Infinity}', '{"a":1,"a":2}', '{"a":' + "9" * 5000 + "}"),
    *('{"token":"\\ud800"}', '{"token":"\xff"}', '{"token":""}', '{"token":1}', '{"token":"' + "x" * 60_000 + '"}'),
    *('{"role":"admin","expires":1e400}', '{"role":"admin","expires":-0}', '{"role":"\xff"}', '{"role":"\\ud800"}'),
    *('{"role":"converter","sources":["\\ud800"]}', '{"role":"converter","sources":[' + '"a",' * 9999 + '"a"]}'),
    *(
        '{"role":"converter","expires":1e-320}',
        '{"role":"converter","expires":%s}' % ("9" * 400),
    ),
    *('{"limit":%s}' % ("9" * 400), '{"limit":1.5}', '{"limit":-1}', '{"limit":1e3}', '{"paused":1}', '{"limit":true}'),
    *('{"id":"x","job":{"a":"\xff"}}', '{"id":"\xff","job":{}}', '{"id":"\\ud800","job":{}}', '{"id":"x","job":1e999}'),
    *('{"id":"x","attempt":%s}' % ("9" * 400), '{"id":"x","attempt":1e300}', '{"id":"x","result":"\xff"}'),
    *('{"id":"x","outcome":"\\ud800"}', '{"id":"x","result":{"a":"\\u0000"}}', '{"id":"x","result":{"a":1e200000}}'),
]
BODIES = [
    *SMALL,
    *DEEP,
    *(f'{{"id":"x","{name}":{deep}}}' for name in ("job", "result", "x") for deep in DEEP),
    *(f'{{"{name}":{deep}}}' for name in ("token", "role", "limit", "expires", "x") for deep in DEEP[4:10]),
]


@pytest.fixture(scope="module")
def boss(postgres: str) -> Iterator[BossProcess]:
    """Without tokens, so that whatever is sent gets as far as it can."""
    for url in new_database(postgres):
        with boss_running("--database", url, "--quiet") as boss:
            yield boss


class Asker:
    """Sends one request after the other, on one connection while Boss keeps it: to connect is half the work."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._wire: Wire | None = None

    def ask(self, method: str, path: str, *headers: str, body: bytes = b"") -> int:
        """The status of the answer; 0 when the HTTP server has refused the request without a word."""
        is_new = not self._wire
        wire = self._wire = self._wire or Wire(self._port)
        try:
            reply = wire.request(method, path, *headers, body=body).reply(method)
        except ConnectionError:
            self.close()
            # A kept one may have been closed for the request before.
            return 0 if is_new else self.ask(method, path, *headers, body=body)
        if reply.headers.get("connection", "").lower() == "close":
            self.close()
        return reply.status

    def close(self) -> None:
        if self._wire:
            self._wire.close()
        self._wire = None


@pytest.fixture
def asker(boss: BossProcess) -> Iterator[Asker]:
    with contextlib.closing(Asker(boss.port)) as asker:
        yield asker


def send(boss: BossProcess, *parts: bytes, ends: bool = True) -> int:
    """The status of the answer to these bytes, after which the client may end its side."""
    with Wire(boss.port) as wire, contextlib.suppress(ConnectionError):
        wire.send(*parts)
        with contextlib.suppress(OSError):  # it is closed already
            if ends:
                wire.socket.shutdown(socket.SHUT_WR)
        return wire.reply().status
    return 0


def filled(path: str) -> str:
    return path.format(source="x", id="x", name="x")


def assert_no_mistake(boss: BossProcess, statuses: Mapping[Any, int]) -> None:
    # A method and a version that nobody knows are the client's mistakes, whatever the first digit says.
    assert {asked: status for asked, status in statuses.items() if status >= 500 and status not in (501, 505)} == {}
    assert '"level":"error"' not in boss.log
    assert {400, 404} & set(statuses.values())


@pytest.mark.long
def test_in_headers(boss: BossProcess, asker: Asker) -> None:
    statuses = {}
    for (method, path), name, value in itertools.product(ENDPOINTS, HEADERS, ODD):
        statuses[method, path, name, value] = asker.ask(method, filled(path), f"{name}: {value}")
    assert_no_mistake(boss, statuses)


def test_in_parameters(boss: BossProcess, asker: Asker) -> None:
    statuses = {}
    for (method, path), name, value in itertools.product(ENDPOINTS, PARAMETERS, VALUES):
        statuses[method, path, name, value] = asker.ask(method, f"{filled(path)}?{name}={value}")
    assert_no_mistake(boss, statuses)


def test_in_bodies(boss: BossProcess, asker: Asker) -> None:
    statuses = {}
    with_bodies = [(method, path) for method, path in ENDPOINTS if method in ("POST", "PUT", "DELETE")]
    for (method, path), body, kind, query in itertools.product(with_bodies, BODIES, (JSON, LINES), ("", "?ids=given")):
        if not query or path == "/job/available/{source}":
            header = f"Content-Type: {kind}"
            asked = method, path + query, kind, len(body), body[:40]
            statuses[asked] = asker.ask(method, filled(path) + query, header, body=body.encode("latin-1"))
    assert_no_mistake(boss, statuses)


def test_where_lines_are_too_deep_it_says_so(boss: BossProcess) -> None:
    with boss.client() as client:
        for path, line in (("available/x?ids=given", '{"id":"a","job":%s}'), ("done/x", '{"id":"a","result":%s}')):
            for deep in DEEP[2:]:
                headers = {"content-type": LINES}
                answer = client.post(f"/job/{path}", content=line % deep, headers=headers)
                assert_problem(answer, 400, "Line 1: ")
            answer = client.post(f"/job/{path}", content=line % DEEP[-1], headers=headers)
            assert_problem(answer, 400, "Line 1: .*nested too deeply")


def test_what_is_not_utf_8_says_so(boss: BossProcess) -> None:
    with boss.client() as client:
        assert_problem(client.post("/session", content=b'{"token": "\xff"}'), 400, "UTF-8")
        assert_problem(client.post("/token/x", content=b'{"role": "\xff"}'), 400, "UTF-8")


@pytest.mark.parametrize("accept", [value for value in ODD if "openmetrics" in value])
def test_metrics_in_a_version_that_is_none_are_metrics(boss: BossProcess, accept: str) -> None:
    with boss.client() as client:
        answer = client.get("/metrics", headers={"accept": accept})
        assert answer.status_code == 200
        assert "boss_database_up 1.0" in answer.text


LENGTHS = [
    *(["2", "2"], ["2, 2"], ["2,2", "2"], ["02"], ["+2"], ["-2"], ["2 "], ["0", "0"], ["0, 0"], ["2", "3"], ["2, 3"]),
    *([""], ["2_0"], ["9" * 18], ["9" * 30], ["9" * 5000], ["0x2"], ["2.0"], [","], ["2,"], ["\xb2"]),
]
PATHS = ["/job/available/x", "/job/available/x/y", "/session", "/job/done/x", "/token/x", "/job", "/nothing", "/watch"]


@pytest.mark.parametrize("path", PATHS)
def test_in_lengths(boss: BossProcess, path: str) -> None:
    statuses = {}
    for length, method in itertools.product(LENGTHS, (b"POST", b"GET", b"DELETE")):
        lines = b"".join(b"Content-Length: %s\r\n" % each.encode("latin-1") for each in length)
        head = b"%s %s HTTP/1.1\r\nHost: localhost\r\n" % (method, path.encode())
        statuses[method, *length] = send(boss, head, lines, b"\r\n{}", ends=method != b"GET")
    assert_no_mistake(boss, {**statuses, "other paths": 404})


METHODS = [
    *(b"GET", b"POST", b"get", b"BREW", b"OPTIONS", b"CONNECT", b"TRACE", b"PRI", b"\xff", b"M-SEARCH", b"A" * 9000),
]
TARGETS = [
    *(
        b"/job",
        b"*",
        b"/",
        b"//",
        b"http://localhost/job",
        b"localhost:80",
        b"/job/%00",
        b"/token/%ff",
        b"/jobs/..",
        b"?",
    ),
    *(b"/job/available/%E2%80%AE/%", b"/job/available/" + b"%61" * 100, b"/source/%ed%a0%80", b"/jobs/\xff", b"#"),
]
FRAMINGS = [
    *(b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: identity", b"X: \x00"),
    *(b"Transfer-Encoding: chunked\r\nContent-Length: 2", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x"),
    *(b"Expect: 200-ok\r\nContent-Length: 2", b"Expect: 100-continue\r\nContent-Length: 2", b"Content-Length: 2"),
    *(b"Content-Encoding: \xff\r\nContent-Length: 2", b"Upgrade: websocket\r\nConnection: upgrade"),
    b"Sec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\nUpgrade: websocket\r\nConnection: Upgrade",
]
FRAMED = [b"2\r\n{}\r\n0\r\n\r\n", b"{}", b""]


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_in_the_first_line_and_the_framing(boss: BossProcess, version: bytes) -> None:
    statuses = {}
    for method, path in itertools.product(METHODS, TARGETS):
        line = b"%s %s HTTP/%s\r\nHost: localhost\r\n\r\n" % (method, path, version)
        statuses[method, path] = send(boss, line)
    for header, path, body in itertools.product(FRAMINGS, (b"/job/available/x", b"/session", b"/watch"), FRAMED):
        head = b"POST %s HTTP/%s\r\nHost: localhost\r\n%s\r\n\r\n" % (path, version, header)
        statuses[head, body] = send(boss, head, body)
    assert_no_mistake(boss, statuses)
