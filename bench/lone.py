"""Requests one at a time, to a Boss with nothing else to do."""

import socket
import statistics
import time
from collections.abc import Iterator

_DOCUMENT = b'{"payload":"' + b"x" * 186 + b'"}'
_TIMES = 150
# The pause between two requests, in seconds: it is enough for all work that the last one left behind.
_PAUSE = 0.002


def milliseconds(port: int) -> dict[str, float]:
    """The median of a submit, of a take and of a done, on one connection."""
    found: dict[str, list[float]] = {"submit": [], "take": [], "done": []}
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number in range(_TIMES):
            for name, request in _cycle(number):
                time.sleep(_PAUSE)
                begun = time.perf_counter()
                connection.sendall(request)
                _answered(connection)
                found[name].append(1000 * (time.perf_counter() - begun))
    return {name: statistics.median(times) for name, times in found.items()}


def _cycle(number: int) -> Iterator[tuple[str, bytes]]:
    yield "submit", _request(b"POST", b"/job/available/lone/lone-%d" % number, _DOCUMENT)
    yield "take", _request(b"GET", b"/job/available/lone")
    yield "done", _request(b"POST", b"/job/done/lone/lone-%d" % number)


def _request(method: bytes, path: bytes, body: bytes = b"") -> bytes:
    return b"%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s" % (method, path, len(body), body)


def _answered(connection: socket.socket) -> None:
    """Read a response; its headers give its length."""
    received = connection.recv(65536)
    while b"\r\n\r\n" not in received:
        received += connection.recv(65536)
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 2"), received
    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65536)
