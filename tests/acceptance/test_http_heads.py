"""Request lines and headers by RFC 9112 and RFC 9110: what is served, what is refused, and with what."""

import re
from email.utils import parsedate_to_datetime

import pytest

from tests.helpers.servers import BossProcess
from tests.helpers.wire import HOST, Reply, exchange

LIVE = b"GET /health/live HTTP/1.1\r\n"
END = b"\r\n"


def only(boss: BossProcess, *parts: bytes, method: str = "GET") -> Reply:
    """The only answer to these bytes."""
    replies = exchange(boss.port, *parts, methods=(method,))
    assert len(replies) == 1, replies
    return replies[0]


SERVED = {
    "the plain form": LIVE + HOST,
    "an empty line before it": b"\r\n" + LIVE + HOST,
    "no Host in 1.0": b"GET /health/live HTTP/1.0\r\n",
    "an empty Host": LIVE + b"Host:\r\n",
    "a Host of IPv6": LIVE + b"Host: [::1]:8080\r\n",
    "a name in capitals": LIVE + b"HOST: localhost\r\n",
    "no space after the colon": LIVE + b"Host:localhost\r\n",
    "tabs and spaces around a value": LIVE + b"Host:\t localhost \t\r\n",
    "an empty value": LIVE + HOST + b"X-Empty:\r\n",
    "a header twice": LIVE + HOST + b"X: 1\r\nX: 2\r\n",
    "every character of a token in a name": LIVE + HOST + b"!#$%&'*+-.^_`|~09azAZ: x\r\n",
    "bytes beyond ASCII in a value": LIVE + HOST + b"X: \xc3\xa9 \xff\r\n",
    "a tab in a value": LIVE + HOST + b"X: a\tb\r\n",
    "a hundred headers": LIVE + HOST + b"".join(b"X-%d: y\r\n" % number for number in range(99)),
    "the absolute form": b"GET http://localhost:80/health/live HTTP/1.1\r\n" + HOST,
    "the absolute form in capitals": b"GET HTTP://127.0.0.1/health/live HTTP/1.1\r\n" + HOST,
    "the absolute form of https": b"GET https://localhost/health/live HTTP/1.1\r\n" + b"Host: elsewhere\r\n",
    "an unknown Connection option": LIVE + HOST + b"Connection: foo, keep-alive\r\n",
    "an Upgrade to what nobody speaks": LIVE + HOST + b"Connection: upgrade\r\nUpgrade: foo/2\r\n",
    "a websocket": LIVE
    + HOST
    + b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGVzdA==\r\nSec-WebSocket-Version: 13\r\n",
    "TE and Trailer": LIVE + HOST + b"TE: trailers\r\nTrailer: X\r\n",
    "a body of no bytes": LIVE + HOST + b"Content-Length: 0\r\n",
    "a length with zeros before it": LIVE + HOST + b"Content-Length: 000\r\n",
}


@pytest.mark.parametrize("head", SERVED.values(), ids=SERVED.keys())
def test_served(module_boss: BossProcess, head: bytes) -> None:
    assert only(module_boss, head + END).status == 200


REFUSED = {
    "no Host": (LIVE, 400),
    "no Host in the absolute form": (b"GET http://localhost/health/live HTTP/1.1\r\n", 400),
    "two Hosts": (LIVE + HOST + b"Host: other\r\n", 400),
    "the same Host twice": (LIVE + HOST + HOST, 400),
    "two Hosts in 1.0": (b"GET /health/live HTTP/1.0\r\n" + HOST + HOST, 400),
    "two Hosts in the absolute form": (b"GET http://elsewhere/job HTTP/1.1\r\n" + HOST + HOST, 400),
    "a Host with a path": (LIVE + b"Host: a/b\r\n", 400),
    "a Host with a space": (LIVE + b"Host: a b\r\n", 400),
    "a Host with a comma": (LIVE + b"Host: a, b\r\n", 400),
    "a Host with a user": (LIVE + b"Host: a@b\r\n", 400),
    "a line feed alone after the request line": (b"GET /job HTTP/1.1\nHost: localhost\r\n", 400),
    "a line feed alone after a header": (LIVE + b"Host: localhost\nX: y\r\n", 400),
    "a carriage return in a value": (LIVE + HOST + b"X: a\rb\r\n", 400),
    "a folded line": (LIVE + HOST + b"X: y\r\n z\r\n", 400),
    "a folded line by a tab": (LIVE + HOST + b"X: y\r\n\tz\r\n", 400),
    "a folded first line": (LIVE + b" X: y\r\n" + HOST, 400),
    "NUL in a value": (LIVE + HOST + b"X: a\x00b\r\n", 400),
    "NUL in a name": (LIVE + HOST + b"X\x00: b\r\n", 400),
    "a space before the colon": (LIVE + b"Host : localhost\r\n", 400),
    "a space in a name": (LIVE + HOST + b"X Y: z\r\n", 400),
    "no name": (LIVE + HOST + b": z\r\n", 400),
    "no colon": (LIVE + HOST + b"XYZ\r\n", 400),
    "a name beyond ASCII": (LIVE + HOST + b"\xc3\xa9: z\r\n", 400),
    "a name in quotes": (LIVE + HOST + b'"X": z\r\n', 400),
    "a name in brackets": (LIVE + HOST + b"X(y): z\r\n", 400),
    "a space before the request line": (b" GET /job HTTP/1.1\r\n" + HOST, 400),
    "a tab in the request line": (b"GET\t/job HTTP/1.1\r\n" + HOST, 400),
    "a space in the target": (b"GET /job x HTTP/1.1\r\n" + HOST, 400),
    "a space after the version": (b"GET /job HTTP/1.1 \r\n" + HOST, 400),
    "no version": (b"GET /job\r\n" + HOST, 505),
    "HTTP/0.9": (b"GET /job\r\n", 505),
    "version 0.9": (b"GET /job HTTP/0.9\r\n" + HOST, 505),
    "version 2.0": (b"GET /job HTTP/2.0\r\n" + HOST, 505),
    "version 1.2": (b"GET /job HTTP/1.2\r\n" + HOST, 400),
    "version 3": (b"GET /job HTTP/3\r\n" + HOST, 400),
    "version 11": (b"GET /job HTTP/1.11\r\n" + HOST, 400),
    "version 1,1": (b"GET /job HTTP/1,1\r\n" + HOST, 400),
    "lower-case HTTP": (b"GET /job http/1.1\r\n" + HOST, 400),
    "another protocol": (b"GET /job SIP/2.0\r\n" + HOST, 400),
    "RTSP": (b"OPTIONS rtsp://a/b RTSP/1.0\r\n" + HOST, 400),
    "the preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n", 505),
    "a greeting of TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 300, 400),
    "a method nobody knows": (b"BREW /job HTTP/1.1\r\n" + HOST, 501),
    "a method in lower case": (b"get /job HTTP/1.1\r\n" + HOST, 501),
    "a method of any length": (b"X" * 100_000 + b" /job HTTP/1.1\r\n" + HOST, 400),
    "a method of one letter": (b"G /job HTTP/1.1\r\n" + HOST, 501),
    "a method of WebDAV": (b"PROPFIND /job HTTP/1.1\r\n" + HOST, 405),
    "TRACE": (b"TRACE /job HTTP/1.1\r\n" + HOST, 405),
    "PATCH": (b"PATCH /job HTTP/1.1\r\n" + HOST, 405),
    "CONNECT": (b"CONNECT example.com:443 HTTP/1.1\r\n" + HOST, 405),
    "CONNECT to a path": (b"CONNECT /job HTTP/1.1\r\n" + HOST, 405),
    "a fragment": (b"GET /job#part HTTP/1.1\r\n" + HOST, 400),
    "a fragment in a query": (b"GET /job?a=b#part HTTP/1.1\r\n" + HOST, 400),
    "a target beyond ASCII": (b"GET /job/\xc3\xa9 HTTP/1.1\r\n" + HOST, 400),
    "a target of control characters": (b"GET /job/\x01 HTTP/1.1\r\n" + HOST, 400),
    "a target with NUL": (b"GET /job/\x00 HTTP/1.1\r\n" + HOST, 400),
    "a target without a slash": (b"GET job HTTP/1.1\r\n" + HOST, 400),
    "a target of a query alone": (b"GET ?a=b HTTP/1.1\r\n" + HOST, 400),
    "* with another method": (b"GET * HTTP/1.1\r\n" + HOST, 404),
    "an absolute target of another scheme": (b"GET ftp://localhost/job HTTP/1.1\r\n" + HOST, 400),
    "an absolute target with a port that is none": (b"GET http://a:b/job HTTP/1.1\r\n" + HOST, 400),
    "an absolute target of nobody": (b"GET http:///job HTTP/1.1\r\n" + HOST, 400),
    "an absolute target with a user": (b"GET http://a@b/job HTTP/1.1\r\n" + HOST, 400),
    "both framings": (LIVE + HOST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", 400),
    "both framings, the other way": (LIVE + HOST + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n", 400),
    "two lengths": (LIVE + HOST + b"Content-Length: 2\r\nContent-Length: 3\r\n", 400),
    "the same length twice": (LIVE + HOST + b"Content-Length: 2\r\nContent-Length: 2\r\n", 400),
    "lengths in a list": (LIVE + HOST + b"Content-Length: 2, 2\r\n", 400),
    "a length with a sign": (LIVE + HOST + b"Content-Length: +2\r\n", 400),
    "a length below nothing": (LIVE + HOST + b"Content-Length: -1\r\n", 400),
    "a length in hexadecimal": (LIVE + HOST + b"Content-Length: 0x2\r\n", 400),
    "an empty length": (LIVE + HOST + b"Content-Length:\r\n", 400),
    "a length beyond all": (LIVE + HOST + b"Content-Length: " + b"9" * 40 + b"\r\n", 400),
    "a length of thousands of zeros": (LIVE + HOST + b"Content-Length: " + b"0" * 5000 + b"2\r\n", 400),
    "chunked that is not the last": (LIVE + HOST + b"Transfer-Encoding: chunked, gzip\r\n", 400),
    "chunked twice": (LIVE + HOST + b"Transfer-Encoding: chunked, chunked\r\n", 400),
    "an unknown coding": (LIVE + HOST + b"Transfer-Encoding: xchunked\r\n", 400),
    "chunked in 1.0": (b"GET /health/live HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n", 400),
    "a hundred and one headers": (LIVE + HOST + b"".join(b"X-%d: y\r\n" % number for number in range(100)), 431),
    "the same header a hundred and one times": (LIVE + HOST + b"X: y\r\n" * 101, 431),
    "too large a value": (LIVE + HOST + b"X: " + b"y" * 70_000 + b"\r\n", 431),
    "too large a name": (LIVE + HOST + b"y" * 70_000 + b": x\r\n", 431),
    "too large a target": (b"GET /" + b"y" * 70_000 + b" HTTP/1.1\r\n" + HOST, 431),
    "too large a target of 1.0": (b"GET /" + b"y" * 70_000 + b" HTTP/1.0\r\n" + HOST, 431),
    "empty lines without end": (b"\r\n" * 50_000 + LIVE + HOST, 431),
}


@pytest.mark.parametrize(("head", "status"), REFUSED.values(), ids=REFUSED.keys())
def test_refused(module_boss: BossProcess, head: bytes, status: int) -> None:
    reply = only(module_boss, head + END)
    assert reply.status == status, reply
    assert reply.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("character", [*range(1, 9), *range(11, 13), *range(14, 32), 127])
def test_a_control_character_in_a_value_is_refused(module_boss: BossProcess, character: int) -> None:
    assert only(module_boss, LIVE + HOST + b"X: a%cb\r\n" % character + END).status == 400


def test_what_follows_a_refused_request_is_not_read(module_boss: BossProcess) -> None:
    for head, status in REFUSED.values():
        replies = exchange(module_boss.port, head + END + LIVE + HOST + END)
        if status in (404, 405) and not head.startswith(b"CONNECT"):
            assert [reply.status for reply in replies] == [status, 200]
        else:
            assert [reply.status for reply in replies] == [status], head[:100]
            assert replies[0].headers["connection"] == "close", head[:100]


def test_options_of_the_server(module_boss: BossProcess) -> None:
    reply = only(module_boss, b"OPTIONS * HTTP/1.1\r\n" + HOST + END)
    assert reply.status == 204
    assert {"GET", "HEAD", "POST"} < set(reply.headers["allow"].split(", "))
    # RFC 9110, 8.6
    assert "content-length" not in reply.headers


def test_the_host_of_an_absolute_target_counts(module_boss: BossProcess) -> None:
    """RFC 9112, 3.2.2. While there are no tokens, Boss answers under the names of this machine only."""
    for target, host in ((b"http://elsewhere/job", b"localhost"), (b"/job", b"elsewhere")):
        reply = only(module_boss, b"GET %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (target, host))
        assert (reply.status, b"not to 'elsewhere'" in reply.body) == (403, True)


KEEPS = [
    (b"HTTP/1.1\r\n" + HOST, True, None),
    (b"HTTP/1.1\r\n" + HOST + b"Connection: keep-alive\r\n", True, None),
    (b"HTTP/1.1\r\n" + HOST + b"Connection: close\r\n", False, "close"),
    (b"HTTP/1.1\r\n" + HOST + b"Connection: Close\r\n", False, "close"),
    (b"HTTP/1.1\r\n" + HOST + b"Connection: foo, close\r\n", False, "close"),
    (b"HTTP/1.1\r\n" + HOST + b"Connection: foo\r\nConnection: close\r\n", False, "close"),
    (b"HTTP/1.0\r\n", False, "close"),
    (b"HTTP/1.0\r\n" + HOST + b"Connection: close\r\n", False, "close"),
    (b"HTTP/1.0\r\n" + HOST + b"Connection: keep-alive\r\n", True, "keep-alive"),
    (b"HTTP/1.0\r\n" + HOST + b"Connection: Keep-Alive\r\n", True, "keep-alive"),
]


@pytest.mark.parametrize(("rest", "kept", "says"), KEEPS)
def test_whether_the_connection_is_kept(module_boss: BossProcess, rest: bytes, kept: bool, says: str | None) -> None:
    replies = exchange(module_boss.port, b"GET /health/live " + rest + END, LIVE + HOST + END)
    assert [reply.status for reply in replies] == [200] * (2 if kept else 1)
    assert replies[0].headers.get("connection") == says


def test_every_answer_has_a_date(module_boss: BossProcess) -> None:
    for head in (LIVE + HOST, b"GET /nothing HTTP/1.1\r\n" + HOST, LIVE, b"BREW /job HTTP/1.1\r\n"):
        date = only(module_boss, head + END).headers["date"]
        assert re.fullmatch(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", date)
        assert parsedate_to_datetime(date)


@pytest.mark.parametrize("path", [b"/health/live", b"/job", b"/jobs", b"/nothing", b"/docs", b"/job/available", b"/"])
def test_head_is_answered_without_a_body(module_boss: BossProcess, path: bytes) -> None:
    head = b"HEAD %b HTTP/1.1\r\n" % path + HOST + END
    replies = exchange(module_boss.port, head + head + LIVE + HOST + END, methods=("HEAD", "HEAD"))
    assert [reply.body for reply in replies[:2]] == [b"", b""]
    assert [reply.status for reply in replies[1:]] == [replies[0].status, 200]


def test_head_says_how_long_the_body_of_get_is(module_boss: BossProcess) -> None:
    for path in (b"/health/live", b"/openapi.json"):
        line = b"%b " + path + b" HTTP/1.1\r\n" + HOST + END
        got, asked = (only(module_boss, line % method, method=method.decode()) for method in (b"GET", b"HEAD"))
        assert asked.headers["content-length"] == got.headers["content-length"] == str(len(got.body))
