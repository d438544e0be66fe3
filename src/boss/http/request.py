"""A request: its parsed head, and its body as it arrives."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import unquote

import msgspec

from boss.errors import BadInput, BodyTimeout, BossError, TooLarge, Unauthenticated
from boss.http.parameters import parse_query
from boss.model.permissions import NOBODY, Principal

if TYPE_CHECKING:
    from boss.http.connection import Connection

# How much of a body is read beyond its limit before it is refused. A proxy that still sends when the response arrives
# and the connection closes takes that for an error, and its client gets 502 instead of 413.
_MOST_DISCARDED_BYTES = 32 * 1024 * 1024


class Request(msgspec.Struct, eq=False):
    """One request.

    Attributes:
        connection: the connection on which it arrived.
        method: as it was sent.
        path: as it was sent, without the query, neither decoded nor normalized.
        query_text: the query as it was sent.
        headers: by lower-case name. Several lines of one name are joined (RFC 9110, 5.3).
        peer: the address of the client, or of the proxy before Boss.
        is_http_1_1: whether it is HTTP/1.1, and not 1.0.
        keep_alive: whether the client wants to send another request on its connection.
        params: the parts of the path that vary, percent-encoded.
        principal: who sends it, and what they may do.
        is_complete: whether all of it has arrived.
        ends_with_client: whether it is cancelled when its client hangs up.
        late_cancels: how often it was cancelled because it timed out.
        waiter: done when the rest of the body has arrived or will not arrive; None while no handler waits for it.
        wait_s: how long it may wait for a job, in seconds.
    """

    # A msgspec Struct, whose constructor costs a fifth of one in Python.
    connection: "Connection"
    method: str
    path: str
    query_text: bytes
    headers: dict[bytes, bytes]
    is_http_1_1: bool
    keep_alive: bool
    peer: str
    params: Mapping[str, str] = {}
    principal: Principal = NOBODY
    is_complete: bool = False
    ends_with_client: bool = False
    wait_s: float = 0.0
    late_cancels: int = 0
    # The part of the body that has arrived: nothing, one chunk, or several joined.
    _data: bytes | bytearray = b""
    _size: int = 0
    # How many bytes of the body are kept; a larger one is dropped. None until a handler waits for the body.
    _most: int | None = None
    _error: BossError | None = None
    waiter: "asyncio.Future[None] | None" = None

    def path_param(self, name: str) -> str:
        """A part of the path by its name in the route, percent-decoded."""
        part = self.params[name]
        return unquote(part) if "%" in part else part

    def header(self, name: bytes) -> str | None:
        """A header's value by its lower-case name; None when it was not sent."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    def query(self, known: Iterable[str] = ()) -> Mapping[str, str]:
        """The query's parameters.

        Raises:
            BadInput: the query cannot be read, has a parameter that is not `known`, or has one twice.
        """
        return parse_query(self.query_text, known)

    def wait(self, seconds: float) -> None:
        """Let the response take this many seconds longer, because the request waits for a job."""
        self.wait_s = seconds
        self.connection.extend(seconds)

    async def body(self, most: int, what: str) -> bytes:
        """The whole body, sent with a Content-Length or in chunks.

        Args:
            most: the largest body, in bytes.
            what: the body's name in messages, such as `the document`.

        Raises:
            TooLarge: it has more than `most` bytes.
            BadInput: it broke off, or is compressed.
            BodyTimeout: it did not arrive in time.
            Overloaded: other requests' bodies need the memory.
            Unauthenticated: the request's token expired or was revoked while the body arrived.
        """
        if self.is_complete and not self._size:
            return b""
        if (encoding := self.header(b"content-encoding") or "identity") != "identity":
            raise BadInput(f"{what} is sent with Content-Encoding {encoding}; send it as it is")
        if not self.is_complete and self._error is None:
            await self._receive(most, what)
        if self._error is not None:
            raise self._error_about(what, most)
        if self._size > most:
            raise _too_large(what, most)
        return bytes(self._data)

    async def _receive(self, most: int, what: str) -> None:
        # A client that waits for 100 Continue has sent nothing yet, so it can be refused at once.
        expects = self.is_http_1_1 and self.headers.get(b"expect", b"").lower() == b"100-continue"
        discarded = 0 if expects else _MOST_DISCARDED_BYTES
        if self.announced > most + discarded:
            raise _too_large(what, most)
        self._most = most
        self.waiter = self.connection.loop.create_future()
        self.connection.read_body(self, expects)
        try:
            await self.waiter
        finally:
            self.connection.extend(0)
        # The token was checked before the body arrived, which can be a while ago.
        if self._error is None and not self.connection.is_valid(self.principal):
            raise Unauthenticated(f"the token counts no more: it ended before all of {what} was there")

    def _error_about(self, what: str, most: int) -> BossError:
        if isinstance(self._error, TooLarge):
            return _too_large(what, most)
        if isinstance(self._error, BodyTimeout):
            return BodyTimeout(
                f"{what} was not there after {self.connection.settings.body_timeout:g} s; send it at once"
            )
        if isinstance(self._error, BadInput):
            return BadInput(f"{what} {self._error}")
        assert self._error
        return self._error

    # The connection calls the methods below, as the body arrives.

    @property
    def announced(self) -> int:
        """The length of the body: the Content-Length, or without one the number of bytes that have arrived."""
        length = self.headers.get(b"content-length")
        return int(length) if length else self._size

    @property
    def missing(self) -> int:
        """How many bytes of the announced body have not arrived yet."""
        return self.announced - self._size

    def feed(self, chunk: bytes) -> int:
        """Add the next chunk of the body; return by how many bytes the memory that it holds has changed."""
        held = len(self._data)
        self._size += len(chunk)
        if self._error or (self._most is not None and self._size > self._most):
            self._data = b""
            if self._most is not None and self._size > self._most + _MOST_DISCARDED_BYTES:
                self.fail(TooLarge())
        elif not held:
            self._data = chunk
        else:
            if isinstance(self._data, bytes):
                self._data = bytearray(self._data)
            self._data += chunk
        return len(self._data) - held

    def wake(self) -> None:
        """Let the handler that waits for the body go on: the rest has arrived, or will not arrive."""
        if self.waiter and not self.waiter.done():
            self.waiter.set_result(None)

    def fail(self, error: BossError) -> None:
        """End the body with this error, which the handler that waits for it gets."""
        self._error = error
        self.wake()

    def broke_off(self) -> None:
        """The client has ended its sending before the body's end."""
        self.fail(BadInput(f"broke off after {self._size} bytes"))

    def release(self) -> int:
        """Drop the body; return how many bytes were held."""
        held = len(self._data)
        self._data = b""
        return held


def _too_large(what: str, most: int) -> TooLarge:
    return TooLarge(f"{what} is larger than {most} bytes, which is the most this Boss takes")
