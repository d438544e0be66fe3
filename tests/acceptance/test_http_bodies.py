"""Bodies by RFC 9112 and RFC 9110: chunks, 100 Continue, upgrades that are ignored, and packets of any size."""

import json
import select

import pytest

from tests.helpers.servers import BossProcess
from tests.helpers.wire import HOST, Reply, Wire, exchange

pytestmark = pytest.mark.slow

DOCUMENT = b'{"a":1}'
LIVE = b"GET /health/live HTTP/1.1\r\n" + HOST + b"\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
LENGTH = b"Content-Length: 7\r\n"


def post(source: str, *lines: bytes) -> bytes:
    """The head of a submit."""
    return b"".join((b"POST /job/available/%b HTTP/1.1\r\n" % source.encode(), HOST, *lines, b"\r\n"))


def statuses(replies: list[Reply]) -> list[int]:
    return [reply.status for reply in replies]


WHOLE = {
    "one chunk": b'7\r\n{"a":1}\r\n0\r\n\r\n',
    "a chunk for each byte": b"".join(b"1\r\n%c\r\n" % byte for byte in DOCUMENT) + b"0\r\n\r\n",
    "capitals and zeros": b'00007\r\n{"a":1}\r\n000\r\n\r\n',
    "extensions": b'7;a=b;c\r\n{"a":1}\r\n0;last\r\n\r\n',
    "quoted extensions": b'7;a="b;c"\r\n{"a":1}\r\n0\r\n\r\n',
    "trailers": b'7\r\n{"a":1}\r\n0\r\nX: y\r\nY: z\r\n\r\n',
    # RFC 9110, 6.5.1: these have no say once the head is over.
    "trailers that would be headers": b'7\r\n{"a":1}\r\n0\r\nHost: x\r\nHost: y\r\nExpect: x\r\n\r\n',
}


@pytest.mark.parametrize("chunks", WHOLE.values(), ids=WHOLE.keys())
def test_a_chunked_body_and_the_request_after_it(module_boss: BossProcess, source: str, chunks: bytes) -> None:
    replies = exchange(module_boss.port, post(source, CHUNKED) + chunks + LIVE)
    assert statuses(replies) == [201, 200]
    assert json.loads(replies[0].body)["job"] == {"a": 1}


@pytest.mark.parametrize("size", [1000, 2000, 2048, 3000, 10_000, 100_000, 900_000])
def test_a_body_of_any_size_arrives_as_it_was_sent(module_boss: BossProcess, source: str, size: int) -> None:
    """All of it in one go, and with requests before and after it."""
    document = b'{"a":"%b"}' % b"".join(b"%07d " % number for number in range(size // 8))
    length = b"Content-Length: %d\r\n" % len(document)
    chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(document), document)
    whole = post(source, length) + document + LIVE + post(source, CHUNKED) + chunks
    replies = exchange(module_boss.port, whole * 3)
    assert statuses(replies) == [201, 200, 201] * 3
    assert {reply.body.partition(b'"job":')[2].rstrip(b"}") for reply in replies if reply.status == 201} == {
        document.rstrip(b"}")
    }


BROKEN = {
    "no number": b'x\r\n{"a":1}\r\n0\r\n\r\n',
    "a number below nothing": b'-7\r\n{"a":1}\r\n0\r\n\r\n',
    "a number with 0x": b'0x7\r\n{"a":1}\r\n0\r\n\r\n',
    "a number with an underscore": b'0_7\r\n{"a":1}\r\n0\r\n\r\n',
    "a number beyond all": b"f" * 17 + b'\r\n{"a":1}\r\n0\r\n\r\n',
    "an empty number": b'\r\n{"a":1}\r\n0\r\n\r\n',
    "a line feed alone after the number": b'7\n{"a":1}\r\n0\r\n\r\n',
    "a carriage return alone after the number": b'7\r{"a":1}\r\n0\r\n\r\n',
    "a line feed alone after the chunk": b'7\r\n{"a":1}\n0\r\n\r\n',
    "nothing after the chunk": b'7\r\n{"a":1}0\r\n\r\n',
    "a longer chunk than it says": b'6\r\n{"a":1}\r\n0\r\n\r\n',
    "a space before the number": b' 7\r\n{"a":1}\r\n0\r\n\r\n',
    "a line feed in an extension": b'7;a\nb\r\n{"a":1}\r\n0\r\n\r\n',
    "a folded trailer": b'7\r\n{"a":1}\r\n0\r\nX: y\r\n z\r\n\r\n',
    "a length as a trailer": b'7\r\n{"a":1}\r\n0\r\nContent-Length: 7\r\n\r\n',
    "a trailer without a colon": b'7\r\n{"a":1}\r\n0\r\nXY\r\n\r\n',
    "a trailer with NUL": b'7\r\n{"a":1}\r\n0\r\nX: \x00\r\n\r\n',
    "a body without chunks": DOCUMENT,
}


@pytest.mark.parametrize("chunks", BROKEN.values(), ids=BROKEN.keys())
def test_broken_chunks_are_refused_and_nothing_after_them_is_read(
    module_boss: BossProcess, source: str, chunks: bytes
) -> None:
    [reply] = exchange(module_boss.port, post(source, CHUNKED) + chunks + LIVE)
    assert (reply.status, reply.headers["connection"]) == (400, "close")
    assert statuses(exchange(module_boss.port, f"GET /job/available/{source} HTTP/1.0\r\n\r\n".encode())) == [404]


@pytest.mark.parametrize("ended", [b"", b'7\r\n{"a":1}\r\n', b'7\r\n{"a":1}\r\n0\r\n', b'9\r\n{"a":1}'])
def test_a_body_that_breaks_off_is_no_document(module_boss: BossProcess, source: str, ended: bytes) -> None:
    [reply] = exchange(module_boss.port, post(source, CHUNKED) + ended)
    assert (reply.status, b"broke off after" in reply.body) == (400, True)
    [reply] = exchange(module_boss.port, post(source, b"Content-Length: 8\r\n") + DOCUMENT)
    assert (reply.status, b"broke off after 7 bytes" in reply.body) == (400, True)


ENDLESS = {
    "an extension": (b"1;" + b"x" * 200_000, 400),
    "extensions": (b"1" + b";x=y" * 50_000, 400),
    "a trailer": (b"1\r\n{\r\n0\r\nX: " + b"y" * 200_000, 400),
    "trailers": (b"1\r\n{\r\n0\r\n" + b"X: y\r\n" * 50_000, 400),
    "zeros of a number": (b"0" * 200_000, 400),
}


@pytest.mark.parametrize(("chunks", "status"), ENDLESS.values(), ids=ENDLESS.keys())
def test_what_has_no_end_around_chunks_is_refused(
    module_boss: BossProcess, source: str, chunks: bytes, status: int
) -> None:
    with Wire(module_boss.port) as wire:
        wire.send(post(source, CHUNKED), chunks)
        assert wire.reply().status == status


def test_extensions_of_many_chunks_are_no_burden(module_boss: BossProcess, source: str) -> None:
    """Each is small; together they are more than a head may be."""
    chunks = b"".join(b"1;%b\r\n%c\r\n" % (b"x" * 300, byte) for byte in b'{"a":"' + b"b" * 1000 + b'"}')
    assert statuses(exchange(module_boss.port, post(source, CHUNKED) + chunks + b"0\r\n\r\n" + LIVE)) == [201, 200]


def says_nothing(wire: Wire) -> bool:
    """Whether nothing has come, half a second after something was sent."""
    return not select.select([wire.socket], [], [], 0.5)[0]


class TestExpect:
    def test_it_is_asked_for_the_body(self, module_boss: BossProcess, source: str) -> None:
        for framing, body in ((LENGTH, DOCUMENT), (CHUNKED, WHOLE["trailers"])):
            with Wire(module_boss.port) as wire:
                wire.send(post(source, framing, b"Expect: 100-continue\r\n"))
                assert wire.socket.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
                assert wire.send(body, LIVE).reply().status == 201
                assert wire.reply().status == 200

    def test_in_capitals(self, module_boss: BossProcess, source: str) -> None:
        with Wire(module_boss.port) as wire:
            wire.send(post(source, LENGTH, b"Expect: 100-Continue\r\n"))
            assert wire.socket.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"

    def test_not_when_the_body_is_there(self, module_boss: BossProcess, source: str) -> None:
        with Wire(module_boss.port) as wire:
            wire.send(post(source, LENGTH, b"Expect: 100-continue\r\n"), DOCUMENT)
            assert wire.socket.recv(1000).startswith(b"HTTP/1.1 201 ")

    def test_not_when_nobody_wants_the_body(self, module_boss: BossProcess) -> None:
        """RFC 9110, 10.1.1: the client then sends its next request, or the body, and nobody could tell which."""
        head = b"GET /health/live HTTP/1.1\r\n" + HOST + LENGTH + b"Expect: 100-continue\r\n\r\n"
        [reply] = exchange(module_boss.port, head)
        assert (reply.status, reply.headers["connection"]) == (200, "close")

    def test_not_when_it_is_refused(self, module_boss: BossProcess, source: str) -> None:
        for head, status in (
            (post(source, b"Content-Length: 99999999\r\nExpect: 100-continue\r\n"), 413),
            (post(source, b"Content-Encoding: gzip\r\nContent-Length: 9\r\nExpect: 100-continue\r\n"), 400),
            (post("a%20b", b"Content-Length: 9\r\nExpect: 100-continue\r\n"), 400),
            (b"POST /nothing HTTP/1.1\r\n" + HOST + LENGTH + b"Expect: 100-continue\r\n\r\n", 404),
        ):
            [reply] = exchange(module_boss.port, head)
            assert (reply.status, reply.headers["connection"]) == (status, "close")

    def test_not_of_http_1_0(self, module_boss: BossProcess, source: str) -> None:
        """RFC 9110, 10.1.1: it knows nothing of interim responses."""
        with Wire(module_boss.port) as wire:
            wire.send(post(source, LENGTH, b"Expect: 100-continue\r\n").replace(b"HTTP/1.1", b"HTTP/1.0"))
            assert says_nothing(wire)
            assert wire.send(DOCUMENT).socket.recv(1000).startswith(b"HTTP/1.1 201 ")

    def test_another_expectation(self, module_boss: BossProcess, source: str) -> None:
        """RFC 9110, 10.1.1: 417 or as if it was not there; it must not be taken for 100-continue."""
        with Wire(module_boss.port) as wire:
            wire.send(post(source, LENGTH, b"Expect: 200-ok\r\n"), b"{")
            assert says_nothing(wire)
            wire.send(DOCUMENT[1:])
            assert wire.socket.recv(1000).startswith((b"HTTP/1.1 201 ", b"HTTP/1.1 417 "))


H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAA\r\n"
WEBSOCKET = (
    b"Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n"
)
UPGRADES = [
    H2C,
    WEBSOCKET,
    b"Upgrade: h2c\r\n",
    b"Connection: upgrade\r\n",
    b"Connection: upgrade\r\nUpgrade: x/1, y\r\n",
]


@pytest.mark.parametrize("offer", UPGRADES)
@pytest.mark.parametrize(("framing", "body"), [(LENGTH, DOCUMENT), (CHUNKED, WHOLE["trailers"]), (b"", b"")])
class TestUpgrade:
    """As Java's HttpClient offers it with its first request; to ignore it is right (RFC 9110, 7.8)."""

    def test_it_is_ignored_and_the_body_counts(
        self, module_boss: BossProcess, source: str, offer: bytes, framing: bytes, body: bytes
    ) -> None:
        for head in (post(source, offer, framing), post(source, framing, offer)):
            replies = exchange(module_boss.port, head + body + LIVE + head + body)
            assert statuses(replies) == ([201, 200, 201] if body else [400, 200, 400])
            assert "upgrade" not in replies[0].headers

    def test_in_packets_of_any_size(
        self, module_boss: BossProcess, source: str, offer: bytes, framing: bytes, body: bytes
    ) -> None:
        whole = post(source, offer, framing) + body + LIVE
        expected = [201, 200] if body else [400, 200]
        for cut in range(1, len(whole)):
            with Wire(module_boss.port) as wire:
                wire.send(whole[:cut]).send(whole[cut:])
                assert [wire.reply().status for _ in expected] == expected, cut


def test_an_upgrade_of_a_request_that_closes(module_boss: BossProcess, source: str) -> None:
    offer = b"Connection: close, Upgrade\r\nUpgrade: h2c\r\n"
    [reply] = exchange(module_boss.port, post(source, offer, LENGTH) + DOCUMENT + LIVE)
    assert (reply.status, reply.headers["connection"]) == (201, "close")


def test_byte_by_byte(module_boss: BossProcess, source: str) -> None:
    whole = post(source, CHUNKED, b"X: y\r\n") + WHOLE["trailers"] + post(source, H2C, LENGTH) + DOCUMENT + LIVE
    replies = exchange(module_boss.port, *(bytes([byte]) for byte in whole))
    assert statuses(replies) == [201, 201, 200]


def test_two_packets_cut_anywhere(module_boss: BossProcess, source: str) -> None:
    whole = post(source, LENGTH) + DOCUMENT + post(source, CHUNKED) + WHOLE["trailers"] + LIVE
    for cut in range(1, len(whole)):
        assert statuses(exchange(module_boss.port, whole[:cut], whole[cut:])) == [201, 201, 200], cut


def test_a_body_that_nobody_wanted_is_not_the_next_request(module_boss: BossProcess) -> None:
    """It is passed over, or the connection ends; it is never read as a request."""
    inner = b"DELETE /job/done?older=0 HTTP/1.1\r\n" + HOST + b"\r\n"
    head = b"GET /health/live HTTP/1.1\r\n" + HOST
    for framing, body in (
        (b"Content-Length: %d\r\n\r\n" % len(inner), inner),
        (CHUNKED + b"\r\n", b"%x\r\n%b\r\n0\r\n\r\n" % (len(inner), inner)),
    ):
        assert statuses(exchange(module_boss.port, head + framing + body + LIVE)) == [200, 200]
        late = exchange(module_boss.port, head + framing, body + LIVE)
        assert statuses(late) in ([200, 200], [200])
        assert "pruned" not in module_boss.log


def test_what_is_refused_behind_many_good_requests_is_refused_once(module_boss: BossProcess) -> None:
    for good in range(20, 60):
        whole = LIVE * good + b"BREW / HTTP/1.1\r\n\r\n" + LIVE
        answered = statuses(exchange(module_boss.port, whole))
        assert answered[:-1] == [200] * good
        # It may be cut within the method.
        assert answered[-1] in (400, 501)
    assert '"level":"error"' not in module_boss.log
