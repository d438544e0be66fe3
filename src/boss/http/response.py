"""A response, and its encoding as bytes (RFC 9112)."""

from collections.abc import AsyncGenerator, Callable, Sequence
from http import HTTPStatus
from typing import NamedTuple

Header = tuple[bytes, bytes]

JSON = (b"content-type", b"application/json")
NDJSON = "application/x-ndjson"
# A response is true only at its moment, so it must not be stored. It must not be transformed either: a proxy that
# compresses it changes its ETag.
NO_STORE = (b"cache-control", b"no-store, no-transform")

# A complete interim response (RFC 9110, 15.2.1).
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"

# A body up to this size is sent in one piece with its head; a larger one is not copied.
MOST_JOINED_BYTES = 64 * 1024
_STATUS_LINES = {status.value: b"HTTP/1.1 %d %s\r\n" % (status, status.phrase.encode()) for status in HTTPStatus}
# Statuses whose responses never have a body, and so no length (RFC 9112, 6.3).
_BODILESS = frozenset([204, 304])
_CLOSE = b"connection: close\r\n\r\n"
_KEEP_ALIVE = b"connection: keep-alive\r\n\r\n"


class Response(NamedTuple):
    """A response.

    Attributes:
        status: its status code.
        headers: all headers but Date, Connection, Content-Length and Transfer-Encoding.
        body: the whole body.
        events: the parts of the body when it is a stream, whose length is unknown.
        undo: called when the client did not receive the response.
    """

    status: int
    headers: Sequence[Header]
    body: bytes = b""
    events: AsyncGenerator[bytes, None] | None = None
    undo: Callable[[], None] | None = None


def encode(response: Response, method: str, minor: int, close: bool, date: bytes) -> bytes:
    """Encode a response as it is sent; or only its head, when it is a stream or has a large body.

    Args:
        response: the response.
        method: the method of the request.
        minor: the minor version of the request's HTTP: 1 for HTTP/1.1, 0 for 1.0.
        close: whether the connection closes after it.
        date: the line of the Date header.
    """
    parts = [_STATUS_LINES[response.status], date]
    for name, value in response.headers:
        parts += (name, b": ", value, b"\r\n")
    body = response.body
    if response.events:
        if minor:
            parts.append(b"transfer-encoding: chunked\r\n")
    # A handler of its own for HEAD does not know the length of GET's body.
    elif response.status not in _BODILESS and (body or method != "HEAD"):
        parts.append(b"content-length: %d\r\n" % len(body))
    if close:
        parts.append(_CLOSE)
    elif minor:
        parts.append(b"\r\n")
    else:
        parts.append(_KEEP_ALIVE)
    if method != "HEAD" and len(body) <= MOST_JOINED_BYTES:
        parts.append(body)
    return b"".join(parts)


def encode_chunk(chunk: bytes, minor: int) -> bytes:
    """Encode a part of a stream. HTTP/1.0 has no chunks: its stream ends when the connection closes."""
    return b"%x\r\n%b\r\n" % (len(chunk), chunk) if minor else chunk
